//! Accounts: what is spent is refused with an exact error, and hurts nobody else.

use crate::asm;
use crate::bare::{Bare, Progress};
use crate::case::{Failure, Verdict};
use crate::message::{Message, NONE, is_empty, receive_now};
use crate::notice::wait_for_death;
use crate::peer::Peer;
use crate::protocol::PEER_LIMITS;
use crate::space::{self, PAGE, Place};
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::call::{Call, Receive};
use portolan::abi::message::Options;
use portolan::abi::task::{self, Limits};
use portolan::abi::thread::State;
use portolan::abi::{Capacity, Disposition, Error, Name, Protection, port as routine, vm};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("account":
    ports_run_out,
    memory_runs_out_by_ports,
    memory_runs_out_by_names,
    memory_runs_out_by_messages,
    memory_runs_out_by_threads,
    memory_runs_out_by_mappings,
    frames_run_out_by_touching,
    frames_run_out_by_messages,
    the_kernel_touches_no_page_that_is_not_paid_for,
    a_refused_message_stays_with_its_sender,
    a_blocked_message_is_paid_for,
    a_queued_message_is_paid_for_by_its_sender,
    a_receiver_without_room_for_names_keeps_the_message,
    an_object_is_paid_for_by_its_maker,
    one_spent_task_hurts_no_other,
    what_is_used_is_exact,
    a_message_bomb_is_defused,
    nothing_is_left_of_a_spent_task,
);

fn used(task: Name) -> Result<Limits, Error> {
    Ok(task::info(&MsgRpc, task)?.results.info.used)
}

/// A peer that has this much left, once it runs.
fn peer_with(edit: impl FnOnce(&mut Limits)) -> Result<Peer, Failure> {
    let mut limits = PEER_LIMITS;
    edit(&mut limits);
    Peer::with_limits(limits)
}

/// Makes this task's table of names as large as the case needs it: slots stay paid for.
fn warm() -> Result<(), Error> {
    let names: Vec<Name> = (0..100).map(|_| trap::port_allocate(Capacity::DEFAULT)).collect::<Result<_, _>>()?;
    names.into_iter().try_for_each(trap::port_deallocate)
}

/// Calls until it is refused for lack of resources; how often it went well.
fn until_refused<T>(mut act: impl FnMut() -> Result<T, Error>) -> Result<u32, Failure> {
    for count in 0..200_000 {
        match act() {
            Ok(_) => {}
            Err(Error::ResourceShortage) => return Ok(count),
            Err(other) => return Err(Failure::from(other)),
        }
    }
    Err(Failure::new("it was never refused"))
}

fn ports_run_out() -> Verdict {
    let peer = peer_with(|limits| limits.ports = 40)?;
    let already = used(peer.task)?.ports;
    let mut made = Vec::new();
    let count = until_refused(|| peer.port(Capacity::DEFAULT).map(|name| made.push(name)))?;
    same!(u64::from(count) + already, 40);
    for _ in 0..3 {
        same!(peer.port(Capacity::DEFAULT), Err(Error::ResourceShortage));
    }
    same!(used(peer.task)?.ports, 40);
    let name = made.pop().ok_or(Error::Failure)?;
    routine::port_deallocate(&MsgRpc, peer.task, name, 0)?;
    same!(used(peer.task)?.ports, 39);
    peer.port(Capacity::DEFAULT)?;
    same!(peer.port(Capacity::DEFAULT), Err(Error::ResourceShortage));
    Ok(())
}

fn memory_runs_out_by_ports() -> Verdict {
    let peer = peer_with(|limits| *limits = Limits { memory: 100_000, ports: 4096, frames: limits.frames })?;
    let mut made = Vec::new();
    let count = until_refused(|| peer.port(Capacity::DEFAULT).map(|name| made.push(name)))?;
    holds!(count > 50 && count < 4000, count);
    holds!(used(peer.task)?.memory <= 100_000);
    for name in made {
        routine::port_deallocate(&MsgRpc, peer.task, name, 0)?;
    }
    // Names stay paid for: as many as before, and they serve again.
    let again = until_refused(|| peer.port(Capacity::DEFAULT))?;
    holds!(again + 2 >= count && again <= count + 2, count, again);
    Ok(())
}

fn memory_runs_out_by_names() -> Verdict {
    let peer = peer_with(|limits| limits.memory = 100_000)?;
    let mut ports = Vec::new();
    let count = until_refused(|| {
        let port = trap::port_allocate(Capacity::DEFAULT)?;
        ports.push(port);
        peer.give(port, Disposition::MakeSend)
    })?;
    holds!(count > 100, count);
    let refused = ports.pop().ok_or(Error::Failure)?;
    same!(port::status(refused)?.send_rights, 0);
    same!(port::status(ports[0])?.send_rights, 1);
    Ok(())
}

