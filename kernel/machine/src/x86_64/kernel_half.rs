//! What is mapped in the kernel's half, and how memory is shared out for it.
//!
//! Done once, when the loader's tables are left: the image page by page as its sections
//! say, the stacks without their guards, the memory that is handed out, the kernel's own
//! tables and heap, the local APIC. Invariants: each physical page is mapped once, and a page
//! of the heap's once more when an arena has it (`row`), and is then used nowhere else; so no
//! writable alias of code or of what is in use exists, and none is writable and executable.
//! Neighbours: `layout` says where things go, `tables` writes them down.

use super::address_space::{self, KernelHalf};
use super::boot::Handover;
use super::heap::Region;
use super::layout::{self, APIC, ARENAS, PRIVATE, Section, physmap};
use super::memory::Memory;
use super::per_cpu::PerCpu;
use super::tables::{GLOBAL, LARGE_PAGES, NO_EXECUTE, PRESENT, Tables, UNCACHED, WRITABLE, WRITE_THROUGH, translate};
use super::{Refusal, apic, features, stacks};
use crate::boot_info::{RANGES_MAX, Taken};
use crate::memory_map::{MemoryMap, frames_touching};
use crate::{BootInfo, Frame, FrameRange, PhysAddr};
use core::iter::successors;
use core::ptr::with_exposed_provenance_mut;
use portolan_abi::PAGE_SIZE;

const CODE: u64 = PRESENT | GLOBAL;
const CONSTANTS: u64 = PRESENT | GLOBAL | NO_EXECUTE;
pub(super) const VARIABLES: u64 = PRESENT | GLOBAL | NO_EXECUTE | WRITABLE;
const DEVICE: u64 = VARIABLES | UNCACHED | WRITE_THROUGH;

/// The heap gets this part of memory…
const HEAP_PART: usize = 8;
/// … but at least this much, in frames.
const HEAP_MIN: usize = (4 << 20) / PAGE_SIZE;
/// Below is memory that the firmware uses, and where other processors have to start.
const LOW_MEMORY: Frame = Frame(0x100);
/// Where memory ends that both front doors have mapped.
const MAPPED_EARLY: Frame = Frame(1 << 20);

/// Leaves the loader's address space for the kernel's own. Returns what is free, and the
/// region for the heap.
///
/// # Errors
/// If there is no room for the kernel, or the machine is not as it must be.
pub(super) fn build(cpu: &PerCpu, handover: Handover) -> Result<(BootInfo, Region), Refusal> {
    let image = Image::find()?;
    let apic = apic::address()?;
    let (memory, private) = share_out(&handover, &image)?;
    let taken = taken(&handover, &image, &[private, frames_touching(apic.0, apic.0 + 1)], &memory);

    let mut tables = Tables::new(private);
    image.map(&mut tables);
    tables.map(APIC, frames_touching(apic.0, apic.0 + 1), DEVICE);
    tables.map(PRIVATE, private, VARIABLES);
    tables.open(ARENAS);
    for range in memory.ranges().iter().chain([&handover.archive]) {
        tables.map(physmap(range.start.start()), *range, VARIABLES);
    }
    address_space::adopt(cpu, KernelHalf::new(private, &tables));

    let Handover { archive, archive_size, command_line, rsdp, framebuffer, door, .. } = handover;
    clear_tail(archive, archive_size);
    let memory = memory.ranges().iter().copied().collect();
    let boot = BootInfo { memory, taken, archive, archive_size, command_line, rsdp, framebuffer, door };
    Ok((boot, heap(private, tables.count())))
}

/// Decides which memory is handed out and which the kernel keeps for its tables and heap.
/// What the loader's things are in can be handed out, since they are left, but not kept:
/// it is still in use while the tables are made.
fn share_out(handover: &Handover, image: &Image) -> Result<(MemoryMap, FrameRange), Refusal> {
    let mut free = handover.free.clone();
    let mut ours = handover.free.clone();
    handover.loader.ranges().iter().for_each(|range| ours.insert(*range));
    for map in [&mut free, &mut ours] {
        map.remove(FrameRange { start: Frame(0), end: LOW_MEMORY });
        map.remove(handover.archive);
        image.frames().for_each(|frame| map.remove(FrameRange { start: frame, end: Frame(frame.0 + 1) }));
    }
    let private = take_private(&mut free, ours.len())?;
    ours.remove(private);
    ours.keep_largest(RANGES_MAX);
    Ok((ours, private))
}

/// What is no device's: what the kernel stands on, `own` included, and all other memory.
fn taken(handover: &Handover, image: &Image, own: &[FrameRange], memory: &MemoryMap) -> Taken {
    let mut taken = memory.clone();
    own.iter().for_each(|range| taken.insert(*range));
    taken.insert(handover.archive);
    image.frames().for_each(|frame| taken.insert(FrameRange { start: frame, end: Frame(frame.0 + 1) }));
    taken.insert(FrameRange { start: features::physical_limit(), end: Frame(u32::MAX) });
    for map in [&handover.free, &handover.loader] {
        map.ranges().iter().for_each(|range| taken.insert(*range));
    }
    taken.ranges().iter().copied().collect()
}

/// Takes frames in a row for the kernel's tables and heap: as many as the heap's part of
/// memory, or half as many until there are so many in a row.
fn take_private(free: &mut MemoryMap, total: usize) -> Result<FrameRange, Refusal> {
    let whole_pages = |count: usize| u32::try_from(count.next_multiple_of(LARGE_PAGES as usize)).ok();
    let halved = successors(Some(total / HEAP_PART), |count| Some(count / 2));
    let mut counts = halved.take_while(|count| *count > HEAP_MIN).chain([HEAP_MIN]).filter_map(whole_pages);
    let taken = counts.find_map(|count| free.take(count, LARGE_PAGES, MAPPED_EARLY));
    taken.ok_or(Refusal("there is not enough memory in a row for the kernel"))
}

/// The private frames that hold no table.
fn heap(private: FrameRange, tables: usize) -> Region {
    let start = PRIVATE as usize + tables * PAGE_SIZE;
    Region { start: with_exposed_provenance_mut(start), size: (private.len() - tables) * PAGE_SIZE }
}

/// Clears what is behind the archive in its last frame.
fn clear_tail(archive: FrameRange, size: usize) {
    const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];
    let tail = archive.len() * PAGE_SIZE - size;
    let end = archive.start.start().plus(size);
    Memory::new().write(end.frame().span(end.offset(), tail), &ZEROS[..tail]);
}

/// The kernel's image, as the loader has mapped it: not always to frames in a row.
struct Image {
    root: Frame,
}

impl Image {
    fn find() -> Result<Image, Refusal> {
        let image = Image { root: address_space::loaded() };
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
        self.pages().filter_map(|(page, _)| self.frame(page))
    }

    /// Maps it where it is, but for the guards of the stacks.
    fn map(&self, tables: &mut Tables) {
        for (page, flags) in self.pages() {
            let is_guard = stacks::guards().any(|guard| guard == page);
            if let Some(frame) = self.frame(page).filter(|_| !is_guard) {
                tables.map_page(page, frame, flags);
            }
        }
    }

    fn frame(&self, page: u64) -> Option<Frame> {
        translate(self.root, page).map(PhysAddr::frame)
    }
}

fn pages(section: Section) -> impl Iterator<Item = u64> {
    (section.start.0..section.end.0).step_by(PAGE_SIZE)
}
