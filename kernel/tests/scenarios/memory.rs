//! Memory: mapping, sharing, protecting, and giving back.

use crate::harness::{ORDINARY, System, Task, no_right};
use portolan_abi::interface::Routine;
use portolan_abi::message::Descriptor;
use portolan_abi::notification::Kind;
use portolan_abi::task::Limits;
use portolan_abi::vm::{self, ANYWHERE_START, Inheritance, MapFlags, USER_END, USER_START};
use portolan_abi::{Disposition, Error, Name, PAGE_SIZE, Protection, Result, memory_object};
use portolan_machine::sim::script::{Action, Outcome};

const PAGE: u64 = PAGE_SIZE as u64;
/// Where these tests map things.
const HERE: u64 = 0x5000_0000;
const COPY: u32 = Inheritance::Copy as u32;
const ALL: u32 = Protection::all().bits();

/// Maps fresh memory at an address.
fn map(task: &Task, address: u64, size: u64) -> Result<u64> {
    map_with(task, address, size, 0, Protection::READ_WRITE, MapFlags::empty(), no_right())
}

fn map_with(
    task: &Task,
    address: u64,
    size: u64,
    offset: u64,
    protection: Protection,
    flags: MapFlags,
    object: Descriptor,
) -> Result<u64> {
    let own = task.task_self();
    let reply = vm::vm_map(&**task, own, address, size, offset, protection.bits(), ALL, COPY, flags.bits(), object);
    reply.map(|reply| reply.results.address)
}

/// Maps a memory object, from its start.
fn map_object(task: &Task, object: Name, size: u64, protection: Protection) -> Result<u64> {
    map_with(task, HERE, size, 0, protection, MapFlags::empty(), copy(object))
}

fn copy(name: Name) -> Descriptor {
    Descriptor::port(name, Disposition::CopySend as u8)
}

fn unmap(task: &Task, address: u64, size: u64) -> Result<()> {
    vm::vm_deallocate(&**task, task.task_self(), address, size).map(|_| ())
}

fn protect(task: &Task, address: u64, size: u64, protection: Protection) -> Result<()> {
    vm::vm_protect(&**task, task.task_self(), address, size, protection.bits(), 0).map(|_| ())
}

fn object(task: &Task, size: u64) -> Name {
    create_object(task, size).expect("a memory object")
}

fn create_object(task: &Task, size: u64) -> Result<Name> {
    vm::memory_object_create(&**task, task.task_self(), size).map(|reply| reply.rights[0])
}

/// Whether the task dies of this.
fn kills(system: &System, task: &Task, action: Action) -> bool {
    let done = task.perform(vec![action]);
    let dead = system.first().port_type(task.kernel_port()).expect("its name").dead == 1;
    assert_eq!(dead, done.waits());
    dead
}

fn read(address: u64) -> Action {
    Action::Load { address, size: 1 }
}

fn write(address: u64) -> Action {
    Action::Store { address, bytes: vec![1] }
}

#[test]
fn fresh_memory_is_zero_and_keeps_what_is_written() {
    let system = System::boot();
    let task = system.task("task");
    assert_eq!(map(&task, HERE, 3 * PAGE), Ok(HERE));
    assert!(task.load(HERE, 3 * PAGE_SIZE).iter().all(|byte| *byte == 0));
    let edge = HERE + PAGE - 2;
    task.store(edge, b"across").done();
    assert_eq!(task.load(edge, 6), b"across");
}

#[test]
fn a_page_comes_when_it_is_touched() {
    let system = System::boot();
    let task = system.task("task");
    task.load(crate::harness::MEMORY, 1);
    map(&task, HERE, 64 * PAGE).expect("a mapping");
    let before = task.info().used.frames;
    task.load(HERE + 5 * PAGE, 1);
    let tables = task.info().used.frames - before - 1;
    assert!(tables <= 3, "{tables} tables for one page");
    task.load(HERE + 6 * PAGE, 1);
    assert_eq!(task.info().used.frames, before + tables + 2);
}

#[test]
fn memory_that_was_used_by_another_comes_back_as_zeros() {
    let system = System::boot_on(700);
    let secret = vec![0x5e; PAGE_SIZE];
    for _ in 0..12 {
        let task = system.task_with("task", Limits { frames: 300, ..ORDINARY }).expect("a task");
        map(&task, HERE, 100 * PAGE).expect("a mapping");
        for page in 0..100 {
            assert!(task.load(HERE + page * PAGE, PAGE_SIZE).iter().all(|byte| *byte == 0));
            task.store(HERE + page * PAGE, &secret).done();
        }
        system.end_tasks();
    }
}

