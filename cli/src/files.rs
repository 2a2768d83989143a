//! Reading the user's files: text only, bounded, folders in a fixed order.

use crate::fault::Fault;
use bytes::Bytes;
use std::{
    fs::{File, FileType},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The largest file that is read: larger than any manifest, far smaller than memory.
pub const FILE_LIMIT: u64 = 64 << 20;

/// Folders that a tool has to render first, by the file that marks them.
const RENDERED: [(&str, Tool); 4] = [
    ("kustomization.yaml", Tool::Kustomize),
    ("kustomization.yml", Tool::Kustomize),
    ("Kustomization", Tool::Kustomize),
    ("Chart.yaml", Tool::Helm),
];

#[derive(Clone, Copy)]
enum Tool {
    Kustomize,
    Helm,
}

/// Reads a text file whole. `/dev/zero` and other endless things end at the limit.
pub fn read(path: &Path) -> Result<Bytes, Fault> {
    let shown = path.display();
    if path.as_os_str().to_string_lossy().contains("://") {
        return Err(
            Fault::document(format!("{shown} is a URL")).next("download it and name the file")
        );
    }
    // Before it is opened: a pipe that nobody writes to would never open.
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        return Err(
            Fault::document(format!("{shown} is a folder, a file is needed"))
                .next("name a file in it"),
        );
    }
    if let Some(what) = no_file(path, metadata.file_type()) {
        return Err(
            Fault::document(format!("{shown} is {what}, a file is needed"))
                .next("name a file, or use - for standard input"),
        );
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    if metadata.len() > FILE_LIMIT {
        return Err(too_large(&shown.to_string()));
    }
    text(&shown.to_string(), file)
}

/// What could be waited for in vain. A shell's `<(command)` is a pipe too, which does end.
#[cfg(unix)]
fn no_file(path: &Path, file: FileType) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let inherited = ["/dev/fd", "/proc", "/dev/stdin"]
        .iter()
        .any(|place| path.starts_with(place));
    if file.is_socket() {
        Some("a socket")
    } else if file.is_block_device() {
        Some("a device")
    } else if file.is_fifo() && !inherited {
        Some("a pipe")
    } else {
        None
    }
}

#[cfg(not(unix))]
fn no_file(_: &Path, _: FileType) -> Option<&'static str> {
    None
}

/// Reads standard input to its end.
pub fn read_stdin(stdin: &mut dyn Read) -> Result<Bytes, Fault> {
    text("standard input", stdin)
}

/// Reads text to its end, stopping early at what is none.
fn text(name: &str, mut source: impl Read) -> Result<Bytes, Fault> {
    let mut data = Vec::new();
    loop {
        let before = data.len();
        let read = source
            .by_ref()
            .take(1 << 20)
            .read_to_end(&mut data)
            .map_err(|error| Fault::document(format!("cannot read {name}: {}", cause(&error))))?;
        if data.starts_with(&[0xff, 0xfe]) || data.starts_with(&[0xfe, 0xff]) {
            return Err(Fault::document(format!("{name} is UTF-16 text")).next("save it as UTF-8"));
        }
        if data[before..].contains(&0) {
            return Err(
                Fault::document(format!("{name} is not text: it contains NUL bytes"))
                    .next("name a file of YAML or JSON"),
            );
        }
        if data.len() as u64 > FILE_LIMIT {
            return Err(too_large(name));
        }
        if read == 0 {
            break;
        }
    }
    match std::str::from_utf8(&data) {
        Ok(_) => Ok(data.into()),
        Err(error) => Err(Fault::document(format!(
            "{name} is not UTF-8 text (line {}, byte {} on)",
            1 + data[..error.valid_up_to()]
                .iter()
                .filter(|b| **b == b'\n')
                .count(),
            error.valid_up_to() + 1
        ))
        .next("save it as UTF-8")),
    }
}

/// The `*.yaml`, `*.yml`, `*.json` files under a folder, sorted by path. A folder that needs
/// rendering is refused, with `document` as the file of documents that names it, if one does.
pub fn folder(root: &Path, document: Option<&str>) -> Result<Vec<PathBuf>, Fault> {
    let mut found = Vec::new();
    let mut above = Vec::new();
    collect(root, document, &mut above, &mut found)?;
    found.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(found)
}

