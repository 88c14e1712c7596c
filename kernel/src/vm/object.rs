//! Memory objects: what shared memory, and all other user memory, is made of.
//!
//! An object lives while a port stands for it or a region maps it. Its pages are
//! zero until written, or what its pager supplies, and take a frame, charged to its maker's account, when
//! first touched.
//!
//! Copying a private object shares its frames, by way of the nodes that have them; whoever
//! writes first gets a frame of its own. Each object is charged for every page and node it
//! has, shared or not, so that this later write asks nothing more of its account.
//!
//! Invariant: a page of a private object is mapped at one place at most, so that to
//! change its frame is to change one entry of one pmap; the frames of a shared
//! object are its own. An object of whose last mapping's end somebody is to be told lives until that is done.
//! Neighbours: `map`, `fault`, `map_copy`.

use super::copy::Window;
use super::fault::Absent;
use super::page_tree::{self, NodeId, PageTree, Size};
use super::{Fault, Vm};
use crate::arena::Id;
use crate::ipc::message::Queue;
use crate::ipc::pager::PagerId;
use crate::list::{Link, Linked};
use crate::piece::{HEAP, Units};
use crate::task::account::{AccountId, Accounts, Resource, Spent};
use core::ops::Range;
use portolan_abi::memory_object::Seals;
use portolan_abi::{Error, PAGE_SIZE, Protection};
use portolan_machine::{Access, Frame, FrameRange, pace};

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
    /// What its account has paid for, apart from the object itself: all that its tree has.
    pub(super) paid: Size,
    /// Requests to be told when nobody maps it.
    pub watchers: Queue,
    grave: Link<MemoryObject>,
}

/// The link for the lines of objects whose frames are to be freed, or of whose last mapping's end is to be told.
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
    /// In a device.
    Device(FrameRange),
}

/// Instructions that a page takes to be looked up, or to be given or copied, and a part of a tree to be shared.
const PER_LOOK: u32 = 60;
const PER_PAGE: u32 = 800;
const PER_PART: u32 = 1000;

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
            Backing::Zero(_) => self.paid.pages,
            Backing::Fixed(_) => self.page_count(),
            Backing::Device(_) => 0,
        }
    }

    /// What of pages and their nodes its account has paid for.
    pub fn paid(&self) -> Size {
        self.paid
    }

    /// Bytes of kernel memory that its account has paid for.
    pub fn charged(&self) -> u64 {
        OBJECT_COST + self.paid.memory()
    }

    /// The node that all others of its tree are below.
    pub fn root(&self) -> Option<NodeId> {
        self.tree().and_then(PageTree::root)
    }

    fn tree(&self) -> Option<&PageTree> {
        match &self.backing {
            Backing::Zero(tree) => Some(tree),
            Backing::Fixed(_) | Backing::Device(_) => None,
        }
    }

    /// The range, if it is device memory.
    pub fn device(&self) -> Option<FrameRange> {
        match self.backing {
            Backing::Device(range) => Some(range),
            Backing::Zero(_) | Backing::Fixed(_) => None,
        }
    }

    /// Who pays for it.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Why a page without a frame cannot be had; `None` if it is zeros.
    pub(super) fn absence(&self, id: ObjectId, page: u64, access: Access) -> Option<Fault> {
        match self.supply {
            Supply::Zeros => None,
            Supply::Pager(_) => Some(Fault::Absent(Absent { object: id, page, access })),
            Supply::Nobody => Some(Fault::Refused(Error::MemoryFailure)),
        }
    }
}

