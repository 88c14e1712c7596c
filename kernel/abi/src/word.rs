//! Words of memory that threads wait on: what POSIX calls a futex.
//!
//! A word is 8 bytes, or 4, at a multiple of their number. What counts is the memory, not the
//! address: tasks that map the same part of a memory object wait on the same word, and in private
//! memory the threads of one task do. So a lock is a word that is taken and let go without a
//! call, and only who has to wait, or to wake, makes one.
//!
//! An *owned* word says which thread has it: in its low bits, the number that
//! [`thread::info`](crate::thread::info) gives as `owner`. Who waits on one is told when that thread is dead;
//! nobody has to be told first who owns what.
//!
//! Neighbour: `call`, which has the two traps.

bitflags::bitflags! {
    /// How a thread waits on a word.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct WordOptions: u32 {
        /// The word has 4 bytes.
        const SHORT = 1;
        /// The value that is expected names the thread that owns the word ([`OWNER`]). A short word
        /// has no room for that.
        const OWNED = 2;
    }
}

/// The bits of an owned word that name its owner. The one above is the program's own: a lock says
/// there that somebody waits.
pub const OWNER: u64 = (1 << 63) - 1;

/// The deadline of who waits for ever.
pub const NEVER: u64 = u64::MAX;
