//! The kernel's heap runs out, at every single allocation that a call makes: the call
//! succeeds or says so, the invariants hold, and in the end nothing is left.

use crate::harness::{MEMORY, Mailbox, Message, Task, Thread, WhenFull, no_right, program};
use portolan_abi::call::{Receive, Send};
use portolan_abi::interface::Routine;
use portolan_abi::message::{Descriptor, Options, received_size};
use portolan_abi::notification::Kind;
use portolan_abi::task as routine;
use portolan_abi::vm::{self, Inheritance, MapFlags, Protection};
use portolan_abi::{Call, Capacity, Disposition, Error, Name, PAGE_SIZE, Result, RightKind, host, memory_object, port};
use portolan_machine::sim::Hardware;
use portolan_machine::sim::heap::{self, Fail};
use portolan_machine::sim::script::{Action, Outcome};
use std::cell::Cell;
use zerocopy::IntoBytes;

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;
/// More allocations than any of the calls here makes.
const MANY: u32 = 400;
const COPY: u32 = Inheritance::Copy as u32;

/// Does the work again and again, with the first, the second… allocation failing: that
/// one alone, and all from that one on.
fn at_every_allocation(prepare: impl Fn(&Mailbox), work: impl Fn(&Mailbox)) {
    let failures: [fn(u32) -> Fail; 2] = [Fail::Once, Fail::From];
    for fail in failures {
        let mut number = 0;
        loop {
            let mailbox = Mailbox::new(Capacity::Unbounded);
            warm_up(&mailbox.sender);
            warm_up(&mailbox.receiver);
            prepare(&mailbox);
            let ((), failed) = mailbox.system.failing(fail(number), || work(&mailbox));
            if !failed {
                break;
            }
            number += 1;
            assert!(number < MANY, "allocations without an end");
        }
    }
}

/// Touches all buffers, so that no page is missing in the middle of a call.
fn warm_up(task: &Task) {
    task.load(MEMORY, 0x4_0000);
    routine::info(&**task, task.task_self()).expect("a reply, at a port that stays");
}

/// The result of a routine: success, or that there is not enough.
fn granted<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::ResourceShortage | Error::SendNoBuffer | Error::ReceiveNoSpace | Error::ReceiveReplyLost) => None,
        Err(error) => panic!("{error:?} is no shortage"),
    }
}

fn message_of(mailbox: &Mailbox, size: usize, rights: usize) -> Message {
    let ports: Vec<Name> = (0..rights).map(|_| mailbox.sender.port(Capacity::Zero)).collect();
    let message = Message::to(mailbox.to).text(vec![9; size]);
    ports.iter().fold(message, |message, port| message.right(*port, Disposition::MakeSend))
}

/// Sends from where the message has been put before.
fn send_stored(task: &Task, size: usize) -> Option<Result<()>> {
    let send = Send { address: task.buffers().0, size: size as u32, timeout: 0 };
    let call = Call::Message { send: Some(send), receive: None, options: Options::empty() };
    task.call(call).result().map(|(result, _)| result)
}

fn receive_stored(task: &Task, port: Name, room: usize) -> Option<Result<()>> {
    let receive = Receive { address: task.buffers().1, size: room as u32, port, timeout: 0 };
    let call = Call::Message { send: None, receive: Some(receive), options: Options::RCV_TIMEOUT };
    task.call(call).result().map(|(result, _)| result)
}

#[test]
fn while_ports_are_made() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            for _ in 0..150 {
                let made = mailbox.sender.port_allocate(Capacity::DEFAULT);
                assert!(made.is_ok_and(Name::is_valid) || made == Err(Error::ResourceShortage), "{made:?}");
            }
        },
    );
}

