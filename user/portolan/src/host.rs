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
use portolan_abi::task::TaskInfo;
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
    let (mut tasks, mut next) = (Vec::new(), 0);
    loop {
        let part = host::tasks(&MsgRpc, host.name(), next, 0)?;
        let count = (part.results.count as usize).min(host::TASKS_LISTED);
        let rights = part.rights[..count].iter().map(|name| Task::from_right(SendRight::from_name(*name)));
        tasks.extend(part.results.ids.into_iter().zip(rights));
        // A list that goes round in a circle is believed no more.
        if part.results.next <= next {
            tasks.sort_by_key(|(id, _)| *id);
            return Ok(tasks.into_iter().map(|(_, task)| task).collect());
        }
        next = part.results.next;
    }
}

/// Ends the tasks that the task with this id has made, those that they have made, and so on; what each was. That task itself should
/// have ended, and so make no more.
///
/// # Errors
/// Those of [`tasks`].
pub fn end_family(host: &SendRight, id: u64) -> Result<Vec<TaskInfo>> {
    let mut ended: Vec<TaskInfo> = Vec::new();
    loop {
        let before = ended.len();
        for task in tasks(host)? {
            if let Ok(info) = task.info()
                && (info.parent == id || ended.iter().any(|ended| ended.id == info.parent))
            {
                // It may have ended by itself.
                let _ = task.terminate();
                ended.push(info);
            }
        }
        // While they were looked for, those that still lived may have made more.
        if ended.len() == before {
            return Ok(ended);
        }
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
