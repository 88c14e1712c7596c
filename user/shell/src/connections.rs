//! The command that looks at ALPC's connections.
//!
//! They are found by their ports, as the kernel tells of these, so that a server that does not answer is seen, too.
//! The payload of each port says what it is for; any program could say the same of its own. Neighbour:
//! `portolan_alpc::purpose`.

use crate::Shell;
use crate::census::{self, Known, shown};
use crate::command::Command;
use crate::table::{Side, Table};
use crate::wrong::{Done, Wrong};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portolan::abi::port::Status;
use portolan::{Name, SendRight, Task, classic, host, name_server};
use portolan_alpc::Purpose;

pub(crate) const COMMANDS: &[Command] = &[Command {
    name: "alpc",
    usage: "alpc",
    help: "lists ALPC's connection ports, and the two sides of each connection\n\
           `held` are messages that nobody has received yet, `awaited` the answers that asynchronous requests still wait for.\n\
           A client that has asked and is not let in yet `asks`.",
    takes: &[],
    run: alpc,
}];

/// A port of the library's.
struct Found {
    /// Whose.
    task: String,
    name: Name,
    /// The kernel's index of it.
    port: u32,
    purpose: Purpose,
    status: Status,
}

impl Found {
    fn is_in_the_set_of(&self, other: &Found) -> bool {
        self.task == other.task && self.status.set == other.status.set
    }
}

/// Texts by the kernel's index of a port.
type ByPort = BTreeMap<u32, String>;

fn alpc(shell: &mut Shell, words: &[&str]) -> Done {
    let [] = words else { return Err(Wrong::Usage) };
    let tasks = census::tasks(&shell.host)?;
    let (found, holders) = find(&shell.host, &tasks);
    table(&found, &holders, &services(&shell.host)).print();
    Ok(())
}

/// All ports of the library's, and who has a send right to each.
fn find(host: &SendRight, tasks: &[Known]) -> (Vec<Found>, ByPort) {
    let (mut found, mut holders) = (Vec::new(), ByPort::new());
    for known in tasks {
        for named in known.names().iter().filter(|named| named.receive == 1 || named.send > 0) {
            let Ok(object) = host::port_object(host, &known.task, named.name) else { continue };
            if named.send > 0 {
                holders.insert(object.port, known.title());
            }
            if named.receive == 1
                && let Ok(status) = classic::port_status(known.task.right().name(), named.name)
                && let Some(purpose) = Purpose::of(status.payload)
            {
                found.push(Found { task: known.title(), name: named.name, port: object.port, purpose, status });
            }
        }
    }
    (found, holders)
}

/// What each port is called at the name server. Where that does not answer, none has a name.
fn services(host: &SendRight) -> ByPort {
    let mut services = ByPort::new();
    for entry in name_server::list().unwrap_or_default() {
        if let Ok(name) = entry.name.text()
            && let Ok(right) = name_server::look_up(name)
            && let Ok(object) = host::port_object(host, Task::this(), right.name())
        {
            services.insert(object.port, census::printable(name));
        }
    }
    services
}

fn table(found: &[Found], holders: &ByPort, services: &ByPort) -> Table<7> {
    let mut table = Table::new([
        ("task", Side::Left),
        ("port", Side::Left),
        ("is", Side::Left),
        ("other side", Side::Left),
        ("state", Side::Left),
        ("held", Side::Right),
        ("awaited", Side::Right),
    ]);
    for port in found {
        let serves = found.iter().any(|other| other.purpose == Purpose::Door && other.is_in_the_set_of(port));
        let awaited = || {
            let answers = found.iter().filter(|other| matches!(other.purpose, Purpose::Answer(_)));
            answers.filter(|answer| answer.is_in_the_set_of(port)).count().to_string()
        };
        let (is, state, awaited) = match (port.purpose, services.get(&port.port)) {
            (Purpose::Door, Some(name)) => (format!("connection port `{name}`"), "listens", awaited()),
            (Purpose::Door, None) => ("connection port".into(), "listens", awaited()),
            (Purpose::Connection(_), _) if serves => ("server's side".into(), state(port, holders), String::new()),
            (Purpose::Connection(_), _) => ("client's side".into(), state(port, holders), awaited()),
            (Purpose::Answer(_) | Purpose::Joined(_), _) => continue,
        };
        let other = match port.purpose {
            Purpose::Connection(_) => holders.get(&port.port).cloned().unwrap_or_default(),
            _ => String::new(),
        };
        let held = port.status.messages.to_string();
        table.row([port.task.clone(), shown(port.name), is, other, state.into(), held, awaited]);
    }
    table
}

/// How far a connection has come, as one side's port shows it: the other side has the one right to it, or had.
fn state(side: &Found, holders: &ByPort) -> &'static str {
    match side.status {
        _ if holders.contains_key(&side.port) => "connected",
        Status { send_rights: 0, make_send_count: 1.., .. } => "the other side has ended",
        _ => "asks",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(task: &str, port: u32, set: u32, purpose: Purpose) -> Found {
        let status = Status { set: Name(set), make_send_count: 1, send_rights: 1, ..Status::default() };
        Found { task: task.into(), name: Name(port), port, purpose, status }
    }

    /// The columns without the port's name.
    fn rows(found: &[Found], holders: &[(u32, &str)], services: &[(u32, &str)]) -> Vec<String> {
        let by_port = |list: &[(u32, &str)]| list.iter().map(|(port, text)| (*port, (*text).into())).collect();
        table(found, &by_port(holders), &by_port(services)).lines().split_off(1)
    }

    #[test]
    fn a_connection_is_two_sides_and_the_servers_has_a_connection_port_beside_it() {
        let mut served = found("server (7)", 2, 9, Purpose::Connection(1));
        served.status.messages = 3;
        let all = [
            found("server (7)", 1, 9, Purpose::Door),
            served,
            found("client (8)", 3, 9, Purpose::Connection(1)),
            found("client (8)", 4, 9, Purpose::Answer(5)),
            found("client (8)", 5, 8, Purpose::Answer(5)),
        ];
        let lines = rows(&all, &[(1, "client (8)"), (2, "client (8)"), (3, "server (7)")], &[(1, "tea")]);
        let words: Vec<Vec<&str>> =
            lines.iter().map(|line| line.split("  ").filter(|word| !word.is_empty()).collect()).collect();
        let of = |words: &[&str]| words.iter().map(|word| word.trim().to_string()).collect::<Vec<_>>();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(of(&words[0])[2..], ["connection port `tea`", "listens", "0", "0"]);
        assert_eq!(of(&words[1])[2..], ["server's side", "client (8)", "connected", "3"]);
        assert_eq!(of(&words[2])[2..], ["client's side", "server (7)", "connected", "0", "1"]);
    }

    #[test]
    fn a_side_that_nobody_can_send_to_asks_or_is_left() {
        let side = |send_rights, make_send_count| {
            let mut side = found("client (8)", 3, 9, Purpose::Connection(1));
            (side.status.send_rights, side.status.make_send_count) = (send_rights, make_send_count);
            state(&side, &ByPort::new())
        };
        assert_eq!((side(0, 0), side(1, 1), side(0, 1)), ("asks", "asks", "the other side has ended"));
    }
}
