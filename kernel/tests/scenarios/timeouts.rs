//! Time: deadlines are fixed when a call begins, and each is met once and exactly.

use crate::harness::{Mailbox, Message, Pending, WhenFull};
use portolan_abi::{Capacity, Disposition, Error, Result};

const ONE: Capacity = Capacity::Bounded(1);

/// After how many ms, of at most 100, it is over.
fn duration<T>(mailbox: &Mailbox, pending: &Pending<Result<T>>) -> u32 {
    let mut ms = 0;
    while pending.waits() && ms < 100 {
        mailbox.system.advance_ms(1);
        ms += 1;
    }
    ms
}

#[test]
fn a_timeout_of_zero_does_not_wait() {
    let mailbox = Mailbox::new(ONE);
    assert_eq!(mailbox.receiver.receive_within(mailbox.port, 0).done().expect_err("empty"), Error::ReceiveTimedOut);
    mailbox.send("filling", WhenFull::Return);
    assert_eq!(mailbox.send("over", WhenFull::WaitMs(0)).done(), Err(Error::SendTimedOut));
}

#[test]
fn a_receive_waits_exactly_as_long_as_it_says() {
    let mailbox = Mailbox::new(ONE);
    for ms in [1, 2, 10, 57] {
        let receive = mailbox.receiver.receive_within(mailbox.port, ms);
        assert_eq!(duration(&mailbox, &receive), ms);
        assert_eq!(receive.done().expect_err("empty"), Error::ReceiveTimedOut);
    }
    assert_eq!(mailbox.receiver.status(mailbox.port).receivers, 0);
}

#[test]
fn a_send_waits_exactly_as_long_as_it_says() {
    let mailbox = Mailbox::full(ONE);
    for ms in [1, 2, 10, 57] {
        let send = mailbox.send("late", WhenFull::WaitMs(ms));
        assert_eq!(duration(&mailbox, &send), ms);
        assert_eq!(send.done(), Err(Error::SendTimedOut));
    }
    assert_eq!(mailbox.receiver.status(mailbox.port).senders, 0);
}

#[test]
fn the_longest_timeout_does_not_overflow() {
    let mailbox = Mailbox::full(ONE);
    let empty = mailbox.receiver.port(ONE);
    let send = mailbox.send("patient", WhenFull::WaitMs(u32::MAX));
    let receive = mailbox.receiver.receive_within(empty, u32::MAX);
    mailbox.system.jump_ms(u32::MAX - 1);
    assert!(send.waits() && receive.waits());
    mailbox.system.advance_ms(1);
    assert_eq!(send.done(), Err(Error::SendTimedOut));
    assert_eq!(receive.done().expect_err("empty"), Error::ReceiveTimedOut);
}

#[test]
fn the_deadline_is_that_of_the_call_not_of_the_last_wake() {
    let mailbox = Mailbox::full(ONE);
    let first = mailbox.sender.thread();
    let other = first.send(Message::to(mailbox.to).text("first"), WhenFull::Wait);
    let send = mailbox.send("second", WhenFull::WaitMs(10));
    mailbox.system.advance_ms(6);
    // The place that comes free goes to the one before; the clock runs on.
    mailbox.take().expect("a message");
    assert_eq!(other.done(), Ok(()));
    assert!(send.waits());
    assert_eq!(duration(&mailbox, &send), 4);
    assert_eq!(send.done(), Err(Error::SendTimedOut));
}

#[test]
fn a_message_and_a_deadline_at_the_same_instant_have_one_outcome() {
    // Whichever is handled first: the message is received or still queued, never both or neither.
    for ms in 1..50 {
        let mailbox = Mailbox::new(ONE);
        let receive = mailbox.receiver.receive_within(mailbox.port, 20);
        let sender = &mailbox.sender;
        let sleep = sender.sleep(ms);
        let send = mailbox.send("now", WhenFull::Return);
        mailbox.system.advance_ms(60);
        assert_eq!((sleep.done(), send.done()), (Ok(()), Ok(())));
        let received = u32::from(receive.done().is_ok());
        assert_eq!(received + mailbox.messages(), 1, "sent after {ms} ms");
    }
}

