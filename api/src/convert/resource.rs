//! Clusters, composite apps, deployment intent groups.

use super::{
    connectivity, context_state, counts, dig_state, failure,
    status::{ready_counts, verbs},
    time,
};
use model::document::{Cluster, CompositeApp, Dig};
use proto::v1;
use store::{Change, ClusterRow, DocumentResult, Summary, Versioned};

pub fn applied(result: &DocumentResult) -> v1::AppliedDocument {
    use v1::applied_document::Change as Shape;
    let change = match result.change {
        Change::Created => Shape::Created,
        Change::Configured => Shape::Configured,
        Change::Unchanged => Shape::Unchanged,
    };
    v1::AppliedDocument {
        kind: result.kind.to_owned(),
        name: result.name.clone(),
        change: change.into(),
    }
}

pub fn cluster(row: &ClusterRow, document_json: String) -> v1::Cluster {
    v1::Cluster {
        id: row.doc.id.to_string(),
        provider: row.doc.id.provider.clone(),
        name: row.doc.id.name.clone(),
        labels: row.doc.labels.clone().into_iter().collect(),
        generation: row.generation,
        connectivity: connectivity(row.connectivity).into(),
        uid: row.uid.clone().unwrap_or_default(),
        attempts: row.attempts,
        since: Some(time(row.since_ms)),
        next_probe_at: row.next_probe_ms.map(time),
        error: row.error.as_ref().map(failure),
        document_json,
    }
}

pub fn composite_app(app: &Versioned<CompositeApp>, document_json: String) -> v1::CompositeApp {
    let apps: Vec<_> = app
        .doc
        .apps
        .iter()
        .map(|app| v1::CompositeAppApp {
            name: app.name.clone(),
            object_count: app.objects.len() as i64,
            depends_on: app
                .depends_on
                .iter()
                .map(|dependency| dependency.app.clone())
                .collect(),
        })
        .collect();
    v1::CompositeApp {
        project: app.doc.id.project.clone(),
        name: app.doc.id.name.clone(),
        version: app.doc.id.version.clone(),
        generation: app.generation,
        created_at: Some(time(app.created_ms)),
        object_count: apps.iter().map(|app| app.object_count).sum(),
        apps,
        document_json,
    }
}

pub fn dig(summary: &Summary, problem: String, document_json: String) -> v1::DeploymentIntentGroup {
    let dig = &summary.dig;
    v1::DeploymentIntentGroup {
        project: dig.doc.id.project.clone(),
        name: dig.doc.id.name.clone(),
        generation: dig.generation,
        state: dig_state(dig.state).into(),
        context_id: dig
            .context
            .as_ref()
            .map(|context| context.id.0.clone())
            .unwrap_or_default(),
        context_state: dig
            .context
            .as_ref()
            .map_or(v1::ContextState::Unspecified, |context| {
                context_state(context.state)
            })
            .into(),
        pending_changes: dig.pending_changes,
        counts: Some(counts(&summary.counts)),
        total: summary.counts.values().sum(),
        ready: ready_counts(summary),
        problem,
        allowed_verbs: verbs(dig),
        composite_app: dig.doc.app.name.clone(),
        composite_app_version: dig.doc.app.version.clone(),
        namespace: dig.doc.namespace.clone(),
        document_json,
    }
}

/// A cluster that is not stored: what `validate_only` answers.
pub fn planned_cluster(doc: Cluster, document_json: String) -> v1::Cluster {
    v1::Cluster {
        id: doc.id.to_string(),
        provider: doc.id.provider,
        name: doc.id.name,
        labels: doc.labels.into_iter().collect(),
        document_json,
        ..Default::default()
    }
}

pub fn planned_app(doc: CompositeApp, document_json: String) -> v1::CompositeApp {
    let app = Versioned {
        generation: 0,
        created_ms: 0,
        doc,
    };
    v1::CompositeApp {
        created_at: None,
        ..composite_app(&app, document_json)
    }
}

pub fn planned_dig(doc: Dig, document_json: String) -> v1::DeploymentIntentGroup {
    v1::DeploymentIntentGroup {
        project: doc.id.project,
        name: doc.id.name,
        composite_app: doc.app.name,
        composite_app_version: doc.app.version,
        namespace: doc.namespace,
        document_json,
        ..Default::default()
    }
}
