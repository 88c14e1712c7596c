//! Ports as user programs see them: capacity and status, and the routines on a task's ports and
//! names, which are behind the task's kernel port.
//!
//! Names in arguments and results are names in the task that is asked, not in the caller's.
//! Neighbours: `task`; the kernel's `ipc::port` is the thing itself.

use crate::error::{Error, Result};
use crate::interface;
use crate::name::Name;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

interface! {
    base 3200;

    /// Capacity, messages, waiters and rights of the port whose receive right `name` is.
    ///
    /// `InvalidName`; `NotReceiver`: the name is not a receive right.
    1 port_status / PortStatus (name: Name, reserved: u32) -> (status: Status);

    /// Sets the port's capacity (a [`Capacity::code`](crate::Capacity::code)) and lets in as many
    /// waiting senders as now have a place. Lowering it removes nothing: the port is
    /// full until it has drained. (Mach 2.5's `port_set_backlog`.)
    ///
    /// `InvalidName`, `NotReceiver`, `InvalidValue`.
    2 port_set_backlog / PortSetBacklog (name: Name, capacity: u32) -> ();

    /// Gives the task the right in the message, under `name` or, if that is null, one
    /// that the kernel picks, and returns the name. A right for a port the task knows
    /// merges with what it has, under the name it knows. See [`port_allocate_name`] for
    /// names that are chosen.
    ///
    /// `UrefsOverflow`, `NoSpace`, `ResourceShortage`. With a chosen name also
    /// `InvalidValue`, `NameExists`; `RightExists`: the task knows the port by another
    /// name; `InvalidCapability`: the right is null or dead.
    3 port_insert_right / PortInsertRight (name: Name, reserved: u32; right) -> (name: Name, reserved: u32);

    /// What the name stands for, with its user references.
    ///
    /// `InvalidName`.
    4 port_type / PortType (name: Name, reserved: u32) -> (kind: NameType);

    /// Adds `delta` to the user references of the right of this `kind`
    /// ([`RightKind`](crate::RightKind)) under the name. A receive or send-once right has one,
    /// so only -1 is legal there, and ends it.
    ///
    /// `InvalidName`, `InvalidRight`: no right of that kind there. `InvalidValue`:
    /// fewer than zero would be left, or the kind is unknown. `UrefsOverflow`.
    5 port_mod_refs / PortModRefs (name: Name, kind: u32, delta: i32, reserved: u32) -> ();

    /// `port_allocate` for this task.
    ///
    /// `InvalidValue`, `NoSpace`, `ResourceShortage`.
    6 port_allocate / PortAllocate (capacity: u32, reserved: u32) -> (name: Name, reserved: u32);

    /// `port_deallocate` for this task.
    ///
    /// `InvalidName`.
    7 port_deallocate / PortDeallocate (name: Name, reserved: u32) -> ();

    /// Makes a new right of this `kind` ([`RightKind`](crate::RightKind)) under a name that the
    /// caller chooses, or, if `name` is null, one that the kernel picks: a port of this
    /// `capacity`, by its receive right; a port set, with no members; or a dead name, with one
    /// reference. `capacity` must be 0 where it means nothing. (Mach 3's `mach_port_allocate` and `_name`.)
    ///
    /// A chosen name is given as it is, if its slot is vacant. The task pays for all
    /// slots up to it, which then are its vacant ones. When the name goes, the slot's
    /// generations go on from the later of the chosen one and the one that was next.
    ///
    /// `InvalidValue`: unknown kind or capacity, or no right can have that name: its slot
    /// is 0 or beyond [`Name::INDEX_MAX`]. `NameExists`, also while the kernel caches a message sent under it. `NoSpace`, `ResourceShortage`.
    8 port_allocate_name / PortAllocateName (name: Name, kind: u32, capacity: u32, reserved: u32)
        -> (name: Name, reserved: u32);

    /// Gives up all that the name stands for, with all references; with a receive right
    /// the port dies. (Mach 3's `mach_port_destroy`.)
    ///
    /// `InvalidName`.
    9 port_destroy / PortDestroy (name: Name, reserved: u32) -> ();

