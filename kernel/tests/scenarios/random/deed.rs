//! What there is to do, at random.
//!
//! A name is a place in what a task has been told, counted from the newest: most mean
//! something, some no longer, a few never did.

use super::supplier::{PAGES, Supply};
use crate::harness::{MEMORY, WhenFull};
use portolan_abi::interface::Routine;
use portolan_abi::message::Descriptor;
use portolan_abi::notification::Kind;
use portolan_abi::registers::Registers;
use portolan_abi::task as routine;
use portolan_abi::vm::{self, INLINE_MAX, Inheritance, MapFlags};
use portolan_abi::{Capacity, Disposition, Name, PAGE_SIZE, Protection, RightKind, memory_object, port, thread};
use proptest::array::uniform6;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any};
use proptest::prop_oneof;
use zerocopy::IntoBytes;

/// Where deeds map memory: pages from here on.
const WINDOW: u64 = 0x6000_0000;
const PAGE: u64 = PAGE_SIZE as u64;

/// A deed, and who does it.
#[derive(Clone, Debug)]
pub struct Act {
    pub task: usize,
    pub thread: usize,
    pub deed: Deed,
}

/// A place in what a task has been told, counted from the newest.
#[derive(Clone, Copy, Debug)]
pub struct Known(pub usize);

/// A name that a task chooses.
#[derive(Clone, Copy, Debug)]
pub struct Chosen(pub Name);

/// A right for a message.
#[derive(Clone, Copy, Debug)]
pub struct Given(pub Known, pub Disposition);

/// No right: a place far beyond what is known is the null name.
const NOTHING: Given = Given(Known(usize::MAX), Disposition::CopySend);

/// Something that a thread does.
#[derive(Clone, Debug)]
pub enum Deed {
    Allocate(Capacity),
    Deallocate(Known),
    Send {
        message: Letter,
        when_full: WhenFull,
        abortable: bool,
    },
    Receive {
        from: Known,
        ms: Option<u32>,
        room: u32,
    },
    Rpc {
        message: Letter,
        when_full: WhenFull,
        from: Known,
        ms: Option<u32>,
    },
    /// A routine behind the task's own kernel port, or behind any port. The reply goes
    /// to the task, or anywhere.
    Request {
        to: Option<Given>,
        reply: Option<Given>,
        request: Request,
    },
    Touch {
        page: u64,
        write: bool,
    },
    Yield(Known),
    /// Waits on one of a few words, so many ms at most, as if a thread like this owned it.
    WordWait {
        page: u64,
        ms: Option<u32>,
        owner: Option<u64>,
    },
    WordWake {
        page: u64,
        count: u32,
    },
    Sleep(u32),
    Work(u32),
    /// Divides by zero. Whoever is told may reply as it likes.
    Divide,
    NewThread,
    Garbage {
        number: u64,
        arguments: [u64; 6],
    },
    /// The pager does something, to this task if to any.
    Supply(Supply),
    /// A child inherits the task's memory.
    Fork,
    /// The oldest child is written to.
    WriteToChild(u64),
    /// The oldest child ends.
    EndChild,
    /// Time passes.
    Pass(u32),
}

/// A message.
#[derive(Clone, Debug)]
pub struct Letter {
    pub to: Given,
    pub reply: Option<Given>,
    pub rights: Vec<Given>,
    pub enclosures: Vec<Enclosure>,
    pub size: usize,
}

/// What goes into a message besides rights.
#[derive(Clone, Copy, Debug)]
pub enum Enclosure {
    Memory(Bytes, u16),
    Array([Given; 2]),
}

