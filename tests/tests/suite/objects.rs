//! Objects that make trouble: cases 12, 14 and 24 of spec §8, and objects of a megabyte.

use k8s_openapi::{
    api::core::v1::ConfigMap,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::api::Patch;
use proto::v1::{ContextState, ResourceState as R};
use sandbox::host::{Fault, FaultKind, Verb};
use serde_json::json;
use tests::{
    At, Stack,
    clusters::{client, inventory},
    documents::{App, config_maps as maps, on},
    until,
};

everywhere! {
    case_12_a_refused_delete_is_terminate_failed_and_terminate_again_drives_only_that_one,
    case_14_a_finalizer_is_waited_for,
    case_24_a_resource_waits_for_its_definition_and_goes_before_it,
    objects_of_a_megabyte_go_in_and_out,
    a_group_that_nobody_serves_holds_up_a_namespace_only_and_is_named,
}

async fn kube(stack: &Stack) -> ::kube::Client {
    client(&stack.host.cluster("c1").unwrap().kubeconfig).await
}

async fn case_12_a_refused_delete_is_terminate_failed_and_terminate_again_drives_only_that_one(
    at: At,
) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let before = inventory(&kube(&stack).await).await;
    let dig = stack
        .approved("x", &[App::new("a", maps(&["r1", "r2"]))], &on(&["c1"]))
        .await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    let refused = Fault::from(FaultKind::Status { code: 403 });
    stack.fault_where("c1", refused.verb(Verb::Delete).named("r2"));
    dig.terminate().await.unwrap();
    let status = dig.until_context(ContextState::TerminateFailed).await;
    assert_eq!(status.state("c1", "r1"), R::Deleted);
    assert_eq!(status.state("c1", "r2"), R::Failed);
    stack.heal("c1").await;
    stack.host.clear_log("c1").unwrap();
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(stack.asked("c1", Verb::Delete), ["r2", "shop"]);
    assert_eq!(inventory(&kube(&stack).await).await, before);
    stack.end().await;
}

async fn case_14_a_finalizer_is_waited_for(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let before = inventory(&kube(&stack).await).await;
    let dig = stack
        .approved("x", &[App::new("a", maps(&["r1", "r2"]))], &on(&["c1"]))
        .await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    let objects: ::kube::Api<ConfigMap> = ::kube::Api::namespaced(kube(&stack).await, "shop");
    let finalizers = |list| Patch::Merge(json!({"metadata": {"finalizers": list}}));
    let held = finalizers(json!(["example.com/held"]));
    objects
        .patch("r1", &Default::default(), &held)
        .await
        .unwrap();
    dig.terminate().await.unwrap();
    dig.until("r1 says what it waits for, all else is gone", |s| {
        s.resource("c1", "r1").blocked_by == WAITS && s.state("c1", "r2") == R::Deleted
    })
    .await;
    // The case's 20 s are ten looks at growing intervals; time itself changes nothing.
    let looks = || {
        let log = stack.log("c1");
        let reads = log
            .iter()
            .filter(|e| [Verb::Get, Verb::List].contains(&e.verb));
        reads
            .filter(|e| e.kind.as_deref() == Some("ConfigMap"))
            .count()
    };
    let seen = looks();
    until("it is looked at again and again", || async {
        let status = dig.status().await;
        assert_eq!(status.context(), Some(ContextState::Terminating));
        assert_eq!(status.resource("c1", "r1").blocked_by, WAITS);
        assert_eq!(status.head.problems.len(), 1);
        (looks() >= seen + 4).then_some(())
    })
    .await;
    let held = objects.get("r1").await.unwrap().metadata;
    assert!(held.deletion_timestamp.is_some());
    // One delete of each is enough, and what r1 lives in waits for it.
    let mut deleted = stack.asked("c1", Verb::Delete);
    deleted.sort();
    assert_eq!(deleted, ["r1", "r2"]);
    assert!(objects.get_opt("r2").await.unwrap().is_none());
    let free = finalizers(json!(null));
    objects
        .patch("r1", &Default::default(), &free)
        .await
        .unwrap();
    dig.until_terminated().await;
    assert_eq!(inventory(&kube(&stack).await).await, before);
    stack.end().await;
}

const WAITS: &str = "waiting for finalizers: example.com/held";

