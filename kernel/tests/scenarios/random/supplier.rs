//! A pager among those who act at random: pages that come late, or never, or not at all.
//!
//! It is a task of its own, so that no wait for a page waits for itself. Invariant: nobody else has its
//! rights but the one to the object, so each of its calls succeeds or says what is short.

use crate::harness::{System, Task, no_right};
use portolan_abi::message::Descriptor;
use portolan_abi::vm::{self, Inheritance, MapFlags};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, pager};

const PAGE: u64 = PAGE_SIZE as u64;
/// Pages of the object.
pub const PAGES: u64 = 4;
/// Where it makes pages up.
const DESK: u64 = 0x7000_0000;
const ALL: u32 = Protection::READ_WRITE.bits();
const SHARED: u32 = Inheritance::Share as u32;

/// What a pager does.
#[derive(Clone, Copy, Debug)]
pub enum Supply {
    /// It hears what is wanted.
    Hear,
    /// It brings a page.
    Bring(u64),
    /// It refuses one.
    Refuse(u64),
    /// A task is given the object, at this page of its memory.
    Show(u64),
    /// It gives up the right to supply pages.
    GiveUp,
    /// The port at which it is asked dies.
    GoDeaf,
}

/// The pager, and its present object.
pub struct Supplier {
    task: Task,
    port: Name,
    control: Name,
    /// The first task's right to the object.
    object: Name,
}

impl Supplier {
    pub fn new(system: &System) -> Supplier {
        let task = system.task("pager");
        let own = task.task_self();
        vm::vm_map(&*task, own, DESK, PAGE, 0, ALL, ALL, SHARED, MapFlags::empty().bits(), no_right()).expect("a desk");
        let (port, control, object) = object(&task, system);
        Supplier { task, port, control, object }
    }

    /// Does it; `other` is the task that may be shown the object, as the first one names it.
    pub fn perform(&mut self, system: &System, other: Name, supply: Supply) {
        match supply {
            Supply::Hear => drop(self.task.receive_now(self.port).done()),
            Supply::Bring(page) => {
                let to = Descriptor::port(self.task.task_self(), Disposition::CopySend as u8);
                let brought = pager::supply(&*self.task, self.control, page * PAGE, DESK, to);
                expect(brought.map(drop), &[Error::Failure, Error::ResourceShortage]);
            }
            Supply::Refuse(page) => {
                let refused = pager::refuse(&*self.task, self.control, page * PAGE, Error::MemoryError.code(), 0);
                expect(refused.map(drop), &[]);
            }
            Supply::Show(page) => self.show(system, other, page),
            Supply::GiveUp => self.begin_anew(system, self.control),
            Supply::GoDeaf => self.begin_anew(system, self.port),
        }
    }

    fn show(&self, system: &System, other: Name, page: u64) {
        let right = Descriptor::port(self.object, Disposition::CopySend as u8);
        let address = super::deed::page_address(page);
        let shown =
            vm::vm_map(&**system.first(), other, address, PAGES * PAGE, 0, ALL, ALL, SHARED, 0, right).map(drop);
        expect(shown, &[Error::NoSpace, Error::ResourceShortage, Error::SendInvalidPort]);
    }

    /// Ends what a right stands for, and makes another object.
    fn begin_anew(&mut self, system: &System, ended: Name) {
        self.task.port_deallocate(ended).expect("its own");
        let left = if ended == self.port { self.control } else { self.port };
        self.task.port_deallocate(left).expect("its own");
        (self.port, self.control, self.object) = object(&self.task, system);
    }
}

/// An object whose pages the task supplies: its port, its control right, and the first task's right to the object.
fn object(task: &Task, system: &System) -> (Name, Name, Name) {
    let port = task.port(Capacity::Bounded(1));
    let asked = Descriptor::port(port, Disposition::MakeSend as u8);
    let made = vm::memory_object_create_paged(&**task, task.task_self(), PAGES * PAGE, 1, asked).expect("an object");
    let object = task.give(system.first(), made.rights[0], Disposition::MoveSend);
    (port, made.rights[1], system.give_up_later(object))
}

fn expect(result: Result<()>, allowed: &[Error]) {
    assert!(result.is_ok() || result.is_err_and(|error| allowed.contains(&error)), "{result:?}");
}
