//! Lesson 2: what a sender can do when the mailbox is full.
//!
//! The lead's mailbox has one place. The client finds it full and tries all five
//! answers: return at once, wait a while, let the kernel cache the message, wait
//! and then cache, wait for ever. What was cached is announced when the receiver
//! has taken it. A message that could not be sent is still the sender's.

use crate::stage::{Outcome, Stage, Wrong, ask, check, say};
use portolan::WhenFull::{Cache, Return, Wait, WaitMs, WaitMsThenCache};
use portolan::{
    Capacity, Error, Message, Notice, ReceiveRight, Right, SendRight, Taken, WhenFull, bootstrap, notification, thread,
};

/// Asks the lead for the mailbox.
const MAILBOX: u32 = 1;
/// Asks the lead to take one message; it answers with the message's id.
const TAKE: u32 = 2;
/// Asks the lead to take one message some time later. There is no answer.
const TAKE_LATER: u32 = 3;

const WAIT_MS: u32 = 30;
const NOTICE_MS: u32 = 1000;

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let mailbox = ReceiveRight::allocate(Capacity::Bounded(1))?;
    stage.enter("client", "")?;
    let mut request = stage.request()?;
    check(request.id() == MAILBOX, "the client begins with something else")?;
    request.answer(Message::new(MAILBOX).right(Right::MakeSend(&mailbox)))?;
    for _ in 0..TAKES {
        let mut request = stage.request()?;
        if request.id() == TAKE_LATER {
            thread::sleep_ms(WAIT_MS);
        }
        let taken = mailbox.receive_within(0)?.id();
        say!("takes message {taken}");
        if request.id() == TAKE {
            request.answer(Message::new(taken))?;
        }
    }
    stage.wait_until_playing(0)?;
    check(mailbox.status()?.messages == 0, "a message is left over")
}

/// How many messages the client gets through in the end.
const TAKES: u32 = 6;

pub(crate) fn role(_client: &str) -> Outcome {
    let mailbox = ask(MAILBOX, "")?;
    say!("message 1 fills the mailbox");
    mailbox.send(Message::new(1))?;
    not_sent(&mailbox, 2, Return, "return at once", Error::SendTimedOut, 0)?;
    not_sent(&mailbox, 2, WaitMs(WAIT_MS), "wait a while", Error::SendTimedOut, WAIT_MS)?;

    cached(&mailbox, 2, Cache, "let the kernel cache it", 0)?;
    not_sent(&mailbox, 3, Cache, "and cache a second one", Error::SendNotifyInProgress, 0)?;
    take(1)?;
    check(notification::port().receive_within(0).is_err(), "the cached message is announced too early")?;
    take(2)?;
    accepted(&mailbox)?;

    say!("message 3 fills the mailbox");
    mailbox.send(Message::new(3))?;
    cached(&mailbox, 4, WaitMsThenCache(WAIT_MS), "wait a while, then cache", WAIT_MS)?;
    take(3)?;
    take(4)?;
    accepted(&mailbox)?;

    say!("message 5 fills the mailbox");
    mailbox.send(Message::new(5))?;
    bootstrap::port()?.send(Message::new(TAKE_LATER))?;
    let (taken, ms) = attempt(&mailbox, 6, Wait, "wait as long as it takes")?;
    check(taken == Ok(Taken::Sent) && ms > 0, "the wait did not end with a place")?;
    say!("    sent, after {ms} ms");
    take(6)
}

/// Tries to send; gives the result and how long it took. What comes back unsent must be the whole message.
fn attempt(mailbox: &SendRight, id: u32, answer: WhenFull, words: &str) -> Outcome<(Result<Taken, Error>, u64)> {
    say!("message {id}: {words}");
    let start = thread::now_ms();
    let result = mailbox.send_or(Message::new(id), answer);
    let ms = thread::now_ms() - start;
    match result {
        Ok(taken) => Ok((Ok(taken), ms)),
        Err(failure) => {
            let kept = failure.message.is_some_and(|message| message.id() == id);
            check(kept, "a message that was not sent is lost")?;
            Ok((Err(failure.error), ms))
        }
    }
}

fn not_sent(mailbox: &SendRight, id: u32, answer: WhenFull, words: &str, why: Error, least_ms: u32) -> Outcome {
    let (result, ms) = attempt(mailbox, id, answer, words)?;
    check(result == Err(why), "the send ended otherwise")?;
    say!("    {}, after {ms} ms; the message is still mine", why.classic_name());
    check(ms >= u64::from(least_ms), "it did not wait long enough")
}

fn cached(mailbox: &SendRight, id: u32, answer: WhenFull, words: &str, least_ms: u32) -> Outcome {
    let (result, ms) = attempt(mailbox, id, answer, words)?;
    check(result == Ok(Taken::Cached), "the message was not cached")?;
    say!("    {}, after {ms} ms", Error::SendWillNotify.classic_name());
    check(ms >= u64::from(least_ms), "it did not wait long enough")
}

/// Lets the lead take one message, which must be this one.
fn take(id: u32) -> Outcome {
    let taken = bootstrap::port()?.rpc(Message::new(TAKE))?.id();
    check(taken == id, "messages are out of order")
}

/// Hears on the notify port that the cached message has been accepted.
fn accepted(mailbox: &SendRight) -> Outcome {
    let notice = notification::port().receive_within(NOTICE_MS)?.notice();
    if notice != Some(Notice::MessageAccepted(mailbox.name())) {
        return Err(Wrong::Result("the notice is about something else"));
    }
    say!("    the notify port says: the cached message has been accepted");
    Ok(())
}
