//! A simulated machine with the kernel on it, and tasks that do what a test says.
//!
//! [`System::boot`] starts the kernel from a boot archive with one small program, the
//! first task. Everything else a test does goes through traps and messages, as user
//! programs do it: the harness knows `portolan_abi`, and of the kernel only how to
//! start it, make a step and check its invariants.
//! Invariants: after every step the kernel's invariants are checked, and it clears away what
//! died in the smallest pieces there are; when a system is
//! dropped its tasks are ended, and nothing may be left of them.
//! Neighbours: `task` (what tests call), `message`, `program` (the first task's file).

mod mailbox;
mod message;
pub mod program;
mod task;

pub use mailbox::Mailbox;
pub use message::{Message, Received, WhenFull};
pub use task::{MEMORY, Pending, Task, Thread, answer};

use kernel::kernel::Kernel;
use kernel::piece::{PIECE, Units};
use portolan_abi::host::{self, Statistics};
use portolan_abi::message::Descriptor;
use portolan_abi::task::{self as routine, Limits};
use portolan_abi::{Name, Result};
use portolan_machine::sim::heap::{self, Fail};
use portolan_machine::sim::{Activity, Console, Cpu, Exit, Hardware};
use portolan_machine::{Frame, Instant, Line, VirtAddr};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// Steps after which a system that has not come to rest never will.
const STEPS_MAX: usize = 200_000;
/// What a task may spend if a test does not say.
pub const ORDINARY: Limits = Limits { memory: 512 << 10, ports: 200, frames: 200 };

/// The machine, the kernel on it, and the first task.
pub struct System {
    board: Rc<Board>,
    first: Task,
    at_rest: Statistics,
}

/// What all handles share.
struct Board {
    running: RefCell<Running>,
    console: Console,
    exit: Cell<Option<Exit>>,
    checked: Cell<bool>,
    /// How much time each look for interrupts between two pieces takes.
    piece_ms: Cell<u32>,
    threads: Cell<u64>,
    /// Send rights to the kernel ports of all tasks, as the first task names them.
    tasks: RefCell<Vec<Name>>,
    /// Frames that are hidden, and what shows them again.
    hidden: RefCell<Hidden>,
    /// Other names that the first task gives up in the end, if it has them still.
    gifts: RefCell<Vec<Name>>,
}

/// How long frames stay hidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Until one has been refused: whatever else the machine does finds enough.
    Refused,
    /// Until the work is done.
    Done,
}

/// Frames that nobody can have, and how many refusals show them again.
#[derive(Default)]
struct Hidden {
    frames: Vec<Frame>,
    until: Option<u64>,
}

struct Running {
    kernel: Kernel,
    cpu: Cpu,
}

impl System {
    /// A machine of 8 MiB that has started the first task.
    pub fn boot() -> System {
        System::boot_on(2048)
    }

    /// A machine with so many free frames. Its start is the same each time, and checked at its end.
    pub fn boot_on(frames: u32) -> System {
        let hardware = Hardware { frames, archive: program::archive(), command_line: "a=b" };
        let system = System::start(hardware, false);
        system.board.checked.set(true);
        system.board.check();
        system
    }

    /// This machine, whose start is checked step by step.
    pub fn boot_from(hardware: Hardware) -> System {
        System::start(hardware, true)
    }

    fn start(hardware: Hardware, checked: bool) -> System {
        let (machine, boot, cpu) = hardware.power_on();
        let console = machine.console.clone();
        let mut kernel = heap::in_kernel(|| kernel::boot::kernel(machine, &boot).expect("the first task starts"));
        kernel.clearing.piece = Units::ONE;
        let board = Rc::new(Board {
            running: RefCell::new(Running { kernel, cpu }),
            console,
            exit: Cell::new(None),
            checked: Cell::new(checked),
            piece_ms: Cell::new(0),
            threads: Cell::new(1),
            tasks: RefCell::default(),
            hidden: RefCell::default(),
            gifts: RefCell::default(),
        });
        let first = Task::first(&board);
        let mut system = System { board, first, at_rest: Statistics::default() };
        // What the kernel keeps once it has served a task of each kind is no leak.
        drop(system.task("warm-up"));
        system.end_tasks();
        system.at_rest = system.statistics();
        system
    }

    /// The first task: it alone has the host port.
    pub fn first(&self) -> &Task {
        &self.first
    }

    /// A task with ordinary limits and one thread.
    pub fn task(&self, name: &str) -> Task {
        self.task_with(name, ORDINARY).expect("a task")
    }

    /// A task with these limits and one thread.
    pub fn task_with(&self, name: &str, limits: Limits) -> Result<Task> {
        let kernel_port = self.empty_task(name, limits)?;
        Task::furnish(&self.first, kernel_port)
    }

