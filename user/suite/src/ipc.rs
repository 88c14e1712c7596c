//! Messages: what is sent arrives, whole, once, in order, and as the kernel says.

use crate::case::Verdict;
use crate::clock::Stopwatch;
use crate::hand::Hand;
use crate::message::{Buffer, Message, NONE, Received, call, is_empty, receive, receive_now, receive_within};
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::call::Receive;
use portolan::abi::interface::Routine;
use portolan::abi::message::{Descriptor, Header, MESSAGE_MAX, Options, Trailer, received_size};
use portolan::abi::task;
use portolan::abi::thread::{self, State};
use portolan::abi::{Capacity, Disposition, Error, Name};
use portolan::interface::MsgRpc;
use portolan::trap;
use zerocopy::IntoBytes;

cases!("ipc":
    every_length_arrives_whole,
    every_length_arrives_in_another_task,
    the_largest_message_arrives,
    the_largest_message_crosses_address_spaces,
    the_header_is_swapped,
    the_trailer_is_the_kernels,
    a_forged_trailer_is_only_bytes,
    the_sequence_counts_receptions,
    every_message_has_its_own_number,
    the_cause_is_the_message_before,
    messages_keep_their_order,
    an_rpc_goes_to_another_task_and_back,
    a_server_replies_and_waits_in_one_call,
    four_clients_share_a_server,
    one_buffer_serves_both_halves,
    an_rpc_to_oneself_works,
    a_failed_send_ends_the_rpc,
    a_large_message_waits_for_a_large_buffer,
    a_buffer_may_fit_exactly,
    waiting_receivers_are_served_in_order,
    each_message_goes_to_one_receiver,
    receiving_gives_up_in_time,
    the_longest_timeout_is_no_short_one,
    a_receiver_is_only_woken_by_its_port,
    a_wait_can_be_interrupted,
    a_wait_that_asked_for_it_only,
    a_kernel_port_cannot_be_received_from,
    a_reply_port_may_be_the_destination,
    the_kernel_answers_in_the_same_trap,
    random_messages_arrive_unchanged,
);

/// Bytes that differ from message to message and from place to place.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + seed * 13 + index / 256) as u8).collect()
}

const LENGTHS: [usize; 14] = [0, 1, 7, 8, 9, 15, 16, 31, 63, 64, 65, 1000, 4072, 8000];

fn every_length_arrives_whole() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for length in LENGTHS {
        let body = pattern(length, length);
        Message::copy_to(port).id(7).body(&body).send()?;
        let message = receive(port)?;
        holds!(message.body == body, length);
        same!((message.header.id, message.header.size as usize), (7, Header::SIZE + length));
    }
    Ok(())
}

fn every_length_arrives_in_another_task() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    for length in LENGTHS {
        if received_size(Header::SIZE + length) > crate::hand::ROOM as usize {
            continue;
        }
        let body = pattern(length, length);
        let pending = peer.hand.receive(there, NONE, 0)?;
        peer.hand.waits(&pending, State::Receiving)?;
        Message::copy_to(right).body(&body).send()?;
        holds!(pending.finish()?.received()?.body == body, length);

        Message::copy_to(right).body(&body).send()?;
        let queued = peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
        holds!(queued.body == body, length);
    }
    Ok(())
}

/// A message of exactly [`MESSAGE_MAX`] bytes.
fn largest(port: Name) -> Message {
    Message::copy_to(port).body(&pattern(MESSAGE_MAX - Header::SIZE, 3))
}

fn the_largest_message_arrives() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    largest(port).send()?;
    let mut buffer = Buffer::new(received_size(MESSAGE_MAX));
    let receive = buffer.receive_half(port);
    let (result, size) = call(None, Some(receive), NONE);
    same!((result, size as usize), (Ok(()), MESSAGE_MAX));
    holds!(Received::read(buffer.bytes(), size).body == largest(port).body);
    let mut more = largest(port);
    more.body.push(0);
    same!(more.send(), Err(Error::SendTooLarge));
    holds!(is_empty(port));
    Ok(())
}

