//! Routines behind a right to a range of I/O ports.
//!
//! Whoever holds the privileged host port claims a range ([`io_claim`]); no port can be claimed
//! twice. A driver that was given the right reads and writes there by messages, answered in its
//! own call, and so needs no privilege of the processor's. The claim ends with the last right.
//!
//! The first serial line is the kernel's debug console. While a port of it is claimed, tasks
//! cannot write there by `debug_write` (`NoAccess`); the kernel's own lines, such as why a task
//! was ended, still go there, between the bytes of the claim's holder.
//!
//! [`io_claim`]: crate::host::io_claim

use crate::interface;

/// Most bytes of [`write_bytes`].
pub const BYTES_MAX: usize = 64;

interface! {
    base 5200;

    /// Reads `width` bytes, 1, 2 or 4, from the port `offset` after the first.
    ///
    /// `InvalidArgument`: another width, or not all in the range.
    1 read / Read (offset: u32, width: u32) -> (value: u32, reserved: u32);

    /// Writes the low `width` bytes of `value`, as above.
    ///
    /// `InvalidArgument`: as above.
    2 write / Write (offset: u32, width: u32, value: u32, reserved: u32) -> ();

    /// Writes the first `count` bytes, one after the other, to one port: what fills a device's queue.
    ///
    /// `InvalidArgument`: more than [`BYTES_MAX`], or not in the range.
    3 write_bytes / WriteBytes (offset: u32, count: u32, bytes: [u8; BYTES_MAX]) -> ();

    /// The range: its first port, and how many.
    4 info / Info () -> (first: u32, count: u32);
}
