//! What no program should send: each wrong argument gets its exact error, and changes nothing.

use crate::asm;
use crate::bare::Bare;
use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Buffer, Message, NONE, Received, call, is_empty, receive, receive_now};
use crate::peer::Peer;
use crate::random::Random;
use crate::space::{self, PAGE};
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::call::{Call, DEBUG_WRITE_MAX, Receive, Send, number};
use portolan::abi::error::result_of;
use portolan::abi::interface::{REPLY_OFFSET, ReplyHead, Routine};
use portolan::abi::message::{Descriptor, Header, Options};
use portolan::abi::vm::USER_END;
use portolan::abi::{
    Capacity, Disposition, Error, Name, Protection, host, memory_object, port as routine, task, thread, vm,
};
use portolan::trap;
use zerocopy::{FromBytes, IntoBytes};

cases!("bad_input":
    unknown_calls,
    high_halves_of_arguments,
    unknown_options,
    options_of_the_other_half,
    unreadable_send_buffers,
    send_buffers_that_cross_an_edge,
    misaligned_send_buffers,
    unwritable_receive_buffers,
    a_bad_receive_buffer_keeps_the_message,
    a_waiting_receiver_with_a_bad_buffer_is_told,
    a_bad_receive_buffer_after_a_send,
    sizes_too_small_and_too_large,
    a_lying_header,
    descriptors_beyond_the_message,
    unknown_descriptors,
    meaningless_header_bits,
    unknown_dispositions,
    bad_text_for_the_console,
    unknown_routines,
    wrong_bodies_for_routines,
    wrong_rights_for_routines,
    requests_without_a_reply_port,
    requests_with_a_dead_reply_port,
    requests_with_a_full_reply_port,
    replies_sent_to_the_kernel,
    a_message_that_changes_while_it_is_sent,
    a_page_that_goes_while_its_thread_waits,
    random_headers,
    random_bytes_to_kernel_ports,
    random_calls,
);

/// Addresses that are not this task's memory, whatever the size.
const NOWHERE: [u64; 12] = [
    0,
    8,
    0xff8,
    0x6fff_ffff_f000,
    USER_END - 8,
    USER_END,
    (1 << 47) - 8,
    1 << 47,
    0xffff_8000_0000_0000,
    0xffff_ffff_8020_0000,
    u64::MAX - 63,
    u64::MAX - 7,
];

fn unknown_calls() -> Verdict {
    for number in [0, 14, 15, 100, 0xffff, 1 << 31, 1 << 32, 1 << 32 | 6, 1 << 63, u64::MAX] {
        let (code, value) = asm::trap(number, [u64::MAX; 6]);
        same!((result_of(code), value), (Err(Error::InvalidCall), 0));
    }
    Ok(())
}

fn high_halves_of_arguments() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let high = 1 << 32;
    let wrong = [
        (number::PORT_ALLOCATE, [high, 0, 0, 0, 0, 0]),
        (number::PORT_ALLOCATE, [high | 5, 0, 0, 0, 0, 0]),
        (number::PORT_DEALLOCATE, [high | u64::from(port.0), 0, 0, 0, 0, 0]),
        (number::THREAD_SWITCH, [high, 0, 0, 0, 0, 0]),
        (number::THREAD_SWITCH, [0, 1, high, 0, 0, 0]),
        (number::THREAD_SWITCH, [0, 2, 0, 0, 0, 0]),
        (number::THREAD_SWITCH, [0, high, 0, 0, 0, 0]),
        (number::MSG_SEND, [0, 0, 24, 0, 0, 1]),
        (number::MSG_RECEIVE, [0, 0, 0, 0, 0, high]),
    ];
    for (index, (number, arguments)) in wrong.into_iter().enumerate() {
        let result = result_of(asm::trap(number, arguments).0);
        holds!(result == Err(Error::InvalidArgument), index, result);
    }
    same!((port::kind(port)?.receive, port::kind(port)?.send), (1, 1));
    Ok(())
}

