//! The two old interrupt controllers, through which the lines of devices come.
//!
//! Invariants: their vectors are not those of exceptions, so that a spurious interrupt,
//! which they can raise even when masked, is not taken for one; a line is masked before
//! its controller is told that its interrupt has been taken.
//! Neighbour: `interrupts`.

use super::vectors::FIRST_INTERRUPT;
use crate::Line;
use ::x86_64::instructions::port::Port;

/// Vectors of both together.
const VECTORS: u8 = 16;
/// Lines of each.
const HALF: u8 = VECTORS / 2;
/// The command port of each; the data port, with the mask, is the next one.
const COMMAND: [u16; 2] = [0x20, 0xa0];
/// Starts initialisation; four bytes belong to it.
const INITIALISE: u8 = 0x11;
/// 8086 mode.
const MODE: u8 = 1;
const ALL: u8 = 0xff;
/// The next read of the command port gives the lines that are in service.
const READ_IN_SERVICE: u8 = 0x0b;
/// Ends the interrupt of the line in the low bits.
const END: u8 = 0x60;

/// Whether one of them raises this vector.
pub(super) fn is_mine(vector: u8) -> bool {
    (FIRST_INTERRUPT..FIRST_INTERRUPT + VECTORS).contains(&vector)
}

/// Moves and masks both; only the line that joins them is open.
pub(super) fn reset() {
    // The third byte says which line joins the two: as a bit to one, as a number to the other.
    program(0, [FIRST_INTERRUPT, 1 << Line::CASCADE, MODE], ALL & !(1 << Line::CASCADE));
    program(1, [FIRST_INTERRUPT + HALF, Line::CASCADE, MODE], ALL);
}

/// Takes the interrupt with this vector and masks its line; `None` if it was spurious.
pub(super) fn take(vector: u8) -> Option<Line> {
    let number = vector - FIRST_INTERRUPT;
    let half = usize::from(number / HALF);
    let real = in_service(half) & bit(number) != 0;
    if real {
        set_mask(half, mask_of(half) | bit(number));
        end(half, number % HALF);
    }
    // The first controller takes even a spurious interrupt of the second for a real one.
    if half == 1 {
        end(0, Line::CASCADE);
    }
    Line::new(number.into()).filter(|_| real)
}

/// Masks a line.
pub(super) fn mask(line: Line) {
    let half = half_of(line);
    set_mask(half, mask_of(half) | bit(line.number()));
}

/// Opens a line.
pub(super) fn unmask(line: Line) {
    let half = half_of(line);
    set_mask(half, mask_of(half) & !bit(line.number()));
}

fn half_of(line: Line) -> usize {
    usize::from(line.number() / HALF)
}

fn bit(number: u8) -> u8 {
    1 << (number % HALF)
}

fn in_service(half: usize) -> u8 {
    write(COMMAND[half], READ_IN_SERVICE);
    read(COMMAND[half])
}

fn end(half: usize, line: u8) {
    write(COMMAND[half], END | line);
}

fn mask_of(half: usize) -> u8 {
    read(COMMAND[half] + 1)
}

fn set_mask(half: usize, mask: u8) {
    write(COMMAND[half] + 1, mask);
}

fn program(half: usize, words: [u8; 3], mask: u8) {
    write(COMMAND[half], INITIALISE);
    for word in words {
        write(COMMAND[half] + 1, word);
    }
    set_mask(half, mask);
}

fn write(port: u16, value: u8) {
    // SAFETY: called with the controllers' ports only; they touch no memory.
    unsafe { Port::new(port).write(value) };
}

fn read(port: u16) -> u8 {
    // SAFETY: called with the controllers' ports only; reading changes nothing.
    unsafe { Port::new(port).read() }
}
