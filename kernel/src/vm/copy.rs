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
use portolan_machine::{Access, Memory, PhysAddr, VirtAddr};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Most pages that a message buffer touches.
const PIECES: usize = (MESSAGE_MAX + Trailer::SIZE) / PAGE_SIZE + 2;
/// Most bytes that a window can show.
pub const WINDOW_MAX: usize = MESSAGE_MAX + Trailer::SIZE + portolan_abi::message::MESSAGE_ALIGN;

/// A range of user memory, as pieces of physical memory.
#[derive(Default)]
pub struct Window {
    pieces: ArrayVec<Piece, PIECES>,
}

#[derive(Clone, Copy)]
struct Piece {
    at: PhysAddr,
    size: usize,
}

impl Window {
    /// Opens it on `size` bytes, at most [`WINDOW_MAX`], from `address`.
    #[inline]
    pub fn open(
        &mut self,
        vm: &mut Vm,
        accounts: &mut Accounts,
        map: &mut Map,
        address: u64,
        size: usize,
        access: Access,
    ) -> Result<(), Fault> {
        self.pieces.clear();
        let end = address.checked_add(size as u64).filter(|end| *end <= USER_END).ok_or(Fault::Unmapped)?;
        let mut next = VirtAddr(address);
        while next.0 < end {
            let frame = match map.pmap.lookup(&vm.memory, next.page()) {
                Some(mapping) if fault::allows(mapping.protection, access) => mapping.frame,
                _ => fault::resolve(vm, accounts, map, next, access)?,
            };
            let offset = next.offset();
            let size = (PAGE_SIZE - offset).min((end - next.0) as usize);
            let piece = Piece { at: frame.start().plus(offset), size };
            self.pieces.try_push(piece).map_err(|_| Fault::Unmapped)?;
            next = VirtAddr(next.0 + size as u64);
        }
        Ok(())
    }

    /// Fills `into` from the bytes at `offset`.
    #[inline]
    pub fn read(&self, memory: &Memory, offset: usize, into: &mut [u8]) {
        if let Some(piece) = self.pieces.first()
            && offset + into.len() <= piece.size
        {
            memory.read(piece.at.plus(offset), into);
            return;
        }
        let mut done = 0;
        self.each_piece(offset, into.len(), |at, size| {
            memory.read(at, &mut into[done..done + size]);
            done += size;
        });
    }

    /// Writes `from` to the bytes at `offset`.
    #[inline]
    pub fn write(&self, memory: &mut Memory, offset: usize, from: &[u8]) {
        if let Some(piece) = self.pieces.first()
            && offset + from.len() <= piece.size
        {
            memory.write(piece.at.plus(offset), from);
            return;
        }
        let mut done = 0;
        self.each_piece(offset, from.len(), |at, size| {
            memory.write(at, &from[done..done + size]);
            done += size;
        });
    }

    /// A structure read from `offset`.
    #[inline]
    pub fn read_value<T: FromBytes + IntoBytes + FromZeros>(&self, memory: &Memory, offset: usize) -> T {
        let mut value = T::new_zeroed();
        self.read(memory, offset, value.as_mut_bytes());
        value
    }

    /// Writes a structure to `offset`.
    #[inline]
    pub fn write_value<T: IntoBytes + Immutable>(&self, memory: &mut Memory, offset: usize, value: &T) {
        self.write(memory, offset, value.as_bytes());
    }

    /// Copies `size` bytes at `offset` to `target`'s `target_offset`.
    #[inline]
    pub fn copy_to(&self, memory: &mut Memory, offset: usize, target: &Window, target_offset: usize, size: usize) {
        let mut done = 0;
        self.each_piece(offset, size, |at, size| {
            target.copy_from_physical(memory, target_offset + done, at, size);
            done += size;
        });
    }

    /// Copies physically contiguous bytes to `offset`.
    #[inline]
    pub fn copy_from_physical(&self, memory: &mut Memory, offset: usize, from: PhysAddr, size: usize) {
        let mut done = 0;
        self.each_piece(offset, size, |at, size| {
            memory.copy(from.plus(done), at, size);
            done += size;
        });
    }

    /// Copies bytes at `offset` to physically contiguous ones.
    pub fn copy_to_physical(&self, memory: &mut Memory, offset: usize, to: PhysAddr, size: usize) {
        let mut done = 0;
        self.each_piece(offset, size, |at, size| {
            memory.copy(at, to.plus(done), size);
            done += size;
        });
    }

    /// Calls `act` for each physical part of the range, in order.
    #[inline]
    fn each_piece(&self, offset: usize, size: usize, mut act: impl FnMut(PhysAddr, usize)) {
        let (mut skip, mut left) = (offset, size);
        for piece in &self.pieces {
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
