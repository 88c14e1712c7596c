//! Pagers: memory objects whose pages this task makes up when somebody touches them.
//!
//! Neighbours: `memory_object`; [`abi::pager`](portolan_abi::pager) says what may be relied on.

use crate::Result;
use crate::interface::MsgRpc;
use crate::memory_object::MemoryObject;
use crate::receive::Received;
use crate::right::{ReceiveRight, Right, SendRight};
use crate::task::Task;
use portolan_abi::message::Trailer;
use portolan_abi::pager::{self, PAGE_REQUEST, PageRequest};
use portolan_abi::{Error, PAGE_SIZE, vm};

/// The bytes of one page.
pub type Page = [u8; PAGE_SIZE];

/// The control right of an object's pager: while it is there, so is the object.
#[derive(Debug)]
pub struct Pager(SendRight);

impl Pager {
    /// A new object of `size` bytes, rounded up to whole pages, which requests at `told_to`
    /// will call `cookie`; and the right to supply its pages.
    ///
    /// # Errors
    /// Those of [`memory_object_create_paged`](vm::memory_object_create_paged).
    pub fn create(size: u64, cookie: u64, told_to: &ReceiveRight) -> Result<(MemoryObject, Pager)> {
        let right = Right::MakeSend(told_to).descriptor();
        let made = vm::memory_object_create_paged(&MsgRpc, Task::this().right().name(), size, cookie, right)?;
        let [object, control] = [made.rights[0], made.rights[1]].map(SendRight::from_name);
        Ok((MemoryObject::from_right(object), Pager(control)))
    }

    /// Supplies the page at `offset`.
    ///
    /// # Errors
    /// Those of [`supply`](pager::supply).
    pub fn supply(&self, offset: u64, page: &Page) -> Result<()> {
        let address = page.as_ptr() as u64;
        let task = Task::this();
        pager::supply(&MsgRpc, self.0.name(), offset, address, Right::CopySend(task.right()).descriptor()).map(drop)
    }

    /// Ends the waits for the page at `offset` with an error, one of the positive ones.
    ///
    /// # Errors
    /// Those of [`refuse`](pager::refuse).
    pub fn refuse(&self, offset: u64, error: Error) -> Result<()> {
        pager::refuse(&MsgRpc, self.0.name(), offset, error.code(), 0).map(drop)
    }
}

/// The page that a message asks for; `None` if it is something else, or not the kernel's.
#[must_use]
pub fn request_in(message: &Received) -> Option<PageRequest> {
    let from_kernel = message.trailer().flags & Trailer::FROM_KERNEL != 0;
    (from_kernel && message.id() == PAGE_REQUEST).then(|| message.value().ok()).flatten()
}
