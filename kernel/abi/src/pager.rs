//! Pagers in user space, and the routines behind a pager's control port.
//!
//! A memory object that [`memory_object_create_paged`] made has no pages at first. When somebody
//! touches one that is missing, in any task or as a message's buffer, a message with the id
//! [`PAGE_REQUEST`] and a [`PageRequest`] as its inline bytes comes to the pager's port; its
//! trailer carries `FROM_KERNEL`. It is kept in the threads that wait, so it cannot be lost, takes
//! no memory, and gets past a full queue; once it has been received the page is asked for again
//! only when nobody waits for it any more. The pager answers with [`supply`] or [`refuse`].
//!
//! A thread that waits for a page can be ended, and suspended; a call with a deadline ends
//! at it, except that a timeout of 0 is no limit to how long pages take. A call that waits for a page has
//! done nothing yet, and begins anew when the page is there. A receiver whose buffer lacks a page when a message comes
//! brings it in while the message is queued.
//!
//! What waits for a page that is refused, or whose pager is gone (its port or the last
//! control right), ends: a touch with an exception that has the error, a message's call with
//! `SendInvalidMemory` or `ReceiveInvalidMemory`. The task that receives from the pager's port is
//! refused pages of its own object that are missing (`MemoryError`): it would wait for itself.
//!
//! A routine that needs a page waits for it before it has done anything, as a message with memory out of line does,
//! until the deadline of its request's sending. If the page is refused, or its pager gone, the reply says so.
//!
//! The object lives as long as a right to it, a mapping, or the control right does. Its
//! pages stay once they are there; its maker's account pays for them. (Mach's external memory
//! management: `memory_object_data_request`, `_data_supply`, `_data_error`.)
//!
//! [`memory_object_create_paged`]: crate::vm::memory_object_create_paged

use crate::interface;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

interface! {
    base 4200;

    /// Supplies the page at `offset` with a copy of the [`PAGE_SIZE`](crate::PAGE_SIZE) bytes at `address`, at any
    /// alignment, of the task whose kernel port comes with it. Whoever waits for the page goes on.
    ///
    /// `InvalidArgument`: `offset` not at a page, or outside the object. `InvalidCapability`: the
    /// right is not a task's. `Failure`: the page is there. `InvalidAddress`, `ProtectionFailure`:
    /// no readable memory. `MemoryError`, `MemoryFailure`: another pager's page, as that
    /// says. `ResourceShortage`: the object's account has no frame left.
    1 supply / Supply (offset: u64, address: u64; task) -> ();

    /// Ends all waits for the page at `offset` with this error, the code of a positive
    /// [`Error`](crate::Error). Who touches the page later asks for it again.
    ///
    /// `InvalidArgument`: `offset` not at a page, or outside the object; no such error.
    2 refuse / Refuse (offset: u64, error: i32, reserved: u32) -> ();
}

/// The id of the message that asks for a page.
pub const PAGE_REQUEST: u32 = 4299;

/// The inline bytes of the message that asks for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct PageRequest {
    /// What the pager calls the object.
    pub object: u64,
    /// The page's first byte in the object.
    pub offset: u64,
    /// Bytes: a page.
    pub size: u64,
    /// What is to be done to it: [`Protection`](crate::Protection) bits.
    pub access: u32,
    /// Always 0.
    pub reserved: u32,
}
