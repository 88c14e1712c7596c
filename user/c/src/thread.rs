//! `pthread.h`: threads, what each has of its own, and what is done once.
//!
//! Each thread's FS segment begins at its [`Block`], whose start is laid out as musl's functions expect;
//! its address is the `pthread_t`. Invariant: [`BLOCKS`] has the address of every block that lives, and a
//! block and its stack go only when the kernel says that the thread has ended.
//!
//! Neighbours: `start` for the main thread; `portolan::thread`, whose stacks these are.

use crate::cancel;
use crate::errno::{self, Errno, number};
use crate::signal::{self, Set};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use portolan::abi::PAGE_SIZE;
use portolan::abi::registers::Registers;
use portolan::abi::thread::PRIORITY_DEFAULT;
use portolan::thread::{self, Stack, Thread, sleep_ms};
use portolan::word::Owner;
use portolan::{Capacity, Error, Mutex, Name, ReceiveRight, SendOnceRight, Task, Wait};

/// What a thread runs.
pub(crate) type Routine = extern "C" fn(*mut c_void) -> *mut c_void;

/// Most keys of thread-specific data (`PTHREAD_KEYS_MAX`).
pub(crate) const KEYS_MAX: usize = 128;
/// How often destructors are run while there is something left (`PTHREAD_DESTRUCTOR_ITERATIONS`).
pub(crate) const DESTRUCTOR_ROUNDS: usize = 4;
/// The smallest stack (`PTHREAD_STACK_MIN`).
pub(crate) const STACK_MIN: usize = 2048;
/// Bytes of a stack for which nothing is said.
const STACK_DEFAULT: usize = 128 << 10;
/// How often a waiting joiner looks whether the thread is still there, in ms.
const LOOK_AGAIN_MS: u32 = 1000;
/// What stands on a stack to show that it was overrun: no byte of it is zero but the first, which ends strings.
const CANARY: usize = 0x9e37_79b9_7f4a_7c00;

/// A thread's own storage.
#[repr(C)]
pub(crate) struct Block {
    /// The next fields lie where musl's `struct pthread` has them.
    itself: *const Block,
    unused: [usize; 4],
    canary: usize,
    number: c_int,
    pub(crate) errno: AtomicI32,
    unused_too: [usize; 14],
    locale: *const c_void,
    /// What follows is ours alone.
    fate: AtomicU8,
    pub(crate) signals: signal::Own,
    pub(crate) cancel: cancel::Own,
    routine: Routine,
    argument: *mut c_void,
    result: AtomicPtr<c_void>,
    values: [AtomicPtr<c_void>; KEYS_MAX],
    /// The innermost function to be run if the thread exits.
    cleanup: AtomicPtr<Cleanup>,
    /// The right for the thread's last word, which it takes itself.
    done: UnsafeCell<Option<SendOnceRight>>,
    /// Where that arrives.
    ended: ReceiveRight,
    /// Who it is to locks: the number of an `Owner`, once it has asked; else 0.
    owner: AtomicU64,
    /// Its own port for replies, once it has asked for one.
    reply: Mutex<Option<ReceiveRight>>,
    thread: Option<Thread>,
    stack: ThreadStack,
}

const _: () = {
    assert!(core::mem::offset_of!(Block, canary) == 0x28);
    assert!(core::mem::offset_of!(Block, number) == 0x30);
    assert!(core::mem::offset_of!(Block, errno) == 0x34);
    assert!(core::mem::offset_of!(Block, locale) == 0xa8);
};

/// Where a thread's frames lie.
enum ThreadStack {
    Own(Stack),
    /// The program's, by the address above it.
    Given(usize),
}

impl ThreadStack {
    fn new(attributes: &Attributes) -> Result<ThreadStack, Error> {
        match attributes.stack_address {
            0 => Stack::new(attributes.stack_size.max(STACK_MIN)).map(ThreadStack::Own),
            top => Ok(ThreadStack::Given(top)),
        }
    }

    fn top(&self) -> u64 {
        match self {
            ThreadStack::Own(stack) => stack.top(),
            ThreadStack::Given(top) => *top as u64,
        }
    }
}

// SAFETY: what others than the thread itself use are atomics, rights, and what is written before it starts.
unsafe impl Sync for Block {}

