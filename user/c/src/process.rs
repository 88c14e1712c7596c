//! Processes: `fork`, waiting for the end of what it made, and whom signals can be sent to.
//!
//! A process is a task, its number the task's own. Invariant: [`FAMILY`] has every child that has not been
//! waited for; each reports its end to [`EXITS`], or dies without. Neighbours: `portolan::fork`; `thread`,
//! whose storage the child's one thread keeps; `signal`, whose listener hears of deaths and of signals.

use crate::cancel;
use crate::errno::{self, Errno, value_or_errno};
use crate::signal::listener::{self, Ear};
use crate::signal::{self, Info, Signal};
use crate::thread::{self, Block};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering};
use portolan::abi::interface::Routine;
use portolan::abi::task::{Limits, info};
use portolan::bootstrap::routine::{Exit, arguments};
use portolan::receive::Received;
use portolan::{Capacity, Error, Fork, MsgRpc, Mutex, Name, ReceiveRight, Right, Task, Wait, argument, bootstrap};

/// What a child is called if its program has no name that a task can have.
const NAME: &str = "child";
/// Bytes of the longest name.
const NAME_MAX: usize = 32;
/// How often a waiting parent looks whether a child is still there, in ms.
const LOOK_AGAIN_MS: u32 = 100;
/// `WNOHANG`.
const DO_NOT_WAIT: c_int = 1;
/// The status of a child that has died without a word, as if by `SIGKILL`.
const KILLED: c_int = 9;
/// What a shell says of a program that a signal has ended, less the signal.
const OF_SIGNAL: u32 = 128;
/// In such a report, the signal lies so high, above what a shell says.
const SIGNAL_SHIFT: u32 = 8;
/// How long a child that has just been made is waited for until it can be sent a signal, in ms.
const YOUNG_MS: u32 = 1000;
/// Who has started a program that no program has started.
const FIRST: c_int = 1;

/// A process that this one has made.
struct Child {
    number: c_int,
    task: Task,
    /// What it has reported, or what has become of it.
    status: Option<c_int>,
    /// Whether it will listen for signals by itself, having the ways of its parent.
    listens: bool,
    /// Whether `SIGCHLD` has been sent for its end.
    is_announced: bool,
}

/// The children of this process.
struct Family {
    children: Vec<Child>,
    /// Ends of children whose `fork` has not returned yet: number and status.
    early: Vec<(c_int, c_int)>,
}

static FAMILY: Mutex<Family> = Mutex::new(Family { children: Vec::new(), early: Vec::new() });
/// Where children report their ends; it is there with the first child.
static EXITS: Mutex<Option<Arc<ReceiveRight>>> = Mutex::new(None);
/// One thread at a time sends `SIGCHLD`: who has waited for a child returns when it has been sent.
static ANNOUNCING: Mutex<()> = Mutex::new(());
/// One thread forks at a time.
static FORKING: Mutex<()> = Mutex::new(());
static PARENT: AtomicI32 = AtomicI32::new(FIRST);

unsafe extern "C" {
    /// Musl's: runs what `pthread_atfork` was given. Before a fork, in the parent after it, in the child.
    safe fn __fork_handler(when: c_int);
}

/// Half of what a task has not spent yet, for a child.
pub(crate) fn half_of_what_is_left(task: Name) -> Result<Limits, Error> {
    Ok(info(&MsgRpc, task)?.results.info.left().part(|left| left / 2))
}

/// Where children report their ends.
fn exits() -> Result<Arc<ReceiveRight>, Error> {
    let mut exits = EXITS.lock();
    if exits.is_none() {
        *exits = Some(Arc::new(ReceiveRight::allocate(Capacity::Unbounded)?));
    }
    exits.clone().ok_or(Error::Failure)
}

