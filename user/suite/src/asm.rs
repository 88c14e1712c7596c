//! The processor, by hand: traps with every register in view, memory at any
//! address, and short pieces of machine code for tasks that end badly.
//!
//! The only module of the suite with `unsafe`. Invariant: what a case may give
//! these functions can at worst end or corrupt the task that runs the case, which
//! exists for that case alone; the kernel must bear all of it.
//! Neighbours: `call`, the traps as typed functions; `bare`, which runs [`Code`].
#![expect(unsafe_code, reason = "these cases test what the processor does")]

use core::arch::{asm, global_asm, naked_asm};
use core::mem::offset_of;

/// Makes a trap: number and arguments in, result code and second result out.
pub(crate) fn trap(number: u64, arguments: [u64; 6]) -> (i32, u64) {
    // SAFETY: of memory, a call touches the buffers that its arguments name: the typed calls take them from an
    // exclusive borrow, and what else a case names lies outside of the program's own memory.
    unsafe { portolan::trap::raw(number, arguments) }
}

/// Makes a trap that takes no memory, with this value in the stack pointer.
pub(crate) fn trap_on_stack(stack: u64, number: u64) -> (u64, u64) {
    let (code, value);
    // SAFETY: the stack pointer comes back before anything can use the stack; user code gets no signals.
    unsafe {
        asm!(
            "mov r12, rsp",
            "mov rsp, {stack}",
            "syscall",
            "mov rsp, r12",
            stack = in(reg) stack,
            inlateout("rax") number => code,
            out("rdx") value,
            out("rcx") _,
            out("r11") _,
            out("r12") _,
        );
    }
    (code, value)
}

/// What a thread has in the processor, as [`State::across_trap`] loads and stores it.
#[derive(Clone)]
#[repr(C, align(16))]
pub(crate) struct State {
    /// Floating-point state in the layout of `fxsave`.
    pub(crate) fpu: [u8; 512],
    /// `rax rbx rcx rdx rsi rdi rbp r8 … r15`; `rcx` is not stored back.
    pub(crate) general: [u64; 15],
    /// The flags.
    pub(crate) flags: u64,
}

const GENERAL: usize = offset_of!(State, general);
const FLAGS: usize = offset_of!(State, flags);

/// Defines a function that loads a [`State`], runs one piece of code and stores what is left.
macro_rules! crossing {
    ($name:ident, $($code:literal),+) => {
        #[unsafe(naked)]
        extern "C" fn $name(state: &mut State) {
            naked_asm!(
                "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15", "push rdi",
                "sub rsp, 512",
                "fxsave64 [rsp]",
                "fxrstor64 [rdi]",
                "push qword ptr [rdi + {flags}]",
                "mov rax, [rdi + {general}]",
                "mov rbx, [rdi + {general} + 8]",
                "mov rcx, [rdi + {general} + 16]",
                "mov rdx, [rdi + {general} + 24]",
                "mov rsi, [rdi + {general} + 32]",
                "mov rbp, [rdi + {general} + 48]",
                "mov r8, [rdi + {general} + 56]",
                "mov r9, [rdi + {general} + 64]",
                "mov r10, [rdi + {general} + 72]",
                "mov r11, [rdi + {general} + 80]",
                "mov r12, [rdi + {general} + 88]",
                "mov r13, [rdi + {general} + 96]",
                "mov r14, [rdi + {general} + 104]",
                "mov r15, [rdi + {general} + 112]",
                "mov rdi, [rdi + {general} + 40]",
                "popfq",
                $($code,)+
                "mov rcx, [rsp + 512]",
                "mov [rcx + {general}], rax",
                "mov [rcx + {general} + 8], rbx",
                "mov [rcx + {general} + 24], rdx",
                "mov [rcx + {general} + 32], rsi",
                "mov [rcx + {general} + 40], rdi",
                "mov [rcx + {general} + 48], rbp",
                "mov [rcx + {general} + 56], r8",
                "mov [rcx + {general} + 64], r9",
                "mov [rcx + {general} + 72], r10",
                "mov [rcx + {general} + 80], r11",
                "mov [rcx + {general} + 88], r12",
                "mov [rcx + {general} + 96], r13",
                "mov [rcx + {general} + 104], r14",
                "mov [rcx + {general} + 112], r15",
                "pushfq",
                "pop qword ptr [rcx + {flags}]",
                "push 0x202",
                "popfq",
                "fxsave64 [rcx]",
                "fxrstor64 [rsp]",
                "add rsp, 512",
                "pop rdi", "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
                "ret",
                general = const GENERAL,
                flags = const FLAGS,
            )
        }
    };
}