fn unknown_options() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let message = Message::copy_to(port).lay_out();
    for bit in 0..32 {
        let options = Options::from_bits_retain(1 << bit);
        // This one only says more of another.
        let known = Options::all().contains(options) && options != Options::SEND_NOTIFY_THREAD;
        let sent = message.send(options, 0);
        if known && Options::SEND.contains(options) {
            same!(sent, Ok(()));
            receive_now(port)?;
        } else {
            holds!(sent == Err(Error::SendInvalidOptions), bit, sent);
        }
    }
    holds!(is_empty(port));
    Ok(())
}

fn options_of_the_other_half() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for options in [Options::RCV_TIMEOUT, Options::RCV_INTERRUPT] {
        same!(Message::copy_to(port).send_with(options, 0), Err(Error::SendInvalidOptions));
    }
    let mut buffer = Buffer::new(200);
    for options in [Options::SEND_TIMEOUT, Options::SEND_NOTIFY, Options::SEND_INTERRUPT, Options::SEND_SWITCH] {
        let half = buffer.receive_half(port);
        same!(call(None, Some(half), options | Options::RCV_TIMEOUT).0, Err(Error::ReceiveInvalidOptions));
    }
    holds!(is_empty(port));
    Ok(())
}

fn send_from(address: u64, size: u32) -> Result<(), Error> {
    call(Some(Send { address, size, timeout: 0 }), None, Options::SEND_TIMEOUT).0
}

fn unreadable_send_buffers() -> Verdict {
    for address in NOWHERE {
        for size in [24, 32, 4096, 65_536] {
            let result = send_from(address, size);
            holds!(result == Err(Error::SendInvalidMemory), address, size, result);
        }
    }
    Ok(())
}

fn send_buffers_that_cross_an_edge() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let memory = space::fresh(3 * PAGE)?;
    space::unmap(memory + PAGE, PAGE)?;
    let header = Message::copy_to(port).lay_out();
    // All but the last bytes are there.
    for (start, size) in
        [(memory + PAGE - 24, 32), (memory + PAGE - 32, 40), (memory, 4104), (memory + 2 * PAGE - 8, 40)]
    {
        if start < memory + PAGE {
            space::write(start, header.bytes());
        }
        let result = send_from(start, size);
        holds!(result == Err(Error::SendInvalidMemory), start - memory, size, result);
    }
    space::write(memory + PAGE - 24, header.bytes());
    same!(send_from(memory + PAGE - 24, 24), Ok(()));
    same!(receive_now(port)?.header.size, 24);
    holds!(is_empty(port));
    Ok(())
}

fn misaligned_send_buffers() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let memory = space::fresh(PAGE)?;
    for offset in 1..8 {
        same!(send_from(memory + offset, 24), Err(Error::SendInvalidMemory));
        let receive = Receive { address: memory + offset, size: 100, port, timeout: 0 };
        same!(call(None, Some(receive), Options::RCV_TIMEOUT).0, Err(Error::ReceiveInvalidMemory));
    }
    Ok(())
}

/// Tries to receive what is at the port into memory that cannot take it.
fn receive_into(port: Name, address: u64, size: u32) -> Result<(), Error> {
    call(None, Some(Receive { address, size, port, timeout: 0 }), Options::RCV_TIMEOUT).0
}

fn unwritable_receive_buffers() -> Verdict {
    let (port, right) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    Message::copy_to(port).id(1).right(right, Disposition::MoveReceive).send()?;
    let names = portolan::task::Task::this().info()?.names;
    for address in NOWHERE {
        let result = receive_into(port, address, 4096);
        holds!(result == Err(Error::ReceiveInvalidMemory), address, result);
    }
    let text = unwritable_receive_buffers as *const () as u64 & !7;
    same!(receive_into(port, text, 4096), Err(Error::ReceiveInvalidMemory));
    same!(portolan::task::Task::this().info()?.names, names);
    same!(receive_now(port)?.right(0), right);
    Ok(())
}

