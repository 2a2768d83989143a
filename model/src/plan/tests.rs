//! Plans, outlines and lanes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::{
    document::{App, AppRef, CompositeApp, Dig, Policy},
    ids::DigRef,
    manifest,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn cluster(name: &str) -> ClusterId {
    name.parse().unwrap()
}

fn dig(namespace: &str) -> Dig {
    Dig {
        id: DigRef {
            project: "p".to_owned(),
            name: "d".to_owned(),
        },
        app: AppRef {
            project: "p".to_owned(),
            name: "a".to_owned(),
            version: "v1".to_owned(),
        },
        namespace: namespace.to_owned(),
        placement: Vec::new(),
        policy: Policy::default(),
    }
}

/// `group/version Kind name [namespace]`, one object a line.
fn app(name: &str, objects: &str) -> App {
    let objects = objects
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut json = serde_json::json!({
                "apiVersion": words[0], "kind": words[1], "metadata": {"name": words[2]},
            });
            if let Some(namespace) = words.get(3) {
                json["metadata"]["namespace"] = (*namespace).into();
            }
            manifest::parse_object("test.yaml", 1, json).unwrap()
        })
        .collect();
    App {
        name: name.to_owned(),
        depends_on: Vec::new(),
        manifests: Vec::new(),
        objects,
    }
}

fn composite(apps: Vec<App>) -> CompositeApp {
    CompositeApp {
        id: dig("x").app,
        apps,
    }
}

fn placed(list: &[(&str, &[&str])]) -> BTreeMap<String, Vec<ClusterId>> {
    list.iter()
        .map(|(app, clusters)| {
            (
                (*app).to_owned(),
                clusters.iter().map(|c| cluster(c)).collect(),
            )
        })
        .collect()
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.rows
        .iter()
        .map(|row| {
            let implicit = if row.implicit { " implicit" } else { "" };
            let key = &row.key;
            format!(
                "{} {} {} w{} {} {}/{}{implicit}",
                row.id, row.app, key.cluster.name, row.wave, key.kind, key.namespace, key.name
            )
        })
        .collect()
}

const CRD: &str = "apiextensions.k8s.io/v1 CustomResourceDefinition foos.x.io";

#[test]
fn rows_are_numbered_shared_first_then_app_cluster_wave_document() {
    let web = app(
        "web",
        &format!(
            "apps/v1 Deployment web\nv1 Service web\nx.io/v1 Foo f\n{CRD}\nv1 ConfigMap b other\nv1 ConfigMap a"
        ),
    );
    let db = app("db", "v1 Namespace other");
    let placed = placed(&[("web", &["c2", "c1"]), ("db", &["c1"])]);
    let plan = render(&dig("shop"), &composite(vec![web, db]), &placed).unwrap();
    assert_eq!(
        lines(&plan),
        [
            "0  c1 w0 Namespace /shop implicit",
            "1 db c1 w0 Namespace /other",
            "2 web c1 w1 CustomResourceDefinition /foos.x.io",
            "3  c2 w0 Namespace /shop implicit",
            "4 web c2 w1 CustomResourceDefinition /foos.x.io",
            "5 web c1 w2 ConfigMap other/b",
            "6 web c1 w2 ConfigMap shop/a",
            "7 web c1 w3 Service shop/web",
            "8 web c1 w4 Deployment shop/web",
            "9 web c1 w4 Foo shop/f",
            "10 web c2 w2 ConfigMap other/b",
            "11 web c2 w2 ConfigMap shop/a",
            "12 web c2 w3 Service shop/web",
            "13 web c2 w4 Deployment shop/web",
            "14 web c2 w4 Foo shop/f",
        ]
    );
    // Stored once each, over clusters.
    assert_eq!(plan.manifests.len(), 8);
    for manifest in &plan.manifests {
        assert_eq!(manifest::digest(&manifest.json), manifest.digest);
        assert!(
            !manifest.json.contains("muster.dev/"),
            "labels are added when sending"
        );
    }
}

#[test]
fn a_namespace_is_made_only_where_it_is_used_and_not_brought_along() {
    let count = |namespace: &str, objects: &str| {
        let plan = render(
            &dig(namespace),
            &composite(vec![app("a", objects)]),
            &placed(&[("a", &["c1"])]),
        );
        plan.unwrap().rows.iter().filter(|row| row.implicit).count()
    };
    assert_eq!(count("shop", "v1 ConfigMap a"), 1);
    assert_eq!(count("shop", "v1 ConfigMap a shop"), 1);
    assert_eq!(count("shop", "v1 ConfigMap a other"), 0);
    assert_eq!(count("shop", "v1 ConfigMap a\nv1 Namespace shop"), 0);
    assert_eq!(
        count("shop", "rbac.authorization.k8s.io/v1 ClusterRole r"),
        0
    );
    for given in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        assert_eq!(count(given, "v1 ConfigMap a"), 0);
    }
}

#[test]
fn cluster_scoped_objects_lose_a_namespace_and_crds_of_the_plan_say_their_scope() {
    let mut crd = app("a", CRD);
    crd.objects[0].json["spec"] = serde_json::json!({
        "group": "x.io", "scope": "Cluster", "names": {"kind": "Foo"},
    });
    let mut objects = app(
        "a",
        "x.io/v1 Foo f shop\nrbac.authorization.k8s.io/v1 ClusterRole r shop\ny.io/v1 Bar b",
    );
    objects.objects.push(crd.objects.remove(0));
    let plan = render(
        &dig("shop"),
        &composite(vec![objects]),
        &placed(&[("a", &["c1"])]),
    )
    .unwrap();
    let keys: BTreeSet<String> = plan
        .rows
        .iter()
        .map(|row| format!("{} {}", row.key.kind, row.key.namespace))
        .collect();
    assert!(
        keys.contains("Foo ") && keys.contains("ClusterRole ") && keys.contains("Bar shop"),
        "{keys:?}"
    );
    assert!(
        plan.manifests
            .iter()
            .all(|m| !m.json.contains("ClusterRole") || !m.json.contains("shop"))
    );
}

