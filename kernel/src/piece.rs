//! How much work is done in a piece, with interrupts off.
//!
//! What cannot be put off, and is long all the same, keeps its pace (`portolan_machine::pace`).
//!
//! Invariant: a unit is a bounded amount of work. This file knows nothing of what is done.
//! Neighbour: `clear`, which does pieces; whoever does a unit says what it has taken.

/// What a piece may take, before its last unit. A unit is what it takes to give up a right and to
/// let go of the port behind it: a few hundred instructions.
pub const PIECE: Units = Units(32);

/// What it takes to give a block back to the heap.
pub const HEAP: Units = Units(6);

/// An amount of work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Units(pub u32);

impl Units {
    /// The least there is.
    pub const ONE: Units = Units(1);
}