fn a_bad_receive_buffer_keeps_the_message() -> Verdict {
    let (port, right) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    let memory = space::fresh(2 * PAGE)?;
    space::protect(memory + PAGE, PAGE, Protection::READ)?;
    let message = Message::copy_to(port).id(5).right(right, Disposition::CopySend).body(&[7; 200]);
    message.send()?;
    for start in [memory + PAGE - 8, memory + PAGE - 48, memory + PAGE - 240, memory + PAGE, memory + PAGE + 8] {
        same!(receive_into(port, start, 1000), Err(Error::ReceiveInvalidMemory));
        holds!(space::is_zero(memory, 2 * PAGE), start - memory);
    }
    same!((port::status(port)?.messages, port::status(right)?.send_rights), (1, 2));
    same!(receive_now(port)?.body, message.body);
    Ok(())
}

fn a_waiting_receiver_with_a_bad_buffer_is_told() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let (hand, good) = (Hand::here()?, Hand::here()?);
    let receive = Receive { address: 0xffff_8000_0000_0000, size: 4096, port, timeout: 0 };
    let bad = hand.start_call(Call::Message { send: None, receive: Some(receive), options: NONE })?;
    hand.waits(&bad, thread::State::Receiving)?;
    let waits = good.receive(port, NONE, 0)?;
    good.waits(&waits, thread::State::Receiving)?;
    Message::copy_to(port).id(6).send()?;
    same!(bad.finish()?.result, Err(Error::ReceiveInvalidMemory));
    same!(waits.finish()?.received()?.header.id, 6);
    Ok(())
}

fn a_bad_receive_buffer_after_a_send() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let message = Message::copy_to(port).id(8).lay_out();
    let receive = Receive { address: 8, size: 4096, port, timeout: 0 };
    let (result, _) = call(Some(message.send_half()), Some(receive), Options::RCV_TIMEOUT);
    // The error says which half: the message was sent, once.
    same!(result, Err(Error::ReceiveInvalidMemory));
    same!(receive_now(port)?.header.id, 8);
    holds!(is_empty(port));
    let (result, _) = call(Some(message.send_half()), Some(Receive { port: Name(77), ..receive }), NONE);
    same!(result, Err(Error::ReceiveInvalidPort));
    same!(receive_now(port)?.header.id, 8);
    Ok(())
}

fn sizes_too_small_and_too_large() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let buffer = Message::copy_to(port).lay_out();
    for size in [0, 1, 8, 16, 23] {
        same!(send_from(buffer.address(), size), Err(Error::SendTooSmall));
    }
    for size in [65_537, 65_544, 1 << 20, i32::MAX as u32, 1 << 31, u32::MAX] {
        same!(send_from(buffer.address(), size), Err(Error::SendTooLarge));
    }
    holds!(is_empty(port));
    Ok(())
}

fn a_lying_header() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for size in [0, 24, 1000, u32::MAX] {
        let mut buffer = Message::copy_to(port).id(3).body(b"sixteen bytes ok").lay_out();
        buffer.edit_header(|header| header.size = size);
        same!(buffer.send(Options::SEND_TIMEOUT, 0), Ok(()));
        // What counts is the size in the call, and that is what arrives.
        let message = receive_now(port)?;
        same!((message.header.size, message.body.as_slice()), (40, b"sixteen bytes ok".as_slice()));
    }
    Ok(())
}

fn descriptors_beyond_the_message() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let mut buffer = Message::copy_to(port).body(&[0; 100]).lay_out();
    for count in [5, 6, 64] {
        buffer.edit_header(|header| header.descriptors = count);
        same!(buffer.send(Options::SEND_TIMEOUT, 0), Err(Error::SendTooSmall));
    }
    for count in [65, 100, 0x0aaa_aaab, 1 << 31, u32::MAX] {
        buffer.edit_header(|header| header.descriptors = count);
        same!(buffer.send(Options::SEND_TIMEOUT, 0), Err(Error::SendTooLarge));
    }
    holds!(is_empty(port));
    Ok(())
}

