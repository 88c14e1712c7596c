//! `fork`, in user space: a copy of this task that goes on from the same call.
//!
//! The kernel has no `fork`. It has a task that inherits memory, names that can be chosen in
//! another task, and a thread's registers that can be read and set; this is made of these. The caller
//! waits in a `msg_rpc` to another thread of its task, which makes the child meanwhile: memory
//! and registers are those of a thread in the middle of a call. In the parent the call ends with an
//! answer, in the child as if it had been interrupted.
//!
//! What the child has: the memory, as each region's inheritance says; one thread; every send right
//! under the same name. A receive right is one task's alone, so the child has a dead name in its
//! place, as for port sets and send-once rights. Invariant: no name of the parent's means
//! anything else in the child. Neighbours: `task`, `thread`, `classic`.

use crate::classic::port_names;
use crate::message::Message;
use crate::right::{ReceiveRight, Right, SendRight};
use crate::start::startup;
use crate::task::Task;
use crate::thread::{self, Thread, spawn};
use crate::{MsgRpc, Result, reply, trap};
use portolan_abi::message::Descriptor;
use portolan_abi::port::{self, NameType};
use portolan_abi::task::{Limits, SpecialPort};
use portolan_abi::{Capacity, Disposition, Error, Name, RightKind};

/// How the child's call ends.
const IN_THE_CHILD: Error = Error::ReceiveInterrupted;

/// Which of the two a thread goes on in.
#[derive(Debug)]
pub enum Fork {
    /// The task that has called, with the new one.
    Parent(Task),
    /// The new task.
    Child,
}

/// Makes a copy of this task, with these limits taken out of this task's account.
/// `bootstrap` is the child's bootstrap port: whom its exit is reported to.
///
/// As in POSIX the child has the calling thread only; what others had locked stays locked there.
///
/// # Errors
/// `ResourceShortage`, `NoSpace`, `InvalidValue` (the name is longer than 32 bytes), `Failure` (this
/// task has renamed its own ports). There is no child then.
pub fn fork(name: &'static str, limits: Limits, bootstrap: SendRight) -> Result<Fork> {
    let port = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let door = port.make_send()?;
    let caller = thread::this()?;
    let hidden = [door.name(), bootstrap.name()];
    let maker = spawn(move || {
        let mut request = port.receive()?;
        let (child, thread) = make(&caller, name, limits, &bootstrap, hidden)?;
        request.answer(Message::new(0).right(child.right()))?;
        // From here on the child may end at any time: the right to it had to be on its way before.
        thread.resume()
    })?;
    match door.rpc(Message::new(0)).map_err(|failure| failure.error) {
        Err(IN_THE_CHILD) => {
            // The thread that made this task is the parent's, and so is its end.
            maker.detach();
            reply::forget();
            Ok(Fork::Child)
        }
        Err(lost) => Err(maker.join()?.err().unwrap_or(lost)),
        Ok(mut answer) => {
            let child = Task::from_right(answer.take_send(0)?);
            if let Err(error) = maker.join()? {
                let _ = child.terminate();
                return Err(error);
            }
            Ok(Fork::Parent(child))
        }
    }
}

/// Makes the child, whose thread goes on where `caller` is. What has been begun ends if something fails.
fn make(
    caller: &Thread,
    name: &str,
    limits: Limits,
    bootstrap: &SendRight,
    hidden: [Name; 2],
) -> Result<(Task, Thread)> {
    let (child, _) = Task::this().create_heir(name, limits, Right::Null)?;
    let made = copy_names(&child, hidden)
        .and_then(|()| set_bootstrap(&child, bootstrap))
        .and_then(|()| copy_thread(caller, &child));
    if made.is_err() {
        let _ = child.terminate();
    }
    made.map(|thread| (child, thread))
}

/// Gives the child every name of this task.
fn copy_names(child: &Task, hidden: [Name; 2]) -> Result<()> {
    let (of_parent, of_child) = (port_names(trap::task_self())?, port_names(child.right().name())?);
    let is_own = |name| of_child.iter().any(|own| own.name == name);
    if ![trap::task_self(), trap::task_notify()].into_iter().all(is_own) {
        return Err(Error::Failure);
    }
    // What the threads do is not for the child to know.
    let threads = Task::this().threads()?;
    let is_hidden = |name| hidden.contains(&name) || threads.iter().any(|thread| thread.right().name() == name);
    for entry in of_parent {
        match of_child.iter().find(|own| own.name == entry.name) {
            Some(own) => add_references(child, own.name, entry.send.saturating_sub(own.send))?,
            None if entry.send > 0 && entry.receive == 0 && !is_hidden(entry.name) => copy_send(child, &entry)?,
            None => allocate_dead(child, entry.name)?,
        }
    }
    Ok(())
}

fn copy_send(child: &Task, entry: &NameType) -> Result<()> {
    let right = Descriptor::port(entry.name, Disposition::CopySend as u8);
    match port::port_insert_right(&MsgRpc, child.right().name(), entry.name, 0, right) {
        Ok(_) => add_references(child, entry.name, entry.send - 1),
        // It has died meanwhile, or is the child's own port.
        Err(Error::InvalidCapability | Error::RightExists) => allocate_dead(child, entry.name),
        Err(error) => Err(error),
    }
}

fn add_references(child: &Task, name: Name, more: u32) -> Result<()> {
    match i32::try_from(more) {
        Ok(more @ 1..) => {
            port::port_mod_refs(&MsgRpc, child.right().name(), name, RightKind::Send as u32, more, 0).map(drop)
        }
        _ => Ok(()),
    }
}

fn allocate_dead(child: &Task, name: Name) -> Result<()> {
    let kind = RightKind::DeadName as u32;
    port::port_allocate_name(&MsgRpc, child.right().name(), name, kind, 0, 0).map(drop)
}

/// Puts the child's bootstrap port under the name by which the parent knows its own.
fn set_bootstrap(child: &Task, bootstrap: &SendRight) -> Result<()> {
    let there = child.right().name();
    if let Some(known) = &startup().bootstrap {
        let right = Descriptor::port(bootstrap.name(), Disposition::CopySend as u8);
        port::port_destroy(&MsgRpc, there, known.name(), 0)?;
        port::port_insert_right(&MsgRpc, there, known.name(), 0, right)?;
    }
    child.set_special_port(SpecialPort::Bootstrap, bootstrap.into())
}

/// Gives the child the thread that waits for this one, suspended.
fn copy_thread(caller: &Thread, child: &Task) -> Result<Thread> {
    let mut registers = caller.registers()?;
    (registers.rax, registers.rdx) = (u64::from(IN_THE_CHILD.code().cast_unsigned()), 0);
    let floating_point = caller.floating_point()?;
    let thread = child.thread_create_suspended(registers.rip, registers.rsp, 0, caller.info()?.priority)?;
    thread.set_registers(registers)?;
    thread.set_floating_point(floating_point)?;
    Ok(thread)
}
