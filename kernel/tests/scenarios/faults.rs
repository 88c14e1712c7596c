//! Bad input of every kind: an exact error, or the end of the one who did it; never more.

use crate::harness::{MEMORY, Mailbox, Message, System, Task, WhenFull, no_right};
use portolan_abi::call::{DEBUG_WRITE_MAX, Receive, Send, number};
use portolan_abi::message::{Descriptor, Options};
use portolan_abi::task as routine;
use portolan_abi::vm::{self, Inheritance, MapFlags, USER_END};
use portolan_abi::{Call, Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result};
use portolan_machine::Exception;
use portolan_machine::sim::script::{Action, Outcome};

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;
/// Addresses that no task can use, all multiples of 8.
const BAD: [u64; 12] = [
    0,
    8,
    0xff8,
    HERE,
    USER_END,
    USER_END - 8,
    (1 << 47) - 8,
    1 << 47,
    0xffff_8000_0000_0000,
    0xffff_ffff_8020_0000,
    u64::MAX - 7,
    u64::MAX - 4095,
];

fn map(task: &Task, address: u64, protection: Protection) {
    let (own, flags) = (task.task_self(), MapFlags::empty().bits());
    vm::vm_map(
        &**task,
        own,
        address,
        PAGE,
        0,
        protection.bits(),
        Protection::all().bits(),
        Inheritance::Copy as u32,
        flags,
        no_right(),
    )
    .expect("a mapping");
}

fn send_from(task: &Task, address: u64, size: u32) -> Result<()> {
    let send = Send { address, size, timeout: 0 };
    task.call(Call::Message { send: Some(send), receive: None, options: Options::empty() }).done().0
}

fn receive_into(task: &Task, port: Name, address: u64, size: u32) -> Result<()> {
    let receive = Receive { address, size, port, timeout: 0 };
    task.call(Call::Message { send: None, receive: Some(receive), options: Options::RCV_TIMEOUT }).done().0
}

#[test]
fn a_message_cannot_be_sent_from_memory_that_is_not_there() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    for address in BAD {
        assert_eq!(send_from(&mailbox.sender, address, 64), Err(Error::SendInvalidMemory), "{address:#x}");
    }
    assert_eq!(mailbox.messages(), 0);
}

#[test]
fn a_message_cannot_be_received_into_memory_that_is_not_there() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.send("kept", WhenFull::Wait);
    for address in BAD {
        let result = receive_into(&mailbox.receiver, mailbox.port, address, 256);
        assert_eq!(result, Err(Error::ReceiveInvalidMemory), "{address:#x}");
    }
    assert_eq!(mailbox.take_all(), ["kept"]);
}

#[test]
fn a_buffer_must_be_aligned() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.send("kept", WhenFull::Wait);
    let (from, to) = mailbox.receiver.buffers();
    for offset in 1..8 {
        assert_eq!(send_from(&mailbox.receiver, from + offset, 24), Err(Error::SendInvalidMemory));
        let result = receive_into(&mailbox.receiver, mailbox.port, to + offset, 256);
        assert_eq!(result, Err(Error::ReceiveInvalidMemory));
    }
    assert_eq!(mailbox.take_all(), ["kept"]);
}

#[test]
fn a_buffer_may_not_reach_into_memory_that_is_not_there() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let task = &mailbox.receiver;
    map(task, HERE, Protection::READ_WRITE);
    let edge = HERE + PAGE - 32;
    mailbox.send("kept", WhenFull::Wait);
    assert_eq!(receive_into(task, mailbox.port, edge, 128), Err(Error::ReceiveInvalidMemory));
    let message = Message::by(mailbox.port, portolan_abi::Disposition::MakeSend).text([0; 100]).bytes();
    task.store(edge, &message[..32]).done();
    assert_eq!(send_from(task, edge, message.len() as u32), Err(Error::SendInvalidMemory));
    assert_eq!(mailbox.take_all(), ["kept"]);
    assert_eq!(task.status(mailbox.port).make_send_count, 1);
}

