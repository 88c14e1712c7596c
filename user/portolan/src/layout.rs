//! Putting a message into a buffer, and finding its parts there again.
//!
//! The layout itself is [`abi::message`](portolan_abi::message)'s. Pure: no traps,
//! no rights change hands here. Invariant: [`Parts`] are of a message that the
//! kernel wrote, whose sizes it has checked.

use portolan_abi::message::{Descriptor, Header, Trailer, trailer_offset};
use portolan_abi::{Disposition, Name};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of a message with this many rights and inline bytes.
#[must_use]
pub(crate) const fn size_of_message(descriptors: usize, bytes: usize) -> usize {
    Header::SIZE + descriptors * Descriptor::SIZE + bytes
}

/// A right in a header: the name, and how it gets into the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The name.
    pub(crate) name: Name,
    /// A [`Disposition`]; 0 if the name is null.
    pub(crate) disposition: u8,
}

impl Address {
    /// No right.
    pub(crate) const NONE: Address = Address { name: Name::NULL, disposition: 0 };

    /// A right in a header.
    #[must_use]
    pub(crate) const fn new(name: Name, disposition: Disposition) -> Address {
        Address { name, disposition: disposition as u8 }
    }
}

/// A header with this destination and this reply port.
#[must_use]
pub(crate) fn addressed(to: Address, reply: Address) -> Header {
    let bits = Header::bits_of(to.disposition, reply.disposition);
    Header { bits, remote: to.name, local: reply.name, ..Header::default() }
}

/// Writes a message into a buffer that has room for it; fills in the header's size and number of descriptors.
///
/// # Panics
/// If the buffer is too small.
pub(crate) fn write(buffer: &mut [u64], header: Header, descriptors: &[Descriptor], bytes: &[u8]) {
    let size = size_of_message(descriptors.len(), bytes.len());
    let header = Header { size: size as u32, descriptors: descriptors.len() as u32, ..header };
    let to = &mut buffer.as_mut_bytes()[..size];
    let (head, rest) = to.split_at_mut(Header::SIZE);
    let (rights, inline) = rest.split_at_mut(size_of_val(descriptors));
    head.copy_from_slice(header.as_bytes());
    rights.copy_from_slice(descriptors.as_bytes());
    inline.copy_from_slice(bytes);
}

/// What there is of a message without a trailer.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    /// Its header.
    pub(crate) header: &'a Header,
    /// Its descriptors.
    pub(crate) descriptors: &'a [Descriptor],
    /// Its inline bytes.
    pub(crate) bytes: &'a [u8],
}

/// Finds that; `None` if the buffer does not hold a whole message.
#[must_use]
pub(crate) fn content(buffer: &[u64]) -> Option<Content<'_>> {
    let all = buffer.as_bytes();
    let (header, rest) = Header::ref_from_prefix(all).ok()?;
    let (descriptors, _) = <[Descriptor]>::ref_from_prefix_with_elems(rest, header.descriptors as usize).ok()?;
    let bytes = all.get(size_of_message(descriptors.len(), 0)..header.size as usize)?;
    Some(Content { header, descriptors, bytes })
}

/// The parts of a received message.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// Its header.
    pub(crate) header: &'a Header,
    /// The rights it brought.
    pub(crate) descriptors: &'a [Descriptor],
    /// Its inline bytes.
    pub(crate) bytes: &'a [u8],
    /// What the kernel says of it.
    pub(crate) trailer: &'a Trailer,
}

/// Finds the parts; `None` if the buffer does not hold a whole message with its trailer.
#[must_use]
pub(crate) fn parts(buffer: &[u64]) -> Option<Parts<'_>> {
    let Content { header, descriptors, bytes } = content(buffer)?;
    let behind = buffer.as_bytes().get(trailer_offset(header.size as usize)..)?;
    let (trailer, _) = Trailer::ref_from_prefix(behind).ok()?;
    Some(Parts { header, descriptors, bytes, trailer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_abi::Name;

    #[test]
    fn what_is_written_is_found_again() {
        let mut buffer = [0; 32];
        let rights = [Descriptor::port(Name(5), 17), Descriptor::port(Name::NULL, 0)];
        write(&mut buffer, Header { id: 7, remote: Name(3), ..Header::default() }, &rights, b"hello");
        let trailer = Trailer { sequence: 1, sender: 2, size: Trailer::SIZE as u32, ..Trailer::default() };
        buffer.as_mut_bytes()[trailer_offset(77)..][..Trailer::SIZE].copy_from_slice(trailer.as_bytes());

        let parts = parts(&buffer).expect("a whole message");
        assert_eq!((parts.header.id, parts.header.remote, parts.header.size), (7, Name(3), 77));
        assert_eq!(parts.descriptors, rights);
        assert_eq!(parts.bytes, b"hello");
        assert_eq!(*parts.trailer, trailer);
    }

    #[test]
    fn a_buffer_that_ends_too_soon_has_no_parts() {
        let mut buffer = [0; 9];
        write(&mut buffer, Header::default(), &[], &[1, 2, 3]);
        assert!(parts(&buffer).is_none(), "4 words of message leave 5 of the 7 that a trailer takes");
        assert!(parts(&buffer[..2]).is_none(), "no header");
    }

    #[test]
    fn a_size_that_cuts_off_descriptors_has_no_parts() {
        let mut buffer = [0; 32];
        write(&mut buffer, Header::default(), &[Descriptor::default()], &[]);
        buffer.as_mut_bytes()[4..8].copy_from_slice(&24_u32.to_le_bytes());
        assert!(parts(&buffer).is_none());
    }
}
