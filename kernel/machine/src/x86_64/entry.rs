//! Into user mode, and back by a trap: the two directions of one door.
//!
//! [`enter`] is a function that returns when the thread traps. It leaves the kernel's stack
//! pointer in the TSS, and loads the thread's registers; every way back stores them and
//! returns to `enter`'s caller.
//! So a trap is a value, and there is no other kernel code between it and the thread.
//!
//! Invariants:
//! - the code here touches no user memory and trusts no user register, the stack pointer
//!   least of all; on the way in the flags that a user can set are cleared;
//! - a thread that came in by `syscall` goes back by `sysret`, with the instruction pointer
//!   that the processor gave; it is canonical, since the last page below the hole is never
//!   mapped. All others go back by `iret`, whose caller has checked it;
//! - a trap from the kernel's own code is a bug and ends in a panic, on a stack that can
//!   bear it and with the right GS; only interrupts return, where the kernel lets them in, and
//!   non-maskable ones, which come anywhere, also between two instructions here. They leave GS as it was.
//!
//! The data segment registers are not part of a thread: a user may load any selector that
//! the processor lets it, which is harmless here and of no use there. FS begins where the
//! thread's registers say, which `Cpu::run` sees to; GS at 0 in user mode, since CR4.FSGSBASE
//! is off and no segment has another base.

use super::context::Registers;
use super::descriptors::{KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA};
use super::interrupts::{self, Source};
use super::panic;
use super::per_cpu::PerCpu;
use super::vectors::{FIRST_INTERRUPT, NMI};
use ::x86_64::VirtAddr;
use ::x86_64::registers::model_specific::{LStar, SFMask, Star};
use ::x86_64::registers::rflags::RFlags;
use ::x86_64::structures::tss::TaskStateSegment;
use core::arch::{asm, global_asm};
use core::mem::offset_of;

/// What [`enter`] returns for a system call, beyond all vectors.
pub(super) const SYSCALL: u64 = 256;

/// Flags that a user may have set and that would change how the kernel runs, or that
/// `iret` refuses; and single-stepping, which would trap at the kernel's first instruction.
const CLEARED_BY_SYSCALL: RFlags = RFlags::INTERRUPT_FLAG
    .union(RFlags::TRAP_FLAG)
    .union(RFlags::DIRECTION_FLAG)
    .union(RFlags::NESTED_TASK)
    .union(RFlags::ALIGNMENT_CHECK)
    .union(RFlags::IOPL_LOW)
    .union(RFlags::IOPL_HIGH)
    .union(RFlags::RESUME_FLAG);

/// How a thread goes back to user mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u64)]
pub(super) enum Resume {
    /// By `sysret`: `rcx` and `r11` are lost, as the thread expects.
    Sysret = 0,
    /// By `iret`: every register is restored.
    #[default]
    Iret = 1,
}

/// Why [`enter`] returned.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Exit {
    /// The vector, or [`SYSCALL`].
    pub(super) vector: u64,
    /// The vector's error code; 0 if it has none. Undefined for a system call.
    pub(super) error: u64,
}

/// The kernel's registers at a trap from its own code, as that pushes them.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Fault {
    pub(super) r15: u64,
    pub(super) r14: u64,
    pub(super) r13: u64,
    pub(super) r12: u64,
    pub(super) r11: u64,
    pub(super) r10: u64,
    pub(super) r9: u64,
    pub(super) r8: u64,
    pub(super) rbp: u64,
    pub(super) rdi: u64,
    pub(super) rsi: u64,
    pub(super) rdx: u64,
    pub(super) rcx: u64,
    pub(super) rbx: u64,
    pub(super) rax: u64,
    pub(super) vector: u64,
    pub(super) error: u64,
    pub(super) rip: u64,
    pub(super) cs: u64,
    pub(super) rflags: u64,
    pub(super) rsp: u64,
    pub(super) ss: u64,
}

/// Runs the thread with these registers until it traps, and stores them back. Of the kernel's
/// own registers it keeps two: the caller, which is the loop, has next to nothing in the others.
///
/// # Safety
/// The address space loaded must be one that shares the kernel's half. The registers
/// must be written by nobody else meanwhile. With [`Resume::Iret`] `rip` is canonical;
/// with [`Resume::Sysret`] it is as the thread's last trap left it.
#[inline(always)]
pub(super) unsafe fn enter(registers: *mut Registers) -> Exit {
    let (vector, error);
    // SAFETY: as the caller promised; every register but `rbx` and `rbp`, which come back as
    // they were, is said to be lost.
    unsafe {
        asm!("call trap_enter", inout("rdi") registers => _, lateout("rax") vector, lateout("rdx") error,
            lateout("rcx") _, lateout("rsi") _, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _);
    };
    Exit { vector, error }
}

