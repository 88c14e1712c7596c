//! Memory: pages come when touched, all zero; protections hold; shared bytes are shared.

use crate::asm;
use crate::case::Verdict;
use crate::message::{Buffer, Message, call, receive_now};
use crate::peer::Peer;
use crate::random::Random;
use crate::space::{self, PAGE, Place};
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::call::{Receive, Send};
use portolan::abi::memory_object::SIZE_MAX;
use portolan::abi::message::{Options, received_size};
use portolan::abi::task::TaskInfo;
use portolan::abi::vm::{self, MapFlags, USER_END};
use portolan::abi::{Capacity, Disposition, Error, Name, Protection};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("vm":
    new_pages_are_zero,
    freed_pages_come_back_zero,
    pages_of_the_dead_come_back_zero,
    pages_come_when_they_are_touched,
    unmapping_gives_frames_back,
    unmapped_pages_are_gone,
    a_hole_leaves_the_rest,
    unmapping_nothing_is_no_error,
    a_taken_range_is_refused,
    mappings_find_room,
    room_runs_out,
    many_small_mappings,
    two_tasks_share_an_object,
    sharing_works_page_by_page,
    an_object_maps_twice,
    an_offset_shows_the_rest,
    an_object_outlives_its_rights,
    an_object_outlives_its_maker,
    large_objects_take_what_is_touched,
    the_object_tells_its_state,
    a_derived_right_allows_less,
    a_derived_right_derives_less_still,
    a_read_only_page_refuses_writing,
    protection_changes_at_once,
    protection_is_raised_only_to_what_the_right_allows,
    protecting_needs_all_mapped,
    writable_and_executable_is_refused,
    code_runs_from_a_second_mapping,
    mapping_arguments_are_checked,
    unmapping_and_protecting_check_their_ranges,
    object_arguments_are_checked,
    only_memory_objects_are_mapped,
    messages_come_from_untouched_pages,
    messages_go_to_untouched_pages,
    messages_travel_through_shared_pages,
    random_mappings_keep_their_bytes,
);

fn info() -> Result<TaskInfo, Error> {
    portolan::task::Task::this().info()
}

fn new_pages_are_zero() -> Verdict {
    for pages in [1, 3, 64] {
        let memory = space::fresh(pages * PAGE)?;
        holds!(memory.is_multiple_of(PAGE), memory);
        holds!(space::is_zero(memory, pages * PAGE), pages);
        space::mark(memory, pages, 5);
        holds!(space::is_marked(memory, pages, 5), pages);
        space::unmap(memory, pages * PAGE)?;
    }
    Ok(())
}

/// Fills pages with ones.
fn soil(address: u64, size: u64) {
    (address..address + size).step_by(8).for_each(|at| asm::store(at, u64::MAX));
}

fn freed_pages_come_back_zero() -> Verdict {
    for round in 0..20 {
        let memory = space::fresh(64 * PAGE)?;
        holds!(space::is_zero(memory, 64 * PAGE), round);
        soil(memory, 64 * PAGE);
        space::unmap(memory, 64 * PAGE)?;
    }
    Ok(())
}

fn pages_of_the_dead_come_back_zero() -> Verdict {
    for _ in 0..3 {
        let peer = Peer::start()?;
        let object = space::object(128 * PAGE)?;
        space::map_into(peer.task, object, 0x7000_0000, Protection::READ_WRITE)?;
        let here = space::map(object, Protection::READ_WRITE)?;
        soil(here, 128 * PAGE);
        space::unmap(here, 128 * PAGE)?;
        port::deallocate(object)?;
        peer.terminate()?;
        let memory = space::fresh(256 * PAGE)?;
        holds!(space::is_zero(memory, 256 * PAGE));
        space::unmap(memory, 256 * PAGE)?;
    }
    Ok(())
}

fn pages_come_when_they_are_touched() -> Verdict {
    let before = info()?.used.frames;
    let memory = space::fresh(256 * PAGE)?;
    let mapped = info()?.used.frames;
    holds!(mapped < before + 8, before, mapped);
    asm::load(memory);
    let one = info()?.used.frames;
    holds!(one > before && one < before + 8, before, one);
    space::mark(memory, 256, 1);
    holds!(info()?.used.frames >= before + 256);
    space::unmap(memory, 256 * PAGE)?;
    Ok(())
}

