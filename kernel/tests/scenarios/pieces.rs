//! Clearing away in pieces: what others do between two of them.
//!
//! A task ends that holds something of every kind. After each number of steps the clock wakes a
//! more important thread of another task, in the middle of what is left; it does one thing, and what
//! is left goes on. The harness checks the kernel's invariants after every step, and that nothing is left.

use crate::harness::{Message, System, Task, Thread, WhenFull};
use portolan_abi::interface::Routine;
use portolan_abi::message::Descriptor;
use portolan_abi::notification::Kind;
use portolan_abi::thread::PRIORITY_DEFAULT;
use portolan_abi::{Call, Capacity, Disposition, Error, Name, Protection, task as routine};
use portolan_machine::sim::script::Action;

const ONE: Capacity = Capacity::Bounded(1);
/// Until when the more important thread sleeps.
const ASLEEP_MS: u32 = 10;
/// More steps than the end of the task takes.
const STEPS_MAX: usize = 3000;

struct Scene {
    system: System,
    dying: Task,
    other: Task,
    /// The receive rights of the dying task.
    ports: [Name; 3],
    /// The other task's send rights to them.
    to: [Name; 3],
    /// The other task's right to a third one, which it may end.
    bystander: Name,
    third: Task,
}

impl Scene {
    fn new() -> Scene {
        let system = System::boot();
        let (dying, other, third) = (system.task("dying"), system.task("other"), system.task("third"));
        let ports = [ONE, Capacity::DEFAULT, Capacity::Zero].map(|capacity| dying.port(capacity));
        let to = ports.map(|port| dying.give_send(&other, port));
        let bystander = system.first().give(&other, third.kernel_port(), Disposition::CopySend);
        let scene = Scene { system, dying, other, ports, to, bystander, third };
        scene.furnish();
        scene
    }

    /// Gives the dying task something of every kind.
    fn furnish(&self) {
        let Scene { dying, other, ports, to, .. } = self;
        let set = dying.port_set();
        dying.port_move_member(ports[1], set).expect("a member");
        let gift = || Message::to(to[1]).right(other.port(ONE), Disposition::MoveReceive);
        for message in [gift(), gift().right(to[0], Disposition::CopySend), Message::to(to[0]).text([7; 5000])] {
            other.send(message, WhenFull::Return).done().expect("a place");
        }
        other.thread().send(Message::to(to[0]).right(other.port(ONE), Disposition::MoveReceive), WhenFull::Wait);
        other.send(Message::to(to[0]), WhenFull::Cache).done().expect_err("it is cached");
        other.thread().rpc(Message::to(to[1]), other.port(ONE));
        let (task, own) = (&**other, other.task_self());
        let here = Descriptor::port(other.port(ONE), Disposition::MakeSendOnce as u8);
        portolan_abi::port::port_request_notification(task, own, to[2], Kind::DeadName as u32, 0, 0, here)
            .expect("a request");
        let waiting = dying.thread();
        assert!(waiting.receive(ports[2]).waits());
        let pages = self.map(200 * 4096);
        for page in [0, 70, 199] {
            dying.store(pages + page * 4096, b"touched").done();
        }
    }

    fn map(&self, size: u64) -> u64 {
        let (dying, all) = (&self.dying, Protection::READ_WRITE.bits());
        let (flags, copy) = (portolan_abi::vm::MapFlags::ANYWHERE.bits(), portolan_abi::vm::Inheritance::Copy as u32);
        let none = crate::harness::no_right();
        portolan_abi::vm::vm_map(&**dying, dying.task_self(), 0, size, 0, all, all, copy, flags, none)
            .expect("memory")
            .results
            .address
    }

    /// A more important thread of the other task, which sleeps and then does this.
    fn sleeper(&self, then: impl FnOnce(&Thread) -> Vec<Action>) -> Thread {
        let plan = |thread: &Thread| [vec![sleep(ASLEEP_MS)], then(thread), vec![sleep(1_000_000)]].concat();
        self.other.thread_with_plan(PRIORITY_DEFAULT + 5, plan).expect("a thread")
    }

    /// Has the first task end the dying one, without waiting for it.
    fn end(&self) {
        let first = self.system.first();
        let terminate = Message::to(self.dying.kernel_port()).id(routine::Terminate::ID);
        first.plan(first.send_actions(terminate, WhenFull::Wait));
    }
}

fn sleep(ms: u32) -> Action {
    action(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(ms) })
}

fn action(call: Call) -> Action {
    let (number, arguments) = call.encode();
    Action::Call(number, arguments)
}

