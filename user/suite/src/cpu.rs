//! The processor's state: a task's registers are its own, across every way into the kernel and out.

use crate::asm::{self, State};
use crate::bare::{Bare, Progress};
use crate::case::Verdict;
use crate::clock::Stopwatch;
use crate::hand::Hand;
use crate::message::{Buffer, Message, NONE};
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use alloc::boxed::Box;
use alloc::vec::Vec;
use portolan::abi::call::{Call, Receive, Send, WordWait, number};
use portolan::abi::message::Options;
use portolan::abi::thread::PRIORITY_DEFAULT;
use portolan::abi::{Capacity, Disposition, Error, Name, WordOptions};
use portolan::trap;

cases!("cpu":
    a_trap_keeps_the_registers,
    a_failed_trap_keeps_the_registers,
    a_waiting_trap_keeps_the_registers,
    a_trap_returns_no_kernel_value,
    a_new_thread_finds_nothing,
    a_new_task_finds_no_vectors_of_another,
    vectors_survive_another_task,
    vectors_survive_a_waiting_trap,
    control_words_survive_another_task,
    preemption_keeps_everything,
    a_deadline_at_every_instruction_of_a_trap,
    the_direction_flag,
    the_nested_task_flag,
    the_alignment_flag,
    every_harmless_flag_comes_back,
    any_stack_pointer_will_do,
    a_wild_call_number_keeps_the_registers,
    the_time_stamp_goes_on,
    the_clock_goes_on,
);

/// A state whose every register and vector is different.
fn pattern(seed: u64) -> State {
    let mut state = State { fpu: [0; 512], general: [0; 15], flags: State::FLAGS };
    for (index, register) in (1..).zip(&mut state.general) {
        *register = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(index) ^ u64::from(index);
    }
    state.fpu[0..2].copy_from_slice(&0x037f_u16.to_le_bytes());
    state.fpu[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    state.fpu[4] = 0xff;
    for (index, byte) in state.fpu[32..416].iter_mut().enumerate() {
        // An x87 register is the first ten bytes of its sixteen.
        let unused = index < 128 && index % 16 >= 10;
        *byte = if unused { 0 } else { (index as u64 * 31).wrapping_add(seed) as u8 };
    }
    state
}

impl State {
    /// Puts a call's number and arguments into the registers.
    fn with_call(mut self, call: Call) -> State {
        let (number, arguments) = call.encode();
        self.set_trap(number, arguments);
        self
    }

    fn set_trap(&mut self, number: u64, [rdi, rsi, rdx, r10, r8, r9]: [u64; 6]) {
        self.general[RAX] = number;
        for (index, value) in [(5, rdi), (4, rsi), (RDX, rdx), (9, r10), (7, r8), (8, r9)] {
            self.general[index] = value;
        }
    }

    /// The registers that every trap must keep: all but `rax`, `rdx`, `rcx` and `r11`.
    fn kept(&self) -> Vec<u64> {
        let lost = [RAX, RCX, RDX, R11];
        (0..15).filter(|index| !lost.contains(index)).map(|index| self.general[index]).collect()
    }

    /// The control words, the x87 registers and the vectors.
    fn vectors(&self) -> &[u8] {
        &self.fpu[32..416]
    }

    fn control_words(&self) -> (&[u8], &[u8]) {
        (&self.fpu[0..2], &self.fpu[24..28])
    }
}

const RAX: usize = 0;
const RCX: usize = 2;
const RDX: usize = 3;
const R11: usize = 10;

/// Makes a call with every register filled; all that must be kept is.
fn keeps(call: Call) -> Verdict {
    let before = pattern(0x1234_5678).with_call(call);
    let mut after = before.clone();
    after.across_trap();
    same!(after.kept(), before.kept());
    holds!(after.vectors() == before.vectors());
    same!(after.control_words(), before.control_words());
    same!(after.flags, before.flags);
    Ok(())
}

fn a_trap_keeps_the_registers() -> Verdict {
    for call in [
        Call::TaskSelf,
        Call::TaskNotify,
        Call::ThreadSelf,
        Call::ClockGet,
        Call::PortAllocate(Capacity::DEFAULT),
        Call::ThreadSwitch { hint: Name::NULL, sleep: None },
    ] {
        keeps(call)?;
    }
    Ok(())
}

fn a_failed_trap_keeps_the_registers() -> Verdict {
    keeps(Call::PortDeallocate(Name(77)))?;
    keeps(Call::DebugWrite { address: 0xffff_ffff_8000_0000, size: 10 })?;
    let send = Send { address: 8, size: 24, timeout: 0 };
    keeps(Call::Message { send: Some(send), receive: None, options: NONE })
}

fn a_waiting_trap_keeps_the_registers() -> Verdict {
    let _other = Bare::start(&[asm::started(), asm::dirty_fpu(), asm::dirty_registers()])?;
    keeps(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(20) })?;
    let port = port::open(Capacity::DEFAULT)?;
    let mut buffer = Buffer::new(100);
    let receive = Receive { timeout: 20, ..buffer.receive_half(port) };
    keeps(Call::Message { send: None, receive: Some(receive), options: Options::RCV_TIMEOUT })
}

