//! The bootstrap server. It is the first task, and all that the kernel starts by itself.
//!
//! ```text
//! main     what comes in: requests of servers and of the program, deaths, and the orders of who looks after it all
//! server   a server: starting it, and whether it is started again
//! service  a declared service: the port that outlives the servers behind it
//! ```
//!
//! It starts the servers that the configuration `servers=` names (`portolan::configuration`), then the
//! program that `run=` names, or several, one after the other (`run=producer,consumer`), and ends the
//! machine with the exit code of the last, or of the first that fails. A server gets, when it asks, what
//! its line of the configuration says; the program gets everything. With `console=kernel` the console
//! server is left out.
//!
//! It serves on its own notify port, and so hears in one place what is asked, exit reports, and deaths. It
//! never waits for a server, as the server may be waiting for it: what it tells them it sends without
//! waiting for room or for an answer.
//!
//! It need not be the first task: started by another, it asks that one for the host port and the archive,
//! checks in for its control port, and when it ends, ends the servers that it started. So there can be a
//! system inside the system.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod server;
mod service;

use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use portolan::abi::task::Limits;
use portolan::bootstrap::routine::{
    self, Archive, CheckIn, Control, Exit, Host, Keyboard, Rtc, Screen, Serial, Services,
};
use portolan::clock;
use portolan::configuration::{self, Given};
use portolan::console::{self, Console};
use portolan::device::IoPorts;
use portolan::program::{Launch, Program};
use portolan::server::{Call, Held, Outcome, Unanswered, refuse};
use portolan::servers::protocol::{self, GetService, Kill, List, ShutDown, Start, Stop};
use portolan::servers::{self, LISTED, ServerInfo};
use portolan::service::ServiceName;
use portolan::start::{entered, startup};
use portolan::{
    Answer, Capacity, Error, MemoryObject, Notice, PortSet, ReceiveRight, Received, Result, Right, SendRight, Task,
    argument, arguments, bootstrap, name_server, notification,
};
use server::{Child, Server, Status};
use service::Service;

portolan::main!(main);

/// What the first task runs if the command line does not say.
const RUN_DEFAULT: &str = "demos";
/// The value of `console=` that leaves the console to the kernel.
const CONSOLE_KERNEL: &str = "kernel";
/// The program gets all that is left of the machine, but for one part in this many.
const KEPT_PART: u64 = 8;

/// Says something, on the console if there is one.
macro_rules! tell {
    ($($argument:tt)*) => { post(&format!("first: {}\n", format_args!($($argument)*))) };
}

fn main() -> Result<u32> {
    let Some(mut first) = First::take()? else { return Ok(1) };
    first.start_servers();
    let code = first.run(argument("run").or(is_first_task().then_some(RUN_DEFAULT)))?;
    Ok(first.close(code))
}

fn is_first_task() -> bool {
    startup().host_privileged.is_some()
}

/// Prints without waiting for the console server, which may be waiting for this task.
fn post(text: &str) {
    let posted = console::this().map(|console| console.post(text.as_bytes()));
    if posted.is_none_or(|posted| posted.is_err()) {
        let _ = portolan::trap::debug_write(text.as_bytes());
    }
}

/// What this task was given, and gives to others.
struct Machine {
    /// The privileged host port.
    host: SendRight,
    archive: MemoryObject,
    archive_size: u64,
    files: portolan::Archive,
}

impl Machine {
    fn take() -> Result<Machine> {
        let startup = startup();
        let (host, archive, archive_size) = match (&startup.host_privileged, &startup.archive) {
            (Some(host), Some((archive, size))) => (host.try_clone()?, archive.right().try_clone()?, *size),
            _ => {
                let (archive, size) = bootstrap::archive_object()?;
                (bootstrap::host()?, archive.into_right(), size)
            }
        };
        let archive = MemoryObject::from_right(archive);
        let files = portolan::Archive::map(&archive, archive_size)?;
        Ok(Machine { host, archive, archive_size, files })
    }

    /// A program of the archive; if it is none, that is said.
    fn program(&self, name: &str) -> Option<Program<'static>> {
        let Some(file) = self.files.file(name) else {
            tell!("there is no program `{name}` in the boot archive");
            return None;
        };
        Program::parse(file).inspect_err(|defect| tell!("`{name}` is no program: {defect}")).ok()
    }

    /// The configuration that the command line names; if it is none, that is said.
    fn configuration(&self) -> Option<Vec<configuration::Server<'static>>> {
        let Some(name) = argument("servers") else { return Some(Vec::new()) };
        let Some(text) = self.files.file(name).and_then(|file| core::str::from_utf8(file).ok()) else {
            tell!("there is no text `{name}` in the boot archive");
            return None;
        };
        let mut servers = configuration::parse(text).inspect_err(|mistake| tell!("`{name}`, {mistake}")).ok()?;
        if argument("console") == Some(CONSOLE_KERNEL) {
            servers.retain(|server| server.name.text() != Ok(console::SERVICE));
        }
        Some(servers)
    }
}

