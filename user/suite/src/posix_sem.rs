//! Named semaphores: found by name, and then words that tasks share.

use crate::case::{Failure, Verdict};
use crate::fork::{LIMITS, code_of};
use crate::protocol::{self, routine};
use crate::system::System;
use crate::{cases, holds, same};
use alloc::format;
use portolan::abi::message::SecurityToken;
use portolan::interface::MsgRpc;
use portolan::thread::spawn;
use portolan::{SendRight, Task, host};
use portolan_posix::shared_memory::{O_CREAT, O_EXCL, O_RDWR, Space, list};
use portolan_posix::{Errno, Time, VALUE_MAX, sem_open, sem_unlink, shm_open, shm_unlink, umask};

cases!("posix_sem":
    tasks_meet_at_a_name,
    a_semaphore_is_opened_as_the_flags_say,
    a_value_is_set_once,
    it_is_mapped_once_in_a_task,
    an_unlinked_semaphore_lives_while_it_is_open,
    a_mode_says_who_may_open,
    memory_of_the_same_name_is_something_else,
    it_outlives_its_server,
);

#[track_caller]
fn of(errno: Errno) -> Failure {
    Failure::new(&format!("{errno:?}"))
}

fn tasks_meet_at_a_name() -> Verdict {
    const ROUNDS: u32 = 50;
    let _system = System::start()?;
    let ping = sem_open(b"/ping", O_CREAT | O_EXCL, 0o600, 0).map_err(of)?;
    let pong = sem_open(b"/pong", O_CREAT | O_EXCL, 0o600, 0).map_err(of)?;
    let main =
        spawn(move || (0..ROUNDS).try_for_each(|_| ping.semaphore().post().and_then(|()| pong.semaphore().wait())))?;
    let child = || {
        let (ping, pong) = (sem_open(b"/ping", 0, 0, 0)?, sem_open(b"/pong", 0, 0, 0)?);
        for _ in 0..ROUNDS {
            ping.semaphore().timed_wait(Time::after_ms(5000))?;
            pong.semaphore().post()?;
        }
        Ok::<_, Errno>(ROUNDS)
    };
    same!(code_of(LIMITS, || child().unwrap_or(0))?, ROUNDS);
    same!(main.join()?, Ok(()));
    Ok(())
}

fn a_semaphore_is_opened_as_the_flags_say() -> Verdict {
    let _system = System::start()?;
    let open = |name: &[u8], flags| sem_open(name, flags, 0o600, 1).map(drop);
    same!((open(b"/s", 0), sem_unlink(b"/s")), (Err(Errno::NoEntry), Err(Errno::NoEntry)));
    same!((open(b"/s", O_EXCL), open(b"/s", O_RDWR)), (Err(Errno::NoEntry), Err(Errno::Invalid)));
    same!((open(b"/s", O_CREAT), open(b"/s", O_CREAT | O_EXCL)), (Ok(()), Err(Errno::Exists)));
    same!((open(b"/s", O_CREAT), open(b"s", 0)), (Ok(()), Ok(())));
    for (name, why) in [(&b""[..], Errno::Invalid), (b"/a/b", Errno::Invalid), (&[b'n'; 256], Errno::NameTooLong)] {
        same!((open(name, O_CREAT), sem_unlink(name)), (Err(why), Err(why)));
    }
    Ok(())
}

fn a_value_is_set_once() -> Verdict {
    let _system = System::start()?;
    same!(sem_open(b"/s", O_CREAT, 0o600, VALUE_MAX + 1).map(drop), Err(Errno::Invalid));
    same!(sem_open(b"/s", 0, 0, 0).map(drop), Err(Errno::NoEntry));
    let first = sem_open(b"/s", O_CREAT, 0o600, 2).map_err(of)?;
    let again = sem_open(b"/s", O_CREAT, 0o600, 7).map_err(of)?;
    same!((first.semaphore().wait(), again.semaphore().value()), (Ok(()), 1));
    drop((first, again));
    // It is there, open or not, with what it was left with.
    let later = sem_open(b"/s", O_CREAT, 0o600, 7).map_err(of)?;
    same!((later.semaphore().value(), later.semaphore().post(), later.semaphore().value()), (1, Ok(()), 2));
    let most = sem_open(b"/most", O_CREAT, 0o600, VALUE_MAX).map_err(of)?;
    same!((most.semaphore().value(), most.semaphore().post()), (VALUE_MAX, Err(Errno::Overflow)));
    Ok(())
}

