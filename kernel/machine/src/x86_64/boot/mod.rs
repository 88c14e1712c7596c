//! The two front doors, and what comes through them.
//!
//! QEMU loads the kernel by its PVH note, firmware by way of the `bootloader` crate. Each
//! door sets up as little as it can, reads what its loader has left into a [`Handover`],
//! and nothing behind it depends on which one it was.

mod bootloader;
mod pvh;

use crate::boot_info::COMMAND_LINE_MAX;
use crate::memory_map::MemoryMap;
use crate::{FrameRange, Framebuffer, PhysAddr};
use arrayvec::ArrayString;
use portolan_abi::host::Door;

/// What a loader has left.
#[derive(Debug)]
pub(super) struct Handover {
    /// Memory that nobody uses. It may include the archive, and what else is named here.
    pub(super) free: MemoryMap,
    /// Memory that is the kernel's as soon as it has left what the loader has set up.
    pub(super) loader: MemoryMap,
    /// The frames of the boot archive.
    pub(super) archive: FrameRange,
    /// Bytes of it.
    pub(super) archive_size: usize,
    /// The command line; empty if there is none.
    pub(super) command_line: ArrayString<COMMAND_LINE_MAX>,
    /// Where ACPI's tables start.
    pub(super) rsdp: Option<PhysAddr>,
    /// The screen.
    pub(super) framebuffer: Option<Framebuffer>,
    /// Which door it was, for whoever wants to know.
    pub(super) door: Door,
}
