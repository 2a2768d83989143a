//! Documents that are no YAML, no documents, or not meant like that.

use super::Row;

/// `muster apply` of one file `d.yaml`.
fn apply(what: &'static str, text: impl Into<Vec<u8>>, says: &[&'static str]) -> Row {
    Row::new(what, "apply -f DIR/d.yaml", 1, says)
        .file("d.yaml", text)
        .file("m", "")
}

fn cluster(metadata: &str, spec: &str) -> String {
    format!("apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {metadata}\nspec: {spec}\n")
}

fn app(apps: &str) -> String {
    format!(
        "apiVersion: muster.dev/v1\nkind: CompositeApp\nmetadata: {{project: p, name: a, version: v1}}\nspec: {{apps: {apps}}}\n"
    )
}

fn dig(spec: &str) -> String {
    format!(
        "apiVersion: muster.dev/v1\nkind: DeploymentIntentGroup\nmetadata: {{project: p, name: d}}\nspec: {{compositeApp: {{name: shop, version: v1}}, {spec}}}\n"
    )
}

/// Nine to the power of nine words, in a few lines.
pub fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    text
}

pub fn rows() -> Vec<Row> {
    let x = "{name: x, manifests: [m]";
    let mut rows = text_rows();
    rows.extend(shape_rows());
    rows.extend([
        apply("no apps", app("[]"), &["d.yaml#1:spec.apps", "at least one app; add an app"])
            .details("d.yaml#1:spec.apps"),
        apply("an app twice", app(&format!("[{x}}}, {x}}}]")), &["app x stands twice; rename one"])
            .details("d.yaml#1:spec.apps[1].name"),
        apply("an app without manifests", app("[{name: x}]"), &["is missing; name at least one file or folder"])
            .details("d.yaml#1:spec.apps[0].manifests"),
        apply("an app that depends on itself", app(&format!("[{x}, dependsOn: [{{app: x}}]}}]")), &["app x depends on itself; remove it"])
            .details("d.yaml#1:spec.apps[0].dependsOn[0].app"),
        apply(
            "apps that wait for each other",
            app(&format!("[{x}, dependsOn: [{{app: y}}]}}, {{name: y, manifests: [m], dependsOn: [{{app: x}}]}}]")),
            &["in a cycle: x → y → x; remove one of the dependencies"],
        )
        .details("d.yaml#1:spec.apps"),
        apply("a dependency on an unknown app", app("[{name: backend, manifests: [m]}, {name: x, manifests: [m], dependsOn: [{app: backnd}]}]"), &["there is no app \"backnd\"; write backend"])
            .details("d.yaml#1:spec.apps[1].dependsOn[0].app"),
        apply("a misspelt opStatus", app(&format!("[{x}, dependsOn: [{{app: z, opStatus: Deplyed}}]}}]")), &["\"Deplyed\" is not known; write Deployed or Ready"])
            .details("d.yaml#1:spec.apps[0].dependsOn[0].opStatus"),
        apply("a wait without a unit", app(&format!("[{x}, dependsOn: [{{app: z, wait: 5}}]}}]")), &["must be a duration, found a number; write it with a unit"])
            .details("d.yaml#1:spec.apps[0].dependsOn[0].wait"),
        apply("a composite app that does not exist", dig("").replace("name: shop", "name: shp"), &["there is no composite app shp of version v1 in project p; apply it too"])
            .details("d.yaml#1:spec.compositeApp"),
        apply("a placement of an unknown app", dig("placement: [{app: front}]"), &["shop v1 has no app \"front\"; name \"*\" or one of back"])
            .details("d.yaml#1:spec.placement[0].app"),
        apply("an app placed twice", dig("placement: [{app: x}, {app: x}]"), &["\"x\" is placed twice; put both into one entry"])
            .details("d.yaml#1:spec.placement[1].app"),
        apply("a cluster that is no name", dig("placement: [{app: x, allOf: [{cluster: a+b+c}]}]"), &["\"a+b+c\" names no cluster; write it as provider+name"])
            .details("d.yaml#1:spec.placement[0].allOf[0].cluster"),
        apply("a label that is none", dig("placement: [{app: x, anyOf: [{label: us}]}]"), &["\"us\" is no label; write it as key=value"])
            .details("d.yaml#1:spec.placement[0].anyOf[0].label"),
        apply("a cluster and a label in one entry", dig("placement: [{app: x, anyOf: [{label: a=b, cluster: c}]}]"), &["needs either cluster or label; write one of them"])
            .details("d.yaml#1:spec.placement[0].anyOf[0]"),
        apply("a namespace that is no name", dig("namespace: a.b"), &["\"a.b\" is no valid namespace; use lower-case letters"])
            .details("d.yaml#1:spec.namespace"),
        apply("a duration in words", dig("policy: {deleteTimeout: soon}"), &["\"soon\" is no duration; write it as in 500ms, 5s, 10m, 1h30m"])
            .details("d.yaml#1:spec.policy.deleteTimeout"),
        apply("a negative duration", dig("policy: {retry: {maxElapsed: -1s}}"), &["\"-1s\" is no duration; write it"])
            .details("d.yaml#1:spec.policy.retry.maxElapsed"),
        apply("a duration of a thousand years", dig("policy: {deleteTimeout: 99999999h}"), &["\"99999999h\" is no duration; write it"])
            .details("d.yaml#1:spec.policy.deleteTimeout"),
        apply("no time at all", dig("policy: {retry: {initialInterval: 0s}}"), &["must not be 0; write it as in 1s"])
            .details("d.yaml#1:spec.policy.retry.initialInterval"),
        apply("a longest interval below the first", dig("policy: {retry: {initialInterval: 5s, maxInterval: 1s}}"), &["must not be less than initialInterval; make it longer"])
            .details("d.yaml#1:spec.policy.retry.maxInterval"),
        apply("a back-off out of range", dig("policy: {retry: {backoff: 0.5}}"), &["must be from 1 to 100; write it as in 2"])
            .details("d.yaml#1:spec.policy.retry.backoff"),
        apply("a number beyond all numbers", dig("policy: {retry: {backoff: 1e999}}"), &["must be a number, found text; write a number"])
            .details("d.yaml#1:spec.policy.retry.backoff"),
        apply("a word where true or false belongs", dig("policy: {forceConflicts: 'yes'}"), &["must be true or false, found text; write true or false"])
            .details("d.yaml#1:spec.policy.forceConflicts"),
        apply("a policy that does not exist", dig("policy: {onFailure: Panic}"), &["\"Panic\" is not known; write Continue or FailFast"])
            .details("d.yaml#1:spec.policy.onFailure"),
    ]);
    rows
}

