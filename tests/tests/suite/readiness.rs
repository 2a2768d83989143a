//! Readiness end to end: what is watched, what waits for it, and what happens to both when things
//! break (case 16 of spec §8 in all its variants).

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use proto::v1::{ContextState, Problem, ResourceState as R};
use sandbox::host::{Fault, FaultKind, Verb};
use serde_json::{Value, json};
use tests::{
    At, Stack,
    client::Snapshot,
    clusters::{client, config_maps},
    documents::{App, config_map, on},
    until,
};

everywhere! {
    wait_for_ready_instantiates_only_when_every_kind_is_ready_and_says_what_it_waits_for,
    what_is_not_ready_in_time_fails_the_instantiation_with_its_reason_and_stays_applied,
    a_failed_job_is_never_ready_says_so_and_nobody_waits_for_it,
    terminate_takes_effect_at_once_while_readiness_is_waited_for,
    case_16_a_dependent_starts_its_wait_after_its_dependency_is_ready_on_all_its_clusters,
    case_16_a_dependency_that_is_never_ready_holds_its_dependent_and_terminate_works_at_once,
    case_16_a_dependent_of_a_failed_dependency_is_never_applied_whatever_else_it_waits_for,
    objects_deleted_by_hand_are_noticed_whether_their_kind_has_a_status_or_not,
    a_black_hole_stops_the_clock_of_readiness_and_healed_it_is_caught_up,
    resets_refusals_and_expired_versions_end_no_watch,
    a_worker_that_leaves_hands_watching_and_waiting_to_the_next_one,
    clusters_without_a_live_context_are_not_watched_and_each_other_by_one,
}

/// A Deployment whose pods are ready after `after`: `50ms`, `2s`, `never`. On real servers pods are
/// ready at once, or never: then no node is what they ask for.
fn deployment(name: &str, after: &str) -> String {
    let held = match after {
        "never" => "nodeSelector: {held: 'no'}, ",
        _ => "",
    };
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n      annotations: {{sandbox/ready-after: {after}}}\n    spec: {{{held}containers: [{{name: c, image: i}}]}}\n"
    )
}

/// `more` = fields of its spec, then of its pods'.
fn job(name: &str, after: &str, more: [&str; 2]) -> String {
    let [of_job, of_pods] = more;
    format!(
        "---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  {of_job}\n  template:\n    metadata: {{annotations: {{sandbox/ready-after: {after}}}}}\n    spec: {{{of_pods}restartPolicy: Never, containers: [{{name: c, image: i}}]}}\n"
    )
}

/// A Job that fails: a second is too short for pods that no node takes. In the sandbox, where no
/// controller counts the seconds, it is suspended, and the test says what becomes of it.
fn failing_job(at: At, name: &str) -> String {
    match at {
        At::Sandbox => job(name, "never", ["suspend: true", ""]),
        At::RealServers => job(
            name,
            "never",
            ["activeDeadlineSeconds: 1", "nodeSelector: {held: 'no'}, "],
        ),
    }
}

/// Every kind that is ready in its own way; the Deployment is once it is mended.
fn all_kinds(after: &str) -> String {
    let pods = format!(
        "template: {{metadata: {{labels: {{app: s}}, annotations: {{sandbox/ready-after: {after}}}}}, spec: {{containers: [{{name: c, image: i}}]}}}}"
    );
    let rest = format!(
        "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: set}}\nspec: {{replicas: 2, serviceName: s, selector: {{matchLabels: {{app: s}}}}, {pods}}}\n\
         ---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: each}}\nspec: {{selector: {{matchLabels: {{app: s}}}}, {pods}}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{selector: {{app: s}}, ports: [{{port: 80}}]}}\n\
         ---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: claim}}\nspec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n\
         ---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: carts.shop.example.com}}\nspec: {{group: shop.example.com, scope: Namespaced, names: {{plural: carts, singular: cart, kind: Cart}}, versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]}}\n\
         ---\napiVersion: shop.example.com/v1\nkind: Cart\nmetadata: {{name: cart}}\nspec: {{wheels: 4}}\n"
    );
    [
        deployment("web", "never"),
        job("once", after, ["suspend: false", ""]),
        rest,
        config_map("plain"),
    ]
    .concat()
}

