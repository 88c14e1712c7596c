//! The processor's I/O ports: a register of 8 bits behind each, all ones until written.

use super::heap;
use crate::{IoRange, Width};
use std::collections::BTreeMap;

/// All ports.
#[derive(Default, Debug)]
pub struct IoPorts {
    written: BTreeMap<u32, u8>,
}

impl IoPorts {
    /// Reads from a port.
    ///
    /// # Panics
    /// If it is the machine's own.
    pub fn read(&mut self, port: u16, width: Width) -> u32 {
        ports(port, width)
            .rev()
            .fold(0, |value, port| value << 8 | u32::from(*self.written.get(&port).unwrap_or(&0xff)))
    }

    /// Writes the low bits of a value to a port.
    ///
    /// # Panics
    /// If it is the machine's own.
    pub fn write(&mut self, port: u16, width: Width, value: u32) {
        heap::outside_kernel(|| {
            for (port, byte) in ports(port, width).zip(value.to_le_bytes()) {
                self.written.insert(port, byte);
            }
        });
    }
}

fn ports(port: u16, width: Width) -> impl DoubleEndedIterator<Item = u32> {
    let first = u32::from(port);
    let count = match width {
        Width::Byte => 1,
        Width::Word => 2,
        Width::Long => 4,
    };
    let touched = IoRange::new(first, count).expect("ports that exist");
    assert!(!IoRange::OWN.iter().any(|own| own.overlaps(touched)), "port {port:#x} is the machine's own");
    first..first + count
}
