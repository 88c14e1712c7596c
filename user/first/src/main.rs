//! The first task: starts the program that the command line names with `run=`,
//! serves its bootstrap port, and ends the machine with its exit code.
//!
//! It serves on its own notify port, and so hears in one place what the program
//! asks, its exit report, and, if there is none, of its death.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use portolan::abi::task::Limits;
use portolan::bootstrap::routine::{self, Request, results};
use portolan::interface::{refusal, reply};
use portolan::program::{Launch, Program};
use portolan::start::{entered, startup};
use portolan::{
    Archive, Error, MemoryObject, Message, Notice, Received, Result, Right, SendRight, Task, argument, arguments,
    notification, println,
};

portolan::main!(main);

/// What is run if the command line does not say.
const RUN_DEFAULT: &str = "demos";
/// The program gets all that is left of the machine, but for one part in this many.
const KEPT_PART: u64 = 8;

fn main() -> Result<u32> {
    let given = Given::take()?;
    let name = argument("run").unwrap_or(RUN_DEFAULT);
    let Some(file) = given.files()?.file(name) else {
        println!("first: there is no program `{name}` in the boot archive");
        return Ok(1);
    };
    match Program::parse(file) {
        Ok(program) => given.serve(&start(&program, name)?),
        Err(defect) => {
            println!("first: `{name}` is no program: {defect}");
            Ok(1)
        }
    }
}

fn start(program: &Program<'_>, name: &str) -> Result<Task> {
    let arguments = format!("{} first={}", arguments(), entered());
    let bootstrap = Right::MakeSend(notification::port());
    program.start(Launch { limits: limits()?, bootstrap, ..Launch::new(name, &arguments) })
}

/// What this task can give away.
fn limits() -> Result<Limits> {
    let info = Task::this().info()?;
    let part = |limit: u64, used: u64| (limit - used) / KEPT_PART * (KEPT_PART - 1);
    Ok(Limits {
        memory: part(info.limits.memory, info.used.memory),
        ports: part(info.limits.ports, info.used.ports),
        frames: part(info.limits.frames, info.used.frames),
    })
}

/// What the kernel gave to this task, and this task gives to the program.
struct Given {
    /// The privileged host port.
    host: &'static SendRight,
    archive: &'static MemoryObject,
    archive_size: u64,
}

impl Given {
    fn take() -> Result<Given> {
        let startup = startup();
        let host = startup.host_privileged.as_ref().ok_or(Error::InvalidCapability)?;
        let (archive, archive_size) = startup.archive.as_ref().ok_or(Error::InvalidCapability)?;
        Ok(Given { host, archive, archive_size: *archive_size })
    }

    fn files(&self) -> Result<Archive> {
        Archive::map(self.archive, self.archive_size)
    }

    /// Serves until the program has ended; returns its exit code.
    fn serve(&self, program: &Task) -> Result<u32> {
        loop {
            let mut message = notification::port().receive()?;
            if message.notice() == Some(Notice::DeadName(program.right().name())) {
                return Ok(self.last_words());
            }
            if let Some(code) = self.attend(&mut message) {
                return Ok(code);
            }
        }
    }

    /// The exit code of a program that has died. A notice overtakes messages, so its report may still be here.
    fn last_words(&self) -> u32 {
        while let Ok(mut message) = notification::port().receive_within(0) {
            if let Some(code) = self.attend(&mut message) {
                return code;
            }
        }
        println!("first: the program died without an exit report");
        1
    }

    /// Answers a request; returns the code if it is an exit report.
    fn attend(&self, message: &mut Received) -> Option<u32> {
        let answer = match Request::decode(message.id(), message.bytes(), message.rights()) {
            Ok(Request::Exit(exit)) => return Some(exit.code),
            Ok(Request::Host(_)) => self.give_host(),
            Ok(Request::Archive(_)) => self.give_archive(),
            Err(error) => refusal(message.id(), error),
        };
        // Whoever asked may be gone, or, like the kernel with a notice, want no answer.
        let _ = message.answer(answer);
        None
    }

    fn give_host(&self) -> Message<'_> {
        reply::<routine::Host>(results::Host {}, [Right::CopySend(self.host)])
    }

    fn give_archive(&self) -> Message<'_> {
        let results = results::Archive { size: self.archive_size };
        reply::<routine::Archive>(results, [Right::CopySend(self.archive.right())])
    }
}
