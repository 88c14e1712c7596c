//! Start: what the kernel takes for its first program, what it refuses, and what it says.

use crate::harness::program::{DATA, ENTRY, archive_of, elf};
use crate::harness::{Mailbox, System, WhenFull};
use kernel::boot::BootError;
use kernel::elf::{BadProgram, Program};
use portolan_abi::boot::Startup;
use portolan_abi::vm::USER_END;
use portolan_abi::{Capacity, PAGE_SIZE, Protection};
use portolan_machine::sim::Hardware;

/// Where fields of the file are: of the header, and of the two program headers.
const KIND: usize = 16;
const MACHINE: usize = 18;
const START: usize = 24;
const CODE: usize = 64;
const DATA_HEADER: usize = CODE + 56;
const FLAGS: usize = 4;
const OFFSET: usize = 8;
const ADDRESS: usize = 16;
const FILE_SIZE: usize = 32;
const MEMORY_SIZE: usize = 40;

/// The program with some 64-bit fields changed.
fn with(changes: &[(usize, u64)]) -> Vec<u8> {
    let mut file = elf();
    for (at, value) in changes {
        file[*at..*at + 8].copy_from_slice(&value.to_le_bytes());
    }
    file
}

fn refused(file: &[u8]) -> Option<BadProgram> {
    Program::parse(file).err()
}

fn start(archive: Vec<u8>, frames: u32) -> Option<BootError> {
    let (machine, boot, _cpu) = Hardware { frames, archive, command_line: "" }.power_on();
    kernel::boot::kernel(machine, &boot).err().map(|(why, _console)| why)
}

#[test]
fn a_program_is_taken_as_it_is_described() {
    let file = elf();
    let program = Program::parse(&file).expect("a program");
    let segments: Vec<_> = program.segments().map(|segment| segment.expect("a segment")).collect();
    assert_eq!(program.entry, ENTRY);
    assert_eq!(segments.iter().map(|segment| segment.address).collect::<Vec<_>>(), [ENTRY, DATA]);
    assert_eq!(segments[0].protection, Protection::READ_EXECUTE);
    assert_eq!(segments[1].protection, Protection::READ_WRITE);
    assert_eq!((segments[0].bytes.len(), segments[1].bytes.len()), (PAGE_SIZE, 0));
}

#[test]
fn a_file_that_is_no_program_is_refused() {
    assert_eq!(refused(b""), Some(BadProgram::Format));
    assert_eq!(refused(b"#!/bin/sh"), Some(BadProgram::Format));
    assert_eq!(refused(&vec![0; 10_000]), Some(BadProgram::Format));
    for size in [4, 16, 63, 64, 100, DATA_HEADER + 55] {
        assert!(refused(&elf()[..size]).is_some(), "{size} bytes of a program");
    }
}

#[test]
fn a_program_of_another_kind_is_refused() {
    let mut file = elf();
    file[KIND] = 3;
    assert_eq!(refused(&file), Some(BadProgram::Kind), "position independent");
    let mut file = elf();
    file[MACHINE] = 183;
    assert_eq!(refused(&file), Some(BadProgram::Kind), "another processor");
    for dynamic in [2, 3] {
        let mut file = elf();
        file[DATA_HEADER] = dynamic;
        assert_eq!(refused(&file), Some(BadProgram::Kind), "program header {dynamic}");
    }
}

#[test]
fn a_segment_outside_file_or_memory_is_refused() {
    let page = PAGE_SIZE as u64;
    for changes in [
        &[(CODE + OFFSET, 3 * page)][..],
        &[(CODE + OFFSET, u64::MAX)],
        &[(CODE + FILE_SIZE, u64::MAX), (CODE + MEMORY_SIZE, u64::MAX)],
        &[(CODE + FILE_SIZE, 2 * page)],
        &[(CODE + ADDRESS, 0)],
        &[(DATA_HEADER + ADDRESS, USER_END)],
        &[(DATA_HEADER + ADDRESS, USER_END - page), (DATA_HEADER + MEMORY_SIZE, 2 * page)],
        &[(DATA_HEADER + ADDRESS, 1 << 47)],
        &[(DATA_HEADER + ADDRESS, 0xffff_ffff_8000_0000)],
        &[(DATA_HEADER + MEMORY_SIZE, u64::MAX - DATA)],
        &[(DATA_HEADER + MEMORY_SIZE, u64::MAX)],
    ] {
        assert_eq!(refused(&with(changes)), Some(BadProgram::Bounds), "{changes:x?}");
    }
}

