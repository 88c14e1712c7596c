//! Work that is long and done in one go lets interrupts in as it goes along: the more of it, the more often.
//!
//! How many instructions lie between is measured on the real machine (`make bench`); here, that none of the
//! loops forgets to say what it has done.

use crate::harness::{Mailbox, Message, System, Task, Thread, WhenFull, no_right};
use portolan_abi::message::{Descriptor, RIGHTS_MAX};
use portolan_abi::task::{self as routine, CreateFlags, Limits};
use portolan_abi::vm::{self, Inheritance, MapFlags};
use portolan_abi::{AtFull, Capacity, Disposition, Name, PAGE_SIZE, Protection, RightKind, memory_object, port};
use portolan_machine::sim::pace;

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;
const THERE: u64 = HERE + (1 << 30);
const USABLE: u32 = Protection::READ_WRITE.bits();
const LARGE: Limits = Limits { memory: 4 << 20, ports: 2000, frames: 1200 };

/// How often interrupts are let in meanwhile.
fn times(work: impl FnOnce()) -> u64 {
    let before = pace::times();
    work();
    pace::times() - before
}

fn map(task: &Task, address: u64, pages: u64, object: Descriptor, inheritance: Inheritance) {
    let (own, flags) = (task.task_self(), MapFlags::empty().bits());
    vm::vm_map(&**task, own, address, pages * PAGE, 0, USABLE, USABLE, inheritance as u32, flags, object)
        .expect("a mapping");
}

/// So many regions of a page side by side, from `HERE` on.
fn patchwork(task: &Task, count: u64) {
    (0..count).for_each(|number| map(task, HERE + number * PAGE, 1, no_right(), Inheritance::Copy));
}

fn touch(task: &Task, address: u64, pages: u64) {
    (0..pages).for_each(|page| drop(task.store(address + page * PAGE, &[1]).done()));
}

/// A task with much to spend, on a machine whose invariants are checked in the end.
fn large(check: impl FnOnce(&System, &Task)) {
    let system = System::boot_on(4096);
    let task = system.task_with("large", LARGE).expect("a task");
    system.unchecked(|| check(&system, &task));
}

#[test]
fn while_many_regions_change() {
    large(|_, task| {
        let own = task.task_self();
        patchwork(task, 600);
        let size = 600 * PAGE;
        let protected = || {
            vm::vm_protect(&**task, own, HERE, size, Protection::READ.bits(), 0).expect("all there");
        };
        assert!(times(protected) >= 6);
        let none = Inheritance::None as u32;
        assert!(
            times(|| {
                vm::vm_inherit(&**task, own, HERE, size, none, 0).expect("all there");
            }) >= 6
        );
    });
}

#[test]
fn while_a_task_inherits() {
    large(|system, task| {
        patchwork(task, 300);
        touch(task, HERE, 300);
        let limits = Limits { memory: 1 << 20, ports: 8, frames: 700 };
        let inherit = CreateFlags::INHERIT.bits();
        let first = system.first();
        let mut child = None;
        let create = || routine::create(&**first, task.kernel_port(), [b'c'; 32], limits, inherit, 0, no_right());
        assert!(times(|| child = Some(create().expect("a child").rights[0])) >= 60);
        let child = child.expect("made above");
        routine::terminate(&**first, child).expect("ours");
        first.port_deallocate(child).expect("ours");
    });
}

#[test]
fn while_pages_are_copied_or_kept_from_writing() {
    large(|_, task| {
        let own = task.task_self();
        let made = vm::memory_object_create(&**task, own, 200 * PAGE).expect("an object");
        let object = made.rights[0];
        map(task, HERE, 200, no_right(), Inheritance::Copy);
        map(task, THERE, 200, Descriptor::port(object, Disposition::CopySend as u8), Inheritance::Copy);
        touch(task, HERE, 200);
        let copied = times(|| {
            vm::vm_copy(&**task, own, HERE, 200 * PAGE, THERE).expect("copied");
        });
        assert!(copied >= 30, "{copied}");
        map(task, THERE + (1 << 30), 1024, no_right(), Inheritance::Copy);
        touch(task, THERE + (1 << 30), 1);
        touch(task, THERE + (1 << 30) + 1023 * PAGE, 1);
        let (limited, thread): (_, &Thread) = (vm::vm_protect, task);
        let protected = times(|| {
            for bits in [Protection::READ.bits(), USABLE].into_iter().cycle().take(10) {
                limited(thread, own, THERE + (1 << 30), 1024 * PAGE, bits, 0).expect("all there");
            }
        });
        assert!(protected >= 7, "{protected}");
        task.port_deallocate(object).expect("ours");
    });
}

