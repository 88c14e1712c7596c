//! Refusing a wait that would never end.
//!
//! Before a thread waits without a deadline the kernel asks who could end the wait: for a
//! message, whoever can send to the port; for a place, whoever receives from it. Each thread
//! of a task that could is looked at: one that runs, sleeps or has a deadline may do it. One
//! that waits itself leads to those who could end its wait. If nobody else is found, nobody
//! will ever end any of these waits, and the one that was to begin is refused.
//!
//! When in doubt the wait begins: a right on its way, one that the kernel holds, a notify
//! port, a port set, a wait that can be aborted, a wait for a page or for an exception's
//! handler, a task without threads, more than [`REFUSED_MAX`] waits or [`STEPS`] steps. What
//! can be done by force, through the kernel port of a task or thread, is not counted: else
//! whoever started two tasks would hide that they are stuck.
//!
//! Invariant: a wait that could end is never refused. Neighbours: `send` and `receive` ask
//! before they wait; `port` knows where a reply right is.

use super::port::{Carrier, Holder, Owner, Port, PortId};
use super::space::Right;
use crate::kernel::Kernel;
use crate::task::thread::{Receiving, State, ThreadId, Wait};
use crate::task::{Caller, TaskId};
use arrayvec::ArrayVec;
use portolan_abi::Name;
use portolan_abi::message::Options;
use portolan_abi::thread::{REFUSED_MAX, RefusedWait, Wanted};
use portolan_abi::trace::Step;

/// Most names and threads that one search looks at.
const STEPS: u32 = 256;

/// What a thread waits for, or is about to.
#[derive(Clone, Copy, Debug)]
pub enum Want {
    /// A message at this port.
    Message(PortId),
    /// A place in this port's queue.
    Place(PortId),
}

/// A thread and what it waits for.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    thread: ThreadId,
    task: TaskId,
    want: Want,
}

/// The wait that was refused last: whose it was, and who would have waited for whom.
#[derive(Debug, Default)]
pub struct Refused {
    thread: Option<ThreadId>,
    waits: ArrayVec<RefusedWait, REFUSED_MAX>,
}

/// Whether the wait that a thread is about to begin would never end. If so, that can be
/// read in the trace, and by [`refusal`]. A thread of `at_work` has just been set going.
pub fn is_certain(k: &mut Kernel, me: &Caller, want: Want, at_work: Option<TaskId>) -> bool {
    !is_likely_to_end(k, me, want, at_work) && search(k, Waiting { thread: me.thread, task: me.task, want })
}

/// Whether the first of those who could send to a port is of a task that has just been set going.
#[inline(always)]
pub fn is_at_work(port: &Port, at_work: Option<TaskId>) -> bool {
    at_work.is_some() && at_work == first_sender(port)
}

/// The first of those who could send to a port.
#[inline(always)]
fn first_sender(port: &Port) -> Option<TaskId> {
    match port.carrier {
        Carrier::Task(task) if port.send_once_rights == 1 => Some(task),
        _ => port.holders.map(|holder| holder.task),
    }
}

/// The common case at little cost: the first of those who could end the wait is at work.
fn is_likely_to_end(k: &Kernel, me: &Caller, want: Want, at_work: Option<TaskId>) -> bool {
    let task = match want {
        Want::Message(id) => first_sender(&k.ports[id]),
        Want::Place(id) => match k.ports[id].owner {
            Owner::Task(task, _) => Some(task),
            _ => None,
        },
    };
    let Some(task) = task else { return false };
    if at_work == Some(task) {
        return true;
    }
    let first = k.tasks.get(task).filter(|_| task != me.task).and_then(|task| task.threads.first());
    first.is_some_and(|thread| !matches!(k.threads[thread].state, State::Waiting(_)))
}

#[inline(never)]
fn search(k: &mut Kernel, first: Waiting) -> bool {
    k.searches += 1;
    let mut search = Search { mark: k.searches, steps: STEPS, waits: ArrayVec::new() };
    k.threads[first.thread].searched = search.mark;
    search.waits.push(first);
    let mut next = 0;
    while let Some(waiting) = search.waits.get(next).copied() {
        if search.may_end(k, waiting.want) {
            return false;
        }
        next += 1;
    }
    remember(k, first.thread, &search.waits);
    true
}

/// The waits that a thread's wait was refused for, its own first, if it is the last that was refused.
pub fn refusal(k: &Kernel, thread: ThreadId) -> Option<&[RefusedWait]> {
    (k.refused.thread == Some(thread)).then_some(&*k.refused.waits)
}

/// The search through those who wait.
struct Search {
    /// Marks the threads and tasks that have been looked at.
    mark: u64,
    /// How many more names and threads it looks at.
    steps: u32,
    /// The waits it has found, in the order in which it looks at them.
    waits: ArrayVec<Waiting, REFUSED_MAX>,
}

