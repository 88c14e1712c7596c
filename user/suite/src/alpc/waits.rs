//! ALPC's waits are waits like any other: refused where nobody could end them, traced, ended by their timeout and
//! by `thread_abort`, and shared with ports of the program's own.

use super::{
    ANSWER, CONNECT, CONTEXT, Doing, NOW, PATIENCE, Pair, RECEIVE_NOW, REQUEST_FOREVER, Result, Stranger,
    foreign_client, heard, of, reply, status, text, until_waiting,
};
use crate::case::Verdict;
use crate::clock::Stopwatch;
use crate::host::{events, host, now, way};
use crate::peer::Peer;
use crate::{cases, holds, same};
use alloc::sync::Arc;
use alloc::vec::Vec;
use portolan::abi::Disposition;
use portolan::abi::trace::Step;
use portolan::thread::{JoinHandle, sleep_ms, spawn};
use portolan::{Capacity, Notice, PortSet, ReceiveRight, Task, thread};
use portolan_alpc::{Access, Port, PortAttributes, SendFlags, State, Status, Type};

cases!("alpc_waits":
    two_tasks_that_ask_each_other,
    a_receive_from_who_waits_for_this_task,
    a_thread_that_could_answer_is_a_way_out,
    a_server_without_clients_waits_for_one,
    messages_are_traced,
    a_refused_wait_is_traced,
    nonsense_does_not_prolong_a_wait,
    an_alertable_wait_is_ended,
    a_wait_that_is_not_alertable_goes_on,
    a_port_of_ones_own_joins,
    a_port_of_ones_own_joins_a_client,
);

/// A peer that waits for this task's answer, as long as it takes, and the server's side.
struct Asked {
    server: Port,
    side: Port,
    peer: Peer,
    asks: crate::hand::Pending,
}

fn asked_by_a_peer() -> Result<Asked> {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let (peer, side) = foreign_client(&server, false)?;
    let asks = peer.hand.act(REQUEST_FOREVER, [0; 6])?;
    peer.hand.waits(&asks, Doing::Receiving)?;
    Ok(Asked { server, side, peer, asks })
}

impl Asked {
    /// Answers the peer.
    fn answer(self) -> Result<(Port, Port, Peer)> {
        let request = self.server.receive(NOW)?;
        self.server.reply(request.message_id(), &text(b"answer"))?;
        same!(self.asks.finish()?.value, 0);
        Ok((self.server, self.side, self.peer))
    }
}

fn two_tasks_that_ask_each_other() -> Verdict {
    let asked = asked_by_a_peer()?;
    same!(status(asked.side.request(&text(b"and you?"), None)), Some(Status::PossibleDeadlock));
    let chain: Vec<u64> = thread::this()?.refusal()?.iter().map(|wait| wait.task).collect();
    same!(chain, [Task::this().info()?.id, asked.side.query_information().peer]);
    // The other one's wait is as good as before. What was asked here was sent, and is passed over.
    let (server, side, peer) = asked.answer()?;
    same!(peer.hand.act(RECEIVE_NOW, [0; 6])?.finish()?.value, u64::from(Status::Timeout.code()));
    same!((server.query_information().pending, side.query_information().state), (0, State::Connected));
    Ok(())
}

fn a_receive_from_who_waits_for_this_task() -> Verdict {
    let asked = asked_by_a_peer()?;
    let request = asked.server.receive(NOW)?;
    same!(status(asked.side.receive(None)), Some(Status::PossibleDeadlock));
    same!(status(asked.side.receive(Some(5))), Some(Status::Timeout));
    asked.server.reply(request.message_id(), &text(b"answer"))?;
    same!(asked.asks.finish()?.value, 0);
    Ok(())
}

fn a_thread_that_could_answer_is_a_way_out() -> Verdict {
    let asked = asked_by_a_peer()?;
    let side = Arc::new(asked.side);
    let asks = {
        let side = Arc::clone(&side);
        spawn(move || side.request(&text(b"and you?"), None).map(heard))?
    };
    until_waiting(&asks)?;
    let request = asked.server.receive(NOW)?;
    asked.server.reply(request.message_id(), &text(b"answer"))?;
    same!(asked.asks.finish()?.value, 0);
    same!(asked.peer.hand.act(ANSWER, [0; 6])?.finish()?.value, 0);
    same!(of(asks.join()??), reply(b"answer"));
    Ok(())
}

fn a_server_without_clients_waits_for_one() -> Verdict {
    // Whoever has a right to the connection port may knock.
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    let peer = Peer::start()?;
    let there = peer.give(server.right()?.name(), Disposition::CopySend)?;
    let connects = peer.hand.act(CONNECT, [u64::from(there.0), 0, 0, 0, 0, 0])?;
    let request = server.receive(None)?;
    let _side = server.accept(request.message_id(), CONTEXT, &text(b""))?;
    same!(connects.finish()?.value, 0);
    Ok(())
}

/// The id of the Mach message that carries one of ALPC's.
fn id(kind: Type) -> u32 {
    0x414c_5000 | kind as u32
}

fn messages_are_traced() -> Verdict {
    let (host, pair) = (host()?, Pair::new()?);
    let from = now(host)?;
    pair.client.datagram(&text(b"datagram"))?;
    let datagram = pair.server.receive(NOW)?;
    let (asks, request) = pair.asked(b"question")?;
    pair.server.reply(request, &text(b"answer"))?;
    drop((asks.join()??, datagram));
    same!(way(host, from, id(Type::Datagram))?.0, [Step::Send, Step::Queue, Step::Receive]);
    let (steps, numbers) = way(host, from, id(Type::Request))?;
    holds!(steps.first() == Some(&Step::Send) && numbers.len() == 1, steps, numbers);
    same!(way(host, from, id(Type::Reply))?.0, [Step::Send, Step::Deliver]);
    Ok(())
}

