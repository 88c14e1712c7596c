//! `msg_send`, `msg_receive` and `msg_rpc`, with the messages of Mach 2.5.
//!
//! A program of Mach 2.5 does not say how a right is sent. Its destination is a send right, the receive
//! right, or one for a reply; its reply port one that it receives from, or one that it was given. The kernel
//! refuses what is not so without having changed anything, and the next is tried. Neighbour: `transfer`.

use super::code;
use super::item::{Generation, Sender, shown};
use super::transfer::{self, Incoming, Missed, Outgoing, Place};
use crate::unistd::bytes;
use core::ffi::{c_int, c_uint};
use portolan::abi::Disposition;
use portolan::abi::message::{Header, MESSAGE_MAX, Options};
use portolan::abi::notification::Kind;
use portolan::{Error, Name, Result};

/// `msg_header_t`.
#[repr(C)]
struct ClassicHeader {
    /// The highest 8 bits say whether there is nothing but data in the message.
    simple: u32,
    size: u32,
    kind: c_int,
    local: u32,
    remote: u32,
    id: u32,
}

/// The field `msg_simple`.
const SIMPLE: u32 = 0xff << 24;
const TRUE: u32 = 1 << 24;
/// Bytes of the smallest message.
const HEADER_SIZE: usize = size_of::<ClassicHeader>();

/// How a destination can be meant.
const REMOTE: [Disposition; 3] = [Disposition::CopySend, Disposition::MoveSendOnce, Disposition::MakeSend];
/// How a reply port can be meant; that of a `msg_rpc` hears one reply, or that there will be none.
const REPLY: [Disposition; 2] = [Disposition::MakeSend, Disposition::CopySend];
const RPC_REPLY: [Disposition; 2] = [Disposition::MakeSendOnce, Disposition::CopySend];

/// Does something with a message, with each meaning of its header's rights until the kernel takes one.
fn with_meanings<T>(
    message: &mut Outgoing,
    has_reply: bool,
    replies: [Disposition; 2],
    mut act: impl FnMut(&mut Outgoing) -> Result<T, Missed>,
) -> Result<T, Missed> {
    let (mut remote, mut reply) = (0, 0);
    loop {
        let local = if has_reply { replies[reply] as u8 } else { 0 };
        message.set_bits(Header::bits_of(REMOTE[remote] as u8, local));
        match act(message) {
            Err(Missed { error: Error::SendInvalidPort, .. }) if remote + 1 < REMOTE.len() => remote += 1,
            Err(Missed { error: Error::SendInvalidReply, .. }) if reply + 1 < replies.len() => reply += 1,
            result => return result,
        }
    }
}

/// A classic message as the kernel's.
///
/// # Safety
/// As many bytes as its size says can be read.
unsafe fn outgoing(message: &ClassicHeader) -> Result<Outgoing> {
    let size = (message.size as usize).checked_sub(HEADER_SIZE).ok_or(Error::SendTooSmall)?;
    if size > MESSAGE_MAX {
        return Err(Error::SendTooLarge);
    }
    let behind = core::ptr::from_ref(message).wrapping_add(1);
    // SAFETY: the caller vouches for them.
    let body = unsafe { bytes(behind.cast(), size) };
    let (remote, local) = (Name(message.remote), Name(message.local));
    Outgoing::new(Header { remote, local, id: message.id, ..Header::default() }, message.simple & SIMPLE == 0, body)
}

/// Gives a classic program its message, or what is to be known of one that was too large; the result.
///
/// # Safety
/// There is room for a header, and for the message that was received.
unsafe fn answer(into: *mut ClassicHeader, received: Result<Incoming, Missed>) -> c_int {
    match received {
        Ok(message) => {
            // SAFETY: the caller vouches for the room.
            unsafe { into.write(header(&message)) };
            // SAFETY: and for that of the body.
            unsafe { into.wrapping_add(1).cast::<u8>().copy_from(message.body.as_ptr(), message.body.len()) };
            0
        }
        Err(Missed { error, size }) => {
            if error == Error::ReceiveTooLarge {
                // SAFETY: it is a header.
                unsafe { (*into).size = size as u32 };
            }
            code::classic_message(error)
        }
    }
}

fn header(message: &Incoming) -> ClassicHeader {
    let Header { remote, local, id, .. } = message.header;
    // In Mach 2.5 a name goes when its port dies; here it stays, as a dead name, until it is given up.
    let id = match message.sender {
        Sender::Kernel(Some(Kind::DeadName)) => Kind::PortDeleted as u32,
        _ => id,
    };
    ClassicHeader {
        simple: if message.complex { 0 } else { TRUE },
        size: message.size() as u32,
        kind: if message.sender == Sender::Task { 0 } else { 1 },
        local: local.0,
        remote: shown(remote, Generation::Classic).0,
        id,
    }
}

fn options(option: c_uint, unknown: Error) -> Result<Options> {
    Options::from_bits(option).ok_or(unknown)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn msg_send(message: &ClassicHeader, option: c_uint, timeout: u32) -> c_int {
    // SAFETY: the caller passes a message.
    let outgoing = unsafe { outgoing(message) };
    let sent = outgoing.map_err(Missed::from).and_then(|mut outgoing| {
        let options = options(option, Error::SendInvalidOptions)?;
        with_meanings(&mut outgoing, message.local != 0, REPLY, |outgoing| Ok(outgoing.send(options, timeout)?))
    });
    sent.map_or_else(|missed| code::classic_message(missed.error), |()| 0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn msg_receive(message: &mut ClassicHeader, option: c_uint, timeout: u32) -> c_int {
    let (port, room) = (Name(message.local), message.size as usize);
    let place = Place { port, room, timeout, seen: Generation::Classic };
    let received = options(option, Error::ReceiveInvalidOptions)
        .map_err(Missed::from)
        .and_then(|options| transfer::receive(place, options));
    // SAFETY: the caller passes a buffer of this size.
    unsafe { answer(message, received) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn msg_rpc(
    message: &mut ClassicHeader,
    option: c_uint,
    room: u32,
    send_timeout: u32,
    receive_timeout: u32,
) -> c_int {
    // SAFETY: the caller passes a message.
    let outgoing = unsafe { outgoing(message) };
    let port = Name(message.local);
    let place = Place { port, room: room as usize, timeout: receive_timeout, seen: Generation::Classic };
    let received = outgoing.map_err(Missed::from).and_then(|mut outgoing| {
        let options = options(option, Error::SendInvalidOptions)?;
        with_meanings(&mut outgoing, port != Name::NULL, RPC_REPLY, |outgoing| {
            transfer::exchange(outgoing, send_timeout, place, options)
        })
    });
    // SAFETY: the caller passes a buffer of this size.
    unsafe { answer(message, received) }
}
