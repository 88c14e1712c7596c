//! Threads: turns, priorities, sleep, and hints whom to run next.

use crate::asm;
use crate::bare::Bare;
use crate::case::Verdict;
use crate::clock::{Stopwatch, deadline};
use crate::hand::Hand;
use crate::message::{Message, NONE, receive_now};
use crate::{cases, holds, port, same, space};
use alloc::vec::Vec;
use portolan::abi::call::Call;
use portolan::abi::message::Descriptor;
use portolan::abi::thread::{self, PRIORITY_DEFAULT, PRIORITY_MAX, State};
use portolan::abi::vm::USER_END;
use portolan::abi::{Capacity, Disposition, Error, Name, Protection, Result, port as routine, task};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("thread":
    threads_share_memory_and_names,
    every_thread_has_its_own_name,
    a_busy_thread_is_preempted,
    busy_threads_have_equal_shares,
    a_pair_that_hands_over_does_not_starve_a_third,
    a_yield_lets_the_others_run,
    a_hint_chooses_the_next,
    a_wrong_hint_is_refused,
    higher_priorities_go_first,
    lower_priorities_wait,
    a_priority_can_be_changed,
    priorities_have_a_maximum,
    a_sleep_lasts_as_long_as_asked,
    sleepers_wake_in_order,
    a_sleep_can_be_cut_short,
    a_sleep_of_nothing_returns,
    a_long_sleep_does_not_overflow,
    the_state_is_told,
    aborting_what_does_not_wait_does_nothing,
    entry_and_stack_must_be_user_memory,
    a_hundred_threads_run,
    a_thousand_threads_come_and_go,
    a_sender_may_hand_over_the_processor,
    a_task_without_threads_waits_for_one,
);

fn sleep(ms: u32) -> Result<()> {
    trap::thread_switch(Name::NULL, Some(ms))
}

/// A bare task that counts in its page as fast as it can, with this priority.
fn counter(priority: u32) -> Result<Bare> {
    let bare = Bare::start(&[asm::started(), asm::count()])?;
    thread::set_priority(&MsgRpc, bare.thread, priority, 0)?;
    Ok(bare)
}

impl Bare {
    fn count(&self) -> u64 {
        self.word(64)
    }
}

fn threads_share_memory_and_names() -> Verdict {
    let hand = Hand::here()?;
    let memory = space::fresh(space::PAGE)?;
    hand.store(memory, 55)?.finish()?;
    same!(asm::load(memory), 55);
    let port = port::open(Capacity::DEFAULT)?;
    hand.send(&Message::copy_to(port).id(2), NONE, 0)?.finish()?.result?;
    same!(receive_now(port)?.header.id, 2);
    let name = hand.call(Call::TaskSelf)?.value()?;
    same!(name, u64::from(trap::task_self().0));
    Ok(())
}

fn every_thread_has_its_own_name() -> Verdict {
    let hands = [Hand::here()?, Hand::here()?];
    let names = [trap::thread_self(), hands[0].thread, hands[1].thread];
    holds!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2], names);
    for hand in &hands {
        same!(hand.call(Call::ThreadSelf)?.value()?, u64::from(hand.thread.0));
    }
    same!(trap::thread_self(), names[0]);
    Ok(())
}

fn a_busy_thread_is_preempted() -> Verdict {
    let busy = Bare::start(&[asm::started(), asm::spin()])?;
    let until = deadline(100);
    let mut turns = 0;
    // Without yielding: this thread must get its turns all the same, and so must the other.
    while trap::clock_get() < until {
        turns += 1;
    }
    holds!(turns > 0);
    same!(busy.word(0) as u32, 1);
    same!(thread::info(&MsgRpc, busy.thread)?.results.info.state, State::Ready as u32);
    Ok(())
}

