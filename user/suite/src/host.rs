//! The host port: counts of everything, and the trace of every message's way.
//!
//! Only the first task is given the privileged right; the runner lends it to these cases.

use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Message, NONE, Received, receive, receive_now};
use crate::peer::Peer;
use crate::protocol::{self, routine};
use crate::{cases, holds, port, same, space};
use alloc::vec::Vec;
use portolan::abi::host::{self, ObjectKind, Statistics};
use portolan::abi::message::Options;
use portolan::abi::notification::Kind;
use portolan::abi::thread::State;
use portolan::abi::trace::{Event, Step};
use portolan::abi::{Capacity, Disposition, Error, Name, Result};
use portolan::interface::MsgRpc;
use portolan::{SendRight, Task, trap};

cases!("host":
    statistics_count_what_is_made,
    frames_are_counted,
    a_queued_message_is_traced,
    a_delivered_message_is_traced,
    a_blocked_message_is_traced,
    a_cached_message_and_its_notice_are_traced,
    a_message_that_dies_is_traced,
    the_trace_is_in_the_order_of_time,
    the_trace_forgets_the_oldest,
    there_is_no_other_processor,
    every_task_has_the_plain_port,
    the_plain_port_is_refused_the_rest,
    the_clock_is_the_same_everywhere,
    every_task_is_listed,
    a_port_is_the_same_to_all_who_have_it,
);

pub(crate) fn host() -> Result<Name> {
    Ok(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0])
}

fn statistics(host: Name) -> Result<Statistics> {
    Ok(host::statistics(&MsgRpc, host)?.results.statistics)
}

fn statistics_count_what_is_made() -> Verdict {
    let host = host()?;
    // The first message needs the case's heap, which is memory too.
    let mailbox = port::open(Capacity::DEFAULT)?;
    Message::copy_to(mailbox).send()?;
    receive(mailbox)?;
    port::destroy(mailbox)?;

    let before = statistics(host)?;
    let mailbox = port::open(Capacity::DEFAULT)?;
    Message::copy_to(mailbox).send()?;
    let object = space::object(space::PAGE)?;
    let now = statistics(host)?;
    same!((now.ports, now.messages), (before.ports + 2, before.messages + 1));
    same!(now.memory_objects, before.memory_objects + 1);
    holds!(now.heap > before.heap, before.heap, now.heap);
    let peer = Peer::start()?;
    let now = statistics(host)?;
    same!((now.tasks, now.threads, now.accounts), (before.tasks + 1, before.threads + 1, before.accounts + 1));
    peer.terminate()?;
    port::destroy(mailbox)?;
    port::deallocate(object)?;
    let after = statistics(host)?;
    same!((after.tasks, after.threads, after.accounts), (before.tasks, before.threads, before.accounts));
    same!((after.messages, after.memory_objects), (before.messages, before.memory_objects));
    Ok(())
}

fn frames_are_counted() -> Verdict {
    let host = host()?;
    let memory = space::fresh(64 * space::PAGE)?;
    let before = statistics(host)?;
    space::mark(memory, 64, 1);
    let touched = statistics(host)?;
    holds!(touched.free_frames + 64 <= before.free_frames, before, touched);
    holds!(touched.free_frames + 70 >= before.free_frames, before, touched);
    same!(touched.total_frames, before.total_frames);
    space::unmap(memory, 64 * space::PAGE)?;
    holds!(statistics(host)?.free_frames >= touched.free_frames + 64);
    Ok(())
}

/// The number that the next event will have.
pub(crate) fn now(host: Name) -> Result<u64> {
    Ok(host::trace(&MsgRpc, host, u64::MAX, 0, 0)?.results.first)
}

/// All events from number `from` on.
pub(crate) fn events(host: Name, from: u64) -> Result<Vec<Event>> {
    let (mut events, mut from) = (Vec::new(), from);
    loop {
        let page = host::trace(&MsgRpc, host, from, 0, 0)?.results;
        events.extend_from_slice(&page.events[..page.count as usize]);
        from = page.first + page.count;
        if page.count < page.events.len() as u64 {
            return Ok(events);
        }
    }
}