unsafe extern "C" {
    /// Where `syscall` leads.
    static trap_syscall: u8;
    /// Where all other traps lead: a stub for each vector.
    static trap_stubs: u8;
}

/// Bytes from one stub to the next.
const STUB_SIZE: u64 = 16;

/// The address of a vector's stub.
pub(super) fn stub(vector: u8) -> u64 {
    (&raw const trap_stubs).addr() as u64 + u64::from(vector) * STUB_SIZE
}

/// Tells the processor where a system call goes.
pub(super) fn enable_syscall() {
    // SAFETY: the selectors are those of the loaded table: kernel code and data, then
    // user data and code, 8 bytes apart, from the base that `sysret` wants.
    unsafe { Star::write_raw(KERNEL_DATA | 3, KERNEL_CODE) };
    LStar::write(VirtAddr::from_ptr(&raw const trap_syscall));
    SFMask::write(CLEARED_BY_SYSCALL);
}

/// Returns only for an interrupt: anything else is a bug.
extern "C" fn handle_from_kernel(fault: &Fault) {
    let cpu = PerCpu::current();
    let vector = fault.vector as u8;
    match vector {
        NMI if panic::is_patient(cpu) => return cpu.came.set(true),
        FIRST_INTERRUPT.. => {}
        _ => panic::kernel_fault(fault),
    }
    // More than one may come before that has ended; none hides another.
    cpu.came.set(true);
    match interrupts::take(vector) {
        Source::Timer => cpu.timer.set(true),
        Source::Device(line) => cpu.lines.set(cpu.lines.get().with(line)),
        Source::Nobody => cpu.count_spurious(),
    }
}