fn memory_runs_out_by_messages() -> Verdict {
    let peer = peer_with(|limits| limits.memory = 120_000)?;
    let port = port::open(Capacity::Unbounded)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    let mut sent = 0;
    loop {
        match peer.hand.send(&Message::copy_to(there).id(sent), NONE, 0)?.finish()?.result {
            Ok(()) => sent += 1,
            Err(error) => {
                same!(error, Error::SendNoBuffer);
                break;
            }
        }
        holds!(sent < 10_000, sent);
    }
    same!(port::status(port)?.messages, sent);
    // One received is one that can be sent again.
    same!(receive_now(port)?.header.id, 0);
    same!(peer.hand.send(&Message::copy_to(there).id(sent), NONE, 0)?.finish()?.result, Ok(()));
    let again = peer.hand.send(&Message::copy_to(there), NONE, 0)?.finish()?.result;
    same!(again, Err(Error::SendNoBuffer));
    for id in 1..=sent {
        same!(receive_now(port)?.header.id, id);
    }
    Ok(())
}

fn memory_runs_out_by_threads() -> Verdict {
    let peer = peer_with(|limits| *limits = Limits { memory: 150_000, ports: 1000, ..*limits })?;
    let create = || task::thread_create(&MsgRpc, peer.task, 0x40_0000, 0x1000_0000, 0, 0, 0);
    let before = used(peer.task)?.memory;
    let mut threads = Vec::new();
    let count = until_refused(|| create().map(|made| threads.push(made.rights[0])))?;
    holds!(count > 10 && count < 500, count);
    for thread in threads {
        portolan::abi::thread::terminate(&MsgRpc, thread)?;
    }
    holds!(used(peer.task)?.memory < before + 60_000);
    same!(task::info(&MsgRpc, peer.task)?.results.info.threads, 1);
    Ok(())
}

fn memory_runs_out_by_mappings() -> Verdict {
    let peer = peer_with(|limits| limits.memory = 100_000)?;
    let regions = || Ok::<u32, Error>(task::info(&MsgRpc, peer.task)?.results.info.regions);
    let before = regions()?;
    let map = || space::map_place(peer.task, Name::NULL, Place::anywhere(2 * PAGE, Protection::READ));
    let mut made = Vec::new();
    let count = until_refused(|| map().map(|address| made.push(address)))?;
    same!(regions()?, before + count);
    // Cutting a mapping in two needs memory too; taking one away gives it back.
    let first = made[0];
    same!(vm::vm_deallocate(&MsgRpc, peer.task, first, 2 * PAGE).map(drop), Ok(()));
    same!(regions()?, before + count - 1);
    map()?;
    Ok(())
}

fn frames_run_out_by_touching() -> Verdict {
    // More than the task may have: it ends at the page that nobody pays for.
    let bare = Bare::start(&[asm::started(), asm::wait(), asm::touch_all()])?;
    let range = Place::at(0x1000_0000, 1 << 30, Protection::READ_WRITE);
    space::map_place(bare.task, Name::NULL, range)?;
    bare.release(1);
    same!(bare.outcome()?, Progress::Ended);
    wait_for_death(bare.task)?;
    Ok(bare.terminate()?)
}

fn frames_run_out_by_messages() -> Verdict {
    let peer = Peer::start()?;
    let left = PEER_LIMITS.frames - used(peer.task)?.frames;
    let port = port::open(Capacity::Unbounded)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    // Messages too large for the kernel's own object are kept in frames.
    let message = Message::copy_to(there).body(&[6; 4000]);
    let mut sent = 0;
    while peer.hand.send(&message, NONE, 0)?.finish()?.result != Err(Error::SendNoBuffer) {
        sent += 1;
        holds!(sent <= left, sent, left);
    }
    holds!(sent + 16 >= left, sent, left);
    same!(u64::from(port::status(port)?.messages), sent);
    while let Ok(message) = receive_now(port) {
        same!(message.body, [6; 4000]);
    }
    holds!(used(peer.task)?.frames + left < PEER_LIMITS.frames + 16);
    Ok(())
}

