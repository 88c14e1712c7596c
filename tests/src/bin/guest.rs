//! `guest`: tests in QEMU, one line a case.
//!
//! Two boots: the kernel's own tests (the word `selftest`) and the suite of user tasks (`run=suite`).
//! `--test NAME` runs one case, of the suite unless its name starts with `kernel::`.

#![forbid(unsafe_code)]

use anyhow::Result;
use pico_args::Arguments;
use portolan_boot::qemu::{Boot, Machine};
use portolan_tests::options;
use portolan_tests::record::Outcome;
use portolan_tests::report::{Judgement, Program, Report};
use portolan_tests::session::{self, Session};
use std::process::ExitCode;

/// No case is silent for longer; the suite itself gives up a case far sooner.
const SILENCE: u64 = 60;
const TOTAL: u64 = 900;

fn main() -> ExitCode {
    match test(Arguments::from_env()) {
        Ok((passed, failed)) => options::close(passed, failed),
        Err(error) => options::close_with(&error),
    }
}

fn test(mut arguments: Arguments) -> Result<(usize, usize)> {
    let only: Option<String> = arguments.opt_value_from_str("--test")?;
    let boot = options::kernel(&mut arguments, String::new())?;
    let machine = options::machine(&mut arguments, boot)?;
    options::nothing_left(arguments)?;

    let boots = match only {
        None => vec![("selftest", "selftest".into()), ("suite", "run=suite".into())],
        Some(name) if name.starts_with("kernel::") => {
            vec![("selftest", format!("selftest test={name}"))]
        }
        Some(name) => vec![("suite", format!("run=suite test={name}"))],
    };
    let (mut passed, mut failed) = (0, 0);
    for (log, words) in boots {
        let judgement = boot_with(&machine, log, words)?;
        passed += judgement.passed;
        failed += judgement.failed;
    }
    Ok((passed, failed))
}

fn boot_with(machine: &Machine, log: &str, line: String) -> Result<Judgement> {
    let mut machine = machine.clone();
    if let Boot::Kernel { words, .. } = &mut machine.boot {
        *words = line;
    }
    let mut shown = 0;
    let show_new = |report: &Report| {
        report.outcomes()[shown..].iter().for_each(show);
        shown = report.outcomes().len();
    };
    let session = Session::run(&machine, &format!("{log}.log"), session::limits(SILENCE, TOTAL), show_new)?;
    Ok(session.judge(Program::Suite))
}

fn show(case: &Outcome) {
    match &case.failure {
        None => println!("ok    {}", case.name),
        Some(reason) => println!("FAIL  {}: {reason}", case.name),
    }
}
