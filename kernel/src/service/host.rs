//! Routines behind the host port. Reference: `abi::host`.

use super::Answer;
use crate::ipc::message::Rights;
use crate::kernel::Kernel;
use portolan_abi::host::{Request, Statistics, TRACE_EVENTS, results};
use portolan_abi::trace::Event;
use portolan_abi::{Error, Result};

pub(super) fn handle(k: &mut Kernel, id: u32, body: &[u8], rights: &mut Rights, answer: &mut Answer) -> Result<()> {
    match Request::decode(id, body, rights.len())? {
        Request::GetStatistics(_) => {
            answer.results(&results::GetStatistics { statistics: statistics(k) });
            Ok(())
        }
        Request::Trace(request) => trace(k, request.cpu, request.from, answer),
        Request::Exit(request) => portolan_machine::exit(request.code == 0),
    }
}

/// How much there is of everything that could leak.
pub fn statistics(k: &Kernel) -> Statistics {
    Statistics {
        free_frames: k.vm.frames.available(),
        total_frames: k.vm.frames.total(),
        heap: (portolan_machine::heap_used() as u64).saturating_sub(spare(k)),
        tasks: k.tasks.len().into(),
        threads: k.threads.len().into(),
        ports: k.ports.len().into(),
        messages: k.messages.len().into(),
        memory_objects: k.vm.objects.len().into(),
        accounts: k.accounts.len().into(),
    }
}

/// Bytes of heap that are kept for the next object of some kind.
fn spare(k: &Kernel) -> u64 {
    let arenas = [
        k.tasks.spare(),
        k.threads.spare(),
        k.ports.spare(),
        k.messages.spare(),
        k.vm.objects.spare(),
        k.accounts.spare(),
        k.timers.spare(),
    ];
    arenas.iter().sum::<usize>() as u64
}

fn trace(k: &Kernel, cpu: u32, from: u64, answer: &mut Answer) -> Result<()> {
    let ring = k.traces.get(cpu as usize).ok_or(Error::InvalidArgument)?;
    let first = ring.first_from(from);
    let mut events = [Event::default(); TRACE_EVENTS];
    let mut count = 0;
    for (slot, event) in events.iter_mut().zip(ring.iter_from(first)) {
        *slot = *event;
        count += 1;
    }
    answer.results(&results::Trace { first, count, events });
    Ok(())
}
