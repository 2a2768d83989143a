//! Status: head, problems, resources, events.

use super::{connectivity, context_state, counts, dig_state, failure, goal, resource_state, time};
use crate::{shared::Trouble, status::Untaken};
use model::{
    failure::next_step,
    ids::ResourceKey,
    readiness::Readiness,
    state::{ContextState, DigEvent, allowed_verbs},
};
use proto::v1;
use std::collections::BTreeMap;
use store::{Accepted, Action, BundleCounts, DigRow, EventRow, Problem, StatusRow, Summary};

pub fn accepted(accepted: &Accepted) -> v1::LifecycleResponse {
    v1::LifecycleResponse {
        project: accepted.dig.project.clone(),
        name: accepted.dig.name.clone(),
        state: dig_state(accepted.state).into(),
        context_id: accepted
            .context
            .as_ref()
            .map(|id| id.0.clone())
            .unwrap_or_default(),
        changed: accepted.changed,
    }
}

/// The lifecycle verbs that would be accepted now; deleting the document is none.
pub fn verbs(dig: &DigRow) -> Vec<String> {
    allowed_verbs(dig.state, dig.context.as_ref().map(|context| context.state))
        .into_iter()
        .filter(|verb| *verb != DigEvent::Delete)
        .map(|verb| verb.verb().to_owned())
        .collect()
}

/// The head of a status; `keep` chooses bundles by app and cluster.
pub fn head(
    summary: &Summary,
    problems: Vec<v1::Problem>,
    keep: impl Fn(&BundleCounts) -> bool,
) -> v1::StatusHead {
    let dig = &summary.dig;
    v1::StatusHead {
        project: dig.doc.id.project.clone(),
        name: dig.doc.id.name.clone(),
        state: dig_state(dig.state).into(),
        allowed_verbs: verbs(dig),
        pending_changes: dig.pending_changes,
        context: dig.context.as_ref().map(|context| v1::ContextStatus {
            id: context.id.0.clone(),
            revision: context.revision,
            state: context_state(context.state).into(),
            started_at: Some(time(context.started_ms)),
            blocked_by: context
                .halted
                .clone()
                .or_else(|| context.blocked_by.clone())
                .unwrap_or_default(),
        }),
        actions: summary.actions.iter().map(action).collect(),
        deployed_counts: Some(counts(&summary.counts)),
        ready_counts: ready_counts(summary),
        ready_as_of: summary.ready_as_of_ms.map(time),
        problems,
        apps: apps(summary, keep),
    }
}

/// A life that has ended is not looked after.
fn is_watched(summary: &Summary) -> bool {
    let context = summary.dig.context.as_ref();
    context.is_some_and(|context| context.state != ContextState::Terminated)
}

/// The readiness of all resources; absent where there is nothing to be watched.
pub fn ready_counts(summary: &Summary) -> Option<v1::ReadyCounts> {
    let mut all = BTreeMap::new();
    for (readiness, n) in summary.by_bundle.iter().flat_map(|bundle| &bundle.ready) {
        *all.entry(*readiness).or_default() += *n;
    }
    is_watched(summary).then(|| of_readiness(&all))
}

fn of_readiness(counts: &BTreeMap<Readiness, i64>) -> v1::ReadyCounts {
    let of = |readiness| counts.get(&readiness).copied().unwrap_or(0);
    v1::ReadyCounts {
        ready: of(Readiness::Ready),
        not_ready: of(Readiness::NotReady),
        not_present: of(Readiness::NotPresent),
    }
}

/// Apps in plan order, each with its clusters by id.
fn apps(summary: &Summary, keep: impl Fn(&BundleCounts) -> bool) -> Vec<v1::AppStatus> {
    let order = |name: &str| {
        summary
            .dig
            .context
            .as_ref()
            .and_then(|context| context.apps.iter().position(|app| app.name == name))
            .unwrap_or(usize::MAX)
    };
    let mut bundles: Vec<_> = summary
        .by_bundle
        .iter()
        .filter(|bundle| !bundle.app.is_empty() && keep(bundle))
        .collect();
    bundles.sort_by(|a, b| {
        (order(&a.app), &a.app, &a.cluster).cmp(&(order(&b.app), &b.app, &b.cluster))
    });
    let mut apps: Vec<v1::AppStatus> = Vec::new();
    for bundle in bundles {
        let cluster = v1::AppClusterStatus {
            cluster: bundle.cluster.to_string(),
            connectivity: connectivity(bundle.connectivity).into(),
            deployed_counts: Some(counts(&bundle.counts)),
            ready_counts: is_watched(summary).then(|| of_readiness(&bundle.ready)),
        };
        match apps.last_mut() {
            Some(app) if app.name == bundle.app => app.clusters.push(cluster),
            _ => apps.push(v1::AppStatus {
                name: bundle.app.clone(),
                clusters: vec![cluster],
            }),
        }
    }
    apps
}

