//! Every kernel routine and trap, while memory runs out under it.
//!
//! For each there is an entry, made certain by the interfaces' own lists. It is called
//! with the first, the second… allocation of the heap failing, that one alone and all
//! from that one on; and with no, one, two… free frames. It succeeds or gives an error of
//! shortage; the invariants hold; then, with nothing failing, it succeeds; and in the end
//! nothing is left.
//!
//! Neighbour: `shortage`, where the calls are many and the messages large.

use crate::harness::{Mailbox, Message, Task, Until, WhenFull, no_right};
use portolan_abi::interface::{Routine, RoutineText};
use portolan_abi::message::Descriptor;
use portolan_abi::notification::Kind;
use portolan_abi::task::{self, Limits, SpecialPort};
use portolan_abi::vm::{self, Inheritance, MapFlags};
use portolan_abi::{Call, Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, RightKind, WordOptions};
use portolan_abi::{call::WordWait, call::number, host, interrupt, io_ports, memory_object, pager, port, thread};
use portolan_machine::sim::heap::Fail;

const PAGE: u64 = PAGE_SIZE as u64;
const HERE: u64 = 0x5000_0000;
const COPY: u32 = Inheritance::Copy as u32;
const SHARE: u32 = Inheritance::Share as u32;
/// More allocations, and frames, than any call here takes.
const MANY: u32 = 200;

/// What the calls are about. Names are the sender's.
struct Stage {
    mailbox: Mailbox,
    own: Name,
    child: Name,
    thread: Name,
    object: Name,
    port: Name,
    interrupt: Name,
    io_ports: Name,
}

impl Stage {
    fn new() -> Stage {
        let mailbox = Mailbox::new(Capacity::Unbounded);
        let sender = &mailbox.sender;
        for task in [sender, &mailbox.receiver] {
            task.load(crate::harness::MEMORY, 0x4_0000);
            task::info(&**task, task.task_self()).expect("a reply port that stays");
        }
        mailbox.sender.send(Message::to(mailbox.to), WhenFull::Return).done().expect("a message to be received");
        let own = sender.task_self();
        let limits = Limits { memory: 60_000, ports: 5, frames: 5 };
        let child = task::create(&**sender, own, [b'c'; 32], limits, 0, 0, no_right()).expect("a child").rights[0];
        let thread = task::thread_create(&**sender, own, HERE, HERE, 0, 1, 0).expect("a thread").rights[0];
        let object = vm::memory_object_create(&**sender, own, 4 * PAGE).expect("an object").rights[0];
        let usable = Protection::READ_WRITE.bits();
        vm::vm_map(&**sender, own, HERE, 4 * PAGE, 0, usable, usable, COPY, 0, no_right()).expect("memory");
        let port = sender.port(Capacity::Bounded(1));
        let first = mailbox.system.first();
        let interrupt = bind(first, 4).expect("a line");
        let interrupt = first.give(sender, interrupt, Disposition::MoveSend);
        let io_ports = claim(first, 0x1f0).expect("I/O ports");
        let io_ports = first.give(sender, io_ports, Disposition::MoveSend);
        Stage { mailbox, own, child, thread, object, port, interrupt, io_ports }
    }
}

impl Drop for Stage {
    /// Tasks do not end with their makers.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = task::terminate(&*self.mailbox.sender, self.child);
        }
    }
}

/// Binds an interrupt line to the first task's notify port.
fn bind(first: &Task, line: u32) -> Result<Name> {
    let port = Descriptor::port(first.notify(), Disposition::MakeSend as u8);
    host::interrupt_bind(&**first, first.host_port(), line, 0, port).map(|reply| reply.rights[0])
}

fn claim(first: &Task, start: u32) -> Result<Name> {
    host::io_claim(&**first, first.host_port(), start, 8).map(|reply| reply.rights[0])
}

/// Makes a port set.
fn set(s: &Stage) -> Result<Name> {
    let kind = RightKind::PortSet as u32;
    port::port_allocate_name(&*s.mailbox.sender, s.own, Name::NULL, kind, 0, 0).map(|reply| reply.results.name)
}

