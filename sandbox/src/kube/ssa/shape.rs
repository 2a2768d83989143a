//! The table of list and map types: which lists are merged by which keys, and what is atomic.

use serde_json::{Map, Value};

/// How a list is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListRule<'a> {
    /// As one value.
    Atomic,
    /// As a set of values.
    Set,
    /// Item by item, found by these fields.
    Keyed(Vec<&'a str>),
}

/// Lists of the built-in kinds that are not atomic: field, the named field above it (`*`: any), and the keys
/// (none: a set of values).
const LISTS: &[(&str, &str, &[&str])] = &[
    ("ownerReferences", "metadata", &["uid"]),
    ("finalizers", "metadata", &[]),
    ("conditions", "status", &["type"]),
    ("containers", "spec", &["name"]),
    ("initContainers", "spec", &["name"]),
    ("ephemeralContainers", "spec", &["name"]),
    ("volumes", "spec", &["name"]),
    ("imagePullSecrets", "spec", &["name"]),
    ("hostAliases", "spec", &["ip"]),
    (
        "topologySpreadConstraints",
        "spec",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    ("schedulingGates", "spec", &["name"]),
    ("resourceClaims", "spec", &["name"]),
    ("env", "containers", &["name"]),
    ("ports", "containers", &["containerPort", "protocol"]),
    ("volumeMounts", "containers", &["mountPath"]),
    ("volumeDevices", "containers", &["devicePath"]),
    ("claims", "resources", &["name"]),
    ("secrets", "", &["name"]),
    ("webhooks", "", &["name"]),
    ("matchConditions", "*", &["name"]),
    ("variables", "spec", &["name"]),
    ("drivers", "spec", &["name"]),
    ("podCIDRs", "spec", &[]),
    ("addresses", "status", &["type"]),
    ("podIPs", "status", &["ip"]),
    ("hostIPs", "status", &["ip"]),
];

/// Maps of the built-in kinds that are one value.
const ATOMIC_MAPS: &[&str] = &[
    "selector",
    "podSelector",
    "namespaceSelector",
    "objectSelector",
    "labelSelector",
    "nodeSelector",
    "nodeSelectorTerms",
    "configMapKeyRef",
    "secretKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "fileKeyRef",
    "roleRef",
    "scaleTargetRef",
    "secretRef",
    "configMapRef",
    "claimRef",
    "dataSource",
    "targetRef",
    "involvedObject",
    "nodePublishSecretRef",
    "volumeClaimTemplate.selector",
];

/// Fields that are always there in Kubernetes' own types, so that an update that fills one does not own it.
const ALWAYS_THERE: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "template",
    "strategy",
    "updateStrategy",
    "jobTemplate",
    "containers",
    "resources",
    "names",
    "scaleTargetRef",
    "loadBalancer",
];

/// Where a walk over an object is, as far as the types of lists and maps depend on it.
#[derive(Debug, Clone, Copy)]
pub enum Shape<'a> {
    /// In a built-in kind or in `metadata`: the field, and the named field above it.
    BuiltIn {
        kind: &'a str,
        above: &'a str,
        field: &'a str,
    },
    /// In a custom resource: the schema of this place, if it has one, and how deep it is.
    Custom {
        schema: Option<&'a Value>,
        root: bool,
    },
}

impl<'a> Shape<'a> {
    /// The root of an object of a built-in kind.
    pub fn built_in(kind: &'a str) -> Self {
        Shape::BuiltIn {
            kind,
            above: "",
            field: "",
        }
    }

    /// The root of a custom resource.
    pub fn custom(schema: Option<&'a Value>) -> Self {
        Shape::Custom { schema, root: true }
    }

    /// The shape of a field.
    pub fn field(self, name: &'a str) -> Self {
        match self {
            Shape::BuiltIn { kind, field, .. } => Shape::BuiltIn {
                kind,
                above: field,
                field: name,
            },
            Shape::Custom { root: true, .. } if name == "metadata" => Shape::BuiltIn {
                kind: "ObjectMeta",
                above: "",
                field: "metadata",
            },
            Shape::Custom { schema, .. } => {
                let named = schema
                    .and_then(|schema| schema.get("properties"))
                    .and_then(|all| all.get(name));
                let schema =
                    named.or_else(|| schema.and_then(|schema| schema.get("additionalProperties")));
                Shape::Custom {
                    schema,
                    root: false,
                }
            }
        }
    }

    /// The shape of a list's items.
    pub fn item(self) -> Self {
        match self {
            Shape::BuiltIn { .. } => self,
            Shape::Custom { schema, .. } => Shape::Custom {
                schema: schema.and_then(|schema| schema.get("items")),
                root: false,
            },
        }
    }

