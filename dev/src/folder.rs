//! The data directory of a stack: what is where, who serves it, what it keeps between starts.
//!
//! ```text
//! DIR/muster.db        the store              DIR/muster.key   the key that seals it (0600)
//! DIR/temporal.db      Temporal's own file
//! DIR/stack.json       ports and clusters, so that a second start continues where it was
//! DIR/stack.lock       held by the muster-dev that serves DIR
//! DIR/run/NAME.json    pids, to take over what a killed muster-dev left
//! DIR/run/endpoints.json   where everything is found while it runs
//! DIR/log/NAME.log     one per process
//! ```
//! `DIR/clusters`, `DIR/kubeconfig` and `DIR/sandbox` belong to the sandbox.

use crate::{ports::Ports, process};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::{
    env,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a dying muster-dev is waited for.
const HANDOVER: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What a leftover gets to end by itself.
const LEFTOVER_GRACE: Duration = Duration::from_secs(3);

/// The children of a stack; also the names of their logs and pid files.
pub const CHILDREN: [&str; 4] = ["temporal", "clusters", "api", "worker"];

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{what} {path}: {source}")]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{path} is damaged: {cause}; move it away to start afresh")]
    Damaged { path: PathBuf, cause: String },
    #[error("{path} is served by another muster-dev; stop it first, or choose another --data-dir")]
    InUse { path: PathBuf },
}

/// What a stack keeps between starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    #[serde(default)]
    pub ports: Ports,
    /// Number of sandbox clusters; `None` before the first start.
    #[serde(default)]
    pub clusters: Option<usize>,
    /// Real clusters by name, with their kubeconfig.
    #[serde(default)]
    pub real: Vec<(String, PathBuf)>,
}

/// A data directory that this process serves.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// Lets go of the directory when it is closed.
    _lock: File,
}

impl Folder {
    /// Makes the directory, takes its lock, ends what a killed stack left running in it.
    pub fn take(root: &Path, say: &dyn Fn(&str)) -> Result<Self, FolderError> {
        let root = std::path::absolute(root).map_err(file("resolve", root))?;
        for part in ["run", "log"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(file("create", &path))?;
        }
        let path = root.join("stack.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(file("open", &path))?;
        let deadline = Instant::now() + HANDOVER;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if being_left(&root) && Instant::now() < deadline => {
                    std::thread::sleep(LOOK_AGAIN);
                }
                Err(TryLockError::WouldBlock) => return Err(FolderError::InUse { path: root }),
                Err(TryLockError::Error(source)) => return Err(file("lock", &path)(source)),
            }
        }
        let folder = Self { root, _lock: lock };
        for name in CHILDREN {
            let path = folder.pid_file(name);
            if let Some(left) = process::left_over(&path) {
                say(&format!(
                    "ending {name} (pid {}) that a killed stack left",
                    left.pid
                ));
                left.end(LEFTOVER_GRACE);
            }
            let _ = fs::remove_file(&path);
        }
        let _ = fs::remove_file(folder.endpoints_file());
        let _ = fs::remove_file(folder.leaving());
        Ok(folder)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn store(&self) -> String {
        format!("sqlite:{}", self.root.join("muster.db").display())
    }

    pub fn temporal_file(&self) -> PathBuf {
        self.root.join("temporal.db")
    }

    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.root.join("run").join(format!("{name}.json"))
    }

    pub fn log_file(&self, name: &str) -> PathBuf {
        self.root.join("log").join(format!("{name}.log"))
    }

    pub fn endpoints_file(&self) -> PathBuf {
        endpoints_file(&self.root)
    }

    fn leaving(&self) -> PathBuf {
        self.root.join("run/leaving")
    }

    /// Says that the lock will be free soon, so that a second start waits instead of refusing.
    pub fn leave(&self) {
        let _ = fs::write(self.leaving(), "");
        let _ = fs::remove_file(self.endpoints_file());
    }

    pub fn kept(&self) -> Result<Kept, FolderError> {
        let path = self.root.join("stack.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| FolderError::Damaged {
                path,
                cause: error.to_string(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
            Err(source) => Err(file("read", &path)(source)),
        }
    }

    pub fn keep(&self, kept: &Kept) -> Result<(), FolderError> {
        let text = serde_json::to_string_pretty(kept).unwrap_or_default();
        replace(&self.root.join("stack.json"), &text)
    }

    /// The key file: `MUSTER_KEY_FILE` if set, else one of our own, made when absent.
    pub fn key_file(&self, chosen: Option<PathBuf>) -> Result<PathBuf, FolderError> {
        let path = match chosen {
            Some(path) => std::path::absolute(&path).map_err(file("resolve", &path))?,
            None => self.root.join("muster.key"),
        };
        if path.exists() {
            return Ok(path);
        }
        let mut key = [0_u8; 32];
        rand::rng().fill_bytes(&mut key);
        let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        secret(&path, &format!("{text}\n")).map_err(file("write", &path))?;
        Ok(path)
    }
}

