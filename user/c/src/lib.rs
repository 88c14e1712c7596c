//! The C library of Portolan's programs, above musl's pure functions.
//!
//! What needs no system, strings, `printf`'s formatting, sorting, mathematics, is musl's: `setup/c` takes
//! from its archive the functions that make no system call. What they leave open is here, by its C name:
//!
//! ```text
//! start, thread        the first thread, threads, and each one's own storage
//! heap                 malloc
//! stdio, lock          streams on the console, and the locks that musl's functions take
//! unistd, time, errno  what the system answers
//! process              fork, and waiting for children
//! signal, cancel       signals, and the ends of threads that others want
//! schedule             priorities, as far as POSIX has them
//! mutex, rendezvous, semaphore   what threads and tasks meet at
//! shared_memory, file, queue     what tasks share by name: memory, files, message queues
//! mach, alpc           Mach's calls, and ALPC's
//! ```
//!
//! This is a border: each function trusts its caller as its C declaration says, and makes of pointers and
//! integers what the libraries below take. `unsafe` is for that alone.
#![no_std]

extern crate alloc;

mod alpc;
mod cancel;
mod errno;
mod file;
mod heap;
mod lock;
mod mach;
mod mutex;
mod process;
mod queue;
mod rendezvous;
mod schedule;
mod semaphore;
mod shared_memory;
mod signal;
mod start;
mod stdio;
mod thread;
mod time;
mod unistd;
