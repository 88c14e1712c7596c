//! The bytes of physical frames, through the physical map.
//!
//! What start-up hands out is mapped there, and nothing else: not the kernel's image,
//! stacks, heap or tables. Every frame has its place there; one
//! that was never handed out is not mapped, which ends in a panic. The users' page
//! tables are in such frames as well: that only `pmap` writes those is the kernel's to keep.
//! This is the path of every message: small sizes are moved word by word, in line, large
//! ones with `rep movsq`, which takes an instruction for eight bytes.

use super::layout::{PHYSMAP, PHYSMAP_SIZE};
use crate::{Frame, PhysAddr, Span, pace};
use core::arch::asm;
use core::ptr::with_exposed_provenance_mut;
use portolan_abi::PAGE_SIZE;
use zerocopy::{Immutable, IntoBytes};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// From this size on `rep movsq`, which is slow to start but takes an instruction a word,
/// is better than a loop, which takes four.
const LARGE: usize = 32;

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

    /// Reads the bytes of a span of this length.
    #[inline]
    pub fn read(&self, from: Span, into: &mut [u8]) {
        same_size(from.size(), into.len());
        // SAFETY: both are mapped for this length; the slice is no part of the physical map.
        unsafe { move_bytes(place(from), into.as_mut_ptr(), into.len()) };
    }

    /// Writes the bytes of a span of this length.
    #[inline]
    pub fn write(&mut self, to: Span, from: &[u8]) {
        same_size(to.size(), from.len());
        // SAFETY: both are mapped for this length; the slice is no part of the physical map.
        unsafe { move_bytes(from.as_ptr(), place(to), from.len()) };
    }

    /// Reads a word; its address is a multiple of 8.
    #[must_use]
    #[inline]
    pub fn read_u64(&self, at: PhysAddr) -> u64 {
        // SAFETY: mapped for a word and aligned, and any bytes are a number.
        unsafe { word(at).read_volatile() }
    }

    /// Writes a word; its address is a multiple of 8.
    #[inline]
    pub fn write_u64(&mut self, at: PhysAddr, value: u64) {
        // SAFETY: mapped for a word and aligned, and no reference to what is there exists.
        unsafe { word(at).write_volatile(value) };
    }

    /// Reads the words of a span, which is at a multiple of 8, each once.
    #[must_use]
    #[inline(always)]
    pub fn read_words<const N: usize>(&self, from: Span) -> [u64; N] {
        same_size(from.size(), N * WORD);
        let from: *mut Packed<u64> = place(from).cast();
        // SAFETY: mapped for N words, and any bytes are a number.
        core::array::from_fn(|index| unsafe { from.wrapping_add(index).read_volatile() }.0)
    }

    /// Writes a value to a span of its size.
    #[inline(always)]
    pub fn write_value<T: IntoBytes + Immutable>(&mut self, to: Span, value: T) {
        same_size(to.size(), size_of::<T>());
        // SAFETY: mapped for a value, whose bytes are all defined, and no reference to what is there exists.
        unsafe { place(to).cast::<T>().write_unaligned(value) };
    }

    /// Copies a span to another of the same length; where they overlap, `from` is not below `to`.
    #[inline]
    pub fn copy(&mut self, from: Span, to: Span) {
        debug_assert!(from.start() >= to.start() || from.end() <= to.start(), "a copy upwards onto itself");
        same_size(from.size(), to.size());
        // SAFETY: both are mapped for this length; moving upwards is right for such an overlap.
        unsafe { move_bytes(place(from), place(to), from.size()) };
    }

    /// Clears a frame.
    #[inline]
    pub fn zero(&mut self, frame: Frame) {
        let to = place(frame.whole());
        // SAFETY: the frame is mapped, and no reference to what is there exists.
        unsafe {
            asm!("rep stosq", inout("rcx") PAGE_SIZE / WORD => _, inout("rdi") to => _, in("rax") 0_u64,
                options(nostack, preserves_flags));
        };
        pace((PAGE_SIZE / WORD) as u32);
    }
}

