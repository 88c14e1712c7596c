//! The small case: who is there, what each can do next, and what must be true.

use super::snapshot;
use crate::harness::{Mailbox, Message, Pending, Received, Task, Thread, WhenFull};
use portolan_abi::{Capacity, Disposition, Error, Name, Result, RightKind};

/// One step of one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// The first sender sends a message.
    FirstSends,
    /// The second one sends one, with the receive right of a port of its own.
    SecondSends,
    /// The receiver receives: first for as long as it takes, then for 10 ms, and so on.
    Receives,
    /// Another thread of the receiver destroys the port.
    Destroys,
    /// The port gets two places more.
    Widens,
    /// 10 ms pass: all timeouts are over.
    Waits,
}

const STEPS: [Step; 6] =
    [Step::FirstSends, Step::SecondSends, Step::Receives, Step::Destroys, Step::Widens, Step::Waits];
const RECEIVES: usize = 2;
/// The message of the second sender; those of the first have the numbers from 1 on.
const WITH_RIGHT: u32 = 100;

/// Nothing, or what is wrong.
type Judgement = std::result::Result<(), String>;

pub struct Scene {
    mailbox: Mailbox,
    second: Task,
    /// The port, as the second sender names it.
    to: Name,
    /// The port whose receive right is sent, as its owner names it, and the first sender.
    inner: (Name, Name),
    destroyer: Thread,
    when_full: WhenFull,
    capacity: Capacity,
    messages: u32,
    /// Every send so far, in order.
    sends: Vec<(u32, Pending<Result<()>>)>,
    receives: Vec<Pending<Result<Received>>>,
    taken: Vec<Step>,
}

impl Scene {
    pub fn new(capacity: Capacity, when_full: WhenFull, messages: u32) -> Scene {
        let mailbox = Mailbox::new(capacity);
        let second = mailbox.system.task("second");
        let to = mailbox.receiver.give_send(&second, mailbox.port);
        let port = second.port(Capacity::Bounded(1));
        let inner = (port, second.give_send(&mailbox.sender, port));
        let destroyer = mailbox.receiver.thread();
        let (sends, receives, taken) = Default::default();
        Scene { mailbox, second, to, inner, destroyer, when_full, capacity, messages, sends, receives, taken }
    }

    /// What can be done next.
    pub fn possible(&self) -> Vec<Step> {
        STEPS.into_iter().filter(|step| self.can(*step)).collect()
    }

    fn can(&self, step: Step) -> bool {
        let done = self.taken.iter().filter(|taken| **taken == step).count();
        match step {
            Step::FirstSends => done < self.messages as usize && self.mailbox.sender.is_free(),
            Step::SecondSends => done < 1 && self.second.is_free(),
            Step::Receives => done < RECEIVES && self.mailbox.receiver.is_free(),
            Step::Destroys | Step::Widens => done < 1,
            Step::Waits => !(self.mailbox.sender.is_free() && self.second.is_free() && self.mailbox.receiver.is_free()),
        }
    }

    /// Goes a way; only its last step is new, and worth a check after each trap.
    pub fn go(&mut self, way: &[Step]) {
        self.mailbox.system.check_steps(false);
        for (number, step) in way.iter().enumerate() {
            self.mailbox.system.check_steps(number + 1 == way.len());
            self.perform(*step);
        }
        self.mailbox.system.check_steps(false);
    }

    fn perform(&mut self, step: Step) {
        let Mailbox { system, receiver, sender, port, to } = &self.mailbox;
        self.taken.push(step);
        match step {
            Step::FirstSends => {
                let id = self.sends.iter().filter(|(id, _)| *id != WITH_RIGHT).count() as u32 + 1;
                let message = Message::to(*to).id(id);
                self.sends.push((id, sender.send(message, self.when_full)));
            }
            Step::SecondSends => {
                let message = Message::to(self.to).id(WITH_RIGHT).right(self.inner.0, Disposition::MoveReceive);
                self.sends.push((WITH_RIGHT, self.second.send(message, self.when_full)));
            }
            Step::Receives if self.receives.len().is_multiple_of(2) => self.receives.push(receiver.receive(*port)),
            Step::Receives => self.receives.push(receiver.receive_within(*port, 10)),
            Step::Destroys => self.destroyer.port_deallocate(*port).expect("the end of the port"),
            Step::Widens => {
                let wider = match self.capacity {
                    Capacity::Bounded(places) => Capacity::Bounded(places + 2),
                    _ => Capacity::Bounded(2),
                };
                // There may be no port any more.
                let set = receiver.port_set_backlog(*port, wider);
                assert_eq!(set.is_ok(), self.lives(), "port_set_backlog: {set:?}");
            }
            Step::Waits => system.advance_ms(10),
        }
    }

