//! Ports: a queue of messages with one receiver, a capacity, and counts of rights.
//!
//! Invariant: threads wait to send only while the queue is full, and to receive
//! only while it is empty and no notice is due; the counts are those of all name
//! spaces and messages. Neighbours: `space` names ports, `send` and `receive` use
//! the queue, `death` ends it.

use super::message::{Message, MessageId, Messages};
use super::pager::{PagerId, Pagers};
use super::set::{Members, Place};
use crate::arena::{Arena, Id};
use crate::list::{Link, Linked, List};
use crate::task::TaskId;
use crate::task::account::AccountId;
use crate::task::thread::{InQueue, Thread, ThreadId};
use crate::vm::ObjectId;
use portolan_abi::{AtFull, Capacity, Name, Protection};
use portolan_machine::{IoRange, Line};

/// Names a port.
pub type PortId = Id<Port>;
/// All ports.
pub type Ports = Arena<Port>;

/// What a port costs its account, besides one port.
pub const PORT_COST: u64 = Ports::SLOT_SIZE as u64;

/// A port.
pub struct Port {
    /// Who receives.
    pub owner: Owner,
    /// Who pays for it.
    pub account: AccountId,
    /// How many messages it holds before it is full.
    pub capacity: Capacity,
    /// What happens to a message for which there is no place.
    pub at_full: AtFull,
    /// What that has cost.
    pub overflows: Overflows,
    /// The messages, oldest first.
    pub queue: List<Message, InPort>,
    /// How many of them the kernel caches for their senders.
    pub cached: u32,
    /// Threads waiting for a place.
    pub senders: List<Thread, InQueue>,
    /// Threads waiting for a message.
    pub receivers: List<Thread, InQueue>,
    /// Send rights that exist: one for each name that has any, one for each in a message.
    pub send_rights: u32,
    /// Send-once rights that exist.
    pub send_once_rights: u32,
    /// Where the only one is.
    pub carrier: Carrier,
    /// Send rights made from the receive right since it last moved.
    pub make_send_count: u32,
    /// Messages that have left it since the receive right last moved.
    pub sequence: u64,
    /// Names that are to become dead names when it dies.
    pub holders: Option<Holder>,
    /// What the kernel has to say to its receiver.
    pub notices: Notices,
    /// The pagers that are told here and have threads waiting.
    pub pagers: Pagers,
    /// The request to be told when it has no senders.
    pub no_senders: Option<MessageId>,
    /// The request to be given the receive right instead of its being destroyed.
    pub destroyed: Option<MessageId>,
    /// Requests to be told when it takes a message; it does not now.
    pub hopes: List<Message, InPort>,
    /// The number that its receiver wants to find in each message from it.
    pub payload: Option<u64>,
    /// The set that it is in.
    pub set: Option<PortId>,
    /// Where in the set.
    pub place: Place,
    /// Among the members of that set.
    pub member: Link<Port>,
    /// Of a set: its members.
    pub members: Members,
    /// Where the message that carries its receive right is going.
    pub toward: Option<PortId>,
    /// In the line of ports to be cleared away.
    pub grave: Link<Port>,
}

/// Messages that a port did not keep because it was full and its receiver wants it so, by
/// the receiver's answer.
#[derive(Clone, Copy, Default, Debug)]
pub struct Overflows {
    /// Refused.
    pub refused: u64,
    /// Destroyed for a younger one.
    pub dropped_oldest: u64,
    /// Destroyed as they came.
    pub dropped_newest: u64,
    /// Destroyed for another with the same id.
    pub replaced: u64,
}

/// Who receives from a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A task, under this name.
    Task(TaskId, Name),
    /// A task, from its members: it is a port set, under this name.
    Set(TaskId, Name),
    /// Nobody: the receive right is in a message.
    Message,
    /// The kernel: messages are requests, answered at once.
    Kernel(KernelObject),
    /// Nobody any more: the port is dead, and about to be cleared away.
    Dead,
}

/// What a port of the kernel's stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelObject {
    /// A task.
    Task(TaskId),
    /// A thread.
    Thread(ThreadId),
    /// A memory object, to be mapped with at most this protection.
    Memory(ObjectId, Protection),
    /// The pager of a memory object.
    Pager(PagerId),
    /// The machine.
    Host(HostAccess),
    /// An interrupt line that is bound.
    Interrupt(Line),
    /// A range of I/O ports.
    IoPorts(IoRange),
}

/// What a host port allows to ask of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostAccess {
    /// What it is.
    Plain,
    /// Everything.
    Privileged,
}

/// Where a port's only send-once right is: who could send the one message through it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Carrier {
    /// Nowhere yet, or the kernel has it.
    #[default]
    OnItsWay,
    /// There have been several since there was none: which one is left is not known.
    Several,
    /// Under a name of this task, which may be about to send it.
    Task(TaskId),
    /// In a message in this port's queue.
    Queue(PortId),
}