/// A page's frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// Which.
    pub frame: Frame,
    /// Whether nobody else has it, so that it may be written.
    pub alone: bool,
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

    pub(super) fn insert_object(
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
            paid: Size::default(),
            watchers: Queue::default(),
            grave: Link::default(),
        };
        Ok(self.objects.insert(object)?)
    }

    /// The frame of a page, if it has one.
    pub fn frame(&self, id: ObjectId, page: u64) -> Option<Frame> {
        self.page(id, page).map(|page| page.frame)
    }

    /// A page, if it has a frame.
    pub fn page(&self, id: ObjectId, page: u64) -> Option<Page> {
        // The tree knows no end: a page behind it would be taken for another.
        let object = self.objects.get(id).filter(|object| page < object.page_count())?;
        match &object.backing {
            Backing::Zero(tree) => {
                let found = tree.find(&self.nodes, page)?;
                Some(Page { frame: found.frame, alone: !found.in_common && !self.frames.is_shared(found.frame) })
            }
            Backing::Fixed(range) | Backing::Device(range) => {
                Some(Page { frame: Frame(range.start.0 + page as u32), alone: object.device().is_some() })
            }
        }
    }

    /// The first of these pages that has a frame.
    pub(super) fn next_page(&self, id: ObjectId, pages: Range<u64>) -> Option<(u64, Frame)> {
        let object = &self.objects[id];
        match &object.backing {
            Backing::Zero(tree) => tree.next(&self.nodes, pages.start..pages.end.min(object.page_count())),
            Backing::Fixed(_) | Backing::Device(_) => {
                self.frame(id, pages.start).filter(|_| !pages.is_empty()).map(|frame| (pages.start, frame))
            }
        }
    }

    /// The first of these pages that its pager has yet to supply.
    pub fn absent(&self, id: ObjectId, pages: Range<u64>) -> Option<Absent> {
        let end = pages.end.min(self.objects[id].page_count());
        match self.require_all(id, pages.start.min(end)..end) {
            Err(Fault::Absent(absent)) => Some(absent),
            _ => None,
        }
    }

    /// Sees that these pages can be copied, and that a copy would have all of them.
    fn require_all(&self, id: ObjectId, mut pages: Range<u64>) -> Result<(), Fault> {
        let object = &self.objects[id];
        if pages.end > object.page_count() {
            return Err(Fault::BeyondEnd);
        }
        if object.device().is_some() {
            return Err(Fault::Protection);
        }
        if object.supply == Supply::Zeros {
            return Ok(());
        }
        let missing = pages.find(|page| {
            pace(PER_LOOK);
            self.frame(id, *page).is_none()
        });
        match missing.and_then(|page| object.absence(id, page, Access::Read)) {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// A page, filled with zeros if it is new, and with a frame of its own if it is to be written.
    pub(super) fn object_page(
        &mut self,
        accounts: &mut Accounts,
        id: ObjectId,
        page: u64,
        access: Access,
    ) -> Result<Page, Fault> {
        if page >= self.objects[id].page_count() {
            return Err(Fault::BeyondEnd);
        }
        let found = match self.page(id, page) {
            Some(found) => found,
            None => match self.objects[id].absence(id, page, access) {
                None => Page { frame: self.fill(accounts, id, page)?, alone: true },
                Some(fault) => return Err(fault),
            },
        };
        if access == Access::Write && !found.alone {
            return Ok(Page { frame: self.unshare(id, page)?, alone: true });
        }
        Ok(found)
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
        bytes.copy_to_frame(&mut self.memory, 0, frame.whole());
        self.counters.copies += 1;
        Ok(())
    }

    /// Gives a page that has a frame nodes and a frame of its own, with the same bytes, in the
    /// place of those that it shares. They are paid for.
    fn unshare(&mut self, id: ObjectId, page: u64) -> Result<Frame, Fault> {
        let Vm { memory, frames, objects, nodes, counters, .. } = self;
        let Backing::Zero(tree) = &mut objects[id].backing else { return Err(Fault::Protection) };
        tree.make_own(nodes, frames, page, page_tree::LEAF).map_err(|_| Fault::Shortage)?;
        let shared = tree.find(nodes, page).ok_or(Fault::Unmapped)?.frame;
        if !frames.is_shared(shared) {
            return Ok(shared);
        }
        let own = frames.allocate().ok_or(Fault::Shortage)?;
        counters.copies += 1;
        pace(PER_PAGE);
        memory.copy(shared.whole(), own.whole());
        if let Some(replaced) = tree.replace(nodes, page, own) {
            frames.free(replaced);
        }
        Ok(own)
    }

    /// Gives a page that has none a frame, and charges for it.
    pub(super) fn put(&mut self, accounts: &mut Accounts, id: ObjectId, page: u64, frame: Frame) -> Result<(), Fault> {
        let object = &mut self.objects[id];
        let Backing::Zero(tree) = &mut object.backing else { return Err(Fault::Unmapped) };
        let growth = tree.missing(&self.nodes, page, page_tree::LEAF) + Size::PAGE;
        pay(accounts, object.account, growth)?;
        object.paid = object.paid + growth;
        let set = tree.set(&mut self.nodes, &mut self.frames, page, frame);
        set.map_err(|_| {
            // Nodes that were made stay, and stay paid for, until the object goes.
            self.settle(accounts, id);
            Fault::Shortage
        })
    }

    /// Gives back to an object's account what its tree has no longer, or has not got after all.
    pub(super) fn settle(&mut self, accounts: &mut Accounts, id: ObjectId) {
        let object = &mut self.objects[id];
        let size = object.tree().map_or(Size::default(), |tree| tree.size(&self.nodes));
        credit(accounts, object.account, object.paid - size);
        object.paid = size;
    }

    /// A new private object, paid for by `payer`, with these pages of another as they are now, as far
    /// as it has them; and its page that is the first of them.
    pub fn copy_object(
        &mut self,
        accounts: &mut Accounts,
        payer: AccountId,
        source: ObjectId,
        pages: Range<u64>,
    ) -> portolan_abi::Result<(ObjectId, u64)> {
        let end = self.objects[source].page_count();
        let pages = pages.start.min(end)..pages.end.min(end);
        let count = pages.end - pages.start;
        let start = page_tree::best_start(pages.start, count);
        let copy = self.create_object(accounts, payer, start + count, Reach::Private)?;
        let copied = self.copy_pages(accounts, source, pages, copy, start);
        copied.inspect_err(|_| self.undo_copy(accounts, copy))?;
        Ok((copy, start))
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
        self.require_all(source, pages.clone())?;
        if self.objects[source].reach == Reach::Private {
            return self.share_pages(accounts, source, pages, target, at);
        }
        let mut next = pages.start;
        while let Some((page, frame)) = self.next_page(source, next..pages.end) {
            pace(PER_PAGE);
            let given = self.give(frame)?;
            self.put(accounts, target, at + (page - pages.start), given).inspect_err(|_| self.frames.free(given))?;
            next = page + 1;
        }
        Ok(())
    }

    /// The same, by nodes as far as they are in both trees alike.
    fn share_pages(
        &mut self,
        accounts: &mut Accounts,
        source: ObjectId,
        pages: Range<u64>,
        target: ObjectId,
        at: u64,
    ) -> Result<(), Fault> {
        let Some(from) = self.objects[source].tree().copied() else { return Err(Fault::Unmapped) };
        let there = |page: u64| at + (page - pages.start);
        let mut left = pages.clone();
        while let Some(part) = from.next_part(&self.nodes, left.clone(), there(left.start)) {
            pace(PER_PART);
            left.start = part.pages.end;
            let to = there(part.pages.start);
            let object = &mut self.objects[target];
            let Backing::Zero(tree) = &mut object.backing else { return Err(Fault::Unmapped) };
            let growth = tree.growth(&self.nodes, &part, to);
            pay(accounts, object.account, growth)?;
            object.paid = object.paid + growth;
            let grafted = tree.graft(&mut self.nodes, &mut self.frames, &part, to);
            grafted.map_err(|_| {
                self.settle(accounts, target);
                Fault::Shortage
            })?;
        }
        Ok(())
    }

    /// The same frame once more if it is foreign, as nobody ever writes to that; else another
    /// with the same bytes.
    fn give(&mut self, frame: Frame) -> Result<Frame, Fault> {
        if self.frames.holders(frame).is_none() {
            return Ok(frame);
        }
        let copy = self.frames.allocate().ok_or(Fault::Shortage)?;
        self.memory.copy(frame.whole(), copy.whole());
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
        self.require_all(id, page..page + 1)?;
        let Some(frame) = self.frame(id, page) else { return Ok(()) };
        let part = self.fill(accounts, target.0, target.1)?;
        pace(PER_PAGE);
        self.memory.copy(frame.span(bytes.start, bytes.len()), part.span(bytes.start, bytes.len()));
        Ok(())
    }

    /// Gives the first page at or after `from` that is shared a frame of its own, and says
    /// which. What maps it still shows the old one.
    pub(super) fn unshare_next(&mut self, id: ObjectId, from: u64) -> Result<Option<u64>, Fault> {
        let mut next = from;
        while let Some((page, _)) = self.next_page(id, next..u64::MAX) {
            pace(PER_LOOK);
            if self.page(id, page).is_some_and(|page| !page.alone) {
                self.unshare(id, page)?;
                return Ok(Some(page));
            }
            next = page + 1;
        }
        Ok(None)
    }

    /// Gives the frames of these pages back. Where they are shared together with others that
    /// stay, and memory for nodes is short, they stay too until the object goes.
    pub(super) fn free_pages(&mut self, accounts: &mut Accounts, id: ObjectId, pages: Range<u64>) {
        let object = &mut self.objects[id];
        let pages = pages.start..pages.end.min(object.page_count());
        let Backing::Zero(tree) = &mut object.backing else { return };
        tree.remove(&mut self.nodes, &mut self.frames, pages);
        self.settle(accounts, id);
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
        accounts.charge(account, Resource::Memory, OBJECT_COST)?;
        let paid = pay(accounts, account, object.paid);
        paid.inspect_err(|_| accounts.credit(account, Resource::Memory, OBJECT_COST))?;
        Ok(())
    }

    /// Takes that back: the account is not to pay after all.
    pub(super) fn credit_again(&self, accounts: &mut Accounts, id: ObjectId, account: AccountId) {
        let object = &self.objects[id];
        if object.account != account {
            credit(accounts, account, object.paid);
            accounts.credit(account, Resource::Memory, OBJECT_COST);
        }
    }

    /// Lets the account that has been charged as well pay alone.
    pub(super) fn change_payer(&mut self, accounts: &mut Accounts, id: ObjectId, account: AccountId) {
        let object = &mut self.objects[id];
        let before = core::mem::replace(&mut object.account, account);
        if before != account {
            credit(accounts, before, object.paid);
            accounts.credit(before, Resource::Memory, OBJECT_COST);
        }
    }

    /// One mapping less; how many are left.
    pub(super) fn drop_mapping(&mut self, id: ObjectId) -> u32 {
        let object = &mut self.objects[id];
        object.mappings -= 1;
        let left = object.mappings;
        self.note_unmapped(id);
        left
    }

    /// If nobody maps an object, and somebody wants to know, it is to be told.
    pub fn note_unmapped(&mut self, id: ObjectId) {
        let object = &self.objects[id];
        if object.mappings == 0 && !object.watchers.is_empty() {
            self.unmapped.push_back(&mut self.objects, id);
        }
    }

    /// Everybody has been told that nobody maps an object that is in line for it.
    pub fn all_told(&mut self, accounts: &mut Accounts, id: ObjectId) {
        self.unmapped.remove(&mut self.objects, id);
        self.release_object(accounts, id);
    }

    /// Ends the object if nothing stands for it, maps it or holds it any more. A large one is
    /// left to [`Vm::clear_dead`].
    pub fn release_object(&mut self, accounts: &mut Accounts, id: ObjectId) {
        let object = &self.objects[id];
        if object.ports > 0 || object.mappings > 0 || object.detached || !object.watchers.is_empty() {
            return;
        }
        if !self.end_object(accounts, id) {
            self.dead.push_back(&mut self.objects, id);
        }
    }

    /// Ends a copy that has failed half-way, at once: nobody has been kept from writing to what
    /// it shares. It takes no longer than making it did.
    pub(super) fn undo_copy(&mut self, accounts: &mut Accounts, id: ObjectId) {
        while !self.end_object(accounts, id) {}
    }

    /// Lets go of a node, and of what is in it, of the first object that is dead. `None`: there is none.
    pub fn clear_dead(&mut self, accounts: &mut Accounts) -> Option<Units> {
        let id = self.dead.pop_front(&mut self.objects)?;
        if !self.end_object(accounts, id) {
            self.dead.push_front(&mut self.objects, id);
        }
        Some(HEAP)
    }

    /// Lets go of one node of an object that is nobody's, and if that was the last, of the
    /// object. False: there are more.
    fn end_object(&mut self, accounts: &mut Accounts, id: ObjectId) -> bool {
        pace(PER_PART);
        let Vm { objects, nodes, frames, .. } = self;
        let more = match &mut objects[id].backing {
            Backing::Zero(tree) => tree.prune(nodes, frames),
            Backing::Fixed(_) | Backing::Device(_) => false,
        };
        self.settle(accounts, id);
        if more {
            return false;
        }
        accounts.credit(self.objects[id].account, Resource::Memory, OBJECT_COST);
        self.objects.remove(id);
        true
    }
}

/// Charges for so many pages and nodes.
pub(super) fn pay(accounts: &mut Accounts, account: AccountId, size: Size) -> Result<(), Spent> {
    accounts.charge(account, Resource::Frames, size.pages)?;
    let paid = accounts.charge(account, Resource::Memory, size.memory());
    paid.inspect_err(|_| accounts.credit(account, Resource::Frames, size.pages))
}

/// Takes that back.
fn credit(accounts: &mut Accounts, account: AccountId, size: Size) {
    accounts.credit(account, Resource::Frames, size.pages);
    accounts.credit(account, Resource::Memory, size.memory());
}
