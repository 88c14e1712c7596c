//! The real machine: a PC with an x86_64 processor.
//!
//! Two front doors (`boot`) end in [`start`], which makes the machine step by step and
//! gives it to the kernel. Invariants from then on: interrupts are on in user mode, in
//! `Cpu::idle`, and for a moment in `Cpu::poll` and `pace`; what is mapped for the kernel is what `kernel_half` says, and
//! no page of it is both writable and executable.
//! Neighbours: each file is one part of the machine; `per_cpu` is what each processor
//! has of its own.

mod address_space;
mod apic;
mod boot;
mod clock;
mod console;
mod context;
mod cpu;
mod descriptors;
mod entry;
mod features;
mod fpu;
mod heap;
mod interrupts;
mod io_ports;
mod kernel_half;
mod layout;
mod machine_check;
mod memory;
pub(crate) mod pace;
pub mod panic;
mod per_cpu;
mod pic;
mod power;
mod row;
pub mod self_test;
mod stacks;
mod tables;
mod vectors;

pub(crate) use address_space::{flush, flush_all, share_kernel_half, unload};
pub use console::Console;
pub use context::Context;
pub use cpu::Cpu;
pub use heap::used as heap_used;
pub use interrupts::Interrupts;
pub use io_ports::IoPorts;
pub use memory::Memory;
pub use power::exit;
pub(crate) use row::Row;

use crate::BootInfo;
use boot::Handover;
use clock::Clock;
use core::fmt::{self, Write};
use per_cpu::PerCpu;

/// What start-up yields, besides the processor.
pub struct Machine {
    /// The bytes of physical frames.
    pub memory: Memory,
    /// Where the kernel writes its lines.
    pub console: Console,
    /// The lines of devices.
    pub interrupts: Interrupts,
    /// The I/O ports.
    pub io_ports: IoPorts,
}

/// Names the function that the machine is given to once it is made:
/// `fn(Machine, BootInfo, Cpu) -> !`.
#[macro_export]
macro_rules! entry {
    ($start:path) => {
        #[expect(unsafe_code, reason = "the name that the machine starts by; nothing else has it")]
        #[unsafe(export_name = "portolan_start")]
        fn portolan_start(machine: $crate::Machine, boot: $crate::BootInfo, cpu: $crate::Cpu) -> ! {
            let start: fn($crate::Machine, $crate::BootInfo, $crate::Cpu) -> ! = $start;
            start(machine, boot, cpu)
        }
    };
}

unsafe extern "Rust" {
    // SAFETY: defined by `entry!`, which checks the type; without it nothing links.
    safe fn portolan_start(machine: Machine, boot: BootInfo, cpu: Cpu) -> !;
}

/// Why the kernel cannot run on this machine.
#[derive(Clone, Copy, Debug)]
struct Refusal(&'static str);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Where both front doors end: on the first processor's own stack, interrupts off, and
/// all memory below 4 GiB mapped where the kernel has its physical map. `read` says what
/// the loader has left.
fn start(read: impl FnOnce() -> Result<Handover, Refusal>) -> ! {
    let cpu = per_cpu::start_first();
    let console = Console::open();
    match make(cpu, read) {
        Ok((boot, clock)) => {
            let (interrupts, io_ports) = (Interrupts::new(), IoPorts::new());
            let machine = Machine { memory: Memory::new(), console, interrupts, io_ports };
            portolan_start(machine, boot, Cpu::new(cpu, clock))
        }
        Err(why) => refuse(&why),
    }
}

/// Ends the machine because the kernel cannot run on it, and says why.
pub fn refuse(why: &dyn fmt::Display) -> ! {
    // The console's writes do not fail; if it is what is missing, there is no other place.
    let _ = writeln!(Console::seize(), "Portolan cannot run here: {why}.");
    exit(false)
}

/// Makes the machine, step by step.
fn make(cpu: &'static PerCpu, read: impl FnOnce() -> Result<Handover, Refusal>) -> Result<(BootInfo, Clock), Refusal> {
    features::enable()?;
    let (boot, heap) = kernel_half::build(cpu, read()?)?;
    heap::open(heap);
    panic::know_archive(&boot);
    entry::enable_syscall();
    pic::reset();
    apic::enable();
    Ok((boot, clock::calibrate()?))
}
