//! The first task's program: an ELF file with nothing to execute, in a boot archive.
//!
//! The simulated processor plays scripts, so the code segment is one page of nothing;
//! the data segment is one page that the first task uses until it has mapped more.

use portolan_abi::PAGE_SIZE;
use portolan_abi::boot::FIRST_PROGRAM;

/// Where the first thread starts.
pub const ENTRY: u64 = 0x40_0000;
/// The page of data.
pub const DATA: u64 = 0x60_0000;

const PAGE: u64 = PAGE_SIZE as u64;
const HEADER: usize = 64;
const SEGMENT: u16 = 56;
const READ_EXECUTE: u32 = 5;
const READ_WRITE: u32 = 6;

/// A tar file that holds the program.
pub fn archive() -> Vec<u8> {
    archive_of(&[(FIRST_PROGRAM, &elf())])
}

/// A tar file that holds these files.
pub fn archive_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).expect("memory takes all");
    }
    archive.into_inner().expect("memory takes all")
}

/// Header, two program headers, padding, a page of code. The data has no bytes in the file.
pub fn elf() -> Vec<u8> {
    let mut file = Vec::new();
    file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    half(&mut file, &[2, 62]); // executable, x86_64
    word(&mut file, &[1]);
    long(&mut file, &[ENTRY, HEADER as u64, 0]);
    word(&mut file, &[0]);
    half(&mut file, &[HEADER as u16, SEGMENT, 2, 64, 0, 0]);
    word(&mut file, &[1, READ_EXECUTE]);
    long(&mut file, &[PAGE, ENTRY, ENTRY, PAGE, PAGE, PAGE]);
    word(&mut file, &[1, READ_WRITE]);
    long(&mut file, &[2 * PAGE, DATA, DATA, 0, PAGE, PAGE]);
    file.resize(2 * PAGE_SIZE, 0);
    file
}

fn half(file: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
}

fn word(file: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
}

fn long(file: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
}