/// Lets something be done after each number of steps of the task's end; `see` sees what became of it.
/// Returns how often more was left afterwards.
fn between(then: impl Fn(&Scene, &Thread) -> Vec<Action>, see: impl Fn(&Scene)) -> u32 {
    let mut between = 0;
    for steps in 0..STEPS_MAX {
        let scene = Scene::new();
        let sleeper = scene.sleeper(|thread| then(&scene, thread));
        scene.end();
        scene.system.steps(steps);
        let over = scene.system.first().left() == 0 && !scene.system.inspect(|k| k.clearing.left);
        scene.system.set_clock_ahead_ms(2 * ASLEEP_MS);
        while sleeper.left() > 1 {
            scene.system.steps(1);
        }
        between += u32::from(scene.system.inspect(|k| k.clearing.left && !k.clearing.ended.is_empty()));
        scene.system.rest();
        see(&scene);
        assert!(scene.system.inspect(|k| !k.clearing.left), "something is left");
        assert_eq!(scene.other.port_type(scene.to[0]).map(|kind| (kind.send, kind.dead)), Ok((0, 1)));
        if over {
            return between;
        }
    }
    panic!("the task does not end");
}

#[test]
fn a_message_comes_to_a_port_of_the_task_that_ends() {
    let send =
        |scene: &Scene, thread: &Thread| thread.send_actions(Message::to(scene.to[1]).text("late"), WhenFull::Return);
    assert!(between(send, |_| {}) > 20, "it goes on in the middle of many pieces");
}

#[test]
fn a_thread_begins_to_wait_for_the_task_that_ends() {
    between(|scene, thread| thread.send_actions(Message::to(scene.to[2]).text("late"), WhenFull::Wait), |_| {});
}

#[test]
fn another_task_is_ended_too() {
    between(
        |scene, thread| thread.send_actions(Message::to(scene.bystander).id(routine::Terminate::ID), WhenFull::Wait),
        |scene| assert!(!scene.third.exists()),
    );
}

#[test]
fn a_port_is_ended_that_the_task_could_send_to() {
    // The test itself looks at the first one.
    let kept = |scene: &Scene| vec![action(Call::PortDeallocate(scene.to[2]))];
    between(
        |scene, _| kept(scene),
        |scene| assert_eq!(scene.other.port_deallocate(scene.to[2]), Err(Error::InvalidName)),
    );
}

#[test]
fn ports_are_made_and_pages_touched_meanwhile() {
    let work = |_: &Scene, thread: &Thread| {
        let touch = Action::Store { address: thread.buffers().0, bytes: vec![1; 100] };
        vec![action(Call::PortAllocate(ONE)), touch]
    };
    assert!(between(work, |_| {}) > 20, "it goes on in the middle of many pieces");
}

#[test]
fn what_a_task_had_is_its_parents_again_when_the_call_that_ends_it_returns() {
    let scene = Scene::new();
    let used = || scene.system.first().info().used;
    let before = used();
    scene.dying.terminate();
    let after = used();
    let given = crate::harness::ORDINARY;
    // What it had sent is gone with its queues; of itself nothing is left to be paid for.
    assert_eq!((before.memory - after.memory, before.ports - after.ports), (given.memory, given.ports));
    assert_eq!(before.frames - after.frames, given.frames);
    assert_eq!(scene.ports.len(), scene.to.len());
}

#[test]
fn a_large_range_is_unmapped_page_by_page_before_anybody_runs() {
    let scene = Scene::new();
    let (dying, size) = (&scene.dying, 300 * 4096);
    let start = scene.map(size);
    for page in (0..300).step_by(2) {
        dying.store(start + page * 4096, b"touched").done();
    }
    let frames = dying.info().used.frames;
    portolan_abi::vm::vm_deallocate(&**dying, dying.task_self(), start + 4096, size - 2 * 4096).expect("unmapped");
    assert_eq!(frames - dying.info().used.frames, 149);
    assert_eq!(dying.load(start, 7), b"touched");
    assert_eq!(
        portolan_abi::vm::vm_region(&**dying, dying.task_self(), start + 2 * 4096).unwrap().results.info.address,
        start + size - 4096
    );
}

#[test]
fn deadlines_that_come_together_are_all_met() {
    let system = System::boot();
    let task = system.task("task");
    let sleepers = [(); 7].map(|()| task.thread().sleep(5));
    let others: Vec<Task> = (0..6).map(|_| system.task("other")).collect();
    let more: Vec<_> = others.iter().flat_map(|task| [(); 6].map(|()| task.thread().sleep(5))).collect();
    system.jump_ms(6);
    assert!(sleepers.iter().chain(&more).all(|sleep| sleep.done().is_ok()));
}
