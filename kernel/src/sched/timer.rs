//! Deadlines: a heap of instants, earliest first, at most one for each thread.
//!
//! Setting and clearing take time logarithmic in the number of deadlines. A place
//! for each thread is reserved when the thread is made, so setting cannot fail.
//!
//! Invariant: the thread at heap place `i` has `timer == Some(i)`.
//! Neighbours: `task::thread` keeps the place, `run` asks what is due.

use crate::arena::{Chunked, OutOfMemory};
use crate::task::{Thread, ThreadId, Threads};
use portolan_machine::Instant;

/// All deadlines.
#[derive(Default)]
pub struct Timers {
    heap: Chunked<(Instant, Option<ThreadId>)>,
    armed: u32,
}

impl Timers {
    /// Makes room for one more thread.
    pub fn reserve(&mut self) -> Result<(), OutOfMemory> {
        self.heap.push((Instant(u64::MAX), None)).map(|_| ())
    }

    /// Gives up the room of a thread that has no deadline set.
    pub fn release(&mut self) {
        self.heap.pop();
    }

    /// The earliest deadline.
    #[inline]
    pub fn earliest(&self) -> Option<Instant> {
        if self.armed == 0 { None } else { Some(self.heap[0].0) }
    }

    /// Sets a thread's deadline; it must have none.
    pub fn set(&mut self, threads: &mut Threads, id: ThreadId, at: Instant) {
        let place = self.armed;
        self.armed += 1;
        self.heap[place] = (at, Some(id));
        threads[id].timer = Some(place);
        self.rise(threads, place);
    }

    /// Clears a thread's deadline, if it has one.
    #[inline]
    pub fn clear(&mut self, threads: &mut Threads, id: ThreadId) {
        if let Some(place) = threads[id].timer.take() {
            self.remove(threads, place);
        }
    }

    /// Takes out a thread whose deadline has come.
    pub fn pop_due(&mut self, threads: &mut Threads, now: Instant) -> Option<ThreadId> {
        if self.earliest()? > now {
            return None;
        }
        let id = self.heap[0].1?;
        self.clear(threads, id);
        Some(id)
    }

    fn remove(&mut self, threads: &mut Threads, place: u32) {
        self.armed -= 1;
        let last = self.armed;
        self.heap.swap(place, last);
        self.heap[last] = (Instant(u64::MAX), None);
        if place != last {
            self.note(threads, place);
            self.rise(threads, place);
            self.sink(threads, place);
        }
    }

    fn rise(&mut self, threads: &mut Threads, mut place: u32) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                return;
            }
            self.exchange(threads, place, parent);
            place = parent;
        }
    }

    fn sink(&mut self, threads: &mut Threads, mut place: u32) {
        loop {
            let left = place * 2 + 1;
            if left >= self.armed {
                return;
            }
            let right = left + 1;
            let child = if right < self.armed && self.heap[right].0 < self.heap[left].0 { right } else { left };
            if self.heap[place].0 <= self.heap[child].0 {
                return;
            }
            self.exchange(threads, place, child);
            place = child;
        }
    }

    fn exchange(&mut self, threads: &mut Threads, a: u32, b: u32) {
        self.heap.swap(a, b);
        self.note(threads, a);
        self.note(threads, b);
    }

    fn note(&self, threads: &mut Threads, place: u32) {
        if let Some(id) = self.heap[place].1 {
            let Thread { timer, .. } = &mut threads[id];
            *timer = Some(place);
        }
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.armed
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// The thread and deadline at each place in use.
    pub fn iter(&self) -> impl Iterator<Item = (Instant, Option<ThreadId>)> {
        self.heap.iter().take(self.armed as usize).copied()
    }

    /// Bytes of heap that no thread has reserved.
    pub fn spare(&self) -> usize {
        self.heap.heap_size() - self.heap.len() as usize * size_of::<(Instant, Option<ThreadId>)>()
    }
}
