//! The server of POSIX message queues: keeps queues by name, and answers who waits at them.
//!
//! ```text
//! lib       who may do what; the loop
//! queue     one queue
//! waiting   requests that are answered later
//! ```
//!
//! An open queue is a port of the server's, of which the client has a send right; when nobody has
//! one any more, the kernel says so on that port, and it is closed. Whose a queue is and who may open
//! it goes by the security token of the sender, which the kernel writes into each message: `user` 0 may
//! everything. A request that has to wait is kept, message and all, and answered when there is a place or a message,
//! or its time has come. One whose sender has died cannot be answered, and then has no effect: its message
//! is not sent, and what it would have received is the next one's.
//!
//! Invariants: nobody waits for a message that is there, or for a place that is free; what the server keeps for
//! others has a bound, and is paid for before it is promised. Neighbour: `portolan_posix::queue`, the client's side.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod queue;
mod waiting;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::ControlFlow;
use portolan::abi::PAGE_SIZE;
use portolan::abi::message::SecurityToken;
use portolan::abi::word::NEVER;
use portolan::notification::Notice as KernelNotice;
use portolan::server::{Call, Outcome};
use portolan::timed::{self, Timed};
use portolan::trap::clock_get;
use portolan::{Answer, Capacity, Error, Message, PortSet, ReceiveRight, Received, Right, Task};
use portolan_posix::mode::{READ, WRITE, may_unlink};
use portolan_posix::queue::protocol::{
    self, ARRIVED, CREATE, EXCLUSIVE, GetAttributes, Interrupt, List, NONBLOCK, Notify, Open, RECEIVE, RECEIVE_ACCESS,
    ReceiveHead, SEND, SEND_ACCESS, SendHead, SetFlags, Unlink,
};
use portolan_posix::queue::{self as queues, Attributes, LISTED, MESSAGES_MAX, PRIORITY_MAX, QueueName, SIZE_MAX};
use portolan_posix::{Errno, Mode, Result};
use queue::{Entry, Notice, Queue};
use waiting::{Waiting, answer, message_of, refuse};
use zerocopy::FromBytes;

/// Most queues.
const QUEUES_MAX: usize = 64;
/// Most open queues.
const OPENINGS_MAX: usize = 256;
/// Most bytes that all queues have room for.
const ROOM_MAX: usize = 4 << 20;
/// Most requests that wait.
const WAITING_MAX: usize = 128;
/// Frames that a new queue leaves to the account: for all who may wait, each with the largest message, and for the
/// server itself.
const FRAMES_KEPT: u64 = (WAITING_MAX * (SIZE_MAX as usize / PAGE_SIZE + 1) + 64) as u64;

/// Serves queues at a port, until its receive right is gone.
///
/// # Errors
/// Those of receiving; `ResourceShortage` if there is no memory to begin.
pub fn serve(port: &ReceiveRight) -> portolan::Result<()> {
    let set = PortSet::allocate()?;
    set.add(port)?;
    timed::serve(&mut Queues::new(set)?)
}

/// All queues. What is in a table is found by its place there.
struct Queues {
    set: PortSet,
    queues: Vec<Option<Queue>>,
    /// In the order of the names.
    names: Vec<(QueueName, usize)>,
    openings: Vec<Option<Opening>>,
    /// Bytes that all queues have room for.
    room: usize,
    /// Who has sent the request that is being answered, and through which opening.
    caller: SecurityToken,
    opening: Option<usize>,
}

/// An open queue.
struct Opening {
    _port: ReceiveRight,
    queue: usize,
    access: u32,
    flags: u32,
}

/// What becomes of a request.
enum Fate {
    Answered,
    Waits(u64),
}

impl Queues {
    fn new(set: PortSet) -> portolan::Result<Queues> {
        let (mut queues, mut names, mut openings) = (Vec::new(), Vec::new(), Vec::new());
        queues.try_reserve_exact(QUEUES_MAX).map_err(|_| Error::ResourceShortage)?;
        names.try_reserve_exact(QUEUES_MAX).map_err(|_| Error::ResourceShortage)?;
        openings.try_reserve_exact(OPENINGS_MAX).map_err(|_| Error::ResourceShortage)?;
        queues.resize_with(QUEUES_MAX, || None);
        openings.resize_with(OPENINGS_MAX, || None);
        Ok(Queues { set, queues, names, openings, room: 0, caller: SecurityToken::default(), opening: None })
    }