fn busy_threads_have_equal_shares() -> Verdict {
    let counters = [counter(PRIORITY_DEFAULT)?, counter(PRIORITY_DEFAULT)?, counter(PRIORITY_DEFAULT)?];
    sleep(50)?;
    let before = counters.each_ref().map(Bare::count);
    sleep(600)?;
    let after = counters.each_ref().map(Bare::count);
    let shares: Vec<u64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
    let (least, most) = (shares.iter().min().copied(), shares.iter().max().copied());
    holds!(least > Some(0) && most.unwrap_or(0) < least.unwrap_or(0) * 3, shares);
    Ok(())
}

fn a_pair_that_hands_over_does_not_starve_a_third() -> Verdict {
    let third = counter(PRIORITY_DEFAULT)?;
    let server = Bare::start(&[asm::started(), asm::wait(), asm::echo()])?;
    let service = port::open(Capacity::DEFAULT)?;
    let right = Descriptor::port(service, Disposition::MoveReceive as u8);
    let there = routine::port_insert_right(&MsgRpc, server.task, Name::NULL, 0, right)?.results.name;
    server.release(there.0.into());
    let reply = trap::port_allocate(Capacity::Bounded(1))?;
    sleep(20)?;
    let before = third.count();
    let (until, mut turns) = (deadline(300), 0);
    while trap::clock_get() < until {
        Message::copy_to(service).reply(reply, Disposition::MakeSendOnce).rpc(reply)?;
        turns += 1;
    }
    holds!(turns > 10 && third.count() > before, turns, before, third.count());
    Ok(())
}

fn a_yield_lets_the_others_run() -> Verdict {
    let hand = Hand::here()?;
    let memory = space::fresh(space::PAGE)?;
    for round in 1..50 {
        let pending = hand.store(memory, round)?;
        let mut yields = 0;
        while !pending.is_done()? {
            trap::thread_switch(Name::NULL, None)?;
            yields += 1;
            holds!(yields < 20, round);
        }
        same!(asm::load(memory), round);
    }
    Ok(())
}

fn a_hint_chooses_the_next() -> Verdict {
    // Many that are ready; the hinted one runs before them.
    let _others = [counter(PRIORITY_DEFAULT)?, counter(PRIORITY_DEFAULT)?, counter(PRIORITY_DEFAULT)?];
    let hand = Hand::here()?;
    let memory = space::fresh(space::PAGE)?;
    let mut direct = 0;
    for round in 1..=30 {
        let pending = hand.store(memory, round)?;
        trap::thread_switch(hand.thread, None)?;
        if asm::load(memory) == round {
            direct += 1;
        }
        pending.finish()?;
    }
    holds!(direct >= 20, direct);
    Ok(())
}

fn a_wrong_hint_is_refused() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    same!(trap::thread_switch(Name(12_345), None), Err(Error::InvalidName));
    same!(trap::thread_switch(port, None), Err(Error::InvalidRight));
    same!(trap::thread_switch(trap::task_self(), None), Err(Error::InvalidRight));
    same!(trap::thread_switch(trap::thread_self(), None), Ok(()));
    let hand = Hand::here()?;
    hand.terminate()?;
    same!(trap::thread_switch(hand.thread, None), Err(Error::InvalidRight));
    Ok(())
}

fn higher_priorities_go_first() -> Verdict {
    let low = counter(PRIORITY_DEFAULT)?;
    let high = Hand::with(PRIORITY_DEFAULT + 5)?;
    let memory = space::fresh(space::PAGE)?;
    for round in 1..50 {
        // The hand is above this thread: it has done its work when the send returns.
        let pending = high.store(memory, round)?;
        same!(asm::load(memory), round);
        pending.finish()?;
    }
    holds!(low.word(0) as u32 <= 1);
    Ok(())
}

fn lower_priorities_wait() -> Verdict {
    let low = counter(PRIORITY_DEFAULT - 1)?;
    // While this thread is busy the lower one stands still.
    let before = low.count();
    let until = deadline(60);
    while trap::clock_get() < until {}
    same!(low.count(), before);
    sleep(30)?;
    holds!(low.count() > before);
    Ok(())
}

