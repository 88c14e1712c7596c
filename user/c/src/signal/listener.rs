//! The thread to which comes what signals are made of and is from outside.
//!
//! Its port is the task's exception port; so whoever has the task, its parent, can ask for it and send signals there,
//! and a child begins with the exception port of its parent, which tells it the way back, and which hears of the
//! exceptions of a child that has no such thread of its own. It is started when first it is needed.
//!
//! It is no thread of C: it has no block. Neighbours: `interrupt`, for which it tries again; `process`.

use super::interrupt::prepare;
use super::pending::Target;
use super::{Alarm, Effect, Info, Ports, STATE, Signal, State, flag, post};
use crate::errno::Errno;
use crate::process;
use crate::thread;
use alloc::sync::Arc;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};
use portolan::abi::exception::{Kind, code};
use portolan::abi::task::SpecialPort;
use portolan::interface::refusal;
use portolan::receive::Received;
use portolan::{Answer, Capacity, Decision, Error, Exception, Message, Mutex, Name, Notice, ReceiveRight};
use portolan::{SendRight, Task, Wait, WhenFull, trap};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The messages of processes that send signals to each other; nobody else has the right.
const SENT: u32 = 6900;
/// To itself: something is to be looked at.
const NUDGE: u32 = 6901;
/// After how many ms it tries again to stop a thread.
const AGAIN_MS: u32 = 2;
/// How long somebody is waited for who takes no more, in ms.
const FULL_MS: u32 = 1000;

/// A signal in a message.
#[derive(Clone, Copy, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Sent {
    signal: c_int,
    code: c_int,
    words: [u64; 2],
}

/// One thread starts it.
static STARTING: Mutex<()> = Mutex::new(());
/// The way to the parent's.
static PARENT: Mutex<Option<SendRight>> = Mutex::new(None);
/// Some thread is to be stopped that could not be.
static AGAIN: AtomicBool = AtomicBool::new(false);

/// Starts it, if it is not there.
///
/// # Errors
/// `Again`: there is no memory for one more thread.
pub(crate) fn start() -> Result<Arc<ReceiveRight>, Errno> {
    let is_there = || STATE.lock().ports.as_ref().map(|ports| Arc::clone(&ports.heard));
    if let Some(port) = is_there() {
        return Ok(port);
    }
    let _starting = STARTING.lock();
    is_there().map_or_else(launch, Ok).map_err(|_| Errno::Again)
}

fn launch() -> Result<Arc<ReceiveRight>, Error> {
    let port = Arc::new(ReceiveRight::allocate(Capacity::DEFAULT)?);
    let (reply, right) = (ReceiveRight::allocate(Capacity::Bounded(1))?, port.make_send()?);
    let its = Arc::clone(&port);
    portolan::thread::spawn(move || listen(&its))?.detach();
    Task::this().set_special_port(SpecialPort::Exception, right.into())?;
    STATE.lock().ports = Some(Ports { heard: Arc::clone(&port), reply });
    Ok(port)
}

/// In the child of a fork: what was the parent's listener is the way to the parent.
pub(crate) fn forked() {
    let way = Task::this().special_port(SpecialPort::Exception);
    *PARENT.lock() = way.and_then(SendRight::try_from).ok();
    AGAIN.store(false, Ordering::Relaxed);
}

impl State {
    /// Has it look at alarms and threads anew.
    pub(super) fn nudge(&self) {
        AGAIN.store(true, Ordering::Relaxed);
        let right = self.ports.as_ref().and_then(|ports| ports.heard.make_send().ok());
        if let Some(right) = right {
            // If there is no room, it is about to look in any case.
            let _ = right.send_or(Message::new(NUDGE), WhenFull::Return);
        }
    }
}

