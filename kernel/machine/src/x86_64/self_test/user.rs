//! User mode: small programs that do what a thread may and may not, and what comes back.

use super::super::descriptors::{USER_CODE, USER_DATA};
use super::super::features;
use super::super::layout::{self, APIC, ARENAS, PHYSMAP, PRIVATE, USER_LIMIT};
use super::super::per_cpu::PerCpu;
use super::{Bench, Verdict, check, tests};
use crate::{Access, Context, Exception, Frame, Instant, Pmap, Trap, VirtAddr, pace};
use ::x86_64::registers::control::Cr3;
use ::x86_64::registers::rflags::{self, RFlags};
use arrayvec::ArrayVec;
use core::arch::global_asm;
use portolan_abi::vm::USER_END;
use portolan_abi::{PAGE_SIZE, Protection};

tests![
    system_call_shows_and_keeps_registers,
    new_thread_has_clean_registers,
    user_flags_do_not_reach_the_kernel,
    user_stack_pointer_does_not_matter,
    single_step_over_a_system_call,
    selectors_a_user_loads_are_harmless,
    privileged_instructions_are_refused,
    exceptions_have_their_causes,
    interrupt_instructions_are_refused,
    instructions_of_unsaved_state_do_not_exist,
    table_registers_are_hidden,
    time_stamp_is_the_users_too,
    page_faults_say_what_was_tried,
    kernel_half_is_closed,
    start_outside_the_users_half_is_the_threads_fault,
    deadline_interrupts_a_loop_and_keeps_registers,
    what_came_during_work_is_told_before_a_thread_runs,
    floating_point_state_is_each_threads_own,
    floating_point_state_starts_clean,
    dropped_thread_owns_no_floating_point_state,
    changed_page_is_seen_at_once,
    destroyed_address_space_is_left,
];

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x50_0000;
const STACK: u64 = 0x60_0000;
const STACK_TOP: u64 = STACK + PAGE_SIZE as u64;

/// A program: instructions that run wherever they are put.
struct Program {
    start: *const u8,
    end: *const u8,
}

