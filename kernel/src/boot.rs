//! Start: the kernel's state from what the machine found, and the first task.
//!
//! The first task is the ELF program `first` of the boot archive. It gets both host
//! ports, the archive as a memory object, and the command line; it starts all others.
//! Invariant: whatever is wrong with the archive is said in one line.
//! Neighbours: the binary, `elf`, `run`.

use crate::arena::{Arena, OutOfMemory};
use crate::claims::Claims;
use crate::elf::{BadProgram, Program, Segment};
use crate::ipc::deadlock::Refused;
use crate::ipc::message::CarriedRight;
use crate::ipc::port::{HostAccess, KernelObject, Owner, Ports};
use crate::ipc::{self, death, right};
use crate::kernel::{CPUS_MAX, Kernel};
use crate::list::List;
use crate::sched::Scheduler;
use crate::sched::timer::Timers;
use crate::task::word::Words;
use crate::task::{self, AccountId, Accounts, TaskId, TaskName};
use crate::trace::Ring;
use crate::vm::copy::Window;
use crate::vm::map::{End, Place, Range, Showing};
use crate::vm::object::Reach;
use crate::vm::page_tree::Nodes;
use crate::vm::{Counters, Frames, Vm};
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::fmt;
use portolan_abi::boot::{COMMAND_LINE_FILE, FIRST_PROGRAM, Startup};
use portolan_abi::host::Door;
use portolan_abi::message::SecurityToken;
use portolan_abi::task::Limits;
use portolan_abi::thread::PRIORITY_DEFAULT;
use portolan_abi::vm::{Inheritance, USER_END};
use portolan_abi::{Capacity, Error, Name, PAGE_SIZE, Protection};
use portolan_machine::{
    Access, BootInfo, Console, CpuId, Frame, Framebuffer, Instant, Interrupts, IoPorts, Machine, Memory, Taken,
};
use tar_no_std::TarArchiveRef;
use zerocopy::IntoBytes;

const STACK_SIZE: u64 = 256 * 1024;
const PAGE: u64 = PAGE_SIZE as u64;
/// The block that tells the first task what it has; the stack ends a page below it.
const STARTUP_ADDRESS: u64 = USER_END - PAGE;
const STACK_TOP: u64 = STARTUP_ADDRESS - PAGE;
/// How much the first task's program may be copied at a time.
const CHUNK: usize = portolan_abi::message::MESSAGE_MAX;

/// Why the kernel cannot start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// There is too little memory for the kernel itself, or for the first task.
    Memory,
    /// The archive is not a tar file, or there is none.
    Archive,
    /// The archive has no program for the first task.
    NoFirstProgram,
    /// The first task's program cannot be started.
    Program(BadProgram),
    /// The first task could not be made.
    Task(Error),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::Memory => f.write_str("too little memory"),
            BootError::Archive => f.write_str("no boot archive, or it is not a tar file"),
            BootError::NoFirstProgram => write!(f, "no program '{FIRST_PROGRAM}' in the boot archive"),
            BootError::Program(problem) => write!(f, "program '{FIRST_PROGRAM}' cannot be started: {problem:?}"),
            BootError::Task(error) => write!(f, "the first task cannot be made: {}", error.classic_name()),
        }
    }
}

impl From<OutOfMemory> for BootError {
    fn from(OutOfMemory: OutOfMemory) -> BootError {
        BootError::Memory
    }
}

impl From<Error> for BootError {
    fn from(error: Error) -> BootError {
        BootError::Task(error)
    }
}

/// The kernel, with the first task ready to run.
///
/// # Errors
/// As [`BootError`] says; the console comes back, to say it there.
pub fn kernel(machine: Machine, boot: &BootInfo) -> Result<Kernel, (BootError, Console)> {
    let Machine { memory, console, interrupts, io_ports } = machine;
    let parts = match Parts::new(boot) {
        Ok(parts) => parts,
        Err(why) => return Err((why, console)),
    };
    let mut k = empty_kernel(memory, console, interrupts, io_ports, parts);
    match start(&mut k, boot) {
        Ok(()) => Ok(k),
        Err(why) => Err((why, k.console)),
    }
}