    /// How the list at this place is merged.
    pub fn list(self) -> ListRule<'a> {
        match self {
            Shape::BuiltIn { kind, above, field } => {
                if field == "ports" && kind == "Service" && above == "spec" {
                    return ListRule::Keyed(vec!["port", "protocol"]);
                }
                if field == "secrets" && kind != "ServiceAccount" {
                    return ListRule::Atomic;
                }
                let above = if above.ends_with("ontainers") {
                    "containers"
                } else {
                    above
                };
                let row = LISTS.iter().find(|(name, parent, _)| {
                    *name == field && (*parent == "*" || *parent == above)
                });
                match row {
                    None => ListRule::Atomic,
                    Some((_, _, [])) => ListRule::Set,
                    Some((_, _, keys)) => ListRule::Keyed(keys.to_vec()),
                }
            }
            Shape::Custom { schema, .. } => {
                let mark = |name: &str| schema.and_then(|schema| schema.get(name));
                match mark("x-kubernetes-list-type").and_then(Value::as_str) {
                    Some("set") => ListRule::Set,
                    Some("map") => {
                        let keys = mark("x-kubernetes-list-map-keys").and_then(Value::as_array);
                        ListRule::Keyed(
                            keys.into_iter()
                                .flatten()
                                .filter_map(Value::as_str)
                                .collect(),
                        )
                    }
                    _ => ListRule::Atomic,
                }
            }
        }
    }

    /// Whether the map at this place is one value.
    pub fn is_atomic_map(self) -> bool {
        match self {
            Shape::BuiltIn { field, above, .. } => {
                field == "ownerReferences" && above == "metadata" || ATOMIC_MAPS.contains(&field)
            }
            Shape::Custom { schema, .. } => {
                let mark = schema.and_then(|schema| schema.get("x-kubernetes-map-type"));
                mark.and_then(Value::as_str) == Some("atomic")
            }
        }
    }

    /// Whether only a text can stand at this place.
    pub fn is_text(self) -> bool {
        match self {
            // A definition holds a schema, in which every name can stand for anything.
            Shape::BuiltIn {
                kind: "CustomResourceDefinition",
                ..
            } => false,
            Shape::BuiltIn { kind, above, field } => match above {
                "labels" | "annotations" => true,
                "data" => matches!(kind, "ConfigMap" | "Secret"),
                "env" => field == "value",
                _ => false,
            },
            Shape::Custom { .. } => false,
        }
    }

    /// Whether an update that makes the map or list at this place owns it besides what is in it.
    pub fn is_made(self) -> bool {
        match self {
            Shape::BuiltIn { field, .. } => !ALWAYS_THERE.contains(&field),
            Shape::Custom { .. } => true,
        }
    }

    /// Whether no schema says what is at this place: an apply owns such a map besides what is in it.
    pub fn is_unknown(self) -> bool {
        match self {
            Shape::BuiltIn { .. } => false,
            Shape::Custom { schema, root } => {
                !root && schema.is_none_or(|schema| schema.get("type").is_none())
            }
        }
    }
}

/// The element that names `item` in a keyed list, with Kubernetes' one default key (`protocol: TCP`).
pub fn key_element(item: &Value, keys: &[&str]) -> Option<String> {
    let mut named = Map::new();
    for key in keys {
        match item.get(key) {
            Some(value) => {
                named.insert((*key).to_owned(), value.clone());
            }
            None if *key == "protocol" => {
                named.insert("protocol".into(), "TCP".into());
            }
            None => {}
        }
    }
    if named.is_empty() {
        None
    } else {
        Some(format!("k:{}", Value::Object(named)))
    }
}

/// The element that stands for `value` in a set.
pub fn value_element(value: &Value) -> String {
    format!("v:{value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_found_by_where_they_stand() {
        let service = Shape::built_in("Service").field("spec").field("ports");
        assert_eq!(service.list(), ListRule::Keyed(vec!["port", "protocol"]));
        let pod = Shape::built_in("Deployment")
            .field("spec")
            .field("template")
            .field("spec");
        let container = pod.field("initContainers").item();
        assert_eq!(
            container.field("ports").list(),
            ListRule::Keyed(vec!["containerPort", "protocol"])
        );
        assert_eq!(container.field("args").list(), ListRule::Atomic);
        assert_eq!(pod.field("volumes").list(), ListRule::Keyed(vec!["name"]));
        let policy = Shape::built_in("NetworkPolicy")
            .field("spec")
            .field("ingress")
            .item();
        assert_eq!(policy.field("ports").list(), ListRule::Atomic);
        assert_eq!(
            Shape::custom(None)
                .field("metadata")
                .field("finalizers")
                .list(),
            ListRule::Set
        );
        assert!(
            Shape::built_in("Deployment")
                .field("spec")
                .field("selector")
                .is_atomic_map()
        );
    }

    #[test]
    fn labels_are_texts_except_where_a_schema_speaks_of_labels() {
        let label = |kind: &'static str| {
            Shape::built_in(kind)
                .field("metadata")
                .field("labels")
                .field("a")
        };
        assert!(label("ConfigMap").is_text());
        assert!(!label("CustomResourceDefinition").is_text());
    }

    #[test]
    fn custom_resources_follow_their_schema() {
        let schema = json!({"properties": {"spec": {"properties": {"parts": {
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}}}}});
        let spec = Shape::custom(Some(&schema)).field("spec");
        assert_eq!(spec.field("parts").list(), ListRule::Keyed(vec!["id"]));
        assert_eq!(spec.field("other").list(), ListRule::Atomic);
    }

    #[test]
    fn a_port_without_a_protocol_is_tcp() {
        let keys = ["containerPort", "protocol"];
        assert_eq!(
            key_element(&json!({"containerPort": 80}), &keys).as_deref(),
            Some("k:{\"containerPort\":80,\"protocol\":\"TCP\"}")
        );
    }
}
