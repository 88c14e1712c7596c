//! A thread's registers, seen and set from outside.
//!
//! Invariant: they are set only where nobody else writes to them: a call in progress
//! still has to write its results. Neighbours: `service::thread`, `exception`.

use super::ThreadId;
use super::thread::{State, Wait};
use crate::kernel::Kernel;
use portolan_abi::registers::{FloatingPoint, Registers};
use portolan_abi::{Error, Result};
use portolan_machine::{Context, Unfit};

/// A thread's registers. None runs while the kernel does, so they are there.
///
/// # Errors
/// `Failure`: a processor has them.
pub fn of(k: &mut Kernel, target: ThreadId) -> Result<&mut Context> {
    k.threads[target].context.as_deref_mut().ok_or(Error::Failure)
}

/// Gives a stopped thread registers.
///
/// # Errors
/// Those of `thread::set_state`.
pub fn set(k: &mut Kernel, target: ThreadId, registers: &Registers) -> Result<()> {
    stopped(k, target)?.set_registers(registers).map_err(error)
}

/// Gives a stopped thread floating-point registers.
///
/// # Errors
/// Those of `thread::set_floating_point`.
pub fn set_floating_point(k: &mut Kernel, target: ThreadId, state: &FloatingPoint) -> Result<()> {
    stopped(k, target)?.set_floating_point(state).map_err(error)
}

fn stopped(k: &mut Kernel, target: ThreadId) -> Result<&mut Context> {
    let thread = &k.threads[target];
    match thread.state {
        State::Suspended if !thread.is_in_call() => of(k, target),
        State::Waiting(Wait::Exception(_)) => of(k, target),
        _ => Err(Error::Failure),
    }
}

fn error(unfit: Unfit) -> Error {
    match unfit {
        Unfit::Address => Error::InvalidAddress,
        Unfit::Flags => Error::InvalidArgument,
    }
}
