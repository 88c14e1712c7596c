//! Sections and views: what stands behind the handles and addresses that a C program has of them.
//!
//! A view gets a region of its section that no other view of this task's has: the first that is large enough.
//! Invariant: a section and a view are of one port, and end with it at the latest. Neighbour: `portolan_alpc::section`.

use super::{Handle, NtStatus, Out, STEP, number, place, port};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use portolan::abi::PAGE_SIZE;
use portolan::{Mutex, Protection};
use portolan_alpc::{Section, Status, View};

/// A section of a port.
struct OfPort {
    port: Handle,
    section: Section,
}

/// A view, and of which section, if it is one of this task's own.
struct Shown {
    port: Handle,
    section: Option<Handle>,
    view: Arc<View>,
}

static SECTIONS: Mutex<Vec<Option<OfPort>>> = Mutex::new(Vec::new());
/// By their addresses.
static VIEWS: Mutex<BTreeMap<usize, Shown>> = Mutex::new(BTreeMap::new());

/// `ALPC_DATA_VIEW_ATTR`.
#[repr(C)]
pub(super) struct ViewAttribute {
    pub(super) flags: u32,
    pub(super) section: Handle,
    pub(super) base: usize,
    pub(super) size: usize,
}

/// `ALPC_VIEWFLG_SECURED_ACCESS`: whoever receives looks at a copy, which the sender does not change.
pub(super) const SECURED_ACCESS: u32 = 0x4_0000;

/// The view at this address.
pub(super) fn view_at(base: usize) -> Result<Arc<View>, Status> {
    VIEWS.lock().get(&base).map(|shown| Arc::clone(&shown.view)).ok_or(Status::InvalidParameter)
}

/// Keeps a view that has come to a port; its address.
pub(super) fn keep(port: Handle, view: View) -> usize {
    put(Shown { port, section: None, view: Arc::new(view) })
}

fn put(shown: Shown) -> usize {
    let base = shown.view.memory().address() as usize;
    VIEWS.lock().insert(base, shown);
    base
}

/// A port is closed.
pub(super) fn close(port: Handle) {
    VIEWS.lock().retain(|_, shown| shown.port != port);
    SECTIONS.lock().iter_mut().for_each(|place| {
        place.take_if(|of| of.port == port);
    });
}

/// Makes a section of this many bytes, or a few more.
#[unsafe(no_mangle)]
extern "C" fn NtAlpcCreatePortSection(
    handle: Handle,
    _flags: u32,
    section: Handle,
    size: usize,
    made: Out<Handle>,
    actual: Out<usize>,
) -> NtStatus {
    let mut create = || {
        if section != 0 {
            // There are no sections but those of ports.
            return Err(Status::InvalidParameter);
        }
        let section = port(handle)?.create_section(size as u64)?;
        actual.write(section.size() as usize);
        let mut sections = SECTIONS.lock();
        let place = sections.iter().position(Option::is_none).unwrap_or(sections.len());
        if place == sections.len() {
            sections.push(None);
        }
        sections[place] = Some(OfPort { port: handle, section });
        made.write((place + 1) * STEP);
        Ok(())
    };
    number(create())
}

/// Gives a section up. Its views stay.
#[unsafe(no_mangle)]
extern "C" fn NtAlpcDeletePortSection(handle: Handle, _flags: u32, section: Handle) -> NtStatus {
    let delete = || {
        let place = place(section)?;
        let mut sections = SECTIONS.lock();
        let found = sections.get_mut(place).and_then(|place| place.take_if(|of| of.port == handle));
        found.map(drop).ok_or(Status::InvalidHandle)
    };
    number(delete())
}

/// Maps a view of so many bytes of a section.
#[unsafe(no_mangle)]
extern "C" fn NtAlpcCreateSectionView(handle: Handle, _flags: u32, attribute: &mut ViewAttribute) -> NtStatus {
    let mut create = || {
        let sections = SECTIONS.lock();
        let of = sections.get(place(attribute.section)?).and_then(Option::as_ref);
        let of = of.filter(|of| of.port == handle).ok_or(Status::InvalidHandle)?;
        let size = attribute.size as u64;
        let view = of.section.view(free_region(attribute.section, size), size, Protection::READ_WRITE)?;
        attribute.base = put(Shown { port: handle, section: Some(attribute.section), view: Arc::new(view) });
        Ok(())
    };
    number(create())
}

/// Where in a section so many bytes are that no view shows; at its end there may not be as many.
fn free_region(section: Handle, size: u64) -> u64 {
    let views = VIEWS.lock();
    let shown = views.values().filter(|shown| shown.section == Some(section));
    let mut taken: Vec<_> = shown.map(|shown| (shown.view.offset(), shown.view.size())).collect();
    taken.sort_unstable();
    let mut free = 0;
    for (offset, taken) in taken {
        if offset - free >= size {
            break;
        }
        free = (offset + taken).next_multiple_of(PAGE_SIZE as u64);
    }
    free
}

/// Unmaps a view, made here or received.
#[unsafe(no_mangle)]
extern "C" fn NtAlpcDeleteSectionView(handle: Handle, _flags: u32, base: usize) -> NtStatus {
    let mut views = VIEWS.lock();
    match views.get(&base).is_some_and(|shown| shown.port == handle) {
        true => drop(views.remove(&base)),
        false => return Status::InvalidParameter.code(),
    }
    0
}
