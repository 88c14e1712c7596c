//! Programs: ELF files, checked, and started as tasks.
//!
//! Only what Portolan's programs are is accepted: static, for this machine, no
//! segment both writable and executable, each on pages of its own. Starting one
//! uses nothing but routines behind kernel ports, so any task can do it with its
//! own account. Invariant: a start that fails leaves nothing behind.
//!
//! A start has two halves: [`Launch::make`] makes the task with what it is given, and [`Program::load`] puts the program
//! there. Who has no file to load from leaves the second to the loader (`loader`), which needs nothing but the task's
//! port. Neighbours: `start` is what the new task finds; the kernel's own loader, for
//! the first task, lays out the same.

use crate::Result;
use crate::console::{self, Console};
use crate::right::{Right, SendRight};
use crate::start::startup;
use crate::task::{Place, Task};
use alloc::vec::Vec;
use core::fmt;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::ProgramHeader;
use portolan_abi::boot::Startup;
use portolan_abi::task::Limits;
use portolan_abi::thread::PRIORITY_DEFAULT;
use portolan_abi::vm::{USER_END, USER_START};
use portolan_abi::{Error, Name, PAGE_SIZE, Protection};
use zerocopy::IntoBytes;

const PAGE: u64 = PAGE_SIZE as u64;

/// Where the start-up block lies in a new task.
pub const STARTUP_ADDRESS: u64 = 0x7fff_0000_0000;
/// First address above the first thread's stack.
pub const STACK_TOP: u64 = STARTUP_ADDRESS - PAGE;
/// Bytes of the first thread's stack; nothing is mapped below it.
pub const STACK_SIZE: u64 = 64 * PAGE;
/// Frames beside the program's own pages: start-up block, first page of stack, page tables.
const FRAMES_BESIDE: u64 = 16;

/// What a small program may spend: enough for a few dozen ports and a heap of a few MiB.
pub const LIMITS_SMALL: Limits = Limits { memory: 256 << 10, ports: 256, frames: 1024 };

/// Why a file is no program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Defect {
    /// It is no ELF file, or is cut short.
    NotElf = 1,
    /// It is for another machine.
    OtherMachine,
    /// It is not linked at a fixed address, or wants a dynamic linker or thread-local storage.
    NotStatic,
    /// A segment lies outside user memory, or where stack and start-up block go.
    BadAddress,
    /// A segment's place in the file and its address differ within the page, or its bytes are more than its size.
    BadSegment,
    /// A segment is both writable and executable.
    WritableCode,
    /// Two segments share a page.
    Overlap,
    /// The entry is in no executable segment.
    BadEntry,
}

impl Defect {
    /// The defect with this number.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Defect> {
        let all = [
            Defect::NotElf,
            Defect::OtherMachine,
            Defect::NotStatic,
            Defect::BadAddress,
            Defect::BadSegment,
            Defect::WritableCode,
            Defect::Overlap,
            Defect::BadEntry,
        ];
        all.into_iter().find(|defect| *defect as u32 == code)
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Defect::NotElf => "not an ELF file, or cut short",
            Defect::OtherMachine => "for another machine",
            Defect::NotStatic => "not a static program",
            Defect::BadAddress => "a segment is outside the program's part of memory",
            Defect::BadSegment => "a segment's sizes or offsets contradict each other",
            Defect::WritableCode => "a segment is both writable and executable",
            Defect::Overlap => "two segments share a page",
            Defect::BadEntry => "the entry is not in executable memory",
        })
    }
}

/// A checked program.
#[derive(Debug)]
pub struct Program<'a> {
    entry: u64,
    segments: Vec<Segment<'a>>,
}

#[derive(Debug)]
struct Segment<'a> {
    /// First byte in memory, anywhere in a page.
    address: u64,
    /// Bytes in memory; those after `bytes` are zero.
    size: u64,
    bytes: &'a [u8],
    protection: Protection,
}

impl Segment<'_> {
    fn page(&self) -> u64 {
        self.address - self.offset_in_page()
    }

    fn offset_in_page(&self) -> u64 {
        self.address % PAGE
    }

    /// Bytes of the pages it takes.
    fn pages_size(&self) -> u64 {
        (self.offset_in_page() + self.size).next_multiple_of(PAGE)
    }

    fn end(&self) -> u64 {
        self.page() + self.pages_size()
    }

    fn shares_page_with(&self, other: &Segment<'_>) -> bool {
        self.page() < other.end() && other.page() < self.end()
    }
}

