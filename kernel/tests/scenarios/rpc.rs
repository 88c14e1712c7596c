//! `msg_rpc`: a send, then a receive, in one call; and what ends it early.

use crate::harness::{Mailbox, Message, Pending, Received, Thread, WhenFull};
use portolan_abi::call::{Receive, Send};
use portolan_abi::message::Options;
use portolan_abi::{Call, Capacity, Disposition, Error, Name, Result, RightKind};
use portolan_machine::Exception;
use portolan_machine::sim::script::Action;

/// The sender's request, with a reply port made for it.
fn request(mailbox: &Mailbox, text: &str) -> (Pending<Result<Received>>, Name) {
    let reply = mailbox.sender.port(Capacity::DEFAULT);
    (ask(&mailbox.sender, mailbox.to, reply, text), reply)
}

fn ask(client: &Thread, to: Name, reply: Name, text: &str) -> Pending<Result<Received>> {
    client.rpc(Message::to(to).reply(reply, Disposition::MakeSendOnce).text(text), reply)
}

/// A reply through the send-once right of a request.
fn reply_to(request: &Received, text: &str) -> Message {
    Message::by(request.reply_right(), Disposition::MoveSendOnce).text(text)
}

#[test]
fn a_request_and_its_reply() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (rpc, reply_port) = request(&mailbox, "question");
    assert!(rpc.waits());
    let question = mailbox.receive().done().expect("the request");
    assert_eq!((question.text(), question.header.remote_disposition()), ("question", RightKind::SendOnce as u8));
    assert_eq!(mailbox.receiver.send(reply_to(&question, "answer"), WhenFull::Wait).done(), Ok(()));
    let answer = rpc.done().expect("the reply");
    assert_eq!((answer.text(), answer.header.local), ("answer", reply_port));
    assert_eq!(answer.trailer.cause, question.trailer.number);
    assert_eq!(mailbox.receiver.port_type(question.reply_right()), Err(Error::InvalidName));
}

#[test]
fn a_server_replies_and_waits_for_the_next_request_in_one_call() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let mut serving = mailbox.receive();
    for round in ["one", "two", "three"] {
        let (rpc, _) = request(&mailbox, round);
        let question = serving.done().expect("a request");
        let echo = reply_to(&question, question.text());
        serving = mailbox.receiver.rpc(echo, mailbox.port);
        assert!(serving.waits());
        assert_eq!(rpc.done().expect("the reply").text(), round);
    }
}

#[test]
fn three_clients_get_each_their_own_reply() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let clients = ["a", "b", "c"].map(|name| {
        let task = mailbox.system.task(name);
        let to = mailbox.receiver.give_send(&task, mailbox.port);
        let reply = task.port(Capacity::DEFAULT);
        (ask(&task, to, reply, name), task)
    });
    let requests = [(); 3].map(|()| mailbox.receive().done().expect("a request"));
    for request in requests.iter().rev() {
        mailbox.receiver.send(reply_to(request, request.text()), WhenFull::Wait).done().expect("a reply");
    }
    for ((rpc, _), name) in clients.iter().zip(["a", "b", "c"]) {
        assert_eq!(rpc.done().expect("the reply").text(), name);
    }
}

#[test]
fn an_rpc_over_a_rendezvous_needs_no_room() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let (rpc, _) = request(&mailbox, "question");
    assert_eq!(mailbox.receiver.status(mailbox.port).senders, 1);
    let question = mailbox.receive().done().expect("the request");
    mailbox.receiver.send(reply_to(&question, "answer"), WhenFull::Wait);
    assert_eq!(rpc.done().expect("the reply").text(), "answer");
}

#[test]
fn an_rpc_may_receive_from_another_port_than_the_reply_port() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (reply, other) = (mailbox.sender.port(Capacity::DEFAULT), mailbox.sender.port(Capacity::DEFAULT));
    let to_other = mailbox.sender.give_send(&mailbox.receiver, other);
    let message = Message::to(mailbox.to).reply(reply, Disposition::MakeSendOnce);
    let rpc = mailbox.sender.rpc(message, other);
    let question = mailbox.receive().done().expect("the request");
    mailbox.receiver.send(reply_to(&question, "not here"), WhenFull::Wait);
    assert!(rpc.waits());
    mailbox.receiver.send(Message::to(to_other).text("here"), WhenFull::Wait);
    assert_eq!(rpc.done().expect("a message").text(), "here");
}

