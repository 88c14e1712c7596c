//! What a task must not do ends it, and nothing else.
//!
//! Each case runs pieces of machine code in bare tasks. A piece ends its task if
//! it must not be executed in user mode; that it was reached shows in the task's page.

use crate::asm::{self, Code};
use crate::bare::{Bare, Progress};
use crate::case::{Failure, Verdict};
use crate::message::{Message, receive_now};
use crate::notice::wait_for_death;
use crate::{cases, holds, port, same, space};
use alloc::format;
use portolan::abi::vm::USER_END;
use portolan::abi::{Capacity, PAGE_SIZE};

cases!("fault":
    the_null_page,
    the_kernels_half,
    non_canonical_addresses,
    the_last_page,
    writing_text,
    executing_data,
    stack_overflow,
    wild_stack_pointers,
    division,
    floating_point_exceptions,
    misaligned_accesses,
    undefined_instructions,
    segment_bases,
    overlong_instructions,
    system_entry,
    stopping_the_processor,
    ports_of_the_machine,
    control_registers,
    debug_registers,
    descriptor_tables,
    model_registers,
    caches_and_tables,
    returning_as_the_kernel,
    returning_as_a_user,
    the_places_of_descriptor_tables,
    debug_traps,
    single_steps_into_the_kernel,
    every_software_interrupt,
    segments,
    far_transfers,
    a_trap_at_the_end_of_memory,
    a_trap_at_the_end_of_user_memory,
    others_are_unharmed,
);

/// Runs each piece in a task of its own; all must end their tasks.
fn all_end(pieces: &[(&str, Code)]) -> Verdict {
    all_come_to(Progress::Ended, pieces)
}

fn all_come_to(expected: Progress, pieces: &[(&str, Code)]) -> Verdict {
    for (name, code) in pieces {
        let bare = Bare::run(code)?;
        let progress = bare.outcome().map_err(|failure| Failure { reason: format!("`{name}`: {}", failure.reason) })?;
        if progress != expected {
            return Err(Failure::new(&format!("the task with `{name}`: {progress:?}, not {expected:?}")));
        }
        if progress == Progress::Ended {
            wait_for_death(bare.task)?;
        }
        bare.terminate()?;
    }
    Ok(())
}

/// Runs pieces that a processor and QEMU do not treat alike: the one ends their tasks, the other lets them through.
fn none_hangs(pieces: &[(&str, Code)]) -> Verdict {
    for (_, code) in pieces {
        let bare = Bare::run(code)?;
        same!(matches!(bare.outcome()?, Progress::Ended | Progress::Survived), true);
        bare.terminate()?;
    }
    Ok(())
}

/// Names pieces as their functions.
macro_rules! pieces {
    ($($name:ident),+ $(,)?) => { &[$( (stringify!($name), asm::$name()) ),+] };
}

fn the_null_page() -> Verdict {
    all_end(pieces![read_null, write_null, jump_null])
}

fn the_kernels_half() -> Verdict {
    all_end(pieces![read_physical_map, write_physical_map, read_kernel, write_kernel, jump_kernel, read_last_byte,])
}

fn non_canonical_addresses() -> Verdict {
    all_end(pieces![read_non_canonical, jump_non_canonical])
}

fn the_last_page() -> Verdict {
    all_end(pieces![read_last_user_page])
}

fn writing_text() -> Verdict {
    all_end(pieces![write_text])
}

fn executing_data() -> Verdict {
    all_end(pieces![execute_stack, execute_data])
}

fn stack_overflow() -> Verdict {
    all_end(pieces![overflow_stack])
}

fn wild_stack_pointers() -> Verdict {
    all_end(pieces![push_on_non_canonical_stack, push_on_kernel_stack])
}

fn division() -> Verdict {
    all_end(pieces![divide_by_zero, divide_overflow])
}

fn floating_point_exceptions() -> Verdict {
    all_end(pieces![x87_exception])?;
    none_hangs(pieces![vector_exception])
}

fn misaligned_accesses() -> Verdict {
    all_end(pieces![misaligned_vector])?;
    none_hangs(pieces![misaligned_checked])
}