/// The way of the messages with this id: steps, and the number that all of them bear.
pub(crate) fn way(host: Name, from: u64, id: u32) -> Result<(Vec<Step>, Vec<u64>)> {
    let mut events = events(host, from)?;
    events.retain(|event| event.id == id);
    let steps = events.iter().filter_map(|event| Step::from_code(event.step)).collect();
    let mut numbers: Vec<u64> = events.iter().map(|event| event.message).collect();
    numbers.dedup();
    Ok((steps, numbers))
}

const ID: u32 = 0x00c0_ffee;

/// Fails unless the message with [`ID`] has gone this way since `from`.
fn went(host: Name, from: u64, message: &Received, steps: &[Step]) -> Verdict {
    same!(way(host, from, ID)?, (steps.to_vec(), [message.trailer.number].to_vec()));
    Ok(())
}

fn a_queued_message_is_traced() -> Verdict {
    let (host, port) = (host()?, port::open(Capacity::DEFAULT)?);
    let from = now(host)?;
    Message::copy_to(port).id(ID).send()?;
    let message = receive(port)?;
    went(host, from, &message, &[Step::Send, Step::Queue, Step::Receive])
}

fn a_delivered_message_is_traced() -> Verdict {
    let (host, port, hand) = (host()?, port::open(Capacity::DEFAULT)?, Hand::here()?);
    let pending = hand.receive(port, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    let from = now(host)?;
    Message::copy_to(port).id(ID).send()?;
    let message = pending.finish()?.received()?;
    went(host, from, &message, &[Step::Send, Step::Deliver])
}

fn a_blocked_message_is_traced() -> Verdict {
    let (host, port, hand) = (host()?, port::open(Capacity::Zero)?, Hand::here()?);
    let from = now(host)?;
    let pending = hand.send(&Message::copy_to(port).id(ID), NONE, 0)?;
    hand.waits(&pending, State::Sending)?;
    let blocked = way(host, from, ID)?;
    same!(blocked.0, [Step::Send, Step::Block]);
    let message = receive(port)?;
    let last = now(host)?;
    let deliveries = way(host, from, ID)?;
    same!((deliveries.0.len(), deliveries.1), (3, [message.trailer.number].to_vec()));
    holds!(last > from);
    Ok(pending.finish()?.result?)
}

fn a_cached_message_and_its_notice_are_traced() -> Verdict {
    let (host, port) = (host()?, port::open(Capacity::Zero)?);
    let from = now(host)?;
    same!(Message::copy_to(port).id(ID).send_with(Options::SEND_NOTIFY, 0), Err(Error::SendWillNotify));
    let message = receive(port)?;
    let notice = receive_now(trap::task_notify())?;
    went(host, from, &message, &[Step::Send, Step::Cache, Step::Receive])?;
    let (steps, numbers) = way(host, from, Kind::MessageAccepted as u32)?;
    holds!(steps.contains(&Step::Notify) && numbers.contains(&notice.trailer.number), steps, numbers);
    Ok(())
}

fn a_message_that_dies_is_traced() -> Verdict {
    let (host, port) = (host()?, port::open(Capacity::DEFAULT)?);
    let from = now(host)?;
    Message::copy_to(port).id(ID).send()?;
    port::destroy(port)?;
    same!(way(host, from, ID)?.0, [Step::Send, Step::Queue, Step::Die]);
    Ok(())
}

fn the_trace_is_in_the_order_of_time() -> Verdict {
    let (host, port) = (host()?, port::open(Capacity::DEFAULT)?);
    let started = trap::clock_get();
    let from = now(host)?;
    for _ in 0..50 {
        Message::copy_to(port).id(ID).right(port, Disposition::CopySend).send()?;
        receive(port)?;
    }
    let events = events(host, from)?;
    holds!(events.windows(2).all(|pair| pair[0].time <= pair[1].time));
    holds!(events.iter().all(|event| event.time >= started && event.cpu == 0));
    same!(events.iter().filter(|event| event.id == ID).count(), 150);
    Ok(())
}

fn the_trace_forgets_the_oldest() -> Verdict {
    let (host, port) = (host()?, port::open(Capacity::DEFAULT)?);
    let from = now(host)?;
    for _ in 0..1000 {
        Message::copy_to(port).id(ID).send()?;
        receive(port)?;
    }
    let page = host::trace(&MsgRpc, host, from, 0, 0)?.results;
    holds!(page.first > from && page.count > 0, from, page.first, page.count);
    same!(events(host, 0)?.len() >= 1000, true);
    Ok(())
}

fn there_is_no_other_processor() -> Verdict {
    let host = host()?;
    for cpu in [1, 2, 1000, u32::MAX] {
        same!(host::trace(&MsgRpc, host, 0, cpu, 0).map(drop), Err(Error::InvalidArgument));
    }
    Ok(())
}

fn every_task_has_the_plain_port() -> Verdict {
    let info = portolan::host::info(portolan::host::this()?)?;
    same!((info.page_size, info.processors, info.door), (4096, 1, host::Door::Pvh as u32));
    same!(info.memory, 4096 * statistics(host()?)?.total_frames);
    same!(&info.name[..9], b"Portolan\0");
    let (count, list) = portolan::host::processors(portolan::host::this()?)?;
    same!((count, list[0].number, list[0].running), (1, 0, 1));
    Ok(())
}

fn the_plain_port_is_refused_the_rest() -> Verdict {
    let plain = portolan::host::this()?.name();
    same!(host::exit(&MsgRpc, plain, 0, 0).map(drop), Err(Error::NoAccess));
    same!(host::statistics(&MsgRpc, plain).map(drop), Err(Error::NoAccess));
    same!(host::trace(&MsgRpc, plain, 0, 0, 0).map(drop), Err(Error::NoAccess));
    let plain = portolan::host::this()?;
    same!(portolan::host::tasks(plain).map(drop), Err(Error::NoAccess));
    same!(portolan::host::port_object(plain, Task::this(), plain.name()), Err(Error::NoAccess));
    Ok(())
}

fn the_clock_is_the_same_everywhere() -> Verdict {
    let before = trap::clock_get();
    let told = portolan::host::time(portolan::host::this()?)?;
    holds!(before <= told.now && told.now <= trap::clock_get(), before, told.now);
    same!(told.resolution, 1);
    Ok(())
}

fn every_task_is_listed() -> Verdict {
    let host = SendRight::from_name(host()?);
    let before = portolan::host::tasks(&host)?;
    let infos = before.iter().map(Task::info).collect::<Result<Vec<_>>>()?;
    holds!(infos.is_sorted_by(|one, next| one.id < next.id));
    same!(&infos[0].name[..6], b"first\0");
    let peers = [Peer::start()?, Peer::start()?];
    let now = portolan::host::tasks(&host)?;
    same!(now.len(), before.len() + 2);
    // A task that is known already comes under its name here.
    same!(now[before.len()].right().name(), peers[0].task);
    holds!(now.contains(Task::this()));
    peers[0].terminate()?;
    same!(portolan::host::tasks(&host)?.last().map(|task| task.right().name()), Some(peers[1].task));
    Ok(())
}

fn a_port_is_the_same_to_all_who_have_it() -> Verdict {
    let host = SendRight::from_name(host()?);
    let peer = Peer::start()?;
    let theirs = Task::from_right(SendRight::from_name(peer.task));
    let (there, here) = peer.open(Capacity::DEFAULT)?;
    let object = portolan::host::port_object(&host, Task::this(), here)?;
    same!(portolan::host::port_object(&host, &theirs, there)?, object);
    same!(object.kind, ObjectKind::Queue as u32);
    let from = now(host.name())?;
    Message::copy_to(here).id(ID).send()?;
    holds!(events(host.name(), from)?.iter().any(|event| event.id == ID && event.port == object.port));
    let task = portolan::host::port_object(&host, Task::this(), peer.task)?;
    same!((task.kind, task.id), (ObjectKind::Task as u32, theirs.info()?.id));
    same!(portolan::host::port_object(&host, Task::this(), Name::new(9000, 1)), Err(Error::InvalidName));
    Ok(())
}
