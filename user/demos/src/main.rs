//! Demonstrations, each a lesson to be read: what `make run` shows. One more, `greet`, is for
//! whoever wants to type something, and is played only by its name.
//!
//! Every demo is played by tasks of this same program: a lead, which starts the
//! others by their role and checks what comes out, and one task a role. The steps
//! are printed by the tasks themselves. Without arguments all demos are run;
//! `demo=NAME` runs one; `role=NAME` beside it is for the tasks that a lead starts.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod alpc;
mod buffer;
mod capacities;
mod counter;
mod deadlock;
mod debugger;
mod exceptions;
mod fork;
mod full;
mod generations;
mod greet;
mod pager;
mod posix;
mod rpc;
mod servers;
mod shared;
mod stage;

use portolan::{argument, println};
use stage::{Outcome, Stage, Wrong};

portolan::main!(main);

struct Demo {
    name: &'static str,
    title: &'static str,
    lead: fn(Stage) -> Outcome,
    role: fn(&str) -> Outcome,
}

const DEMOS: [Demo; 15] = [
    Demo {
        name: "capacities",
        title: "mailboxes of zero, bounded and unbounded capacity",
        lead: capacities::lead,
        role: capacities::role,
    },
    Demo { name: "full", title: "five answers to a full mailbox", lead: full::lead, role: full::role },
    Demo { name: "rpc", title: "a server and three clients", lead: rpc::lead, role: rpc::role },
    Demo { name: "shared", title: "producer and consumer over shared memory", lead: shared::lead, role: shared::role },
    Demo { name: "debugger", title: "stop, look, and let go on", lead: debugger::lead, role: debugger::role },
    Demo {
        name: "exceptions",
        title: "a task is repaired and goes on",
        lead: exceptions::lead,
        role: exceptions::role,
    },
    Demo { name: "counter", title: "a protocol, its server and two clients", lead: counter::lead, role: counter::role },
    Demo {
        name: "generations",
        title: "a full mailbox in every generation of Mach",
        lead: generations::lead,
        role: generations::role,
    },
    Demo { name: "pager", title: "pages made up when they are touched", lead: pager::lead, role: pager::role },
    Demo {
        name: "deadlock",
        title: "a wait that would never end is refused",
        lead: deadlock::lead,
        role: deadlock::role,
    },
    Demo { name: "fork", title: "a task copies itself", lead: fork::lead, role: fork::role },
    Demo { name: "alpc", title: "a connection, as Windows has it", lead: alpc::lead, role: alpc::role },
    Demo { name: "servers", title: "a server is killed, and comes back", lead: servers::lead, role: servers::role },
    Demo { name: "posix", title: "shared memory by a name", lead: posix::lead, role: posix::role },
    Demo { name: "buffer", title: "the bounded buffer, three ways", lead: buffer::lead, role: buffer::role },
];

/// Played only by its name.
const GREET: Demo = Demo { name: "greet", title: "what is typed is read", lead: greet::lead, role: greet::role };

fn main() -> u32 {
    match (argument("demo"), argument("role")) {
        (Some(demo), Some(role)) => play(demo, role),
        (chosen, _) => run(chosen),
    }
}

/// Plays one role of one demo.
fn play(demo: &str, role: &str) -> u32 {
    let Some(demo) = DEMOS.iter().find(|candidate| candidate.name == demo) else { return 1 };
    match (demo.role)(role) {
        Ok(()) => 0,
        Err(wrong) => {
            stage::say!("{wrong}");
            1
        }
    }
}

/// Runs the chosen demo, or all.
fn run(chosen: Option<&str>) -> u32 {
    let (mut passed, mut failed) = (0, 0);
    let greet = chosen.is_some().then_some(&GREET);
    for demo in DEMOS.iter().chain(greet).filter(|demo| chosen.is_none_or(|name| name == demo.name)) {
        println!("\n== {}: {} ==", demo.name, demo.title);
        match Stage::open(demo.name).map_err(Wrong::from).and_then(demo.lead) {
            Ok(()) => {
                println!("DEMO {} OK", demo.name);
                passed += 1;
            }
            Err(wrong) => {
                println!("DEMO {} FAIL: {wrong}", demo.name);
                failed += 1;
            }
        }
    }
    if passed + failed == 0 {
        println!("DEMO {} FAIL: there is no such demo", chosen.unwrap_or_default());
        failed = 1;
    }
    println!("\nDONE {passed} passed {failed} failed");
    u32::from(failed != 0)
}
