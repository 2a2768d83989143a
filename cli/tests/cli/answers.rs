//! What a server answers about DIG `web`, whose context is `c1`.

use proto::v1::{get_status_response::Part, *};
use tonic::Status;

pub fn accepted() -> Result<LifecycleResponse, Status> {
    Ok(LifecycleResponse {
        project: "default".to_owned(),
        name: "web".to_owned(),
        state: DigState::Instantiated.into(),
        context_id: "c1".to_owned(),
        changed: true,
    })
}

/// A head of context `c1` with three resources, `done` of them where they shall be.
pub fn head(state: ContextState, done: i64) -> StatusHead {
    let deleting = matches!(
        state,
        ContextState::Terminating | ContextState::Terminated | ContextState::PreTerminate
    );
    let failed = i64::from(matches!(
        state,
        ContextState::InstantiateFailed | ContextState::TerminateFailed
    ));
    let (applied, deleted) = if deleting { (0, done) } else { (done, 0) };
    StatusHead {
        project: "default".to_owned(),
        name: "web".to_owned(),
        state: if deleting {
            DigState::Terminated
        } else {
            DigState::Instantiated
        }
        .into(),
        allowed_verbs: vec!["terminate".to_owned()],
        context: Some(ContextStatus {
            id: "c1".to_owned(),
            revision: 1,
            state: state.into(),
            ..ContextStatus::default()
        }),
        deployed_counts: Some(DeployedCounts {
            applied,
            deleted,
            failed,
            pending: 3 - done - failed,
            ..DeployedCounts::default()
        }),
        apps: vec![AppStatus {
            name: "back".to_owned(),
            clusters: vec![AppClusterStatus {
                cluster: "acme+a".to_owned(),
                ..AppClusterStatus::default()
            }],
        }],
        problems: (0..failed)
            .map(|_| Problem {
                cluster: "acme+a".to_owned(),
                app: "back".to_owned(),
                resource: "ConfigMap/shop/one".to_owned(),
                count: 1,
                goal: Goal::Apply.into(),
                code: "forbidden".to_owned(),
                reason: "403: not allowed".to_owned(),
                next_step: "grant it".to_owned(),
                ..Problem::default()
            })
            .collect(),
        ..StatusHead::default()
    }
}

pub fn news(state: ContextState, done: i64) -> Result<WatchStatusResponse, Status> {
    Ok(WatchStatusResponse {
        head: Some(head(state, done)),
        resume_token: format!("token-{done}"),
        synced: true,
        ..WatchStatusResponse::default()
    })
}

pub fn resource(name: &str, state: ResourceState) -> Resource {
    Resource {
        app: "back".to_owned(),
        cluster: "acme+a".to_owned(),
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        goal: Goal::Apply.into(),
        deployed_status: state.into(),
        attempts: 1,
        since: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 5_000_000,
        }),
        ..Resource::default()
    }
}

pub fn status_parts() -> Vec<GetStatusResponse> {
    let resources = vec![
        resource("redis", ResourceState::Applied),
        resource("cart", ResourceState::Failed),
    ];
    vec![
        GetStatusResponse {
            part: Some(Part::Head(head(ContextState::InstantiateFailed, 1))),
        },
        GetStatusResponse {
            part: Some(Part::Resources(ResourceChunk { resources })),
        },
    ]
}
