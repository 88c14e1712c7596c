//! A thread's registers, seen and set by another task.

use crate::asm;
use crate::bare::{Bare, Progress};
use crate::case::{Failure, Verdict};
use crate::hand::Hand;
use crate::suspend::{counter, resume, suspend};
use crate::{cases, holds, same};
use portolan::abi::call::Call;
use portolan::abi::registers::{FIXED_FLAGS, FloatingPoint, Registers, USER_FLAGS};
use portolan::abi::thread::{self, State};
use portolan::abi::vm::USER_END;
use portolan::abi::{Error, Name, Result};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("state":
    a_busy_threads_registers_are_seen,
    every_register_can_be_set,
    the_flags_of_the_kernel_cannot_be_set,
    only_user_code_can_be_gone_to,
    a_bad_stack_is_the_threads_own_trouble,
    a_thread_that_runs_or_waits_in_a_call_is_left_alone,
    floating_point_registers_are_seen_and_set,
    a_bad_control_word_is_refused,
    each_thread_has_its_own_storage,
);

fn get(thread: Name) -> Result<Registers> {
    Ok(thread::get_state(&MsgRpc, thread)?.results.registers)
}

fn set(thread: Name, registers: Registers) -> Result<()> {
    thread::set_state(&MsgRpc, thread, registers).map(drop)
}

fn sleep(ms: u32) -> Result<()> {
    trap::thread_switch(Name::NULL, Some(ms))
}

/// A bare task that waits, busy, for byte 64 of its page, and then does this; stopped while it waits.
fn stopped_before(code: &[u8]) -> core::result::Result<Bare, Failure> {
    let bare = Bare::start(&[asm::started(), asm::wait(), code, asm::survived()])?;
    sleep(20)?;
    same!(bare.word(0) as u32, 1);
    suspend(bare.thread)?;
    Ok(bare)
}

fn a_busy_threads_registers_are_seen() -> Verdict {
    let bare = Bare::start(&[asm::started(), asm::dirty_registers()])?;
    sleep(20)?;
    suspend(bare.thread)?;
    let seen = get(bare.thread)?;
    let general = [seen.rax, seen.rbx, seen.rcx, seen.rdx, seen.rsi, seen.rdi, seen.rbp, seen.r8, seen.r14];
    holds!(general.iter().all(|register| *register == u64::MAX), seen);
    holds!(seen.r15 == 0x20_0000 && seen.rsp == 0x20_1000 && seen.rip >> 12 == 0x100, seen);
    same!(seen.rflags & (FIXED_FLAGS | 1 << 10), FIXED_FLAGS | 1 << 10);
    Ok(())
}

fn every_register_can_be_set() -> Verdict {
    let bare = stopped_before(asm::record_start())?;
    let old = get(bare.thread)?;
    let page = old.r15;
    let new = Registers {
        rax: 1,
        rbx: 2,
        rcx: 3,
        rdx: 4,
        rsi: 6,
        rdi: page,
        rbp: 7,
        rsp: page + 4000,
        r8: 8,
        r9: 9,
        r10: 10,
        r11: 11,
        r12: 12,
        r13: 13,
        r14: 14,
        ..old
    };
    set(bare.thread, new)?;
    same!(get(bare.thread)?, new);
    bare.release(1);
    resume(bare.thread)?;
    same!(bare.outcome()?, Progress::Survived);
    let stored: [u64; 15] = core::array::from_fn(|number| bare.word(64 + 8 * number as u64));
    same!(stored, [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, page, page + 4000]);
    Ok(())
}

fn the_flags_of_the_kernel_cannot_be_set() -> Verdict {
    let bare = counter()?;
    suspend(bare.thread)?;
    let old = get(bare.thread)?;
    for bit in 0..64 {
        let flag = 1 << bit;
        let expected = if (USER_FLAGS | FIXED_FLAGS) & flag != 0 { Ok(()) } else { Err(Error::InvalidArgument) };
        same!(set(bare.thread, Registers { rflags: flag, ..old }), expected);
    }
    // Everything but single-stepping and alignment checks, which would end it; interrupts stay on.
    set(bare.thread, Registers { rflags: USER_FLAGS & !(1 << 8 | 1 << 18), ..old })?;
    let before = bare.word(64);
    resume(bare.thread)?;
    sleep(30)?;
    holds!(bare.word(64) > before);
    Ok(())
}

fn only_user_code_can_be_gone_to() -> Verdict {
    let bare = counter()?;
    suspend(bare.thread)?;
    let old = get(bare.thread)?;
    for address in [USER_END, 1 << 47, 0xffff_8000_0000_0000, 0xffff_ffff_8020_0000, u64::MAX] {
        same!(set(bare.thread, Registers { rip: address, ..old }), Err(Error::InvalidAddress));
        same!(set(bare.thread, Registers { fs_base: address, ..old }), Err(Error::InvalidAddress));
    }
    same!(get(bare.thread)?, old);
    // There is nothing there: the task ends, and nothing else does.
    set(bare.thread, Registers { rip: USER_END - 1, ..old })?;
    resume(bare.thread)?;
    same!(bare.outcome()?, Progress::Ended);
    Ok(())
}

