//! The kernel and the model side by side: each act is done in both, and what comes of
//! it compared.
//!
//! The model's keys stand for the kernel's names and numbers; which for which is learnt
//! when they are first seen. Invariant: no two keys stand for the same thing at a time.

use super::state::{Arrival, Arrived, Asked, Content, Draft, End, Half, Key, Model, SendOptions, ThreadKey, What};
use super::{Act, Actor};
use crate::harness::{Message, Pending, Received, System, Task, Thread, WhenFull};
use crate::random::deed::{Given, Known, Letter};
use portolan_abi::message::{Header, Options, Trailer};
use portolan_abi::notification::Notification;
use portolan_abi::task::Limits;
use portolan_abi::{Capacity, Disposition, Error, Name, Result, thread};
use std::collections::BTreeMap;
use zerocopy::FromBytes;

/// No run comes near these: the model knows no shortage.
const LIMITS: Limits = Limits { memory: 1 << 20, ports: 400, frames: 500 };
/// The longest body: those of `random` may be longer than is needed here.
const BODY_MAX: usize = 3000;

pub struct World {
    system: System,
    players: Vec<Player>,
    model: Model,
    /// The kernel's numbers of messages.
    numbers: BTreeMap<Key, u64>,
    sent: u32,
}

/// A task, in both worlds.
struct Player {
    /// Its main thread does what never waits; it is not in the model.
    task: Task,
    alive: bool,
    serial: u64,
    threads: Vec<Thread>,
    calls: Vec<Option<Waiting>>,
    /// All names it was ever told, oldest first.
    told: Vec<Key>,
    names: BTreeMap<Key, Name>,
}

/// A call that the kernel may not have ended yet.
enum Waiting {
    Send(Pending<Result<()>>),
    Receive(Pending<Result<Received>>, Name),
}

impl World {
    /// Every task can send to the next one, and has itself a send right to its own
    /// notify port.
    pub fn new(tasks: usize, threads: usize) -> World {
        let system = System::boot();
        let mut model = Model::default();
        let players = (0..tasks).map(|number| Player::new(&system, &mut model, number, threads)).collect();
        let mut world = World { system, players, model, numbers: BTreeMap::new(), sent: 0 };
        for number in 0..tasks {
            world.allocate(number, Capacity::Bounded(2));
            let port = *world.players[number].told.last().expect("a port");
            for other in [(number + 1) % tasks, (number + 2) % tasks] {
                world.connect(number, port, other);
            }
        }
        world
    }

    /// Gives a send right, made from a receive right.
    fn connect(&mut self, from: usize, port: Key, to: usize) {
        let how = Disposition::MakeSend;
        let (giver, taker) = (&self.players[from], &self.players[to]);
        let actual = giver.task.give_send(&taker.task, giver.names[&port]);
        let carried = self.model.take(from, Asked::Known(port), how, None).expect("a receive right");
        let given = self.model.insert(to, carried.right);
        self.learn(to, given, actual);
    }

    pub fn perform(&mut self, act: Act) {
        match act {
            Act::Allocate(task, capacity) if self.alive(task) => self.allocate(task, capacity),
            Act::Deallocate(task, known) if self.alive(task) => {
                let (asked, name) = self.name(task, known, |_| true);
                let result = self.players[task].task.port_deallocate(name);
                assert_eq!(result, self.model.deallocate(task, asked), "port_deallocate");
            }
            Act::ModifyReferences(task, known, kind, delta) if self.alive(task) => {
                let (asked, name) = self.name(task, known, |_| true);
                let result = self.players[task].task.port_mod_refs(name, kind, delta);
                assert_eq!(result, self.model.modify_references(task, asked, kind, delta), "port_mod_refs");
            }
            Act::SetCapacity(task, known, capacity) if self.alive(task) => {
                let (asked, name) = self.name(task, known, is_receive_right);
                let result = self.players[task].task.port_set_backlog(name, capacity);
                assert_eq!(result, self.model.set_capacity(task, asked, capacity), "port_set_backlog");
            }
            Act::Status(task, known) if self.alive(task) => {
                let (asked, name) = self.name(task, known, is_receive_right);
                self.compare_status(task, asked, name);
            }
            Act::Type(task, known) if self.alive(task) => {
                if let (Asked::Known(key), name) = self.name(task, known, |_| true) {
                    self.compare_type(task, key, name);
                }
            }
            Act::Send { by, letter, when_full, abortable } if self.is_free(by) => {
                self.send(by, letter, when_full, abortable);
            }
            Act::Receive { by, from, ms, room } if self.is_free(by) => self.receive(by, from, ms, room),
            Act::Rpc { by, letter, when_full, from, ms } if self.is_free(by) => {
                self.rpc(by, letter, when_full, from, ms);
            }
            Act::Abort(by) if self.alive(by.task) => {
                let player = &self.players[by.task];
                let victim = player.threads[by.thread].known_self();
                thread::abort(&*player.task, victim).expect("an order to a thread that lives");
                self.model.abort(self.key(by));
            }
            Act::EndTask(task) if self.alive(task) => self.end(task),
            Act::Pass(ms) => {
                self.system.advance_ms(ms);
                self.model.advance(ms);
            }
            // The task is gone, or its thread waits.
            _ => return,
        }
        self.compare_calls();
    }

