//! Memory and arrays of rights in messages, through the library's values and by numbers.

use crate::case::Verdict;
use crate::message::{Message, receive_now};
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::message::{Descriptor, Options, SecurityToken};
use portolan::abi::vm;
use portolan::abi::{Capacity, Disposition, Error, Name, PAGE_SIZE};
use portolan::{Memory, Message as Letter, MsgRpc, ReceiveRight, Right, WhenFull, trap};

cases!("out_of_line":
    a_copy_is_of_the_time_of_sending,
    memory_of_no_alignment_brings_zeros,
    moved_memory_is_gone,
    memory_that_could_not_be_sent_is_kept,
    a_megabyte_there_and_back,
    an_array_of_rights,
    what_is_not_taken_is_given_up,
    a_port_that_dies_with_memory_in_its_queue,
    no_memory_of_ones_own,
    a_peer_sends_memory,
    every_message_bears_a_token,
    rcv_large_changes_nothing,
);

fn is_mapped(address: usize) -> bool {
    let start = address as u64;
    let region = vm::vm_region(&MsgRpc, trap::task_self(), start);
    region.is_ok_and(|region| region.results.info.address <= start)
}

/// Pages, each full of its number and one.
fn numbered(pages: usize) -> Result<Memory, Error> {
    let mut memory = Memory::zeroed(pages * PAGE_SIZE)?;
    for (number, page) in memory.chunks_mut(PAGE_SIZE).enumerate() {
        page.fill(number as u8 + 1);
    }
    Ok(memory)
}

fn are_numbered(memory: &[u8]) -> bool {
    memory.chunks(PAGE_SIZE).enumerate().all(|(number, page)| page.iter().all(|byte| *byte == number as u8 + 1))
}

/// A message with this descriptor.
fn with(mut message: Message, descriptor: Descriptor) -> Message {
    message.rights.push(descriptor);
    message
}

fn a_copy_is_of_the_time_of_sending() -> Verdict {
    let mailbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let mut memory = numbered(4)?;
    mailbox.make_send()?.send(Letter::new(1).memory(&memory).text("four pages"))?;
    memory[0] = 99;
    let mut message = mailbox.receive()?;
    same!((message.rights(), message.text()?), (1, "four pages"));
    let mut copy = message.take_memory(0)?;
    holds!(are_numbered(&copy));
    copy[PAGE_SIZE] = 50;
    same!((memory[0], memory[PAGE_SIZE], message.take_memory(0).err()), (99, 2, Some(Error::InvalidArgument)));
    Ok(())
}

fn memory_of_no_alignment_brings_zeros() -> Verdict {
    let mailbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let to = mailbox.make_send()?;
    let memory = numbered(4)?;
    for (from, size) in [(0, 1), (PAGE_SIZE - 1, 2), (7, PAGE_SIZE), (100, 3 * PAGE_SIZE), (5, 0)] {
        to.send(Letter::new(1).memory(&memory[from..from + size]))?;
        let copy = mailbox.receive()?.take_memory(0)?;
        same!(copy[..], memory[from..from + size]);
        if size > 0 {
            let start = copy.as_ptr().addr() % PAGE_SIZE;
            same!(start, memory[from..].as_ptr().addr() % PAGE_SIZE);
            let around = space_around(&copy)?;
            holds!(around.iter().all(|byte| *byte == 0), from, size);
        }
    }
    Ok(())
}

/// The bytes before and after it, in its first and its last page.
fn space_around(memory: &Memory) -> Result<Vec<u8>, Error> {
    let (start, end) = (memory.as_ptr().addr(), memory.as_ptr().addr() + memory.len());
    let read = |from: usize, size: usize| -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        for at in (from..from + size).step_by(vm::INLINE_MAX) {
            let size = (from + size - at).min(vm::INLINE_MAX);
            let data = vm::vm_peek(&MsgRpc, trap::task_self(), at as u64, size as u64)?.results.data;
            bytes.extend_from_slice(&data[..size]);
        }
        Ok(bytes)
    };
    let mut around = read(start - start % PAGE_SIZE, start % PAGE_SIZE)?;
    around.extend(read(end, end.next_multiple_of(PAGE_SIZE) - end)?);
    Ok(around)
}

fn moved_memory_is_gone() -> Verdict {
    let mailbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let memory = numbered(3)?;
    let address = memory.as_ptr().addr();
    mailbox.make_send()?.send(Letter::new(1).moved_memory(memory))?;
    holds!(!is_mapped(address) && !is_mapped(address + 2 * PAGE_SIZE));
    holds!(are_numbered(&mailbox.receive()?.take_memory(0)?));
    Ok(())
}

fn memory_that_could_not_be_sent_is_kept() -> Verdict {
    let mailbox = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let to = mailbox.make_send()?;
    to.send(Letter::new(1))?;
    let memory = numbered(3)?;
    let address = memory.as_ptr().addr();
    for when_full in [WhenFull::Return, WhenFull::WaitMs(5)] {
        let (options, timeout) = when_full.options();
        let moved = Descriptor::memory(address as u64, memory.len() as u64, Descriptor::MOVE);
        same!(with(Message::copy_to(to.name()), moved).send_with(options, timeout), Err(Error::SendTimedOut));
        holds!(is_mapped(address) && are_numbered(&memory));
    }
    let failure = to.send_or(Letter::new(2).moved_memory(memory), WhenFull::Return).err();
    same!(failure.as_ref().map(|failure| failure.error), Some(Error::SendTimedOut));
    holds!(is_mapped(address));
    drop(failure);
    holds!(!is_mapped(address));
    Ok(())
}