#[test]
fn a_place_and_a_deadline_at_the_same_instant_have_one_outcome() {
    for ms in 18..23 {
        let mailbox = Mailbox::full(ONE);
        let send = mailbox.send("now", WhenFull::WaitMs(20));
        let sleep = mailbox.receiver.sleep(ms);
        let receive = mailbox.receiver.receive_now(mailbox.port);
        mailbox.system.advance_ms(60);
        assert_eq!(sleep.done(), Ok(()));
        assert_eq!(receive.done().expect("the first").text(), "filling");
        let sent = u32::from(send.done().is_ok());
        assert_eq!(sent, mailbox.messages(), "received after {ms} ms");
    }
}

#[test]
fn a_met_deadline_leaves_no_trace() {
    let mailbox = Mailbox::new(ONE);
    let receive = mailbox.receiver.receive_within(mailbox.port, 10);
    mailbox.system.advance_ms(5);
    mailbox.send("in time", WhenFull::Wait);
    assert_eq!(receive.done().expect("the message").text(), "in time");
    let second = mailbox.receive();
    mailbox.system.advance_ms(100);
    assert!(second.waits(), "the old deadline does not end the new wait");
}

#[test]
fn deadlines_are_met_in_their_order() {
    let mailbox = Mailbox::new(ONE);
    let threads: Vec<_> = (0..10).map(|_| mailbox.receiver.thread()).collect();
    let times = [7, 3, 9, 1, 10, 2, 8, 4, 6, 5];
    let receives: Vec<_> =
        threads.iter().zip(times).map(|(thread, ms)| thread.receive_within(mailbox.port, ms)).collect();
    for now in 1..=10 {
        mailbox.system.advance_ms(1);
        for (receive, ms) in receives.iter().zip(times) {
            assert_eq!(receive.waits(), ms > now, "{ms} ms, after {now}");
        }
    }
}

#[test]
fn many_equal_deadlines_are_all_met() {
    let mailbox = Mailbox::new(ONE);
    let threads: Vec<_> = (0..15).map(|_| mailbox.receiver.thread()).collect();
    let receives: Vec<_> = threads.iter().map(|thread| thread.receive_within(mailbox.port, 5)).collect();
    mailbox.system.advance_ms(5);
    assert!(receives.iter().all(|receive| receive.done().err() == Some(Error::ReceiveTimedOut)));
}

#[test]
fn a_sleep_lasts_as_long_as_it_says() {
    let mailbox = Mailbox::new(ONE);
    for ms in [1, 10, 33] {
        let sleep = mailbox.sender.sleep(ms);
        assert_eq!(duration(&mailbox, &sleep), ms);
    }
    assert_eq!(mailbox.sender.sleep(0).done(), Ok(()));
}

#[test]
fn the_halves_of_an_rpc_have_each_their_own_timeout() {
    let mailbox = Mailbox::full(ONE);
    let reply = mailbox.sender.port(ONE);
    let request = Message::to(mailbox.to).reply(reply, Disposition::MakeSendOnce);
    let rpc = mailbox.sender.rpc_with(request, WhenFull::WaitMs(10), reply, Some(5), 1024);
    mailbox.system.advance_ms(8);
    mailbox.take().expect("the first message");
    // The request has been sent after 8 ms; the reply has 5 ms from then on.
    mailbox.system.advance_ms(4);
    assert!(rpc.waits());
    mailbox.system.advance_ms(1);
    assert_eq!(rpc.done().expect_err("no reply"), Error::ReceiveTimedOut);
    assert_eq!(mailbox.messages(), 1);
}

#[test]
fn the_clock_tells_the_time() {
    let mailbox = Mailbox::new(ONE);
    mailbox.system.advance_ms(7);
    let (result, now) = mailbox.sender.call(portolan_abi::Call::ClockGet).done();
    assert_eq!((result, now), (Ok(()), mailbox.system.now().0));
    mailbox.sender.work_ms(3).done();
    let (_, later) = mailbox.sender.call(portolan_abi::Call::ClockGet).done();
    assert_eq!(later - now, 3_000_000);
}
