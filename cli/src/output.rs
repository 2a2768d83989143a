//! Standard output and error of a command: the format asked for, and a quiet end when the reader leaves.

use crate::{
    fault::Fault,
    style::{Style, Terminals},
};
use clap::ValueEnum;
use serde::Serialize;
use std::io::{BufWriter, Write};

/// `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people (the default)
    Table,
    /// More columns
    Wide,
    /// One JSON value; errors too are JSON then
    Json,
    /// For `get`: documents that can be applied again
    Yaml,
    /// Only names, one per line
    Name,
}

/// Where a command writes.
pub struct Output {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    pub format: Format,
    pub terminals: Terminals,
    /// Of standard output.
    pub style: Style,
}

impl Output {
    /// The process's own streams.
    pub fn standard(format: Format) -> Self {
        let terminals = Terminals::present();
        let out = BufWriter::with_capacity(1 << 16, std::io::stdout());
        Self::new(
            Box::new(out),
            Box::new(std::io::stderr()),
            format,
            terminals,
        )
    }

    pub fn new(
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        format: Format,
        terminals: Terminals,
    ) -> Self {
        Self {
            out,
            err,
            format,
            terminals,
            style: Style::of(terminals.stdout),
        }
    }

    /// Somebody is there to be asked.
    pub fn asks(&self) -> bool {
        self.terminals.stdin && self.terminals.stderr
    }

    /// JSON or YAML: nothing but one value belongs on standard output.
    pub fn structured(&self) -> bool {
        matches!(self.format, Format::Json | Format::Yaml)
    }

    /// Columns of the terminal on standard output, if it is one.
    pub fn width(&self) -> Option<usize> {
        let (_, columns) = self
            .terminals
            .stdout
            .then(|| console::Term::stdout().size_checked())
            .flatten()?;
        Some(columns.into())
    }

    pub fn line(&mut self, text: &str) -> Result<(), Fault> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.write_all(b"\n")?)
    }

    pub fn lines(&mut self, lines: &[String]) -> Result<(), Fault> {
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// Beside the result: progress, notes, questions. Nobody reading them is no reason to stop.
    pub fn note(&mut self, text: &str) {
        // On a terminal both streams meet, so what was written before comes first.
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{text}");
        let _ = self.err.flush();
    }

    /// Beside the result, as it is.
    pub fn raw_note(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
        let _ = self.err.flush();
    }

    /// A value as JSON (several lines) or YAML, as asked for.
    pub fn value(&mut self, value: &impl Serialize) -> Result<(), Fault> {
        if self.format == Format::Yaml {
            let text = serde_yaml_ng::to_string(value)?;
            Ok(self.out.write_all(text.as_bytes())?)
        } else {
            serde_json::to_writer_pretty(&mut self.out, value)?;
            Ok(self.out.write_all(b"\n")?)
        }
    }

    /// A value as one line of JSON: an element of a stream.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<(), Fault> {
        serde_json::to_writer(&mut self.out, value)?;
        Ok(self.out.write_all(b"\n")?)
    }

    pub fn flush(&mut self) -> Result<(), Fault> {
        Ok(self.out.flush()?)
    }
}
