//! The stream of an upload: chunks become files.

use super::{Entry, Source, Upload};
use crate::errors;
use futures_util::{Stream, StreamExt};
use proto::v1::{ApplyHeader, ApplyRequest, apply_request::Part};
use tonic::Status;

/// Largest chunk.
const CHUNK: usize = 1 << 20;
/// Most files in one upload.
const FILES: usize = 20_000;
const WHAT: &str = "the upload";

/// What the chunks that are coming belong to.
enum Open {
    Nothing,
    Source,
    Entry,
}

/// Reads an upload to its end; more than `limit` bytes are refused before they are kept.
pub async fn receive<S>(mut stream: S, limit: u64) -> Result<(ApplyHeader, Upload), Status>
where
    S: Stream<Item = Result<ApplyRequest, Status>> + Unpin,
{
    let Some(Part::Header(header)) = next(&mut stream).await? else {
        return Err(errors::invalid_field(
            WHAT,
            "header",
            "the first message must be the header; send it before any file",
        ));
    };
    let mut upload = Upload::default();
    let mut open = Open::Nothing;
    let mut total = 0u64;
    while let Some(part) = next(&mut stream).await? {
        let (file, size) = match &part {
            Part::Header(_) => {
                return Err(errors::invalid_field(
                    WHAT,
                    "header",
                    "there were two headers; send one only",
                ));
            }
            Part::Source(chunk) => (&chunk.source, chunk.data.len()),
            Part::Entry(chunk) => (&chunk.file, chunk.data.len()),
        };
        total += size as u64;
        if size > CHUNK {
            return Err(errors::invalid_field(
                WHAT,
                file,
                "a chunk is larger than 1 MiB; send smaller ones",
            ));
        }
        if total > limit {
            return Err(errors::invalid_field(
                WHAT,
                file,
                format!(
                    "the upload is larger than {} MiB; split it, or start muster-api with a larger --max-upload-mib",
                    limit >> 20
                ),
            ));
        }
        if upload.sources.len() + upload.entries.len() > FILES {
            return Err(errors::invalid_field(
                WHAT,
                file,
                format!("the upload has more than {FILES} files; split it"),
            ));
        }
        open = upload.add(part, &open)?;
    }
    match open {
        Open::Nothing => Ok((header, upload)),
        Open::Source | Open::Entry => Err(errors::invalid_field(
            WHAT,
            "last",
            "the upload ended within a file; send it again",
        )),
    }
}

async fn next<S>(stream: &mut S) -> Result<Option<Part>, Status>
where
    S: Stream<Item = Result<ApplyRequest, Status>> + Unpin,
{
    match stream.next().await {
        None => Ok(None),
        Some(Err(status)) => Err(status),
        Some(Ok(ApplyRequest { part: Some(part) })) => Ok(Some(part)),
        Some(Ok(ApplyRequest { part: None })) => Err(errors::invalid_field(
            WHAT,
            "part",
            "a message is empty; this client is of another version, update it",
        )),
    }
}

impl Upload {
    fn add(&mut self, part: Part, open: &Open) -> Result<Open, Status> {
        let mixed = |file: &str| {
            errors::invalid_field(
                WHAT,
                file,
                "its chunks are mixed with another file's; send one file after the other",
            )
        };
        match part {
            Part::Header(_) => Ok(Open::Nothing),
            Part::Source(chunk) => {
                match (open, self.sources.last_mut()) {
                    (Open::Source, Some(source)) if source.name == chunk.source => {
                        source.data.extend_from_slice(&chunk.data)
                    }
                    (Open::Nothing, _) => self.sources.push(Source {
                        name: chunk.source,
                        data: chunk.data.into(),
                    }),
                    _ => return Err(mixed(&chunk.source)),
                }
                Ok(if chunk.last {
                    Open::Nothing
                } else {
                    Open::Source
                })
            }
            Part::Entry(chunk) => {
                let same = |entry: &Entry| {
                    (&entry.source, entry.document, &entry.field, &entry.file)
                        == (&chunk.source, chunk.document, &chunk.field, &chunk.file)
                };
                match (open, self.entries.last_mut()) {
                    (Open::Entry, Some(entry)) if same(entry) => {
                        entry.data.extend_from_slice(&chunk.data)
                    }
                    (Open::Nothing, _) => self.entries.push(Entry {
                        source: chunk.source,
                        document: chunk.document,
                        field: chunk.field,
                        file: chunk.file,
                        data: chunk.data.into(),
                    }),
                    _ => return Err(mixed(&chunk.file)),
                }
                Ok(if chunk.last {
                    Open::Nothing
                } else {
                    Open::Entry
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use proto::v1::{EntryChunk, SourceChunk};

    fn header() -> Part {
        Part::Header(ApplyHeader::default())
    }

    fn source(name: &str, data: &str, last: bool) -> Part {
        Part::Source(SourceChunk {
            source: name.into(),
            data: data.as_bytes().to_vec().into(),
            last,
        })
    }

    fn entry(field: &str, data: &str, last: bool) -> Part {
        Part::Entry(EntryChunk {
            source: "a".into(),
            document: 1,
            field: field.into(),
            file: "f".into(),
            data: data.as_bytes().to_vec().into(),
            last,
        })
    }

    async fn received(parts: Vec<Part>, limit: u64) -> Result<Upload, String> {
        let stream = futures_util::stream::iter(
            parts
                .into_iter()
                .map(|part| Ok(ApplyRequest { part: Some(part) })),
        );
        receive(stream, limit)
            .await
            .map(|(_, upload)| upload)
            .map_err(|status| status.message().to_owned())
    }

    #[tokio::test]
    async fn chunks_become_files() {
        let upload = received(
            vec![
                header(),
                source("a", "x", false),
                source("a", "y", true),
                entry("f1", "1", true),
                entry("f2", "2", false),
                entry("f2", "3", true),
            ],
            100,
        )
        .await
        .unwrap();
        assert_eq!(upload.sources[0].data, b"xy");
        assert_eq!(
            upload
                .entries
                .iter()
                .map(|e| (e.field.as_str(), e.data.as_slice()))
                .collect::<Vec<_>>(),
            [("f1", b"1".as_slice()), ("f2", b"23")]
        );
        assert_eq!(upload.check(), []);
    }

    #[tokio::test]
    async fn what_cannot_be_put_together_is_refused_with_a_next_step() {
        for (parts, says) in [
            (vec![], "first message must be the header"),
            (
                vec![source("a", "x", true)],
                "first message must be the header",
            ),
            (vec![header(), header()], "two headers"),
            (
                vec![header(), source("a", "x", false)],
                "ended within a file",
            ),
            (
                vec![header(), source("a", "x", false), source("b", "x", true)],
                "mixed",
            ),
            (
                vec![header(), source("a", "x", false), entry("f", "x", true)],
                "mixed",
            ),
            (
                vec![header(), source("a", &"x".repeat(101), true)],
                "larger than 0 MiB",
            ),
            (
                vec![header(), source("a", &"x".repeat(CHUNK + 1), true)],
                "1 MiB",
            ),
        ] {
            let error = received(parts, 100).await.unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
