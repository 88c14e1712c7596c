//! POSIX shared memory: names kept by a server, and everything else done with the kernel.

use crate::asm;
use crate::case::{Failure, Verdict};
use crate::fork::{LIMITS, code_of};
use crate::hand::Hand;
use crate::protocol::{self, routine};
use crate::space::{self, PAGE};
use crate::system::System;
use crate::{cases, holds, same};
use alloc::format;
use alloc::vec::Vec;
use portolan::abi::exception::Kind;
use portolan::abi::memory_object::{Mapper, SIZE_MAX, Seals};
use portolan::abi::message::SecurityToken;
use portolan::abi::task::SpecialPort;
use portolan::interface::MsgRpc;
use portolan::thread::spawn;
use portolan::{
    Capacity, Decision, Error, Exception, MemoryObject, Message, Notice, Protection, ReceiveRight, Right, SendRight,
    Task, host, name_server,
};
use portolan_posix::descriptor::{self, OPEN_MAX, Status, adopt, mappers, seal, seals};
use portolan_posix::mapping::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MS_ASYNC,
    MS_INVALIDATE, MS_SYNC, PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE,
};
use portolan_posix::shared_memory::{O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, Space, list};
use portolan_posix::{
    Descriptor, Errno, Result, close, fstat, ftruncate, getegid, geteuid, getgid, getuid, mmap, mprotect, msync,
    munmap, posix_fallocate, sem_open, shm_open, shm_unlink, umask,
};

cases!("posix_shm":
    a_consumer_reads_what_a_producer_wrote,
    a_name_is_as_posix_says,
    an_object_is_opened_as_the_flags_say,
    an_object_is_truncated_when_it_is_opened,
    a_mode_says_who_may_open,
    a_umask_takes_from_the_mode,
    only_its_owner_takes_a_name_away,
    an_unlinked_object_lives_while_it_is_used,
    the_lowest_descriptor_is_given,
    a_task_has_so_many_descriptors,
    a_server_has_so_many_objects,
    what_is_not_open_is_refused,
    a_status_is_the_objects,
    a_size_has_limits,
    what_an_object_grows_by_is_zero,
    an_object_does_not_shrink_under_a_mapping,
    a_page_beyond_the_end_is_another_fault,
    what_cannot_be_mapped_is_refused,
    a_descriptor_allows_what_it_was_opened_for,
    a_fixed_mapping_replaces_what_is_there,
    a_hint_is_taken_if_it_can_be,
    a_private_mapping_is_a_copy,
    fresh_memory_is_inherited_as_it_is_mapped,
    a_mapping_outlives_its_descriptor,
    a_part_of_a_mapping_is_unmapped,
    a_protection_is_set_page_by_page,
    a_synchronised_range_must_be_mapped,
    a_child_has_the_same_open,
    a_killed_server_is_another_with_no_names,
    a_stopped_server_is_an_error,
    objects_are_listed,
    what_is_allocated_is_there,
    an_allocation_that_fails_has_not_grown_the_object,
    an_allocation_keeps_what_a_peer_grows_by,
    a_server_without_memory_says_so,
    clients_cannot_spend_what_the_server_needs,
    a_request_that_is_lost_is_an_error,
    a_sealed_object_keeps_its_size,
    a_sealed_object_is_not_written,
    an_object_is_a_right_in_a_message,
    a_right_to_something_else_is_refused,
    who_maps_an_object_is_told,
    whoever_asks_is_told_of_the_last_unmapping,
);

const SHARED_READ_WRITE: (u32, u32) = (PROT_READ | PROT_WRITE, MAP_SHARED);
const SHARED_READ: (u32, u32) = (PROT_READ, MAP_SHARED);

#[track_caller]
fn of(errno: Errno) -> Failure {
    Failure::new(&format!("{errno:?}"))
}

/// A new object of this size.
fn made(name: &[u8], size: u64) -> core::result::Result<Descriptor, Failure> {
    let object = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0o600).map_err(of)?;
    ftruncate(object, size as i64).map_err(of)?;
    Ok(object)
}

/// Maps the first bytes of an object anywhere.
fn map(object: Descriptor, size: u64, (protection, flags): (u32, u32)) -> Result<u64> {
    mmap(0, size, protection, flags, object.0, 0)
}

/// Who this task acts for.
fn become_user(user: u32, group: u32) -> Verdict {
    let host = SendRight::from_name(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0]);
    Ok(host::set_security_token(&host, Task::this(), SecurityToken { user, group })?)
}

fn a_consumer_reads_what_a_producer_wrote() -> Verdict {
    let _system = System::start()?;
    let producer = shm_open(b"/lecture", O_CREAT | O_RDWR, 0o666).map_err(of)?;
    same!(ftruncate(producer, 4096), Ok(()));
    asm::store(map(producer, 4096, SHARED_READ_WRITE).map_err(of)?, 42);
    let consumer = || {
        let object = shm_open(b"/lecture", O_RDONLY, 0)?;
        let address = map(object, 4096, SHARED_READ)?;
        shm_unlink(b"/lecture")?;
        Ok::<_, Errno>(asm::load(address) as u32)
    };
    same!(code_of(LIMITS, || consumer().unwrap_or(1))?, 42);
    same!(shm_open(b"/lecture", O_RDONLY, 0), Err(Errno::NoEntry));
    Ok(())
}

