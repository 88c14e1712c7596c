//! Exceptions as messages, raised by real instructions and handled by this task.

use crate::asm::{self, Code};
use crate::bare::{Bare, Progress};
use crate::case::Verdict;
use crate::message::{Message, Received, receive, receive_now, receive_within};
use crate::suspend::{counter, resume, suspend};
use crate::{cases, holds, port, same};
use portolan::abi::exception::{Action, Kind, Raise, arguments, code, results};
use portolan::abi::interface::{REPLY_OFFSET, ReplyHead, Routine};
use portolan::abi::message::Descriptor;
use portolan::abi::registers::{Registers, TRAP_FLAG};
use portolan::abi::task::{self, SpecialPort};
use portolan::abi::thread::{self, State};
use portolan::abi::{Capacity, Disposition, Error, Name, Result};
use portolan::interface::MsgRpc;
use portolan::trap;
use zerocopy::{FromBytes, IntoBytes};

cases!("exception":
    each_kind_is_told_as_what_it_is,
    an_instruction_is_passed_over,
    a_breakpoint_is_behind_its_instruction,
    a_program_is_stepped_through,
    what_is_not_handled_ends_the_task,
    a_reply_right_given_up_ends_the_task,
    the_threads_port_is_asked_first,
    an_aborted_exception_comes_again,
    special_and_registered_ports_are_kept,
    threads_are_listed,
);

/// A bare task of this code that is stopped before it, and whose exceptions come to the port.
fn watched(code: Code, port: Name) -> core::result::Result<Bare, crate::case::Failure> {
    let bare = Bare::start(&[asm::started(), asm::wait(), code, asm::survived()])?;
    let right = Descriptor::port(port, Disposition::MakeSend as u8);
    task::set_special_port(&MsgRpc, bare.task, SpecialPort::Exception as u32, 0, right)?;
    bare.release(1);
    Ok(bare)
}

/// What the next message at the port tells; it must be the kernel's.
fn raised(message: &Received) -> core::result::Result<arguments::Raise, crate::case::Failure> {
    holds!(message.is_from_kernel(), message.header.id);
    same!(message.header.id, Raise::ID);
    Ok(arguments::Raise::read_from_bytes(&message.body).map_err(|_| Error::BadArguments)?)
}

fn answer(message: &Received, code: i32, action: Action, registers: Registers) -> Result<()> {
    let results = results::Raise { action: action as u32, reserved: 0, registers };
    let mut body = ReplyHead { code, reserved: 0 }.as_bytes().to_vec();
    body.extend_from_slice(results.as_bytes());
    Message::once_to(message.header.remote).id(Raise::ID + REPLY_OFFSET).body(&body).send()
}

/// Gives up the rights that came, but for the one to reply.
fn forget(message: &Received) -> Result<()> {
    port::deallocate(message.right(0))?;
    port::deallocate(message.right(1))
}

fn each_kind_is_told_as_what_it_is() -> Verdict {
    let unmapped = Error::InvalidAddress as u32;
    let denied = Error::ProtectionFailure as u32;
    let expected: [(Code, Kind, u32); 7] = [
        (asm::divide_by_zero(), Kind::Arithmetic, code::DIVIDE),
        (asm::x87_exception(), Kind::Arithmetic, code::FLOATING_POINT),
        (asm::undefined(), Kind::BadInstruction, code::INVALID),
        (asm::halt(), Kind::BadAccess, code::PROTECTION),
        (asm::read_null(), Kind::BadAccess, unmapped),
        (asm::write_text(), Kind::BadAccess, denied),
        (asm::breakpoint(), Kind::Breakpoint, code::BREAKPOINT),
    ];
    for (instructions, kind, number) in expected {
        let port = port::open(Capacity::DEFAULT)?;
        let bare = watched(instructions, port)?;
        let message = receive(port)?;
        let raise = raised(&message)?;
        same!((raise.kind, raise.code), (kind as u32, number));
        same!(thread::info(&MsgRpc, bare.thread)?.results.info.state, State::Excepted as u32);
        same!(thread::get_state(&MsgRpc, bare.thread)?.results.registers, raise.registers);
        forget(&message)?;
        bare.terminate()?;
        port::deallocate(message.header.remote)?;
    }
    Ok(())
}

fn an_instruction_is_passed_over() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let bare = watched(asm::undefined(), port)?;
    let message = receive(port)?;
    let registers = raised(&message)?.registers;
    // `ud2` has two bytes.
    answer(&message, 0, Action::GoOnWith, Registers { rip: registers.rip + 2, ..registers })?;
    same!(bare.outcome()?, Progress::Survived);
    Ok(())
}

fn a_breakpoint_is_behind_its_instruction() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let bare = watched(asm::breakpoint(), port)?;
    answer(&receive(port)?, 0, Action::GoOn, Registers::default())?;
    same!(bare.outcome()?, Progress::Survived);
    Ok(())
}

