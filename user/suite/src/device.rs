//! Devices as ports: the interval timer's interrupt, the ports it is programmed by, and the
//! serial line's scratch register.

use crate::case::Verdict;
use crate::protocol::{self, routine};
use crate::{cases, holds, same};
use portolan::abi::host;
use portolan::device::{Interrupt, IoPorts, interrupt_in};
use portolan::interface::MsgRpc;
use portolan::{Capacity, Error, ReceiveRight, Result, Right, SendRight};

cases!("device":
    a_device_interrupts,
    an_interrupt_waits_for_the_acknowledgement,
    a_device_ends_with_its_rights,
    ports_of_the_kernel_are_refused,
    a_register_holds_what_is_written,
);

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
    same!(portolan::trap::debug_write(b"not seen\n"), Err(Error::NoAccess));
    Ok(())
}
