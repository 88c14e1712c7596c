//! Connections under random acts: whatever happens, each request ends in exactly one way, and only in one that was
//! made to happen.
//!
//! The first case has a model beside it and one thread, so it is the same in every run; the others have threads that
//! wait, callbacks and tasks that die, and check what must hold in any order.

use super::{
    NOW, PATIENCE, PLAY_CLIENT, PLAY_SERVER, Result, client_of, connected, foreign_client, foreign_server, text,
};
use crate::case::Verdict;
use crate::random::Random;
use crate::{cases, holds, same};
use alloc::sync::Arc;
use alloc::vec::Vec;
use portolan::thread::{JoinHandle, sleep_ms, spawn};
use portolan_alpc::{Access, Message, Port, PortAttributes, Received, Status, Type};
use zerocopy::FromBytes;

cases!("alpc_random":
    each_request_ends_once,
    threads_that_wait_and_call_back,
    clients_that_die,
    servers_that_die,
);

const SEEDS: [u64; 3] = [0x5eed_a19c, 7, 0xdead_beef_cafe];
const ACTS: u32 = 2000;
/// Most connections at a time, and most requests without an end.
const LINKS: usize = 4;
const REQUESTS: usize = 24;

/// A side that asks, or is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Server,
    Client,
}

/// What the one who was asked has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It has not received it.
    Unheard,
    /// It has it, under this id.
    Heard(u32),
    Replied,
    Canceled,
    /// It has disconnected, or its connection was over: nothing can come of it.
    Never,
}

#[derive(Debug)]
struct Request {
    asker: Who,
    link: usize,
    /// The asker's id.
    id: u32,
    answer: Answer,
    ended: bool,
}

/// One connection.
struct Link {
    client: Port,
    side: Option<Port>,
    /// The client has been let in.
    connected: bool,
    /// The sides have disconnected, or heard that the other one has.
    client_over: bool,
    side_over: bool,
}

struct Model {
    random: Random,
    server: Port,
    links: Vec<Link>,
    requests: Vec<Request>,
}

impl Who {
    fn other(self) -> Who {
        match self {
            Who::Server => Who::Client,
            Who::Client => Who::Server,
        }
    }
}

impl Link {
    fn port(&self, who: Who) -> Option<&Port> {
        match who {
            Who::Server => self.side.as_ref(),
            Who::Client => Some(&self.client),
        }
    }

    fn over(&mut self, who: Who) -> &mut bool {
        match who {
            Who::Server => &mut self.side_over,
            Who::Client => &mut self.client_over,
        }
    }
}

impl Model {
    fn new(seed: u64) -> Result<Model> {
        let attributes = PortAttributes { max_pool_usage: 1024, ..PortAttributes::default() };
        let server = Port::create(attributes, Access::Anyone)?;
        Ok(Model { random: Random::new(seed), server, links: Vec::new(), requests: Vec::new() })
    }

