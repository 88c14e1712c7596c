//! Tables: a heading, and rows below it, each column as wide as it needs to be.
//!
//! Pure. Neighbours: the commands that list things fill them.

use alloc::string::String;
use alloc::vec::Vec;

/// On which side the texts of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// A table.
#[derive(Debug)]
pub struct Table<const COLUMNS: usize> {
    heading: [(&'static str, Side); COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    #[must_use]
    pub fn new(heading: [(&'static str, Side); COLUMNS]) -> Table<COLUMNS> {
        Table { heading, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    /// Its lines. Without rows, the heading and a word that there are none.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut widths = self.heading.map(|(title, _)| title.chars().count());
        for row in &self.rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        let line = |texts: [&str; COLUMNS]| {
            let mut line = String::new();
            for ((text, width), (_, side)) in texts.into_iter().zip(widths).zip(self.heading) {
                let space = width - text.chars().count();
                let (before, after) = if side == Side::Right { (space, 0) } else { (0, space) };
                line.extend(core::iter::repeat_n(' ', before));
                line.push_str(text);
                line.extend(core::iter::repeat_n(' ', after + 2));
            }
            line.truncate(line.trim_end().len());
            line
        };
        let mut lines = Vec::from([line(self.heading.map(|(title, _)| title))]);
        lines.extend(self.rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
        if self.rows.is_empty() {
            lines.push("(none)".into());
        }
        lines
    }

    /// Prints it.
    pub fn print(&self) {
        for line in self.lines() {
            portolan::println!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let mut table = Table::new([("task", Side::Right), ("name", Side::Left), ("ports", Side::Right)]);
        assert_eq!(table.lines(), ["task  name  ports", "(none)"]);
        for (task, name, ports) in [("1", "first", "7"), ("10234", "größer", "12345")] {
            table.row([task.into(), name.into(), ports.into()]);
        }
        assert_eq!(table.lines(), [" task  name    ports", "    1  first       7", "10234  größer  12345"]);
    }
}