/// A number wherever it is; the processor needs no alignment.
#[repr(C, packed)]
struct Packed<N>(N);

/// Where a span is in the physical map, which has a place for every frame.
#[inline(always)]
fn place(span: Span) -> *mut u8 {
    with_exposed_provenance_mut((PHYSMAP + span.start().0) as usize)
}

/// Where an aligned word is in the physical map.
#[inline(always)]
fn word(at: PhysAddr) -> *mut u64 {
    if at.0 >= PHYSMAP_SIZE || !at.0.is_multiple_of(WORD as u64) {
        no_word(at);
    }
    with_exposed_provenance_mut((PHYSMAP + at.0) as usize)
}

#[cold]
fn no_word(at: PhysAddr) -> ! {
    panic!("no word of memory is at {at:?}")
}

/// Both lengths of a move must be the same.
#[inline(always)]
fn same_size(a: usize, b: usize) {
    if a != b {
        differ(a, b);
    }
}

#[cold]
fn differ(a: usize, b: usize) -> ! {
    panic!("{a} bytes and {b} are to be the same")
}

/// Moves bytes. Users may write to them at any time; nothing here looks at what they are.
///
/// # Safety
/// Both places are mapped for `size` bytes and `to` may be written. If they overlap,
/// `from` is not below `to`.
#[inline]
unsafe fn move_bytes(from: *const u8, to: *mut u8, size: usize) {
    match size {
        // SAFETY: as the caller promised; there are as many bytes as these take, here and below.
        LARGE.. => unsafe { move_words(from, to, size) },
        // SAFETY: as above.
        16.. => unsafe { move_ends::<u128>(from, to, size) },
        // SAFETY: as above.
        8.. => unsafe { move_ends::<u64>(from, to, size) },
        // SAFETY: as above.
        4.. => unsafe { move_ends::<u32>(from, to, size) },
        // SAFETY: as above.
        2.. => unsafe { move_ends::<u16>(from, to, size) },
        // SAFETY: as above.
        1 => unsafe { move_ends::<u8>(from, to, size) },
        0 => {}
    }
}

/// Moves bytes as the first number that they make and the last, which may be partly the same: both
/// are read before any is written.
///
/// # Safety
/// As for [`move_bytes`]; the bytes are one to two numbers.
#[inline(always)]
unsafe fn move_ends<N>(from: *const u8, to: *mut u8, size: usize) {
    let last = size - size_of::<N>();
    // SAFETY: mapped for a number, and any bytes are one.
    let first_number = unsafe { from.cast::<Packed<N>>().read_volatile() };
    // SAFETY: as above.
    let last_number = unsafe { from.wrapping_add(last).cast::<Packed<N>>().read_volatile() };
    // SAFETY: mapped for a number, and no reference to what is there exists.
    unsafe { to.cast::<Packed<N>>().write(first_number) };
    // SAFETY: as above.
    unsafe { to.wrapping_add(last).cast::<Packed<N>>().write(last_number) };
}

/// Moves whole words, lowest first, and then the last bytes, which have been read before.
///
/// # Safety
/// As for [`move_bytes`], and there is a word at least.
#[inline]
unsafe fn move_words(from: *const u8, to: *mut u8, size: usize) {
    let last = size - WORD;
    // SAFETY: mapped for a word, and any bytes are one.
    let end = unsafe { from.wrapping_add(last).cast::<Packed<u64>>().read_volatile() };
    // SAFETY: as the caller promised; the direction flag is always clear in the kernel.
    unsafe {
        asm!("rep movsq", inout("rcx") size / WORD => _, inout("rsi") from => _, inout("rdi") to => _,
            options(nostack, preserves_flags));
    };
    // SAFETY: mapped for a word, and no reference to what is there exists.
    unsafe { to.wrapping_add(last).cast::<Packed<u64>>().write(end) };
}
