//! User-space pagers: the case is the pager, and a peer's hand waits for its pages.

use crate::case::{Failure, Verdict};
use crate::message::{self, Message, NONE, PATIENCE, is_empty, receive};
use crate::notice::wait_for_death;
use crate::peer::Peer;
use crate::space::{self, PAGE, Place};
use crate::{cases, holds, same};
use portolan::abi::call::{Call, Receive, Send};
use portolan::abi::interface::Routine;
use portolan::abi::message::{Descriptor, Options};
use portolan::abi::vm;
use portolan::abi::{Disposition, PAGE_SIZE, Protection};
use portolan::interface::MsgRpc;
use portolan::pager::{self, Pager};
use portolan::{Capacity, Error, MemoryObject, ReceiveRight};
use zerocopy::IntoBytes;

cases!("pager":
    a_touch_waits_for_its_page,
    a_page_is_asked_for_once_and_stays,
    a_refused_touch_is_an_exception_and_is_not_remembered,
    what_waits_for_a_pager_that_dies_ends,
    a_message_waits_in_the_middle_of_its_copy,
    a_message_whose_page_is_refused_is_not_sent,
    memory_out_of_line_waits_for_its_pages,
    a_routine_waits_for_its_page,
    a_wait_for_a_page_ends_at_the_deadline_of_its_call,
    a_receive_brings_its_buffer_in,
    a_pager_cannot_wait_for_itself,
);

const COOKIE: u64 = 7;

/// An object without pages, which the case supplies and a peer has mapped.
struct Book {
    port: ReceiveRight,
    object: MemoryObject,
    pager: Pager,
    peer: Peer,
    /// Where the peer sees it.
    there: u64,
}

impl Book {
    fn open(pages: u64) -> core::result::Result<Book, Failure> {
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let (object, pager) = Pager::create(pages * PAGE, COOKIE, &port)?;
        let peer = Peer::start()?;
        let place = Place::anywhere(pages * PAGE, Protection::READ_WRITE);
        let there = space::map_place(peer.task, object.right().name(), place)?;
        Ok(Book { port, object, pager, peer, there })
    }

    /// Which page is asked for next.
    fn asked(&self) -> core::result::Result<u64, Failure> {
        let request = pager::request_in(&self.port.receive_within(PATIENCE)?).ok_or(Error::Failure)?;
        same!((request.object, request.size, request.offset % PAGE), (COOKIE, PAGE, 0));
        Ok(request.offset / PAGE)
    }

    fn supply(&self, page: u64, bytes: &[u8]) -> Verdict {
        let mut whole = [0; PAGE_SIZE];
        whole[..bytes.len()].copy_from_slice(bytes);
        Ok(self.pager.supply(page * PAGE, &whole)?)
    }

    /// A call of the peer's that sends these bytes, which lie in the object.
    fn send(&self, offset: u64, size: usize, options: Options, timeout: u32) -> Call {
        let send = Send { address: self.there + offset, size: size as u32, timeout };
        Call::Message { send: Some(send), receive: None, options }
    }
}

fn a_touch_waits_for_its_page() -> Verdict {
    let book = Book::open(3)?;
    let touch = book.peer.hand.load(book.there + 2 * PAGE + 8)?;
    same!(book.asked()?, 2);
    book.supply(2, &[[0; 8], 42_u64.to_le_bytes()].concat())?;
    same!(touch.finish()?.value, 42);
    same!(book.object.info()?.resident, 1);
    Ok(())
}

fn a_page_is_asked_for_once_and_stays() -> Verdict {
    let book = Book::open(2)?;
    let other = book.peer.another_hand(0)?;
    let touches = [book.peer.hand.load(book.there)?, other.load(book.there + 8)?];
    same!(book.asked()?, 0);
    holds!(is_empty(book.port.name()));
    book.supply(0, &[[1; 8], [2; 8]].concat())?;
    for (touch, byte) in touches.into_iter().zip([1, 2]) {
        same!(touch.finish()?.value, u64::from_le_bytes([byte; 8]));
    }
    same!(book.pager.supply(0, &[9; PAGE_SIZE]), Err(Error::Failure));
    book.peer.hand.store(book.there, 5)?.finish()?;
    let Book { port, pager, peer, there, object } = book;
    drop((port, pager, object));
    same!(peer.hand.load(there)?.finish()?.value, 5);
    Ok(())
}

