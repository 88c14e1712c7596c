//! Every kernel routine, asked of every kind of port, with names and rights of every kind.
//!
//! Whatever is asked for, the answer is success or an error that the routine's reference
//! names; the invariants hold after every step, and in the end nothing is left.
//! Neighbours: `routines`, where memory runs out; `kernel_ports`, where single rules are tried.

use crate::harness::{MEMORY, Message, System, Task, WhenFull, no_right};
use portolan_abi::interface::{REPLY_OFFSET, ReplyHead, Routine, RoutineText};
use portolan_abi::message::Descriptor;
use portolan_abi::registers::{FloatingPoint, Registers};
use portolan_abi::task::{self, Limits};
use portolan_abi::vm::{self, INLINE_MAX, Inheritance};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, RightKind, error};
use portolan_abi::{host, interrupt, io_ports, memory_object, pager, port, thread};
use std::collections::BTreeSet;
use zerocopy::FromBytes;

const PAGE: u64 = PAGE_SIZE as u64;
/// Where the asking task has memory.
const HERE: u64 = 0x5000_0000;
/// Room for the largest reply.
const ROOM: u32 = 4096;

/// The routines of one kind of port.
type Interface = &'static [RoutineText];

/// A task that asks, and what it can ask about.
struct Stage {
    _system: System,
    me: Task,
    own: Name,
    victim: Name,
    thread: Name,
    object: Name,
    pager: Name,
    plain_host: Name,
    host: Name,
    interrupt: Name,
    io_ports: Name,
    replies: Name,
}

impl Stage {
    fn new() -> Stage {
        let system = System::boot();
        let limits = Limits { memory: 2 << 20, ports: 800, frames: 300 };
        let me = system.task_with("asker", limits).expect("a task");
        let (own, replies) = (me.task_self(), me.port(Capacity::Unbounded));
        let usable = Protection::READ_WRITE.bits();
        let inherited = Inheritance::Copy as u32;
        vm::vm_map(&*me, own, HERE, 4 * PAGE, 0, usable, usable, inherited, 0, no_right()).expect("memory");
        let object = vm::memory_object_create(&*me, own, 4 * PAGE).expect("an object").rights[0];
        let door = Descriptor::port(replies, Disposition::MakeSend as u8);
        let paged = vm::memory_object_create_paged(&*me, own, 4 * PAGE, 7, door).expect("an object").rights;
        let first = system.first();
        let told = Descriptor::port(first.notify(), Disposition::MakeSend as u8);
        let line = host::interrupt_bind(&**first, first.host_port(), 4, 0, told).expect("a line").rights[0];
        let range = host::io_claim(&**first, first.host_port(), 0x1f0, 8).expect("I/O ports").rights[0];
        let interrupt = first.give(&me, line, Disposition::MoveSend);
        let io_ports = first.give(&me, range, Disposition::MoveSend);
        let host = first.give(&me, first.host_port(), Disposition::CopySend);
        let plain_host = first.give(&me, first.plain_host_port(), Disposition::CopySend);
        let none = Name::NULL;
        let mut stage = Stage {
            _system: system,
            me,
            own,
            victim: none,
            thread: none,
            object,
            pager: paged[1],
            plain_host,
            host,
            interrupt,
            io_ports,
            replies,
        };
        stage.renew();
        stage
    }

    /// Makes the task and the thread that things are done to anew, if they have ended.
    fn renew(&mut self) {
        let lives = |name| self.me.port_type(name).is_ok_and(|kind| kind.dead == 0);
        if lives(self.victim) && lives(self.thread) {
            return;
        }
        let _ = task::terminate(&*self.me, self.victim);
        let limits = Limits { memory: 60_000, ports: 5, frames: 5 };
        let made = task::create(&*self.me, self.own, [b'v'; 32], limits, 0, 0, no_right());
        self.victim = made.expect("a victim").rights[0];
        let suspended = task::ThreadFlags::SUSPENDED.bits();
        let thread = task::thread_create(&*self.me, self.victim, HERE, HERE, 0, 1, suspended);
        self.thread = thread.expect("a thread").rights[0];
    }

