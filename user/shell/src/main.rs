//! The shell as a program. All else is in the library, which is tested on the host.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
portolan::main!(portolan_shell::main);

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("The shell runs on Portolan only; `make shell` starts it.");
}
