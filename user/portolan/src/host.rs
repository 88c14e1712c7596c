//! The machine: what it is, counts of all there is, the trace, and the end.
//!
//! [`info`], [`time`] and [`processors`] take either host right; a task has the plain one from
//! its starter ([`this`]). The others take the privileged one, which the kernel gives to the first
//! task and `bootstrap` hands on. Neighbour: [`abi::host`](portolan_abi::host).

use crate::Result;
use crate::console;
use crate::interface::MsgRpc;
use crate::right::{Right, SendRight};
use crate::start::startup;
use crate::task::Task;
use alloc::vec::Vec;
use portolan_abi::host::{self, HostInfo, PortObject, Processor, Statistics, results};
use portolan_abi::message::SecurityToken;
use portolan_abi::{Error, Name};

/// The plain host port.
///
/// # Errors
/// `InvalidCapability`: the task was started without it.
pub fn this() -> Result<&'static SendRight> {
    startup().host.as_ref().ok_or(Error::InvalidCapability)
}

/// What the machine and its kernel are.
///
/// # Errors
/// Those of the call.
pub fn info(host: &SendRight) -> Result<HostInfo> {
    Ok(host::info(&MsgRpc, host.name())?.results.info)
}

/// Nanoseconds since the machine started, and the clock's step.
///
/// # Errors
/// Those of the call.
pub fn time(host: &SendRight) -> Result<results::Time> {
    Ok(host::time(&MsgRpc, host.name())?.results)
}

/// The number of processors known, and a list that begins with as many.
///
/// # Errors
/// Those of the call.
pub fn processors(host: &SendRight) -> Result<(usize, [Processor; host::PROCESSORS_MAX])> {
    let told = host::processors(&MsgRpc, host.name())?.results;
    Ok((told.count as usize, told.list))
}

/// How much there is of everything that could leak.
///
/// # Errors
/// Those of the call.
pub fn statistics(host: &SendRight) -> Result<Statistics> {
    Ok(host::statistics(&MsgRpc, host.name())?.results.statistics)
}

/// Trace events of a processor, from number `from` on.
///
/// # Errors
/// `InvalidArgument`: no such processor.
pub fn trace(host: &SendRight, from: u64, cpu: u32) -> Result<results::Trace> {
    Ok(host::trace(&MsgRpc, host.name(), from, cpu, 0)?.results)
}

/// All tasks, in the order in which they were made.
///
/// # Errors
/// `NoAccess`: the right is the plain one. `ResourceShortage`.
pub fn tasks(host: &SendRight) -> Result<Vec<Task>> {
    let (mut tasks, mut after) = (Vec::new(), 0);
    loop {
        let part = host::tasks(&MsgRpc, host.name(), after)?;
        let count = (part.results.count as usize).min(host::TASKS_LISTED);
        tasks.extend(part.rights[..count].iter().map(|name| Task::from_right(SendRight::from_name(*name))));
        if count < host::TASKS_LISTED {
            return Ok(tasks);
        }
        after = part.results.last;
    }
}

/// Which port a name of this task is for, and what the kernel does behind it.
///
/// # Errors
/// `NoAccess`: the right is the plain one. `InvalidName`; `InvalidRight`: the name is a dead one.
pub fn port_object(host: &SendRight, task: &Task, name: Name) -> Result<PortObject> {
    let right = Right::CopySend(task.right()).descriptor();
    Ok(host::port_object(&MsgRpc, host.name(), name, 0, right)?.results.object)
}

/// Gives a task another security token: what its messages say of it, and its children's.
///
/// # Errors
/// `NoAccess`: the right is the plain one.
pub fn set_security_token(host: &SendRight, task: &Task, token: SecurityToken) -> Result<()> {
    let right = Right::CopySend(task.right()).descriptor();
    host::set_security_token(&MsgRpc, host.name(), token.user, token.group, right).map(drop)
}

/// Ends the machine: success if `code` is 0. What was printed before has been written then. Returns
/// only if that is refused.
pub fn exit(host: &SendRight, code: u32) {
    if let Some(console) = console::this() {
        // If it cannot write, waiting would not help.
        let _ = console.flush();
    }
    let _ = host::exit(&MsgRpc, host.name(), code, 0);
}
