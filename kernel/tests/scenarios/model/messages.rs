//! Messages in the model: sent, queued, refused, cached, received.
//!
//! Neighbours: `rights` for what they carry, `death` for notices.

use super::state::{
    Arrival, Asked, Carried, Content, Draft, End, Half, Key, Mail, Model, Reply, Right, SendOptions, Sending, TaskKey,
    ThreadKey, Wait, Waiter, What,
};
use crate::harness::WhenFull;
use portolan_abi::notification::Kind;
use portolan_abi::{Capacity, Disposition, Error};

/// How a sending half goes on, if not with an error.
enum Sent {
    Taken,
    Waits,
}

impl Model {
    /// `msg_send`, or `msg_rpc` if something is to be received afterwards.
    pub fn send(&mut self, me: ThreadKey, draft: &Draft, options: SendOptions, then: Option<Half>) {
        match (self.try_send(me, draft, options, then), then) {
            (Ok(Sent::Taken), Some(half)) => self.receive_half(me, half),
            (Ok(Sent::Taken), None) => self.finish(me, Ok(None)),
            (Ok(Sent::Waits), _) => {}
            (Err(error), _) => self.finish(me, Err(error)),
        }
        self.settle();
    }

    fn try_send(
        &mut self,
        me: ThreadKey,
        draft: &Draft,
        options: SendOptions,
        then: Option<Half>,
    ) -> Result<Sent, Error> {
        let task = self.thread(me).task;
        let (key, cause) = (self.new_key(), self.thread(me).handling);
        let (id, via, to, reply, rights) = (draft.id, 0, Carried::NULL, Carried::NULL, Vec::new());
        let body = Content::Bytes(draft.body.clone());
        let sender = Some(task);
        let mut mail = Mail { key, cause, sender, id, via, to, reply, rights, body, cached_for: None };
        match self.take_all(me, task, draft, then, &mut mail) {
            Ok(port) => self.pass_on(me, port, mail, options, then),
            Err(error) => {
                self.give_back(task, &mail);
                Err(error)
            }
        }
    }

    /// Takes what the message names, in the order destination, reply, descriptors.
    fn take_all(
        &mut self,
        me: ThreadKey,
        task: TaskKey,
        draft: &Draft,
        then: Option<Half>,
        mail: &mut Mail,
    ) -> Result<Key, Error> {
        let port = self.take_destination(task, draft.to, mail)?;
        if let Some((name, how)) = draft.reply.filter(|(name, _)| *name != Asked::Null) {
            mail.reply = self.take_reply(me, task, name, how, then)?;
        }
        for (name, how) in &draft.rights {
            let carried = self.take_right(task, *name, *how, port)?;
            mail.rights.push(carried);
        }
        Ok(port)
    }

    fn take_destination(
        &mut self,
        task: TaskKey,
        (name, how): (Asked, Disposition),
        mail: &mut Mail,
    ) -> Result<Key, Error> {
        if how == Disposition::MoveReceive {
            return Err(Error::SendInvalidHeader);
        }
        let (key, what) = self.lookup(task, name).ok_or(Error::SendInvalidPort)?;
        let port = match (what, how) {
            (What::Port { port, sends: 1.., .. }, Disposition::CopySend | Disposition::MoveSend)
            | (What::Port { port, receive: true, .. }, Disposition::MakeSend | Disposition::MakeSendOnce)
            | (What::SendOnce { port, .. }, Disposition::MoveSendOnce) => port,
            _ => return Err(Error::SendInvalidPort),
        };
        mail.via = key;
        mail.to = match how {
            Disposition::MoveSend | Disposition::MoveSendOnce => {
                self.take(task, name, how, None).map_err(|_| Error::SendInvalidPort)?
            }
            // A right made for the message alone is used up by it: nothing is counted.
            Disposition::MakeSendOnce => Carried { right: Right::SendOnce(port, None), taken: None },
            _ => Carried { right: Right::Send(port), taken: None },
        };
        Ok(port)
    }

