//! Copies of memory: within a task, of an object, and for a child. Nothing that is
//! written after shows on the other side, and no bytes move before that.

use crate::harness::{MEMORY, Message, ORDINARY, System, Task, Thread, WhenFull, no_right};
use portolan_abi::interface::{Region, Reply, Routine};
use portolan_abi::message::Descriptor;
use portolan_abi::task::{self as routine, CreateFlags, Limits};
use portolan_abi::vm::{self, INLINE_MAX, Inheritance, MapFlags, RegionInfo, Statistics};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result};
use zerocopy::IntoBytes;

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;
const THERE: u64 = 0x6000_0000;
/// Pages of the memory that tests send and receive in.
const BUFFERS: u64 = 1024;
const ALL: u32 = Protection::all().bits();
const READ_WRITE: u32 = Protection::READ_WRITE.bits();
const COPY: u32 = Inheritance::Copy as u32;

fn map(task: &Task, address: u64, pages: u64) {
    vm::vm_map(&**task, task.task_self(), address, pages * PAGE, 0, READ_WRITE, ALL, COPY, 0, no_right())
        .expect("a mapping");
}

fn map_object(task: &Task, object: Name, address: u64, pages: u64, flags: MapFlags) -> Result<()> {
    let right = Descriptor::port(object, Disposition::CopySend as u8);
    let own = task.task_self();
    let mapped =
        vm::vm_map(&**task, own, address, pages * PAGE, 0, Protection::READ.bits(), ALL, COPY, flags.bits(), right);
    mapped.map(|_| ())
}

/// Maps pages of which each begins with its number and a mark.
fn map_marked(task: &Task, address: u64, pages: u64, mark: u8) {
    map(task, address, pages);
    (0..pages).for_each(|page| drop(task.store(address + page * PAGE, &[page as u8, mark]).done()));
}

fn is_marked(task: &Task, address: u64, pages: u64, mark: u8) -> bool {
    (0..pages).all(|page| task.load(address + page * PAGE, 2) == [page as u8, mark])
}

fn copy(task: &Task, source: u64, size: u64, target: u64) -> Result<()> {
    vm::vm_copy(&**task, task.task_self(), source, size, target).map(|_| ())
}

fn protect(task: &Task, address: u64, pages: u64, protection: Protection, set_maximum: u32) -> Result<()> {
    let own = task.task_self();
    vm::vm_protect(&**task, own, address, pages * PAGE, protection.bits(), set_maximum).map(|_| ())
}

fn unmap(task: &Task, address: u64, pages: u64) {
    vm::vm_deallocate(&**task, task.task_self(), address, pages * PAGE).expect("unmapped");
}

fn inherit(task: &Task, address: u64, pages: u64, inheritance: Inheritance) -> Result<()> {
    vm::vm_inherit(&**task, task.task_self(), address, pages * PAGE, inheritance as u32, 0).map(|_| ())
}

fn region(task: &Task, address: u64) -> Result<RegionInfo> {
    vm::vm_region(&**task, task.task_self(), address).map(|reply| reply.results.info)
}

fn statistics(task: &Task) -> Statistics {
    vm::vm_statistics(&**task, task.task_self()).expect("figures").results.statistics
}

/// How many pages are copied by what is done.
fn copies(task: &Task, work: impl FnOnce()) -> u64 {
    let before = statistics(task).copies;
    work();
    statistics(task).copies - before
}

fn heir_with(by: &Thread, parent: Name, limits: Limits) -> Result<Name> {
    let made = routine::create(by, parent, [b'h'; 32], limits, CreateFlags::INHERIT.bits(), 0, no_right());
    made.map(|reply: Reply<routine::Create>| reply.rights[0])
}

/// A child of the task with inherited memory; the name is the task's.
fn heir(task: &Task) -> Name {
    heir_with(task, task.task_self(), Limits { memory: 300_000, ports: 10, frames: 100 }).expect("a child")
}

fn end(by: &Task, child: Name) {
    routine::terminate(&**by, child).expect("the child's end");
}

