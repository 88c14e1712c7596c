//! The real-time clock of a PC, an MC146818 (Motorola's data sheet of the MC146818A): its registers, and
//! the time in them.
//!
//! Pure: registers in, seconds out. The two digits of the year are taken for 2000 to 2099, and the time
//! for UTC, as QEMU and most systems set it. Invariant: what is no date is no time. Neighbour: the clock
//! server, which reads the device.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use time::{Date, Month, Time};

/// The register with [`UPDATING`].
pub const STATUS_A: u8 = 10;
/// [`STATUS_A`]: the registers of the time are being changed, or will be within 244 µs.
pub const UPDATING: u8 = 1 << 7;
/// The register with the seconds.
pub const SECONDS: u8 = 0;

const MINUTES: u8 = 2;
const HOURS: u8 = 4;
const DAY: u8 = 7;
const MONTH: u8 = 8;
const YEAR: u8 = 9;
const STATUS_B: u8 = 11;

/// [`STATUS_B`]: the registers are binary numbers, and not two decimal digits each.
const BINARY: u8 = 1 << 2;
/// [`STATUS_B`]: hours are 0 to 23, and not 1 to 12 with [`AFTERNOON`].
const OF_24_HOURS: u8 = 1 << 1;
const AFTERNOON: u8 = 1 << 7;

/// The registers of the time, as they were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    seconds: u8,
    minutes: u8,
    hours: u8,
    day: u8,
    month: u8,
    year: u8,
    status_b: u8,
}

impl Reading {
    /// Reads them, by what reads a register.
    ///
    /// # Errors
    /// Those of reading a register.
    pub fn take<E>(mut register: impl FnMut(u8) -> Result<u8, E>) -> Result<Reading, E> {
        Ok(Reading {
            seconds: register(SECONDS)?,
            minutes: register(MINUTES)?,
            hours: register(HOURS)?,
            day: register(DAY)?,
            month: register(MONTH)?,
            year: register(YEAR)?,
            status_b: register(STATUS_B)?,
        })
    }

    /// Seconds since 1970 began; `None` if it is no date and time.
    #[must_use]
    pub fn seconds_since_1970(&self) -> Option<i64> {
        let month = Month::try_from(self.number(self.month)?).ok()?;
        let date = Date::from_calendar_date(2000 + i32::from(self.number(self.year)?), month, self.number(self.day)?);
        let time = Time::from_hms(self.hour()?, self.number(self.minutes)?, self.number(self.seconds)?);
        Some(date.ok()?.with_time(time.ok()?).assume_utc().unix_timestamp())
    }

    fn hour(&self) -> Option<u8> {
        if self.status_b & OF_24_HOURS != 0 {
            return self.number(self.hours);
        }
        let afternoon = if self.hours & AFTERNOON != 0 { 12 } else { 0 };
        let hour = self.number(self.hours & !AFTERNOON)?;
        // The clock's dial begins at 12.
        (1..=12).contains(&hour).then_some(hour % 12 + afternoon)
    }

    /// The number, below 100, that a register holds.
    fn number(&self, register: u8) -> Option<u8> {
        let number = match self.status_b & BINARY {
            0 => {
                let (tens, ones) = (register >> 4, register & 0xf);
                (tens < 10 && ones < 10).then_some(10 * tens + ones)?
            }
            _ => register,
        };
        (number < 100).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Year, month, day, hours, minutes, seconds, format.
    fn told(registers: [u8; 7]) -> Option<i64> {
        let [year, month, day, hours, minutes, seconds, status_b] = registers;
        let reading = Reading::take(|register| {
            Ok::<_, Infallible>(match register {
                0 => seconds,
                2 => minutes,
                4 => hours,
                7 => day,
                8 => month,
                9 => year,
                11 => status_b,
                other => panic!("register {other} is not asked for"),
            })
        });
        reading.expect("reading cannot fail").seconds_since_1970()
    }

    const DIGITS: u8 = OF_24_HOURS;
    const NUMBERS: u8 = OF_24_HOURS | BINARY;

    #[test]
    fn digits_and_numbers_tell_the_same_time() {
        // `date -u -d '2024-02-29 23:59:58' +%s`
        let expected = Some(1_709_251_198);
        assert_eq!(told([0x24, 0x02, 0x29, 0x23, 0x59, 0x58, DIGITS]), expected);
        assert_eq!(told([24, 2, 29, 23, 59, 58, NUMBERS]), expected);
        assert_eq!(told([0x24, 0x02, 0x29, 0x11 | AFTERNOON, 0x59, 0x58, 0]), expected);
        assert_eq!(told([24, 2, 29, 11 | AFTERNOON, 59, 58, BINARY]), expected);
    }

    #[test]
    fn a_dial_of_twelve_hours_begins_at_twelve() {
        let hour = |register| told([0x00, 0x01, 0x01, register, 0, 0, 0]).map(|time| (time - 946_684_800) / 3600);
        assert_eq!((hour(0x12), hour(0x01), hour(0x11)), (Some(0), Some(1), Some(11)));
        assert_eq!((hour(0x92), hour(0x81), hour(0x91)), (Some(12), Some(13), Some(23)));
        assert_eq!((hour(0x00), hour(0x13), hour(0x80)), (None, None, None));
    }

    #[test]
    fn the_years_are_of_this_century() {
        assert_eq!(told([0x00, 0x01, 0x01, 0, 0, 0, DIGITS]), Some(946_684_800));
        assert_eq!(told([0x99, 0x12, 0x31, 0x23, 0x59, 0x59, DIGITS]), Some(4_102_444_799));
    }

    #[test]
    fn what_is_no_date_is_no_time() {
        for registers in [
            [0x23, 0x02, 0x29, 0, 0, 0, DIGITS],
            [0x24, 0x13, 0x01, 0, 0, 0, DIGITS],
            [0x24, 0x00, 0x01, 0, 0, 0, DIGITS],
            [0x24, 0x01, 0x00, 0, 0, 0, DIGITS],
            [0x24, 0x01, 0x01, 0x24, 0, 0, DIGITS],
            [0x24, 0x01, 0x01, 0, 0x60, 0, DIGITS],
            [0x24, 0x01, 0x01, 0, 0, 0x60, DIGITS],
            [0x2a, 0x01, 0x01, 0, 0, 0, DIGITS],
            [0xff; 7],
            [100, 1, 1, 0, 0, 0, NUMBERS],
        ] {
            assert_eq!(told(registers), None, "{registers:x?}");
        }
    }

    #[test]
    fn a_register_that_cannot_be_read_is_an_error() {
        assert_eq!(Reading::take(|register| if register == YEAR { Err("gone") } else { Ok(0) }), Err("gone"));
    }
}
