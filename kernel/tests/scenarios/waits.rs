//! Every kind of wait, and all that can be done meanwhile to who waits and to what is waited for.
//!
//! What ends each wait, and how, is a table ([`ENDS`]); what is not in it leaves the wait as it is. Any
//! two deeds one after the other keep the invariants, leave nothing behind, and end a wait with a result
//! that it can have. Neighbours: `suspend`, `death`, `timeouts` try single rules more closely.

use crate::harness::{MEMORY, Mailbox, Message, Thread, WhenFull, answer};
use portolan_abi::call::WordWait;
use portolan_abi::message::{Descriptor, Options};
use portolan_abi::task::{self, SpecialPort};
use portolan_abi::vm::{self, Inheritance};
use portolan_abi::{AtFull, Call, Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, WordOptions};
use portolan_abi::{pager, port, thread};
use portolan_machine::Exception;
use portolan_machine::sim::script::{Action, Outcome};
use std::collections::BTreeMap;

const PAGE: u64 = PAGE_SIZE as u64;
/// Where memory is mapped whose pages a pager has.
const PAGED: u64 = 0x5000_0000;
/// A word.
const WORD: u64 = MEMORY + 0x1_0000;
/// The thread that waits is its task's second one: what it receives into, in a page of its own.
const BUFFERS: u64 = MEMORY + 0x4_0000;
const BUFFERS_SIZE: u64 = 0x4_0000;

/// A full mailbox, and a sender with all that its second thread can wait for.
struct Stage {
    mailbox: Mailbox,
    thread: Thread,
    /// The thread's kernel port, as the first task names it.
    known_as: Name,
    /// A port of the sender's, to which the receiver can send; and how it names it.
    own: Name,
    to_own: Name,
    /// A set of the sender's, with a member to which the receiver can send.
    set: Name,
    member: Name,
    to_member: Name,
    /// Another set.
    other_set: Name,
    /// The receiver is the pager of the sender's memory.
    pager: Name,
    control: Name,
    /// Where the sender's exceptions go.
    handler: Name,
}

impl Stage {
    fn new() -> Stage {
        let mailbox = Mailbox::full(Capacity::Bounded(1));
        let Mailbox { system, sender, receiver, .. } = &mailbox;
        // What is made here is made in the same way each time.
        system.check_steps(false);
        let first = system.first();
        let thread = sender.thread();
        let known_as = sender.give(first, thread.thread_self(), Disposition::CopySend);
        system.give_up_later(known_as);
        let set = sender.port_set();
        let other_set = sender.port_set();
        let [own, member] = [(); 2].map(|()| sender.port(Capacity::Bounded(2)));
        sender.port_move_member(member, set).expect("a member");
        let [to_own, to_member] = [own, member].map(|port| sender.give_send(receiver, port));
        let pager = receiver.port(Capacity::DEFAULT);
        let door = Descriptor::port(pager, Disposition::MakeSend as u8);
        let made = vm::memory_object_create_paged(&**receiver, receiver.task_self(), PAGE, 0, door);
        let [object, control, ..] = made.expect("an object").rights;
        let object = receiver.give(sender, object, Disposition::MoveSend);
        let object = Descriptor::port(object, Disposition::MoveSend as u8);
        let (usable, inherited) = (Protection::READ_WRITE.bits(), Inheritance::None as u32);
        vm::vm_map(&**sender, sender.task_self(), PAGED, PAGE, 0, usable, usable, inherited, 0, object)
            .expect("mapped");
        let handler = receiver.port(Capacity::DEFAULT);
        thread.load(BUFFERS, 1);
        system.check_steps(true);
        Stage { thread, known_as, own, to_own, set, member, to_member, other_set, pager, control, handler, mailbox }
    }

    fn first(&self) -> &Thread {
        self.mailbox.system.first()
    }

    /// The sender's kernel port, as the first task names it.
    fn sender(&self) -> Name {
        self.mailbox.sender.kernel_port()
    }

    fn receiver(&self) -> Name {
        self.mailbox.receiver.kernel_port()
    }

    /// Has the sender's exceptions come to the receiver.
    fn handle_exceptions(&self) {
        let right = self.mailbox.receiver.give_send(&self.mailbox.sender, self.handler);
        let right = Descriptor::port(right, Disposition::MoveSend as u8);
        let own = self.mailbox.sender.task_self();
        task::set_special_port(&*self.mailbox.sender, own, SpecialPort::Exception as u32, 0, right).expect("set");
    }

