//! The console server: owns the first serial line, and writes and reads for whoever asks.
//!
//! ```text
//! main     the requests, and who waits for input
//! uart     the device: bytes out and in
//! input    what becomes of what is typed: lines, editing, echo
//! ```
//!
//! It is given the line by whoever starts it, and asked through `portolan::console`. Writing waits for
//! the device, which never takes long; reading waits for a person, so a reader's request is held.
//! Invariant: while a reader is held nothing is ready to be read.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod input;
mod uart;

use alloc::collections::VecDeque;
use input::Input;
use portolan::console::protocol::{self, Flush, Read, SetMode, WaitForInterrupt, Write};
use portolan::console::{Mode, READ_MAX, SERVICE, Serial, WRITE_MAX};
use portolan::device::{Interrupt, interrupt_in};
use portolan::server::{Call, Held, Outcome, Unanswered, refuse};
use portolan::{Answer, Error, Received, Result, bootstrap};
use uart::Uart;

portolan::main!(main);

/// What stops a program, where somebody wants to hear of it.
const CONTROL_C: u8 = 0x03;
/// How many requests for input can be held.
const READERS_MAX: usize = 32;

fn main() -> Result<()> {
    let port = bootstrap::check_in(SERVICE)?;
    let Serial { io_ports, interrupt } = bootstrap::serial(&port)?;
    let uart = Uart::open(io_ports)?;
    let input = Input::default();
    let mut console = Console { uart, interrupt, input, readers: VecDeque::new(), interrupted: None, unfinished: None };
    protocol::serve(&port, &mut console)
}

struct Console {
    uart: Uart,
    interrupt: Interrupt,
    input: Input,
    /// Who waits for input, in the order of asking.
    readers: VecDeque<Reader>,
    /// Who waits for an interrupt.
    interrupted: Option<Held<WaitForInterrupt>>,
    /// The task whose line has no end yet.
    unfinished: Option<u64>,
}

struct Reader {
    request: Held<Read>,
    most: usize,
}

impl protocol::Server for Console {
    fn write(
        &mut self,
        call: &mut Call<'_, Write>,
        count: u32,
        _reserved: u32,
        bytes: [u8; WRITE_MAX],
    ) -> Outcome<Write> {
        let bytes = bytes.get(..count as usize).ok_or(Error::InvalidArgument)?;
        self.end_line_of_another(call.sender())?;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line {
                [text @ .., b'\n'] => {
                    self.uart.send(text)?;
                    self.uart.send(b"\r\n")?;
                    self.unfinished = None;
                }
                text => {
                    self.unfinished = Some(call.sender());
                    self.uart.send(text)?;
                }
            }
        }
        Ok(self.take_input()?)
    }

    fn read(&mut self, call: &mut Call<'_, Read>, most: u32, _reserved: u32) -> Outcome<Read> {
        let most = (most as usize).min(READ_MAX);
        if most == 0 {
            return Err(Error::InvalidArgument.into());
        }
        if let Some(bytes) = self.input.ready(most) {
            let given = padded(bytes);
            self.input.consume(bytes.len());
            return Ok(given);
        }
        if self.readers.len() == READERS_MAX {
            return Err(Error::NoSpace.into());
        }
        self.readers.push_back(Reader { request: call.hold(), most });
        Err(Unanswered::Later)
    }

    fn set_mode(&mut self, _: &mut Call<'_, SetMode>, mode: u32, _reserved: u32) -> Outcome<SetMode> {
        self.input.set_mode(Mode::from_code(mode).ok_or(Error::InvalidArgument)?);
        self.answer_readers();
        Ok(())
    }

    fn flush(&mut self, _: &mut Call<'_, Flush>) -> Outcome<Flush> {
        self.uart.flush()?;
        Ok(self.take_input()?)
    }

    fn interrupt(&mut self, call: &mut Call<'_, WaitForInterrupt>) -> Outcome<WaitForInterrupt> {
        self.interrupted = Some(call.hold());
        Err(Unanswered::Later)
    }

    fn other(&mut self, message: &mut Received) -> Answer<'static> {
        if interrupt_in(message).is_none() {
            return refuse(message, Error::BadId);
        }
        // A device that cannot be asked now is asked again with the next request.
        let _ = self.uart.listen().and_then(|()| self.take_input());
        let _ = self.interrupt.acknowledge();
        Answer::Nothing
    }
}

impl Console {
    /// Begins a new line, unless the last one has an end or is this task's own.
    fn end_line_of_another(&mut self, task: u64) -> Result<()> {
        if self.unfinished.take_if(|other| *other != task).is_some() {
            self.uart.send(b"\r\n")?;
        }
        Ok(())
    }

    /// Does what is to be done with what the device has received.
    fn take_input(&mut self) -> Result<()> {
        while let Some(byte) = self.uart.received() {
            let echo = match byte {
                CONTROL_C if self.interrupt_typed() => self.input.give_up_line(),
                byte => self.input.take(byte),
            };
            if echo.ends_with(b"\n") {
                self.unfinished = None;
            }
            self.uart.send(&echo)?;
        }
        self.answer_readers();
        Ok(())
    }

    /// Tells who waits for an interrupt, if anyone does and lines are read.
    fn interrupt_typed(&mut self) -> bool {
        self.input.reads_lines() && self.interrupted.take().is_some_and(|request| request.answer(Ok(())).is_ok())
    }

    /// A reader that has gone is passed over, and what it would have read is the next one's.
    fn answer_readers(&mut self) {
        while let Some(Reader { most, .. }) = self.readers.front()
            && let Some(bytes) = self.input.ready(*most)
        {
            let Some(Reader { request, .. }) = self.readers.pop_front() else { return };
            if request.answer(Ok(padded(bytes))).is_ok() {
                self.input.consume(bytes.len());
            }
        }
    }
}

/// The results of a read.
fn padded(bytes: &[u8]) -> (u32, u32, [u8; READ_MAX]) {
    let mut all = [0; READ_MAX];
    all[..bytes.len()].copy_from_slice(bytes);
    (bytes.len() as u32, 0, all)
}
