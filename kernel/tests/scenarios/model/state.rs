//! What there is in the model: tasks with names, ports with queues, threads that wait.
//!
//! Nothing is counted that can be looked for: how many rights to a port exist is found
//! by going through all names and messages.
//! Invariant: keys are never used again. Neighbours: `rights`, `messages`, `death`.

use crate::harness::WhenFull;
use portolan_abi::notification::Kind;
use portolan_abi::port::{NameType, Status};
use portolan_abi::{Capacity, Disposition, Error, Name, RightKind};
use std::collections::{BTreeMap, VecDeque};

pub type Key = u64;
pub type TaskKey = usize;
pub type ThreadKey = usize;

/// A whole system.
#[derive(Default)]
pub struct Model {
    pub tasks: BTreeMap<TaskKey, Task>,
    pub ports: BTreeMap<Key, Port>,
    pub threads: BTreeMap<ThreadKey, Thread>,
    /// Ports that have died in this call, in that order.
    pub dying: VecDeque<Key>,
    /// Threads that have sent and are still to receive, in the order in which they got there.
    pub unfinished: VecDeque<ThreadKey>,
    /// What has ended, oldest first.
    pub ends: Vec<(ThreadKey, End)>,
    pub now: u64,
    pub last_key: Key,
}

/// How a message call ends.
pub type End = Result<Option<Arrival>, Error>;

#[derive(Default)]
pub struct Task {
    pub names: BTreeMap<Key, Entry>,
    pub notify: Key,
    /// Dead names that are still to be told, oldest first.
    pub untold: VecDeque<Key>,
}

/// What a name stands for.
pub struct Entry {
    pub what: What,
    /// Rights that messages of waiting senders have taken from it.
    pub lent: u32,
    /// The kernel caches a message of this task for the port.
    pub caching: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Port { port: Key, receive: bool, sends: u32 },
    SendOnce { port: Key, waiter: Option<Waiter> },
    Dead(u32),
}

/// A `msg_rpc` that waits for a message through a send-once right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter {
    pub thread: ThreadKey,
    pub call: Key,
}

pub struct Port {
    pub capacity: Capacity,
    pub queue: VecDeque<Mail>,
    pub senders: VecDeque<ThreadKey>,
    pub receivers: VecDeque<ThreadKey>,
    /// Send-once rights that were destroyed unused, and not told yet.
    pub lost: u32,
    /// The task whose dead names are told here.
    pub tells: Option<TaskKey>,
    pub made: u32,
    pub sequence: u64,
}

pub struct Thread {
    pub task: TaskKey,
    pub wait: Wait,
    pub deadline: Option<u64>,
    /// The receiving half that it still has to begin.
    pub unfinished: Option<Half>,
    pub reply: Reply,
    /// The message it received last; 0 for none.
    pub handling: Key,
}

pub enum Wait {
    No,
    Send(Box<Sending>),
    Receive { half: Half, abortable: bool },
}

pub struct Sending {
    pub port: Key,
    pub mail: Mail,
    pub options: SendOptions,
    pub then: Option<Half>,
}

#[derive(Clone, Copy)]
pub struct SendOptions {
    pub when_full: WhenFull,
    pub abortable: bool,
}

/// The receiving half of a call.
#[derive(Clone, Copy)]
pub struct Half {
    pub from: Asked,
    pub ms: Option<u32>,
    pub room: usize,
    pub abortable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    NotAwaited,
    Awaited(Key),
    Lost,
}

/// A name as a caller says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    Null,
    Dead,
    /// One that the task was told once.
    Known(Key),
    /// One that it never was.
    Unknown,
}

/// A message as its sender writes it.
pub struct Draft {
    pub id: u32,
    pub to: (Asked, Disposition),
    pub reply: Option<(Asked, Disposition)>,
    pub rights: Vec<(Asked, Disposition)>,
    pub body: Vec<u8>,
}

/// A message on its way.
pub struct Mail {
    pub key: Key,
    pub cause: Key,
    pub sender: Option<TaskKey>,
    pub id: u32,
    /// The sender's name for where it goes.
    pub via: Key,
    pub to: Carried,
    pub reply: Carried,
    pub rights: Vec<Carried>,
    pub body: Content,
    /// For whom it is cached: the task and its name for the port.
    pub cached_for: Option<(TaskKey, Key)>,
}

