//! Copies of memory, and memory that a child inherits: what is written after shows on no
//! other side, and no bytes move before that.
//!
//! Neighbours: `vm` has the cases about memory that is not copied; `asm` has the code that
//! the children run.

use crate::asm::{self, Code};
use crate::case::{Failure, Verdict};
use crate::clock::deadline;
use crate::message::PATIENCE;
use crate::notice::wait_for_death;
use crate::peer::Peer;
use crate::protocol::{self, routine};
use crate::random::Random;
use crate::space::{self, PAGE, Place};
use crate::{cases, holds, same};
use alloc::vec;
use alloc::vec::Vec;
use portolan::abi::message::Descriptor;
use portolan::abi::task::{self, CreateFlags, Limits};
use portolan::abi::thread::PRIORITY_DEFAULT;
use portolan::abi::vm::{self, INLINE_MAX, Inheritance, MapFlags, RegionInfo};
use portolan::abi::{Disposition, Error, Name, Protection, Result};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("copies":
    a_copy_and_its_source_go_separate_ways,
    a_copy_moves_no_bytes_before_a_write,
    copies_of_copies_are_separate_too,
    any_bytes_can_be_copied_anywhere,
    overlapping_copies_are_exact,
    a_mapped_copy_is_a_snapshot,
    a_copy_needs_both_sides_mapped,
    memory_is_read_and_written_through_the_port,
    memory_of_any_size_is_read_and_written_out_of_line,
    regions_tell_what_they_are,
    a_lowered_maximum_holds,
    a_child_runs_in_a_copy,
    a_child_shares_what_is_to_be_shared,
    a_child_does_not_get_what_is_kept,
    a_child_outlives_its_parent,
    a_child_that_is_too_large_is_not_made,
    a_chain_of_children,
    twenty_thousand_regions,
    random_copies_are_as_in_a_plain_array,
);

/// Where the code of a child lies, and the page that it uses.
const TEXT: u64 = 0x7100_0000_0000;
const DATA: u64 = 0x7200_0000_0000;
const LIMITS: Limits = Limits { memory: 1 << 20, ports: 16, frames: 1500 };

fn copy(source: u64, size: u64, target: u64) -> Result<()> {
    vm::vm_copy(&MsgRpc, trap::task_self(), source, size, target).map(drop)
}

fn copies() -> Result<u64> {
    Ok(vm::vm_statistics(&MsgRpc, trap::task_self())?.results.statistics.copies)
}

fn inherit(address: u64, size: u64, inheritance: Inheritance) -> Result<()> {
    vm::vm_inherit(&MsgRpc, trap::task_self(), address, size, inheritance as u32, 0).map(drop)
}

fn region(address: u64) -> Result<RegionInfo> {
    Ok(vm::vm_region(&MsgRpc, trap::task_self(), address)?.results.info)
}

/// A word of a task's memory.
fn word(task: Name, address: u64) -> Result<u64> {
    let data = vm::vm_peek(&MsgRpc, task, address, 8)?.results.data;
    Ok(u64::from_le_bytes(core::array::from_fn(|at| data[at])))
}

fn set_word(task: Name, address: u64, value: u64) -> Result<()> {
    let mut data = [0; INLINE_MAX];
    data[..8].copy_from_slice(&value.to_le_bytes());
    vm::vm_poke(&MsgRpc, task, address, 8, data).map(drop)
}

/// A child of a task, with inherited memory; the runner ends it if the case does not.
fn heir_of(parent: Name, limits: Limits) -> Result<Name> {
    let nothing = Descriptor::port(Name::NULL, 0);
    let made = task::create(&MsgRpc, parent, [0; 32], limits, CreateFlags::INHERIT.bits(), 0, nothing)?;
    let child = made.rights[0];
    routine::adopt(&MsgRpc, protocol::bootstrap(), Descriptor::port(child, Disposition::CopySend as u8))?;
    Ok(child)
}

fn heir() -> Result<Name> {
    heir_of(trap::task_self(), LIMITS)
}

