//! The scene of most tests: one task receives from a port, another one sends to it.

use super::{Message, Pending, Received, System, Task, WhenFull};
use portolan_abi::{Capacity, Name, Result};

/// A receiver with a port, a sender with one send right to it.
pub struct Mailbox {
    pub system: System,
    pub receiver: Task,
    pub sender: Task,
    /// The port, as the receiver names it.
    pub port: Name,
    /// The port, as the sender names it.
    pub to: Name,
}

impl Mailbox {
    /// A new system with an empty mailbox.
    pub fn new(capacity: Capacity) -> Mailbox {
        let system = System::boot();
        let receiver = system.task("receiver");
        let sender = system.task("sender");
        let port = receiver.port(capacity);
        let to = receiver.give_send(&sender, port);
        Mailbox { system, receiver, sender, port, to }
    }

    /// A mailbox that is full: with one message, or none if its capacity is zero.
    pub fn full(capacity: Capacity) -> Mailbox {
        let mailbox = Mailbox::new(capacity);
        let places = if let Capacity::Bounded(places) = capacity { places } else { 0 };
        for _ in 0..places {
            mailbox.send("filling", WhenFull::Return).done().expect("a free place");
        }
        mailbox
    }

    /// The sender sends a text.
    pub fn send(&self, text: &str, when_full: WhenFull) -> Pending<Result<()>> {
        self.sender.send(Message::to(self.to).text(text), when_full)
    }

    /// The receiver receives, waiting for ever.
    pub fn receive(&self) -> Pending<Result<Received>> {
        self.receiver.receive(self.port)
    }

    /// What the receiver gets without waiting: a text, or the error.
    pub fn take(&self) -> Result<String> {
        self.receiver.receive_now(self.port).done().map(|message| message.text().to_owned())
    }

    /// All texts that are there.
    pub fn take_all(&self) -> Vec<String> {
        std::iter::from_fn(|| self.take().ok()).collect()
    }

    /// Messages in the queue.
    pub fn messages(&self) -> u32 {
        self.receiver.status(self.port).messages
    }
}
