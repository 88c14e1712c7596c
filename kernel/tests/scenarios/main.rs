//! The whole kernel on a simulated machine, told in the terms of the Mach manual.
//!
//! One module a subsystem; a test's name says the rule that it tries.
#![expect(unreachable_pub, reason = "in a test program `pub` means: used by the tests")]

mod accounts;
mod boot;
mod cached;
mod capacity;
mod copies;
mod deadlock;
mod death;
mod device_memory;
mod exceptions;
mod explore;
mod faults;
mod golden;
mod harness;
mod interrupts;
mod io_ports;
mod kernel_ports;
mod locks;
mod matrix;
mod memory;
mod model;
mod names;
mod notify;
mod out_of_line;
mod pace;
mod pagers;
mod pieces;
mod policies;
mod ports;
mod random;
mod requests;
mod rights;
mod routines;
mod rpc;
mod sched;
mod sets;
mod shortage;
mod sizes;
mod special;
mod state;
mod suspend;
mod timeouts;
mod waits;
mod words;
