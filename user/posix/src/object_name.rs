//! The names of POSIX objects: one slash, and then 1 to 255 bytes without one.
//!
//! As musl has it: leading slashes are passed over, and `.` and `..` are no names. Invariant: what
//! [`ObjectName::new`] gives is such a name, and zeros behind it. As a message brings it, it may be anything.
//! Neighbours: whatever is opened by a name.

use crate::{Errno, Result};
use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most bytes of a name, its leading slashes apart (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

/// The name of an object without its slash; zeros fill it up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct ObjectName([u8; NAME_MAX + 1]);

impl ObjectName {
    /// No name; it stands before all names.
    pub const NONE: ObjectName = ObjectName([0; NAME_MAX + 1]);

    /// The name in what a program says.
    ///
    /// # Errors
    /// `Invalid`: empty, `.`, `..`, or a slash or a zero byte in it. `NameTooLong`.
    pub fn new(said: &[u8]) -> Result<ObjectName> {
        let start = said.iter().position(|byte| *byte != b'/').ok_or(Errno::Invalid)?;
        let name = &said[start..];
        if name.len() > NAME_MAX {
            return Err(Errno::NameTooLong);
        }
        let mut padded = [0; NAME_MAX + 1];
        padded[..name.len()].copy_from_slice(name);
        let padded = ObjectName(padded);
        if padded.bytes() == Some(name) { Ok(padded) } else { Err(Errno::Invalid) }
    }

    /// Its bytes; `None` if it is no name.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (name, padding) = self.0.split_at(end);
        let is_name = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/');
        (is_name && padding.iter().all(|byte| *byte == 0)).then_some(name)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes().unwrap_or(b"?").escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(said: &[u8]) -> Result<ObjectName> {
        ObjectName::new(said)
    }

    #[test]
    fn leading_slashes_are_passed_over() {
        for (said, bytes) in
            [(&b"/a"[..], &b"a"[..]), (b"a", b"a"), (b"///a", b"a"), (b"/a.b", b"a.b"), (b"/...", b"...")]
        {
            assert_eq!(name(said).expect("a name").bytes(), Some(bytes));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for said in [&b""[..], b"/", b"//", b".", b"/..", b"/a/", b"/a/b", b"/a\0", b"/\0a"] {
            assert_eq!(name(said), Err(Errno::Invalid), "{said:?}");
        }
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        let long = [b'a'; NAME_MAX];
        assert_eq!(name(&long).expect("a name").bytes(), Some(&long[..]));
        assert_eq!(name(&[b"/", &long[..]].concat()), name(&long));
        assert_eq!(name(&[b'a'; NAME_MAX + 1]), Err(Errno::NameTooLong));
    }

    #[test]
    fn what_a_message_brings_may_be_no_name() {
        let with = |place: usize, byte| {
            let mut padded = name(b"ab").expect("a name");
            padded.0[place] = byte;
            padded.bytes().is_some()
        };
        assert!(with(2, b'c') && !with(3, b'c') && !with(1, b'/') && !with(0, 0));
        assert_eq!(ObjectName([b'a'; NAME_MAX + 1]).bytes(), None);
    }
}