#[test]
fn equal_objects_on_one_cluster_are_refused_naming_both_apps() {
    let two = || {
        composite(vec![
            app("x", "v1 ConfigMap a"),
            app("y", "v1 Secret s\nv1 ConfigMap a shop"),
        ])
    };
    let error = render(
        &dig("shop"),
        &two(),
        &placed(&[("x", &["c1"]), ("y", &["c2", "c1"])]),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "ConfigMap shop/a on default+c1 is named by app x and again by app y; keep one of them"
    );
    render(
        &dig("shop"),
        &two(),
        &placed(&[("x", &["c1"]), ("y", &["c2"])]),
    )
    .unwrap();
    // The namespace and the group are part of the key (spec §8.22).
    let one = composite(vec![app(
        "x",
        "v1 ConfigMap a\nv1 ConfigMap a other\nv1 Event e\nevents.k8s.io/v1 Event e",
    )]);
    assert_eq!(
        render(&dig("shop"), &one, &placed(&[("x", &["c1"])]))
            .unwrap()
            .rows
            .len(),
        5
    );
}

#[test]
fn apps_without_objects_or_clusters_are_refused() {
    let empty = render(
        &dig("x"),
        &composite(vec![app("x", "")]),
        &placed(&[("x", &["c1"])]),
    );
    assert_eq!(empty, Err(RenderError::NoObjects("x".to_owned())));
    let nowhere = render(
        &dig("x"),
        &composite(vec![app("x", "v1 Secret s")]),
        &placed(&[]),
    );
    assert_eq!(nowhere, Err(RenderError::NotPlaced("x".to_owned())));
}

#[test]
fn secrets_and_kept_objects_are_marked() {
    let mut secret = app("x", "v1 Secret s\nv1 ConfigMap c");
    secret.objects[1].json["metadata"]["annotations"] =
        serde_json::json!({"helm.sh/resource-policy": "keep"});
    secret.objects[1].json["metadata"]["resourceVersion"] = "7".into();
    let plan = render(
        &dig("default"),
        &composite(vec![secret]),
        &placed(&[("x", &["c1"])]),
    )
    .unwrap();
    assert_eq!(
        plan.rows.iter().map(|row| row.keep).collect::<Vec<_>>(),
        [false, true]
    );
    for manifest in &plan.manifests {
        assert_eq!(manifest.secret, manifest.json.contains("\"Secret\""));
        assert!(!manifest.json.contains("resourceVersion"));
    }
}

#[test]
fn an_object_twice_in_an_app_is_found_before_clusters_are_chosen() {
    let app = composite(vec![app("x", "v1 ConfigMap a\nv1 ConfigMap a shop")]);
    let error = check(&dig("shop"), &app).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ConfigMap shop/a stands twice in app x; keep one of them"
    );
    check(&dig("other"), &app).unwrap();
}

proptest! {
    #[test]
    fn every_object_of_an_app_stands_once_on_each_of_its_clusters_in_contiguous_ranges(
        kinds in prop::collection::vec(prop::collection::vec(0..7_usize, 1..6), 1..4),
        places in prop::collection::vec(prop::collection::btree_set(0..4_usize, 1..4), 4),
    ) {
        const KINDS: [&str; 7] = [
            "v1 Namespace", "apiextensions.k8s.io/v1 CustomResourceDefinition", "v1 ConfigMap",
            "v1 Service", "apps/v1 Deployment", "x.io/v1 Foo", "apiregistration.k8s.io/v1 APIService",
        ];
        let (mut apps, mut placed) = (Vec::new(), BTreeMap::new());
        for (i, kinds) in kinds.iter().enumerate() {
            let objects: Vec<String> =
                kinds.iter().enumerate().map(|(n, kind)| format!("{} a{i}-{n}", KINDS[*kind])).collect();
            apps.push(app(&format!("a{i}"), &objects.join("\n")));
            let on: Vec<ClusterId> = places[i].iter().map(|c| cluster(&format!("c{c}"))).collect();
            placed.insert(format!("a{i}"), on);
        }
        let app = composite(apps);
        let plan = render(&dig("shop"), &app, &placed).unwrap();
        let ids: Vec<RowId> = plan.rows.iter().map(|row| row.id).collect();
        prop_assert_eq!(ids, (0..plan.rows.len() as RowId).collect::<Vec<_>>());
        let keys: BTreeSet<_> = plan.rows.iter().map(|row| &row.key).collect();
        prop_assert_eq!(keys.len(), plan.rows.len());
        let counted = plan.rows.iter().filter(|row| !row.implicit).count();
        let wanted: usize = app.apps.iter().map(|app| app.objects.len() * placed[&app.name].len()).sum();
        prop_assert_eq!(counted, wanted);
        let own: Vec<_> = plan
            .rows
            .iter()
            .skip_while(|row| row.class == Class::Shared)
            .map(|row| (&row.app, &row.key.cluster, row.wave))
            .collect();
        let mut sorted = own.clone();
        sorted.sort();
        prop_assert_eq!(&own, &sorted);
        let digests: BTreeSet<_> = plan.manifests.iter().map(|m| &m.digest).collect();
        prop_assert!(plan.rows.iter().all(|row| digests.contains(&row.digest)));
        prop_assert_eq!(&plan, &render(&dig("shop"), &app, &placed).unwrap());
    }
}

#[path = "driving_tests.rs"]
mod driving;
