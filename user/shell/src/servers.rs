//! Commands on servers, and on the services that tasks find by name.

use crate::Shell;
use crate::command::{Command, Takes};
use crate::table::{Side, Table};
use crate::terminal;
use crate::wrong::{Done, Wrong};
use alloc::format;
use alloc::string::{String, ToString};
use portolan::servers::State;
use portolan::{name_server, println};

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "servers",
        usage: "servers [start | stop | kill SERVER]",
        help: "lists the servers, or starts or ends one\n\
               `stop` ends a server for good: its ports die. `kill` ends it as if it had died: it is started again\n\
               if its line of the configuration allows it, and takes up what is queued at its ports.",
        takes: &[Takes::One(&["start", "stop", "kill"]), Takes::Server],
        run: servers,
    },
    Command {
        name: "services",
        usage: "services",
        help: "lists the names that the name server knows, and who has registered them",
        takes: &[],
        run: services,
    },
];

fn servers(shell: &mut Shell, words: &[&str]) -> Done {
    match words {
        [] => list(shell),
        ["start", name] => {
            shell.servers.start(name)?;
            println!("{name} has been started");
            Ok(())
        }
        ["stop", name] if *name == terminal::SERVER => {
            Err("the shell is typed at through that server; `servers kill console` ends it, and it comes back".into())
        }
        ["stop", name] => {
            shell.servers.stop(name)?;
            println!("{name} has been stopped");
            Ok(())
        }
        ["kill", name] => {
            shell.servers.kill(name)?;
            println!("{name} has been ended");
            Ok(())
        }
        _ => Err(Wrong::Usage),
    }
}

fn list(shell: &Shell) -> Done {
    let mut table = Table::new([
        ("server", Side::Left),
        ("state", Side::Left),
        ("task", Side::Right),
        ("started again", Side::Right),
    ]);
    for server in shell.servers.list()? {
        let state = match server.state() {
            Some(State::Running) => "runs",
            Some(State::Stopped) => "stopped",
            Some(State::GivenUp) => "given up",
            None => "?",
        };
        let task = if server.task == 0 { String::new() } else { server.task.to_string() };
        let name = server.name.text().unwrap_or("?");
        table.row([name.into(), state.into(), task, server.restarts.to_string()]);
    }
    table.print();
    Ok(())
}

fn services(_: &mut Shell, words: &[&str]) -> Done {
    let [] = words else { return Err(Wrong::Usage) };
    let mut table = Table::new([("service", Side::Left), ("registered by", Side::Left)]);
    for entry in name_server::list()? {
        let owner = if entry.owner == 0 { "the configuration".into() } else { format!("task {}", entry.owner) };
        table.row([entry.name.text().unwrap_or("?").into(), owner]);
    }
    table.print();
    Ok(())
}
