//! What can go wrong around the clusters.

use std::io;
use std::path::PathBuf;

use super::fault::FaultError;

/// An error of the host; each names what was done and to which cluster or file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the data directory.
    #[error("{operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file that is there but cannot be what it should be.
    #[error("{path} is not {what}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is wrong with it; never its contents.
        reason: String,
    },
    /// Another process serves this data directory.
    #[error("the sandbox in {0} is already being served by another process")]
    InUse(PathBuf),
    /// A port that earlier kubeconfigs name belongs to somebody else now.
    #[error(
        "port {port} of {owner} is taken by another process, and kubeconfigs written earlier point to it; free it, or remove {owner} from {file}"
    )]
    PortTaken {
        /// The cluster, or `the control API`.
        owner: String,
        /// The promised port.
        port: u16,
        /// Where the promise is kept.
        file: PathBuf,
    },
    /// No port could be bound.
    #[error("listen for {owner}")]
    Listen {
        /// The cluster, or `the control API`.
        owner: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A name that cannot be a file name, or is given twice.
    #[error(
        "{0:?} cannot name a cluster: names are unique and made of letters, digits, '-', '_' and '.'"
    )]
    Name(String),
    /// No cluster of that name.
    #[error("no cluster is called {name:?}; there are {known}")]
    UnknownCluster {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Keys and certificates.
    #[error("{operation}: {reason}")]
    Tls {
        /// What was being done.
        operation: &'static str,
        /// Why not.
        reason: String,
    },
    /// A kubeconfig of a real cluster.
    #[error("kubeconfig {path}: {reason}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is missing or not supported.
        reason: String,
    },
    /// A fault that makes no sense.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// A simulated cluster would not open.
    #[error("open cluster {name}")]
    Cluster {
        /// The cluster.
        name: String,
        /// Why not.
        #[source]
        source: crate::kube::Error,
    },
    /// Finalizers that could not be taken off; the next heal tries again.
    #[error(
        "heal {cluster}: its faults are off, but {left} objects keep the hanging finalizer ({reason}); heal again"
    )]
    StillHung {
        /// The cluster.
        cluster: String,
        /// How many objects.
        left: usize,
        /// What the cluster said to the last try.
        reason: String,
    },
}
