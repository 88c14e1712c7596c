//! The names of services: short texts by which tasks find each other's ports.
//!
//! Invariant: what [`ServiceName::new`] and [`ServiceName::text`] give is 1 to [`NAME_MAX`] bytes of
//! UTF-8 without control characters. As a message brings it, it may be anything. Neighbours:
//! `name_server` looks them up, `bootstrap` hands out the services that are declared.

use crate::Result;
use core::fmt;
use portolan_abi::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes of a name.
pub const NAME_MAX: usize = 64;

/// The name of a service, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct ServiceName([u8; NAME_MAX]);

impl ServiceName {
    /// No name; it stands before all names.
    pub const NONE: ServiceName = ServiceName([0; NAME_MAX]);

    /// This text as a name.
    ///
    /// # Errors
    /// `InvalidValue`: it is empty, longer than [`NAME_MAX`] bytes, or has control characters.
    pub fn new(text: &str) -> Result<ServiceName> {
        let mut padded = [0; NAME_MAX];
        padded.get_mut(..text.len()).ok_or(Error::InvalidValue)?.copy_from_slice(text.as_bytes());
        let name = ServiceName(padded);
        // A zero byte inside would end the name.
        (name.text()?.len() == text.len()).then_some(name).ok_or(Error::InvalidValue)
    }

    /// The text.
    ///
    /// # Errors
    /// `InvalidValue`: it is no name.
    pub fn text(&self) -> Result<&str> {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
        let (bytes, padding) = self.0.split_at(length);
        let text = core::str::from_utf8(bytes).map_err(|_| Error::InvalidValue)?;
        let is_name = !text.is_empty() && !text.contains(char::is_control) && padding.iter().all(|byte| *byte == 0);
        is_name.then_some(text).ok_or(Error::InvalidValue)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text().unwrap_or("?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_printable_text() {
        let longest = "x".repeat(NAME_MAX);
        for text in ["a", "name server", "größe", &longest] {
            assert_eq!(ServiceName::new(text).expect("a name").text(), Ok(text));
        }
        for text in ["", "a\nb", "a\0b", "\0", "\u{7f}", &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(ServiceName::new(text), Err(Error::InvalidValue), "{text:?}");
        }
    }

    #[test]
    fn what_a_message_brings_may_be_no_name() {
        let mut bytes = [0; NAME_MAX];
        assert_eq!(ServiceName(bytes).text(), Err(Error::InvalidValue));
        bytes[0] = 0xff;
        assert_eq!(ServiceName(bytes).text(), Err(Error::InvalidValue));
        (bytes[0], bytes[2]) = (b'a', b'b');
        assert_eq!(ServiceName(bytes).text(), Err(Error::InvalidValue));
        (bytes[0], bytes[1]) = (b'a', 0xc3);
        bytes[2] = 0;
        assert_eq!(ServiceName(bytes).text(), Err(Error::InvalidValue));
    }
}
