//! The loader: a server that starts programs of the boot archive for whoever has a right to it.
//!
//! Who asks makes the task, out of its own account and with the rights that it gives; the loader
//! gets the new task's port alone, and puts the program there. So it needs no right of its clients, and spends nothing of its own
//! for them. If it dies in the middle, the task that is not whole is ended. Neighbours: `program` has both halves,
//! and does the same without a server; the server is `user/servers/loader`.

use crate::Result;
use crate::bootstrap::routine::{Exit, arguments};
use crate::interface::{MsgRpc, refusal};
use crate::name_server;
use crate::notification::Notice;
use crate::program::{Defect, Launch, ready};
use crate::receive::Received;
use crate::right::{ReceiveRight, Right, SendRight};
use crate::service::ServiceName;
use crate::task::Task;
use portolan_abi::interface::Routine;
use portolan_abi::{Capacity, Error};

/// The service's name.
pub const SERVICE: &str = "loader";

/// The routines.
pub mod protocol {
    use crate::service::ServiceName;

    crate::interface! {
        base 6600;

        /// Puts the program of this name into a task that has none yet, whose kernel port's send right is in the
        /// message: its segments and a stack, which the task pays for, and a first thread of this priority. It begins with the
        /// start-up block, which must be there. `defect` is 0, or says why the file is no program (a `Defect`); then nothing was done.
        ///
        /// `InvalidName`: there is no such file. `InvalidValue`: it cannot be a name, or there is no such
        /// priority. `InvalidCapability`: the right is
        /// no send right to a task's kernel port. `ResourceShortage`: the task cannot pay. `NoSpace`: something is there
        /// already.
        1 load / Load (program: ServiceName, priority: u32, reserved: u32; task: SendRight) -> (defect: u32, reserved: u32);
    }
}

/// Why a program was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// A call has failed: those of [`protocol::load`] and [`Launch::make`]; `ReceiveReplyLost`: the loader has died.
    Call(Error),
    /// The file is no program.
    Defect(Defect),
}

impl From<Error> for NotStarted {
    fn from(error: Error) -> NotStarted {
        NotStarted::Call(error)
    }
}

/// A right to a loader.
#[derive(Debug)]
pub struct Loader(SendRight);

impl Loader {
    /// The one that the name server knows.
    ///
    /// # Errors
    /// Those of [`name_server::look_up`].
    pub fn find() -> Result<Loader> {
        name_server::look_up(SERVICE).map(Loader)
    }

    /// The loader that this right is to.
    #[must_use]
    pub fn from_right(right: SendRight) -> Loader {
        Loader(right)
    }

    /// Starts a program of the archive in a new task.
    ///
    /// # Errors
    /// Why it was not started; nothing is left of it.
    pub fn start(&self, program: &str, launch: Launch<'_>) -> Result<Task, NotStarted> {
        let (program, priority) = (ServiceName::new(program)?, launch.priority);
        let task = launch.make()?;
        let loaded = self.load(program, priority, &task);
        ready(task, loaded)
    }

    /// Starts a program whose end is to be waited for. What it asks of its bootstrap port is refused.
    ///
    /// # Errors
    /// As for [`start`](Loader::start).
    pub fn run(&self, program: &str, launch: Launch<'_>) -> Result<Running, NotStarted> {
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let task = self.start(program, Launch { bootstrap: Right::MakeSend(&port), ..launch })?;
        let watched = task.right().request_dead_name(Right::MakeSendOnce(&port)).map(drop);
        Ok(Running { task: ready(task, watched)?, port })
    }

    fn load(&self, program: ServiceName, priority: u32, task: &Task) -> Result<(), NotStarted> {
        let right = Right::CopySend(task.right()).descriptor();
        let loaded = protocol::load(&MsgRpc, self.0.name(), program, priority, 0, right)?.results;
        match Defect::from_code(loaded.defect) {
            Some(defect) => Err(NotStarted::Defect(defect)),
            None => Ok(()),
        }
    }
}

/// A program that [`Loader::run`] has started. Dropped, it runs on, and nobody hears of its end.
#[derive(Debug)]
pub struct Running {
    task: Task,
    /// Its bootstrap port, where its death is told, too.
    port: ReceiveRight,
}

/// How a program has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has reported this exit code: 0 is success.
    Exit(u32),
    /// It has died without a report.
    Died,
}

impl Running {
    /// Its task.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Waits until its task has ended.
    ///
    /// # Errors
    /// The `Receive…` errors.
    pub fn wait(self) -> Result<End> {
        let mut end = End::Died;
        loop {
            let mut message = self.port.receive()?;
            if let Some(Notice::DeadName(_)) = message.notice() {
                break;
            }
            self.heed(&mut message, &mut end);
        }
        // The notice overtakes the messages that are queued.
        while let Ok(mut message) = self.port.receive_within(0) {
            self.heed(&mut message, &mut end);
        }
        Ok(end)
    }

    fn heed(&self, message: &mut Received, end: &mut End) {
        match (message.id(), message.value::<arguments::Exit>()) {
            (Exit::ID, Ok(exit)) => *end = End::Exit(exit.code),
            // Whoever has gone needs no answer.
            (id, _) => drop(message.answer(refusal(id, Error::NoAccess))),
        }
    }
}
