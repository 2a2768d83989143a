//! The words users read for the values of the API: states, goals, connectivity, kinds.

use proto::v1::{
    Connectivity, ContextState, DigState, Goal, ResourceState, applied_document::Change,
};

/// The state of a DIG, as in spec §1.1; `Unknown` for a value this client does not know.
pub fn dig_state(value: i32) -> &'static str {
    match DigState::try_from(value) {
        Ok(DigState::Created) => "Created",
        Ok(DigState::Approved) => "Approved",
        Ok(DigState::Instantiated) => "Instantiated",
        Ok(DigState::Terminated) => "Terminated",
        Ok(DigState::InstantiateStopped) => "InstantiateStopped",
        Ok(DigState::TerminateStopped) => "TerminateStopped",
        Ok(DigState::Unspecified) | Err(_) => "Unknown",
    }
}

/// The state of a context, as in spec §1.2.
pub fn context_state(value: i32) -> &'static str {
    match ContextState::try_from(value) {
        Ok(ContextState::Instantiating) => "Instantiating",
        Ok(ContextState::Instantiated) => "Instantiated",
        Ok(ContextState::InstantiateFailed) => "InstantiateFailed",
        Ok(ContextState::PreTerminate) => "PreTerminate",
        Ok(ContextState::Terminating) => "Terminating",
        Ok(ContextState::Terminated) => "Terminated",
        Ok(ContextState::TerminateFailed) => "TerminateFailed",
        Ok(ContextState::Updating) => "Updating",
        Ok(ContextState::UpdateFailed) => "UpdateFailed",
        Ok(ContextState::Unspecified) | Err(_) => "Unknown",
    }
}

/// The state of a resource, as in spec §1.3.
pub fn resource_state(value: i32) -> &'static str {
    match ResourceState::try_from(value) {
        Ok(ResourceState::Pending) => "Pending",
        Ok(ResourceState::Applied) => "Applied",
        Ok(ResourceState::Retrying) => "Retrying",
        Ok(ResourceState::Failed) => "Failed",
        Ok(ResourceState::Deleted) => "Deleted",
        Ok(ResourceState::Unspecified) | Err(_) => "Unknown",
    }
}

/// What a resource is driven to; `None` where no goal goes with it.
pub fn goal(value: i32) -> Option<&'static str> {
    match Goal::try_from(value) {
        Ok(Goal::Apply) => Some("Apply"),
        Ok(Goal::Delete) => Some("Delete"),
        Ok(Goal::Unspecified) | Err(_) => None,
    }
}

/// Whether a cluster answers.
pub fn connectivity(value: i32) -> &'static str {
    match Connectivity::try_from(value) {
        Ok(Connectivity::Available) => "Available",
        Ok(Connectivity::Retrying) => "Retrying",
        Ok(Connectivity::Unknown | Connectivity::Unspecified) | Err(_) => "Unknown",
    }
}

/// What an apply did to a document.
pub fn change(value: i32) -> &'static str {
    match Change::try_from(value) {
        Ok(Change::Created) => "created",
        Ok(Change::Configured) => "configured",
        Ok(Change::Unchanged) => "unchanged",
        Ok(Change::Unspecified) | Err(_) => "applied",
    }
}

/// The short word for a document's kind, as `get` takes it.
pub fn kind(document_kind: &str) -> String {
    match document_kind {
        "CompositeApp" => "app".to_owned(),
        "DeploymentIntentGroup" => "dig".to_owned(),
        other => other.to_lowercase(),
    }
}

/// `None` for the empty text by which the API says "there is none".
pub fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// `1 object`, `2 objects`.
pub fn count(number: i64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Text of a server or cluster, safe for one line of a terminal: control characters become spaces.
pub fn plain(text: &str) -> String {
    if text.chars().any(char::is_control) {
        let spaced: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        spaced.split_whitespace().collect::<Vec<_>>().join(" ")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(plain("a\n  b\u{1b}[2Jc"), "a b [2Jc");
        assert_eq!(plain("two  spaces stay"), "two  spaces stay");
    }
}
