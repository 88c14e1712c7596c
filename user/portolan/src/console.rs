//! The console: text to whoever watches the machine, and what is typed there.
//!
//! A console server owns the serial line, the screen and the keyboard (`user/servers/console`); a task writes to it through a
//! right that its starter gives it, in its start-up block. A task without one has the kernel's
//! debug console, and so has every task when the server has died; `print` chooses.
//!
//! [`Serial`], [`Screen`] and [`Keyboard`] are what the server needs of the machine. Whoever starts it claims that with the
//! privileged host port when the server asks (`bootstrap`), and gives it away, so that the claim
//! ends with the server. The port on which it is asked outlives it: a server that is started again
//! gets it again, and the clients' rights stay good.

use crate::Result;
use crate::device::{self, Interrupt, IoPorts};
use crate::interface::{MsgRpc, MsgRpcWithin, decode};
use crate::lock::Once;
use crate::memory_object::MemoryObject;
use crate::message::Message;
use crate::receive::Received;
use crate::right::{ReceiveRight, Right, SendRight};
use crate::send::WhenFull;
use crate::start::STARTUP;
use alloc::vec::Vec;
use portolan_abi::host::Framebuffer;
use portolan_abi::interface::Routine;
use portolan_abi::{Error, PAGE_SIZE};

/// The service's name.
pub const SERVICE: &str = "console";
/// Most bytes of one [`write`](protocol::write).
pub const WRITE_MAX: usize = 512;
/// Most bytes of one [`read`](protocol::read).
pub const READ_MAX: usize = 256;
/// How long a writer waits for a server that is being started again, or for a slow device, in ms.
const PATIENCE_MS: u32 = 5000;

/// The routines.
pub mod protocol {
    use super::{READ_MAX, WRITE_MAX};

    crate::interface! {
        base 6000;

        /// Writes the first `count` bytes; a line feed begins a new line. The answer comes when the
        /// device has them all. Bytes of one request stay together, and so does a line: what comes
        /// while another task's line has no end yet begins a new one.
        ///
        /// `InvalidArgument`: more than `WRITE_MAX` bytes. `Failure`: the device takes no more.
        1 write / Write (count: u32, reserved: u32, bytes: [u8; WRITE_MAX]) -> ();

        /// Waits for what is typed: the next bytes, up to a line feed and with it, at most `most`
        /// and at most `READ_MAX`. Who asks first is answered first.
        ///
        /// `InvalidArgument`: `most` is 0. `NoSpace`: too many are waiting.
        2 read / Read (most: u32, reserved: u32) -> (count: u32, reserved: u32, bytes: [u8; READ_MAX]);

        /// Sets what becomes of what is typed from now on: a `Mode`.
        ///
        /// `InvalidArgument`: there is no such mode.
        3 set_mode / SetMode (mode: u32, reserved: u32) -> ();

        /// Answers when everything that was written has left the machine.
        ///
        /// `Failure`: the device takes no more.
        4 flush / Flush () -> ();

        /// Answers when control-C is typed while lines are read; the line that is being typed is given up.
        /// Who asks takes the place of who asked before, and that one's right to an answer is destroyed.
        5 interrupt / WaitForInterrupt () -> ();
    }
}

/// What becomes of what is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// A line is read when it is whole, and can be edited until then: backspace takes back a
    /// character, control-U the line. It is shown as it is typed.
    Lines = 0,
    /// The same, and nothing is shown.
    HiddenLines = 1,
    /// Bytes are read as they come, and nothing is shown.
    Bytes = 2,
}

impl Mode {
    /// The mode with this number.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Mode> {
        [Mode::Lines, Mode::HiddenLines, Mode::Bytes].into_iter().find(|mode| *mode as u32 == code)
    }
}

/// A send right to a console server.
#[derive(Debug)]
pub struct Console(SendRight);

impl Console {
    /// The console that this right is to.
    #[must_use]
    pub fn from_right(right: SendRight) -> Console {
        Console(right)
    }

    /// The right.
    pub fn right(&self) -> &SendRight {
        &self.0
    }

