//! `print!` and `println!`: text to the kernel's debug console.
//!
//! Invariant: a text of at most [`LINE_MAX`] bytes is one trap, so lines of
//! several tasks never mix. A longer one is written in pieces.

use crate::trap;
use core::fmt::{Arguments, Result, Write};

/// Bytes that are written at once.
pub const LINE_MAX: usize = 512;

/// Prints without a line break.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::print::print(format_args!($($argument)*)) };
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::print::print(format_args!("{}\n", format_args!($($argument)*))) };
}

/// What the macros call. A console that cannot be written to is no reason to stop.
pub fn print(text: Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE_MAX], length: 0 };
    let _ = line.write_fmt(text);
    line.flush();
}

struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Line {
    fn flush(&mut self) {
        let _ = trap::debug_write(&self.bytes[..self.length]);
        self.length = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            if self.length == LINE_MAX {
                self.flush();
            }
            let fits = rest.len().min(LINE_MAX - self.length);
            let (now, later) = rest.split_at(fits);
            self.bytes[self.length..self.length + fits].copy_from_slice(now);
            self.length += fits;
            rest = later;
        }
        Ok(())
    }
}
