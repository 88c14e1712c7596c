//! Lesson 14: the bounded buffer, three ways.
//!
//! A producer puts items into a buffer of three places, and a consumer takes them out. With a port, its
//! capacity is the number of places, and the kernel keeps the items. In POSIX's shared memory the tasks keep them
//! themselves, and two semaphores count the free places and the full ones. A POSIX message queue is
//! kept by a server. The consumer's result is the same all three times.

use crate::stage::{Outcome, Stage, ask, check, say};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::{Capacity, Mapping, Message, ReceiveRight, Right, argument, bootstrap};
use portolan_posix::mapping::{PROT_READ, PROT_WRITE, map_shared};
use portolan_posix::queue::{self, Access, Attributes, Blocking, Create, MessageQueue};
use portolan_posix::shared_memory::{O_CREAT, O_EXCL, O_RDWR};
use portolan_posix::{Semaphore, close, ftruncate, shm_open, shm_unlink};

/// The consumer tells the lead where it can be reached.
const HERE_I_AM: u32 = 1;
/// The producer asks the lead for the consumer.
const CONSUMER: u32 = 2;
/// The consumer tells the lead its result.
const RESULT: u32 = 3;
/// To the consumer: an item.
const ITEM: u32 = 4;

const PLACES: usize = 3;
const ITEMS: u64 = 10;
/// The name of the shared memory, and of the queue.
const NAME: &[u8] = b"/buffer";
const WAYS: [&str; 3] = ["port", "memory", "queue"];

pub(crate) fn role(role: &str) -> Outcome {
    match (role, argument("which")) {
        ("producer", Some("port")) => {
            let consumer = ask(CONSUMER, "")?;
            produce(|item| Ok(consumer.send(Message::new(ITEM).value(item))?))
        }
        ("producer", Some("memory")) => {
            let buffer = Buffer::open()?;
            produce(|item| buffer.put(item))
        }
        ("producer", _) => {
            let queue = open_queue(Access::Send, Create::No)?;
            produce(|item| Ok(queue.send(&item.to_le_bytes(), 0)?))
        }
        (_, Some("port")) => {
            let port = ReceiveRight::allocate(Capacity::Bounded(PLACES as u32))?;
            bootstrap::port()?.send(Message::new(HERE_I_AM).right(Right::MakeSend(&port)))?;
            consume(|| Ok(port.receive()?.value()?))
        }
        (_, Some("memory")) => {
            let buffer = Buffer::open()?;
            consume(|| buffer.take())
        }
        (_, _) => {
            let queue = open_queue(Access::Receive, Create::No)?;
            consume(|| {
                let mut item = [0; size_of::<u64>()];
                queue.receive(&mut item)?;
                Ok(u64::from_le_bytes(item))
            })
        }
    }
}

fn produce(mut put: impl FnMut(u64) -> Outcome) -> Outcome {
    (1..=ITEMS).try_for_each(|item| put(item * item))?;
    say!("has put {ITEMS} squares into {PLACES} places");
    Ok(())
}

fn consume(mut take: impl FnMut() -> Outcome<u64>) -> Outcome {
    let items: Vec<u64> = (0..ITEMS).map(|_| take()).collect::<Outcome<_>>()?;
    check(items.is_sorted(), "the items come in another order than they were put in")?;
    let sum: u64 = items.iter().sum();
    say!("has taken {items:?}, together {sum}");
    Ok(bootstrap::port()?.send(Message::new(RESULT).value(sum))?)
}

/// The buffer in shared memory: how many places are free, how many are full, the next to fill and
/// to empty, and the places. One task puts, one takes: neither needs a lock.
struct Buffer(Mapping);

const FREE: usize = 0;
const FULL: usize = 1;
const NEXT_FREE: usize = 2;
const NEXT_FULL: usize = 3;
const FIRST: usize = 4;
const SIZE: u64 = 4096;

impl Buffer {
    fn create() -> Outcome {
        let descriptor = shm_open(NAME, O_CREAT | O_EXCL | O_RDWR, 0o600)?;
        ftruncate(descriptor, SIZE as i64)?;
        let buffer = Buffer(map_shared(descriptor, SIZE, PROT_READ | PROT_WRITE)?);
        Semaphore::init(buffer.word(FREE), PLACES as u32)?;
        Semaphore::init(buffer.word(FULL), 0)?;
        Ok(close(descriptor)?)
    }

    fn open() -> Outcome<Buffer> {
        let descriptor = shm_open(NAME, O_RDWR, 0)?;
        let buffer = Buffer(map_shared(descriptor, SIZE, PROT_READ | PROT_WRITE)?);
        close(descriptor)?;
        Ok(buffer)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.0.words()[index]
    }

    /// The place that `next` says, which then says the one after it.
    fn place(&self, next: usize) -> &AtomicU64 {
        let place = self.word(next).fetch_add(1, Ordering::Relaxed) as usize % PLACES;
        self.word(FIRST + place)
    }

    fn put(&self, item: u64) -> Outcome {
        Semaphore::at(self.word(FREE)).wait()?;
        self.place(NEXT_FREE).store(item, Ordering::Relaxed);
        Ok(Semaphore::at(self.word(FULL)).post()?)
    }

    fn take(&self) -> Outcome<u64> {
        Semaphore::at(self.word(FULL)).wait()?;
        let item = self.place(NEXT_FULL).load(Ordering::Relaxed);
        Semaphore::at(self.word(FREE)).post()?;
        Ok(item)
    }
}

fn open_queue(access: Access, create: Create) -> Outcome<MessageQueue> {
    Ok(MessageQueue::open(&queue::server()?, NAME, access, create, Blocking::Wait)?)
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let mut results = Vec::new();
    for way in WAYS {
        let named = Named::create(way)?;
        results.push(play(&mut stage, way)?);
        drop(named);
    }
    let same = results.iter().all(|result| *result == results[0]);
    check(same, "the three ways have different results")?;
    say!("three ways, one result: {}", results[0]);
    Ok(())
}

fn play(stage: &mut Stage, way: &str) -> Outcome<u64> {
    stage.enter("consumer", way)?;
    let reachable = (way == "port").then(|| stage.request()).transpose()?;
    stage.enter("producer", way)?;
    if let Some(mut hello) = reachable {
        check(hello.id() == HERE_I_AM, "the consumer begins with something else than where it can be reached")?;
        stage.give(CONSUMER, &hello.take_send(0)?)?;
    }
    let told = stage.request()?;
    check(told.id() == RESULT, "the consumer tells something else than its result")?;
    stage.wait_until_playing(0)?;
    Ok(told.value()?)
}

/// What both roles find by its name. Dropped, the name is free again.
enum Named {
    Nothing,
    Memory,
    Queue,
}

impl Named {
    fn create(way: &str) -> Outcome<Named> {
        match way {
            "memory" => {
                let named = Named::Memory;
                Buffer::create()?;
                Ok(named)
            }
            "queue" => {
                let attributes =
                    Attributes { messages: PLACES as i64, size: size_of::<u64>() as i64, ..Attributes::DEFAULT };
                open_queue(Access::Both, Create::New(0o600, attributes))?;
                Ok(Named::Queue)
            }
            _ => Ok(Named::Nothing),
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // If the server has died, so has the name.
        let _ = match self {
            Named::Nothing => Ok(()),
            Named::Memory => shm_unlink(NAME),
            Named::Queue => queue::server().and_then(|server| MessageQueue::unlink(&server, NAME)),
        };
    }
}
