//! The runner: gives each case a task of its own and watches it.
//!
//! A case ends in one of five ways ([`Ending`]); that its task crashes, hangs or
//! leaves something behind is a result like any other, and the next case runs.
//! Invariant: the runner's notify port is where everything comes together, the
//! requests of the case that runs and the kernel's word that its task has died,
//! so one wait sees whichever comes first.
//! Neighbours: `protocol`, what cases ask for; `case`, what they must end like.

use crate::case::{Case, Expected};
use crate::clock::deadline;
use crate::message::{Message, Received, receive_now, receive_within};
use crate::notice::Notice;
use crate::protocol::routine::{Request, arguments, results};
use crate::protocol::{CASE_LIMITS, text};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use portolan::abi::Disposition;
use portolan::abi::error::code_of;
use portolan::abi::host::Statistics;
use portolan::abi::interface::{REPLY_OFFSET, ReplyHead};
use portolan::abi::message::Descriptor;
use portolan::abi::task::Limits;
use portolan::program::{Launch, Program};
use portolan::{
    Archive, Capacity, Error, MemoryObject, Name, ReceiveRight, Result, Right, SendRight, Task, argument, bootstrap,
    println, trap,
};
use zerocopy::IntoBytes;

/// How long a case may take, in ms.
const TIME: u32 = 20_000;
/// How long a case that must hang may take: the hang is seen, and the rest go on.
const TIME_TO_HANG: u32 = 500;
/// How long the kernel may take to clean up after a case, in ms.
const TIME_TO_CLEAN: u32 = 2_000;

/// Runs the cases that the argument `test` chooses, or all; the result is the exit code.
pub(crate) fn main(cases: &[&[Case]], warm_up: &Case) -> Result<u32> {
    let (object, archive_size) = bootstrap::archive_object()?;
    let files = Archive::map(&object, archive_size)?;
    let program = parse(&files, "suite")?;
    let notify = ReceiveRight::from_name(trap::task_notify());
    let runner = Runner { program, object, archive_size, files, notify, host: bootstrap::host()? };
    // What grows once and stays, the runner's heap and its table of names, is not to pass for a leak.
    let names: Vec<Name> = (0..1000).map(|_| trap::port_allocate(Capacity::DEFAULT)).collect::<Result<_>>()?;
    names.into_iter().try_for_each(trap::port_deallocate)?;
    runner.run(warm_up);

    let wanted = argument("test").unwrap_or_default();
    let chosen: Vec<&Case> = choose(cases, wanted);
    if chosen.is_empty() {
        println!("no case's name begins with `{wanted}`");
    }
    println!("PLAN {}", chosen.len());
    let passed = chosen.iter().filter(|case| runner.tell(case)).count();
    let failed = chosen.len() - passed;
    println!("DONE {passed} passed {failed} failed");
    Ok(u32::from(failed > 0 || chosen.is_empty()))
}

fn parse(files: &Archive, name: &str) -> Result<Program<'static>> {
    Program::parse(files.file(name).ok_or(Error::InvalidName)?).map_err(|_| Error::Failure)
}

/// The case of this name, or those whose names begin so.
fn choose<'a>(cases: &[&'a [Case]], wanted: &str) -> Vec<&'a Case> {
    let all = || cases.iter().copied().flatten();
    match all().find(|case| case.name == wanted) {
        Some(case) => [case].to_vec(),
        None => all().filter(|case| case.name.starts_with(wanted)).collect(),
    }
}

struct Runner {
    program: Program<'static>,
    /// The boot archive: to be handed on, and to start programs from.
    object: MemoryObject,
    archive_size: u64,
    files: Archive,
    notify: ReceiveRight,
    host: SendRight,
}

/// How a case ended.
enum Ending {
    Passed,
    Failed(String),
    Crashed,
    Hung,
    Leaked(String),
    NotStarted(Error),
}

/// What is left when a case is over, to be ended by the runner.
#[derive(Default)]
struct Belongings {
    tasks: Vec<Task>,
    kept: Vec<Right<'static>>,
}

