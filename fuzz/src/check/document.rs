//! Documents: whatever is written, it is read or refused with a place; what was read can be shown
//! and read again as the same.

use model::{
    document::{
        Document, ManifestEntry, ManifestFile, convert, fill, parse_documents, show_cluster,
        show_composite_app, show_dig,
    },
    manifest::canonical,
};

/// Longest error: it must fit into the trailers of an answer.
const LONGEST: usize = 4_000;

pub fn check(text: &str) {
    let documents = match parse_documents("f.yaml", text) {
        Ok(documents) => documents,
        Err(error) => {
            assert!(error.document > 0 && error.to_string().len() < LONGEST);
            return;
        }
    };
    for raw in documents {
        let document = match convert(&raw, "home") {
            Ok(document) => document,
            Err(error) => {
                assert_eq!(error.document, raw.document);
                assert!(!error.next_step.is_empty(), "{error}");
                continue;
            }
        };
        let shown = match &document {
            Document::Cluster(cluster) => show_cluster(cluster),
            Document::CompositeApp(app) => show_composite_app(app),
            Document::Dig(dig) => show_dig(dig),
        };
        let again = parse_documents("again.yaml", &canonical(&shown)).expect("shown text is read");
        let again = convert(&again[0], "elsewhere").expect("a shown document is valid");
        assert_eq!(again, document);
        if let Document::CompositeApp(mut app) = document {
            // The same text as its own manifest: refused or filled, never a panic.
            let files = vec![ManifestFile {
                name: "m.yaml".to_owned(),
                text: text.to_owned(),
            }];
            let entry = ManifestEntry {
                path: "m.yaml".to_owned(),
                files,
            };
            let _ = fill(&mut app.apps[0], &[entry]);
        }
    }
}
