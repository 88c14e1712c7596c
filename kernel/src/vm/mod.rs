//! Virtual memory: how map, memory object, frame and pmap relate.
//!
//! A task's [`Map`] says which ranges of addresses show which part of which
//! [`MemoryObject`]. An object holds frames, one a page, filled with zeros when
//! first touched. The pmap, the processor's page tables, is a cache of both: a page
//! it lacks is looked up in map and object by [`fault`], and entered.
//!
//! Invariant: a frame belongs to exactly one object (or page table, or queued
//! message), and is mapped only where a region of that object is. Knows nothing of
//! ports. Neighbours: `ipc` uses [`copy`] alone; `service` maps and unmaps.

pub mod copy;
pub mod fault;
pub mod frame;
pub mod map;
pub mod object;
mod page_tree;

pub use fault::Fault;
pub use frame::Frames;
pub use map::Map;
pub use object::{MemoryObject, ObjectId};

use crate::arena::Arena;
use portolan_machine::Memory;

/// What virtual memory stands on, machine-wide.
pub struct Vm {
    /// The bytes.
    pub memory: Memory,
    /// The free frames.
    pub frames: Frames,
    /// All memory objects.
    pub objects: Arena<MemoryObject>,
}
