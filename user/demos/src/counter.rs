//! Lesson 7: a protocol, defined once, and a server and two clients that speak it.
//!
//! The definition gives the clients their calls and the server a trait; neither sees a message. The
//! counter answers at once, refuses what it cannot do, and lets a client wait until the count is
//! reached that the client waits for: it holds the request, and answers it later.

use crate::stage::{Outcome, Stage, ask, check, say};
use alloc::vec::Vec;
use portolan::interface::MsgRpc;
use portolan::server::{self, Call, Held, Unanswered};
use portolan::{Capacity, Error, Message, ReceiveRight, Right, SendRight, argument, bootstrap};
use protocol::{Add, Reach, Server};

mod protocol {
    portolan::interface! {
        base 7000;

        /// Adds to the count, and returns it. `InvalidValue`: it would be too large.
        1 add / Add (amount: u64) -> (count: u64);

        /// Waits until the count has reached `least`, and returns it.
        2 reach / Reach (least: u64) -> (count: u64);
    }
}

#[derive(Default)]
struct Counter {
    count: u64,
    waiting: Vec<(u64, Held<Reach>)>,
}

impl Server for Counter {
    fn add(&mut self, call: &mut Call<'_, Add>, amount: u64) -> server::Outcome<Add> {
        self.count = self.count.checked_add(amount).ok_or(Error::InvalidValue)?;
        say!("counts {} for task {}", self.count, call.sender());
        for (_, client) in self.waiting.extract_if(.., |(least, _)| *least <= self.count) {
            // Whoever has gone needs no answer.
            let _ = client.answer(Ok(self.count));
        }
        Ok(self.count)
    }

    fn reach(&mut self, call: &mut Call<'_, Reach>, least: u64) -> server::Outcome<Reach> {
        if self.count >= least {
            return Ok(self.count);
        }
        say!("lets task {} wait for {least}", call.sender());
        self.waiting.push((least, call.hold()));
        Err(Unanswered::Later)
    }
}

/// The server tells the lead where it can be reached.
const HERE_I_AM: u32 = 1;
/// A client asks the lead for the server.
const SERVER: u32 = 2;

const LAST: u64 = 3;

pub(crate) fn role(role: &str) -> Outcome {
    match (role, argument("which")) {
        ("server", _) => serve(),
        (_, Some("waits")) => wait(&ask(SERVER, "")?),
        _ => count(&ask(SERVER, "")?),
    }
}

fn serve() -> Outcome {
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    bootstrap::port()?.send(Message::new(HERE_I_AM).right(Right::MakeSend(&port)))?;
    Ok(protocol::serve(&port, &mut Counter::default())?)
}

fn wait(server: &SendRight) -> Outcome {
    let count = protocol::reach(&MsgRpc, server.name(), LAST)?.results.count;
    say!("is told that the count is {count}");
    check(count == LAST, "the client is told too early, or too late")
}

fn count(server: &SendRight) -> Outcome {
    for expected in 1..=LAST {
        let count = protocol::add(&MsgRpc, server.name(), 1)?.results.count;
        check(count == expected, "the server cannot count")?;
    }
    let error = protocol::add(&MsgRpc, server.name(), u64::MAX).err();
    check(error == Some(Error::InvalidValue), "the counter wraps")?;
    say!("adding too much: {}", Error::InvalidValue.classic_name());
    Ok(())
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let server = stage.enter_reachable("server", HERE_I_AM)?;
    for client in ["waits", "adds"] {
        stage.enter("client", client)?;
        stage.give(SERVER, &server)?;
    }
    stage.wait_until_playing(1)
}
