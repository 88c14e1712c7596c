//! Commands on tasks and threads.

use crate::census::{self, shown};
use crate::command::{Command, Takes};
use crate::table::{Side, Table};
use crate::wrong::{Done, Wrong};
use crate::{Shell, terminal};
use alloc::string::{String, ToString};
use portolan::abi::thread::State;
use portolan::{Task, host, println};

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "tasks",
        usage: "tasks",
        help: "lists the tasks: what each has and pays for\n\
               `of` is the task that made it. `memory` is the kernel's that it pays for, `pages` are the frames of its own\n\
               memory and of the tables that map it; both without what it has given to the tasks that it made.",
        takes: &[],
        run: tasks,
    },
    Command {
        name: "threads",
        usage: "threads [TASK]",
        help: "lists the threads of a task, or all, and what each does\n\
               `at` is the name, its task's own, of the port at which it waits.",
        takes: &[Takes::Task],
        run: threads,
    },
    Command {
        name: "suspend",
        usage: "suspend TASK",
        help: "stops all threads of a task, until it has been resumed as often",
        takes: &[Takes::Task],
        run: |shell, words| {
            let task = someone(shell, words)?;
            let id = task.info()?.id;
            if shell.servers.list()?.iter().any(|server| server.task == id) {
                return Err("that is a server, which this shell would ask and wait for; `servers stop` ends it".into());
            }
            Ok(task.suspend()?)
        },
    },
    Command {
        name: "resume",
        usage: "resume TASK",
        help: "undoes one suspension",
        takes: &[Takes::Task],
        run: |shell, words| Ok(someone(shell, words)?.resume()?),
    },
    Command {
        name: "kill",
        usage: "kill TASK",
        help: "ends a task, and the tasks that it has made, and theirs",
        takes: &[Takes::Task],
        run: |shell, words| end_family(shell, &someone(shell, words)?),
    },
];

fn tasks(shell: &mut Shell, words: &[&str]) -> Done {
    let [] = words else { return Err(Wrong::Usage) };
    let mut table = Table::new([
        ("task", Side::Right),
        ("of", Side::Right),
        ("name", Side::Left),
        ("threads", Side::Right),
        ("names", Side::Right),
        ("regions", Side::Right),
        ("ports", Side::Right),
        ("memory", Side::Right),
        ("pages", Side::Right),
        ("suspended", Side::Right),
    ]);
    let tasks = census::tasks(&shell.host)?;
    for known in &tasks {
        let (info, used) = (known.info, census::used(&tasks, known));
        table.row([
            info.id.to_string(),
            info.parent.to_string(),
            known.name.clone(),
            info.threads.to_string(),
            info.names.to_string(),
            info.regions.to_string(),
            used.ports.to_string(),
            size(used.memory),
            used.frames.to_string(),
            times(info.suspensions),
        ]);
    }
    table.print();
    Ok(())
}

fn threads(shell: &mut Shell, words: &[&str]) -> Done {
    if words.len() > 1 {
        return Err(Wrong::Usage);
    }
    let mut table = Table::new([
        ("thread", Side::Right),
        ("task", Side::Left),
        ("priority", Side::Right),
        ("state", Side::Left),
        ("at", Side::Left),
        ("suspended", Side::Right),
    ]);
    for known in census::chosen(&shell.host, words.first())? {
        for thread in known.task.threads().unwrap_or_default() {
            let Ok(info) = thread.info() else { continue };
            table.row([
                info.id.to_string(),
                known.title(),
                info.priority.to_string(),
                doing(info.state).into(),
                if info.port.is_valid() { shown(info.port) } else { String::new() },
                times(info.suspensions),
            ]);
        }
    }
    table.print();
    Ok(())
}

/// What a thread does, in words.
fn doing(state: u32) -> &'static str {
    const STATES: [(State, &str); 8] = [
        (State::Ready, "ready"),
        (State::Sending, "waits to send"),
        (State::Receiving, "waits for a message"),
        (State::Sleeping, "sleeps"),
        (State::Suspended, "suspended"),
        (State::Excepted, "waits for its handler"),
        (State::Paging, "waits for a page"),
        (State::AtWord, "waits on a word"),
    ];
    STATES.iter().find(|(known, _)| *known as u32 == state).map_or("?", |(_, text)| text)
}

/// Nothing for 0.
fn times(count: u32) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

/// Bytes, in the largest unit that keeps them exact enough.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => alloc::format!("{bytes}"),
        10_000..10_240_000 => alloc::format!("{}K", bytes >> 10),
        _ => alloc::format!("{}M", bytes >> 20),
    }
}

/// The task that a command is to change: not one that the shell itself stands on.
fn someone(shell: &Shell, words: &[&str]) -> Done<Task> {
    let [word] = words else { return Err(Wrong::Usage) };
    let known = census::task(&shell.host, word)?;
    if known.info.parent == 0 {
        return Err("that is the machine's first task, without which there is nothing; `exit` ends the machine".into());
    }
    if known.task == *Task::this() {
        return Err("that is this shell; `exit` ends it".into());
    }
    if known.name == terminal::SERVER {
        return Err("the shell is typed at through that task; `servers kill console` ends it, and it comes back".into());
    }
    Ok(known.task)
}

/// Ends a task, and those that it has made, and theirs.
pub(crate) fn end_family(shell: &Shell, task: &Task) -> Done {
    let id = task.info()?.id;
    task.terminate()?;
    for info in host::end_family(&shell.host, id)? {
        println!("{} ({}) has been ended, too", census::text(&info.name), info.id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(0, "0"), (9999, "9999"), (16 << 10, "16K"), (4 << 20, "4096K"), (1 << 28, "256M")] {
            assert_eq!(size(bytes), text);
        }
    }
}
