//! Message queues: `mq_open` and what follows.
//!
//! The queues are kept by a server (`user/servers/mq`, found by [`server`]), so that who may send to one cannot read or
//! spoil what others have sent. An open queue is a send right, and is closed when that is
//! given up, or dies with its task. A call that has to wait is a request that the server
//! answers later. If the server dies its queues do, too: calls end with `InputOutput`, and the one that is started in
//! its place has none.
//!
//! Neighbours: the server; `errno`.

use crate::object_name::NAME_MAX;
use crate::time::deadline;
use crate::{Errno, Result, Time};
use alloc::vec::Vec;
use core::mem::size_of;
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::abi::Disposition;
use portolan::abi::interface::Reply;
use portolan::abi::message::{Descriptor, SecurityToken};
use portolan::abi::word::NEVER;
use portolan::interface::MsgRpc;
use portolan::name_server;
use portolan::receive::Wait;
use portolan::{Capacity, Error, Message, Name, ReceiveRight, Received, Right, SendOnceRight, SendRight};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The name by which the server is found.
pub const SERVICE: &str = "mq";
/// Priorities are below this (`MQ_PRIO_MAX`).
pub const PRIORITY_MAX: u32 = 32_768;
/// Most messages that a queue can be made for.
pub const MESSAGES_MAX: i64 = 256;
/// Most bytes of a message that a queue can be made for.
pub const SIZE_MAX: i64 = 16_384;
/// Most entries of one reply of [`list`](protocol::list).
pub const LISTED: usize = 8;

/// What client and server say to each other.
pub mod protocol {
    use super::{Attributes, Entry, LISTED, QueueName};
    use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

    /// Of `open`: messages may be received.
    pub const RECEIVE_ACCESS: u32 = 1;
    /// Of `open`: messages may be sent.
    pub const SEND_ACCESS: u32 = 2;
    /// Of `open`: the queue is made if there is none of this name.
    pub const CREATE: u32 = 4;
    /// Of `open`: there must be none of this name.
    pub const EXCLUSIVE: u32 = 8;
    /// Of `open` and `set_flags`: nothing waits (`O_NONBLOCK`, and with its number).
    pub const NONBLOCK: u32 = 0o4000;

    portolan::interface! {
        base 7200;

        /// Opens a queue, and makes it before that if the flags say so. The right is for the
        /// other routines, and for sending and receiving. `errno` is 0 or a POSIX error number, as for all of these.
        1 open / Open (name: QueueName, flags: u32, mode: u32, messages: i64, size: i64) -> (errno: i32, reserved: u32; queue);

        /// Takes a queue's name away. It lives as long as somebody has it open.
        2 unlink / Unlink (name: QueueName) -> (errno: i32, reserved: u32);

        /// What a queue is and holds.
        3 attributes / GetAttributes () -> (attributes: Attributes);

        /// Sets the flags of an open queue, and returns what they were.
        4 set_flags / SetFlags (flags: i64) -> (errno: i64, attributes: Attributes);

        /// Has the next message that comes to the empty queue told, once, by an [`ARRIVED`] message
        /// through a send-once right; null takes that back.
        5 notify / Notify (; to) -> (errno: i32, reserved: u32);

        /// The queues whose names are after `after` in the order of their bytes: the first `count` entries. With fewer
        /// than [`LISTED`](super::LISTED) there are no more. A queue that keeps its name all the while is listed exactly once.
        6 list / List (after: QueueName) -> (count: u32, reserved: u32, entries: [Entry; LISTED]);

        /// Ends the wait of a request with this number that the caller's task has sent through the same right: its answer
        /// is `EINTR`. If it has been answered already that stays as it is, so that no message is lost or sent twice.
        7 interrupt / Interrupt (wait: u64) -> ();
    }

    /// The id of a request to send: [`SendHead`], then the bytes. Its answer is a [`TakenHead`].
    pub const SEND: u32 = 7250;
    /// The id of a request to receive: a [`ReceiveHead`]. Its answer is a [`TakenHead`], then the bytes.
    pub const RECEIVE: u32 = 7251;
    /// The id of the message that says that a queue is empty no more.
    pub const ARRIVED: u32 = 7252;

