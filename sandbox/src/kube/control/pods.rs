//! Pods that come up after a while, claims that get bound, services that get endpoints.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{controlled, make, report};
use crate::kube::kinds::Kind;
use crate::kube::object::{self, text};
use crate::kube::state::State;
use crate::kube::status::Status;
use crate::kube::store::Stored;

/// On a Pod (or a template): how long it takes to be ready, as `5s`, `200ms` or `never`.
pub const READY_AFTER: &str = "sandbox/ready-after";

/// Brings a Pod up once its time has come; one that a Job controls runs to its end.
pub fn run(state: &mut State, kind: &Kind, stored: &Arc<Stored>) -> Result<(), Status> {
    let object = stored.object();
    if !matches!(text(&object, "/status/phase"), "" | "Pending") {
        return Ok(());
    }
    let Some(pause) = pause(&object, state.config.ready_after) else {
        return Ok(());
    };
    if !state.waited(&stored.key, pause) {
        return Ok(());
    }
    let now = object::now();
    let ends = stored
        .owners
        .iter()
        .any(|owner| owner.controls && owner.kind == "Job");
    let condition = |kind: &str, is: bool| json!({"type": kind, "status": if is { "True" } else { "False" }, "lastTransitionTime": now});
    let containers = object
        .pointer("/spec/containers")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let statuses: Vec<Value> = containers
        .iter()
        .map(|container| {
            let run = if ends {
                json!({"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}})
            } else {
                json!({"running": {"startedAt": now}})
            };
            json!({"name": container["name"], "image": container["image"], "imageID": "", "ready": !ends,
                   "restartCount": 0, "started": !ends, "state": run})
        })
        .collect();
    let number = u16::from_str_radix(stored.uid.get(..4).unwrap_or("0"), 16).unwrap_or(0);
    let address = format!("10.244.{}.{}", number >> 8, number & 255);
    let status = json!({
        "phase": if ends { "Succeeded" } else { "Running" },
        "conditions": [
            condition("PodScheduled", true),
            condition("Initialized", true),
            condition("ContainersReady", !ends),
            condition("Ready", !ends),
        ],
        "containerStatuses": statuses,
        "hostIP": "10.0.0.1", "podIP": address, "podIPs": [{"ip": address}],
        "startTime": now, "qosClass": "BestEffort",
    });
    report(state, kind, stored, status)
}

/// How long a Pod takes to be ready; nothing for one that never is.
fn pause(object: &Value, default: Duration) -> Option<Duration> {
    let annotations = object.pointer("/metadata/annotations");
    let Some(said) = annotations
        .and_then(|all| all.get(READY_AFTER))
        .and_then(Value::as_str)
    else {
        return Some(default);
    };
    if said == "never" {
        return None;
    }
    let millis = said
        .strip_suffix("ms")
        .and_then(|number| number.parse().ok())
        .map(Duration::from_millis);
    let seconds = || {
        said.strip_suffix('s')
            .and_then(|number| number.parse().ok())
            .map(Duration::from_secs)
    };
    Some(millis.or_else(seconds).unwrap_or(default))
}

/// Whether a Pod reports that it is ready.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Binds a claim once its time has come.
pub fn bind(state: &mut State, kind: &Kind, stored: &Arc<Stored>) -> Result<(), Status> {
    let mut object = stored.object();
    if text(&object, "/status/phase") == "Bound" {
        return Ok(());
    }
    if text(&object, "/status/phase").is_empty() {
        report(state, kind, stored, json!({"phase": "Pending"}))?;
    }
    let Some(pause) = pause(&object, state.config.ready_after) else {
        return Ok(());
    };
    if !state.waited(&stored.key, pause) {
        return Ok(());
    }
    let capacity = object
        .pointer("/spec/resources/requests")
        .cloned()
        .unwrap_or_default();
    let modes = object
        .pointer("/spec/accessModes")
        .cloned()
        .unwrap_or_default();
    let volume = format!("pvc-{}", stored.uid);
    object::child(object::fields(&mut object), "spec").insert("volumeName".into(), volume.into());
    object["status"] = json!({"phase": "Bound", "accessModes": modes, "capacity": capacity});
    state.put(kind, object).map(drop)
}

/// Gives a Service that selects Pods its (empty) EndpointSlice.
pub fn endpoints(state: &mut State, stored: &Arc<Stored>) -> Result<(), Status> {
    let object = stored.object();
    let id = "endpointslices.discovery.k8s.io";
    if object.pointer("/spec/selector").is_none() || !controlled(state, id, stored).is_empty() {
        return Ok(());
    }
    let Some(kind) = state.kind("services") else {
        return Ok(());
    };
    let ports: Vec<Value> = object.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten()
        .map(|port| json!({"name": port.get("name").cloned().unwrap_or_else(|| "".into()), "port": port["port"], "protocol": port["protocol"]}))
        .collect();
    let name = format!("{}-{}", stored.key.name, object::suffix(rand::random(), 5));
    let slice = json!({
        "metadata": {"name": name, "namespace": stored.key.namespace, "generateName": format!("{}-", stored.key.name),
            "labels": {"kubernetes.io/service-name": stored.key.name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
        "addressType": "IPv4", "endpoints": [], "ports": ports,
    });
    make(state, id, Some((&kind, stored)), slice).map(drop)
}