    fn allocate(&mut self, task: usize, capacity: Capacity) {
        let actual = self.players[task].task.port(capacity);
        let (key, _) = self.model.allocate(task, capacity);
        self.learn(task, Arrived::Named(key), actual);
    }

    fn send(&mut self, by: Actor, letter: Letter, when_full: WhenFull, abortable: bool) {
        let (draft, message) = self.write(by.task, letter);
        let when_full = self.alone(when_full);
        let (mut options, timeout) = when_full.options();
        options.set(Options::SEND_INTERRUPT, abortable);
        let pending = self.players[by.task].threads[by.thread].send_with(message, options, timeout);
        self.players[by.task].calls[by.thread] = Some(Waiting::Send(pending));
        self.model.send(self.key(by), &draft, SendOptions { when_full, abortable }, None);
    }

    fn receive(&mut self, by: Actor, from: Known, ms: Option<u32>, room: u32) {
        let (asked, name) = self.name(by.task, from, is_receive_right);
        let ms = ms.map(|ms| self.moment(ms));
        let mut options = Options::RCV_INTERRUPT;
        options.set(Options::RCV_TIMEOUT, ms.is_some());
        let player = &mut self.players[by.task];
        let pending = player.threads[by.thread].receive_with(name, options, ms.unwrap_or(0), room);
        player.calls[by.thread] = Some(Waiting::Receive(pending, name));
        let half = Half { from: asked, ms, room: room as usize, abortable: true };
        self.model.receive(self.key(by), half);
    }

    fn rpc(&mut self, by: Actor, letter: Letter, when_full: WhenFull, from: Known, ms: Option<u32>) {
        const ROOM: u32 = 4096;
        let (draft, message) = self.write(by.task, letter);
        let (asked, name) = self.name(by.task, from, is_receive_right);
        let when_full = self.alone(when_full);
        let ms = ms.map(|ms| self.moment(ms));
        let player = &mut self.players[by.task];
        let pending = player.threads[by.thread].rpc_with(message, when_full, name, ms, ROOM);
        player.calls[by.thread] = Some(Waiting::Receive(pending, name));
        let half = Half { from: asked, ms, room: ROOM as usize, abortable: false };
        self.model.send(self.key(by), &draft, SendOptions { when_full, abortable: false }, Some(half));
    }

    fn end(&mut self, task: usize) {
        let player = &mut self.players[task];
        player.alive = false;
        player.calls.iter_mut().for_each(|call| *call = None);
        player.task.terminate();
        let mut order: Vec<(u32, Key)> = player.names.iter().map(|(key, name)| (name.index(), *key)).collect();
        order.sort_unstable();
        let order: Vec<Key> = order.into_iter().map(|(_, key)| key).collect();
        self.model.terminate(task, &order);
    }

    /// The letter as the model has it, and as the kernel has it.
    fn write(&mut self, task: usize, letter: Letter) -> (Draft, Message) {
        self.sent += 1;
        let id = self.sent;
        let (asked, name, how) = self.right(task, letter.to, |what| !matches!(what, What::Dead(_)));
        let body: Vec<u8> = (0..letter.size.min(BODY_MAX)).map(|place| (place as u32 * 7 + id) as u8).collect();
        let mut message = Message::by(name, how).id(id).text(&body);
        let mut draft = Draft { id, to: (asked, how), reply: None, rights: Vec::new(), body };
        if let Some(reply) = letter.reply {
            let (asked, name, how) = self.right(task, reply, is_receive_right);
            message = message.reply(name, how);
            draft.reply = Some((asked, how));
        }
        for right in letter.rights {
            let (asked, name, how) = self.right(task, right, |_| true);
            message = message.right(name, how);
            draft.rights.push((asked, how));
        }
        (draft, message)
    }