fn the_kernel_touches_no_page_that_is_not_paid_for() -> Verdict {
    let peer = Peer::start()?;
    let (port, right) = peer.open(Capacity::DEFAULT)?;
    let body = [8; 60_000];
    Message::copy_to(right).id(4).body(&body).send()?;
    // The peer has something left for itself, but not the pages of a buffer for that message.
    let touched = Place::at(0x1000_0000, 1 << 30, Protection::READ_WRITE);
    space::map_place(peer.task, Name::NULL, touched)?;
    let buffer = Place::at(0x6000_0000, 64 << 10, Protection::READ_WRITE);
    space::map_place(peer.task, Name::NULL, buffer)?;
    let mut page = 0;
    while used(peer.task)?.frames < PEER_LIMITS.frames - 10 {
        peer.hand.load(touched.address + page * PAGE)?.finish()?;
        page += 1;
    }
    let half = Receive { address: buffer.address, size: 64 << 10, port, timeout: 0 };
    let call = Call::Message { send: None, receive: Some(half), options: Options::RCV_TIMEOUT };
    same!(peer.hand.call(call)?.result, Err(Error::ReceiveNoSpace));
    vm::vm_deallocate(&MsgRpc, peer.task, touched.address, touched.size)?;
    same!(peer.hand.call(call)?.result, Ok(()));
    same!(peer.hand.load(buffer.address + 24)?.finish()?.value, 0x0808_0808_0808_0808);
    Ok(())
}

fn a_refused_message_stays_with_its_sender() -> Verdict {
    let peer = peer_with(|limits| limits.memory = 100_000)?;
    let port = port::open(Capacity::Unbounded)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    while peer.hand.send(&Message::copy_to(there), NONE, 0)?.finish()?.result.is_ok() {}
    // A port costs memory too; if there is none left, the message carries what it has.
    let carried = peer.port(Capacity::DEFAULT).unwrap_or(there);
    let message = Message::copy_to(there).right(carried, Disposition::MoveSend);
    let refused = || -> Verdict {
        let result = peer.hand.send(&message, NONE, 0)?.finish()?.result;
        holds!(matches!(result, Err(Error::SendNoBuffer | Error::SendInvalidRight)), result);
        Ok(())
    };
    // The first time the peer's table of names takes what little is left.
    refused()?;
    let before = used(peer.task)?;
    refused()?;
    same!(used(peer.task)?, before);
    same!(peer.port_type(there)?.send, 1);
    Ok(())
}

fn a_blocked_message_is_paid_for() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::Zero)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    let blocked = || -> Result<[Limits; 3], Failure> {
        let before = used(peer.task)?;
        let pending = peer.hand.send(&Message::copy_to(there).body(&[1; 5000]), NONE, 0)?;
        peer.hand.waits(&pending, State::Sending)?;
        let during = used(peer.task)?;
        receive_now(port)?;
        pending.finish()?.result?;
        Ok([before, during, used(peer.task)?])
    };
    // The first time, the peer's own tables and heap grow.
    blocked()?;
    let [before, during, after] = blocked()?;
    holds!(during.memory > before.memory && during.frames == before.frames + 2, before, during);
    same!(after, before);
    Ok(())
}

fn a_queued_message_is_paid_for_by_its_sender() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::Unbounded)?;
    warm()?;
    let (mine, its) = (used(trap::task_self())?, used(peer.task)?);
    for _ in 0..10 {
        Message::copy_to(right).send_now()?;
    }
    holds!(used(trap::task_self())?.memory > mine.memory);
    same!(used(peer.task)?.memory, its.memory);
    for _ in 0..10 {
        peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
    }
    same!(used(trap::task_self())?.memory, mine.memory);
    Ok(())
}

fn a_receiver_without_room_for_names_keeps_the_message() -> Verdict {
    let peer = peer_with(|limits| limits.memory = 60_000)?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let mut message = Message::copy_to(right).id(9);
    for _ in 0..64 {
        message = message.right(trap::port_allocate(Capacity::DEFAULT)?, Disposition::MakeSend);
    }
    message.send()?;
    // Everything the peer has left goes into ports.
    let mut ports = Vec::new();
    until_refused(|| peer.port(Capacity::DEFAULT).map(|name| ports.push(name)))?;
    for name in ports.split_off(ports.len().saturating_sub(8)) {
        routine::port_deallocate(&MsgRpc, peer.task, name, 0)?;
    }
    let refused = peer.hand.receive(there, Options::RCV_TIMEOUT, 0)?.finish()?.result;
    if refused == Err(Error::ReceiveNoSpace) {
        same!(routine::port_status(&MsgRpc, peer.task, there, 0)?.results.status.messages, 1);
        for name in ports {
            routine::port_deallocate(&MsgRpc, peer.task, name, 0)?;
        }
        let received = peer.hand.receive(there, NONE, 0)?.finish()?.received()?;
        same!((received.header.id, received.rights.len()), (9, 64));
    } else {
        // There was room after all: then nothing may be missing.
        same!(refused, Ok(()));
    }
    Ok(())
}

