//! `sched.h`: priorities, in the kernel's terms.
//!
//! All threads take turns among those of the highest priority, so `SCHED_RR` is what there is. `SCHED_OTHER` is the
//! kernel's ordinary priority; the others' 1 to [`ABOVE_MAX`] lie above it.

use crate::errno::{self, Errno, number};
use crate::thread::{self, Block};
use crate::time::TimeSpec;
use core::ffi::c_int;
use portolan::abi::thread::{PRIORITY_DEFAULT, PRIORITY_MAX, QUANTUM_MS};

/// `SCHED_…`.
const OTHER: c_int = 0;
const FIFO: c_int = 1;
const RR: c_int = 2;
/// The highest priority of `SCHED_RR`.
const ABOVE_MAX: c_int = (PRIORITY_MAX - PRIORITY_DEFAULT) as c_int;

/// The lowest and highest of a policy.
fn range(policy: c_int) -> Result<(c_int, c_int), Errno> {
    match policy {
        OTHER => Ok((0, 0)),
        FIFO | RR => Ok((1, ABOVE_MAX)),
        _ => Err(Errno::Invalid),
    }
}

#[unsafe(no_mangle)]
extern "C" fn sched_get_priority_min(policy: c_int) -> c_int {
    errno::value_or_errno(range(policy).map(|(lowest, _)| lowest))
}

#[unsafe(no_mangle)]
extern "C" fn sched_get_priority_max(policy: c_int) -> c_int {
    errno::value_or_errno(range(policy).map(|(_, highest)| highest))
}

#[unsafe(no_mangle)]
extern "C" fn sched_rr_get_interval(_process: c_int, interval: &mut TimeSpec) -> c_int {
    *interval = TimeSpec { seconds: 0, nanoseconds: i64::from(QUANTUM_MS) * 1_000_000 };
    0
}

fn priority(thread: *const Block) -> Result<c_int, Errno> {
    let block = thread::find(thread).ok_or(Errno::NoProcess)?;
    Ok(block.priority()?.cast_signed() - PRIORITY_DEFAULT.cast_signed())
}

#[unsafe(no_mangle)]
extern "C" fn pthread_getschedparam(thread: *const Block, policy: &mut c_int, parameter: &mut c_int) -> c_int {
    number(priority(thread).map(|priority| {
        *policy = if priority == 0 { OTHER } else { RR };
        *parameter = priority;
    }))
}

fn set(thread: *const Block, policy: c_int, priority: c_int) -> Result<(), Errno> {
    let block = thread::find(thread).ok_or(Errno::NoProcess)?;
    let (lowest, highest) = range(policy)?;
    if policy == FIFO {
        return Err(Errno::NotSupported);
    }
    if !(lowest..=highest).contains(&priority) {
        return Err(Errno::Invalid);
    }
    block.set_priority(PRIORITY_DEFAULT + priority.cast_unsigned())
}

#[unsafe(no_mangle)]
extern "C" fn pthread_setschedparam(thread: *const Block, policy: c_int, parameter: &c_int) -> c_int {
    number(set(thread, policy, *parameter))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_setschedprio(thread: *const Block, priority: c_int) -> c_int {
    number(set(thread, if priority == 0 { OTHER } else { RR }, priority))
}
