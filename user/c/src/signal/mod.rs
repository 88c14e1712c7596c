//! Signals, made of ports, exceptions and registers: the kernel has none.
//!
//! A signal is put down in [`STATE`] for a thread of this process, or for whichever takes it ([`post`]). A thread
//! runs the handlers of its own signals itself ([`deliver`]): where it has sent them, where it lets them through,
//! or because it was stopped and sent to look. What comes from outside, exceptions, signals of other
//! processes, alarms, deaths of children, comes to the port of one more thread, which is there once the program has asked
//! for something of signals; so who has nothing to do with them pays nothing.
//!
//! ```text
//! set         which signals there are, and what each does by itself
//! pending     those that have been sent and not been taken
//! interrupt   another thread is stopped, and goes on in its handlers
//! listener    the thread to which comes what is from outside
//! call        the functions of signal.h
//! ```
//!
//! Invariant: who holds [`STATE`] is not stopped by another thread of the process, as that takes the same lock.
//! Neighbours: `thread`, in whose block each thread has its [`Own`]; `process` knows parents and
//! children; `cancel` interrupts threads, too.

mod call;
pub(crate) mod interrupt;
pub(crate) mod listener;
mod pending;
mod set;

use crate::cancel;
use crate::errno::Errno;
use crate::process;
use crate::thread::{self, Block, Threads, this};
use alloc::sync::Arc;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use pending::{Pending, Target};
use portolan::abi::registers::Registers;
use portolan::{Fork, Mutex, ReceiveRight, Task, word};
use set::LAST;

pub(crate) use call::from_here;
pub(crate) use pending::{Info, PENDING_MAX};
pub(crate) use set::{Default, QUEUED_KINDS, Set, Signal};

/// What the program has said that a signal does: `struct sigaction`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Action {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

/// `SIG_DFL`, `SIG_IGN`.
const BY_DEFAULT: usize = 0;
const IGNORED: usize = 1;

/// `SA_…`.
mod flag {
    pub(super) const ON_STACK: u32 = 0x0800_0000;
    pub(super) const RESTART: u32 = 0x1000_0000;
    pub(super) const NO_DEFER: u32 = 0x4000_0000;
    pub(super) const RESET: u32 = 0x8000_0000;
}

impl Action {
    const NONE: Action = Action { handler: BY_DEFAULT, mask: [0; 16], flags: 0, restorer: 0 };

    fn has(&self, flag: u32) -> bool {
        self.flags.cast_unsigned() & flag != 0
    }

    fn effect(&self, signal: Signal) -> Effect {
        match self.handler {
            BY_DEFAULT => match signal.by_default() {
                Default::Ignore => Effect::Ignore,
                Default::Stop => Effect::Stop,
                Default::End => Effect::End,
            },
            IGNORED => Effect::Ignore,
            _ => Effect::Handle,
        }
    }
}

/// What a signal does as things stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Ignore,
    Stop,
    End,
    Handle,
}

/// What the process knows of its signals.
struct State {
    actions: [Action; LAST + 1],
    pending: Pending,
    alarm: Alarm,
    /// They are there with the listener.
    ports: Option<Ports>,
}

struct Ports {
    /// The listener's.
    heard: Arc<ReceiveRight>,
    /// For what is asked of the kernel while a thread is stopped.
    reply: ReceiveRight,
}

static STATE: Mutex<State> =
    Mutex::new(State { actions: [Action::NONE; LAST + 1], pending: Pending::EMPTY, alarm: Alarm::OFF, ports: None });

/// `ITIMER_REAL`, in nanoseconds of the machine's clock.
#[derive(Clone, Copy)]
struct Alarm {
    at: Option<u64>,
    /// After how much it rings again; 0: it does not.
    interval: u64,
}

impl Alarm {
    const OFF: Alarm = Alarm { at: None, interval: 0 };
}

/// What a thread has of its own.
pub(crate) struct Own {
    mask: AtomicU64,
    /// Those that it waits for in `sigwait`.
    awaited: AtomicU64,
    /// How many of these have come: it waits on this word.
    arrivals: AtomicU64,
    /// How many handlers it has run, and how many of them without `SA_RESTART`.
    handled: AtomicU64,
    interruptions: AtomicU64,
    /// `sigaltstack`: its lowest address and size; no size is no such stack.
    alternate: [AtomicUsize; 2],
    redirection: interrupt::Redirection,
}