    /// A name by its place among those a task was told: for the model, and for the kernel.
    /// Those that fit come first, then those that mean something, then those that did; of
    /// each the newest first.
    fn name(&self, task: usize, Known(back): Known, fits: impl Fn(What) -> bool) -> (Asked, Name) {
        let player = &self.players[task];
        let mut told: Vec<Key> = player.told.iter().rev().copied().collect();
        told.sort_by_key(|key| match self.model.lookup(task, Asked::Known(*key)) {
            Some((_, what)) if fits(what) => 0,
            Some(_) => 1,
            None => 2,
        });
        match told.get(back) {
            Some(key) => (Asked::Known(*key), player.names[key]),
            None if back % 3 == 0 => (Asked::Null, Name::NULL),
            None if back % 3 == 1 => (Asked::Dead, Name::DEAD),
            None => (Asked::Unknown, Name::new(Name::INDEX_MAX - back as u32, 7)),
        }
    }

    /// A name, and in most cases a disposition that can be had of it.
    fn right(&self, task: usize, Given(known, how): Given, fits: impl Fn(What) -> bool) -> (Asked, Name, Disposition) {
        let (asked, name) = self.name(task, known, fits);
        let possible: &[Disposition] = match self.model.lookup(task, asked) {
            _ if self.sent.is_multiple_of(8) => &[],
            Some((_, What::Port { receive: true, sends: 0, .. })) => {
                &[Disposition::MakeSend, Disposition::MakeSendOnce, Disposition::MoveReceive]
            }
            Some((_, What::Port { receive: false, .. })) => &[Disposition::CopySend, Disposition::MoveSend],
            Some((_, What::SendOnce { .. })) => &[Disposition::MoveSendOnce],
            _ => &[],
        };
        let how = if possible.is_empty() { how } else { possible[how as usize % possible.len()] };
        (asked, name, how)
    }

    /// A time from now at which no other wait ends: in which order such waits end is not said.
    fn moment(&self, ms: u32) -> u32 {
        let taken = |ms: u32| {
            let at = self.model.now + u64::from(ms);
            ms > 0 && self.model.threads.values().any(|thread| thread.deadline == Some(at))
        };
        (ms..).find(|ms| !taken(*ms)).expect("a free moment")
    }

    fn alone(&self, when_full: WhenFull) -> WhenFull {
        match when_full {
            WhenFull::WaitMs(ms) => WhenFull::WaitMs(self.moment(ms)),
            WhenFull::WaitMsThenCache(ms) => WhenFull::WaitMsThenCache(self.moment(ms)),
            other => other,
        }
    }

    fn alive(&self, task: usize) -> bool {
        self.players[task].alive
    }

    fn is_free(&self, by: Actor) -> bool {
        self.alive(by.task) && self.players[by.task].calls[by.thread].is_none()
    }

    fn key(&self, by: Actor) -> ThreadKey {
        thread_key(by.task, by.thread)
    }

    /// What has ended in one has ended in the other, and in the same way.
    fn compare_calls(&mut self) {
        for (key, end) in std::mem::take(&mut self.model.ends) {
            let (task, thread) = (key / KEYS, key % KEYS);
            if self.alive(task) {
                let call = self.players[task].calls[thread].take().expect("a call that was made");
                self.compare_end(task, call, end);
            }
        }
        for (task, player) in self.players.iter().enumerate() {
            for (thread, call) in player.calls.iter().enumerate() {
                let ended = match call {
                    Some(Waiting::Send(pending)) => pending.result().is_some(),
                    Some(Waiting::Receive(pending, _)) => pending.result().is_some(),
                    None => false,
                };
                assert!(!ended, "thread {thread} of task {task} should wait");
            }
        }
    }

    fn compare_end(&mut self, task: usize, call: Waiting, end: End) {
        let ended = "the call should have ended";
        match (call, end) {
            (Waiting::Send(call), end) => assert_eq!(call.result().expect(ended), end.map(|_| ())),
            (Waiting::Receive(call, _), Err(error)) => {
                assert_eq!(call.result().expect(ended).map(|message| message.header), Err(error));
            }
            (Waiting::Receive(call, port), Ok(Some(arrival))) => {
                let message = call.result().expect(ended).expect("a message");
                self.compare_message(task, port, &message, &arrival);
            }
            (Waiting::Receive(..), Ok(None)) => panic!("a receive without a message"),
        }
    }

