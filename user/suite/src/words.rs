//! Waiting on words of memory: between threads, between tasks, and when somebody dies.

use crate::case::{Failure, Verdict};
use crate::clock::{Stopwatch, deadline};
use crate::hand::{Hand, Pending, Report};
use crate::peer::Peer;
use crate::space::{self, PAGE, Place};
use crate::{asm, cases, holds, same};
use alloc::vec::Vec;
use portolan::abi::call::{Call, WordWait};
use portolan::abi::thread::{self, State};
use portolan::abi::word::OWNER;
use portolan::abi::{Error, Name, Protection, Result, WordOptions};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("words":
    who_waits_is_woken_in_the_order_of_coming,
    a_value_that_differs_is_returned,
    a_short_word_is_four_bytes,
    tasks_meet_wherever_they_have_the_memory,
    private_memory_is_each_tasks_own,
    a_deadline_ends_a_wait,
    an_abort_ends_a_wait,
    a_suspended_thread_is_woken_and_runs_later,
    an_owner_that_ends_is_told_to_all_who_wait,
    an_owner_that_has_ended_is_told_at_once,
    an_owner_in_a_task_that_ends_is_told,
    a_wake_is_not_lost_with_the_thread_that_got_it,
    a_task_ends_while_it_waits,
    memory_that_goes_keeps_who_waits_until_the_deadline,
    read_only_memory_can_be_waited_on,
    what_cannot_be_a_word_is_refused,
    a_thread_says_that_it_waits_on_a_word,
    two_threads_pass_a_word_to_and_fro,
);

fn wait_call(address: u64, expected: u64) -> WordWait {
    WordWait { address, expected, deadline: None, options: WordOptions::empty() }
}

fn start_wait(hand: &Hand, address: u64, expected: u64) -> core::result::Result<Pending, Failure> {
    start(hand, wait_call(address, expected))
}

fn start_owned(hand: &Hand, address: u64, expected: u64) -> core::result::Result<Pending, Failure> {
    start(hand, WordWait { options: WordOptions::OWNED, ..wait_call(address, expected) })
}

/// A hand begins to wait, and does.
fn start(hand: &Hand, wait: WordWait) -> core::result::Result<Pending, Failure> {
    let pending = hand.start_call(Call::WordWait(wait))?;
    hand.waits(&pending, State::AtWord)?;
    Ok(pending)
}

/// What a call of this thread's own gives.
fn call(call: Call) -> (Result<()>, u64) {
    let (number, arguments) = call.encode();
    let (code, value) = asm::trap(number, arguments);
    (portolan::abi::error::result_of(code), value)
}

fn wait(address: u64, expected: u64) -> (Result<()>, u64) {
    call(Call::WordWait(wait_call(address, expected)))
}

fn wake(address: u64, count: u32) -> Result<u64> {
    let (result, woken) = call(Call::WordWake { address, count });
    result.map(|()| woken)
}

fn ended(report: &Report) -> Result<()> {
    report.result
}

/// The same object in this task and in a peer: where it is here, and there.
fn shared(peer: &Peer) -> core::result::Result<(u64, u64), Failure> {
    let object = space::object(PAGE)?;
    let here = space::map_place(trap::task_self(), object, Place::anywhere(PAGE, Protection::READ_WRITE))?;
    let there = space::map_place(peer.task, object, Place::at(0x6543_2000, PAGE, Protection::READ_WRITE))?;
    holds!(here != there);
    Ok((here, there))
}

fn who_waits_is_woken_in_the_order_of_coming() -> Verdict {
    let word = space::fresh(PAGE)?;
    let hands = [Hand::here()?, Hand::here()?, Hand::here()?];
    let mut waits = Vec::new();
    for hand in &hands {
        waits.push(start_wait(hand, word, 0)?);
    }
    for _ in 0..2 {
        same!(wake(word, 1), Ok(1));
        same!(ended(&waits.remove(0).finish()?), Ok(()));
    }
    holds!(!waits[0].is_done()?);
    same!(wake(word, u32::MAX), Ok(1));
    same!(wake(word, u32::MAX), Ok(0));
    Ok(())
}

fn a_value_that_differs_is_returned() -> Verdict {
    let word = space::fresh(PAGE)?;
    asm::store(word + 8, 77);
    same!(wait(word + 8, 78), (Err(Error::ValueDiffers), 77));
    Ok(())
}

