//! The machine: counts of all there is, the trace, and the end.
//!
//! Each takes the host right, which the kernel gives to the first task and
//! `bootstrap` hands on. Neighbour: [`abi::host`](portolan_abi::host).

use crate::Result;
use crate::interface::MsgRpc;
use crate::right::SendRight;
use portolan_abi::host;
use portolan_abi::host::{Statistics, results};

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

/// Ends the machine: success if `code` is 0. Returns only if that is refused.
pub fn exit(host: &SendRight, code: u32) {
    let _ = host::exit(&MsgRpc, host.name(), code, 0);
}