/// A request to the kernel.
#[derive(Clone, Debug)]
pub enum Request {
    SetBacklog(Known, Capacity),
    ModifyReferences(Known, RightKind, i32),
    Status(Known),
    Type(Known),
    Insert(Given),
    Allocate(Capacity),
    Deallocate(Known),
    InsertAs(Chosen, Given),
    AllocateName(Chosen, RightKind, Capacity),
    Rename(Known, Chosen),
    Destroy(Known),
    References(Known, RightKind),
    Names(u32),
    Extract(Known, Disposition),
    SetSequence(Known),
    Notify(Known, Kind, u32, Option<Given>),
    Cancel(Known, Kind),
    SetBackup(Known, Option<Given>),
    MoveMember(Known, Option<Known>),
    Members(Known),
    SetPayload(Known, u64),
    Cached(Known),
    TakeBack(Known, Bytes),
    ReplaceCached(Known, Bytes, Bytes),
    SetFull(Known, u32),
    SetGeneration(Known, u32),
    CreateObject(Pages),
    Derive(Protection),
    SetSize(u64),
    ChangeSize(u64, u64),
    Reserve(Pages),
    Seal(u32),
    NotifyUnmapped(Option<Given>),
    Map(Pages, Option<Known>, Protection, MapFlags),
    Unmap(Pages),
    Protect(Pages, Protection, bool),
    Inherit(Pages, Inheritance),
    Read(Bytes),
    Write(Bytes, u64),
    Peek(Bytes),
    Poke(Bytes),
    Copy(Bytes, u64),
    Region(Pages),
    Statistics,
    EndTask,
    EndThread,
    Abort,
    SuspendThread,
    ResumeThread,
    SuspendTask,
    ResumeTask,
    GetState,
    Threads,
    GetSpecial(u32),
    SetSpecial(u32, Given),
    SetThreadException(Given),
    Register(Vec<Given>),
    LookUp,
    SetState(u64),
    SetPriority(u32),
    Anything(u32, Vec<u8>, Vec<Given>),
}

/// A range of pages.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    first: u64,
    count: u64,
}

/// A range of bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    offset: u64,
    size: u64,
}

impl Bytes {
    pub fn address(self) -> u64 {
        WINDOW + self.offset
    }

    pub fn size(self) -> u64 {
        self.size
    }
}

impl Pages {
    fn address(self) -> u64 {
        page_address(self.first)
    }

    fn size(self) -> u64 {
        self.count * PAGE
    }
}

/// The address of a page in the window.
pub fn page_address(number: u64) -> u64 {
    WINDOW + number * PAGE
}

impl Request {
    /// The name that there may be if it succeeds.
    pub fn chosen(&self) -> Option<Name> {
        match self {
            Request::InsertAs(Chosen(name), _)
            | Request::AllocateName(Chosen(name), ..)
            | Request::Rename(_, Chosen(name)) => Some(*name).filter(|name| name.is_valid()),
            _ => None,
        }
    }

    /// The memory that it brings.
    pub fn memory(&self) -> Option<Bytes> {
        match self {
            Request::Write(bytes, _) => Some(*bytes),
            _ => None,
        }
    }

