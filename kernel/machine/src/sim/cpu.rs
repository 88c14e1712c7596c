//! The processor: plays threads' scripts, keeps the clock, fires the deadline.
//!
//! Time passes in user code that works ([`Action::Work`]) and when the owner moves the
//! clock; the kernel, calls and idling take none. So a test decides when a timeout
//! is over, and every run is the same.
//! Invariant: one action of a script leads to at most one trap, page faults aside.

use super::context::{Asked, Context};
use super::heap;
use super::interrupts::Interrupts;
use super::memory::Memory;
use super::mmu::is_canonical;
use super::script::{Action, Outcome, Script};
use crate::{Access, CpuId, Exception, Frame, Instant, Line, Lines, PhysAddr, Trap, VirtAddr};
use portolan_abi::{Call, Name, PAGE_SIZE};
use std::collections::BTreeMap;

/// What the processor did last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// The thread with this entry went on in its script.
    Ran(VirtAddr),
    /// The thread with this entry had nothing left to do.
    Starved(VirtAddr),
    /// It waited, and the deadline or an interrupt came.
    Woken,
    /// It looked whether something had come, in the middle of the kernel's work.
    Polled,
    /// It waits: nothing can run, and nothing will happen until the clock is moved.
    Idle,
}

/// Page faults in a row at one action, after which the kernel must have lost its way:
/// it needs one a page at most, and a second one to allow more.
const FAULTS_MAX: usize = 2 * (1 << 20) / PAGE_SIZE;

/// The one processor.
pub struct Cpu {
    memory: Memory,
    interrupts: Interrupts,
    clock: Instant,
    deadline: Option<Instant>,
    scripts: BTreeMap<VirtAddr, Script>,
    faults: usize,
    activity: Activity,
}

/// What user code ran into.
enum Stop {
    Trap(Trap),
    Finished(Outcome),
}

