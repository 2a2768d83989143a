//! What the fuzz targets check holds for what they begin with and for all they ever found.
//!
//! A finding is kept in `fuzz/findings/<target>/` under a name that says what it is.

#[path = "../../fuzz/src/check/document.rs"]
mod document;
#[path = "../../fuzz/src/check/kubeconfig.rs"]
mod kubeconfig;
#[path = "../../fuzz/src/check/manifest.rs"]
mod manifest;

use std::{fs, panic::catch_unwind, path::Path};

fn replay(target: &str, check: fn(&str)) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let mut replayed = 0;
    let mut failed = vec![];
    for folder in ["seeds", "findings"] {
        let Ok(kept) = fs::read_dir(fuzz.join(folder).join(target)) else {
            continue;
        };
        for entry in kept {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a kept input");
            // Others than UTF-8 the targets do not look at.
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            replayed += 1;
            if catch_unwind(|| check(&text)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(replayed > 0, "nothing is kept for {target}");
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn documents_found_by_fuzzing_stay_mended() {
    replay("document", document::check);
}

#[test]
fn manifests_found_by_fuzzing_stay_mended() {
    replay("manifest", manifest::check);
}

#[test]
fn kubeconfigs_found_by_fuzzing_stay_mended() {
    replay("kubeconfig", kubeconfig::check);
}
