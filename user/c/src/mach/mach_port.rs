//! Ports, rights and port sets by the names of Mach 3.
//!
//! Neighbour: `classic_port`.

use super::Out;
use super::code::mach as number;
use super::name_list::{Names, members};
use core::ffi::c_int;
use portolan::abi::message::Descriptor;
use portolan::abi::notification::Kind;
use portolan::abi::port::{self, NameType, Status};
use portolan::abi::{Disposition, RightKind};
use portolan::{Capacity, Error, MsgRpc, Name, Result, classic};

/// `MACH_PORT_RIGHT_…`, in the order of their numbers.
const RIGHTS: [RightKind; 5] =
    [RightKind::Send, RightKind::Receive, RightKind::SendOnce, RightKind::PortSet, RightKind::DeadName];

fn right(number: u32) -> Result<RightKind> {
    RIGHTS.get(number as usize).copied().ok_or(Error::InvalidValue)
}

fn disposition(number: u32) -> Result<Disposition> {
    u8::try_from(number).ok().and_then(Disposition::from_code).ok_or(Error::InvalidValue)
}

/// `mach_port_type_t`: a bit for each kind of right.
fn kind_bits(found: &NameType) -> u32 {
    let NameType { send, receive, send_once, set, dead, .. } = *found;
    let present = [send, receive, send_once, set, dead];
    present.into_iter().enumerate().fold(0, |bits, (right, count)| bits | u32::from(count > 0) << (16 + right))
}

#[unsafe(no_mangle)]
extern "C" fn mach_task_self() -> Name {
    classic::task_self()
}

#[unsafe(no_mangle)]
extern "C" fn mach_thread_self() -> Name {
    classic::thread_self()
}

