//! ELF programs: what of a file is to be where in memory.
//!
//! The `elf` crate reads the format; this file accepts only what the kernel can start:
//! a static x86_64 program whose segments lie in user memory, do not overlap, and are
//! never writable and executable at once. Neighbour: `boot`.

use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;
use portolan_abi::vm::{USER_END, USER_START};
use portolan_abi::{PAGE_SIZE, Protection};

/// Why a file is no program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadProgram {
    /// It is not a readable ELF file.
    Format,
    /// It is for another machine, or not a static program.
    Kind,
    /// A segment lies outside the file or outside user memory.
    Bounds,
    /// A segment is writable and executable.
    Protection,
    /// Two segments share a page, or come in the wrong order.
    Overlap,
    /// The entry is in no executable segment.
    Entry,
}

/// A part of the file, and where it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Its first page.
    pub address: u64,
    /// Bytes in memory, from there.
    pub size: u64,
    /// How far into the first page the bytes of the file begin.
    pub skip: u64,
    /// The bytes of the file; the rest is zero.
    pub bytes: &'a [u8],
    /// What may be done to it.
    pub protection: Protection,
}

/// A program.
pub struct Program<'a> {
    file: ElfBytes<'a, LittleEndian>,
    bytes: &'a [u8],
    /// Where it starts.
    pub entry: u64,
}

impl<'a> Program<'a> {
    /// The program in a file's bytes, checked.
    ///
    /// # Errors
    /// As [`BadProgram`] says.
    pub fn parse(bytes: &'a [u8]) -> Result<Program<'a>, BadProgram> {
        let file = ElfBytes::<LittleEndian>::minimal_parse(bytes).map_err(|_| BadProgram::Format)?;
        if file.ehdr.e_machine != EM_X86_64 || file.ehdr.e_type != ET_EXEC {
            return Err(BadProgram::Kind);
        }
        let entry = file.ehdr.e_entry;
        let program = Program { file, bytes, entry };
        program.check()?;
        Ok(program)
    }

    fn check(&self) -> Result<(), BadProgram> {
        let headers = self.file.segments().ok_or(BadProgram::Format)?;
        if headers.iter().any(|header| matches!(header.p_type, PT_INTERP | PT_DYNAMIC)) {
            return Err(BadProgram::Kind);
        }
        let mut free_from = USER_START;
        let mut entry_found = false;
        for segment in self.segments() {
            let segment = segment?;
            if segment.address < free_from {
                return Err(BadProgram::Overlap);
            }
            free_from = (segment.address + segment.size).next_multiple_of(PAGE_SIZE as u64);
            entry_found |= segment.protection.contains(Protection::EXECUTE)
                && (segment.address..segment.address + segment.size).contains(&self.entry);
        }
        if entry_found { Ok(()) } else { Err(BadProgram::Entry) }
    }

    /// Its segments, in the order of the file.
    pub fn segments(&self) -> impl Iterator<Item = Result<Segment<'a>, BadProgram>> + '_ {
        let headers = self.file.segments().into_iter().flatten();
        headers.filter(|header| header.p_type == PT_LOAD && header.p_memsz > 0).map(|header| self.segment(&header))
    }

    fn segment(&self, header: &ProgramHeader) -> Result<Segment<'a>, BadProgram> {
        let end = header.p_vaddr.checked_add(header.p_memsz).ok_or(BadProgram::Bounds)?;
        let file_end = header.p_offset.checked_add(header.p_filesz).ok_or(BadProgram::Bounds)?;
        if header.p_vaddr < USER_START || end > USER_END || header.p_filesz > header.p_memsz {
            return Err(BadProgram::Bounds);
        }
        let range = usize::try_from(header.p_offset).ok().zip(usize::try_from(file_end).ok());
        let bytes = range.and_then(|(start, end)| self.bytes.get(start..end)).ok_or(BadProgram::Bounds)?;
        let protection = protection(header.p_flags);
        if protection.breaks_w_xor_x() {
            return Err(BadProgram::Protection);
        }
        let skip = header.p_vaddr % PAGE_SIZE as u64;
        Ok(Segment { address: header.p_vaddr - skip, size: header.p_memsz + skip, skip, bytes, protection })
    }
}

fn protection(flags: u32) -> Protection {
    let all = [(PF_R, Protection::READ), (PF_W, Protection::WRITE), (PF_X, Protection::EXECUTE)];
    let named = all.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, protection)| protection);
    named.collect::<Protection>().with_implied()
}
