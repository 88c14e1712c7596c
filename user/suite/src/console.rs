//! The console server, on a line that is looped back: what is written is what is typed. Its screen is an ordinary
//! memory object, and its keyboard is typed at by the controller's own command.

use crate::case::{Failure, Verdict};
use crate::message;
use crate::peer::Peer;
use crate::protocol::{self, routine};
use crate::system::System;
use crate::{cases, holds, same};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use portolan::abi::Disposition;
use portolan::abi::host::{Framebuffer, PixelFormat};
use portolan::abi::interface::Routine;
use portolan::bootstrap;
use portolan::bootstrap::routine::CheckIn;
use portolan::console::protocol::{Read, Write, arguments};
use portolan::console::{self, Console, Keyboard, Mode, READ_MAX, Screen, Serial, WRITE_MAX};
use portolan::device::{Interrupt, IoPorts};
use portolan::interface::MsgRpc;
use portolan::program::LIMITS_SMALL;
use portolan::server::{Served, refuse};
use portolan::servers::State;
use portolan::thread::sleep_ms;
use portolan::{
    Answer, Capacity, Error, Mapping, MemoryObject, Message, Notice, Protection, ReceiveRight, Result, Right,
    SendRight, Task, trap,
};
use zerocopy::IntoBytes;

cases!("console":
    what_is_written_leaves_the_line_whole,
    bytes_are_read_as_they_come,
    a_line_is_read_when_it_is_whole,
    a_line_is_edited_until_its_end,
    a_carriage_return_and_a_line_feed_are_one_end,
    a_long_line_is_read_in_parts,
    readers_are_answered_in_their_order,
    a_reader_that_has_gone_takes_nothing,
    too_many_readers_are_refused,
    bad_requests_are_refused,
    lines_of_two_tasks_do_not_mix,
    a_server_that_dies_leaves_the_kernels_console,
    a_line_that_nobody_serves_is_given_back,
    output_goes_on_when_the_server_is_killed,
    control_c_is_told_to_who_asked,
    what_is_written_is_drawn_on_the_screen,
    what_cannot_be_drawn_on_is_done_without,
    keys_and_the_line_are_one_input,
    bytes_that_are_no_keys_type_nothing,
    control_c_can_be_typed_at_the_keyboard,
);

const PATIENCE_MS: u32 = 5000;
/// The register with the bit that loops the line back, and the bit.
const MODEM: u32 = 4;
const LOOPED: u8 = 0x10;

struct Started {
    task: Task,
    console: Console,
    host: SendRight,
}

/// What a server is given besides the line.
#[derive(Default)]
struct Given {
    screen: Option<Screen>,
    keyboard: bool,
}

impl Started {
    /// With nothing but the line.
    fn start(mode: Mode) -> core::result::Result<Started, Failure> {
        Ok(Started::with(mode, Given::default())?.0)
    }

    /// The server, and the keyboard if it has one.
    fn with(mode: Mode, given: Given) -> core::result::Result<(Started, Option<Controller>), Failure> {
        let host = SendRight::from_name(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0]);
        let service = mailbox()?;
        let console = Console::from_right(service.make_send()?);
        let serial = Serial::claim(&host, Right::MakeSend(&service))?;
        serial.io_ports.write(MODEM, LOOPED)?;
        let port = mailbox()?;
        let task = protocol::start_program("console", "", LIMITS_SMALL, Right::MakeSend(&port))?;
        let keyboard = given.keyboard.then(|| Keyboard::claim(&host, Right::MakeSend(&service))).transpose()?;
        let (keyboard, controller) = keyboard.map(Controller::share).transpose()?.unzip();
        give::<CheckIn>(&port, Ok(service))?;
        give::<bootstrap::routine::Serial>(&port, Ok(serial.into_rights()))?;
        give::<bootstrap::routine::Screen>(&port, given.screen.map(Screen::into_parts).ok_or(Error::Failure))?;
        give::<bootstrap::routine::Keyboard>(&port, keyboard.map(Keyboard::into_rights).ok_or(Error::NoAccess))?;
        console.set_mode(mode)?;
        Ok((Started { task, console, host }, controller))
    }

    /// Asks for input without waiting for it.
    fn ask(&self, reply: &ReceiveRight) -> Result<()> {
        self.console.ask(reply)
    }

    /// Reads until there are so many bytes.
    fn read(&self, count: usize) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.console.read()?);
        }
        Ok(all)
    }

    fn line(&self) -> core::result::Result<String, Failure> {
        String::from_utf8(self.console.read()?).map_err(|_| Failure::new("it is no text"))
    }
}

