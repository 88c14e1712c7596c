//! Tasks: made, filled and ended from outside, by whoever holds their port.

use crate::asm;
use crate::bare::{Bare, Progress};
use crate::case::Verdict;
use crate::clock::Stopwatch;
use crate::message::{Message, NONE, receive};
use crate::notice::{self, Notice, wait_for_death};
use crate::peer::Peer;
use crate::{cases, holds, port, same, space};
use alloc::vec::Vec;
use portolan::abi::message::Descriptor;
use portolan::abi::task::{self, Limits, TaskInfo};
use portolan::abi::{Capacity, Disposition, Error, Name, Protection, Result, port as routine};
use portolan::interface::MsgRpc;
use portolan::trap;

cases!("task":
    an_empty_task_is_made_and_ended,
    a_task_is_never_another,
    the_bootstrap_right_arrives,
    a_null_bootstrap_right_is_null,
    its_own_names_are_stable,
    losing_its_own_port_hurts_only_itself,
    the_info_tells_what_there_is,
    limits_come_out_of_the_parent,
    limits_go_back_to_the_parent,
    more_than_there_is_is_refused,
    a_child_outlives_its_parent,
    three_generations,
    a_task_is_built_from_outside,
    a_task_starts_with_its_arguments,
    a_thousand_tasks,
    a_hundred_programs_leave_nothing,
    a_line_of_tasks_at_once,
    names_of_tasks_may_be_anything,
);

const SMALL: Limits = Limits { memory: 64 << 10, ports: 8, frames: 16 };
const NO_RIGHT: Descriptor = Descriptor::port(Name::NULL, 0);

fn create(parent: Name, limits: Limits) -> Result<Name> {
    Ok(task::create(&MsgRpc, parent, [0; 32], limits, 0, 0, NO_RIGHT)?.rights[0])
}

fn info(task: Name) -> Result<TaskInfo> {
    Ok(task::info(&MsgRpc, task)?.results.info)
}

fn terminate(task: Name) -> Result<()> {
    task::terminate(&MsgRpc, task).map(drop)
}

fn an_empty_task_is_made_and_ended() -> Verdict {
    let child = create(trap::task_self(), SMALL)?;
    let told = info(child)?;
    same!((told.threads, told.regions, told.limits), (0, 0, SMALL));
    // Its own port's and its notify port's.
    same!(told.names, 2);
    terminate(child)?;
    wait_for_death(child)?;
    same!(terminate(child), Err(Error::SendInvalidPort));
    Ok(())
}

fn a_task_is_never_another() -> Verdict {
    let mut ids = Vec::new();
    for _ in 0..20 {
        let child = create(trap::task_self(), SMALL)?;
        ids.push(info(child)?.id);
        terminate(child)?;
        port::deallocate(child)?;
    }
    holds!(ids.windows(2).all(|pair| pair[0] < pair[1]), ids);
    holds!(!ids.contains(&0) && !ids.contains(&info(trap::task_self())?.id));
    Ok(())
}

fn the_bootstrap_right_arrives() -> Verdict {
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let right = Descriptor::port(port, Disposition::MakeSend as u8);
    let made = task::create(&MsgRpc, trap::task_self(), [0; 32], SMALL, 0, 0, right)?;
    let there = made.results.bootstrap_name;
    let kind = routine::port_type(&MsgRpc, made.rights[0], there, 0)?.results.kind;
    same!((kind.name, kind.send, kind.receive), (there, 1, 0));
    // One under the name, one that the kernel holds as the bootstrap port.
    same!(port::status(port)?.send_rights, 2);
    terminate(made.rights[0])?;
    same!(port::status(port)?.send_rights, 0);
    Ok(())
}

fn a_null_bootstrap_right_is_null() -> Verdict {
    let made = task::create(&MsgRpc, trap::task_self(), [0; 32], SMALL, 0, 0, NO_RIGHT)?;
    same!(made.results.bootstrap_name, Name::NULL);
    same!(info(made.rights[0])?.names, 2);
    Ok(terminate(made.rights[0])?)
}

fn its_own_names_are_stable() -> Verdict {
    let (me, notify, thread) = (trap::task_self(), trap::task_notify(), trap::thread_self());
    let before = info(me)?.names;
    for _ in 0..100 {
        same!((trap::task_self(), trap::task_notify(), trap::thread_self()), (me, notify, thread));
    }
    same!(info(me)?.names, before);
    same!((port::kind(me)?.send, port::kind(notify)?.receive, port::kind(thread)?.send >= 1), (1, 1, true));
    Ok(())
}

