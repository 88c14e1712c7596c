//! The records of the serial protocol: lines by which a guest program tells its results.
//!
//! ```text
//! PLAN 63                             how many cases will run
//! BEGIN ipc::send_full                a case starts; one of the next two ends it
//! OK ipc::send_full
//! FAIL ipc::send_full: reason
//! DEMO capacities OK                  one demo's result
//! DEMO capacities FAIL: reason
//! BENCH rpc_8 1410 instructions       one figure
//! MARK 7 rpc_8 1000                   region 7 of the instruction counter ran this operation 1000 times
//! DONE 63 passed 0 failed             the last record
//! ```
//!
//! Any other line is talk. A line that starts like a record and is none is broken, and never talk: half a
//! record must not go unseen.

/// One line that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The number of cases that will run.
    Plan(usize),
    /// The case that runs now.
    Begin(String),
    /// How a case or a demo ended.
    Result(Outcome),
    /// A measurement.
    Bench(Figure),
    /// What a region of the instruction counter measures.
    Mark(Mark),
    /// The last record: what the guest itself counted.
    Done {
        /// Cases that passed.
        passed: usize,
        /// Cases that failed.
        failed: usize,
    },
}

/// How one case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The case.
    pub name: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// A measurement of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The operation.
    pub name: String,
    /// How many units it takes.
    pub value: u64,
    /// Of what.
    pub unit: String,
}

/// A region of the instruction counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The number that its marker instructions carry.
    pub region: u32,
    /// The operation.
    pub name: String,
    /// How often the region runs it.
    pub iterations: u64,
}

/// A line that starts like a record and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken;

impl Record {
    /// Reads a line; `None` when it is talk.
    pub fn read(line: &str) -> Option<Result<Self, Broken>> {
        let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
        let record = match keyword {
            "PLAN" => rest.parse().ok().map(Self::Plan),
            "BEGIN" => name(rest).map(Self::Begin),
            "OK" => name(rest).map(|name| Self::Result(Outcome { name, failure: None })),
            "FAIL" => fail(rest).map(Self::Result),
            "DEMO" => demo(rest).map(Self::Result),
            "BENCH" => bench(rest).map(Self::Bench),
            "MARK" => mark(rest).map(Self::Mark),
            "DONE" => done(rest),
            _ => return None,
        };
        Some(record.ok_or(Broken))
    }
}

fn name(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

fn fail(text: &str) -> Option<Outcome> {
    let (case, reason) = text.split_once(": ")?;
    Some(Outcome { name: name(case)?, failure: Some(reason.to_owned()) })
}

fn demo(text: &str) -> Option<Outcome> {
    let (demo, outcome) = text.split_once(' ')?;
    let failure = match outcome {
        "OK" => None,
        _ => Some(outcome.strip_prefix("FAIL: ")?.to_owned()),
    };
    Some(Outcome { name: name(demo)?, failure })
}

fn bench(text: &str) -> Option<Figure> {
    let [operation, value, unit] = words(text)?;
    Some(Figure { name: operation.into(), value: value.parse().ok()?, unit: unit.into() })
}

fn mark(text: &str) -> Option<Mark> {
    let [region, operation, iterations] = words(text)?;
    let iterations = iterations.parse().ok().filter(|&iterations| iterations > 0)?;
    Some(Mark { region: region.parse().ok()?, name: operation.into(), iterations })
}

fn done(text: &str) -> Option<Record> {
    let [passed, "passed", failed, "failed"] = words(text)? else { return None };
    Some(Record::Done { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
}

fn words<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split(' ').collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: &str) -> Record {
        Record::read(line).expect("not talk").expect("not broken")
    }

    fn outcome(name: &str, failure: Option<&str>) -> Record {
        Record::Result(Outcome { name: name.into(), failure: failure.map(str::to_owned) })
    }

    #[test]
    fn every_record_is_read() {
        assert_eq!(record("PLAN 63"), Record::Plan(63));
        assert_eq!(record("BEGIN ipc::send_full"), Record::Begin("ipc::send_full".into()));
        assert_eq!(record("OK ipc::send_full"), outcome("ipc::send_full", None));
        assert_eq!(record("FAIL vm::map: got 3: no"), outcome("vm::map", Some("got 3: no")));
        assert_eq!(record("DEMO capacities OK"), outcome("capacities", None));
        assert_eq!(record("DEMO rpc FAIL: lost"), outcome("rpc", Some("lost")));
        assert_eq!(record("DONE 62 passed 1 failed"), Record::Done { passed: 62, failed: 1 });
        let figure = Figure { name: "rpc_8".into(), value: 1410, unit: "instructions".into() };
        assert_eq!(record("BENCH rpc_8 1410 instructions"), Record::Bench(figure));
        let mark = Mark { region: 7, name: "rpc_8".into(), iterations: 1000 };
        assert_eq!(record("MARK 7 rpc_8 1000"), Record::Mark(mark));
    }

    #[test]
    fn talk_is_no_record() {
        for line in ["", "Portolan 0.1", "PLANS 3", " OK a", "the PLAN 3", "ok a", "[first] DONE 1"] {
            assert_eq!(Record::read(line), None, "{line:?}");
        }
    }

    #[test]
    fn half_a_record_is_broken() {
        for line in [
            "PLAN",
            "PLAN x",
            "PLAN -1",
            "BEGIN",
            "BEGIN ",
            "OK two words",
            "FAIL case",
            "FAIL case:reason",
            "DEMO capacities",
            "DEMO capacities O",
            "BENCH rpc_8",
            "BENCH rpc_8 12.5 instructions",
            "MARK 7 rpc_8 0",
            "DONE 63 pass",
            "DONE 63 passed 0 failed, really",
            "DONE 63 passed  0 failed",
        ] {
            assert_eq!(Record::read(line), Some(Err(Broken)), "{line:?}");
        }
    }
}