fn unmapping_gives_frames_back() -> Verdict {
    let memory = space::fresh(100 * PAGE)?;
    space::mark(memory, 100, 1);
    let full = info()?.used.frames;
    // A piece of it may stay with the object behind it; the whole goes.
    space::unmap(memory, 50 * PAGE)?;
    space::unmap(memory + 50 * PAGE, 50 * PAGE)?;
    let left = info()?.used.frames;
    holds!(left <= full - 100, left, full);
    Ok(())
}

fn unmapped_pages_are_gone() -> Verdict {
    let peer = Peer::start()?;
    let there = space::map_place(peer.task, Name::NULL, Place::anywhere(2 * PAGE, Protection::READ_WRITE))?;
    peer.hand.store(there, 5)?.finish()?;
    same!(peer.hand.load(there)?.finish()?.value, 5);
    vm::vm_deallocate(&MsgRpc, peer.task, there, PAGE)?;
    same!(peer.hand.load(there + PAGE)?.finish()?.value, 0);
    // The processor must not remember the page.
    holds!(peer.hand.load(there)?.end()?.is_none());
    Ok(())
}

fn a_hole_leaves_the_rest() -> Verdict {
    let peer = Peer::start()?;
    let memory = space::fresh(9 * PAGE)?;
    space::mark(memory, 9, 70);
    let regions = info()?.regions;
    space::unmap(memory + 4 * PAGE, PAGE)?;
    same!(info()?.regions, regions + 1);
    holds!(space::is_marked(memory, 4, 70) && space::is_marked(memory + 5 * PAGE, 4, 75));
    space::unmap(memory, 9 * PAGE)?;
    same!(info()?.regions, regions - 1);

    let there = space::map_place(peer.task, Name::NULL, Place::anywhere(3 * PAGE, Protection::READ_WRITE))?;
    peer.hand.store(there + PAGE, 1)?.finish()?;
    vm::vm_deallocate(&MsgRpc, peer.task, there + PAGE, PAGE)?;
    peer.hand.store(there, 1)?.finish()?;
    peer.hand.store(there + 2 * PAGE, 1)?.finish()?;
    holds!(peer.hand.load(there + PAGE)?.end()?.is_none());
    Ok(())
}

fn unmapping_nothing_is_no_error() -> Verdict {
    let memory = space::fresh(2 * PAGE)?;
    space::unmap(memory, 2 * PAGE)?;
    same!(space::unmap(memory, 2 * PAGE), Ok(()));
    same!(space::unmap(0x6000_0000_0000, 1 << 30), Ok(()));
    Ok(())
}

fn a_taken_range_is_refused() -> Verdict {
    let memory = space::fresh(4 * PAGE)?;
    let before = info()?;
    for (address, pages) in [(memory, 1), (memory + 3 * PAGE, 1), (memory + PAGE, 2), (memory, 100)] {
        let place = Place::at(address, pages * PAGE, Protection::READ_WRITE);
        same!(space::map_place(trap::task_self(), Name::NULL, place), Err(Error::NoSpace));
    }
    same!(info()?, before);
    let behind = Place::at(memory + 4 * PAGE, PAGE, Protection::READ_WRITE);
    same!(space::map_place(trap::task_self(), Name::NULL, behind), Ok(memory + 4 * PAGE));
    Ok(())
}

fn mappings_find_room() -> Verdict {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for size in (1..40).map(|pages| pages * PAGE) {
        let start = space::fresh(size)?;
        let overlaps = ranges.iter().any(|(other, length)| start < other + length && *other < start + size);
        holds!(!overlaps, start, size);
        ranges.push((start, size));
    }
    // Far beyond what there is of memory: only the range is taken.
    let large = space::fresh(1 << 38)?;
    asm::store(large + (1 << 37), 1);
    space::unmap(large, 1 << 38)?;
    Ok(())
}