    fn handle(&mut self, mut message: Received) -> ControlFlow<()> {
        self.caller = message.security();
        self.opening = message.payload().map(|payload| payload as usize);
        if let (Some(KernelNotice::NoSenders(..)), Some(opening)) = (message.notice(), self.opening) {
            self.close(opening);
            return ControlFlow::Continue(());
        }
        match (message.is_from_kernel(), self.opening, message.id()) {
            (false, Some(opening), SEND) => self.send(opening, message),
            (false, Some(opening), RECEIVE) => self.receive(opening, message),
            _ => match protocol::dispatch(self, &mut message) {
                // A client that is gone needs no answer; what the answer brings is given up with it.
                Answer::Reply(reply) => drop(message.answer(reply)),
                Answer::Nothing => {}
                Answer::Stop => return ControlFlow::Break(()),
            },
        }
        ControlFlow::Continue(())
    }

    /// The queue that is open so, if it is open for this.
    fn queue_for(&mut self, opening: usize, access: u32) -> Result<(&mut Queue, u32)> {
        let open = self.openings.get(opening).and_then(Option::as_ref).ok_or(Errno::BadDescriptor)?;
        if open.access & access != access {
            return Err(Errno::BadDescriptor);
        }
        let queue = self.queues[open.queue].as_mut().ok_or(Errno::BadDescriptor)?;
        Ok((queue, open.flags))
    }

    fn send(&mut self, opening: usize, mut request: Received) {
        let fate = self.queue_for(opening, SEND_ACCESS).and_then(|(queue, flags)| try_send(queue, flags, &mut request));
        self.settle(opening, request, fate, |queue| &mut queue.senders);
    }

    fn receive(&mut self, opening: usize, mut request: Received) {
        let fate =
            self.queue_for(opening, RECEIVE_ACCESS).and_then(|(queue, flags)| try_receive(queue, flags, &mut request));
        self.settle(opening, request, fate, |queue| &mut queue.receivers);
    }

    /// Refuses a request that has failed, and keeps one that waits.
    fn settle(
        &mut self,
        opening: usize,
        mut request: Received,
        fate: Result<Fate>,
        line: fn(&mut Queue) -> &mut VecDeque<Waiting>,
    ) {
        let deadline = match fate {
            Ok(Fate::Answered) => return,
            Ok(Fate::Waits(deadline)) => deadline,
            Err(errno) => return refuse(&mut request, errno),
        };
        let all = self.waiting().count();
        let Ok((queue, _)) = self.queue_for(opening, 0) else { return };
        let line = line(queue);
        if all == WAITING_MAX || line.try_reserve(1).is_err() {
            return refuse(&mut request, Errno::NoMemory);
        }
        line.push_back(Waiting { opening, deadline, request });
    }

    /// The first deadline of those who wait.
    fn next_deadline(&self) -> Option<u64> {
        self.waiting().map(|waiting| waiting.deadline).min().filter(|deadline| *deadline != NEVER)
    }