fn undefined_instructions() -> Verdict {
    all_end(pieces![undefined, call_hypervisor, wide_vectors, wait_on_monitor, lock_nothing])
}

fn segment_bases() -> Verdict {
    all_end(pieces![write_gs_base, write_fs_base, swap_gs])
}

fn overlong_instructions() -> Verdict {
    all_end(pieces![too_long])
}

fn system_entry() -> Verdict {
    all_end(pieces![enter_system])
}

fn stopping_the_processor() -> Verdict {
    all_end(pieces![halt, disable_interrupts, enable_interrupts])
}

fn ports_of_the_machine() -> Verdict {
    all_end(pieces![port_in, port_out])
}

fn control_registers() -> Verdict {
    all_end(pieces![
        read_control,
        read_fault_address,
        write_control,
        write_page_table,
        write_extended_control,
        load_status,
        clear_task_switched,
    ])
}

fn debug_registers() -> Verdict {
    all_end(pieces![read_debug, write_debug])
}

fn descriptor_tables() -> Verdict {
    all_end(pieces![load_gdt, load_idt, load_ldt, load_task])
}

fn model_registers() -> Verdict {
    all_end(pieces![write_register, read_register, read_counter])
}

fn caches_and_tables() -> Verdict {
    all_end(pieces![invalidate_page, write_back_caches, drop_caches])
}

fn returning_as_the_kernel() -> Verdict {
    all_end(pieces![return_from_trap, return_to_kernel, return_to_non_canonical])
}

/// Which any program may do. QEMU reads the frame as if the kernel did, which SMAP forbids.
fn returning_as_a_user() -> Verdict {
    none_hangs(pieces![return_from_interrupt])
}

fn the_places_of_descriptor_tables() -> Verdict {
    // Where the processor can keep them secret, it must.
    let expected = if asm::has_umip() { Progress::Ended } else { Progress::Survived };
    all_come_to(expected, pieces![store_gdt, store_idt, store_ldt, store_task, store_status])
}

fn debug_traps() -> Verdict {
    all_end(pieces![breakpoint, breakpoint_in_the_open, single_step, shadowed_breakpoint])
}

fn single_steps_into_the_kernel() -> Verdict {
    all_end(pieces![single_step_trap])
}

fn every_software_interrupt() -> Verdict {
    for vector in 0..=255_u8 {
        let code = [0xcd, vector];
        let bare = Bare::start(&[asm::started(), &code, asm::survived()])?;
        let progress = bare.outcome()?;
        holds!(progress == Progress::Ended, vector, progress);
        wait_for_death(bare.task)?;
        bare.terminate()?;
    }
    Ok(())
}

fn segments() -> Verdict {
    all_end(pieces![
        load_wild_segment,
        load_wild_thread_segment,
        load_kernel_data_segment,
        load_kernel_code_segment,
        load_null_stack_segment,
        load_code_as_stack_segment,
    ])?;
    all_come_to(Progress::Survived, pieces![load_null_segments])
}

fn far_transfers() -> Verdict {
    all_end(pieces![jump_far_to_kernel, return_far_to_kernel])
}

/// A trap whose return address is the first of a page that is not mapped.
fn a_trap_at_the_end_of_memory() -> Verdict {
    ends_at(0x10_0000)
}

/// The same where the next address is the end of user memory.
fn a_trap_at_the_end_of_user_memory() -> Verdict {
    ends_at(USER_END - PAGE_SIZE as u64)
}

fn ends_at(page: u64) -> Verdict {
    let bare = Bare::run_at_end_of(page, asm::bare_trap())?;
    same!(bare.outcome()?, Progress::Ended);
    wait_for_death(bare.task)?;
    Ok(bare.terminate()?)
}

fn others_are_unharmed() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let memory = space::fresh(space::PAGE)?;
    asm::store(memory, 0x600d);
    Message::copy_to(port).id(1).body(b"safe").send()?;
    for _ in 0..30 {
        all_end(pieces![read_null, undefined, divide_by_zero])?;
    }
    let message = receive_now(port)?;
    same!((message.header.id, message.body.as_slice()), (1, b"safe".as_slice()));
    same!(asm::load(memory), 0x600d);
    Ok(())
}
