//! POSIX as a face on Portolan: shared memory, semaphores, mutexes, message queues.
//!
//! ```text
//! errno      why a call failed
//! ```
//!
//! No call here needs unsafe code; `user/c` puts the standard C names over them.
#![no_std]
#![forbid(unsafe_code)]

mod errno;

pub use errno::{Errno, Result};
