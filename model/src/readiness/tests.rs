//! What the status of each kind is read as: a line for each case.

use super::{Readiness as R, *};
use crate::state::ResourceState as S;
use serde_json::json;

fn object(api_version: &str, kind: &str, spec: Value, status: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": "x", "generation": 2}, "spec": spec, "status": status})
}

/// What is said of an object: `Ready`, or the text; `!` before it where it is stuck.
fn said(object: &Value) -> String {
    let sight = of(object);
    match (sight.readiness, sight.reason) {
        (R::Ready, None) => "Ready".to_owned(),
        (R::NotReady, Some(reason)) if sight.stuck => format!("!{}", reason.message),
        (R::NotReady, Some(reason)) => reason.message,
        other => panic!("{other:?} of {object}"),
    }
}

fn check(object: &Value, expected: &str) {
    assert_eq!(said(object), expected, "{object}");
}

/// Cases of one kind: its spec and its status, and what is said of it.
macro_rules! check {
    ($api_version:literal $kind:literal; $($spec:tt, $status:expr => $expected:literal;)+) => {
        $(check(&object($api_version, $kind, json!($spec), $status), $expected);)+
    };
}

fn conditions(list: &[(&str, &str, &str)]) -> Value {
    list.iter()
        .map(|(kind, status, reason)| json!({"type": kind, "status": status, "reason": reason, "message": "s3cret"}))
        .collect()
}

#[test]
fn a_deployment_is_ready_when_every_replica_is_new_available_and_no_old_one_is_left() {
    let yes = conditions(&[("Available", "True", "MinimumReplicasAvailable")]);
    let late = conditions(&[("Progressing", "False", "ProgressDeadlineExceeded")]);
    let status = |[replicas, updated, ready, available]: [i64; 4], conditions: &Value| {
        json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated,
            "readyReplicas": ready, "availableReplicas": available, "conditions": conditions})
    };
    let three = json!({"replicas": 3});
    check! { "apps/v1" "Deployment";
        three, status([3, 3, 3, 3], &yes) => "Ready";
        three, status([2, 2, 2, 2], &yes) => "2 of 3 replicas are created";
        three, status([3, 1, 3, 3], &yes) => "1 of 3 replicas are updated";
        three, status([4, 3, 3, 3], &yes) => "1 replicas are still to be terminated";
        three, status([3, 3, 3, 2], &yes) => "2 of 3 replicas are available";
        three, status([3, 3, 2, 3], &yes) => "2 of 3 replicas are ready";
        three, status([3, 3, 3, 3], &json!([])) => "it is not available yet";
        three, status([3, 3, 0, 0], &late) => "its progress deadline is exceeded";
        {}, status([1, 1, 1, 1], &yes) => "Ready";
        {"replicas": 0}, status([0, 0, 0, 0], &yes) => "Ready";
        {}, json!({}) => "0 of 1 replicas are created";
        three, json!({"observedGeneration": 1, "replicas": 3}) => "generation 2 is not taken up yet (observed: 1)";
    }
}

#[test]
fn replica_sets_and_stateful_sets_count_their_replicas() {
    let set = |replicas, ready, available| json!({"observedGeneration": 2, "replicas": replicas, "readyReplicas": ready, "availableReplicas": available});
    let two = json!({"replicas": 2});
    check! { "apps/v1" "ReplicaSet";
        two, set(2, 2, 2) => "Ready";
        two, set(1, 1, 1) => "1 of 2 replicas are created";
        two, set(2, 2, 1) => "1 of 2 replicas are available";
        two, set(3, 3, 3) => "1 replicas are still to be terminated";
        two, json!({"conditions": conditions(&[("ReplicaFailure", "True", "FailedCreate")])})
            => "replicas cannot be created: FailedCreate";
    }
    let status = |ready, current, updated, revision: &str| {
        json!({"observedGeneration": 2, "replicas": 2, "readyReplicas": ready, "currentReplicas": current,
            "updatedReplicas": updated, "currentRevision": "a", "updateRevision": revision})
    };
    let rolling = |partition: i64| json!({"replicas": 2, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}});
    let (all, but_one) = (rolling(0), rolling(1));
    check! { "apps/v1" "StatefulSet";
        two, status(2, 2, 0, "a") => "Ready";
        two, status(1, 2, 0, "a") => "1 of 2 replicas are ready";
        two, status(2, 1, 0, "a") => "1 of 2 replicas are current";
        two, status(2, 2, 0, "b") => "not every replica has the new revision";
        all, status(2, 0, 2, "b") => "Ready";
        all, status(2, 0, 1, "b") => "1 of 2 replicas are updated";
        but_one, status(2, 0, 1, "b") => "Ready";
        {"replicas": 2, "updateStrategy": {"type": "OnDelete"}}, status(0, 0, 0, "b") => "Ready";
    }
}