/// What is no YAML, or blows up.
fn text_rows() -> Vec<Row> {
    let manyfold: String = (0..1_000)
        .map(|i| format!("---\napiVersion: muster.dev/v1\nkind: Clster{i}\n"))
        .collect();
    vec![
        apply(
            "an open bracket",
            "kind: Cluster\n---\nspec: [\n",
            &["d.yaml#2", "line 3", "; correct the YAML"],
        )
        .details("d.yaml#2"),
        apply(
            "a tab as indentation",
            "kind: Cluster\nspec:\n\tkubeconfig: x\n",
            &["d.yaml#1", "line 3", "; correct the YAML"],
        )
        .details("d.yaml#1"),
        apply(
            "JSON that ends early",
            "{\"kind\": \"Cluster\",\n \"spec\": {",
            &["d.yaml#1", "line 2", "; correct the YAML"],
        )
        .details("d.yaml#1"),
        apply(
            "JSON with a stray comma",
            "{\"kind\": \"Cluster\",, \"spec\": {}}",
            &["d.yaml#1", "line 1", "; correct the YAML"],
        )
        .details("d.yaml#1"),
        apply(
            "an alias bomb",
            bomb(),
            &[
                "d.yaml#1",
                "aliases blow the document up beyond measure; correct the YAML",
            ],
        )
        .details("d.yaml#1"),
        apply(
            "an alias within itself",
            "a: &a [*a]\n",
            &[
                "d.yaml#1",
                "line 1",
                "an alias inside of what it stands for",
            ],
        )
        .details("d.yaml#1"),
        apply(
            "an alias of nothing",
            "a: *nobody\n",
            &["d.yaml#1", "line 1", "; correct the YAML"],
        )
        .details("d.yaml#1"),
        apply(
            "ten thousand brackets",
            "[".repeat(10_000),
            &["d.yaml#1", "nested deeper than 100; correct the YAML"],
        )
        .details("d.yaml#1"),
        apply(
            "two hundred levels",
            nested(200),
            &["d.yaml#1", "nested deeper than 100; correct the YAML"],
        )
        .details("d.yaml#1"),
        apply(
            "a NUL in quotes",
            "kind: \"Clus\\0ter\"\n",
            &["d.yaml#1", "line 1", "a NUL character; correct the YAML"],
        )
        .details("d.yaml#1"),
        apply(
            "a field that stands twice",
            "kind: Cluster\nkind: Cluster\n",
            &["d.yaml#1", "line 2: the field \"kind\" stands twice"],
        )
        .details("d.yaml#1"),
        apply(
            "a tag that does not fit",
            "kind: !!int Cluster\n",
            &["d.yaml#1", "line 1", "the value is no !!int"],
        )
        .details("d.yaml#1"),
        apply(
            "a merge of no mapping",
            "spec: {<<: 5}\n",
            &["d.yaml#1", "'<<' merges mappings only"],
        )
        .details("d.yaml#1"),
        apply(
            "a list as a field's name",
            "? [a, b]\n: c\n",
            &["d.yaml#1", "a collection as a field's name"],
        )
        .details("d.yaml#1"),
        apply(
            "a field without a name",
            "~: c\n",
            &["d.yaml#1", "a field without a name; correct the YAML"],
        )
        .details("d.yaml#1"),
        apply(
            "a thousand wrong documents",
            manyfold,
            &[
                "d.yaml#1:kind",
                "\"Clster0\" is not known",
                "(and 999 more)",
            ],
        )
        .details("d.yaml#1:kind"),
        apply(
            "nothing but comments",
            "# later\n---\n# tomorrow\n",
            &[
                "nothing was applied",
                "holds no document",
                "; send at least one",
            ],
        )
        .details("the upload"),
    ]
}

