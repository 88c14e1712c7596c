//! Full mailboxes: who waits, who is refused, who goes next.

use crate::case::{Failure, Verdict};
use crate::clock::Stopwatch;
use crate::hand::{Hand, Pending};
use crate::message::{Message, NONE, is_empty, receive, receive_now};
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::message::Options;
use portolan::abi::thread::{self, State};
use portolan::abi::{Capacity, Disposition, Error, Name};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("capacity":
    zero_waits_for_a_receiver,
    zero_finds_a_waiting_receiver,
    zero_holds_as_many_as_wait,
    zero_between_two_tasks,
    zero_gives_up_in_time,
    a_receiver_fetches_from_a_waiting_sender,
    bounded_holds_its_number,
    bounded_one_holds_one,
    a_waiting_sender_is_let_in,
    waiting_senders_are_served_in_order,
    waiting_senders_of_two_tasks_are_served_in_order,
    a_freed_place_is_handed_over,
    unbounded_never_waits,
    return_at_once,
    wait_at_most_so_long,
    wait_and_get_in_in_time,
    a_sender_that_gave_up_is_forgotten,
    a_wait_has_one_deadline,
    a_send_once_right_never_waits,
    raising_lets_in_as_many,
    raising_without_bound_lets_in_all,
    lowering_removes_nothing,
    lowering_to_zero_leaves_a_rendezvous,
    raising_from_zero_lets_senders_in,
    capacities_beyond_the_maximum_are_refused,
    the_status_tells_the_truth,
    what_is_refused_stays_with_the_sender,
    a_terminated_sender_leaves_the_line,
    no_message_is_lost_or_doubled,
);

/// A hand that waits to send this message.
fn waiting_sender(message: &Message) -> Result<(Hand, Pending), Failure> {
    let hand = Hand::here()?;
    let pending = hand.send(message, NONE, 0)?;
    hand.waits(&pending, State::Sending)?;
    Ok((hand, pending))
}

/// Hands that wait to send messages with the ids from `first` on.
fn waiting_senders(port: Name, first: u32, count: u32) -> Result<Vec<Pending>, Failure> {
    (first..first + count).map(|id| Ok(waiting_sender(&Message::copy_to(port).id(id))?.1)).collect()
}

fn fill(port: Name, count: u32) -> Result<(), Error> {
    (0..count).try_for_each(|id| Message::copy_to(port).id(id).send_now())
}

fn is_full(port: Name) -> bool {
    Message::copy_to(port).send_now() == Err(Error::SendTimedOut)
}

fn zero_waits_for_a_receiver() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    let (hand, pending) = waiting_sender(&Message::copy_to(port).id(3))?;
    trap::thread_switch(Name::NULL, Some(20))?;
    hand.waits(&pending, State::Sending)?;
    same!(receive(port)?.header.id, 3);
    same!(pending.finish()?.result, Ok(()));
    Ok(())
}

fn zero_finds_a_waiting_receiver() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    same!(Message::copy_to(port).send_now(), Err(Error::SendTimedOut));
    let hand = Hand::here()?;
    let pending = hand.receive(port, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    same!(Message::copy_to(port).id(8).send_now(), Ok(()));
    same!(pending.finish()?.received()?.header.id, 8);
    same!(Message::copy_to(port).send_now(), Err(Error::SendTimedOut));
    same!(port::status(port)?.messages, 0);
    Ok(())
}

fn zero_holds_as_many_as_wait() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    let mut receivers = Vec::new();
    for _ in 0..2 {
        let hand = Hand::here()?;
        let pending = hand.receive(port, NONE, 0)?;
        hand.waits(&pending, State::Receiving)?;
        receivers.push(pending);
    }
    same!(Message::copy_to(port).id(1).send_now(), Ok(()));
    same!(Message::copy_to(port).id(2).send_now(), Ok(()));
    same!(Message::copy_to(port).id(3).send_now(), Err(Error::SendTimedOut));
    for (id, pending) in (1..).zip(receivers) {
        same!(pending.finish()?.received()?.header.id, id);
    }
    Ok(())
}

