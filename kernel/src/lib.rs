//! The kernel of Portolan, explained on one page.
//!
//! One value, [`kernel::Kernel`], holds all state; every handler takes `&mut` of it.
//! Each processor runs one loop ([`run`]): pick a thread, run it until it traps,
//! handle the trap, pick. No handler blocks: what a thread waits for is data in
//! its state ([`task::thread::Wait`]).
//!
//! | module | holds |
//! |---|---|
//! | [`run`] | the loop, traps, faults, deadlines |
//! | [`syscall`] | one match: trap number to handler |
//! | [`ipc`] | ports, rights, messages |
//! | [`task`] | tasks, threads, accounts |
//! | [`sched`] | who runs next, deadlines |
//! | [`vm`] | maps, memory objects, frames, copying from and to user memory |
//! | [`service`] | the kernel's answers to messages sent to its own ports |
//! | [`boot`], [`elf`] | the first task |
//! | [`clear`], [`piece`] | clearing away what has ended, in pieces |
//! | [`claims`] | which I/O ports have been given out |
//! | [`check`] | the invariants, as code |
//! | [`trace`], [`arena`], [`list`] | what the rest is made of |
//!
//! Invariant: no user input makes the kernel panic; a panic is a kernel bug.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arena;
pub mod boot;
pub mod check;
pub mod claims;
pub mod clear;
pub mod elf;
pub mod ipc;
pub mod kernel;
pub mod list;
pub mod piece;
pub mod report;
pub mod run;
pub mod sched;
pub mod service;
pub mod syscall;
pub mod task;
pub mod trace;
pub mod vm;
