//! What is mapped for the kernel, by a walk through its tables; and the memory behind it.

use super::super::layout::{self, APIC, ARENAS, PHYSMAP, PHYSMAP_SIZE, PRIVATE, Section, physmap};
use super::super::tables::{NO_EXECUTE, PRESENT, UNCACHED, USER, WRITABLE};
use super::super::{heap_used, stacks};
use super::walk::{self, Page};
use super::{Bench, Verdict, check, tests};
use crate::{Arena, FrameRange, OutOfMemory, PhysAddr};
use alloc::alloc::{alloc, dealloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;
use portolan_abi::PAGE_SIZE;

tests![
    nothing_is_writable_and_executable,
    nothing_is_for_the_user,
    identity_and_loader_mappings_are_gone,
    sections_have_exactly_their_rights,
    no_page_is_mapped_twice,
    physical_map_is_what_was_handed_out,
    stack_guards_are_not_mapped,
    apic_is_mapped_uncached,
    archive_tail_is_zero,
    memory_moves_every_size,
    heap_gives_everything_back,
    heap_that_is_full_says_so,
    windows_have_pages_of_the_heap,
    arenas_grow_in_a_row,
    arena_without_memory_says_so,
];

/// All pages, neighbours with like rights and neighbouring frames joined.
fn ranges() -> Vec<Page> {
    let mut ranges: Vec<Page> = Vec::new();
    walk::pages(&mut |page| match ranges.last_mut() {
        Some(last) if follows(*last, page) => last.size += page.size,
        _ => ranges.push(page),
    });
    ranges
}

const RIGHTS: u64 = PRESENT | WRITABLE | USER | NO_EXECUTE | UNCACHED;

fn follows(last: Page, next: Page) -> bool {
    last.address.wrapping_add(last.size) == next.address
        && last.physical + last.size == next.physical
        && last.flags & RIGHTS == next.flags & RIGHTS
}

fn page_at(address: u64) -> Option<Page> {
    ranges().into_iter().find(|page| page.contains(address))
}

fn nothing_is_writable_and_executable(_: &mut Bench) -> Verdict {
    let breaks = |page: &Page| page.flags & (WRITABLE | NO_EXECUTE) == WRITABLE;
    check(!ranges().iter().any(breaks), "a page is writable and executable")
}

fn nothing_is_for_the_user(_: &mut Bench) -> Verdict {
    check(ranges().iter().all(|page| page.flags & USER == 0), "a page of the kernel's is the user's too")
}

fn identity_and_loader_mappings_are_gone(_: &mut Bench) -> Verdict {
    let user_half_is_empty = (0..256).all(|index| walk::top_entry(index) == 0);
    check(user_half_is_empty, "the user's half is not empty")?;
    let known = |page: &Page| {
        [layout::text(), layout::rodata(), layout::data()].iter().any(|section| section.contains(page.address))
            || (PHYSMAP..=APIC).contains(&page.address)
    };
    check(ranges().iter().all(known), "something else is mapped")
}

fn sections_have_exactly_their_rights(_: &mut Bench) -> Verdict {
    let has = |section: Section, rights: u64| {
        let pages = ranges();
        let mut addresses = (section.start.0..section.end.0).step_by(PAGE_SIZE);
        addresses.all(|address| {
            stacks::guards().any(|guard| guard == address)
                || pages.iter().any(|page| page.contains(address) && page.flags & RIGHTS == rights)
        })
    };
    check(has(layout::text(), PRESENT), "code is not executable only")?;
    check(has(layout::rodata(), PRESENT | NO_EXECUTE), "constants are not readable only")?;
    check(has(layout::data(), PRESENT | NO_EXECUTE | WRITABLE), "variables are not readable and writable")
}

fn no_page_is_mapped_twice(_: &mut Bench) -> Verdict {
    let (arenas, others) = ranges().into_iter().partition(in_window);
    check(apart(others), "a frame is mapped at two addresses")?;
    check(apart(arenas), "a frame is in two windows")
}

fn in_window(page: &Page) -> bool {
    (ARENAS..APIC).contains(&page.address)
}

fn apart(mut pages: Vec<Page>) -> bool {
    pages.sort_by_key(|page| page.physical);
    pages.windows(2).all(|pair| pair[0].physical + pair[0].size <= pair[1].physical)
}

/// Ends an arena, whose memory is kept.
fn keep<T>(bench: &mut Bench, arena: Arena<T>) {
    bench.kept += arena.spare() + arena.len() as usize * Arena::<T>::SLOT_SIZE;
}

fn windows_have_pages_of_the_heap(bench: &mut Bench) -> Verdict {
    let mut arena = Arena::default();
    arena.insert([0_u64; 8]).map_err(|_| "out of memory")?;
    let pages = ranges();
    let heap = pages.iter().filter(|page| (PRIVATE..ARENAS).contains(&page.address));
    let heap: Vec<_> = heap.map(|page| page.physical..page.physical + page.size).collect();
    let mut arenas = pages.iter().filter(|page| in_window(page)).peekable();
    check(arenas.peek().is_some(), "an arena's pages are in none")?;
    let fit = arenas.all(|page| {
        let last = page.physical + page.size - 1;
        page.flags & RIGHTS == PRESENT | WRITABLE | NO_EXECUTE
            && heap.iter().any(|range| range.contains(&page.physical) && range.contains(&last))
    });
    keep(bench, arena);
    check(fit, "a page is not the heap's, or has other rights")
}

fn arenas_grow_in_a_row(bench: &mut Bench) -> Verdict {
    const COUNT: u64 = 3000;
    let mut arena = Arena::default();
    let mut ids = Vec::new();
    for value in 0..COUNT {
        ids.push(arena.insert([value; 100]).map_err(|_| "out of memory")?);
    }
    check(ids.len() * Arena::<[u64; 100]>::SLOT_SIZE > 2 << 20, "one table had room for all")?;
    let first = (&raw const arena[ids[0]]).addr();
    let in_a_row = (ids.iter().enumerate())
        .all(|(number, id)| (&raw const arena[*id]).addr() == first + number * Arena::<[u64; 100]>::SLOT_SIZE);
    check(in_a_row, "an object is out of the row")?;
    let unharmed = ids.iter().zip(0..).all(|(id, value)| arena[*id] == [value; 100]);
    keep(bench, arena);
    check(unharmed, "two objects share memory")
}

fn arena_without_memory_says_so(bench: &mut Bench) -> Verdict {
    let mut arena = Arena::default();
    let taken = fill_heap();
    // In what is left of the heap is no place for so many.
    let full = (0..taken.len() * 32).any(|_| arena.insert([0_u8; 2048]) == Err(OutOfMemory));
    empty_heap(taken);
    check(full, "it found some")?;
    check(arena.insert([0_u8; 2048]).is_ok(), "it found none when there was some")?;
    keep(bench, arena);
    Ok(())
}

fn physical_map_is_what_was_handed_out(bench: &mut Bench) -> Verdict {
    let pages: Vec<Page> =
        ranges().into_iter().filter(|page| (PHYSMAP..PHYSMAP + PHYSMAP_SIZE).contains(&page.address)).collect();
    check(pages.iter().all(|page| page.address == physmap(PhysAddr(page.physical))), "a frame is out of place")?;
    let covers = |range: &FrameRange| {
        let at = physmap(range.start.start());
        pages.iter().any(|page| page.contains(at))
    };
    let handed_out = || bench.boot.memory.iter().chain([&bench.boot.archive]);
    check(handed_out().all(covers), "memory that was handed out is not mapped")?;
    let mapped: u64 = pages.iter().map(|page| page.size / PAGE_SIZE as u64).sum();
    let expected: usize = handed_out().map(FrameRange::len).sum();
    check(mapped == expected as u64, "other memory is mapped as well")
}

fn stack_guards_are_not_mapped(_: &mut Bench) -> Verdict {
    check(stacks::guards().all(|guard| page_at(guard).is_none()), "a guard is mapped")?;
    let beside = |guard: u64| page_at(guard + PAGE_SIZE as u64).is_some();
    check(stacks::guards().all(beside), "the stack above a guard is not mapped")
}

fn apic_is_mapped_uncached(_: &mut Bench) -> Verdict {
    let page = page_at(APIC).ok_or("it is not mapped")?;
    check(page.flags & UNCACHED != 0, "it is cached")?;
    check(page.size == PAGE_SIZE as u64, "more than its page is mapped")
}

fn archive_tail_is_zero(bench: &mut Bench) -> Verdict {
    let end = bench.boot.archive.start.start().plus(bench.boot.archive_size);
    let tail = bench.boot.archive.len() * PAGE_SIZE - bench.boot.archive_size;
    let mut bytes = [0xff; PAGE_SIZE];
    bench.memory.read(end.frame().span(end.offset(), tail), &mut bytes[..tail]);
    check(tail < PAGE_SIZE && bytes[..tail].iter().all(|&byte| byte == 0), "it is not")
}

fn memory_moves_every_size(bench: &mut Bench) -> Verdict {
    let (from, to) = (bench.frames[0], bench.frames[1]);
    let pattern: [u8; PAGE_SIZE] = core::array::from_fn(|i| (i * 7 + 1) as u8);
    bench.memory.write(from.whole(), &pattern);
    for size in (0..200).chain([511, 512, 1023, 4095, 4096]) {
        let shift = (size % 9).min(PAGE_SIZE - size);
        bench.memory.zero(to);
        bench.memory.copy(from.span(shift, size), to.span(shift, size));
        let mut got = [0; PAGE_SIZE];
        bench.memory.read(to.whole(), &mut got);
        let (before, rest) = got.split_at(shift);
        let (moved, after) = rest.split_at(size);
        check(moved == &pattern[shift..shift + size], "bytes are not the same after a copy")?;
        check(before.iter().chain(after).all(|&byte| byte == 0), "a copy touched bytes beside its own")?;
    }
    bench.memory.write_u64(to.start().plus(8), 0x1122_3344_5566_7788);
    check(bench.memory.read_u64(to.start().plus(8)) == 0x1122_3344_5566_7788, "a word is not what was written")
}

fn heap_gives_everything_back(_: &mut Bench) -> Verdict {
    let before = heap_used();
    let things: Vec<Box<[u8; 100]>> = (0..1000).map(|i| Box::new([i as u8; 100])).collect();
    check(heap_used() >= before + 100_000, "what is allocated is not counted")?;
    check(things.iter().enumerate().all(|(i, thing)| thing.iter().all(|&b| b == i as u8)), "two share memory")?;
    drop(things);
    check(heap_used() == before, "not all came back")
}

fn heap_that_is_full_says_so(_: &mut Bench) -> Verdict {
    let taken = fill_heap();
    let (was_full, some) = (taken.len() < taken.capacity(), !taken.is_empty());
    empty_heap(taken);
    check(was_full && some, "it never was")
}

const BLOCK: Layout = Layout::new::<[u128; 4096]>();

/// Takes blocks from the heap until there is none.
fn fill_heap() -> Vec<*mut u8> {
    let mut taken = Vec::with_capacity(1 << 16);
    for _ in 0..taken.capacity() {
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(BLOCK) };
        if memory.is_null() {
            break;
        }
        taken.push(memory);
    }
    taken
}

/// Gives them back.
fn empty_heap(taken: Vec<*mut u8>) {
    for memory in taken {
        // SAFETY: allocated above with this layout.
        unsafe { dealloc(memory, BLOCK) };
    }
}
