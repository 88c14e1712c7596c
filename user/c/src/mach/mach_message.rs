//! `mach_msg`, with the messages of Mach 3.
//!
//! Neighbour: `transfer`.

use super::code;
use super::item::{Generation, arrived};
use super::transfer::{self, Incoming, Missed, Outgoing, Place};
use crate::unistd::bytes;
use core::ffi::c_int;
use portolan::abi::message::{Header, MESSAGE_MAX, Options};
use portolan::{Error, Name, Result, trap};

/// `mach_msg_header_t`.
#[repr(C)]
struct MachHeader {
    bits: u32,
    size: u32,
    remote: u32,
    local: u32,
    sequence: u32,
    id: u32,
}

/// `MACH_MSGH_BITS_COMPLEX`.
const COMPLEX: u32 = 1 << 31;
/// `MACH_MSGH_BITS_PORTS_MASK`.
const DISPOSITIONS: u32 = 0xffff;
const HEADER_SIZE: usize = size_of::<MachHeader>();

/// `MACH_SEND_MSG`, `MACH_RCV_MSG`.
const SEND: u32 = 0x1;
const RECEIVE: u32 = 0x2;
/// The other options of `mach_msg`, and what they are in the kernel.
const OPTIONS: [(u32, Options); 6] = [
    (0x10, Options::SEND_TIMEOUT),
    (0x20, Options::SEND_NOTIFY),
    (0x40, Options::SEND_INTERRUPT),
    (0x100, Options::RCV_TIMEOUT),
    (0x400, Options::RCV_INTERRUPT),
    (0x800, Options::RCV_LARGE),
];
/// `MACH_SEND_INVALID_NOTIFY`.
const INVALID_NOTIFY: c_int = 0x1000_000b;

/// What the options mean; `None` if some are not there.
fn options(option: u32) -> Option<Options> {
    let known = OPTIONS.iter().fold(SEND | RECEIVE, |known, (bit, _)| known | bit);
    let given = OPTIONS.iter().filter(|(bit, _)| option & bit != 0);
    (option & !known == 0).then(|| given.fold(Options::empty(), |all, (_, one)| all | *one))
}

/// A message of Mach 3 as the kernel's.
///
/// # Safety
/// `size` bytes can be read.
unsafe fn outgoing(message: *const MachHeader, size: usize) -> Result<Outgoing> {
    let size = size.checked_sub(HEADER_SIZE).ok_or(Error::SendTooSmall)?;
    if size > MESSAGE_MAX {
        return Err(Error::SendTooLarge);
    }
    // SAFETY: the caller says that there is a header.
    let header = unsafe { &*message };
    // SAFETY: and the body behind it.
    let body = unsafe { bytes(message.wrapping_add(1).cast(), size) };
    if header.bits & !(DISPOSITIONS | COMPLEX) != 0 {
        return Err(Error::SendInvalidHeader);
    }
    let (remote, local) = (Name(header.remote), Name(header.local));
    let kernel = Header { bits: header.bits & DISPOSITIONS, remote, local, id: header.id, ..Header::default() };
    Outgoing::new(kernel, header.bits & COMPLEX != 0, body)
}

fn header(message: &Incoming) -> MachHeader {
    let Header { remote, local, id, .. } = message.header;
    let reply = match remote {
        Name::NULL => 0,
        _ => arrived(message.header.remote_disposition()),
    };
    let came_by = arrived(message.header.local_disposition());
    let complex = if message.complex { COMPLEX } else { 0 };
    MachHeader {
        bits: Header::bits_of(reply, came_by) | complex,
        size: message.size() as u32,
        remote: remote.0,
        local: local.0,
        sequence: message.sequence as u32,
        id,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mach_msg(
    message: *mut MachHeader,
    option: u32,
    send_size: u32,
    room: u32,
    port: u32,
    timeout: u32,
    notify: u32,
) -> c_int {
    let Some(options) = options(option) else { return Error::InvalidArgument.code() };
    // Word of an accepted message comes to the task's notify port, and nowhere else.
    if options.contains(Options::SEND_NOTIFY) && Name(notify) != trap::task_notify() {
        return INVALID_NOTIFY;
    }
    let place = Place { port: Name(port), room: room as usize, timeout, seen: Generation::Mach3 };
    let (sends, receives) = (option & SEND != 0, option & RECEIVE != 0);
    let send = if sends {
        // SAFETY: the caller passes a message of this size.
        match unsafe { outgoing(message, send_size as usize) } {
            Ok(send) => Some(send),
            Err(error) => return code::mach_message(error),
        }
    } else {
        None
    };
    let received = match send {
        Some(mut send) if receives => transfer::exchange(&mut send, timeout, place, options),
        Some(send) => {
            let sent = send.send(options & Options::SEND, timeout);
            return sent.map_or_else(code::mach_message, |()| 0);
        }
        None if receives => transfer::receive(place, options & Options::RECEIVE),
        None => return 0,
    };
    // SAFETY: the caller passes a buffer of this size.
    unsafe { answer(message, room as usize, received) }
}

/// Gives a program of Mach 3 its message, or what is to be known of one that was too large; the result.
///
/// # Safety
/// There are `room` bytes.
unsafe fn answer(into: *mut MachHeader, room: usize, received: Result<Incoming, Missed>) -> c_int {
    match received {
        Ok(message) => {
            // SAFETY: `transfer` has seen that the message fits.
            unsafe { into.write(header(&message)) };
            // SAFETY: and so its body.
            unsafe { into.wrapping_add(1).cast::<u8>().copy_from(message.body.as_ptr(), message.body.len()) };
            0
        }
        Err(Missed { error, size }) => {
            if error == Error::ReceiveTooLarge && room >= HEADER_SIZE {
                // SAFETY: there is room for a header.
                unsafe { (*into).size = size as u32 };
            }
            code::mach_message(error)
        }
    }
}

/// Some programs know the trap itself by this name.
#[unsafe(no_mangle)]
unsafe extern "C" fn mach_msg_trap(
    message: *mut MachHeader,
    option: u32,
    send_size: u32,
    room: u32,
    port: u32,
    timeout: u32,
    notify: u32,
) -> c_int {
    // SAFETY: as there.
    unsafe { mach_msg(message, option, send_size, room, port, timeout, notify) }
}
