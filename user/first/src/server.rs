//! A server: what is configured, what it is at, and whether it is started again.
//!
//! Invariant: within a minute a server is started again at most as often as its configuration says.
//! Neighbours: `main` starts it, `service` has its ports.

use alloc::collections::VecDeque;
use portolan::servers::{ServerInfo, State};
use portolan::thread::now_ms;
use portolan::{Name, Result, SendRight, Task, configuration, host};

/// The time in which the restarts of a server are counted, in ms.
const MINUTE: u64 = 60_000;

/// A task that this one started.
pub(crate) struct Child {
    task: Task,
    /// What its messages say of their sender.
    pub(crate) id: u64,
}

impl Child {
    pub(crate) fn of(task: Task) -> Result<Child> {
        let id = task.info()?.id;
        Ok(Child { task, id })
    }

    /// Whether its task port has this name.
    pub(crate) fn is(&self, name: Name) -> bool {
        self.task.right().name() == name
    }

    /// Ends it, and what it has made.
    pub(crate) fn end(&self, host: &SendRight) {
        // It may have ended by itself.
        let _ = self.task.terminate();
        self.end_made(host);
    }

    /// Ends the tasks that it has made, and those that they have: nobody else would.
    pub(crate) fn end_made(&self, host: &SendRight) {
        // What cannot be found cannot be ended.
        let _ = host::end_family(host, self.id);
    }
}

/// What a server is at.
pub(crate) enum Status {
    Running(Child),
    Stopped,
    GivenUp,
}

pub(crate) struct Server {
    pub(crate) configured: configuration::Server<'static>,
    pub(crate) status: Status,
    /// How often it has been started again.
    restarts: u32,
    /// When, in ms, as far as a minute ago.
    recent: VecDeque<u64>,
}

impl Server {
    pub(crate) fn new(configured: configuration::Server<'static>) -> Server {
        Server { configured, status: Status::Stopped, restarts: 0, recent: VecDeque::new() }
    }

    /// Its task, while it has one.
    pub(crate) fn child(&self) -> Option<&Child> {
        match &self.status {
            Status::Running(child) => Some(child),
            Status::Stopped | Status::GivenUp => None,
        }
    }

    /// Whether it may be started again now; then it counts as started.
    pub(crate) fn may_start_again(&mut self) -> bool {
        let now = now_ms();
        self.recent.retain(|time| now - time < MINUTE);
        let may = self.recent.len() < self.configured.restarts as usize;
        if may {
            self.recent.push_back(now);
            self.restarts += 1;
        }
        may
    }

    /// What was before does not count any more.
    pub(crate) fn forget_restarts(&mut self) {
        self.recent.clear();
    }

    pub(crate) fn info(&self) -> ServerInfo {
        let (task, state) = match &self.status {
            Status::Running(child) => (child.id, State::Running),
            Status::Stopped => (0, State::Stopped),
            Status::GivenUp => (0, State::GivenUp),
        };
        ServerInfo { name: self.configured.name, task, state: state as u32, restarts: self.restarts }
    }
}
