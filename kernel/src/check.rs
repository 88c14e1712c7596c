//! The invariants, as code: conservation of rights, messages, threads, frames, money.
//!
//! A broken one is a kernel bug, so this panics and says which. It looks at
//! everything there is: host tests run it after every trap and every piece of clearing away,
//! checked builds of the kernel [`now_and_then`], release builds never.
//!
//! Neighbours: everything; nothing depends on this.

use crate::clear::Clearing;
use crate::ipc::interrupt::Binding;
use crate::ipc::message::{self, Body, Carried, CarriedRight, Content, Envelope, MESSAGE_COST, Message, MessageId};
use crate::ipc::pager::{PAGER_COST, Standing};
use crate::ipc::port::{Carrier, Holder, KernelObject, Owner, PORT_COST, PortId};
use crate::ipc::receive;
use crate::ipc::request::{About, Request};
use crate::ipc::set::Place;
use crate::ipc::space::Right;
use crate::kernel::Kernel;
use crate::task::account::AccountId;
use crate::task::thread::{Receiving, Reply, Sending, State, Wait};
use crate::task::{TASK_COST, THREAD_COST, TaskId, ThreadId, word};
use crate::vm::map::End;
use crate::vm::map::REGION_COST;
use crate::vm::object::{Reach, Supply};
use crate::vm::page_tree::{NodeId, Size};
use crate::vm::{ObjectId, device};
use alloc::collections::{BTreeMap, BTreeSet};
use portolan_abi::{AtFull, Disposition, Name, Protection};
use portolan_machine::{Frame, FrameRange};

/// Checks them all.
pub fn all(k: &Kernel) {
    remains(k);
    rights(k);
    carriers(k);
    descriptors(k);
    queues(k);
    requests(k);
    sets(k);
    threads(k);
    words(k);
    timers(k);
    names(k);
    devices(k);
    pagers(k);
    memory(k);
    device_memory(k);
    money(k);
}

/// Checks them all once in as many traps as there are objects, so that the cost of a
/// trap does not grow with the system.
pub fn now_and_then(k: &mut Kernel) {
    k.unchecked += 1;
    let objects = k.tasks.len() + k.threads.len() + k.ports.len() + k.messages.len();
    if k.unchecked > objects && k.unchecked > objects + regions(k) {
        k.unchecked = 0;
        all(k);
    }
}

fn regions(k: &Kernel) -> u32 {
    k.tasks.iter().map(|(_, task)| task.map.regions().len() as u32).sum()
}

/// What is left to be cleared away is in line for it, and known to be left.
fn remains(k: &Kernel) {
    let Clearing { left, killed, ended, unmapping, doomed, contents, .. } = &k.clearing;
    if !left {
        assert!(k.graveyard.is_empty(), "a dead port is left");
        assert!(k.due.is_empty() && k.vm.unmapped.is_empty(), "something is left to be told");
        assert!(k.unhandled.is_empty(), "an exception is left");
        assert!(killed.is_empty() && ended.is_empty(), "an ended task is left");
        assert!(unmapping.is_none(), "something is left to be unmapped");
        assert!(doomed.is_empty() && contents.is_empty(), "a destroyed message is left");
    }
    let dead = k.ports.iter().filter(|(_, port)| !port.is_alive()).count();
    assert_eq!(dead, k.graveyard.iter(&k.ports).count(), "dead ports that nobody clears away");
    let ended_tasks = k.tasks.iter().filter(|(_, task)| task.has_ended()).count();
    let in_line = killed.iter(&k.tasks).chain(ended.iter(&k.tasks)).filter(|task| k.tasks[*task].has_ended());
    assert_eq!(ended_tasks, in_line.count(), "ended tasks that nobody clears away");
    assert!(ended.iter(&k.tasks).all(|task| k.tasks[task].threads.is_empty()), "an ended task has threads");
}

/// What rights to a port were found.
#[derive(Default, PartialEq, Eq, Debug, Clone, Copy)]
struct Found {
    receive: u32,
    send: u32,
    send_once: u32,
}