#[test]
fn anywhere_finds_a_free_range() {
    let system = System::boot();
    let task = system.task("task");
    let anywhere = |size| {
        map_with(&task, 0x1234, size, 0, Protection::READ_WRITE, MapFlags::ANYWHERE, no_right()).expect("a range")
    };
    let ranges = [PAGE, 10 * PAGE, 1, PAGE + 1].map(|size| (anywhere(size), size.next_multiple_of(PAGE)));
    for (number, (start, size)) in ranges.iter().enumerate() {
        assert!(*start >= ANYWHERE_START && start % PAGE == 0);
        for (other, other_size) in &ranges[..number] {
            assert!(start + size <= *other || other + other_size <= *start, "ranges overlap");
        }
        task.store(*start, b"ours").done();
    }
}

#[test]
fn a_range_in_use_is_refused() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, 4 * PAGE).expect("a mapping");
    for (address, size) in [(HERE, PAGE), (HERE + 3 * PAGE, PAGE), (HERE - PAGE, 2 * PAGE), (HERE - PAGE, 9 * PAGE)] {
        assert_eq!(map(&task, address, size), Err(Error::NoSpace), "{address:#x}");
    }
    assert_eq!(map(&task, HERE - PAGE, PAGE), Ok(HERE - PAGE));
    assert_eq!(map(&task, HERE + 4 * PAGE, PAGE), Ok(HERE + 4 * PAGE));
}

#[test]
fn the_ends_of_user_memory_can_be_mapped_and_no_more() {
    let system = System::boot();
    let task = system.task("task");
    assert_eq!(map(&task, USER_START, PAGE), Ok(USER_START));
    assert_eq!(map(&task, USER_END - PAGE, PAGE), Ok(USER_END - PAGE));
    task.store(USER_END - 1, b"!").done();
    for (address, size) in [
        (0, PAGE),
        (0, 2 * PAGE),
        (USER_END, PAGE),
        (USER_END - PAGE, 2 * PAGE),
        (1 << 47, PAGE),
        (u64::MAX << 47, PAGE),
        (u64::MAX - PAGE + 1, PAGE),
        (HERE, u64::MAX - HERE),
        (HERE, u64::MAX - PAGE + 1),
        (HERE, USER_END),
    ] {
        let result = map(&task, address, size);
        assert!(
            matches!(result, Err(Error::InvalidAddress | Error::InvalidArgument)),
            "{address:#x} {size:#x} {result:?}"
        );
    }
}

#[test]
fn meaningless_arguments_of_a_mapping_are_refused() {
    let system = System::boot();
    let task = system.task("task");
    let regions = task.info().regions;
    let raw = |address, size, offset, protection, flags| {
        let reply =
            vm::vm_map(&*task, task.task_self(), address, size, offset, protection, ALL, COPY, flags, no_right());
        reply.map(|_| ())
    };
    let rw = Protection::READ_WRITE.bits();
    assert_eq!(raw(HERE, 0, 0, rw, 0), Err(Error::InvalidArgument));
    assert_eq!(raw(HERE + 1, PAGE, 0, rw, 0), Err(Error::InvalidArgument));
    assert_eq!(raw(HERE, PAGE, 1, rw, 0), Err(Error::InvalidArgument));
    assert_eq!(raw(HERE, PAGE, 0, 8, 0), Err(Error::InvalidArgument));
    assert_eq!(raw(HERE, PAGE, 0, rw, 8), Err(Error::InvalidArgument));
    let write_execute = (Protection::WRITE | Protection::EXECUTE).bits();
    assert_eq!(raw(HERE, PAGE, 0, write_execute, 0), Err(Error::InvalidArgument));
    assert_eq!(raw(HERE, PAGE, 0, rw | write_execute, 0), Err(Error::InvalidArgument));
    assert_eq!(task.info().regions, regions);
}

