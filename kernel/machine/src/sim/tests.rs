//! The simulated machine, driven as the kernel drives it.

use super::memory::FRESH;
use super::script::{Action, Outcome};
use super::{Activity, Context, Cpu, Hardware, Machine};
use crate::{Access, Frame, Instant, PhysAddr, Pmap, Trap, VirtAddr};
use portolan_abi::{PAGE_SIZE, Protection};

const ENTRY: VirtAddr = VirtAddr(0x40_0000);
const PAGE: VirtAddr = VirtAddr(0x7000);

/// A machine with one address space and one thread, and frames handed out in order.
struct Bench {
    machine: Machine,
    cpu: Cpu,
    pmap: Pmap,
    context: Context,
    next: u32,
}

impl Bench {
    fn new() -> Bench {
        let (mut machine, boot, cpu) = Hardware { frames: 32, archive: vec![7; 5000], command_line: "a=b" }.power_on();
        let first = boot.memory[0].start.0;
        let pmap = Pmap::new(&mut machine.memory, Frame(first));
        let context = Context::new(ENTRY, VirtAddr(0), 5).expect("a context");
        Bench { machine, cpu, pmap, context, next: first + 1 }
    }

    fn frame(&mut self) -> Frame {
        self.next += 1;
        Frame(self.next - 1)
    }

    fn map(&mut self, protection: Protection) -> Frame {
        let leaf = self.frame();
        let next = &mut self.next;
        let mut table = || {
            *next += 1;
            Some(Frame(*next - 1))
        };
        let memory = &mut self.machine.memory;
        self.pmap.enter(memory, PAGE, leaf, protection, &mut table).expect("tables enough");
        leaf
    }

    /// Runs the thread; gives it its turn at once if that is all it asks for.
    fn run(&mut self) -> Trap {
        let trap = self.cpu.run(&mut self.context, self.pmap.root());
        if let Activity::Starved(_) = self.cpu.activity() {
            self.context.set_result(0, 0);
        }
        trap
    }

    fn act(&mut self, action: Action) -> (Trap, Option<Outcome>) {
        let script = self.cpu.script(ENTRY);
        let number = script.push(action);
        (self.run(), script.outcome(number))
    }

    fn load(&mut self) -> (Trap, Option<Outcome>) {
        self.act(Action::Load { address: PAGE.0, size: 2 })
    }
}

fn fault(address: u64, access: Access) -> Trap {
    Trap::PageFault { address: VirtAddr(address), access }
}

#[test]
fn fresh_memory_is_not_zero() {
    let bench = Bench::new();
    let mut byte = [0];
    bench.machine.memory.read(Frame(bench.next).span(0, 1), &mut byte);
    assert_eq!(byte, [FRESH]);
}

#[test]
fn the_archive_is_in_place_and_its_tail_is_zero() {
    let (machine, boot, _) = Hardware { frames: 8, archive: vec![7; 5000], command_line: "a=b" }.power_on();
    let mut page = [0; PAGE_SIZE];
    machine.memory.read(Frame(boot.archive.start.0 + 1).whole(), &mut page);
    assert_eq!((boot.archive.len(), boot.archive_size), (2, 5000));
    assert!(page[..904].iter().all(|byte| *byte == 7) && page[904..].iter().all(|byte| *byte == 0));
    assert_eq!(boot.memory.iter().map(|range| range.len()).sum::<usize>(), 8);
}

#[test]
#[should_panic(expected = "outside memory")]
fn memory_that_does_not_exist_cannot_be_read() {
    let bench = Bench::new();
    let _ = bench.machine.memory.read_u64(PhysAddr(0));
}

#[test]
#[should_panic(expected = "outside memory")]
fn a_frame_that_does_not_exist_cannot_be_copied() {
    let mut bench = Bench::new();
    let there = Frame(bench.next);
    bench.machine.memory.copy(Frame(0).whole(), there.whole());
}

#[test]
fn the_processor_understands_the_tables_that_pmap_writes() {
    let mut bench = Bench::new();
    assert_eq!(bench.load().0, fault(PAGE.0, Access::Read));
    let frame = bench.map(Protection::READ);
    bench.machine.memory.write(frame.span(0, 2), &[1, 2]);
    let (trap, _) = bench.act(Action::Store { address: PAGE.0 + 1, bytes: vec![9] });
    assert_eq!(trap, fault(PAGE.0 + 1, Access::Write));
    assert_eq!(bench.cpu.script(ENTRY).outcome(0), Some(Outcome::Loaded(vec![1, 2])));
    bench.pmap.protect(&mut bench.machine.memory, PAGE, Protection::READ_WRITE);
    let (trap, _) = bench.act(Action::Execute { address: PAGE.0 });
    assert_eq!(trap, fault(PAGE.0, Access::Execute));
    let mut bytes = [0; 2];
    bench.machine.memory.read(frame.span(0, 2), &mut bytes);
    assert_eq!(bytes, [1, 9]);
}

