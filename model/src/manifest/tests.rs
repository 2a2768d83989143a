//! What is read, what is refused, what is sent.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::ids::ContextId;
use proptest::prelude::*;
use serde_json::{Value, json};

fn value(yaml: &str) -> Value {
    parse_yaml(yaml, Dialect::Kubectl).unwrap().remove(0).value
}

/// Asked of kubectl 1.32: `kubectl label --local -f - -o json`.
const SCALARS: &[(&str, &str)] = &[
    ("0644", "420"),
    ("yes", "true"),
    ("off", "false"),
    ("y", "true"),
    ("N", "false"),
    ("TRUE", "true"),
    ("yEs", "\"yEs\""),
    ("\"yes\"", "\"yes\""),
    ("'0644'", "\"0644\""),
    ("0o644", "420"),
    ("0x1F", "31"),
    ("0x_F", "15"),
    ("0b101", "5"),
    ("0b2", "\"0b2\""),
    ("0b-1", "-1"),
    ("-010", "-8"),
    ("+0x1", "1"),
    ("0_7", "7"),
    ("00", "0"),
    ("08", "8"),
    ("0999", "999"),
    ("1_000", "1000"),
    ("_1", "\"_1\""),
    ("1e3", "1000"),
    ("1_e3", "1000"),
    ("1.0", "1"),
    ("1.10", "1.1"),
    ("1.", "1"),
    (".5", "0.5"),
    ("-.5", "-0.5"),
    (".e1", "\".e1\""),
    ("5e", "\"5e\""),
    ("1e-7", "1e-7"),
    ("-0.0", "0"),
    ("1e999", "\"1e999\""),
    ("0x1p4", "\"0x1p4\""),
    ("0x", "\"0x\""),
    ("9223372036854775807", "9223372036854775807"),
    ("-9223372036854775808", "-9223372036854775808"),
    ("~", "null"),
    ("", "null"),
    ("Null", "null"),
    ("--", "\"--\""),
    ("+", "\"+\""),
    ("2001-01-01", "\"2001-01-01\""),
    ("12:30:45", "\"12:30:45\""),
    ("=", "\"=\""),
    ("!!str 5", "\"5\""),
    ("!!int \"5\"", "5"),
    ("!!float 5", "5"),
    ("!!binary aGVsbG8=", "\"hello\""),
    ("!foo bar", "\"bar\""),
    ("infinity", "\"infinity\""),
];

#[test]
fn scalars_mean_what_they_mean_to_kubectl() {
    for (text, want) in SCALARS {
        let value = value(&format!("a: {text}\n"));
        assert_eq!(value["a"].to_string(), *want, "{text}");
    }
    let keys = value("0644: a\nyes: b\n1.5: c\nd: e\n");
    assert_eq!(keys, json!({"420": "a", "true": "b", "1.5": "c", "d": "e"}));
    assert_eq!(value("a: 1\na: 2\n"), json!({"a": 2}));
    let merged = value("b: &b {x: 1, w: 2}\nc: {<<: *b, x: 5}\nd:\n  <<: [*b, {w: 1}]\n");
    assert_eq!(merged["c"], json!({"x": 5, "w": 2}));
    assert_eq!(merged["d"], json!({"x": 1, "w": 2}));
}

#[test]
fn text_that_is_not_accepted_says_where_and_why() {
    let deep = "[".repeat(5_000);
    let nested = format!("a: {}1{}", "{b: ".repeat(120), "}".repeat(120));
    let cases = [
        ("a: b\0", "line 1: a NUL character"),
        ("x: y\na: \"b\\0\"", "line 2: a NUL character"),
        ("a: .inf", "line 1: a number that JSON does not know"),
        ("a: !!int x", "line 1: the value is no !!int"),
        ("{}: a", "line 1: a collection as a field's name"),
        ("null: a", "line 1: a field without a name"),
        (
            "a: &a [*a]",
            "line 1: an alias inside of what it stands for",
        ),
        (&nested, "line 1: nested deeper than 100"),
        (&deep, "line 1: nested deeper than 100"),
    ];
    for (text, want) in cases {
        let error = parse_yaml(text, Dialect::Kubectl).unwrap_err();
        assert_eq!(
            error.to_string(),
            want,
            "{}",
            text.get(..20).unwrap_or(text)
        );
    }
    assert!(parse_yaml(&format!("{{\"a\": {deep}"), Dialect::Kubectl).is_err());
    assert!(parse_yaml("a: *b", Dialect::Kubectl).is_err());
}

