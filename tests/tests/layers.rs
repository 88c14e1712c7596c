//! Which part of Portolan may use which: the design's dependency rule, read from the manifests and from
//! the source.
//!
//! Between crates Cargo knows; inside the kernel every path that starts at the crate's root is looked at.
//! What is not allowed here is forbidden: a new crate or module has to be entered first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::visit::{self, Visit};

/// The crates of Portolan that a crate may use, tests of its own aside.
const CRATES: [(&str, &[&str]); 25] = [
    ("portolan-abi", &[]),
    ("portolan-machine", &["portolan-abi"]),
    ("portolan-kernel", &["portolan-abi", "portolan-machine"]),
    ("portolan", &["portolan-abi"]),
    ("portolan-posix", &["portolan"]),
    ("portolan-alpc", &["portolan"]),
    ("portolan-queues", &["portolan", "portolan-posix"]),
    ("portolan-mq", &["portolan", "portolan-posix", "portolan-queues"]),
    ("portolan-c", &["portolan", "portolan-posix", "portolan-alpc"]),
    ("portolan-shm", &["portolan", "portolan-posix"]),
    ("portolan-first", &["portolan-abi", "portolan"]),
    ("portolan-hello", &["portolan"]),
    ("portolan-rtc", &[]),
    ("portolan-clock", &["portolan", "portolan-rtc"]),
    ("portolan-terminal", &["portolan-abi"]),
    ("portolan-console", &["portolan", "portolan-terminal"]),
    ("portolan-loader", &["portolan"]),
    ("portolan-names", &["portolan"]),
    ("portolan-shell", &["portolan", "portolan-posix", "portolan-alpc"]),
    ("portolan-demos", &["portolan-abi", "portolan", "portolan-alpc", "portolan-posix"]),
    ("portolan-suite", &["portolan-abi", "portolan", "portolan-alpc", "portolan-posix", "portolan-terminal"]),
    ("portolan-bench", &["portolan-abi", "portolan"]),
    ("portolan-boot", &[]),
    ("portolan-tests", &["portolan", "portolan-abi", "portolan-boot", "portolan-terminal"]),
    ("portolan-counter", &[]),
];

/// What a user's own program may use.
const PROGRAM: &[&str] = &["portolan", "portolan-abi", "portolan-posix", "portolan-alpc"];

/// The crates that may contain `unsafe`: the hardware, a task's way into the kernel, programs about
/// instructions themselves, a C interface.
const UNSAFE: [&str; 6] =
    ["portolan-machine", "portolan", "portolan-c", "portolan-suite", "portolan-bench", "portolan-counter"];

/// What `ipc` may use: of memory, copying, what travels in messages, and the pages that pagers supply.
const IPC: [&str; 19] = [
    "arena",
    "list",
    "piece",
    "ipc",
    "task",
    "kernel",
    "service",
    "sched",
    "vm::copy",
    "vm::fault",
    "vm::map",
    "vm::map_copy",
    "vm::object",
    "vm::Vm",
    "vm::Map",
    "vm::MapCopy",
    "vm::Fault",
    "vm::MemoryObject",
    "vm::ObjectId",
];

/// The parts of the kernel that a part may use. What has no line here may use everything. `kernel` is the
/// state that all handlers are passed; `ipc` hands what is sent to the kernel's own ports to `service`.
const PARTS: [(&str, &[&str]); 8] = [
    ("arena", &[]),
    ("list", &["arena"]),
    ("piece", &[]),
    ("trace", &[]),
    ("ipc", &IPC),
    // An object has the name of its pager, and a line of requests about it, and no more of them.
    ("vm", &["arena", "list", "piece", "vm", "task::account", "ipc::pager::PagerId", "ipc::message::Queue"]),
    ("sched", &["arena", "list", "sched", "task"]),
    ("task", &["arena", "list", "piece", "task", "ipc", "vm", "kernel", "report"]),
];

#[test]
fn crates_use_only_what_is_below_them() {
    let allowed = BTreeMap::from(CRATES);
    for package in packages() {
        let of_a_user = package.entries.iter().all(|entry| entry.starts_with(root().join("user/programs")));
        let Some(allowed) = allowed.get(package.name.as_str()).or(of_a_user.then_some(&PROGRAM)) else {
            panic!("{}: enter the new crate in CRATES", package.name);
        };
        for used in &package.uses {
            assert!(allowed.contains(&used.as_str()), "{} uses {used}", package.name);
        }
    }
}