fn a_megabyte_there_and_back() -> Verdict {
    let (there, back) = (ReceiveRight::allocate(Capacity::DEFAULT)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
    let memory = numbered(128)?;
    there.make_send()?.send(Letter::new(1).moved_memory(memory))?;
    let memory = there.receive()?.take_memory(0)?;
    back.make_send()?.send(Letter::new(2).moved_memory(memory))?;
    holds!(are_numbered(&back.receive()?.take_memory(0)?));
    Ok(())
}

fn an_array_of_rights() -> Verdict {
    let mailbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let ports = [(); 3].map(|()| ReceiveRight::allocate(Capacity::DEFAULT));
    let mut rights = Vec::new();
    for port in &ports {
        rights.push(port.as_ref().map_err(|error| *error)?.make_send()?);
    }
    let names: Vec<Name> = rights.iter().map(|right| right.name()).collect();
    mailbox.make_send()?.send(Letter::new(1).rights(rights))?;
    holds!(names.iter().all(|name| port::kind(*name).is_ok_and(|kind| kind.send == 0)));
    let mut message = mailbox.receive()?;
    let arrived = message.take_rights(0)?;
    same!(arrived.len(), 3);
    for (right, name) in arrived.iter().zip(&names) {
        holds!(matches!(right, Right::Send(right) if right.name() == *name), right);
        same!(port::kind(*name)?.send, 1);
    }
    drop(arrived);
    same!(port::kind(names[0])?.send, 0);
    Ok(())
}

fn what_is_not_taken_is_given_up() -> Verdict {
    let (mailbox, gift) = (ReceiveRight::allocate(Capacity::DEFAULT)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
    let memory = numbered(2)?;
    let rights = [gift.make_send()?, gift.make_send()?].into_iter().collect();
    mailbox.make_send()?.send(Letter::new(1).memory(&memory).rights(rights))?;
    // In a message each is one of its own.
    same!(port::status(gift.name())?.send_rights, 2);
    drop(mailbox.receive()?);
    same!(port::status(gift.name())?.send_rights, 0);
    Ok(())
}

fn a_port_that_dies_with_memory_in_its_queue() -> Verdict {
    let mailbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let memory = numbered(8)?;
    let to = mailbox.make_send()?;
    to.send(Letter::new(1).memory(&memory))?;
    to.send(Letter::new(2).moved_memory(memory))?;
    // The runner sees whether anything is left.
    drop(mailbox);
    Ok(())
}

fn no_memory_of_ones_own() -> Verdict {
    let name = port::open(Capacity::DEFAULT)?;
    let memory = numbered(1)?;
    let address = memory.as_ptr().addr() as u64;
    for (address, size) in [(0, 1), (u64::MAX, 1), (address, u64::MAX), (address, 1 << 46), (1 << 47, 8)] {
        for flags in [0, Descriptor::MOVE] {
            let message = with(Message::make_to(name), Descriptor::memory(address, size, flags));
            same!(message.send_now(), Err(Error::SendInvalidMemory));
        }
        let array = Descriptor::ports(address, size.min(1000), Disposition::MakeSend as u8);
        let refused = with(Message::make_to(name), array).send_now();
        holds!(matches!(refused, Err(Error::SendInvalidMemory | Error::SendInvalidRight)), address, refused);
    }
    holds!(are_numbered(&memory));
    Ok(())
}

fn a_peer_sends_memory() -> Verdict {
    let peer = Peer::start()?;
    let name = port::open(Capacity::DEFAULT)?;
    let to = peer.give(name, Disposition::MakeSend)?;
    let mapped = vm::vm_map(
        &MsgRpc,
        peer.task,
        0,
        2 * PAGE_SIZE as u64,
        0,
        3,
        7,
        1,
        vm::MapFlags::ANYWHERE.bits(),
        Descriptor::port(Name::NULL, Disposition::CopySend as u8),
    )?;
    let address = mapped.results.address;
    let mut data = [0; vm::INLINE_MAX];
    data[..4].copy_from_slice(b"peer");
    vm::vm_poke(&MsgRpc, peer.task, address + PAGE_SIZE as u64 - 2, 4, data)?;
    let region = Descriptor::memory(address + PAGE_SIZE as u64 - 2, 4, Descriptor::MOVE);
    peer.hand.send(&with(Message::copy_to(to), region), Options::empty(), 0)?;
    let message = crate::message::receive(name)?;
    let memory = message.rights[0];
    same!((memory.kind, memory.size), (Descriptor::MEMORY, 4));
    let read = vm::vm_peek(&MsgRpc, trap::task_self(), memory.address, 4)?.results.data;
    same!(&read[..4], b"peer");
    vm::vm_deallocate(&MsgRpc, trap::task_self(), memory.address - 4094, 2 * PAGE_SIZE as u64)?;
    holds!(vm::vm_peek(&MsgRpc, peer.task, address, 4).is_err());
    Ok(())
}

fn every_message_bears_a_token() -> Verdict {
    let mailbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
    mailbox.make_send()?.send(Letter::new(1))?;
    same!(mailbox.receive()?.security(), SecurityToken::default());
    Ok(())
}

fn rcv_large_changes_nothing() -> Verdict {
    let name = port::open(Capacity::DEFAULT)?;
    Message::make_to(name).body(b"longer than the buffer").send_now()?;
    let mut small = [0_u64; 8];
    for options in [Options::RCV_TIMEOUT, Options::RCV_TIMEOUT | Options::RCV_LARGE] {
        let (result, needed) = trap::msg_receive(&mut small, name, options, 0);
        holds!(result == Err(Error::ReceiveTooLarge) && needed > 64, result, needed);
    }
    same!(receive_now(name)?.body.len(), 22);
    Ok(())
}
