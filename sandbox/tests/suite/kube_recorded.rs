//! What a real kube-apiserver (v1.36.3) answered to a list of requests, held against the sandbox.
//!
//! `tests/recorded/v1.36.3.jsonl` has one request per line with the answer it got, in the order they were
//! sent. Uids, times, versions and what controllers report are left out of the comparison; every difference
//! that is left is listed below with its reason, and the list may name nothing that does not differ.

use std::time::Duration;

use sandbox::kube::ClusterConfig;
use serde_json::{Value, json};

use super::kube_world::{World, quick};

const RECORDED: &str = include_str!("../recorded/v1.36.3.jsonl");

/// Requests whose answers differ: the number of the line, and why.
const KNOWN: &[(usize, &str)] = &[
    (22, "the YAML parser says it in its own words"),
    (23, "the YAML parser says it in its own words"),
    (27, "the real server lists the cause four times"),
    (28, "the real server lists the cause four times"),
    (55, "the entry of scale has a time here"),
    (56, "the entry of scale has a time here"),
    (69, "the JSON parser says it in its own words"),
    (70, "the JSON parser says it in its own words"),
    (77, "JSON is the only representation"),
    (94, "the entry of scale has a time here"),
    (
        100,
        "the recorded server ran without the controller that makes the ConfigMap",
    ),
    (
        101,
        "the recorded server ran without the controller that makes the ConfigMap",
    ),
    (103, "the JSON parser says it in its own words"),
    (140, "no diff of the Pods in the message"),
    (141, "no finalizer on claims"),
    (143, "an empty list of rules stays one"),
    (145, "values in messages are JSON, not Go"),
    (
        146,
        "the labels that the server gives a Job are owned by who made it",
    ),
    (147, "values in messages are JSON, not Go"),
    (148, "empty metadata of templates is owned"),
    (151, "no annotation for the template's generation"),
    (152, "an empty podSelector is owned"),
    (155, "no default metrics"),
    (156, "no conversion between versions but of apiVersion"),
    (169, "the message shows the object once"),
    (177, "the real server had not noticed the deletion yet"),
    (182, "no managedFields on questions"),
    (183, "no creationTimestamp on questions"),
];

/// The answer without what differs from run to run.
fn settled(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let is_status = map.get("kind") == Some(&json!("Status"));
            let kept = map.iter().filter(|(key, value)| {
                let reported = *key == "status" && value.is_object() && !is_status;
                !reported
                    && !matches!(
                        key.as_str(),
                        "storageVersionHash" | "serverAddressByClientCIDRs"
                    )
            });
            let settled = kept.map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    (
                        "creationTimestamp" | "deletionTimestamp" | "time" | "uid"
                        | "resourceVersion" | "clusterIP" | "clusterIPs" | "continue",
                        Value::String(_) | Value::Array(_),
                    ) => json!("…"),
                    ("managedFields", Value::Array(entries)) => entries
                        .iter()
                        .filter(|entry| entry["subresource"] != "status")
                        .map(settled)
                        .collect(),
                    (_, value) => settled(value),
                };
                (key.clone(), value)
            });
            Value::Object(settled.collect())
        }
        Value::Array(list) => list.iter().map(settled).collect(),
        Value::String(text) => json!(without_uids(text)),
        other => other.clone(),
    }
}

/// A text with every uid and every version in it made the same.
fn without_uids(text: &str) -> String {
    let is_uid = |part: &str| {
        let groups: Vec<usize> = part.split('-').map(str::len).collect();
        groups == [8, 4, 4, 4, 12] && part.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
    };
    let parts = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let parts = parts.map(|part| {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let number = word.len() > 1 && word.len() < 5 && word.chars().all(|c| c.is_ascii_digit());
        if is_uid(word) || number {
            format!("…{}", &part[word.len()..])
        } else {
            part.to_owned()
        }
    });
    parts.collect()
}

#[tokio::test]
async fn the_sandbox_answers_what_a_real_server_answered() {
    // Slow controllers: the recorded server ran without any.
    let never = Duration::from_secs(600);
    let world = World::with(ClusterConfig {
        ready_after: never,
        collect_after: never,
        ..quick()
    });
    let mut differ = Vec::new();
    let mut report = String::new();
    for (at, line) in RECORDED.lines().enumerate() {
        let asked: Value = serde_json::from_str(line).unwrap();
        let text =
            |name: &str, default: &'static str| asked[name].as_str().unwrap_or(default).to_owned();
        if let Some(path) = asked["wait"].as_str() {
            world.until(path, |answer| answer.code == 200).await;
            continue;
        }
        let (method, path) = (text("method", ""), text("path", ""));
        let body = match &asked["body"] {
            Value::Null => String::new(),
            Value::String(raw) => raw.clone(),
            object => object.to_string(),
        };
        let mut request = http::Request::builder()
            .method(method.as_str())
            .uri(&path)
            .header("user-agent", "probe/1");
        request = request.header("accept", text("accept", "application/json"));
        if !body.is_empty() {
            request = request.header("content-type", text("contentType", "application/json"));
        }
        let answer = world.answer(request, body).await;
        let (real, ours) = (settled(&asked["answer"]), settled(&answer.body));
        let differs = asked["code"] != answer.code || real != ours;
        let known = KNOWN.iter().any(|(line, _)| *line == at + 1);
        if differs != known {
            differ.push(at + 1);
            let note = text("note", "");
            report += &format!(
                "line {}: {method} {path} {note}\n  real {} {real}\n  ours {} {ours}\n",
                at + 1,
                asked["code"],
                answer.code
            );
        }
    }
    assert!(
        differ.is_empty(),
        "lines {differ:?} differ (or are listed and do not)\n{report}"
    );
}