fn a_name_is_as_posix_says() -> Verdict {
    let _system = System::start()?;
    let long = [&b"/"[..], &[b'n'; 256]].concat();
    for (name, why) in [
        (&b""[..], Errno::Invalid),
        (b"/", Errno::Invalid),
        (b"/.", Errno::Invalid),
        (b"..", Errno::Invalid),
        (b"/a/b", Errno::Invalid),
        (b"/a/", Errno::Invalid),
        (&long, Errno::NameTooLong),
    ] {
        same!(shm_open(name, O_CREAT | O_RDWR, 0o600), Err(why));
        same!(shm_unlink(name), Err(why));
    }
    let object = shm_open(&long[..256], O_CREAT | O_RDWR, 0o600).map_err(of)?;
    let again = shm_open(&long[1..256], O_RDWR, 0).map_err(of)?;
    same!(fstat(object), fstat(again));
    same!(shm_open(b"\xff\x01", O_CREAT | O_RDWR, 0o600).map(drop), Ok(()));
    same!(shm_unlink(b"//\xff\x01"), Ok(()));
    Ok(())
}

fn an_object_is_opened_as_the_flags_say() -> Verdict {
    let _system = System::start()?;
    same!(shm_open(b"/a", O_RDWR, 0o600), Err(Errno::NoEntry));
    same!(shm_open(b"/a", O_RDWR | O_EXCL, 0o600), Err(Errno::NoEntry));
    same!(shm_unlink(b"/a"), Err(Errno::NoEntry));
    for flags in [1, 3, O_CREAT | 1, O_CREAT | O_RDWR | 0o20] {
        same!(shm_open(b"/a", flags, 0o600), Err(Errno::Invalid));
    }
    let object = made(b"/a", 1)?;
    same!(shm_open(b"/a", O_CREAT | O_EXCL | O_RDWR, 0o600), Err(Errno::Exists));
    let again = shm_open(b"/a", O_CREAT | O_RDONLY, 0o777).map_err(of)?;
    same!(fstat(again), fstat(object));
    Ok(())
}

fn an_object_is_truncated_when_it_is_opened() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 2 * PAGE)?;
    let size = || fstat(object).map(|status| status.size);
    let address = map(object, 2 * PAGE, SHARED_READ_WRITE).map_err(of)?;
    asm::store(address, 7);
    // Nobody loses a page that he maps.
    same!(shm_open(b"/a", O_RDWR | O_TRUNC, 0), Err(Errno::Busy));
    same!((size(), asm::load(address)), (Ok(2 * PAGE), 7));
    same!(munmap(address, 2 * PAGE), Ok(()));
    // For reading as well, as on Linux.
    same!(shm_open(b"/a", O_RDONLY | O_TRUNC, 0).map(drop), Ok(()));
    same!(size(), Ok(0));
    same!(ftruncate(object, 8), Ok(()));
    same!(asm::load(map(object, 8, SHARED_READ).map_err(of)?), 0);
    Ok(())
}

fn a_mode_says_who_may_open() -> Verdict {
    let _system = System::start()?;
    let opened = |flags| shm_open(b"/a", flags, 0o777).map(drop);
    become_user(5, 50)?;
    same!(umask(0), 0o022);
    // Who makes it may open it for anything, whatever the mode says of later.
    same!(shm_open(b"/b", O_CREAT | O_RDWR, 0).map(drop), Ok(()));
    same!(shm_open(b"/b", O_RDONLY, 0), Err(Errno::Access));
    same!(shm_open(b"/a", O_CREAT | O_RDWR, 0o640).map(drop), Ok(()));
    same!((opened(O_RDWR), opened(O_RDWR | O_TRUNC)), (Ok(()), Ok(())));
    become_user(6, 50)?;
    same!((opened(O_RDONLY), opened(O_RDWR)), (Ok(()), Err(Errno::Access)));
    same!((opened(O_RDONLY | O_TRUNC), opened(O_CREAT | O_RDWR)), (Err(Errno::Access), Err(Errno::Access)));
    same!(opened(O_CREAT | O_EXCL | O_RDONLY), Err(Errno::Exists));
    become_user(6, 60)?;
    same!((opened(O_RDONLY), opened(O_RDWR)), (Err(Errno::Access), Err(Errno::Access)));
    become_user(0, 0)?;
    same!((opened(O_RDWR), shm_open(b"/b", O_RDWR, 0).map(drop)), (Ok(()), Ok(())));
    Ok(())
}

fn a_umask_takes_from_the_mode() -> Verdict {
    let _system = System::start()?;
    become_user(7, 70)?;
    same!((getuid(), geteuid(), getgid(), getegid()), (Ok(7), Ok(7), Ok(70), Ok(70)));
    same!(code_of(LIMITS, || getuid().unwrap_or(0) + getgid().unwrap_or(0))?, 77);
    let mode = |name: &[u8], bits| shm_open(name, O_CREAT | O_RDWR, bits).and_then(fstat);
    let usual = mode(b"/a", 0o7666).map_err(of)?;
    same!((usual.mode, usual.owner), (0o644, SecurityToken { user: 7, group: 70 }));
    same!((umask(0o7077), umask(0)), (0o022, 0o077));
    same!(mode(b"/b", 0o1777).map(|status| status.mode), Ok(0o777));
    // An object that is there keeps what it has.
    same!(mode(b"/a", 0o777), Ok(usual));
    Ok(())
}

fn only_its_owner_takes_a_name_away() -> Verdict {
    let _system = System::start()?;
    become_user(5, 50)?;
    made(b"/a", 0)?;
    made(b"/b", 0)?;
    become_user(6, 50)?;
    same!(shm_unlink(b"/a"), Err(Errno::Access));
    become_user(5, 51)?;
    same!((shm_unlink(b"/a"), shm_unlink(b"/a")), (Ok(()), Err(Errno::NoEntry)));
    become_user(0, 0)?;
    same!(shm_unlink(b"/b"), Ok(()));
    Ok(())
}

