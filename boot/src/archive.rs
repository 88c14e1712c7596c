//! The boot archive: a plain tar file that the boot loader leaves in memory for the kernel.
//!
//! It holds the user programs by name, the kernel's symbol table and, under [`COMMAND_LINE`], the words that
//! apply when the boot loader cannot pass any. The same files always give the same bytes: sorted by name,
//! with no date and no owner.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use tar::{Builder, EntryType, Header};

/// The name of the file that holds the default command line.
pub const COMMAND_LINE: &str = "cmdline";

/// The files of an archive in the making.
#[derive(Default)]
pub struct Archive {
    files: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    /// Adds a file; a name can be given once only.
    pub fn add(&mut self, name: &str, contents: Vec<u8>) -> Result<()> {
        ensure!(!self.files.contains_key(name), "the boot archive already has a file '{name}'");
        self.files.insert(name.to_owned(), contents);
        Ok(())
    }

    /// The tar file.
    pub fn pack(&self) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (name, contents) in &self.files {
            tar.append(&header(name, contents.len())?, contents.as_slice())?;
        }
        Ok(tar.into_inner()?)
    }
}

fn header(name: &str, length: usize) -> Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(name).with_context(|| format!("'{name}' is no name for a file in tar"))?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(length as u64);
    header.set_cksum();
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn archive(files: &[(&str, &str)]) -> Archive {
        let mut archive = Archive::default();
        for (name, contents) in files {
            archive.add(name, contents.as_bytes().to_vec()).unwrap();
        }
        archive
    }

    fn unpack(bytes: &[u8]) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for entry in tar::Archive::new(bytes).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut contents = String::new();
            entry.read_to_string(&mut contents).unwrap();
            files.push((entry.path().unwrap().display().to_string(), contents));
        }
        files
    }

    #[test]
    fn files_come_back_sorted_by_name() {
        let bytes = archive(&[("first", "ELF"), ("cmdline", "run=demos")]).pack().unwrap();
        let expected = [("cmdline", "run=demos"), ("first", "ELF")];
        assert_eq!(unpack(&bytes), expected.map(|(name, text)| (name.into(), text.into())));
    }

    #[test]
    fn the_order_of_adding_leaves_no_trace() {
        let one = archive(&[("a", "1"), ("b", "2")]).pack().unwrap();
        let other = archive(&[("b", "2"), ("a", "1")]).pack().unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn it_is_whole_blocks_of_plain_ustar() {
        let bytes = archive(&[("first", "ELF")]).pack().unwrap();
        assert_eq!(bytes.len() % 512, 0);
        assert_eq!(&bytes[257..263], b"ustar\0");
        assert_eq!(&bytes[136..148], b"00000000000\0", "the date is zero");
    }

    #[test]
    fn a_name_is_given_once() {
        let error = archive(&[("first", "")]).add("first", Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "the boot archive already has a file 'first'");
    }

    #[test]
    fn a_name_too_long_for_a_header_is_refused() {
        assert!(archive(&[(&"n".repeat(300), "")]).pack().is_err());
    }
}
