//! Exceptions of threads: set who handles them, and handle them.
//!
//! A handler is a server on a port: [`ReceiveRight::serve_exceptions`] receives what the
//! kernel tells and sends what the handler decides. Reference: [`portolan_abi::exception`].
//! Neighbours: `task` and `thread` are what an exception brings rights to.

use crate::Result;
use crate::interface::{refusal, reply};
use crate::receive::{Answer, Received};
use crate::right::ReceiveRight;
use crate::task::Task;
use crate::thread::Thread;
use portolan_abi::exception::{Action, Kind, Raise, arguments, results};
use portolan_abi::interface::Routine;
use portolan_abi::message::Trailer;
use portolan_abi::registers::Registers;
use portolan_abi::{Error, Protection};

/// What a thread did, and who it is.
#[derive(Debug)]
pub struct Exception {
    /// What kind it is.
    pub kind: Kind,
    /// What exactly, by kind: see [`portolan_abi::exception::code`].
    pub code: u32,
    /// The address, if it is a bad access.
    pub address: u64,
    /// What was tried there.
    pub access: Protection,
    /// The thread's registers.
    pub registers: Registers,
    /// The thread, which waits.
    pub thread: Thread,
    /// Its task.
    pub task: Task,
}

/// What a handler decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The thread goes on as it is: an instruction that failed is tried again.
    GoOn,
    /// The thread goes on with these registers.
    GoOnWith(Registers),
    /// Somebody else is asked; if there is nobody, the task ends.
    NotHandled,
}

impl Exception {
    /// The exception that a message tells of, if the kernel sent it.
    ///
    /// # Errors
    /// `BadId`, `BadArguments`, `InvalidCapability`: it is no such message.
    pub fn of(message: &mut Received) -> Result<Exception> {
        if message.id() != Raise::ID || message.trailer().flags & Trailer::FROM_KERNEL == 0 {
            return Err(Error::BadId);
        }
        let raised: arguments::Raise = message.value()?;
        Ok(Exception {
            kind: Kind::from_code(raised.kind).ok_or(Error::BadArguments)?,
            code: raised.code,
            address: raised.address,
            access: Protection::from_bits_truncate(raised.access as u32),
            registers: raised.registers,
            thread: Thread::from_right(message.take_send(0)?),
            task: Task::from_right(message.take_send(1)?),
        })
    }
}

impl Decision {
    /// The reply that says so.
    #[must_use]
    pub fn answer(self) -> Answer<'static> {
        let (action, registers) = match self {
            Decision::GoOn => (Action::GoOn, Registers::default()),
            Decision::GoOnWith(registers) => (Action::GoOnWith, registers),
            Decision::NotHandled => return refusal(Raise::ID, Error::Failure).into(),
        };
        reply::<Raise>(results::Raise { action: action as u32, reserved: 0, registers }, []).into()
    }
}

impl ReceiveRight {
    /// Handles exceptions until `handle` returns `None`; the last one is then not handled.
    /// Messages that are none are refused.
    ///
    /// # Errors
    /// Those of [`ReceiveRight::serve`].
    pub fn serve_exceptions(&self, mut handle: impl FnMut(Exception) -> Option<Decision>) -> Result<()> {
        self.serve(|message| match Exception::of(message) {
            Ok(exception) => handle(exception).map_or(Answer::Stop, Decision::answer),
            Err(error) => refusal(message.id(), error).into(),
        })
    }
}
