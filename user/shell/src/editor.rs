//! The line that is being typed: edited, completed, taken from what was typed before, and shown.
//!
//! Pure: bytes in; lines, and bytes for the screen, out. A line that is longer than the screen is wide
//! is scrolled sideways. Invariants: the cursor is in the line or at its end, and in the part that is
//! shown; a line has at most [`LINE_MAX`] characters. Neighbours: `keys`; `terminal` has the screen.

use crate::keys::{Key, Keys, Reach};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Most characters of a line.
pub const LINE_MAX: usize = 255;
/// Columns of a screen; wider ones are not made use of.
const WIDTH: usize = 80;
/// Lines that are remembered.
const REMEMBERED: usize = 64;

const BELL: char = '\x07';
const CLEAR: &str = "\x1b[2J\x1b[H";
const CLEAR_TO_END: &str = "\x1b[K";

/// What typing comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// A line.
    Line(String),
    /// The line was given up.
    Interrupt,
    /// There will be no more.
    End,
    /// The word before the cursor is to be completed ([`Editor::complete`]).
    Complete,
}

/// A line, and those before it.
#[derive(Debug)]
pub struct Editor {
    prompt: &'static str,
    keys: Keys,
    line: Vec<char>,
    cursor: usize,
    /// The first character that is shown.
    first: usize,
    /// Lines typed before, the oldest first.
    history: VecDeque<Vec<char>>,
    /// Which of them is shown; its length: the line that is new.
    place: usize,
    /// The new line, while an old one is shown.
    new: Vec<char>,
}

impl Editor {
    /// An empty line after this prompt.
    #[must_use]
    pub fn new(prompt: &'static str) -> Editor {
        Editor {
            prompt,
            keys: Keys::default(),
            line: Vec::new(),
            cursor: 0,
            first: 0,
            history: VecDeque::new(),
            place: 0,
            new: Vec::new(),
        }
    }

    /// Shows the line, over whatever stands where the cursor is.
    pub fn draw(&mut self, screen: &mut String) {
        let room = self.room();
        self.first = self.first.clamp(self.cursor.saturating_sub(room), self.cursor);
        let shown = &self.line[self.first..self.line.len().min(self.first + room)];
        screen.push('\r');
        screen.push_str(self.prompt);
        screen.extend(shown);
        screen.push_str(CLEAR_TO_END);
        let back = self.first + shown.len() - self.cursor;
        if back > 0 {
            // A string takes whatever is written.
            let _ = write!(screen, "\x1b[{back}D");
        }
    }

    /// Takes the line from the screen, so that something else can be shown there.
    pub fn hide(&self, screen: &mut String) {
        screen.push('\r');
        screen.push_str(CLEAR_TO_END);
    }

    /// Takes a byte that was typed, and shows what it does.
    pub fn take(&mut self, byte: u8, screen: &mut String) -> Option<Typed> {
        match self.keys.take(byte)? {
            Key::Enter => {
                screen.push('\n');
                return Some(Typed::Line(self.end()));
            }
            Key::Interrupt => {
                screen.push_str("^C\n");
                self.clear();
                return Some(Typed::Interrupt);
            }
            Key::End if self.line.is_empty() => {
                screen.push('\n');
                return Some(Typed::End);
            }
            Key::Complete => return Some(Typed::Complete),
            Key::Character(character) => {
                self.write(character, screen);
                return None;
            }
            Key::End => self.remove(self.cursor, self.right_of(Reach::Character)),
            Key::Left(reach) => self.cursor = self.left_of(reach),
            Key::Right(reach) => self.cursor = self.right_of(reach),
            Key::RubOut(reach) => self.remove(self.left_of(reach), self.cursor),
            Key::Delete(reach) => self.remove(self.cursor, self.right_of(reach)),
            Key::Up => self.recall(self.place.checked_sub(1)),
            Key::Down => self.recall(Some(self.place + 1)),
            Key::Clear => screen.push_str(CLEAR),
        }
        self.draw(screen);
        None
    }

    /// What stands before the cursor.
    #[must_use]
    pub fn before_cursor(&self) -> String {
        self.line[..self.cursor].iter().collect()
    }

    /// Completes the word before the cursor, as far as all of these agree, which begin with it; if it
    /// is that already, shows them.
    pub fn complete(&mut self, candidates: &[String], screen: &mut String) {
        let word = letters_before(&self.line[..self.cursor]);
        let common = common_start(candidates);
        let rest: Vec<char> = common.chars().skip(word).collect();
        if candidates.is_empty() {
            screen.push(BELL);
        } else if rest.is_empty() && candidates.len() > 1 {
            screen.push('\n');
            show(candidates, screen);
            self.draw(screen);
        } else {
            let end = (candidates.len() == 1).then_some(' ');
            rest.into_iter().chain(end).for_each(|character| self.write(character, screen));
        }
    }

    /// Characters that there is room for after the prompt, with the cursor.
    fn room(&self) -> usize {
        WIDTH - 1 - self.prompt.len()
    }

