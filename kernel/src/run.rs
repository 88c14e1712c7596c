//! The loop of each processor: pick a thread, run it, handle what it comes back with.
//!
//! Invariants: the lock is not held while user code runs; when user code runs no dead
//! port is left. No turn of the loop takes longer than one trap and one piece of clearing away.
//! Neighbours: `syscall` for calls, `sched` for who is next, `clear` for pieces, `vm::fault` for pages.

use crate::ipc::pager::{self, Then};
use crate::ipc::{interrupt, receive, send};
use crate::kernel::{Kernel, Outcome};
use crate::sched::Verdict;
use crate::syscall;
use crate::task::Caller;
use crate::task::exception::{self, Cause};
use crate::task::thread::{Completion, State, Thread, ThreadId, Unfinished, Wait};
use crate::task::word;
use crate::vm::{Fault, fault};
use crate::{check, clear, report};
use alloc::boxed::Box;
use core::hint::cold_path;
use portolan_abi::Error;
use portolan_abi::call::Call;
use portolan_machine::{Access, Context, Cpu, Frame, Instant, KernelLock, Trap, VirtAddr, pace};

/// What a processor does next.
pub enum Turn {
    /// Run a thread in an address space.
    Run {
        /// Which one.
        thread: ThreadId,
        /// Its registers, which it lends.
        context: Box<Context>,
        /// The top page table of its task.
        root: Frame,
    },
    /// Look whether something has happened, and then do the next piece of clearing away.
    Clear,
    /// Wait for something to happen.
    Idle,
}

/// Runs the machine, for ever.
pub fn forever(kernel: &KernelLock<Option<Kernel>>, cpu: &mut Cpu) -> ! {
    let mut guard = kernel.lock();
    loop {
        let mut turn = match guard.as_mut() {
            Some(k) => pick(k, cpu),
            None => Turn::Idle,
        };
        drop(guard);
        let trap = turn.take(cpu);
        guard = kernel.lock();
        if let Some(k) = guard.as_mut() {
            handle(k, cpu, turn, trap);
        }
    }
}

/// Picks, runs and handles once: one turn of the loop.
pub fn step(k: &mut Kernel, cpu: &mut Cpu) {
    k.cpu = cpu.id();
    let mut turn = pick(k, cpu);
    let trap = turn.take(cpu);
    handle(k, cpu, turn, trap);
}

impl Turn {
    #[inline(always)]
    fn take(&mut self, cpu: &mut Cpu) -> Trap {
        match self {
            Turn::Run { context, root, .. } => cpu.run(context, *root),
            Turn::Clear => {
                cold_path();
                cpu.poll()
            }
            Turn::Idle => {
                cold_path();
                cpu.idle()
            }
        }
    }
}

/// Decides what this processor does next.
#[inline(always)]
pub fn pick(k: &mut Kernel, cpu: &mut Cpu) -> Turn {
    let turn = loop {
        if k.clearing.left && clear::goes_first(k) {
            cold_path();
            break Turn::Clear;
        }
        let Some(id) = k.current.take().or_else(|| k.scheduler.pick(&mut k.threads, k.now)) else {
            cold_path();
            break Turn::Idle;
        };
        let thread = &mut k.threads[id];
        thread.state = State::Running;
        if let Some(unfinished) = thread.unfinished.take() {
            cold_path();
            if !finish(k, id, unfinished) {
                // As many may follow as there are threads.
                break Turn::Clear;
            }
            k.current = Some(id);
            continue;
        }
        let Some(context) = thread.context.take() else {
            cold_path();
            continue;
        };
        break Turn::Run { thread: id, context, root: thread.root };
    };
    arm(k, cpu, &turn);
    turn
}

/// Does what a thread had not finished when it had to wait. False: it waits again.
#[inline(never)]
fn finish(k: &mut Kernel, thread: ThreadId, unfinished: Unfinished) -> bool {
    let Thread { task, handling, .. } = k.threads[thread];
    let me = Caller { thread, task, handling };
    match unfinished {
        Unfinished::Receive(receiving) => {
            k.restarted = receiving.began;
            let outcome = receive::receive(k, &me, &receiving.half, receiving.options, None);
            end_call(k, thread, outcome);
        }
        Unfinished::BringIn(absent, receiving) => {
            k.restarted = receiving.began;
            let outcome = receive::receive_after(k, &me, absent, &receiving);
            end_call(k, thread, outcome);
        }
        Unfinished::Call { began, refused } => {
            (k.restarted, k.withheld) = (Some(began), refused);
            if let Some((number, arguments)) = k.threads[thread].context.as_ref().map(|context| context.call()) {
                let outcome = again(k, me, number, arguments);
                end_call(k, thread, outcome);
            }
            k.withheld = None;
        }
        Unfinished::Fault(cause) => exception::raise(k, thread, cause),
        Unfinished::Woken(_) => {}
    }
    clear::away(k, Some(thread));
    k.threads.get(thread).is_some_and(|thread| matches!(thread.state, State::Running))
}

/// Does a call from the beginning.
#[inline(never)]
fn again(k: &mut Kernel, me: Caller, number: u64, arguments: [u64; 6]) -> Outcome {
    syscall::perform(k, me, Call::decode(number, arguments))
}

