//! Lesson 10: a deadlock that does not happen.
//!
//! Three philosophers sit at a table. Each keeps one fork and needs its neighbour's, too, and
//! so asks for it and waits, with its own in the hand. The wait that would close the ring is
//! refused, and the philosopher that is told so can see who would have waited for whom. It
//! gives its own fork away, and everybody eats.

use crate::stage::{Outcome, Stage, Wrong, check, say};
use alloc::vec::Vec;
use portolan::abi::thread::{RefusedWait, Wanted};
use portolan::{Capacity, Error, Message, ReceiveRight, Right, SendRight, Task, argument, bootstrap, thread};

/// A philosopher tells the lead its task's number and where its fork can be asked for, and is
/// given its neighbour's port.
const SIT_DOWN: u32 = 1;
/// A philosopher asks its neighbour for the fork, and has it with the answer.
const GIVE: u32 = 2;
/// A philosopher tells the lead why its wait was refused.
const REFUSED: u32 = 3;

const SEATS: [&str; 3] = ["1", "2", "3"];
/// How long the last one to ask leaves the others to begin their waits, in ms.
const LAST_MS: u32 = 30;

pub(crate) fn role(_: &str) -> Outcome {
    let fork = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let neighbour = sit_down(&fork)?;
    // The lead lets the last one ask last.
    if argument("which") == SEATS.last().copied() {
        thread::sleep_ms(LAST_MS);
    }
    say!("holds its fork, and waits for the other");
    match neighbour.rpc(Message::new(GIVE)).map_err(|failure| failure.error) {
        Ok(_) => eat_and_give(&fork),
        Err(Error::ReceiveWouldDeadlock) => {
            say!("    {}", Error::ReceiveWouldDeadlock.classic_name());
            tell(&thread::this()?.refusal()?)?;
            give(&fork)?;
            say!("asks again");
            neighbour.rpc(Message::new(GIVE)).map(drop)?;
            say!("eats");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn sit_down(fork: &ReceiveRight) -> Outcome<SendRight> {
    let hello = Message::new(SIT_DOWN).value(Task::this().info()?.id).right(Right::MakeSend(fork));
    Ok(bootstrap::port()?.rpc(hello)?.take_send(0)?)
}

fn eat_and_give(fork: &ReceiveRight) -> Outcome {
    say!("eats");
    give(fork)
}

/// Gives the fork to the first that asks and still waits for it.
fn give(fork: &ReceiveRight) -> Outcome {
    say!("gives its fork away");
    while fork.receive()?.answer(Message::new(GIVE)).is_err() {}
    Ok(())
}

fn tell(chain: &[RefusedWait]) -> Outcome {
    let chain =
        <[RefusedWait; SEATS.len()]>::try_from(chain).map_err(|_| Wrong::Result("the chain is not the ring"))?;
    bootstrap::port()?.rpc(Message::new(REFUSED).value(chain)).map(drop)?;
    Ok(())
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let mut seated = Vec::new();
    for seat in SEATS {
        stage.enter("philosopher", seat)?;
        let mut hello = stage.request()?;
        check(hello.id() == SIT_DOWN, "a philosopher begins with something else")?;
        seated.push((hello.value::<u64>()?, hello.take_send(0)?, hello));
    }
    let tasks: Vec<u64> = seated.iter().map(|(task, ..)| *task).collect();
    let forks: Vec<SendRight> = seated.iter().map(|(_, fork, _)| fork.try_clone()).collect::<portolan::Result<_>>()?;
    for (seat, (_, _, mut hello)) in seated.into_iter().enumerate() {
        hello.answer(Message::new(SIT_DOWN).right(&forks[(seat + 1) % forks.len()]))?;
    }
    drop(forks);
    let mut refused = stage.request()?;
    check(refused.id() == REFUSED, "nobody is told that the ring would close")?;
    show(&refused.value()?, &tasks)?;
    refused.answer(Message::new(REFUSED))?;
    stage.wait_until_playing(0)
}

/// Prints who would have waited for whom.
fn show(chain: &[RefusedWait; SEATS.len()], tasks: &[u64]) -> Outcome {
    let seat = |wait: &RefusedWait| tasks.iter().position(|task| *task == wait.task).map(|place| SEATS[place]);
    let seats: Vec<&str> = chain.iter().filter_map(seat).collect();
    check(seats == ["3", "1", "2"], "the chain names others than those at the table")?;
    check(chain.iter().all(|wait| wait.wanted == Wanted::Message as u32), "somebody waits for something else")?;
    say!("the chain: {} would wait for {}, who waits for {}, who waits for {}", seats[0], seats[1], seats[2], seats[0]);
    Ok(())
}
