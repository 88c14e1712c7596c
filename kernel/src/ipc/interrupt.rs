//! Interrupts as messages: which line is bound to which port, and what is to be told.
//!
//! A line that has interrupted is masked by the machine. What there is to tell is kept in
//! the line's binding, and bindings with something to tell form a line at their port: the
//! message is made when it is received, so it needs no memory.
//!
//! Invariants: a binding's count is above zero exactly while it stands in the line of its
//! port; its interrupt port lives. Neighbours: `receive` and `death` take what is to be told,
//! `run` says what has come, `service::interrupt` lets lines in again. Reference:
//! `abi::interrupt`.

use super::message::CarriedRight;
use super::port::{KernelObject, Owner, PortId, living};
use super::{receive, right};
use crate::kernel::Kernel;
use crate::task::account::AccountId;
use portolan_abi::interrupt::{Arrived, InterruptInfo};
use portolan_abi::{Capacity, Error, Result};
use portolan_machine::{Line, Lines};

/// What is bound to each line.
pub type Bindings = [Option<Binding>; Line::COUNT];

/// A line that is bound.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The port that stands for it.
    pub port: PortId,
    /// Where its interrupts are told; the binding has a send right.
    pub told_to: PortId,
    /// Interrupts that have not been told.
    pub count: u32,
    /// All interrupts.
    pub total: u64,
    /// The next line in the line of the same port.
    pub next: Option<Line>,
}

/// Binds a line, lets it in, and returns the interrupt right. The send right that was carried
/// becomes the binding's.
///
/// # Errors
/// As `abi::host::interrupt_bind` says; the right is then still the caller's.
pub fn bind(k: &mut Kernel, payer: AccountId, line: Line, carried: CarriedRight) -> Result<CarriedRight> {
    if k.bindings[line.index()].is_some() {
        return Err(Error::NoSpace);
    }
    let told_to = receivable(k, carried).ok_or(Error::InvalidCapability)?;
    let port = super::create(k, Owner::Kernel(KernelObject::Interrupt(line)), payer, Capacity::DEFAULT)?;
    // Nothing below may fail.
    k.ports[port].send_rights += 1;
    k.bindings[line.index()] = Some(Binding { port, told_to, count: 0, total: 0, next: None });
    k.interrupts.unmask(line);
    Ok(CarriedRight::Send(port))
}

/// The port of a send right, if it lives and a task can receive there.
pub fn receivable(k: &Kernel, carried: CarriedRight) -> Option<PortId> {
    let CarriedRight::Send(port) = carried else { return None };
    living(&k.ports, port).filter(|port| !matches!(port.owner, Owner::Kernel(_))).map(|_| port)
}

/// Ends a binding: its interrupt port has died.
pub fn unbind(k: &mut Kernel, line: Line) {
    k.interrupts.mask(line);
    withdraw(k, line);
    if let Some(binding) = k.bindings[line.index()].take() {
        right::drop_send_right(k, binding.told_to);
    }
}

/// Lets a line in again.
pub fn acknowledge(k: &mut Kernel, line: Line) {
    k.interrupts.unmask(line);
}

/// What there is to say of a line that is bound.
pub fn info(k: &Kernel, line: Line) -> InterruptInfo {
    let (pending, total) = k.bindings[line.index()].map_or((0, 0), |binding| (binding.count, binding.total));
    InterruptInfo { line: line.number().into(), pending, total }
}

/// These lines have interrupted.
pub fn arrived(k: &mut Kernel, lines: Lines) {
    lines.iter().for_each(|line| arrived_one(k, line));
}

fn arrived_one(k: &mut Kernel, line: Line) {
    let Some(binding) = &mut k.bindings[line.index()] else { return };
    binding.total += 1;
    let port = binding.told_to;
    if living(&k.ports, port).is_none() {
        return;
    }
    binding.count = binding.count.saturating_add(1);
    if binding.count == 1 {
        append(k, port, line);
        receive::offer_notice(k, port);
    }
}

/// Puts a line last at its port; there are few.
fn append(k: &mut Kernel, port: PortId, line: Line) {
    let mut link = &mut k.ports[port].notices.interrupts;
    while let Some(next) = *link {
        let Some(binding) = &mut k.bindings[next.index()] else { return };
        link = &mut binding.next;
    }
    *link = Some(line);
}

/// Takes the first interrupt that is to be told at a port.
pub fn take(k: &mut Kernel, port: PortId) -> Option<Arrived> {
    let line = k.ports[port].notices.interrupts?;
    let binding = k.bindings[line.index()].as_mut()?;
    k.ports[port].notices.interrupts = binding.next.take();
    let count = core::mem::take(&mut binding.count);
    Some(Arrived { line: line.number().into(), count })
}

/// Nothing will be told at a port that has died; its lines stay masked.
pub fn forget_port(k: &mut Kernel, port: PortId) {
    while take(k, port).is_some() {}
}

/// Takes a line out of the line at its port.
fn withdraw(k: &mut Kernel, line: Line) {
    let Some(Binding { told_to, count: 1.., next: after, .. }) = k.bindings[line.index()] else { return };
    let Some(port) = k.ports.get_mut(told_to) else { return };
    let mut link = &mut port.notices.interrupts;
    while let Some(next) = *link {
        if next == line {
            *link = after;
            return;
        }
        let Some(binding) = &mut k.bindings[next.index()] else { return };
        link = &mut binding.next;
    }
}