fn the_largest_message_crosses_address_spaces() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::Zero)?;
    let hand = peer.another_hand(received_size(MESSAGE_MAX) as u32)?;
    let pending = hand.receive(there, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    largest(right).send()?;
    same!(pending.finish()?.value()? as usize, MESSAGE_MAX);
    let sent = largest(right).body;
    for (index, part) in sent.chunks(4096).enumerate() {
        let arrived = hand.received_bytes(Header::SIZE + index * 4096, part.len())?;
        holds!(arrived == part, index);
    }
    Ok(())
}

fn the_header_is_swapped() -> Verdict {
    let (port, reply) = (port::open(Capacity::DEFAULT)?, trap::port_allocate(Capacity::DEFAULT)?);
    Message::copy_to(port).id(0xffff_fffe).reply(reply, Disposition::MakeSendOnce).send()?;
    let header = receive(port)?.header;
    same!(header.local, port);
    same!(header.bits, Header::bits_of(18, 17));
    same!((header.id, header.descriptors), (0xffff_fffe, 0));
    holds!(header.remote.is_valid() && header.remote != reply, header.remote);
    Message::once_to(header.remote).send()?;
    let header = receive(reply)?.header;
    same!((header.local, header.remote), (reply, Name::NULL));
    same!(header.bits, Header::bits_of(0, 18));
    Ok(())
}

fn the_trailer_is_the_kernels() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let me = task::info(&MsgRpc, trap::task_self())?.results.info.id;
    Message::copy_to(port).send()?;
    let trailer = receive(port)?.trailer;
    same!((trailer.sender, trailer.flags, trailer.payload), (me, 0, 0));
    same!(trailer.size as usize, Trailer::SIZE);

    let peer = Peer::start()?;
    let there = peer.give(port, Disposition::MakeSend)?;
    peer.hand.send(&Message::copy_to(there), NONE, 0)?.finish()?.result?;
    let id = task::info(&MsgRpc, peer.task)?.results.info.id;
    holds!(id != me, id);
    same!(receive(port)?.trailer.sender, id);
    Ok(())
}

fn a_forged_trailer_is_only_bytes() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let forged = Trailer { sender: 0, flags: Trailer::FROM_KERNEL, size: 56, number: 1, ..Trailer::default() };
    Message::copy_to(port).id(0o110).body(forged.as_bytes()).send()?;
    let message = receive(port)?;
    holds!(!message.is_from_kernel());
    same!(message.body, forged.as_bytes());
    Ok(())
}

fn the_sequence_counts_receptions() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for expected in 0..20 {
        same!(port::status(port)?.sequence, expected);
        Message::copy_to(port).send()?;
        same!(receive(port)?.trailer.sequence, expected);
    }
    Ok(())
}

fn every_message_has_its_own_number() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let mut last = 0;
    for _ in 0..50 {
        Message::copy_to(port).send()?;
        let number = receive(port)?.trailer.number;
        holds!(number > last, number, last);
        last = number;
    }
    Ok(())
}

fn the_cause_is_the_message_before() -> Verdict {
    let (request, reply) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    let server = Hand::here()?;
    Message::copy_to(request).send()?;
    let first = server.receive(request, NONE, 0)?.finish()?.received()?.trailer;
    // What the hand received last is the order to send.
    server.send(&Message::copy_to(reply), NONE, 0)?.finish()?.result?;
    let answer = receive(reply)?.trailer;
    holds!(answer.cause > first.number && answer.cause < answer.number, answer.cause, first.number);
    Message::copy_to(reply).send()?;
    same!(receive(reply)?.trailer.cause, answer.number);
    Ok(())
}

fn messages_keep_their_order() -> Verdict {
    let port = port::open(Capacity::Unbounded)?;
    for id in 0..300 {
        Message::copy_to(port).id(id).body(&pattern(id as usize % 40, 1)).send()?;
    }
    for id in 0..300 {
        let message = receive_now(port)?;
        same!((message.header.id, message.body.len()), (id, id as usize % 40));
    }
    holds!(is_empty(port));
    Ok(())
}

