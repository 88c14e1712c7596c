//! The kernel's half of all address spaces, and which space is loaded.
//!
//! Built once, when the loader's tables are left: the image page by page as its sections
//! say, the stacks without their guards, the memory that is handed out, the kernel's own
//! tables and heap, the local APIC. It does not change after, so the top-level entries
//! that lead there can be copied into every address space.
//! Invariant: each physical page is mapped once here, so that no writable alias of code
//! or tables exists, and none is writable and executable. Neighbour: `pmap`, the users' half.

use super::boot::Handover;
use super::heap::Region;
use super::layout::{self, APIC, PHYSMAP, PRIVATE, Section, frame_of, physmap};
use super::memory::Memory;
use super::per_cpu::PerCpu;
use super::{Refusal, apic, stacks};
use crate::boot_info::RANGES_MAX;
use crate::memory_map::{MemoryMap, frames_touching};
use crate::{BootInfo, Frame, FrameRange, PhysAddr, VirtAddr};
use ::x86_64::instructions::tlb;
use ::x86_64::registers::control::{Cr3, Cr3Flags};
use ::x86_64::structures::paging::PhysFrame;
use core::ptr::with_exposed_provenance_mut;
use portolan_abi::PAGE_SIZE;
use spin::Once;

pub(super) const PRESENT: u64 = 1 << 0;
pub(super) const WRITABLE: u64 = 1 << 1;
pub(super) const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const UNCACHED: u64 = 1 << 4;
/// The entry is a page of 2 MiB (or 1 GiB), not a table.
pub(super) const LARGE: u64 = 1 << 7;
/// The page stays in the processor's cache of translations when the root changes.
const GLOBAL: u64 = 1 << 8;
pub(super) const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const CODE: u64 = PRESENT | GLOBAL;
const CONSTANTS: u64 = PRESENT | GLOBAL | NO_EXECUTE;
const VARIABLES: u64 = PRESENT | GLOBAL | NO_EXECUTE | WRITABLE;
const DEVICE: u64 = VARIABLES | UNCACHED | WRITE_THROUGH;

/// Entries of a table.
pub(super) const ENTRIES: u64 = 512;
/// Pages of a large page.
const LARGE_PAGES: u32 = 512;
/// Level of the top table.
pub(super) const TOP: u32 = 3;
/// The heap gets this part of memory…
const HEAP_PART: usize = 8;
/// … but at least this much, in frames.
const HEAP_MIN: usize = (4 << 20) / PAGE_SIZE;
/// Below is memory that the firmware uses, and where other processors have to start.
const LOW_MEMORY: Frame = Frame(0x100);
/// Where memory ends that both front doors have mapped.
const MAPPED_EARLY: Frame = Frame(1 << 20);
/// The top-level entries that the kernel's half has.
const TOP_ENTRIES: [u64; 4] =
    [index(PHYSMAP, TOP), index(PRIVATE, TOP), index(APIC, TOP), index(layout::IMAGE_OFFSET, TOP)];

/// What is known of the kernel's half once it is built.
#[derive(Clone, Copy, Debug)]
struct KernelHalf {
    /// An address space with nothing but it.
    root: Frame,
    /// The frames that hold its tables and the heap; mapped in a row from `PRIVATE`.
    private: FrameRange,
    /// The entries of its top table, in the order of `TOP_ENTRIES`.
    entries: [u64; TOP_ENTRIES.len()],
}

static KERNEL_HALF: Once<KernelHalf> = Once::new();

fn kernel_half() -> &'static KernelHalf {
    KERNEL_HALF.get().expect("the kernel's half is built before it is used")
}

/// Leaves the loader's address space for the kernel's own. What the loader has brought is
/// sorted into what is in use, which includes the region for the heap, and what is free.
///
/// # Errors
/// If there is no room for the kernel, or the archive is not where it must be.
pub(super) fn build(cpu: &PerCpu, handover: Handover) -> Result<(BootInfo, Region), Refusal> {
    let Handover { mut free, loader, archive, archive_size, command_line, rsdp, framebuffer } = handover;
    let mut ours = free.clone();
    loader.ranges().iter().for_each(|range| ours.insert(*range));
    let image = Image::load()?;
    for map in [&mut free, &mut ours] {
        map.remove(FrameRange { start: Frame(0), end: LOW_MEMORY });
        map.remove(archive);
        image.frames().for_each(|frame| map.remove(FrameRange { start: frame, end: Frame(frame.0 + 1) }));
    }
    let private = take_private(&mut free, ours.len())?;
    ours.remove(private);
    ours.keep_largest(RANGES_MAX);

    let mut builder = Builder::new(private);
    image.map(&mut builder);
    builder.map(APIC, page(apic::address()?), DEVICE);
    builder.map(PRIVATE, private, VARIABLES);
    ours.ranges()
        .iter()
        .chain([&archive])
        .for_each(|range| builder.map(physmap(range.start.start()), *range, VARIABLES));
    let tables = builder.finish(cpu);

    clear_tail(archive, archive_size);
    let memory = ours.ranges().iter().copied().collect();
    let boot = BootInfo { memory, archive, archive_size, command_line, rsdp, framebuffer };
    Ok((boot, heap_region(private, tables)))
}

