//! Routines on a task's memory, behind its kernel port. Reference: `abi::vm`.

use super::memory_object::{make_right, protection};
use super::{Answer, Brought};
use crate::ipc::message::{CarriedRight, Envelope, Rights};
use crate::ipc::port::{KernelObject, Owner};
use crate::ipc::{pager, right};
use crate::kernel::Kernel;
use crate::task::{Accounts, TaskId};
use crate::vm::copy::Window;
use crate::vm::fault::Absent;
use crate::vm::map::{End, Place, Range, Showing};
use crate::vm::object::Reach;
use crate::vm::{Map, MapCopy, ObjectId, Vm};
use portolan_abi::memory_object::SIZE_MAX;
use portolan_abi::vm::{INLINE_MAX, Inheritance, MapFlags, RegionInfo, Request, Statistics, arguments, results};
use portolan_abi::{Error, PAGE_SIZE, Protection, Result};
use portolan_machine::Access;

const PAGE: u64 = PAGE_SIZE as u64;

pub(super) fn handle(
    k: &mut Kernel,
    target: TaskId,
    id: u32,
    body: &[u8],
    brought: Brought<'_>,
    answer: &mut Answer,
) -> Result<()> {
    let Brought { rights, memory, payer } = brought;
    match Request::decode(id, body, rights.len())? {
        Request::VmMap(request) => {
            let address = vm_map(k, target, &request, rights)?;
            answer.results(&results::VmMap { address });
        }
        Request::VmDeallocate(request) => {
            let range = Range::new(request.address, request.size)?;
            let (map, vm, accounts) = memory_of(k, target);
            map.cut_at_ends(vm, accounts, range)?;
            // Nothing of the rest may fail, so that it can be done in pieces.
            k.clearing.unmap(target, range);
        }
        Request::VmProtect(request) => {
            let range = Range::new(request.address, request.size)?;
            let (map, vm, accounts) = memory_of(k, target);
            match request.set_maximum {
                0 => map.protect(vm, accounts, range, usable(request.protection)?)?,
                1 => map.set_maximum(vm, accounts, range, protection(request.protection)?)?,
                _ => return Err(Error::InvalidArgument),
            }
        }
        Request::VmInherit(request) => {
            let range = Range::new(request.address, request.size)?;
            let inheritance = inheritance(request.inheritance)?;
            let (map, vm, accounts) = memory_of(k, target);
            map.inherit(vm, accounts, range, inheritance)?;
        }
        Request::VmRegion(request) => {
            let info = region_info(k, target, request.address)?;
            answer.results(&results::VmRegion { info });
        }
        Request::VmPeek(request) => {
            let data = vm_peek(k, target, &request)?;
            answer.results(&results::VmPeek { data });
        }
        Request::VmPoke(request) => vm_poke(k, target, &request)?,
        Request::VmRead(request) => {
            answer.enclosures.try_reserve(1).map_err(|_| Error::ResourceShortage)?;
            let (map, vm, accounts) = memory_of(k, target);
            let copy = MapCopy::take(vm, accounts, map, payer, request.address, request.size)?;
            answer.memory(copy);
        }
        Request::VmWrite(request) => {
            let copy = memory.take().ok_or(Error::InvalidArgument)?;
            let (map, vm, accounts) = memory_of(k, target);
            copy.overwrite(vm, accounts, map, request.address)?;
        }
        Request::VmCopy(request) => vm_copy(k, target, &request)?,
        Request::VmStatistics(_) => answer.results(&results::VmStatistics { statistics: statistics(k, target) }),
        Request::MemoryObjectCreate(request) => {
            let object = create_object(k, target, request.size, Reach::Shared)?;
            let payer = k.tasks[target].account;
            answer.right(make_right(k, payer, object, Protection::all())?);
        }
        Request::MemoryObjectCreatePaged(request) => {
            let [object, control] = create_paged(k, target, &request, rights)?;
            answer.right(object);
            answer.right(control);
        }
    }
    Ok(())
}

