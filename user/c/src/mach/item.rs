//! The typed items of a message's body: `msg_type_t` of Mach 2.5, `mach_msg_type_t` of Mach 3.
//!
//! A body with rights or memory travels whole, as bytes, behind the kernel's descriptors of what is in it;
//! the receiver puts the names and addresses that arrived into their places. Invariant: they are put there
//! only if descriptors and items agree in number, kind and size; so no sender can name a right, or place an
//! address, in its receiver. What other programs and the kernel send, without items, gets some.
//!
//! An item begins at a multiple of 4, and its data, where it is 64 bits wide or a pointer, at one of 8: as
//! a C structure of items and data has them. Neighbour: `transfer`.

use alloc::vec::Vec;
use portolan::abi::message::Descriptor;
use portolan::abi::notification::{Kind, Notification};
use portolan::abi::{Disposition, RightKind};
use portolan::{Error, Name, Result, classic};
use zerocopy::FromBytes;

/// Names of types: a number, rights as Mach 2.5 has them, bytes, and a name that is no right.
const INTEGER_32: u16 = 2;
const PORT_OWNERSHIP: u16 = 3;
const PORT_RECEIVE: u16 = 4;
const PORT_ALL: u16 = 5;
const PORT: u16 = 6;
const BYTE: u16 = 9;
const PORT_NAME: u16 = 15;
/// The first and the last of Mach 3's dispositions, which are the kernel's, too.
const MACH3: core::ops::RangeInclusive<u16> = 16..=21;

const INLINE: u32 = 1 << 28;
const LONG_FORM: u32 = 1 << 29;
const DEALLOCATE: u32 = 1 << 30;
/// The largest number of a short form.
const NUMBER_MAX: u32 = 0xfff;

/// Whose names the types have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    Classic,
    Mach3,
}

/// One item; places are bytes from the start of the body.
struct Item {
    start: usize,
    kind: u16,
    number: usize,
    inline: bool,
    deallocate: bool,
    data: usize,
    /// Bytes of what the item is about, wherever they are.
    size: usize,
    end: usize,
}

impl Item {
    /// The item that begins here; `None` if the body ends before it does.
    fn at(body: &[u8], start: usize) -> Option<Item> {
        let word = u32_at(body, start)?;
        let long = word & LONG_FORM != 0;
        let (kind, bits, number) = match long {
            true => (u16_at(body, start + 4)?, u16_at(body, start + 6)?, u32_at(body, start + 8)?),
            false => ((word & 0xff) as u16, (word >> 8 & 0xff) as u16, word >> 16 & NUMBER_MAX),
        };
        let inline = word & INLINE != 0;
        let align = if inline && bits != 64 { 4 } else { 8 };
        let data = (start + if long { 12 } else { 4 }).next_multiple_of(align);
        let size = (u64::from(bits) * u64::from(number)).div_ceil(8) as usize;
        let end = data.checked_add(if inline { size } else { size_of::<u64>() })?;
        (end <= body.len()).then_some(Item {
            start,
            kind,
            number: number as usize,
            inline,
            deallocate: word & DEALLOCATE != 0,
            data,
            size,
            end,
        })
    }

    /// Whether rights are in it.
    fn has_rights(&self) -> bool {
        matches!(self.kind, PORT_OWNERSHIP | PORT_RECEIVE | PORT_ALL | PORT) || MACH3.contains(&self.kind)
    }

    /// How a right in it, of this name, is sent.
    fn disposition(&self, name: Name) -> Result<Disposition> {
        match self.kind {
            PORT => Ok(send_right(name, self.deallocate)),
            PORT_RECEIVE | PORT_ALL => Ok(Disposition::MoveReceive),
            kind if MACH3.contains(&kind) => Disposition::from_code(kind as u8).ok_or(Error::SendInvalidType),
            _ => Err(Error::SendInvalidType),
        }
    }

    /// Adds what the kernel is to do about it.
    fn describe(&self, body: &[u8], descriptors: &mut Vec<Descriptor>) -> Result<()> {
        let address = u64_at(body, self.data).ok_or(Error::SendTooSmall);
        match (self.has_rights(), self.inline) {
            (true, true) => {
                if self.size != self.number * size_of::<Name>() {
                    return Err(Error::SendInvalidType);
                }
                for at in (self.data..self.end).step_by(size_of::<Name>()) {
                    let name = Name(u32_at(body, at).ok_or(Error::SendTooSmall)?);
                    descriptors.push(Descriptor::port(name, self.disposition(name)? as u8));
                }
            }
            // All rights of an array go the same way; Mach 2.5's are send rights.
            (true, false) => {
                let how = self.disposition(Name::NULL)? as u8;
                descriptors.push(Descriptor::ports(address?, self.number as u64, how));
            }
            (false, false) => {
                let flags = if self.deallocate { Descriptor::MOVE } else { 0 };
                descriptors.push(Descriptor::memory(address?, self.size as u64, flags));
            }
            (false, true) => (),
        }
        Ok(())
    }

