//! `portolan-boot`: packs the boot archive and starts QEMU.
//!
//! The work is in the library; here are the words that one types, and the files that they name.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail, ensure};
use pico_args::Arguments;
use portolan_boot::archive::{self, Archive};
use portolan_boot::firmware::Uefi;
use portolan_boot::qemu::{self, Boot, Machine};
use portolan_boot::symbols;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: portolan-boot pack --kernel ELF --out ARCHIVE [--words WORDS] PROGRAM...
       portolan-boot symbols KERNEL
       portolan-boot run --kernel ELF --archive ARCHIVE [--words WORDS] [MACHINE] [-- QEMU OPTIONS]
       portolan-boot run --disk IMAGE [--uefi-variables FILE] [MACHINE] [-- QEMU OPTIONS]
       portolan-boot version
MACHINE: [--memory SIZE] [--accel tcg|kvm] [--serial WHERE] [--display WHERE]";

fn main() -> ExitCode {
    match command(Arguments::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portolan-boot: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(mut arguments: Arguments) -> Result<()> {
    match arguments.subcommand()?.as_deref() {
        Some("pack") => pack(arguments),
        Some("symbols") => print_symbols(arguments),
        Some("run") => run(arguments),
        Some("version") => print_version(arguments),
        _ => bail!("{USAGE}"),
    }
}

fn pack(mut arguments: Arguments) -> Result<()> {
    let kernel: PathBuf = arguments.value_from_str("--kernel")?;
    let out: PathBuf = arguments.value_from_str("--out")?;
    let words: String = arguments.opt_value_from_str("--words")?.unwrap_or_default();
    let mut archive = Archive::default();
    archive.add(archive::COMMAND_LINE, words.into_bytes())?;
    archive.add(symbols::FILE, symbols_of(&kernel)?.into_bytes())?;
    for program in paths(arguments)? {
        let name = program.file_name().and_then(|name| name.to_str());
        archive.add(name.context("a program's file name must be text")?, read(&program)?)?;
    }
    write_changed(&out, &archive.pack()?)
}

fn print_symbols(arguments: Arguments) -> Result<()> {
    for kernel in paths(arguments)? {
        print!("{}", symbols_of(&kernel)?);
    }
    Ok(())
}

fn run(arguments: Arguments) -> Result<()> {
    let (mut arguments, extra) = split_at_dashes(arguments);
    let mut machine = Machine::new(boot(&mut arguments)?);
    machine.extra = extra;
    if let Some(memory) = arguments.opt_value_from_str("--memory")? {
        machine.memory = memory;
    }
    if let Some(engine) = arguments.opt_value_from_str("--accel")? {
        machine.engine = engine;
    }
    if let Some(serial) = arguments.opt_value_from_str("--serial")? {
        machine.serial = serial;
    }
    if let Some(display) = arguments.opt_value_from_str("--display")? {
        machine.display = display;
    }
    nothing_left(arguments)?;
    machine.run()
}

fn boot(arguments: &mut Arguments) -> Result<Boot> {
    let Some(image) = arguments.opt_value_from_str("--disk")? else {
        return Ok(Boot::Kernel {
            kernel: arguments.value_from_str("--kernel")?,
            archive: arguments.value_from_str("--archive")?,
            words: arguments.opt_value_from_str("--words")?.unwrap_or_default(),
        });
    };
    let variables: Option<PathBuf> = arguments.opt_value_from_str("--uefi-variables")?;
    let uefi = variables.map(|file| Uefi::install(&file)).transpose()?;
    Ok(Boot::Disk { image, uefi })
}

fn print_version(arguments: Arguments) -> Result<()> {
    nothing_left(arguments)?;
    println!("{}", qemu::installed()?);
    Ok(())
}

/// What follows `--` goes to QEMU as it is.
fn split_at_dashes(arguments: Arguments) -> (Arguments, Vec<std::ffi::OsString>) {
    let mut ours = arguments.finish();
    let Some(dashes) = ours.iter().position(|argument| argument == "--") else {
        return (Arguments::from_vec(ours), Vec::new());
    };
    let extra = ours.split_off(dashes + 1);
    ours.truncate(dashes);
    (Arguments::from_vec(ours), extra)
}

fn nothing_left(arguments: Arguments) -> Result<()> {
    let rest = arguments.finish();
    ensure!(rest.is_empty(), "this means nothing here: {rest:?}\n{USAGE}");
    Ok(())
}

fn paths(arguments: Arguments) -> Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = arguments.finish().into_iter().map(PathBuf::from).collect();
    let option = paths.iter().find(|path| path.to_string_lossy().starts_with('-'));
    ensure!(option.is_none(), "there is no option {option:?}\n{USAGE}");
    ensure!(!paths.is_empty(), "{USAGE}");
    Ok(paths)
}

fn symbols_of(kernel: &Path) -> Result<String> {
    symbols::table(&read(kernel)?).with_context(|| format!("in {}", kernel.display()))
}

/// Leaves a file alone that already holds these bytes: what is made from it need not be made again.
fn write_changed(file: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
