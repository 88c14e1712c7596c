//! A QEMU plugin that counts the guest's instructions by [`kind`], region by region.
//!
//! A guest marks a region with two instructions that do nothing anywhere else: the seven-byte no-operation
//! `0f 1f 80` with the displacement 0x5eed0000 + region before it, and 0x5eed8000 + region after. At each
//! end one line of counts is written to the file that `out=` names. Counting is done by QEMU itself
//! (*inline* operations), so no code of ours runs between the marks.
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

/// The line that tells of one run of a region.
fn line(region: u16, begin: &Counts, end: &Counts) -> String {
    let names = KINDS.iter().map(|(_, name)| *name).chain(["total", "user", "memory"]);
    let mut line = format!("REGION {region}");
    for ((name, begin), end) in names.zip(begin).zip(end) {
        write!(line, " {name}={}", end - begin).expect("writing to a string");
    }
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
    fn a_line_tells_the_difference() {
        let (mut begin, mut end) = ([0; COUNTERS], [0; COUNTERS]);
        (begin[TOTAL], end[TOTAL]) = (100, 142);
        (end[0], end[USER], end[MEMORY]) = (2, 30, 5);
        let line = line(7, &begin, &end);
        assert!(line.starts_with("REGION 7 syscall=2 sysret=0 "), "{line}");
        assert!(line.ends_with(" total=42 user=30 memory=5"), "{line}");
    }
}
