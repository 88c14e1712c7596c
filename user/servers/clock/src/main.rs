//! The clock server: tells the time of day, and sends alarms (`portolan::clock`).
//!
//! ```text
//! main     the requests, and who waits for an alarm
//! device   the machine's real-time clock
//! ```
//!
//! The time of day is read once, when the server starts; from then on it is the machine's clock that
//! counts, which everyone can read. An alarm is a request that is answered when its time has come.
//! Invariant: an alarm that is kept is still to come, and whoever set it waits for it.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod device;

use alloc::collections::BTreeMap;
use portolan::clock::protocol::{self, Alarm, GetStart};
use portolan::clock::{ALARMS_EACH, ALARMS_MAX, SERVICE};
use portolan::server::{Call, Held, Outcome, Unanswered, refuse};
use portolan::trap::clock_get;
use portolan::{Answer, Error, Notice, PortSet, Received, Result, Right, bootstrap, notification};

portolan::main!(main);

const MILLISECOND: u64 = 1_000_000;

fn main() -> Result<()> {
    let asked = bootstrap::check_in(SERVICE)?;
    let start = bootstrap::rtc().and_then(device::time_at_start);
    let mut clock = Clock { start, alarms: BTreeMap::new(), set: 0 };
    let all = PortSet::allocate()?;
    all.add(&asked)?;
    all.add(notification::port())?;
    loop {
        clock.ring(clock_get());
        let received = match clock.alarms.first_key_value() {
            Some(((at, _), _)) => all.receive_within(ms_until(*at)),
            None => all.receive(),
        };
        let mut message = match received {
            Ok(message) => message,
            Err(Error::ReceiveTimedOut) => continue,
            Err(error) => return Err(error),
        };
        if let Answer::Reply(answer) = protocol::dispatch(&mut clock, &mut message) {
            // Whoever has gone needs no answer.
            let _ = message.answer(answer);
        }
    }
}

/// Whole ms until the machine's clock shows this, not too few.
fn ms_until(at: u64) -> u32 {
    u32::try_from(at.saturating_sub(clock_get()).div_ceil(MILLISECOND)).unwrap_or(u32::MAX)
}

struct Clock {
    /// The time of day when the machine's clock began, or why there is none.
    start: Result<i64>,
    /// By their time, and among equals in the order of asking.
    alarms: BTreeMap<(u64, u64), Waiting>,
    /// How many alarms have been set.
    set: u64,
}

struct Waiting {
    task: u64,
    request: Held<Alarm>,
}

impl protocol::Server for Clock {
    fn start(&mut self, _: &mut Call<'_, GetStart>) -> Outcome<GetStart> {
        Ok(self.start?)
    }

    fn alarm(&mut self, call: &mut Call<'_, Alarm>, at: u64) -> Outcome<Alarm> {
        let (now, task) = (clock_get(), call.sender());
        if at <= now {
            return Ok(now);
        }
        let of_this_task = self.alarms.values().filter(|waiting| waiting.task == task).count();
        if of_this_task == ALARMS_EACH || self.alarms.len() == ALARMS_MAX {
            return Err(Error::NoSpace.into());
        }
        let request = call.hold();
        // Without word of its end, a client that has gone would be kept until its time.
        if let Err(error) = request.request_dead_name(Right::Null) {
            let _ = request.answer(Err(error));
            return Err(Unanswered::Later);
        }
        self.set += 1;
        self.alarms.insert((at, self.set), Waiting { task, request });
        Err(Unanswered::Later)
    }

    fn other(&mut self, message: &mut Received) -> Answer<'static> {
        match message.notice() {
            Some(Notice::DeadName(dead)) => self.alarms.retain(|_, waiting| !waiting.request.answers_through(dead)),
            // What was asked for is no longer there.
            Some(_) => {}
            None => return refuse(message, Error::BadId),
        }
        Answer::Nothing
    }
}

impl Clock {
    /// Sends the alarms whose time has come.
    fn ring(&mut self, now: u64) {
        while let Some(first) = self.alarms.first_entry()
            && first.key().0 <= now
        {
            // Whoever has gone needs no answer.
            let _ = first.remove().request.answer(Ok(now));
        }
    }
}
