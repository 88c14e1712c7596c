//! Time, by the processor's time stamp counter.
//!
//! The counter's speed and that of the local APIC's timer are measured once, against the
//! one clock of a PC whose speed is fixed: the interval timer. Both ends of the measurement
//! are read from its counter, so it does not matter when exactly they are taken.

use super::{Refusal, apic};
use crate::Instant;
use crate::scale::Scale;
use ::x86_64::instructions::port::Port;
use core::arch::x86_64::_rdtsc;

/// Ticks of the interval timer in a second.
const PIT_HZ: u64 = 1_193_182;
/// How long to measure, in its ticks: one millisecond.
const WINDOW: u16 = 1_193;
/// Ticks of the time stamp counter after which the interval timer is given up.
const PATIENCE: u64 = 2_000_000_000;
/// How often a reading or a measurement is tried again.
const TRIES: usize = 4;
const NS_PER_S: u64 = 1_000_000_000;

/// The time since the machine started, and the timer's speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The counter at the machine's start.
    start: u64,
    to_ns: Scale,
    to_timer: Scale,
}

impl Clock {
    /// The time, which takes centuries to need more bits.
    #[inline]
    pub(super) fn now(&self) -> Instant {
        Instant(self.to_ns.apply_within(tsc().wrapping_sub(self.start)))
    }

    /// In how many of the timer's ticks an instant will just have come.
    pub(super) fn ticks_until(&self, at: Instant) -> u32 {
        let ns = at.0.saturating_sub(self.now().0);
        u32::try_from(self.to_timer.apply(ns)).map_or(u32::MAX, |ticks| ticks.saturating_add(1))
    }
}

/// Measures both clocks. The local APIC must be on; its timer is left stopped.
///
/// # Errors
/// If the interval timer does not run, or the others stand still.
pub(super) fn calibrate() -> Result<Clock, Refusal> {
    let start = tsc();
    let measured = (0..TRIES).find_map(|_| measure()).ok_or(Refusal("its interval timer does not run"))?;
    let ns = u64::from(measured.pit) * NS_PER_S / PIT_HZ;
    let to_ns = Scale::new(measured.tsc, ns).ok_or(Refusal("its time stamp counter stands still"))?;
    let to_timer = Scale::new(ns, measured.timer.into()).ok_or(Refusal("its local APIC's timer stands still"))?;
    Ok(Clock { start, to_ns, to_timer })
}

/// All three clocks at one moment; or, of two moments, the ticks between.
#[derive(Clone, Copy)]
struct Reading {
    pit: u16,
    tsc: u64,
    timer: u32,
}

/// The ticks of all three clocks in one window; `None` if the interval timer failed.
fn measure() -> Option<Reading> {
    pit::start();
    apic::start_timer(Some(u32::MAX));
    let first = read();
    let last = read_after(first);
    apic::start_timer(None);
    // A counter that has been at zero has come round, any number of times.
    if pit::has_ended() {
        return None;
    }
    // All but the time stamp count down.
    let last = last?;
    Some(Reading {
        pit: first.pit.wrapping_sub(last.pit),
        tsc: last.tsc - first.tsc,
        timer: first.timer.wrapping_sub(last.timer),
    })
}

/// The first reading that is a window away from this one.
fn read_after(first: Reading) -> Option<Reading> {
    loop {
        let reading = read();
        if first.pit.wrapping_sub(reading.pit) >= WINDOW {
            return Some(reading);
        }
        if reading.tsc - first.tsc > PATIENCE {
            return None;
        }
    }
}

/// Reads all three clocks, and again if something came between: the tightest of a few.
fn read() -> Reading {
    let readings: [(u64, Reading); TRIES] = core::array::from_fn(|_| {
        let before = tsc();
        let pit = pit::read();
        let timer = apic::timer_ticks();
        let after = tsc();
        (after - before, Reading { pit, tsc: before + (after - before) / 2, timer })
    });
    readings.into_iter().min_by_key(|(width, _)| *width).map(|(_, reading)| reading).expect("a reading")
}

fn tsc() -> u64 {
    // SAFETY: every x86_64 processor has the counter.
    unsafe { _rdtsc() }
}

/// Channel 2 of the interval timer, which raises no interrupt.
mod pit {
    use super::Port;

    const CHANNEL_2: u16 = 0x42;
    const COMMAND: u16 = 0x43;
    const GATE: u16 = 0x61;
    /// Lets the channel count, and keeps the speaker quiet.
    const COUNT: u8 = 0b01;
    const SPEAKER: u8 = 0b10;
    /// Set once the channel has counted to zero.
    const OUTPUT: u8 = 1 << 5;
    /// Channel 2, both bytes, once down to zero.
    const ONE_SHOT: u8 = 0b1011_0000;
    /// Channel 2, hold the count to be read.
    const LATCH: u8 = 0b1000_0000;

    /// Lets it count down from the top.
    pub(super) fn start() {
        write(GATE, inp(GATE) & !SPEAKER | COUNT);
        write(COMMAND, ONE_SHOT);
        write(CHANNEL_2, 0xff);
        write(CHANNEL_2, 0xff);
    }

    /// Its count.
    pub(super) fn read() -> u16 {
        write(COMMAND, LATCH);
        u16::from_le_bytes([inp(CHANNEL_2), inp(CHANNEL_2)])
    }

    /// Whether it has been at zero.
    pub(super) fn has_ended() -> bool {
        inp(GATE) & OUTPUT != 0
    }

    fn write(port: u16, value: u8) {
        // SAFETY: the timer's ports; nothing but this measurement depends on channel 2.
        unsafe { Port::new(port).write(value) };
    }

    fn inp(port: u16) -> u8 {
        // SAFETY: reading these ports changes nothing but which byte comes next.
        unsafe { Port::new(port).read() }
    }
}
