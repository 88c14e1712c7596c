//! The task whose account pays for the objects: one without threads, which the bootstrap server ends with this one.
//!
//! Who has an object open can make it grow and touch its pages, at the cost of who made it. If that were this
//! task, clients could spend what it needs to answer others. Neighbour: `object`.

use portolan::abi::PAGE_SIZE;
use portolan::abi::task::Limits;
use portolan::{MemoryObject, Result, Right, Task};

pub(crate) struct Purse(Task);

/// Of what is left to this task it keeps one part in this many.
const KEPT_PART: u64 = 3;

impl Purse {
    /// Makes the task.
    ///
    /// # Errors
    /// `ResourceShortage`.
    pub(crate) fn open() -> Result<Purse> {
        let (task, _) = Task::this().create("objects", limits()?, Right::Null)?;
        Ok(Purse(task))
    }

    /// A new object of a page.
    ///
    /// # Errors
    /// `ResourceShortage`.
    pub(crate) fn object(&self) -> Result<MemoryObject> {
        self.0.memory_object(PAGE_SIZE as u64)
    }
}

fn limits() -> Result<Limits> {
    let info = Task::this().info()?;
    let part = |limit: u64, used: u64| (limit - used) / KEPT_PART * (KEPT_PART - 1);
    Ok(Limits {
        memory: part(info.limits.memory, info.used.memory),
        ports: part(info.limits.ports, info.used.ports),
        frames: part(info.limits.frames, info.used.frames),
    })
}
