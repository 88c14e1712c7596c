//! Devices as ports: the interval timer's interrupt, the ports it is programmed by, and the
//! serial line's scratch register.

use crate::asm;
use crate::case::Verdict;
use crate::protocol::{self, routine};
use crate::space::{self, PAGE, Place};
use crate::{cases, holds, same};
use portolan::abi::vm::{self, MapFlags};
use portolan::abi::{Protection, host};
use portolan::device::{self, Interrupt, IoPorts, interrupt_in};
use portolan::interface::MsgRpc;
use portolan::{Capacity, Error, ReceiveRight, Result, Right, SendRight, trap};

cases!("device":
    a_device_interrupts,
    an_interrupt_waits_for_the_acknowledgement,
    a_device_ends_with_its_rights,
    ports_of_the_kernel_are_refused,
    a_register_holds_what_is_written,
    device_memory_is_claimed_once_and_mapped_as_it_is,
    device_memory_is_not_the_kernels_to_touch,
);

/// The screen's text memory, in every PC: two bytes a character.
const TEXT: u64 = 0xb_8000;
const LETTERS: u64 = u64::from_le_bytes(*b"P\x07o\x07r\x07t\x07");
/// The interval timer: its line, its ports, its ticks in a millisecond.
const TIMER_LINE: u32 = 0;
const TIMER: (u32, u32) = (0x40, 4);
const TICKS_PER_MS: u16 = 1193;
/// Channel 0, both bytes, once down to zero; then the line rises.
const ONE_SHOT: u8 = 0b0011_0000;
const LONG_MS: u32 = 5000;

fn host() -> Result<SendRight> {
    Ok(SendRight::from_name(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0]))
}

fn ring(timer: &IoPorts) -> Result<()> {
    timer.write(3, ONE_SHOT)?;
    let [low, high] = TICKS_PER_MS.to_le_bytes();
    timer.write(0, low)?;
    timer.write(0, high)
}

struct Timer {
    ports: IoPorts,
    mailbox: ReceiveRight,
    interrupt: Interrupt,
}

impl Timer {
    /// The timer, with nothing of what it did before left to be told.
    fn open() -> Result<Timer> {
        let host = host()?;
        let ports = IoPorts::claim(&host, TIMER.0, TIMER.1)?;
        // The mode alone, without a count, lowers the line and keeps it low.
        ports.write(3, ONE_SHOT)?;
        let mailbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let interrupt = Interrupt::bind(&host, TIMER_LINE, Right::MakeSend(&mailbox))?;
        if mailbox.receive_within(10).is_ok() {
            interrupt.acknowledge()?;
        }
        Ok(Timer { ports, mailbox, interrupt })
    }
}

fn a_device_interrupts() -> Verdict {
    let timer = Timer::open()?;
    for _ in 0..3 {
        ring(&timer.ports)?;
        let arrived = interrupt_in(&timer.mailbox.receive_within(LONG_MS)?);
        same!(arrived.map(|arrived| (arrived.line, arrived.count)), Some((TIMER_LINE, 1)));
        timer.interrupt.acknowledge()?;
    }
    Ok(())
}

fn an_interrupt_waits_for_the_acknowledgement() -> Verdict {
    let timer = Timer::open()?;
    ring(&timer.ports)?;
    holds!(interrupt_in(&timer.mailbox.receive_within(LONG_MS)?).is_some());
    ring(&timer.ports)?;
    same!(timer.mailbox.receive_within(20).map(drop), Err(Error::ReceiveTimedOut));
    timer.interrupt.acknowledge()?;
    holds!(interrupt_in(&timer.mailbox.receive_within(LONG_MS)?).is_some());
    Ok(())
}

fn a_device_ends_with_its_rights() -> Verdict {
    let (host, timer) = (host()?, Timer::open()?);
    same!(IoPorts::claim(&host, TIMER.0, 1).map(drop), Err(Error::NoSpace));
    same!(Interrupt::bind(&host, TIMER_LINE, Right::MakeSend(&timer.mailbox)).map(drop), Err(Error::NoSpace));
    drop(timer);
    let timer = Timer::open()?;
    ring(&timer.ports)?;
    holds!(interrupt_in(&timer.mailbox.receive_within(LONG_MS)?).is_some());
    Ok(())
}