/// Answers the server's next request.
fn give<R: Served>(port: &ReceiveRight, given: Result<R::Given>) -> Verdict {
    let mut asked = port.receive_within(PATIENCE_MS)?;
    same!(asked.id(), R::ID);
    match given {
        Ok(given) => asked.answer(R::answer(given))?,
        Err(error) => {
            if let Answer::Reply(refusal) = refuse(&asked, error) {
                asked.answer(refusal)?;
            }
        }
    }
    Ok(())
}

/// The keyboard's controller, which the server has, too.
struct Controller {
    data: IoPorts,
    state: IoPorts,
}

impl Controller {
    /// The command that has it say what is written next as if the keyboard had.
    const SAY: u8 = 0xd2;
    /// The state: what it said, or what was written, has not been taken.
    const FULL_OR_BUSY: u8 = 0b11;

    fn share(keyboard: Keyboard) -> Result<(Keyboard, Controller)> {
        let (data, state, interrupt) = keyboard.into_rights();
        let controller =
            Controller { data: IoPorts::from_right(data.try_clone()?), state: IoPorts::from_right(state.try_clone()?) };
        let [data, state] = [data, state].map(IoPorts::from_right);
        Ok((Keyboard { data, state, interrupt: Interrupt::from_right(interrupt) }, controller))
    }

    fn types(&self, codes: &[u8]) -> Verdict {
        for code in codes {
            self.wait()?;
            self.state.write(0, Self::SAY)?;
            self.wait()?;
            self.data.write(0, *code)?;
        }
        self.wait()
    }

    fn wait(&self) -> Verdict {
        for _ in 0..PATIENCE_MS {
            if self.state.read(0)? & Self::FULL_OR_BUSY == 0 {
                return Ok(());
            }
            sleep_ms(1);
        }
        Err(Failure::new("nobody takes what the keyboard says"))
    }
}

/// A screen of three rows, that does not begin at a page.
const SCREEN: Framebuffer = Framebuffer {
    address: 0x12_3040,
    width: 203,
    height: 50,
    stride: 208,
    bytes_per_pixel: 4,
    format: PixelFormat::Bgr as u32,
    reserved: 0,
};
const SCREEN_START: usize = 0x40;
const SCREEN_SIZE: usize = 208 * 50 * 4;

/// A screen, and how it is looked at.
fn screen() -> Result<(Screen, Mapping)> {
    let memory = MemoryObject::create((SCREEN_START + SCREEN_SIZE) as u64)?;
    let seen = memory.map(Protection::READ)?;
    Ok((Screen { framebuffer: SCREEN, memory }, seen))
}

/// The text on a screen.
fn text(screen: &Mapping) -> core::result::Result<Vec<String>, Failure> {
    let mut pixels = vec![0; SCREEN_SIZE];
    screen.read(SCREEN_START, &mut pixels)?;
    let (width, height) = (SCREEN.width as usize, SCREEN.height as usize);
    let grey = |x, y| pixels[(y * SCREEN.stride as usize + x) * 4];
    Ok(portolan_terminal::read(width, height, grey).iter().map(|row| String::from(row.trim_end())).collect())
}

fn mailbox() -> Result<ReceiveRight> {
    ReceiveRight::allocate(Capacity::DEFAULT)
}

