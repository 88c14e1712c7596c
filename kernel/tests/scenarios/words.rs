//! Waiting on words of memory: who is woken, who is told, and that nobody is forgotten.

use crate::harness::{MEMORY, Pending, System, Task, Thread, Until, no_right};
use portolan_abi::call::WordWait;
use portolan_abi::message::Descriptor;
use portolan_abi::task::{self as routine, CreateFlags, Limits};
use portolan_abi::thread::{self, State, ThreadInfo};
use portolan_abi::vm::{self, Inheritance, MapFlags};
use portolan_abi::word::OWNER;
use portolan_abi::{Call, Disposition, Error, Name, PAGE_SIZE, Protection, Result, WordOptions, pager};
use portolan_machine::sim::heap::Fail;

const PAGE: u64 = PAGE_SIZE as u64;
/// A word in the free part of a task's memory.
const WORD: u64 = MEMORY + 0x1_0000;
/// Where shared objects are mapped, in one task and in another.
const HERE: u64 = 0x5000_0000;
const THERE: u64 = 0x6000_0000;

/// How a wait ended: its result, and the value that was there instead.
type Ended = (Result<()>, u64);
const WOKEN: Ended = (Ok(()), 0);

fn wait_call(address: u64, expected: u64) -> WordWait {
    WordWait { address, expected, deadline: None, options: WordOptions::empty() }
}

fn wait(thread: &Thread, address: u64, expected: u64) -> Pending<Ended> {
    thread.call(Call::WordWait(wait_call(address, expected)))
}

fn wait_owned(thread: &Thread, address: u64, expected: u64) -> Pending<Ended> {
    thread.call(Call::WordWait(WordWait { options: WordOptions::OWNED, ..wait_call(address, expected) }))
}

fn wait_until(thread: &Thread, address: u64, expected: u64, deadline: u64) -> Pending<Ended> {
    thread.call(Call::WordWait(WordWait { deadline: Some(deadline), ..wait_call(address, expected) }))
}

#[track_caller]
fn wake(thread: &Thread, address: u64, count: u32) -> Result<u64> {
    let (result, woken) = thread.call(Call::WordWake { address, count }).done();
    result.map(|()| woken)
}

#[track_caller]
fn put(thread: &Thread, address: u64, value: u64) {
    thread.store(address, &value.to_le_bytes()).done();
}

fn error(error: Error) -> Ended {
    (Err(error), 0)
}

/// A task with three more threads, and its keeper's names of their kernel ports.
struct Stage {
    system: System,
    task: Task,
    threads: [Thread; 3],
    ports: [Name; 3],
}

impl Stage {
    fn new() -> Stage {
        let system = System::boot();
        let task = system.task("task");
        let threads = [task.thread(), task.thread(), task.thread()];
        let ports = threads
            .each_ref()
            .map(|thread| system.give_up_later(task.give(system.first(), thread.thread_self(), Disposition::CopySend)));
        Stage { system, task, threads, ports }
    }

    fn info(&self, thread: usize) -> ThreadInfo {
        thread::info(&**self.system.first(), self.ports[thread]).expect("its information").results.info
    }

    fn terminate(&self, thread: usize) {
        thread::terminate(&**self.system.first(), self.ports[thread]).expect("it was there");
    }

    fn abort(&self, thread: usize) {
        thread::abort(&**self.system.first(), self.ports[thread]).expect("it is there");
    }

    /// The first thread has the word.
    fn own(&self, address: u64) -> u64 {
        let owner = self.info(0).owner;
        put(&self.task, address, owner);
        owner
    }
}

fn object(task: &Task, pages: u64) -> Name {
    vm::memory_object_create(&**task, task.task_self(), pages * PAGE).expect("an object").rights[0]
}

fn map(task: &Task, object: Name, address: u64, pages: u64, offset: u64) {
    let right = Descriptor::port(object, Disposition::CopySend as u8);
    map_as(task, right, address, pages, offset, Protection::READ_WRITE, Inheritance::Share);
}

fn map_as(task: &Task, right: Descriptor, at: u64, pages: u64, offset: u64, allowed: Protection, inherit: Inheritance) {
    let (own, allowed, flags) = (task.task_self(), allowed.bits(), MapFlags::empty().bits());
    vm::vm_map(&**task, own, at, pages * PAGE, offset, allowed, allowed, inherit as u32, flags, right).expect("mapped");
}

