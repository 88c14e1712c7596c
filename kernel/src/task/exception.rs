//! Exceptions: a fault becomes a message to the thread's exception port, then the task's.
//!
//! The thread waits as in a call ([`Wait::Exception`]), for a reply through a send-once
//! right to its own kernel port; the right is tagged as that of a `msg_rpc` is, so that
//! its loss is seen and a late reply is told apart. Nobody's destruction of such a right
//! ends a task on the spot: the thread joins a line (`Kernel::unhandled`), which
//! `clear` empties when nothing else is half done. So a chain of handlers
//! that handle each other takes no stack.
//!
//! Invariant: a thread waits here only while its reply right exists, or is in that line.
//! Neighbours: `run` raises, `service` brings the reply, `abi::exception` is the reference.

use super::special::Held;
use super::thread::{Reply, State, Wait};
use super::{ThreadId, registers, terminate};
use crate::ipc::message::{Carried, CarriedRight, Envelope, Waiter};
use crate::ipc::port::{Owner, PortId, living};
use crate::ipc::{death, right, send};
use crate::kernel::Kernel;
use crate::piece::Units;
use crate::report;
use crate::vm::Fault;
use core::fmt;
use portolan_abi::error::result_of;
use portolan_abi::exception::{Action, Kind, Raise, arguments, code, results};
use portolan_abi::interface::{REPLY_OFFSET, ReplyHead, Routine};
use portolan_abi::registers::Registers;
use portolan_abi::{Error, Protection, Result};
use portolan_machine::{Access, Exception, VirtAddr};
use zerocopy::{FromBytes, IntoBytes};

/// What a thread did.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// It touched memory that is not there for it.
    Memory {
        /// Where.
        address: VirtAddr,
        /// How.
        access: Access,
        /// What was wrong.
        fault: Fault,
    },
    /// Something else that the processor refuses.
    Processor(Exception),
}

/// An exception that waits for its handler.
#[derive(Clone, Copy, Debug)]
pub struct Raised {
    /// What happened.
    pub cause: Cause,
    /// Whose exception port was told.
    pub level: Level,
}

/// Whose exception port it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The thread's own.
    Thread,
    /// The task's.
    Task,
}

/// Tells of an exception, and lets the thread wait; without anyone to tell, its task ends.
pub fn raise(k: &mut Kernel, thread: ThreadId, cause: Cause) {
    if !tell(k, thread, Raised { cause, level: Level::Thread }) {
        ask_task(k, thread, cause);
    }
}

fn ask_task(k: &mut Kernel, thread: ThreadId, cause: Cause) {
    if !tell(k, thread, Raised { cause, level: Level::Task }) {
        end_task(k, thread, cause);
    }
}

/// A task that did what it must not do ends, and nothing else does.
fn end_task(k: &mut Kernel, thread: ThreadId, cause: Cause) {
    let task = k.threads[thread].task;
    report::task_fault(k, thread, task, format_args!("{cause}"));
    terminate(k, task);
}

/// A thread's reply is lost, or was none: whoever is next is asked, when the trap is over.
pub fn lose(k: &mut Kernel, thread: ThreadId) {
    k.threads[thread].reply = Reply::Lost;
    k.unhandled.push_back(&mut k.threads, thread);
    k.clearing.added = true;
}

/// Asks whoever is next for the first thread in line. `None`: there is none.
pub fn take_unhandled(k: &mut Kernel) -> Option<Units> {
    let thread = k.unhandled.pop_front(&mut k.threads)?;
    k.threads[thread].reply = Reply::NotAwaited;
    if let State::Waiting(Wait::Exception(Raised { cause, level })) = k.threads[thread].state {
        match level {
            Level::Thread => ask_task(k, thread, cause),
            Level::Task => end_task(k, thread, cause),
        }
    }
    Some(Units::ONE)
}

/// A thread that waits is ended: it leaves the line, if it is in it.
pub fn abandon(k: &mut Kernel, thread: ThreadId) {
    if k.threads[thread].reply == Reply::Lost {
        k.unhandled.remove(&mut k.threads, thread);
    }
}

/// Ends the wait: the thread goes on, and a reply that comes later does nothing.
pub fn go_on(k: &mut Kernel, thread: ThreadId) {
    k.threads[thread].reply = Reply::NotAwaited;
    k.scheduler.make_ready(&mut k.threads, thread);
}

/// Takes the reply that came through a send-once right to a thread's kernel port.
///
/// # Errors
/// `Failure`: the thread waits for it no more. Any other error counts as not handled.
pub fn reply(k: &mut Kernel, thread: ThreadId, waiter: Waiter, id: u32, body: &[u8]) -> Result<()> {
    if k.threads[thread].reply != Reply::Awaited(waiter.serial) {
        return Err(Error::Failure);
    }
    let heeded = decode(id, body).and_then(|new| match new {
        Some(new) => registers::set(k, thread, &new),
        None => Ok(()),
    });
    match heeded {
        Ok(()) => go_on(k, thread),
        Err(_) => lose(k, thread),
    }
    heeded
}

/// The registers that a reply sets, if it sets any.
fn decode(id: u32, body: &[u8]) -> Result<Option<Registers>> {
    if id != Raise::ID + REPLY_OFFSET {
        return Err(Error::BadId);
    }
    let (head, rest) = ReplyHead::read_from_prefix(body).map_err(|_| Error::BadArguments)?;
    result_of(head.code)?;
    let results = results::Raise::read_from_bytes(rest).map_err(|_| Error::BadArguments)?;
    match Action::from_code(results.action).ok_or(Error::InvalidArgument)? {
        Action::GoOn => Ok(None),
        Action::GoOnWith => Ok(Some(results.registers)),
    }
}