fn unknown_descriptors() -> Verdict {
    let (port, right) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    let good = Descriptor::port(right, Disposition::CopySend as u8);
    let wrong = [
        Descriptor { kind: 1, ..good },
        Descriptor { kind: 255, ..good },
        Descriptor { flags: 1, ..good },
        Descriptor { flags: 0x8000, ..good },
        Descriptor { address: 8, ..good },
        Descriptor { size: 1, ..good },
        Descriptor { disposition: 0, ..good },
        Descriptor { disposition: 15, ..good },
        Descriptor { disposition: 22, ..good },
        Descriptor { disposition: 255, ..good },
    ];
    for (index, descriptor) in wrong.into_iter().enumerate() {
        for before in [0, 1, 3] {
            let mut message = Message::copy_to(port);
            message.rights = [good].repeat(before);
            message.rights.push(descriptor);
            let result = message.send();
            holds!(result == Err(Error::SendInvalidType), index, before, result);
            same!((port::status(right)?.send_rights, port::kind(right)?.send), (1, 1));
        }
    }
    holds!(is_empty(port));
    Ok(())
}

fn meaningless_header_bits() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for bit in 16..32 {
        let mut message = Message::copy_to(port);
        message.header.bits |= 1 << bit;
        same!(message.send(), Err(Error::SendInvalidHeader));
    }
    holds!(is_empty(port));
    Ok(())
}

fn unknown_dispositions() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for code in (0..=255).filter(|code| Disposition::from_code(*code).is_none()) {
        let mut message = Message::copy_to(port);
        message.header.bits = Header::bits_of(code, 0);
        same!(message.send(), Err(Error::SendInvalidHeader));
        let mut message = Message::copy_to(port).reply(port, Disposition::MakeSend);
        message.header.bits = Header::bits_of(Disposition::CopySend as u8, code);
        same!(message.send(), Err(Error::SendInvalidReply));
    }
    holds!(is_empty(port));
    same!(port::status(port)?.send_rights, 1);
    Ok(())
}

fn bad_text_for_the_console() -> Verdict {
    let write = |address, size| result_of(asm::trap(number::DEBUG_WRITE, [address, size, 0, 0, 0, 0]).0);
    for address in NOWHERE {
        same!(write(address, 64), Err(Error::InvalidAddress));
    }
    let memory = space::fresh(2 * PAGE)?;
    space::unmap(memory + PAGE, PAGE)?;
    same!(write(memory + PAGE - 16, 17), Err(Error::InvalidAddress));
    for size in [DEBUG_WRITE_MAX + 1, 1 << 32, 1 << 63, u64::MAX] {
        same!(write(memory, size), Err(Error::InvalidArgument));
    }
    same!(write(memory, 0), Ok(()));
    Ok(())
}

/// Sends a request to a kernel port; the code in its reply.
fn ask(message: Message) -> Result<(u32, Result<(), Error>), Error> {
    let reply = trap::port_allocate(Capacity::Bounded(1))?;
    let answer = message.reply(reply, Disposition::MakeSendOnce).rpc(reply)?;
    trap::port_deallocate(reply)?;
    let (head, _) = ReplyHead::read_from_prefix(&answer.body).map_err(|_| Error::Failure)?;
    Ok((answer.header.id, result_of(head.code)))
}

fn kernel_ports() -> Result<[Name; 3], Error> {
    Ok([trap::task_self(), trap::thread_self(), space::object(PAGE)?])
}

fn unknown_routines() -> Verdict {
    for port in kernel_ports()? {
        for id in [0, 1, 1999, 2000, 2016, 2100, 2200, 2299, 2400, 2499, host::Exit::ID, 0x7fff_ffff, u32::MAX] {
            same!(ask(Message::copy_to(port).id(id))?, (id.wrapping_add(REPLY_OFFSET), Err(Error::BadId)));
        }
    }
    Ok(())
}

