//! How the stubs of [`abi::interface`](portolan_abi::interface) reach their
//! servers: by `msg_rpc`. The kernel's routines are called so, and those of any
//! server whose interface is defined with the same macro.
//!
//! Invariant: no heap is used, because the heap itself grows by such a call.
//! Neighbours: `reply` for the ports, `layout` for the buffer.

use crate::Result;
use crate::layout::{Address, addressed, parts, size_of_message, write};
use crate::message::Message;
use crate::receive::Received;
use crate::reply::ReplyPort;
use crate::right::Right;
use crate::trap;
use portolan_abi::error::result_of;
use portolan_abi::interface::{REPLY_OFFSET, REPLY_RIGHTS_MAX, Region, Reply, ReplyHead, Routine, Transport};
use portolan_abi::message::{Descriptor, Header, Options, received_size};
use portolan_abi::{Disposition, Error, Name};
use zerocopy::{FromBytes, IntoBytes};

/// The way of every stub: one `msg_rpc`.
#[derive(Clone, Copy, Debug)]
pub struct MsgRpc;

/// The same, but it waits at most this many ms for a place and then as many for the answer
/// (`SendTimedOut`, `ReceiveTimedOut`).
#[derive(Clone, Copy, Debug)]
pub struct MsgRpcWithin(pub u32);

/// Words of buffer on the stack for nearly all routines, and for the few long ones.
const SHORT: usize = 32;
const LONG: usize = 512;

/// The same, with the caller's own port for the reply, which has no message and which nobody else uses meanwhile.
/// It takes no lock, so it can be called while other threads of this task are stopped, whatever they hold.
#[derive(Clone, Copy, Debug)]
pub struct MsgRpcAt(pub Name);

impl Transport for MsgRpc {
    fn call<R: Routine>(&self, port: Name, arguments: &R::Arguments, descriptors: &[Descriptor]) -> Result<Reply<R>> {
        call::<R>(port, arguments, descriptors, Options::empty(), 0)
    }
}

impl Transport for MsgRpcAt {
    fn call<R: Routine>(&self, port: Name, arguments: &R::Arguments, descriptors: &[Descriptor]) -> Result<Reply<R>> {
        if words::<R>() <= SHORT {
            exchange_at::<R, SHORT>(port, self.0, arguments, descriptors)
        } else {
            exchange_at::<R, LONG>(port, self.0, arguments, descriptors)
        }
    }
}

impl Transport for MsgRpcWithin {
    fn call<R: Routine>(&self, port: Name, arguments: &R::Arguments, descriptors: &[Descriptor]) -> Result<Reply<R>> {
        call::<R>(port, arguments, descriptors, Options::SEND_TIMEOUT | Options::RCV_TIMEOUT, self.0)
    }
}

fn call<R: Routine>(
    port: Name,
    arguments: &R::Arguments,
    descriptors: &[Descriptor],
    options: Options,
    ms: u32,
) -> Result<Reply<R>> {
    const { assert!(words::<R>() <= LONG, "the routine's messages fit the long buffer") };
    const { assert!(R::RIGHTS_OUT <= REPLY_RIGHTS_MAX, "the routine's reply has no more rights than any") };
    if words::<R>() <= SHORT {
        exchange::<R, SHORT>(port, arguments, descriptors, options, ms)
    } else {
        exchange::<R, LONG>(port, arguments, descriptors, options, ms)
    }
}

/// Words of buffer that a routine's request and its reply take.
const fn words<R: Routine>() -> usize {
    let request = size_of_message(R::RIGHTS_IN + R::MEMORY_IN, size_of::<R::Arguments>());
    let reply = size_of_message(R::RIGHTS_OUT + R::MEMORY_OUT, size_of::<ReplyHead>() + size_of::<R::Results>());
    let reply = received_size(reply);
    let larger = if request > reply { request } else { reply };
    larger.div_ceil(size_of::<u64>())
}

fn exchange<R: Routine, const WORDS: usize>(
    port: Name,
    arguments: &R::Arguments,
    descriptors: &[Descriptor],
    options: Options,
    ms: u32,
) -> Result<Reply<R>> {
    let reply_port = ReplyPort::take()?;
    let mut buffer = [0; WORDS];
    write_request::<R>(&mut buffer, port, reply_port.address(), arguments, descriptors);
    trap::msg_rpc(&mut buffer, reply_port.name(), options, ms, ms).0?;
    reply_port.give_back();
    open::<R>(&buffer)
}

fn exchange_at<R: Routine, const WORDS: usize>(
    port: Name,
    reply_port: Name,
    arguments: &R::Arguments,
    descriptors: &[Descriptor],
) -> Result<Reply<R>> {
    let mut buffer = [0; WORDS];
    let reply = Address::new(reply_port, Disposition::MakeSendOnce);
    write_request::<R>(&mut buffer, port, reply, arguments, descriptors);
    trap::msg_rpc(&mut buffer, reply_port, Options::empty(), 0, 0).0?;
    open::<R>(&buffer)
}