global_asm!(
    ".pushsection .text.trap, \"ax\", @progbits",

    // Into user mode: rdi has the address of the thread's registers.
    ".globl trap_enter",
    ".type trap_enter, @function",
    "trap_enter:",
    "push rbp",
    "push rbx",
    "mov gs:[{stack}], rsp",
    "mov gs:[{registers}], rdi",
    "cmp qword ptr [rdi + {resume}], {sysret}",
    "mov rax, [rdi + {rax}]",
    "mov rbx, [rdi + {rbx}]",
    "mov rdx, [rdi + {rdx}]",
    "mov rsi, [rdi + {rsi}]",
    "mov rbp, [rdi + {rbp}]",
    "mov r8, [rdi + {r8}]",
    "mov r9, [rdi + {r9}]",
    "mov r10, [rdi + {r10}]",
    "mov r12, [rdi + {r12}]",
    "mov r13, [rdi + {r13}]",
    "mov r14, [rdi + {r14}]",
    "mov r15, [rdi + {r15}]",
    "jne 2f",
    "mov rcx, [rdi + {rip}]",
    "mov r11, [rdi + {rflags}]",
    "mov rsp, [rdi + {rsp}]",
    "mov rdi, [rdi + {rdi}]",
    "swapgs",
    "sysretq",
    "2:",
    "push {user_data}",
    "push [rdi + {rsp}]",
    "push [rdi + {rflags}]",
    "push {user_code}",
    "push [rdi + {rip}]",
    "mov rcx, [rdi + {rcx}]",
    "mov r11, [rdi + {r11}]",
    "mov rdi, [rdi + {rdi}]",
    "swapgs",
    "iretq",

    // Back by `syscall`: on the user's stack pointer, with the return address in rcx and
    // the flags in r11.
    ".globl trap_syscall",
    ".type trap_syscall, @function",
    "trap_syscall:",
    "swapgs",
    "mov gs:[{scratch}], rsp",
    "mov rsp, gs:[{registers}]",
    "mov [rsp + {rax}], rax",
    "mov [rsp + {rbx}], rbx",
    "mov [rsp + {rdx}], rdx",
    "mov [rsp + {rsi}], rsi",
    "mov [rsp + {rdi}], rdi",
    "mov [rsp + {rbp}], rbp",
    "mov [rsp + {r8}], r8",
    "mov [rsp + {r9}], r9",
    "mov [rsp + {r10}], r10",
    "mov [rsp + {r12}], r12",
    "mov [rsp + {r13}], r13",
    "mov [rsp + {r14}], r14",
    "mov [rsp + {r15}], r15",
    "mov [rsp + {rip}], rcx",
    "mov [rsp + {rflags}], r11",
    "mov rax, gs:[{scratch}]",
    "mov [rsp + {rsp}], rax",
    "mov rsp, gs:[{stack}]",
    "mov eax, {syscall}",
    "pop rbx",
    "pop rbp",
    "ret",

    // Back by any other trap, by way of its stub. On the stack, upwards: vector, error
    // code, rip, cs, rflags, rsp, ss.
    ".type trap_common, @function",
    "trap_common:",
    "test byte ptr [rsp + 24], 3",
    "jz trap_from_kernel",
    "swapgs",
    "mov gs:[{scratch}], rdi",
    "mov rdi, gs:[{registers}]",
    "mov [rdi + {rax}], rax",
    "mov [rdi + {rbx}], rbx",
    "mov [rdi + {rcx}], rcx",
    "mov [rdi + {rdx}], rdx",
    "mov [rdi + {rsi}], rsi",
    "mov [rdi + {rbp}], rbp",
    "mov [rdi + {r8}], r8",
    "mov [rdi + {r9}], r9",
    "mov [rdi + {r10}], r10",
    "mov [rdi + {r11}], r11",
    "mov [rdi + {r12}], r12",
    "mov [rdi + {r13}], r13",
    "mov [rdi + {r14}], r14",
    "mov [rdi + {r15}], r15",
    "mov rax, gs:[{scratch}]",
    "mov [rdi + {rdi}], rax",
    "mov rax, [rsp + 16]",
    "mov [rdi + {rip}], rax",
    "mov rax, [rsp + 32]",
    "mov [rdi + {rflags}], rax",
    "mov rax, [rsp + 40]",
    "mov [rdi + {rsp}], rax",
    "mov rax, [rsp]",
    "mov rdx, [rsp + 8]",
    "mov rsp, gs:[{stack}]",
    // The gate has left the user's direction and alignment flags as they were.
    "push 2",
    "popfq",
    "pop rbx",
    "pop rbp",
    "ret",

    // A trap from the kernel's own code. It may have come between two instructions of the
    // code above, where GS is still or already the user's: its base's sign tells.
    ".type trap_from_kernel, @function",
    "trap_from_kernel:",
    "push rax",
    "push rbx",
    "push rcx",
    "push rdx",
    "push rsi",
    "push rdi",
    "push rbp",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "xor ebx, ebx",
    "mov ecx, 0xc0000101", // the register of the GS base
    "rdmsr",
    "test edx, edx",
    "js 2f",
    "swapgs",
    "inc ebx",
    "2:",
    "mov rdi, rsp",
    "call {handle}",
    "test ebx, ebx",
    "jz 2f",
    "swapgs",
    "2:",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rbp",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rbx",
    "pop rax",
    "add rsp, 16",
    "iretq",

    // The stubs make one frame of all vectors: those for which the processor has no error
    // code push a zero. Vectors 8, 10 to 14, 17, 21, 29 and 30 have one (manual, vol. 3, 6.13).
    ".balign {stub_size}",
    ".globl trap_stubs",
    "trap_stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign {stub_size}",
    ".if (vector == 8) | ((vector >= 10) & (vector <= 14)) | (vector == 17) | (vector == 21) | (vector == 29) | (vector == 30)",
    ".else",
    "push 0",
    ".endif",
    ".byte 0x68", // push the vector as a 32-bit immediate
    ".long vector",
    "jmp trap_common",
    ".set vector, vector + 1",
    ".endr",
    ".popsection",

    stack = const offset_of!(PerCpu, tss) + offset_of!(TaskStateSegment, privilege_stack_table),
    registers = const offset_of!(PerCpu, registers),
    scratch = const offset_of!(PerCpu, scratch),
    resume = const offset_of!(Registers, resume),
    sysret = const Resume::Sysret as u64,
    syscall = const SYSCALL,
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    handle = sym handle_from_kernel,
    stub_size = const STUB_SIZE,
    rax = const offset_of!(Registers, rax),
    rbx = const offset_of!(Registers, rbx),
    rcx = const offset_of!(Registers, rcx),
    rdx = const offset_of!(Registers, rdx),
    rsi = const offset_of!(Registers, rsi),
    rdi = const offset_of!(Registers, rdi),
    rbp = const offset_of!(Registers, rbp),
    rsp = const offset_of!(Registers, rsp),
    r8 = const offset_of!(Registers, r8),
    r9 = const offset_of!(Registers, r9),
    r10 = const offset_of!(Registers, r10),
    r11 = const offset_of!(Registers, r11),
    r12 = const offset_of!(Registers, r12),
    r13 = const offset_of!(Registers, r13),
    r14 = const offset_of!(Registers, r14),
    r15 = const offset_of!(Registers, r15),
    rip = const offset_of!(Registers, rip),
    rflags = const offset_of!(Registers, rflags),
);