#[test]
fn a_buffer_at_the_end_of_user_memory_does_not_wrap() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let task = &mailbox.receiver;
    map(task, USER_END - PAGE, Protection::READ_WRITE);
    mailbox.send("kept", WhenFull::Wait);
    for size in [PAGE as u32 + 1, 65_536, u32::MAX] {
        let result = receive_into(task, mailbox.port, USER_END - PAGE, size);
        assert!(result == Err(Error::ReceiveInvalidMemory) || result == Ok(()), "{size:#x}: {result:?}");
        if result == Ok(()) {
            mailbox.send("kept", WhenFull::Wait);
        }
    }
    assert_eq!(receive_into(task, mailbox.port, USER_END - PAGE, PAGE as u32), Ok(()));
    mailbox.send("kept", WhenFull::Wait);
    assert_eq!(receive_into(task, mailbox.port, u64::MAX - 7, u32::MAX), Err(Error::ReceiveInvalidMemory));
    assert_eq!(send_from(task, u64::MAX - 7, 65_536), Err(Error::SendInvalidMemory));
}

#[test]
fn a_message_cannot_be_received_into_memory_that_is_read_only() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    mailbox.send("kept", WhenFull::Wait);
    map(&mailbox.receiver, HERE, Protection::READ);
    assert_eq!(receive_into(&mailbox.receiver, mailbox.port, HERE, 256), Err(Error::ReceiveInvalidMemory));
    assert_eq!(mailbox.take_all(), ["kept"]);
}

#[test]
fn a_receiver_whose_buffer_goes_while_it_waits_is_told_and_the_message_kept() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let task = &mailbox.receiver;
    map(task, HERE, Protection::READ_WRITE);
    let thread = task.thread();
    let receive = Receive { address: HERE, size: 256, port: mailbox.port, timeout: 0 };
    let call = Call::Message { send: None, receive: Some(receive), options: Options::empty() };
    let waiting = thread.call(call);
    assert!(waiting.waits());
    vm::vm_deallocate(&**task, task.task_self(), HERE, PAGE).expect("the buffer goes");
    assert_eq!(mailbox.send("kept", WhenFull::Wait).done(), Ok(()));
    assert_eq!(waiting.done().0, Err(Error::ReceiveInvalidMemory));
    assert_eq!(mailbox.take_all(), ["kept"]);
}

#[test]
fn what_a_sender_changes_after_the_call_has_no_effect() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let thread = mailbox.sender.thread();
    let send = thread.send(Message::to(mailbox.to).text("as it was"), WhenFull::Wait);
    let (address, _) = thread.buffers();
    mailbox.sender.store(address, &[0xff; 256]).done();
    assert_eq!(mailbox.take_all(), ["filling", "as it was"]);
    assert_eq!(send.done(), Ok(()));
}

#[test]
fn unknown_traps_are_refused_and_nothing_else_happens() {
    let system = System::boot();
    let task = system.task("task");
    let used = task.info().used;
    for number in [0, 14, 15, 100, 0xffff_ffff, 1 << 32, (1 << 32) | number::TASK_SELF, u64::MAX] {
        assert_eq!(task.trap(number, [u64::MAX; 6]).done(), (Err(Error::InvalidCall), 0), "{number:#x}");
    }
    assert_eq!(task.info().used, used);
}

#[test]
fn garbage_in_every_register_is_only_an_error() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let (address, _) = mailbox.sender.buffers();
    let values =
        [0, 1, 7, 0xffff_ffff, 1 << 32, 1 << 47, 1 << 63, u64::MAX, u64::MAX - 4095, address, mailbox.to.0.into()];
    for number in 1..=11 {
        for (place, value) in (0..6).flat_map(|place| values.map(|value| (place, value))) {
            for rest in [0, u64::MAX] {
                let mut arguments = [rest; 6];
                arguments[place] = value;
                let waits_by_right = number == number::THREAD_SWITCH && arguments[1] == 1;
                if waits_by_right {
                    continue;
                }
                let trap = mailbox.sender.trap(number, arguments);
                mailbox.system.jump_ms(u32::MAX);
                assert!(!trap.waits(), "{number} {arguments:x?}");
            }
        }
    }
}

#[test]
fn unknown_options_are_refused() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (address, _) = mailbox.sender.buffers();
    mailbox.sender.store(address, &Message::to(mailbox.to).bytes());
    let with = |trap, options: u32| mailbox.sender.trap(trap, [address, options.into(), 24, address, 0, 0]).done().0;
    for options in [0x8, 0x10, 0x40, 0x80, 0x200, 0x800, 0x2000, 1 << 31] {
        assert_eq!(with(number::MSG_SEND, options), Err(Error::SendInvalidOptions));
        assert_eq!(with(number::MSG_RPC, options), Err(Error::SendInvalidOptions));
        assert_eq!(with(number::MSG_RECEIVE, options), Err(Error::ReceiveInvalidOptions));
    }
    assert_eq!(with(number::MSG_SEND, Options::RCV_TIMEOUT.bits()), Err(Error::SendInvalidOptions));
    assert_eq!(with(number::MSG_RECEIVE, Options::SEND_NOTIFY.bits()), Err(Error::ReceiveInvalidOptions));
    assert_eq!(mailbox.messages(), 0);
}

