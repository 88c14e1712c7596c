//! Commands that run programs; and what the shell is to them: their bootstrap server.
//!
//! A program is given the boot archive when it asks, and the rest of what the shell has only if the person
//! trusts it. What it reports at its end is kept until its task's death has been told, as a notice may overtake
//! the report. Invariant: a program that runs in the foreground is waited for until it has ended.

use crate::Shell;
use crate::command::{Command, Takes};
use crate::table::{Side, Table};
use crate::tasks::{end_family, size};
use crate::wrong::{Done, Wrong};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use portolan::abi::task::Limits;
use portolan::bootstrap::routine::{
    self, Archive, CheckIn, Control, Exit, Host, Keyboard, Rtc, Screen, Serial, Services,
};
use portolan::loader::{Loader, NotStarted};
use portolan::program::{Launch, Program};
use portolan::server::{Call, Outcome, refuse};
use portolan::service::ServiceName;
use portolan::thread::now_ms;
use portolan::{Answer, Error, Notice, Received, Result, Right, SendRight, Task, bootstrap, notification, println};

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "programs",
        usage: "programs",
        help: "lists the programs of the boot archive",
        takes: &[],
        run: programs,
    },
    Command {
        name: "run",
        usage: "run PROGRAM [+trust] [WORD…] [&]",
        help: "runs a program until it ends, or control-C is pressed\n\
               The words are its arguments. With `&` at the end it is not waited for. With `+trust` it is given what the\n\
               shell has: the privileged host port, and the right to look after the servers.",
        takes: &[Takes::Program],
        run: |shell, words| {
            let (program, words) = words.split_first().ok_or(Wrong::Usage)?;
            shell.run(program, words)
        },
    },
    Command {
        name: "jobs",
        usage: "jobs",
        help: "lists the programs that run in the background",
        takes: &[],
        run: jobs,
    },
    Command {
        name: "demo",
        usage: "demo [NAME]",
        help: "plays a demonstration, or all",
        takes: &[Takes::One(DEMOS)],
        run: |shell, words| match words {
            [] => shell.run("demos", &["+trust"]),
            [name] => shell.play(name),
            _ => Err(Wrong::Usage),
        },
    },
    Command {
        name: "tour",
        usage: "tour",
        help: "plays some of them: mailboxes, shared memory, connections",
        takes: &[],
        run: |shell, _| TOUR.iter().try_for_each(|name| shell.play(name)),
    },
    Command {
        name: "test",
        usage: "test NAME",
        help: "runs the tests whose names begin so: `test ipc`, `test vm::`\n\
               Those that need the machine to themselves, as the console's, fail while servers have its devices.",
        takes: &[],
        run: |shell, words| match words {
            [name] => shell.run("suite", &["+trust", &format!("test={name}")]),
            _ => Err(Wrong::Usage),
        },
    },
];

/// What can be played.
const DEMOS: &[&str] = &[
    "alpc",
    "buffer",
    "capacities",
    "counter",
    "deadlock",
    "debugger",
    "exceptions",
    "fork",
    "full",
    "generations",
    "greet",
    "pager",
    "posix",
    "rpc",
    "servers",
    "shared",
];
const TOUR: &[&str] = &["capacities", "full", "shared", "alpc"];

/// The program gets all that the shell has left, but for one part in this many.
const KEPT_PART: u64 = 2;

/// A program that the shell has started.
pub(crate) struct Child {
    task: Task,
    id: u64,
    name: String,
    /// Whether it is given the privileged host port, and the right to look after the servers.
    trusted: bool,
    /// Nobody waits for it.
    in_background: bool,
    started: u64,
    /// What it reported.
    code: Option<u32>,
    /// Its death has been told.
    dead: bool,
}

/// How a program ended.
struct End(Option<u32>);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(f, "has ended with {code}"),
            None => write!(f, "has ended without a report"),
        }
    }
}

/// The programs of the archive.
pub(crate) fn names(shell: &Shell) -> Vec<String> {
    let files = shell.archive.files();
    files.filter(|(_, file)| Program::parse(file).is_ok()).map(|(name, _)| name).collect()
}