fn write_request<R: Routine>(
    buffer: &mut [u64],
    port: Name,
    reply: Address,
    arguments: &R::Arguments,
    descriptors: &[Descriptor],
) {
    let to = Address::new(port, Disposition::CopySend);
    write(buffer, Header { id: R::ID, ..addressed(to, reply) }, descriptors, arguments.as_bytes());
}

/// Takes a reply apart. One that is not this routine's is refused, its rights given up.
fn open<R: Routine>(buffer: &[u64]) -> Result<Reply<R>> {
    let reply = parts(buffer).ok_or(Error::Failure)?;
    let opened = decode::<R>(reply.header.id, reply.bytes, reply.descriptors);
    if opened.is_err() {
        reply.descriptors.iter().for_each(|descriptor| drop(Right::arrived(descriptor)));
    }
    opened
}

/// The results of a routine, and what came with them, out of a reply's parts.
pub(crate) fn decode<R: Routine>(id: u32, bytes: &[u8], descriptors: &[Descriptor]) -> Result<Reply<R>> {
    if id != R::ID + REPLY_OFFSET {
        return Err(Error::Failure);
    }
    let results = results::<R>(bytes)?;
    if descriptors.len() != R::RIGHTS_OUT + R::MEMORY_OUT {
        return Err(Error::Failure);
    }
    let (arrived, memory) = descriptors.split_at(R::RIGHTS_OUT);
    let mut rights = [Name::NULL; REPLY_RIGHTS_MAX];
    for (name, descriptor) in rights.iter_mut().zip(arrived) {
        *name = descriptor.name;
    }
    let memory = memory.first().map_or(Region::default(), |&Descriptor { address, size, .. }| Region { address, size });
    Ok(Reply { results, rights, memory })
}

/// The results in a reply's bytes, or the error.
fn results<R: Routine>(bytes: &[u8]) -> Result<R::Results> {
    let (head, results) = ReplyHead::read_from_prefix(bytes).map_err(|_| Error::Failure)?;
    result_of(head.code)?;
    R::Results::read_from_bytes(results).map_err(|_| Error::Failure)
}

/// What a message says that is the reply to a request of routine `R` for which nobody waits in a call. Its rights stay
/// in it. `None`: it is something else.
#[must_use]
pub fn reply_in<R: Routine>(message: &Received) -> Option<Result<R::Results>> {
    let is_reply = !message.is_from_kernel() && message.id() == R::ID + REPLY_OFFSET;
    is_reply.then(|| results::<R>(message.bytes()))
}

/// A server's answer to a request of routine `R`: its results and the rights it gives.
pub fn reply<'a, R: Routine>(results: R::Results, rights: impl IntoIterator<Item = Right<'a>>) -> Message<'a> {
    let head = ReplyHead { code: 0, reserved: 0 };
    let message = Message::new(R::ID + REPLY_OFFSET).value(head).value(results);
    rights.into_iter().fold(message, Message::right)
}

/// A server's answer to a request with this id that it does not fulfil.
pub fn refusal(id: u32, error: Error) -> Message<'static> {
    Message::new(id.wrapping_add(REPLY_OFFSET)).value(ReplyHead { code: error.code(), reserved: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_abi::{host, task};

    fn answer(code: i32, results: &[u8]) -> Vec<u8> {
        [ReplyHead { code, reserved: 0 }.as_bytes(), results].concat()
    }

    #[test]
    fn a_successful_reply_gives_results_and_rights() {
        let results = task::results::Create { bootstrap_name: Name(4), reserved: 0 };
        let right = Descriptor::port(Name(9), 17);
        let reply = decode::<task::Create>(2102, &answer(0, results.as_bytes()), &[right]).expect("a success");
        assert_eq!((reply.results.bootstrap_name, reply.rights[0]), (Name(4), Name(9)));
    }

    #[test]
    fn a_failed_reply_gives_its_error() {
        let error = decode::<task::Create>(2102, &answer(6, &[]), &[]).err();
        assert_eq!(error, Some(Error::ResourceShortage));
    }

    #[test]
    fn a_reply_of_another_shape_is_refused() {
        let results = task::results::Create { bootstrap_name: Name(4), reserved: 0 };
        let right = Descriptor::port(Name(9), 17);
        let good = answer(0, results.as_bytes());
        for (id, bytes, rights) in
            [(2101, &good[..], &[right][..]), (2102, &good, &[]), (2102, &good[..12], &[right]), (2102, &[], &[right])]
        {
            assert_eq!(decode::<task::Create>(id, bytes, rights).err(), Some(Error::Failure));
        }
    }

    #[test]
    fn the_longest_routine_needs_the_long_buffer() {
        assert!(words::<host::Trace>() > SHORT);
        assert!(words::<portolan_abi::vm::VmMap>() <= SHORT);
    }
}