impl<'a> Program<'a> {
    /// Reads and checks an ELF file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(file: &'a [u8]) -> Result<Program<'a>, Defect> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| Defect::NotElf)?;
        if elf.ehdr.class != Class::ELF64 || elf.ehdr.e_machine != EM_X86_64 {
            return Err(Defect::OtherMachine);
        }
        if elf.ehdr.e_type != ET_EXEC {
            return Err(Defect::NotStatic);
        }
        let mut segments: Vec<Segment<'a>> = Vec::new();
        for header in elf.segments().ok_or(Defect::NotElf)? {
            let Some(segment) = segment(&elf, &header)? else { continue };
            if segments.iter().any(|other| other.shares_page_with(&segment)) {
                return Err(Defect::Overlap);
            }
            segments.push(segment);
        }
        let program = Program { entry: elf.ehdr.e_entry, segments };
        program.entry_is_code().then_some(program).ok_or(Defect::BadEntry)
    }

    fn entry_is_code(&self) -> bool {
        self.segments.iter().any(|segment| {
            let code = segment.address..segment.address + segment.size;
            segment.protection.contains(Protection::EXECUTE) && code.contains(&self.entry)
        })
    }

    /// Frames that a task running it takes at least.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.segments.iter().map(|segment| segment.pages_size() / PAGE).sum::<u64>() + FRAMES_BESIDE
    }

    /// Starts it in a new task.
    ///
    /// # Errors
    /// Those of [`Launch::make`] and [`load`](Program::load).
    pub fn start(&self, launch: Launch<'_>) -> Result<Task> {
        let priority = launch.priority;
        let task = launch.make()?;
        let loaded = self.load(&task, priority);
        ready(task, loaded)
    }

    /// Puts it into a task that [`Launch::make`] has made, which pays for it: its segments, a stack, and a first
    /// thread of this priority, which runs from now on.
    ///
    /// # Errors
    /// `ResourceShortage`: the task's limits are too small for it. `NoSpace`: there is something already. Then
    /// a part of it may be there.
    pub fn load(&self, task: &Task, priority: u32) -> Result<()> {
        if task.info()?.limits.frames < self.frames() {
            return Err(Error::ResourceShortage);
        }
        for segment in &self.segments {
            let size = segment.pages_size();
            let at = segment.offset_in_page() as usize;
            place(task, segment.page(), size, segment.protection, &[(at, segment.bytes)])?;
        }
        task.map(None, STACK_SIZE, Protection::READ_WRITE, Place::At(STACK_TOP - STACK_SIZE))?;
        task.thread_create(self.entry, STACK_TOP, STARTUP_ADDRESS, priority).map(drop)
    }
}

/// How a program is started.
pub struct Launch<'a> {
    /// Out of whose account the new task's limits are taken.
    pub parent: &'a Task,
    /// The new task's name, for messages; at most 32 bytes.
    pub name: &'a str,
    /// Its argument text; at most [`Startup::ARGUMENTS_MAX`] bytes.
    pub arguments: &'a str,
    /// What it may spend.
    pub limits: Limits,
    /// Its bootstrap port.
    pub bootstrap: Right<'a>,
    /// Its plain host port.
    pub host: Option<&'a SendRight>,
    /// Where it prints; the kernel's debug console if nowhere.
    pub console: Option<&'a Console>,
    /// Whom it asks for names.
    pub names: Option<&'a SendRight>,
    /// Priority of its first thread.
    pub priority: u32,
}

