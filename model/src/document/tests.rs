//! Documents as users write them, and what they are told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::manifest::canonical;

/// The documents of contract "Documents".
const ALL: &str = "
apiVersion: muster.dev/v1
kind: Cluster
metadata: {name: edge-1, provider: acme, labels: {region: us}}
spec: {kubeconfig: ./edge-1.yaml, context: optional}
---
# nothing here
---
apiVersion: muster.dev/v1
kind: CompositeApp
metadata: {project: shop, name: boutique, version: v1}
spec:
  apps:
  - name: backend
    manifests: [./backend/]
  - name: frontend
    manifests: [./frontend.yaml]
    dependsOn: [{app: backend, opStatus: deployed, wait: 5s}]
---
apiVersion: muster.dev/v1
kind: DeploymentIntentGroup
metadata: {project: shop, name: boutique-prod}
spec:
  compositeApp: {name: boutique, version: v1}
  namespace: shop
  placement:
  - app: \"*\"
    allOf: [{cluster: acme+edge-1}, {label: region=us}]
    anyOf: [{label: tier=edge}]
  policy:
    onFailure: FailFast
    waitFor: ready
    existing: Adopt
    forceConflicts: true
    retry: {initialInterval: 500ms, backoff: 1.5, maxInterval: 1m30s, maxElapsed: null}
    deleteTimeout: 10m
    readyTimeout: 90s
";

fn documents(text: &str) -> Result<Vec<Document>, DocumentError> {
    parse_documents("d.yaml", text)?
        .iter()
        .map(|raw| convert(raw, "home"))
        .collect()
}

#[test]
fn the_documents_of_the_contract_are_read() {
    let raw = parse_documents("d.yaml", ALL).unwrap();
    assert_eq!(
        raw.iter().map(|raw| raw.document).collect::<Vec<_>>(),
        [1, 3, 4]
    );
    let all = documents(ALL).unwrap();
    let [
        Document::Cluster(cluster),
        Document::CompositeApp(app),
        Document::Dig(dig),
    ] = all.as_slice()
    else {
        panic!("{all:?}")
    };
    assert_eq!(cluster.id.to_string(), "acme+edge-1");
    assert_eq!(cluster.kubeconfig, "./edge-1.yaml");
    assert_eq!(app.apps[1].depends_on[0].wait_ms, 5_000);
    assert_eq!(app.apps[0].manifests, ["./backend/"]);
    assert_eq!(dig.id.to_string(), "shop/boutique-prod");
    assert_eq!(dig.app.project, "shop");
    assert_eq!(dig.policy.retry.max_interval_ms, 90_000);
    assert_eq!(dig.policy.on_failure, OnFailure::FailFast);
    assert_eq!(dig.policy.existing, Existing::Adopt);
    assert_eq!(dig.policy.wait_for, WaitFor::Ready);
    assert_eq!(dig.policy.ready_timeout_ms, 90_000);
    assert_eq!(dig.placement[0].all_of.len(), 2);
}

#[test]
fn what_is_shown_can_be_applied_again() {
    let short = "{apiVersion: muster.dev/v1, kind: DeploymentIntentGroup, metadata: {name: y}, spec: {compositeApp: {name: a, version: v1}}}";
    let list = format!("apiVersion: v1\nkind: List\nitems: [{short}]");
    for text in [ALL, short, &list] {
        for document in documents(text).unwrap() {
            let shown = match &document {
                Document::Cluster(cluster) => show_cluster(cluster),
                Document::CompositeApp(app) => show_composite_app(app),
                Document::Dig(dig) => show_dig(dig),
            };
            let again = documents(&canonical(&shown)).unwrap();
            assert_eq!(again, [document]);
        }
    }
}

#[test]
fn defaults_stand_where_nothing_is_said() {
    let text = "apiVersion: muster.dev/v1\nkind: DeploymentIntentGroup\nmetadata: {name: d}\nspec: {compositeApp: {name: a, version: v1}}\n---\n\
                apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c}\nspec: {kubeconfig: k}\n";
    let all = documents(text).unwrap();
    let [Document::Dig(dig), Document::Cluster(cluster)] = all.as_slice() else {
        panic!()
    };
    assert_eq!(
        (dig.id.project.as_str(), dig.namespace.as_str()),
        ("home", "default")
    );
    assert_eq!(dig.policy, Policy::default());
    assert_eq!(cluster.id.to_string(), "default+c");
}

/// A CompositeApp with these apps.
fn apps(apps: &str) -> String {
    format!(
        "apiVersion: muster.dev/v1\nkind: CompositeApp\nmetadata: {{name: a, version: v1}}\nspec: {{apps: {apps}}}"
    )
}

