//! The machine's real-time clock, by its two I/O ports.
//!
//! It counts whole seconds, so it is watched until a new one begins: then its time is exact.
//! Invariant: nothing waits for ever.

use portolan::device::IoPorts;
use portolan::thread::{now_ms, sleep_ms};
use portolan::trap::clock_get;
use portolan::{Error, Result};
use portolan_rtc::{Reading, SECONDS, STATUS_A, UPDATING};

/// Which register is meant, and what is in it.
const SELECT: u32 = 0;
const DATA: u32 = 1;

/// How long a clock may take to go on by a second, in ms.
const PATIENCE_MS: u64 = 2000;
const SECOND: i64 = 1_000_000_000;

/// The time of day when the machine's own clock began, in ns since 1970 began.
///
/// # Errors
/// `Failure`: there is no clock that goes, or it shows no time.
pub(crate) fn time_at_start(ports: IoPorts) -> Result<i64> {
    let clock = Rtc { ports };
    let began = clock.wait_for_second()?;
    let seconds = clock.reading()?.seconds_since_1970().ok_or(Error::Failure)?;
    let at_start = seconds.checked_mul(SECOND).and_then(|time| time.checked_sub_unsigned(began));
    at_start.ok_or(Error::Failure)
}

struct Rtc {
    ports: IoPorts,
}

impl Rtc {
    fn register(&self, register: u8) -> Result<u8> {
        self.ports.write(SELECT, register)?;
        self.ports.read(DATA)
    }

    /// Waits until a second begins; when that was, by the machine's clock.
    fn wait_for_second(&self) -> Result<u64> {
        let before = self.register(SECONDS)?;
        let until = now_ms() + PATIENCE_MS;
        while self.register(SECONDS)? == before {
            if now_ms() >= until {
                return Err(Error::Failure);
            }
            sleep_ms(1);
        }
        Ok(clock_get())
    }

    /// A reading during which nothing has changed.
    fn reading(&self) -> Result<Reading> {
        let until = now_ms() + PATIENCE_MS;
        while now_ms() < until {
            if self.register(STATUS_A)? & UPDATING != 0 {
                sleep_ms(1);
                continue;
            }
            let reading = Reading::take(|register| self.register(register))?;
            if reading == Reading::take(|register| self.register(register))? {
                return Ok(reading);
            }
        }
        Err(Error::Failure)
    }
}
