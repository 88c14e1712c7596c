//! ALPC as a face on Portolan: connections between a server and its clients, as Windows has them.
//!
//! ```text
//! port            the calls: create, connect, accept, send and receive, disconnect
//! message         what is sent, and what arrives; section: memory that is shown
//! attributes      limits, consents, who may connect; status: why a call failed
//! inbox           where a port's messages come, and what they mean; purpose: what each of its ports is for
//! name            where a connection port is; door: who comes in by it
//! connection      one side of a connection, and its end
//! information     what a port tells of itself and its connections
//! conversation    requests with somebody waiting: replies, callbacks
//! reserve, security, table    small things by their ids; clock: what is left of a wait
//! header          the layout of a message; the reference
//! ```
//!
//! All of it is Mach rights and messages. A **connection port** is a port that clients have a send right to. A
//! connection is two private ports, each with one send right, at the other side: nobody else can reach them, and the
//! kernel says of each message which task has sent it, so that a right passed on to a third task is of no use to it.
//! A request brings a send-once right, and the reply is what goes through it: so it can go to nobody else, comes once, and
//! is either sent or known to be lost. A synchronous request is one `msg_rpc` of the client, and one of the server,
//! which replies and receives in one.
//!
//! Where Windows blocks nobody, neither is anybody blocked here: a full pool is `STATUS_QUOTA_EXCEEDED` to the
//! sender. Who waits, waits for a reply or for a message, with a timeout if it wants, in plain message calls of the
//! kernel.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod attributes;
mod clock;
mod connection;
pub mod conversation;
pub mod door;
pub mod header;
mod inbox;
pub mod information;
pub mod message;
pub mod name;
pub mod port;
pub mod purpose;
pub mod reserve;
pub mod section;
mod security;
pub mod status;
mod table;

pub use attributes::{Access, ImpersonationLevel, PortAttributes};
pub use conversation::CALLBACK_DEPTH_MAX;
pub use door::Refusal;
pub use header::{MessageAttributes, PortMessage, Type};
pub use information::{ConnectionInformation, Information, State, connections};
pub use message::{Impersonation, Message, Received};
pub use name::Server;
pub use port::{Done, Port, SendFlags};
pub use purpose::Purpose;
pub use section::{Section, View};
pub use status::{Result, Status};