/// A DIG with this in its spec.
fn dig(spec: &str) -> String {
    format!(
        "apiVersion: muster.dev/v1\nkind: DeploymentIntentGroup\nmetadata: {{name: d}}\nspec: {{compositeApp: {{name: a, version: v1}}, {spec}}}"
    )
}

#[test]
fn mistakes_are_named_with_file_document_field_cause_and_next_step() {
    let x = "{name: x, manifests: [m]";
    let cases: Vec<(String, &str)> = vec![
        ("kind: Cluster".into(), "apiVersion: is missing; add apiVersion"),
        ("apiVersion: v1\nkind: Pod".into(), "apiVersion: \"v1\" is not known; write apiVersion: muster.dev/v1; Kubernetes objects belong into the manifests of a CompositeApp"),
        ("apiVersion: muster.dev/v1\nkind: Clster".into(), "kind: \"Clster\" is not known; write Cluster, CompositeApp or DeploymentIntentGroup"),
        ("apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c}\nspec: {kubeconfg: x}".into(), "spec.kubeconfig: is missing; write it in place of \"kubeconfg\""),
        ("apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c, labls: {}}\nspec: {kubeconfig: x}".into(), "metadata.labls: is not known; write labels, or remove it; known here: name, provider, labels"),
        ("apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c, labels: {a: 5}}\nspec: {kubeconfig: x}".into(), "metadata.labels.a: must be text, found a number; put it in quotes"),
        ("apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c, labels: {a: 'b c'}}\nspec: {kubeconfig: x}".into(), "metadata.labels.a: has no valid label value; write it as Kubernetes takes labels"),
        ("apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: C_1}\nspec: {kubeconfig: x}".into(), "metadata.name: \"C_1\" is no valid name; use lower-case letters, digits, '-' and '.', at most 63"),
        ("apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: c".into(), "metadata: must be a mapping, found text; correct the indentation"),
        ("apiVersion: muster.dev/v1\nkind: Cluster\nkind: Cluster".into(), "line 3: the field \"kind\" stands twice; correct the YAML"),
        (apps("[]"), "spec.apps: a composite app needs at least one app; add an app"),
        (apps("[{name: x}]"), "spec.apps[0].manifests: is missing; name at least one file or folder"),
        (apps(&format!("[{x}}}, {x}}}]")), "spec.apps[1].name: app x stands twice; rename one of them"),
        (apps(&format!("[{x}, dependson: []}}]")), "spec.apps[0].dependson: is not known; write dependsOn, or remove it; known here: name, manifests, dependsOn"),
        (apps(&format!("[{x}, dependsOn: [{{app: x}}]}}]")), "spec.apps[0].dependsOn[0].app: app x depends on itself; remove it"),
        (apps(&format!("[{x}, dependsOn: [{{app: z}}]}}]")), "spec.apps[0].dependsOn[0].app: there is no app \"z\"; name an app of this composite app"),
        (apps(&format!("[{x}, dependsOn: [{{app: z, opStatus: Done}}]}}]")), "spec.apps[0].dependsOn[0].opStatus: \"Done\" is not known; write Deployed or Ready"),
        (apps(&format!("[{x}, dependsOn: [{{app: z, wait: 5}}]}}]")), "spec.apps[0].dependsOn[0].wait: must be a duration, found a number; write it with a unit, as in 500ms, 5s, 10m"),
        (apps(&format!("[{x}, dependsOn: [{{app: y}}]}}, {{name: y, manifests: [m], dependsOn: [{{app: x}}]}}]")), "spec.apps: apps depend on each other in a cycle: x → y → x; remove one of the dependencies"),
        (dig("policy: {onFailure: Abort}"), "spec.policy.onFailure: \"Abort\" is not known; write Continue or FailFast"),
        (dig("policy: {waitFor: Healthy}"), "spec.policy.waitFor: \"Healthy\" is not known; write Applied or Ready"),
        (dig("policy: {readyTimeout: 0s}"), "spec.policy.readyTimeout: must not be 0; write it as in 10m"),
        (dig("policy: {existing: Maybe}"), "spec.policy.existing: \"Maybe\" is not known; write Refuse or Adopt"),
        (dig("policy: {forceConflicts: 'yes'}"), "spec.policy.forceConflicts: must be true or false, found text; write true or false"),
        (dig("policy: {retry: {maxElapsed: soon}}"), "spec.policy.retry.maxElapsed: \"soon\" is no duration; write it as in 500ms, 5s, 10m, 1h30m"),
        (dig("policy: {retry: {backoff: 0.5}}"), "spec.policy.retry.backoff: must be from 1 to 100; write it as in 2"),
        (dig("policy: {retry: {initialInterval: 0s}}"), "spec.policy.retry.initialInterval: must not be 0; write it as in 1s"),
        (dig("policy: {retry: {initialInterval: 5s, maxInterval: 1s}}"), "spec.policy.retry.maxInterval: must not be less than initialInterval; make it longer"),
        (dig("policy: {timeout: 5s}"), "spec.policy.timeout: is not known; remove it; known here: onFailure, waitFor, existing, forceConflicts, retry, deleteTimeout, readyTimeout"),
        (dig("namespace: A"), "spec.namespace: \"A\" is no valid namespace; use lower-case letters, digits and '-', at most 63"),
        (dig("placement: [{app: x, allOf: [{label: us}]}]"), "spec.placement[0].allOf[0].label: \"us\" is no label; write it as key=value"),
        (dig("placement: [{app: x, allOf: [{cluster: +}]}]"), "spec.placement[0].allOf[0].cluster: \"+\" names no cluster; write it as provider+name"),
        (dig("placement: [{app: x, allOf: [{}]}]"), "spec.placement[0].allOf[0]: needs either cluster or label; write one of them in each entry"),
        (dig("placement: [{app: x}, {app: x}]"), "spec.placement[1].app: \"x\" is placed twice; put both into one entry"),
        (dig("overrides: []"), "spec.overrides: is not known; remove it; known here: compositeApp, namespace, placement, policy"),
    ];
    for (text, want) in cases {
        let error = documents(&text).unwrap_err().to_string();
        let want = match want.starts_with("line") {
            true => format!("d.yaml, document 1: {want}"),
            false => format!("d.yaml, document 1, {want}"),
        };
        assert_eq!(error, want, "{text}");
    }
}