#[test]
fn an_alias_bomb_is_refused_before_it_grows() {
    let mut bomb = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for i in 1..30 {
        let copies = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{copies}]\n"));
    }
    let error = parse_yaml(&bomb, Dialect::Kubectl).unwrap_err();
    assert!(error.cause.contains("aliases"), "{error}");
    // Depth through aliases counts as well.
    let mut deep = String::from("a0: &a0 [x]\n");
    for i in 1..150 {
        deep.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
    }
    let error = parse_yaml(&deep, Dialect::Kubectl).unwrap_err();
    assert!(error.cause.contains("nested"), "{error}");
}

#[test]
fn documents_are_numbered_and_empty_ones_skipped() {
    let text = "# head\n---\n# only a comment\n---\na: 1\n---\n\n---\nnull\n---\nb: 2\n...\n";
    let found = parse_yaml(text, Dialect::Kubectl).unwrap();
    let numbers: Vec<_> = found
        .iter()
        .map(|d| (d.number, d.value.to_string()))
        .collect();
    assert_eq!(
        numbers,
        [(2, "{\"a\":1}".to_owned()), (5, "{\"b\":2}".to_owned())]
    );
    let json = parse_yaml("{\"a\": 1}\n{\"b\": 2}", Dialect::Kubectl).unwrap();
    assert_eq!(json.len(), 2);
    assert_eq!(parse_yaml("", Dialect::Kubectl).unwrap(), []);
}

fn names(text: &str) -> Vec<String> {
    let read = read("f.yaml", text).unwrap();
    read.into_iter()
        .map(|r| {
            format!(
                "{} {} {} {}",
                r.document, r.object.group, r.object.kind, r.object.name
            )
        })
        .collect()
}

#[test]
fn a_muster_document_among_manifests_is_refused() {
    let text = "apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: a}";
    let error = read("f.yaml", text).unwrap_err();
    assert!(error.cause.contains("Muster document"), "{error}");
}

#[test]
fn lists_are_unfolded_and_typed_lists_lend_their_kind() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}\n\
                - apiVersion: v1\n  kind: ConfigMapList\n  items: [{metadata: {name: b}}, {metadata: {name: c}}]\n---\n\
                apiVersion: x.io/v1\nkind: FooList\nmetadata: {name: d}\n";
    assert_eq!(
        names(text),
        [
            "1 apps Deployment a",
            "1  ConfigMap b",
            "1  ConfigMap c",
            "2 x.io FooList d"
        ]
    );
}