    /// The user references of the right of this `kind` under the name; 0 if there is none.
    ///
    /// `InvalidName`; `InvalidValue`: the kind is unknown.
    10 port_get_refs / PortGetRefs (name: Name, kind: u32) -> (references: u32, reserved: u32);

    /// What the task's names stand for, in the order of their slots: as many of those in
    /// slots from `first` on as fit and are found at once. Begin with 0, go on with
    /// `next` until that is 0; a reply may have none and yet not be the last. A name that
    /// comes or goes meanwhile may be missed, any other is told exactly once.
    11 port_names / PortNames (first: u32, reserved: u32) -> (next: u32, count: u32, names: [NameType; NAMES_MAX]);

    /// Gives what `old` stands for the name `new`, chosen as in [`port_allocate_name`]. Threads
    /// that wait at the port go on waiting; what has been announced under the old name
    /// stays so. (Mach's `port_rename`.)
    ///
    /// `InvalidName`; `InvalidValue`: no right can have the name `new`. `NameExists`.
    /// `Failure`: a thread waits to send a message with a right moved from `old`.
    /// `ResourceShortage`.
    12 port_rename / PortRename (old: Name, new: Name) -> ();

    /// Takes a right out of the task, by a [`Disposition`](crate::Disposition) of its name, and
    /// returns it. A reply that cannot be received takes the right with it. (Mach 3's
    /// `mach_port_extract_right`.)
    ///
    /// `InvalidName`; `InvalidValue`: unknown disposition. `InvalidRight`: the name stands
    /// for something else, or the receive right could never be received where the reply goes.
    13 port_extract_right / PortExtractRight (name: Name, disposition: u32) -> (; right);

    /// Sets the number that the next message received from the port will carry.
    ///
    /// `InvalidName`, `NotReceiver`.
    14 port_set_seqno / PortSetSeqno (name: Name, reserved: u32, sequence: u64) -> ();

    /// Sets the port's make-send count.
    ///
    /// `InvalidName`, `NotReceiver`.
    15 port_set_mscount / PortSetMscount (name: Name, count: u32) -> ();

    /// Asks for one notification about the name, of a [`Kind`](crate::notification::Kind), through
    /// the send-once right `notify`, or, if that is null, to the notify port that the task
    /// has now. What was asked for before is taken back: its right is returned, null if it
    /// was the notify port. The caller pays for the message until it has been received.
    /// (Mach 3's `mach_port_request_notification`, where null takes back; see
    /// [`port_cancel_notification`].)
    ///
    /// - `DeadName`, of any right to a port: it has died. This takes the place of the
    ///   notice on the notify port. `sync` other than 0: a dead name is told at once.
    /// - `SendPossible`, of a send right: the port has room, or a receiver waits, now or
    ///   later; if it dies first, that is told. A name has one of these two at most.
    /// - `NoSenders`, of a receive right: there are no send rights, and `sync` or more have
    ///   been made. It stays with the port when the receive right moves.
    /// - `PortDestroyed`, of a receive right: when the port would die, the message takes its
    ///   receive right instead, with all that is queued. `sync` has no meaning. If the
    ///   message cannot be received any more, the port dies.
    ///
    /// If the name goes otherwise than by death, `PortDeleted` comes; if the port of a
    /// receive right dies, the send-once right is destroyed, which tells its port.
    ///
    /// `InvalidName`; `InvalidValue`: no such kind. `InvalidRight`: the name stands for
    /// something else. `InvalidArgument`: it is dead, and `sync` is 0. `InvalidCapability`:
    /// `notify` is no send-once right to a port that lives. `ResourceShortage`.
    16 port_request_notification / PortRequestNotification (name: Name, kind: u32, sync: u32, reserved: u32; notify)
        -> (; previous);

    /// Takes a request for a notification back. Returns its right; null if there was no
    /// request, or one for the notify port.
    ///
    /// `InvalidName`, `InvalidValue`, `InvalidRight`.
    17 port_cancel_notification / PortCancelNotification (name: Name, kind: u32) -> (; previous);

