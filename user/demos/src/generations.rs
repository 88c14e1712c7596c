//! Lesson 8: a full mailbox in every generation of Mach, and who ends up with the message.
//!
//! The same three sends go to a full mailbox, each with a receive right in it: give up at
//! once, leave it with the kernel, and leave a second one. Mach 2.5 destroys what it does not
//! send; Mach 3 gives it back; XNU keeps nothing for anybody, and tells when there is room.
//! Only the name that is sent through is changed; the mailbox is the same for all.

use crate::stage::{Outcome, Stage, check, say};
use portolan::WhenFull::{Return, WaitMsThenCache};
use portolan::{
    Capacity, Error, Generation, Message, Notice, ReceiveRight, Right, SendRight, WhenFull, notification, trap,
};

/// Who has a message after the send, by the right that was in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Sender,
    Kernel,
    Nobody,
}

type Ending = (Error, Owner);

const OUT_OF_TIME: Ending = (Error::SendTimedOut, Owner::Sender);
const CACHED: Ending = (Error::SendWillNotify, Owner::Kernel);
const IN_PROGRESS: Error = Error::SendNotifyInProgress;

pub(crate) fn lead(_stage: Stage) -> Outcome {
    Generation::ALL.into_iter().try_for_each(show)
}

/// All is played by the lead.
pub(crate) fn role(_none: &str) -> Outcome {
    Ok(())
}

fn show(generation: Generation) -> Outcome {
    let mailbox = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let to = mailbox.make_send()?;
    to.send(Message::new(0))?;
    to.set_generation(generation)?;
    let (heading, expected) = lesson(generation);
    say!("{heading}");
    for ((words, when_full), expected) in SENDS.into_iter().zip(expected) {
        let ending = send(&mailbox, &to, when_full)?;
        say!("    {words:<27} {:<24} has it: {:?}", ending.0.classic_name(), ending.1);
        check(ending == expected, "a send ended otherwise than in that generation")?;
    }
    while mailbox.receive_within(0).is_ok() {}
    let told = notification::port().receive_within(0)?.notice();
    let (words, expected) = match generation {
        Generation::Xnu => ("there is room", Notice::SendPossible(to.name())),
        _ => ("the kernel's message has been accepted", Notice::MessageAccepted(to.name())),
    };
    say!("    when it is empty, the notify port says: {words}");
    check(told == Some(expected), "the notice is about something else")
}

const SENDS: [(&str, WhenFull); 3] = [
    ("give up at once", Return),
    ("leave it with the kernel", WaitMsThenCache(0)),
    ("leave it there, once more", WaitMsThenCache(0)),
];

fn lesson(generation: Generation) -> (&'static str, [Ending; 3]) {
    match generation {
        Generation::Portolan => {
            ("Portolan: what is not sent is given back", [OUT_OF_TIME, CACHED, (IN_PROGRESS, Owner::Sender)])
        }
        Generation::Mach25 => {
            let lost = (Error::SendTimedOut, Owner::Nobody);
            ("Mach 2.5: what is not sent is destroyed", [lost, CACHED, (IN_PROGRESS, Owner::Nobody)])
        }
        Generation::Mach3 => {
            ("Mach 3: given back, as a message is received", [OUT_OF_TIME, CACHED, (IN_PROGRESS, Owner::Sender)])
        }
        Generation::Xnu => ("XNU: nothing is kept, but room is told", [OUT_OF_TIME; 3]),
    }
}

/// Sends a message with a right in it to a mailbox that is full.
fn send(mailbox: &ReceiveRight, to: &SendRight, when_full: WhenFull) -> Outcome<Ending> {
    let gift = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let name = gift.name();
    let before = mailbox.status()?.messages;
    let sent = to.send_or(Message::new(1).right(Right::Receive(gift)), when_full);
    let kept = mailbox.status()?.messages > before;
    let ours = portolan::classic::port_type(trap::task_self(), name).is_ok();
    let owner = match (kept, ours) {
        (true, _) => Owner::Kernel,
        (false, true) => Owner::Sender,
        (false, false) => Owner::Nobody,
    };
    let error = match sent {
        Ok(_) => Error::SendWillNotify,
        Err(failure) => failure.error,
    };
    Ok((error, owner))
}
