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
use core::ops::ControlFlow;
use portolan::clock::protocol::{self, Alarm, GetStart};
use portolan::clock::{ALARMS_EACH, ALARMS_MAX, SERVICE};
use portolan::server::{Call, Held, Outcome, Unanswered, refuse};
use portolan::timed::{self, Timed};
use portolan::trap::clock_get;
use portolan::{Answer, Error, Notice, PortSet, Received, Result, Right, bootstrap, notification};

portolan::main!(main);

fn main() -> Result<()> {
    let asked = bootstrap::check_in(SERVICE)?;
    let start = bootstrap::rtc().and_then(device::time_at_start);
    let all = PortSet::allocate()?;
    all.add(&asked)?;
    all.add(notification::port())?;
    timed::serve(&mut Clock { all, start, alarms: BTreeMap::new(), set: 0 })
}

struct Clock {
    /// Where requests come, and word of clients that have gone.
    all: PortSet,
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

impl Timed for Clock {
    fn ports(&self) -> &PortSet {
        &self.all
    }

    /// Sends the alarms whose time has come.
    fn elapse(&mut self, now: u64) -> Option<u64> {
        while let Some(first) = self.alarms.first_entry()
            && first.key().0 <= now
        {
            // Whoever has gone needs no answer.
            let _ = first.remove().request.answer(Ok(now));
        }
        self.alarms.first_key_value().map(|((at, _), _)| *at)
    }

    fn hear(&mut self, mut message: Received) -> ControlFlow<()> {
        match protocol::dispatch(self, &mut message) {
            // Whoever has gone needs no answer.
            Answer::Reply(answer) => drop(message.answer(answer)),
            Answer::Nothing => {}
            Answer::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }
}