    /// Sets the backup of the port whose receive right `name` is: a send right; null for
    /// none. When the port would die, its receive right goes to the backup, in a
    /// `PortDestroyed` notification, and has no backup any more. Returns the one before. A
    /// backup and a request for `PortDestroyed` take each other's place. (Mach 2.5's
    /// `port_set_backup`.)
    ///
    /// `InvalidName`, `InvalidRight`; `InvalidCapability`: not a send right to a port that
    /// lives. `ResourceShortage`.
    18 port_set_backup / PortSetBackup (name: Name, reserved: u32; backup) -> (; previous);

    /// Puts the port whose receive right `member` is into a port set, out of the one it was in;
    /// a null set takes it out. While it is in a set, its messages are received from there
    /// only: by a receive that names the set, from the members that have something in turn.
    /// A message says by `local` which port it came to. A port leaves its set when its
    /// receive right goes. (Mach 3's `mach_port_move_member`; sets are made by
    /// [`port_allocate_name`].)
    ///
    /// `InvalidName`; `NotReceiver`: `member` is no receive right. `InvalidRight`: `set` is no
    /// port set. `NotInSet`: it is to be taken out, and is in none.
    19 port_move_member / PortMoveMember (member: Name, set: Name) -> ();

    /// The members of a port set: as many of those in slots from `first` on as fit and are
    /// found at once, as in [`port_names`].
    ///
    /// `InvalidName`, `InvalidRight`.
    20 port_get_set_status / PortGetSetStatus (set: Name, first: u32)
        -> (next: u32, count: u32, members: [Name; MEMBERS_MAX]);

    /// Sets the number that each message from the port will carry in its trailer, so that
    /// its receiver need not look up by name what the port is to it. It goes when the
    /// receive right moves. (GNU Mach's `mach_port_set_protected_payload`.)
    ///
    /// `InvalidName`, `NotReceiver`.
    21 port_set_protected_payload / PortSetProtectedPayload (name: Name, reserved: u32, payload: u64) -> ();

    /// Messages from the port carry no number any more.
    ///
    /// `InvalidName`, `NotReceiver`.
    22 port_clear_protected_payload / PortClearProtectedPayload (name: Name, reserved: u32) -> ();

    /// The message that the kernel caches for the port that `name` is, until it is accepted:
    /// its number, its size with header and descriptors, in bytes, and its id. `thread` is
    /// the task's name of the thread for which it was cached with
    /// [`SEND_NOTIFY_THREAD`](crate::message::Options::SEND_NOTIFY_THREAD); null: for the task.
    ///
    /// `InvalidName`; `InvalidRight`: `thread` is no thread. `Failure`: no message is cached so,
    /// any more.
    23 port_cached / PortCached (name: Name, thread: Name) -> (number: u64, size: u32, id: u32);

    /// Takes the cached message back: it leaves the queue, and no acceptance is announced. It
    /// is written into `room` bytes of the task's memory at `address` as it could be sent
    /// again, and its size is returned. Rights that were moved come back under their old
    /// names, or, where such a name is in use or the port is known by another, under the one
    /// in the message; to a receive right that comes back no thread waits any more. Memory, and
    /// the names of an array, come back in a place of their own, as they were when the message was
    /// sent: the task's, and to be moved if the message is sent again.
    ///
    /// `InvalidName`, `InvalidRight`, `Failure` as for [`port_cached`]. `NoSpace`: there is too
    /// little room, or none in the address space for the memory.
    /// `InvalidAddress`: no memory there, or not at a multiple of 8; `ProtectionFailure`;
    /// `ResourceShortage`.
    24 port_cached_take_back / PortCachedTakeBack (name: Name, thread: Name, address: u64, room: u32, reserved: u32)
        -> (size: u32, reserved: u32);

    /// Puts another message in the place of the cached one, which is taken back as by
    /// [`port_cached_take_back`] to `old`. The new one lies in `size` bytes at `address` as for
    /// `msg_send`, its destination is `name`, and it is announced when it is accepted. The two
    /// buffers may be the same.
    ///
    /// The errors of [`port_cached_take_back`], and, for the new message, the `Send…` errors;
    /// `SendInvalidPort`: its destination is another.
    25 port_cached_replace / PortCachedReplace (name: Name, thread: Name, address: u64, size: u32, room: u32, old: u64)
        -> (size: u32, reserved: u32);