    /// A task without memory or threads: the first task's name of its kernel port.
    pub fn empty_task(&self, name: &str, limits: Limits) -> Result<Name> {
        let mut text = [0; 32];
        text[..name.len()].copy_from_slice(name.as_bytes());
        let reply = routine::create(&*self.first, self.first.kernel_port(), text, limits, 0, 0, no_right());
        let kernel_port = reply?.rights[0];
        self.board.tasks.borrow_mut().push(kernel_port);
        Ok(kernel_port)
    }

    /// How much there is of everything that could leak.
    pub fn statistics(&self) -> Statistics {
        host::statistics(&*self.first, self.first.host_port()).expect("statistics").results.statistics
    }

    /// Lets so much time pass; whoever waits for a moment of it is woken at that moment.
    pub fn advance_ms(&self, ms: u32) {
        let end = self.now().plus_ms(ms);
        self.board.settle();
        while let Some(deadline) = self.board.deadline().filter(|deadline| *deadline <= end) {
            self.board.set_clock(deadline);
            self.board.settle();
        }
        self.board.set_clock(end);
        self.board.settle();
    }

    /// A device pulls this line.
    pub fn interrupt(&self, line: u32) {
        self.board.running.borrow().cpu.interrupt(Line::new(line).expect("a line"));
        self.board.settle();
    }

    /// Somebody sends a non-maskable interrupt.
    pub fn interrupt_non_maskable(&self) {
        self.board.running.borrow().cpu.interrupt_non_maskable();
        self.board.settle();
    }

    /// Lets the system make so many steps, wherever that ends.
    pub fn steps(&self, count: usize) {
        for _ in 0..count {
            self.board.step();
        }
    }

    /// Whether the line is let in.
    pub fn lets_in(&self, line: u32) -> bool {
        self.board.running.borrow().cpu.lets_in(Line::new(line).expect("a line"))
    }

    /// Lets all threads do what is planned, until each waits or has nothing left to do.
    pub fn rest(&self) {
        self.board.settle();
    }

    /// Lets so much time pass at once: whoever waits for a moment of it is late.
    pub fn jump_ms(&self, ms: u32) {
        self.board.set_clock(self.now().plus_ms(ms));
        self.board.settle();
    }

    /// Moves the clock, and nothing else.
    pub fn set_clock_ahead_ms(&self, ms: u32) {
        self.board.set_clock(self.now().plus_ms(ms));
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.board.now()
    }

    /// All that the kernel has written to its console.
    pub fn console(&self) -> String {
        self.board.console.text()
    }

    /// Messages in all queues, seen from within the kernel.
    pub fn queued(&self) -> u32 {
        self.board.running.borrow().kernel.messages.len()
    }

    /// What a panic would show of the kernel's state.
    pub fn report(&self) -> String {
        let mut text = String::new();
        kernel::report::state(&self.board.running.borrow().kernel, &mut text).expect("a string takes all");
        text
    }

    /// Looks at the kernel from within.
    pub fn inspect<T>(&self, look: impl FnOnce(&Kernel) -> T) -> T {
        look(&self.board.running.borrow().kernel)
    }

    /// How the kernel has ended the machine, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.board.exit.get()
    }

    /// Works without checking the invariants after each step: for work that is long
    /// and the same again and again. They are checked at its end.
    pub fn unchecked<T>(&self, work: impl FnOnce() -> T) -> T {
        self.board.checked.set(false);
        self.clear_in_pieces_of(PIECE);
        let result = work();
        self.clear_in_pieces_of(Units::ONE);
        self.board.checked.set(true);
        self.board.check();
        result
    }

    /// How much the kernel clears away in one piece from now on.
    pub fn clear_in_pieces_of(&self, units: Units) {
        self.board.running.borrow_mut().kernel.clearing.piece = units;
    }

    /// Whether the invariants are checked after each step from now on.
    pub fn check_steps(&self, on: bool) {
        self.board.checked.set(on);
    }

    /// Works while an allocation of the kernel's fails, and tells whether one did.
    pub fn failing<T>(&self, which: Fail, work: impl FnOnce() -> T) -> (T, bool) {
        heap::fail(which);
        let result = work();
        let failed = matches!(heap::failing(), Fail::Never | Fail::From(0));
        heap::fail(Fail::Never);
        (result, failed)
    }

    /// Works while the machine has only so many free frames: until one is refused, or throughout. Tells whether
    /// one was. The invariants are checked before and after: meanwhile the rest is nobody's.
    pub fn with_free_frames<T>(&self, count: u64, until: Until, work: impl FnOnce() -> T) -> (T, bool) {
        let refused = self.board.hide_frames(count, until);
        self.board.checked.set(false);
        let result = work();
        self.board.show_frames();
        self.board.checked.set(true);
        self.board.check();
        (result, self.board.running.borrow().kernel.vm.frames.refused() > refused)
    }

    /// From now on a piece of clearing away takes time, so that deadlines come in the middle.
    pub fn pieces_take_ms(&self, ms: u32) {
        self.board.piece_ms.set(ms);
    }

    /// Has the first task give up this name in the end.
    pub fn give_up_later(&self, name: Name) -> Name {
        self.board.gifts.borrow_mut().push(name);
        name
    }

    /// Ends all tasks but the first, which forgets them.
    pub fn end_tasks(&self) {
        let tasks = self.board.tasks.take();
        for kernel_port in tasks {
            // It may have ended before; then the name is a dead name.
            let _ = routine::terminate(&*self.first, kernel_port);
            self.first.port_deallocate(kernel_port).expect("a name that was ours");
        }
        for name in self.board.gifts.take() {
            // A test may have given it up itself.
            let _ = self.first.port_deallocate(name);
        }
        while self.first.receive_now(self.first.notify()).done().is_ok() {}
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprint!("{}", self.console());
        } else if self.exit().is_none() {
            self.end_tasks();
            assert_eq!(self.statistics(), self.at_rest, "something was left over");
        }
    }
}

