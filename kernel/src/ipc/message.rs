//! A message on its way: an envelope with rights, and a body of bytes.
//!
//! Between sender and a waiting receiver only the envelope exists, and the body is
//! copied from one's pages to the other's. A message that must wait becomes a
//! [`Message`]: its body is kept in the object itself or, if larger, in frames.
//! Either way the rights are the kernel's own references, not names, and memory that is
//! sent out of line is copied already.
//!
//! Invariant: each right in an envelope is counted at its port, and no other holds the
//! memory objects in it.
//! Neighbours: `right` takes rights in and out, `send` and `receive` move messages.

use super::cached::CacheSlot;
use super::port::{Carrier, InPort, PortId, Ports};
use super::request::Request;
use super::right;
use crate::arena::{Arena, Id};
use crate::list::{Link, List};
use crate::task::account::{AccountId, Accounts, Resource};
use crate::task::thread::ThreadId;
use crate::vm::copy::Window;
use crate::vm::map::Range;
use crate::vm::{MapCopy, Vm};
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use portolan_abi::message::{Descriptor, Header, SecurityToken};
use portolan_abi::{Disposition, Error, Name, PAGE_SIZE, Result, RightKind};
use portolan_machine::{Frame, Memory, pace};
use smallvec::SmallVec;

/// Names a message.
pub type MessageId = Id<Message>;
/// All messages.
pub type Messages = Arena<Message>;
/// A port's queue.
pub type Queue = List<Message, InPort>;

/// What the place of a message that waits costs its sender's account.
pub const MESSAGE_COST: u64 = Messages::SLOT_SIZE as u64;

/// Bytes of body that need no frame.
const INLINE: usize = 104;
/// Instructions that noting where a right is takes.
const PER_STEP: u32 = 20;
/// Rights that need no heap.
const FEW: usize = 2;

/// A `msg_rpc` that waits for the message through a send-once right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter {
    /// Who waits.
    pub thread: ThreadId,
    /// In which of its calls.
    pub serial: u32,
}

/// A right in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CarriedRight {
    /// No right: the null name was sent.
    Null,
    /// A right that was dead when it was sent.
    Dead(RightKind),
    /// A receive right.
    Receive(PortId),
    /// A send right.
    Send(PortId),
    /// A send-once right, and the `msg_rpc` behind it.
    SendOnce(PortId, Option<Waiter>),
}

impl CarriedRight {
    /// What the receiver is told it is; 0 for null.
    pub fn kind_code(self) -> u8 {
        match self {
            CarriedRight::Null => 0,
            CarriedRight::Dead(kind) => kind as u8,
            CarriedRight::Receive(_) => RightKind::Receive as u8,
            CarriedRight::Send(_) => RightKind::Send as u8,
            CarriedRight::SendOnce(..) => RightKind::SendOnce as u8,
        }
    }
}

/// A right in a message, and where to put it back if the message is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Carried {
    /// The right.
    pub right: CarriedRight,
    /// The sender's name for it.
    pub from: Name,
    /// What was done to the name; `None` if nothing.
    pub how: Option<Disposition>,
}

impl Carried {
    /// No right. No constant: that would be copied with what is behind its null.
    #[inline(always)]
    pub fn null() -> Carried {
        Carried { right: CarriedRight::Null, from: Name::NULL, how: None }
    }

    /// Whether the sender's name loses it.
    #[inline]
    pub fn is_moved(&self) -> bool {
        matches!(self.how, Some(Disposition::MoveReceive | Disposition::MoveSend | Disposition::MoveSendOnce))
    }

    /// A right of the kernel's own.
    pub const fn from_kernel(right: CarriedRight) -> Carried {
        Carried { right, from: Name::NULL, how: None }
    }
}

/// The rights of a message's descriptors, those of arrays among them, in order.
pub type Rights = SmallVec<[Carried; FEW]>;

/// A descriptor that is no single right.
#[derive(Debug)]
pub struct Enclosure {
    /// Its place among the descriptors.
    pub descriptor: usize,
    /// The memory that its receiver will see, unless it is empty: the bytes that were sent, or
    /// a page for the names of an array.
    pub memory: Option<MapCopy>,
    /// What is in it.
    pub content: Content,
}

/// What a descriptor that is no single right brings.
#[derive(Debug)]
pub enum Content {
    /// Bytes, and the pages that their sender loses when the message has gone.
    Bytes(Option<Range>),
    /// This many of the message's rights, all of one kind.
    Rights(usize, RightKind),
}

/// The copies that placing these needs room for.
pub fn copies(enclosures: &[Enclosure]) -> impl Iterator<Item = &MapCopy> + Clone {
    enclosures.iter().filter_map(|enclosure| enclosure.memory.as_ref())
}

/// Lets go of the memory in these.
pub fn discard_memory(vm: &mut Vm, accounts: &mut Accounts, enclosures: &mut Vec<Enclosure>) {
    for enclosure in enclosures.drain(..) {
        if let Some(memory) = enclosure.memory {
            memory.discard(vm, accounts);
        }
    }
}