/// Puts code and a page for it where a child will find both.
fn prepare(code: &[Code]) -> Result<()> {
    space::install(trap::task_self(), TEXT, &code.concat())?;
    space::map_place(trap::task_self(), Name::NULL, Place::at(DATA, PAGE, Protection::READ_WRITE))?;
    Ok(())
}

/// Lets a child run it.
fn run(child: Name) -> Result<()> {
    let thread = task::thread_create(&MsgRpc, child, TEXT, DATA + PAGE, DATA, PRIORITY_DEFAULT, 0)?;
    trap::port_deallocate(thread.rights[0])
}

/// Waits until a word of a task's memory is what it is to become.
fn wait_for(task: Name, address: u64, value: u64) -> core::result::Result<(), Failure> {
    let deadline = deadline(PATIENCE);
    while trap::clock_get() < deadline {
        if word(task, address)? == value {
            return Ok(());
        }
        trap::thread_switch(Name::NULL, Some(1))?;
    }
    Err(Failure::new("the child did not write what it should"))
}

fn a_copy_and_its_source_go_separate_ways() -> Verdict {
    let (one, two) = (space::fresh(64 * PAGE)?, space::fresh(64 * PAGE)?);
    space::mark(one, 64, 100);
    space::mark(two, 64, 900);
    copy(one, 64 * PAGE, two)?;
    holds!(space::is_marked(one, 64, 100) && space::is_marked(two, 64, 100));
    space::mark(one, 32, 500);
    holds!(space::is_marked(two, 64, 100));
    space::mark(two + 32 * PAGE, 32, 700);
    holds!(space::is_marked(one, 32, 500) && space::is_marked(one + 32 * PAGE, 32, 132));
    space::unmap(one, 64 * PAGE)?;
    holds!(space::is_marked(two, 32, 100) && space::is_marked(two + 32 * PAGE, 32, 700));
    Ok(())
}

fn a_copy_moves_no_bytes_before_a_write() -> Verdict {
    let (one, two) = (space::fresh(256 * PAGE)?, space::fresh(256 * PAGE)?);
    space::mark(one, 256, 1);
    let before = copies()?;
    copy(one, 256 * PAGE, two)?;
    holds!(space::is_marked(two, 256, 1));
    same!(copies()?, before);
    asm::store(two + 7 * PAGE, 1);
    asm::store(two + 7 * PAGE + 8, 1);
    same!(copies()?, before + 1);
    asm::store(one + 7 * PAGE, 1);
    same!(copies()?, before + 1);
    Ok(())
}

fn copies_of_copies_are_separate_too() -> Verdict {
    let places: Vec<u64> = (0..6).map(|_| space::fresh(8 * PAGE)).collect::<Result<_>>()?;
    space::mark(places[0], 8, 10);
    for pair in places.windows(2) {
        copy(pair[0], 8 * PAGE, pair[1])?;
    }
    for (number, place) in (0..).zip(&places) {
        asm::store(place + number * PAGE, 1000 + number);
    }
    for (number, place) in (0..).zip(&places) {
        for page in 0..8 {
            let expected = if page == number { 1000 + number } else { 10 + page };
            same!(asm::load(place + page * PAGE), expected);
        }
    }
    Ok(())
}

/// Bytes of a mapping.
fn bytes(address: u64, size: u64) -> Vec<u8> {
    (address..address + size).step_by(8).flat_map(|at| asm::load(at).to_le_bytes()).collect()
}

fn any_bytes_can_be_copied_anywhere() -> Verdict {
    let (one, two) = (space::fresh(4 * PAGE)?, space::fresh(4 * PAGE)?);
    let source: Vec<u8> = (0..4 * PAGE).map(|at| (at * 31 % 251) as u8).collect();
    space::write(one, &source);
    for (from, to, size) in [(0, 1, 1), (5, 5, 2 * PAGE), (PAGE - 1, 8, PAGE + 2), (3, PAGE, PAGE), (0, PAGE, PAGE)] {
        space::write(two, &vec![0xee; 4 * PAGE as usize]);
        copy(one + from, size, two + to)?;
        let mut expected = vec![0xee; 4 * PAGE as usize];
        expected[to as usize..(to + size) as usize].copy_from_slice(&source[from as usize..(from + size) as usize]);
        holds!(bytes(two, 4 * PAGE) == expected, from, to, size);
        holds!(bytes(one, 4 * PAGE) == source, from, to, size);
    }
    Ok(())
}

