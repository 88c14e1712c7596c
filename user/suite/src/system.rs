//! A system of a case's own: a bootstrap server, and the servers of `suite.conf` that it starts.
//!
//! It is the same program that is the machine's first task, started by the case, which answers what
//! that one asks of its starter. Invariant: dropped, it ends with all its servers, so that a case
//! leaves nothing behind.

use crate::case::Failure;
use crate::protocol::{self, routine};
use portolan::abi::task::Limits;
use portolan::bootstrap::routine::{Archive, CheckIn, Host};
use portolan::interface::MsgRpc;
use portolan::server::Served;
use portolan::servers::Servers;
use portolan::{Capacity, ReceiveRight, Result, Right, SendRight, name_server};

const PATIENCE_MS: u32 = 5000;
/// What all its servers together may spend.
const LIMITS: Limits = Limits { memory: 4 << 20, ports: 8192, frames: 8192 };

/// A system of servers.
pub(crate) struct System {
    /// The right to look after the servers.
    pub(crate) servers: Servers,
    /// The bootstrap port of its bootstrap server.
    port: ReceiveRight,
}

impl System {
    /// Starts one without a console server; this task asks its name server from now on.
    pub(crate) fn start() -> core::result::Result<System, Failure> {
        System::with("servers=suite.conf console=kernel")
    }

    /// Starts one by these words.
    pub(crate) fn with(words: &str) -> core::result::Result<System, Failure> {
        let (port, control) = (mailbox()?, mailbox()?);
        let servers = Servers::from_right(control.make_send()?);
        protocol::start_program("first", words, LIMITS, Right::MakeSend(&port))?;
        let system = System { servers, port };
        system.answer::<Archive>(archive()?)?;
        system.answer::<Host>(host()?)?;
        system.answer::<CheckIn>(control)?;
        name_server::adopt(system.servers.service(name_server::SERVICE)?);
        Ok(system)
    }

    /// Answers the bootstrap server's next request, which must be this one.
    fn answer<R: Served>(&self, given: R::Given) -> core::result::Result<(), Failure> {
        let mut asked = self.port.receive_within(PATIENCE_MS)?;
        crate::same!(asked.id(), R::ID);
        Ok(asked.answer(R::answer(given))?)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // If that fails the runner tells what is left.
        let _ = self.servers.shut_down();
    }
}

fn mailbox() -> Result<ReceiveRight> {
    ReceiveRight::allocate(Capacity::DEFAULT)
}

/// The privileged host port.
pub(crate) fn host() -> Result<SendRight> {
    Ok(SendRight::from_name(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0]))
}

fn archive() -> Result<(u64, SendRight)> {
    let reply = routine::archive(&MsgRpc, protocol::bootstrap())?;
    Ok((reply.results.size, SendRight::from_name(reply.rights[0])))
}
