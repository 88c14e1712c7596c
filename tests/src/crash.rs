//! What must end in a panic: a kernel of its own does it, and has to say what it died of.

use crate::session::{self, Session};
use anyhow::Result;
use portolan_boot::qemu::Machine;

/// Something that ends a kernel.
pub struct Crash {
    /// What it is.
    pub name: &'static str,
    /// The command line that asks for it.
    pub words: &'static str,
    /// What is said then.
    expected: &'static [&'static str],
}

/// All of them.
pub const ALL: &[Crash] = &[
    crash("crash::a_panic", "selftest crash=panic", &["KERNEL PANIC", "as was asked for"]),
    crash("crash::a_write_to_null", "selftest crash=null", &["page fault at 0x0, error code 0x2"]),
    crash("crash::a_write_to_code", "selftest crash=write-code", &["page fault at", "error code 0x3"]),
    crash("crash::a_write_to_a_constant", "selftest crash=write-constant", &["page fault at", "error code 0x3"]),
    crash("crash::a_loaders_mapping", "selftest crash=read-low-memory", &["page fault at 0x200000, error code 0x0"]),
    crash("crash::data_executed", "selftest crash=execute-data", &["page fault at", "error code 0x11"]),
    crash("crash::memory_executed", "selftest crash=execute-physical-map", &["page fault at", "error code 0x11"]),
    crash("crash::a_full_stack", "selftest crash=stack-overflow", &["stack overflow at", "(own stack)"]),
    crash("crash::a_second_arena_of_a_kind", "selftest crash=second-arena", &["a second row of places of one kind"]),
    crash("crash::no_memory_where_that_is_a_bug", "selftest crash=heap", &["memory allocation of", "bytes failed"]),
];

const fn crash(name: &'static str, words: &'static str, expected: &'static [&'static str]) -> Crash {
    Crash { name, words, expected }
}

/// In seconds: longer than a start takes anywhere.
const PATIENCE: u64 = 60;

impl Crash {
    /// Has it happen on a machine that is told to do it. Returns what is not said of it.
    ///
    /// # Errors
    /// QEMU does not run.
    pub fn on(&self, machine: &Machine) -> Result<Vec<String>> {
        let session = Session::run(machine, &session::log_of(self.name), session::limits(PATIENCE, PATIENCE), |_| {})?;
        Ok(session.missing(self.expected))
    }
}