fn a_refused_wait_is_traced() -> Verdict {
    let (host, asked) = (host()?, asked_by_a_peer()?);
    let from = now(host)?;
    same!(status(asked.side.request(&text(b"and you?"), None)), Some(Status::PossibleDeadlock));
    let refused = events(host, from)?.iter().filter(|event| event.step == Step::Refuse as u16).count();
    same!(refused, 2);
    asked.answer().map(drop)
}

fn nonsense_does_not_prolong_a_wait() -> Verdict {
    let server = Arc::new(Port::create(PortAttributes::default(), Access::Anyone)?);
    let stranger = Stranger::connect(&server)?;
    let waits = {
        let server = Arc::clone(&server);
        spawn(move || {
            let clock = Stopwatch::start();
            (status(server.receive(Some(40))), clock.shows(40))
        })?
    };
    for _ in 0..200 {
        if waits.thread().info().is_err() {
            break;
        }
        stranger.to_server.send(portolan::Message::new(9).bytes(b"nonsense"))?;
        sleep_ms(1);
    }
    let (ended, in_time) = waits.join()?;
    same!(ended, Some(Status::Timeout));
    in_time
}

/// Aborts a thread's wait until it ends.
fn alert<T>(thread: JoinHandle<T>) -> Result<T> {
    until_waiting(&thread)?;
    thread.thread().abort()?;
    Ok(thread.join()?)
}

fn an_alertable_wait_is_ended() -> Verdict {
    let pair = Pair::new()?;
    let (server, client) = (Arc::clone(&pair.server), Arc::clone(&pair.client));
    let receives = spawn(move || server.send_wait_receive(SendFlags::WAIT_ALERTABLE, None, Some(100), PATIENCE).err())?;
    same!(alert(receives)?, Some(Status::Alerted));
    let flags = SendFlags::SYNC_REQUEST | SendFlags::WAIT_ALERTABLE;
    let asks = spawn(move || client.send_wait_receive(flags, Some(&text(b"question")), None, None).err())?;
    let request = pair.server.receive(PATIENCE)?;
    same!(alert(asks)?, Some(Status::Alerted));
    same!(status(pair.server.reply(request.message_id(), &text(b""))), Some(Status::RequestCanceled));
    // Within a request: it is gone then, as after any callback that was sent and not answered.
    let (asks, id) = pair.asked(b"question")?;
    let server = Arc::clone(&pair.server);
    let calls = spawn(move || server.send_wait_receive(flags, Some(&text(b"?").to(id)), None, None).err())?;
    same!(of(asks.join()??), (Type::Request, b"?".to_vec()));
    same!(alert(calls)?, Some(Status::Alerted));
    same!(status(pair.server.reply(id, &text(b""))), Some(Status::InvalidParameter));
    Ok(())
}

fn a_wait_that_is_not_alertable_goes_on() -> Verdict {
    let pair = Pair::new()?;
    let (asks, id) = pair.asked(b"question")?;
    until_waiting(&asks)?;
    asks.thread().abort()?;
    pair.server.reply(id, &text(b"answer"))?;
    same!(of(asks.join()??), reply(b"answer"));
    Ok(())
}

fn a_port_of_ones_own_joins() -> Verdict {
    let pair = Pair::new()?;
    let mine = ReceiveRight::allocate(Capacity::DEFAULT)?;
    pair.server.join(&mine, 7)?;
    let server = Arc::clone(&pair.server);
    let waits =
        spawn(move || server.receive(None).map(|got| (got.message_type(), got.message_context(), got.into_mach())))?;
    until_waiting(&waits)?;
    let to = mine.make_send()?;
    to.send(portolan::Message::new(6).text("mine"))?;
    let (kind, key, message) = waits.join()??;
    same!((kind, key), (Type::Mach, 7));
    same!(message.as_ref().map(|message| (message.id(), message.text())), Some((6, Ok("mine"))));
    // Each in its turn, and each as it is.
    to.send(portolan::Message::new(6).text("a long text, which is no message of a connection's at all"))?;
    pair.client.datagram(&text(b"theirs"))?;
    let mut kinds = [pair.server.receive(NOW)?.message_type(), pair.server.receive(NOW)?.message_type()];
    kinds.sort_by_key(|kind| *kind as u16);
    same!(kinds, [Type::Mach, Type::Datagram]);
    // What is one of ALPC's has no message of another kind in it.
    pair.client.datagram(&text(b"theirs"))?;
    same!(pair.server.receive(NOW)?.into_mach().is_none(), true);
    // It leaves.
    PortSet::remove(&mine)?;
    to.send(portolan::Message::new(6))?;
    same!(status(pair.server.receive(NOW)), Some(Status::Timeout));
    same!(mine.receive_within(0)?.id(), 6);
    Ok(())
}

fn a_port_of_ones_own_joins_a_client() -> Verdict {
    let pair = Pair::new()?;
    let mine = ReceiveRight::allocate(Capacity::DEFAULT)?;
    pair.client.join(&mine, u32::MAX)?;
    drop(mine.make_send_once()?);
    let news = pair.client.receive(NOW)?;
    same!(news.message_context(), u64::from(u32::MAX));
    same!(news.into_mach().and_then(|message| message.notice()), Some(Notice::SendOnce));
    pair.client.disconnect()?;
    same!(status(pair.client.join(&mine, 1)), Some(Status::PortDisconnected));
    Ok(())
}
