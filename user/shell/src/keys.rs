//! Keys, out of the bytes that a terminal sends for them.
//!
//! Pure. A key is a byte, a character of several bytes (UTF-8), or a sequence that begins with escape, as
//! ECMA-48 has it. What means nothing here is passed over. Invariant: no bytes, however wrong, keep the
//! keys after them from being understood. Neighbour: `editor` does what they say.

use core::mem::replace;

/// What a person pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character to be written.
    Character(char),
    /// The line is done.
    Enter,
    /// Tabulator.
    Complete,
    /// To the left, by a character or a word, or to the line's start.
    Left(Reach),
    /// To the right.
    Right(Reach),
    /// Takes away what is left of the cursor.
    RubOut(Reach),
    /// Takes away what is at the cursor, and right of it.
    Delete(Reach),
    /// To the line before in the history.
    Up,
    /// To the line after.
    Down,
    /// Control-C.
    Interrupt,
    /// Control-D: the end, if the line is empty; else as delete.
    End,
    /// Control-L: a fresh screen.
    Clear,
}

/// How far a key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A character.
    Character,
    /// A word.
    Word,
    /// To the end of the line, in its direction.
    Line,
}

/// What has come of a key so far.
#[derive(Debug, Default)]
pub struct Keys {
    begun: Begun,
    /// The last byte was a carriage return: a line feed after it is no other key.
    returned: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Begun {
    #[default]
    Nothing,
    /// Escape.
    Escape,
    /// Escape and a bracket, with the first number, and whether there are more.
    Sequence { number: u8, more: bool },
    /// Escape and `O`: one byte more.
    Single,
    /// The first bytes of a character.
    Character { bytes: [u8; 4], count: usize, length: usize },
}

const ESCAPE: u8 = 0x1b;

impl Keys {
    /// Takes a byte; the key that it ends.
    pub fn take(&mut self, byte: u8) -> Option<Key> {
        let after_return = replace(&mut self.returned, byte == b'\r');
        match replace(&mut self.begun, Begun::Nothing) {
            Begun::Nothing if byte == b'\n' && after_return => None,
            Begun::Escape if byte >= b' ' => self.escaped(byte),
            Begun::Sequence { number, more } if byte >= b' ' => self.sequence(number, more, byte),
            Begun::Single if byte >= b' ' => ended(byte, Reach::Character),
            Begun::Character { bytes, count, length } if byte & 0b1100_0000 == 0b1000_0000 => {
                self.character(bytes, count, length, byte)
            }
            _ => self.first(byte),
        }
    }

    fn first(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            ESCAPE => {
                self.begun = Begun::Escape;
                return None;
            }
            b'\r' | b'\n' => Key::Enter,
            b'\t' => Key::Complete,
            0x7f | 0x08 => Key::RubOut(Reach::Character),
            b' '..=b'~' => Key::Character(byte.into()),
            0x80.. => {
                let length = byte.leading_ones() as usize;
                if (2..=4).contains(&length) {
                    self.begun = Begun::Character { bytes: [byte, 0, 0, 0], count: 1, length };
                }
                return None;
            }
            _ => return control(byte | 0x60),
        })
    }

    fn escaped(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.begun = Begun::Sequence { number: 0, more: false },
            b'O' => self.begun = Begun::Single,
            b'b' => return Some(Key::Left(Reach::Word)),
            b'f' => return Some(Key::Right(Reach::Word)),
            b'd' => return Some(Key::Delete(Reach::Word)),
            0x7f => return Some(Key::RubOut(Reach::Word)),
            _ => {}
        }
        None
    }

    fn sequence(&mut self, number: u8, more: bool, byte: u8) -> Option<Key> {
        match byte {
            b'0'..=b'9' if !more => {
                let number = number.saturating_mul(10).saturating_add(byte - b'0');
                self.begun = Begun::Sequence { number, more };
            }
            b'0'..=b'?' => self.begun = Begun::Sequence { number, more: true },
            b'~' => return numbered(number),
            // A second number says that control, shift or the like was held.
            b'@'.. => return ended(byte, if more { Reach::Word } else { Reach::Character }),
            _ => self.begun = Begun::Sequence { number, more },
        }
        None
    }

    fn character(&mut self, mut bytes: [u8; 4], count: usize, length: usize, byte: u8) -> Option<Key> {
        bytes[count] = byte;
        let count = count + 1;
        if count < length {
            self.begun = Begun::Character { bytes, count, length };
            return None;
        }
        let character = core::str::from_utf8(&bytes[..count]).ok()?.chars().next()?;
        (!character.is_control()).then_some(Key::Character(character))
    }
}