/// What an answer to `ask` brought.
fn answered(reply: &ReceiveRight) -> core::result::Result<String, Failure> {
    let bytes = console::typed(&reply.receive_within(PATIENCE_MS)?)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn what_is_written_leaves_the_line_whole() -> Verdict {
    let server = Started::start(Mode::Bytes)?;
    let text: Vec<u8> = (0..WRITE_MAX).map(|index| b'a' + (index % 26) as u8).collect();
    for _ in 0..3 {
        server.console.write(&text)?;
        same!(server.read(WRITE_MAX)?, text);
    }
    server.console.flush()?;
    Ok(())
}

fn bytes_are_read_as_they_come() -> Verdict {
    let server = Started::start(Mode::Bytes)?;
    server.console.write(b"a\x08\x15\x04\0\xff")?;
    same!(server.read(6)?, b"a\x08\x15\x04\0\xff");
    server.console.write(b"x\n")?;
    same!(server.read(3)?, b"x\r\n");
    Ok(())
}

fn a_line_is_read_when_it_is_whole() -> Verdict {
    let (server, mine) = (Started::start(Mode::HiddenLines)?, mailbox()?);
    server.ask(&mine)?;
    server.console.write(b"half a ")?;
    sleep_ms(5);
    same!(mine.receive_within(0).map(drop), Err(Error::ReceiveTimedOut));
    server.console.write(b"line\n")?;
    same!(answered(&mine)?, "half a line\n");
    Ok(())
}

fn a_line_is_edited_until_its_end() -> Verdict {
    let server = Started::start(Mode::HiddenLines)?;
    server.console.write("abx\x08c\u{e9}\x7f\n".as_bytes())?;
    same!(server.line()?, "abc\n");
    server.console.write(b"all wrong\x15\x08\x08right\x01\n")?;
    same!(server.line()?, "right\n");
    Ok(())
}

fn a_carriage_return_and_a_line_feed_are_one_end() -> Verdict {
    let server = Started::start(Mode::HiddenLines)?;
    // A line feed is written as the two.
    server.console.write(b"1\r2\n3\r\r4\n")?;
    for line in ["1\n", "2\n", "3\n", "\n", "4\n"] {
        same!(server.line()?, line);
    }
    Ok(())
}

fn a_long_line_is_read_in_parts() -> Verdict {
    let server = Started::start(Mode::HiddenLines)?;
    let mut text = [b'x'; 300];
    text[299] = b'\n';
    server.console.write(&text)?;
    // What is beyond a line's greatest length is lost, but not its end.
    same!(server.line()?.len(), 256);
    server.console.write(b"abc\n")?;
    let read = |most| console::protocol::read(&MsgRpc, server.console.right().name(), most, 0);
    for part in [&b"ab"[..], b"c\n"] {
        let read = read(2)?.results;
        same!(&read.bytes[..read.count as usize], part);
    }
    Ok(())
}

fn readers_are_answered_in_their_order() -> Verdict {
    let server = Started::start(Mode::HiddenLines)?;
    let readers = [mailbox()?, mailbox()?, mailbox()?];
    readers.iter().try_for_each(|reader| server.ask(reader))?;
    server.console.write(b"one\ntwo\n")?;
    server.console.write(b"three\n")?;
    for (reader, line) in readers.iter().zip(["one\n", "two\n", "three\n"]) {
        same!(answered(reader)?, line);
    }
    Ok(())
}

fn a_reader_that_has_gone_takes_nothing() -> Verdict {
    let (server, gone) = (Started::start(Mode::HiddenLines)?, mailbox()?);
    server.ask(&gone)?;
    server.ask(&gone)?;
    drop(gone);
    server.console.write(b"kept\n")?;
    same!(server.line()?, "kept\n");
    Ok(())
}

fn too_many_readers_are_refused() -> Verdict {
    let (server, mine) = (Started::start(Mode::HiddenLines)?, mailbox()?);
    for _ in 0..32 {
        server.ask(&mine)?;
    }
    same!(server.console.read().map(drop), Err(Error::NoSpace));
    for _ in 0..32 {
        server.console.write(b"x\n")?;
        same!(answered(&mine)?, "x\n");
    }
    Ok(())
}

fn bad_requests_are_refused() -> Verdict {
    let server = Started::start(Mode::Bytes)?;
    let name = server.console.right().name();
    let write = |count| console::protocol::write(&MsgRpc, name, count, 0, [0; WRITE_MAX]).map(drop);
    same!(write(WRITE_MAX as u32 + 1), Err(Error::InvalidArgument));
    same!(write(u32::MAX), Err(Error::InvalidArgument));
    same!(write(0), Ok(()));
    same!(console::protocol::read(&MsgRpc, name, 0, 0).map(drop), Err(Error::InvalidArgument));
    same!(console::protocol::set_mode(&MsgRpc, name, 3, 0).map(drop), Err(Error::InvalidArgument));
    same!(routine::passed(&MsgRpc, name).map(drop), Err(Error::BadId));
    server.console.write(b"ok")?;
    same!(server.read(2)?, b"ok");
    Ok(())
}

fn lines_of_two_tasks_do_not_mix() -> Verdict {
    let (server, peer) = (Started::start(Mode::Bytes)?, Peer::start()?);
    let there = peer.give(server.console.right().name(), Disposition::CopySend)?;
    let mut bytes = [0; WRITE_MAX];
    bytes[..4].copy_from_slice(b"two\n");
    let write = arguments::Write { count: 4, reserved: 0, bytes };
    let two = message::Message::copy_to(there).id(Write::ID).body(write.as_bytes());
    server.console.write(b"on")?;
    server.console.write(b"e")?;
    peer.hand.send(&two, message::NONE, 0)?.finish()?.result?;
    server.console.write(b"three\n")?;
    same!(server.read(17)?, b"one\r\ntwo\r\nthree\r\n");
    Ok(())
}

fn a_server_that_dies_leaves_the_kernels_console() -> Verdict {
    let (server, mine) = (Started::start(Mode::HiddenLines)?, mailbox()?);
    console::adopt(Console::from_right(server.console.right().try_clone()?));
    same!(trap::debug_write(b"refused while a server has the line\n"), Err(Error::NoAccess));
    same!(portolan::print::write(b"by the server\n"), Ok(()));
    same!(server.line()?, "by the server\n");
    server.ask(&mine)?;
    same!(server.console.flush(), Ok(()));
    server.task.terminate()?;
    same!(mine.receive_within(PATIENCE_MS)?.notice(), Some(Notice::SendOnce));
    same!(server.console.write(b"nobody\n"), Err(Error::SendInvalidPort));
    same!(portolan::print::write(b"a console server has died on purpose\n"), Ok(()));
    same!(trap::debug_write(b"the kernel has its console again\n"), Ok(()));
    // Whoever starts the next one finds the line free.
    IoPorts::claim(&server.host, Serial::IO_PORTS.0, Serial::IO_PORTS.1)?;
    Ok(())
}

fn a_line_that_nobody_serves_is_given_back() -> Verdict {
    let host = SendRight::from_name(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0]);
    let service = mailbox()?;
    let console = Console::from_right(service.make_send()?);
    let serial = Serial::claim(&host, Right::MakeSend(&service))?;
    same!(Serial::claim(&host, Right::MakeSend(&service)).map(drop), Err(Error::NoSpace));
    drop((serial, service));
    same!(console.write(b"nobody\n"), Err(Error::SendInvalidPort));
    same!(trap::debug_write(b"the kernel has its console again\n"), Ok(()));
    drop(Serial::claim(&host, Right::MakeSend(&mailbox()?))?);
    Ok(())
}