    /// Asks, and returns what the routine said; or why it could not be asked.
    fn ask(&self, to: Name, id: u32, body: &[u8], descriptors: &[Descriptor]) -> Result<()> {
        let mut message = Message::to(to).reply(self.replies, Disposition::MakeSendOnce).id(id).text(body);
        message.rights = descriptors.to_vec();
        let asked = self.me.rpc_with(message, WhenFull::Return, self.replies, Some(0), ROOM);
        let Some(answer) = asked.result() else { panic!("{id}: the asker has ended or waits") };
        let answer = answer?;
        assert_eq!(answer.header.id, id + REPLY_OFFSET);
        let (head, _) = ReplyHead::read_from_prefix(&answer.body).expect("a head");
        error::result_of(head.code)
    }

    /// Names of every kind, good and bad.
    fn names(&self) -> Vec<Name> {
        let both = self.me.port(Capacity::Bounded(1));
        self.me.give_send(&self.me, both);
        let once = self.me.port(Capacity::Bounded(1));
        let once = self.me.give(&self.me, once, Disposition::MakeSendOnce);
        let gone = self.me.port(Capacity::Bounded(1));
        self.me.port_deallocate(gone).expect("ours");
        let dead = self.name_of(RightKind::DeadName);
        let set = self.name_of(RightKind::PortSet);
        let port = self.me.port(Capacity::Bounded(1));
        let far = Name::new(5_000, 3);
        vec![Name::NULL, Name::DEAD, far, gone, dead, set, port, both, once, self.object, self.thread]
    }

    fn name_of(&self, kind: RightKind) -> Name {
        self.me.port_allocate_name(Name::NULL, kind, Capacity::Zero).expect("a name")
    }

    /// Sends to a port of the asker's own, and receives.
    fn pass_messages(&self, port: Name) {
        for _ in 0..2 {
            let message = Message::by(port, Disposition::MakeSend);
            let _ = self.me.send(message, WhenFull::Return).done();
            let _ = self.me.receive_now(port).done();
        }
    }

    /// The ports of the kernel's, each with what can be asked there.
    fn doors(&self) -> Vec<(Name, Vec<Interface>)> {
        let task = vec![task::ROUTINES, port::ROUTINES, vm::ROUTINES];
        vec![
            (self.victim, task),
            (self.thread, vec![thread::ROUTINES]),
            (self.object, vec![memory_object::ROUTINES]),
            (self.pager, vec![pager::ROUTINES]),
            (self.plain_host, vec![host::ROUTINES]),
            (self.host, vec![host::ROUTINES]),
            (self.interrupt, vec![interrupt::ROUTINES]),
            (self.io_ports, vec![io_ports::ROUTINES]),
        ]
    }

    /// The memory that a request is to bring.
    fn memory(routine: &RoutineText) -> Vec<Descriptor> {
        routine.memory_in.iter().map(|_| Descriptor::memory(MEMORY, 100, 0)).collect()
    }
}

impl Drop for Stage {
    /// Tasks do not end with their makers.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = task::terminate(&*self.me, self.victim);
        }
    }
}

/// A right that a request may bring.
type Brought = fn(&Stage) -> (Name, Disposition);

/// One of every kind.
const RIGHTS: &[Brought] = &[
    |_| (Name::NULL, Disposition::CopySend),
    |_| (Name::DEAD, Disposition::CopySend),
    |s| (s.name_of(RightKind::DeadName), Disposition::MoveSend),
    |s| (s.me.port(Capacity::Bounded(1)), Disposition::MakeSend),
    |s| (s.me.port(Capacity::Bounded(1)), Disposition::MakeSendOnce),
    |s| (s.me.port(Capacity::Bounded(1)), Disposition::MoveReceive),
    |s| (s.own, Disposition::CopySend),
    |s| (s.victim, Disposition::CopySend),
    |s| (s.thread, Disposition::CopySend),
    |s| (s.object, Disposition::CopySend),
    |s| (s.pager, Disposition::CopySend),
    |s| (s.host, Disposition::CopySend),
    |s| (s.replies, Disposition::MakeSend),
];