fn losing_its_own_port_hurts_only_itself() -> Verdict {
    let peer = Peer::start()?;
    let call = portolan::abi::call::Call::TaskSelf;
    let name = Name(peer.hand.call(call)?.value()? as u32);
    peer.deallocate(name)?;
    same!(peer.port_type(name), Err(Error::InvalidName));
    // It can still have another, and its task can still be ended from outside.
    let again = Name(peer.hand.call(call)?.value()? as u32);
    holds!(again != name);
    same!(peer.port_type(again)?.send, 1);
    peer.terminate()?;
    Ok(wait_for_death(peer.task)?)
}

fn the_info_tells_what_there_is() -> Verdict {
    let me = trap::task_self();
    let before = info(me)?;
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    let object = space::object(space::PAGE)?;
    let mapped = space::map(object, Protection::READ)?;
    let now = info(me)?;
    same!((now.id, now.threads, now.limits), (before.id, before.threads, before.limits));
    same!((now.names, now.regions), (before.names + 2, before.regions + 1));
    same!(now.used.ports, before.used.ports + 2);
    holds!(now.used.memory > before.used.memory);
    port::deallocate(port)?;
    port::deallocate(object)?;
    space::unmap(mapped, space::PAGE)?;
    let after = info(me)?;
    same!((after.names, after.regions, after.used.ports), (before.names, before.regions, before.used.ports));
    Ok(())
}

fn limits_come_out_of_the_parent() -> Verdict {
    let before = info(trap::task_self())?.used;
    let child = create(trap::task_self(), SMALL)?;
    let now = info(trap::task_self())?.used;
    same!((now.ports, now.frames), (before.ports + SMALL.ports, before.frames + SMALL.frames));
    holds!(now.memory >= before.memory + SMALL.memory);
    let childs = info(child)?;
    same!(childs.used.ports, 2);
    holds!(childs.used.memory > 0 && childs.used.frames > 0, childs.used);
    Ok(terminate(child)?)
}

fn limits_go_back_to_the_parent() -> Verdict {
    // The first child makes this task's own tables grow.
    let child = create(trap::task_self(), SMALL)?;
    terminate(child)?;
    port::deallocate(child)?;
    let before = info(trap::task_self())?.used;
    for _ in 0..50 {
        let child = create(trap::task_self(), SMALL)?;
        terminate(child)?;
        port::deallocate(child)?;
    }
    same!(info(trap::task_self())?.used, before);
    Ok(())
}

fn more_than_there_is_is_refused() -> Verdict {
    // The first call makes this task's own tables grow.
    same!(create(trap::task_self(), Limits::default()), Err(Error::ResourceShortage));
    let me = info(trap::task_self())?;
    for (memory, ports, frames) in
        [(1, 0, 0), (0, 1, 0), (0, 0, 1), (u64::MAX, 0, 0), (0, u64::MAX, 0), (0, 0, u64::MAX)]
    {
        let over = |limit: u64, used: u64, more: u64| (limit - used).saturating_add(more) * u64::from(more > 0);
        let limits = Limits {
            memory: over(me.limits.memory, me.used.memory, memory),
            ports: over(me.limits.ports, me.used.ports, ports),
            frames: over(me.limits.frames, me.used.frames, frames),
        };
        same!(create(trap::task_self(), limits), Err(Error::ResourceShortage));
    }
    // Too little to be a task at all.
    same!(create(trap::task_self(), Limits::default()), Err(Error::ResourceShortage));
    same!(create(trap::task_self(), Limits { ports: 1, ..SMALL }), Err(Error::ResourceShortage));
    same!(create(trap::task_self(), Limits { frames: 0, ..SMALL }), Err(Error::ResourceShortage));
    same!(create(trap::task_self(), Limits { memory: 100, ..SMALL }), Err(Error::ResourceShortage));
    same!(info(trap::task_self())?.used, me.used);
    Ok(())
}

fn a_child_outlives_its_parent() -> Verdict {
    let parent = create(trap::task_self(), Limits { memory: 1 << 20, ports: 64, frames: 64 })?;
    let child = create(parent, SMALL)?;
    terminate(parent)?;
    wait_for_death(parent)?;
    same!(info(child)?.limits, SMALL);
    let port = routine::port_allocate(&MsgRpc, child, Capacity::DEFAULT.code(), 0)?.results.name;
    same!(routine::port_type(&MsgRpc, child, port, 0)?.results.kind.receive, 1);
    Ok(terminate(child)?)
}

