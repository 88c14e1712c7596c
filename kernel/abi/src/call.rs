//! The traps, and how their arguments lie in registers.
//!
//! Number in `rax`, arguments in `rdi`, `rsi`, `rdx`, `r10`, `r8`, `r9`; result
//! code in `rax` (0, or an [`Error`] as a sign-extended i32), a second result in
//! `rdx`. All other registers are kept, but for `rcx` and `r11`, which the
//! `syscall` instruction itself uses. An argument with fewer than 64 bits must
//! have the rest zero.
//!
//! Everything that is not here is a message to a kernel port. Neighbours:
//! `message` for the options and the buffer, the kernel's `syscall` for dispatch.

use crate::error::{Error, Result};
use crate::message::Options;
use crate::name::Name;
use crate::port::Capacity;
use crate::word::{NEVER, WordOptions};

/// Numbers of the traps.
pub mod number {
    /// [`super::Call::Message`] with a sending half only.
    pub const MSG_SEND: u64 = 1;
    /// [`super::Call::Message`] with a receiving half only.
    pub const MSG_RECEIVE: u64 = 2;
    /// [`super::Call::Message`] with both halves.
    pub const MSG_RPC: u64 = 3;
    /// [`super::Call::PortAllocate`].
    pub const PORT_ALLOCATE: u64 = 4;
    /// [`super::Call::PortDeallocate`].
    pub const PORT_DEALLOCATE: u64 = 5;
    /// [`super::Call::TaskSelf`].
    pub const TASK_SELF: u64 = 6;
    /// [`super::Call::TaskNotify`].
    pub const TASK_NOTIFY: u64 = 7;
    /// [`super::Call::ThreadSelf`].
    pub const THREAD_SELF: u64 = 8;
    /// [`super::Call::ThreadSwitch`].
    pub const THREAD_SWITCH: u64 = 9;
    /// [`super::Call::ClockGet`].
    pub const CLOCK_GET: u64 = 10;
    /// [`super::Call::DebugWrite`].
    pub const DEBUG_WRITE: u64 = 11;
    /// [`super::Call::WordWait`].
    pub const WORD_WAIT: u64 = 12;
    /// [`super::Call::WordWake`].
    pub const WORD_WAKE: u64 = 13;
}

/// The sending half of a message call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// Address of the header; a multiple of 8.
    pub address: u64,
    /// Bytes of the message.
    pub size: u32,
    /// How long to wait for a place, if `SEND_TIMEOUT`, in ms.
    pub timeout: u32,
}

/// The receiving half of a message call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Address of the buffer; a multiple of 8. May be the one that was sent from.
    pub address: u64,
    /// Bytes of the buffer, room for the trailer included.
    pub size: u32,
    /// The port to receive from.
    pub port: Name,
    /// How long to wait for a message, if `RCV_TIMEOUT`, in ms.
    pub timeout: u32,
}

/// A wait on a word of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordWait {
    /// Where the word is; a multiple of its size.
    pub address: u64,
    /// What it must be for the thread to wait.
    pub expected: u64,
    /// When the wait ends at the latest, as [`Call::ClockGet`] counts, if it does. Being a time and
    /// no duration, it is the same for a wait that a program begins again.
    pub deadline: Option<u64>,
    /// How to wait.
    pub options: WordOptions,
}

impl WordWait {
    /// Bytes of the word.
    #[must_use]
    pub const fn size(&self) -> usize {
        if self.options.contains(WordOptions::SHORT) { size_of::<u32>() } else { size_of::<u64>() }
    }
}

