//! Pagers: pages that a task makes up when another touches them, refuses, or never brings.

use crate::harness::{Message, Pending, Received, System, Task, Thread, WhenFull, answer, no_right};
use portolan_abi::call::{Receive, Send};
use portolan_abi::exception::{Raise, arguments};
use portolan_abi::interface::{Reply, Routine};
use portolan_abi::memory_object;
use portolan_abi::message::{Descriptor, Options, Trailer};
use portolan_abi::pager::{self, PAGE_REQUEST, PageRequest};
use portolan_abi::task::{self as routine, CreateFlags, Limits, SpecialPort};
use portolan_abi::thread::{self, State};
use portolan_abi::vm::{self, Inheritance, MapFlags};
use portolan_abi::{Call, Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, RightKind};
use portolan_machine::sim::script::{Action, Outcome};
use zerocopy::FromBytes;

const PAGE: u64 = PAGE_SIZE as u64;
/// Where the object is mapped.
const HERE: u64 = 0x5000_0000;
/// Where the pager makes pages up.
const DESK: u64 = 0x7000_0000;
const COOKIE: u64 = 0xc0_0c1e;
const PAGES: u64 = 8;
const READ_WRITE: u32 = Protection::READ_WRITE.bits();

/// A pager with one object, which a client has mapped.
struct Stage {
    system: System,
    pager: Task,
    /// Where it is asked.
    port: Name,
    control: Name,
    object: Name,
    client: Task,
}

fn map(task: &Task, object: Descriptor, address: u64, pages: u64, flags: MapFlags) -> Result<()> {
    let (copy, own) = (Inheritance::Copy as u32, task.task_self());
    vm::vm_map(&**task, own, address, pages * PAGE, 0, READ_WRITE, READ_WRITE, copy, flags.bits(), object).map(|_| ())
}

fn create(task: &Task, size: u64, port: Descriptor) -> Result<[Name; 2]> {
    let made = vm::memory_object_create_paged(&**task, task.task_self(), size, COOKIE, port)?;
    Ok([made.rights[0], made.rights[1]])
}

impl Stage {
    fn new() -> Stage {
        let system = System::boot();
        let (pager, client) = (system.task("pager"), system.task("client"));
        let port = pager.port(Capacity::Bounded(1));
        let made = create(&pager, PAGES * PAGE, Descriptor::port(port, Disposition::MakeSend as u8));
        let [object, control] = made.expect("an object");
        map(&pager, no_right(), DESK, 1, MapFlags::empty()).expect("a desk");
        let stage = Stage { system, pager, port, control, object, client };
        stage.map_at(&stage.client, HERE);
        stage
    }

    fn map_at(&self, task: &Task, address: u64) {
        let theirs = self.pager.give(task, self.object, Disposition::CopySend);
        map(task, Descriptor::port(theirs, Disposition::MoveSend as u8), address, PAGES, MapFlags::empty())
            .expect("mapped");
    }

    /// The next request, if there is one.
    fn request(&self) -> Option<PageRequest> {
        let message = self.pager.receive_now(self.port).done().ok()?;
        assert_eq!((message.header.id, message.trailer.flags), (PAGE_REQUEST, Trailer::FROM_KERNEL));
        let request = PageRequest::read_from_bytes(&message.body).expect("a request");
        assert_eq!((request.object, request.size, request.reserved), (COOKIE, PAGE, 0));
        Some(request)
    }

    fn supply(&self, page: u64, byte: u8) -> Result<()> {
        self.pager.store(DESK, &[byte; PAGE_SIZE]).done();
        let task = Descriptor::port(self.pager.task_self(), Disposition::CopySend as u8);
        pager::supply(&*self.pager, self.control, page * PAGE, DESK, task).map(|_| ())
    }

    fn refuse(&self, page: u64, error: Error) -> Result<()> {
        pager::refuse(&*self.pager, self.control, page * PAGE, error.code(), 0).map(|_| ())
    }

    /// Has the client's exceptions come to a port of the pager's.
    fn handle_exceptions(&self) -> Name {
        let port = self.pager.port(Capacity::DEFAULT);
        let right = self.pager.give_send(&self.client, port);
        let moved = Descriptor::port(right, Disposition::MoveSend as u8);
        let own = self.client.task_self();
        routine::set_special_port(&*self.client, own, SpecialPort::Exception as u32, 0, moved).expect("set");
        port
    }