/// Sends a signal to the process that listens at this port.
///
/// # Errors
/// `NoProcess`: it has ended. `Again`: it does not listen.
fn send(to: &SendRight, info: Info) -> Result<(), Errno> {
    let sent = Sent { signal: info.signal.number(), code: info.code, words: info.words };
    match to.send_or(Message::new(SENT).value(sent), WhenFull::WaitMs(FULL_MS)) {
        Ok(_) => Ok(()),
        Err(failure) if failure.error == Error::SendInvalidPort => Err(Errno::NoProcess),
        Err(_) => Err(Errno::Again),
    }
}

/// Sends a signal to the parent.
///
/// # Errors
/// `Permission`: it is no process that takes signals. Those of [`send`].
pub(crate) fn send_to_parent(info: Info) -> Result<(), Errno> {
    match &*PARENT.lock() {
        Some(parent) => send(parent, info),
        None => Err(Errno::Permission),
    }
}

/// Who listens for a child.
pub(crate) enum Ear {
    /// The child itself.
    Its(SendRight),
    /// Nobody but this process: the child has said nothing of signals.
    Ours,
}

/// Who listens for this child.
///
/// # Errors
/// `NoProcess`: it has ended.
pub(crate) fn ear_of(child: &Task) -> Result<Ear, Errno> {
    let right = child.special_port(SpecialPort::Exception).map_err(|_| Errno::NoProcess)?;
    let ours = STATE.lock().ports.as_ref().map_or(Name::NULL, |ports| ports.heard.name());
    Ok(match SendRight::try_from(right) {
        Ok(right) if right.name() != ours => Ear::Its(right),
        _ => Ear::Ours,
    })
}

impl Ear {
    /// Sends the signal there; `None`: to nobody.
    pub(crate) fn tell(&self, info: Info) -> Option<Result<(), Errno>> {
        match self {
            Ear::Its(right) => Some(send(right, info)),
            Ear::Ours => None,
        }
    }
}

fn listen(port: &ReceiveRight) {
    loop {
        match port.receive_or(Wait::from(until_something())) {
            Ok(mut message) => hear(&mut message),
            Err(Error::ReceiveTimedOut) => {}
            // No memory for the message: it stays.
            Err(Error::ResourceShortage) => portolan::thread::sleep_ms(AGAIN_MS),
            Err(_) => return,
        }
        ring();
        try_again();
    }
}

/// In how many ms something is to be done without a message.
fn until_something() -> Option<u32> {
    if AGAIN.load(Ordering::Relaxed) {
        return Some(AGAIN_MS);
    }
    let at = STATE.lock().alarm.at?;
    let left = at.saturating_sub(trap::clock_get()).div_ceil(1_000_000);
    Some(u32::try_from(left).unwrap_or(u32::MAX))
}

fn hear(message: &mut Received) {
    if let Some(notice) = message.notice() {
        if let Notice::DeadName(task) | Notice::PortDeleted(task) = notice {
            process::a_child_has_died(task);
        }
        return;
    }
    match message.id() {
        SENT => take(message),
        NUDGE => {}
        _ => {
            let decision = Exception::of(message).map(raised);
            if let Answer::Reply(answer) =
                decision.map_or_else(|error| refusal(message.id(), error).into(), Decision::answer)
            {
                let _ = message.answer(answer);
            }
        }
    }
}

/// A signal of another process. Its word for who it is, is the kernel's.
fn take(message: &Received) {
    let Ok(Sent { signal, code, words: [_, value] }) = message.value::<Sent>() else { return };
    let Ok(signal) = Signal::numbered(signal) else { return };
    let sender = message.sender() & u64::from(u32::MAX) | u64::from(message.security().user) << 32;
    let _ = post(Info { signal, code, words: [sender, value] });
}

fn ring() {
    let rings = {
        let alarm = &mut STATE.lock().alarm;
        let rings = alarm.at.is_some_and(|at| at <= trap::clock_get());
        if rings {
            let Alarm { at, interval } = *alarm;
            alarm.at = at.filter(|_| interval > 0).map(|at| at.saturating_add(interval));
        }
        rings
    };
    if rings {
        let _ = post(Info { signal: Signal::ALRM, code: super::call::KERNEL, words: [0; 2] });
    }
}

