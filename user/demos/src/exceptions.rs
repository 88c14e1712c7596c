//! Lesson 6: exceptions. A task reads what it must not and divides by zero; its handler,
//! another task, repairs both, and it goes on.
//!
//! The kernel tells the handler by message what has happened. The reply lets the thread
//! try again, after the memory has been made readable, or go on with other registers.

use crate::stage::{Outcome, Stage, ask, check, say};
use portolan::abi::exception::{Kind, code};
use portolan::abi::registers::Registers;
use portolan::abi::task::SpecialPort;
use portolan::abi::thread::PRIORITY_DEFAULT;
use portolan::{Capacity, Decision, Exception, Mapping, MemoryObject, Message, Protection, ReceiveRight, Right, Task};
use portolan::{bootstrap, thread};

/// The handler tells the lead where it hears of exceptions.
const HERE_I_AM: u32 = 1;
/// The patient asks the lead for the handler.
const HANDLER: u32 = 2;

const SIZE: u64 = 4096;

/// A program: divides 42 by 0, stores the result where `rdi` points, and stops.
const DIVISION: [u8; 15] = [
    0xb8, 42, 0, 0, 0, // mov eax, 42
    0x31, 0xd2, // xor edx, edx
    0x31, 0xc9, // xor ecx, ecx
    0xf7, 0xf1, // div ecx
    0x48, 0x89, 0x07, // mov [rdi], rax
    0xcc, // int3
];

pub(crate) fn role(role: &str) -> Outcome {
    match role {
        "handler" => handler(),
        _ => patient(),
    }
}

fn handler() -> Outcome {
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    bootstrap::port()?.send(Message::new(HERE_I_AM).right(Right::MakeSend(&port)))?;
    port.serve_exceptions(|exception| match (exception.kind, exception.code) {
        (Kind::BadAccess, _) => Some(allow(&exception)),
        (Kind::Arithmetic, code::DIVIDE) => {
            say!("is told of a division by zero, and makes it one by 2");
            Some(Decision::GoOnWith(Registers { rcx: 2, ..exception.registers }))
        }
        (Kind::Breakpoint, _) => {
            say!("is told of a breakpoint, and ends the thread there");
            // The thread may be gone already.
            let _ = exception.thread.terminate();
            None
        }
        _ => Some(Decision::NotHandled),
    })?;
    Ok(())
}

fn allow(exception: &Exception) -> Decision {
    say!("is told of a bad access, and makes the page readable");
    let page = exception.address & !(SIZE - 1);
    match exception.task.protect(page, SIZE, Protection::READ_WRITE) {
        Ok(()) => Decision::GoOn,
        Err(_) => Decision::NotHandled,
    }
}

fn patient() -> Outcome {
    let handler = ask(HANDLER, "")?;
    Task::this().set_special_port(SpecialPort::Exception, Right::Send(handler))?;

    let memory = Mapping::new(None, SIZE, Protection::READ_WRITE)?;
    memory.write(0, b"treasure")?;
    Task::this().protect(memory.address(), SIZE, Protection::empty())?;
    say!("reads a page that it may not read");
    let mut text = [0; 8];
    memory.read(0, &mut text)?;
    check(&text == b"treasure", "it reads something else")?;
    say!("    and has read `{}`", core::str::from_utf8(&text).unwrap_or("?"));

    let program = MemoryObject::create(SIZE)?;
    program.map(Protection::READ_WRITE)?.write(0, &DIVISION)?;
    let code = program.map(Protection::READ_EXECUTE)?;
    memory.write(0, &[0; 8])?;
    say!("divides 42 by zero, in a thread of its own");
    let divider = Task::this().thread_create(code.address(), 0, memory.address(), PRIORITY_DEFAULT)?;
    while divider.info().is_ok() {
        thread::sleep_ms(1);
    }
    let mut result = [0; 8];
    memory.read(0, &mut result)?;
    let result = u64::from_le_bytes(result);
    say!("    and has got {result}");
    check(result == 21, "the handler's divisor has not been used")
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let handler = stage.enter_reachable("handler", HERE_I_AM)?;
    stage.enter("patient", "")?;
    stage.give(HANDLER, &handler)?;
    stage.wait_until_playing(0)
}
