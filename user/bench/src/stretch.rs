//! Work that is long and done in one go, as nobody may see it half done: how long interrupts are off meanwhile.
//!
//! Each is done once, with a hundred thousand of something where there can be so many. Of threads there
//! are ten thousand, which is what the kernel's heap has room for; of rights in a message, as many as it may have.
//! Neighbours: `hoard` for what is done in pieces, `crowd` for threads that wait.

use crate::Outcome;
use crate::crowd::{Parked, ports};
use crate::gauge::Gauge;
use crate::packet::Packet;
use crate::peer::{Peer, Role};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use portolan::abi::message::{Descriptor, Header, MESSAGE_MAX, Options, RIGHTS_MAX, Trailer};
use portolan::abi::task::Limits;
use portolan::abi::vm::{ANYWHERE_START, Inheritance};
use portolan::abi::{AtFull, Disposition, PAGE_SIZE, RightKind};
use portolan::task::{Place, Terms};
use portolan::word::{self, Deadline};
use portolan::{
    Capacity, Mapping, MemoryObject, Name, PortSet, Protection, ReceiveRight, Right, Task, classic, thread, trap,
};

/// How many of each.
const COUNT: u64 = 100_000;
/// How many regions a child inherits, each as an object of its own.
const INHERITED: u64 = 20_000;
/// How many threads.
const THREADS: usize = 10_000;
/// Bytes of large ranges, and how many pages of them are touched.
const RANGE: u64 = 64 << 20;
const PAGE: u64 = PAGE_SIZE as u64;

/// Regions side by side, each of a page.
struct Patchwork {
    object: MemoryObject,
    start: u64,
    count: u64,
}

impl Patchwork {
    fn sew(count: u64, inheritance: Inheritance) -> Outcome<Patchwork> {
        let patchwork = Patchwork { object: MemoryObject::create(PAGE)?, start: ANYWHERE_START + (2 << 40), count };
        for number in 0..count {
            let terms = Terms { inheritance, ..Terms::default() };
            let place = Place::At(patchwork.start + number * PAGE);
            Task::this().map_on(Some(&patchwork.object), PAGE, place, terms)?;
        }
        Ok(patchwork)
    }

    fn size(&self) -> u64 {
        self.count * PAGE
    }
}

impl Drop for Patchwork {
    fn drop(&mut self) {
        let _ = Task::this().unmap(self.start, self.size());
    }
}

fn touched(object: Option<&MemoryObject>) -> Outcome<Mapping> {
    let pages = Mapping::new(object, RANGE, Protection::READ_WRITE)?;
    pages.words().iter().step_by(PAGE_SIZE / size_of::<u64>()).for_each(|word| word.store(1, Ordering::Relaxed));
    Ok(pages)
}

/// The protection of many regions is set.
pub(crate) fn protect_regions(gauge: Gauge) -> Outcome<u64> {
    let patchwork = Patchwork::sew(COUNT, Inheritance::None)?;
    gauge.once(|| Ok(Task::this().protect(patchwork.start, patchwork.size(), Protection::READ)?))
}

/// The protection of many pages is set.
pub(crate) fn protect_pages(gauge: Gauge) -> Outcome<u64> {
    let pages = touched(None)?;
    gauge.once(|| Ok(Task::this().protect(pages.address(), RANGE, Protection::READ)?))
}

/// A region is added in front of many.
pub(crate) fn map_in_front(gauge: Gauge) -> Outcome<u64> {
    let patchwork = Patchwork::sew(COUNT, Inheritance::None)?;
    let place = patchwork.start - 2 * PAGE;
    let count = gauge.once(|| Ok(Task::this().map(None, PAGE, Protection::READ, Place::At(place)).map(drop)?))?;
    Task::this().unmap(place, PAGE)?;
    Ok(count)
}

/// What children get of many regions is set.
pub(crate) fn inherit_regions(gauge: Gauge) -> Outcome<u64> {
    let patchwork = Patchwork::sew(COUNT, Inheritance::None)?;
    gauge.once(|| Ok(Task::this().inherit(patchwork.start, patchwork.size(), Inheritance::Share)?))
}

/// A task is made that inherits copies of many regions, and of many pages.
pub(crate) fn make_heir(gauge: Gauge) -> Outcome<u64> {
    let (_patchwork, _pages) = (Patchwork::sew(INHERITED, Inheritance::Copy)?, touched(None)?);
    let limits = Limits { memory: 48 << 20, ports: 8, frames: 4 * RANGE / PAGE };
    gauge.once(|| Ok(Task::this().create_heir("heir", limits, Right::Null)?.0.terminate()?))
}