fn a_trap_returns_no_kernel_value() -> Verdict {
    for call in [Call::TaskSelf, Call::ClockGet, Call::PortDeallocate(Name(77)), Call::PortAllocate(Capacity::Zero)] {
        let mut state = pattern(3).with_call(call);
        state.across_trap();
        // `rax` is a code, `rdx` the second result, `r11` the flags.
        holds!((state.general[RAX] as i64).unsigned_abs() < 1000, call, state.general[RAX]);
        holds!(state.general[RDX] < 1 << 47, call, state.general[RDX]);
        holds!(state.general[R11] < 1 << 22, call, state.general[R11]);
    }
    Ok(())
}

/// The state that a thread of a new task finds: twelve registers, flags, control words, vectors.
fn first_state() -> Result<(Vec<u64>, u64, Vec<u64>), crate::case::Failure> {
    let bare = Bare::start(&[asm::record_start(), asm::started(), asm::survived()])?;
    same_progress(&bare)?;
    let registers = (64..176).step_by(8).map(|offset| bare.word(offset)).collect();
    let flags = bare.word(184);
    let fpu = (512..1024).step_by(8).map(|offset| bare.word(offset)).collect();
    bare.terminate()?;
    Ok((registers, flags, fpu))
}

fn same_progress(bare: &Bare) -> Verdict {
    same!(bare.outcome()?, Progress::Survived);
    Ok(())
}

fn a_new_thread_finds_nothing() -> Verdict {
    let (registers, flags, fpu) = first_state()?;
    for (index, value) in registers.iter().enumerate() {
        // A return by `sysret` leaves the start's address and flags in `rcx` and `r11`.
        let by_return = matches!(index, 2 | 9) && *value < 1 << 47;
        holds!(*value == 0 || by_return, index, value);
    }
    same!(flags & !2, 0x200);
    same!((fpu[0] & 0xffff, fpu[3] & 0xffff_ffff), (0x037f, 0x1f80));
    Ok(())
}

fn a_new_task_finds_no_vectors_of_another() -> Verdict {
    let dirty = Bare::run(asm::dirty_fpu())?;
    same_progress(&dirty)?;
    for _ in 0..3 {
        let (_, _, fpu) = first_state()?;
        same!((fpu[0] & 0xff_ffff_ffff, fpu[3] & 0xffff_ffff), (0x037f, 0x1f80));
        holds!(fpu[4..52].iter().all(|word| *word == 0), fpu);
    }
    dirty.terminate()?;
    let (_, _, fpu) = first_state()?;
    holds!(fpu[4..52].iter().all(|word| *word == 0), fpu);
    Ok(())
}

