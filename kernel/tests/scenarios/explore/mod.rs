//! Every interleaving of a small case, on the real kernel.
//!
//! Two senders, a receiver, one who destroys the port, one who widens it, a clock, and a
//! receive right in flight; under capacities 0, 1 and 2, and each answer to a full
//! mailbox. A kernel cannot be copied, so a state is the way to it, gone again from the
//! start of the machine; ways that lead to the same [`snapshot`] are one state. After
//! each step the kernel's invariants hold, and so does what [`scene::Scene::judge`] says.
//!
//! What is interleaved are calls: the kernel does each without a pause.
//! Bugs put into the kernel by hand, to see that this or the model finds them: `admit`
//! lets in only the first sender of two that now have a place (found here, by three
//! steps); `give_back` keeps the count of a send right that was copied (found by the
//! model's runs, by the kernel's invariants).
//!
//! `PORTOLAN_EXPLORE=2`, `3`… asks for more messages, and takes long.

mod scene;
mod snapshot;

use crate::harness::WhenFull;
use portolan_abi::Capacity;
use scene::{Scene, Step};
use stateright::{Checker, Model, Property};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Fewer states than this mean that not everything was looked at.
const STATES_AT_LEAST: usize = 3000;
const HOLDS: &str = "what is promised holds";

/// What is tried: one answer to a full mailbox of one capacity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Case {
    capacity: Capacity,
    when_full: WhenFull,
}

/// The way to a state, and what is found there.
#[derive(Clone, Debug)]
struct State {
    case: Case,
    way: Vec<Step>,
    /// All that the future depends on.
    snapshot: String,
    possible: Vec<Step>,
    fault: Option<String>,
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        (self.case, &self.snapshot, &self.fault) == (other.case, &other.snapshot, &other.fault)
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (format!("{:?}", self.case), &self.snapshot, &self.fault).hash(hasher);
    }
}

struct Explorer {
    /// Messages that the first sender sends.
    messages: u32,
}

impl Explorer {
    /// Goes a way from the start of the machine.
    fn go(&self, case: Case, way: Vec<Step>) -> State {
        let gone = catch_unwind(AssertUnwindSafe(|| {
            let mut scene = Scene::new(case.capacity, case.when_full, self.messages);
            scene.go(&way);
            (scene.snapshot(), scene.possible(), scene.judge().err())
        }));
        let (snapshot, possible, fault) = gone.unwrap_or_else(|panic| {
            let said =
                panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|text| (*text).into()));
            (String::new(), Vec::new(), Some(said.unwrap_or_default()))
        });
        State { case, way, snapshot, possible, fault }
    }
}

impl Model for Explorer {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let capacities = [Capacity::Zero, Capacity::Bounded(1), Capacity::Bounded(2)];
        let cases = capacities
            .into_iter()
            .flat_map(|capacity| WhenFull::ALL.into_iter().map(move |when_full| Case { capacity, when_full }));
        cases.map(|case| self.go(case, Vec::new())).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        actions.extend(&state.possible);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let way = last.way.iter().copied().chain([step]).collect();
        Some(self.go(last.case, way))
    }

    fn properties(&self) -> Vec<Property<Explorer>> {
        vec![Property::always(HOLDS, |_, state: &State| state.fault.is_none())]
    }
}

#[test]
fn every_interleaving_of_a_small_case_keeps_what_is_promised() {
    let messages = std::env::var("PORTOLAN_EXPLORE").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = Explorer { messages }.checker().threads(threads).spawn_bfs().join();
    if let Some(path) = checker.discovery(HOLDS) {
        let State { case, way, fault, .. } = path.last_state();
        panic!("{}: {case:?}, after {way:?}", fault.as_deref().unwrap_or_default());
    }
    let (unique, all) = (checker.unique_state_count(), checker.state_count());
    println!("{unique} states, reached in {all} ways, the longest of {} steps", checker.max_depth());
    assert!(unique >= STATES_AT_LEAST, "only {unique} states were seen");
}
