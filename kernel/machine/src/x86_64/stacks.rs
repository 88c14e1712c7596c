//! The kernel's stacks: what each processor runs on.
//!
//! One for the kernel's loop, and one each for the events that may come at a moment
//! when the stack pointer is not to be trusted. Below each lies a page that is never
//! mapped, so an overflow faults at once instead of writing over something.
//! Neighbours: `descriptors` tells the processor, `kernel_half` leaves the guards out.

use super::per_cpu::CPUS_MAX;
use core::cell::UnsafeCell;
use portolan_abi::PAGE_SIZE;

/// Bytes of the stack of the kernel's loop.
const MAIN_SIZE: usize = 64 << 10;
/// Bytes of the stack of an event; enough to print a panic.
const EVENT_SIZE: usize = 16 << 10;
/// What the last word of the main stack holds, until it overflows.
const CANARY: u64 = 0x7065_726d_6974_7466;

/// A stack and its guard page, at the lower end.
#[repr(C, align(4096))]
struct Stack<const SIZE: usize> {
    guard: [u8; PAGE_SIZE],
    bytes: UnsafeCell<[u8; SIZE]>,
}

/// All stacks of a processor.
#[repr(C)]
pub(super) struct Stacks {
    main: Stack<MAIN_SIZE>,
    events: [Stack<EVENT_SIZE>; Event::COUNT],
}

/// What has a stack of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A non-maskable interrupt: can come anywhere.
    Nmi,
    /// A double fault: the stack may be what is wrong.
    DoubleFault,
    /// A machine check: can come anywhere.
    MachineCheck,
    /// A debug exception: the user can have one delivered at the kernel's first instruction.
    Debug,
}

impl Event {
    /// How many there are.
    pub(super) const COUNT: usize = 4;
    /// All of them, in the order of the TSS's table.
    pub(super) const ALL: [Event; Event::COUNT] = [Event::Nmi, Event::DoubleFault, Event::MachineCheck, Event::Debug];
}

// SAFETY: a stack's bytes are used by the processor that runs on it and no other.
unsafe impl Sync for Stacks {}

/// All stacks. The front doors take the address for their first instructions.
pub(super) static STACKS: [Stacks; CPUS_MAX] = [const { Stacks::new() }; CPUS_MAX];

/// Where the first processor's main stack starts, from the address of `STACKS`.
pub(super) const FIRST_TOP: usize = PAGE_SIZE + MAIN_SIZE;

/// The stacks of a processor.
pub(super) fn of(cpu: usize) -> &'static Stacks {
    &STACKS[cpu]
}

/// The addresses of all guard pages.
pub(super) fn guards() -> impl Iterator<Item = u64> {
    STACKS.iter().flat_map(Stacks::guards)
}

/// Whether an address is on a stack of some processor.
pub(super) fn contain(address: u64) -> bool {
    STACKS.iter().any(|stacks| stacks.ranges().any(|(low, top)| (low..top).contains(&address)))
}

impl<const SIZE: usize> Stack<SIZE> {
    const fn new() -> Self {
        Stack { guard: [0; PAGE_SIZE], bytes: UnsafeCell::new([0; SIZE]) }
    }

    fn guard(&self) -> u64 {
        self.guard.as_ptr().addr() as u64
    }

    /// Lowest address, and the one after the highest.
    fn range(&self) -> (u64, u64) {
        let low = self.bytes.get().addr() as u64;
        (low, low + SIZE as u64)
    }
}

impl Stacks {
    const fn new() -> Stacks {
        Stacks { main: Stack::new(), events: [const { Stack::new() }; Event::COUNT] }
    }

    /// Where the stack of an event starts.
    pub(super) fn event_top(&self, event: Event) -> u64 {
        self.events[event as usize].range().1
    }

    /// Writes the canary. Call it once, before the stack has got deep.
    pub(super) fn plant_canary(&self) {
        let lowest = self.main.bytes.get().cast::<u64>();
        // SAFETY: the word is the stack's last, which nothing has reached.
        unsafe { lowest.write_volatile(CANARY) };
    }

    /// Whether the canary is unharmed, that is, the main stack was never full.
    pub(super) fn canary_lives(&self) -> bool {
        let lowest = self.main.bytes.get().cast::<u64>();
        // SAFETY: the word is mapped and aligned; nothing else writes it.
        unsafe { lowest.read_volatile() == CANARY }
    }

    fn guards(&self) -> impl Iterator<Item = u64> {
        core::iter::once(self.main.guard()).chain(self.events.iter().map(Stack::guard))
    }

    fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        core::iter::once(self.main.range()).chain(self.events.iter().map(Stack::range))
    }
}
