//! `time.h`: the machine's clock, the time of day, and sleeping.
//!
//! The machine's clock begins with the machine. What the time of day was then, the clock server says, and it is
//! asked once, so that the two differ by the same all the time; without that server the time of day is the
//! machine's clock. What is waited for is a time of the machine's clock in the end ([`Clock::time`]).

use crate::cancel;
use crate::errno::{self, Errno};
use crate::thread;
use core::ffi::{c_int, c_long, c_void};
use portolan::clock::Clock as Server;
use portolan::word::Deadline;
use portolan::{Name, Once, trap};
use portolan_posix::Time;

/// `struct timespec`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct TimeSpec {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: c_long,
}

const NANOSECONDS: u64 = 1_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// The longest sleep of one call, in ms.
const SLEEP_MAX: u64 = 1 << 30;

impl TimeSpec {
    fn of(nanoseconds: u64) -> TimeSpec {
        TimeSpec { seconds: (nanoseconds / NANOSECONDS) as i64, nanoseconds: (nanoseconds % NANOSECONDS) as c_long }
    }

    /// In nanoseconds; `None` if it is no time.
    pub(crate) fn duration(self) -> Option<u64> {
        let seconds = u64::try_from(self.seconds).ok()?;
        let below = u64::try_from(self.nanoseconds).ok().filter(|part| *part < NANOSECONDS)?;
        Some(seconds.saturating_mul(NANOSECONDS).saturating_add(below))
    }
}

/// Until when a call waits, whose times are those of `CLOCK_REALTIME`.
impl From<TimeSpec> for Time {
    fn from(time: TimeSpec) -> Time {
        Clock::TimeOfDay.time(time)
    }
}

/// A clock that a program can name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// `CLOCK_REALTIME`.
    TimeOfDay,
    /// `CLOCK_MONOTONIC`.
    Machine,
}

/// The time of day when the machine's clock began, in nanoseconds.
fn start_of_day() -> i64 {
    static START: Once<i64> = Once::new();
    let ask = || Server::find()?.now();
    *START.call_once(|| ask().map_or(0, |now| now.saturating_sub_unsigned(trap::clock_get())))
}

impl Clock {
    /// The one with this number: also those of Linux that differ from the two in nothing that this machine has.
    /// The processor's time that a process or thread has used is not counted.
    pub(crate) fn numbered(number: c_int) -> Option<Clock> {
        match number {
            0 | 5 | 8 | 11 => Some(Clock::TimeOfDay),
            1 | 4 | 6 | 7 | 9 => Some(Clock::Machine),
            _ => None,
        }
    }

    /// What it showed when the machine's clock began, in nanoseconds.
    fn start(self) -> i64 {
        match self {
            Clock::TimeOfDay => start_of_day(),
            Clock::Machine => 0,
        }
    }

    fn now(self) -> TimeSpec {
        let now = self.start().saturating_add_unsigned(trap::clock_get());
        TimeSpec { seconds: now.div_euclid(SECOND), nanoseconds: now.rem_euclid(SECOND) }
    }

    /// What the machine's clock shows when this one shows `time`. What is no time stays none.
    pub(crate) fn time(self, time: TimeSpec) -> Time {
        let TimeSpec { seconds, nanoseconds } = time;
        if !(0..SECOND).contains(&nanoseconds) {
            return Time { seconds, nanoseconds };
        }
        let start = self.start();
        let nanoseconds = nanoseconds - start.rem_euclid(SECOND);
        let seconds = seconds.saturating_sub(start.div_euclid(SECOND)).saturating_add(nanoseconds.div_euclid(SECOND));
        Time { seconds, nanoseconds: nanoseconds.rem_euclid(SECOND) }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut TimeSpec) -> c_int {
    errno::zero_or_errno(Clock::numbered(clock).ok_or(Errno::Invalid).map(|clock| {
        // SAFETY: the caller passes where the time goes.
        unsafe { time.write(clock.now()) };
    }))
}

/// No program may set the time of day, and no other clock can be set.
#[unsafe(no_mangle)]
extern "C" fn clock_settime(clock: c_int, time: &TimeSpec) -> c_int {
    let can_be_set = Clock::numbered(clock) == Some(Clock::TimeOfDay) && time.duration().is_some();
    errno::zero_or_errno(Err(if can_be_set { Errno::Permission } else { Errno::Invalid }))
}

/// By this name musl's own functions ask.
#[unsafe(no_mangle)]
unsafe extern "C" fn __clock_gettime(clock: c_int, time: *mut TimeSpec) -> c_int {
    // SAFETY: as for `clock_gettime`.
    unsafe { clock_gettime(clock, time) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_getres(clock: c_int, resolution: *mut TimeSpec) -> c_int {
    if Clock::numbered(clock).is_none() {
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

/// The same, but only a handler that has run cuts it short.
fn sleep_through(deadline: u64) -> Result<(), u64> {
    let own = &thread::this().signals;
    let handled = own.handled();
    loop {
        let slept = cancel::point(|| sleep_until(deadline));
        if slept.is_ok() {
            return Ok(());
        }
        cancel::test();
        if own.handled() != handled {
            return slept;
        }
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
    let Some(clock) = Clock::numbered(clock) else { return Errno::Invalid as c_int };
    let absolute = flags & ABSOLUTE != 0;
    let deadline = if absolute {
        clock.time(*time).deadline().map(Deadline::nanoseconds)
    } else {
        time.duration().map(|duration| trap::clock_get().saturating_add(duration)).ok_or(Errno::Invalid)
    };
    let Ok(deadline) = deadline else { return Errno::Invalid as c_int };
    let Err(missing) = sleep_through(deadline) else { return 0 };
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

/// Musl's: a file of a time zone, by its name. There are none, so the time is UTC, or what `TZ` says in words.
#[unsafe(no_mangle)]
extern "C" fn __map_file(_name: *const c_void, _size: *const c_void) -> *const c_void {
    core::ptr::null()
}

/// Musl's: gives such a file back.
#[unsafe(no_mangle)]
extern "C" fn __munmap(_start: *const c_void, _size: usize) -> c_int {
    0
}

/// `struct timeval`.
#[repr(C)]
struct TimeValue {
    seconds: i64,
    microseconds: c_long,
}

/// With no descriptor to look at it is a sleep, or a wait for a signal; with some, `ENOSYS`.
#[unsafe(no_mangle)]
extern "C" fn select(
    _count: c_int,
    reading: *const c_void,
    writing: *const c_void,
    except: *const c_void,
    time: Option<&TimeValue>,
) -> c_int {
    if ![reading, writing, except].into_iter().all(|set| set.is_null()) {
        return errno::zero_or_errno(Err(Errno::NoSystem));
    }
    let duration = match time {
        None => Some(u64::MAX),
        Some(&TimeValue { seconds, microseconds }) => {
            TimeSpec { seconds, nanoseconds: microseconds.saturating_mul(1000) }.duration()
        }
    };
    errno::zero_or_errno(
        duration.ok_or(Errno::Invalid).and_then(|duration| {
            sleep_through(trap::clock_get().saturating_add(duration)).map_err(|_| Errno::Interrupted)
        }),
    )
}
