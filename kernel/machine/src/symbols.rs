//! Names for addresses of the kernel's code, from the boot archive's symbol file.
//!
//! The file is text, a line a function: 16 hexadecimal digits, a space, the name, in
//! the order of the addresses. It is searched as it is, without memory of its own,
//! since a panic has none to spare; a line that makes no sense is passed over.

/// The text of a symbol file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbols<'a>(pub(crate) &'a [u8]);

/// A place in the kernel's code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place<'a> {
    /// The function it is in.
    pub(crate) function: &'a str,
    /// How far from its first byte.
    pub(crate) offset: u64,
}

impl<'a> Symbols<'a> {
    /// The function that begins at or last before this address.
    pub(crate) fn find(self, address: u64) -> Option<Place<'a>> {
        let lines = self.0.split(|&byte| byte == b'\n').filter_map(parse);
        let (start, function) = lines.take_while(|&(start, _)| start <= address).last()?;
        Some(Place { function, offset: address - start })
    }
}

/// Address and name in a line.
fn parse(line: &[u8]) -> Option<(u64, &str)> {
    let (address, name) = core::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((u64::from_str_radix(address, 16).ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] =
        b"ffffffff80200000 _start\nnonsense\nffffffff80200040 kernel::run::step\nffffffff80200100 <a as b>::c\n";

    #[test]
    fn an_address_belongs_to_the_function_that_begins_before_it() {
        let find = |address| Symbols(TEXT).find(address).map(|place| (place.function, place.offset));
        assert_eq!(find(0xffff_ffff_8020_0000), Some(("_start", 0)));
        assert_eq!(find(0xffff_ffff_8020_003f), Some(("_start", 0x3f)));
        assert_eq!(find(0xffff_ffff_8020_0044), Some(("kernel::run::step", 4)));
        assert_eq!(find(u64::MAX), Some(("<a as b>::c", u64::MAX - 0xffff_ffff_8020_0100)));
    }

    #[test]
    fn an_address_before_all_functions_has_no_name() {
        assert_eq!(Symbols(TEXT).find(0x1000), None);
        assert_eq!(Symbols(b"").find(u64::MAX), None);
    }
}