#[test]
fn a_send_that_fails_ends_the_call_before_its_receive() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    let own = mailbox.sender.port(Capacity::DEFAULT);
    mailbox.sender.give_send(&mailbox.sender, own);
    mailbox.sender.send(Message::to(own).text("waits there"), WhenFull::Wait);
    for (policy, error) in [
        (WhenFull::Return, Error::SendTimedOut),
        (WhenFull::Cache, Error::SendWillNotify),
        (WhenFull::Cache, Error::SendNotifyInProgress),
    ] {
        let rpc = mailbox.sender.rpc_with(Message::to(mailbox.to), policy, own, Some(0), 1024);
        assert_eq!(rpc.done().expect_err("no receive"), error);
        assert_eq!(mailbox.sender.status(own).messages, 1);
    }
}

#[test]
fn a_bad_receiving_half_is_told_after_the_message_was_sent_once() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (address, _) = mailbox.sender.buffers();
    let bytes = Message::to(mailbox.to).text("sent").bytes();
    mailbox.sender.store(address, &bytes);
    let own = mailbox.sender.port(Capacity::DEFAULT);
    mailbox.sender.give_send(&mailbox.sender, own);
    mailbox.sender.send(Message::to(own), WhenFull::Wait);
    mailbox.sender.store(address, &bytes);
    let rpc = |port: Name, to: u64| {
        let send = Send { address, size: bytes.len() as u32, timeout: 0 };
        let receive = Receive { address: to, size: 256, port, timeout: 0 };
        let call = Call::Message { send: Some(send), receive: Some(receive), options: Options::empty() };
        mailbox.sender.call(call).done().0
    };
    assert_eq!(rpc(mailbox.to, address), Err(Error::ReceiveInvalidPort));
    assert_eq!(rpc(own, 0x1000), Err(Error::ReceiveInvalidMemory));
    assert_eq!(mailbox.take_all(), ["sent", "sent"]);
    assert_eq!(mailbox.sender.status(own).messages, 1);
}

#[test]
fn a_client_is_told_when_the_server_drops_the_reply_right() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (rpc, reply) = request(&mailbox, "question");
    let question = mailbox.receive().done().expect("the request");
    assert!(rpc.waits());
    mailbox.receiver.port_deallocate(question.reply_right()).expect("ours to drop");
    assert_eq!(rpc.done().expect_err("no reply will come"), Error::ReceiveReplyLost);
    // It was told in the call; no notice waits beside that.
    assert_eq!(mailbox.sender.receive_now(reply).done().expect_err("nothing"), Error::ReceiveTimedOut);
}

#[test]
fn a_client_is_told_when_its_server_dies_with_the_request_in_hand() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (rpc, _) = request(&mailbox, "question");
    mailbox.receive().done().expect("the request");
    mailbox.receiver.terminate();
    assert_eq!(rpc.done().expect_err("no reply will come"), Error::ReceiveReplyLost);
}

#[test]
fn a_client_is_told_when_its_server_dies_with_the_request_in_the_queue() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (rpc, _) = request(&mailbox, "question");
    mailbox.receiver.terminate();
    assert_eq!(rpc.done().expect_err("no reply will come"), Error::ReceiveReplyLost);
}

#[test]
fn a_client_is_told_when_its_server_dies_before_it_takes_the_request() {
    let mailbox = Mailbox::new(Capacity::Zero);
    let (rpc, _) = request(&mailbox, "question");
    mailbox.receiver.terminate();
    assert_eq!(rpc.done().expect_err("the port is dead"), Error::SendInvalidPort);
}

#[test]
fn the_reply_right_may_travel_on_and_the_reply_comes_from_the_last() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let worker = mailbox.system.task("worker");
    let (rpc, _) = request(&mailbox, "question");
    let question = mailbox.receive().done().expect("the request");
    let right = mailbox.receiver.give(&worker, question.reply_right(), Disposition::MoveSendOnce);
    mailbox.receiver.terminate();
    assert!(rpc.waits());
    worker.send(Message::by(right, Disposition::MoveSendOnce).text("from the worker"), WhenFull::Wait);
    assert_eq!(rpc.done().expect("the reply").text(), "from the worker");
}

#[test]
fn a_client_is_told_when_the_last_of_a_chain_drops_its_reply_right() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let worker = mailbox.system.task("worker");
    let inner = worker.port(Capacity::DEFAULT);
    let to_inner = worker.give_send(&mailbox.receiver, inner);
    let (rpc, _) = request(&mailbox, "question");
    let question = mailbox.receive().done().expect("the request");
    let passed = Message::to(to_inner).right(question.reply_right(), Disposition::MoveSendOnce);
    mailbox.receiver.send(passed, WhenFull::Wait).done().expect("a send");
    assert!(rpc.waits());
    worker.terminate();
    assert_eq!(rpc.done().expect_err("no reply will come"), Error::ReceiveReplyLost);
}

