//! Names chosen, changed, listed and destroyed, and rights taken from other tasks.

use crate::case::Verdict;
use crate::message::{Message, receive, receive_now};
use crate::notice::{self, Notice};
use crate::peer::Peer;
use crate::{cases, holds, port, same};
use alloc::vec::Vec;
use portolan::abi::call::Call;
use portolan::abi::message::Options;
use portolan::abi::{Capacity, Disposition, Error, Name, RightKind};
use portolan::{classic, trap};

cases!("names":
    a_chosen_name_is_the_ports,
    a_chosen_name_in_use_is_refused,
    a_far_name_is_too_dear,
    the_kernel_does_not_deal_out_a_chosen_name_again,
    a_child_can_have_its_parents_names,
    a_renamed_port_gets_its_messages,
    a_right_renamed_while_its_message_is_cached,
    notices_tell_the_new_name,
    all_names_are_listed,
    destroying_a_name_ends_all_of_it,
    references_are_counted_by_kind,
    a_right_is_extracted_from_a_peer,
    a_receive_right_is_extracted_with_its_messages,
    a_debugger_gets_between_two_tasks,
    sequence_and_make_send_count_are_set,
);

fn me() -> Name {
    trap::task_self()
}

fn a_chosen_name_is_the_ports() -> Verdict {
    let chosen = Name::new(300, 77);
    classic::mach_port_allocate_name(me(), RightKind::Receive, chosen)?;
    same!(port::kind(chosen)?.receive, 1);
    same!(classic::mach_port_insert_right(me(), chosen, chosen, Disposition::MakeSend)?, chosen);
    Message::copy_to(chosen).id(5).send_now()?;
    let message = receive_now(chosen)?;
    same!((message.header.id, message.header.local), (5, chosen));
    port::destroy(chosen)?;
    port::deallocate(chosen)?;
    same!(port::kind(chosen), Err(Error::InvalidName));
    classic::mach_port_allocate_name(me(), RightKind::DeadName, chosen)?;
    same!(port::kind(chosen)?.dead, 1);
    Ok(())
}

fn a_chosen_name_in_use_is_refused() -> Verdict {
    let taken = port::open(Capacity::DEFAULT)?;
    for wish in [taken, Name::new(taken.index(), taken.generation() + 1)] {
        same!(classic::mach_port_allocate_name(me(), RightKind::Receive, wish), Err(Error::NameExists));
    }
    for wish in [Name::DEAD, Name::new(0, 1)] {
        same!(classic::mach_port_allocate_name(me(), RightKind::Receive, wish), Err(Error::InvalidValue));
    }
    same!(classic::mach_port_allocate(me(), RightKind::Send).err(), Some(Error::InvalidValue));
    Ok(())
}

fn a_far_name_is_too_dear() -> Verdict {
    let before = portolan::Task::this().info()?.used.memory;
    let far = Name::new(Name::INDEX_MAX, 0);
    same!(classic::mach_port_allocate_name(me(), RightKind::Receive, far), Err(Error::ResourceShortage));
    // What asking itself may have added: a name or two for replies.
    holds!(portolan::Task::this().info()?.used.memory < before + 4096);
    Ok(())
}

fn the_kernel_does_not_deal_out_a_chosen_name_again() -> Verdict {
    let port = trap::port_allocate(Capacity::DEFAULT)?;
    port::deallocate(port)?;
    // Before what the slot has next, and after it.
    let (past, future) = (Name::new(port.index(), port.generation()), Name::new(port.index(), port.generation() + 9));
    for chosen in [past, future] {
        classic::mach_port_allocate_name(me(), RightKind::Receive, chosen)?;
        port::deallocate(chosen)?;
    }
    for _ in 0..2000 {
        let name = trap::port_allocate(Capacity::DEFAULT)?;
        holds!(name != past && name != future, name);
        port::deallocate(name)?;
    }
    Ok(())
}

fn a_child_can_have_its_parents_names() -> Verdict {
    let peer = Peer::start()?;
    let taken: Vec<u32> = classic::port_names(peer.task)?.iter().map(|one| one.name.index()).collect();
    let mut given = 0;
    for _ in 0..100 {
        let name = port::open(Capacity::DEFAULT)?;
        let there = classic::mach_port_insert_right(peer.task, name, name, Disposition::CopySend);
        if taken.contains(&name.index()) {
            same!(there, Err(Error::NameExists));
        } else {
            same!(there, Ok(name));
            given += 1;
        }
    }
    holds!(given > 80, given);
    Ok(())
}

fn a_renamed_port_gets_its_messages() -> Verdict {
    let old = port::open(Capacity::DEFAULT)?;
    Message::copy_to(old).id(1).send_now()?;
    let new = Name::new(400, 3);
    classic::port_rename(me(), old, new)?;
    same!(port::kind(old), Err(Error::InvalidName));
    same!(Message::copy_to(old).send_now(), Err(Error::SendInvalidPort));
    Message::copy_to(new).id(2).send_now()?;
    for id in 1..3 {
        let message = receive_now(new)?;
        same!((message.header.id, message.header.local), (id, new));
    }
    same!(classic::port_rename(me(), new, new), Err(Error::NameExists));
    same!(classic::port_rename(me(), old, new), Err(Error::InvalidName));
    Ok(())
}

