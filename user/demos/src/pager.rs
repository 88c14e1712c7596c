//! Lesson 9: a pager. A task serves a memory object whose pages it makes up when another
//! task touches them.
//!
//! The reader maps an object and reads, as it would any memory. A page that is not there
//! yet is asked for by message, and the reader waits until the pager has supplied it.
//! Once it is there it is memory like any other, even when the pager has gone.

use crate::stage::{Outcome, Stage, Wrong, ask, check, say};
use alloc::format;
use alloc::string::String;
use portolan::abi::PAGE_SIZE;
use portolan::pager::{self, Pager};
use portolan::{Capacity, MemoryObject, Message, Protection, ReceiveRight, bootstrap};

/// The pager tells the lead of its object.
const OBJECT: u32 = 1;
/// The reader asks the lead for it.
const BOOK: u32 = 2;

/// What the pager calls the object, in case it has several.
const COOKIE: u64 = 42;
const PAGES: u64 = 1 << 20;
/// The pages that the reader turns to, one of them twice.
const READ: [u64; 4] = [7, 500_000, 7, PAGES - 1];
/// How many of those are different.
const DIFFERENT: usize = 3;

pub(crate) fn role(role: &str) -> Outcome {
    match role {
        "pager" => serve(),
        _ => read(),
    }
}

fn serve() -> Outcome {
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let (object, pager) = Pager::create(PAGES * PAGE_SIZE as u64, COOKIE, &port)?;
    say!("serves a book of {PAGES} pages, of which none is there");
    bootstrap::port()?.send(Message::new(OBJECT).right(object.into_right()))?;
    for _ in 0..DIFFERENT {
        let request = pager::request_in(&port.receive()?).ok_or(Wrong::Result("a message asks for no page"))?;
        check(request.object == COOKIE, "a page of another object is asked for")?;
        let number = request.offset / PAGE_SIZE as u64;
        say!("is asked for page {number}, and makes it up");
        let mut page = [0; PAGE_SIZE];
        let text = text_of(number);
        page[..text.len()].copy_from_slice(text.as_bytes());
        pager.supply(request.offset, &page)?;
    }
    Ok(())
}

fn read() -> Outcome {
    let object = MemoryObject::from_right(ask(BOOK, "")?);
    let book = object.map(Protection::READ)?;
    for number in READ {
        let expected = text_of(number);
        let mut text = [0; 32];
        let text = &mut text[..expected.len()];
        book.read(number as usize * PAGE_SIZE, text)?;
        check(text == expected.as_bytes(), "a page is not what its pager made of it")?;
        say!("reads `{expected}`");
    }
    let resident = object.info()?.resident;
    say!("    {resident} pages are there now");
    check(resident == DIFFERENT as u64, "pages have come that nobody touched")
}

fn text_of(page: u64) -> String {
    format!("this is page {page}")
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    let book = stage.enter_reachable("pager", OBJECT)?;
    stage.enter("reader", "")?;
    stage.give(BOOK, &book)?;
    stage.wait_until_playing(0)
}