    /// Its message id, inline bytes and rights. `name` says what a task's names are.
    pub fn encode(self, name: impl Fn(Known) -> Name) -> (u32, Vec<u8>, Vec<Given>) {
        fn of<R: Routine>(arguments: R::Arguments) -> (u32, Vec<u8>, Vec<Given>) {
            (R::ID, arguments.as_bytes().to_vec(), Vec::new())
        }
        let reserved = 0;
        match self {
            Request::SetBacklog(port, capacity) => of::<port::PortSetBacklog>(port::arguments::PortSetBacklog {
                name: name(port),
                capacity: capacity.code(),
            }),
            Request::ModifyReferences(right, kind, delta) => {
                let (name, kind) = (name(right), kind as u32);
                of::<port::PortModRefs>(port::arguments::PortModRefs { name, kind, delta, reserved })
            }
            Request::Status(port) => of::<port::PortStatus>(port::arguments::PortStatus { name: name(port), reserved }),
            Request::Type(right) => of::<port::PortType>(port::arguments::PortType { name: name(right), reserved }),
            Request::Insert(right) => {
                let arguments = port::arguments::PortInsertRight { name: Name::NULL, reserved };
                let (id, body, _) = of::<port::PortInsertRight>(arguments);
                (id, body, vec![right])
            }
            Request::Allocate(capacity) => {
                of::<port::PortAllocate>(port::arguments::PortAllocate { capacity: capacity.code(), reserved })
            }
            Request::Deallocate(right) => {
                of::<port::PortDeallocate>(port::arguments::PortDeallocate { name: name(right), reserved })
            }
            Request::InsertAs(Chosen(name), right) => {
                let (id, body, _) = of::<port::PortInsertRight>(port::arguments::PortInsertRight { name, reserved });
                (id, body, vec![right])
            }
            Request::AllocateName(Chosen(name), kind, capacity) => {
                let (kind, capacity) = (kind as u32, capacity.code());
                of::<port::PortAllocateName>(port::arguments::PortAllocateName { name, kind, capacity, reserved })
            }
            Request::Rename(old, Chosen(new)) => {
                of::<port::PortRename>(port::arguments::PortRename { old: name(old), new })
            }
            Request::Destroy(right) => {
                of::<port::PortDestroy>(port::arguments::PortDestroy { name: name(right), reserved })
            }
            Request::References(right, kind) => {
                of::<port::PortGetRefs>(port::arguments::PortGetRefs { name: name(right), kind: kind as u32 })
            }
            Request::Names(first) => of::<port::PortNames>(port::arguments::PortNames { first, reserved }),
            Request::Extract(right, how) => {
                let disposition = how as u32;
                of::<port::PortExtractRight>(port::arguments::PortExtractRight { name: name(right), disposition })
            }
            Request::SetSequence(right) => {
                let sequence = 7;
                of::<port::PortSetSeqno>(port::arguments::PortSetSeqno { name: name(right), reserved, sequence })
            }
            Request::Notify(subject, kind, sync, notify) => {
                let (name, kind) = (name(subject), kind as u32);
                let arguments = port::arguments::PortRequestNotification { name, kind, sync, reserved };
                let (id, body, _) = of::<port::PortRequestNotification>(arguments);
                (id, body, vec![notify.unwrap_or(NOTHING)])
            }
            Request::Cancel(subject, kind) => {
                let (name, kind) = (name(subject), kind as u32);
                of::<port::PortCancelNotification>(port::arguments::PortCancelNotification { name, kind })
            }
            Request::SetBackup(port, backup) => {
                let arguments = port::arguments::PortSetBackup { name: name(port), reserved };
                let (id, body, _) = of::<port::PortSetBackup>(arguments);
                (id, body, vec![backup.unwrap_or(NOTHING)])
            }
            Request::MoveMember(member, set) => {
                let (member, set) = (name(member), set.map_or(Name::NULL, &name));
                of::<port::PortMoveMember>(port::arguments::PortMoveMember { member, set })
            }
            Request::Members(set) => {
                of::<port::PortGetSetStatus>(port::arguments::PortGetSetStatus { set: name(set), first: 0 })
            }
            Request::SetPayload(port, payload) => {
                let arguments = port::arguments::PortSetProtectedPayload { name: name(port), reserved, payload };
                of::<port::PortSetProtectedPayload>(arguments)
            }
            Request::Cached(port) => {
                of::<port::PortCached>(port::arguments::PortCached { name: name(port), thread: Name::NULL })
            }
            Request::TakeBack(port, to) => of::<port::PortCachedTakeBack>(port::arguments::PortCachedTakeBack {
                name: name(port),
                thread: Name::NULL,
                address: to.address(),
                room: to.size as u32,
                reserved,
            }),
            Request::ReplaceCached(port, from, to) => {
                of::<port::PortCachedReplace>(port::arguments::PortCachedReplace {
                    name: name(port),
                    thread: Name::NULL,
                    address: from.address(),
                    size: from.size as u32,
                    room: to.size as u32,
                    old: to.address(),
                })
            }
            Request::SetFull(port, answer) => {
                of::<port::PortSetFull>(port::arguments::PortSetFull { name: name(port), answer })
            }
            Request::SetGeneration(port, generation) => {
                of::<port::PortSetGeneration>(port::arguments::PortSetGeneration { name: name(port), generation })
            }
            Request::CreateObject(pages) => {
                of::<vm::MemoryObjectCreate>(vm::arguments::MemoryObjectCreate { size: pages.size() })
            }
            Request::Derive(protection) => {
                let protection = protection.bits();
                of::<memory_object::Derive>(memory_object::arguments::Derive { protection, reserved })
            }
            Request::SetSize(size) => of::<memory_object::SetSize>(memory_object::arguments::SetSize { size }),
            Request::ChangeSize(from, to) => {
                of::<memory_object::ChangeSize>(memory_object::arguments::ChangeSize { from, to })
            }
            Request::Reserve(Pages { first, count }) => {
                let (offset, size) = (first * PAGE_SIZE as u64, count * PAGE_SIZE as u64);
                of::<memory_object::Reserve>(memory_object::arguments::Reserve { offset, size })
            }
            Request::NotifyUnmapped(notify) => {
                let arguments = memory_object::arguments::NotifyUnmapped {};
                let (id, body, _) = of::<memory_object::NotifyUnmapped>(arguments);
                (id, body, vec![notify.unwrap_or(NOTHING)])
            }
            Request::Seal(seals) => of::<memory_object::Seal>(memory_object::arguments::Seal { seals, reserved }),
            Request::Map(pages, object, protection, flags) => {
                let (id, body, _) = of::<vm::VmMap>(vm::arguments::VmMap {
                    address: pages.address(),
                    size: pages.size(),
                    offset: 0,
                    protection: protection.bits(),
                    maximum: Protection::all().bits(),
                    inheritance: Inheritance::Copy as u32,
                    flags: flags.bits(),
                });
                (id, body, vec![object.map_or(NOTHING, |object| Given(object, Disposition::CopySend))])
            }
            Request::Unmap(pages) => {
                of::<vm::VmDeallocate>(vm::arguments::VmDeallocate { address: pages.address(), size: pages.size() })
            }
            Request::Protect(pages, protection, set_maximum) => of::<vm::VmProtect>(vm::arguments::VmProtect {
                address: pages.address(),
                size: pages.size(),
                protection: protection.bits(),
                set_maximum: set_maximum.into(),
            }),
            Request::Inherit(pages, inheritance) => of::<vm::VmInherit>(vm::arguments::VmInherit {
                address: pages.address(),
                size: pages.size(),
                inheritance: inheritance as u32,
                reserved,
            }),
            Request::Read(bytes) => {
                of::<vm::VmRead>(vm::arguments::VmRead { address: bytes.address(), size: bytes.size })
            }
            Request::Write(_, target) => of::<vm::VmWrite>(vm::arguments::VmWrite { address: WINDOW + target }),
            Request::Peek(bytes) => {
                of::<vm::VmPeek>(vm::arguments::VmPeek { address: bytes.address(), size: bytes.size })
            }
            Request::Poke(bytes) => {
                let (address, size, data) = (bytes.address(), bytes.size, [0x77; INLINE_MAX]);
                of::<vm::VmPoke>(vm::arguments::VmPoke { address, size, data })
            }
            Request::Copy(bytes, target) => {
                let (source, size, target) = (bytes.address(), bytes.size, WINDOW + target);
                of::<vm::VmCopy>(vm::arguments::VmCopy { source, size, target })
            }
            Request::Region(pages) => of::<vm::VmRegion>(vm::arguments::VmRegion { address: pages.address() }),
            Request::Statistics => of::<vm::VmStatistics>(vm::arguments::VmStatistics {}),
            Request::EndTask => of::<routine::Terminate>(routine::arguments::Terminate {}),
            Request::EndThread => of::<thread::Terminate>(thread::arguments::Terminate {}),
            Request::Abort => of::<thread::Abort>(thread::arguments::Abort {}),
            Request::SuspendThread => of::<thread::Suspend>(thread::arguments::Suspend {}),
            Request::ResumeThread => of::<thread::Resume>(thread::arguments::Resume {}),
            Request::Threads => of::<routine::Threads>(routine::arguments::Threads { after: 0 }),
            Request::GetSpecial(which) => {
                of::<routine::GetSpecialPort>(routine::arguments::GetSpecialPort { which, reserved })
            }
            Request::SetSpecial(which, right) => {
                let arguments = routine::arguments::SetSpecialPort { which, reserved };
                let (id, body, _) = of::<routine::SetSpecialPort>(arguments);
                (id, body, vec![right])
            }
            Request::SetThreadException(right) => {
                let which = thread::SpecialPort::Exception as u32;
                let (id, body, _) = of::<thread::SetSpecialPort>(thread::arguments::SetSpecialPort { which, reserved });
                (id, body, vec![right])
            }
            Request::Register(rights) => {
                let (id, body, _) = of::<routine::PortsRegister>(routine::arguments::PortsRegister {});
                (id, body, rights)
            }
            Request::LookUp => of::<routine::PortsLookup>(routine::arguments::PortsLookup {}),
            Request::GetState => of::<thread::GetState>(thread::arguments::GetState {}),
            // Nowhere near a program: who is sent there has nothing to do.
            Request::SetState(rip) => {
                let registers = Registers { rip, ..Registers::default() };
                of::<thread::SetState>(thread::arguments::SetState { registers })
            }
            Request::SuspendTask => of::<routine::Suspend>(routine::arguments::Suspend {}),
            Request::ResumeTask => of::<routine::Resume>(routine::arguments::Resume {}),
            Request::SetPriority(priority) => {
                of::<thread::SetPriority>(thread::arguments::SetPriority { priority, reserved })
            }
            Request::Anything(id, body, rights) => (id, body, rights),
        }
    }
}

