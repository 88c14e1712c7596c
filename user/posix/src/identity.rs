//! Who this task is: user, group, and the umask.
//!
//! User and group are the kernel's to say: they stand in the trailer of whatever the task sends, and its
//! children have the same. The umask is the program's own. Neighbours: `mode`, what servers make of them.

use crate::{Errno, Mode, Result};
use core::sync::atomic::{AtomicU32, Ordering};
use portolan::abi::message::SecurityToken;
use portolan::{Capacity, Message, ReceiveRight};

static UMASK: AtomicU32 = AtomicU32::new(0o022);

/// Sets which permission bits a new object does not get, and returns the ones before.
pub fn umask(mask: u32) -> u32 {
    UMASK.swap(mask & 0o777, Ordering::Relaxed)
}

/// The mode of a new object for which a program gives these bits: what the umask leaves of them.
pub fn created_mode(bits: u32) -> u32 {
    Mode::new(bits, UMASK.load(Ordering::Relaxed)).bits()
}

/// The user that this task acts for.
///
/// # Errors
/// `NoMemory`, as for all of these: there is none for the message that tells.
pub fn getuid() -> Result<u32> {
    Ok(security()?.user)
}

/// The group that it acts for.
///
/// # Errors
/// `NoMemory`.
pub fn getgid() -> Result<u32> {
    Ok(security()?.group)
}

/// The user by whose rights it acts: the same, as no program has another's.
///
/// # Errors
/// `NoMemory`.
pub fn geteuid() -> Result<u32> {
    getuid()
}

/// The group by whose rights it acts: the same.
///
/// # Errors
/// `NoMemory`.
pub fn getegid() -> Result<u32> {
    getgid()
}

/// What the kernel says of this task. It is asked each time: it may have been given another.
fn security() -> Result<SecurityToken> {
    let ask = || {
        let port = ReceiveRight::allocate(Capacity::Bounded(1))?;
        port.make_send()?.send(Message::new(0)).map_err(|failure| failure.error)?;
        Ok(port.receive()?.security())
    };
    ask().map_err(|_: portolan::Error| Errno::NoMemory)
}
