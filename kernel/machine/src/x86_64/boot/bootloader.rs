//! The front door for firmware: the `bootloader` crate loads the kernel from a disk.
//!
//! It comes in 64-bit mode, with the kernel mapped where it is linked, physical memory
//! mapped where the kernel has its own map of it, and a stack that is left at once.

use super::super::address_space::loaded;
use super::super::layout::PHYSMAP;
use super::super::stacks::{FIRST_TOP, STACKS};
use super::super::tables::translate;
use super::super::{Refusal, start};
use super::Handover;
use crate::memory_map::{MemoryMap, frames_touching, frames_within};
use crate::{Framebuffer, PhysAddr, PixelFormat};
use arrayvec::ArrayString;
use bootloader_api::config::Mapping;
use bootloader_api::info::{self, FrameBuffer, MemoryRegion, MemoryRegionKind};
use bootloader_api::{BootInfo, BootloaderConfig};
use core::arch::naked_asm;
use portolan_abi::PAGE_SIZE;
use portolan_abi::host::Door;

const CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::FixedAddress(PHYSMAP));
    config.kernel_stack_size = 4 * PAGE_SIZE as u64;
    config
};

bootloader_api::entry_point!(enter, config = &CONFIG);

fn enter(info: &'static mut BootInfo) -> ! {
    // SAFETY: nothing on the stack that is left is needed again.
    unsafe { change_stack(info) }
}

/// Goes on in [`begin`], on the stack of the first processor.
#[unsafe(naked)]
unsafe extern "C" fn change_stack(info: &'static mut BootInfo) -> ! {
    naked_asm!(
        "cli",
        "lea rsp, [{stacks} + {top}]",
        "xor ebp, ebp",
        "call {begin}",
        stacks = sym STACKS,
        top = const FIRST_TOP,
        begin = sym begin,
    )
}

extern "C" fn begin(info: &'static mut BootInfo) -> ! {
    start(|| read(info))
}

fn read(info: &BootInfo) -> Result<Handover, Refusal> {
    let [free, loader] = [MemoryRegionKind::Usable, MemoryRegionKind::Bootloader].map(|kind| of_kind(info, kind));
    let archive = info.ramdisk_addr.into_option().and_then(|at| translate(loaded(), at));
    let archive = archive.ok_or(Refusal("the loader has brought no boot archive"))?;
    Ok(Handover {
        free,
        loader,
        archive: frames_touching(archive.0, archive.0 + info.ramdisk_len),
        archive_size: info.ramdisk_len as usize,
        command_line: ArrayString::new(),
        rsdp: info.rsdp_addr.into_option().map(PhysAddr),
        framebuffer: info.framebuffer.as_ref().and_then(framebuffer),
        door: Door::Firmware,
    })
}

fn of_kind(info: &BootInfo, kind: MemoryRegionKind) -> MemoryMap {
    let mut map = MemoryMap::default();
    let regions = |wanted: bool| info.memory_regions.iter().filter(move |region| (region.kind == kind) == wanted);
    regions(true).for_each(|region: &MemoryRegion| map.insert(frames_within(region.start, region.end)));
    regions(false).for_each(|region| map.remove(frames_touching(region.start, region.end)));
    map
}

fn framebuffer(screen: &FrameBuffer) -> Option<Framebuffer> {
    let info = screen.info();
    Some(Framebuffer {
        address: translate(loaded(), screen.buffer().as_ptr().addr() as u64)?,
        width: info.width,
        height: info.height,
        stride: info.stride,
        bytes_per_pixel: info.bytes_per_pixel,
        format: match info.pixel_format {
            info::PixelFormat::Rgb => PixelFormat::Rgb,
            info::PixelFormat::Bgr => PixelFormat::Bgr,
            info::PixelFormat::U8 => PixelFormat::Grey,
            _ => PixelFormat::Unknown,
        },
    })
}