/// The first page that has to be there for what is asked, and that its pager has yet to supply.
pub(super) fn absent(k: &Kernel, target: TaskId, envelope: &Envelope, body: &[u8]) -> Option<Absent> {
    let missing = |address, size| k.tasks[target].map.absent(&k.vm, Range::around(address, size).ok()?);
    match Request::decode(envelope.id, body, envelope.rights.len()).ok()? {
        Request::VmPeek(request) => missing(request.address, request.size),
        Request::VmPoke(request) => missing(request.address, request.size),
        Request::VmRead(request) => missing(request.address, request.size),
        Request::VmCopy(request) => {
            missing(request.source, request.size).or_else(|| missing(request.target, request.size))
        }
        Request::VmWrite(request) => {
            let memory = envelope.enclosures.first()?.memory.as_ref()?;
            missing(request.address, memory.size())
        }
        Request::VmMap(request) if request.flags & MapFlags::COPY.bits() != 0 => {
            let CarriedRight::Send(port) = envelope.rights.last()?.right else { return None };
            let Owner::Kernel(KernelObject::Memory(object, _)) = k.ports.get(port)?.owner else { return None };
            let end = request.offset.checked_add(request.size)?.div_ceil(PAGE);
            k.vm.absent(object, request.offset / PAGE..end)
        }
        _ => None,
    }
}

/// A right to an object whose pages a pager supplies, and the pager's right.
fn create_paged(
    k: &mut Kernel,
    target: TaskId,
    request: &arguments::MemoryObjectCreatePaged,
    rights: &mut Rights,
) -> Result<[CarriedRight; 2]> {
    let told_to = rights.last().map_or(CarriedRight::Null, |carried| carried.right);
    let object = create_object(k, target, request.size, Reach::Shared)?;
    let payer = k.tasks[target].account;
    let right = make_right(k, payer, object, Protection::all())?;
    match pager::create(k, payer, object, told_to, request.cookie) {
        Ok(control) => {
            // It is the pager's now.
            rights.pop();
            Ok([right, control])
        }
        Err(error) => {
            right::discard(k, right);
            Err(error)
        }
    }
}

fn memory_of(k: &mut Kernel, task: TaskId) -> (&mut Map, &mut Vm, &mut Accounts) {
    let Kernel { tasks, vm, accounts, .. } = k;
    (&mut tasks[task].map, vm, accounts)
}

/// A protection that a mapping may have.
fn usable(bits: u32) -> Result<Protection> {
    let protection = protection(bits)?;
    if protection.breaks_w_xor_x() { Err(Error::InvalidArgument) } else { Ok(protection) }
}

fn inheritance(code: u32) -> Result<Inheritance> {
    Inheritance::from_code(code).ok_or(Error::InvalidArgument)
}

fn vm_map(k: &mut Kernel, target: TaskId, request: &arguments::VmMap, rights: &Rights) -> Result<u64> {
    let (protection, maximum) = (usable(request.protection)?, protection(request.maximum)?);
    let inheritance = inheritance(request.inheritance)?;
    let flags = MapFlags::from_bits(request.flags).ok_or(Error::InvalidArgument)?;
    let place = if flags.contains(MapFlags::ANYWHERE) { Place::Anywhere } else { Place::At(request.address) };
    let right = rights.last().map_or(CarriedRight::Null, |carried| carried.right);
    let (object, offset, allowed) = mapped_object(k, target, right, request, flags)?;
    let maximum = maximum.intersection(allowed);
    if !maximum.contains(protection) {
        k.vm.release_object(&mut k.accounts, object);
        return Err(Error::ProtectionFailure);
    }
    let (map, vm, accounts) = memory_of(k, target);
    let end = if flags.contains(MapFlags::BEYOND_END) { End::Anywhere } else { End::Behind };
    let what = Showing { object, offset, protection, maximum, inheritance, end };
    // A new object that was not mapped has no other use.
    map.map(vm, accounts, place, request.size, what).inspect_err(|_| vm.release_object(accounts, object))
}

/// The object to map, from which byte, and what may be done to it: what a right stands
/// for, or a copy of it, or fresh memory for a null right.
fn mapped_object(
    k: &mut Kernel,
    target: TaskId,
    right: CarriedRight,
    request: &arguments::VmMap,
    flags: MapFlags,
) -> Result<(ObjectId, u64, Protection)> {
    let port = match right {
        CarriedRight::Null if request.offset != 0 => return Err(Error::InvalidArgument),
        CarriedRight::Null => {
            return Ok((create_object(k, target, request.size, Reach::Private)?, 0, Protection::all()));
        }
        CarriedRight::Send(port) => port,
        _ => return Err(Error::InvalidCapability),
    };
    let Some(Owner::Kernel(KernelObject::Memory(object, allowed))) = k.ports.get(port).map(|port| port.owner) else {
        return Err(Error::InvalidCapability);
    };
    if !flags.contains(MapFlags::COPY) {
        Ok((object, request.offset, k.vm.objects[object].unsealed(allowed)))
    } else if allowed.contains(Protection::READ) {
        let (copy, start) = copy_object(k, target, object, request)?;
        Ok((copy, start * PAGE, Protection::all()))
    } else {
        Err(Error::ProtectionFailure)
    }
}