/// A trap, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `msg_send`, `msg_receive`, `msg_rpc`. A send that does not succeed ends the
    /// call before its receiving half (`SEND_WILL_NOTIFY` is no success either).
    ///
    /// Registers: send address; options | receive port << 32; send size | receive
    /// size << 32; receive address; send timeout | receive timeout << 32; 0.
    /// Second result: the size of the message received, or, with `RCV_TOO_LARGE`,
    /// the bytes of buffer it needs.
    Message {
        /// What to send, if anything.
        send: Option<Send>,
        /// What to receive, if anything.
        receive: Option<Receive>,
        /// Options of both halves.
        options: Options,
    },
    /// Makes a port of this capacity and returns the name of its receive right.
    PortAllocate(Capacity),
    /// Gives up one user reference of a send right or dead name, or a send-once or
    /// receive right, or a port set. A receive right goes last: then the port dies.
    PortDeallocate(Name),
    /// The name of a send right to the caller's own task; adds no reference.
    TaskSelf,
    /// The name of the receive right of the task's notify port; adds no reference. Null if
    /// that was set to a port at which another task receives.
    TaskNotify,
    /// The name of a send right to the calling thread; adds no reference.
    ThreadSelf,
    /// Gives up the processor: to the thread whose send right is `hint`, if it is
    /// ready, else to the next in line; and, with `sleep`, for that many ms.
    ThreadSwitch {
        /// A thread's kernel port, or null.
        hint: Name,
        /// How long not to run, in ms.
        sleep: Option<u32>,
    },
    /// Nanoseconds since start, as second result.
    ClockGet,
    /// Writes bytes to the kernel's debug console. `NoAccess` while a driver has claimed its
    /// serial line ([`io_ports`](crate::io_ports)).
    DebugWrite {
        /// Where they are.
        address: u64,
        /// How many, at most [`DEBUG_WRITE_MAX`].
        size: u64,
    },
    /// Waits until the word is woken, if it is as expected: looking and beginning to wait are one
    /// step. (Linux's `FUTEX_WAIT_BITSET`, XNU's `__ulock_wait`.) Who has been woken looks at the word
    /// again: threads that come later may be quicker. A wake that a thread got who ends before it has
    /// run is the next one's. Unmapping the word, or mapping something else there, does not end the wait.
    ///
    /// Registers: address; expected value; deadline, [`NEVER`](crate::word::NEVER) if there is none; options.
    ///
    /// `ValueDiffers`: the word is another than expected; it is the second result. `OwnerDead`:
    /// the thread that owns the word is dead, now or at the beginning. `TimedOut`: the deadline has
    /// come. `Aborted`: by `thread_abort`. `InvalidAddress`, `ProtectionFailure`: the word cannot be read;
    /// `MemoryError`, `MemoryFailure`: as its pager says. `InvalidArgument`: the address is not at a multiple of the
    /// word's size, the value does not fit, or the options contradict each other.
    WordWait(WordWait),
    /// Wakes those who wait on the word, the longest first, and says how many, as second result.
    /// The word is not looked at, and need not be in memory. Whoever can read a word can wake it.
    ///
    /// Registers: address; how many at most.
    ///
    /// `InvalidAddress`, `ProtectionFailure`: the word cannot be read. `InvalidArgument`: the address is no multiple of 4.
    WordWake {
        /// Where the word is.
        address: u64,
        /// How many to wake at most.
        count: u32,
    },
}

/// Most bytes of one `DebugWrite`.
pub const DEBUG_WRITE_MAX: u64 = 4096;
const SLEEP: u64 = 1;

impl Call {
    /// The registers of this call: number, then arguments.
    #[must_use]
    pub fn encode(&self) -> (u64, [u64; 6]) {
        match *self {
            Call::Message { send, receive, options } => encode_message(send, receive, options),
            Call::PortAllocate(capacity) => (number::PORT_ALLOCATE, [capacity.code().into(), 0, 0, 0, 0, 0]),
            Call::PortDeallocate(name) => (number::PORT_DEALLOCATE, [name.0.into(), 0, 0, 0, 0, 0]),
            Call::TaskSelf => (number::TASK_SELF, [0; 6]),
            Call::TaskNotify => (number::TASK_NOTIFY, [0; 6]),
            Call::ThreadSelf => (number::THREAD_SELF, [0; 6]),
            Call::ThreadSwitch { hint, sleep } => {
                let option = if sleep.is_some() { SLEEP } else { 0 };
                (number::THREAD_SWITCH, [hint.0.into(), option, sleep.unwrap_or(0).into(), 0, 0, 0])
            }
            Call::ClockGet => (number::CLOCK_GET, [0; 6]),
            Call::DebugWrite { address, size } => (number::DEBUG_WRITE, [address, size, 0, 0, 0, 0]),
            Call::WordWait(WordWait { address, expected, deadline, options }) => {
                let arguments = [address, expected, deadline.unwrap_or(NEVER), options.bits().into(), 0, 0];
                (number::WORD_WAIT, arguments)
            }
            Call::WordWake { address, count } => (number::WORD_WAKE, [address, count.into(), 0, 0, 0, 0]),
        }
    }

