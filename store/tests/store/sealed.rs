//! Secrets and kubeconfigs are nowhere readable in the database.

use crate::{
    bed::Bed,
    fixture::{cluster_doc, dig_ref, documents, fresh, meta, plan},
};
use model::{document::App, manifest::Object, plan::PlanManifest};

on_both!(planted_secrets_are_not_in_the_database);

const MARKER: &str = "PLANTED-b7c1f2-MARKER";

async fn planted_secrets_are_not_in_the_database(bed: &Bed) {
    let store = &bed.store;
    let mut set = documents(&["d"]);
    set.clusters[0] = (cluster_doc("c1").0, format!("token: {MARKER}"));
    set.apps[0].apps.push(App {
        name: "a".into(),
        depends_on: vec![],
        manifests: vec![],
        objects: vec![Object {
            group: String::new(),
            version: "v1".into(),
            kind: "Secret".into(),
            namespace: None,
            name: "s".into(),
            json: serde_json::json!({"stringData": {"password": MARKER}}),
        }],
    });
    store.apply_documents(set, false, &meta()).await.unwrap();
    let mut plan = plan(&["a/c1/s"]);
    plan.manifests.push(PlanManifest {
        digest: "secret".into(),
        secret: true,
        json: MARKER.into(),
    });
    store
        .stage_plan(&dig_ref("d"), &fresh(), &plan)
        .await
        .unwrap();
    let read = store
        .manifests(&["secret".into(), "digest-s".into()])
        .await
        .unwrap();
    assert_eq!(read.len(), 2);
    assert!(read.contains(&("secret".into(), MARKER.into())));
    let config = store
        .kubeconfig(&crate::fixture::cluster("c1"))
        .await
        .unwrap();
    assert!(config.text.contains(MARKER));
    match &bed.dir {
        Some(dir) => {
            let mut read = 0;
            for file in std::fs::read_dir(dir.path()).unwrap() {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                read += bytes.len();
                let found = String::from_utf8_lossy(&bytes).contains(MARKER);
                assert!(!found, "the marker is readable");
            }
            assert!(read > 10_000);
        }
        None => {
            let hex: String = MARKER.bytes().map(|b| format!("{b:02x}")).collect();
            for table in [
                "cluster",
                "composite_app",
                "manifest",
                "dig",
                "resource",
                "request",
            ] {
                let found = bed
                    .sql(&format!(
                        "SELECT 1 AS n FROM {table} t \
                         WHERE t::text LIKE '%{MARKER}%' OR t::text LIKE '%{hex}%'"
                    ))
                    .await;
                assert!(found.is_empty(), "readable in {table}");
            }
        }
    }
}