fn a_right_renamed_while_its_message_is_cached() -> Verdict {
    let old = port::open(Capacity::Zero)?;
    same!(Message::copy_to(old).id(1).send_with(Options::SEND_NOTIFY, 0), Err(Error::SendWillNotify));
    let new = Name::new(400, 3);
    classic::port_rename(me(), old, new)?;
    same!(Message::copy_to(new).send_with(Options::SEND_NOTIFY, 0), Err(Error::SendNotifyInProgress));
    same!(receive_now(new)?.header.id, 1);
    same!(notice::now()?, Notice::accepted(new));
    Ok(())
}

fn notices_tell_the_new_name() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    let new = Name::new(400, 3);
    peer.deallocate(there)?;
    classic::port_rename(me(), right, new)?;
    same!(notice::next()?, Notice::dead(new));
    Ok(())
}

fn all_names_are_listed() -> Verdict {
    let before = classic::port_names(me())?.len();
    let mut made = Vec::new();
    for _ in 0..200 {
        made.push(trap::port_allocate(Capacity::DEFAULT)?);
    }
    let names = classic::port_names(me())?;
    same!(names.len(), before + made.len());
    for name in made {
        same!(names.iter().filter(|one| (one.name, one.receive) == (name, 1)).count(), 1);
    }
    Ok(())
}

fn destroying_a_name_ends_all_of_it() -> Verdict {
    let peer = Peer::start()?;
    let port = port::open(Capacity::DEFAULT)?;
    port::mod_refs(port, RightKind::Send, 9)?;
    let there = peer.give(port, Disposition::CopySend)?;
    classic::mach_port_destroy(me(), port)?;
    same!(port::kind(port), Err(Error::InvalidName));
    same!(peer.port_type(there)?.dead, 1);
    same!(classic::mach_port_destroy(me(), port), Err(Error::InvalidName));
    Ok(())
}

fn references_are_counted_by_kind() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    port::mod_refs(port, RightKind::Send, 3)?;
    same!(classic::mach_port_get_refs(me(), port, RightKind::Receive)?, 1);
    same!(classic::mach_port_get_refs(me(), port, RightKind::Send)?, 4);
    same!(classic::mach_port_get_refs(me(), port, RightKind::DeadName)?, 0);
    same!(classic::mach_port_get_refs(me(), Name(7777), RightKind::Send).err(), Some(Error::InvalidName));
    Ok(())
}

fn a_right_is_extracted_from_a_peer() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    same!(classic::mach_port_extract_right(peer.task, there, Disposition::MakeSend)?, right);
    same!(port::kind(right)?.send, 2);
    let once = classic::mach_port_extract_right(peer.task, there, Disposition::MakeSendOnce)?;
    same!(port::kind(once)?.send_once, 1);
    let wrong = classic::mach_port_extract_right(peer.task, there, Disposition::CopySend);
    same!(wrong, Err(Error::InvalidRight));
    same!(peer.port_type(there)?.receive, 1);
    Ok(())
}

fn a_receive_right_is_extracted_with_its_messages() -> Verdict {
    let peer = Peer::start()?;
    let (there, right) = peer.open(Capacity::DEFAULT)?;
    Message::copy_to(right).id(8).send_now()?;
    same!(classic::port_extract_receive(peer.task, there)?, right);
    same!(receive_now(right)?.header.id, 8);
    same!(peer.port_type(there).err(), Some(Error::InvalidName));
    same!((port::kind(right)?.receive, port::kind(right)?.send), (1, 1));
    Ok(())
}

/// Interposition, as Draves describes it: one's own port under another's name.
fn a_debugger_gets_between_two_tasks() -> Verdict {
    let peer = Peer::start()?;
    let server = port::open(Capacity::DEFAULT)?;
    let there = peer.give(server, Disposition::MakeSend)?;
    let real = classic::port_extract_send(peer.task, there)?;
    same!(real, server);
    let between = trap::port_allocate(Capacity::DEFAULT)?;
    same!(classic::mach_port_insert_right(peer.task, there, between, Disposition::MakeSend)?, there);
    peer.hand.send(&Message::copy_to(there).id(6), crate::message::NONE, 0)?.finish()?.result?;
    same!(receive(between)?.header.id, 6);
    holds!(crate::message::is_empty(server));
    same!(peer.hand.call(Call::PortDeallocate(there))?.result, Ok(()));
    Ok(())
}

fn sequence_and_make_send_count_are_set() -> Verdict {
    let port = port::open(Capacity::DEFAULT)?;
    classic::mach_port_set_seqno(me(), port, 41)?;
    classic::mach_port_set_mscount(me(), port, 7)?;
    Message::copy_to(port).send_now()?;
    same!(receive_now(port)?.trailer.sequence, 41);
    same!((port::status(port)?.sequence, port::status(port)?.make_send_count), (42, 7));
    Ok(())
}
