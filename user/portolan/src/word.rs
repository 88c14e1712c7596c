//! Words of memory to wait on: what locks are made of that cost no call until they are contended.
//!
//! A word is the same for all tasks that map it, wherever that is. Reference:
//! [`abi::word`](portolan_abi::word). Invariant: an [`Owner`] stays with the thread that it stands for.
//! Neighbours: `mapping`, whose words tasks share; `trap`, which has the calls.

use crate::Result;
use crate::interface::MsgRpc;
use crate::trap;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, AtomicU64};
use portolan_abi::word::{NEVER, OWNER};
use portolan_abi::{Error, WordOptions, thread};

/// The bit of an owned word that the kernel leaves to the program.
pub const MARK: u64 = !OWNER;

/// Memory of the size and alignment of a word.
pub trait Word: sealed::Sealed {
    /// What it holds.
    type Value: Into<u64>;
    /// How its size is said.
    const OPTIONS: WordOptions;
}

impl Word for AtomicU64 {
    type Value = u64;
    const OPTIONS: WordOptions = WordOptions::empty();
}

impl Word for AtomicU32 {
    type Value = u32;
    const OPTIONS: WordOptions = WordOptions::SHORT;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for core::sync::atomic::AtomicU64 {}
    impl Sealed for core::sync::atomic::AtomicU32 {}
}

/// When a wait ends at the latest: a time of the machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(u64);

impl Deadline {
    /// It never comes.
    pub const NEVER: Deadline = Deadline(NEVER);
    /// It has come: nothing is waited for.
    pub const PAST: Deadline = Deadline(0);

    /// So many nanoseconds after the machine's start.
    #[must_use]
    pub const fn at(nanoseconds: u64) -> Deadline {
        Deadline(nanoseconds)
    }

    /// So many ms from now.
    #[must_use]
    pub fn after_ms(ms: u64) -> Deadline {
        Deadline(trap::clock_get().saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// Nanoseconds after the machine's start; `NEVER` if it never comes.
    #[must_use]
    pub const fn nanoseconds(self) -> u64 {
        self.0
    }

    /// What the trap takes.
    pub(crate) fn argument(self) -> Option<u64> {
        (self != Deadline::NEVER).then_some(self.0)
    }
}

/// The calling thread, as words that it owns name it. It can go to no other thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    number: u64,
    of_this_thread: PhantomData<*const ()>,
}

impl Owner {
    /// The calling thread. This is a request to the kernel: a thread asks once and keeps the answer.
    ///
    /// # Errors
    /// Those of the call.
    pub fn this() -> Result<Owner> {
        let info = thread::info(&MsgRpc, trap::thread_self())?.results.info;
        Ok(Owner::from_number(info.owner))
    }

    /// The calling thread, whose number has been asked for before and kept in the thread's storage. With
    /// another thread's number locks fail to exclude.
    #[must_use]
    pub const fn from_number(number: u64) -> Owner {
        Owner { number: number & OWNER, of_this_thread: PhantomData }
    }

    /// What an owned word says, in the bits of [`OWNER`].
    #[must_use]
    pub const fn number(self) -> u64 {
        self.number
    }
}

/// Waits until the word is woken, if it is as expected. Who has been woken looks at it again.
///
/// # Errors
/// `ValueDiffers`, `TimedOut`, `Aborted`; those of memory that a pager does not bring.
pub fn wait<W: Word>(word: &W, expected: W::Value, deadline: Deadline) -> Result<()> {
    trap::word_wait(word, expected.into(), deadline, WordOptions::empty())
}

/// The same for a word that names the thread that owns it.
///
/// # Errors
/// Also `OwnerDead`: that thread has ended.
pub fn wait_owned(word: &AtomicU64, expected: u64, deadline: Deadline) -> Result<()> {
    trap::word_wait(word, expected, deadline, WordOptions::OWNED)
}

/// Wakes those who wait on the word, the longest first, `count` at most, and says how many. A
/// word that is no longer mapped has nobody to wake from here.
pub fn wake<W: Word>(word: &W, count: u32) -> u32 {
    trap::word_wake(word, count).unwrap_or(0)
}

/// Whether a wait that ended so is to be begun again after a look at the word.
///
/// # Errors
/// Those that are for the caller to act on: `TimedOut`, `OwnerDead`, and what is wrong with the memory.
pub fn again(ended: Result<()>) -> Result<()> {
    match ended {
        Err(Error::ValueDiffers | Error::Aborted) => Ok(()),
        other => other,
    }
}
