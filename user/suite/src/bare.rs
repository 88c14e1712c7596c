//! A bare task: one page of machine code, one page to write to, one thread.
//!
//! Made with kernel routines alone, so it is as small as a task can be, and
//! nothing but the code decides what becomes of it. The page it writes to is a
//! memory object that the case has mapped too.
//! Neighbours: `asm` for the code; `fault` and `cpu`, whose cases run it.

use crate::asm::{self, Code};
use crate::case::Failure;
use crate::clock::deadline;
use crate::message::PATIENCE;
use crate::protocol::{self, routine};
use crate::space;
use alloc::vec::Vec;
use portolan::abi::message::Descriptor;
use portolan::abi::task::{self, Limits};
use portolan::abi::thread::PRIORITY_DEFAULT;
use portolan::abi::{Disposition, Name, PAGE_SIZE, Protection, Result};
use portolan::interface::MsgRpc;
use portolan::trap;

/// Where the code lies.
const TEXT: u64 = 0x10_0000;
/// Where the page lies that the code may write to; its end is the stack's. The pages around it are unmapped.
const DATA: u64 = 0x20_0000;
/// What a bare task may spend.
const LIMITS: Limits = Limits { memory: 64 * 1024, ports: 8, frames: 32 };

/// A bare task.
pub(crate) struct Bare {
    /// A send right to its task port.
    pub(crate) task: Name,
    /// A send right to its thread's kernel port.
    pub(crate) thread: Name,
    /// Where the case sees its page.
    pub(crate) page: u64,
}

/// How far a bare task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It ended before its code said that it had started.
    NeverStarted,
    /// Its code started, and ended it.
    Ended,
    /// Its code has got through.
    Survived,
    /// It is still busy.
    Busy,
}

impl Bare {
    /// Starts a task with these pieces of code, one after the other.
    pub(crate) fn start(pieces: &[&[u8]]) -> Result<Bare> {
        Bare::at(TEXT, &pieces.concat())
    }

    /// Starts a task whose code is between the pieces that tell how far it has come.
    pub(crate) fn run(code: Code) -> Result<Bare> {
        Bare::start(&[asm::started(), code, asm::survived()])
    }

    /// Starts a task whose code ends at the last byte of the page at `text`.
    pub(crate) fn run_at_end_of(text: u64, code: Code) -> Result<Bare> {
        let started = asm::started();
        let mut page: Vec<u8> = started.to_vec();
        page.resize(PAGE_SIZE - code.len(), NOP);
        page.extend_from_slice(code);
        Bare::at(text, &page)
    }

    fn at(text: u64, code: &[u8]) -> Result<Bare> {
        let created = task::create(
            &MsgRpc,
            trap::task_self(),
            *b"bare\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            LIMITS,
            0,
            0,
            NOTHING,
        )?;
        let task = created.rights[0];
        routine::adopt(&MsgRpc, protocol::bootstrap(), Descriptor::port(task, Disposition::CopySend as u8))?;
        space::install(task, text, code)?;
        let data = space::object(PAGE_SIZE as u64)?;
        let page = space::map(data, Protection::READ_WRITE)?;
        space::map_into(task, data, DATA, Protection::READ_WRITE)?;
        trap::port_deallocate(data)?;
        let stack = DATA + PAGE_SIZE as u64;
        let thread = task::thread_create(&MsgRpc, task, text, stack, DATA, PRIORITY_DEFAULT, 0)?.rights[0];
        Ok(Bare { task, thread, page })
    }

    /// Eight bytes of its page.
    pub(crate) fn word(&self, offset: u64) -> u64 {
        asm::load(self.page + offset)
    }

    /// Lets code go on that waits for a value in byte 64 of its page.
    pub(crate) fn release(&self, value: u64) {
        asm::store(self.page + 64, value);
    }

    /// How far it is now.
    pub(crate) fn progress(&self) -> Progress {
        let lives = task::info(&MsgRpc, self.task).is_ok();
        match (self.word(0) as u32, lives) {
            (2, _) => Progress::Survived,
            (_, true) => Progress::Busy,
            (1, false) => Progress::Ended,
            (_, false) => Progress::NeverStarted,
        }
    }

    /// Waits until it has survived or ended.
    pub(crate) fn outcome(&self) -> core::result::Result<Progress, Failure> {
        let deadline = deadline(PATIENCE);
        while trap::clock_get() < deadline {
            match self.progress() {
                Progress::Busy => trap::thread_switch(Name::NULL, None)?,
                progress => return Ok(progress),
            }
        }
        Err(Failure::new("the bare task neither ended nor got through"))
    }

    /// Ends it and forgets it.
    pub(crate) fn terminate(self) -> Result<()> {
        // It may have ended by itself.
        let _ = task::terminate(&MsgRpc, self.task);
        space::unmap(self.page, PAGE_SIZE as u64)?;
        trap::port_deallocate(self.thread)?;
        trap::port_deallocate(self.task)
    }
}

const NOP: u8 = 0x90;
const NOTHING: Descriptor = Descriptor::port(Name::NULL, 0);
