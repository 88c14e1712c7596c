//! One machine from power-on to its end, within limits of time.
//!
//! Its serial line is read on a thread of its own, so that silence can be noticed. A machine that says
//! nothing for too long is asked for its registers through QEMU's monitor, gets a non-maskable interrupt, on
//! which the kernel tells what everyone waits for, and another, on which a kernel that hangs tells where; then it
//! is ended. Whole lines only are handed over: a last line without its end was cut off, and is marked so.

use anyhow::{Context, Result, ensure};
use portolan_boot::qemu::{self, Machine};
use std::fmt::{self, Display, Formatter};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// QEMU's exit status; a signal is its negative number.
    Exit(i32),
    /// It said nothing for so long that it was ended.
    Silent {
        /// For how long.
        seconds: u64,
        /// What the monitor told of the CPU.
        registers: String,
    },
    /// It talked on, and was ended when its time was up.
    Late {
        /// After how long.
        seconds: u64,
    },
}

/// How long a machine may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Between two lines.
    pub silence: Duration,
    /// In all.
    pub total: Duration,
}

/// How long a silent kernel is listened to after it was interrupted.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long the monitor may take for a command.
const OBEDIENCE: Duration = Duration::from_secs(30);

/// What is added to a last line that has no end.
pub const CUT_OFF: &str = " <cut off>";

/// Text that is typed at the machine's serial line.
#[derive(Debug, Clone, Copy)]
pub struct Typing {
    /// After a line that has this in it, and after what is typed before it.
    pub after: &'static str,
    /// What is typed.
    pub text: &'static str,
}

/// What is done to the machine from outside, by QEMU's monitor.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// After a line that has this in it, and after what is ordered before it.
    pub after: &'a str,
    /// The monitor's command, or several, a line each.
    pub commands: &'a str,
    /// How often, each once the one before has been obeyed.
    pub times: usize,
}

/// What comes from outside while a machine runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outside<'a> {
    /// What is typed.
    pub typing: &'a [Typing],
    /// What is ordered.
    pub orders: &'a [Order<'a>],
}

