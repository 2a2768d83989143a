//! Documents: up, down, and what is refused.

use crate::stack::*;
use proto::v1::{self, ApplyHeader, applied_document::Change};
use tonic::Code;

#[tokio::test]
async fn what_was_applied_can_be_read_listed_applied_again_and_deleted() {
    let stack = Stack::start().await;
    let names = ["default+c1", "default/shop/v1", "default/web"];
    let all = [DIG, cluster("c1"), app(&config_map("m"))];
    for change in [Change::Created, Change::Unchanged] {
        let mut applied = stack.apply(&all).await.unwrap();
        applied.sort();
        assert_eq!(applied, names.map(|name| (name.to_owned(), change)));
    }
    let mut documents = stack.documents.clone();
    let cluster = documents
        .get_cluster(v1::GetClusterRequest { id: "c1".into() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            cluster.id.as_str(),
            cluster.labels["zone"].as_str(),
            cluster.connectivity()
        ),
        ("default+c1", "z1", v1::Connectivity::Unknown)
    );
    assert!(!cluster.document_json.contains("s3cret"));
    let app = documents
        .get_composite_app(v1::GetCompositeAppRequest {
            name: "shop".into(),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((app.version.as_str(), app.object_count), ("v1", 1));
    let dig = documents
        .get_deployment_intent_group(v1::GetDeploymentIntentGroupRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            dig.state(),
            dig.allowed_verbs.as_slice(),
            dig.problem.as_str()
        ),
        (v1::DigState::Created, ["approve".to_owned()].as_slice(), "")
    );

    // What is shown can be applied where the files are not.
    let shown: Vec<_> = [
        ("c", &cluster.document_json),
        ("a", &app.document_json),
        ("d", &dig.document_json),
    ]
    .map(|(name, text)| File {
        name,
        text: text.clone().into(),
        entries: vec![],
    })
    .into();
    assert!(
        stack
            .apply(&shown)
            .await
            .unwrap()
            .iter()
            .all(|(_, change)| *change == Change::Unchanged)
    );

    assert_eq!(
        documents
            .list_clusters(v1::ListClustersRequest::default())
            .await
            .unwrap()
            .into_inner()
            .clusters,
        [cluster]
    );
    assert_eq!(
        documents
            .list_composite_apps(v1::ListCompositeAppsRequest {
                with_documents: true,
                ..Default::default()
            })
            .await
            .unwrap()
            .into_inner()
            .composite_apps,
        [app]
    );
    let listed = documents
        .list_deployment_intent_groups(v1::ListDeploymentIntentGroupsRequest {
            project: "-".into(),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.deployment_intent_groups, [dig]);

    documents
        .delete_deployment_intent_group(v1::DeleteDeploymentIntentGroupRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    documents
        .delete_composite_app(v1::DeleteCompositeAppRequest {
            name: "shop".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    documents
        .delete_cluster(v1::DeleteClusterRequest {
            id: "c1".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    for code in [
        documents
            .get_cluster(v1::GetClusterRequest { id: "c1".into() })
            .await
            .unwrap_err(),
        documents
            .get_composite_app(v1::GetCompositeAppRequest {
                name: "shop".into(),
                ..Default::default()
            })
            .await
            .unwrap_err(),
        documents
            .get_deployment_intent_group(v1::GetDeploymentIntentGroupRequest {
                name: "web".into(),
                ..Default::default()
            })
            .await
            .unwrap_err(),
    ] {
        assert_eq!(code.code(), Code::NotFound, "{code:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn validate_only_stores_nothing() {
    let stack = Stack::start().await;
    let header = ApplyHeader {
        validate_only: true,
        ..Default::default()
    };
    let answer = stack
        .upload(&[cluster("c1"), app(&config_map("m")), DIG], header)
        .await
        .unwrap();
    assert!(
        answer
            .documents
            .iter()
            .all(|document| document.change() == Change::Created)
    );
    let mut documents = stack.documents.clone();
    assert!(
        documents
            .list_clusters(v1::ListClustersRequest::default())
            .await
            .unwrap()
            .into_inner()
            .clusters
            .is_empty()
    );
    assert!(
        documents
            .list_deployment_intent_groups(v1::ListDeploymentIntentGroupsRequest::default())
            .await
            .unwrap()
            .into_inner()
            .deployment_intent_groups
            .is_empty()
    );
    stack.stop().await;
}

#[tokio::test]
async fn thirty_megabytes_of_manifests_are_taken_and_too_much_is_refused() {
    let stack = Stack::start_with(|_, config| config.max_upload = 40 << 20).await;
    let data = "x".repeat(500_000);
    let large: Vec<_> = (0..60)
        .map(|n| {
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{n}}}\ndata: {{k: {data}}}\n"
            )
        })
        .collect();
    let applied = stack.apply(&[app(&large.join("---\n"))]).await.unwrap();
    assert_eq!(applied, [("default/shop/v1".to_owned(), Change::Created)]);
    let shown = stack
        .documents
        .clone()
        .list_composite_apps(v1::ListCompositeAppsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.composite_apps[0].object_count, 60);
    let status = stack
        .apply(&[app(&"#".repeat(41 << 20))])
        .await
        .unwrap_err();
    assert!(status.message().contains("--max-upload-mib"), "{status:?}");
    stack.stop().await;
}

#[tokio::test]
async fn create_wants_nothing_there_and_update_something() {
    let stack = Stack::start().await;
    let mut documents = stack.documents.clone();
    let document = |labels: &str| {
        Some(v1::DocumentText {
            data: format!("apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {{name: c1, labels: {{{labels}}}}}\nspec: {{kubeconfig: k}}").into(),
            files: vec![v1::DocumentFile { field: "spec.kubeconfig".into(), file: "k".into(), data: KUBECONFIG.into() }],
        })
    };
    let update = |labels: &str| v1::UpdateClusterRequest {
        document: document(labels),
        ..Default::default()
    };
    let create = |labels: &str| v1::CreateClusterRequest {
        document: document(labels),
        ..Default::default()
    };
    assert_eq!(
        documents
            .update_cluster(update("a: b"))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    assert_eq!(
        documents
            .create_cluster(create("a: b"))
            .await
            .unwrap()
            .into_inner()
            .labels["a"],
        "b"
    );
    assert_eq!(
        documents
            .create_cluster(create("a: c"))
            .await
            .unwrap_err()
            .code(),
        Code::AlreadyExists
    );
    assert_eq!(
        documents
            .update_cluster(update("a: c"))
            .await
            .unwrap()
            .into_inner()
            .labels["a"],
        "c"
    );
    let mut once = create("a: b");
    once.request_id = "r1".to_owned();
    let text = once.document.as_mut().unwrap();
    text.data = String::from_utf8(text.data.to_vec())
        .unwrap()
        .replace("c1", "c2")
        .into();
    for _ in 0..2 {
        assert_eq!(
            documents
                .create_cluster(once.clone())
                .await
                .unwrap()
                .into_inner()
                .name,
            "c2"
        );
    }
    let wrong = v1::CreateCompositeAppRequest {
        document: document("a: b"),
        ..Default::default()
    };
    assert!(
        documents
            .create_composite_app(wrong)
            .await
            .unwrap_err()
            .message()
            .contains("send a CompositeApp")
    );
    stack.stop().await;
}