/// Sees that the kernel caches a message for the port, which is full.
fn let_cache(s: &Stage) -> Result<()> {
    for when_full in [WhenFull::Return, WhenFull::Cache] {
        let sent = s.mailbox.sender.send(Message::by(s.port, Disposition::MakeSend), when_full).result();
        match sent.unwrap_or(Err(Error::SendNoBuffer)) {
            Ok(()) | Err(Error::SendTimedOut | Error::SendWillNotify | Error::SendNotifyInProgress) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes an object with a pager, and gives the control right.
fn paged(s: &Stage) -> Result<Name> {
    let port = Descriptor::port(s.port, Disposition::MakeSend as u8);
    vm::memory_object_create_paged(&*s.mailbox.sender, s.own, 4 * PAGE, 7, port).map(|reply| reply.rights[1])
}

/// The number of a routine or trap, and a call of it.
type Entry = (u32, fn(&Stage) -> Result<()>);

/// By message id. `host::exit` is not here: it ends the machine, and gives no answer.
const ROUTINES: &[Entry] = &[
    (task::Terminate::ID, |s| task::terminate(&*s.mailbox.sender, s.child).map(drop)),
    (task::Create::ID, |s| {
        let limits = Limits { memory: 60_000, ports: 5, frames: 5 };
        task::create(&*s.mailbox.sender, s.own, [b'd'; 32], limits, 0, 0, no_right())
            .map(|reply| assert!(task::terminate(&*s.mailbox.sender, reply.rights[0]).is_ok()))
    }),
    (task::Info::ID, |s| task::info(&*s.mailbox.sender, s.own).map(drop)),
    (task::ThreadCreate::ID, |s| task::thread_create(&*s.mailbox.sender, s.own, HERE, HERE, 0, 1, 0).map(drop)),
    (task::Suspend::ID, |s| task::suspend(&*s.mailbox.sender, s.child).map(drop)),
    (task::Resume::ID, |s| {
        let _ = task::suspend(&*s.mailbox.sender, s.child);
        task::resume(&*s.mailbox.sender, s.child).map(drop)
    }),
    (task::Threads::ID, |s| task::threads(&*s.mailbox.sender, s.own, 0).map(drop)),
    (task::GetSpecialPort::ID, |s| {
        task::get_special_port(&*s.mailbox.sender, s.own, SpecialPort::Kernel as u32, 0).map(drop)
    }),
    (task::SetSpecialPort::ID, |s| {
        let port = Descriptor::port(s.mailbox.to, Disposition::CopySend as u8);
        task::set_special_port(&*s.mailbox.sender, s.own, SpecialPort::Exception as u32, 0, port).map(drop)
    }),
    (task::PortsRegister::ID, |s| {
        let port = Descriptor::port(s.mailbox.to, Disposition::CopySend as u8);
        task::ports_register(&*s.mailbox.sender, s.own, port, no_right(), port, no_right()).map(drop)
    }),
    (task::PortsLookup::ID, |s| task::ports_lookup(&*s.mailbox.sender, s.own).map(drop)),
    (thread::Terminate::ID, |s| thread::terminate(&*s.mailbox.sender, s.thread).map(drop)),
    (thread::Info::ID, |s| thread::info(&*s.mailbox.sender, s.thread).map(drop)),
    (thread::SetPriority::ID, |s| thread::set_priority(&*s.mailbox.sender, s.thread, 2, 0).map(drop)),
    (thread::Abort::ID, |s| thread::abort(&*s.mailbox.sender, s.thread).map(drop)),
    (thread::Suspend::ID, |s| thread::suspend(&*s.mailbox.sender, s.thread).map(drop)),
    (thread::Resume::ID, |s| {
        let _ = thread::suspend(&*s.mailbox.sender, s.thread);
        thread::resume(&*s.mailbox.sender, s.thread).map(drop)
    }),
    (thread::GetState::ID, |s| {
        let _ = thread::suspend(&*s.mailbox.sender, s.thread);
        thread::get_state(&*s.mailbox.sender, s.thread).map(drop)
    }),
    (thread::SetState::ID, |s| {
        let _ = thread::suspend(&*s.mailbox.sender, s.thread);
        let state = thread::get_state(&*s.mailbox.sender, s.thread)?.results.registers;
        thread::set_state(&*s.mailbox.sender, s.thread, state).map(drop)
    }),
    (thread::GetFloatingPoint::ID, |s| {
        let _ = thread::suspend(&*s.mailbox.sender, s.thread);
        thread::get_floating_point(&*s.mailbox.sender, s.thread).map(drop)
    }),
    (thread::SetFloatingPoint::ID, |s| {
        let _ = thread::suspend(&*s.mailbox.sender, s.thread);
        let state = thread::get_floating_point(&*s.mailbox.sender, s.thread)?.results.state;
        thread::set_floating_point(&*s.mailbox.sender, s.thread, state).map(drop)
    }),
    (thread::GetSpecialPort::ID, |s| {
        thread::get_special_port(&*s.mailbox.sender, s.thread, SpecialPort::Kernel as u32, 0).map(drop)
    }),
    (thread::SetSpecialPort::ID, |s| {
        let port = Descriptor::port(s.mailbox.to, Disposition::CopySend as u8);
        thread::set_special_port(&*s.mailbox.sender, s.thread, SpecialPort::Exception as u32, 0, port).map(drop)
    }),
    (thread::Refusal::ID, |s| {
        let port = s.mailbox.receiver.port(Capacity::Zero);
        assert_eq!(s.mailbox.receiver.receive(port).done().err(), Some(Error::ReceiveWouldDeadlock));
        let thread = s.mailbox.receiver.thread_self();
        let asked = thread::refusal(&*s.mailbox.receiver, thread).map(drop);
        s.mailbox.receiver.port_deallocate(port).and(asked)
    }),
    (memory_object::Info::ID, |s| memory_object::info(&*s.mailbox.sender, s.object).map(drop)),
    (memory_object::Derive::ID, |s| memory_object::derive(&*s.mailbox.sender, s.object, 1, 0).map(drop)),
    (memory_object::SetSize::ID, |s| memory_object::set_size(&*s.mailbox.sender, s.object, 65 * PAGE).map(drop)),
    (memory_object::ChangeSize::ID, |s| {
        let size = memory_object::info(&*s.mailbox.sender, s.object)?.results.info.size;
        memory_object::change_size(&*s.mailbox.sender, s.object, size, 65 * PAGE).map(drop)
    }),
    (memory_object::Reserve::ID, |s| memory_object::reserve(&*s.mailbox.sender, s.object, 0, 1).map(drop)),
    (memory_object::Seal::ID, |s| memory_object::seal(&*s.mailbox.sender, s.object, 7, 0).map(drop)),
    (memory_object::NotifyUnmapped::ID, |s| {
        let notify = Descriptor::port(s.port, Disposition::MakeSendOnce as u8);
        memory_object::notify_unmapped(&*s.mailbox.sender, s.object, notify).map(drop)
    }),
    (memory_object::Mappers::ID, |s| memory_object::mappers(&*s.mailbox.sender, s.object, 0).map(drop)),
    (host::GetStatistics::ID, |s| {
        let first = s.mailbox.system.first();
        host::statistics(&**first, first.host_port()).map(drop)
    }),
    (host::Trace::ID, |s| {
        let first = s.mailbox.system.first();
        host::trace(&**first, first.host_port(), 0, 0, 0).map(drop)
    }),
    (host::Info::ID, |s| {
        let first = s.mailbox.system.first();
        host::info(&**first, first.host_port()).map(drop)
    }),
    (host::Time::ID, |s| {
        let first = s.mailbox.system.first();
        host::time(&**first, first.host_port()).map(drop)
    }),
    (host::Processors::ID, |s| {
        let first = s.mailbox.system.first();
        host::processors(&**first, first.host_port()).map(drop)
    }),
    (host::InterruptBind::ID, |s| {
        let first = s.mailbox.system.first();
        bind(first, 5).and_then(|right| first.port_deallocate(right))
    }),
    (host::IoClaim::ID, |s| {
        let first = s.mailbox.system.first();
        claim(first, 0x300).and_then(|right| first.port_deallocate(right))
    }),
    (host::DeviceMemory::ID, |s| {
        let first = s.mailbox.system.first();
        let screen = host::framebuffer(&**first, first.host_port())?.results.framebuffer;
        let claimed = host::device_memory(&**first, first.host_port(), screen.address, PAGE)?;
        first.port_deallocate(claimed.rights[0])
    }),
    (host::GetFramebuffer::ID, |s| {
        let first = s.mailbox.system.first();
        host::framebuffer(&**first, first.host_port()).map(drop)
    }),
    (host::SetSecurityToken::ID, |s| {
        let first = s.mailbox.system.first();
        let task = Descriptor::port(first.kernel_port(), Disposition::CopySend as u8);
        host::set_security_token(&**first, first.host_port(), 1, 2, task).map(drop)
    }),
    (host::Tasks::ID, |s| {
        let first = s.mailbox.system.first();
        let listed = host::tasks(&**first, first.host_port(), 0, 0)?;
        let names = &listed.rights[..listed.results.count as usize];
        names.iter().try_for_each(|name| first.port_deallocate(*name))
    }),
    (host::GetPortObject::ID, |s| {
        let first = s.mailbox.system.first();
        let task = Descriptor::port(first.kernel_port(), Disposition::CopySend as u8);
        host::port_object(&**first, first.host_port(), first.kernel_port(), 0, task).map(drop)
    }),
    (interrupt::Acknowledge::ID, |s| interrupt::acknowledge(&*s.mailbox.sender, s.interrupt).map(drop)),
    (interrupt::Info::ID, |s| interrupt::info(&*s.mailbox.sender, s.interrupt).map(drop)),
    (io_ports::Read::ID, |s| io_ports::read(&*s.mailbox.sender, s.io_ports, 0, 1).map(drop)),
    (io_ports::Write::ID, |s| io_ports::write(&*s.mailbox.sender, s.io_ports, 0, 1, 7, 0).map(drop)),
    (io_ports::WriteBytes::ID, |s| {
        io_ports::write_bytes(&*s.mailbox.sender, s.io_ports, 0, 8, [7; io_ports::BYTES_MAX]).map(drop)
    }),
    (io_ports::Info::ID, |s| io_ports::info(&*s.mailbox.sender, s.io_ports).map(drop)),
    (port::PortStatus::ID, |s| port::port_status(&*s.mailbox.sender, s.own, s.port, 0).map(drop)),
    (port::PortSetBacklog::ID, |s| port::port_set_backlog(&*s.mailbox.sender, s.own, s.port, 2).map(drop)),
    (port::PortInsertRight::ID, |s| {
        let right = Descriptor::port(s.port, Disposition::MakeSendOnce as u8);
        port::port_insert_right(&*s.mailbox.sender, s.own, Name::NULL, 0, right).map(drop)
    }),
    (port::PortType::ID, |s| port::port_type(&*s.mailbox.sender, s.own, s.port, 0).map(drop)),
    (port::PortModRefs::ID, |s| {
        port::port_mod_refs(&*s.mailbox.sender, s.own, s.object, RightKind::Send as u32, 1, 0).map(drop)
    }),
    (port::PortAllocate::ID, |s| port::port_allocate(&*s.mailbox.sender, s.own, 0, 0).map(drop)),
    (port::PortDeallocate::ID, |s| port::port_deallocate(&*s.mailbox.sender, s.own, s.port, 0).map(drop)),
    (port::PortAllocateName::ID, |s| set(s).map(drop)),
    (port::PortDestroy::ID, |s| port::port_destroy(&*s.mailbox.sender, s.own, s.port, 0).map(drop)),
    (port::PortGetRefs::ID, |s| {
        port::port_get_refs(&*s.mailbox.sender, s.own, s.object, RightKind::Send as u32).map(drop)
    }),
    (port::PortNames::ID, |s| port::port_names(&*s.mailbox.sender, s.own, 0, 0).map(drop)),
    (port::PortRename::ID, |s| {
        let new = Name::new(s.port.index() + 70, 3);
        port::port_rename(&*s.mailbox.sender, s.own, s.port, new).map(drop)
    }),
    (port::PortExtractRight::ID, |s| {
        port::port_extract_right(&*s.mailbox.sender, s.own, s.port, Disposition::MakeSend as u32).map(drop)
    }),
    (port::PortSetSeqno::ID, |s| port::port_set_seqno(&*s.mailbox.sender, s.own, s.port, 0, 7).map(drop)),
    (port::PortSetMscount::ID, |s| port::port_set_mscount(&*s.mailbox.sender, s.own, s.port, 7).map(drop)),
    (port::PortRequestNotification::ID, |s| {
        let kind = Kind::DeadName as u32;
        port::port_request_notification(&*s.mailbox.sender, s.own, s.object, kind, 0, 0, no_right()).map(drop)
    }),
    (port::PortCancelNotification::ID, |s| {
        port::port_cancel_notification(&*s.mailbox.sender, s.own, s.object, Kind::DeadName as u32).map(drop)
    }),
    (port::PortSetBackup::ID, |s| {
        let backup = Descriptor::port(s.mailbox.to, Disposition::CopySend as u8);
        port::port_set_backup(&*s.mailbox.sender, s.own, s.port, 0, backup).map(drop)
    }),
    (port::PortMoveMember::ID, |s| {
        set(s).and_then(|set| port::port_move_member(&*s.mailbox.sender, s.own, s.port, set).map(drop))
    }),
    (port::PortGetSetStatus::ID, |s| {
        set(s).and_then(|set| port::port_get_set_status(&*s.mailbox.sender, s.own, set, 0).map(drop))
    }),
    (port::PortSetProtectedPayload::ID, |s| {
        port::port_set_protected_payload(&*s.mailbox.sender, s.own, s.port, 0, 7).map(drop)
    }),
    (port::PortClearProtectedPayload::ID, |s| {
        port::port_clear_protected_payload(&*s.mailbox.sender, s.own, s.port, 0).map(drop)
    }),
    (port::PortCached::ID, |s| {
        let_cache(s)?;
        port::port_cached(&*s.mailbox.sender, s.own, s.port, Name::NULL).map(drop)
    }),
    (port::PortCachedTakeBack::ID, |s| {
        let_cache(s)?;
        port::port_cached_take_back(&*s.mailbox.sender, s.own, s.port, Name::NULL, HERE, 64, 0).map(drop)
    }),
    (port::PortCachedReplace::ID, |s| {
        let_cache(s)?;
        let bytes = Message::to(s.port).text("new").bytes();
        // In memory that is there, as its program could not go on without.
        let place = s.mailbox.sender.buffers().0 + 0x800;
        s.mailbox.sender.store(place, &bytes).result();
        let size = bytes.len() as u32;
        port::port_cached_replace(&*s.mailbox.sender, s.own, s.port, Name::NULL, place, size, 64, HERE).map(drop)
    }),
    (port::PortSetFull::ID, |s| port::port_set_full(&*s.mailbox.sender, s.own, s.port, 1).map(drop)),
    (port::PortSetGeneration::ID, |s| port::port_set_generation(&*s.mailbox.sender, s.own, s.mailbox.to, 1).map(drop)),
    (vm::VmMap::ID, |s| {
        let object = Descriptor::port(s.object, Disposition::CopySend as u8);
        let (readable, flags) = (Protection::READ.bits(), MapFlags::ANYWHERE.bits());
        vm::vm_map(&*s.mailbox.sender, s.own, 0, PAGE, PAGE, readable, readable, COPY, flags, object).map(drop)
    }),
    (vm::VmDeallocate::ID, |s| vm::vm_deallocate(&*s.mailbox.sender, s.own, HERE + PAGE, PAGE).map(drop)),
    (vm::VmProtect::ID, |s| vm::vm_protect(&*s.mailbox.sender, s.own, HERE + PAGE, PAGE, 1, 0).map(drop)),
    (vm::VmInherit::ID, |s| vm::vm_inherit(&*s.mailbox.sender, s.own, HERE + PAGE, PAGE, SHARE, 0).map(drop)),
    (vm::VmRegion::ID, |s| vm::vm_region(&*s.mailbox.sender, s.own, HERE).map(drop)),
    (vm::VmPeek::ID, |s| vm::vm_peek(&*s.mailbox.sender, s.own, HERE + PAGE - 9, 50).map(drop)),
    (vm::VmPoke::ID, |s| vm::vm_poke(&*s.mailbox.sender, s.own, HERE + PAGE - 9, 50, [7; vm::INLINE_MAX]).map(drop)),
    (vm::VmRead::ID, |s| vm::vm_read(&*s.mailbox.sender, s.own, HERE + PAGE - 9, 100).map(drop)),
    (vm::VmWrite::ID, |s| {
        let bytes = Descriptor::memory(HERE + 9, PAGE, 0);
        vm::vm_write(&*s.mailbox.sender, s.own, HERE + PAGE - 9, bytes).map(drop)
    }),
    (vm::VmCopy::ID, |s| vm::vm_copy(&*s.mailbox.sender, s.own, HERE, PAGE, HERE + 2 * PAGE).map(drop)),
    (vm::VmStatistics::ID, |s| vm::vm_statistics(&*s.mailbox.sender, s.own).map(drop)),
    (vm::MemoryObjectCreate::ID, |s| vm::memory_object_create(&*s.mailbox.sender, s.own, PAGE).map(drop)),
    (vm::MemoryObjectCreatePaged::ID, |s| paged(s).map(drop)),
    (pager::Supply::ID, |s| {
        let own = Descriptor::port(s.own, Disposition::CopySend as u8);
        pager::supply(&*s.mailbox.sender, paged(s)?, PAGE, HERE, own).map(drop)
    }),
    (pager::Refuse::ID, |s| pager::refuse(&*s.mailbox.sender, paged(s)?, PAGE, Error::MemoryError.code(), 0).map(drop)),
];

/// By number.
const TRAPS: &[Entry] = &[
    (number::MSG_SEND as u32, |s| {
        let message = Message::to(s.mailbox.to).text([7; 9000]).right(s.port, Disposition::MakeSend);
        s.mailbox.sender.send(message, WhenFull::Wait).done()
    }),
    (number::MSG_RECEIVE as u32, |s| s.mailbox.receiver.receive_now(s.mailbox.port).done().map(drop)),
    (number::MSG_RPC as u32, |s| {
        let message = Message::to(s.mailbox.to).text([7; 500]).reply(s.port, Disposition::MakeSendOnce);
        match s.mailbox.sender.rpc_with(message, WhenFull::Wait, s.port, Some(0), 1024).done() {
            // Nobody replies; the message has been sent.
            Err(Error::ReceiveTimedOut) => Ok(()),
            other => other.map(drop),
        }
    }),
    (number::PORT_ALLOCATE as u32, |s| s.mailbox.sender.port_allocate(Capacity::DEFAULT).map(drop)),
    (number::PORT_DEALLOCATE as u32, |s| s.mailbox.sender.port_deallocate(s.port)),
    (number::TASK_SELF as u32, |s| s.mailbox.sender.call(Call::TaskSelf).done().0),
    (number::TASK_NOTIFY as u32, |s| s.mailbox.sender.call(Call::TaskNotify).done().0),
    (number::THREAD_SELF as u32, |s| s.mailbox.sender.call(Call::ThreadSelf).done().0),
    (number::THREAD_SWITCH as u32, |s| {
        s.mailbox.sender.call(Call::ThreadSwitch { hint: Name::NULL, sleep: None }).done().0
    }),
    (number::CLOCK_GET as u32, |s| s.mailbox.sender.call(Call::ClockGet).done().0),
    (number::DEBUG_WRITE as u32, |s| {
        let address = s.mailbox.sender.buffers().0;
        s.mailbox.sender.call(Call::DebugWrite { address, size: 8 }).done().0
    }),
    (number::WORD_WAIT as u32, |s| {
        let (address, options) = (s.mailbox.sender.buffers().0 + 3 * PAGE_SIZE as u64, WordOptions::empty());
        let wait = WordWait { address, expected: 1, deadline: None, options };
        match s.mailbox.sender.call(Call::WordWait(wait)).done().0 {
            Err(Error::ValueDiffers) => Ok(()),
            other => other,
        }
    }),
    (number::WORD_WAKE as u32, |s| {
        let address = s.mailbox.sender.buffers().0;
        s.mailbox.sender.call(Call::WordWake { address, count: 1 }).done().0
    }),
];

#[test]
fn every_routine_has_an_entry() {
    let memory = [vm::ROUTINES, memory_object::ROUTINES, pager::ROUTINES];
    let machine = [host::ROUTINES, interrupt::ROUTINES, io_ports::ROUTINES];
    let all = [task::ROUTINES, thread::ROUTINES, port::ROUTINES].into_iter().chain(memory).chain(machine);
    for RoutineText { id, name, .. } in all.flatten() {
        let entries = ROUTINES.iter().filter(|(entry, _)| entry == id).count();
        assert_eq!(entries, usize::from(*id != host::Exit::ID), "entries for {name} ({id})");
    }
}

#[test]
fn every_trap_has_an_entry() {
    for number in 0..64 {
        let exists = Call::decode(number, [0; 6]) != Err(Error::InvalidCall);
        assert_eq!(exists, TRAPS.iter().any(|(entry, _)| u64::from(*entry) == number), "an entry for trap {number}");
    }
}

#[test]
fn every_routine_survives_a_heap_that_runs_out() {
    ROUTINES.iter().for_each(while_the_heap_runs_out);
}

#[test]
fn every_trap_survives_a_heap_that_runs_out() {
    TRAPS.iter().for_each(while_the_heap_runs_out);
}

#[test]
fn every_routine_survives_frames_that_run_out() {
    ROUTINES.iter().for_each(while_frames_run_out);
}

#[test]
fn every_trap_survives_frames_that_run_out() {
    TRAPS.iter().for_each(while_frames_run_out);
}

fn while_the_heap_runs_out((id, call): &Entry) {
    let failures: [fn(u32) -> Fail; 2] = [Fail::Once, Fail::From];
    for fail in failures {
        for number in 0..=MANY {
            assert!(number < MANY, "{id}: allocations without an end");
            let stage = Stage::new();
            let (result, failed) = stage.mailbox.system.failing(fail(number), || call(&stage));
            judge(*id, &stage, result, call);
            if !failed {
                assert_eq!(result, Ok(()), "{id}, with nothing failing");
                break;
            }
        }
    }
}

fn while_frames_run_out((id, call): &Entry) {
    for until in [Until::Refused, Until::Done] {
        for count in 0..=MANY {
            assert!(count < MANY, "{id}: frames without an end");
            let stage = Stage::new();
            let (result, refused) = stage.mailbox.system.with_free_frames(count.into(), until, || call(&stage));
            judge(*id, &stage, result, call);
            if !refused {
                assert_eq!(result, Ok(()), "{id}, with frames enough");
                break;
            }
        }
    }
}

/// Success, or shortage and then success.
fn judge(id: u32, stage: &Stage, result: Result<()>, call: &fn(&Stage) -> Result<()>) {
    match result {
        Ok(()) => {}
        Err(Error::ResourceShortage | Error::SendNoBuffer | Error::ReceiveNoSpace) => {
            assert_eq!(call(stage), Ok(()), "{id}, after {result:?}");
        }
        Err(error) => panic!("{id}: {error:?} is no shortage"),
    }
}
