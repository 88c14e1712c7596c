//! Lesson 14: shared memory by a name, as POSIX has it.
//!
//! The producer makes an object, writes, and ends; the consumer, which may only read it, reads what
//! outlived the producer. A semaphore with a name says when there is something to read. Neither has ever heard
//! of the other, and no call but the opening and the unlinking asks a server.

use crate::stage::{Outcome, Stage, Wrong, check, say};
use portolan_posix::mapping::{PROT_READ, PROT_WRITE, map_shared};
use portolan_posix::shared_memory::{O_CREAT, O_EXCL, O_RDONLY, O_RDWR};
use portolan_posix::{Errno, close, ftruncate, sem_open, sem_unlink, shm_open, shm_unlink};

/// The object.
const MEMORY: &[u8] = b"/lecture";
/// The semaphore that is posted when it has been written.
const WRITTEN: &[u8] = b"/written";

const SIZE: usize = 4096;
const TEXT: &str = "Writing to shared memory";

pub(crate) fn role(role: &str) -> Outcome {
    match role {
        "producer" => producer(),
        _ => consumer(),
    }
}

fn producer() -> Outcome {
    let object = shm_open(MEMORY, O_CREAT | O_EXCL | O_RDWR, 0o666)?;
    ftruncate(object, SIZE as i64)?;
    let memory = map_shared(object, SIZE as u64, PROT_READ | PROT_WRITE)?;
    close(object)?;
    memory.write(0, TEXT.as_bytes())?;
    say!("writes `{TEXT}`");
    sem_open(WRITTEN, O_CREAT, 0o600, 0)?.semaphore().post()?;
    Ok(())
}

fn consumer() -> Outcome {
    sem_open(WRITTEN, O_CREAT, 0o600, 0)?.semaphore().wait()?;
    let object = shm_open(MEMORY, O_RDONLY, 0)?;
    let refused = map_shared(object, SIZE as u64, PROT_READ | PROT_WRITE).err();
    check(refused == Some(Errno::Access), "what is open for reading can be written")?;
    say!("mapping it for writing: EACCES");
    let memory = map_shared(object, SIZE as u64, PROT_READ)?;
    let mut bytes = [0; TEXT.len()];
    memory.read(0, &mut bytes)?;
    check(bytes == TEXT.as_bytes(), "the consumer reads what the producer did not write")?;
    say!("reads `{}`", core::str::from_utf8(&bytes).unwrap_or("?"));
    shm_unlink(MEMORY)?;
    sem_unlink(WRITTEN)?;
    say!("takes the names away");
    Ok(())
}

pub(crate) fn lead(mut stage: Stage) -> Outcome {
    stage.enter("consumer", "")?;
    stage.enter("producer", "")?;
    stage.wait_until_playing(0)?;
    match shm_open(MEMORY, O_RDONLY, 0) {
        Err(Errno::NoEntry) => Ok(()),
        _ => Err(Wrong::Result("an object has a name that was taken away")),
    }
}
