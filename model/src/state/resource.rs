//! One object of one app on one cluster (spec §1.3).

use super::{Refused, UnknownName, refused};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Goal {
    Apply,
    Delete,
}

text_enum!(Goal, "goal", [Apply, Delete]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceState {
    Pending(Goal),
    Applied,
    Retrying(Goal),
    Failed(Goal),
    Deleted,
}

impl ResourceState {
    /// Every state with every goal it can have.
    pub const ALL: &'static [Self] = &[
        Self::Pending(Goal::Apply),
        Self::Pending(Goal::Delete),
        Self::Applied,
        Self::Retrying(Goal::Apply),
        Self::Retrying(Goal::Delete),
        Self::Failed(Goal::Apply),
        Self::Failed(Goal::Delete),
        Self::Deleted,
    ];

    /// The names, as counted in a status.
    pub const NAMES: &'static [&'static str] =
        &["Pending", "Applied", "Retrying", "Failed", "Deleted"];

    /// The state without its goal, as the store writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending(_) => "Pending",
            Self::Applied => "Applied",
            Self::Retrying(_) => "Retrying",
            Self::Failed(_) => "Failed",
            Self::Deleted => "Deleted",
        }
    }

    /// What the resource is on its way to, or arrived at.
    pub fn goal(self) -> Goal {
        match self {
            Self::Pending(goal) | Self::Retrying(goal) | Self::Failed(goal) => goal,
            Self::Applied => Goal::Apply,
            Self::Deleted => Goal::Delete,
        }
    }

    /// The way back from [`name`](Self::name) and [`goal`](Self::goal); Applied and Deleted do
    /// not look at the goal.
    ///
    /// # Errors
    /// A name that no state has.
    pub fn from_name(name: &str, goal: Goal) -> Result<Self, UnknownName> {
        Ok(match name {
            "Pending" => Self::Pending(goal),
            "Applied" => Self::Applied,
            "Retrying" => Self::Retrying(goal),
            "Failed" => Self::Failed(goal),
            "Deleted" => Self::Deleted,
            _ => {
                return Err(UnknownName {
                    what: "resource state",
                    text: name.to_owned(),
                });
            }
        })
    }

    /// Arrived at `goal`.
    pub fn is_target(self, goal: Goal) -> bool {
        self == match goal {
            Goal::Apply => Self::Applied,
            Goal::Delete => Self::Deleted,
        }
    }
}

impl fmt::Display for ResourceState {
    /// `Pending(Apply)`, `Applied` …
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending(goal) | Self::Retrying(goal) | Self::Failed(goal) => {
                write!(f, "{}({goal})", self.name())
            }
            Self::Applied | Self::Deleted => f.write_str(self.name()),
        }
    }
}

impl FromStr for ResourceState {
    type Err = UnknownName;
    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .iter()
            .copied()
            .find(|state| state.to_string() == text)
            .ok_or_else(|| UnknownName {
                what: "resource state",
                text: text.to_owned(),
            })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ResourceEvent {
    /// The context (re)entered Instantiating.
    Instantiate,
    /// The apply was accepted by the cluster.
    Applied,
    /// An existing Namespace or CRD is used.
    Used,
    /// Unreachable cluster or transient answer.
    Transient,
    /// Refused for good, or the retry time is exceeded.
    Refused,
    /// The context (re)entered Terminating; `sent` = an apply ever left.
    Terminate { sent: bool },
    /// Delete accepted and the object is gone (404 = gone).
    Gone,
    /// The object turned out foreign, or is kept.
    Kept,
    /// The proof before Terminated found the object.
    Found,
}

impl ResourceEvent {
    /// Every event.
    pub const ALL: &'static [Self] = &[
        Self::Instantiate,
        Self::Applied,
        Self::Used,
        Self::Transient,
        Self::Refused,
        Self::Terminate { sent: true },
        Self::Terminate { sent: false },
        Self::Gone,
        Self::Kept,
        Self::Found,
    ];

    /// The name as the operation log shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instantiate => "Instantiate",
            Self::Applied => "Applied",
            Self::Used => "Used",
            Self::Transient => "Transient",
            Self::Refused => "Refused",
            Self::Terminate { sent: true } => "Terminate",
            Self::Terminate { sent: false } => "TerminateUnsent",
            Self::Gone => "Gone",
            Self::Kept => "Kept",
            Self::Found => "Found",
        }
    }
}

impl fmt::Display for ResourceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ResourceEvent {
    type Err = UnknownName;
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .iter()
            .copied()
            .find(|event| event.as_str() == text)
            .ok_or_else(|| UnknownName {
                what: "resource event",
                text: text.to_owned(),
            })
    }
}

/// The state after `event`; `None` is `[*]`.
///
/// # Errors
/// Every pair that spec §1.3 does not list. Activities run twice, so the event that led to a
/// state leaves it unchanged.
pub fn next(
    state: Option<ResourceState>,
    event: ResourceEvent,
) -> Result<Option<ResourceState>, Refused> {
    use Goal::{Apply, Delete};
    use ResourceEvent as E;
    use ResourceState as S;
    Ok(Some(match (state, event) {
        (
            None | Some(S::Retrying(Apply) | S::Failed(Apply) | S::Pending(Apply)),
            E::Instantiate,
        ) => S::Pending(Apply),
        (Some(S::Pending(Apply) | S::Retrying(Apply) | S::Applied), E::Applied) => S::Applied,
        (Some(S::Pending(Apply) | S::Applied), E::Used) => S::Applied,
        (Some(S::Pending(goal) | S::Retrying(goal)), E::Transient) => S::Retrying(goal),
        (Some(S::Pending(goal) | S::Retrying(goal) | S::Failed(goal)), E::Refused) => {
            S::Failed(goal)
        }
        (
            Some(S::Applied | S::Retrying(Delete) | S::Failed(Delete) | S::Pending(Delete)),
            E::Terminate { .. },
        ) => S::Pending(Delete),
        (
            Some(S::Pending(Apply) | S::Retrying(Apply) | S::Failed(Apply)),
            E::Terminate { sent: true },
        ) => S::Pending(Delete),
        // Nothing ever left for this object, so nothing can be there: no contact.
        (
            Some(S::Pending(Apply) | S::Retrying(Apply) | S::Failed(Apply) | S::Deleted),
            E::Terminate { sent: false },
        ) => S::Deleted,
        (Some(S::Pending(Delete) | S::Retrying(Delete) | S::Deleted), E::Gone | E::Kept) => {
            S::Deleted
        }
        (Some(S::Deleted | S::Pending(Delete)), E::Found) => S::Pending(Delete),
        _ => return Err(refused("resource", state, event)),
    }))
}
