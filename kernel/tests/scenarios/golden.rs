//! Every call that takes a range of memory, with every kind of address and size.
//!
//! What each returns is in a list, `golden.txt`, with a line for each address and a letter for each size. A
//! call that is not in the list, or returns something else than it says, fails. What the letters mean: [`letter`].
//! Neighbour: `memory`, where single rules are tried.

use crate::harness::{MEMORY, Message, ORDINARY, System, Task, WhenFull, no_right};
use portolan_abi::call::{Call, Receive, Send};
use portolan_abi::interface::{REPLY_OFFSET, ReplyHead, Routine};
use portolan_abi::message::{Descriptor, Options};
use portolan_abi::vm::{self, INLINE_MAX, Inheritance, MapFlags, USER_END};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, Result, error, memory_object};
use std::fmt::Write;
use zerocopy::FromBytes;

const PAGE: u64 = PAGE_SIZE as u64;
/// Four pages to be read and written, one to be read, one for nothing, one that is free, and one of an object.
const HERE: u64 = 0x5000_0000;
const READ_ONLY: u64 = HERE + 4 * PAGE;
const FORBIDDEN: u64 = HERE + 5 * PAGE;
const FREE: u64 = HERE + 6 * PAGE;
const SHARED: u64 = HERE + 7 * PAGE;
const COPY: u32 = Inheritance::Copy as u32;

const ADDRESSES: &[(&str, u64)] = &[
    ("0", 0),
    ("1", 1),
    ("page - 1", PAGE - 1),
    ("page", PAGE),
    ("page + 1", PAGE + 1),
    ("before", HERE - PAGE),
    ("before + 1", HERE - PAGE + 1),
    ("just before", HERE - 1),
    ("here", HERE),
    ("here + 1", HERE + 1),
    ("here + 8", HERE + 8),
    ("here + page - 8", HERE + PAGE - 8),
    ("last writable", READ_ONLY - PAGE),
    ("read only", READ_ONLY),
    ("forbidden", FORBIDDEN),
    ("free", FREE),
    ("shared", SHARED),
    ("behind", SHARED + PAGE),
    ("end - 2 pages", USER_END - 2 * PAGE),
    ("end - page", USER_END - PAGE),
    ("end - 8", USER_END - 8),
    ("end - 1", USER_END - 1),
    ("end", USER_END),
    ("end + 1", USER_END + 1),
    ("hole", 1 << 47),
    ("kernel - page", 0xffff_7fff_ffff_f000),
    ("kernel", 0xffff_8000_0000_0000),
    ("-2 pages", (2 * PAGE).wrapping_neg()),
    ("-page - 1", (PAGE + 1).wrapping_neg()),
    ("-page", PAGE.wrapping_neg()),
    ("-8", u64::MAX - 7),
    ("-1", u64::MAX),
];

const SIZES: &[u64] = &[
    0,
    1,
    2,
    24,
    PAGE - 1,
    PAGE,
    PAGE + 1,
    2 * PAGE,
    4 * PAGE,
    4 * PAGE + 1,
    5 * PAGE,
    7 * PAGE,
    8 * PAGE,
    8 * PAGE + 1,
    65_536,
    65_537,
    1 << 32,
    memory_object::SIZE_MAX,
    memory_object::SIZE_MAX + 1,
    USER_END,
    1 << 47,
    1 << 63,
    PAGE.wrapping_neg(),
    u64::MAX - 1,
    u64::MAX,
];

/// What stands for a result in the list.
fn letter(result: Result<()>) -> char {
    match result {
        Ok(()) => '.',
        Err(Error::InvalidAddress) => 'a',
        Err(Error::ProtectionFailure) => 'p',
        Err(Error::NoSpace) => 'f',
        Err(Error::InvalidArgument) => 'g',
        Err(Error::ResourceShortage) => 'r',
        Err(Error::SendInvalidMemory) => 'M',
        Err(Error::SendInvalidHeader) => 'H',
        Err(Error::SendTooSmall) => 'S',
        Err(Error::SendTooLarge) => 'L',
        Err(Error::ReceiveInvalidMemory) => 'm',
        Err(Error::ReceiveTooLarge) => 'l',
        Err(error) => panic!("{error:?} is in no list"),
    }
}

