//! Message passing: a message's journey on one page.
//!
//! ```text
//! message      one call: send, receive, or send and then receive
//!   send       header read once, names -> rights (right::take)
//!     deliver  a thread waits: bytes from page to page, rights -> names
//!     queue    room: the bytes are kept in the kernel (message::keep)
//!     full     as the receiver wants, else the sender (policy): wait, give up, be cached, …
//!   receive    a notice, the oldest message, a waiting sender's message, or wait
//! ```
//!
//! Everything that can fail is checked before anything is changed; a message that
//! could not be sent leaves its sender as it was. Invariant: see `port`.
//! Neighbours: of the kernel's other parts this one uses copying and memory that travels (`vm`), accounts,
//! threads and the scheduler; `service` answers what is sent to kernel ports.

pub mod cached;
pub mod deadlock;
pub mod death;
pub mod interrupt;
pub mod message;
pub mod overflow;
pub mod pager;
pub mod policy;
pub mod port;
pub mod receive;
pub mod request;
pub mod right;
pub mod send;
pub mod set;
pub mod space;

pub use port::{Port, PortId};

use crate::kernel::{Kernel, Outcome};
use crate::task::Caller;
use crate::task::thread::Completion;
use portolan_abi::call;
use portolan_abi::message::Options;

/// `msg_send`, `msg_receive` and `msg_rpc`.
#[inline(always)]
pub fn message(
    k: &mut Kernel,
    me: &Caller,
    send: &Option<call::Send>,
    receive: &Option<call::Receive>,
    options: Options,
) -> Outcome {
    let mut taker = None;
    if let Some(half) = send {
        match send::send(k, me, half, receive, options) {
            // A receive has a timeout of its own.
            Ok(by) => (k.restarted, taker) = (None, by),
            Err(outcome) => return outcome,
        }
    }
    match receive {
        Some(half) => receive::receive(k, me, half, options, taker),
        None => Outcome::Done(Completion::success(0)),
    }
}

/// Makes a port whose receive right the task holds under the name wanted, and returns
/// the name; null leaves it to the kernel.
///
/// # Errors
/// `InvalidValue`, `NameExists`, `ResourceShortage`, `NoSpace`.
#[inline(never)]
pub fn allocate(
    k: &mut Kernel,
    task: crate::task::TaskId,
    wanted: portolan_abi::Name,
    capacity: portolan_abi::Capacity,
) -> portolan_abi::Result<portolan_abi::Name> {
    let Kernel { tasks, accounts, .. } = k;
    let account = tasks[task].account;
    tasks[task].space.reserve_as(accounts, wanted)?;
    let port = create(k, port::Owner::Message, account, capacity)?;
    // Nothing below may fail.
    right::name_port(k, task, port, wanted);
    Ok(right::insert(k, task, message::CarriedRight::Receive(port)))
}

/// Makes a port, charged to an account.
///
/// # Errors
/// `ResourceShortage`.
pub fn create(
    k: &mut Kernel,
    owner: port::Owner,
    account: crate::task::account::AccountId,
    capacity: portolan_abi::Capacity,
) -> portolan_abi::Result<PortId> {
    use crate::task::account::Resource;
    let Kernel { ports, accounts, .. } = k;
    ports.reserve()?;
    accounts.charge(account, Resource::Ports, 1)?;
    if let Err(spent) = accounts.charge(account, Resource::Memory, port::PORT_COST) {
        accounts.credit(account, Resource::Ports, 1);
        return Err(spent.into());
    }
    Ok(ports.insert(Port::new(owner, account, capacity))?)
}

/// Sets a port's capacity and lets in the senders that now have a place.
pub fn set_capacity(k: &mut Kernel, port: PortId, capacity: portolan_abi::Capacity) {
    k.ports[port].capacity = capacity;
    send::admit(k, port);
}
