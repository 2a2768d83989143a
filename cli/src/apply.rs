//! `muster apply`: uploads documents with the files they name.

use crate::{
    args::Apply,
    documents::{self, Source},
    fault::Fault,
    output::Format,
    session::{self, Session},
    words,
};
use proto::v1::{ApplyHeader, ApplyRequest, EntryChunk, SourceChunk, apply_request::Part};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// As the API wants them.
const CHUNK: usize = 1 << 20;

pub async fn run(session: &mut Session, arguments: &Apply) -> Result<(), Fault> {
    let sources = Arc::new(documents::read(&arguments.filename, &mut session.input)?);
    let header = ApplyHeader {
        request_id: session.request_id(0),
        validate_only: arguments.dry_run,
        default_project: session.global.project.clone(),
    };
    let mut client = session.documents().await?;
    let mut tries = 0;
    // The request id makes a second upload of the same harmless.
    let answer = loop {
        tries += 1;
        match client
            .apply(tokio_stream::iter(requests(
                header.clone(),
                sources.clone(),
            )))
            .await
        {
            Ok(answer) => break answer.into_inner(),
            Err(status) if tries < 4 && session::broken(&status) => {
                tokio::time::sleep(Duration::from_millis(100 << tries)).await;
            }
            Err(status) => return Err(session.fault(status)),
        }
    };

    #[derive(Serialize)]
    struct Document {
        kind: String,
        name: String,
        change: &'static str,
    }
    let documents: Vec<Document> = answer
        .documents
        .into_iter()
        .map(|document| Document {
            kind: document.kind,
            name: document.name,
            change: words::change(document.change),
        })
        .collect();
    if session.output.structured() {
        return session
            .output
            .value(&serde_json::json!({ "documents": documents, "dryRun": arguments.dry_run }));
    }
    for document in documents {
        let name = format!("{}/{}", words::kind(&document.kind), document.name);
        let suffix = if arguments.dry_run { " (dry run)" } else { "" };
        match session.output.format {
            Format::Name => session.output.line(&name)?,
            _ => session
                .output
                .line(&format!("{name} {}{suffix}", document.change))?,
        }
    }
    Ok(())
}

/// The messages of the upload, made one by one as the server takes them.
fn requests(
    header: ApplyHeader,
    sources: Arc<Vec<Source>>,
) -> impl Iterator<Item = ApplyRequest> + Send {
    let count = sources.len();
    let parts = (0..count).flat_map(move |index| {
        let source = &sources[index];
        let mut parts: Vec<Part> = chunks(&source.data)
            .map(|(data, last)| {
                Part::Source(SourceChunk {
                    source: source.name.clone(),
                    data,
                    last,
                })
            })
            .collect();
        for entry in &source.entries {
            parts.extend(chunks(&entry.data).map(|(data, last)| {
                Part::Entry(EntryChunk {
                    source: source.name.clone(),
                    document: entry.document,
                    field: entry.field.clone(),
                    file: entry.file.clone(),
                    data,
                    last,
                })
            }));
        }
        parts
    });
    std::iter::once(Part::Header(header))
        .chain(parts)
        .map(|part| ApplyRequest { part: Some(part) })
}

/// Pieces of at most a chunk, without copying; an empty file is one empty piece.
fn chunks(data: &bytes::Bytes) -> impl Iterator<Item = (bytes::Bytes, bool)> + '_ {
    let count = data.len().div_ceil(CHUNK).max(1);
    (0..count).map(move |index| {
        let from = index * CHUNK;
        (
            data.slice(from..data.len().min(from + CHUNK)),
            index + 1 == count,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn files_are_cut_into_chunks_and_end_once() {
        for (length, expected) in [
            (0, vec![(0, true)]),
            (5, vec![(5, true)]),
            (CHUNK, vec![(CHUNK, true)]),
            (CHUNK + 1, vec![(CHUNK, false), (1, true)]),
        ] {
            let data = Bytes::from(vec![b'x'; length]);
            let cut: Vec<_> = chunks(&data)
                .map(|(piece, last)| (piece.len(), last))
                .collect();
            assert_eq!(cut, expected);
        }
    }
}