#[test]
fn ten_thousand_random_names_find_nothing() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let names = mailbox.sender.info().names;
    let mut state: u32 = 1;
    mailbox.system.unchecked(|| {
        for _ in 0..10_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Not one of the few that exist: those have small indices.
            let name = Name(state | 1 << 19);
            assert_eq!(mailbox.sender.port_deallocate(name), Err(Error::InvalidName));
        }
    });
    assert_eq!(mailbox.sender.info().names, names);
}

#[test]
fn an_exception_ends_only_the_task_that_raised_it_and_is_told() {
    let exceptions = [
        Exception::Divide,
        Exception::Debug,
        Exception::Breakpoint,
        Exception::Overflow,
        Exception::Bound,
        Exception::InvalidInstruction,
        Exception::Protection,
        Exception::Stack,
        Exception::FloatingPoint,
        Exception::Alignment,
        Exception::Other(200),
    ];
    for exception in exceptions {
        let mailbox = Mailbox::new(Capacity::DEFAULT);
        let victim = mailbox.system.task("victim");
        let thread = victim.thread();
        assert!(thread.perform(vec![Action::Raise(exception)]).waits());
        let first = mailbox.system.first();
        assert_eq!(first.port_type(victim.kernel_port()).expect("its name").dead, 1, "{exception:?}");
        assert!(mailbox.system.console().contains("victim"), "{}", mailbox.system.console());
        assert_eq!(mailbox.send("goes on", WhenFull::Wait).done(), Ok(()));
        assert_eq!(mailbox.take_all(), ["goes on"]);
    }
}

#[test]
fn a_bad_access_ends_the_task_and_its_address_is_told() {
    for (address, told) in [(0u64, "0x0"), (0x1234_5678, "12345678"), (USER_END, "7ffffffff000")] {
        let system = System::boot();
        let victim = system.task("victim");
        assert!(victim.perform(vec![Action::Load { address, size: 1 }]).waits());
        assert_eq!(system.first().port_type(victim.kernel_port()).expect("its name").dead, 1);
        let console = system.console();
        assert!(console.contains("victim") && console.contains(told), "{console}");
    }
}

#[test]
fn a_client_whose_server_faults_is_told() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let reply = mailbox.sender.port(Capacity::DEFAULT);
    let request = Message::to(mailbox.to).reply(reply, portolan_abi::Disposition::MakeSendOnce);
    let rpc = mailbox.sender.rpc(request, reply);
    mailbox.receive().done().expect("the request");
    mailbox.receiver.perform(vec![Action::Raise(Exception::Divide)]);
    assert_eq!(rpc.done().expect_err("no reply"), Error::ReceiveReplyLost);
}

#[test]
fn the_debug_console_takes_text_from_good_memory_only() {
    let system = System::boot();
    let task = system.task("task");
    let (address, _) = task.buffers();
    task.store(address, b"written by a task\n").done();
    let write = |address, size| task.call(Call::DebugWrite { address, size }).done().0;
    assert_eq!(write(address, 18), Ok(()));
    assert!(system.console().contains("written by a task\n"));
    assert_eq!(write(address, 0), Ok(()));
    let before = system.console();
    for bad in BAD {
        let result = write(bad, 16);
        assert!(matches!(result, Err(Error::InvalidAddress)), "{bad:#x}: {result:?}");
    }
    assert_eq!(write(address, DEBUG_WRITE_MAX + 1).map_err(|_| ()), Err(()));
    assert_eq!(write(address, u64::MAX).map_err(|_| ()), Err(()));
    assert_eq!(system.console(), before);
}

#[test]
fn threads_start_only_in_user_memory() {
    let system = System::boot();
    let task = system.task("task");
    let threads = task.info().threads;
    let create = |entry, stack| routine::thread_create(&*task, task.task_self(), entry, stack, 0, 16, 0).map(|_| ());
    for bad in [USER_END, 1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
        assert_eq!(create(bad, HERE), Err(Error::InvalidAddress), "entry {bad:#x}");
    }
    for bad in [1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
        assert_eq!(create(HERE, bad), Err(Error::InvalidAddress), "stack {bad:#x}");
    }
    assert_eq!(task.info().threads, threads);
}

