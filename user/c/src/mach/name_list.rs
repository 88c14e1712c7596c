//! Lists of names, in pages that their receiver deallocates: those of a task, and the members of a set.
//!
//! Mach 2.5 and Mach 3 give them alike, but for how they call the kinds of rights. Neighbours: `classic_port`, `mach_port`.

use super::{Out, array};
use alloc::vec::Vec;
use portolan::abi::port::NameType;
use portolan::{Name, Result, classic};

/// All names of a task, and beside each what it stands for: two arrays of one length.
pub(super) struct Names {
    names: u64,
    kinds: u64,
    count: u32,
}

impl Names {
    pub(super) fn of(task: Name, kind: impl Fn(&NameType) -> u32) -> Result<Names> {
        let all = classic::port_names(task)?;
        let names: Vec<Name> = all.iter().map(|entry| entry.name).collect();
        let kinds: Vec<u32> = all.iter().map(kind).collect();
        Ok(Names { names: array(&names)?, kinds: array(&kinds)?, count: all.len() as u32 })
    }

    pub(super) fn give(self, names: Out<u64>, names_count: Out<u32>, kinds: Out<u64>, kinds_count: Out<u32>) {
        names.write(self.names);
        names_count.write(self.count);
        kinds.write(self.kinds);
        kinds_count.write(self.count);
    }
}

/// The members of a set: where they are, and how many.
pub(super) fn members(task: Name, set: Name) -> Result<(u64, u32)> {
    let members = classic::port_set_status(task, set)?;
    Ok((array(&members)?, members.len() as u32))
}
