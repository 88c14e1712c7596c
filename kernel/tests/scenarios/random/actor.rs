//! A task that does deeds, and remembers every name it was ever told.

use super::deed::{Deed, Enclosure, Given, Known, Letter, page_address};
use crate::harness::{Message, Pending, Received, System, Task, Thread, WhenFull};
use portolan_abi::call::{WordWait, number};
use portolan_abi::message::{Descriptor, Header, Options};
use portolan_abi::{Call, Capacity, Disposition, Error, Name, Result, RightKind, WordOptions};
use portolan_machine::Exception;
use portolan_machine::sim::script::Action;

/// Threads that a task has at most.
const THREADS: usize = 6;

/// A task, and what its threads still wait for.
pub struct Actor {
    pub task: Task,
    pub names: Vec<Name>,
    threads: Vec<Thread>,
    /// A port for replies, as long as the task does not lose it.
    replies: Name,
    receiving: Vec<Pending<Result<Received>>>,
    sending: Vec<Pending<Result<()>>>,
}

impl Actor {
    pub fn new(system: &System) -> Actor {
        let task = system.task("actor");
        let threads = vec![(*task).clone(), task.thread()];
        let replies = task.port(Capacity::DEFAULT);
        let set = task.port_allocate_name(Name::NULL, RightKind::PortSet, Capacity::Zero).expect("a set");
        let names = vec![task.task_self(), task.notify(), task.thread_self(), set];
        Actor { task, names, threads, replies, receiving: Vec::new(), sending: Vec::new() }
    }

    /// Whether the task has not been ended.
    pub fn lives(&self) -> bool {
        self.task.exists()
    }

    /// Looks at what has been received since, and whether it was a result that may be.
    pub fn learn(&mut self) {
        for message in finished(&mut self.receiving) {
            match message {
                Ok(message) => {
                    let names = message.rights.iter().map(|right| right.name).chain([message.reply_right()]);
                    self.names.extend(names.filter(|name| name.is_valid()));
                }
                Err(error) => assert!(of_send(error) || of_receive(error), "a receive ended with {error:?}"),
            }
        }
        for error in finished(&mut self.sending).into_iter().filter_map(Result::err) {
            assert!(of_send(error), "a send ended with {error:?}");
        }
    }

    /// Does a deed, unless the thread is in the middle of another one.
    pub fn perform(&mut self, thread: usize, deed: Deed) {
        let thread = self.threads[thread % self.threads.len()].clone();
        if !thread.is_free() {
            return;
        }
        match deed {
            Deed::Allocate(capacity) => self.allocate(&thread, capacity),
            Deed::Deallocate(name) => deallocate(&thread, self.name(name)),
            Deed::Send { message, when_full, abortable } => {
                let (mut options, timeout) = when_full.options();
                options.set(Options::SEND_INTERRUPT, abortable);
                self.sending.push(thread.send_with(self.message(&thread, message), options, timeout));
            }
            Deed::Receive { from, ms, room } => {
                let mut options = Options::RCV_INTERRUPT;
                options.set(Options::RCV_TIMEOUT, ms.is_some());
                self.receiving.push(thread.receive_with(self.name(from), options, ms.unwrap_or(0), room));
            }
            Deed::Rpc { message, when_full, from, ms } => {
                let message = self.message(&thread, message);
                self.receiving.push(thread.rpc_with(message, when_full, self.name(from), ms, 1024));
            }
            Deed::Request { to, reply, request } => {
                let chosen = request.chosen();
                let memory = request.memory().map(|bytes| Descriptor::memory(bytes.address(), bytes.size(), 0));
                let (id, body, rights) = request.encode(|name| self.name(name));
                let to = to.map_or((self.names[0], Disposition::CopySend), |Given(to, how)| (self.name(to), how));
                let reply =
                    reply.map_or((self.replies, Disposition::MakeSendOnce), |Given(to, how)| (self.name(to), how));
                let mut message = Message::by(to.0, to.1).reply(reply.0, reply.1).id(id).text(body);
                message.rights = self.descriptors(&rights);
                message.rights.extend(memory);
                self.receiving.push(thread.rpc_with(message, WhenFull::Wait, self.replies, Some(0), 1024));
                self.names.extend(chosen);
            }
            Deed::NewThread if self.threads.len() < THREADS => {
                self.threads.extend(self.task.thread_of_priority(portolan_abi::thread::PRIORITY_DEFAULT));
            }
            deed => perform_alone(&thread, deed, |name| self.name(name)),
        }
    }

