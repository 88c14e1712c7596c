//! The kernel's answers to messages sent to its own ports.
//!
//! A request is handled at once, inside its sender's call. The routine's body has
//! been decoded by the interface definition in `abi`; what a handler returns goes
//! into the reply, and rights it has not consumed are destroyed.
//!
//! Invariant: a request whose body or rights are wrong changes nothing.
//! Neighbours: `ipc::send` calls; `task`, `vm` and `ipc` do the work.

mod host;
mod interrupt;
mod io_ports;
mod memory_object;
mod pager;
mod port;
mod task;
mod thread;
mod vm;

pub use host::statistics;

use crate::ipc::message::{self, Carried, CarriedRight, Content, Enclosure, Envelope, Rights};
use crate::ipc::port::KernelObject;
use crate::ipc::send::{self, Sent};
use crate::ipc::{PortId, death, receive, right};
use crate::kernel::Kernel;
use crate::task::{AccountId, Caller, exception};
use crate::vm::MapCopy;
use crate::vm::copy::Window;
use crate::vm::fault::Absent;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use portolan_abi::interface::{REPLY_OFFSET, ReplyHead};
use portolan_abi::message::Options;
use portolan_abi::{Error, Result, call, error};
use zerocopy::{Immutable, IntoBytes};

/// Most inline bytes that a request has.
const REQUEST_MAX: usize = size_of::<portolan_abi::thread::arguments::SetFloatingPoint>();
/// Bytes of a request that are read together: all that nearly every one has.
const PART: usize = 96;
/// Most inline bytes that a reply has.
const REPLY_MAX: usize = size_of::<ReplyHead>() + size_of::<portolan_abi::host::results::Trace>();

/// What goes into a reply, besides success or failure.
struct Answer {
    body: ArrayVec<u8, REPLY_MAX>,
    rights: Rights,
    enclosures: Vec<Enclosure>,
    /// The port that the reply goes to.
    to: Option<PortId>,
}

impl Answer {
    /// Puts in the results.
    fn results<T: IntoBytes + Immutable>(&mut self, results: &T) {
        self.body.extend(results.as_bytes().iter().copied());
    }

    /// Makes room for so many rights. A routine that gives one needs not ask.
    fn reserve(&mut self, rights: usize) -> Result<()> {
        self.rights.try_reserve(rights).map_err(|_| Error::ResourceShortage)
    }

    /// Puts in memory, for which there is room.
    fn memory(&mut self, copy: MapCopy) {
        self.enclosures.push(Enclosure {
            descriptor: self.rights.len(),
            memory: Some(copy),
            content: Content::Bytes(None),
        });
    }

    /// Puts in a right, or null.
    fn right(&mut self, right: CarriedRight) {
        self.rights.push(Carried::from_kernel(right));
    }
}

/// What a request brings besides its arguments.
struct Brought<'a> {
    rights: &'a mut Rights,
    /// What is left here is let go.
    memory: &'a mut Option<MapCopy>,
    /// Who asks.
    payer: AccountId,
}

/// Handles a request and sends the reply.
#[inline(never)]
pub fn serve(
    k: &mut Kernel,
    me: &Caller,
    object: KernelObject,
    envelope: &mut Envelope,
    window: &Window,
    half: &call::Send,
    then: &Option<call::Receive>,
    options: Options,
) -> Result<Sent> {
    let mut bytes = ArrayVec::new();
    read_body(k, envelope, window, &mut bytes);
    let mut withheld = k.withheld.take();
    if withheld.is_none()
        && let Some(absent) = absent(k, object, envelope, &bytes)
    {
        match send::bring_in_for_request(k, me, absent, envelope, half, options) {
            Ok(waits) => return Ok(waits),
            Err(fault) => withheld = Some(fault.into()),
        }
    }
    // From here on the rights are the kernel's. The one that the request came through
    // is used up last: it may be what keeps the object alive.
    let payer = k.tasks[me.task].account;
    send::hand_over(k, me.task, envelope);
    send::unmap_moved(k, me.task, &envelope.enclosures);
    let fits = envelope.body_size <= REQUEST_MAX && memory_fits(object, envelope);
    let mut memory = envelope.enclosures.first_mut().and_then(|enclosure| enclosure.memory.take());
    message::discard_memory(&mut k.vm, &mut k.accounts, &mut envelope.enclosures);
    let mut rights = core::mem::take(&mut envelope.rights);
    let to = send::port_of(&envelope.reply);
    let mut answer = Answer { body: ArrayVec::new(), rights: Rights::new(), enclosures: Vec::new(), to };
    answer.results(&ReplyHead::default());
    let result = match (object, envelope.destination.right) {
        // Of a kernel port there are no send-once rights but those to reply to exceptions.
        // A reply that is too long is none, nor is what is left of it.
        (KernelObject::Thread(thread), CarriedRight::SendOnce(_, Some(waiter))) => {
            exception::reply(k, thread, waiter, envelope.id, &bytes)
        }
        _ if !fits => Err(Error::BadArguments),
        _ => match withheld {
            Some(error) => Err(error),
            None => {
                let brought = Brought { rights: &mut rights, memory: &mut memory, payer };
                handle(k, object, envelope.id, &bytes, brought, &mut answer)
            }
        },
    };
    if let Some(memory) = memory {
        memory.discard(&mut k.vm, &mut k.accounts);
    }
    death::discard_rights(k, rights);
    send::use_destination(k, &envelope.destination);
    reply(k, me, envelope, result, answer, then)
}

