//! A thread: registers, a priority, and a state that says what it waits for.
//!
//! What a blocked thread needs to go on is data in its state, Mach's
//! continuations as an enum; there is no kernel stack behind it.
//!
//! Invariant: a thread is in exactly one place: a ready queue, a port's queue, a pager's, a word's, the
//! processor, or (asleep, or suspended) in none; one that is suspended runs never. Neighbours: `sched`, `ipc`, `task`.

use super::TaskId;
use super::exception::{Cause, Raised};
use super::special::Held;
use super::word::{self, OfOwner};
use crate::arena::{Arena, Id};
use crate::ipc::PortId;
use crate::ipc::message::{MessageId, Waiter};
use crate::ipc::pager::PageWait;
use crate::list::{Link, Linked, List};
use crate::vm::fault::Absent;
use alloc::boxed::Box;
use portolan_abi::message::Options;
use portolan_abi::{Error, Generation, Name, call};
use portolan_machine::{Context, Frame, Instant};

/// Names a thread.
pub type ThreadId = Id<Thread>;
/// All threads.
pub type Threads = Arena<Thread>;

/// A thread.
pub struct Thread {
    /// Identifies it for ever; later ones are higher.
    pub serial: u64,
    /// The task it belongs to.
    pub task: TaskId,
    /// The top page table of its task.
    pub root: Frame,
    /// Its registers; `None` only while a processor has them.
    pub context: Option<Box<Context>>,
    /// 0 to `PRIORITY_MAX`.
    pub priority: u8,
    /// What it does.
    pub state: State,
    /// What keeps it from running, whatever it does.
    pub suspension: Suspension,
    /// Its place among the deadlines.
    pub timer: Option<u32>,
    /// The port that stands for it.
    pub kernel_port: PortId,
    /// Where its exceptions go first.
    pub exception: Held,
    /// Its task's name for that port.
    pub self_name: Name,
    /// What it still has to do before it returns to user mode.
    pub unfinished: Option<Unfinished>,
    /// The reply that its present `msg_rpc` waits for.
    pub reply: Reply,
    /// Counts its `msg_rpc` calls, so that a late loss of an old reply is told apart.
    pub rpc_serial: u32,
    /// The number of the last message it received: the cause of what it sends.
    pub handling: u64,
    /// The last search for a deadlock that found it.
    pub searched: u64,
    /// In a ready queue, or that of a port, a pager or a word.
    pub queue: Link<Thread>,
    /// Among its task's threads.
    pub sibling: Link<Thread>,
    /// Those who wait on words that it owns.
    pub waited_for: List<Thread, OfOwner>,
    /// Among those, behind the thread that owns the word it waits on.
    pub behind: Link<Thread>,
}

/// What a thread does.
#[derive(Debug)]
pub enum State {
    /// A processor has it, or it is about to be put somewhere.
    Running,
    /// It is in the ready queue, or next in line.
    Ready,
    /// It could run, but it or its task is suspended.
    Suspended,
    /// It waits.
    Waiting(Wait),
}

/// A thread that is ready, with its priority: it has to be put in line.
#[must_use]
#[derive(Clone, Copy)]
pub struct Ready {
    /// Which one.
    pub thread: ThreadId,
    /// Its priority.
    pub priority: u8,
}

/// What keeps a thread from running, besides what it waits for.
#[derive(Clone, Copy, Default, Debug)]
pub struct Suspension {
    /// How often it has been suspended itself.
    pub count: u32,
    /// Whether its task is suspended.
    pub of_task: bool,
}

impl Suspension {
    /// Whether the thread must not run.
    #[inline]
    pub fn holds(self) -> bool {
        self.count > 0 || self.of_task
    }
}

/// What a thread waits for, with all it needs to go on.
#[derive(Debug)]
pub enum Wait {
    /// A place in a full port's queue.
    Send(Sending),
    /// A message.
    Receive(Receiving),
    /// Time to pass.
    Sleep,
    /// The reply to its exception message.
    Exception(Raised),
    /// A page that a pager is to supply.
    Page(PageWait),
    /// To be woken at a word of memory.
    Word(word::Waiting),
}

/// What a thread that is ready has to do before it returns to user mode.
#[derive(Clone, Copy, Debug)]
pub enum Unfinished {
    /// Its call, from the beginning: it had lacked a page.
    Call {
        /// When it first began.
        began: Instant,
        /// Why the page will not come. The kernel then refuses what it was asked for.
        refused: Option<Error>,
    },
    /// The receiving half of its call.
    Receive(Receiving),
    /// The same, once it has brought in a page of its buffer.
    BringIn(Absent, Receiving),
    /// To tell of an exception: a page that it waited for will not come.
    Fault(Cause),
    /// Nothing; it was woken at this word, and if it ends before it runs another there is.
    Woken(word::Key),
}

/// A send that waits.
#[derive(Debug)]
pub struct Sending {
    /// The full port.
    pub port: PortId,
    /// The message, whose rights are held in the sender's name space.
    pub message: MessageId,
    /// Options of the call.
    pub options: Options,
    /// What to receive afterwards, if anything.
    pub then: Option<call::Receive>,
    /// How the name that it sends through behaves.
    pub generation: Generation,
}

