//! Characters in rows and columns, as a terminal puts what is written to it.
//!
//! Of a terminal's control sequences (ECMA-48) it knows those that move the cursor and those that erase; the
//! others change nothing, and are not shown. Invariant: there are as many rows as at first, each with as many
//! characters; the cursor is in one of the rows, and at a column or after the last: the line goes on in the next
//! row when there is a character for it.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use vte::{Params, Parser, Perform};

/// From one stop of the tabulator to the next.
const TAB: usize = 8;
/// A sequence that sets a title or the like is not kept, so it needs no room.
const NO_STRINGS: usize = 0;

/// What is shown.
pub struct Grid {
    parser: Parser<NO_STRINGS>,
    text: Text,
}

impl Grid {
    /// An empty one, of at least one row and column.
    #[must_use]
    pub fn new(columns: usize, rows: usize) -> Grid {
        let row = vec![' '; columns.max(1)];
        let text = Text { columns: row.len(), rows: vec![row; rows.max(1)].into(), row: 0, column: 0 };
        Grid { parser: Parser::new_with_size(), text }
    }

    /// Takes what is written: UTF-8 and control sequences, cut anywhere.
    pub fn write(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.text, bytes);
    }

    /// The characters, row by row.
    pub fn rows(&self) -> impl Iterator<Item = &[char]> {
        self.text.rows.iter().map(Vec::as_slice)
    }

    /// Where the cursor is shown: row and column.
    #[must_use]
    pub fn cursor(&self) -> (usize, usize) {
        (self.text.row, self.text.last_column())
    }
}

struct Text {
    columns: usize,
    rows: VecDeque<Vec<char>>,
    row: usize,
    /// `columns`: after the last.
    column: usize,
}

impl Text {
    /// The column, or the last one.
    fn last_column(&self) -> usize {
        self.column.min(self.columns - 1)
    }

    /// Goes a row down; from the last one, what is in the first is lost.
    fn line_feed(&mut self) {
        if self.row + 1 < self.rows.len() {
            self.row += 1;
        } else if let Some(mut first) = self.rows.pop_front() {
            first.fill(' ');
            self.rows.push_back(first);
        }
    }

    fn move_to(&mut self, row: usize, column: usize) {
        self.row = row.min(self.rows.len() - 1);
        self.column = column.min(self.columns - 1);
    }

    /// Erases a part of the cursor's row, as the parameter of the sequence says.
    fn erase_in_row(&mut self, what: usize) {
        let cursor = self.last_column();
        let row = &mut self.rows[self.row];
        match what {
            0 => row[self.column..].fill(' '),
            1 => row[..=cursor].fill(' '),
            2 => row.fill(' '),
            _ => {}
        }
    }

    /// Erases a part of all, as the parameter of the sequence says.
    fn erase(&mut self, what: usize) {
        let others = match what {
            0 => self.row + 1..self.rows.len(),
            1 => 0..self.row,
            2 => 0..self.rows.len(),
            _ => return,
        };
        self.rows.range_mut(others).for_each(|row| row.fill(' '));
        self.erase_in_row(what);
    }
}

