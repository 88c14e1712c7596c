//! The kinds of x86_64 instruction that cost more than their number tells, told by their bytes.
//!
//! Only what a kernel's entry, exit and copying are made of has a kind; everything else is just counted.
//! The encodings are those of the Intel manual's opcode maps.

/// A kind of instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Kind {
    Syscall,
    Sysret,
    Iret,
    /// A write of CR3: a page-table switch.
    Cr3,
    /// Any other move from or to a control register.
    Control,
    Wrmsr,
    Rdmsr,
    Swapgs,
    /// `rdfsbase` and its three sisters.
    SegmentBase,
    Invlpg,
    /// Saving or restoring the FPU, in any of its forms.
    Fpu,
    /// A locked instruction, `xchg` with memory included.
    Lock,
    /// One iteration of a repeated string instruction.
    Repeat,
    Fence,
    Cpuid,
    /// A port's input or output.
    Port,
    Halt,
    /// A call or jump through a register or memory.
    Indirect,
}

/// Every kind with the word that the counts are written with.
pub(crate) const KINDS: [(Kind, &str); 18] = [
    (Kind::Syscall, "syscall"),
    (Kind::Sysret, "sysret"),
    (Kind::Iret, "iret"),
    (Kind::Cr3, "cr3"),
    (Kind::Control, "control"),
    (Kind::Wrmsr, "wrmsr"),
    (Kind::Rdmsr, "rdmsr"),
    (Kind::Swapgs, "swapgs"),
    (Kind::SegmentBase, "segment-base"),
    (Kind::Invlpg, "invlpg"),
    (Kind::Fpu, "fpu"),
    (Kind::Lock, "lock"),
    (Kind::Repeat, "repeat"),
    (Kind::Fence, "fence"),
    (Kind::Cpuid, "cpuid"),
    (Kind::Port, "port"),
    (Kind::Halt, "halt"),
    (Kind::Indirect, "indirect"),
];

/// What stands before an opcode.
#[derive(Debug, Clone, Copy, Default)]
struct Prefixes {
    lock: bool,
    repeat: bool,
}

/// The kind of the instruction that these bytes are.
pub(crate) fn of(bytes: &[u8]) -> Option<Kind> {
    let (prefixes, opcode) = split(bytes);
    if prefixes.lock {
        return Some(Kind::Lock);
    }
    match *opcode {
        [0x0f, second, ref rest @ ..] => two_bytes(prefixes, second, rest.first().copied()),
        [0xcf, ..] => Some(Kind::Iret),
        [0xf4, ..] => Some(Kind::Halt),
        [0xe4..=0xe7 | 0xec..=0xef | 0x6c..=0x6f, ..] => Some(Kind::Port),
        [0x86 | 0x87, modrm, ..] if in_memory(modrm) => Some(Kind::Lock),
        [0xa4..=0xa7 | 0xaa..=0xaf, ..] if prefixes.repeat => Some(Kind::Repeat),
        [0xff, modrm, ..] if matches!(register(modrm), 2 | 4) => Some(Kind::Indirect),
        _ => None,
    }
}

fn split(bytes: &[u8]) -> (Prefixes, &[u8]) {
    let mut prefixes = Prefixes::default();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            0xf0 => prefixes.lock = true,
            0xf2 | 0xf3 => prefixes.repeat = true,
            // Segments, sizes, and REX.
            0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 => {}
            _ => return (prefixes, &bytes[at..]),
        }
    }
    (prefixes, &[])
}

fn two_bytes(prefixes: Prefixes, opcode: u8, modrm: Option<u8>) -> Option<Kind> {
    match (opcode, modrm) {
        (0x05, _) => Some(Kind::Syscall),
        (0x07, _) => Some(Kind::Sysret),
        (0x22, Some(modrm)) if register(modrm) == 3 => Some(Kind::Cr3),
        (0x20 | 0x22, _) => Some(Kind::Control),
        (0x30, _) => Some(Kind::Wrmsr),
        (0x32, _) => Some(Kind::Rdmsr),
        (0xa2, _) => Some(Kind::Cpuid),
        (0x01, Some(0xf8)) => Some(Kind::Swapgs),
        (0x01, Some(modrm)) if in_memory(modrm) && register(modrm) == 7 => Some(Kind::Invlpg),
        (0xae, Some(modrm)) => group_15(prefixes, modrm),
        // xrstors, xsavec, xsaves.
        (0xc7, Some(modrm)) if in_memory(modrm) && matches!(register(modrm), 3..=5) => Some(Kind::Fpu),
        _ => None,
    }
}

fn group_15(prefixes: Prefixes, modrm: u8) -> Option<Kind> {
    match (in_memory(modrm), register(modrm)) {
        (false, 0..=3) if prefixes.repeat => Some(Kind::SegmentBase),
        (false, 5..=7) => Some(Kind::Fence),
        // fxsave, fxrstor, xsave, xrstor, xsaveopt; 2 and 3 are the control word, 7 flushes a cache line.
        (true, 0 | 1 | 4..=6) => Some(Kind::Fpu),
        _ => None,
    }
}

fn in_memory(modrm: u8) -> bool {
    modrm >> 6 != 3
}

fn register(modrm: u8) -> u8 {
    modrm >> 3 & 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_bytes() {
        let cases: [(&[u8], Option<Kind>); 28] = [
            (&[0x0f, 0x05], Some(Kind::Syscall)),
            (&[0x48, 0x0f, 0x07], Some(Kind::Sysret)),
            (&[0x48, 0xcf], Some(Kind::Iret)),
            (&[0x0f, 0x22, 0xd8], Some(Kind::Cr3)),
            (&[0x41, 0x0f, 0x22, 0xda], Some(Kind::Cr3)),
            (&[0x0f, 0x20, 0xd8], Some(Kind::Control)),
            (&[0x0f, 0x22, 0xc0], Some(Kind::Control)),
            (&[0x0f, 0x30], Some(Kind::Wrmsr)),
            (&[0x0f, 0x32], Some(Kind::Rdmsr)),
            (&[0x0f, 0x01, 0xf8], Some(Kind::Swapgs)),
            (&[0xf3, 0x48, 0x0f, 0xae, 0xd0], Some(Kind::SegmentBase)),
            (&[0x0f, 0x01, 0x38], Some(Kind::Invlpg)),
            (&[0x0f, 0xae, 0x00], Some(Kind::Fpu)),
            (&[0x48, 0x0f, 0xae, 0x27], Some(Kind::Fpu)),
            (&[0x0f, 0xae, 0x18], None),
            (&[0x0f, 0xae, 0xe8], Some(Kind::Fence)),
            (&[0xf0, 0x0f, 0xb1, 0x0f], Some(Kind::Lock)),
            (&[0x87, 0x07], Some(Kind::Lock)),
            (&[0x87, 0xc3], None),
            (&[0xf3, 0x48, 0xa5], Some(Kind::Repeat)),
            (&[0x48, 0xa5], None),
            (&[0x0f, 0xa2], Some(Kind::Cpuid)),
            (&[0xee], Some(Kind::Port)),
            (&[0xf4], Some(Kind::Halt)),
            (&[0xff, 0xd0], Some(Kind::Indirect)),
            (&[0xff, 0xc0], None),
            (&[0x90], None),
            (&[0x66], None),
        ];
        for (bytes, kind) in cases {
            assert_eq!(of(bytes), kind, "{bytes:x?}");
        }
    }

    #[test]
    fn a_kind_is_its_place_in_the_list() {
        for (place, (kind, _)) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }
}