    /// The exception that came to a port.
    fn raised(&self, port: Name) -> arguments::Raise {
        let message: Received = self.pager.receive_now(port).done().expect("an exception");
        assert_eq!(message.header.id, Raise::ID);
        arguments::Raise::read_from_bytes(&message.body).expect("an exception")
    }
}

fn load(thread: &Thread, page: u64) -> Pending<Outcome> {
    thread.perform(vec![Action::Load { address: HERE + page * PAGE, size: 2 }])
}

fn loaded(outcome: Pending<Outcome>) -> Vec<u8> {
    match outcome.done() {
        Outcome::Loaded(bytes) => bytes,
        other => panic!("a load gave {other:?}"),
    }
}

fn receive_call(port: Name, address: u64, timeout: Option<u32>) -> Call {
    let options = if timeout.is_some() { Options::RCV_TIMEOUT } else { Options::RCV_INTERRUPT };
    let half = Receive { address, size: 256, port, timeout: timeout.unwrap_or(0) };
    Call::Message { send: None, receive: Some(half), options }
}

fn send_call(address: u64, size: usize, options: Options, timeout: u32) -> Call {
    Call::Message { send: Some(Send { address, size: size as u32, timeout }), receive: None, options }
}

fn info(task: &Task, thread: Name) -> u32 {
    thread::info(&**task, thread).expect("a thread").results.info.state
}

#[test]
fn a_page_is_made_up_when_it_is_touched() {
    let stage = Stage::new();
    let thread = stage.client.thread();
    let touch = load(&thread, 3);
    assert!(touch.waits());
    let request = stage.request().expect("a request");
    assert_eq!((request.offset, request.access), (3 * PAGE, Protection::READ.bits()));
    assert_eq!(stage.request(), None, "it is told once");
    assert_eq!(stage.supply(3, 7), Ok(()));
    assert_eq!(loaded(touch), [7, 7]);
    // It is memory like any other from now on.
    thread.store(HERE + 3 * PAGE, &[9]).done();
    assert_eq!(stage.client.load(HERE + 3 * PAGE, 2), [9, 7]);
    assert_eq!(stage.request(), None);
    assert_eq!(stage.supply(3, 8), Err(Error::Failure), "the page is there");
}

#[test]
fn a_page_can_be_supplied_before_it_is_asked_for() {
    let stage = Stage::new();
    assert_eq!(stage.supply(0, 5), Ok(()));
    assert_eq!(stage.client.load(HERE, 1), [5]);
    assert_eq!(stage.request(), None);
}

#[test]
fn all_who_wait_for_a_page_go_on_and_it_is_asked_for_once() {
    let stage = Stage::new();
    let threads = [(); 3].map(|()| stage.client.thread());
    let other = stage.system.task("other");
    stage.map_at(&other, HERE);
    let touches = [load(&threads[0], 1), load(&other, 1)];
    let wanted = stage.request().expect("a request");
    assert_eq!(wanted.offset, PAGE);
    let late = [load(&threads[1], 1), load(&threads[2], 2)];
    assert_eq!(stage.request().expect("another page").offset, 2 * PAGE);
    assert_eq!(stage.request(), None);
    stage.supply(1, 4).expect("supplied");
    touches.into_iter().for_each(|touch| assert_eq!(loaded(touch), [4, 4]));
    let [late, otherwise] = late;
    assert_eq!(loaded(late), [4, 4]);
    assert!(otherwise.waits());
    stage.supply(2, 6).expect("supplied");
    assert_eq!(loaded(otherwise), [6, 6]);
}

#[test]
fn a_pager_that_waits_is_woken_and_a_full_queue_does_not_matter() {
    let stage = Stage::new();
    let server = stage.pager.thread();
    let waiting = server.receive(stage.port);
    let thread = stage.client.thread();
    let touch = load(&thread, 0);
    assert_eq!(waiting.done().expect("a request").header.id, PAGE_REQUEST);
    stage.refuse(0, Error::MemoryError).expect("refused");
    drop(touch);
    let message = Message::by(stage.port, Disposition::MakeSend).id(7);
    stage.pager.send(message, WhenFull::Wait).done().expect("a send");
    let client = stage.system.task("second");
    stage.map_at(&client, HERE);
    let touch = load(&client, 1);
    assert_eq!(stage.request().expect("past the queue").offset, PAGE);
    stage.supply(1, 1).expect("supplied");
    assert_eq!(loaded(touch), [1, 1]);
}