impl Perform for Text {
    fn print(&mut self, character: char) {
        if character.is_control() {
            return;
        }
        if self.column == self.columns {
            self.column = 0;
            self.line_feed();
        }
        self.rows[self.row][self.column] = character;
        self.column += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.column = 0,
            b'\n' => self.line_feed(),
            b'\t' => self.column = (self.columns - 1).min((self.column / TAB + 1) * TAB),
            b'\x08' => self.column = self.column.saturating_sub(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, parameters: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore || !intermediates.is_empty() {
            return;
        }
        let mut parameters = parameters.iter().map(|parameter| usize::from(parameter.first().copied().unwrap_or(0)));
        let first = parameters.next().unwrap_or(0);
        let (row, column, by) = (self.row, self.last_column(), first.max(1));
        match action {
            'A' => self.move_to(row.saturating_sub(by), column),
            'B' => self.move_to(row + by, column),
            'C' => self.move_to(row, column + by),
            // After the last column the cursor stands one further to the right than it is shown.
            'D' => self.column = self.column.saturating_sub(by),
            'G' => self.move_to(row, by - 1),
            'H' | 'f' => self.move_to(by - 1, parameters.next().unwrap_or(0).max(1) - 1),
            'J' => self.erase(first),
            'K' => self.erase_in_row(first),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is shown of this, on six columns and three rows, without the blanks at the ends.
    fn shown(bytes: &str) -> Vec<String> {
        let mut grid = Grid::new(6, 3);
        grid.write(bytes.as_bytes());
        rows(&grid)
    }

    fn rows(grid: &Grid) -> Vec<String> {
        grid.rows().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    #[test]
    fn characters_stand_where_they_are_written() {
        assert_eq!(shown("one\r\ntwo"), ["one", "two", ""]);
        assert_eq!(shown("one\ntwo"), ["one", "   two", ""]);
        assert_eq!(shown("größer"), ["größer", "", ""]);
        assert_eq!(shown("one\rtw"), ["twe", "", ""]);
        assert_eq!(shown("ab\x08c\x07\0\x7f"), ["ac", "", ""]);
        assert_eq!(shown("a\tb\r\n\tc"), ["a    b", "     c", ""]);
    }

    #[test]
    fn a_line_goes_on_in_the_next_row() {
        assert_eq!(shown("abcdef\r\ng"), ["abcdef", "g", ""]);
        assert_eq!(shown("abcdefg"), ["abcdef", "g", ""]);
        // What was typed in the last column can be taken back.
        assert_eq!(shown("abcdef\x08 \x08g"), ["abcdeg", "", ""]);
    }

    #[test]
    fn what_leaves_at_the_top_is_lost() {
        assert_eq!(shown("1\r\n2\r\n3\r\n4"), ["2", "3", "4"]);
        assert_eq!(shown("1\r\n2\r\n3\r\n\n"), ["3", "", ""]);
    }

    #[test]
    fn the_cursor_is_moved_by_sequences() {
        assert_eq!(shown("abc\x1b[2Dx"), ["axc", "", ""]);
        assert_eq!(shown("abc\x1b[99Dx\x1b[Cy"), ["xby", "", ""]);
        assert_eq!(shown("\x1b[2;3Hx\x1b[Ay\x1b[Bz"), ["   y", "  x z", ""]);
        assert_eq!(shown("abcdef\x1b[Dx\x1b[2Gy"), ["aycdex", "", ""]);
        assert_eq!(shown("\x1b[99;99Hx\x1b[Hy"), ["y", "", "     x"]);
    }

    #[test]
    fn parts_are_erased_by_sequences() {
        assert_eq!(shown("abc\x1b[2D\x1b[K"), ["a", "", ""]);
        assert_eq!(shown("abc\x1b[2D\x1b[1K"), ["  c", "", ""]);
        assert_eq!(shown("abcdef\x1b[K"), ["abcdef", "", ""]);
        assert_eq!(shown("abc\r\nd\r\ne\x1b[2J\x1b[Hx"), ["x", "", ""]);
        assert_eq!(shown("ab\r\ncd\r\nef\x1b[2;2H\x1b[J"), ["ab", "c", ""]);
        assert_eq!(shown("ab\r\ncd\r\nef\x1b[2;1H\x1b[1J"), ["", " d", "ef"]);
    }

    #[test]
    fn other_sequences_are_not_shown() {
        assert_eq!(shown("\x1b[1;31ma\x1b[0mb\x1b]0;title\x07c\x1b[?25ld\x1bMe"), ["abcde", "", ""]);
    }

    #[test]
    fn bytes_may_be_cut_anywhere() {
        let text = "ü\x1b[2;2Hö\x1b[1Kx\r\ny".as_bytes();
        let mut grid = Grid::new(6, 3);
        text.iter().for_each(|byte| grid.write(&[*byte]));
        assert_eq!(rows(&grid), shown(core::str::from_utf8(text).expect("text")));
    }

    /// Bytes of which many are parts of sequences.
    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![any::<u8>(), proptest::sample::select(&b"\x1b\x1b[[;;0129ABCDGHJK\r\n\t\x08 x\xc3\xbc"[..])]
    }

    proptest! {
        #[test]
        fn any_bytes_leave_a_grid_of_its_size(
            bytes in proptest::collection::vec(byte(), 0..400), columns in 0..20_usize, rows in 0..6_usize,
        ) {
            let mut grid = Grid::new(columns, rows);
            grid.write(&bytes);
            let (columns, rows) = (columns.max(1), rows.max(1));
            prop_assert_eq!(grid.rows().count(), rows);
            prop_assert!(grid.rows().all(|row| row.len() == columns && !row.iter().any(|c| c.is_control())));
            let (row, column) = grid.cursor();
            prop_assert!(row < rows && column < columns);
        }
    }
}
