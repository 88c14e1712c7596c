//! The traps: the one `syscall` instruction, and a function for each call.
//!
//! The message calls have their classic names and take a buffer of 64-bit words
//! that holds a message as [`abi::message`](portolan_abi::message) lays it out;
//! [`Message`](crate::Message) and the rights' own methods are the comfortable
//! way. Invariant: a safe function here hands the kernel no address but that of
//! memory it has borrowed, mutably where the kernel writes.
#![expect(unsafe_code, reason = "the way into the kernel is one instruction, which no safe code has")]

use crate::Result;
use crate::word::{Deadline, Word};
use portolan_abi::call::{Call, Receive, Send, WordWait};
use portolan_abi::error::result_of;
use portolan_abi::message::{Header, Options};
use portolan_abi::{Capacity, Error, Name, WordOptions};
use zerocopy::{FromBytes, IntoBytes};

/// Any trap: number and arguments in; result code and second result out.
///
/// # Safety
/// Addresses among the arguments must be of memory that the caller may give to
/// the kernel to read or write, as the call does.
#[cfg(target_os = "none")]
#[inline(always)]
pub unsafe fn raw(number: u64, arguments: [u64; 6]) -> (i32, u64) {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let code: u64;
    let value: u64;
    // SAFETY: the kernel keeps every register but these, and of memory touches only
    // what the caller vouches for.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => code,
            in("rdi") first,
            in("rsi") second,
            inlateout("rdx") third => value,
            in("r10") fourth,
            in("r8") fifth,
            in("r9") sixth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    (code as i32, value)
}

/// On the host there is no kernel to trap into: only what makes no call is tested there.
///
/// # Safety
/// None is needed.
#[cfg(not(target_os = "none"))]
pub unsafe fn raw(number: u64, _arguments: [u64; 6]) -> (i32, u64) {
    panic!("trap {number} on a machine without Portolan");
}

/// A typed trap; returns its result and its second result.
///
/// # Safety
/// As for [`raw`].
#[inline(always)]
pub unsafe fn call(call: Call) -> (Result<()>, u64) {
    let (number, arguments) = call.encode();
    // SAFETY: the caller vouches for the addresses.
    let (code, value) = unsafe { raw(number, arguments) };
    (result_of(code), value)
}

/// A trap that hands over no address, or one of memory that the kernel does not touch.
fn plain(without_address: Call) -> (Result<()>, u64) {
    // SAFETY: there is no address that the kernel follows.
    unsafe { call(without_address) }
}

/// Sends the message in the buffer; its header says how long it is.
///
/// # Errors
/// The `Send…` errors; `SendWillNotify` means that the kernel has taken the message.
pub fn msg_send(message: &[u64], options: Options, timeout: u32) -> Result<()> {
    let send = send_half(message, timeout)?;
    // SAFETY: the kernel reads the message, which is borrowed.
    unsafe { call(Call::Message { send: Some(send), receive: None, options }) }.0
}

/// Receives one message from `port` into the buffer. The second result is the
/// message's size, or with `ReceiveTooLarge` the bytes of buffer it needs.
pub fn msg_receive(buffer: &mut [u64], port: Name, options: Options, timeout: u32) -> (Result<()>, usize) {
    let receive = receive_half(buffer, port, timeout);
    // SAFETY: the kernel writes to the buffer, which is borrowed mutably.
    let (result, size) = unsafe { call(Call::Message { send: None, receive: Some(receive), options }) };
    (result, size as usize)
}

/// Sends the message in the buffer, then receives one from `port` into the same buffer:
/// a request and its reply, or a reply and the next request. Results as in [`msg_receive`].
pub fn msg_rpc(
    buffer: &mut [u64],
    port: Name,
    options: Options,
    send_timeout: u32,
    receive_timeout: u32,
) -> (Result<()>, usize) {
    let send = match send_half(buffer, send_timeout) {
        Ok(send) => send,
        Err(error) => return (Err(error), 0),
    };
    let receive = receive_half(buffer, port, receive_timeout);
    // SAFETY: the kernel reads from and writes to the buffer, which is borrowed mutably.
    let (result, size) = unsafe { call(Call::Message { send: Some(send), receive: Some(receive), options }) };
    (result, size as usize)
}