    fn choose(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| self.random.below(count as u64) as usize)
    }

    fn who(&mut self) -> Who {
        if self.random.below(2) == 0 { Who::Server } else { Who::Client }
    }

    fn act(&mut self) -> Verdict {
        match self.random.below(16) {
            0 => self.connect(),
            1 if self.random.below(4) == 0 => self.disconnect(),
            2..=5 => self.ask(),
            6..=8 => self.answer(),
            9 => self.cancel_asked(),
            10 => self.cancel_asking(),
            11..=13 => self.receive(Who::Server, 0).map(drop),
            _ => match self.choose(self.links.len()) {
                Some(link) => self.receive(Who::Client, link).map(drop),
                None => Ok(()),
            },
        }
    }

    fn connect(&mut self) -> Verdict {
        if self.links.iter().filter(|link| !link.client_over).count() < LINKS {
            let number = (self.links.len() as u64).to_le_bytes();
            let client =
                Port::connect_later(&self.server.right()?, PortAttributes::default(), &Message::new(&number), None)?;
            self.links.push(Link { client, side: None, connected: false, client_over: false, side_over: false });
        }
        Ok(())
    }

    fn ask(&mut self) -> Verdict {
        let (Some(link), asker) = (self.choose(self.links.len()), self.who()) else { return Ok(()) };
        if self.requests.iter().filter(|request| !request.ended).count() >= REQUESTS {
            return Ok(());
        }
        let Some(port) = self.links[link].port(asker) else { return Ok(()) };
        let number = self.requests.len() as u64;
        match port.request_later(&Message::new(&number.to_le_bytes()).context(number + 1)) {
            Ok(id) => self.requests.push(Request { asker, link, id, answer: Answer::Unheard, ended: false }),
            Err(Status::LpcRequestsNotAllowed) => holds!(!self.links[link].connected),
            Err(Status::QuotaExceeded) => {}
            Err(status) => holds!(self.is_over(link), status),
        }
        Ok(())
    }

    fn is_over(&self, link: usize) -> bool {
        let link = &self.links[link];
        link.client_over || link.side_over
    }

    /// A request that somebody has in hand.
    fn heard(&mut self) -> Option<(usize, u32)> {
        let heard = |(at, request): (usize, &Request)| match request.answer {
            Answer::Heard(id) => Some((at, id)),
            _ => None,
        };
        let all: Vec<(usize, u32)> = self.requests.iter().enumerate().filter_map(heard).collect();
        self.choose(all.len()).map(|at| all[at])
    }

    fn answer(&mut self) -> Verdict {
        let Some((at, id)) = self.heard() else { return Ok(()) };
        let Request { asker, link, .. } = self.requests[at];
        let port = match asker {
            Who::Client => &self.server,
            Who::Server => &self.links[link].client,
        };
        self.requests[at].answer = match port.reply(id, &Message::new(&(at as u64).to_le_bytes())) {
            Ok(()) => Answer::Replied,
            // Whoever asked has disconnected.
            Err(Status::RequestCanceled) => {
                holds!(*self.links[link].over(asker), at);
                Answer::Never
            }
            Err(status) => return Err(status.into()),
        };
        Ok(())
    }

    fn cancel_asked(&mut self) -> Verdict {
        let Some((at, id)) = self.heard() else { return Ok(()) };
        let Request { asker, link, .. } = self.requests[at];
        match asker {
            Who::Client => self.server.cancel(id)?,
            Who::Server => self.links[link].client.cancel(id)?,
        }
        self.requests[at].answer = Answer::Canceled;
        Ok(())
    }

    fn cancel_asking(&mut self) -> Verdict {
        let open: Vec<usize> = (0..self.requests.len()).filter(|at| !self.requests[*at].ended).collect();
        let Some(at) = self.choose(open.len()).map(|at| open[at]) else { return Ok(()) };
        let Request { asker, link, id, .. } = self.requests[at];
        let Some(port) = self.links[link].port(asker) else { return Ok(()) };
        match port.cancel(id) {
            Ok(()) | Err(Status::QuotaExceeded) => Ok(()),
            Err(status) => {
                holds!(self.is_over(link), status);
                Ok(())
            }
        }
    }

    fn disconnect(&mut self) -> Verdict {
        let (Some(at), who) = (self.choose(self.links.len()), self.who()) else { return Ok(()) };
        if !self.links[at].connected || *self.links[at].over(who) {
            return Ok(());
        }
        let Some(port) = self.links[at].port(who) else { return Ok(()) };
        port.disconnect()?;
        self.end(at, who);
        for request in self.requests.iter_mut().filter(|request| (request.link, request.asker) == (at, who)) {
            request.ended = true;
        }
        Ok(())
    }

    /// A side's end: what it was asked is never answered.
    fn end(&mut self, link: usize, who: Who) {
        *self.links[link].over(who) = true;
        for request in self.requests.iter_mut().filter(|request| (request.link, request.asker) == (link, who.other())) {
            if matches!(request.answer, Answer::Unheard | Answer::Heard(_)) {
                request.answer = Answer::Never;
            }
        }
    }

    /// Receives what has come to the server, or to the client of a connection; whether anything has.
    fn receive(&mut self, who: Who, link: usize) -> Result<bool> {
        let port = if who == Who::Server { &self.server } else { &self.links[link].client };
        let message = match port.receive(NOW) {
            Ok(message) => message,
            Err(Status::Timeout) => return Ok(false),
            Err(status) => {
                holds!(who == Who::Client && self.links[link].client_over, status);
                return Ok(false);
            }
        };
        let number = u64::read_from_bytes(message.data()).unwrap_or(u64::MAX) as usize;
        let link = if who == Who::Server { message.port_context() as usize } else { link };
        match (message.message_type(), message.message_context()) {
            (Type::ConnectionRequest, _) => self.let_in(number, message.message_id())?,
            (Type::ConnectionReply, _) => {
                self.links[link].connected = message.data() == b"welcome";
                *self.links[link].over(Who::Client) |= !self.links[link].connected;
            }
            (Type::Request, _) => {
                let request = self.requests.get_mut(number).ok_or(Status::Unsuccessful)?;
                same!((request.asker, request.link, request.answer), (who.other(), link, Answer::Unheard));
                request.answer = Answer::Heard(message.message_id());
            }
            (Type::Canceled, 0) => {
                let heard = Answer::Heard(message.message_id());
                let canceled = |request: &&mut Request| (request.asker, request.answer) == (who.other(), heard);
                let mut all = self.requests.iter_mut().filter(canceled);
                let request = match who {
                    Who::Server => all.next(),
                    Who::Client => all.find(|request| request.link == link),
                };
                request.ok_or(Status::RequestCanceled)?.answer = Answer::Canceled;
            }
            (Type::PortClosed, _) => self.end(link, who),
            (kind, context) => self.ended(kind, context, &message, number)?,
        }
        Ok(true)
    }

    /// A request has ended where it was asked.
    fn ended(&mut self, kind: Type, context: u64, message: &Received, number: usize) -> Verdict {
        let at = context as usize - 1;
        let request = &mut self.requests[at];
        same!((request.ended, request.id), (false, message.message_id()));
        let legal = match kind {
            Type::Reply => request.answer == Answer::Replied && number == at,
            Type::Canceled => request.answer == Answer::Canceled,
            Type::LostReply => request.answer == Answer::Never,
            _ => false,
        };
        holds!(legal, kind, request);
        request.ended = true;
        Ok(())
    }

    fn let_in(&mut self, link: usize, id: u32) -> Verdict {
        if self.random.below(4) == 0 {
            *self.links[link].over(Who::Server) = true;
            return Ok(self.server.refuse(id, &text(b"no"))?);
        }
        self.links[link].side = Some(self.server.accept(id, link as u64, &text(b"welcome"))?);
        Ok(())
    }

    /// Answers and receives until nothing more happens.
    fn settle(&mut self) -> Verdict {
        loop {
            let mut quiet = true;
            while self.receive(Who::Server, 0)? {
                quiet = false;
            }
            for link in 0..self.links.len() {
                while self.receive(Who::Client, link)? {
                    quiet = false;
                }
            }
            while self.heard().is_some() {
                self.answer()?;
                quiet = false;
            }
            if quiet {
                return Ok(());
            }
        }
    }
}

