//! The only place where model types become protobuf shapes and back.

pub mod cluster;
pub mod orphan;
pub mod resource;
pub mod status;

use model::{
    failure::Failure,
    ids::{ClusterId, DigRef},
    readiness::Readiness,
    row::Connectivity,
    state::{ContextState, DigState, Goal, ResourceState},
    text::quoted,
};
use proto::v1;
use std::collections::BTreeMap;
use tonic::Status;

use crate::errors;

const LONGEST_NAME: usize = 253;

/// Project of requests that name none.
pub const DEFAULT_PROJECT: &str = "default";

pub fn time(ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: (ms.rem_euclid(1_000) * 1_000_000) as i32,
    }
}

pub fn dig_state(state: DigState) -> v1::DigState {
    match state {
        DigState::Created => v1::DigState::Created,
        DigState::Approved => v1::DigState::Approved,
        DigState::Instantiated => v1::DigState::Instantiated,
        DigState::Terminated => v1::DigState::Terminated,
        DigState::InstantiateStopped => v1::DigState::InstantiateStopped,
        DigState::TerminateStopped => v1::DigState::TerminateStopped,
    }
}

pub fn context_state(state: ContextState) -> v1::ContextState {
    match state {
        ContextState::Instantiating => v1::ContextState::Instantiating,
        ContextState::Instantiated => v1::ContextState::Instantiated,
        ContextState::InstantiateFailed => v1::ContextState::InstantiateFailed,
        ContextState::PreTerminate => v1::ContextState::PreTerminate,
        ContextState::Terminating => v1::ContextState::Terminating,
        ContextState::Terminated => v1::ContextState::Terminated,
        ContextState::TerminateFailed => v1::ContextState::TerminateFailed,
        ContextState::Updating => v1::ContextState::Updating,
        ContextState::UpdateFailed => v1::ContextState::UpdateFailed,
    }
}

pub fn resource_state(state: ResourceState) -> v1::ResourceState {
    match state {
        ResourceState::Pending(_) => v1::ResourceState::Pending,
        ResourceState::Applied => v1::ResourceState::Applied,
        ResourceState::Retrying(_) => v1::ResourceState::Retrying,
        ResourceState::Failed(_) => v1::ResourceState::Failed,
        ResourceState::Deleted => v1::ResourceState::Deleted,
    }
}

/// The state's name as the store filters by it; `None` for no filter.
pub fn state_filter(state: v1::ResourceState) -> Option<&'static str> {
    match state {
        v1::ResourceState::Unspecified => None,
        v1::ResourceState::Pending => Some("Pending"),
        v1::ResourceState::Applied => Some("Applied"),
        v1::ResourceState::Retrying => Some("Retrying"),
        v1::ResourceState::Failed => Some("Failed"),
        v1::ResourceState::Deleted => Some("Deleted"),
    }
}

pub fn goal(goal: Goal) -> v1::Goal {
    match goal {
        Goal::Apply => v1::Goal::Apply,
        Goal::Delete => v1::Goal::Delete,
    }
}

pub fn connectivity(connectivity: Connectivity) -> v1::Connectivity {
    match connectivity {
        Connectivity::Unknown => v1::Connectivity::Unknown,
        Connectivity::Available => v1::Connectivity::Available,
        Connectivity::Retrying => v1::Connectivity::Retrying,
    }
}

pub fn failure(failure: &Failure) -> v1::Failure {
    v1::Failure {
        code: failure.code.clone(),
        message: failure.message.clone(),
    }
}

/// Counts by the states' names.
pub fn counts(counts: &BTreeMap<String, i64>) -> v1::DeployedCounts {
    let of = |state: &str| counts.get(state).copied().unwrap_or(0);
    v1::DeployedCounts {
        pending: of("Pending"),
        applied: of("Applied"),
        retrying: of("Retrying"),
        failed: of("Failed"),
        deleted: of("Deleted"),
    }
}

/// Project and name of a request; an empty project is `default`.
pub fn dig_ref(project: &str, name: &str) -> Result<DigRef, Status> {
    if name.is_empty() {
        return Err(errors::invalid_field(
            "the request",
            "name",
            "is empty; name a deployment intent group",
        ));
    }
    Ok(DigRef {
        project: self::project(project)?.to_owned(),
        name: checked("name", name)?.to_owned(),
    })
}

pub fn project(project: &str) -> Result<&str, Status> {
    if project.is_empty() {
        return Ok(DEFAULT_PROJECT);
    }
    checked("project", project)
}

/// A name that could be one. What exists under it is the store's to say.
pub fn checked<'a>(field: &str, name: &'a str) -> Result<&'a str, Status> {
    let cause = if name.len() > LONGEST_NAME {
        "is longer than 253 characters"
    } else if name.contains('/') || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "holds a '/', a space or a control character"
    } else {
        return Ok(name);
    };
    let next = "use lower-case letters, digits, '-' and '.'";
    Err(errors::invalid_field(
        "the request",
        field,
        format!("{} {cause}; {next}", quoted(name)),
    ))
}

/// A deployment intent group's name in messages.
pub fn name(id: &DigRef) -> String {
    format!("DIG {id}")
}

/// `provider+name` of a request.
pub fn cluster_id(text: &str) -> Result<ClusterId, Status> {
    checked("cluster", text)?
        .parse()
        .map_err(|error: model::ids::InvalidId| {
            errors::invalid_field(
                "the request",
                "cluster",
                format!("{error}; write PROVIDER+NAME"),
            )
        })
}

/// `NotReady`, in any case.
pub fn readiness(text: &str) -> Result<Readiness, Status> {
    text.parse().map_err(|_| {
        errors::invalid_field(
            "the request",
            "filter.ready_status",
            format!("{text:?} is not known; write Ready, NotReady or NotPresent"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `PRE_TERMINATE` for `PreTerminate`.
    fn screaming(name: &str) -> String {
        let mut text = String::new();
        for (index, c) in name.char_indices() {
            if c.is_ascii_uppercase() && index > 0 {
                text.push('_');
            }
            text.push(c.to_ascii_uppercase());
        }
        text
    }

    #[test]
    fn every_state_has_the_enum_value_of_its_name() {
        for state in DigState::ALL {
            assert_eq!(
                dig_state(*state).as_str_name(),
                format!("DIG_STATE_{}", screaming(state.as_str()))
            );
        }
        for state in ContextState::ALL {
            assert_eq!(
                context_state(*state).as_str_name(),
                format!("CONTEXT_STATE_{}", screaming(state.as_str()))
            );
        }
    }

    #[test]
    fn times_keep_their_milliseconds_on_both_sides_of_the_epoch() {
        for (ms, seconds, nanos) in [(0, 0, 0), (1_234, 1, 234_000_000), (-1, -1, 999_000_000)] {
            assert_eq!(time(ms), prost_types::Timestamp { seconds, nanos });
        }
    }

    #[test]
    fn an_absent_count_is_zero() {
        let counted = counts(&BTreeMap::from([("Applied".to_owned(), 3)]));
        assert_eq!(
            counted,
            v1::DeployedCounts {
                applied: 3,
                ..Default::default()
            }
        );
    }
}
