//! Routines behind a task's kernel port. Reference: `abi::task`.

use super::memory_object::{make_right, protection};
use super::{Answer, only_right};
use crate::ipc::message::{CarriedRight, Rights};
use crate::ipc::port::{KernelObject, Owner};
use crate::ipc::{self, right};
use crate::kernel::Kernel;
use crate::task::{self, TaskId, TaskName};
use crate::vm::map::{Place, Range, Showing};
use crate::vm::{Map, ObjectId, Vm};
use portolan_abi::memory_object::SIZE_MAX;
use portolan_abi::port::Status;
use portolan_abi::task::{Request, TaskInfo, arguments, results};
use portolan_abi::vm::MapFlags;
use portolan_abi::{Capacity, Error, Name, PAGE_SIZE, Protection, Result, RightKind};

pub(super) fn handle(
    k: &mut Kernel,
    target: TaskId,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::Terminate(_) => task::terminate(k, target),
        Request::Create(request) => create(k, target, &request, rights, answer)?,
        Request::Info(_) => answer.results(&results::Info { info: info(k, target) }),
        Request::ThreadCreate(request) => thread_create(k, target, &request, answer)?,
        Request::PortStatus(request) => {
            let port = right::receive_right(k, target, request.name)?;
            answer.results(&results::PortStatus { status: status(k, port) });
        }
        Request::PortSetBacklog(request) => {
            let port = right::receive_right(k, target, request.name)?;
            ipc::set_capacity(k, port, Capacity::from_code(request.capacity)?);
        }
        Request::PortInsertRight(request) => insert_right(k, target, request.name, rights, answer)?,
        Request::PortType(request) => {
            let kind = right::describe(k, target, request.name)?;
            answer.results(&results::PortType { kind });
        }
        Request::PortModRefs(request) => modify_references(k, target, &request)?,
        Request::PortAllocate(request) => {
            let name = ipc::allocate(k, target, Capacity::from_code(request.capacity)?)?;
            answer.results(&results::PortAllocate { name, reserved: 0 });
        }
        Request::PortDeallocate(request) => right::deallocate(k, target, request.name)?,
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

fn memory_of(k: &mut Kernel, task: TaskId) -> (&mut Map, &mut Vm, &mut crate::task::Accounts) {
    let Kernel { tasks, vm, accounts, .. } = k;
    (&mut tasks[task].map, vm, accounts)
}

fn create(
    k: &mut Kernel,
    parent: TaskId,
    request: &arguments::Create,
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    let account = k.accounts.create(k.tasks[parent].account, request.limits)?;
    let child = task::create(k, TaskName(request.name), account).inspect_err(|_| k.accounts.close(account))?;
    let bootstrap_name = right::insert(k, child, only_right(rights));
    let port = k.tasks[child].kernel_port;
    k.ports[port].send_rights += 1;
    answer.right = CarriedRight::Send(port);
    answer.results(&results::Create { bootstrap_name, reserved: 0 });
    Ok(())
}

fn info(k: &Kernel, id: TaskId) -> TaskInfo {
    let task = &k.tasks[id];
    let (limits, used) = k.accounts.report(task.account);
    TaskInfo {
        id: task.serial,
        threads: task.threads.len(),
        names: task.space.len(),
        regions: task.map.regions().len() as u32,
        reserved: 0,
        limits,
        used,
    }
}

fn thread_create(k: &mut Kernel, target: TaskId, request: &arguments::ThreadCreate, answer: &mut Answer) -> Result<()> {
    let priority = super::thread::priority(request.priority)?;
    let thread = task::create_thread(k, target, request.entry, request.stack, request.argument, priority)?;
    let port = k.threads[thread].kernel_port;
    k.ports[port].send_rights += 1;
    answer.right = CarriedRight::Send(port);
    Ok(())
}

fn status(k: &Kernel, id: ipc::PortId) -> Status {
    let port = &k.ports[id];
    Status {
        capacity: port.capacity.code(),
        messages: port.queue.len(),
        cached: port.cached,
        senders: port.senders.len(),
        receivers: port.receivers.len(),
        send_rights: port.send_rights,
        send_once_rights: port.send_once_rights,
        make_send_count: port.make_send_count,
        sequence: port.sequence,
    }
}

fn insert_right(k: &mut Kernel, target: TaskId, wanted: Name, rights: &mut Rights, answer: &mut Answer) -> Result<()> {
    let carried = rights.last().map_or(CarriedRight::Null, |carried| carried.right);
    let name = right::insert_as(k, target, carried, wanted)?;
    rights.pop();
    answer.results(&results::PortInsertRight { name, reserved: 0 });
    Ok(())
}

fn modify_references(k: &mut Kernel, target: TaskId, request: &arguments::PortModRefs) -> Result<()> {
    let kind = u8::try_from(request.kind).ok().and_then(RightKind::from_code).ok_or(Error::InvalidValue)?;
    right::refresh(k, target, request.name)?;
    right::modify_references(k, target, request.name, kind, request.delta)
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
