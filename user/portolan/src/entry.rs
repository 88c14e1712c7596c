//! Where a program begins: `_start`, and reading the start-up block.
//!
//! The kernel or a loader starts the first thread here, with the address of an
//! [`abi::boot::Startup`](portolan_abi::boot::Startup) block in `rdi`.
//! Neighbour: `start` keeps what was read.
#![expect(unsafe_code, reason = "the processor enters here, with an address in a register")]

use crate::console::Console;
use crate::memory_object::MemoryObject;
use crate::right::SendRight;
use crate::start::{ENTERED, STARTUP, Startup, exit};
use core::sync::atomic::Ordering;
use portolan_abi::{Name, boot};

/// Notes the time, makes the stack as a function expects it, and goes on in [`begin`].
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
extern "C" fn _start() -> ! {
    core::arch::naked_asm!(
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "mov rsi, rax",
        "xor ebp, ebp",
        "and rsp, -16",
        "call {begin}",
        "ud2",
        begin = sym begin,
    )
}

unsafe extern "C" {
    /// Made by [`main!`](crate::main!); without it the program does not link.
    safe fn portolan_main() -> u32;
}

extern "C" fn begin(block: *const boot::Startup, entered: u64) -> ! {
    ENTERED.store(entered, Ordering::Relaxed);
    // SAFETY: whoever starts a task passes the address of a block that stays as it is.
    let block = unsafe { &*block };
    STARTUP.call_once(|| read(block));
    exit(portolan_main())
}

fn read(block: &'static boot::Startup) -> Startup {
    assert_eq!(block.version, boot::Startup::VERSION, "the program was built for another kernel");
    let text = core::ptr::from_ref(block).wrapping_add(1).cast::<u8>();
    // SAFETY: the argument text follows the block and stays as it is.
    let text = unsafe { core::slice::from_raw_parts(text, block.arguments_size as usize) };
    Startup {
        arguments: core::str::from_utf8(text).expect("argument text is UTF-8"),
        bootstrap: owned(block.bootstrap),
        console: owned(block.console).map(Console::from_right),
        names: owned(block.names),
        host: owned(block.host),
        host_privileged: owned(block.host_privileged),
        archive: owned(block.archive).map(|right| (MemoryObject::from_right(right), block.archive_size)),
    }
}

fn owned(name: Name) -> Option<SendRight> {
    name.is_valid().then(|| SendRight::from_name(name))
}
