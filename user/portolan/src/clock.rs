//! The clock server: the time of day, and alarms as messages.
//!
//! The machine's own clock (`trap::clock_get`) begins with the machine, and everyone can read it. What the
//! server adds is what the time of day was then, from the machine's real-time clock: the sum of both
//! is the time of day. An alarm is a request that is answered when its time has come: it can be waited
//! for, or sent to a port where other messages come, too.
//!
//! If the server dies, alarms end with `ReceiveReplyLost` (or a notice that the right to answer is gone), and the one
//! that is started in its place serves the same port. Neighbours: `thread` has plain sleep, which needs no server;
//! the server is `user/servers/clock`.

use crate::Result;
use crate::interface::{MsgRpc, reply_in};
use crate::message::Message;
use crate::name_server;
use crate::receive::Received;
use crate::right::{ReceiveRight, Right, SendRight};
use crate::trap;
use portolan_abi::Error;
use portolan_abi::interface::Routine;

/// The service's name.
pub const SERVICE: &str = "clock";
/// The I/O ports of the machine's real-time clock: the first, and how many.
pub const RTC_IO_PORTS: (u32, u32) = (0x70, 2);
/// Most alarms that a task can have set, and all tasks together.
pub const ALARMS_EACH: usize = 16;
/// Most alarms that are set.
pub const ALARMS_MAX: usize = 256;

/// The routines.
pub mod protocol {
    crate::interface! {
        base 6400;

        /// The time of day when the machine's clock began, in nanoseconds since 1970-01-01 00:00 UTC.
        ///
        /// `Failure`: the machine has no clock that tells it. What the bootstrap server says, if it does not give it.
        1 start / GetStart () -> (start: i64);

        /// Answered when the machine's clock shows `at`, in nanoseconds, or at once if it does. Whoever
        /// does not want the alarm any more gives up its reply port. The server pays for what it keeps.
        ///
        /// `NoSpace`: this task, or all together, have as many alarms as can be.
        2 alarm / Alarm (at: u64) -> (now: u64);
    }
}

/// A right to a clock server.
#[derive(Debug)]
pub struct Clock(SendRight);

impl Clock {
    /// The one that the name server knows.
    ///
    /// # Errors
    /// Those of [`name_server::look_up`].
    pub fn find() -> Result<Clock> {
        name_server::look_up(SERVICE).map(Clock)
    }

    /// The clock that this right is to.
    #[must_use]
    pub fn from_right(right: SendRight) -> Clock {
        Clock(right)
    }

    /// The time of day, in nanoseconds since 1970-01-01 00:00 UTC.
    ///
    /// # Errors
    /// Those of [`protocol::start`].
    pub fn now(&self) -> Result<i64> {
        let start = protocol::start(&MsgRpc, self.0.name())?.results.start;
        start.checked_add_unsigned(trap::clock_get()).ok_or(Error::Failure)
    }

    /// Waits until the machine's clock shows this, in nanoseconds; what it shows then.
    ///
    /// # Errors
    /// Those of [`protocol::alarm`]; `ReceiveReplyLost` when the server has died.
    pub fn wait_until(&self, at: u64) -> Result<u64> {
        Ok(protocol::alarm(&MsgRpc, self.0.name(), at)?.results.now)
    }

    /// Has an alarm come to a port when the machine's clock shows this, in nanoseconds. If it cannot be set, or the
    /// server dies, that comes there as well.
    ///
    /// # Errors
    /// The `Send…` errors.
    pub fn set_alarm(&self, at: u64, to: &ReceiveRight) -> Result<()> {
        let arguments = protocol::arguments::Alarm { at };
        let message = Message::new(protocol::Alarm::ID).value(arguments).reply_to(Right::MakeSendOnce(to));
        Ok(self.0.send(message)?)
    }
}

/// What a message says of an alarm: when it rang, or why it could not be set. `None`: it is something else.
#[must_use]
pub fn alarm_in(message: &Received) -> Option<Result<u64>> {
    Some(reply_in::<protocol::Alarm>(message)?.map(|reply| reply.now))
}
