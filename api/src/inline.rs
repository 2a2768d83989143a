//! Documents as `get -o yaml` shows them: what files held stands inline, so that they can be
//! applied again where those files are not.
//!
//! - Cluster: `spec.kubeconfig: {stored: PATH}` keeps the stored kubeconfig.
//! - CompositeApp: `manifests: [{paths: [PATH, …], objects: [OBJECT, …]}]` in each app; of a Secret
//!   only kind and name, and `stored: true`, which keeps the stored one.

use model::{
    document::{
        self, Cluster, CompositeApp, DocumentError, ManifestEntry, ManifestFile, RawDocument,
    },
    manifest::Object,
};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What stood inline in a document.
#[derive(Debug, Default, PartialEq)]
pub struct Inline {
    pub kubeconfig_stored: bool,
    /// App number → its objects, as a manifest entry.
    pub manifests: HashMap<usize, ManifestEntry>,
}

pub fn cluster_json(cluster: &Cluster) -> String {
    let mut shown = document::show_cluster(cluster);
    shown["spec"]["kubeconfig"] = json!({"stored": cluster.kubeconfig});
    shown.to_string()
}

pub fn app_json(app: &CompositeApp) -> String {
    let mut shown = document::show_composite_app(app);
    for (shown, app) in shown["spec"]["apps"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .zip(&app.apps)
    {
        let objects: Vec<Value> = app.objects.iter().map(shown_object).collect();
        shown["manifests"] = json!([{"paths": app.manifests, "objects": objects}]);
    }
    shown.to_string()
}

/// The object, but of a Secret nothing that it holds.
fn shown_object(object: &Object) -> Value {
    if !is_secret(object) {
        return object.json.clone();
    }
    let mut metadata = json!({"name": object.name});
    if let Some(namespace) = &object.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    json!({"apiVersion": object.version, "kind": object.kind, "metadata": metadata, "stored": true})
}

fn is_secret(object: &Object) -> bool {
    object.group.is_empty() && object.kind == "Secret"
}

/// Whether an object that stood inline means the stored Secret of its name.
pub fn is_stored(object: &Object) -> bool {
    is_secret(object) && object.json["stored"] == true
}

/// Puts the stored Secrets in the place of those that are only named.
///
/// # Errors
/// App and object of the first that is not stored.
pub fn restore(
    app: &mut CompositeApp,
    stored: Option<&CompositeApp>,
) -> Result<(), (usize, String)> {
    for (number, app) in app.apps.iter_mut().enumerate() {
        let before =
            stored.and_then(|stored| stored.apps.iter().find(|other| other.name == app.name));
        for object in app.objects.iter_mut().filter(|object| is_stored(object)) {
            let known = before.and_then(|before| {
                before.objects.iter().find(|other| {
                    is_secret(other)
                        && (&other.namespace, &other.name) == (&object.namespace, &object.name)
                })
            });
            match known {
                Some(known) => *object = known.clone(),
                None => return Err((number, format!("Secret {}", object.name))),
            }
        }
    }
    Ok(())
}

/// Takes out what stands inline, so that paths remain, as the user wrote them once.
///
/// # Errors
/// The form above, but not quite.
pub fn take(raw: &mut RawDocument) -> Result<Inline, DocumentError> {
    let mut inline = Inline::default();
    let at = |field: String, cause: &str, next: &str| DocumentError {
        file: raw.file.clone(),
        document: raw.document,
        field,
        cause: cause.to_owned(),
        next_step: next.to_owned(),
    };
    match raw.value["kind"].as_str() {
        Some("Cluster") => {
            let Some(kubeconfig) = raw
                .value
                .pointer_mut("/spec/kubeconfig")
                .filter(|value| value.is_object())
            else {
                return Ok(inline);
            };
            let Some(path) = only(kubeconfig, &["stored"])
                .then(|| kubeconfig["stored"].as_str())
                .flatten()
            else {
                return Err(at(
                    "spec.kubeconfig".to_owned(),
                    "is a mapping, but not of `stored`",
                    "name the kubeconfig's file",
                ));
            };
            *kubeconfig = path.into();
            inline.kubeconfig_stored = true;
        }
        Some("CompositeApp") => {
            for (number, app) in raw
                .value
                .pointer_mut("/spec/apps")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
                .enumerate()
            {
                let Some([one]) = app
                    .get_mut("manifests")
                    .and_then(Value::as_array_mut)
                    .map(Vec::as_mut_slice)
                else {
                    continue;
                };
                if !one.is_object() {
                    continue;
                }
                let paths = one.get("paths").and_then(Value::as_array).map(|paths| {
                    paths
                        .iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                });
                let (Some(paths), true, true) = (
                    paths.filter(|paths| !paths.is_empty()),
                    one["objects"].is_array(),
                    only(one, &["paths", "objects"]),
                ) else {
                    return Err(at(
                        format!("spec.apps[{number}].manifests[0]"),
                        "is a mapping, but not of `paths` and `objects`",
                        "name a file or folder with Kubernetes objects",
                    ));
                };
                let list =
                    json!({"apiVersion": "v1", "kind": "List", "items": one["objects"].take()});
                let file = ManifestFile {
                    name: format!("{} (inline)", raw.file),
                    text: list.to_string(),
                };
                inline.manifests.insert(
                    number,
                    ManifestEntry {
                        path: paths.join(", "),
                        files: vec![file],
                    },
                );
                app["manifests"] = paths.into();
            }
        }
        _ => {}
    }
    Ok(inline)
}

/// No other keys than these.
fn only(value: &Value, keys: &[&str]) -> bool {
    value
        .as_object()
        .is_some_and(|map| map.keys().all(|key| keys.contains(&key.as_str())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use model::document::{Document, convert, fill, parse_documents};

    fn read(text: &str) -> (Inline, Document) {
        let mut raw = parse_documents("f.yaml", text).unwrap().remove(0);
        let inline = take(&mut raw).unwrap();
        (inline, convert(&raw, "p").unwrap())
    }

    #[test]
    fn a_shown_composite_app_is_read_back_as_it_was() {
        let (_, document) = read(
            "apiVersion: muster.dev/v1\nkind: CompositeApp\nmetadata: {name: a, version: v1}\nspec:\n  apps:\n  - {name: x, manifests: [./x/, y.yaml]}\n",
        );
        let Document::CompositeApp(mut app) = document else {
            panic!("not an app")
        };
        let file = ManifestFile {
            name: "m".into(),
            text: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n---\n{apiVersion: v1, kind: Secret, metadata: {name: c, namespace: ns, annotations: {a: s3cret}}, stringData: {a: s3cret}}".into(),
        };
        fill(
            &mut app.apps[0],
            &[ManifestEntry {
                path: "./x/".into(),
                files: vec![file],
            }],
        )
        .unwrap();
        let shown = app_json(&app);
        assert!(!shown.contains("s3cret"), "{shown}");
        let (inline, Document::CompositeApp(mut again)) = read(&shown) else {
            panic!("not an app")
        };
        fill(&mut again.apps[0], &[inline.manifests[&0].clone()]).unwrap();
        assert_eq!(
            restore(&mut again.clone(), None),
            Err((0, "Secret c".to_owned()))
        );
        restore(&mut again, Some(&app)).unwrap();
        assert_eq!(again, app);
    }

    #[test]
    fn a_shown_cluster_keeps_its_kubeconfig() {
        let (inline, document) = read(
            "apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c, labels: {a: b}}\nspec: {kubeconfig: ./c.yaml, context: x}\n",
        );
        assert_eq!(inline, Inline::default());
        let Document::Cluster(cluster) = document else {
            panic!("not a cluster")
        };
        let (inline, again) = read(&cluster_json(&cluster));
        assert!(inline.kubeconfig_stored);
        assert_eq!(again, Document::Cluster(cluster));
    }

    #[test]
    fn another_mapping_is_refused_with_its_field() {
        for (spec, field) in [
            (
                "kind: Cluster\nspec: {kubeconfig: {inline: x}}",
                "spec.kubeconfig",
            ),
            (
                "kind: CompositeApp\nspec: {apps: [{manifests: [{paths: [x]}]}]}",
                "spec.apps[0].manifests[0]",
            ),
            (
                "kind: CompositeApp\nspec: {apps: [{manifests: [{paths: [], objects: []}]}]}",
                "spec.apps[0].manifests[0]",
            ),
        ] {
            let mut raw = parse_documents("f", spec).unwrap().remove(0);
            assert_eq!(take(&mut raw).unwrap_err().field, field);
        }
    }
}