#[test]
fn who_waits_is_woken_in_the_order_of_coming() {
    let stage = Stage::new();
    let waits = stage.threads.each_ref().map(|thread| wait(thread, WORD, 0));
    assert!(waits.iter().all(Pending::waits));
    assert_eq!(stage.info(0).state, State::AtWord as u32);
    assert_eq!(wake(&stage.task, WORD, 1), Ok(1));
    assert_eq!((waits[0].done(), waits[1].waits(), waits[2].waits()), (WOKEN, true, true));
    assert_eq!(wake(&stage.task, WORD, 9), Ok(2));
    assert_eq!((waits[1].done(), waits[2].done()), (WOKEN, WOKEN));
    assert_eq!(wake(&stage.task, WORD, 9), Ok(0));
}

#[test]
fn a_value_that_differs_is_told_and_not_waited_for() {
    let stage = Stage::new();
    put(&stage.task, WORD, 7);
    assert_eq!(wait(&stage.task, WORD, 8).done(), (Err(Error::ValueDiffers), 7));
    assert!(wait(&stage.threads[0], WORD, 7).waits());
}

#[test]
fn a_short_word_is_four_bytes_and_the_others_do_not_count() {
    let stage = Stage::new();
    put(&stage.task, WORD, 5 << 32 | 3);
    let short = |thread: &Thread, address, expected| {
        thread.call(Call::WordWait(WordWait { options: WordOptions::SHORT, ..wait_call(address, expected) }))
    };
    assert_eq!(short(&stage.task, WORD + 4, 3).done(), (Err(Error::ValueDiffers), 5));
    let (low, high) = (short(&stage.threads[0], WORD, 3), short(&stage.threads[1], WORD + 4, 5));
    assert_eq!(wake(&stage.task, WORD + 4, 9), Ok(1));
    assert_eq!((low.waits(), high.done()), (true, WOKEN));
}

#[test]
fn other_words_are_not_woken() {
    let stage = Stage::new();
    let waits = [8, 16, PAGE].map(|offset| (offset, WORD + offset));
    let pending: Vec<_> =
        waits.iter().zip(&stage.threads).map(|((_, address), thread)| wait(thread, *address, 0)).collect();
    // Among so many others some stand in the same line.
    for other in 3..2000 {
        assert_eq!(stage.system.unchecked(|| wake(&stage.task, WORD + PAGE + 8 * other, 9)), Ok(0));
    }
    assert!(pending.iter().all(Pending::waits));
    for ((_, address), pending) in waits.iter().zip(&pending) {
        assert_eq!((wake(&stage.task, *address, 9), pending.done()), (Ok(1), WOKEN));
    }
}

#[test]
fn tasks_meet_at_a_word_of_an_object_wherever_they_have_it() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let object = object(&one, 4);
    let theirs = one.give(&other, object, Disposition::CopySend);
    map(&one, object, HERE, 4, 0);
    map(&other, theirs, THERE, 1, 2 * PAGE);
    let pending = wait(&other, THERE + 8, 0);
    assert_eq!(wake(&one, HERE + 8, 9), Ok(0));
    assert_eq!(wake(&one, HERE + 2 * PAGE + 8, 9), Ok(1));
    assert_eq!(pending.done(), WOKEN);
}

#[test]
fn private_memory_at_the_same_address_is_another_word() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let pending = wait(&one, WORD, 0);
    assert_eq!(wake(&other, WORD, 9), Ok(0));
    assert!(pending.waits());
}

#[test]
fn a_word_keeps_its_waiters_when_its_memory_is_copied_and_written() {
    let stage = Stage::new();
    put(&stage.task, WORD, 1);
    let before = wait(&stage.threads[0], WORD, 1);
    let limits = Limits { memory: 100 << 10, ports: 10, frames: 100 };
    let inherit = CreateFlags::INHERIT.bits();
    let own = stage.task.task_self();
    let child = routine::create(&*stage.task, own, [b'c'; 32], limits, inherit, 0, no_right()).expect("a child");
    let after = wait(&stage.threads[1], WORD, 1);
    // The page is now another frame than the one they looked at.
    put(&stage.task, WORD, 2);
    assert_eq!(wake(&stage.task, WORD, 9), Ok(2));
    assert_eq!((before.done(), after.done()), (WOKEN, WOKEN));
    routine::terminate(&*stage.task, child.rights[0]).expect("it lives");
}

