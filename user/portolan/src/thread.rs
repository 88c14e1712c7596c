//! Threads: of this task with [`spawn`], and of any task through their kernel ports.
//!
//! Invariant: a thread's stack is unmapped only when the thread runs no more. A
//! thread that has ended says so as its very last act, without the heap; then it
//! is terminated, so it can hold no lock, and its stack goes.
//! Neighbour: `task`, whose `thread_create` is beneath.
#![expect(unsafe_code, reason = "a new thread begins on a bare stack, with an address in a register")]

use crate::Result;
use crate::interface::MsgRpc;
use crate::layout::{Address, addressed, write};
use crate::lock::Mutex;
use crate::mapping::Mapping;
use crate::right::{ReceiveRight, Right, SendOnceRight, SendRight};
use crate::task::{Task, finish};
use crate::trap;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use portolan_abi::message::{Header, Options, received_size};
use portolan_abi::registers::{FloatingPoint, Registers};
use portolan_abi::thread::{PRIORITY_DEFAULT, RefusedWait, ThreadInfo};
use portolan_abi::{Capacity, Disposition, Error, Name, PAGE_SIZE, Protection, thread};

/// Bytes of a thread's stack.
pub const STACK_SIZE: usize = 16 * PAGE_SIZE;

/// How often a waiting joiner looks whether the thread is still there, in ms.
const LOOK_AGAIN_MS: u32 = 1000;

/// A thread, by a send right to its kernel port.
#[derive(Debug, PartialEq, Eq)]
pub struct Thread(SendRight);

impl Thread {
    /// The thread whose kernel port this right is to.
    #[must_use]
    pub fn from_right(right: SendRight) -> Thread {
        Thread(right)
    }

    /// The right; as a hint, [`yield_to`] takes it.
    pub fn right(&self) -> &SendRight {
        &self.0
    }

    /// Ends it, wherever it is.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended already.
    pub fn terminate(&self) -> Result<()> {
        thread::terminate(&MsgRpc, self.0.name()).map(drop)
    }

    /// Stops it, until it has been resumed as often.
    ///
    /// # Errors
    /// `Failure`: it has been suspended as often as it can be.
    pub fn suspend(&self) -> Result<()> {
        thread::suspend(&MsgRpc, self.0.name()).map(drop)
    }

    /// Sets where its exceptions go, before its task's exception port.
    ///
    /// # Errors
    /// `InvalidCapability`: the right is neither a send right nor null.
    pub fn set_exception_port(&self, right: Right<'_>) -> Result<()> {
        let which = thread::SpecialPort::Exception as u32;
        thread::set_special_port(&MsgRpc, self.0.name(), which, 0, right.descriptor())?;
        right.sent();
        Ok(())
    }

    /// Undoes one suspension.
    ///
    /// # Errors
    /// `Failure`: it is not suspended itself.
    pub fn resume(&self) -> Result<()> {
        thread::resume(&MsgRpc, self.0.name()).map(drop)
    }

    /// Its registers. They stand still while it is suspended.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended.
    pub fn registers(&self) -> Result<Registers> {
        Ok(thread::get_state(&MsgRpc, self.0.name())?.results.registers)
    }

    /// Gives it registers; it must be suspended and not in the middle of a call.
    ///
    /// # Errors
    /// `Failure`: it is not. `InvalidAddress`, `InvalidArgument`: the registers are none for a thread.
    pub fn set_registers(&self, registers: Registers) -> Result<()> {
        thread::set_state(&MsgRpc, self.0.name(), registers).map(drop)
    }

    /// Its floating-point and SSE registers.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended.
    pub fn floating_point(&self) -> Result<FloatingPoint> {
        Ok(thread::get_floating_point(&MsgRpc, self.0.name())?.results.state)
    }

    /// Gives it floating-point and SSE registers.
    ///
    /// # Errors
    /// As for [`Thread::set_registers`].
    pub fn set_floating_point(&self, state: FloatingPoint) -> Result<()> {
        thread::set_floating_point(&MsgRpc, self.0.name(), state).map(drop)
    }

    /// What it is and does.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended.
    pub fn info(&self) -> Result<ThreadInfo> {
        Ok(thread::info(&MsgRpc, self.0.name())?.results.info)
    }

    /// Sets its priority.
    ///
    /// # Errors
    /// `InvalidValue`: above the maximum.
    pub fn set_priority(&self, priority: u32) -> Result<()> {
        thread::set_priority(&MsgRpc, self.0.name(), priority, 0).map(drop)
    }

    /// Who would have waited for whom when its last wait was refused (`SendWouldDeadlock`,
    /// `ReceiveWouldDeadlock`), its own wait first.
    ///
    /// # Errors
    /// `Failure`: none of its waits has been refused, or another thread's since.
    pub fn refusal(&self) -> Result<Vec<RefusedWait>> {
        let refusal = thread::refusal(&MsgRpc, self.0.name())?.results;
        Ok(refusal.waits.into_iter().take(refusal.count as usize).collect())
    }

    /// Ends its wait, if it is one that may be ended.
    ///
    /// # Errors
    /// `SendInvalidPort`: it has ended.
    pub fn abort(&self) -> Result<()> {
        thread::abort(&MsgRpc, self.0.name()).map(drop)
    }
}

/// The thread that asks.
///
/// # Errors
/// `UrefsOverflow`.
pub fn this() -> Result<Thread> {
    // The trap adds no reference: what others hold is not this value's to give up.
    let known = ManuallyDrop::new(SendRight::from_name(trap::thread_self()));
    known.try_clone().map(Thread)
}

