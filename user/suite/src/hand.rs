//! A hand: a thread that does as it is told, in this task or in another.
//!
//! A case with several threads reads from top to bottom when one thread, the
//! case's own, gives the orders: a hand makes the trap it is told to make and
//! reports what came of it. Until the trap returns there is no report, which is
//! how a case sees that a thread waits.
//!
//! Invariant: orders and reports are messages like any other, so a hand works
//! across address spaces; names and addresses in an order are those of the hand's task.
//! Neighbours: `message`; `peer`, a task whose first thread is a hand.

use crate::asm;
use crate::case::{Failure, Verdict};
use crate::clock::deadline;
use crate::message::{Buffer, Message, NONE, PATIENCE, Received, receive, receive_with};
use crate::{holds, port};
use alloc::vec::Vec;
use portolan::abi::call::{Call, Receive, Send};
use portolan::abi::error::result_of;
use portolan::abi::message::{Descriptor, Options};
use portolan::abi::thread::{self, PRIORITY_DEFAULT, State, ThreadInfo};
use portolan::abi::vm::{Inheritance, MapFlags};
use portolan::abi::{Capacity, Disposition, Error, Name, Protection, Result, notification, port as routine, task, vm};
use portolan::interface::MsgRpc;
use portolan::trap;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of an ordinary hand's two buffers, each.
pub(crate) const ROOM: u32 = 8192;
/// Bytes of a hand's stack.
const STACK: u64 = 64 * 1024;

const TRAP: u32 = 1;
const LOAD: u32 = 2;
const STORE: u32 = 3;
const REPORT: u32 = 4;
const ACT: u32 = 6;

/// What a hand is told; bytes for its sending buffer follow.
#[derive(Clone, Copy, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Order {
    kind: u32,
    /// Bytes of the receiving buffer to report, and from where.
    take: u32,
    from: u64,
    number: u64,
    arguments: [u64; 6],
}

/// What a hand reports; bytes of its receiving buffer follow.
#[derive(Clone, Copy, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Answer {
    code: i32,
    reserved: u32,
    value: u64,
}

/// What a hand says first: where its buffers are.
#[derive(Clone, Copy, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Greeting {
    sends: u64,
    receives: u64,
    room: u64,
}

/// A hand, from the side that gives the orders.
pub(crate) struct Hand {
    control: Name,
    /// A send right to its thread's kernel port.
    pub(crate) thread: Name,
    greeting: Greeting,
}

/// A report.
#[derive(Debug)]
pub(crate) struct Report {
    /// The trap's result.
    pub(crate) result: Result<()>,
    /// Its second result.
    pub(crate) value: u64,
    bytes: Vec<u8>,
}

impl Report {
    /// The message that the trap received.
    pub(crate) fn received(&self) -> Result<Received> {
        self.result.map(|()| Received::read(&self.bytes, self.value))
    }

    /// The second result, if the trap succeeded.
    pub(crate) fn value(&self) -> Result<u64> {
        self.result.map(|()| self.value)
    }
}

/// An order that may not be done yet.
pub(crate) struct Pending {
    reply: Name,
}

impl Hand {
    /// A new thread of this task.
    pub(crate) fn here() -> Result<Hand> {
        Hand::with(PRIORITY_DEFAULT)
    }

    /// A new thread of this task with this priority.
    pub(crate) fn with(priority: u32) -> Result<Hand> {
        let inbox = trap::port_allocate(Capacity::DEFAULT)?;
        port::add_send(inbox)?;
        let hand = Hand::start(trap::task_self(), inbox, inbox, ROOM, priority)?;
        trap::port_deallocate(inbox)?;
        trap::port_deallocate(inbox)?;
        Ok(hand)
    }

    /// A new thread of `task`, which runs this program too; its greeting comes from
    /// `outlet`, a send right of that task, to `inbox`, the receive right of this one.
    pub(crate) fn start(task: Name, outlet: Name, inbox: Name, room: u32, priority: u32) -> Result<Hand> {
        let anywhere = MapFlags::ANYWHERE.bits();
        let memory = Descriptor::port(Name::NULL, 0);
        let (usable, inheritance) = (Protection::READ_WRITE.bits(), Inheritance::Copy as u32);
        let stack = vm::vm_map(&MsgRpc, task, 0, STACK, 0, usable, usable, inheritance, anywhere, memory)?;
        // A function finds the stack 8 bytes off a multiple of 16.
        let top = stack.results.address + STACK - 8;
        let argument = u64::from(outlet.0) | u64::from(room) << 32;
        let entry = begin as *const () as u64;
        let thread = task::thread_create(&MsgRpc, task, entry, top, argument, priority, 0)?;
        trap::port_deallocate(thread.rights[0])?;
        Hand::greeted(&receive(inbox)?)
    }