fn read(by: &Task, task: Name, address: u64, size: usize) -> Result<Vec<u8>> {
    vm::vm_peek(&**by, task, address, size as u64).map(|reply| reply.results.data[..size].to_vec())
}

fn write(by: &Task, task: Name, address: u64, bytes: &[u8]) -> Result<()> {
    let mut data = [0; INLINE_MAX];
    data[..bytes.len()].copy_from_slice(bytes);
    vm::vm_poke(&**by, task, address, bytes.len() as u64, data).map(|_| ())
}

/// A task whose children can be paid for, and do not inherit its message buffers.
fn parent(system: &System) -> Task {
    let task = system.task_with("parent", Limits { memory: 2_000_000, ports: 100, frames: 600 }).expect("a task");
    inherit(&task, MEMORY, BUFFERS, Inheritance::None).expect("buffers of its own");
    task
}

#[test]
fn a_copy_within_a_task_moves_no_bytes_until_one_side_is_written() {
    let system = System::boot();
    let task = system.task("task");
    map_marked(&task, HERE, 8, 7);
    map_marked(&task, THERE, 8, 9);
    assert_eq!(copies(&task, || assert_eq!(copy(&task, HERE, 8 * PAGE, THERE), Ok(()))), 0);
    assert_eq!(copies(&task, || assert!(is_marked(&task, THERE, 8, 7) && is_marked(&task, HERE, 8, 7))), 0);
    let written = copies(&task, || {
        task.store(HERE, b"source").done();
        task.store(THERE + PAGE, b"target").done();
        task.store(HERE, b"again").done();
    });
    assert_eq!(written, 2, "one page for each first write");
    assert_eq!((task.load(HERE, 2), task.load(THERE, 2)), (b"ag".to_vec(), vec![0, 7]));
    assert_eq!((task.load(HERE + PAGE, 2), task.load(THERE + PAGE, 2)), (vec![1, 7], b"ta".to_vec()));
}

#[test]
fn a_copy_of_a_copy_is_as_far_from_both() {
    let system = System::boot();
    let task = system.task("task");
    let places = [HERE, HERE + 16 * PAGE, HERE + 32 * PAGE, HERE + 48 * PAGE];
    map_marked(&task, places[0], 4, 1);
    places[1..].iter().for_each(|place| map(&task, *place, 4));
    for pair in places.windows(2) {
        assert_eq!(copy(&task, pair[0], 4 * PAGE, pair[1]), Ok(()));
    }
    for (number, place) in places.iter().enumerate() {
        task.store(*place, &[100 + number as u8]).done();
    }
    for (number, place) in places.iter().enumerate() {
        assert_eq!(task.load(*place, 2), [100 + number as u8, 1]);
        assert_eq!(task.load(*place + PAGE, 2), [1, 1]);
    }
    unmap(&task, places[1], 4);
    unmap(&task, places[0], 4);
    assert_eq!((task.load(places[2] + PAGE, 2), task.load(places[3] + 3 * PAGE, 2)), (vec![1, 1], vec![3, 1]));
    unmap(&task, places[2], 4);
    assert_eq!(copies(&task, || drop(task.store(places[3] + PAGE, b"mine").done())), 0, "nobody else has it now");
}

#[test]
fn bytes_are_copied_at_any_alignment_and_none_around_them() {
    let system = System::boot();
    let task = system.task("task");
    let sizes = [1, 7, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE + 5];
    for (from, to) in [(0, 0), (0, 3), (5, 0), (5, 5), (PAGE - 1, 1), (1, PAGE - 1)] {
        for size in sizes {
            map(&task, HERE, 6);
            map(&task, THERE, 6);
            let source: Vec<u8> = (0..6 * PAGE).map(|at| (at * 31 % 251) as u8).collect();
            task.store(HERE, &source).done();
            task.store(THERE, &[0xee; 6 * PAGE_SIZE]).done();
            assert_eq!(copy(&task, HERE + from, size, THERE + to), Ok(()));
            let mut expected = vec![0xee; 6 * PAGE_SIZE];
            expected[to as usize..(to + size) as usize].copy_from_slice(&source[from as usize..(from + size) as usize]);
            assert!(task.load(THERE, 6 * PAGE_SIZE) == expected, "{size} bytes from {from} to {to}");
            assert!(task.load(HERE, 6 * PAGE_SIZE) == source);
            unmap(&task, HERE, 6);
            unmap(&task, THERE, 6);
        }
    }
}

