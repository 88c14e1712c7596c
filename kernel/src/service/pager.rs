//! Routines behind a pager's control port. Reference: `abi::pager`.

use crate::ipc::message::{CarriedRight, Envelope, Rights};
use crate::ipc::pager::{self, PagerId};
use crate::ipc::port::{KernelObject, Owner};
use crate::kernel::Kernel;
use crate::task::TaskId;
use crate::vm::fault::Absent;
use crate::vm::map::Range;
use portolan_abi::pager::Request;
use portolan_abi::{Error, PAGE_SIZE, Result};

pub(super) fn handle(k: &mut Kernel, target: PagerId, id: u32, body: &[u8], rights: &Rights) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::Supply(request) => {
            let from = task_of(k, rights)?;
            pager::supply(k, target, request.offset, from, request.address)
        }
        Request::Refuse(request) => pager::refuse(k, target, request.offset, request.error),
    }
}

/// The first page that has to be there for what is asked, and that another pager has yet to supply.
pub(super) fn absent(k: &Kernel, envelope: &Envelope, body: &[u8]) -> Option<Absent> {
    match Request::decode(envelope.id, body, envelope.rights.len()).ok()? {
        Request::Supply(request) => {
            let range = Range::around(request.address, PAGE_SIZE as u64).ok()?;
            k.tasks[task_of(k, &envelope.rights).ok()?].map.absent(&k.vm, range)
        }
        Request::Refuse(_) => None,
    }
}

/// The task whose kernel port came with a request.
fn task_of(k: &Kernel, rights: &Rights) -> Result<TaskId> {
    let Some(CarriedRight::Send(port)) = rights.last().map(|carried| carried.right) else {
        return Err(Error::InvalidCapability);
    };
    match k.ports.get(port).map(|port| port.owner) {
        Some(Owner::Kernel(KernelObject::Task(task))) => Ok(task),
        _ => Err(Error::InvalidCapability),
    }
}
