//! Work that is long: a hundred thousand of something end at once.
//!
//! How long that takes is one figure; the other, which the observer outside of the machine
//! makes, is for how long interrupts are off meanwhile. Each is done once.
//! Neighbours: `peer` plays the task that hoards, `gauge` counts.

use crate::Outcome;
use crate::crowd::ports;
use crate::gauge::Gauge;
use crate::packet::Packet;
use crate::peer::{Peer, Role};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use portolan::abi::message::Options;
use portolan::abi::task::Limits;
use portolan::abi::vm::ANYWHERE_START;
use portolan::abi::{Disposition, PAGE_SIZE};
use portolan::task::Place;
use portolan::{Capacity, Mapping, MemoryObject, PortSet, Protection, ReceiveRight, Right, SendOnceRight, Task};

/// How many of each.
const COUNT: usize = 100_000;
/// Pages that are touched.
const PAGES: usize = 16_384;
/// Bytes of each message.
const BYTES: usize = 8;

/// What the task that hoards may spend.
pub(crate) const LIMITS: Limits = Limits { memory: 192 << 20, ports: COUNT as u64 + 16, frames: PAGES as u64 + 4096 };

/// What it holds.
pub(crate) struct Hoard {
    _ports: Vec<ReceiveRight>,
    _object: MemoryObject,
    _pages: Mapping,
}

impl Hoard {
    /// So many ports with a name and a message each, map entries, and pages.
    pub(crate) fn gather() -> Outcome<Hoard> {
        let ports = ports(COUNT)?;
        ports.iter().try_for_each(send_to)?;
        let object = MemoryObject::create(PAGE_SIZE as u64)?;
        for number in 0..COUNT as u64 {
            let place = Place::At(ANYWHERE_START + (1 << 40) + 2 * number * PAGE_SIZE as u64);
            Task::this().map(Some(&object), PAGE_SIZE as u64, Protection::READ, place)?;
        }
        Ok(Hoard { _ports: ports, _object: object, _pages: touched_pages()? })
    }
}

fn send_to(port: &ReceiveRight) -> Outcome {
    let mut packet = Packet::new();
    packet.address((port.name(), Disposition::MakeSend), None, BYTES);
    Ok(packet.send(Options::empty())?)
}

fn touched_pages() -> Outcome<Mapping> {
    let pages = Mapping::new(None, (PAGES * PAGE_SIZE) as u64, Protection::READ_WRITE)?;
    pages.words().iter().step_by(PAGE_SIZE / size_of::<u64>()).for_each(|word| word.store(1, Ordering::Relaxed));
    Ok(pages)
}

/// The end of the task that hoards.
pub(crate) fn end_task(gauge: Gauge) -> Outcome<u64> {
    let peer = Peer::start(Role::Hoard)?;
    gauge.once(|| {
        drop(peer);
        Ok(())
    })
}

/// The end of a port with so many messages.
pub(crate) fn end_queue(gauge: Gauge) -> Outcome<u64> {
    let port = ReceiveRight::allocate(Capacity::Unbounded)?;
    (0..COUNT).try_for_each(|_| send_to(&port))?;
    gauge.once(|| {
        drop(port);
        Ok(())
    })
}

/// The end of a port whose death so many requests are to tell of.
pub(crate) fn end_watched(gauge: Gauge) -> Outcome<u64> {
    let (port, told) = (ReceiveRight::allocate(Capacity::Unbounded)?, ReceiveRight::allocate(Capacity::Unbounded)?);
    let watch = || -> Outcome<SendOnceRight> {
        let right = port.make_send_once()?;
        right.request_dead_name(Right::MakeSendOnce(&told))?;
        Ok(right)
    };
    let rights: Vec<SendOnceRight> = (0..COUNT).map(|_| watch()).collect::<Outcome<_>>()?;
    let count = gauge.once(|| {
        drop(port);
        Ok(())
    })?;
    drop(rights);
    Ok(count)
}

/// The end of a port set with so many members.
pub(crate) fn end_set(gauge: Gauge) -> Outcome<u64> {
    let (set, ports) = (PortSet::allocate()?, ports(COUNT)?);
    ports.iter().try_for_each(|port| set.add(port))?;
    gauge.once(|| {
        drop(set);
        Ok(())
    })
}

/// Many pages in one range are unmapped.
pub(crate) fn unmap_pages(gauge: Gauge) -> Outcome<u64> {
    let pages = touched_pages()?;
    gauge.once(|| {
        drop(pages);
        Ok(())
    })
}
