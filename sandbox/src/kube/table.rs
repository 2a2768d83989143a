//! Objects as rows of a table, the way `kubectl get` asks for them.

use serde_json::{Value, json};

use super::answer;
use super::kinds::Kind;
use super::object::{self, number, text};
use super::request::Call;

/// A column: its name, and how a cell is read from an object.
type Column = (&'static str, fn(&Value) -> Value);

const AGE: Column = ("Age", |object| {
    json!(age(object::meta_text(object, "creationTimestamp")))
});

/// The columns between Name and Age.
fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "deployments.apps" => &[
            ("Ready", |o| {
                json!(ratio(o, "/status/readyReplicas", "/spec/replicas"))
            }),
            ("Up-to-date", |o| {
                json!(number(o, "/status/updatedReplicas").unwrap_or(0))
            }),
            ("Available", |o| {
                json!(number(o, "/status/availableReplicas").unwrap_or(0))
            }),
        ],
        "statefulsets.apps" => &[("Ready", |o| {
            json!(ratio(o, "/status/readyReplicas", "/spec/replicas"))
        })],
        "replicasets.apps" => &[
            ("Desired", |o| {
                json!(number(o, "/spec/replicas").unwrap_or(0))
            }),
            ("Current", |o| {
                json!(number(o, "/status/replicas").unwrap_or(0))
            }),
            ("Ready", |o| {
                json!(number(o, "/status/readyReplicas").unwrap_or(0))
            }),
        ],
        "daemonsets.apps" => &[
            ("Desired", |o| {
                json!(number(o, "/status/desiredNumberScheduled").unwrap_or(0))
            }),
            ("Ready", |o| {
                json!(number(o, "/status/numberReady").unwrap_or(0))
            }),
        ],
        "pods" => &[
            ("Ready", |o| json!(pod_ready(o))),
            ("Status", |o| {
                json!(if object::is_deleting(o) {
                    "Terminating"
                } else {
                    text(o, "/status/phase")
                })
            }),
            ("Restarts", |_| json!("0")),
        ],
        "namespaces" | "persistentvolumeclaims" => {
            &[("Status", |o| json!(text(o, "/status/phase")))]
        }
        "services" => &[
            ("Type", |o| json!(text(o, "/spec/type"))),
            ("Cluster-IP", |o| json!(text(o, "/spec/clusterIP"))),
            ("External-IP", |o| json!(external_ip(o))),
            ("Port(s)", |o| json!(ports(o))),
        ],
        "configmaps" | "secrets" => &[("Data", |o| {
            json!(
                o.get("data")
                    .and_then(Value::as_object)
                    .map_or(0, serde_json::Map::len)
            )
        })],
        "nodes" => &[
            ("Status", |_| json!("Ready")),
            ("Version", |o| {
                json!(text(o, "/status/nodeInfo/kubeletVersion"))
            }),
        ],
        "jobs.batch" => &[("Completions", |o| {
            json!(ratio(o, "/status/succeeded", "/spec/completions"))
        })],
        _ => &[],
    }
}

fn ratio(object: &Value, done: &str, wanted: &str) -> String {
    format!(
        "{}/{}",
        number(object, done).unwrap_or(0),
        number(object, wanted).unwrap_or(0)
    )
}

fn pod_ready(object: &Value) -> String {
    let statuses = object
        .pointer("/status/containerStatuses")
        .and_then(Value::as_array);
    let ready = statuses
        .into_iter()
        .flatten()
        .filter(|one| one["ready"] == true)
        .count();
    let all = object
        .pointer("/spec/containers")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    format!("{ready}/{all}")
}

fn external_ip(service: &Value) -> String {
    let list = |at: &str| {
        let items = service.pointer(at).and_then(Value::as_array);
        items.map(Vec::as_slice).unwrap_or_default()
    };
    let kind = text(service, "/spec/type");
    if kind == "ExternalName" {
        return text(service, "/spec/externalName").to_owned();
    }
    let balanced = list("/status/loadBalancer/ingress")
        .iter()
        .filter_map(|ingress| ingress["ip"].as_str().or(ingress["hostname"].as_str()));
    let fixed = list("/spec/externalIPs").iter().filter_map(Value::as_str);
    let all: Vec<&str> = balanced.chain(fixed).collect();
    match (all.is_empty(), kind) {
        (false, _) => all.join(","),
        (true, "LoadBalancer") => "<pending>".to_owned(),
        (true, _) => "<none>".to_owned(),
    }
}

fn ports(service: &Value) -> String {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    let ports = ports.map(Vec::as_slice).unwrap_or_default().iter();
    let port = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_i64().filter(|node| *node > 0) {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    };
    let all: Vec<String> = ports.map(port).collect();
    match all.is_empty() {
        true => "<none>".to_owned(),
        false => all.join(","),
    }
}

/// One row.
pub fn row(call: &Call, kind: &Kind, object: &Value, include: &str) -> Value {
    let mut cells = vec![json!(object::name(object))];
    cells.extend(
        columns(&kind.id)
            .iter()
            .chain([&AGE])
            .map(|(_, cell)| cell(object)),
    );
    let mut row = json!({"cells": cells});
    match include {
        "None" => {}
        "Object" => row["object"] = object.clone(),
        _ => row["object"] = answer::metadata(call, object["metadata"].clone()),
    }
    row
}

/// A table of rows; only the first table of a watch names its columns.
pub fn table(call: &Call, kind: &Kind, meta: Value, rows: Vec<Value>, named: bool) -> Value {
    let column = |name: &str, format: &str| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
    let mut definitions = vec![column("Name", "name")];
    definitions.extend(
        columns(&kind.id)
            .iter()
            .chain([&AGE])
            .map(|(name, _)| column(name, "")),
    );
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{}", call.meta_version),
        "metadata": meta,
        "columnDefinitions": if named { Value::Array(definitions) } else { Value::Null },
        "rows": rows,
    })
}

/// The time since a timestamp, as kubectl prints it.
fn age(created: &str) -> String {
    let Ok(created) = created.parse::<jiff::Timestamp>() else {
        return "<unknown>".to_owned();
    };
    let seconds = jiff::Timestamp::now()
        .duration_since(created)
        .as_secs()
        .max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}
