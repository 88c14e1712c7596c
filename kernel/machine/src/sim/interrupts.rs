//! The interrupts of devices: which lines are let in, and which are pulled.
//!
//! A test pulls a line ([`Cpu::interrupt`](super::Cpu::interrupt)); what is pulled while the
//! line is masked waits, once, as at the controllers of a PC.

use crate::{Line, Lines};
use std::cell::Cell;
use std::rc::Rc;

/// The lines of devices. All are masked at first.
#[derive(Clone, Default, Debug)]
pub struct Interrupts {
    open: Rc<Cell<Lines>>,
    pulled: Rc<Cell<Lines>>,
    non_maskable: Rc<Cell<bool>>,
}

impl Interrupts {
    /// Lets a line in. What it has signalled meanwhile comes at once.
    pub fn unmask(&mut self, line: Line) {
        self.open.set(self.open.get().with(line));
    }

    /// Keeps a line out.
    pub fn mask(&mut self, line: Line) {
        self.open.set(self.open.get().without(line));
    }

    pub(super) fn pull(&self, line: Line) {
        self.pulled.set(self.pulled.get().with(line));
    }

    pub(super) fn demand(&self) {
        self.non_maskable.set(true);
    }

    /// Whether somebody has asked, since the last time, what the kernel is doing.
    pub(super) fn take_demand(&mut self) -> bool {
        self.non_maskable.take()
    }

    pub(super) fn is_open(&self, line: Line) -> bool {
        self.open.get().contains(line)
    }

    /// Takes the lowest line that is pulled and let in, and masks it.
    pub(super) fn take(&mut self) -> Option<Line> {
        let line = self.pulled.get().iter().find(|line| self.is_open(*line))?;
        self.pulled.set(self.pulled.get().without(line));
        self.mask(line);
        Some(line)
    }
}
