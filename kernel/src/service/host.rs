//! Routines behind the host ports. Reference: `abi::host`.

use super::Answer;
use super::memory_object::make_right;
use crate::ipc::message::{CarriedRight, Rights};
use crate::ipc::port::{HostAccess, KernelObject, Owner};
use crate::ipc::{self, PortId, interrupt, right};
use crate::kernel::Kernel;
use crate::task::{AccountId, TaskId};
use crate::vm::device;
use portolan_abi::host::{
    CLOCK_RESOLUTION, Framebuffer, HostInfo, ObjectKind, PROCESSORS_MAX, PixelFormat, PortObject, Processor, Request,
    Statistics, TASKS_LISTED, TRACE_EVENTS, results,
};
use portolan_abi::message::SecurityToken;
use portolan_abi::trace::Event;
use portolan_abi::{Capacity, Error, PAGE_SIZE, Protection, Result};
use portolan_machine::{IoRange, Line};

/// Most slots that one part of the list of tasks looks at.
const SLOTS_LOOKED_AT: u32 = 32;

pub(super) fn handle(
    k: &mut Kernel,
    access: HostAccess,
    payer: AccountId,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match (Request::decode(id, body, rights.len())?, access) {
        (Request::Info(_), _) => answer.results(&results::Info { info: info(k) }),
        (Request::Time(_), _) => answer.results(&results::Time { now: k.now.0, resolution: CLOCK_RESOLUTION }),
        (Request::Processors(_), _) => processors(k, answer),
        (Request::GetFramebuffer(_), _) => {
            let framebuffer = k.framebuffer.map(framebuffer).ok_or(Error::Failure)?;
            answer.results(&results::GetFramebuffer { framebuffer });
        }
        (_, HostAccess::Plain) => return Err(Error::NoAccess),
        (Request::GetStatistics(_), _) => answer.results(&results::GetStatistics { statistics: statistics(k) }),
        (Request::Trace(request), _) => trace(k, request.cpu, request.from, answer)?,
        (Request::InterruptBind(request), _) => answer.right(interrupt_bind(k, payer, request.line, rights)?),
        (Request::IoClaim(request), _) => answer.right(io_claim(k, payer, request.first, request.count)?),
        (Request::DeviceMemory(request), _) => {
            let range = device::range(request.address, request.size)?;
            let object = k.vm.claim_device(&mut k.accounts, payer, range)?;
            answer.right(make_right(k, payer, object, Protection::READ_WRITE)?);
        }
        (Request::SetSecurityToken(request), _) => {
            let token = SecurityToken { user: request.user, group: request.group };
            let task = named_task(k, rights)?;
            k.tasks[task].security = token;
        }
        (Request::Tasks(request), _) => tasks(k, request.first, answer)?,
        (Request::GetPortObject(request), _) => {
            let task = named_task(k, rights)?;
            let port = right::port(k, task, request.name)?;
            answer.results(&results::GetPortObject { object: port_object(k, port) });
        }
        (Request::Exit(request), _) => portolan_machine::exit(request.code == 0),
    }
    Ok(())
}

fn info(k: &Kernel) -> HostInfo {
    HostInfo {
        name: padded("Portolan"),
        version: padded(env!("CARGO_PKG_VERSION")),
        memory: k.vm.frames.total() * PAGE_SIZE as u64,
        page_size: PAGE_SIZE as u32,
        processors: k.traces.len() as u32,
        door: k.door as u32,
        reserved: 0,
    }
}

