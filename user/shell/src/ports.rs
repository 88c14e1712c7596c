//! Commands that look at ports, and at the names of tasks for them.

use crate::Shell;
use crate::census::{self, shown};
use crate::command::{Command, Takes};
use crate::table::{Side, Table};
use crate::wrong::{Done, Wrong};
use alloc::format;
use alloc::string::{String, ToString};
use portolan::abi::port::Status;
use portolan::{Capacity, Error, classic, host};

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "ports",
        usage: "ports [TASK]",
        help: "lists the ports that a task receives from, or all: queues, rights\n\
               `held` are the messages in its queue `of` so many places; `senders` and `receivers` are threads that wait;\n\
               `send` and `once` are the rights of each kind that exist.\n\
               `port` is the kernel's own number, as the trace has it; `lost` are messages that a full mailbox\n\
               refused or destroyed, as its receiver wanted it.",
        takes: &[Takes::Task],
        run: ports,
    },
    Command {
        name: "names",
        usage: "names TASK",
        help: "lists a task's names: the rights, and what is behind them",
        takes: &[Takes::Task],
        run: names,
    },
];

fn ports(shell: &mut Shell, words: &[&str]) -> Done {
    if words.len() > 1 {
        return Err(Wrong::Usage);
    }
    let mut table = Table::new([
        ("task", Side::Left),
        ("name", Side::Left),
        ("port", Side::Right),
        ("held", Side::Right),
        ("of", Side::Left),
        ("senders", Side::Right),
        ("receivers", Side::Right),
        ("send", Side::Right),
        ("once", Side::Right),
        ("lost", Side::Right),
        ("in set", Side::Left),
    ]);
    for known in census::chosen(&shell.host, words.first())? {
        for named in known.names().iter().filter(|named| named.receive == 1) {
            let status = classic::port_status(known.task.right().name(), named.name);
            let object = host::port_object(&shell.host, &known.task, named.name);
            let (Ok(status), Ok(object)) = (status, object) else { continue };
            table.row([
                known.title(),
                shown(named.name),
                format!("#{}", object.port),
                status.messages.to_string(),
                capacity(&status),
                status.senders.to_string(),
                status.receivers.to_string(),
                status.send_rights.to_string(),
                status.send_once_rights.to_string(),
                lost(&status).to_string(),
                if status.set.is_valid() { shown(status.set) } else { String::new() },
            ]);
        }
    }
    table.print();
    Ok(())
}

/// How many messages a port holds, in words.
pub(crate) fn capacity(status: &Status) -> String {
    match Capacity::from_code(status.capacity) {
        Ok(Capacity::Zero) => "0".into(),
        Ok(Capacity::Bounded(most)) => most.to_string(),
        Ok(Capacity::Unbounded) => "any".into(),
        Err(_) => "?".into(),
    }
}

/// Messages that a port has not taken, as its receiver wanted it.
pub(crate) fn lost(status: &Status) -> u64 {
    status.refused + status.dropped_oldest + status.dropped_newest + status.replaced
}

fn names(shell: &mut Shell, words: &[&str]) -> Done {
    let [word] = words else { return Err(Wrong::Usage) };
    let known = census::task(&shell.host, word)?;
    let tasks = census::tasks(&shell.host)?;
    let receivers = census::receivers(&shell.host, &tasks);
    let mut table = Table::new([
        ("name", Side::Left),
        ("rights", Side::Left),
        ("port", Side::Right),
        ("what is behind it", Side::Left),
    ]);
    for named in known.names() {
        let (port, behind) = match host::port_object(&shell.host, &known.task, named.name) {
            Ok(object) => (format!("#{}", object.port), census::behind(&object, &tasks, &receivers)),
            Err(Error::InvalidRight) => (String::new(), "nothing any more".into()),
            // It is gone by now.
            Err(_) => continue,
        };
        table.row([shown(named.name), census::rights(&named), port, behind]);
    }
    table.print();
    Ok(())
}