    /// How a request to send begins.
    #[derive(Clone, Copy, Debug, IntoBytes, FromBytes, KnownLayout, Immutable)]
    #[repr(C)]
    pub struct SendHead {
        /// Until when to wait for a place, in ns of the machine's clock.
        pub deadline: u64,
        /// The message's priority.
        pub priority: u32,
        /// 0, or 1 if the deadline is none and the call fails where it would wait.
        pub invalid_time: u32,
        /// A number that no other wait of the task's has, for [`interrupt`]; or 0.
        pub wait: u64,
    }

    /// A request to receive.
    #[derive(Clone, Copy, Debug, IntoBytes, FromBytes, KnownLayout, Immutable)]
    #[repr(C)]
    pub struct ReceiveHead {
        /// Until when to wait for a message, in ns of the machine's clock.
        pub deadline: u64,
        /// Bytes of the buffer.
        pub room: u32,
        /// As in [`SendHead`].
        pub invalid_time: u32,
        /// As in [`SendHead`].
        pub wait: u64,
    }

    /// How the answer to both begins.
    #[derive(Clone, Copy, Debug, IntoBytes, FromBytes, KnownLayout, Immutable)]
    #[repr(C)]
    pub struct TakenHead {
        /// 0 or a POSIX error number.
        pub errno: i32,
        /// The priority of the message that was received.
        pub priority: u32,
    }
}

/// A queue's name without its slash; zeros fill it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct QueueName(pub [u8; NAME_MAX + 1]);

impl QueueName {
    /// No name; it stands before all names.
    pub const NONE: QueueName = QueueName([0; NAME_MAX + 1]);

    /// The name that a program writes: a slash, and no other behind it.
    ///
    /// # Errors
    /// As on Linux: `Invalid`: no slash first. `NoEntry`: nothing behind it. `Access`: another slash.
    /// `NameTooLong`: more than [`NAME_MAX`] bytes behind it.
    pub fn new(text: &[u8]) -> Result<QueueName> {
        let name = text.strip_prefix(b"/").ok_or(Errno::Invalid)?;
        match name {
            [] => Err(Errno::NoEntry),
            _ if name.len() > NAME_MAX => Err(Errno::NameTooLong),
            _ if name.contains(&b'/') => Err(Errno::Access),
            _ if name.contains(&0) => Err(Errno::Invalid),
            _ => {
                let mut bytes = [0; NAME_MAX + 1];
                bytes[..name.len()].copy_from_slice(name);
                Ok(QueueName(bytes))
            }
        }
    }

    /// Its bytes, without the slash.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// Whether it is one that [`QueueName::new`] makes.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        !name.is_empty() && !name.contains(&b'/') && !rest.is_empty() && rest.iter().all(|byte| *byte == 0)
    }
}

/// What a queue is and holds (`struct mq_attr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Attributes {
    /// [`protocol::NONBLOCK`] or 0.
    pub flags: i64,
    /// Most messages it holds.
    pub messages: i64,
    /// Most bytes of a message.
    pub size: i64,
    /// Messages it holds now.
    pub current: i64,
}

impl Attributes {
    /// Those of a queue for which none are given, as on Linux.
    pub const DEFAULT: Attributes = Attributes { flags: 0, messages: 10, size: 8192, current: 0 };
}

/// A queue with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Entry {
    /// The name.
    pub name: QueueName,
    /// What it is and holds; `flags` are 0, as each who has it open has flags of its own.
    pub attributes: Attributes,
    /// Whose it is.
    pub owner: SecurityToken,
    /// The permission bits.
    pub mode: u32,
    /// How often it is open.
    pub openings: u32,
    /// Calls that wait for a place.
    pub senders: u32,
    /// Calls that wait for a message.
    pub receivers: u32,
}

impl Entry {
    /// What an unused place of a list holds.
    pub const NONE: Entry = Entry {
        name: QueueName::NONE,
        attributes: Attributes { flags: 0, messages: 0, size: 0, current: 0 },
        owner: SecurityToken { user: 0, group: 0 },
        mode: 0,
        openings: 0,
        senders: 0,
        receivers: 0,
    };
}

/// What may be done with an open queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `O_RDONLY`.
    Receive,
    /// `O_WRONLY`.
    Send,
    /// `O_RDWR`.
    Both,
}

