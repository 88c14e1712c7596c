//! Waiting on a word of memory, and waking who does.
//!
//! A word is known by its memory object and its place there ([`Key`]), so it is the same from
//! wherever it is mapped; a private object is mapped by one task only, and a copy of it is another
//! object. Who waits stands in one of a fixed number of lines, which others may share whose keys
//! happen to meet there, and takes no memory to do so. Who waits on an owned word is in a line of the owner,
//! too, and is told when that thread ends: the owner itself never has to say what it holds.
//!
//! A wake is not lost with a thread that ends before it has run: another one there is woken.
//!
//! Invariants: a thread is in the line of its key exactly while its state is [`Wait::Word`], and in
//! its owner's while that lives. Neighbours: `syscall` calls, `run` has the deadlines, `ipc::pager` brings in the page.
//! Reference: `abi::word`, `abi::call`.

use super::thread::{Completion, InQueue, State, Thread, ThreadId, Threads, Unfinished, Wait};
use super::{Caller, TaskId};
use crate::arena::OutOfMemory;
use crate::ipc::pager::{self, Then};
use crate::kernel::{Kernel, Outcome};
use crate::list::{Link, Linked, List};
use crate::vm::copy::Window;
use crate::vm::{Fault, ObjectId, fault};
use alloc::vec::Vec;
use portolan_abi::call::WordWait;
use portolan_abi::word::OWNER;
use portolan_abi::{Error, Result, WordOptions};
use portolan_machine::{Access, Instant, pace};

/// Instructions that looking at a thread that waits takes, and ending its wait.
const PER_LOOK: u32 = 20;
const PER_WAKE: u32 = 250;

/// How many lines there are.
const LINES: usize = 256;

/// Bits of an owner's number that say where the thread is stored; the others are its serial number.
/// More threads than these can tell apart are larger than any kernel heap, and the others, 39, are
/// enough for a thread a millisecond for seventeen years.
const SLOT_BITS: u32 = 24;

/// A word, wherever it is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    object: ObjectId,
    offset: u64,
}

/// A wait on a word.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The word.
    pub key: Key,
    /// The thread that owns it, if it says so.
    pub owner: Option<ThreadId>,
}

/// All who wait on words.
pub struct Words {
    lines: Vec<List<Thread, InQueue>>,
}

/// The link for those who wait on words that one thread owns.
pub struct OfOwner;

impl Linked<OfOwner> for Thread {
    fn link(&mut self) -> &mut Link<Thread> {
        &mut self.behind
    }
    fn link_ref(&self) -> &Link<Thread> {
        &self.behind
    }
}

impl Key {
    /// The line for this word.
    fn line(self) -> usize {
        let mixed = (self.offset / size_of::<u32>() as u64) ^ u64::from(self.object.index()) << 40;
        // Fibonacci hashing: the top bits depend on all of them.
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - LINES.ilog2())) as usize
    }
}

impl Words {
    /// All lines, empty.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn new() -> core::result::Result<Words, OutOfMemory> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(LINES).map_err(|_| OutOfMemory)?;
        lines.resize_with(LINES, List::default);
        Ok(Words { lines })
    }

    fn line(&mut self, key: Key) -> &mut List<Thread, InQueue> {
        &mut self.lines[key.line()]
    }

    /// The one that has waited longest on this word.
    fn next(&self, threads: &Threads, key: Key) -> Option<ThreadId> {
        self.lines[key.line()].iter(threads).find(|id| {
            pace(PER_LOOK);
            at_word(threads, *id).is_some_and(|waiting| waiting.key == key)
        })
    }

    /// Every thread that waits.
    pub fn iter<'a>(&'a self, threads: &'a Threads) -> impl Iterator<Item = ThreadId> + 'a {
        self.lines.iter().flat_map(|line| line.iter(threads))
    }

    /// Whether a thread that waits on this word stands where it is looked for.
    pub fn has(&self, threads: &Threads, key: Key, id: ThreadId) -> bool {
        self.lines[key.line()].iter(threads).any(|other| other == id)
    }
}

/// The word that a thread waits on, if it does.
pub fn at_word(threads: &Threads, id: ThreadId) -> Option<Waiting> {
    match threads[id].state {
        State::Waiting(Wait::Word(waiting)) => Some(waiting),
        _ => None,
    }
}

/// The number that stands for a thread in words that it owns.
pub fn owner_number(id: ThreadId, thread: &Thread) -> u64 {
    (thread.serial << SLOT_BITS | u64::from(id.index())) & OWNER
}

/// The thread that a word names as its owner, if it lives.
fn living_owner(threads: &Threads, value: u64) -> Option<ThreadId> {
    let slot = (value & ((1 << SLOT_BITS) - 1)) as u32;
    let (id, thread) = threads.at(slot)?;
    (owner_number(id, thread) == value & OWNER).then_some(id)
}