    fn compare_message(&mut self, task: usize, port: Name, message: &Received, arrival: &Arrival) {
        assert_eq!(message.header.id, arrival.id, "which message");
        assert_eq!(message.header.bits, Header::bits_of(arrival.reply.1, arrival.came_through), "kinds in the header");
        assert_eq!(message.header.local, port);
        self.learn(task, arrival.reply.0, message.header.remote);
        assert_eq!(message.rights.len(), arrival.rights.len());
        for (right, (arrived, kind)) in message.rights.iter().zip(&arrival.rights) {
            assert_eq!(right.disposition, *kind, "the kind of a right");
            self.learn(task, *arrived, right.name);
        }
        match &arrival.body {
            Content::Bytes(bytes) => assert_eq!(&message.body, bytes),
            Content::Notice(about, key) => {
                let notice = Notification::read_from_bytes(&message.body).expect("a notification");
                assert_eq!(notice.name, key.map_or(Name::NULL, |key| self.players[*about].names[&key]));
            }
        }
        let trailer = &message.trailer;
        assert_eq!(trailer.sequence, arrival.sequence, "the place in the sequence");
        assert_eq!(trailer.sender, arrival.sender.map_or(0, |task| self.players[task].serial), "the sender");
        assert_eq!(trailer.flags == Trailer::FROM_KERNEL, arrival.sender.is_none());
        self.learn_number(arrival.key, trailer.number);
        if arrival.cause == 0 {
            assert_eq!(trailer.cause, 0);
        } else {
            self.learn_number(arrival.cause, trailer.cause);
        }
    }

    /// A right has arrived: under the name that is known, or under one that nothing else has.
    fn learn(&mut self, task: usize, arrived: Arrived, actual: Name) {
        let key = match arrived {
            Arrived::Null => return assert_eq!(actual, Name::NULL),
            Arrived::Dead => return assert_eq!(actual, Name::DEAD),
            Arrived::Named(key) => key,
        };
        assert!(actual.is_valid());
        let player = &mut self.players[task];
        if let Some(known) = player.names.get(&key) {
            assert_eq!(*known, actual, "the name under which the port is known");
            return;
        }
        assert!(!player.names.values().any(|other| *other == actual), "{actual:?} was another right's");
        player.names.insert(key, actual);
        player.told.push(key);
    }

    fn learn_number(&mut self, key: Key, number: u64) {
        let taken = self.numbers.iter().any(|(other, taken)| *other != key && *taken == number && number != 0);
        assert!(!taken, "two messages have number {number}");
        assert_eq!(*self.numbers.entry(key).or_insert(number), number, "the number of a message");
    }

    fn compare_status(&self, task: usize, asked: Asked, name: Name) {
        let status = self.players[task].task.port_status(name);
        assert_eq!(status, self.model.status(task, asked), "the status of {name:?}");
    }

    fn compare_type(&self, task: usize, key: Key, name: Name) {
        let expected = self.model.describe(task, key).map(|kind| portolan_abi::port::NameType { name, ..kind });
        let found = self.players[task].task.port_type(name);
        assert_eq!(found, expected.ok_or(Error::InvalidName), "the type of {name:?}");
    }

    /// Everything that can be asked for is the same.
    pub fn compare_all(&self) {
        for (task, player) in self.players.iter().enumerate().filter(|(_, player)| player.alive) {
            for (key, name) in &player.names {
                self.compare_status(task, Asked::Known(*key), *name);
                self.compare_type(task, *key, *name);
            }
        }
    }
}

impl Player {
    fn new(system: &System, model: &mut Model, number: usize, threads: usize) -> Player {
        let task = system.task_with("player", LIMITS).expect("a task");
        let notify = model.add_task(number);
        let serial = task.info().id;
        let threads: Vec<Thread> = (0..threads).map(|_| task.thread()).collect();
        for (place, thread) in threads.iter().enumerate() {
            thread.thread_self();
            model.add_thread(thread_key(number, place), number);
        }
        let (calls, names) = (threads.iter().map(|_| None).collect(), BTreeMap::from([(notify, task.notify())]));
        Player { task, alive: true, serial, threads, calls, told: vec![notify], names }
    }
}

fn is_receive_right(what: What) -> bool {
    matches!(what, What::Port { receive: true, .. })
}

/// Threads of a task, at most.
const KEYS: usize = 16;

fn thread_key(task: usize, thread: usize) -> ThreadKey {
    task * KEYS + thread
}