fn send_half(message: &[u64], timeout: u32) -> Result<Send> {
    let (header, _) = Header::read_from_prefix(message.as_bytes()).map_err(|_| Error::SendTooSmall)?;
    if header.size as usize > size_of_val(message) {
        return Err(Error::SendInvalidMemory);
    }
    Ok(Send { address: message.as_ptr().expose_provenance() as u64, size: header.size, timeout })
}

fn receive_half(buffer: &mut [u64], port: Name, timeout: u32) -> Receive {
    let size = u32::try_from(size_of_val(buffer)).unwrap_or(u32::MAX);
    Receive { address: buffer.as_mut_ptr().expose_provenance() as u64, size, port, timeout }
}

/// Makes a port; returns the name of its receive right.
///
/// # Errors
/// `NoSpace`, `ResourceShortage`, `InvalidValue`.
pub fn port_allocate(capacity: Capacity) -> Result<Name> {
    let (result, name) = plain(Call::PortAllocate(capacity));
    result.map(|()| Name(name as u32))
}

/// Gives up one user reference of a send right or dead name, else a send-once or receive right.
///
/// # Errors
/// `InvalidName`.
pub fn port_deallocate(name: Name) -> Result<()> {
    plain(Call::PortDeallocate(name)).0
}

/// The name of a send right to this task. Adds no reference.
pub fn task_self() -> Name {
    Name(plain(Call::TaskSelf).1 as u32)
}

/// The name of the receive right of this task's notify port. Adds no reference.
pub fn task_notify() -> Name {
    Name(plain(Call::TaskNotify).1 as u32)
}

/// The name of a send right to the calling thread. Adds no reference.
pub fn thread_self() -> Name {
    Name(plain(Call::ThreadSelf).1 as u32)
}

/// Gives up the processor, to the thread `hint` if it is ready; with `sleep`, for that many ms.
///
/// # Errors
/// `InvalidName`, `InvalidRight`: `hint` is not a thread. `Aborted`: the sleep was cut short.
pub fn thread_switch(hint: Name, sleep: Option<u32>) -> Result<()> {
    plain(Call::ThreadSwitch { hint, sleep }).0
}

/// Nanoseconds since the machine started.
pub fn clock_get() -> u64 {
    plain(Call::ClockGet).1
}

/// Waits on a word, if it is as expected.
///
/// # Errors
/// Those of [`Call::WordWait`].
pub fn word_wait<W: Word>(word: &W, expected: u64, deadline: Deadline, options: WordOptions) -> Result<()> {
    let (address, deadline) = (core::ptr::from_ref(word).expose_provenance() as u64, deadline.argument());
    let options = W::OPTIONS | options;
    // SAFETY: the kernel reads the word, which is borrowed.
    unsafe { call(Call::WordWait(WordWait { address, expected, deadline, options })) }.0
}

/// Wakes at most `count` of those who wait on a word, and says how many.
///
/// # Errors
/// Those of [`Call::WordWake`].
pub fn word_wake(word: &impl Word, count: u32) -> Result<u32> {
    let address = core::ptr::from_ref(word).expose_provenance() as u64;
    let (result, woken) = plain(Call::WordWake { address, count });
    result.map(|()| woken as u32)
}

/// Writes at most [`DEBUG_WRITE_MAX`](portolan_abi::call::DEBUG_WRITE_MAX) bytes to the kernel's console.
///
/// # Errors
/// `InvalidValue` or `InvalidArgument` for more.
pub fn debug_write(text: &[u8]) -> Result<()> {
    let address = text.as_ptr().expose_provenance() as u64;
    // SAFETY: the kernel reads the text, which is borrowed.
    unsafe { call(Call::DebugWrite { address, size: text.len() as u64 }) }.0
}
