//! The front door for QEMU's `-kernel`: PVH, the entry that Xen defined.
//!
//! The loader finds the entry by a note in the image and comes in 32-bit mode without
//! paging, with the address of a start info block in `ebx` (Xen, `arch-x86/hvm/start_info.h`).
//! The first instructions run at physical addresses: they map the first 4 GiB, at 0 to be
//! able to go on, at the kernel's map of physical memory, and (1 GiB of it) at the image.

use super::super::layout::{IMAGE_OFFSET, PHYSMAP, physmap};
use super::super::stacks::{FIRST_TOP, STACKS};
use super::super::{Refusal, start};
use super::Handover;
use crate::PhysAddr;
use crate::memory_map::{MemoryMap, frames_touching, frames_within};
use arrayvec::ArrayString;
use core::arch::global_asm;
use core::ptr::with_exposed_provenance;
use portolan_abi::PAGE_SIZE;
use portolan_abi::host::Door;

/// What a start info block begins with.
const MAGIC: u32 = 0x336e_c578;
/// First version with a memory map.
const WITH_MEMORY_MAP: u32 = 1;
/// Memory map entry: usable memory.
const RAM: u32 = 1;

/// The start info block.
#[derive(Clone, Copy)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    _flags: u32,
    modules: u32,
    module_list: u64,
    command_line: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    _reserved: u32,
}

/// An entry of the module list.
#[derive(Clone, Copy)]
#[repr(C)]
struct Module {
    address: u64,
    size: u64,
    _command_line: u64,
    _reserved: u64,
}

/// An entry of the memory map.
#[derive(Clone, Copy)]
#[repr(C)]
struct Region {
    address: u64,
    size: u64,
    kind: u32,
    _reserved: u32,
}

impl Region {
    fn end(&self) -> u64 {
        self.address.saturating_add(self.size)
    }
}

extern "C" fn begin(info: u32) -> ! {
    start(|| read(PhysAddr(info.into())))
}

fn read(info: PhysAddr) -> Result<Handover, Refusal> {
    // SAFETY: the loader has left the block there, below 4 GiB.
    let info = unsafe { peek::<StartInfo>(info) };
    if info.magic != MAGIC || info.version < WITH_MEMORY_MAP {
        return Err(Refusal("the loader has left no start info with a memory map"));
    }
    let archive = first_module(&info).ok_or(Refusal("the loader has brought no boot archive"))?;
    if !archive.address.is_multiple_of(PAGE_SIZE as u64) {
        return Err(Refusal("the boot archive does not begin at a page"));
    }
    Ok(Handover {
        free: memory(&info),
        loader: MemoryMap::default(),
        archive: frames_touching(archive.address, archive.address + archive.size),
        archive_size: archive.size as usize,
        command_line: command_line(info.command_line)?,
        rsdp: Some(PhysAddr(info.rsdp)).filter(|at| at.0 != 0),
        framebuffer: None,
        door: Door::Pvh,
    })
}

fn first_module(info: &StartInfo) -> Option<Module> {
    // SAFETY: the list has an entry if the count says so.
    (info.modules > 0).then(|| unsafe { peek(PhysAddr(info.module_list)) })
}

/// The usable memory, without what another entry says is not.
fn memory(info: &StartInfo) -> MemoryMap {
    let region = |i: u32| {
        let at = PhysAddr(info.memory_map).plus(i as usize * size_of::<Region>());
        // SAFETY: the map has this many entries.
        unsafe { peek::<Region>(at) }
    };
    let mut map = MemoryMap::default();
    let regions = || (0..info.memory_map_entries).map(region);
    regions().filter(|r| r.kind == RAM).for_each(|r| map.insert(frames_within(r.address, r.end())));
    regions().filter(|r| r.kind != RAM).for_each(|r| map.remove(frames_touching(r.address, r.end())));
    map
}

/// The text at this address, up to a zero byte; none if the address is zero.
fn command_line<const SIZE: usize>(at: u64) -> Result<ArrayString<SIZE>, Refusal> {
    let mut bytes = [0; SIZE];
    let mut length = 0;
    // SAFETY: the loader has left text there that ends with a zero, where reading stops.
    let byte = |i: usize| unsafe { peek::<u8>(PhysAddr(at).plus(i)) };
    while at != 0 && byte(length) != 0 {
        let next = bytes.get_mut(length).ok_or(Refusal("the command line is longer than 1024 bytes"))?;
        *next = byte(length);
        length += 1;
    }
    let text = core::str::from_utf8(&bytes[..length]).map_err(|_| Refusal("the command line is not UTF-8"))?;
    Ok(ArrayString::from(text).expect("a text no longer than the buffer it was in"))
}

