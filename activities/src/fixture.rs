//! Rows and failures for the tests of pure parts.

use model::{
    failure::Failure,
    ids::{ContextId, ResourceKey, RowId},
    plan::Class,
    row::Row,
    state::{Goal, ResourceState},
};

pub fn failure(code: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: format!("{code} happened"),
    }
}

pub fn row(id: RowId) -> Row {
    Row {
        context: ContextId("c1".to_owned()),
        id,
        app: "web".to_owned(),
        key: ResourceKey {
            cluster: model::ids::ClusterId {
                provider: "sandbox".to_owned(),
                name: "c1".to_owned(),
            },
            group: String::new(),
            kind: "ConfigMap".to_owned(),
            namespace: "shop".to_owned(),
            name: format!("r{id}"),
        },
        version: "v1".to_owned(),
        wave: 0,
        class: Class::Own,
        implicit: false,
        keep: false,
        goal: Goal::Apply,
        digest: "d".to_owned(),
        state: ResourceState::Pending(Goal::Apply),
        sent: 0,
        attempts: 0,
        since_ms: 0,
        failing_since_ms: None,
        next_attempt_ms: None,
        error: None,
        blocked_by: None,
        kept: None,
        preexisting_uid: None,
        uid: None,
    }
}