#[test]
fn a_deadline_ends_a_wait_when_it_has_come_and_not_before() {
    let stage = Stage::new();
    let deadline = stage.system.now().plus_ms(10).0;
    let pending = wait_until(&stage.threads[0], WORD, 0, deadline);
    stage.system.advance_ms(9);
    assert!(pending.waits());
    stage.system.advance_ms(1);
    assert_eq!(pending.done(), error(Error::TimedOut));
    assert_eq!(wake(&stage.task, WORD, 9), Ok(0));
    // A deadline in the past: not waited, but looked at.
    assert_eq!(wait_until(&stage.task, WORD, 0, deadline).done(), error(Error::TimedOut));
    assert_eq!(wait_until(&stage.task, WORD, 1, deadline).done(), error(Error::ValueDiffers));
}

#[test]
fn a_woken_thread_is_not_timed_out_as_well() {
    let stage = Stage::new();
    let deadline = stage.system.now().plus_ms(10).0;
    let pending = wait_until(&stage.threads[0], WORD, 0, deadline);
    assert_eq!(wake(&stage.task, WORD, 1), Ok(1));
    stage.system.advance_ms(20);
    assert_eq!(pending.done(), WOKEN);
}

#[test]
fn an_abort_ends_a_wait() {
    let stage = Stage::new();
    let waits = [wait(&stage.threads[0], WORD, 0), wait(&stage.threads[1], WORD, 0)];
    stage.abort(0);
    assert_eq!((waits[0].done(), waits[1].waits()), (error(Error::Aborted), true));
    assert_eq!(wake(&stage.task, WORD, 9), Ok(1));
}

#[test]
fn a_suspended_thread_is_woken_and_runs_when_it_is_resumed() {
    let stage = Stage::new();
    let first = &**stage.system.first();
    let pending = wait(&stage.threads[0], WORD, 0);
    thread::suspend(first, stage.ports[0]).expect("suspended");
    assert_eq!(stage.info(0).state, State::AtWord as u32);
    assert_eq!(wake(&stage.task, WORD, 1), Ok(1));
    assert!(pending.waits());
    assert_eq!(stage.info(0).state, State::Suspended as u32);
    thread::resume(first, stage.ports[0]).expect("resumed");
    stage.system.rest();
    assert_eq!(pending.done(), WOKEN);
}

#[test]
fn who_waits_when_the_owner_ends_is_told() {
    let stage = Stage::new();
    let owner = stage.own(WORD);
    let waits = [&stage.threads[1], &stage.threads[2]].map(|thread| wait_owned(thread, WORD, owner));
    stage.terminate(0);
    assert_eq!(waits.map(|pending| pending.done()), [error(Error::OwnerDead); 2]);
    assert_eq!(wake(&stage.task, WORD, 9), Ok(0));
}

#[test]
fn who_comes_when_the_owner_has_ended_is_told_at_once() {
    let stage = Stage::new();
    let owner = stage.own(WORD);
    stage.terminate(0);
    // The place of the dead thread is another's now, who is not the owner.
    let newcomer = stage.task.thread();
    assert_eq!(wait_owned(&stage.threads[1], WORD, owner).done(), error(Error::OwnerDead));
    drop(newcomer);
}

#[test]
fn the_bit_above_the_owner_is_the_programs() {
    let stage = Stage::new();
    let owner = stage.info(0).owner;
    assert!(owner != 0 && owner & !OWNER == 0);
    put(&stage.task, WORD, owner | !OWNER);
    let pending = wait_owned(&stage.threads[1], WORD, owner | !OWNER);
    assert!(pending.waits());
    stage.terminate(0);
    assert_eq!(pending.done(), error(Error::OwnerDead));
}

#[test]
fn an_owner_that_nobody_is_has_ended() {
    let stage = Stage::new();
    for nobody in [0, 1, OWNER, 0xff_ffff, stage.info(0).owner + (1 << 40)] {
        put(&stage.task, WORD, nobody);
        assert_eq!(wait_owned(&stage.task, WORD, nobody).done(), error(Error::OwnerDead), "{nobody:#x}");
    }
}

#[test]
fn an_owner_in_another_task_is_found_and_its_tasks_end_is_told() {
    let system = System::boot();
    let (one, other) = (system.task("one"), system.task("other"));
    let shared = object(&one, 1);
    let theirs = one.give(&other, shared, Disposition::CopySend);
    map(&one, shared, HERE, 1, 0);
    map(&other, theirs, THERE, 1, 0);
    let owner = thread::info(&*other, other.thread_self()).expect("information").results.info.owner;
    put(&other, THERE, owner);
    let pending = wait_owned(&one, HERE, owner);
    assert!(pending.waits());
    other.terminate();
    system.rest();
    assert_eq!(pending.done(), error(Error::OwnerDead));
}

