//! A terminal without its devices: what a screen shows of the bytes that are written to it, and what
//! bytes a keyboard's keys stand for.
//!
//! ```text
//! bytes ─▶ grid ─▶ picture ─▶ bytes of a framebuffer
//! scan codes ─▶ keys ─▶ bytes as a serial terminal would send them
//! ```
//!
//! Pure: bytes in, bytes out. Neighbour: the console server, which owns the devices.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod grid;
mod keys;
mod picture;

pub use grid::Grid;
pub use keys::Keys;
pub use picture::{Picture, read};
