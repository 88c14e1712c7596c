//! Memory objects: what shared memory, and all other user memory, is made of.
//!
//! An object lives while a port stands for it or a region maps it. Its pages are
//! zero until written, and take a frame, charged to its maker's account, when
//! first touched.
//!
//! Invariant: the frames in its tree are its own. Neighbours: `map`, `fault`.

use super::page_tree::PageTree;
use super::{Fault, Vm};
use crate::arena::{Id, OutOfMemory};
use crate::task::account::{AccountId, Accounts, Resource, Spent};
use portolan_abi::PAGE_SIZE;
use portolan_machine::{Frame, FrameRange};

/// Names a memory object.
pub type ObjectId = Id<MemoryObject>;

/// Pages that can be mapped.
pub struct MemoryObject {
    /// Its size.
    pages: u64,
    backing: Backing,
    /// Who pays for its frames.
    account: AccountId,
    /// Ports that stand for it.
    pub ports: u32,
    /// Regions that map it.
    pub mappings: u32,
    charged: u64,
    resident: u64,
}

/// Where its bytes are.
enum Backing {
    /// In frames taken when first touched, zero before.
    Zero(PageTree),
    /// In frames that were there before the kernel and stay after the object.
    Fixed(FrameRange),
}

/// What an object costs its account, apart from its pages.
pub const OBJECT_COST: u64 = crate::arena::Arena::<MemoryObject>::SLOT_SIZE as u64;

impl MemoryObject {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.pages * PAGE_SIZE as u64
    }

    /// Pages that have a frame.
    pub fn resident(&self) -> u64 {
        match self.backing {
            Backing::Zero(_) => self.resident,
            Backing::Fixed(_) => self.pages,
        }
    }

    /// Frames that its account has paid for.
    pub fn charged_frames(&self) -> u64 {
        self.resident
    }

    /// Bytes of kernel memory that its account has paid for.
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// Who pays for it.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The frame of a page, if it has one.
    pub fn frame(&self, page: u64) -> Option<Frame> {
        match &self.backing {
            Backing::Zero(tree) => tree.get(page),
            Backing::Fixed(range) => (page < self.pages).then(|| Frame(range.start.0 + page as u32)),
        }
    }
}

impl Vm {
    /// Makes an object of zeros, with neither port nor mapping yet.
    pub fn create_object(
        &mut self,
        accounts: &mut Accounts,
        account: AccountId,
        pages: u64,
    ) -> portolan_abi::Result<ObjectId> {
        self.insert_object(accounts, account, pages, Backing::Zero(PageTree::new(pages)))
    }

    /// Makes an object of frames that exist already.
    pub fn create_fixed_object(
        &mut self,
        accounts: &mut Accounts,
        account: AccountId,
        range: FrameRange,
    ) -> portolan_abi::Result<ObjectId> {
        self.insert_object(accounts, account, range.len() as u64, Backing::Fixed(range))
    }

    fn insert_object(
        &mut self,
        accounts: &mut Accounts,
        account: AccountId,
        pages: u64,
        backing: Backing,
    ) -> portolan_abi::Result<ObjectId> {
        self.objects.reserve()?;
        accounts.charge(account, Resource::Memory, OBJECT_COST)?;
        let object = MemoryObject { pages, backing, account, ports: 0, mappings: 0, charged: OBJECT_COST, resident: 0 };
        Ok(self.objects.insert(object)?)
    }

    /// The frame of a page, filled with zeros if it is new.
    pub(super) fn object_page(&mut self, accounts: &mut Accounts, id: ObjectId, page: u64) -> Result<Frame, Fault> {
        match self.objects[id].frame(page) {
            Some(frame) => Ok(frame),
            None => self.fill(accounts, id, page),
        }
    }

    fn fill(&mut self, accounts: &mut Accounts, id: ObjectId, page: u64) -> Result<Frame, Fault> {
        let Vm { memory, frames, objects } = self;
        let object = &mut objects[id];
        let Backing::Zero(tree) = &mut object.backing else { return Err(Fault::Unmapped) };
        let cost = tree.cost(page);
        accounts.charge(object.account, Resource::Frames, 1)?;
        if let Err(Spent) = accounts.charge(object.account, Resource::Memory, cost) {
            accounts.credit(object.account, Resource::Frames, 1);
            return Err(Fault::Shortage);
        }
        object.charged += cost;
        let filled = frames.allocate().ok_or(OutOfMemory).and_then(|frame| match tree.set(page, frame) {
            Ok(()) => Ok(frame),
            Err(OutOfMemory) => {
                frames.free(frame);
                Err(OutOfMemory)
            }
        });
        match filled {
            Ok(frame) => {
                object.resident += 1;
                memory.zero(frame);
                Ok(frame)
            }
            Err(OutOfMemory) => {
                // Nodes that were made stay, and stay paid for, until the object goes.
                let unused = tree.cost(page);
                object.charged -= unused;
                accounts.credit(object.account, Resource::Memory, unused);
                accounts.credit(object.account, Resource::Frames, 1);
                Err(Fault::Shortage)
            }
        }
    }

    /// Ends the object if nothing stands for it or maps it any more.
    pub fn release_object(&mut self, accounts: &mut Accounts, id: ObjectId) {
        let object = &self.objects[id];
        if object.ports > 0 || object.mappings > 0 {
            return;
        }
        let Some(mut object) = self.objects.remove(id) else { return };
        if let Backing::Zero(tree) = &mut object.backing {
            tree.clear(&mut |frame| self.frames.free(frame));
        }
        accounts.credit(object.account, Resource::Frames, object.resident);
        accounts.credit(object.account, Resource::Memory, object.charged);
    }
}
