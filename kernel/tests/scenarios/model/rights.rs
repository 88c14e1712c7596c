//! Rights in the model: from names into messages, back, and under names again.
//!
//! Neighbours: `state` holds them, `messages` carries them, `death` ends them.

use super::state::{Arrived, Asked, Carried, Entry, Key, Mail, Model, Reply, Right, TaskKey, Wait, Waiter, What};
use portolan_abi::port::UREFS_MAX;
use portolan_abi::{Disposition, Error, RightKind};

/// The name does not stand for a right that this can be done to.
#[derive(Debug)]
pub struct Refused;

impl Model {
    /// Takes a right out of a name, as the disposition says.
    pub fn take(
        &mut self,
        task: TaskKey,
        name: Asked,
        how: Disposition,
        waiter: Option<Waiter>,
    ) -> Result<Carried, Refused> {
        let (key, mut what) = self.lookup(task, name).ok_or(Refused)?;
        let mut lent = 0;
        let right = match (&mut what, how) {
            (What::Port { port, receive: true, .. }, Disposition::MakeSendOnce) => Right::SendOnce(*port, waiter),
            (What::Port { port, receive: true, .. }, Disposition::MakeSend) => {
                self.port(*port).made += 1;
                Right::Send(*port)
            }
            (What::Port { port, receive: receive @ true, .. }, Disposition::MoveReceive) => {
                (*receive, lent) = (false, 1);
                Right::Receive(*port)
            }
            (What::Port { port, sends: 1.., .. }, Disposition::CopySend) => Right::Send(*port),
            (What::Port { port, sends: sends @ 1.., .. }, Disposition::MoveSend) => {
                (*sends, lent) = (*sends - 1, 1);
                Right::Send(*port)
            }
            (What::SendOnce { port, waiter }, Disposition::MoveSendOnce) => {
                lent = 1;
                Right::SendOnce(*port, *waiter)
            }
            (What::Dead(_), Disposition::CopySend) => Right::Dead(RightKind::Send),
            (What::Dead(references), Disposition::MoveSend | Disposition::MoveSendOnce) => {
                (*references, lent) = (*references - 1, 1);
                Right::Dead(how.arrives_as())
            }
            _ => return Err(Refused),
        };
        let entry = self.task(task).names.get_mut(&key).expect("it was looked up");
        entry.what = what;
        entry.lent += lent;
        Ok(Carried { right, taken: Some((key, how)) })
    }

    /// The message was not sent: its sender has everything again, receive rights first.
    pub fn give_back(&mut self, task: TaskKey, mail: &Mail) {
        let is_receive = |carried: &&Carried| matches!(carried.right, Right::Receive(_));
        for carried in mail.all_rights().filter(is_receive) {
            self.give_back_right(task, *carried);
        }
        for carried in std::iter::once(&mail.to).chain(mail.all_rights()).filter(|carried| !is_receive(carried)) {
            self.give_back_right(task, *carried);
        }
    }

    pub fn give_back_right(&mut self, task: TaskKey, carried: Carried) {
        let Some((key, how)) = carried.taken else { return };
        if let (Disposition::MakeSend, Right::Send(port)) = (how, carried.right)
            && self.tasks[&task].names.get(&key).is_some_and(|entry| is_receiver(entry, port))
        {
            self.port(port).made -= 1;
        }
        if !moves(how) {
            return;
        }
        let Some(entry) = self.task(task).names.get_mut(&key) else { return };
        entry.lent -= 1;
        let mut owed = false;
        entry.what = match entry.what {
            What::Port { port, sends, .. } if how == Disposition::MoveReceive => {
                What::Port { port, receive: true, sends }
            }
            What::Port { port, receive, sends } => What::Port { port, receive, sends: (sends + 1).min(UREFS_MAX) },
            What::Dead(references) if how == Disposition::MoveReceive => What::Dead(references),
            What::Dead(references) => {
                // It lived when it was taken, and no reference was there to be told of the death.
                owed = references == 0 && matches!(carried.right, Right::Send(_));
                What::Dead((references + 1).min(UREFS_MAX))
            }
            What::SendOnce { port, waiter } => What::SendOnce { port, waiter },
        };
        if let What::SendOnce { port, .. } = entry.what
            && !self.lives(port)
        {
            self.task(task).names.get_mut(&key).expect("it is there").what = What::Dead(1);
        }
        if owed {
            self.tell_dead_name(task, key);
        }
    }

    /// The message has gone: what it took is lost to its sender, and what it went
    /// through is used up.
    pub fn let_go(&mut self, task: TaskKey, mail: &Mail) {
        for carried in std::iter::once(&mail.to).chain(mail.all_rights()) {
            let Some((key, how)) = carried.taken else { continue };
            if let (Disposition::MoveReceive, Right::Receive(port)) = (how, carried.right) {
                for thread in std::mem::take(&mut self.port(port).receivers) {
                    self.finish(thread, Err(Error::ReceivePortDied));
                }
            }
            if moves(how) {
                self.task(task).names.get_mut(&key).expect("lent names stay").lent -= 1;
                if how == Disposition::MoveSendOnce && matches!(carried.right, Right::SendOnce(..)) {
                    self.task(task).names.remove(&key);
                }
                self.clean(task, key);
            }
        }
    }

    /// Forgets a name of which nothing is left.
    pub fn clean(&mut self, task: TaskKey, key: Key) {
        let task = self.task(task);
        if task.names.get(&key).is_some_and(Entry::is_spent) {
            task.names.remove(&key);
            task.untold.retain(|untold| *untold != key);
        }
    }

