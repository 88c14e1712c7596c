//! Messages laid out exactly as a case says, right or wrong, and the message
//! calls with every number in the case's hand.
//!
//! The library's messages own their rights and cannot be malformed; these can.
//! Invariant: no call here waits for ever unless the case says so: what must
//! come comes within [`PATIENCE`], and what does not is a failure, not a hang.
//! Neighbours: `asm` for the trap; `hand` sends and receives these on other threads.

use crate::asm;
use alloc::vec;
use alloc::vec::Vec;
use portolan::abi::call::{Call, Receive, Send};
use portolan::abi::error::result_of;
use portolan::abi::message::{Descriptor, Header, Options, Trailer, received_size, trailer_offset};
use portolan::abi::{Disposition, Error, Name, Result};
use zerocopy::{FromBytes, IntoBytes};

/// How long to wait for what must happen, in ms.
pub(crate) const PATIENCE: u32 = 4000;
/// Neither option set, for either half.
pub(crate) const NONE: Options = Options::empty();

/// A message to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// As it will be sent, but for `size` and `descriptors`, which are made to fit.
    pub(crate) header: Header,
    /// The descriptors.
    pub(crate) rights: Vec<Descriptor>,
    /// The inline bytes.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// To a port, through the right that this disposition names.
    pub(crate) fn to(port: Name, disposition: Disposition) -> Message {
        let header = Header { bits: Header::bits_of(disposition as u8, 0), remote: port, ..Header::default() };
        Message { header, rights: Vec::new(), body: Vec::new() }
    }

    /// Through a send right, which stays.
    pub(crate) fn copy_to(port: Name) -> Message {
        Message::to(port, Disposition::CopySend)
    }

    /// To a port whose receive right the sender holds.
    pub(crate) fn make_to(port: Name) -> Message {
        Message::to(port, Disposition::MakeSend)
    }

    /// Through a send-once right, which goes.
    pub(crate) fn once_to(port: Name) -> Message {
        Message::to(port, Disposition::MoveSendOnce)
    }

    pub(crate) fn id(mut self, id: u32) -> Message {
        self.header.id = id;
        self
    }

    pub(crate) fn body(mut self, bytes: &[u8]) -> Message {
        self.body = bytes.to_vec();
        self
    }

    /// Adds a reply right.
    pub(crate) fn reply(mut self, port: Name, disposition: Disposition) -> Message {
        self.header.bits = Header::bits_of(self.header.remote_disposition(), disposition as u8);
        self.header.local = port;
        self
    }

    /// Adds a right to the body.
    pub(crate) fn right(mut self, name: Name, disposition: Disposition) -> Message {
        self.rights.push(Descriptor::port(name, disposition as u8));
        self
    }

    /// Bytes of the message.
    pub(crate) fn size(&self) -> usize {
        Header::SIZE + self.rights.len() * Descriptor::SIZE + self.body.len()
    }

    /// The message in memory.
    pub(crate) fn lay_out(&self) -> Buffer {
        let mut header = self.header;
        header.size = self.size() as u32;
        header.descriptors = self.rights.len() as u32;
        let mut buffer = Buffer::new(self.size());
        let (at_header, rest) = buffer.bytes_mut().split_at_mut(Header::SIZE);
        at_header.copy_from_slice(header.as_bytes());
        let (rights, body) = rest.split_at_mut(self.rights.len() * Descriptor::SIZE);
        rights.copy_from_slice(self.rights.as_bytes());
        body.copy_from_slice(&self.body);
        buffer
    }

    /// Sends it, waiting at most [`PATIENCE`] for a place.
    pub(crate) fn send(&self) -> Result<()> {
        self.send_with(Options::SEND_TIMEOUT, PATIENCE)
    }

    /// Sends it if there is a place now.
    pub(crate) fn send_now(&self) -> Result<()> {
        self.send_with(Options::SEND_TIMEOUT, 0)
    }

    pub(crate) fn send_with(&self, options: Options, timeout: u32) -> Result<()> {
        self.lay_out().send(options, timeout)
    }

    /// Sends it and receives from `port` in one call.
    pub(crate) fn rpc(&self, port: Name) -> Result<Received> {
        self.rpc_with(port, Options::SEND_TIMEOUT | Options::RCV_TIMEOUT, PATIENCE, PATIENCE)
    }

    pub(crate) fn rpc_with(&self, port: Name, options: Options, sends: u32, receives: u32) -> Result<Received> {
        let from = self.lay_out();
        let mut to = Buffer::new(ROOM);
        let send = Send { timeout: sends, ..from.send_half() };
        let receive = Receive { timeout: receives, ..to.receive_half(port) };
        let (result, size) = call(Some(send), Some(receive), options);
        result.map(|()| Received::read(to.bytes(), size))
    }
}