    /// The call in these registers. Registers that a call does not use are ignored.
    ///
    /// # Errors
    /// `InvalidCall` for an unknown number, `SendInvalidOptions` or
    /// `ReceiveInvalidOptions` for unknown options or options of an absent half,
    /// `InvalidArgument` for any other value that its argument cannot have.
    #[inline(always)]
    pub fn decode(number: u64, arguments: [u64; 6]) -> Result<Call> {
        Ok(match number {
            number::MSG_SEND => decode_message::<true, false>(arguments)?,
            number::MSG_RECEIVE => decode_message::<false, true>(arguments)?,
            number::MSG_RPC => decode_message::<true, true>(arguments)?,
            number::PORT_ALLOCATE => Call::PortAllocate(Capacity::from_code(word(arguments[0])?)?),
            number::PORT_DEALLOCATE => Call::PortDeallocate(Name(word(arguments[0])?)),
            number::TASK_SELF => Call::TaskSelf,
            number::TASK_NOTIFY => Call::TaskNotify,
            number::THREAD_SELF => Call::ThreadSelf,
            number::THREAD_SWITCH => decode_switch(arguments)?,
            number::CLOCK_GET => Call::ClockGet,
            number::DEBUG_WRITE => Call::DebugWrite { address: arguments[0], size: arguments[1] },
            number::WORD_WAIT => Call::WordWait(decode_wait(arguments)?),
            number::WORD_WAKE => Call::WordWake { address: arguments[0], count: word(arguments[1])? },
            _ => return Err(Error::InvalidCall),
        })
    }
}

fn encode_message(send: Option<Send>, receive: Option<Receive>, options: Options) -> (u64, [u64; 6]) {
    let number = match (send, receive) {
        (Some(_), None) => number::MSG_SEND,
        (None, _) => number::MSG_RECEIVE,
        (Some(_), Some(_)) => number::MSG_RPC,
    };
    let from = send.unwrap_or(Send { address: 0, size: 0, timeout: 0 });
    let to = receive.unwrap_or(Receive { address: 0, size: 0, port: Name::NULL, timeout: 0 });
    let arguments = [
        from.address,
        pair(options.bits(), to.port.0),
        pair(from.size, to.size),
        to.address,
        pair(from.timeout, to.timeout),
        0,
    ];
    (number, arguments)
}

#[inline(always)]
fn decode_message<const SENDS: bool, const RECEIVES: bool>(arguments: [u64; 6]) -> Result<Call> {
    let [from, options_port, sizes, to, timeouts, reserved] = arguments;
    let allowed = match (SENDS, RECEIVES) {
        (true, true) => Options::all(),
        (true, false) => Options::SEND,
        _ => Options::RECEIVE,
    };
    let unknown = if SENDS { Error::SendInvalidOptions } else { Error::ReceiveInvalidOptions };
    let options = Options::from_bits_retain(low(options_port));
    let contradicting = options.contains(Options::SEND_NOTIFY_THREAD) && !options.contains(Options::SEND_NOTIFY);
    if !allowed.contains(options) || contradicting {
        return Err(unknown);
    }
    if reserved != 0 {
        return Err(Error::InvalidArgument);
    }
    let send = Send { address: from, size: low(sizes), timeout: low(timeouts) };
    let receive = Receive { address: to, size: high(sizes), port: Name(high(options_port)), timeout: high(timeouts) };
    Ok(Call::Message { send: SENDS.then_some(send), receive: RECEIVES.then_some(receive), options })
}

fn decode_switch(arguments: [u64; 6]) -> Result<Call> {
    let [hint, option, ms, ..] = arguments;
    let sleep = match option {
        0 => None,
        SLEEP => Some(word(ms)?),
        _ => return Err(Error::InvalidArgument),
    };
    Ok(Call::ThreadSwitch { hint: Name(word(hint)?), sleep })
}

fn decode_wait(arguments: [u64; 6]) -> Result<WordWait> {
    let [address, expected, deadline, options, ..] = arguments;
    let options = WordOptions::from_bits(word(options)?).ok_or(Error::InvalidArgument)?;
    let deadline = (deadline != NEVER).then_some(deadline);
    let wait = WordWait { address, expected, deadline, options };
    let fits = !options.contains(WordOptions::SHORT)
        || !options.contains(WordOptions::OWNED) && u32::try_from(expected).is_ok();
    if fits && address.is_multiple_of(wait.size() as u64) { Ok(wait) } else { Err(Error::InvalidArgument) }
}