/// Control and a letter.
fn control(letter: u8) -> Option<Key> {
    Some(match letter {
        b'a' => Key::Left(Reach::Line),
        b'b' => Key::Left(Reach::Character),
        b'c' => Key::Interrupt,
        b'd' => Key::End,
        b'e' => Key::Right(Reach::Line),
        b'f' => Key::Right(Reach::Character),
        b'k' => Key::Delete(Reach::Line),
        b'l' => Key::Clear,
        b'n' => Key::Down,
        b'p' => Key::Up,
        b'u' => Key::RubOut(Reach::Line),
        b'w' => Key::RubOut(Reach::Word),
        _ => return None,
    })
}

/// A sequence that ends with a letter.
fn ended(byte: u8, reach: Reach) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right(reach),
        b'D' => Key::Left(reach),
        b'F' => Key::Right(Reach::Line),
        b'H' => Key::Left(Reach::Line),
        _ => return None,
    })
}

/// A sequence that ends with a tilde.
fn numbered(number: u8) -> Option<Key> {
    Some(match number {
        1 | 7 => Key::Left(Reach::Line),
        3 => Key::Delete(Reach::Character),
        4 | 8 => Key::Right(Reach::Line),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|byte| keys.take(*byte)).collect()
    }

    #[test]
    fn every_byte_sequence_of_a_key_is_the_key() {
        for (bytes, key) in [
            (&b"x"[..], Key::Character('x')),
            ("ß".as_bytes(), Key::Character('ß')),
            ("…".as_bytes(), Key::Character('…')),
            ("🜂".as_bytes(), Key::Character('🜂')),
            (b"\x1b[A", Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[1;5C", Key::Right(Reach::Word)),
            (b"\x1b[D", Key::Left(Reach::Character)),
            (b"\x1b[3~", Key::Delete(Reach::Character)),
            (b"\x1b[1~", Key::Left(Reach::Line)),
            (b"\x1bOF", Key::Right(Reach::Line)),
            (b"\x1bb", Key::Left(Reach::Word)),
            (b"\x7f", Key::RubOut(Reach::Character)),
            (b"\x17", Key::RubOut(Reach::Word)),
            (b"\x03", Key::Interrupt),
            (b"\x04", Key::End),
            (b"\t", Key::Complete),
        ] {
            assert_eq!(keys(bytes), [key], "{bytes:?}");
        }
    }

    #[test]
    fn a_carriage_return_and_a_line_feed_are_one_key() {
        assert_eq!(keys(b"\r\n\n\r\r\n"), [Key::Enter; 4]);
    }

    #[test]
    fn whatever_came_before_the_next_key_is_understood() {
        for before in [
            &b"\x1b"[..],
            b"\x1b[",
            b"\x1b[999999999999999999",
            b"\x1b[1;2;3;4",
            b"\x1bO",
            b"\xff\xfe\x80\x80",
            b"\xe2\x80",
            b"\xf0",
            b"\xed\xa0\x80",
            b"\0\x1f\x1a",
        ] {
            let found = keys(&[before, b"\rx"].concat());
            assert_eq!(found, [Key::Enter, Key::Character('x')], "{before:?}");
        }
    }
}
