//! Semaphores, mutexes, condition variables and barriers: between threads, between tasks, and
//! when somebody dies.

use crate::case::{Failure, Verdict};
use crate::clock::{Stopwatch, deadline};
use crate::peer::Peer;
use crate::space::{self, PAGE, Place};
use crate::{cases, holds, same};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::abi::task::Limits;
use portolan::abi::thread::{PRIORITY_DEFAULT, State};
use portolan::abi::vm::Inheritance;
use portolan::thread::{JoinHandle, spawn, yield_now};
use portolan::word::{self, Deadline, Owner};
use portolan::{Mapping, MemoryObject, Protection, Right, SendRight, Task, trap};
use portolan_posix::{Arrival, Barrier, Condition, Errno, Kind, Mutex, Once, Result, Robustness, Semaphore, Time};

cases!("posix_sync":
    a_semaphore_lets_in_as_many_as_it_says,
    a_post_is_for_one_who_waits,
    a_semaphores_errors_are_exact,
    an_aborted_wait_at_a_semaphore_is_interrupted,
    a_post_is_not_lost_with_who_got_it,
    two_semaphores_are_a_bounded_buffer,
    a_mutex_lets_one_in_at_a_time,
    a_mutex_between_tasks_lets_one_in_at_a_time,
    a_mutexs_errors_are_exact,
    a_robust_mutex_tells_who_waits_of_the_owners_death,
    a_robust_mutex_tells_who_comes_later,
    a_robust_mutex_tells_of_the_death_of_a_task,
    what_nobody_makes_consistent_is_lost,
    a_mutex_that_is_not_robust_stays_locked,
    a_waiter_that_dies_keeps_nobody_waiting,
    the_death_of_the_next_owner_is_told_as_well,
    a_signal_wakes_one_and_a_broadcast_all,
    a_timed_wait_ends_with_the_mutex_locked,
    a_wait_gives_a_recursive_mutex_back_as_it_was,
    a_wait_tells_of_the_death_of_the_mutexs_owner,
    a_condition_is_a_bounded_buffer,
    a_barrier_lets_all_go_at_once,
    what_is_done_once_is_done_by_one,
    what_a_thread_died_of_is_done_by_another,
);

const MUTEX: usize = 0;
const CONDITION: usize = 4;
const SEMAPHORE: usize = 6;
const SECOND_SEMAPHORE: usize = 7;
const BARRIER: usize = 8;
const COUNT: usize = 10;
const OWNER: usize = 11;
const DONE: usize = 12;
const BUFFER: usize = 16;
const PLACES: u64 = 4;

/// A page of words that threads share.
#[derive(Clone)]
struct Shared(Arc<Mapping>);

impl Shared {
    fn new() -> portolan::Result<Shared> {
        Ok(Shared(Arc::new(Mapping::new(None, PAGE, Protection::READ_WRITE)?)))
    }

    fn word(&self, place: usize) -> &AtomicU64 {
        &self.0.words()[place]
    }

    fn semaphore(&self, place: usize) -> Semaphore<'_> {
        Semaphore::at(self.word(place))
    }

    fn mutex(&self) -> Mutex<'_> {
        mutex_in(&self.0)
    }

    fn condition(&self) -> Condition<'_> {
        Condition::at(self.0.words()[CONDITION..].first_chunk().expect("a page of words"))
    }

    fn barrier(&self) -> Barrier<'_> {
        Barrier::at(self.0.words()[BARRIER..].first_chunk().expect("a page of words"))
    }

    /// Makes the mutex.
    fn with_mutex(self, kind: Kind, robustness: Robustness) -> Shared {
        let _ = Mutex::init(self.0.words()[MUTEX..].first_chunk().expect("a page of words"), kind, robustness);
        self
    }

    fn count(&self) -> u64 {
        self.word(COUNT).load(Ordering::Relaxed)
    }

    /// A thread that does this with the words.
    fn spawn<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared, Owner) -> T + Send + 'static,
    ) -> portolan::Result<JoinHandle<T>> {
        let shared = self.clone();
        spawn(move || act(&shared, Owner::this().expect("a thread knows its number")))
    }
}