    fn write(&mut self, character: char, screen: &mut String) {
        if self.line.len() == LINE_MAX {
            return screen.push(BELL);
        }
        self.line.insert(self.cursor, character);
        self.cursor += 1;
        if self.cursor == self.line.len() && self.cursor - self.first <= self.room() {
            screen.push(character);
        } else {
            self.draw(screen);
        }
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.line.drain(from..to);
        self.cursor = from;
    }

    fn left_of(&self, reach: Reach) -> usize {
        match reach {
            Reach::Character => self.cursor.saturating_sub(1),
            Reach::Word => {
                let before = &self.line[..self.cursor];
                let spaces = before.iter().rev().take_while(|character| **character == ' ').count();
                let word = letters_before(&before[..self.cursor - spaces]);
                self.cursor - spaces - word
            }
            Reach::Line => 0,
        }
    }

    fn right_of(&self, reach: Reach) -> usize {
        let after = &self.line[self.cursor..];
        self.cursor
            + match reach {
                Reach::Character => after.len().min(1),
                Reach::Word => {
                    let spaces = after.iter().take_while(|character| **character == ' ').count();
                    spaces + after[spaces..].iter().take_while(|character| **character != ' ').count()
                }
                Reach::Line => after.len(),
            }
    }

    /// Shows an older or a newer line, if there is one.
    fn recall(&mut self, place: Option<usize>) {
        let Some(place) = place.filter(|place| *place <= self.history.len()) else { return };
        if self.place == self.history.len() {
            self.new = core::mem::take(&mut self.line);
        }
        self.line = self.history.get(place).unwrap_or(&self.new).clone();
        (self.place, self.cursor) = (place, self.line.len());
    }

    fn clear(&mut self) {
        self.line.clear();
        self.new.clear();
        (self.cursor, self.first, self.place) = (0, 0, self.history.len());
    }

    /// The line is done, and remembered unless it is empty or the same as the last.
    fn end(&mut self) -> String {
        let text: String = self.line.iter().collect();
        if !text.trim().is_empty() && self.history.back() != Some(&self.line) {
            if self.history.len() == REMEMBERED {
                self.history.pop_front();
            }
            self.history.push_back(core::mem::take(&mut self.line));
        }
        self.clear();
        text
    }
}

/// Characters of the word that a text ends with.
fn letters_before(text: &[char]) -> usize {
    text.iter().rev().take_while(|character| **character != ' ').count()
}

/// What all begin with.
fn common_start(texts: &[String]) -> &str {
    let Some((first, others)) = texts.split_first() else { return "" };
    let same = |other: &String| first.chars().zip(other.chars()).take_while(|(one, two)| one == two).count();
    let count = others.iter().map(same).min().unwrap_or(usize::MAX);
    first.char_indices().nth(count).map_or(first, |(end, _)| &first[..end])
}

