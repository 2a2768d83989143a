//! The JSON that scripts read: the names and nulls of contract.md, in its order.

use crate::{
    time::rfc3339,
    words::{self, some},
};
use proto::v1;
use serde::Serialize;

/// The status of a DIG (contract.md "Status JSON").
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub project: String,
    pub name: String,
    pub state: &'static str,
    pub allowed_verbs: Vec<String>,
    pub pending_changes: bool,
    pub context: Option<Context>,
    pub actions: Vec<Action>,
    pub deployed_counts: DeployedCounts,
    pub ready_counts: Option<ReadyCounts>,
    pub ready_as_of: Option<String>,
    pub problems: Vec<Problem>,
    pub apps: Vec<App>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    pub id: String,
    pub revision: i32,
    pub state: &'static str,
    pub started_at: Option<String>,
    pub blocked_by: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    pub state: &'static str,
    pub context_id: Option<String>,
    pub revision: i32,
    pub time: Option<String>,
    pub actor: Option<String>,
    pub request_id: Option<String>,
    pub verb: Option<String>,
}

/// Keys are the states themselves.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeployedCounts {
    pub pending: i64,
    pub applied: i64,
    pub retrying: i64,
    pub failed: i64,
    pub deleted: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReadyCounts {
    pub ready: i64,
    pub not_ready: i64,
    pub not_present: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub cluster: Option<String>,
    pub app: Option<String>,
    pub resource: Option<String>,
    pub count: i64,
    pub goal: Option<&'static str>,
    pub code: String,
    pub reason: String,
    pub message: String,
    pub attempts: i32,
    pub since: Option<String>,
    pub next_attempt_at: Option<String>,
    pub blocked_by: Option<String>,
    pub next_step: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct App {
    pub name: String,
    pub clusters: Vec<AppCluster>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppCluster {
    pub cluster: String,
    pub connectivity: &'static str,
    pub deployed_counts: DeployedCounts,
    pub ready_counts: Option<ReadyCounts>,
    pub resources: Vec<Resource>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    pub goal: Option<&'static str>,
    pub deployed_status: &'static str,
    pub ready_status: Option<String>,
    pub ready_reason: Option<Failure>,
    pub attempts: i32,
    pub since: Option<String>,
    pub next_attempt_at: Option<String>,
    pub last_error: Option<Failure>,
    pub blocked_by: Option<String>,
    pub kept: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Failure {
    pub code: String,
    pub message: String,
}

/// One line of the operation log (contract.md "Commands", `muster events`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub seq: i64,
    pub time: Option<String>,
    pub context_id: Option<String>,
    pub revision: Option<i32>,
    pub object: Option<String>,
    pub cluster: Option<String>,
    pub app: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub event: Option<String>,
    pub attempt: Option<i32>,
    pub code: Option<String>,
    pub message: Option<String>,
    pub actor: Option<String>,
    pub request_id: Option<String>,
}

fn text(value: &str) -> Option<String> {
    some(value).map(str::to_owned)
}

/// The head of a status; resources are added by [`Status::add`].
impl From<v1::StatusHead> for Status {
    fn from(head: v1::StatusHead) -> Self {
        Self {
            project: head.project,
            name: head.name,
            state: words::dig_state(head.state),
            allowed_verbs: head.allowed_verbs,
            pending_changes: head.pending_changes,
            context: head.context.map(|context| Context {
                id: context.id,
                revision: context.revision,
                state: words::context_state(context.state),
                started_at: rfc3339(context.started_at.as_ref()),
                blocked_by: text(&context.blocked_by),
            }),
            actions: head.actions.into_iter().map(Action::from).collect(),
            deployed_counts: head.deployed_counts.unwrap_or_default().into(),
            ready_counts: head.ready_counts.map(ReadyCounts::from),
            ready_as_of: rfc3339(head.ready_as_of.as_ref()),
            problems: head.problems.into_iter().map(Problem::from).collect(),
            apps: head.apps.into_iter().map(App::from).collect(),
        }
    }
}

impl Status {
    /// Puts a resource in its place. They come in the order of the apps and clusters, so the place
    /// is nearly always the last one used.
    pub fn add(&mut self, resource: v1::Resource, place: &mut (usize, usize)) {
        let here = self.apps.get(place.0).is_some_and(|app| {
            app.name == resource.app
                && app
                    .clusters
                    .get(place.1)
                    .is_some_and(|c| c.cluster == resource.cluster)
        });
        if !here {
            place.0 = self
                .apps
                .iter()
                .position(|app| app.name == resource.app)
                .unwrap_or_else(|| {
                    self.apps.push(App {
                        name: resource.app.clone(),
                        clusters: Vec::new(),
                    });
                    self.apps.len() - 1
                });
            let clusters = &mut self.apps[place.0].clusters;
            place.1 = clusters
                .iter()
                .position(|c| c.cluster == resource.cluster)
                .unwrap_or_else(|| {
                    clusters.push(AppCluster {
                        cluster: resource.cluster.clone(),
                        connectivity: words::connectivity(0),
                        deployed_counts: v1::DeployedCounts::default().into(),
                        ready_counts: None,
                        resources: Vec::new(),
                    });
                    clusters.len() - 1
                });
        }
        self.apps[place.0].clusters[place.1]
            .resources
            .push(resource.into());
    }
}

impl From<v1::Action> for Action {
    fn from(action: v1::Action) -> Self {
        Self {
            state: words::dig_state(action.state),
            context_id: text(&action.context_id),
            revision: action.revision,
            time: rfc3339(action.time.as_ref()),
            actor: text(&action.actor),
            request_id: text(&action.request_id),
            verb: text(&action.verb),
        }
    }
}

impl From<v1::DeployedCounts> for DeployedCounts {
    fn from(counts: v1::DeployedCounts) -> Self {
        let v1::DeployedCounts {
            pending,
            applied,
            retrying,
            failed,
            deleted,
        } = counts;
        Self {
            pending,
            applied,
            retrying,
            failed,
            deleted,
        }
    }
}

impl From<v1::ReadyCounts> for ReadyCounts {
    fn from(counts: v1::ReadyCounts) -> Self {
        Self {
            ready: counts.ready,
            not_ready: counts.not_ready,
            not_present: counts.not_present,
        }
    }
}

impl From<v1::Problem> for Problem {
    fn from(problem: v1::Problem) -> Self {
        Self {
            cluster: text(&problem.cluster),
            app: text(&problem.app),
            resource: text(&problem.resource),
            count: problem.count,
            goal: words::goal(problem.goal),
            since: rfc3339(problem.since.as_ref()),
            next_attempt_at: rfc3339(problem.next_attempt_at.as_ref()),
            blocked_by: text(&problem.blocked_by),
            next_step: text(&problem.next_step),
            code: problem.code,
            reason: problem.reason,
            message: problem.message,
            attempts: problem.attempts,
        }
    }
}

impl From<v1::AppStatus> for App {
    fn from(app: v1::AppStatus) -> Self {
        let clusters = app.clusters.into_iter().map(|cluster| AppCluster {
            cluster: cluster.cluster,
            connectivity: words::connectivity(cluster.connectivity),
            deployed_counts: cluster.deployed_counts.unwrap_or_default().into(),
            ready_counts: cluster.ready_counts.map(ReadyCounts::from),
            resources: Vec::new(),
        });
        Self {
            name: app.name,
            clusters: clusters.collect(),
        }
    }
}

impl From<v1::Resource> for Resource {
    fn from(resource: v1::Resource) -> Self {
        Self {
            goal: words::goal(resource.goal),
            deployed_status: words::resource_state(resource.deployed_status),
            ready_status: text(&resource.ready_status),
            ready_reason: resource.ready_reason.map(Failure::from),
            since: rfc3339(resource.since.as_ref()),
            next_attempt_at: rfc3339(resource.next_attempt_at.as_ref()),
            last_error: resource.last_error.map(Failure::from),
            blocked_by: text(&resource.blocked_by),
            kept: text(&resource.kept),
            namespace: text(&resource.namespace),
            group: resource.group,
            version: resource.version,
            kind: resource.kind,
            name: resource.name,
            attempts: resource.attempts,
        }
    }
}

impl From<v1::Failure> for Failure {
    fn from(failure: v1::Failure) -> Self {
        Self {
            code: failure.code,
            message: failure.message,
        }
    }
}

impl From<v1::Event> for Event {
    fn from(event: v1::Event) -> Self {
        Self {
            seq: event.seq,
            time: rfc3339(event.time.as_ref()),
            context_id: text(&event.context_id),
            revision: event.revision,
            object: text(&event.object),
            cluster: text(&event.cluster),
            app: text(&event.app),
            from: text(&event.from),
            to: text(&event.to),
            event: text(&event.event),
            attempt: event.attempt,
            code: text(&event.code),
            message: text(&event.message),
            actor: text(&event.actor),
            request_id: text(&event.request_id),
        }
    }
}