#[test]
fn two_tasks_that_map_an_object_see_each_others_bytes() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let shared = object(&one, 2 * PAGE);
    let theirs = one.give(&other, shared, Disposition::CopySend);
    map_object(&one, shared, 2 * PAGE, Protection::READ_WRITE).expect("a mapping");
    map_object(&other, theirs, 2 * PAGE, Protection::READ_WRITE).expect("a mapping");
    one.store(HERE + PAGE - 3, b"hello").done();
    assert_eq!(other.load(HERE + PAGE - 3, 5), b"hello");
    other.store(HERE, b"back").done();
    assert_eq!(one.load(HERE, 4), b"back");
}

#[test]
fn a_mapping_may_begin_inside_the_object() {
    let system = System::boot();
    let task = system.task("task");
    let shared = object(&task, 3 * PAGE);
    let part = |address, size, offset| {
        map_with(&task, address, size, offset, Protection::READ_WRITE, MapFlags::empty(), copy(shared))
    };
    part(HERE, 3 * PAGE, 0).expect("all of it");
    part(HERE + 8 * PAGE, PAGE, 2 * PAGE).expect("its last page");
    task.store(HERE + 2 * PAGE, b"end").done();
    assert_eq!(task.load(HERE + 8 * PAGE, 3), b"end");
    for (size, offset) in
        [(PAGE, 3 * PAGE), (2 * PAGE, 2 * PAGE), (4 * PAGE, 0), (PAGE, u64::MAX - PAGE + 1), (PAGE, 1 << 63)]
    {
        assert_eq!(part(HERE + 16 * PAGE, size, offset), Err(Error::InvalidArgument), "{size:#x} from {offset:#x}");
    }
}

#[test]
fn a_derived_right_allows_no_more_than_it_says() {
    let system = System::boot();
    let (owner, reader) = (system.task("owner"), system.task("reader"));
    let shared = object(&owner, PAGE);
    let derive = |from, protection: Protection| {
        memory_object::derive(&*owner, from, protection.bits(), 0).map(|reply| reply.rights[0])
    };
    let read_only = derive(shared, Protection::READ).expect("a lesser right");
    assert_eq!(derive(read_only, Protection::READ_WRITE), Err(Error::ProtectionFailure));
    assert_eq!(derive(shared, Protection::empty()), Err(Error::InvalidArgument));
    assert_eq!(memory_object::derive(&*owner, shared, 8, 0).map(|_| ()), Err(Error::InvalidArgument));
    let theirs = owner.give(&reader, read_only, Disposition::MoveSend);
    assert_eq!(map_object(&reader, theirs, PAGE, Protection::READ_WRITE), Err(Error::ProtectionFailure));
    assert_eq!(map_object(&reader, theirs, PAGE, Protection::READ_EXECUTE), Err(Error::ProtectionFailure));
    map_object(&reader, theirs, PAGE, Protection::READ).expect("reading is allowed");
    assert_eq!(protect(&reader, HERE, PAGE, Protection::READ_WRITE), Err(Error::ProtectionFailure));
    map_object(&owner, shared, PAGE, Protection::READ_WRITE).expect("a mapping");
    owner.store(HERE, b"seen").done();
    assert_eq!(reader.load(HERE, 4), b"seen");
    assert!(kills(&system, &reader, write(HERE)));
}

#[test]
fn an_object_tells_its_size_pages_mappings_and_what_the_right_allows() {
    let system = System::boot();
    let task = system.task("task");
    let shared = object(&task, PAGE + 1);
    let info = || memory_object::info(&*task, shared).expect("its information").results.info;
    assert_eq!((info().size, info().resident, info().mappings), (2 * PAGE, 0, 0));
    assert!(info().protection & Protection::READ_WRITE.bits() == Protection::READ_WRITE.bits());
    map_object(&task, shared, 2 * PAGE, Protection::READ_WRITE).expect("a mapping");
    task.load(HERE, 1);
    assert_eq!((info().resident, info().mappings), (1, 1));
}

#[test]
fn an_object_lives_while_it_is_mapped_and_its_frames_come_back_after() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let objects = system.statistics().memory_objects;
    let shared = object(&one, 4 * PAGE);
    let theirs = one.give(&other, shared, Disposition::CopySend);
    map_object(&other, theirs, 4 * PAGE, Protection::READ_WRITE).expect("a mapping");
    other.store(HERE, &[7; 4 * PAGE_SIZE]).done();
    one.port_deallocate(shared).expect("ours");
    other.port_deallocate(theirs).expect("theirs");
    assert_eq!(other.load(HERE, 1), [7]);
    assert_eq!(system.statistics().memory_objects, objects + 1);
    let free = system.statistics().free_frames;
    unmap(&other, HERE, 4 * PAGE).expect("the last mapping goes");
    assert_eq!(system.statistics().memory_objects, objects);
    assert_eq!(system.statistics().free_frames, free + 4);
}