fn mutex_in(mapping: &Mapping) -> Mutex<'_> {
    Mutex::at(mapping.words()[MUTEX..].first_chunk().expect("a page of words"))
}

fn robust() -> portolan::Result<Shared> {
    Ok(Shared::new()?.with_mutex(Kind::Normal, Robustness::Robust))
}

/// The thread comes to wait on a word.
fn waits<T>(thread: &JoinHandle<T>) -> Verdict {
    comes_to(thread, State::AtWord)
}

/// The thread comes to sleep.
fn sleeps<T>(thread: &JoinHandle<T>) -> Verdict {
    comes_to(thread, State::Sleeping)
}

fn comes_to<T>(thread: &JoinHandle<T>, state: State) -> Verdict {
    let end = deadline(5000);
    while thread.thread().info()?.state != state as u32 {
        holds!(trap::clock_get() < end, state);
        yield_now();
    }
    Ok(())
}

/// Ends a thread wherever it is.
fn kill<T>(thread: JoinHandle<T>) -> portolan::Result<()> {
    thread.thread().terminate()?;
    thread.detach();
    Ok(())
}

/// Locks the mutex, says what came of it, and keeps it for ever.
fn hold_for_ever(shared: &Shared, me: Owner) {
    if let Err(errno) = shared.mutex().lock(me) {
        shared.word(COUNT).store(errno.number() as u64, Ordering::Relaxed);
    }
    portolan::thread::sleep_ms(u32::MAX);
}

fn soon() -> Time {
    Time::after_ms(30)
}

const NO_TIME: Time = Time { seconds: 1, nanoseconds: 1_000_000_000 };

fn a_semaphore_lets_in_as_many_as_it_says() -> Verdict {
    let shared = Shared::new()?;
    let semaphore = Semaphore::init(shared.word(SEMAPHORE), 2).map_err(of)?;
    same!((semaphore.wait(), semaphore.wait(), semaphore.try_wait()), (Ok(()), Ok(()), Err(Errno::Again)));
    let third = shared.spawn(|shared, _| shared.semaphore(SEMAPHORE).wait())?;
    waits(&third)?;
    same!(semaphore.value(), 0);
    same!(semaphore.post(), Ok(()));
    same!(third.join()?, Ok(()));
    same!(semaphore.value(), 0);
    Ok(())
}

fn a_post_is_for_one_who_waits() -> Verdict {
    let shared = Shared::new()?;
    let take = |shared: &Shared| {
        shared.spawn(|shared, _| {
            let taken = shared.semaphore(SEMAPHORE).wait();
            shared.word(COUNT).fetch_add(1, Ordering::Relaxed);
            taken
        })
    };
    let threads = [take(&shared)?, take(&shared)?, take(&shared)?];
    threads.iter().try_for_each(waits)?;
    for taken in 1..=3 {
        same!(shared.semaphore(SEMAPHORE).post(), Ok(()));
        let end = deadline(5000);
        while shared.count() < taken {
            holds!(trap::clock_get() < end);
            yield_now();
        }
        same!(shared.count(), taken);
    }
    for thread in threads {
        same!(thread.join()?, Ok(()));
    }
    same!(shared.semaphore(SEMAPHORE).value(), 0);
    Ok(())
}