struct First {
    machine: Machine,
    servers: Vec<Server>,
    services: Vec<Service>,
    /// Where declared services are told.
    told: Option<SendRight>,
    /// Where the orders of who looks after the servers come.
    control: ReceiveRight,
    program: Option<Child>,
    /// What the program reported.
    exit: Option<u32>,
    /// Who wants everything to end.
    shutting_down: Option<Held<ShutDown>>,
}

impl First {
    /// `None`: there is a mistake in what this task was given, and it has been said.
    fn take() -> Result<Option<First>> {
        let machine = Machine::take()?;
        let Some(configured) = machine.configuration() else { return Ok(None) };
        let control = match is_first_task() {
            true => ReceiveRight::allocate(Capacity::DEFAULT)?,
            false => bootstrap::check_in(servers::SERVICE)?,
        };
        let services = configured.iter().flat_map(|server| &server.services).map(|name| Service::new(*name)).collect();
        let servers = configured.into_iter().map(Server::new).collect();
        let (told, program, exit, shutting_down) = (None, None, None, None);
        Ok(Some(First { machine, servers, services, told, control, program, exit, shutting_down }))
    }

    fn start_servers(&mut self) {
        // What a server asks of another waits until that one is there, in whatever order they start.
        for number in 0..self.servers.len() {
            if let Err(error) = self.open_services(number) {
                self.give_up(number, format_args!("has no ports: {error:?}"));
            }
        }
        // From now on this task prints there, too.
        if let Some(console) = self.service(console::SERVICE).and_then(|right| right.try_clone().ok()) {
            console::adopt(Console::from_right(console));
        }
        for number in 0..self.servers.len() {
            // Why one could not be started has been said; the others may do without it.
            let _ = self.start_server(number);
        }
    }

    /// Starts a server; if that cannot be, it is given up.
    fn start_server(&mut self, number: usize) -> Result<()> {
        match self.open_services(number).and_then(|()| self.launch(number)) {
            Ok(child) => self.servers[number].status = Status::Running(child),
            Err(error) => {
                self.give_up(number, format_args!("cannot be started: {error:?}"));
                return Err(error);
            }
        }
        Ok(())
    }

    fn launch(&self, number: usize) -> Result<Child> {
        let configured = &self.servers[number].configured;
        let program = self.machine.program(configured.program).ok_or(Error::InvalidName)?;
        // A server is not given what it serves itself: it would wait for itself.
        let other = |name: &str| match configured.serves(name) {
            true => None,
            false => self.service(name),
        };
        let console = other(console::SERVICE).map(SendRight::try_clone).transpose()?.map(Console::from_right);
        let launch = Launch {
            limits: configured.limits,
            priority: configured.priority,
            bootstrap: Right::MakeSend(notification::port()),
            console: console.as_ref(),
            names: other(name_server::SERVICE),
            ..Launch::new(configured.program, configured.arguments)
        };
        Child::of(program.start(launch)?)
    }

    /// Runs programs to their ends, one after the other, until one fails; without programs, the servers run
    /// until the end is ordered. The exit code.
    fn run(&mut self, programs: Option<&str>) -> Result<u32> {
        let Some(programs) = programs else {
            self.serve()?;
            return Ok(0);
        };
        for name in programs.split(',') {
            let code = self.run_program(name)?;
            if code != 0 || self.shutting_down.is_some() {
                return Ok(code);
            }
        }
        Ok(0)
    }

    fn run_program(&mut self, name: &str) -> Result<u32> {
        let Some(program) = self.machine.program(name) else { return Ok(1) };
        self.start_program(&program, name)?;
        self.serve()?;
        if self.shutting_down.is_some() {
            return Ok(0);
        }
        let code = self.exit_code();
        // It has reported, and may still have threads: what it has is for the next one.
        if let Some(program) = self.program.take() {
            program.end(&self.machine.host);
        }
        Ok(code)
    }

    fn start_program(&mut self, program: &Program<'_>, name: &str) -> Result<()> {
        let arguments = format!("program={name} first={} {}", entered(), arguments());
        let launch = Launch::new(name, &arguments);
        let names = self.service(name_server::SERVICE).or(launch.names);
        let bootstrap = Right::MakeSend(notification::port());
        let task = program.start(Launch { limits: limits()?, bootstrap, names, ..launch })?;
        self.program = Some(Child::of(task)?);
        Ok(())
    }

    fn serve(&mut self) -> Result<()> {
        let all = PortSet::allocate()?;
        all.add(notification::port())?;
        all.add(&self.control)?;
        let control = self.control.name();
        all.serve(|message| match message.port() == control {
            true => protocol::dispatch(self, message),
            false => routine::dispatch(self, message),
        })
    }

