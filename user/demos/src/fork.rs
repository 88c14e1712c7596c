//! Lesson 11: `fork`, which no part of the kernel knows.
//!
//! A task makes a copy of itself that goes on from the same call: one task that inherits memory,
//! and one thread that is given the registers of another. The count is in memory that both
//! have from now on, each its own: what the child adds, the parent does not see.

use crate::stage::{Outcome, Stage, Wrong, check, say};
use alloc::boxed::Box;
use core::hint::black_box;
use portolan::abi::interface::Routine;
use portolan::abi::task::Limits;
use portolan::bootstrap::routine::{Exit, arguments};
use portolan::{Capacity, Fork, ReceiveRight, exit, fork};

const BEFORE: u32 = 40;
const ADDED: u32 = 2;
/// What the child may spend, out of what its parent may.
const LIMITS: Limits = Limits { memory: 96 << 10, ports: 32, frames: 512 };

pub(crate) fn role(_: &str) -> Outcome {
    let mut count = Box::new(black_box(BEFORE));
    let exits = ReceiveRight::allocate(Capacity::DEFAULT)?;
    say!("counts to {count}, and forks");
    match fork("child", LIMITS, exits.make_send()?)? {
        Fork::Child => {
            *count += ADDED;
            say!("is the child now: it goes on from {BEFORE}, counts to {count}, and ends with that");
            exit(*count)
        }
        Fork::Parent(child) => {
            let report = exits.receive()?;
            check(report.id() == Exit::ID, "the child reports something else")?;
            let code = report.value::<arguments::Exit>()?.code;
            say!("is the parent: the child ended with {code}, and here the count is {count}");
            drop(child);
            if (code, *count) == (BEFORE + ADDED, BEFORE) {
                Ok(())
            } else {
                Err(Wrong::Result("the two have one count"))
            }
        }
    }
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    stage.enter("program", "")?;
    stage.wait_until_playing(0)
}