fn a_semaphores_errors_are_exact() -> Verdict {
    let shared = Shared::new()?;
    let semaphore = shared.semaphore(SEMAPHORE);
    let watch = Stopwatch::start();
    same!(semaphore.timed_wait(soon()), Err(Errno::TimedOut));
    watch.shows(28)?;
    same!(semaphore.timed_wait(Time { seconds: -1, nanoseconds: 0 }), Err(Errno::TimedOut));
    same!(semaphore.timed_wait(NO_TIME), Err(Errno::Invalid));
    same!(semaphore.try_wait(), Err(Errno::Again));
    same!((semaphore.post(), semaphore.timed_wait(NO_TIME)), (Ok(()), Ok(())));
    same!(Semaphore::init(shared.word(SEMAPHORE), 1 << 31).err(), Some(Errno::Invalid));
    let full = Semaphore::init(shared.word(SEMAPHORE), portolan_posix::VALUE_MAX).map_err(of)?;
    same!(full.post(), Err(Errno::Overflow));
    Ok(())
}

fn an_aborted_wait_at_a_semaphore_is_interrupted() -> Verdict {
    let shared = Shared::new()?;
    let thread = shared.spawn(|shared, _| shared.semaphore(SEMAPHORE).wait())?;
    waits(&thread)?;
    thread.thread().abort()?;
    same!(thread.join()?, Err(Errno::Interrupted));
    // Nobody is counted as waiting any more.
    same!(shared.word(SEMAPHORE).load(Ordering::Relaxed), 0);
    Ok(())
}

fn a_post_is_not_lost_with_who_got_it() -> Verdict {
    let shared = Shared::new()?;
    let take = |shared: &Shared| shared.spawn(|shared, _| shared.semaphore(SEMAPHORE).wait());
    let first = take(&shared)?;
    waits(&first)?;
    let second = take(&shared)?;
    waits(&second)?;
    // The first is woken, and ends before it has run.
    first.thread().suspend()?;
    same!(shared.semaphore(SEMAPHORE).post(), Ok(()));
    kill(first)?;
    same!(second.join()?, Ok(()));
    Ok(())
}

fn two_semaphores_are_a_bounded_buffer() -> Verdict {
    const ITEMS: u64 = 1000;
    let shared = Shared::new()?;
    Semaphore::init(shared.word(SEMAPHORE), PLACES as u32).map_err(of)?;
    let producer = shared.spawn(|shared, _| {
        for item in 0..ITEMS {
            shared.semaphore(SEMAPHORE).wait()?;
            shared.word(BUFFER + (item % PLACES) as usize).store(item, Ordering::Relaxed);
            shared.semaphore(SECOND_SEMAPHORE).post()?;
        }
        Ok::<(), Errno>(())
    })?;
    for item in 0..ITEMS {
        same!(shared.semaphore(SECOND_SEMAPHORE).wait(), Ok(()));
        same!(shared.word(BUFFER + (item % PLACES) as usize).load(Ordering::Relaxed), item);
        same!(shared.semaphore(SEMAPHORE).post(), Ok(()));
    }
    same!(producer.join()?, Ok(()));
    Ok(())
}

/// Counts so often, in a way that only goes well alone.
fn count_up(mapping: &Mapping, me: Owner, times: u64) -> Result<()> {
    let count = &mapping.words()[COUNT];
    for turn in 0..times {
        mutex_in(mapping).lock(me)?;
        let before = count.load(Ordering::Relaxed);
        if turn % 8 == 0 {
            yield_now();
        }
        count.store(before + 1, Ordering::Relaxed);
        mutex_in(mapping).unlock(me)?;
    }
    Ok(())
}

fn a_mutex_lets_one_in_at_a_time() -> Verdict {
    for robustness in [Robustness::Stalled, Robustness::Robust] {
        let shared = Shared::new()?.with_mutex(Kind::Normal, robustness);
        let count = |shared: &Shared| shared.spawn(|shared, me| count_up(&shared.0, me, 500));
        let threads = [count(&shared)?, count(&shared)?, count(&shared)?];
        for thread in threads {
            same!(thread.join()?, Ok(()));
        }
        same!(shared.count(), 1500);
        same!(shared.mutex().destroy(), Ok(()));
    }
    Ok(())
}

/// The words that a child has inherited.
static INHERITED: portolan::Once<Mapping> = portolan::Once::new();

