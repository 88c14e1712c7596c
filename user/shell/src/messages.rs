//! Commands that send and receive by hand, at mailboxes of the shell's own and at whatever has a name.

use crate::Shell;
use crate::census::{self, shown};
use crate::command::{Command, Takes};
use crate::ports::{capacity, lost};
use crate::table::{Side, Table};
use crate::words;
use crate::wrong::{Done, Wrong};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portolan::name_server::{self, Registration};
use portolan::send::{Taken, WhenFull};
use portolan::thread::now_ms;
use portolan::{Capacity, Error, Message, ReceiveRight, Received, SendRight, println};

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "port",
        usage: "port [NAME [0 | COUNT | any]]",
        help: "makes a mailbox of the shell's own, or lists them\n\
               It holds 5 messages, or so many. For the capacity 0 a sender needs a receiver that waits.",
        takes: &[],
        run: port,
    },
    Command {
        name: "close",
        usage: "close MAILBOX",
        help: "gives up a mailbox: its port dies",
        takes: &[Takes::Mailbox],
        run: close,
    },
    Command {
        name: "register",
        usage: "register MAILBOX",
        help: "makes a mailbox a service: every task finds it by its name",
        takes: &[Takes::Mailbox],
        run: register,
    },
    Command {
        name: "send",
        usage: "send PORT ID [TEXT] [when=return | when=cache | when=MS]",
        help: "sends a message to a mailbox, or to a service by its name\n\
               If the mailbox is full: `return` (as when nothing is said) gives up, `cache` leaves the message with\n\
               the kernel, which tells when it has been accepted, and a number waits so many ms.",
        takes: &[Takes::Port],
        run: send,
    },
    Command {
        name: "receive",
        usage: "receive MAILBOX [MS]",
        help: "takes the next message from a mailbox\n\
               It waits for one so many ms, or until a key is pressed.",
        takes: &[Takes::Mailbox],
        run: receive,
    },
    Command {
        name: "ask",
        usage: "ask PORT ID [TEXT]",
        help: "sends a request, and shows its answer (`msg_rpc`)\n\
               It waits five seconds at most.",
        takes: &[Takes::Port],
        run: ask,
    },
];

/// How long an answer is waited for, in ms.
const PATIENCE_MS: u32 = 5000;
/// How long a mailbox is not looked at, while a message is waited for, in ms.
const LOOK_MS: u32 = 50;
/// Bytes of a message that are shown.
const SHOWN: usize = 64;

/// The mailboxes that a person has made, by name.
#[derive(Default)]
pub(crate) struct Mailboxes(BTreeMap<String, Mailbox>);

struct Mailbox {
    port: ReceiveRight,
    /// What keeps its name, if it is a service.
    _registration: Option<Registration>,
}

impl Mailboxes {
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn get(&mut self, name: &str) -> Done<&mut Mailbox> {
        self.0.get_mut(name).ok_or_else(|| format!("there is no mailbox `{name}`; `port {name}` makes one").into())
    }
}

fn port(shell: &mut Shell, arguments: &[&str]) -> Done {
    let (name, capacity) = match arguments {
        [] => return list(shell),
        [name] => (*name, Capacity::DEFAULT),
        [name, "any"] => (*name, Capacity::Unbounded),
        [name, count] => (*name, Capacity::from_code(words::small(count).ok_or(Wrong::Usage)?)?),
        _ => return Err(Wrong::Usage),
    };
    if shell.mailboxes.0.contains_key(name) {
        return Err(format!("there is a mailbox `{name}` already").into());
    }
    let port = ReceiveRight::allocate(capacity)?;
    println!("{name} is {}", shown(port.name()));
    shell.mailboxes.0.insert(name.to_string(), Mailbox { port, _registration: None });
    Ok(())
}

fn list(shell: &Shell) -> Done {
    let mut table = Table::new([
        ("mailbox", Side::Left),
        ("name", Side::Left),
        ("held", Side::Right),
        ("of", Side::Left),
        ("cached", Side::Right),
        ("senders wait", Side::Right),
        ("lost", Side::Right),
    ]);
    for (name, Mailbox { port, .. }) in &shell.mailboxes.0 {
        let status = port.status()?;
        table.row([
            name.clone(),
            shown(port.name()),
            status.messages.to_string(),
            capacity(&status),
            status.cached.to_string(),
            status.senders.to_string(),
            lost(&status).to_string(),
        ]);
    }
    table.print();
    Ok(())
}

fn close(shell: &mut Shell, arguments: &[&str]) -> Done {
    let [name] = arguments else { return Err(Wrong::Usage) };
    shell.mailboxes.get(name)?;
    shell.mailboxes.0.remove(*name);
    Ok(())
}