fn an_unlinked_object_lives_while_it_is_used() -> Verdict {
    let _system = System::start()?;
    let old = made(b"/a", PAGE)?;
    let address = map(old, PAGE, SHARED_READ_WRITE).map_err(of)?;
    asm::store(address, 1);
    same!(shm_unlink(b"/a"), Ok(()));
    same!(shm_open(b"/a", O_RDWR, 0), Err(Errno::NoEntry));
    let new = made(b"/a", PAGE)?;
    holds!(fstat(new).map_err(of)?.id != fstat(old).map_err(of)?.id);
    let other = map(new, PAGE, SHARED_READ_WRITE).map_err(of)?;
    same!((asm::load(other), asm::load(address)), (0, 1));
    asm::store(other, 2);
    // Mapped, and neither open nor named.
    same!((close(old), shm_unlink(b"/a"), close(new)), (Ok(()), Ok(()), Ok(())));
    same!((asm::load(other), asm::load(address)), (2, 1));
    Ok(())
}

fn the_lowest_descriptor_is_given() -> Verdict {
    let _system = System::start()?;
    let open = || shm_open(b"/a", O_CREAT | O_RDWR, 0o600).map(|descriptor| descriptor.0);
    same!((open(), open(), open()), (Ok(3), Ok(4), Ok(5)));
    same!((close(Descriptor(4)), close(Descriptor(4))), (Ok(()), Err(Errno::BadDescriptor)));
    // What has failed has taken none.
    same!(shm_open(b"/b", O_RDWR, 0), Err(Errno::NoEntry));
    same!((open(), open()), (Ok(4), Ok(6)));
    Ok(())
}

fn a_task_has_so_many_descriptors() -> Verdict {
    let _system = System::start()?;
    let mut open = Vec::new();
    let full = loop {
        match shm_open(b"/a", O_CREAT | O_RDWR, 0o600) {
            Ok(descriptor) => open.push(descriptor),
            Err(errno) => break errno,
        }
    };
    same!((full, open.len()), (Errno::DescriptorsFull, OPEN_MAX - 3));
    same!(shm_open(b"/b", O_CREAT | O_RDWR, 0o600), Err(Errno::DescriptorsFull));
    same!(close(open[7]), Ok(()));
    same!(shm_open(b"/b", O_RDWR, 0o600), Err(Errno::NoEntry));
    same!(shm_open(b"/a", O_RDWR, 0), Ok(open[7]));
    Ok(())
}

fn a_server_has_so_many_objects() -> Verdict {
    let _system = System::start()?;
    let open = |number: usize| shm_open(format!("/{number}").as_bytes(), O_CREAT | O_RDWR, 0o600).and_then(close);
    let count = (0..1000).take_while(|number| open(*number).is_ok()).count();
    same!((count, open(count)), (256, Err(Errno::TablesFull)));
    same!(shm_unlink(b"/9"), Ok(()));
    same!((open(count), list(Space::Memory).map(|all| all.len())), (Ok(()), Ok(256)));
    Ok(())
}

fn what_is_not_open_is_refused() -> Verdict {
    let bad = Err(Errno::BadDescriptor);
    for number in [-1, 0, 2, 3, 4, 1000, i32::MAX, i32::MIN] {
        let descriptor = Descriptor(number);
        same!((close(descriptor), ftruncate(descriptor, 0), fstat(descriptor).map(drop)), (bad, bad, bad));
        same!(map(descriptor, PAGE, SHARED_READ).map(drop), bad);
    }
    Ok(())
}

fn a_status_is_the_objects() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 3 * PAGE + 5)?;
    let status = fstat(object).map_err(of)?;
    let owner = SecurityToken { user: 0, group: 0 };
    same!(status, Status { id: status.id, size: 3 * PAGE + 5, blocks: 0, mode: 0o600, owner });
    asm::store(map(object, PAGE, SHARED_READ_WRITE).map_err(of)? + 8, 1);
    same!(fstat(object), Ok(Status { blocks: 8, ..status }));
    Ok(())
}

fn a_size_has_limits() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 0)?;
    let reader = shm_open(b"/a", O_RDONLY, 0).map_err(of)?;
    for (length, why) in [(-1, Errno::Invalid), (i64::MIN, Errno::Invalid), (i64::MAX, Errno::FileTooBig)] {
        same!(ftruncate(object, length), Err(why));
    }
    same!(ftruncate(object, SIZE_MAX as i64 + 1), Err(Errno::FileTooBig));
    same!(ftruncate(reader, 0), Err(Errno::Invalid));
    same!(fstat(object).map(|status| status.size), Ok(0));
    same!(ftruncate(object, SIZE_MAX as i64), Ok(()));
    same!(fstat(reader).map(|status| status.size), Ok(SIZE_MAX));
    Ok(())
}

fn what_an_object_grows_by_is_zero() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 2 * PAGE)?;
    let address = map(object, 2 * PAGE, SHARED_READ_WRITE).map_err(of)?;
    (0..2 * PAGE).step_by(8).for_each(|at| asm::store(address + at, u64::MAX));
    same!(munmap(address, 2 * PAGE), Ok(()));
    same!((ftruncate(object, 16), ftruncate(object, 3 * PAGE as i64)), (Ok(()), Ok(())));
    let address = map(object, 3 * PAGE, SHARED_READ).map_err(of)?;
    same!((asm::load(address), asm::load(address + 8)), (u64::MAX, u64::MAX));
    holds!(space::is_zero(address + 16, 3 * PAGE - 16));
    Ok(())
}

