//! `mach.h`: Mach's calls by their C names, of Mach 2.5 and of Mach 3, over `portolan::classic`.
//!
//! ```text
//! classic_message   msg_send, msg_receive, msg_rpc
//! mach_message      mach_msg
//! transfer, item    messages and the items in them, as the kernel's, and back
//! classic_port      ports, rights and sets, by the names of Mach 2.5
//! mach_port         the same, by those of Mach 3
//! name_list         what both generations list: names, members of sets
//! memory, task      memory; tasks and threads
//! code              the numbers of results
//! ```
//!
//! Structures and numbers are the manuals', and lie in `include/mach`.

mod classic_message;
mod classic_port;
mod code;
mod item;
mod mach_message;
mod mach_port;
mod memory;
mod name_list;
mod task;
mod transfer;

use core::mem::MaybeUninit;
use portolan::{Memory, Result};
use zerocopy::{Immutable, IntoBytes};

/// Where a C function leaves a result.
type Out<'a, T> = &'a mut MaybeUninit<T>;

/// An array in pages of its own, which its receiver deallocates: its address.
fn array<T: IntoBytes + Immutable>(elements: &[T]) -> Result<u64> {
    let bytes = elements.as_bytes();
    let mut memory = Memory::zeroed(bytes.len())?;
    memory.copy_from_slice(bytes);
    Ok(leave(memory))
}

/// Leaves memory to the program; its address, 0 if there is none of it.
fn leave(memory: Memory) -> u64 {
    let address = if memory.is_empty() { 0 } else { memory.as_ptr().expose_provenance() as u64 };
    core::mem::forget(memory);
    address
}
