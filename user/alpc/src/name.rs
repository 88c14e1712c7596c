//! Where a connection port is: a right to it, or its name at the name server.
//!
//! Names are looked up when a client connects, and at no other time. Neighbours: `door` registers them;
//! `portolan::name_server` knows them.

use crate::status::{Result, Status};
use portolan::interface::{MsgRpc, MsgRpcWithin};
use portolan::name_server::{self, Registration, protocol};
use portolan::service::ServiceName;
use portolan::{Error, SendRight};

/// A connection port, as a client knows it.
#[derive(Clone, Copy, Debug)]
pub enum Server<'a> {
    /// The one that this right leads to.
    At(&'a SendRight),
    /// The one that has this name.
    Named(&'a str),
    /// The one that has this name, or will have it before the client's time is up.
    Awaited(&'a str),
}

impl<'a> From<&'a SendRight> for Server<'a> {
    fn from(right: &'a SendRight) -> Server<'a> {
        Server::At(right)
    }
}

impl<'a> From<&'a str> for Server<'a> {
    fn from(name: &'a str) -> Server<'a> {
        Server::Named(name)
    }
}

impl Server<'_> {
    /// A right to the port, found within so many ms.
    ///
    /// # Errors
    /// `ObjectNameNotFound`, `ObjectNameInvalid`, `ObjectPathNotFound`, `Timeout`, `InsufficientResources`.
    pub(crate) fn find(self, ms: Option<u32>) -> Result<SendRight> {
        let found = match self {
            Server::At(right) => right.try_clone().map_err(|error| match error {
                Error::InvalidRight => Error::InvalidName,
                error => error,
            }),
            Server::Named(name) => ask(name, ms, false),
            Server::Awaited(name) => ask(name, ms, true),
        };
        found.map_err(of_names)
    }
}

fn ask(name: &str, ms: Option<u32>, awaited: bool) -> portolan::Result<SendRight> {
    let (names, name) = (name_server::port()?.name(), ServiceName::new(name)?);
    let right = match (awaited, ms) {
        (false, None) => protocol::look_up(&MsgRpc, names, name)?.rights[0],
        (false, Some(ms)) => protocol::look_up(&MsgRpcWithin(ms), names, name)?.rights[0],
        (true, None) => protocol::wait_for(&MsgRpc, names, name)?.rights[0],
        (true, Some(ms)) => protocol::wait_for(&MsgRpcWithin(ms), names, name)?.rights[0],
    };
    Ok(SendRight::from_name(right))
}

/// Gives the port of this right a name.
///
/// # Errors
/// `ObjectNameCollision`, `ObjectNameInvalid`, `ObjectPathNotFound`, `InsufficientResources`.
pub(crate) fn register(name: &str, right: &SendRight) -> Result<Registration> {
    name_server::register(name, right).map_err(of_names)
}

/// What Portolan's errors mean where they are about a name.
fn of_names(error: Error) -> Status {
    match error {
        Error::InvalidName => Status::ObjectNameNotFound,
        Error::InvalidValue => Status::ObjectNameInvalid,
        Error::NameExists => Status::ObjectNameCollision,
        Error::InvalidCapability | Error::SendInvalidPort | Error::ReceiveReplyLost => Status::ObjectPathNotFound,
        error => error.into(),
    }
}