    /// All who wait.
    fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.queues.iter().flatten().flat_map(|queue| queue.senders.iter().chain(&queue.receivers))
    }

    /// Ends the waits whose time has come.
    fn time_out(&mut self, now: u64) {
        self.end_waits(|waiting| waiting.deadline <= now, Errno::TimedOut);
    }

    /// Ends some waits, for this reason.
    fn end_waits(&mut self, which: impl Fn(&Waiting) -> bool, errno: Errno) {
        for queue in self.queues.iter_mut().flatten() {
            for line in [&mut queue.senders, &mut queue.receivers] {
                line.retain_mut(|waiting| {
                    let ends = which(waiting);
                    if ends {
                        refuse(&mut waiting.request, errno);
                    }
                    !ends
                });
            }
        }
    }

    /// Nobody has it open any more.
    fn close(&mut self, opening: usize) {
        let Some(Opening { queue: place, .. }) = self.openings.get_mut(opening).and_then(Option::take) else { return };
        let Some(queue) = &mut self.queues[place] else { return };
        queue.senders.retain(|waiting| waiting.opening != opening);
        queue.receivers.retain(|waiting| waiting.opening != opening);
        queue.notice.take_if(|notice| notice.opening == opening);
        queue.openings -= 1;
        self.release(place);
    }

    /// Ends a queue that has neither name nor opening.
    fn release(&mut self, place: usize) {
        let named = self.names.iter().any(|(_, queue)| *queue == place);
        if let Some(queue) = self.queues[place].take_if(|queue| queue.openings == 0 && !named) {
            self.room -= room_of(&queue.attributes(0));
        }
    }

    fn find(&self, name: &QueueName) -> Option<usize> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, queue)| *queue)
    }

    /// Where the names after this one begin.
    fn names_after(&self, name: &QueueName) -> usize {
        self.names.partition_point(|(known, _)| known <= name)
    }

    fn try_open(&mut self, name: &QueueName, flags: u32, mode: u32, wanted: Attributes) -> Result<Right<'static>> {
        let access = flags & (SEND_ACCESS | RECEIVE_ACCESS);
        let known = SEND_ACCESS | RECEIVE_ACCESS | CREATE | EXCLUSIVE | NONBLOCK;
        if !name.is_valid() || access == 0 || flags & !known != 0 {
            return Err(Errno::Invalid);
        }
        let opening = self.openings.iter().position(Option::is_none).ok_or(Errno::TablesFull)?;
        let found = self.find(name);
        let place = match found {
            Some(_) if flags & CREATE != 0 && flags & EXCLUSIVE != 0 => return Err(Errno::Exists),
            Some(place) => self.require_access(place, access)?,
            None if flags & CREATE != 0 => self.create(name, mode, wanted)?,
            None => return Err(Errno::NoEntry),
        };
        let made = self.open_port(opening).map_err(|_| Errno::TablesFull);
        let (port, right) = made.inspect_err(|_| {
            if found.is_none() {
                self.names.retain(|(_, queue)| *queue != place);
                self.release(place);
            }
        })?;
        // Nothing below may fail.
        if let Some(queue) = &mut self.queues[place] {
            queue.openings += 1;
        }
        self.openings[opening] = Some(Opening { _port: port, queue: place, access, flags: flags & NONBLOCK });
        Ok(right)
    }

    /// Sees that the caller may open a queue for this.
    fn require_access(&self, place: usize, access: u32) -> Result<usize> {
        let queue = self.queues[place].as_ref().ok_or(Errno::NoEntry)?;
        let wanted =
            if access & RECEIVE_ACCESS != 0 { READ } else { 0 } | if access & SEND_ACCESS != 0 { WRITE } else { 0 };
        if queue.mode.permitted(queue.owner, self.caller) & wanted == wanted { Ok(place) } else { Err(Errno::Access) }
    }

    fn create(&mut self, name: &QueueName, mode: u32, wanted: Attributes) -> Result<usize> {
        let possible = (1..=MESSAGES_MAX).contains(&wanted.messages) && (1..=SIZE_MAX).contains(&wanted.size);
        if !possible {
            return Err(Errno::Invalid);
        }
        let place = self.queues.iter().position(Option::is_none).ok_or(Errno::TablesFull)?;
        let room = room_of(&wanted);
        if self.room + room > ROOM_MAX || !can_pay(room) {
            return Err(Errno::NoSpace);
        }
        let queue = Queue::new(self.caller, Mode::new(mode, 0), wanted.messages as usize, wanted.size as usize)?;
        self.room += room;
        self.queues[place] = Some(queue);
        let at = self.names_after(name);
        self.names.insert(at, (*name, place));
        Ok(place)
    }

    /// A port for an opening, of which the kernel says when nobody can send to it.
    fn open_port(&mut self, opening: usize) -> portolan::Result<(ReceiveRight, Right<'static>)> {
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        port.set_payload(opening as u64)?;
        self.set.add(&port)?;
        let right = port.make_send()?;
        port.request_no_senders(1, Right::MakeSendOnce(&port))?;
        Ok((port, Right::Send(right)))
    }

    fn try_unlink(&mut self, name: &QueueName) -> Result<()> {
        if !name.is_valid() {
            return Err(Errno::Invalid);
        }
        let place = self.find(name).ok_or(Errno::NoEntry)?;
        let owner = self.queues[place].as_ref().ok_or(Errno::NoEntry)?.owner;
        if !may_unlink(owner, self.caller) {
            return Err(Errno::Access);
        }
        self.names.retain(|(known, _)| known != name);
        self.release(place);
        Ok(())
    }

    fn try_notify(&mut self, to: Right<'static>) -> Result<()> {
        let to = waiting::told(to)?;
        let opening = self.opening.ok_or(Errno::BadDescriptor)?;
        let (queue, _) = self.queue_for(opening, 0)?;
        match (to, &queue.notice) {
            (None, _) => {
                queue.notice.take_if(|notice| notice.opening == opening);
            }
            (Some(_), Some(_)) => return Err(Errno::Busy),
            (Some(to), None) => queue.notice = Some(Notice { opening, to }),
        }
        Ok(())
    }

    fn try_set_flags(&mut self, flags: i64) -> Result<Attributes> {
        let opening = self.opening.ok_or(Errno::BadDescriptor)?;
        let new = u32::try_from(flags).ok().filter(|flags| flags & !NONBLOCK == 0).ok_or(Errno::Invalid)?;
        let (queue, old) = self.queue_for(opening, 0)?;
        let before = queue.attributes(old.into());
        if let Some(open) = &mut self.openings[opening] {
            open.flags = new;
        }
        Ok(before)
    }
}