    /// The end; the exit code. The first task's is the machine's, and ends all others.
    fn close(&mut self, code: u32) -> u32 {
        if !is_first_task() || self.shutting_down.is_some() {
            self.end_all();
        }
        if let Some(request) = self.shutting_down.take() {
            // Whoever has gone needs no answer.
            let _ = request.answer(Ok(()));
        }
        code
    }

    fn end_all(&mut self) {
        let running = self.servers.iter().filter_map(Server::child).chain(&self.program);
        running.for_each(|child| child.end(&self.machine.host));
    }

    /// The exit code of a program that reported one or has died. A notice overtakes messages, so the
    /// report may still be here.
    fn exit_code(&mut self) -> u32 {
        while self.exit.is_none()
            && let Ok(mut message) = notification::port().receive_within(0)
        {
            let _ = routine::dispatch(self, &mut message);
        }
        self.exit.take().unwrap_or_else(|| {
            tell!("the program died without an exit report");
            1
        })
    }

    /// A server has ended, and with it what it had made: it is started again, if its policy allows it.
    fn has_ended(&mut self, number: usize) {
        if let Status::Running(child) = core::mem::replace(&mut self.servers[number].status, Status::Stopped) {
            child.end_made(&self.machine.host);
        }
        if self.servers[number].may_start_again() {
            let _ = self.start_server(number);
        } else {
            self.give_up(number, format_args!("has ended, and is not started again"));
        }
    }

    fn give_up(&mut self, number: usize, why: fmt::Arguments<'_>) {
        tell!("{:?} {why}", self.servers[number].configured.name);
        self.servers[number].status = Status::GivenUp;
        self.close_services(number);
    }

    /// Sees to it that each of its services has a port, and tells of those that are new.
    fn open_services(&mut self, number: usize) -> Result<()> {
        let configured = &self.servers[number].configured;
        for service in self.services.iter_mut().filter(|service| configured.services.contains(&service.name)) {
            if service.open()?
                && let Some(told) = &self.told
            {
                match service.declare(told) {
                    // The name server has gone. The next one asks for all of them.
                    Err(Error::SendInvalidPort) => {}
                    declared => declared?,
                }
            }
        }
        Ok(())
    }

    /// Whoever waits for one of its services, or asks, is told that the port is dead.
    fn close_services(&mut self, number: usize) {
        let configured = &self.servers[number].configured;
        let its = self.services.iter_mut().filter(|service| configured.services.contains(&service.name));
        its.for_each(Service::close);
    }

    /// A send right to a service that has a port.
    fn service(&self, name: &str) -> Option<&SendRight> {
        self.services.iter().find(|service| service.name.text() == Ok(name))?.right()
    }

    /// The server whose task this is.
    fn server_of(&self, task: u64) -> Option<usize> {
        self.servers.iter().position(|server| server.child().is_some_and(|child| child.id == task))
    }

    fn is_program(&self, task: u64) -> bool {
        self.program.as_ref().is_some_and(|program| program.id == task)
    }

    /// Whether a task is given this: the program everything, a server what is configured.
    fn may_have(&self, task: u64, what: Given) -> Result<()> {
        let configured =
            || self.server_of(task).is_some_and(|number| self.servers[number].configured.given.contains(&what));
        if self.is_program(task) || configured() { Ok(()) } else { Err(Error::NoAccess) }
    }

    /// The server of this name.
    fn named(&self, name: ServiceName) -> Result<usize> {
        self.servers.iter().position(|server| server.configured.name == name).ok_or(Error::InvalidName)
    }

    fn heed(&mut self, notice: Notice, message: &mut Received) -> Answer<'static> {
        match notice {
            Notice::DeadName(name) if self.program.as_ref().is_some_and(|program| program.is(name)) => Answer::Stop,
            Notice::DeadName(name) => {
                let died = |server: &Server| server.child().is_some_and(|child| child.is(name));
                if let Some(number) = self.servers.iter().position(died) {
                    self.has_ended(number);
                }
                Answer::Nothing
            }
            Notice::PortDestroyed(_) => {
                if let Ok(port) = message.take_receive(0)
                    && let Some(service) = self.services.iter_mut().find(|service| service.is(&port))
                {
                    service.came_back(port);
                }
                Answer::Nothing
            }
            _ => Answer::Nothing,
        }
    }
}

/// What this task can give to the program.
fn limits() -> Result<Limits> {
    Ok(Task::this().info()?.left().part(|left| left / KEPT_PART * (KEPT_PART - 1)))
}

impl routine::Server for First {
    fn host(&mut self, call: &mut Call<'_, Host>) -> Outcome<Host> {
        self.may_have(call.sender(), Given::Host)?;
        Ok(self.machine.host.try_clone()?)
    }