/// Gives the processor to the next thread in line.
pub fn yield_now() {
    let _ = trap::thread_switch(Name::NULL, None);
}

/// Gives the processor to this thread if it is ready, else to the next in line.
pub fn yield_to(thread: &Thread) {
    let _ = trap::thread_switch(thread.0.name(), None);
}

/// Sleeps for this many ms, less only if the thread is aborted.
pub fn sleep_ms(ms: u32) {
    let _ = trap::thread_switch(Name::NULL, Some(ms));
}

/// Milliseconds since the machine started.
#[must_use]
pub fn now_ms() -> u64 {
    trap::clock_get() / 1_000_000
}

/// A thread of this task. Dropping it waits for the thread's end, as [`JoinHandle::join`] does.
#[must_use = "dropping it waits for the thread's end"]
pub struct JoinHandle<T> {
    running: Running,
    result: Arc<Mutex<Option<T>>>,
}

/// In this order it is dropped: first by its own `drop`, then the stack goes.
struct Running {
    thread: Thread,
    done: ReceiveRight,
    _stack: Stack,
}

/// Starts a thread that runs `main`.
///
/// # Errors
/// `ResourceShortage`, `NoSpace`.
pub fn spawn<T: Send + 'static>(main: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    let stack = Stack::new(STACK_SIZE)?;
    let done = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let result = Arc::new(Mutex::new(None));
    let slot = Arc::clone(&result);
    let start = Start { main: Box::new(move || *slot.lock() = Some(main())), done: done.make_send_once()? };
    let thread = start.on(&stack)?;
    Ok(JoinHandle { running: Running { thread, done, _stack: stack }, result })
}

impl<T> JoinHandle<T> {
    /// Waits for the thread's end and takes its result.
    ///
    /// # Errors
    /// `Failure`: the thread was terminated before it had one.
    pub fn join(self) -> Result<T> {
        drop(self.running);
        self.result.lock().take().ok_or(Error::Failure)
    }

    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.running.thread
    }

    /// Lets the thread go its own way. Its stack stays until the task ends.
    pub fn detach(self) {
        core::mem::forget(self);
    }
}

impl Running {
    /// Waits for the thread's last word, or for its death if someone else has terminated it.
    fn wait(&self) {
        let mut buffer = [0; received_size(Header::SIZE) / size_of::<u64>()];
        loop {
            match trap::msg_receive(&mut buffer, self.done.name(), Options::RCV_TIMEOUT, LOOK_AGAIN_MS).0 {
                Err(Error::ReceiveTimedOut) if self.thread.info().is_ok() => (),
                _ => return,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.wait();
        let _ = self.thread.terminate();
    }
}

/// A stack; below it, a page that cannot be touched, so that an overflow is a fault. Dropped, it is unmapped.
pub struct Stack(Mapping);

impl Stack {
    /// A stack of `size` bytes, rounded up to whole pages, which get their frames when they are touched.
    ///
    /// # Errors
    /// Those of [`Mapping::new`].
    pub fn new(size: usize) -> Result<Stack> {
        let mapping = Mapping::new(None, (PAGE_SIZE + size) as u64, Protection::READ_WRITE)?;
        Task::this().protect(mapping.address(), PAGE_SIZE as u64, Protection::empty())?;
        Ok(Stack(mapping))
    }

    /// The first address above it.
    #[must_use]
    pub fn top(&self) -> u64 {
        self.0.address() + self.0.size() as u64
    }
}

/// What a new thread is to do.
struct Start {
    main: Box<dyn FnOnce() + Send>,
    done: SendOnceRight,
}

impl Start {
    fn on(self, stack: &Stack) -> Result<Thread> {
        let start = Box::into_raw(Box::new(self));
        let (entry, argument) = (enter as *const () as u64, start.expose_provenance() as u64);
        Task::this().thread_create(entry, stack.top(), argument, PRIORITY_DEFAULT).inspect_err(|_| {
            // SAFETY: it comes from the box above, and no thread has got it.
            drop(unsafe { Box::from_raw(start) });
        })
    }
}

/// Where a thread begins: makes the stack as a function expects it, and goes on in [`begin`].
#[cfg(target_os = "none")]
#[unsafe(naked)]
extern "C" fn enter() -> ! {
    core::arch::naked_asm!("xor ebp, ebp", "and rsp, -16", "call {begin}", "ud2", begin = sym begin)
}

#[cfg(not(target_os = "none"))]
fn enter() {}

#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "the host has no such threads"))]
extern "C" fn begin(start: *mut Start) -> ! {
    // SAFETY: `Start::on` passes a box to this thread alone.
    let start = unsafe { Box::from_raw(start) };
    let Start { main, done } = *start;
    main();
    leave(done)
}

/// Ends the calling thread with a last word: an empty message through this right. Whoever gets it may end
/// the thread and take its stack away.
pub fn leave(done: SendOnceRight) -> ! {
    // From here on without the heap: the moment the message is there, this thread can be terminated.
    let mut message = [0; 3];
    let to = Address::new(done.into_name(), Disposition::MoveSendOnce);
    write(&mut message, addressed(to, Address::NONE), &[], &[]);
    let _ = trap::msg_send(&message, Options::empty(), 0);
    finish::<thread::Terminate>(trap::thread_self())
}
