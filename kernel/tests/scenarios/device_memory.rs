//! Device memory: claimed once, mapped by who has a right, never touched by the kernel.

use crate::harness::{Mailbox, Message, System, Task, WhenFull};
use portolan_abi::host::{self, Framebuffer, PixelFormat};
use portolan_abi::message::Descriptor;
use portolan_abi::task::{self as routine, CreateFlags};
use portolan_abi::vm::{self, Inheritance, MapFlags};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, memory_object};

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;
const READ_WRITE: u32 = Protection::READ_WRITE.bits();

fn screen(task: &Task) -> Framebuffer {
    host::framebuffer(&**task, task.host_port()).expect("a screen").results.framebuffer
}

fn claim(first: &Task, address: u64, size: u64) -> Result<Name> {
    host::device_memory(&**first, first.host_port(), address, size).map(|reply| reply.rights[0])
}

fn map(task: &Task, object: Name, inheritance: Inheritance, flags: MapFlags, protection: u32) -> Result<u64> {
    let right = Descriptor::port(object, Disposition::CopySend as u8);
    let (own, inheritance) = (task.task_self(), inheritance as u32);
    let mapped = vm::vm_map(&**task, own, HERE, PAGE, 0, protection, protection, inheritance, flags.bits(), right);
    mapped.map(|reply| reply.results.address)
}

/// A mailbox whose sender has the screen's first page at `HERE`, and a right to it.
fn driver(inheritance: Inheritance) -> (Mailbox, Name) {
    let mailbox = Mailbox::new(Capacity::Bounded(2));
    let first = mailbox.system.first();
    let object = claim(first, screen(first).address, PAGE).expect("no memory");
    let object = first.give(&mailbox.sender, object, Disposition::MoveSend);
    map(&mailbox.sender, object, inheritance, MapFlags::empty(), READ_WRITE).expect("a mapping");
    (mailbox, object)
}

#[test]
fn a_driver_sees_what_the_device_has_and_no_frame_is_taken() {
    let system = System::boot();
    let (first, driver, other) = (system.first(), system.task("driver"), system.task("other"));
    let found = screen(first);
    assert_eq!((found.width, found.height, found.stride, found.bytes_per_pixel), (60, 32, 64, 4));
    assert_eq!((found.format, found.address % PAGE), (PixelFormat::Bgr as u32, 0));
    let object = claim(first, found.address, 5).expect("no memory");
    let info = memory_object::info(&**first, object).expect("what it is").results.info;
    assert_eq!((info.size, info.resident, info.protection), (PAGE, 0, READ_WRITE));
    let [ours, theirs] = [&driver, &other].map(|task| first.give(task, object, Disposition::CopySend));
    let figures = |task: &Task| vm::vm_statistics(&**task, task.task_self()).expect("figures").results.statistics;
    // The buffers are touched by asking.
    let _ = [&driver, &other].map(figures);
    let before = [&driver, &other].map(figures);
    for (task, object) in [(&driver, ours), (&other, theirs)] {
        map(task, object, Inheritance::None, MapFlags::empty(), READ_WRITE).expect("a mapping");
    }
    driver.store(HERE + 100, &[1, 2, 3]).done();
    assert_eq!(other.load(HERE + 100, 3), [1, 2, 3]);
    vm::vm_protect(&*driver, driver.task_self(), HERE, PAGE, Protection::READ.bits(), 0).expect("protected");
    assert_eq!(driver.load(HERE + 100, 3), [1, 2, 3]);
    vm::vm_protect(&*driver, driver.task_self(), HERE, PAGE, READ_WRITE, 0).expect("protected");
    driver.store(HERE + 101, &[9]).done();
    assert_eq!(other.load(HERE + 100, 3), [1, 9, 3]);
    for task in [&driver, &other] {
        vm::vm_deallocate(&**task, task.task_self(), HERE, PAGE).expect("unmapped");
    }
    let after = [&driver, &other].map(figures);
    let tables = |figures: &[vm::Statistics; 2]| figures.iter().map(|of| of.tables).sum::<u64>();
    assert_eq!(before[0].free_frames - after[0].free_frames, tables(&after) - tables(&before), "page tables alone");
    assert_eq!((before[0].zero_fills, before[0].copies), (after[0].zero_fills, after[0].copies));
    first.port_deallocate(object).expect("ours");
}

