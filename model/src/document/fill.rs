//! Puts the objects of manifest files into their app.

use super::{App, DocumentError};
use crate::manifest::{self, ReadObject};
use std::collections::HashMap;

/// One file of a manifest entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestFile {
    /// As shown to the user.
    pub name: String,
    pub text: String,
}

/// One entry of `spec.apps[].manifests`, with the files it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// As written.
    pub path: String,
    pub files: Vec<ManifestFile>,
}

/// Replaces the objects of an app by those of its manifest entries, in order.
///
/// # Errors
/// Files that cannot be read, an entry without objects, folders that need rendering, an object
/// that stands twice; each names file and document.
pub fn fill(app: &mut App, entries: &[ManifestEntry]) -> Result<(), DocumentError> {
    let mut read: Vec<ReadObject> = Vec::new();
    for entry in entries {
        let refuse = |cause: String, next: &str| DocumentError {
            file: entry.path.clone(),
            document: 0,
            field: String::new(),
            cause,
            next_step: next.to_owned(),
        };
        for file in &entry.files {
            if let Some((made_of, next)) = needs_rendering(&file.name) {
                let cause = format!("app {}: {made_of} is not rendered here", app.name);
                return Err(refuse(cause, next));
            }
        }
        let before = read.len();
        for file in &entry.files {
            read.extend(manifest::read(&file.name, &file.text)?);
        }
        if read.len() == before {
            let cause = format!("app {}: no objects", app.name);
            return Err(refuse(
                cause,
                "name a file or folder with Kubernetes objects",
            ));
        }
    }
    refuse_twice(app, &read)?;
    app.objects = read.into_iter().map(|read| read.object).collect();
    Ok(())
}

/// A file that says that its folder is the input of another tool.
fn needs_rendering(file: &str) -> Option<(&'static str, &'static str)> {
    match file.rsplit(['/', '\\']).next()? {
        "kustomization.yaml" | "kustomization.yml" | "Kustomization" => Some((
            "a kustomization",
            "render it: kubectl kustomize FOLDER > FILE, and name the file",
        )),
        "Chart.yaml" => Some((
            "a helm chart",
            "render it: helm template --no-hooks NAME FOLDER > FILE, and name the file",
        )),
        _ => None,
    }
}

fn refuse_twice(app: &App, read: &[ReadObject]) -> Result<(), DocumentError> {
    let mut seen: HashMap<_, &ReadObject> = HashMap::with_capacity(read.len());
    for item in read {
        let object = &item.object;
        let key = (&object.group, &object.kind, &object.namespace, &object.name);
        if let Some(first) = seen.insert(key, item) {
            return Err(DocumentError {
                file: item.file.clone(),
                document: item.document,
                field: "metadata.name".to_owned(),
                cause: format!(
                    "app {}: {} {} stands already in {}, document {}",
                    app.name, object.kind, object.name, first.file, first.document
                ),
                next_step: "remove one of them".to_owned(),
            });
        }
    }
    Ok(())
}