#[test]
fn a_right_in_a_message_keeps_an_object_alive() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let shared = object(&one, PAGE);
    map_object(&one, shared, PAGE, Protection::READ_WRITE).expect("a mapping");
    one.store(HERE, b"kept").done();
    let port = other.port(portolan_abi::Capacity::DEFAULT);
    let to = other.give_send(&one, port);
    let message = crate::harness::Message::to(to).right(shared, Disposition::MoveSend);
    one.send(message, crate::harness::WhenFull::Wait).done().expect("a send");
    unmap(&one, HERE, PAGE).expect("ours");
    let (name, _) = other.receive(port).done().expect("the message").right(0);
    map_object(&other, name, PAGE, Protection::READ).expect("a mapping");
    assert_eq!(other.load(HERE, 4), b"kept");
}

#[test]
fn only_a_memory_objects_port_can_be_mapped() {
    let system = System::boot();
    let task = system.task("task");
    let port = task.port(portolan_abi::Capacity::DEFAULT);
    let map = |right| map_with(&task, HERE, PAGE, 0, Protection::READ, MapFlags::empty(), right);
    assert_eq!(map(Descriptor::port(port, Disposition::MakeSend as u8)), Err(Error::InvalidCapability));
    assert_eq!(map(Descriptor::port(port, Disposition::MakeSendOnce as u8)), Err(Error::InvalidCapability));
    assert_eq!(map(copy(task.task_self())), Err(Error::InvalidCapability));
    assert_eq!(task.status(port).send_rights, 0);
    let notice = task.receive_now(port).done().expect("the send-once right is lost");
    assert_eq!(notice.header.id, Kind::SendOnce as u32);
}

#[test]
fn objects_of_no_size_or_too_large_are_refused() {
    let system = System::boot();
    let task = system.task("task");
    for size in [0, memory_object::SIZE_MAX + 1, 1 << 63, u64::MAX] {
        assert_eq!(create_object(&task, size), Err(Error::InvalidArgument), "{size:#x}");
    }
    let free = system.statistics().free_frames;
    let huge = object(&task, memory_object::SIZE_MAX);
    assert_eq!(system.statistics().free_frames, free, "no frame before it is touched");
    assert_eq!(task.port_deallocate(huge), Ok(()));
}

#[test]
fn a_hole_can_be_cut_into_a_mapping() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, 5 * PAGE).expect("a mapping");
    for page in 0..5 {
        task.store(HERE + page * PAGE, &[page as u8 + 1]).done();
    }
    let regions = task.info().regions;
    assert_eq!(unmap(&task, HERE + 2 * PAGE, PAGE), Ok(()));
    assert_eq!(task.info().regions, regions + 1);
    for page in [0, 1, 3, 4] {
        assert_eq!(task.load(HERE + page * PAGE, 1), [page as u8 + 1]);
    }
    assert_eq!(map(&task, HERE + 2 * PAGE, PAGE), Ok(HERE + 2 * PAGE));
    assert_eq!(task.load(HERE + 2 * PAGE, 1), [0], "what was there is gone");
    assert_eq!(unmap(&task, HERE, 5 * PAGE), Ok(()));
    assert_eq!(task.info().regions, regions - 1);
    assert!(kills(&system, &task, read(HERE + 2 * PAGE)));
}

#[test]
fn unmapping_passes_over_what_is_not_mapped() {
    let system = System::boot();
    let task = system.task("task");
    assert_eq!(unmap(&task, HERE, 100 * PAGE), Ok(()));
    map(&task, HERE + 3 * PAGE, PAGE).expect("a mapping");
    map(&task, HERE + 7 * PAGE, PAGE).expect("a mapping");
    let regions = task.info().regions;
    assert_eq!(unmap(&task, HERE, 100 * PAGE), Ok(()));
    assert_eq!(task.info().regions, regions - 2);
    assert_eq!(unmap(&task, HERE, 0), Err(Error::InvalidArgument));
    assert_eq!(unmap(&task, HERE + 1, PAGE), Err(Error::InvalidArgument));
    assert_eq!(unmap(&task, USER_END, PAGE), Err(Error::InvalidAddress));
    assert_eq!(unmap(&task, HERE, u64::MAX - HERE), Err(Error::InvalidAddress));
}