/// Whether a call waits for a place or a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// It does.
    Wait,
    /// `O_NONBLOCK`.
    Return,
}

/// Whether a queue is made when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// It must be there.
    No,
    /// If it is not there (`O_CREAT`): its mode, what the umask forbids taken out, and what it is to be.
    IfAbsent(u32, Attributes),
    /// It must not be there (`O_CREAT | O_EXCL`).
    New(u32, Attributes),
}

/// The server of this system's queues, as the name server knows it.
///
/// # Errors
/// `NoSystem`: there is none. `InputOutput`: the name server cannot be asked.
pub fn server() -> Result<SendRight> {
    name_server::look_up(SERVICE).map_err(|error| match error {
        Error::InvalidName | Error::InvalidCapability => Errno::NoSystem,
        _ => failed(error),
    })
}

/// All queues with a name that a server keeps, in the order of their names.
///
/// # Errors
/// `InputOutput`.
pub fn list(server: &SendRight) -> Result<Vec<Entry>> {
    let (mut all, mut after) = (Vec::new(), QueueName::NONE);
    loop {
        let part = protocol::list(&MsgRpc, server.name(), after).map_err(failed)?.results;
        let entries = part.entries.get(..part.count as usize).ok_or(Errno::InputOutput)?;
        all.extend_from_slice(entries);
        match entries.last() {
            Some(last) if entries.len() == LISTED => after = last.name,
            _ => return Ok(all),
        }
    }
}

/// An open queue. Dropped, it is closed (`mq_close`).
#[derive(Debug)]
pub struct MessageQueue(SendRight);

impl MessageQueue {
    /// Opens a queue that a server keeps, by custom [`server`]'s (`mq_open`).
    ///
    /// # Errors
    /// Those of [`QueueName::new`]. `NoEntry`: there is none. `Exists`: there is one, and it was to be new. `Access`: its
    /// mode does not allow it. `Invalid`: attributes that no queue can have. `TablesFull`: the server has as many
    /// queues, or open ones, as it can. `NoSpace`: no memory for it. `InputOutput`: there is no server.
    pub fn open(
        server: &SendRight,
        name: &[u8],
        access: Access,
        create: Create,
        blocking: Blocking,
    ) -> Result<MessageQueue> {
        let name = QueueName::new(name)?;
        let mut flags = match access {
            Access::Receive => protocol::RECEIVE_ACCESS,
            Access::Send => protocol::SEND_ACCESS,
            Access::Both => protocol::RECEIVE_ACCESS | protocol::SEND_ACCESS,
        };
        if blocking == Blocking::Return {
            flags |= protocol::NONBLOCK;
        }
        let (mode, Attributes { messages, size, .. }) = match create {
            Create::No => (0, Attributes::DEFAULT),
            Create::IfAbsent(mode, attributes) => {
                flags |= protocol::CREATE;
                (mode, attributes)
            }
            Create::New(mode, attributes) => {
                flags |= protocol::CREATE | protocol::EXCLUSIVE;
                (mode, attributes)
            }
        };
        let Reply { results, rights, .. } =
            protocol::open(&MsgRpc, server.name(), name, flags, mode, messages, size).map_err(failed)?;
        Errno::check(results.errno)?;
        Ok(MessageQueue(SendRight::from_name(rights[0])))
    }

    /// Takes a queue's name away (`mq_unlink`). It lives as long as somebody has it open.
    ///
    /// # Errors
    /// Those of [`QueueName::new`]. `NoEntry`: there is none. `Access`: it is another's. `InputOutput`.
    pub fn unlink(server: &SendRight, name: &[u8]) -> Result<()> {
        let reply = protocol::unlink(&MsgRpc, server.name(), QueueName::new(name)?).map_err(failed)?;
        Errno::check(reply.results.errno)
    }

    /// The queue that this right is to, as [`MessageQueue::open`] gives it.
    #[must_use]
    pub fn from_right(right: SendRight) -> MessageQueue {
        MessageQueue(right)
    }

    /// The right: whoever gets it has the queue open, too.
    pub fn right(&self) -> &SendRight {
        &self.0
    }

