//! Physical memory: frames with bytes.
//!
//! Fresh memory holds a pattern, not zeros, so that a page that nobody cleared is
//! seen. Every access must lie within one frame that exists; anything else is a bug
//! of the kernel and panics. Neighbour: `mmu`, the processor's way to these bytes.

use super::mmu::Mmu;
use crate::{Frame, FrameRange, PhysAddr};
use portolan_abi::PAGE_SIZE;
use std::sync::{Arc, Mutex, MutexGuard};

/// What fresh memory is full of.
pub(super) const FRESH: u8 = 0xa5;

/// All frames. The processor has a handle to the same bytes.
pub struct Memory {
    ram: Arc<Mutex<Ram>>,
}

pub(super) struct Ram {
    first: Frame,
    bytes: Vec<u8>,
    pub(super) mmu: Mmu,
}

impl Memory {
    pub(super) fn new(range: FrameRange) -> Memory {
        let ram = Ram { first: range.start, bytes: vec![FRESH; range.len() * PAGE_SIZE], mmu: Mmu::default() };
        Memory { ram: Arc::new(Mutex::new(ram)) }
    }

    /// A second handle to the same memory; never given to the kernel.
    pub(super) fn share(&self) -> Memory {
        Memory { ram: Arc::clone(&self.ram) }
    }

    pub(super) fn ram(&self) -> MutexGuard<'_, Ram> {
        self.ram.lock().expect("memory outlives no panic")
    }

    /// Puts bytes into a range before the kernel starts; the rest of it is zero.
    pub(super) fn install(&mut self, range: FrameRange, bytes: &[u8]) {
        let mut ram = self.ram();
        let start = (range.start.0 - ram.first.0) as usize * PAGE_SIZE;
        let frames = &mut ram.bytes[start..start + range.len() * PAGE_SIZE];
        frames.fill(0);
        frames[..bytes.len()].copy_from_slice(bytes);
    }

    /// Reads bytes.
    pub fn read(&self, at: PhysAddr, into: &mut [u8]) {
        into.copy_from_slice(self.ram().slice(at, into.len()));
    }

    /// Writes bytes.
    pub fn write(&mut self, at: PhysAddr, from: &[u8]) {
        self.ram().slice_mut(at, from.len()).copy_from_slice(from);
    }

    /// Reads an aligned word.
    #[must_use]
    pub fn read_u64(&self, at: PhysAddr) -> u64 {
        self.ram().read_u64(at)
    }

    /// Writes an aligned word.
    pub fn write_u64(&mut self, at: PhysAddr, value: u64) {
        assert!(at.0.is_multiple_of(8), "a word at {at:?}");
        self.ram().slice_mut(at, 8).copy_from_slice(&value.to_le_bytes());
    }

    /// Copies bytes from one place in a frame to another place, as if by way of a third.
    pub fn copy(&mut self, from: PhysAddr, to: PhysAddr, size: usize) {
        let mut ram = self.ram();
        let bytes = ram.slice(from, size).to_vec();
        ram.slice_mut(to, size).copy_from_slice(&bytes);
    }

    /// Clears a frame.
    pub fn zero(&mut self, frame: Frame) {
        self.ram().slice_mut(frame.start(), PAGE_SIZE).fill(0);
    }
}

impl Ram {
    pub(super) fn read_u64(&self, at: PhysAddr) -> u64 {
        assert!(at.0.is_multiple_of(8), "a word at {at:?}");
        let bytes = self.slice(at, 8).try_into().expect("eight bytes");
        u64::from_le_bytes(bytes)
    }

    pub(super) fn slice(&self, at: PhysAddr, size: usize) -> &[u8] {
        let start = self.index(at, size);
        &self.bytes[start..start + size]
    }

    pub(super) fn slice_mut(&mut self, at: PhysAddr, size: usize) -> &mut [u8] {
        let start = self.index(at, size);
        &mut self.bytes[start..start + size]
    }

    /// Where in `bytes` these are: some bytes of one frame that exists.
    fn index(&self, at: PhysAddr, size: usize) -> usize {
        let offset = at.0 as usize % PAGE_SIZE;
        assert!(offset + size <= PAGE_SIZE, "{size} bytes at {at:?} are not in one frame");
        let start = at.0.checked_sub(self.first.start().0).map(|distance| distance as usize);
        match start {
            Some(start) if start + size <= self.bytes.len() => start,
            _ => panic!("{size} bytes at {at:?} are outside memory"),
        }
    }
}