crossing!(cross_trap, "syscall");
// Neither lea nor jrcxz touches the flags.
crossing!(cross_spin, "2: lea rcx, [rcx - 1]", "jrcxz 3f", "jmp 2b", "3:");

impl State {
    /// The flag that makes string instructions go downwards.
    pub(crate) const DIRECTION: u64 = 1 << 10;
    /// The nested-task flag.
    pub(crate) const NESTED: u64 = 1 << 14;
    /// The flag that makes misaligned accesses trap.
    pub(crate) const ALIGNMENT_CHECK: u64 = 1 << 18;
    /// Interrupts enabled, and the bit that is always set.
    pub(crate) const FLAGS: u64 = 0x202;

    /// Loads the state, makes the trap that `general` describes, stores what came back.
    pub(crate) fn across_trap(&mut self) {
        cross_trap(self);
    }

    /// Loads the state, counts `rcx` down to zero, stores what is there then.
    pub(crate) fn across_spin(&mut self, turns: u64) {
        self.general[2] = turns;
        cross_spin(self);
    }
}

/// The byte at an address, if the processor lets this task read it.
pub(crate) fn load(address: u64) -> u64 {
    let value;
    // SAFETY: reading user memory changes nothing; where nothing is mapped, the task ends.
    unsafe { asm!("mov {}, [{}]", out(reg) value, in(reg) address, options(nostack, readonly, preserves_flags)) };
    value
}

/// Writes eight bytes to an address of a mapping that the case made.
pub(crate) fn store(address: u64, value: u64) {
    // SAFETY: no Rust object lies in memory that a case has mapped by itself.
    unsafe { asm!("mov [{}], {}", in(reg) address, in(reg) value, options(nostack, preserves_flags)) };
}

/// Calls machine code that a case put into executable memory; it takes nothing and returns a number.
pub(crate) fn call(address: u64) -> u64 {
    let value;
    // SAFETY: the code is the case's own and keeps the calling convention.
    unsafe { asm!("call {}", in(reg) address, lateout("rax") value, clobber_abi("C")) };
    value
}