fn a_refused_touch_is_an_exception_and_is_not_remembered() -> Verdict {
    let book = Book::open(1)?;
    let _touch = book.peer.hand.load(book.there)?;
    same!(book.asked()?, 0);
    book.pager.refuse(0, Error::MemoryError)?;
    wait_for_death(book.peer.task)?;
    let second = Peer::start()?;
    let place = Place::anywhere(PAGE, Protection::READ);
    let there = space::map_place(second.task, book.object.right().name(), place)?;
    let touch = second.hand.load(there)?;
    same!(book.asked()?, 0);
    book.supply(0, &[3; 8])?;
    same!(touch.finish()?.value, u64::from_le_bytes([3; 8]));
    Ok(())
}

fn what_waits_for_a_pager_that_dies_ends() -> Verdict {
    let Book { port, object, pager, peer, there } = Book::open(2)?;
    let _touch = peer.hand.load(there)?;
    drop(port);
    wait_for_death(peer.task)?;
    let place = Place::anywhere(2 * PAGE, Protection::READ);
    let here = space::map_place(portolan::trap::task_self(), object.right().name(), place)?;
    let peek = |address| vm::vm_peek(&MsgRpc, portolan::trap::task_self(), address, 8).map(drop);
    same!(peek(here), Err(Error::MemoryFailure));
    drop(pager);
    same!(peek(here), Err(Error::MemoryFailure));
    space::unmap(here, 2 * PAGE)?;
    Ok(())
}

/// A message of the peer's to the case, that crosses from the first page to the second; its
/// port, and its bytes.
fn crossing(book: &Book) -> core::result::Result<(ReceiveRight, alloc::vec::Vec<u8>), Failure> {
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let to = book.peer.give(port.name(), Disposition::MakeSend)?;
    let message = Message::copy_to(to).body(&[6; 200]).lay_out();
    Ok((port, message.bytes().to_vec()))
}

/// Bytes of a crossing message that are in the first page.
const BEFORE: usize = 64;

fn a_message_waits_in_the_middle_of_its_copy() -> Verdict {
    let book = Book::open(2)?;
    let (port, bytes) = crossing(&book)?;
    let sent = book.peer.hand.start_call(book.send(PAGE - BEFORE as u64, bytes.len(), NONE, 0))?;
    same!(book.asked()?, 0);
    let mut first = [0; PAGE_SIZE];
    first[PAGE_SIZE - BEFORE..].copy_from_slice(&bytes[..BEFORE]);
    book.supply(0, &first)?;
    same!(book.asked()?, 1);
    holds!(is_empty(port.name()));
    book.supply(1, &bytes[BEFORE..])?;
    sent.finish()?.result?;
    same!(receive(port.name())?.body, [6; 200]);
    Ok(())
}

fn a_message_whose_page_is_refused_is_not_sent() -> Verdict {
    let book = Book::open(2)?;
    let (port, bytes) = crossing(&book)?;
    let sent = book.peer.hand.start_call(book.send(PAGE - BEFORE as u64, bytes.len(), NONE, 0))?;
    same!(book.asked()?, 0);
    book.supply(0, &[])?;
    same!(book.asked()?, 1);
    book.pager.refuse(PAGE, Error::NoSpace)?;
    same!(sent.finish()?.result, Err(Error::SendInvalidMemory));
    holds!(is_empty(port.name()));
    Ok(())
}

