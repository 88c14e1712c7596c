//! The harness, tested: cases that fail, crash, hang and leak on purpose.
//!
//! Each passes only if the runner sees what it did.

use crate::asm;
use crate::case::{Case, Expected, Verdict};
use crate::peer::Peer;
use crate::protocol::{self, routine};
use crate::{holds, port, same, space};
use alloc::vec::Vec;
use portolan::abi::message::{Descriptor, Options};
use portolan::abi::{Capacity, Disposition};
use portolan::interface::MsgRpc;
use portolan::trap;

pub(crate) const CASES: &[Case] = &[
    Case { name: "meta::a_failure_is_seen", run: fail, ending: Expected::Failure },
    Case { name: "meta::an_error_is_a_failure", run: err, ending: Expected::Failure },
    Case { name: "meta::a_crash_is_seen", run: crash, ending: Expected::Crash },
    Case { name: "meta::a_panic_is_seen", run: panic, ending: Expected::Crash },
    Case { name: "meta::a_busy_hang_is_seen", run: spin, ending: Expected::Hang },
    Case { name: "meta::a_waiting_hang_is_seen", run: wait, ending: Expected::Hang },
    Case { name: "meta::a_leaked_port_is_seen", run: leak_port, ending: Expected::Leak },
    Case { name: "meta::leaked_memory_is_seen", run: leak_memory, ending: Expected::Leak },
    Case::new("meta::a_case_starts_clean", starts_clean),
];

/// Run before the others, uncounted, to bring the runner and the kernel into their steady state.
pub(crate) const WARM_UP: Case = Case::new("meta::warm_up", warm_up);

fn warm_up() -> Verdict {
    let peers = [Peer::start()?, Peer::start()?];
    for peer in &peers {
        peer.open(Capacity::DEFAULT)?;
        // As many tasks to end as any case has.
        for _ in 0..300 {
            let right = Descriptor::port(peer.task, Disposition::CopySend as u8);
            routine::adopt(&MsgRpc, protocol::bootstrap(), right)?;
        }
    }
    Ok(())
}

fn fail() -> Verdict {
    same!(1 + 1, 3);
    Ok(())
}

fn err() -> Verdict {
    Ok(trap::port_deallocate(portolan::abi::Name(12_345))?)
}

fn crash() -> Verdict {
    asm::load(0);
    Ok(())
}

fn panic() -> Verdict {
    panic!("on purpose, to see whether the harness sees it")
}

fn spin() -> Verdict {
    loop {
        core::hint::spin_loop();
    }
}

fn wait() -> Verdict {
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    // It could be aborted, so the wait is not refused.
    crate::message::receive_with(port, Options::RCV_INTERRUPT, 0)?;
    Ok(())
}

fn leak_port() -> Verdict {
    let peer = Peer::start()?;
    let (_, right) = peer.open(Capacity::DEFAULT)?;
    // The dead port's right is nothing to keep; the receive right of a port of ours is.
    let mine = trap::port_allocate(Capacity::DEFAULT)?;
    for (name, disposition) in [(right, Disposition::MoveSend), (mine, Disposition::MoveReceive)] {
        routine::keep(&MsgRpc, protocol::bootstrap(), Descriptor::port(name, disposition as u8))?;
    }
    Ok(())
}

fn leak_memory() -> Verdict {
    let object = space::object(16 * space::PAGE)?;
    space::mark(space::map(object, portolan::Protection::READ_WRITE)?, 16, 1);
    routine::keep(&MsgRpc, protocol::bootstrap(), Descriptor::port(object, Disposition::MoveSend as u8))?;
    Ok(())
}

fn starts_clean() -> Verdict {
    let info = portolan::task::Task::this().info()?;
    // Bootstrap, task, thread and notify port, and a reply port.
    holds!(info.names <= 8, info.names);
    same!(info.threads, 1);
    let names: Vec<u32> = [trap::task_self(), trap::task_notify(), trap::thread_self()].map(|name| name.0).to_vec();
    holds!(names.iter().all(|name| port::kind(portolan::Name(*name)).is_ok()), names);
    Ok(())
}
