//! Routines behind a right to a range of I/O ports. Reference: `abi::io_ports`.

use super::Answer;
use crate::ipc::message::Rights;
use crate::kernel::Kernel;
use portolan_abi::io_ports::{Request, results};
use portolan_abi::{Error, Result};
use portolan_machine::{IoRange, Width};

pub(super) fn handle(
    k: &mut Kernel,
    range: IoRange,
    id: u32,
    body: &[u8],
    rights: &mut Rights,
    answer: &mut Answer,
) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::Read(request) => {
            let (port, width) = place(range, request.offset, request.width)?;
            answer.results(&results::Read { value: k.io_ports.read(port, width), reserved: 0 });
        }
        Request::Write(request) => {
            let (port, width) = place(range, request.offset, request.width)?;
            k.io_ports.write(port, width, request.value);
        }
        Request::WriteBytes(request) => {
            let (port, width) = place(range, request.offset, 1)?;
            let bytes = request.bytes.get(..request.count as usize).ok_or(Error::InvalidArgument)?;
            bytes.iter().for_each(|byte| k.io_ports.write(port, width, u32::from(*byte)));
        }
        Request::Info(_) => answer.results(&results::Info { first: range.first(), count: range.count() }),
    }
    Ok(())
}

/// The port at an offset, and the width, if the range has it all.
fn place(range: IoRange, offset: u32, width: u32) -> Result<(u16, Width)> {
    let width = Width::of(width).ok_or(Error::InvalidArgument)?;
    Ok((range.at(offset, width).ok_or(Error::InvalidArgument)?, width))
}
