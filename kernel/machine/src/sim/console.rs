//! The console: what the kernel writes, kept for the tests to read.

use super::heap;
use std::sync::{Arc, Mutex};

/// Bytes out.
#[derive(Clone, Default, Debug)]
pub struct Console {
    written: Arc<Mutex<Vec<u8>>>,
}

impl Console {
    /// Writes bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        heap::outside_kernel(|| self.written.lock().expect("no writer panics").extend_from_slice(bytes));
    }

    /// A driver is given the line.
    pub fn lend(&mut self) {}

    /// The driver has gone.
    pub fn take_back(&mut self) {}

    /// Everything written so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("no writer panics")).into_owned()
    }
}

impl core::fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}
