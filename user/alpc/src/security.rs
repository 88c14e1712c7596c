//! Security contexts: what a task lets the other side do in its name, message by message.
//!
//! Neighbour: `message` carries the level of one.

use crate::attributes::ImpersonationLevel;
use crate::message::Message;
use crate::status::{Result, Status};
use crate::table::Table;

/// The contexts of a port.
pub(crate) struct SecurityContexts(Table<ImpersonationLevel>);

impl SecurityContexts {
    pub(crate) const fn new() -> SecurityContexts {
        SecurityContexts(Table::new())
    }

    pub(crate) fn create(&mut self, level: ImpersonationLevel) -> Result<u32> {
        let id = self.0.claim()?;
        self.0.fill(id, level);
        Ok(id)
    }

    /// Ends one: messages sent before keep what it said.
    pub(crate) fn delete(&mut self, id: u32) -> Result<()> {
        self.0.take(id).map(drop).ok_or(Status::InvalidParameter)
    }

    /// What a message that names a context says.
    pub(crate) fn level(&self, message: &Message<'_>) -> Result<Option<ImpersonationLevel>> {
        let named = |id| self.0.get(id).copied().ok_or(Status::InvalidParameter);
        message.security.map(named).transpose()
    }
}
