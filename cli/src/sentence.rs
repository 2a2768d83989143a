//! Sentences about a lifecycle: its counts, its problems, its end.

use crate::{
    style::{Colour, Style},
    time,
    words::{self, count, plain},
};
use jiff::Timestamp;
use proto::v1::{ContextState, DeployedCounts, Problem, StatusHead};
use std::collections::BTreeSet;

/// All resources counted.
pub fn total(counts: &DeployedCounts) -> i64 {
    counts.pending + counts.applied + counts.retrying + counts.failed + counts.deleted
}

/// Whether the context is on the way to, or at, Terminated.
pub fn deleting(head: &StatusHead) -> bool {
    head.context.as_ref().is_some_and(|context| {
        matches!(
            context.state(),
            ContextState::PreTerminate
                | ContextState::Terminating
                | ContextState::Terminated
                | ContextState::TerminateFailed
        )
    })
}

/// Resources that are where the context wants them, whatever their number.
pub fn reached(head: &StatusHead) -> i64 {
    let counts = head.deployed_counts.unwrap_or_default();
    if deleting(head) {
        counts.deleted
    } else {
        counts.applied
    }
}

/// Distinct clusters of a context.
pub fn cluster_count(head: &StatusHead) -> usize {
    head.apps
        .iter()
        .flat_map(|app| &app.clusters)
        .map(|cluster| cluster.cluster.as_str())
        .collect::<BTreeSet<_>>()
        .len()
}

/// `33 of 35 applied, 2 retrying`: what is there, then what is not.
pub fn counts(head: &StatusHead) -> String {
    let all = head.deployed_counts.unwrap_or_default();
    let word = if deleting(head) { "deleted" } else { "applied" };
    let mut parts = vec![format!("{} of {} {word}", reached(head), total(&all))];
    for (number, state) in [
        (all.pending, "pending"),
        (all.retrying, "retrying"),
        (all.failed, "failed"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {state}"));
        }
    }
    if let Some(ready) = head.ready_counts.filter(|_| !deleting(head)) {
        parts.push(format!("{} ready", ready.ready));
    }
    parts.join(", ")
}

/// The context's state, or the DIG's while there is no context.
pub fn state(head: &StatusHead) -> &'static str {
    match &head.context {
        Some(context) => words::context_state(context.state),
        None => words::dig_state(head.state),
    }
}

/// `Instantiated, 30 of 35 ready on 3 clusters`; `InstantiateFailed, 33 of 35 applied, 2 failed …`.
pub fn outcome(head: &StatusHead) -> String {
    let clusters = count(
        i64::try_from(cluster_count(head)).unwrap_or(i64::MAX),
        "cluster",
    );
    let all = head.deployed_counts.unwrap_or_default();
    // Once everything is applied, what is left to be told is whether it is ready.
    match head.ready_counts.filter(|_| !deleting(head)) {
        Some(ready) if all.applied == total(&all) => {
            let total = total(&all);
            format!(
                "{}, {} of {total} ready on {clusters}",
                state(head),
                ready.ready
            )
        }
        _ => format!("{}, {} on {clusters}", state(head), counts(head)),
    }
}

/// One line: where, what, why, its code, how often, what next.
pub fn problem(problem: &Problem, now: Timestamp, style: Style) -> String {
    let places = [&problem.cluster, &problem.app]
        .into_iter()
        .filter(|place| !place.is_empty())
        .map(|place| plain(place));
    let place = places.collect::<Vec<_>>().join(", ");
    let mut line = if place.is_empty() {
        String::new()
    } else {
        format!("{}: ", style.bold(&place))
    };
    let what = match (problem.resource.as_str(), problem.count) {
        ("", 0) => String::new(),
        ("", number) => count(number, "resource"),
        (resource, _) => plain(resource),
    };
    if !what.is_empty() {
        let verb = words::goal(problem.goal)
            .map(|goal| format!("{} ", goal.to_lowercase()))
            .unwrap_or_default();
        line.push_str(&format!("{verb}{what}: "));
    }
    let waits = (!problem.blocked_by.is_empty()).then(|| {
        let waits = match problem.code.as_str() {
            "heldBack" => "not started:",
            _ => "waits for",
        };
        format!("{waits} {}", plain(&problem.blocked_by))
    });
    let mut details = Vec::new();
    let cause = match (problem.reason.as_str(), waits) {
        (reason, Some(_)) if ["finalizers", "deleting"].contains(&problem.code.as_str()) => {
            plain(reason)
        }
        (reason, Some(waits)) if reason.is_empty() || reason == problem.blocked_by => waits,
        // What concerns no resource is told by the sentence alone.
        (reason, waits) => {
            details.extend(waits);
            plain(if what.is_empty() || reason.is_empty() {
                &problem.message
            } else {
                reason
            })
        }
    };
    line.push_str(&style.paint(problem_colour(problem), &cause));
    if !problem.code.is_empty() {
        line.push_str(&format!(" [{}]", plain(&problem.code)));
    }
    if problem.attempts > 0 {
        details.push(count(problem.attempts.into(), "attempt"));
    }
    if problem.since.is_some() {
        details.push(format!("for {}", time::age(problem.since.as_ref(), now)));
    }
    if let Some(next) = time::timestamp(problem.next_attempt_at.as_ref()) {
        details.push(format!("next {}", time::until(next, now)));
    }
    if !details.is_empty() {
        line.push_str(&format!(" ({})", details.join(", ")));
    }
    line
}

/// What goes on being tried is yellow, what has ended is red.
fn problem_colour(problem: &Problem) -> Colour {
    if problem.next_attempt_at.is_some() || !problem.blocked_by.is_empty() {
        Colour::Yellow
    } else {
        Colour::Red
    }
}

/// What makes two problems the same to a reader, however often they are tried again.
pub fn problem_identity(problem: &Problem) -> (String, String, String, String, String) {
    (
        problem.cluster.clone(),
        problem.app.clone(),
        problem.resource.clone(),
        problem.code.clone(),
        problem.reason.clone(),
    )
}
