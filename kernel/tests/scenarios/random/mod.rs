//! Random calls from several tasks: whatever they do, the invariants hold after every
//! trap, every error is one that the call is documented to have, and in the end nothing
//! is left.
//!
//! A run is a list of acts. A failing one is shrunk and printed. Runs are the same every
//! time, unless `PROPTEST_RNG_SEED` names another seed or `PROPTEST_CASES` asks for more.
//! Neighbours: `deed` (what there is to do), `actor` (who does it), `supplier` (a pager).

mod actor;
pub mod deed;
mod supplier;

use crate::harness::{Pending, Received, System, Task, WhenFull, answer, no_right};
use actor::Actor;
use deed::{Act, Deed};
use portolan_abi::task::{self as routine, CreateFlags, Limits};
use portolan_abi::vm::{self, INLINE_MAX};
use portolan_abi::{Capacity, Disposition, Error, Name, Result};
use proptest::collection::vec;
use proptest::test_runner::{Config, RngSeed};
use std::collections::VecDeque;
use supplier::Supplier;

/// How many tasks act.
const TASKS: usize = 3;
/// How many runs there are, and how long the longest is.
const RUNS: u32 = 64;
const ACTS: usize = 120;
const SEED: u64 = 1571;

proptest::proptest! {
    #![proptest_config(config(RUNS))]

    #[test]
    fn random_calls_break_nothing(acts in vec(deed::act(TASKS), 1..ACTS)) {
        let mut world = World::new();
        acts.into_iter().for_each(|act| world.perform(act));
    }
}

/// So many runs from the fixed seed, if nothing else is asked for.
pub fn config(runs: u32) -> Config {
    let mut config = Config { max_shrink_iters: 4096, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = runs;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    // The seed brings a failure back; no file is kept.
    config.failure_persistence = None;
    config
}

/// The tasks and what they know of each other.
struct World {
    system: System,
    actors: Vec<Actor>,
    /// A task that supplies pages to them.
    supplier: Supplier,
    /// Tasks that have inherited memory, as the first task names them.
    children: VecDeque<Name>,
    /// A task that writes to their memory, and may have to wait for a page of it.
    writer: Task,
    writing: Option<Pending<Result<Received>>>,
}

impl World {
    /// Every task can send to the next one, and do to it what its kernel port allows.
    fn new() -> World {
        let system = System::boot();
        system.pieces_take_ms(1);
        let mut actors: Vec<Actor> = (0..TASKS).map(|_| Actor::new(&system)).collect();
        for this in 0..TASKS {
            let next = (this + 1) % TASKS;
            let port = actors[this].task.port(Capacity::Bounded(2));
            let send = actors[this].task.give_send(&actors[next].task, port);
            let own = actors[this].task.task_self();
            let door = actors[this].task.give(&actors[next].task, own, Disposition::CopySend);
            actors[this].names.push(port);
            actors[next].names.extend([door, send]);
        }
        let supplier = Supplier::new(&system);
        let writer = system.task("writer");
        World { system, actors, supplier, children: VecDeque::new(), writer, writing: None }
    }

    fn perform(&mut self, Act { task, thread, deed }: Act) {
        let actor = &mut self.actors[task];
        match deed {
            Deed::Pass(ms) => self.system.advance_ms(ms),
            _ if !actor.lives() => *actor = Actor::new(&self.system),
            Deed::Supply(supply) => self.supplier.perform(&self.system, actor.task.kernel_port(), supply),
            Deed::Fork => self.fork(task),
            Deed::WriteToChild(page) => self.write_to_child(page),
            Deed::EndChild => self.end_child(),
            deed => actor.perform(thread, deed),
        }
        self.actors.iter_mut().for_each(Actor::learn);
    }

    fn fork(&mut self, task: usize) {
        let parent = self.actors[task].task.kernel_port();
        let limits = Limits { memory: 40_000, ports: 4, frames: 40 };
        let flags = CreateFlags::INHERIT.bits();
        match routine::create(&**self.system.first(), parent, [b'h'; 32], limits, flags, 0, no_right()) {
            Ok(reply) => self.children.push_back(reply.rights[0]),
            Err(error) => assert_eq!(error, Error::ResourceShortage),
        }
    }

    fn write_to_child(&mut self, page: u64) {
        if !self.has_written() {
            return;
        }
        let Some(child) = self.children.front() else { return };
        let child = self.system.first().give(&self.writer, *child, Disposition::CopySend);
        let poke =
            vm::arguments::VmPoke { address: deed::page_address(page) + 100, size: 50, data: [0xcc; INLINE_MAX] };
        self.writing = Some(self.writer.request::<vm::VmPoke>(child, &poke, &[], WhenFull::Wait));
    }

    /// Whether the writer has nothing left to do; what it did has then gone as it may.
    fn has_written(&mut self) -> bool {
        let Some(writing) = &self.writing else { return true };
        let Some(reply) = writing.result() else { return false };
        match answer::<vm::VmPoke>(reply) {
            // While it waited its child may have ended.
            Ok(_) | Err(Error::SendInvalidPort | Error::InvalidAddress | Error::ProtectionFailure) => {}
            Err(Error::ResourceShortage | Error::MemoryError | Error::MemoryFailure) => {}
            Err(error) => panic!("{error:?}"),
        }
        self.writing = None;
        true
    }

    fn end_child(&mut self) {
        let Some(child) = self.children.pop_front() else { return };
        routine::terminate(&**self.system.first(), child).expect("the child's end");
        self.system.first().port_deallocate(child).expect("its name");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        while !std::thread::panicking() && !self.children.is_empty() {
            self.end_child();
        }
    }
}