fn an_object_does_not_shrink_under_a_mapping() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 4 * PAGE)?;
    let whole = map(object, 4 * PAGE, SHARED_READ_WRITE).map_err(of)?;
    same!((ftruncate(object, PAGE as i64), ftruncate(object, 3 * PAGE as i64 + 1)), (Err(Errno::Busy), Ok(())));
    same!(munmap(whole + 2 * PAGE, 2 * PAGE), Ok(()));
    same!((ftruncate(object, PAGE as i64), ftruncate(object, 2 * PAGE as i64)), (Err(Errno::Busy), Ok(())));
    // Who maps what is not there has agreed to lose it.
    let beyond = map(object, 4 * PAGE, SHARED_READ).map_err(of)?;
    same!((munmap(whole, 2 * PAGE), ftruncate(object, 1)), (Ok(()), Ok(())));
    same!(asm::load(beyond), 0);
    Ok(())
}

fn a_page_beyond_the_end_is_another_fault() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 0)?;
    let address = map(object, 2 * PAGE, SHARED_READ).map_err(of)?;
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    Task::this().set_special_port(SpecialPort::Exception, Right::MakeSend(&port))?;
    let hand = Hand::here()?;
    let reads = hand.load(address + PAGE)?;
    let mut told = port.receive()?;
    let exception = Exception::of(&mut told)?;
    same!((exception.kind, exception.code), (Kind::BadAccess, Error::BeyondEnd as u32));
    same!(exception.address, address + PAGE);
    // Whoever handles it can make the page, and the thread goes on.
    same!(ftruncate(object, 2 * PAGE as i64), Ok(()));
    answer(told, Decision::GoOn)?;
    same!(reads.finish()?.value()?, 0);
    let writes = hand.store(address, 1)?;
    let mut told = port.receive()?;
    let exception = Exception::of(&mut told)?;
    same!((exception.kind, exception.code), (Kind::BadAccess, Error::ProtectionFailure as u32));
    exception.thread.terminate()?;
    drop(told);
    holds!(!writes.is_done()?);
    Ok(())
}

fn answer(mut told: portolan::Received, decision: Decision) -> Verdict {
    match decision.answer() {
        portolan::Answer::Reply(reply) => Ok(told.answer(reply)?),
        _ => Err(Failure::new("a decision is an answer")),
    }
}

fn what_cannot_be_mapped_is_refused() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", PAGE)?.0;
    let read = PROT_READ;
    for (address, length, protection, flags, offset, why) in [
        (0, 0, read, MAP_SHARED, 0, Errno::Invalid),
        (0, PAGE, read, MAP_SHARED, 1, Errno::Invalid),
        (0, PAGE, read, MAP_SHARED, -4096, Errno::Invalid),
        (0, PAGE, read, 0, 0, Errno::Invalid),
        (0, PAGE, read, 4, 0, Errno::Invalid),
        (0, PAGE, read, MAP_ANONYMOUS, 0, Errno::Invalid),
        (0, PAGE, 8, MAP_SHARED, 0, Errno::Invalid),
        (PAGE + 1, PAGE, read, MAP_SHARED | MAP_FIXED, 0, Errno::Invalid),
        (PAGE + 1, PAGE, read, MAP_SHARED | MAP_FIXED_NOREPLACE, 0, Errno::Invalid),
        (0, PAGE, read, MAP_SHARED | 0x4_0000, 0, Errno::NotSupported),
        (0, PAGE, PROT_WRITE | PROT_EXEC, MAP_SHARED, 0, Errno::NotSupported),
        (0, PAGE, read, MAP_SHARED, i64::MAX - 4095, Errno::Overflow),
        (0, 2 * PAGE, read, MAP_PRIVATE, i64::MAX - 4095, Errno::Overflow),
        (0, PAGE, read, MAP_SHARED, SIZE_MAX as i64, Errno::NoDevice),
        (0, u64::MAX, read, MAP_SHARED, 0, Errno::NoMemory),
        (0, u64::MAX, read, MAP_PRIVATE | MAP_ANONYMOUS, 0, Errno::NoMemory),
        (0, 1 << 50, read, MAP_PRIVATE | MAP_ANONYMOUS, 0, Errno::NoMemory),
        (0, PAGE, read, MAP_SHARED | MAP_FIXED, 0, Errno::NoMemory),
        (1 << 47, PAGE, read, MAP_SHARED | MAP_FIXED, 0, Errno::NoMemory),
    ] {
        same!((flags, mmap(address, length, protection, flags, object, offset)), (flags, Err(why)));
    }
    let address = map(Descriptor(object), PAGE, SHARED_READ).map_err(of)?;
    let taken = mmap(address, PAGE, read, MAP_SHARED | MAP_FIXED_NOREPLACE, object, 0);
    same!(taken, Err(Errno::Exists));
    Ok(())
}

fn a_descriptor_allows_what_it_was_opened_for() -> Verdict {
    let _system = System::start()?;
    let writer = made(b"/a", PAGE)?;
    let reader = shm_open(b"/a", O_RDONLY, 0).map_err(of)?;
    same!(map(reader, PAGE, SHARED_READ_WRITE), Err(Errno::Access));
    same!(map(reader, PAGE, (PROT_WRITE, MAP_SHARED_VALIDATE)), Err(Errno::Access));
    let address = map(reader, PAGE, SHARED_READ).map_err(of)?;
    same!(mprotect(address, PAGE, PROT_READ | PROT_WRITE), Err(Errno::Access));
    same!(mprotect(address, PAGE, PROT_READ | PROT_EXEC), Ok(()));
    same!(map(reader, PAGE, (PROT_READ | PROT_EXEC, MAP_SHARED)).map(drop), Ok(()));
    // A copy is the reader's own.
    asm::store(map(reader, PAGE, (PROT_READ | PROT_WRITE, MAP_PRIVATE)).map_err(of)?, 9);
    let window = map(writer, PAGE, SHARED_READ).map_err(of)?;
    same!(mprotect(window, PAGE, PROT_READ | PROT_WRITE), Ok(()));
    same!(asm::load(window), 0);
    asm::store(window, 3);
    same!(asm::load(address), 3);
    Ok(())
}