fn each_request_ends_once() -> Verdict {
    for seed in SEEDS {
        let mut model = Model::new(seed)?;
        for _ in 0..ACTS {
            model.act()?;
        }
        model.settle()?;
        let open: Vec<&Request> = model.requests.iter().filter(|request| !request.ended).collect();
        holds!(open.is_empty(), seed, open);
        holds!(model.requests.len() > 100, seed);
        let server = model.server.query_information();
        same!((server.pending, server.awaited), (0, 0));
        let connected = |link: &&Link| link.connected && !link.side_over && !link.client_over;
        same!(server.connections, model.links.iter().filter(connected).count());
        for link in &model.links {
            let client = link.client.query_information();
            same!((client.pending, client.awaited), (0, 0));
        }
    }
    Ok(())
}

/// A server's thread: what it does with a request is left to chance.
fn serve(server: Arc<Port>, seed: u64) -> Result<JoinHandle<Result<(), Status>>> {
    Ok(spawn(move || {
        let mut random = Random::new(seed);
        loop {
            let message = server.receive(PATIENCE)?;
            let id = message.message_id();
            match (message.message_type(), random.below(8)) {
                (Type::Datagram, _) => return Ok(()),
                (Type::Request, 0) => _ = server.cancel(id),
                // It takes too long for a client in a hurry.
                (Type::Request, 1) => {
                    sleep_ms(3);
                    _ = server.reply(id, &Message::new(message.data()));
                }
                (Type::Request, 2..=4) => {
                    let asked = server.callback(id, &Message::new(message.data()), Some(20));
                    if asked.is_ok_and(|answer| answer.data() == message.data()) {
                        _ = server.reply(id, &Message::new(message.data()));
                    } else {
                        _ = server.cancel(id);
                    }
                }
                (Type::Request, _) => _ = server.reply(id, &Message::new(message.data())),
                _ => {}
            }
        }
    })?)
}

