//! Physical memory: frames with bytes.
//!
//! Fresh memory holds a pattern, not zeros, so that a page that nobody cleared is
//! seen. Every access must be to a frame that exists; anything else is a bug
//! of the kernel and panics. Words are atomic, so that kernel and processor can both
//! have a handle, as on a real machine. Neighbour: `mmu`, the processor's way here.

use super::mmu::Mmu;
use crate::{Frame, FrameRange, PhysAddr, Span, pace};
use portolan_abi::PAGE_SIZE;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use zerocopy::{Immutable, IntoBytes};

/// What fresh memory is full of.
pub(super) const FRESH: u8 = 0xa5;

const WORD: usize = size_of::<u64>();

/// All frames.
pub struct Memory {
    ram: Arc<Ram>,
}

struct Ram {
    first: Frame,
    words: Box<[AtomicU64]>,
    mmu: Mutex<Mmu>,
}

impl Memory {
    pub(super) fn new(range: FrameRange) -> Memory {
        let count = range.len() * PAGE_SIZE / WORD;
        let words = (0..count).map(|_| AtomicU64::new(u64::from_le_bytes([FRESH; WORD]))).collect();
        Memory { ram: Arc::new(Ram { first: range.start, words, mmu: Mutex::default() }) }
    }

    /// A second handle to the same memory; never given to the kernel.
    pub(super) fn share(&self) -> Memory {
        Memory { ram: Arc::clone(&self.ram) }
    }

    /// What the processor knows of the page tables in this memory.
    pub(super) fn mmu(&self) -> MutexGuard<'_, Mmu> {
        self.ram.mmu.lock().expect("nothing panics with it in hand")
    }

    /// Puts bytes into a range before the kernel starts; the rest of it is zero.
    pub(super) fn install(&mut self, range: FrameRange, bytes: &[u8]) {
        for (number, page) in bytes.chunks(PAGE_SIZE).enumerate() {
            let frame = Frame(range.start.0 + number as u32);
            self.zero(frame);
            self.write(frame.span(0, page.len()), page);
        }
    }

    /// Reads the bytes of a span of this length.
    pub fn read(&self, from: Span, into: &mut [u8]) {
        assert_eq!(from.size(), into.len(), "as many bytes as the span has");
        let mut left = into;
        for (word, from, to) in self.words(from) {
            let (part, rest) = left.split_at_mut(to - from);
            part.copy_from_slice(&word.load(Relaxed).to_le_bytes()[from..to]);
            left = rest;
        }
    }

    /// Writes the bytes of a span of this length.
    pub fn write(&mut self, to: Span, from: &[u8]) {
        assert_eq!(to.size(), from.len(), "as many bytes as the span has");
        let mut left = from;
        for (word, from, to) in self.words(to) {
            let (part, rest) = left.split_at(to - from);
            let mut bytes = word.load(Relaxed).to_le_bytes();
            bytes[from..to].copy_from_slice(part);
            word.store(u64::from_le_bytes(bytes), Relaxed);
            left = rest;
        }
    }

    /// Reads an aligned word.
    #[must_use]
    #[inline]
    pub fn read_u64(&self, at: PhysAddr) -> u64 {
        self.word(at).load(Relaxed)
    }

    /// Writes an aligned word.
    pub fn write_u64(&mut self, at: PhysAddr, value: u64) {
        self.word(at).store(value, Relaxed);
    }

    /// Reads the words of a span, which is at a multiple of 8.
    #[must_use]
    pub fn read_words<const N: usize>(&self, from: Span) -> [u64; N] {
        assert_eq!(from.size(), N * WORD, "as many words as the span has");
        core::array::from_fn(|index| self.read_u64(from.start().plus(index * WORD)))
    }

    /// Writes a value to a span of its size.
    pub fn write_value<T: IntoBytes + Immutable>(&mut self, to: Span, value: T) {
        self.write(to, value.as_bytes());
    }

    /// Copies a span to another of the same length, as if by way of a third.
    pub fn copy(&mut self, from: Span, to: Span) {
        let mut bytes = [0; PAGE_SIZE];
        let bytes = &mut bytes[..from.size()];
        self.read(from, bytes);
        self.write(to, bytes);
    }

    /// Clears a frame.
    pub fn zero(&mut self, frame: Frame) {
        self.words(frame.whole()).for_each(|(word, ..)| word.store(0, Relaxed));
        pace((PAGE_SIZE / size_of::<u64>()) as u32);
    }

    /// An aligned word, which is never in two frames.
    #[inline]
    fn word(&self, at: PhysAddr) -> &AtomicU64 {
        assert!(at.0.is_multiple_of(WORD as u64), "a word at {at:?}");
        let index = at.0.wrapping_sub(self.ram.first.start().0) as usize / WORD;
        self.ram.words.get(index).unwrap_or_else(|| panic!("a word at {at:?} is outside memory"))
    }

    /// The words that a span's bytes are in, and which bytes of each.
    fn words(&self, span: Span) -> impl Iterator<Item = (&AtomicU64, usize, usize)> {
        let start = self.index(span);
        let end = start + span.size();
        (start / WORD..end.div_ceil(WORD)).map(move |word| {
            let first = word * WORD;
            (&self.ram.words[word], start.max(first) - first, end.min(first + WORD) - first)
        })
    }

    /// Where a span begins, of all bytes: it must exist.
    fn index(&self, span: Span) -> usize {
        let start = span.start().0.checked_sub(self.ram.first.start().0).map(|distance| distance as usize);
        match start {
            Some(start) if start + span.size() <= self.ram.words.len() * WORD => start,
            _ => panic!("{span:?} is outside memory"),
        }
    }
}
