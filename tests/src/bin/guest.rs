//! `guest`: runs the suite in QEMU and prints one line a case.

#![forbid(unsafe_code)]

use anyhow::Result;
use pico_args::Arguments;
use portolan_tests::options;
use portolan_tests::record::Outcome;
use portolan_tests::report::{Judgement, Program, Report};
use portolan_tests::session::{self, Session};
use std::process::ExitCode;

/// No case is silent for longer; the suite itself gives up a case far sooner.
const SILENCE: u64 = 60;
const TOTAL: u64 = 900;

fn main() -> ExitCode {
    match suite(Arguments::from_env()) {
        Ok(judgement) => options::close(judgement.passed, judgement.failed),
        Err(error) => options::close_with(&error),
    }
}

fn suite(mut arguments: Arguments) -> Result<Judgement> {
    let only: Option<String> = arguments.opt_value_from_str("--test")?;
    let words = only.map_or("run=suite".into(), |name| format!("run=suite test={name}"));
    let boot = options::kernel(&mut arguments, words)?;
    let machine = options::machine(&mut arguments, boot)?;
    options::nothing_left(arguments)?;

    let mut shown = 0;
    let session = Session::run(&machine, "suite.log", session::limits(SILENCE, TOTAL), |_, report: &Report| {
        report.outcomes()[shown..].iter().for_each(show);
        shown = report.outcomes().len();
    })?;
    Ok(session.judge(Program::Suite))
}

fn show(case: &Outcome) {
    match &case.failure {
        None => println!("ok    {}", case.name),
        Some(reason) => println!("FAIL  {}: {reason}", case.name),
    }
}