#[test]
fn a_daemon_set_covers_every_node_it_wants() {
    let status = |scheduled, updated, available, ready| {
        json!({"observedGeneration": 2, "desiredNumberScheduled": 2, "currentNumberScheduled": scheduled,
            "updatedNumberScheduled": updated, "numberAvailable": available, "numberReady": ready})
    };
    check! { "apps/v1" "DaemonSet";
        {}, status(2, 2, 2, 2) => "Ready";
        {}, status(1, 2, 2, 2) => "1 of 2 replicas are scheduled";
        {}, status(2, 1, 2, 2) => "1 of 2 replicas are updated";
        {"updateStrategy": {"type": "OnDelete"}}, status(2, 0, 2, 2) => "Ready";
        {}, status(2, 2, 1, 2) => "1 of 2 replicas are available";
        {}, status(2, 2, 2, 1) => "1 of 2 replicas are ready";
        {}, json!({}) => "its controller has not looked at it yet";
        {}, json!({"observedGeneration": 2}) => "it is not known yet how many nodes it wants";
        {}, json!({"observedGeneration": 2, "desiredNumberScheduled": 0}) => "Ready";
    }
}

#[test]
fn a_job_is_ready_when_it_is_complete_and_a_failed_one_never() {
    let with = |list: &[(&str, &str, &str)]| json!({"startTime": "t", "failed": 3, "conditions": conditions(list)});
    check! { "batch/v1" "Job";
        {}, json!({}) => "the job is not started yet";
        {"completions": 4}, json!({"startTime": "t", "active": 1, "succeeded": 2})
            => "2 of 4 completions succeeded, 1 active, 0 failed";
        {}, with(&[("Complete", "True", "")]) => "Ready";
        {}, with(&[("Failed", "True", "BackoffLimitExceeded")]) => "!the job failed (3 times): BackoffLimitExceeded";
        {}, with(&[("Suspended", "True", "")]) => "the job is suspended";
    }
}

