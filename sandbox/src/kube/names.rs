//! Names and labels: what Kubernetes takes for one.

use serde_json::Value;

use super::kinds::Kind;
use super::object;
use super::status::Cause;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// Why a text is no label.
pub const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
/// Why a text is no value of a label.
pub const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
    '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
    used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// What is wrong with an object's name, labels and annotations.
pub fn check(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let name = object::name(object);
    if name.is_empty() {
        causes.push(Cause::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else if let Some(why) = why_not(kind, name) {
        causes.push(Cause::invalid("metadata.name", &name.into(), &why));
    }
    for (key, value) in object::meta(object)
        .and_then(|meta| meta.get("labels"))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if !is_qualified(key) {
            causes.push(Cause::invalid(
                "metadata.labels",
                &key.as_str().into(),
                QUALIFIED,
            ));
        }
        match value.as_str() {
            Some(text) if text.len() > 63 => {
                causes.push(Cause::invalid(
                    "metadata.labels",
                    value,
                    "must be no more than 63 bytes",
                ));
            }
            Some(text) if is_label_value(text) => {}
            _ => causes.push(Cause::invalid("metadata.labels", value, LABEL_VALUE)),
        }
    }
    for (key, _) in object::meta(object)
        .and_then(|meta| meta.get("annotations"))
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if !is_qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid(
                "metadata.annotations",
                &key.as_str().into(),
                QUALIFIED,
            ));
        }
    }
}

/// Why a name cannot be the name of an object of this kind.
fn why_not(kind: &Kind, name: &str) -> Option<String> {
    let too_long =
        |limit: usize| (name.len() > limit).then(|| format!("must be no more than {limit} bytes"));
    match &*kind.id {
        "namespaces" | "services" => {
            too_long(63).or_else(|| (!is_label(name)).then(|| LABEL.to_owned()))
        }
        "statefulsets.apps" => too_long(63).or_else(|| (!is_label(name)).then(|| LABEL.to_owned())),
        id if id.ends_with("rbac.authorization.k8s.io")
            || id == "customresourcedefinitions.apiextensions.k8s.io" =>
        {
            match name {
                "." | ".." => Some(format!("may not be '{name}'")),
                name if name.contains(['/', '%']) => {
                    let what = if name.contains('/') { '/' } else { '%' };
                    Some(format!("may not contain '{what}'"))
                }
                _ => None,
            }
        }
        _ => too_long(253).or_else(|| (!is_subdomain(name)).then(|| SUBDOMAIN.to_owned())),
    }
}

/// An RFC 1123 label of any length.
pub fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// An RFC 1123 subdomain.
pub fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Whether a label can have this value.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name_part(text)
}

fn is_name_part(text: &str) -> bool {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    edge(text.bytes().next()) && edge(text.bytes().last()) && text.bytes().all(inner)
}

fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name) && name.len() <= 63,
        None => is_name_part(key) && key.len() <= 63,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed lookup is a failed test")]
    use super::*;
    use crate::kube::kinds::built_in;
    use serde_json::json;

    #[test]
    fn names_follow_the_rules_of_their_kind() {
        for (kind, name, good) in [
            ("configmaps", "a.b-c", true),
            ("configmaps", "A_b", false),
            ("configmaps", "-a", false),
            ("namespaces", "a.b", false),
            ("services", "1a", true),
            ("services", "a.b", false),
            ("services", "a1", true),
            (
                "clusterroles.rbac.authorization.k8s.io",
                "system:Node_x",
                true,
            ),
            ("clusterroles.rbac.authorization.k8s.io", "a/b", false),
        ] {
            let mut causes = Vec::new();
            check(
                built_in(kind).unwrap(),
                &json!({"metadata": {"name": name}}),
                &mut causes,
            );
            assert_eq!(causes.is_empty(), good, "{kind} {name}: {causes:?}");
        }
    }

    #[test]
    fn labels_are_checked() {
        for (key, value, good) in [
            ("a/b", "c", true),
            ("a", "", true),
            ("A b", "c", false),
            ("a", "b c", false),
        ] {
            let mut causes = Vec::new();
            let object = json!({"metadata": {"name": "x", "labels": {key: value}}});
            check(built_in("configmaps").unwrap(), &object, &mut causes);
            assert_eq!(causes.is_empty(), good, "{key}={value}: {causes:?}");
        }
    }
}