    pub fn snapshot(&self) -> String {
        let results: Vec<_> = self.sends.iter().map(|(id, send)| (*id, send.result())).collect();
        let taken: Vec<usize> = STEPS
            .iter()
            .map(|step| self.taken.iter().filter(|taken| *taken == step && **taken != Step::Waits).count())
            .collect();
        let received: Vec<_> =
            self.receives.iter().map(|receive| receive.result().map(|end| end.map(|message| message.header))).collect();
        format!("{taken:?} {results:?} {received:?}\n{}", self.mailbox.system.inspect(snapshot::take))
    }

    fn lives(&self) -> bool {
        !self.taken.contains(&Step::Destroys)
    }

    /// Whether what is promised is so.
    ///
    /// # Errors
    /// What is not.
    pub fn judge(&self) -> Judgement {
        let messages: Vec<Received> = self.receives.iter().filter_map(|end| end.result()?.ok()).collect();
        let arrived: Vec<u32> = messages.iter().map(|message| message.header.id).collect();
        self.judge_messages(&arrived)?;
        self.judge_order(&arrived)?;
        self.judge_waiting(arrived.len())?;
        self.judge_right(&messages)
    }

    /// Messages whose sending succeeded, or that the kernel cached.
    fn accepted(&self) -> impl Iterator<Item = u32> {
        self.sends
            .iter()
            .filter(|(_, send)| matches!(send.result(), Some(Ok(()) | Err(Error::SendWillNotify))))
            .map(|(id, _)| *id)
    }

    /// Each is received once, if it was accepted, and not at all otherwise.
    fn judge_messages(&self, arrived: &[u32]) -> Judgement {
        for (place, id) in arrived.iter().enumerate() {
            ensure(!arrived[..place].contains(id), || format!("message {id} was received twice"))?;
            ensure(self.accepted().any(|accepted| accepted == *id), || format!("message {id} was not accepted"))?;
        }
        if self.lives() {
            let queued = self.mailbox.messages() as usize;
            let expected = self.accepted().count() - arrived.len();
            ensure(queued == expected, || format!("{queued} messages are queued, and not {expected}"))?;
        }
        Ok(())
    }

    /// Those that were not cached come in the order in which they were sent.
    fn judge_order(&self, arrived: &[u32]) -> Judgement {
        let plain = |id: &u32| self.sends.iter().any(|(sent, send)| sent == id && send.result() == Some(Ok(())));
        let arrived: Vec<u32> = arrived.iter().copied().filter(plain).collect();
        let sent: Vec<u32> = self.sends.iter().map(|(id, _)| *id).filter(plain).collect();
        ensure(sent.starts_with(&arrived), || format!("sent in the order {sent:?}, received as {arrived:?}"))
    }

    /// Nobody waits who could go on.
    fn judge_waiting(&self, arrived: usize) -> Judgement {
        let senders = self.sends.iter().filter(|(_, send)| send.waits()).count();
        let receivers = self.receives.iter().filter(|receive| receive.waits()).count();
        if !self.lives() {
            return ensure(senders + receivers == 0, || "somebody waits at a dead port".into());
        }
        let status = self.mailbox.receiver.status(self.mailbox.port);
        ensure(status.senders as usize == senders && status.receivers as usize == receivers, || {
            format!("{senders} senders and {receivers} receivers wait, but the port says {status:?}")
        })?;
        ensure(status.sequence as usize == arrived, || "the sequence is not that of the messages".into())?;
        ensure(receivers == 0 || (status.messages == 0 && senders == 0), || {
            "a receiver waits for what is there".into()
        })?;
        ensure(senders == 0 || status.messages >= status.capacity, || "a sender waits, and there is room".into())
    }

    /// The receive right is in one place, and dead only if its message died.
    fn judge_right(&self, messages: &[Received]) -> Judgement {
        let (owners, others) = self.inner;
        let seen = self.mailbox.sender.port_type(others).expect("a name");
        let arrived = messages.iter().find(|message| message.header.id == WITH_RIGHT);
        let accepted = self.accepted().any(|id| id == WITH_RIGHT);
        let dead = accepted && arrived.is_none() && !self.lives();
        ensure((seen.dead, seen.send) == if dead { (1, 0) } else { (0, 1) }, || format!("dead: {dead}, but {seen:?}"))?;
        let waits = self.sends.iter().any(|(id, send)| *id == WITH_RIGHT && send.waits());
        let kept = self.second.port_type(owners);
        let expected = if accepted || waits { Err(Error::InvalidName) } else { Ok(1) };
        ensure(kept.map(|kind| kind.receive) == expected, || format!("its sender has {kept:?}"))?;
        let Some(message) = arrived else { return Ok(()) };
        let (name, kind) = message.right(0);
        let there = self.mailbox.receiver.port_type(name).map(|kind| kind.receive);
        ensure(kind == Some(RightKind::Receive) && there == Ok(1), || format!("the receive right arrived as {there:?}"))
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Judgement {
    if holds { Ok(()) } else { Err(otherwise()) }
}
