//! Tasks and threads as tests drive them.
//!
//! A call that may wait gives a [`Pending`]; one that never waits gives its result.
//! Each call first lets the system come to rest. A thread does one thing after the
//! other: what is asked of one that waits is done later.

use super::message::{Message, Received, WhenFull};
use super::{Board, program};
use portolan_abi::boot::Startup;
use portolan_abi::call::{Receive, Send};
use portolan_abi::interface::{REPLY_OFFSET, REPLY_RIGHTS_MAX, Region, Reply, ReplyHead, Routine, Transport};
use portolan_abi::message::{Descriptor, Options};
use portolan_abi::name::Disposition;
use portolan_abi::port::{self, NameType, Status};
use portolan_abi::task as routine;
use portolan_abi::thread::PRIORITY_DEFAULT;
use portolan_abi::vm::{self, Inheritance, MapFlags, Protection};
use portolan_abi::{Call, Capacity, Error, Name, Result, error};
use portolan_machine::sim::script::{Action, Outcome, Script};
use portolan_machine::{Instant, VirtAddr};
use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;
use zerocopy::{FromBytes, IntoBytes};

/// Where a task's memory lies: a part of it for each thread.
pub const MEMORY: u64 = 0x1000_0000;
/// Threads that one task can have.
const THREADS: u64 = 16;
/// A thread's part: a buffer to send from, a buffer to receive into, the rest free.
const PART: u64 = 0x4_0000;
const HALF_PART: u64 = PART / 2;
/// Bytes of the receive buffer that are given to the kernel if a test does not say.
const ROOM: u32 = 1024;

/// A task. Its main thread can be used as if it were the task.
pub struct Task {
    main: Thread,
    /// The first task, who looks after this one; nobody for the first.
    keeper: Option<Thread>,
    /// Its kernel port, as its keeper names it.
    kept_as: Name,
    host: Name,
    plain_host: Name,
    archive: Name,
    threads: Cell<u64>,
}

/// A thread.
#[derive(Clone)]
pub struct Thread {
    board: Rc<Board>,
    script: Script,
    entry: VirtAddr,
    buffers: Buffers,
    reply: Rc<Cell<Name>>,
    own: Rc<Cell<Name>>,
}

#[derive(Clone, Copy)]
struct Buffers {
    send: u64,
    receive: u64,
    /// Bytes read back from the receive buffer.
    room: u32,
}

impl Buffers {
    /// Those of the thread with this number in its task.
    fn of(number: u64) -> Buffers {
        let send = MEMORY + number * PART;
        Buffers { send, receive: send + HALF_PART, room: ROOM }
    }
}

/// The result of something that may not be over.
pub struct Pending<T> {
    script: Script,
    numbers: std::ops::Range<usize>,
    read: fn(&[Outcome]) -> T,
}

impl<T> Pending<T> {
    /// The result, if there is one.
    pub fn result(&self) -> Option<T> {
        let outcomes: Option<Vec<Outcome>> = self.numbers.clone().map(|number| self.script.outcome(number)).collect();
        outcomes.map(|outcomes| (self.read)(&outcomes))
    }

    /// The result, which there must be.
    #[track_caller]
    pub fn done(&self) -> T {
        self.result().expect("it is over")
    }

    /// Whether it is not over.
    pub fn waits(&self) -> bool {
        self.result().is_none()
    }
}

impl Deref for Task {
    type Target = Thread;

    fn deref(&self) -> &Thread {
        &self.main
    }
}

impl Task {
    /// The first task, which the kernel has loaded.
    pub(super) fn first(board: &Rc<Board>) -> Task {
        let entry = VirtAddr(program::ENTRY);
        let small = Buffers { send: program::DATA, receive: program::DATA + 0x800, room: ROOM };
        let small = Thread::new(board, entry, small);
        board.settle();
        let start = small.script.start().expect("the first thread runs");
        let startup = small.load(start.argument, Startup::SIZE);
        let startup = Startup::read_from_bytes(&startup).expect("a startup block");
        let kept_as = small.task_self();
        map_memory(&small, kept_as).expect("memory for the first task");
        let main = Thread { buffers: Buffers::of(0), ..small };
        Task {
            main,
            keeper: None,
            kept_as,
            host: startup.host_privileged,
            plain_host: startup.host,
            archive: startup.archive,
            threads: Cell::new(1),
        }
    }