/// What stands in the fields of a request that are no names.
#[derive(Clone, Copy)]
enum Filling {
    Zeros,
    Ones,
    /// What may make sense.
    Sense,
}

const FILLINGS: [Filling; 3] = [Filling::Zeros, Filling::Ones, Filling::Sense];

/// The body of a request. Its names are those given, in order, and null.
fn body(routine: &RoutineText, filling: Filling, names: &[Name]) -> Vec<u8> {
    let mut names = names.iter();
    let fields = routine.arguments.iter().map(|(field, kind)| match (kind.trim(), filling) {
        ("Name", _) => names.next().unwrap_or(&Name::NULL).0.to_le_bytes().to_vec(),
        (kind, Filling::Zeros) => vec![0; size_of_field(kind)],
        (kind, Filling::Ones) => vec![0xff; size_of_field(kind)],
        (kind, Filling::Sense) => match *field {
            "address" | "source" | "old" | "entry" | "stack" => HERE.to_le_bytes().to_vec(),
            "target" => (HERE + PAGE).to_le_bytes().to_vec(),
            "size" | "room" => 64_u64.to_le_bytes()[..size_of_field(kind)].to_vec(),
            "limits" => vec![0; size_of_field(kind)],
            _ => [&[1][..], &vec![0; size_of_field(kind) - 1]].concat(),
        },
    });
    fields.collect::<Vec<_>>().concat()
}

fn size_of_field(kind: &str) -> usize {
    match kind {
        "u32" | "i32" | "Name" => 4,
        "u64" => 8,
        "[u8; 32]" => 32,
        "[u8; INLINE_MAX]" => INLINE_MAX,
        "[u8; BYTES_MAX]" => io_ports::BYTES_MAX,
        "Limits" => size_of::<Limits>(),
        "Registers" => size_of::<Registers>(),
        "FloatingPoint" => size_of::<FloatingPoint>(),
        other => panic!("a field of type {other}"),
    }
}

/// The routines that this one's text points to for its errors are followed.
fn is_documented(interfaces: &[Interface], routine: &RoutineText, error: Error) -> bool {
    let text = routine.lines.concat();
    let parts: Vec<&str> = text.split('`').collect();
    parts.chunks_exact(2).any(|pair| {
        let (before, word) = (pair[0].trim_end_matches('['), pair[1]);
        let pointed = || interfaces.iter().copied().flatten().find(|other| other.name == word);
        let points = ["s for ", "errors of "].iter().any(|end| before.ends_with(end));
        word == format!("{error:?}")
            || (word == "Send…" && (-199..=-100).contains(&error.code()))
            || (points && pointed().is_some_and(|other| is_documented(interfaces, other, error)))
    })
}

/// Every kind of port that has routines.
const ALL: &[Interface] = &[
    task::ROUTINES,
    thread::ROUTINES,
    port::ROUTINES,
    vm::ROUTINES,
    memory_object::ROUTINES,
    pager::ROUTINES,
    host::ROUTINES,
    interrupt::ROUTINES,
    io_ports::ROUTINES,
];

/// Judges an answer by the routine's own reference.
fn judge(interfaces: &[Interface], routine: &RoutineText, answer: Result<()>) {
    if let Err(error) = answer {
        assert!(is_documented(interfaces, routine, error), "{} does not say that it gives {error:?}", routine.name);
    }
}

