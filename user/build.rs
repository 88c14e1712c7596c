//! The build script of every program: links it by `program.ld`.
//!
//! A program's `Cargo.toml` says `build = "../build.rs"` (a server's, a folder deeper, one `..` more), and that is all.

use std::path::Path;

fn main() {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("program.ld"));
    let script =
        above.find(|script| script.exists()).expect("user/program.ld is above every program").display().to_string();
    println!("cargo:rerun-if-changed={script}");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
}