fn policy(place: &[&str], policy: &str) -> String {
    format!("{}\n  policy: {{{policy}}}", on(place))
}

async fn kube(stack: &Stack, cluster: &str) -> Client {
    client(&stack.host.cluster(cluster).unwrap().kubeconfig).await
}

async fn objects(stack: &Stack, cluster: &str, group: &str, kind: &str) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    Api::namespaced_with(kube(stack, cluster).await, "shop", &kind)
}

async fn delete(stack: &Stack, cluster: &str, group: &str, kind: &str, name: &str) {
    let api = objects(stack, cluster, group, kind).await;
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

/// Lets the pods of a Deployment come up, as somebody mends what kept them.
async fn mend(stack: &Stack, cluster: &str, name: &str) {
    let annotations = json!({"sandbox/ready-after": "20ms"});
    let template =
        json!({"metadata": {"annotations": annotations}, "spec": {"nodeSelector": null}});
    let patch = Patch::Merge(json!({"spec": {"template": template}}));
    let api = objects(stack, cluster, "apps", "Deployment").await;
    api.patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// What the claim is bound to: there is nobody who makes volumes.
async fn volume(stack: &Stack, cluster: &str) {
    use k8s_openapi::api::core::v1::PersistentVolume;
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": {"name": "volume"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/nowhere"},
        },
    }))
    .unwrap();
    let volumes: Api<PersistentVolume> = Api::all(kube(stack, cluster).await);
    let created = volumes.create(&Default::default(), &volume).await;
    created.unwrap();
}

async fn fail_job(stack: &Stack, cluster: &str, name: &str) {
    let failed = json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "x"});
    let status: Value = json!({"status": {"conditions": [failed], "failed": 1}});
    let api = objects(stack, cluster, "batch", "Job").await;
    until("the job is there and has failed", || async {
        let patch = Patch::Merge(status.clone());
        api.patch_status(name, &PatchParams::default(), &patch)
            .await
            .ok()
    })
    .await;
}

fn ready_of(status: &Snapshot) -> (i64, i64, i64) {
    let counts = status.head.ready_counts.unwrap();
    (counts.ready, counts.not_ready, counts.not_present)
}

fn blocked_by(status: &Snapshot) -> &str {
    &status.head.context.as_ref().unwrap().blocked_by
}

fn as_of(status: &Snapshot) -> Option<(i64, i32)> {
    let at = status.head.ready_as_of?;
    Some((at.seconds, at.nanos))
}

fn problem<'a>(status: &'a Snapshot, code: &str) -> Option<&'a Problem> {
    status.head.problems.iter().find(|p| p.code == code)
}

async fn wait_for_ready_instantiates_only_when_every_kind_is_ready_and_says_what_it_waits_for(
    at: At,
) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    if at == At::RealServers {
        for cluster in ["c1", "c2"] {
            volume(&stack, cluster).await;
        }
    }
    let spec = policy(&["c1", "c2"], "waitFor: Ready");
    let dig = stack
        .approved("w", &[App::new("a", all_kinds("1500ms"))], &spec)
        .await;
    let context = dig.instantiate().await.unwrap().context_id;
    let waiting = dig
        .until("applied and waiting for readiness", |s| {
            s.count(R::Applied) == s.resources.len() && !blocked_by(s).is_empty()
        })
        .await;
    assert_eq!(waiting.context(), Some(ContextState::Instantiating));
    assert!(
        blocked_by(&waiting).starts_with("readiness: "),
        "{}",
        blocked_by(&waiting)
    );
    assert!(
        problem(&waiting, "notReady").is_some(),
        "{:?}",
        waiting.head.problems
    );
    for cluster in ["c1", "c2"] {
        mend(&stack, cluster, "web").await;
    }
    let done = dig.until_instantiated().await;
    let rows = done.resources.len() as i64;
    assert_eq!(ready_of(&done), (rows, 0, 0), "{:?}", done.resources);
    assert_eq!(blocked_by(&done), "");
    assert!(done.head.problems.is_empty(), "{:?}", done.head.problems);
    assert!(done.resources.iter().all(|r| r.ready_status == "Ready"));
    dig.until("it is known up to when", |s| as_of(s).is_some())
        .await;
    let states = dig.context_states(&context).await;
    assert_eq!(states, ["Instantiating", "Instantiated"]);
    dig.terminate().await.unwrap();
    let status = dig.until_terminated().await;
    assert_eq!(status.head.ready_counts, None);
    stack.end().await;
}

