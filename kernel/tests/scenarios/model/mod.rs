//! A model of message passing, written from the manual, beside the real kernel.
//!
//! Both are given the same random calls, one after the other, and must agree on
//! everything that a program can see: results, errors, who waits, each message received
//! with its rights, its place in the sequence, its sender and its cause; in the end on
//! every name and every port. The model shares only the abi's types with the kernel, and
//! searches where the kernel counts. A new operation is an [`Act`], a method of the
//! [`Model`](state::Model), and an arm of [`World::perform`].
//!
//! Seeds and numbers of runs are as in `random`, whose names and letters serve here.
//! What the model leaves out: shortage (`shortage` tries that), and what the kernel is
//! asked for by message (`random`).

mod death;
mod messages;
mod rights;
mod state;
mod world;

use crate::harness::WhenFull;
use crate::random::config;
use crate::random::deed::{self, Known, Letter};
use portolan_abi::{Capacity, RightKind};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::prop_oneof;
use world::World;

const TASKS: usize = 3;
const THREADS: usize = 3;
const RUNS: u32 = 64;
const ACTS: usize = 120;

proptest::proptest! {
    #![proptest_config(config(RUNS))]

    #[test]
    fn the_kernel_does_what_the_manual_says(acts in vec(act(), 1..ACTS)) {
        let mut world = World::new(TASKS, THREADS);
        acts.into_iter().for_each(|act| world.perform(act));
        world.compare_all();
    }
}

/// Something that a task does, or that happens to it.
#[derive(Clone, Debug)]
enum Act {
    Allocate(usize, Capacity),
    Deallocate(usize, Known),
    ModifyReferences(usize, Known, RightKind, i32),
    SetCapacity(usize, Known, Capacity),
    Status(usize, Known),
    Type(usize, Known),
    Send { by: Actor, letter: Letter, when_full: WhenFull, abortable: bool },
    Receive { by: Actor, from: Known, ms: Option<u32>, room: u32 },
    Rpc { by: Actor, letter: Letter, when_full: WhenFull, from: Known, ms: Option<u32> },
    Abort(Actor),
    EndTask(usize),
    Pass(u32),
}

/// A thread: the number of its task, and its number there.
#[derive(Clone, Copy, Debug)]
struct Actor {
    task: usize,
    thread: usize,
}

fn act() -> impl Strategy<Value = Act> {
    let task = || 0..TASKS;
    let by = || (task(), 0..THREADS).prop_map(|(task, thread)| Actor { task, thread });
    let (known, capacity, when_full) = (deed::known, deed::capacity, deed::when_full);
    let room = || prop_oneof![6 => 1024..4000u32, 1 => 0..200u32];
    prop_oneof![
        60 => (task(), capacity()).prop_map(|(task, capacity)| Act::Allocate(task, capacity)),
        80 => (task(), known()).prop_map(|(task, name)| Act::Deallocate(task, name)),
        60 => (task(), known(), deed::kind(), prop_oneof![8 => -2..3i32, 1 => 65_533..65_536i32])
            .prop_map(|(task, name, kind, delta)| Act::ModifyReferences(task, name, kind, delta)),
        50 => (task(), known(), capacity()).prop_map(|(task, name, capacity)| Act::SetCapacity(task, name, capacity)),
        40 => (task(), known()).prop_map(|(task, name)| Act::Status(task, name)),
        40 => (task(), known()).prop_map(|(task, name)| Act::Type(task, name)),
        320 => (by(), deed::letter(), when_full(), any::<bool>())
            .prop_map(|(by, letter, when_full, abortable)| Act::Send { by, letter, when_full, abortable }),
        250 => (by(), known(), deed::wait(), room()).prop_map(|(by, from, ms, room)| Act::Receive { by, from, ms, room }),
        120 => (by(), deed::letter(), when_full(), known(), deed::wait())
            .prop_map(|(by, letter, when_full, from, ms)| Act::Rpc { by, letter, when_full, from, ms }),
        40 => by().prop_map(Act::Abort),
        4 => task().prop_map(Act::EndTask),
        60 => (0..30u32).prop_map(Act::Pass),
    ]
}
