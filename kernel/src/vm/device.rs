//! Device memory: physical addresses where a device is, and no memory.
//!
//! A memory object stands for a range of them, and is its claim: while it lives, no other
//! has a byte of the range, and when its last right and mapping are gone, neither is the
//! claim. Its pages are mapped as they are, uncached, for user code alone: the kernel has no
//! map of them, so it neither copies them nor has message buffers there.
//!
//! Invariant: no two objects' ranges overlap, and none has anything that is taken: memory,
//! the kernel's own devices, or what the processor cannot address. Neighbours: `object`,
//! `fault`; `service::host` claims.

use super::object::{Backing, Reach};
use super::{ObjectId, Vm};
use crate::task::account::{AccountId, Accounts};
use portolan_abi::{Error, PAGE_SIZE, Result};
use portolan_machine::{Frame, FrameRange};

/// The pages that `size` bytes from a physical address touch, if the address is at a page.
///
/// # Errors
/// `InvalidArgument`: it is not, or there are none, or they are beyond any address.
pub fn range(address: u64, size: u64) -> Result<FrameRange> {
    let page = PAGE_SIZE as u64;
    let end = address.checked_add(size).filter(|_| size > 0 && address.is_multiple_of(page));
    let frame = |number: u64| u32::try_from(number).map(Frame).map_err(|_| Error::InvalidArgument);
    Ok(FrameRange { start: frame(address / page)?, end: frame(end.ok_or(Error::InvalidArgument)?.div_ceil(page))? })
}

impl Vm {
    /// Claims a range of device memory. Takes time in proportion to the memory objects there are.
    ///
    /// # Errors
    /// `NoAccess`: a part of it is taken. `NoSpace`: a part of it is claimed. `ResourceShortage`.
    pub fn claim_device(&mut self, accounts: &mut Accounts, account: AccountId, range: FrameRange) -> Result<ObjectId> {
        if self.taken.iter().any(|taken| overlap(*taken, range)) {
            return Err(Error::NoAccess);
        }
        if self.objects.iter().filter_map(|(_, object)| object.device()).any(|claimed| overlap(claimed, range)) {
            return Err(Error::NoSpace);
        }
        self.insert_object(accounts, account, range.len() as u64, Reach::Shared, Backing::Device(range))
    }
}

/// Whether two ranges have a frame in common.
pub fn overlap(one: FrameRange, other: FrameRange) -> bool {
    one.start < other.end && other.start < one.end
}
