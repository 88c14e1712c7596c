//! What becomes of what is typed: lines, editing, and what is shown of it.
//!
//! Pure: bytes in, bytes to be shown out. Invariant: a line that is being typed has at most
//! [`LINE_MAX`] bytes, and what is ready at most [`READY_MAX`]. What there is no room for is lost,
//! and where typing is shown, a bell says so.

use alloc::vec::Vec;
use portolan::console::Mode;

/// Most bytes of a line, without its end.
const LINE_MAX: usize = 255;
/// Most bytes that are ready and not read.
const READY_MAX: usize = 4096;

const BELL: &[u8] = b"\x07";
const TAB: u8 = b'\t';
const BACKSPACE: u8 = 0x08;
const CONTROL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;
/// Takes a character back from the screen.
const RUB_OUT: &[u8] = b"\x08 \x08";

/// The input of a console.
pub(crate) struct Input {
    mode: Mode,
    /// The line that is being typed.
    line: Vec<u8>,
    /// What can be read.
    ready: Vec<u8>,
    /// The last byte was a carriage return: a line feed after it does not end another line.
    returned: bool,
}

impl Default for Input {
    fn default() -> Input {
        Input { mode: Mode::Lines, line: Vec::new(), ready: Vec::new(), returned: false }
    }
}

impl Input {
    /// Sets the mode. The part of a line that has been typed is kept, and is ready where lines no longer count.
    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        if mode == Mode::Bytes {
            let room = READY_MAX - self.ready.len();
            self.ready.extend(self.line.drain(..).take(room));
        }
    }

    /// The next bytes that can be read, up to a line feed and with it, at most so many; `None` if there are none.
    pub(crate) fn ready(&self, most: usize) -> Option<&[u8]> {
        let bytes = self.ready.split_inclusive(|byte| *byte == b'\n').next()?;
        Some(&bytes[..bytes.len().min(most)])
    }

    /// So many bytes have been read.
    pub(crate) fn consume(&mut self, count: usize) {
        self.ready.drain(..count);
    }

    /// Takes a byte; what is to be shown for it.
    pub(crate) fn take(&mut self, byte: u8) -> Vec<u8> {
        if self.mode == Mode::Bytes {
            if self.ready.len() < READY_MAX {
                self.ready.push(byte);
            }
            return Vec::new();
        }
        let shown = self.edit(byte);
        if self.mode == Mode::Lines { shown } else { Vec::new() }
    }

    /// Whether lines are read, shown or not.
    pub(crate) fn reads_lines(&self) -> bool {
        self.mode != Mode::Bytes
    }

    /// Forgets the line that is being typed; what is to be shown for it.
    pub(crate) fn give_up_line(&mut self) -> Vec<u8> {
        self.line.clear();
        if self.mode == Mode::Lines { b"^C\r\n".to_vec() } else { Vec::new() }
    }

    fn edit(&mut self, byte: u8) -> Vec<u8> {
        let after_return = core::mem::replace(&mut self.returned, byte == b'\r');
        match byte {
            b'\n' if after_return => Vec::new(),
            b'\r' | b'\n' => self.end_line(),
            BACKSPACE | DELETE => RUB_OUT.repeat(self.rub_out()),
            CONTROL_U => {
                let mut characters = 0;
                while self.rub_out() == 1 {
                    characters += 1;
                }
                RUB_OUT.repeat(characters)
            }
            TAB | b' '.. => self.add(byte),
            // The other control characters mean nothing here.
            _ => Vec::new(),
        }
    }

    fn add(&mut self, byte: u8) -> Vec<u8> {
        if self.line.len() == LINE_MAX {
            return BELL.to_vec();
        }
        self.line.push(byte);
        [byte].to_vec()
    }

    fn end_line(&mut self) -> Vec<u8> {
        if self.ready.len() + self.line.len() >= READY_MAX {
            return BELL.to_vec();
        }
        self.ready.append(&mut self.line);
        self.ready.push(b'\n');
        b"\r\n".to_vec()
    }

    /// Takes back a character, which is several bytes if it is not ASCII; how many there were, 0 or 1.
    fn rub_out(&mut self) -> usize {
        while let Some(byte) = self.line.pop() {
            let continues = byte & 0b1100_0000 == 0b1000_0000;
            if !continues {
                return 1;
            }
        }
        0
    }
}