    /// The hand that sent this greeting.
    pub(crate) fn greeted(greeting: &Received) -> Result<Hand> {
        let (control, thread) = (greeting.right(0), greeting.right(1));
        let greeting = Greeting::read_from_bytes(&greeting.body).map_err(|_| Error::Failure)?;
        Ok(Hand { control, thread, greeting })
    }

    /// Gives an order, and bytes for the sending buffer.
    fn order(&self, order: Order, bytes: &[u8]) -> Result<Pending> {
        let reply = trap::port_allocate(Capacity::Bounded(1))?;
        let mut body = order.as_bytes().to_vec();
        body.extend_from_slice(bytes);
        Message::copy_to(self.control).reply(reply, Disposition::MakeSendOnce).body(&body).send()?;
        Ok(Pending { reply })
    }

    /// Starts a trap.
    pub(crate) fn start_call(&self, call: Call) -> Result<Pending> {
        self.start_message_call(call, &[], 0)
    }

    fn start_message_call(&self, call: Call, bytes: &[u8], take: u32) -> Result<Pending> {
        let (number, arguments) = call.encode();
        self.order(Order { kind: TRAP, take, from: 0, number, arguments }, bytes)
    }

    /// Starts a trap that may mean nothing.
    pub(crate) fn random_trap(&self, number: u64, arguments: [u64; 6]) -> Result<Pending> {
        self.order(Order { kind: TRAP, take: 0, from: 0, number, arguments }, &[])
    }

    /// Makes a trap that does not wait, and reports.
    pub(crate) fn call(&self, call: Call) -> core::result::Result<Report, Failure> {
        self.start_call(call)?.finish()
    }

    /// Starts to send a message whose names are those of the hand's task.
    pub(crate) fn send(&self, message: &Message, options: Options, timeout: u32) -> Result<Pending> {
        let bytes = message.lay_out();
        let send = self.send_half(&bytes, timeout);
        self.start_message_call(Call::Message { send: Some(send), receive: None, options }, bytes.bytes(), 0)
    }

    /// Starts to send what is laid out, if there is a place for it now.
    pub(crate) fn send_bytes(&self, bytes: &Buffer) -> Result<Pending> {
        let send = self.send_half(bytes, 0);
        let call = Call::Message { send: Some(send), receive: None, options: Options::SEND_TIMEOUT };
        self.start_message_call(call, bytes.bytes(), 0)
    }

    /// Starts to receive.
    pub(crate) fn receive(&self, port: Name, options: Options, timeout: u32) -> Result<Pending> {
        let receive = self.receive_half(port, timeout);
        self.start_message_call(Call::Message { send: None, receive: Some(receive), options }, &[], ROOM)
    }

    /// Starts to send a message and receive one from `port`, waiting for ever.
    pub(crate) fn rpc(&self, message: &Message, port: Name) -> Result<Pending> {
        let bytes = message.lay_out();
        let (send, receive) = (self.send_half(&bytes, 0), self.receive_half(port, 0));
        let call = Call::Message { send: Some(send), receive: Some(receive), options: NONE };
        self.start_message_call(call, bytes.bytes(), ROOM)
    }

    fn send_half(&self, bytes: &Buffer, timeout: u32) -> Send {
        Send { address: self.greeting.sends, timeout, ..bytes.send_half() }
    }

    fn receive_half(&self, port: Name, timeout: u32) -> Receive {
        Receive { address: self.greeting.receives, size: self.greeting.room as u32, port, timeout }
    }

    /// Bytes of the receiving buffer.
    pub(crate) fn received_bytes(&self, from: usize, take: usize) -> core::result::Result<Vec<u8>, Failure> {
        let order = Order { kind: REPORT, take: take as u32, from: from as u64, ..Order::default() };
        Ok(self.order(order, &[])?.finish()?.bytes)
    }

    /// Starts to read the eight bytes at an address of the hand's task.
    pub(crate) fn load(&self, address: u64) -> Result<Pending> {
        self.order(Order { kind: LOAD, number: address, ..Order::default() }, &[])
    }