fn action(action: &Action) -> v1::Action {
    v1::Action {
        state: dig_state(action.state).into(),
        context_id: action
            .context
            .as_ref()
            .map(|id| id.0.clone())
            .unwrap_or_default(),
        revision: action.revision,
        time: Some(time(action.time_ms)),
        actor: action.actor.clone(),
        request_id: action.request_id.clone().unwrap_or_default(),
        verb: action.verb.verb().to_owned(),
    }
}

pub fn resource(shown: &StatusRow) -> v1::Resource {
    let row = &shown.row;
    v1::Resource {
        row: row.id,
        app: row.app.clone(),
        cluster: row.key.cluster.to_string(),
        group: row.key.group.clone(),
        version: row.version.clone(),
        kind: row.key.kind.clone(),
        namespace: row.key.namespace.clone(),
        name: row.key.name.clone(),
        goal: goal(row.goal).into(),
        deployed_status: resource_state(row.state).into(),
        ready_status: shown.readiness.to_string(),
        ready_reason: shown.reason.as_ref().map(failure),
        attempts: row.attempts,
        since: Some(time(row.since_ms)),
        next_attempt_at: row.next_attempt_ms.map(time),
        last_error: row.error.as_ref().map(failure),
        blocked_by: row.blocked_by.clone().unwrap_or_default(),
        kept: row.kept.clone().unwrap_or_default(),
    }
}

/// `kind/namespace/name`, without the namespace for kinds that have none.
fn object(key: &ResourceKey) -> String {
    match key.namespace.as_str() {
        "" => format!("{}/{}", key.kind, key.name),
        namespace => format!("{}/{namespace}/{}", key.kind, key.name),
    }
}

pub fn problem(problem: &Problem) -> v1::Problem {
    let cluster = problem
        .cluster
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let app = problem.app.clone().unwrap_or_default();
    let what = match (&problem.resource, problem.count) {
        (Some(key), _) => object(key),
        (None, 1) => "1 resource".to_owned(),
        (None, count) => format!("{count} resources"),
    };
    let place = [
        (!app.is_empty()).then(|| format!(" of {app}")),
        (!cluster.is_empty()).then(|| format!(" on {cluster}")),
    ]
    .into_iter()
    .flatten()
    .collect::<String>();
    let cause = match (problem.failure.code.as_str(), &problem.blocked_by) {
        ("blocked", Some(blocked)) => format!("waits for {blocked}"),
        ("heldBack", Some(blocked)) => format!("not started: {blocked}"),
        _ => problem.failure.message.clone(),
    };
    v1::Problem {
        cluster,
        app,
        resource: problem.resource.as_ref().map(object).unwrap_or_default(),
        count: problem.count,
        goal: goal(problem.goal).into(),
        code: problem.failure.code.clone(),
        reason: problem.failure.message.clone(),
        message: format!("{what}{place}: {cause}"),
        attempts: problem.attempts,
        since: Some(time(problem.since_ms)),
        next_attempt_at: problem.next_attempt_ms.map(time),
        blocked_by: problem.blocked_by.clone().unwrap_or_default(),
        next_step: next_step(&problem.failure.code, problem.next_attempt_ms.is_some()).to_owned(),
    }
}

/// Temporal does not answer: verbs are accepted, and nothing moves.
pub fn temporal_unreachable(trouble: &Trouble, goal: model::state::Goal) -> v1::Problem {
    v1::Problem {
        goal: super::goal(goal).into(),
        code: "temporalUnreachable".to_owned(),
        reason: trouble.cause.clone(),
        message: format!("Temporal is unreachable: {}", trouble.cause),
        attempts: trouble.attempts,
        since: Some(time(trouble.since_ms)),
        next_step: next_step("temporalUnreachable", false).to_owned(),
        ..Default::default()
    }
}