fn a_fixed_mapping_replaces_what_is_there() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 2 * PAGE)?;
    let shown = map(object, 2 * PAGE, SHARED_READ_WRITE).map_err(of)?;
    space::mark(shown, 2, 70);
    let old = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).map_err(of)?;
    space::mark(old, 3, 50);
    let flags = MAP_SHARED | MAP_FIXED;
    // What is refused has replaced nothing.
    same!(mmap(old + PAGE, PAGE, PROT_READ, flags, object.0, 1), Err(Errno::Invalid));
    same!(mmap(old + PAGE, PAGE, PROT_READ, flags, 99, 0), Err(Errno::BadDescriptor));
    holds!(space::is_marked(old, 3, 50));
    same!(mmap(old + PAGE, PAGE, PROT_READ, flags, object.0, PAGE as i64), Ok(old + PAGE));
    same!((asm::load(old), asm::load(old + PAGE), asm::load(old + 2 * PAGE)), (50, 71, 52));
    same!(mmap(old + PAGE, PAGE, PROT_READ, flags | MAP_ANONYMOUS, -1, 0), Ok(old + PAGE));
    same!((asm::load(old + PAGE), asm::load(shown + PAGE)), (0, 71));
    same!(munmap(old, 3 * PAGE), Ok(()));
    same!(mmap(old, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, object.0, 0), Ok(old));
    Ok(())
}

fn a_hint_is_taken_if_it_can_be() -> Verdict {
    let anonymous = |address, flags| mmap(address, PAGE, PROT_READ, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    let wanted = 0x7000_0000_0000;
    same!(anonymous(wanted + 5, 0), Ok(wanted));
    let other = anonymous(wanted, 0).map_err(of)?;
    holds!(other != wanted);
    holds!(anonymous(u64::MAX, 0).is_ok());
    Ok(())
}

fn a_private_mapping_is_a_copy() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 2 * PAGE)?;
    let shared = map(object, 2 * PAGE, SHARED_READ_WRITE).map_err(of)?;
    space::mark(shared, 2, 10);
    let private = map(object, 2 * PAGE, (PROT_READ | PROT_WRITE, MAP_PRIVATE)).map_err(of)?;
    asm::store(private, 99);
    asm::store(shared + PAGE, 98);
    same!((asm::load(shared), asm::load(private), asm::load(private + PAGE)), (10, 99, 11));
    let second = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, object.0, PAGE as i64).map_err(of)?;
    same!(asm::load(second), 98);
    // It keeps its bytes when the object loses them.
    same!((munmap(shared, 2 * PAGE), ftruncate(object, 0)), (Ok(()), Ok(())));
    same!((asm::load(private + PAGE), asm::load(second)), (11, 98));
    Ok(())
}

fn fresh_memory_is_inherited_as_it_is_mapped() -> Verdict {
    let fresh = |flags| mmap(0, PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    let (shared, private) = (fresh(MAP_SHARED).map_err(of)?, fresh(MAP_PRIVATE).map_err(of)?);
    asm::store(private, 1);
    let code = code_of(LIMITS, || {
        let seen = asm::load(private) as u32;
        asm::store(private, 5);
        asm::store(shared, 6);
        seen
    })?;
    same!((code, asm::load(private), asm::load(shared)), (1, 1, 6));
    Ok(())
}

fn a_mapping_outlives_its_descriptor() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", PAGE)?;
    let address = map(object, PAGE, SHARED_READ_WRITE).map_err(of)?;
    same!(close(object), Ok(()));
    asm::store(address, 5);
    let again = shm_open(b"/a", O_RDONLY, 0).map_err(of)?;
    same!(asm::load(map(again, PAGE, SHARED_READ).map_err(of)?), 5);
    Ok(())
}

fn a_part_of_a_mapping_is_unmapped() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 3 * PAGE)?;
    let address = map(object, 3 * PAGE, SHARED_READ_WRITE).map_err(of)?;
    space::mark(address, 3, 1);
    for (at, length) in [(address + 1, PAGE), (address, 0), (1 << 47, PAGE), (address, u64::MAX), (0, PAGE)] {
        same!(munmap(at, length), Err(Errno::Invalid));
    }
    holds!(space::is_marked(address, 3, 1));
    // Rounded up to pages; and again, which is no error.
    same!((munmap(address + PAGE, 1), munmap(address + PAGE, PAGE)), (Ok(()), Ok(())));
    same!((asm::load(address), asm::load(address + 2 * PAGE)), (1, 3));
    same!(msync(address, 3 * PAGE, MS_SYNC), Err(Errno::NoMemory));
    same!(munmap(address, 3 * PAGE), Ok(()));
    Ok(())
}

