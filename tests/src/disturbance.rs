//! Disturbances: what a machine's hardware can do to the kernel at any instruction of its own.
//!
//! Each is a boot of its own, during which QEMU's monitor disturbs it.

use crate::guest::{End, Order, Outside};
use crate::session::{self, Session};
use anyhow::Result;
use portolan_boot::qemu::{FAILED, Machine, PASSED};

/// A disturbance.
pub struct Disturbance {
    /// What it is called, and what it shows.
    pub name: &'static str,
    /// The kernel's command line.
    pub words: &'static str,
    orders: &'static [Order<'static>],
    /// Parts of lines that must be said.
    expected: &'static [&'static str],
    /// QEMU's exit status.
    end: i32,
}

/// In seconds: no line comes later, and no end.
const SILENCE: u64 = 60;
const TOTAL: u64 = 180;

/// Many calls of the kernel, at random.
const CALLS: &str = "run=suite test=alpc";

/// All of them.
pub const ALL: &[Disturbance] = &[
    Disturbance {
        name: "disturbance::non_maskable_interrupts_in_a_storm",
        words: CALLS,
        orders: &[Order { after: "PLAN", commands: "nmi", times: 10_000 }],
        expected: &["a non-maskable interrupt has asked for its state", " 0 failed"],
        end: PASSED,
    },
    Disturbance {
        name: "disturbance::a_machine_check_is_told_with_its_banks",
        words: CALLS,
        // A processor, a bank, its status (valid, not corrected, the context is lost), that of all, an address.
        orders: &[Order { after: "PLAN", commands: "mce 0 1 0xbe00000000000000 0x5 0x1234 0", times: 1 }],
        expected: &[
            "the processor reports an error of its own (machine check)",
            "machine check bank 1: status be00000000000000",
            "threads:",
        ],
        end: FAILED,
    },
];

impl Disturbance {
    /// Starts a machine and disturbs it; what was not said, or ended otherwise.
    ///
    /// # Errors
    /// The machine cannot be started, or has ended before all was done to it.
    pub fn befalls(&self, machine: &Machine) -> Result<Vec<String>> {
        let outside = Outside { orders: self.orders, ..Outside::default() };
        let limits = session::limits(SILENCE, TOTAL);
        let session = Session::run_within(machine, &session::log_of(self.name), limits, outside, |_| {})?;
        let mut missing = session.missing(self.expected);
        if *session.end() != End::Exit(self.end) {
            missing.push(format!("an end with status {}: the machine {}", self.end, session.end()));
        }
        if !missing.is_empty() {
            session.show_end();
        }
        Ok(missing)
    }
}
