//! `demos`: boots the demos from disk images and judges their results.
//!
//! `--bios` and `--uefi` name the images; each boot counts as one test.

#![forbid(unsafe_code)]

use anyhow::Result;
use pico_args::Arguments;
use portolan_boot::firmware::Uefi;
use portolan_boot::qemu::{Boot, Machine};
use portolan_tests::options;
use portolan_tests::report::Program;
use portolan_tests::session::{self, Session};
use std::path::PathBuf;
use std::process::ExitCode;

/// UEFI takes seconds before the kernel can say its first word.
const SILENCE: u64 = 60;
const TOTAL: u64 = 300;

fn main() -> ExitCode {
    match demos(Arguments::from_env()) {
        Ok((passed, failed)) => options::close(passed, failed),
        Err(error) => options::close_with(&error),
    }
}

fn demos(mut arguments: Arguments) -> Result<(usize, usize)> {
    let mut boots = Vec::new();
    if let Some(image) = arguments.opt_value_from_str("--bios")? {
        boots.push(("bios", Boot::Disk { image, uefi: None }));
    }
    if let Some(image) = arguments.opt_value_from_str::<_, PathBuf>("--uefi")? {
        let uefi = Some(Uefi::install(&image.with_extension("variables"))?);
        boots.push(("uefi", Boot::Disk { image, uefi }));
    }
    options::nothing_left(arguments)?;

    let mut passed = 0;
    for (way, boot) in &boots {
        passed += usize::from(boot_demos(way, boot)?);
    }
    Ok((passed, boots.len() - passed))
}

fn boot_demos(way: &str, boot: &Boot) -> Result<bool> {
    let machine = Machine::new(boot.clone());
    let log = format!("demos-{way}.log");
    let limits = session::limits(SILENCE, TOTAL);
    let session = Session::run(&machine, &log, limits, |_| {})?;
    let outcomes = session.report.outcomes().to_vec();
    let judgement = session.judge(Program::Demos);
    for demo in outcomes {
        match demo.failure {
            None => println!("ok    {way}: {}", demo.name),
            Some(reason) => println!("FAIL  {way}: {}: {reason}", demo.name),
        }
    }
    Ok(judgement.failed == 0)
}