fn a_priority_can_be_changed() -> Verdict {
    let hand = Hand::here()?;
    same!(hand.info()?.priority, PRIORITY_DEFAULT);
    for priority in [0, PRIORITY_MAX, PRIORITY_DEFAULT - 3] {
        thread::set_priority(&MsgRpc, hand.thread, priority, 0)?;
        same!(hand.info()?.priority, priority);
    }
    let memory = space::fresh(space::PAGE)?;
    let pending = hand.store(memory, 1)?;
    let until = deadline(30);
    while trap::clock_get() < until {}
    same!(asm::load(memory), 0);
    thread::set_priority(&MsgRpc, hand.thread, PRIORITY_MAX, 0)?;
    trap::thread_switch(Name::NULL, None)?;
    same!(asm::load(memory), 1);
    pending.finish()?;
    Ok(())
}

fn priorities_have_a_maximum() -> Verdict {
    let hand = Hand::here()?;
    for priority in [PRIORITY_MAX + 1, 255, 256, u32::MAX] {
        let result = thread::set_priority(&MsgRpc, hand.thread, priority, 0).map(drop);
        same!(result, Err(Error::InvalidValue));
        same!(Hand::with(priority).map(drop), Err(Error::InvalidValue));
    }
    same!(hand.info()?.priority, PRIORITY_DEFAULT);
    Ok(())
}

fn a_sleep_lasts_as_long_as_asked() -> Verdict {
    for ms in [1, 5, 20, 100] {
        let watch = Stopwatch::start();
        sleep(ms)?;
        watch.shows(ms)?;
    }
    Ok(())
}

fn sleepers_wake_in_order() -> Verdict {
    let port = port::open(Capacity::Unbounded)?;
    let mut hands = Vec::new();
    for (id, ms) in (0..).zip([90_u32, 30, 60, 120, 10]) {
        let hand = Hand::here()?;
        // Two orders: sleep, then say so.
        let sleeps = hand.start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(ms) })?;
        let says = hand.send(&Message::copy_to(port).id(id), NONE, 0)?;
        hands.push((hand, sleeps, says));
    }
    let mut order = Vec::new();
    for (_, sleeps, says) in hands {
        sleeps.finish()?.result?;
        says.finish()?.result?;
    }
    while let Ok(message) = receive_now(port) {
        order.push(message.header.id);
    }
    same!(order, [4, 1, 2, 0, 3]);
    Ok(())
}

fn a_sleep_can_be_cut_short() -> Verdict {
    let hand = Hand::here()?;
    let pending = hand.start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(100_000) })?;
    hand.waits(&pending, State::Sleeping)?;
    thread::abort(&MsgRpc, hand.thread)?;
    same!(pending.finish()?.result, Err(Error::Aborted));
    Ok(())
}

fn a_sleep_of_nothing_returns() -> Verdict {
    let watch = Stopwatch::start();
    for _ in 0..10 {
        sleep(0)?;
    }
    watch.shows(0)
}

fn a_long_sleep_does_not_overflow() -> Verdict {
    let hand = Hand::here()?;
    let pending = hand.start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(u32::MAX) })?;
    hand.waits(&pending, State::Sleeping)?;
    sleep(20)?;
    holds!(!pending.is_done()?);
    thread::abort(&MsgRpc, hand.thread)?;
    same!(pending.finish()?.result, Err(Error::Aborted));
    Ok(())
}

fn the_state_is_told() -> Verdict {
    let (full, empty) = (port::open(Capacity::Zero)?, port::open(Capacity::DEFAULT)?);
    let hand = Hand::here()?;
    let sends = hand.send(&Message::copy_to(full), NONE, 0)?;
    hand.waits(&sends, State::Sending)?;
    receive_now(full)?;
    sends.finish()?.result?;
    let receives = hand.receive(empty, NONE, 0)?;
    hand.waits(&receives, State::Receiving)?;
    Message::copy_to(empty).send()?;
    receives.finish()?.result?;
    let sleeps = hand.start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(30) })?;
    hand.waits(&sleeps, State::Sleeping)?;
    sleeps.finish()?.result?;
    let me = thread::info(&MsgRpc, trap::thread_self())?.results.info;
    same!((me.state, me.priority), (State::Ready as u32, PRIORITY_DEFAULT));
    Ok(())
}

