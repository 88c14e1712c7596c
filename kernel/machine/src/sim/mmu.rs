//! How the simulated processor translates addresses: by walking the page tables in
//! memory, and by remembering what it found.
//!
//! It reads the tables' format on its own, so it finds out when `pmap` writes
//! something that a processor would understand otherwise. What it remembers it keeps
//! until told: a mapping that is changed without a flush stays usable here, as on the
//! real machine. Loading another root forgets everything.

use super::memory::Memory;
use crate::{Access, Frame, PhysAddr, VirtAddr};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// First address that is not the user's half, and first one of the kernel's.
const HALVES: (u64, u64) = (1 << 47, u64::MAX << 47);
/// Translations remembered at once.
const REMEMBERED: usize = 64;

/// What the processor knows of address spaces.
#[derive(Default)]
pub(super) struct Mmu {
    root: Option<Frame>,
    /// A page and its leaf entry, at the place that the page number's hash gives: addresses that
    /// programs choose for their roundness should not drive out each other.
    remembered: Remembered,
}

struct Remembered([Option<(VirtAddr, u64)>; REMEMBERED]);

impl Default for Remembered {
    fn default() -> Remembered {
        Remembered([None; REMEMBERED])
    }
}

impl Remembered {
    fn place(&mut self, page: VirtAddr) -> &mut Option<(VirtAddr, u64)> {
        let hash = (page.0 >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &mut self.0[(hash >> 32) as usize % REMEMBERED]
    }

    fn leaf(&mut self, page: VirtAddr) -> Option<u64> {
        self.place(page).filter(|(known, _)| *known == page).map(|(_, leaf)| leaf)
    }
}

impl Mmu {
    /// Makes the address space of this root the current one.
    pub(super) fn load(&mut self, root: Frame) {
        if self.root != Some(root) {
            *self = Mmu { root: Some(root), remembered: Remembered::default() };
        }
    }

    /// Where the user's byte at `address` lies, if this access to it is allowed.
    pub(super) fn translate(&mut self, memory: &Memory, address: VirtAddr, access: Access) -> Option<PhysAddr> {
        let page = address.page();
        let leaf = match self.remembered.leaf(page).filter(|leaf| allows(*leaf, access)) {
            Some(leaf) => leaf,
            None => self.walk(memory, page).filter(|leaf| allows(*leaf, access))?,
        };
        *self.remembered.place(page) = Some((page, leaf));
        Some(PhysAddr((leaf & ADDRESS) + address.offset() as u64))
    }

    /// The leaf entry for a page, with the permissions of the entries above it.
    fn walk(&self, memory: &Memory, page: VirtAddr) -> Option<u64> {
        if page.0 >= HALVES.0 {
            return None;
        }
        let mut entry = self.root?.start().0;
        let (mut all, mut any) = (WRITABLE | USER, 0);
        for shift in [39, 30, 21, 12] {
            let index = page.0 >> shift & 0x1ff;
            entry = memory.read_u64(PhysAddr((entry & ADDRESS) + index * 8));
            if entry & PRESENT == 0 {
                return None;
            }
            all &= entry;
            any |= entry & NO_EXECUTE;
        }
        Some(entry & !(WRITABLE | USER) | all & (WRITABLE | USER) | any)
    }
}

/// Whether an address is in one of the two halves, and not in the hole between.
pub(super) fn is_canonical(address: VirtAddr) -> bool {
    address.0 < HALVES.0 || address.0 >= HALVES.1
}

/// Whether an entry lets user code do this.
fn allows(leaf: u64, access: Access) -> bool {
    let wanted = match access {
        Access::Read | Access::Execute => USER,
        Access::Write => USER | WRITABLE,
    };
    leaf & wanted == wanted && (access != Access::Execute || leaf & NO_EXECUTE == 0)
}

/// Forgets what is known of a page of this address space.
pub(crate) fn flush(memory: &mut Memory, root: Frame, page: VirtAddr) {
    let mut mmu = memory.mmu();
    if mmu.root == Some(root) {
        *mmu.remembered.place(page) = None;
    }
}

/// Forgets what is known of all pages of this address space.
pub(crate) fn flush_all(memory: &mut Memory, root: Frame) {
    let mut mmu = memory.mmu();
    if mmu.root == Some(root) {
        mmu.remembered = Remembered::default();
    }
}

/// Forgets an address space that is about to go.
pub(crate) fn unload(memory: &mut Memory, root: Frame) {
    let mut mmu = memory.mmu();
    if mmu.root == Some(root) {
        *mmu = Mmu::default();
    }
}

/// Puts the kernel's half into a new top table. Here it is empty: the simulated
/// kernel does not run in the simulated memory.
pub(crate) fn share_kernel_half(_memory: &mut Memory, _root: Frame) {}