async fn what_is_not_ready_in_time_fails_the_instantiation_with_its_reason_and_stays_applied(
    at: At,
) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let spec = policy(&["c1"], "waitFor: Ready, readyTimeout: 2s");
    let objects = deployment("slow", "never") + &config_map("plain");
    let dig = stack.approved("w", &[App::new("a", objects)], &spec).await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    assert_eq!(status.count(R::Applied), 2, "{:?}", status.resources);
    // A busy controller may take until now to create its pods.
    let status = dig
        .until("it is said why", |s| {
            let said = |p: &Problem| p.message.contains("0 of 2 replicas are available");
            ready_of(s) == (1, 1, 0) && problem(s, "notReady").is_some_and(said)
        })
        .await;
    let problem = problem(&status, "notReady").unwrap();
    assert_eq!(problem.resource, "Deployment/shop/slow");
    let row = status.resource("c1", "slow");
    assert_eq!(row.ready_status, "NotReady");
    assert_eq!(row.ready_reason.as_ref().unwrap().code, "notReady");
    // It is mended by hand: the facts follow, the context's state is what it was.
    mend(&stack, "c1", "slow").await;
    let mended = dig
        .until("ready after all", |s| ready_of(s) == (2, 0, 0))
        .await;
    assert_eq!(mended.context(), Some(ContextState::InstantiateFailed));
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    stack.end().await;
}

async fn a_failed_job_is_never_ready_says_so_and_nobody_waits_for_it(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let spec = policy(&["c1"], "waitFor: Ready, readyTimeout: 1h");
    let dig = stack
        .approved("w", &[App::new("a", failing_job(at, "once"))], &spec)
        .await;
    dig.instantiate().await.unwrap();
    let why = match at {
        At::Sandbox => {
            fail_job(&stack, "c1", "once").await;
            "the job failed (1 times): BackoffLimitExceeded"
        }
        At::RealServers => "times): DeadlineExceeded",
    };
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    let problem = problem(&status, "notReady").unwrap();
    assert!(problem.message.contains(why), "{problem:?}");
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    stack.end().await;
}

async fn terminate_takes_effect_at_once_while_readiness_is_waited_for(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let spec = policy(&["c1"], "waitFor: Ready, readyTimeout: 1h");
    let dig = stack
        .approved("w", &[App::new("a", deployment("slow", "never"))], &spec)
        .await;
    let context = dig.instantiate().await.unwrap().context_id;
    dig.until("waiting", |s| !blocked_by(s).is_empty()).await;
    dig.terminate().await.unwrap();
    let status = dig.until_terminated().await;
    assert_eq!(status.count(R::Deleted), 1);
    let states = dig.context_states(&context).await;
    assert_eq!(
        states,
        ["Instantiating", "PreTerminate", "Terminating", "Terminated"]
    );
    stack.end().await;
}

async fn case_16_a_dependent_starts_its_wait_after_its_dependency_is_ready_on_all_its_clusters(
    at: At,
) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let apps = [
        App::new("a1", config_map("late")).after("{app: a2, opStatus: ready, wait: 2s}"),
        App::new("a2", deployment("slow", "never")),
    ];
    let dig = stack.approved("d", &apps, &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    // Deployed everywhere, ready on one of two clusters: not yet.
    mend_when_there(&stack, "c1", "slow").await;
    let status = dig
        .until("ready on c1 alone", |s| {
            s.resource("c1", "slow").ready_status == "Ready"
                && s.resource("c1", "late").blocked_by.contains("not ready")
        })
        .await;
    assert_eq!(status.context(), Some(ContextState::Instantiating));
    assert_eq!(status.state("c2", "slow"), R::Applied);
    assert_eq!(status.state("c1", "late"), R::Pending);
    assert!(
        problem(&status, "notReady").is_some(),
        "{:?}",
        status.head.problems
    );
    assert!(
        config_maps(&kube(&stack, "c1").await).await.is_empty(),
        "nothing of the dependent is applied"
    );
    mend(&stack, "c2", "slow").await;
    let mended = std::time::Instant::now();
    dig.until_instantiated().await;
    assert!(
        mended.elapsed() >= std::time::Duration::from_secs(2),
        "the wait begins with the readiness"
    );
    stack.end().await;
}

