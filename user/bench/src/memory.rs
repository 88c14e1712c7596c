//! Memory: pages that come when they are touched, and pages that are shared.
//!
//! Mapping and unmapping are messages to the task's kernel port, so two round
//! trips with the kernel are counted, and the library's stub of each.
//! Neighbour: the library's `Mapping`.

use crate::Outcome;
use crate::gauge::Gauge;
use core::sync::atomic::Ordering;
use portolan::abi::PAGE_SIZE;
use portolan::{Mapping, MemoryObject, Protection};

/// Pages that a round touches: one table of the lowest level maps them all.
const PAGES: usize = 256;
const WORDS_A_PAGE: usize = PAGE_SIZE / size_of::<u64>();

/// The first touch of a page: the fault, and the page filled with zeros.
pub(crate) fn fault_new_page(gauge: Gauge) -> Outcome<u64> {
    gauge.rounds(PAGES as u64, |region| {
        let fresh = Mapping::new(None, (PAGES * PAGE_SIZE) as u64, Protection::READ_WRITE)?;
        let ((), count) = region.count(|| touch_pages(&fresh));
        Ok(count)
    })
}

fn touch_pages(mapping: &Mapping) {
    for word in mapping.words().iter().step_by(WORDS_A_PAGE) {
        word.store(1, Ordering::Relaxed);
    }
}

/// A page that has its frame already, and another mapping.
pub(crate) fn map_touch_unmap(gauge: Gauge) -> Outcome<u64> {
    let object = MemoryObject::create(PAGE_SIZE as u64)?;
    let other = object.map(Protection::READ_WRITE)?;
    touch_pages(&other);
    gauge.repeat(|| {
        let mapping = Mapping::new(Some(&object), PAGE_SIZE as u64, Protection::READ_WRITE)?;
        touch_pages(&mapping);
        Ok(())
    })
}