impl Runner {
    /// Runs a case and prints what came of it; whether it passed.
    fn tell(&self, case: &Case) -> bool {
        println!("BEGIN {}", case.name);
        let result = judge(case.ending, self.run(case));
        match &result {
            Ok(()) => println!("OK {}", case.name),
            Err(reason) => println!("FAIL {}: {reason}", case.name),
        }
        result.is_ok()
    }

    /// Runs a case; afterwards there must be as much of everything as before.
    fn run(&self, case: &Case) -> Ending {
        let before = self.statistics();
        let mut belongings = Belongings::default();
        let ending = self.start_and_watch(case, &mut belongings);
        for task in &belongings.tasks {
            // It may have ended by itself.
            let _ = task.terminate();
        }
        let Belongings { tasks, kept } = belongings;
        drop(tasks);
        let left = self.clean_up(&before);
        drop(kept);
        match (ending, left) {
            (Ending::Passed, Some(left)) => {
                self.clean_up(&before);
                Ending::Leaked(left)
            }
            (ending, _) => ending,
        }
    }

    fn start_and_watch(&self, case: &Case, belongings: &mut Belongings) -> Ending {
        let words = format!("case={}", case.name);
        let task = match self.start(&words, CASE_LIMITS, Right::MakeSend(&self.notify)) {
            Ok(task) => task,
            Err(error) => return Ending::NotStarted(error),
        };
        let time = if case.ending == Expected::Hang { TIME_TO_HANG } else { TIME };
        let ending = self.watch(&task, deadline(time), belongings);
        // It may have ended by itself.
        let _ = task.terminate();
        ending
    }

    fn start(&self, words: &str, limits: Limits, bootstrap: Right<'_>) -> Result<Task> {
        let name = words.split(':').next_back().unwrap_or_default();
        let name = &name[..name.len().min(31)];
        self.program.start(Launch { limits, bootstrap, ..Launch::new(name, words) })
    }

    fn start_program(&self, wish: &arguments::StartProgram, bootstrap: Right<'_>) -> Result<Task> {
        let (name, arguments) = (text(&wish.name), text(&wish.arguments));
        let launch = Launch { bootstrap, limits: wish.limits, ..Launch::new(&name, &arguments) };
        parse(&self.files, &name)?.start(launch)
    }

    /// Serves the case until it says how it went, dies, or has had its time.
    fn watch(&self, task: &Task, deadline: u64, belongings: &mut Belongings) -> Ending {
        while let Some(left) = deadline.checked_sub(trap::clock_get()) {
            let Ok(message) = receive_within(self.notify.name(), (left / 1_000_000) as u32) else { break };
            if message.is_from_kernel() {
                if Notice::of(&message) == Some(Notice::dead(task.right().name())) {
                    return Ending::Crashed;
                }
            } else if let Some(ending) = self.serve(&message, belongings) {
                return ending;
            }
        }
        Ending::Hung
    }

    /// Does what a case asks for; its ending, if that is what it tells.
    fn serve(&self, message: &Received, belongings: &mut Belongings) -> Option<Ending> {
        let mut rights: Vec<Right<'static>> = message.rights.iter().map(Right::arrived).collect();
        let (result, ending) = match Request::decode(message.header.id, &message.body, rights.len()) {
            Ok(Request::Passed(_)) => (Ok(Name::NULL), Some(Ending::Passed)),
            Ok(Request::Failed(failed)) => (Ok(Name::NULL), Some(Ending::Failed(text(&failed.reason)))),
            Ok(Request::StartPeer(wish)) => {
                let bootstrap = rights.pop().unwrap_or(Right::Null);
                (self.start("peer", wish.limits, bootstrap).map(|task| belongings.add(task)), None)
            }
            Ok(Request::StartProgram(wish)) => {
                let bootstrap = rights.pop().unwrap_or(Right::Null);
                (self.start_program(&wish, bootstrap).map(|task| belongings.add(task)), None)
            }
            Ok(Request::Host(_)) => (Ok(self.host.name()), None),
            Ok(Request::Archive(_)) => {
                let results = results::Archive { size: self.archive_size };
                answer_with(message, results.as_bytes(), Ok(self.object.right().name()));
                return None;
            }
            Ok(Request::Adopt(_)) => {
                if let Some(Right::Send(right)) = rights.pop() {
                    belongings.add(Task::from_right(right));
                }
                (Ok(Name::NULL), None)
            }
            Ok(Request::Keep(_)) => {
                belongings.kept.append(&mut rights);
                (Ok(Name::NULL), None)
            }
            Err(error) => (Err(error), None),
        };
        answer(message, result);
        ending
    }