/// Runs a machine and hands each serial line to `line` as it comes.
///
/// The machine's serial line is taken over, and `scratch` is a file name for its monitor's socket.
pub fn run(
    machine: &Machine,
    scratch: &Path,
    limits: Limits,
    outside: Outside,
    mut line: impl FnMut(&str),
) -> Result<End> {
    qemu::installed()?;
    let mut guest = Guest::start(machine, scratch)?;
    let mut typing = outside.typing.iter().peekable();
    let mut orders = outside.orders.iter().peekable();
    let started = Instant::now();
    loop {
        let left = limits.total.saturating_sub(started.elapsed());
        match guest.lines.recv_timeout(left.min(limits.silence)) {
            Ok(text) => {
                line(&text);
                if let Some(typing) = typing.next_if(|typing| text.contains(typing.after)) {
                    guest.keyboard.write_all(typing.text.as_bytes()).context("QEMU takes no input")?;
                }
                if let Some(order) = orders.next_if(|order| text.contains(order.after)) {
                    order.give(&guest.monitor)?;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return guest.wait(left.min(limits.silence)),
            Err(RecvTimeoutError::Timeout) if left <= limits.silence => {
                return Ok(End::Late { seconds: limits.total.as_secs() });
            }
            Err(RecvTimeoutError::Timeout) => {
                let registers =
                    interrogate(&guest.monitor).unwrap_or_else(|error| format!("the monitor does not answer: {error}"));
                guest.last_words(&mut line);
                return Ok(End::Silent { seconds: limits.silence.as_secs(), registers });
            }
        }
    }
}

impl Order<'_> {
    fn give(&self, monitor: &Path) -> Result<()> {
        let mut monitor = UnixStream::connect(monitor).context("the monitor does not answer")?;
        monitor.set_read_timeout(Some(OBEDIENCE))?;
        let mut answers = BufReader::new(monitor.try_clone()?);
        // The first prompt greets.
        ensure!(prompt(&mut answers), "the monitor does not answer");
        for time in 0..self.times {
            for command in self.commands.lines() {
                writeln!(monitor, "{command}")?;
                ensure!(prompt(&mut answers), "the monitor has obeyed `{command}` only {time} times");
            }
        }
        Ok(())
    }
}

/// Waits until the monitor takes a command; whether it does.
fn prompt(answers: &mut impl BufRead) -> bool {
    const PROMPT: &[u8] = b"(qemu) ";
    let mut answer = Vec::new();
    while !answer.ends_with(PROMPT) {
        if !answers.read_until(b' ', &mut answer).is_ok_and(|length| length > 0) {
            return false;
        }
    }
    true
}

/// A running machine; dropping it ends it.
struct Guest {
    qemu: Child,
    lines: Receiver<String>,
    keyboard: ChildStdin,
    monitor: PathBuf,
}

impl Guest {
    fn start(machine: &Machine, scratch: &Path) -> Result<Self> {
        let monitor = scratch.to_owned();
        let mut command = machine.command();
        command.arg("-monitor").arg(format!("unix:{},server,nowait", monitor.display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut qemu = command.spawn().context("QEMU does not start")?;
        let serial = qemu.stdout.take().context("QEMU has no output")?;
        let keyboard = qemu.stdin.take().context("QEMU has no input")?;
        Ok(Self { qemu, keyboard, lines: lines(serial), monitor })
    }

    fn last_words(&self, line: &mut impl FnMut(&str)) {
        let until = Instant::now() + LAST_WORDS;
        while let Ok(text) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            line(&text);
        }
    }

    /// Its serial line is closed: it has ended, or is about to.
    fn wait(&mut self, patience: Duration) -> Result<End> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Some(status) = self.qemu.try_wait()? {
                return Ok(End::Exit(number(status)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(End::Silent { seconds: patience.as_secs(), registers: String::new() })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when it has ended already, and the socket is gone with it.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let _ = std::fs::remove_file(&self.monitor);
    }
}

fn number(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

fn lines(serial: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut serial = BufReader::new(serial);
        while let Some(line) = next_line(&mut serial) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn next_line(serial: &mut impl BufRead) -> Option<String> {
    let mut bytes = Vec::new();
    let length = serial.read_until(b'\n', &mut bytes).ok()?;
    let whole = bytes.ends_with(b"\n");
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    (length > 0).then(|| if whole { text.to_owned() } else { format!("{text}{CUT_OFF}") })
}

/// Asks QEMU's monitor for the CPU's registers, and interrupts the CPU so that the kernel tells what it knows.
fn interrogate(monitor: &Path) -> Result<String> {
    let mut stream = UnixStream::connect(monitor)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"info registers\nnmi\n")?;
    let mut answer = Vec::new();
    // The monitor waits for more commands, so the reading ends by the time-out.
    let _ = stream.read_to_end(&mut answer);
    stream.write_all(b"nmi\n")?;
    // QEMU reads it only as long as this end of the line is there.
    let _ = stream.read_to_end(&mut answer);
    Ok(general_registers(&String::from_utf8_lossy(&answer)))
}

fn general_registers(answer: &str) -> String {
    let vector = |line: &str| ["FPR", "XMM", "YMM", "FCW"].iter().any(|name| line.starts_with(name));
    let registers = answer.lines().map(str::trim_end).filter(|line| line.contains('=') && !vector(line));
    registers.collect::<Vec<_>>().join("\n")
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(0) => write!(f, "ended without a verdict: most likely the guest reset it"),
            Self::Exit(qemu::PASSED) => write!(f, "ended with the code of a success"),
            Self::Exit(qemu::FAILED) => write!(f, "ended with the code of a failure"),
            Self::Exit(code) if *code < 0 => write!(f, "was ended by signal {}", -code),
            Self::Exit(code) => write!(f, "ended with status {code}"),
            Self::Silent { seconds, registers } => {
                write!(f, "said nothing for {seconds} s and was ended; its registers were:\n{registers}")
            }
            Self::Late { seconds } => write!(f, "was ended after {seconds} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<String> {
        let mut serial = bytes;
        std::iter::from_fn(|| next_line(&mut serial)).collect()
    }

    #[test]
    fn a_line_ends_as_terminals_end_it() {
        assert_eq!(read(b"one\r\n\ntwo\n"), ["one", "", "two"]);
    }

    #[test]
    fn a_line_cut_off_is_no_whole_line() {
        assert_eq!(read(b"DONE 1 passed 0 failed"), ["DONE 1 passed 0 failed <cut off>"]);
    }

    #[test]
    fn registers_are_what_the_monitor_says_but_for_its_prompt_and_the_vectors() {
        let answer = "QEMU 7.2 monitor\r\n(qemu) info registers\r\nRIP=1 RFL=2\r\nXMM00=0 0\r\nCR3=3\r\n";
        assert_eq!(general_registers(answer), "RIP=1 RFL=2\nCR3=3");
    }

    #[test]
    fn bytes_that_are_no_text_do_not_stop_the_reading() {
        assert_eq!(read(b"\xff\xfe\nOK a\n"), ["\u{fffd}\u{fffd}", "OK a"]);
    }
}