/// The time stamp counter.
pub(crate) fn time_stamp() -> u64 {
    // SAFETY: user code may read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Whether the processor keeps `sgdt` and its like from user code.
pub(crate) fn has_umip() -> bool {
    const STRUCTURED_FEATURES: u32 = 7;
    core::arch::x86_64::__cpuid_count(STRUCTURED_FEATURES, 0).ecx & 1 << 2 != 0
}

/// A piece of position-independent machine code, to be copied into a bare task.
///
/// It starts with the address of a page it may use in `rdi` and with a stack at that page's end.
pub(crate) type Code = &'static [u8];

/// Defines pieces of code; the assembler puts them among the constants.
macro_rules! pieces {
    ($($(#[$doc:meta])* $name:ident = $($line:literal),+;)*) => { $(
        global_asm!(
            ".pushsection .rodata.code,\"a\"",
            concat!("suite_", stringify!($name), "_start:"),
            $($line,)+
            concat!("suite_", stringify!($name), "_end:"),
            ".popsection",
        );

        $(#[$doc])*
        pub(crate) fn $name() -> Code {
            unsafe extern "C" {
                #[link_name = concat!("suite_", stringify!($name), "_start")]
                static START: u8;
                #[link_name = concat!("suite_", stringify!($name), "_end")]
                static END: u8;
            }
            let (start, end) = (&raw const START, &raw const END);
            // SAFETY: both symbols belong to one block of constants, the end after the start.
            unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) }
        }
    )* };
}

pieces! {
    /// Comes first in every bare task: says in the page that the task has started.
    started = "mov r15, rdi", "mov dword ptr [r15], 1";
    /// Comes last: says that the task has got through, and yields for ever (9 is `thread_switch`).
    survived = "mov dword ptr [r15], 2", "2: mov eax, 9", "xor edi, edi", "xor esi, esi", "syscall", "jmp 2b";
    /// Never ends and never traps.
    spin = "2: pause", "jmp 2b";
    /// Counts in the page, for ever, without a trap.
    count = "2: inc qword ptr [r15 + 64]", "jmp 2b";
    /// Changes the number of descriptors in a header in the page behind its own, over and over, yielding between.
    flip_descriptors = "2: xor dword ptr [r15 + 4096 + 20], 1", "mov eax, 9", "xor edi, edi", "xor esi, esi", "syscall",
        "jmp 2b";
    /// Waits until the case writes to byte 64 of the page.
    wait = "2: pause", "cmp qword ptr [r15 + 64], 0", "je 2b";
    /// Writes to every page from 0x10000000 on.
    touch_all = "mov rbx, 0x10000000", "2: mov [rbx], rbx", "add rbx, 4096", "jmp 2b";
    /// Answers, and waits for the next request, in one trap, for ever. Byte 64 of the page has the name of the
    /// port; the buffer is at 256. (2 is `msg_receive`, 3 `msg_rpc`, 18 `MoveSendOnce`.)
    echo =
        "mov r12, [r15 + 64]", "shl r12, 32", "lea r13, [r15 + 256]", "xor r8d, r8d", "xor r9d, r9d",
        "mov eax, 2", "xor edi, edi", "mov rsi, r12", "mov rdx, 512 << 32", "mov r10, r13", "syscall",
        "2: mov dword ptr [r13], 18", "mov dword ptr [r13 + 12], 0",
        "mov eax, 3", "mov rdi, r13", "mov rsi, r12", "mov rdx, 512 << 32 | 24", "mov r10, r13", "syscall",
        "jmp 2b";
    /// Adds up in byte 72 what is 16 bytes into its FS segment, over and over, yielding between; and counts in 64.
    add_from_fs = "2: mov rax, fs:[16]", "add [r15 + 72], rax", "inc qword ptr [r15 + 64]", "mov eax, 9", "xor edi, edi",
        "xor esi, esi", "syscall", "jmp 2b";
    /// A function that returns 42.
    answer = "mov eax, 42", "ret";

    /// Stores every register as the thread was given it, from byte 64 of the page, and the FPU's state at 512.
    record_start =
        "mov [rdi + 64], rax", "mov [rdi + 72], rbx", "mov [rdi + 80], rcx", "mov [rdi + 88], rdx",
        "mov [rdi + 96], rsi", "mov [rdi + 104], rbp", "mov [rdi + 112], r8", "mov [rdi + 120], r9",
        "mov [rdi + 128], r10", "mov [rdi + 136], r11", "mov [rdi + 144], r12", "mov [rdi + 152], r13",
        "mov [rdi + 160], r14", "mov [rdi + 168], r15", "mov [rdi + 176], rsp",
        "pushfq", "pop qword ptr [rdi + 184]",
        "fxsave64 [rdi + 512]";
    /// Fills every vector register with ones, and changes both control words.
    dirty_fpu =
        "pcmpeqd xmm0, xmm0", "movdqa xmm1, xmm0", "movdqa xmm2, xmm0", "movdqa xmm3, xmm0",
        "movdqa xmm4, xmm0", "movdqa xmm5, xmm0", "movdqa xmm6, xmm0", "movdqa xmm7, xmm0",
        "movdqa xmm8, xmm0", "movdqa xmm9, xmm0", "movdqa xmm10, xmm0", "movdqa xmm11, xmm0",
        "movdqa xmm12, xmm0", "movdqa xmm13, xmm0", "movdqa xmm14, xmm0", "movdqa xmm15, xmm0",
        "mov dword ptr [r15 + 64], 0x7f80", "ldmxcsr [r15 + 64]",
        "mov word ptr [r15 + 64], 0x0f7f", "fldcw [r15 + 64]", "fldpi", "fldpi", "fldpi";
    /// Fills the general registers with ones, over and over, without a trap.
    dirty_registers =
        "2: mov rax, -1", "mov rbx, rax", "mov rcx, rax", "mov rdx, rax", "mov rsi, rax", "mov rdi, rax",
        "mov rbp, rax", "mov r8, rax", "mov r9, rax", "mov r10, rax", "mov r11, rax", "mov r12, rax",
        "mov r13, rax", "mov r14, rax", "std", "jmp 2b";
}

pieces! {
    read_null = "xor eax, eax", "mov rax, [rax]";
    write_null = "xor eax, eax", "mov [rax], rax";
    jump_null = "xor eax, eax", "jmp rax";
    read_physical_map = "mov rax, 0xffff800000000000", "mov rax, [rax]";
    write_physical_map = "mov rax, 0xffff800000000000", "mov [rax], rax";
    read_kernel = "mov rax, 0xffffffff80200000", "mov rax, [rax]";
    write_kernel = "mov rax, 0xffffffff80200000", "mov [rax], rax";
    jump_kernel = "mov rax, 0xffffffff80200000", "jmp rax";
    read_last_byte = "mov rax, -1", "mov al, [rax]";
    read_non_canonical = "mov rax, 0x800000000000", "mov rax, [rax]";
    jump_non_canonical = "mov rax, 0x800000000000", "jmp rax";
    read_last_user_page = "mov rax, 0x7ffffffff000", "mov rax, [rax]";
    write_text = "lea rax, [rip]", "mov [rax], rax";
    execute_stack = "mov word ptr [rsp - 16], 0xc3c3", "lea rax, [rsp - 16]", "call rax";
    execute_data = "mov word ptr [r15 + 64], 0xc3c3", "lea rax, [r15 + 64]", "call rax";
    overflow_stack = "mov eax, 1", "2: push rax", "jmp 2b";
    push_on_non_canonical_stack = "mov rsp, 0x8000000000000000", "push rax";
    push_on_kernel_stack = "mov rsp, 0xffffffff80300000", "push rax";

    divide_by_zero = "xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx";
    divide_overflow = "mov edx, -1", "mov eax, 0x80000000", "mov ecx, -1", "idiv ecx";
    vector_exception = "mov dword ptr [r15 + 64], 0x1d80", "ldmxcsr [r15 + 64]", "xorps xmm0, xmm0", "mov eax, 1",
        "cvtsi2ss xmm1, eax", "divss xmm1, xmm0";
    x87_exception = "mov word ptr [r15 + 64], 0x0360", "fldcw [r15 + 64]", "fld1", "fldz", "fdivp", "fwait";
    misaligned_vector = "movaps xmm0, [r15 + 72]";
    misaligned_checked = "pushfq", "or dword ptr [rsp], 0x40000", "popfq", "mov eax, [r15 + 65]";

    undefined = "ud2";
    call_hypervisor = "vmcall";
    wide_vectors = "vaddps ymm0, ymm0, ymm0";
    write_gs_base = "mov eax, 1", "wrgsbase rax";
    write_fs_base = "mov eax, 1", "wrfsbase rax";
    wait_on_monitor = "mov eax, 1", "mwait";
    lock_nothing = ".byte 0xf0, 0x90";
    too_long = ".fill 16, 1, 0x66", "nop";
    enter_system = "sysenter";

    halt = "hlt";
    disable_interrupts = "cli";
    enable_interrupts = "sti";
    port_in = "in al, 0x60";
    port_out = "mov al, 0x10", "mov dx, 0xf4", "out dx, al";
    read_control = "mov rax, cr0";
    read_fault_address = "mov rax, cr2";
    write_control = "mov eax, 1", "mov cr0, rax";
    write_page_table = "xor eax, eax", "mov cr3, rax";
    write_extended_control = "xor eax, eax", "xor ecx, ecx", "xor edx, edx", "xsetbv";
    read_debug = "mov rax, dr7";
    write_debug = "xor eax, eax", "mov dr7, rax";
    load_gdt = "lgdt [r15 + 64]";
    load_idt = "lidt [r15 + 64]";
    load_ldt = "xor eax, eax", "lldt ax";
    load_task = "xor eax, eax", "ltr ax";
    load_status = "xor eax, eax", "lmsw ax";
    write_register = "mov ecx, 0xc0000082", "xor eax, eax", "xor edx, edx", "wrmsr";
    read_register = "mov ecx, 0xc0000082", "rdmsr";
    read_counter = "xor ecx, ecx", "rdpmc";
    invalidate_page = "invlpg [r15]";
    swap_gs = "swapgs";
    write_back_caches = "wbinvd";
    drop_caches = "invd";
    clear_task_switched = "clts";
    /// To the next instruction, with the selectors and flags that it has.
    return_from_interrupt = "mov rax, rsp", "mov ecx, ss", "push rcx", "push rax", "pushfq", "mov ecx, cs", "push rcx",
        "lea rax, [rip + 2f]", "push rax", "iretq", "2:";
    return_from_trap = "mov rcx, r15", "mov r11d, 0x202", "sysretq";

    store_gdt = "sgdt [r15 + 64]";
    store_idt = "sidt [r15 + 64]";
    store_ldt = "sldt rax";
    store_task = "str rax";
    store_status = "smsw rax";

    breakpoint = "int3";
    breakpoint_in_the_open = ".byte 0xf1";
    single_step = "pushfq", "or dword ptr [rsp], 0x100", "popfq", "nop", "nop";
    single_step_trap = "mov eax, 10", "pushfq", "or dword ptr [rsp], 0x100", "popfq", "syscall", "nop";
    shadowed_breakpoint = "mov eax, ss", "mov ss, eax", "int3";

    load_wild_segment = "mov eax, 0x1233", "mov ds, eax";
    load_wild_thread_segment = "mov eax, 0xfff8", "mov fs, eax";
    load_kernel_data_segment = "mov eax, 0x10", "mov es, eax";
    load_kernel_code_segment = "mov eax, 0x08", "mov gs, eax";
    load_null_stack_segment = "xor eax, eax", "mov ss, eax";
    load_code_as_stack_segment = "mov eax, cs", "mov ss, eax";
    /// Null selectors are allowed everywhere but in `ss`; the kernel must not care.
    load_null_segments = "xor eax, eax", "mov ds, eax", "mov es, eax", "mov fs, eax", "mov gs, eax", "mov eax, 10",
        "syscall";
    return_to_kernel = "mov rax, rsp", "push 0x10", "push rax", "pushfq", "push 0x08", "push r15", "iretq";
    return_to_non_canonical = "mov rax, rsp", "mov ecx, ss", "push rcx", "push rax", "pushfq", "mov ecx, cs", "push rcx",
        "mov rcx, 0x800000000000", "push rcx", "iretq";
    return_far_to_kernel = "push 0x08", "push r15", "retfq";
    jump_far_to_kernel = "mov [r15 + 64], r15", "mov word ptr [r15 + 72], 0x08", ".byte 0x49, 0xff, 0x6f, 0x40";

    /// A trap; put last in a page, it would return to the page behind it.
    bare_trap = "syscall";
}

const _: () = assert!(portolan::abi::call::number::THREAD_SWITCH == 9, "`survived` has the number in it");
const _: () = assert!(portolan::abi::call::number::CLOCK_GET == 10, "the pieces that trap have the number in them");
const _: () = assert!(portolan::abi::call::number::MSG_RECEIVE == 2, "`echo` has the number in it");
const _: () = assert!(portolan::abi::call::number::MSG_RPC == 3, "`echo` has the number in it");
