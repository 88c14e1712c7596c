//! Tasks and threads: `task_create`, `thread_create` and their kin, of Mach 2.5 and Mach 3.
//!
//! Each takes the port of a task or a thread. Neighbours: `portolan::abi::task`, `portolan::abi::thread`.

use super::code::classic as number;
use super::item::sendable;
use super::{Out, array};
use crate::process::half_of_what_is_left;
use alloc::vec::Vec;
use core::ffi::c_int;
use portolan::abi::message::Descriptor;
use portolan::abi::registers::Registers;
use portolan::abi::task::{self, CreateFlags, REGISTERED_PORTS, THREADS_LISTED, ThreadFlags};
use portolan::abi::thread::{self, PRIORITY_DEFAULT};
use portolan::abi::vm::USER_START;
use portolan::thread::sleep_ms;
use portolan::{Error, MsgRpc, Name, Result, trap};

/// What a new task is called.
const NAME: &[u8] = b"child";

fn create(parent: Name, inherit: bool) -> Result<Name> {
    let mut name = [0; 32];
    name[..NAME.len()].copy_from_slice(NAME);
    let flags = if inherit { CreateFlags::INHERIT } else { CreateFlags::empty() };
    let limits = half_of_what_is_left(parent)?;
    let nothing = Descriptor::port(Name::NULL, 0);
    Ok(task::create(&MsgRpc, parent, name, limits, flags.bits(), 0, nothing)?.rights[0])
}

#[unsafe(no_mangle)]
extern "C" fn task_create(parent: Name, inherit: c_int, child: Out<Name>) -> c_int {
    number(create(parent, inherit != 0), |task| {
        child.write(task);
    })
}

#[unsafe(no_mangle)]
extern "C" fn task_terminate(task: Name) -> c_int {
    number(task::terminate(&MsgRpc, task), drop)
}

#[unsafe(no_mangle)]
extern "C" fn task_suspend(task: Name) -> c_int {
    number(task::suspend(&MsgRpc, task), drop)
}

#[unsafe(no_mangle)]
extern "C" fn task_resume(task: Name) -> c_int {
    number(task::resume(&MsgRpc, task), drop)
}

fn threads(task: Name) -> Result<(u64, u32)> {
    let (mut all, mut after): (Vec<Name>, u64) = (Vec::new(), 0);
    loop {
        let part = task::threads(&MsgRpc, task, after)?;
        let count = (part.results.count as usize).min(THREADS_LISTED);
        all.extend(&part.rights[..count]);
        if count < THREADS_LISTED {
            return Ok((array(&all)?, all.len() as u32));
        }
        after = part.results.last;
    }
}

#[unsafe(no_mangle)]
extern "C" fn task_threads(task: Name, list: Out<u64>, count: Out<u32>) -> c_int {
    number(threads(task), |(at, length)| {
        list.write(at);
        count.write(length);
    })
}

