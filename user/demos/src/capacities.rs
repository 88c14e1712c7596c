//! Lesson 1: who waits when, by the capacity of the mailbox.
//!
//! Three senders each send four messages to a mailbox of their own. Nobody receives
//! at first. The sender to a mailbox of capacity zero waits with its first message:
//! without a receiver there is no place. A mailbox of capacity two holds two, and
//! the third waits. An unbounded one takes all.

use crate::stage::{Outcome, Stage, Wrong, ask, check, say};
use alloc::format;
use alloc::string::String;
use portolan::abi::port::Status;
use portolan::{Capacity, Message, ReceiveRight, Right, thread};

/// A role asks for a send right to the mailbox it names.
const MAILBOX: u32 = 1;
const MESSAGES: u32 = 4;
/// How often, and after how many ms again, a lead looks whether the senders have come as far as they can.
const LOOKS: u32 = 1000;
const LOOK_AGAIN_MS: u32 = 2;

pub(crate) fn role(_sender: &str) -> Outcome {
    let mailbox = ask(MAILBOX, portolan::argument("which").unwrap_or_default())?;
    for number in 1..=MESSAGES {
        say!("sends {number}");
        mailbox.send(Message::new(number))?;
        say!("{number} is sent");
    }
    Ok(())
}

/// A mailbox, and what it can hold while nobody receives.
struct Mailbox {
    name: &'static str,
    port: ReceiveRight,
    room: u32,
}

impl Mailbox {
    fn new(name: &'static str, capacity: Capacity, room: u32) -> Outcome<Mailbox> {
        Ok(Mailbox { name, port: ReceiveRight::allocate(capacity)?, room })
    }

    /// Waits until the sender, of whose messages `left` have not been received, has come
    /// as far as it can: the mailbox is as full as it gets, and the sender waits if that is
    /// not enough. Says how that looks.
    fn settle(&self, left: u32) -> Outcome<String> {
        let (held, waiting) = (left.min(self.room), u32::from(left > self.room));
        for _ in 0..LOOKS {
            let Status { messages, senders, .. } = self.port.status()?;
            if (messages, senders) == (held, waiting) {
                let sender = if waiting == 1 { "sender waits" } else { "nobody waits" };
                return Ok(format!("{}: {held} held, {sender}", self.name));
            }
            thread::sleep_ms(LOOK_AGAIN_MS);
        }
        Err(Wrong::Result("a mailbox does not hold what its capacity says"))
    }

    fn take(&self, number: u32) -> Outcome {
        let message = self.port.receive_within(0)?;
        check(message.id() == number, "messages are out of order")
    }
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let mailboxes = [
        Mailbox::new("zero", Capacity::Zero, 0)?,
        Mailbox::new("bounded", Capacity::Bounded(2), 2)?,
        Mailbox::new("unbounded", Capacity::Unbounded, MESSAGES)?,
    ];
    for mailbox in &mailboxes {
        stage.enter("sender", mailbox.name)?;
        let mut request = stage.request()?;
        check(request.id() == MAILBOX && request.text()? == mailbox.name, "a sender asks for another mailbox")?;
        request.answer(Message::new(MAILBOX).right(Right::MakeSend(&mailbox.port)))?;
    }
    show(&mailboxes, MESSAGES)?;
    for number in 1..=MESSAGES {
        say!("takes message {number} from each");
        mailboxes.iter().try_for_each(|mailbox| mailbox.take(number))?;
        show(&mailboxes, MESSAGES - number)?;
    }
    stage.wait_until_playing(0)
}

/// Prints side by side how many messages each mailbox holds and who waits, of each sender's messages `left`.
fn show(mailboxes: &[Mailbox; 3], left: u32) -> Outcome {
    let [zero, bounded, unbounded] = mailboxes;
    let (zero, bounded, unbounded) = (zero.settle(left)?, bounded.settle(left)?, unbounded.settle(left)?);
    say!("{zero:<26} | {bounded:<29} | {unbounded}");
    Ok(())
}