/// Every port has as many rights as it counts, and one receive right, where it says.
fn rights(k: &Kernel) {
    let mut found = BTreeMap::<PortId, Found>::new();
    for (id, task) in k.tasks.iter() {
        let told_at = k.ports.get(task.notify_port);
        assert!(told_at.is_none_or(|port| port.notices.dead_names_of == Some(id)), "the notify port of {}", task.name);
        for port in task.special.iter() {
            found.entry(port).or_default().send += 1;
        }
        for (_, entry) in task.space.iter() {
            match entry.right {
                Right::Port { port, receive, sends } => {
                    let found = found.entry(port).or_default();
                    found.receive += u32::from(receive);
                    found.send += u32::from(sends > 0);
                }
                Right::SendOnce { port, .. } if entry.held == 0 => found.entry(port).or_default().send_once += 1,
                _ => {}
            }
        }
    }
    for port in k.threads.iter().filter_map(|(_, thread)| thread.exception) {
        found.entry(port).or_default().send += 1;
    }
    for message in k.due.iter(&k.messages) {
        count(&mut found, &k.messages[message].envelope.destination);
    }
    let waiting = waiting_messages(k);
    for (id, message) in k.messages.iter() {
        let envelope = &message.envelope;
        for carried in envelope.rights.iter().chain([&envelope.reply]) {
            count(&mut found, carried);
        }
        if message.request.is_some() {
            count(&mut found, &envelope.destination);
        }
        if waiting.contains(&id) && envelope.destination.how == Some(Disposition::MoveSend) {
            count(&mut found, &envelope.destination);
        }
    }
    for carried in &k.clearing.contents.rights {
        count(&mut found, carried);
    }
    for binding in k.bindings.iter().flatten().filter(|binding| k.ports.get(binding.told_to).is_some()) {
        found.entry(binding.told_to).or_default().send += 1;
    }
    for (_, pager) in k.pagers.iter().filter(|(_, pager)| k.ports.get(pager.told_to).is_some()) {
        found.entry(pager.told_to).or_default().send += 1;
    }
    for (id, port) in k.ports.iter() {
        let found = found.remove(&id).unwrap_or_default();
        if !port.is_alive() {
            // What has become of rights to it is counted no more.
            continue;
        }
        let receive = u32::from(!matches!(port.owner, Owner::Kernel(_) | Owner::Set(..)));
        let counted = Found { receive, send: port.send_rights, send_once: port.send_once_rights };
        assert_eq!(found, counted, "rights of port {id:?}, owner {:?}", port.owner);
        if let Owner::Task(task, name) | Owner::Set(task, name) = port.owner {
            let space = &k.tasks[task].space;
            let slot = space.held_slot(name).expect("the receiver has the name");
            let named = match space.entry(slot).right {
                Right::Port { port, .. } | Right::Set(port) => Some(port),
                _ => None,
            };
            assert_eq!(named, Some(id), "the name of {id:?}");
        }
    }
    found.retain(|port, _| k.ports.get(*port).is_some());
    assert!(found.is_empty(), "rights to no port: {found:?}");
}

/// A port that says where its only send-once right is, is right.
fn carriers(k: &Kernel) {
    let mut found = BTreeSet::new();
    for (id, task) in k.tasks.iter() {
        for (_, entry) in task.space.iter() {
            if let Right::SendOnce { port, .. } = entry.right {
                found.insert((port, Some(id), None));
            }
        }
    }
    for (id, port) in k.ports.iter() {
        for message in port.queue.iter(&k.messages) {
            let envelope = &k.messages[message].envelope;
            for carried in envelope.rights.iter().chain([&envelope.reply]) {
                if let CarriedRight::SendOnce(port, _) = carried.right {
                    found.insert((port, None, Some(id)));
                }
            }
        }
    }
    for (id, port) in k.ports.iter().filter(|(_, port)| port.is_alive() && port.send_once_rights == 1) {
        let said = match port.carrier {
            Carrier::OnItsWay | Carrier::Several => continue,
            Carrier::Task(task) => (id, Some(task), None),
            // In a message that is destroyed.
            Carrier::Queue(queue) if k.ports.get(queue).is_none_or(|queue| !queue.is_alive()) => continue,
            Carrier::Queue(queue) => (id, None, Some(queue)),
        };
        assert!(found.contains(&said), "the send-once right to {id:?} is not with {:?}", port.carrier);
    }
}

/// A message has a descriptor for each enclosure, and for each right that is in none.
fn descriptors(k: &Kernel) {
    for (id, message) in k.messages.iter() {
        let Envelope { rights, enclosures, descriptors, .. } = &message.envelope;
        let in_arrays: usize = enclosures
            .iter()
            .map(|enclosure| match enclosure.content {
                Content::Bytes(_) => 0,
                Content::Rights(count, _) => count,
            })
            .sum();
        let found = rights.len() - in_arrays + enclosures.len();
        assert_eq!(*descriptors as usize, found, "the descriptors of {id:?}");
    }
}