/// Takes frames in a row for the kernel's tables and heap.
fn take_private(free: &mut MemoryMap, total: usize) -> Result<FrameRange, Refusal> {
    let wanted = (total / HEAP_PART).max(HEAP_MIN).next_multiple_of(LARGE_PAGES as usize);
    let taken = u32::try_from(wanted).ok().and_then(|wanted| free.take(wanted, LARGE_PAGES, MAPPED_EARLY));
    taken.ok_or(Refusal("there is not enough memory in a row for the kernel"))
}

/// The private frames that hold no table.
fn heap_region(private: FrameRange, tables: usize) -> Region {
    let start = PRIVATE as usize + tables * PAGE_SIZE;
    Region { start: with_exposed_provenance_mut(start), size: (private.len() - tables) * PAGE_SIZE }
}

/// Clears what is behind the archive in its last frame.
fn clear_tail(archive: FrameRange, size: usize) {
    const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
    let tail = archive.len() * PAGE_SIZE - size;
    Memory::new().write(archive.start.start().plus(size), &ZEROS[..tail]);
}

fn page(address: PhysAddr) -> FrameRange {
    frames_touching(address.0, address.0 + 1)
}

/// The kernel's image, as the loader has mapped it.
struct Image {
    root: Frame,
}

impl Image {
    fn load() -> Result<Image, Refusal> {
        let image = Image { root: loaded() };
        let complete = image.pages().all(|(page, _)| translate(image.root, page).is_some());
        complete.then_some(image).ok_or(Refusal("the loader has not mapped the whole kernel"))
    }

    /// Every page, with the flags it is to have.
    fn pages(&self) -> impl Iterator<Item = (u64, u64)> {
        let sections = [(layout::text(), CODE), (layout::rodata(), CONSTANTS), (layout::data(), VARIABLES)];
        sections.into_iter().flat_map(|(section, flags)| pages(section).map(move |page| (page, flags)))
    }

    /// The frames of all pages.
    fn frames(&self) -> impl Iterator<Item = Frame> {
        self.pages().filter_map(|(page, _)| translate(self.root, page)).map(|at| frame_of(at.0))
    }

    /// Maps it where it is, but for the guards of the stacks.
    fn map(&self, builder: &mut Builder) {
        for (page, flags) in self.pages() {
            if !stacks::guards().any(|guard| guard == page)
                && let Some(at) = translate(self.root, page)
            {
                builder.map_page(page, frame_of(at.0), flags);
            }
        }
    }
}

fn pages(section: Section) -> impl Iterator<Item = u64> {
    (section.start.0..section.end.0).step_by(PAGE_SIZE)
}

/// Makes the kernel's tables, in the first of the private frames, while these are still
/// reached through the loader's map of physical memory.
struct Builder {
    private: FrameRange,
    /// Tables made.
    tables: u32,
    root: Frame,
}

impl Builder {
    fn new(private: FrameRange) -> Builder {
        let mut builder = Builder { private, tables: 0, root: private.start };
        builder.root = builder.table();
        builder
    }

    /// An empty table.
    fn table(&mut self) -> Frame {
        let table = Frame(self.private.start.0 + self.tables);
        assert!(table < self.private.end, "the kernel's tables fill its memory");
        self.tables += 1;
        Memory::new().zero(table);
        table
    }

    /// Maps frames in a row.
    fn map(&mut self, mut at: u64, frames: FrameRange, flags: u64) {
        let mut next = frames.start;
        while next < frames.end {
            let pages = if is_large(at, next, frames.end) {
                self.map_at(at, 1, next, flags | LARGE);
                LARGE_PAGES
            } else {
                self.map_page(at, next, flags);
                1
            };
            next.0 += pages;
            at += u64::from(pages) * PAGE_SIZE as u64;
        }
    }

    fn map_page(&mut self, at: u64, frame: Frame, flags: u64) {
        self.map_at(at, 0, frame, flags);
    }

    /// Writes the entry of this level for an address, making the tables above it.
    fn map_at(&mut self, at: u64, level: u32, frame: Frame, flags: u64) {
        let mut memory = Memory::new();
        let mut table = self.root;
        for above in (level + 1..=TOP).rev() {
            let slot = slot(table, index(at, above));
            table = match memory.read_u64(slot) {
                0 => {
                    let below = self.table();
                    memory.write_u64(slot, below.start().0 | PRESENT | WRITABLE);
                    below
                }
                entry => frame_of(entry & ADDRESS),
            };
        }
        let slot = slot(table, index(at, level));
        assert!(memory.read_u64(slot) == 0, "{at:#x} is mapped twice");
        memory.write_u64(slot, frame.start().0 | flags);
    }

    /// Loads what was built, for good. Returns how many frames the tables take.
    fn finish(self, cpu: &PerCpu) -> usize {
        let entries = TOP_ENTRIES.map(|index| Memory::new().read_u64(slot(self.root, index)));
        let half = KERNEL_HALF.call_once(|| KernelHalf { root: self.root, private: self.private, entries });
        load(cpu, half.root);
        self.tables as usize
    }
}

