//! The calls on ports by the names that Mach's manuals give them, for who knows those.
//!
//! Each takes the port of a task and a name in that task, as there; nothing here owns a
//! right. Where Mach 2.5 and Mach 3 name one thing differently, it has both names.
//! Results and errors: [`abi::port`](portolan_abi::port). Neighbours: `trap` for the calls that are
//! traps, `port`, `port_set` and `notification` for the same with owned rights.

use crate::Result;
use crate::interface::MsgRpc;
use alloc::vec::Vec;
use portolan_abi::message::Descriptor;
use portolan_abi::notification::Kind;
use portolan_abi::port::{self, NameType, Status};
use portolan_abi::{AtFull, Capacity, Disposition, Generation, Name, RightKind};

pub use crate::trap::{msg_receive, msg_rpc, msg_send, task_notify, task_self, thread_self, thread_switch};
pub use mach_port_move_member as port_set_add;
pub use port_deallocate as mach_port_deallocate;
pub use port_names as mach_port_names;
pub use port_rename as mach_port_rename;
pub use port_set_backlog as mach_port_set_qlimit;
pub use port_set_status as mach_port_get_set_status;
pub use port_status as mach_port_get_receive_status;
pub use port_type as mach_port_type;

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $result:ty = |$reply:ident| $value:expr,
        $routine:ident($($value_in:expr),*);)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            #[doc = concat!("Those of [`", stringify!($routine), "`](portolan_abi::port::", stringify!($routine), ").")]
            pub fn $name(task: Name $(, $argument: $type)*) -> Result<$result> {
                let $reply = port::$routine(&MsgRpc, task, $($value_in),*)?;
                Ok($value)
            }
        )*
    };
}