fn zero_between_two_tasks() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::Zero)?;
    let (_, pending) = waiting_sender(&Message::copy_to(right).id(1).body(b"across"))?;
    let got = peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
    same!((got.header.id, got.body.as_slice()), (1, b"across".as_slice()));
    same!(pending.finish()?.result, Ok(()));
    let waiting = peer.hand.receive(there, NONE, 0)?;
    peer.hand.waits(&waiting, State::Receiving)?;
    same!(Message::copy_to(right).id(2).send_now(), Ok(()));
    same!(waiting.finish()?.received()?.header.id, 2);
    Ok(())
}

fn zero_gives_up_in_time() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    let watch = Stopwatch::start();
    same!(Message::copy_to(port).send_with(Options::SEND_TIMEOUT, 20), Err(Error::SendTimedOut));
    watch.shows(20)?;
    holds!(is_empty(port));
    same!(port::status(port)?.senders, 0);
    Ok(())
}

fn a_receiver_fetches_from_a_waiting_sender() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    let right = port::open(Capacity::DEFAULT)?;
    let message = Message::copy_to(port).id(1).right(right, Disposition::MoveReceive).body(&[7; 600]);
    let (_, pending) = waiting_sender(&message)?;
    // Not even a receiver that does not wait goes away empty-handed.
    let got = receive_now(port)?;
    same!(got.right(0), right);
    holds!(got.body == message.body);
    same!(pending.finish()?.result, Ok(()));
    same!(port::kind(right)?.receive, 1);
    Ok(())
}

fn bounded_holds_its_number() -> Verdict {
    for bound in [1, 2, 5, 16, 100] {
        let port = port::open(Capacity::Bounded(bound))?;
        fill(port, bound)?;
        holds!(is_full(port), bound);
        same!(port::status(port)?.messages, bound);
        for id in 0..bound {
            same!(receive_now(port)?.header.id, id);
        }
        holds!(is_empty(port));
    }
    Ok(())
}

fn bounded_one_holds_one() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    for id in 0..20 {
        Message::copy_to(port).id(id).send_now()?;
        holds!(is_full(port));
        same!(receive_now(port)?.header.id, id);
    }
    Ok(())
}

fn a_waiting_sender_is_let_in() -> Verdict {
    let port = port::open(Capacity::Bounded(2))?;
    fill(port, 2)?;
    let (_, pending) = waiting_sender(&Message::copy_to(port).id(2))?;
    same!(receive_now(port)?.header.id, 0);
    same!(pending.finish()?.result, Ok(()));
    same!(receive_now(port)?.header.id, 1);
    same!(receive_now(port)?.header.id, 2);
    Ok(())
}

fn waiting_senders_are_served_in_order() -> Verdict {
    for capacity in [Capacity::Zero, Capacity::Bounded(1), Capacity::Bounded(3)] {
        let port = port::open(capacity)?;
        let held = capacity.code();
        fill(port, held)?;
        let senders = waiting_senders(port, held, 5)?;
        same!(port::status(port)?.senders, 5);
        for id in 0..held + 5 {
            same!(receive_now(port)?.header.id, id);
        }
        for pending in senders {
            same!(pending.finish()?.result, Ok(()));
        }
        holds!(is_empty(port));
    }
    Ok(())
}

fn waiting_senders_of_two_tasks_are_served_in_order() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::Bounded(1))?;
    let there = peer.give(port, Disposition::MakeSend)?;
    fill(port, 1)?;
    let (_, first) = waiting_sender(&Message::copy_to(port).id(1))?;
    let second = peer.hand.send(&Message::copy_to(there).id(2), NONE, 0)?;
    peer.hand.waits(&second, State::Sending)?;
    let (_, third) = waiting_sender(&Message::copy_to(port).id(3))?;
    for id in 0..4 {
        same!(receive_now(port)?.header.id, id);
    }
    for pending in [first, second, third] {
        same!(pending.finish()?.result, Ok(()));
    }
    Ok(())
}