/// What is to become of a thread.
mod fate {
    /// It will be joined.
    pub(super) const JOINABLE: u8 = 0;
    /// Nobody waits for it.
    pub(super) const DETACHED: u8 = 1;
    /// It has ended, and waits to be joined.
    pub(super) const ENDED: u8 = 2;
}

/// Musl's `struct __ptcb`: a function to be run if the thread exits, in a frame of its stack.
#[repr(C)]
pub(crate) struct Cleanup {
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
    next: *mut Cleanup,
}

unsafe extern "C" {
    /// Musl's, of the locale "C".
    static __c_locale: c_void;
    safe fn exit(status: c_int) -> !;
}

/// The addresses of the blocks of all threads.
static BLOCKS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Detached threads that have ended, or are about to.
static LEFT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// Threads that have not ended; when there are none, the program has.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// The number of the next thread: streams are locked by them.
static NUMBER: AtomicI32 = AtomicI32::new(1);

/// The calling thread's block.
pub(crate) fn this() -> &'static Block {
    let block: *const Block;
    // SAFETY: every thread that runs C code has its block's address there.
    unsafe { core::arch::asm!("mov {}, fs:0", out(reg) block, options(nostack, readonly, preserves_flags)) };
    // SAFETY: it stays until the thread has ended.
    unsafe { &*block }
}

impl Block {
    /// The thread's number, above 0.
    pub(crate) fn tid(&self) -> c_int {
        self.number
    }

    /// Who the calling thread, whose block this is, is to locks.
    pub(crate) fn owner(&self) -> Result<Owner, Errno> {
        match self.owner.load(Ordering::Relaxed) {
            0 => {
                let owner = Owner::this().map_err(errno::of)?;
                self.owner.store(owner.number(), Ordering::Relaxed);
                Ok(owner)
            }
            number => Ok(Owner::from_number(number)),
        }
    }

    /// The thread's own port for replies.
    pub(crate) fn reply_port(&self) -> Result<Name, Error> {
        let mut reply = self.reply.lock();
        if reply.is_none() {
            *reply = Some(ReceiveRight::allocate(Capacity::DEFAULT)?);
        }
        Ok(reply.as_ref().map_or(Name::NULL, |port| port.name()))
    }

    /// Where it lies: what a `pthread_t` is.
    pub(crate) fn address(&self) -> usize {
        self.itself.addr()
    }

    /// The thread's kernel port.
    pub(crate) fn port(&self) -> Name {
        self.thread.as_ref().map_or(Name::NULL, |thread| thread.right().name())
    }

    pub(crate) fn priority(&self) -> Result<u32, Errno> {
        let thread = self.thread.as_ref().ok_or(Errno::NoProcess)?;
        thread.info().map(|info| info.priority).map_err(|_| Errno::NoProcess)
    }

    pub(crate) fn set_priority(&self, priority: u32) -> Result<(), Errno> {
        self.thread.as_ref().ok_or(Errno::NoProcess)?.set_priority(priority).map_err(|_| Errno::NoProcess)
    }

    /// Whether it is to be stopped, to look at its signals or to end.
    pub(crate) fn is_wanted(&self) -> bool {
        self.signals.is_wanted() || self.cancel.is_wanted()
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(|thread| thread.info().is_err())
    }

    /// Waits for the thread's last word, or for its death if it was terminated without one.
    fn wait(&self) {
        loop {
            let word = cancel::point(|| self.ended.receive_or(Wait { ms: Some(LOOK_AGAIN_MS), abortable: true }));
            match word {
                Err(Error::ReceiveTimedOut) if !self.has_ended() => {}
                Err(Error::ReceiveInterrupted) => {}
                _ => return,
            }
        }
    }
}

/// `pthread_attr_t`, as musl's functions on it lay it out.
#[repr(C)]
pub(crate) struct Attributes {
    stack_size: usize,
    guard_size: usize,
    stack_address: usize,
    detached: c_int,
    scheduling: [c_int; 3],
    unused: [usize; 2],
}

impl Attributes {
    /// Nothing said but the stack's size.
    pub(crate) const fn with_stack(stack_size: usize) -> Attributes {
        Attributes {
            stack_size,
            guard_size: PAGE_SIZE,
            stack_address: 0,
            detached: 0,
            scheduling: [0; 3],
            unused: [0; 2],
        }
    }

