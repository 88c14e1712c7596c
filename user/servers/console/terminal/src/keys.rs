//! Keys: scan codes in, and out the bytes that a serial terminal sends for them.
//!
//! The scan codes are those of set 1, to which the controller translates, and the keyboard is taken for an
//! American one. The sequences are those of ECMA-48 and VT220: what programs read them for need not know whether they
//! were typed here. Bytes that are no scan code are passed over.

use alloc::vec::Vec;
use pc_keyboard::layouts::Us104Key;
use pc_keyboard::{DecodedKey, HandleControl, KeyCode, PS2Keyboard, ScancodeSet1};

const ESCAPE: u8 = 0x1b;

/// The keys of a keyboard, some of which may be held down.
pub struct Keys(PS2Keyboard<Us104Key, ScancodeSet1>);

impl Default for Keys {
    fn default() -> Keys {
        Keys(PS2Keyboard::new(ScancodeSet1::new(), Us104Key, HandleControl::MapLettersToUnicode))
    }
}

impl Keys {
    /// Takes a byte of the keyboard; what has been typed with it, if anything.
    pub fn take(&mut self, byte: u8) -> Vec<u8> {
        let event = self.0.add_byte(byte).ok().flatten();
        match event.and_then(|event| self.0.process_keyevent(event)) {
            Some(DecodedKey::Unicode(character)) => self.character(character),
            Some(DecodedKey::RawKey(key)) => self.sequence(key),
            None => Vec::new(),
        }
    }

    /// With the left alternate key, a character follows an escape.
    fn character(&self, character: char) -> Vec<u8> {
        let mut typed = Vec::new();
        if self.0.get_modifiers().lalt {
            typed.push(ESCAPE);
        }
        match character {
            '\n' => typed.push(b'\r'),
            '\x08' => typed.push(b'\x7f'),
            '\x7f' => typed.extend(b"\x1b[3~"),
            other => typed.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
        typed
    }

    /// With a control key, a key that moves says so by its sequence's second parameter.
    fn sequence(&self, key: KeyCode) -> Vec<u8> {
        let moves = |last: u8| match self.0.get_modifiers().is_ctrl() {
            true => [b"\x1b[1;5", &[last][..]].concat(),
            false => [b"\x1b[", &[last][..]].concat(),
        };
        match key {
            KeyCode::ArrowUp => moves(b'A'),
            KeyCode::ArrowDown => moves(b'B'),
            KeyCode::ArrowRight => moves(b'C'),
            KeyCode::ArrowLeft => moves(b'D'),
            KeyCode::Home => moves(b'H'),
            KeyCode::End => moves(b'F'),
            KeyCode::Insert => b"\x1b[2~".to_vec(),
            KeyCode::Delete => b"\x1b[3~".to_vec(),
            KeyCode::PageUp => b"\x1b[5~".to_vec(),
            KeyCode::PageDown => b"\x1b[6~".to_vec(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(bytes: &[u8]) -> Vec<u8> {
        let mut keys = Keys::default();
        bytes.iter().flat_map(|byte| keys.take(*byte)).collect()
    }

    #[test]
    fn keys_are_the_bytes_of_a_serial_terminal() {
        for (codes, bytes) in [
            (&[0x1e, 0x9e, 0x1f][..], &b"as"[..]),
            (&[0x2a, 0x1e, 0xaa, 0x1e], b"Aa"),
            (&[0x3a, 0xba, 0x1e, 0x3a, 0x1e], b"Aa"),
            (&[0x1c, 0x39, 0x0f, 0x01], b"\r \t\x1b"),
            (&[0x0e, 0xe0, 0x53], b"\x7f\x1b[3~"),
            (&[0x1d, 0x2e, 0x9d, 0x2e], b"\x03c"),
            (&[0xe0, 0x1d, 0x16, 0xe0, 0x9d], b"\x15"),
            (&[0xe0, 0x48, 0xe0, 0xc8, 0xe0, 0x50, 0xe0, 0x4d, 0xe0, 0x4b], b"\x1b[A\x1b[B\x1b[C\x1b[D"),
            (&[0xe0, 0x47, 0xe0, 0x4f, 0xe0, 0x49, 0xe0, 0x51], b"\x1b[H\x1b[F\x1b[5~\x1b[6~"),
            (&[0x1d, 0xe0, 0x4b, 0x9d], b"\x1b[1;5D"),
            (&[0x38, 0x30, 0xb8, 0x30], b"\x1bbb"),
            (&[0x47, 0x45, 0x47], b"7\x1b[H"),
        ] {
            assert_eq!(typed(codes), bytes, "{codes:x?}");
        }
    }

    #[test]
    fn what_is_no_key_is_passed_over() {
        assert_eq!(typed(&[0xfa, 0xfe, 0x00, 0xff, 0x7f, 0xe0, 0x00, 0xe1, 0x00, 0x1e]), b"a");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut keys = Keys::default();
            for byte in bytes {
                prop_assert!(keys.take(byte).len() <= 6);
            }
        }
    }
}
