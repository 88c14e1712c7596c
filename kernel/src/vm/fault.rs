//! A page that the pmap lacks: looked up in map and object, and entered.
//!
//! The only place where pages are entered on demand, for faults of user code and
//! for the kernel's own copies alike; so the only place, too, where a page that is
//! shared until written is written, and gets a frame of its own. Neighbours: `map`, `object`, `copy`, `run`.

use super::object::Page;
use super::{Map, ObjectId, Vm};
use crate::task::account::{Accounts, Resource, Spent};
use portolan_abi::{Error, PAGE_SIZE, Protection};
use portolan_machine::{Access, Frame, VirtAddr};

/// Why a page cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing is mapped there.
    Unmapped,
    /// What is mapped there does not allow it.
    Protection,
    /// What is mapped there ends before.
    BeyondEnd,
    /// An account is spent, or the machine's memory is.
    Shortage,
    /// A pager is to supply the page first.
    Absent(Absent),
    /// Its pager does not supply the page.
    Refused(Error),
}

/// A page that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Absent {
    /// Of which object.
    pub object: ObjectId,
    /// Which of its pages.
    pub page: u64,
    /// What is to be done to it.
    pub access: Access,
}

impl From<Spent> for Fault {
    fn from(Spent: Spent) -> Fault {
        Fault::Shortage
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        match fault {
            Fault::Unmapped => Error::InvalidAddress,
            Fault::Protection => Error::ProtectionFailure,
            Fault::BeyondEnd => Error::BeyondEnd,
            Fault::Shortage => Error::ResourceShortage,
            // Who cannot wait is told that it is not there.
            Fault::Absent(_) => Error::MemoryError,
            Fault::Refused(error) => error,
        }
    }
}

/// Whether a protection allows an access.
#[inline]
pub fn allows(protection: Protection, access: Access) -> bool {
    match access {
        Access::Read => !protection.is_empty(),
        Access::Write => protection.contains(Protection::WRITE),
        Access::Execute => protection.contains(Protection::EXECUTE),
    }
}

/// Makes the page around `address` present for `access` of the kernel's own, and returns its
/// frame. A device's is never the kernel's to touch.
pub fn resolve(
    vm: &mut Vm,
    accounts: &mut Accounts,
    map: &mut Map,
    address: VirtAddr,
    access: Access,
) -> Result<Frame, Fault> {
    let device = |object: ObjectId| vm.objects[object].device().is_some();
    if map.region_at(address.page().0).is_some_and(|region| device(region.object)) {
        return Err(Fault::Protection);
    }
    touch(vm, accounts, map, address, access)
}

/// Makes the page around `address` present for `access` of user code, and returns its frame.
pub fn touch(
    vm: &mut Vm,
    accounts: &mut Accounts,
    map: &mut Map,
    address: VirtAddr,
    access: Access,
) -> Result<Frame, Fault> {
    let page = address.page();
    let region = *map.region_at(page.0).ok_or(Fault::Unmapped)?;
    if !allows(region.protection, access) {
        return Err(Fault::Protection);
    }
    let number = (region.offset + (page.0 - region.range.start)) / PAGE_SIZE as u64;
    let Page { frame, alone } = vm.object_page(accounts, region.object, number, access)?;
    // No writing while others have it, too.
    let beyond = if alone { Protection::empty() } else { Protection::WRITE };
    let protection = region.protection.difference(beyond);
    let device = vm.objects[region.object].device().is_some();
    let Vm { memory, frames, .. } = vm;
    let account = map.account();
    let mut tables = 0;
    let mut table = || {
        accounts.charge(account, Resource::Frames, 1).ok()?;
        let frame = frames.allocate();
        match frame {
            Some(_) => tables += 1,
            None => accounts.credit(account, Resource::Frames, 1),
        }
        frame
    };
    let entered = match device {
        false => map.pmap.enter(memory, page, frame, protection, &mut table),
        true => map.pmap.enter_device(memory, page, frame, protection, &mut table),
    };
    map.tables += tables;
    entered.map(|_| frame).map_err(|_| Fault::Shortage)
}