    /// Gives a new task, of which `first` has the kernel port, memory and a thread.
    pub(super) fn furnish(first: &Task, kept_as: Name) -> Result<Task> {
        map_memory(first, kept_as)?;
        let main = Thread::new(&first.board, first.board.new_entry(), Buffers::of(0));
        start(first, kept_as, &main, 0, PRIORITY_DEFAULT)?;
        Ok(Task {
            main,
            keeper: Some(first.main.clone()),
            kept_as,
            host: Name::NULL,
            plain_host: Name::NULL,
            archive: Name::NULL,
            threads: Cell::new(1),
        })
    }

    /// Another thread of the task.
    pub fn thread(&self) -> Thread {
        self.thread_of_priority(PRIORITY_DEFAULT).expect("a thread")
    }

    /// Another thread of the task.
    pub fn thread_of_priority(&self, priority: u32) -> Result<Thread> {
        self.thread_with_plan(priority, |_| Vec::new())
    }

    /// Another thread of the task, which has something to do when it starts.
    pub fn thread_with_plan(&self, priority: u32, plan: impl FnOnce(&Thread) -> Vec<Action>) -> Result<Thread> {
        let number = self.threads.replace(self.threads.get() + 1);
        assert!(number < THREADS, "memory for {THREADS} threads");
        let thread = Thread::new(&self.board, self.board.new_entry(), Buffers::of(number));
        thread.plan(plan(&thread));
        start(self.keeper(), self.kept_as, &thread, number, priority)?;
        Ok(thread)
    }

    /// The thread that acts on the task from outside.
    fn keeper(&self) -> &Thread {
        self.keeper.as_ref().unwrap_or(&self.main)
    }

    /// The task's kernel port, as the first task names it.
    pub fn kernel_port(&self) -> Name {
        self.kept_as
    }

    /// The privileged host port; null but in the first task.
    pub fn host_port(&self) -> Name {
        self.host
    }

    /// The plain host port; null but in the first task.
    pub fn plain_host_port(&self) -> Name {
        self.plain_host
    }

    /// The memory object that holds the boot archive; null but in the first task.
    pub fn archive_port(&self) -> Name {
        self.archive
    }

    /// Ends the task, from outside.
    pub fn terminate(&self) {
        routine::terminate(self.keeper(), self.kept_as).expect("the end of the task");
    }

    /// Whether it has not ended.
    pub fn exists(&self) -> bool {
        let kind = port::port_type(self.keeper(), self.keeper().task_self(), self.kept_as, 0);
        kind.is_ok_and(|reply| reply.results.kind.dead == 0)
    }

    /// What the task has and uses.
    pub fn info(&self) -> routine::TaskInfo {
        routine::info(self.keeper(), self.kept_as).expect("the task's information").results.info
    }

    /// Asks for the state of one of the task's ports.
    pub fn port_status(&self, name: Name) -> Result<Status> {
        port::port_status(self.keeper(), self.kept_as, name, 0).map(|reply| reply.results.status)
    }

    /// The state of a port that the task has the receive right of.
    #[track_caller]
    pub fn status(&self, name: Name) -> Status {
        self.port_status(name).expect("a receive right")
    }

    /// What a name stands for.
    pub fn port_type(&self, name: Name) -> Result<NameType> {
        port::port_type(self.keeper(), self.kept_as, name, 0).map(|reply| reply.results.kind)
    }

    /// Changes a port's capacity.
    pub fn port_set_backlog(&self, name: Name, capacity: Capacity) -> Result<()> {
        port::port_set_backlog(self.keeper(), self.kept_as, name, capacity.code()).map(|_| ())
    }

