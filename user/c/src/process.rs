//! Processes: `fork`, and waiting for the end of what it made.
//!
//! A process is a task, its number the task's own. Invariant: [`FAMILY`] has every child that has not been
//! waited for; each reports its end to [`EXITS`], or dies without. Neighbours: `portolan::fork`; `thread`,
//! whose storage the child's one thread keeps.

use crate::errno::{self, Errno, value_or_errno};
use crate::thread;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, Ordering};
use portolan::abi::interface::Routine;
use portolan::abi::task::{Limits, info};
use portolan::bootstrap::routine::{Exit, arguments};
use portolan::receive::Received;
use portolan::{Capacity, Error, Fork, MsgRpc, Mutex, Name, ReceiveRight, Task, argument};

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
/// Who has started a program that no program has started.
const FIRST: c_int = 1;

/// A process that this one has made.
struct Child {
    number: c_int,
    task: Task,
    /// What it has reported.
    status: Option<c_int>,
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
    match portolan::fork(name, limits, exits.make_send()?)? {
        Fork::Parent(task) => {
            let number = task.info().map_or_else(|_| number_of_the_dead(), |info| info.id as c_int);
            adopt(number, task);
            Ok(number)
        }
        Fork::Child => {
            PARENT.store(parent, Ordering::Relaxed);
            let mut family = FAMILY.lock();
            family.children.clear();
            family.early.clear();
            *EXITS.lock() = None;
            thread::be_the_only_one()?;
            Ok(0)
        }
    }
}

/// The number of the child that was just made, and has ended already: of it nothing is left but its report.
fn number_of_the_dead() -> c_int {
    hear_all();
    FAMILY.lock().early.first().map_or(c_int::MAX, |(number, _)| *number)
}

fn adopt(number: c_int, task: Task) {
    let mut family = FAMILY.lock();
    let early = family.early.iter().position(|(other, _)| *other == number);
    let status = early.map(|place| family.early.remove(place).1);
    family.children.push(Child { number, task, status });
}

/// Hears of one end, if there is word of one before long; whether there was.
fn hear(ms: u32) -> bool {
    let Some(exits) = EXITS.lock().clone() else { return false };
    let Ok(report) = exits.receive_within(ms) else { return false };
    let (number, status) = (report.sender() as c_int, status(&report));
    let mut family = FAMILY.lock();
    match family.children.iter_mut().find(|child| child.number == number) {
        Some(child) => child.status = Some(status),
        None => family.early.push((number, status)),
    }
    true
}

fn hear_all() {
    while hear(0) {}
}

/// What `wait` says of this end: the code, in its second byte.
fn status(report: &Received) -> c_int {
    match report.value::<arguments::Exit>() {
        Ok(exit) if report.id() == Exit::ID => ((exit.code & 0xff) << 8) as c_int,
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
    loop {
        let ended = take_ended(wanted)?;
        if ended.is_some() || options & DO_NOT_WAIT != 0 {
            return Ok(ended);
        }
        hear(LOOK_AGAIN_MS);
    }
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