#[test]
fn objects_that_cannot_be_applied_are_refused_naming_the_field() {
    let cases = [
        (
            "[1]",
            "f.yaml, document 1: no Kubernetes object; write a mapping with apiVersion and kind",
        ),
        (
            "kind: A\nmetadata: {name: a}",
            "f.yaml, document 1, apiVersion: is missing; add apiVersion",
        ),
        (
            "apiVersion: v1\nmetadata: {name: a}",
            "f.yaml, document 1, kind: is missing; add kind",
        ),
        (
            "apiVersion: v1\nkind: A",
            "f.yaml, document 1, metadata.name: is missing; give the object a name",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {generateName: a-}",
            "f.yaml, document 1, metadata.generateName: makes a new object each time it is applied; give the object a metadata.name",
        ),
        (
            "---\napiVersion: v1\nkind: A\nmetadata: {name: a/b}",
            "f.yaml, document 1, metadata.name: must not contain '/' or '%'; rename the object",
        ),
        (
            "a: {}\n---\n",
            "f.yaml, document 1, apiVersion: is missing; add apiVersion",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: a%b}",
            "f.yaml, document 1, metadata.name: must not contain '/' or '%'; rename the object",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: \"a\\tb\"}",
            "f.yaml, document 1, metadata.name: must not contain control characters; rename the object",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: ..}",
            "f.yaml, document 1, metadata.name: must not be '.' or '..'; rename the object",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: 5}",
            "f.yaml, document 1, metadata.name: must be text; put it in quotes",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: a, namespace: x/y}",
            "f.yaml, document 1, metadata.namespace: must not contain '/' or '%'; rename the namespace",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: [a]",
            "f.yaml, document 1, metadata: must be a mapping; correct the indentation",
        ),
        (
            "apiVersion: a/b/c\nkind: A\nmetadata: {name: a}",
            "f.yaml, document 1, apiVersion: is no group/version; write it as in apps/v1, or v1",
        ),
        (
            "apiVersion: v1\nkind: A/B\nmetadata: {name: a}",
            "f.yaml, document 1, kind: has characters that no kind has; correct the kind",
        ),
        (
            "apiVersion: v1\nkind: Job\nmetadata: {name: a, annotations: {helm.sh/hook: pre-install}}",
            "f.yaml, document 1, metadata.annotations.helm.sh/hook: helm hooks are not run; render the chart with `helm template --no-hooks`",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: A}]",
            "f.yaml, document 1, items[0].metadata.name: is missing; give the object a name",
        ),
        (
            "a: b\0",
            "f.yaml, document 1: line 1: a NUL character; correct the YAML",
        ),
    ];
    for (text, want) in cases {
        assert_eq!(
            read("f.yaml", text).unwrap_err().to_string(),
            want,
            "{text}"
        );
    }
}

fn stamped(mut object: Value) -> Value {
    stamp(&mut object, &ContextId("ctx".to_owned()), "inst", "web");
    object
}