fn room_runs_out() -> Verdict {
    let mut taken = Vec::new();
    let refused = loop {
        match space::fresh(SIZE_MAX) {
            Ok(address) => taken.push(address),
            Err(error) => break error,
        }
        holds!(taken.len() < 200, taken.len());
    };
    same!((refused, taken.len() > 100), (Error::NoSpace, true));
    space::unmap(taken[50], SIZE_MAX)?;
    same!(space::fresh(SIZE_MAX), Ok(taken[50]));
    Ok(())
}

fn many_small_mappings() -> Verdict {
    let base = 0x2000_0000_0000;
    let regions = info()?.regions;
    for index in 0..300 {
        let place = Place::at(base + 2 * index * PAGE, PAGE, Protection::READ_WRITE);
        let at = space::map_place(trap::task_self(), Name::NULL, place)?;
        asm::store(at, index);
    }
    same!(info()?.regions, regions + 300);
    for index in 0..300 {
        same!(asm::load(base + 2 * index * PAGE), index);
    }
    space::unmap(base, 600 * PAGE)?;
    same!(info()?.regions, regions);
    Ok(())
}

fn two_tasks_share_an_object() -> Verdict {
    let peer = Peer::start()?;
    let object = space::object(4 * PAGE)?;
    let (here, there) = (space::map(object, Protection::READ_WRITE)?, 0x7000_0000);
    space::map_into(peer.task, object, there, Protection::READ_WRITE)?;
    for round in 0..50 {
        let offset = round % 4 * PAGE + round * 8;
        asm::store(here + offset, round + 1000);
        same!(peer.hand.load(there + offset)?.finish()?.value, round + 1000);
        peer.hand.store(there + offset, round + 2000)?.finish()?;
        same!(asm::load(here + offset), round + 2000);
    }
    Ok(())
}

fn sharing_works_page_by_page() -> Verdict {
    let peer = Peer::start()?;
    let object = space::object(32 * PAGE)?;
    let (here, there) = (space::map(object, Protection::READ_WRITE)?, 0x7000_0000);
    space::map_into(peer.task, object, there, Protection::READ_WRITE)?;
    // The first touch of each page comes from one side or the other.
    for page in 0..32 {
        let offset = page * PAGE;
        if page % 2 == 0 {
            asm::store(here + offset, page + 1);
        } else {
            peer.hand.store(there + offset, page + 1)?.finish()?;
        }
    }
    for page in 0..32 {
        same!(asm::load(here + page * PAGE), page + 1);
        same!(peer.hand.load(there + page * PAGE)?.finish()?.value, page + 1);
    }
    same!(space::object_info(object)?.resident, 32);
    Ok(())
}

fn an_object_maps_twice() -> Verdict {
    let object = space::object(2 * PAGE)?;
    let (one, two) = (space::map(object, Protection::READ_WRITE)?, space::map(object, Protection::READ)?);
    holds!(one != two);
    asm::store(one + 8, 3);
    same!(asm::load(two + 8), 3);
    asm::store(one + PAGE, 4);
    same!(asm::load(two + PAGE), 4);
    space::unmap(one, 2 * PAGE)?;
    same!(asm::load(two + 8), 3);
    Ok(())
}

fn an_offset_shows_the_rest() -> Verdict {
    let object = space::object(6 * PAGE)?;
    let whole = space::map(object, Protection::READ_WRITE)?;
    space::mark(whole, 6, 40);
    let tail = Place { offset: 4 * PAGE, ..Place::anywhere(2 * PAGE, Protection::READ) };
    let tail = space::map_place(trap::task_self(), object, tail)?;
    holds!(space::is_marked(tail, 2, 44));
    let middle = Place { offset: 2 * PAGE, ..Place::anywhere(100, Protection::READ) };
    same!(asm::load(space::map_place(trap::task_self(), object, middle)?), 42);
    Ok(())
}

fn an_object_outlives_its_rights() -> Verdict {
    let object = space::object(3 * PAGE)?;
    let here = space::map(object, Protection::READ_WRITE)?;
    space::mark(here, 2, 9);
    port::deallocate(object)?;
    same!(port::kind(object), Err(Error::InvalidName));
    holds!(space::is_marked(here, 2, 9));
    asm::store(here + 2 * PAGE, 1);
    space::unmap(here, 3 * PAGE)?;
    Ok(())
}

