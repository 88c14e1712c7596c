//! `print!` and `println!`: text to the task's console.
//!
//! That is the console server, if the task was given one and it lives, and else the kernel's debug
//! console. Invariant: a text of at most [`LINE_MAX`] bytes is one request, or one trap, so lines of
//! several tasks never mix. A longer one is written in pieces. Neighbour: `console`.

use crate::{console, trap};
use core::fmt::{self, Arguments, Write};

/// Bytes that are written at once.
pub const LINE_MAX: usize = console::WRITE_MAX;

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
///
/// Never a part of its caller: the request would lie on the stack for as long as the caller runs.
#[inline(never)]
pub fn print(text: Arguments<'_>) {
    let mut line = Line { bytes: [0; LINE_MAX], length: 0 };
    let _ = line.write_fmt(text);
    line.flush();
}

/// Writes at most [`LINE_MAX`] bytes to the console server, and where that fails, to the kernel. Of
/// what a server had in hand when it died, some may be written twice.
///
/// # Errors
/// What the kernel says: `NoAccess` while a server has the line, but cannot write to it.
pub fn write(bytes: &[u8]) -> crate::Result<()> {
    match console::this().map(|console| console.write(bytes)) {
        Some(Ok(())) => Ok(()),
        _ => trap::debug_write(bytes),
    }
}

struct Line {
    bytes: [u8; LINE_MAX],
    length: usize,
}

impl Line {
    fn flush(&mut self) {
        let _ = write(&self.bytes[..self.length]);
        self.length = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
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