#[test]
fn while_names_are_chosen_and_changed() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let sender = &*mailbox.sender;
            let own = sender.task_self();
            let kinds = [(RightKind::Receive, 1), (RightKind::PortSet, 0), (RightKind::DeadName, 0)];
            for (number, (kind, capacity)) in kinds.into_iter().cycle().take(9).enumerate() {
                let name = Name::new(100 + 40 * number as u32, 3);
                if granted(port::port_allocate_name(sender, own, name, kind as u32, capacity, 0)).is_some() {
                    granted(port::port_rename(sender, own, name, Name::new(name.index() + 20, 1)));
                }
            }
            let right = Descriptor::port(mailbox.to, Disposition::CopySend as u8);
            let inserted = port::port_insert_right(sender, own, mailbox.to, 0, right).map(|_| ());
            assert!(granted(inserted).is_none_or(|()| mailbox.sender.port_type(mailbox.to).is_ok()));
        },
    );
}

#[test]
fn while_notifications_are_asked_for() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let (sender, receiver) = (&*mailbox.sender, &*mailbox.receiver);
            let null = Descriptor::port(Name::NULL, Disposition::CopySend as u8);
            let ask = |task: &Thread, name, kind: Kind| {
                let own = task.task_self();
                granted(port::port_request_notification(task, own, name, kind as u32, 1, 0, null)).is_some()
            };
            let dead = ask(sender, mailbox.to, Kind::DeadName);
            let lost = ask(receiver, mailbox.port, Kind::NoSenders);
            let saved = ask(receiver, mailbox.port, Kind::PortDestroyed);
            // What was asked for needs no memory any more.
            sender.port_deallocate(mailbox.to).expect("ours");
            receiver.port_deallocate(mailbox.port).expect("ours");
            let told = |task: &Thread| task.receive_now(task.notify()).done().map(|message| message.header.id).ok();
            assert_eq!(told(sender), dead.then_some(Kind::PortDeleted as u32));
            assert_eq!(told(receiver), lost.then_some(Kind::NoSenders as u32));
            assert_eq!(told(receiver), saved.then_some(Kind::PortDestroyed as u32));
        },
    );
}

#[test]
fn while_the_end_of_mappings_is_asked_for() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let receiver = &*mailbox.receiver;
            let own = receiver.task_self();
            let Some(object) = granted(vm::memory_object_create(receiver, own, 1)) else { return };
            let (usable, flags) = (Protection::READ_WRITE.bits(), MapFlags::empty().bits());
            let right = Descriptor::port(object.rights[0], Disposition::CopySend as u8);
            let mapped = vm::vm_map(receiver, own, HERE, 1, 0, usable, usable, COPY, flags, right);
            if granted(mapped).is_none() {
                return;
            }
            let once = Descriptor::port(mailbox.port, Disposition::MakeSendOnce as u8);
            let asked = granted(memory_object::notify_unmapped(receiver, object.rights[0], once)).is_some();
            // What was asked for needs no memory any more.
            vm::vm_deallocate(receiver, own, HERE, 1).expect("mapped");
            let told = receiver.receive_now(mailbox.port).done().map(|message| message.header.id).ok();
            assert_eq!(told == Some(Kind::Unmapped as u32), asked);
        },
    );
}

#[test]
fn while_messages_are_queued() {
    for (size, rights) in [(8, 0), (500, 0), (20_000, 0), (8, 3), (8, 64)] {
        at_every_allocation(
            |mailbox| {
                let bytes = message_of(mailbox, size, rights).bytes();
                mailbox.sender.store(mailbox.sender.buffers().0, &bytes).done();
            },
            |mailbox| {
                let all = 24 + 24 * rights + size;
                for _ in 0..3 {
                    let sent = send_stored(&mailbox.sender, all).expect("the sender lives");
                    assert!(sent.is_ok() || sent == Err(Error::SendNoBuffer), "{sent:?}");
                }
            },
        );
    }
}