#[test]
fn protection_can_be_taken_away_and_given_back() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, 3 * PAGE).expect("a mapping");
    task.store(HERE + PAGE, b"kept").done();
    assert_eq!(protect(&task, HERE + PAGE, PAGE, Protection::READ), Ok(()));
    assert_eq!(task.load(HERE + PAGE, 4), b"kept");
    task.store(HERE, b"free").done();
    task.store(HERE + 2 * PAGE, b"free").done();
    assert_eq!(protect(&task, HERE + PAGE, PAGE, Protection::READ_WRITE), Ok(()));
    task.store(HERE + PAGE, b"more").done();
    assert_eq!(task.load(HERE + PAGE, 4), b"more");
    protect(&task, HERE, 3 * PAGE, Protection::READ).expect("all of it");
    assert!(kills(&system, &task, write(HERE + PAGE)));
}

#[test]
fn a_protection_must_make_sense_and_all_of_the_range_be_mapped() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, 2 * PAGE).expect("a mapping");
    let write_execute = Protection::WRITE | Protection::EXECUTE;
    assert_eq!(protect(&task, HERE, PAGE, write_execute), Err(Error::InvalidArgument));
    assert_eq!(protect(&task, HERE, 0, Protection::READ), Err(Error::InvalidArgument));
    assert_eq!(protect(&task, HERE + 8, PAGE, Protection::READ), Err(Error::InvalidArgument));
    assert_eq!(protect(&task, HERE, 3 * PAGE, Protection::READ), Err(Error::InvalidAddress));
    assert_eq!(protect(&task, HERE - PAGE, 2 * PAGE, Protection::READ), Err(Error::InvalidAddress));
    task.store(HERE + PAGE, b"still writable").done();
}

#[test]
fn data_is_not_executed_and_code_is_not_written() {
    let system = System::boot();
    let (one, two, three) = (system.task("one"), system.task("two"), system.task("three"));
    for task in [&one, &two, &three] {
        map(task, HERE, PAGE).expect("a mapping");
        task.store(HERE, b"code").done();
    }
    assert!(kills(&system, &one, Action::Execute { address: HERE }));
    protect(&two, HERE, PAGE, Protection::READ_EXECUTE).expect("code");
    assert_eq!(two.perform(vec![Action::Execute { address: HERE }]).done(), Outcome::Done);
    assert!(kills(&system, &two, write(HERE)));
    // What was executable is not once it is writable again.
    protect(&three, HERE, PAGE, Protection::READ_EXECUTE).expect("code");
    three.perform(vec![Action::Execute { address: HERE }]).done();
    protect(&three, HERE, PAGE, Protection::READ_WRITE).expect("data");
    assert!(kills(&system, &three, Action::Execute { address: HERE }));
}

#[test]
fn unmapped_memory_cannot_be_touched_even_if_it_was_just_used() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, PAGE).expect("a mapping");
    task.store(HERE, b"warm").done();
    task.load(HERE, 4);
    unmap(&task, HERE, PAGE).expect("the end of it");
    assert!(kills(&system, &task, write(HERE)));
}

#[test]
fn frames_come_back_when_memory_is_unmapped() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, 50 * PAGE).expect("a mapping");
    (0..50).for_each(|page| drop(task.load(HERE + page * PAGE, 1)));
    let (free, used) = (system.statistics().free_frames, task.info().used.frames);
    unmap(&task, HERE + 10 * PAGE, 30 * PAGE).expect("most of it");
    unmap(&task, HERE, 50 * PAGE).expect("the rest");
    assert_eq!(system.statistics().free_frames, free + 50);
    assert_eq!(task.info().used.frames, used - 50);
}

#[test]
fn another_task_can_be_given_memory_through_its_kernel_port() {
    let system = System::boot();
    let (parent, first) = (system.task("parent"), system.first());
    let shared = object(&parent, PAGE);
    map_object(&parent, shared, PAGE, Protection::READ_WRITE).expect("a mapping");
    parent.store(HERE, b"inherited").done();
    let child = system.task("child");
    let object = parent.give(first, shared, Disposition::CopySend);
    let (protection, flags) = (Protection::READ.bits(), MapFlags::empty().bits());
    vm::vm_map(&**first, child.kernel_port(), HERE, PAGE, 0, protection, protection, COPY, flags, copy(object))
        .expect("a mapping");
    first.port_deallocate(object).expect("ours");
    assert_eq!(child.load(HERE, 9), b"inherited");
}

