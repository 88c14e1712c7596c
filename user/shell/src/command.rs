//! The commands: what each is called, takes, and says of itself; help, completion, and finding one.
//!
//! Neighbours: each module of commands has a list of its own.

use crate::table::{Side, Table};
use crate::wrong::{Done, Wrong};
use crate::{Shell, census, connections, memory, messages, ports, posix, programs, servers, tasks, watch};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portolan::abi::interface::{REPLY_OFFSET, RoutineText};
use portolan::abi::{host, interrupt, io_ports, memory_object, pager, port, task, thread, vm};
use portolan::{Error, bootstrap, clock, console, loader, name_server, println};
use portolan_posix::{queue, shared_memory};

/// A command.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// Its name and the words that it takes.
    pub(crate) usage: &'static str,
    /// What it does: a line, and perhaps more lines.
    pub(crate) help: &'static str,
    /// What its words are, for completion.
    pub(crate) takes: &'static [Takes],
    pub(crate) run: fn(&mut Shell, &[&str]) -> Done,
}

/// What a word of a command stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    Command,
    Task,
    Server,
    Program,
    /// A mailbox of the shell's.
    Mailbox,
    /// A mailbox, or a service.
    Port,
    One(&'static [&'static str]),
}

const COMMANDS: &[&[Command]] = &[
    OWN,
    tasks::COMMANDS,
    ports::COMMANDS,
    memory::COMMANDS,
    posix::COMMANDS,
    connections::COMMANDS,
    watch::COMMANDS,
    servers::COMMANDS,
    programs::COMMANDS,
    messages::COMMANDS,
];

const OWN: &[Command] = &[
    Command {
        name: "help",
        usage: "help [COMMAND | ROUTINE | ERROR]",
        help: "lists the commands, or tells of one\n\
               It also tells of a routine of the kernel or a server (`help vm_map`) and of an error (`help SEND_TIMED_OUT`).",
        takes: &[Takes::Command],
        run: help,
    },
    Command {
        name: "exit",
        usage: "exit",
        help: "ends the shell, and with it the machine",
        takes: &[],
        run: |shell, _| {
            shell.ending = true;
            Ok(())
        },
    },
];

/// The routines of the kernel and of the servers, and to what port they are messages.
const ROUTINES: &[(&str, &[RoutineText])] = &[
    ("a task", task::ROUTINES),
    ("a task", port::ROUTINES),
    ("a task", vm::ROUTINES),
    ("a thread", thread::ROUTINES),
    ("a memory object", memory_object::ROUTINES),
    ("the host", host::ROUTINES),
    ("an interrupt", interrupt::ROUTINES),
    ("I/O ports", io_ports::ROUTINES),
    ("a pager", pager::ROUTINES),
    ("the bootstrap server", bootstrap::routine::ROUTINES),
    ("the bootstrap server, from who looks after the servers", portolan::servers::protocol::ROUTINES),
    ("the name server", name_server::protocol::ROUTINES),
    ("the console server", console::protocol::ROUTINES),
    ("the clock server", clock::protocol::ROUTINES),
    ("the loader", loader::protocol::ROUTINES),
    ("the server of shared memory", shared_memory::protocol::ROUTINES),
    ("the server of message queues", queue::protocol::ROUTINES),
];

fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().copied().flatten()
}

/// Does what the words say, or tells why not.
pub(crate) fn run(shell: &mut Shell, name: &str, arguments: &[&str]) -> Result<(), String> {
    let command = all().find(|command| command.name == name);
    let command = command.ok_or_else(|| format!("there is no command `{name}`; `help` lists them"))?;
    (command.run)(shell, arguments).map_err(|wrong| wrong.told(command.usage))
}

/// What the word before the cursor could be.
pub(crate) fn candidates(shell: &Shell, before: &str) -> Vec<String> {
    let (words, word) = before.rsplit_once(' ').unwrap_or(("", before));
    let words: Vec<&str> = words.split_whitespace().collect();
    let takes = match words.split_first() {
        None => Some(Takes::Command),
        Some((name, arguments)) => {
            let command = all().find(|command| command.name == *name);
            command.and_then(|command| command.takes.get(arguments.len()).copied())
        }
    };
    let mut all = takes.map(|takes| known(shell, takes)).unwrap_or_default();
    all.retain(|candidate| candidate.starts_with(word));
    all.sort();
    all.dedup();
    all
}

