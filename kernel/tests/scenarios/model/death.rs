//! Death in the model: of ports, and of tasks; and the notices that tell of it.
//!
//! Neighbours: `rights`, `messages`.

use super::state::{Content, Key, Model, Right, TaskKey, ThreadKey, Wait, What};
use portolan_abi::Error;
use portolan_abi::notification::Kind;

impl Model {
    /// A port's receive right is gone.
    pub fn bury(&mut self, port: Key) {
        if self.lives(port) {
            self.dying.push_back(port);
        }
    }

    /// What a call has set going comes to its end: ports die, and threads whose
    /// message was taken begin to receive.
    pub fn settle(&mut self) {
        self.clear_away();
        while let Some(thread) = self.unfinished.pop_front() {
            self.begin_receive(thread);
            self.clear_away();
        }
    }

    fn clear_away(&mut self) {
        while let Some(port) = self.dying.front().copied() {
            self.end_port(port);
            self.ports.remove(&port);
            self.dying.pop_front();
        }
    }

    /// Senders, receivers, messages, names: in this order they learn of it.
    fn end_port(&mut self, key: Key) {
        while let Some(thread) = self.port(key).senders.front().copied() {
            self.fail_send(thread, Error::SendInvalidPort);
        }
        while let Some(thread) = self.port(key).receivers.front().copied() {
            self.finish(thread, Err(Error::ReceivePortDied));
        }
        while let Some(mail) = self.port(key).queue.pop_front() {
            for carried in mail.all_rights() {
                self.discard(carried.right);
            }
        }
        for task in self.tasks.keys().copied().collect::<Vec<_>>() {
            self.make_names_dead(task, key);
        }
    }

    fn make_names_dead(&mut self, task: TaskKey, dead: Key) {
        let names: Vec<Key> = self.tasks[&task].names.keys().copied().collect();
        for key in names {
            let entry = self.task(task).names.get_mut(&key).expect("it was listed");
            match entry.what {
                What::Port { port, sends, .. } if port == dead => {
                    (entry.what, entry.caching) = (What::Dead(sends), false);
                    if sends > 0 {
                        self.tell_dead_name(task, key);
                    }
                    self.clean(task, key);
                }
                What::SendOnce { port, .. } if port == dead && entry.lent == 0 => entry.what = What::Dead(1),
                _ => {}
            }
        }
    }

    /// A dead name is to be told to its task.
    pub fn tell_dead_name(&mut self, task: TaskKey, name: Key) {
        let notify = self.tasks[&task].notify;
        if self.lives(notify) {
            self.task(task).untold.push_back(name);
            self.offer_notices(notify);
        }
    }

    /// What the kernel has to say first to the receiver of a port.
    pub fn first_notice(&self, key: Key) -> Option<(Kind, Content)> {
        let port = &self.ports[&key];
        if port.lost > 0 {
            return Some((Kind::SendOnce, Content::Notice(0, None)));
        }
        let task = port.tells.filter(|task| self.tasks.contains_key(task))?;
        let name = self.tasks[&task].untold.front()?;
        Some((Kind::DeadName, Content::Notice(task, Some(*name))))
    }

    /// That has been said.
    pub fn told(&mut self, key: Key) {
        if self.port(key).lost > 0 {
            self.port(key).lost -= 1;
        } else if let Some(task) = self.ports[&key].tells {
            self.task(task).untold.pop_front();
        }
    }

    /// Ends a task. The manual does not say in which order its names go: `order` does.
    pub fn terminate(&mut self, key: TaskKey, order: &[Key]) {
        let threads: Vec<ThreadKey> =
            self.threads.iter().filter(|(_, thread)| thread.task == key).map(|(key, _)| *key).collect();
        for thread in threads {
            self.end_thread(thread);
        }
        for name in order {
            let Some(entry) = self.task(key).names.remove(name) else { continue };
            self.task(key).untold.retain(|untold| untold != name);
            match entry.what {
                What::Port { port, receive: true, .. } => self.bury(port),
                What::SendOnce { port, waiter } => self.discard(Right::SendOnce(port, waiter)),
                What::Port { .. } | What::Dead(_) => {}
            }
        }
        self.tasks.remove(&key);
        self.settle();
    }

    /// Ends a thread: its message, if it waits with one, is its task's again.
    fn end_thread(&mut self, key: ThreadKey) {
        self.stop(key);
        let thread = self.threads.remove(&key).expect("a thread");
        if let Wait::Send(sending) = thread.wait {
            self.give_back(thread.task, &sending.mail);
        }
    }

    /// `thread_abort`.
    pub fn abort(&mut self, key: ThreadKey) {
        match &self.thread(key).wait {
            Wait::Send(sending) if sending.options.abortable => self.fail_send(key, Error::SendInterrupted),
            Wait::Receive { abortable: true, .. } => self.finish(key, Err(Error::ReceiveInterrupted)),
            _ => {}
        }
        self.settle();
    }
}
