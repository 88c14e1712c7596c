//! The benchmarks: what each operation takes, in instructions of the kernel and of
//! the programs' stubs together, and what each object takes, in bytes.
//!
//! It runs on a machine that counts instructions, where two runs give the same
//! figures. Without arguments it measures everything in the tables below and
//! prints one record a figure; `role=NAME` is for the task at the other side.
//!
//! ```text
//! counter, gauge           counting, and making figures of counts
//! ipc, memory, footprint   what is measured
//! hoard, stretch           what is long, and how long interrupts are off meanwhile
//! packet, peer, crowd      what it is measured with
//! ```
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod counter;
mod crowd;
mod footprint;
mod gauge;
mod hoard;
mod ipc;
mod memory;
mod packet;
mod peer;
mod stretch;

use core::fmt;
use gauge::Operation;
use peer::Role;
use portolan::abi::thread::REFUSED_MAX;
use portolan::{Error, Failure, argument, println};

portolan::main!(main);

/// What is counted in instructions. The regions' numbers are fixed: the list may change, they may not.
const OPERATIONS: [Operation; 47] = [
    Operation::new::<1>("null_trap", ipc::null_trap),
    Operation::new::<2>("rpc_0", ipc::rpc::<0>),
    Operation::new::<3>(RPC, ipc::rpc::<8>),
    Operation::new::<4>("rpc_32", ipc::rpc::<32>),
    Operation::new::<5>("rpc_128", ipc::rpc::<128>),
    Operation::new::<6>("rpc_1024", ipc::rpc::<1024>),
    Operation::new::<7>("rpc_4096", ipc::rpc::<4096>),
    Operation::new::<8>("rpc_right", ipc::rpc_right),
    Operation::new::<9>("send_8_switch", ipc::send_switch),
    Operation::new::<10>("send_receive_own", ipc::send_receive_own),
    Operation::new::<11>("send_full", ipc::send_full),
    Operation::new::<12>("port_allocate_deallocate", ipc::port_allocate_deallocate),
    Operation::new::<13>("yield_pair", ipc::yield_pair),
    Operation::new::<14>("fault_new_page", memory::fault_new_page),
    Operation::new::<15>("map_touch_unmap", memory::map_touch_unmap),
    Operation::new::<17>("ool_4kib", ipc::out_of_line::<1>),
    Operation::new::<18>("ool_1mib", ipc::out_of_line::<256>),
    Operation::new::<30>("wait_refused", ipc::wait_refused::<1>),
    Operation::new::<31>("wait_refused_32", ipc::wait_refused::<{ REFUSED_MAX }>),
    Operation::new::<16>(RPC_CROWDED, ipc::rpc_crowded),
    Operation::new::<53>("make_heir_20000", stretch::make_heir),
    Operation::new::<66>("choose_name_100000", stretch::choose_name),
    Operation::new::<40>("end_task_100000", hoard::end_task),
    Operation::new::<41>("end_queue_100000", hoard::end_queue),
    Operation::new::<42>("end_watched_100000", hoard::end_watched),
    Operation::new::<43>("end_set_100000", hoard::end_set),
    Operation::new::<44>("unmap_64mib", hoard::unmap_pages),
    Operation::new::<50>("protect_100000", stretch::protect_regions),
    Operation::new::<70>("map_in_front_100000", stretch::map_in_front),
    Operation::new::<51>("protect_64mib", stretch::protect_pages),
    Operation::new::<52>("inherit_100000", stretch::inherit_regions),
    Operation::new::<54>("copy_64mib", stretch::copy_pages),
    Operation::new::<55>("copy_64mib_shared", stretch::copy_to_shared),
    Operation::new::<56>("seal_100000", stretch::seal_object),
    Operation::new::<57>("send_64kib", stretch::largest_message),
    Operation::new::<58>("send_rights_1024", stretch::send_rights),
    Operation::new::<59>("receive_rights_1024", stretch::receive_rights),
    Operation::new::<60>("drop_rights_1024", stretch::drop_rights),
    Operation::new::<61>("join_set_10000", stretch::join_set),
    Operation::new::<62>("move_port_10000", stretch::move_port),
    Operation::new::<71>("make_room_10000", stretch::make_room),
    Operation::new::<63>("wake_word_10000", stretch::wake_word),
    Operation::new::<64>("deadlines_10000", stretch::deadlines),
    Operation::new::<65>("suspend_task_10000", stretch::suspend_task),
    Operation::new::<67>("replace_100000", stretch::replace_message),
    Operation::new::<68>("join_chain_100000", stretch::join_chain),
    Operation::new::<69>("debug_write_4096", stretch::debug_write),
];