    /// Changes the user references of a right.
    pub fn port_mod_refs(&self, name: Name, kind: portolan_abi::RightKind, delta: i32) -> Result<()> {
        port::port_mod_refs(self.keeper(), self.kept_as, name, kind as u32, delta, 0).map(|_| ())
    }

    /// Renames what a name stands for.
    pub fn port_rename(&self, old: Name, new: Name) -> Result<()> {
        port::port_rename(self.keeper(), self.kept_as, old, new).map(|_| ())
    }

    /// Makes a new right under a chosen name.
    pub fn port_allocate_name(&self, name: Name, kind: portolan_abi::RightKind, capacity: Capacity) -> Result<Name> {
        let reply = port::port_allocate_name(self.keeper(), self.kept_as, name, kind as u32, capacity.code(), 0);
        reply.map(|reply| reply.results.name)
    }

    /// A new port set.
    #[track_caller]
    pub fn port_set(&self) -> Name {
        self.port_allocate_name(Name::NULL, portolan_abi::RightKind::PortSet, Capacity::Zero).expect("a port set")
    }

    /// Puts a port into a set; out of any, if that is null.
    pub fn port_move_member(&self, member: Name, set: Name) -> Result<()> {
        port::port_move_member(self.keeper(), self.kept_as, member, set).map(|_| ())
    }

    /// The members of a set.
    pub fn port_set_members(&self, set: Name) -> Result<Vec<Name>> {
        let (mut members, mut first) = (Vec::new(), 0);
        loop {
            let part = port::port_get_set_status(self.keeper(), self.kept_as, set, first)?.results;
            members.extend_from_slice(&part.members[..part.count as usize]);
            if part.next == 0 {
                return Ok(members);
            }
            first = part.next;
        }
    }

    /// What all names of the task stand for.
    pub fn port_names(&self) -> Vec<NameType> {
        let (mut names, mut first) = (Vec::new(), 0);
        loop {
            let part = port::port_names(self.keeper(), self.kept_as, first, 0).expect("names").results;
            names.extend_from_slice(&part.names[..part.count as usize]);
            if part.next == 0 {
                return names;
            }
            first = part.next;
        }
    }

    /// Gives another task one of this task's rights, and returns its name there.
    /// It travels through the other one's kernel port; nothing else stays behind.
    #[track_caller]
    pub fn give(&self, other: &Task, name: Name, disposition: Disposition) -> Name {
        let door = Descriptor::port(other.kept_as, Disposition::CopySend as u8);
        let door = port::port_insert_right(self.keeper(), self.kept_as, Name::NULL, 0, door).expect("the door");
        let door = door.results.name;
        let right = Descriptor::port(name, disposition as u8);
        let given = port::port_insert_right(&**self, door, Name::NULL, 0, right).expect("the right is given");
        self.port_deallocate(door).expect("the door is ours");
        given.results.name
    }

    /// Gives another task a send right, made from this task's receive right.
    #[track_caller]
    pub fn give_send(&self, other: &Task, port: Name) -> Name {
        self.give(other, port, Disposition::MakeSend)
    }
}

/// Maps a task's memory. Nothing of it is there until it is touched.
fn map_memory(by: &Thread, task: Name) -> Result<()> {
    let (protection, flags) = (Protection::READ_WRITE.bits(), MapFlags::empty().bits());
    vm::vm_map(
        by,
        task,
        MEMORY,
        THREADS * PART,
        0,
        protection,
        protection,
        Inheritance::Copy as u32,
        flags,
        super::no_right(),
    )
    .map(|_| ())
}

/// Starts a thread.
fn start(by: &Thread, task: Name, thread: &Thread, number: u64, priority: u32) -> Result<()> {
    let stack = MEMORY + (number + 1) * PART;
    let reply = routine::thread_create(by, task, thread.entry.0, stack, number, priority, 0)?;
    by.port_deallocate(reply.rights[0]).expect("the new thread's port");
    Ok(())
}

