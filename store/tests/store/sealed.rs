//! Secrets and kubeconfigs are nowhere readable in the database: not in its files, and in no column
//! of any table, compressed or not.

use crate::{
    bed::Bed,
    fixture::{cluster_doc, dig_ref, documents, fresh, meta, plan},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use model::{document::App, manifest::Object, plan::PlanManifest};
use sea_orm::QueryResult;

on_both!(planted_secrets_are_not_in_the_database);

/// Secrets, kubeconfigs, manifests: so many of each.
const EACH: usize = 40;

fn marker(place: &str, number: usize) -> String {
    format!("PLANTED-b7c1f2-{place}-{number:03}")
}

/// A Secret with a marker as text, in base64 and in an annotation.
fn secret(number: usize) -> serde_json::Value {
    let hidden = marker("secret", number);
    serde_json::json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": format!("s{number}"), "annotations": {"last": hidden}},
        "stringData": {"password": hidden}, "data": {"key": STANDARD.encode(&hidden)},
    })
}

async fn planted_secrets_are_not_in_the_database(bed: &Bed) {
    let store = &bed.store;
    let mut set = documents(&["d"]);
    let tokens: Vec<String> = (0..EACH).map(|i| marker("token", i)).collect();
    set.clusters[0] = (cluster_doc("c1").0, tokens.join("\n"));
    let objects = (0..EACH).map(|i| Object {
        group: String::new(),
        version: "v1".into(),
        kind: "Secret".into(),
        namespace: None,
        name: format!("s{i}"),
        json: secret(i),
    });
    set.apps[0].apps.push(App {
        name: "a".into(),
        depends_on: vec![],
        manifests: vec![],
        objects: objects.collect(),
    });
    store.apply_documents(set, false, &meta()).await.unwrap();
    let mut plan = plan(&["a/c1/s"]);
    plan.manifests.extend((0..EACH).map(|i| PlanManifest {
        digest: format!("secret-{i}"),
        secret: true,
        json: secret(i).to_string(),
    }));
    // What is no secret is readable, so that the search is known to see.
    plan.manifests.push(PlanManifest {
        digest: "plain".into(),
        secret: false,
        json: marker("plain", 0).repeat(50),
    });
    store
        .stage_plan(&dig_ref("d"), &fresh(), &plan)
        .await
        .unwrap();
    let read = store.manifests(&["secret-7".into()]).await.unwrap();
    assert_eq!(read, [("secret-7".to_owned(), secret(7).to_string())]);
    let config = store
        .kubeconfig(&crate::fixture::cluster("c1"))
        .await
        .unwrap();
    assert!(config.text.contains(&tokens[7]));

    let mut everything = columns(bed).await;
    if let Some(dir) = &bed.dir {
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().to_string_lossy().into_owned();
            everything.push((name, std::fs::read(file.path()).unwrap()));
        }
    }
    let size: usize = everything.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(size > 10_000, "{size} bytes are too few to be everything");
    let holds = |what: &str| -> Vec<&str> {
        let found = everything.iter().filter(|(_, bytes)| contains(bytes, what));
        found.map(|(place, _)| place.as_str()).collect()
    };
    assert!(holds(&marker("plain", 0)).contains(&"manifest.body"));
    for number in 0..EACH {
        for hidden in [marker("secret", number), marker("token", number)] {
            for form in [STANDARD.encode(&hidden), hidden] {
                assert_eq!(holds(&form), Vec::<&str>::new(), "{form} is readable");
            }
        }
    }
}

fn contains(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|w| w == what.as_bytes())
}

/// Every value of every table as `table.column`; what is compressed, opened.
async fn columns(bed: &Bed) -> Vec<(String, Vec<u8>)> {
    let tables = if bed.dir.is_some() {
        "SELECT name FROM sqlite_master WHERE type = 'table'"
    } else {
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'"
    };
    let mut all = vec![];
    for table in bed.sql(tables).await {
        let table: String = table.try_get("", "name").unwrap();
        for row in bed.sql(&format!("SELECT * FROM {table}")).await {
            for column in row.column_names() {
                let value = value(&row, &column);
                let opened = zstd::decode_all(value.as_slice()).unwrap_or_default();
                all.push((format!("{table}.{column}"), [value, opened].concat()));
            }
        }
    }
    all
}

/// Text or bytes; numbers hide nothing.
fn value(row: &QueryResult, column: &str) -> Vec<u8> {
    let bytes = row.try_get::<Option<Vec<u8>>>("", column).ok().flatten();
    let text = || row.try_get::<Option<String>>("", column).ok().flatten();
    bytes
        .or_else(|| text().map(String::into_bytes))
        .unwrap_or_default()
}
