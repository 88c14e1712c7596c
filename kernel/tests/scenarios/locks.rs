//! Every interleaving of three threads with one robust lock, two of which may die anywhere, on the
//! real kernel: nobody waits for ever, and no two have it.
//!
//! A thread does what the lock of `user/posix` does, an atomic instruction or a trap at a time. A kernel cannot be
//! copied, so a state is the way to it, gone again from the start of the machine; ways to the same
//! state are one. To see that this finds what it is to find: with one thread woken for all
//! ([`WOKEN`] as 1), the death of a second owner leaves a third thread waiting for the first.

use crate::harness::{MEMORY, Pending, System, Task, Thread};
use portolan_abi::call::WordWait;
use portolan_abi::thread;
use portolan_abi::word::OWNER;
use portolan_abi::{Call, Disposition, Error, Name, Result, WordOptions};
use std::collections::HashSet;

const WORD: u64 = MEMORY + 0x1_0000;
const MARK: u64 = !OWNER;
const THREADS: usize = 3;
/// How many threads may die.
const DEATHS: usize = 2;
/// How many are woken when the lock is let go.
const WOKEN: u32 = u32::MAX;
/// Fewer states than this mean that not everything was looked at.
const STATES_AT_LEAST: usize = 1000;

/// How a wait ended: its result, and the value that was there instead.
type Ended = (Result<()>, u64);

/// Where a thread is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    /// It is to take the lock, if it is free.
    Take,
    /// The lock was not free: it is to say that it waits.
    Mark,
    /// It is to wait for a lock with this value.
    Wait(u64),
    /// It waits so, or is about to look how the wait has ended.
    Waiting(u64),
    /// It was told that the owner that this value names is dead: it is to take the lock from him.
    TakeOver(u64),
    /// It has the lock.
    Has,
    /// It has let it go when it had this value, and is to wake who waits.
    Wake(u64),
    Done,
    Dead,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Goes(usize),
    Dies(usize),
}

struct Scene {
    system: System,
    task: Task,
    threads: [Thread; THREADS],
    /// Their kernel ports, as the first task names them, and their numbers as owners.
    ports: [Name; THREADS],
    owners: [u64; THREADS],
    at: [At; THREADS],
    waits: [Option<Pending<Ended>>; THREADS],
}

impl Scene {
    fn new() -> Scene {
        let system = System::boot();
        system.check_steps(false);
        let task = system.task("task");
        let threads = std::array::from_fn(|_| task.thread());
        let first = system.first();
        let ports = threads
            .each_ref()
            .map(|thread| system.give_up_later(task.give(first, thread.thread_self(), Disposition::CopySend)));
        let owners = ports.map(|port| thread::info(&**first, port).expect("information").results.info.owner);
        Scene { task, threads, ports, owners, at: [At::Take; THREADS], waits: Default::default(), system }
    }

    fn go(&mut self, way: &[Step]) {
        for (number, step) in way.iter().enumerate() {
            self.system.check_steps(number + 1 == way.len());
            match *step {
                Step::Goes(thread) => self.at[thread] = self.goes(thread),
                Step::Dies(thread) => {
                    thread::terminate(&**self.system.first(), self.ports[thread]).expect("it lives");
                    self.at[thread] = At::Dead;
                }
            }
        }
        self.system.check_steps(false);
    }

    fn goes(&mut self, thread: usize) -> At {
        let (lock, me) = (self.lock(), self.owners[thread]);
        match self.at[thread] {
            At::Take if lock == 0 => self.set(me, At::Has),
            At::Take => At::Mark,
            At::Mark if lock == 0 => At::Take,
            At::Mark => self.set(lock | MARK, At::Wait(lock | MARK)),
            At::Wait(value) => {
                let wait = WordWait { address: WORD, expected: value, deadline: None, options: WordOptions::OWNED };
                self.waits[thread] = Some(self.threads[thread].call(Call::WordWait(wait)));
                At::Waiting(value)
            }
            At::Waiting(value) => match self.ended(thread) {
                Some(Ok(()) | Err(Error::ValueDiffers)) => At::Take,
                Some(Err(Error::OwnerDead)) => At::TakeOver(value),
                other => panic!("a wait ended with {other:?}"),
            },
            At::TakeOver(value) if lock == value => self.set(me | MARK, At::Has),
            At::TakeOver(_) => At::Take,
            At::Has => self.set(0, At::Wake(lock)),
            At::Wake(before) => {
                if before & MARK != 0 {
                    self.threads[thread].call(Call::WordWake { address: WORD, count: WOKEN }).done().0.expect("a word");
                }
                At::Done
            }
            At::Done | At::Dead => panic!("there is nothing to do"),
        }
    }

    fn lock(&self) -> u64 {
        u64::from_le_bytes(self.task.load(WORD, 8).try_into().expect("eight bytes"))
    }

    fn set(&self, value: u64, then: At) -> At {
        self.task.store(WORD, &value.to_le_bytes()).done();
        then
    }

    fn ended(&self, thread: usize) -> Option<Result<()>> {
        Some(self.waits[thread].as_ref()?.result()?.0)
    }

    fn can_go(&self, thread: usize) -> bool {
        match self.at[thread] {
            At::Done | At::Dead => false,
            At::Waiting(_) => self.ended(thread).is_some(),
            _ => true,
        }
    }

    fn possible(&self) -> Vec<Step> {
        let goes = (0..THREADS).filter(|thread| self.can_go(*thread)).map(Step::Goes);
        let dead = self.at.iter().filter(|at| **at == At::Dead).count();
        let may_die = (0..THREADS).filter(|thread| dead < DEATHS && !matches!(self.at[*thread], At::Done | At::Dead));
        goes.chain(may_die.map(Step::Dies)).collect()
    }

    /// All that the future depends on.
    fn state(&self) -> ([At; THREADS], [Option<Result<()>>; THREADS], u64) {
        let ended = std::array::from_fn(|thread| match self.at[thread] {
            At::Waiting(_) => self.ended(thread),
            _ => None,
        });
        (self.at, ended, self.lock())
    }

    fn judge(&self, way: &[Step]) {
        let owners = self.at.iter().filter(|at| **at == At::Has).count();
        assert!(owners <= 1, "two have the lock after {way:?}");
        let all_wait = (0..THREADS).all(|thread| !self.can_go(thread));
        let waits = self.at.iter().any(|at| matches!(at, At::Waiting(_)));
        assert!(!all_wait || !waits, "somebody waits for ever after {way:?}: {:?}", self.at);
    }
}

#[test]
fn nobody_waits_for_ever_for_a_robust_lock_whoever_dies() {
    let (mut seen, mut ways, mut gone) = (HashSet::new(), vec![Vec::new()], 0);
    while let Some(way) = ways.pop() {
        let mut scene = Scene::new();
        scene.go(&way);
        gone += 1;
        if !seen.insert(scene.state()) {
            continue;
        }
        scene.judge(&way);
        ways.extend(scene.possible().into_iter().map(|step| [&way[..], &[step]].concat()));
    }
    println!("{} states, reached in {gone} ways", seen.len());
    assert!(seen.len() >= STATES_AT_LEAST, "only {} states were seen", seen.len());
}
