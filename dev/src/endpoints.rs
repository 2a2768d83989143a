//! Where everything of a running stack is found: the ready file, and the note by which `sandbox`
//! finds the stack.

use crate::{
    folder::{self, FolderError},
    process::Identity,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The ready file's content. What was left to be started by hand is null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// What `--server` takes.
    pub grpc: Option<String>,
    pub http: Option<String>,
    /// `HOST:PORT`, what `--temporal` takes.
    pub temporal: Option<String>,
    pub temporal_ui: Option<String>,
    /// What `--store` takes.
    pub store: String,
    pub key_file: PathBuf,
    pub data_dir: PathBuf,
    pub clusters: Vec<Cluster>,
    pub pids: Pids,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Muster's: `sandbox+c1`.
    pub id: String,
    /// Ours: `c1`.
    pub name: String,
    pub kubeconfig: PathBuf,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pids {
    pub dev: u32,
    pub temporal: Option<u32>,
    pub api: Option<u32>,
    pub worker: Option<u32>,
    pub clusters: Option<u32>,
}

impl Endpoints {
    /// The cluster of this id or name.
    pub fn cluster(&self, text: &str) -> Option<&Cluster> {
        self.clusters
            .iter()
            .find(|cluster| cluster.id == text || cluster.name == text)
    }

    /// Writes them by rename.
    pub fn write(&self, file: &Path) -> Result<(), FolderError> {
        if let Some(folder) = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder).map_err(|source| FolderError::File {
                what: "create",
                path: folder.to_owned(),
                source,
            })?;
        }
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        folder::replace(file, &format!("{text}\n"))
    }

    /// One line per endpoint.
    pub fn lines(&self) -> Vec<String> {
        let line = |name: &str, value: &str| format!("{name:<12} {value}");
        let mut lines = Vec::new();
        for (name, value) in [
            ("grpc", &self.grpc),
            ("http", &self.http),
            ("temporal", &self.temporal),
            ("temporal-ui", &self.temporal_ui),
        ] {
            if let Some(value) = value {
                lines.push(line(name, value));
            }
        }
        lines.push(line("store", &self.store));
        for cluster in &self.clusters {
            lines.push(line(
                "cluster",
                &format!("{}  {}", cluster.id, cluster.kubeconfig.display()),
            ));
        }
        lines.push(line("data", &self.data_dir.display().to_string()));
        lines
    }
}

/// A note that this process serves a data directory; gone with this value.
#[derive(Debug)]
pub struct Note(PathBuf);

#[derive(Serialize, Deserialize)]
struct Noted {
    dev: Identity,
    data_dir: PathBuf,
}

impl Note {
    /// Notes it. Without `/proc` or a home there is none, and `--data-dir` must be given.
    pub fn leave(data_dir: &Path) -> Option<Self> {
        let dev = Identity::of(std::process::id())?;
        let folder = folder::stacks();
        fs::create_dir_all(&folder).ok()?;
        let file = folder.join(format!("{}.json", dev.pid));
        let noted = Noted {
            dev,
            data_dir: data_dir.to_owned(),
        };
        folder::replace(&file, &serde_json::to_string(&noted).ok()?).ok()?;
        Some(Self(file))
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Why there is no stack to talk to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    #[error("no stack is running; start one with `muster-dev up`, or name its --data-dir")]
    None,
    #[error("several stacks are running, choose one with --data-dir: {0}")]
    Several(String),
    #[error("no stack is running in {0}; start it with `muster-dev up --data-dir {0}`")]
    Stopped(String),
    #[error("no cluster {cluster}; there are {there}")]
    Cluster { cluster: String, there: String },
}

/// The endpoints of the running stack: of this data directory, else of the only one there is.
pub fn find(data_dir: Option<&Path>) -> Result<Endpoints, NotFound> {
    let root = match data_dir {
        Some(root) => root.to_owned(),
        None => only(&running(&folder::stacks()))?,
    };
    let stopped = || NotFound::Stopped(root.display().to_string());
    let text = fs::read_to_string(folder::endpoints_file(&root)).map_err(|_| stopped())?;
    serde_json::from_str(&text).map_err(|_| stopped())
}

fn only(roots: &[PathBuf]) -> Result<PathBuf, NotFound> {
    match roots {
        [] => Err(NotFound::None),
        [one] => Ok(one.clone()),
        several => {
            let names: Vec<_> = several.iter().map(|r| r.display().to_string()).collect();
            Err(NotFound::Several(names.join(", ")))
        }
    }
}

/// Data directories of the stacks that run; notes of killed ones are taken away.
fn running(notes: &Path) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for entry in fs::read_dir(notes).into_iter().flatten().flatten() {
        let noted = fs::read_to_string(entry.path())
            .ok()
            .and_then(|text| serde_json::from_str::<Noted>(&text).ok());
        match noted {
            Some(noted) if noted.dev.alive() => roots.push(noted.data_dir),
            Some(_) => drop(fs::remove_file(entry.path())),
            None => {}
        }
    }
    roots.sort();
    roots
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    fn endpoints() -> Endpoints {
        Endpoints {
            grpc: Some("http://127.0.0.1:7443".into()),
            store: "sqlite:/d/muster.db".into(),
            clusters: vec![Cluster {
                id: "sandbox+c1".into(),
                name: "c1".into(),
                kubeconfig: "/d/kubeconfig/c1.yaml".into(),
            }],
            ..Endpoints::default()
        }
    }

    #[test]
    fn the_ready_file_has_the_promised_fields_and_nulls_for_what_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("made/ready.json");
        endpoints().write(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for field in [
            "grpc",
            "http",
            "temporal",
            "temporal_ui",
            "store",
            "clusters",
            "pids",
        ] {
            assert!(value.get(field).is_some(), "{field}");
        }
        assert_eq!(value["clusters"][0]["name"], "c1");
        assert!(value["http"].is_null() && value["pids"]["api"].is_null());
        assert_eq!(
            fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1,
            "by rename"
        );
    }

    #[test]
    fn clusters_are_found_by_id_and_by_name() {
        let endpoints = endpoints();
        assert!(endpoints.cluster("c1").is_some() && endpoints.cluster("sandbox+c1").is_some());
        assert!(endpoints.cluster("c2").is_none());
    }

    #[test]
    fn the_running_stack_is_the_only_one_whose_process_lives() {
        assert_eq!(only(&[]), Err(NotFound::None));
        assert!(matches!(
            only(&["/a".into(), "/b".into()]),
            Err(NotFound::Several(_))
        ));
        let notes = tempfile::tempdir().unwrap();
        let me = Identity::of(std::process::id()).unwrap();
        let mut dead = serde_json::to_value(&me).unwrap();
        dead["start"] = 1.into();
        let note = |name: &str, dev: serde_json::Value, root: &str| {
            let text = serde_json::json!({"dev": dev, "data_dir": root}).to_string();
            fs::write(notes.path().join(name), text).unwrap();
        };
        note("1.json", serde_json::to_value(&me).unwrap(), "/mine");
        note("2.json", dead, "/killed");
        assert_eq!(running(notes.path()), [PathBuf::from("/mine")]);
        assert!(!notes.path().join("2.json").exists());
    }
}
