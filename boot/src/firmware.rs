//! UEFI firmware for QEMU: where the systems keep their build of OVMF, and a private copy of its variables.
//!
//! OVMF comes as two flash images, code and variables. The code is shared and read-only; the variables are
//! written by the guest, so every machine gets a copy. (Given as one image by `-bios`, it hangs when there
//! is more than one CPU.)

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Code and variables, as Debian, Fedora and Arch name them.
const PLACES: [(&str, &str); 4] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
];

/// The two flash images of a UEFI machine.
#[derive(Debug, Clone)]
pub struct Uefi {
    /// Shared and read-only.
    pub code: PathBuf,
    /// This machine's own copy.
    pub variables: PathBuf,
}

impl Uefi {
    /// Finds the firmware and copies its variables to `variables`.
    pub fn install(variables: &Path) -> Result<Self> {
        let (code, original) = PLACES
            .iter()
            .find(|(code, variables)| Path::new(code).exists() && Path::new(variables).exists())
            .context("no UEFI firmware for QEMU is here; 'apt-get install ovmf' brings it")?;
        std::fs::copy(original, variables)
            .with_context(|| format!("cannot copy {original} to {}", variables.display()))?;
        Ok(Self { code: code.into(), variables: variables.to_owned() })
    }
}
