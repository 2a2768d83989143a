//! Entries of the orphan ledger.

use super::time;
use proto::v1;
use store::Orphan;

pub fn orphan(orphan: &Orphan) -> v1::Orphan {
    v1::Orphan {
        id: orphan.id.to_string(),
        project: orphan.dig.project.clone(),
        name: orphan.dig.name.clone(),
        context_id: orphan.context.0.clone(),
        app: orphan.app.clone(),
        cluster: orphan.key.cluster.to_string(),
        group: orphan.key.group.clone(),
        version: orphan.version.clone(),
        kind: orphan.key.kind.clone(),
        namespace: orphan.key.namespace.clone(),
        object: orphan.key.name.clone(),
        uid: orphan.uid.clone().unwrap_or_default(),
        reason: orphan.reason.clone(),
        actor: orphan.actor.clone(),
        since: Some(time(orphan.since_ms)),
        wanted: orphan.wanted_ms.is_some() && orphan.ended_ms.is_none(),
        tried_at: orphan.tried_ms.map(time),
        outcome: orphan.outcome.clone().unwrap_or_default(),
    }
}

/// What a collect came to.
pub fn collected(entry: &Orphan) -> v1::CollectedOrphan {
    use v1::collected_orphan::Result;
    let result = match (entry.ended_ms, entry.wanted_ms) {
        (Some(_), _) => Result::Over,
        (None, Some(_)) => Result::Waits,
        (None, None) => Result::Failed,
    };
    v1::CollectedOrphan {
        orphan: Some(orphan(entry)),
        result: result.into(),
    }
}
