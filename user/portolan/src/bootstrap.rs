//! What a task can ask of whoever started it, through its bootstrap port.
//!
//! The interface is defined as the kernel's are. The first task serves it for the
//! programs that it starts; a program serves it, or just the exit report, for its own.

use crate::Result;
use crate::archive::Archive;
use crate::console::Serial;
use crate::device::{Interrupt, IoPorts};
use crate::interface::MsgRpc;
use crate::layout::{Address, addressed, write};
use crate::memory_object::MemoryObject;
use crate::right::{ReceiveRight, SendRight};
use crate::start::startup;
use crate::trap;
use portolan_abi::interface::Routine;
use portolan_abi::message::Options;
use portolan_abi::{Disposition, Error};
use zerocopy::IntoBytes;

/// The routines.
pub mod routine {
    crate::interface! {
        base 3000;

        /// A send right to the privileged host port.
        1 host / Host () -> (; host: SendRight);

        /// A send right to the boot archive's memory object that allows reading, and
        /// the archive's bytes.
        2 archive / Archive () -> (size: u64; archive: SendRight);

        /// The task is about to end: with success if `code` is 0. Sent without a
        /// reply port.
        3 exit / Exit (code: u32, reserved: u32) -> ();

        /// The first serial line, for the console server: the port on which it is asked, the
        /// registers, and the interrupt, which comes to that port. It is given once.
        ///
        /// `NoAccess`: it has been given, or is not to be given at all.
        4 serial / Serial () -> (; port: ReceiveRight, io_ports: SendRight, interrupt: SendRight);
    }
}

/// How long an exit report waits for a place in its mailbox, in ms.
const REPORT_MS: u32 = 1000;

/// The bootstrap port.
///
/// # Errors
/// `InvalidCapability`: the task was started without one.
pub fn port() -> Result<&'static SendRight> {
    startup().bootstrap.as_ref().ok_or(Error::InvalidCapability)
}

/// Asks for the privileged host port.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn host() -> Result<SendRight> {
    let reply = routine::host(&MsgRpc, port()?.name())?;
    Ok(SendRight::from_name(reply.rights[0]))
}

/// Asks for the boot archive, and maps it.
///
/// # Errors
/// Those of the call, and what the other side says; those of [`Archive::map`].
pub fn archive() -> Result<Archive> {
    let reply = routine::archive(&MsgRpc, port()?.name())?;
    let object = MemoryObject::from_right(SendRight::from_name(reply.rights[0]));
    Archive::map(&object, reply.results.size)
}

/// Asks for the first serial line.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn serial() -> Result<Serial> {
    let [port, io_ports, interrupt, ..] = routine::serial(&MsgRpc, port()?.name())?.rights;
    Ok(Serial {
        port: ReceiveRight::from_name(port),
        io_ports: IoPorts::from_right(SendRight::from_name(io_ports)),
        interrupt: Interrupt::from_right(SendRight::from_name(interrupt)),
    })
}

/// Tells the other side that this task ends. Nobody waits for an answer.
pub fn report_exit(code: u32) {
    let Ok(port) = port() else { return };
    let mut report = [0; 4];
    let to = Address::new(port.name(), Disposition::CopySend);
    let header = portolan_abi::message::Header { id: routine::Exit::ID, ..addressed(to, Address::NONE) };
    write(&mut report, header, &[], routine::arguments::Exit { code, reserved: 0 }.as_bytes());
    // If the report cannot be delivered, the task's death tells the tale.
    let _ = trap::msg_send(&report, Options::SEND_TIMEOUT, REPORT_MS);
}