#[test]
fn while_a_message_brings_many_rights() {
    let mailbox = Mailbox::new(Capacity::Bounded(1));
    let (system, receiver) = (&mailbox.system, &mailbox.receiver);
    let sender = system.task_with("generous", LARGE).expect("a task");
    let to = receiver.give_send(&sender, mailbox.port);
    system.unchecked(|| {
        let gift = sender.port(Capacity::DEFAULT);
        let names: Vec<u8> = (0..RIGHTS_MAX).flat_map(|_| gift.0.to_le_bytes()).collect();
        map(&sender, HERE, 1, no_right(), Inheritance::None);
        sender.store(HERE, &names).done();
        let array = Descriptor::ports(HERE, RIGHTS_MAX as u64, Disposition::MakeSendOnce as u8);
        let send = || sender.send(Message::to(to).descriptor(array), WhenFull::Return).done().expect("it is taken");
        assert!(times(send) >= 60, "taking them, and letting them go");
        let answer = AtFull::DropNewest.code();
        port::port_set_full(&**receiver, receiver.task_self(), mailbox.port, answer).expect("ours");
        assert!(times(send) >= 90, "destroying them, too");
        assert!(
            times(|| {
                receiver.receive_now(mailbox.port).done().expect("the first");
            }) >= 30,
            "naming them"
        );
    });
}

#[test]
fn while_a_distant_name_is_chosen() {
    large(|_, task| {
        let far = Name::new(8000, 1);
        let choose = || {
            task.port_allocate_name(far, RightKind::DeadName, Capacity::Zero).expect("a name");
        };
        assert!(times(choose) >= 100);
    });
}

#[test]
fn while_a_long_queue_is_searched() {
    large(|_, task| {
        let port = task.port(Capacity::Unbounded);
        let message = |id| Message::by(port, Disposition::MakeSend).id(id);
        (0..3000).for_each(|_| task.send(message(1), WhenFull::Return).done().expect("a place"));
        task.send(message(2), WhenFull::Return).done().expect("a place");
        task.port_set_backlog(port, Capacity::Bounded(1)).expect("ours");
        port::port_set_full(&**task, task.task_self(), port, AtFull::Replace.code()).expect("ours");
        // Once to decide, once to do it.
        assert!(times(|| task.send(message(2), WhenFull::Return).done().expect("a place")) >= 12);
    });
}

#[test]
fn while_all_maps_are_looked_through() {
    large(|_, task| {
        patchwork(task, 1000);
        let made = vm::memory_object_create(&**task, task.task_self(), PAGE).expect("an object");
        let seals = memory_object::Seals::WRITE.bits();
        let sealed = times(|| {
            (0..3).for_each(|_| {
                memory_object::seal(&**task, made.rights[0], seals, 0).expect("nobody writes");
            })
        });
        assert!(sealed >= 2, "{sealed}");
        task.port_deallocate(made.rights[0]).expect("ours");
    });
}

#[test]
fn while_many_threads_are_told() {
    let system = System::boot();
    let receiver = system.task("receiver");
    system.unchecked(|| {
        let (port, set) = (receiver.port(Capacity::DEFAULT), receiver.port_set());
        let threads: Vec<_> = (0..15).map(|_| receiver.thread()).collect();
        let mut told = 0;
        for _ in 0..5 {
            threads.iter().for_each(|thread| assert!(thread.receive(port).waits()));
            told += times(|| receiver.port_move_member(port, set).expect("both are its own"));
            receiver.port_move_member(port, Name::NULL).expect("a member");
        }
        assert!(told >= 1, "{told}");
    });
}
