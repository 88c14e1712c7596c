//! One side of a connection: the port where the other side's messages come, and the rights to reach it.
//!
//! Both sides are alike. Each has a private port, to which only the other side has a send right, and a send-once
//! right to the other's: the *last word*, which says that this side disconnects. A send-once right yields exactly
//! one message, so if this side ends without a word the kernel says so in its place, and neither the news of an
//! end can be lost, nor room for it.
//! Invariant: once closed, a side holds no right of the connection but what a call in progress still uses.
//! Neighbours: `inbox` receives from these ports; `door` makes connections.

use crate::attributes::ImpersonationLevel;
use crate::header::{PortMessage, Type, mach_id};
use crate::message::sized;
use crate::status::{Result, Status};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::{ManuallyDrop, replace};
use core::sync::atomic::{AtomicBool, Ordering};
use portolan::abi::message::{Header, SecurityToken};
use portolan::{Mutex, Name, ReceiveRight, Right, SendOnceRight, SendRight, Task};
use zerocopy::IntoBytes;

/// The other side.
#[derive(Debug)]
pub(crate) struct Peer {
    /// To its private port.
    pub(crate) port: SendRight,
    /// Its task, as the kernel tells it; messages of others are not its.
    pub(crate) task: u64,
    /// Whom it acts for.
    pub(crate) token: SecurityToken,
    /// The number that this side knows the connection by.
    pub(crate) context: u64,
    /// What it lets this side do in its name.
    pub(crate) level: ImpersonationLevel,
    /// Its kernel port, if it lets this side have that.
    pub(crate) process: Option<SendRight>,
    /// The longest message that both sides allow, header included.
    pub(crate) max_message_length: usize,
}

impl Peer {
    /// Its kernel port.
    ///
    /// # Errors
    /// `AccessDenied`: it does not let this side have that. `InsufficientResources`.
    pub(crate) fn open_process(&self) -> Result<Task> {
        Ok(Task::from_right(self.process.as_ref().ok_or(Status::AccessDenied)?.try_clone()?))
    }
}

/// One side.
pub(crate) struct Connection {
    /// In its inbox.
    pub(crate) id: u32,
    pub(crate) own: PrivatePort,
    pub(crate) phase: Mutex<Phase>,
    /// Threads that wait at the private port itself.
    pub(crate) listeners: Mutex<u32>,
}

/// How far a connection has come.
pub(crate) enum Phase {
    /// The server has not answered.
    Pending(Asking),
    Open(Arc<Peer>, LastWord),
    Refused,
    Closed,
}

/// What a client wants of a server that has not answered.
pub(crate) struct Asking {
    /// Whom it must act for.
    pub(crate) required: Option<SecurityToken>,
    /// The payload, as long as the server has not shown that it does.
    pub(crate) unsaid: Option<Vec<u8>>,
}

impl Connection {
    pub(crate) fn new(id: u32, own: ReceiveRight, phase: Phase) -> Connection {
        Connection { id, own: PrivatePort::new(own), phase: Mutex::new(phase), listeners: Mutex::new(0) }
    }

    /// The other side, if it can be sent to.
    pub(crate) fn peer(&self) -> Result<Arc<Peer>> {
        match &*self.phase.lock() {
            Phase::Refused => Err(Status::PortConnectionRefused),
            Phase::Pending(_) => Err(Status::LpcRequestsNotAllowed),
            Phase::Closed => Err(Status::PortDisconnected),
            Phase::Open(peer, _) => Ok(Arc::clone(peer)),
        }
    }

    /// Ends this side; what it was before.
    pub(crate) fn end(&self, now: Phase) -> Phase {
        let before = replace(&mut *self.phase.lock(), now);
        self.own.kill();
        before
    }
}

/// The send-once right by which the other side learns that this one is done.
pub(crate) struct LastWord(pub(crate) SendOnceRight);

impl LastWord {
    /// Says that this side disconnects. Takes no memory of this task; if it fails, the other side has gone.
    pub(crate) fn say(self) {
        let header = PortMessage { kind: Type::PortClosed as u16, ..sized(0) };
        let mut buffer = [0; (Header::SIZE + PortMessage::SIZE) / size_of::<u64>()];
        let _ = self.0.answer_in(&mut buffer, mach_id(Type::PortClosed), Right::Null, &[header.as_bytes()]);
    }
}

/// A port that can be ended while threads wait at it.
///
/// The name stays behind; names have generations, so it finds nothing then.
pub(crate) struct PrivatePort {
    name: Name,
    alive: AtomicBool,
}

impl PrivatePort {
    pub(crate) fn new(port: ReceiveRight) -> PrivatePort {
        PrivatePort { name: port.into_name(), alive: AtomicBool::new(true) }
    }

    /// Uses the port. After its end, what is asked of it fails.
    pub(crate) fn with<T>(&self, use_it: impl FnOnce(&ReceiveRight) -> T) -> T {
        use_it(&ManuallyDrop::new(ReceiveRight::from_name(self.name)))
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Ends the port, if it is alive. Whoever waits is told.
    pub(crate) fn kill(&self) -> bool {
        let alive = self.alive.swap(false, Ordering::AcqRel);
        if alive {
            drop(ReceiveRight::from_name(self.name));
        }
        alive
    }
}

impl Drop for PrivatePort {
    fn drop(&mut self) {
        self.kill();
    }
}
