//! Virtual memory: how map, memory object, frame and pmap relate.
//!
//! A task's [`Map`] says which ranges of addresses show which part of which
//! [`MemoryObject`]. An object holds frames, one a page, filled with zeros when
//! first touched. The pmap, the processor's page tables, is a cache of both: a page
//! it lacks is looked up in map and object by [`fault`], and entered.
//!
//! To copy memory is to hold a part of an object's tree once more ([`MapCopy`]): both then have
//! the same frames, no pmap lets anybody write to them, and who tries gets a frame of its own.
//!
//! An object may end before what maps it does ([`size`]): a page there is a fault of its own kind.
//!
//! Invariant: a frame belongs to one object (or page table, or queued message), or to
//! several private objects; it is mapped only where a region of such an object is, and
//! writable only if it belongs to one. Knows nothing of
//! ports. Neighbours: `ipc` uses [`copy`] alone; `service` maps and unmaps.

pub mod copy;
pub mod device;
pub mod fault;
pub mod frame;
pub mod map;
pub mod map_copy;
pub mod object;
pub mod page_tree;
pub mod regions;
pub mod size;

pub use fault::Fault;
pub use frame::Frames;
pub use map::Map;
pub use map_copy::MapCopy;
pub use object::{MemoryObject, ObjectId};

use crate::arena::Arena;
use crate::list::List;
use page_tree::Nodes;
use portolan_machine::{Memory, Taken};

/// What virtual memory stands on, machine-wide.
pub struct Vm {
    /// The bytes.
    pub memory: Memory,
    /// The free frames.
    pub frames: Frames,
    /// All memory objects.
    pub objects: Arena<MemoryObject>,
    /// Those that are nobody's any more, and whose frames are to be freed.
    pub dead: List<MemoryObject, object::InDead>,
    /// Those that nobody maps any more, of which somebody is to be told.
    pub unmapped: List<MemoryObject, object::InDead>,
    /// Which pages these have.
    pub nodes: Nodes,
    /// What no driver may have as device memory.
    pub taken: Taken,
    /// What has been done, since start.
    pub counters: Counters,
}

/// What has been done with pages, since start.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counters {
    /// Filled with zeros when touched.
    pub zero_fills: u64,
    /// Copied, byte by byte.
    pub copies: u64,
}
