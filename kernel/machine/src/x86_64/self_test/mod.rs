//! Tests of the machine on itself, for a boot with the word `selftest` in its command line.
//!
//! They come before the kernel, have the machine for themselves, and print the protocol of
//! all guest tests: `PLAN`, then `BEGIN` and `OK` or `FAIL` for each, then `DONE`. After each,
//! the heap and the free frames must be as before, but for what arenas keep. A test that faults in the kernel is a
//! panic, which the host sees as a failure. `crash` is for what must end in one.

mod crash;
mod kernel_half;
mod processor;
mod time;
mod user;
mod walk;

use super::{Cpu, Machine, Memory, heap_used};
use crate::{BootInfo, Frame};
use arrayvec::ArrayVec;
use core::fmt::Write;

/// Free frames that a test can use.
const FRAMES: usize = 64;

/// What a test works with.
struct Bench {
    memory: Memory,
    cpu: Cpu,
    boot: BootInfo,
    frames: ArrayVec<Frame, FRAMES>,
    /// Bytes of heap that arenas have taken for good.
    kept: usize,
}

/// What went wrong, or nothing.
type Verdict = Result<(), &'static str>;

/// A test.
struct Test {
    name: &'static str,
    run: fn(&mut Bench) -> Verdict,
}

/// A table of tests named after their functions.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub(super) const TESTS: &[super::Test] = &[$(super::Test { name: stringify!($name), run: $name }),+];
    };
}
use tests;

/// Turns a condition into a verdict.
fn check(holds: bool, otherwise: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Whether the command line asks for these tests instead of the kernel.
#[must_use]
pub fn is_wanted(boot: &BootInfo) -> bool {
    boot.command_line.split_whitespace().any(|word| word == "selftest")
}

/// Runs the tests, or what the command line's `test=` or `crash=` names. True: all passed.
#[must_use]
pub fn run(machine: Machine, boot: BootInfo, cpu: Cpu) -> bool {
    let Machine { memory, mut console, .. } = machine;
    let line = boot.command_line;
    let value = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    if let Some(name) = value("crash") {
        return crash::run(name);
    }
    let wanted = value("test").map_or("", |name| name.trim_start_matches("kernel::"));
    let mut bench = Bench::new(memory, boot, cpu);
    let tests = || all().filter(|test| test.name.starts_with(wanted));
    // The console's writes do not fail.
    let _ = writeln!(console, "PLAN {}", tests().count());
    let mut passed = 0;
    for test in tests() {
        let name = test.name;
        let _ = writeln!(console, "BEGIN kernel::{name}");
        let _ = match bench.run(test) {
            Ok(()) => {
                passed += 1;
                writeln!(console, "OK kernel::{name}")
            }
            Err(why) => writeln!(console, "FAIL kernel::{name}: {why}"),
        };
    }
    let failed = tests().count() - passed;
    let _ = writeln!(console, "DONE {passed} passed {failed} failed");
    failed == 0 && passed > 0
}

fn all() -> impl Iterator<Item = &'static Test> {
    [kernel_half::TESTS, processor::TESTS, time::TESTS, user::TESTS].into_iter().flatten()
}

impl Bench {
    fn new(memory: Memory, boot: BootInfo, cpu: Cpu) -> Bench {
        let free = boot.memory.iter().flat_map(|range| (range.start.0..range.end.0).map(Frame));
        let frames = free.take(FRAMES).collect();
        Bench { memory, cpu, boot, frames, kept: 0 }
    }

    fn run(&mut self, test: &Test) -> Verdict {
        let before = (heap_used() - self.kept, self.frames.len());
        (test.run)(self)?;
        check(heap_used() - self.kept == before.0, "heap memory is lost")?;
        check(self.frames.len() == before.1, "frames are lost")
    }
}
