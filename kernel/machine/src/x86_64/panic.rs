//! The end of a kernel that has found a bug in itself: what can still be said.
//!
//! The report goes straight to the serial line, takes no lock and allocates nothing. It
//! tells what happened, the registers, who called whom, and then what the kernel has to
//! say about its threads. A panic within a panic says only that.

use super::Console;
use super::descriptors::event_of;
use super::entry::Fault;
use super::per_cpu::PerCpu;
use super::{exit, layout, machine_check, stacks, vectors};
use crate::symbols::Symbols;
use crate::{BootInfo, PhysAddr, Stopped, VirtAddr};
use ::x86_64::instructions::interrupts;
use ::x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4};
use core::arch::asm;
use core::arch::x86_64::_rdtsc;
use core::fmt::{self, Write};
use core::num::NonZeroU64;
use core::panic::PanicInfo;
use core::ptr::with_exposed_provenance;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};
use portolan_abi::boot::SYMBOLS_FILE;
use spin::Once;
use tar_no_std::TarArchiveRef;

/// Most callers that are shown.
const CALLERS_MAX: usize = 48;
/// How long the kernel may leave a non-maskable interrupt unanswered, by the time stamp counter: about a
/// second, a thousand times as long as it ever needs.
const PATIENCE: u64 = 1 << 30;
/// No bug of the kernel's, but nothing can be relied on any more.
const BROKEN: &str = "the processor reports an error of its own (machine check)";

static PANICKED: AtomicBool = AtomicBool::new(false);
/// The boot archive, where the names of functions are.
static ARCHIVE: Once<(PhysAddr, usize)> = Once::new();

/// Remembers where the names of functions are.
pub(super) fn know_archive(boot: &BootInfo) {
    ARCHIVE.call_once(|| (boot.archive.start.start(), boot.archive_size));
}

/// Notes that a non-maskable interrupt has come in the kernel's own code. False: one came long ago, and
/// the kernel, which is not idle, has not looked at it since.
pub(super) fn is_patient(cpu: &PerCpu) -> bool {
    // SAFETY: reads a counter that every processor of this kind has.
    let now = unsafe { _rdtsc() };
    match cpu.demanded.get() {
        Some(since) => cpu.idle.get() || now.wrapping_sub(since.get()) < PATIENCE,
        None => {
            cpu.demanded.set(NonZeroU64::new(now));
            true
        }
    }
}

/// A trap from the kernel's own code.
pub(super) fn kernel_fault(fault: &Fault) -> ! {
    PerCpu::current().fault.set(fault);
    let (vector, address, error) = (fault.vector as u8, Cr2::read_raw(), fault.error);
    let name = vectors::name(vector);
    match vector {
        // The page fault on the guard finds no stack to be told on.
        vectors::DOUBLE_FAULT if stacks::guards().any(|guard| guard == VirtAddr(address).page().0) => {
            panic!("the kernel's code: stack overflow at {address:#x}")
        }
        vectors::MACHINE_CHECK => panic!("{BROKEN}, in the kernel's code"),
        vectors::NMI => panic!("the kernel has not looked up from its work since the last non-maskable interrupt"),
        vectors::PAGE_FAULT => panic!("the kernel's code: {name} at {address:#x}, error code {error:#x}"),
        _ => panic!("the kernel's code: {name}, error code {error:#x}"),
    }
}

/// A trap from user mode that is no user's doing; `at` is the thread's next instruction.
pub(super) fn from_user(vector: u8, at: u64) -> ! {
    match vector {
        vectors::MACHINE_CHECK => panic!("{BROKEN}, while a thread ran at {at:#x}"),
        _ => panic!("{} while a thread ran at {at:#x}", vectors::name(vector)),
    }
}

/// Says all that is known and ends the machine. `describe` adds what the kernel knows; it
/// must not allocate.
pub fn report(info: &PanicInfo, describe: fn(&mut Stopped, &mut dyn Write)) -> ! {
    interrupts::disable();
    PerCpu::current().lets_in.set(false);
    let mut console = Console::seize();
    if PANICKED.swap(true, Ordering::Relaxed) {
        let _ = writeln!(console, "\npanic within the panic: {}", info.message());
        exit(false);
    }
    // The console's writes do not fail.
    let _ = describe_machine(&mut console, info);
    describe(&mut Stopped { _private: () }, &mut console);
    exit(false)
}

