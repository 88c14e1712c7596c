//! The guest suite: named cases that show, from user tasks on the running kernel,
//! that it keeps its promises.
//!
//! The program is four things, by its arguments: the runner, which `first`
//! starts; a case (`case=NAME`), which the runner starts; a case's peer (`peer`), which the
//! runner starts when a case asks for it; and a server of a case's own system (`echo`).
//!
//! ```text
//! runner, protocol, case           what runs a case, and what a case is
//! message, port, space, notice, clock   calls and routines, with every number in the case's hand
//! hand, peer, bare, asm            other threads, other tasks, the processor itself
//! system                           servers of a case's own
//! ipc rights names capacity notify policies requests sets deadlock death vm copies out_of_line fault exception cpu
//! task suspend fork state thread account host device server console services clock_server loader words posix_sync posix_mq posix_shm posix_sem bad_input alpc (and in it: waits, names, random) meta   the cases
//! ```
#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod account;
mod alpc;
mod asm;
mod bad_input;
mod bare;
mod capacity;
mod case;
mod clock;
mod clock_server;
mod console;
mod copies;
mod cpu;
mod deadlock;
mod death;
mod device;
mod exception;
mod fault;
mod fork;
mod hand;
mod host;
mod ipc;
mod loader;
mod message;
mod meta;
mod names;
mod notice;
mod notify;
mod out_of_line;
mod pager;
mod peer;
mod policies;
mod port;
mod posix_mq;
mod posix_sem;
mod posix_shm;
mod posix_sync;
mod protocol;
mod random;
mod requests;
mod rights;
mod runner;
mod server;
mod services;
mod sets;
mod space;
mod state;
mod suspend;
mod system;
mod task;
mod thread;
mod vm;
mod words;

use case::Case;
use portolan::{argument, arguments};

portolan::main!(main);

const CASES: &[&[Case]] = &[
    meta::CASES,
    ipc::CASES,
    rights::CASES,
    names::CASES,
    capacity::CASES,
    notify::CASES,
    policies::CASES,
    requests::CASES,
    sets::CASES,
    deadlock::CASES,
    death::CASES,
    vm::CASES,
    copies::CASES,
    out_of_line::CASES,
    pager::CASES,
    fault::CASES,
    exception::CASES,
    cpu::CASES,
    task::CASES,
    suspend::CASES,
    fork::CASES,
    state::CASES,
    thread::CASES,
    account::CASES,
    host::CASES,
    device::CASES,
    server::CASES,
    console::CASES,
    words::CASES,
    posix_sync::CASES,
    posix_mq::CASES,
    posix_shm::CASES,
    posix_sem::CASES,
    services::CASES,
    clock_server::CASES,
    loader::CASES,
    bad_input::CASES,
    alpc::CASES,
    alpc::waits::CASES,
    alpc::names::CASES,
    alpc::random::CASES,
];

fn main() -> portolan::Result<u32> {
    match (argument("case"), arguments()) {
        (Some(name), _) => run_case(name),
        (None, "peer") => peer::main(protocol::bootstrap()),
        (None, services::ECHO) => services::echo(),
        _ => runner::main(CASES, &meta::WARM_UP),
    }
}

/// The life of a case's task.
fn run_case(name: &str) -> ! {
    let warm_up = [meta::WARM_UP];
    let mut all = CASES.iter().copied().flatten().chain(&warm_up);
    let case = all.find(|case| case.name == name).expect("the runner starts cases of this program");
    // If the report fails, the runner sees the task end without one.
    let _ = protocol::report((case.run)());
    portolan::task::end()
}