fn make() -> Result<c_int, Error> {
    let (name, parent) = (argument("program").filter(|name| name.len() <= NAME_MAX).unwrap_or(NAME), getpid());
    let (limits, exits) = (half_of_what_is_left(Task::this().right().name())?, exits()?);
    let heard = listener::start().map_err(|_| Error::ResourceShortage)?;
    let listens = signal::has_its_own_ways();
    let reports = exits.make_send()?;
    match signal::fork_between(|| portolan::fork(name, limits, reports))? {
        Fork::Parent(task) => {
            let number = task.info().map_or_else(|_| number_of_the_dead(), |info| info.id as c_int);
            let watched = task.right().request_dead_name(Right::MakeSendOnce(&heard));
            adopt(number, task, listens);
            if watched.is_err() {
                // Dead already: there is nothing to watch.
                a_child_may_have_died();
            }
            Ok(number)
        }
        Fork::Child => {
            PARENT.store(parent, Ordering::Relaxed);
            let mut family = FAMILY.lock();
            family.children.clear();
            family.early.clear();
            *EXITS.lock() = None;
            thread::be_the_only_one()?;
            listener::forked();
            if listens {
                listener::start().map_err(|_| Error::ResourceShortage)?;
            }
            Ok(0)
        }
    }
}

/// The number of the child that was just made, and has ended already: of it nothing is left but its report.
fn number_of_the_dead() -> c_int {
    hear_all();
    FAMILY.lock().early.first().map_or(c_int::MAX, |(number, _)| *number)
}

fn adopt(number: c_int, task: Task, listens: bool) {
    let mut family = FAMILY.lock();
    let early = family.early.iter().position(|(other, _)| *other == number);
    let status = early.map(|place| family.early.remove(place).1);
    family.children.push(Child { number, task, status, listens, is_announced: false });
}

/// Hears of one end, if there is word of one before long; whether there was.
fn hear(ms: u32) -> bool {
    let Some(exits) = EXITS.lock().clone() else { return false };
    let Ok(report) = exits.receive_or(Wait { ms: Some(ms), abortable: true }) else { return false };
    let (number, status) = (report.sender() as c_int, status(&report));
    let mut family = FAMILY.lock();
    match family.children.iter_mut().find(|child| child.number == number) {
        Some(child) => drop(child.status.get_or_insert(status)),
        None => family.early.push((number, status)),
    }
    true
}

fn hear_all() {
    while hear(0) {}
}

/// What `wait` says of this end: the code in its second byte, or a signal in its first.
fn status(report: &Received) -> c_int {
    match report.value::<arguments::Exit>() {
        Ok(exit) if report.id() == Exit::ID => match exit.code >> SIGNAL_SHIFT {
            0 => (exit.code << 8) as c_int,
            signal => (signal & 0x7f) as c_int,
        },
        _ => KILLED,
    }
}

/// Which children are waited for.
#[derive(Clone, Copy)]
enum Wanted {
    Any,
    One(c_int),
}

impl Wanted {
    fn is(self, child: &Child) -> bool {
        match self {
            Wanted::Any => true,
            Wanted::One(number) => child.number == number,
        }
    }
}

/// Takes a child that has ended; `None` if those that are wanted live.
fn take_ended(wanted: Wanted) -> Result<Option<Child>, Errno> {
    let is_dead = |child: &&mut Child| child.status.is_none() && child.task.info().is_err();
    // Who is dead now has said by now whatever it had to say.
    let dead: Vec<c_int> = FAMILY.lock().children.iter_mut().filter(is_dead).map(|child| child.number).collect();
    hear_all();
    let mut family = FAMILY.lock();
    for child in family.children.iter_mut().filter(|child| dead.contains(&child.number)) {
        child.status.get_or_insert(KILLED);
    }
    if !family.children.iter().any(|child| wanted.is(child)) {
        return Err(Errno::NoChild);
    }
    let ended = family.children.iter().position(|child| wanted.is(child) && child.status.is_some());
    Ok(ended.map(|place| family.children.remove(place)))
}