    /// Those of a thread for which nobody waits, with the stack that is given.
    pub(crate) fn detached(given: Option<&Attributes>) -> Attributes {
        let stack_size = given.map_or(STACK_DEFAULT, |given| given.stack_size);
        Attributes { detached: 1, ..Attributes::with_stack(stack_size) }
    }
}

/// Starts a thread that blocks no signal.
pub(crate) fn start(attributes: &Attributes, routine: Routine, argument: *mut c_void) -> Result<&'static Block, Errno> {
    start_blocking(Set::EMPTY, attributes, routine, argument)
}

/// Starts a thread that blocks these signals.
fn start_blocking(
    mask: Set,
    attributes: &Attributes,
    routine: Routine,
    argument: *mut c_void,
) -> Result<&'static Block, Errno> {
    bury();
    let block = new_block(mask, attributes, routine, argument).map_err(thread_error)?;
    let address = &raw mut *block;
    let block: &'static Block = {
        block.itself = address;
        launch(block, address).map_err(|error| {
            // SAFETY: no thread runs on it.
            drop(unsafe { Box::from_raw(address) });
            thread_error(error)
        })?;
        block
    };
    Ok(block)
}

/// POSIX knows one reason why there can be no thread: too little of something.
fn thread_error(error: Error) -> Errno {
    match errno::of(error) {
        Errno::Invalid => Errno::Invalid,
        _ => Errno::Again,
    }
}

fn new_block(
    mask: Set,
    attributes: &Attributes,
    routine: Routine,
    argument: *mut c_void,
) -> Result<&'static mut Block, Error> {
    let stack = ThreadStack::new(attributes)?;
    let ended = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let done = ended.make_send_once()?;
    let detached = attributes.detached != 0;
    Ok(Box::leak(Box::new(Block {
        itself: core::ptr::null(),
        unused: [0; 4],
        canary: CANARY,
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        errno: AtomicI32::new(0),
        unused_too: [0; 14],
        locale: &raw const __c_locale,
        fate: AtomicU8::new(if detached { fate::DETACHED } else { fate::JOINABLE }),
        signals: signal::Own::new(mask),
        cancel: cancel::Own::new(),
        routine,
        argument,
        result: AtomicPtr::new(null_mut()),
        values: [const { AtomicPtr::new(null_mut()) }; KEYS_MAX],
        cleanup: AtomicPtr::new(null_mut()),
        done: UnsafeCell::new(Some(done)),
        ended,
        owner: AtomicU64::new(0),
        reply: Mutex::new(None),
        thread: None,
        stack,
    })))
}

/// Makes the kernel's thread for a block, gives it its storage, and lets it go.
fn launch(block: &mut Block, address: *mut Block) -> Result<(), Error> {
    let (entry, address) = (enter as *const () as u64, address.expose_provenance());
    let thread = Task::this().thread_create_suspended(entry, block.stack.top(), address as u64, PRIORITY_DEFAULT)?;
    let given = thread
        .registers()
        .and_then(|registers| thread.set_registers(Registers { fs_base: address as u64, ..registers }));
    if let Err(error) = given {
        let _ = thread.terminate();
        return Err(error);
    }
    block.thread = Some(thread);
    RUNNING.fetch_add(1, Ordering::Relaxed);
    BLOCKS.lock().push(address);
    block.thread.as_ref().expect("it has just been made").resume()
}

/// Where a thread begins: makes the stack as a function expects it, and goes on in [`begin`].
#[unsafe(naked)]
extern "C" fn enter() -> ! {
    core::arch::naked_asm!("xor ebp, ebp", "and rsp, -16", "call {begin}", "ud2", begin = sym begin)
}

extern "C" fn begin(block: &Block) -> ! {
    leave((block.routine)(block.argument))
}

/// Ends the calling thread with this result.
pub(crate) fn leave(result: *mut c_void) -> ! {
    let block = this();
    block.cancel.end();
    run_cleanups(block);
    run_destructors(block);
    block.signals.block_all();
    signal::forget(block.address());
    if RUNNING.fetch_sub(1, Ordering::Relaxed) == 1 {
        exit(0);
    }
    block.result.store(result, Ordering::Relaxed);
    // SAFETY: nobody else uses it once the thread runs.
    let done = unsafe { &mut *block.done.get() }.take();
    let done = done.expect("a thread ends once");
    if block.fate.swap(fate::ENDED, Ordering::AcqRel) == fate::DETACHED {
        LEFT.lock().push(block.itself.addr());
    }
    thread::leave(done)
}

