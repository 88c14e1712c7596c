//! A machine's screen and keyboard, as a person has them who sits at it. QEMU's monitor stands in for the person.
//! Neighbour: [`guest`](crate::guest) gives it its orders.

use anyhow::{Context, Result, bail, ensure};
use std::path::Path;

/// The monitor's commands that press the keys of a text, one after the other.
///
/// # Errors
/// The text has more in it than small letters, blanks and ends of lines.
pub fn press(text: &str) -> Result<String> {
    text.chars().map(|character| Ok(format!("sendkey {}\n", key(character)?))).collect()
}

/// What QEMU calls the key of a character.
fn key(character: char) -> Result<String> {
    match character {
        ' ' => Ok("spc".into()),
        '\n' => Ok("ret".into()),
        'a'..='z' => Ok(character.into()),
        _ => bail!("no key is known for {character:?}"),
    }
}

/// The monitor's command that makes a picture of the screen.
pub fn look(picture: &Path) -> String {
    format!("screendump {}\n", picture.display())
}

/// The rows of text in a picture of the screen.
///
/// # Errors
/// There is no such picture.
pub fn text(picture: &Path) -> Result<Vec<String>> {
    read(&std::fs::read(picture).with_context(|| format!("there is no {}", picture.display()))?)
}

/// The text in a picture, in the format that Netpbm calls P6.
fn read(picture: &[u8]) -> Result<Vec<String>> {
    let mut parts = picture.splitn(4, |byte| *byte == b'\n');
    ensure!(parts.next() == Some(b"P6"), "the picture is none");
    let mut numbers = || -> Option<Vec<usize>> {
        str::from_utf8(parts.next()?).ok()?.split(' ').map(|number| number.parse().ok()).collect()
    };
    let (size, most) = (numbers(), numbers());
    let (Some([width, height]), Some([255])) = (size.as_deref(), most.as_deref()) else { bail!("the picture is none") };
    let pixels = parts.next().unwrap_or_default();
    ensure!(pixels.len() == width * height * 3, "the picture is cut off");
    let rows = portolan_terminal::read(*width, *height, |x, y| pixels[(y * width + x) * 3]);
    Ok(rows.iter().map(|row| row.trim_end().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_without_text_is_blank() {
        let mut picture = b"P6\n17 32\n255\n".to_vec();
        picture.resize(picture.len() + 17 * 32 * 3, 0);
        assert_eq!(read(&picture).unwrap(), ["", ""]);
        assert!(read(&picture[..picture.len() - 1]).is_err());
        assert!(read(b"P5\n1 1\n255\n0").is_err());
    }

    #[test]
    fn every_character_has_its_key() {
        assert_eq!("a \n".chars().map(|character| key(character).unwrap()).collect::<Vec<_>>(), ["a", "spc", "ret"]);
        assert!(key('A').is_err());
    }
}