/// Many pages are copied to others of the same task.
pub(crate) fn copy_pages(gauge: Gauge) -> Outcome<u64> {
    let (from, to) = (touched(None)?, Mapping::new(None, RANGE, Protection::READ_WRITE)?);
    gauge.once(|| Ok(Task::this().copy(from.address(), RANGE, to.address())?))
}

/// Many pages are copied to a memory object that all may have, byte by byte.
pub(crate) fn copy_to_shared(gauge: Gauge) -> Outcome<u64> {
    let object = MemoryObject::create(RANGE)?;
    let (from, to) = (touched(None)?, Mapping::new(Some(&object), RANGE, Protection::READ_WRITE)?);
    gauge.once(|| Ok(Task::this().copy(from.address(), RANGE, to.address())?))
}

/// Whether anyone could write to an object is looked for in many regions.
pub(crate) fn seal_object(gauge: Gauge) -> Outcome<u64> {
    let (_patchwork, object) = (Patchwork::sew(COUNT, Inheritance::None)?, MemoryObject::create(PAGE)?);
    gauge.once(|| Ok(object.seal(portolan::abi::memory_object::Seals::WRITE)?))
}

/// A message of the largest size, into pages that have not been touched.
pub(crate) fn largest_message(gauge: Gauge) -> Outcome<u64> {
    const WORDS: usize = (MESSAGE_MAX + Trailer::SIZE) / size_of::<u64>();
    let (port, mut packet) = (ReceiveRight::allocate(Capacity::DEFAULT)?, Packet::new());
    packet.address((port.name(), Disposition::MakeSend), None, MESSAGE_MAX - Header::SIZE);
    let mut message = vec![0_u64; MESSAGE_MAX / size_of::<u64>()];
    message[..Header::SIZE / size_of::<u64>()].copy_from_slice(packet.words(Header::SIZE / size_of::<u64>()));
    let mut buffer = vec![0_u64; WORDS];
    gauge.once(|| {
        trap::msg_send(&message, Options::empty(), 0)?;
        Ok(trap::msg_receive(&mut buffer, port.name(), Options::empty(), 0).0?)
    })
}

/// A message with as many rights as it may have, and what it needs.
struct Gifts {
    _ports: Vec<ReceiveRight>,
    names: Vec<Name>,
    port: ReceiveRight,
    packet: Packet,
}

impl Gifts {
    fn wrap() -> Outcome<Gifts> {
        let ports = ports(RIGHTS_MAX)?;
        let names = ports.iter().map(ReceiveRight::name).collect::<Vec<_>>();
        let (port, mut packet) = (ReceiveRight::allocate(Capacity::Bounded(1))?, Packet::new());
        packet.address((port.name(), Disposition::MakeSend), None, 0);
        let (address, count) = (names.as_ptr().addr() as u64, names.len() as u64);
        packet.attach(Descriptor::ports(address, count, Disposition::MakeSendOnce as u8));
        Ok(Gifts { _ports: ports, names, port, packet })
    }
}

/// So many rights are sent, and wait.
pub(crate) fn send_rights(gauge: Gauge) -> Outcome<u64> {
    let gifts = Gifts::wrap()?;
    gauge.once(|| Ok(gifts.packet.send(Options::empty())?))
}

/// So many rights are received, under new names.
pub(crate) fn receive_rights(gauge: Gauge) -> Outcome<u64> {
    let (gifts, mut buffer) = (Gifts::wrap()?, Packet::new());
    gifts.packet.send(Options::empty())?;
    let count = gauge.once(|| Ok(buffer.receive(gifts.port.name())?))?;
    // The array has come to a page of its own.
    let came = *buffer.descriptor();
    let mut names = vec![0_u8; gifts.names.len() * size_of::<Name>()];
    Task::this().read(came.address, &mut names)?;
    for name in names.chunks_exact(size_of::<Name>()) {
        trap::port_deallocate(Name(u32::from_le_bytes([name[0], name[1], name[2], name[3]])))?;
    }
    Task::this().unmap(came.address, PAGE)?;
    Ok(count)
}

/// So many rights are sent to a full port, whose receiver wants no more: they are destroyed, and each tells.
pub(crate) fn drop_rights(gauge: Gauge) -> Outcome<u64> {
    let (gifts, mut packet) = (Gifts::wrap()?, Packet::new());
    packet.address((gifts.port.name(), Disposition::MakeSend), None, 0);
    packet.send(Options::empty())?;
    gifts.port.set_full(AtFull::DropNewest)?;
    gauge.once(|| Ok(gifts.packet.send(Options::empty())?))
}

/// A port at which many threads wait joins a set: they are told.
pub(crate) fn join_set(gauge: Gauge) -> Outcome<u64> {
    let (set, port) = (PortSet::allocate()?, ReceiveRight::allocate(Capacity::DEFAULT)?);
    let _parked = Parked::at_port(THREADS, &port)?;
    gauge.once(|| Ok(set.add(&port)?))
}

