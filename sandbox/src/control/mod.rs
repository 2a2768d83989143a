//! The control API of a host: faults, heal and request logs over HTTP on the loopback interface.
//!
//! | request | does |
//! |---|---|
//! | `GET /clusters` | names, addresses and faults |
//! | `POST /clusters/NAME/faults` | switches a [`Fault`](crate::host::Fault) on |
//! | `DELETE /clusters/NAME/faults` | heals |
//! | `GET /clusters/NAME/log` | the requests the cluster received |
//! | `DELETE /clusters/NAME/log` | forgets them |
//!
//! Address and token stand in `DIR/sandbox/control.json`; every request needs the token.

mod client;
mod server;

pub use client::{Client, ClientError};
pub(crate) use server::serve;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::Fault;

/// A served cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// Its name.
    pub name: String,
    /// `https://127.0.0.1:PORT`.
    pub server: String,
    /// Its kubeconfig, if the host has a data directory.
    pub kubeconfig: Option<PathBuf>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// The body of every refusal.
#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    message: String,
}