/// A name in some task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The task.
    pub task: TaskId,
    /// The slot of its name space.
    pub slot: u32,
}

/// Messages that the kernel makes when they are received, so that they need no memory.
#[derive(Clone, Copy, Default, Debug)]
pub struct Notices {
    /// Send-once rights for this port that were destroyed unused.
    pub send_once: u32,
    /// The first of the lines that have interrupted and whose message is to come here.
    pub interrupts: Option<Line>,
    /// The task whose dead names are told here: the port is its notify port.
    pub dead_names_of: Option<TaskId>,
}

impl Notices {
    /// Whether there may be one; if not, there is none.
    #[inline]
    pub fn may_be_due(&self) -> bool {
        self.send_once > 0 || self.interrupts.is_some() || self.dead_names_of.is_some()
    }
}

impl KernelObject {
    /// Whether the port, and what it stands for, ends with its last send right.
    pub fn ends_with_its_rights(self) -> bool {
        matches!(
            self,
            KernelObject::Memory(..) | KernelObject::Pager(_) | KernelObject::Interrupt(_) | KernelObject::IoPorts(_)
        )
    }
}

impl Port {
    /// A port with nothing in it.
    pub fn new(owner: Owner, account: AccountId, capacity: Capacity) -> Port {
        Port {
            owner,
            account,
            capacity,
            at_full: AtFull::default(),
            overflows: Overflows::default(),
            queue: List::default(),
            cached: 0,
            senders: List::default(),
            receivers: List::default(),
            send_rights: 0,
            send_once_rights: 0,
            carrier: Carrier::default(),
            make_send_count: 0,
            sequence: 0,
            holders: None,
            notices: Notices::default(),
            pagers: Pagers::default(),
            no_senders: None,
            destroyed: None,
            hopes: List::default(),
            payload: None,
            set: None,
            place: Place::Idle,
            member: Link::default(),
            members: Members::default(),
            toward: None,
            grave: Link::default(),
        }
    }

    /// One more send-once right to it, which is on its way.
    #[inline(always)]
    pub fn add_send_once(&mut self) {
        self.carrier = if self.send_once_rights == 0 { Carrier::OnItsWay } else { Carrier::Several };
        self.send_once_rights += 1;
    }

    /// A send-once right to it is here now.
    #[inline(always)]
    pub fn carry(&mut self, carrier: Carrier) {
        if self.carrier != Carrier::Several {
            self.carrier = carrier;
        }
    }

    /// Its receiver's name for it; null if no task receives from it.
    #[inline]
    pub fn name(&self) -> Name {
        match self.owner {
            Owner::Task(_, name) | Owner::Set(_, name) => name,
            _ => Name::NULL,
        }
    }

    /// Whether it can still take and give messages.
    #[inline(always)]
    pub fn is_alive(&self) -> bool {
        !matches!(self.owner, Owner::Dead)
    }

    /// Whether its queue has a free place for an ordinary message.
    #[inline]
    pub fn has_room(&self) -> bool {
        match self.capacity {
            Capacity::Zero => false,
            Capacity::Bounded(limit) => self.queue.len() < limit,
            Capacity::Unbounded => true,
        }
    }

    /// Whether there may be something to receive; if not, there is nothing.
    #[inline(always)]
    pub fn may_have_something(&self) -> bool {
        !self.queue.is_empty() || !self.senders.is_empty() || self.is_told()
    }

    /// Whether the kernel may have something to say to its receiver; if not, it has nothing.
    #[inline]
    pub fn is_told(&self) -> bool {
        self.notices.may_be_due() || !self.pagers.asking.is_empty()
    }

    /// Whether somebody wants to hear when it takes a message.
    #[inline(always)]
    pub fn is_hoped_for(&self) -> bool {
        !self.hopes.is_empty()
    }

    /// The place of the message that leaves it now.
    #[inline]
    pub fn next_sequence(&mut self) -> u64 {
        let sequence = self.sequence;
        // Its receiver may set it, to the last one too.
        self.sequence = sequence.wrapping_add(1);
        sequence
    }

    /// Puts a message last.
    pub fn enqueue(&mut self, messages: &mut Messages, id: MessageId) {
        self.queue.push_back(messages, id);
    }
}

/// The port, unless it is gone or dead.
#[inline(always)]
pub fn living(ports: &Ports, id: PortId) -> Option<&Port> {
    ports.get(id).filter(|port| port.is_alive())
}

/// The link for a port's queue.
pub struct InPort;
/// The link for the line of ports to be ended.
pub struct InGraveyard;

impl Linked<InPort> for Message {
    #[inline]
    fn link(&mut self) -> &mut Link<Message> {
        &mut self.queue
    }
    #[inline]
    fn link_ref(&self) -> &Link<Message> {
        &self.queue
    }
}

impl Linked<InGraveyard> for Port {
    fn link(&mut self) -> &mut Link<Port> {
        &mut self.grave
    }
    fn link_ref(&self) -> &Link<Port> {
        &self.grave
    }
}