/// Room of an ordinary receive buffer, in bytes.
const ROOM: usize = received_size(10_000);

/// Memory for a message, at a multiple of 8.
#[derive(Clone)]
pub(crate) struct Buffer {
    words: Vec<u64>,
    size: usize,
}

impl Buffer {
    /// All zero.
    pub(crate) fn new(size: usize) -> Buffer {
        Buffer { words: vec![0; size.div_ceil(8)], size }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[..self.size]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let size = self.size;
        &mut self.words.as_mut_bytes()[..size]
    }

    pub(crate) fn address(&self) -> u64 {
        self.words.as_ptr().expose_provenance() as u64
    }

    /// Changes the header of the message in it.
    pub(crate) fn edit_header(&mut self, edit: impl FnOnce(&mut Header)) {
        let (header, _) = Header::mut_from_prefix(self.bytes_mut()).expect("a message has a header");
        edit(header);
    }

    /// The sending half that sends the whole buffer.
    pub(crate) fn send_half(&self) -> Send {
        Send { address: self.address(), size: self.size as u32, timeout: 0 }
    }

    /// The receiving half that receives into the whole buffer.
    pub(crate) fn receive_half(&mut self, port: Name) -> Receive {
        let address = self.words.as_mut_ptr().expose_provenance() as u64;
        Receive { address, size: self.size as u32, port, timeout: 0 }
    }

    pub(crate) fn send(&self, options: Options, timeout: u32) -> Result<()> {
        call(Some(Send { timeout, ..self.send_half() }), None, options).0
    }
}

/// A message that came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) header: Header,
    pub(crate) rights: Vec<Descriptor>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailer: Trailer,
}

impl Received {
    /// Takes apart the `size` bytes of a message at the start of a receive buffer, and its trailer.
    pub(crate) fn read(buffer: &[u8], size: u64) -> Received {
        let size = size as usize;
        let (header, rest) = Header::read_from_prefix(&buffer[..size]).expect("the kernel delivers whole headers");
        let (rights, body) = rest.split_at(header.descriptors as usize * Descriptor::SIZE);
        let right = |bytes| Descriptor::read_from_bytes(bytes).expect("a chunk has a descriptor's size");
        let (trailer, _) =
            Trailer::read_from_prefix(&buffer[trailer_offset(size)..]).expect("the kernel delivers whole trailers");
        let rights = rights.chunks(Descriptor::SIZE).map(right).collect();
        Received { header, rights, body: body.to_vec(), trailer }
    }

    /// Whether the kernel made it.
    pub(crate) fn is_from_kernel(&self) -> bool {
        self.trailer.flags & Trailer::FROM_KERNEL != 0
    }

    /// The name of the right in descriptor `index`; null if there is none.
    pub(crate) fn right(&self, index: usize) -> Name {
        self.rights.get(index).map_or(Name::NULL, |right| right.name)
    }
}

/// Receives what is, or within [`PATIENCE`] will be, at the port.
pub(crate) fn receive(port: Name) -> Result<Received> {
    receive_within(port, PATIENCE)
}

/// Receives what is at the port now.
pub(crate) fn receive_now(port: Name) -> Result<Received> {
    receive_within(port, 0)
}

pub(crate) fn receive_within(port: Name, timeout: u32) -> Result<Received> {
    receive_with(port, Options::RCV_TIMEOUT, timeout)
}

pub(crate) fn receive_with(port: Name, options: Options, timeout: u32) -> Result<Received> {
    let mut buffer = Buffer::new(ROOM);
    let receive = Receive { timeout, ..buffer.receive_half(port) };
    let (result, size) = call(None, Some(receive), options);
    result.map(|()| Received::read(buffer.bytes(), size))
}

/// Whether nothing is at the port.
pub(crate) fn is_empty(port: Name) -> bool {
    matches!(receive_now(port), Err(Error::ReceiveTimedOut))
}

/// The message call itself: its result, and its second result.
pub(crate) fn call(send: Option<Send>, receive: Option<Receive>, options: Options) -> (Result<()>, u64) {
    let (number, arguments) = Call::Message { send, receive, options }.encode();
    let (code, value) = asm::trap(number, arguments);
    (result_of(code), value)
}
