//! Lesson 13: a server is killed, and comes back.
//!
//! The bootstrap server has started the servers of `servers.conf`, and keeps the port of each. A client
//! waits for an alarm of the clock server when the lead kills that. The client is told at once that
//! its answer is lost, asks again through the very same right, and the server that has been started in
//! the place of the dead one answers.

use crate::stage::{Outcome, Stage, Wrong, check, say};
use portolan::abi::thread::State;
use portolan::clock::{Clock, SERVICE};
use portolan::servers::{ServerInfo, Servers};
use portolan::{Error, Message, Task, bootstrap, thread, trap};

/// The client tells the lead its task, and asks for an alarm then.
const I_ASK: u32 = 1;

const MS: u64 = 1_000_000;
/// An alarm for which nobody will have to wait.
const FAR_MS: u64 = 60_000;
const NEAR_MS: u64 = 20;

pub(crate) fn role(_: &str) -> Outcome {
    let clock = Clock::find()?;
    say!("asks the clock server for an alarm in a minute");
    bootstrap::port()?.send(Message::new(I_ASK).right(Task::this().right()))?;
    let lost = clock.wait_until(trap::clock_get() + FAR_MS * MS);
    check(lost == Err(Error::ReceiveReplyLost), "the client is not told that its alarm is lost")?;
    say!("    {}, at once", Error::ReceiveReplyLost.classic_name());

    say!("asks again, through the same right");
    let at = trap::clock_get() + NEAR_MS * MS;
    check(clock.wait_until(at)? >= at, "the alarm comes too early")?;
    say!("has its alarm");
    Ok(())
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let servers = Servers::from_right(bootstrap::control()?);
    let first = running(&servers)?;
    say!("the clock server is task {}", first.task);
    // When it answers it is up and waits for requests.
    let clock = Clock::find()?;
    clock.now()?;

    stage.enter("client", "")?;
    let mut hello = stage.request()?;
    check(hello.id() == I_ASK, "the client begins with something else")?;
    until_waiting(&Task::from_right(hello.take_send(0)?))?;
    // This is answered after the client's request has been taken.
    clock.now()?;
    say!("kills it, with the request in its hand");
    servers.kill(SERVICE)?;

    stage.wait_until_playing(0)?;
    let next = running(&servers)?;
    check(next.task != first.task, "the server has not died")?;
    check(next.restarts == first.restarts + 1, "the bootstrap server has not started it again")?;
    say!("the clock server is task {} now", next.task);
    Ok(())
}

fn running(servers: &Servers) -> Outcome<ServerInfo> {
    let info = servers.info(SERVICE).map_err(|_| Wrong::Result("there is no clock server: `servers=` names none"))?;
    check(info.task != 0, "the clock server does not run")?;
    Ok(info)
}

/// Waits until the task's only thread waits for a message.
fn until_waiting(task: &Task) -> Outcome {
    let threads = task.threads()?;
    let [only] = &threads[..] else { return Err(Wrong::Result("the client has not one thread")) };
    while only.info()?.state != State::Receiving as u32 {
        thread::yield_now();
    }
    Ok(())
}
