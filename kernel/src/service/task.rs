//! Routines behind a task's kernel port. Reference: `abi::task`.

use super::{Answer, only_right};
use crate::ipc::message::{CarriedRight, Rights};
use crate::ipc::right;
use crate::kernel::Kernel;
use crate::task::{self, Start, TaskId, TaskName};
use portolan_abi::task::{CreateFlags, Request, TaskInfo, ThreadFlags, arguments, results};
use portolan_abi::{Error, Result};

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
        Request::Suspend(_) => task::suspend(k, target)?,
        Request::Resume(_) => task::resume(k, target)?,
    }
    Ok(())
}

fn create(
    k: &mut Kernel,
    parent: TaskId,
    request: &arguments::Create,
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    let flags = CreateFlags::from_bits(request.flags).ok_or(Error::InvalidArgument)?;
    let heir_of = flags.contains(CreateFlags::INHERIT).then_some(parent);
    let account = k.accounts.create(k.tasks[parent].account, request.limits)?;
    let child = task::create(k, TaskName(request.name), account, heir_of).inspect_err(|_| k.accounts.close(account))?;
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
        suspensions: task.suspensions,
        limits,
        used,
    }
}

fn thread_create(k: &mut Kernel, target: TaskId, request: &arguments::ThreadCreate, answer: &mut Answer) -> Result<()> {
    let priority = super::thread::priority(request.priority)?;
    let flags = ThreadFlags::from_bits(request.flags).ok_or(Error::InvalidArgument)?;
    let start = Start {
        entry: request.entry,
        stack: request.stack,
        argument: request.argument,
        priority,
        suspensions: flags.contains(ThreadFlags::SUSPENDED).into(),
    };
    let thread = task::create_thread(k, target, start)?;
    let port = k.threads[thread].kernel_port;
    k.ports[port].send_rights += 1;
    answer.right = CarriedRight::Send(port);
    Ok(())
}