fn programs(shell: &mut Shell, words: &[&str]) -> Done {
    let [] = words else { return Err(Wrong::Usage) };
    let mut table = Table::new([("program", Side::Left), ("size", Side::Right), ("pages at least", Side::Right)]);
    for (name, file) in shell.archive.files() {
        if let Ok(program) = Program::parse(file) {
            table.row([name, size(file.len() as u64), program.frames().to_string()]);
        }
    }
    table.print();
    Ok(())
}

fn jobs(shell: &mut Shell, words: &[&str]) -> Done {
    let [] = words else { return Err(Wrong::Usage) };
    let mut table = Table::new([("task", Side::Right), ("program", Side::Left), ("for s", Side::Right)]);
    for child in &shell.children {
        table.row([
            child.id.to_string(),
            child.name.clone(),
            (now_ms().saturating_sub(child.started) / 1000).to_string(),
        ]);
    }
    table.print();
    Ok(())
}

impl Shell {
    /// Plays a demo. There is one about the servers themselves, so it is trusted with them.
    fn play(&mut self, name: &str) -> Done {
        self.run("demos", &["+trust", &format!("demo={name}")])
    }

    /// Runs a program as the words after its name say.
    fn run(&mut self, name: &str, words: &[&str]) -> Done {
        let trusted = words.contains(&"+trust");
        let in_background = words.last() == Some(&"&");
        let arguments: Vec<&str> = words.iter().copied().filter(|word| !["+trust", "&"].contains(word)).collect();
        let arguments = arguments.join(" ");
        let launch = Launch {
            limits: limits()?,
            bootstrap: Right::MakeSend(notification::port()),
            ..Launch::new(name, &arguments)
        };
        let task = self.start(name, launch).map_err(|why| match why {
            NotStarted::Call(Error::InvalidName) => {
                format!("there is no program `{name}`; `programs` lists them").into()
            }
            NotStarted::Defect(defect) => format!("`{name}` is no program: {defect}").into(),
            NotStarted::Call(error) => Wrong::Call(error),
        })?;
        let id = task.info()?.id;
        let (name, started) = (name.into(), now_ms());
        self.children.push(Child { task, id, name, trusted, in_background, started, code: None, dead: false });
        if in_background {
            println!("task {id} runs");
            return Ok(());
        }
        self.wait_for(id)
    }

    /// Has the loader start a program; where there is none, does as it would.
    fn start(&self, name: &str, launch: Launch<'_>) -> Result<Task, NotStarted> {
        if let Ok(loader) = Loader::find() {
            return loader.start(name, launch);
        }
        let file = self.archive.file(name).ok_or(Error::InvalidName)?;
        Ok(Program::parse(file).map_err(NotStarted::Defect)?.start(launch)?)
    }

    /// Waits until a program has ended, and says so unless all went well.
    fn wait_for(&mut self, id: u64) -> Done {
        self.terminal.lend()?;
        let end = self.end_of(id);
        self.terminal.take_back();
        if end.is_err() {
            // Of its end the person is told when it comes.
            self.child(id).into_iter().for_each(|child| child.in_background = true);
        }
        match end? {
            End(Some(0)) => Ok(()),
            end => Err(format!("task {id} {end}").into()),
        }
    }

    fn end_of(&mut self, id: u64) -> Done<End> {
        loop {
            let message = self.terminal.receive()?;
            self.hear(message);
            if self.terminal.was_interrupted()
                && let Some(child) = self.children.iter().find(|child| child.id == id)
                && let Ok(task) = child.task.right().try_clone()
            {
                // It may have ended by itself at this moment; its death is told all the same.
                let _ = end_family(self, &Task::from_right(task));
            }
            self.hear_reports();
            if let Some(place) = self.children.iter().position(|child| child.id == id && child.dead) {
                return Ok(End(self.children.remove(place).code));
            }
        }
    }

