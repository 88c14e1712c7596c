//! How one thread has another look at its signals: it stops it, and lets it go on in [`look`].
//!
//! The registers that the other had are kept in its block until it has taken them to its own stack; there it goes on
//! with them when its handlers have run. Where a thread can not be sent away, in the middle of a call of the kernel's
//! that nothing ends, at a lock of the libraries, it stays wanted, and the listener tries again.
//!
//! Invariant: with a thread stopped, nothing is done that takes a lock or the heap: the stopped one may have either.

use super::{SigInfo, State, deliver};
use crate::process;
use crate::thread::{Block, this};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};
use portolan::abi::registers::{FIXED_FLAGS, Registers};
use portolan::abi::thread::{self as routine, State as Doing};
use portolan::interface::MsgRpcAt;
use portolan::{Error, Name, lock, trap};

/// Bytes below the stack pointer that a function may use all the same (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;

/// A thread's being sent to look.
pub(crate) struct Redirection {
    /// It is to look, and could not be stopped yet.
    wanted: AtomicBool,
    /// It is on its way: `registers` are not its own yet.
    under_way: AtomicBool,
    registers: UnsafeCell<Registers>,
}

impl Redirection {
    pub(super) fn new() -> Redirection {
        Redirection {
            wanted: AtomicBool::new(false),
            under_way: AtomicBool::new(false),
            registers: UnsafeCell::new(Registers::default()),
        }
    }

    /// In the child of a fork, whose one thread is where it is.
    pub(super) fn forget(&self) {
        self.wanted.store(false, Ordering::Relaxed);
        self.under_way.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed)
    }
}

impl State {
    /// Has a thread look at its signals, now or soon.
    pub(super) fn interrupt(&self, thread: &Block) {
        if !self.try_to_interrupt(thread) {
            self.nudge();
        }
    }

    /// Has a thread look at its signals if it can be stopped now; whether it could.
    pub(super) fn try_to_interrupt(&self, thread: &Block) -> bool {
        let is_sent = self.ports.as_ref().is_some_and(|ports| send_to_look(thread, ports.reply.name()).is_ok());
        thread.signals.redirection.wanted.store(!is_sent, Ordering::Relaxed);
        is_sent
    }
}

fn send_to_look(thread: &Block, reply: Name) -> Result<(), Error> {
    let (way, port) = (MsgRpcAt(reply), thread.port());
    // Who stopped itself could not go on; and an exception is the listener's to answer.
    if port == trap::thread_self() || routine::info(&way, port)?.results.info.state == Doing::Excepted as u32 {
        return Err(Error::Failure);
    }
    routine::suspend(&way, port)?;
    let redirected = redirect(thread, way, port);
    routine::resume(&way, port)?;
    redirected
}

/// Sends a stopped thread on its way.
fn redirect(thread: &Block, way: MsgRpcAt, port: Name) -> Result<(), Error> {
    if thread.signals.redirection.is_under_way() || lock::is_held() || process::is_busy() {
        return Err(Error::Failure);
    }
    routine::abort(&way, port)?;
    let registers = routine::get_state(&way, port)?.results.registers;
    let there = prepare(thread, registers, None);
    let set = routine::set_state(&way, port, there).map(drop);
    if set.is_err() {
        thread.signals.redirection.under_way.store(false, Ordering::Relaxed);
    }
    set
}

/// Keeps the registers of a thread that stands still, and says with which it goes on to look.
pub(super) fn prepare(thread: &Block, registers: Registers, stack: Option<usize>) -> Registers {
    let redirection = &thread.signals.redirection;
    // SAFETY: the thread stands still, and has taken those of last time.
    unsafe { redirection.registers.get().write(registers) };
    redirection.under_way.store(true, Ordering::Relaxed);
    let below = stack.map_or(registers.rsp.wrapping_sub(RED_ZONE), |top| top as u64);
    let rip = look as *const () as u64;
    Registers { rip, rsp: below & !15, rflags: FIXED_FLAGS, fs_base: registers.fs_base, ..Registers::default() }
}