fn aborting_what_does_not_wait_does_nothing() -> Verdict {
    let busy = counter(PRIORITY_DEFAULT)?;
    sleep(20)?;
    for _ in 0..10 {
        thread::abort(&MsgRpc, busy.thread)?;
        thread::abort(&MsgRpc, trap::thread_self())?;
    }
    let before = busy.count();
    sleep(30)?;
    holds!(busy.count() > before);
    Ok(())
}

fn entry_and_stack_must_be_user_memory() -> Verdict {
    let create = |entry, stack| task::thread_create(&MsgRpc, trap::task_self(), entry, stack, 0, 1, 0).map(drop);
    let before = portolan::task::Task::this().info()?;
    for entry in [0, 0xfff, USER_END, 1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
        same!(create(entry, 0x1000_0000), Err(Error::InvalidAddress));
    }
    for stack in [USER_END + 1, 1 << 47, 0xffff_8000_0000_0000, u64::MAX] {
        same!(create(0x40_0000, stack), Err(Error::InvalidAddress));
    }
    let after = portolan::task::Task::this().info()?;
    same!((after.threads, after.names, after.used.ports), (before.threads, before.names, before.used.ports));
    Ok(())
}

fn a_hundred_threads_run() -> Verdict {
    let port = port::open(Capacity::Unbounded)?;
    let mut hands = Vec::new();
    for id in 0..100 {
        let hand = Hand::here()?;
        hand.send(&Message::copy_to(port).id(id), NONE, 0)?.finish()?.result?;
        hands.push(hand);
    }
    same!(portolan::task::Task::this().info()?.threads, 101);
    let mut pending = Vec::new();
    for hand in &hands {
        pending.push(hand.start_call(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(5) })?);
    }
    for pending in pending {
        pending.finish()?.result?;
    }
    for id in 0..100 {
        same!(receive_now(port)?.header.id, id);
    }
    for hand in hands {
        hand.terminate()?;
    }
    same!(portolan::task::Task::this().info()?.threads, 1);
    Ok(())
}

fn a_thousand_threads_come_and_go() -> Verdict {
    let code = space::code_object(asm::spin())?;
    let text = space::map(code, Protection::READ_EXECUTE)?;
    let cycle = || -> Result<()> {
        let thread = task::thread_create(&MsgRpc, trap::task_self(), text, text, 0, 0, 0)?.rights[0];
        thread::terminate(&MsgRpc, thread)?;
        port::deallocate(thread)
    };
    cycle()?;
    let before = portolan::task::Task::this().info()?;
    for _ in 0..1000 {
        cycle()?;
    }
    same!(portolan::task::Task::this().info()?, before);
    Ok(())
}

fn a_sender_may_hand_over_the_processor() -> Verdict {
    let _others = [counter(PRIORITY_DEFAULT)?, counter(PRIORITY_DEFAULT)?];
    let port = port::open(Capacity::DEFAULT)?;
    let hand = Hand::here()?;
    for id in 0..10 {
        let pending = hand.receive(port, NONE, 0)?;
        hand.waits(&pending, State::Receiving)?;
        let message = Message::copy_to(port).id(id);
        same!(message.send_with(portolan::abi::message::Options::SEND_SWITCH, 0), Ok(()));
        same!(pending.finish()?.received()?.header.id, id);
    }
    Ok(())
}

fn a_task_without_threads_waits_for_one() -> Verdict {
    let busy = Bare::start(&[asm::started(), asm::spin()])?;
    thread::terminate(&MsgRpc, busy.thread)?;
    same!(task::info(&MsgRpc, busy.task)?.results.info.threads, 0);
    sleep(10)?;
    same!(task::info(&MsgRpc, busy.task)?.results.info.threads, 0);
    let page = 0x20_0000;
    task::thread_create(&MsgRpc, busy.task, 0x10_0000, page + space::PAGE, page, 1, 0)?;
    same!(task::info(&MsgRpc, busy.task)?.results.info.threads, 1);
    Ok(busy.terminate()?)
}