fn wrong_bodies_for_routines() -> Verdict {
    let me = trap::task_self();
    let right = size_of::<routine::arguments::PortType>();
    for size in [0, 1, right - 1, right + 1, 100, 128, 129, 4000] {
        let request = Message::copy_to(me).id(routine::PortType::ID).body(&[0; 4000][..size]);
        same!(ask(request)?.1, Err(Error::BadArguments));
    }
    same!(ask(Message::copy_to(me).id(task::Terminate::ID).body(&[0]))?.1, Err(Error::BadArguments));
    let object = space::object(PAGE)?;
    same!(ask(Message::copy_to(object).id(memory_object::Info::ID).body(&[0; 8]))?.1, Err(Error::BadArguments));
    let thread = trap::thread_self();
    same!(ask(Message::copy_to(thread).id(thread::SetPriority::ID).body(&[0; 4]))?.1, Err(Error::BadArguments));
    Ok(())
}

fn wrong_rights_for_routines() -> Verdict {
    let me = trap::task_self();
    let port = port::open(Capacity::DEFAULT)?;
    let once = trap::port_allocate(Capacity::DEFAULT)?;
    let with = |message: Message| message.right(port, Disposition::CopySend).right(once, Disposition::MakeSendOnce);
    // Rights for a routine that takes none, or too many, are destroyed: their ports are told.
    for message in [
        with(Message::copy_to(me).id(task::Info::ID)),
        with(Message::copy_to(me).id(routine::PortInsertRight::ID).body(&[0; 8])),
        with(Message::copy_to(me).id(12_345)),
    ] {
        let result = ask(message)?.1;
        holds!(matches!(result, Err(Error::BadArguments | Error::BadId)), result);
        same!(crate::notice::Notice::of(&receive(once)?).is_some(), true);
        same!((port::status(port)?.send_rights, port::status(once)?.send_once_rights), (1, 0));
    }
    // None where one is due.
    let none = Message::copy_to(me).id(routine::PortInsertRight::ID).body(&[0; 8]);
    same!(ask(none)?.1, Err(Error::BadArguments));
    Ok(())
}

fn requests_without_a_reply_port() -> Verdict {
    let before = portolan::task::Task::this().info()?;
    let arguments = routine::arguments::PortAllocate { capacity: 5, reserved: 0 };
    let request = Message::copy_to(trap::task_self()).id(routine::PortAllocate::ID).body(arguments.as_bytes());
    same!(request.send(), Ok(()));
    // It was done, and nobody was told.
    same!(portolan::task::Task::this().info()?.used.ports, before.used.ports + 1);
    for _ in 0..20 {
        same!(
            Message::copy_to(trap::task_self()).id(vm::MemoryObjectCreate::ID).body(&PAGE.to_le_bytes()).send(),
            Ok(())
        );
    }
    // Rights in replies that nobody gets are destroyed, and the objects with them.
    same!(portolan::task::Task::this().info()?.used.ports, before.used.ports + 1);
    Ok(())
}

fn requests_with_a_dead_reply_port() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    peer.deallocate(there)?;
    let before = portolan::task::Task::this().info()?.used.ports;
    let request = Message::copy_to(trap::task_self()).id(vm::MemoryObjectCreate::ID).body(&PAGE.to_le_bytes());
    let result = request.reply(right, Disposition::CopySend).send();
    holds!(matches!(result, Ok(()) | Err(Error::SendInvalidReply)), result);
    same!(portolan::task::Task::this().info()?.used.ports, before);
    Ok(())
}

fn requests_with_a_full_reply_port() -> Verdict {
    let full = port::open(Capacity::Bounded(1))?;
    Message::copy_to(full).id(1).send_now()?;
    let request = Message::copy_to(trap::task_self()).id(task::Info::ID).reply(full, Disposition::MakeSendOnce);
    // A kernel's reply never waits.
    same!(request.send_now(), Ok(()));
    same!(receive_now(full)?.header.id, 1);
    let answer = receive_now(full)?;
    same!(answer.header.id, task::Info::ID + REPLY_OFFSET);
    holds!(answer.is_from_kernel());
    Ok(())
}

