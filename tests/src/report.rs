//! Whether a guest's records add up to a pass.
//!
//! A [`Report`] takes the records as they come and keeps what was counted; [`Report::judge`] weighs that
//! against what the guest claims in the end. Whatever does not fit is a [`Fault`], and one fault is enough:
//! a machine that resets, falls silent, skips a case or loses a line never passes.

use crate::guest::End;
use crate::record::{Figure, Mark, Outcome, Record};
use portolan_boot::qemu::{FAILED, PASSED};
use std::fmt::{self, Display, Formatter};

/// What a program said so far.
#[derive(Debug, Default)]
pub struct Report {
    plan: Option<usize>,
    running: Option<String>,
    outcomes: Vec<Outcome>,
    figures: Vec<Figure>,
    marks: Vec<Mark>,
    done: Option<(usize, usize)>,
    faults: Vec<Fault>,
}

/// What a program is expected to say besides its results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The suite: a plan first, and each case announced.
    Suite,
    /// The demos: results only.
    Demos,
    /// The benchmarks: figures only.
    Bench,
}

/// The end of the story.
#[derive(Debug)]
pub struct Judgement {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed or never ended, and one more for a run that does not add up.
    pub failed: usize,
    /// Why the run does not add up.
    pub faults: Vec<Fault>,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A line that starts like a record and is none.
    Broken(String),
    /// The plan came late, or twice.
    MisplacedPlan,
    /// No plan came.
    NoPlan,
    /// A result for a case that is not running.
    Unannounced(String),
    /// A case that never got a result.
    Unfinished(String),
    /// Two results for one name.
    Repeated(String),
    /// A record after the last one.
    AfterDone(String),
    /// No final record.
    NoDone,
    /// Not one case ran.
    Nothing,
    /// The plan names another number than ran.
    PlanDiffers {
        /// Announced.
        planned: usize,
        /// Counted here.
        counted: usize,
    },
    /// The final record names other numbers than were counted.
    CountDiffers {
        /// Passed and failed, as the guest says.
        claimed: (usize, usize),
        /// Passed and failed, as counted here.
        counted: (usize, usize),
    },
    /// The machine did not end as the final record says.
    Ended(End),
}

impl Report {
    /// Takes the next line.
    pub fn line(&mut self, line: &str) {
        match Record::read(line) {
            None => {}
            Some(Err(_)) => self.faults.push(Fault::Broken(line.into())),
            Some(Ok(_)) if self.done.is_some() => self.faults.push(Fault::AfterDone(line.into())),
            Some(Ok(record)) => self.record(record),
        }
    }

    fn record(&mut self, record: Record) {
        match record {
            Record::Plan(cases) => self.plan(cases),
            Record::Begin(name) => self.begin(name),
            Record::Result(outcome) => self.result(outcome),
            Record::Bench(figure) => self.figures.push(figure),
            Record::Mark(mark) => self.marks.push(mark),
            Record::Done { passed, failed } => self.done = Some((passed, failed)),
        }
    }

    fn plan(&mut self, cases: usize) {
        let first = self.plan.is_none() && self.running.is_none() && self.outcomes.is_empty();
        if !first {
            self.faults.push(Fault::MisplacedPlan);
        }
        self.plan = Some(cases);
    }

    fn begin(&mut self, name: String) {
        if let Some(lost) = self.running.replace(name) {
            self.faults.push(Fault::Unfinished(lost));
        }
    }

    fn result(&mut self, outcome: Outcome) {
        let expected = match self.plan {
            Some(_) => self.running.take_if(|running| *running == outcome.name).is_some(),
            None => self.running.is_none(),
        };
        if !expected {
            self.faults.push(Fault::Unannounced(outcome.name.clone()));
        } else if self.outcomes.iter().any(|earlier| earlier.name == outcome.name) {
            self.faults.push(Fault::Repeated(outcome.name.clone()));
        }
        self.outcomes.push(outcome);
    }

    /// The cases that have ended, in their order.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The measurements, in their order.
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// The regions of the instruction counter.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Weighs it all, when the machine has ended.
    pub fn judge(mut self, program: Program, end: End) -> Judgement {
        if let Some(lost) = self.running.take() {
            self.faults.push(Fault::Unfinished(lost));
        }
        let counted = self.counted(program);
        self.check_plan(program, counted);
        self.check_done(counted);
        self.check_end(counted, end);
        let (passed, failed) = counted;
        let missing = self.plan.unwrap_or(0).saturating_sub(passed + failed);
        let failed = failed + missing + usize::from(!self.faults.is_empty() && missing == 0);
        Judgement { passed, failed, faults: self.faults }
    }