impl Thread {
    fn new(board: &Rc<Board>, entry: VirtAddr, buffers: Buffers) -> Thread {
        let script = board.running.borrow_mut().cpu.script(entry);
        Thread { board: Rc::clone(board), script, entry, buffers, reply: Rc::default(), own: Rc::default() }
    }

    /// Does something when it comes to it, and lets the system come to rest.
    fn act<T>(&self, actions: Vec<Action>, read: fn(&[Outcome]) -> T) -> Pending<T> {
        let count = actions.len();
        let first = actions.into_iter().map(|action| self.script.push(action)).min().expect("something to do");
        self.board.settle();
        Pending { script: self.script.clone(), numbers: first..first + count, read }
    }

    /// Traps with these registers.
    pub fn trap(&self, number: u64, arguments: [u64; 6]) -> Pending<(Result<()>, u64)> {
        self.act(vec![Action::Call(number, arguments)], |outcomes| returned(&outcomes[0]))
    }

    /// Makes a call.
    pub fn call(&self, call: Call) -> Pending<(Result<()>, u64)> {
        let (number, arguments) = call.encode();
        self.trap(number, arguments)
    }

    /// Makes a call that does not wait.
    #[track_caller]
    fn ask(&self, call: Call) -> Result<u64> {
        let (result, value) = self.call(call).done();
        result.map(|()| value)
    }

    /// `msg_send`.
    pub fn send(&self, message: Message, when_full: WhenFull) -> Pending<Result<()>> {
        let (options, timeout) = when_full.options();
        self.send_with(message, options, timeout)
    }

    /// `msg_send` with these options.
    pub fn send_with(&self, message: Message, options: Options, timeout: u32) -> Pending<Result<()>> {
        self.act(self.sending(message, options, timeout), |outcomes| returned(&outcomes[1]).0)
    }

    /// What a thread does to send: for [`Thread::plan`].
    pub fn send_actions(&self, message: Message, when_full: WhenFull) -> Vec<Action> {
        let (options, timeout) = when_full.options();
        self.sending(message, options, timeout)
    }

    /// What a thread does to send with these options.
    pub fn send_with_actions(&self, message: Message, options: Options) -> Vec<Action> {
        self.sending(message, options, 0)
    }

    fn sending(&self, message: Message, options: Options, timeout: u32) -> Vec<Action> {
        let bytes = message.bytes();
        let send = Send { address: self.buffers.send, size: bytes.len() as u32, timeout };
        let call = Call::Message { send: Some(send), receive: None, options };
        vec![self.store_action(bytes), call_action(call)]
    }

    /// `msg_receive`, waiting for ever.
    pub fn receive(&self, port: Name) -> Pending<Result<Received>> {
        self.receive_with(port, Options::empty(), 0, self.buffers.room)
    }

    /// `msg_receive`, waiting at most so many ms.
    pub fn receive_within(&self, port: Name, ms: u32) -> Pending<Result<Received>> {
        self.receive_with(port, Options::RCV_TIMEOUT, ms, self.buffers.room)
    }

    /// `msg_receive`, not waiting.
    pub fn receive_now(&self, port: Name) -> Pending<Result<Received>> {
        self.receive_within(port, 0)
    }

    /// `msg_receive` into a buffer of `room` bytes.
    pub fn receive_with(&self, port: Name, options: Options, timeout: u32, room: u32) -> Pending<Result<Received>> {
        let receive = Receive { address: self.buffers.receive, size: room, port, timeout };
        let call = Call::Message { send: None, receive: Some(receive), options };
        self.act(vec![call_action(call), self.load_action(room)], |outcomes| received(&outcomes[0], &outcomes[1]))
    }

    /// `msg_rpc`, waiting for ever: sends, then receives from `port`.
    pub fn rpc(&self, message: Message, port: Name) -> Pending<Result<Received>> {
        self.rpc_with(message, WhenFull::Wait, port, None, self.buffers.room)
    }

