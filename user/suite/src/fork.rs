//! A task that copies itself.

use crate::case::{Failure, Verdict};
use crate::{cases, holds, same};
use alloc::boxed::Box;
use alloc::vec;
use core::hint::black_box;
use portolan::abi::interface::Routine;
use portolan::abi::task::Limits;
use portolan::abi::thread::PRIORITY_DEFAULT;
use portolan::abi::{Capacity, Error};
use portolan::bootstrap::routine::{Exit, arguments};
use portolan::{Fork, Mapping, MemoryObject, Message, Protection, ReceiveRight, Task, exit, fork, thread};

cases!("fork":
    each_has_its_own_memory,
    the_child_is_a_task_of_its_own,
    send_rights_have_the_same_names,
    the_child_can_ask_and_make_ports,
    a_child_of_the_child,
    a_thread_that_is_not_the_first_forks,
    a_child_that_ends_before_anyone_looks,
    too_small_limits_leave_nothing,
);

/// What a child may spend, out of what a case may.
pub(crate) const LIMITS: Limits = Limits { memory: 330 << 10, ports: 32, frames: 1800 };
const SMALLER: Limits = Limits { memory: 150 << 10, ports: 10, frames: 850 };

/// Forks; the child ends with what `child` returns, and so does this call, in the parent.
pub(crate) fn code_of(limits: Limits, child: impl FnOnce() -> u32) -> Result<u32, Failure> {
    let exits = ReceiveRight::allocate(Capacity::DEFAULT)?;
    match fork("child", limits, exits.make_send()?)? {
        Fork::Child => exit(child()),
        Fork::Parent(task) => {
            let report = exits.receive()?;
            same!(report.id(), Exit::ID);
            let code = report.value::<arguments::Exit>()?.code;
            while task.info().is_ok() {
                thread::sleep_ms(1);
            }
            Ok(code)
        }
    }
}

fn each_has_its_own_memory() -> Verdict {
    let mut on_heap = Box::new(black_box(1));
    let mut on_stack = black_box(10);
    let code = code_of(LIMITS, || {
        *on_heap += 1;
        on_stack += 10;
        *on_heap + on_stack
    })?;
    same!((code, *on_heap, on_stack), (22, 1, 10));
    Ok(())
}

fn the_child_is_a_task_of_its_own() -> Verdict {
    let parent = Task::this().info()?.id;
    same!(code_of(LIMITS, || u32::from(Task::this().info().is_ok_and(|own| own.id != parent)))?, 1);
    same!(Task::this().info()?.id, parent);
    Ok(())
}

fn send_rights_have_the_same_names() -> Verdict {
    let object = MemoryObject::create(4096)?;
    let again = object.right().try_clone()?;
    let write = |mapping: Mapping| mapping.write(0, &[7]);
    let code = code_of(LIMITS, || {
        // Both references are there.
        drop(again);
        u32::from(object.map(Protection::READ_WRITE).and_then(write).is_ok())
    })?;
    let mut seen = [0];
    object.map(Protection::READ)?.read(0, &mut seen)?;
    same!((code, seen), (1, [7]));
    Ok(())
}

fn the_child_can_ask_and_make_ports() -> Verdict {
    let ours = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let code = code_of(LIMITS, || {
        let talk = || {
            let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
            port.make_send()?.send(Message::new(3).text("to myself"))?;
            let heap = vec![1_u8; 20_000];
            Ok::<_, Error>(port.receive()?.text()?.len() + heap.len())
        };
        // The receive right is the parent's.
        u32::from(talk() == Ok(20_009)) + u32::from(ours.receive_within(0).is_err())
    })?;
    same!(code, 2);
    holds!(ours.receive_within(0).is_err_and(|error| error == Error::ReceiveTimedOut));
    Ok(())
}

fn a_child_of_the_child() -> Verdict {
    same!(code_of(LIMITS, || code_of(SMALLER, || 5).map_or(99, |code| code + 1))?, 6);
    Ok(())
}

fn a_thread_that_is_not_the_first_forks() -> Verdict {
    let forked = thread::spawn(|| code_of(LIMITS, || 4).ok())?;
    same!(forked.join()?, Some(4));
    Ok(())
}

fn a_child_that_ends_before_anyone_looks() -> Verdict {
    // As important as its parent, it runs before the thread that has made it goes on.
    thread::this()?.set_priority(PRIORITY_DEFAULT + 1)?;
    same!(code_of(LIMITS, || 3)?, 3);
    Ok(())
}

fn too_small_limits_leave_nothing() -> Verdict {
    let exits = ReceiveRight::allocate(Capacity::DEFAULT)?;
    for limits in [Limits { memory: 100, ..LIMITS }, Limits { frames: 1, ..LIMITS }, Limits { ports: 1, ..LIMITS }] {
        let forked = fork("child", limits, exits.make_send()?).map(|_| ());
        same!(forked, Err(Error::ResourceShortage));
    }
    Ok(())
}