fn three_generations() -> Verdict {
    let before = info(trap::task_self())?.used;
    let parent = create(trap::task_self(), Limits { memory: 1 << 20, ports: 64, frames: 64 })?;
    let child = create(parent, Limits { memory: 512 << 10, ports: 32, frames: 40 })?;
    let grandchild = create(child, SMALL)?;
    same!(create(child, Limits { ports: 33, ..SMALL }), Err(Error::ResourceShortage));
    same!(info(child)?.used.ports, 2 + SMALL.ports);
    // From the top down: what each had goes back only when it is empty.
    for task in [parent, child, grandchild] {
        terminate(task)?;
        port::deallocate(task)?;
    }
    same!(info(trap::task_self())?.used.ports, before.ports);
    same!(info(trap::task_self())?.used.frames, before.frames);
    Ok(())
}

fn a_task_is_built_from_outside() -> Verdict {
    let bare = Bare::run(asm::load_null_segments())?;
    same!(bare.outcome()?, Progress::Survived);
    let told = info(bare.task)?;
    same!((told.threads, told.regions), (1, 2));
    same!(bare.word(0) as u32, 2);
    Ok(bare.terminate()?)
}

fn a_task_starts_with_its_arguments() -> Verdict {
    same!(portolan::argument("case"), Some("task::a_task_starts_with_its_arguments"));
    same!(portolan::argument("test"), None);
    let startup = portolan::start::startup();
    holds!(startup.bootstrap.is_some() && startup.host_privileged.is_none() && startup.archive.is_none());
    Ok(())
}

fn a_thousand_tasks() -> Verdict {
    let mut times = [0; 2];
    let mut used = [Limits::default(); 2];
    for (half, time) in times.iter_mut().enumerate() {
        let watch = Stopwatch::start();
        for _ in 0..500 {
            let child = create(trap::task_self(), SMALL)?;
            terminate(child)?;
            port::deallocate(child)?;
        }
        *time = watch.time();
        used[half] = info(trap::task_self())?.used;
    }
    same!(used[0], used[1]);
    // The second five hundred take no longer than the first, but for noise.
    holds!(times[1] < times[0] * 3, times);
    Ok(())
}

fn a_hundred_programs_leave_nothing() -> Verdict {
    let frames = || -> Result<Limits> { Ok(info(trap::task_self())?.used) };
    let run = || -> Verdict {
        let bare = Bare::run(asm::undefined())?;
        same!(bare.outcome()?, Progress::Ended);
        wait_for_death(bare.task)?;
        Ok(bare.terminate()?)
    };
    run()?;
    let before = frames()?;
    for _ in 0..100 {
        run()?;
    }
    same!(frames()?, before);
    Ok(())
}

fn a_line_of_tasks_at_once() -> Verdict {
    let children: Vec<Name> = (0..100).map(|_| create(trap::task_self(), SMALL)).collect::<Result<_>>()?;
    let mut ids: Vec<u64> = children.iter().map(|child| Ok(info(*child)?.id)).collect::<Result<_>>()?;
    ids.dedup();
    same!(ids.len(), 100);
    for child in children.iter().step_by(2).chain(children.iter().skip(1).step_by(2)) {
        terminate(*child)?;
    }
    let mut told = Vec::new();
    for child in &children {
        same!(info(*child).map(drop), Err(Error::SendInvalidPort));
        told.push(notice::next()?);
    }
    holds!(children.iter().all(|child| told.contains(&Notice::dead(*child))), told);
    Ok(())
}

fn names_of_tasks_may_be_anything() -> Verdict {
    for name in [[0; 32], [0xff; 32], *b"\n\x1b[2J OK ipc::forged\r\nDONE 1 pas"] {
        let made = task::create(&MsgRpc, trap::task_self(), name, SMALL, 0, 0, NO_RIGHT)?;
        terminate(made.rights[0])?;
        port::deallocate(made.rights[0])?;
    }
    // A fault message shows the name; it must not break the line.
    let peer = Peer::start()?;
    let port = port::open(Capacity::DEFAULT)?;
    let there = peer.give(port, Disposition::MakeSend)?;
    peer.hand.send(&Message::copy_to(there).id(1), NONE, 0)?.finish()?.result?;
    same!(receive(port)?.header.id, 1);
    Ok(())
}
