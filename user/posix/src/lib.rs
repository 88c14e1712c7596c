//! POSIX as a face on Portolan: shared memory, semaphores, mutexes, message queues.
//!
//! ```text
//! errno      why a call failed
//! object_name, mode, identity   what an object may be called, who may do what with it, and who we are
//! time       until when a call waits
//! semaphore, mutex, condition, barrier, rwlock, once   in words of shared memory, without a call while nobody waits
//! queue      message queues, kept by a server
//! shared_memory, descriptor, mapping   shared memory: its names, kept by a server; what is open; what is mapped
//! file       files of the one directory, kept by the same server, and reading and writing what is open
//! named_semaphore   semaphores by name, kept by the same server
//! ```
//!
//! No call here needs unsafe code; `user/c` puts the standard C names over them.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod barrier;
mod condition;
pub mod descriptor;
mod errno;
pub mod file;
mod identity;
pub mod mapping;
pub mod mode;
mod mutex;
mod named_semaphore;
mod object_name;
mod once;
pub mod queue;
mod rwlock;
mod semaphore;
pub mod shared_memory;
mod time;

pub use barrier::{Arrival, BARRIER_WORDS, Barrier};
pub use condition::{CONDITION_WORDS, Condition};
pub use descriptor::{Descriptor, close, dup, dup2, fstat, ftruncate, posix_fallocate};
pub use errno::{Errno, Result};
pub use identity::{created_mode, getegid, geteuid, getgid, getuid, umask};
pub use mapping::{mmap, mprotect, msync, munmap};
pub use mode::{Mode, Wish};
pub use mutex::{Kind, MUTEX_WORDS, Mutex, Robustness};
pub use named_semaphore::{NamedSemaphore, sem_open, sem_unlink};
pub use object_name::{NAME_MAX, ObjectName};
pub use once::Once;
pub use queue::MessageQueue;
pub use rwlock::{Hold, ReadWriteLock};
pub use semaphore::{Semaphore, VALUE_MAX};
pub use shared_memory::{shm_open, shm_unlink};
pub use time::Time;