fn a_short_word_is_four_bytes() -> Verdict {
    let word = space::fresh(PAGE)?;
    asm::store(word, 9 << 32 | 4);
    let short = |address, expected| WordWait { options: WordOptions::SHORT, ..wait_call(address, expected) };
    same!(call(Call::WordWait(short(word + 4, 4))), (Err(Error::ValueDiffers), 9));
    let hand = Hand::here()?;
    let pending = start(&hand, short(word + 4, 9))?;
    same!((wake(word, 1), wake(word + 4, 1)), (Ok(0), Ok(1)));
    same!(ended(&pending.finish()?), Ok(()));
    Ok(())
}

fn tasks_meet_wherever_they_have_the_memory() -> Verdict {
    let peer = Peer::start()?;
    let (here, there) = shared(&peer)?;
    let pending = start_wait(&peer.hand, there + 64, 0)?;
    same!(wake(here + 56, 1), Ok(0));
    asm::store(here + 64, 1);
    same!(wake(here + 64, 1), Ok(1));
    same!(ended(&pending.finish()?), Ok(()));
    same!(peer.hand.load(there + 64)?.finish()?.value, 1);
    Ok(())
}

fn private_memory_is_each_tasks_own() -> Verdict {
    let peer = Peer::start()?;
    let place = Place::at(0x6543_2000, PAGE, Protection::READ_WRITE);
    space::map_place(trap::task_self(), Name::NULL, place)?;
    let there = space::map_place(peer.task, Name::NULL, place)?;
    let pending = start_wait(&peer.hand, there, 0)?;
    same!(wake(there, 1), Ok(0));
    holds!(!pending.is_done()?);
    Ok(())
}

fn a_deadline_ends_a_wait() -> Verdict {
    let word = space::fresh(PAGE)?;
    let watch = Stopwatch::start();
    let timed = WordWait { deadline: Some(deadline(30)), ..wait_call(word, 0) };
    same!(call(Call::WordWait(timed)).0, Err(Error::TimedOut));
    watch.shows(30)?;
    // It is over: a second try does not wait at all.
    same!(call(Call::WordWait(timed)).0, Err(Error::TimedOut));
    same!(wake(word, 1), Ok(0));
    Ok(())
}

fn an_abort_ends_a_wait() -> Verdict {
    let (word, hand) = (space::fresh(PAGE)?, Hand::here()?);
    let pending = start_wait(&hand, word, 0)?;
    thread::abort(&MsgRpc, hand.thread)?;
    same!(ended(&pending.finish()?), Err(Error::Aborted));
    same!(wake(word, 1), Ok(0));
    Ok(())
}

fn a_suspended_thread_is_woken_and_runs_later() -> Verdict {
    let (word, hand) = (space::fresh(PAGE)?, Hand::here()?);
    let pending = start_wait(&hand, word, 0)?;
    thread::suspend(&MsgRpc, hand.thread)?;
    same!(wake(word, 1), Ok(1));
    same!(hand.info()?.state, State::Suspended as u32);
    holds!(!pending.is_done()?);
    thread::resume(&MsgRpc, hand.thread)?;
    same!(ended(&pending.finish()?), Ok(()));
    Ok(())
}

fn an_owner_that_ends_is_told_to_all_who_wait() -> Verdict {
    let word = space::fresh(PAGE)?;
    let (owner, hands) = (Hand::here()?, [Hand::here()?, Hand::here()?]);
    // The mark is no part of the owner.
    let value = owner.info()?.owner | !OWNER;
    asm::store(word, value);
    let waits = [start_owned(&hands[0], word, value)?, start_owned(&hands[1], word, value)?];
    owner.terminate()?;
    for pending in waits {
        same!(ended(&pending.finish()?), Err(Error::OwnerDead));
    }
    Ok(())
}

fn an_owner_that_has_ended_is_told_at_once() -> Verdict {
    let word = space::fresh(PAGE)?;
    let owner = Hand::here()?;
    let value = owner.info()?.owner;
    asm::store(word, value);
    owner.terminate()?;
    // Another thread may have its place in the kernel.
    let _other = Hand::here()?;
    let owned = WordWait { options: WordOptions::OWNED, ..wait_call(word, value) };
    same!(call(Call::WordWait(owned)).0, Err(Error::OwnerDead));
    Ok(())
}

fn an_owner_in_a_task_that_ends_is_told() -> Verdict {
    let peer = Peer::start()?;
    let (here, there) = shared(&peer)?;
    let value = peer.hand.info()?.owner;
    peer.hand.store(there, value)?.finish()?;
    let hand = Hand::here()?;
    let pending = start_owned(&hand, here, value)?;
    peer.terminate()?;
    same!(ended(&pending.finish()?), Err(Error::OwnerDead));
    Ok(())
}

