//! Readiness of one object, by kind, as kstatus computes it (spec §6).
//!
//! Facts only: nothing here moves a state. Texts are made of numbers, kinds and the one-word
//! reasons of conditions; messages that a controller wrote may quote values and are not passed on.

mod kinds;

use crate::{
    failure::Failure,
    state::{Goal, ResourceState, text_enum},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Readiness {
    /// kstatus: Current.
    Ready,
    /// There, and not (or not yet) as it should be. kstatus: InProgress, Failed, Terminating.
    NotReady,
    /// Not on the cluster, or not with our labels.
    NotPresent,
}

text_enum!(Readiness, "readiness", [Ready, NotReady, NotPresent]);

/// What was seen of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    pub readiness: Readiness,
    /// Why it is not ready.
    pub reason: Option<Failure>,
    /// It will not become ready by itself (a failed Job). kstatus: Failed, where that is final.
    pub stuck: bool,
}

impl Sight {
    pub fn ready() -> Self {
        Self {
            readiness: Readiness::Ready,
            reason: None,
            stuck: false,
        }
    }

    pub fn absent() -> Self {
        Self {
            readiness: Readiness::NotPresent,
            reason: Some(Failure::new(
                NOT_PRESENT,
                "is not on the cluster any more, or lost Muster's labels",
            )),
            stuck: false,
        }
    }

    fn waiting(message: impl Into<String>) -> Self {
        Self {
            readiness: Readiness::NotReady,
            reason: Some(Failure::new(NOT_READY, message)),
            stuck: false,
        }
    }

    fn stuck(message: impl Into<String>) -> Self {
        Self {
            stuck: true,
            ..Self::waiting(message)
        }
    }
}

/// The codes of the reasons.
pub const NOT_READY: &str = "notReady";
pub const NOT_PRESENT: &str = "notPresent";
/// No watcher has seen the object yet.
pub const UNSEEN: &str = "notSeen";

/// The readiness of an object that is there.
pub fn of(object: &Value) -> Sight {
    generic(object)
        .or_else(|| kinds::of(object))
        .or_else(|| ready_condition(object))
        .unwrap_or_else(Sight::ready)
}

/// Kinds that are ready as soon as they are there: their metadata is all that is looked at, and
/// nothing is recorded of them while all is well. For CRDs that is so because one counts as Applied
/// only once it is Established.
pub fn by_presence(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(
            kind,
            "ConfigMap"
                | "Secret"
                | "ServiceAccount"
                | "Namespace"
                | "Endpoints"
                | "LimitRange"
                | "ResourceQuota"
                | "PodTemplate"
                | "PersistentVolume"
                | "Event"
        ),
        "batch" => kind == "CronJob",
        "networking.k8s.io"
        | "rbac.authorization.k8s.io"
        | "scheduling.k8s.io"
        | "storage.k8s.io"
        | "node.k8s.io"
        | "discovery.k8s.io"
        | "coordination.k8s.io"
        | "admissionregistration.k8s.io"
        | "apiextensions.k8s.io"
        | "flowcontrol.apiserver.k8s.io" => true,
        _ => false,
    }
}

/// What a row shows: its state, and what was recorded of its object. `None` = nothing recorded,
/// which is how kinds that are ready [by presence](by_presence) stand while all is well.
pub fn shown(state: ResourceState, recorded: Option<Recorded>) -> Readiness {
    match (state, recorded) {
        (ResourceState::Deleted, _) => Readiness::NotPresent,
        // An apply that was accepted is the presence.
        (ResourceState::Applied, None) => Readiness::Ready,
        (ResourceState::Applied, Some(Recorded::Unseen)) => Readiness::NotReady,
        (ResourceState::Applied, Some(Recorded::Seen(seen))) => seen,
        (state, recorded) => match (state.goal(), recorded) {
            (_, Some(Recorded::Seen(Readiness::NotPresent))) => Readiness::NotPresent,
            (Goal::Apply, Some(Recorded::Seen(seen))) => seen,
            (Goal::Apply, _) => Readiness::NotPresent,
            // On its way out.
            (Goal::Delete, _) => Readiness::NotReady,
        },
    }
}

/// What the store holds of a row's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recorded {
    /// No watcher has looked yet.
    Unseen,
    Seen(Readiness),
}

impl Recorded {
    /// As the store writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unseen => "Unseen",
            Self::Seen(readiness) => readiness.as_str(),
        }
    }
}

impl std::str::FromStr for Recorded {
    type Err = crate::state::UnknownName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Unseen" => Ok(Self::Unseen),
            text => text.parse().map(Self::Seen),
        }
    }
}

/// What goes for every kind: on its way out, not looked at by its controller, or said by the
/// conditions that are made for this question.
fn generic(object: &Value) -> Option<Sight> {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Some(Sight::waiting("is being deleted"));
    }
    let generation = object["metadata"]["generation"].as_i64();
    let observed = object["status"]["observedGeneration"].as_i64();
    if let (Some(generation), Some(observed)) = (generation, observed)
        && generation != observed
    {
        return Some(Sight::waiting(format!(
            "generation {generation} is not taken up yet (observed: {observed})"
        )));
    }
    if let Some(stalled) = is_true(object, "Stalled") {
        return Some(Sight::waiting(format!("is stalled{}", why(stalled))));
    }
    is_true(object, "Reconciling")
        .map(|condition| Sight::waiting(format!("is being reconciled{}", why(condition))))
}

fn ready_condition(object: &Value) -> Option<Sight> {
    let ready = condition(object, "Ready")?;
    Some(match ready["status"].as_str() {
        Some("True") => Sight::ready(),
        status => Sight::waiting(format!(
            "condition Ready is {}{}",
            status.filter(|s| is_word(s)).unwrap_or("Unknown"),
            why(ready)
        )),
    })
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == name)
}

fn is_true<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    condition(object, name).filter(|c| c["status"] == "True")
}

fn is_false<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    condition(object, name).filter(|c| c["status"] == "False")
}

/// `: ImagePullBackOff`, where a reason is given.
fn why(condition: &Value) -> String {
    word(&condition["reason"]).map_or_else(String::new, |reason| format!(": {reason}"))
}

/// A reason as the API conventions want it: one word in CamelCase.
fn word(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| is_word(text))
}

fn is_word(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric();
    !text.is_empty() && text.len() <= 64 && text.chars().all(letters)
}

#[cfg(test)]
#[path = "readiness/tests.rs"]
mod tests;