/// An act of one of so many tasks.
pub fn act(tasks: usize) -> impl Strategy<Value = Act> {
    (0..tasks, 0..3usize, deed()).prop_map(|(task, thread, deed)| Act { task, thread, deed })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => capacity().prop_map(Deed::Allocate),
        6 => known().prop_map(Deed::Deallocate),
        30 => (letter(), when_full(), any::<bool>())
            .prop_map(|(message, when_full, abortable)| Deed::Send { message, when_full, abortable }),
        25 => (known(), wait(), prop_oneof![4 => Just(1024u32), 1 => 0..200u32])
            .prop_map(|(from, ms, room)| Deed::Receive { from, ms, room }),
        12 => (letter(), when_full(), known(), wait())
            .prop_map(|(message, when_full, from, ms)| Deed::Rpc { message, when_full, from, ms }),
        30 => request(),
        6 => (0..24u64, any::<bool>()).prop_map(|(page, write)| Deed::Touch { page, write }),
        3 => known().prop_map(Deed::Yield),
        6 => (0..24u64, wait(), option::of(owner())).prop_map(|(page, ms, owner)| Deed::WordWait { page, ms, owner }),
        4 => (0..24u64, 0..4u32).prop_map(|(page, count)| Deed::WordWake { page, count }),
        3 => (0..30u32).prop_map(Deed::Sleep),
        2 => (0..30u32).prop_map(Deed::Work),
        2 => Just(Deed::Divide),
        3 => Just(Deed::NewThread),
        14 => supply().prop_map(Deed::Supply),
        2 => Just(Deed::Fork),
        4 => (0..24u64).prop_map(Deed::WriteToChild),
        1 => Just(Deed::EndChild),
        2 => (0..16u64, uniform6(argument())).prop_map(|(number, arguments)| Deed::Garbage { number, arguments }),
        10 => (0..30u32).prop_map(Deed::Pass),
    ]
}