fn nested(levels: usize) -> String {
    (0..levels)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect()
}

/// Documents of no known shape.
fn shape_rows() -> Vec<Row> {
    let huge = "x".repeat(1 << 20);
    let good = cluster("{name: c9}", "{kubeconfig: k.yaml}");
    vec![
        apply("a text instead of a document", "just words\n", &["d.yaml#1", "must be a mapping, found text; correct the indentation"])
            .details("d.yaml#1"),
        apply("a list instead of a document", "- kind: Cluster\n", &["must be a mapping, found a list; correct the indentation"])
            .details("d.yaml#1"),
        apply("no apiVersion", "kind: Cluster\n", &["d.yaml#1:apiVersion: is missing; add apiVersion"])
            .details("d.yaml#1:apiVersion"),
        apply("no kind", "apiVersion: muster.dev/v1\n", &["d.yaml#1:kind: is missing; add kind"])
            .details("d.yaml#1:kind"),
        apply("no name", cluster("{}", "{kubeconfig: k.yaml}"), &["d.yaml#1:metadata.name: is missing; add name"])
            .file("k.yaml", "")
            .details("d.yaml#1:metadata.name"),
        apply("a misspelt name of a field that must be there", cluster("{nmae: c9}", "{kubeconfig: k.yaml}"), &["metadata.name: is missing; write it in place of \"nmae\""])
            .file("k.yaml", "")
            .details("d.yaml#1:metadata.name"),
        apply("generateName", cluster("{generateName: c}", "{kubeconfig: k.yaml}"), &["metadata.name: is missing; add name"])
            .file("k.yaml", "")
            .details("d.yaml#1:metadata.name"),
        apply("an unknown apiVersion", "apiVersion: muster.dev/v2\nkind: Cluster\n", &["\"muster.dev/v2\" is not known; write apiVersion: muster.dev/v1"])
            .details("d.yaml#1:apiVersion"),
        apply("a Kubernetes object among the documents", super::CONFIG_MAP, &["\"v1\" is not known", "Kubernetes objects belong into the manifests of a CompositeApp"])
            .details("d.yaml#1:apiVersion"),
        apply("an unknown kind", "apiVersion: muster.dev/v1\nkind: Clster\n", &["\"Clster\" is not known; write Cluster, CompositeApp or DeploymentIntentGroup"])
            .details("d.yaml#1:kind"),
        apply("an unknown field", cluster("{name: c9, labls: {}}", "{kubeconfig: k.yaml}"), &["metadata.labls: is not known; write labels, or remove it; known here: name, provider, labels"])
            .file("k.yaml", "")
            .details("d.yaml#1:metadata.labls"),
        apply("a field like no other", dig("colour: red"), &["spec.colour: is not known; remove it; known here: compositeApp, namespace, placement, policy"])
            .details("d.yaml#1:spec.colour"),
        apply("a field's name of a megabyte", format!("? {huge}\n: 1\n{}", dig("")), &["xxx…: is not known; remove it"])
            .details(LONG_FIELD),
        apply("a name of a megabyte", cluster(&format!("{{name: {huge}}}"), "{kubeconfig: k.yaml}"), &["xxx…\" is no valid name; use lower-case letters"])
            .file("k.yaml", "")
            .details("d.yaml#1:metadata.name"),
        apply("a name in capitals", cluster("{name: C_1}", "{kubeconfig: k.yaml}"), &["\"C_1\" is no valid name; use lower-case letters, digits, '-' and '.', at most 63"])
            .file("k.yaml", "")
            .details("d.yaml#1:metadata.name"),
        apply("a project that is no name", dig("").replace("project: p", "project: a/b"), &["\"a/b\" is no valid name; use lower-case"])
            .details("d.yaml#1:metadata.project"),
        apply("a version that is none", dig("").replace("version: v1", "version: 'v 1'"), &["\"v 1\" is no valid version; use letters"])
            .details("d.yaml#1:spec.compositeApp.version"),
        apply("a mapping where a list belongs", app("{name: x}"), &["spec.apps: must be a list, found a mapping; write a list"])
            .details("d.yaml#1:spec.apps"),
        apply("a list where a mapping belongs", "apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: [a]\n", &["metadata: must be a mapping, found a list; correct the indentation"])
            .details("d.yaml#1:metadata"),
        apply("a number as a label", cluster("{name: c9, labels: {a: 5}}", "{kubeconfig: k.yaml}"), &["metadata.labels.a: must be text, found a number; put it in quotes"])
            .file("k.yaml", "")
            .details("d.yaml#1:metadata.labels.a"),
        apply("a label that Kubernetes would refuse", cluster("{name: c9, labels: {a: 'b c'}}", "{kubeconfig: k.yaml}"), &["has no valid label value; write it as Kubernetes takes labels"])
            .file("k.yaml", "")
            .details("d.yaml#1:metadata.labels.a"),
        apply("a kind that is not built", "apiVersion: muster.dev/v1\nkind: CompositionInstance\n", &["CompositionInstance is not built yet; leave compositions out"])
            .details("d.yaml#1:kind"),
        apply("one document twice in a file", format!("{good}---\n{good}"), &["Cluster default+c9 stands already in d.yaml, document 1; remove one of them"])
            .file("k.yaml", super::KUBECONFIG)
            .details("d.yaml#2:metadata.name"),
        Row::new("one document in two files", "apply -f DIR/d.yaml -f DIR/e.yaml", 1, &["e.yaml#1:metadata.name", "stands already in d.yaml, document 1; remove one"])
            .file("d.yaml", good.clone())
            .file("e.yaml", good)
            .file("k.yaml", super::KUBECONFIG)
            .details("e.yaml#1:metadata.name"),
    ]
}

/// Eighty bytes of a longer name.
const LONG_FIELD: &str =
    "d.yaml#1:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…";