/// Another definition of the kind of [`DEFINITION`]: while it is there, that one is not Established.
const RIVAL: &str = "
metadata: {name: rivals.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: rivals, singular: rival, kind: Gadget, listKind: GadgetList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";

const DEFINITION: &str = "---
apiVersion: example.com/v1
kind: Gadget
metadata: {name: first}
spec: {size: 3}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget, listKind: GadgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
";

async fn case_24_a_resource_waits_for_its_definition_and_goes_before_it(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let kube = kube(&stack).await;
    let before = inventory(&kube).await;
    let definitions: ::kube::Api<CustomResourceDefinition> = ::kube::Api::all(kube.clone());
    let rival: CustomResourceDefinition = serde_yaml_ng::from_str(RIVAL).unwrap();
    let spec = on(&["c1"]) + "\n  policy: {retry: {maxInterval: 1s}}";
    let dig = stack
        .approved("x", &[App::new("a", DEFINITION)], &spec)
        .await;
    // The second time the definition is remembered from the first, and is another one.
    for round in 0..2 {
        if round == 0 {
            definitions
                .create(&Default::default(), &rival)
                .await
                .unwrap();
            until("the rival has the kind", || async {
                let read = http::Request::get("/apis/example.com/v1/rivals");
                kube.request_text(read.body(vec![]).unwrap()).await.ok()
            })
            .await;
        }
        stack.host.clear_log("c1").unwrap();
        dig.instantiate().await.unwrap();
        if round == 0 {
            let status = dig
                .until("the definition is there and not Established", |s| {
                    let waits = s.resource("c1", "gadgets.example.com").last_error.as_ref();
                    waits.is_some_and(|e| e.code == "crdNotEstablished")
                })
                .await;
            assert_eq!(status.state("c1", "first"), R::Pending);
            definitions
                .delete("rivals.example.com", &Default::default())
                .await
                .unwrap();
        }
        let status = dig.until_instantiated().await;
        assert_eq!(status.state("c1", "first"), R::Applied);
        assert_eq!(status.state("c1", "gadgets.example.com"), R::Applied);
        let log = stack.log("c1");
        let at = |verb: Verb, name: &str| {
            log.iter()
                .position(|e| e.verb == verb && e.name.as_deref() == Some(name))
        };
        let sent = at(Verb::Apply, "first");
        assert!(at(Verb::Apply, "gadgets.example.com") < sent);
        // It could be Established only from then on; `None` comes before everything.
        assert!(at(Verb::Delete, "rivals.example.com") < sent, "{log:?}");
        stack.host.clear_log("c1").unwrap();
        dig.terminate().await.unwrap();
        dig.until_terminated().await;
        let deleted = stack.asked("c1", Verb::Delete);
        let of_ours = deleted.iter().filter(|name| *name != "shop");
        assert_eq!(
            of_ours.collect::<Vec<_>>(),
            ["first", "gadgets.example.com"]
        );
        assert_eq!(inventory(&kube).await, before);
    }
    stack.end().await;
}

/// Just below what an API server takes, and nothing that compresses away.
fn megabyte(name: &str, seed: u32) -> String {
    let letters = (0..1_000_000_u32).scan(seed, |state, _| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(char::from(
            b'a' + u8::try_from((*state >> 24) % 26).unwrap(),
        ))
    });
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: {}}}\n",
        letters.collect::<String>()
    )
}

async fn objects_of_a_megabyte_go_in_and_out(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let text = megabyte("large", 1) + &megabyte("larger", 2);
    let dig = stack
        .approved("x", &[App::new("a", text)], &on(&["c1", "c2"]))
        .await;
    dig.instantiate().await.unwrap();
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 4);
    let objects: ::kube::Api<ConfigMap> = ::kube::Api::namespaced(kube(&stack).await, "shop");
    for name in ["large", "larger"] {
        let data = objects.get(name).await.unwrap().data.unwrap();
        assert_eq!(data["key"].len(), 1_000_000);
    }
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert!(objects.get_opt("large").await.unwrap().is_none());
    stack.end().await;
}

async fn a_group_that_nobody_serves_holds_up_a_namespace_only_and_is_named(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let kube = kube(&stack).await;
    let before = inventory(&kube).await;
    let services: ::kube::Api<APIService> = ::kube::Api::all(kube.clone());
    let absent: APIService = serde_json::from_value(json!({
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": "nobody", "namespace": "default"},
        },
    }))
    .unwrap();
    services.create(&Default::default(), &absent).await.unwrap();
    until("the group does not answer", || async {
        let asked = http::Request::get("/apis/metrics.k8s.io/v1beta1");
        let asked = kube.request_text(asked.body(vec![]).unwrap()).await;
        asked.is_err().then_some(())
    })
    .await;

    let apps = [App::new("a", DEFINITION.to_owned() + &maps(&["r1"]))];
    // In a namespace of somebody else nothing has to be known of what it holds.
    let there = on(&["c1"]).replace("namespace: shop", "namespace: default");
    let dig = stack.approved("there", &apps, &there).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    dig.terminate().await.unwrap();
    dig.until_terminated().await;

    let dig = stack.approved("own", &apps, &on(&["c1"])).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    dig.terminate().await.unwrap();
    let status = dig
        .until("the group is named", |s| {
            format!("{:?}", s.head.problems).contains("metrics.k8s.io/v1beta1 does not say")
        })
        .await;
    assert_eq!(status.state("c1", "r1"), R::Deleted);
    assert_eq!(status.context(), Some(ContextState::Terminating));
    let name = "v1beta1.metrics.k8s.io";
    services.delete(name, &Default::default()).await.unwrap();
    dig.until_terminated().await;
    assert_eq!(inventory(&kube).await, before);
    stack.end().await;
}
