//! Memory objects that grow, shrink and are sealed, and what those who map them see of it.

use crate::harness::{Message, ORDINARY, System, Task, WhenFull};
use portolan_abi::memory_object::{self, MAPPERS_LISTED, Mapper, RESERVE_MAX, SIZE_MAX, Seals};
use portolan_abi::message::Descriptor;
use portolan_abi::notification::Kind;
use portolan_abi::task::Limits;
use portolan_abi::vm::{self, Inheritance, MapFlags};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, RightKind};
use portolan_machine::sim::script::Action;

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;

fn object(task: &Task, size: u64) -> Name {
    vm::memory_object_create(&**task, task.task_self(), size).expect("a memory object").rights[0]
}

fn map(task: &Task, object: Name, size: u64, flags: MapFlags) -> Result<u64> {
    map_for(task, object, size, flags, Protection::READ_WRITE)
}

fn map_for(task: &Task, object: Name, size: u64, flags: MapFlags, protection: Protection) -> Result<u64> {
    let right = Descriptor::port(object, Disposition::CopySend as u8);
    let (protection, copy) = (protection.bits(), Inheritance::Copy as u32);
    let maximum = Protection::all().bits();
    vm::vm_map(&**task, task.task_self(), HERE, size, 0, protection, maximum, copy, flags.bits(), right)
        .map(|reply| reply.results.address)
}

fn set_size(task: &Task, object: Name, size: u64) -> Result<()> {
    memory_object::set_size(&**task, object, size).map(|_| ())
}

fn reserve(task: &Task, object: Name, offset: u64, size: u64) -> Result<()> {
    memory_object::reserve(&**task, object, offset, size).map(|_| ())
}

fn seal(task: &Task, object: Name, seals: Seals) -> Result<()> {
    memory_object::seal(&**task, object, seals.bits(), 0).map(|_| ())
}

fn size(task: &Task, object: Name) -> u64 {
    memory_object::info(&**task, object).expect("an object").results.info.size
}

/// What the kernel says of reading there on the task's behalf: what its own reading would come to.
fn look(task: &Task, address: u64) -> Result<u8> {
    vm::vm_peek(&**task, task.task_self(), address, 1).map(|reply| reply.results.data[0])
}

#[test]
fn what_an_object_grows_by_is_zero_and_what_it_shrinks_by_is_gone() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, 3 * PAGE);
    map(&task, object, 3 * PAGE, MapFlags::BEYOND_END).expect("mapped");
    (0..3).for_each(|page| drop(task.store(HERE + page * PAGE, &[7; PAGE_SIZE]).done()));
    let frames = task.info().used.frames;
    assert_eq!(set_size(&task, object, PAGE + 10), Ok(()));
    assert_eq!((size(&task, object), task.info().used.frames), (PAGE + 10, frames - 1));
    assert_eq!(look(&task, HERE + PAGE + 9), Ok(7));
    assert_eq!(look(&task, HERE + PAGE + 10), Ok(0), "the rest of the last page is zero");
    assert_eq!(look(&task, HERE + 2 * PAGE), Err(Error::BeyondEnd));
    // What is written behind the end is in no file, as Unix says.
    task.store(HERE + PAGE + 20, &[9]).done();
    assert_eq!(set_size(&task, object, 3 * PAGE), Ok(()));
    assert_eq!([PAGE + 9, PAGE + 20, 2 * PAGE].map(|at| look(&task, HERE + at)), [Ok(7), Ok(0), Ok(0)]);
    assert_eq!(set_size(&task, object, 0), Ok(()));
    assert_eq!(look(&task, HERE), Err(Error::BeyondEnd));
    assert_eq!(set_size(&task, object, SIZE_MAX), Ok(()));
    assert_eq!(look(&task, HERE), Ok(0));
    assert_eq!(set_size(&task, object, SIZE_MAX + 1), Err(Error::InvalidArgument));
}