impl Timed for Queues {
    fn ports(&self) -> &PortSet {
        &self.set
    }

    fn elapse(&mut self, now: u64) -> Option<u64> {
        self.time_out(now);
        self.next_deadline()
    }

    fn hear(&mut self, message: Received) -> ControlFlow<()> {
        self.handle(message)
    }
}

/// Whether the account has the frames for this many bytes, and those to be kept.
fn can_pay(bytes: usize) -> bool {
    let needed = bytes.div_ceil(PAGE_SIZE) as u64 + FRAMES_KEPT;
    Task::this().info().is_ok_and(|info| info.left().frames >= needed)
}

/// Bytes that a queue has room for.
fn room_of(attributes: &Attributes) -> usize {
    attributes.messages as usize * attributes.size as usize
}

/// Sends, unless that has to wait.
fn try_send(queue: &mut Queue, flags: u32, request: &mut Received) -> Result<Fate> {
    let (head, bytes) = SendHead::read_from_prefix(request.bytes()).map_err(|_| Errno::Invalid)?;
    if head.priority >= PRIORITY_MAX {
        return Err(Errno::Invalid);
    }
    if bytes.len() > queue.size {
        return Err(Errno::MessageSize);
    }
    if queue.is_full() {
        return may_wait(flags, head.deadline, head.invalid_time);
    }
    let was_empty = queue.is_empty();
    queue.put(head.priority, bytes);
    answer(request, Ok((0, &[])));
    deliver(queue);
    if was_empty && !queue.is_empty() {
        tell(queue);
    }
    Ok(Fate::Answered)
}

/// Receives, unless that has to wait.
fn try_receive(queue: &mut Queue, flags: u32, request: &mut Received) -> Result<Fate> {
    let head: ReceiveHead = request.value().map_err(|_| Errno::Invalid)?;
    if (head.room as usize) < queue.size {
        return Err(Errno::MessageSize);
    }
    let Some(entry) = queue.take() else { return may_wait(flags, head.deadline, head.invalid_time) };
    give(queue, entry, request);
    admit(queue);
    Ok(Fate::Answered)
}

/// Whether a call that finds no place, or no message, waits.
fn may_wait(flags: u32, deadline: u64, invalid_time: u32) -> Result<Fate> {
    match () {
        () if flags & NONBLOCK != 0 => Err(Errno::Again),
        () if invalid_time != 0 => Err(Errno::Invalid),
        () if deadline <= clock_get() => Err(Errno::TimedOut),
        () => Ok(Fate::Waits(deadline)),
    }
}

/// Gives a message to who asked for one. If he is gone it is the next one again.
fn give(queue: &mut Queue, entry: Entry, request: &mut Received) {
    if answer(request, Ok((entry.priority, &entry.bytes))) {
        queue.recycle(entry);
    } else {
        queue.put_back(entry);
    }
}

/// Gives messages to those who wait, as far as there are both.
fn deliver(queue: &mut Queue) {
    while !queue.is_empty()
        && let Some(mut waiting) = queue.receivers.pop_front()
        && let Some(entry) = queue.take()
    {
        give(queue, entry, &mut waiting.request);
    }
}