fn a_wake_is_not_lost_with_the_thread_that_got_it() -> Verdict {
    let word = space::fresh(PAGE)?;
    let hands = [Hand::here()?, Hand::here()?];
    let first = start_wait(&hands[0], word, 0)?;
    let second = start_wait(&hands[1], word, 0)?;
    thread::suspend(&MsgRpc, hands[0].thread)?;
    same!(wake(word, 1), Ok(1));
    holds!(!first.is_done()? && !second.is_done()?);
    hands[0].terminate()?;
    same!(ended(&second.finish()?), Ok(()));
    Ok(())
}

fn a_task_ends_while_it_waits() -> Verdict {
    let peer = Peer::start()?;
    let (here, there) = shared(&peer)?;
    let other = peer.another_hand(64)?;
    let _waits = (start_wait(&peer.hand, there, 0)?, start_wait(&other, there, 0)?);
    // One is woken and may not have run yet: the wake is passed on, until nobody is left.
    same!(wake(here, 1), Ok(1));
    peer.terminate()?;
    same!(wake(here, 9), Ok(0));
    Ok(())
}

fn memory_that_goes_keeps_who_waits_until_the_deadline() -> Verdict {
    let (word, hand) = (space::fresh(PAGE)?, Hand::here()?);
    let pending = start(&hand, WordWait { deadline: Some(deadline(50)), ..wait_call(word, 0) })?;
    space::unmap(word, PAGE)?;
    same!(wake(word, 1), Err(Error::InvalidAddress));
    same!(ended(&pending.finish()?), Err(Error::TimedOut));
    Ok(())
}

fn read_only_memory_can_be_waited_on() -> Verdict {
    let object = space::object(PAGE)?;
    let write = space::map_place(trap::task_self(), object, Place::anywhere(PAGE, Protection::READ_WRITE))?;
    let read = space::map_place(trap::task_self(), object, Place::anywhere(PAGE, Protection::READ))?;
    let hand = Hand::here()?;
    let pending = start_wait(&hand, read, 0)?;
    same!(wake(write, 1), Ok(1));
    same!(ended(&pending.finish()?), Ok(()));
    Ok(())
}

fn what_cannot_be_a_word_is_refused() -> Verdict {
    let word = space::fresh(PAGE)?;
    let hidden = space::map_place(trap::task_self(), Name::NULL, Place::anywhere(PAGE, Protection::empty()))?;
    for (address, why) in [
        (hidden, Error::ProtectionFailure),
        (0, Error::InvalidAddress),
        (1 << 46, Error::InvalidAddress),
        (!7, Error::InvalidAddress),
        (word + 4, Error::InvalidArgument),
    ] {
        same!(wait(address, 0), (Err(why), 0));
        holds!(address == word + 4 || wake(address, 1) == Err(why), address);
    }
    same!(wake(word + 2, 1), Err(Error::InvalidArgument));
    for options in [4, WordOptions::all().bits().into(), 1 << 32] {
        let (code, _) = asm::trap(portolan::abi::call::number::WORD_WAIT, [word, 0, 0, options, 0, 0]);
        same!(code, Error::InvalidArgument.code());
    }
    Ok(())
}

fn a_thread_says_that_it_waits_on_a_word() -> Verdict {
    let (word, hand) = (space::fresh(PAGE)?, Hand::here()?);
    let before = hand.info()?;
    let pending = start_wait(&hand, word, 0)?;
    let info = hand.info()?;
    same!((info.state, info.port), (State::AtWord as u32, Name::NULL));
    same!(info.owner, before.owner);
    same!(wake(word, 1), Ok(1));
    pending.finish()?;
    Ok(())
}

fn two_threads_pass_a_word_to_and_fro() -> Verdict {
    const TURNS: u64 = 2000;
    let mapping = portolan::Mapping::new(None, PAGE, Protection::READ_WRITE)?;
    let mapping = alloc::sync::Arc::new(mapping);
    let theirs = alloc::sync::Arc::clone(&mapping);
    // One makes odd numbers even, the other even ones odd.
    let other = portolan::thread::spawn(move || pass(&theirs, 1, TURNS))?;
    pass(&mapping, 0, TURNS)?;
    other.join()??;
    same!(mapping.words()[0].load(core::sync::atomic::Ordering::Relaxed), 2 * TURNS);
    Ok(())
}

fn pass(mapping: &portolan::Mapping, mine: u64, turns: u64) -> Result<()> {
    use core::sync::atomic::Ordering;
    use portolan::word::{self, Deadline};
    let word = &mapping.words()[0];
    for turn in 0..turns {
        let wanted = 2 * turn + mine;
        loop {
            let found = word.load(Ordering::Acquire);
            if found == wanted {
                break;
            }
            word::again(word::wait(word, found, Deadline::after_ms(5000)))?;
        }
        word.store(wanted + 1, Ordering::Release);
        word::wake(word, 1);
    }
    Ok(())
}
