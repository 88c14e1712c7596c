//! What the kernel says to a person: faults of user tasks, and its state in a panic or on demand.
//!
//! Invariant: nothing here changes the kernel's state, and nothing here can panic on
//! a state that is half changed. Neighbours: `run`, the binary's panic handler.

use crate::arena::Arena;
use crate::kernel::Kernel;
use crate::task::thread::{Sending, State, Wait};
use crate::task::{Task, TaskId, ThreadId, Threads};
use crate::trace::Ring;
use core::fmt::{self, Write};
use portolan_abi::trace::Step;

/// Trace events that a panic shows, for each processor.
const EVENTS_SHOWN: u64 = 32;
/// Milliseconds from one answer to the next, at least.
const BETWEEN_MS: u32 = 1000;

/// Says why a task was ended.
pub fn task_fault(k: &mut Kernel, thread: ThreadId, task: TaskId, cause: fmt::Arguments<'_>) {
    let Kernel { tasks, threads, console, .. } = k;
    let (Some(task), Some(thread)) = (tasks.get(task), threads.get(thread)) else { return };
    let Some(context) = &thread.context else { return };
    let at = context.instruction().0;
    // Nothing can be done where the console itself fails.
    let _ = writeln!(console, "task {} (#{}) ended at {at:#x}: {cause}", task.name, task.serial);
}

/// Says why the machine stops.
pub fn first_task_ended(k: &mut Kernel) {
    // Nothing can be done where the console itself fails.
    let _ = writeln!(k.console, "the first task has ended without a word to the host port: the machine stops");
}

/// Shows the kernel's state to whoever has sent a non-maskable interrupt, and goes on. It is asked for more
/// often than that is worth, perhaps: it answers once a second.
#[cold]
#[inline(never)]
pub fn on_demand(k: &mut Kernel) {
    if k.reported.is_some_and(|last| k.now < last.plus_ms(BETWEEN_MS)) {
        return;
    }
    k.reported = Some(k.now);
    let Kernel { traces, tasks, threads, console, .. } = k;
    // Nothing can be done where the console itself fails.
    let _ = writeln!(console, "the kernel works; a non-maskable interrupt has asked for its state");
    let _ = show(traces, tasks, threads, console);
}

/// Shows the last events and what each thread does.
pub fn state(k: &Kernel, out: &mut dyn Write) -> fmt::Result {
    show(&k.traces, &k.tasks, &k.threads, out)
}

fn show(traces: &[Ring], tasks: &Arena<Task>, threads: &Threads, out: &mut dyn Write) -> fmt::Result {
    for (cpu, ring) in traces.iter().enumerate() {
        writeln!(out, "last messages, processor {cpu}:")?;
        let first = ring.first_from(ring.recorded().saturating_sub(EVENTS_SHOWN));
        for event in ring.iter_from(first) {
            let Some(step) = Step::from_code(event.step) else { continue };
            write!(
                out,
                "  {:>12} ns  message {} id {} {step:?} port #{}",
                event.time, event.message, event.id, event.port
            )?;
            match event.thread {
                u32::MAX => writeln!(out)?,
                thread => writeln!(out, " thread #{thread}")?,
            }
        }
    }
    writeln!(out, "threads:")?;
    for (id, thread) in threads.iter() {
        let Some(task) = tasks.get(thread.task) else { continue };
        write!(out, "  {id:?} of {} (#{}), priority {}: ", task.name, task.serial, thread.priority)?;
        match &thread.state {
            State::Running => writeln!(out, "runs")?,
            State::Ready => writeln!(out, "is ready")?,
            State::Suspended => writeln!(out, "is suspended")?,
            State::Waiting(Wait::Sleep) => writeln!(out, "sleeps")?,
            State::Waiting(Wait::Exception(raised)) => writeln!(out, "waits for a handler: {}", raised.cause)?,
            State::Waiting(Wait::Page(wait)) => writeln!(out, "waits for page {} from {:?}", wait.page, wait.pager)?,
            State::Waiting(Wait::Word(waiting)) => match waiting.owner {
                Some(owner) => writeln!(out, "waits on {:?}, which {owner:?} owns", waiting.key)?,
                None => writeln!(out, "waits on {:?}", waiting.key)?,
            },
            State::Waiting(Wait::Send(Sending { port, .. })) => writeln!(out, "waits to send to port {port:?}")?,
            State::Waiting(Wait::Receive(receiving)) => match receiving.port {
                Some(port) => writeln!(out, "waits to receive from port {port:?}")?,
                None => writeln!(out, "is about to receive")?,
            },
        }
    }
    Ok(())
}