    /// Writes at most [`WRITE_MAX`] bytes.
    ///
    /// # Errors
    /// Those of [`write`](protocol::write); `ReceiveReplyLost` when the server has died with the
    /// request, `SendInvalidPort` when none will be started again; `SendTimedOut` and
    /// `ReceiveTimedOut` when none serves for some seconds.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let transport = MsgRpcWithin(PATIENCE_MS);
        protocol::write(&transport, self.0.name(), bytes.len() as u32, 0, padded(bytes)?).map(drop)
    }

    /// Writes at most [`WRITE_MAX`] bytes some time, without waiting for anything: for whoever the
    /// server itself may wait for.
    ///
    /// # Errors
    /// `SendTimedOut`: too much waits to be written. The other `Send…` errors.
    pub fn post(&self, bytes: &[u8]) -> Result<()> {
        let arguments = protocol::arguments::Write { count: bytes.len() as u32, reserved: 0, bytes: padded(bytes)? };
        let message = Message::new(protocol::Write::ID).value(arguments);
        Ok(self.0.send_or(message, WhenFull::Return).map(drop)?)
    }

    /// Waits for the next bytes that are typed, as [`read`](protocol::read) tells.
    ///
    /// # Errors
    /// Those of [`read`](protocol::read); `SendInvalidPort` and `ReceiveReplyLost` when the server has died.
    pub fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = [0; READ_MAX];
        let count = self.read_into(&mut bytes)?;
        Ok(bytes[..count].to_vec())
    }

    /// The same into memory of one's own, and not more than fits there; how many bytes.
    ///
    /// # Errors
    /// As for [`read`](Console::read).
    pub fn read_into(&self, into: &mut [u8]) -> Result<usize> {
        let most = into.len().min(READ_MAX);
        let read = protocol::read(&MsgRpc, self.0.name(), most as u32, 0)?.results;
        let bytes = read.bytes[..most].get(..read.count as usize).ok_or(Error::Failure)?;
        into[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Asks for the next bytes that are typed, and does not wait for them: they come to the port of `told`,
    /// where [`typed`] takes them out of the message.
    ///
    /// # Errors
    /// `SendInvalidPort` when the server has died; `SendTimedOut` when none serves for some seconds.
    pub fn ask(&self, told: &ReceiveRight) -> Result<()> {
        let arguments = protocol::arguments::Read { most: READ_MAX as u32, reserved: 0 };
        self.request(Message::new(protocol::Read::ID).value(arguments), told)
    }

    /// Asks to be told, at the port of `told`, when control-C is typed while lines are read; what
    /// comes is for [`interrupted`].
    ///
    /// # Errors
    /// As for [`ask`](Console::ask).
    pub fn ask_for_interrupt(&self, told: &ReceiveRight) -> Result<()> {
        self.request(Message::new(protocol::WaitForInterrupt::ID), told)
    }

    fn request(&self, request: Message<'_>, told: &ReceiveRight) -> Result<()> {
        let request = request.reply_to(Right::MakeSendOnce(told));
        Ok(self.0.send_or(request, WhenFull::WaitMs(PATIENCE_MS)).map(drop)?)
    }

    /// Sets what becomes of what is typed.
    ///
    /// # Errors
    /// Those of the call.
    pub fn set_mode(&self, mode: Mode) -> Result<()> {
        protocol::set_mode(&MsgRpc, self.0.name(), mode as u32, 0).map(drop)
    }

    /// Waits until everything that was written has left the machine.
    ///
    /// # Errors
    /// Those of [`flush`](protocol::flush), and as for [`write`](Console::write).
    pub fn flush(&self) -> Result<()> {
        protocol::flush(&MsgRpcWithin(PATIENCE_MS), self.0.name()).map(drop)
    }
}

/// What was typed, out of the answer to [`Console::ask`].
///
/// # Errors
/// `ReceiveReplyLost`: it is not the answer, but word that the server has died with the request. What
/// the server says.
pub fn typed(answer: &Received) -> Result<Vec<u8>> {
    let read = answered::<protocol::Read>(answer)?;
    Ok(read.bytes.get(..read.count as usize).ok_or(Error::Failure)?.to_vec())
}

/// Whether control-C was typed, out of the answer to [`Console::ask_for_interrupt`].
///
/// # Errors
/// As for [`typed`]; also when another task has asked.
pub fn interrupted(answer: &Received) -> Result<()> {
    answered::<protocol::WaitForInterrupt>(answer).map(drop)
}

fn answered<R: Routine>(answer: &Received) -> Result<R::Results> {
    if answer.is_from_kernel() {
        return Err(Error::ReceiveReplyLost);
    }
    Ok(decode::<R>(answer.id(), answer.bytes(), &[])?.results)
}

fn padded(bytes: &[u8]) -> Result<[u8; WRITE_MAX]> {
    let mut padded = [0; WRITE_MAX];
    padded.get_mut(..bytes.len()).ok_or(Error::InvalidArgument)?.copy_from_slice(bytes);
    Ok(padded)
}

static THIS: Once<Console> = Once::new();

/// The console that this task writes to; `None` if that is the kernel's.
#[must_use]
pub fn this() -> Option<&'static Console> {
    THIS.get().or_else(|| STARTUP.get()?.console.as_ref())
}