fn collect(
    folder: &Path,
    document: Option<&str>,
    above: &mut Vec<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), Fault> {
    // Links are followed, so a folder may contain itself.
    let real = folder
        .canonicalize()
        .map_err(|error| unreadable(folder, &error))?;
    if above.contains(&real) {
        return Err(Fault::document(format!(
            "the folder {} contains itself by a link",
            folder.display()
        ))
        .next("remove the link, or name the files"));
    }
    above.push(real);
    let mut entries = Vec::new();
    for entry in folder
        .read_dir()
        .map_err(|error| unreadable(folder, &error))?
    {
        entries.push(entry.map_err(|error| unreadable(folder, &error))?.path());
    }
    if let Some(fault) = entries
        .iter()
        .find_map(|path| to_be_rendered(path, document))
    {
        return Err(fault);
    }
    for path in entries {
        let metadata = path.metadata().map_err(|error| unreadable(&path, &error))?;
        if metadata.is_dir() {
            collect(&path, document, above, found)?;
        } else if is_manifest(&path) {
            if !metadata.is_file() {
                return Err(
                    Fault::document(format!("{} is not a regular file", path.display()))
                        .next("remove it from the folder, or name the files"),
                );
            }
            found.push(path);
        }
    }
    above.pop();
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"]
            .iter()
            .any(|known| extension == *known)
    })
}

/// The refusal of a file that marks its folder as one for kustomize or helm.
pub fn to_be_rendered(path: &Path, document: Option<&str>) -> Option<Fault> {
    let name = path.file_name()?;
    let (mark, tool) = RENDERED.iter().find(|(mark, _)| name == *mark)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.display().to_string(),
        _ => ".".to_owned(),
    };
    let (what, command) = match tool {
        Tool::Kustomize => ("kustomize", format!("kubectl kustomize {folder}")),
        Tool::Helm => ("helm", format!("helm template NAME {folder}")),
    };
    let step = match document {
        Some(document) if document != "-" => format!(
            "render it: `{command} | muster apply -f {document}` with `manifests: [\"-\"]` in place of the folder, or write the output of `{command}` to a file and name that"
        ),
        _ => format!("render it with `{command}` into a file, and name that under `manifests`"),
    };
    Some(
        Fault::document(format!(
            "{folder} holds {mark}: a folder for {what}, not of manifests"
        ))
        .next(step),
    )
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let next = match error.kind() {
        io::ErrorKind::NotFound => {
            "correct the path: a document's paths are relative to the document"
        }
        io::ErrorKind::PermissionDenied => "let yourself read it",
        _ => "name another file",
    };
    Fault::document(format!("cannot read {}: {}", path.display(), cause(error))).next(next)
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn too_large(name: &str) -> Fault {
    Fault::document(format!(
        "{name} is larger than {} MiB, no manifest is",
        FILE_LIMIT >> 20
    ))
    .next("split it")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at once")]
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_without_reading_it_whole() {
        for (source, message) in [
            (
                Box::new(io::repeat(0)) as Box<dyn Read>,
                "x is not text: it contains NUL bytes; name a file of YAML or JSON",
            ),
            (
                Box::new(io::repeat(b'y')),
                "x is larger than 64 MiB, no manifest is; split it",
            ),
            (
                Box::new(&b"\xff\xfea\x00"[..]),
                "x is UTF-16 text; save it as UTF-8",
            ),
            (
                Box::new(&b"a\n\xc3("[..]),
                "x is not UTF-8 text (line 2, byte 3 on); save it as UTF-8",
            ),
        ] {
            assert_eq!(text("x", source).unwrap_err().to_string(), message);
        }
        assert_eq!(text("x", &b"a: b"[..]).unwrap(), "a: b");
    }

    #[test]
    fn a_folder_is_read_recursively_in_order_of_paths() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "b.yaml",
            "a/z.json",
            "a/c.yml",
            "notes.txt",
            "a.yaml",
            "a/README.md",
        ] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let found: Vec<String> = folder(dir.path(), None)
            .unwrap()
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(found, ["a.yaml", "a/c.yml", "a/z.json", "b.yaml"]);
    }

    #[test]
    fn a_folder_to_be_rendered_is_refused_with_the_command() {
        for (mark, command) in [
            ("kustomization.yaml", "kubectl kustomize"),
            ("Chart.yaml", "helm template NAME"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let inner = dir.path().join("web");
            std::fs::create_dir(&inner).unwrap();
            std::fs::write(inner.join(mark), "x").unwrap();
            let message = folder(dir.path(), Some("shop.yaml"))
                .unwrap_err()
                .to_string();
            let wanted = format!(
                "`{command} {} | muster apply -f shop.yaml`",
                inner.display()
            );
            assert!(message.contains(&wanted), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_contains_itself_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("again")).unwrap();
        assert!(
            folder(dir.path(), None)
                .unwrap_err()
                .to_string()
                .contains("contains itself")
        );
    }
}
