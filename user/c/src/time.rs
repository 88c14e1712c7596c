//! `time.h`: the machine's clock, and sleeping.
//!
//! There is one clock, which begins with the machine: `CLOCK_REALTIME` counts from there, too.

use crate::errno::{self, Errno};
use core::ffi::{c_int, c_long};
use portolan::{Name, trap};
use portolan_posix::Time;

/// `struct timespec`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct TimeSpec {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: c_long,
}

const NANOSECONDS: u64 = 1_000_000_000;
/// The longest sleep of one call, in ms.
const SLEEP_MAX: u64 = 1 << 30;

impl TimeSpec {
    fn of(nanoseconds: u64) -> TimeSpec {
        TimeSpec { seconds: (nanoseconds / NANOSECONDS) as i64, nanoseconds: (nanoseconds % NANOSECONDS) as c_long }
    }

    /// In nanoseconds; `None` if it is no time.
    fn duration(self) -> Option<u64> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let below = u64::try_from(self.nanoseconds).ok().filter(|part| *part < NANOSECONDS)?;
        Some(seconds.saturating_mul(NANOSECONDS).saturating_add(below))
    }
}

impl From<TimeSpec> for Time {
    fn from(time: TimeSpec) -> Time {
        Time { seconds: time.seconds, nanoseconds: time.nanoseconds }
    }
}

/// `CLOCK_REALTIME`, `CLOCK_MONOTONIC`, and those of Linux that differ from them in nothing that this
/// machine has; the processor's time that a process or thread has used is not counted.
fn is_the_clock(clock: c_int) -> bool {
    matches!(clock, 0 | 1 | 4 | 5 | 6 | 7 | 11)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut TimeSpec) -> c_int {
    errno::zero_or_errno(if is_the_clock(clock) {
        // SAFETY: the caller passes where the time goes.
        unsafe { time.write(TimeSpec::of(trap::clock_get())) };
        Ok(())
    } else {
        Err(Errno::Invalid)
    })
}

/// By this name musl's own functions ask.
#[unsafe(no_mangle)]
unsafe extern "C" fn __clock_gettime(clock: c_int, time: *mut TimeSpec) -> c_int {
    // SAFETY: as for `clock_gettime`.
    unsafe { clock_gettime(clock, time) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_getres(clock: c_int, resolution: *mut TimeSpec) -> c_int {
    if !is_the_clock(clock) {
        return errno::zero_or_errno(Err(Errno::Invalid));
    }
    if !resolution.is_null() {
        // SAFETY: the caller passes where it goes.
        unsafe { resolution.write(TimeSpec { seconds: 0, nanoseconds: 1 }) };
    }
    0
}

/// Sleeps until the clock shows this; what is missing if the sleep was cut short.
fn sleep_until(deadline: u64) -> Result<(), u64> {
    loop {
        let left = deadline.saturating_sub(trap::clock_get());
        if left == 0 {
            return Ok(());
        }
        let ms = left.div_ceil(1_000_000).min(SLEEP_MAX) as u32;
        trap::thread_switch(Name::NULL, Some(ms)).map_err(|_| deadline.saturating_sub(trap::clock_get()))?;
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nanosleep(time: &TimeSpec, left: *mut TimeSpec) -> c_int {
    // SAFETY: as there.
    let result = unsafe { clock_nanosleep(1, 0, time, left) };
    if result == 0 {
        return 0;
    }
    let reason = if result == Errno::Interrupted as c_int { Errno::Interrupted } else { Errno::Invalid };
    errno::zero_or_errno(Err(reason))
}

/// `TIMER_ABSTIME`.
const ABSOLUTE: c_int = 1;

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_nanosleep(clock: c_int, flags: c_int, time: &TimeSpec, left: *mut TimeSpec) -> c_int {
    let (true, Some(duration)) = (is_the_clock(clock), time.duration()) else { return Errno::Invalid as c_int };
    let absolute = flags & ABSOLUTE != 0;
    let start = if absolute { 0 } else { trap::clock_get() };
    let Err(missing) = sleep_until(start.saturating_add(duration)) else { return 0 };
    if !absolute && !left.is_null() {
        // SAFETY: the caller passes where it goes.
        unsafe { left.write(TimeSpec::of(missing)) };
    }
    Errno::Interrupted as c_int
}

/// By this name musl's own functions sleep.
#[unsafe(no_mangle)]
unsafe extern "C" fn __clock_nanosleep(clock: c_int, flags: c_int, time: &TimeSpec, left: *mut TimeSpec) -> c_int {
    // SAFETY: as there.
    unsafe { clock_nanosleep(clock, flags, time, left) }
}

#[unsafe(no_mangle)]
extern "C" fn sched_yield() -> c_int {
    portolan::thread::yield_now();
    0
}
