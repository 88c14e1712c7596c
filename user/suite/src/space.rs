//! The routines for memory: objects, and mappings of them in this task and in others.
//!
//! Neighbours: `vm`, whose cases are about them; `bare` and `peer`, whose memory they make.

use crate::asm;
use portolan::abi::memory_object::{self, ObjectInfo};
use portolan::abi::message::Descriptor;
use portolan::abi::vm::{self, Inheritance, MapFlags};
use portolan::abi::{Disposition, Name, PAGE_SIZE, Protection, Result};
use portolan::interface::MsgRpc;
use portolan::trap;

/// Bytes of a page.
pub(crate) const PAGE: u64 = PAGE_SIZE as u64;

/// Where a mapping goes, and what of its object it shows.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) offset: u64,
    pub(crate) protection: u32,
    pub(crate) maximum: u32,
    pub(crate) inheritance: u32,
    pub(crate) flags: u32,
}

impl Place {
    /// `size` bytes anywhere, from the object's start.
    pub(crate) fn anywhere(size: u64, protection: Protection) -> Place {
        let flags = MapFlags::ANYWHERE.bits();
        let (maximum, inheritance) = (Protection::all().bits(), Inheritance::Copy as u32);
        Place { address: 0, size, offset: 0, protection: protection.bits(), maximum, inheritance, flags }
    }

    /// `size` bytes at this address.
    pub(crate) fn at(address: u64, size: u64, protection: Protection) -> Place {
        Place { address, flags: 0, ..Place::anywhere(size, protection) }
    }
}

/// A new memory object.
pub(crate) fn object(size: u64) -> Result<Name> {
    Ok(vm::memory_object_create(&MsgRpc, trap::task_self(), size)?.rights[0])
}

pub(crate) fn object_info(object: Name) -> Result<ObjectInfo> {
    Ok(memory_object::info(&MsgRpc, object)?.results.info)
}

/// A right to the same object that allows less.
pub(crate) fn derive(object: Name, protection: Protection) -> Result<Name> {
    Ok(memory_object::derive(&MsgRpc, object, protection.bits(), 0)?.rights[0])
}

/// `vm_map` with every argument; null is fresh memory.
pub(crate) fn map_place(task: Name, object: Name, place: Place) -> Result<u64> {
    let disposition = if object == Name::NULL { 0 } else { Disposition::CopySend as u8 };
    let right = Descriptor::port(object, disposition);
    let Place { address, size, offset, protection, maximum, inheritance, flags } = place;
    let mapped = vm::vm_map(&MsgRpc, task, address, size, offset, protection, maximum, inheritance, flags, right)?;
    Ok(mapped.results.address)
}

/// Maps a whole object into this task.
pub(crate) fn map(object: Name, protection: Protection) -> Result<u64> {
    map_place(trap::task_self(), object, Place::anywhere(object_info(object)?.size, protection))
}

/// Maps a whole object into a task at an address.
pub(crate) fn map_into(task: Name, object: Name, address: u64, protection: Protection) -> Result<u64> {
    map_place(task, object, Place::at(address, object_info(object)?.size, protection))
}

/// Fresh memory in this task.
pub(crate) fn fresh(size: u64) -> Result<u64> {
    map_place(trap::task_self(), Name::NULL, Place::anywhere(size, Protection::READ_WRITE))
}

pub(crate) fn unmap(address: u64, size: u64) -> Result<()> {
    vm::vm_deallocate(&MsgRpc, trap::task_self(), address, size).map(drop)
}

pub(crate) fn protect(address: u64, size: u64, protection: Protection) -> Result<()> {
    vm::vm_protect(&MsgRpc, trap::task_self(), address, size, protection.bits(), 0).map(drop)
}

/// Puts code into a task at an address, executable.
pub(crate) fn install(task: Name, address: u64, code: &[u8]) -> Result<()> {
    let object = code_object(code)?;
    map_into(task, object, address, Protection::READ_EXECUTE)?;
    trap::port_deallocate(object)
}

/// A memory object with this code in it.
pub(crate) fn code_object(code: &[u8]) -> Result<Name> {
    let text = object((code.len() as u64).next_multiple_of(PAGE))?;
    let window = map(text, Protection::READ_WRITE)?;
    write(window, code);
    unmap(window, code.len() as u64)?;
    Ok(text)
}

/// Writes bytes into a mapping.
pub(crate) fn write(address: u64, bytes: &[u8]) {
    for (at, chunk) in (address..).step_by(8).zip(bytes.chunks(8)) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        asm::store(at, u64::from_le_bytes(word));
    }
}

/// Writes a different value into each page, or looks whether it is there.
pub(crate) fn mark(address: u64, pages: u64, mark: u64) {
    for page in 0..pages {
        asm::store(address + page * PAGE, mark + page);
    }
}

/// Whether [`mark`] has been here.
pub(crate) fn is_marked(address: u64, pages: u64, mark: u64) -> bool {
    (0..pages).all(|page| asm::load(address + page * PAGE) == mark + page)
}

/// Whether every byte of the pages is zero.
pub(crate) fn is_zero(address: u64, size: u64) -> bool {
    (address..address + size).step_by(8).all(|at| asm::load(at) == 0)
}