#[test]
fn a_size_is_changed_only_from_what_it_was_thought_to_be() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, 2 * PAGE);
    let change = |from, to| memory_object::change_size(&*task, object, from, to).map(|_| ());
    assert_eq!(change(PAGE, 3 * PAGE), Err(Error::ValueDiffers));
    assert_eq!((change(2 * PAGE, 3 * PAGE), size(&task, object)), (Ok(()), 3 * PAGE));
    assert_eq!((change(2 * PAGE, PAGE), size(&task, object)), (Err(Error::ValueDiffers), 3 * PAGE));
    // All else is as if it were set.
    assert_eq!(change(3 * PAGE, SIZE_MAX + 1), Err(Error::InvalidArgument));
    map(&task, object, 3 * PAGE, MapFlags::empty()).expect("mapped");
    assert_eq!(change(3 * PAGE, 5), Err(Error::InUse));
    assert_eq!(seal(&task, object, Seals::GROW), Ok(()));
    assert_eq!((change(3 * PAGE, 4 * PAGE), change(3 * PAGE, 3 * PAGE)), (Err(Error::NoAccess), Ok(())));
    let reader = memory_object::derive(&*task, object, Protection::READ.bits(), 0).expect("a right").rights[0];
    assert_eq!(memory_object::change_size(&*task, reader, 0, 0).map(|_| ()), Err(Error::ProtectionFailure));
}

#[test]
fn a_tree_of_pages_grows_with_its_object() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, PAGE);
    assert_eq!(reserve(&task, object, 0, PAGE), Ok(()));
    let before = task.info().used.memory;
    for pages in [65, 5000, 1 << 28] {
        assert_eq!(set_size(&task, object, pages * PAGE), Ok(()));
        assert_eq!(reserve(&task, object, (pages - 1) * PAGE, 1), Ok(()));
    }
    assert!(task.info().used.memory > before);
    assert_eq!(memory_object::info(&*task, object).unwrap().results.info.resident, 4);
}

#[test]
fn who_touches_a_page_beyond_the_end_without_a_handler_ends() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, PAGE);
    map(&task, object, 2 * PAGE, MapFlags::BEYOND_END).expect("mapped");
    task.load(HERE, 1);
    assert!(task.perform(vec![Action::Load { address: HERE + PAGE, size: 1 }]).waits());
    assert!(!task.exists());
    assert!(system.console().contains("the memory object ends before"));
}

#[test]
fn an_object_does_not_shrink_below_a_mapping_that_did_not_agree() {
    let system = System::boot();
    let (task, peer) = (system.task("task"), system.task("peer"));
    let object = object(&task, 4 * PAGE);
    let theirs = task.give(&peer, object, Disposition::CopySend);
    assert_eq!(map(&peer, theirs, 5 * PAGE, MapFlags::empty()), Err(Error::InvalidArgument));
    map(&peer, theirs, 2 * PAGE, MapFlags::empty()).expect("mapped");
    assert_eq!(set_size(&task, object, 2 * PAGE), Ok(()), "it does not need more");
    assert_eq!(set_size(&task, object, PAGE + 1), Ok(()), "nor the rest of its last page");
    peer.store(HERE + PAGE, &[1]).done();
    assert_eq!(set_size(&task, object, PAGE), Err(Error::InUse));
    assert_eq!((size(&task, object), peer.load(HERE + PAGE, 1)), (PAGE + 1, vec![1]));
    peer.terminate();
    assert_eq!(set_size(&task, object, PAGE), Ok(()));
}

#[test]
fn only_a_right_that_allows_writing_changes_an_object() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, PAGE);
    let reader = memory_object::derive(&*task, object, Protection::READ.bits(), 0).expect("a right").rights[0];
    let refused = Err(Error::ProtectionFailure);
    assert_eq!(
        [set_size(&task, reader, 0), reserve(&task, reader, 0, 1), seal(&task, reader, Seals::GROW)],
        [refused; 3]
    );
    assert_eq!(size(&task, object), PAGE);
}

#[test]
fn a_seal_holds_for_every_right() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, 2 * PAGE);
    assert_eq!(memory_object::seal(&*task, object, 8, 0).map(|_| ()), Err(Error::InvalidArgument));
    assert_eq!(seal(&task, object, Seals::SHRINK), Ok(()));
    assert_eq!(set_size(&task, object, PAGE), Err(Error::NoAccess));
    assert_eq!(set_size(&task, object, 3 * PAGE), Ok(()));
    assert_eq!(seal(&task, object, Seals::GROW), Ok(()));
    assert_eq!(set_size(&task, object, 4 * PAGE), Err(Error::NoAccess));
    assert_eq!(set_size(&task, object, 3 * PAGE), Ok(()), "it stays as it is");
    map(&task, object, PAGE, MapFlags::empty()).expect("mapped");
    assert_eq!(seal(&task, object, Seals::WRITE), Err(Error::InUse));
    vm::vm_deallocate(&*task, task.task_self(), HERE, PAGE).expect("unmapped");
    assert_eq!(seal(&task, object, Seals::WRITE), Ok(()));
    assert_eq!(map(&task, object, PAGE, MapFlags::empty()), Err(Error::ProtectionFailure));
    assert_eq!(map(&task, object, PAGE, MapFlags::COPY), Ok(HERE), "a copy is one's own");
    vm::vm_deallocate(&*task, task.task_self(), HERE, PAGE).expect("unmapped");
    assert_eq!(map_for(&task, object, PAGE, MapFlags::empty(), Protection::READ), Ok(HERE));
    let raised = vm::vm_protect(&*task, task.task_self(), HERE, PAGE, Protection::READ_WRITE.bits(), 0);
    assert_eq!(raised.map(|_| ()), Err(Error::ProtectionFailure));
    assert_eq!(memory_object::info(&*task, object).unwrap().results.info.seals, Seals::all().bits());
}