    /// Sends, and waits for a place if the queue is full and not opened otherwise (`mq_send`).
    ///
    /// # Errors
    /// `MessageSize`: the message is longer than the queue takes. `Invalid`: the priority is [`PRIORITY_MAX`] or more.
    /// `BadDescriptor`: not open for sending. `Again`: it is full, and nothing waits. `NoMemory`: too
    /// many wait. `InputOutput`: the server has died. `Interrupted`: the wait was aborted, and nothing sent.
    pub fn send(&self, bytes: &[u8], priority: u32) -> Result<()> {
        self.send_until(bytes, priority, None)
    }

    /// The same, until a time at most (`mq_timedsend`), which is looked at only if there is a wait.
    ///
    /// # Errors
    /// Also `TimedOut`, and `Invalid`: it is no time.
    pub fn timed_send(&self, bytes: &[u8], priority: u32, until: Time) -> Result<()> {
        self.send_until(bytes, priority, Some(until))
    }

    /// Receives the oldest message of the highest priority, and waits for one if the queue is empty and
    /// not opened otherwise (`mq_receive`); its length and priority.
    ///
    /// # Errors
    /// `MessageSize`: the buffer is smaller than the queue's messages may be. `BadDescriptor`: not open for
    /// receiving. `Again`, `NoMemory`, `InputOutput`, `Interrupted` as for [`MessageQueue::send`].
    pub fn receive(&self, buffer: &mut [u8]) -> Result<(usize, u32)> {
        self.receive_until(buffer, None)
    }

    /// The same, until a time at most (`mq_timedreceive`), which is looked at only if there is a wait.
    ///
    /// # Errors
    /// Also `TimedOut`, and `Invalid`: it is no time.
    pub fn timed_receive(&self, buffer: &mut [u8], until: Time) -> Result<(usize, u32)> {
        self.receive_until(buffer, Some(until))
    }

    /// Has the next message that comes to the queue while it is empty and nobody waits for it told, once, by
    /// a [`protocol::ARRIVED`] message through this right; `None` takes this queue's registration back
    /// (`mq_notify`).
    ///
    /// # Errors
    /// `Busy`: somebody is to be told already. `InputOutput`.
    pub fn notify(&self, to: Option<SendOnceRight>) -> Result<()> {
        let name = to.map_or(Name::NULL, SendOnceRight::into_name);
        let right = Descriptor::port(name, Disposition::MoveSendOnce as u8);
        let reply = protocol::notify(&MsgRpc, self.0.name(), right).map_err(|error| {
            // If it was not sent it is still here.
            drop(SendOnceRight::from_name(name));
            failed(error)
        })?;
        Errno::check(reply.results.errno)
    }

    /// What it is and holds (`mq_getattr`).
    ///
    /// # Errors
    /// `InputOutput`.
    pub fn attributes(&self) -> Result<Attributes> {
        Ok(protocol::attributes(&MsgRpc, self.0.name()).map_err(failed)?.results.attributes)
    }

    /// Sets whether calls on it wait, and returns what it was (`mq_setattr`).
    ///
    /// # Errors
    /// `Invalid`: flags other than [`protocol::NONBLOCK`]. `InputOutput`.
    pub fn set_flags(&self, flags: i64) -> Result<Attributes> {
        let results = protocol::set_flags(&MsgRpc, self.0.name(), flags).map_err(failed)?.results;
        Errno::check(results.errno as i32)?;
        Ok(results.attributes)
    }

    fn send_until(&self, bytes: &[u8], priority: u32, until: Option<Time>) -> Result<()> {
        if bytes.len() > SIZE_MAX as usize {
            return Err(Errno::MessageSize);
        }
        let asked = self.ask(until, |Terms { deadline, invalid_time, wait }| {
            let head = protocol::SendHead { deadline, priority, invalid_time, wait };
            Message::new(protocol::SEND).value(head).bytes(bytes)
        });
        asked.map(drop)
    }

    fn receive_until(&self, buffer: &mut [u8], until: Option<Time>) -> Result<(usize, u32)> {
        let room = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let (answer, priority) = self.ask(until, |Terms { deadline, invalid_time, wait }| {
            let head = protocol::ReceiveHead { deadline, room, invalid_time, wait };
            Message::new(protocol::RECEIVE).value(head)
        })?;
        let bytes = &answer.bytes()[size_of::<protocol::TakenHead>()..];
        buffer.get_mut(..bytes.len()).ok_or(Errno::MessageSize)?.copy_from_slice(bytes);
        Ok((bytes.len(), priority))
    }

