//! Memory: `vm_allocate`, `vm_map` and their kin. Mach 2.5 and Mach 3 have the same names for most.
//!
//! Each takes the port of a task. Neighbours: `portolan::abi::vm`, `task`.

use super::Out;
use super::code::classic as number;
use super::item::sendable;
use core::ffi::c_int;
use portolan::abi::PAGE_SIZE;
use portolan::abi::message::Descriptor;
use portolan::abi::vm::{self, Inheritance, MapFlags, RegionInfo, Statistics};
use portolan::{Error, MsgRpc, Name, Protection, Result};

const PAGE: u64 = PAGE_SIZE as u64;
const ALL: u32 = Protection::all().bits();

/// The whole pages that a range touches: their address and size.
fn pages(address: u64, size: u64) -> Result<(u64, u64)> {
    let start = address - address % PAGE;
    let end = address.checked_add(size).and_then(|end| end.checked_next_multiple_of(PAGE));
    Ok((start, end.ok_or(Error::InvalidAddress)? - start))
}

/// Does something to the pages of a range; to none, it is done.
fn each_page<T>(address: u64, size: u64, act: impl FnOnce(u64, u64) -> Result<T>) -> c_int {
    if size == 0 {
        return 0;
    }
    number(pages(address, size).and_then(|(start, length)| act(start, length)), drop)
}

fn flags(anywhere: c_int, copy: c_int) -> u32 {
    let mut flags = MapFlags::empty();
    flags.set(MapFlags::ANYWHERE, anywhere != 0);
    flags.set(MapFlags::COPY, copy != 0);
    flags.bits()
}

#[unsafe(no_mangle)]
extern "C" fn vm_allocate(task: Name, address: &mut u64, size: u64, anywhere: c_int) -> c_int {
    if size == 0 {
        *address = 0;
        return 0;
    }
    let (start, inheritance) = (*address - *address % PAGE, Inheritance::Copy as u32);
    let (usual, nothing) = (Protection::READ_WRITE.bits(), Descriptor::port(Name::NULL, 0));
    let flags = flags(anywhere, 0);
    number(vm::vm_map(&MsgRpc, task, start, size, 0, usual, ALL, inheritance, flags, nothing), |reply| {
        *address = reply.results.address;
    })
}

#[unsafe(no_mangle)]
extern "C" fn vm_deallocate(task: Name, address: u64, size: u64) -> c_int {
    each_page(address, size, |start, length| vm::vm_deallocate(&MsgRpc, task, start, length))
}

#[unsafe(no_mangle)]
extern "C" fn vm_protect(task: Name, address: u64, size: u64, set_maximum: c_int, protection: u32) -> c_int {
    let set_maximum = u32::from(set_maximum != 0);
    each_page(address, size, |start, length| vm::vm_protect(&MsgRpc, task, start, length, protection, set_maximum))
}

#[unsafe(no_mangle)]
extern "C" fn vm_inherit(task: Name, address: u64, size: u64, inheritance: u32) -> c_int {
    each_page(address, size, |start, length| vm::vm_inherit(&MsgRpc, task, start, length, inheritance, 0))
}

#[unsafe(no_mangle)]
extern "C" fn vm_copy(task: Name, source: u64, size: u64, target: u64) -> c_int {
    if size == 0 {
        return 0;
    }
    number(vm::vm_copy(&MsgRpc, task, source, size, target), drop)
}

/// The copy is the caller's, to be deallocated.
#[unsafe(no_mangle)]
extern "C" fn vm_read(task: Name, address: u64, size: u64, data: Out<u64>, count: Out<u32>) -> c_int {
    number(vm::vm_read(&MsgRpc, task, address, size), |reply| {
        data.write(reply.memory.address);
        count.write(reply.memory.size as u32);
    })
}

#[unsafe(no_mangle)]
extern "C" fn vm_write(task: Name, address: u64, data: u64, count: u32) -> c_int {
    if count == 0 {
        return 0;
    }
    number(vm::vm_write(&MsgRpc, task, address, Descriptor::memory(data, count.into(), 0)), drop)
}

/// Mach 2.5's: the first region that ends after the address. The object is not shown.
#[unsafe(no_mangle)]
extern "C" fn vm_region(
    task: Name,
    address: &mut u64,
    size: Out<u64>,
    protection: Out<u32>,
    maximum: Out<u32>,
    inheritance: Out<u32>,
    shared: Out<c_int>,
    object: Out<Name>,
    offset: Out<u64>,
) -> c_int {
    number(vm::vm_region(&MsgRpc, task, *address), |reply| {
        let info: RegionInfo = reply.results.info;
        *address = info.address;
        size.write(info.size);
        protection.write(info.protection);
        maximum.write(info.maximum);
        inheritance.write(info.inheritance);
        shared.write(info.shared as c_int);
        object.write(Name::NULL);
        offset.write(info.offset);
    })
}

/// `vm_statistics_data_t`: of the machine, in pages. What Portolan does not do is 0.
#[derive(Default)]
#[repr(C)]
struct VmStatistics {
    page_size: u64,
    free: u64,
    active: u64,
    inactive: u64,
    wired: u64,
    zero_filled: u64,
    reactivations: u64,
    page_ins: u64,
    page_outs: u64,
    faults: u64,
    copied: u64,
    lookups: u64,
    hits: u64,
}

#[unsafe(no_mangle)]
extern "C" fn vm_statistics(task: Name, into: Out<VmStatistics>) -> c_int {
    number(vm::vm_statistics(&MsgRpc, task), |reply| {
        let Statistics { free_frames, zero_fills, copies, .. } = reply.results.statistics;
        let (page_size, free) = (PAGE, free_frames);
        into.write(VmStatistics {
            page_size,
            free,
            zero_filled: zero_fills,
            copied: copies,
            ..VmStatistics::default()
        });
    })
}

/// Mach 3's. A mask may ask for whole pages, and no more.
#[unsafe(no_mangle)]
extern "C" fn vm_map(
    task: Name,
    address: &mut u64,
    size: u64,
    mask: u64,
    anywhere: c_int,
    object: Name,
    offset: u64,
    copy: c_int,
    protection: u32,
    maximum: u32,
    inheritance: u32,
) -> c_int {
    if mask >= PAGE {
        return Error::InvalidArgument.code();
    }
    let (start, flags) = (*address - *address % PAGE, flags(anywhere, copy));
    let mapped =
        vm::vm_map(&MsgRpc, task, start, size, offset, protection, maximum, inheritance, flags, sendable(object));
    number(mapped, |reply| {
        *address = reply.results.address;
    })
}

/// Portolan's own: a memory object, to be mapped by `vm_map` and sent in messages.
#[unsafe(no_mangle)]
extern "C" fn memory_object_create(task: Name, size: u64, object: Out<Name>) -> c_int {
    number(vm::memory_object_create(&MsgRpc, task, size), |reply| {
        object.write(reply.rights[0]);
    })
}

/// A variable in Mach, too.
#[unsafe(no_mangle)]
static vm_page_size: u64 = PAGE;
