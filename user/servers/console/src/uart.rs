//! The serial line: a 16550 with its queues on.
//!
//! Output is written when the device's queue is empty, at most a queue's length at once; while it
//! is not, this thread sleeps. Input is announced by an interrupt, and also taken while sending, as
//! the device's queue for it is as short. Speed and frame stay as the kernel has set them.
//! Invariant: nothing waits for ever; a device that takes nothing for a second is not waited for
//! again until it does.

use alloc::collections::VecDeque;
use portolan::device::IoPorts;
use portolan::thread::{now_ms, sleep_ms};
use portolan::{Error, Result};

/// The registers.
const DATA: u32 = 0;
const INTERRUPTS: u32 = 1;
const QUEUES: u32 = 2;
const MODEM: u32 = 4;
const STATUS: u32 = 5;
const SCRATCH: u32 = 7;

/// [`INTERRUPTS`]: tell of received bytes.
const ON_RECEIVED: u8 = 1;
/// [`QUEUES`]: on, both emptied, tell of the first byte.
const QUEUES_ON: u8 = 0b111;
/// [`MODEM`]: ready, and the interrupt gets out.
const READY: u8 = 0b1011;
/// [`MODEM`]: what is sent is received. Left as it is found, for whoever tests.
const LOOPED: u8 = 0b1_0000;
/// [`STATUS`]: a byte has been received; the queue for sending is empty; so is the line.
const RECEIVED: u8 = 1;
const EMPTY: u8 = 1 << 5;
const IDLE: u8 = 1 << 6;

/// Bytes of the device's queue.
const QUEUE: usize = 16;
/// Received bytes that are kept until they are taken; what comes after these is lost.
const KEPT_MAX: usize = 1024;
/// How long a device may take nothing, in ms.
const PATIENCE_MS: u64 = 1000;

/// The device.
pub(crate) struct Uart {
    registers: IoPorts,
    received: VecDeque<u8>,
    /// How long it is waited for, in ms: none after it took nothing for so long.
    patience: u64,
}

impl Uart {
    /// Sets the device up.
    ///
    /// # Errors
    /// `Failure`: there is none.
    pub(crate) fn open(registers: IoPorts) -> Result<Uart> {
        for value in [0x5a, 0xa5] {
            registers.write(SCRATCH, value)?;
            if registers.read(SCRATCH)? != value {
                return Err(Error::Failure);
            }
        }
        registers.write(QUEUES, QUEUES_ON)?;
        registers.write(MODEM, READY | registers.read(MODEM)? & LOOPED)?;
        registers.write(INTERRUPTS, ON_RECEIVED)?;
        Ok(Uart { registers, received: VecDeque::with_capacity(KEPT_MAX), patience: PATIENCE_MS })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// `Failure`: the device takes no more.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        for part in bytes.chunks(QUEUE) {
            self.wait_for(EMPTY)?;
            self.registers.write_bytes(DATA, part)?;
        }
        Ok(())
    }

    /// Waits until all that was sent has left.
    ///
    /// # Errors
    /// `Failure`: the device takes no more.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.wait_for(IDLE)
    }

    /// The next byte that was received.
    pub(crate) fn received(&mut self) -> Option<u8> {
        self.received.pop_front()
    }

    /// Takes what the device has received.
    pub(crate) fn listen(&mut self) -> Result<()> {
        self.status().map(drop)
    }

    /// Waits for a state, and takes meanwhile what is received.
    fn wait_for(&mut self, state: u8) -> Result<()> {
        let until = now_ms() + self.patience;
        while self.status()? & state == 0 {
            if now_ms() >= until {
                self.patience = 0;
                return Err(Error::Failure);
            }
            sleep_ms(1);
        }
        self.patience = PATIENCE_MS;
        Ok(())
    }

    /// The state, when nothing received is left in the device.
    fn status(&mut self) -> Result<u8> {
        loop {
            let status = self.registers.read(STATUS)?;
            if status & RECEIVED == 0 {
                return Ok(status);
            }
            let byte = self.registers.read(DATA)?;
            if self.received.len() < KEPT_MAX {
                self.received.push_back(byte);
            }
        }
    }
}