#[test]
fn a_protection_of_nothing_allows_nothing_until_it_is_changed() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, 2 * PAGE).expect("a mapping");
    task.store(HERE, b"kept").done();
    protect(&task, HERE, PAGE, Protection::empty()).expect("a guard page");
    task.store(HERE + PAGE, b"beside it").done();
    protect(&task, HERE, PAGE, Protection::READ).expect("readable again");
    assert_eq!(task.load(HERE, 4), b"kept");
    protect(&task, HERE, PAGE, Protection::empty()).expect("a guard page");
    assert!(kills(&system, &task, read(HERE)));
}

#[test]
fn anywhere_uses_gaps_and_knows_when_there_is_none() {
    let system = System::boot();
    let task = system.task("task");
    let anywhere = |size| map_with(&task, 0, size, 0, Protection::READ, MapFlags::ANYWHERE, no_right());
    let first = [(); 3].map(|()| anywhere(PAGE).expect("a range"));
    unmap(&task, first[1], PAGE).expect("a gap");
    assert_eq!(anywhere(2 * PAGE), Ok(first[2] + PAGE));
    assert_eq!(anywhere(PAGE), Ok(first[1]));
    assert_eq!(anywhere(1 << 40).map(|_| ()), Ok(()));
    for size in [(1 << 40) + 1, 1 << 47, u64::MAX] {
        let refused = anywhere(size);
        assert!(matches!(refused, Err(Error::NoSpace | Error::InvalidArgument)), "{size:#x}: {refused:?}");
    }
}

#[test]
fn a_huge_mapping_that_is_hardly_used_is_unmapped_at_once() {
    let system = System::boot();
    let task = system.task("task");
    let size = memory_object::SIZE_MAX;
    let start = map_with(&task, 0, size, 0, Protection::READ_WRITE, MapFlags::ANYWHERE, no_right()).expect("a range");
    let used = task.info().used;
    for page in [0, size / 2, size - PAGE] {
        task.store(start + page, b"here").done();
    }
    protect(&task, start, size, Protection::READ).expect("all of it");
    assert_eq!(task.load(start + size / 2, 4), b"here");
    unmap(&task, start, size).expect("all of it");
    assert!(task.info().used.memory < used.memory);
}

#[test]
fn the_archive_can_be_mapped_and_only_read() {
    let system = System::boot();
    let (first, reader) = (system.first(), system.task("reader"));
    let archive = first.give(&reader, first.archive_port(), Disposition::CopySend);
    let info = memory_object::info(&*reader, archive).expect("its information").results.info;
    assert_eq!(info.protection, Protection::READ.bits());
    assert_eq!(info.resident * PAGE, info.size);
    assert_eq!(map_object(&reader, archive, PAGE, Protection::READ_WRITE), Err(Error::ProtectionFailure));
    map_object(&reader, archive, info.size, Protection::READ).expect("a mapping");
    assert!(reader.load(HERE, 512).starts_with(b"first\0"));
    let free = system.statistics().free_frames;
    unmap(&reader, HERE, info.size).expect("the end of it");
    assert_eq!(system.statistics().free_frames, free, "its frames are not the kernel's to give out");
}

#[test]
fn a_machine_without_memory_refuses_and_recovers() {
    let system = System::boot_on(300);
    let rich = system.task_with("rich", Limits { frames: 10_000, ..ORDINARY }).expect("limits are no promise");
    map(&rich, HERE, 1000 * PAGE).expect("a mapping");
    let mut page = 0;
    while !rich.store(HERE + page * PAGE, b"mine").waits() {
        page += 1;
        assert!(page < 300);
    }
    assert!(page > 100, "{page} pages");
    assert!(system.console().contains("no memory is left"), "{}", system.console());
    let other = system.task("other");
    map(&other, HERE, 100 * PAGE).expect("a mapping");
    (0..100).for_each(|page| drop(other.store(HERE + page * PAGE, b"fine").done()));
}