/// After a fork, in the child: the calling thread is the only one, and another one for the kernel than the
/// one whose storage it has.
///
/// # Errors
/// Those of making ports and rights.
pub(crate) fn be_the_only_one() -> Result<(), Error> {
    let block = this().itself.cast_mut();
    let ended = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let (done, thread) = (ended.make_send_once()?, thread::this()?);
    *BLOCKS.lock() = vec![block.expose_provenance()];
    LEFT.lock().clear();
    RUNNING.store(1, Ordering::Relaxed);
    // SAFETY: no other thread is there that could use the block.
    let block = unsafe { &mut *block };
    block.owner = AtomicU64::new(0);
    (block.ended, block.done, block.thread) = (ended, UnsafeCell::new(Some(done)), Some(thread));
    block.reply = Mutex::new(None);
    Ok(())
}

/// The thread in which the task began, and which is not a thread of C, ends.
pub(crate) fn leave_the_first() -> ! {
    let _ = Thread::from_right(portolan::SendRight::from_name(portolan::trap::thread_self())).terminate();
    loop {
        sleep_ms(u32::MAX);
    }
}

fn run_cleanups(block: &Block) {
    loop {
        let cleanup = block.cleanup.load(Ordering::Relaxed);
        if cleanup.is_null() {
            return;
        }
        // SAFETY: it lies in a frame of the thread's stack that has not been left.
        let Cleanup { function, argument, next } = unsafe { cleanup.read() };
        block.cleanup.store(next, Ordering::Relaxed);
        function(argument);
    }
}

/// The blocks of all threads, which stay while they are looked at.
pub(crate) struct Threads<'a>(&'a [usize]);

impl Threads<'_> {
    /// Each thread, in the order of their start.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Block> {
        // SAFETY: blocks on the list live, and the list is locked.
        self.0.iter().map(|address| unsafe { &*core::ptr::with_exposed_provenance::<Block>(*address) })
    }

    /// The one whose block lies there.
    pub(crate) fn find(&self, address: usize) -> Option<&Block> {
        self.iter().find(|block| block.address() == address)
    }
}

/// Does something with all threads.
pub(crate) fn with_all<T>(act: impl FnOnce(&Threads<'_>) -> T) -> T {
    act(&Threads(&BLOCKS.lock()))
}

/// The block of a thread; `None` if there is no such thread.
pub(crate) fn find(thread: *const Block) -> Option<&'static Block> {
    let known = BLOCKS.lock().contains(&thread.addr());
    // SAFETY: a block that is on the list lives; who joins a thread twice at once has a race of its own.
    known.then(|| unsafe { &*thread })
}

/// Gives back all that a thread has left; it has ended, or is about to.
fn free(block: &'static Block) {
    while !block.has_ended() {
        sleep_ms(1);
    }
    BLOCKS.lock().retain(|other| *other != block.itself.addr());
    // SAFETY: it is on no list any more, and its thread runs no more.
    drop(unsafe { Box::from_raw(block.itself.cast_mut()) });
}

