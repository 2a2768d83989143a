//! A cluster's objects on disk: one append-only file, rewritten when most of it is history.
//!
//! Every line is one change, written with one `write` before its answer leaves, so a killed process loses
//! nothing that was answered. There is no fsync: the journal outlives the process, not the machine.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Error;

/// One line of the journal.
#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    /// The object `json` of kind `kind` was written at `version`.
    Put {
        version: u64,
        kind: &'a str,
        json: &'a str,
    },
    /// The object was removed at `version`.
    Remove {
        version: u64,
        kind: &'a str,
        namespace: &'a str,
        name: &'a str,
    },
}

impl Line<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        // Writing into memory cannot fail.
        let _ = match self {
            Line::Put {
                version,
                kind,
                json,
            } => writeln!(out, "P {version} {kind} {json}"),
            Line::Remove {
                version,
                kind,
                namespace,
                name,
            } => writeln!(out, "R {version} {kind} {namespace} {name}"),
        };
    }

    fn parse(line: &str) -> Option<Line<'_>> {
        let mut parts = line.splitn(4, ' ');
        let (tag, version, kind, rest) = (
            parts.next()?,
            parts.next()?.parse().ok()?,
            parts.next()?,
            parts.next()?,
        );
        match tag {
            "P" => Some(Line::Put {
                version,
                kind,
                json: rest,
            }),
            "R" => {
                let (namespace, name) = rest.split_once(' ')?;
                Some(Line::Remove {
                    version,
                    kind,
                    namespace,
                    name,
                })
            }
            _ => None,
        }
    }
}

/// How many journals of this process are open. Past the limit each write opens and closes its file, so that
/// many clusters do not use up the process's file descriptors.
static OPEN: AtomicUsize = AtomicUsize::new(0);
const OPEN_AT_MOST: usize = 128;

/// A file that counts among the open ones.
struct Counted(File);

impl Counted {
    fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(Self(file))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The file, opened when there is something to write.
pub struct Journal {
    path: PathBuf,
    file: Option<Counted>,
    size: u64,
    rewrite_at: u64,
    buffer: Vec<u8>,
}

const SMALLEST_REWRITE: u64 = 1 << 20;

impl Journal {
    /// Reads the journal of `dir`, one line after the other, and answers it ready for more.
    pub fn open(dir: &Path, mut each: impl FnMut(Line<'_>)) -> Result<Self, Error> {
        let path = dir.join("objects.log");
        let failed = |operation, source| Error::Journal {
            operation,
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(|source| failed("make folder for journal", source))?;
        let mut text = Vec::new();
        let mut size = 0;
        if path.exists() {
            File::open(&path)
                .and_then(|mut file| file.read_to_end(&mut text))
                .map_err(|source| failed("read journal", source))?;
            // A killed process may have left half a line at the end; it was never answered.
            let whole = text
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            if whole < text.len() {
                OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .and_then(|file| file.set_len(whole as u64))
                    .map_err(|source| failed("cut journal", source))?;
                text.truncate(whole);
            }
            size = whole as u64;
            for line in text.split(|byte| *byte == b'\n') {
                if let Some(line) = std::str::from_utf8(line).ok().and_then(Line::parse) {
                    each(line);
                }
            }
        }
        let rewrite_at = (size * 4).max(SMALLEST_REWRITE);
        Ok(Self {
            path,
            file: None,
            size,
            rewrite_at,
            buffer: Vec::new(),
        })
    }

    /// Whether nothing was ever written.
    pub fn is_new(&self) -> bool {
        self.size == 0
    }

    /// Appends lines with one write.
    pub fn append(&mut self, lines: &[Line<'_>]) -> std::io::Result<()> {
        self.buffer.clear();
        for line in lines {
            line.write(&mut self.buffer);
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => Counted::open(&self.path)?,
        };
        file.0.write_all(&self.buffer)?;
        if OPEN.load(Ordering::Relaxed) <= OPEN_AT_MOST {
            self.file = Some(file);
        }
        self.size += self.buffer.len() as u64;
        Ok(())
    }

    /// Closes the file until the next write, so that an idle cluster holds none.
    pub fn rest(&mut self) {
        self.file = None;
    }

    /// Whether most of the file is history.
    pub fn wants_rewrite(&self) -> bool {
        self.size >= self.rewrite_at
    }

    /// Replaces the file by one that holds just these lines.
    pub fn rewrite<'a>(&mut self, lines: impl Iterator<Item = Line<'a>>) -> std::io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        let (mut buffer, mut size) = (Vec::with_capacity(1 << 16), 0);
        for line in lines {
            line.write(&mut buffer);
            if buffer.len() >= 1 << 16 {
                file.write_all(&buffer)?;
                size += buffer.len() as u64;
                buffer.clear();
            }
        }
        file.write_all(&buffer)?;
        size += buffer.len() as u64;
        std::fs::rename(&fresh, &self.path)?;
        self.file = None;
        self.size = size;
        self.rewrite_at = (size * 4).max(SMALLEST_REWRITE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a failed file operation is a failed test"
    )]
    use super::*;

    fn read(dir: &Path) -> (Journal, Vec<String>) {
        let mut lines = Vec::new();
        let journal = Journal::open(dir, |line| lines.push(format!("{line:?}"))).unwrap();
        (journal, lines)
    }

    #[test]
    fn half_a_line_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = read(dir.path());
        assert!(journal.is_new());
        journal
            .append(&[Line::Put {
                version: 7,
                kind: "configmaps",
                json: "{\"a\": 1}",
            }])
            .unwrap();
        let mut file = OpenOptions::new()
            .append(true)
            .open(dir.path().join("objects.log"))
            .unwrap();
        file.write_all(b"P 8 configmaps {\"b").unwrap();
        let (mut journal, lines) = read(dir.path());
        assert_eq!(
            lines,
            [r#"Put { version: 7, kind: "configmaps", json: "{\"a\": 1}" }"#]
        );
        journal
            .append(&[Line::Remove {
                version: 8,
                kind: "configmaps",
                namespace: "",
                name: "x",
            }])
            .unwrap();
        assert_eq!(read(dir.path()).1.len(), 2);
    }

    #[test]
    fn a_rewrite_keeps_only_what_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, _) = read(dir.path());
        let put = |version| Line::Put {
            version,
            kind: "secrets",
            json: "{}",
        };
        for version in 1..=100 {
            journal.append(&[put(version)]).unwrap();
        }
        journal.rewrite([put(100)].into_iter()).unwrap();
        journal.append(&[put(101)]).unwrap();
        assert_eq!(read(dir.path()).1.len(), 2);
    }
}