/// A child's life: it counts, and says when it is done. It has no names, and needs none.
extern "C" fn count_in_child() -> ! {
    let mapping = INHERITED.get().expect("the parent has set it");
    let me = Owner::from_number(mapping.words()[OWNER].load(Ordering::Relaxed));
    let outcome = if count_up(mapping, me, 500).is_ok() { 1 } else { 2 };
    let done = &mapping.words()[DONE];
    done.store(outcome, Ordering::Release);
    word::wake(done, 1);
    loop {
        let _ = word::wait(done, outcome, Deadline::NEVER);
    }
}

fn a_mutex_between_tasks_lets_one_in_at_a_time() -> Verdict {
    let object = MemoryObject::create(PAGE)?;
    let mapping = INHERITED.call_once(|| object.map(Protection::READ_WRITE).expect("a page"));
    Task::this().inherit(mapping.address(), PAGE, Inheritance::Share)?;
    let stack = Mapping::new(None, 4 * PAGE, Protection::READ_WRITE)?;
    let limits = Limits { memory: 1 << 20, ports: 16, frames: 2048 };
    let (child, _) = Task::this().create_heir("child", limits, Right::Null)?;
    // A function finds the stack 8 bytes off a multiple of 16.
    let (entry, top) = (count_in_child as *const () as u64, stack.address() + 4 * PAGE - 8);
    let thread = child.thread_create_suspended(entry, top, 0, PRIORITY_DEFAULT)?;
    mapping.words()[OWNER].store(thread.info()?.owner, Ordering::Relaxed);
    thread.resume()?;
    same!(count_up(mapping, Owner::this()?, 500), Ok(()));
    let done = &mapping.words()[DONE];
    while done.load(Ordering::Acquire) == 0 {
        word::again(word::wait(done, 0, Deadline::after_ms(5000)))?;
    }
    same!(done.load(Ordering::Acquire), 1);
    same!(mapping.words()[COUNT].load(Ordering::Relaxed), 1000);
    child.terminate()?;
    Ok(())
}

fn a_mutexs_errors_are_exact() -> Verdict {
    for robustness in [Robustness::Stalled, Robustness::Robust] {
        let shared = Shared::new()?.with_mutex(Kind::Normal, robustness);
        let (mutex, me) = (shared.mutex(), Owner::this()?);
        same!(mutex.lock(me), Ok(()));
        let other = shared.spawn(|shared, me| {
            let mutex = shared.mutex();
            [mutex.try_lock(me), mutex.timed_lock(me, soon()), mutex.timed_lock(me, NO_TIME), mutex.unlock(me)]
        })?;
        let wanted = [Errno::Busy, Errno::TimedOut, Errno::Invalid, Errno::Permission].map(Err);
        same!(other.join()?, wanted);
        // Its own owner waits for it, too.
        same!(mutex.timed_lock(me, soon()), Err(Errno::TimedOut));
        same!((mutex.try_lock(me), mutex.destroy()), (Err(Errno::Busy), Err(Errno::Busy)));
        same!((mutex.unlock(me), mutex.timed_lock(me, NO_TIME)), (Ok(()), Ok(())));
    }
    Ok(())
}

fn a_robust_mutex_tells_who_waits_of_the_owners_death() -> Verdict {
    let shared = robust()?;
    let owner = shared.spawn(hold_for_ever)?;
    sleeps(&owner)?;
    let waiter = shared.spawn(|shared, me| {
        let mutex = shared.mutex();
        (mutex.lock(me), mutex.consistent(me), mutex.consistent(me), mutex.unlock(me))
    })?;
    waits(&waiter)?;
    kill(owner)?;
    same!(waiter.join()?, (Err(Errno::OwnerDead), Ok(()), Err(Errno::Invalid), Ok(())));
    let me = Owner::this()?;
    same!((shared.mutex().lock(me), shared.mutex().unlock(me)), (Ok(()), Ok(())));
    Ok(())
}