/// All of a message but its bytes.
pub struct Envelope {
    /// The message's number.
    pub number: u64,
    /// The number of the message its sender had received last.
    pub cause: u64,
    /// The sending task's serial number; 0 for the kernel.
    pub sender: u64,
    /// Who the sending task acts for.
    pub security: SecurityToken,
    /// The programs' id.
    pub id: u32,
    /// The right it is sent through; of a queued message, only its kind matters.
    pub destination: Carried,
    /// The reply right.
    pub reply: Carried,
    /// The rights in descriptors.
    pub rights: Rights,
    /// The descriptors that are no single rights.
    pub enclosures: Vec<Enclosure>,
    /// How many descriptors it has: those of single rights, and the enclosures.
    pub descriptors: u32,
    /// Bytes of body.
    pub body_size: usize,
}

impl Envelope {
    /// Bytes of the whole message.
    #[inline]
    pub fn size(&self) -> usize {
        self.body_offset() + self.body_size
    }

    /// Where its body begins.
    #[inline]
    pub fn body_offset(&self) -> usize {
        body_offset(self.descriptors as usize)
    }

    /// Whether its sender loses anything by it.
    pub fn costs_its_sender(&self) -> bool {
        self.destination.how.is_some() || self.reply.is_moved() || self.descriptors > 0
    }

    /// The send-once rights in it are where it is.
    pub fn carry(&self, ports: &mut Ports, carrier: Carrier) {
        for carried in self.rights.iter().chain([&self.reply]) {
            if let CarriedRight::SendOnce(port, _) = carried.right {
                pace(PER_STEP);
                right::carry(ports, port, carrier);
            }
        }
    }

    /// Adds a descriptor of a right that the kernel sends.
    pub fn enclose(&mut self, right: CarriedRight) {
        self.rights.push(Carried::from_kernel(right));
        self.descriptors += 1;
    }

    /// An envelope of the kernel's own.
    pub fn from_kernel(number: u64, id: u32, body_size: usize) -> Envelope {
        Envelope {
            number,
            cause: 0,
            sender: 0,
            security: SecurityToken::default(),
            id,
            destination: Carried::null(),
            reply: Carried::null(),
            rights: Rights::new(),
            enclosures: Vec::new(),
            descriptors: 0,
            body_size,
        }
    }
}

/// Where the body begins after this many descriptors.
#[inline]
pub fn body_offset(descriptors: usize) -> usize {
    Header::SIZE + descriptors * Descriptor::SIZE
}

