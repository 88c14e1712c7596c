//! A crowd: ports, names, queued messages and waiting threads, thousands of each,
//! that have no part in what is measured beside them.
//!
//! They are of the task that measures, in its own name space. The threads need
//! neither stack nor buffer of their own: each makes one trap, for a message that
//! never comes. Neighbours: `ipc`, `footprint`.

use crate::packet::Packet;
use crate::{Outcome, Wrong};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use portolan::abi::call::number;
use portolan::abi::message::{Header, Options, received_size};
use portolan::abi::thread::{PRIORITY_DEFAULT, State};
use portolan::abi::{Disposition, PAGE_SIZE};
use portolan::thread::{Thread, sleep_ms, yield_now};
use portolan::word::Deadline;
use portolan::{Capacity, Mapping, Protection, ReceiveRight, Task};

/// How many of each.
const COUNT: usize = 10_000;
/// Bytes of the message in each mailbox.
const BYTES: usize = 8;

/// So many ports with a name and a message each, and threads with a port and a name each.
pub(crate) struct Crowd {
    _mailboxes: Vec<ReceiveRight>,
    _threads: Waiting,
}

impl Crowd {
    pub(crate) fn gather() -> Outcome<Crowd> {
        let mailboxes = ports(COUNT)?;
        let mut packet = Packet::new();
        for mailbox in &mailboxes {
            packet.address((mailbox.name(), Disposition::MakeSend), None, BYTES);
            packet.send(Options::empty())?;
        }
        Ok(Crowd { _mailboxes: mailboxes, _threads: Waiting::start(COUNT)? })
    }
}

/// Words of a header.
const HEADER: usize = Header::SIZE / size_of::<u64>();

/// So many ports, each under a name of its own.
pub(crate) fn ports(count: usize) -> Outcome<Vec<ReceiveRight>> {
    (0..count).map(|_| Ok(ReceiveRight::allocate(Capacity::DEFAULT)?)).collect()
}

/// Threads that wait for a message. Dropped, they end.
pub(crate) struct Waiting {
    threads: Vec<Thread>,
    port: ReceiveRight,
    /// Stack and buffer of them all; nobody ever writes it.
    page: Mapping,
}

impl Waiting {
    /// Starts so many, and waits until the last of them waits.
    pub(crate) fn start(count: usize) -> Outcome<Waiting> {
        let page = Mapping::new(None, PAGE_SIZE as u64, Protection::READ_WRITE)?;
        let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
        let mut waiting = Waiting { threads: Vec::with_capacity(count), port, page };
        for _ in 0..count {
            let thread = waiting.another()?;
            waiting.threads.push(thread);
        }
        yield_now();
        waiting.check()?;
        Ok(waiting)
    }

    fn another(&self) -> Outcome<Thread> {
        let stack = self.page.address() + PAGE_SIZE as u64;
        let (entry, port) = (wait as *const () as u64, self.port.name().0.into());
        Ok(Task::this().thread_create(entry, stack, port, PRIORITY_DEFAULT)?)
    }

    /// Each has had its turn, and none has been woken.
    fn check(&self) -> Outcome {
        for thread in &self.threads {
            if thread.info()?.state != State::Receiving as u32 {
                return Err(Wrong::Measured("a thread of the crowd does not wait"));
            }
        }
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for thread in &self.threads {
            let _ = thread.terminate();
        }
    }
}

/// Receives from the port in `rdi` into the end of the stack. Nothing is ever sent
/// there, so the trap does not return, and nothing is ever written to the stack.
#[unsafe(naked)]
extern "C" fn wait() -> ! {
    core::arch::naked_asm!(
        "mov rsi, rdi",
        "shl rsi, 32",
        "xor edi, edi",
        "mov rdx, {size} << 32",
        "lea r10, [rsp - {size}]",
        "xor r8d, r8d",
        "xor r9d, r9d",
        "mov eax, {receive}",
        "syscall",
        "ud2",
        size = const received_size(Header::SIZE),
        receive = const number::MSG_RECEIVE,
    )
}

/// Threads that wait, less important than who makes them: woken, they do not run as long as that has something to do.
/// Dropped, they end.
pub(crate) struct Parked {
    threads: Vec<Thread>,
    /// Buffer and stack of them all, and at its start the word and the deadline.
    page: Mapping,
}

impl Parked {
    /// So many that wait for a message.
    pub(crate) fn at_port(count: usize, port: &ReceiveRight) -> Outcome<Parked> {
        let page = Mapping::new(None, PAGE_SIZE as u64, Protection::READ_WRITE)?;
        Parked::start(count, page, wait as *const () as u64, port.name().0.into())
    }

    /// So many that wait for a place for a message, which has no inline bytes.
    pub(crate) fn at_full_port(count: usize, message: &Packet) -> Outcome<Parked> {
        let page = Mapping::new(None, PAGE_SIZE as u64, Protection::READ_WRITE)?;
        page.words().iter().zip(message.words(HEADER)).for_each(|(to, from)| to.store(*from, Ordering::Relaxed));
        let header = page.address();
        Parked::start(count, page, wait_to_send as *const () as u64, header)
    }

    /// So many that wait on one word, until a deadline.
    pub(crate) fn at_word(count: usize, deadline: Deadline) -> Outcome<Parked> {
        let page = Mapping::new(None, PAGE_SIZE as u64, Protection::READ_WRITE)?;
        page.words()[1].store(deadline.nanoseconds(), Ordering::Relaxed);
        let word = page.address();
        Parked::start(count, page, wait_on_word as *const () as u64, word)
    }

    fn start(count: usize, page: Mapping, entry: u64, argument: u64) -> Outcome<Parked> {
        let mut parked = Parked { threads: Vec::with_capacity(count), page };
        let stack = parked.page.address() + PAGE_SIZE as u64;
        for _ in 0..count {
            parked.threads.push(Task::this().thread_create(entry, stack, argument, PRIORITY_DEFAULT - 1)?);
        }
        while parked.threads.last().is_some_and(|last| last.info().is_ok_and(|info| info.state == State::Ready as u32))
        {
            sleep_ms(1);
        }
        Ok(parked)
    }

    /// The word that they wait on.
    pub(crate) fn word(&self) -> &AtomicU64 {
        &self.page.words()[0]
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        for thread in &self.threads {
            let _ = thread.terminate();
        }
    }
}

/// Sends the header at `rdi`.
#[unsafe(naked)]
extern "C" fn wait_to_send() -> ! {
    core::arch::naked_asm!(
        "2:",
        "xor esi, esi",
        "mov edx, {size}",
        "xor r10d, r10d",
        "xor r8d, r8d",
        "xor r9d, r9d",
        "mov eax, {send}",
        "syscall",
        "jmp 2b",
        size = const Header::SIZE,
        send = const number::MSG_SEND,
    )
}

/// Waits on the word at `rdi`, which is 0, until the deadline behind it.
#[unsafe(naked)]
extern "C" fn wait_on_word() -> ! {
    core::arch::naked_asm!(
        "2:",
        "xor esi, esi",
        "mov rdx, [rdi + 8]",
        "xor r10d, r10d",
        "mov eax, {wait}",
        "syscall",
        "jmp 2b",
        wait = const number::WORD_WAIT,
    )
}