fn an_rpc_goes_to_another_task_and_back() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let reply = trap::port_allocate(Capacity::Bounded(1))?;
    for round in 0..200 {
        let pending = peer.hand.receive(there, NONE, 0)?;
        let body = pattern(round, round);
        let request = Message::copy_to(right).id(round as u32).body(&body).reply(reply, Disposition::MakeSendOnce);
        let client = request.send();
        same!(client, Ok(()));
        let got = pending.finish()?.received()?;
        holds!(got.body == body && got.header.id == round as u32, round);
        let answer = Message::once_to(got.header.remote).id(!got.header.id).body(&got.body);
        peer.hand.send(&answer, NONE, 0)?.finish()?.result?;
        let answer = receive(reply)?;
        holds!(answer.body == body && answer.header.id == !(round as u32), round);
    }
    same!(port::status(reply)?.send_once_rights, 0);
    Ok(())
}

fn a_server_replies_and_waits_in_one_call() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let (client, reply) = (Hand::here()?, trap::port_allocate(Capacity::Bounded(1))?);
    let mut served = peer.hand.receive(there, NONE, 0)?;
    for round in 0..50_u32 {
        let asks = Message::copy_to(right).id(round).reply(reply, Disposition::MakeSendOnce);
        let asked = client.rpc(&asks, reply)?;
        let request = served.finish()?.received()?;
        same!(request.header.id, round);
        holds!(!asked.is_done()?);
        served = peer.hand.rpc(&Message::once_to(request.header.remote).id(round + 1), there)?;
        same!(asked.finish()?.received()?.header.id, round + 1);
    }
    holds!(!served.is_done()?);
    Ok(())
}

fn four_clients_share_a_server() -> Verdict {
    let service = port::open(Capacity::DEFAULT)?;
    let peers = [Peer::start()?, Peer::start()?];
    let mut clients = Vec::new();
    for peer in &peers {
        let right = peer.give(service, Disposition::MakeSend)?;
        for _ in 0..2 {
            clients.push((peer.another_hand(crate::hand::ROOM)?, right, peer.port(Capacity::Bounded(1))?));
        }
    }
    for round in 0..20_u32 {
        let mut asked = Vec::new();
        for (number, (hand, right, reply)) in (0..).zip(&clients) {
            let request = Message::copy_to(*right).id(round * 4 + number).reply(*reply, Disposition::MakeSendOnce);
            asked.push(hand.rpc(&request, *reply)?);
        }
        for _ in &clients {
            let request = receive(service)?;
            Message::once_to(request.header.remote).id(request.header.id + 1000).send()?;
        }
        for (number, pending) in (0..).zip(asked) {
            same!(pending.finish()?.received()?.header.id, round * 4 + number + 1000);
        }
    }
    Ok(())
}

fn one_buffer_serves_both_halves() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let mut buffer = Buffer::new(received_size(512));
    let message = Message::copy_to(port).id(5).body(&pattern(333, 5));
    buffer.bytes_mut()[..message.size()].copy_from_slice(message.lay_out().bytes());
    let receive = buffer.receive_half(port);
    let send = portolan::abi::call::Send { size: message.size() as u32, ..buffer.send_half() };
    let (result, size) = call(Some(send), Some(receive), NONE);
    same!(result, Ok(()));
    let received = Received::read(buffer.bytes(), size);
    same!((received.header.id, received.header.local), (5, port));
    same!(received.body, message.body);
    Ok(())
}

fn an_rpc_to_oneself_works() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for id in 0..10 {
        let message = Message::copy_to(port).id(id).reply(port, Disposition::MakeSendOnce).rpc(port)?;
        same!((message.header.id, message.header.local), (id, port));
        port::deallocate(message.header.remote)?;
        same!(crate::notice::Notice::of(&receive(port)?).map(|notice| notice.kind), Some(SEND_ONCE));
    }
    Ok(())
}

const SEND_ONCE: portolan::abi::notification::Kind = portolan::abi::notification::Kind::SendOnce;