impl Own {
    /// That of a thread which blocks so much.
    pub(crate) fn new(mask: Set) -> Own {
        Own {
            mask: AtomicU64::new(mask.0),
            awaited: AtomicU64::new(0),
            arrivals: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            interruptions: AtomicU64::new(0),
            alternate: [const { AtomicUsize::new(0) }; 2],
            redirection: interrupt::Redirection::new(),
        }
    }

    pub(crate) fn mask(&self) -> Set {
        Set(self.mask.load(Ordering::Relaxed))
    }

    fn set_mask(&self, mask: Set) -> Set {
        Set(self.mask.swap(mask.blockable().0, Ordering::Relaxed))
    }

    /// From now on it takes none.
    pub(crate) fn block_all(&self) {
        self.set_mask(Set(u64::MAX));
    }

    /// Whether it is to look at its signals, and could not be stopped.
    pub(crate) fn is_wanted(&self) -> bool {
        self.redirection.is_wanted()
    }

    fn awaits(&self, signal: Signal) -> bool {
        Set(self.awaited.load(Ordering::Relaxed)).contains(signal)
    }

    /// Whether it would take this one now.
    fn takes(&self, signal: Signal) -> bool {
        self.awaits(signal) || !self.mask().contains(signal)
    }

    /// How many of its handlers end a call with `EINTR`.
    pub(crate) fn interruptions(&self) -> u64 {
        self.interruptions.load(Ordering::Relaxed)
    }

    /// How many handlers it has run.
    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    fn is_on_alternate(&self, address: usize) -> bool {
        let [start, size] = self.alternate.each_ref().map(|word| word.load(Ordering::Relaxed));
        address.wrapping_sub(start) < size
    }

    /// The address above the other stack, if there is one that is free for a handler.
    fn free_alternate(&self, from: usize) -> Option<usize> {
        let [start, size] = self.alternate.each_ref().map(|word| word.load(Ordering::Relaxed));
        (size > 0 && !self.is_on_alternate(from)).then_some(start + size)
    }
}

/// What is to become of the process, or not.
enum Outcome {
    GoesOn,
    Stops,
    Ends,
}

impl State {
    fn effect(&self, signal: Signal) -> Effect {
        self.actions[signal.index()].effect(signal)
    }

    fn post(
        &mut self,
        threads: &Threads<'_>,
        target: Target,
        info: Info,
        caller: Option<&Block>,
    ) -> Result<Outcome, Errno> {
        let signal = info.signal;
        let taker = match target {
            Target::Process => choose(threads, signal, caller),
            Target::Thread(address) => {
                let thread = threads.find(address).ok_or(Errno::NoProcess)?;
                Some(thread).filter(|thread| thread.signals.takes(signal))
            }
        };
        let is_awaited = taker.is_some_and(|taker| taker.signals.awaits(signal));
        if (taker.is_some() && !is_awaited) || signal.is_final() {
            match self.effect(signal) {
                Effect::Ignore => return Ok(Outcome::GoesOn),
                Effect::Stop => return Ok(Outcome::Stops),
                Effect::End => return Ok(Outcome::Ends),
                Effect::Handle => {}
            }
        }
        if !self.pending.add(target, info) {
            return Err(Errno::Again);
        }
        match taker {
            Some(taker) if is_awaited => {
                taker.signals.arrivals.fetch_add(1, Ordering::Release);
                word::wake(&taker.signals.arrivals, 1);
            }
            Some(taker) if !caller.is_some_and(|caller| core::ptr::eq(caller, taker)) => self.interrupt(taker),
            _ => {}
        }
        Ok(Outcome::GoesOn)
    }

