//! The interrupts of devices: which lines are let in, and where an interrupt came from.
//!
//! They come through the two old controllers (`pic`), which every PC and every machine of
//! QEMU's has; the local APIC passes on what those say. Invariant: a line that has
//! interrupted is masked until the kernel lets it in again, so it cannot flood it.
//! Neighbours: `pic`, `apic`; `cpu` tells the kernel.

use super::{apic, pic};
use crate::Line;

/// The lines of devices. All are masked at first.
#[derive(Debug)]
pub struct Interrupts {
    _private: (),
}

impl Interrupts {
    pub(super) fn new() -> Interrupts {
        Interrupts { _private: () }
    }

    /// Lets a line in. What it has signalled meanwhile comes at once.
    pub fn unmask(&mut self, line: Line) {
        pic::unmask(line);
    }

    /// Keeps a line out.
    pub fn mask(&mut self, line: Line) {
        pic::mask(line);
    }
}

/// Where an interrupt came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// The local APIC's timer.
    Timer,
    /// A device.
    Device(Line),
    /// Nobody: it went away before it was taken, or was an error of the controller's own.
    Nobody,
}

/// Takes the interrupt that came with this vector: tells its controller so, and masks its line.
pub(super) fn take(vector: u8) -> Source {
    if pic::is_mine(vector) {
        return pic::take(vector).map_or(Source::Nobody, Source::Device);
    }
    apic::acknowledge(vector);
    if vector == apic::TIMER { Source::Timer } else { Source::Nobody }
}
