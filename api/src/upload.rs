//! An upload: files of documents, and the files they refer to.

mod receive;

pub use receive::receive;

use crate::errors::Violation;
use proto::v1::DocumentText;
use sha2::{Digest, Sha256};

/// Everything of one upload.
#[derive(Debug, Default, PartialEq)]
pub struct Upload {
    pub sources: Vec<Source>,
    pub entries: Vec<Entry>,
}

/// One file of documents.
#[derive(Debug, Default, PartialEq)]
pub struct Source {
    pub name: String,
    pub data: Vec<u8>,
}

/// One file that a document refers to.
#[derive(Debug, Default, PartialEq)]
pub struct Entry {
    pub source: String,
    /// The document's number in its file, from 1.
    pub document: u32,
    /// Where the reference stands in the document.
    pub field: String,
    pub file: String,
    pub data: Vec<u8>,
}

impl Upload {
    /// The upload of a unary call: one document with its files.
    pub fn of(document: DocumentText) -> Self {
        let entries = document
            .files
            .into_iter()
            .map(|file| Entry {
                source: INLINE.to_owned(),
                document: 1,
                field: file.field,
                file: file.file,
                data: file.data.into(),
            })
            .collect();
        Self {
            sources: vec![Source {
                name: INLINE.to_owned(),
                data: document.data.into(),
            }],
            entries,
        }
    }

    /// Names that occur twice, and entries of files that were not sent.
    pub fn check(&self) -> Vec<Violation> {
        let mut names = std::collections::HashSet::new();
        let mut violations: Vec<_> = self
            .sources
            .iter()
            .filter(|source| !names.insert(source.name.as_str()))
            .map(|source| Violation::new(&source.name, "the file was sent twice; send it once"))
            .collect();
        violations.extend(
            self.entries
                .iter()
                .filter(|entry| !names.contains(entry.source.as_str()))
                .map(|entry| {
                    Violation::new(
                        &entry.source,
                        format!(
                            "{} was sent for it, but the file itself was not; send it too",
                            entry.file
                        ),
                    )
                }),
        );
        violations
    }

    /// A hash of the contents, whatever order the files came in.
    pub fn hash(&self, default_project: &str) -> String {
        let mut files: Vec<_> = self
            .sources
            .iter()
            .map(|s| (s.name.as_str(), 0, "", "", s.data.as_slice()))
            .chain(self.entries.iter().map(|e| {
                (
                    e.source.as_str(),
                    e.document,
                    e.field.as_str(),
                    e.file.as_str(),
                    e.data.as_slice(),
                )
            }))
            .collect();
        files.sort_unstable();
        let mut hasher = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(b"apply");
        add(default_project.as_bytes());
        for (source, document, field, file, data) in files {
            add(source.as_bytes());
            add(&document.to_le_bytes());
            add(field.as_bytes());
            add(file.as_bytes());
            add(data);
        }
        hex(&hasher.finalize())
    }
}

/// Name of the document of a unary call in messages.
const INLINE: &str = "document";

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_depend_on_the_order_and_does_on_everything_else() {
        let file = |name: &str, data: &str| Source {
            name: name.into(),
            data: data.into(),
        };
        let hash = |sources: Vec<Source>| {
            Upload {
                sources,
                entries: vec![],
            }
            .hash("p")
        };
        let one = hash(vec![file("a", "1"), file("b", "2")]);
        assert_eq!(one, hash(vec![file("b", "2"), file("a", "1")]));
        for other in [
            vec![file("a", "12"), file("b", "")],
            vec![file("a", "1")],
            vec![file("ab", "1"), file("", "2")],
        ] {
            assert_ne!(one, hash(other));
        }
    }

    #[test]
    fn a_file_sent_twice_and_an_entry_of_no_file_are_named() {
        let upload = Upload {
            sources: vec![
                Source {
                    name: "a".into(),
                    ..Default::default()
                },
                Source {
                    name: "a".into(),
                    ..Default::default()
                },
            ],
            entries: vec![Entry {
                source: "b".into(),
                file: "m.yaml".into(),
                ..Default::default()
            }],
        };
        let said: Vec<_> = upload
            .check()
            .into_iter()
            .map(|v| (v.field, v.description))
            .collect();
        assert!(said[0].0 == "a" && said[0].1.contains("twice"));
        assert!(said[1].0 == "b" && said[1].1.contains("m.yaml"));
    }
}