fn overlapping_copies_are_exact() -> Verdict {
    for (from, to, size) in [(0, PAGE, 3 * PAGE), (PAGE, 0, 3 * PAGE), (0, 24, 2 * PAGE), (24, 0, 2 * PAGE)] {
        let memory = space::fresh(4 * PAGE)?;
        let mut expected: Vec<u8> = (0..4 * PAGE).map(|at| (at * 31 % 251) as u8).collect();
        space::write(memory, &expected);
        copy(memory + from, size, memory + to)?;
        expected.copy_within(from as usize..(from + size) as usize, to as usize);
        holds!(bytes(memory, 4 * PAGE) == expected, from, to, size);
    }
    Ok(())
}

fn a_mapped_copy_is_a_snapshot() -> Verdict {
    let object = space::object(8 * PAGE)?;
    let original = space::map(object, Protection::READ_WRITE)?;
    space::mark(original, 6, 40);
    let readable = space::derive(object, Protection::READ)?;
    let whole = Place::anywhere(8 * PAGE, Protection::READ_WRITE);
    let snapshot = Place { flags: whole.flags | MapFlags::COPY.bits(), ..whole };
    let copy = space::map_place(trap::task_self(), readable, snapshot)?;
    space::mark(original, 8, 80);
    holds!(space::is_marked(copy, 6, 40) && space::is_zero(copy + 6 * PAGE, 2 * PAGE));
    space::mark(copy, 8, 120);
    holds!(space::is_marked(original, 8, 80));
    let part = Place { offset: 5 * PAGE, size: PAGE, ..snapshot };
    same!(asm::load(space::map_place(trap::task_self(), readable, part)?), 85);
    let beyond = Place { offset: 5 * PAGE, size: 4 * PAGE, ..snapshot };
    same!(space::map_place(trap::task_self(), readable, beyond), Err(Error::InvalidArgument));
    Ok(())
}

fn a_copy_needs_both_sides_mapped() -> Verdict {
    let (one, two) = (space::fresh(4 * PAGE)?, 0x7300_0000_0000);
    space::map_place(trap::task_self(), Name::NULL, Place::at(two, 4 * PAGE, Protection::READ_WRITE))?;
    space::mark(two, 4, 5);
    same!(copy(one, 0, two), Err(Error::InvalidArgument));
    same!(copy(one, 5 * PAGE, two), Err(Error::InvalidAddress));
    same!(copy(0, PAGE, two), Err(Error::InvalidAddress));
    same!(copy(one, u64::MAX - PAGE, two), Err(Error::InvalidAddress));
    space::protect(two + 3 * PAGE, PAGE, Protection::READ)?;
    same!(copy(one, 4 * PAGE, two), Err(Error::ProtectionFailure));
    same!(copy(one + 1, 4 * PAGE - 2, two + 1), Err(Error::ProtectionFailure));
    holds!(space::is_marked(two, 4, 5));
    Ok(())
}

fn memory_is_read_and_written_through_the_port() -> Verdict {
    let peer = Peer::start()?;
    let there = space::map_place(peer.task, Name::NULL, Place::anywhere(2 * PAGE, Protection::READ_WRITE))?;
    set_word(peer.task, there + PAGE - 3, 0x1122_3344_5566_7788)?;
    same!(peer.hand.load(there + PAGE - 3)?.finish()?.value, 0x1122_3344_5566_7788);
    peer.hand.store(there + 64, 9)?.finish()?;
    same!(word(peer.task, there + 64), Ok(9));
    same!(word(peer.task, there + 2 * PAGE - 4), Err(Error::InvalidAddress));
    same!(set_word(peer.task, there + 2 * PAGE - 4, u64::MAX), Err(Error::InvalidAddress));
    same!(word(peer.task, there + 2 * PAGE - 8), Ok(0));
    let read = |size| vm::vm_peek(&MsgRpc, peer.task, there, size).map(drop);
    same!((read(INLINE_MAX as u64), read(INLINE_MAX as u64 + 1)), (Ok(()), Err(Error::InvalidArgument)));
    vm::vm_protect(&MsgRpc, peer.task, there, PAGE, Protection::READ.bits(), 0)?;
    same!(set_word(peer.task, there, 1), Err(Error::ProtectionFailure));
    Ok(())
}

