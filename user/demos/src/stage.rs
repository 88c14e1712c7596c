//! Where a demo is played: starting its roles as tasks, hearing from them, and
//! telling right from wrong.
//!
//! The roles' bootstrap port is the lead's notify port, so the lead hears in one
//! place what a role asks, its exit report, and its death. Invariant: a role that
//! failed, died or fell silent is an error of the demo.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use portolan::abi::interface::Routine;
use portolan::bootstrap::routine::{Exit, arguments};
use portolan::program::{Launch, Program};
use portolan::{Error, Failure, Message, Notice, Received, Result, Right, SendRight, Task, bootstrap, notification};
use portolan_posix::Errno;

/// How long a lead waits for its roles, in ms.
const PATIENCE_MS: u32 = 5000;

/// Prints a line with the name of the task that speaks.
macro_rules! say {
    ($($argument:tt)*) => { portolan::println!("{} {}", $crate::stage::Speaker, format_args!($($argument)*)) };
}
pub(crate) use say;

/// The name of the task that prints: its role, and which one if there are several.
pub(crate) struct Speaker;

impl fmt::Display for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = portolan::argument("role").unwrap_or("lead");
        let which = portolan::argument("which").unwrap_or("");
        write!(f, "{:>20} |", format!("{role} {which}").trim_end())
    }
}

/// Why a demo failed.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// A call failed that should not have.
    Call(Error),
    /// The same, of POSIX's calls.
    Posix(Errno),
    /// Something came out otherwise than the lesson says.
    Result(&'static str),
}

/// How a demo, or a role in it, ends.
pub(crate) type Outcome<T = ()> = Result<T, Wrong>;

impl From<Error> for Wrong {
    fn from(error: Error) -> Wrong {
        Wrong::Call(error)
    }
}

impl From<Errno> for Wrong {
    fn from(errno: Errno) -> Wrong {
        Wrong::Posix(errno)
    }
}

impl From<Failure<'_>> for Wrong {
    fn from(failure: Failure<'_>) -> Wrong {
        Wrong::Call(failure.error)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Call(error) => write!(f, "a call failed with {}", error.classic_name()),
            Wrong::Posix(errno) => write!(f, "a call failed with {errno:?}"),
            Wrong::Result(what) => f.write_str(what),
        }
    }
}

/// Says what is wrong unless `right`.
pub(crate) fn check(right: bool, otherwise: &'static str) -> Outcome {
    if right { Ok(()) } else { Err(Wrong::Result(otherwise)) }
}

/// For a role: asks the lead for the send right with this message id and name.
pub(crate) fn ask(id: u32, name: &str) -> Outcome<SendRight> {
    Ok(bootstrap::port()?.rpc(Message::new(id).text(name))?.take_send(0)?)
}

/// The lead's view of the tasks that play its demo.
pub(crate) struct Stage {
    demo: &'static str,
    program: Program<'static>,
    playing: Vec<Task>,
    /// How many have died, and how many have reported their exit: a notice of death overtakes messages.
    deaths: usize,
    reports: usize,
}

impl Stage {
    pub(crate) fn open(demo: &'static str) -> Result<Stage> {
        let file = bootstrap::archive()?.file("demos").ok_or(Error::InvalidName)?;
        let program = Program::parse(file).map_err(|_| Error::Failure)?;
        Ok(Stage { demo, program, playing: Vec::new(), deaths: 0, reports: 0 })
    }

    /// Starts a task that plays a role; `which` tells several of them apart.
    pub(crate) fn enter(&mut self, role: &str, which: &str) -> Outcome {
        let arguments = format!("demo={} role={role} which={which}", self.demo);
        let bootstrap = Right::MakeSend(notification::port());
        let task = self.program.start(Launch { bootstrap, ..Launch::new(role, &arguments) })?;
        self.playing.push(task);
        Ok(())
    }

    /// Starts a role that others ask. It begins by telling, with this message, where it can be reached.
    pub(crate) fn enter_reachable(&mut self, role: &str, here_i_am: u32) -> Outcome<SendRight> {
        self.enter(role, "")?;
        let mut greeting = self.request()?;
        check(greeting.id() == here_i_am, "a role begins with something else than where it can be reached")?;
        Ok(greeting.take_send(0)?)
    }

    /// Gives a right to the role that asks for it next, with this message.
    pub(crate) fn give(&mut self, id: u32, right: &SendRight) -> Outcome {
        let mut request = self.request()?;
        check(request.id() == id, "a role asks for something else than it should")?;
        Ok(request.answer(Message::new(id).right(right))?)
    }

    /// The next request of a role.
    pub(crate) fn request(&mut self) -> Outcome<Received> {
        loop {
            if let Some(request) = self.hear()? {
                return Ok(request);
            }
        }
    }

    /// Waits until no more than `count` roles are playing; none has a request meanwhile.
    pub(crate) fn wait_until_playing(&mut self, count: usize) -> Outcome {
        while self.playing.len() > count || self.misses_a_report() {
            if self.hear()?.is_some() {
                return Err(Wrong::Result("a role asks for something that the lesson does not have"));
            }
        }
        Ok(())
    }

    /// One message: a request, or news of a role's end.
    fn hear(&mut self) -> Outcome<Option<Received>> {
        let patience = if self.misses_a_report() { 0 } else { PATIENCE_MS };
        let message = match notification::port().receive_within(patience) {
            Err(Error::ReceiveTimedOut) if self.misses_a_report() => {
                return Err(Wrong::Result("a role died without an exit report"));
            }
            message => message?,
        };
        if let Some(notice) = message.notice() {
            self.heed(notice);
            return Ok(None);
        }
        if message.id() != Exit::ID {
            return Ok(Some(message));
        }
        self.reports += 1;
        check(message.value::<arguments::Exit>()?.code == 0, "a role failed")?;
        Ok(None)
    }

    fn heed(&mut self, notice: Notice) {
        let Notice::DeadName(name) = notice else { return };
        let before = self.playing.len();
        self.playing.retain(|task| task.right().name() != name);
        self.deaths += before - self.playing.len();
    }

    /// Whether a role has died whose report has not been read: it is waiting, or there is none.
    fn misses_a_report(&self) -> bool {
        self.deaths > self.reports
    }
}

impl Drop for Stage {
    /// Clears the stage after a failure: no role plays on, and nothing they said is heard in the next demo.
    fn drop(&mut self) {
        for task in &self.playing {
            let _ = task.terminate();
        }
        while notification::port().receive_within(0).is_ok() {}
    }
}