fn a_program_is_stepped_through() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let bare = counter()?;
    let right = Descriptor::port(port, Disposition::MakeSend as u8);
    thread::set_special_port(&MsgRpc, bare.thread, thread::SpecialPort::Exception as u32, 0, right)?;
    suspend(bare.thread)?;
    let registers = thread::get_state(&MsgRpc, bare.thread)?.results.registers;
    thread::set_state(&MsgRpc, bare.thread, Registers { rflags: registers.rflags | TRAP_FLAG, ..registers })?;
    let mut last = registers.rip;
    resume(bare.thread)?;
    // Two instructions make a round: one counts, one jumps back.
    let before = bare.word(64);
    for _ in 0..10 {
        let message = receive(port)?;
        let raise = raised(&message)?;
        same!((raise.kind, raise.code), (Kind::Breakpoint as u32, code::STEP));
        holds!(raise.registers.rip != last && raise.registers.rflags & TRAP_FLAG != 0, raise);
        last = raise.registers.rip;
        forget(&message)?;
        answer(&message, 0, Action::GoOn, Registers::default())?;
    }
    let message = receive(port)?;
    let counted = bare.word(64) - before;
    holds!((5..=6).contains(&counted), counted);
    let registers = raised(&message)?.registers;
    answer(&message, 0, Action::GoOnWith, Registers { rflags: registers.rflags & !TRAP_FLAG, ..registers })?;
    same!(receive_within(port, 30).map(drop), Err(Error::ReceiveTimedOut));
    holds!(bare.word(64) > before + 10);
    Ok(())
}

fn what_is_not_handled_ends_the_task() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let bare = watched(asm::undefined(), port)?;
    answer(&receive(port)?, Error::Failure as i32, Action::GoOn, Registers::default())?;
    same!(bare.outcome()?, Progress::Ended);
    Ok(())
}

fn a_reply_right_given_up_ends_the_task() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let bare = watched(asm::undefined(), port)?;
    port::deallocate(receive(port)?.header.remote)?;
    same!(bare.outcome()?, Progress::Ended);
    Ok(())
}

fn the_threads_port_is_asked_first() -> Verdict {
    let (of_task, of_thread) = (port::open(Capacity::DEFAULT)?, port::open(Capacity::DEFAULT)?);
    let bare = Bare::start(&[asm::started(), asm::wait(), asm::breakpoint(), asm::survived()])?;
    let right = |port| Descriptor::port(port, Disposition::MakeSend as u8);
    task::set_special_port(&MsgRpc, bare.task, SpecialPort::Exception as u32, 0, right(of_task))?;
    let which = thread::SpecialPort::Exception as u32;
    thread::set_special_port(&MsgRpc, bare.thread, which, 0, right(of_thread))?;
    bare.release(1);
    let message = receive(of_thread)?;
    same!(receive_now(of_task).map(drop), Err(Error::ReceiveTimedOut));
    answer(&message, Error::Failure as i32, Action::GoOn, Registers::default())?;
    answer(&receive(of_task)?, 0, Action::GoOn, Registers::default())?;
    same!(bare.outcome()?, Progress::Survived);
    Ok(())
}

fn an_aborted_exception_comes_again() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let bare = watched(asm::undefined(), port)?;
    let old = receive(port)?;
    thread::abort(&MsgRpc, bare.thread)?;
    let new = receive(port)?;
    same!(raised(&new)?.registers, raised(&old)?.registers);
    answer(&old, 0, Action::GoOn, Registers::default())?;
    same!(receive_within(port, 20).map(drop), Err(Error::ReceiveTimedOut));
    answer(&new, Error::Failure as i32, Action::GoOn, Registers::default())?;
    same!(bare.outcome()?, Progress::Ended);
    Ok(())
}

fn special_and_registered_ports_are_kept() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let own = trap::task_self();
    let right = Descriptor::port(port, Disposition::CopySend as u8);
    let nothing = Descriptor::port(Name::NULL, Disposition::CopySend as u8);
    task::ports_register(&MsgRpc, own, nothing, right, nothing, right)?;
    same!(task::ports_lookup(&MsgRpc, own)?.rights[..4], [Name::NULL, port, Name::NULL, port]);
    task::set_special_port(&MsgRpc, own, SpecialPort::Exception as u32, 0, right)?;
    same!(task::get_special_port(&MsgRpc, own, SpecialPort::Exception as u32, 0)?.rights[0], port);
    let refused = task::set_special_port(&MsgRpc, own, SpecialPort::Kernel as u32, 0, right).map(drop);
    same!(refused, Err(Error::InvalidArgument));
    // What is still held is released with the task.
    Ok(())
}

fn threads_are_listed() -> Verdict {
    let hands = [crate::hand::Hand::here()?, crate::hand::Hand::here()?];
    let listed = task::threads(&MsgRpc, trap::task_self(), 0)?;
    same!(listed.results.count, 3);
    same!(listed.rights[..4], [trap::thread_self(), hands[0].thread, hands[1].thread, Name::NULL]);
    Ok(())
}