fn a_freed_place_is_handed_over() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    fill(port, 1)?;
    let (_, pending) = waiting_sender(&Message::copy_to(port).id(1))?;
    same!(receive_now(port)?.header.id, 0);
    // The place belongs to the one who waited, even before it has run again.
    same!(Message::copy_to(port).id(99).send_now(), Err(Error::SendTimedOut));
    same!(pending.finish()?.result, Ok(()));
    same!(receive_now(port)?.header.id, 1);
    Ok(())
}

fn unbounded_never_waits() -> Verdict {
    let port = port::open(Capacity::Unbounded)?;
    fill(port, 1000)?;
    same!(port::status(port)?.messages, 1000);
    for id in 0..1000 {
        same!(receive_now(port)?.header.id, id);
    }
    Ok(())
}

fn return_at_once() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    fill(port, 1)?;
    let watch = Stopwatch::start();
    same!(Message::copy_to(port).send_now(), Err(Error::SendTimedOut));
    watch.shows(0)
}

fn wait_at_most_so_long() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    fill(port, 1)?;
    for ms in [1, 10, 40] {
        let watch = Stopwatch::start();
        same!(Message::copy_to(port).send_with(Options::SEND_TIMEOUT, ms), Err(Error::SendTimedOut));
        watch.shows(ms)?;
    }
    same!(port::status(port)?.messages, 1);
    Ok(())
}

fn wait_and_get_in_in_time() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    fill(port, 1)?;
    let hand = Hand::here()?;
    let pending = hand.send(&Message::copy_to(port).id(1), Options::SEND_TIMEOUT, 2000)?;
    hand.waits(&pending, State::Sending)?;
    trap::thread_switch(Name::NULL, Some(20))?;
    receive_now(port)?;
    same!(pending.finish()?.result, Ok(()));
    same!(receive_now(port)?.header.id, 1);
    Ok(())
}

fn a_sender_that_gave_up_is_forgotten() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    fill(port, 1)?;
    let hand = Hand::here()?;
    let impatient = hand.send(&Message::copy_to(port).id(1), Options::SEND_TIMEOUT, 10)?;
    hand.waits(&impatient, State::Sending)?;
    let (_, patient) = waiting_sender(&Message::copy_to(port).id(2))?;
    same!(impatient.finish()?.result, Err(Error::SendTimedOut));
    same!(port::status(port)?.senders, 1);
    same!(receive_now(port)?.header.id, 0);
    same!(patient.finish()?.result, Ok(()));
    same!(receive_now(port)?.header.id, 2);
    holds!(is_empty(port));
    Ok(())
}

fn a_wait_has_one_deadline() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    let hand = Hand::here()?;
    let watch = Stopwatch::start();
    let pending = hand.send(&Message::copy_to(port), Options::SEND_TIMEOUT, 80)?;
    for _ in 0..6 {
        hand.waits(&pending, State::Sending)?;
        thread::abort(&MsgRpc, hand.thread)?;
        trap::thread_switch(Name::NULL, Some(10))?;
    }
    same!(pending.finish()?.result, Err(Error::SendTimedOut));
    watch.shows(80)?;
    Ok(())
}

fn a_send_once_right_never_waits() -> Verdict {
    for capacity in [Capacity::Zero, Capacity::Bounded(1)] {
        let (port, carrier) = (port::open(capacity)?, port::open(Capacity::DEFAULT)?);
        Message::copy_to(carrier).right(port, Disposition::MakeSendOnce).send()?;
        let once = receive_now(carrier)?.right(0);
        fill(port, capacity.code())?;
        holds!(is_full(port));
        same!(Message::once_to(once).id(50).send_now(), Ok(()));
        same!(port::status(port)?.messages, capacity.code() + 1);
        for id in 0..capacity.code() {
            same!(receive_now(port)?.header.id, id);
        }
        same!(receive_now(port)?.header.id, 50);
    }
    Ok(())
}

