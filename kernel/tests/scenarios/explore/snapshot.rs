//! The kernel's state, as far as the future of message passing depends on it.
//!
//! Numbers that only grow (of messages, of time) are left out, times are counted from
//! now. The order of threads that are ready does not matter: at rest none has anything
//! to do. The first task is only the test's hand.

use kernel::ipc::message::Envelope;
use kernel::ipc::port::Owner;
use kernel::kernel::Kernel;
use kernel::task::TaskId;
use kernel::task::thread::{State, Wait};
use std::fmt::Write;

pub fn take(k: &Kernel) -> String {
    let mut text = String::new();
    write(k, &mut text).expect("a string takes all");
    text
}

fn write(k: &Kernel, out: &mut String) -> std::fmt::Result {
    let is_hand = |task: TaskId| k.tasks.get(task).is_some_and(|task| task.serial == 1);
    for (id, port) in k.ports.iter() {
        match port.owner {
            Owner::Kernel(_) => continue,
            Owner::Task(task, _) if is_hand(task) => continue,
            _ => {}
        }
        write!(out, "{id:?} {:?} {:?} {:?} ", port.owner, port.capacity, port.notices)?;
        write!(out, "{} {} {} ", port.send_rights, port.send_once_rights, port.make_send_count)?;
        write!(out, "{} {:?} queue", port.sequence, port.toward)?;
        for message in port.queue.iter(&k.messages) {
            write!(out, " {} {:?}", describe(&k.messages[message].envelope), k.messages[message].cached_for)?;
        }
        let waiting: Vec<_> = port.senders.iter(&k.threads).chain(port.receivers.iter(&k.threads)).collect();
        writeln!(out, " waiting {waiting:?}")?;
    }
    let deadlines: Vec<_> = k.timers.iter().collect();
    for (id, thread) in k.threads.iter().filter(|(_, thread)| !is_hand(thread.task)) {
        write!(out, "{id:?} {:?} ", thread.reply)?;
        match &thread.state {
            State::Waiting(Wait::Send(sending)) => {
                let message = describe(&k.messages[sending.message].envelope);
                write!(out, "sends {message} {:?} {:?}", sending.options, sending.then)?;
            }
            State::Waiting(wait) => write!(out, "{wait:?}")?,
            State::Running | State::Ready | State::Suspended => {}
        }
        let left = thread.timer.map(|place| deadlines[place as usize].0.0 - k.now.0);
        writeln!(out, " {left:?}")?;
    }
    for (id, task) in k.tasks.iter().filter(|(id, _)| !is_hand(*id)) {
        writeln!(out, "{id:?} {:?}", task.space.notices)?;
        for (slot, entry) in task.space.iter() {
            let name = task.space.name(slot);
            writeln!(out, "{name:?} {:?} {} {} {}", entry.right, entry.held, entry.cached.is_some(), entry.notice)?;
        }
    }
    Ok(())
}

fn describe(envelope: &Envelope) -> String {
    format!("{} {:?} {:?} {:?}", envelope.id, envelope.destination, envelope.reply, envelope.rights)
}
