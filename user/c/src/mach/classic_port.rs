//! Ports, rights and port sets by the names of Mach 2.5.
//!
//! There is no ownership apart from the receive right, and whoever receives may send. Neighbour: `mach_port`.

use super::Out;
use super::code::classic as number;
use super::item::{send_right, sendable};
use super::name_list::{Names, members};
use crate::thread;
use core::ffi::c_int;
use portolan::abi::port::NameType;
use portolan::abi::task::SpecialPort;
use portolan::abi::thread as threads;
use portolan::abi::{AtFull, Generation};
use portolan::{Capacity, Error, MsgRpc, Name, Result, abi, classic};

/// `PORT_TYPE_…`.
mod kind {
    pub(super) const SEND: u32 = 1;
    pub(super) const RECEIVE_OWN: u32 = 7;
    pub(super) const SET: u32 = 9;
}

/// Send-once rights and dead names are shown as send rights, as by Mach 3 to programs of 2.5.
fn kind_of(kind: &NameType) -> u32 {
    match kind {
        NameType { set: 1.., .. } => kind::SET,
        NameType { receive: 1.., .. } => kind::RECEIVE_OWN,
        _ => kind::SEND,
    }
}

#[unsafe(no_mangle)]
extern "C" fn task_self() -> Name {
    classic::task_self()
}

#[unsafe(no_mangle)]
extern "C" fn task_notify() -> Name {
    classic::task_notify()
}

#[unsafe(no_mangle)]
extern "C" fn thread_self() -> Name {
    classic::thread_self()
}

/// The calling thread's own port for replies; null if there can be none.
#[unsafe(no_mangle)]
extern "C" fn thread_reply() -> Name {
    thread::this().reply_port().unwrap_or(Name::NULL)
}

#[unsafe(no_mangle)]
extern "C" fn port_allocate(task: Name, name: Out<Name>) -> c_int {
    number(classic::port_allocate(task), |new| {
        name.write(new);
    })
}

/// All that there is under the name goes, as Mach 2.5 counts no references.
#[unsafe(no_mangle)]
extern "C" fn port_deallocate(task: Name, name: Name) -> c_int {
    number(classic::mach_port_destroy(task, name), drop)
}

/// What `port_status` says of a name.
struct Status {
    set: Name,
    messages: c_int,
    backlog: c_int,
    is_receiver: bool,
}

fn status(task: Name, name: Name) -> Result<Status> {
    match classic::port_status(task, name) {
        Ok(status) => Ok(Status {
            set: status.set,
            messages: status.messages as c_int,
            backlog: status.capacity as c_int,
            is_receiver: true,
        }),
        Err(Error::NotReceiver) => Ok(Status { set: Name::NULL, messages: -1, backlog: -1, is_receiver: false }),
        Err(error) => Err(error),
    }
}

#[unsafe(no_mangle)]
extern "C" fn port_status(
    task: Name,
    name: Name,
    set: Out<Name>,
    messages: Out<c_int>,
    backlog: Out<c_int>,
    owner: Out<c_int>,
    receiver: Out<c_int>,
) -> c_int {
    number(status(task, name), |status| {
        set.write(status.set);
        messages.write(status.messages);
        backlog.write(status.backlog);
        owner.write(status.is_receiver.into());
        receiver.write(status.is_receiver.into());
    })
}

#[unsafe(no_mangle)]
extern "C" fn port_set_backlog(task: Name, name: Name, backlog: c_int) -> c_int {
    let capacity = Capacity::from_code(backlog as u32);
    number(capacity.and_then(|capacity| classic::port_set_backlog(task, name, capacity)), drop)
}

/// Portolan's own: see `AtFull`.
#[unsafe(no_mangle)]
extern "C" fn port_set_full(task: Name, name: Name, answer: u32) -> c_int {
    number(AtFull::from_code(answer).and_then(|answer| classic::port_set_full(task, name, answer)), drop)
}

/// Portolan's own: see `Generation`.
#[unsafe(no_mangle)]
extern "C" fn port_set_generation(task: Name, name: Name, generation: u32) -> c_int {
    let generation = Generation::from_code(generation);
    number(generation.and_then(|generation| classic::port_set_generation(task, name, generation)), drop)
}