fn vectors_survive_another_task() -> Verdict {
    let _other = Bare::run(asm::dirty_fpu())?;
    for round in 0..20 {
        let before = pattern(round).with_call(Call::ThreadSwitch { hint: Name::NULL, sleep: None });
        let mut after = before.clone();
        after.across_trap();
        holds!(after.vectors() == before.vectors(), round);
        same!(after.kept(), before.kept());
    }
    Ok(())
}

fn vectors_survive_a_waiting_trap() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::DEFAULT)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    // The peer has two orders to work through while this thread waits in one trap.
    let sleeps = peer.hand.start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(10) })?;
    let sends = peer.hand.send(&Message::copy_to(there).body(&[5; 500]), NONE, 0)?;
    let mut buffer = Buffer::new(1000);
    let receive = Receive { timeout: 2000, ..buffer.receive_half(port) };
    let call = Call::Message { send: None, receive: Some(receive), options: Options::RCV_TIMEOUT };
    let before = pattern(99).with_call(call);
    let mut after = before.clone();
    after.across_trap();
    same!(after.general[RAX], 0);
    holds!(after.vectors() == before.vectors());
    same!(after.kept(), before.kept());
    sleeps.finish()?.result?;
    Ok(sends.finish()?.result?)
}

fn control_words_survive_another_task() -> Verdict {
    let _other = Bare::run(asm::dirty_fpu())?;
    for (x87, vector) in [(0x037f_u16, 0x1f80_u32), (0x0b7f, 0x3f80), (0x077f, 0xbf80)] {
        let mut state = pattern(5).with_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(2) });
        state.fpu[0..2].copy_from_slice(&x87.to_le_bytes());
        state.fpu[24..28].copy_from_slice(&vector.to_le_bytes());
        let before = state.clone();
        state.across_trap();
        same!(state.control_words(), before.control_words());
    }
    Ok(())
}

fn preemption_keeps_everything() -> Verdict {
    let _one = Bare::start(&[asm::started(), asm::dirty_fpu(), asm::dirty_registers()])?;
    let _two = Bare::start(&[asm::started(), asm::dirty_fpu(), asm::dirty_registers()])?;
    for (round, flags) in (0..6).zip([0, State::DIRECTION, State::NESTED, 0x8d5, 0, State::DIRECTION].iter().cycle()) {
        let mut before = pattern(round);
        before.flags |= flags;
        let mut after = before.clone();
        let watch = Stopwatch::start();
        after.across_spin(12_000_000);
        let took = watch.time();
        let registers = |state: &State| [&state.general[..RCX], &state.general[RCX + 1..]].concat();
        same!(registers(&after), registers(&before));
        holds!(after.vectors() == before.vectors(), round);
        same!(after.flags, before.flags);
        // Long enough for the other two to have had their turns.
        holds!(took > 10_000_000, round, took);
    }
    Ok(())
}

/// The deadlines of a thread that is more important come, one after the other, at each instant of a trap's
/// way in and out: where time is counted in instructions, at each instruction.
fn a_deadline_at_every_instruction_of_a_trap() -> Verdict {
    let alarm = Hand::with(PRIORITY_DEFAULT + 1)?;
    let word = Box::new(0_u64);
    let wait = |deadline| {
        let options = WordOptions::empty();
        Call::WordWait(WordWait { address: &raw const *word as u64, expected: 0, deadline: Some(deadline), options })
    };
    let call = Call::ThreadSwitch { hint: Name::NULL, sleep: None };
    let [mut spin, before] = [pattern(1), pattern(2).with_call(call)];
    let (mut lead, mut end) = (0, 0);
    for instant in 0..INSTANTS {
        let mut after = before.clone();
        let watch = Stopwatch::start();
        let first = instant == 0;
        let deadline = trap::clock_get() + if first { FAR } else { lead + (end - lead) * instant / INSTANTS };
        let alarmed = alarm.start_call(wait(deadline))?;
        if first {
            lead = watch.time();
        }
        // The timer counts sixteen at a time, so the trap is moved, by three instructions a turn.
        spin.across_spin(instant % 16 + 1);
        after.across_trap();
        if first {
            end = watch.time();
        }
        same!(after.general[RAX], 0);
        same!(after.kept(), before.kept());
        holds!(after.vectors() == before.vectors(), instant);
        same!(after.control_words(), before.control_words());
        same!(after.flags, before.flags);
        same!(alarmed.finish()?.result, Err(Error::TimedOut));
    }
    Ok(())
}

