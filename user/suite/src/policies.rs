//! A full mailbox: as its receiver wants it, as each generation of Mach has it, and the cached
//! message in its sender's hand.

use crate::case::Verdict;
use crate::hand::Hand;
use crate::message::{Buffer, Message, is_empty, receive, receive_now};
use crate::notice::{self, Notice};
use crate::{cases, holds, port, same};
use portolan::abi::message::Options;
use portolan::abi::notification::Kind;
use portolan::abi::port::{port_cached, port_cached_replace, port_cached_take_back};
use portolan::abi::{AtFull, Capacity, Disposition, Error, Generation, Name};
use portolan::{Memory, Message as Owned, MsgRpc, ReceiveRight, Right, Taken, WhenFull, classic, trap};

cases!("policies":
    a_mailbox_that_refuses,
    a_mailbox_that_drops_the_oldest,
    a_mailbox_that_drops_the_newest,
    a_message_replaces_the_one_with_its_id,
    a_dropped_request_ends_its_rpc,
    a_dropped_cached_message_is_told,
    what_is_not_sent_is_given_back_or_destroyed,
    room_is_told_instead_of_caching,
    a_cached_message_is_looked_at_and_taken_back,
    a_cached_message_is_replaced,
    a_cached_message_is_replaced_by_its_owner,
    each_thread_has_a_slot_if_it_says_so,
);

const CACHE: Options = Options::SEND_NOTIFY;

fn me() -> Name {
    trap::task_self()
}

/// A port with one place, which is taken by a message with this id.
fn full(id: u32) -> Result<Name, Error> {
    let port = port::open(Capacity::Bounded(1))?;
    Message::copy_to(port).id(id).send_now()?;
    Ok(port)
}

fn a_mailbox_that_refuses() -> Verdict {
    let port = full(1)?;
    classic::port_set_full(me(), port, AtFull::Refuse)?;
    same!(Message::copy_to(port).id(2).send(), Err(Error::SendPortFull));
    same!(Message::copy_to(port).id(2).send_with(CACHE, 0), Err(Error::SendPortFull));
    same!(port::status(port)?.refused, 2);
    same!(receive_now(port)?.header.id, 1);
    Ok(())
}

fn a_mailbox_that_drops_the_oldest() -> Verdict {
    let port = full(1)?;
    classic::port_set_full(me(), port, AtFull::DropOldest)?;
    Message::copy_to(port).id(2).send()?;
    same!(port::status(port)?.dropped_oldest, 1);
    same!(receive_now(port)?.header.id, 2);
    holds!(is_empty(port));
    Ok(())
}

fn a_mailbox_that_drops_the_newest() -> Verdict {
    let port = full(1)?;
    classic::port_set_full(me(), port, AtFull::DropNewest)?;
    Message::copy_to(port).id(2).send()?;
    same!(port::status(port)?.dropped_newest, 1);
    same!(receive_now(port)?.header.id, 1);
    holds!(is_empty(port));
    Ok(())
}

fn a_message_replaces_the_one_with_its_id() -> Verdict {
    let port = full(1)?;
    classic::port_set_full(me(), port, AtFull::Replace)?;
    Message::copy_to(port).id(1).body(b"new").send()?;
    same!(Message::copy_to(port).id(2).send_now(), Err(Error::SendTimedOut));
    same!(port::status(port)?.replaced, 1);
    same!(receive_now(port)?.body, b"new");
    holds!(is_empty(port));
    Ok(())
}

fn a_dropped_request_ends_its_rpc() -> Verdict {
    let port = full(1)?;
    let reply = port::open(Capacity::DEFAULT)?;
    classic::port_set_full(me(), port, AtFull::DropNewest)?;
    let request = Message::copy_to(port).reply(reply, Disposition::MakeSendOnce);
    same!(request.rpc(reply).map(drop), Err(Error::ReceiveReplyLost));
    receive_now(port)?;
    Ok(())
}

fn a_dropped_cached_message_is_told() -> Verdict {
    let port = full(1)?;
    same!(Message::copy_to(port).id(2).send_with(CACHE, 0), Err(Error::SendWillNotify));
    receive_now(port)?;
    classic::port_set_full(me(), port, AtFull::DropOldest)?;
    Message::copy_to(port).id(3).send()?;
    same!(notice::now()?, Notice { kind: Kind::MessageDropped, name: port });
    same!(receive_now(port)?.header.id, 3);
    Ok(())
}

fn what_is_not_sent_is_given_back_or_destroyed() -> Verdict {
    for generation in Generation::ALL {
        let port = full(1)?;
        classic::port_set_generation(me(), port, generation)?;
        let gift = port::open(Capacity::DEFAULT)?;
        port::deallocate(gift)?;
        let message = Message::copy_to(port).right(gift, Disposition::MoveReceive);
        same!(message.send_now(), Err(Error::SendTimedOut));
        same!(port::kind(gift).is_ok(), generation != Generation::Mach25);
        receive_now(port)?;
    }
    Ok(())
}