/// All that there are places for; nulls after those that are given.
fn register(task: Name, ports: &[Name]) -> Result<()> {
    let mut rights = [Descriptor::port(Name::NULL, 0); REGISTERED_PORTS];
    let places = rights.get_mut(..ports.len()).ok_or(Error::InvalidArgument)?;
    for (place, name) in places.iter_mut().zip(ports) {
        *place = sendable(*name);
    }
    let [first, second, third, fourth] = rights;
    task::ports_register(&MsgRpc, task, first, second, third, fourth).map(drop)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mach_ports_register(task: Name, ports: *const Name, count: u32) -> c_int {
    // SAFETY: the caller passes so many names.
    let ports = if count == 0 { &[] } else { unsafe { core::slice::from_raw_parts(ports, count as usize) } };
    number(register(task, ports), drop)
}

fn look_up(task: Name) -> Result<(u64, u32)> {
    let rights = task::ports_lookup(&MsgRpc, task)?.rights;
    Ok((array(&rights[..REGISTERED_PORTS])?, REGISTERED_PORTS as u32))
}

#[unsafe(no_mangle)]
extern "C" fn mach_ports_lookup(task: Name, ports: Out<u64>, count: Out<u32>) -> c_int {
    number(look_up(task), |(at, length)| {
        ports.write(at);
        count.write(length);
    })
}

/// Where a thread begins that has not been told: nothing is ever mapped there.
const NOWHERE: u64 = USER_START;

/// It is suspended, and begins where `thread_set_state` says. It is not a thread of C: it has no `errno`, and
/// may call nothing that needs one.
#[unsafe(no_mangle)]
extern "C" fn thread_create(task: Name, thread: Out<Name>) -> c_int {
    let flags = ThreadFlags::SUSPENDED.bits();
    number(task::thread_create(&MsgRpc, task, NOWHERE, NOWHERE, 0, PRIORITY_DEFAULT, flags), |reply| {
        thread.write(reply.rights[0]);
    })
}

/// `x86_thread_state64_t`.
#[derive(Clone, Copy)]
#[repr(C)]
struct ThreadState {
    rax: u64,
    rbx: u64,
    rcx: u64,
    rdx: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rsp: u64,
    r8: u64,
    r9: u64,
    r10: u64,
    r11: u64,
    r12: u64,
    r13: u64,
    r14: u64,
    r15: u64,
    rip: u64,
    rflags: u64,
    /// Selectors, which cannot be chosen.
    cs: u64,
    fs: u64,
    gs: u64,
}

/// `x86_THREAD_STATE64`, and its length in words of 32 bits.
const THREAD_STATE64: c_int = 4;
const THREAD_STATE64_COUNT: u32 = (size_of::<ThreadState>() / size_of::<u32>()) as u32;

impl ThreadState {
    fn of(registers: Registers) -> ThreadState {
        let Registers { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, .. } = registers;
        let Registers { rip, rflags, .. } = registers;
        let (cs, fs, gs) = (0, 0, 0);
        ThreadState {
            rax,
            rbx,
            rcx,
            rdx,
            rdi,
            rsi,
            rbp,
            rsp,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rip,
            rflags,
            cs,
            fs,
            gs,
        }
    }

    fn registers(self, fs_base: u64) -> Registers {
        let ThreadState { rax, rbx, rcx, rdx, rdi, rsi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, .. } = self;
        let ThreadState { rip, rflags, .. } = self;
        Registers { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags, fs_base }
    }
}

fn registers(thread: Name) -> Result<Registers> {
    Ok(thread::get_state(&MsgRpc, thread)?.results.registers)
}

#[unsafe(no_mangle)]
extern "C" fn thread_get_state(thread: Name, flavor: c_int, into: Out<ThreadState>, count: &mut u32) -> c_int {
    if flavor != THREAD_STATE64 || *count < THREAD_STATE64_COUNT {
        return Error::InvalidArgument.code();
    }
    number(registers(thread), |registers| {
        *count = THREAD_STATE64_COUNT;
        into.write(ThreadState::of(registers));
    })
}

#[unsafe(no_mangle)]
extern "C" fn thread_set_state(thread: Name, flavor: c_int, from: &ThreadState, count: u32) -> c_int {
    if flavor != THREAD_STATE64 || count < THREAD_STATE64_COUNT {
        return Error::InvalidArgument.code();
    }
    let set = registers(thread).and_then(|before| thread::set_state(&MsgRpc, thread, from.registers(before.fs_base)));
    number(set, drop)
}

#[unsafe(no_mangle)]
extern "C" fn thread_terminate(thread: Name) -> c_int {
    number(thread::terminate(&MsgRpc, thread), drop)
}

#[unsafe(no_mangle)]
extern "C" fn thread_suspend(thread: Name) -> c_int {
    number(thread::suspend(&MsgRpc, thread), drop)
}

#[unsafe(no_mangle)]
extern "C" fn thread_resume(thread: Name) -> c_int {
    number(thread::resume(&MsgRpc, thread), drop)
}

#[unsafe(no_mangle)]
extern "C" fn thread_abort(thread: Name) -> c_int {
    number(thread::abort(&MsgRpc, thread), drop)
}

/// `SWITCH_OPTION_NONE`, `…_DEPRESS`, `…_WAIT`.
mod switch {
    use core::ffi::c_int;

    pub(super) const NONE: c_int = 0;
    pub(super) const DEPRESS: c_int = 1;
    pub(super) const WAIT: c_int = 2;
}

#[unsafe(no_mangle)]
extern "C" fn thread_switch(hint: Name, option: c_int, ms: u32) -> c_int {
    match option {
        switch::WAIT => {
            sleep_ms(ms);
            0
        }
        switch::NONE | switch::DEPRESS => number(trap::thread_switch(hint, None), drop),
        _ => Error::InvalidArgument.code(),
    }
}
