//! The bytes of physical frames, through the physical map.
//!
//! What start-up hands out is mapped there, and nothing else: not the kernel's image,
//! stacks, heap or tables. An address outside the map's range is a panic; one inside it
//! that was never handed out is not mapped, which ends in a panic too. The users' page
//! tables are in such frames as well: that only `pmap` writes those is the kernel's to keep.
//! This is the path of every message: small sizes are moved word by word, in line, large
//! ones with `rep movsq`, which takes an instruction for eight bytes.

use super::layout::{PHYSMAP, PHYSMAP_SIZE};
use crate::{Frame, PhysAddr, pace};
use core::arch::asm;
use core::ptr::with_exposed_provenance_mut;
use portolan_abi::PAGE_SIZE;

/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// From this size on `rep movsq`, which is slow to start but takes an instruction a word,
/// is better than a loop, which takes four.
const LARGE: usize = 32;

/// Moves one number of this register's size, which need not be aligned, from and to `at` bytes
/// after the two places.
macro_rules! move_number {
    ($size:literal, $from:expr, $to:expr, $at:expr) => {
        asm!(concat!("mov {number:", $size, "}, [{from} + {at}]"), concat!("mov [{to} + {at}], {number:", $size, "}"),
            number = out(reg) _, from = in(reg) $from, to = in(reg) $to, at = in(reg) $at,
            options(nostack, preserves_flags))
    };
}
/// All frames. Whoever has it may read and write every frame that was handed out; which
/// of them are whose is for the kernel to know.
#[derive(Debug)]
pub struct Memory {
    _private: (),
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory { _private: () }
    }

    /// Reads bytes.
    #[inline]
    pub fn read(&self, at: PhysAddr, into: &mut [u8]) {
        let from = place(at, into.len());
        // SAFETY: both are mapped for this length; the slice is no part of the physical map.
        unsafe { move_bytes(from, into.as_mut_ptr(), into.len()) };
    }

    /// Writes bytes.
    #[inline]
    pub fn write(&mut self, at: PhysAddr, from: &[u8]) {
        let to = place(at, from.len());
        // SAFETY: both are mapped for this length; the slice is no part of the physical map.
        unsafe { move_bytes(from.as_ptr(), to, from.len()) };
    }

    /// Reads a word; its address is a multiple of 8.
    #[must_use]
    #[inline]
    pub fn read_u64(&self, at: PhysAddr) -> u64 {
        let [word] = self.read_words(at);
        word
    }

    /// Writes a word; its address is a multiple of 8.
    #[inline]
    pub fn write_u64(&mut self, at: PhysAddr, value: u64) {
        self.write_words(at, [value]);
    }

    /// Reads words, each once; their address is a multiple of 8.
    #[must_use]
    #[inline(always)]
    pub fn read_words<const N: usize>(&self, at: PhysAddr) -> [u64; N] {
        let from = words(at, N);
        // SAFETY: mapped for N words and aligned, and any bytes are a number.
        core::array::from_fn(|index| unsafe { from.wrapping_add(index).read_volatile() })
    }

    /// Writes words; their address is a multiple of 8.
    #[inline(always)]
    pub fn write_words<const N: usize>(&mut self, at: PhysAddr, values: [u64; N]) {
        let to = words(at, N);
        for (index, value) in values.into_iter().enumerate() {
            // SAFETY: mapped for N words and aligned, and no reference to what is there exists.
            unsafe { to.wrapping_add(index).write_volatile(value) };
        }
    }

    /// Copies bytes from one place to another; where they overlap, `from` is not below `to`.
    #[inline]
    pub fn copy(&mut self, from: PhysAddr, to: PhysAddr, size: usize) {
        debug_assert!(from >= to || from.plus(size) <= to, "a copy upwards onto itself");
        let (from, to) = (place(from, size), place(to, size));
        // SAFETY: both are mapped for this length; moving upwards is right for such an overlap.
        unsafe { move_bytes(from, to, size) };
    }

    /// Clears a frame.
    #[inline]
    pub fn zero(&mut self, frame: Frame) {
        let to = place(frame.start(), PAGE_SIZE);
        // SAFETY: the frame is mapped, and no reference to what is there exists.
        unsafe {
            asm!("rep stosq", inout("rcx") PAGE_SIZE / WORD => _, inout("rdi") to => _, in("rax") 0_u64,
                options(nostack, preserves_flags));
        };
        pace((PAGE_SIZE / WORD) as u32);
    }
}

/// Where these bytes are in the physical map.
#[inline(always)]
fn place(at: PhysAddr, size: usize) -> *mut u8 {
    if size as u64 > PHYSMAP_SIZE || at.0 > PHYSMAP_SIZE - size as u64 {
        outside(at, size);
    }
    with_exposed_provenance_mut((PHYSMAP + at.0) as usize)
}

/// Where these words are in the physical map.
#[inline(always)]
fn words(at: PhysAddr, count: usize) -> *mut u64 {
    assert!(at.0.is_multiple_of(WORD as u64), "words at {at:?}");
    place(at, count * WORD).cast()
}

#[cold]
fn outside(at: PhysAddr, size: usize) -> ! {
    panic!("{size} bytes at {at:?} are outside memory")
}

/// Moves bytes, lowest first. Users may write to the memory at any time, so nothing may be
/// read twice: each access is an instruction of its own.
///
/// # Safety
/// Both places are mapped for `size` bytes and `to` may be written. If they overlap,
/// `from` is not below `to`.
#[inline]
unsafe fn move_bytes(from: *const u8, to: *mut u8, size: usize) {
    let mut at = size & !(WORD - 1);
    if size >= LARGE {
        // SAFETY: as the caller promised.
        unsafe { move_words(from, to, size / WORD) };
    } else {
        for start in (0..at).step_by(WORD) {
            // SAFETY: within the caller's ranges.
            unsafe { move_number!("r", from, to, start) };
        }
    }
    if size & 4 != 0 {
        // SAFETY: as above.
        unsafe { move_number!("e", from, to, at) };
        at += 4;
    }
    if size & 2 != 0 {
        // SAFETY: as above.
        unsafe { move_number!("x", from, to, at) };
        at += 2;
    }
    if size & 1 != 0 {
        // SAFETY: as above.
        unsafe { move_number!("l", from, to, at) };
    }
}

/// Moves words, lowest first.
///
/// # Safety
/// As for [`move_bytes`], with eight bytes for a word.
#[inline]
unsafe fn move_words(from: *const u8, to: *mut u8, words: usize) {
    // SAFETY: as the caller promised; the direction flag is always clear in the kernel.
    unsafe {
        asm!("rep movsq", inout("rcx") words => _, inout("rsi") from => _, inout("rdi") to => _,
            options(nostack, preserves_flags));
    };
}
