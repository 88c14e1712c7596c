//! The build script of every program: links it by `program.ld`.
//!
//! A program's `Cargo.toml` says `build = "../build.rs"`, and that is all.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../program.ld");
    println!("cargo:rerun-if-changed={script}");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
}