fn a_failed_send_ends_the_rpc() -> Verdict {
    let (full, inbox) = (port::open(Capacity::Bounded(1))?, port::open(Capacity::DEFAULT)?);
    Message::copy_to(full).send()?;
    Message::copy_to(inbox).id(9).send()?;
    let options = Options::SEND_TIMEOUT | Options::RCV_TIMEOUT;
    let result = Message::copy_to(full).rpc_with(inbox, options, 0, 1000);
    same!(result.map(|message| message.header.id), Err(Error::SendTimedOut));
    let result = Message::copy_to(Name(77)).rpc_with(inbox, options, 0, 1000);
    same!(result.map(|message| message.header.id), Err(Error::SendInvalidPort));
    same!(receive_now(inbox)?.header.id, 9);
    Ok(())
}

fn a_large_message_waits_for_a_large_buffer() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let right = trap::port_allocate(Capacity::DEFAULT)?;
    let message = Message::copy_to(port).body(&pattern(500, 1)).right(right, Disposition::MakeSend);
    message.send()?;
    Message::copy_to(port).id(2).send()?;
    for size in [0, 24, 48, message.size(), received_size(message.size()) - 1] {
        let mut buffer = Buffer::new(size.max(8));
        let half = Receive { size: size as u32, ..buffer.receive_half(port) };
        let (result, needed) = call(None, Some(half), NONE);
        same!(result, Err(Error::ReceiveTooLarge));
        same!(needed as usize, received_size(message.size()));
        holds!(buffer.bytes().iter().all(|byte| *byte == 0), size);
        same!(port::status(port)?.messages, 2);
    }
    let received = receive_now(port)?;
    same!(received.right(0), right);
    same!(received.body, message.body);
    same!(receive_now(port)?.header.id, 2);
    Ok(())
}

fn a_buffer_may_fit_exactly() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let message = Message::copy_to(port).body(&pattern(13, 1));
    message.send()?;
    let exact = received_size(message.size());
    let mut buffer = Buffer::new(exact + 16);
    buffer.bytes_mut()[exact..].fill(0xa5);
    let half = Receive { size: exact as u32, ..buffer.receive_half(port) };
    same!(call(None, Some(half), NONE), (Ok(()), message.size() as u64));
    holds!(buffer.bytes()[exact..].iter().all(|byte| *byte == 0xa5));
    same!(Received::read(buffer.bytes(), message.size() as u64).body, message.body);
    Ok(())
}

fn waiting_receivers_are_served_in_order() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let hand = Hand::here()?;
        let pending = hand.receive(port, NONE, 0)?;
        hand.waits(&pending, State::Receiving)?;
        waiting.push(pending);
    }
    same!(port::status(port)?.receivers, 4);
    for id in 0..4 {
        Message::copy_to(port).id(id).send()?;
    }
    for (id, pending) in (0..).zip(waiting) {
        same!(pending.finish()?.received()?.header.id, id);
    }
    same!(port::status(port)?.receivers, 0);
    Ok(())
}

fn each_message_goes_to_one_receiver() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let hands = [Hand::here()?, Hand::here()?, Hand::here()?];
    let mut seen = [0_u32; 90];
    for round in 0..30 {
        let mut pending = Vec::new();
        for hand in &hands {
            pending.push(hand.receive(port, NONE, 0)?);
        }
        for number in 0..3 {
            Message::copy_to(port).id(round * 3 + number).send()?;
        }
        for pending in pending {
            seen[pending.finish()?.received()?.header.id as usize] += 1;
        }
    }
    holds!(seen.iter().all(|count| *count == 1), seen);
    holds!(is_empty(port));
    Ok(())
}

fn receiving_gives_up_in_time() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for ms in [0, 1, 10, 50] {
        let watch = Stopwatch::start();
        same!(receive_within(port, ms).map(drop), Err(Error::ReceiveTimedOut));
        watch.shows(ms)?;
    }
    same!(port::status(port)?.receivers, 0);
    Ok(())
}

fn the_longest_timeout_is_no_short_one() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    let pending = hand.receive(port, Options::RCV_TIMEOUT, u32::MAX)?;
    hand.waits(&pending, State::Receiving)?;
    trap::thread_switch(Name::NULL, Some(30))?;
    holds!(!pending.is_done()?);
    Message::copy_to(port).id(4).send()?;
    same!(pending.finish()?.received()?.header.id, 4);
    Ok(())
}