fn count(found: &mut BTreeMap<PortId, Found>, carried: &Carried) {
    match carried.right {
        CarriedRight::Receive(port) => found.entry(port).or_default().receive += 1,
        CarriedRight::Send(port) => found.entry(port).or_default().send += 1,
        CarriedRight::SendOnce(port, _) => found.entry(port).or_default().send_once += 1,
        CarriedRight::Null | CarriedRight::Dead(_) => {}
    }
}

/// The messages of threads that wait to send.
fn waiting_messages(k: &Kernel) -> BTreeSet<MessageId> {
    let message = |state: &State| match state {
        State::Waiting(Wait::Send(Sending { message, .. })) => Some(*message),
        _ => None,
    };
    k.threads.iter().filter_map(|(_, thread)| message(&thread.state)).collect()
}

/// Threads wait only for what is not there; every message is in one queue or with one sender.
fn queues(k: &Kernel) {
    let mut queued = 0;
    for (id, port) in k.ports.iter() {
        let may_wait = matches!(port.at_full, AtFull::Sender | AtFull::Replace);
        assert!(port.senders.is_empty() || may_wait, "a sender waits at {id:?}, which is {:?}", port.at_full);
        assert!(port.senders.is_empty() || !port.has_room(), "a sender waits at {id:?}, which has room");
        let told = port.notices.send_once == 0 && port.notices.interrupts.is_none() && port.pagers.asking.is_empty();
        let nothing_there = port.queue.is_empty() && port.senders.is_empty() && told;
        assert!(port.receivers.is_empty() || nothing_there, "a receiver waits at {id:?}, which has something");
        let messages: alloc::vec::Vec<&Message> = port.queue.iter(&k.messages).map(|id| &k.messages[id]).collect();
        assert_eq!(messages.len() as u32, port.queue.len(), "length of {id:?}");
        queued += messages.len() as u32;
        let cached = messages.iter().filter(|message| message.cached_for.is_some()).count() as u32;
        assert_eq!(cached, port.cached, "cached messages of {id:?}");
        for thread in port.senders.iter(&k.threads) {
            let State::Waiting(Wait::Send(Sending { port, .. })) = &k.threads[thread].state else {
                panic!("{thread:?} is in line at {id:?} but does not wait to send");
            };
            assert_eq!(*port, id, "{thread:?} waits elsewhere");
        }
        for thread in port.receivers.iter(&k.threads) {
            let State::Waiting(Wait::Receive(Receiving { port, .. })) = &k.threads[thread].state else {
                panic!("{thread:?} is in line at {id:?} but does not wait to receive");
            };
            assert_eq!(*port, Some(id), "{thread:?} waits elsewhere");
        }
    }
    let sending = k.threads.iter().filter(|(_, thread)| matches!(thread.state, State::Waiting(Wait::Send(_))));
    let asked = k.messages.iter().filter(|(_, message)| message.request.is_some()).count() as u32;
    let leaving = k.due.len() + k.clearing.doomed.len();
    assert_eq!(queued + asked + sending.count() as u32 + leaving, k.messages.len(), "messages in no queue");
}

/// Members and sets know each other, and what is there to receive is ready for who comes.
fn sets(k: &Kernel) {
    let mut members = 0;
    for (id, set) in k.ports.iter() {
        for member in set.members.iter(&k.ports) {
            members += 1;
            let port = &k.ports[member];
            assert_eq!(port.set, Some(id), "the set of {member:?}");
            match (set.owner, port.owner) {
                (Owner::Set(task, _), Owner::Task(owner, _)) => assert_eq!(owner, task, "the task of {member:?}"),
                (Owner::Dead, Owner::Task(..)) => {}
                owners => panic!("{id:?} has the member {member:?}: {owners:?}"),
            }
            assert!(port.receivers.is_empty(), "a receiver waits at {member:?}, which is in a set");
            let told =
                port.notices.send_once > 0 || port.notices.interrupts.is_some() || !port.pagers.asking.is_empty();
            let something = !port.queue.is_empty() || !port.senders.is_empty() || told;
            assert!(!something || port.place == Place::Ready, "{member:?} has something and is {:?}", port.place);
            assert!(
                !something || set.receivers.is_empty(),
                "a receiver waits at {id:?}, where {member:?} has something"
            );
            let hopes = port.place == Place::Idle && !port.hopes.is_empty();
            assert!(!hopes, "{member:?} hopes for a receiver and is idle");
        }
        for place in [Place::Idle, Place::Ready, Place::Hoping] {
            let list = set.members.at(place);
            assert_eq!(list.len() as usize, list.iter(&k.ports).count(), "{place:?} members of {id:?}");
            assert!(list.iter(&k.ports).all(|member| k.ports[member].place == place), "{place:?} members of {id:?}");
        }
    }
    let in_sets = k.ports.iter().filter(|(_, port)| port.set.is_some()).count();
    assert_eq!(members, in_sets, "members of no set");
}