fn an_object_outlives_its_maker() -> Verdict {
    let peer = Peer::start()?;
    let made = vm::memory_object_create(&MsgRpc, peer.task, 4 * PAGE)?.rights[0];
    let here = space::map(made, Protection::READ_WRITE)?;
    space::mark(here, 2, 60);
    peer.terminate()?;
    crate::notice::wait_for_death(peer.task)?;
    holds!(space::is_marked(here, 2, 60));
    same!(space::object_info(made)?.mappings, 1);
    Ok(())
}

fn large_objects_take_what_is_touched() -> Verdict {
    let object = space::object(1 << 32)?;
    let here = space::map(object, Protection::READ_WRITE)?;
    let places = [0, PAGE, 2 << 20, (1 << 30) - PAGE, 1 << 31, (1 << 32) - PAGE];
    for (value, place) in (1..).zip(places) {
        asm::store(here + place, value);
    }
    for (value, place) in (1..).zip(places) {
        same!(asm::load(here + place), value);
    }
    same!(space::object_info(object)?.resident, places.len() as u64);
    space::unmap(here, 1 << 32)?;
    same!(space::object_info(object)?.resident, places.len() as u64);
    Ok(())
}

fn the_object_tells_its_state() -> Verdict {
    let object = space::object(3 * PAGE - 5)?;
    let told = space::object_info(object)?;
    same!((told.size, told.resident, told.mappings), (3 * PAGE, 0, 0));
    same!(told.protection & 3, 3);
    let here = space::map(object, Protection::READ_WRITE)?;
    asm::store(here, 1);
    let told = space::object_info(object)?;
    same!((told.size, told.resident, told.mappings), (3 * PAGE, 1, 1));
    space::unmap(here, 3 * PAGE)?;
    same!(space::object_info(object)?.mappings, 0);
    Ok(())
}

fn a_derived_right_allows_less() -> Verdict {
    let peer = Peer::start()?;
    let object = space::object(2 * PAGE)?;
    let reader = space::derive(object, Protection::READ)?;
    same!(space::object_info(reader)?.protection, Protection::READ.bits());
    let there = peer.give(reader, Disposition::CopySend)?;
    same!(peer.port_type(there)?.send, 1);
    for wish in [Protection::READ_WRITE, Protection::WRITE, Protection::READ_EXECUTE] {
        let refused = space::map_into(peer.task, reader, 0x7000_0000, wish);
        same!(refused, Err(Error::ProtectionFailure));
    }
    space::map_into(peer.task, reader, 0x7000_0000, Protection::READ)?;
    let here = space::map(object, Protection::READ_WRITE)?;
    asm::store(here, 5);
    same!(peer.hand.load(0x7000_0000)?.finish()?.value, 5);
    holds!(peer.hand.store(0x7000_0000, 6)?.end()?.is_none());
    same!(asm::load(here), 5);
    Ok(())
}

fn a_derived_right_derives_less_still() -> Verdict {
    let object = space::object(PAGE)?;
    let reader = space::derive(object, Protection::READ)?;
    holds!(reader != object);
    for wish in [Protection::READ_WRITE, Protection::READ_EXECUTE, Protection::WRITE] {
        same!(space::derive(reader, wish), Err(Error::ProtectionFailure));
    }
    let again = space::derive(reader, Protection::READ)?;
    same!(space::object_info(again)?.protection, Protection::READ.bits());
    same!(space::derive(object, Protection::empty()), Err(Error::InvalidArgument));
    same!(space::derive(object, Protection::from_bits_retain(8)), Err(Error::InvalidArgument));
    // The rights are to one object, which lives while any of them does.
    let here = space::map(object, Protection::READ_WRITE)?;
    asm::store(here, 31);
    space::unmap(here, PAGE)?;
    port::deallocate(object)?;
    port::deallocate(reader)?;
    same!(asm::load(space::map(again, Protection::READ)?), 31);
    Ok(())
}