impl<'a> Launch<'a> {
    /// As a child of this task, with [`LIMITS_SMALL`], ordinary priority, this task's plain host
    /// port, console and name server, and no bootstrap port.
    #[must_use]
    pub fn new(name: &'a str, arguments: &'a str) -> Launch<'a> {
        Launch {
            parent: Task::this(),
            name,
            arguments,
            limits: LIMITS_SMALL,
            bootstrap: Right::Null,
            host: startup().host.as_ref(),
            console: console::this(),
            names: startup().names.as_ref(),
            priority: PRIORITY_DEFAULT,
        }
    }

    /// Makes the task, with all but the program in it.
    ///
    /// # Errors
    /// `ResourceShortage`: the limits are too small, or the parent has not that much. `InvalidValue`: name or
    /// arguments are too long. The bootstrap right, if it was to be moved, is gone with the task
    /// if that had been made already.
    pub fn make(mut self) -> Result<Task> {
        let bootstrap = core::mem::replace(&mut self.bootstrap, Right::Null);
        let (task, bootstrap) = self.parent.create(self.name, self.limits, bootstrap)?;
        let prepared = self.given(&task, bootstrap).and_then(|given| place_startup(&task, given, self.arguments));
        ready(task, prepared)
    }

    /// The rights of the start-up block, by their names in the task.
    fn given(&self, task: &Task, bootstrap: Name) -> Result<Startup> {
        let host = give(task, self.host)?;
        let console = give(task, self.console.map(Console::right))?;
        let names = give(task, self.names)?;
        Ok(Startup { bootstrap, host, console, names, ..Startup::default() })
    }
}

/// The task, if what was to be done to it has been done; else it is ended.
pub(crate) fn ready<E>(task: Task, done: Result<(), E>) -> Result<Task, E> {
    if done.is_err() {
        let _ = task.terminate();
    }
    done.map(|()| task)
}

/// The segment that this header asks to load; `None` if it asks for nothing.
fn segment<'a>(elf: &ElfBytes<'a, LittleEndian>, header: &ProgramHeader) -> Result<Option<Segment<'a>>, Defect> {
    match header.p_type {
        PT_INTERP | PT_DYNAMIC | PT_TLS => return Err(Defect::NotStatic),
        PT_LOAD if header.p_memsz != 0 => (),
        _ => return Ok(None),
    }
    let end = header.p_vaddr.checked_add(header.p_memsz).ok_or(Defect::BadAddress)?;
    if header.p_vaddr < USER_START || end > STACK_TOP - STACK_SIZE - PAGE {
        return Err(Defect::BadAddress);
    }
    if header.p_filesz > header.p_memsz || header.p_offset % PAGE != header.p_vaddr % PAGE {
        return Err(Defect::BadSegment);
    }
    let protection = protection(header.p_flags);
    if protection.breaks_w_xor_x() {
        return Err(Defect::WritableCode);
    }
    let bytes = elf.segment_data(header).map_err(|_| Defect::NotElf)?;
    Ok(Some(Segment { address: header.p_vaddr, size: header.p_memsz, bytes, protection }))
}

fn protection(flags: u32) -> Protection {
    [(PF_R, Protection::READ), (PF_W, Protection::WRITE), (PF_X, Protection::EXECUTE)]
        .into_iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, protection)| protection)
        .collect()
}

/// Gives the task memory that it pays for, with these bytes at these offsets, the rest zero.
fn place(task: &Task, address: u64, size: u64, protection: Protection, contents: &[(usize, &[u8])]) -> Result<()> {
    let object = task.memory_object(size)?;
    let window = object.map(Protection::READ_WRITE)?;
    for (offset, bytes) in contents {
        window.write(*offset, bytes)?;
    }
    task.map(Some(&object), size, protection, Place::At(address)).map(drop)
}

/// Gives the task a right; its name there, null for none.
fn give(task: &Task, right: Option<&SendRight>) -> Result<Name> {
    right.map_or(Ok(Name::NULL), |right| task.insert_send(right))
}

fn place_startup(task: &Task, given: Startup, arguments: &str) -> Result<()> {
    if arguments.len() > Startup::ARGUMENTS_MAX {
        return Err(Error::InvalidValue);
    }
    let arguments_size = arguments.len() as u64;
    let block = Startup { version: Startup::VERSION, arguments_size, ..given };
    let contents = [(0, block.as_bytes()), (Startup::SIZE, arguments.as_bytes())];
    place(task, STARTUP_ADDRESS, PAGE, Protection::READ, &contents)
}