    /// What is to be said of programs in the background that have ended.
    pub(crate) fn bury(&mut self) {
        self.hear_reports();
        while let Some(place) = self.children.iter().position(|child| child.dead && child.in_background) {
            let child = self.children.remove(place);
            self.terminal.say(format_args!("task {} ({}) {}", child.id, child.name, End(child.code)));
        }
    }

    /// A notice of death overtakes messages: the reports of the dead may still wait.
    fn hear_reports(&mut self) {
        while self.children.iter().any(|child| child.dead && child.code.is_none())
            && let Ok(message) = self.terminal.receive_within(0)
        {
            self.hear(message);
        }
    }

    fn child(&mut self, task: u64) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.id == task)
    }

    /// Whether a task may have what the shell has.
    fn trusted(&mut self, task: u64) -> Result<()> {
        let trusted = self.child(task).is_some_and(|child| child.trusted);
        if trusted { Ok(()) } else { Err(Error::NoAccess) }
    }
}

/// What the shell gives to a program.
fn limits() -> Result<Limits> {
    Ok(Task::this().info()?.left().part(|left| left / KEPT_PART))
}

impl routine::Server for Shell {
    fn host(&mut self, call: &mut Call<'_, Host>) -> Outcome<Host> {
        self.trusted(call.sender())?;
        Ok(self.host.try_clone()?)
    }

    fn archive(&mut self, call: &mut Call<'_, Archive>) -> Outcome<Archive> {
        self.child(call.sender()).ok_or(Error::NoAccess)?;
        Ok((self.archive_size, self.archive_object.right().try_clone()?))
    }

    fn exit(&mut self, call: &mut Call<'_, Exit>, code: u32, _reserved: u32) -> Outcome<Exit> {
        self.child(call.sender()).ok_or(Error::NoAccess)?.code = Some(code);
        Ok(())
    }

    fn serial(&mut self, _: &mut Call<'_, Serial>, _: SendRight) -> Outcome<Serial> {
        Err(Error::NoAccess.into())
    }

    fn screen(&mut self, _: &mut Call<'_, Screen>) -> Outcome<Screen> {
        Err(Error::NoAccess.into())
    }

    fn keyboard(&mut self, _: &mut Call<'_, Keyboard>, _: SendRight) -> Outcome<Keyboard> {
        Err(Error::NoAccess.into())
    }

    fn rtc(&mut self, _: &mut Call<'_, Rtc>) -> Outcome<Rtc> {
        Err(Error::NoAccess.into())
    }

    fn check_in(&mut self, _: &mut Call<'_, CheckIn>, _: ServiceName) -> Outcome<CheckIn> {
        Err(Error::InvalidName.into())
    }

    fn services(&mut self, _: &mut Call<'_, Services>, _: SendRight) -> Outcome<Services> {
        Err(Error::NoAccess.into())
    }

    fn control(&mut self, call: &mut Call<'_, Control>) -> Outcome<Control> {
        self.trusted(call.sender())?;
        Ok(bootstrap::control()?)
    }

    fn other(&mut self, message: &mut Received) -> Answer<'static> {
        match message.notice() {
            Some(Notice::DeadName(name)) => {
                let mut children = self.children.iter_mut();
                if let Some(child) = children.find(|child| child.task.right().name() == name) {
                    child.dead = true;
                }
                Answer::Nothing
            }
            Some(Notice::MessageAccepted(name)) => {
                self.terminal.say(format_args!("notice: the message that was cached for {name:?} has been accepted"));
                Answer::Nothing
            }
            Some(Notice::MessageDropped(name)) => {
                self.terminal.say(format_args!("notice: the message that was cached for {name:?} was destroyed"));
                Answer::Nothing
            }
            Some(_) => Answer::Nothing,
            None => refuse(message, Error::BadId),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_demos_are_those_that_there_are() {
        let program = include_str!("../../demos/src/main.rs");
        let named = program.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next());
        assert_eq!(named.collect::<BTreeSet<_>>(), DEMOS.iter().copied().collect());
        assert!(DEMOS.is_sorted() && TOUR.iter().all(|name| DEMOS.contains(name)));
    }
}