#[test]
fn a_placement_of_an_unknown_app_is_refused() {
    let all = documents(&format!(
        "{}\n---\n{}",
        apps("[{name: x, manifests: [m]}]"),
        dig("placement: [{app: '*'}, {app: z}]")
    ))
    .unwrap();
    let [Document::CompositeApp(app), Document::Dig(dig)] = all.as_slice() else {
        panic!()
    };
    let error = check_placement("d.yaml", 2, dig, app).unwrap_err();
    assert_eq!(
        error.to_string(),
        "d.yaml, document 2, spec.placement[1].app: a v1 has no app \"z\"; name \"*\" or one of x"
    );
}

#[test]
fn durations_read_back() {
    for (text, ms) in [
        ("1s", 1_000),
        ("500ms", 500),
        ("10m", 600_000),
        ("1h30m", 5_400_000),
        ("0s", 0),
        ("1.5s", 1_500),
        ("0", 0),
    ] {
        assert_eq!(parse_duration(text), Some(ms), "{text}");
        assert_eq!(parse_duration(&duration_text(ms)), Some(ms));
    }
    for text in [
        "",
        "s",
        "5",
        "-1s",
        "5 s",
        "1d",
        "1s2",
        "99999999h",
        "1..2s",
    ] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

fn entry(path: &str, files: &[(&str, &str)]) -> ManifestEntry {
    let files = files.iter().map(|(name, text)| ManifestFile {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    });
    ManifestEntry {
        path: path.to_owned(),
        files: files.collect(),
    }
}

#[test]
fn manifests_fill_their_app_or_are_refused() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let mut app = App {
        name: "x".to_owned(),
        depends_on: Vec::new(),
        manifests: vec!["./m/".to_owned()],
        objects: Vec::new(),
    };
    fill(
        &mut app,
        &[entry(
            "./m/",
            &[("m/a.yaml", config), ("m/empty.yaml", "# none\n")],
        )],
    )
    .unwrap();
    assert_eq!(app.objects.len(), 1);
    for (entries, want) in [
        (
            vec![entry("./m/", &[])],
            "./m/: app x: no objects; name a file or folder with Kubernetes objects",
        ),
        (
            vec![entry("./m/", &[("m/e.yaml", "# none\n")])],
            "./m/: app x: no objects; name a file or folder with Kubernetes objects",
        ),
        (
            vec![entry("./m/", &[("m/a.yaml", config), ("m/b.yaml", config)])],
            "m/b.yaml, document 1, metadata.name: app x: ConfigMap a stands already in m/a.yaml, document 1; remove one of them",
        ),
        (
            vec![entry("./m/", &[("m/kustomization.yaml", "resources: []")])],
            "./m/: app x: a kustomization is not rendered here; render it: kubectl kustomize FOLDER > FILE, and name the file",
        ),
        (
            vec![entry("./m/", &[("m/Chart.yaml", "name: x")])],
            "./m/: app x: a helm chart is not rendered here; render it: helm template --no-hooks NAME FOLDER > FILE, and name the file",
        ),
    ] {
        assert_eq!(fill(&mut app, &entries).unwrap_err().to_string(), want);
    }
}