fn register(shell: &mut Shell, arguments: &[&str]) -> Done {
    let [name] = arguments else { return Err(Wrong::Usage) };
    let mailbox = shell.mailboxes.get(name)?;
    mailbox._registration = Some(name_server::register(name, &mailbox.port.make_send()?)?);
    Ok(())
}

/// A right to a mailbox, or to a service.
fn destination(shell: &mut Shell, name: &str) -> Done<SendRight> {
    if let Ok(mailbox) = shell.mailboxes.get(name) {
        return Ok(mailbox.port.make_send()?);
    }
    match name_server::look_up(name) {
        Err(Error::InvalidName | Error::InvalidValue) => {
            Err(format!("there is no mailbox and no service `{name}`; see `port` and `services`").into())
        }
        found => Ok(found?),
    }
}

/// To whom the words send a message, and the message: its id and perhaps a text.
fn addressed<'a>(words: &[&'a str]) -> Done<(&'a str, Message<'a>)> {
    let (to, id, text) = match *words {
        [to, id] => (to, id, ""),
        [to, id, text] => (to, id, text),
        _ => return Err(Wrong::Usage),
    };
    let id = words::small(id).ok_or_else(|| format!("`{id}` is no message id: it is a number of 32 bits"))?;
    Ok((to, Message::new(id).bytes(text.as_bytes())))
}

fn send(shell: &mut Shell, arguments: &[&str]) -> Done {
    let (arguments, when_full) = match arguments.split_last() {
        Some((last, rest)) if last.starts_with("when=") => (rest, when(&last["when=".len()..])?),
        _ => (arguments, WhenFull::Return),
    };
    let (to, message) = addressed(arguments)?;
    match destination(shell, to)?.send_or(message, when_full)? {
        Taken::Sent => println!("it has been sent"),
        Taken::Cached => {
            println!("SEND_WILL_NOTIFY: the mailbox is full, and the kernel keeps the message until there is a place")
        }
    }
    Ok(())
}

/// Most that a send or a receive waits for, in ms.
const WAIT_MAX: u32 = 60_000;

fn when(word: &str) -> Done<WhenFull> {
    match word {
        "return" => Ok(WhenFull::Return),
        "cache" => Ok(WhenFull::Cache),
        ms => Ok(WhenFull::WaitMs(wait(ms)?)),
    }
}

fn wait(ms: &str) -> Done<u32> {
    let ms = words::small(ms).ok_or(Wrong::Usage)?;
    if ms > WAIT_MAX { Err(format!("the shell waits at most {WAIT_MAX} ms").into()) } else { Ok(ms) }
}

fn receive(shell: &mut Shell, arguments: &[&str]) -> Done {
    let (name, ms) = match arguments {
        [name] => (*name, 0),
        [name, ms] => (*name, wait(ms)?),
        _ => return Err(Wrong::Usage),
    };
    let until = now_ms() + u64::from(ms);
    loop {
        match shell.mailboxes.get(name)?.port.receive_within(0) {
            Err(Error::ReceiveTimedOut) if now_ms() < until => {
                if shell.pause(LOOK_MS)? {
                    return Ok(());
                }
            }
            received => {
                show(shell, &received?);
                return Ok(());
            }
        }
    }
}

fn ask(shell: &mut Shell, arguments: &[&str]) -> Done {
    let (to, request) = addressed(arguments)?;
    if shell.mailboxes.get(to).is_ok() {
        return Err("nobody but the shell could answer there, and it waits; `send` to a mailbox, then `receive`".into());
    }
    let answer = destination(shell, to)?.rpc_within(request, PATIENCE_MS)?;
    show(shell, &answer);
    Ok(())
}

/// Shows a message. Its rights are given up with it.
fn show(shell: &Shell, message: &Received) {
    let tasks = census::tasks(&shell.host).unwrap_or_default();
    let sender = match tasks.iter().find(|known| known.info.id == message.sender()) {
        _ if message.is_from_kernel() => "the kernel".into(),
        Some(known) => known.title(),
        None => format!("task {}", message.sender()),
    };
    let bytes = message.bytes();
    println!(
        "message {} with id {} from {sender}: {} bytes, {} rights",
        message.trailer().number,
        message.id(),
        bytes.len(),
        message.rights()
    );
    if bytes.is_empty() {
        return;
    }
    let part = &bytes[..bytes.len().min(SHOWN)];
    let more = if bytes.len() > SHOWN { " …" } else { "" };
    match core::str::from_utf8(part) {
        Ok(text) if !text.contains(char::is_control) => println!("    \"{text}\"{more}"),
        _ => part.chunks(16).for_each(|line| {
            let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("    {}", digits.join(" "));
        }),
    }
}