#[test]
fn a_reply_that_comes_after_the_timeout_does_not_disturb_the_next_rpc() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let reply = mailbox.sender.port(Capacity::DEFAULT);
    let message = Message::to(mailbox.to).reply(reply, Disposition::MakeSendOnce);
    let late = mailbox.sender.rpc_with(message, WhenFull::Wait, reply, Some(5), 1024);
    let question = mailbox.receive().done().expect("the request");
    mailbox.system.advance_ms(5);
    assert_eq!(late.done().expect_err("too late"), Error::ReceiveTimedOut);
    // The next call waits with the same port; the old right is dropped meanwhile.
    let next = ask(&mailbox.sender, mailbox.to, reply, "next");
    mailbox.receiver.port_deallocate(question.reply_right()).expect("ours to drop");
    // What comes is the notice of the old right, not the loss of the new one.
    let first = next.done();
    assert_ne!(first.as_ref().err(), Some(&Error::ReceiveReplyLost));
    assert_eq!(first.expect("a notice").header.id, portolan_abi::notification::Kind::SendOnce as u32);
}

#[test]
fn a_client_that_is_killed_leaves_its_server_unharmed() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let (_rpc, _) = request(&mailbox, "question");
    let question = mailbox.receive().done().expect("the request");
    mailbox.sender.terminate();
    let result = mailbox.receiver.send(reply_to(&question, "too late"), WhenFull::Wait).done();
    assert_eq!(result, Err(Error::SendInvalidPort));
    assert_eq!(mailbox.receiver.port_type(question.reply_right()).expect("a dead name").dead, 1);
    assert_eq!(mailbox.receiver.port_deallocate(question.reply_right()), Ok(()));
}

#[test]
fn requests_can_nest() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let back = mailbox.sender.port(Capacity::DEFAULT);
    let to_client = mailbox.sender.give_send(&mailbox.receiver, back);
    let answering = mailbox.sender.thread().receive(back);
    let (rpc, _) = request(&mailbox, "outer");
    let outer = mailbox.receive().done().expect("the request");
    let server_reply = mailbox.receiver.port(Capacity::DEFAULT);
    let callback = ask(&mailbox.receiver, to_client, server_reply, "inner");
    let inner = answering.done().expect("the callback");
    assert_eq!(inner.trailer.cause, outer.trailer.number);
    mailbox.sender.thread().send(reply_to(&inner, "inner answer"), WhenFull::Wait).done().expect("a reply");
    assert_eq!(callback.done().expect("the inner reply").text(), "inner answer");
    mailbox.receiver.send(reply_to(&outer, "outer answer"), WhenFull::Wait);
    assert_eq!(rpc.done().expect("the outer reply").text(), "outer answer");
}

#[test]
fn the_reply_ignores_the_capacity_of_the_reply_port() {
    for capacity in [Capacity::Zero, Capacity::Bounded(1)] {
        let mailbox = Mailbox::new(Capacity::DEFAULT);
        let reply = mailbox.sender.port(capacity);
        let requests: Vec<Received> = (0..4)
            .map(|_| {
                let message = Message::to(mailbox.to).reply(reply, Disposition::MakeSendOnce);
                mailbox.sender.send(message, WhenFull::Wait).done().expect("a send");
                mailbox.receive().done().expect("the request")
            })
            .collect();
        for request in &requests {
            let sent = mailbox.receiver.send(reply_to(request, "forced"), WhenFull::Return);
            assert_eq!(sent.done(), Ok(()), "{capacity:?}");
        }
        assert_eq!(mailbox.sender.status(reply).messages, 4);
    }
}

#[test]
fn many_round_trips_leave_nothing_behind() {
    let mailbox = Mailbox::new(Capacity::DEFAULT);
    let reply = mailbox.sender.port(Capacity::DEFAULT);
    let mut serving = mailbox.receive();
    mailbox.system.unchecked(|| {
        for round in 0..2_000u32 {
            let text = round.to_string();
            let rpc = ask(&mailbox.sender, mailbox.to, reply, &text);
            let question = serving.done().expect("a request");
            serving = mailbox.receiver.rpc(reply_to(&question, &text), mailbox.port);
            assert_eq!(rpc.done().expect("the reply").text(), text);
        }
    });
}

#[test]
fn a_client_is_told_of_a_reply_that_is_lost_before_it_has_begun_to_wait() {
    // The server takes the request of a client that waits to send, and dies in the same turn.
    let mailbox = Mailbox::new(Capacity::Zero);
    let (rpc, _) = request(&mailbox, "question");
    assert_eq!(mailbox.receiver.status(mailbox.port).senders, 1);
    let receive = Receive { address: mailbox.receiver.buffers().1, size: 512, port: mailbox.port, timeout: 0 };
    let call = Call::Message { send: None, receive: Some(receive), options: Options::empty() };
    mailbox.receiver.plan_call(call);
    mailbox.receiver.plan(vec![Action::Raise(Exception::Divide)]);
    mailbox.system.rest();
    assert_eq!(rpc.done().expect_err("no reply will come"), Error::ReceiveReplyLost);
}