/// Every routine but the one that ends the machine, with the port it is asked of.
fn each_routine(mut act: impl FnMut(&mut Stage, usize, &[Interface], &'static RoutineText)) {
    let count = Stage::new().doors().len();
    for door in 0..count {
        let mut stage = Stage::new();
        let interfaces = stage.doors()[door].1.clone();
        for routine in interfaces.iter().copied().flatten().filter(|routine| routine.id != host::Exit::ID) {
            act(&mut stage, door, &interfaces, routine);
        }
    }
}

#[test]
fn every_routine_with_every_kind_of_right() {
    each_routine(|stage, door, interfaces, routine| {
        let kinds = if routine.rights_in.is_empty() { &RIGHTS[..1] } else { RIGHTS };
        for filling in FILLINGS {
            for kind in kinds {
                stage.renew();
                let (name, how) = kind(stage);
                let mut rights = vec![Descriptor::port(name, how as u8)];
                rights.resize(routine.rights_in.len().max(1), no_right());
                rights.truncate(routine.rights_in.len());
                rights.extend(Stage::memory(routine));
                let to = stage.doors()[door].0;
                judge(interfaces, routine, stage.ask(to, routine.id, &body(routine, filling, &[]), &rights));
            }
        }
    });
}

#[test]
fn every_routine_with_every_kind_of_name() {
    for interface in [port::ROUTINES, vm::ROUTINES] {
        let mut stage = Stage::new();
        for routine in interface {
            let wanted = routine.arguments.iter().filter(|(_, kind)| *kind == "Name").count();
            // Of one name, what is set to its largest is used afterwards.
            let fillings = if wanted == 1 { &FILLINGS[..] } else { &FILLINGS[2..] };
            let count = stage.names().len().pow(wanted as u32) * fillings.len();
            for number in 0..count {
                if stage.me.info().used.ports > 100 {
                    // What there is of the kernel is counted until it is gone.
                    drop(stage);
                    stage = Stage::new();
                }
                let names = stage.names();
                let (filling, number) = (fillings[number % fillings.len()], number / fillings.len());
                let names = [names[number % names.len()], names[number / names.len()]];
                let mut brought: Vec<_> = routine.rights_in.iter().map(|_| no_right()).collect();
                brought.extend(Stage::memory(routine));
                let body = body(routine, filling, &names);
                judge(&[interface], routine, stage.ask(stage.own, routine.id, &body, &brought));
                names.iter().for_each(|name| stage.pass_messages(*name));
            }
        }
    }
}

#[test]
fn no_routine_is_behind_a_port_of_another_kind() {
    let stage = Stage::new();
    for (to, own) in stage.doors() {
        let here: BTreeSet<u32> = own.iter().copied().flatten().map(|routine| routine.id).collect();
        for routine in ALL.iter().copied().flatten().filter(|routine| !here.contains(&routine.id)) {
            let mut brought: Vec<_> = routine.rights_in.iter().map(|_| no_right()).collect();
            brought.extend(Stage::memory(routine));
            let answer = stage.ask(to, routine.id, &body(routine, Filling::Zeros, &[]), &brought);
            // Memory that a port's routines never take is refused before the id is looked at.
            let memory_first = !routine.memory_in.is_empty() && answer == Err(Error::BadArguments);
            assert!(answer == Err(Error::BadId) || memory_first, "{}: {answer:?}", routine.name);
        }
    }
}

#[test]
fn what_is_no_kernel_port_answers_no_request() {
    let stage = Stage::new();
    let ordinary = stage.me.port(Capacity::Zero);
    stage.me.give_send(&stage.me, ordinary);
    let mut expected = vec![(ordinary, Error::SendTimedOut)];
    let others = [Name::NULL, Name::DEAD, Name::new(5_000, 3), stage.replies];
    expected.extend(others.map(|name| (name, Error::SendInvalidPort)));
    expected
        .extend([RightKind::DeadName, RightKind::PortSet].map(|kind| (stage.name_of(kind), Error::SendInvalidPort)));
    for (to, error) in expected {
        for routine in [task::Terminate::ID, vm::VmMap::ID, port::PortStatus::ID] {
            assert_eq!(stage.ask(to, routine, &[], &[]), Err(error), "{to:?}");
        }
    }
}