fn raising_lets_in_as_many() -> Verdict {
    let port = port::open(Capacity::Bounded(2))?;
    fill(port, 2)?;
    let mut senders = waiting_senders(port, 2, 4)?;
    port::set_capacity(port, Capacity::Bounded(4))?;
    let rest = senders.split_off(2);
    for pending in senders {
        same!(pending.finish()?.result, Ok(()));
    }
    for pending in &rest {
        holds!(!pending.is_done()?);
    }
    same!((port::status(port)?.messages, port::status(port)?.senders), (4, 2));
    for id in 0..6 {
        same!(receive_now(port)?.header.id, id);
    }
    for pending in rest {
        same!(pending.finish()?.result, Ok(()));
    }
    Ok(())
}

fn raising_without_bound_lets_in_all() -> Verdict {
    let port = port::open(Capacity::Bounded(1))?;
    fill(port, 1)?;
    let senders = waiting_senders(port, 1, 5)?;
    port::set_capacity(port, Capacity::Unbounded)?;
    for pending in senders {
        same!(pending.finish()?.result, Ok(()));
    }
    fill(port, 100)?;
    same!(port::status(port)?.messages, 106);
    Ok(())
}

fn lowering_removes_nothing() -> Verdict {
    let port = port::open(Capacity::Bounded(5))?;
    fill(port, 5)?;
    port::set_capacity(port, Capacity::Bounded(2))?;
    same!((port::status(port)?.messages, port::status(port)?.capacity), (5, 2));
    for id in 0..3 {
        holds!(is_full(port), id);
        same!(receive_now(port)?.header.id, id);
    }
    holds!(is_full(port));
    same!(receive_now(port)?.header.id, 3);
    Message::copy_to(port).id(5).send_now()?;
    holds!(is_full(port));
    same!(receive_now(port)?.header.id, 4);
    same!(receive_now(port)?.header.id, 5);
    Ok(())
}

fn lowering_to_zero_leaves_a_rendezvous() -> Verdict {
    let port = port::open(Capacity::Bounded(2))?;
    fill(port, 2)?;
    port::set_capacity(port, Capacity::Zero)?;
    let (_, pending) = waiting_sender(&Message::copy_to(port).id(2))?;
    same!(receive_now(port)?.header.id, 0);
    holds!(!pending.is_done()?);
    same!(receive_now(port)?.header.id, 1);
    same!(receive_now(port)?.header.id, 2);
    same!(pending.finish()?.result, Ok(()));
    holds!(is_full(port));
    Ok(())
}

fn raising_from_zero_lets_senders_in() -> Verdict {
    let port = port::open(Capacity::Zero)?;
    let mut senders = waiting_senders(port, 0, 3)?;
    port::set_capacity(port, Capacity::Bounded(2))?;
    let last = senders.pop().ok_or(Error::Failure)?;
    for pending in senders {
        same!(pending.finish()?.result, Ok(()));
    }
    holds!(!last.is_done()?);
    for id in 0..3 {
        same!(receive_now(port)?.header.id, id);
    }
    same!(last.finish()?.result, Ok(()));
    Ok(())
}

fn capacities_beyond_the_maximum_are_refused() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    for code in [Capacity::BOUNDED_MAX + 1, 0x7fff_ffff, u32::MAX - 1] {
        let wrong = Capacity::Bounded(code);
        same!(trap::port_allocate(wrong), Err(Error::InvalidValue));
        same!(port::set_capacity(port, wrong), Err(Error::InvalidValue));
    }
    same!(port::status(port)?.capacity, 5);
    let largest = port::open(Capacity::Bounded(Capacity::BOUNDED_MAX))?;
    same!(port::status(largest)?.capacity, Capacity::BOUNDED_MAX);
    port::set_capacity(port, Capacity::Unbounded)?;
    same!(port::status(port)?.capacity, Capacity::Unbounded.code());
    Ok(())
}