#[test]
fn a_pod_says_what_its_containers_wait_for() {
    let ready = conditions(&[("Ready", "True", "")]);
    let not = conditions(&[("Ready", "False", "ContainersNotReady")]);
    let unscheduled = conditions(&[("PodScheduled", "False", "Unschedulable")]);
    let crashing =
        json!([{"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "s3cret"}}}]);
    check! { "v1" "Pod";
        {}, json!({"phase": "Running", "conditions": ready}) => "Ready";
        {}, json!({"phase": "Succeeded"}) => "Ready";
        {}, json!({"phase": "Failed", "reason": "Evicted"}) => "!the pod failed: Evicted";
        {}, json!({"phase": "Running", "conditions": not}) => "runs and is not ready yet";
        {}, json!({"phase": "Running", "conditions": not, "containerStatuses": crashing})
            => "a container waits: CrashLoopBackOff";
        {}, json!({"phase": "Pending", "conditions": unscheduled}) => "is not scheduled: Unschedulable";
        {}, json!({"phase": "Pending"}) => "has not started yet";
    }
}

#[test]
fn services_claims_budgets_and_definitions_have_their_own_way() {
    check! { "v1" "Service";
        {"type": "ClusterIP"}, json!({}) => "Ready";
        {"type": "LoadBalancer"}, json!({}) => "has no cluster IP yet";
        {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}, json!({}) => "Ready";
    }
    check! { "v1" "PersistentVolumeClaim";
        {}, json!({"phase": "Bound"}) => "Ready";
        {}, json!({"phase": "Lost"}) => "is not bound: Lost";
        {}, json!({}) => "is not bound: Pending";
    }
    check! { "policy/v1" "PodDisruptionBudget";
        {}, json!({"observedGeneration": 2}) => "Ready";
        {}, json!({"observedGeneration": 1}) => "generation 2 is not taken up yet (observed: 1)";
    }
    let crd = |list: &[(&str, &str, &str)]| json!({"conditions": conditions(list)});
    check! { "apiextensions.k8s.io/v1" "CustomResourceDefinition";
        {}, crd(&[("Established", "True", "")]) => "Ready";
        {}, crd(&[]) => "is not established yet";
        {}, crd(&[("NamesAccepted", "False", "ListKindConflict")])
            => "!its names are not accepted: ListKindConflict";
    }
    check! { "apiregistration.k8s.io/v1" "APIService";
        {}, crd(&[("Available", "True", "Passed")]) => "Ready";
        {}, crd(&[("Available", "False", "FailedDiscoveryCheck")])
            => "its API is not available: FailedDiscoveryCheck";
        {}, crd(&[]) => "it is not known yet whether its API is available";
    }
}

#[test]
fn any_other_kind_is_read_by_its_generation_and_conditions() {
    let with = |list: &[(&str, &str, &str)]| json!({"observedGeneration": 2, "conditions": conditions(list)});
    check! { "shop.example.com/v1" "Cart";
        {}, Value::Null => "Ready";
        {}, with(&[("Ready", "True", "Done")]) => "Ready";
        {}, with(&[("Ready", "False", "WheelsMissing")]) => "condition Ready is False: WheelsMissing";
        {}, with(&[("Ready", "False", "password is hunter2")]) => "condition Ready is False";
        {}, with(&[("Ready", "Unknown", "")]) => "condition Ready is Unknown";
        {}, with(&[("Stalled", "True", "NoWay"), ("Ready", "True", "")]) => "is stalled: NoWay";
        {}, with(&[("Reconciling", "True", "Progressing"), ("Ready", "True", "")])
            => "is being reconciled: Progressing";
        {}, with(&[("Available", "False", "X")]) => "Ready";
        {}, json!({"observedGeneration": 1}) => "generation 2 is not taken up yet (observed: 1)";
    }
    let mut going = object("v1", "ConfigMap", json!({}), json!({}));
    check(&going, "Ready");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    check(&going, "is being deleted");
}

#[test]
fn kinds_without_a_status_are_ready_by_being_there() {
    for (group, kind, expected) in [
        ("", "ConfigMap", true),
        ("", "Secret", true),
        ("", "Namespace", true),
        ("", "Pod", false),
        ("", "Service", false),
        ("", "PersistentVolumeClaim", false),
        ("apps", "Deployment", false),
        ("batch", "Job", false),
        ("batch", "CronJob", true),
        ("networking.k8s.io", "Ingress", true),
        ("apiextensions.k8s.io", "CustomResourceDefinition", true),
        ("shop.example.com", "Cart", false),
        ("policy", "PodDisruptionBudget", false),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration",
            true,
        ),
        ("apiregistration.k8s.io", "APIService", false),
        ("autoscaling", "HorizontalPodAutoscaler", false),
    ] {
        assert_eq!(by_presence(group, kind), expected, "{group}/{kind}");
    }
}

#[test]
fn what_a_row_shows_follows_its_state_before_what_was_seen() {
    let seen = |readiness| Some(Recorded::Seen(readiness));
    for (state, recorded, expected) in [
        (S::Applied, None, R::Ready),
        (S::Applied, Some(Recorded::Unseen), R::NotReady),
        (S::Applied, seen(R::Ready), R::Ready),
        (S::Applied, seen(R::NotReady), R::NotReady),
        (S::Applied, seen(R::NotPresent), R::NotPresent),
        (S::Pending(Goal::Apply), None, R::NotPresent),
        (
            S::Retrying(Goal::Apply),
            Some(Recorded::Unseen),
            R::NotPresent,
        ),
        // Its apply's answer was lost, and it is there.
        (S::Retrying(Goal::Apply), seen(R::Ready), R::Ready),
        (S::Failed(Goal::Apply), None, R::NotPresent),
        (S::Pending(Goal::Delete), None, R::NotReady),
        (S::Failed(Goal::Delete), seen(R::Ready), R::NotReady),
        (S::Pending(Goal::Delete), seen(R::NotPresent), R::NotPresent),
        (S::Deleted, None, R::NotPresent),
        (S::Deleted, seen(R::Ready), R::NotPresent),
    ] {
        assert_eq!(shown(state, recorded), expected, "{state} {recorded:?}");
    }
    for recorded in [
        Recorded::Unseen,
        Recorded::Seen(R::Ready),
        Recorded::Seen(R::NotReady),
        Recorded::Seen(R::NotPresent),
    ] {
        assert_eq!(recorded.as_str().parse(), Ok(recorded));
    }
}