/// Reads the inline bytes of a request, or the first of them. Only so much of the buffer is
/// written as there are.
fn read_body(k: &Kernel, envelope: &Envelope, window: &Window, bytes: &mut ArrayVec<u8, REQUEST_MAX>) {
    let size = envelope.body_size.min(REQUEST_MAX);
    while bytes.len() < size {
        let mut part = [0; PART];
        let part = &mut part[..PART.min(size - bytes.len())];
        window.read(&k.vm.memory, envelope.body_offset() + bytes.len(), part);
        bytes.try_extend_from_slice(part).expect("no more than there is room for");
    }
}

/// The first page that has to be there for what is asked, and that its pager has yet to supply.
fn absent(k: &Kernel, object: KernelObject, envelope: &Envelope, body: &[u8]) -> Option<Absent> {
    if k.pagers.is_empty() {
        return None;
    }
    match object {
        KernelObject::Task(target) if portolan_abi::vm::IDS.contains(&envelope.id) => {
            vm::absent(k, target, envelope, body)
        }
        KernelObject::Task(target) => task::absent(k, target, envelope, body),
        KernelObject::Memory(object, _) => memory_object::absent(k, object, envelope, body),
        KernelObject::Pager(_) => pager::absent(k, envelope, body),
        _ => None,
    }
}

/// Whether a request brings the memory that it should, and no arrays of rights.
fn memory_fits(object: KernelObject, envelope: &Envelope) -> bool {
    let regions = envelope.enclosures.len();
    let wanted = match object {
        KernelObject::Task(_) => portolan_abi::vm::memory_in(envelope.id),
        _ => 0,
    };
    regions == wanted && envelope.enclosures.iter().all(|enclosure| matches!(enclosure.content, Content::Bytes(_)))
}

fn handle(
    k: &mut Kernel,
    object: KernelObject,
    id: u32,
    body: &[u8],
    brought: Brought<'_>,
    answer: &mut Answer,
) -> Result<()> {
    if let KernelObject::Task(target) = object
        && portolan_abi::vm::IDS.contains(&id)
    {
        return vm::handle(k, target, id, body, brought, answer);
    }
    let Brought { rights, payer, .. } = brought;
    match object {
        KernelObject::Task(target) if portolan_abi::port::IDS.contains(&id) => {
            port::handle(k, target, payer, id, body, rights, answer)
        }
        KernelObject::Task(target) => task::handle(k, target, id, body, rights, answer),
        KernelObject::Thread(target) => thread::handle(k, target, id, body, rights, answer),
        KernelObject::Memory(object, protection) => {
            memory_object::handle(k, object, protection, payer, id, body, rights, answer)
        }
        KernelObject::Pager(target) => pager::handle(k, target, id, body, rights),
        KernelObject::Host(access) => host::handle(k, access, payer, id, body, rights, answer),
        KernelObject::IoPorts(range) => io_ports::handle(k, range, id, body, rights, answer),
        KernelObject::Interrupt(line) => interrupt::handle(k, line, id, body, rights, answer),
    }
}

/// Sends the reply, straight into the caller's buffer where that is what it waits for.
fn reply(
    k: &mut Kernel,
    me: &Caller,
    request: &Envelope,
    result: Result<()>,
    mut answer: Answer,
    then: &Option<call::Receive>,
) -> Result<Sent> {
    let head = ReplyHead { code: error::code_of(&result), reserved: 0 };
    answer.body[..size_of::<ReplyHead>()].copy_from_slice(head.as_bytes());
    if result.is_err() {
        answer.body.truncate(size_of::<ReplyHead>());
        // Room that was made for memory is no part of a refusal, and would be kept with it.
        answer.enclosures = Vec::new();
    }
    let number = k.next_number();
    let mut envelope = Envelope::from_kernel(number, request.id.wrapping_add(REPLY_OFFSET), answer.body.len());
    envelope.cause = request.number;
    envelope.descriptors = (answer.rights.len() + answer.enclosures.len()) as u32;
    envelope.rights = answer.rights;
    envelope.enclosures = answer.enclosures;
    let through = request.reply.right;
    if k.threads.get(me.thread).is_none() {
        // The caller has ended itself.
        death::discard_contents(k, &mut envelope);
        right::discard(k, through);
        return Ok(Sent::Blocked);
    }
    if let Some(then) = then
        && let Some(completion) = receive::answer(k, me, through, &mut envelope, &answer.body, then)
    {
        return Ok(Sent::Answered(completion));
    }
    let payer = k.tasks[me.task].account;
    send::send_from_kernel(k, through, &mut envelope, &answer.body, payer);
    Ok(Sent::Done(None))
}

/// The one right of a request that the interface definition says has one.
fn only_right(rights: &mut Rights) -> CarriedRight {
    rights.pop().map_or(CarriedRight::Null, |carried| carried.right)
}
