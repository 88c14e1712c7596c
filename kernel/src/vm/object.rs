//! Memory objects: what shared memory, and all other user memory, is made of.
//!
//! An object lives while a port stands for it or a region maps it. Its pages are
//! zero until written, or what its pager supplies, and take a frame, charged to its maker's account, when
//! first touched.
//!
//! Copying a private object shares its frames; whoever writes first gets a frame of
//! its own. Each object is charged for every page it has, shared or not, so that
//! this later write asks nothing more of its account.
//!
//! Invariant: a page of a private object is mapped at one place at most, so that to
//! change its frame is to change one entry of one pmap; the frames of a shared
//! object are its own. Neighbours: `map`, `fault`, `map_copy`.

use super::copy::Window;
use super::fault::Absent;
use super::page_tree::PageTree;
use super::{Fault, Vm};
use crate::arena::{Id, OutOfMemory};
use crate::ipc::pager::PagerId;
use crate::list::{Link, Linked};
use crate::piece::{HEAP, Units};
use crate::task::account::{AccountId, Accounts, Resource, Spent};
use core::ops::Range;
use portolan_abi::memory_object::Seals;
use portolan_abi::{Error, PAGE_SIZE, Protection};
use portolan_machine::{Access, Frame, FrameRange};

/// Names a memory object.
pub type ObjectId = Id<MemoryObject>;

/// Pages that can be mapped.
pub struct MemoryObject {
    /// Its size in bytes.
    pub(super) size: u64,
    pub(super) backing: Backing,
    /// What a page is before it has a frame.
    pub supply: Supply,
    /// Who can see it.
    pub reach: Reach,
    /// Who pays for its frames.
    account: AccountId,
    /// Ports that stand for it.
    pub ports: u32,
    /// Regions that map it.
    pub mappings: u32,
    /// Whether a copy that is in no map holds it.
    pub detached: bool,
    /// What can never be done to it again.
    pub seals: Seals,
    pub(super) charged: u64,
    resident: u64,
    grave: Link<MemoryObject>,
}

/// The link for the line of objects whose frames are to be freed.
pub struct InDead;

impl Linked<InDead> for MemoryObject {
    fn link(&mut self) -> &mut Link<MemoryObject> {
        &mut self.grave
    }
    fn link_ref(&self) -> &Link<MemoryObject> {
        &self.grave
    }
}

/// Who can see an object's pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// One map, each page at one address; no port has ever stood for it.
    Private,
    /// Whoever has a right to it or has inherited it. It never becomes private again.
    Shared,
}

/// What a page is that has no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supply {
    /// Zeros.
    Zeros,
    /// What a pager makes of it.
    Pager(PagerId),
    /// Lost: its pager is gone.
    Nobody,
}

