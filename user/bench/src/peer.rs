//! The other side of an operation: a second task, of this same program, in an
//! address space and a name space of its own.
//!
//! It tells whoever started it the port that it serves, and plays its role until
//! it is terminated. Neighbour: `ipc`, which measures what it does with one.

use crate::Outcome;
use crate::hoard::{self, Hoard};
use crate::packet::Packet;
use crate::stretch;
use alloc::format;
use portolan::abi::Disposition;
use portolan::abi::message::Descriptor;
use portolan::program::{LIMITS_SMALL, Launch, Program};
use portolan::{
    Capacity, Error, Message, Name, ReceiveRight, Right, SendRight, Task, argument, bootstrap, thread, trap,
};

/// What a peer does all its life.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Answers each message with as many inline bytes, and gives up a right or memory that came with it.
    Echo,
    /// Receives, and never answers.
    Sink,
    /// Gives up the processor.
    Yield,
    /// Holds a lot, and waits.
    Hoard,
    /// Has many threads, all of which wait.
    Crowd,
}

impl Role {
    const ALL: [Role; 5] = [Role::Echo, Role::Sink, Role::Yield, Role::Hoard, Role::Crowd];

    const fn name(self) -> &'static str {
        match self {
            Role::Echo => "echo",
            Role::Sink => "sink",
            Role::Yield => "yield",
            Role::Hoard => "hoard",
            Role::Crowd => "crowd",
        }
    }

    /// The role that this task was started for; `None` for the one that measures.
    pub(crate) fn mine() -> Option<Role> {
        let name = argument("role")?;
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Plays it.
    pub(crate) fn play(self) -> Outcome {
        let _hoard = if self == Role::Hoard { Some(Hoard::gather()?) } else { None };
        let _crowd = if self == Role::Crowd { Some(stretch::crowd()?) } else { None };
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        bootstrap::port()?.send(Message::new(0).right(Right::MakeSend(&port)))?;
        match self {
            Role::Echo => echo(port.name()),
            Role::Sink | Role::Hoard | Role::Crowd => sink(port.name()),
            Role::Yield => loop {
                thread::yield_now();
            },
        }
    }
}

/// Answers, and waits for the next request, in one trap.
fn echo(port: Name) -> Outcome {
    let mut packet = Packet::new();
    packet.receive(port)?;
    loop {
        let request = *packet.header();
        let mut size = request.size;
        if request.descriptors != 0 {
            give_up(*packet.descriptor())?;
            size -= size_of::<Descriptor>() as u32;
        }
        let bytes = size as usize - size_of_val(&request);
        packet.address((request.remote, Disposition::MoveSendOnce), None, bytes);
        packet.rpc(port)?;
    }
}

fn give_up(came: Descriptor) -> Outcome {
    match came.kind {
        Descriptor::MEMORY => Task::this().unmap(came.address, came.size)?,
        _ => trap::port_deallocate(came.name)?,
    }
    Ok(())
}

fn sink(port: Name) -> Outcome {
    let mut packet = Packet::new();
    loop {
        packet.receive(port)?;
    }
}

/// A second task. Dropped, it ends.
pub(crate) struct Peer {
    task: Task,
    port: SendRight,
}

impl Peer {
    /// Starts one, and waits until it can be reached.
    pub(crate) fn start(role: Role) -> Outcome<Peer> {
        let file = bootstrap::archive()?.file("bench").ok_or(Error::InvalidName)?;
        let program = Program::parse(file).map_err(|_| Error::Failure)?;
        let inbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let (arguments, bootstrap) = (format!("role={}", role.name()), Right::MakeSend(&inbox));
        let limits = match role {
            Role::Hoard => hoard::LIMITS,
            Role::Crowd => stretch::CROWD_LIMITS,
            Role::Echo | Role::Sink | Role::Yield => LIMITS_SMALL,
        };
        let task = program.start(Launch { bootstrap, limits, ..Launch::new(role.name(), &arguments) })?;
        let port = inbox.receive()?.take_send(0)?;
        Ok(Peer { task, port })
    }

    /// The task.
    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    /// The name of a send right to the port that it serves.
    pub(crate) fn port(&self) -> Name {
        self.port.name()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended by itself has failed, and so has the operation.
        let _ = self.task.terminate();
    }
}
