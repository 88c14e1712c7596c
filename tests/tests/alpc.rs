//! Every status of ALPC's comes up in a guest case.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are in a folder of the repository")
}

/// The statuses, by their names in the library.
fn statuses() -> Vec<String> {
    let text = fs::read_to_string(root().join("user/alpc/src/status.rs")).expect("the library has statuses");
    let defined = text.lines().filter(|line| line.contains(", \"STATUS_"));
    defined.map(|line| line.split('=').next().expect("a line").trim().to_owned()).collect()
}

fn cases() -> String {
    let folder = root().join("user/suite/src");
    let inner = fs::read_dir(folder.join("alpc")).expect("there are cases").map(|entry| entry.expect("a file").path());
    let files: Vec<PathBuf> = inner.chain([folder.join("alpc.rs")]).collect();
    files.iter().map(|file| fs::read_to_string(file).expect("a file of cases")).collect()
}

#[test]
fn every_status_has_a_case() {
    let (statuses, cases) = (statuses(), cases());
    assert!(statuses.len() > 30, "{statuses:?}");
    let without: Vec<&String> = statuses
        .iter()
        .filter(|status| {
            let named = format!("Status::{status}");
            !cases.match_indices(&named).any(|(at, _)| !cases[at + named.len()..].starts_with(char::is_alphanumeric))
        })
        .collect();
    assert!(without.is_empty(), "no case for {without:?}");
}