/// A copy of the part of an object that is to be mapped, and its page that this is from.
fn copy_object(
    k: &mut Kernel,
    target: TaskId,
    object: ObjectId,
    request: &arguments::VmMap,
) -> Result<(ObjectId, u64)> {
    let size = request.size.checked_next_multiple_of(PAGE).filter(|size| *size > 0).ok_or(Error::InvalidArgument)?;
    let end = request.offset.checked_add(size).ok_or(Error::InvalidArgument)?;
    let may_end = MapFlags::from_bits_truncate(request.flags).contains(MapFlags::BEYOND_END);
    let fits = may_end || end / PAGE <= k.vm.objects[object].page_count();
    if !request.offset.is_multiple_of(PAGE) || !fits {
        return Err(Error::InvalidArgument);
    }
    let account = k.tasks[target].account;
    k.vm.copy_object(&mut k.accounts, account, object, request.offset / PAGE..end / PAGE)
}

fn create_object(k: &mut Kernel, target: TaskId, size: u64, reach: Reach) -> Result<ObjectId> {
    if size == 0 || size > SIZE_MAX {
        return Err(Error::InvalidArgument);
    }
    let account = k.tasks[target].account;
    let Kernel { vm, accounts, .. } = k;
    vm.create_object(accounts, account, size.div_ceil(PAGE), reach)
}

fn region_info(k: &Kernel, target: TaskId, address: u64) -> Result<RegionInfo> {
    let region = k.tasks[target].map.regions().next(address).ok_or(Error::InvalidAddress)?;
    let object = &k.vm.objects[region.object];
    Ok(RegionInfo {
        address: region.range.start,
        size: region.range.size(),
        offset: region.offset,
        object_size: object.size(),
        object_resident: object.resident(),
        object_mappings: object.mappings,
        shared: (object.reach == Reach::Shared).into(),
        protection: region.protection.bits(),
        maximum: region.maximum.bits(),
        inheritance: region.inheritance as u32,
        reserved: 0,
    })
}

fn vm_peek(k: &mut Kernel, target: TaskId, request: &arguments::VmPeek) -> Result<[u8; INLINE_MAX]> {
    let mut data = [0; INLINE_MAX];
    let (window, size) = inline_window(k, target, request.address, request.size, Access::Read)?;
    window.read(&k.vm.memory, 0, &mut data[..size]);
    Ok(data)
}

fn vm_poke(k: &mut Kernel, target: TaskId, request: &arguments::VmPoke) -> Result<()> {
    let (window, size) = inline_window(k, target, request.address, request.size, Access::Write)?;
    window.write(&mut k.vm.memory, 0, &request.data[..size]);
    Ok(())
}

/// A window on bytes of the task that fit into a request or reply, and their number.
fn inline_window(k: &mut Kernel, target: TaskId, address: u64, size: u64, access: Access) -> Result<(Window, usize)> {
    let size = usize::try_from(size).ok().filter(|size| (1..=INLINE_MAX).contains(size));
    let size = size.ok_or(Error::InvalidArgument)?;
    let (map, vm, accounts) = memory_of(k, target);
    let mut window = Window::default();
    window.open(vm, accounts, map, address, size, access)?;
    Ok((window, size))
}

fn vm_copy(k: &mut Kernel, target: TaskId, request: &arguments::VmCopy) -> Result<()> {
    let (map, vm, accounts) = memory_of(k, target);
    let copy = MapCopy::take(vm, accounts, map, map.account(), request.source, request.size)?;
    copy.overwrite(vm, accounts, map, request.target)
}

fn statistics(k: &Kernel, target: TaskId) -> Statistics {
    let map = &k.tasks[target].map;
    Statistics {
        virtual_size: map.regions().iter().map(|region| region.range.size()).sum(),
        regions: map.regions().len() as u64,
        tables: map.tables,
        zero_fills: k.vm.counters.zero_fills,
        copies: k.vm.counters.copies,
        free_frames: k.vm.frames.available(),
    }
}
