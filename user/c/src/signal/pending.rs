//! Signals that have been sent and not been taken yet, in the order in which they came.
//!
//! It lies in a table, as whoever sends a signal may be in the middle of anything, also of the heap.
//! Invariant: of a signal below `SIGRTMIN` there is at most one for each target.

use super::set::{Set, Signal};
use core::ffi::c_int;

/// Most that wait (`SIGQUEUE_MAX`).
pub(crate) const PENDING_MAX: usize = 256;

/// What is known of a signal that has been sent.
#[derive(Clone, Copy)]
pub(crate) struct Info {
    pub(crate) signal: Signal,
    /// `si_code`.
    pub(crate) code: c_int,
    /// What follows in a `siginfo_t`: process and user, or an address; a value, or a status.
    pub(crate) words: [u64; 2],
}

/// Whom a signal is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Any thread of the process.
    Process,
    /// The one whose block lies at this address.
    Thread(usize),
}

#[derive(Clone, Copy)]
struct Entry {
    target: Target,
    info: Info,
}

/// The table.
pub(super) struct Pending {
    entries: [Option<Entry>; PENDING_MAX],
    /// How many there are, at its beginning.
    count: usize,
}

impl Pending {
    pub(super) const EMPTY: Pending = Pending { entries: [None; PENDING_MAX], count: 0 };

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries[..self.count].iter().flatten()
    }

    /// Adds one; `false`: there is no room.
    pub(super) fn add(&mut self, target: Target, info: Info) -> bool {
        let is_same = |entry: &Entry| entry.target == target && entry.info.signal == info.signal;
        if !info.signal.is_queued() && self.entries().any(is_same) {
            return true;
        }
        let Some(place) = self.entries.get_mut(self.count) else { return false };
        *place = Some(Entry { target, info });
        self.count += 1;
        true
    }

    /// Those of a thread's own, and of the process.
    pub(super) fn of(&self, thread: usize) -> Set {
        let mine = self.entries().filter(|entry| is_for(entry, thread));
        mine.fold(Set::EMPTY, |set, entry| set.with(Set::of(entry.info.signal)))
    }

    /// Takes the one with the lowest number that a thread may take, and that is in this set.
    pub(super) fn take(&mut self, thread: usize, wanted: Set) -> Option<Info> {
        let places = 0..self.count;
        let there = places.filter_map(|place| Some((place, self.entries[place]?)));
        let fit = there.filter(|(_, entry)| is_for(entry, thread) && wanted.contains(entry.info.signal));
        let (place, entry) = fit.min_by_key(|(_, entry)| entry.info.signal.number())?;
        self.remove(place);
        Some(entry.info)
    }

    /// Takes away what is for nobody any more.
    pub(super) fn retain(&mut self, keep: impl Fn(Target, Signal) -> bool) {
        for place in (0..self.count).rev() {
            if self.entries[place].is_some_and(|entry| !keep(entry.target, entry.info.signal)) {
                self.remove(place);
            }
        }
    }

    fn remove(&mut self, place: usize) {
        self.entries[place..self.count].rotate_left(1);
        self.count -= 1;
        self.entries[self.count] = None;
    }
}

fn is_for(entry: &Entry, thread: usize) -> bool {
    entry.target == Target::Process || entry.target == Target::Thread(thread)
}