/// Takes messages of those who wait, as far as there are places. Who is gone has not sent.
fn admit(queue: &mut Queue) {
    while !queue.is_full()
        && let Some(mut waiting) = queue.senders.pop_front()
    {
        let Ok((head, _)) = SendHead::read_from_prefix(waiting.request.bytes()) else { continue };
        if answer(&mut waiting.request, Ok((0, &[]))) {
            queue.put(head.priority, message_of(&waiting.request));
        }
    }
}

/// Says that the queue is empty no more, to who has asked.
fn tell(queue: &mut Queue) {
    if let Some(Notice { to, .. }) = queue.notice.take() {
        // Who is gone needs not know.
        let _ = to.send(Message::new(ARRIVED));
    }
}

/// The errno of a result, and its value or a stand-in.
fn apart<T>(result: Result<T>, otherwise: T) -> (i32, T) {
    match result {
        Ok(value) => (0, value),
        Err(errno) => (errno.number(), otherwise),
    }
}

impl protocol::Server for Queues {
    fn open(
        &mut self,
        _: &mut Call<'_, Open>,
        name: QueueName,
        flags: u32,
        mode: u32,
        messages: i64,
        size: i64,
    ) -> Outcome<Open> {
        let wanted = Attributes { messages, size, ..Attributes::DEFAULT };
        let (errno, queue) = apart(self.try_open(&name, flags, mode, wanted), Right::Null);
        Ok((errno, 0, queue))
    }

    fn unlink(&mut self, _: &mut Call<'_, Unlink>, name: QueueName) -> Outcome<Unlink> {
        let (errno, ()) = apart(self.try_unlink(&name), ());
        Ok((errno, 0))
    }

    fn attributes(&mut self, _: &mut Call<'_, GetAttributes>) -> Outcome<GetAttributes> {
        let opening = self.opening.ok_or(Error::InvalidRight)?;
        let (queue, flags) = self.queue_for(opening, 0).map_err(|_| Error::InvalidRight)?;
        Ok(queue.attributes(flags.into()))
    }

    fn set_flags(&mut self, _: &mut Call<'_, SetFlags>, flags: i64) -> Outcome<SetFlags> {
        let (errno, attributes) = apart(self.try_set_flags(flags), Attributes::DEFAULT);
        Ok((errno.into(), attributes))
    }

    fn notify(&mut self, _: &mut Call<'_, Notify>, to: Right<'static>) -> Outcome<Notify> {
        let (errno, ()) = apart(self.try_notify(to), ());
        Ok((errno, 0))
    }

    fn interrupt(&mut self, call: &mut Call<'_, Interrupt>, wait: u64) -> Outcome<Interrupt> {
        let (opening, sender) = (self.opening, call.sender());
        let is_it = |waiting: &Waiting| {
            wait != 0
                && opening == Some(waiting.opening)
                && waiting.request.sender() == sender
                && waiting.number() == wait
        };
        self.end_waits(is_it, Errno::Interrupted);
        Ok(())
    }

    fn list(&mut self, _: &mut Call<'_, List>, after: QueueName) -> Outcome<List> {
        let mut entries = [queues::Entry::NONE; LISTED];
        let mut count = 0;
        let later = &self.names[self.names_after(&after)..];
        let later = later.iter().filter_map(|(name, place)| Some(self.queues[*place].as_ref()?.entry(*name)));
        for (entry, known) in entries.iter_mut().zip(later) {
            *entry = known;
            count += 1;
        }
        Ok((count, 0, entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_posix::mode::PRIVILEGED;

    #[test]
    fn a_mode_is_the_owners_the_groups_or_the_others() {
        let owner = SecurityToken { user: 5, group: 50 };
        let token = |user, group| SecurityToken { user, group };
        let allowed = |who, owner, mode| Mode::new(mode, 0).permitted(owner, who);
        assert_eq!(allowed(token(5, 99), owner, 0o640), 6);
        assert_eq!(allowed(token(6, 50), owner, 0o640), 4);
        assert_eq!(allowed(token(6, 99), owner, 0o640), 0);
        assert_eq!(allowed(token(5, 50), owner, 0o066), 0, "the owner is not one of the others");
        assert_eq!(allowed(token(PRIVILEGED, 1), owner, 0), READ | WRITE);
    }
}