    fn allocate(&mut self, thread: &Thread, capacity: Capacity) {
        // A thread that has been ended does not answer.
        match thread.call(Call::PortAllocate(capacity)).result() {
            Some((Ok(()), name)) => self.names.push(Name(name as u32)),
            Some((Err(error), _)) => {
                assert!(matches!(error, Error::ResourceShortage | Error::NoSpace), "port_allocate: {error:?}");
            }
            None => {}
        }
    }

    fn name(&self, Known(back): Known) -> Name {
        match self.names.len().checked_sub(back.saturating_add(1)) {
            Some(place) => self.names[place],
            None if back == usize::MAX => Name::NULL,
            None => Name::new(back as u32, 7),
        }
    }

    fn descriptors(&self, rights: &[Given]) -> Vec<Descriptor> {
        rights.iter().map(|Given(name, how)| Descriptor::port(self.name(*name), *how as u8)).collect()
    }

    /// A letter as a thread sends it. The names of arrays lie among its inline bytes.
    fn message(&self, thread: &Thread, letter: Letter) -> Message {
        let mut message = Message::by(self.name(letter.to.0), letter.to.1);
        if let Some(Given(port, how)) = letter.reply {
            message = message.reply(self.name(port), how);
        }
        message.rights = self.descriptors(&letter.rights);
        let descriptors = letter.rights.len() + letter.enclosures.len();
        let body = thread.buffers().0 + (Header::SIZE + descriptors * Descriptor::SIZE) as u64;
        for enclosure in letter.enclosures {
            let descriptor = match enclosure {
                Enclosure::Memory(bytes, flags) => Descriptor::memory(bytes.address(), bytes.size(), flags),
                Enclosure::Array([Given(one, how), Given(other, _)]) => {
                    let address = body + message.body.len() as u64;
                    message.body.extend([one, other].iter().flat_map(|name| self.name(*name).0.to_le_bytes()));
                    Descriptor::ports(address, 2, how as u8)
                }
            };
            message = message.descriptor(descriptor);
        }
        message.body.resize(message.body.len() + letter.size, 0x11);
        message
    }
}

fn deallocate(thread: &Thread, name: Name) {
    if let Some((Err(error), _)) = thread.call(Call::PortDeallocate(name)).result() {
        assert_eq!(error, Error::InvalidName, "port_deallocate");
    }
}

/// Deeds that concern the thread alone.
fn perform_alone(thread: &Thread, deed: Deed, name: impl Fn(Known) -> Name) {
    match deed {
        Deed::Touch { page, write } => {
            let address = page_address(page);
            let store = Action::Store { address, bytes: vec![page as u8] };
            thread.perform(vec![if write { store } else { Action::Load { address, size: 1 } }]);
        }
        Deed::Divide => drop(thread.perform(vec![Action::Raise(Exception::Divide)])),
        Deed::Yield(hint) => {
            let hint = name(hint);
            thread.call(Call::ThreadSwitch { hint, sleep: None });
        }
        Deed::WordWait { page, ms, owner } => {
            let address = page_address(page);
            if let Some(owner) = owner {
                thread.perform(vec![Action::Store { address, bytes: owner.to_le_bytes().to_vec() }]);
            }
            let options = if owner.is_some() { WordOptions::OWNED } else { WordOptions::empty() };
            let deadline = ms.map(|ms| thread.now().plus_ms(ms).0);
            thread.call(Call::WordWait(WordWait { address, expected: owner.unwrap_or(0), deadline, options }));
        }
        Deed::WordWake { page, count } => {
            thread.call(Call::WordWake { address: page_address(page), count });
        }
        Deed::Sleep(ms) => drop(thread.sleep(ms)),
        Deed::Work(ms) => drop(thread.work_ms(ms)),
        // What it writes to the console would say nothing.
        Deed::Garbage { number, arguments } if number != number::DEBUG_WRITE => {
            thread.trap(number, arguments);
        }
        _ => {}
    }
}

/// Takes out what is over.
fn finished<T>(all: &mut Vec<Pending<T>>) -> Vec<T> {
    let mut results = Vec::new();
    all.retain(|pending| match pending.result() {
        Some(result) => {
            results.push(result);
            false
        }
        None => true,
    });
    results
}

/// Whether it is an error of a sending half.
fn of_send(error: Error) -> bool {
    (-199..=-100).contains(&error.code())
}

/// Whether it is an error of a receiving half.
fn of_receive(error: Error) -> bool {
    (-299..=-200).contains(&error.code())
}