fn wait_for(wanted: Wanted, options: c_int) -> Result<Option<Child>, Errno> {
    let own = &thread::this().signals;
    let interruptions = own.interruptions();
    loop {
        let ended = take_ended(wanted)?;
        if ended.is_some() || options & DO_NOT_WAIT != 0 {
            return Ok(ended);
        }
        if own.interruptions() != interruptions {
            return Err(Errno::Interrupted);
        }
        cancel::point(|| hear(LOOK_AGAIN_MS));
    }
}

/// Ends this process as a signal does.
pub(crate) fn end_by(signal: Signal) -> ! {
    portolan::exit(report_of(signal))
}

/// Tells the parent that a signal ends this process; somebody else will.
pub(crate) fn report_end_by(signal: Signal) {
    bootstrap::report_exit(report_of(signal));
}

fn report_of(signal: Signal) -> u32 {
    let number = signal.number().cast_unsigned();
    (number << SIGNAL_SHIFT) | (OF_SIGNAL + number)
}

/// Whether a thread is at what is known of the family, and must go on before it is stopped.
pub(crate) fn is_busy() -> bool {
    FAMILY.is_locked() || EXITS.is_locked() || ANNOUNCING.is_locked()
}

/// A child has raised an exception that nobody handles, and will end by it.
pub(crate) fn note_exception(task: &Task, signal: Signal) {
    let mut family = FAMILY.lock();
    if let Some(child) = family.children.iter_mut().find(|child| child.task == *task) {
        child.status.get_or_insert(signal.number());
    }
}

/// A task has died that this name was of: `SIGCHLD`, if it was a child that nobody has waited for.
pub(crate) fn a_child_has_died(task: Name) {
    announce(|child| child.task.right().name() == task, None);
}

/// The same, to be found out by a thread of C.
fn a_child_may_have_died() {
    announce(|child| child.task.info().is_err(), Some(thread::this()));
    signal::take_mine();
}

/// Sends `SIGCHLD` for a child that has ended, once.
fn announce(is_it: impl Fn(&Child) -> bool, caller: Option<&Block>) {
    hear_all();
    let _announcing = ANNOUNCING.lock();
    let info = {
        let mut family = FAMILY.lock();
        let ended = |child: &&mut Child| !child.is_announced && is_it(child);
        family.children.iter_mut().find(ended).map(|child| {
            child.is_announced = true;
            death(child)
        })
    };
    if let Some(info) = info {
        // There is room: of one such signal one is enough.
        let _ = signal::post_from(info, caller);
    }
}

/// The same for a child that has been waited for.
fn announce_the_late(child: &Child) {
    {
        let _announcing = ANNOUNCING.lock();
        if !child.is_announced {
            let _ = signal::post_from(death(child), Some(thread::this()));
        }
    }
    signal::take_mine();
}

/// What `SIGCHLD` tells of a child that has ended.
fn death(child: &Child) -> Info {
    // `CLD_EXITED`, `CLD_KILLED`.
    let (code, status) = match child.status.unwrap_or(KILLED) {
        status if status & 0x7f == 0 => (1, status >> 8),
        status => (2, status & 0x7f),
    };
    let words = [u64::from(child.number.cast_unsigned()), u64::from(status.cast_unsigned())];
    Info { signal: Signal::CHLD, code, words }
}