/// Frees what detached threads have left.
fn bury() {
    let left = core::mem::take(&mut *LEFT.lock());
    for address in left {
        if let Some(block) = find(core::ptr::with_exposed_provenance(address)) {
            free(block);
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_attr_init(attributes: *mut Attributes) -> c_int {
    // SAFETY: the caller passes room for them.
    unsafe { attributes.write(Attributes::with_stack(STACK_DEFAULT)) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut *const Block,
    attributes: Option<&Attributes>,
    routine: Routine,
    argument: *mut c_void,
) -> c_int {
    let attributes = attributes.unwrap_or(const { &Attributes::with_stack(STACK_DEFAULT) });
    number(start_blocking(this().signals.mask(), attributes, routine, argument).map(|block| {
        // SAFETY: the caller passes where the thread's name goes.
        unsafe { thread.write(block) };
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_join(thread: *const Block, result: *mut *mut c_void) -> c_int {
    let Some(block) = find(thread) else { return Errno::NoProcess as c_int };
    if core::ptr::eq(block, this()) {
        return Errno::Deadlock as c_int;
    }
    if block.fate.load(Ordering::Acquire) == fate::DETACHED {
        return Errno::Invalid as c_int;
    }
    block.wait();
    if !result.is_null() {
        // SAFETY: the caller passes where the result goes.
        unsafe { result.write(block.result.load(Ordering::Relaxed)) };
    }
    free(block);
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_detach(thread: *const Block) -> c_int {
    let Some(block) = find(thread) else { return Errno::NoProcess as c_int };
    match block.fate.swap(fate::DETACHED, Ordering::AcqRel) {
        fate::DETACHED => Errno::Invalid as c_int,
        fate::ENDED => {
            LEFT.lock().push(thread.addr());
            0
        }
        _ => 0,
    }
}

#[unsafe(no_mangle)]
extern "C" fn pthread_exit(result: *mut c_void) -> ! {
    leave(result)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn _pthread_cleanup_push(
    cleanup: &mut Cleanup,
    function: extern "C" fn(*mut c_void),
    argument: *mut c_void,
) {
    let top = &this().cleanup;
    *cleanup = Cleanup { function, argument, next: top.load(Ordering::Relaxed) };
    top.store(cleanup, Ordering::Relaxed);
}

#[unsafe(no_mangle)]
extern "C" fn _pthread_cleanup_pop(cleanup: &Cleanup, execute: c_int) {
    this().cleanup.store(cleanup.next, Ordering::Relaxed);
    if execute != 0 {
        (cleanup.function)(cleanup.argument);
    }
}

/// A key of thread-specific data.
#[derive(Clone, Copy)]
enum Key {
    Free,
    Used(Option<extern "C" fn(*mut c_void)>),
}

static KEYS: Mutex<[Key; KEYS_MAX]> = Mutex::new([Key::Free; KEYS_MAX]);

#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_key_create(key: *mut u32, destructor: Option<extern "C" fn(*mut c_void)>) -> c_int {
    let mut keys = KEYS.lock();
    let Some(free) = keys.iter().position(|key| matches!(key, Key::Free)) else { return Errno::Again as c_int };
    keys[free] = Key::Used(destructor);
    for block in BLOCKS.lock().iter() {
        // SAFETY: blocks on the list live.
        let block = unsafe { &*core::ptr::with_exposed_provenance::<Block>(*block) };
        block.values[free].store(null_mut(), Ordering::Relaxed);
    }
    // SAFETY: the caller passes where the key goes.
    unsafe { key.write(free as u32) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_key_delete(key: u32) -> c_int {
    match KEYS.lock().get_mut(key as usize) {
        Some(used @ Key::Used(_)) => {
            *used = Key::Free;
            0
        }
        _ => Errno::Invalid as c_int,
    }
}

#[unsafe(no_mangle)]
extern "C" fn pthread_setspecific(key: u32, value: *mut c_void) -> c_int {
    if !matches!(KEYS.lock().get(key as usize), Some(Key::Used(_))) {
        return Errno::Invalid as c_int;
    }
    this().values[key as usize].store(value, Ordering::Relaxed);
    0
}

#[unsafe(no_mangle)]
extern "C" fn pthread_getspecific(key: u32) -> *mut c_void {
    this().values.get(key as usize).map_or(null_mut(), |value| value.load(Ordering::Relaxed))
}

fn run_destructors(block: &Block) {
    for _ in 0..DESTRUCTOR_ROUNDS {
        let mut again = false;
        for (key, slot) in block.values.iter().enumerate() {
            let value = slot.swap(null_mut(), Ordering::Relaxed);
            let destructor = KEYS.lock()[key];
            if let (false, Key::Used(Some(destructor))) = (value.is_null(), destructor) {
                destructor(value);
                again = true;
            }
        }
        if !again {
            return;
        }
    }
}

/// States of a `pthread_once_t`; the first is `PTHREAD_ONCE_INIT`.
mod once {
    pub(super) const NOT_YET: i32 = 0;
    pub(super) const NOW: i32 = 1;
    pub(super) const DONE: i32 = 2;
}

#[unsafe(no_mangle)]
extern "C" fn pthread_once(control: &AtomicI32, routine: extern "C" fn()) -> c_int {
    loop {
        match control.compare_exchange(once::NOT_YET, once::NOW, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => {
                routine();
                control.store(once::DONE, Ordering::Release);
                return 0;
            }
            Err(once::DONE) => return 0,
            Err(_) => sleep_ms(1),
        }
    }
}

/// Linux's number for a thread.
#[unsafe(no_mangle)]
extern "C" fn gettid() -> c_int {
    this().number
}
