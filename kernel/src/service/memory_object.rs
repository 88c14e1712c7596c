//! Routines behind a memory object's port. Reference: `abi::memory_object`.

use super::Answer;
use super::port::ask_through;
use crate::ipc;
use crate::ipc::message::{CarriedRight, Envelope, Rights};
use crate::ipc::port::{KernelObject, Owner};
use crate::kernel::Kernel;
use crate::task::AccountId;
use crate::vm::ObjectId;
use crate::vm::fault::Absent;
use core::ops::Range;
use portolan_abi::memory_object::{Mapper, ObjectInfo, RESERVE_MAX, Request, SIZE_MAX, Seals, results};
use portolan_abi::{Capacity, Error, PAGE_SIZE, Protection, Result};

pub(super) fn handle(
    k: &mut Kernel,
    object: ObjectId,
    allowed: Protection,
    payer: AccountId,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::Info(_) => {
            let object = &k.vm.objects[object];
            let info = ObjectInfo {
                size: object.size(),
                resident: object.resident(),
                mappings: object.mappings,
                protection: allowed.bits(),
                seals: object.seals.bits(),
                reserved: 0,
            };
            answer.results(&results::Info { info });
            Ok(())
        }
        Request::Derive(request) => {
            let wanted = protection(request.protection)?;
            if wanted.is_empty() {
                return Err(Error::InvalidArgument);
            }
            if !allowed.contains(wanted) {
                return Err(Error::ProtectionFailure);
            }
            answer.right(make_right(k, payer, object, wanted)?);
            Ok(())
        }
        Request::SetSize(request) => {
            require_write(allowed)?;
            set_size(k, object, request.size)
        }
        Request::ChangeSize(request) => {
            require_write(allowed)?;
            if k.vm.objects[object].size() != request.from {
                return Err(Error::ValueDiffers);
            }
            set_size(k, object, request.to)
        }
        Request::Reserve(request) => {
            require_write(allowed)?;
            reserve(k, object, request.offset, request.size)
        }
        Request::Seal(request) => {
            require_write(allowed)?;
            seal(k, object, Seals::from_bits(request.seals).ok_or(Error::InvalidArgument)?)
        }
        Request::Mappers(request) => {
            answer.results(&mappers(k, object, request.after));
            Ok(())
        }
        Request::NotifyUnmapped(_) => {
            let notify = ask_through(rights, |right| matches!(right, CarriedRight::SendOnce(..)))?;
            ipc::request::arm_unmapped(k, payer, object, notify)?;
            rights.clear();
            Ok(())
        }
    }
}

fn require_write(allowed: Protection) -> Result<()> {
    if allowed.contains(Protection::WRITE) { Ok(()) } else { Err(Error::ProtectionFailure) }
}

fn set_size(k: &mut Kernel, object: ObjectId, size: u64) -> Result<()> {
    if size > SIZE_MAX {
        return Err(Error::InvalidArgument);
    }
    k.vm.check_size(object, size)?;
    if size >= k.vm.objects[object].size() {
        return k.vm.grow(&mut k.accounts, object, size);
    }
    let pages = size.div_ceil(PAGE_SIZE as u64);
    if k.tasks.iter().any(|(_, task)| task.map.needs_pages(object, pages)) {
        return Err(Error::InUse);
    }
    // Nothing below may fail.
    let Kernel { tasks, vm, accounts, .. } = k;
    tasks.iter_mut().for_each(|task| task.map.forget_pages(vm, object, pages));
    vm.shrink(accounts, object, size);
    Ok(())
}

/// The first page that has to be there for what is asked, and that its pager has yet to supply.
pub(super) fn absent(k: &Kernel, object: ObjectId, envelope: &Envelope, body: &[u8]) -> Option<Absent> {
    match Request::decode(envelope.id, body, envelope.rights.len()).ok()? {
        Request::Reserve(request) => {
            k.vm.absent(object, pages_to_reserve(k, object, request.offset, request.size).ok()?)
        }
        _ => None,
    }
}

fn pages_to_reserve(k: &Kernel, object: ObjectId, offset: u64, size: u64) -> Result<Range<u64>> {
    let end = offset.checked_add(size).filter(|end| *end <= k.vm.objects[object].size());
    let end = end.filter(|_| (1..=RESERVE_MAX).contains(&size)).ok_or(Error::InvalidArgument)?;
    Ok(offset / PAGE_SIZE as u64..end.div_ceil(PAGE_SIZE as u64))
}

fn reserve(k: &mut Kernel, object: ObjectId, offset: u64, size: u64) -> Result<()> {
    let pages = pages_to_reserve(k, object, offset, size)?;
    Ok(k.vm.reserve_pages(&mut k.accounts, object, pages)?)
}

fn seal(k: &mut Kernel, object: ObjectId, seals: Seals) -> Result<()> {
    if seals.contains(Seals::WRITE) && k.tasks.iter().any(|(_, task)| task.map.may_write(object)) {
        return Err(Error::InUse);
    }
    k.vm.objects[object].seals |= seals;
    Ok(())
}

fn mappers(k: &Kernel, object: ObjectId, mut after: u64) -> results::Mappers {
    let mut listed = results::Mappers { count: 0, list: Default::default() };
    for place in &mut listed.list {
        let later = k.tasks.iter().map(|(_, task)| task).filter(|task| task.serial > after);
        let mapping = later.map(|task| Mapper { task: task.serial, size: task.map.shown(object) });
        let Some(first) = mapping.filter(|mapper| mapper.size > 0).min_by_key(|mapper| mapper.task) else { break };
        (*place, after) = (first, first.task);
        listed.count += 1;
    }
    listed
}

/// The protection with these bits, and with what they imply.
pub(super) fn protection(bits: u32) -> Result<Protection> {
    Protection::from_bits(bits).map(Protection::with_implied).ok_or(Error::InvalidArgument)
}

/// A new right to map an object with at most this protection, paid for by whoever asks.
/// An object that no right stands for and no region maps ends if that fails.
pub(super) fn make_right(
    k: &mut Kernel,
    payer: AccountId,
    object: ObjectId,
    allowed: Protection,
) -> Result<CarriedRight> {
    match ipc::create(k, Owner::Kernel(KernelObject::Memory(object, allowed)), payer, Capacity::DEFAULT) {
        Ok(port) => {
            k.vm.objects[object].ports += 1;
            k.ports[port].send_rights += 1;
            Ok(CarriedRight::Send(port))
        }
        Err(error) => {
            k.vm.release_object(&mut k.accounts, object);
            Err(error)
        }
    }
}