fn memory_out_of_line_waits_for_its_pages() -> Verdict {
    let book = Book::open(2)?;
    let (port, gift) = (ReceiveRight::allocate(Capacity::DEFAULT)?, book.peer.port(Capacity::DEFAULT)?);
    let to = book.peer.give(port.name(), Disposition::MakeSend)?;
    let memory = Descriptor::memory(book.there + 8, PAGE, 0);
    let mut message = Message::copy_to(to).right(gift, Disposition::MakeSend);
    message.rights.push(memory);
    let sent = book.peer.hand.send(&message, NONE, 0)?;
    for page in [0, 1] {
        same!(book.asked()?, page);
        holds!(is_empty(port.name()));
        book.supply(page, &[page as u8 + 1; 16])?;
    }
    sent.finish()?.result?;
    let mut received = port.receive()?;
    let copy = received.take_memory(1)?;
    same!((copy[0], copy[PAGE_SIZE - 1]), (1, 2));
    Ok(())
}

fn a_routine_waits_for_its_page() -> Verdict {
    let book = Book::open(2)?;
    let reply = book.peer.port(Capacity::DEFAULT)?;
    let own = book.peer.give(book.peer.task, Disposition::CopySend)?;
    let peek = vm::arguments::VmPeek { address: book.there, size: 8 };
    let request =
        Message::copy_to(own).reply(reply, Disposition::MakeSendOnce).id(vm::VmPeek::ID).body(peek.as_bytes());
    let asked = book.peer.hand.rpc(&request, reply)?;
    same!(book.asked()?, 0);
    book.pager.refuse(0, Error::NoSpace)?;
    let answer = asked.finish()?.received()?;
    same!(answer.body[..4], Error::NoSpace.code().to_le_bytes());
    let asked = book.peer.hand.rpc(&request, reply)?;
    same!(book.asked()?, 0);
    book.supply(0, &[5; 8])?;
    let answer = asked.finish()?.received()?;
    same!((&answer.body[..4], &answer.body[8..16]), (&[0; 4][..], &[5; 8][..]));
    Ok(())
}

fn a_wait_for_a_page_ends_at_the_deadline_of_its_call() -> Verdict {
    let book = Book::open(2)?;
    let (port, bytes) = crossing(&book)?;
    let call = book.send(PAGE - BEFORE as u64, bytes.len(), Options::SEND_TIMEOUT, 30);
    let sent = book.peer.hand.start_call(call)?;
    same!(book.asked()?, 0);
    same!(sent.finish()?.result, Err(Error::SendTimedOut));
    holds!(is_empty(port.name()));
    // Nobody waits any more, so the next touch asks anew.
    let touch = book.peer.hand.load(book.there)?;
    same!(book.asked()?, 0);
    book.supply(0, &[1])?;
    same!(touch.finish()?.value, 1);
    Ok(())
}

fn a_receive_brings_its_buffer_in() -> Verdict {
    let book = Book::open(2)?;
    let (there, here) = book.peer.open(Capacity::DEFAULT)?;
    let receive = Receive { address: book.there + PAGE, size: PAGE_SIZE as u32, port: there, timeout: 0 };
    let received = book.peer.hand.start_call(Call::Message { send: None, receive: Some(receive), options: NONE })?;
    holds!(message::is_empty(book.port.name()));
    Message::copy_to(here).id(77).send()?;
    same!(book.asked()?, 1);
    book.supply(1, &[])?;
    same!(received.finish()?.result, Ok(()));
    // The id is the fifth word of a header.
    same!(book.peer.hand.load(book.there + PAGE + 16)?.finish()?.value & u64::from(u32::MAX), 77);
    Ok(())
}

fn a_pager_cannot_wait_for_itself() -> Verdict {
    let book = Book::open(1)?;
    let place = Place::anywhere(PAGE, Protection::READ_WRITE);
    let here = space::map_place(portolan::trap::task_self(), book.object.right().name(), place)?;
    let send = Send { address: here, size: 24, timeout: 0 };
    same!(message::call(Some(send), None, NONE).0, Err(Error::SendInvalidMemory));
    same!(vm::vm_read(&MsgRpc, book.peer.task, book.there, 8).map(drop), Err(Error::MemoryError));
    book.supply(0, &[])?;
    holds!(space::is_zero(here, PAGE));
    space::unmap(here, PAGE)?;
    Ok(())
}
