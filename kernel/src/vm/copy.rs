//! User memory for the kernel: found and checked first, then copied without fail.
//!
//! The kernel never follows a user pointer. [`Window::open`] walks the task's page
//! tables, brings in missing pages, and leaves a list of frames; reading
//! and writing those cannot fail. So a message is copied from its sender's pages
//! straight into its receiver's.
//!
//! Invariant: an open window is used before anything can unmap its pages, that
//! is, within one trap. Neighbours: `fault`; `ipc` and `syscall` use it.

use super::{Fault, Map, Vm, fault};
use crate::task::account::Accounts;
use arrayvec::ArrayVec;
use portolan_abi::PAGE_SIZE;
use portolan_abi::message::{MESSAGE_MAX, Trailer};
use portolan_abi::vm::USER_END;
use portolan_machine::{Access, Frame, Memory, Span, VirtAddr, pace};
use zerocopy::{Immutable, IntoBytes};

/// Most pages that a message buffer touches, after the first.
const FURTHER: usize = (MESSAGE_MAX + Trailer::SIZE) / PAGE_SIZE + 1;
/// Instructions that a further page takes to be found.
const PER_PAGE: u32 = 300;
/// Most bytes that a window can show.
pub const WINDOW_MAX: usize = MESSAGE_MAX + Trailer::SIZE + portolan_abi::message::MESSAGE_ALIGN;

/// A range of user memory, as the frames behind it.
pub struct Window {
    /// What lies in the first page.
    first: Span,
    /// The frames of the other pages.
    further: ArrayVec<Frame, FURTHER>,
}

impl Default for Window {
    #[inline]
    fn default() -> Window {
        Window { first: Span::EMPTY, further: ArrayVec::new() }
    }
}

impl Window {
    /// Opens it on `size` bytes, at most [`WINDOW_MAX`], from `address`.
    #[inline(always)]
    pub fn open(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        address: u64,
        size: usize,
        access: Access,
    ) -> Result<(), Fault> {
        let start = VirtAddr(address);
        match map.pmap.recent(start, size, access) {
            Some(span) => {
                self.first = span;
                self.further.clear();
                Ok(())
            }
            None => self.open_pages(vm, accounts, map, start, size, access),
        }
    }

    #[inline(never)]
    fn open_pages(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        start: VirtAddr,
        size: usize,
        access: Access,
    ) -> Result<(), Fault> {
        let end = start.0.checked_add(size as u64).filter(|end| *end <= USER_END).ok_or(Fault::Unmapped)?;
        self.first = frame(vm, accounts, map, start, access)?.whole().from(start.offset(), size);
        self.further.clear();
        let mut next = start.0 + self.first.size() as u64;
        while next < end {
            let frame = frame(vm, accounts, map, VirtAddr(next), access)?;
            self.further.try_push(frame).map_err(|_| Fault::Unmapped)?;
            next += PAGE_SIZE as u64;
        }
        pace(self.further.len() as u32 * PER_PAGE);
        Ok(())
    }

    /// What it has from `offset` on in one page, at most `most` bytes.
    #[inline]
    fn run(&self, offset: usize, most: usize) -> Span {
        match offset.checked_sub(self.first.size()) {
            None => self.first.from(offset, most),
            Some(beyond) => self.further[beyond / PAGE_SIZE].whole().from(beyond % PAGE_SIZE, most),
        }
    }

    /// Calls `act` for each page's part of the range, in order, with how much has been before.
    #[inline]
    fn each_run(&self, offset: usize, size: usize, mut act: impl FnMut(usize, Span)) {
        let mut done = 0;
        while done < size {
            let span = self.run(offset + done, size - done);
            act(done, span);
            done += span.size();
        }
    }

    /// Fills `into` from the bytes at `offset`.
    #[inline]
    pub fn read(&self, memory: &Memory, offset: usize, into: &mut [u8]) {
        match self.first.part(offset, into.len()) {
            Some(span) => memory.read(span, into),
            None => self.read_runs(memory, offset, into),
        }
    }

