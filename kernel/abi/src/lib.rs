//! What the kernel and user programs agree on, on one page.
//!
//! A user program reaches the kernel in two ways: by a handful of traps
//! ([`call`]), and by messages to kernel ports ([`interface`] and the modules
//! [`task`], [`port`], [`vm`], [`thread`], [`memory_object`], [`host`], [`interrupt`], [`io_ports`]), which are themselves
//! sent with the message traps. Everything both sides must lay out the same
//! way is here, once: names and rights, messages, results, notifications.
//!
//! Invariant: every structure that crosses the boundary is `repr(C)` without
//! padding (checked by the `IntoBytes` derive), so no stale kernel byte can
//! leave in one.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod call;
pub mod error;
pub mod exception;
pub mod host;
pub mod interface;
pub mod interrupt;
pub mod io_ports;
pub mod memory_object;
pub mod message;
pub mod name;
pub mod notification;
pub mod pager;
pub mod port;
pub mod registers;
pub mod task;
pub mod thread;
pub mod trace;
pub mod vm;
pub mod word;

pub use call::Call;
pub use error::{Error, Result};
pub use name::{Disposition, Name, RightKind};
pub use port::{AtFull, Capacity, Generation};
pub use vm::{PAGE_SIZE, Protection};
pub use word::WordOptions;