fn room_is_told_instead_of_caching() -> Verdict {
    let port = full(1)?;
    classic::port_set_generation(me(), port, Generation::Xnu)?;
    let sent = Message::copy_to(port).send_with(CACHE | Options::SEND_TIMEOUT, 0);
    same!(sent, Err(Error::SendTimedOut));
    holds!(notice::none());
    receive_now(port)?;
    same!(notice::now()?, Notice { kind: Kind::SendPossible, name: port });
    Ok(())
}

fn a_cached_message_is_looked_at_and_taken_back() -> Verdict {
    let port = full(1)?;
    let gift = port::open(Capacity::DEFAULT)?;
    port::deallocate(gift)?;
    let message = Message::copy_to(port).id(2).body(b"mine").right(gift, Disposition::MoveReceive);
    same!(message.send_with(CACHE, 0), Err(Error::SendWillNotify));
    let found = port_cached(&MsgRpc, me(), port, Name::NULL)?.results;
    same!((found.size as usize, found.id), (message.size(), 2));
    holds!(port::kind(gift).is_err());
    let mut buffer = Buffer::new(256);
    buffer.bytes_mut().fill(0);
    let taken = port_cached_take_back(&MsgRpc, me(), port, Name::NULL, buffer.address(), 256, 0)?.results;
    let sent = message.lay_out();
    same!(&buffer.bytes()[..taken.size as usize], sent.bytes());
    same!(port::kind(gift)?.receive, 1);
    receive_now(port)?;
    holds!(is_empty(port) && notice::none());
    Ok(())
}

fn a_cached_message_is_replaced() -> Verdict {
    let port = full(1)?;
    same!(Message::copy_to(port).id(2).send_with(CACHE, 0), Err(Error::SendWillNotify));
    let new = Message::copy_to(port).id(3).body(b"newer").lay_out();
    let (address, size) = (new.address(), new.bytes().len() as u32);
    let old = Buffer::new(64);
    port_cached_replace(&MsgRpc, me(), port, Name::NULL, address, size, 64, old.address())?;
    receive_now(port)?;
    same!(receive_now(port)?.header.id, 3);
    same!(notice::now()?, Notice::accepted(port));
    Ok(())
}

/// The same by owned rights: what the old message had moved comes back, and only once.
fn a_cached_message_is_replaced_by_its_owner() -> Verdict {
    let port = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let to = port.make_send()?;
    to.send(Owned::new(1))?;
    let (gift, extra) = (ReceiveRight::allocate(Capacity::DEFAULT)?, ReceiveRight::allocate(Capacity::DEFAULT)?);
    let name = gift.name();
    let mut memory = Memory::zeroed(5000)?;
    memory.fill(7);
    let first = Owned::new(2).text("first").right(gift).right(Right::MakeSend(&extra)).moved_memory(memory);
    same!(to.send_or(first, WhenFull::Cache)?, Taken::Cached);
    let mut old = to.replace_cached(None, Owned::new(3).text("second").right(extra))?;
    same!((old.id(), old.bytes(), old.rights()), (2, b"first".as_slice(), 3));
    same!(ReceiveRight::try_from(old.take_right(0))?.name(), name);
    holds!(matches!(old.take_right(0), Right::Null) && matches!(old.take_right(1), Right::Null));
    holds!(old.take_memory(2)?.iter().all(|byte| *byte == 7));
    holds!(old.take_memory(2).is_err());
    same!(to.cached(None)?.id, 3);
    let back = to.take_back(None)?;
    same!((back.id(), back.bytes()), (3, b"second".as_slice()));
    drop(back);
    same!(to.replace_cached(None, Owned::new(4)).map_err(|failure| failure.error).err(), Some(Error::Failure));
    same!(port.receive()?.id(), 1);
    holds!(notice::none());
    Ok(())
}

fn each_thread_has_a_slot_if_it_says_so() -> Verdict {
    let port = full(1)?;
    let own = CACHE | Options::SEND_NOTIFY_THREAD;
    same!(Message::copy_to(port).id(2).send_with(own, 0), Err(Error::SendWillNotify));
    same!(Message::copy_to(port).id(3).send_with(own, 0), Err(Error::SendNotifyInProgress));
    let other = Hand::here()?;
    let sent = other.send(&Message::copy_to(port).id(4), own, 0)?.finish()?.result;
    same!(sent, Err(Error::SendWillNotify));
    for id in [1, 2, 4] {
        same!(receive(port)?.header.id, id);
    }
    same!((notice::now()?, notice::now()?), (Notice::accepted(port), Notice::accepted(port)));
    Ok(())
}