calls! {
    /// Makes a port of the default capacity; the name of its receive right.
    port_allocate() -> Name = |reply| reply.results.name, port_allocate(Capacity::DEFAULT.code(), 0);
    /// Gives up one reference of what the name stands for, else all of it.
    port_deallocate(name: Name) -> () = |_reply| (), port_deallocate(name, 0);
    /// What there is of a port whose receive right this is.
    port_status(name: Name) -> Status = |reply| reply.results.status, port_status(name, 0);
    /// Sets how many messages a port holds.
    port_set_backlog(name: Name, backlog: Capacity) -> () = |_reply| (), port_set_backlog(name, backlog.code());
    /// Sets what happens to a message for which the port has no place.
    port_set_full(name: Name, answer: AtFull) -> () = |_reply| (), port_set_full(name, answer.code());
    /// Lets a send right behave, where a mailbox is full, as in one generation of Mach.
    port_set_generation(name: Name, generation: Generation) -> () = |_reply| (),
        port_set_generation(name, generation as u32);
    /// Sets where the receive right of a port goes that would die; returns the former backup.
    port_set_backup(name: Name, backup: Name) -> Name = |reply| reply.rights[0],
        port_set_backup(name, 0, Descriptor::port(backup, Disposition::CopySend as u8));
    /// What a name stands for.
    port_type(name: Name) -> NameType = |reply| reply.results.kind, port_type(name, 0);
    /// Changes a name.
    port_rename(old: Name, new: Name) -> () = |_reply| (), port_rename(old, new);
    /// Makes a port set; its name.
    port_set_allocate() -> Name = |reply| reply.results.name,
        port_allocate_name(Name::NULL, RightKind::PortSet as u32, 0, 0);
    /// Ends a port set, whose members are let go.
    port_set_deallocate(set: Name) -> () = |_reply| (), port_mod_refs(set, RightKind::PortSet as u32, -1, 0);
    /// Takes a port out of its set.
    port_set_remove(member: Name) -> () = |_reply| (), port_move_member(member, Name::NULL);
    /// Gives the task a send right of the caller's, under a name. Where Mach 2.5 says `KERN_FAILURE`, as
    /// the task has rights to the port, it is `RightExists`; under the name it has, one more reference.
    port_insert_send(mine: Name, his: Name) -> Name = |reply| reply.results.name,
        port_insert_right(his, 0, Descriptor::port(mine, Disposition::CopySend as u8));
    /// Gives the task a receive right of the caller's, under a name.
    port_insert_receive(mine: Name, his: Name) -> Name = |reply| reply.results.name,
        port_insert_right(his, 0, Descriptor::port(mine, Disposition::MoveReceive as u8));
    /// Takes a send right out of the task; the caller's name for it. Of several references one, as
    /// Mach 2.5 has no more; and unlike there, also from a name with the receive right.
    port_extract_send(his: Name) -> Name = |reply| reply.rights[0],
        port_extract_right(his, Disposition::MoveSend as u32);
    /// Takes a receive right out of the task; the caller's name for it.
    port_extract_receive(his: Name) -> Name = |reply| reply.rights[0],
        port_extract_right(his, Disposition::MoveReceive as u32);

    /// Makes a receive right, a port set or a dead name.
    mach_port_allocate(right: RightKind) -> Name = |reply| reply.results.name,
        port_allocate_name(Name::NULL, right as u32, capacity_for(right), 0);
    /// Makes a receive right, a port set or a dead name, under a name.
    mach_port_allocate_name(right: RightKind, name: Name) -> () = |_reply| (),
        port_allocate_name(name, right as u32, capacity_for(right), 0);
    /// Gives up all that a name stands for.
    mach_port_destroy(name: Name) -> () = |_reply| (), port_destroy(name, 0);
    /// User references of one kind of right.
    mach_port_get_refs(name: Name, right: RightKind) -> u32 = |reply| reply.results.references,
        port_get_refs(name, right as u32);
    /// Changes the user references of one kind of right.
    mach_port_mod_refs(name: Name, right: RightKind, delta: i32) -> () = |_reply| (),
        port_mod_refs(name, right as u32, delta, 0);
    /// Gives the task a right of the caller's, under a name.
    mach_port_insert_right(name: Name, right: Name, how: Disposition) -> Name = |reply| reply.results.name,
        port_insert_right(name, 0, Descriptor::port(right, how as u8));
    /// Takes a right out of the task; the caller's name for it.
    mach_port_extract_right(name: Name, how: Disposition) -> Name = |reply| reply.rights[0],
        port_extract_right(name, how as u32);
    /// Sets the sequence number of the next message.
    mach_port_set_seqno(name: Name, sequence: u64) -> () = |_reply| (), port_set_seqno(name, 0, sequence);
    /// Sets the make-send count.
    mach_port_set_mscount(name: Name, count: u32) -> () = |_reply| (), port_set_mscount(name, count);
    /// Puts a port into a set; a null set takes it out.
    mach_port_move_member(member: Name, set: Name) -> () = |_reply| (), port_move_member(member, set);
    /// Asks for a notification, through a send-once right made from the receive right
    /// `notify` of the caller; null: to the task's notify port. Returns the former right.
    mach_port_request_notification(name: Name, kind: Kind, sync: u32, notify: Name) -> Name = |reply| reply.rights[0],
        port_request_notification(name, kind as u32, sync, 0,
            Descriptor::port(notify, Disposition::MakeSendOnce as u8));
    /// Sets the number that each message from the port carries.
    mach_port_set_protected_payload(name: Name, payload: u64) -> () = |_reply| (),
        port_set_protected_payload(name, 0, payload);
    /// Messages from the port carry no number any more.
    mach_port_clear_protected_payload(name: Name) -> () = |_reply| (), port_clear_protected_payload(name, 0);
}

const fn capacity_for(right: RightKind) -> u32 {
    if matches!(right, RightKind::Receive) { Capacity::DEFAULT.code() } else { 0 }
}

/// What all names of the task stand for.
///
/// # Errors
/// Those of [`port_names`](portolan_abi::port::port_names).
pub fn port_names(task: Name) -> Result<Vec<NameType>> {
    let (mut names, mut first) = (Vec::new(), 0);
    loop {
        let part = port::port_names(&MsgRpc, task, first, 0)?.results;
        names.extend_from_slice(&part.names[..part.count as usize]);
        if part.next == 0 {
            return Ok(names);
        }
        first = part.next;
    }
}

/// The members of a port set.
///
/// # Errors
/// Those of [`port_get_set_status`](portolan_abi::port::port_get_set_status).
pub fn port_set_status(task: Name, set: Name) -> Result<Vec<Name>> {
    let (mut members, mut first) = (Vec::new(), 0);
    loop {
        let part = port::port_get_set_status(&MsgRpc, task, set, first)?.results;
        members.extend_from_slice(&part.members[..part.count as usize]);
        if part.next == 0 {
            return Ok(members);
        }
        first = part.next;
    }
}