/// Where the bytes of a body are.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// In the sender's memory, open at the header.
    Sender(&'a Window),
    /// In the kernel.
    Kernel(&'a [u8]),
    /// In a message that waited.
    Kept(&'a Body),
}

/// The bytes of a message that waits.
pub enum Body {
    /// In the object itself.
    Inline(ArrayVec<u8, INLINE>),
    /// In frames, each full but the last.
    Frames(SmallVec<[Frame; 1]>),
}

/// A message that waits.
pub struct Message {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its bytes.
    pub body: Body,
    /// Who pays for it.
    pub account: AccountId,
    /// Bytes of heap that were paid for besides its place.
    pub heap: u64,
    /// For whom the kernel caches it, if it does.
    pub cached_for: Option<CacheSlot>,
    /// If it is in no queue because it is a notification that has been asked for: about what.
    pub request: Option<Request>,
    /// In its port's queue.
    pub queue: Link<Message>,
}

impl Message {
    /// A small message of the kernel's own, its place paid for by this account.
    pub fn from_kernel(envelope: Envelope, body: &[u8], account: AccountId) -> Message {
        let body = Body::Inline(body.iter().copied().collect());
        Message { envelope, body, account, heap: 0, cached_for: None, request: None, queue: Link::default() }
    }
}

/// Keeps a message: charges for it, and copies its bytes. On failure the envelope is
/// as it was, and comes back.
pub fn keep(
    vm: &mut Vm,
    accounts: &mut Accounts,
    messages: &mut Messages,
    account: AccountId,
    envelope: &mut Envelope,
    source: Source<'_>,
) -> Result<MessageId> {
    messages.reserve()?;
    let heap = heap_of(envelope);
    accounts.charge(account, Resource::Memory, MESSAGE_COST + heap)?;
    let mut body = match make_body(vm, accounts, account, envelope.body_size) {
        Ok(body) => body,
        Err(error) => {
            accounts.credit(account, Resource::Memory, MESSAGE_COST + heap);
            return Err(error);
        }
    };
    // Nothing below may fail.
    fill_body(&mut vm.memory, &mut body, envelope, source);
    let envelope = core::mem::replace(envelope, Envelope::from_kernel(0, 0, 0));
    let message = Message { envelope, body, account, heap, cached_for: None, request: None, queue: Link::default() };
    Ok(messages.insert(message)?)
}

/// Bytes of heap that a kept message takes besides its place: for rights, and for the
/// list of frames, that are too many to be kept there, and for descriptors of other kinds.
fn heap_of(envelope: &Envelope) -> u64 {
    let beyond = |count: usize, few: usize, size: usize| if count > few { count * size } else { 0 };
    let rights = beyond(envelope.rights.len(), FEW, size_of::<Carried>());
    let frames = beyond(envelope.body_size.div_ceil(PAGE_SIZE), 1, size_of::<Frame>());
    (rights + frames + envelope.enclosures.len() * size_of::<Enclosure>()) as u64
}

fn make_body(vm: &mut Vm, accounts: &mut Accounts, account: AccountId, size: usize) -> Result<Body> {
    if size <= INLINE {
        return Ok(Body::Inline(ArrayVec::new()));
    }
    let count = size.div_ceil(PAGE_SIZE);
    accounts.charge(account, Resource::Frames, count as u64)?;
    let mut frames = SmallVec::new();
    let enough = frames.try_reserve_exact(count).is_ok()
        && (0..count).all(|_| vm.frames.allocate().map(|frame| frames.push(frame)).is_some());
    if !enough {
        frames.drain(..).for_each(|frame| vm.frames.free(frame));
        accounts.credit(account, Resource::Frames, count as u64);
        return Err(Error::ResourceShortage);
    }
    Ok(Body::Frames(frames))
}

fn fill_body(memory: &mut Memory, body: &mut Body, envelope: &Envelope, source: Source<'_>) {
    let (offset, size) = (envelope.body_offset(), envelope.body_size);
    match (body, source) {
        (Body::Inline(bytes), Source::Sender(window)) => {
            let mut buffer = [0; INLINE];
            window.read(memory, offset, &mut buffer[..size]);
            append(bytes, &buffer[..size]);
        }
        (Body::Inline(bytes), Source::Kernel(from)) => append(bytes, from),
        (Body::Frames(frames), Source::Sender(window)) => each_frame(frames, size, |frame, at, part| {
            window.copy_to_frame(memory, offset + at, frame.span(0, part));
        }),
        (Body::Frames(frames), Source::Kernel(from)) => each_frame(frames, size, |frame, at, part| {
            memory.write(frame.span(0, part), &from[at..at + part]);
        }),
        (_, Source::Kept(_)) => panic!("a kept message is never kept again"),
    }
}

/// Puts bytes into an inline body, of which there are as few as its size says.
fn append(body: &mut ArrayVec<u8, INLINE>, bytes: &[u8]) {
    body.try_extend_from_slice(bytes).expect("a small body is inline");
}

/// Copies a body to `offset` of the receiver's buffer.
#[inline(always)]
pub fn copy_body(memory: &mut Memory, source: Source<'_>, from: usize, size: usize, to: &Window, offset: usize) {
    match source {
        Source::Sender(window) => window.copy_to(memory, from, to, offset, size),
        Source::Kernel(bytes) => to.write(memory, offset, bytes),
        Source::Kept(body) => copy_kept(memory, body, size, to, offset),
    }
}

#[inline(never)]
fn copy_kept(memory: &mut Memory, body: &Body, size: usize, to: &Window, offset: usize) {
    match body {
        Body::Inline(bytes) => to.write(memory, offset, bytes),
        Body::Frames(frames) => each_frame(frames, size, |frame, at, part| {
            to.copy_from_frame(memory, offset + at, frame.span(0, part));
        }),
    }
}

fn each_frame(frames: &[Frame], size: usize, mut act: impl FnMut(Frame, usize, usize)) {
    for (number, frame) in frames.iter().enumerate() {
        let at = number * PAGE_SIZE;
        act(*frame, at, (size - at).min(PAGE_SIZE));
    }
}

/// Ends a message whose rights have gone elsewhere, and gives back what it cost.
pub fn free(vm: &mut Vm, accounts: &mut Accounts, messages: &mut Messages, id: MessageId) {
    if let Some(message) = messages.remove(id) {
        release(vm, accounts, &message);
    }
}

/// Gives back what a message cost that is no longer among all messages.
pub fn release(vm: &mut Vm, accounts: &mut Accounts, message: &Message) {
    release_body(vm, accounts, message);
    release_place(accounts, message);
}

/// Gives back what its rights and body cost.
pub fn release_body(vm: &mut Vm, accounts: &mut Accounts, message: &Message) {
    if let Body::Frames(frames) = &message.body {
        frames.iter().for_each(|frame| vm.frames.free(*frame));
        accounts.credit(message.account, Resource::Frames, frames.len() as u64);
    }
    accounts.credit(message.account, Resource::Memory, message.heap);
}

/// Gives back what the rest of it cost.
pub fn release_place(accounts: &mut Accounts, message: &Message) {
    accounts.credit(message.account, Resource::Memory, MESSAGE_COST);
}

/// Keeps a small message of the kernel's own in the place of one that has just left it,
/// and that is still paid for.
pub fn keep_in_place(messages: &mut Messages, left: &Message, envelope: Envelope, body: &[u8]) -> MessageId {
    messages.insert(Message::from_kernel(envelope, body, left.account)).expect("the place is vacant")
}
