//! Routines behind the port of an interrupt. Reference: `abi::interrupt`.

use super::Answer;
use crate::ipc::interrupt;
use crate::ipc::message::Rights;
use crate::kernel::Kernel;
use portolan_abi::Result;
use portolan_abi::interrupt::{Request, results};
use portolan_machine::Line;

pub(super) fn handle(
    k: &mut Kernel,
    line: Line,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::Acknowledge(_) => interrupt::acknowledge(k, line),
        Request::Info(_) => answer.results(&results::Info { info: interrupt::info(k, line) }),
    }
    Ok(())
}
