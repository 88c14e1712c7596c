//! Who runs next: priorities, turns among equals, and hand-off.
//!
//! A queue for each priority and a bitmap of those that are not empty, so that
//! picking takes constant time. A thread that was woken by a message from one
//! that now gives way is next, ahead of its equals, and goes on in the same
//! turn: a request and its reply cost no trip through the queues.
//!
//! A thread that is suspended is put into no line; resuming puts it there.
//!
//! Invariant: bit `p` is set exactly if queue `p` is not empty; a ready thread is
//! in the queue of its priority or is `next`. Knows nothing of ports.
//! Neighbours: `timer`, `run`.

pub mod timer;

use crate::list::List;
use crate::task::thread::{InQueue, Ready, State, Threads};
use crate::task::{Thread, ThreadId};
use portolan_abi::thread::{PRIORITY_MAX, QUANTUM_MS};
use portolan_machine::Instant;

const PRIORITIES: usize = PRIORITY_MAX as usize + 1;

/// The ready threads, and whose turn it is.
#[derive(Default)]
pub struct Scheduler {
    queues: [List<Thread, InQueue>; PRIORITIES],
    ready: u32,
    next: Option<Ready>,
    turn_ends: Instant,
}

/// What becomes of a thread that could go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It does.
    GoOn,
    /// Someone goes before it, and then it finishes its turn.
    FirstInLine,
    /// Its turn is over.
    LastInLine,
}

impl Scheduler {
    /// Puts a thread last among its equals.
    #[inline]
    pub fn make_ready(&mut self, threads: &mut Threads, id: ThreadId) {
        if let Some(ready) = threads[id].become_ready(id) {
            self.queue(threads, ready);
        }
    }

    /// Puts a thread that has become ready last among its equals.
    pub fn queue(&mut self, threads: &mut Threads, Ready { thread, priority }: Ready) {
        self.queues[priority as usize].push_back(threads, thread);
        self.ready |= 1 << priority;
    }

    /// Puts a thread first among its equals: it had not finished its turn.
    pub fn make_ready_first(&mut self, threads: &mut Threads, id: ThreadId) {
        if let Some(Ready { priority, .. }) = threads[id].become_ready(id) {
            self.queues[priority as usize].push_front(threads, id);
            self.ready |= 1 << priority;
        }
    }

    /// Puts a thread that has become ready next in line, if no one ready is more important.
    #[inline]
    pub fn hand_off(&mut self, threads: &mut Threads, ready: Ready) {
        if let Some(displaced) = self.next.replace(ready) {
            self.queue(threads, displaced);
        }
    }

    /// Hands a thread that is ready already the rest of the turn. False: it is not ready.
    pub fn prefer(&mut self, threads: &mut Threads, id: ThreadId) -> bool {
        let Thread { state: State::Ready, priority, .. } = threads[id] else { return false };
        if !self.is_next(id) {
            self.remove(threads, id);
            self.hand_off(threads, Ready { thread: id, priority });
        }
        true
    }

    /// Takes a ready thread out of line.
    pub fn remove(&mut self, threads: &mut Threads, id: ThreadId) {
        if self.is_next(id) {
            self.next = None;
            return;
        }
        let priority = threads[id].priority as usize;
        self.queues[priority].remove(threads, id);
        self.update(priority);
    }

    /// Stops a thread that has just been suspended, if it could run.
    pub fn suspend(&mut self, threads: &mut Threads, id: ThreadId) {
        match threads[id].state {
            State::Ready => self.remove(threads, id),
            State::Running => {}
            State::Suspended | State::Waiting(_) => return,
        }
        threads[id].state = State::Suspended;
    }

    /// Lets a thread go on, if nothing keeps it any more and it could run.
    pub fn resume(&mut self, threads: &mut Threads, id: ThreadId) {
        if matches!(threads[id].state, State::Suspended) {
            self.make_ready(threads, id);
        }
    }

    fn is_next(&self, id: ThreadId) -> bool {
        self.next.is_some_and(|next| next.thread == id)
    }

    /// Takes the thread that is to run, which is then in no queue.
    #[inline]
    pub fn pick(&mut self, threads: &mut Threads, now: Instant) -> Option<ThreadId> {
        if let Some(next) = self.next.take() {
            if self.ready >> next.priority <= 1 {
                return Some(next.thread);
            }
            self.queue(threads, next);
        }
        self.pick_queued(threads, now)
    }

    fn pick_queued(&mut self, threads: &mut Threads, now: Instant) -> Option<ThreadId> {
        let priority = (u32::BITS - 1).checked_sub(self.ready.leading_zeros())? as usize;
        let id = self.queues[priority].pop_front(threads)?;
        self.update(priority);
        self.turn_ends = now.plus_ms(QUANTUM_MS);
        Some(id)
    }

    /// Whether a thread of this priority, which could go on, does.
    #[inline]
    pub fn verdict(&mut self, priority: u8, now: Instant) -> Verdict {
        let above = self.ready >> priority;
        if above > 1 || self.next.is_some() {
            return Verdict::FirstInLine;
        }
        if now < self.turn_ends {
            return Verdict::GoOn;
        }
        if above == 1 {
            return Verdict::LastInLine;
        }
        self.turn_ends = now.plus_ms(QUANTUM_MS);
        Verdict::GoOn
    }

    /// The priority of the most important thread in line.
    pub fn highest(&self) -> Option<u8> {
        let queued = (u32::BITS - 1).checked_sub(self.ready.leading_zeros()).map(|priority| priority as u8);
        queued.max(self.next.map(|next| next.priority))
    }

    /// When the present turn ends.
    #[inline]
    pub fn turn_ends(&self) -> Instant {
        self.turn_ends
    }

    fn update(&mut self, priority: usize) {
        if self.queues[priority].is_empty() {
            self.ready &= !(1 << priority);
        }
    }

    /// All threads in line.
    pub fn iter<'a>(&'a self, threads: &'a Threads) -> impl Iterator<Item = ThreadId> + 'a {
        self.next.map(|next| next.thread).into_iter().chain(self.queues.iter().flat_map(|queue| queue.iter(threads)))
    }

    /// Whether the bitmap agrees with the queues.
    pub fn is_consistent(&self) -> bool {
        self.queues.iter().enumerate().all(|(priority, queue)| queue.is_empty() == (self.ready >> priority & 1 == 0))
    }
}
