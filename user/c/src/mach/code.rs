//! The numbers of results: an error, as each generation of Mach numbers it.
//!
//! Mach 2.5 has fewer errors than Portolan: those that it does not tell apart are one number here. What
//! neither knows has a number of its own, after theirs.

use crate::unistd;
use alloc::ffi::CString;
use alloc::format;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use portolan::{Error, Once, Result};

/// `KERN_SUCCESS`.
pub(super) const SUCCESS: c_int = 0;

/// The result of `msg_send`, `msg_receive`, `msg_rpc`.
pub(super) fn classic_message(error: Error) -> c_int {
    match error {
        Error::SendInvalidRight | Error::SendInvalidReply => Error::SendInvalidPort.code(),
        Error::ReceivePortDied | Error::ReceiveInSet => Error::ReceiveInvalidPort.code(),
        other => other.code(),
    }
}

/// The result of a routine on ports, memory, tasks or threads that Mach 2.5 has.
pub(super) fn classic<T>(result: Result<T>, give: impl FnOnce(T)) -> c_int {
    number(result, give, |error| match error {
        Error::InvalidName
        | Error::InvalidTask
        | Error::InvalidRight
        | Error::InvalidValue
        | Error::InvalidCapability
        | Error::SendInvalidPort => Error::InvalidArgument.code(),
        other => other.code(),
    })
}

/// The result of a routine of Mach 3: the kernel's numbers are its own.
pub(super) fn mach<T>(result: Result<T>, give: impl FnOnce(T)) -> c_int {
    number(result, give, |error| match error {
        Error::SendInvalidPort => Error::InvalidTask.code(),
        other => other.code(),
    })
}

fn number<T>(result: Result<T>, give: impl FnOnce(T), of: impl FnOnce(Error) -> c_int) -> c_int {
    match result {
        Ok(value) => {
            give(value);
            SUCCESS
        }
        Err(error) => of(error),
    }
}

const SEND: c_int = 0x1000_0000;
const RECEIVE: c_int = 0x1000_4000;

/// The result of `mach_msg`.
pub(super) fn mach_message(error: Error) -> c_int {
    match error {
        Error::SendInvalidPort => SEND + 0x3,
        Error::SendTimedOut => SEND + 0x4,
        Error::SendWillNotify => SEND + 0x5,
        Error::SendNotifyInProgress => SEND + 0x6,
        Error::SendInterrupted => SEND + 0x7,
        Error::SendTooSmall => SEND + 0x8,
        Error::SendInvalidReply => SEND + 0x9,
        Error::SendInvalidRight => SEND + 0xa,
        Error::SendInvalidMemory => SEND + 0xc,
        Error::SendNoBuffer => SEND + 0xd,
        Error::SendTooLarge => SEND + 0x22,
        Error::SendInvalidType => SEND + 0xf,
        Error::SendInvalidHeader => SEND + 0x10,
        Error::SendPortFull => SEND + 0x20,
        Error::SendWouldDeadlock => SEND + 0x21,
        Error::ReceiveInvalidPort => RECEIVE + 0x2,
        Error::ReceiveTimedOut => RECEIVE + 0x3,
        Error::ReceiveTooLarge => RECEIVE + 0x4,
        Error::ReceiveInterrupted => RECEIVE + 0x5,
        Error::ReceivePortChanged => RECEIVE + 0x6,
        Error::ReceiveInvalidMemory => RECEIVE + 0x8,
        Error::ReceivePortDied => RECEIVE + 0x9,
        Error::ReceiveInSet => RECEIVE + 0xa,
        Error::ReceiveNoSpace => RECEIVE + 0x20,
        Error::ReceiveReplyLost => RECEIVE + 0x21,
        Error::ReceiveWouldDeadlock => RECEIVE + 0x22,
        other => other.code(),
    }
}

/// Every error's name, in the order of [`Error::ALL`].
static NAMES: Once<Vec<CString>> = Once::new();

/// The name of a result, by whichever number.
fn name(number: c_int) -> &'static CStr {
    if number == SUCCESS {
        return c"KERN_SUCCESS";
    }
    let named = |error: &Error| CString::new(error.classic_name()).unwrap_or_default();
    let names = NAMES.call_once(|| Error::ALL.iter().map(named).collect());
    let found = Error::ALL
        .iter()
        .position(|error| [error.code(), mach_message(*error), classic_message(*error)].contains(&number));
    found.and_then(|index| names.get(index)).map_or(c"unknown error", |name| name)
}

#[unsafe(no_mangle)]
extern "C" fn mach_error_string(number: c_int) -> *const c_char {
    name(number).as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mach_error(text: *const c_char, number: c_int) {
    // SAFETY: the caller passes a string.
    let text = unsafe { CStr::from_ptr(text) };
    let line = format!("{}: {} ({number})\n", text.to_string_lossy(), name(number).to_string_lossy());
    // There is nobody to tell that a word about a failure has failed.
    let _ = unistd::write_all(unistd::ERRORS, line.as_bytes());
}
