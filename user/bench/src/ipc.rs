//! Traps and messages: within the task, and to a peer and back.
//!
//! Each is counted with both programs' stubs: the registers loaded, a header of
//! 24 bytes written, the result looked at. A round trip makes a send-once right
//! for the answer, which the peer uses up; the peer answers and waits for the next
//! request in one trap. Neighbours: `packet`, `peer`.

use crate::Outcome;
use crate::crowd::Crowd;
use crate::gauge::Gauge;
use crate::packet::Packet;
use crate::peer::{Peer, Role};
use alloc::vec::Vec;
use core::hint::black_box;
use portolan::abi::message::{Descriptor, Options};
use portolan::abi::{Disposition, PAGE_SIZE};
use portolan::{Capacity, Error, Memory, Message, ReceiveRight, SendRight, thread, trap};

/// Inline bytes, unless an operation is about their number.
const BYTES: usize = 8;

pub(crate) fn null_trap(gauge: Gauge) -> Outcome<u64> {
    gauge.repeat(|| {
        black_box(trap::task_self());
        Ok(())
    })
}

/// A request to another task, and its answer, each of `N` inline bytes.
pub(crate) fn rpc<const N: usize>(gauge: Gauge) -> Outcome<u64> {
    let (peer, answers) = (Peer::start(Role::Echo)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
    let (to, answers, mut packet) = ((peer.port(), Disposition::CopySend), answers.name(), Packet::new());
    gauge.repeat(|| {
        packet.address(to, Some(answers), N);
        Ok(packet.rpc(answers)?)
    })
}

/// The round trip beside ten thousand of everything that has no part in it.
pub(crate) fn rpc_crowded(gauge: Gauge) -> Outcome<u64> {
    let _crowd = Crowd::gather()?;
    rpc::<BYTES>(gauge)
}

/// A round trip whose request brings a new send right, which the peer gives up before it answers.
pub(crate) fn rpc_right(gauge: Gauge) -> Outcome<u64> {
    let (peer, answers) = (Peer::start(Role::Echo)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
    let gift = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let (to, answers, mut packet) = ((peer.port(), Disposition::CopySend), answers.name(), Packet::new());
    gauge.repeat(|| {
        packet.address(to, Some(answers), BYTES);
        packet.attach(Descriptor::port(gift.name(), Disposition::MakeSend as u8));
        Ok(packet.rpc(answers)?)
    })
}

/// A round trip whose request brings a copy of this many pages, which the peer does not touch
/// and unmaps before it answers.
pub(crate) fn out_of_line<const PAGES: usize>(gauge: Gauge) -> Outcome<u64> {
    let (peer, answers) = (Peer::start(Role::Echo)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
    let mut memory = Memory::zeroed(PAGES * PAGE_SIZE)?;
    memory.fill(1);
    let region = Descriptor::memory(memory.as_ptr().addr() as u64, memory.len() as u64, 0);
    let (to, answers, mut packet) = ((peer.port(), Disposition::CopySend), answers.name(), Packet::new());
    gauge.repeat(|| {
        packet.address(to, Some(answers), BYTES);
        packet.attach(region);
        Ok(packet.rpc(answers)?)
    })
}

/// To a task that waits and gets the processor with the message; and back, when it waits again.
pub(crate) fn send_switch(gauge: Gauge) -> Outcome<u64> {
    let (peer, mut packet) = (Peer::start(Role::Sink)?, Packet::new());
    packet.address((peer.port(), Disposition::CopySend), None, BYTES);
    thread::yield_now();
    gauge.repeat(|| Ok(packet.send(Options::SEND_SWITCH)?))
}

pub(crate) fn send_receive_own(gauge: Gauge) -> Outcome<u64> {
    let (port, mut packet) = (ReceiveRight::allocate(Capacity::DEFAULT)?, Packet::new());
    gauge.repeat(|| {
        packet.address((port.name(), Disposition::MakeSend), None, BYTES);
        packet.send(Options::empty())?;
        Ok(packet.receive(port.name())?)
    })
}

/// A send that finds no place and does not wait for one.
pub(crate) fn send_full(gauge: Gauge) -> Outcome<u64> {
    let (port, mut packet) = (ReceiveRight::allocate(Capacity::Bounded(1))?, Packet::new());
    packet.address((port.name(), Disposition::MakeSend), None, BYTES);
    packet.send(Options::empty())?;
    gauge.repeat(|| match packet.send(Options::SEND_TIMEOUT) {
        Err(Error::SendTimedOut) => Ok(()),
        other => Err(other.err().unwrap_or(Error::Failure).into()),
    })
}

/// A wait that is refused as none of this many threads, each waiting at a port of its own, could end it.
pub(crate) fn wait_refused<const WAITS: usize>(gauge: Gauge) -> Outcome<u64> {
    let (port, mut packet) = (ReceiveRight::allocate(Capacity::DEFAULT)?, Packet::new());
    let waiting = (1..WAITS).map(|_| Waiting::start()).collect::<portolan::Result<Vec<_>>>()?;
    thread::sleep_ms(1);
    let count = gauge.repeat(|| match packet.receive(port.name()) {
        Err(Error::ReceiveWouldDeadlock) => Ok(()),
        other => Err(other.err().unwrap_or(Error::Failure).into()),
    });
    waiting.into_iter().try_for_each(Waiting::end)?;
    count
}

/// A thread that waits for one message.
struct Waiting {
    thread: thread::JoinHandle<portolan::Result<()>>,
    to: SendRight,
}

impl Waiting {
    fn start() -> portolan::Result<Waiting> {
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let to = port.make_send()?;
        Ok(Waiting { thread: thread::spawn(move || port.receive().map(drop))?, to })
    }

    fn end(self) -> Outcome {
        self.to.send(Message::new(1))?;
        Ok(self.thread.join()??)
    }
}

pub(crate) fn port_allocate_deallocate(gauge: Gauge) -> Outcome<u64> {
    gauge.repeat(|| Ok(trap::port_deallocate(trap::port_allocate(Capacity::DEFAULT)?)?))
}

/// To a task that yields too, and back.
pub(crate) fn yield_pair(gauge: Gauge) -> Outcome<u64> {
    let _peer = Peer::start(Role::Yield)?;
    gauge.repeat(|| {
        thread::yield_now();
        Ok(())
    })
}
