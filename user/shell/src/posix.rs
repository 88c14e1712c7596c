//! Commands that look at what POSIX's servers keep by name: shared memory, semaphores, message queues.

use crate::Shell;
use crate::census;
use crate::command::Command;
use crate::table::{Side, Table};
use crate::tasks::size;
use crate::wrong::{Done, Wrong};
use alloc::format;
use alloc::string::{String, ToString};
use portolan_posix::queue;
use portolan_posix::shared_memory::{self, Space};

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "shm",
        usage: "shm",
        help: "lists POSIX's shared memory and semaphores by their names\n\
               `mode` are the permission bits, for owner, group and others; `shown` the regions that show a part of it.",
        takes: &[],
        run: shm,
    },
    Command {
        name: "mq",
        usage: "mq",
        help: "lists POSIX's message queues by their names\n\
               `held` are the messages in a queue `of` so many places, `longest` the bytes of the longest that it takes;\n\
               `open` is how often it is open, `senders` and `receivers` are calls that wait.",
        takes: &[],
        run: mq,
    },
];

fn shm(_: &mut Shell, words: &[&str]) -> Done {
    let [] = words else { return Err(Wrong::Usage) };
    let mut table = Table::new([
        ("name", Side::Left),
        ("is", Side::Left),
        ("size", Side::Right),
        ("owner", Side::Right),
        ("group", Side::Right),
        ("mode", Side::Right),
        ("shown", Side::Right),
    ]);
    for (space, what) in [(Space::Memory, "memory"), (Space::Semaphores, "a semaphore")] {
        let entries = shared_memory::list(space).map_err(|_| "the server of shared memory does not answer")?;
        for entry in entries {
            table.row([
                shown(entry.name.bytes().unwrap_or_default()),
                what.into(),
                size(entry.size),
                entry.owner.user.to_string(),
                entry.owner.group.to_string(),
                format!("{:o}", entry.mode),
                entry.mappings.to_string(),
            ]);
        }
    }
    table.print();
    Ok(())
}

fn mq(_: &mut Shell, words: &[&str]) -> Done {
    let [] = words else { return Err(Wrong::Usage) };
    let mut table = Table::new([
        ("name", Side::Left),
        ("held", Side::Right),
        ("of", Side::Right),
        ("longest", Side::Right),
        ("owner", Side::Right),
        ("group", Side::Right),
        ("mode", Side::Right),
        ("open", Side::Right),
        ("senders", Side::Right),
        ("receivers", Side::Right),
    ]);
    let entries = queue::server().and_then(|server| queue::list(&server));
    for entry in entries.map_err(|_| "the server of message queues does not answer")? {
        table.row([
            shown(entry.name.bytes()),
            entry.attributes.current.to_string(),
            entry.attributes.messages.to_string(),
            entry.attributes.size.to_string(),
            entry.owner.user.to_string(),
            entry.owner.group.to_string(),
            format!("{:o}", entry.mode),
            entry.openings.to_string(),
            entry.senders.to_string(),
            entry.receivers.to_string(),
        ]);
    }
    table.print();
    Ok(())
}

/// A name, as a program says it.
fn shown(name: &[u8]) -> String {
    format!("/{}", census::printable(&String::from_utf8_lossy(name)))
}
