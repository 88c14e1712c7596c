//! Lesson 5: a debugger. It stops another task, looks at its memory and registers,
//! and lets it go on.
//!
//! The program counts in its memory, and knows nothing of being watched. All that the
//! debugger has is a right to the program's task port, and one to the memory.

use crate::stage::{Outcome, Stage, Wrong, check, say};
use portolan::abi::thread::State;
use portolan::{Mapping, MemoryObject, Message, Protection, Task, bootstrap, thread};

/// The program tells the lead where its memory is, and its task.
const HERE_I_AM: u32 = 1;

const SIZE: u64 = 4096;
/// Where the count is, and where the word that ends the program.
const COUNT: usize = 0;
const STOP: usize = 8;

pub(crate) fn role(_: &str) -> Outcome {
    let object = MemoryObject::create(SIZE)?;
    let memory = object.map(Protection::READ_WRITE)?;
    let hello = Message::new(HERE_I_AM).right(object.into_right()).right(Task::this().right());
    bootstrap::port()?.send(hello)?;
    let mut count = 0_u64;
    while word(&memory, STOP)? == 0 {
        count += 1;
        memory.write(COUNT, &count.to_le_bytes())?;
    }
    say!("is told to stop");
    Ok(())
}

fn word(memory: &Mapping, offset: usize) -> Outcome<u64> {
    let mut bytes = [0; 8];
    memory.read(offset, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    stage.enter("program", "")?;
    let mut hello = stage.request()?;
    check(hello.id() == HERE_I_AM, "the program begins with something else")?;
    let memory = MemoryObject::from_right(hello.take_send(0)?).map(Protection::READ_WRITE)?;
    let program = Task::from_right(hello.take_send(1)?);
    drop(hello);
    thread::sleep_ms(20);

    program.suspend()?;
    let threads = program.threads()?;
    let [only] = &threads[..] else { return Err(Wrong::Result("the program has not one thread")) };
    let stopped = (word(&memory, COUNT)?, only.registers()?);
    check(only.info()?.state == State::Suspended as u32, "the thread is not suspended")?;
    check(stopped.0 > 0 && stopped.1.rip != 0, "the program has not run")?;
    say!("stops the program: it has counted, and its one thread stands in its code");
    thread::sleep_ms(20);
    check((word(&memory, COUNT)?, only.registers()?) == stopped, "the program runs though it is stopped")?;
    say!("looks again, after 20 ms: count and registers are the same");

    program.resume()?;
    thread::sleep_ms(20);
    check(word(&memory, COUNT)? > stopped.0, "the program does not go on")?;
    say!("lets it go on: it counts again");
    memory.write(STOP, &1_u64.to_le_bytes())?;
    stage.wait_until_playing(0)
}