#[test]
fn only_what_is_no_memory_is_claimed_once_and_by_whoever_may() {
    let system = System::boot();
    let (first, task) = (system.first(), system.task("task"));
    let address = screen(first).address;
    let plain = first.give(&task, first.plain_host_port(), Disposition::CopySend);
    assert_eq!(host::framebuffer(&*task, plain).map(|reply| reply.results.framebuffer.address), Ok(address));
    assert_eq!(host::device_memory(&*task, plain, address, PAGE).map(drop), Err(Error::NoAccess));
    for (address, size) in [(address - PAGE, PAGE), (address - PAGE, 2 * PAGE), (0, PAGE), (0, 1 << 40)] {
        assert_eq!(claim(first, address, size), Err(Error::NoAccess), "{address:#x} is memory");
    }
    for (address, size) in
        [(address, 0), (address + 1, PAGE), (1 << 44, PAGE), (address, u64::MAX), (!(PAGE - 1), PAGE)]
    {
        assert_eq!(claim(first, address, size), Err(Error::InvalidArgument), "{address:#x}, {size:#x}");
    }
    let object = claim(first, address, PAGE).expect("no memory");
    assert_eq!(claim(first, address, 2 * PAGE), Err(Error::NoSpace));
    let next = claim(first, address + PAGE, PAGE).expect("beside it");
    let right = first.give(&task, object, Disposition::MoveSend);
    map(&task, right, Inheritance::None, MapFlags::empty(), READ_WRITE).expect("a mapping");
    task.port_deallocate(right).expect("ours");
    assert_eq!(claim(first, address, PAGE), Err(Error::NoSpace), "it is mapped");
    vm::vm_deallocate(&*task, task.task_self(), HERE, PAGE).expect("unmapped");
    let again = claim(first, address, PAGE).expect("nobody has it");
    [again, next].iter().for_each(|right| first.port_deallocate(*right).expect("ours"));
}

#[test]
fn the_kernel_neither_copies_it_nor_has_buffers_there() {
    let (mailbox, object) = driver(Inheritance::Copy);
    let (sender, own) = (&mailbox.sender, mailbox.sender.task_self());
    sender.store(HERE, &[7; 64]).done();
    let spare =
        vm::vm_map(&**sender, own, HERE + PAGE, PAGE, 0, READ_WRITE, READ_WRITE, 1, 0, crate::harness::no_right());
    spare.expect("memory");
    for (source, target) in [(HERE, HERE + PAGE), (HERE + 8, HERE + PAGE), (HERE + PAGE, HERE)] {
        assert_eq!(vm::vm_copy(&**sender, own, source, 64, target).map(drop), Err(Error::ProtectionFailure));
    }
    assert_eq!(vm::vm_peek(&**sender, own, HERE, 8).map(drop), Err(Error::ProtectionFailure));
    assert_eq!(vm::vm_read(&**sender, own, HERE, PAGE).map(drop), Err(Error::ProtectionFailure));
    let written = vm::vm_write(&**sender, own, HERE, Descriptor::memory(HERE + PAGE, PAGE, 0));
    assert_eq!(written.map(drop), Err(Error::ProtectionFailure));
    assert_eq!(map(sender, object, Inheritance::None, MapFlags::COPY, READ_WRITE), Err(Error::ProtectionFailure));
    let executable = map(sender, object, Inheritance::None, MapFlags::empty(), Protection::READ_EXECUTE.bits());
    assert_eq!(executable, Err(Error::ProtectionFailure));
    for (address, size) in [(HERE, PAGE), (HERE + 8, 16), (HERE + 8, PAGE)] {
        let message = Message::to(mailbox.to).descriptor(Descriptor::memory(address, size, 0));
        assert_eq!(sender.send(message, WhenFull::Return).done(), Err(Error::SendInvalidMemory));
    }
    let sent = sender.call(portolan_abi::Call::Message {
        send: Some(portolan_abi::call::Send { address: HERE, size: 64, timeout: 0 }),
        receive: None,
        options: portolan_abi::message::Options::empty(),
    });
    assert_eq!(sent.result().map(|(result, _)| result), Some(Err(Error::SendInvalidMemory)));
    assert_eq!(sender.load(HERE, 64), [7; 64]);
}

#[test]
fn a_child_has_it_shared_or_not_at_all() {
    let limits = routine::Limits { memory: 100_000, ports: 10, frames: 100 };
    let heir = |mailbox: &Mailbox| {
        let parent = mailbox.sender.give(mailbox.system.first(), mailbox.sender.task_self(), Disposition::CopySend);
        let (first, flags) = (mailbox.system.first(), CreateFlags::INHERIT.bits());
        let made = routine::create(&**first, parent, [b'h'; 32], limits, flags, 0, crate::harness::no_right());
        first.port_deallocate(parent).expect("ours");
        made.map(|reply| reply.rights[0])
    };
    let (mailbox, _) = driver(Inheritance::Copy);
    let (sender, own) = (&mailbox.sender, mailbox.sender.task_self());
    let mut next = 0;
    while let Ok(reply) = vm::vm_region(&**sender, own, next) {
        let info = reply.results.info;
        next = info.address + info.size;
        if info.address != HERE {
            vm::vm_inherit(&**sender, own, info.address, info.size, Inheritance::None as u32, 0).expect("kept");
        }
    }
    assert_eq!(heir(&mailbox), Err(Error::ProtectionFailure));
    vm::vm_inherit(&**sender, own, HERE, PAGE, Inheritance::Share as u32, 0).expect("shared");
    let child = heir(&mailbox).expect("a child");
    let info = vm::vm_region(&**mailbox.system.first(), child, 0).expect("its region").results.info;
    assert_eq!((info.address, info.object_mappings, info.shared), (HERE, 2, 1));
    routine::terminate(&**mailbox.system.first(), child).expect("its end");
    mailbox.system.first().port_deallocate(child).expect("its name");
}