/// Waits on a word, if it is as expected.
#[inline(never)]
pub fn wait(k: &mut Kernel, me: &Caller, call: &WordWait) -> Outcome {
    let until = call.deadline.map(Instant);
    let (key, value) = match look(k, me.task, call) {
        Ok(found) => found,
        Err(Fault::Absent(absent)) => {
            let then = Then::Wait { began: k.began() };
            return match pager::wait(k, me.thread, absent, then, until) {
                Ok(()) => Outcome::Blocked,
                Err(fault) => failed(fault.into()),
            };
        }
        Err(fault) => return failed(fault.into()),
    };
    if value != call.expected {
        return Outcome::Done(Completion { result: Err(Error::ValueDiffers), value });
    }
    let owner = match owner(&k.threads, call) {
        Ok(owner) => owner,
        Err(error) => return failed(error),
    };
    if until.is_some_and(|until| until <= k.now) {
        return failed(Error::TimedOut);
    }
    begin(k, me.thread, Waiting { key, owner }, until);
    Outcome::Blocked
}

fn failed(error: Error) -> Outcome {
    Outcome::Done(Completion::failure(error))
}

/// Who owns the word, if the call says that it is owned.
fn owner(threads: &Threads, call: &WordWait) -> Result<Option<ThreadId>> {
    if !call.options.contains(WordOptions::OWNED) {
        return Ok(None);
    }
    living_owner(threads, call.expected).map(Some).ok_or(Error::OwnerDead)
}

/// The word's key and what it is now.
fn look(k: &mut Kernel, task: TaskId, call: &WordWait) -> core::result::Result<(Key, u64), Fault> {
    let key = find(k, task, call.address)?;
    let Kernel { vm, accounts, tasks, .. } = k;
    let mut window = Window::default();
    window.open(vm, accounts, &mut tasks[task].map, call.address, call.size(), Access::Read)?;
    let mut value = [0; size_of::<u64>()];
    window.read(&vm.memory, 0, &mut value[..call.size()]);
    Ok((key, u64::from_le_bytes(value)))
}

/// The word at an address that may be read.
fn find(k: &Kernel, task: TaskId, address: u64) -> core::result::Result<Key, Fault> {
    let region = k.tasks[task].map.region_at(address).ok_or(Fault::Unmapped)?;
    if !fault::allows(region.protection, Access::Read) {
        return Err(Fault::Protection);
    }
    Ok(Key { object: region.object, offset: region.offset + (address - region.range.start) })
}

fn begin(k: &mut Kernel, me: ThreadId, waiting: Waiting, until: Option<Instant>) {
    let Kernel { words, threads, timers, .. } = k;
    threads[me].state = State::Waiting(Wait::Word(waiting));
    words.line(waiting.key).push_back(threads, me);
    if let Some(owner) = waiting.owner {
        change_line_of(threads, owner, |line, threads| {
            line.push_back(threads, me);
        });
    }
    if let Some(until) = until {
        timers.set(threads, me, until);
    }
}

/// Changes the line of those who wait on an owner's words. It is kept in a thread, and links threads.
fn change_line_of(
    threads: &mut Threads,
    owner: ThreadId,
    change: impl FnOnce(&mut List<Thread, OfOwner>, &mut Threads),
) {
    let mut line = core::mem::take(&mut threads[owner].waited_for);
    change(&mut line, threads);
    threads[owner].waited_for = line;
}

/// Wakes at most `count` of those who wait on a word, and says how many.
///
/// # Errors
/// As `Call::WordWake` says.
#[inline(never)]
pub fn wake(k: &mut Kernel, task: TaskId, address: u64, count: u32) -> Result<u64> {
    if !address.is_multiple_of(size_of::<u32>() as u64) {
        return Err(Error::InvalidArgument);
    }
    let key = find(k, task, address)?;
    // Nothing below may fail.
    let mut woken = 0;
    let mut next = k.words.line(key).first();
    while let Some(id) = next.filter(|_| woken < u64::from(count)) {
        pace(PER_LOOK);
        next = k.words.line(key).after(&k.threads, id);
        if at_word(&k.threads, id).is_some_and(|waiting| waiting.key == key) {
            wake_one(k, id, key);
            woken += 1;
        }
    }
    Ok(woken)
}

fn wake_one(k: &mut Kernel, id: ThreadId, key: Key) {
    pace(PER_WAKE);
    finish(k, id, Completion::success(0));
    k.threads[id].unfinished = Some(Unfinished::Woken(key));
}

/// Ends a thread's wait on a word.
pub fn finish(k: &mut Kernel, id: ThreadId, completion: Completion) {
    abandon(k, id);
    let Kernel { threads, scheduler, .. } = k;
    threads[id].complete(completion);
    scheduler.make_ready(threads, id);
}

/// Takes a waiting thread out of its lines.
pub fn abandon(k: &mut Kernel, id: ThreadId) {
    let Some(Waiting { key, owner }) = at_word(&k.threads, id) else { return };
    let Kernel { words, threads, timers, .. } = k;
    timers.clear(threads, id);
    words.line(key).remove(threads, id);
    if let Some(owner) = owner {
        change_line_of(threads, owner, |line, threads| line.remove(threads, id));
    }
    threads[id].state = State::Running;
}

/// A thread, which waits no more, ends: who waits on its words is told, and a wake that it has not
/// acted on is another's.
pub fn owner_ends(k: &mut Kernel, id: ThreadId) {
    while let Some(waiting) = k.threads[id].waited_for.first() {
        pace(PER_WAKE);
        finish(k, waiting, Completion::failure(Error::OwnerDead));
    }
    if let Some(Unfinished::Woken(key)) = k.threads[id].unfinished
        && let Some(next) = k.words.next(&k.threads, key)
    {
        wake_one(k, next, key);
    }
}