const _: () = assert!(STARTUP_ADDRESS + PAGE <= USER_END);

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: u32 = PF_R | PF_X;
    const DATA: u32 = PF_R | PF_W;

    /// Type, flags, offset, address, bytes in the file, bytes in memory.
    type Header = (u32, u32, u64, u64, u64, u64);

    fn file(kind: u16, machine: u16, entry: u64, headers: &[Header]) -> Vec<u8> {
        let mut file = vec![0; 0x3000];
        file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        file[16..18].copy_from_slice(&kind.to_le_bytes());
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[20] = 1;
        file[24..32].copy_from_slice(&entry.to_le_bytes());
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[52..58].copy_from_slice(&[64, 0, 56, 0, headers.len() as u8, 0]);
        file[58] = 64;
        for (at, (kind, flags, offset, address, in_file, in_memory)) in (64..).step_by(56).zip(headers) {
            let fields = [*offset, *address, *address, *in_file, *in_memory, PAGE];
            file[at..at + 4].copy_from_slice(&kind.to_le_bytes());
            file[at + 4..at + 8].copy_from_slice(&flags.to_le_bytes());
            file[at + 8..at + 56].copy_from_slice(fields.as_bytes());
        }
        file
    }

    fn program(entry: u64, headers: &[Header]) -> Result<(), Defect> {
        Program::parse(&file(ET_EXEC, EM_X86_64, entry, headers)).map(drop)
    }

    const TEXT: Header = (PT_LOAD, CODE, 0x1000, 0x40_0000, 0x800, 0x800);

    #[test]
    fn an_ordinary_program_is_accepted() {
        let bytes = file(ET_EXEC, EM_X86_64, 0x40_0010, &[TEXT, (PT_LOAD, DATA, 0x1800, 0x40_1800, 8, 0x1000)]);
        let program = Program::parse(&bytes).expect("a good program");
        assert_eq!(program.frames(), 1 + 2 + FRAMES_BESIDE);
        let data = &program.segments[1];
        assert_eq!((data.page(), data.pages_size(), data.bytes.len()), (0x40_1000, 0x2000, 8));
        assert_eq!(data.protection, Protection::READ_WRITE);
    }

    #[test]
    fn what_is_no_static_program_of_this_machine_is_refused() {
        let parse = |kind, machine| Program::parse(&file(kind, machine, 0x40_0000, &[TEXT])).err();
        assert_eq!(parse(ET_EXEC, EM_X86_64), None);
        assert_eq!(parse(3, EM_X86_64), Some(Defect::NotStatic));
        assert_eq!(parse(ET_EXEC, 183), Some(Defect::OtherMachine));
        assert_eq!(Program::parse(b"#!/bin/sh").err(), Some(Defect::NotElf));
        for kind in [PT_INTERP, PT_DYNAMIC, PT_TLS] {
            assert_eq!(program(0x40_0000, &[TEXT, (kind, PF_R, 0x1000, 0x50_0000, 8, 8)]), Err(Defect::NotStatic));
        }
    }

    #[test]
    fn segments_must_lie_in_the_programs_part_of_memory() {
        for address in [0, u64::MAX - 0xfff, USER_END - 0x1000, STACK_TOP - STACK_SIZE, 0xffff_8000_0000_0000] {
            let segment = (PT_LOAD, DATA, 0x1000, address, 8, 0x1000);
            assert_eq!(program(0x40_0000, &[TEXT, segment]), Err(Defect::BadAddress), "{address:#x}");
        }
    }

    #[test]
    fn segments_must_fit_file_and_pages() {
        let with = |segment| program(0x40_0000, &[TEXT, segment]);
        assert_eq!(with((PT_LOAD, DATA, 0x1001, 0x50_0000, 8, 8)), Err(Defect::BadSegment));
        assert_eq!(with((PT_LOAD, DATA, 0x1000, 0x50_0000, 16, 8)), Err(Defect::BadSegment));
        assert_eq!(with((PT_LOAD, DATA, 0x2000, 0x50_0000, 0x2000, 0x2000)), Err(Defect::NotElf));
        assert_eq!(with((PT_LOAD, DATA, 0x1800, 0x40_0800, 8, 8)), Err(Defect::Overlap));
        assert_eq!(with((PT_LOAD, PF_W | PF_X, 0x1000, 0x50_0000, 8, 8)), Err(Defect::WritableCode));
        assert_eq!(with((PT_LOAD, DATA, 0x1000, 0x50_0000, 0, 0)), Ok(()));
    }

    #[test]
    fn the_entry_must_be_code() {
        let data = (PT_LOAD, DATA, 0x1000, 0x50_0000, 8, 8);
        assert_eq!(program(0x40_07ff, &[TEXT, data]), Ok(()));
        assert_eq!(program(0x40_0800, &[TEXT, data]), Err(Defect::BadEntry));
        assert_eq!(program(0x50_0000, &[TEXT, data]), Err(Defect::BadEntry));
    }
}
