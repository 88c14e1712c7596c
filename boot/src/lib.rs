//! What a host does to boot Portolan, as a library for `portolan-boot` and for the tests.
//!
//! [`symbols`] writes the kernel's symbol table as text, [`archive`] packs it with the user programs,
//! [`qemu`] describes and starts the virtual machine, [`firmware`] finds what a UEFI boot needs. Nothing
//! here looks inside a user program: the kernel and the first task know what the archive means.

#![forbid(unsafe_code)]

pub mod archive;
pub mod firmware;
pub mod qemu;
pub mod symbols;
