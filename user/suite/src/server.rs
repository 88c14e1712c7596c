//! A user server whose protocol is defined once: what it is spared, and what its clients are told.

use crate::case::{Failure, Verdict};
use crate::{cases, holds, same};
use alloc::vec;
use portolan::abi::interface::{REPLY_OFFSET, ReplyHead};
use portolan::abi::interrupt::INTERRUPT;
use portolan::abi::message::Descriptor;
use portolan::abi::{Disposition, error};
use portolan::interface::MsgRpc;
use portolan::server::{Call, Held, Outcome, Unanswered};
use portolan::thread::{JoinHandle, spawn};
use portolan::{Capacity, Error, Message, Name, Notice, ReceiveRight, Received, Result, Right, SendRight};

cases!("server":
    arguments_go_in_and_results_come_out,
    rights_are_owned_on_both_sides,
    a_right_of_another_kind_is_refused,
    an_unknown_id_is_refused,
    another_size_or_number_of_rights_is_refused,
    what_a_refused_request_brought_is_given_up,
    a_refusal_is_told,
    an_answer_comes_later,
    a_request_that_is_let_go_is_told,
    a_client_that_wants_no_answer_is_served,
    a_client_that_has_died_is_passed_over,
    a_client_that_leaves_no_room_is_passed_over,
    an_answer_to_the_server_itself_is_no_request,
    nonsense_of_any_size_is_refused,
    a_message_that_looks_like_the_kernels_is_none,
    who_waits_is_told_that_the_server_stops,
);

const PATIENCE_MS: u32 = 5000;

mod tally {
    portolan::interface! {
        base 4500;

        /// Adds to the sum, and returns it.
        ///
        /// `InvalidValue`: it would be too large.
        1 add / Add (amount: u64) -> (sum: u64);

        /// Keeps a right.
        2 keep / Keep (; right: SendRight) -> ();

        /// A new port and a right to it, and how many have been given.
        3 give / Give () -> (count: u64; port: ReceiveRight, right: SendRight);

        /// The sum, when `release` is called.
        4 later / Later () -> (sum: u64);

        /// Answers who waits.
        5 release / Release () -> (count: u64);

        /// Never answers.
        6 lose / Lose () -> ();

        /// Serves no more.
        7 stop / Stop () -> (sum: u64);
    }
}

#[derive(Default)]
struct Tally {
    sum: u64,
    given: u64,
    kept: Option<SendRight>,
    waiting: vec::Vec<Held<tally::Later>>,
}

impl tally::Server for Tally {
    fn add(&mut self, _: &mut Call<'_, tally::Add>, amount: u64) -> Outcome<tally::Add> {
        self.sum = self.sum.checked_add(amount).ok_or(Error::InvalidValue)?;
        Ok(self.sum)
    }

    fn keep(&mut self, _: &mut Call<'_, tally::Keep>, right: SendRight) -> Outcome<tally::Keep> {
        self.kept = Some(right);
        Ok(())
    }

    fn give(&mut self, _: &mut Call<'_, tally::Give>) -> Outcome<tally::Give> {
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let right = port.make_send()?;
        self.given += 1;
        Ok((self.given, port, right))
    }

    fn later(&mut self, call: &mut Call<'_, tally::Later>) -> Outcome<tally::Later> {
        self.waiting.push(call.hold());
        Err(Unanswered::Later)
    }

    fn release(&mut self, _: &mut Call<'_, tally::Release>) -> Outcome<tally::Release> {
        let answered = self.waiting.drain(..).map(|held| held.answer(Ok(self.sum)));
        Ok(answered.filter(Result::is_ok).count() as u64)
    }

    fn lose(&mut self, _: &mut Call<'_, tally::Lose>) -> Outcome<tally::Lose> {
        Err(Unanswered::Later)
    }

    fn stop(&mut self, call: &mut Call<'_, tally::Stop>) -> Outcome<tally::Stop> {
        call.hold().answer(Ok(self.sum))?;
        Err(Unanswered::Stop)
    }
}