/// A task with memory of each kind.
struct Stage {
    system: System,
    task: Task,
    own: Name,
    /// The kernel port of another task, with memory of each kind and nothing else.
    target: Name,
    object: Name,
    port: Name,
}

impl Stage {
    fn new() -> Stage {
        let system = System::boot();
        let task = system.task("task");
        let own = task.task_self();
        let object = vm::memory_object_create(&*task, own, PAGE).expect("an object").rights[0];
        let port = task.port(Capacity::Bounded(1));
        task.give_send(&task, port);
        let empty = system.empty_task("target", ORDINARY).expect("a task");
        let target = system.first().give(&task, empty, Disposition::CopySend);
        let stage = Stage { system, task, own, target, object, port };
        [own, target].into_iter().for_each(|task| stage.furnish(task));
        stage
    }

    /// Maps in a task what is to be there, and nothing else.
    fn furnish(&self, own: Name) {
        let mut next = 0;
        while let Ok(region) = vm::vm_region(&*self.task, own, next) {
            let info = region.results.info;
            next = info.address + info.size;
            if info.address != MEMORY {
                vm::vm_deallocate(&*self.task, own, info.address, info.size).expect("unmapped");
            }
        }
        let (all, read) = (Protection::READ_WRITE.bits(), Protection::READ.bits());
        let object = Descriptor::port(self.object, Disposition::CopySend as u8);
        for (address, size, protection, what) in [
            (HERE, 4 * PAGE, all, no_right()),
            (READ_ONLY, PAGE, read, no_right()),
            (FORBIDDEN, PAGE, 0, no_right()),
            (SHARED, PAGE, all, object),
        ] {
            vm::vm_map(&*self.task, own, address, size, 0, protection, protection, COPY, 0, what).expect("mapped");
        }
    }

    fn map(&self, address: u64, size: u64, flags: MapFlags, object: Descriptor, offset: u64) -> Result<()> {
        let all = Protection::READ_WRITE.bits();
        vm::vm_map(&*self.task, self.target, address, size, offset, all, all, COPY, flags.bits(), object).map(drop)
    }

    fn object(&self) -> Descriptor {
        Descriptor::port(self.object, Disposition::CopySend as u8)
    }

    /// Sends memory, and receives it again.
    fn pass_on(&self, address: u64, size: u64, flags: u16) -> Result<()> {
        let message = Message::to(self.port).descriptor(Descriptor::memory(address, size, flags));
        self.task.send(message, WhenFull::Return).done()?;
        self.task.receive_now(self.port).done()?;
        // Its own memory is as before again.
        self.furnish(self.own);
        Ok(())
    }

    /// Writes memory that a request brings.
    fn write(&self, from: u64, size: u64) -> Result<()> {
        let reply = self.task.port(Capacity::Bounded(1));
        let arguments = HERE.to_le_bytes();
        let request =
            Message::to(self.target).reply(reply, Disposition::MakeSendOnce).id(vm::VmWrite::ID).text(arguments);
        let answer = self.task.rpc(request.descriptor(Descriptor::memory(from, size, 0)), reply).done();
        self.task.port_deallocate(reply).expect("ours");
        let answer = answer?;
        assert_eq!(answer.header.id, vm::VmWrite::ID + REPLY_OFFSET);
        error::result_of(ReplyHead::read_from_prefix(&answer.body).expect("a head").0.code)
    }

    fn send_from(&self, address: u64, size: u64) -> Result<()> {
        let send = Send { address, size: size.try_into().unwrap_or(u32::MAX), timeout: 0 };
        let sent = self.task.call(Call::Message { send: Some(send), receive: None, options: Options::SEND_TIMEOUT });
        sent.done().0
    }