/// A receive that waits, or is to begin.
#[derive(Clone, Copy, Debug)]
pub struct Receiving {
    /// The port; `None` until the receive has begun.
    pub port: Option<PortId>,
    /// Buffer, name and timeout.
    pub half: call::Receive,
    /// Options of the call.
    pub options: Options,
    /// When it began, if it has.
    pub began: Option<Instant>,
}

/// The reply that a `msg_rpc`, or an exception, waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No `msg_rpc` or exception, or a `msg_rpc` whose reply right the kernel did not make.
    NotAwaited,
    /// A message through the send-once right with this serial.
    Awaited(u32),
    /// That right is gone unused.
    Lost,
}

/// How a call ended: its code, and its second result.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// Success, or why not.
    pub result: Result<(), Error>,
    /// The second result.
    pub value: u64,
}

impl Completion {
    /// Success, with this second result.
    pub const fn success(value: u64) -> Completion {
        Completion { result: Ok(()), value }
    }

    /// Failure.
    pub const fn failure(error: Error) -> Completion {
        Completion { result: Err(error), value: 0 }
    }
}

impl From<portolan_abi::Result<u64>> for Completion {
    fn from(result: portolan_abi::Result<u64>) -> Completion {
        match result {
            Ok(value) => Completion::success(value),
            Err(error) => Completion::failure(error),
        }
    }
}

impl Thread {
    /// A thread that is not yet in any queue.
    pub fn new(task: TaskId, root: Frame, context: Box<Context>, priority: u8, kernel_port: PortId) -> Thread {
        Thread {
            serial: 0,
            task,
            root,
            context: Some(context),
            priority,
            state: State::Running,
            suspension: Suspension::default(),
            timer: None,
            kernel_port,
            exception: None,
            self_name: Name::NULL,
            unfinished: None,
            reply: Reply::NotAwaited,
            rpc_serial: 0,
            handling: 0,
            searched: 0,
            queue: Link::default(),
            sibling: Link::default(),
            waited_for: List::default(),
            behind: Link::default(),
        }
    }

    /// The port, or the set, in whose line it waits for a message.
    #[inline(always)]
    pub fn line(&self) -> Option<PortId> {
        match self.state {
            State::Waiting(Wait::Receive(Receiving { port, .. })) => port,
            _ => None,
        }
    }

    /// What it waits to receive.
    pub fn receiving(&self) -> Option<Receiving> {
        match self.state {
            State::Waiting(Wait::Receive(receiving)) => Some(receiving),
            _ => None,
        }
    }

    /// Whether it is in the middle of a call, whose results are still to be written.
    pub fn is_in_call(&self) -> bool {
        self.unfinished.is_some_and(|unfinished| !matches!(unfinished, Unfinished::Woken(_)))
    }

    /// The one thread that can end its wait, if there is one and it is known.
    pub fn waits_for(&self) -> Option<ThreadId> {
        match self.state {
            State::Waiting(Wait::Word(waiting)) => waiting.owner,
            _ => None,
        }
    }

    /// Begins to wait for the one message through a send-once right that is about to be made.
    #[inline]
    pub fn await_reply(&mut self, id: ThreadId) -> Waiter {
        self.rpc_serial = self.rpc_serial.wrapping_add(1);
        self.reply = Reply::Awaited(self.rpc_serial);
        Waiter { thread: id, serial: self.rpc_serial }
    }

    /// Makes a thread that has nothing to wait for ready, or suspended. `None`: it must not run.
    #[inline]
    pub fn become_ready(&mut self, id: ThreadId) -> Option<Ready> {
        if self.suspension.holds() {
            self.state = State::Suspended;
            return None;
        }
        self.state = State::Ready;
        Some(Ready { thread: id, priority: self.priority })
    }

    /// Puts a call's end where user code will see it.
    #[inline]
    pub fn complete(&mut self, completion: Completion) {
        self.reply = Reply::NotAwaited;
        if let Some(context) = &mut self.context {
            context.set_result(portolan_abi::error::code_of(&completion.result), completion.value);
        }
    }
}

/// When a wait that may last `ms` ends, if the option for it is given.
pub fn deadline(now: Instant, options: Options, timed: Options, ms: u32) -> Option<Instant> {
    options.contains(timed).then(|| now.plus_ms(ms))
}

/// The link for ready queues, and those of ports, pagers and words.
pub struct InQueue;
/// The link for a task's threads.
pub struct OfTask;

impl Linked<InQueue> for Thread {
    #[inline]
    fn link(&mut self) -> &mut Link<Thread> {
        &mut self.queue
    }
    #[inline]
    fn link_ref(&self) -> &Link<Thread> {
        &self.queue
    }
}

impl Linked<OfTask> for Thread {
    fn link(&mut self) -> &mut Link<Thread> {
        &mut self.sibling
    }
    fn link_ref(&self) -> &Link<Thread> {
        &self.sibling
    }
}