    /// Starts to write eight bytes at an address of the hand's task.
    pub(crate) fn store(&self, address: u64, value: u64) -> Result<Pending> {
        self.order(Order { kind: STORE, number: address, arguments: [value, 0, 0, 0, 0, 0], ..Order::default() }, &[])
    }

    /// Starts to play a part of [`alpc`](crate::alpc::act).
    pub(crate) fn act(&self, part: u64, arguments: [u64; 6]) -> Result<Pending> {
        self.order(Order { kind: ACT, number: part, arguments, ..Order::default() }, &[])
    }

    /// What the hand's thread does now.
    pub(crate) fn info(&self) -> Result<ThreadInfo> {
        Ok(thread::info(&MsgRpc, self.thread)?.results.info)
    }

    /// Fails unless the pending order comes to wait in this way.
    pub(crate) fn waits(&self, pending: &Pending, state: State) -> Verdict {
        let deadline = deadline(PATIENCE);
        loop {
            holds!(!pending.is_done()?, state);
            if self.info()?.state == state as u32 {
                return Ok(());
            }
            holds!(trap::clock_get() < deadline, state);
            trap::thread_switch(Name::NULL, None)?;
        }
    }

    /// Ends the thread.
    pub(crate) fn terminate(&self) -> Result<()> {
        thread::terminate(&MsgRpc, self.thread).map(drop)
    }
}

impl Pending {
    /// Whether the report has come.
    pub(crate) fn is_done(&self) -> Result<bool> {
        Ok(routine::port_status(&MsgRpc, trap::task_self(), self.reply, 0)?.results.status.messages > 0)
    }

    /// Waits for the report. A hand that ended instead is a failure.
    #[track_caller]
    pub(crate) fn finish(self) -> core::result::Result<Report, Failure> {
        self.end()?.ok_or_else(|| Failure::new("the thread ended in the middle of its order"))
    }

    /// Waits for the report, or `None` if the hand ends instead.
    #[track_caller]
    pub(crate) fn end(self) -> Result<Option<Report>> {
        let report = receive(self.reply)?;
        trap::port_deallocate(self.reply)?;
        if report.is_from_kernel() && report.header.id == notification::Kind::SendOnce as u32 {
            return Ok(None);
        }
        let (answer, bytes) = Answer::read_from_prefix(&report.body).map_err(|_| Error::Failure)?;
        Ok(Some(Report { result: result_of(answer.code), value: answer.value, bytes: bytes.to_vec() }))
    }
}

extern "C" fn begin(argument: u64) -> ! {
    serve(Name(argument as u32), (argument >> 32) as usize)
}

/// A hand's life: says hello through a send right, then does as it is told.
pub(crate) fn serve(hello: Name, room: usize) -> ! {
    let control = trap::port_allocate(Capacity::DEFAULT).expect("a hand needs a port");
    let (mut sends, mut receives) = (Buffer::new(room), Buffer::new(room));
    let addresses = (sends.address(), receives.receive_half(control).address);
    let greeting = Greeting { sends: addresses.0, receives: addresses.1, room: room as u64 };
    Message::copy_to(hello)
        .right(control, Disposition::MakeSend)
        .right(trap::thread_self(), Disposition::CopySend)
        .body(greeting.as_bytes())
        .send()
        .expect("someone waits for a hand's greeting");
    let mut order = wait(control);
    loop {
        let answer = obey(&order, &mut sends, &receives);
        let reply = Message::once_to(order.header.remote).body(&answer);
        // Whoever gave the order may have given up waiting for the answer.
        order = reply.rpc_with(control, NONE, 0, 0).unwrap_or_else(|_| wait(control));
    }
}

fn wait(control: Name) -> Received {
    receive_with(control, NONE, 0).expect("a hand's own port lives as long as its thread")
}

fn obey(order: &Received, sends: &mut Buffer, receives: &Buffer) -> Vec<u8> {
    let (order, bytes) = Order::read_from_prefix(&order.body).expect("orders are whole");
    sends.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
    let (code, value) = match order.kind {
        TRAP => asm::trap(order.number, order.arguments),
        LOAD => (0, asm::load(order.number)),
        ACT => (0, crate::alpc::act(order.number, order.arguments)),
        STORE => {
            asm::store(order.number, order.arguments[0]);
            (0, 0)
        }
        _ => (0, 0),
    };
    let mut answer = Answer { code, reserved: 0, value }.as_bytes().to_vec();
    answer.extend_from_slice(&receives.bytes()[order.from as usize..][..order.take as usize]);
    answer
}
