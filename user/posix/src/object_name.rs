//! The names of POSIX objects: one slash, and then 1 to 255 bytes without one.
//!
//! As musl has it: leading slashes are passed over, and `.` and `..` are no names.
//! Neighbours: whatever is opened by a name.

use crate::{Errno, Result};

/// Most bytes of a name, its leading slashes apart (`NAME_MAX`).
pub const NAME_MAX: usize = 255;

/// The name proper in what a program says.
///
/// # Errors
/// `Invalid`: empty, `.`, `..`, or a slash or a zero byte in it. `NameTooLong`.
pub fn object_name(said: &str) -> Result<&str> {
    let name = said.trim_start_matches('/');
    match name {
        "" | "." | ".." => Err(Errno::Invalid),
        _ if name.contains(['/', '\0']) => Err(Errno::Invalid),
        _ if name.len() > NAME_MAX => Err(Errno::NameTooLong),
        _ => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn leading_slashes_are_passed_over() {
        assert_eq!(["/a", "a", "///a", "/a.b"].map(object_name), [Ok("a"), Ok("a"), Ok("a"), Ok("a.b")]);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for said in ["", "/", "//", ".", "/..", "/a/", "/a/b", "/a\0"] {
            assert_eq!(object_name(said), Err(Errno::Invalid), "{said:?}");
        }
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        let long: String = ['a'; NAME_MAX].iter().collect();
        assert_eq!(object_name(&long), Ok(&long[..]));
        assert_eq!(object_name(&std::format!("/{long}")), Ok(&long[..]));
        assert_eq!(object_name(&std::format!("{long}a")), Err(Errno::NameTooLong));
    }
}
