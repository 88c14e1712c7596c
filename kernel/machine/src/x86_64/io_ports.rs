//! The processor's I/O ports, for whoever the kernel lets use them.
//!
//! Invariant: none of [`IoRange::OWN`] is touched here. What a device does that is told to
//! by its ports is not in the kernel's hands: see SECURITY.md on devices.

use crate::{IoRange, Width};
use ::x86_64::instructions::port::Port;

/// All ports.
#[derive(Debug)]
pub struct IoPorts {
    _private: (),
}

impl IoPorts {
    pub(super) fn new() -> IoPorts {
        IoPorts { _private: () }
    }

    /// Reads from a port.
    pub fn read(&mut self, port: u16, width: Width) -> u32 {
        assert_free(port);
        match width {
            // SAFETY: no port that the machine stands on; reading touches no memory of the kernel's.
            Width::Byte => unsafe { Port::<u8>::new(port).read() }.into(),
            // SAFETY: as above.
            Width::Word => unsafe { Port::<u16>::new(port).read() }.into(),
            // SAFETY: as above.
            Width::Long => unsafe { Port::<u32>::new(port).read() },
        }
    }

    /// Writes the low bits of a value to a port.
    pub fn write(&mut self, port: u16, width: Width, value: u32) {
        assert_free(port);
        match width {
            // SAFETY: no port that the machine stands on; whoever was given a device answers for it.
            Width::Byte => unsafe { Port::<u8>::new(port).write(value as u8) },
            // SAFETY: as above.
            Width::Word => unsafe { Port::<u16>::new(port).write(value as u16) },
            // SAFETY: as above.
            Width::Long => unsafe { Port::<u32>::new(port).write(value) },
        }
    }
}

/// The kernel gives out no range with a port of the machine's own.
fn assert_free(port: u16) {
    let own = IoRange::OWN.iter().any(|own| own.ports().any(|taken| taken == port.into()));
    assert!(!own, "port {port:#x} is the machine's own");
}