#[test]
fn a_translation_is_remembered_until_it_is_flushed() {
    let mut bench = Bench::new();
    let frame = bench.map(Protection::READ);
    bench.machine.memory.zero(frame);
    assert_eq!(bench.load().1, Some(Outcome::Loaded(vec![0, 0])));
    // The leaf goes behind the processor's back: it does not see that.
    let leaf = find_leaf(&bench, frame);
    bench.machine.memory.write_u64(leaf, 0);
    assert_eq!(bench.load().1, Some(Outcome::Loaded(vec![0, 0])));
    super::flush(&mut bench.machine.memory, bench.pmap.root(), PAGE);
    assert_eq!(bench.load(), (fault(PAGE.0, Access::Read), None));
}

/// The address of the leaf that maps `PAGE` to `frame`.
fn find_leaf(bench: &Bench, frame: Frame) -> PhysAddr {
    let mut tables = (bench.pmap.root().0..bench.next).map(|table| Frame(table).start());
    let offset = (PAGE.0 >> 12) as usize % 512 * 8;
    let names_frame = |at: &PhysAddr| bench.machine.memory.read_u64(*at) & 0xf_ffff_f000 == frame.start().0;
    tables.find_map(|table| Some(table.plus(offset)).filter(names_frame)).expect("the leaf")
}

#[test]
fn a_call_comes_back_with_its_answer() {
    let mut bench = Bench::new();
    assert_eq!(bench.act(Action::Call(7, [1, 2, 3, 4, 5, 6])), (Trap::Syscall, None));
    assert_eq!(bench.context.call(), (7, [1, 2, 3, 4, 5, 6]));
    bench.context.set_result(-1, 8);
    assert_eq!(bench.run(), Trap::Syscall);
    assert_eq!(bench.cpu.activity(), Activity::Starved(ENTRY));
    assert_eq!(bench.cpu.script(ENTRY).outcome(0), Some(Outcome::Returned { code: -1, value: 8 }));
}

#[test]
#[should_panic(expected = "goes on without an answer")]
fn a_call_must_be_answered() {
    let mut bench = Bench::new();
    bench.act(Action::Call(7, [0; 6]));
    bench.run();
}

#[test]
fn work_takes_time_and_the_deadline_cuts_it_short() {
    let mut bench = Bench::new();
    bench.cpu.set_deadline(Some(Instant(300)));
    assert_eq!(bench.act(Action::Work(1000)), (Trap::Timer, None));
    assert_eq!(bench.cpu.now(), Instant(300));
    assert_eq!(bench.run(), Trap::Syscall);
    assert_eq!(bench.cpu.now(), Instant(1000));
}

#[test]
fn the_deadline_fires_once_and_only_when_it_has_come() {
    let mut bench = Bench::new();
    bench.cpu.set_deadline(Some(Instant(5)));
    assert_eq!(bench.cpu.idle(), Trap::Spurious);
    bench.cpu.set_clock(Instant(5));
    assert_eq!([bench.cpu.idle(), bench.cpu.idle()], [Trap::Timer, Trap::Spurious]);
    bench.cpu.set_deadline(Some(Instant(1)));
    assert_eq!(bench.run(), Trap::Timer);
}

#[test]
fn polling_tells_what_has_come_and_does_not_wait() {
    let mut bench = Bench::new();
    bench.cpu.set_deadline(Some(Instant(5)));
    assert_eq!((bench.cpu.poll(), bench.cpu.activity()), (Trap::Spurious, Activity::Polled));
    bench.cpu.set_clock(Instant(5));
    assert_eq!([bench.cpu.poll(), bench.cpu.poll()], [Trap::Timer, Trap::Spurious]);
}

#[test]
fn ending_the_machine_unwinds_with_its_result() {
    let end = std::panic::catch_unwind(|| super::exit(false)).expect_err("an end");
    assert_eq!(end.downcast_ref::<super::Exit>(), Some(&super::Exit { success: false }));
}