#[test]
fn requests_come_through_a_set_too() {
    let stage = Stage::new();
    let set = stage.pager.port_set();
    stage.pager.port_move_member(stage.port, set).expect("a member");
    let server = stage.pager.thread();
    let waiting = server.receive(set);
    let (first, second) = (stage.client.thread(), stage.client.thread());
    let touches = [load(&first, 0), load(&second, 1)];
    assert_eq!(waiting.done().expect("a request").header.id, PAGE_REQUEST);
    assert_eq!(server.receive(set).done().expect("the other").header.id, PAGE_REQUEST);
    for (page, touch) in touches.into_iter().enumerate() {
        stage.supply(page as u64, 3).expect("supplied");
        assert_eq!(loaded(touch), [3, 3]);
    }
}

#[test]
fn a_refused_page_is_an_exception_and_is_asked_for_again() {
    let stage = Stage::new();
    let port = stage.handle_exceptions();
    let thread = stage.client.thread();
    let touch = load(&thread, 2);
    stage.request().expect("a request");
    assert_eq!(stage.refuse(2, Error::NoAccess), Ok(()));
    let raised = stage.raised(port);
    assert_eq!((raised.code, raised.address), (Error::NoAccess.code() as u32, HERE + 2 * PAGE));
    assert!(touch.waits());
    let second = stage.client.thread();
    let again = load(&second, 2);
    assert!(stage.request().is_some(), "it is asked again");
    stage.supply(2, 1).expect("supplied");
    assert_eq!(loaded(again), [1, 1]);
}

#[test]
fn without_a_handler_a_refused_page_ends_the_task_alone() {
    let stage = Stage::new();
    let thread = stage.client.thread();
    let _touch = load(&thread, 0);
    stage.refuse(0, Error::MemoryError).expect("refused");
    assert!(!stage.client.exists());
    assert!(stage.pager.exists());
}

#[test]
fn when_the_pager_is_gone_so_are_its_pages() {
    for end in [0, 1, 2] {
        let stage = Stage::new();
        let client = stage.system.task("second");
        stage.map_at(&client, HERE);
        stage.supply(5, 5).expect("supplied");
        let thread = stage.client.thread();
        let told = load(&thread, 0);
        stage.request().expect("a request");
        let untold = load(&stage.client, 1);
        match end {
            0 => stage.pager.port_mod_refs(stage.port, RightKind::Receive, -1).expect("the port's end"),
            1 => stage.pager.port_deallocate(stage.control).expect("the control right's end"),
            _ => stage.pager.terminate(),
        }
        assert!(!stage.client.exists(), "{end}: nobody handles its exception");
        drop((told, untold));
        assert_eq!(client.load(HERE + 5 * PAGE, 1), [5], "what is there stays");
        let _touch = load(&client, 0);
        assert!(!client.exists(), "{end}");
    }
}

#[test]
fn a_task_is_not_to_wait_for_itself() {
    let stage = Stage::new();
    stage.map_at(&stage.pager, HERE);
    let own = send_call(HERE, 64, Options::empty(), 0);
    assert_eq!(stage.pager.call(own).done().0, Err(Error::SendInvalidMemory));
    assert_eq!(stage.request(), None);
    let thread = stage.pager.thread();
    let _touch = load(&thread, 0);
    assert!(!stage.pager.exists());
}

#[test]
fn a_message_is_sent_once_its_page_is_there() {
    let stage = Stage::new();
    let port = stage.client.port(Capacity::DEFAULT);
    let message = Message::by(port, Disposition::MakeSend).id(77).bytes();
    let thread = stage.client.thread();
    let sending = thread.call(send_call(HERE, message.len(), Options::empty(), 0));
    assert!(sending.waits());
    assert_eq!(stage.client.status(port).make_send_count, 0, "nothing has been taken yet");
    stage.request().expect("a request");
    stage.pager.store(DESK, &[0; PAGE_SIZE]).done();
    stage.pager.store(DESK, &message).done();
    let task = Descriptor::port(stage.pager.task_self(), Disposition::CopySend as u8);
    pager::supply(&*stage.pager, stage.control, 0, DESK, task).expect("supplied");
    assert_eq!(sending.done().0, Ok(()));
    assert_eq!(stage.client.receive_now(port).done().expect("the message").header.id, 77);
}