fn a_bad_stack_is_the_threads_own_trouble() -> Verdict {
    for stack in [0, 1 << 47, 0x8000_0000_0000_0000, 0xffff_ffff_8030_0000, u64::MAX] {
        let bare = counter()?;
        suspend(bare.thread)?;
        set(bare.thread, Registers { rsp: stack, ..get(bare.thread)? })?;
        let before = bare.word(64);
        resume(bare.thread)?;
        sleep(15)?;
        holds!(bare.word(64) > before, stack);
        bare.terminate()?;
    }
    Ok(())
}

fn a_thread_that_runs_or_waits_in_a_call_is_left_alone() -> Verdict {
    let bare = counter()?;
    same!(set(bare.thread, get(bare.thread)?), Err(Error::Failure));
    let own = trap::thread_self();
    same!(set(own, get(own)?), Err(Error::Failure));
    let hand = Hand::here()?;
    let pending = hand.start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(100_000) })?;
    hand.waits(&pending, State::Sleeping)?;
    suspend(hand.thread)?;
    same!(set(hand.thread, get(hand.thread)?), Err(Error::Failure));
    thread::abort(&MsgRpc, hand.thread)?;
    let registers = get(hand.thread)?;
    same!(set(hand.thread, registers), Ok(()));
    resume(hand.thread)?;
    // What was set is what the call had left, its result included.
    same!(pending.finish()?.result, Err(Error::Aborted));
    Ok(())
}

fn floating_point(thread: Name) -> Result<FloatingPoint> {
    Ok(thread::get_floating_point(&MsgRpc, thread)?.results.state)
}

fn set_floating_point(thread: Name, state: FloatingPoint) -> Result<()> {
    thread::set_floating_point(&MsgRpc, thread, state).map(drop)
}

/// Where the vector registers lie.
const VECTORS: core::ops::Range<usize> = 160..416;

fn floating_point_registers_are_seen_and_set() -> Verdict {
    let dirty = [asm::dirty_fpu(), asm::spin()].concat();
    let busy = Bare::start(&[asm::started(), &dirty])?;
    sleep(20)?;
    let seen = floating_point(busy.thread)?;
    holds!(seen.bytes[VECTORS].iter().all(|byte| *byte == 0xff));
    same!(seen.bytes[..2], [0x7f, 0x0f]);
    let bare = stopped_before(&[&[0x4c, 0x89, 0xff], asm::record_start()].concat())?; // mov rdi, r15
    let mut state = seen;
    for (number, byte) in state.bytes[VECTORS].iter_mut().enumerate() {
        *byte = number as u8;
    }
    set_floating_point(bare.thread, state)?;
    bare.release(1);
    resume(bare.thread)?;
    same!(bare.outcome()?, Progress::Survived);
    for offset in (0..VECTORS.len()).step_by(8) {
        let stored = bare.word((512 + VECTORS.start + offset) as u64).to_le_bytes();
        same!(stored[..], state.bytes[VECTORS][offset..offset + 8]);
    }
    Ok(())
}

fn a_bad_control_word_is_refused() -> Verdict {
    let bare = counter()?;
    same!(set_floating_point(bare.thread, floating_point(bare.thread)?), Err(Error::Failure));
    suspend(bare.thread)?;
    let old = floating_point(bare.thread)?;
    for byte in 26..28 {
        let mut bad = old;
        bad.bytes[byte] = 0x80;
        same!(set_floating_point(bare.thread, bad), Err(Error::InvalidArgument));
    }
    let mut garbage = FloatingPoint { bytes: [0xff; 512] };
    garbage.bytes[24..28].copy_from_slice(&old.bytes[24..28]);
    set_floating_point(bare.thread, garbage)?;
    let before = bare.word(64);
    resume(bare.thread)?;
    sleep(30)?;
    holds!(bare.word(64) > before);
    Ok(())
}

fn each_thread_has_its_own_storage() -> Verdict {
    let mut bares = alloc::vec::Vec::new();
    for value in [3, 5, 0] {
        let bare = stopped_before(asm::add_from_fs())?;
        let registers = get(bare.thread)?;
        asm::store(bare.page + 256, value);
        // The third one's segment begins elsewhere: 8 bytes before the word that is 7.
        asm::store(bare.page + 248, 7);
        let fs_base = registers.r15 + if value == 0 { 232 } else { 240 };
        set(bare.thread, Registers { fs_base, ..registers })?;
        bares.push((bare, if value == 0 { 7 } else { value }));
    }
    for (bare, _) in &bares {
        asm::store(bare.page + 72, 0);
        bare.release(1);
        resume(bare.thread)?;
    }
    sleep(100)?;
    for (bare, value) in &bares {
        suspend(bare.thread)?;
        let (sum, rounds) = (bare.word(72), bare.word(64) - 1);
        // It may have been stopped between the sum and the count.
        holds!(rounds > 10 && (sum == rounds * value || sum == (rounds + 1) * value), sum, rounds, value);
    }
    Ok(())
}
