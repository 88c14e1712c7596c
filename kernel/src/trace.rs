//! The trace: what happened to each message, in a ring for each processor.
//!
//! Invariant: recording takes constant time and no memory; old events give way.
//! This file knows nothing of the rest of the kernel.

use alloc::boxed::Box;
use alloc::vec::Vec;
use portolan_abi::trace::Event;

const EVENTS: usize = 1024;

/// The ring of one processor.
pub struct Ring {
    events: Box<[Event; EVENTS]>,
    recorded: u64,
}

impl Ring {
    /// An empty ring, with room for 1,024 events. `None`: out of memory.
    pub fn new() -> Option<Ring> {
        let mut events = Vec::new();
        events.try_reserve_exact(EVENTS).ok()?;
        events.resize(EVENTS, Event::default());
        Some(Ring { events: events.into_boxed_slice().try_into().ok()?, recorded: 0 })
    }

    /// Adds an event.
    #[inline]
    pub fn record(&mut self, event: Event) {
        self.events[self.recorded as usize % EVENTS] = event;
        self.recorded += 1;
    }

    /// The number of the first event from `from` on that is still here.
    pub fn first_from(&self, from: u64) -> u64 {
        from.max(self.recorded.saturating_sub(EVENTS as u64)).min(self.recorded)
    }

    /// Events from number `first` on, which must be one that is still here.
    pub fn iter_from(&self, first: u64) -> impl Iterator<Item = &Event> {
        (first..self.recorded).map(|number| &self.events[number as usize % EVENTS])
    }

    /// How many were ever recorded.
    pub fn recorded(&self) -> u64 {
        self.recorded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_events_give_way() {
        let mut ring = Ring::new().unwrap();
        for message in 0..EVENTS as u64 + 10 {
            ring.record(Event { message, ..Event::default() });
        }
        assert_eq!(ring.first_from(0), 10);
        assert_eq!(ring.iter_from(10).next().unwrap().message, 10);
        assert_eq!(ring.iter_from(ring.first_from(1030)).count(), 4);
        assert_eq!(ring.first_from(u64::MAX), ring.recorded());
    }
}
