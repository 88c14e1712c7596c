//! The clock, the deadline, waiting.

use super::super::apic;
use super::{Bench, Verdict, check, tests};
use crate::{Instant, Trap, pace};

tests![
    clock_never_runs_backwards,
    deadline_ends_idling_and_not_before,
    deadline_in_the_past_fires_at_once,
    deadline_that_was_put_off_fires_later_once,
    deadline_that_was_taken_back_does_not_fire,
    polling_lets_a_deadline_in_and_does_not_wait,
    what_came_during_work_ends_idling,
];

const MS: u64 = 1_000_000;
/// Longer than any of these waits can take, even on a busy host.
const PATIENCE: u64 = 20_000 * MS;

/// Idles until the deadline, counting the other ways to wake up.
fn wait(bench: &mut Bench) -> Result<usize, &'static str> {
    let end = Instant(bench.cpu.now().0 + PATIENCE);
    let mut others = 0;
    while bench.cpu.idle() != Trap::Timer {
        others += 1;
        check(bench.cpu.now() < end, "the deadline never came")?;
    }
    Ok(others)
}

fn later(bench: &Bench, ns: u64) -> Instant {
    Instant(bench.cpu.now().0 + ns)
}

/// Sets a deadline that has come, and waits until its interrupt is pending.
pub(super) fn let_a_deadline_come(bench: &mut Bench) -> Verdict {
    let end = later(bench, PATIENCE);
    bench.cpu.set_deadline(Some(Instant(0)));
    while !apic::timer_is_pending() {
        check(bench.cpu.now() < end, "the deadline never came")?;
    }
    Ok(())
}

fn clock_never_runs_backwards(bench: &mut Bench) -> Verdict {
    let first = bench.cpu.now();
    let mut last = first;
    for _ in 0..10_000 {
        let now = bench.cpu.now();
        check(now >= last, "it did")?;
        last = now;
    }
    check(last > first, "it stands still")
}

fn deadline_ends_idling_and_not_before(bench: &mut Bench) -> Verdict {
    for ns in [0, 1, 1000, MS, 20 * MS] {
        let at = later(bench, ns);
        bench.cpu.set_deadline(Some(at));
        wait(bench)?;
        check(bench.cpu.now() >= at, "it fired early")?;
    }
    Ok(())
}

fn deadline_in_the_past_fires_at_once(bench: &mut Bench) -> Verdict {
    bench.cpu.set_deadline(Some(Instant(0)));
    wait(bench)?;
    Ok(())
}

fn deadline_that_was_put_off_fires_later_once(bench: &mut Bench) -> Verdict {
    let (near, far) = (later(bench, MS / 10), later(bench, 5 * MS));
    bench.cpu.set_deadline(Some(near));
    while bench.cpu.now() < near {}
    // The interrupt for the first deadline is pending by now, or about to be.
    bench.cpu.set_deadline(Some(far));
    wait(bench)?;
    check(bench.cpu.now() >= far, "it fired for the first time that was set")
}

fn deadline_that_was_taken_back_does_not_fire(bench: &mut Bench) -> Verdict {
    let near = later(bench, MS / 10);
    bench.cpu.set_deadline(Some(near));
    while bench.cpu.now() < near {}
    bench.cpu.set_deadline(None);
    // If its interrupt is pending it comes first, as one that nobody asked for.
    let at = later(bench, 2 * MS);
    bench.cpu.set_deadline(Some(at));
    check(wait(bench)? <= 1, "it woke more than once")?;
    check(bench.cpu.now() >= at, "it fired")
}

fn polling_lets_a_deadline_in_and_does_not_wait(bench: &mut Bench) -> Verdict {
    let at = later(bench, 20 * MS);
    let end = Instant(at.0 + PATIENCE);
    bench.cpu.set_deadline(Some(at));
    let mut polls = 0;
    while bench.cpu.poll() != Trap::Timer {
        polls += 1;
        check(bench.cpu.now() < end, "the deadline never came")?;
    }
    check(polls > 1, "it waited")?;
    check(bench.cpu.now() >= at, "it came too early")
}

fn what_came_during_work_ends_idling(bench: &mut Bench) -> Verdict {
    let_a_deadline_come(bench)?;
    pace(u32::MAX);
    check(bench.cpu.idle() == Trap::Timer, "it was something else")
}