#[test]
fn overlapping_ranges_are_copied_as_if_at_one_moment() {
    let system = System::boot();
    let task = system.task("task");
    for (from, to, size) in
        [(0, PAGE, 4 * PAGE), (PAGE, 0, 4 * PAGE), (0, 100, 2 * PAGE), (100, 0, 2 * PAGE), (0, 0, PAGE)]
    {
        map(&task, HERE, 6);
        let mut bytes: Vec<u8> = (0..6 * PAGE).map(|at| (at * 31 % 251) as u8).collect();
        task.store(HERE, &bytes).done();
        assert_eq!(copy(&task, HERE + from, size, HERE + to), Ok(()));
        bytes.copy_within(from as usize..(from + size) as usize, to as usize);
        assert!(task.load(HERE, 6 * PAGE_SIZE) == bytes, "{size} bytes from {from} to {to}");
        unmap(&task, HERE, 6);
    }
}

#[test]
fn pages_that_were_never_touched_are_copied_as_zeros() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, 1 << 18);
    map(&task, THERE + (1 << 32), 1 << 18);
    task.store(HERE + 5 * PAGE, b"five").done();
    task.store(THERE + (1 << 32), b"gone").done();
    let frames = task.info().used.frames;
    assert_eq!(copy(&task, HERE, 1 << 30, THERE + (1 << 32)), Ok(()));
    assert_eq!(task.load(THERE + (1 << 32), 4), [0; 4]);
    assert_eq!(task.load(THERE + (1 << 32) + 5 * PAGE, 4), b"five");
    assert!(task.info().used.frames < frames + 8);
}

#[test]
fn a_copy_needs_a_readable_source_and_a_writable_target_and_changes_nothing_else() {
    let system = System::boot();
    let task = system.task("task");
    map_marked(&task, HERE, 4, 1);
    map_marked(&task, THERE, 4, 2);
    assert_eq!(copy(&task, HERE, 0, THERE), Err(Error::InvalidArgument));
    assert_eq!(copy(&task, HERE, 5 * PAGE, THERE), Err(Error::InvalidAddress));
    assert_eq!(copy(&task, HERE, u64::MAX, THERE), Err(Error::InvalidAddress));
    assert_eq!(copy(&task, HERE, 4 * PAGE, THERE + 1), Err(Error::InvalidAddress));
    assert_eq!(copy(&task, 0, PAGE, THERE), Err(Error::InvalidAddress));
    protect(&task, THERE + 3 * PAGE, 1, Protection::READ, 0).expect("less");
    assert_eq!(copy(&task, HERE, 4 * PAGE, THERE), Err(Error::ProtectionFailure));
    assert_eq!(copy(&task, HERE + 8, 4 * PAGE - 16, THERE + 3), Err(Error::ProtectionFailure));
    protect(&task, HERE + PAGE, 1, Protection::empty(), 0).expect("nothing");
    assert_eq!(copy(&task, HERE, 2 * PAGE, THERE), Err(Error::ProtectionFailure));
    assert!(is_marked(&task, THERE, 4, 2));
}

#[test]
fn a_copy_keeps_protections_and_cuts_of_what_it_is_written_over() {
    let system = System::boot();
    let task = system.task("task");
    map_marked(&task, HERE, 2, 1);
    map_marked(&task, THERE, 4, 2);
    assert_eq!(copy(&task, HERE, 2 * PAGE, THERE + PAGE), Ok(()));
    assert_eq!(protect(&task, THERE, 4, Protection::READ, 0), Ok(()));
    assert_eq!(protect(&task, THERE, 4, Protection::READ_WRITE, 0), Ok(()));
    task.store(THERE + PAGE, b"after").done();
    assert_eq!((task.load(HERE, 2), task.load(THERE + 2 * PAGE, 2)), (vec![0, 1], vec![1, 1]));
    assert_eq!((task.load(THERE, 2), task.load(THERE + 3 * PAGE, 2)), (vec![0, 2], vec![3, 2]));
}