fn output_goes_on_when_the_server_is_killed() -> Verdict {
    let (system, mine) = (System::with("servers=suite.conf")?, mailbox()?);
    let console = Console::from_right(system.servers.service(console::SERVICE)?);
    console.write(b"a console server writes, and is killed on purpose:\n")?;
    let first = system.servers.info(console::SERVICE)?;
    let arguments = arguments::Read { most: READ_MAX as u32, reserved: 0 };
    console.right().send(Message::new(Read::ID).value(arguments).reply_to(Right::MakeSendOnce(&mine)))?;
    // When this is answered the server has the request to read in its hand.
    console.flush()?;
    system.servers.kill(console::SERVICE)?;
    same!(mine.receive_within(PATIENCE_MS)?.notice(), Some(Notice::SendOnce));
    same!(console.write(b"this is the next one.\n"), Ok(()));
    console.flush()?;
    let next = system.servers.info(console::SERVICE)?;
    same!((next.restarts, next.state()), (1, Some(State::Running)));
    holds!(next.task != first.task, next.task);
    // The line and the keyboard are the new server's alone.
    let host = SendRight::from_name(routine::host(&MsgRpc, protocol::bootstrap())?.rights[0]);
    for register in Keyboard::IO_PORTS {
        same!(IoPorts::claim(&host, register, 1).map(drop), Err(Error::NoSpace));
    }
    same!(trap::debug_write(b"refused while a server has the line\n"), Err(Error::NoAccess));
    system.servers.stop(console::SERVICE)?;
    // Asked before the port has died, or after that.
    let refused = console.write(b"nobody\n");
    holds!(matches!(refused, Err(Error::ReceiveReplyLost | Error::SendInvalidPort)), refused);
    same!(trap::debug_write(b"the kernel has its console again\n"), Ok(()));
    Ok(())
}

fn control_c_is_told_to_who_asked() -> Verdict {
    let server = Started::start(Mode::HiddenLines)?;
    server.console.write(b"hal\x03f\n")?;
    same!(server.line()?, "half\n");

    let (told, other) = (mailbox()?, mailbox()?);
    server.console.ask_for_interrupt(&told)?;
    server.console.write(b"given up\x03kept\n")?;
    console::interrupted(&told.receive_within(PATIENCE_MS)?)?;
    same!(server.line()?, "kept\n");
    // It is told once.
    server.console.write(b"a\x03b\n")?;
    same!(server.line()?, "ab\n");

    server.console.ask_for_interrupt(&told)?;
    server.console.ask_for_interrupt(&other)?;
    same!(console::interrupted(&told.receive_within(PATIENCE_MS)?), Err(Error::ReceiveReplyLost));
    server.console.set_mode(Mode::Bytes)?;
    server.console.write(b"\x03")?;
    same!(server.read(1)?, b"\x03");
    // Who has asked, and gone, is passed over.
    drop(other);
    server.console.set_mode(Mode::HiddenLines)?;
    server.console.write(b"c\x03d\n")?;
    same!(server.line()?, "cd\n");
    Ok(())
}