fn word(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::InvalidArgument)
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

const fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

const fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives(call: Call) {
        let (number, arguments) = call.encode();
        assert_eq!(Call::decode(number, arguments), Ok(call));
    }

    #[test]
    fn every_call_survives_the_registers() {
        let send = Send { address: 0x1000, size: 24, timeout: 7 };
        let receive = Receive { address: 0x2000, size: 80, port: Name(0x10_0003), timeout: u32::MAX };
        survives(Call::Message { send: Some(send), receive: None, options: Options::SEND });
        survives(Call::Message { send: None, receive: Some(receive), options: Options::RECEIVE });
        survives(Call::Message { send: Some(send), receive: Some(receive), options: Options::all() });
        survives(Call::PortAllocate(Capacity::Unbounded));
        survives(Call::PortDeallocate(Name(9)));
        survives(Call::TaskSelf);
        survives(Call::TaskNotify);
        survives(Call::ThreadSelf);
        survives(Call::ThreadSwitch { hint: Name(3), sleep: None });
        survives(Call::ThreadSwitch { hint: Name::NULL, sleep: Some(0) });
        survives(Call::ClockGet);
        survives(Call::DebugWrite { address: u64::MAX, size: u64::MAX });
        let wait = WordWait { address: 0x1008, expected: u64::MAX, deadline: None, options: WordOptions::OWNED };
        survives(Call::WordWait(wait));
        survives(Call::WordWait(WordWait { deadline: Some(0), options: WordOptions::empty(), ..wait }));
        survives(Call::WordWait(WordWait { address: 4, expected: 9, options: WordOptions::SHORT, ..wait }));
        survives(Call::WordWake { address: 0x1008, count: u32::MAX });
    }

    #[test]
    fn unknown_numbers_and_options_are_refused() {
        assert_eq!(Call::decode(0, [0; 6]), Err(Error::InvalidCall));
        assert_eq!(Call::decode(u64::MAX, [0; 6]), Err(Error::InvalidCall));
        let with = |number, options| Call::decode(number, [0, options, 0, 0, 0, 0]);
        assert_eq!(with(number::MSG_SEND, 0x8000_0000), Err(Error::SendInvalidOptions));
        assert_eq!(with(number::MSG_SEND, 0x100), Err(Error::SendInvalidOptions));
        assert_eq!(with(number::MSG_RECEIVE, 0x1), Err(Error::ReceiveInvalidOptions));
        assert_eq!(with(number::MSG_RECEIVE, 0x40), Err(Error::ReceiveInvalidOptions));
    }

    #[test]
    fn words_that_cannot_be_are_refused() {
        let wait = |address, expected, options| Call::decode(number::WORD_WAIT, [address, expected, 0, options, 0, 0]);
        let (short, owned) = (WordOptions::SHORT.bits().into(), WordOptions::OWNED.bits().into());
        assert!(wait(8, u64::MAX, owned).is_ok() && wait(4, u32::MAX.into(), short).is_ok());
        for (address, expected, options) in
            [(4, 0, 0), (6, 0, short), (8, 1 << 32, short), (8, 0, short | owned), (8, 0, 4), (8, 0, 1 << 32)]
        {
            assert_eq!(wait(address, expected, options), Err(Error::InvalidArgument), "{address} {expected} {options}");
        }
        assert_eq!(Call::decode(number::WORD_WAKE, [8, 1 << 32, 0, 0, 0, 0]), Err(Error::InvalidArgument));
    }

    #[test]
    fn high_halves_of_short_arguments_are_refused() {
        assert_eq!(Call::decode(number::PORT_ALLOCATE, [1 << 32, 0, 0, 0, 0, 0]), Err(Error::InvalidArgument));
        assert_eq!(Call::decode(number::PORT_DEALLOCATE, [1 << 40, 0, 0, 0, 0, 0]), Err(Error::InvalidArgument));
        assert_eq!(Call::decode(number::THREAD_SWITCH, [0, 2, 0, 0, 0, 0]), Err(Error::InvalidArgument));
    }
}
