//! The kinds of Kubernetes that say in their own way whether they are ready.

use super::{Sight, condition, is_false, is_true, why, word};
use serde_json::Value;

/// `None` if the kind has no way of its own.
pub fn of(object: &Value) -> Option<Sight> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    Some(match (group, object["kind"].as_str()?) {
        ("apps" | "extensions", "Deployment") => deployment(object),
        ("apps" | "extensions", "ReplicaSet") => replica_set(object),
        ("", "ReplicationController") => replica_set(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("apps" | "extensions", "DaemonSet") => daemon_set(object),
        ("batch", "Job") => job(object),
        ("", "Pod") => pod(object),
        ("", "Service") => service(object),
        ("", "PersistentVolumeClaim") => claim(object),
        // The generation was looked at before: the controller has computed what may be disrupted.
        ("policy", "PodDisruptionBudget") => Sight::ready(),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("apiregistration.k8s.io", "APIService") => api_service(object),
        _ => return None,
    })
}

fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

fn count(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

fn wanted(object: &Value) -> i64 {
    number(object, "/spec/replicas").unwrap_or(1)
}

fn of_wanted(what: &str, have: i64, wanted: i64) -> Option<Sight> {
    (have < wanted).then(|| Sight::waiting(format!("{have} of {wanted} replicas are {what}")))
}

fn leaving(have: i64, wanted: i64) -> Option<Sight> {
    (have > wanted).then(|| {
        Sight::waiting(format!(
            "{} replicas are still to be terminated",
            have - wanted
        ))
    })
}

fn deployment(object: &Value) -> Sight {
    let progressing = condition(object, "Progressing");
    if progressing.is_some_and(|c| c["reason"] == "ProgressDeadlineExceeded") {
        return Sight::waiting("its progress deadline is exceeded");
    }
    let wanted = wanted(object);
    let (replicas, updated) = (count(object, "replicas"), count(object, "updatedReplicas"));
    let (ready, available) = (
        count(object, "readyReplicas"),
        count(object, "availableReplicas"),
    );
    of_wanted("created", replicas, wanted)
        .or_else(|| of_wanted("updated", updated, wanted))
        .or_else(|| leaving(replicas, wanted))
        .or_else(|| of_wanted("available", available, updated))
        .or_else(|| of_wanted("ready", ready, wanted))
        .or_else(|| {
            let not_yet = match condition(object, "Available") {
                Some(available) => available["status"] != "True",
                None => true,
            };
            not_yet.then(|| Sight::waiting("it is not available yet"))
        })
        .unwrap_or_else(Sight::ready)
}

fn replica_set(object: &Value) -> Sight {
    if let Some(failure) = is_true(object, "ReplicaFailure") {
        return Sight::waiting(format!("replicas cannot be created{}", why(failure)));
    }
    let wanted = wanted(object);
    of_wanted("created", count(object, "replicas"), wanted)
        .or_else(|| of_wanted("available", count(object, "availableReplicas"), wanted))
        .or_else(|| of_wanted("ready", count(object, "readyReplicas"), wanted))
        .or_else(|| leaving(count(object, "replicas"), wanted))
        .unwrap_or_else(Sight::ready)
}

fn stateful_set(object: &Value) -> Sight {
    let strategy = object.pointer("/spec/updateStrategy/type");
    if strategy.and_then(Value::as_str) == Some("OnDelete") {
        return Sight::ready();
    }
    let wanted = wanted(object);
    let replicas = count(object, "replicas");
    let waits = of_wanted("created", replicas, wanted)
        .or_else(|| of_wanted("ready", count(object, "readyReplicas"), wanted))
        .or_else(|| leaving(replicas, wanted));
    if let Some(waits) = waits {
        return waits;
    }
    if let Some(partition) = number(object, "/spec/updateStrategy/rollingUpdate/partition") {
        let updated = count(object, "updatedReplicas");
        return of_wanted("updated", updated, wanted - partition).unwrap_or_else(Sight::ready);
    }
    let status = &object["status"];
    of_wanted("current", count(object, "currentReplicas"), wanted)
        .or_else(|| {
            (status["currentRevision"] != status["updateRevision"])
                .then(|| Sight::waiting("not every replica has the new revision"))
        })
        .unwrap_or_else(Sight::ready)
}

fn daemon_set(object: &Value) -> Sight {
    if number(object, "/status/observedGeneration").is_none() {
        return Sight::waiting("its controller has not looked at it yet");
    }
    let Some(wanted) = number(object, "/status/desiredNumberScheduled") else {
        return Sight::waiting("it is not known yet how many nodes it wants");
    };
    let strategy = object.pointer("/spec/updateStrategy/type");
    let on_delete = strategy.and_then(Value::as_str) == Some("OnDelete");
    of_wanted("scheduled", count(object, "currentNumberScheduled"), wanted)
        .or_else(|| {
            let updated = count(object, "updatedNumberScheduled");
            of_wanted("updated", updated, wanted).filter(|_| !on_delete)
        })
        .or_else(|| of_wanted("available", count(object, "numberAvailable"), wanted))
        .or_else(|| of_wanted("ready", count(object, "numberReady"), wanted))
        .unwrap_or_else(Sight::ready)
}

/// kstatus takes a Job that was started for ready; here, as in Flux and Helm, it is ready when it
/// is complete, so that one that fails never was.
fn job(object: &Value) -> Sight {
    if let Some(failed) = is_true(object, "Failed") {
        let times = count(object, "failed");
        return Sight::stuck(format!("the job failed ({times} times){}", why(failed)));
    }
    if is_true(object, "Complete").is_some() {
        return Sight::ready();
    }
    if is_true(object, "Suspended").is_some() {
        return Sight::waiting("the job is suspended");
    }
    if object["status"]["startTime"].is_null() {
        return Sight::waiting("the job is not started yet");
    }
    let wanted = number(object, "/spec/completions")
        .or_else(|| number(object, "/spec/parallelism"))
        .unwrap_or(1);
    Sight::waiting(format!(
        "{} of {wanted} completions succeeded, {} active, {} failed",
        count(object, "succeeded"),
        count(object, "active"),
        count(object, "failed")
    ))
}

fn pod(object: &Value) -> Sight {
    match object["status"]["phase"].as_str().unwrap_or_default() {
        "Succeeded" => Sight::ready(),
        "Failed" => Sight::stuck(format!("the pod failed{}", why(&object["status"]))),
        "Running" if is_true(object, "Ready").is_some() => Sight::ready(),
        phase => {
            let containers = ["initContainerStatuses", "containerStatuses"];
            let waiting = containers
                .iter()
                .filter_map(|list| object["status"][list].as_array())
                .flatten()
                .find_map(|container| word(&container["state"]["waiting"]["reason"]));
            let unschedulable = is_false(object, "PodScheduled");
            match (waiting, unschedulable, phase) {
                (Some(reason), ..) => Sight::waiting(format!("a container waits: {reason}")),
                (None, Some(why_not), _) => {
                    Sight::waiting(format!("is not scheduled{}", why(why_not)))
                }
                (None, None, "Running") => Sight::waiting("runs and is not ready yet"),
                _ => Sight::waiting("has not started yet"),
            }
        }
    }
}

fn service(object: &Value) -> Sight {
    let spec = &object["spec"];
    let without = spec["clusterIP"].as_str().unwrap_or_default().is_empty();
    if spec["type"] == "LoadBalancer" && without {
        return Sight::waiting("has no cluster IP yet");
    }
    Sight::ready()
}

fn claim(object: &Value) -> Sight {
    match word(&object["status"]["phase"]) {
        Some("Bound") => Sight::ready(),
        phase => Sight::waiting(format!("is not bound: {}", phase.unwrap_or("Pending"))),
    }
}

fn definition(object: &Value) -> Sight {
    if let Some(refused) = is_false(object, "NamesAccepted") {
        return Sight::stuck(format!("its names are not accepted{}", why(refused)));
    }
    if is_true(object, "Established").is_some() {
        return Sight::ready();
    }
    Sight::waiting("is not established yet")
}

/// kstatus takes any APIService for ready; one whose server does not answer makes the discovery of
/// its group fail and holds up the end of every namespace, so that is told.
fn api_service(object: &Value) -> Sight {
    match condition(object, "Available") {
        Some(available) if available["status"] == "True" => Sight::ready(),
        Some(available) => Sight::waiting(format!("its API is not available{}", why(available))),
        None => Sight::waiting("it is not known yet whether its API is available"),
    }
}