/// What the pager does: it is among the pages that others touch.
fn supply() -> impl Strategy<Value = Supply> {
    prop_oneof![
        4 => Just(Supply::Hear),
        6 => (0..PAGES).prop_map(Supply::Bring),
        2 => (0..PAGES).prop_map(Supply::Refuse),
        6 => (0..24u64).prop_map(Supply::Show),
        1 => Just(Supply::GiveUp),
        1 => Just(Supply::GoDeaf),
    ]
}

pub fn letter() -> impl Strategy<Value = Letter> {
    let size = prop_oneof![4 => 0..120usize, 1 => 120..9000usize];
    let rights = prop_oneof![3 => vec(given(), 0..2), 1 => vec(given(), 2..8)];
    let enclosures = prop_oneof![3 => Just(Vec::new()), 1 => vec(enclosure(), 1..4)];
    (given(), option::of(given()), rights, enclosures, size).prop_map(|(to, reply, rights, enclosures, size)| Letter {
        to,
        reply,
        rights,
        enclosures,
        size,
    })
}

/// What a word says of an owner: often a thread that lives, or has lived.
fn owner() -> impl Strategy<Value = u64> {
    (0..24u64, 0..24u64).prop_map(|(serial, slot)| serial << 24 | slot)
}

fn enclosure() -> impl Strategy<Value = Enclosure> {
    prop_oneof![
        (bytes(), 0..=Descriptor::MOVE).prop_map(|(bytes, flags)| Enclosure::Memory(bytes, flags)),
        (given(), given()).prop_map(|(one, other)| Enclosure::Array([one, other])),
    ]
}

