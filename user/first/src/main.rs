//! The first task: starts the program that the command line names with `run=`,
//! serves its bootstrap port, and ends the machine with its exit code.
//!
//! It serves on its own notify port, and so hears in one place what the program
//! asks, its exit report, and, if there is none, of its death. With `console=server` it starts the
//! console server first, which asks for the serial line as the program does for what it needs.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::format;
use portolan::abi::task::Limits;
use portolan::abi::thread::PRIORITY_DEFAULT;
use portolan::bootstrap::routine::{self, Archive, Exit, Host, Serial};
use portolan::program::{LIMITS_SMALL, Launch, Program};
use portolan::server::{Call, Outcome, Unanswered, refuse};
use portolan::start::{entered, startup};
use portolan::{
    Answer, Error, MemoryObject, Notice, Received, Result, Right, SendRight, Task, argument, arguments, console,
    notification, println,
};

portolan::main!(main);

/// What is run if the command line does not say.
const RUN_DEFAULT: &str = "demos";
/// The console server's program, and the value of `console=` that asks for it.
const CONSOLE: &str = "console";
const CONSOLE_SERVER: &str = "server";
/// The program gets all that is left of the machine, but for one part in this many.
const KEPT_PART: u64 = 8;

fn main() -> Result<u32> {
    let mut first = First::take()?;
    if argument("console") == Some(CONSOLE_SERVER) {
        first.start_console()?;
    }
    let name = argument("run").unwrap_or(RUN_DEFAULT);
    let Some(program) = first.program(name)? else { return Ok(1) };
    first.program = Some(Child::of(start(&program, name)?)?);
    routine::serve(notification::port(), &mut first)?;
    Ok(first.exit_code())
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

/// What the kernel gave to this task and this task gives to others, and the tasks that it started.
struct First {
    /// The privileged host port.
    host: &'static SendRight,
    archive: &'static MemoryObject,
    archive_size: u64,
    program: Option<Child>,
    console: Option<Child>,
    /// The serial line, until the console server asks for it.
    serial: Option<console::Serial>,
    /// What the program reported.
    exit: Option<u32>,
}

/// A task that this one started.
struct Child {
    task: Task,
    /// What its messages say of their sender.
    id: u64,
}

impl Child {
    fn of(task: Task) -> Result<Child> {
        let id = task.info()?.id;
        Ok(Child { task, id })
    }

    fn has_died(&self, notice: Option<Notice>) -> bool {
        notice == Some(Notice::DeadName(self.task.right().name()))
    }
}

impl First {
    fn take() -> Result<First> {
        let startup = startup();
        let host = startup.host_privileged.as_ref().ok_or(Error::InvalidCapability)?;
        let (archive, archive_size) = startup.archive.as_ref().ok_or(Error::InvalidCapability)?;
        let archive_size = *archive_size;
        Ok(First { host, archive, archive_size, program: None, console: None, serial: None, exit: None })
    }

    /// A program of the archive; if it is none, that is said.
    fn program(&self, name: &str) -> Result<Option<Program<'static>>> {
        let Some(file) = portolan::Archive::map(self.archive, self.archive_size)?.file(name) else {
            println!("first: there is no program `{name}` in the boot archive");
            return Ok(None);
        };
        Ok(Program::parse(file).inspect_err(|defect| println!("first: `{name}` is no program: {defect}")).ok())
    }

    /// Starts the console server. From now on everybody prints there, this task included. It is
    /// more important than whoever has it print, as its device does not wait.
    fn start_console(&mut self) -> Result<()> {
        let Some(program) = self.program(CONSOLE)? else { return Ok(()) };
        let bootstrap = Right::MakeSend(notification::port());
        let (limits, priority) = (LIMITS_SMALL, PRIORITY_DEFAULT + 1);
        let server = program.start(Launch { limits, bootstrap, priority, ..Launch::new(CONSOLE, "") })?;
        self.console = Some(Child::of(server)?);
        let serial = console::Serial::claim(self.host)?;
        console::adopt(serial.console()?);
        self.serial = Some(serial);
        Ok(())
    }

    /// The exit code of a program that reported one or has died. A notice overtakes messages, so the
    /// report may still be here.
    fn exit_code(&mut self) -> u32 {
        while self.exit.is_none()
            && let Ok(mut message) = notification::port().receive_within(0)
        {
            let _ = routine::dispatch(self, &mut message);
        }
        self.exit.unwrap_or_else(|| {
            println!("first: the program died without an exit report");
            1
        })
    }
}

impl routine::Server for First {
    fn host(&mut self, _: &mut Call<'_, Host>) -> Outcome<Host> {
        Ok(self.host.try_clone()?)
    }

    fn archive(&mut self, _: &mut Call<'_, Archive>) -> Outcome<Archive> {
        Ok((self.archive_size, self.archive.right().try_clone()?))
    }

    fn exit(&mut self, call: &mut Call<'_, Exit>, code: u32, _reserved: u32) -> Outcome<Exit> {
        if self.program.as_ref().is_none_or(|program| program.id != call.sender()) {
            return Err(Error::NoAccess.into());
        }
        self.exit = Some(code);
        Err(Unanswered::Stop)
    }

    fn serial(&mut self, _: &mut Call<'_, Serial>) -> Outcome<Serial> {
        Ok(self.serial.take().ok_or(Error::NoAccess)?.into_rights())
    }

    fn other(&mut self, message: &mut Received) -> Answer<'static> {
        let notice = message.notice();
        if self.program.as_ref().is_some_and(|program| program.has_died(notice)) {
            return Answer::Stop;
        }
        if self.console.as_ref().is_some_and(|console| console.has_died(notice)) {
            // If it died before it asked, nobody else will serve the line.
            self.serial = None;
        }
        refuse(message, Error::BadId)
    }
}
