//! A declared service: a port that outlives the servers behind it.
//!
//! The bootstrap server makes the port and keeps a send right. The receive right is here until the
//! server checks in. Its backup is this task's notify port, so when the server dies, or gives it up, it
//! comes back with all that is queued, and the next server gets it. A request that the dead server had
//! in hand has ended then, with `ReceiveReplyLost`; those that are queued wait for the next one. When
//! none will come the port is closed, and they end, too.
//!
//! Invariant: while the port is open its receive right is in one place only ([`Holder`]), and has a
//! backup. Neighbours: `main`, `server`.

use portolan::abi::interface::Routine;
use portolan::bootstrap::routine::CheckIn;
use portolan::name_server::declaration::{Declare, arguments};
use portolan::send::WhenFull;
use portolan::server::{Call, Held, Outcome, Unanswered};
use portolan::service::ServiceName;
use portolan::{Capacity, Error, Message, ReceiveRight, Result, SendRight, notification};

pub(crate) struct Service {
    pub(crate) name: ServiceName,
    port: Option<Port>,
}

struct Port {
    send: SendRight,
    holder: Holder,
}

/// Where the receive right is.
enum Holder {
    /// Here: its server has not checked in yet.
    Here(ReceiveRight),
    /// At the server with this id, which may have died meanwhile.
    Server(u64),
    /// On its way back from a server that has died, and the next one, with this id, has checked in.
    Awaited(u64, Held<CheckIn>),
}

impl Service {
    pub(crate) fn new(name: ServiceName) -> Service {
        Service { name, port: None }
    }

    /// Sees to it that there is a port; whether it is a new one.
    pub(crate) fn open(&mut self) -> Result<bool> {
        if self.port.is_some() {
            return Ok(false);
        }
        let receive = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let send = receive.make_send()?;
        back_up(&receive)?;
        self.port = Some(Port { send, holder: Holder::Here(receive) });
        Ok(true)
    }

    /// The port dies: now, or when its receive right comes back.
    pub(crate) fn close(&mut self) {
        self.port = None;
    }

    /// A send right, while there is a port.
    pub(crate) fn right(&self) -> Option<&SendRight> {
        self.port.as_ref().map(|port| &port.send)
    }

    /// Whether this is the service's receive right: it has come back under the name of the send right.
    pub(crate) fn is(&self, receive: &ReceiveRight) -> bool {
        self.right().is_some_and(|send| send.name() == receive.name())
    }

    /// Tells the name server of it, if there is a port. Does not wait.
    pub(crate) fn declare(&self, to: &SendRight) -> Result<()> {
        let Some(right) = self.right() else { return Ok(()) };
        let message = Message::new(Declare::ID).value(arguments::Declare { name: self.name }).right(right);
        Ok(to.send_or(message, WhenFull::Return).map(drop)?)
    }

    /// The server with this id asks for the receive right.
    pub(crate) fn check_in(&mut self, task: u64, call: &mut Call<'_, CheckIn>) -> Outcome<CheckIn> {
        let port = self.port.as_mut().ok_or(Error::InvalidName)?;
        match core::mem::replace(&mut port.holder, Holder::Server(task)) {
            Holder::Here(receive) => Ok(receive),
            Holder::Server(other) if other != task => {
                port.holder = Holder::Awaited(task, call.hold());
                Err(Unanswered::Later)
            }
            Holder::Awaited(other, _) if other != task => {
                port.holder = Holder::Awaited(task, call.hold());
                Err(Unanswered::Later)
            }
            has_it => {
                port.holder = has_it;
                Err(Error::Failure.into())
            }
        }
    }

    /// The receive right has come back, with the messages that are queued.
    pub(crate) fn came_back(&mut self, receive: ReceiveRight) {
        let Some(port) = &mut self.port else { return };
        if back_up(&receive).is_err() {
            // Nobody could have it after its next server.
            return self.close();
        }
        port.holder = match core::mem::replace(&mut port.holder, Holder::Server(0)) {
            Holder::Awaited(task, request) => {
                // If that one has gone, too, the right comes back once more.
                let _ = request.answer(Ok(receive));
                Holder::Server(task)
            }
            Holder::Here(_) | Holder::Server(_) => Holder::Here(receive),
        };
    }
}

/// Has the receive right come back instead of being destroyed.
fn back_up(receive: &ReceiveRight) -> Result<()> {
    receive.set_backup(Some(&notification::port().make_send()?)).map(drop)
}