/// All that a word can be. What cannot be asked now is left out.
fn known(shell: &Shell, takes: Takes) -> Vec<String> {
    match takes {
        Takes::Command => all().map(|command| command.name.to_owned()).collect(),
        Takes::Task => {
            let tasks = census::tasks(&shell.host).unwrap_or_default();
            tasks.into_iter().map(|known| known.name).collect()
        }
        Takes::Server => {
            let servers = shell.servers.list().unwrap_or_default();
            servers.iter().filter_map(|server| server.name.text().ok()).map(String::from).collect()
        }
        Takes::Program => programs::names(shell),
        Takes::Mailbox => shell.mailboxes.names(),
        Takes::Port => {
            let mut all = shell.mailboxes.names();
            let services = name_server::list().unwrap_or_default();
            all.extend(services.iter().filter_map(|entry| entry.name.text().ok()).map(String::from));
            all
        }
        Takes::One(words) => words.iter().map(|word| word.to_string()).collect(),
    }
}

fn help(_: &mut Shell, arguments: &[&str]) -> Done {
    match arguments {
        [] => {
            let mut table = Table::new([("command", Side::Left), ("what it does", Side::Left)]);
            for command in all() {
                table.row([command.name.into(), command.help.lines().next().unwrap_or_default().into()]);
            }
            table.print();
            println!("`help COMMAND` tells more. A TASK is said by its name or its number.");
            Ok(())
        }
        [name] => {
            let text = of_command(name).or_else(|| of_routine(name)).or_else(|| of_error(name));
            let text = text.ok_or_else(|| format!("there is no command, routine or error `{name}`"))?;
            text.lines().for_each(|line| println!("{line}"));
            Ok(())
        }
        _ => Err(Wrong::Usage),
    }
}

fn of_command(name: &str) -> Option<String> {
    let command = all().find(|command| command.name == name)?;
    Some(format!("{}\n    {}", command.usage, command.help.replace('\n', "\n    ")))
}

fn of_routine(name: &str) -> Option<String> {
    let all = ROUTINES.iter().flat_map(|(port, routines)| routines.iter().map(move |routine| (*port, routine)));
    let texts: Vec<String> =
        all.filter(|(_, routine)| routine.name == name).map(|(port, routine)| text_of(port, routine)).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

fn text_of(port: &str, routine: &RoutineText) -> String {
    let mut text = format!("{}, message id {}, to the port of {port}\n", routine.name, routine.id);
    for line in routine.lines {
        text += format!("   {line}").trim_end();
        text.push('\n');
    }
    let part = |title: &str, values: &[(&str, &str)], rights: &[&str]| {
        let values = values.iter().map(|(name, of)| format!("{name}: {of}"));
        let rights = rights.iter().map(|right| format!("a right: {right}"));
        let parts: Vec<String> = values.chain(rights).collect();
        format!("    {title}: {}\n", if parts.is_empty() { "nothing".into() } else { parts.join(", ") })
    };
    text += &part("takes", routine.arguments, routine.rights_in);
    text += &part("gives", routine.results, routine.rights_out);
    text
}

fn of_error(name: &str) -> Option<String> {
    let error = Error::ALL.iter().find(|error| error.classic_name() == name)?;
    Some(format!("{name} ({})\n   {}", error.code(), error.lines().join("\n   ")))
}

/// What a message with this id is, if a routine's request or answer has it.
pub(crate) fn meaning(id: u32) -> Option<String> {
    let all = || ROUTINES.iter().flat_map(|(_, routines)| routines.iter());
    let name = |id| all().find(|routine| routine.id == id).map(|routine| routine.name);
    let request = name(id).map(String::from);
    request.or_else(|| Some(format!("answer to {}", name(id.checked_sub(REPLY_OFFSET)?)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn a_command_has_a_name_of_its_own_and_says_what_it_takes() {
        let mut names = BTreeSet::new();
        for command in all() {
            assert!(names.insert(command.name), "{}", command.name);
            assert_eq!(command.usage.split(' ').next(), Some(command.name));
            assert!(
                !command.help.is_empty() && command.help.lines().all(|line| line.trim() == line),
                "{}",
                command.name
            );
        }
    }

    #[test]
    fn an_id_means_one_thing() {
        let routines = || ROUTINES.iter().flat_map(|(_, routines)| routines.iter());
        let all: Vec<u32> = routines().flat_map(|routine| [routine.id, routine.id + REPLY_OFFSET]).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}