    /// Sets what happens to a message for which the port has no place (an [`AtFull::code`]), and
    /// applies it to the senders that wait, as if they came now. It stays with the port,
    /// as its capacity does. What comes through send-once rights, and what the kernel says,
    /// is always taken.
    ///
    /// `InvalidName`, `NotReceiver`; `InvalidValue`: no such answer.
    26 port_set_full / PortSetFull (name: Name, answer: u32) -> ();

    /// Lets a send right behave, where a mailbox is full, as in one [`Generation`] of Mach (by its
    /// number), for whoever in this task sends through the name. A copy of the right that is sent
    /// elsewhere starts as ours.
    ///
    /// `InvalidName`; `InvalidRight`: the name has no send right. `InvalidValue`: no such generation.
    27 port_set_generation / PortSetGeneration (name: Name, generation: u32) -> ();
}

/// Most names in one reply of [`port_names`].
pub const NAMES_MAX: usize = 32;

/// Most members in one reply of [`port_get_set_status`].
pub const MEMBERS_MAX: usize = 64;

/// How many messages a port holds before it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capacity {
    /// Rendezvous: a waiting receiver is the one free place.
    Zero,
    /// At most this many messages, 1 to [`Capacity::BOUNDED_MAX`].
    Bounded(u32),
    /// As many as the senders' accounts pay for.
    Unbounded,
}

impl Capacity {
    /// Mach's default queue length (`PORT_BACKLOG_DEFAULT`).
    pub const DEFAULT: Capacity = Capacity::Bounded(5);
    /// The largest bound.
    pub const BOUNDED_MAX: u32 = 65_535;
    const UNBOUNDED_CODE: u32 = u32::MAX;

    /// As it stands in a register or a message.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Capacity::Zero => 0,
            Capacity::Bounded(limit) => limit,
            Capacity::Unbounded => Self::UNBOUNDED_CODE,
        }
    }

    /// The capacity that a number stands for; [`Error::InvalidValue`] between
    /// [`Capacity::BOUNDED_MAX`] and the code for unbounded.
    pub const fn from_code(code: u32) -> Result<Capacity> {
        match code {
            0 => Ok(Capacity::Zero),
            1..=Self::BOUNDED_MAX => Ok(Capacity::Bounded(code)),
            Self::UNBOUNDED_CODE => Ok(Capacity::Unbounded),
            _ => Err(Error::InvalidValue),
        }
    }
}

/// What a receiver wants to happen to a message for which its port has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum AtFull {
    /// Whatever the sender says with its options. So it is at first.
    #[default]
    Sender = 0,
    /// The send ends at once with [`Error::SendPortFull`].
    Refuse = 1,
    /// It is queued, and the oldest message is destroyed. A port of capacity zero has no place for
    /// either: there it is [`AtFull::DropNewest`].
    DropOldest = 2,
    /// It is destroyed. To its sender it has been sent: as with a datagram, only the
    /// receiver knows.
    DropNewest = 3,
    /// It takes the place of the oldest queued message with the same id, which is destroyed. If there
    /// is none, it is as the sender says. To find it takes time in proportion to the queue.
    Replace = 4,
}

impl AtFull {
    /// All of them.
    pub const ALL: [AtFull; 5] =
        [AtFull::Sender, AtFull::Refuse, AtFull::DropOldest, AtFull::DropNewest, AtFull::Replace];

    /// As it stands in a message.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The answer that a number stands for; else [`Error::InvalidValue`].
    pub fn from_code(code: u32) -> Result<AtFull> {
        Self::ALL.into_iter().find(|answer| *answer as u32 == code).ok_or(Error::InvalidValue)
    }
}