    fn statistics(&self) -> Statistics {
        portolan::host::statistics(&self.host).expect("the host port answers")
    }

    /// Waits until there is as much of everything as before; what differs, if that does not come.
    fn clean_up(&self, before: &Statistics) -> Option<String> {
        let deadline = deadline(TIME_TO_CLEAN);
        loop {
            self.drop_notices();
            let now = self.statistics();
            if now == *before {
                return None;
            }
            if trap::clock_get() > deadline {
                return Some(difference(before, &now));
            }
            let _ = trap::thread_switch(Name::NULL, Some(1));
        }
    }

    /// Empties the notify port: whatever is there is about tasks that are gone.
    fn drop_notices(&self) {
        while let Ok(message) = receive_now(self.notify.name()) {
            drop(message.rights.iter().map(Right::arrived).collect::<Vec<_>>());
            let _ = trap::port_deallocate(message.header.remote);
        }
    }
}

impl Belongings {
    /// Adds a task; the name of its task port, to be copied to the case.
    fn add(&mut self, task: Task) -> Name {
        let name = task.right().name();
        self.tasks.push(task);
        name
    }
}

/// Answers a request with a right, or none, or the error. A case that is gone does not care.
fn answer(request: &Received, result: Result<Name>) {
    answer_with(request, &[], result);
}

/// The same, with results.
fn answer_with(request: &Received, results: &[u8], result: Result<Name>) {
    let head = ReplyHead { code: code_of(&result), reserved: 0 };
    let id = request.header.id.wrapping_add(REPLY_OFFSET);
    let mut message = Message::once_to(request.header.remote).id(id).body(&[head.as_bytes(), results].concat());
    if let Ok(right) = result
        && right != Name::NULL
    {
        message.rights.push(Descriptor::port(right, Disposition::CopySend as u8));
    }
    if message.send().is_err() {
        let _ = trap::port_deallocate(request.header.remote);
    }
}

/// Whether a case that must end in one way has, or else what happened.
fn judge(expected: Expected, ending: Ending) -> core::result::Result<(), String> {
    match (expected, ending) {
        (Expected::Success, Ending::Passed)
        | (Expected::Failure, Ending::Failed(_))
        | (Expected::Crash, Ending::Crashed)
        | (Expected::Hang, Ending::Hung)
        | (Expected::Leak, Ending::Leaked(_)) => Ok(()),
        (Expected::Success, ending) => Err(ending.told()),
        (_, ending) => Err(format!("the harness did not see what the case did on purpose: {}", ending.told())),
    }
}

impl Ending {
    fn told(self) -> String {
        match self {
            Ending::Passed => "it passed".to_owned(),
            Ending::Failed(reason) => reason,
            Ending::Crashed => "its task ended without a report".to_owned(),
            Ending::Hung => "it hung".to_owned(),
            Ending::Leaked(what) => format!("it left something behind: {what}"),
            Ending::NotStarted(error) => format!("its task could not be started: {error:?}"),
        }
    }
}

/// Names what there is more or less of.
fn difference(before: &Statistics, now: &Statistics) -> String {
    let counts = [
        ("free frames", before.free_frames, now.free_frames),
        ("heap", before.heap, now.heap),
        ("tasks", before.tasks, now.tasks),
        ("threads", before.threads, now.threads),
        ("ports", before.ports, now.ports),
        ("messages", before.messages, now.messages),
        ("memory objects", before.memory_objects, now.memory_objects),
        ("accounts", before.accounts, now.accounts),
        ("names", before.names, now.names),
        ("regions", before.regions, now.regions),
        ("deadlines", before.deadlines, now.deadlines),
        ("interrupts", before.interrupts, now.interrupts),
        ("io ports", before.io_ports, now.io_ports),
    ];
    let differ = counts.iter().filter(|(_, before, now)| before != now);
    differ.map(|(what, before, now)| format!("{what} {before} -> {now} ")).collect()
}