fn memory_of_any_size_is_read_and_written_out_of_line() -> Verdict {
    let peer = Peer::start()?;
    let there = space::map_place(peer.task, Name::NULL, Place::anywhere(40 * PAGE, Protection::READ_WRITE))?;
    let ours = space::fresh(40 * PAGE)?;
    space::mark(ours, 40, 6);
    vm::vm_write(&MsgRpc, peer.task, there, Descriptor::memory(ours, 40 * PAGE, 0))?;
    for page in [0, 15, 16, 39] {
        same!(word(peer.task, there + page * PAGE), word(trap::task_self(), ours + page * PAGE));
    }
    let copies = || -> Result<u64> { Ok(vm::vm_statistics(&MsgRpc, peer.task)?.results.statistics.copies) };
    let before = copies()?;
    let read = vm::vm_read(&MsgRpc, peer.task, there, 40 * PAGE)?.memory;
    same!((read.size, copies()? - before), (40 * PAGE, 0));
    holds!(space::is_marked(read.address, 40, 6));
    peer.hand.store(there + 20 * PAGE, 9)?.finish()?;
    holds!(space::is_marked(read.address, 40, 6));
    same!(word(peer.task, there + 20 * PAGE), Ok(9));
    space::unmap(read.address, read.size)?;
    let beyond = vm::vm_read(&MsgRpc, peer.task, there + PAGE, 40 * PAGE).map(drop);
    same!(beyond, Err(Error::InvalidAddress));
    let no_memory = Descriptor::port(peer.task, Disposition::CopySend as u8);
    same!(vm::vm_write(&MsgRpc, peer.task, there, no_memory).map(drop), Err(Error::BadArguments));
    vm::vm_protect(&MsgRpc, peer.task, there, PAGE, Protection::READ.bits(), 0)?;
    let refused = vm::vm_write(&MsgRpc, peer.task, there, Descriptor::memory(ours, 2 * PAGE, 0)).map(drop);
    same!(refused, Err(Error::ProtectionFailure));
    space::unmap(ours, 40 * PAGE)?;
    Ok(())
}

fn regions_tell_what_they_are() -> Verdict {
    let memory = space::fresh(6 * PAGE)?;
    space::mark(memory, 6, 1);
    inherit(memory + 2 * PAGE, PAGE, Inheritance::None)?;
    space::protect(memory + 3 * PAGE, 3 * PAGE, Protection::READ)?;
    let first = region(memory)?;
    same!((first.address, first.size, first.shared, first.object_resident), (memory, 2 * PAGE, 0, 6));
    let kept = region(first.address + first.size)?;
    same!((kept.size, kept.offset, kept.inheritance), (PAGE, 2 * PAGE, Inheritance::None as u32));
    let last = region(memory + 5 * PAGE)?;
    same!((last.address, last.protection, last.maximum), (memory + 3 * PAGE, 1, Protection::all().bits()));
    same!(inherit(memory, 1 << 40, Inheritance::Copy), Err(Error::InvalidAddress));
    same!(vm::vm_inherit(&MsgRpc, trap::task_self(), memory, PAGE, 9, 0).map(drop), Err(Error::InvalidArgument));
    same!(region(u64::MAX), Err(Error::InvalidAddress));
    let object = space::object(PAGE)?;
    same!(region(space::map(object, Protection::READ)?)?.shared, 1);
    Ok(())
}

