//! POSIX as a face on Portolan: shared memory, semaphores, mutexes, message queues.
//!
//! ```text
//! errno      why a call failed
//! object_name, mode   what an object may be called, and who may do what with it
//! time       until when a call waits
//! semaphore, mutex, condition, barrier, once   in words of shared memory, without a call while nobody waits
//! queue      message queues, kept by a server
//! ```
//!
//! No call here needs unsafe code; `user/c` puts the standard C names over them.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod barrier;
mod condition;
mod errno;
pub mod mode;
mod mutex;
mod object_name;
mod once;
pub mod queue;
mod semaphore;
mod time;

pub use barrier::{Arrival, BARRIER_WORDS, Barrier};
pub use condition::{CONDITION_WORDS, Condition};
pub use errno::{Errno, Result};
pub use mode::{Mode, Wish};
pub use mutex::{Kind, MUTEX_WORDS, Mutex, Robustness};
pub use object_name::{NAME_MAX, object_name};
pub use once::Once;
pub use queue::MessageQueue;
pub use semaphore::{Semaphore, VALUE_MAX};
pub use time::Time;
