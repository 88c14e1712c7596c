//! Messages between a C program and the kernel: laid out anew on the way out, and as the program knows them
//! on the way in.
//!
//! Invariant: no message is lost. One that turns out too large for its receiver only when it has been laid
//! out waits in [`HELD`] for a larger buffer. Neighbours: `item` for bodies, `classic_message` and
//! `mach_message` for the two headers.

use super::item::{self, Generation, Sender};
use alloc::vec;
use alloc::vec::Vec;
use portolan::abi::message::{
    DESCRIPTORS_MAX, Descriptor, Header, MESSAGE_MAX, Options, Trailer, received_size, trailer_offset,
};
use portolan::abi::notification::Kind;
use portolan::{Error, Mutex, Name, Result, trap};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes that descriptors may take, which a program of C does not see.
const DESCRIPTORS_SIZE: usize = DESCRIPTORS_MAX * Descriptor::SIZE;

/// A message as the kernel takes it.
pub(super) struct Outgoing(Vec<u64>);

impl Outgoing {
    /// Lays a message out, whose body has items if it is `complex`.
    pub(super) fn new(header: Header, complex: bool, body: &[u8]) -> Result<Outgoing> {
        let descriptors = if complex { item::describe(body)? } else { Vec::new() };
        let size = Header::SIZE + size_of_val(&*descriptors) + body.len();
        if size > MESSAGE_MAX {
            return Err(Error::SendTooLarge);
        }
        let header = Header { size: size as u32, descriptors: descriptors.len() as u32, ..header };
        let mut words = vec![0_u64; size.div_ceil(size_of::<u64>())];
        let parts = [header.as_bytes(), descriptors.as_bytes(), body];
        let mut rest = words.as_mut_bytes();
        for part in parts {
            let (here, behind) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = behind;
        }
        Ok(Outgoing(words))
    }

    /// Says anew how the rights of its header are sent.
    pub(super) fn set_bits(&mut self, bits: u32) {
        self.0.as_mut_bytes()[..size_of::<u32>()].copy_from_slice(bits.as_bytes());
    }

    pub(super) fn send(&self, options: Options, timeout: u32) -> Result<()> {
        trap::msg_send(&self.0, options, timeout)
    }
}

/// A message as it came, taken apart.
pub(super) struct Incoming {
    pub(super) header: Header,
    pub(super) sequence: u64,
    pub(super) sender: Sender,
    /// Whether there is more than data in it.
    pub(super) complex: bool,
    pub(super) body: Vec<u8>,
}

impl Incoming {
    fn open(words: &[u64], seen: Generation) -> Option<Incoming> {
        let all = words.as_bytes();
        let (header, rest) = Header::read_from_prefix(all).ok()?;
        let (descriptors, _) = <[Descriptor]>::ref_from_prefix_with_elems(rest, header.descriptors as usize).ok()?;
        let size = header.size as usize;
        let (trailer, _) = Trailer::read_from_prefix(all.get(trailer_offset(size)..)?).ok()?;
        let bytes = all.get(Header::SIZE + size_of_val(descriptors)..size)?.to_vec();
        let from_kernel = trailer.flags & Trailer::FROM_KERNEL != 0;
        let sender = if from_kernel { Sender::Kernel(Kind::from_id(header.id)) } else { Sender::Task };
        let body = item::body(bytes, descriptors, sender, seen);
        Some(Incoming { header, sequence: trailer.sequence, sender, complex: !descriptors.is_empty(), body })
    }

    /// Bytes that it takes in its receiver's buffer.
    pub(super) fn size(&self) -> usize {
        Header::SIZE + self.body.len()
    }
}

/// Messages that were too large, by the name that was received from; the oldest first.
static HELD: Mutex<Vec<(Name, Incoming)>> = Mutex::new(Vec::new());

/// Where a message is to be received, and by whom.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) port: Name,
    /// Bytes of the receiver's buffer.
    pub(super) room: usize,
    pub(super) timeout: u32,
    pub(super) seen: Generation,
}

/// Why nothing was received; for a message that is too large, the room that is enough.
pub(super) struct Missed {
    pub(super) error: Error,
    pub(super) size: usize,
}

impl From<Error> for Missed {
    fn from(error: Error) -> Missed {
        Missed { error, size: 0 }
    }
}

/// Receives a message.
pub(super) fn receive(place: Place, options: Options) -> Result<Incoming, Missed> {
    if let Some(message) = held(place.port) {
        return deliver(message, place);
    }
    let mut buffer = vec![0; words(place)];
    let (result, size) = trap::msg_receive(&mut buffer, place.port, options, place.timeout);
    received(result, size, &buffer, place)
}

/// Sends a message, and receives one.
pub(super) fn exchange(send: &mut Outgoing, timeout: u32, place: Place, options: Options) -> Result<Incoming, Missed> {
    if let Some(message) = held(place.port) {
        let sent = send.send(options & Options::SEND, timeout);
        if let Err(error) = sent {
            HELD.lock().insert(0, (place.port, message));
            return Err(error.into());
        }
        return deliver(message, place);
    }
    let buffer = &mut send.0;
    buffer.resize(words(place).max(buffer.len()), 0);
    let (result, size) = trap::msg_rpc(buffer, place.port, options, timeout, place.timeout);
    received(result, size, buffer, place)
}

/// Length of a buffer for whatever fits into the receiver's, once it is laid out for it.
fn words(place: Place) -> usize {
    received_size((place.room + DESCRIPTORS_SIZE).min(MESSAGE_MAX)).div_ceil(size_of::<u64>())
}

fn held(port: Name) -> Option<Incoming> {
    let mut held = HELD.lock();
    let oldest = held.iter().position(|(name, _)| *name == port)?;
    Some(held.remove(oldest).1)
}

fn received(result: Result<()>, size: usize, buffer: &[u64], place: Place) -> Result<Incoming, Missed> {
    match result {
        Ok(()) => deliver(Incoming::open(buffer, place.seen).ok_or(Error::Failure)?, place),
        Err(error @ Error::ReceiveTooLarge) => Err(Missed { error, size: size.saturating_sub(Trailer::SIZE) }),
        Err(error) => Err(error.into()),
    }
}

fn deliver(message: Incoming, place: Place) -> Result<Incoming, Missed> {
    let size = message.size();
    if size <= place.room {
        return Ok(message);
    }
    HELD.lock().insert(0, (place.port, message));
    Err(Missed { error: Error::ReceiveTooLarge, size })
}
