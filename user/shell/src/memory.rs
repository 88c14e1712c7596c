//! Commands that look at memory: the map of a task, and memory objects with those who map them.

use crate::Shell;
use crate::census::{self, Known, shown};
use crate::command::{Command, Takes};
use crate::table::{Side, Table};
use crate::tasks::size;
use crate::wrong::{Done, Wrong};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use portolan::abi::host::ObjectKind;
use portolan::abi::memory_object::Seals;
use portolan::abi::vm::{Inheritance, RegionInfo};
use portolan::abi::{Disposition, Protection};
use portolan::{Error, MemoryObject, SendRight, classic, host};

pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "map",
        usage: "map TASK",
        help: "lists the regions of a task's memory\n\
               `now` is what may be done there, `at most` what it can be raised to: r read, w write, x execute.\n\
               `pages` are those of its memory object that are there, `shown` the regions that show a part of it.",
        takes: &[Takes::Task],
        run: map,
    },
    Command {
        name: "objects",
        usage: "objects",
        help: "lists memory objects, who has rights to them, and who maps them\n\
               They are those that some task has a right to. Other memory is in one task only, or inherited; `map` shows it.",
        takes: &[],
        run: objects,
    },
];

fn map(shell: &mut Shell, words: &[&str]) -> Done {
    let [word] = words else { return Err(Wrong::Usage) };
    let known = census::task(&shell.host, word)?;
    let mut table = Table::new([
        ("from", Side::Right),
        ("to", Side::Right),
        ("size", Side::Right),
        ("now", Side::Left),
        ("at most", Side::Left),
        ("a child gets", Side::Left),
        ("pages", Side::Right),
        ("shown", Side::Right),
        ("seen by", Side::Left),
    ]);
    for region in regions(&known) {
        let inheritance = match Inheritance::from_code(region.inheritance) {
            Some(Inheritance::Share) => "the same",
            Some(Inheritance::Copy) => "a copy",
            Some(Inheritance::None) | None => "nothing",
        };
        table.row([
            format!("{:#x}", region.address),
            format!("{:#x}", region.address.saturating_add(region.size)),
            size(region.size),
            protection(region.protection),
            protection(region.maximum),
            inheritance.into(),
            region.object_resident.to_string(),
            region.object_mappings.to_string(),
            if region.shared == 1 { "others" } else { "it alone" }.into(),
        ]);
    }
    table.print();
    Ok(())
}

fn regions(known: &Known) -> Vec<RegionInfo> {
    let (mut regions, mut next) = (Vec::new(), 0);
    while let Ok(region) = known.task.region(next) {
        regions.push(region);
        next = region.address.saturating_add(region.size);
    }
    regions
}

fn protection(bits: u32) -> String {
    let letters = [(Protection::READ, 'r'), (Protection::WRITE, 'w'), (Protection::EXECUTE, 'x')];
    letters.map(|(part, letter)| if bits & part.bits() != 0 { letter } else { '-' }).iter().collect()
}

/// A memory object as it was found.
struct Found {
    object: MemoryObject,
    /// Who has rights to it.
    holders: Vec<String>,
}

fn objects(shell: &mut Shell, words: &[&str]) -> Done {
    let [] = words else { return Err(Wrong::Usage) };
    let tasks = census::tasks(&shell.host)?;
    let mut table = Table::new([
        ("object", Side::Right),
        ("size", Side::Right),
        ("pages", Side::Right),
        ("sealed", Side::Left),
        ("rights", Side::Left),
        ("mapped by", Side::Left),
    ]);
    for (index, Found { object, holders }) in find(&shell.host, &tasks) {
        let Ok(info) = object.info() else { continue };
        let mappers = object.mappers().unwrap_or_default();
        let mappers = mappers.iter().map(|mapper| match tasks.iter().find(|known| known.info.id == mapper.task) {
            Some(known) => format!("{}: {}", known.title(), size(mapper.size)),
            None => format!("({}): {}", mapper.task, size(mapper.size)),
        });
        table.row([
            format!("#{index}"),
            size(info.size),
            info.resident.to_string(),
            seals(info.seals),
            holders.join(", "),
            mappers.collect::<Vec<_>>().join(", "),
        ]);
    }
    table.print();
    Ok(())
}

/// The objects that tasks have rights to, by the kernel's index.
fn find(host: &SendRight, tasks: &[Known]) -> BTreeMap<u32, Found> {
    let mut found: BTreeMap<u32, Found> = BTreeMap::new();
    for known in tasks {
        for named in known.names().iter().filter(|named| named.send > 0) {
            let Ok(object) = host::port_object(host, &known.task, named.name) else { continue };
            if object.kind != ObjectKind::Memory as u32 {
                continue;
            }
            let holder = format!("{} {}", known.title(), shown(named.name));
            if let Some(found) = found.get_mut(&object.index) {
                found.holders.push(holder);
            } else if let Ok(object_right) = copy(known, named.name) {
                let object_right = MemoryObject::from_right(object_right);
                found.insert(object.index, Found { object: object_right, holders: [holder].into() });
            }
        }
    }
    found
}

/// A copy of a send right that a task has.
fn copy(known: &Known, name: portolan::Name) -> Result<SendRight, Error> {
    let task = known.task.right().name();
    classic::mach_port_extract_right(task, name, Disposition::CopySend).map(SendRight::from_name)
}

fn seals(bits: u32) -> String {
    let names = [(Seals::SHRINK, "shrink"), (Seals::GROW, "grow"), (Seals::WRITE, "write")];
    let names = names.iter().filter(|(seal, _)| bits & seal.bits() != 0).map(|(_, name)| *name);
    names.collect::<Vec<_>>().join(", ")
}
