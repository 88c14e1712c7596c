//! Routines on a task's ports and names, behind its kernel port. Reference: `abi::port`.

use super::Answer;
use crate::ipc::message::{CarriedRight, Rights};
use crate::ipc::{self, right};
use crate::kernel::Kernel;
use crate::task::TaskId;
use portolan_abi::port::{Request, Status, arguments, results};
use portolan_abi::{Capacity, Error, Name, Result, RightKind};

pub(super) fn handle(
    k: &mut Kernel,
    target: TaskId,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
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
    }
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
