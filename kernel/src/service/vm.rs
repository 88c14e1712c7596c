//! Routines on a task's memory, behind its kernel port. Reference: `abi::vm`.

use super::Answer;
use super::memory_object::{make_right, protection};
use crate::ipc::message::{CarriedRight, Rights};
use crate::ipc::port::{KernelObject, Owner};
use crate::kernel::Kernel;
use crate::task::{Accounts, TaskId};
use crate::vm::map::{Place, Range, Showing};
use crate::vm::{Map, ObjectId, Vm};
use portolan_abi::memory_object::SIZE_MAX;
use portolan_abi::vm::{MapFlags, Request, arguments, results};
use portolan_abi::{Error, PAGE_SIZE, Protection, Result};

pub(super) fn handle(
    k: &mut Kernel,
    target: TaskId,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::VmMap(request) => {
            let address = vm_map(k, target, &request, rights)?;
            answer.results(&results::VmMap { address });
        }
        Request::VmDeallocate(request) => {
            let range = Range::new(request.address, request.size)?;
            let (map, vm, accounts) = memory_of(k, target);
            map.unmap(vm, accounts, range)?;
        }
        Request::VmProtect(request) => {
            let range = Range::new(request.address, request.size)?;
            let protection = usable(request.protection)?;
            let (map, vm, accounts) = memory_of(k, target);
            map.protect(vm, accounts, range, protection)?;
        }
        Request::MemoryObjectCreate(request) => {
            let object = create_object(k, target, request.size)?;
            let payer = k.tasks[target].account;
            answer.right = make_right(k, payer, object, Protection::all())?;
        }
    }
    Ok(())
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

fn vm_map(k: &mut Kernel, target: TaskId, request: &arguments::VmMap, rights: &Rights) -> Result<u64> {
    let protection = usable(request.protection)?;
    let flags = MapFlags::from_bits(request.flags).ok_or(Error::InvalidArgument)?;
    let place = if flags.contains(MapFlags::ANYWHERE) { Place::Anywhere } else { Place::At(request.address) };
    let right = rights.last().map_or(CarriedRight::Null, |carried| carried.right);
    let (object, maximum) = mapped_object(k, target, right, request)?;
    let (map, vm, accounts) = memory_of(k, target);
    let what = Showing { object, offset: request.offset, protection, maximum };
    let mapped = if maximum.contains(protection) {
        map.map(vm, accounts, place, request.size, what)
    } else {
        Err(Error::ProtectionFailure)
    };
    if mapped.is_err() {
        // A new object that was not mapped has no other use.
        vm.release_object(accounts, object);
    }
    mapped
}

/// The object that a right allows to map, or a new one for a null right; and the most
/// that may be done to it.
fn mapped_object(
    k: &mut Kernel,
    target: TaskId,
    right: CarriedRight,
    request: &arguments::VmMap,
) -> Result<(ObjectId, Protection)> {
    match right {
        CarriedRight::Null if request.offset != 0 => Err(Error::InvalidArgument),
        CarriedRight::Null => Ok((create_object(k, target, request.size)?, Protection::all())),
        CarriedRight::Send(port) => match k.ports.get(port).map(|port| port.owner) {
            Some(Owner::Kernel(KernelObject::Memory(object, allowed))) => Ok((object, allowed)),
            _ => Err(Error::InvalidCapability),
        },
        _ => Err(Error::InvalidCapability),
    }
}

fn create_object(k: &mut Kernel, target: TaskId, size: u64) -> Result<ObjectId> {
    if size == 0 || size > SIZE_MAX {
        return Err(Error::InvalidArgument);
    }
    let account = k.tasks[target].account;
    let Kernel { vm, accounts, .. } = k;
    vm.create_object(accounts, account, size.div_ceil(PAGE_SIZE as u64))
}
