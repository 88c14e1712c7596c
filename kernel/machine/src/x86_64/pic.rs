//! The two old interrupt controllers: moved out of the way and masked for ever.
//!
//! Invariant: their vectors are not those of exceptions, so that a spurious interrupt,
//! which they can raise even when masked, is not taken for one.

use super::vectors::FIRST_INTERRUPT;
use ::x86_64::instructions::port::PortWriteOnly;

/// Vectors of both together.
const VECTORS: u8 = 16;
/// Starts initialisation; four bytes belong to it.
const INITIALISE: u8 = 0x11;
/// 8086 mode.
const MODE: u8 = 1;
const ALL: u8 = 0xff;

/// Whether one of them raises this vector.
pub(super) fn is_mine(vector: u8) -> bool {
    (FIRST_INTERRUPT..FIRST_INTERRUPT + VECTORS).contains(&vector)
}

/// Moves and masks both.
pub(super) fn silence() {
    // The third byte says which line joins the two: as a bit to one, as a number to the other.
    program(0x20, [FIRST_INTERRUPT, 1 << 2, MODE]);
    program(0xa0, [FIRST_INTERRUPT + VECTORS / 2, 2, MODE]);
}

fn program(command: u16, words: [u8; 3]) {
    write(command, INITIALISE);
    for word in words {
        write(command + 1, word);
    }
    write(command + 1, ALL);
}

fn write(port: u16, value: u8) {
    // SAFETY: called with the controllers' ports only; nothing depends on what they do.
    unsafe { PortWriteOnly::new(port).write(value) };
}
