use std::fmt::Display;

use Column::{Left, Right};

use super::terminal::terminal_width;
use crate::check::layout::wrapped;

/// A column: its title and its least width, in characters. It is wider if a cell needs that.
pub(super) enum Column {
    /// Its cells begin at the same place.
    Left(&'static str, usize),
    /// Its cells end at the same place.
    Right(&'static str, usize),
}

/// Rows of aligned columns under their titles, with notes between the rows.
pub(super) struct Table<'a> {
    columns: &'a [Column],
    lines: Vec<Line>,
}

enum Line {
    Row(Vec<String>),
    Note(String),
}

/// Where a text begins that goes on below its row.
const INDENT: usize = 4;

/// Characters between a cell and the next one, at least.
const GAP: usize = 1;

impl Table<'_> {
    /// A table without a row yet.
    pub fn new(columns: &[Column]) -> Table<'_> {
        Table {
            columns,
            lines: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [&dyn Display; N]) {
        let cells = cells.iter().map(ToString::to_string);
        self.lines.push(Line::Row(cells.collect()));
    }

    /// Adds an indented line below the last row.
    pub fn note(&mut self, text: &dyn Display) {
        self.lines.push(Line::Note(text.to_string()));
    }

    /// The table as text, as wide as the terminal at most.
    pub fn text(&self) -> String {
        self.text_within(terminal_width())
    }

    fn text_within(&self, most: Option<usize>) -> String {
        let columns = 0..self.columns.len();
        let mut widths: Vec<usize> = columns.clone().map(|number| self.width(number)).collect();
        let is_too_wide = |widths: &[usize]| most.is_some_and(|most| self.length(widths) > most);
        if is_too_wide(&widths) {
            widths = columns.map(|number| self.needed(number)).collect();
        }
        // The first columns say the most. A text at the end is rather broken than left out.
        while let Some(Right(..)) = self.columns.get(widths.len().wrapping_sub(1))
            && is_too_wide(&widths)
        {
            widths.pop();
        }
        let mut text = self.aligned(&self.titles(), &widths);
        for line in &self.lines {
            text += &match line {
                Line::Row(cells) => self.fitted_row(cells, &widths, most),
                Line::Note(note) => format!("  {note}\n"),
            };
        }
        text
    }

    /// A row. A text at its end that would be broken goes on below it.
    fn fitted_row(&self, cells: &[String], widths: &[usize], most: Option<usize>) -> String {
        let row = self.aligned(cells, widths);
        let whole = widths.len() == self.columns.len();
        match (self.columns, cells, most) {
            ([_, .., Left(..)], [before @ .., last], Some(most))
                if whole && row.trim_end().chars().count() > most =>
            {
                let lines = wrapped(last, most.saturating_sub(INDENT));
                let gap = format!("\n{}", " ".repeat(INDENT));
                self.aligned(before, widths) + &gap[1..] + &lines.join(&gap) + "\n"
            }
            _ => row,
        }
    }

    fn titles(&self) -> Vec<String> {
        let titles = self.columns.iter().map(Column::title);
        titles.map(str::to_owned).collect()
    }

    /// Characters of the longest row.
    fn length(&self, widths: &[usize]) -> usize {
        let rows = self.lines.iter().filter_map(|line| match line {
            Line::Row(cells) => Some(self.aligned(cells, widths)),
            Line::Note(_) => None,
        });
        let rows = rows.chain([self.aligned(&self.titles(), widths)]);
        rows.map(|row| row.trim_end().chars().count())
            .max()
            .unwrap_or(0)
    }

    fn width(&self, number: usize) -> usize {
        let (Left(_, least) | Right(_, least)) = self.columns[number];
        self.longest(number).max(least)
    }

    /// The width of a column that has no room to spare.
    fn needed(&self, number: usize) -> usize {
        let title = self.columns[number].title().chars().count() + GAP;
        self.longest(number).max(title)
    }

    fn longest(&self, number: usize) -> usize {
        let cells = self.lines.iter().filter_map(|line| match line {
            Line::Row(cells) => cells.get(number),
            Line::Note(_) => None,
        });
        let longest = cells.map(|cell| cell.chars().count() + GAP).max();
        longest.unwrap_or(0)
    }

    fn aligned(&self, cells: &[String], widths: &[usize]) -> String {
        let mut text = String::new();
        let mut ends_at_cell = false;
        for ((column, cell), &width) in self.columns.iter().zip(cells).zip(widths) {
            text += &match column {
                // The cell before it ends where this one would begin.
                Left(..) if ends_at_cell => format!("  {cell:<width$}"),
                Left(..) => format!("{cell:<width$}"),
                Right(..) => format!("{cell:>width$}"),
            };
            ends_at_cell = matches!(column, Right(..));
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    }
}

impl Column {
    fn title(&self) -> &'static str {
        let (Left(title, _) | Right(title, _)) = self;
        title
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let columns = [Left("NAME", 8), Right("COUNT", 7), Left("REST", 0)];
        let mut table = Table::new(&columns);
        table.row([&"a", &1, &"x"]);
        table.note(&"a note");
        assert_eq!(
            table.text(),
            "NAME      COUNT  REST\na             1  x\n  a note\n"
        );
        table.row([&"a long name", &1_234_567, &"y"]);
        assert_eq!(
            table.text(),
            "NAME           COUNT  REST\na                  1  x\n  a note\na long name  1234567  y\n"
        );
    }
    #[test]
    fn a_narrow_terminal_gets_less_room_and_fewer_columns() {
        let columns = [Left("NAME", 8), Right("A", 7), Right("B", 7)];
        let mut table = Table::new(&columns);
        table.row([&"a", &1, &22]);
        let wide = "NAME          A      B\na             1     22\n";
        let narrow = "NAME  A  B\na     1 22\n";
        for (most, text) in [
            (None, wide),
            (Some(22), wide),
            (Some(21), narrow),
            (Some(10), narrow),
            (Some(9), "NAME  A\na     1\n"),
            (Some(1), "NAME\na\n"),
        ] {
            assert_eq!(table.text_within(most), text, "{most:?}");
        }
        let columns = [Left("NAME", 8), Left("WHY", 0)];
        let mut table = Table::new(&columns);
        table.row([&"a", &"a reason"]);
        assert_eq!(
            table.text_within(Some(10)),
            "NAME WHY\na\n    a\n    reason\n"
        );
        assert_eq!(table.text_within(Some(13)), "NAME WHY\na    a reason\n");
    }
}