impl Search {
    fn may_end(&mut self, k: &mut Kernel, want: Want) -> bool {
        match want {
            Want::Message(port) => self.may_come(k, port),
            Want::Place(port) => self.may_be_taken(k, port),
        }
    }

    /// Whether something may still be taken from a port: by its receiver, or, of a port on its
    /// way, by whoever receives that.
    fn may_be_taken(&mut self, k: &mut Kernel, id: PortId) -> bool {
        let mut next = id;
        while let Some(port) = k.ports.get(next)
            && self.step()
        {
            match (port.owner, port.toward) {
                (Owner::Task(task, _), _) => return port.cached > 0 || self.may_act(k, task),
                (Owner::Message, Some(toward)) => next = toward,
                _ => return true,
            }
        }
        true
    }

    /// Whether a message may still come to a port.
    fn may_come(&mut self, k: &mut Kernel, id: PortId) -> bool {
        let port = &k.ports[id];
        let (senders, reply, carrier) = (port.send_rights, port.send_once_rights, port.carrier);
        if port.notices.dead_names_of.is_some() {
            return true;
        }
        let mut next = port.holders;
        let mut named = 0;
        while let Some(Holder { task, slot }) = next {
            let entry = k.tasks[task].space.entry(slot);
            next = entry.next;
            named += u32::from(matches!(entry.right, Right::Port { sends: 1.., .. }));
            if !self.step() || self.may_act(k, task) {
                return true;
            }
        }
        match (reply, carrier) {
            // Send rights without a name are on their way, or the kernel's.
            _ if senders > named => true,
            (0, _) => false,
            (1, Carrier::Task(task)) => self.may_act(k, task),
            (1, Carrier::Queue(port)) => self.may_be_taken(k, port),
            _ => true,
        }
    }

    /// Whether a task may still do something, of which nothing is known yet.
    fn may_act(&mut self, k: &mut Kernel, task: TaskId) -> bool {
        let Some(task) = k.tasks.get_mut(task).filter(|task| task.searched != self.mark) else { return false };
        task.searched = self.mark;
        let mut next = task.threads.first();
        if next.is_none() {
            return true;
        }
        while let Some(thread) = next {
            if !self.step() || self.may_go_on(k, thread) {
                return true;
            }
            next = k.tasks[k.threads[thread].task].threads.after(&k.threads, thread);
        }
        false
    }

    /// Whether a thread may go on of itself; one that waits is to be looked at.
    fn may_go_on(&mut self, k: &mut Kernel, id: ThreadId) -> bool {
        let thread = &mut k.threads[id];
        if thread.searched == self.mark {
            return false;
        }
        thread.searched = self.mark;
        let task = thread.task;
        let Some(want) = waits_for(k, id) else { return true };
        self.waits.try_push(Waiting { thread: id, task, want }).is_err()
    }

    /// Counts a step; false: there have been too many.
    fn step(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.steps > 0
    }
}

/// What a thread waits for until another sends or receives; `None`: something else may wake it.
fn waits_for(k: &Kernel, id: ThreadId) -> Option<Want> {
    let thread = &k.threads[id];
    match thread.state {
        _ if thread.timer.is_some() => None,
        State::Waiting(Wait::Send(ref sending)) if !sending.options.contains(Options::SEND_INTERRUPT) => {
            Some(Want::Place(sending.port))
        }
        State::Waiting(Wait::Receive(Receiving { port: Some(port), options, .. }))
            if !options.contains(Options::RCV_INTERRUPT) && matches!(k.ports[port].owner, Owner::Task(..)) =>
        {
            Some(Want::Message(port))
        }
        _ => None,
    }
}

/// Leaves the waits where they can be asked for, and in the trace.
#[cold]
fn remember(k: &mut Kernel, me: ThreadId, waits: &[Waiting]) {
    k.refused = Refused { thread: Some(me), waits: waits.iter().map(|waiting| told(k, waiting)).collect() };
    for Waiting { thread, want: Want::Message(port) | Want::Place(port), .. } in waits {
        k.record(Step::Refuse, 0, 0, *port, Some(*thread));
    }
}

fn told(k: &Kernel, waiting: &Waiting) -> RefusedWait {
    let (wanted, port) = match waiting.want {
        Want::Message(port) => (Wanted::Message, port),
        Want::Place(port) => (Wanted::Place, port),
    };
    let task = &k.tasks[waiting.task];
    RefusedWait {
        task: task.serial,
        thread: k.threads[waiting.thread].serial,
        name: task.space.find(port).map_or(Name::NULL, |slot| task.space.name(slot)),
        port: port.index(),
        wanted: wanted as u32,
        reserved: 0,
    }
}