/// Sends a signal to another process: `None` only asks whether it could be sent.
///
/// # Errors
/// `NoProcess`: there is none of this number among the parent and the children. `Permission`: it is no process that takes
/// signals. `Again`: it has too many.
pub(crate) fn send(number: c_int, info: Option<Info>) -> Result<(), Errno> {
    let child = {
        let family = FAMILY.lock();
        let child = family.children.iter().find(|child| child.number == number);
        child.map(|child| (child.status, child.listens, child.task.right().try_clone().map(Task::from_right)))
    };
    match (child, info) {
        (Some((None, listens, Ok(task))), Some(info)) => send_to_child(number, &task, listens, info),
        // It has ended, and not been waited for.
        (Some(_), _) => Ok(()),
        (None, info) if number == PARENT.load(Ordering::Relaxed) => {
            let Some(info) = info else { return if number == FIRST { Err(Errno::Permission) } else { Ok(()) } };
            listener::send_to_parent(info)
        }
        (None, _) if number == FIRST => Err(Errno::Permission),
        (None, _) => Err(Errno::NoProcess),
    }
}

/// Sends a signal to all children; how many there are.
pub(crate) fn send_to_children(info: Option<Info>) -> usize {
    let numbers: Vec<c_int> = FAMILY.lock().children.iter().map(|child| child.number).collect();
    numbers.iter().filter(|number| send(**number, info).is_ok()).count()
}

/// What the kernel can do to a child is done to it, and what it has said nothing of.
fn send_to_child(number: c_int, task: &Task, listens: bool, info: Info) -> Result<(), Errno> {
    let signal = info.signal;
    if signal == Signal::CONT {
        while task.resume().is_ok() {}
    }
    if signal == Signal::STOP {
        let _ = task.suspend();
        return Ok(());
    }
    if signal != Signal::KILL {
        match ear(task, listens).map(|ear| ear.tell(info)) {
            Ok(Some(told)) => return told,
            Ok(None) => {}
            // It has ended, and its parent has not waited for it.
            Err(_) => return Ok(()),
        }
    }
    match signal.by_default() {
        signal::Default::Ignore => {}
        signal::Default::Stop => drop(task.suspend()),
        signal::Default::End => {
            let mut family = FAMILY.lock();
            if let Some(child) = family.children.iter_mut().find(|child| child.number == number) {
                child.status.get_or_insert(signal.number());
            }
            drop(family);
            let _ = task.terminate();
        }
    }
    Ok(())
}

/// Who listens for a child. One that has the ways of its parent does so before long.
fn ear(task: &Task, listens: bool) -> Result<Ear, Errno> {
    for _ in 0..YOUNG_MS {
        match listener::ear_of(task)? {
            Ear::Ours if listens => portolan::thread::sleep_ms(1),
            ear => return Ok(ear),
        }
    }
    Ok(Ear::Ours)
}

#[unsafe(no_mangle)]
extern "C" fn fork() -> c_int {
    __fork_handler(-1);
    let forking = FORKING.lock();
    let made = make();
    drop(forking);
    __fork_handler((made == Ok(0)).into());
    value_or_errno(made.map_err(|error| match error {
        Error::ResourceShortage | Error::NoSpace => Errno::Again,
        other => errno::of(other),
    }))
}

/// There are no process groups: 0 and numbers below are any child.
#[unsafe(no_mangle)]
unsafe extern "C" fn waitpid(number: c_int, status: *mut c_int, options: c_int) -> c_int {
    let wanted = if number > 0 { Wanted::One(number) } else { Wanted::Any };
    value_or_errno(wait_for(wanted, options).map(|ended| {
        let Some(child) = ended else { return 0 };
        // It has said that it ends. What it had is free when this returns.
        let _ = child.task.terminate();
        announce_the_late(&child);
        if !status.is_null() {
            // SAFETY: the caller passes where it goes.
            unsafe { status.write(child.status.unwrap_or(KILLED)) };
        }
        child.number
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn wait(status: *mut c_int) -> c_int {
    // SAFETY: as there.
    unsafe { waitpid(-1, status, 0) }
}

/// The task's own number.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn getpid() -> c_int {
    Task::this().info().map_or(0, |info| info.id as c_int)
}

/// Who has made this process; 1 if no process has.
#[unsafe(no_mangle)]
extern "C" fn getppid() -> c_int {
    PARENT.load(Ordering::Relaxed)
}