#[test]
fn a_message_whose_page_is_refused_or_late_is_not_sent() {
    let stage = Stage::new();
    let thread = stage.client.thread();
    let sending = thread.call(send_call(HERE, 64, Options::empty(), 0));
    stage.refuse(0, Error::MemoryError).expect("refused");
    assert_eq!(sending.done().0, Err(Error::SendInvalidMemory));
    let sending = thread.call(send_call(HERE, 64, Options::SEND_TIMEOUT, 20));
    stage.request().expect("a request");
    stage.system.advance_ms(19);
    assert!(sending.waits());
    stage.system.advance_ms(2);
    assert_eq!(sending.done().0, Err(Error::SendTimedOut));
    // Nobody waits any more; the page may still come.
    stage.supply(0, 0).expect("supplied");
    assert_eq!(thread.call(send_call(HERE, 64, Options::empty(), 0)).done().0, Err(Error::SendInvalidHeader));
}

#[test]
fn a_message_stays_queued_until_the_buffer_is_there() {
    let stage = Stage::new();
    let port = stage.client.port(Capacity::DEFAULT);
    let message = |id| Message::by(port, Disposition::MakeSend).id(id);
    stage.client.send(message(1), WhenFull::Wait).done().expect("a send");
    let thread = stage.client.thread();
    let receiving = thread.call(receive_call(port, HERE, Some(0)));
    assert!(receiving.waits(), "a poll waits for a page, if for nothing else");
    let request = stage.request().expect("a request");
    assert_eq!(request.access, READ_WRITE);
    assert_eq!(stage.client.status(port).messages, 1);
    stage.refuse(0, Error::MemoryError).expect("refused");
    assert_eq!(receiving.done().0, Err(Error::ReceiveInvalidMemory));
    let receiving = thread.call(receive_call(port, HERE, None));
    stage.supply(0, 0).expect("supplied");
    assert_eq!(receiving.done().0, Ok(()));
    assert_eq!(stage.client.status(port).messages, 0);
}

#[test]
fn a_waiting_receiver_brings_in_its_page_and_keeps_its_turn_and_its_deadline() {
    let stage = Stage::new();
    let port = stage.client.port(Capacity::DEFAULT);
    let message = |id| Message::by(port, Disposition::MakeSend).id(id);
    let (slow, quick) = (stage.client.thread(), stage.client.thread());
    let paged = slow.call(receive_call(port, HERE, Some(50)));
    let plain = quick.receive(port);
    stage.client.send(message(1), WhenFull::Wait).done().expect("the sender does not wait");
    assert_eq!(plain.done().expect("who can take it does").header.id, 1);
    assert!(paged.waits());
    // It waits for its page, whether or not a message is left for it.
    stage.client.send(message(2), WhenFull::Wait).done().expect("a send");
    assert_eq!(stage.client.status(port).messages, 1);
    stage.request().expect("a request");
    stage.system.advance_ms(20);
    stage.supply(0, 0).expect("supplied");
    assert_eq!(paged.done().0, Ok(()));
    assert_eq!(stage.client.status(port).messages, 0);
    // The deadline fires while it waits for its page.
    let paged = slow.call(receive_call(port, HERE + PAGE, Some(50)));
    stage.system.advance_ms(30);
    stage.client.send(message(4), WhenFull::Wait).done().expect("a send");
    stage.request().expect("a request");
    stage.system.advance_ms(19);
    assert!(paged.waits());
    stage.system.advance_ms(2);
    assert_eq!(paged.done().0, Err(Error::ReceiveTimedOut));
    assert_eq!(stage.client.receive_now(port).done().expect("kept").header.id, 4);
}

#[test]
fn a_member_of_a_set_keeps_its_message_for_a_receiver_that_lacks_a_page() {
    let stage = Stage::new();
    let port = stage.client.port(Capacity::DEFAULT);
    let set = stage.client.port_set();
    let thread = stage.client.thread();
    let waiting = thread.call(receive_call(set, HERE, None));
    stage.client.send(Message::by(port, Disposition::MakeSend).id(1), WhenFull::Wait).done().expect("a send");
    stage.client.port_move_member(port, set).expect("a member");
    assert!(waiting.waits());
    stage.request().expect("a request");
    stage.supply(0, 0).expect("supplied");
    assert_eq!(waiting.done().0, Ok(()));
    assert_eq!(stage.client.status(port).messages, 0);
}