/// The round trip in an empty system, and in a full one.
const RPC: &str = "rpc_8";
const RPC_CROWDED: &str = "rpc_8_crowded";
/// How much the second may differ from the first, in parts of the first.
const CROWDED_PART: u64 = 100;

/// What is counted in bytes.
const FOOTPRINTS: [Footprint; 3] = [
    Footprint { name: "port_bytes", measure: footprint::port },
    Footprint { name: "thread_bytes", measure: footprint::thread },
    Footprint { name: "task_bytes", measure: footprint::task },
];

struct Footprint {
    name: &'static str,
    measure: fn() -> Outcome<u64>,
}

/// Why there are no figures.
pub(crate) enum Wrong {
    /// A call failed that should not have.
    Call(Error),
    /// The figures, or the machine, are not what they must be.
    Measured(&'static str),
}

/// How a measurement ends.
pub(crate) type Outcome<T = ()> = Result<T, Wrong>;

impl From<Error> for Wrong {
    fn from(error: Error) -> Wrong {
        Wrong::Call(error)
    }
}

impl From<Failure<'_>> for Wrong {
    fn from(failure: Failure<'_>) -> Wrong {
        Wrong::Call(failure.error)
    }
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Call(error) => write!(f, "a call failed with {}", error.classic_name()),
            Wrong::Measured(what) => f.write_str(what),
        }
    }
}

fn main() -> Outcome {
    match Role::mine() {
        Some(role) => role.play(),
        None => measure(),
    }
}

fn measure() -> Outcome {
    if !counter::is_exact() {
        return Err(Wrong::Measured("this machine does not count instructions: it needs QEMU's -icount shift=0"));
    }
    report("boot", boot()?, "instructions");
    for footprint in FOOTPRINTS {
        report(footprint.name, (footprint.measure)()?, "bytes");
    }
    let mut counts = [0; OPERATIONS.len()];
    for (operation, count) in OPERATIONS.iter().zip(&mut counts) {
        *count = operation.measure()?;
        report(operation.name, *count, "instructions");
    }
    println!("DONE {} passed 0 failed", 1 + FOOTPRINTS.len() + OPERATIONS.len());
    compare(&counts)
}

fn report(name: &str, value: u64, unit: &str) {
    println!("BENCH {name} {value} {unit}");
}

/// The counter at the first instruction of the first task, which passes it on.
fn boot() -> Outcome<u64> {
    let passed = argument("first").and_then(|text| text.parse().ok());
    passed.ok_or(Wrong::Measured("the first task does not say when it began"))
}

/// What has no part in a round trip must not be felt in it.
fn compare(counts: &[u64; OPERATIONS.len()]) -> Outcome {
    let count = |name| OPERATIONS.iter().position(|operation| operation.name == name).map(|at| counts[at]);
    let (Some(empty), Some(crowded)) = (count(RPC), count(RPC_CROWDED)) else {
        return Err(Wrong::Measured("there is nothing to compare"));
    };
    println!("a round trip takes {empty} instructions, and in a crowd {crowded}");
    if empty.abs_diff(crowded) * CROWDED_PART <= empty {
        Ok(())
    } else {
        Err(Wrong::Measured("a crowd costs a round trip more than one part in a hundred"))
    }
}
