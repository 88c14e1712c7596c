//! Which signals there are, sets of them, and what each does where the program says nothing.
//!
//! Invariant: a [`Signal`] is 1 to [`LAST`], but none of the three that musl keeps for itself.

use crate::errno::Errno;
use core::ffi::{c_int, c_long};

/// The highest signal (`SIGRTMAX`).
pub(crate) const LAST: usize = 64;

/// How many signals there are of which each one that is sent counts (`RTSIG_MAX`): `SIGRTMIN` to [`LAST`].
pub(crate) const QUEUED_KINDS: c_long = (LAST - QUEUED_MIN + 1) as c_long;
/// `SIGRTMIN`.
const QUEUED_MIN: usize = 35;

/// A signal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(c_int);

impl Signal {
    pub(crate) const ILL: Signal = Signal(4);
    pub(crate) const TRAP: Signal = Signal(5);
    pub(crate) const ABRT: Signal = Signal(6);
    pub(crate) const BUS: Signal = Signal(7);
    pub(crate) const FPE: Signal = Signal(8);
    pub(crate) const KILL: Signal = Signal(9);
    pub(crate) const SEGV: Signal = Signal(11);
    pub(crate) const ALRM: Signal = Signal(14);
    pub(crate) const CHLD: Signal = Signal(17);
    pub(crate) const CONT: Signal = Signal(18);
    pub(crate) const STOP: Signal = Signal(19);

    /// The one with this number.
    ///
    /// # Errors
    /// `Invalid`: there is none.
    pub(crate) fn numbered(number: c_int) -> Result<Signal, Errno> {
        let exists = (1..=LAST as c_int).contains(&number) && !(32..=34).contains(&number);
        if exists { Ok(Signal(number)) } else { Err(Errno::Invalid) }
    }

    pub(crate) fn number(self) -> c_int {
        self.0
    }

    /// Its place in a table.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether each one that is sent counts (`SIGRTMIN` and above); of others one waits at most.
    pub(super) fn is_queued(self) -> bool {
        self.index() >= QUEUED_MIN
    }

    /// Whether no program can do anything about it.
    pub(super) fn is_final(self) -> bool {
        self == Signal::KILL || self == Signal::STOP
    }

    /// What it does where the program says nothing.
    pub(crate) fn by_default(self) -> Default {
        const URG: Signal = Signal(23);
        const WINCH: Signal = Signal(28);
        match self {
            Signal::CHLD | Signal::CONT | URG | WINCH => Default::Ignore,
            Signal::STOP | Signal(20..=22) => Default::Stop,
            _ => Default::End,
        }
    }
}

/// What a signal does by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Default {
    Ignore,
    /// It stops the process.
    Stop,
    /// It ends the process.
    End,
}

/// A set of signals: the first word of a `sigset_t`, the others being empty.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Set(pub(crate) u64);

impl Set {
    pub(crate) const EMPTY: Set = Set(0);
    /// Those that can be blocked.
    const BLOCKABLE: Set = Set(!(1 << (9 - 1) | 1 << (19 - 1)));

    pub(super) fn of(signal: Signal) -> Set {
        Set(1 << (signal.0 - 1))
    }

    pub(super) fn contains(self, signal: Signal) -> bool {
        self.0 & Set::of(signal).0 != 0
    }

    pub(super) fn with(self, other: Set) -> Set {
        Set(self.0 | other.0)
    }

    pub(super) fn without(self, other: Set) -> Set {
        Set(self.0 & !other.0)
    }

    /// What of it can be blocked.
    pub(super) fn blockable(self) -> Set {
        Set(self.0 & Set::BLOCKABLE.0)
    }
}
