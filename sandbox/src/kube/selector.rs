//! Label and field selectors.

use super::kinds::Kind;
use super::status::Status;

/// A parsed `labelSelector`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

impl Labels {
    /// Parses `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let refuse = |why: &str| Status::bad_request(format!("unable to parse requirement: {why}"));
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let stray = part.split_whitespace().nth(1).unwrap_or(part);
            let why = || format!("found '{stray}', expected: in, notin, =, ==, !=, gt, lt");
            requirements.push(requirement(part).ok_or_else(|| refuse(&why()))?);
        }
        Ok(Self(requirements))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &[(String, String)]) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels
                .iter()
                .find(|(key, _)| *key == requirement.key)
                .map(|(_, value)| value);
            match (&requirement.operator, value) {
                (Operator::In(values), value) => value.is_some_and(|value| values.contains(value)),
                (Operator::NotIn(values), value) => {
                    !value.is_some_and(|value| values.contains(value))
                }
                (Operator::Exists, value) => value.is_some(),
                (Operator::Absent, value) => value.is_none(),
                (Operator::Greater(bound), value) => value
                    .and_then(|v| v.parse::<i64>().ok())
                    .is_some_and(|v| v > *bound),
                (Operator::Less(bound), value) => value
                    .and_then(|v| v.parse::<i64>().ok())
                    .is_some_and(|v| v < *bound),
            }
        })
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(text: &str) -> Option<Requirement> {
    let made = |key: &str, operator| {
        let key = key.trim();
        is_key(key).then(|| Requirement {
            key: key.to_owned(),
            operator,
        })
    };
    if let Some(key) = text.strip_prefix('!') {
        return made(key, Operator::Absent);
    }
    if let Some((head, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let values: Vec<String> = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let head = head.trim_end();
        return match head.rsplit_once(char::is_whitespace)? {
            (key, "in") => made(key, Operator::In(values)),
            (key, "notin") => made(key, Operator::NotIn(values)),
            _ => None,
        };
    }
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, value)) = text.split_once("!=")
        && !value.contains('=')
    {
        return made(key, Operator::NotIn(one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('='))
        && !value.contains('=')
    {
        return made(key, Operator::In(one(value)));
    }
    if let Some((key, value)) = text.split_once('>') {
        return made(key, Operator::Greater(value.trim().parse().ok()?));
    }
    if let Some((key, value)) = text.split_once('<') {
        return made(key, Operator::Less(value.trim().parse().ok()?));
    }
    made(text, Operator::Exists)
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

/// The fields besides name and namespace that objects can be selected by.
const SELECTABLE: &[(&str, &[&str])] = &[
    (
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
    ),
    ("secrets", &["type"]),
    ("namespaces", &["status.phase"]),
    ("nodes", &["spec.unschedulable"]),
    ("services", &["spec.clusterIP", "spec.type"]),
    ("jobs.batch", &["status.successful"]),
    ("replicasets.apps", &["status.replicas"]),
    ("replicationcontrollers", &["status.replicas"]),
    (
        "events",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
    ),
];

/// A parsed `fieldSelector`: fields, wanted values, and whether equality is wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(Vec<(String, String, bool)>);

impl Fields {
    /// Parses `metadata.name=a,status.phase!=Running`.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let mut fields = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (field, value, true)
            } else {
                return Err(Status::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            fields.push((field.to_owned(), value.to_owned(), equal));
        }
        Ok(Self(fields))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses fields that objects of the kind cannot be selected by.
    pub fn check(&self, kind: &Kind) -> Result<(), Status> {
        let known = SELECTABLE
            .iter()
            .find(|(id, _)| *id == &*kind.id)
            .map_or(&[][..], |(_, fields)| *fields);
        for (field, _, _) in &self.0 {
            let always =
                field == "metadata.name" || (field == "metadata.namespace" && kind.namespaced);
            if always || known.contains(&field.as_str()) {
                continue;
            }
            return Err(Status::bad_request(if kind.custom {
                format!("field label not supported: {field}")
            } else if known.is_empty() {
                format!(
                    "\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                )
            } else {
                format!("field label not supported: {field}")
            }));
        }
        Ok(())
    }

    /// The name it asks for, if it asks for one.
    pub fn name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|(field, _, equal)| field == "metadata.name" && *equal)
            .map(|(_, value, _)| value.as_str())
    }

    /// Whether an object is selected; `object` is asked for only when other fields than name and namespace count.
    pub fn matches(
        &self,
        namespace: &str,
        name: &str,
        object: impl Fn() -> serde_json::Value,
    ) -> bool {
        self.0.iter().all(|(field, wanted, equal)| {
            let is = match field.as_str() {
                "metadata.name" => name == wanted,
                "metadata.namespace" => namespace == wanted,
                field => {
                    let object = object();
                    match object.pointer(&format!("/{}", field.replace('.', "/"))) {
                        Some(serde_json::Value::String(value)) => value == wanted,
                        Some(value) => {
                            let shown = value.to_string();
                            shown == *wanted
                        }
                        None => wanted.is_empty(),
                    }
                }
            };
            is == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a selector that does not parse is a failed test"
    )]
    use super::*;

    #[test]
    fn label_selectors_select_as_kubernetes_does() {
        let labels = [
            ("a".to_owned(), "1".to_owned()),
            ("x/y".to_owned(), "z".to_owned()),
        ];
        for (selector, selected) in [
            ("", true),
            ("a=1", true),
            ("a==1,x/y=z", true),
            ("a!=1", false),
            ("b!=1", true),
            ("a in (1, 2)", true),
            ("a in (2),a", false),
            ("a notin (1,2)", false),
            ("b notin (1)", true),
            ("a", true),
            ("!a", false),
            ("!b", true),
            ("a>0", true),
            ("a<1", false),
        ] {
            assert_eq!(
                Labels::parse(selector).unwrap().matches(&labels),
                selected,
                "{selector}"
            );
        }
        assert!(Labels::parse("a in 1)").is_err());
        assert!(Labels::parse("a b").is_err());
    }

    #[test]
    fn field_selectors_read_names_without_the_object() {
        let untouched = || unreachable!("only names were asked for");
        assert!(
            Fields::parse("metadata.name=a")
                .unwrap()
                .matches("n", "a", untouched)
        );
        assert!(
            !Fields::parse("metadata.namespace!=n")
                .unwrap()
                .matches("n", "a", untouched)
        );
        let object = || serde_json::json!({"status": {"phase": "Running"}});
        assert!(
            Fields::parse("status.phase=Running")
                .unwrap()
                .matches("n", "a", object)
        );
    }
}