fn it_is_mapped_once_in_a_task() -> Verdict {
    let _system = System::start()?;
    let first = sem_open(b"/s", O_CREAT, 0o600, 1).map_err(of)?;
    let (second, other) = (sem_open(b"/s", 0, 0, 0).map_err(of)?, sem_open(b"/t", O_CREAT, 0o600, 1).map_err(of)?);
    same!(first.address(), second.address());
    holds!(other.address() != first.address());
    drop(first);
    same!(second.semaphore().value(), 1);
    let address = second.address();
    same!(Task::this().region(address)?.address, address);
    drop(second);
    holds!(Task::this().region(address).is_ok_and(|region| region.address != address));
    // A child has it at the same place, and it is the same.
    let code = code_of(LIMITS, || u32::from(other.semaphore().post().is_ok()))?;
    same!((code, other.semaphore().value()), (1, 2));
    Ok(())
}

fn an_unlinked_semaphore_lives_while_it_is_open() -> Verdict {
    let _system = System::start()?;
    let old = sem_open(b"/s", O_CREAT, 0o600, 1).map_err(of)?;
    same!(sem_unlink(b"/s"), Ok(()));
    let new = sem_open(b"/s", O_CREAT | O_EXCL, 0o600, 5).map_err(of)?;
    holds!(old.address() != new.address());
    same!((old.semaphore().value(), new.semaphore().value()), (1, 5));
    same!((old.semaphore().wait(), new.semaphore().value()), (Ok(()), 5));
    Ok(())
}

fn a_mode_says_who_may_open() -> Verdict {
    let _system = System::start()?;
    let host = SendRight::from_name(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0]);
    let become_user = |user, group| host::set_security_token(&host, Task::this(), SecurityToken { user, group });
    umask(0);
    become_user(5, 50)?;
    for (name, mode) in [(b"/a", 0o640), (b"/b", 0o660)] {
        same!(sem_open(name, O_CREAT, mode, 1).map(drop), Ok(()));
    }
    become_user(6, 50)?;
    // To wait is to write.
    same!(sem_open(b"/a", 0, 0, 0).map(drop), Err(Errno::Access));
    same!((sem_open(b"/b", 0, 0, 0).map(drop), sem_unlink(b"/b")), (Ok(()), Err(Errno::Access)));
    Ok(())
}

fn memory_of_the_same_name_is_something_else() -> Verdict {
    let _system = System::start()?;
    let semaphore = sem_open(b"/a", O_CREAT | O_EXCL, 0o600, 3).map_err(of)?;
    same!(shm_open(b"/a", O_RDWR, 0), Err(Errno::NoEntry));
    same!(shm_open(b"/a", O_CREAT | O_EXCL | O_RDWR, 0o600).map(drop), Ok(()));
    same!((list(Space::Memory).map(|all| all.len()), list(Space::Semaphores).map(|all| all.len())), (Ok(1), Ok(1)));
    same!((shm_unlink(b"/a"), semaphore.semaphore().value()), (Ok(()), 3));
    same!((sem_unlink(b"/a"), list(Space::Semaphores).map(|all| all.len())), (Ok(()), Ok(0)));
    Ok(())
}

fn it_outlives_its_server() -> Verdict {
    let system = System::start()?;
    let old = sem_open(b"/s", O_CREAT, 0o600, 1).map_err(of)?;
    system.servers.kill("shm")?;
    same!(sem_open(b"/s", 0, 0, 0).map(drop), Err(Errno::NoEntry));
    // One of the next server's is another, in this task as well.
    let new = sem_open(b"/s", O_CREAT, 0o600, 4).map_err(of)?;
    same!((old.semaphore().wait(), old.semaphore().value(), new.semaphore().value()), (Ok(()), 0, 4));
    system.servers.stop("shm")?;
    same!(sem_open(b"/s", 0, 0, 0).map(drop), Err(Errno::InputOutput));
    same!((new.semaphore().wait(), new.semaphore().value()), (Ok(()), 3));
    Ok(())
}