#[test]
fn a_copy_of_an_object_is_a_snapshot_of_it() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let object = vm::memory_object_create(&*one, one.task_self(), 4 * PAGE).expect("an object").rights[0];
    let right = Descriptor::port(object, Disposition::CopySend as u8);
    vm::vm_map(&*one, one.task_self(), HERE, 4 * PAGE, 0, READ_WRITE, ALL, COPY, 0, right).expect("a mapping");
    (0..3).for_each(|page| drop(one.store(HERE + page * PAGE, &[page as u8, 5]).done()));
    let theirs = one.give(&other, object, Disposition::CopySend);
    assert_eq!(map_object(&other, theirs, HERE, 4, MapFlags::COPY), Ok(()));
    assert_eq!(map_object(&other, theirs, THERE, 4, MapFlags::empty()), Ok(()));
    one.store(HERE, b"new").done();
    one.store(HERE + 3 * PAGE, b"new").done();
    assert!(is_marked(&other, HERE, 3, 5));
    assert_eq!((other.load(HERE + 3 * PAGE, 3), other.load(THERE, 3)), (vec![0; 3], b"new".to_vec()));
    protect(&other, HERE, 4, Protection::READ_WRITE, 0).expect("a copy may be written");
    other.store(HERE + PAGE, b"own").done();
    assert_eq!((one.load(HERE + PAGE, 2), other.load(THERE + PAGE, 2)), (vec![1, 5], vec![1, 5]));
    assert_eq!(map_object(&other, theirs, HERE + 64 * PAGE, 5, MapFlags::COPY), Err(Error::InvalidArgument));
}

#[test]
fn a_copy_of_the_boot_archive_moves_no_bytes_and_does_not_change_it() {
    let system = System::boot();
    let first = &system.task("reader");
    let archive = system.first().give(first, system.first().archive_port(), Disposition::CopySend);
    assert_eq!(copies(first, || assert_eq!(map_object(first, archive, HERE, 1, MapFlags::COPY), Ok(()))), 0);
    assert_eq!(map_object(first, archive, THERE, 1, MapFlags::empty()), Ok(()));
    let before = first.load(THERE, 16);
    assert_eq!(first.load(HERE, 16), before);
    protect(first, HERE, 1, Protection::READ_WRITE, 0).expect("a copy may be written");
    assert_eq!(copies(first, || drop(first.store(HERE, b"changed").done())), 1);
    assert_eq!((first.load(HERE, 7), first.load(THERE, 16)), (b"changed".to_vec(), before));
}

#[test]
fn a_child_inherits_as_each_region_says() {
    let system = System::boot();
    let task = parent(&system);
    for (number, inheritance) in [Inheritance::Copy, Inheritance::Share, Inheritance::None].into_iter().enumerate() {
        let address = HERE + number as u64 * 16 * PAGE;
        map_marked(&task, address, 3, number as u8);
        assert_eq!(inherit(&task, address, 3, inheritance), Ok(()));
    }
    let (copied, shared, kept) = (HERE, HERE + 16 * PAGE, HERE + 32 * PAGE);
    let child = heir(&task);
    assert_eq!(read(&task, child, copied, 2), Ok(vec![0, 0]));
    assert_eq!(read(&task, child, kept, 2), Err(Error::InvalidAddress));
    task.store(copied, b"parent").done();
    task.store(shared, b"parent").done();
    assert_eq!(read(&task, child, copied, 2), Ok(vec![0, 0]));
    assert_eq!(read(&task, child, shared, 6), Ok(b"parent".to_vec()));
    assert_eq!(write(&task, child, copied + PAGE, b"child"), Ok(()));
    assert_eq!(write(&task, child, shared + PAGE, b"child"), Ok(()));
    assert_eq!(task.load(copied + PAGE, 2), [1, 0]);
    assert_eq!(task.load(shared + PAGE, 5), b"child");
    assert_eq!(task.load(kept, 2), [0, 2]);
    end(&task, child);
}