#[test]
fn a_thread_that_waits_can_be_suspended_and_aborted_and_ended() {
    let stage = Stage::new();
    let thread = stage.client.thread();
    let name = thread.thread_self();
    let touch = load(&thread, 0);
    assert_eq!(info(&stage.client, name), State::Paging as u32);
    thread::suspend(&*stage.client, name).expect("suspended");
    stage.request().expect("a request");
    stage.supply(0, 1).expect("supplied");
    assert!(touch.waits());
    assert_eq!(info(&stage.client, name), State::Suspended as u32);
    thread::resume(&*stage.client, name).expect("resumed");
    assert_eq!(loaded(touch), [1, 1]);
    // An abort lets it try again, unless it is suspended.
    let touch = load(&thread, 1);
    stage.request().expect("a request");
    thread::abort(&*stage.client, name).expect("aborted");
    assert_eq!(stage.request().expect("it tries again").offset, PAGE);
    thread::suspend(&*stage.client, name).expect("suspended");
    thread::abort(&*stage.client, name).expect("aborted");
    assert_eq!(info(&stage.client, name), State::Suspended as u32);
    thread::resume(&*stage.client, name).expect("resumed");
    assert_eq!(info(&stage.client, name), State::Paging as u32);
    thread::terminate(&*stage.client, name).expect("ended");
    assert_eq!(stage.request(), None, "nobody waits");
    drop(touch);
    let second = stage.client.thread();
    let name = second.thread_self();
    let sending = second.call(send_call(HERE + PAGE, 64, Options::SEND_INTERRUPT, 0));
    thread::abort(&*stage.client, name).expect("aborted");
    assert_eq!(sending.done().0, Err(Error::SendInterrupted));
    let sending = second.call(send_call(HERE + PAGE, 64, Options::empty(), 0));
    thread::abort(&*stage.client, name).expect("no effect");
    assert!(sending.waits());
    stage.client.terminate();
    assert_eq!(stage.request(), None);
}

/// Asks for a routine that needs a page, or both, and brings them; what the routine said.
#[track_caller]
fn asked<R: Routine>(
    stage: &Stage,
    arguments: &R::Arguments,
    rights: &[Descriptor],
    pages: &[u64],
) -> Result<Reply<R>> {
    let asking = stage.client.request::<R>(stage.client.task_self(), arguments, rights, WhenFull::Wait);
    for page in pages {
        assert!(asking.waits(), "{} waits for page {page}", R::NAME);
        assert_eq!(stage.request().expect("a request").offset, page * PAGE);
        stage.supply(*page, *page as u8).expect("supplied");
    }
    answer(asking.done())
}

#[test]
fn a_routine_is_done_once_its_pages_are_there() {
    let stage = Stage::new();
    let client = &stage.client;
    let peek = vm::arguments::VmPeek { address: HERE + PAGE - 4, size: 8 };
    let seen = asked::<vm::VmPeek>(&stage, &peek, &[], &[0, 1]).expect("bytes").results.data;
    assert_eq!(seen[..8], [0, 0, 0, 0, 1, 1, 1, 1]);
    let poke = vm::arguments::VmPoke { address: HERE + 2 * PAGE, size: 1, data: [9; vm::INLINE_MAX] };
    asked::<vm::VmPoke>(&stage, &poke, &[], &[2]).expect("written");
    assert_eq!(client.load(HERE + 2 * PAGE, 2), [9, 2]);
    let copy = vm::arguments::VmCopy { source: HERE + 3 * PAGE + 8, size: 8, target: HERE + 4 * PAGE };
    asked::<vm::VmCopy>(&stage, &copy, &[], &[3, 4]).expect("copied");
    assert_eq!(client.load(HERE + 4 * PAGE + 7, 2), [3, 4]);
    let read = vm::arguments::VmRead { address: HERE + 5 * PAGE, size: PAGE };
    let region = asked::<vm::VmRead>(&stage, &read, &[], &[5]).expect("a copy").memory;
    assert_eq!(client.load(region.address, 1), [5]);
    let theirs = stage.pager.give(client, stage.object, Disposition::CopySend);
    let object = Descriptor::port(theirs, Disposition::CopySend as u8);
    let (protection, maximum, inheritance) = (READ_WRITE, READ_WRITE, Inheritance::None as u32);
    let flags = MapFlags::COPY.bits();
    let (address, size, offset) = (0x6000_0000, PAGE, 6 * PAGE);
    let map = vm::arguments::VmMap { address, size, offset, protection, maximum, inheritance, flags };
    asked::<vm::VmMap>(&stage, &map, &[object], &[6]).expect("mapped");
    assert_eq!(client.load(address, 1), [6]);
    let limits = Limits { memory: 100_000, ports: 10, frames: 100 };
    let heir = routine::arguments::Create { name: [b'c'; 32], limits, flags: CreateFlags::INHERIT.bits(), reserved: 0 };
    let child = asked::<routine::Create>(&stage, &heir, &[no_right()], &[7]).expect("a child").rights[0];
    assert_eq!(vm::vm_peek(&**client, child, HERE + 7 * PAGE, 1).expect("bytes").results.data[0], 7);
    routine::terminate(&**client, child).expect("ended");
    assert_eq!(client.call(Call::DebugWrite { address: HERE, size: 8 }).done().0, Ok(()));
}

