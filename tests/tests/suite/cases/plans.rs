//! Cases 17, 22 and 23: what is planned, and what cannot be.

use super::all_of;
use proto::v1::ResourceState as R;
use tests::{
    At, Stack,
    documents::{App, Upload, config_map, on},
};
use tonic::Code;

everywhere! {
    case_17_what_cannot_be_planned_is_refused_and_leaves_no_context,
    case_22_one_kind_and_name_in_two_namespaces_or_api_groups_are_two_resources,
    case_23_a_mandatory_cluster_is_deployed_also_when_any_of_names_it,
}

async fn case_17_what_cannot_be_planned_is_refused_and_leaves_no_context(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let apply = |app: &'static [(&'static str, &'static str)], spec: String| {
        let mut upload = Upload::default();
        let apps: Vec<App> = app
            .iter()
            .map(|(name, dep)| {
                let app = App::new(name, config_map(&format!("m-{name}")));
                if dep.is_empty() {
                    app
                } else {
                    app.after(&format!("{{app: {dep}, opStatus: deployed, wait: 0s}}"))
                }
            })
            .collect();
        upload.app("x", "v1", &apps);
        upload.dig("x", &spec);
        stack.apply(upload)
    };
    for (apps, word) in [
        (&[("a", "b"), ("b", "a")][..], "cycle"),
        (&[("a", "a")][..], "itself"),
        (&[("a", "nobody")][..], "nobody"),
    ] {
        let refused = apply(apps, on(&["c1"])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(
            refused.message().contains(word),
            "{word} in {}",
            refused.message()
        );
    }
    // Known only when the plan is made.
    for (spec, word) in [
        (on(&["nowhere"]), "nowhere"),
        (
            "  placement:\n  - {app: \"*\", allOf: [{label: zone=mars}]}".to_owned(),
            "zone=mars",
        ),
    ] {
        apply(&[("a", "")], spec).await.unwrap();
        let dig = stack.dig("x");
        dig.approve().await.unwrap();
        let refused = dig.instantiate().await.unwrap_err();
        assert!(
            [Code::FailedPrecondition, Code::InvalidArgument].contains(&refused.code()),
            "{refused:?}"
        );
        assert!(
            refused.message().contains(word),
            "{word} in {}",
            refused.message()
        );
        assert_eq!(dig.status().await.context(), None);
    }
    let second = "  placement:\n  - {app: a, allOf: [{cluster: sandbox+c1}]}";
    apply(&[("a", ""), ("b", "")], second.into()).await.unwrap();
    let dig = stack.dig("x");
    dig.approve().await.unwrap();
    let refused = dig.instantiate().await.unwrap_err();
    assert!(refused.message().contains('b'), "{}", refused.message());
    assert_eq!(dig.status().await.context(), None);
    stack.end().await;
}

async fn case_22_one_kind_and_name_in_two_namespaces_or_api_groups_are_two_resources(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let text = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: same, namespace: one}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: same, namespace: two}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: two}\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: deployments.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {plural: deployments, singular: deployment, kind: Deployment, listKind: DeploymentList}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n---\napiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: same}\nspec: {}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: same}\nspec:\n  selector: {matchLabels: {app: same}}\n  template:\n    metadata: {labels: {app: same}}\n    spec: {containers: [{name: c, image: i}]}\n";
    let before = all_of(&stack, &["c1"]).await;
    let dig = stack
        .approved("x", &[App::new("a", text)], &on(&["c1"]))
        .await;
    dig.instantiate().await.unwrap();
    let status = dig.until_instantiated().await;
    let same =
        |s: &tests::client::Snapshot| s.resources.iter().filter(|r| r.name == "same").count();
    assert_eq!(same(&status), 4, "{:?}", status.resources);
    assert!(
        status
            .resources
            .iter()
            .all(|r| r.deployed_status() == R::Applied)
    );
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(all_of(&stack, &["c1"]).await, before);
    stack.end().await;
}

async fn case_23_a_mandatory_cluster_is_deployed_also_when_any_of_names_it(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let spec = "  namespace: shop\n  placement:\n  - {app: \"*\", allOf: [{cluster: sandbox+c2}], anyOf: [{cluster: sandbox+c1}, {cluster: sandbox+c2}]}";
    let dig = stack
        .approved("x", &[App::new("a", config_map("m"))], spec)
        .await;
    dig.instantiate().await.unwrap();
    let status = dig.until_instantiated().await;
    let clusters: Vec<_> = status
        .resources
        .iter()
        .map(|r| r.cluster.as_str())
        .collect();
    assert_eq!(clusters, ["sandbox+c2"]);
    stack.end().await;
}
