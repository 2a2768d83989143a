//! What is refused, and how it is said.

use crate::stack::*;
use proto::v1;
use tonic::Code;
use tonic_types::StatusExt;

fn with_text(file: File<'static>, from: &str, to: &str) -> File<'static> {
    File {
        text: file.text.replace(from, to).into(),
        ..file
    }
}

#[tokio::test]
async fn every_bad_input_is_refused_by_file_document_and_field_and_nothing_is_stored() {
    let stack = Stack::start().await;
    let manifest = |text: &str| vec![cluster("c1"), app(text), DIG];
    let twice = format!("{0}---\n{0}", config_map("m"));
    let cases: Vec<(Vec<File<'_>>, &str, &str)> = vec![
        (
            vec![with_text(cluster("c1"), "kind: Cluster", "kind: Cloud")],
            "c1.yaml#1:kind",
            "Cluster, CompositeApp or DeploymentIntentGroup",
        ),
        (
            vec![with_text(cluster("c1"), "name: c1", "nom: c1")],
            "c1.yaml#1:metadata.name",
            "missing",
        ),
        (
            vec![with_text(cluster("c1"), "name: c1", "name: C1")],
            "c1.yaml#1:metadata.name",
            "lower-case",
        ),
        (
            vec![File {
                entries: vec![],
                ..cluster("c1")
            }],
            "c1.yaml#1:spec.kubeconfig",
            "not sent",
        ),
        (
            vec![File {
                entries: vec![("spec.kubeconfig", "k", b"a: b".to_vec())],
                ..cluster("c1")
            }],
            "c1.yaml#1:spec.kubeconfig",
            "no clusters",
        ),
        (
            vec![File {
                entries: vec![("spec.kubeconfig", "k", vec![0xff])],
                ..cluster("c1")
            }],
            "c1.yaml#1:spec.kubeconfig",
            "UTF-8",
        ),
        (
            vec![File {
                name: "x",
                text: "a: [".into(),
                entries: vec![],
            }],
            "x#1",
            "YAML",
        ),
        (
            vec![
                cluster("c1"),
                File {
                    name: "other",
                    ..cluster("c1")
                },
            ],
            "other#1:metadata.name",
            "already in c1.yaml",
        ),
        (vec![cluster("c1"), cluster("c1")], "c1.yaml", "sent twice"),
        (
            manifest(""),
            "app.yaml#1:spec.apps[0].manifests[0]",
            "no objects",
        ),
        (
            manifest("{kind: ConfigMap, metadata: {name: m}}"),
            "./backend/m.yaml#1:apiVersion",
            "missing",
        ),
        (
            manifest("{apiVersion: v1, metadata: {name: m}}"),
            "./backend/m.yaml#1:kind",
            "missing",
        ),
        (
            manifest("{apiVersion: v1, kind: Pod, metadata: {generateName: m}}"),
            "./backend/m.yaml#1:metadata.generateName",
            "metadata.name",
        ),
        (
            manifest(&config_map("'a/b'")),
            "./backend/m.yaml#1:metadata.name",
            "rename",
        ),
        (
            manifest(&twice),
            "./backend/m.yaml#2:metadata.name",
            "stands already",
        ),
        (
            manifest(
                "{apiVersion: v1, kind: Pod, metadata: {name: m, annotations: {helm.sh/hook: x}}}",
            ),
            "./backend/m.yaml#1:metadata.annotations.helm.sh/hook",
            "helm template",
        ),
        (vec![DIG], "dig.yaml#1:spec.compositeApp", "apply it too"),
        (
            vec![app(&config_map("m")), with_text(DIG, "\"*\"", "nobody")],
            "dig.yaml#1:spec.placement[0].app",
            "backend",
        ),
        (
            vec![
                app(&config_map("m")),
                with_text(
                    DIG,
                    "  placement",
                    "  policy: {onFailure: Abort}\n  placement",
                ),
            ],
            "dig.yaml#1:spec.policy.onFailure",
            "Continue or FailFast",
        ),
        (
            vec![with_text(
                app(&config_map("m")),
                "name: backend",
                "name: backend\n    dependsOn: [{app: backend}]",
            )],
            "app.yaml#1:spec.apps[0].dependsOn[0].app",
            "itself",
        ),
        (
            vec![with_text(
                app(&config_map("m")),
                "name: backend",
                "name: backend\n    colour: red",
            )],
            "app.yaml#1:spec.apps[0].colour",
            "not known",
        ),
        (
            manifest(&format!(
                "{}---\n{}",
                config_map("m"),
                "{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: default}}"
            )),
            "dig.yaml#1:spec.compositeApp",
            "stands twice",
        ),
    ];
    for (files, field, says) in cases {
        let status = stack.apply(&files).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let found = violations.iter().find(|violation| violation.field == field);
        assert!(
            found.is_some_and(|violation| violation.description.contains(says)),
            "{field} {says}: {violations:#?}"
        );
        assert!(!format!("{status:?}").contains("s3cret"));
    }
    assert!(
        stack
            .documents
            .clone()
            .list_clusters(v1::ListClustersRequest::default())
            .await
            .unwrap()
            .into_inner()
            .clusters
            .is_empty()
    );
    stack.stop().await;
}

#[tokio::test]
async fn all_that_is_wrong_is_reported_at_once() {
    let stack = Stack::start().await;
    let status = stack
        .apply(&[
            with_text(cluster("c1"), "c1,", "C1,"),
            app(""),
            with_text(DIG, "kind: Dep", "kind: Rep"),
        ])
        .await
        .unwrap_err();
    assert_eq!(
        status
            .get_details_bad_request()
            .unwrap()
            .field_violations
            .len(),
        3,
        "{status:?}"
    );
    stack.stop().await;
}