/// Another process keeps every write waiting.
pub fn store_locked(goal: model::state::Goal) -> v1::Problem {
    v1::Problem {
        goal: super::goal(goal).into(),
        code: "storeLocked".to_owned(),
        reason: "the database is locked by another process".to_owned(),
        message:
            "the database is locked by another process: nothing can be recorded, so nothing is sent"
                .to_owned(),
        next_step: next_step("storeLocked", false).to_owned(),
        ..Default::default()
    }
}

/// Temporal has the work, and nobody takes it.
pub fn no_worker(untaken: &Untaken, now_ms: i64, goal: model::state::Goal) -> v1::Problem {
    let since = untaken
        .since
        .map(|since| now_ms - i64::try_from(since.as_millis()).unwrap_or(0));
    v1::Problem {
        goal: super::goal(goal).into(),
        code: "noWorker".to_owned(),
        reason: untaken.cause.clone(),
        message: format!("no worker takes work: {}", untaken.cause),
        since: since.map(time),
        next_step: next_step("noWorker", false).to_owned(),
        ..Default::default()
    }
}

pub fn event(event: &EventRow) -> v1::Event {
    // What an app or resources wait for is no transition of anything.
    let note = matches!(event.event.as_str(), "Waits" | "Goes");
    v1::Event {
        seq: event.seq,
        time: Some(time(event.time_ms)),
        context_id: event
            .context
            .as_ref()
            .map(|id| id.0.clone())
            .unwrap_or_default(),
        revision: event.revision,
        object: event.object.as_ref().map(object).unwrap_or_default(),
        cluster: event
            .object
            .as_ref()
            .map(|key| key.cluster.to_string())
            .unwrap_or_default(),
        app: event.app.clone().unwrap_or_default(),
        from: event
            .from
            .as_deref()
            .filter(|_| !note)
            .map(state_name)
            .unwrap_or_default(),
        to: if note {
            String::new()
        } else {
            state_name(&event.to)
        },
        event: event.event.clone(),
        attempt: event.attempt,
        code: event.code.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        actor: event.actor.clone().unwrap_or_default(),
        request_id: event.request_id.clone().unwrap_or_default(),
    }
}

/// `Pending` of `Pending(Apply)`: what status calls it; the event's own name tells the goal.
fn state_name(state: &str) -> String {
    state.split('(').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{failure::Failure, ids::ClusterId, state::Goal};

    fn problem_of(
        code: &str,
        resource: Option<ResourceKey>,
        count: i64,
        blocked_by: Option<&str>,
    ) -> v1::Problem {
        problem(&Problem {
            cluster: Some(cluster()),
            app: Some("backend".into()),
            resource,
            count,
            goal: Goal::Apply,
            failure: Failure {
                code: code.into(),
                message: "connect timed out".into(),
            },
            attempts: 3,
            since_ms: 0,
            next_attempt_ms: None,
            blocked_by: blocked_by.map(str::to_owned),
        })
    }

    fn cluster() -> ClusterId {
        ClusterId {
            provider: "acme".into(),
            name: "e1".into(),
        }
    }

    #[test]
    fn a_problem_says_what_where_why_and_what_to_do() {
        let key = |namespace: &str| ResourceKey {
            cluster: cluster(),
            group: String::new(),
            kind: "Pod".into(),
            namespace: namespace.into(),
            name: "p".into(),
        };
        for (problem, message) in [
            (
                problem_of("unreachable", None, 2, None),
                "2 resources of backend on acme+e1: connect timed out",
            ),
            (
                problem_of("unreachable", Some(key("n")), 1, None),
                "Pod/n/p of backend on acme+e1: connect timed out",
            ),
            (
                problem_of("unreachable", Some(key("")), 1, None),
                "Pod/p of backend on acme+e1: connect timed out",
            ),
            (
                problem_of("blocked", None, 1, Some("app frontend")),
                "1 resource of backend on acme+e1: waits for app frontend",
            ),
        ] {
            assert_eq!(problem.message, message);
            assert_ne!(problem.next_step, "");
        }
    }
}
