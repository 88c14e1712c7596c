//! The QEMU machine that runs Portolan: what it is made of, and how its end is read.
//!
//! A [`Machine`] is a description; [`Machine::command`] turns it into a command line and changes nothing.
//! The guest ends its machine by writing its verdict to a port (`isa-debug-exit`): only [`PASSED`] is a
//! success. A reset ends QEMU too (`-no-reboot`), with status 0, which therefore means nothing.

use crate::firmware::Uefi;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::str::FromStr;

const PROGRAM: &str = "qemu-system-x86_64";

/// The oldest QEMU that starts a 64-bit kernel by its PVH note.
const OLDEST: (u32, u32) = (4, 0);

/// QEMU's exit status when the guest wrote 16 to the debug-exit port.
pub const PASSED: i32 = 33;
/// QEMU's exit status when the guest wrote 17 to the debug-exit port.
pub const FAILED: i32 = 35;

/// A virtual machine, described.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What it boots.
    pub boot: Boot,
    /// How it runs instructions.
    pub engine: Engine,
    /// Its memory, in QEMU's words (`256M`, `2G`).
    pub memory: String,
    /// Where its serial line goes, in QEMU's words (`stdio`, `file:PATH`).
    pub serial: String,
    /// Where its screen is shown, in QEMU's words (`none`, `gtk`, `vnc=:1`). A kernel that is started without a disk has none.
    pub display: String,
    /// More of QEMU's own options.
    pub extra: Vec<OsString>,
}

/// What a machine boots.
#[derive(Debug, Clone)]
pub enum Boot {
    /// The kernel's ELF file by its PVH entry, with a boot archive and a command line.
    Kernel {
        /// The ELF file.
        kernel: PathBuf,
        /// The boot archive.
        archive: PathBuf,
        /// The command line; when it is empty, the one in the archive applies.
        words: String,
    },
    /// A disk image, which holds all of that.
    Disk {
        /// The image.
        image: PathBuf,
        /// What loads the boot loader from it: QEMU's own BIOS when there is no UEFI.
        uefi: Option<Uefi>,
    },
}

/// How a machine runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// By translation; works everywhere.
    Translated,
    /// By translation, on a virtual clock that ticks once an instruction: every run is the same.
    Counted,
    /// By the host's CPU, through KVM.
    Native,
}

impl FromStr for Engine {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "tcg" => Ok(Self::Translated),
            "kvm" => Ok(Self::Native),
            _ => bail!("there is no accelerator '{name}': it is tcg or kvm"),
        }
    }
}

impl Engine {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Translated => &["-accel", "tcg", "-cpu", "max"],
            Self::Native => &["-accel", "kvm", "-cpu", "host"],
            // A fixed date and a plain CPU: nothing of this host or of this day enters the run.
            Self::Counted => {
                &["-accel", "tcg", "-cpu", "qemu64", "-icount", "shift=0,sleep=off", "-rtc", "base=2020-01-01,clock=vm"]
            }
        }
    }
}

impl Machine {
    /// A machine with 256 MiB, its serial line on the standard streams, and its screen shown nowhere.
    pub fn new(boot: Boot) -> Self {
        let (memory, serial, display) = ("256M".into(), "stdio".into(), "none".into());
        Self { boot, engine: Engine::Translated, memory, serial, display, extra: Vec::new() }
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["-machine", "q35", "-nodefaults", "-no-user-config", "-no-reboot"]);
        command.args(["-display", &self.display, "-smp", "1", "-m", &self.memory]);
        command.args(["-serial", &self.serial]);
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        command.args(self.engine.options());
        match &self.boot {
            Boot::Kernel { kernel, archive, words } => {
                command.arg("-kernel").arg(kernel).arg("-initrd").arg(archive);
                if !words.is_empty() {
                    command.args(["-append", words]);
                }
            }
            Boot::Disk { image, uefi } => {
                if let Some(Uefi { code, variables }) = uefi {
                    command.arg("-drive").arg(drive("if=pflash,readonly=on,", code));
                    command.arg("-drive").arg(drive("if=pflash,", variables));
                }
                // A snapshot: several machines may run from one image, and none changes it.
                command.arg("-drive").arg(drive("snapshot=on,", image));
                command.args(["-vga", "std"]);
            }
        }
        command.args(&self.extra);
        command
    }

    /// Runs it on this terminal to its end.
    pub fn run(&self) -> Result<()> {
        let status = self.command().status().map_err(|error| match installed() {
            Err(missing) => missing,
            Ok(_) => anyhow!(error).context(format!("{PROGRAM} does not start")),
        })?;
        verdict(status)
    }
}

