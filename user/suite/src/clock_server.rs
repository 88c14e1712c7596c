//! The clock server: the time of day, and alarms.

use crate::case::Verdict;
use crate::system::System;
use crate::{cases, holds, same};
use alloc::vec::Vec;
use portolan::clock::protocol::{self, Alarm, arguments};
use portolan::clock::{ALARMS_EACH, Clock, SERVICE, alarm_in};
use portolan::interface::MsgRpc;
use portolan::servers::State;
use portolan::thread::sleep_ms;
use portolan::trap::clock_get;
use portolan::{Capacity, Error, Message, Notice, ReceiveRight, Result, device::IoPorts, name_server};

cases!("clock_server":
    the_time_of_day_is_told,
    an_alarm_comes_in_its_time,
    alarms_come_in_the_order_of_their_times,
    an_alarm_of_the_past_comes_at_once,
    a_task_has_so_many_alarms,
    a_killed_server_loses_its_alarms_and_comes_back,
    a_clock_that_another_has_tells_no_time,
    a_bad_request_is_refused,
);

const PATIENCE_MS: u32 = 5000;
const MS: u64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
/// 2020-01-01 and 2100-01-01, in seconds since 1970 began.
const YEARS: core::ops::Range<i64> = 1_577_836_800..4_102_444_800;

fn mailbox() -> Result<ReceiveRight> {
    ReceiveRight::allocate(Capacity::Unbounded)
}

fn now_and(ms: u64) -> u64 {
    clock_get() + ms * MS
}

fn the_time_of_day_is_told() -> Verdict {
    let _system = System::start()?;
    let clock = Clock::find()?;
    let (before, now, after) = (clock_get(), clock.now()?, clock_get());
    holds!(YEARS.contains(&(now / SECOND)), now);
    // It goes as the machine's clock does.
    let later = clock.now()?;
    holds!(later > now && ((later - now) as u64) < clock_get() - before + (after - before), now, later);
    Ok(())
}

fn an_alarm_comes_in_its_time() -> Verdict {
    let _system = System::start()?;
    let (clock, at) = (Clock::find()?, now_and(30));
    let rang = clock.wait_until(at)?;
    holds!(at <= rang && rang <= clock_get(), at, rang);
    Ok(())
}

fn alarms_come_in_the_order_of_their_times() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let clock = Clock::find()?;
    // The server answers from here on.
    clock.now()?;
    let start = now_and(20);
    let times: Vec<u64> = [5, 1, 9, 3, 1, 7].iter().map(|step| start + step * 2 * MS).collect();
    times.iter().try_for_each(|at| clock.set_alarm(*at, &mine))?;
    let mut sorted = times.clone();
    sorted.sort_unstable();
    for at in sorted {
        let rang = alarm_in(&mine.receive_within(PATIENCE_MS)?);
        holds!(rang.is_some_and(|rang| rang.is_ok_and(|rang| rang >= at)), rang, at);
    }
    same!(mine.receive_within(0).err(), Some(Error::ReceiveTimedOut));
    Ok(())
}

fn an_alarm_of_the_past_comes_at_once() -> Verdict {
    let (_system, mine) = (System::start()?, mailbox()?);
    let clock = Clock::find()?;
    clock.set_alarm(u64::MAX, &mine)?;
    holds!(clock.wait_until(0)? > 0);
    same!(mine.receive_within(20).err(), Some(Error::ReceiveTimedOut));
    Ok(())
}

fn a_task_has_so_many_alarms() -> Verdict {
    let (_system, mine, theirs) = (System::start()?, mailbox()?, mailbox()?);
    let clock = Clock::find()?;
    for _ in 0..ALARMS_EACH - 1 {
        clock.set_alarm(u64::MAX, &mine)?;
    }
    clock.set_alarm(u64::MAX, &theirs)?;
    same!(clock.wait_until(now_and(1000)).err(), Some(Error::NoSpace));
    clock.set_alarm(now_and(1000), &mine)?;
    same!(alarm_in(&mine.receive_within(PATIENCE_MS)?), Some(Err(Error::NoSpace)));
    // One is no longer wanted, and its place is free.
    drop(theirs);
    sleep_ms(5);
    holds!(clock.wait_until(now_and(5))? > 0);
    Ok(())
}

fn a_killed_server_loses_its_alarms_and_comes_back() -> Verdict {
    let (system, mine) = (System::start()?, mailbox()?);
    let clock = Clock::find()?;
    let start = protocol::start(&MsgRpc, name_server::look_up(SERVICE)?.name())?.results.start;
    clock.set_alarm(u64::MAX, &mine)?;
    // When this is answered the server has the alarm.
    clock.now()?;
    system.servers.kill(SERVICE)?;
    let lost = mine.receive_within(PATIENCE_MS)?;
    same!((lost.notice(), alarm_in(&lost)), (Some(Notice::SendOnce), None));
    holds!(clock.wait_until(now_and(5))? > 0);
    let again = protocol::start(&MsgRpc, name_server::look_up(SERVICE)?.name())?.results.start;
    // Both have watched a second begin.
    holds!(again.abs_diff(start) < 500 * MS, start, again);
    same!(system.servers.info(SERVICE)?.restarts, 1);
    system.servers.stop(SERVICE)?;
    let refused = clock.now().err();
    holds!(matches!(refused, Some(Error::ReceiveReplyLost | Error::SendInvalidPort)), refused);
    Ok(())
}

fn a_clock_that_another_has_tells_no_time() -> Verdict {
    let system = System::start()?;
    Clock::find()?.now()?;
    system.servers.stop(SERVICE)?;
    let (first, count) = portolan::clock::RTC_IO_PORTS;
    let host = crate::system::host()?;
    let mine = IoPorts::claim(&host, first, count)?;
    system.servers.start(SERVICE)?;
    let clock = Clock::from_right(name_server::wait_for(SERVICE, PATIENCE_MS)?);
    same!(clock.now().err(), Some(Error::NoSpace));
    // What needs no time of day goes on.
    holds!(clock.wait_until(now_and(5))? > 0);
    drop(mine);
    same!(system.servers.info(SERVICE)?.state(), Some(State::Running));
    Ok(())
}

fn a_bad_request_is_refused() -> Verdict {
    let _system = System::start()?;
    let clock = name_server::look_up(SERVICE)?;
    for (id, size, error) in [
        (6400, 0, Error::BadId),
        (6403, 8, Error::BadId),
        (6402, 4, Error::BadArguments),
        (6401, 1, Error::BadArguments),
    ] {
        let answer = clock.rpc(Message::new(id).bytes(&[0xff; 8][..size]))?;
        same!(answer.bytes()[..4], error.code().to_le_bytes());
    }
    // An alarm that nobody is to be told of is none.
    clock.send(
        Message::new(<Alarm as portolan::abi::interface::Routine>::ID).value(arguments::Alarm { at: u64::MAX }),
    )?;
    Clock::from_right(clock).now()?;
    Ok(())
}