fn replies_sent_to_the_kernel() -> Verdict {
    // The kernel's reply to a request goes to the kernel: that ends there.
    let me = trap::task_self();
    for _ in 0..10 {
        same!(Message::copy_to(me).id(task::Info::ID).reply(me, Disposition::CopySend).send(), Ok(()));
    }
    same!(port::kind(me)?.send, 1);
    Ok(())
}

fn a_message_that_changes_while_it_is_sent() -> Verdict {
    // A second task rewrites the header, over and over, while this one sends it.
    let (port, right) = (port::open(Capacity::Unbounded)?, port::open(Capacity::DEFAULT)?);
    let object = space::object(PAGE)?;
    let here = space::map(object, Protection::READ_WRITE)?;
    let message = Message::copy_to(port).right(right, Disposition::CopySend).body(&[1; 48]).lay_out();
    space::write(here, message.bytes());
    let flip = Bare::start(&[asm::started(), asm::wait(), asm::flip_descriptors()])?;
    space::map_into(flip.task, object, 0x20_1000, Protection::READ_WRITE)?;
    flip.release(1);
    let (mut with, mut without) = (0, 0);
    for _ in 0..2000 {
        match send_from(here, message.bytes().len() as u32) {
            Ok(()) => match receive_now(port)? {
                Received { rights, body, .. } if rights.len() == 1 && body.len() == 48 => with += 1,
                Received { rights, body, .. } if rights.is_empty() && body.len() == 72 => without += 1,
                other => holds!(false, other),
            },
            Err(error) => same!(error, Error::SendTooSmall),
        }
        trap::thread_switch(Name::NULL, None)?;
    }
    holds!(with + without > 0, with, without);
    same!(port::status(right)?.send_rights, 1);
    Ok(())
}

fn a_page_that_goes_while_its_thread_waits() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    let memory = space::fresh(PAGE)?;
    asm::store(memory, 1);
    let receive = Receive { address: memory, size: 1000, port, timeout: 0 };
    let waits = hand.start_call(Call::Message { send: None, receive: Some(receive), options: NONE })?;
    hand.waits(&waits, thread::State::Receiving)?;
    space::unmap(memory, PAGE)?;
    Message::copy_to(port).id(2).send()?;
    same!(waits.finish()?.result, Err(Error::ReceiveInvalidMemory));
    same!(receive_now(port)?.header.id, 2);

    // The same for a sender: what it sent is safe, its page may go.
    let full = port::open(Capacity::Zero)?;
    let page = space::fresh(PAGE)?;
    space::write(page, Message::copy_to(full).id(3).body(&[9; 800]).lay_out().bytes());
    let send = Send { address: page, size: 824, timeout: 0 };
    let waits = hand.start_call(Call::Message { send: Some(send), receive: None, options: NONE })?;
    hand.waits(&waits, thread::State::Sending)?;
    space::unmap(page, PAGE)?;
    same!(receive_now(full)?.body, [9; 800]);
    Ok(waits.finish()?.result?)
}

