//! The name server: knows which port a service's name stands for (`portolan::name_server`).
//!
//! It receives at three ports at once: where everyone asks; where the bootstrap server alone declares
//! services; and its notify port, which tells of ports that have died, of registrations that nobody has
//! any more, and of clients that have stopped waiting. Invariant: nobody waits for a name that
//! stands for a port; and a name stands for a port that lives, or for one whose death is being told.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;
use portolan::name_server::declaration::{self, Declare};
use portolan::name_server::protocol::{self, List, LookUp, Register, WaitFor};
use portolan::name_server::{EACH_MAX, Entry, LISTED, SERVICE};
use portolan::server::{Call, Held, Outcome, Unanswered, refuse};
use portolan::service::ServiceName;
use portolan::start::startup;
use portolan::{
    Answer, Capacity, Error, Name, Notice, PortSet, ReceiveRight, Received, Result, Right, SendRight, bootstrap,
    notification,
};

portolan::main!(main);

fn main() -> Result<()> {
    let asked = bootstrap::check_in(SERVICE)?;
    let declared = ReceiveRight::allocate(Capacity::Unbounded)?;
    let mut names = Names::default();
    bootstrap::services(&declared)?;
    // The services that exist have been told by now, and are known before anyone is answered.
    while let Ok(mut message) = declared.receive_within(0) {
        let _ = declaration::dispatch(&mut names, &mut message);
    }
    let all = PortSet::allocate()?;
    for port in [&asked, &declared, notification::port()] {
        all.add(port)?;
    }
    all.serve(|message| match message.port() == declared.name() {
        true => declaration::dispatch(&mut names, message),
        false => protocol::dispatch(&mut names, message),
    })
}

#[derive(Default)]
struct Names {
    known: BTreeMap<ServiceName, Known>,
    /// In the order of asking.
    waiting: Vec<Waiting>,
}

/// What a name stands for.
enum Known {
    /// A declared service, with its port while it has one.
    Declared(Option<SendRight>),
    Registered(Registered),
}

struct Registered {
    port: SendRight,
    /// Whoever can send here keeps the name.
    registration: ReceiveRight,
    owner: u64,
}

struct Waiting {
    name: ServiceName,
    task: u64,
    request: Held<WaitFor>,
}

impl Known {
    fn port(&self) -> Option<&SendRight> {
        match self {
            Known::Declared(port) => port.as_ref(),
            Known::Registered(registered) => Some(&registered.port),
        }
    }

    /// The task that has registered it, 0 if it is declared.
    fn owner(&self) -> u64 {
        match self {
            Known::Declared(_) => 0,
            Known::Registered(registered) => registered.owner,
        }
    }
}

impl protocol::Server for Names {
    fn look_up(&mut self, _: &mut Call<'_, LookUp>, name: ServiceName) -> Outcome<LookUp> {
        name.text()?;
        Ok(self.port(name).ok_or(Error::InvalidName)?)
    }

    fn wait_for(&mut self, call: &mut Call<'_, WaitFor>, name: ServiceName) -> Outcome<WaitFor> {
        name.text()?;
        if let Some(port) = self.port(name) {
            return Ok(port);
        }
        let task = call.sender();
        if self.waiting.iter().filter(|waiting| waiting.task == task).count() >= EACH_MAX {
            return Err(Error::NoSpace.into());
        }
        let request = call.hold();
        // Without word of its end, a client that has gone would be kept for ever.
        match request.request_dead_name(Right::Null) {
            Ok(()) => self.waiting.push(Waiting { name, task, request }),
            Err(error) => drop(request.answer(Err(error))),
        }
        Err(Unanswered::Later)
    }

    fn register(&mut self, call: &mut Call<'_, Register>, name: ServiceName, port: SendRight) -> Outcome<Register> {
        name.text()?;
        if self.known.contains_key(&name) {
            return Err(Error::NameExists.into());
        }
        let owner = call.sender();
        if self.known.values().filter(|known| known.owner() == owner).count() >= EACH_MAX {
            return Err(Error::NoSpace.into());
        }
        // A right that has died meanwhile would never be told of.
        drop(port.try_clone().map_err(|_| Error::InvalidCapability)?);
        let registration = ReceiveRight::allocate(Capacity::Bounded(1))?;
        let kept = registration.make_send()?;
        registration.request_no_senders(1, Right::Null)?;
        self.known.insert(name, Known::Registered(Registered { port, registration, owner }));
        self.answer_waiting(name);
        Ok(kept)
    }

    fn list(&mut self, _: &mut Call<'_, List>, after: ServiceName) -> Outcome<List> {
        let mut entries = [Entry::NONE; LISTED];
        let mut count = 0;
        let later = self.known.range((Bound::Excluded(after), Bound::Unbounded));
        let later = later.filter(|(_, known)| known.port().is_some());
        for (entry, (name, known)) in entries.iter_mut().zip(later) {
            *entry = Entry { name: *name, owner: known.owner() };
            count += 1;
        }
        Ok((count, 0, entries))
    }

    fn other(&mut self, message: &mut Received) -> Answer<'static> {
        match message.notice() {
            Some(Notice::DeadName(name)) if is_bootstrap(name) => return Answer::Stop,
            Some(Notice::DeadName(name)) => self.has_died(name),
            Some(Notice::NoSenders(name, _)) => self.is_given_up(name),
            // What was asked for is no longer there.
            Some(_) => {}
            None => return refuse(message, Error::BadId),
        }
        Answer::Nothing
    }
}

impl declaration::Server for Names {
    fn declare(&mut self, _: &mut Call<'_, Declare>, name: ServiceName, service: SendRight) -> Outcome<Declare> {
        self.known.insert(name, Known::Declared(Some(service)));
        self.answer_waiting(name);
        Ok(())
    }
}

impl Names {
    /// A right for who asks.
    fn port(&self, name: ServiceName) -> Option<SendRight> {
        self.known.get(&name)?.port()?.try_clone().ok()
    }

    fn answer_waiting(&mut self, name: ServiceName) {
        while let Some(first) = self.waiting.iter().position(|waiting| waiting.name == name)
            && let Some(port) = self.port(name)
        {
            // Whoever has gone needs no answer.
            let _ = self.waiting.remove(first).request.answer(Ok(port));
        }
    }

    /// A right has become a dead name: of a port that names stand for, or of a client that waited.
    fn has_died(&mut self, dead: Name) {
        self.waiting.retain(|waiting| !waiting.request.answers_through(dead));
        self.known.retain(|_, known| {
            let died = known.port().is_some_and(|port| port.name() == dead);
            match known {
                Known::Declared(port) if died => *port = None,
                Known::Registered(_) if died => return false,
                _ => {}
            }
            true
        });
    }

    /// Nobody keeps a name any more.
    fn is_given_up(&mut self, registration: Name) {
        self.known.retain(|_, known| match known {
            Known::Registered(registered) => registered.registration.name() != registration,
            Known::Declared(_) => true,
        });
    }
}

/// Whether it is the right to the bootstrap server, without which there is nobody left to serve.
fn is_bootstrap(name: Name) -> bool {
    startup().bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.name() == name)
}