#[test]
fn pages_that_are_reserved_cost_now_and_nothing_later() {
    let system = System::boot();
    let task = system.task_with("task", Limits { frames: 200, ..ORDINARY }).expect("a task");
    let object = object(&task, 1 << 30);
    let before = task.info().used.frames;
    assert_eq!(reserve(&task, object, PAGE - 1, PAGE + 2), Ok(()));
    assert_eq!(task.info().used.frames, before + 3);
    assert_eq!(reserve(&task, object, 0, 3 * PAGE), Ok(()));
    assert_eq!(task.info().used.frames, before + 3);
    for (offset, size) in [(0, 0), (0, RESERVE_MAX + 1), (1 << 30, 1), ((1 << 30) - 1, 2), (u64::MAX, 2)] {
        assert_eq!(reserve(&task, object, offset, size), Err(Error::InvalidArgument), "{offset} {size}");
    }
    assert_eq!(reserve(&task, object, 0, RESERVE_MAX), Err(Error::ResourceShortage));
}

#[test]
fn a_copy_of_what_ends_before_ends_there_too() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, PAGE);
    assert_eq!(map(&task, object, 2 * PAGE, MapFlags::COPY), Err(Error::InvalidArgument));
    map(&task, object, 2 * PAGE, MapFlags::COPY | MapFlags::BEYOND_END).expect("mapped");
    task.store(HERE, &[3]).done();
    assert_eq!((look(&task, HERE), look(&task, HERE + PAGE)), (Ok(3), Err(Error::BeyondEnd)));
    let copied = vm::vm_copy(&*task, task.task_self(), HERE, 2 * PAGE, HERE);
    assert_eq!(copied.map(|_| ()), Err(Error::BeyondEnd));
}

#[test]
fn who_maps_an_object_is_listed_in_the_order_of_ids() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, 4 * PAGE);
    let peers: Vec<Task> = (0..MAPPERS_LISTED as u64 + 2).map(|_| system.task("peer")).collect();
    for peer in &peers {
        let theirs = task.give(peer, object, Disposition::CopySend);
        map(peer, theirs, 2 * PAGE, MapFlags::empty()).expect("mapped");
    }
    let expected: Vec<Mapper> = peers.iter().map(|peer| Mapper { task: peer.info().id, size: 2 * PAGE }).collect();
    let (mut listed, mut after) = (Vec::new(), 0);
    loop {
        let part = memory_object::mappers(&*task, object, after).expect("a list").results;
        listed.extend_from_slice(&part.list[..part.count as usize]);
        if (part.count as usize) < MAPPERS_LISTED {
            break;
        }
        after = part.list[MAPPERS_LISTED - 1].task;
    }
    assert_eq!(listed, expected);
}

/// Asks to be told at `port` when nobody maps the object.
fn ask_unmapped(task: &Task, object: Name, port: Name) -> Result<()> {
    let notify = Descriptor::port(port, Disposition::MakeSendOnce as u8);
    memory_object::notify_unmapped(&**task, object, notify).map(|_| ())
}

/// Whether a port was told that an object is not mapped.
fn is_told(task: &Task, port: Name) -> bool {
    let told = task.receive_now(port).done().ok();
    told.is_some_and(|message| message.header.id == Kind::Unmapped as u32)
}

