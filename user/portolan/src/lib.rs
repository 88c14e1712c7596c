//! The library that Portolan's user programs are written with.
//!
//! ```text
//! entry, start, panic, print         what every program needs: begin, end, console,
//! heap, lock                         memory, mutual exclusion
//! trap                               the calls, by their classic names
//! right                              owned rights: SendRight, SendOnceRight, ReceiveRight
//! port, message, send, receive       ports; messages built, sent and received
//! port_set, answer                   one place to receive from many ports; answers that fail and are kept
//! notification                       what the kernel tells, asked or unasked
//! classic                            the calls by the names of Mach's manuals
//! interface, reply, layout           stubs of kernel routines and servers, beneath
//! server                             protocols of user servers, defined once
//! task, thread, host                 kernel objects, through their ports
//! exception                          handling what threads do wrong
//! fork                               a copy of this task, made of all these
//! memory_object, mapping, memory     shared memory, and memory that travels
//! word                               words of memory to wait on, beneath locks
//! console                            the serial line's server, to write and to read
//! clock, timed                       the time of day, and alarms; servers with something to do at a time
//! device                             interrupts and I/O ports, for drivers
//! bootstrap, archive, program        how programs are started, and from what
//! loader                             programs by their names, started by a server
//! service, name_server               names of services, and who knows them
//! configuration, servers             which servers there are, and looking after them
//! ```
//!
//! A program is `#![no_std]`, `#![no_main]`, and says `portolan::main!(main);`. Unsafe
//! code is confined to the modules that say `expect(unsafe_code)` at their top; a
//! program needs none.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

pub mod answer;
pub mod archive;
pub mod bootstrap;
pub mod cached;
pub mod classic;
pub mod clock;
pub mod configuration;
pub mod console;
pub mod device;
#[cfg(target_os = "none")]
mod entry;
pub mod exception;
pub mod fork;
mod heap;
pub mod host;
pub mod interface;
mod layout;
pub mod loader;
pub mod lock;
pub mod mapping;
pub mod memory;
pub mod memory_object;
pub mod message;
pub mod name_server;
pub mod notification;
pub mod pager;
#[cfg(target_os = "none")]
mod panic;
pub mod port;
pub mod port_set;
pub mod print;
pub mod program;
pub mod receive;
mod reply;
pub mod right;
pub mod send;
pub mod server;
pub mod servers;
pub mod service;
pub mod start;
pub mod task;
pub mod thread;
pub mod timed;
pub mod trap;
pub mod word;

pub use answer::Unanswered;
pub use archive::Archive;
pub use cached::TakenBack;
pub use exception::{Decision, Exception};
pub use fork::{Fork, fork};
pub use interface::MsgRpc;
pub use lock::{Mutex, Once};
pub use mapping::Mapping;
pub use memory::Memory;
pub use memory_object::MemoryObject;
pub use message::Message;
pub use notification::Notice;
pub use port_set::PortSet;
pub use portolan_abi as abi;
pub use portolan_abi::{AtFull, Capacity, Error, Generation, Name, Protection};
pub use receive::{Answer, Received, Wait};
pub use right::{ReceiveRight, Right, SendOnceRight, SendRight};
pub use send::{Failure, Taken, WhenFull};
pub use start::{argument, arguments, exit};
pub use task::Task;

/// The result of a call; most fail with an [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;
