//! From an upload to documents, as far as that goes without the store; all that is wrong is kept.

use crate::{
    errors::Violation,
    inline::{self, Inline},
    upload::{Entry, Upload},
};
use model::{
    document::{
        self, Cluster, CompositeApp, Dig, Document, DocumentError, ManifestEntry, ManifestFile,
        RawDocument, fill, parse_documents,
    },
    kubeconfig,
};
use std::collections::{HashMap, HashSet};

/// Where a document stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub file: String,
    pub document: usize,
}

/// The documents of an upload, checked as far as that goes without the store.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub clusters: Vec<(Place, Cluster, Kubeconfig)>,
    pub apps: Vec<(Place, CompositeApp)>,
    pub digs: Vec<(Place, Dig)>,
    pub violations: Vec<Violation>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kubeconfig {
    Uploaded(String),
    /// The stored one stays.
    Stored,
}

/// Reads every document with the files it refers to.
pub(super) fn read(upload: Upload, default_project: &str) -> Checked {
    let mut checked = Checked {
        violations: upload.check(),
        ..Checked::default()
    };
    let mut entries = Entries::of(upload.entries, &mut checked.violations);
    let names: Vec<String> = upload.sources.iter().map(|s| s.name.clone()).collect();
    for source in upload.sources {
        let Ok(text) = String::from_utf8(source.data) else {
            checked.violations.push(Violation::new(
                &source.name,
                "is not UTF-8 text; save it as UTF-8",
            ));
            continue;
        };
        match parse_documents(&source.name, &text) {
            Ok(documents) => documents
                .into_iter()
                .for_each(|raw| checked.add(raw, default_project, &mut entries)),
            Err(error) => checked.violations.push(said(&error)),
        }
    }
    checked.refuse_twice();
    if checked.is_empty() {
        let cause = match names.as_slice() {
            [] => "holds no file".to_owned(),
            names => format!("holds no document: {}", names.join(", ")),
        };
        let next =
            "send at least one document of kind Cluster, CompositeApp or DeploymentIntentGroup";
        checked
            .violations
            .push(Violation::new("the upload", format!("{cause}; {next}")));
    }
    checked
}

impl Checked {
    fn is_empty(&self) -> bool {
        self.clusters.is_empty()
            && self.apps.is_empty()
            && self.digs.is_empty()
            && self.violations.is_empty()
    }

    fn add(&mut self, mut raw: RawDocument, default_project: &str, entries: &mut Entries) {
        let place = Place {
            file: raw.file.clone(),
            document: raw.document,
        };
        let read = inline::take(&mut raw)
            .and_then(|inline| Ok((inline, document::convert(&raw, default_project)?)));
        match read {
            Err(error) => self.violations.push(said(&error)),
            Ok((inline, Document::Cluster(cluster))) => {
                match kubeconfig(&place, &cluster, &inline, entries) {
                    Ok(text) => self.clusters.push((place, cluster, text)),
                    Err(violation) => self.violations.push(violation),
                }
            }
            Ok((mut inline, Document::CompositeApp(mut app))) => {
                for (number, app) in app.apps.iter_mut().enumerate() {
                    let files = match inline.manifests.remove(&number) {
                        Some(entry) => vec![entry],
                        None => app
                            .manifests
                            .iter()
                            .enumerate()
                            .map(|(m, path)| ManifestEntry {
                                path: path.clone(),
                                files: entries.files(&place, &manifest_field(number, m)),
                            })
                            .collect(),
                    };
                    if let Err(error) = fill(app, &files) {
                        self.violations.push(placed(error, &place, number, &files));
                    }
                }
                self.apps.push((place, app));
            }
            Ok((_, Document::Dig(dig))) => self.digs.push((place, dig)),
        }
    }