    fn take_reply(
        &mut self,
        me: ThreadKey,
        task: TaskKey,
        name: Asked,
        how: Disposition,
        then: Option<Half>,
    ) -> Result<Carried, Error> {
        if how == Disposition::MoveReceive {
            return Err(Error::SendInvalidReply);
        }
        let mut waiter = None;
        if how == Disposition::MakeSendOnce && then.is_some_and(|half| half.from == name) {
            let call = self.new_key();
            self.thread(me).reply = Reply::Awaited(call);
            waiter = Some(Waiter { thread: me, call });
        }
        self.take(task, name, how, waiter).map_err(|_| Error::SendInvalidReply)
    }

    fn take_right(&mut self, task: TaskKey, name: Asked, how: Disposition, to: Key) -> Result<Carried, Error> {
        match name {
            Asked::Null => return Ok(Carried::NULL),
            Asked::Dead => return Ok(Carried { right: Right::Dead(how.arrives_as()), taken: None }),
            Asked::Known(_) | Asked::Unknown => {}
        }
        let carried = self.take(task, name, how, None).map_err(|_| Error::SendInvalidRight)?;
        if let Right::Receive(port) = carried.right
            && self.ends_up_behind(to, port)
        {
            self.give_back_right(task, carried);
            return Err(Error::SendInvalidRight);
        }
        Ok(carried)
    }

    /// Whether what is sent to `port` can be received only after what is sent to `other`:
    /// its receive right is in a message to there, or to a port of which that is so.
    fn ends_up_behind(&self, port: Key, other: Key) -> bool {
        if port == other {
            return true;
        }
        let holder =
            self.mails().find(|(mail, _)| mail.rights.iter().any(|carried| carried.right == Right::Receive(port)));
        match holder.map(|(mail, _)| mail.to.right) {
            Some(Right::Send(next) | Right::SendOnce(next, _)) => self.ends_up_behind(next, other),
            _ => false,
        }
    }

    fn pass_on(
        &mut self,
        me: ThreadKey,
        port: Key,
        mail: Mail,
        options: SendOptions,
        then: Option<Half>,
    ) -> Result<Sent, Error> {
        let task = self.thread(me).task;
        let Some(mail) = self.offer(port, mail, Some(task)) else { return Ok(Sent::Taken) };
        // A message through a send-once right is always taken.
        if matches!(mail.to.right, Right::SendOnce(..)) || self.port(port).has_room() {
            self.let_go(task, &mail);
            self.port(port).queue.push_back(mail);
            return Ok(Sent::Taken);
        }
        let wait = match options.when_full {
            WhenFull::Cache => return Err(self.cache_or_refuse(task, port, mail)),
            WhenFull::WaitMsThenCache(0) => return Err(self.cache_or_refuse(task, port, mail)),
            WhenFull::Return | WhenFull::WaitMs(0) => {
                self.give_back(task, &mail);
                return Err(Error::SendTimedOut);
            }
            WhenFull::Wait => None,
            WhenFull::WaitMs(ms) | WhenFull::WaitMsThenCache(ms) => Some(ms),
        };
        self.wait(me, Wait::Send(Box::new(Sending { port, mail, options, then })), wait);
        self.port(port).senders.push_back(me);
        Ok(Sent::Waits)
    }

    fn wait(&mut self, me: ThreadKey, wait: Wait, ms: Option<u32>) {
        let deadline = ms.map(|ms| self.now + u64::from(ms));
        let thread = self.thread(me);
        (thread.wait, thread.deadline) = (wait, deadline);
    }

    /// Caches a message, one for each task and port; says so, or why not.
    fn cache_or_refuse(&mut self, task: TaskKey, port: Key, mut mail: Mail) -> Error {
        let names = &mut self.task(task).names;
        let found =
            names.iter_mut().find(|(_, entry)| matches!(entry.what, What::Port { port: named, .. } if named == port));
        // A sender that waited may have let its last name for the port go.
        let name = match found {
            Some((_, entry)) if entry.caching => {
                self.give_back(task, &mail);
                return Error::SendNotifyInProgress;
            }
            Some((name, entry)) => {
                entry.caching = true;
                *name
            }
            None => mail.via,
        };
        mail.cached_for = Some((task, name));
        self.let_go(task, &mail);
        self.port(port).queue.push_back(mail);
        Error::SendWillNotify
    }

