//! The paths that documents name. A document is looked into for nothing else.

use serde::Deserialize;
use serde_yaml_ng::Value;

/// A path in a document, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    pub document: u32,
    pub field: String,
    pub path: String,
    pub folder_allowed: bool,
    /// The path is that of a kubeconfig, of which this context counts (else its current one).
    pub kubeconfig: Option<Option<String>>,
}

/// The paths in the documents of one file. What has another shape than it should, or is no YAML, is
/// left to the server, which explains it best.
pub fn references(data: &[u8]) -> Vec<Reference> {
    let mut references = Vec::new();
    for (index, document) in serde_yaml_ng::Deserializer::from_slice(data).enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let Ok(mut value) = Value::deserialize(document) else {
            return Vec::new();
        };
        // `<<`; where that cannot be, the server says so.
        let _ = value.apply_merge();
        let mut add = |field: String, path: &str, kubeconfig: Option<Option<String>>| {
            references.push(Reference {
                document: number,
                field,
                path: path.to_owned(),
                folder_allowed: kubeconfig.is_none(),
                kubeconfig,
            });
        };
        let Some(spec) = value.get("spec") else {
            continue;
        };
        match value.get("kind").and_then(Value::as_str) {
            Some("Cluster") => {
                if let Some(path) = spec.get("kubeconfig").and_then(Value::as_str) {
                    let context = spec.get("context").and_then(Value::as_str);
                    let context = context.map(str::to_owned);
                    add("spec.kubeconfig".to_owned(), path, Some(context));
                }
            }
            Some("CompositeApp") => {
                for (a, app) in spec
                    .get("apps")
                    .and_then(Value::as_sequence)
                    .into_iter()
                    .flatten()
                    .enumerate()
                {
                    let manifests = app.get("manifests").and_then(Value::as_sequence);
                    for (m, manifest) in manifests.into_iter().flatten().enumerate() {
                        if let Some(path) = manifest.as_str() {
                            add(format!("spec.apps[{a}].manifests[{m}]"), path, None);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    references
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_another_shape_is_left_to_the_server() {
        for text in [
            "",
            "# only a comment",
            "kind: Cluster",
            "- a",
            "kind: CompositeApp\nspec: {apps: 3}",
            "kind: [Cluster]\nspec: {kubeconfig: x}",
            "kind: CompositeApp\nspec: {apps: [{manifests: [{kind: Pod}, 3]}]}",
        ] {
            assert_eq!(references(text.as_bytes()), [], "{text}");
        }
    }

    #[test]
    fn a_document_that_explodes_is_left_alone() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let alias = format!("*a{}, ", level - 1).repeat(9);
            bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        for text in [bomb, "[".repeat(10_000), "a: [".repeat(1_000)] {
            assert_eq!(references(text.as_bytes()), []);
        }
    }
}