/// How a send right behaves where a mailbox is full, in the generations of Mach.
///
/// A message *given back* is its sender's again, rights and all; one that is *destroyed*
/// takes its rights with it, and the sender's names for those that it moved are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum Generation {
    /// Ours: a message that is not sent is given back, whatever the reason.
    #[default]
    Portolan = 0,
    /// Mach 2.5 (CMU, OSF/1): a message that is not sent is destroyed.
    Mach25 = 1,
    /// Mach 3 (GNU Mach): given back; but if the port dies during the wait, the send succeeds, and
    /// the message is destroyed. (There, rights may come back under new names; not here.)
    Mach3 = 2,
    /// XNU: as Mach 3, and nothing is cached. `SEND_NOTIFY` with `SEND_TIMEOUT` asks, when the time is over,
    /// for a `SendPossible` notification on the notify port, and the send ends with `SEND_TIMED_OUT`;
    /// without a timeout it waits. If another notification about the name has been asked for,
    /// `SEND_NOTIFY_IN_PROGRESS`; if the message took the last reference, `SEND_INVALID_RIGHT`.
    Xnu = 3,
}

impl Generation {
    /// All of them.
    pub const ALL: [Generation; 4] = [Generation::Portolan, Generation::Mach25, Generation::Mach3, Generation::Xnu];

    /// The generation that a number stands for; else [`Error::InvalidValue`].
    pub fn from_code(code: u32) -> Result<Generation> {
        Self::ALL.into_iter().find(|generation| *generation as u32 == code).ok_or(Error::InvalidValue)
    }
}

/// What `port_status` tells of a port; whoever holds its receive right may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Status {
    /// [`Capacity::code`].
    pub capacity: u32,
    /// Messages in the queue, cached and forced ones included.
    pub messages: u32,
    /// Of these, messages cached above the capacity.
    pub cached: u32,
    /// Threads waiting to send.
    pub senders: u32,
    /// Threads waiting to receive.
    pub receivers: u32,
    /// Send rights that exist, in name spaces and in messages.
    pub send_rights: u32,
    /// Send-once rights that exist.
    pub send_once_rights: u32,
    /// Send rights ever made from the receive right since it last moved.
    pub make_send_count: u32,
    /// The sequence number that the next message received will carry.
    pub sequence: u64,
    /// Which notifications are asked for: [`Status::NO_SENDERS`], [`Status::PORT_DESTROYED`].
    pub requests: u32,
    /// The task's name of the set that it is in, or null.
    pub set: Name,
    /// Its protected payload; 0 if it has none.
    pub payload: u64,
    /// Messages that it has refused, being full ([`AtFull::Refuse`]).
    pub refused: u64,
    /// Messages destroyed for younger ones ([`AtFull::DropOldest`]).
    pub dropped_oldest: u64,
    /// Messages destroyed as they came ([`AtFull::DropNewest`]).
    pub dropped_newest: u64,
    /// Messages destroyed for others with their id ([`AtFull::Replace`]).
    pub replaced: u64,
    /// [`AtFull::code`].
    pub at_full: u32,
    /// Always 0.
    pub reserved: u32,
}

impl Status {
    /// Bit of `requests`: no senders.
    pub const NO_SENDERS: u32 = 1;
    /// Bit of `requests`: port destroyed, or a backup.
    pub const PORT_DESTROYED: u32 = 2;
}

/// What `port_type` tells of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, IntoBytes, FromBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct NameType {
    /// The name asked for.
    pub name: Name,
    /// 1 if it stands for the receive right.
    pub receive: u32,
    /// User references of the send right; 0 if there is none.
    pub send: u32,
    /// 1 if it stands for a send-once right.
    pub send_once: u32,
    /// User references of the dead name; 0 if the port lives.
    pub dead: u32,
    /// 1 if it stands for a port set.
    pub set: u32,
}

/// User references that one name can have at most (Mach's `MACH_PORT_UREFS_MAX`).
pub const UREFS_MAX: u32 = 65_535;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_survive_the_register() {
        for capacity in [Capacity::Zero, Capacity::Bounded(1), Capacity::Bounded(65_535), Capacity::Unbounded] {
            assert_eq!(Capacity::from_code(capacity.code()), Ok(capacity));
        }
        assert_eq!(Capacity::from_code(65_536), Err(Error::InvalidValue));
        assert_eq!(Capacity::from_code(u32::MAX - 1), Err(Error::InvalidValue));
    }
}
