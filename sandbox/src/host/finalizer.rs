//! Finalizers that nobody serves: put on objects while the fault is on, taken off by the heal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::backend::Backend;
use super::error::Error;
use super::{files, lock};

/// The finalizer, as it stands in the objects.
pub const FINALIZER: &str = "sandbox.test/hang";

/// How often a change is tried again when somebody else changed the object in between, or the cluster is away.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The objects of one cluster that hang.
#[derive(Debug)]
pub(crate) struct Hung {
    paths: Mutex<BTreeSet<String>>,
    file: Option<PathBuf>,
}

/// What a change of an object came to.
enum Changed {
    Done,
    /// There is no such object, or it is past the point where it could hang.
    Moot,
    /// Try again.
    NotYet(String),
}

impl Hung {
    /// Takes over what an earlier process left hanging.
    pub fn open(file: Option<PathBuf>) -> Result<Self, Error> {
        let paths = match &file {
            Some(path) => match files::read(path)? {
                Some(text) => serde_json::from_str(&text).unwrap_or_default(),
                None => BTreeSet::new(),
            },
            None => BTreeSet::new(),
        };
        Ok(Self {
            paths: Mutex::new(paths),
            file,
        })
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.paths).is_empty()
    }

    /// Whether the object hangs as far as known; it may have been replaced since.
    pub fn holds(&self, path: &str) -> bool {
        lock(&self.paths).contains(path)
    }

    /// Makes the object hang. False when it cannot: it is not there, or it is being deleted already.
    pub async fn hang(&self, backend: &dyn Backend, path: &str) -> bool {
        // Noted first, so that a crash in between leaves no finalizer that nobody knows of.
        self.note(|paths| paths.insert(path.to_owned()));
        for _ in 0..TRIES {
            match change(backend, path, true).await {
                Changed::Done => return true,
                Changed::Moot => {
                    self.note(|paths| paths.remove(path));
                    return false;
                }
                Changed::NotYet(reason) => {
                    tracing::debug!(path, reason, "finalizer not put on yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        false
    }

    /// Takes the finalizer off every object; returns how many there were.
    pub async fn release(&self, cluster: &str, backend: &dyn Backend) -> Result<usize, Error> {
        let mut released = 0;
        let mut reason = String::new();
        for _ in 0..TRIES {
            let paths: Vec<String> = lock(&self.paths).iter().cloned().collect();
            if paths.is_empty() {
                return Ok(released);
            }
            for path in paths {
                match change(backend, &path, false).await {
                    Changed::Done | Changed::Moot => {
                        self.note(|paths| paths.remove(&path));
                        released += 1;
                    }
                    Changed::NotYet(why) => reason = why,
                }
            }
            if !self.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let left = lock(&self.paths).len();
        if left == 0 {
            return Ok(released);
        }
        Err(Error::StillHung {
            cluster: cluster.to_owned(),
            left,
            reason,
        })
    }

    fn note(&self, change: impl FnOnce(&mut BTreeSet<String>) -> bool) {
        let mut paths = lock(&self.paths);
        if !change(&mut paths) {
            return;
        }
        let Some(file) = &self.file else { return };
        let text = serde_json::to_string(&*paths).unwrap_or_default();
        if let Err(error) = files::write(file, &text) {
            tracing::warn!(%error, "hanging finalizers would be forgotten by a restart");
        }
    }
}

/// Puts the finalizer on or takes it off, unless the object changes underneath.
async fn change(backend: &dyn Backend, path: &str, on: bool) -> Changed {
    let (code, object) = match ask(backend, Method::GET, path, None).await {
        Ok(answer) => answer,
        Err(reason) => return Changed::NotYet(reason),
    };
    if code == StatusCode::NOT_FOUND {
        return Changed::Moot;
    }
    if !code.is_success() {
        return Changed::NotYet(format!("GET {path} answered {code}"));
    }
    let metadata = &object["metadata"];
    let mut finalizers: Vec<&str> = metadata["finalizers"]
        .as_array()
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let has = finalizers.contains(&FINALIZER);
    if has == on {
        return Changed::Done;
    }
    if on && metadata["deletionTimestamp"].is_string() {
        return Changed::Moot;
    }
    finalizers.retain(|name| *name != FINALIZER);
    if on {
        finalizers.push(FINALIZER);
    }
    let finalizers = (!finalizers.is_empty()).then_some(finalizers);
    let patch = json!({"metadata": {
        "finalizers": finalizers,
        "resourceVersion": metadata["resourceVersion"],
    }});
    match ask(backend, Method::PATCH, path, Some(&patch)).await {
        Ok((code, _)) if code.is_success() => Changed::Done,
        Ok((StatusCode::NOT_FOUND, _)) => Changed::Moot,
        Ok((code, _)) => Changed::NotYet(format!("PATCH {path} answered {code}")),
        Err(reason) => Changed::NotYet(reason),
    }
}

async fn ask(
    backend: &dyn Backend,
    method: Method,
    path: &str,
    patch: Option<&Value>,
) -> Result<(StatusCode, Value), String> {
    let uri = if patch.is_some() {
        format!("{path}?fieldManager=sandbox-fault")
    } else {
        path.to_owned()
    };
    let body = patch.map_or_else(Bytes::new, |patch| Bytes::from(patch.to_string()));
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header("accept", "application/json")
        .header("content-type", "application/merge-patch+json")
        .body(body)
        .map_err(|error| error.to_string())?;
    let answer = backend.call(request).await.map_err(|gone| gone.0)?;
    let code = answer.status();
    let body = answer.into_body().collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok((code, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}