macro_rules! program {
    ($(#[$doc:meta])* $name:ident, $start:ident, $end:ident: $($line:literal),+ $(,)?) => {
        global_asm!(
            ".pushsection .rodata.user_programs, \"a\", @progbits",
            concat!(stringify!($start), ":"),
            $($line),+,
            concat!(stringify!($end), ":"),
            ".popsection",
        );
        $(#[$doc])*
        fn $name() -> Program {
            unsafe extern "C" {
                static $start: u8;
                static $end: u8;
            }
            Program { start: &raw const $start, end: &raw const $end }
        }
    };
}

impl Program {
    fn bytes(&self) -> &'static [u8] {
        let size = self.end.addr() - self.start.addr();
        // SAFETY: the bytes between the two labels are constants of the image.
        unsafe { core::slice::from_raw_parts(self.start, size) }
    }
}

/// An address space with a page of code, one of data, and one for a stack.
struct Space {
    pmap: Pmap,
    taken: ArrayVec<Frame, 32>,
    data: Frame,
}

impl Space {
    fn new(bench: &mut Bench, code: &[u8]) -> Space {
        let mut taken = ArrayVec::new();
        let mut take = || {
            let frame = bench.frames.pop().expect("a test needs fewer frames");
            taken.push(frame);
            frame
        };
        let (root, text, data, stack) = (take(), take(), take(), take());
        let memory = &mut bench.memory;
        [text, data, stack].into_iter().for_each(|frame| memory.zero(frame));
        memory.write(text.span(0, code.len()), code);
        let mut pmap = Pmap::new(memory, root);
        let pages = [
            (CODE, text, Protection::READ_EXECUTE),
            (DATA, data, Protection::READ_WRITE),
            (STACK, stack, Protection::READ_WRITE),
        ];
        for (page, frame, protection) in pages {
            let old = pmap.enter(memory, VirtAddr(page), frame, protection, &mut || Some(take()));
            assert_eq!(old, Ok(None), "an empty address space");
        }
        Space { pmap, taken, data }
    }

    fn destroy(self, bench: &mut Bench) {
        let Space { pmap, mut taken, .. } = self;
        let tables: ArrayVec<Frame, 32> = {
            let mut tables = ArrayVec::new();
            pmap.destroy(&mut bench.memory, &mut |frame| tables.push(frame));
            tables
        };
        assert!(tables.iter().all(|table| taken.contains(table)), "a table that was never taken");
        bench.frames.extend(taken.drain(..));
    }
}

fn thread() -> Context {
    Context::new(VirtAddr(CODE), VirtAddr(STACK_TOP), DATA).expect("memory for a thread")
}

/// Runs code in a fresh address space until its first trap.
fn first_trap(bench: &mut Bench, code: &[u8]) -> (Trap, Context) {
    let space = Space::new(bench, code);
    let mut context = thread();
    let trap = bench.cpu.run(&mut context, space.pmap.root());
    space.destroy(bench);
    (trap, context)
}

program!(
    /// Sets every register to a number of its own and calls; then adds up those that changed.
    registers, registers_start, registers_end:
    "mov rax, 0x101", "mov rbx, 0x102", "mov rdx, 0x104", "mov rsi, 0x105", "mov rdi, 0x106", "mov rbp, 0x107",
    "mov r8, 0x108", "mov r9, 0x109", "mov r10, 0x10a", "mov r12, 0x10c", "mov r13, 0x10d", "mov r14, 0x10e",
    "mov r15, 0x10f",
    "syscall",
    "sub rbx, 0x102", "sub rsi, 0x105", "sub rdi, 0x106", "sub rbp, 0x107", "sub r8, 0x108", "sub r9, 0x109",
    "sub r10, 0x10a", "sub r12, 0x10c", "sub r13, 0x10d", "sub r14, 0x10e", "sub r15, 0x10f",
    "or rdi, rbx", "or rdi, rsi", "or rdi, rbp", "or rdi, r8", "or rdi, r9", "or rdi, r10", "or rdi, r12",
    "or rdi, r13", "or rdi, r14", "or rdi, r15",
    "mov rsi, rsp",
    "mov r10, rax",
    "syscall",
);

fn system_call_shows_and_keeps_registers(bench: &mut Bench) -> Verdict {
    let space = Space::new(bench, registers().bytes());
    let mut context = thread();
    let first = bench.cpu.run(&mut context, space.pmap.root());
    let shown = context.call();
    context.set_result(-5, 0xfeed_beef_0000_1234);
    let second = bench.cpu.run(&mut context, space.pmap.root());
    let (_, [changed, stack, value, code, ..]) = context.call();
    space.destroy(bench);
    check((first, second) == (Trap::Syscall, Trap::Syscall), "a call did not come back as one")?;
    check(shown == (0x101, [0x106, 0x105, 0x104, 0x10a, 0x108, 0x109]), "number or arguments are wrong")?;
    check(changed == 0, "a register has changed")?;
    check(stack == STACK_TOP, "the stack pointer has changed")?;
    check((code.cast_signed(), value) == (-5, 0xfeed_beef_0000_1234), "the results are wrong")
}

program!(
    /// Adds up all registers that must be zero at the start.
    sum, sum_start, sum_end:
    "or rax, rbx", "or rax, rcx", "or rax, rdx", "or rax, rsi", "or rax, rbp", "or rax, r8", "or rax, r9",
    "or rax, r10", "or rax, r11", "or rax, r12", "or rax, r13", "or rax, r14", "or rax, r15",
    "pushfq", "pop rsi",
    "mov edx, ss",
    "syscall",
);

fn new_thread_has_clean_registers(bench: &mut Bench) -> Verdict {
    let (trap, context) = first_trap(bench, sum().bytes());
    let (sum, [argument, flags, stack_segment, ..]) = context.call();
    check(trap == Trap::Syscall && sum == 0, "a register is not zero")?;
    check(argument == DATA, "the argument is not in its register")?;
    check(stack_segment == USER_DATA.into(), "the stack segment is another")?;
    let only = RFlags::INTERRUPT_FLAG | RFlags::PARITY_FLAG | RFlags::ZERO_FLAG;
    check(flags & !only.bits() == 2, "a flag is set")
}

program!(
    /// Sets direction, alignment check, nested task and carry, then calls, hits a breakpoint,
    /// and calls again with the flags that it had after the first two.
    flags, flags_start, flags_end:
    "pushfq", "or qword ptr [rsp], 0x44401", "popfq",
    "syscall",
    "pushfq", "pop rdi",
    "int3",
    "pushfq", "pop rsi",
    "syscall",
);

fn user_flags_do_not_reach_the_kernel(bench: &mut Bench) -> Verdict {
    let space = Space::new(bench, flags().bytes());
    let mut context = thread();
    let mut dirty = false;
    let mut run = |context: &mut Context| {
        let trap = bench.cpu.run(context, space.pmap.root());
        let kernel = RFlags::INTERRUPT_FLAG | RFlags::DIRECTION_FLAG | RFlags::ALIGNMENT_CHECK | RFlags::NESTED_TASK;
        dirty |= rflags::read().intersects(kernel);
        trap
    };
    let traps = [run(&mut context), run(&mut context), run(&mut context)];
    let (_, [after_call, after_exception, ..]) = context.call();
    space.destroy(bench);
    check(traps == [Trap::Syscall, Trap::Exception(Exception::Breakpoint), Trap::Syscall], "a wrong trap")?;
    check(!dirty, "the kernel ran with a user's flag")?;
    check(after_call & after_exception & 0x44401 == 0x44401, "the user's flags are lost")
}

program!(
    /// Calls, and hits a breakpoint, with the stack pointer it is given as its argument.
    on_any_stack, on_any_stack_start, on_any_stack_end:
    "mov rsp, rdi",
    "syscall",
    "int3",
);

fn user_stack_pointer_does_not_matter(bench: &mut Bench) -> Verdict {
    for pointer in [0, 1, 7, USER_LIMIT - 1, USER_LIMIT, PHYSMAP, u64::MAX, (&raw const *bench).addr() as u64] {
        let space = Space::new(bench, on_any_stack().bytes());
        let mut context = Context::new(VirtAddr(CODE), VirtAddr(pointer), pointer).ok_or("memory")?;
        let traps = [(); 2].map(|()| bench.cpu.run(&mut context, space.pmap.root()));
        space.destroy(bench);
        check(traps == [Trap::Syscall, Trap::Exception(Exception::Breakpoint)], "a wrong trap")?;
        check(context.stack().0 == pointer, "the stack pointer has changed")?;
    }
    Ok(())
}

program!(
    /// Turns single-stepping on in front of a call.
    stepped, stepped_start, stepped_end:
    "pushfq", "or qword ptr [rsp], 0x100", "popfq",
    "syscall",
    "nop",
    "nop",
);

fn single_step_over_a_system_call(bench: &mut Bench) -> Verdict {
    let space = Space::new(bench, stepped().bytes());
    let mut context = thread();
    let traps = [(); 2].map(|()| bench.cpu.run(&mut context, space.pmap.root()));
    space.destroy(bench);
    check(traps[0] == Trap::Syscall, "the call did not come first")?;
    check(traps[1] == Trap::Exception(Exception::Debug), "the step did not come after it")
}

program!(
    /// Loads the selector in its argument wherever it can, and calls.
    selectors, selectors_start, selectors_end:
    "mov ds, edi", "mov es, edi", "mov fs, edi", "mov gs, edi",
    "syscall",
    "mov eax, gs:[0]", // the base is 0, and nothing is mapped there
);

fn selectors_a_user_loads_are_harmless(bench: &mut Bench) -> Verdict {
    let null_page = Trap::PageFault { address: VirtAddr(0), access: Access::Read };
    for selector in [0, 3, USER_DATA, USER_DATA & !3, USER_CODE] {
        check(load_selector(bench, selector) == [Trap::Syscall, null_page], "a harmless selector was refused")?;
    }
    let refused = Trap::Exception(Exception::Protection);
    for selector in [0x08, 0x0b, 0x10, 0x13, 0x28, 0x2b, 0x38, 0xfff8, 0xffff, 0x04, 0x07] {
        check(load_selector(bench, selector)[0] == refused, "a selector that is not the user's was loaded")?;
    }
    Ok(())
}

fn load_selector(bench: &mut Bench, selector: u16) -> [Trap; 2] {
    let space = Space::new(bench, selectors().bytes());
    let mut context = Context::new(VirtAddr(CODE), VirtAddr(STACK_TOP), selector.into()).expect("memory");
    let traps = [(); 2].map(|()| bench.cpu.run(&mut context, space.pmap.root()));
    space.destroy(bench);
    traps
}

/// Checks that each of these instructions ends in this exception.
fn all_end_in(bench: &mut Bench, exception: Exception, instructions: &[(&'static str, &[u8])]) -> Verdict {
    for (name, code) in instructions {
        check(first_trap(bench, code).0 == Trap::Exception(exception), name)?;
    }
    Ok(())
}

fn privileged_instructions_are_refused(bench: &mut Bench) -> Verdict {
    let instructions: [(&str, &[u8]); 21] = [
        ("cli", &[0xfa]),
        ("sti", &[0xfb]),
        ("hlt", &[0xf4]),
        ("in al, dx", &[0xec]),
        ("out dx, al", &[0xee]),
        ("mov rax, cr0", &[0x0f, 0x20, 0xc0]),
        ("mov cr0, rax", &[0x0f, 0x22, 0xc0]),
        ("mov rax, cr3", &[0x0f, 0x20, 0xd8]),
        ("mov cr3, rax", &[0x0f, 0x22, 0xd8]),
        ("mov cr4, rax", &[0x0f, 0x22, 0xe0]),
        ("mov dr7, rax", &[0x0f, 0x23, 0xf8]),
        ("rdmsr", &[0x0f, 0x32]),
        ("wrmsr", &[0x0f, 0x30]),
        ("rdpmc", &[0x0f, 0x33]),
        ("lgdt [rdi]", &[0x0f, 0x01, 0x17]),
        ("lidt [rdi]", &[0x0f, 0x01, 0x1f]),
        ("ltr di", &[0x0f, 0x00, 0xdf]),
        ("invlpg [rdi]", &[0x0f, 0x01, 0x3f]),
        ("wbinvd", &[0x0f, 0x09]),
        ("swapgs", &[0x0f, 0x01, 0xf8]),
        ("sysretq", &[0x48, 0x0f, 0x07]),
    ];
    all_end_in(bench, Exception::Protection, &instructions)
}

program!(
    /// Divides by zero.
    divide, divide_start, divide_end:
    "xor ecx, ecx", "div ecx",
);
program!(
    /// Divides the smallest number by -1.
    quotient, quotient_start, quotient_end:
    "mov eax, 0x80000000", "cdq", "mov ecx, -1", "idiv ecx",
);
program!(
    /// Reads a misaligned number with alignment checked, and calls.
    misaligned, misaligned_start, misaligned_end:
    "pushfq", "or qword ptr [rsp], 0x40000", "popfq", "mov rax, [rdi + 1]",
    "syscall",
);
program!(
    /// Pushes onto a stack that cannot be.
    bad_stack, bad_stack_start, bad_stack_end:
    "mov rsp, 0x7fffffffffff0000", "push rax",
);
program!(
    /// Reads from an address that cannot be.
    bad_address, bad_address_start, bad_address_end:
    "mov rax, 0x800000000000", "mov rax, [rax]",
);
program!(
    /// Jumps to an address that cannot be.
    bad_jump, bad_jump_start, bad_jump_end:
    "mov rax, 0x800000000000", "jmp rax",
);
program!(
    /// Divides by zero on the x87, with the exception unmasked.
    x87_error, x87_error_start, x87_error_end:
    "push 0x340", "fldcw [rsp]", "fldz", "fld1", "fdivrp", "fwait",
);
program!(
    /// Divides by zero with SSE, with the exception unmasked, and calls.
    sse_error, sse_error_start, sse_error_end:
    "push 0x1d80", "ldmxcsr [rsp]", "xorps xmm0, xmm0", "mov eax, 0x3f800000", "movd xmm1, eax", "divss xmm1, xmm0",
    "syscall",
);
program!(
    /// Returns to the kernel's code segment.
    far_return, far_return_start, far_return_end:
    "lea rax, [rip]", "push 8", "push rax", "retfq",
);

fn exceptions_have_their_causes(bench: &mut Bench) -> Verdict {
    let cases = [
        ("division by zero", divide().bytes(), Exception::Divide),
        ("a quotient that does not fit", quotient().bytes(), Exception::Divide),
        ("int3", &[0xcc][..], Exception::Breakpoint),
        ("int 3", &[0xcd, 3], Exception::Breakpoint),
        ("int 4", &[0xcd, 4], Exception::Overflow),
        ("ud2", &[0x0f, 0x0b], Exception::InvalidInstruction),
        ("an instruction of 32-bit mode", &[0x06], Exception::InvalidInstruction),
        ("an address that cannot be", bad_address().bytes(), Exception::Protection),
        ("a jump that cannot be", bad_jump().bytes(), Exception::Protection),
        ("an x87 error", x87_error().bytes(), Exception::FloatingPoint),
    ];
    for (name, code, exception) in cases {
        check(first_trap(bench, code).0 == Trap::Exception(exception), name)?;
    }
    // QEMU's emulation does some things differently: it has no `int1`, checks no alignment,
    // raises no SSE error, takes a bad stack address for any bad address, and reads the stack
    // of a far return with the kernel's rights, which SMAP then refuses.
    let stack_read = Trap::PageFault { address: VirtAddr(STACK_TOP - 16), access: Access::Read };
    let differing = [
        ("int1", &[0xf1][..], [Exception::Debug, Exception::InvalidInstruction].map(Trap::Exception)),
        ("a misaligned access", misaligned().bytes(), [Trap::Exception(Exception::Alignment), Trap::Syscall]),
        ("an SSE error", sse_error().bytes(), [Trap::Exception(Exception::FloatingPoint), Trap::Syscall]),
        ("a return to the kernel", far_return().bytes(), [Trap::Exception(Exception::Protection), stack_read]),
        ("a bad stack", bad_stack().bytes(), [Exception::Stack, Exception::Protection].map(Trap::Exception)),
    ];
    for (name, code, either) in differing {
        check(either.contains(&first_trap(bench, code).0), name)?;
    }
    Ok(())
}

fn interrupt_instructions_are_refused(bench: &mut Bench) -> Verdict {
    for vector in (0..=255_u8).filter(|vector| ![3, 4].contains(vector)) {
        let (trap, _) = first_trap(bench, &[0xcd, vector]);
        check(trap == Trap::Exception(Exception::Protection), "a user can raise another vector")?;
    }
    Ok(())
}

fn instructions_of_unsaved_state_do_not_exist(bench: &mut Bench) -> Verdict {
    let instructions: [(&str, &[u8]); 5] = [
        ("xgetbv", &[0x0f, 0x01, 0xd0]),
        ("xsave [rdi]", &[0x0f, 0xae, 0x27]),
        ("vaddps ymm0, ymm0, ymm0", &[0xc5, 0xfc, 0x58, 0xc0]),
        ("rdgsbase rax", &[0xf3, 0x48, 0x0f, 0xae, 0xc8]),
        ("wrgsbase rax", &[0xf3, 0x48, 0x0f, 0xae, 0xd8]),
    ];
    all_end_in(bench, Exception::InvalidInstruction, &instructions)
}

fn table_registers_are_hidden(bench: &mut Bench) -> Verdict {
    let has_umip = features::PROTECTIONS.iter().any(|p| p.name == "UMIP" && p.is_present());
    if !has_umip {
        return Ok(());
    }
    let instructions: [(&str, &[u8]); 5] = [
        ("sgdt [rdi]", &[0x0f, 0x01, 0x07]),
        ("sidt [rdi]", &[0x0f, 0x01, 0x0f]),
        ("smsw eax", &[0x0f, 0x01, 0xe0]),
        ("str eax", &[0x0f, 0x00, 0xc8]),
        ("sldt eax", &[0x0f, 0x00, 0xc0]),
    ];
    all_end_in(bench, Exception::Protection, &instructions)
}

fn time_stamp_is_the_users_too(bench: &mut Bench) -> Verdict {
    let (trap, _) = first_trap(bench, &[0x0f, 0x31, 0x0f, 0x05]); // rdtsc; syscall
    check(trap == Trap::Syscall, "it was refused")
}

fn page_faults_say_what_was_tried(bench: &mut Bench) -> Verdict {
    let at = |address, access| Trap::PageFault { address: VirtAddr(address), access };
    // The argument, in rdi, is the data page.
    let cases: [(&str, &[u8], Trap); 5] = [
        ("reading what is not mapped", &[0x8a, 0x87, 0, 0, 0xc0, 0xff], at(0x10_0000, Access::Read)),
        ("writing what is not mapped", &[0x88, 0x87, 0, 0, 0xc0, 0xff], at(0x10_0000, Access::Write)),
        ("writing code", &[0x88, 0x05, 0xfa, 0xff, 0xff, 0xff], at(CODE, Access::Write)),
        ("executing data", &[0xff, 0xe7], at(DATA, Access::Execute)),
        ("calling null", &[0x31, 0xc0, 0xff, 0xd0], at(0, Access::Execute)),
    ];
    for (name, code, expected) in cases {
        check(first_trap(bench, code).0 == expected, name)?;
    }
    Ok(())
}

program!(
    /// Reads from the address in its argument.
    reader, reader_start, reader_end:
    "mov al, [rdi]",
    "syscall",
);
program!(
    /// Writes to the address in its argument.
    writer, writer_start, writer_end:
    "mov [rdi], al",
    "syscall",
);
program!(
    /// Jumps to the address in its argument.
    jumper, jumper_start, jumper_end:
    "jmp rdi",
);

fn kernel_half_is_closed(bench: &mut Bench) -> Verdict {
    let block: *const PerCpu = PerCpu::current();
    let own = block.addr() as u64;
    for address in [layout::text().start.0, own, PRIVATE, ARENAS, APIC, PHYSMAP + (1 << 20), PHYSMAP] {
        for (program, access) in [(reader(), Access::Read), (writer(), Access::Write), (jumper(), Access::Execute)] {
            let space = Space::new(bench, program.bytes());
            let mut context = Context::new(VirtAddr(CODE), VirtAddr(STACK_TOP), address).ok_or("memory")?;
            let trap = bench.cpu.run(&mut context, space.pmap.root());
            space.destroy(bench);
            check(trap == Trap::PageFault { address: VirtAddr(address), access }, "a user reached into it")?;
        }
    }
    Ok(())
}

fn start_outside_the_users_half_is_the_threads_fault(bench: &mut Bench) -> Verdict {
    let protection = Trap::Exception(Exception::Protection);
    let fetch = |address| Trap::PageFault { address: VirtAddr(address), access: Access::Execute };
    let cases = [
        (USER_END, fetch(USER_END)),
        (USER_LIMIT, protection),
        (0x8000_0000_0000_0000, protection),
        (PHYSMAP - 1, protection),
        (PHYSMAP, fetch(PHYSMAP)),
        (u64::MAX, fetch(u64::MAX)),
    ];
    for (entry, expected) in cases {
        let space = Space::new(bench, &[]);
        let mut context = Context::new(VirtAddr(entry), VirtAddr(0), 0).ok_or("memory")?;
        let trap = bench.cpu.run(&mut context, space.pmap.root());
        space.destroy(bench);
        check(trap == expected, "a wrong trap")?;
    }
    Ok(())
}

program!(
    /// Counts in memory, for ever, while all registers keep their values; else it fails.
    counter, counter_start, counter_end:
    "mov rcx, 0x303", "mov r11, 0x311", "mov rax, 0x301", "mov r15, 0x315",
    "2:",
    "inc qword ptr [rdi]",
    "cmp rcx, 0x303", "jne 3f",
    "cmp r11, 0x311", "jne 3f",
    "cmp rax, 0x301", "jne 3f",
    "cmp r15, 0x315", "jne 3f",
    "jmp 2b",
    "3:",
    "ud2",
);

fn what_came_during_work_is_told_before_a_thread_runs(bench: &mut Bench) -> Verdict {
    let space = Space::new(bench, registers().bytes());
    let mut context = thread();
    super::time::let_a_deadline_come(bench)?;
    pace(u32::MAX);
    let traps = [(); 2].map(|()| bench.cpu.run(&mut context, space.pmap.root()));
    space.destroy(bench);
    check(traps == [Trap::Timer, Trap::Syscall], "it was lost, or the thread went first")
}

fn deadline_interrupts_a_loop_and_keeps_registers(bench: &mut Bench) -> Verdict {
    let space = Space::new(bench, counter().bytes());
    let mut context = thread();
    let mut traps = 0;
    let mut spurious = 0;
    while traps < 200 && spurious < 10_000 {
        let at = Instant(bench.cpu.now().0 + 20_000 + traps * 37);
        bench.cpu.set_deadline(Some(at));
        match bench.cpu.run(&mut context, space.pmap.root()) {
            Trap::Timer => traps += 1,
            Trap::Spurious => spurious += 1,
            _ => break,
        }
    }
    bench.cpu.set_deadline(None);
    let counted = bench.memory.read_u64(space.data.start());
    space.destroy(bench);
    check(traps == 200, "a register has changed, or the deadline never came")?;
    check(counted > 200, "it did not go on")
}

program!(
    /// Fills x87, SSE and their control words from its argument, then checks them at each turn.
    floating, floating_start, floating_end:
    "movq xmm0, rdi", "movq xmm7, rdi", "movq xmm15, rdi",
    "push rdi", "fild qword ptr [rsp]", "pop rax",
    "mov eax, edi", "and eax, 1", "shl eax, 13", "or eax, 0x1f80", "push rax", "ldmxcsr [rsp]",
    "2:",
    "syscall",
    "movq rax, xmm0", "cmp rax, rdi", "jne 3f",
    "movq rax, xmm7", "cmp rax, rdi", "jne 3f",
    "movq rax, xmm15", "cmp rax, rdi", "jne 3f",
    "sub rsp, 8", "fist dword ptr [rsp]", "cmp [rsp], edi", "jne 3f", "add rsp, 8",
    "sub rsp, 8", "stmxcsr [rsp]", "pop rax", "sub eax, [rsp]", "and eax, 0xffc0", "jnz 3f",
    "jmp 2b",
    "3:",
    "ud2",
);

fn floating_point_state_is_each_threads_own(bench: &mut Bench) -> Verdict {
    let spaces: [Space; 2] = core::array::from_fn(|_| Space::new(bench, floating().bytes()));
    let [mut one, mut two] = [0x1234_5678, 0x7654_3211]
        .map(|number| Context::new(VirtAddr(CODE), VirtAddr(STACK_TOP), number).expect("memory for a thread"));
    let mut kept = true;
    for turn in 0..50 {
        kept &= bench.cpu.run(&mut one, spaces[0].pmap.root()) == Trap::Syscall;
        if turn % 3 > 0 {
            kept &= bench.cpu.run(&mut two, spaces[1].pmap.root()) == Trap::Syscall;
        }
    }
    spaces.into_iter().for_each(|space| space.destroy(bench));
    check(kept, "a thread saw another's values")
}

program!(
    /// Shows what its floating-point registers hold: into its data page, and by a call.
    fresh, fresh_start, fresh_end:
    "fxsave64 [rdi]",
    "syscall",
);

fn floating_point_state_starts_clean(bench: &mut Bench) -> Verdict {
    let (trap, _) = first_trap(bench, floating().bytes());
    check(trap == Trap::Syscall, "the thread before did not run")?;
    let space = Space::new(bench, fresh().bytes());
    let mut context = thread();
    let trap = bench.cpu.run(&mut context, space.pmap.root());
    let mut state = [0; 416];
    bench.memory.read(space.data.span(0, state.len()), &mut state);
    space.destroy(bench);
    check(trap == Trap::Syscall, "the thread did not run")?;
    check(state[..2] == [0x7f, 0x03] && state[2..24].iter().all(|&byte| byte == 0), "the x87 is not fresh")?;
    check(state[24..28] == [0x80, 0x1f, 0, 0], "MXCSR is not fresh")?;
    check(state[32..].iter().all(|&byte| byte == 0), "a register is not zero")
}

fn dropped_thread_owns_no_floating_point_state(bench: &mut Bench) -> Verdict {
    let owner = || PerCpu::current().fpu_owner.get();
    let (trap, context) = first_trap(bench, floating().bytes());
    check(trap == Trap::Syscall && !owner().is_null(), "the thread that ran does not own it")?;
    let moved = core::hint::black_box([context]);
    check(!owner().is_null(), "moving it made a difference")?;
    drop(moved);
    check(owner().is_null(), "the owner is gone and still named")
}

fn changed_page_is_seen_at_once(bench: &mut Bench) -> Verdict {
    // mov al, [rdi]; syscall; and again, for ever.
    let mut space = Space::new(bench, &[0x8a, 0x07, 0x0f, 0x05, 0xeb, 0xfa]);
    let other = bench.frames.pop().ok_or("a frame")?;
    bench.memory.write(space.data.span(0, 1), &[0x11]);
    bench.memory.write(other.span(0, 1), &[0x22]);
    let (root, page) = (space.pmap.root(), VirtAddr(DATA));
    let mut context = thread();
    let mut read = |bench: &mut Bench| match bench.cpu.run(&mut context, root) {
        Trap::Syscall => Some(context.call().0 as u8),
        _ => None,
    };
    let before = read(bench);
    let old = space.pmap.enter(&mut bench.memory, page, other, Protection::READ, &mut || None);
    let after = read(bench);
    let removed = space.pmap.remove(&mut bench.memory, page);
    let gone = read(bench);
    bench.frames.push(other);
    let data = space.data;
    space.destroy(bench);
    check(before == Some(0x11), "the first value is wrong")?;
    check(old.is_ok_and(|old| old.is_some_and(|old| old.frame == data)), "what was mapped is not told")?;
    check(after == Some(0x22), "the old page was read")?;
    check(removed.is_some_and(|m| m.frame == other) && gone.is_none(), "the page was read after it was gone")
}

fn destroyed_address_space_is_left(bench: &mut Bench) -> Verdict {
    let loaded = || Cr3::read().0.start_address().as_u64();
    let space = Space::new(bench, &[0x0f, 0x05]);
    let root = space.pmap.root().start().0;
    let trap = bench.cpu.run(&mut thread(), space.pmap.root());
    let during = loaded();
    space.destroy(bench);
    check(trap == Trap::Syscall && during == root, "it was not loaded")?;
    check(loaded() != root, "its tables are still in use")
}