#[test]
fn while_rights_arrive() {
    for rights in [1, 64] {
        let size = 24 + 24 * rights + 8;
        at_every_allocation(
            |mailbox| {
                for _ in 0..3 {
                    let message = message_of(mailbox, 8, rights);
                    mailbox.sender.send(message, WhenFull::Wait).done().expect("a send");
                }
            },
            |mailbox| {
                for _ in 0..3 {
                    let before = mailbox.system.queued();
                    let received = receive_stored(&mailbox.receiver, mailbox.port, received_size(size));
                    let left = mailbox.system.queued();
                    match received.expect("the receiver lives") {
                        Ok(()) => assert_eq!(left + 1, before),
                        Err(error) => {
                            assert_eq!(error, Error::ReceiveNoSpace);
                            assert_eq!(left, before, "what cannot be received stays");
                        }
                    }
                }
            },
        );
    }
}

/// Puts a message with half a region, an array of rights, and a whole region that is moved
/// where the sender sends from; its size.
fn store_out_of_line(mailbox: &Mailbox) -> usize {
    const ARRAY: u64 = HERE + (1 << 30);
    let sender = &mailbox.sender;
    map_spread(sender, HERE, 1);
    map_spread(sender, ARRAY, 0);
    let ports: Vec<u8> = (0..40).flat_map(|_| sender.port(Capacity::Zero).0.to_le_bytes()).collect();
    sender.store(ARRAY, &ports).done();
    let message = Message::to(mailbox.to)
        .descriptor(Descriptor::memory(HERE + 5, 50 * PAGE, 0))
        .descriptor(Descriptor::ports(ARRAY, 40, Disposition::MakeSend as u8))
        .descriptor(Descriptor::memory(HERE + 100 * PAGE, 50 * PAGE, Descriptor::MOVE));
    let bytes = message.bytes();
    sender.store(sender.buffers().0, &bytes).done();
    bytes.len()
}

#[test]
fn while_memory_and_arrays_are_sent() {
    let size = Cell::new(0);
    at_every_allocation(
        |mailbox| size.set(store_out_of_line(mailbox)),
        |mailbox| {
            let sent = send_stored(&mailbox.sender, size.get()).expect("the sender lives");
            assert!(sent.is_ok() || sent == Err(Error::SendNoBuffer), "{sent:?}");
            let moved = vm::vm_peek(&*mailbox.sender, mailbox.sender.task_self(), HERE + 100 * PAGE, 1);
            assert_eq!(moved.is_err(), sent.is_ok(), "all or nothing");
        },
    );
}

#[test]
fn while_memory_and_arrays_arrive() {
    let size = Cell::new(0);
    at_every_allocation(
        |mailbox| {
            size.set(store_out_of_line(mailbox));
            assert_eq!(send_stored(&mailbox.sender, size.get()), Some(Ok(())));
        },
        |mailbox| {
            let received = receive_stored(&mailbox.receiver, mailbox.port, received_size(size.get()));
            let left = mailbox.system.queued();
            match received.expect("the receiver lives") {
                Ok(()) => assert_eq!(left, 0),
                Err(error) => assert_eq!((error, left), (Error::ReceiveNoSpace, 1), "it stays"),
            }
        },
    );
}

#[test]
fn while_tasks_and_threads_are_made() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let sender = &*mailbox.sender;
            let own = sender.task_self();
            let limits = routine::Limits { memory: 30_000, ports: 5, frames: 5 };
            for _ in 0..2 {
                if let Some(child) = granted(routine::create(sender, own, [b'x'; 32], limits, 0, 0, no_right())) {
                    assert_eq!(routine::terminate(sender, child.rights[0]).map(|_| ()), Ok(()));
                }
            }
            for _ in 0..3 {
                granted(routine::thread_create(sender, own, HERE, HERE, 0, 1, 0));
            }
        },
    );
}

#[test]
fn while_lists_of_rights_are_given() {
    at_every_allocation(
        |mailbox| {
            let (sender, to) = (&*mailbox.sender, Descriptor::port(mailbox.to, Disposition::CopySend as u8));
            routine::ports_register(sender, sender.task_self(), to, to, to, to).expect("registered");
        },
        |mailbox| {
            let sender = &*mailbox.sender;
            let own = sender.task_self();
            for _ in 0..3 {
                granted(routine::threads(sender, own, 0));
                granted(routine::ports_lookup(sender, own));
                granted(routine::get_special_port(sender, own, 1, 0));
                let first = mailbox.system.first();
                if let Some(listed) = granted(host::tasks(&**first, first.host_port(), 0, 0)) {
                    for name in &listed.rights[..listed.results.count as usize] {
                        assert_eq!(first.port_deallocate(*name), Ok(()));
                    }
                }
            }
        },
    );
}