    /// Whether the first of these descriptors are this item's; the others.
    fn matches<'a>(&self, descriptors: &'a [Descriptor]) -> Option<&'a [Descriptor]> {
        let right = self.has_rights();
        let count = match (right, self.inline) {
            (true, true) if self.size == self.number * size_of::<Name>() => self.number,
            (true, true) => return None,
            (_, false) => 1,
            (false, true) => 0,
        };
        let (own, others) = descriptors.split_at_checked(count)?;
        let (kind, size) = match (right, self.inline) {
            (true, true) => (Descriptor::PORT, 0),
            (true, false) => (Descriptor::PORTS, self.number),
            (false, _) => (Descriptor::MEMORY, self.size),
        };
        own.iter().all(|one| one.kind == kind && one.size == size as u64).then_some(others)
    }

    /// Puts what has arrived into its place; the descriptors are those of [`matches`](Item::matches).
    fn fill(&self, body: &mut [u8], own: &[Descriptor], generation: Generation) {
        if !self.inline {
            put(body, self.data, &own[0].address.to_le_bytes());
        } else {
            for (at, right) in (self.data..).step_by(size_of::<Name>()).zip(own) {
                put(body, at, &shown(right.name, generation).0.to_le_bytes());
            }
        }
        if let (Some(right), true) = (own.first(), MACH3.contains(&self.kind)) {
            self.rename(body, right.disposition);
        }
    }

    /// What arrives is not what was sent: a right that was copied is a send right.
    fn rename(&self, body: &mut [u8], kind: u8) {
        let name = u16::from(arrived(kind));
        let long = u32_at(body, self.start).is_some_and(|word| word & LONG_FORM != 0);
        match long {
            true => put(body, self.start + 4, &name.to_le_bytes()),
            false => put(body, self.start, &[name as u8]),
        }
    }
}

/// How Mach 2.5's "send right" is sent, which there the receiver has, too, and which may be one for a reply.
pub(super) fn send_right(name: Name, deallocate: bool) -> Disposition {
    match classic::port_type(classic::task_self(), name) {
        Ok(kind) if kind.send_once > 0 => Disposition::MoveSendOnce,
        Ok(kind) if kind.receive > 0 && kind.send == 0 => Disposition::MakeSend,
        _ if deallocate => Disposition::MoveSend,
        _ => Disposition::CopySend,
    }
}

/// A send right for the kernel, made or copied; or null.
pub(super) fn sendable(name: Name) -> Descriptor {
    Descriptor::port(name, send_right(name, false) as u8)
}

/// Mach 3's name for the kind of a right that has arrived.
pub(super) fn arrived(kind: u8) -> u8 {
    match kind {
        kind if kind == RightKind::Receive as u8 => Disposition::MoveReceive as u8,
        kind if kind == RightKind::SendOnce as u8 => Disposition::MoveSendOnce as u8,
        _ => Disposition::MoveSend as u8,
    }
}

/// A right whose port died on the way is null in Mach 2.5.
pub(super) fn shown(name: Name, generation: Generation) -> Name {
    match (name, generation) {
        (Name::DEAD, Generation::Classic) => Name::NULL,
        _ => name,
    }
}

/// The items of a body; a rest that is no item is its last, as an error.
fn items(body: &[u8]) -> impl Iterator<Item = Result<Item>> {
    let mut next = 0;
    core::iter::from_fn(move || {
        let start = next;
        if start >= body.len() {
            return None;
        }
        let item = Item::at(body, start);
        next = item.as_ref().map_or(body.len(), |item| item.end.next_multiple_of(4));
        Some(item.ok_or(Error::SendTooSmall))
    })
}

/// What the kernel is to know of a body: the rights and the memory in it.
///
/// # Errors
/// `SendTooSmall`: an item does not end inside. `SendInvalidType`: a type that cannot be sent.
pub(super) fn describe(body: &[u8]) -> Result<Vec<Descriptor>> {
    let mut descriptors = Vec::new();
    for item in items(body) {
        item?.describe(body, &mut descriptors)?;
    }
    Ok(descriptors)
}

