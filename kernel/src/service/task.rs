//! Routines behind a task's kernel port. Reference: `abi::task`.

use super::{Answer, only_right};
use crate::ipc::message::{CarriedRight, Envelope, Rights};
use crate::ipc::right;
use crate::kernel::Kernel;
use crate::task::{self, Start, TaskId, TaskName, special};
use crate::vm::fault::Absent;
use portolan_abi::task::{
    CreateFlags, REGISTERED_PORTS, Request, SpecialPort, THREADS_LISTED, TaskInfo, ThreadFlags, arguments, results,
};
use portolan_abi::{Error, Result};
use portolan_machine::pace;

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
        Request::Threads(request) => threads(k, target, request.after, answer)?,
        Request::GetSpecialPort(request) => {
            let port = get_special_port(k, target, special_port(request.which)?);
            answer.right(port);
        }
        Request::SetSpecialPort(request) => set_special_port(k, target, special_port(request.which)?, rights)?,
        Request::PortsRegister(_) => register(k, target, rights)?,
        Request::PortsLookup(_) => {
            answer.reserve(REGISTERED_PORTS)?;
            for held in k.tasks[target].special.registered {
                answer.right(special::copy(k, held));
            }
        }
    }
    Ok(())
}

/// The first page that an heir is to get a copy of, and that its pager has yet to supply.
pub(super) fn absent(k: &Kernel, parent: TaskId, envelope: &Envelope, body: &[u8]) -> Option<Absent> {
    match Request::decode(envelope.id, body, envelope.rights.len()).ok()? {
        Request::Create(request) if request.flags & CreateFlags::INHERIT.bits() != 0 => {
            k.tasks[parent].map.absent_to_heir(&k.vm)
        }
        _ => None,
    }
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
    let security = k.tasks[parent].security;
    let account = k.accounts.create(k.tasks[parent].account, request.limits)?;
    let child = task::create(k, TaskName(request.name), security, account, heir_of);
    let child = child.inspect_err(|_| k.accounts.close(account))?;
    // Nothing below may fail.
    k.tasks[child].parent = k.tasks[parent].serial;
    let bootstrap = only_right(rights);
    special::inherit(k, parent, child, bootstrap);
    let bootstrap_name = right::insert(k, child, bootstrap);
    let port = k.tasks[child].kernel_port;
    k.ports[port].send_rights += 1;
    answer.right(CarriedRight::Send(port));
    answer.results(&results::Create { bootstrap_name, reserved: 0 });
    Ok(())
}

/// Instructions that looking at a thread takes.
const PER_THREAD: u32 = 20;

fn threads(k: &mut Kernel, target: TaskId, after: u64, answer: &mut Answer) -> Result<()> {
    answer.reserve(THREADS_LISTED)?;
    let mut listed = results::Threads { last: after, count: 0, reserved: 0 };
    let Kernel { tasks, threads, ports, .. } = k;
    let all = tasks[target].threads.iter(threads).inspect(|_| pace(PER_THREAD));
    let later = all.map(|id| &threads[id]).filter(|thread| thread.serial > after);
    for thread in later.take(THREADS_LISTED) {
        answer.right(right::copy_send(ports, thread.kernel_port));
        listed.last = thread.serial;
        listed.count += 1;
    }
    for _ in listed.count as usize..THREADS_LISTED {
        answer.right(CarriedRight::Null);
    }
    answer.results(&listed);
    Ok(())
}

fn special_port(code: u32) -> Result<SpecialPort> {
    SpecialPort::from_code(code).ok_or(Error::InvalidArgument)
}

fn get_special_port(k: &mut Kernel, target: TaskId, which: SpecialPort) -> CarriedRight {
    let task = &k.tasks[target];
    let held = match which {
        SpecialPort::Kernel => Some(task.kernel_port),
        SpecialPort::Notify => Some(task.notify_port),
        SpecialPort::Exception => task.special.exception,
        SpecialPort::Bootstrap => task.special.bootstrap,
    };
    special::copy(k, held)
}

fn set_special_port(k: &mut Kernel, target: TaskId, which: SpecialPort, rights: &mut Rights) -> Result<()> {
    let right = rights.last().map_or(CarriedRight::Null, |carried| carried.right);
    let special = &mut k.tasks[target].special;
    let place = match which {
        SpecialPort::Kernel => return Err(Error::InvalidArgument),
        SpecialPort::Notify => return special::set_notify_port(k, target, right),
        SpecialPort::Exception => &mut special.exception,
        SpecialPort::Bootstrap => &mut special.bootstrap,
    };
    let old = core::mem::replace(place, special::holdable(right)?);
    rights.clear();
    special::release(k, old);
    Ok(())
}

fn register(k: &mut Kernel, target: TaskId, rights: &mut Rights) -> Result<()> {
    let mut new = [None; REGISTERED_PORTS];
    for (place, carried) in new.iter_mut().zip(rights.iter()) {
        *place = special::holdable(carried.right)?;
    }
    rights.clear();
    let old = core::mem::replace(&mut k.tasks[target].special.registered, new);
    for held in old {
        special::release(k, held);
    }
    Ok(())
}

fn info(k: &Kernel, id: TaskId) -> TaskInfo {
    let task = &k.tasks[id];
    let (limits, used) = k.accounts.report(task.account);
    TaskInfo {
        id: task.serial,
        parent: task.parent,
        name: task.name.0,
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
    answer.right(CarriedRight::Send(port));
    Ok(())
}