#[test]
fn a_fork_moves_no_bytes_and_each_side_keeps_its_own_whoever_ends_first() {
    for parent_first in [true, false] {
        let system = System::boot();
        let task = parent(&system);
        map_marked(&task, HERE, 20, 3);
        let mut child = Name::NULL;
        assert_eq!(copies(&task, || child = heir(&task)), 0);
        task.store(HERE, b"parent").done();
        write(&task, child, HERE + PAGE, b"child").expect("written");
        // The child, and its child, through the first task, which stays.
        let kept = task.give(system.first(), child, Disposition::CopySend);
        let limits = Limits { memory: 100_000, ports: 4, frames: 50 };
        let grandchild = heir_with(system.first(), kept, limits).expect("a grandchild");
        if parent_first {
            task.terminate();
            let first = system.first();
            assert_eq!(read(first, kept, HERE, 2), Ok(vec![0, 3]));
            assert_eq!(copies(first, || assert_eq!(write(first, kept, HERE + 5 * PAGE, b"one"), Ok(()))), 1);
            assert_eq!(read(first, kept, HERE + PAGE, 5), Ok(b"child".to_vec()));
            end(first, kept);
        } else {
            end(system.first(), kept);
            assert_eq!((task.load(HERE, 6), task.load(HERE + PAGE, 2)), (b"parent".to_vec(), vec![1, 3]));
            assert_eq!(copies(&task, || drop(task.store(HERE + 5 * PAGE, b"one").done())), 1);
        }
        let first = system.first();
        assert_eq!(read(first, grandchild, HERE, 2), Ok(vec![0, 3]));
        assert_eq!(read(first, grandchild, HERE + PAGE, 5), Ok(b"child".to_vec()));
        assert_eq!(read(first, grandchild, HERE + 5 * PAGE, 2), Ok(vec![5, 3]));
        end(first, grandchild);
        first.port_deallocate(grandchild).expect("the name");
        first.port_deallocate(kept).expect("the name");
    }
}

#[test]
fn memory_that_was_copied_can_be_inherited_as_shared_afterwards() {
    let system = System::boot();
    let task = parent(&system);
    map_marked(&task, HERE, 4, 1);
    map(&task, THERE, 4);
    copy(&task, HERE, 4 * PAGE, THERE).expect("a copy");
    // Pages that are shared by both copies must not be by the two tasks.
    inherit(&task, THERE, 4, Inheritance::Share).expect("to be shared");
    let child = heir(&task);
    task.store(HERE, b"source").done();
    assert_eq!(task.load(THERE, 2), [0, 1]);
    task.store(THERE + PAGE, b"shared").done();
    assert_eq!(read(&task, child, THERE + PAGE, 6), Ok(b"shared".to_vec()));
    assert_eq!(task.load(HERE + PAGE, 2), [1, 1]);
    // And a snapshot of what is shared now is one.
    copy(&task, THERE, 4 * PAGE, HERE).expect("a copy");
    write(&task, child, THERE + 2 * PAGE, b"late").expect("written");
    assert_eq!((task.load(HERE + 2 * PAGE, 2), task.load(THERE + 2 * PAGE, 4)), (vec![2, 1], b"late".to_vec()));
    end(&task, child);
}

#[test]
fn a_message_into_a_copied_page_changes_only_the_receivers() {
    let system = System::boot();
    let task = parent(&system);
    inherit(&task, MEMORY, BUFFERS, Inheritance::Copy).expect("to be copied");
    let child = heir(&task);
    // The task's message buffers have been inherited; what it receives now is its alone.
    let (_, buffer) = task.buffers();
    let before = read(&task, child, buffer, 64).expect("read");
    let port = task.port(portolan_abi::Capacity::Unbounded);
    let message = crate::harness::Message::by(port, Disposition::MakeSend).text([0xab; 40]);
    task.send(message, crate::harness::WhenFull::Wait).done().expect("a send");
    task.receive(port).done().expect("the message");
    assert_eq!(task.load(buffer + 24, 40), [0xab; 40]);
    assert_eq!(read(&task, child, buffer, 64).expect("read"), before);
    end(&task, child);
}