#[test]
fn parts_of_the_kernel_use_only_what_is_below_them() {
    let source = root().join("kernel/src");
    for (part, allowed) in PARTS {
        for file in files_of(&source, part) {
            for path in paths_in(&file) {
                let within = |prefix: &&str| path == *prefix || path.starts_with(&format!("{prefix}::"));
                let here = file.strip_prefix(&source).unwrap().display();
                assert!(allowed.iter().any(within), "kernel/src/{here} uses crate::{path}");
            }
        }
    }
}

#[test]
fn only_the_named_crates_may_be_unsafe() {
    for package in packages().into_iter().filter(|one| !UNSAFE.contains(&one.name.as_str())) {
        for entry in package.entries {
            let text = std::fs::read_to_string(&entry).unwrap();
            let refuses = ["forbid", "deny"].iter().any(|word| text.contains(&format!("{word}(unsafe_code)")));
            assert!(refuses, "{} may be unsafe", entry.display());
        }
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for file in all_files(&root()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with `//!`", file.display());
    }
}

#[test]
fn paths_are_found_wherever_they_are_written() {
    let code = "use crate::{ipc::{self, port::Port}, vm::copy};
        fn f(x: crate::trace::Ring) { crate::arena::g(); }
        #[cfg(test)] mod tests { use crate::sched; }";
    let found = paths_of(&syn::parse_file(code).unwrap());
    let expected = ["arena::g", "ipc", "ipc::port::Port", "trace::Ring", "vm::copy"];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// A crate of the workspace.
struct Package {
    name: String,
    /// The crates of the workspace that it uses, but for its tests.
    uses: Vec<String>,
    /// The first files of its library and its programs.
    entries: Vec<PathBuf>,
}

fn packages() -> Vec<Package> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(package).collect()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn package(value: &serde_json::Value) -> Package {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let uses = value["dependencies"].as_array().unwrap().iter();
    let targets = value["targets"].as_array().unwrap().iter();
    Package {
        name: text(&value["name"]),
        uses: uses
            .filter(|one| one["path"].is_string() && one["kind"] != "dev")
            .map(|one| text(&one["name"]))
            .collect(),
        entries: targets
            .filter(|one| ["lib", "bin"].iter().any(|kind| one["kind"][0] == *kind))
            .map(|one| text(&one["src_path"]).into())
            .collect(),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files of a part, which is a file, a folder, or both.
fn files_of(source: &Path, part: &str) -> Vec<PathBuf> {
    let file = source.join(part).with_extension("rs");
    let mut files = all_files(&source.join(part));
    files.extend(file.exists().then_some(file));
    assert!(!files.is_empty(), "kernel/src has no part '{part}'");
    files
}

/// Every Rust file below a folder, but for what was built.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(all_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn paths_in(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    paths_of(&syntax)
}

/// The paths from the crate's root that a file names, tests aside.
fn paths_of(file: &syn::File) -> BTreeSet<String> {
    let mut found = Paths::default();
    found.visit_file(file);
    found.0
}

#[derive(Default)]
struct Paths(BTreeSet<String>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut all = Vec::new();
        spell_out(&item.tree, "", &mut all);
        self.0.extend(all.iter().filter_map(|path| path.strip_prefix("crate::")).map(str::to_owned));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|one| one.ident.to_string()).collect();
        if let [first, rest @ ..] = names.as_slice()
            && first == "crate"
        {
            self.0.insert(rest.join("::"));
        }
        visit::visit_path(self, path);
    }
}

/// Each path of a `use` in full.
fn spell_out(tree: &syn::UseTree, prefix: &str, all: &mut Vec<String>) {
    match tree {
        syn::UseTree::Path(path) => {
            spell_out(&path.tree, &format!("{prefix}{}::", path.ident), all);
        }
        syn::UseTree::Group(group) => {
            group.items.iter().for_each(|tree| spell_out(tree, prefix, all));
        }
        syn::UseTree::Name(name) if name.ident == "self" => {
            all.push(prefix.trim_end_matches("::").to_owned());
        }
        syn::UseTree::Name(name) => all.push(format!("{prefix}{}", name.ident)),
        syn::UseTree::Rename(rename) => all.push(format!("{prefix}{}", rename.ident)),
        syn::UseTree::Glob(_) => all.push(format!("{prefix}*")),
    }
}