/// Instants at which a deadline comes: more than there are instructions in a trap and around it.
const INSTANTS: u64 = 3000;
/// A deadline that comes after all of it, in ns.
const FAR: u64 = 20_000_000;

fn flags_come_back(flags: u64) -> Verdict {
    // With a task that is interrupted, the kernel returns in another way than it came.
    let busy = Bare::start(&[asm::started(), asm::spin()])?;
    for call in [
        Call::TaskSelf,
        Call::ThreadSwitch { hint: Name::NULL, sleep: Some(12) },
        Call::PortAllocate(Capacity::DEFAULT),
    ] {
        let mut state = pattern(7).with_call(call);
        state.flags |= flags;
        let before = state.clone();
        state.across_trap();
        same!((state.general[RAX], state.flags), (0, before.flags));
        same!(state.kept(), before.kept());
    }
    Ok(busy.terminate()?)
}

fn the_direction_flag() -> Verdict {
    flags_come_back(State::DIRECTION)?;
    // A message is copied upwards whatever the flag says.
    let port = port::open(Capacity::DEFAULT)?;
    let message = Message::copy_to(port).id(3).body(&[1, 2, 3, 4, 5, 6, 7, 8].repeat(100));
    let buffer = message.lay_out();
    let call = Call::Message { send: Some(buffer.send_half()), receive: None, options: NONE };
    let mut state = pattern(8).with_call(call);
    state.flags |= State::DIRECTION;
    state.across_trap();
    same!(state.general[RAX], 0);
    same!(crate::message::receive_now(port)?.body, message.body);
    Ok(())
}

fn the_nested_task_flag() -> Verdict {
    flags_come_back(State::NESTED)
}

fn the_alignment_flag() -> Verdict {
    flags_come_back(State::ALIGNMENT_CHECK)
}

fn every_harmless_flag_comes_back() -> Verdict {
    // Carry, parity, adjust, zero, sign, overflow, identification.
    for bit in [0, 2, 4, 6, 7, 11, 21] {
        flags_come_back(1 << bit)?;
    }
    Ok(())
}

fn any_stack_pointer_will_do() -> Verdict {
    let me = trap::task_self();
    let stacks = [0, 1, 8, 0x1000, 1 << 47, u64::MAX, u64::MAX - 7, 0xffff_8000_0000_0000, 0xffff_ffff_8020_0000];
    for stack in stacks {
        let (code, name) = asm::trap_on_stack(stack, number::TASK_SELF);
        same!((code, name), (0, u64::from(me.0)));
        let (code, _) = asm::trap_on_stack(stack, 0xdead);
        same!(code as i32, portolan::Error::InvalidCall.code());
    }
    Ok(())
}

fn a_wild_call_number_keeps_the_registers() -> Verdict {
    for number in [0, 14, 100, 1 << 31, 1 << 32 | 6, 1 << 63, u64::MAX] {
        let mut state = pattern(number);
        state.general[RAX] = number;
        let before = state.clone();
        state.across_trap();
        same!(state.general[RAX] as i32, portolan::Error::InvalidCall.code());
        same!(state.kept(), before.kept());
    }
    Ok(())
}

fn the_time_stamp_goes_on() -> Verdict {
    let mut last = 0;
    for _ in 0..1000 {
        let now = asm::time_stamp();
        holds!(now > last, last, now);
        last = now;
    }
    Ok(())
}

fn the_clock_goes_on() -> Verdict {
    let mut last = 0;
    for _ in 0..1000 {
        let now = trap::clock_get();
        holds!(now >= last, last, now);
        last = now;
    }
    let watch = Stopwatch::start();
    trap::thread_switch(Name::NULL, Some(30))?;
    watch.shows(30)?;
    Ok(())
}