#[test]
fn a_request_through_the_last_right_to_an_object_is_still_answered() {
    let system = System::boot();
    let task = system.task("task");
    let objects = system.statistics().memory_objects;
    let last = object(&task, PAGE);
    let reply = task.port(portolan_abi::Capacity::DEFAULT);
    let message = crate::harness::Message::by(last, Disposition::MoveSend)
        .reply(reply, Disposition::MakeSendOnce)
        .id(memory_object::Info::ID);
    let answer = task.rpc(message, reply).done().expect("a reply");
    assert_eq!(answer.header.id, memory_object::Info::ID + 100);
    assert_eq!(task.port_type(last), Err(Error::InvalidName));
    assert_eq!(system.statistics().memory_objects, objects);
}

#[test]
fn whoever_may_write_may_read_and_a_right_says_so() {
    let system = System::boot();
    let task = system.task("task");
    map_with(&task, HERE, PAGE, 0, Protection::WRITE, MapFlags::empty(), no_right()).expect("a mapping");
    task.store(HERE, b"read").done();
    assert_eq!(task.load(HERE, 4), b"read");
    let shared = object(&task, PAGE);
    let writer = memory_object::derive(&*task, shared, Protection::WRITE.bits(), 0).expect("a right").rights[0];
    let info = memory_object::info(&*task, writer).expect("its information").results.info;
    assert_eq!(info.protection, Protection::READ_WRITE.bits());
    let reader = memory_object::derive(&*task, shared, Protection::READ.bits(), 0).expect("a right").rights[0];
    let more = memory_object::derive(&*task, reader, Protection::EXECUTE.bits(), 0).map(|_| ());
    assert_eq!(more, Err(Error::ProtectionFailure));
}

#[test]
fn an_object_can_be_mapped_twice_and_loses_one_mapping_at_a_time() {
    let system = System::boot();
    let task = system.task("task");
    let shared = object(&task, PAGE);
    let at = |address, protection| map_with(&task, address, PAGE, 0, protection, MapFlags::empty(), copy(shared));
    at(HERE, Protection::READ_WRITE).expect("a mapping");
    at(HERE + 4 * PAGE, Protection::READ).expect("another one");
    task.port_deallocate(shared).expect("the right");
    task.store(HERE, b"both").done();
    assert_eq!(task.load(HERE + 4 * PAGE, 4), b"both");
    unmap(&task, HERE, PAGE).expect("the first");
    assert_eq!(task.load(HERE + 4 * PAGE, 4), b"both");
    assert!(kills(&system, &task, write(HERE + 4 * PAGE)));
}

#[test]
fn a_protection_that_one_region_forbids_changes_none() {
    let system = System::boot();
    let task = system.task("task");
    let shared = object(&task, PAGE);
    let read_only = memory_object::derive(&*task, shared, Protection::READ.bits(), 0).expect("a right").rights[0];
    map(&task, HERE, PAGE).expect("a mapping");
    map_with(&task, HERE + PAGE, PAGE, 0, Protection::READ, MapFlags::empty(), copy(read_only)).expect("a mapping");
    protect(&task, HERE, PAGE, Protection::READ).expect("less");
    let regions = task.info().regions;
    assert_eq!(protect(&task, HERE, 2 * PAGE, Protection::READ_WRITE), Err(Error::ProtectionFailure));
    assert_eq!(task.info().regions, regions);
    assert!(kills(&system, &task, write(HERE)));
}

#[test]
fn an_object_outlives_its_maker_and_is_still_filled_and_given_back() {
    let system = System::boot();
    let (maker, user) = (system.task("maker"), system.task("user"));
    let accounts = system.statistics().accounts;
    let shared = object(&maker, 8 * PAGE);
    let theirs = maker.give(&user, shared, Disposition::MoveSend);
    map_object(&user, theirs, 8 * PAGE, Protection::READ_WRITE).expect("a mapping");
    user.store(HERE, b"early").done();
    maker.terminate();
    user.store(HERE + 5 * PAGE, b"late").done();
    assert_eq!((user.load(HERE, 5), user.load(HERE + 5 * PAGE, 4)), (b"early".to_vec(), b"late".to_vec()));
    assert_eq!(system.statistics().accounts, accounts, "its account stays open");
    unmap(&user, HERE, 8 * PAGE).expect("the mapping");
    user.port_deallocate(theirs).expect("the right");
    assert_eq!(system.statistics().accounts, accounts - 1);
}
