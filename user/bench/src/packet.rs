//! A message as the traps take it: words in a buffer that is sent from and received into.
//!
//! The library's messages own their rights and are checked; these are neither, so
//! that what is counted is the kernel's work and a few stores.
//! Neighbours: `ipc`, the measured calls; `peer`, their other end.

use portolan::abi::Disposition;
use portolan::abi::message::{Descriptor, Header, Options, received_size};
use portolan::{Name, Result, trap};
use zerocopy::{FromBytes, IntoBytes};

/// Most inline bytes that are sent here.
pub(crate) const BYTES_MAX: usize = 4096;
const WORDS: usize = received_size(Header::SIZE + Descriptor::SIZE + BYTES_MAX) / size_of::<u64>();

/// A message buffer.
pub(crate) struct Packet([u64; WORDS]);

impl Packet {
    pub(crate) const fn new() -> Packet {
        Packet([0; WORDS])
    }

    pub(crate) fn header(&mut self) -> &mut Header {
        Header::mut_from_prefix(self.0.as_mut_bytes()).expect("the buffer is larger than a header").0
    }

    /// Its first words.
    pub(crate) fn words(&self, count: usize) -> &[u64] {
        &self.0[..count]
    }

    /// Makes it a message of this many inline bytes, whatever they are.
    pub(crate) fn address(&mut self, to: (Name, Disposition), reply: Option<Name>, bytes: usize) {
        let (remote, disposition) = to;
        let (local, made) = reply.map_or((Name::NULL, 0), |port| (port, Disposition::MakeSendOnce as u8));
        let (bits, size) = (Header::bits_of(disposition as u8, made), (Header::SIZE + bytes) as u32);
        *self.header() = Header { bits, size, remote, local, id: 0, descriptors: 0 };
    }

    /// Adds a right or memory in front of the inline bytes.
    pub(crate) fn attach(&mut self, descriptor: Descriptor) {
        let header = self.header();
        header.size += Descriptor::SIZE as u32;
        header.descriptors = 1;
        *self.descriptor() = descriptor;
    }

    /// The first descriptor.
    pub(crate) fn descriptor(&mut self) -> &mut Descriptor {
        let after = &mut self.0.as_mut_bytes()[Header::SIZE..];
        Descriptor::mut_from_prefix(after).expect("the buffer has room for a descriptor").0
    }

    pub(crate) fn send(&self, options: Options) -> Result<()> {
        trap::msg_send(&self.0, options, 0)
    }

    pub(crate) fn receive(&mut self, port: Name) -> Result<()> {
        trap::msg_receive(&mut self.0, port, Options::empty(), 0).0
    }

    /// Sends it, and receives from `port` into it.
    pub(crate) fn rpc(&mut self, port: Name) -> Result<()> {
        trap::msg_rpc(&mut self.0, port, Options::empty(), 0, 0).0
    }
}
