//! One run of one guest program: the machine, its report, and a log of all that it said.

use crate::guest::{self, End, Limits, Outside};
use crate::report::{Judgement, Program, Report};
use anyhow::{Context, Result};
use portolan_boot::qemu::{Machine, PASSED};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How many lines of a failed run are shown; its log has them all.
const SHOWN: usize = 40;

/// A run that has ended.
pub struct Session {
    /// What was said, as records.
    pub report: Report,
    log: PathBuf,
    lines: Vec<String>,
    end: End,
}

impl Session {
    /// Runs a machine to its end; `watch` sees the report after every line.
    pub fn run(machine: &Machine, log: &str, limits: Limits, watch: impl FnMut(&Report)) -> Result<Self> {
        Self::run_within(machine, log, limits, Outside::default(), watch)
    }

    /// The same, and something comes from outside meanwhile.
    pub fn run_within(
        machine: &Machine,
        log: &str,
        limits: Limits,
        outside: Outside,
        mut watch: impl FnMut(&Report),
    ) -> Result<Self> {
        let log = folder()?.join(log);
        let mut file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut report = Report::default();
        let mut lines = Vec::new();
        let monitor = log.with_extension("monitor");
        let end = guest::run(machine, &monitor, limits, outside, |line| {
            // A log that cannot be written is no reason to lose the run.
            let _ = writeln!(file, "{line}");
            report.line(line);
            watch(&report);
            lines.push(line.to_owned());
        })?;
        Ok(Self { report, log, lines, end })
    }

    /// Whether a line has this in it.
    pub fn said(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    /// What of this no line has in it.
    pub fn missing(&self, expected: &[&str]) -> Vec<String> {
        expected.iter().filter(|expected| !self.said(expected)).map(|expected| format!("{expected:?}")).collect()
    }

    /// How the machine ended.
    pub fn end(&self) -> &End {
        &self.end
    }

    /// Why its end is none of a success, if it is not.
    pub fn failure(&self) -> Option<String> {
        (self.end != End::Exit(PASSED)).then(|| format!("a good end: the machine {}", self.end))
    }

    /// Shows the end of its log, and what has failed before.
    pub fn show_end(&self) {
        let (before, last) = self.lines.split_at(self.lines.len().saturating_sub(SHOWN));
        before.iter().filter(|line| line.starts_with("FAIL")).for_each(|line| println!("{line}"));
        println!("---- the last lines of {}", self.log.display());
        last.iter().for_each(|line| println!("{line}"));
        println!("----");
    }

    /// Judges it, and shows the end of its log when it does not add up.
    pub fn judge(mut self, program: Program) -> Judgement {
        let judgement = std::mem::take(&mut self.report).judge(program, self.end.clone());
        if !judgement.faults.is_empty() {
            self.show_end();
            judgement.faults.iter().for_each(|fault| println!("FAULT: {fault}"));
        }
        judgement
    }
}

/// Limits in seconds: between two lines, and in all.
pub fn limits(silence: u64, total: u64) -> Limits {
    Limits { silence: Duration::from_secs(silence), total: Duration::from_secs(total) }
}

/// The log of the case with this name.
pub fn log_of(case: &str) -> String {
    format!("{}.log", case.replace("::", "-"))
}

fn folder() -> Result<&'static Path> {
    let folder = Path::new("target/logs");
    std::fs::create_dir_all(folder).context("cannot make the folder target/logs")?;
    Ok(folder)
}