    /// Asks without a wait, and if there has to be one, once more with it.
    fn ask<'a>(&self, until: Option<Time>, request: impl Fn(Terms) -> Message<'a>) -> Result<(Received, u32)> {
        let at_once = Terms { deadline: NEVER, invalid_time: 1, wait: 0 };
        let answer = self.0.rpc(request(at_once)).map_err(|failure| failed(failure.error))?;
        match taken(answer) {
            Err(Errno::Invalid) => {
                let terms = Terms::until(until);
                taken(self.wait(request(terms), terms.wait)?)
            }
            other => other,
        }
    }

    /// Sends a request, and waits for its answer. If the wait is aborted the server is asked to end it, so that its
    /// answer says what has become of the message.
    fn wait(&self, request: Message<'_>, wait: u64) -> Result<Received> {
        let reply = ReceiveRight::allocate(Capacity::Bounded(1)).map_err(failed)?;
        let request = request.reply_to(Right::MakeSendOnce(&reply));
        self.0.send(request).map_err(|failure| failed(failure.error))?;
        let answer = match reply.receive_or(Wait { ms: None, abortable: true }) {
            Err(Error::ReceiveInterrupted) => {
                protocol::interrupt(&MsgRpc, self.0.name(), wait).map_err(failed)?;
                reply.receive()
            }
            received => received,
        };
        // If the server has died, what comes is the word that there will be no answer.
        answer.ok().filter(|answer| !answer.is_from_kernel()).ok_or(Errno::InputOutput)
    }
}

/// A server's answer to a request to send or receive, and the priority in it.
fn taken(answer: Received) -> Result<(Received, u32)> {
    let (head, _) = protocol::TakenHead::read_from_prefix(answer.bytes()).map_err(|_| Errno::InputOutput)?;
    Errno::check(head.errno)?;
    Ok((answer, head.priority))
}

/// Until when a request waits, as it travels.
#[derive(Clone, Copy)]
struct Terms {
    deadline: u64,
    invalid_time: u32,
    wait: u64,
}

impl Terms {
    /// Whether the time is needed, and with that looked at, is the server's to say.
    fn until(until: Option<Time>) -> Terms {
        static WAITS: AtomicU64 = AtomicU64::new(1);
        let wait = WAITS.fetch_add(1, Ordering::Relaxed);
        match deadline(until) {
            Ok(deadline) => Terms { deadline: deadline.nanoseconds(), invalid_time: 0, wait },
            Err(_) => Terms { deadline: NEVER, invalid_time: 1, wait },
        }
    }
}

/// What it means that the server could not be asked.
fn failed(error: Error) -> Errno {
    match error {
        Error::ResourceShortage | Error::SendNoBuffer | Error::ReceiveNoSpace => Errno::NoMemory,
        Error::InvalidCapability => Errno::Invalid,
        _ => Errno::InputOutput,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_on_linux() {
        let why = |text: &[u8]| QueueName::new(text).err();
        assert_eq!(why(b"/queue"), None);
        assert_eq!((why(b"queue"), why(b"")), (Some(Errno::Invalid), Some(Errno::Invalid)));
        assert_eq!(
            (why(b"/"), why(b"/a/b"), why(b"//a")),
            (Some(Errno::NoEntry), Some(Errno::Access), Some(Errno::Access))
        );
        let long: Vec<u8> = core::iter::once(b'/').chain([b'n'; NAME_MAX]).collect();
        assert_eq!(why(&long), None);
        assert_eq!(why(&[&long[..], b"n"].concat()), Some(Errno::NameTooLong));
    }

    #[test]
    fn a_name_from_anywhere_is_looked_at() {
        assert!(QueueName::new(b"/q").is_ok_and(|name| name.is_valid()));
        for bytes in [&b""[..], b"a/b", b"a\0b"] {
            let mut name = QueueName([0; NAME_MAX + 1]);
            name.0[..bytes.len()].copy_from_slice(bytes);
            assert!(!name.is_valid(), "{bytes:?}");
        }
        assert!(!QueueName([b'n'; NAME_MAX + 1]).is_valid());
    }
}
