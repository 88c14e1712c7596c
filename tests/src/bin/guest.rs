//! `guest`: tests in QEMU, one line a case.
//!
//! Four boots: the kernel's own tests (the word `selftest`), the suite of user tasks (`run=suite`), the
//! tests of the C library, themselves in C (`run=c-tests`), and a conversation with the console server, in
//! which this program types. `--test NAME` runs one case, or those whose names begin so, of the suite unless
//! the name starts with `kernel::` or `c::`.

#![forbid(unsafe_code)]

use anyhow::Result;
use pico_args::Arguments;
use portolan_boot::qemu::{Boot, Machine};
use portolan_tests::guest::Typing;
use portolan_tests::options;
use portolan_tests::record::Outcome;
use portolan_tests::report::{Judgement, Program, Report};
use portolan_tests::session::{self, Session};
use std::process::ExitCode;

/// No case is silent for longer; the suite itself gives up a case far sooner.
const SILENCE: u64 = 60;
const TOTAL: u64 = 900;

/// The command line of the tests in C: with a console and a name server, as a person's programs run.
const C_TESTS: &str = "run=c-tests servers=servers.conf console=kernel";

/// The name of the conversation.
const CONVERSATION: &str = "typed::a_name_is_shown_and_read";

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

    let boots = match &only {
        None => vec![("selftest", "selftest".into()), ("suite", "run=suite".into()), ("c", C_TESTS.into())],
        Some(name) if name == CONVERSATION => vec![],
        Some(name) if name.starts_with("kernel::") => {
            vec![("selftest", format!("selftest test={name}"))]
        }
        Some(name) if name.starts_with("c::") => vec![("c", format!("{C_TESTS} -- {name}"))],
        Some(name) => vec![("suite", format!("run=suite test={name}"))],
    };
    let (mut passed, mut failed) = (0, 0);
    for (log, words) in boots {
        let judgement = boot_with(&machine, log, words)?;
        passed += judgement.passed;
        failed += judgement.failed;
    }
    if only.is_none_or(|name| name == CONVERSATION) {
        let answered = converse(&machine)?;
        passed += usize::from(answered);
        failed += usize::from(!answered);
    }
    Ok((passed, failed))
}

/// Types a name with a mistake, and sees whether it is shown, corrected, and read.
fn converse(machine: &Machine) -> Result<bool> {
    let machine = with_words(machine, "run=demos demo=greet servers=servers.conf".into());
    let typing = Typing { after: "== greet", text: "Adx\x7fa\r" };
    let limits = session::limits(SILENCE, TOTAL);
    let session = Session::run_typing(&machine, "console.log", limits, Some(typing), |_| {})?;
    let shown = session.said("Adx\x08 \x08a");
    let read = session.said("Hello, Ada!");
    let passed = session.judge(Program::Demos).failed == 0 && shown && read;
    match passed {
        true => println!("ok    {CONVERSATION}"),
        false => println!("FAIL  {CONVERSATION}: shown: {shown}, read: {read}"),
    }
    Ok(passed)
}

fn with_words(machine: &Machine, line: String) -> Machine {
    let mut machine = machine.clone();
    if let Boot::Kernel { words, .. } = &mut machine.boot {
        *words = line;
    }
    machine
}

fn boot_with(machine: &Machine, log: &str, line: String) -> Result<Judgement> {
    let machine = with_words(machine, line);
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