fn a_robust_mutex_tells_who_comes_later() -> Verdict {
    for tries in [false, true] {
        let (shared, me) = (robust()?, Owner::this()?);
        let owner = shared.spawn(hold_for_ever)?;
        sleeps(&owner)?;
        same!(shared.mutex().try_lock(me), Err(Errno::Busy));
        kill(owner)?;
        let locked = if tries { shared.mutex().try_lock(me) } else { shared.mutex().lock(me) };
        same!(locked, Err(Errno::OwnerDead));
        same!((shared.mutex().consistent(me), shared.mutex().unlock(me)), (Ok(()), Ok(())));
        same!(shared.mutex().lock(me), Ok(()));
    }
    Ok(())
}

fn a_robust_mutex_tells_of_the_death_of_a_task() -> Verdict {
    let peer = Peer::start()?;
    let object = MemoryObject::from_right(SendRight::from_name(space::object(PAGE)?));
    let shared = Shared(Arc::new(object.map(Protection::READ_WRITE)?)).with_mutex(Kind::Normal, Robustness::Robust);
    let there = space::map_place(peer.task, object.right().name(), Place::anywhere(PAGE, Protection::READ_WRITE))?;
    // The peer locks it, as the layout says: its number, where there was none.
    peer.hand.store(there, peer.hand.info()?.owner)?.finish()?;
    let waiter = shared.spawn(|shared, me| shared.mutex().lock(me))?;
    waits(&waiter)?;
    peer.terminate()?;
    same!(waiter.join()?, Err(Errno::OwnerDead));
    Ok(())
}

fn what_nobody_makes_consistent_is_lost() -> Verdict {
    let (shared, me) = (robust()?, Owner::this()?);
    let owner = shared.spawn(hold_for_ever)?;
    sleeps(&owner)?;
    kill(owner)?;
    same!(shared.mutex().lock(me), Err(Errno::OwnerDead));
    let lock = |shared: &Shared| shared.spawn(|shared, me| shared.mutex().lock(me));
    let waiters = [lock(&shared)?, lock(&shared)?];
    waiters.iter().try_for_each(waits)?;
    same!(shared.mutex().unlock(me), Ok(()));
    for waiter in waiters {
        same!(waiter.join()?, Err(Errno::NotRecoverable));
    }
    let mutex = shared.mutex();
    same!((mutex.lock(me), mutex.try_lock(me)), (Err(Errno::NotRecoverable), Err(Errno::NotRecoverable)));
    same!((mutex.timed_lock(me, soon()), mutex.consistent(me)), (Err(Errno::NotRecoverable), Err(Errno::Invalid)));
    Ok(())
}

fn a_mutex_that_is_not_robust_stays_locked() -> Verdict {
    let (shared, me) = (Shared::new()?, Owner::this()?);
    let owner = shared.spawn(hold_for_ever)?;
    sleeps(&owner)?;
    kill(owner)?;
    same!(shared.mutex().timed_lock(me, soon()), Err(Errno::TimedOut));
    same!(shared.mutex().try_lock(me), Err(Errno::Busy));
    Ok(())
}

fn a_waiter_that_dies_keeps_nobody_waiting() -> Verdict {
    for robustness in [Robustness::Stalled, Robustness::Robust] {
        let (shared, me) = (Shared::new()?.with_mutex(Kind::Normal, robustness), Owner::this()?);
        same!(shared.mutex().lock(me), Ok(()));
        let lock = |shared: &Shared| shared.spawn(|shared, me| (shared.mutex().lock(me), shared.mutex().unlock(me)));
        let first = lock(&shared)?;
        waits(&first)?;
        let second = lock(&shared)?;
        waits(&second)?;
        // The first is woken, and ends before it has run.
        first.thread().suspend()?;
        same!(shared.mutex().unlock(me), Ok(()));
        kill(first)?;
        same!(second.join()?, (Ok(()), Ok(())));
    }
    Ok(())
}