fn a_read_only_page_refuses_writing() -> Verdict {
    let peer = Peer::start()?;
    let place = Place::at(0x7000_0000, PAGE, Protection::READ);
    space::map_place(peer.task, Name::NULL, place)?;
    same!(peer.hand.load(0x7000_0000)?.finish()?.value, 0);
    holds!(peer.hand.store(0x7000_0000, 1)?.end()?.is_none());
    Ok(())
}

fn protection_changes_at_once() -> Verdict {
    let peer = Peer::start()?;
    let there = 0x7000_0000;
    space::map_place(peer.task, Name::NULL, Place::at(there, 3 * PAGE, Protection::READ_WRITE))?;
    for page in 0..3 {
        peer.hand.store(there + page * PAGE, 1)?.finish()?;
    }
    let protect =
        |protection: Protection| vm::vm_protect(&MsgRpc, peer.task, there + PAGE, PAGE, protection.bits(), 0).map(drop);
    protect(Protection::READ)?;
    same!(peer.hand.load(there + PAGE)?.finish()?.value, 1);
    protect(Protection::READ_WRITE)?;
    peer.hand.store(there + PAGE, 2)?.finish()?;
    protect(Protection::READ)?;
    peer.hand.store(there, 3)?.finish()?;
    peer.hand.store(there + 2 * PAGE, 3)?.finish()?;
    // The processor must not remember that it might write.
    holds!(peer.hand.store(there + PAGE, 4)?.end()?.is_none());
    Ok(())
}

fn protection_is_raised_only_to_what_the_right_allows() -> Verdict {
    let object = space::object(PAGE)?;
    let reader = space::derive(object, Protection::READ)?;
    let here = space::map(reader, Protection::READ)?;
    same!(space::protect(here, PAGE, Protection::READ_WRITE), Err(Error::ProtectionFailure));
    same!(asm::load(here), 0);
    let writable = space::map(object, Protection::READ)?;
    same!(space::protect(writable, PAGE, Protection::READ_WRITE), Ok(()));
    asm::store(writable, 1);
    same!(asm::load(here), 1);
    Ok(())
}

fn protecting_needs_all_mapped() -> Verdict {
    let memory = space::fresh(5 * PAGE)?;
    space::mark(memory, 5, 1);
    space::unmap(memory + 2 * PAGE, PAGE)?;
    same!(space::protect(memory, 5 * PAGE, Protection::READ), Err(Error::InvalidAddress));
    // Nothing has changed.
    space::mark(memory, 2, 8);
    space::mark(memory + 3 * PAGE, 2, 8);
    Ok(())
}

fn writable_and_executable_is_refused() -> Verdict {
    let both = Protection::READ_WRITE | Protection::EXECUTE;
    let object = space::object(PAGE)?;
    for object in [Name::NULL, object] {
        let place = Place::anywhere(PAGE, both);
        same!(space::map_place(trap::task_self(), object, place), Err(Error::InvalidArgument));
    }
    let here = space::map(object, Protection::READ_WRITE)?;
    same!(space::protect(here, PAGE, both), Err(Error::InvalidArgument));
    asm::store(here, 1);
    Ok(())
}

fn code_runs_from_a_second_mapping() -> Verdict {
    let object = space::code_object(asm::answer())?;
    let code = space::map(object, Protection::READ_EXECUTE)?;
    same!(asm::call(code), 42);
    // "mov eax, imm32": the number follows the first byte.
    let window = space::map(object, Protection::READ_WRITE)?;
    asm::store(window, asm::load(window) & !0xff00 | 77 << 8);
    same!(asm::call(code), 77);
    Ok(())
}

