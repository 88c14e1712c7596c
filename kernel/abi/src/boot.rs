//! What a task finds when it starts.
//!
//! The first thread of a task is started with the address of a [`Startup`] in
//! its argument register; the task's arguments, UTF-8 text, follow it. The
//! kernel's loader lays this out for the first task, a user-space loader for
//! all others: same layout, fewer rights.
//!
//! The boot archive is a plain tar file; the first task gets it as a memory object.

use crate::name::Name;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The block that the first thread's argument points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Startup {
    /// [`Startup::VERSION`].
    pub version: u32,
    /// A send right to whoever started the task, or null.
    pub bootstrap: Name,
    /// A send right to the plain host port, or null.
    pub host: Name,
    /// A send right to the privileged host port; null but in the first task.
    pub host_privileged: Name,
    /// A send right to the memory object that holds the boot archive, or null.
    pub archive: Name,
    /// A send right to the console server, or null: then text goes to `debug_write`.
    pub console: Name,
    /// A send right to the name server, or null.
    pub names: Name,
    /// 0.
    pub reserved: u32,
    /// Bytes of the archive.
    pub archive_size: u64,
    /// Bytes of argument text after this block.
    pub arguments_size: u64,
}

impl Startup {
    /// Its length in bytes.
    pub const SIZE: usize = size_of::<Startup>();
    /// The layout described here.
    pub const VERSION: u32 = 4;
    /// Most bytes of argument text: block and text share one page.
    pub const ARGUMENTS_MAX: usize = crate::vm::PAGE_SIZE - Self::SIZE;
}

/// Name of the first task's program in the archive.
pub const FIRST_PROGRAM: &str = "first";
/// Name of the file with the command line for boots that cannot pass one.
pub const COMMAND_LINE_FILE: &str = "cmdline";
/// Name of the file with the kernel's symbols: lines of 16 hexadecimal digits, a
/// space and a function name, in the order of the addresses.
pub const SYMBOLS_FILE: &str = "kernel.symbols";