/// Who has sent a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Task,
    /// To tell this, or to answer.
    Kernel(Option<Kind>),
}

/// The body that a program is to see: the one that was sent, with what arrived in it, or one made for it.
pub(super) fn body(mut bytes: Vec<u8>, descriptors: &[Descriptor], sender: Sender, seen: Generation) -> Vec<u8> {
    if descriptors.is_empty() && sender == Sender::Task {
        return bytes;
    }
    let Some(items) = agreeing(&bytes, descriptors) else { return made(&bytes, descriptors, sender, seen) };
    let mut rest = descriptors;
    for item in items {
        let others = item.matches(rest).unwrap_or_default();
        let (own, _) = rest.split_at(rest.len() - others.len());
        if !own.is_empty() {
            item.fill(&mut bytes, own, seen);
        }
        rest = others;
    }
    bytes
}

/// The items of a body that is about just these descriptors.
fn agreeing(bytes: &[u8], descriptors: &[Descriptor]) -> Option<Vec<Item>> {
    let items: Vec<Item> = items(bytes).collect::<Result<_>>().ok()?;
    let rest = items.iter().try_fold(descriptors, |rest, item| item.matches(rest))?;
    (rest.is_empty() && !items.is_empty()).then_some(items)
}

/// Items for what came without: one for each descriptor, then the bytes.
fn made(bytes: &[u8], descriptors: &[Descriptor], sender: Sender, seen: Generation) -> Vec<u8> {
    let mut body = Vec::new();
    for descriptor in descriptors {
        let right = match seen {
            Generation::Classic if descriptor.disposition == RightKind::Receive as u8 => PORT_ALL,
            Generation::Classic => PORT,
            Generation::Mach3 => arrived(descriptor.disposition).into(),
        };
        match descriptor.kind {
            Descriptor::PORT => push_word(&mut body, right, shown(descriptor.name, seen).0),
            Descriptor::PORTS => push_pointer(&mut body, right, 32, descriptor),
            _ => push_pointer(&mut body, BYTE, 8, descriptor),
        }
    }
    let told = Notification::read_from_bytes(bytes);
    match (sender, told) {
        (Sender::Kernel(Some(kind)), Ok(told)) => match kind {
            Kind::PortDestroyed | Kind::SendOnce | Kind::Unmapped => (),
            Kind::NoSenders => push_word(&mut body, INTEGER_32, told.count),
            _ => push_word(&mut body, PORT_NAME, told.name.0),
        },
        _ if bytes.is_empty() => (),
        _ => {
            push(&mut body, BYTE, 8, bytes.len() as u32, INLINE);
            body.extend(bytes);
        }
    }
    body
}

fn push_word(body: &mut Vec<u8>, kind: u16, word: u32) {
    push(body, kind, 32, 1, INLINE);
    body.extend(word.to_le_bytes());
}

/// Appends the head of an item.
fn push(body: &mut Vec<u8>, kind: u16, bits: u16, number: u32, flags: u32) {
    body.resize(body.len().next_multiple_of(4), 0);
    if number <= NUMBER_MAX {
        body.extend((u32::from(kind) | u32::from(bits) << 8 | number << 16 | flags).to_le_bytes());
    } else {
        body.extend((flags | LONG_FORM).to_le_bytes());
        body.extend(kind.to_le_bytes());
        body.extend(bits.to_le_bytes());
        body.extend(number.to_le_bytes());
    }
}

fn push_pointer(body: &mut Vec<u8>, kind: u16, bits: u16, descriptor: &Descriptor) {
    push(body, kind, bits, descriptor.size as u32, 0);
    body.resize(body.len().next_multiple_of(8), 0);
    body.extend(descriptor.address.to_le_bytes());
}

fn put(body: &mut [u8], at: usize, bytes: &[u8]) {
    body[at..at + bytes.len()].copy_from_slice(bytes);
}

fn u16_at(body: &[u8], at: usize) -> Option<u16> {
    body.get(at..at + 2)?.try_into().map(u16::from_le_bytes).ok()
}

fn u32_at(body: &[u8], at: usize) -> Option<u32> {
    body.get(at..at + 4)?.try_into().map(u32::from_le_bytes).ok()
}

fn u64_at(body: &[u8], at: usize) -> Option<u64> {
    body.get(at..at + 8)?.try_into().map(u64::from_le_bytes).ok()
}