#[derive(Clone)]
pub enum Content {
    Bytes(Vec<u8>),
    /// The kernel's, about a name of this task.
    Notice(TaskKey, Option<Key>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    Null,
    Dead(RightKind),
    Receive(Key),
    Send(Key),
    SendOnce(Key, Option<Waiter>),
}

/// A right in a message, and what was done to which name to get it.
#[derive(Clone, Copy)]
pub struct Carried {
    pub right: Right,
    pub taken: Option<(Key, Disposition)>,
}

/// A message as its receiver finds it.
pub struct Arrival {
    pub key: Key,
    pub cause: Key,
    pub sender: Option<TaskKey>,
    pub id: u32,
    pub came_through: u8,
    pub reply: (Arrived, u8),
    pub rights: Vec<(Arrived, u8)>,
    pub body: Content,
    pub sequence: u64,
}

/// The name that a right arrives under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrived {
    Null,
    Dead,
    Named(Key),
}

impl Carried {
    pub const NULL: Carried = Carried { right: Right::Null, taken: None };
}

impl Right {
    /// The kind that the receiver is told; 0 for none.
    pub fn code(self) -> u8 {
        match self {
            Right::Null => 0,
            Right::Dead(kind) => kind as u8,
            Right::Receive(_) => RightKind::Receive as u8,
            Right::Send(_) => RightKind::Send as u8,
            Right::SendOnce(..) => RightKind::SendOnce as u8,
        }
    }
}

impl Entry {
    pub fn new(what: What) -> Entry {
        Entry { what, lent: 0, caching: false }
    }

    /// Whether the task can use the name: not while all of it is lent.
    pub fn is_visible(&self) -> bool {
        match self.what {
            What::Port { receive, sends, .. } => receive || sends > 0,
            What::SendOnce { .. } => self.lent == 0,
            What::Dead(references) => references > 0,
        }
    }

    pub fn is_spent(&self) -> bool {
        !self.is_visible() && self.lent == 0 && !self.caching
    }
}

impl Port {
    fn new(capacity: Capacity) -> Port {
        let (queue, senders, receivers) = Default::default();
        Port { capacity, queue, senders, receivers, lost: 0, tells: None, made: 0, sequence: 0 }
    }

    /// Whether an ordinary message finds a place.
    pub fn has_room(&self) -> bool {
        match self.capacity {
            Capacity::Zero => false,
            Capacity::Bounded(limit) => self.queue.len() < limit as usize,
            Capacity::Unbounded => true,
        }
    }
}

impl Mail {
    /// A notice of the kernel's; it comes through a send-once right.
    pub fn notice(key: Key, kind: Kind, port: Key, about: Content) -> Mail {
        let to = Carried { right: Right::SendOnce(port, None), taken: None };
        let reply = Carried::NULL;
        let (cause, via, sender, rights, cached_for) = Default::default();
        Mail { key, cause, sender, id: kind as u32, via, to, reply, rights, body: about, cached_for }
    }

    /// Bytes of buffer that receiving it takes: header, descriptors, body, up to a
    /// multiple of 8, trailer.
    pub fn room(&self) -> usize {
        let body = match &self.body {
            Content::Bytes(bytes) => bytes.len(),
            Content::Notice(..) => 8,
        };
        (24 + 24 * self.rights.len() + body).div_ceil(8) * 8 + 56
    }

    /// Reply right and rights of descriptors.
    pub fn all_rights(&self) -> impl Iterator<Item = &Carried> {
        std::iter::once(&self.reply).chain(&self.rights)
    }
}

impl Model {
    pub fn new_key(&mut self) -> Key {
        self.last_key += 1;
        self.last_key
    }

    /// A task with its notify port, and the name of that.
    pub fn add_task(&mut self, task: TaskKey) -> Key {
        self.tasks.insert(task, Task::default());
        let (name, port) = self.allocate(task, Capacity::DEFAULT);
        self.port(port).tells = Some(task);
        self.task(task).notify = port;
        name
    }

