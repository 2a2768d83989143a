//! The clusters of a host, as callers in the process and the control API use them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::exchange::Endpoint;
use super::{ClusterAddress, Error, Fault, LogEntry};

/// The clusters of a host, as the control API needs them too.
pub(crate) struct Served {
    clusters: Vec<Cluster>,
}

/// A cluster with what is known of it outside.
pub(super) struct Cluster {
    pub endpoint: Arc<Endpoint>,
    pub address: ClusterAddress,
}

/// What a heal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healed {
    /// Faults that were on.
    pub faults: usize,
    /// Objects that lost their hanging finalizer.
    pub finalizers: usize,
}

impl Served {
    pub(super) fn new(clusters: Vec<Cluster>) -> Self {
        Self { clusters }
    }

    /// In the order they were asked for.
    pub fn addresses(&self) -> impl Iterator<Item = &ClusterAddress> {
        self.clusters.iter().map(|cluster| &cluster.address)
    }

    pub(super) fn find(&self, name: &str) -> Result<&Cluster, Error> {
        let found = self.clusters.iter().find(|one| one.address.name == name);
        found.ok_or_else(|| Error::UnknownCluster {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.addresses().map(|address| address.name.as_str())
    }

    pub fn fault(&self, name: &str, fault: Fault) -> Result<(), Error> {
        fault.check()?;
        self.find(name)?.endpoint.switch.arm(fault);
        Ok(())
    }

    pub fn faults(&self, name: &str) -> Result<Vec<Fault>, Error> {
        Ok(self.find(name)?.endpoint.switch.faults())
    }

    pub async fn heal(&self, name: &str) -> Result<Healed, Error> {
        let endpoint = &self.find(name)?.endpoint;
        let faults = endpoint.switch.heal();
        let finalizers = endpoint.hung.release(name, &*endpoint.backend).await?;
        Ok(Healed { faults, finalizers })
    }

    pub fn log(&self, name: &str) -> Result<Vec<LogEntry>, Error> {
        Ok(self.find(name)?.endpoint.log.entries())
    }

    pub fn clear_log(&self, name: &str) -> Result<(), Error> {
        self.find(name)?.endpoint.log.clear();
        Ok(())
    }
}
