//! `demos`: boots disk images that run the demos and then the shell, and judges their results.
//!
//! `--bios` and `--uefi` name the images; each boot counts as one test. The shell is used by the machine's screen and
//! keyboard alone, and its console server killed meanwhile.

#![forbid(unsafe_code)]

use anyhow::Result;
use pico_args::Arguments;
use portolan_boot::firmware::Uefi;
use portolan_boot::qemu::{Boot, Machine};
use portolan_tests::guest::{Order, Outside};
use portolan_tests::options;
use portolan_tests::report::Program;
use portolan_tests::seat;
use portolan_tests::session::{self, Session};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// UEFI takes seconds before the kernel can say its first word.
const SILENCE: u64 = 60;
const TOTAL: u64 = 300;

/// What is typed at the keyboard, and after which line.
const TYPED: [(&str, &str); 3] = [
    ("This is Portolan's shell", "servers kill console\n"),
    ("console has been ended", "machine\n"),
    ("free memory", "exit\n"),
];
/// What the screen shows before the last of it.
const SHOWN: [&str; 3] = ["console has been ended", "portolan> machine", "free memory"];

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
    let picture = Path::new("target/logs").join(format!("demos-{way}.ppm"));
    // One of an earlier run shows nothing. There may be none.
    let _ = std::fs::remove_file(&picture);
    let mut commands: Vec<String> = TYPED.iter().map(|(_, text)| seat::press(text)).collect::<Result<_>>()?;
    // Before the last is typed: it ends the machine.
    commands[TYPED.len() - 1].insert_str(0, &seat::look(&picture));
    let orders: Vec<Order> =
        TYPED.iter().zip(&commands).map(|((after, _), commands)| Order { after, commands, times: 1 }).collect();
    let outside = Outside { orders: &orders, ..Outside::default() };
    let session = Session::run_within(&machine, &log, limits, outside, |_| {})?;
    let outcomes = session.report.outcomes().to_vec();
    let judgement = session.judge(Program::Demos);
    for demo in outcomes {
        match demo.failure {
            None => println!("ok    {way}: {}", demo.name),
            Some(reason) => println!("FAIL  {way}: {}: {reason}", demo.name),
        }
    }
    Ok(shows(way, seat::text(&picture)) && judgement.failed == 0)
}

/// Whether the screen shows what it should.
fn shows(way: &str, screen: Result<Vec<String>>) -> bool {
    let missing = screen.map(|rows| SHOWN.into_iter().find(|part| !rows.iter().any(|row| row.contains(part))));
    match missing {
        Ok(None) => println!("ok    {way}: screen and keyboard"),
        Ok(Some(part)) => println!("FAIL  {way}: the screen does not show {part:?}"),
        Err(ref error) => println!("FAIL  {way}: the screen cannot be seen: {error:#}"),
    }
    matches!(missing, Ok(None))
}