fn ports_of_the_kernel_are_refused() -> Verdict {
    let host = host()?;
    for port in [0x20, 0x21, 0xa0, 0xa1, 0xf4, 0x4d0] {
        same!(IoPorts::claim(&host, port, 1).map(drop), Err(Error::NoAccess));
    }
    let plain = portolan::host::this()?.name();
    same!(host::io_claim(&MsgRpc, plain, 0x3f8, 8).map(drop), Err(Error::NoAccess));
    let mailbox = ReceiveRight::allocate(Capacity::DEFAULT)?;
    same!(Interrupt::bind(&host, 2, Right::MakeSend(&mailbox)).map(drop), Err(Error::InvalidArgument));
    Ok(())
}

fn a_register_holds_what_is_written() -> Verdict {
    /// The serial line's register that does nothing.
    const SCRATCH: u32 = 7;
    let line = IoPorts::claim(&host()?, 0x3f8, 8)?;
    for value in [0, 0x5a, 0xff] {
        line.write(SCRATCH, value)?;
        same!(line.read(SCRATCH), Ok(value));
    }
    same!(line.read(8), Err(Error::InvalidArgument));
    same!(trap::debug_write(b"not seen\n"), Err(Error::NoAccess));
    Ok(())
}

fn device_memory_is_claimed_once_and_mapped_as_it_is() -> Verdict {
    let host = host()?;
    let text = device::memory(&host, TEXT, 8 * PAGE)?;
    same!(device::memory(&host, TEXT + 7 * PAGE, PAGE).map(drop), Err(Error::NoSpace));
    same!(device::memory(&host, TEXT + 1, PAGE).map(drop), Err(Error::InvalidArgument));
    // Memory, the local interrupt controller, and what no processor can address.
    for taken in [0x10_0000, 0xfee0_0000, (1 << 44) - 2 * PAGE] {
        same!(device::memory(&host, taken, PAGE).map(drop), Err(Error::NoAccess));
    }
    let plain = portolan::host::this()?.name();
    same!(host::device_memory(&MsgRpc, plain, TEXT, PAGE).map(drop), Err(Error::NoAccess));
    let info = text.info()?;
    same!((info.size, info.resident, info.protection), (8 * PAGE, 0, Protection::READ_WRITE.bits()));
    let [one, other] = [(); 2].map(|()| space::map(text.right().name(), Protection::READ_WRITE));
    let (one, other) = (one?, other?);
    asm::store(one + 4 * PAGE, LETTERS);
    let seen = vm::vm_region(&MsgRpc, trap::task_self(), one)?.results.info;
    same!((seen.object_mappings, seen.shared, seen.object_resident), (2, 1, 0));
    same!(asm::load(other + 4 * PAGE), LETTERS);
    drop(text);
    space::unmap(one, 8 * PAGE)?;
    same!(device::memory(&host, TEXT, PAGE).map(drop), Err(Error::NoSpace));
    space::unmap(other, 8 * PAGE)?;
    drop(device::memory(&host, TEXT, PAGE)?);
    Ok(())
}

fn device_memory_is_not_the_kernels_to_touch() -> Verdict {
    let text = device::memory(&host()?, TEXT, PAGE)?;
    let here = space::map(text.right().name(), Protection::READ_WRITE)?;
    let memory = space::fresh(PAGE)?;
    asm::store(here, LETTERS);
    for (source, target) in [(here, memory), (memory, here)] {
        let copied = vm::vm_copy(&MsgRpc, trap::task_self(), source, 64, target);
        same!(copied.map(drop), Err(Error::ProtectionFailure));
    }
    same!(vm::vm_peek(&MsgRpc, trap::task_self(), here, 8).map(drop), Err(Error::ProtectionFailure));
    same!(vm::vm_read(&MsgRpc, trap::task_self(), here, PAGE).map(drop), Err(Error::ProtectionFailure));
    let flags = (MapFlags::ANYWHERE | MapFlags::COPY).bits();
    let copy = Place { flags, ..Place::anywhere(PAGE, Protection::READ) };
    same!(space::map_place(trap::task_self(), text.right().name(), copy), Err(Error::ProtectionFailure));
    same!(asm::load(here), LETTERS);
    space::unmap(here, PAGE)?;
    space::unmap(memory, PAGE)?;
    Ok(())
}