/// A server in a thread of its own; it ends with its case.
struct Served {
    right: SendRight,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Served {
    fn start() -> Result<Served> {
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let right = port.make_send()?;
        let thread = spawn(move || tally::serve(&port, &mut Tally::default()))?;
        Ok(Served { right, thread: Some(thread) })
    }

    fn name(&self) -> Name {
        self.right.name()
    }

    fn add(&self, amount: u64) -> Result<u64> {
        Ok(tally::add(&MsgRpc, self.name(), amount)?.results.sum)
    }

    /// What a request that is none is answered with.
    fn refusal(&self, request: Message<'_>) -> core::result::Result<Error, Failure> {
        let id = request.id();
        let answer = self.right.rpc_within(request, PATIENCE_MS).map_err(|failure| failure.error)?;
        same!(answer.id(), id.wrapping_add(REPLY_OFFSET));
        refused(&answer)
    }

    /// It serves as if nothing had been.
    fn goes_on(&self) -> Verdict {
        let before = self.add(0)?;
        same!(self.add(5), Ok(before + 5));
        Ok(())
    }

    fn stop(&mut self) -> Result<u64> {
        let sum = tally::stop(&MsgRpc, self.name())?.results.sum;
        self.thread.take().map_or(Ok(Ok(())), JoinHandle::join)??;
        Ok(sum)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.stop();
        }
    }
}

fn refused(answer: &Received) -> core::result::Result<Error, Failure> {
    same!(answer.rights(), 0);
    error::result_of(answer.value::<ReplyHead>()?.code).err().ok_or_else(|| Failure::new("it is a success"))
}

fn request<'a>(id: u32, reply: &'a ReceiveRight) -> Message<'a> {
    Message::new(id).reply_to(Right::MakeSendOnce(reply))
}

fn mailbox() -> Result<ReceiveRight> {
    ReceiveRight::allocate(Capacity::DEFAULT)
}

fn id<R: portolan::abi::interface::Routine>() -> u32 {
    R::ID
}

fn arguments_go_in_and_results_come_out() -> Verdict {
    let server = Served::start()?;
    same!(server.add(3), Ok(3));
    same!(server.add(39), Ok(42));
    Ok(())
}

fn rights_are_owned_on_both_sides() -> Verdict {
    let server = Served::start()?;
    let mine = mailbox()?;
    tally::keep(&MsgRpc, server.name(), Right::MakeSend(&mine).descriptor())?;
    same!(mine.status()?.send_rights, 1);
    for count in 1..=2 {
        let reply = tally::give(&MsgRpc, server.name())?;
        same!(reply.results.count, count);
        let (port, right) = (ReceiveRight::from_name(reply.rights[0]), SendRight::from_name(reply.rights[1]));
        right.send(Message::new(7)).map_err(|failure| failure.error)?;
        same!(port.receive_within(0)?.id(), 7);
    }
    Ok(())
}

fn a_right_of_another_kind_is_refused() -> Verdict {
    let (server, mine) = (Served::start()?, mailbox()?);
    let once = Right::MakeSendOnce(&mine).descriptor();
    same!(tally::keep(&MsgRpc, server.name(), once).map(drop), Err(Error::InvalidCapability));
    // It was given up, unused.
    same!(mine.receive_within(PATIENCE_MS)?.notice(), Some(Notice::SendOnce));
    let none = Descriptor::port(Name::NULL, Disposition::CopySend as u8);
    same!(tally::keep(&MsgRpc, server.name(), none).map(drop), Err(Error::InvalidCapability));
    server.goes_on()
}

fn an_unknown_id_is_refused() -> Verdict {
    let server = Served::start()?;
    for unknown in [0, 4499, 4500, 4508, 4599, u32::MAX] {
        same!(server.refusal(Message::new(unknown).value(1_u64))?, Error::BadId);
    }
    server.goes_on()
}

fn another_size_or_number_of_rights_is_refused() -> Verdict {
    let (server, mine) = (Served::start()?, mailbox()?);
    for size in [0, 7, 9, 500] {
        same!(server.refusal(Message::new(id::<tally::Add>()).bytes(&vec![1; size]))?, Error::BadArguments);
    }
    let with_a_right = Message::new(id::<tally::Add>()).value(1_u64).right(Right::MakeSend(&mine));
    same!(server.refusal(with_a_right)?, Error::BadArguments);
    same!(server.refusal(Message::new(id::<tally::Keep>()))?, Error::BadArguments);
    server.goes_on()
}

fn what_a_refused_request_brought_is_given_up() -> Verdict {
    let server = Served::start()?;
    for unknown in [4599, id::<tally::Add>()] {
        let port = mailbox()?;
        let right = port.make_send()?;
        server.refusal(Message::new(unknown).right(port))?;
        server.goes_on()?;
        same!(right.send(Message::new(1)).map_err(|failure| failure.error), Err(Error::SendInvalidPort));
    }
    Ok(())
}

fn a_refusal_is_told() -> Verdict {
    let server = Served::start()?;
    same!(server.add(1), Ok(1));
    same!(server.add(u64::MAX), Err(Error::InvalidValue));
    same!(server.add(1), Ok(2));
    Ok(())
}