#[test]
fn a_routine_whose_page_does_not_come_is_not_done() {
    let stage = Stage::new();
    let (client, own) = (&stage.client, stage.client.task_self());
    let peek = vm::arguments::VmPeek { address: HERE, size: 8 };
    let ask = |when_full| client.request::<vm::VmPeek>(own, &peek, &[], when_full);
    let refused = ask(WhenFull::Wait);
    stage.refuse(0, Error::MemoryError).expect("refused");
    assert_eq!(answer::<vm::VmPeek>(refused.done()).map(drop), Err(Error::MemoryError), "in a reply");
    let late = ask(WhenFull::WaitMs(20));
    stage.system.advance_ms(19);
    assert!(late.waits());
    stage.system.advance_ms(2);
    assert_eq!(late.done().map(drop), Err(Error::SendTimedOut));
    let debug = Call::DebugWrite { address: HERE, size: 8 };
    assert_eq!(client.call(debug).done().0, Err(Error::MemoryError), "this one does not wait");
    let lost = ask(WhenFull::Wait);
    stage.pager.port_mod_refs(stage.port, RightKind::Receive, -1).expect("given up");
    assert_eq!(answer::<vm::VmPeek>(lost.done()).map(drop), Err(Error::MemoryFailure));
    assert_eq!(vm::vm_peek(&**client, own, HERE, 8).map(drop), Err(Error::MemoryFailure));
}

#[test]
fn a_pager_whose_own_page_is_anothers_waits_for_that() {
    let stage = Stage::new();
    let second = stage.system.task("second");
    let port = second.port(Capacity::DEFAULT);
    let made = create(&second, PAGE, Descriptor::port(port, Disposition::MakeSend as u8));
    let [object, control] = made.expect("an object");
    let own = stage.client.give(&second, stage.client.task_self(), Disposition::CopySend);
    let from = Descriptor::port(own, Disposition::CopySend as u8);
    let supply = pager::arguments::Supply { offset: 0, address: HERE + PAGE - 4 };
    let supplying = second.request::<pager::Supply>(control, &supply, &[from], WhenFull::Wait);
    for page in [0, 1] {
        assert!(supplying.waits());
        assert_eq!(stage.request().expect("a request").offset, page * PAGE);
        stage.supply(page, page as u8 + 1).expect("supplied");
    }
    answer::<pager::Supply>(supplying.done()).expect("supplied");
    let right = Descriptor::port(object, Disposition::CopySend as u8);
    map(&second, right, HERE, 1, MapFlags::empty()).expect("mapped");
    assert_eq!(second.load(HERE + 3, 2), [1, 2]);
    let theirs = stage.pager.give(&stage.client, stage.object, Disposition::CopySend);
    let reserve = memory_object::arguments::Reserve { offset: 2 * PAGE, size: 1 };
    let reserving = stage.client.request::<memory_object::Reserve>(theirs, &reserve, &[], WhenFull::Wait);
    assert!(reserving.waits());
    stage.supply(2, 0).expect("supplied");
    answer::<memory_object::Reserve>(reserving.done()).expect("reserved");
}