    /// A right arrives in a task: under the known name for a known port.
    pub fn insert(&mut self, task: TaskKey, right: Right) -> Arrived {
        let port = match right {
            Right::Null => return Arrived::Null,
            Right::Dead(_) => return Arrived::Dead,
            Right::Receive(port) | Right::Send(port) | Right::SendOnce(port, _) => port,
        };
        if !self.lives(port) {
            return Arrived::Dead;
        }
        if let Right::SendOnce(port, waiter) = right {
            return Arrived::Named(self.new_name(task, What::SendOnce { port, waiter }));
        }
        let names = &self.tasks[&task].names;
        let known =
            names.iter().find(|(_, entry)| matches!(entry.what, What::Port { port: named, .. } if named == port));
        let known = known.map(|(key, _)| *key);
        let key = known.unwrap_or_else(|| self.new_name(task, What::Port { port, receive: false, sends: 0 }));
        let entry = self.task(task).names.get_mut(&key).expect("it is there");
        if let What::Port { receive, sends, .. } = &mut entry.what {
            match right {
                Right::Receive(_) => *receive = true,
                _ => *sends = (*sends + 1).min(UREFS_MAX),
            }
        }
        if matches!(right, Right::Receive(_)) {
            (self.port(port).made, self.port(port).sequence) = (0, 0);
        }
        Arrived::Named(key)
    }

    fn new_name(&mut self, task: TaskKey, what: What) -> Key {
        let key = self.new_key();
        self.task(task).names.insert(key, Entry::new(what));
        key
    }

    /// Destroys a right that no name stands for.
    pub fn discard(&mut self, right: Right) {
        match right {
            Right::Receive(port) => self.bury(port),
            Right::SendOnce(port, waiter) => self.discard_send_once(port, waiter),
            Right::Null | Right::Dead(_) | Right::Send(_) => {}
        }
    }

    /// Either the `msg_rpc` that waits for it is told, or whoever receives from the port.
    fn discard_send_once(&mut self, port: Key, waiter: Option<Waiter>) {
        if !self.lives(port) {
            return;
        }
        if let Some(Waiter { thread, call }) = waiter
            && let Some(waiting) = self.threads.get_mut(&thread)
            && waiting.reply == Reply::Awaited(call)
        {
            waiting.reply = Reply::Lost;
            if matches!(waiting.wait, Wait::Receive { .. }) {
                self.finish(thread, Err(Error::ReceiveReplyLost));
            }
            return;
        }
        self.port(port).lost += 1;
        self.offer_notices(port);
    }

    /// `port_deallocate`: a reference of the send right or dead name, else the
    /// send-once right, else the receive right.
    pub fn deallocate(&mut self, task: TaskKey, name: Asked) -> Result<(), Error> {
        let (_, what) = self.lookup(task, name).ok_or(Error::InvalidName)?;
        let kind = match what {
            What::Port { sends: 1.., .. } => RightKind::Send,
            What::Port { .. } => RightKind::Receive,
            What::SendOnce { .. } => RightKind::SendOnce,
            What::Dead(_) => RightKind::DeadName,
        };
        self.modify_references(task, name, kind, -1)
    }

    /// `port_mod_refs`.
    pub fn modify_references(&mut self, task: TaskKey, name: Asked, kind: RightKind, delta: i32) -> Result<(), Error> {
        let (key, what) = self.lookup(task, name).ok_or(Error::InvalidName)?;
        match (what, kind) {
            (What::Port { port, receive, sends: sends @ 1.. }, RightKind::Send) => {
                let sends = counted(sends, delta)?;
                self.set(task, key, What::Port { port, receive, sends });
            }
            (What::Dead(references), RightKind::DeadName) => {
                let references = counted(references, delta)?;
                self.set(task, key, What::Dead(references));
            }
            (What::Port { port, receive: true, sends }, RightKind::Receive) => {
                if single(delta)? {
                    self.set(task, key, What::Port { port, receive: false, sends });
                    self.bury(port);
                }
            }
            (What::SendOnce { port, waiter }, RightKind::SendOnce) => {
                if single(delta)? {
                    self.task(task).names.remove(&key);
                    self.discard_send_once(port, waiter);
                }
            }
            _ => return Err(Error::InvalidRight),
        }
        self.settle();
        Ok(())
    }

    fn set(&mut self, task: TaskKey, key: Key, what: What) {
        self.task(task).names.get_mut(&key).expect("it was looked up").what = what;
        self.clean(task, key);
    }
}

fn moves(how: Disposition) -> bool {
    matches!(how, Disposition::MoveReceive | Disposition::MoveSend | Disposition::MoveSendOnce)
}

fn is_receiver(entry: &Entry, of: Key) -> bool {
    matches!(entry.what, What::Port { port, receive: true, .. } if port == of)
}

fn counted(references: u32, delta: i32) -> Result<u32, Error> {
    match i64::from(references) + i64::from(delta) {
        ..0 => Err(Error::InvalidValue),
        count if count > i64::from(UREFS_MAX) => Err(Error::UrefsOverflow),
        count => Ok(count as u32),
    }
}

/// Whether a right that cannot be counted goes.
fn single(delta: i32) -> Result<bool, Error> {
    match delta {
        0 => Ok(false),
        -1 => Ok(true),
        _ => Err(Error::InvalidValue),
    }
}
