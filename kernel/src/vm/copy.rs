//! User memory for the kernel: found and checked first, then copied without fail.
//!
//! The kernel never follows a user pointer. [`Window::open`] walks the task's page
//! tables, brings in missing pages, and leaves a list of physical pieces; reading
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
use portolan_machine::{Access, Memory, PhysAddr, VirtAddr, pace};
use zerocopy::IntoBytes;

/// Most pages that a message buffer touches, after the first.
const FURTHER: usize = (MESSAGE_MAX + Trailer::SIZE) / PAGE_SIZE + 1;
/// Instructions that a further piece takes to be found.
const PER_PIECE: u32 = 300;
/// Most bytes that a window can show.
pub const WINDOW_MAX: usize = MESSAGE_MAX + Trailer::SIZE + portolan_abi::message::MESSAGE_ALIGN;

/// A range of user memory, as pieces of physical memory.
#[derive(Default)]
pub struct Window {
    first: Piece,
    further: ArrayVec<Piece, FURTHER>,
}

#[derive(Clone, Copy)]
struct Piece {
    at: PhysAddr,
    size: usize,
}

impl Default for Piece {
    #[inline]
    fn default() -> Piece {
        Piece { at: PhysAddr(0), size: 0 }
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
        match map.pmap.recent(start, access) {
            Some(frame) if size <= PAGE_SIZE - start.offset() => {
                self.first = Piece { at: frame.start().plus(start.offset()), size };
                self.further.clear();
                Ok(())
            }
            _ => self.open_pieces(vm, accounts, map, address, size, access),
        }
    }

    #[inline(never)]
    fn open_pieces(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        address: u64,
        size: usize,
        access: Access,
    ) -> Result<(), Fault> {
        let end = address.checked_add(size as u64).filter(|end| *end <= USER_END).ok_or(Fault::Unmapped)?;
        self.first = piece(vm, accounts, map, VirtAddr(address), end, access)?;
        self.further.clear();
        let mut next = address + self.first.size as u64;
        while next < end {
            pace(PER_PIECE);
            let piece = piece(vm, accounts, map, VirtAddr(next), end, access)?;
            self.further.try_push(piece).map_err(|_| Fault::Unmapped)?;
            next += piece.size as u64;
        }
        Ok(())
    }

    /// The place of a part of the first piece.
    #[inline]
    fn near(&self, offset: usize, size: usize) -> Option<PhysAddr> {
        (offset + size <= self.first.size).then(|| self.first.at.plus(offset))
    }

    /// Fills `into` from the bytes at `offset`.
    #[inline]
    pub fn read(&self, memory: &Memory, offset: usize, into: &mut [u8]) {
        match self.near(offset, into.len()) {
            Some(at) => memory.read(at, into),
            None => self.read_pieces(memory, offset, into),
        }
    }

    #[cold]
    fn read_pieces(&self, memory: &Memory, offset: usize, into: &mut [u8]) {
        let mut done = 0;
        self.each_piece(offset, into.len(), |at, size| {
            memory.read(at, &mut into[done..done + size]);
            done += size;
        });
    }

    /// Writes `from` to the bytes at `offset`.
    #[inline]
    pub fn write(&self, memory: &mut Memory, offset: usize, from: &[u8]) {
        match self.near(offset, from.len()) {
            Some(at) => memory.write(at, from),
            None => self.write_pieces(memory, offset, from),
        }
    }

    #[cold]
    fn write_pieces(&self, memory: &mut Memory, offset: usize, from: &[u8]) {
        let mut done = 0;
        self.each_piece(offset, from.len(), |at, size| {
            memory.write(at, &from[done..done + size]);
            done += size;
        });
    }

    /// Words read from `offset`, each once; the window is at a multiple of 8, and so is `offset`.
    #[inline(always)]
    pub fn read_words<const N: usize>(&self, memory: &Memory, offset: usize) -> [u64; N] {
        match self.near(offset, N * size_of::<u64>()) {
            Some(at) => memory.read_words(at),
            None => {
                let mut words = [0; N];
                self.read_pieces(memory, offset, words.as_mut_bytes());
                words
            }
        }
    }

    /// Writes words to `offset`; the window is at a multiple of 8, and so is `offset`.
    #[inline(always)]
    pub fn write_words<const N: usize>(&self, memory: &mut Memory, offset: usize, words: [u64; N]) {
        match self.near(offset, N * size_of::<u64>()) {
            Some(at) => memory.write_words(at, words),
            None => self.write_pieces(memory, offset, words.as_bytes()),
        }
    }

    /// Copies `size` bytes at `offset` to `target`'s `target_offset`.
    #[inline(always)]
    pub fn copy_to(&self, memory: &mut Memory, offset: usize, target: &Window, target_offset: usize, size: usize) {
        match (self.near(offset, size), target.near(target_offset, size)) {
            (Some(from), Some(to)) => memory.copy(from, to, size),
            _ => self.copy_pieces(memory, offset, target, target_offset, size),
        }
    }

    #[inline(never)]
    fn copy_pieces(&self, memory: &mut Memory, offset: usize, target: &Window, target_offset: usize, size: usize) {
        let mut done = 0;
        self.each_piece(offset, size, |at, size| {
            target.copy_from_physical(memory, target_offset + done, at, size);
            done += size;
        });
    }

    /// Copies physically contiguous bytes to `offset`.
    pub fn copy_from_physical(&self, memory: &mut Memory, offset: usize, from: PhysAddr, size: usize) {
        let mut done = 0;
        self.each_piece(offset, size, |at, size| {
            memory.copy(from.plus(done), at, size);
            pace(words(size));
            done += size;
        });
    }

    /// Copies bytes at `offset` to physically contiguous ones.
    pub fn copy_to_physical(&self, memory: &mut Memory, offset: usize, to: PhysAddr, size: usize) {
        let mut done = 0;
        self.each_piece(offset, size, |at, size| {
            memory.copy(at, to.plus(done), size);
            pace(words(size));
            done += size;
        });
    }

    /// Calls `act` for each physical part of the range, in order.
    #[inline]
    fn each_piece(&self, offset: usize, size: usize, mut act: impl FnMut(PhysAddr, usize)) {
        let (mut skip, mut left) = (offset, size);
        for piece in core::iter::once(&self.first).chain(&self.further) {
            if left == 0 {
                return;
            }
            if skip >= piece.size {
                skip -= piece.size;
                continue;
            }
            let size = (piece.size - skip).min(left);
            act(piece.at.plus(skip), size);
            left -= size;
            skip = 0;
        }
        debug_assert_eq!(left, 0, "a window was used beyond its end");
    }
}

/// Words to be moved, an instruction each.
fn words(size: usize) -> u32 {
    (size / size_of::<u64>()) as u32
}

/// The physical piece from `start` to the end of its page, or to `end`.
#[inline]
fn piece(
    vm: &mut Vm,
    accounts: &mut Accounts,
    map: &mut Map,
    start: VirtAddr,
    end: u64,
    access: Access,
) -> Result<Piece, Fault> {
    let frame = match map.pmap.translate(&vm.memory, start, access) {
        Some(frame) => frame,
        None => fault::resolve(vm, accounts, map, start, access)?,
    };
    let offset = start.offset();
    let size = (PAGE_SIZE - offset).min((end - start.0) as usize);
    Ok(Piece { at: frame.start().plus(offset), size })
}
