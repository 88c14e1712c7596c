//! The kernel's state: one value, behind one lock, passed to every handler.
//!
//! Invariant: see `check`, which states them all. Neighbours: everything.

use crate::arena::Arena;
use crate::claims::Claims;
use crate::clear::Clearing;
use crate::ipc::PortId;
use crate::ipc::deadlock::Refused;
use crate::ipc::death::Graveyard;
use crate::ipc::interrupt::Bindings;
use crate::ipc::message::{Envelope, MessageId, Messages, Queue};
use crate::ipc::pager::Pager;
use crate::ipc::port::Ports;
use crate::list::List;
use crate::sched::Scheduler;
use crate::sched::timer::Timers;
use crate::task::thread::{Completion, InQueue};
use crate::task::word::Words;
use crate::task::{AccountId, Accounts, Task, Thread, ThreadId, Threads};
use crate::trace::Ring;
use crate::vm::Vm;
use arrayvec::ArrayVec;
use portolan_abi::Error;
use portolan_abi::host::Door;
use portolan_abi::trace::{Event, Step};
use portolan_machine::{Console, CpuId, Framebuffer, Instant, Interrupts, IoPorts, IoRange};

/// Most processors; one is in use so far.
pub const CPUS_MAX: usize = 8;

/// All state of the kernel.
pub struct Kernel {
    /// Frames, memory objects, and the bytes in them.
    pub vm: Vm,
    /// Who supplies the pages of memory objects.
    pub pagers: Arena<Pager>,
    /// Who pays.
    pub accounts: Accounts,
    /// All tasks.
    pub tasks: Arena<Task>,
    /// All threads.
    pub threads: Threads,
    /// All ports.
    pub ports: Ports,
    /// All messages that wait.
    pub messages: Messages,
    /// Who waits on words of memory.
    pub words: Words,
    /// Who is ready.
    pub scheduler: Scheduler,
    /// Who has a deadline.
    pub timers: Timers,
    /// Ports that have died and are to be cleared away.
    pub graveyard: Graveyard,
    /// Notifications that were asked for and are to be posted.
    pub due: Queue,
    /// Threads whose exception nobody has handled, until the trap is over.
    pub unhandled: List<Thread, InQueue>,
    /// What else is to be cleared away.
    pub clearing: Clearing,
    /// The port that tells what the machine is.
    pub host_port: PortId,
    /// The port that allows everything that can be asked of the machine.
    pub host_privileged: PortId,
    /// The lines of devices.
    pub interrupts: Interrupts,
    /// What each of them is bound to.
    pub bindings: Bindings,
    /// The I/O ports.
    pub io_ports: IoPorts,
    /// Which of them have been given out.
    pub claims: Claims,
    /// The screen, if the loader has set one up.
    pub framebuffer: Option<Framebuffer>,
    /// How the kernel was loaded.
    pub door: Door,
    /// The thread that goes on without giving up its turn.
    pub current: Option<ThreadId>,
    /// What the timer is set to; the end of time if it is not.
    pub armed: Instant,
    /// When the present trap began.
    pub now: Instant,
    /// When the call in progress first began, if it had to wait for a page since.
    pub restarted: Option<Instant>,
    /// Why a page that a request needs will not come.
    pub withheld: Option<Error>,
    /// The processor that handles it.
    pub cpu: CpuId,
    /// What happened to messages, for each processor.
    pub traces: ArrayVec<Ring, CPUS_MAX>,
    /// When its state was shown on demand.
    pub reported: Option<Instant>,
    /// Traps since the invariants were checked.
    pub unchecked: u32,
    /// Where text goes.
    pub console: Console,
    /// The account from which all others come.
    pub root_account: AccountId,
    /// The wait that was refused last.
    pub refused: Refused,
    /// How often it was searched whether a wait could end.
    pub searches: u64,
    pub(crate) last_number: u64,
    pub(crate) last_task_serial: u64,
    pub(crate) last_thread_serial: u64,
}

/// How a call goes on.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It has ended.
    Done(Completion),
    /// The thread waits, or is gone: someone else's action will end the call, if any.
    Blocked,
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Outcome {
        Outcome::Done(Completion::failure(error))
    }
}

impl Kernel {
    /// From when on the timeout of the call in progress counts.
    #[inline]
    pub fn began(&self) -> Instant {
        self.restarted.unwrap_or(self.now)
    }

    /// The number of a new message.
    #[inline]
    pub fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The serial number of a new task.
    pub fn next_task_serial(&mut self) -> u64 {
        self.last_task_serial += 1;
        self.last_task_serial
    }

    /// Gives out a range of I/O ports of which nothing is claimed. With the serial line goes the
    /// console.
    pub fn claim_io(&mut self, range: IoRange) {
        if range.overlaps(IoRange::CONSOLE) {
            self.console.lend();
        }
        self.claims.claim(range);
    }

    /// Takes a range of I/O ports back.
    pub fn release_io(&mut self, range: IoRange) {
        let lent = self.claims.touch(IoRange::CONSOLE);
        self.claims.release(range);
        if lent && !self.claims.touch(IoRange::CONSOLE) {
            self.console.take_back();
        }
    }

    /// The serial number of a new thread.
    pub fn next_thread_serial(&mut self) -> u64 {
        self.last_thread_serial += 1;
        self.last_thread_serial
    }

    /// Records a step of a message's way.
    #[inline]
    pub fn trace(&mut self, step: Step, envelope: &Envelope, port: PortId, thread: Option<ThreadId>) {
        self.record(step, envelope.number, envelope.id, port, thread);
    }

    /// Records a step of the way of a message that is kept.
    pub fn trace_message(&mut self, step: Step, id: MessageId, port: PortId, thread: Option<ThreadId>) {
        let Envelope { number, id, .. } = self.messages[id].envelope;
        self.record(step, number, id, port, thread);
    }

    /// Records a step on a message's way.
    #[inline]
    pub fn record(&mut self, step: Step, message: u64, id: u32, port: PortId, thread: Option<ThreadId>) {
        let event = Event {
            time: self.now.0,
            message,
            port: port.index(),
            thread: thread.map_or(u32::MAX, ThreadId::index),
            step: step as u16,
            cpu: self.cpu.0,
            id,
        };
        if let Some(ring) = self.traces.get_mut(usize::from(self.cpu.0)) {
            ring.record(event);
        }
    }
}