    /// Gives a message to the thread that has waited longest. Those that have no room for
    /// it are told so. The message comes back if nobody can take it.
    fn offer(&mut self, port: Key, mail: Mail, from: Option<TaskKey>) -> Option<Mail> {
        while let Some(thread) = self.port(port).receivers.front().copied() {
            let Wait::Receive { half, .. } = self.thread(thread).wait else { panic!("in line, but does not wait") };
            if mail.room() > half.room {
                self.finish(thread, Err(Error::ReceiveTooLarge));
                continue;
            }
            if let Some(task) = from {
                self.let_go(task, &mail);
            }
            let arrival = self.deliver(thread, port, mail);
            self.finish(thread, Ok(Some(arrival)));
            return None;
        }
        Some(mail)
    }

    fn deliver(&mut self, to: ThreadKey, port: Key, mail: Mail) -> Arrival {
        let task = self.thread(to).task;
        let reply = (self.insert(task, mail.reply.right), mail.reply.right.code());
        let rights =
            mail.rights.iter().map(|carried| (self.insert(task, carried.right), carried.right.code())).collect();
        let from = self.port(port);
        let sequence = from.sequence;
        from.sequence += 1;
        self.thread(to).handling = mail.key;
        let Mail { key, cause, sender, id, body, .. } = mail;
        Arrival { key, cause, sender, id, came_through: mail.to.right.code(), reply, rights, body, sequence }
    }

    /// `msg_receive`.
    pub fn receive(&mut self, me: ThreadKey, half: Half) {
        self.receive_half(me, half);
        self.settle();
    }

    fn receive_half(&mut self, me: ThreadKey, half: Half) {
        if self.thread(me).reply == Reply::Lost {
            return self.finish(me, Err(Error::ReceiveReplyLost));
        }
        let task = self.thread(me).task;
        let Ok(port) = self.receive_right(task, half.from) else {
            return self.finish(me, Err(Error::ReceiveInvalidPort));
        };
        if let Some(end) = self.take_one(me, port, half) {
            return self.finish(me, end);
        }
        if half.ms == Some(0) {
            return self.finish(me, Err(Error::ReceiveTimedOut));
        }
        self.wait(me, Wait::Receive { half, abortable: half.abortable }, half.ms);
        self.port(port).receivers.push_back(me);
    }

    /// A thread whose message was taken while it waited begins to receive.
    pub fn begin_receive(&mut self, me: ThreadKey) {
        if let Some(half) = self.threads.get_mut(&me).and_then(|thread| thread.unfinished.take()) {
            self.receive_half(me, half);
        }
    }

    /// A notice, the oldest message, or that of the sender who has waited longest.
    fn take_one(&mut self, me: ThreadKey, port: Key, half: Half) -> Option<End> {
        if let Some(end) = self.take_notice(me, port, half) {
            return Some(end);
        }
        if let Some(mail) = self.port(port).queue.front() {
            if mail.room() > half.room {
                return Some(Err(Error::ReceiveTooLarge));
            }
            let mail = self.port(port).queue.pop_front().expect("it was there");
            let cached_for = mail.cached_for;
            let arrival = self.deliver(me, port, mail);
            if let Some((task, name)) = cached_for {
                self.tell_accepted(task, name);
            }
            self.admit(port);
            return Some(Ok(Some(arrival)));
        }
        let sender = self.port(port).senders.front().copied()?;
        let Wait::Send(sending) = &self.thread(sender).wait else { panic!("in line, but does not wait") };
        if sending.mail.room() > half.room {
            return Some(Err(Error::ReceiveTooLarge));
        }
        let mail = self.take_from(sender);
        Some(Ok(Some(self.deliver(me, port, mail))))
    }

    fn take_notice(&mut self, me: ThreadKey, port: Key, half: Half) -> Option<End> {
        let (kind, about) = self.first_notice(port)?;
        let notice = Mail::notice(self.new_key(), kind, port, about);
        if notice.room() > half.room {
            return Some(Err(Error::ReceiveTooLarge));
        }
        self.told(port);
        Some(Ok(Some(self.deliver(me, port, notice))))
    }

    /// Gives notices to threads that wait for a message, as far as there are both.
    pub fn offer_notices(&mut self, port: Key) {
        while let Some(thread) = self.port(port).receivers.front().copied() {
            let Wait::Receive { half, .. } = self.thread(thread).wait else { panic!("in line, but does not wait") };
            let Some(end) = self.take_notice(thread, port, half) else { return };
            self.finish(thread, end);
        }
    }