    /// `msg_rpc` with everything said.
    pub fn rpc_with(
        &self,
        message: Message,
        when_full: WhenFull,
        port: Name,
        within_ms: Option<u32>,
        room: u32,
    ) -> Pending<Result<Received>> {
        let bytes = message.bytes();
        let (mut options, timeout) = when_full.options();
        options.set(Options::RCV_TIMEOUT, within_ms.is_some());
        let send = Send { address: self.buffers.send, size: bytes.len() as u32, timeout };
        let timeout = within_ms.unwrap_or(0);
        let receive = Receive { address: self.buffers.receive, size: room, port, timeout };
        let call = Call::Message { send: Some(send), receive: Some(receive), options };
        let actions = vec![self.store_action(bytes), call_action(call), self.load_action(room)];
        self.act(actions, |outcomes| received(&outcomes[1], &outcomes[2]))
    }

    /// `port_allocate`.
    pub fn port_allocate(&self, capacity: Capacity) -> Result<Name> {
        self.ask(Call::PortAllocate(capacity)).map(|name| Name(name as u32))
    }

    /// A new port.
    #[track_caller]
    pub fn port(&self, capacity: Capacity) -> Name {
        self.port_allocate(capacity).expect("a port")
    }

    /// `port_deallocate`.
    pub fn port_deallocate(&self, name: Name) -> Result<()> {
        self.ask(Call::PortDeallocate(name)).map(|_| ())
    }

    /// `task_self`.
    #[track_caller]
    pub fn task_self(&self) -> Name {
        Name(self.ask(Call::TaskSelf).expect("task_self") as u32)
    }

    /// `task_notify`.
    #[track_caller]
    pub fn notify(&self) -> Name {
        Name(self.ask(Call::TaskNotify).expect("task_notify") as u32)
    }

    /// `thread_self`.
    #[track_caller]
    pub fn thread_self(&self) -> Name {
        let name = Name(self.ask(Call::ThreadSelf).expect("thread_self") as u32);
        self.own.set(name);
        name
    }

    /// What `thread_self` said last: for threads that wait.
    pub fn known_self(&self) -> Name {
        self.own.get()
    }

    /// `thread_switch` with a sleep.
    pub fn sleep(&self, ms: u32) -> Pending<Result<()>> {
        let (number, arguments) = Call::ThreadSwitch { hint: Name::NULL, sleep: Some(ms) }.encode();
        self.act(vec![Action::Call(number, arguments)], |outcomes| returned(&outcomes[0]).0)
    }

    /// Computes for so many ms.
    pub fn work_ms(&self, ms: u32) -> Pending<()> {
        self.act(vec![Action::Work(u64::from(ms) * 1_000_000)], |_| ())
    }

    /// Will do this when the system next comes to move.
    pub fn plan(&self, actions: Vec<Action>) {
        for action in actions {
            self.script.push(action);
        }
    }

    /// Will make this call when the system next comes to move.
    pub fn plan_call(&self, call: Call) -> Pending<(Result<()>, u64)> {
        let number = self.script.push(call_action(call));
        Pending { script: self.script.clone(), numbers: number..number + 1, read: |outcomes| returned(&outcomes[0]) }
    }

    /// The second result of the call that it did as its action with this number.
    pub fn outcome_of_call(&self, number: usize) -> u64 {
        returned(&self.script.outcome(number).expect("it is over")).1
    }

    /// Asks for a routine, which may have to wait.
    pub fn request<R: Routine>(
        &self,
        port: Name,
        arguments: &R::Arguments,
        rights: &[Descriptor],
        when_full: WhenFull,
    ) -> Pending<Result<Received>> {
        let reply_port = self.reply_port();
        let mut request = Message::to(port).reply(reply_port, Disposition::MakeSendOnce).id(R::ID);
        request = request.text(arguments.as_bytes());
        request.rights = rights.to_vec();
        let room = self.buffers.room.max((256 + size_of::<R::Results>()) as u32);
        self.rpc_with(request, when_full, reply_port, None, room)
    }

