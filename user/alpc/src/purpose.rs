//! What each port of the library's is for, as its payload says.
//!
//! A payload is the receiver's own word, and comes with every message. Whoever may ask for a port's status reads
//! it there, so that connections can be found from outside, whether their server answers or not. Invariant: the
//! payloads of a port's own, which [`Purpose::payload`] makes, are told apart from those of most programs by a tag.
//! Neighbour: `inbox`, whose ports have them.

/// `AL`, in the highest two bytes.
const TAG: u64 = 0x414c << 48;
const DOOR: u64 = 0;
const CONNECTION: u64 = 1 << 32;
const ANSWER: u64 = 2 << 32;
const JOINED: u64 = 3 << 32;

/// What a port in an inbox is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A connection port.
    Door,
    /// The private port of one side of a connection, which has this number there.
    Connection(u32),
    /// The answer to an asynchronous request, which has this number.
    Answer(u32),
    /// The program's own, with its key ([`Port::join`](crate::Port::join)).
    Joined(u32),
}

impl Purpose {
    /// The payload that says so.
    #[must_use]
    pub const fn payload(self) -> u64 {
        TAG | match self {
            Purpose::Door => DOOR,
            Purpose::Connection(id) => CONNECTION | id as u64,
            Purpose::Answer(id) => ANSWER | id as u64,
            Purpose::Joined(key) => JOINED | key as u64,
        }
    }

    /// What a payload says; `None`: it is none of these.
    #[must_use]
    pub const fn of(payload: u64) -> Option<Purpose> {
        let number = payload as u32;
        match (payload ^ TAG) & !(u32::MAX as u64) {
            DOOR if number == 0 => Some(Purpose::Door),
            CONNECTION => Some(Purpose::Connection(number)),
            ANSWER => Some(Purpose::Answer(number)),
            JOINED => Some(Purpose::Joined(number)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_what_the_port_is_for() {
        for number in [0, 7, 0x7fff_0001, u32::MAX] {
            for purpose in [Purpose::Connection(number), Purpose::Answer(number), Purpose::Joined(number)] {
                assert_eq!(Purpose::of(purpose.payload()), Some(purpose));
            }
        }
        assert_eq!(Purpose::of(Purpose::Door.payload()), Some(Purpose::Door));
    }

    #[test]
    fn another_payload_says_nothing() {
        let joined = Purpose::Joined(0).payload();
        for payload in [0, 1, 1 << 32, u64::MAX, TAG | 1, joined + (1 << 32), joined ^ 1 << 48, joined ^ 1 << 63] {
            assert_eq!(Purpose::of(payload), None, "{payload:#x}");
        }
    }
}
