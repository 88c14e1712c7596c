//! The words of a line, and what they mean: numbers, names of rights.
//!
//! Pure. Words are separated by spaces; between quotation marks a space is part of the word. Neighbour:
//! `command` acts on them.

use alloc::string::String;
use alloc::vec::Vec;
use portolan::Name;

/// The words of a line; `None` if a quotation mark is missing.
#[must_use]
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            character if character.is_whitespace() && !quoted => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    (!quoted).then_some(words)
}

/// A number, decimal or, after `0x`, hexadecimal.
#[must_use]
pub fn number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// A number of at most 32 bits.
#[must_use]
pub fn small(word: &str) -> Option<u32> {
    number(word)?.try_into().ok()
}

/// The name of a right, as it is shown: slot and generation, with a point between.
#[must_use]
pub fn name(word: &str) -> Option<Name> {
    let (index, generation) = word.split_once('.')?;
    let (index, generation) = (index.parse().ok()?, generation.parse().ok()?);
    (index <= Name::INDEX_MAX && generation <= Name::GENERATION_MAX).then(|| Name::new(index, generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_separate_words_but_not_in_quotation_marks() {
        for (line, words) in [
            ("", &[][..]),
            ("  tasks ", &["tasks"]),
            ("send box 7 \"two words\"", &["send", "box", "7", "two words"]),
            ("a\"b c\"d \"\"", &["ab cd", ""]),
        ] {
            assert_eq!(split(line).expect("words"), words, "{line}");
        }
        assert_eq!(split("send box 7 \"two"), None);
    }

    #[test]
    fn numbers_and_names_are_read_as_they_are_shown() {
        assert_eq!((number("17"), number("0x10"), number("-1"), number("0x")), (Some(17), Some(16), None, None));
        assert_eq!((small("4294967295"), small("4294967296")), (Some(u32::MAX), None));
        assert_eq!(name("12.3"), Some(Name::new(12, 3)));
        for wrong in ["12", "12.", ".3", "1048575.0", "1.4096", "-1.0", "1.2.3"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }
}
