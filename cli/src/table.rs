//! Columns in the manner of kubectl: upper-case heads, three spaces between.

use console::measure_text_width;

/// Rows of text under heads. The last column may be cut to fit a terminal.
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
}

const GAP: usize = 3;

impl Table {
    pub fn new(heads: &[&'static str]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
            widths: heads.iter().map(|head| head.len()).collect(),
        }
    }

    /// One cell per head; an empty one is shown as it is.
    pub fn row(&mut self, cells: Vec<String>) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(measure_text_width(cell));
        }
        self.rows.push(cells);
    }

    /// The line of heads.
    pub fn head(&self) -> String {
        self.line(
            &self
                .heads
                .iter()
                .map(|head| (*head).to_owned())
                .collect::<Vec<_>>(),
            None,
        )
    }

    /// Takes the rows out as lines, keeping the widths for more rows of the same table.
    pub fn take(&mut self, terminal_width: Option<usize>) -> Vec<String> {
        let rows = std::mem::take(&mut self.rows);
        rows.iter()
            .map(|row| self.line(row, terminal_width))
            .collect()
    }

    /// Head and rows.
    pub fn lines(&mut self, terminal_width: Option<usize>) -> Vec<String> {
        let mut lines = vec![self.head()];
        lines.extend(self.take(terminal_width));
        lines
    }

    fn line(&self, cells: &[String], terminal_width: Option<usize>) -> String {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            line.push_str(cell);
            if index + 1 < cells.len() {
                let used = measure_text_width(cell);
                let wanted = self.widths.get(index).copied().unwrap_or(0) + GAP;
                line.extend(std::iter::repeat_n(' ', wanted.saturating_sub(used).max(1)));
            }
        }
        let line = line.trim_end();
        match terminal_width {
            Some(width) => console::truncate_str(line, width, "…").into_owned(),
            None => line.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(vec!["a".into(), "Created".into()]);
        table.row(vec!["boutique-prod".into(), String::new()]);
        assert_eq!(
            table.lines(None).join("\n"),
            "NAME            STATE\na               Created\nboutique-prod"
        );
    }

    #[test]
    fn a_terminal_cuts_long_lines() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec!["1".into(), "long words".into()]);
        assert_eq!(table.lines(Some(9))[1], "1   long…");
    }
}