#[test]
fn while_memory_is_mapped_and_cut() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let sender = &*mailbox.sender;
            let own = sender.task_self();
            for place in 0..12 {
                let address = HERE + place * 8 * PAGE;
                let (protection, flags) = (Protection::READ_WRITE.bits(), MapFlags::empty().bits());
                let mapped =
                    vm::vm_map(sender, own, address, 4 * PAGE, 0, protection, protection, COPY, flags, no_right());
                if granted(mapped).is_some() {
                    granted(vm::vm_deallocate(sender, own, address + PAGE, PAGE));
                    granted(vm::vm_protect(sender, own, address, PAGE, Protection::READ.bits(), 0));
                }
            }
        },
    );
}

/// Makes pages, at every twentieth place, that begin with a byte.
fn map_spread(task: &Task, address: u64, byte: u8) {
    let (own, usable) = (task.task_self(), Protection::READ_WRITE.bits());
    vm::vm_map(&**task, own, address, 200 * PAGE, 0, usable, usable, COPY, 0, no_right()).expect("a mapping");
    (0..200).step_by(20).for_each(|page| drop(task.store(address + page * PAGE, &[byte]).done()));
}

#[test]
fn while_memory_is_copied() {
    const THERE: u64 = HERE + (1 << 30);
    for skip in [0, 5] {
        at_every_allocation(
            |mailbox| {
                map_spread(&mailbox.sender, HERE, 1);
                map_spread(&mailbox.sender, THERE, 2);
            },
            |mailbox| {
                let sender = &*mailbox.sender;
                let own = sender.task_self();
                let size = 100 * PAGE - skip;
                let copied = granted(vm::vm_copy(sender, own, HERE, size, THERE + 40 * PAGE + skip));
                granted(vm::vm_inherit(sender, own, THERE + PAGE, PAGE, Inheritance::Share as u32, 0));
                let here = if copied.is_some() && skip == 0 { 1 } else { 2 };
                if copied.is_none() || skip == 0 {
                    let read = vm::vm_peek(sender, own, THERE + 60 * PAGE, 1).expect("the page is there");
                    assert_eq!(read.results.data[0], here, "all or nothing");
                }
            },
        );
    }
}

#[test]
fn while_memory_is_read_and_written() {
    at_every_allocation(
        |mailbox| {
            map_spread(&mailbox.receiver, HERE, 1);
            map_spread(&mailbox.sender, HERE, 2);
        },
        |mailbox| {
            let door = mailbox.receiver.give(&mailbox.sender, mailbox.receiver.task_self(), Disposition::CopySend);
            let sender = &*mailbox.sender;
            if let Some(reply) = granted(vm::vm_read(sender, door, HERE + 7, 60 * PAGE)) {
                assert_eq!(reply.memory.size, 60 * PAGE);
                granted(vm::vm_deallocate(sender, mailbox.sender.task_self(), reply.memory.address - 7, 61 * PAGE));
            }
            let written = vm::vm_write(sender, door, HERE, Descriptor::memory(HERE, 64 * PAGE, 0));
            let first = granted(written).map_or(1, |_| 2);
            let seen = granted(vm::vm_peek(sender, door, HERE, 1)).map_or(first, |reply| reply.results.data[0]);
            assert_eq!(seen, first);
        },
    );
}