/// Sets the timer, if what it is to announce is earlier than what it is set to.
#[inline]
fn arm(k: &mut Kernel, cpu: &mut Cpu, turn: &Turn) {
    let turn_ends = match turn {
        Turn::Run { .. } => k.scheduler.turn_ends(),
        Turn::Clear | Turn::Idle => Instant(u64::MAX),
    };
    let wanted = k.timers.earliest().unwrap_or(turn_ends).min(turn_ends);
    if wanted < k.armed {
        cold_path();
        k.armed = wanted;
        cpu.set_deadline(Some(wanted));
    }
}

/// Handles what a turn ended with.
#[inline(always)]
pub fn handle(k: &mut Kernel, cpu: &mut Cpu, turn: Turn, trap: Trap) {
    k.cpu = cpu.id();
    k.now = cpu.now();
    let (by, goes_on) = match turn {
        Turn::Run { thread: id, context, .. } => {
            let thread = &mut k.threads[id];
            let me = Caller { thread: id, task: thread.task, handling: thread.handling };
            let context = thread.context.insert(context);
            let mut goes_on = Some(id);
            match trap {
                Trap::Syscall => {
                    k.restarted = None;
                    let (number, arguments) = context.call();
                    match syscall::dispatch(k, me, number, arguments) {
                        Outcome::Done(completion) => conclude(k, id, completion),
                        Outcome::Blocked => goes_on = None,
                    }
                }
                other => trapped(k, &me, other),
            }
            (Some(id), goes_on)
        }
        Turn::Clear => {
            cold_path();
            let interrupted = k.current.take();
            outside(k, trap);
            clear::piece(k);
            (None, interrupted)
        }
        Turn::Idle => {
            cold_path();
            outside(k, trap);
            (None, None)
        }
    };
    clear::away(k, by);
    if let Some(thread) = goes_on {
        settle(k, thread);
    }
    if cfg!(debug_assertions) {
        check::now_and_then(k);
    }
}

/// Handles what a thread's turn has ended with, but for a call.
#[cold]
fn trapped(k: &mut Kernel, me: &Caller, trap: Trap) {
    match trap {
        Trap::PageFault { address, access } => page_fault(k, me, address, access),
        Trap::Exception(refused) => exception::raise(k, me.thread, Cause::Processor(refused)),
        other => outside(k, other),
    }
}

/// Handles what comes also while no thread runs.
fn outside(k: &mut Kernel, trap: Trap) {
    match trap {
        Trap::Timer => timer(k),
        Trap::Interrupt(lines) => interrupt::arrived(k, lines),
        Trap::NonMaskable => report::on_demand(k),
        _ => {}
    }
}

fn end_call(k: &mut Kernel, thread: ThreadId, outcome: Outcome) {
    if let Outcome::Done(completion) = outcome {
        conclude(k, thread, completion);
    }
}

/// Ends a call, if the thread that made it is still there.
#[inline]
fn conclude(k: &mut Kernel, thread: ThreadId, completion: Completion) {
    if let Some(thread) = k.threads.get_mut(thread) {
        thread.complete(completion);
    }
}

/// A thread that could go on does, unless another's turn has come.
#[inline]
fn settle(k: &mut Kernel, thread: ThreadId) {
    let Some(running) = k.threads.get(thread).filter(|thread| matches!(thread.state, State::Running)) else { return };
    match k.scheduler.verdict(running.priority, k.now) {
        Verdict::GoOn => k.current = Some(thread),
        Verdict::FirstInLine => k.scheduler.make_ready_first(&mut k.threads, thread),
        Verdict::LastInLine => k.scheduler.make_ready(&mut k.threads, thread),
    }
}

/// Deadlines that are acted on in one trap.
const DEADLINES: usize = 16;
/// Instructions that one takes.
const PER_DEADLINE: u32 = 1500;

/// Acts on deadlines that have come. If there are more, the timer, set anew, fires again at once.
#[inline(never)]
fn timer(k: &mut Kernel) {
    k.armed = Instant(u64::MAX);
    for _ in 0..DEADLINES {
        let Some(thread) = k.timers.pop_due(&mut k.threads, k.now) else { return };
        pace(PER_DEADLINE);
        match k.threads[thread].state {
            State::Waiting(Wait::Send(_)) => send::time_out(k, thread),
            State::Waiting(Wait::Receive(_)) => {
                receive::finish_waiting(k, thread, Completion::failure(Error::ReceiveTimedOut));
            }
            State::Waiting(Wait::Page(_)) => pager::time_out(k, thread),
            State::Waiting(Wait::Word(_)) => word::finish(k, thread, Completion::failure(Error::TimedOut)),
            State::Waiting(Wait::Sleep) => wake(k, thread, Completion::success(0)),
            State::Running | State::Ready | State::Suspended | State::Waiting(Wait::Exception(_)) => {}
        }
    }
}

/// Ends a thread's sleep.
pub fn wake(k: &mut Kernel, thread: ThreadId, completion: Completion) {
    let Kernel { threads, timers, scheduler, .. } = k;
    timers.clear(threads, thread);
    threads[thread].complete(completion);
    scheduler.make_ready(threads, thread);
}

#[inline(never)]
fn page_fault(k: &mut Kernel, me: &Caller, address: VirtAddr, access: Access) {
    let Kernel { vm, accounts, tasks, .. } = k;
    let resolved = fault::touch(vm, accounts, &mut tasks[me.task].map, address, access).map(drop);
    let outcome = match resolved {
        Err(Fault::Absent(absent)) => pager::wait(k, me.thread, absent, Then::Touch(address), None),
        other => other,
    };
    if let Err(fault) = outcome {
        exception::raise(k, me.thread, Cause::Memory { address, access, fault });
    }
}