fn a_protection_is_set_page_by_page() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 3 * PAGE)?;
    let address = map(object, 3 * PAGE, SHARED_READ_WRITE).map_err(of)?;
    for (at, length, protection, why) in [
        (address + 1, PAGE, PROT_READ, Errno::Invalid),
        (address, PAGE, 8, Errno::Invalid),
        (address, PAGE, PROT_WRITE | PROT_EXEC, Errno::NotSupported),
        (address, 4 * PAGE, PROT_READ, Errno::NoMemory),
        (address, u64::MAX, PROT_READ, Errno::NoMemory),
        (1 << 47, PAGE, PROT_READ, Errno::NoMemory),
    ] {
        same!(mprotect(at, length, protection), Err(why));
    }
    same!((mprotect(address, 0, PROT_READ), mprotect(address + PAGE, 1, PROT_NONE)), (Ok(()), Ok(())));
    asm::store(address, 1);
    asm::store(address + 2 * PAGE, 1);
    same!(Task::this().region(address + PAGE)?.protection, 0);
    same!(mprotect(address + PAGE, PAGE, PROT_READ | PROT_WRITE), Ok(()));
    asm::store(address + PAGE, 1);
    Ok(())
}

fn a_synchronised_range_must_be_mapped() -> Verdict {
    let address = mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0).map_err(of)?;
    for flags in [0, MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE] {
        same!(msync(address, 2 * PAGE, flags), Ok(()));
    }
    for (at, length, flags, why) in [
        (address + 8, PAGE, MS_SYNC, Errno::Invalid),
        (address, PAGE, MS_SYNC | MS_ASYNC, Errno::Invalid),
        (address, PAGE, 8, Errno::Invalid),
        (address, 3 * PAGE, MS_SYNC, Errno::NoMemory),
        (0, PAGE, MS_SYNC, Errno::NoMemory),
        (address, u64::MAX - PAGE, MS_SYNC, Errno::NoMemory),
    ] {
        same!(msync(at, length, flags), Err(why));
    }
    same!(mprotect(address + PAGE, PAGE, PROT_NONE), Ok(()));
    same!((msync(address, 2 * PAGE, MS_SYNC), msync(address, 0, MS_SYNC)), (Ok(()), Ok(())));
    Ok(())
}

fn a_child_has_the_same_open() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", PAGE)?;
    let address = map(object, PAGE, SHARED_READ_WRITE).map_err(of)?;
    let child = || {
        let again = map(object, PAGE, SHARED_READ_WRITE)?;
        asm::store(again, asm::load(address) + 1);
        ftruncate(object, 2 * PAGE as i64)?;
        close(object)?;
        Ok::<_, Errno>(3)
    };
    asm::store(address, 6);
    same!(code_of(LIMITS, || child().unwrap_or(0))?, 3);
    same!((asm::load(address), fstat(object).map(|status| status.size)), (7, Ok(2 * PAGE)));
    Ok(())
}

fn a_killed_server_is_another_with_no_names() -> Verdict {
    let system = System::start()?;
    let old = made(b"/a", PAGE)?;
    let address = map(old, PAGE, SHARED_READ_WRITE).map_err(of)?;
    asm::store(address, 8);
    system.servers.kill("shm")?;
    // Its port lives on: who asks now is answered by the next one.
    same!(shm_open(b"/a", O_RDWR, 0), Err(Errno::NoEntry));
    let new = made(b"/a", PAGE)?;
    holds!(fstat(new).map_err(of)?.id != fstat(old).map_err(of)?.id);
    // What was open is what it was.
    same!(ftruncate(old, 2 * PAGE as i64), Ok(()));
    let again = map(old, 2 * PAGE, SHARED_READ_WRITE).map_err(of)?;
    same!((asm::load(again), asm::load(again + PAGE)), (8, 0));
    asm::store(again, 9);
    same!((asm::load(address), asm::load(map(new, PAGE, SHARED_READ).map_err(of)?)), (9, 0));
    Ok(())
}

fn a_stopped_server_is_an_error() -> Verdict {
    let failed = Err(Errno::InputOutput);
    // Without any system there is none.
    same!((shm_open(b"/a", O_RDWR, 0).map(drop), shm_unlink(b"/a")), (failed, failed));
    let system = System::start()?;
    let object = made(b"/a", PAGE)?;
    system.servers.stop("shm")?;
    same!((shm_open(b"/a", O_RDWR, 0).map(drop), shm_unlink(b"/a")), (failed, failed));
    same!(list(Space::Memory).map(drop), failed);
    // Whatever has failed has taken no descriptor.
    same!(map(object, PAGE, SHARED_READ_WRITE).map(drop), Ok(()));
    system.servers.start("shm")?;
    same!(made(b"/a", PAGE)?, Descriptor(object.0 + 1));
    Ok(())
}

fn objects_are_listed() -> Verdict {
    let _system = System::start()?;
    same!(list(Space::Memory), Ok(Vec::new()));
    become_user(3, 30)?;
    for number in (0..20).rev() {
        same!(close(made(format!("/{number:02}").as_bytes(), number)?), Ok(()));
    }
    let object = shm_open(b"/05", O_RDWR, 0).map_err(of)?;
    map(object, 5, SHARED_READ).map_err(of)?;
    let all = list(Space::Memory).map_err(of)?;
    same!(all.len(), 20);
    for (number, entry) in (0_u64..).zip(&all) {
        let name = format!("{number:02}");
        same!(entry.name.bytes(), Some(name.as_bytes()));
        same!((entry.size, entry.mode, entry.owner.user, entry.owner.group), (number, 0o600, 3, 30));
        same!(entry.mappings, u32::from(number == 5));
    }
    same!(fstat(object).map(|status| status.id), Ok(all[5].id));
    same!(list(Space::Semaphores), Ok(Vec::new()));
    Ok(())
}

