//! Manifests that hold no objects, or objects that no cluster would take.

use super::{Row, documents::bomb};

const APP: &str = "apiVersion: muster.dev/v1\nkind: CompositeApp\nmetadata: {project: p, name: a, version: v1}\nspec: {apps: [{name: x, manifests: [m.yaml]}]}\n";

/// `muster apply` of an app with the manifest `m.yaml`.
fn apply(what: &'static str, manifest: impl Into<Vec<u8>>, says: &[&'static str]) -> Row {
    Row::new(what, "apply -f DIR/d.yaml", 1, says)
        .file("d.yaml", APP)
        .file("m.yaml", manifest)
}

fn object(kind: &str, metadata: &str) -> String {
    format!("apiVersion: v1\nkind: {kind}\nmetadata: {metadata}\n")
}

fn config_map(metadata: &str) -> String {
    object("ConfigMap", metadata)
}

pub fn rows() -> Vec<Row> {
    let a = config_map("{name: a}");
    let long = format!("{{name: {}}}", "n".repeat(254));
    let json = |size: usize| {
        let data = "x".repeat(size);
        format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {{\"name\": \"a\"}}, \"data\": {{\"k\": \"{data}\"}}}}"
        )
    };
    vec![
        apply("an empty manifest", "", &["d.yaml#1:spec.apps[0].manifests[0]", "m.yaml: app x: no objects; name a file or folder with Kubernetes objects"])
            .details("d.yaml#1:spec.apps[0].manifests[0]"),
        apply("a manifest of comments", "# none\n---\n# none\n", &["m.yaml: app x: no objects; name a file or folder"])
            .details("d.yaml#1:spec.apps[0].manifests[0]"),
        apply("broken YAML in the third object", format!("{a}---\n{a}---\nkind: {{a\n"), &["m.yaml#3", "line 9", "; correct the YAML"])
            .details("m.yaml#3"),
        apply("a text as an object", "just words\n", &["m.yaml#1", "no Kubernetes object; write a mapping with apiVersion and kind"])
            .details("m.yaml#1"),
        apply("an object without apiVersion", "kind: ConfigMap\nmetadata: {name: a}\n", &["m.yaml#1:apiVersion: is missing; add apiVersion"])
            .details("m.yaml#1:apiVersion"),
        apply("an object without kind", "apiVersion: v1\nmetadata: {name: a}\n", &["m.yaml#1:kind: is missing; add kind"])
            .details("m.yaml#1:kind"),
        apply("an object without name", config_map("{}"), &["m.yaml#1:metadata.name: is missing; give the object a name"])
            .details("m.yaml#1:metadata.name"),
        apply("an object with generateName", config_map("{generateName: a-}"), &["makes a new object each time it is applied; give the object a metadata.name"])
            .details("m.yaml#1:metadata.generateName"),
        apply("a nameless item of a List", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMap}\n", &["m.yaml#1:items[1].metadata.name: is missing"])
            .details("m.yaml#1:items[1].metadata.name"),
        apply("an apiVersion of three parts", a.replace("v1", "a/b/c"), &["is no group/version; write it as in apps/v1, or v1"])
            .details("m.yaml#1:apiVersion"),
        apply("a kind with a space", object("'Config Map'", "{name: a}"), &["m.yaml#1:kind: has characters that no kind has; correct the kind"])
            .details("m.yaml#1:kind"),
        apply("a Muster document among the manifests", super::STORED, &["a Muster document is no Kubernetes object; apply it by itself"])
            .details("m.yaml#1:apiVersion"),
        apply("a name with a slash", config_map("{name: a/b}"), &["must not contain '/' or '%'; rename the object"])
            .details("m.yaml#1:metadata.name"),
        apply("a name with a control character", config_map("{name: \"a\\tb\"}"), &["must not contain control characters; rename the object"])
            .details("m.yaml#1:metadata.name"),
        apply("a name that climbs", config_map("{name: ..}"), &["must not be '.' or '..'; rename the object"])
            .details("m.yaml#1:metadata.name"),
        apply("a name of 254 letters", config_map(&long), &["is longer than 253 characters; rename the object"])
            .details("m.yaml#1:metadata.name"),
        apply("a namespace that climbs", config_map("{name: a, namespace: ../b}"), &["must not contain '/' or '%'; rename the namespace"])
            .details("m.yaml#1:metadata.namespace"),
        apply("a number as a name", config_map("{name: 5}"), &["m.yaml#1:metadata.name: must be text; put it in quotes"])
            .details("m.yaml#1:metadata.name"),
        apply("metadata that is no mapping", config_map("a"), &["m.yaml#1:metadata: must be a mapping; correct the indentation"])
            .details("m.yaml#1:metadata"),
        apply("annotations in a list", config_map("{name: a, annotations: [b]}"), &["must be a mapping; correct the indentation"])
            .details("m.yaml#1:metadata.annotations"),
        apply("an annotation that is no text", config_map("{name: a, annotations: {b: yes}}"), &["m.yaml#1:metadata.annotations.b: must be text; put it in quotes"])
            .details("m.yaml#1:metadata.annotations.b"),
        apply("a helm hook", config_map("{name: a, annotations: {helm.sh/hook: pre-install}}"), &["helm hooks are not run; render the chart with `helm template --no-hooks`"])
            .details("m.yaml#1:metadata.annotations.helm.sh/hook"),
        apply("an object twice in a file", format!("{a}---\n{a}"), &["m.yaml#2", "app x: ConfigMap a stands already in m.yaml, document 1; remove one of them"])
            .details("m.yaml#2:metadata.name"),
        apply("an object twice in two files", a.clone(), &["n.yaml#1:metadata.name", "ConfigMap a stands already in m.yaml, document 1"])
            .file("d.yaml", APP.replace("[m.yaml]", "[m.yaml, n.yaml]"))
            .file("n.yaml", a.clone())
            .details("n.yaml#1:metadata.name"),
        apply("an object twice, once with its namespace", format!("{a}---\n{}", config_map("{name: a, namespace: default}")), &["d.yaml#2:spec.compositeApp", "ConfigMap default/a stands twice in app x; keep one of them"])
            .file("d.yaml", format!("{APP}---\napiVersion: muster.dev/v1\nkind: DeploymentIntentGroup\nmetadata: {{project: p, name: d}}\nspec: {{compositeApp: {{name: a, version: v1}}}}\n"))
            .details("d.yaml#2:spec.compositeApp"),
        apply("an alias bomb", bomb(), &["m.yaml#1", "aliases blow the document up beyond measure"])
            .details("m.yaml#1"),
        apply("a hundred and one levels", format!("{a}data: {}1{}\n", "[".repeat(101), "]".repeat(101)), &["m.yaml#1", "line 4", "nested deeper than 100"])
            .details("m.yaml#1"),
        apply("infinity", format!("{a}data: .inf\n"), &["m.yaml#1", "line 4", "a number that JSON does not know"])
            .details("m.yaml#1"),
        apply("bytes as text", format!("{a}data: !!binary /w==\n"), &["m.yaml#1", "line 4", "!!binary is no text"])
            .details("m.yaml#1"),
        apply("a key of a megabyte", format!("{a}data:\n  {}: v\n", "k".repeat(1 << 20)), &["m.yaml#1", "line 5", "; correct the YAML"])
            .details("m.yaml#1"),
        apply("an object of 4 MB", json(4_000_000), &["m.yaml#1", "is larger than 3 MiB, and no API server takes that; split the object"])
            .details("m.yaml#1"),
        apply("an object of 40 MB", json(40_000_000), &["m.yaml#1", "is larger than 3 MiB, and no API server takes that; split the object"])
            .details("m.yaml#1"),
        apply("a manifest that is no UTF-8", b"data: \"\xc3(\"\n".to_vec(), &["m.yaml is not UTF-8 text (line 1, byte 8 on); save it as UTF-8"]),
        apply("a manifest in UTF-16", b"\xff\xfek\0i\0n\0d\0".to_vec(), &["m.yaml is UTF-16 text; save it as UTF-8"]),
        apply("a manifest with NUL bytes", b"kind: \0\n".to_vec(), &["m.yaml is not text: it contains NUL bytes; name a file of YAML or JSON"]),
    ]
}
