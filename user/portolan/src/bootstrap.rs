//! What a task can ask of whoever started it, through its bootstrap port.
//!
//! The interface is defined as the kernel's are. The bootstrap server, which is the first task, serves
//! it for the servers and the program that it starts: to the program it gives everything, to a server
//! what its configuration says. A program serves it, or just the exit report, for its own.

use crate::Result;
use crate::archive::Archive;
use crate::console::{Keyboard, Screen, Serial};
use crate::device::{Interrupt, IoPorts};
use crate::interface::MsgRpc;
use crate::layout::{Address, addressed, write};
use crate::memory_object::MemoryObject;
use crate::right::{ReceiveRight, Right, SendRight};
use crate::service::ServiceName;
use crate::start::startup;
use crate::trap;
use portolan_abi::interface::Routine;
use portolan_abi::message::Options;
use portolan_abi::{Disposition, Error};
use spin::Once;
use zerocopy::IntoBytes;

/// The routines.
pub mod routine {
    use crate::service::ServiceName;
    use portolan_abi::host::Framebuffer;

    crate::interface! {
        base 3000;

        /// A send right to the privileged host port.
        ///
        /// `NoAccess`: it is not to be given.
        1 host / Host () -> (; host: SendRight);

        /// A send right to the boot archive's memory object that allows reading, and
        /// the archive's bytes.
        ///
        /// `NoAccess`: it is not to be given.
        2 archive / Archive () -> (size: u64; archive: SendRight);

        /// The task is about to end: with success if `code` is 0. Sent without a
        /// reply port.
        3 exit / Exit (code: u32, reserved: u32) -> ();

        /// The first serial line, for the console server: the registers, and the interrupt, which
        /// comes to the port of `told`. They are claimed anew for each who asks.
        ///
        /// `NoAccess`: it is not to be given. `NoSpace`: somebody has it.
        4 serial / Serial (; told: SendRight) -> (; io_ports: SendRight, interrupt: SendRight);

        /// The receive right of a service that was declared for the server that asks. It has a
        /// backup: when the server dies, the port lives on with what is queued, and is given to the
        /// server that is started in its place. (Mach's `bootstrap_check_in`.)
        ///
        /// `InvalidName`: no such service was declared for who asks. `Failure`: who asks has checked in
        /// already.
        5 check_in / CheckIn (name: ServiceName) -> (; service: ReceiveRight);

        /// For the name server: each declared service is told to the port of `to`
        /// ([`declaration`](crate::name_server::declaration)), those that exist before this is
        /// answered, others when they come into being.
        ///
        /// `NoAccess`: it is not to be told.
        6 services / Services (; to: SendRight) -> ();

        /// A send right that allows to look after the servers ([`servers`](crate::servers)).
        ///
        /// `NoAccess`: it is not to be given.
        7 control / Control () -> (; control: SendRight);

        /// The I/O ports of the machine's real-time clock, for the clock server. They are claimed anew for
        /// each who asks.
        ///
        /// `NoAccess`: it is not to be given. `NoSpace`: somebody has it.
        8 rtc / Rtc () -> (; io_ports: SendRight);

        /// The screen that the loader has set up, for the console server: how it is laid out, and its memory, which
        /// begins at the page of the screen's first byte. It is claimed anew for each who asks.
        ///
        /// `NoAccess`: it is not to be given. `Failure`: there is none. `NoSpace`: somebody has it.
        9 screen / Screen () -> (framebuffer: Framebuffer; memory: SendRight);

        /// The keyboard's controller, for the console server: its register of data, that of its state and
        /// commands, and the interrupt, which comes to the port of `told`. They are claimed anew for each
        /// who asks.
        ///
        /// `NoAccess`: it is not to be given. `NoSpace`: somebody has it.
        10 keyboard / Keyboard (; told: SendRight) -> (; data: SendRight, state: SendRight, interrupt: SendRight);
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

/// The boot archive, which is asked for and mapped the first time.
///
/// # Errors
/// Those of the call, and what the other side says; those of [`Archive::map`].
pub fn archive() -> Result<&'static Archive> {
    static ARCHIVE: Once<Archive> = Once::new();
    ARCHIVE.try_call_once(|| {
        let (object, size) = archive_object()?;
        Archive::map(&object, size)
    })
}

/// Asks for the boot archive's memory object, and the archive's bytes.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn archive_object() -> Result<(MemoryObject, u64)> {
    let reply = routine::archive(&MsgRpc, port()?.name())?;
    Ok((MemoryObject::from_right(SendRight::from_name(reply.rights[0])), reply.results.size))
}

/// Checks in: takes over the port of a service that was declared for this server.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn check_in(service: &str) -> Result<ReceiveRight> {
    let reply = routine::check_in(&MsgRpc, port()?.name(), ServiceName::new(service)?)?;
    Ok(ReceiveRight::from_name(reply.rights[0]))
}

/// Has the declared services told to a port.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn services(to: &ReceiveRight) -> Result<()> {
    routine::services(&MsgRpc, port()?.name(), Right::MakeSend(to).descriptor()).map(drop)
}

/// Asks for the right that allows to look after the servers.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn control() -> Result<SendRight> {
    let reply = routine::control(&MsgRpc, port()?.name())?;
    Ok(SendRight::from_name(reply.rights[0]))
}

/// Asks for the first serial line, whose interrupts come to the port of `told`.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn serial(told: &ReceiveRight) -> Result<Serial> {
    let told = Right::MakeSend(told).descriptor();
    let [io_ports, interrupt, ..] = routine::serial(&MsgRpc, port()?.name(), told)?.rights;
    Ok(Serial {
        io_ports: IoPorts::from_right(SendRight::from_name(io_ports)),
        interrupt: Interrupt::from_right(SendRight::from_name(interrupt)),
    })
}

/// Asks for the machine's real-time clock.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn rtc() -> Result<IoPorts> {
    let reply = routine::rtc(&MsgRpc, port()?.name())?;
    Ok(IoPorts::from_right(SendRight::from_name(reply.rights[0])))
}

/// Asks for the screen.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn screen() -> Result<Screen> {
    let reply = routine::screen(&MsgRpc, port()?.name())?;
    let memory = MemoryObject::from_right(SendRight::from_name(reply.rights[0]));
    Ok(Screen { framebuffer: reply.results.framebuffer, memory })
}

/// Asks for the keyboard's controller, whose interrupts come to the port of `told`.
///
/// # Errors
/// Those of the call, and what the other side says.
pub fn keyboard(told: &ReceiveRight) -> Result<Keyboard> {
    let told = Right::MakeSend(told).descriptor();
    let [data, state, interrupt, ..] = routine::keyboard(&MsgRpc, port()?.name(), told)?.rights;
    Ok(Keyboard {
        data: IoPorts::from_right(SendRight::from_name(data)),
        state: IoPorts::from_right(SendRight::from_name(state)),
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
