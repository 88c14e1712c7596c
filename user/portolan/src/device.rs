//! Devices, for drivers: interrupts, I/O ports and device memory.
//!
//! Each is had from the privileged host port, by whoever was given that; the rights can be
//! handed to a driver, which then needs nothing else. Neighbours:
//! [`abi::interrupt`](portolan_abi::interrupt), [`abi::io_ports`](portolan_abi::io_ports).

use crate::Result;
use crate::interface::MsgRpc;
use crate::memory_object::MemoryObject;
use crate::receive::Received;
use crate::right::{Right, SendRight};
use portolan_abi::host::Framebuffer;
use portolan_abi::interrupt::{Arrived, INTERRUPT, InterruptInfo};
use portolan_abi::{Error, host, interrupt, io_ports};

/// An interrupt line that is bound to a port.
#[derive(Debug)]
pub struct Interrupt(SendRight);

impl Interrupt {
    /// Binds the line to the port of this send right.
    ///
    /// # Errors
    /// Those of [`interrupt_bind`](host::interrupt_bind).
    pub fn bind(host: &SendRight, line: u32, told_to: Right<'_>) -> Result<Interrupt> {
        let bound = host::interrupt_bind(&MsgRpc, host.name(), line, 0, told_to.descriptor())?;
        told_to.sent();
        Ok(Interrupt(SendRight::from_name(bound.rights[0])))
    }

    /// The interrupt that this right is to.
    #[must_use]
    pub fn from_right(right: SendRight) -> Interrupt {
        Interrupt(right)
    }

    /// The right, to be moved.
    pub fn into_right(self) -> SendRight {
        self.0
    }

    /// Lets the line in again.
    ///
    /// # Errors
    /// Those of the call.
    pub fn acknowledge(&self) -> Result<()> {
        interrupt::acknowledge(&MsgRpc, self.0.name()).map(drop)
    }

    /// The line, and how often it has interrupted.
    ///
    /// # Errors
    /// Those of the call.
    pub fn info(&self) -> Result<InterruptInfo> {
        Ok(interrupt::info(&MsgRpc, self.0.name())?.results.info)
    }
}

/// What a message says of an interrupt; `None` if it is something else, or not the kernel's.
#[must_use]
pub fn interrupt_in(message: &Received) -> Option<Arrived> {
    (message.is_from_kernel() && message.id() == INTERRUPT).then(|| message.value().ok()).flatten()
}

/// Claims device memory: `size` bytes, rounded up to whole pages, from a physical address on, to be
/// mapped as any object is. The claim ends with the last right and mapping.
///
/// # Errors
/// Those of [`device_memory`](host::device_memory).
pub fn memory(host: &SendRight, address: u64, size: u64) -> Result<MemoryObject> {
    let claimed = host::device_memory(&MsgRpc, host.name(), address, size)?;
    Ok(MemoryObject::from_right(SendRight::from_name(claimed.rights[0])))
}

/// Where the screen is that the loader has set up. Any host port will do.
///
/// # Errors
/// `Failure`: there is none.
pub fn framebuffer(host: &SendRight) -> Result<Framebuffer> {
    Ok(host::framebuffer(&MsgRpc, host.name())?.results.framebuffer)
}

/// A range of I/O ports; each is named by its distance from the first.
#[derive(Debug)]
pub struct IoPorts(SendRight);

impl IoPorts {
    /// Claims `count` ports from `first` on.
    ///
    /// # Errors
    /// Those of [`io_claim`](host::io_claim).
    pub fn claim(host: &SendRight, first: u32, count: u32) -> Result<IoPorts> {
        Ok(IoPorts(SendRight::from_name(host::io_claim(&MsgRpc, host.name(), first, count)?.rights[0])))
    }

    /// The ports that this right is to.
    #[must_use]
    pub fn from_right(right: SendRight) -> IoPorts {
        IoPorts(right)
    }

    /// The right, to be moved.
    pub fn into_right(self) -> SendRight {
        self.0
    }

    /// Reads a byte.
    ///
    /// # Errors
    /// `InvalidArgument`: outside the range.
    pub fn read(&self, offset: u32) -> Result<u8> {
        Ok(io_ports::read(&MsgRpc, self.0.name(), offset, 1)?.results.value as u8)
    }

    /// Writes a byte.
    ///
    /// # Errors
    /// `InvalidArgument`: outside the range.
    pub fn write(&self, offset: u32, value: u8) -> Result<()> {
        io_ports::write(&MsgRpc, self.0.name(), offset, 1, value.into(), 0).map(drop)
    }

    /// Writes bytes, one after the other, to one port.
    ///
    /// # Errors
    /// `InvalidArgument`: outside the range, or more than [`BYTES_MAX`](io_ports::BYTES_MAX) bytes.
    pub fn write_bytes(&self, offset: u32, bytes: &[u8]) -> Result<()> {
        let mut padded = [0; io_ports::BYTES_MAX];
        padded.get_mut(..bytes.len()).ok_or(Error::InvalidArgument)?.copy_from_slice(bytes);
        io_ports::write_bytes(&MsgRpc, self.0.name(), offset, bytes.len() as u32, padded).map(drop)
    }
}