fn a_receiver_is_only_woken_by_its_port() -> Verdict {
    let (mine, other) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    let hand = Hand::here()?;
    let pending = hand.receive(mine, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    Message::copy_to(other).send()?;
    thread::abort(&MsgRpc, hand.thread)?;
    trap::thread_switch(Name::NULL, Some(5))?;
    hand.waits(&pending, State::Receiving)?;
    Message::copy_to(mine).id(1).send()?;
    same!(pending.finish()?.received()?.header.id, 1);
    same!(port::status(other)?.messages, 1);
    Ok(())
}

fn a_wait_can_be_interrupted() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    let hand = Hand::here()?;
    let pending = hand.receive(port, Options::RCV_INTERRUPT, 0)?;
    hand.waits(&pending, State::Receiving)?;
    thread::abort(&MsgRpc, hand.thread)?;
    same!(pending.finish()?.result, Err(Error::ReceiveInterrupted));
    Message::copy_to(port).id(1).send()?;
    let message = Message::copy_to(port).id(2);
    let pending = hand.send(&message, Options::SEND_INTERRUPT, 0)?;
    hand.waits(&pending, State::Sending)?;
    thread::abort(&MsgRpc, hand.thread)?;
    same!(pending.finish()?.result, Err(Error::SendInterrupted));
    same!(receive_now(port)?.header.id, 1);
    holds!(is_empty(port));
    Ok(())
}

fn a_wait_that_asked_for_it_only() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    let hand = Hand::here()?;
    Message::copy_to(port).id(1).send()?;
    let watch = Stopwatch::start();
    let pending = hand.send(&Message::copy_to(port).id(2), Options::SEND_TIMEOUT, 500)?;
    for _ in 0..4 {
        hand.waits(&pending, State::Sending)?;
        thread::abort(&MsgRpc, hand.thread)?;
        trap::thread_switch(Name::NULL, Some(10))?;
    }
    same!(pending.finish()?.result, Err(Error::SendTimedOut));
    watch.shows(500)?;
    Ok(())
}

fn a_kernel_port_cannot_be_received_from() -> Verdict {
    for name in [trap::task_self(), trap::thread_self(), Name(12_345), Name::NULL, Name::DEAD] {
        same!(receive_now(name).map(drop), Err(Error::ReceiveInvalidPort));
    }
    Ok(())
}

fn a_reply_port_may_be_the_destination() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    Message::copy_to(port).id(1).reply(port, Disposition::CopySend).send()?;
    let header = receive(port)?.header;
    same!((header.remote, header.local), (port, port));
    // The copy that came back is one more user reference.
    same!(port::kind(port)?.send, 2);
    Ok(())
}

fn the_kernel_answers_in_the_same_trap() -> Verdict {
    let reply = trap::port_allocate(Capacity::Bounded(1))?;
    let request = Message::copy_to(trap::task_self()).id(task::Info::ID).reply(reply, Disposition::MakeSendOnce);
    let answer = request.rpc_with(reply, Options::RCV_TIMEOUT, 0, 0)?;
    same!(answer.header.id, task::Info::ID + portolan::abi::interface::REPLY_OFFSET);
    holds!(answer.is_from_kernel());
    same!((answer.trailer.sender, answer.header.remote), (0, Name::NULL));
    Ok(())
}

fn random_messages_arrive_unchanged() -> Verdict {
    let port = port::open(Capacity::Unbounded)?;
    let mut random = crate::random::Random::new(0x5eed_0001);
    for round in 0..60 {
        let mut sent = Vec::new();
        for _ in 0..1 + random.below(12) {
            let mut message = Message::copy_to(port).id(random.next() as u32);
            message.body = pattern(random.below(700) as usize, random.below(1000) as usize);
            for _ in 0..random.below(4) {
                message.rights.push(Descriptor::port(Name::NULL, Disposition::MoveSend as u8));
            }
            message.send()?;
            sent.push(message);
        }
        for message in sent {
            let received = receive_now(port)?;
            holds!(received.body == message.body && received.header.id == message.header.id, round);
            holds!(received.rights.len() == message.rights.len(), round);
        }
    }
    Ok(())
}