fn an_object_is_paid_for_by_its_maker() -> Verdict {
    let peer = Peer::start()?;
    let object = space::object(16 * PAGE)?;
    space::map_into(peer.task, object, 0x7000_0000, Protection::READ_WRITE)?;
    peer.hand.store(0x7000_0000, 1)?.finish()?;
    let (mine, its) = (used(trap::task_self())?, used(peer.task)?);
    for page in 1..16 {
        peer.hand.store(0x7000_0000 + page * PAGE, 1)?.finish()?;
    }
    same!(used(trap::task_self())?.frames, mine.frames + 15);
    same!(used(peer.task)?.frames, its.frames);
    Ok(())
}

fn one_spent_task_hurts_no_other() -> Verdict {
    let spent = peer_with(|limits| *limits = Limits { memory: 90_000, ports: 60, ..*limits })?;
    until_refused(|| spent.port(Capacity::DEFAULT))?;
    let other = Peer::start()?;
    let (there, right) = other.open(Capacity::DEFAULT)?;
    for id in 0..5 {
        Message::copy_to(right).id(id).send()?;
    }
    for id in 0..5 {
        same!(other.hand.receive(there, NONE, 0)?.finish()?.received()?.header.id, id);
    }
    other.port(Capacity::Unbounded)?;
    trap::port_allocate(Capacity::DEFAULT)?;
    // The spent one can still be talked to and ended.
    same!(spent.hand.call(Call::TaskSelf)?.result, Ok(()));
    Ok(spent.terminate()?)
}

fn what_is_used_is_exact() -> Verdict {
    let me = trap::task_self();
    warm()?;
    let port = port::open(Capacity::Unbounded)?;
    let before = used(me)?;
    for _ in 0..20 {
        let other = trap::port_allocate(Capacity::DEFAULT)?;
        let (object, frames) = (space::object(2 * PAGE)?, used(me)?.frames);
        let here = space::map(object, Protection::READ_WRITE)?;
        asm::store(here, 1);
        holds!(used(me)?.frames > frames);
        Message::copy_to(port).right(other, Disposition::MoveReceive).body(&[3; 700]).send_now()?;
        holds!(used(me)?.memory > before.memory && used(me)?.ports == before.ports + 2);
        space::unmap(here, 2 * PAGE)?;
        port::deallocate(object)?;
        port::deallocate(receive_now(port)?.right(0))?;
    }
    let after = used(me)?;
    same!((after.ports, after.memory), (before.ports, before.memory));
    holds!(after.frames <= before.frames + 4, before.frames, after.frames);
    Ok(())
}

fn a_message_bomb_is_defused() -> Verdict {
    // Each of a peer's messages carries rights to the ports that hold the others.
    let peer = peer_with(|limits| limits.memory = 300_000)?;
    let mut ports = Vec::new();
    for _ in 0..20 {
        let port = port::open(Capacity::Unbounded)?;
        ports.push((port, peer.give(port, Disposition::MakeSend)?));
    }
    let mut sent = 0;
    'spent: loop {
        for (_, there) in &ports {
            let mut message = Message::copy_to(*there).body(&[2; 50]);
            for (_, other) in ports.iter().take(20) {
                message = message.right(*other, Disposition::CopySend);
            }
            match peer.hand.send(&message, NONE, 0)?.finish()?.result {
                Ok(()) => sent += 1,
                Err(error) => {
                    same!(error, Error::SendNoBuffer);
                    break 'spent;
                }
            }
            holds!(sent < 5000, sent);
        }
    }
    holds!(sent > 50, sent);
    peer.terminate()?;
    wait_for_death(peer.task)?;
    for (port, _) in &ports {
        port::destroy(*port)?;
    }
    Ok(())
}

fn nothing_is_left_of_a_spent_task() -> Verdict {
    for round in 0..3 {
        let before = used(trap::task_self())?;
        let bare = Bare::run(asm::spin())?;
        until_refused(|| routine::port_allocate(&MsgRpc, bare.task, 5, 0))?;
        let map = || space::map_place(bare.task, Name::NULL, Place::anywhere(PAGE, Protection::READ));
        until_refused(map)?;
        bare.terminate()?;
        // The first time, this task's own tables grow.
        if round > 0 {
            same!(used(trap::task_self())?, before);
        }
    }
    let port = port::open(Capacity::DEFAULT)?;
    holds!(is_empty(port));
    Ok(())
}