#[test]
fn an_owner_that_waits_for_itself_is_let_go_when_it_ends() {
    let stage = Stage::new();
    let owner = stage.own(WORD);
    let pending = wait_owned(&stage.threads[0], WORD, owner);
    let other = wait_owned(&stage.threads[1], WORD, owner);
    stage.terminate(0);
    assert_eq!((pending.waits(), other.done()), (true, error(Error::OwnerDead)));
}

#[test]
fn owners_are_never_the_same() {
    let stage = Stage::new();
    let mut seen: Vec<u64> = (0..3).map(|thread| stage.info(thread).owner).collect();
    for _ in 0..20 {
        let task = stage.system.task("short");
        seen.push(thread::info(&*task, task.thread_self()).expect("information").results.info.owner);
        task.terminate();
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

#[test]
fn a_wake_is_passed_on_when_the_thread_that_got_it_ends() {
    let stage = Stage::new();
    let first = &**stage.system.first();
    let waits = [&stage.threads[0], &stage.threads[1]].map(|thread| wait(thread, WORD, 0));
    // It is woken, but has not run since.
    thread::suspend(first, stage.ports[0]).expect("suspended");
    assert_eq!(wake(&stage.task, WORD, 1), Ok(1));
    assert!(waits.iter().all(Pending::waits));
    stage.terminate(0);
    assert_eq!(waits[1].done(), WOKEN);
}

#[test]
fn a_wake_that_was_passed_on_to_a_whole_task_ends_with_its_last_thread() {
    let stage = Stage::new();
    let _waits = stage.threads.each_ref().map(|thread| wait(thread, WORD, 0));
    assert_eq!(wake(&stage.task, WORD, 1), Ok(1));
    stage.task.terminate();
}

#[test]
fn a_word_that_is_unmapped_keeps_who_waits_until_the_deadline() {
    let stage = Stage::new();
    let own = stage.task.task_self();
    let shared = object(&stage.task, 1);
    map(&stage.task, shared, HERE, 1, 0);
    let deadline = stage.system.now().plus_ms(50).0;
    let pending = wait_until(&stage.threads[0], HERE, 0, deadline);
    vm::vm_deallocate(&*stage.task, own, HERE, PAGE).expect("it was mapped");
    assert_eq!(wake(&stage.task, HERE, 1), Err(Error::InvalidAddress));
    stage.task.port_deallocate(shared).expect("ours");
    // Another object at the same address, and perhaps in the same place of the kernel's: another word.
    let another = object(&stage.task, 1);
    map(&stage.task, another, HERE, 1, 0);
    assert_eq!((wake(&stage.task, HERE, 1), pending.waits()), (Ok(0), true));
    stage.system.advance_ms(50);
    assert_eq!(pending.done(), error(Error::TimedOut));
}

#[test]
fn what_cannot_be_read_is_no_word() {
    let stage = Stage::new();
    let shared = object(&stage.task, 1);
    let read_only = Descriptor::port(shared, Disposition::CopySend as u8);
    map_as(&stage.task, read_only, HERE, 1, 0, Protection::READ, Inheritance::None);
    map_as(&stage.task, read_only, THERE, 1, 0, Protection::empty(), Inheritance::None);
    let pending = wait(&stage.threads[0], HERE, 0);
    assert!(pending.waits(), "reading is enough");
    assert_eq!(wake(&stage.task, HERE, 1), Ok(1));
    for (address, why) in [
        (THERE, Error::ProtectionFailure),
        (THERE + PAGE, Error::InvalidAddress),
        (0, Error::InvalidAddress),
        (!7, Error::InvalidAddress),
        (1 << 47, Error::InvalidAddress),
    ] {
        assert_eq!(wait(&stage.task, address, 0).done(), error(why), "{address:#x}");
        assert_eq!(wake(&stage.task, address, 1), Err(why), "{address:#x}");
    }
    assert_eq!(wait(&stage.task, WORD + 4, 0).done(), error(Error::InvalidArgument));
    assert_eq!(wake(&stage.task, WORD + 2, 1), Err(Error::InvalidArgument));
}

/// A task that pages an object, which another one has mapped.
struct Paged {
    system: System,
    pager: Task,
    control: Name,
    client: Task,
}

impl Paged {
    fn new() -> Paged {
        let system = System::boot();
        let (keeper, client) = (system.task("pager"), system.task("client"));
        let port = keeper.port(portolan_abi::Capacity::DEFAULT);
        let told = Descriptor::port(port, Disposition::MakeSend as u8);
        let own = keeper.task_self();
        let made = vm::memory_object_create_paged(&*keeper, own, PAGE, 1, told).expect("an object").rights;
        map_as(&keeper, no_right(), THERE, 1, 0, Protection::READ_WRITE, Inheritance::Copy);
        let theirs = keeper.give(&client, made[0], Disposition::CopySend);
        map(&client, theirs, HERE, 1, 0);
        Paged { system, pager: keeper, control: made[1], client }
    }

    fn supply(&self, value: u64) {
        put(&self.pager, THERE + 8, value);
        let own = Descriptor::port(self.pager.task_self(), Disposition::CopySend as u8);
        pager::supply(&*self.pager, self.control, 0, THERE, own).expect("supplied");
        self.system.rest();
    }
}

#[test]
fn a_word_that_a_pager_has_is_looked_at_when_its_page_comes() {
    let paged = Paged::new();
    let (same, differs) = (wait(&paged.client, HERE + 8, 5), wait(&paged.client.thread(), HERE + 8, 6));
    // To wake it the page is not needed.
    assert_eq!(wake(&paged.client.thread(), HERE + 8, 9), Ok(0));
    paged.supply(5);
    assert_eq!((same.waits(), differs.done()), (true, (Err(Error::ValueDiffers), 5)));
    assert_eq!(wake(&paged.client.thread(), HERE + 8, 9), Ok(1));
    assert_eq!(same.done(), WOKEN);
}

#[test]
fn a_wait_for_the_page_of_a_word_ends_as_a_wait_on_the_word_does() {
    let paged = Paged::new();
    let deadline = paged.system.now().plus_ms(5).0;
    let timed = wait_until(&paged.client, HERE, 0, deadline);
    let aborted = paged.client.thread();
    let port = aborted.thread_self();
    let pending = wait(&aborted, HERE, 0);
    let refused = wait(&paged.client.thread(), HERE, 0);
    paged.system.advance_ms(5);
    assert_eq!(timed.done(), error(Error::TimedOut));
    thread::abort(&*paged.client, port).expect("it lives");
    assert_eq!(pending.done(), error(Error::Aborted));
    pager::refuse(&*paged.pager, paged.control, 0, Error::MemoryError.code(), 0).expect("refused");
    paged.system.rest();
    assert_eq!(refused.done(), error(Error::MemoryError));
    paged.pager.port_deallocate(paged.control).expect("ours");
    assert_eq!(wait(&paged.client.thread(), HERE, 0).done(), error(Error::MemoryFailure));
}

#[test]
fn neither_waiting_nor_waking_needs_memory() {
    let stage = Stage::new();
    let owner = stage.own(WORD);
    // Nothing is asked for, so that nothing can fail.
    let ((), _) = stage.system.failing(Fail::From(0), || {
        let waits = [&stage.threads[1], &stage.threads[2]].map(|thread| wait_owned(thread, WORD, owner));
        assert_eq!(wake(&stage.task, WORD, 1), Ok(1));
        assert_eq!((waits[0].done(), waits[1].waits()), (WOKEN, true));
        assert_eq!(wake(&stage.task, WORD, 9), Ok(1));
    });
}

#[test]
fn a_word_in_a_page_that_nobody_can_pay_for_is_a_shortage() {
    let stage = Stage::new();
    let (ended, none_left) =
        stage.system.with_free_frames(0, Until::Done, || wait(&stage.threads[0], WORD + 2 * PAGE, 0).done());
    assert!(none_left);
    assert_eq!(ended, error(Error::ResourceShortage));
}

#[test]
fn a_thread_and_the_word_it_waits_on_are_shown_in_a_panic() {
    let stage = Stage::new();
    let owner = stage.own(WORD);
    let _waits = (wait_owned(&stage.threads[1], WORD, owner), wait(&stage.threads[2], WORD + 8, 0));
    let report = stage.system.report();
    assert!(report.contains("which") && report.matches("waits on").count() == 2, "{report}");
}

#[test]
fn a_lock_of_one_word_lets_one_in_at_a_time() {
    // Three threads take a word in turn: 0 is free, 1 is taken; who finds it taken waits.
    let stage = Stage::new();
    put(&stage.task, WORD, 1);
    let mut waits: Vec<_> = stage.threads.iter().map(|thread| wait(thread, WORD, 1)).collect();
    for _ in 0..3 {
        put(&stage.task, WORD, 0);
        assert_eq!(wake(&stage.task, WORD, 1), Ok(1));
        assert_eq!(waits.remove(0).done(), WOKEN);
        put(&stage.task, WORD, 1);
        assert!(waits.iter().all(Pending::waits));
    }
}