    fn archive(&mut self, call: &mut Call<'_, Archive>) -> Outcome<Archive> {
        self.may_have(call.sender(), Given::Archive)?;
        Ok((self.machine.archive_size, self.machine.archive.right().try_clone()?))
    }

    fn exit(&mut self, call: &mut Call<'_, Exit>, code: u32, _reserved: u32) -> Outcome<Exit> {
        if !self.is_program(call.sender()) {
            // Of a server's end its death tells.
            return Err(Error::NoAccess.into());
        }
        self.exit = Some(code);
        Err(Unanswered::Stop)
    }

    fn serial(&mut self, call: &mut Call<'_, Serial>, told: SendRight) -> Outcome<Serial> {
        self.may_have(call.sender(), Given::Serial)?;
        Ok(console::Serial::claim(&self.machine.host, told.into())?.into_rights())
    }

    fn screen(&mut self, call: &mut Call<'_, Screen>) -> Outcome<Screen> {
        self.may_have(call.sender(), Given::Screen)?;
        Ok(console::Screen::claim(&self.machine.host)?.into_parts())
    }

    fn keyboard(&mut self, call: &mut Call<'_, Keyboard>, told: SendRight) -> Outcome<Keyboard> {
        self.may_have(call.sender(), Given::Keyboard)?;
        Ok(console::Keyboard::claim(&self.machine.host, told.into())?.into_rights())
    }

    fn rtc(&mut self, call: &mut Call<'_, Rtc>) -> Outcome<Rtc> {
        self.may_have(call.sender(), Given::Rtc)?;
        let (first, count) = clock::RTC_IO_PORTS;
        Ok(IoPorts::claim(&self.machine.host, first, count)?.into_right())
    }

    fn check_in(&mut self, call: &mut Call<'_, CheckIn>, name: ServiceName) -> Outcome<CheckIn> {
        let task = call.sender();
        let number = self.server_of(task).ok_or(Error::InvalidName)?;
        if !self.servers[number].configured.services.contains(&name) {
            return Err(Error::InvalidName.into());
        }
        let service = self.services.iter_mut().find(|service| service.name == name).ok_or(Error::InvalidName)?;
        service.check_in(task, call)
    }

    fn services(&mut self, call: &mut Call<'_, Services>, to: SendRight) -> Outcome<Services> {
        self.may_have(call.sender(), Given::Services)?;
        self.services.iter().try_for_each(|service| service.declare(&to))?;
        self.told = Some(to);
        Ok(())
    }

    fn control(&mut self, call: &mut Call<'_, Control>) -> Outcome<Control> {
        if !self.is_program(call.sender()) {
            return Err(Error::NoAccess.into());
        }
        Ok(self.control.make_send()?)
    }

    fn other(&mut self, message: &mut Received) -> Answer<'static> {
        match message.notice() {
            Some(notice) => self.heed(notice, message),
            None => refuse(message, Error::BadId),
        }
    }
}

impl protocol::Server for First {
    fn list(&mut self, _: &mut Call<'_, List>, first: u32, _reserved: u32) -> Outcome<List> {
        let mut listed = [ServerInfo::NONE; LISTED];
        let mut count = 0;
        for (place, server) in listed.iter_mut().zip(self.servers.iter().skip(first as usize)) {
            *place = server.info();
            count += 1;
        }
        Ok((count, 0, listed))
    }

    fn start(&mut self, _: &mut Call<'_, Start>, name: ServiceName) -> Outcome<Start> {
        let number = self.named(name)?;
        if self.servers[number].child().is_some() {
            return Err(Error::Failure.into());
        }
        self.servers[number].forget_restarts();
        Ok(self.start_server(number)?)
    }

    fn stop(&mut self, _: &mut Call<'_, Stop>, name: ServiceName) -> Outcome<Stop> {
        let number = self.named(name)?;
        self.servers[number].child().ok_or(Error::Failure)?.end(&self.machine.host);
        self.servers[number].status = Status::Stopped;
        self.close_services(number);
        Ok(())
    }

    fn kill(&mut self, _: &mut Call<'_, Kill>, name: ServiceName) -> Outcome<Kill> {
        // Of its death the kernel tells, as of any other.
        self.servers[self.named(name)?].child().ok_or(Error::Failure)?.end(&self.machine.host);
        Ok(())
    }

    fn get_service(&mut self, _: &mut Call<'_, GetService>, name: ServiceName) -> Outcome<GetService> {
        let service = self.services.iter().find(|service| service.name == name);
        Ok(service.and_then(Service::right).ok_or(Error::InvalidName)?.try_clone()?)
    }

    fn shut_down(&mut self, call: &mut Call<'_, ShutDown>) -> Outcome<ShutDown> {
        self.shutting_down = Some(call.hold());
        Err(Unanswered::Stop)
    }
}