async fn mend_when_there(stack: &Stack, cluster: &str, name: &str) {
    let api = objects(stack, cluster, "apps", "Deployment").await;
    until("the deployment is there", || async {
        api.get_opt(name).await.ok().flatten()
    })
    .await;
    mend(stack, cluster, name).await;
}

async fn case_16_a_dependency_that_is_never_ready_holds_its_dependent_and_terminate_works_at_once(
    at: At,
) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let apps = [
        App::new("a1", config_map("late")).after("{app: a2, opStatus: Ready, wait: 5s}"),
        App::new("a2", deployment("slow", "never")),
    ];
    let dig = stack.approved("d", &apps, &on(&["c1"])).await;
    let context = dig.instantiate().await.unwrap().context_id;
    let status = dig
        .until("deployed, not ready", |s| {
            s.state("c1", "slow") == R::Applied && s.resource("c1", "slow").ready_reason.is_some()
        })
        .await;
    let late = status.resource("c1", "late");
    assert_eq!(late.deployed_status(), R::Pending);
    assert_eq!(late.blocked_by, "app a2: not ready yet");
    dig.terminate().await.unwrap();
    let status = dig.until_terminated().await;
    assert_eq!(status.count(R::Deleted), 2);
    let asked = stack.asked("c1", Verb::Apply);
    assert!(!asked.contains(&"late".to_owned()), "{asked:?}");
    let states = dig.context_states(&context).await;
    assert!(!states.contains(&"Instantiated".to_owned()), "{states:?}");
    stack.end().await;
}

async fn case_16_a_dependent_of_a_failed_dependency_is_never_applied_whatever_else_it_waits_for(
    at: At,
) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    stack.fault_where(
        "c1",
        Fault::from(FaultKind::Status { code: 422 })
            .verb(Verb::Apply)
            .named("bad"),
    );
    let apps = [
        // It waits for the readiness of one that never will be, and for one that fails.
        App::new("a1", config_map("late"))
            .after("{app: a2, opStatus: Ready}")
            .after("{app: a3, opStatus: Ready}"),
        App::new("a2", deployment("slow", "never")),
        App::new("a3", config_map("bad")),
    ];
    let dig = stack.approved("d", &apps, &on(&["c1"])).await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    assert_eq!(status.state("c1", "late"), R::Pending);
    assert_eq!(status.state("c1", "slow"), R::Applied);
    assert!(!stack.asked("c1", Verb::Apply).contains(&"late".to_owned()));
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    stack.end().await;
}

async fn objects_deleted_by_hand_are_noticed_whether_their_kind_has_a_status_or_not(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let objects = deployment("web", "20ms") + &config_map("plain");
    let dig = stack
        .approved("w", &[App::new("a", objects)], &on(&["c1"]))
        .await;
    dig.instantiate().await.unwrap();
    dig.until("all ready, and watched", |s| {
        ready_of(s) == (2, 0, 0) && as_of(s).is_some()
    })
    .await;
    // Kinds without a status are watched from Instantiated on.
    until("the config maps are watched", || async {
        let log = stack.log("c1");
        log.iter()
            .any(|e| e.verb == Verb::Watch && e.kind.as_deref() == Some("ConfigMap"))
            .then_some(())
    })
    .await;
    delete(&stack, "c1", "apps", "Deployment", "web").await;
    delete(&stack, "c1", "", "ConfigMap", "plain").await;
    let status = dig
        .until("both are missed", |s| ready_of(s) == (0, 0, 2))
        .await;
    assert_eq!(status.count(R::Applied), 2, "what was applied, was");
    let problem = problem(&status, "notPresent").unwrap();
    assert_eq!(problem.count, 2, "{problem:?}");
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    stack.end().await;
}