/// A client's request, with the callbacks that come within; whether it ended in a way that it may.
fn asks(client: &Port, number: u64, random: &mut Random) -> bool {
    let data = number.to_le_bytes();
    let timeout = if random.below(4) == 0 { Some(2) } else { PATIENCE };
    let mut arrived = client.request(&Message::new(&data), timeout);
    loop {
        arrived = match arrived {
            Ok(message) if message.data() != data => return false,
            Ok(message) if message.message_type() == Type::Reply => return true,
            Ok(callback) => client.reply_and_wait(callback.message_id(), &Message::new(&data), timeout),
            Err(Status::MessageLost | Status::RequestCanceled | Status::LpcReplyLost | Status::InvalidParameter) => {
                return true;
            }
            Err(status) => return status == Status::Timeout && timeout != PATIENCE,
        };
    }
}

fn threads_that_wait_and_call_back() -> Verdict {
    let server = Arc::new(Port::create(PortAttributes::default(), Access::Anyone)?);
    let mut pairs = Vec::new();
    for context in 0..3 {
        let (client, side) = connected(&server, PortAttributes::default(), context)?;
        pairs.push((Arc::new(client), side));
    }
    let servers = [serve(Arc::clone(&server), SEEDS[0])?, serve(Arc::clone(&server), SEEDS[1])?];
    let mut clients = Vec::new();
    for (seed, (client, _)) in (1..).zip(&pairs) {
        let client = Arc::clone(client);
        clients.push(spawn(move || {
            let mut random = Random::new(seed);
            (0..80).filter(|number| !asks(&client, seed << 32 | number, &mut random)).count()
        })?);
    }
    for client in clients {
        same!(client.join()?, 0);
    }
    for _ in &servers {
        pairs[0].0.datagram(&text(b"stop"))?;
    }
    for thread in servers {
        thread.join()??;
    }
    same!((server.query_information().pending, pairs[0].0.query_information().pending), (0, 0));
    Ok(())
}

/// A peer's part: a client that asks on and on, and answers what it is asked.
pub(super) fn play_client(port: &Port, seed: u64) -> Result<u64, Status> {
    let mut random = Random::new(seed);
    for number in 0.. {
        match random.below(4) {
            0 => drop(port.request_later(&Message::new(&u64::to_le_bytes(number)))),
            1 => drop(port.datagram(&text(b"by the way"))),
            2 => drop(port.receive(NOW)),
            _ => drop(asks(port, number, &mut random)),
        }
    }
    Ok(0)
}

