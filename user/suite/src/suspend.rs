//! Suspension, and what a debugger does with it: stop, look, let go on.

use crate::asm;
use crate::bare::Bare;
use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Message, NONE};
use crate::{cases, holds, port, same};
use portolan::abi::message::Options;
use portolan::abi::thread::{self, SUSPENSIONS_MAX, State, ThreadInfo};
use portolan::abi::{Capacity, Error, Name, Result, task};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("suspend":
    a_running_thread_of_another_task_stops_and_goes_on,
    suspensions_are_counted,
    a_task_stops_with_all_its_threads,
    a_message_meanwhile_is_not_lost,
    a_timeout_meanwhile_ends_the_wait,
    a_thread_may_suspend_itself,
    a_suspended_thread_can_be_ended,
);

pub(crate) fn suspend(thread: Name) -> Result<()> {
    thread::suspend(&MsgRpc, thread).map(drop)
}

pub(crate) fn resume(thread: Name) -> Result<()> {
    thread::resume(&MsgRpc, thread).map(drop)
}

fn info(thread: Name) -> Result<ThreadInfo> {
    Ok(thread::info(&MsgRpc, thread)?.results.info)
}

fn sleep(ms: u32) -> Result<()> {
    trap::thread_switch(Name::NULL, Some(ms))
}

/// A bare task that counts in byte 64 of its page.
pub(crate) fn counter() -> core::result::Result<Bare, crate::case::Failure> {
    let bare = Bare::start(&[asm::started(), asm::count()])?;
    sleep(20)?;
    holds!(bare.word(64) > 0);
    Ok(bare)
}

fn stands_still(bare: &Bare) -> Verdict {
    let before = bare.word(64);
    sleep(30)?;
    same!(bare.word(64), before);
    Ok(())
}

fn goes_on(bare: &Bare) -> Verdict {
    let before = bare.word(64);
    sleep(30)?;
    holds!(bare.word(64) > before);
    Ok(())
}

fn a_running_thread_of_another_task_stops_and_goes_on() -> Verdict {
    let bare = counter()?;
    for _ in 0..3 {
        suspend(bare.thread)?;
        same!((info(bare.thread)?.state, info(bare.thread)?.suspensions), (State::Suspended as u32, 1));
        stands_still(&bare)?;
        resume(bare.thread)?;
        goes_on(&bare)?;
    }
    Ok(())
}

fn suspensions_are_counted() -> Verdict {
    let bare = counter()?;
    same!(resume(bare.thread), Err(Error::Failure));
    same!(task::resume(&MsgRpc, bare.task).map(drop), Err(Error::Failure));
    for _ in 0..SUSPENSIONS_MAX {
        suspend(bare.thread)?;
    }
    same!(suspend(bare.thread), Err(Error::Failure));
    for _ in 0..SUSPENSIONS_MAX {
        same!(info(bare.thread)?.state, State::Suspended as u32);
        resume(bare.thread)?;
    }
    goes_on(&bare)?;
    same!(resume(bare.thread), Err(Error::Failure));
    Ok(())
}

fn a_task_stops_with_all_its_threads() -> Verdict {
    let bare = counter()?;
    task::suspend(&MsgRpc, bare.task)?;
    same!(task::info(&MsgRpc, bare.task)?.results.info.suspensions, 1);
    stands_still(&bare)?;
    same!(resume(bare.thread), Err(Error::Failure));
    suspend(bare.thread)?;
    task::resume(&MsgRpc, bare.task)?;
    stands_still(&bare)?;
    resume(bare.thread)?;
    goes_on(&bare)
}

fn a_message_meanwhile_is_not_lost() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    let pending = hand.receive(port, NONE, 0)?;
    hand.waits(&pending, State::Receiving)?;
    suspend(hand.thread)?;
    same!(info(hand.thread)?.state, State::Receiving as u32);
    Message::copy_to(port).id(6).send()?;
    sleep(10)?;
    holds!(!pending.is_done()?);
    resume(hand.thread)?;
    same!(pending.finish()?.received()?.header.id, 6);
    Ok(())
}

fn a_timeout_meanwhile_ends_the_wait() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    let pending = hand.receive(port, Options::RCV_TIMEOUT, 20)?;
    hand.waits(&pending, State::Receiving)?;
    suspend(hand.thread)?;
    sleep(50)?;
    same!(info(hand.thread)?.state, State::Suspended as u32);
    holds!(!pending.is_done()?);
    resume(hand.thread)?;
    same!(pending.finish()?.result, Err(Error::ReceiveTimedOut));
    Ok(())
}

fn a_thread_may_suspend_itself() -> Verdict {
    let hand = Hand::here()?;
    let request = Message::copy_to(hand.thread).id(2205);
    let pending = hand.send(&request, NONE, 0)?;
    hand.waits(&pending, State::Suspended)?;
    sleep(10)?;
    holds!(!pending.is_done()?);
    resume(hand.thread)?;
    same!(pending.finish()?.result, Ok(()));
    Ok(())
}

fn a_suspended_thread_can_be_ended() -> Verdict {
    let bare = counter()?;
    suspend(bare.thread)?;
    thread::terminate(&MsgRpc, bare.thread)?;
    same!(resume(bare.thread), Err(Error::SendInvalidPort));
    task::suspend(&MsgRpc, bare.task)?;
    Ok(bare.terminate()?)
}