async fn a_black_hole_stops_the_clock_of_readiness_and_healed_it_is_caught_up(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let dig = stack
        .approved(
            "w",
            &[App::new("a", deployment("web", "20ms"))],
            &on(&["c1"]),
        )
        .await;
    dig.instantiate().await.unwrap();
    let first = dig
        .until("watched", |s| {
            ready_of(s) == (1, 0, 0) && as_of(s).is_some()
        })
        .await;
    dig.until("the clock goes", |s| as_of(s) > as_of(&first))
        .await;
    stack.fault("c1", FaultKind::BlackHole);
    let connectivity = |s: &Snapshot| s.head.apps[0].clusters[0].connectivity();
    let parked = dig
        .until("the silence is noticed", |s| {
            connectivity(s) == proto::v1::Connectivity::Retrying
        })
        .await;
    let stands = as_of(&parked);
    assert!(stands.is_some());
    assert_eq!(ready_of(&parked), (1, 0, 0), "what was known last is shown");
    // The probes go on, and know nothing new.
    let probed = |s: &Snapshot| connectivity(s) == proto::v1::Connectivity::Retrying;
    assert_eq!(as_of(&dig.until("still parked", probed).await), stands);
    stack.heal("c1").await;
    dig.until("caught up", |s| as_of(s) > stands).await;
    delete(&stack, "c1", "apps", "Deployment", "web").await;
    dig.until("watched again", |s| ready_of(s) == (0, 0, 1))
        .await;
    stack.end().await;
}

async fn resets_refusals_and_expired_versions_end_no_watch(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let watches = || Fault::from(FaultKind::Status { code: 410 }).verb(Verb::Watch);
    // The first watches of every kind are answered badly, one way after the other.
    stack.fault_where("c1", watches().times(2));
    stack.fault_where(
        "c1",
        Fault::from(FaultKind::Status { code: 403 })
            .verb(Verb::Watch)
            .times(2),
    );
    stack.fault_where(
        "c1",
        Fault::from(FaultKind::Reset).verb(Verb::Watch).times(2),
    );
    let spec = policy(&["c1"], "waitFor: Ready");
    let dig = stack
        .approved("w", &[App::new("a", deployment("web", "20ms"))], &spec)
        .await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    let status = dig.until("in sync", |s| as_of(s).is_some()).await;
    assert_eq!(ready_of(&status), (1, 0, 0));
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    stack.end().await;
}

async fn a_worker_that_leaves_hands_watching_and_waiting_to_the_next_one(at: At) {
    let Some(mut stack) = Stack::at(at, 1).await else {
        return;
    };
    let spec = policy(&["c1"], "waitFor: Ready, readyTimeout: 1h");
    let dig = stack
        .approved("w", &[App::new("a", deployment("web", "never"))], &spec)
        .await;
    dig.instantiate().await.unwrap();
    dig.until("waiting", |s| !blocked_by(s).is_empty()).await;
    stack.stop_worker().await;
    mend(&stack, "c1", "web").await;
    stack.start_worker();
    dig.until_instantiated().await;
    stack.end().await;
}

async fn clusters_without_a_live_context_are_not_watched_and_each_other_by_one(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let objects = || vec![App::new("a", deployment("web", "20ms"))];
    let first = stack.approved("w", &objects(), &on(&["c1"])).await;
    first.instantiate().await.unwrap();
    first.until("watched", |s| as_of(s).is_some()).await;
    let other = vec![App::new("b", deployment("other", "20ms"))];
    let second = stack.approved("x", &other, &on(&["c1"])).await;
    second.instantiate().await.unwrap();
    second
        .until("watched", |s| {
            as_of(s).is_some() && ready_of(s) == (1, 0, 0)
        })
        .await;
    let watches = |cluster: &str| {
        let log = stack.log(cluster);
        let of = log
            .iter()
            .filter(|e| e.verb == Verb::Watch && e.kind.as_deref() == Some("Deployment"));
        of.count()
    };
    assert_eq!(watches("c1"), 1, "one stream for both contexts");
    assert_eq!(stack.log("c2").len(), 0, "nobody asks the idle cluster");
    for dig in [first, second] {
        dig.terminate().await.unwrap();
        dig.until_terminated().await;
    }
    stack.end().await;
}