/// Every notification that is asked for is known to what it is about, and is not due.
fn requests(k: &Kernel) {
    let mut known = 0;
    let mut check = |id: MessageId, about: About| {
        known += 1;
        assert_eq!(k.messages[id].request.map(|request| request.about), Some(about), "what {id:?} is about");
    };
    for (id, task) in k.tasks.iter() {
        for (slot, entry) in task.space.iter() {
            let Some(request) = entry.request else { continue };
            assert!(!matches!(entry.right, Right::Dead(1..)), "a dead name that was not told");
            check(request, About::Name(Holder { task: id, slot }));
        }
    }
    for (id, port) in k.ports.iter() {
        if let Some(request) = port.no_senders {
            let Some(Request { about: About::NoSenders(_, sync), .. }) = k.messages[request].request else {
                panic!("{request:?} is no request to hear of no senders");
            };
            check(request, About::NoSenders(id, sync));
        }
        if let Some(request) = port.destroyed {
            check(request, About::Destroyed(id));
        }
        let told = port.hopes.is_empty() || !port.is_alive() || !receive::takes_one(k, id);
        assert!(told, "{id:?} has room, which is not told");
        for request in port.hopes.iter(&k.messages) {
            let Some(Request { about: About::Name(holder), .. }) = k.messages[request].request else {
                panic!("{request:?} hopes in vain");
            };
            let entry = k.tasks[holder.task].space.entry(holder.slot);
            assert!(matches!(entry.right, Right::Port { port, .. } if port == id), "the name of {request:?}");
        }
    }
    for (id, object) in k.vm.objects.iter() {
        let in_line = k.vm.unmapped.iter(&k.vm.objects).any(|unmapped| unmapped == id);
        let unmapped = object.mappings == 0 && !object.watchers.is_empty();
        assert!(in_line || !unmapped, "nobody is told that {id:?} is not mapped");
        object.watchers.iter(&k.messages).for_each(|request| check(request, About::Unmapped(id)));
    }
    let asked = k.messages.iter().filter(|(_, message)| message.request.is_some()).count();
    assert_eq!(known, asked, "requests about nothing");
}

/// Every thread is in exactly one place.
fn threads(k: &Kernel) {
    let mut places = BTreeMap::<ThreadId, u32>::new();
    let mut at = |id: ThreadId| *places.entry(id).or_default() += 1;
    k.scheduler.iter(&k.threads).for_each(&mut at);
    k.current.into_iter().for_each(&mut at);
    for (_, port) in k.ports.iter() {
        port.senders.iter(&k.threads).chain(port.receivers.iter(&k.threads)).for_each(&mut at);
    }
    for (_, pager) in k.pagers.iter() {
        pager.waiting.iter(&k.threads).for_each(&mut at);
    }
    k.words.iter(&k.threads).for_each(&mut at);
    for (id, thread) in k.threads.iter() {
        let held = thread.suspension.holds();
        assert_eq!(
            thread.suspension.of_task,
            k.tasks[thread.task].suspensions > 0,
            "suspension of {id:?} and its task"
        );
        assert!(!held || !matches!(thread.state, State::Running | State::Ready), "{id:?} runs though suspended");
        if matches!(thread.state, State::Suspended) {
            assert!(held, "{id:?} is stopped by nothing");
            at(id);
        }
        if matches!(thread.state, State::Waiting(Wait::Exception(_))) {
            match thread.reply {
                Reply::Awaited(_) => {
                    let replies = k.ports[thread.kernel_port].send_once_rights;
                    assert!(replies > 0, "{id:?} waits for a reply that cannot come");
                }
                Reply::Lost => {
                    let in_line = k.unhandled.iter(&k.threads).any(|thread| thread == id);
                    assert!(in_line, "nobody sees that the reply for {id:?} is lost");
                }
                Reply::NotAwaited => assert!(k.tasks[thread.task].has_ended(), "{id:?} waits for no reply"),
            }
            at(id);
        }
        if matches!(thread.state, State::Waiting(Wait::Sleep)) {
            assert!(thread.timer.is_some(), "{id:?} sleeps for ever");
            at(id);
        }
    }
    for (id, thread) in k.threads.iter() {
        assert_eq!(places.remove(&id), Some(1), "places of {id:?}, {:?}", thread.state);
        let running = k.current == Some(id);
        assert_eq!(matches!(thread.state, State::Running), running, "{id:?} is {:?}", thread.state);
    }
    assert!(places.is_empty(), "threads that are no more: {places:?}");
    assert!(k.scheduler.is_consistent(), "the bitmap of ready queues");
    let of_tasks: u32 = k.tasks.iter().map(|(_, task)| task.threads.len()).sum();
    assert_eq!(of_tasks, k.threads.len(), "threads without a task");
}