impl Board {
    /// Makes steps until every thread waits or has nothing left to do. Threads that
    /// are less important than one with nothing left to do are not waited for.
    fn settle(&self) {
        let mut starved = Vec::new();
        for _ in 0..STEPS_MAX {
            if self.exit.get().is_some() {
                return;
            }
            match self.step() {
                Activity::Ran(_) | Activity::Woken => starved.clear(),
                Activity::Polled => {
                    starved.clear();
                    let now = self.running.borrow().cpu.now();
                    self.set_clock(now.plus_ms(self.piece_ms.get()));
                }
                // Equals take turns: who starves twice in a row has seen all others starve.
                Activity::Starved(thread) if starved.contains(&thread) => return,
                Activity::Starved(thread) => starved.push(thread),
                Activity::Idle => return,
            }
        }
        panic!("the system does not come to rest");
    }

    fn step(&self) -> Activity {
        let Running { kernel, cpu } = &mut *self.running.borrow_mut();
        // The kernel's own turn at the invariants is ours: it would allocate as the kernel.
        kernel.unchecked = 0;
        let step = AssertUnwindSafe(|| heap::in_kernel(|| kernel::run::step(kernel, cpu)));
        if let Err(end) = catch_unwind(step) {
            let exit = end.downcast_ref::<Exit>().copied();
            self.exit.set(exit);
            exit.unwrap_or_else(|| resume_unwind(end));
        } else if self.checked.get() {
            kernel::check::all(kernel);
        }
        if self.hidden.borrow().until.is_some_and(|until| kernel.vm.frames.refused() >= until) {
            self.hidden.take().frames.into_iter().for_each(|frame| kernel.vm.frames.free(frame));
        }
        cpu.activity()
    }

    /// Hides all free frames but so many; how many have been refused so far.
    fn hide_frames(&self, count: u64, until: Until) -> u64 {
        let frames = &mut self.running.borrow_mut().kernel.vm.frames;
        let mut hidden = self.hidden.borrow_mut();
        while frames.available() > count {
            hidden.frames.extend(frames.allocate());
        }
        hidden.until = (until == Until::Refused).then_some(frames.refused() + 1);
        frames.refused()
    }

    /// Shows those that are hidden still.
    fn show_frames(&self) {
        let frames = &mut self.running.borrow_mut().kernel.vm.frames;
        self.hidden.take().frames.into_iter().for_each(|frame| frames.free(frame));
    }

    fn check(&self) {
        kernel::check::all(&self.running.borrow().kernel);
    }

    fn now(&self) -> Instant {
        self.running.borrow().cpu.now()
    }

    fn deadline(&self) -> Option<Instant> {
        self.running.borrow().cpu.deadline()
    }

    fn set_clock(&self, now: Instant) {
        let cpu = &mut self.running.borrow_mut().cpu;
        cpu.set_clock(now.max(cpu.now()));
    }

    /// An address that no other thread of this system starts at.
    fn new_entry(&self) -> VirtAddr {
        let number = self.threads.replace(self.threads.get() + 1);
        VirtAddr(program::ENTRY + 0x10 * number)
    }
}

/// The descriptor for a right that is not given.
pub fn no_right() -> Descriptor {
    Descriptor::port(Name::NULL, portolan_abi::Disposition::CopySend as u8)
}