    fn counted(&self, program: Program) -> (usize, usize) {
        match program {
            Program::Bench => (self.figures.len(), 0),
            Program::Suite | Program::Demos => {
                let failed = self.outcomes.iter().filter(|case| case.failure.is_some()).count();
                (self.outcomes.len() - failed, failed)
            }
        }
    }

    fn check_plan(&mut self, program: Program, (passed, failed): (usize, usize)) {
        let counted = passed + failed;
        match self.plan {
            None if program == Program::Suite => self.faults.push(Fault::NoPlan),
            Some(planned) if planned != counted => {
                self.faults.push(Fault::PlanDiffers { planned, counted });
            }
            _ => {}
        }
        if counted == 0 {
            self.faults.push(Fault::Nothing);
        }
    }

    fn check_done(&mut self, counted: (usize, usize)) {
        match self.done {
            None => self.faults.push(Fault::NoDone),
            Some(claimed) if claimed != counted => {
                self.faults.push(Fault::CountDiffers { claimed, counted });
            }
            Some(_) => {}
        }
    }

    fn check_end(&mut self, (_, failed): (usize, usize), end: End) {
        let said = if failed == 0 { PASSED } else { FAILED };
        if end != End::Exit(said) {
            self.faults.push(Fault::Ended(end));
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(line) => write!(f, "a broken record: {line:?}"),
            Self::MisplacedPlan => write!(f, "a plan that is not the first record"),
            Self::NoPlan => write!(f, "no plan"),
            Self::Unannounced(name) => write!(f, "a result of {name}, which was not running"),
            Self::Unfinished(name) => write!(f, "{name} has no result"),
            Self::Repeated(name) => write!(f, "two results of {name}"),
            Self::AfterDone(line) => write!(f, "a record after the last: {line:?}"),
            Self::NoDone => write!(f, "no final record"),
            Self::Nothing => write!(f, "nothing ran"),
            Self::PlanDiffers { planned, counted } => {
                write!(f, "{planned} planned, {counted} ran")
            }
            Self::CountDiffers { claimed, counted } => write!(
                f,
                "the guest counts {} passed {} failed, its records say {} and {}",
                claimed.0, claimed.1, counted.0, counted.1
            ),
            Self::Ended(end) => write!(f, "the machine {end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
        boot\nPLAN 2\nBEGIN a\ntalk\nOK a\nBEGIN b\nOK b\nDONE 2 passed 0 failed\n";
    const BAD: &str = "PLAN 2\nBEGIN a\nOK a\nBEGIN b\nFAIL b: no\nDONE 1 passed 1 failed\n";

    fn judge(program: Program, text: &str, end: End) -> Judgement {
        let mut report = Report::default();
        text.lines().for_each(|line| report.line(line));
        report.judge(program, end)
    }

    fn suite(text: &str) -> Judgement {
        judge(Program::Suite, text, End::Exit(PASSED))
    }

    /// The run fails, and this is why.
    fn assert_fault(judgement: &Judgement, fault: &Fault) {
        assert!(judgement.faults.contains(fault), "{:?}", judgement.faults);
        assert!(judgement.failed > 0);
    }

    #[test]
    fn a_good_run_passes() {
        let judgement = suite(GOOD);
        assert_eq!((judgement.passed, judgement.failed, judgement.faults), (2, 0, vec![]));
    }

    #[test]
    fn a_failed_case_is_counted_once() {
        let judgement = judge(Program::Suite, BAD, End::Exit(FAILED));
        assert_eq!((judgement.passed, judgement.failed, judgement.faults), (1, 1, vec![]));
    }

    #[test]
    fn a_reset_is_no_pass_whatever_was_said() {
        assert_fault(&judge(Program::Suite, GOOD, End::Exit(0)), &Fault::Ended(End::Exit(0)));
    }

    #[test]
    fn the_exit_code_must_agree_with_the_records() {
        assert_fault(&suite(BAD), &Fault::Ended(End::Exit(PASSED)));
        let good = judge(Program::Suite, GOOD, End::Exit(FAILED));
        assert_fault(&good, &Fault::Ended(End::Exit(FAILED)));
    }

    #[test]
    fn a_hang_after_the_last_record_is_no_pass() {
        let silent = End::Silent { seconds: 30, registers: String::new() };
        assert_fault(&judge(Program::Suite, GOOD, silent.clone()), &Fault::Ended(silent));
    }

    #[test]
    fn without_a_final_record_there_is_no_pass() {
        assert_fault(&suite("PLAN 1\nBEGIN a\nOK a\n"), &Fault::NoDone);
    }

    #[test]
    fn a_final_record_cut_short_is_none() {
        let judgement = suite("PLAN 1\nBEGIN a\nOK a\nDONE 1 passed 0 fai");
        assert_fault(&judgement, &Fault::NoDone);
        assert_fault(&judgement, &Fault::Broken("DONE 1 passed 0 fai".into()));
    }

    #[test]
    fn the_final_record_must_count_right() {
        let judgement = suite("PLAN 1\nBEGIN a\nOK a\nDONE 2 passed 0 failed\n");
        assert_fault(&judgement, &Fault::CountDiffers { claimed: (2, 0), counted: (1, 0) });
    }

    #[test]
    fn every_planned_case_that_did_not_run_has_failed() {
        let judgement = suite("PLAN 5\nBEGIN a\nOK a\nDONE 1 passed 0 failed\n");
        assert_fault(&judgement, &Fault::PlanDiffers { planned: 5, counted: 1 });
        assert_eq!((judgement.passed, judgement.failed), (1, 4));
    }

    #[test]
    fn the_suite_needs_a_plan_and_only_one() {
        assert_fault(&suite("OK a\nDONE 1 passed 0 failed\n"), &Fault::NoPlan);
        assert_fault(&suite(&GOOD.replace("PLAN 2", "PLAN 2\nPLAN 2")), &Fault::MisplacedPlan);
        assert_fault(&suite(&GOOD.replace("OK a", "OK a\nPLAN 2")), &Fault::MisplacedPlan);
    }

    #[test]
    fn a_case_that_is_overtaken_has_no_result() {
        let judgement = suite("PLAN 2\nBEGIN a\nBEGIN b\nOK b\nDONE 1 passed 0 failed\n");
        assert_fault(&judgement, &Fault::Unfinished("a".into()));
    }

    #[test]
    fn a_case_in_which_the_machine_ends_is_named() {
        let judgement = judge(Program::Suite, "PLAN 2\nBEGIN a\n", End::Exit(0));
        assert_fault(&judgement, &Fault::Unfinished("a".into()));
        assert_eq!((judgement.passed, judgement.failed), (0, 2));
    }

    #[test]
    fn a_result_belongs_to_the_case_that_runs() {
        let other = suite("PLAN 1\nBEGIN a\nOK b\nDONE 1 passed 0 failed\n");
        assert_fault(&other, &Fault::Unannounced("b".into()));
        let none = suite("PLAN 1\nOK a\nDONE 1 passed 0 failed\n");
        assert_fault(&none, &Fault::Unannounced("a".into()));
    }

    #[test]
    fn a_case_cannot_pass_twice() {
        let judgement = suite(&GOOD.replace(" b", " a"));
        assert_fault(&judgement, &Fault::Repeated("a".into()));
    }

    #[test]
    fn an_empty_run_is_no_pass() {
        assert_fault(&suite("PLAN 0\nDONE 0 passed 0 failed\n"), &Fault::Nothing);
        assert_fault(&suite(""), &Fault::NoDone);
    }

    #[test]
    fn nothing_may_follow_the_final_record() {
        let judgement = suite(&format!("{GOOD}FAIL a: late\n"));
        assert_fault(&judgement, &Fault::AfterDone("FAIL a: late".into()));
    }

    #[test]
    fn demos_need_no_plan() {
        let text = "DEMO capacities OK\nDEMO rpc FAIL: lost\nDONE 1 passed 1 failed\n";
        let judgement = judge(Program::Demos, text, End::Exit(FAILED));
        assert_eq!((judgement.passed, judgement.failed, judgement.faults), (1, 1, vec![]));
    }

    #[test]
    fn benchmarks_count_their_figures() {
        let text = "BENCH rpc_8 1410 instructions\nDONE 1 passed 0 failed\n";
        let judgement = judge(Program::Bench, text, End::Exit(PASSED));
        assert_eq!((judgement.passed, judgement.failed, judgement.faults), (1, 0, vec![]));
        let lost = judge(Program::Bench, "DONE 1 passed 0 failed\n", End::Exit(PASSED));
        assert_fault(&lost, &Fault::CountDiffers { claimed: (1, 0), counted: (0, 0) });
    }
}
