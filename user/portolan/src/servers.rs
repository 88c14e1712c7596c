//! Looking after the servers: which there are and how they are, starting and ending them.
//!
//! The bootstrap server does so for whoever has its control right; it gives that to the program that it
//! starts (`bootstrap::control`). Neighbour: `configuration`, where servers and their policies come from.

use crate::Result;
use crate::interface::MsgRpc;
use crate::right::SendRight;
use crate::service::ServiceName;
use alloc::vec::Vec;
use portolan_abi::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The control right's service name: a bootstrap server that is not the first task checks in for it.
pub const SERVICE: &str = "servers";
/// Most servers of one reply of [`list`](protocol::list).
pub const LISTED: usize = 8;

/// The routines.
pub mod protocol {
    use super::{LISTED, ServerInfo};
    use crate::service::ServiceName;

    crate::interface! {
        base 6800;

        /// The servers from number `first` on, in the order of the configuration: the first `count` of
        /// the list. With fewer than `LISTED` there are no more.
        1 list / List (first: u32, reserved: u32) -> (count: u32, reserved: u32, servers: [ServerInfo; LISTED]);

        /// Starts a server that is not running, and forgets how often it has been started before. What
        /// it serves are new ports, if it had been stopped or given up.
        ///
        /// `InvalidName`: there is no such server. `Failure`: it is running. Why it cannot be started.
        2 start / Start (name: ServiceName) -> ();

        /// Ends a server, not to be started again by itself. Its ports die: clients get
        /// `ReceiveReplyLost` and `SendInvalidPort`.
        ///
        /// `InvalidName`: there is no such server. `Failure`: it is not running.
        3 stop / Stop (name: ServiceName) -> ();

        /// Ends a server as if it had died: its policy says whether it is started again.
        ///
        /// `InvalidName`: there is no such server. `Failure`: it is not running.
        4 kill / Kill (name: ServiceName) -> ();

        /// A send right to a declared service, as the name server gives it.
        ///
        /// `InvalidName`: no such service is declared, or it has no port, as its server was stopped or given up.
        6 get_service / GetService (name: ServiceName) -> (; service: SendRight);

        /// Ends all servers, the program, and the bootstrap server; of the first task's, the machine.
        5 shut_down / ShutDown () -> ();
    }
}

/// What a server is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// It runs.
    Running = 1,
    /// It was stopped.
    Stopped = 2,
    /// It could not be started, or has died more often than its policy allows.
    GivenUp = 3,
}

/// A server in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ServerInfo {
    /// Its name.
    pub name: ServiceName,
    /// Its task, as messages call their sender; 0 if it does not run.
    pub task: u64,
    /// A [`State`].
    pub state: u32,
    /// How often it has been started again by itself.
    pub restarts: u32,
}

impl ServerInfo {
    /// What an unused place of a list holds.
    pub const NONE: ServerInfo = ServerInfo { name: ServiceName::NONE, task: 0, state: 0, restarts: 0 };

    /// What it is at.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        [State::Running, State::Stopped, State::GivenUp].into_iter().find(|state| *state as u32 == self.state)
    }
}

/// A control right.
#[derive(Debug)]
pub struct Servers(SendRight);

impl Servers {
    /// The bootstrap server whose control right this is.
    #[must_use]
    pub fn from_right(right: SendRight) -> Servers {
        Servers(right)
    }

    /// All servers.
    ///
    /// # Errors
    /// Those of the call.
    pub fn list(&self) -> Result<Vec<ServerInfo>> {
        let mut all = Vec::new();
        loop {
            let part = protocol::list(&MsgRpc, self.0.name(), all.len() as u32, 0)?.results;
            all.extend_from_slice(part.servers.get(..part.count as usize).ok_or(Error::Failure)?);
            if (part.count as usize) < LISTED {
                return Ok(all);
            }
        }
    }

    /// One server.
    ///
    /// # Errors
    /// `InvalidName`: there is no such server.
    pub fn info(&self, name: &str) -> Result<ServerInfo> {
        let name = ServiceName::new(name)?;
        self.list()?.into_iter().find(|info| info.name == name).ok_or(Error::InvalidName)
    }

    /// Starts a server.
    ///
    /// # Errors
    /// Those of [`protocol::start`].
    pub fn start(&self, name: &str) -> Result<()> {
        protocol::start(&MsgRpc, self.0.name(), ServiceName::new(name)?).map(drop)
    }

    /// Ends a server for good.
    ///
    /// # Errors
    /// Those of [`protocol::stop`].
    pub fn stop(&self, name: &str) -> Result<()> {
        protocol::stop(&MsgRpc, self.0.name(), ServiceName::new(name)?).map(drop)
    }

    /// Ends a server as if it had died.
    ///
    /// # Errors
    /// Those of [`protocol::kill`].
    pub fn kill(&self, name: &str) -> Result<()> {
        protocol::kill(&MsgRpc, self.0.name(), ServiceName::new(name)?).map(drop)
    }

    /// A right to a declared service, without asking the name server.
    ///
    /// # Errors
    /// Those of [`protocol::get_service`].
    pub fn service(&self, name: &str) -> Result<SendRight> {
        let reply = protocol::get_service(&MsgRpc, self.0.name(), ServiceName::new(name)?)?;
        Ok(SendRight::from_name(reply.rights[0]))
    }

    /// Ends everything.
    ///
    /// # Errors
    /// Those of the call.
    pub fn shut_down(&self) -> Result<()> {
        protocol::shut_down(&MsgRpc, self.0.name()).map(drop)
    }
}
