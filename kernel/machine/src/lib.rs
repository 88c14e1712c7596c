//! The hardware, or a simulation of it: the contract the kernel stands on.
//!
//! Two complete backends supply the same names: `x86_64`, the real machine, for
//! the bare target, and `sim`, a working simulated one, everywhere else. The
//! kernel has no `cfg`: it is compiled against whichever the target selects.
//!
//! | name | what it is |
//! |---|---|
//! | [`Machine`] | all of the below, made once at start and given to the kernel |
//! | [`Memory`] | the bytes of physical frames: read, write, copy, zero; a [`Span`] says which |
//! | [`Pmap`] | one task's page tables: enter, remove, protect, look up |
//! | [`Context`] | a thread's user registers and floating-point state |
//! | [`Cpu`] | one processor: `run` a context until it traps, `idle` until something happens, clock and deadline |
//! | [`Interrupts`] | the lines of devices: which are let in |
//! | [`IoPorts`] | the processor's I/O ports: read, write |
//! | [`Console`] | bytes out; on the real machine the serial line |
//! | [`KernelLock`] | the one lock around the kernel's state |
//! | [`BootInfo`] | what there is: memory, boot archive, command line |
//! | [`Arena`] | objects of the kernel's of one kind, in slots that never move |
//! | [`pace`] | lets interrupts in during long work |
//! | [`exit`] | ends the machine |
//!
//! Invariants: the machine never calls the kernel, a trap is a return value. This is
//! the only crate of the kernel with `unsafe`; what it exports is safe, and no use
//! of it from safe code can touch the kernel's own image, stack or heap.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

mod address;
mod arena;
mod boot_info;
mod boxed;
mod io;
mod line;
mod lock;
#[cfg(any(target_os = "none", test))]
mod memory_map;
mod pace;
mod pmap;
mod registers;
#[cfg(any(target_os = "none", test))]
mod scale;
mod span;
#[cfg(any(target_os = "none", test))]
mod symbols;
mod trap;

#[cfg(not(target_os = "none"))]
pub mod sim;
#[cfg(not(target_os = "none"))]
use sim as backend;

#[cfg(target_os = "none")]
mod x86_64;
#[cfg(target_os = "none")]
use crate::x86_64 as backend;

pub use address::{CpuId, Frame, FrameRange, Instant, PhysAddr, VirtAddr};
pub use arena::{Arena, Id, OutOfMemory};
pub use backend::{Console, Context, Cpu, Interrupts, IoPorts, Machine, Memory, exit, heap_used};
pub use boot_info::{BootInfo, Framebuffer, PixelFormat, Taken};
pub use boxed::try_box;
pub use io::{IoRange, Width};
pub use line::{Line, Lines};
pub use lock::{KernelGuard, KernelLock, Stopped};
pub use pace::pace;
pub use pmap::{Mapping, NoTable, Pmap};
pub use registers::Unfit;
pub use span::Span;
pub use trap::{Access, Exception, Trap};
#[cfg(target_os = "none")]
pub use x86_64::{panic, refuse, self_test};