/// A peer's part: a server that answers some.
pub(super) fn play_server(port: &Port, seed: u64) -> Result<u64, Status> {
    let mut random = Random::new(seed);
    loop {
        let message = port.receive(PATIENCE)?;
        let id = message.message_id();
        match random.below(4) {
            0 => _ = port.cancel(id),
            1 => {}
            2 => drop(port.callback(id, &Message::new(message.data()), PATIENCE)),
            _ => _ = port.reply(id, &Message::new(message.data())),
        }
    }
}

fn clients_that_die() -> Verdict {
    let server = Port::create(PortAttributes::default(), Access::Anyone)?;
    for seed in 1..=6 {
        let mut random = Random::new(seed);
        let (peer, side) = foreign_client(&server, false)?;
        let _plays = peer.hand.act(PLAY_CLIENT, [seed, 0, 0, 0, 0, 0])?;
        for _ in 0..random.below(40) {
            let Ok(message) = server.receive(Some(50)) else { continue };
            let id = message.message_id();
            match (message.message_type(), random.below(4)) {
                (Type::Request, 0) => drop(server.callback(id, &Message::new(message.data()), Some(20))),
                (Type::Request, 1) => {}
                (Type::Request, 2) => drop(side.request_later(&text(b"and you?"))),
                (Type::Request, _) => _ = server.reply(id, &Message::new(message.data())),
                _ => {}
            }
        }
        peer.terminate()?;
        let mut kinds = Vec::new();
        while let Ok(message) = server.receive(Some(20)) {
            kinds.push(message.message_type());
        }
        same!(kinds.iter().filter(|kind| matches!(kind, Type::ClientDied | Type::PortClosed)).count(), 1);
        let information = server.query_information();
        same!((information.pending, information.awaited, information.connections), (0, 0, 0));
    }
    Ok(())
}

/// Asks again and again; why that ended.
fn ask_to_the_end(client: &Port) -> Status {
    let mut arrived = client.request(&text(b"question"), PATIENCE);
    loop {
        arrived = match arrived {
            Ok(callback) if callback.message_type() == Type::Request => {
                client.reply_and_wait(callback.message_id(), &text(b"answer"), PATIENCE)
            }
            Ok(_) | Err(Status::MessageLost | Status::QuotaExceeded) => client.request(&text(b"question"), PATIENCE),
            Err(status) => return status,
        };
    }
}

fn servers_that_die() -> Verdict {
    for seed in 1..=6 {
        let mut random = Random::new(seed);
        let (peer, right) = foreign_server()?;
        let client = Arc::new(client_of(&peer, &right)?);
        let _plays = peer.hand.act(PLAY_SERVER, [seed, 0, 0, 0, 0, 0])?;
        let waits = {
            let client = Arc::clone(&client);
            spawn(move || ask_to_the_end(&client))?
        };
        let mut open = Vec::new();
        for number in 0..random.below(12) {
            if let Ok(id) = client.request_later(&text(b"later").context(number + 1)) {
                open.push(id);
            }
        }
        sleep_ms(random.below(8) as u32);
        peer.terminate()?;
        let ended = waits.join()?;
        holds!(matches!(ended, Status::LpcReplyLost | Status::PortDisconnected | Status::RequestCanceled), ended, seed);
        // Each asynchronous one has one end, and the connection, too.
        let mut ends = 0;
        while let Ok(message) = client.receive(PATIENCE) {
            match message.message_type() {
                Type::PortClosed => ends += 1,
                Type::Request => {}
                _ => open.retain(|id| *id != message.message_id()),
            }
        }
        same!((ends, open.len(), client.query_information().awaited), (1, 0, 0));
    }
    Ok(())
}
