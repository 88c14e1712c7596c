//! The traps: one match from call to handler.
//!
//! Invariant: arguments are decoded once, into a typed [`Call`]; handlers never see a
//! register. Neighbours: `run` calls, `ipc` does most of the work.

use crate::ipc::space::Right;
use crate::ipc::{self, port::KernelObject, port::Owner, right};
use crate::kernel::{Kernel, Outcome};
use crate::task::thread::{Completion, State, ThreadId, Wait};
use crate::task::{self, Caller, TaskId, word};
use crate::vm::Fault;
use crate::vm::copy::Window;
use core::hint::cold_path;
use portolan_abi::call::{Call, DEBUG_WRITE_MAX};
use portolan_abi::{Error, Name, Result};
use portolan_machine::{Access, IoRange};

/// Does the call that a thread traps for.
#[inline(always)]
pub fn dispatch(k: &mut Kernel, me: Caller, number: u64, arguments: [u64; 6]) -> Outcome {
    match Call::decode(number, arguments) {
        Ok(Call::Message { send, receive, options }) => ipc::message(k, &me, &send, &receive, options),
        other => {
            // Most calls are messages: the compiler is to keep the registers for those.
            cold_path();
            perform(k, me, other)
        }
    }
}

/// Does a call, if it is one.
#[inline(always)]
pub fn perform(k: &mut Kernel, me: Caller, call: Result<Call>) -> Outcome {
    let Caller { thread, task, .. } = me;
    let result = match call {
        Ok(Call::Message { send, receive, options }) => return ipc::message(k, &me, &send, &receive, options),
        Ok(Call::ThreadSwitch { hint, sleep }) => return switch(k, thread, hint, sleep),
        Ok(Call::PortAllocate(capacity)) => ipc::allocate(k, task, Name::NULL, capacity).map(value),
        Ok(Call::PortDeallocate(name)) => right::deallocate(k, task, name).map(|()| 0),
        Ok(Call::TaskSelf) => task_self(k, task).map(value),
        Ok(Call::TaskNotify) => Ok(value(k.tasks[task].notify_name)),
        Ok(Call::ThreadSelf) => thread_self(k, thread, task).map(value),
        Ok(Call::ClockGet) => Ok(k.now.0),
        Ok(Call::DebugWrite { address, size }) => debug_write(k, task, address, size),
        Ok(Call::WordWait(call)) => return word::wait(k, &me, &call),
        Ok(Call::WordWake { address, count }) => word::wake(k, task, address, count),
        Err(error) => Err(error),
    };
    Outcome::Done(Completion::from(result))
}

fn value(name: Name) -> u64 {
    name.0.into()
}

fn task_self(k: &mut Kernel, id: TaskId) -> Result<Name> {
    let (known, port) = (k.tasks[id].self_name, k.tasks[id].kernel_port);
    let name = task::own_name(k, id, known, port)?;
    k.tasks[id].self_name = name;
    Ok(name)
}

fn thread_self(k: &mut Kernel, me: ThreadId, task: TaskId) -> Result<Name> {
    let (known, port) = (k.threads[me].self_name, k.threads[me].kernel_port);
    let name = task::own_name(k, task, known, port)?;
    k.threads[me].self_name = name;
    Ok(name)
}

/// Gives up the processor, to a named thread if it is ready, and sleeps if asked to.
#[inline(never)]
fn switch(k: &mut Kernel, me: ThreadId, hint: Name, sleep: Option<u32>) -> Outcome {
    let hinted = match hinted_thread(k, me, hint) {
        Ok(hinted) => hinted,
        Err(error) => return Outcome::Done(Completion::failure(error)),
    };
    let Kernel { scheduler, threads, timers, now, .. } = k;
    match sleep {
        Some(ms) => {
            threads[me].state = State::Waiting(Wait::Sleep);
            timers.set(threads, me, now.plus_ms(ms));
        }
        None => {
            threads[me].complete(Completion::success(0));
            scheduler.make_ready(threads, me);
        }
    }
    if let Some(hinted) = hinted {
        scheduler.prefer(threads, hinted);
    }
    Outcome::Blocked
}

fn hinted_thread(k: &Kernel, me: ThreadId, hint: Name) -> Result<Option<ThreadId>> {
    if hint == Name::NULL {
        return Ok(None);
    }
    let space = &k.tasks[k.threads[me].task].space;
    let Right::Port { port, sends: 1.., .. } = space.entry(space.slot(hint)?).right else {
        return Err(Error::InvalidRight);
    };
    match k.ports[port].owner {
        Owner::Kernel(KernelObject::Thread(thread)) => Ok(Some(thread)),
        _ => Err(Error::InvalidRight),
    }
}

#[inline(never)]
fn debug_write(k: &mut Kernel, task: TaskId, address: u64, size: u64) -> Result<u64> {
    if size > DEBUG_WRITE_MAX {
        return Err(Error::InvalidArgument);
    }
    if k.claims.touch(IoRange::CONSOLE) {
        return Err(Error::NoAccess);
    }
    let Kernel { vm, accounts, tasks, console, .. } = k;
    let mut window = Window::default();
    let size = size as usize;
    window.open(vm, accounts, &mut tasks[task].map, address, size, Access::Read).map_err(|fault| match fault {
        Fault::Absent(_) => Error::MemoryError,
        _ => Error::InvalidAddress,
    })?;
    let mut buffer = [0; 256];
    for start in (0..size).step_by(buffer.len()) {
        let part = (size - start).min(buffer.len());
        window.read(&vm.memory, start, &mut buffer[..part]);
        console.write(&buffer[..part]);
    }
    Ok(0)
}