fn what_is_written_is_drawn_on_the_screen() -> Verdict {
    let (screen, seen) = screen()?;
    let again = || -> Result<Option<Screen>> {
        Ok(Some(Screen { framebuffer: SCREEN, memory: screen.memory.derive(Protection::READ_WRITE)? }))
    };
    let (server, _) = Started::with(Mode::HiddenLines, Given { screen: again()?, keyboard: false })?;
    same!(text(&seen)?, ["", "", ""]);
    server.console.write(b"Hello, port!\n")?;
    same!(text(&seen)?, ["Hello, port!", "", ""]);
    server.console.write("1 \u{e9}\n2\x1b[31m\x08three\nand more\n".as_bytes())?;
    same!(text(&seen)?, ["three", "and more", ""]);
    // The line has it all, too.
    same!(server.line()?, "Hello, port!\n");
    // The one that is started in its place begins with an empty screen.
    server.task.terminate()?;
    let (server, _) = Started::with(Mode::HiddenLines, Given { screen: again()?, keyboard: false })?;
    same!(text(&seen)?, ["", "", ""]);
    server.console.write(b"back\n")?;
    same!(text(&seen)?, ["back", "", ""]);
    Ok(())
}

fn what_cannot_be_drawn_on_is_done_without() -> Verdict {
    for framebuffer in [
        Framebuffer { bytes_per_pixel: 0, ..SCREEN },
        Framebuffer { stride: u32::MAX, height: u32::MAX, ..SCREEN },
        Framebuffer { height: 100_000, ..SCREEN },
    ] {
        let (screen, seen) = screen()?;
        let screen = Some(Screen { framebuffer, memory: screen.memory });
        let (server, _) = Started::with(Mode::HiddenLines, Given { screen, keyboard: false })?;
        server.console.write(b"by the line\n")?;
        same!(server.line()?, "by the line\n");
        holds!(seen.words().iter().all(|word| word.load(Ordering::Relaxed) == 0), framebuffer);
        server.task.terminate()?;
    }
    Ok(())
}

/// A server with a keyboard.
fn with_keyboard(mode: Mode) -> core::result::Result<(Started, Controller), Failure> {
    match Started::with(mode, Given { screen: None, keyboard: true })? {
        (server, Some(controller)) => Ok((server, controller)),
        (_, None) => Err(Failure::new("there is no keyboard")),
    }
}

fn keys_and_the_line_are_one_input() -> Verdict {
    let (server, keyboard) = with_keyboard(Mode::HiddenLines)?;
    keyboard.types(&[0x23, 0xa3, 0x17, 0x97, 0x1c, 0x9c])?;
    same!(server.line()?, "hi\n");
    keyboard.types(&[0x2a, 0x1e, 0xaa])?;
    server.console.write(b"b")?;
    server.console.flush()?;
    // What the line has received has been taken when this is answered.
    sleep_ms(5);
    keyboard.types(&[0x2e, 0x1c])?;
    same!(server.line()?, "Abc\n");
    server.console.set_mode(Mode::Bytes)?;
    keyboard.types(&[0xe0, 0x48, 0xe0, 0xc8, 0x0e, 0xe0, 0x53])?;
    same!(server.read(8)?, b"\x1b[A\x7f\x1b[3~");
    Ok(())
}

fn bytes_that_are_no_keys_type_nothing() -> Verdict {
    let (server, keyboard) = with_keyboard(Mode::Bytes)?;
    let every: Vec<u8> = (0x80..=0xff).filter(|code| !matches!(code, 0xe0 | 0xe1)).collect();
    keyboard.types(&every)?;
    keyboard.types(&[0x00, 0x7f, 0xe0, 0x00, 0xe1, 0x00])?;
    keyboard.types(&[0x1e])?;
    same!(server.read(1)?, b"a");
    Ok(())
}

fn control_c_can_be_typed_at_the_keyboard() -> Verdict {
    let (server, keyboard) = with_keyboard(Mode::HiddenLines)?;
    let told = mailbox()?;
    server.console.ask_for_interrupt(&told)?;
    keyboard.types(&[0x1e, 0x1d, 0x2e, 0x9d])?;
    console::interrupted(&told.receive_within(PATIENCE_MS)?)?;
    keyboard.types(&[0x30, 0x1c])?;
    same!(server.line()?, "b\n");
    Ok(())
}
