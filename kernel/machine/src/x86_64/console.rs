//! The debug console: the first serial line, 115200 baud, 8 data bits.
//!
//! Invariant: writing never hangs. A line that is not there, or takes nothing for too
//! long, is given up for good, and its bytes are lost. While the line is lent to a driver,
//! each write leaves it empty, so that what the driver knew of it still is true.

use crate::pace;
use core::fmt;
use uart_16550::backend::PioBackend;
use uart_16550::{BaudRate, Config, Uart16550};

/// The first serial line's ports.
const PORT: u16 = 0x3f8;
/// How often to ask a line that is busy; at a microsecond each, far longer than it needs.
const PATIENCE: usize = 200_000;
/// Instructions that asking takes, and giving it what it takes at once.
const PER_TRY: u32 = 100;

/// Bytes out to whoever watches the machine.
#[derive(Debug)]
pub struct Console {
    /// The line; `None` if it is not there.
    line: Option<Uart16550<PioBackend>>,
    /// A driver uses the line, too.
    lent: bool,
}

impl Console {
    /// Sets the line up, if there is one.
    pub(super) fn open() -> Console {
        let mut console = Console::seize();
        let config = Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT };
        if let Some(line) = &mut console.line
            && line.init(config).is_err()
        {
            console.line = None;
        }
        console
    }

    /// The line as it is, whoever else is using it: for a panic.
    pub(super) fn seize() -> Console {
        // SAFETY: these ports are a serial line's or nobody's; nothing but a console uses
        // them, and a panic outlives every other console.
        Console { line: unsafe { Uart16550::new_port(PORT) }.ok(), lent: false }
    }

    /// A driver is given the line. What is written here from now on goes between what it sends.
    pub fn lend(&mut self) {
        self.lent = true;
    }

    /// The driver has gone: sets the line up again.
    pub fn take_back(&mut self) {
        *self = Console::open();
    }

    /// Writes bytes; a line feed becomes the two bytes that a terminal wants.
    pub fn write(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match line {
                [text @ .., b'\n'] => {
                    self.send(text);
                    self.send(b"\r\n");
                }
                text => self.send(text),
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8]) {
        let Some(line) = &mut self.line else { return };
        let mut patience = PATIENCE;
        while !bytes.is_empty() && patience > 0 {
            let sent = line.send_bytes(bytes);
            pace(PER_TRY);
            bytes = &bytes[sent..];
            patience = if sent > 0 { PATIENCE } else { patience - 1 };
        }
        while self.lent && line.ready_to_send().is_err() && patience > 0 {
            pace(PER_TRY);
            patience -= 1;
        }
        if patience == 0 {
            self.line = None;
        }
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}