fn the_death_of_the_next_owner_is_told_as_well() -> Verdict {
    let (shared, me) = (robust()?, Owner::this()?);
    same!(shared.mutex().lock(me), Ok(()));
    let next = shared.spawn(hold_for_ever)?;
    waits(&next)?;
    let last = shared.spawn(|shared, me| shared.mutex().lock(me))?;
    waits(&last)?;
    same!(shared.mutex().unlock(me), Ok(()));
    sleeps(&next)?;
    waits(&last)?;
    kill(next)?;
    same!(last.join()?, Err(Errno::OwnerDead));
    Ok(())
}

/// Waits at the condition once, and counts.
fn wait_once(shared: &Shared, me: Owner) -> Result<()> {
    shared.mutex().lock(me)?;
    let woken = shared.condition().wait(shared.mutex(), me);
    shared.word(COUNT).fetch_add(1, Ordering::Relaxed);
    shared.mutex().unlock(me)?;
    woken
}

fn a_signal_wakes_one_and_a_broadcast_all() -> Verdict {
    let shared = Shared::new()?;
    let start = |shared: &Shared| shared.spawn(wait_once);
    let threads = [start(&shared)?, start(&shared)?, start(&shared)?];
    threads.iter().try_for_each(waits)?;
    shared.condition().signal();
    let end = deadline(5000);
    while shared.count() == 0 {
        holds!(trap::clock_get() < end);
        yield_now();
    }
    portolan::thread::sleep_ms(20);
    same!(shared.count(), 1);
    shared.condition().broadcast();
    for thread in threads {
        same!(thread.join()?, Ok(()));
    }
    same!(shared.count(), 3);
    Ok(())
}

fn a_timed_wait_ends_with_the_mutex_locked() -> Verdict {
    let (shared, me) = (Shared::new()?, Owner::this()?);
    let (mutex, condition) = (shared.mutex(), shared.condition());
    same!(condition.wait(mutex, me), Err(Errno::Permission));
    same!(mutex.lock(me), Ok(()));
    same!(condition.timed_wait(mutex, me, NO_TIME), Err(Errno::Invalid));
    let watch = Stopwatch::start();
    same!(condition.timed_wait(mutex, me, soon()), Err(Errno::TimedOut));
    watch.shows(28)?;
    holds!(mutex.is_owner(me));
    same!(shared.word(CONDITION + 1).load(Ordering::Relaxed), 0);
    Ok(())
}

fn a_wait_gives_a_recursive_mutex_back_as_it_was() -> Verdict {
    let (shared, me) = (Shared::new()?.with_mutex(Kind::Recursive, Robustness::Stalled), Owner::this()?);
    let mutex = shared.mutex();
    same!((mutex.lock(me), mutex.lock(me), mutex.lock(me)), (Ok(()), Ok(()), Ok(())));
    let other = shared.spawn(|shared, me| {
        let locked = shared.mutex().lock(me);
        shared.condition().signal();
        (locked, shared.mutex().unlock(me))
    })?;
    same!(shared.condition().wait(mutex, me), Ok(()));
    same!(other.join()?, (Ok(()), Ok(())));
    for _ in 0..3 {
        same!(mutex.unlock(me), Ok(()));
    }
    same!(mutex.unlock(me), Err(Errno::Permission));
    Ok(())
}

fn a_wait_tells_of_the_death_of_the_mutexs_owner() -> Verdict {
    let shared = robust()?;
    let waiter = shared.spawn(|shared, me| {
        shared.mutex().lock(me)?;
        shared.condition().wait(shared.mutex(), me)
    })?;
    waits(&waiter)?;
    let owner = shared.spawn(hold_for_ever)?;
    sleeps(&owner)?;
    shared.condition().signal();
    waits(&waiter)?;
    kill(owner)?;
    same!(waiter.join()?, Err(Errno::OwnerDead));
    Ok(())
}