/// Who waits on a word stands where it is looked for, and behind the word's owner, if that is
/// known; and nobody else does.
fn words(k: &Kernel) {
    for id in k.words.iter(&k.threads) {
        assert!(word::at_word(&k.threads, id).is_some(), "{id:?} is in a word's line but waits on none");
    }
    let mut behind = 0;
    for (id, thread) in k.threads.iter() {
        for waiting in thread.waited_for.iter(&k.threads) {
            assert_eq!(k.threads[waiting].waits_for(), Some(id), "the owner that {waiting:?} waits for");
            behind += 1;
        }
        if let Some(waiting) = word::at_word(&k.threads, id) {
            assert!(k.words.has(&k.threads, waiting.key, id), "{id:?} is not in the line of {:?}", waiting.key);
        }
    }
    let owned = k.threads.iter().filter(|(_, thread)| thread.waits_for().is_some()).count();
    assert_eq!(behind, owned, "threads behind no owner");
}

/// Every deadline is its thread's, and none is due before the one above it.
fn timers(k: &Kernel) {
    let places: alloc::vec::Vec<_> = k.timers.iter().collect();
    for (place, (at, thread)) in places.iter().enumerate() {
        let thread = thread.expect("a deadline in use has a thread");
        assert_eq!(k.threads[thread].timer, Some(place as u32), "deadline of {thread:?}");
        assert!(place == 0 || places[(place - 1) / 2].0 <= *at, "order of deadlines");
    }
    let set = k.threads.iter().filter(|(_, thread)| thread.timer.is_some()).count();
    assert_eq!(set, places.len(), "deadlines without a place");
}

/// Names are found from their ports, and marks for cached messages have their message.
fn names(k: &Kernel) {
    let mut held = BTreeMap::new();
    for (_, thread) in k.threads.iter() {
        let State::Waiting(Wait::Send(Sending { message, .. })) = &thread.state else { continue };
        let envelope = &k.messages[*message].envelope;
        for carried in envelope.rights.iter().chain([&envelope.reply, &envelope.destination]) {
            let moves = [Disposition::MoveReceive, Disposition::MoveSend, Disposition::MoveSendOnce];
            if carried.how.is_some_and(|how| moves.contains(&how)) {
                *held.entry((thread.task, carried.from)).or_insert(0) += 1;
            }
        }
    }
    let mut cached: BTreeSet<MessageId> = k
        .messages
        .iter()
        .filter(|(_, message)| message.cached_for.is_some_and(|slot| slot.name != Name::NULL))
        .map(|(id, _)| id)
        .collect();
    for (id, task) in k.tasks.iter() {
        let mut used = 0;
        for (slot, entry) in task.space.iter() {
            used += 1;
            let name = task.space.name(slot);
            assert!(name != Name::NULL && name != Name::DEAD, "a name that means none");
            assert_eq!(entry.held, held.remove(&(id, name)).unwrap_or(0), "holds on {name:?} of {}", task.name);
            for message in cached_for(k, id, name, entry.cached) {
                assert!(cached.remove(&message), "{message:?} is cached for {name:?} twice");
            }
            if let Right::Port { port, .. } = entry.right {
                assert_eq!(task.space.find(port), Some(slot), "{port:?} is found under another name");
            }
            if let Some(port) = entry.listed_at() {
                assert!(is_holder(k, port, Holder { task: id, slot }), "{name:?} is not known to {port:?}");
            }
        }
        assert_eq!(used, task.space.len(), "names of {}", task.name);
    }
    assert!(held.is_empty(), "holds on no name: {held:?}");
    assert!(cached.is_empty(), "cached for no name: {cached:?}");
}

/// The messages in the chain of a name: each has a slot of its own.
fn cached_for(k: &Kernel, task: TaskId, name: Name, first: Option<MessageId>) -> BTreeSet<MessageId> {
    let (mut messages, mut threads) = (BTreeSet::new(), BTreeSet::new());
    let (mut next, mut before) = (first, None);
    while let Some(id) = next {
        let slot = k.messages[id].cached_for.expect("a message in a chain is cached");
        assert_eq!((slot.task, slot.name, slot.previous), (task, name, before), "the slot of {id:?}");
        assert!(threads.insert(slot.thread), "{id:?} is in a slot with another");
        messages.insert(id);
        (before, next) = (next, slot.next);
    }
    messages
}