fn an_answer_comes_later() -> Verdict {
    let (server, mine) = (Served::start()?, mailbox()?);
    for _ in 0..2 {
        server.right.send(request(id::<tally::Later>(), &mine)).map_err(|failure| failure.error)?;
    }
    server.add(8)?;
    same!(mine.receive_within(0).map(drop), Err(Error::ReceiveTimedOut));
    same!(tally::release(&MsgRpc, server.name())?.results.count, 2);
    for _ in 0..2 {
        let answer = mine.receive_within(PATIENCE_MS)?;
        same!(answer.id(), id::<tally::Later>() + REPLY_OFFSET);
        same!(answer.value::<[u64; 2]>(), Ok([0, 8]));
    }
    Ok(())
}

fn a_request_that_is_let_go_is_told() -> Verdict {
    let server = Served::start()?;
    same!(tally::lose(&MsgRpc, server.name()).map(drop), Err(Error::ReceiveReplyLost));
    server.goes_on()
}

fn a_client_that_wants_no_answer_is_served() -> Verdict {
    let server = Served::start()?;
    let add = Message::new(id::<tally::Add>()).value(20_u64);
    server.right.send(add).map_err(|failure| failure.error)?;
    server.right.send(Message::new(4599)).map_err(|failure| failure.error)?;
    same!(server.add(1), Ok(21));
    Ok(())
}

fn a_client_that_has_died_is_passed_over() -> Verdict {
    let server = Served::start()?;
    for _ in 0..2 {
        let mine = mailbox()?;
        server.right.send(request(id::<tally::Later>(), &mine)).map_err(|failure| failure.error)?;
    }
    same!(tally::release(&MsgRpc, server.name())?.results.count, 0);
    // One whose request is in the queue when its port dies.
    let mine = mailbox()?;
    server.right.send(request(id::<tally::Add>(), &mine).value(1_u64)).map_err(|failure| failure.error)?;
    drop(mine);
    server.goes_on()
}

fn a_client_that_leaves_no_room_is_passed_over() -> Verdict {
    let (server, full) = (Served::start()?, ReceiveRight::allocate(Capacity::Bounded(1))?);
    let right = full.make_send()?;
    right.send(Message::new(1)).map_err(|failure| failure.error)?;
    for id in [id::<tally::Add>(), id::<tally::Later>(), 4599] {
        let request = Message::new(id).reply_to(&right);
        server.right.send(request).map_err(|failure| failure.error)?;
    }
    same!(tally::release(&MsgRpc, server.name())?.results.count, 0);
    same!(full.receive_within(0)?.id(), 1);
    same!(full.receive_within(0).map(drop), Err(Error::ReceiveTimedOut));
    server.goes_on()
}

fn an_answer_to_the_server_itself_is_no_request() -> Verdict {
    let server = Served::start()?;
    for id in [id::<tally::Add>(), 4599] {
        let request = Message::new(id).value(1_u64).reply_to(&server.right);
        server.right.send(request).map_err(|failure| failure.error)?;
    }
    server.goes_on()
}

fn nonsense_of_any_size_is_refused() -> Verdict {
    let server = Served::start()?;
    for size in [1, 511, 512, 513, 4096, 60_000] {
        same!(server.refusal(Message::new(4588).bytes(&vec![0xa5; size]))?, Error::BadId);
    }
    let mine = mailbox()?;
    let many = (0..60).fold(Message::new(id::<tally::Add>()), |message, _| message.right(Right::MakeSendOnce(&mine)));
    same!(server.refusal(many)?, Error::BadArguments);
    server.goes_on()
}

fn a_message_that_looks_like_the_kernels_is_none() -> Verdict {
    let server = Served::start()?;
    same!(server.refusal(Message::new(INTERRUPT).value(1_u64))?, Error::BadId);
    // And the kernel's own is no request: a dead name's notice would come to the notify port, and a
    // send-once right's to the port itself.
    let mine = mailbox()?;
    drop(mine.make_send_once()?);
    let mut notice = mine.receive_within(PATIENCE_MS)?;
    holds!(notice.is_from_kernel());
    holds!(matches!(tally::dispatch(&mut Tally::default(), &mut notice), portolan::Answer::Reply(_)));
    Ok(())
}

fn who_waits_is_told_that_the_server_stops() -> Verdict {
    let (mut server, mine) = (Served::start()?, mailbox()?);
    server.right.send(request(id::<tally::Later>(), &mine)).map_err(|failure| failure.error)?;
    server.add(9)?;
    same!(server.stop(), Ok(9));
    same!(mine.receive_within(PATIENCE_MS)?.notice(), Some(Notice::SendOnce));
    same!(server.add(1), Err(Error::SendInvalidPort));
    Ok(())
}
