//! The functions of `signal.h`, and those that send or wait for signals.
//!
//! What is not here, musl makes of these: `signal`, `sigprocmask`, `sigwait`, `alarm`, `siglongjmp`, ….

use super::{
    Action, Alarm, BY_DEFAULT, Effect, IGNORED, Info, STATE, Set, SigInfo, SigStack, Signal, Target, deliver, listener,
    post_here, post_to, restarting,
};
use crate::cancel;
use crate::errno::{Errno, number, value_or_errno, zero_or_errno};
use crate::process::{self, getpid};
use crate::thread::{self, Block, this};
use crate::time::TimeSpec;
use core::ffi::{c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::Ordering;
use portolan::word::{self, Deadline};
use portolan::{Error, trap};

/// `SI_USER`, `SI_QUEUE`, `SI_TKILL`, `SI_KERNEL`.
const USER: c_int = 0;
const QUEUED: c_int = -1;
const OF_THREAD: c_int = -6;
pub(super) const KERNEL: c_int = 128;

/// `sigset_t`.
type SigSet = [u64; 16];

/// What is told of a signal that this process sends.
pub(crate) fn from_here(signal: Signal, code: c_int, value: u64) -> Info {
    let user = portolan_posix::getuid().unwrap_or(0);
    let sender = u64::from(getpid().cast_unsigned()) | u64::from(user) << 32;
    Info { signal, code, words: [sender, value] }
}

fn set_action(number: c_int, new: Option<&Action>, old: Option<&mut MaybeUninit<Action>>) -> Result<(), Errno> {
    let signal = Signal::numbered(number)?;
    if new.is_some() && signal.is_final() {
        return Err(Errno::Invalid);
    }
    if new.is_some_and(|new| new.handler != BY_DEFAULT) {
        listener::start()?;
    }
    let mut state = STATE.lock();
    if let Some(old) = old {
        old.write(state.actions[signal.index()]);
    }
    if let Some(new) = new {
        let mut mask = [0; 16];
        mask[0] = Set(new.mask[0]).blockable().0;
        state.actions[signal.index()] = Action { mask, ..*new };
        if state.effect(signal) == Effect::Ignore {
            state.pending.retain(|_, pending| pending != signal);
        }
    }
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn sigaction(number: c_int, new: Option<&Action>, old: Option<&mut MaybeUninit<Action>>) -> c_int {
    zero_or_errno(set_action(number, new, old))
}

/// By this name musl's own functions set one.
#[unsafe(no_mangle)]
extern "C" fn __sigaction(number: c_int, new: Option<&Action>, old: Option<&mut MaybeUninit<Action>>) -> c_int {
    sigaction(number, new, old)
}

/// Sends to a thread of this process; 0 only asks whether it is there.
fn send_to_thread(thread: &Block, number: c_int) -> Result<(), Errno> {
    if number == 0 {
        return Ok(());
    }
    let info = from_here(Signal::numbered(number)?, OF_THREAD, 0);
    post_to(Target::Thread(thread.address()), info, Some(this()))?;
    deliver(None);
    Ok(())
}

/// Its handler has run when this returns.
#[unsafe(no_mangle)]
extern "C" fn raise(number: c_int) -> c_int {
    zero_or_errno(send_to_thread(this(), number))
}

#[unsafe(no_mangle)]
extern "C" fn pthread_kill(thread: *const Block, signal: c_int) -> c_int {
    number(thread::find(thread).ok_or(Errno::NoProcess).and_then(|thread| {
        listener::start()?;
        send_to_thread(thread, signal)
    }))
}

/// Sends to a process, or to several; the signal 0 only asks whether it could be sent.
fn send(process: c_int, signal: c_int, code: c_int, value: u64) -> Result<(), Errno> {
    let signal = if signal == 0 { None } else { Some(Signal::numbered(signal)?) };
    let info = signal.map(|signal| from_here(signal, code, value));
    let to_self = || info.map_or(Ok(()), |info| listener::start().and_then(|_| post_here(info)));
    match process {
        // All that are one's own: a process and its children are one group.
        0 => {
            process::send_to_children(info);
            to_self()
        }
        -1 => match process::send_to_children(info) {
            0 => Err(Errno::NoProcess),
            _ => Ok(()),
        },
        group if group < 0 => {
            if group.checked_neg() != Some(getpid()) {
                return Err(Errno::NoProcess);
            }
            process::send_to_children(info);
            to_self()
        }
        itself if itself == getpid() => to_self(),
        other => process::send(other, info),
    }
}

#[unsafe(no_mangle)]
extern "C" fn kill(process: c_int, signal: c_int) -> c_int {
    zero_or_errno(send(process, signal, USER, 0))
}

#[unsafe(no_mangle)]
extern "C" fn sigqueue(process: c_int, signal: c_int, value: *mut c_void) -> c_int {
    zero_or_errno(send(process, signal, QUEUED, value.expose_provenance() as u64))
}

/// It ends the process, whatever is blocked, and whatever a handler does but leave by a jump.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    let own = &this().signals;
    own.set_mask(own.mask().without(Set::of(Signal::ABRT)));
    let _ = raise(Signal::ABRT.number());
    process::end_by(Signal::ABRT)
}

/// `SIG_BLOCK`, `SIG_UNBLOCK`, `SIG_SETMASK`.
fn change_mask(how: c_int, set: Option<Set>) -> Result<Set, Errno> {
    let own = &this().signals;
    let before = own.mask();
    let Some(set) = set else { return Ok(before) };
    let after = match how {
        0 => before.with(set),
        1 => before.without(set),
        2 => set,
        _ => return Err(Errno::Invalid),
    };
    if after != Set::EMPTY {
        listener::start()?;
    }
    own.set_mask(after);
    deliver(None);
    Ok(before)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_sigmask(how: c_int, set: Option<&SigSet>, old: *mut SigSet) -> c_int {
    // The two may be one.
    let set = set.map(|set| Set(set[0]));
    number(change_mask(how, set).map(|before| {
        if !old.is_null() {
            let mut masks = [0; 16];
            masks[0] = before.0;
            // SAFETY: the caller passes where it goes.
            unsafe { old.write(masks) };
        }
    }))
}

#[unsafe(no_mangle)]
extern "C" fn sigpending(set: &mut MaybeUninit<SigSet>) -> c_int {
    let me = this();
    let mut masks = [0; 16];
    masks[0] = STATE.lock().pending.of(me.address()).0 & me.signals.mask().0;
    set.write(masks);
    0
}

/// Waits until a handler has run, with this mask meanwhile.
fn suspend(mask: Set) -> Errno {
    let own = &this().signals;
    let handled = own.handled();
    let before = own.set_mask(mask);
    deliver(None);
    while own.handled() == handled {
        // Woken or not: it looks again.
        let _ = cancel::point(|| word::wait(&own.handled, handled, Deadline::NEVER));
        if this().cancel.is_due() {
            own.set_mask(before);
            cancel::test();
        }
    }
    own.set_mask(before);
    deliver(None);
    Errno::Interrupted
}

#[unsafe(no_mangle)]
extern "C" fn sigsuspend(mask: &SigSet) -> c_int {
    zero_or_errno(listener::start().and_then(|_| Err(suspend(Set(mask[0])))))
}

#[unsafe(no_mangle)]
extern "C" fn pause() -> c_int {
    zero_or_errno(listener::start().and_then(|_| Err(suspend(this().signals.mask()))))
}

/// Takes a signal of this set, and waits for one.
fn wait_for(set: Set, deadline: Deadline) -> Result<Info, Errno> {
    let me = this();
    let own = &me.signals;
    restarting(|| {
        loop {
            let seen = {
                let mut state = STATE.lock();
                own.awaited.store(0, Ordering::Relaxed);
                if let Some(info) = state.pending.take(me.address(), set) {
                    return Ok(info);
                }
                own.awaited.store(set.0, Ordering::Relaxed);
                own.arrivals.load(Ordering::Relaxed)
            };
            let waited = word::wait(&own.arrivals, seen, deadline);
            let came = own.arrivals.load(Ordering::Acquire) != seen;
            match waited {
                _ if came => {}
                Ok(()) | Err(Error::ValueDiffers) => {}
                Err(error) => {
                    let _state = STATE.lock();
                    if own.arrivals.load(Ordering::Relaxed) != seen {
                        continue;
                    }
                    own.awaited.store(0, Ordering::Relaxed);
                    return Err(if error == Error::TimedOut { Errno::Again } else { Errno::Interrupted });
                }
            }
        }
    })
}

fn timed_wait(set: &SigSet, time: Option<&TimeSpec>) -> Result<Info, Errno> {
    listener::start()?;
    let deadline = match time {
        None => Deadline::NEVER,
        Some(time) => Deadline::at(trap::clock_get().saturating_add(time.duration().ok_or(Errno::Invalid)?)),
    };
    wait_for(Set(set[0]), deadline)
}

#[unsafe(no_mangle)]
extern "C" fn sigtimedwait(set: &SigSet, told: Option<&mut MaybeUninit<SigInfo>>, time: Option<&TimeSpec>) -> c_int {
    value_or_errno(timed_wait(set, time).map(|info| {
        if let Some(told) = told {
            told.write(SigInfo::of(info));
        }
        info.signal.number()
    }))
}

/// `SS_ONSTACK`, `SS_DISABLE`, `MINSIGSTKSZ`.
const ON_STACK: c_int = 1;
const DISABLED: c_int = 2;
const STACK_MIN: usize = 2048;

fn set_stack(new: Option<SigStack>) -> Result<SigStack, Errno> {
    let own = &this().signals;
    let [start, size] = own.alternate.each_ref().map(|word| word.load(Ordering::Relaxed));
    let here = 0_u8;
    let is_used = own.is_on_alternate((&raw const here).addr());
    let flags = match size {
        0 => DISABLED,
        _ if is_used => ON_STACK,
        _ => 0,
    };
    if let Some(new) = new {
        let size = if new.flags & DISABLED != 0 { 0 } else { new.size };
        match new.flags & !DISABLED {
            _ if is_used => return Err(Errno::Permission),
            0 if new.flags & DISABLED == 0 && new.size < STACK_MIN => return Err(Errno::NoMemory),
            0 | ON_STACK => {}
            _ => return Err(Errno::Invalid),
        }
        own.alternate[0].store(new.start, Ordering::Relaxed);
        own.alternate[1].store(size, Ordering::Relaxed);
    }
    Ok(SigStack { start, flags, size })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sigaltstack(new: *const SigStack, old: *mut SigStack) -> c_int {
    // SAFETY: the caller passes one, or null.
    let new = unsafe { new.as_ref() }.copied();
    zero_or_errno(set_stack(new).map(|before| {
        if !old.is_null() {
            // SAFETY: the caller passes where it goes.
            unsafe { old.write(before) };
        }
    }))
}

/// `struct timeval`, twice: `struct itimerval`.
#[derive(Clone, Copy)]
#[repr(C)]
struct TimerValue {
    interval: [c_long; 2],
    left: [c_long; 2],
}

/// In nanoseconds.
fn duration([seconds, microseconds]: [c_long; 2]) -> Result<u64, Errno> {
    let below = u64::try_from(microseconds).ok().filter(|part| *part < 1_000_000).ok_or(Errno::Invalid)?;
    let whole = u64::try_from(seconds).map_err(|_| Errno::Invalid)?;
    Ok(whole.saturating_mul(1_000_000).saturating_add(below).saturating_mul(1000))
}

fn time_value(nanoseconds: u64) -> [c_long; 2] {
    let microseconds = nanoseconds.div_ceil(1000);
    [(microseconds / 1_000_000) as c_long, (microseconds % 1_000_000) as c_long]
}

fn show(alarm: Alarm) -> TimerValue {
    // One that rings this moment is not off.
    let left = alarm.at.map_or(0, |at| at.saturating_sub(trap::clock_get()).max(1));
    TimerValue { interval: time_value(alarm.interval), left: time_value(left) }
}

fn set_alarm(new: &TimerValue) -> Result<Alarm, Errno> {
    let (interval, left) = (duration(new.interval)?, duration(new.left)?);
    let at = (left > 0).then(|| trap::clock_get().saturating_add(left));
    if at.is_some() {
        listener::start()?;
    }
    let mut state = STATE.lock();
    let before = core::mem::replace(&mut state.alarm, Alarm { at, interval });
    if at.is_some() {
        state.nudge();
    }
    Ok(before)
}

/// Only `ITIMER_REAL` (0): the processor's time is not counted.
#[unsafe(no_mangle)]
unsafe extern "C" fn setitimer(which: c_int, new: &TimerValue, old: *mut TimerValue) -> c_int {
    let new = *new;
    let set = if which == 0 { set_alarm(&new) } else { Err(Errno::Invalid) };
    zero_or_errno(set.map(|before| {
        if !old.is_null() {
            // SAFETY: the caller passes where it goes.
            unsafe { old.write(show(before)) };
        }
    }))
}

#[unsafe(no_mangle)]
extern "C" fn getitimer(which: c_int, value: &mut MaybeUninit<TimerValue>) -> c_int {
    if which != 0 {
        return zero_or_errno(Err(Errno::Invalid));
    }
    let alarm = STATE.lock().alarm;
    value.write(show(alarm));
    0
}

/// Musl's: what `sigsetjmp` does with the mask, at first and after a jump.
#[unsafe(no_mangle)]
unsafe extern "C" fn __sigsetjmp_tail(buffer: *mut u64, result: c_int) -> c_int {
    // Musl's jump buffer is 8 registers, a flag, and the mask.
    const MASK: usize = 9;
    let mask = buffer.wrapping_add(MASK);
    let own = &this().signals;
    if result == 0 {
        // SAFETY: the caller passes a jump buffer.
        unsafe { mask.write(own.mask().0) };
    } else {
        // SAFETY: it was written there at first.
        own.set_mask(Set(unsafe { mask.read() }));
        deliver(None);
    }
    result
}

const _: () = assert!(IGNORED == 1 && size_of::<Action>() == 152 && size_of::<SigInfo>() == 128);
