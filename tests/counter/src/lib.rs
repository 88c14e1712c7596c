//! A QEMU plugin that counts the guest's instructions by [`kind`], region by region.
//!
//! A guest marks a region with two instructions that do nothing anywhere else: the seven-byte no-operation
//! `0f 1f 80` with the displacement 0x5eed0000 + region before it, and 0x5eed8000 + region after. At each
//! end one line of counts is written to the file that `out=` names. Counting is done by QEMU itself
//! (*inline* operations), so no code of ours runs between the marks, but where the kernel lets
//! interrupts in: there its instructions since the last such place are looked at, and the line says how many
//! the *longest* such stretch had.
//!
//! This is QEMU's plugin interface version 1 (QEMU 4.2 to 8.2), and the only `unsafe` on the host: a C
//! interface, restated here from QEMU's description of it, called from QEMU's only thread for one CPU.

mod kind;
#[cfg(not(test))]
mod plugin;

use kind::KINDS;
use std::fmt::Write;

/// What is counted besides the kinds.
const TOTAL: usize = KINDS.len();
const USER: usize = TOTAL + 1;
const MEMORY: usize = TOTAL + 2;
const COUNTERS: usize = TOTAL + 3;

/// One value of each counter.
type Counts = [u64; COUNTERS];

/// One end of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Begin(u16),
    End(u16),
}

/// The edge of a region that an instruction marks.
fn edge(bytes: &[u8]) -> Option<Edge> {
    let [0x0f, 0x1f, 0x80, low, high, 0xed, 0x5e] = *bytes else { return None };
    let number = u16::from_le_bytes([low, high]);
    Some(if number < 0x8000 { Edge::Begin(number) } else { Edge::End(number - 0x8000) })
}

/// Whether an instruction lets interrupts in, or may: it goes back to where they are on, or turns them on.
fn lets_in(bytes: &[u8]) -> bool {
    matches!(kind::of(bytes), Some(kind::Kind::Sysret | kind::Kind::Iret)) || bytes == [0xfb]
}

/// The stretches between places where interrupts are let in, in instructions of the kernel.
#[derive(Debug, Default)]
struct Stretches {
    last: u64,
    longest: u64,
}

impl Stretches {
    /// Interrupts are let in; the kernel has run so many instructions by now.
    fn end_one(&mut self, kernel: u64) {
        self.longest = self.longest.max(kernel - self.last);
        self.last = kernel;
    }
}

/// The line that tells of one run of a region.
fn line(region: u16, begin: &Counts, end: &Counts, longest: u64) -> String {
    let names = KINDS.iter().map(|(_, name)| *name).chain(["total", "user", "memory"]);
    let mut line = format!("REGION {region}");
    for ((name, begin), end) in names.zip(begin).zip(end) {
        write!(line, " {name}={}", end - begin).expect("writing to a string");
    }
    write!(line, " longest={longest}").expect("writing to a string");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_carry_their_region() {
        assert_eq!(edge(&[0x0f, 0x1f, 0x80, 7, 0x00, 0xed, 0x5e]), Some(Edge::Begin(7)));
        assert_eq!(edge(&[0x0f, 0x1f, 0x80, 7, 0x80, 0xed, 0x5e]), Some(Edge::End(7)));
        assert_eq!(edge(&[0x0f, 0x1f, 0x80, 7, 0x00, 0xed, 0x5f]), None);
        assert_eq!(edge(&[0x0f, 0x1f, 0x00]), None);
    }

    #[test]
    fn the_longest_stretch_is_found() {
        let mut stretches = Stretches::default();
        [10, 10, 35, 40].into_iter().for_each(|kernel| stretches.end_one(kernel));
        assert_eq!((stretches.longest, stretches.last), (25, 40));
    }

    #[test]
    fn interrupts_are_let_in_by_three_instructions() {
        let all: [&[u8]; 5] = [&[0xfb], &[0x48, 0xcf], &[0x48, 0x0f, 0x07], &[0xfa], &[0x0f, 0x05]];
        assert_eq!(all.map(lets_in), [true, true, true, false, false]);
    }

    #[test]
    fn a_line_tells_the_difference() {
        let (mut begin, mut end) = ([0; COUNTERS], [0; COUNTERS]);
        (begin[TOTAL], end[TOTAL]) = (100, 142);
        (end[0], end[USER], end[MEMORY]) = (2, 30, 5);
        let line = line(7, &begin, &end, 9);
        assert!(line.starts_with("REGION 7 syscall=2 sysret=0 "), "{line}");
        assert!(line.ends_with(" total=42 user=30 memory=5 longest=9"), "{line}");
    }
}
