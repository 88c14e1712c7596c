//! What objects cost: bytes of kernel memory, by the kernel's own count, over many of a kind.
//!
//! Each is counted with the name that its maker gets. Invariant: the objects live
//! until they have been counted. Neighbour: `crowd` makes ports and threads.

use crate::Outcome;
use crate::crowd::{Waiting, ports};
use alloc::vec::Vec;
use portolan::abi::PAGE_SIZE;
use portolan::abi::task::Limits;
use portolan::{Right, Task, bootstrap, host};

/// How many of a kind, so that what serves several objects is shared out.
const PORTS: usize = 4096;
const THREADS: usize = 1024;
const TASKS: usize = 128;

/// What an empty task is allowed here: its two ports, its names and its page tables.
const LIMITS_EMPTY: Limits = Limits { memory: 16 << 10, ports: 4, frames: 4 };

/// A port without messages.
pub(crate) fn port() -> Outcome<u64> {
    heap_of_each(PORTS, || ports(PORTS)).map(|(bytes, _)| bytes)
}

/// A thread that waits for a message: what it has in the processor, and its kernel port.
pub(crate) fn thread() -> Outcome<u64> {
    heap_of_each(THREADS, || Waiting::start(THREADS)).map(|(bytes, _)| bytes)
}

/// A task without threads and memory: its two ports, its name space and its page tables.
pub(crate) fn task() -> Outcome<u64> {
    let (bytes, tasks) = heap_of_each(TASKS, || Ok(EmptyTasks(empty_tasks()?)))?;
    Ok(bytes + tasks.0[0].info()?.used.frames * PAGE_SIZE as u64)
}

/// Tasks that end when they are dropped.
struct EmptyTasks(Vec<Task>);

fn empty_tasks() -> Outcome<Vec<Task>> {
    (0..TASKS).map(|_| Ok(Task::this().create("empty", LIMITS_EMPTY, Right::Null)?.0)).collect()
}

impl Drop for EmptyTasks {
    fn drop(&mut self) {
        for task in &self.0 {
            let _ = task.terminate();
        }
    }
}

/// Bytes of the kernel's heap for each of the `count` objects that `make` makes.
fn heap_of_each<T>(count: usize, make: impl FnOnce() -> Outcome<T>) -> Outcome<(u64, T)> {
    let host = bootstrap::host()?;
    let before = host::statistics(&host)?.heap;
    let objects = make()?;
    let bytes = host::statistics(&host)?.heap - before;
    let count = count as u64;
    Ok(((bytes + count / 2) / count, objects))
}