/// Stops the threads that are to look and could not be stopped.
fn try_again() {
    if !AGAIN.swap(false, Ordering::Relaxed) {
        return;
    }
    let state = STATE.lock();
    let mut wanted = 0;
    thread::with_all(|threads| {
        for thread in threads.iter().filter(|thread| thread.is_wanted()) {
            state.try_to_interrupt(thread);
            wanted += 1;
        }
    });
    // Who was stopped may not have come to its end yet.
    if wanted > 0 {
        AGAIN.store(true, Ordering::Relaxed);
    }
}

/// An exception of this task, or of a child that has no listener.
fn raised(exception: Exception) -> Decision {
    let info = signal_of(&exception);
    if exception.task != *Task::this() {
        process::note_exception(&exception.task, info.signal);
        return Decision::NotHandled;
    }
    let mut state = STATE.lock();
    let prepared = thread::with_all(|threads| {
        let thread = threads.iter().find(|thread| thread.port() == exception.thread.right().name())?;
        let (signal, own) = (info.signal, &thread.signals);
        let is_handled = state.effect(signal) == Effect::Handle && !own.mask().contains(signal);
        if !is_handled || own.redirection.is_under_way() || !state.pending.add(Target::Thread(thread.address()), info) {
            return None;
        }
        let other = state.actions[signal.index()].has(flag::ON_STACK);
        let stack = own.free_alternate(exception.registers.rsp as usize).filter(|_| other);
        Some(prepare(thread, exception.registers, stack))
    });
    drop(state);
    match prepared {
        Some(registers) => Decision::GoOnWith(registers),
        None => {
            // The kernel ends the task, and says why.
            process::report_end_by(info.signal);
            Decision::NotHandled
        }
    }
}

/// The signal that an exception is (as on Linux).
fn signal_of(exception: &Exception) -> Info {
    const UNKNOWN: c_int = super::call::KERNEL;
    let invalid = |error: Error| exception.code == error.code().cast_unsigned();
    let (at, address) = (exception.registers.rip, exception.address);
    let (signal, code, address) = match exception.kind {
        Kind::BadAccess if invalid(Error::InvalidAddress) => (Signal::SEGV, 1, address),
        Kind::BadAccess if invalid(Error::ProtectionFailure) => (Signal::SEGV, 2, address),
        Kind::BadAccess if exception.code == code::PROTECTION => (Signal::SEGV, UNKNOWN, 0),
        Kind::BadAccess if exception.code == code::ALIGNMENT => (Signal::BUS, 1, address),
        Kind::BadAccess => (Signal::BUS, 2, address),
        Kind::BadInstruction => (Signal::ILL, 2, at),
        Kind::Arithmetic if exception.code == code::DIVIDE => (Signal::FPE, 1, at),
        Kind::Arithmetic => (Signal::FPE, floating_point_code(exception), at),
        Kind::Software => (Signal::SEGV, UNKNOWN, 0),
        Kind::Breakpoint if exception.code == code::STEP => (Signal::TRAP, 2, at),
        Kind::Breakpoint => (Signal::TRAP, 1, at),
    };
    Info { signal, code, words: [address, 0] }
}

/// `FPE_…`, by what the thread's MXCSR shows that it has not masked (Intel's manual, vol. 1, 10.2.3).
fn floating_point_code(exception: &Exception) -> c_int {
    const BY_FLAG: [(u32, c_int); 5] = [(1 << 2, 3), (1 << 0, 7), (1 << 3, 4), (1 << 4, 5), (1 << 5, 6)];
    let Ok(state) = exception.thread.floating_point() else { return 0 };
    let mxcsr = u32::from_le_bytes([state.bytes[24], state.bytes[25], state.bytes[26], state.bytes[27]]);
    let raised = mxcsr & !(mxcsr >> 7);
    BY_FLAG.iter().find(|(flag, _)| raised & flag != 0).map_or(7, |(_, code)| *code)
}