#[test]
fn segments_that_share_a_page_or_come_in_the_wrong_order_are_refused() {
    for address in [ENTRY, ENTRY + 8, ENTRY - PAGE_SIZE as u64] {
        let file = with(&[(DATA_HEADER + ADDRESS, address)]);
        assert_eq!(refused(&file), Some(BadProgram::Overlap), "{address:#x}");
    }
}

#[test]
fn a_segment_that_is_writable_and_executable_is_refused() {
    for flags in [3, 7] {
        let mut file = elf();
        file[CODE + FLAGS] = flags;
        assert_eq!(refused(&file), Some(BadProgram::Protection));
    }
}

#[test]
fn the_entry_must_be_in_code() {
    for entry in [0, DATA, ENTRY - 1, ENTRY + PAGE_SIZE as u64, u64::MAX, 1 << 47] {
        assert_eq!(refused(&with(&[(START, entry)])), Some(BadProgram::Entry), "{entry:#x}");
    }
}

#[test]
fn every_single_damaged_byte_of_the_headers_is_harmless() {
    for at in 0..DATA_HEADER + 56 {
        for flip in [0x01, 0x80, 0xff] {
            let mut file = elf();
            file[at] ^= flip;
            // Refused, or a program that keeps the rules; never a panic.
            if let Ok(program) = Program::parse(&file) {
                assert!(program.segments().flatten().all(|segment| segment.address + segment.size <= USER_END));
            }
        }
    }
}

#[test]
fn a_start_without_a_good_archive_says_what_is_wrong() {
    assert_eq!(start(Vec::new(), 512), Some(BootError::Archive));
    assert_eq!(start(archive_of(&[("other", b"?")]), 512), Some(BootError::NoFirstProgram));
    let bad = start(archive_of(&[("first", b"?")]), 512);
    assert_eq!(bad, Some(BootError::Program(BadProgram::Format)));
    assert!(start(vec![0xff; 5000], 512).is_some());
    assert!(start(archive_of(&[("first", &elf())]), 2).is_some(), "too little memory");
    assert_eq!(start(archive_of(&[("first", &elf())]), 512), None);
    assert_eq!(BootError::NoFirstProgram.to_string(), "no program 'first' in the boot archive");
}

#[test]
fn the_command_line_comes_from_the_loader_or_else_from_the_archive() {
    let text = |command_line, file: &str| {
        let archive = archive_of(&[("first", &elf()), ("cmdline", file.as_bytes())]);
        let system = System::boot_from(Hardware { frames: 2048, archive, command_line });
        let at = USER_END - PAGE_SIZE as u64 + Startup::SIZE as u64;
        let text = system.first().load(at, 16);
        String::from_utf8(text).expect("text").trim_end_matches('\0').to_owned()
    };
    assert_eq!(text("run=demos", "run=suite"), "run=demos");
    assert_eq!(text("", "run=suite\n"), "run=suite");
    assert_eq!(text("", ""), "");
}

#[test]
fn the_report_tells_what_every_thread_waits_for() {
    let mailbox = Mailbox::full(Capacity::Bounded(1));
    mailbox.send("blocked", WhenFull::Wait);
    mailbox.receiver.thread().receive(mailbox.receiver.notify());
    mailbox.receiver.thread().sleep(1000);
    let report = mailbox.system.report();
    for part in ["sender", "receiver", "waits to send", "waits to receive", "sleeps", "Block", "Queue"] {
        assert!(report.contains(part), "no '{part}' in\n{report}");
    }
}