    /// One document of a kind and name in an upload.
    fn refuse_twice(&mut self) {
        let names = (self
            .clusters
            .iter()
            .map(|(place, cluster, _)| (place, "Cluster", cluster.id.to_string())))
        .chain(self.apps.iter().map(|(place, app)| {
            (
                place,
                "CompositeApp",
                format!("{}/{}/{}", app.id.project, app.id.name, app.id.version),
            )
        }))
        .chain(
            self.digs
                .iter()
                .map(|(place, dig)| (place, "DeploymentIntentGroup", dig.id.to_string())),
        );
        let mut seen: HashMap<(&str, String), &Place> = HashMap::new();
        let mut twice = Vec::new();
        for (place, kind, name) in names {
            if let Some(first) = seen.insert((kind, name.clone()), place) {
                twice.push(violation(
                    place,
                    "metadata.name",
                    &format!(
                        "{kind} {name} stands already in {}, document {}; remove one of them",
                        first.file, first.document
                    ),
                ));
            }
        }
        self.violations.extend(twice);
    }
}

fn manifest_field(app: usize, manifest: usize) -> String {
    format!("spec.apps[{app}].manifests[{manifest}]")
}

/// An error about an entry as a whole is about the field that names it.
fn placed(error: DocumentError, place: &Place, app: usize, entries: &[ManifestEntry]) -> Violation {
    match entries
        .iter()
        .position(|entry| error.document == 0 && entry.path == error.file)
    {
        Some(number) => violation(
            place,
            &manifest_field(app, number),
            &format!("{}: {}; {}", error.file, error.cause, error.next_step),
        ),
        None => said(&error),
    }
}

fn kubeconfig(
    place: &Place,
    cluster: &Cluster,
    inline: &Inline,
    entries: &mut Entries,
) -> Result<Kubeconfig, Violation> {
    const FIELD: &str = "spec.kubeconfig";
    if inline.kubeconfig_stored {
        return Ok(Kubeconfig::Stored);
    }
    let mut files = entries.files(place, FIELD);
    match (files.pop(), files.pop()) {
        (Some(file), None) => match kubeconfig::check(&file.text, cluster.context.as_deref()) {
            Ok(()) => Ok(Kubeconfig::Uploaded(file.text)),
            Err(error) => Err(violation(place, FIELD, &format!("{}: {error}", file.name))),
        },
        (None, _) => Err(violation(
            place,
            FIELD,
            &format!(
                "{} was not sent with the document; send it too",
                cluster.kubeconfig
            ),
        )),
        _ => Err(violation(place, FIELD, "is more than one file; name one")),
    }
}

/// The files that documents refer to, until a document takes them.
struct Entries(HashMap<(String, usize, String), Vec<ManifestFile>>);

impl Entries {
    fn of(entries: Vec<Entry>, violations: &mut Vec<Violation>) -> Self {
        let mut files: HashMap<_, Vec<ManifestFile>> = HashMap::new();
        let mut garbled = HashSet::new();
        for entry in entries {
            match String::from_utf8(entry.data) {
                Ok(text) => files
                    .entry((entry.source, entry.document as usize, entry.field))
                    .or_default()
                    .push(ManifestFile {
                        name: entry.file,
                        text,
                    }),
                Err(_) if garbled.insert(entry.file.clone()) => {
                    let place = Place {
                        file: entry.source,
                        document: entry.document as usize,
                    };
                    violations.push(violation(
                        &place,
                        &entry.field,
                        &format!("{} is not UTF-8 text; save it as UTF-8", entry.file),
                    ));
                }
                Err(_) => {}
            }
        }
        Self(files)
    }

    fn files(&mut self, place: &Place, field: &str) -> Vec<ManifestFile> {
        self.0
            .remove(&(place.file.clone(), place.document, field.to_owned()))
            .unwrap_or_default()
    }
}

pub(super) fn violation(place: &Place, field: &str, description: &str) -> Violation {
    Violation::new(
        format!("{}#{}:{field}", place.file, place.document),
        description,
    )
}

pub(super) fn said(error: &DocumentError) -> Violation {
    let mut place = error.file.clone();
    if error.document > 0 {
        place.push_str(&format!("#{}", error.document));
    }
    if !error.field.is_empty() {
        place.push_str(&format!(":{}", error.field));
    }
    let next = if error.next_step.is_empty() {
        String::new()
    } else {
        format!("; {}", error.next_step)
    };
    Violation::new(place, format!("{}{next}", error.cause))
}