/// The value of a `-drive` option, where a comma in a path is written twice.
fn drive(options: &str, file: &Path) -> String {
    format!("format=raw,{options}file={}", file.to_string_lossy().replace(',', ",,"))
}

/// What the end of the machine says about the guest.
pub fn verdict(status: ExitStatus) -> Result<()> {
    match status.code() {
        Some(PASSED) => Ok(()),
        Some(FAILED) => bail!("the guest reports a failure"),
        Some(0) => bail!("the machine ended without a verdict: it was closed, or the guest reset it"),
        Some(code) => bail!("{PROGRAM} ended with status {code}"),
        None => bail!("{PROGRAM} was ended by a signal: {status}"),
    }
}

/// QEMU's version, if it is here and not too old.
pub fn installed() -> Result<String> {
    let output = Command::new(PROGRAM).arg("--version").output().with_context(|| {
        format!("{PROGRAM} is missing; 'apt-get install qemu-system-x86' brings it (or your system's package of QEMU)")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = version(&text).with_context(|| format!("{PROGRAM} tells no version: {text}"))?;
    ensure!(
        version >= OLDEST,
        "QEMU {}.{} is too old to start the kernel: {}.{} or newer is needed",
        version.0,
        version.1,
        OLDEST.0,
        OLDEST.1
    );
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_once("version ")?.1.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn kernel(words: &str) -> Machine {
        Machine::new(Boot::Kernel { kernel: "kernel".into(), archive: "archive".into(), words: words.into() })
    }

    fn options(machine: &Machine) -> Vec<String> {
        machine.command().get_args().map(|option| option.to_str().unwrap().into()).collect()
    }

    fn has(machine: &Machine, expected: &[&str]) -> bool {
        options(machine).windows(expected.len()).any(|some| some == expected)
    }

    #[test]
    fn the_command_line_reaches_the_guest_in_one_piece() {
        assert!(has(&kernel("run=demos demo=capacities"), &["-append", "run=demos demo=capacities"]));
    }

    #[test]
    fn an_empty_command_line_leaves_the_archives_in_force() {
        assert!(!options(&kernel("")).contains(&"-append".to_owned()));
    }

    #[test]
    fn uefi_is_two_flash_images_and_never_bios() {
        let uefi = Uefi { code: "code".into(), variables: "variables".into() };
        let machine = Machine::new(Boot::Disk { image: "disk".into(), uefi: Some(uefi) });
        assert!(has(&machine, &["-drive", "format=raw,if=pflash,readonly=on,file=code"]));
        assert!(has(&machine, &["-drive", "format=raw,if=pflash,file=variables"]));
        assert!(has(&machine, &["-drive", "format=raw,snapshot=on,file=disk"]));
        assert!(!options(&machine).contains(&"-bios".to_owned()));
    }

    #[test]
    fn a_counted_machine_knows_no_wall_clock() {
        let machine = Machine { engine: Engine::Counted, ..kernel("run=bench") };
        assert!(has(&machine, &["-icount", "shift=0,sleep=off", "-rtc", "base=2020-01-01,clock=vm"]));
    }

    #[test]
    fn only_the_guests_own_word_is_a_success() {
        let ended = |code: i32| verdict(ExitStatus::from_raw(code << 8));
        assert!(ended(PASSED).is_ok());
        for code in [0, 1, FAILED, 255] {
            assert!(ended(code).is_err(), "status {code}");
        }
        assert!(verdict(ExitStatus::from_raw(9)).is_err(), "killed");
    }

    #[test]
    fn a_version_is_read_from_what_qemu_prints() {
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2)"), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0"), Some((10, 0)));
        assert_eq!(version("command not found"), None);
    }

    #[test]
    fn an_unknown_accelerator_is_named() {
        assert!("xen".parse::<Engine>().unwrap_err().to_string().contains("'xen'"));
    }
}
