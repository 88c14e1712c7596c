//! `bench`: runs the benchmarks on a machine that counts instructions, and compares the figures.
//!
//! `--counter` names the plugin that finds the longest stretch with interrupts off; `--breakdown` shows what
//! the instructions are, as the plugin counts them; `--twice` runs everything a second time and fails when any
//! figure differs.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use pico_args::Arguments;
use portolan_boot::qemu::{Engine, Machine};
use portolan_tests::breakdown::{self, Breakdown};
use portolan_tests::figures::Peers;
use portolan_tests::record::Figure;
use portolan_tests::report::Program;
use portolan_tests::session::{self, Session};
use portolan_tests::{figures, options};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const SILENCE: u64 = 120;
const TOTAL: u64 = 900;

/// Where the plugin writes its counts.
const COUNTS: &str = "target/logs/bench.counts";

fn main() -> ExitCode {
    match bench(Arguments::from_env()) {
        Ok(measured) => options::close(measured, 0),
        Err(error) => options::close_with(&error),
    }
}

fn bench(mut arguments: Arguments) -> Result<usize> {
    let out: PathBuf = arguments.value_from_str("--out")?;
    let counter: PathBuf = arguments.value_from_str("--counter")?;
    let breakdown = arguments.contains("--breakdown");
    let twice = arguments.contains("--twice");
    let boot = options::kernel(&mut arguments, "run=bench".into())?;
    options::nothing_left(arguments)?;
    let mut machine = Machine::new(boot);
    machine.engine = Engine::Counted;
    // The kernel's heap is an eighth: room for a hundred thousand of each, and for what objects before have left.
    machine.memory = "1536M".into();

    let (figures, breakdowns) = measure(&machine, &counter)?;
    if twice {
        let (again, _) = measure(&machine, &counter)?;
        figures::same(&figures, &again)?;
    }
    let comparison = Peers::known()?.compare(&figures, &breakdowns);
    print!("{comparison}");
    if breakdown {
        breakdowns.iter().for_each(|parts| println!("{parts}"));
    }
    std::fs::write(&out, comparison.json()?).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(figures.len())
}

fn measure(machine: &Machine, counter: &Path) -> Result<(Vec<Figure>, Vec<Breakdown>)> {
    ensure!(counter.exists(), "there is no plugin {}", counter.display());
    let mut machine = machine.clone();
    let plugin = format!("{},out={COUNTS}", counter.display());
    machine.extra.extend(["-plugin".into(), plugin.into()]);
    let limits = session::limits(SILENCE, TOTAL);
    let session = Session::run(&machine, "bench.log", limits, |_| {})?;
    let (mut figures, marks) = (session.report.figures().to_vec(), session.report.marks().to_vec());
    ensure!(session.judge(Program::Bench).failed == 0, "the benchmarks did not run to their end");
    let counts = std::fs::read_to_string(COUNTS).with_context(|| format!("cannot read {COUNTS}"))?;
    figures.extend(breakdown::stretches(&counts, &marks)?);
    Ok((figures, breakdown::read(&counts, &marks)?))
}