#[test]
fn a_child_that_cannot_pay_is_not_made_and_nothing_is_lost() {
    let system = System::boot();
    let task = parent(&system);
    map_marked(&task, HERE, 60, 1);
    let before = task.info();
    for frames in [0, 1, 20, 59] {
        let limits = Limits { memory: 300_000, ports: 10, frames };
        assert_eq!(heir_with(&task, task.task_self(), limits), Err(Error::ResourceShortage), "{frames} frames");
    }
    for memory in [0, 1_000, 3_000] {
        let limits = Limits { memory, ports: 10, frames: 150 };
        assert_eq!(heir_with(&task, task.task_self(), limits), Err(Error::ResourceShortage), "{memory} bytes");
    }
    assert_eq!(task.info(), before);
    assert_eq!(copies(&task, || drop(task.store(HERE, b"mine").done())), 0);
}

#[test]
fn who_holds_a_copy_has_paid_for_all_of_its_pages() {
    let system = System::boot();
    let task = parent(&system);
    map_marked(&task, HERE, 30, 1);
    map(&task, THERE, 30);
    let before = task.info().used.frames;
    copy(&task, HERE, 30 * PAGE, THERE).expect("a copy");
    let copied = task.info().used.frames;
    assert_eq!(copied, before + 30);
    (0..30).for_each(|page| drop(task.store(THERE + page * PAGE, b"written").done()));
    assert!(task.info().used.frames <= copied + 3, "page tables only");
    unmap(&task, THERE, 30);
    assert!(task.info().used.frames <= before + 3);
}

#[test]
fn unmapping_a_part_gives_its_frames_back_at_once() {
    let system = System::boot();
    let task = system.task("task");
    map_marked(&task, HERE, 30, 1);
    let (free, used) = (system.statistics().free_frames, task.info().used.frames);
    unmap(&task, HERE + 10 * PAGE, 10);
    assert_eq!(system.statistics().free_frames, free + 10);
    assert_eq!(task.info().used.frames, used - 10);
    assert!(is_marked(&task, HERE, 10, 1));
    map(&task, HERE + 10 * PAGE, 10);
    assert_eq!(task.load(HERE + 12 * PAGE, 2), [0, 0]);
}

#[test]
fn a_maximum_can_be_lowered_and_never_raised() {
    let system = System::boot();
    let task = system.task("task");
    map_marked(&task, HERE, 3, 1);
    assert_eq!(protect(&task, HERE + PAGE, 1, Protection::READ, 1), Ok(()));
    assert_eq!(region(&task, HERE + PAGE).map(|info| (info.protection, info.maximum)), Ok((1, 1)));
    assert_eq!(protect(&task, HERE, 3, Protection::READ_WRITE, 0), Err(Error::ProtectionFailure));
    assert_eq!(protect(&task, HERE + PAGE, 1, Protection::READ_WRITE, 1), Err(Error::ProtectionFailure));
    assert_eq!(protect(&task, HERE, 1, Protection::all(), 1), Ok(()));
    assert_eq!(protect(&task, HERE, 1, Protection::READ, 2), Err(Error::InvalidArgument));
    assert_eq!(write(&task, task.task_self(), HERE + PAGE, b"no"), Err(Error::ProtectionFailure));
    assert_eq!(task.load(HERE + PAGE, 2), [1, 1]);
    task.store(HERE, b"yes").done();
}

