//! The console server: owns the first serial line, the screen and the keyboard, and writes and reads for whoever
//! asks.
//!
//! ```text
//! main      the requests, and who waits for input
//! uart      the serial line: bytes out and in
//! screen    the screen, drawn with portolan-terminal
//! keyboard  the keyboard's controller; its keys become bytes in portolan-terminal
//! input     what becomes of what is typed: lines, editing, echo
//! ```
//!
//! It is given the devices by whoever starts it, and asked through `portolan::console`. What is written goes to the
//! screen and to the line, and what is typed at either place is one input; there may be no screen, no
//! keyboard, or, where there is a screen, no line. Writing waits for
//! the line, which never takes long; reading waits for a person, so a reader's request is held.
//! Invariant: while a reader is held nothing is ready to be read.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod input;
mod keyboard;
mod screen;
mod uart;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use input::Input;
use keyboard::Keyboard;
use portolan::console::protocol::{self, Flush, Read, SetMode, WaitForInterrupt, Write};
use portolan::console::{self, Mode, READ_MAX, SERVICE, Serial, WRITE_MAX};
use portolan::device::{Interrupt, interrupt_in};
use portolan::server::{Call, Held, Outcome, Unanswered, refuse};
use portolan::{Answer, Error, Received, Result, bootstrap};
use screen::Screen;
use uart::Uart;

portolan::main!(main);

/// What stops a program, where somebody wants to hear of it.
const CONTROL_C: u8 = 0x03;
/// How many requests for input can be held.
const READERS_MAX: usize = 32;

fn main() -> Result<()> {
    let port = bootstrap::check_in(SERVICE)?;
    let Serial { io_ports, interrupt } = bootstrap::serial(&port)?;
    let screen = bootstrap::screen().and_then(|screen| Screen::open(&screen)).ok();
    let keyboard = bootstrap::keyboard(&port).and_then(Keyboard::open).ok();
    let uart = match Uart::open(io_ports) {
        Err(error) if screen.is_none() => return Err(error),
        uart => uart.ok(),
    };
    let (input, readers) = (Input::default(), VecDeque::new());
    let mut console =
        Console { uart, interrupt, screen, keyboard, input, readers, interrupted: None, unfinished: None };
    protocol::serve(&port, &mut console)
}

struct Console {
    uart: Option<Uart>,
    /// The serial line's.
    interrupt: Interrupt,
    screen: Option<Screen>,
    keyboard: Option<Keyboard>,
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
        let mut shown = Vec::with_capacity(bytes.len());
        shown.extend(self.end_of_anothers_line(call.sender()));
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line {
                [text @ .., b'\n'] => {
                    shown.extend(text);
                    shown.extend(b"\r\n");
                    self.unfinished = None;
                }
                text => {
                    shown.extend(text);
                    self.unfinished = Some(call.sender());
                }
            }
        }
        self.show(&shown)?;
        self.take_input();
        Ok(())
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
        self.uart.as_mut().map_or(Ok(()), Uart::flush)?;
        self.take_input();
        Ok(())
    }

    fn interrupt(&mut self, call: &mut Call<'_, WaitForInterrupt>) -> Outcome<WaitForInterrupt> {
        self.interrupted = Some(call.hold());
        Err(Unanswered::Later)
    }

    fn other(&mut self, message: &mut Received) -> Answer<'static> {
        let Some(arrived) = interrupt_in(message) else { return refuse(message, Error::BadId) };
        // A device that cannot be asked now is asked again with the next request, or the next key.
        let _ = match arrived.line {
            console::Keyboard::LINE => self.take_keys(),
            _ => self.listen(),
        };
        Answer::Nothing
    }
}

impl Console {
    /// What begins a new line, unless the last one has an end or is this task's own.
    fn end_of_anothers_line(&mut self, task: u64) -> &'static [u8] {
        match self.unfinished.take_if(|other| *other != task) {
            Some(_) => b"\r\n",
            None => b"",
        }
    }

    /// Shows bytes everywhere.
    fn show(&mut self, bytes: &[u8]) -> Result<()> {
        let drawn = self.screen.as_mut().map_or(Ok(()), |screen| screen.write(bytes));
        self.uart.as_mut().map_or(Ok(()), |uart| uart.send(bytes))?;
        drawn
    }

    /// Takes what the serial line has received, after an interrupt.
    fn listen(&mut self) -> Result<()> {
        let heard = self.uart.as_mut().map_or(Ok(()), Uart::listen);
        self.take_input();
        heard.and(self.interrupt.acknowledge())
    }

    /// Does what is to be done with what the serial line has received.
    fn take_input(&mut self) {
        while let Some(byte) = self.uart.as_mut().and_then(Uart::received) {
            self.take(byte);
        }
        self.answer_readers();
    }

    /// Does what is to be done with the keys that have been typed, after an interrupt.
    fn take_keys(&mut self) -> Result<()> {
        let Some(keyboard) = &mut self.keyboard else { return Ok(()) };
        keyboard.interrupted()?.into_iter().for_each(|byte| self.take(byte));
        self.answer_readers();
        Ok(())
    }

    fn take(&mut self, byte: u8) {
        let echo = match byte {
            CONTROL_C if self.interrupt_typed() => self.input.give_up_line(),
            byte => self.input.take(byte),
        };
        if echo.ends_with(b"\n") {
            self.unfinished = None;
        }
        // What cannot be shown can still be read.
        let _ = self.show(&echo);
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