/// A line is bound while its interrupt port lives, and stands at the port it is told to as
/// long as there is something to tell; I/O ports are claimed while a right stands for them.
fn devices(k: &Kernel) {
    let mut standing = BTreeMap::new();
    for (id, port) in k.ports.iter() {
        if let Owner::Kernel(KernelObject::Interrupt(line)) = port.owner {
            assert_eq!(k.bindings[line.index()].map(|binding| binding.port), Some(id), "the binding of {line:?}");
        }
        let mut next = port.notices.interrupts;
        while let Some(line) = next {
            assert_eq!(standing.insert(line.index(), id), None, "{line:?} stands twice");
            next = k.bindings[line.index()].expect("a line that stands is bound").next;
        }
    }
    let ranges = k.ports.iter().filter_map(|(_, port)| match port.owner {
        Owner::Kernel(KernelObject::IoPorts(range)) => Some(range),
        _ => None,
    });
    let claimed: u64 = ranges.map(|range| u64::from(range.count())).sum();
    assert_eq!(claimed, k.claims.count(), "I/O ports that are claimed");
    for (index, binding) in k.bindings.iter().enumerate() {
        let Some(Binding { port, told_to, count, .. }) = binding else { continue };
        assert!(matches!(k.ports[*port].owner, Owner::Kernel(KernelObject::Interrupt(_))), "the port of line {index}");
        let stands_at = (*count > 0).then_some(*told_to);
        assert_eq!(standing.remove(&index), stands_at, "where line {index} stands");
    }
    assert!(standing.is_empty(), "lines that are not bound stand: {standing:?}");
}

/// A pager's object lives and knows it, and it stands at its port as its waiting threads say:
/// these wait for pages that are not there, and a port with pagers lives.
fn pagers(k: &Kernel) {
    let mut standing = 0;
    for (id, port) in k.ports.iter() {
        for (list, place) in [(&port.pagers.asking, Standing::Asking), (&port.pagers.asked, Standing::Asked)] {
            assert!(list.iter(&k.pagers).all(|id| k.pagers[id].standing == place), "{place:?} pagers at {id:?}");
            assert!(list.iter(&k.pagers).all(|pager| k.pagers[pager].told_to == id), "pagers of {id:?}");
            standing += list.iter(&k.pagers).count();
        }
        if let Owner::Kernel(KernelObject::Pager(pager)) = port.owner {
            assert!(k.pagers.get(pager).is_some(), "{id:?} controls no pager");
        }
    }
    for (id, pager) in k.pagers.iter() {
        let object = &k.vm.objects[pager.object];
        assert_eq!(object.supply, Supply::Pager(id), "the object of {id:?}");
        let (mut waiting, mut untold) = (false, false);
        for thread in pager.waiting.iter(&k.threads) {
            let State::Waiting(Wait::Page(wait)) = &k.threads[thread].state else {
                panic!("{thread:?} is in line at {id:?} but waits for no page");
            };
            assert_eq!(wait.pager, id, "{thread:?} waits elsewhere");
            assert!(k.vm.frame(pager.object, wait.page).is_none(), "{thread:?} waits for a page that is there");
            (waiting, untold) = (true, untold || !wait.told);
        }
        let expected = match (waiting, untold) {
            (false, _) => Standing::Idle,
            (true, true) => Standing::Asking,
            (true, false) => Standing::Asked,
        };
        assert_eq!(pager.standing, expected, "where {id:?} stands");
        standing -= usize::from(waiting);
    }
    assert_eq!(standing, 0, "pagers that stand in vain");
    for (id, object) in k.vm.objects.iter() {
        let Supply::Pager(pager) = object.supply else { continue };
        assert_eq!(k.pagers[pager].object, id, "the pager of {id:?}");
    }
}

/// Whether the entry's neighbours in its port's list agree with it.
fn is_holder(k: &Kernel, port: PortId, holder: Holder) -> bool {
    let entry = |holder: Holder| k.tasks[holder.task].space.entry(holder.slot);
    let before = match entry(holder).previous {
        Some(previous) => entry(previous).next == Some(holder),
        None => k.ports[port].holders == Some(holder),
    };
    before && entry(holder).next.is_none_or(|next| entry(next).previous == Some(holder))
}