/// Where the stack that serves `root` says what is where.
pub fn endpoints_file(root: &Path) -> PathBuf {
    root.join("run/endpoints.json")
}

/// The process that holds the lock said that it goes, or was killed so that the kernel is about
/// to let go.
fn being_left(root: &Path) -> bool {
    root.join("run/leaving").exists() || !endpoints_file(root).exists()
}

/// Replaces a file by rename, so that readers see the old or the new one and no half.
pub fn replace(path: &Path, text: &str) -> Result<(), FolderError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    fs::write(&fresh, text).map_err(file("write", &fresh))?;
    fs::rename(&fresh, path).map_err(file("write", path))
}

/// Writes a new file readable by its owner only.
fn secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// Where `up` puts its data when nobody says: `~/.local/share/muster`.
pub fn usual_root() -> PathBuf {
    match env::var_os("XDG_DATA_HOME").filter(|value| !value.is_empty()) {
        Some(data) => PathBuf::from(data).join("muster"),
        None => home().join(".local/share/muster"),
    }
}

/// Where running stacks are noted, one file each, so that `sandbox` finds them.
pub fn stacks() -> PathBuf {
    match env::var_os("MUSTER_CACHE").filter(|value| !value.is_empty()) {
        Some(cache) => PathBuf::from(cache).join("stacks"),
        None => home().join(".cache/muster/stacks"),
    }
}

fn home() -> PathBuf {
    env::var_os("HOME")
        .filter(|value| !value.is_empty())
        .map_or_else(env::temp_dir, PathBuf::from)
}

fn file<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FolderError + 'a {
    move |source| FolderError::File {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    #[test]
    fn a_second_start_finds_what_the_first_kept() {
        let root = tempfile::tempdir().unwrap();
        let kept = Kept {
            ports: Ports {
                grpc: Some(1234),
                ..Ports::default()
            },
            clusters: Some(5),
            real: vec![("edge".into(), "/k.yaml".into())],
        };
        let first = Folder::take(root.path(), &|_| {}).unwrap();
        assert_eq!(first.kept().unwrap(), Kept::default());
        first.keep(&kept).unwrap();
        let key = fs::read_to_string(first.key_file(None).unwrap()).unwrap();
        drop(first);
        let second = Folder::take(root.path(), &|_| {}).unwrap();
        assert_eq!(second.kept().unwrap(), kept);
        assert_eq!(
            fs::read_to_string(second.key_file(None).unwrap()).unwrap(),
            key
        );
    }

    #[test]
    fn the_key_is_32_random_bytes_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::take(root.path(), &|_| {}).unwrap();
        let path = folder.key_file(None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().trim().len(), 64);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_directory_that_is_served_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::take(root.path(), &|_| {}).unwrap();
        fs::write(folder.endpoints_file(), "{}").unwrap();
        let error = Folder::take(root.path(), &|_| {}).unwrap_err();
        assert!(matches!(error, FolderError::InUse { .. }), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_killed_stack_left_is_ended_and_strangers_are_not() {
        use std::process::{Command, Stdio};
        let sleeper = || {
            Command::new("sleep")
                .arg("60")
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        };
        let root = tempfile::tempdir().unwrap();
        drop(Folder::take(root.path(), &|_| {}).unwrap());
        let (mut ours, mut stranger) = (sleeper(), sleeper());
        let note = |name: &str, pid: u32, other: bool| {
            let identity = process::Identity::of(pid).unwrap();
            let mut value = serde_json::to_value(identity).unwrap();
            if other {
                value["start"] = 1.into();
            }
            fs::write(
                root.path().join("run").join(format!("{name}.json")),
                value.to_string(),
            )
            .unwrap();
        };
        note("temporal", ours.id(), false);
        note("api", stranger.id(), true);
        let said = std::sync::Mutex::new(Vec::new());
        Folder::take(root.path(), &|text| {
            said.lock().unwrap().push(text.to_owned())
        })
        .unwrap();
        assert!(ours.try_wait().unwrap().is_some(), "ended");
        assert!(stranger.try_wait().unwrap().is_none(), "left alone");
        assert_eq!(said.lock().unwrap().len(), 1);
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
