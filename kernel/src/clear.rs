//! Clearing away what has died, in pieces.
//!
//! Whatever ends leaves work behind that grows with what it held. That work is data: lines of
//! dead ports, ended tasks, destroyed messages and objects. After a trap one *piece* of it is
//! done, at most so many *units*; if something is left, the loop (`run`) looks whether an
//! interrupt has come, and does the next one.
//!
//! What others could see half done is *urgent*: dead ports, notifications that are due, threads
//! of ended tasks, ranges that are unmapped. No user code runs before it is done; interrupts are let in, no more. The
//! rest (names, memory, messages of the dead) is seen by nobody but in what it costs. It is done
//! at the priority of who caused it or ended by it, ahead of equals: only more important threads
//! run meanwhile.
//!
//! Invariants: after a trap `Clearing::left` says whether anything is left; a unit does a bounded amount of
//! work, allocates nothing and cannot fail; between units all that `check` states holds.
//! Neighbours: `ipc::death`, `ipc::request`, `task` and `vm` do the units, `run` asks for pieces.

use crate::ipc::death::{self, Contents};
use crate::ipc::message::Queue;
use crate::ipc::request;
use crate::kernel::Kernel;
use crate::list::List;
use crate::piece::{PIECE, Units};
use crate::task::{self, InGrave, Task, TaskId, ThreadId, exception};
use crate::vm::map::Range;

/// What is left to be cleared away, besides dead ports and due notifications.
pub struct Clearing {
    /// Whether the trap in progress has added anything.
    pub added: bool,
    /// Whether anything is left.
    pub left: bool,
    /// How important that is: as much as the most important thread that has added to it.
    pub priority: u8,
    /// What a piece may take.
    pub piece: Units,
    /// Ended tasks that have threads.
    pub killed: List<Task, InGrave>,
    /// Ended tasks without threads: their names and their memory are left.
    pub ended: List<Task, InGrave>,
    /// What is to be unmapped: one range, as a trap asks for one at most.
    pub unmapping: Option<(TaskId, Range)>,
    /// Messages that are destroyed.
    pub doomed: Queue,
    /// What one of them brought, which is destroyed next.
    pub contents: Contents,
}

impl Default for Clearing {
    fn default() -> Clearing {
        Clearing {
            added: false,
            left: false,
            priority: 0,
            piece: PIECE,
            killed: List::default(),
            ended: List::default(),
            unmapping: None,
            doomed: Queue::default(),
            contents: Contents::default(),
        }
    }
}

impl Clearing {
    /// All that is mapped in a range, at whose ends no region is crossed, is to be unmapped.
    pub fn unmap(&mut self, task: TaskId, range: Range) {
        debug_assert!(self.unmapping.is_none(), "two ranges are to be unmapped");
        self.unmapping = Some((task, range));
        self.added = true;
    }
}

/// Does a piece of what a thread's trap has left to be done, if it has.
#[inline]
pub fn away(k: &mut Kernel, by: Option<ThreadId>) {
    if k.clearing.added || (!k.vm.dead.is_empty() && !k.clearing.left) {
        begin(k, by);
    }
}

#[cold]
fn begin(k: &mut Kernel, by: Option<ThreadId>) {
    if let Some(by) = by.and_then(|by| k.threads.get(by)) {
        k.clearing.priority = k.clearing.priority.max(by.priority);
    }
    piece(k);
}

/// Does a piece of what is left.
#[cold]
pub fn piece(k: &mut Kernel) {
    let Units(mut budget) = k.clearing.piece;
    while budget > 0
        && let Some(Units(taken)) = urgent(k).or_else(|| quiet(k))
    {
        budget = budget.saturating_sub(taken);
    }
    k.clearing.added = false;
    k.clearing.left = is_urgent(k) || is_quiet(k);
    if !k.clearing.left {
        k.clearing.priority = 0;
    }
}

/// Whether the next piece comes before anything that is ready to run.
#[cold]
pub fn goes_first(k: &Kernel) -> bool {
    let current = k.current.and_then(|id| k.threads.get(id)).map(|thread| thread.priority);
    is_urgent(k) || current.max(k.scheduler.highest()).is_none_or(|priority| priority <= k.clearing.priority)
}

fn is_urgent(k: &Kernel) -> bool {
    let Clearing { killed, unmapping, .. } = &k.clearing;
    let nobody = killed.is_empty() && k.graveyard.is_empty() && k.due.is_empty() && k.unhandled.is_empty();
    !nobody || unmapping.is_some() || !k.vm.unmapped.is_empty()
}

fn is_quiet(k: &Kernel) -> bool {
    let Clearing { ended, doomed, contents, .. } = &k.clearing;
    !(ended.is_empty() && doomed.is_empty() && contents.is_empty() && k.vm.dead.is_empty())
}

/// One thing that user code must not see half done. `None`: there is none.
fn urgent(k: &mut Kernel) -> Option<Units> {
    if let Some(task) = k.clearing.killed.first() {
        Some(task::end_next_thread(k, task))
    } else if let Some(port) = k.graveyard.first() {
        Some(death::clear_port(k, port))
    } else if let Some(message) = k.due.pop_front(&mut k.messages) {
        Some(request::post(k, message))
    } else if let Some(object) = k.vm.unmapped.first() {
        Some(request::tell_unmapped(k, object))
    } else if let Some((task, range)) = k.clearing.unmapping {
        Some(unmap_some(k, task, range))
    } else {
        exception::take_unhandled(k)
    }
}

/// What it takes to unmap some pages, and to free them.
const PAGES: Units = Units(16);

fn unmap_some(k: &mut Kernel, task: TaskId, range: Range) -> Units {
    let Kernel { tasks, vm, accounts, clearing, .. } = k;
    if !tasks.get_mut(task).is_some_and(|task| task.map.unmap_some(vm, accounts, range)) {
        clearing.unmapping = None;
    }
    PAGES
}

/// One thing that only takes up room. `None`: there is none.
fn quiet(k: &mut Kernel) -> Option<Units> {
    if !k.clearing.contents.is_empty() {
        Some(death::destroy_contents(k))
    } else if let Some(message) = k.clearing.doomed.pop_front(&mut k.messages) {
        Some(death::destroy(k, message))
    } else if let Some(task) = k.clearing.ended.first() {
        Some(task::take_apart(k, task))
    } else {
        k.vm.clear_dead(&mut k.accounts)
    }
}