/// Frames are free, in one object or several private ones, in one message, or page tables;
/// mappings show what regions say.
fn memory(k: &Kernel) {
    let tables: u64 = k.tasks.iter().map(|(_, task)| task.map.tables).sum();
    let messages: u64 = k.messages.iter().map(|(_, message)| frames_of(message)).sum();
    let resident = resident(k);
    let used = tables + resident + messages;
    assert_eq!(used + k.vm.frames.available(), k.vm.frames.total(), "frames: {tables} + {resident} + {messages} used");
    let mut regions = BTreeMap::<ObjectId, u32>::new();
    let mut bases = BTreeMap::new();
    for (id, task) in k.tasks.iter() {
        let mut end = 0;
        for region in task.map.regions().iter() {
            assert!(region.range.start >= end, "regions of {} overlap", task.name);
            assert!(!region.protection.breaks_w_xor_x() && region.maximum.contains(region.protection));
            end = region.range.end;
            *regions.entry(region.object).or_default() += 1;
            let object = &k.vm.objects[region.object];
            let needed = (region.offset + region.range.size()).div_ceil(portolan_abi::PAGE_SIZE as u64);
            assert!(region.end == End::Anywhere || needed <= object.page_count(), "{region:?} is beyond the end");
            assert!(object.unsealed(region.maximum) == region.maximum, "{region:?} may write to what is sealed");
            let base = (id, region.range.start.wrapping_sub(region.offset));
            if k.vm.objects[region.object].reach == Reach::Private {
                assert_eq!(*bases.entry(region.object).or_insert(base), base, "places of {:?}", region.object);
            }
        }
        assert!(task.map.regions().is_consistent(), "regions of {}", task.name);
        task.map.pmap.visit(&k.vm.memory, &mut |address, mapping| {
            let region = task.map.region_at(address.0).expect("a mapped page is in a region");
            let page = (region.offset + (address.0 - region.range.start)) / portolan_abi::PAGE_SIZE as u64;
            let page = k.vm.page(region.object, page).expect("a mapped page is there");
            assert_eq!(page.frame, mapping.frame, "frame at {address:?}");
            assert!(region.protection.contains(mapping.protection), "protection at {address:?}");
            let writable = mapping.protection.contains(Protection::WRITE);
            assert!(!writable || page.alone, "a shared page at {address:?} is writable");
        });
    }
    let mut stands_for = BTreeMap::<ObjectId, u32>::new();
    for (_, port) in k.ports.iter() {
        if let Owner::Kernel(KernelObject::Memory(object, _)) = port.owner {
            *stands_for.entry(object).or_default() += 1;
        }
        if let Owner::Kernel(KernelObject::Pager(pager)) = port.owner {
            *stands_for.entry(k.pagers[pager].object).or_default() += 1;
        }
    }
    let mut in_messages = BTreeSet::new();
    let kept = k.messages.iter().flat_map(|(_, message)| message::copies(&message.envelope.enclosures));
    for copy in kept.chain(message::copies(&k.clearing.contents.enclosures)) {
        assert!(in_messages.insert(copy.object()), "{copy:?} is in two messages");
    }
    let dead: BTreeSet<ObjectId> = k.vm.dead.iter(&k.vm.objects).collect();
    for (id, object) in k.vm.objects.iter() {
        assert_eq!(in_messages.remove(&id), object.detached, "whether {id:?} is in a message");
        assert_eq!(regions.remove(&id).unwrap_or(0), object.mappings, "mappings of {id:?}");
        assert_eq!(stands_for.remove(&id).unwrap_or(0), object.ports, "ports of {id:?}");
        let told = object.watchers.is_empty() && !k.vm.unmapped.iter(&k.vm.objects).any(|unmapped| unmapped == id);
        let nobodys = object.mappings == 0 && object.ports == 0 && !object.detached && told;
        assert_eq!(nobodys, dead.contains(&id), "whether {id:?} is nobody's");
        assert!(object.ports == 0 || object.reach == Reach::Shared, "{id:?} has a port and is private");
    }
    assert!(regions.is_empty() && stands_for.is_empty() && in_messages.is_empty(), "objects that are no more");
}