#[test]
fn regions_are_told_in_order() {
    let system = System::boot();
    let task = system.task("task");
    map(&task, HERE, 3);
    map(&task, HERE + 8 * PAGE, 2);
    inherit(&task, HERE + PAGE, 1, Inheritance::None).expect("a cut");
    assert_eq!(inherit(&task, HERE, 4, Inheritance::None), Err(Error::InvalidAddress));
    let own = task.task_self();
    assert_eq!(vm::vm_inherit(&*task, own, HERE, PAGE, 3, 0).map(|_| ()), Err(Error::InvalidArgument));
    let mut found = Vec::new();
    let mut next = HERE;
    while let Ok(info) = region(&task, next) {
        if info.address >= HERE + 16 * PAGE {
            break;
        }
        found.push(((info.address - HERE) / PAGE, info.size / PAGE, info.inheritance, info.object_size / PAGE));
        assert_eq!((info.protection, info.maximum, info.shared), (READ_WRITE, ALL, 0));
        next = info.address + info.size;
    }
    assert_eq!(found, [(0, 1, 1, 3), (1, 1, 2, 3), (2, 1, 1, 3), (8, 2, 1, 2)]);
    assert_eq!(region(&task, 1 << 62), Err(Error::InvalidAddress));
    assert_eq!(statistics(&task).regions, u64::from(task.info().regions));
}

#[test]
fn memory_of_another_task_is_read_and_written_through_its_port() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let own = other.task_self();
    let door = other.give(&one, own, Disposition::CopySend);
    map(&other, HERE, 2);
    let edge = HERE + PAGE - 3;
    assert_eq!(write(&one, door, edge, b"across"), Ok(()));
    assert_eq!((other.load(edge, 6), read(&one, door, edge, 6)), (b"across".to_vec(), Ok(b"across".to_vec())));
    assert_eq!(read(&one, door, HERE + PAGE, INLINE_MAX).map(|data| data.len()), Ok(INLINE_MAX));
    assert_eq!(vm::vm_peek(&*one, door, HERE, INLINE_MAX as u64 + 1).map(|_| ()), Err(Error::InvalidArgument));
    assert_eq!(vm::vm_peek(&*one, door, HERE, u64::MAX).map(|_| ()), Err(Error::InvalidArgument));
    assert_eq!(read(&one, door, HERE + 2 * PAGE - 4, 8), Err(Error::InvalidAddress));
    assert_eq!(read(&one, door, 1 << 63, 8), Err(Error::InvalidAddress));
    assert_eq!(write(&one, door, HERE + 2 * PAGE - 4, b"too long"), Err(Error::InvalidAddress));
    assert_eq!(other.load(HERE + 2 * PAGE - 4, 4), [0; 4], "all or nothing");
    assert_eq!(read(&one, door, HERE, 0), Err(Error::InvalidArgument));
}

#[test]
fn memory_of_another_task_is_read_and_written_in_any_size_out_of_line() {
    let system = System::boot();
    let (one, two) = (parent(&system), parent(&system));
    let door = two.give(&one, two.task_self(), Disposition::CopySend);
    map_marked(&two, HERE, 100, 7);
    let mut region = Region::default();
    let moved = copies(&one, || {
        region = vm::vm_read(&*one, door, HERE, 100 * PAGE).expect("memory").memory;
    });
    assert!(moved == 0 && region.size == 100 * PAGE && is_marked(&one, region.address, 100, 7));
    two.store(HERE, &[9]).done();
    assert!(is_marked(&one, region.address, 100, 7), "a copy");
    one.store(region.address + PAGE, &[50]).done();
    let written = copies(&one, || {
        let bytes = Descriptor::memory(region.address, 50 * PAGE, 0);
        vm::vm_write(&*one, door, HERE + 10 * PAGE, bytes).expect("written");
    });
    assert_eq!((written, two.load(HERE + 10 * PAGE, 2), two.load(HERE + 11 * PAGE, 2)), (0, vec![0, 7], vec![50, 7]));
    assert_eq!(two.load(HERE + 60 * PAGE, 2), [60, 7], "nothing beyond");
    let odd = Descriptor::memory(region.address + 3 * PAGE - 5, 11, 0);
    vm::vm_write(&*one, door, HERE + 80 * PAGE + 1, odd).expect("written");
    assert_eq!(two.load(HERE + 80 * PAGE, 8), [80, 0, 0, 0, 0, 0, 3, 7]);
    unmap(&one, region.address, 100);
    assert_eq!(vm::vm_read(&*one, door, HERE, 0).map(drop), Err(Error::InvalidArgument));
    assert_eq!(vm::vm_read(&*one, door, HERE + 99 * PAGE, 2 * PAGE).map(drop), Err(Error::InvalidAddress));
    let write = |descriptor| vm::vm_write(&*one, door, HERE, descriptor).map(drop);
    assert_eq!(write(Descriptor::memory(MEMORY, 0, 0)), Err(Error::InvalidArgument));
    assert_eq!(write(Descriptor::port(door, Disposition::CopySend as u8)), Err(Error::BadArguments));
    protect(&two, HERE, 1, Protection::READ, 0).expect("protected");
    assert_eq!(write(Descriptor::memory(MEMORY, 2 * PAGE, 0)), Err(Error::ProtectionFailure));
}