/// The receive right of a port at which many threads wait is sent away.
pub(crate) fn move_port(gauge: Gauge) -> Outcome<u64> {
    let (port, to) = (ReceiveRight::allocate(Capacity::DEFAULT)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
    let _parked = Parked::at_port(THREADS, &port)?;
    let mut packet = Packet::new();
    packet.address((to.name(), Disposition::MakeSend), None, 0);
    packet.attach(Descriptor::port(port.into_name(), Disposition::MoveReceive as u8));
    gauge.once(|| Ok(packet.send(Options::empty())?))
}

/// A full port gets room for the messages of many threads that wait.
pub(crate) fn make_room(gauge: Gauge) -> Outcome<u64> {
    let (port, mut packet) = (ReceiveRight::allocate(Capacity::Bounded(1))?, Packet::new());
    packet.address((port.name(), Disposition::MakeSend), None, 0);
    packet.send(Options::empty())?;
    let _parked = Parked::at_full_port(THREADS, &packet)?;
    gauge.once(|| Ok(port.set_capacity(Capacity::Unbounded)?))
}

/// The threads that wait on a word are woken.
pub(crate) fn wake_word(gauge: Gauge) -> Outcome<u64> {
    let parked = Parked::at_word(THREADS, Deadline::NEVER)?;
    gauge.once(|| {
        word::wake(parked.word(), u32::MAX);
        Ok(())
    })
}

/// The deadlines of many threads come at one time.
pub(crate) fn deadlines(gauge: Gauge) -> Outcome<u64> {
    const MS: u64 = 1000;
    let _parked = Parked::at_word(THREADS, Deadline::after_ms(MS))?;
    gauge.once(|| {
        thread::sleep_ms(MS as u32);
        Ok(())
    })
}

/// A task with many threads is suspended.
pub(crate) fn suspend_task(gauge: Gauge) -> Outcome<u64> {
    let peer = Peer::start(Role::Crowd)?;
    gauge.once(|| Ok(peer.task().suspend()?))
}

/// What the task with many threads may spend.
pub(crate) const CROWD_LIMITS: Limits = Limits { memory: 48 << 20, ports: THREADS as u64 + 16, frames: 4096 };

/// The threads of such a task.
pub(crate) fn crowd() -> Outcome<Parked> {
    Parked::at_word(THREADS, Deadline::NEVER)
}

/// A name is chosen that lies far behind all others.
pub(crate) fn choose_name(gauge: Gauge) -> Outcome<u64> {
    let far = Name::new(COUNT as u32, 0);
    let count = gauge.once(|| Ok(classic::mach_port_allocate_name(trap::task_self(), RightKind::DeadName, far)?))?;
    trap::port_deallocate(far)?;
    Ok(count)
}

/// A message takes the place of the one with its id, which is looked for in a long queue.
pub(crate) fn replace_message(gauge: Gauge) -> Outcome<u64> {
    let (port, mut packet) = (ReceiveRight::allocate(Capacity::Unbounded)?, Packet::new());
    packet.address((port.name(), Disposition::MakeSend), None, 0);
    (0..COUNT).try_for_each(|_| packet.send(Options::empty()))?;
    packet.header().id = 1;
    packet.send(Options::empty())?;
    port.set_capacity(Capacity::Bounded(1))?;
    port.set_full(AtFull::Replace)?;
    gauge.once(|| Ok(packet.send(Options::empty())?))
}

/// As much text as one call takes goes to the serial line.
pub(crate) fn debug_write(gauge: Gauge) -> Outcome<u64> {
    const BYTES: usize = portolan::abi::call::DEBUG_WRITE_MAX as usize;
    let mut text = [b' '; BYTES];
    text[BYTES - 1] = b'\n';
    gauge.once(|| Ok(trap::debug_write(&text)?))
}

/// A receive right is sent to the end of a long chain of receive rights in transit.
pub(crate) fn join_chain(gauge: Gauge) -> Outcome<u64> {
    let mut next = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let end = next.make_send()?;
    let mut packet = Packet::new();
    for _ in 0..COUNT {
        let to = ReceiveRight::allocate(Capacity::DEFAULT)?;
        packet.address((to.name(), Disposition::MakeSend), None, 0);
        packet.attach(Descriptor::port(next.into_name(), Disposition::MoveReceive as u8));
        packet.send(Options::empty())?;
        next = to;
    }
    packet.address((end.name(), Disposition::CopySend), None, 0);
    packet.attach(Descriptor::port(
        ReceiveRight::allocate(Capacity::DEFAULT)?.into_name(),
        Disposition::MoveReceive as u8,
    ));
    gauge.once(|| Ok(packet.send(Options::empty())?))
}