    fn receive_into(&self, address: u64, size: u64) -> Result<()> {
        self.task.send(Message::to(self.port).text([7; 100]), WhenFull::Return).result();
        let receive = Receive { address, size: size.try_into().unwrap_or(u32::MAX), port: self.port, timeout: 0 };
        let call = Call::Message { send: None, receive: Some(receive), options: Options::RCV_TIMEOUT };
        self.task.call(call).done().0
    }
}

/// A call on a range of a task's memory, or its sender's.
type RangeCall = (&'static str, fn(&Stage, u64, u64) -> Result<()>);

const CALLS: &[RangeCall] = &[
    ("vm_map", |s, address, size| s.map(address, size, MapFlags::empty(), no_right(), 0)),
    ("vm_map anywhere", |s, address, size| s.map(address, size, MapFlags::ANYWHERE, no_right(), 0)),
    ("vm_map of an object", |s, address, size| s.map(address, size, MapFlags::empty(), s.object(), 0)),
    ("vm_map from an offset", |s, offset, size| s.map(FREE, size, MapFlags::empty(), s.object(), offset)),
    ("vm_map of a copy", |s, address, size| s.map(address, size, MapFlags::COPY, s.object(), 0)),
    ("vm_deallocate", |s, address, size| vm::vm_deallocate(&*s.task, s.target, address, size).map(drop)),
    ("vm_protect", |s, address, size| vm::vm_protect(&*s.task, s.target, address, size, 1, 0).map(drop)),
    ("vm_protect the maximum", |s, address, size| vm::vm_protect(&*s.task, s.target, address, size, 1, 1).map(drop)),
    ("vm_inherit", |s, address, size| vm::vm_inherit(&*s.task, s.target, address, size, COPY, 0).map(drop)),
    ("vm_peek", |s, address, size| vm::vm_peek(&*s.task, s.target, address, size).map(drop)),
    ("vm_poke", |s, address, size| vm::vm_poke(&*s.task, s.target, address, size, [7; INLINE_MAX]).map(drop)),
    ("vm_read", |s, address, size| vm::vm_read(&*s.task, s.target, address, size).map(drop)),
    ("vm_write", |s, from, size| s.write(from, size)),
    ("vm_copy from", |s, address, size| vm::vm_copy(&*s.task, s.target, address, size, HERE).map(drop)),
    ("vm_copy to", |s, address, size| vm::vm_copy(&*s.task, s.target, HERE, size, address).map(drop)),
    ("reserve", |s, offset, size| memory_object::reserve(&*s.task, s.object, offset, size).map(drop)),
    ("memory in a message", |s, address, size| s.pass_on(address, size, 0)),
    ("moved memory in a message", |s, address, size| s.pass_on(address, size, Descriptor::MOVE)),
    ("rights in a message", |s, address, count| {
        let array = Descriptor::ports(address, count, Disposition::CopySend as u8);
        s.task.send(Message::to(s.port).descriptor(array), WhenFull::Return).done()?;
        s.task.receive_now(s.port).done().map(drop)
    }),
    ("msg_send", |s, address, size| s.send_from(address, size)),
    ("msg_receive", |s, address, size| s.receive_into(address, size)),
];

/// The list, as it is.
fn list() -> String {
    let mut text = String::new();
    for (call, act) in CALLS {
        let stage = Stage::new();
        writeln!(text, "{call}").expect("a string takes all");
        for (place, address) in ADDRESSES {
            let letters: String = stage.system.unchecked(|| {
                let each = SIZES.iter().map(|size| {
                    let result = act(&stage, *address, *size);
                    stage.furnish(stage.target);
                    letter(result)
                });
                each.collect()
            });
            writeln!(text, "    {place:16} {letters}").expect("a string takes all");
        }
    }
    text
}

#[test]
fn every_range_has_the_result_that_the_list_says() {
    let list = list();
    let differs = list.lines().zip(include_str!("golden.txt").lines()).position(|(is, was)| is != was);
    assert!(list == include_str!("golden.txt"), "from line {differs:?} on:\n{list}");
}
