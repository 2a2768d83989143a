//! Identities. Each is a newtype that is checked where text enters the system.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// An identity could not be read from text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?}: {cause}")]
pub struct InvalidId {
    /// What was being read, for example `cluster`.
    pub what: &'static str,
    /// The text as given.
    pub text: String,
    /// Why it was refused.
    pub cause: &'static str,
}

/// One life of a DIG, from Instantiate to Terminated (AppContext); a lower-case ULID, so that it
/// is a legal label value and part of a field manager's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContextId(pub String);

impl ContextId {
    /// A new id from a time (ms since the epoch) and 80 random bits.
    pub fn new(now_ms: u64, random: u128) -> Self {
        Self(
            ulid::Ulid::from_parts(now_ms, random)
                .to_string()
                .to_lowercase(),
        )
    }
}

/// Changes with every accepted verb and every run of a workflow (protocol §Words). Grows within
/// one store incarnation; compared by equality wherever something is decided.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Fence(pub i64);

/// `provider+name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId {
    pub provider: String,
    pub name: String,
}

impl FromStr for ClusterId {
    type Err = InvalidId;
    /// Reads `provider+name`; a bare `name` has the provider `default`.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (provider, name) = text.split_once('+').unwrap_or(("default", text));
        let bad = |cause| InvalidId {
            what: "cluster",
            text: text.to_owned(),
            cause,
        };
        if provider.is_empty() || name.is_empty() {
            return Err(bad("provider and name must not be empty"));
        }
        if name.contains('+') {
            return Err(bad("more than one '+'"));
        }
        Ok(Self {
            provider: provider.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// A Deployment Intent Group's name within its project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DigRef {
    pub project: String,
    pub name: String,
}

impl DigRef {
    /// The one workflow id of a context (protocol §3).
    pub fn workflow_id(&self, context: &ContextId) -> String {
        format!("dig/{}/{}/{}", self.project, self.name, context.0)
    }
}

/// The identity of an object on a cluster. The version is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceKey {
    pub cluster: ClusterId,
    /// Empty for the core group.
    pub group: String,
    pub kind: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub name: String,
}

/// A resource's number within its context: rows are numbered in the order of (app, cluster, wave,
/// document), so a range of numbers is a slice of the work.
pub type RowId = i32;

macro_rules! text_newtype {
    ($($t:ident),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}
text_newtype!(ContextId);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.provider, self.name)
    }
}

impl fmt::Display for DigRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

impl Serialize for ClusterId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClusterId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ResourceKey {
    /// `cluster|group|kind|namespace|name`: the text form that the store joins on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}|{}|{}|{}|{}",
            self.cluster, self.group, self.kind, self.namespace, self.name
        )
    }
}
