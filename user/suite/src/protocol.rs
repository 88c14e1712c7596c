//! What a case asks of the runner, through its bootstrap right.
//!
//! The interface is defined as the kernel's own are. A case's task that ends
//! without saying how it went has crashed: that the runner learns from the kernel.
//! Neighbours: `runner`, the other end; `peer`.

use crate::case::Verdict;
use alloc::string::String;
use portolan::abi::task::Limits;
use portolan::abi::{Error, Name};
use portolan::interface::MsgRpc;
use portolan::{Right, SendRight, Task, start};

/// Bytes of a failure's text; what is longer is cut.
pub(crate) const REASON_SIZE: usize = 400;

/// The routines.
pub(crate) mod routine {
    use portolan::abi::task::Limits;

    portolan::abi::interface! {
        base 4000;

        /// The case is over and it went well.
        1 passed / Passed () -> ();

        /// The case is over and it went wrong: UTF-8, padded with zeros.
        2 failed / Failed (reason: [u8; crate::protocol::REASON_SIZE]) -> ();

        /// Starts a peer with these limits, whose bootstrap right is the one given.
        3 start_peer / StartPeer (limits: Limits; bootstrap) -> (; task);

        /// A right to the host port.
        4 host / Host () -> (; host);

        /// Keeps a right until the case is over.
        5 keep / Keep (; right) -> ();

        /// Ends this task when the case is over, if it still is there.
        6 adopt / Adopt (; task) -> ();

        /// Starts a program of the archive with these limits and argument text, both texts padded
        /// with zeros, whose bootstrap right is the one given.
        7 start_program / StartProgram (name: [u8; 32], arguments: [u8; 96], limits: Limits; bootstrap) -> (; task);

        /// A right to the boot archive, and its bytes.
        8 archive / Archive () -> (size: u64; archive);
    }
}

/// What a case's task may spend.
pub(crate) const CASE_LIMITS: Limits = Limits { memory: 8 << 20, ports: 16_384, frames: 8192 };
/// What a peer may spend, unless the case says otherwise.
pub(crate) const PEER_LIMITS: Limits = Limits { memory: 1 << 20, ports: 1024, frames: 1024 };

/// The right that leads to the runner; in a peer, to its case.
pub(crate) fn bootstrap() -> Name {
    start::startup().bootstrap.as_ref().expect("the runner starts its cases with a bootstrap right").name()
}

/// Starts a program of the archive.
pub(crate) fn start_program(name: &str, arguments: &str, limits: Limits, bootstrap: Right<'_>) -> Result<Task, Error> {
    let (name, arguments, bootstrap) = (padded(name)?, padded(arguments)?, bootstrap.descriptor());
    let reply = routine::start_program(&MsgRpc, self::bootstrap(), name, arguments, limits, bootstrap)?;
    Ok(Task::from_right(SendRight::from_name(reply.rights[0])))
}

fn padded<const SIZE: usize>(text: &str) -> Result<[u8; SIZE], Error> {
    let mut padded = [0; SIZE];
    padded.get_mut(..text.len()).ok_or(Error::InvalidValue)?.copy_from_slice(text.as_bytes());
    Ok(padded)
}

/// The text in front of the zeros.
pub(crate) fn text(padded: &[u8]) -> String {
    let end = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    String::from_utf8_lossy(&padded[..end]).into_owned()
}

/// Says how the case went.
pub(crate) fn report(verdict: Verdict) -> Result<(), Error> {
    match verdict {
        Ok(()) => routine::passed(&MsgRpc, bootstrap()).map(drop),
        Err(failure) => {
            let mut reason = [0; REASON_SIZE];
            let end = failure.reason.floor_char_boundary(REASON_SIZE);
            reason[..end].copy_from_slice(&failure.reason.as_bytes()[..end]);
            routine::failed(&MsgRpc, bootstrap(), reason).map(drop)
        }
    }
}