fn what_is_allocated_is_there() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 5)?;
    let reader = shm_open(b"/a", O_RDONLY, 0).map_err(of)?;
    for (offset, length, why) in [
        (-1, 1, Errno::Invalid),
        (0, 0, Errno::Invalid),
        (0, -1, Errno::Invalid),
        (i64::MAX, i64::MAX, Errno::FileTooBig),
        (SIZE_MAX as i64, 1, Errno::FileTooBig),
    ] {
        same!(posix_fallocate(object, offset, length), Err(why));
    }
    same!(posix_fallocate(reader, 0, 1), Err(Errno::BadDescriptor));
    same!(posix_fallocate(Descriptor(99), 0, 1), Err(Errno::BadDescriptor));
    let shape = || fstat(object).map(|status| (status.size, status.blocks / 8));
    same!(posix_fallocate(object, PAGE as i64 - 1, 2), Ok(()));
    same!(shape(), Ok((PAGE + 1, 2)));
    same!((posix_fallocate(object, 0, 8), shape()), (Ok(()), Ok((PAGE + 1, 2))));
    same!((posix_fallocate(object, 5 * PAGE as i64, 1), shape()), (Ok(()), Ok((5 * PAGE + 1, 3))));
    let address = map(object, 6 * PAGE, SHARED_READ).map_err(of)?;
    holds!(space::is_zero(address, 6 * PAGE));
    Ok(())
}

fn an_allocation_that_fails_has_not_grown_the_object() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", PAGE)?;
    same!(posix_fallocate(object, 0, 1 << 30), Err(Errno::NoSpace));
    same!(fstat(object).map(|status| status.size), Ok(PAGE));
    // What it took it has given back.
    same!(posix_fallocate(object, 0, 16 * PAGE as i64), Ok(()));
    Ok(())
}

fn an_allocation_keeps_what_a_peer_grows_by() -> Verdict {
    const ROUNDS: i64 = 200;
    let _system = System::start()?;
    let object = made(b"/a", 0)?;
    let peer = spawn(move || (0..ROUNDS).try_for_each(|round| posix_fallocate(object, 2 * round + 1, 1)))?;
    let mut seen = 0;
    for round in 0..ROUNDS {
        same!(posix_fallocate(object, 2 * round, 1), Ok(()));
        let size = fstat(object).map_err(of)?.size;
        holds!(size >= seen && size > 2 * round as u64, size, seen);
        seen = size;
    }
    same!(peer.join()?, Ok(()));
    same!(fstat(object).map(|status| status.size), Ok(2 * ROUNDS as u64));
    Ok(())
}

fn a_server_without_memory_says_so() -> Verdict {
    let _system = System::start()?;
    let hungry = made(b"/hungry", 0)?;
    // Frames, until there are none.
    let taken = (0..4096).take_while(|page| posix_fallocate(hungry, page * PAGE as i64, 1).is_ok()).count();
    holds!(taken > 50 && taken < 4096, taken);
    same!(sem_open(b"/s", O_CREAT, 0o600, 1).map(drop), Err(Errno::NoSpace));
    // What was refused is not there, and what is given back can be had again.
    same!(sem_open(b"/s", 0, 0, 0).map(drop), Err(Errno::NoEntry));
    same!(ftruncate(hungry, 0), Ok(()));
    same!(sem_open(b"/s", O_CREAT, 0o600, 1).map(drop), Ok(()));
    Ok(())
}

fn clients_cannot_spend_what_the_server_needs() -> Verdict {
    let system = System::start()?;
    let server = system.servers.info("shm")?.task;
    let hungry = made(b"/hungry", 0)?;
    // All frames; then, of pages that are far from each other, all memory of the kernel's.
    for distance in [PAGE as i64, 1 << 30] {
        let taken = (0..4096).take_while(|number| posix_fallocate(hungry, number * distance, 1).is_ok()).count();
        holds!(taken < 4096, taken);
    }
    for number in 0..300 {
        let name = format!("/{number}");
        let opened = shm_open(name.as_bytes(), O_CREAT | O_RDWR, 0o600).and_then(close);
        holds!(matches!(opened, Ok(()) | Err(Errno::NoSpace | Errno::TablesFull)), number, opened);
        same!(shm_open(b"/hungry", O_RDONLY, 0).and_then(close), Ok(()));
    }
    holds!(list(Space::Memory).is_ok());
    same!((shm_unlink(b"/hungry"), shm_unlink(b"/hungry")), (Ok(()), Err(Errno::NoEntry)));
    same!(system.servers.info("shm")?.task, server);
    Ok(())
}

fn a_request_that_is_lost_is_an_error() -> Verdict {
    // A server that dies with the request in its hand is told by the kernel.
    let server = ReceiveRight::allocate(Capacity::DEFAULT)?;
    name_server::adopt(server.make_send()?);
    let opens = spawn(|| shm_open(b"/a", O_RDWR, 0))?;
    drop(server.receive()?);
    same!(opens.join()?, Err(Errno::InputOutput));
    let unlinks = spawn(|| shm_unlink(b"/a"))?;
    let asked = server.receive()?;
    drop(server);
    drop(asked);
    same!(unlinks.join()?, Err(Errno::InputOutput));
    Ok(())
}

fn a_sealed_object_keeps_its_size() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 2 * PAGE)?;
    let reader = shm_open(b"/a", O_RDONLY, 0).map_err(of)?;
    same!(seal(reader, Seals::GROW), Err(Errno::Permission));
    same!(seal(Descriptor(9), Seals::GROW), Err(Errno::BadDescriptor));
    same!((seal(object, Seals::SHRINK), seals(reader)), (Ok(()), Ok(Seals::SHRINK)));
    same!((ftruncate(object, PAGE as i64), ftruncate(object, 3 * PAGE as i64)), (Err(Errno::Permission), Ok(())));
    same!(shm_open(b"/a", O_RDWR | O_TRUNC, 0), Err(Errno::Permission));
    same!((seal(object, Seals::GROW), seals(object)), (Ok(()), Ok(Seals::SHRINK | Seals::GROW)));
    same!(ftruncate(object, 4 * PAGE as i64), Err(Errno::Permission));
    same!(posix_fallocate(object, 0, 4 * PAGE as i64), Err(Errno::Permission));
    same!((posix_fallocate(object, 0, 3 * PAGE as i64), ftruncate(object, 3 * PAGE as i64)), (Ok(()), Ok(())));
    Ok(())
}