fn the_status_tells_the_truth() -> Verdict {
    let port = port::open(Capacity::Bounded(2))?;
    let once = Message::copy_to(port).right(port, Disposition::MakeSendOnce).right(port, Disposition::CopySend);
    once.send()?;
    let status = port::status(port)?;
    same!((status.capacity, status.messages, status.cached), (2, 1, 0));
    same!((status.senders, status.receivers), (0, 0));
    same!((status.send_rights, status.send_once_rights, status.make_send_count), (2, 1, 1));
    fill(port, 1)?;
    let senders = waiting_senders(port, 1, 2)?;
    same!((port::status(port)?.messages, port::status(port)?.senders), (2, 2));
    for _ in 0..4 {
        receive_now(port)?;
    }
    same!((port::status(port)?.messages, port::status(port)?.senders, port::status(port)?.sequence), (0, 0, 4));
    for pending in senders {
        same!(pending.finish()?.result, Ok(()));
    }
    let hand = Hand::here()?;
    let pending = hand.receive(port, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    same!(port::status(port)?.receivers, 1);
    Ok(())
}

fn what_is_refused_stays_with_the_sender() -> Verdict {
    let (full, right) = (port::open(Capacity::Bounded(1))?, port::open(Capacity::DEFAULT)?);
    fill(full, 1)?;
    let message = Message::copy_to(full).body(b"mine").right(right, Disposition::MoveReceive);
    let buffer = message.lay_out();
    let before = buffer.bytes().to_vec();
    same!(buffer.send(Options::SEND_TIMEOUT, 0), Err(Error::SendTimedOut));
    same!(buffer.send(Options::SEND_TIMEOUT, 10), Err(Error::SendTimedOut));
    holds!(buffer.bytes() == before);
    same!((port::kind(right)?.receive, port::kind(right)?.send), (1, 1));
    receive_now(full)?;
    same!(buffer.send(Options::SEND_TIMEOUT, 0), Ok(()));
    same!(receive_now(full)?.right(0), right);
    Ok(())
}

fn a_terminated_sender_leaves_the_line() -> Verdict {
    let (port, right) = (port::open(Capacity::Bounded(1))?, port::open(Capacity::DEFAULT)?);
    fill(port, 1)?;
    let (hand, gone) = waiting_sender(&Message::copy_to(port).id(1).right(right, Disposition::CopySend))?;
    let (_, next) = waiting_sender(&Message::copy_to(port).id(2))?;
    hand.terminate()?;
    holds!(!gone.is_done()?);
    same!(port::status(port)?.senders, 1);
    same!(receive_now(port)?.header.id, 0);
    same!(next.finish()?.result, Ok(()));
    same!(receive_now(port)?.header.id, 2);
    same!(port::status(right)?.send_rights, 1);
    Ok(())
}

fn no_message_is_lost_or_doubled() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::Bounded(2))?;
    let there = peer.give(port, Disposition::MakeSend)?;
    let senders = [Hand::here()?, Hand::here()?];
    let (mut sent, mut received) = (0, 0);
    for round in 0..60_u32 {
        // Timeouts about as long as the work between: some get in, some do not.
        let timeout = round % 4;
        let mut pending = Vec::new();
        for hand in &senders {
            pending.push(hand.send(&Message::copy_to(port), Options::SEND_TIMEOUT, timeout)?);
        }
        pending.push(peer.hand.send(&Message::copy_to(there), Options::SEND_TIMEOUT, timeout)?);
        if round % 3 != 0 {
            received += u32::from(crate::message::receive_within(port, 1).is_ok());
        }
        for pending in pending {
            match pending.finish()?.result {
                Ok(()) => sent += 1,
                Err(error) => same!(error, Error::SendTimedOut),
            }
        }
        same!(sent, received + port::status(port)?.messages);
    }
    while receive_now(port).is_ok() {
        received += 1;
    }
    same!(sent, received);
    Ok(())
}
