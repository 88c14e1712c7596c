//! The console as a person sees it: keys come in, a line is edited, control-C is heard.
//!
//! While a line is typed at the shell, the console gives every byte as it comes; while a program runs, it
//! gives lines to whoever reads, and tells the shell of control-C only. What comes for the shell otherwise
//! comes through the same port set. Invariant: at most one request for bytes is on its way, and none
//! while a program runs. A console server that has died and come back is asked again.

use crate::editor::{Editor, Typed};
use crate::keys::Keys;
use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;
use portolan::console::{self, Console, Mode};
use portolan::{Capacity, Error, PortSet, ReceiveRight, Received, Result, notification, print, println};

/// The server through which the shell is typed at.
pub(crate) const SERVER: &str = console::SERVICE;
const PROMPT: &str = "portolan> ";

pub(crate) struct Terminal {
    console: &'static Console,
    editor: Editor,
    /// What the editor shows, until it is written.
    screen: String,
    /// A line is being typed, and shown.
    editing: bool,
    /// Everything that the shell waits for.
    all: PortSet,
    /// Where bytes come.
    keys: ReceiveRight,
    /// Bytes have been asked for.
    asked: bool,
    /// Bytes that have come.
    ahead: VecDeque<u8>,
    /// Where word of control-C comes, while a program runs.
    interrupt: Option<ReceiveRight>,
    interrupted: bool,
}

impl Terminal {
    /// # Errors
    /// `InvalidCapability`: there is no console server.
    pub(crate) fn open() -> Result<Terminal> {
        let console = console::this().ok_or(Error::InvalidCapability)?;
        let (all, keys) = (PortSet::allocate()?, ReceiveRight::allocate(Capacity::DEFAULT)?);
        all.add(&keys)?;
        all.add(notification::port())?;
        console.set_mode(Mode::Bytes)?;
        Ok(Terminal {
            console,
            editor: Editor::new(PROMPT),
            screen: String::new(),
            editing: false,
            all,
            keys,
            asked: false,
            ahead: VecDeque::new(),
            interrupt: None,
            interrupted: false,
        })
    }

    /// Shows the prompt. A console server that has been started again meanwhile gives lines: it is told each time.
    pub(crate) fn begin_line(&mut self) {
        self.set_mode(Mode::Bytes);
        self.draw_line();
    }

    fn draw_line(&mut self) {
        self.editing = true;
        self.editor.draw(&mut self.screen);
        self.show();
    }

    /// What the bytes that have come amount to; `None` when there are no more of them.
    pub(crate) fn next_typed(&mut self) -> Option<Typed> {
        let mut typed = None;
        while typed.is_none()
            && let Some(byte) = self.ahead.pop_front()
        {
            typed = self.editor.take(byte, &mut self.screen);
        }
        self.show();
        self.editing = matches!(typed, None | Some(Typed::Complete));
        typed
    }

    pub(crate) fn before_cursor(&self) -> String {
        self.editor.before_cursor()
    }

    pub(crate) fn complete(&mut self, candidates: &[String]) {
        self.editor.complete(candidates, &mut self.screen);
        self.show();
    }

    /// Says something at any time; a line that is being typed comes after it again.
    pub(crate) fn say(&mut self, text: fmt::Arguments<'_>) {
        if self.editing {
            self.editor.hide(&mut self.screen);
            self.show();
        }
        println!("{text}");
        if self.editing {
            self.draw_line();
        }
    }

    fn show(&mut self) {
        if !self.screen.is_empty() {
            print!("{}", self.screen);
            self.screen.clear();
        }
    }

    /// Sees to it that bytes come.
    ///
    /// # Errors
    /// There is no console any more.
    pub(crate) fn ask(&mut self) -> Result<()> {
        if !self.asked {
            self.console.ask(&self.keys)?;
            self.asked = true;
        }
        Ok(())
    }

    /// The next message of any kind.
    pub(crate) fn receive(&self) -> Result<Received> {
        self.all.receive()
    }

    /// The same, within so many ms.
    pub(crate) fn receive_within(&self, ms: u32) -> Result<Received> {
        self.all.receive_within(ms)
    }

    /// Whether the message is for the terminal; then it has been heeded.
    pub(crate) fn hears(&mut self, message: &Received) -> bool {
        if message.port() == self.keys.name() {
            self.asked = false;
            match console::typed(message) {
                Ok(bytes) => self.ahead.extend(bytes),
                Err(_) => {
                    self.set_mode(Mode::Bytes);
                    self.say(format_args!("the console server has died, and another one is there"));
                }
            }
            return true;
        }
        let Some(interrupt) = self.interrupt.as_ref().filter(|port| port.name() == message.port()) else {
            return false;
        };
        match console::interrupted(message) {
            Ok(()) => self.interrupted = true,
            // One that cannot be asked is asked no more.
            Err(_) if self.console.ask_for_interrupt(interrupt).is_err() => self.interrupt = None,
            Err(_) => {}
        }
        true
    }

    /// What is typed is the program's from now on, but for control-C.
    ///
    /// # Errors
    /// `NoSpace`, `ResourceShortage`.
    pub(crate) fn lend(&mut self) -> Result<()> {
        let interrupt = ReceiveRight::allocate(Capacity::DEFAULT)?;
        self.all.add(&interrupt)?;
        self.set_mode(Mode::Lines);
        // Without an answer the program runs all the same.
        self.interrupt = self.console.ask_for_interrupt(&interrupt).is_ok().then_some(interrupt);
        self.interrupted = false;
        Ok(())
    }

    /// Takes it back.
    pub(crate) fn take_back(&mut self) {
        self.interrupt = None;
        self.set_mode(Mode::Bytes);
    }

    /// Whether control-C was typed, since this was asked last.
    pub(crate) fn was_interrupted(&mut self) -> bool {
        core::mem::take(&mut self.interrupted)
    }

    /// Whether any key has been pressed; it is forgotten, and what was typed after it is kept.
    pub(crate) fn was_pressed(&mut self) -> bool {
        let mut keys = Keys::default();
        while let Some(byte) = self.ahead.pop_front() {
            if keys.take(byte).is_some() {
                return true;
            }
        }
        false
    }

    fn set_mode(&self, mode: Mode) {
        // Where there is no console any more, the next request says so.
        let _ = self.console.set_mode(mode);
    }
}
