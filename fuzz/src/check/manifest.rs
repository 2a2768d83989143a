//! Manifests: read or refused with a place; an object that was read has a canonical text that is
//! read as the same object, and takes our labels.

use model::{
    ids::ContextId,
    manifest::{CONTEXT_LABEL, canonical, digest, is_kept, is_shared_kind, read, stamp},
};

/// Longest error: it must fit into the trailers of an answer.
const LONGEST: usize = 4_000;

pub fn check(text: &str) {
    let objects = match read("m.yaml", text) {
        Ok(objects) => objects,
        Err(error) => {
            assert!(error.document > 0 && error.to_string().len() < LONGEST);
            assert!(!error.next_step.is_empty(), "{error}");
            return;
        }
    };
    for read_object in objects {
        let object = read_object.object;
        let canon = canonical(&object.json);
        let again = read("c.json", &canon).expect("a canonical text is read");
        // A kind `List` with items would be several; an object never is.
        assert_eq!(again.len(), 1);
        assert_eq!(digest(&canonical(&again[0].object.json)), digest(&canon));
        assert_eq!(again[0].object.name, object.name);
        let _ = is_kept(&object.json);
        let mut sent = object.json;
        stamp(&mut sent, &ContextId("01c".to_owned()), "inst", "app");
        if !is_shared_kind(&object.group, &object.kind) {
            assert_eq!(sent["metadata"]["labels"][CONTEXT_LABEL], "01c");
        }
    }
}