#[test]
fn a_pager_is_not_to_wait_for_itself_in_a_routine() {
    let stage = Stage::new();
    let (pager, theirs) = (&stage.pager, stage.client.kernel_port());
    let own = stage.system.first().give(pager, theirs, Disposition::CopySend);
    assert_eq!(vm::vm_peek(&**pager, own, HERE, 8).map(drop), Err(Error::MemoryError));
    assert_eq!(stage.request(), None, "and it asks for none");
}

#[test]
fn memory_is_sent_once_its_pages_are_there() {
    let stage = Stage::new();
    let client = &stage.client;
    let (port, spare) = (client.port(Capacity::DEFAULT), client.port(Capacity::DEFAULT));
    for flags in [0, Descriptor::MOVE] {
        let first = if flags == 0 { 0 } else { 2 };
        let memory = Descriptor::memory(HERE + first * PAGE + 16, PAGE, flags);
        let message = Message::by(port, Disposition::MakeSend).right(spare, Disposition::MakeSend).descriptor(memory);
        let sending = client.send(message, WhenFull::Wait);
        for page in [first, first + 1] {
            assert!(sending.waits());
            assert_eq!((client.status(port).messages, client.status(spare).send_rights), (0, 0), "nothing is taken");
            assert_eq!(stage.request().expect("a request").offset, page * PAGE);
            stage.supply(page, page as u8 + 1).expect("supplied");
        }
        sending.done().expect("sent");
        let received = client.receive_now(port).done().expect("the message");
        let region = received.rights[1];
        assert_eq!(client.load(region.address, 1), [first as u8 + 1]);
        assert_eq!(client.load(region.address + PAGE - 1, 1), [first as u8 + 2]);
        client.port_deallocate(received.rights[0].name).expect("a right");
    }
    let memory = Descriptor::memory(HERE + 5 * PAGE, PAGE, Descriptor::MOVE);
    let message = Message::by(port, Disposition::MakeSend).right(spare, Disposition::MoveReceive).descriptor(memory);
    let sending = client.send(message, WhenFull::Wait);
    stage.refuse(5, Error::MemoryError).expect("refused");
    assert_eq!(sending.done(), Err(Error::SendInvalidMemory));
    assert_eq!(client.status(spare).messages, 0, "it is the sender's still");
}

#[test]
fn what_is_wrong_is_refused() {
    let stage = Stage::new();
    let pager = &stage.pager;
    let make = |size, right| create(pager, size, right).map(drop);
    let port = Descriptor::port(stage.port, Disposition::MakeSend as u8);
    assert_eq!(make(0, port), Err(Error::InvalidArgument));
    assert_eq!(make(PAGE, no_right()), Err(Error::InvalidCapability));
    let kernel = Descriptor::port(pager.task_self(), Disposition::CopySend as u8);
    assert_eq!(make(PAGE, kernel), Err(Error::InvalidCapability));
    let supply = |offset, address, right| pager::supply(&**pager, stage.control, offset, address, right).map(drop);
    assert_eq!(supply(8, DESK, kernel), Err(Error::InvalidArgument));
    assert_eq!(supply(PAGES * PAGE, DESK, kernel), Err(Error::InvalidArgument));
    assert_eq!(supply(u64::MAX - 4095, DESK, kernel), Err(Error::InvalidArgument));
    assert_eq!(supply(0, DESK, port), Err(Error::InvalidCapability));
    assert_eq!(supply(0, DESK + 8, kernel), Err(Error::InvalidAddress));
    assert_eq!(supply(0, u64::MAX, kernel), Err(Error::InvalidAddress));
    for code in [0, 999, Error::SendTimedOut.code()] {
        assert_eq!(pager::refuse(&**pager, stage.control, 0, code, 0).map(drop), Err(Error::InvalidArgument));
    }
    assert_eq!(stage.refuse(PAGES, Error::Failure), Err(Error::InvalidArgument));
    assert_eq!(stage.refuse(0, Error::Failure), Ok(()), "nobody waits");
}

#[test]
fn the_control_right_keeps_the_object() {
    let stage = Stage::new();
    stage.pager.port_deallocate(stage.object).expect("ours");
    vm::vm_deallocate(&*stage.client, stage.client.task_self(), HERE, PAGES * PAGE).expect("unmapped");
    assert_eq!(stage.supply(0, 1), Ok(()));
    let before = stage.system.statistics().memory_objects;
    stage.pager.port_deallocate(stage.control).expect("ours");
    assert_eq!(stage.system.statistics().memory_objects, before - 1);
}