/// Messages of which a few bits are wrong, sent by a task that may lose its own rights by it.
fn random_headers() -> Verdict {
    let mut random = Random::new(0x5eed_0004);
    let mut delivered = 0;
    for _ in 0..3 {
        let peer = Peer::start()?;
        let port = port::open(Capacity::DEFAULT)?;
        let names =
            [peer.give(port, Disposition::MakeSend)?, peer.port(Capacity::DEFAULT)?, Name::NULL, Name::DEAD, Name(77)];
        for _ in 0..400 {
            let mut message = Message::copy_to(names[0]).body(&[0; 96]);
            for _ in 0..random.below(3) {
                let name = names[random.below(names.len() as u64) as usize];
                message.rights.push(Descriptor::port(name, 16 + random.below(7) as u8));
            }
            let mut buffer = message.lay_out();
            for _ in 0..random.below(3) {
                let bit = random.below(8 * 72);
                buffer.bytes_mut()[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            let Ok(Some(_)) = peer.hand.send_bytes(&buffer)?.end() else { break };
            while let Ok(message) = receive_now(port) {
                delivered += 1;
                for name in message.rights.iter().map(|right| right.name).chain([message.header.remote]) {
                    if name.is_valid() && name != port {
                        let _ = trap::port_deallocate(name);
                    }
                }
            }
            while crate::notice::now().is_ok() {}
        }
        peer.terminate()?;
    }
    holds!(delivered > 50, delivered);
    Ok(())
}

fn random_bytes_to_kernel_ports() -> Verdict {
    let mut random = Random::new(0x5eed_0005);
    // A task of its own, so that it may be ended by accident.
    let created = task::create(
        &portolan::interface::MsgRpc,
        trap::task_self(),
        [0; 32],
        portolan::abi::task::Limits { memory: 1 << 20, ports: 100, frames: 200 },
        0,
        0,
        Descriptor::port(Name::NULL, 0),
    )?;
    let object = space::object(4 * PAGE)?;
    for _ in 0..3000 {
        let (port, base, routines) = match random.below(3) {
            0 => (created.rights[0], 2000, 16),
            1 => (object, 2400, 3),
            _ => (trap::task_self(), 9000, 5),
        };
        let id = base + random.below(routines) as u32;
        let body: Vec<u8> = (0..random.below(9) * 8).map(|_| odd_byte(&mut random)).collect();
        let mut message = Message::copy_to(port).id(id).body(&body);
        if random.below(2) == 0 {
            message = message.right(object, Disposition::CopySend);
        }
        match message.send() {
            Ok(()) | Err(Error::SendInvalidPort) => {}
            Err(other) => holds!(false, other),
        }
    }
    let _ = task::terminate(&portolan::interface::MsgRpc, created.rights[0]);
    Ok(())
}

/// Mostly zeros and ones, which make numbers that mean something.
fn odd_byte(random: &mut Random) -> u8 {
    match random.below(6) {
        0 => random.next() as u8,
        1 => 0xff,
        2 => 0x10,
        _ => random.below(2) as u8,
    }
}

/// A task that makes random calls with random arguments can end only itself.
fn random_calls() -> Verdict {
    let mut ended = 0;
    for seed in 1..=4 {
        let peer = Peer::start()?;
        let port = port::open(Capacity::DEFAULT)?;
        peer.give(port, Disposition::MakeSend)?;
        let mut random = Random::new(0x5eed_1000 + seed);
        for _ in 0..400 {
            let number = random.below(15);
            let arguments = [(); 6].map(|()| odd_argument(&mut random));
            // Nothing that waits for ever: a random receive, sleep or wait would be the end of the storm.
            let waits =
                matches!(number, number::MSG_RECEIVE | number::MSG_RPC | number::THREAD_SWITCH | number::WORD_WAIT);
            if waits || number == number::DEBUG_WRITE {
                continue;
            }
            let Ok(pending) = peer.hand.random_trap(number, arguments) else { break };
            if pending.end()?.is_none() {
                ended += 1;
                break;
            }
        }
        // Whatever became of it, it can be ended, and this task goes on.
        let _ = peer.terminate();
        same!(port::status(port)?.capacity, 5);
    }
    holds!(ended <= 4);
    Ok(())
}

fn odd_argument(random: &mut Random) -> u64 {
    let odd = [0, 1, 5, 24, 4096, 65_536, u32::MAX.into(), 1 << 32, 1 << 47, u64::MAX, 0xffff_8000_0000_0000, USER_END];
    match random.below(4) {
        0 => random.next(),
        1 => random.below(16) << 20 | random.below(80),
        _ => odd[random.below(odd.len() as u64) as usize],
    }
}