/// Reads what the loader has left in memory.
///
/// # Safety
/// A `T`, of which any bytes are one, is there, below 4 GiB.
unsafe fn peek<T: Copy>(at: PhysAddr) -> T {
    let place = with_exposed_provenance::<T>(physmap(at) as usize);
    // SAFETY: mapped by the code below, and as the caller promised.
    unsafe { place.read_unaligned() }
}

/// First entry of the physical map in a top table.
const PHYSMAP_ENTRY: u64 = (PHYSMAP >> 39) % 512;
/// Entry of the image in the last table but one of its gigabyte.
const IMAGE_ENTRY: u64 = (IMAGE_OFFSET >> 30) % 512;

global_asm!(
    // The note: lengths of name and value, type 18 (physical address of the entry), name, value.
    ".pushsection .note.Xen, \"a\", @note",
    ".balign 4",
    ".globl pvh_note",
    "pvh_note:",
    ".long 4, 8, 18",
    ".asciz \"Xen\"",
    ".quad pvh_entry - {offset}",
    ".popsection",

    ".pushsection .text.pvh, \"ax\", @progbits",
    ".code32",
    ".globl pvh_entry",
    "pvh_entry:",
    "cli",
    "cld",
    // Page directories for 4 GiB, of large pages: present, writable.
    "mov edi, offset pvh_tables - {offset} + 0x3000",
    "mov eax, {present} | {writable} | {large}",
    "2:",
    "mov [edi], eax",
    "add edi, 8",
    "add eax, 0x200000",
    "jnc 2b",
    // The table above them, for the low and the physical map.
    "mov edi, offset pvh_tables - {offset} + 0x1000",
    "mov eax, offset pvh_tables - {offset} + 0x3000 + {present} + {writable}",
    "mov ecx, 4",
    "2:",
    "mov [edi], eax",
    "add edi, 8",
    "add eax, 0x1000",
    "loop 2b",
    // The one for the image, whose first gigabyte is the first of all.
    "mov eax, offset pvh_tables - {offset} + 0x3000 + {present} + {writable}",
    "mov [pvh_tables - {offset} + 0x2000 + {image_entry} * 8], eax",
    // The top.
    "mov eax, offset pvh_tables - {offset} + 0x1000 + {present} + {writable}",
    "mov [pvh_tables - {offset}], eax",
    "mov [pvh_tables - {offset} + {physmap_entry} * 8], eax",
    "add eax, 0x1000",
    "mov [pvh_tables - {offset} + 511 * 8], eax",
    // Long mode: physical address extension, long mode enable, paging.
    "mov eax, cr4",
    "or eax, 1 << 5",
    "mov cr4, eax",
    "mov eax, offset pvh_tables - {offset}",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 1 << 8",
    "wrmsr",
    "mov eax, cr0",
    "or eax, 1 << 31",
    "mov cr0, eax",
    "mov esp, offset {stacks} - {offset} + {top}",
    "lgdt [pvh_segments - {offset}]",
    "mov eax, offset pvh_long - {offset}",
    "push 8",
    "push eax",
    "retf",
    ".code64",
    "pvh_long:",
    "lea rsp, [{stacks} + {top}]",
    "xor ebp, ebp",
    "mov edi, ebx",
    "mov rax, offset {begin}",
    "call rax",
    ".balign 8",
    "pvh_segments:",
    ".word 15", // limit
    ".long pvh_gdt - {offset}",
    ".balign 8",
    "pvh_gdt:",
    ".quad 0, 0x00209b0000000000", // null; 64-bit code
    ".popsection",

    ".pushsection .bss.pvh_tables, \"aw\", @nobits",
    ".balign 4096",
    "pvh_tables:",
    ".skip 7 * 4096",
    ".popsection",
    offset = const IMAGE_OFFSET,
    present = const 1,
    writable = const 2,
    large = const 0x80,
    image_entry = const IMAGE_ENTRY,
    physmap_entry = const PHYSMAP_ENTRY,
    stacks = sym STACKS,
    top = const FIRST_TOP,
    begin = sym begin,
);