/// A new port, for a reply; null if there can be none.
#[unsafe(no_mangle)]
extern "C" fn mach_reply_port() -> Name {
    portolan::trap::port_allocate(Capacity::DEFAULT).unwrap_or(Name::NULL)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_allocate(task: Name, kind: u32, name: Out<Name>) -> c_int {
    number(right(kind).and_then(|kind| classic::mach_port_allocate(task, kind)), |new| {
        name.write(new);
    })
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_allocate_name(task: Name, kind: u32, name: Name) -> c_int {
    if !name.is_valid() {
        return Error::InvalidValue.code();
    }
    number(right(kind).and_then(|kind| classic::mach_port_allocate_name(task, kind, name)), drop)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_destroy(task: Name, name: Name) -> c_int {
    number(classic::mach_port_destroy(task, name), drop)
}

/// Receive rights and sets are given up by `mach_port_mod_refs`, so that none goes by mistake.
fn deallocate(task: Name, name: Name) -> Result<()> {
    match classic::port_type(task, name)? {
        NameType { send: 1.., .. } => classic::mach_port_mod_refs(task, name, RightKind::Send, -1),
        NameType { send_once: 1.., .. } => classic::mach_port_mod_refs(task, name, RightKind::SendOnce, -1),
        NameType { dead: 1.., .. } => classic::mach_port_mod_refs(task, name, RightKind::DeadName, -1),
        _ => Err(Error::InvalidRight),
    }
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_deallocate(task: Name, name: Name) -> c_int {
    number(deallocate(task, name), drop)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_get_refs(task: Name, name: Name, kind: u32, references: Out<u32>) -> c_int {
    number(right(kind).and_then(|kind| classic::mach_port_get_refs(task, name, kind)), |count| {
        references.write(count);
    })
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_mod_refs(task: Name, name: Name, kind: u32, delta: i32) -> c_int {
    number(right(kind).and_then(|kind| classic::mach_port_mod_refs(task, name, kind, delta)), drop)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_type(task: Name, name: Name, kind: Out<u32>) -> c_int {
    number(classic::port_type(task, name), |found| {
        kind.write(kind_bits(&found));
    })
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_rename(task: Name, old: Name, new: Name) -> c_int {
    number(classic::port_rename(task, old, new), drop)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_names(
    task: Name,
    names: Out<u64>,
    names_count: Out<u32>,
    kinds: Out<u64>,
    kinds_count: Out<u32>,
) -> c_int {
    number(Names::of(task, kind_bits), |all| all.give(names, names_count, kinds, kinds_count))
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_insert_right(task: Name, name: Name, mine: Name, how: u32) -> c_int {
    number(disposition(how).and_then(|how| classic::mach_port_insert_right(task, name, mine, how)), drop)
}

/// The right is told by what it has arrived as: a send right is `MACH_MSG_TYPE_PORT_SEND`.
fn extract(task: Name, name: Name, how: u32) -> Result<(Name, u32)> {
    let how = disposition(how)?;
    Ok((classic::mach_port_extract_right(task, name, how)?, how.arrives_as() as u32))
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_extract_right(task: Name, name: Name, how: u32, mine: Out<Name>, kind: Out<u32>) -> c_int {
    number(extract(task, name, how), |(right, arrived)| {
        mine.write(right);
        kind.write(arrived);
    })
}

/// `mach_port_status_t`.
#[repr(C)]
struct PortStatus {
    set: Name,
    sequence: u32,
    make_send_count: u32,
    limit: u32,
    messages: u32,
    send_once_rights: u32,
    send_rights: c_int,
    port_destroyed_request: c_int,
    no_senders_request: c_int,
    flags: u32,
}

impl From<Status> for PortStatus {
    fn from(status: Status) -> PortStatus {
        PortStatus {
            set: status.set,
            sequence: status.sequence as u32,
            make_send_count: status.make_send_count,
            limit: status.capacity,
            messages: status.messages,
            send_once_rights: status.send_once_rights,
            send_rights: (status.send_rights > 0).into(),
            port_destroyed_request: (status.requests & Status::PORT_DESTROYED != 0).into(),
            no_senders_request: (status.requests & Status::NO_SENDERS != 0).into(),
            flags: 0,
        }
    }
}

/// What Mach 3 calls `KERN_INVALID_RIGHT`.
fn status_of(task: Name, name: Name) -> Result<Status> {
    classic::port_status(task, name).map_err(not_receiver)
}

fn not_receiver(error: Error) -> Error {
    if error == Error::NotReceiver { Error::InvalidRight } else { error }
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_get_receive_status(task: Name, name: Name, into: Out<PortStatus>) -> c_int {
    number(status_of(task, name), |status| {
        into.write(status.into());
    })
}

/// Flavors of attributes, and how many words they have.
mod flavor {
    pub(super) const LIMITS: c_int = 1;
    pub(super) const RECEIVE_STATUS: c_int = 2;
    pub(super) const LIMITS_COUNT: u32 = 1;
    pub(super) const RECEIVE_STATUS_COUNT: u32 = 10;
    use core::ffi::c_int;
}

/// XNU's way to ask for a status.
#[unsafe(no_mangle)]
unsafe extern "C" fn mach_port_get_attributes(
    task: Name,
    name: Name,
    kind: c_int,
    into: *mut u32,
    count: &mut u32,
) -> c_int {
    let status = match status_of(task, name) {
        Ok(status) => status,
        Err(error) => return number(Err::<(), _>(error), drop),
    };
    match kind {
        flavor::LIMITS if *count >= flavor::LIMITS_COUNT => {
            // SAFETY: the caller passes room for `count` words.
            unsafe { into.write(status.capacity) };
            *count = flavor::LIMITS_COUNT;
        }
        flavor::RECEIVE_STATUS if *count >= flavor::RECEIVE_STATUS_COUNT => {
            // SAFETY: as above.
            unsafe { into.cast::<PortStatus>().write(status.into()) };
            *count = flavor::RECEIVE_STATUS_COUNT;
        }
        flavor::LIMITS | flavor::RECEIVE_STATUS => return Error::Failure.code(),
        _ => return Error::InvalidArgument.code(),
    }
    0
}

fn set_limit(task: Name, name: Name, limit: u32) -> c_int {
    let capacity = Capacity::from_code(limit);
    let set = capacity.and_then(|capacity| classic::port_set_backlog(task, name, capacity));
    number(set.map_err(not_receiver), drop)
}

/// XNU's way to set a limit.
#[unsafe(no_mangle)]
unsafe extern "C" fn mach_port_set_attributes(
    task: Name,
    name: Name,
    kind: c_int,
    from: *const u32,
    count: u32,
) -> c_int {
    if kind != flavor::LIMITS || count < flavor::LIMITS_COUNT {
        return Error::InvalidArgument.code();
    }
    // SAFETY: the caller passes `count` words.
    set_limit(task, name, unsafe { from.read() })
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_set_qlimit(task: Name, name: Name, limit: u32) -> c_int {
    set_limit(task, name, limit)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_set_mscount(task: Name, name: Name, count: u32) -> c_int {
    number(classic::mach_port_set_mscount(task, name, count).map_err(not_receiver), drop)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_set_seqno(task: Name, name: Name, sequence: u32) -> c_int {
    number(classic::mach_port_set_seqno(task, name, sequence.into()).map_err(not_receiver), drop)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_move_member(task: Name, member: Name, set: Name) -> c_int {
    number(classic::mach_port_move_member(task, member, set).map_err(not_receiver), drop)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_get_set_status(task: Name, set: Name, names: Out<u64>, count: Out<u32>) -> c_int {
    number(members(task, set), |(at, length)| {
        names.write(at);
        count.write(length);
    })
}

/// A null right takes a request back.
fn request(task: Name, name: Name, kind: u32, sync: u32, notify: Name, how: u32) -> Result<Name> {
    let kind = Kind::from_id(kind).ok_or(Error::InvalidValue)? as u32;
    if notify == Name::NULL {
        return Ok(port::port_cancel_notification(&MsgRpc, task, name, kind)?.rights[0]);
    }
    let notify = Descriptor::port(notify, disposition(how)? as u8);
    Ok(port::port_request_notification(&MsgRpc, task, name, kind, sync, 0, notify)?.rights[0])
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_request_notification(
    task: Name,
    name: Name,
    kind: u32,
    sync: u32,
    notify: Name,
    how: u32,
    previous: Out<Name>,
) -> c_int {
    number(request(task, name, kind, sync, notify, how), |old| {
        previous.write(old);
    })
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_set_protected_payload(task: Name, name: Name, payload: u64) -> c_int {
    number(classic::mach_port_set_protected_payload(task, name, payload).map_err(not_receiver), drop)
}

#[unsafe(no_mangle)]
extern "C" fn mach_port_clear_protected_payload(task: Name, name: Name) -> c_int {
    number(classic::mach_port_clear_protected_payload(task, name).map_err(not_receiver), drop)
}
