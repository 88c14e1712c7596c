//! Modes: what an object's owner, its group and all others may do with it.
//!
//! Who asks is what the kernel says in a message's trailer, never what the message says.
//! Neighbours: the servers that keep objects by name.

use portolan::abi::message::SecurityToken;

/// Reading, in a digit of a mode.
pub const READ: u32 = 0o4;
/// Writing, in a digit of a mode.
pub const WRITE: u32 = 0o2;
/// Whoever is this user may read and write everything, and take any name away.
pub const PRIVILEGED: u32 = 0;

/// Whether `asker` may take away the name of an object of `owner`. A mode has no say in it: names are as in a directory
/// with the sticky bit.
#[must_use]
pub const fn may_unlink(owner: SecurityToken, asker: SecurityToken) -> bool {
    asker.user == PRIVILEGED || asker.user == owner.user
}

/// The nine permission bits of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(u32);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

impl Wish {
    /// Its bits, in one digit of a mode.
    const fn bits(self) -> u32 {
        match self {
            Wish::Read => READ,
            Wish::ReadWrite => READ | WRITE,
        }
    }
}

impl Mode {
    /// The mode of a new object: of these bits the nine that count, without those of `umask`.
    #[must_use]
    pub const fn new(bits: u32, umask: u32) -> Mode {
        Mode(bits & !umask & 0o777)
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// What `asker` may do with an object of `owner`: [`READ`], [`WRITE`], and the bit for running it. One digit
    /// alone decides: the owner's, else the group's, else that of all others. User 0 may read and write all.
    #[must_use]
    pub fn permitted(self, owner: SecurityToken, asker: SecurityToken) -> u32 {
        let digit = match asker {
            SecurityToken { user: PRIVILEGED, .. } => return READ | WRITE,
            SecurityToken { user, .. } if user == owner.user => self.0 >> 6,
            SecurityToken { group, .. } if group == owner.group => self.0 >> 3,
            _ => self.0,
        };
        digit & 7
    }

    /// Whether `asker` may do this with an object of `owner`.
    #[must_use]
    pub fn allows(self, wish: Wish, owner: SecurityToken, asker: SecurityToken) -> bool {
        self.permitted(owner, asker) & wish.bits() == wish.bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: SecurityToken = SecurityToken { user: 7, group: 70 };

    /// Whether an asker may read, and read and write.
    fn may(mode: Mode, user: u32, group: u32) -> (bool, bool) {
        let asker = SecurityToken { user, group };
        (mode.allows(Wish::Read, OWNER, asker), mode.allows(Wish::ReadWrite, OWNER, asker))
    }

    #[test]
    fn of_every_mode_one_digit_decides() {
        for bits in 0..=0o777 {
            let mode = Mode::new(bits, 0);
            let of = |digit: u32| (digit & 4 == 4, digit & 6 == 6);
            for (asker, digit) in [((7, 70), bits >> 6), ((7, 1), bits >> 6), ((8, 70), bits >> 3), ((8, 1), bits)] {
                assert_eq!(may(mode, asker.0, asker.1), of(digit), "{bits:o} {asker:?}");
            }
            assert_eq!(may(mode, 0, 1), (true, true), "{bits:o}");
        }
    }

    #[test]
    fn a_new_object_has_the_nine_bits_without_the_masked_ones() {
        assert_eq!(Mode::new(0o7666, 0o022).bits(), 0o644);
        assert_eq!(Mode::new(0o666, 0o777).bits(), 0);
    }
}