    /// The message that was cached has been taken: its task is told, and may have
    /// another one cached.
    fn tell_accepted(&mut self, task: TaskKey, name: Key) {
        let Some(owner) = self.tasks.get_mut(&task) else { return };
        let notify = owner.notify;
        let mut known = None;
        if let Some(entry) = owner.names.get_mut(&name) {
            entry.caching = false;
            known = Some(name).filter(|_| !entry.is_spent());
        }
        self.clean(task, name);
        if self.lives(notify) {
            let about = Content::Notice(task, known);
            let notice = Mail::notice(self.new_key(), Kind::MessageAccepted, notify, about);
            if let Some(notice) = self.offer(notify, notice, None) {
                self.port(notify).queue.push_back(notice);
            }
        }
    }

    /// Waiting senders are let in while there is room, in the order in which they came.
    fn admit(&mut self, port: Key) {
        while self.port(port).has_room()
            && let Some(sender) = self.port(port).senders.front().copied()
        {
            let mail = self.take_from(sender);
            self.port(port).queue.push_back(mail);
        }
    }

    /// Takes the message of a sender that waits; the sender goes on.
    fn take_from(&mut self, sender: ThreadKey) -> Mail {
        let (task, sending) = self.stop_sending(sender);
        self.let_go(task, &sending.mail);
        match sending.then {
            Some(half) => {
                self.thread(sender).unfinished = Some(half);
                self.unfinished.push_back(sender);
            }
            None => self.finish(sender, Ok(None)),
        }
        sending.mail
    }

    /// Ends a wait for a place without success.
    pub fn fail_send(&mut self, thread: ThreadKey, error: Error) {
        let (task, sending) = self.stop_sending(thread);
        self.give_back(task, &sending.mail);
        self.finish(thread, Err(error));
    }

    fn stop_sending(&mut self, thread: ThreadKey) -> (TaskKey, Sending) {
        self.stop(thread);
        let waiting = self.thread(thread);
        match std::mem::replace(&mut waiting.wait, Wait::No) {
            Wait::Send(sending) => (waiting.task, *sending),
            _ => panic!("it does not wait to send"),
        }
    }

    /// Takes a thread out of its port's lines and of the deadlines.
    pub fn stop(&mut self, thread: ThreadKey) {
        self.thread(thread).deadline = None;
        for port in self.ports.values_mut() {
            port.senders.retain(|waiting| *waiting != thread);
            port.receivers.retain(|waiting| *waiting != thread);
        }
    }

    /// A call ends.
    pub fn finish(&mut self, thread: ThreadKey, end: End) {
        self.stop(thread);
        let ended = self.thread(thread);
        (ended.wait, ended.reply) = (Wait::No, Reply::NotAwaited);
        self.ends.push((thread, end));
    }

    /// `port_set_backlog`.
    pub fn set_capacity(&mut self, task: TaskKey, name: Asked, capacity: Capacity) -> Result<(), Error> {
        let port = self.receive_right(task, name)?;
        self.port(port).capacity = capacity;
        self.admit(port);
        self.settle();
        Ok(())
    }

    /// Time passes: each wait ends at its own moment.
    pub fn advance(&mut self, ms: u32) {
        let end = self.now + u64::from(ms);
        while let Some((at, thread)) = self.next_deadline().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.time_out(thread);
            self.settle();
        }
        self.now = end;
    }

    fn next_deadline(&self) -> Option<(u64, ThreadKey)> {
        self.threads.iter().filter_map(|(key, thread)| Some((thread.deadline?, *key))).min()
    }

    fn time_out(&mut self, thread: ThreadKey) {
        match &self.thread(thread).wait {
            Wait::Receive { .. } => self.finish(thread, Err(Error::ReceiveTimedOut)),
            Wait::Send(sending) if matches!(sending.options.when_full, WhenFull::WaitMsThenCache(_)) => {
                let (task, sending) = self.stop_sending(thread);
                let error = self.cache_or_refuse(task, sending.port, sending.mail);
                self.finish(thread, Err(error));
            }
            Wait::Send(_) => self.fail_send(thread, Error::SendTimedOut),
            Wait::No => panic!("a deadline, but no wait"),
        }
    }
}
