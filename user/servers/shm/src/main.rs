//! The server of POSIX's named objects: knows which memory object a name stands for, and who may open it.
//!
//! ```text
//! main     the names
//! object   an object: what it is, and opening it
//! purse    who pays for them
//! ```
//!
//! The objects are made here, so that they outlive who asked for them, and are paid for by an account of their
//! own. Who opens one gets a right to it and does the rest with the kernel. When a name is taken away the
//! server's rights go, and the object lives on while somebody has one or maps it.
//!
//! Whose an object is and who may open it goes by the security token of the sender, which the kernel writes into
//! each message. Invariant: what is kept for others has a bound; a right is given to nobody whom the mode, as it was
//! when it was asked for, did not allow it. Neighbour: `portolan_posix::shared_memory`, the client's side.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod object;
mod purse;

use alloc::collections::BTreeMap;
use core::ops::Bound;
use object::{Ids, Object};
use portolan::abi::message::SecurityToken;
use portolan::server::{Call, Outcome};
use portolan::{Result, Right, bootstrap};
use portolan_posix::mode::may_unlink;
use portolan_posix::shared_memory::protocol::results::OpenObject as Opened;
use portolan_posix::shared_memory::protocol::{self, List, OpenObject, Unlink};
use portolan_posix::shared_memory::{Entry, LISTED, O_CREAT, O_EXCL, SERVICE, Space, wish};
use portolan_posix::{Errno, ObjectName};
use purse::Purse;

portolan::main!(main);

/// Most objects with a name.
const OBJECTS_MAX: usize = 256;

fn main() -> Result<()> {
    let port = bootstrap::check_in(SERVICE)?;
    protocol::serve(&port, &mut Names { known: BTreeMap::new(), ids: Ids::begin(), purse: Purse::open()? })
}

struct Names {
    known: BTreeMap<(Space, ObjectName), Object>,
    ids: Ids,
    purse: Purse,
}

/// What a client wants of a name.
struct Request {
    asker: SecurityToken,
    flags: u32,
    mode: u32,
    /// Of a semaphore that is made.
    value: u32,
}

impl protocol::Server for Names {
    fn open(
        &mut self,
        call: &mut Call<'_, OpenObject>,
        name: ObjectName,
        space: u32,
        flags: u32,
        mode: u32,
        value: u32,
    ) -> Outcome<OpenObject> {
        let request = Request { asker: call.security(), flags, mode, value };
        let (opened, right) = self.try_open(name, space, &request).unwrap_or_else(refusal);
        Ok((opened.errno, opened.mode, opened.owner, opened.id, right))
    }

    fn unlink(&mut self, call: &mut Call<'_, Unlink>, name: ObjectName, space: u32, _: u32) -> Outcome<Unlink> {
        let unlinked = self.try_unlink(name, space, call.security());
        Ok((unlinked.err().map_or(0, Errno::number), 0))
    }

    fn list(&mut self, _: &mut Call<'_, List>, after: ObjectName, space: u32, _: u32) -> Outcome<List> {
        let mut entries = [Entry::NONE; LISTED];
        let mut count = 0;
        if let Ok(space) = Space::from_code(space) {
            let later = self.known.range((Bound::Excluded((space, after)), Bound::Unbounded));
            let later = later.take_while(|((of, _), _)| *of == space);
            for (entry, ((_, name), object)) in entries.iter_mut().zip(later) {
                *entry = object.entry(*name);
                count += 1;
            }
        }
        Ok((count, 0, entries))
    }
}

/// The answer that gives nothing, for this reason.
fn refusal(errno: Errno) -> (Opened, Right<'static>) {
    (Opened { errno: errno.number(), mode: 0, owner: SecurityToken::default(), id: 0 }, Right::Null)
}

impl Names {
    fn try_open(
        &mut self,
        name: ObjectName,
        space: u32,
        request: &Request,
    ) -> portolan_posix::Result<(Opened, Right<'static>)> {
        let space = Space::from_code(space)?;
        name.bytes().ok_or(Errno::Invalid)?;
        let wish = wish(request.flags)?;
        let creates = request.flags & O_CREAT != 0;
        match self.known.get(&(space, name)) {
            Some(_) if creates && request.flags & O_EXCL != 0 => Err(Errno::Exists),
            Some(object) => {
                object.require(wish, request)?;
                object.open(wish)
            }
            None if !creates => Err(Errno::NoEntry),
            None if self.known.len() == OBJECTS_MAX => Err(Errno::TablesFull),
            None => {
                let object = Object::create(&self.purse, space, self.ids.next(), request)?;
                let opened = object.open(wish)?;
                // Nothing below may fail.
                self.known.insert((space, name), object);
                Ok(opened)
            }
        }
    }

    fn try_unlink(&mut self, name: ObjectName, space: u32, asker: SecurityToken) -> portolan_posix::Result<()> {
        let key = (Space::from_code(space)?, name);
        let owner = self.known.get(&key).ok_or(Errno::NoEntry)?.owner;
        if !may_unlink(owner, asker) {
            return Err(Errno::Access);
        }
        self.known.remove(&key);
        Ok(())
    }
}
