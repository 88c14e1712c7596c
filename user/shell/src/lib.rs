//! The shell: what a person sits down at.
//!
//! ```text
//! keys, editor, words, table     pure: bytes to keys, keys to a line, a line to words; columns
//! terminal                       the console: what is typed, and what comes meanwhile
//! command                        the list of commands; help and completion
//! census                         who there is, and who has which port
//! tasks ports memory posix
//! connections servers watch      commands that look at the system
//! programs messages              commands that do something
//! ```
//!
//! It is a task as any other, but for three rights that its starter gives it when it asks: the privileged
//! host port, by which it finds all tasks, the right to look after the servers, and the boot archive. The
//! programs that it starts have it for their bootstrap server. It waits in one place for keys, for what
//! its programs ask, and for their deaths. Invariant: no command waits for anything that control-C does not
//! end, or that has no bound, but for the answer of a server of the system's, which is therefore not suspended.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod census;
mod command;
mod connections;
pub mod editor;
pub mod keys;
mod memory;
mod messages;
mod ports;
mod posix;
mod programs;
mod servers;
pub mod table;
mod tasks;
mod terminal;
mod watch;
pub mod words;
mod wrong;

use alloc::string::String;
use alloc::vec::Vec;
use editor::Typed;
use messages::Mailboxes;
use portolan::bootstrap::routine;
use portolan::servers::Servers;
use portolan::thread::now_ms;
use portolan::{Answer, Archive, Error, MemoryObject, Received, Result, SendRight, argument, bootstrap, println};
use programs::Child;
use terminal::Terminal;

/// What the shell has.
pub(crate) struct Shell {
    terminal: Terminal,
    /// The privileged host port.
    host: SendRight,
    servers: Servers,
    archive: Archive,
    /// To be given to programs.
    archive_object: MemoryObject,
    archive_size: u64,
    children: Vec<Child>,
    mailboxes: Mailboxes,
    /// It has been told to end.
    ending: bool,
}

/// The life of a shell. The word `begin=` of its arguments is its first command.
///
/// # Errors
/// There is no console to type at, it is not given what it needs, or the console has died.
pub fn main() -> Result<u32> {
    let mut shell = Shell::open().inspect_err(|_| println!("shell: there is nobody to type, or no right to serve"))?;
    println!();
    if let Some(first) = argument("begin") {
        shell.obey(first);
    }
    println!("This is Portolan's shell. `help` lists the commands, the tabulator completes a word, `exit` ends.");
    while !shell.ending
        && let Some(line) = shell.read_line()?
    {
        shell.obey(&line);
    }
    Ok(0)
}

impl Shell {
    fn open() -> Result<Shell> {
        let (archive_object, archive_size) = bootstrap::archive_object()?;
        Ok(Shell {
            terminal: Terminal::open()?,
            host: bootstrap::host()?,
            servers: Servers::from_right(bootstrap::control()?),
            archive: Archive::map(&archive_object, archive_size)?,
            archive_object,
            archive_size,
            children: Vec::new(),
            mailboxes: Mailboxes::default(),
            ending: false,
        })
    }

    /// A line that a person types; `None` if there will be no more.
    fn read_line(&mut self) -> Result<Option<String>> {
        self.hear_all();
        self.terminal.begin_line();
        loop {
            match self.terminal.next_typed() {
                Some(Typed::Line(line)) => return Ok(Some(line)),
                Some(Typed::End) => return Ok(None),
                Some(Typed::Interrupt) => self.terminal.begin_line(),
                Some(Typed::Complete) => {
                    let candidates = command::candidates(self, &self.terminal.before_cursor());
                    self.terminal.complete(&candidates);
                }
                None => {
                    self.terminal.ask()?;
                    let message = self.terminal.receive()?;
                    self.hear(message);
                    self.bury();
                }
            }
        }
    }

    /// Does what a line says, or says what is wrong with it.
    fn obey(&mut self, line: &str) {
        if let Err(wrong) = self.try_to_obey(line) {
            println!("{wrong}");
        }
    }

    fn try_to_obey(&mut self, line: &str) -> Result<(), String> {
        let words = words::split(line).ok_or("a quotation mark is missing")?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.split_first() {
            Some((name, arguments)) => command::run(self, name, arguments),
            None => Ok(()),
        }
    }

    /// Waits so many ms, but no longer than until a key is pressed; whether that was so.
    fn pause(&mut self, ms: u32) -> Result<bool> {
        let until = now_ms() + u64::from(ms);
        loop {
            self.terminal.ask()?;
            let left = u32::try_from(until.saturating_sub(now_ms())).unwrap_or(u32::MAX);
            match self.terminal.receive_within(left) {
                Ok(message) => self.hear(message),
                Err(Error::ReceiveTimedOut) => return Ok(false),
                Err(error) => return Err(error),
            }
            self.bury();
            if self.terminal.was_pressed() {
                return Ok(true);
            }
        }
    }

    /// What has come while a command was done.
    fn hear_all(&mut self) {
        while let Ok(message) = self.terminal.receive_within(0) {
            self.hear(message);
        }
        self.bury();
    }

    /// One message: what was typed, what a program asks, or a notice.
    fn hear(&mut self, mut message: Received) {
        if self.terminal.hears(&message) {
            return;
        }
        if let Answer::Reply(answer) = routine::dispatch(self, &mut message) {
            // Whoever has gone needs no answer.
            let _ = message.answer(answer);
        }
    }
}