fn a_lowered_maximum_holds() -> Verdict {
    let memory = space::fresh(2 * PAGE)?;
    space::mark(memory, 2, 1);
    let set = |maximum: Protection, flag| {
        vm::vm_protect(&MsgRpc, trap::task_self(), memory, PAGE, maximum.bits(), flag).map(drop)
    };
    set(Protection::READ, 1)?;
    same!(space::protect(memory, PAGE, Protection::READ_WRITE), Err(Error::ProtectionFailure));
    same!(set(Protection::READ_WRITE, 1), Err(Error::ProtectionFailure));
    same!(set(Protection::READ, 7), Err(Error::InvalidArgument));
    same!((region(memory)?.protection, asm::load(memory)), (1, 1));
    asm::store(memory + PAGE, 5);
    Ok(())
}

fn a_child_runs_in_a_copy() -> Verdict {
    prepare(&[asm::started(), asm::wait(), asm::survived()])?;
    asm::store(DATA + 128, 77);
    let child = heir()?;
    run(child)?;
    wait_for(child, DATA, 1)?;
    same!((asm::load(DATA), word(child, DATA + 128)), (0, Ok(77)));
    // What the parent writes does not release it; what is written to the child does.
    asm::store(DATA + 64, 1);
    trap::thread_switch(Name::NULL, Some(5))?;
    same!(word(child, DATA), Ok(1));
    set_word(child, DATA + 64, 1)?;
    wait_for(child, DATA, 2)?;
    same!(asm::load(DATA), 0);
    task::terminate(&MsgRpc, child)?;
    same!((asm::load(DATA), asm::load(DATA + 64), asm::load(DATA + 128)), (0, 1, 77));
    Ok(())
}

fn a_child_shares_what_is_to_be_shared() -> Verdict {
    prepare(&[asm::started(), asm::wait(), asm::survived()])?;
    let elsewhere = space::fresh(PAGE)?;
    asm::store(DATA + 128, 5);
    // The page is shared with a copy already, which must keep its own.
    copy(DATA, PAGE, elsewhere)?;
    inherit(DATA, PAGE, Inheritance::Share)?;
    let child = heir()?;
    run(child)?;
    wait_for(trap::task_self(), DATA, 1)?;
    asm::store(DATA + 64, 1);
    wait_for(trap::task_self(), DATA, 2)?;
    same!((word(child, DATA), asm::load(elsewhere), asm::load(elsewhere + 128)), (Ok(2), 0, 5));
    task::terminate(&MsgRpc, child)?;
    same!(asm::load(DATA), 2);
    Ok(())
}

fn a_child_does_not_get_what_is_kept() -> Verdict {
    prepare(&[asm::started(), asm::survived()])?;
    asm::load(DATA);
    inherit(DATA, PAGE, Inheritance::None)?;
    let child = heir()?;
    same!(word(child, DATA), Err(Error::InvalidAddress));
    run(child)?;
    wait_for_death(child)?;
    same!(asm::load(DATA), 0);
    Ok(())
}

fn a_child_outlives_its_parent() -> Verdict {
    let peer = Peer::with_limits(Limits { frames: 3000, ..protocol::PEER_LIMITS })?;
    let there = space::map_place(peer.task, Name::NULL, Place::anywhere(8 * PAGE, Protection::READ_WRITE))?;
    for page in 0..8 {
        set_word(peer.task, there + page * PAGE, 30 + page)?;
    }
    let limits = Limits { memory: 400_000, ports: 8, frames: 1500 };
    let child = heir_of(peer.task, limits)?;
    peer.hand.store(there, 1)?.finish()?;
    set_word(child, there + PAGE, 2)?;
    same!(peer.hand.load(there + PAGE)?.finish()?.value, 31);
    peer.terminate()?;
    wait_for_death(peer.task)?;
    same!((word(child, there), word(child, there + PAGE), word(child, there + 2 * PAGE)), (Ok(30), Ok(2), Ok(32)));
    set_word(child, there + 2 * PAGE, 3)?;
    same!(word(child, there + 2 * PAGE), Ok(3));
    Ok(())
}

