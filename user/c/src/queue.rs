//! `mqueue.h`: POSIX's message queues, kept by their server.
//!
//! Invariant: a descriptor is the place of an open queue in [`TABLE`], above those of shared memory.
//! Neighbours: `portolan_posix::queue`; `thread`, which runs the function that a program wants to be told by.

use crate::errno::{Errno, value_or_errno, zero_or_errno};
use crate::signal::{self, Info, Signal};
use crate::thread::{self, Attributes as ThreadAttributes};
use crate::time::TimeSpec;
use crate::unistd::{bytes, bytes_mut};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use portolan::{Capacity, Mutex, ReceiveRight};
use portolan_posix::queue::{self, Access, Attributes, Blocking, Create, MessageQueue, protocol};
use portolan_posix::{Time, created_mode};

/// The first descriptor of a queue.
const FIRST: usize = 1024;
/// Most queues that a program has open: a part of what their server takes from all, so that no program has them all.
pub(crate) const OPEN_MAX: usize = 64;

static TABLE: Mutex<Vec<Option<Arc<MessageQueue>>>> = Mutex::new(Vec::new());

fn place(descriptor: c_int) -> Result<usize, Errno> {
    usize::try_from(descriptor).ok().and_then(|number| number.checked_sub(FIRST)).ok_or(Errno::BadDescriptor)
}

fn open_queue(descriptor: c_int) -> Result<Arc<MessageQueue>, Errno> {
    let place = place(descriptor)?;
    TABLE.lock().get(place).cloned().flatten().ok_or(Errno::BadDescriptor)
}

fn put(queue: MessageQueue) -> Result<c_int, Errno> {
    let mut table = TABLE.lock();
    let place = table.iter().position(Option::is_none).unwrap_or(table.len());
    if place == OPEN_MAX {
        return Err(Errno::DescriptorsFull);
    }
    if place == table.len() {
        table.push(None);
    }
    table[place] = Some(Arc::new(queue));
    Ok((FIRST + place) as c_int)
}

fn take(descriptor: c_int) -> Result<Arc<MessageQueue>, Errno> {
    let place = place(descriptor)?;
    TABLE.lock().get_mut(place).and_then(Option::take).ok_or(Errno::BadDescriptor)
}

/// `O_…` of Linux.
mod flag {
    use core::ffi::c_int;

    pub(super) const WRITE: c_int = 1;
    pub(super) const READ_WRITE: c_int = 2;
    pub(super) const ACCESS: c_int = 3;
    pub(super) const CREATE: c_int = 0o100;
    pub(super) const EXCLUSIVE: c_int = 0o200;
    pub(super) const NONBLOCK: c_int = 0o4000;
}

fn access(flags: c_int) -> Result<Access, Errno> {
    match flags & flag::ACCESS {
        0 => Ok(Access::Receive),
        flag::WRITE => Ok(Access::Send),
        flag::READ_WRITE => Ok(Access::Both),
        _ => Err(Errno::Invalid),
    }
}

fn create(flags: c_int, mode: c_uint, attributes: *const MqAttr) -> Create {
    if flags & flag::CREATE == 0 {
        return Create::No;
    }
    // SAFETY: with `O_CREAT` the caller passes attributes, or null.
    let given = unsafe { attributes.as_ref() }.map_or(Attributes::DEFAULT, |given| given.attributes);
    match flags & flag::EXCLUSIVE {
        0 => Create::IfAbsent(created_mode(mode), given),
        _ => Create::New(created_mode(mode), given),
    }
}

/// `struct mq_attr`.
#[repr(C)]
struct MqAttr {
    attributes: Attributes,
    unused: [c_long; 4],
}

impl MqAttr {
    fn of(attributes: Attributes) -> MqAttr {
        MqAttr { attributes, unused: [0; 4] }
    }
}

/// Its last two arguments are passed only with `O_CREAT`. In C they are variable ones, which the machine's
/// calling convention passes as it does others.
#[unsafe(no_mangle)]
unsafe extern "C" fn mq_open(name: *const c_char, flags: c_int, mode: c_uint, attributes: *const MqAttr) -> c_int {
    // SAFETY: the caller passes a string.
    let name = unsafe { CStr::from_ptr(name) };
    value_or_errno(open(name, flags, mode, attributes))
}

fn open(name: &CStr, flags: c_int, mode: c_uint, attributes: *const MqAttr) -> Result<c_int, Errno> {
    let blocking = if flags & flag::NONBLOCK == 0 { Blocking::Wait } else { Blocking::Return };
    let (access, create) = (access(flags)?, create(flags, mode, attributes));
    put(MessageQueue::open(&queue::server()?, name.to_bytes(), access, create, blocking)?)
}

/// Closes a queue.
pub(crate) fn close(descriptor: c_int) -> Result<(), Errno> {
    take(descriptor).map(drop)
}