/// Makes this task, which was started without one, write to a console from now on. The first one counts.
pub fn adopt(console: Console) {
    THIS.call_once(|| console);
}

/// The first serial line.
#[derive(Debug)]
pub struct Serial {
    /// Its registers.
    pub io_ports: IoPorts,
    /// Its line, which is bound to the port on which the console server is asked.
    pub interrupt: Interrupt,
}

impl Serial {
    /// Its registers: the first, and how many.
    pub const IO_PORTS: (u32, u32) = (0x3f8, 8);
    /// Its interrupt line.
    pub const LINE: u32 = 4;

    /// Claims it; its interrupts come to the port of `told`. From now on the kernel's debug console
    /// is closed to tasks, until the claim ends.
    ///
    /// # Errors
    /// Those of [`IoPorts::claim`] and [`Interrupt::bind`].
    pub fn claim(host: &SendRight, told: Right<'_>) -> Result<Serial> {
        let interrupt = Interrupt::bind(host, Self::LINE, told)?;
        let io_ports = IoPorts::claim(host, Self::IO_PORTS.0, Self::IO_PORTS.1)?;
        Ok(Serial { io_ports, interrupt })
    }

    /// Its rights, as a server asks for them.
    pub fn into_rights(self) -> (SendRight, SendRight) {
        (self.io_ports.into_right(), self.interrupt.into_right())
    }
}

/// The screen that the loader has set up.
#[derive(Debug)]
pub struct Screen {
    /// How it is laid out.
    pub framebuffer: Framebuffer,
    /// Its memory, from the page of its first byte on.
    pub memory: MemoryObject,
}

impl Screen {
    /// Claims it.
    ///
    /// # Errors
    /// Those of [`device::framebuffer`] and [`device::memory`].
    pub fn claim(host: &SendRight) -> Result<Screen> {
        let framebuffer = device::framebuffer(host)?;
        let Framebuffer { address, stride, height, bytes_per_pixel, .. } = framebuffer;
        let size = u64::from(stride) * u64::from(height) * u64::from(bytes_per_pixel);
        let before = address % PAGE_SIZE as u64;
        Ok(Screen { framebuffer, memory: device::memory(host, address - before, before + size)? })
    }

    /// Its layout, and the right to its memory, as a server asks for them.
    pub fn into_parts(self) -> (Framebuffer, SendRight) {
        (self.framebuffer, self.memory.into_right())
    }
}

/// The keyboard's controller, an 8042.
#[derive(Debug)]
pub struct Keyboard {
    /// The register of data.
    pub data: IoPorts,
    /// The register that is read as the state, and written as a command.
    pub state: IoPorts,
    /// Its line, which is bound to the port on which the console server is asked.
    pub interrupt: Interrupt,
}

impl Keyboard {
    /// Its registers: of data, and of state and commands. What is between them is not the controller's.
    pub const IO_PORTS: [u32; 2] = [0x60, 0x64];
    /// Its interrupt line.
    pub const LINE: u32 = 1;

    /// Claims it; its interrupts come to the port of `told`.
    ///
    /// # Errors
    /// Those of [`IoPorts::claim`] and [`Interrupt::bind`].
    pub fn claim(host: &SendRight, told: Right<'_>) -> Result<Keyboard> {
        let interrupt = Interrupt::bind(host, Self::LINE, told)?;
        let [data, state] = Self::IO_PORTS.map(|register| IoPorts::claim(host, register, 1));
        Ok(Keyboard { data: data?, state: state?, interrupt })
    }

    /// Its rights, as a server asks for them.
    pub fn into_rights(self) -> (SendRight, SendRight, SendRight) {
        (self.data.into_right(), self.state.into_right(), self.interrupt.into_right())
    }
}