/// Puts texts side by side, in lines.
fn show(texts: &[String], screen: &mut String) {
    let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0) + 2;
    for line in texts.chunks((WIDTH / width).max(1)) {
        for text in line {
            let _ = write!(screen, "{text:width$}");
        }
        screen.truncate(screen.trim_end_matches(' ').len());
        screen.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A screen of one line, as a terminal shows it.
    #[derive(Default)]
    struct Screen {
        cells: Vec<char>,
        column: usize,
    }

    impl Screen {
        fn show(&mut self, text: &str) {
            let mut rest = text.chars();
            while let Some(character) = rest.next() {
                match character {
                    '\r' => self.column = 0,
                    '\n' => *self = Screen::default(),
                    '\x07' => {}
                    '\x1b' => {
                        assert_eq!(rest.next(), Some('['));
                        let number: String = rest.by_ref().take_while(char::is_ascii_digit).collect();
                        // The letter has been taken with the number: a number means to the left.
                        match number.parse::<usize>() {
                            Ok(back) => self.column -= back,
                            Err(_) => self.cells.truncate(self.column),
                        }
                    }
                    character => {
                        self.cells.truncate(self.column.max(self.cells.len()));
                        self.cells.resize(self.cells.len().max(self.column + 1), ' ');
                        self.cells[self.column] = character;
                        self.column += 1;
                    }
                }
                assert!(self.column < WIDTH, "the line stays on the screen");
            }
        }

        fn text(&self) -> String {
            self.cells.iter().collect()
        }
    }

    struct Seat {
        editor: Editor,
        screen: Screen,
    }

    impl Seat {
        fn new() -> Seat {
            let mut seat = Seat { editor: Editor::new("> "), screen: Screen::default() };
            seat.prompt();
            seat
        }

        fn prompt(&mut self) {
            let mut shown = String::new();
            self.editor.draw(&mut shown);
            self.screen.show(&shown);
        }

        /// Types, and gives what came of it.
        fn types(&mut self, bytes: &str) -> Vec<Typed> {
            let mut typed = Vec::new();
            for byte in bytes.bytes() {
                let mut shown = String::new();
                typed.extend(self.editor.take(byte, &mut shown));
                self.screen.show(&shown);
                if typed.last().is_some_and(|typed| *typed != Typed::Complete) && self.editor.line.is_empty() {
                    self.prompt();
                }
                let cursor = self.editor.cursor - self.editor.first + 2;
                assert_eq!(self.screen.column, cursor, "the cursor is shown where it is");
            }
            typed
        }

        /// Types, and gives the line that is shown then.
        fn sees(&mut self, bytes: &str) -> String {
            assert_eq!(self.types(bytes), []);
            self.screen.text()
        }

        fn line(&mut self, bytes: &str) -> String {
            match self.types(bytes).pop() {
                Some(Typed::Line(line)) => line,
                other => panic!("no line, but {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_typed_is_shown_and_is_the_line() {
        let mut seat = Seat::new();
        assert_eq!(seat.sees("größe"), "> größe");
        assert_eq!(seat.line("\r"), "größe");
        assert_eq!(seat.screen.text(), "> ");
    }

    #[test]
    fn a_line_is_edited_anywhere() {
        let mut seat = Seat::new();
        assert_eq!(seat.sees("name 7\x1b[D\x1b[Ds"), "> names 7");
        assert_eq!(seat.sees("\x01\x1b[3~N"), "> Names 7");
        assert_eq!(seat.sees("\x05 and more\x17"), "> Names 7 and ");
        assert_eq!(seat.sees("\x1bb\x0b"), "> Names 7 ");
        assert_eq!(seat.sees("\x01\x1bf!"), "> Names! 7 ");
        assert_eq!(seat.sees("\x15"), ">  7 ");
        assert_eq!(seat.sees("\x7f\x04\x04\x04\x1b[C"), "> ");
    }

    #[test]
    fn a_long_line_is_scrolled_and_has_an_end() {
        let mut seat = Seat::new();
        let text: String = ('a'..='z').cycle().take(LINE_MAX).collect();
        let shown = seat.sees(&text);
        assert!(shown.len() < WIDTH && shown.ends_with(&text[LINE_MAX - 70..]), "{shown}");
        assert_eq!(seat.sees("!"), shown);
        assert!(seat.sees("\x01").starts_with("> abcdef"));
        assert_eq!(seat.line("\r"), text);
    }

    #[test]
    fn lines_come_back_and_a_new_one_is_kept_meanwhile() {
        let mut seat = Seat::new();
        for line in ["one", "two", "two", " ", "three"] {
            assert_eq!(seat.line(&format!("{line}\r")), line);
        }
        assert_eq!(seat.sees("new\x1b[A"), "> three");
        assert_eq!(seat.sees("\x10\x10\x10\x10"), "> one");
        assert_eq!(seat.sees("\x1b[B"), "> two");
        assert_eq!(seat.sees("\x1b[B\x1b[B"), "> new");
        assert_eq!(seat.sees("\x1b[B"), "> new");
        // What is changed in an old line is a new one.
        assert_eq!(seat.line("\x1b[A!\r"), "three!");
        assert_eq!(seat.sees("\x1b[A\x1b[A"), "> three");
    }

    #[test]
    fn the_oldest_lines_are_forgotten() {
        let mut seat = Seat::new();
        for number in 0..=REMEMBERED {
            seat.line(&format!("{number}\r"));
        }
        assert_eq!(seat.sees(&"\x10".repeat(REMEMBERED + 5)), "> 1");
    }

    #[test]
    fn control_characters_end_it() {
        let mut seat = Seat::new();
        assert_eq!(seat.types("half a line\x03"), [Typed::Interrupt]);
        assert_eq!(seat.types("\x04"), [Typed::End]);
        assert_eq!(seat.line("whole\r"), "whole");
    }

    #[test]
    fn a_word_is_completed_as_far_as_it_is_certain() {
        let mut seat = Seat::new();
        let all = |texts: &[&str]| texts.iter().map(|text| String::from(*text)).collect::<Vec<_>>();
        let complete = |seat: &mut Seat, candidates: &[&str]| {
            let mut shown = String::new();
            seat.editor.complete(&all(candidates), &mut shown);
            seat.screen.show(&shown);
            (seat.screen.text(), shown)
        };
        assert_eq!(seat.types("kill te\t"), [Typed::Complete]);
        assert_eq!(seat.editor.before_cursor(), "kill te");
        assert_eq!(complete(&mut seat, &["term-1", "term-2"]).0, "> kill term-");
        let (line, shown) = complete(&mut seat, &["term-1", "term-2"]);
        assert!(line == "> kill term-" && shown.contains("term-1  term-2\n"));
        assert_eq!(complete(&mut seat, &["term-2"]).0, "> kill term-2 ");
        assert_eq!(complete(&mut seat, &[]).1, "\x07");
        assert_eq!(complete(&mut seat, &["now"]).0, "> kill term-2 now ");
    }
}