impl Cpu {
    pub(super) fn new(memory: Memory, interrupts: Interrupts) -> Cpu {
        let (clock, deadline) = (Instant::default(), None);
        Cpu { memory, interrupts, clock, deadline, scripts: BTreeMap::new(), faults: 0, activity: Activity::Idle }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> CpuId {
        CpuId(0)
    }

    /// Runs a thread's script until it traps.
    pub fn run(&mut self, context: &mut Context, root: Frame) -> Trap {
        heap::outside_kernel(|| {
            self.memory.mmu().load(root);
            let script = self.script(context.instruction());
            script.starts(context.start());
            deliver_answer(context, &script);
            self.activity = Activity::Ran(context.instruction());
            self.happens().unwrap_or_else(|| self.play(context, &script))
        })
    }

    /// Waits. Here: sees whether the deadline has come; time stands still meanwhile.
    pub fn idle(&mut self) -> Trap {
        let trap = self.happens();
        self.activity = if trap.is_some() { Activity::Woken } else { Activity::Idle };
        trap.unwrap_or(Trap::Spurious)
    }

    /// Says whether the deadline or an interrupt has come, without waiting.
    pub fn poll(&mut self) -> Trap {
        self.activity = Activity::Polled;
        self.happens().unwrap_or(Trap::Spurious)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock
    }

    /// Asks for `Trap::Timer` at that time.
    pub fn set_deadline(&mut self, at: Option<Instant>) {
        self.deadline = at;
    }

    /// The script of the thread that starts at `entry`: empty if it has none yet.
    pub fn script(&mut self, entry: VirtAddr) -> Script {
        heap::outside_kernel(|| self.scripts.entry(entry).or_default().clone())
    }

    /// What it did last.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// The deadline that is set and has not come.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Moves the clock forward.
    ///
    /// # Panics
    /// If it would go back.
    pub fn set_clock(&mut self, now: Instant) {
        assert!(now >= self.clock, "the clock cannot go back");
        self.clock = now;
    }

    /// A device pulls a line.
    pub fn interrupt(&self, line: Line) {
        self.interrupts.pull(line);
    }

    /// Somebody asks what the kernel is doing.
    pub fn interrupt_non_maskable(&self) {
        self.interrupts.demand();
    }

    /// Whether the line is let in.
    #[must_use]
    pub fn lets_in(&self, line: Line) -> bool {
        self.interrupts.is_open(line)
    }

    /// What comes from outside, if anything does.
    fn happens(&mut self) -> Option<Trap> {
        if self.interrupts.take_demand() {
            return Some(Trap::NonMaskable);
        }
        self.fire().or_else(|| self.interrupts.take().map(|line| Trap::Interrupt(Lines::NONE.with(line))))
    }

    /// The timer trap, once, if the deadline has come.
    fn fire(&mut self) -> Option<Trap> {
        self.deadline.take_if(|deadline| *deadline <= self.clock).map(|_| Trap::Timer)
    }

    fn play(&mut self, context: &mut Context, script: &Script) -> Trap {
        while let Some(action) = script.current() {
            match self.act(context, script, action) {
                Stop::Trap(trap) => return trap,
                Stop::Finished(outcome) => {
                    self.faults = 0;
                    script.finish(outcome);
                }
            }
        }
        self.activity = Activity::Starved(context.instruction());
        let (number, arguments) = Call::ThreadSwitch { hint: Name::NULL, sleep: None }.encode();
        context.ask(Asked::Turn, number, arguments);
        Trap::Syscall
    }

    fn act(&mut self, context: &mut Context, script: &Script, action: Action) -> Stop {
        match action {
            Action::Call(number, arguments) => {
                context.ask(Asked::Call, number, arguments);
                Stop::Trap(Trap::Syscall)
            }
            Action::Raise(exception) => {
                context.ask(Asked::Exception, 0, [0; 6]);
                Stop::Trap(Trap::Exception(exception))
            }
            Action::Work(time) => self.work(script, time),
            Action::Load { address, size } => self.load(address, size),
            Action::Store { address, bytes } => self.store(address, &bytes),
            Action::Execute { address } => match self.translate(address, Access::Execute) {
                Ok(_) => Stop::Finished(Outcome::Done),
                Err(trap) => Stop::Trap(trap),
            },
        }
    }

    /// Computes until it is done or the deadline comes.
    fn work(&mut self, script: &Script, time: u64) -> Stop {
        let end = Instant(self.clock.0 + time);
        self.clock = self.deadline.map_or(end, |deadline| deadline.min(end));
        match self.fire() {
            Some(trap) => {
                script.replace_current(Action::Work(end.0 - self.clock.0));
                Stop::Trap(trap)
            }
            None => Stop::Finished(Outcome::Done),
        }
    }

    fn load(&mut self, address: u64, size: usize) -> Stop {
        let mut bytes = Vec::with_capacity(size);
        for (address, size) in pieces(address, size) {
            match self.translate(address, Access::Read) {
                Ok(at) => {
                    let start = bytes.len();
                    bytes.resize(start + size, 0);
                    self.memory.read(at.frame().span(at.offset(), size), &mut bytes[start..]);
                }
                Err(trap) => return Stop::Trap(trap),
            }
        }
        Stop::Finished(Outcome::Loaded(bytes))
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Stop {
        let mut left = bytes;
        for (address, size) in pieces(address, bytes.len()) {
            let (piece, rest) = left.split_at(size);
            match self.translate(address, Access::Write) {
                Ok(at) => self.memory.write(at.frame().span(at.offset(), size), piece),
                Err(trap) => return Stop::Trap(trap),
            }
            left = rest;
        }
        Stop::Finished(Outcome::Done)
    }

    /// Where a byte of the thread lies, or why the processor cannot get there.
    fn translate(&mut self, address: u64, access: Access) -> Result<PhysAddr, Trap> {
        let address = VirtAddr(address);
        if !is_canonical(address) {
            return Err(Trap::Exception(Exception::Protection));
        }
        let at = self.memory.mmu().translate(&self.memory, address, access);
        at.ok_or_else(|| {
            self.faults += 1;
            assert!(self.faults <= FAULTS_MAX, "{access:?} at {address:?} faults for ever");
            Trap::PageFault { address, access }
        })
    }
}

/// Gives the script the answer to what its thread asked for.
fn deliver_answer(context: &mut Context, script: &Script) {
    let asked = core::mem::replace(&mut context.asked, Asked::Nothing);
    match (asked, context.answer.take()) {
        (Asked::Nothing, _) | (Asked::Turn, Some(_)) => {}
        (Asked::Exception, _) => script.finish(Outcome::Done),
        (Asked::Call, Some((code, value))) => script.finish(Outcome::Returned { code, value }),
        (Asked::Call | Asked::Turn, None) => panic!("the thread goes on without an answer:\n{context}"),
    }
}

/// A range of user memory, cut at the ends of pages.
fn pieces(address: u64, size: usize) -> impl Iterator<Item = (u64, usize)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let at = address.wrapping_add(done as u64);
        let piece = (size - done).min(PAGE_SIZE - at as usize % PAGE_SIZE);
        done += piece;
        (piece > 0).then_some((at, piece))
    })
}
