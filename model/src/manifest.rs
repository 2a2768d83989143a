//! Kubernetes objects as users write them: reading, checking, digests, scope of kinds, labels.

mod digest;
mod read;
mod scalar;
mod scope;
mod stamp;
mod yaml;

pub use digest::{canonical, digest};
pub use read::{ReadObject, parse_object, read};
pub use scope::{Scope, Scopes};
pub use stamp::{
    APP_LABEL, CONTEXT_LABEL, INSTALLATION_LABEL, MANAGED_BY_LABEL, is_kept, is_shared_kind, stamp,
};
pub use yaml::{Dialect, MAX_DEPTH, YamlDocument, YamlError, parse as parse_yaml};

use serde::{Deserialize, Serialize};

/// One Kubernetes object of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    /// As written; `None` when absent.
    pub namespace: Option<String>,
    pub name: String,
    /// The whole object. Written canonically (keys sorted) by [`canonical`].
    pub json: serde_json::Value,
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