/// Bytes of [`look`]'s frame: floating-point registers, general ones, and room for [`RETURN`] bytes.
const GENERAL: usize = 512;
const FRAME: usize = (GENERAL + size_of::<Registers>() + RETURN).next_multiple_of(16);
/// The flags and the next instruction, which are popped from right below the red zone.
const RETURN: usize = 16;
const _: () = assert!(FRAME - 16 - RED_ZONE as usize <= GENERAL + offset_of!(Registers, rdi));

/// Where a thread looks at its signals; it goes on from there with all the registers that it had. It may be sent here
/// again at any instruction: what it still reads when its stack pointer is back lies in the red zone.
#[unsafe(naked)]
extern "C" fn look() -> ! {
    core::arch::naked_asm!(
        "sub rsp, {frame}",
        "fxsave64 [rsp]",
        "lea rdi, [rsp + {general}]",
        "call {look_at_signals}",
        "fxrstor64 [rsp]",
        "lea rdi, [rsp + {general}]",
        "mov rsi, [rdi + {rsp}]",
        "sub rsi, {red_zone} + {ret}",
        "mov rax, [rdi + {rflags}]",
        "mov [rsi], rax",
        "mov rax, [rdi + {rip}]",
        "mov [rsi + 8], rax",
        "mov [rdi + {rsp}], rsi",
        "mov rax, [rdi + {rax}]",
        "mov rbx, [rdi + {rbx}]",
        "mov rcx, [rdi + {rcx}]",
        "mov rdx, [rdi + {rdx}]",
        "mov rsi, [rdi + {rsi}]",
        "mov rbp, [rdi + {rbp}]",
        "mov r8, [rdi + {r8}]",
        "mov r9, [rdi + {r9}]",
        "mov r10, [rdi + {r10}]",
        "mov r11, [rdi + {r11}]",
        "mov r12, [rdi + {r12}]",
        "mov r13, [rdi + {r13}]",
        "mov r14, [rdi + {r14}]",
        "mov r15, [rdi + {r15}]",
        "mov rsp, [rdi + {rsp}]",
        "mov rdi, [rdi + {rdi}]",
        "popfq",
        "ret {red_zone}",
        frame = const FRAME,
        general = const GENERAL,
        ret = const RETURN,
        red_zone = const RED_ZONE,
        rip = const offset_of!(Registers, rip),
        rflags = const offset_of!(Registers, rflags),
        rsp = const offset_of!(Registers, rsp),
        rax = const offset_of!(Registers, rax),
        rbx = const offset_of!(Registers, rbx),
        rcx = const offset_of!(Registers, rcx),
        rdx = const offset_of!(Registers, rdx),
        rsi = const offset_of!(Registers, rsi),
        rdi = const offset_of!(Registers, rdi),
        rbp = const offset_of!(Registers, rbp),
        r8 = const offset_of!(Registers, r8),
        r9 = const offset_of!(Registers, r9),
        r10 = const offset_of!(Registers, r10),
        r11 = const offset_of!(Registers, r11),
        r12 = const offset_of!(Registers, r12),
        r13 = const offset_of!(Registers, r13),
        r14 = const offset_of!(Registers, r14),
        r15 = const offset_of!(Registers, r15),
        look_at_signals = sym look_at_signals,
    )
}

extern "C" fn look_at_signals(frame: *mut Registers) {
    let redirection = &this().signals.redirection;
    // SAFETY: who has stopped the thread has written them before, and writes others only when it is not under way.
    let kept = unsafe { redirection.registers.get().read() };
    // SAFETY: `look` passes room in its frame.
    unsafe { frame.write(kept) };
    // SAFETY: nobody else knows the frame.
    let registers = unsafe { &mut *frame };
    redirection.wanted.store(false, Ordering::Relaxed);
    redirection.under_way.store(false, Ordering::Release);
    deliver(Some(registers));
}

/// Calls a handler, on the stack below `top` if that is not 0.
///
/// # Safety
/// `handler` is a function for these arguments; nothing runs on that stack.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn call_on(
    top: usize,
    handler: usize,
    signal: c_int,
    info: *mut SigInfo,
    context: *mut c_void,
) {
    core::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "test rdi, rdi",
        "cmovz rdi, rsp",
        "mov rsp, rdi",
        "and rsp, -16",
        "mov rax, rsi",
        "mov edi, edx",
        "mov rsi, rcx",
        "mov rdx, r8",
        "call rax",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
    )
}