#[test]
fn while_memory_is_inherited() {
    at_every_allocation(
        |mailbox| {
            map_spread(&mailbox.sender, HERE, 1);
            map_spread(&mailbox.sender, HERE + (1 << 30), 2);
            let own = mailbox.sender.task_self();
            let shared = Inheritance::Share as u32;
            vm::vm_inherit(&*mailbox.sender, own, HERE + 20 * PAGE, 40 * PAGE, shared, 0).expect("to be shared");
        },
        |mailbox| {
            let sender = &*mailbox.sender;
            let own = sender.task_self();
            let limits = routine::Limits { memory: 100_000, ports: 5, frames: 400 };
            let inherit = routine::CreateFlags::INHERIT.bits();
            for _ in 0..2 {
                if let Some(child) = granted(routine::create(sender, own, [b'x'; 32], limits, inherit, 0, no_right())) {
                    granted(vm::vm_poke(sender, child.rights[0], HERE, 1, [9; vm::INLINE_MAX]));
                    assert_eq!(routine::terminate(sender, child.rights[0]).map(|_| ()), Ok(()));
                }
            }
            assert_eq!(sender.load(HERE + 20 * PAGE, 1), [1]);
        },
    );
}

#[test]
fn while_objects_are_made_and_shared() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let sender = &*mailbox.sender;
            let own = sender.task_self();
            for _ in 0..20 {
                if let Some(object) = granted(vm::memory_object_create(sender, own, 1 << 30)) {
                    granted(memory_object::derive(sender, object.rights[0], 1, 0));
                }
            }
        },
    );
}

#[test]
fn while_an_object_grows_and_gets_frames() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let sender = &*mailbox.sender;
            let Some(object) = granted(vm::memory_object_create(sender, sender.task_self(), 1)) else { return };
            for size in [1, 65, 5000, 1 << 28].map(|pages| pages * PAGE_SIZE as u64) {
                if granted(memory_object::set_size(sender, object.rights[0], size)).is_some() {
                    granted(memory_object::reserve(sender, object.rights[0], size - 1, 1));
                }
            }
        },
    );
}

#[test]
fn while_pages_are_touched() {
    at_every_allocation(
        |mailbox| {
            let own = mailbox.sender.task_self();
            let (protection, flags) = (Protection::READ_WRITE.bits(), MapFlags::empty().bits());
            let mapped =
                vm::vm_map(&*mailbox.sender, own, HERE, 1 << 30, 0, protection, protection, COPY, flags, no_right())
                    .map(|_| ());
            assert_eq!(mapped, Ok(()));
        },
        |mailbox| {
            for page in [0, 100, 70_000, 200_000] {
                let store = Action::Store { address: HERE + page * PAGE, bytes: vec![1] };
                let touched = mailbox.sender.perform(vec![store]).result();
                if touched != Some(Outcome::Done) {
                    // No memory for the page: the task has been ended, and only that.
                    assert!(mailbox.system.console().contains("no memory is left"));
                    return;
                }
            }
        },
    );
}

#[test]
fn while_the_kernel_answers_the_long_way() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let first = mailbox.system.first();
            let Ok(reply) = first.port_allocate(Capacity::DEFAULT) else { return };
            let body = host::arguments::Trace { from: 0, cpu: 0, reserved: 0 };
            for _ in 0..3 {
                let request = Message::to(first.host_port()).reply(reply, Disposition::MakeSendOnce);
                let request = request.id(host::Trace::ID).text(body.as_bytes());
                let sent = first.send(request, WhenFull::Wait).result().expect("the first task lives");
                assert!(sent.is_ok() || sent == Err(Error::SendNoBuffer), "{sent:?}");
            }
            first.port_deallocate(reply).expect("ours");
        },
    );
}

#[test]
fn while_interrupts_are_bound_and_told() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let first = mailbox.system.first();
            let Ok(port) = first.port_allocate(Capacity::DEFAULT) else { return };
            for line in [0, 1, 3, 15] {
                let right = Descriptor::port(port, Disposition::MakeSend as u8);
                if let Some(bound) = granted(host::interrupt_bind(&**first, first.host_port(), line, 0, right)) {
                    mailbox.system.interrupt(line);
                    // Telling needs no memory but the receiver's name for nothing.
                    let told = first.receive_now(port).result();
                    assert!(told.is_some());
                    first.port_deallocate(bound.rights[0]).expect("ours");
                }
            }
            first.port_deallocate(port).expect("ours");
        },
    );
}

