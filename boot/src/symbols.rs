//! The kernel's symbol table as the kernel reads it: text, so that it needs no ELF reader to find a name.
//!
//! One line per function, sorted by address: sixteen hexadecimal digits, a space, the demangled name.
//! The kernel finds the function of an address as the last line that is not above it.

use anyhow::{Context, Result, ensure};
use elf::ElfBytes;
use elf::abi::STT_FUNC;
use elf::endian::AnyEndian;
use std::collections::BTreeMap;

/// The name of the table in the boot archive.
pub const FILE: &str = "kernel.symbols";

/// Reads the function symbols of an ELF file and writes them as lines.
///
/// Of several names for one address the first in the alphabet is kept, so that the same kernel always
/// gives the same text.
pub fn table(elf: &[u8]) -> Result<String> {
    let functions = functions(elf)?;
    ensure!(!functions.is_empty(), "it has no function symbols: was it stripped?");
    Ok(functions.iter().map(|(address, name)| format!("{address:016x} {name}\n")).collect())
}

fn functions(elf: &[u8]) -> Result<BTreeMap<u64, String>> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(elf).context("not an ELF file")?;
    let (symbols, names) = file.symbol_table()?.context("it has no symbol table")?;
    let mut functions = BTreeMap::new();
    for symbol in symbols.iter() {
        if symbol.st_symtype() != STT_FUNC || symbol.is_undefined() {
            continue;
        }
        let name = readable(names.get(symbol.st_name as usize)?);
        functions
            .entry(symbol.st_value)
            .and_modify(|kept: &mut String| {
                if name < *kept {
                    kept.clone_from(&name);
                }
            })
            .or_insert(name);
    }
    Ok(functions)
}

/// The name without the compiler's disambiguating hash.
fn readable(mangled: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(mangled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn this_program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_function_is_found_by_its_readable_name() {
        let table = table(&this_program()).unwrap();
        let this = "portolan_boot::symbols::tests::a_function_is_found_by_its_readable_name";
        assert!(table.lines().any(|line| &line[17..] == this));
    }

    #[test]
    fn lines_are_sorted_and_have_one_form() {
        let table = table(&this_program()).unwrap();
        let addresses: Vec<_> = table.lines().map(|line| &line[..16]).collect();
        assert!(addresses.is_sorted());
        for line in table.lines() {
            assert!(line[..16].bytes().all(|digit| b"0123456789abcdef".contains(&digit)), "{line}");
            assert_eq!(&line[16..17], " ");
        }
    }

    #[test]
    fn the_hash_is_dropped() {
        assert_eq!(readable("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
        assert_eq!(readable("pvh_start"), "pvh_start");
    }

    #[test]
    fn another_file_is_refused() {
        assert!(table(b"#!/bin/sh\n").unwrap_err().to_string().contains("not an ELF file"));
    }
}
