//! Everything around a cluster that its clients see: address, certificate, kubeconfig, faults, request log.
//!
//! ```text
//! client ── TLS ── listener ── exchange ──────────── backend: kube::Cluster, a real API server, a test's own
//!                  (wire)      (switch, log, kinds)
//! ```
//!
//! Nothing here knows how a Kubernetes API works inside; a [`Backend`] answers.

mod backend;
mod config;
mod error;
mod exchange;
mod fault;
pub(crate) mod files;
mod finalizer;
mod kinds;
mod kubeconfig;
mod listener;
mod log;
mod proxy;
mod request;
mod served;
mod start;
mod status;
mod switch;
mod tls;
mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

pub use backend::{Backend, Gone};
pub use config::{BackendSpec, ClusterSpec, HostConfig};
pub use error::Error;
pub use fault::{Fault, FaultError, FaultKind, Filter};
pub use finalizer::FINALIZER;
pub use log::LogEntry;
pub use proxy::version;
pub use request::{UnknownVerb, Verb};

pub use served::Healed;

pub(crate) use served::Served;

use files::DataDir;

/// Where a cluster is found.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterAddress {
    /// Its name.
    pub name: String,
    /// `https://127.0.0.1:PORT`.
    pub server: String,
    /// The bearer token clients must send.
    pub token: String,
    /// The certificate authority, PEM.
    pub ca: String,
    /// The kubeconfig, YAML, everything inline.
    pub kubeconfig: String,
    /// The kubeconfig's file, if there is a data directory.
    pub kubeconfig_file: Option<PathBuf>,
}

/// Where the control API is found.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlAddress {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The bearer token it wants.
    pub token: String,
}

impl fmt::Debug for ClusterAddress {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {} at {}", self.name, self.server)
    }
}

impl fmt::Debug for ControlAddress {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control API at {}", self.url)
    }
}

/// Clusters being served. Dropping it ends them; [`Host::shutdown`] also waits until all is let go.
pub struct Host {
    served: Arc<Served>,
    control: Option<ControlAddress>,
    tasks: TaskTracker,
    stop: DropGuard,
    /// Held until everything has stopped.
    dir: Option<DataDir>,
}

impl Host {
    /// Where the clusters are found, in the order they were asked for.
    pub fn clusters(&self) -> Vec<ClusterAddress> {
        self.served.addresses().cloned().collect()
    }

    /// Where one cluster is found.
    ///
    /// # Errors
    /// No cluster of that name.
    pub fn cluster(&self, name: &str) -> Result<&ClusterAddress, Error> {
        Ok(&self.served.find(name)?.address)
    }

    /// Where the control API is found, if it was asked for.
    pub fn control(&self) -> Option<&ControlAddress> {
        self.control.as_ref()
    }

    /// Who answers behind a cluster's switch: asks the cluster past its faults and its log.
    ///
    /// # Errors
    /// No cluster of that name.
    pub fn backend(&self, name: &str) -> Result<Arc<dyn Backend>, Error> {
        Ok(Arc::clone(&self.served.find(name)?.endpoint.backend))
    }

    /// Switches one more fault on.
    ///
    /// # Errors
    /// No cluster of that name; a fault that makes no sense.
    pub fn fault(&self, name: &str, fault: impl Into<Fault>) -> Result<(), Error> {
        self.served.fault(name, fault.into())
    }

    /// The faults that are on.
    ///
    /// # Errors
    /// No cluster of that name.
    pub fn faults(&self, name: &str) -> Result<Vec<Fault>, Error> {
        Ok(self.served.find(name)?.endpoint.switch.faults())
    }

    /// Switches all faults off, drops what is stuck and takes hanging finalizers off.
    ///
    /// # Errors
    /// No cluster of that name; finalizers that the cluster would not let go of.
    pub async fn heal(&self, name: &str) -> Result<Healed, Error> {
        self.served.heal(name).await
    }

    /// The requests the cluster received, oldest first.
    ///
    /// # Errors
    /// No cluster of that name.
    pub fn log(&self, name: &str) -> Result<Vec<LogEntry>, Error> {
        Ok(self.served.find(name)?.endpoint.log.entries())
    }

    /// Forgets the requests so far.
    ///
    /// # Errors
    /// No cluster of that name.
    pub fn clear_log(&self, name: &str) -> Result<(), Error> {
        self.served.find(name)?.endpoint.log.clear();
        Ok(())
    }

    /// Ends all connections and waits until ports, files and directory are free again.
    pub async fn shutdown(self) {
        drop(self.stop);
        self.tasks.close();
        self.tasks.wait().await;
        drop(self.served);
        drop(self.dir);
    }
}

/// Locks; a panic elsewhere while it was held leaves nothing half-done in the data behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|lost| lost.into_inner())
}
