//! `guest`: tests in QEMU, one line a case.
//!
//! Boots: the kernel's own tests (the word `selftest`), the suite of user tasks (`run=suite`), the
//! tests of the C library, themselves in C (`run=c-tests`), conversations, in which this program types,
//! disturbances by hardware, processors that lack something, crashes that are asked for, and a machine whose time is
//! counted in instructions.
//! `--test NAME` runs one case, or those whose names begin so, of the suite unless the name starts with `kernel::`,
//! `c::`, `typed::`, `disturbance::`, `processor::`, `crash::` or `counted::`.

#![forbid(unsafe_code)]

use anyhow::Result;
use pico_args::Arguments;
use portolan_boot::qemu::{Boot, Engine, Machine};
use portolan_tests::conversation;
use portolan_tests::crash;
use portolan_tests::disturbance;
use portolan_tests::options;
use portolan_tests::processor;
use portolan_tests::record::Outcome;
use portolan_tests::report::{Judgement, Program, Report};
use portolan_tests::session::{self, Session};
use std::process::ExitCode;

/// No case is silent for longer; the suite itself gives up a case far sooner.
const SILENCE: u64 = 60;
const TOTAL: u64 = 900;

/// The command line of the tests in C: with a console and a name server, as a person's programs run.
const C_TESTS: &str = "run=c-tests servers=servers.conf console=kernel";

/// Cases that are a boot of their own.
const ALONE: &[&str] = &["typed::", "disturbance::", "processor::", "crash::", "counted::"];

/// The case in which a deadline is to come at each instruction, on a machine where it does.
const COUNTED: &str = "counted::a_deadline_at_every_instruction_of_a_trap";
/// What it is called in the suite, which runs it on the machine of all the others, too.
const COUNTED_WORDS: &str = "run=suite test=cpu::a_deadline_at_every_instruction_of_a_trap";

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
        Some(name) if ALONE.iter().any(|kind| name.starts_with(kind)) => vec![],
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
    let chosen = |name: &str| only.as_ref().is_none_or(|only| name.starts_with(only));
    let mut tell = |name: &str, missing: &[String]| {
        let failure = (!missing.is_empty()).then(|| format!("not said: {}", missing.join(", ")));
        show(&Outcome { name: name.into(), failure });
        *if missing.is_empty() { &mut passed } else { &mut failed } += 1;
    };
    for conversation in conversation::ALL.iter().filter(|conversation| chosen(conversation.name)) {
        tell(conversation.name, &conversation.hold(&with_words(&machine, conversation.words.into()))?);
    }
    for disturbance in disturbance::ALL.iter().filter(|disturbance| chosen(disturbance.name)) {
        tell(disturbance.name, &disturbance.befalls(&with_words(&machine, disturbance.words.into()))?);
    }
    for processor in processor::ALL.iter().filter(|processor| chosen(processor.name)) {
        let said = processor.says(&with_words(&machine, processor::WORDS.into()))?;
        let missing = if said { vec![] } else { vec![processor.expected.to_owned()] };
        tell(processor.name, &missing);
    }
    for crash in crash::ALL.iter().filter(|crash| chosen(crash.name)) {
        tell(crash.name, &crash.on(&with_words(&machine, crash.words.into()))?);
    }
    if chosen(COUNTED) {
        let counted = Machine { engine: Engine::Counted, ..machine };
        let judgement = boot_with(&counted, "counted", COUNTED_WORDS.into())?;
        passed += judgement.passed;
        failed += judgement.failed;
    }
    Ok((passed, failed))
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