    /// The receiver sends something.
    fn tell(&self, to: Name) -> Result<()> {
        self.mailbox.receiver.send(Message::to(to), WhenFull::Return);
        Ok(())
    }

    /// The first task's own right to the pager's control port.
    fn control(&self) -> Result<Name> {
        let how = Disposition::CopySend as u32;
        port::port_extract_right(self.first(), self.receiver(), self.control, how).map(|taken| taken.rights[0])
    }

    /// Whether the thread is still there.
    fn lives(&self) -> bool {
        self.mailbox.system.first().port_type(self.known_as).is_ok_and(|kind| kind.dead == 0)
    }
}

/// How a wait ended, once it has.
type Ending = Box<dyn Fn() -> Option<Result<()>>>;
/// A kind of wait.
type Wait = (&'static str, fn(&Stage) -> Ending);
/// Something that is done meanwhile; whether it can be done does not matter.
type Deed = (&'static str, fn(&Stage) -> Result<()>);

fn request(s: &Stage) -> Message {
    Message::to(s.mailbox.to).reply(s.own, Disposition::MakeSendOnce).text("a request")
}

/// A message with everything that a name can lose.
fn loaded(s: &Stage) -> Message {
    let spare = s.mailbox.sender.port(Capacity::DEFAULT);
    let gone = s.mailbox.sender.port(Capacity::DEFAULT);
    s.mailbox.sender.give_send(&s.mailbox.sender, gone);
    let memory = Descriptor::memory(MEMORY + 0x2_0000, 100, Descriptor::MOVE);
    request(s).right(spare, Disposition::MoveReceive).right(gone, Disposition::MoveSend).descriptor(memory)
}

const WAITS: &[Wait] = &[
    ("send", |s| {
        let sent = s.thread.send_with(loaded(s), Options::SEND_INTERRUPT, 0);
        Box::new(move || sent.result())
    }),
    ("deaf send", |s| {
        let sent = s.thread.send_with(loaded(s), Options::empty(), 0);
        Box::new(move || sent.result())
    }),
    ("timed send", |s| {
        let sent = s.thread.send(loaded(s), WhenFull::WaitMsThenCache(50));
        Box::new(move || sent.result())
    }),
    ("receive", |s| {
        let received = s.thread.receive_with(s.own, Options::RCV_INTERRUPT, 0, 1024);
        Box::new(move || Some(received.result()?.map(drop)))
    }),
    ("timed receive", |s| {
        let received = s.thread.receive_within(s.own, 50);
        Box::new(move || Some(received.result()?.map(drop)))
    }),
    ("receive at set", |s| {
        let received = s.thread.receive_with(s.set, Options::RCV_INTERRUPT, 0, 1024);
        Box::new(move || Some(received.result()?.map(drop)))
    }),
    ("rpc, sending", |s| {
        let answer = s.thread.rpc(request(s), s.own);
        Box::new(move || Some(answer.result()?.map(drop)))
    }),
    ("rpc, receiving", |s| {
        s.mailbox.take().expect("what filled it");
        let answer = s.thread.rpc(request(s), s.own);
        Box::new(move || Some(answer.result()?.map(drop)))
    }),
    ("sleep", |s| {
        let sleep = s.thread.sleep(50);
        Box::new(move || sleep.result())
    }),
    ("word", |s| {
        let options = WordOptions::empty();
        let wait = s.thread.call(Call::WordWait(WordWait { address: WORD, expected: 0, deadline: None, options }));
        Box::new(move || Some(wait.result()?.0))
    }),
    ("page", |s| {
        let load = s.thread.perform(vec![Action::Load { address: PAGED, size: 1 }]);
        Box::new(move || load.result().map(|_| Ok(())))
    }),
    ("page of message", |s| {
        let memory = Descriptor::memory(PAGED, 8, Descriptor::MOVE);
        let spare = s.mailbox.sender.port(Capacity::DEFAULT);
        let message = request(s).right(spare, Disposition::MoveReceive).descriptor(memory);
        let sent = s.thread.send_with(message, Options::SEND_INTERRUPT, 0);
        Box::new(move || sent.result())
    }),
    ("page of routine", |s| {
        let own = s.mailbox.sender.task_self();
        let peek = vm::arguments::VmPeek { address: PAGED, size: 8 };
        let asked = s.thread.request::<vm::VmPeek>(own, &peek, &[], WhenFull::WaitMs(50));
        Box::new(move || Some(answer::<vm::VmPeek>(asked.result()?).map(drop)))
    }),
    ("page of word", |s| {
        let options = WordOptions::empty();
        let wait = s.thread.call(Call::WordWait(WordWait { address: PAGED, expected: 1, deadline: None, options }));
        Box::new(move || Some(wait.result()?.0))
    }),
    ("exception", |s| {
        s.handle_exceptions();
        let raised = s.thread.perform(vec![Action::Raise(Exception::Divide)]);
        Box::new(move || raised.result().map(|outcome| assert_eq!(outcome, Outcome::Done)).map(Ok))
    }),
];

const DEEDS: &[Deed] = &[
    ("abort", |s| thread::abort(s.first(), s.known_as).map(drop)),
    ("suspend", |s| thread::suspend(s.first(), s.known_as).map(drop)),
    ("resume", |s| thread::resume(s.first(), s.known_as).map(drop)),
    ("suspend task", |s| task::suspend(s.first(), s.sender()).map(drop)),
    ("resume task", |s| task::resume(s.first(), s.sender()).map(drop)),
    ("time", |s| {
        s.mailbox.system.advance_ms(100);
        Ok(())
    }),
    ("set state", |s| {
        let state = thread::get_state(s.first(), s.known_as)?.results.registers;
        thread::set_state(s.first(), s.known_as, state).map(drop)
    }),
    ("set priority", |s| thread::set_priority(s.first(), s.known_as, 3, 0).map(drop)),
    ("end thread", |s| thread::terminate(s.first(), s.known_as).map(drop)),
    ("end task", |s| task::terminate(s.first(), s.sender()).map(drop)),
    ("end peer", |s| task::terminate(s.first(), s.receiver()).map(drop)),
    ("end mailbox", |s| port::port_destroy(s.first(), s.receiver(), s.mailbox.port, 0).map(drop)),
    ("end pager", |s| port::port_destroy(s.first(), s.receiver(), s.pager, 0).map(drop)),
    ("end control", |s| port::port_destroy(s.first(), s.receiver(), s.control, 0).map(drop)),
    ("end handler", |s| port::port_destroy(s.first(), s.receiver(), s.handler, 0).map(drop)),
    ("end own", |s| port::port_destroy(s.first(), s.sender(), s.own, 0).map(drop)),
    ("end set", |s| port::port_destroy(s.first(), s.sender(), s.set, 0).map(drop)),
    ("end member", |s| port::port_destroy(s.first(), s.sender(), s.member, 0).map(drop)),
    ("drop name", |s| port::port_destroy(s.first(), s.sender(), s.mailbox.to, 0).map(drop)),
    ("rename own", |s| port::port_rename(s.first(), s.sender(), s.own, Name::new(s.own.index() + 70, 3)).map(drop)),
    ("rename set", |s| port::port_rename(s.first(), s.sender(), s.set, Name::new(s.set.index() + 71, 3)).map(drop)),
    ("rename mailbox", |s| {
        port::port_rename(s.first(), s.sender(), s.mailbox.to, Name::new(s.mailbox.to.index() + 72, 3)).map(drop)
    }),
    ("own into set", |s| port::port_move_member(s.first(), s.sender(), s.own, s.other_set).map(drop)),
    ("member out of set", |s| port::port_move_member(s.first(), s.sender(), s.member, Name::NULL).map(drop)),
    ("take own away", |s| {
        let how = Disposition::MoveReceive as u32;
        let taken = port::port_extract_right(s.first(), s.sender(), s.own, how)?;
        s.mailbox.system.give_up_later(taken.rights[0]);
        Ok(())
    }),
    ("no room", |s| port::port_set_full(s.first(), s.receiver(), s.mailbox.port, AtFull::Refuse.code()).map(drop)),
    ("drop newest", |s| {
        port::port_set_full(s.first(), s.receiver(), s.mailbox.port, AtFull::DropNewest.code()).map(drop)
    }),
    ("drop oldest", |s| {
        port::port_set_full(s.first(), s.receiver(), s.mailbox.port, AtFull::DropOldest.code()).map(drop)
    }),
    ("more room", |s| {
        port::port_set_backlog(s.first(), s.receiver(), s.mailbox.port, Capacity::Unbounded.code()).map(drop)
    }),
    ("take message", |s| {
        s.mailbox.receiver.receive_now(s.mailbox.port);
        Ok(())
    }),
    ("tell own", |s| s.tell(s.to_own)),
    ("tell member", |s| s.tell(s.to_member)),
    ("wake", |s| {
        s.mailbox.sender.call(Call::WordWake { address: WORD, count: 9 });
        Ok(())
    }),
    ("supply", |s| {
        let (control, receiver) = (s.control()?, Descriptor::port(s.receiver(), Disposition::CopySend as u8));
        let supplied = pager::supply(s.first(), control, 0, MEMORY, receiver);
        s.first().port_deallocate(control).and(supplied.map(drop))
    }),
    ("refuse", |s| {
        let control = s.control()?;
        let refused = pager::refuse(s.first(), control, 0, Error::MemoryError.code(), 0);
        s.first().port_deallocate(control).and(refused.map(drop))
    }),
    ("unmap buffers", |s| vm::vm_deallocate(s.first(), s.sender(), BUFFERS, BUFFERS_SIZE).map(drop)),
    ("protect buffers", |s| vm::vm_protect(s.first(), s.sender(), BUFFERS, BUFFERS_SIZE, 0, 0).map(drop)),
    ("unmap word", |s| vm::vm_deallocate(s.first(), s.sender(), WORD, PAGE).map(drop)),
    ("unmap paged", |s| vm::vm_deallocate(s.first(), s.sender(), PAGED, PAGE).map(drop)),
];

/// By wait: how it ends, and by what.
const ENDS: &[&str] = &[
    "send: Ok: drop newest, drop oldest, more room, take message",
    "send: SendInterrupted: abort",
    "send: SendInvalidPort: end peer, end mailbox",
    "send: SendPortFull: no room",
    "send: gone: end thread, end task",
    "deaf send: Ok: drop newest, drop oldest, more room, take message",
    "deaf send: SendInvalidPort: end peer, end mailbox",
    "deaf send: SendPortFull: no room",
    "deaf send: gone: end thread, end task",
    "timed send: Ok: drop newest, drop oldest, more room, take message",
    "timed send: SendInvalidPort: end peer, end mailbox",
    "timed send: SendPortFull: no room",
    "timed send: SendWillNotify: time",
    "timed send: gone: end thread, end task",
    "receive: Ok: tell own",
    "receive: ReceiveInterrupted: abort",
    "receive: ReceivePortChanged: own into set",
    "receive: ReceivePortDied: end own, take own away",
    "receive: gone: end thread, end task",
    "timed receive: Ok: tell own",
    "timed receive: ReceivePortChanged: own into set",
    "timed receive: ReceivePortDied: end own, take own away",
    "timed receive: ReceiveTimedOut: time",
    "timed receive: gone: end thread, end task",
    "receive at set: Ok: tell member",
    "receive at set: ReceiveInterrupted: abort",
    "receive at set: ReceivePortDied: end set",
    "receive at set: gone: end thread, end task",
    "rpc, sending: ReceiveReplyLost: drop newest",
    "rpc, sending: SendInvalidPort: end peer, end mailbox",
    "rpc, sending: SendPortFull: no room",
    "rpc, sending: gone: end thread, end task",
    "rpc, receiving: Ok: tell own",
    "rpc, receiving: ReceivePortChanged: own into set",
    "rpc, receiving: ReceivePortDied: end own, take own away",
    "rpc, receiving: ReceiveReplyLost: end peer, end mailbox",
    "rpc, receiving: gone: end thread, end task",
    "sleep: Aborted: abort",
    "sleep: Ok: time",
    "sleep: gone: end thread, end task",
    "word: Aborted: abort",
    "word: Ok: wake",
    "word: gone: end thread, end task",
    "page: Ok: supply",
    "page: gone: end thread, end task, end peer, end pager, end control, refuse",
    "page of message: SendInterrupted: abort",
    "page of message: SendInvalidMemory: end peer, end pager, end control, refuse",
    "page of message: gone: end thread, end task",
    "page of routine: MemoryError: refuse",
    "page of routine: MemoryFailure: end peer, end pager, end control",
    "page of routine: Ok: supply",
    "page of routine: SendTimedOut: time",
    "page of routine: gone: end thread, end task",
    "page of word: Aborted: abort",
    "page of word: MemoryError: refuse",
    "page of word: MemoryFailure: end peer, end pager, end control",
    "page of word: ValueDiffers: supply",
    "page of word: gone: end thread, end task",
    "exception: Ok: abort",
    "exception: gone: end thread, end task, end peer, end handler",
];

/// What has become of a wait.
fn outcome(stage: &Stage, ending: &Ending) -> String {
    match ending() {
        Some(Ok(())) => "Ok".to_owned(),
        Some(Err(error)) => format!("{error:?}"),
        None if stage.lives() => "waits".to_owned(),
        None => "gone".to_owned(),
    }
}

/// The table, as it is.
fn table() -> Vec<String> {
    let mut lines = Vec::new();
    for (wait, begin) in WAITS {
        let mut by_outcome: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (deed, act) in DEEDS {
            let stage = Stage::new();
            let ending = begin(&stage);
            assert_eq!(outcome(&stage, &ending), "waits", "{wait}");
            let _ = act(&stage);
            by_outcome.entry(outcome(&stage, &ending)).or_default().push(deed);
        }
        by_outcome.remove("waits");
        lines.extend(by_outcome.iter().map(|(outcome, deeds)| format!("{wait}: {outcome}: {}", deeds.join(", "))));
    }
    lines
}

#[test]
fn each_wait_ends_by_what_the_table_says() {
    let table = table();
    assert_eq!(table, ENDS, "\n{}", table.iter().map(|line| format!("    {line:?},\n")).collect::<String>());
}

/// What the table says that a deed does to a wait.
fn expected(wait: &str, deed: &str) -> &'static str {
    let line = ENDS.iter().find_map(|line| {
        let (outcome, deeds) = line.strip_prefix(wait)?.strip_prefix(": ")?.split_once(": ")?;
        deeds.split(", ").any(|named| named == deed).then_some(outcome)
    });
    line.unwrap_or("waits")
}

#[test]
fn a_suspended_threads_wait_ends_in_the_same_way_and_is_seen_when_it_is_resumed() {
    for (wait, begin) in WAITS {
        for (deed, act) in DEEDS.iter().filter(|(deed, _)| *deed != "resume") {
            let stage = Stage::new();
            let ending = begin(&stage);
            thread::suspend(stage.first(), stage.known_as).expect("suspended");
            let _ = act(&stage);
            let expected = expected(wait, deed);
            let before = if expected == "gone" { "gone" } else { "waits" };
            // Without a handler, an exception ends its task only when the thread comes to it.
            let unhandled = (*wait, *deed) == ("page", "refuse") || (*wait == "page" && expected == "gone");
            let seen = outcome(&stage, &ending);
            assert!(seen == before || unhandled, "{wait}, {deed}: {seen}");
            let _ = thread::resume(stage.first(), stage.known_as);
            stage.mailbox.system.rest();
            assert_eq!(outcome(&stage, &ending), expected, "{wait}, {deed}");
        }
    }
}

/// All that a wait can end with after two deeds. The first may have let a wait for a place begin; or of a `msg_rpc`
/// the second half, where the reply port is no longer what it was.
fn endings(wait: &str) -> Vec<&'static str> {
    let ends = |of: &str| -> Vec<&'static str> {
        let outcomes = ENDS.iter().filter_map(|line| line.strip_prefix(of)?.strip_prefix(": ")?.split(": ").next());
        outcomes.collect()
    };
    let mut endings = [ends(wait), vec!["waits"]].concat();
    if wait == "page of message" {
        endings.extend(ends("send"));
    }
    if wait == "rpc, sending" {
        endings.extend(ends("rpc, receiving"));
        endings.extend(["ReceiveInvalidPort", "ReceiveInSet"]);
    }
    endings
}

/// Deeds that end waits of many kinds.
const SECOND: &[&str] = &["abort", "end mailbox", "take message"];

#[test]
fn two_deeds_leave_nothing_behind() {
    for (wait, begin) in WAITS {
        let ends = endings(wait);
        for (one, first) in DEEDS {
            for (other, second) in DEEDS.iter().filter(|(deed, _)| SECOND.contains(deed)) {
                let stage = Stage::new();
                let ending = begin(&stage);
                let _ = (first(&stage), second(&stage));
                let outcome = outcome(&stage, &ending);
                assert!(ends.contains(&outcome.as_str()), "{wait}, {one}, {other}: {outcome}");
            }
        }
    }
}