    /// Does this, whatever it is.
    pub fn perform(&self, actions: Vec<Action>) -> Pending<Outcome> {
        self.act(actions, |outcomes| outcomes.last().expect("one at least").clone())
    }

    /// Reads the task's memory. The thread may die of it.
    #[track_caller]
    pub fn load(&self, address: u64, size: usize) -> Vec<u8> {
        match self.perform(vec![Action::Load { address, size }]).done() {
            Outcome::Loaded(bytes) => bytes,
            other => panic!("a load gave {other:?}"),
        }
    }

    /// Writes the task's memory. The thread may die of it.
    pub fn store(&self, address: u64, bytes: &[u8]) -> Pending<Outcome> {
        self.perform(vec![Action::Store { address, bytes: bytes.to_vec() }])
    }

    /// The thread's buffers: to send from, and to receive into.
    pub fn buffers(&self) -> (u64, u64) {
        (self.buffers.send, self.buffers.receive)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.board.now()
    }

    /// Everything it was asked to do is done.
    pub fn is_free(&self) -> bool {
        self.left() == 0
    }

    /// How much of what it was asked to do is left.
    pub fn left(&self) -> usize {
        self.script.left()
    }

    fn store_action(&self, bytes: Vec<u8>) -> Action {
        Action::Store { address: self.buffers.send, bytes }
    }

    fn load_action(&self, room: u32) -> Action {
        Action::Load { address: self.buffers.receive, size: room as usize }
    }

    /// The port that this thread gets its replies from the kernel at.
    fn reply_port(&self) -> Name {
        if self.reply.get() == Name::NULL {
            self.reply.set(self.port(Capacity::DEFAULT));
        }
        self.reply.get()
    }
}

/// Kernel routines are called through `msg_rpc`, as user programs do it.
impl Transport for Thread {
    fn call<R: Routine>(&self, port: Name, arguments: &R::Arguments, rights: &[Descriptor]) -> Result<Reply<R>> {
        answer(self.request::<R>(port, arguments, rights, WhenFull::Wait).done())
    }
}

/// What a routine gave that was asked for.
pub fn answer<R: Routine>(reply: Result<Received>) -> Result<Reply<R>> {
    let reply = reply?;
    assert_eq!(reply.header.id, R::ID + REPLY_OFFSET, "the reply to {}", R::NAME);
    let (head, results) = ReplyHead::read_from_prefix(&reply.body).expect("a reply's head");
    error::result_of(head.code)?;
    let mut names = [Name::NULL; REPLY_RIGHTS_MAX];
    assert_eq!(reply.rights.len(), R::RIGHTS_OUT + R::MEMORY_OUT, "the rights of {}", R::NAME);
    let (rights, memory) = reply.rights.split_at(R::RIGHTS_OUT);
    names.iter_mut().zip(rights).for_each(|(name, right)| *name = right.name);
    let memory = memory.first().map_or(Region::default(), |&Descriptor { address, size, .. }| Region { address, size });
    let results = R::Results::read_from_bytes(results).expect("the routine's results");
    Ok(Reply { results, rights: names, memory })
}

fn call_action(call: Call) -> Action {
    let (number, arguments) = call.encode();
    Action::Call(number, arguments)
}

fn returned(outcome: &Outcome) -> (Result<()>, u64) {
    match outcome {
        Outcome::Returned { code, value } => (known(*code), *value),
        other => panic!("a call gave {other:?}"),
    }
}

/// The result that a number stands for; unknown numbers are the kernel's fault.
fn known(code: i32) -> Result<()> {
    assert!(code == 0 || Error::from_code(code).is_some(), "no result has number {code}");
    error::result_of(code)
}

fn received(call: &Outcome, buffer: &Outcome) -> Result<Received> {
    let (result, size) = returned(call);
    result?;
    let Outcome::Loaded(bytes) = buffer else { panic!("a load gave {buffer:?}") };
    let message = Received::read(bytes);
    assert_eq!(u64::from(message.header.size), size, "the second result is the message's size");
    Ok(message)
}