fn request() -> BoxedStrategy<Deed> {
    let to_own = prop_oneof![
        (known(), capacity()).prop_map(|(port, capacity)| Request::SetBacklog(port, capacity)),
        (known(), kind(), -2..3i32).prop_map(|(name, kind, delta)| Request::ModifyReferences(name, kind, delta)),
        known().prop_map(Request::Status),
        known().prop_map(Request::Type),
        capacity().prop_map(Request::Allocate),
        known().prop_map(Request::Deallocate),
        given().prop_map(Request::Insert),
        pages().prop_map(Request::CreateObject),
        (pages(), option::of(known()), protection(), flags())
            .prop_map(|(pages, object, protection, flags)| Request::Map(pages, object, protection, flags)),
        pages().prop_map(Request::Unmap),
        (pages(), protection(), any::<bool>())
            .prop_map(|(pages, protection, maximum)| Request::Protect(pages, protection, maximum)),
        (pages(), inheritance()).prop_map(|(pages, inheritance)| Request::Inherit(pages, inheritance)),
        bytes().prop_map(Request::Read),
        (bytes(), offset()).prop_map(|(bytes, target)| Request::Write(bytes, target)),
        few_bytes().prop_map(Request::Peek),
        few_bytes().prop_map(Request::Poke),
        (bytes(), offset()).prop_map(|(bytes, target)| Request::Copy(bytes, target)),
        (bytes(), offset()).prop_map(|(bytes, target)| Request::Copy(bytes, target)),
        pages().prop_map(Request::Region),
        Just(Request::Statistics),
        on_names(),
    ];
    let to_any = prop_oneof![
        4 => given().prop_map(Request::Insert),
        4 => protection().prop_map(Request::Derive),
        4 => (0..24 * PAGE_SIZE as u64).prop_map(Request::SetSize),
        // Sizes that often are the one that it has.
        2 => (0..8_u64, 0..8_u64).prop_map(|(from, to)| Request::ChangeSize(from * PAGE, to * PAGE)),
        1 => pages().prop_map(Request::Reserve),
        1 => (0..9u32).prop_map(Request::Seal),
        4 => notify().prop_map(Request::NotifyUnmapped),
        2 => capacity().prop_map(Request::Allocate),
        4 => on_names(),
        1 => Just(Request::EndTask),
        1 => Just(Request::EndThread),
        6 => Just(Request::Abort),
        2 => Just(Request::SuspendThread),
        3 => Just(Request::ResumeThread),
        1 => Just(Request::GetState),
        2 => Just(Request::Threads),
        2 => (0..6u32).prop_map(Request::GetSpecial),
        4 => (0..6u32, given()).prop_map(|(which, right)| Request::SetSpecial(which, right)),
        3 => given().prop_map(Request::SetThreadException),
        2 => vec(given(), 4..5).prop_map(Request::Register),
        2 => Just(Request::LookUp),
        1 => argument().prop_map(Request::SetState),
        1 => Just(Request::SuspendTask),
        2 => Just(Request::ResumeTask),
        2 => priority().prop_map(Request::SetPriority),
        2 => (prop_oneof![2000..2700u32, 3200..3300u32, 3800..3900u32], vec(any::<u8>(), 0..40), vec(given(), 0..3))
            .prop_map(|(id, body, rights)| Request::Anything(id, body, rights)),
    ];
    prop_oneof![
        (to_own, reply()).prop_map(|(request, reply)| Deed::Request { to: None, reply, request }),
        (given(), to_any, reply()).prop_map(|(to, request, reply)| Deed::Request { to: Some(to), reply, request }),
    ]
    .boxed()
}

/// Routines on names.
fn on_names() -> impl Strategy<Value = Request> {
    prop_oneof![
        2 => (chosen(), given()).prop_map(|(name, right)| Request::InsertAs(name, right)),
        2 => (chosen(), kind(), capacity()).prop_map(|(name, kind, capacity)| Request::AllocateName(name, kind, capacity)),
        3 => (known(), chosen()).prop_map(|(old, new)| Request::Rename(old, new)),
        1 => known().prop_map(Request::Destroy),
        1 => (known(), kind()).prop_map(|(name, kind)| Request::References(name, kind)),
        1 => (0..300u32).prop_map(Request::Names),
        3 => given().prop_map(|Given(name, how)| Request::Extract(name, how)),
        1 => known().prop_map(Request::SetSequence),
        4 => (known(), notification(), 0..3u32, notify())
            .prop_map(|(name, kind, sync, notify)| Request::Notify(name, kind, sync, notify)),
        1 => (known(), notification()).prop_map(|(name, kind)| Request::Cancel(name, kind)),
        2 => (known(), option::of(given())).prop_map(|(port, backup)| Request::SetBackup(port, backup)),
        2 => chosen().prop_map(|name| Request::AllocateName(name, RightKind::PortSet, Capacity::Zero)),
        6 => (known(), option::weighted(0.9, known())).prop_map(|(member, set)| Request::MoveMember(member, set)),
        1 => known().prop_map(Request::Members),
        1 => (known(), 0..9u64).prop_map(|(port, payload)| Request::SetPayload(port, payload)),
        1 => known().prop_map(Request::Cached),
        4 => (known(), bytes()).prop_map(|(port, to)| Request::TakeBack(port, to)),
        2 => (known(), bytes(), bytes()).prop_map(|(port, from, to)| Request::ReplaceCached(port, from, to)),
        4 => (known(), 0..6u32).prop_map(|(port, answer)| Request::SetFull(port, answer)),
        2 => (known(), 0..5u32).prop_map(|(port, generation)| Request::SetGeneration(port, generation)),
    ]
}

