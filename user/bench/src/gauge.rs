//! Measuring an operation: several rounds of many times, of which the shortest counts; or once.
//!
//! A round may be disturbed once, by the end of a time slice; the shortest is not.
//! Invariant: nothing is printed or allocated inside what is counted.
//! Neighbours: `counter` counts; `main` has the table of operations.

use crate::Outcome;
use crate::counter::Region;
use portolan::println;

/// How often an operation is done in a round, unless it says otherwise.
const TIMES: u64 = 1000;
const ROUNDS: usize = 5;

/// An operation whose instructions are counted.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) region: Region,
    /// Prepares it, and has it measured.
    pub(crate) run: fn(Gauge) -> Outcome<u64>,
}

impl Operation {
    /// An operation in the region with this number, which no other may have.
    pub(crate) const fn new<const REGION: u32>(name: &'static str, run: fn(Gauge) -> Outcome<u64>) -> Operation {
        Operation { name, region: Region::new::<REGION>(), run }
    }

    /// Instructions that doing it once takes.
    pub(crate) fn measure(&self) -> Outcome<u64> {
        (self.run)(Gauge { name: self.name, region: self.region })
    }
}

/// What an operation is measured with.
#[derive(Clone, Copy)]
pub(crate) struct Gauge {
    name: &'static str,
    region: Region,
}

impl Gauge {
    /// Does the operation many times a round. What is counted includes the loop, of a few instructions.
    pub(crate) fn repeat(self, mut operation: impl FnMut() -> Outcome) -> Outcome<u64> {
        self.rounds(TIMES, |region| {
            let (result, count) = region.count(|| (0..TIMES).try_for_each(|_| operation()));
            result.map(|()| count)
        })
    }

    /// Does it once, as what it needs is gone then.
    pub(crate) fn once(self, operation: impl FnOnce() -> Outcome) -> Outcome<u64> {
        println!("MARK {} {} 1", self.region.number, self.name);
        let (result, count) = self.region.count(operation);
        result.map(|()| count)
    }

    /// Counts rounds that each do the operation this many times; returns the
    /// instructions of doing it once in the shortest round.
    pub(crate) fn rounds(self, times: u64, mut round: impl FnMut(Region) -> Outcome<u64>) -> Outcome<u64> {
        println!("MARK {} {} {times}", self.region.number, self.name);
        let mut shortest = u64::MAX;
        for _ in 0..ROUNDS {
            shortest = shortest.min(round(self.region)?);
        }
        Ok((shortest + times / 2) / times)
    }
}