#[test]
fn a_refused_reading_leaves_no_room_for_memory_in_its_reply() {
    // What is left of a reply that nobody receives is looked at when the system is at rest again.
    let system = System::boot();
    let task = system.task("task");
    let reply = task.port(Capacity::DEFAULT);
    let read = vm::arguments::VmRead { address: HERE, size: 0 };
    let request = Message::to(task.task_self()).id(vm::VmRead::ID).text(read.as_bytes());
    assert_eq!(task.send(request.reply(reply, Disposition::MakeSend), WhenFull::Wait).done(), Ok(()));
}

#[test]
fn a_large_copy_is_shared_until_one_side_changes_it_and_paid_for_by_both() {
    let system = System::boot();
    let task = parent(&system);
    map_marked(&task, HERE, 200, 1);
    map(&task, THERE, 200);
    let frames = statistics(&task).free_frames;
    let moved = copies(&task, || copy(&task, HERE, 200 * PAGE, THERE).expect("copied"));
    assert_eq!((moved, statistics(&task).free_frames), (0, frames), "no page is taken, let alone copied");
    for page in [0, 17, 100, 199] {
        assert_eq!(copies(&task, || drop(task.store(THERE + page * PAGE + 1, &[2]).done())), 1);
        assert_eq!(task.load(HERE + page * PAGE, 2), [page as u8, 1]);
    }
    unmap(&task, THERE + 20 * PAGE, 70);
    assert!(is_marked(&task, HERE, 200, 1));
    unmap(&task, HERE, 50);
    assert_eq!(task.load(THERE + 17 * PAGE, 2), [17, 2]);
    assert!((1..17).all(|page| task.load(THERE + page * PAGE, 2) == [page as u8, 1]));
    copy(&task, HERE + 55 * PAGE, 30 * PAGE, THERE + 101 * PAGE).expect("of another alignment");
    assert_eq!(task.load(THERE + 110 * PAGE, 2), [64, 1]);
    unmap(&task, HERE, 200);
    assert_eq!(copies(&task, || drop(task.store(THERE + 110 * PAGE, &[3]).done())), 0, "nobody else has it now");
    unmap(&task, THERE, 200);
}

#[test]
fn many_regions_are_found_filled_and_removed() {
    let system = System::boot();
    let task = system.task_with("task", Limits { memory: 4_000_000, ..ORDINARY }).expect("a task");
    // In an order that is none, so that runs are cut and joined everywhere.
    let place = |number: u64| HERE + number * 769 % 1000 * 2 * PAGE;
    system.unchecked(|| (0..1000).for_each(|number| map(&task, place(number), 1)));
    assert!(task.info().regions >= 1000);
    let gap = HERE + 2 * PAGE * 1000;
    let anywhere = vm::vm_map(&*task, task.task_self(), 0, PAGE, 0, READ_WRITE, ALL, COPY, 1, no_right());
    assert!(anywhere.expect("room").results.address > gap);
    system.unchecked(|| (0..1000).step_by(3).for_each(|number| unmap(&task, place(number), 1)));
    for number in (0..1000).step_by(97) {
        let known = read(&task, task.task_self(), place(number), 1);
        assert_eq!(known.is_ok(), number % 3 != 0, "{number}");
    }
    system.unchecked(|| unmap(&task, HERE, 2000));
    assert!(task.info().regions < 10);
}