/// Finds the first task's program in the archive and makes the task.
fn start(k: &mut Kernel, boot: &BootInfo) -> Result<(), BootError> {
    let archive = read_archive(k, boot)?;
    let files = TarArchiveRef::new(&archive).map_err(|_| BootError::Archive)?;
    let file =
        |wanted: &str| files.entries().find(|entry| entry.filename().as_str() == Ok(wanted)).map(|entry| entry.data());
    let program = Program::parse(file(FIRST_PROGRAM).ok_or(BootError::NoFirstProgram)?).map_err(BootError::Program)?;
    let default = file(COMMAND_LINE_FILE).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("");
    let arguments = if boot.command_line.is_empty() { default } else { &boot.command_line };
    start_first(k, boot, &program, arguments.trim())
}

/// What of an empty kernel takes memory.
struct Parts {
    frames: Frames,
    accounts: Accounts,
    root_account: AccountId,
    ports: Ports,
    host_port: ipc::PortId,
    host_privileged: ipc::PortId,
    door: Door,
    claims: Claims,
    traces: ArrayVec<Ring, CPUS_MAX>,
    words: Words,
    taken: Taken,
    framebuffer: Option<Framebuffer>,
}

impl Parts {
    fn new(boot: &BootInfo) -> Result<Parts, BootError> {
        let frames = Frames::new(&boot.memory)?;
        let mut accounts = Accounts::default();
        let everything = Limits { memory: u64::MAX, ports: u64::MAX, frames: u64::MAX };
        let root_account = accounts.create_root(everything)?;
        let mut ports = Ports::default();
        let mut host = |access| {
            let owner = Owner::Kernel(KernelObject::Host(access));
            ports.insert(ipc::Port::new(owner, root_account, Capacity::DEFAULT))
        };
        let (host_port, host_privileged) = (host(HostAccess::Plain)?, host(HostAccess::Privileged)?);
        let mut traces = ArrayVec::new();
        traces.push(Ring::new().ok_or(BootError::Memory)?);
        let claims = Claims::new().ok_or(BootError::Memory)?;
        let (taken, framebuffer, door, words) = (boot.taken.clone(), boot.framebuffer, boot.door, Words::new()?);
        Ok(Parts {
            frames,
            accounts,
            root_account,
            ports,
            host_port,
            host_privileged,
            door,
            claims,
            traces,
            words,
            taken,
            framebuffer,
        })
    }
}

fn empty_kernel(memory: Memory, console: Console, interrupts: Interrupts, io_ports: IoPorts, parts: Parts) -> Kernel {
    Kernel {
        vm: Vm {
            memory,
            frames: parts.frames,
            objects: Arena::default(),
            nodes: Nodes::default(),
            dead: List::default(),
            unmapped: List::default(),
            taken: parts.taken,
            counters: Counters::default(),
        },
        pagers: Arena::default(),
        accounts: parts.accounts,
        tasks: Arena::default(),
        threads: Arena::default(),
        ports: parts.ports,
        messages: Arena::default(),
        words: parts.words,
        scheduler: Scheduler::default(),
        timers: Timers::default(),
        graveyard: death::Graveyard::default(),
        refused: Refused::default(),
        searches: 0,
        due: Default::default(),
        unhandled: List::default(),
        clearing: Default::default(),
        host_port: parts.host_port,
        host_privileged: parts.host_privileged,
        interrupts,
        bindings: Default::default(),
        io_ports,
        claims: parts.claims,
        framebuffer: parts.framebuffer,
        door: parts.door,
        current: None,
        armed: Instant(u64::MAX),
        now: Instant(0),
        restarted: None,
        withheld: None,
        cpu: CpuId(0),
        traces: parts.traces,
        reported: None,
        unchecked: 0,
        console,
        root_account: parts.root_account,
        last_number: 0,
        last_task_serial: 0,
        last_thread_serial: 0,
    }
}

fn read_archive(k: &Kernel, boot: &BootInfo) -> Result<Vec<u8>, BootError> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(boot.archive_size).map_err(|_| BootError::Memory)?;
    bytes.resize(boot.archive_size, 0);
    for (number, page) in bytes.chunks_mut(PAGE_SIZE).enumerate() {
        let frame = Frame(boot.archive.start.0 + number as u32);
        k.vm.memory.read(frame.span(0, page.len()), page);
    }
    Ok(bytes)
}

