//! A second task of a case: the same program in an address space and a name space
//! of its own, whose first thread is a hand.
//!
//! The case holds the peer's task port, so it can look at and change the peer's
//! names and memory from outside; the runner, which started it, ends it.
//! Neighbours: `hand`; `runner` for how peers are started.

use crate::case::Failure;
use crate::hand::{self, Hand};
use crate::message::{Message, receive};
use crate::protocol::{self, routine};
use portolan::abi::call::Call;
use portolan::abi::message::Descriptor;
use portolan::abi::port::{self, NameType};
use portolan::abi::task::{self, Limits};
use portolan::abi::thread::PRIORITY_DEFAULT;
use portolan::abi::{Capacity, Disposition, Name, Result};
use portolan::interface::MsgRpc;
use portolan::trap;

/// A second task.
pub(crate) struct Peer {
    /// A send right to its task port.
    pub(crate) task: Name,
    /// Its first thread.
    pub(crate) hand: Hand,
    /// The port that its outlet leads to.
    inbox: Name,
    /// Its own send right to the case.
    outlet: Name,
}

impl Peer {
    /// Starts one with the limits that a case has.
    pub(crate) fn start() -> core::result::Result<Peer, Failure> {
        Peer::with_limits(protocol::PEER_LIMITS)
    }

    /// Starts one with these limits.
    pub(crate) fn with_limits(limits: Limits) -> core::result::Result<Peer, Failure> {
        let inbox = trap::port_allocate(Capacity::DEFAULT)?;
        let bootstrap = Descriptor::port(inbox, Disposition::MakeSend as u8);
        let task = routine::start_peer(&MsgRpc, protocol::bootstrap(), limits, bootstrap)?.rights[0];
        let greeting = receive(inbox)?;
        let hand = Hand::greeted(&greeting)?;
        let outlet = give(task, inbox, Disposition::MakeSend)?;
        Ok(Peer { task, hand, inbox, outlet })
    }

    /// Another thread of the peer.
    pub(crate) fn another_hand(&self, room: u32) -> Result<Hand> {
        Hand::start(self.task, self.outlet, self.inbox, room, PRIORITY_DEFAULT)
    }

    /// Makes a port in the peer; its name there.
    pub(crate) fn port(&self, capacity: Capacity) -> Result<Name> {
        Ok(port::port_allocate(&MsgRpc, self.task, capacity.code(), 0)?.results.name)
    }

    /// Gives the peer a right of this task; its name there.
    pub(crate) fn give(&self, name: Name, disposition: Disposition) -> Result<Name> {
        give(self.task, name, disposition)
    }

    /// Gets a right from the peer; its name here.
    pub(crate) fn take(&self, name: Name, disposition: Disposition) -> core::result::Result<Name, Failure> {
        let message = Message::copy_to(self.outlet).right(name, disposition);
        self.hand.send(&message, crate::message::NONE, 0)?.finish()?.result?;
        Ok(receive(self.inbox)?.right(0))
    }

    /// A port in the peer, and a send right to it here.
    pub(crate) fn open(&self, capacity: Capacity) -> core::result::Result<(Name, Name), Failure> {
        let there = self.port(capacity)?;
        Ok((there, self.take(there, Disposition::MakeSend)?))
    }

    /// Gives up one reference of a right of the peer.
    pub(crate) fn deallocate(&self, name: Name) -> core::result::Result<(), Failure> {
        Ok(self.hand.call(Call::PortDeallocate(name))?.result?)
    }

    /// What a name of the peer stands for.
    pub(crate) fn port_type(&self, name: Name) -> Result<NameType> {
        Ok(port::port_type(&MsgRpc, self.task, name, 0)?.results.kind)
    }

    /// Ends the peer.
    pub(crate) fn terminate(&self) -> Result<()> {
        task::terminate(&MsgRpc, self.task).map(drop)
    }
}

fn give(task: Name, name: Name, disposition: Disposition) -> Result<Name> {
    let right = Descriptor::port(name, disposition as u8);
    Ok(port::port_insert_right(&MsgRpc, task, Name::NULL, 0, right)?.results.name)
}

/// A peer's main program: a hand that greets whoever started it.
pub(crate) fn main(bootstrap: Name) -> ! {
    hand::serve(bootstrap, hand::ROOM as usize)
}