#[test]
fn the_kernel_looks_only_where_the_task_itself_may() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let task = &mailbox.receiver;
    map(task, HERE, Protection::READ_WRITE);
    let message = Message::by(mailbox.port, portolan_abi::Disposition::MakeSend).text("in reach").bytes();
    task.store(HERE, &message).done();
    let allow = |protection: Protection| {
        let own = task.task_self();
        vm::vm_protect(&**task, own, HERE, PAGE, protection.bits(), 0).expect("another protection");
    };
    let size = message.len() as u32;
    allow(Protection::empty());
    assert_eq!(send_from(task, HERE, size), Err(Error::SendInvalidMemory));
    allow(Protection::READ_EXECUTE);
    assert_eq!(send_from(task, HERE, size), Ok(()));
    assert_eq!(receive_into(task, mailbox.port, HERE, 256), Err(Error::ReceiveInvalidMemory));
    allow(Protection::empty());
    assert_eq!(receive_into(task, mailbox.port, HERE, 256), Err(Error::ReceiveInvalidMemory));
    allow(Protection::READ_WRITE);
    assert_eq!(receive_into(task, mailbox.port, HERE, 256), Ok(()));
}

/// Messages of which a few bits are wrong are sent, or are an error, and leave nothing behind: rights,
/// memory and arrays in them too. A task that so ends itself is followed by another.
#[test]
fn a_message_with_wrong_bits_is_only_an_error() {
    const TASKS: u64 = 60;
    const MESSAGES: usize = 250;
    let mut sent = 0;
    for seed in 1..=TASKS {
        let mailbox = Mailbox::new(Capacity::Unbounded);
        let Mailbox { system, sender, receiver, .. } = &mailbox;
        let spare = sender.port(Capacity::Unbounded);
        sender.give_send(sender, spare);
        let mut random = Random(seed);
        for _ in 0..MESSAGES {
            system.check_steps(random.below(16) == 0);
            let names = [spare, mailbox.to].map(|name| name.0.to_le_bytes()).concat();
            let memory = Descriptor::memory(MEMORY + 0x2_0000, random.below(3) * 5000, 0);
            let mut bytes = Message::to(mailbox.to)
                .reply(spare, Disposition::MakeSendOnce)
                .right(spare, Disposition::MakeSend)
                .descriptor(Descriptor::ports(NAMES, 1 + random.below(2), Disposition::CopySend as u8))
                .descriptor(memory)
                .text(b"text")
                .bytes();
            for _ in 0..random.below(4) {
                let bit = random.below(8 * bytes.len() as u64) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let (address, size) = (sender.buffers().0, bytes.len() as u32);
            let store = |address, bytes: Vec<u8>| Action::Store { address, bytes };
            let call = Call::Message {
                send: Some(Send { address, size, timeout: 0 }),
                receive: None,
                options: Options::SEND_TIMEOUT,
            };
            let (number, arguments) = call.encode();
            let actions = vec![store(NAMES, names), store(address, bytes), Action::Call(number, arguments)];
            match sender.perform(actions).result() {
                Some(Outcome::Returned { code, .. }) => {
                    assert!(code == 0 || Error::from_code(code).is_some(), "{code}");
                    assert!(code == 0 || Error::from_code(code).is_some(), "{code}");
                    sent += u32::from(code == 0);
                }
                _ => break,
            }
            while let Ok(message) = receiver.receive_now(mailbox.port).done() {
                let names =
                    message.rights.iter().filter(|right| right.kind == Descriptor::PORT).map(|right| right.name);
                for name in names.chain([message.header.remote]).filter(|name| name.is_valid()) {
                    receiver.port_deallocate(name).expect("a right that has just come");
                }
                for memory in message.rights.iter().filter(|memory| memory.kind != Descriptor::PORT && memory.size > 0)
                {
                    let size = if memory.kind == Descriptor::PORTS { PAGE } else { memory.size };
                    let start = memory.address - memory.address % PAGE;
                    let size = (memory.address + size).next_multiple_of(PAGE) - start;
                    vm::vm_deallocate(&**receiver, receiver.task_self(), start, size).expect("memory that came");
                }
            }
        }
        system.check_steps(true);
    }
    assert!(sent > 1000, "only {sent} were sent");
}

/// Where an array of names lies.
const NAMES: u64 = MEMORY + 0x3_0000;

/// Numbers that look random (xorshift with multiplication, Vigna 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}