#[unsafe(no_mangle)]
extern "C" fn port_set_backup(task: Name, name: Name, backup: Name, previous: Out<Name>) -> c_int {
    number(abi::port::port_set_backup(&MsgRpc, task, name, 0, sendable(backup)), |reply| {
        previous.write(reply.rights[0]);
    })
}

#[unsafe(no_mangle)]
extern "C" fn port_type(task: Name, name: Name, kind: Out<u32>) -> c_int {
    number(classic::port_type(task, name), |found| {
        kind.write(kind_of(&found));
    })
}

#[unsafe(no_mangle)]
extern "C" fn port_rename(task: Name, old: Name, new: Name) -> c_int {
    number(classic::port_rename(task, old, new), drop)
}

#[unsafe(no_mangle)]
extern "C" fn port_names(
    task: Name,
    names: Out<u64>,
    names_count: Out<u32>,
    kinds: Out<u64>,
    kinds_count: Out<u32>,
) -> c_int {
    number(Names::of(task, kind_of), |all| all.give(names, names_count, kinds, kinds_count))
}

#[unsafe(no_mangle)]
extern "C" fn port_set_allocate(task: Name, set: Out<Name>) -> c_int {
    number(classic::port_set_allocate(task), |new| {
        set.write(new);
    })
}

#[unsafe(no_mangle)]
extern "C" fn port_set_deallocate(task: Name, set: Name) -> c_int {
    number(classic::port_set_deallocate(task, set), drop)
}

#[unsafe(no_mangle)]
extern "C" fn port_set_add(task: Name, set: Name, member: Name) -> c_int {
    if set == Name::NULL {
        return Error::InvalidArgument.code();
    }
    number(classic::port_set_add(task, member, set), drop)
}

#[unsafe(no_mangle)]
extern "C" fn port_set_remove(task: Name, member: Name) -> c_int {
    number(classic::port_set_remove(task, member), drop)
}

#[unsafe(no_mangle)]
extern "C" fn port_set_status(task: Name, set: Name, names: Out<u64>, count: Out<u32>) -> c_int {
    number(members(task, set), |(at, length)| {
        names.write(at);
        count.write(length);
    })
}

#[unsafe(no_mangle)]
extern "C" fn port_insert_send(task: Name, mine: Name, his: Name) -> c_int {
    number(classic::mach_port_insert_right(task, his, mine, send_right(mine, false)), drop)
}

#[unsafe(no_mangle)]
extern "C" fn port_insert_receive(task: Name, mine: Name, his: Name) -> c_int {
    number(classic::port_insert_receive(task, mine, his), drop)
}

#[unsafe(no_mangle)]
extern "C" fn port_extract_send(task: Name, his: Name, mine: Out<Name>) -> c_int {
    number(classic::port_extract_send(task, his), |name| {
        mine.write(name);
    })
}

#[unsafe(no_mangle)]
extern "C" fn port_extract_receive(task: Name, his: Name, mine: Out<Name>) -> c_int {
    number(classic::port_extract_receive(task, his), |name| {
        mine.write(name);
    })
}

/// The notify port's own right is a receive right, which only the task itself has a name for.
fn task_special_port(task: Name, which: c_int) -> Result<Name> {
    if which as u32 == SpecialPort::Notify as u32 && task == classic::task_self() {
        return Ok(classic::task_notify());
    }
    Ok(abi::task::get_special_port(&MsgRpc, task, which as u32, 0)?.rights[0])
}

#[unsafe(no_mangle)]
extern "C" fn task_get_special_port(task: Name, which: c_int, port: Out<Name>) -> c_int {
    number(task_special_port(task, which), |name| {
        port.write(name);
    })
}

#[unsafe(no_mangle)]
extern "C" fn task_set_special_port(task: Name, which: c_int, port: Name) -> c_int {
    number(abi::task::set_special_port(&MsgRpc, task, which as u32, 0, sendable(port)), drop)
}

#[unsafe(no_mangle)]
extern "C" fn thread_get_special_port(thread: Name, which: c_int, port: Out<Name>) -> c_int {
    number(threads::get_special_port(&MsgRpc, thread, which as u32, 0), |reply| {
        port.write(reply.rights[0]);
    })
}

#[unsafe(no_mangle)]
extern "C" fn thread_set_special_port(thread: Name, which: c_int, port: Name) -> c_int {
    number(threads::set_special_port(&MsgRpc, thread, which as u32, 0, sendable(port)), drop)
}
