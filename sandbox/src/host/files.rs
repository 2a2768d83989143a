//! The data directory: what must survive a restart so that kubeconfigs stay valid.
//!
//! ```text
//! DIR/sandbox/lock           held by the process that serves DIR
//! DIR/sandbox/ca.crt, ca.key the authority behind every cluster's certificate (key 0600)
//! DIR/sandbox/promises.json  port and token of each cluster (0600)
//! DIR/sandbox/control.json   address and token of the control API (0600)
//! DIR/sandbox/hung/NAME.json objects with a hanging finalizer
//! DIR/kubeconfig/NAME.yaml   (0600)
//! DIR/clusters/NAME/         objects of a simulated cluster
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::Error;

/// How often a new process looks whether a dying one has let go of lock and ports.
pub(crate) const HANDOVER_STEP: Duration = Duration::from_millis(25);

/// Ports and tokens that kubeconfigs out there rely on.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Promises {
    #[serde(default)]
    pub clusters: BTreeMap<String, Promise>,
    #[serde(default)]
    pub control: Option<Promise>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Promise {
    pub port: u16,
    pub token: String,
}

/// The data directory, held by this process.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    /// Lets go of the directory when it is closed.
    _lock: File,
}

impl DataDir {
    /// Takes the directory, making it when absent.
    pub async fn hold(root: &Path, handover: Duration) -> Result<Self, Error> {
        // Absolute, so that kubeconfig paths handed out are good anywhere.
        let root = std::path::absolute(root).map_err(file("resolve", root))?;
        for part in ["sandbox/hung", "kubeconfig", "clusters"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(file("create", &path))?;
        }
        let path = root.join("sandbox/lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(file("open", &path))?;
        let until = Instant::now() + handover;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { root, _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    tokio::time::sleep(HANDOVER_STEP).await;
                }
                Err(TryLockError::WouldBlock) => return Err(Error::InUse(root)),
                Err(TryLockError::Error(source)) => return Err(file("lock", &path)(source)),
            }
        }
    }

    pub fn cluster(&self, name: &str) -> PathBuf {
        self.root.join("clusters").join(name)
    }

    pub fn kubeconfig(&self, name: &str) -> PathBuf {
        self.root.join("kubeconfig").join(format!("{name}.yaml"))
    }

    pub fn hung(&self, name: &str) -> PathBuf {
        self.root.join("sandbox/hung").join(format!("{name}.json"))
    }

    pub fn promises_file(&self) -> PathBuf {
        self.root.join("sandbox/promises.json")
    }

    pub fn control_file(&self) -> PathBuf {
        control_file(&self.root)
    }

    pub fn ca(&self) -> (PathBuf, PathBuf) {
        let folder = self.root.join("sandbox");
        (folder.join("ca.crt"), folder.join("ca.key"))
    }

    pub fn promises(&self) -> Result<Promises, Error> {
        let path = self.promises_file();
        let Some(text) = read(&path)? else {
            return Ok(Promises::default());
        };
        serde_json::from_str(&text).map_err(|source| Error::Malformed {
            path,
            what: "a list of promised ports",
            reason: source.to_string(),
        })
    }

    pub fn promise(&self, promises: &Promises) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(promises).unwrap_or_default();
        write(&self.promises_file(), &text)
    }
}

/// Where the control API's address and token are found.
pub(crate) fn control_file(root: &Path) -> PathBuf {
    root.join("sandbox/control.json")
}

/// The contents of a file, `None` when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file("read", path)(source)),
    }
}

/// Replaces a file, readable by its owner only, so that readers see the old or the new one and no half.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(file("write", &fresh))?;
    fs::rename(&fresh, path).map_err(file("write", path))
}

fn file(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File {
        operation,
        path,
        source,
    }
}
