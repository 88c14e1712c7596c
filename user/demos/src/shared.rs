//! Lesson 4: a producer and a consumer over shared memory, coordinated by messages.
//!
//! The producer makes a memory object, divides it into slots, and sends the
//! consumer a right to it that allows only reading. The data never travel in a
//! message: messages only say which slot is full, and which is free again.

use crate::stage::{Outcome, Stage, Wrong, ask, check, say};
use alloc::format;
use portolan::{
    Capacity, Error, Mapping, MemoryObject, Message, Protection, ReceiveRight, Received, Right, SendRight, bootstrap,
};

/// The consumer tells the lead where it can be reached.
const HERE_I_AM: u32 = 1;
/// The producer asks the lead for the consumer.
const CONSUMER: u32 = 2;
/// To the consumer: the memory object, and where to say that slots are free.
const BUFFER: u32 = 3;
/// To the consumer: a slot is full. The message says which, and how many bytes.
const FULL: u32 = 4;
/// To the producer: a slot is free. The message says which.
const FREE: u32 = 5;

const SLOTS: usize = 4;
const SLOT_SIZE: usize = 1024;
const ITEMS: usize = 10;

pub(crate) fn role(role: &str) -> Outcome {
    match role {
        "producer" => producer(),
        _ => consumer(),
    }
}

fn producer() -> Outcome {
    let consumer = ask(CONSUMER, "")?;
    let object = MemoryObject::create((SLOTS * SLOT_SIZE) as u64)?;
    let memory = object.map(Protection::READ_WRITE)?;
    let free = ReceiveRight::allocate(Capacity::Unbounded)?;
    let read_only = object.derive(Protection::READ)?.into_right();
    consumer.send(Message::new(BUFFER).right(read_only).right(Right::MakeSend(&free)))?;

    for item in 0..ITEMS {
        let slot = if item < SLOTS { item } else { slot_of(&free.receive()?, FREE)?.0 };
        let text = text_of(item);
        memory.write(slot * SLOT_SIZE, text.as_bytes())?;
        say!("writes `{text}` into slot {slot}");
        consumer.send(Message::new(FULL).value([slot as u64, text.len() as u64]))?;
    }
    for _ in 0..SLOTS {
        slot_of(&free.receive()?, FREE)?;
    }
    say!("all slots are free again");
    Ok(())
}

fn consumer() -> Outcome {
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    bootstrap::port()?.send(Message::new(HERE_I_AM).right(Right::MakeSend(&port)))?;
    let mut buffer = port.receive()?;
    check(buffer.id() == BUFFER, "the producer begins with something else")?;
    let object = MemoryObject::from_right(buffer.take_send(0)?);
    let free = buffer.take_send(1)?;

    let refused = object.map(Protection::READ_WRITE).err();
    check(refused == Some(Error::ProtectionFailure), "a right to read lets the consumer write")?;
    say!("mapping the memory for writing: {}", Error::ProtectionFailure.classic_name());
    let memory = object.map(Protection::READ)?;
    (0..ITEMS).try_for_each(|item| consume(item, &port, &memory, &free))
}

fn consume(item: usize, port: &ReceiveRight, memory: &Mapping, free: &SendRight) -> Outcome {
    let (slot, length) = slot_of(&port.receive()?, FULL)?;
    let mut bytes = [0; SLOT_SIZE];
    let text = bytes.get_mut(..length).ok_or(Wrong::Result("a slot is longer than it can be"))?;
    memory.read(slot * SLOT_SIZE, text)?;
    check(text == text_of(item).as_bytes(), "the consumer reads what the producer did not write")?;
    say!("reads `{}` from slot {slot}", core::str::from_utf8(text).unwrap_or("?"));
    Ok(free.send(Message::new(FREE).value([slot as u64, 0]))?)
}

fn text_of(item: usize) -> alloc::string::String {
    format!("item {item}")
}

/// The slot that a message is about, and the bytes in it.
fn slot_of(message: &Received, id: u32) -> Outcome<(usize, usize)> {
    let [slot, length] = message.value::<[u64; 2]>()?;
    check(message.id() == id && slot < SLOTS as u64, "a message is about no slot")?;
    Ok((slot as usize, length as usize))
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let consumer = stage.enter_reachable("consumer", HERE_I_AM)?;
    stage.enter("producer", "")?;
    stage.give(CONSUMER, &consumer)?;
    stage.wait_until_playing(0)
}