#[test]
fn while_io_ports_are_claimed() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let first = mailbox.system.first();
            for start in [0x40, 0x3f8] {
                if let Some(claimed) = granted(host::io_claim(&**first, first.host_port(), start, 8)) {
                    first.port_deallocate(claimed.rights[0]).expect("ours");
                }
            }
        },
    );
}

#[test]
fn while_device_memory_is_claimed_and_mapped() {
    at_every_allocation(
        |_| (),
        |mailbox| {
            let first = mailbox.system.first();
            let Some(screen) = granted(host::framebuffer(&**first, first.host_port())) else { return };
            let address = screen.results.framebuffer.address;
            let Some(claimed) = granted(host::device_memory(&**first, first.host_port(), address, PAGE)) else {
                return;
            };
            let object = Descriptor::port(claimed.rights[0], Disposition::CopySend as u8);
            let (own, usable) = (first.task_self(), Protection::READ_WRITE.bits());
            if granted(vm::vm_map(&**first, own, HERE, PAGE, 0, usable, usable, COPY, 0, object)).is_some() {
                granted(vm::vm_deallocate(&**first, own, HERE, PAGE));
            }
            first.port_deallocate(claimed.rights[0]).expect("ours");
        },
    );
}

#[test]
fn while_tasks_die() {
    at_every_allocation(
        |mailbox| {
            for _ in 0..20 {
                let port = mailbox.sender.port(Capacity::DEFAULT);
                mailbox.sender.give_send(&mailbox.receiver, port);
                let message = message_of(mailbox, 600, 5);
                mailbox.sender.send(message, WhenFull::Wait).done().expect("a send");
            }
        },
        |mailbox| {
            let first = mailbox.system.first();
            let request = Message::to(mailbox.sender.kernel_port()).id(routine::Terminate::ID);
            // Ending something needs no memory.
            assert_eq!(first.send(request, WhenFull::Wait).result(), Some(Ok(())));
            let kind = mailbox.receiver.receive_now(mailbox.receiver.notify()).result();
            assert!(kind.is_some());
        },
    );
}

#[test]
fn while_the_kernel_starts() {
    let failures: [fn(u32) -> Fail; 2] = [Fail::Once, Fail::From];
    for fail in failures {
        for number in 0..MANY {
            let hardware = Hardware { frames: 512, archive: program::archive(), command_line: "" };
            let (machine, boot, _cpu) = hardware.power_on();
            heap::fail(fail(number));
            let started = heap::in_kernel(|| kernel::boot::kernel(machine, &boot).is_ok());
            let failed = heap::failing() == Fail::Never || heap::failing() == Fail::From(0);
            heap::fail(Fail::Never);
            if !failed {
                assert!(started);
                break;
            }
            assert!(number + 1 < MANY);
        }
    }
}

#[test]
fn while_a_full_mailbox_is_dealt_with() {
    let full = |mailbox: &Mailbox| {
        mailbox.receiver.port_set_backlog(mailbox.port, Capacity::Bounded(1)).expect("a mailbox with one place");
        mailbox.send("filling", WhenFull::Return).done().expect("a place");
    };
    at_every_allocation(full, |mailbox| {
        let (sender, place) = (&mailbox.sender, mailbox.sender.buffers().0 + 0x800);
        let cached = mailbox.send("cached", WhenFull::Cache).result();
        if cached == Some(Err(Error::SendWillNotify)) {
            let (me, to) = (sender.task_self(), mailbox.to);
            granted(port::port_cached_take_back(&**sender, me, to, Name::NULL, place, 2048, 0));
        }
        // Either way the mailbox has one message, which gives way to another.
        let receiver = &mailbox.receiver;
        let code = portolan_abi::AtFull::DropOldest.code();
        if granted(port::port_set_full(&**receiver, receiver.task_self(), mailbox.port, code)).is_some()
            && let Some(sent) = mailbox.send("young", WhenFull::Return).result()
        {
            granted(sent);
        }
    });
}
