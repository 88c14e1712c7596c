//! Interrupt lines: what a device pulls to be attended to.
//!
//! A PC of old has sixteen. The line that joins its two controllers is no device's, so
//! there is no [`Line`] for it. Neighbour: the backend's `Interrupts`.

/// An interrupt line that a device can have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Line(u8);

impl Line {
    /// Lines have numbers below this.
    pub const COUNT: usize = 16;
    /// Where the second controller comes in at the first.
    pub(crate) const CASCADE: u8 = 2;

    /// The line with this number; `None` if no device can have it.
    #[must_use]
    pub const fn new(number: u32) -> Option<Line> {
        if number < Self::COUNT as u32 && number != Self::CASCADE as u32 { Some(Line(number as u8)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its number, as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lines(u16);

impl Lines {
    /// No line.
    pub const NONE: Lines = Lines(0);

    /// These and one more.
    #[must_use]
    pub const fn with(self, line: Line) -> Lines {
        Lines(self.0 | 1 << line.0)
    }

    /// These but one.
    #[must_use]
    pub const fn without(self, line: Line) -> Lines {
        Lines(self.0 & !(1 << line.0))
    }

    /// Whether it is one of them.
    #[must_use]
    pub const fn contains(self, line: Line) -> bool {
        self.0 & 1 << line.0 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = Line> {
        (0..Line::COUNT as u32).filter_map(Line::new).filter(move |line| self.contains(*line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cascade_is_no_line() {
        assert_eq!((0..40).filter(|number| Line::new(*number).is_some()).count(), 15);
        assert_eq!((Line::new(2), Line::new(16), Line::new(u32::MAX)), (None, None, None));
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let [four, fifteen] = [4, 15].map(|number| Line::new(number).expect("a line"));
        let lines = Lines::NONE.with(fifteen).with(four).with(four);
        assert_eq!(lines.iter().collect::<Vec<_>>(), [four, fifteen]);
        assert_eq!(lines.without(four).iter().collect::<Vec<_>>(), [fifteen]);
        assert!(lines.without(four).without(fifteen).is_empty());
    }
}