fn notification() -> impl Strategy<Value = Kind> {
    proptest::sample::select(vec![Kind::DeadName, Kind::SendPossible, Kind::NoSenders, Kind::PortDestroyed])
}

/// Where a notification goes: to the notify port, to a port of the task's, or anything.
fn notify() -> impl Strategy<Value = Option<Given>> {
    let own = known().prop_map(|port| Given(port, Disposition::MakeSendOnce));
    prop_oneof![1 => Just(None), 3 => own.prop_map(Some), 1 => given().prop_map(Some)]
}

fn chosen() -> impl Strategy<Value = Chosen> {
    (0..120u32, 0..3u32).prop_map(|(index, generation)| Chosen(Name::new(index, generation)))
}

/// Where a reply goes: mostly home.
fn reply() -> impl Strategy<Value = Option<Given>> {
    option::weighted(0.1, given())
}

pub fn known() -> impl Strategy<Value = Known> {
    prop_oneof![4 => 0..6usize, 1 => 0..40usize].prop_map(Known)
}

fn given() -> impl Strategy<Value = Given> {
    let any = (16..22u8).prop_map(|code| Disposition::from_code(code).expect("a disposition"));
    let disposition = prop_oneof![Just(Disposition::CopySend), any];
    (known(), disposition).prop_map(|(name, disposition)| Given(name, disposition))
}

pub fn capacity() -> impl Strategy<Value = Capacity> {
    prop_oneof![Just(Capacity::Zero), (1..4u32).prop_map(Capacity::Bounded), Just(Capacity::Unbounded)]
}

pub fn when_full() -> impl Strategy<Value = WhenFull> {
    prop_oneof![
        Just(WhenFull::Wait),
        (0..40u32).prop_map(WhenFull::WaitMs),
        Just(WhenFull::Return),
        Just(WhenFull::Cache),
        (0..40u32).prop_map(WhenFull::WaitMsThenCache),
    ]
}

pub fn wait() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![1 => Just(None), 2 => Just(Some(0)), 2 => (0..40u32).prop_map(Some)]
}

pub fn kind() -> impl Strategy<Value = RightKind> {
    proptest::sample::select(vec![
        RightKind::Receive,
        RightKind::Send,
        RightKind::SendOnce,
        RightKind::DeadName,
        RightKind::PortSet,
    ])
}

fn protection() -> impl Strategy<Value = Protection> {
    (0..8u32).prop_map(Protection::from_bits_truncate)
}

fn flags() -> impl Strategy<Value = MapFlags> {
    (0..8u32).prop_map(MapFlags::from_bits_truncate)
}

fn inheritance() -> impl Strategy<Value = Inheritance> {
    proptest::sample::select(vec![Inheritance::Share, Inheritance::Copy, Inheritance::None])
}

/// Bytes of the window, often whole pages.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![2 => (0..24u64).prop_map(|page| page * PAGE), 1 => 0..24 * PAGE]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    let size = prop_oneof![2 => (0..6u64).prop_map(|pages| pages * PAGE), 1 => 0..3 * PAGE, 1 => 0..1100u64];
    (offset(), size).prop_map(|(offset, size)| Bytes { offset, size })
}

fn few_bytes() -> impl Strategy<Value = Bytes> {
    (offset(), 0..80u64).prop_map(|(offset, size)| Bytes { offset, size })
}

fn pages() -> impl Strategy<Value = Pages> {
    (0..24u64, 1..6u64).prop_map(|(first, count)| Pages { first, count })
}

/// None above the first task's: that must always be able to run.
fn priority() -> impl Strategy<Value = u32> {
    prop_oneof![0..=thread::PRIORITY_DEFAULT, 32..40u32]
}

fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![0..64u64, Just(MEMORY), Just(1 << 47), Just(u64::MAX - 7), any::<u64>()]
}
