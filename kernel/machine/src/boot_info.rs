//! What there is when the kernel starts, whoever loaded it.
//!
//! Plain data. The machine fills it, the kernel reads it and owns what it names.
//! Invariant: no frame is in two ranges, and none that is in use by the machine (the
//! kernel's image, heap and page tables, the firmware's areas) is in any.

use crate::{FrameRange, PhysAddr};
use arrayvec::{ArrayString, ArrayVec};
use portolan_abi::host::Door;

/// Most ranges of free memory that are passed on; the smallest ones beyond are dropped.
pub(crate) const RANGES_MAX: usize = 32;
/// Most ranges of what is taken; firmware has been seen to report more than a hundred.
pub(crate) const TAKEN_MAX: usize = 192;
/// Most bytes of the command line.
pub(crate) const COMMAND_LINE_MAX: usize = 1024;

/// Ranges of frames, in order.
pub type Taken = ArrayVec<FrameRange, TAKEN_MAX>;

/// What there is.
#[derive(Debug)]
pub struct BootInfo {
    /// Frames that belong to no one yet: what the frame allocator starts with.
    pub memory: ArrayVec<FrameRange, RANGES_MAX>,
    /// What no driver may have as a device's: memory, whoever uses it, the kernel's own devices,
    /// and what the processor cannot address.
    pub taken: Taken,
    /// The frames that hold the boot archive, from its first byte.
    pub archive: FrameRange,
    /// Bytes of the archive; the rest of its last frame is zero.
    pub archive_size: usize,
    /// The command line; empty if the loader cannot pass one.
    pub command_line: ArrayString<COMMAND_LINE_MAX>,
    /// Where ACPI's tables start, if the loader says so.
    pub rsdp: Option<PhysAddr>,
    /// The screen, if the loader has set one up.
    pub framebuffer: Option<Framebuffer>,
    /// How the kernel came in.
    pub door: Door,
}

/// A linear framebuffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Framebuffer {
    /// Its first byte.
    pub address: PhysAddr,
    /// Visible pixels of a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Pixels from one line's start to the next one's.
    pub stride: usize,
    /// Bytes of a pixel.
    pub bytes_per_pixel: usize,
    /// What a pixel's bytes mean.
    pub format: PixelFormat,
}

/// What a pixel's bytes mean, in the order of the addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PixelFormat {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One byte of grey.
    Grey,
    /// Something else.
    Unknown,
}