    /// What a thread is to do next.
    fn next(&mut self, thread: &Block) -> Option<Delivery> {
        loop {
            let info = self.pending.take(thread.address(), Set(!thread.signals.mask().0))?;
            let signal = info.signal;
            match self.effect(signal) {
                Effect::Ignore => {}
                Effect::Stop => return Some(Delivery::Stop),
                Effect::End => return Some(Delivery::End(signal)),
                Effect::Handle => {
                    let action = self.actions[signal.index()];
                    if action.has(flag::RESET) {
                        self.actions[signal.index()].handler = BY_DEFAULT;
                    }
                    return Some(Delivery::Run(action, info));
                }
            }
        }
    }
}

/// Which thread takes a signal of the process: who waits for it, else the one that sends it, else the oldest that lets
/// it through.
fn choose<'a>(threads: &'a Threads<'_>, signal: Signal, caller: Option<&'a Block>) -> Option<&'a Block> {
    let takes = |thread: &&Block| thread.signals.takes(signal);
    let waiting = threads.iter().find(|thread| thread.signals.awaits(signal));
    waiting.or(caller.filter(takes)).or_else(|| threads.iter().find(takes))
}

/// Sends a signal to the process or one of its threads: `caller` is the thread that sends it, if it is one of C, and
/// must then see to its own ([`deliver`]).
///
/// # Errors
/// `Again`: too many are pending. `NoProcess`: the thread has ended.
fn post_to(target: Target, info: Info, caller: Option<&Block>) -> Result<(), Errno> {
    let outcome = {
        let mut state = STATE.lock();
        thread::with_all(|threads| state.post(threads, target, info, caller))
    };
    match outcome? {
        Outcome::GoesOn => {}
        Outcome::Stops => stop(),
        Outcome::Ends => process::end_by(info.signal),
    }
    Ok(())
}

/// Sends a signal to this process, from a thread that is not one of C, as when something has happened.
///
/// # Errors
/// `Again`: too many are pending.
pub(crate) fn post(info: Info) -> Result<(), Errno> {
    post_to(Target::Process, info, None)
}

/// The same; `caller` is the thread, if it is one of C, and must then [`take_mine`] when it can.
///
/// # Errors
/// `Again`: too many are pending.
pub(crate) fn post_from(info: Info, caller: Option<&Block>) -> Result<(), Errno> {
    post_to(Target::Process, info, caller)
}

/// Sends a signal to this process, from a thread of C, which takes it before this returns if none other does.
///
/// # Errors
/// `Again`: too many are pending.
pub(crate) fn post_here(info: Info) -> Result<(), Errno> {
    post_from(info, Some(this()))?;
    deliver(None);
    Ok(())
}

/// Runs the handlers of what is for the calling thread.
pub(crate) fn take_mine() {
    deliver(None);
}

/// Until another process lets this one go on.
fn stop() {
    let _ = Task::this().suspend();
}

/// What a thread does about one of its signals.
enum Delivery {
    Run(Action, Info),
    Stop,
    End(Signal),
}

/// Runs the handlers of all signals that are for the calling thread and that it does not block. `registers` are those
/// with which it goes on afterwards, if it was stopped for this.
fn deliver(mut registers: Option<&mut Registers>) {
    cancel::act_if_asynchronous();
    loop {
        let next = STATE.lock().next(this());
        match next {
            None => return,
            Some(Delivery::Stop) => stop(),
            Some(Delivery::End(signal)) => process::end_by(signal),
            Some(Delivery::Run(action, info)) => run(&action, info, registers.as_deref_mut()),
        }
    }
}

/// `siginfo_t`.
#[derive(Clone, Copy)]
#[repr(C)]
struct SigInfo {
    signal: c_int,
    errno: c_int,
    code: c_int,
    words: [u64; 14],
}

impl SigInfo {
    fn of(info: Info) -> SigInfo {
        let mut words = [0; 14];
        words[..2].copy_from_slice(&info.words);
        SigInfo { signal: info.signal.number(), errno: 0, code: info.code, words }
    }
}

/// `stack_t`.
#[derive(Clone, Copy)]
#[repr(C)]
struct SigStack {
    start: usize,
    flags: c_int,
    size: usize,
}

/// `ucontext_t`.
#[repr(C)]
struct Context {
    flags: u64,
    link: usize,
    stack: SigStack,
    /// In the order of Linux: see [`Context::registers`].
    general: [u64; 23],
    floating_point: usize,
    reserved: [u64; 8],
    mask: [u64; 16],
    floating_point_memory: [u64; 64],
}

