//! The keyboard, at its controller: an 8042 (IBM's Technical Reference of the PC AT).
//!
//! The controller is told to translate to scan codes of set 1, and to tell by an interrupt of each byte.
//! Bytes of a mouse are thrown away, and so is whatever is no key. Invariant: nothing waits for ever.

use alloc::vec::Vec;
use portolan::console;
use portolan::device::{Interrupt, IoPorts};
use portolan::thread::sleep_ms;
use portolan::{Error, Result};
use portolan_terminal::Keys;

/// The state: there is a byte to be read; what was written last has not been taken; the byte is the mouse's.
const FULL: u8 = 1;
const BUSY: u8 = 1 << 1;
const OF_MOUSE: u8 = 1 << 5;

/// Commands to the controller.
const READ_CONFIGURATION: u8 = 0x20;
const WRITE_CONFIGURATION: u8 = 0x60;
const CLOSE_MOUSE: u8 = 0xa7;
const CLOSE_KEYBOARD: u8 = 0xad;
const OPEN_KEYBOARD: u8 = 0xae;

/// The configuration: an interrupt for each byte of the keyboard; the same of the mouse; translate to set 1.
const INTERRUPTS: u8 = 1;
const MOUSE_INTERRUPTS: u8 = 1 << 1;
const TRANSLATED: u8 = 1 << 6;

/// The command to the keyboard that has it tell of keys. What it answers is no key.
const SCAN: u8 = 0xf4;

/// How long the controller may take for a step, in ms.
const PATIENCE_MS: usize = 50;
/// Most bytes that are read at once: more than the controller keeps.
const BYTES_MAX: usize = 64;

/// The keyboard.
pub(crate) struct Keyboard {
    data: IoPorts,
    state: IoPorts,
    interrupt: Interrupt,
    keys: Keys,
}

impl Keyboard {
    /// Sets it up.
    ///
    /// # Errors
    /// `Failure`: there is none.
    pub(crate) fn open(given: console::Keyboard) -> Result<Keyboard> {
        let console::Keyboard { data, state, interrupt } = given;
        let mut keyboard = Keyboard { data, state, interrupt, keys: Keys::default() };
        keyboard.command(CLOSE_KEYBOARD)?;
        keyboard.command(CLOSE_MOUSE)?;
        // What was typed before is for nobody.
        keyboard.typed()?;
        keyboard.command(READ_CONFIGURATION)?;
        let configuration = keyboard.answer()?;
        keyboard.command(WRITE_CONFIGURATION)?;
        keyboard.send(configuration & !MOUSE_INTERRUPTS | INTERRUPTS | TRANSLATED)?;
        keyboard.command(OPEN_KEYBOARD)?;
        keyboard.send(SCAN)?;
        Ok(keyboard)
    }

    /// What has been typed since, after an interrupt.
    pub(crate) fn interrupted(&mut self) -> Result<Vec<u8>> {
        // First: a byte that comes while others are read then interrupts again.
        self.interrupt.acknowledge()?;
        self.typed()
    }

    fn typed(&mut self) -> Result<Vec<u8>> {
        let mut typed = Vec::new();
        for _ in 0..BYTES_MAX {
            let state = self.state.read(0)?;
            if state & FULL == 0 {
                break;
            }
            let byte = self.data.read(0)?;
            if state & OF_MOUSE == 0 {
                typed.extend(self.keys.take(byte));
            }
        }
        Ok(typed)
    }

    fn command(&self, command: u8) -> Result<()> {
        self.wait_until(|state| state & BUSY == 0)?;
        self.state.write(0, command)
    }

    /// Sends a byte to the keyboard, or what a command asks for.
    fn send(&self, byte: u8) -> Result<()> {
        self.wait_until(|state| state & BUSY == 0)?;
        self.data.write(0, byte)
    }

    fn answer(&self) -> Result<u8> {
        self.wait_until(|state| state & FULL != 0)?;
        self.data.read(0)
    }

    /// Waits for a state. Where there is no controller, it is busy for ever.
    fn wait_until(&self, reached: impl Fn(u8) -> bool) -> Result<()> {
        for _ in 0..PATIENCE_MS {
            if reached(self.state.read(0)?) {
                return Ok(());
            }
            sleep_ms(1);
        }
        Err(Error::Failure)
    }
}