/// Where its bytes are.
pub(super) enum Backing {
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
        self.size
    }

    /// How many pages it has; the last one may be in it only in part.
    pub fn page_count(&self) -> u64 {
        self.size.div_ceil(PAGE_SIZE as u64)
    }

    /// The protection that a mapping of it may have, of what a right allows.
    pub fn unsealed(&self, allowed: Protection) -> Protection {
        if self.seals.contains(Seals::WRITE) { allowed.difference(Protection::WRITE) } else { allowed }
    }

    /// Pages that have a frame.
    pub fn resident(&self) -> u64 {
        match self.backing {
            Backing::Zero(_) => self.resident,
            Backing::Fixed(_) => self.page_count(),
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
        if page >= self.page_count() {
            return None;
        }
        match &self.backing {
            Backing::Zero(tree) => tree.get(page),
            Backing::Fixed(range) => Some(Frame(range.start.0 + page as u32)),
        }
    }

    /// Why a page without a frame cannot be had; `None` if it is zeros.
    pub(super) fn absence(&self, id: ObjectId, page: u64, access: Access) -> Option<Fault> {
        match self.supply {
            Supply::Zeros => None,
            Supply::Pager(_) => Some(Fault::Absent(Absent { object: id, page, access })),
            Supply::Nobody => Some(Fault::Refused(Error::MemoryFailure)),
        }
    }

    /// Sees that a copy of these pages would have all of them.
    fn require_all(&self, id: ObjectId, pages: Range<u64>) -> Result<(), Fault> {
        if pages.end > self.page_count() {
            return Err(Fault::BeyondEnd);
        }
        if self.supply == Supply::Zeros {
            return Ok(());
        }
        let missing = pages.clone().find(|page| self.frame(*page).is_none());
        match missing.and_then(|page| self.absence(id, page, Access::Read)) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// The first of these pages that has a frame.
    pub(super) fn next(&self, pages: Range<u64>) -> Option<(u64, Frame)> {
        match &self.backing {
            Backing::Zero(tree) => tree.next(pages.start..pages.end.min(self.page_count())),
            Backing::Fixed(_) => {
                self.frame(pages.start).filter(|_| !pages.is_empty()).map(|frame| (pages.start, frame))
            }
        }
    }

    /// Every page that has a frame of a tree.
    pub fn pages(&self) -> impl Iterator<Item = (u64, Frame)> {
        let end = match self.backing {
            Backing::Zero(_) => self.page_count(),
            Backing::Fixed(_) => 0,
        };
        let mut next = 0;
        core::iter::from_fn(move || {
            let found = self.next(next..end)?;
            next = found.0 + 1;
            Some(found)
        })
    }
}

impl Vm {
    /// Makes an object of zeros, with neither port nor mapping yet.
    pub fn create_object(
        &mut self,
        accounts: &mut Accounts,
        account: AccountId,
        pages: u64,
        reach: Reach,
    ) -> portolan_abi::Result<ObjectId> {
        self.insert_object(accounts, account, pages, reach, Backing::Zero(PageTree::new(pages)))
    }

    /// Makes an object of frames that exist already.
    pub fn create_fixed_object(
        &mut self,
        accounts: &mut Accounts,
        account: AccountId,
        range: FrameRange,
    ) -> portolan_abi::Result<ObjectId> {
        self.insert_object(accounts, account, range.len() as u64, Reach::Shared, Backing::Fixed(range))
    }

    fn insert_object(
        &mut self,
        accounts: &mut Accounts,
        account: AccountId,
        pages: u64,
        reach: Reach,
        backing: Backing,
    ) -> portolan_abi::Result<ObjectId> {
        self.objects.reserve()?;
        accounts.charge(account, Resource::Memory, OBJECT_COST)?;
        let object = MemoryObject {
            size: pages * PAGE_SIZE as u64,
            backing,
            supply: Supply::Zeros,
            reach,
            account,
            ports: 0,
            mappings: 0,
            detached: false,
            seals: Seals::empty(),
            charged: OBJECT_COST,
            resident: 0,
            grave: Link::default(),
        };
        Ok(self.objects.insert(object)?)
    }

    /// The frame of a page, filled with zeros if it is new, and of its own if it is to be written.
    pub(super) fn object_page(
        &mut self,
        accounts: &mut Accounts,
        id: ObjectId,
        page: u64,
        access: Access,
    ) -> Result<Frame, Fault> {
        if page >= self.objects[id].page_count() {
            return Err(Fault::BeyondEnd);
        }
        match self.objects[id].frame(page) {
            None => match self.objects[id].absence(id, page, access) {
                None => self.fill(accounts, id, page),
                Some(fault) => Err(fault),
            },
            Some(frame) if access == Access::Write && self.frames.is_shared(frame) => self.unshare(id, page, frame),
            Some(frame) => Ok(frame),
        }
    }

    fn fill(&mut self, accounts: &mut Accounts, id: ObjectId, page: u64) -> Result<Frame, Fault> {
        let frame = self.frames.allocate().ok_or(Fault::Shortage)?;
        match self.put(accounts, id, page, frame) {
            Ok(()) => {
                self.memory.zero(frame);
                self.counters.zero_fills += 1;
                Ok(frame)
            }
            Err(fault) => {
                self.frames.free(frame);
                Err(fault)
            }
        }
    }

    /// Gives a page that has no frame one with these bytes, a page's worth.
    pub fn supply(&mut self, accounts: &mut Accounts, id: ObjectId, page: u64, bytes: &Window) -> Result<(), Fault> {
        let frame = self.frames.allocate().ok_or(Fault::Shortage)?;
        self.put(accounts, id, page, frame).inspect_err(|_| self.frames.free(frame))?;
        bytes.copy_to_physical(&mut self.memory, 0, frame.start(), PAGE_SIZE);
        self.counters.copies += 1;
        Ok(())
    }

    /// Gives a page a frame of its own in the place of one that it shares, with the same bytes.
    fn unshare(&mut self, id: ObjectId, page: u64, shared: Frame) -> Result<Frame, Fault> {
        let Vm { memory, frames, objects, counters, .. } = self;
        let Backing::Zero(tree) = &mut objects[id].backing else { return Err(Fault::Protection) };
        let own = frames.allocate().ok_or(Fault::Shortage)?;
        counters.copies += 1;
        memory.copy(shared.start(), own.start(), PAGE_SIZE);
        if let Some(replaced) = tree.replace(page, own) {
            frames.free(replaced);
        }
        Ok(own)
    }

    /// Gives a page that has none a frame, and charges for it.
    pub(super) fn put(&mut self, accounts: &mut Accounts, id: ObjectId, page: u64, frame: Frame) -> Result<(), Fault> {
        let object = &mut self.objects[id];
        let Backing::Zero(tree) = &mut object.backing else { return Err(Fault::Unmapped) };
        let cost = tree.cost(page);
        accounts.charge(object.account, Resource::Frames, 1)?;
        if let Err(Spent) = accounts.charge(object.account, Resource::Memory, cost) {
            accounts.credit(object.account, Resource::Frames, 1);
            return Err(Fault::Shortage);
        }
        object.charged += cost;
        match tree.set(page, frame) {
            Ok(()) => {
                object.resident += 1;
                Ok(())
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

    /// A new private object, paid for by `payer`, with these pages of another as they are now, as far
    /// as it has them.
    pub fn copy_object(
        &mut self,
        accounts: &mut Accounts,
        payer: AccountId,
        source: ObjectId,
        pages: Range<u64>,
    ) -> portolan_abi::Result<ObjectId> {
        let end = self.objects[source].page_count();
        let pages = pages.start.min(end)..pages.end.min(end);
        let copy = self.create_object(accounts, payer, pages.end - pages.start, Reach::Private)?;
        let copied = self.copy_pages(accounts, source, pages, copy, 0);
        copied.inspect_err(|_| self.release_object(accounts, copy))?;
        Ok(copy)
    }

    /// Gives these pages of `source` to `target`, the first as its page `at`; it must have
    /// none there. Private frames are then shared, and whoever maps them must be kept
    /// from writing; others are copied. On failure some pages may have been given.
    pub(super) fn copy_pages(
        &mut self,
        accounts: &mut Accounts,
        source: ObjectId,
        pages: Range<u64>,
        target: ObjectId,
        at: u64,
    ) -> Result<(), Fault> {
        self.objects[source].require_all(source, pages.clone())?;
        let mut next = pages.start;
        while let Some((page, frame)) = self.objects[source].next(next..pages.end) {
            let given = self.give(frame, self.objects[source].reach)?;
            self.put(accounts, target, at + (page - pages.start), given).inspect_err(|_| self.frames.free(given))?;
            next = page + 1;
        }
        Ok(())
    }

    /// The same frame once more where it may be shared, or another with the same bytes.
    fn give(&mut self, frame: Frame, reach: Reach) -> Result<Frame, Fault> {
        // A foreign frame is never written, whoever sees it.
        if reach == Reach::Private || self.frames.holders(frame).is_none() {
            self.frames.share(frame);
            return Ok(frame);
        }
        let copy = self.frames.allocate().ok_or(Fault::Shortage)?;
        self.memory.copy(frame.start(), copy.start(), PAGE_SIZE);
        self.counters.copies += 1;
        Ok(copy)
    }

    /// Gives a page of `target`, which must have none, zeros and these bytes of a page of `source`.
    pub(super) fn copy_part(
        &mut self,
        accounts: &mut Accounts,
        source: (ObjectId, u64),
        bytes: Range<usize>,
        target: (ObjectId, u64),
    ) -> Result<(), Fault> {
        let (id, page) = source;
        let object = &self.objects[id];
        object.require_all(id, page..page + 1)?;
        let Some(frame) = object.frame(page) else {
            return object.absence(id, page, Access::Read).map_or(Ok(()), Err);
        };
        let part = self.fill(accounts, target.0, target.1)?;
        self.memory.copy(frame.start().plus(bytes.start), part.start().plus(bytes.start), bytes.len());
        Ok(())
    }

    /// Gives the first page at or after `from` that is shared a frame of its own, and says
    /// which. What maps it still shows the old one.
    pub(super) fn unshare_next(&mut self, id: ObjectId, from: u64) -> Result<Option<u64>, Fault> {
        let mut next = from;
        while let Some((page, frame)) = self.objects[id].next(next..u64::MAX) {
            if self.frames.is_shared(frame) {
                self.unshare(id, page, frame)?;
                return Ok(Some(page));
            }
            next = page + 1;
        }
        Ok(None)
    }

    /// Gives the frames of these pages back.
    pub(super) fn free_pages(&mut self, accounts: &mut Accounts, id: ObjectId, pages: Range<u64>) {
        let object = &mut self.objects[id];
        let end = pages.end.min(object.page_count());
        let Backing::Zero(tree) = &mut object.backing else { return };
        let mut freed = 0;
        let mut next = pages.start;
        while let Some((page, _)) = tree.next(next..end) {
            if let Some(frame) = tree.take(page) {
                self.frames.free(frame);
                freed += 1;
            }
            next = page + 1;
        }
        object.resident -= freed;
        accounts.credit(object.account, Resource::Frames, freed);
    }

    /// Charges for all of an object to another account as well, which is to pay for it.
    pub(super) fn charge_again(
        &self,
        accounts: &mut Accounts,
        id: ObjectId,
        account: AccountId,
    ) -> portolan_abi::Result<()> {
        let object = &self.objects[id];
        if object.account == account {
            return Ok(());
        }
        accounts.charge(account, Resource::Frames, object.resident)?;
        let paid = accounts.charge(account, Resource::Memory, object.charged);
        paid.inspect_err(|_| accounts.credit(account, Resource::Frames, object.resident))?;
        Ok(())
    }

    /// Takes that back: the account is not to pay after all.
    pub(super) fn credit_again(&self, accounts: &mut Accounts, id: ObjectId, account: AccountId) {
        let object = &self.objects[id];
        if object.account != account {
            accounts.credit(account, Resource::Frames, object.resident);
            accounts.credit(account, Resource::Memory, object.charged);
        }
    }

    /// Lets the account that has been charged as well pay alone.
    pub(super) fn change_payer(&mut self, accounts: &mut Accounts, id: ObjectId, account: AccountId) {
        let object = &mut self.objects[id];
        let before = core::mem::replace(&mut object.account, account);
        if before != account {
            accounts.credit(before, Resource::Frames, object.resident);
            accounts.credit(before, Resource::Memory, object.charged);
        }
    }

    /// Ends the object if nothing stands for it, maps it or holds it any more. A large one is
    /// left to [`Vm::clear_dead`].
    pub fn release_object(&mut self, accounts: &mut Accounts, id: ObjectId) {
        let object = &self.objects[id];
        if object.ports > 0 || object.mappings > 0 || object.detached {
            return;
        }
        if !self.end_object(accounts, id) {
            self.dead.push_back(&mut self.objects, id);
        }
    }

    /// Frees a node, and the frames in it, of the first object that is dead. `None`: there is none.
    pub fn clear_dead(&mut self, accounts: &mut Accounts) -> Option<Units> {
        let id = self.dead.pop_front(&mut self.objects)?;
        if !self.end_object(accounts, id) {
            self.dead.push_front(&mut self.objects, id);
        }
        Some(HEAP)
    }

    /// Frees the frames of one node of an object that is nobody's, and if that was the last,
    /// the object. False: there are more.
    fn end_object(&mut self, accounts: &mut Accounts, id: ObjectId) -> bool {
        let object = &mut self.objects[id];
        let mut freed = 0;
        let more = match &mut object.backing {
            Backing::Zero(tree) => tree.prune(&mut |frame| {
                self.frames.free(frame);
                freed += 1;
            }),
            Backing::Fixed(_) => false,
        };
        object.resident -= freed;
        accounts.credit(object.account, Resource::Frames, freed);
        if more {
            return false;
        }
        accounts.credit(object.account, Resource::Memory, object.charged);
        self.objects.remove(id);
        true
    }
}