#[test]
fn labels_go_on_objects_and_pod_templates_as_the_spec_says() {
    let all = json!({
        "muster.dev/context": "ctx", "muster.dev/app": "web", "muster.dev/installation": "inst",
        "app.kubernetes.io/managed-by": "muster",
    });
    let pods = json!({"muster.dev/context": "ctx", "muster.dev/app": "web"});
    let templates = [
        ("apps/v1", "Deployment", "/spec/template"),
        ("apps/v1", "StatefulSet", "/spec/template"),
        ("apps/v1", "DaemonSet", "/spec/template"),
        ("apps/v1", "ReplicaSet", "/spec/template"),
        ("v1", "ReplicationController", "/spec/template"),
        ("batch/v1", "Job", "/spec/template"),
        ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template"),
    ];
    for (api_version, kind, path) in templates {
        let mut template = json!({"metadata": {}, "spec": {}});
        for part in path
            .split('/')
            .skip(1)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
        {
            template = json!({ part: template });
        }
        template["apiVersion"] = api_version.into();
        template["kind"] = kind.into();
        template["metadata"] = json!({"name": "x", "labels": null});
        let object = stamped(template);
        assert_eq!(object["metadata"]["labels"], all, "{kind}");
        assert_eq!(
            object.pointer(path).unwrap()["metadata"]["labels"],
            pods,
            "{kind}"
        );
    }
    for (api_version, kind) in [
        ("v1", "Namespace"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ] {
        let object = stamped(json!({"apiVersion": api_version, "kind": kind, "metadata": {}}));
        assert_eq!(
            object["metadata"]["labels"],
            json!({"muster.dev/installation": "inst"})
        );
    }
    let own = stamped(json!({
        "apiVersion": "v1", "kind": "Pod", "spec": {"template": {}},
        "metadata": {"labels": {"app.kubernetes.io/managed-by": "helm", "a": "b"}},
    }));
    assert_eq!(
        own["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        "helm"
    );
    assert_eq!(own["metadata"]["labels"]["a"], "b");
    assert_eq!(own["spec"], json!({"template": {}}));
    // A custom resource with the name of a workload is none.
    let foreign =
        stamped(json!({"apiVersion": "x.io/v1", "kind": "Job", "spec": {"template": {}}}));
    assert_eq!(foreign["spec"], json!({"template": {}}));
}

#[test]
fn keep_annotations_are_seen() {
    let keep =
        |key: &str, value: &str| is_kept(&json!({"metadata": {"annotations": {key: value}}}));
    assert!(keep("helm.sh/resource-policy", "keep") && keep("muster.dev/keep", "true"));
    assert!(!keep("helm.sh/resource-policy", "delete") && !keep("muster.dev/keep", "false"));
    assert!(!is_kept(&json!({"metadata": null})));
}

#[test]
fn built_in_kinds_have_their_scope_and_others_are_unknown() {
    let scopes = Scopes::default();
    for (group, kind, want) in [
        ("", "Namespace", Scope::Cluster),
        ("", "ConfigMap", Scope::Namespaced),
        ("apps", "Deployment", Scope::Namespaced),
        ("rbac.authorization.k8s.io", "ClusterRole", Scope::Cluster),
        ("rbac.authorization.k8s.io", "Role", Scope::Namespaced),
        ("apiregistration.k8s.io", "APIService", Scope::Cluster),
        ("x.io", "Deployment", Scope::Unknown),
    ] {
        assert_eq!(scopes.of(group, kind), want, "{group} {kind}");
    }
}

#[test]
fn a_float_of_many_digits_keeps_its_digest() {
    let float = "07766279631452241".to_owned() + &"0".repeat(130) + "920";
    for number in [
        float.as_str(),
        "7.766279631452242e145",
        "0.30000000000000004",
        "416e44",
        "104e31",
    ] {
        for text in [
            format!("apiVersion: v1\nkind: A\nmetadata: {{name: a}}\nspec: {number}\n"),
            format!(
                "{{\"apiVersion\": \"v1\", \"kind\": \"A\", \"metadata\": {{\"name\": \"a\"}}, \"spec\": {}}}",
                number.trim_start_matches("07")
            ),
        ] {
            let once = canonical(&read("m", &text).unwrap()[0].object.json);
            let twice = canonical(&read("m", &once).unwrap()[0].object.json);
            let stored: Value = serde_json::from_str(&once).unwrap();
            assert_eq!(
                (&twice, canonical(&stored)),
                (&once, once.clone()),
                "{text}"
            );
        }
    }
}

proptest! {
    #[test]
    fn equal_values_have_equal_text_whatever_the_order(
        mut entries in prop::collection::vec(("[a-z\"\\\\é]{0,4}", any::<i32>()), 0..8),
    ) {
        entries.sort();
        entries.dedup_by(|a, b| a.0 == b.0);
        let one: Value = entries.iter().cloned().map(|(k, v)| (k, json!(v))).collect::<serde_json::Map<_, _>>().into();
        entries.reverse();
        let two: Value = entries.into_iter().map(|(k, v)| (k, json!(v))).collect::<serde_json::Map<_, _>>().into();
        prop_assert_eq!(canonical(&one), canonical(&two));
        prop_assert_eq!(serde_json::from_str::<Value>(&canonical(&one)).unwrap(), one);
    }

    /// Its digest, too: what was stored is read again, by us and by every other reader of JSON.
    #[test]
    fn a_number_is_read_back_from_its_own_text(
        number in "[1-9][0-9]{0,24}(\\.[0-9]{1,24})?(e-?[1-9][0-9]?)?",
    ) {
        let yaml = format!("apiVersion: v1\nkind: A\nmetadata: {{name: a}}\nspec: {number}\n");
        let json = format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"A\", \"metadata\": {{\"name\": \"a\"}}, \"spec\": {number}}}"
        );
        for text in [yaml, json] {
            let once = canonical(&read("m", &text).unwrap()[0].object.json);
            let again = canonical(&read("m", &once).unwrap()[0].object.json);
            prop_assert_eq!(digest(&again), digest(&once), "{} {}", again, once);
            let stored: Value = serde_json::from_str(&once).unwrap();
            prop_assert_eq!(canonical(&stored), once);
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "[\\[\\]{}&*<:,\\-\\?!|>'\"# \n\ta-c0-9]{0,60}") {
        for dialect in [Dialect::Kubectl, Dialect::Muster] {
            let _ = parse_yaml(&text, dialect);
        }
    }
}