fn padded(text: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

/// Each processor that runs threads has a trace.
fn processors(k: &Kernel, answer: &mut Answer) {
    let mut list = [Processor::default(); PROCESSORS_MAX];
    let count = k.traces.len() as u32;
    for (number, processor) in (0..count).zip(&mut list) {
        *processor = Processor { number, running: 1 };
    }
    answer.results(&results::Processors { count, reserved: 0, list });
}

fn framebuffer(found: portolan_machine::Framebuffer) -> Framebuffer {
    let format = match found.format {
        portolan_machine::PixelFormat::Rgb => PixelFormat::Rgb,
        portolan_machine::PixelFormat::Bgr => PixelFormat::Bgr,
        portolan_machine::PixelFormat::Grey => PixelFormat::Grey,
        portolan_machine::PixelFormat::Unknown => PixelFormat::Unknown,
    };
    Framebuffer {
        address: found.address.0,
        width: found.width as u32,
        height: found.height as u32,
        stride: found.stride as u32,
        bytes_per_pixel: found.bytes_per_pixel as u32,
        format: format as u32,
        reserved: 0,
    }
}

fn interrupt_bind(k: &mut Kernel, payer: AccountId, line: u32, rights: &mut Rights) -> Result<CarriedRight> {
    let line = Line::new(line).ok_or(Error::InvalidArgument)?;
    let told_to = rights.last().map_or(CarriedRight::Null, |carried| carried.right);
    let bound = interrupt::bind(k, payer, line, told_to)?;
    // It is the binding's now.
    rights.pop();
    Ok(bound)
}

/// The task whose kernel port is in a request.
fn named_task(k: &Kernel, rights: &Rights) -> Result<TaskId> {
    let Some(CarriedRight::Send(port)) = rights.last().map(|carried| carried.right) else {
        return Err(Error::InvalidCapability);
    };
    match k.ports.get(port).map(|port| port.owner) {
        Some(Owner::Kernel(KernelObject::Task(task))) => Ok(task),
        _ => Err(Error::InvalidCapability),
    }
}

/// Those in the slots from this one on, of which so many are looked at that the call takes bounded time.
fn tasks(k: &mut Kernel, first: u32, answer: &mut Answer) -> Result<()> {
    answer.reserve(TASKS_LISTED)?;
    let Kernel { tasks, ports, .. } = k;
    let mut listed = results::Tasks { next: 0, count: 0, ids: [0; TASKS_LISTED] };
    let mut slot = first;
    let end = tasks.slots().min(first.saturating_add(SLOTS_LOOKED_AT));
    while slot < end && (listed.count as usize) < TASKS_LISTED {
        if let Some((_, task)) = tasks.at(slot).filter(|(_, task)| !task.has_ended()) {
            answer.right(right::copy_send(ports, task.kernel_port));
            listed.ids[listed.count as usize] = task.serial;
            listed.count += 1;
        }
        slot += 1;
    }
    if slot < tasks.slots() {
        listed.next = slot;
    }
    for _ in listed.count as usize..TASKS_LISTED {
        answer.right(CarriedRight::Null);
    }
    answer.results(&listed);
    Ok(())
}

fn port_object(k: &Kernel, port: PortId) -> PortObject {
    let (kind, id, index) = match k.ports[port].owner {
        Owner::Task(..) | Owner::Message | Owner::Dead => (ObjectKind::Queue, 0, 0),
        Owner::Set(..) => (ObjectKind::Set, 0, 0),
        Owner::Kernel(object) => match object {
            KernelObject::Task(task) => (ObjectKind::Task, k.tasks[task].serial, task.index()),
            KernelObject::Thread(thread) => (ObjectKind::Thread, k.threads[thread].serial, thread.index()),
            KernelObject::Memory(object, _) => (ObjectKind::Memory, 0, object.index()),
            KernelObject::Pager(pager) => (ObjectKind::Pager, 0, pager.index()),
            KernelObject::Host(HostAccess::Plain) => (ObjectKind::Host, 0, 0),
            KernelObject::Host(HostAccess::Privileged) => (ObjectKind::HostPrivileged, 0, 0),
            KernelObject::Interrupt(line) => (ObjectKind::Interrupt, line.number().into(), 0),
            KernelObject::IoPorts(range) => (ObjectKind::IoPorts, range.first().into(), 0),
        },
    };
    PortObject { port: port.index(), kind: kind as u32, id, index, reserved: 0 }
}

fn io_claim(k: &mut Kernel, payer: AccountId, first: u32, count: u32) -> Result<CarriedRight> {
    let range = IoRange::new(first, count).ok_or(Error::InvalidArgument)?;
    if IoRange::OWN.iter().any(|own| own.overlaps(range)) {
        return Err(Error::NoAccess);
    }
    if k.claims.touch(range) {
        return Err(Error::NoSpace);
    }
    let port = ipc::create(k, Owner::Kernel(KernelObject::IoPorts(range)), payer, Capacity::DEFAULT)?;
    // Nothing below may fail.
    k.ports[port].send_rights += 1;
    k.claim_io(range);
    Ok(CarriedRight::Send(port))
}

/// How much there is of everything that could leak.
pub fn statistics(k: &Kernel) -> Statistics {
    Statistics {
        free_frames: k.vm.frames.available(),
        total_frames: k.vm.frames.total(),
        heap: (portolan_machine::heap_used() as u64).saturating_sub(spare(k)),
        tasks: k.tasks.len().into(),
        threads: k.threads.len().into(),
        ports: k.ports.len().into(),
        messages: k.messages.len().into(),
        memory_objects: k.vm.objects.len().into(),
        accounts: k.accounts.len().into(),
        names: k.tasks.iter().map(|(_, task)| u64::from(task.space.len())).sum(),
        regions: k.tasks.iter().map(|(_, task)| task.map.regions().len() as u64).sum(),
        deadlines: u64::from(k.timers.len()),
        interrupts: k.bindings.iter().flatten().count() as u64,
        io_ports: k.claims.count(),
    }
}

/// Bytes of heap that are kept for the next object of some kind.
fn spare(k: &Kernel) -> u64 {
    let arenas = [
        k.tasks.spare(),
        k.threads.spare(),
        k.ports.spare(),
        k.messages.spare(),
        k.vm.objects.spare(),
        k.vm.nodes.spare(),
        k.pagers.spare(),
        k.accounts.spare(),
        k.timers.spare(),
    ];
    arenas.iter().sum::<usize>() as u64
}

fn trace(k: &Kernel, cpu: u32, from: u64, answer: &mut Answer) -> Result<()> {
    let ring = k.traces.get(cpu as usize).ok_or(Error::InvalidArgument)?;
    let first = ring.first_from(from);
    let mut events = [Event::default(); TRACE_EVENTS];
    let mut count = 0;
    for (slot, event) in events.iter_mut().zip(ring.iter_from(first)) {
        *slot = *event;
        count += 1;
    }
    answer.results(&results::Trace { first, count, events });
    Ok(())
}