fn describe_machine(out: &mut Console, info: &PanicInfo) -> fmt::Result {
    let cpu = PerCpu::current();
    writeln!(out, "\nKERNEL PANIC on processor {}: {}", cpu.id.0, info.message())?;
    // SAFETY: null, or the block of a fault, on a stack that this panic has not left.
    let fault = unsafe { cpu.fault.get().as_ref() };
    match fault {
        Some(fault) => write!(out, "{fault}")?,
        None => {
            if let Some(location) = info.location() {
                writeln!(out, "at {location}")?;
            }
            writeln!(out, "rsp {:016x}  rbp {:016x}", stack_pointer(), frame_pointer())?;
        }
    }
    control_registers(out)?;
    writeln!(out, "interrupts that nobody asked for: {}", cpu.spurious.get())?;
    machine_check::describe(out)?;
    backtrace(out, fault)
}

fn control_registers(out: &mut Console) -> fmt::Result {
    let cr3 = Cr3::read_raw().0.start_address();
    writeln!(
        out,
        "cr0 {:08x}  cr2 {:016x}  cr3 {:08x}  cr4 {:08x}",
        Cr0::read_raw(),
        Cr2::read_raw(),
        cr3,
        Cr4::read_raw()
    )
}

/// Who called whom, innermost first.
fn backtrace(out: &mut Console, fault: Option<&Fault>) -> fmt::Result {
    let symbols = archive().and_then(symbols_in).unwrap_or(Symbols(&[]));
    if let Some(fault) = fault {
        place(out, symbols, fault.rip, fault.rip)?;
    }
    let mut frame = fault.map_or_else(frame_pointer, |fault| fault.rbp);
    for _ in 0..CALLERS_MAX {
        let Some((caller, return_address)) = caller(frame) else { return Ok(()) };
        // The call is before the address it returns to, which may be another function's.
        place(out, symbols, return_address, return_address - 1)?;
        frame = caller;
    }
    writeln!(out, "  …")
}

fn place(out: &mut Console, symbols: Symbols, address: u64, within: u64) -> fmt::Result {
    match symbols.find(within).filter(|_| layout::text().contains(within)) {
        Some(place) => writeln!(out, "  {address:016x} {}+{:#x}", place.function, place.offset),
        None => writeln!(out, "  {address:016x}"),
    }
}

/// The frame pointer and return address saved at this frame pointer, if it is one.
fn caller(frame: u64) -> Option<(u64, u64)> {
    let is_frame = frame.is_multiple_of(8) && stacks::contain(frame) && stacks::contain(frame + 15);
    if !is_frame {
        return None;
    }
    let saved = with_exposed_provenance::<[u64; 2]>(frame as usize);
    // SAFETY: two words of a stack, which is mapped.
    let [caller, return_address] = unsafe { saved.read_volatile() };
    layout::text().contains(return_address).then_some((caller, return_address))
}

/// The boot archive's bytes. Nothing changes them any more: this is for a panic.
fn archive() -> Option<&'static [u8]> {
    let (start, size) = *ARCHIVE.get()?;
    let bytes = with_exposed_provenance(layout::physmap(start) as usize);
    // SAFETY: the archive is mapped there, and with the machine stopped nobody writes to it.
    Some(unsafe { slice::from_raw_parts(bytes, size) })
}

fn symbols_in(archive: &[u8]) -> Option<Symbols<'_>> {
    let archive = TarArchiveRef::new(archive).ok()?;
    let file = archive.entries().find(|entry| entry.filename().as_str() == Ok(SYMBOLS_FILE))?;
    Some(Symbols(file.data()))
}

#[inline(always)]
fn frame_pointer() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

#[inline(always)]
fn stack_pointer() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = if event_of(self.vector as u8).is_some() { " (own stack)" } else { "" };
        writeln!(
            f,
            "rip {:016x}  rsp {:016x}  rbp {:016x}  flags {:08x}{own}",
            self.rip, self.rsp, self.rbp, self.rflags
        )?;
        writeln!(f, "rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}", self.rax, self.rbx, self.rcx, self.rdx)?;
        writeln!(f, "rsi {:016x}  rdi {:016x}  r8  {:016x}  r9  {:016x}", self.rsi, self.rdi, self.r8, self.r9)?;
        writeln!(f, "r10 {:016x}  r11 {:016x}  r12 {:016x}  r13 {:016x}", self.r10, self.r11, self.r12, self.r13)?;
        writeln!(f, "r14 {:016x}  r15 {:016x}  cs {:02x}  ss {:02x}", self.r14, self.r15, self.cs, self.ss)
    }
}