/// How many frames objects have. A node is held by what points to it, a frame by the leaves
/// that have it; and those of a shared object are its own.
fn resident(k: &Kernel) -> u64 {
    let mut nodes = BTreeMap::<NodeId, u32>::new();
    let mut frames = BTreeMap::<Frame, u32>::new();
    for (id, object) in k.vm.objects.iter() {
        object.root().into_iter().for_each(|root| *nodes.entry(root).or_default() += 1);
        let size = object.root().map_or(Size::default(), |root| k.vm.nodes[root].size());
        assert_eq!(object.paid(), size, "pages and nodes of {id:?}");
        assert!(
            object.reach == Reach::Private || is_alone(k, object.root()),
            "{id:?} is shared, and so are its frames"
        );
    }
    for (id, node) in k.vm.nodes.iter() {
        node.children().for_each(|child| *nodes.entry(child).or_default() += 1);
        node.frames().for_each(|frame| *frames.entry(frame).or_default() += 1);
        let below = node.children().map(|child| k.vm.nodes[child].size());
        let pages = Size { pages: node.frames().count() as u64, nodes: 1 };
        assert_eq!(node.size(), below.fold(pages, |sum, size| sum + size), "what is in {id:?}");
    }
    for (id, node) in k.vm.nodes.iter() {
        assert_eq!(nodes.remove(&id), Some(node.holders()), "holders of {id:?}");
    }
    assert!(nodes.is_empty(), "nodes that are no more: {nodes:?}");
    frames.retain(|frame, _| k.vm.frames.holders(*frame).is_some());
    for (frame, found) in &frames {
        assert_eq!(k.vm.frames.holders(*frame), Some(*found), "holders of {frame:?}");
    }
    frames.len() as u64
}

/// No device memory is claimed twice, or taken.
fn device_memory(k: &Kernel) {
    let mut claimed: alloc::vec::Vec<_> = k.vm.objects.iter().filter_map(|(_, object)| object.device()).collect();
    claimed.sort_by_key(|range| range.start);
    assert!(claimed.windows(2).all(|pair| pair[0].end <= pair[1].start), "device memory: {claimed:?}");
    let is_taken = |range: &FrameRange| k.vm.taken.iter().any(|taken| device::overlap(*taken, *range));
    assert!(!claimed.iter().any(is_taken), "device memory {claimed:?} is something else's");
}

/// Whether all frames below a node belong to nobody else.
fn is_alone(k: &Kernel, node: Option<NodeId>) -> bool {
    let Some(node) = node.map(|id| &k.vm.nodes[id]) else { return true };
    let mut frames = node.frames();
    node.size().pages == 0
        || node.holders() == 1
            && frames.all(|frame| matches!(k.vm.frames.holders(frame), None | Some(1)))
            && node.children().all(|child| is_alone(k, Some(child)))
}

fn frames_of(message: &Message) -> u64 {
    match &message.body {
        Body::Inline(_) => 0,
        Body::Frames(frames) => frames.len() as u64,
    }
}

/// Every account has paid for what it should have, and no more.
fn money(k: &Kernel) {
    let mut due = BTreeMap::<AccountId, [u64; 3]>::new();
    let mut add = |account: AccountId, amounts: [u64; 3]| {
        for (sum, amount) in due.entry(account).or_default().iter_mut().zip(amounts) {
            *sum += amount;
        }
    };
    for (_, task) in k.tasks.iter() {
        let regions = task.map.regions().len() as u64;
        let threads = u64::from(task.threads.len());
        let memory = TASK_COST + task.space.charged() + regions * REGION_COST + threads * THREAD_COST;
        add(task.account, [memory, 0, task.map.tables]);
    }
    for (_, port) in k.ports.iter().filter(|(id, _)| *id != k.host_port && *id != k.host_privileged) {
        add(port.account, [PORT_COST, 1, 0]);
    }
    for (_, message) in k.messages.iter() {
        add(message.account, [MESSAGE_COST + message.heap, 0, frames_of(message)]);
    }
    for (_, pager) in k.pagers.iter() {
        add(pager.account, [PAGER_COST, 0, 0]);
    }
    for (_, object) in k.vm.objects.iter() {
        add(object.account(), [object.charged(), 0, object.paid().pages]);
    }
    for (_, parent, limits, _) in k.accounts.iter() {
        if let Some(parent) = parent {
            add(parent, [limits.memory, limits.ports, limits.frames]);
        }
    }
    for (id, _, limits, used) in k.accounts.iter() {
        let used = [used.memory, used.ports, used.frames];
        assert_eq!(used, due.remove(&id).unwrap_or_default(), "account {id:?}");
        let limits = [limits.memory, limits.ports, limits.frames];
        assert!(used.iter().zip(limits).all(|(used, limit)| *used <= limit), "account {id:?} is overdrawn");
    }
    assert!(due.is_empty(), "accounts that are no more: {due:?}");
}
