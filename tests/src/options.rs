//! How the test programs are called and how they end: common options, and the closing line.

use anyhow::{Result, ensure};
use pico_args::Arguments;
use portolan_boot::qemu::{Boot, Engine, Machine};
use std::process::ExitCode;

/// Ends a test program: its counts on the last line, and a status that says the same.
pub fn close(passed: usize, failed: usize) -> ExitCode {
    println!("{passed} passed, {failed} failed");
    if passed > 0 && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends a test program that could not run at all.
pub fn close_with(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    close(0, 1)
}

/// The kernel and the archive that `--kernel` and `--archive` name.
pub fn kernel(arguments: &mut Arguments, words: String) -> Result<Boot> {
    let kernel = arguments.value_from_str("--kernel")?;
    let archive = arguments.value_from_str("--archive")?;
    Ok(Boot::Kernel { kernel, archive, words })
}

/// A machine as `--accel` and `--memory` describe it.
pub fn machine(arguments: &mut Arguments, boot: Boot) -> Result<Machine> {
    let mut machine = Machine::new(boot);
    if let Some(engine) = arguments.opt_value_from_str::<_, Engine>("--accel")? {
        machine.engine = engine;
    }
    if let Some(memory) = arguments.opt_value_from_str("--memory")? {
        machine.memory = memory;
    }
    Ok(machine)
}

/// Refuses what no option has taken.
pub fn nothing_left(arguments: Arguments) -> Result<()> {
    let rest = arguments.finish();
    ensure!(rest.is_empty(), "this means nothing here: {rest:?}");
    Ok(())
}