/// Whether a large page can be mapped at `at`, to frames from `start`.
fn is_large(at: u64, start: Frame, end: Frame) -> bool {
    let aligned = at.is_multiple_of(u64::from(LARGE_PAGES) * PAGE_SIZE as u64) && start.0.is_multiple_of(LARGE_PAGES);
    aligned && end.0 - start.0 >= LARGE_PAGES
}

/// The number of the entry for an address in a table of this level.
const fn index(address: u64, level: u32) -> u64 {
    (address >> (12 + 9 * level)) % ENTRIES
}

fn slot(table: Frame, index: u64) -> PhysAddr {
    table.start().plus(index as usize * size_of::<u64>())
}

/// Where the loader's tables map an address to. Works before `build` only.
pub(super) fn translate(root: Frame, address: u64) -> Option<PhysAddr> {
    let mut table = root;
    for level in (0..=TOP).rev() {
        let entry = Memory::new().read_u64(slot(table, index(address, level)));
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 0 || entry & LARGE != 0 {
            let within = (1 << (12 + 9 * level)) - 1;
            return Some(PhysAddr((entry & ADDRESS & !within) + (address & within)));
        }
        table = frame_of(entry & ADDRESS);
    }
    None
}

/// The top table in use.
pub(super) fn loaded() -> Frame {
    frame_of(Cr3::read().0.start_address().as_u64())
}

/// Makes an address space the processor's, if it is not.
#[inline]
pub(super) fn load(cpu: &PerCpu, root: Frame) {
    if cpu.root.get() != root {
        cpu.root.set(root);
        let table = PhysFrame::containing_address(::x86_64::PhysAddr::new(root.start().0));
        // SAFETY: every address space has the kernel's half, where all that is in use is.
        unsafe { Cr3::write(table, Cr3Flags::empty()) };
    }
}

/// Gives an empty top table the kernel's half.
pub(crate) fn share_kernel_half(memory: &mut Memory, root: Frame) {
    for (index, entry) in TOP_ENTRIES.into_iter().zip(kernel_half().entries) {
        memory.write_u64(slot(root, index), entry);
    }
}

/// Forgets a translation, if the address space it was in is loaded.
pub(crate) fn flush(_memory: &mut Memory, root: Frame, page: VirtAddr) {
    if PerCpu::current().root.get() == root {
        tlb::flush(::x86_64::VirtAddr::new(page.0));
    }
}

/// Leaves an address space whose tables are about to go.
pub(crate) fn unload(_memory: &mut Memory, root: Frame) {
    let cpu = PerCpu::current();
    if cpu.root.get() == root {
        load(cpu, kernel_half().root);
    }
}

/// What is mapped in the kernel's half, for those who check it.
pub(super) mod audit {
    use super::{
        ADDRESS, ENTRIES, Frame, LARGE, PRESENT, PRIVATE, TOP, frame_of, kernel_half, with_exposed_provenance_mut,
    };

    /// A page of 4 KiB, 2 MiB or 1 GiB.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Page {
        pub(in super::super) address: u64,
        pub(in super::super) size: u64,
        pub(in super::super) physical: u64,
        /// The flags of its entry; a right that a table above denies is not in it.
        pub(in super::super) flags: u64,
    }

    /// The top table of the address space with nothing but the kernel's half.
    pub(in super::super) fn root() -> Frame {
        kernel_half().root
    }

    /// An entry of one of the kernel's own tables.
    pub(in super::super) fn entry(table: Frame, index: u64) -> u64 {
        let private = kernel_half().private;
        assert!((private.start..private.end).contains(&table), "{table:?} is not a table of the kernel's");
        let offset = u64::from(table.0 - private.start.0) << 12 | index << 3;
        let entry = with_exposed_provenance_mut::<u64>((PRIVATE + offset) as usize);
        // SAFETY: all private frames are mapped from `PRIVATE` on; a word of one of them.
        unsafe { entry.read_volatile() }
    }

    /// Shows every page that is mapped.
    pub(in super::super) fn pages(see: &mut dyn FnMut(Page)) {
        visit(root(), TOP, 0, see);
    }

    fn visit(table: Frame, level: u32, base: u64, see: &mut dyn FnMut(Page)) {
        for index in 0..ENTRIES {
            let entry = entry(table, index);
            let address = canonical(base | index << (12 + 9 * level));
            if entry & PRESENT == 0 {
                continue;
            }
            if level == 0 || entry & LARGE != 0 {
                let size = 1 << (12 + 9 * level);
                see(Page { address, size, physical: entry & ADDRESS & !(size - 1), flags: entry & !ADDRESS });
            } else {
                visit(frame_of(entry & ADDRESS), level - 1, address, see);
            }
        }
    }

    /// The address with its highest bit, 47, in all bits above.
    fn canonical(address: u64) -> u64 {
        ((address.cast_signed() << 16) >> 16).cast_unsigned()
    }
}