#[test]
fn whoever_asked_is_told_when_the_last_mapping_goes() {
    let system = System::boot();
    let (task, peer) = (system.task("task"), system.task("peer"));
    let object = object(&task, 3 * PAGE);
    let theirs = task.give(&peer, object, Disposition::CopySend);
    let (here, there) = (task.port(Capacity::Bounded(2)), peer.port(Capacity::Bounded(1)));
    map(&task, object, 3 * PAGE, MapFlags::empty()).expect("mapped");
    map(&peer, theirs, PAGE, MapFlags::empty()).expect("mapped");
    (0..2).for_each(|_| assert_eq!(ask_unmapped(&task, object, here), Ok(())));
    assert_eq!(ask_unmapped(&peer, theirs, there), Ok(()));
    vm::vm_deallocate(&*task, task.task_self(), HERE + PAGE, PAGE).expect("unmapped");
    vm::vm_deallocate(&*task, task.task_self(), HERE, 3 * PAGE).expect("unmapped");
    assert!(!is_told(&task, here) && !is_told(&peer, there));
    vm::vm_deallocate(&*peer, peer.task_self(), HERE, PAGE).expect("unmapped");
    assert_eq!([is_told(&task, here), is_told(&task, here), is_told(&task, here)], [true, true, false]);
    assert!(is_told(&peer, there));
    // Once is enough; and who asks while nobody maps it is told at once.
    map(&peer, theirs, PAGE, MapFlags::empty()).expect("mapped");
    vm::vm_deallocate(&*peer, peer.task_self(), HERE, PAGE).expect("unmapped");
    assert!(!is_told(&task, here));
    assert_eq!(ask_unmapped(&task, object, here), Ok(()));
    assert!(is_told(&task, here));
}

#[test]
fn a_task_that_ends_unmaps_and_the_object_may_end_with_it() {
    let system = System::boot();
    let (task, peer) = (system.task("task"), system.task("peer"));
    let object = object(&task, 3 * PAGE);
    let here = task.port(Capacity::Bounded(1));
    let theirs = task.give(&peer, object, Disposition::CopySend);
    map(&peer, theirs, 3 * PAGE, MapFlags::empty()).expect("mapped");
    peer.store(HERE, &[1]).done();
    assert_eq!(ask_unmapped(&task, object, here), Ok(()));
    task.port_deallocate(object).expect("ours");
    peer.port_deallocate(theirs).expect("ours");
    let frames = task.info().used.frames;
    assert!(!is_told(&task, here));
    peer.terminate();
    assert!(is_told(&task, here));
    assert_eq!(task.info().used.frames, frames - 1);
}

#[test]
fn memory_that_is_moved_away_is_not_mapped_any_more() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, PAGE);
    let here = task.port(Capacity::Bounded(2));
    map(&task, object, PAGE, MapFlags::empty()).expect("mapped");
    assert_eq!(ask_unmapped(&task, object, here), Ok(()));
    let moved = Message::by(here, Disposition::MakeSend).descriptor(Descriptor::memory(HERE, PAGE, Descriptor::MOVE));
    assert_eq!(task.send(moved, WhenFull::Wait).done(), Ok(()));
    assert_eq!(task.receive_now(here).done().map(|message| message.rights.len()), Ok(1));
    assert!(is_told(&task, here));
}

#[test]
fn to_be_told_that_nothing_maps_an_object_takes_a_port_that_can_receive() {
    let system = System::boot();
    let task = system.task("task");
    let object = object(&task, PAGE);
    map(&task, object, PAGE, MapFlags::empty()).expect("mapped");
    let port = task.port(Capacity::Bounded(1));
    let through = |name, how: Disposition| {
        memory_object::notify_unmapped(&*task, object, Descriptor::port(name, how as u8)).map(|_| ())
    };
    assert_eq!(through(Name::NULL, Disposition::CopySend), Err(Error::InvalidCapability));
    assert_eq!(through(port, Disposition::MakeSend), Err(Error::InvalidCapability));
    assert_eq!(through(port, Disposition::MakeSendOnce), Ok(()));
    // A port that has died meanwhile is told nothing.
    task.port_mod_refs(port, RightKind::Receive, -1).expect("a port");
    vm::vm_deallocate(&*task, task.task_self(), HERE, PAGE).expect("unmapped");
}

#[test]
fn what_is_a_pagers_or_the_kernels_has_the_size_it_has() {
    let system = System::boot();
    let first = system.first();
    assert_eq!(set_size(first, first.archive_port(), 0), Err(Error::ProtectionFailure));
    let port = first.port(portolan_abi::Capacity::DEFAULT);
    let right = Descriptor::port(port, Disposition::MakeSend as u8);
    let paged = vm::memory_object_create_paged(&**first, first.task_self(), PAGE, 1, right).expect("an object");
    assert_eq!(set_size(first, paged.rights[0], 0), Err(Error::Failure));
    paged.rights[..2].iter().for_each(|name| first.port_deallocate(*name).expect("a right"));
    first.port_mod_refs(port, portolan_abi::RightKind::Receive, -1).expect("a port");
}