impl Context {
    fn new(mask: Set, registers: Option<&Registers>) -> Context {
        let mut general = [0; 23];
        if let Some(r) = registers {
            let order = [
                r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx,
                r.rsp, r.rip, r.rflags,
            ];
            general[..order.len()].copy_from_slice(&order);
        }
        let (stack, mut masks) = (SigStack { start: 0, flags: 0, size: 0 }, [0; 16]);
        masks[0] = mask.0;
        let reserved = [0; 8];
        Context {
            flags: 0,
            link: 0,
            stack,
            general,
            floating_point: 0,
            reserved,
            mask: masks,
            floating_point_memory: [0; 64],
        }
    }

    /// The general registers as the handler has left them; of the flags, those that were.
    fn registers(&self, before: &Registers) -> Registers {
        let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, ..] = self.general;
        Registers { r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, ..*before }
    }
}

/// Runs a handler with what it blocks blocked, and on the stack that it wants.
fn run(action: &Action, info: Info, registers: Option<&mut Registers>) {
    let me = this();
    let own = &me.signals;
    let itself = if action.has(flag::NO_DEFER) { Set::EMPTY } else { Set::of(info.signal) };
    let before = own.mask();
    own.set_mask(before.with(Set(action.mask[0])).with(itself));
    own.handled.fetch_add(1, Ordering::Relaxed);
    if !action.has(flag::RESTART) {
        own.interruptions.fetch_add(1, Ordering::Relaxed);
    }
    let errno = me.errno.load(Ordering::Relaxed);
    let mut told = SigInfo::of(info);
    let mut context = Context::new(before, registers.as_deref());
    let wanted = if action.has(flag::ON_STACK) { own.free_alternate((&raw const told).addr()) } else { None };
    // SAFETY: the program has said that this is the handler; it gets what both kinds of handlers expect. The other stack
    // is the program's for this, and nothing runs on it.
    unsafe {
        interrupt::call_on(wanted.unwrap_or(0), action.handler, told.signal, &raw mut told, (&raw mut context).cast());
    }
    me.errno.store(errno, Ordering::Relaxed);
    own.set_mask(Set(context.mask[0]));
    if let Some(registers) = registers {
        *registers = context.registers(registers);
    }
}

/// Forks while no thread is in the middle of a signal; the child has the actions of the parent, and no signals.
pub(crate) fn fork_between(fork: impl FnOnce() -> portolan::Result<Fork>) -> portolan::Result<Fork> {
    let mut state = STATE.lock();
    let forked = fork();
    if matches!(forked, Ok(Fork::Child)) {
        state.pending = Pending::EMPTY;
        state.alarm = Alarm::OFF;
        // They are the parent's.
        core::mem::forget(state.ports.take());
        let own = &this().signals;
        own.awaited.store(0, Ordering::Relaxed);
        own.redirection.forget();
    }
    forked
}

/// Whether the process treats some signal in another way than one that has said nothing: it has to be asked then
/// what becomes of one.
pub(crate) fn has_its_own_ways() -> bool {
    let is_said = STATE.lock().actions.iter().any(|action| action.handler != BY_DEFAULT);
    is_said || this().signals.mask() != Set::EMPTY
}

/// Has the listener stop all threads that are to be stopped.
pub(crate) fn stop_those_wanted() {
    STATE.lock().nudge();
}

/// Takes away what is for a thread that has ended.
pub(crate) fn forget(thread: usize) {
    STATE.lock().pending.retain(|target, _| target != Target::Thread(thread));
}

/// Does what a signal may cut short, and does it again unless a handler has run that says otherwise.
///
/// # Errors
/// Those of `call`; `Interrupted`: a handler without `SA_RESTART` has run.
pub(crate) fn restarting<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    let own = &this().signals;
    let before = own.interruptions();
    loop {
        let ended = cancel::point(&mut call);
        if !matches!(ended, Err(Errno::Interrupted)) {
            return ended;
        }
        cancel::test();
        if own.interruptions() != before {
            return ended;
        }
    }
}
