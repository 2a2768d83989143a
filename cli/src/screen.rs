//! A few lines at the bottom of a terminal that are painted over and over.

use console::{Term, measure_text_width, truncate_str};

/// Begin and end of an update that the terminal should show at once, where it knows how.
const BEGIN: &str = "\u{1b}[?2026h";
const END: &str = "\u{1b}[?2026l";

/// The lines painted last, to be painted over.
pub struct Screen {
    term: Term,
    widths: Vec<usize>,
}

impl Screen {
    pub fn new(term: Term) -> Self {
        Self {
            term,
            widths: Vec::new(),
        }
    }

    /// (columns, rows)
    pub fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size();
        (usize::from(columns).max(20), usize::from(rows).max(4))
    }

    /// Replaces what was painted before. A terminal that cannot be written to is no reason to stop.
    pub fn paint(&mut self, lines: &[String]) {
        let (columns, rows) = self.size();
        let mut text = format!("{BEGIN}{}", erase(&self.widths, columns));
        self.widths.clear();
        for line in lines.iter().take(rows - 1) {
            let line = truncate_str(line, columns, "…");
            self.widths.push(measure_text_width(&line));
            text.push_str(&line);
            text.push('\n');
        }
        text.push_str(END);
        let _ = self.term.write_str(&text);
        let _ = self.term.flush();
    }

    pub fn clear(&mut self) {
        self.paint(&[]);
    }
}

/// Moves to the first painted line and clears from there. A terminal that became narrower since
/// has wrapped the lines, so they are counted at its present width.
fn erase(widths: &[usize], columns: usize) -> String {
    let rows: usize = widths
        .iter()
        .map(|width| width.div_ceil(columns).max(1))
        .sum();
    match rows {
        0 => String::new(),
        rows => format!("\u{1b}[{rows}A\r\u{1b}[J"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_a_narrower_terminal_wrapped_are_erased_too() {
        for (widths, columns, expected) in [
            (vec![], 80, ""),
            (vec![10, 0, 80], 80, "\u{1b}[3A\r\u{1b}[J"),
            (vec![10, 80], 40, "\u{1b}[3A\r\u{1b}[J"),
            (vec![81], 40, "\u{1b}[3A\r\u{1b}[J"),
        ] {
            assert_eq!(erase(&widths, columns), expected);
        }
    }
}
