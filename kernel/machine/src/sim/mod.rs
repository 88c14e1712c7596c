//! A working simulated machine, under the names of the real one.
//!
//! Memory has bytes, page tables are walked and cached as a processor does it,
//! threads run programs given to them ([`script`]), the clock stands still until it
//! is moved. So the whole kernel, its loop included, runs in a test on the host.
//! Invariant: there is no state outside a machine but the counts of heap bytes and of work, which
//! are the host thread's own; many machines run at once, one to a host thread.
//! Neighbour: `kernel/tests/harness`, who builds machines and sits at their controls.

mod console;
mod context;
mod cpu;
pub mod heap;
mod interrupts;
mod io_ports;
mod memory;
mod mmu;
pub mod pace;
mod row;
pub mod script;
#[cfg(test)]
mod tests;

pub use console::Console;
pub use context::Context;
pub use cpu::{Activity, Cpu};
pub use heap::used as heap_used;
pub use interrupts::Interrupts;
pub use io_ports::IoPorts;
pub use memory::Memory;
pub(crate) use mmu::{flush, flush_all, share_kernel_half, unload};
pub(crate) use row::Row;

use crate::{BootInfo, Frame, FrameRange, Framebuffer, PixelFormat};
use arrayvec::{ArrayString, ArrayVec};
use portolan_abi::PAGE_SIZE;
use portolan_abi::host::Door;

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

/// What to build a machine from.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// Free frames.
    pub frames: u32,
    /// The boot archive's bytes.
    pub archive: Vec<u8>,
    /// The kernel's command line.
    pub command_line: &'static str,
}

/// Memory begins here and not at 0, so that a frame's number is never its index.
const FIRST_FRAME: u32 = 0x100;
/// Frames behind memory that are a device's: the screen's.
const DEVICE_FRAMES: u32 = 2;

impl Hardware {
    /// A machine as the kernel finds it. The archive lies in the middle of memory.
    ///
    /// # Panics
    /// If the command line is longer than `COMMAND_LINE_MAX`.
    #[must_use]
    pub fn power_on(&self) -> (Machine, BootInfo, Cpu) {
        let [low, archive, high] = self.layout();
        let device = FrameRange { start: high.end, end: Frame(high.end.0 + DEVICE_FRAMES) };
        let mut memory = Memory::new(FrameRange { start: low.start, end: device.end });
        memory.install(archive, &self.archive);
        let boot = BootInfo {
            memory: [low, high].into_iter().filter(|range| !range.is_empty()).collect::<ArrayVec<_, _>>(),
            taken: [FrameRange { start: Frame(0), end: high.end }].into_iter().collect(),
            archive,
            archive_size: self.archive.len(),
            command_line: ArrayString::from(self.command_line).expect("a command line that fits"),
            rsdp: None,
            framebuffer: Some(Framebuffer {
                address: device.start.start(),
                width: 60,
                height: 32,
                stride: 64,
                bytes_per_pixel: 4,
                format: PixelFormat::Bgr,
            }),
            door: Door::Simulation,
        };
        let interrupts = Interrupts::default();
        let cpu = Cpu::new(memory.share(), interrupts.clone());
        (Machine { memory, console: Console::default(), interrupts, io_ports: IoPorts::default() }, boot, cpu)
    }

    /// Free memory, the archive, free memory.
    fn layout(&self) -> [FrameRange; 3] {
        let archive = self.archive.len().div_ceil(PAGE_SIZE) as u32;
        let ends = [self.frames / 2, self.frames / 2 + archive, self.frames + archive];
        let mut start = Frame(FIRST_FRAME);
        ends.map(|end| {
            let range = FrameRange { start, end: Frame(FIRST_FRAME + end) };
            start = range.end;
            range
        })
    }
}

/// The kernel has ended the machine; what a host thread that ran it unwinds with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// Whether all went well.
    pub success: bool,
}

/// Ends the machine: unwinds the host thread with an [`Exit`], for `catch_unwind`.
pub fn exit(success: bool) -> ! {
    std::panic::resume_unwind(Box::new(Exit { success }))
}
