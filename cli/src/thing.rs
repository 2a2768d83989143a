//! One thing the server keeps, as it is shown: its name, its document, its JSON, its table row.

use crate::{
    fault::{Exit, Fault},
    json,
    names::Kind,
    sentence,
    style::Style,
    time::{age, rfc3339},
    words::{self, plain, some},
};
use jiff::Timestamp;
use proto::v1;
use serde_json::{Value, json};

/// A cluster, an app or a DIG.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a few thousand at most live at once"
)]
pub enum Thing {
    Cluster(v1::Cluster),
    App(v1::CompositeApp),
    Dig(v1::DeploymentIntentGroup),
}

/// Column heads of a table of a kind.
pub fn heads(kind: Kind, wide: bool, projects: bool) -> Vec<&'static str> {
    let mut heads = Vec::new();
    match kind {
        Kind::Cluster => {
            heads.extend(["NAME", "CONNECTIVITY", "SINCE"]);
            if wide {
                heads.extend(["UID", "GENERATION"]);
            }
            heads.extend(["LABELS", "PROBLEM"]);
        }
        Kind::App => {
            heads.extend(["NAME", "VERSION", "APPS", "OBJECTS", "AGE"]);
            if wide {
                heads.extend(["GENERATION", "APP NAMES"]);
            }
        }
        Kind::Dig => {
            if projects {
                heads.push("PROJECT");
            }
            heads.extend(["NAME", "STATE", "CONTEXT", "APPLIED", "READY"]);
            if wide {
                heads.extend([
                    "CONTEXT ID",
                    "APP",
                    "NAMESPACE",
                    "PENDING CHANGES",
                    "ALLOWED",
                ]);
            }
            heads.push("PROBLEM");
        }
    }
    heads
}

impl Thing {
    /// `cluster/acme+edge-1`, `app/shop/boutique/v1`, `dig/shop/boutique-prod`.
    pub fn name(&self) -> String {
        match self {
            Self::Cluster(c) => format!("cluster/{}", c.id),
            Self::App(a) => format!("app/{}/{}/{}", a.project, a.name, a.version),
            Self::Dig(d) => format!("dig/{}/{}", d.project, d.name),
        }
    }

    /// The document as it can be applied again.
    pub fn document(&self) -> Result<Value, Fault> {
        let text = match self {
            Self::Cluster(c) => &c.document_json,
            Self::App(a) => &a.document_json,
            Self::Dig(d) => &d.document_json,
        };
        serde_json::from_str(text).map_err(|error| {
            Fault::new(
                Exit::Failed,
                "INTERNAL",
                format!(
                    "the server sent no usable document of {}: {error}",
                    self.name()
                ),
            )
        })
    }

    /// The document, with a `status` beside it.
    pub fn json(&self) -> Result<Value, Fault> {
        let mut document = self.document()?;
        if let Value::Object(fields) = &mut document {
            fields.insert("status".to_owned(), self.status());
        }
        Ok(document)
    }

    fn status(&self) -> Value {
        match self {
            Self::Cluster(c) => json!({
                "id": c.id,
                "connectivity": words::connectivity(c.connectivity),
                "uid": some(&c.uid),
                "attempts": c.attempts,
                "since": rfc3339(c.since.as_ref()),
                "nextProbeAt": rfc3339(c.next_probe_at.as_ref()),
                "error": c.error.clone().map(json::Failure::from),
                "generation": c.generation,
            }),
            Self::App(a) => json!({
                "objectCount": a.object_count,
                "apps": a.apps.iter().map(|app| json!({
                    "name": app.name, "objectCount": app.object_count, "dependsOn": app.depends_on,
                })).collect::<Vec<_>>(),
                "generation": a.generation,
                "createdAt": rfc3339(a.created_at.as_ref()),
            }),
            Self::Dig(d) => json!({
                "state": words::dig_state(d.state),
                "context": some(&d.context_id).map(|id| json!({
                    "id": id, "state": words::context_state(d.context_state),
                })),
                "pendingChanges": d.pending_changes,
                "deployedCounts": json::DeployedCounts::from(d.counts.unwrap_or_default()),
                "total": d.total,
                "readyCounts": d.ready.map(json::ReadyCounts::from),
                "problem": some(&d.problem),
                "allowedVerbs": d.allowed_verbs,
                "generation": d.generation,
            }),
        }
    }

    /// One cell per head.
    pub fn cells(&self, wide: bool, projects: bool, style: Style) -> Vec<String> {
        let now = Timestamp::now();
        let dash = |text: &str| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                plain(text)
            }
        };
        let mut cells = Vec::new();
        match self {
            Self::Cluster(c) => {
                cells.push(c.id.clone());
                cells.push(style.state(words::connectivity(c.connectivity)));
                cells.push(age(c.since.as_ref(), now));
                if wide {
                    cells.extend([dash(&c.uid), c.generation.to_string()]);
                }
                let mut labels: Vec<String> = c
                    .labels
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                labels.sort();
                cells.push(dash(&labels.join(",")));
                cells.push(
                    c.error
                        .as_ref()
                        .map(|error| plain(&error.message))
                        .unwrap_or_default(),
                );
            }
            Self::App(a) => {
                cells.extend([
                    a.name.clone(),
                    a.version.clone(),
                    a.apps.len().to_string(),
                    a.object_count.to_string(),
                ]);
                cells.push(age(a.created_at.as_ref(), now));
                if wide {
                    let names: Vec<&str> = a.apps.iter().map(|app| app.name.as_str()).collect();
                    cells.extend([a.generation.to_string(), dash(&names.join(","))]);
                }
            }
            Self::Dig(d) => {
                if projects {
                    cells.push(d.project.clone());
                }
                cells.push(d.name.clone());
                cells.push(style.state(words::dig_state(d.state)));
                let there = !d.context_id.is_empty();
                cells.push(if there {
                    style.state(words::context_state(d.context_state))
                } else {
                    "-".to_owned()
                });
                let counts = d.counts.unwrap_or_default();
                let total = if d.total > 0 {
                    d.total
                } else {
                    sentence::total(&counts)
                };
                cells.push(if there {
                    format!("{}/{total}", counts.applied)
                } else {
                    "-".to_owned()
                });
                cells.push(d.ready.map_or_else(
                    || "-".to_owned(),
                    |ready| format!("{}/{total}", ready.ready),
                ));
                if wide {
                    cells.extend([
                        dash(&d.context_id),
                        format!("{}/{}", d.composite_app, d.composite_app_version),
                        dash(&d.namespace),
                        if d.pending_changes { "yes" } else { "no" }.to_owned(),
                        dash(&d.allowed_verbs.join(",")),
                    ]);
                }
                cells.push(plain(&d.problem));
            }
        }
        cells
    }
}
