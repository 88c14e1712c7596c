//! `portolan-image`: puts the kernel and the boot archive on a BIOS and on a UEFI disk image.
//!
//! The kernel is the very file that QEMU starts by its PVH note; here the `bootloader` crate loads it.

#![forbid(unsafe_code)]

use anyhow::{Context, Result, ensure};
use bootloader::{BootConfig, DiskImageBuilder};
use bootloader_boot_config::LevelFilter;
use pico_args::Arguments;
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut arguments = Arguments::from_env();
    let kernel: PathBuf = arguments.value_from_str("--kernel")?;
    let archive: PathBuf = arguments.value_from_str("--archive")?;
    let out: PathBuf = arguments.value_from_str("--out")?;
    let rest = arguments.finish();
    ensure!(rest.is_empty(), "usage: portolan-image --kernel ELF --archive TAR --out FOLDER");

    for file in [&kernel, &archive] {
        ensure!(file.is_file(), "there is no file {}", file.display());
    }
    let mut disk = DiskImageBuilder::new(kernel);
    disk.set_ramdisk(archive);
    disk.set_boot_config(&quiet());
    disk.create_uefi_image(&out.join("portolan-uefi.img")).context("the UEFI image")?;
    disk.create_bios_image(&out.join("portolan-bios.img")).context("the BIOS image")
}

/// The boot loader speaks up on the serial line only when it fails: the line is Portolan's.
fn quiet() -> BootConfig {
    let mut config = BootConfig::default();
    config.log_level = LevelFilter::Error;
    config
}
