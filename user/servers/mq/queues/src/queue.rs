//! One queue: its messages in order, and who waits for places and messages.
//!
//! Memory for all messages is taken when the queue is made, so that a place is never lacking later.
//! Invariant: `messages` is in the order of priorities, among equals the oldest last, so that the next
//! one is the last. Neighbour: `lib` decides who may do what.

use crate::waiting::Waiting;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use portolan::SendOnceRight;
use portolan::abi::message::SecurityToken;
use portolan_posix::queue::{self, Attributes, QueueName};
use portolan_posix::{Errno, Mode, Result};

/// A message in its place.
pub(crate) struct Entry {
    pub(crate) priority: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Who is told of the next message, and through which open queue he asked.
pub(crate) struct Notice {
    pub(crate) opening: usize,
    pub(crate) to: SendOnceRight,
}

/// A queue.
pub(crate) struct Queue {
    pub(crate) owner: SecurityToken,
    pub(crate) mode: Mode,
    pub(crate) size: usize,
    /// How often it is open.
    pub(crate) openings: u32,
    pub(crate) notice: Option<Notice>,
    /// Who waits for a place.
    pub(crate) senders: VecDeque<Waiting>,
    /// Who waits for a message.
    pub(crate) receivers: VecDeque<Waiting>,
    places: usize,
    messages: Vec<Entry>,
    /// Memory for the messages that are not there.
    spare: Vec<Vec<u8>>,
}

impl Queue {
    /// An empty queue.
    ///
    /// # Errors
    /// `NoSpace`: no memory for its messages.
    pub(crate) fn new(owner: SecurityToken, mode: Mode, places: usize, size: usize) -> Result<Queue> {
        let (mut messages, mut spare) = (Vec::new(), Vec::new());
        messages.try_reserve_exact(places).map_err(|_| Errno::NoSpace)?;
        spare.try_reserve_exact(places).map_err(|_| Errno::NoSpace)?;
        for _ in 0..places {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(size).map_err(|_| Errno::NoSpace)?;
            // A page is had, and paid for, when it is first touched.
            bytes.resize(size, 0);
            bytes.clear();
            spare.push(bytes);
        }
        let (senders, receivers) = (VecDeque::new(), VecDeque::new());
        Ok(Queue { owner, mode, size, openings: 0, notice: None, senders, receivers, places, messages, spare })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.messages.len() == self.places
    }

    /// What it is and holds, for an opening with these flags.
    pub(crate) fn attributes(&self, flags: i64) -> Attributes {
        let (messages, size, current) = (self.places as i64, self.size as i64, self.messages.len() as i64);
        Attributes { flags, messages, size, current }
    }

    /// What is told of it under this name.
    pub(crate) fn entry(&self, name: QueueName) -> queue::Entry {
        queue::Entry {
            name,
            attributes: self.attributes(0),
            owner: self.owner,
            mode: self.mode.bits(),
            openings: self.openings,
            senders: self.senders.len() as u32,
            receivers: self.receivers.len() as u32,
        }
    }

    /// Puts a message in its place. The queue must not be full, and the message not too long.
    pub(crate) fn put(&mut self, priority: u32, message: &[u8]) {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(message);
        let place = self.messages.partition_point(|entry| entry.priority < priority);
        self.messages.insert(place, Entry { priority, bytes });
    }

    /// Takes out the oldest message of the highest priority.
    pub(crate) fn take(&mut self) -> Option<Entry> {
        self.messages.pop()
    }

    /// Puts a message back that was taken out last and that nobody got.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.messages.push(entry);
    }

    /// Keeps the memory of a message that somebody got.
    pub(crate) fn recycle(&mut self, entry: Entry) {
        let mut bytes = entry.bytes;
        bytes.clear();
        self.spare.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(places: usize) -> Queue {
        Queue::new(SecurityToken::default(), Mode::new(0o600, 0), places, 8).expect("memory")
    }

    fn take_all(queue: &mut Queue) -> Vec<(u32, Vec<u8>)> {
        let entries = core::iter::from_fn(|| queue.take());
        entries.map(|entry| (entry.priority, entry.bytes)).collect()
    }

    #[test]
    fn the_highest_priority_comes_first_and_equals_in_their_order() {
        let mut queue = queue(6);
        for (priority, byte) in [(1, b'a'), (3, b'b'), (1, b'c'), (3, b'd'), (0, b'e'), (2, b'f')] {
            queue.put(priority, &[byte]);
        }
        assert!(queue.is_full());
        let order: Vec<u8> = take_all(&mut queue).into_iter().map(|(_, bytes)| bytes[0]).collect();
        assert_eq!(order, b"bdface");
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_put_back_is_the_next_again() {
        let mut queue = queue(3);
        for byte in *b"xyz" {
            queue.put(5, &[byte]);
        }
        let first = queue.take().expect("a message");
        queue.put_back(first);
        assert_eq!(queue.take().map(|entry| entry.bytes), Some(b"x".to_vec()));
    }

    #[test]
    fn memory_is_used_again() {
        let mut queue = queue(2);
        for round in 0..5 {
            queue.put(round, b"12345678");
            let entry = queue.take().expect("a message");
            let before = entry.bytes.as_ptr();
            queue.recycle(entry);
            queue.put(round, b"1");
            let entry = queue.take().expect("a message");
            assert_eq!((entry.bytes.as_ptr(), &entry.bytes[..]), (before, &b"1"[..]));
            queue.recycle(entry);
        }
    }
}