    #[cold]
    fn read_runs(&self, memory: &Memory, offset: usize, into: &mut [u8]) {
        self.each_run(offset, into.len(), |done, span| memory.read(span, &mut into[done..done + span.size()]));
    }

    /// Writes `from` to the bytes at `offset`.
    #[inline]
    pub fn write(&self, memory: &mut Memory, offset: usize, from: &[u8]) {
        match self.first.part(offset, from.len()) {
            Some(span) => memory.write(span, from),
            None => self.write_runs(memory, offset, from),
        }
    }

    #[cold]
    fn write_runs(&self, memory: &mut Memory, offset: usize, from: &[u8]) {
        self.each_run(offset, from.len(), |done, span| memory.write(span, &from[done..done + span.size()]));
    }

    /// Words read from `offset`, each once; the window is at a multiple of 8, and so is `offset`.
    #[inline(always)]
    pub fn read_words<const N: usize>(&self, memory: &Memory, offset: usize) -> [u64; N] {
        match self.first.part(offset, N * size_of::<u64>()) {
            Some(span) => memory.read_words(span),
            None => {
                let mut words = [0; N];
                self.read_runs(memory, offset, words.as_mut_bytes());
                words
            }
        }
    }

    /// Writes a value to `offset`: field by field, if it is made there.
    #[inline(always)]
    pub fn write_value<T: IntoBytes + Immutable>(&self, memory: &mut Memory, offset: usize, make: impl FnOnce() -> T) {
        match self.first.part(offset, size_of::<T>()) {
            Some(span) => memory.write_value(span, make()),
            None => self.write_runs(memory, offset, make().as_bytes()),
        }
    }

    /// Copies `size` bytes at `offset` to `target`'s `target_offset`.
    #[inline(always)]
    pub fn copy_to(&self, memory: &mut Memory, offset: usize, target: &Window, target_offset: usize, size: usize) {
        match (self.first.part(offset, size), target.first.part(target_offset, size)) {
            (Some(from), Some(to)) => memory.copy(from, to),
            _ => self.copy_runs(memory, offset, target, target_offset, size),
        }
    }

    #[inline(never)]
    fn copy_runs(&self, memory: &mut Memory, offset: usize, target: &Window, target_offset: usize, size: usize) {
        // Not by way of `each_run` and `copy_from_frame`: a loop in a loop takes 90 instructions more a message.
        let mut done = 0;
        while done < size {
            let from = self.run(offset + done, size - done);
            let to = target.run(target_offset + done, from.size());
            copy_run(memory, from.from(0, to.size()), to);
            done += to.size();
        }
    }

    /// Copies bytes of one frame to `offset`.
    pub fn copy_from_frame(&self, memory: &mut Memory, offset: usize, from: Span) {
        self.each_run(offset, from.size(), |done, to| copy_run(memory, from.from(done, to.size()), to));
    }

    /// Copies bytes at `offset` to one frame.
    pub fn copy_to_frame(&self, memory: &mut Memory, offset: usize, to: Span) {
        self.each_run(offset, to.size(), |done, from| copy_run(memory, from, to.from(done, from.size())));
    }
}

#[inline]
fn copy_run(memory: &mut Memory, from: Span, to: Span) {
    memory.copy(from, to);
    // An instruction a word.
    pace((to.size() / size_of::<u64>()) as u32);
}

/// The frame behind an address, if it may be used so.
#[inline]
fn frame(vm: &mut Vm, accounts: &mut Accounts, map: &mut Map, at: VirtAddr, access: Access) -> Result<Frame, Fault> {
    match map.pmap.translate(&vm.memory, at, access) {
        Some(frame) => Ok(frame),
        None => fault::resolve(vm, accounts, map, at, access),
    }
}