#[unsafe(no_mangle)]
extern "C" fn mq_close(descriptor: c_int) -> c_int {
    zero_or_errno(close(descriptor))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mq_unlink(name: *const c_char) -> c_int {
    // SAFETY: the caller passes a string.
    let name = unsafe { CStr::from_ptr(name) };
    zero_or_errno(queue::server().and_then(|server| MessageQueue::unlink(&server, name.to_bytes())))
}

fn until(time: *const TimeSpec) -> Option<Time> {
    // SAFETY: the caller passes a time, or null.
    unsafe { time.as_ref() }.map(|time| (*time).into())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mq_send(descriptor: c_int, start: *const u8, length: usize, priority: c_uint) -> c_int {
    // SAFETY: as there.
    unsafe { mq_timedsend(descriptor, start, length, priority, core::ptr::null()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mq_timedsend(
    descriptor: c_int,
    start: *const u8,
    length: usize,
    priority: c_uint,
    time: *const TimeSpec,
) -> c_int {
    // SAFETY: the caller passes memory of this length.
    let message = unsafe { bytes(start, length) };
    let queue = open_queue(descriptor);
    zero_or_errno(queue.and_then(|queue| {
        signal::restarting(|| match until(time) {
            None => queue.send(message, priority),
            Some(until) => queue.timed_send(message, priority, until),
        })
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mq_receive(descriptor: c_int, into: *mut u8, length: usize, priority: *mut c_uint) -> isize {
    // SAFETY: as there.
    unsafe { mq_timedreceive(descriptor, into, length, priority, core::ptr::null()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mq_timedreceive(
    descriptor: c_int,
    into: *mut u8,
    length: usize,
    priority: *mut c_uint,
    time: *const TimeSpec,
) -> isize {
    // SAFETY: the caller passes room of this length.
    let buffer = unsafe { bytes_mut(into, length) };
    let received = open_queue(descriptor).and_then(|queue| {
        signal::restarting(|| match until(time) {
            None => queue.receive(buffer),
            Some(until) => queue.timed_receive(buffer, until),
        })
    });
    value_or_errno(received.map(|(size, of_message)| {
        if !priority.is_null() {
            // SAFETY: the caller passes where it goes.
            unsafe { priority.write(of_message) };
        }
        size as isize
    }))
}

#[unsafe(no_mangle)]
extern "C" fn mq_getattr(descriptor: c_int, into: &mut MaybeUninit<MqAttr>) -> c_int {
    zero_or_errno(open_queue(descriptor).and_then(|queue| queue.attributes()).map(|attributes| {
        into.write(MqAttr::of(attributes));
    }))
}

#[unsafe(no_mangle)]
extern "C" fn mq_setattr(descriptor: c_int, new: &MqAttr, old: Option<&mut MaybeUninit<MqAttr>>) -> c_int {
    let set = open_queue(descriptor).and_then(|queue| queue.set_flags(new.attributes.flags));
    zero_or_errno(set.map(|before| {
        if let Some(old) = old {
            old.write(MqAttr::of(before));
        }
    }))
}

/// `union sigval`.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Value(*mut c_void);

/// `struct sigevent`, as far as it has a meaning here.
#[repr(C)]
struct SignalEvent {
    value: Value,
    signal: c_int,
    how: c_int,
    function: Option<extern "C" fn(Value)>,
    attributes: *const ThreadAttributes,
}

/// `SIGEV_SIGNAL`, `SIGEV_NONE`, `SIGEV_THREAD`.
const SIGNAL: c_int = 0;
const NONE: c_int = 1;
const THREAD: c_int = 2;
/// `SI_MESGQ`.
const OF_A_QUEUE: c_int = -3;

/// How a program is to be told.
#[derive(Clone, Copy)]
enum Telling {
    Nothing,
    Function(extern "C" fn(Value), Value),
    Signal(Info),
}

impl Telling {
    fn of(event: &SignalEvent) -> Result<Telling, Errno> {
        match (event.how, event.function) {
            (SIGNAL, _) => {
                let value = event.value.0.expose_provenance() as u64;
                Ok(Telling::Signal(signal::from_here(Signal::numbered(event.signal)?, OF_A_QUEUE, value)))
            }
            (NONE, _) => Ok(Telling::Nothing),
            (THREAD, Some(function)) => Ok(Telling::Function(function, event.value)),
            _ => Err(Errno::Invalid),
        }
    }

    fn tell(self) {
        match self {
            Telling::Nothing => {}
            Telling::Function(function, value) => function(value),
            // With too many signals pending this one is lost, as on Linux.
            Telling::Signal(info) => drop(signal::post_here(info)),
        }
    }
}

struct Listener {
    port: ReceiveRight,
    telling: Telling,
}

/// A thread waits for the word from the start, and runs the function, or sends the signal.
fn notify(descriptor: c_int, event: &SignalEvent) -> Result<(), Errno> {
    let telling = Telling::of(event)?;
    let queue = open_queue(descriptor)?;
    let port = ReceiveRight::allocate(Capacity::Bounded(1)).map_err(crate::errno::of)?;
    let word = port.make_send_once().map_err(crate::errno::of)?;
    let listener = Box::into_raw(Box::new(Listener { port, telling }));
    let given = match telling {
        // SAFETY: with a function the caller passes attributes for its thread, or null.
        Telling::Function(..) => unsafe { event.attributes.as_ref() },
        Telling::Nothing | Telling::Signal(_) => None,
    };
    let attributes = ThreadAttributes::detached(given);
    if let Err(errno) = thread::start(&attributes, listen, listener.cast()) {
        // SAFETY: no thread has got it.
        drop(unsafe { Box::from_raw(listener) });
        return Err(errno);
    }
    // If nobody registers it, the right's end is the listener's.
    queue.notify(Some(word))
}

extern "C" fn listen(listener: *mut c_void) -> *mut c_void {
    // SAFETY: `notify` passes a box to this thread alone.
    let Listener { port, telling } = *unsafe { Box::from_raw(listener.cast::<Listener>()) };
    if let Telling::Signal(_) = telling {
        // It is the program's threads' to take.
        thread::this().signals.block_all();
    }
    let came = port.receive().is_ok_and(|word| word.id() == protocol::ARRIVED);
    drop(port);
    if came {
        telling.tell();
    }
    null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn mq_notify(descriptor: c_int, event: Option<&SignalEvent>) -> c_int {
    zero_or_errno(match event {
        Some(event) => notify(descriptor, event),
        None => open_queue(descriptor).and_then(|queue| queue.notify(None)),
    })
}