fn start_first(k: &mut Kernel, boot: &BootInfo, program: &Program<'_>, arguments: &str) -> Result<(), BootError> {
    let task = task::create(k, TaskName::new(FIRST_PROGRAM), SecurityToken::default(), k.root_account, None)?;
    for segment in program.segments() {
        load(k, task, &segment.map_err(BootError::Program)?)?;
    }
    map_zeros(k, task, STACK_TOP - STACK_SIZE, STACK_SIZE, Protection::READ_WRITE)?;
    let startup = Startup {
        version: Startup::VERSION,
        bootstrap: Name::NULL,
        host: give(k, task, k.host_port)?,
        host_privileged: give(k, task, k.host_privileged)?,
        archive: give_archive(k, task, boot)?,
        console: Name::NULL,
        names: Name::NULL,
        reserved: 0,
        archive_size: boot.archive_size as u64,
        arguments_size: arguments.len().min(Startup::ARGUMENTS_MAX) as u64,
    };
    map_zeros(k, task, STARTUP_ADDRESS, PAGE, Protection::READ_WRITE)?;
    write(k, task, STARTUP_ADDRESS, startup.as_bytes())?;
    let shown = &arguments.as_bytes()[..startup.arguments_size as usize];
    write(k, task, STARTUP_ADDRESS + Startup::SIZE as u64, shown)?;
    let (entry, priority) = (program.entry, PRIORITY_DEFAULT as u8);
    let start = task::Start { entry, stack: STACK_TOP, argument: STARTUP_ADDRESS, priority, suspensions: 0 };
    task::create_thread(k, task, start)?;
    Ok(())
}

fn give_archive(k: &mut Kernel, task: TaskId, boot: &BootInfo) -> Result<Name, BootError> {
    let Kernel { vm, accounts, root_account, .. } = k;
    let object = vm.create_fixed_object(accounts, *root_account, boot.archive)?;
    vm.objects[object].ports += 1;
    let what = KernelObject::Memory(object, Protection::READ);
    let port = ipc::create(k, Owner::Kernel(what), k.root_account, Capacity::DEFAULT)?;
    give(k, task, port)
}

fn give(k: &mut Kernel, task: TaskId, port: ipc::PortId) -> Result<Name, BootError> {
    let Kernel { tasks, accounts, ports, .. } = k;
    tasks[task].space.reserve(accounts, 1)?;
    ports[port].send_rights += 1;
    Ok(right::insert(k, task, CarriedRight::Send(port)))
}

fn load(k: &mut Kernel, task: TaskId, segment: &Segment<'_>) -> Result<(), BootError> {
    map_zeros(k, task, segment.address, segment.size, Protection::READ_WRITE)?;
    write(k, task, segment.address + segment.skip, segment.bytes)?;
    let range = Range::new(segment.address, segment.size)?;
    let Kernel { vm, accounts, tasks, .. } = k;
    tasks[task].map.protect(vm, accounts, range, segment.protection)?;
    Ok(())
}

fn map_zeros(k: &mut Kernel, task: TaskId, address: u64, size: u64, protection: Protection) -> Result<(), BootError> {
    let Kernel { vm, accounts, tasks, root_account, .. } = k;
    let object = vm.create_object(accounts, *root_account, size.div_ceil(PAGE), Reach::Private)?;
    let (maximum, inheritance) = (Protection::all(), Inheritance::Copy);
    let what = Showing { object, offset: 0, protection, maximum, inheritance, end: End::Behind };
    tasks[task].map.map(vm, accounts, Place::At(address), size, what)?;
    Ok(())
}

fn write(k: &mut Kernel, task: TaskId, address: u64, bytes: &[u8]) -> Result<(), BootError> {
    let Kernel { vm, accounts, tasks, .. } = k;
    for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
        let at = address + (number * CHUNK) as u64;
        let mut window = Window::default();
        window
            .open(vm, accounts, &mut tasks[task].map, at, chunk.len(), Access::Write)
            .map_err(|_| BootError::Memory)?;
        window.write(&mut vm.memory, 0, chunk);
    }
    Ok(())
}