fn a_condition_is_a_bounded_buffer() -> Verdict {
    const ITEMS: u64 = 1000;
    let (shared, me) = (Shared::new()?, Owner::this()?);
    // COUNT is how many are in the buffer.
    let producer = shared.spawn(|shared, me| {
        for item in 0..ITEMS {
            shared.mutex().lock(me)?;
            while shared.count() == PLACES {
                shared.condition().wait(shared.mutex(), me)?;
            }
            shared.word(BUFFER + (item % PLACES) as usize).store(item, Ordering::Relaxed);
            shared.word(COUNT).store(shared.count() + 1, Ordering::Relaxed);
            shared.condition().signal();
            shared.mutex().unlock(me)?;
        }
        Ok::<(), Errno>(())
    })?;
    for item in 0..ITEMS {
        same!(shared.mutex().lock(me), Ok(()));
        while shared.count() == 0 {
            same!(shared.condition().wait(shared.mutex(), me), Ok(()));
        }
        same!(shared.word(BUFFER + (item % PLACES) as usize).load(Ordering::Relaxed), item);
        shared.word(COUNT).store(shared.count() - 1, Ordering::Relaxed);
        shared.condition().signal();
        same!(shared.mutex().unlock(me), Ok(()));
    }
    same!(producer.join()?, Ok(()));
    Ok(())
}

fn a_barrier_lets_all_go_at_once() -> Verdict {
    const ROUNDS: u64 = 50;
    let shared = Shared::new()?;
    same!(shared.barrier().wait(), Err(Errno::Invalid));
    let _ = Barrier::init(shared.0.words()[BARRIER..].first_chunk().expect("a page of words"), 3).map_err(of)?;
    let meet = |shared: &Shared| {
        shared.spawn(|shared, _| {
            let mut serial = 0;
            for round in 0..ROUNDS {
                shared.word(COUNT).fetch_add(1, Ordering::Relaxed);
                serial += u64::from(shared.barrier().wait()? == Arrival::Serial);
                // All have come to this round, and none has gone beyond the next.
                let come = shared.count();
                if come < 3 * (round + 1) || come > 3 * (round + 2) {
                    return Err(Errno::Range);
                }
            }
            Ok(serial)
        })
    };
    let threads = Vec::from([meet(&shared)?, meet(&shared)?, meet(&shared)?]);
    let mut serial = 0;
    for thread in threads {
        serial += thread.join()?.map_err(of)?;
    }
    same!(serial, ROUNDS);
    same!(shared.barrier().destroy(), Ok(()));
    Ok(())
}

fn what_is_done_once_is_done_by_one() -> Verdict {
    let shared = Shared::new()?;
    let call = |shared: &Shared| {
        shared.spawn(|shared, me| {
            Once::at(shared.word(DONE)).call(me, || {
                portolan::thread::sleep_ms(20);
                shared.word(COUNT).fetch_add(1, Ordering::Relaxed);
            })?;
            Ok::<u64, Errno>(shared.count())
        })
    };
    for thread in [call(&shared)?, call(&shared)?, call(&shared)?] {
        same!(thread.join()?, Ok(1));
    }
    Ok(())
}

fn what_a_thread_died_of_is_done_by_another() -> Verdict {
    let shared = Shared::new()?;
    let first =
        shared.spawn(|shared, me| Once::at(shared.word(DONE)).call(me, || portolan::thread::sleep_ms(u32::MAX)))?;
    sleeps(&first)?;
    let second = shared
        .spawn(|shared, me| Once::at(shared.word(DONE)).call(me, || shared.word(COUNT).store(1, Ordering::Relaxed)))?;
    waits(&second)?;
    kill(first)?;
    same!((second.join()?, shared.count()), (Ok(()), 1));
    Ok(())
}

#[track_caller]
fn of(errno: Errno) -> Failure {
    Failure::new(&alloc::format!("{errno:?}"))
}
