//! Documents and the files they name, ready to be uploaded. A document is looked into only for its
//! references; whether it means something is the server's to say.

use crate::{
    fault::Fault,
    files::{self, FILE_LIMIT},
    kubeconfig,
    references::{Reference, references},
};
use bytes::Bytes;
use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
};

/// Everything together, so that a wrong folder cannot fill the memory.
const TOTAL_LIMIT: u64 = 8 * FILE_LIMIT;

/// A file of documents.
#[derive(Debug)]
pub struct Source {
    /// As the user named it; `-` for standard input.
    pub name: String,
    pub data: Bytes,
    pub entries: Vec<Entry>,
}

/// A file that a document names.
#[derive(Debug)]
pub struct Entry {
    /// From 1.
    pub document: u32,
    /// `spec.kubeconfig`, `spec.apps[0].manifests[1]`.
    pub field: String,
    /// As found on disk.
    pub file: String,
    pub data: Bytes,
}

/// Standard input can be read once, by whoever names it first.
struct Reader<'a> {
    input: &'a mut dyn Read,
    stdin: Option<String>,
    total: u64,
    /// Real paths of files that documents name.
    named: BTreeSet<PathBuf>,
}

/// Reads what `-f` names, and what that names; `-` is `input`.
pub fn read(arguments: &[String], input: &mut dyn Read) -> Result<Vec<Source>, Fault> {
    struct Found {
        name: String,
        path: Option<PathBuf>,
        data: Bytes,
        /// By going through a folder: then it may also be a manifest beside the documents.
        in_folder: bool,
    }
    let mut reader = Reader {
        input,
        stdin: None,
        total: 0,
        named: BTreeSet::new(),
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for argument in arguments {
        if argument == "-" {
            let data = reader.stdin("-f -")?;
            found.push(Found {
                name: "-".to_owned(),
                path: None,
                data,
                in_folder: false,
            });
            continue;
        }
        let path = Path::new(argument);
        let in_folder = path.is_dir();
        let paths = if in_folder {
            files::folder(path, None)?
        } else {
            vec![path.to_owned()]
        };
        if paths.is_empty() {
            return Err(Fault::document(format!(
                "{argument} holds no *.yaml, *.yml or *.json file"
            ))
            .next("name a file, or a folder with such files"));
        }
        for path in paths {
            let data = reader.file(&path)?;
            if seen.insert(real(&path)) {
                found.push(Found {
                    name: path.display().to_string(),
                    path: Some(path),
                    data,
                    in_folder,
                });
            }
        }
    }
    let mut sources = Vec::new();
    for file in found {
        let base = file
            .path
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(Path::new(""))
            .to_owned();
        let mut resolve = || -> Result<Vec<Entry>, Fault> {
            let mut entries = Vec::new();
            for reference in references(&file.data) {
                reader.resolve(&file.name, &base, reference, &mut entries)?;
            }
            Ok(entries)
        };
        let entries = resolve();
        sources.push((file, entries));
    }
    let mut result = Vec::new();
    for (file, entries) in sources {
        let named = file
            .path
            .as_deref()
            .is_some_and(|path| reader.named.contains(&real(path)));
        if !(file.in_folder && named) {
            result.push(Source {
                name: file.name,
                data: file.data,
                entries: entries?,
            });
        }
    }
    Ok(result)
}

/// The file itself, whatever way leads to it.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

impl Reader<'_> {
    fn stdin(&mut self, user: &str) -> Result<Bytes, Fault> {
        if let Some(first) = &self.stdin {
            return Err(Fault::usage(format!(
                "standard input is named twice: by {first} and by {user}"
            ))
            .next("write one of them to a file and name that"));
        }
        self.stdin = Some(user.to_owned());
        let data = files::read_stdin(self.input)?;
        self.count(&data)?;
        Ok(data)
    }

    fn file(&mut self, path: &Path) -> Result<Bytes, Fault> {
        let data = files::read(path)?;
        self.count(&data)?;
        Ok(data)
    }

    fn count(&mut self, data: &Bytes) -> Result<(), Fault> {
        self.total += data.len() as u64;
        if self.total > TOTAL_LIMIT {
            return Err(Fault::document(format!(
                "the files together are larger than {} MiB",
                TOTAL_LIMIT >> 20
            ))
            .next("apply fewer documents at a time"));
        }
        Ok(())
    }

    /// Reads what a reference names: a file, a folder of files, or standard input.
    fn resolve(
        &mut self,
        source: &str,
        base: &Path,
        reference: Reference,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Fault> {
        let place = format!(
            "{source}, document {}, {}",
            reference.document, reference.field
        );
        let at = |fault: Fault| match fault {
            Fault::Said(mut complaint) => {
                complaint.message = format!("{place}: {}", complaint.message);
                Fault::Said(complaint)
            }
            other => other,
        };
        let mut entry = |file: String, data: Bytes| {
            entries.push(Entry {
                document: reference.document,
                field: reference.field.clone(),
                file,
                data,
            });
        };
        if reference.path == "-" {
            let data = self.stdin(&place)?;
            entry("-".to_owned(), data);
            return Ok(());
        }
        let path = if reference.path.contains("://") {
            PathBuf::from(&reference.path)
        } else {
            let relative = reference.path.strip_prefix("./").unwrap_or(&reference.path);
            base.join(relative)
        };
        let paths = if reference.folder_allowed && path.is_dir() {
            files::folder(&path, Some(source)).map_err(at)?
        } else if let Some(fault) = files::to_be_rendered(&path, Some(source)) {
            return Err(at(fault));
        } else {
            vec![path]
        };
        for path in paths {
            let mut data = self.file(&path).map_err(at)?;
            if let Some(context) = &reference.kubeconfig {
                let read = |file: &Path| self.file(file);
                data = kubeconfig::with_its_files(data, &path, context.as_deref(), read)
                    .map_err(at)?;
            }
            self.named.insert(real(&path));
            entry(path.display().to_string(), data);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at once")]
    use super::*;
    use std::fs;

    /// A folder of files, given as (path, content).
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    /// Sources and entries on one line each, paths relative to the folder.
    fn check(files: &[(&str, &str)], arguments: &[&str], expected: &str) {
        let dir = tree(files);
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| dir.path().join(argument).display().to_string())
            .collect();
        let shown =
            match read(&arguments, &mut std::io::empty()) {
                Ok(sources) => sources
                    .iter()
                    .flat_map(|source| {
                        std::iter::once(source.name.clone()).chain(source.entries.iter().map(|e| {
                            format!("  {} {} {} = {:?}", e.document, e.field, e.file, e.data)
                        }))
                    })
                    .collect::<Vec<_>>()
                    .join("\n"),
                Err(fault) => fault.to_string(),
            };
        let root = dir.path().display().to_string();
        assert_eq!(
            shown
                .replace(&format!("{root}/"), "")
                .replace(&root, "ROOT"),
            expected
        );
    }

    const CLUSTER: &str = "kind: Cluster\nmetadata: {name: e1}\nspec: {kubeconfig: ./e1.conf}\n";
    const APP: &str = "kind: CompositeApp\nspec:\n  apps:\n  - manifests: [./a/]\n  - manifests: [b.yaml, c.json]\n";

    #[test]
    fn references_are_read_relative_to_their_document() {
        let both = format!("# first\n---\n{CLUSTER}---\n{APP}");
        check(
            &[
                ("docs/shop.yaml", &both),
                ("docs/e1.conf", "k"),
                ("docs/a/y.yaml", "y"),
                ("docs/a/x.yml", "x"),
                ("docs/b.yaml", "b"),
                ("docs/c.json", "c"),
            ],
            &["docs/shop.yaml"],
            "docs/shop.yaml
  1 spec.kubeconfig docs/e1.conf = b\"k\"
  2 spec.apps[0].manifests[0] docs/a/x.yml = b\"x\"
  2 spec.apps[0].manifests[0] docs/a/y.yaml = b\"y\"
  2 spec.apps[1].manifests[0] docs/b.yaml = b\"b\"
  2 spec.apps[1].manifests[1] docs/c.json = b\"c\"",
        );
    }

    #[test]
    fn manifests_beside_the_documents_of_a_folder_are_no_documents() {
        check(
            &[
                ("d/app.yaml", APP),
                ("d/a/x.yaml", "x: ["),
                ("d/b.yaml", "b"),
                ("d/c.json", "{}"),
                ("d/e.yaml", "kind: Cluster"),
            ],
            &["d"],
            "d/app.yaml
  1 spec.apps[0].manifests[0] d/a/x.yaml = b\"x: [\"
  1 spec.apps[1].manifests[0] d/b.yaml = b\"b\"
  1 spec.apps[1].manifests[1] d/c.json = b\"{}\"
d/e.yaml",
        );
    }

    #[test]
    fn what_is_no_yaml_is_uploaded_for_the_server_to_explain() {
        check(
            &[("a.yaml", "kind: Cluster\n---\nspec: [")],
            &["a.yaml"],
            "a.yaml",
        );
    }

    #[test]
    fn a_file_named_twice_is_uploaded_once() {
        check(
            &[("a.yaml", "kind: Cluster")],
            &["a.yaml", "a.yaml", "./a.yaml"],
            "a.yaml",
        );
    }

    #[test]
    fn errors_name_file_and_document() {
        let manifests = |path: &str| {
            format!("---\n---\nkind: CompositeApp\nspec: {{apps: [{{manifests: [{path}]}}]}}\n")
        };
        check(
            &[],
            &["no.yaml"],
            "cannot read no.yaml: no such file or folder; correct the path: a document's paths are relative to the document",
        );
        check(
            &[("d/readme.md", "")],
            &["d"],
            "ROOT/d holds no *.yaml, *.yml or *.json file; name a file, or a folder with such files"
                .replace("ROOT/", "")
                .as_str(),
        );
        check(
            &[("a.yaml", &manifests("x.yaml"))],
            &["a.yaml"],
            "a.yaml, document 2, spec.apps[0].manifests[0]: cannot read x.yaml: no such file or folder; correct the path: a document's paths are relative to the document",
        );
        check(
            &[
                ("a.yaml", "kind: Cluster\nspec: {kubeconfig: conf}"),
                ("conf/x.yaml", ""),
            ],
            &["a.yaml"],
            "a.yaml, document 1, spec.kubeconfig: conf is a folder, a file is needed; name a file in it",
        );
        check(
            &[("a.yaml", &manifests("x")), ("x", "\0")],
            &["a.yaml"],
            "a.yaml, document 2, spec.apps[0].manifests[0]: x is not text: it contains NUL bytes; name a file of YAML or JSON",
        );
        check(
            &[("a.yaml", &manifests("'https://example.org/x.yaml'"))],
            &["a.yaml"],
            "a.yaml, document 2, spec.apps[0].manifests[0]: https://example.org/x.yaml is a URL; download it and name the file",
        );
        check(
            &[("a.yaml", &manifests("k")), ("k/kustomization.yaml", "")],
            &["a.yaml"],
            "a.yaml, document 2, spec.apps[0].manifests[0]: k holds kustomization.yaml: a folder for kustomize, not of manifests; render it: `kubectl kustomize k | muster apply -f a.yaml` with `manifests: [\"-\"]` in place of the folder, or write the output of `kubectl kustomize k` to a file and name that",
        );
    }
}