    pub fn add_thread(&mut self, key: ThreadKey, task: TaskKey) {
        let handling = self.new_key();
        let thread =
            Thread { task, wait: Wait::No, deadline: None, unfinished: None, reply: Reply::NotAwaited, handling };
        self.threads.insert(key, thread);
    }

    /// `port_allocate`: the name, and the port.
    pub fn allocate(&mut self, task: TaskKey, capacity: Capacity) -> (Key, Key) {
        let (name, port) = (self.new_key(), self.new_key());
        self.ports.insert(port, Port::new(capacity));
        self.task(task).names.insert(name, Entry::new(What::Port { port, receive: true, sends: 0 }));
        (name, port)
    }

    pub fn task(&mut self, key: TaskKey) -> &mut Task {
        self.tasks.get_mut(&key).expect("a task")
    }

    pub fn port(&mut self, key: Key) -> &mut Port {
        self.ports.get_mut(&key).expect("a port")
    }

    pub fn thread(&mut self, key: ThreadKey) -> &mut Thread {
        self.threads.get_mut(&key).expect("a thread")
    }

    /// Whether a port can still take messages.
    pub fn lives(&self, port: Key) -> bool {
        self.ports.contains_key(&port) && !self.dying.contains(&port)
    }

    /// The entry of a name that means something.
    pub fn lookup(&self, task: TaskKey, name: Asked) -> Option<(Key, What)> {
        let Asked::Known(key) = name else { return None };
        let entry = self.tasks[&task].names.get(&key)?;
        entry.is_visible().then_some((key, entry.what))
    }

    /// The port whose receive right a name is.
    pub fn receive_right(&self, task: TaskKey, name: Asked) -> Result<Key, Error> {
        match self.lookup(task, name) {
            Some((_, What::Port { port, receive: true, .. })) => Ok(port),
            Some(_) => Err(Error::NotReceiver),
            None => Err(Error::InvalidName),
        }
    }

    /// Every message there is, and whether its sender still waits with it.
    pub fn mails(&self) -> impl Iterator<Item = (&Mail, bool)> {
        let queued = self.ports.values().flat_map(|port| &port.queue).map(|mail| (mail, false));
        let waiting = self.threads.values().filter_map(|thread| match &thread.wait {
            Wait::Send(sending) => Some((&sending.mail, true)),
            _ => None,
        });
        queued.chain(waiting)
    }

    /// `port_type`.
    pub fn describe(&self, task: TaskKey, name: Key) -> Option<NameType> {
        let base = NameType { name: Name::NULL, ..NameType::default() };
        self.lookup(task, Asked::Known(name)).map(|(_, what)| match what {
            What::Port { receive, sends, .. } => NameType { receive: receive.into(), send: sends, ..base },
            What::SendOnce { .. } => NameType { send_once: 1, ..base },
            What::Dead(references) => NameType { dead: references, ..base },
        })
    }

    /// `port_status`.
    pub fn status(&self, task: TaskKey, name: Asked) -> Result<Status, Error> {
        let key = self.receive_right(task, name)?;
        let port = &self.ports[&key];
        let (mut sends, mut send_onces) = (0, 0);
        for entry in self.tasks.values().flat_map(|task| task.names.values()) {
            match entry.what {
                What::Port { port, sends: 1.., .. } if port == key => sends += 1,
                What::SendOnce { port, .. } if port == key && entry.lent == 0 => send_onces += 1,
                _ => {}
            }
        }
        for (mail, waits) in self.mails() {
            // What a message came through is used up once it has left its sender.
            let moved = matches!(mail.to.taken, Some((_, Disposition::MoveSend)));
            let to = Some(&mail.to).filter(|_| waits && moved);
            for carried in mail.all_rights().chain(to) {
                match carried.right {
                    Right::Send(port) if port == key => sends += 1,
                    Right::SendOnce(port, _) if port == key => send_onces += 1,
                    _ => {}
                }
            }
        }
        Ok(Status {
            capacity: port.capacity.code(),
            messages: port.queue.len() as u32,
            cached: port.queue.iter().filter(|mail| mail.cached_for.is_some()).count() as u32,
            senders: port.senders.len() as u32,
            receivers: port.receivers.len() as u32,
            send_rights: sends,
            send_once_rights: send_onces,
            make_send_count: port.made,
            sequence: port.sequence,
            ..Status::default()
        })
    }
}
