//! `reference`: writes `docs/reference.md` anew, from the definitions in `abi`.

#![forbid(unsafe_code)]

use portolan_tests::reference::{path, text};
use std::io;

fn main() -> io::Result<()> {
    std::fs::write(path(), text())
}