fn a_child_that_is_too_large_is_not_made() -> Verdict {
    let memory = space::fresh(200 * PAGE)?;
    space::mark(memory, 200, 1);
    let before = task::info(&MsgRpc, trap::task_self())?.results.info;
    for limits in [Limits { frames: 150, ..LIMITS }, Limits { memory: 4000, ..LIMITS }, Limits { ports: 1, ..LIMITS }] {
        same!(heir_of(trap::task_self(), limits), Err(Error::ResourceShortage));
    }
    same!(task::info(&MsgRpc, trap::task_self())?.results.info, before);
    let nothing = Descriptor::port(Name::NULL, 0);
    let unknown = task::create(&MsgRpc, trap::task_self(), [0; 32], LIMITS, 2, 0, nothing).map(drop);
    same!(unknown, Err(Error::InvalidArgument));
    Ok(())
}

fn a_chain_of_children() -> Verdict {
    let memory = space::fresh(4 * PAGE)?;
    space::mark(memory, 4, 10);
    let mut chain = vec![trap::task_self()];
    for generation in 1..5 {
        // Each has limits for those after it.
        let left = 5 - generation;
        let limits = Limits { memory: left * 400_000, ports: left * 16, frames: left * 800 };
        let child = heir_of(chain[chain.len() - 1], limits)?;
        set_word(child, memory + PAGE, generation)?;
        chain.push(child);
    }
    for (generation, task) in (1..).zip(&chain[1..]) {
        same!(word(*task, memory), Ok(10));
        same!(word(*task, memory + PAGE), Ok(generation));
    }
    task::terminate(&MsgRpc, chain[2])?;
    asm::store(memory, 1);
    for task in [chain[1], chain[3], chain[4]] {
        same!(word(task, memory), Ok(10));
    }
    same!(word(chain[4], memory + PAGE), Ok(4));
    Ok(())
}

fn twenty_thousand_regions() -> Verdict {
    let object = space::object(PAGE)?;
    let base = 0x2000_0000_0000;
    let before = region_count()?;
    // In an order that is none.
    let place = |number: u64| base + number * 7919 % 20_000 * 2 * PAGE;
    for number in 0..20_000 {
        space::map_place(trap::task_self(), object, Place::at(place(number), PAGE, Protection::READ_WRITE))?;
    }
    same!(region_count()?, before + 20_000);
    asm::store(place(0), 6);
    for number in (0..20_000).step_by(1013) {
        same!(asm::load(place(number)), 6);
    }
    for number in (0..20_000).step_by(2) {
        space::unmap(place(number), PAGE)?;
    }
    same!(region_count()?, before + 10_000);
    space::unmap(base, 40_000 * PAGE)?;
    same!(region_count()?, before);
    Ok(())
}

fn region_count() -> Result<u64> {
    Ok(vm::vm_statistics(&MsgRpc, trap::task_self())?.results.statistics.regions)
}

fn random_copies_are_as_in_a_plain_array() -> Verdict {
    const PAGES: u64 = 12;
    let mut random = Random::new(0x5eed_0c0b);
    let memory = space::fresh(PAGES * PAGE)?;
    let mut plain = vec![0_u8; (PAGES * PAGE) as usize];
    for _ in 0..300 {
        match random.below(3) {
            0 => {
                let (at, value) = (random.below(PAGES * PAGE / 8) * 8, random.below(u64::MAX));
                asm::store(memory + at, value);
                plain[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
            }
            whole => {
                let unit = if whole == 1 { PAGE } else { 1 };
                let size = (1 + random.below(4 * PAGE / unit)) * unit;
                let mut place = || random.below((PAGES * PAGE - size) / unit + 1) * unit;
                let (from, to) = (place(), place());
                copy(memory + from, size, memory + to)?;
                plain.copy_within(from as usize..(from + size) as usize, to as usize);
            }
        }
    }
    holds!(bytes(memory, PAGES * PAGE) == plain);
    Ok(())
}
