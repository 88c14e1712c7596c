//! Messages as tests write and read them.

use portolan_abi::message::{Descriptor, Header, Options, Trailer, trailer_offset};
use portolan_abi::{Disposition, Name, RightKind};
use zerocopy::{FromBytes, IntoBytes};

/// What a sender does when the mailbox is full: the five policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// Wait for ever.
    Wait,
    /// Wait at most so many ms.
    WaitMs(u32),
    /// Return at once.
    Return,
    /// Let the kernel cache it.
    Cache,
    /// Wait at most so many ms, then let the kernel cache it.
    WaitMsThenCache(u32),
}

impl WhenFull {
    /// All of them.
    pub const ALL: [WhenFull; 5] =
        [WhenFull::Wait, WhenFull::WaitMs(10), WhenFull::Return, WhenFull::Cache, WhenFull::WaitMsThenCache(10)];

    /// The options and the timeout that say so.
    pub fn options(self) -> (Options, u32) {
        match self {
            WhenFull::Wait => (Options::empty(), 0),
            WhenFull::WaitMs(ms) => (Options::SEND_TIMEOUT, ms),
            WhenFull::Return => (Options::SEND_TIMEOUT, 0),
            WhenFull::Cache => (Options::SEND_NOTIFY, 0),
            WhenFull::WaitMsThenCache(ms) => (Options::SEND_TIMEOUT | Options::SEND_NOTIFY, ms),
        }
    }
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    pub header: Header,
    pub rights: Vec<Descriptor>,
    pub body: Vec<u8>,
}

impl Message {
    /// An empty message to the port of this send right.
    pub fn to(port: Name) -> Message {
        Message::by(port, Disposition::CopySend)
    }

    /// An empty message to this port, whose right is used in this way.
    pub fn by(port: Name, disposition: Disposition) -> Message {
        let header = Header { bits: Header::bits_of(disposition as u8, 0), remote: port, ..Header::default() };
        Message { header, rights: Vec::new(), body: Vec::new() }
    }

    /// With this reply right.
    pub fn reply(mut self, port: Name, disposition: Disposition) -> Message {
        self.header.local = port;
        self.header.bits = Header::bits_of(self.header.remote_disposition(), disposition as u8);
        self
    }

    /// With this id.
    pub fn id(mut self, id: u32) -> Message {
        self.header.id = id;
        self
    }

    /// With these inline bytes.
    pub fn text(mut self, text: impl AsRef<[u8]>) -> Message {
        self.body = text.as_ref().to_vec();
        self
    }

    /// With one more right.
    pub fn right(self, name: Name, disposition: Disposition) -> Message {
        self.descriptor(Descriptor::port(name, disposition as u8))
    }

    /// With one more descriptor.
    pub fn descriptor(mut self, descriptor: Descriptor) -> Message {
        self.rights.push(descriptor);
        self
    }

    /// As it lies in memory, with the sizes filled in.
    pub fn bytes(&self) -> Vec<u8> {
        let size = Header::SIZE + self.rights.len() * Descriptor::SIZE + self.body.len();
        let header = Header { size: size as u32, descriptors: self.rights.len() as u32, ..self.header };
        [header.as_bytes(), self.rights.as_bytes(), &self.body].concat()
    }
}

/// A message that was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    pub header: Header,
    pub rights: Vec<Descriptor>,
    pub body: Vec<u8>,
    pub trailer: Trailer,
}

impl Received {
    /// The message at the start of a buffer.
    pub fn read(buffer: &[u8]) -> Received {
        let (header, rest) = Header::read_from_prefix(buffer).expect("a header");
        let (rights, body) = rest.split_at(header.descriptors as usize * Descriptor::SIZE);
        let rights = rights.chunks(Descriptor::SIZE).map(|bytes| Descriptor::read_from_bytes(bytes).expect("24 bytes"));
        let rights: Vec<Descriptor> = rights.collect();
        let size = header.size as usize;
        let body = body[..size - Header::SIZE - rights.len() * Descriptor::SIZE].to_vec();
        let (trailer, _) = Trailer::read_from_prefix(&buffer[trailer_offset(size)..]).expect("a trailer");
        assert_eq!(trailer.size as usize, Trailer::SIZE);
        Received { header, rights, body, trailer }
    }

    /// The inline bytes as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The reply right that came.
    pub fn reply_right(&self) -> Name {
        self.header.remote
    }

    /// The name under which the right with this number came, and its kind.
    pub fn right(&self, number: usize) -> (Name, Option<RightKind>) {
        let descriptor = &self.rights[number];
        (descriptor.name, RightKind::from_code(descriptor.disposition))
    }
}