/// Sends the message, if there is a port for it that can take it; then the thread waits.
fn tell(k: &mut Kernel, id: ThreadId, raised: Raised) -> bool {
    let thread = &k.threads[id];
    let task = &k.tasks[thread.task];
    let held = match raised.level {
        Level::Thread => thread.exception,
        Level::Task => task.special.exception,
    };
    let (account, kernel_ports) = (task.account, [thread.kernel_port, task.kernel_port]);
    let (Some(port), Some(context)) = (receivable(k, held), &thread.context) else { return false };
    let body = message(raised.cause, context.registers());
    let mut envelope = Envelope::from_kernel(0, Raise::ID, size_of_val(&body));
    envelope.cause = thread.handling;
    envelope.number = k.next_number();
    envelope.destination = Carried::from_kernel(CarriedRight::Send(port));
    // Nothing below fails but the sending itself.
    let thread = &mut k.threads[id];
    thread.state = State::Waiting(Wait::Exception(raised));
    let waiter = thread.await_reply(id);
    k.ports[kernel_ports[0]].add_send_once();
    envelope.reply = Carried::from_kernel(CarriedRight::SendOnce(kernel_ports[0], Some(waiter)));
    for port in kernel_ports {
        envelope.enclose(right::copy_send(&mut k.ports, port));
    }
    if send::take_from_kernel(k, port, &mut envelope, body.as_bytes(), account) {
        return true;
    }
    let thread = &mut k.threads[id];
    (thread.reply, thread.state) = (Reply::NotAwaited, State::Running);
    death::discard_contents(k, &mut envelope);
    false
}

/// A port at which a task may receive.
fn receivable(k: &Kernel, held: Held) -> Option<PortId> {
    held.filter(|port| living(&k.ports, *port).is_some_and(|port| !matches!(port.owner, Owner::Kernel(_))))
}

fn message(cause: Cause, registers: Registers) -> arguments::Raise {
    let (kind, code) = kind(cause);
    let (address, access) = match cause {
        Cause::Memory { address, access, .. } => (address.0, tried(access).bits().into()),
        Cause::Processor(_) => (0, 0),
    };
    arguments::Raise { kind: kind as u32, code, address, access, registers }
}

fn tried(access: Access) -> Protection {
    match access {
        Access::Read => Protection::READ,
        Access::Write => Protection::WRITE,
        Access::Execute => Protection::EXECUTE,
    }
}

fn kind(cause: Cause) -> (Kind, u32) {
    let error = |error: Error| (Kind::BadAccess, error.code().unsigned_abs());
    match cause {
        Cause::Memory { fault: Fault::Unmapped, .. } => error(Error::InvalidAddress),
        Cause::Memory { fault: Fault::Protection, .. } => error(Error::ProtectionFailure),
        Cause::Memory { fault: Fault::BeyondEnd, .. } => error(Error::BeyondEnd),
        Cause::Memory { fault: Fault::Shortage, .. } => error(Error::ResourceShortage),
        Cause::Memory { fault: Fault::Absent(_), .. } => error(Error::MemoryError),
        Cause::Memory { fault: Fault::Refused(refusal), .. } => error(refusal),
        Cause::Processor(exception) => match exception {
            Exception::Divide => (Kind::Arithmetic, code::DIVIDE),
            Exception::FloatingPoint => (Kind::Arithmetic, code::FLOATING_POINT),
            Exception::Debug => (Kind::Breakpoint, code::STEP),
            Exception::Breakpoint => (Kind::Breakpoint, code::BREAKPOINT),
            Exception::Overflow => (Kind::Software, code::OVERFLOW),
            Exception::Bound => (Kind::Software, code::BOUND),
            Exception::InvalidInstruction => (Kind::BadInstruction, code::INVALID),
            Exception::Protection => (Kind::BadAccess, code::PROTECTION),
            Exception::Stack => (Kind::BadAccess, code::STACK),
            Exception::Alignment => (Kind::BadAccess, code::ALIGNMENT),
            Exception::Other(vector) => (Kind::BadInstruction, code::VECTOR + u32::from(vector)),
        },
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Memory { address, access, fault } => {
                let what = match access {
                    Access::Read => "reading",
                    Access::Write => "writing",
                    Access::Execute => "executing",
                };
                let why = match fault {
                    Fault::Unmapped => "nothing is mapped there",
                    Fault::Protection => "the page does not allow it",
                    Fault::BeyondEnd => "the memory object ends before",
                    Fault::Shortage => "no memory is left for the page",
                    Fault::Absent(_) => "the page is not there",
                    Fault::Refused(Error::MemoryFailure) => "the page's pager is gone",
                    Fault::Refused(_) => "the page's pager refuses it",
                };
                write!(f, "{what} {:#x}: {why}", address.0)
            }
            Cause::Processor(exception) => f.write_str(match exception {
                Exception::Divide => "division by zero or overflow",
                Exception::Debug => "debug exception",
                Exception::Breakpoint => "breakpoint",
                Exception::Overflow => "overflow",
                Exception::Bound => "bound check",
                Exception::InvalidInstruction => "invalid instruction",
                Exception::Protection => "protection violation",
                Exception::Stack => "bad stack address",
                Exception::FloatingPoint => "floating-point error",
                Exception::Alignment => "misaligned access",
                Exception::Other(_) => "unexpected exception",
            }),
        }
    }
}