fn mapping_arguments_are_checked() -> Verdict {
    let object = space::object(4 * PAGE)?;
    let before = info()?;
    let good = Place::at(0x3000_0000_0000, PAGE, Protection::READ_WRITE);
    let wrong = [
        (Place { size: 0, ..good }, Error::InvalidArgument),
        (Place { address: good.address + 1, ..good }, Error::InvalidArgument),
        (Place { address: good.address + 8, ..good }, Error::InvalidArgument),
        (Place { offset: 1, ..good }, Error::InvalidArgument),
        (Place { offset: 4 * PAGE, ..good }, Error::InvalidArgument),
        (Place { offset: 3 * PAGE, size: 2 * PAGE, ..good }, Error::InvalidArgument),
        (Place { offset: u64::MAX - PAGE + 1, ..good }, Error::InvalidArgument),
        (Place { size: 5 * PAGE, ..good }, Error::InvalidArgument),
        (Place { size: 4 * PAGE + 1, ..good }, Error::InvalidArgument),
        (Place { size: u64::MAX, ..good }, Error::InvalidAddress),
        (Place { protection: 8, ..good }, Error::InvalidArgument),
        (Place { protection: 0x8000_0001, ..good }, Error::InvalidArgument),
        (Place { maximum: 8, ..good }, Error::InvalidArgument),
        (Place { maximum: 0, ..good }, Error::ProtectionFailure),
        (Place { inheritance: 3, ..good }, Error::InvalidArgument),
        (Place { flags: 8, ..good }, Error::InvalidArgument),
        (Place { address: 0, ..good }, Error::InvalidAddress),
        (Place { address: USER_END, ..good }, Error::InvalidAddress),
        (Place { address: USER_END - PAGE, size: 2 * PAGE, ..good }, Error::InvalidAddress),
        (Place { address: 1 << 47, ..good }, Error::InvalidAddress),
        (Place { address: 0xffff_8000_0000_0000, ..good }, Error::InvalidAddress),
        (Place { address: 0xffff_ffff_8020_0000, ..good }, Error::InvalidAddress),
        (Place { address: u64::MAX - PAGE + 1, ..good }, Error::InvalidAddress),
    ];
    for (index, (place, error)) in wrong.into_iter().enumerate() {
        let result = space::map_place(trap::task_self(), object, place);
        holds!(result == Err(error), index, result, error);
    }
    let fresh = [
        (Place { size: 0, ..good }, Error::InvalidArgument),
        (Place { size: u64::MAX, ..good }, Error::InvalidArgument),
        (Place { size: SIZE_MAX + 1, flags: MapFlags::ANYWHERE.bits(), ..good }, Error::InvalidArgument),
        (Place { address: USER_END - PAGE, size: SIZE_MAX, ..good }, Error::InvalidAddress),
    ];
    for (index, (place, error)) in fresh.into_iter().enumerate() {
        let result = space::map_place(trap::task_self(), Name::NULL, place);
        holds!(result == Err(error), index, result, error);
    }
    same!(info()?, before);
    let last = Place { address: USER_END - PAGE, ..good };
    same!(space::map_place(trap::task_self(), object, last), Ok(USER_END - PAGE));
    asm::store(USER_END - 8, 1);
    let first = Place { address: PAGE, ..good };
    same!(space::map_place(trap::task_self(), object, first), Ok(PAGE));
    Ok(())
}

fn unmapping_and_protecting_check_their_ranges() -> Verdict {
    let memory = space::fresh(2 * PAGE)?;
    let ranges = [
        (memory, 0, Error::InvalidArgument),
        (memory + 1, PAGE, Error::InvalidArgument),
        (0, PAGE, Error::InvalidAddress),
        (USER_END, PAGE, Error::InvalidAddress),
        (USER_END - PAGE, 2 * PAGE, Error::InvalidAddress),
        (0xffff_8000_0000_0000, PAGE, Error::InvalidAddress),
        (memory, u64::MAX, Error::InvalidAddress),
        (memory, u64::MAX - memory, Error::InvalidAddress),
    ];
    for (index, (address, size, error)) in ranges.into_iter().enumerate() {
        let (unmapped, protected) = (space::unmap(address, size), space::protect(address, size, Protection::READ));
        holds!(unmapped == Err(error), index, unmapped, error);
        holds!(protected == Err(error), index, protected, error);
    }
    let unknown = vm::vm_protect(&MsgRpc, trap::task_self(), memory, PAGE, 16, 0).map(drop);
    same!(unknown, Err(Error::InvalidArgument));
    asm::store(memory, 1);
    Ok(())
}

