//! Who there is, and who has which port: what the commands' tables are made of.
//!
//! Everything is asked anew each time, and may have changed while it is looked at: a task that has
//! ended meanwhile is left out.

use crate::wrong::Done;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use portolan::abi::host::{ObjectKind, PortObject};
use portolan::abi::port::NameType;
use portolan::abi::task::{Limits, TaskInfo};
use portolan::{Name, SendRight, Task, classic, host};

/// A task.
pub(crate) struct Known {
    pub(crate) task: Task,
    pub(crate) info: TaskInfo,
    /// Its name.
    pub(crate) name: String,
}

impl Known {
    /// What its names stand for.
    pub(crate) fn names(&self) -> Vec<NameType> {
        classic::port_names(self.task.right().name()).unwrap_or_default()
    }

    /// Its name and its id.
    pub(crate) fn title(&self) -> String {
        format!("{} ({})", self.name, self.info.id)
    }
}

/// All tasks.
pub(crate) fn tasks(host: &SendRight) -> Done<Vec<Known>> {
    let known = |task: Task| {
        let info = task.info().ok()?;
        Some(Known { task, info, name: text(&info.name) })
    };
    Ok(host::tasks(host)?.into_iter().filter_map(known).collect())
}

/// What a task has used of its account itself: what the tasks have that it made is theirs.
pub(crate) fn used(tasks: &[Known], known: &Known) -> Limits {
    let children = tasks.iter().filter(|child| child.info.parent == known.info.id);
    children.fold(known.info.used, |used, child| used.less(child.info.limits))
}

/// The task with this id, or the only one with this name.
pub(crate) fn task(host: &SendRight, word: &str) -> Done<Known> {
    let mut found = tasks(host)?;
    match crate::words::number(word) {
        Some(id) => found.retain(|known| known.info.id == id),
        None => found.retain(|known| known.name == word),
    }
    match found.len() {
        0 => Err(format!("there is no task `{word}`; `tasks` lists them").into()),
        1 => Ok(found.remove(0)),
        _ => {
            let ids: Vec<String> = found.iter().map(|known| format!("{}", known.info.id)).collect();
            Err(format!("several tasks are called `{word}`: say which, by its number: {}", ids.join(", ")).into())
        }
    }
}

/// The one task that the words name, or all.
pub(crate) fn chosen(host: &SendRight, word: Option<&&str>) -> Done<Vec<Known>> {
    match word {
        Some(word) => Ok([task(host, word)?].into()),
        None => tasks(host),
    }
}

/// A padded text, without what a screen would take for a command.
pub(crate) fn text(padded: &[u8]) -> String {
    let length = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    printable(&String::from_utf8_lossy(&padded[..length]))
}

/// A text of someone else's, without what a screen would take for a command.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// Who receives at which port: by the kernel's index of it, the task's title.
pub(crate) type Receivers = BTreeMap<u32, String>;

/// Who receives at all the ports of these tasks.
pub(crate) fn receivers(host: &SendRight, tasks: &[Known]) -> Receivers {
    let mut receivers = Receivers::new();
    for known in tasks {
        for named in known.names().iter().filter(|named| named.receive == 1) {
            if let Ok(object) = host::port_object(host, &known.task, named.name) {
                receivers.insert(object.port, known.title());
            }
        }
    }
    receivers
}

/// Which thread has which of the kernel's indices: the task's title, and the thread's id.
pub(crate) fn threads(host: &SendRight, tasks: &[Known]) -> BTreeMap<u32, (String, u64)> {
    let mut threads = BTreeMap::new();
    for known in tasks {
        for thread in known.task.threads().unwrap_or_default() {
            if let Ok(object) = host::port_object(host, Task::this(), thread.right().name()) {
                threads.insert(object.index, (known.title(), object.id));
            }
        }
    }
    threads
}

/// What is behind a port, in words.
pub(crate) fn behind(object: &PortObject, tasks: &[Known], receivers: &Receivers) -> String {
    let PortObject { port, kind, id, index, .. } = *object;
    match ObjectKind::from_code(kind) {
        Some(ObjectKind::Queue) => match receivers.get(&port) {
            Some(receiver) => format!("messages to {receiver}"),
            None => "messages; the receive right is on its way".into(),
        },
        Some(ObjectKind::Set) => "its members' messages".into(),
        Some(ObjectKind::Task) => match tasks.iter().find(|known| known.info.id == id) {
            Some(known) => format!("task {}", known.title()),
            None => format!("task ({id})"),
        },
        Some(ObjectKind::Thread) => format!("thread {id}"),
        Some(ObjectKind::Memory) => format!("memory object #{index}"),
        Some(ObjectKind::Pager) => format!("a pager's word to the kernel, #{index}"),
        Some(ObjectKind::Host) => "the machine, to be asked".into(),
        Some(ObjectKind::HostPrivileged) => "the machine, to be commanded".into(),
        Some(ObjectKind::Interrupt) => format!("interrupt line {id}"),
        Some(ObjectKind::IoPorts) => format!("I/O ports from {id:#x} on"),
        None => "something unknown".into(),
    }
}

/// The rights under a name, in words.
pub(crate) fn rights(named: &NameType) -> String {
    let mut rights = Vec::new();
    let counted = |what: &str, count: u32| if count == 1 { String::from(what) } else { format!("{what} x{count}") };
    if named.receive == 1 {
        rights.push("receive".into());
    }
    if named.send > 0 {
        rights.push(counted("send", named.send));
    }
    if named.send_once == 1 {
        rights.push("send-once".into());
    }
    if named.dead > 0 {
        rights.push(counted("dead", named.dead));
    }
    if named.set == 1 {
        rights.push("set".into());
    }
    rights.join(", ")
}

/// A name, as it is shown and typed.
pub(crate) fn shown(name: Name) -> String {
    format!("{name:?}")
}
