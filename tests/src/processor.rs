//! Processors that lack something: what the kernel can do without, it does without; where it cannot,
//! it says so and does not start.

use crate::session::{self, Session};
use anyhow::Result;
use portolan_boot::qemu::{Engine, Machine};

/// What the kernel is to do if it starts.
pub const WORDS: &str = "run=suite test=ipc::the_header_is_swapped";

/// What is said when it has.
const STARTED: &str = "OK ipc::the_header_is_swapped";

/// A processor on which the kernel is started.
pub struct Processor {
    /// What it lacks.
    pub name: &'static str,
    /// Its model, as QEMU has it.
    model: &'static str,
    /// What is said on it.
    pub expected: &'static str,
}

/// All of them.
pub const ALL: &[Processor] = &[
    lacking("processor::without_smep_smap_and_umip", "max,-smep,-smap,-umip", STARTED),
    lacking("processor::without_all_that_is_new", "qemu64", STARTED),
    lacking("processor::without_nx", "max,-nx", "Portolan cannot run here: the processor has no NX"),
    lacking("processor::without_global_pages", "max,-pge", "Portolan cannot run here: the processor has no PGE"),
    lacking("processor::without_machine_checks", "max,-mce", "Portolan cannot run here: the processor has no MCE"),
    lacking("processor::without_fxsr", "max,-fxsr", "Portolan cannot run here: the processor has no FXSR"),
    lacking("processor::without_sse2", "max,-sse2", "Portolan cannot run here: the processor has no SSE2"),
    lacking("processor::without_syscall", "max,-syscall", "Portolan cannot run here: the processor has no SYSCALL"),
    lacking("processor::without_an_apic", "max,-apic", "Portolan cannot run here: the processor has no local APIC"),
];

const fn lacking(name: &'static str, model: &'static str, expected: &'static str) -> Processor {
    Processor { name, model, expected }
}

/// In seconds: longer than a start takes anywhere.
const PATIENCE: u64 = 60;

impl Processor {
    /// Starts a machine that has it, and tells whether what is expected is said.
    ///
    /// # Errors
    /// QEMU does not run.
    pub fn says(&self, machine: &Machine) -> Result<bool> {
        let mut machine = Machine { engine: Engine::Translated, ..machine.clone() };
        // Of two models the last one counts.
        machine.extra.extend(["-cpu".into(), self.model.into()]);
        let session = Session::run(&machine, "processor.log", session::limits(PATIENCE, PATIENCE), |_| {})?;
        Ok(session.said(self.expected))
    }
}