fn object_arguments_are_checked() -> Verdict {
    for size in [0, SIZE_MAX + 1, u64::MAX, 1 << 63] {
        same!(space::object(size), Err(Error::InvalidArgument));
    }
    let one = space::object(1)?;
    same!(space::object_info(one)?.size, PAGE);
    // Only what is touched costs frames.
    let largest = space::object(SIZE_MAX)?;
    same!(space::object_info(largest)?.size, SIZE_MAX);
    Ok(())
}

fn only_memory_objects_are_mapped() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let place = Place::anywhere(PAGE, Protection::READ);
    for wrong in [port, trap::task_self(), trap::thread_self()] {
        let result = space::map_place(trap::task_self(), wrong, place);
        same!(result, Err(Error::InvalidCapability));
    }
    same!(port::kind(port)?.send, 1);
    Ok(())
}

fn messages_come_from_untouched_pages() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let memory = space::fresh(4 * PAGE)?;
    // The header at the end of one page, the bytes in three that were never touched.
    let message = Message::copy_to(port).id(1).body(&[0; 3 * PAGE as usize]).lay_out();
    let at = memory + PAGE - 24;
    space::write(at, &message.bytes()[..24]);
    let send = Send { address: at, size: message.bytes().len() as u32, timeout: 0 };
    same!(call(Some(send), None, Options::empty()).0, Ok(()));
    let mut buffer = Buffer::new(received_size(message.bytes().len()));
    let half = buffer.receive_half(port);
    same!(call(None, Some(half), Options::empty()).0, Ok(()));
    holds!(buffer.bytes()[24..24 + 3 * PAGE as usize].iter().all(|byte| *byte == 0));
    Ok(())
}

fn messages_go_to_untouched_pages() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let memory = space::fresh(4 * PAGE)?;
    let body: Vec<u8> = (0..3 * PAGE).map(|index| (index / 8) as u8).collect();
    Message::copy_to(port).body(&body).send()?;
    let receive = Receive { address: memory + 8, size: 4 * PAGE as u32 - 8, port, timeout: 0 };
    same!(call(None, Some(receive), Options::empty()), (Ok(()), 24 + 3 * PAGE));
    for offset in (0..3 * PAGE).step_by(8) {
        same!(asm::load(memory + 32 + offset), u64::from((offset / 8) as u8) * 0x0101_0101_0101_0101);
    }
    Ok(())
}

fn messages_travel_through_shared_pages() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::DEFAULT)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    let object = space::object(PAGE)?;
    let here = space::map(object, Protection::READ_WRITE)?;
    space::map_into(peer.task, object, 0x7000_0000, Protection::READ)?;
    // The case writes the message, the peer sends it from its read-only view.
    let message = Message::copy_to(there).id(12).body(b"written here, sent there").lay_out();
    space::write(here + 64, message.bytes());
    let send = Send { address: 0x7000_0040, size: message.bytes().len() as u32, timeout: 0 };
    let call = portolan::abi::call::Call::Message { send: Some(send), receive: None, options: Options::empty() };
    same!(peer.hand.call(call)?.result, Ok(()));
    let got = receive_now(port)?;
    same!((got.header.id, got.body.as_slice()), (12, b"written here, sent there".as_slice()));
    Ok(())
}

fn random_mappings_keep_their_bytes() -> Verdict {
    let mut random = Random::new(0x5eed_0003);
    let mut live: Vec<(u64, u64, u64)> = Vec::new();
    for step in 0..250 {
        if live.len() < 12 || random.below(2) == 0 && live.len() < 40 {
            let pages = 1 + random.below(9);
            let address = space::fresh(pages * PAGE)?;
            space::mark(address, pages, step << 20);
            live.push((address, pages, step << 20));
        } else {
            let (address, pages, mark) = live.swap_remove(random.below(live.len() as u64) as usize);
            holds!(space::is_marked(address, pages, mark), step);
            space::unmap(address, pages * PAGE)?;
        }
    }
    holds!(live.iter().all(|(address, pages, mark)| space::is_marked(*address, *pages, *mark)));
    Ok(())
}
