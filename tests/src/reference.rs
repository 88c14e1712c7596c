//! The reference of routines and errors, made from their definitions: the kernel's in `abi`, and
//! those of Portolan's own servers in the user library.
//!
//! Invariant: nothing is said here that the definitions do not say. Neighbours: the program
//! `reference` writes it to `docs/reference.md`, a test sees that what is there is this.

use portolan::{bootstrap, console, name_server, servers};
use portolan_abi::error::Error;
use portolan_abi::interface::{REPLY_OFFSET, RoutineText};
use portolan_abi::{exception, host, interrupt, io_ports, memory_object, pager, port, task, thread, vm};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A group of routines, and the port that is asked.
const INTERFACES: [(&str, &str, &[RoutineText]); 14] = [
    ("Tasks", "a task's kernel port", task::ROUTINES),
    ("Ports and names", "a task's kernel port", port::ROUTINES),
    ("Memory", "a task's kernel port", vm::ROUTINES),
    ("Threads", "a thread's kernel port", thread::ROUTINES),
    ("Exceptions", "an exception port: the kernel asks, and a task answers", exception::ROUTINES),
    ("Memory objects", "a memory object's port", memory_object::ROUTINES),
    ("Pagers", "a pager's control right", pager::ROUTINES),
    ("The machine", "a host port", host::ROUTINES),
    ("Interrupts", "an interrupt right", interrupt::ROUTINES),
    ("I/O ports", "a right to a range of I/O ports", io_ports::ROUTINES),
    ("Starting", "a task's bootstrap port, where the first task serves", bootstrap::routine::ROUTINES),
    ("The console", "a console server's port", console::protocol::ROUTINES),
    ("Names of services", "a name server's port", name_server::protocol::ROUTINES),
    ("Servers", "a bootstrap server's control port", servers::protocol::ROUTINES),
];

const OPENING: &str = "\
# Reference: routines and errors

Made by `make docs` from the definitions in `kernel/abi` and `user/portolan`, and never edited. Each routine is a message
to a port: its id, its arguments as inline bytes, little-endian and without padding, and exactly the rights it takes. The
reply's id is the request's plus 100; its bytes are the result's number, four bytes of zero, and, on success, the results.
Besides what a routine names, every one of them can fail as sending and receiving a message can, with `BadId` where the
port has no such routine, and with `BadArguments` where size or number of rights is wrong. The types are those of the crate
`portolan-abi`, which also documents the traps (`call`), messages (`message`) and what the kernel says by itself
(`notification`, `interrupt`, `pager`). The last four groups are those of user tasks.
";

/// Where it is kept.
#[must_use]
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md")
}

/// The whole text.
#[must_use]
pub fn text() -> String {
    let mut text = OPENING.to_owned();
    for (title, asked, routines) in INTERFACES {
        let _ = write!(text, "\n## {title}\n\nBehind {asked}.\n");
        routines.iter().for_each(|routine| describe(&mut text, routine));
    }
    errors(&mut text);
    text
}

fn describe(text: &mut String, routine: &RoutineText) {
    let RoutineText { id, name, arguments, rights_in, results, rights_out, memory_in, memory_out, .. } = routine;
    let _ = write!(text, "\n### {name}\n\nRequest {id}, reply {}.\n\n", id + REPLY_OFFSET);
    list(text, "arguments", arguments);
    rights(text, "rights it takes", rights_in);
    list(text, "results", results);
    rights(text, "rights it gives", rights_out);
    for (what, names) in [("memory it takes", memory_in), ("memory it gives", memory_out)] {
        if !names.is_empty() {
            rights(text, what, names);
        }
    }
    let _ = write!(text, "\n{}", prose(routine.lines));
}

fn list(text: &mut String, what: &str, fields: &[(&str, &str)]) {
    let fields: Vec<String> = fields.iter().map(|(name, of)| format!("`{name}: {of}`")).collect();
    let _ = writeln!(text, "- {what}: {}", or_none(&fields));
}

fn rights(text: &mut String, what: &str, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let _ = writeln!(text, "- {what}: {}", or_none(&names));
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

/// The lines of a comment; links to other definitions become their names.
fn prose(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{}\n", line.trim())).collect();
    without_links(&lines)
}

/// Each `[name](path)` and `[name]` without its brackets.
fn without_links(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, name, after)) = next_link(rest) {
        plain.push_str(before);
        plain.push_str(name);
        rest = match after.strip_prefix('(').and_then(|path| path.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain + rest
}

/// What is before, in and after the next pair of brackets around a name in code.
fn next_link(text: &str) -> Option<(&str, &str, &str)> {
    let (before, inside) = text.split_once("[`")?;
    let (name, after) = inside.split_once("`]")?;
    let start = before.len() + 1;
    Some((before, &text[start..start + name.len() + 2], after))
}

fn errors(text: &mut String) {
    text.push_str("\n## Errors\n\n| number | name | Mach's name | meaning |\n|---|---|---|---|\n");
    for error in Error::ALL {
        let meaning = prose(error.lines()).trim().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(text, "| {} | `{error:?}` | `{}` | {meaning} |", error.code(), error.classic_name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_names() {
        assert_eq!(without_links("a [`B`](crate::B) and [`C`]; no [d]"), "a `B` and `C`; no [d]");
        assert_eq!(without_links("[`B`](x)[`C`](y)(z)"), "`B``C`(z)");
    }

    #[test]
    fn every_routine_has_an_id_and_a_text_of_its_own() {
        let all: Vec<&RoutineText> = INTERFACES.iter().flat_map(|(_, _, routines)| routines.iter()).collect();
        for (index, routine) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.id != routine.id), "two have the id {}", routine.id);
            assert!(routine.lines.iter().any(|line| !line.trim().is_empty()), "{} has no text", routine.name);
        }
    }

    #[test]
    fn what_is_kept_is_what_the_definitions_say() {
        let kept = std::fs::read_to_string(path()).unwrap_or_default();
        assert!(kept == text(), "docs/reference.md is not what the definitions say: run `make docs`");
    }
}