fn a_sealed_object_is_not_written() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", PAGE)?;
    let writable = map(object, PAGE, SHARED_READ_WRITE).map_err(of)?;
    asm::store(writable, 4);
    same!(seal(object, Seals::WRITE), Err(Errno::Busy));
    same!((munmap(writable, PAGE), seal(object, Seals::WRITE)), (Ok(()), Ok(())));
    same!(map(object, PAGE, SHARED_READ_WRITE), Err(Errno::Permission));
    let again = shm_open(b"/a", O_RDWR, 0).map_err(of)?;
    same!(map(again, PAGE, SHARED_READ_WRITE), Err(Errno::Permission));
    let address = map(object, PAGE, SHARED_READ).map_err(of)?;
    same!((mprotect(address, PAGE, PROT_READ | PROT_WRITE), asm::load(address)), (Err(Errno::Access), 4));
    // A copy is another's memory.
    asm::store(map(object, PAGE, (PROT_READ | PROT_WRITE, MAP_PRIVATE)).map_err(of)?, 5);
    Ok(())
}

fn an_object_is_a_right_in_a_message() -> Verdict {
    let _system = System::start()?;
    let named = made(b"/a", PAGE)?;
    asm::store(map(named, PAGE, SHARED_READ_WRITE).map_err(of)?, 11);
    same!(shm_unlink(b"/a"), Ok(()));
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    let _registration = name_server::register("inbox", &port.make_send()?)?;
    let child = || {
        let to = name_server::look_up("inbox").map_err(|_| Errno::Fault)?;
        // It takes no name, and no server, to give it on; or to give on less of it.
        let whole = descriptor::object(named)?;
        let part = whole.derive(Protection::READ).map_err(|_| Errno::Fault)?;
        to.send(Message::new(0).right(whole.into_right()).right(part.into_right())).map_err(|_| Errno::Fault)?;
        Ok::<_, Errno>(1)
    };
    same!(code_of(LIMITS, || child().unwrap_or(0))?, 1);
    let mut message = port.receive()?;
    let [writer, reader] = [0, 1].map(|number| message.take_send(number).map(MemoryObject::from_right));
    let (writer, reader) = (adopt(writer?).map_err(of)?, adopt(reader?).map_err(of)?);
    same!(close(named), Ok(()));
    same!(map(reader, PAGE, SHARED_READ_WRITE), Err(Errno::Access));
    same!(map(reader, PAGE, (PROT_EXEC, MAP_SHARED)), Err(Errno::Access));
    same!((ftruncate(reader, 0), ftruncate(writer, 2 * PAGE as i64)), (Err(Errno::Invalid), Ok(())));
    same!(asm::load(map(reader, 2 * PAGE, SHARED_READ).map_err(of)?), 11);
    let owner = SecurityToken::default();
    same!(fstat(reader), Ok(Status { id: 0, size: 2 * PAGE, blocks: 8, mode: 0, owner }));
    Ok(())
}

fn a_right_to_something_else_is_refused() -> Verdict {
    // Asked as an object, this port would never answer.
    let port = ReceiveRight::allocate(Capacity::DEFAULT)?;
    same!(adopt(MemoryObject::from_right(port.make_send()?)), Err(Errno::NotMappable));
    same!(adopt(MemoryObject::from_right(Task::this().right().try_clone()?)), Err(Errno::NotMappable));
    // Neither has taken a descriptor.
    same!(adopt(MemoryObject::create(PAGE)?), Ok(Descriptor(3)));
    Ok(())
}

fn who_maps_an_object_is_told() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", 4 * PAGE)?;
    same!(mappers(object), Ok(Vec::new()));
    let me = Task::this().info()?.id;
    let address = map(object, 3 * PAGE, SHARED_READ).map_err(of)?;
    same!(mappers(object), Ok(alloc::vec![Mapper { task: me, size: 3 * PAGE }]));
    // A child has what is shared; it ends, and has it no more.
    let seen = code_of(LIMITS, || mappers(object).map_or(0, |all| all.len() as u32))?;
    same!((seen, mappers(object).map(|all| all.len())), (2, Ok(1)));
    same!((munmap(address, 3 * PAGE), mappers(object)), (Ok(()), Ok(Vec::new())));
    Ok(())
}

fn whoever_asks_is_told_of_the_last_unmapping() -> Verdict {
    let _system = System::start()?;
    let object = made(b"/a", PAGE)?;
    let port = ReceiveRight::allocate(Capacity::Bounded(1))?;
    let address = map(object, PAGE, SHARED_READ).map_err(of)?;
    descriptor::object(object).map_err(of)?.request_unmapped(Right::MakeSendOnce(&port))?;
    // A child that has inherited the mapping keeps it a while longer.
    same!(code_of(LIMITS, || u32::from(munmap(address, PAGE).is_ok()))?, 1);
    same!(port.receive_within(0).err(), Some(Error::ReceiveTimedOut));
    same!(munmap(address, PAGE), Ok(()));
    same!(port.receive()?.notice(), Some(Notice::Unmapped));
    Ok(())
}
