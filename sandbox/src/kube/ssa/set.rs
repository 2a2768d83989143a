//! Sets of fields, in the wire form of `fieldsV1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A tree of fields. Each element is written as in `fieldsV1`: `f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// Whether the element itself belongs to the set (`.`, or a leaf).
    pub own: bool,
    /// The elements below it.
    pub children: BTreeMap<Box<str>, Set>,
}

impl Set {
    /// The set of one leaf.
    pub fn leaf() -> Self {
        Self {
            own: true,
            children: BTreeMap::new(),
        }
    }

    /// Whether nothing belongs to it.
    pub fn is_empty(&self) -> bool {
        !self.own && self.children.is_empty()
    }

    /// Puts `child` under `element` unless it is empty.
    pub fn put(&mut self, element: impl Into<Box<str>>, child: Set) {
        if !child.is_empty() {
            self.children.insert(element.into(), child);
        }
    }

    /// Adds everything of `other`.
    pub fn add(&mut self, other: &Set) {
        self.own |= other.own;
        for (element, theirs) in &other.children {
            match self.children.get_mut(element) {
                Some(ours) => ours.add(theirs),
                None => {
                    self.children.insert(element.clone(), theirs.clone());
                }
            }
        }
    }

    /// Removes everything of `other`.
    pub fn subtract(&mut self, other: &Set) {
        self.own &= !other.own;
        for (element, theirs) in &other.children {
            if let Some(ours) = self.children.get_mut(element) {
                ours.subtract(theirs);
                if ours.is_empty() {
                    self.children.remove(element);
                }
            }
        }
    }

    /// What belongs to both.
    pub fn common(&self, other: &Set) -> Set {
        let mut common = Set {
            own: self.own && other.own,
            children: BTreeMap::new(),
        };
        for (element, ours) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                common.put(element.clone(), ours.common(theirs));
            }
        }
        common
    }

    /// The same set with every named field above a member made a member too: a field that holds only what
    /// goes away goes away itself.
    pub fn with_parents(&self) -> Set {
        let mut all = self.clone();
        all.mark_parents(false);
        all
    }

    fn mark_parents(&mut self, is_field: bool) {
        self.own |= is_field && !self.children.is_empty();
        for (element, child) in &mut self.children {
            child.mark_parents(element.starts_with("f:"));
        }
    }

    /// Drops the element at `path`, itself only.
    pub fn forget(&mut self, path: &[&str]) {
        match path {
            [] => self.own = false,
            [first, rest @ ..] => {
                if let Some(child) = self.children.get_mut(*first) {
                    child.forget(rest);
                    if child.is_empty() {
                        self.children.remove(*first);
                    }
                }
            }
        }
    }

    /// The members with no member below them, as paths for people: `.spec.containers[name="x"].image`.
    pub fn leaves(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_leaves(&mut String::new(), &mut found);
        found
    }

    fn collect_leaves(&self, path: &mut String, found: &mut Vec<String>) {
        if self.children.is_empty() {
            if self.own {
                found.push(path.clone());
            }
            return;
        }
        for (element, child) in &self.children {
            let length = path.len();
            path.push_str(&shown(element));
            child.collect_leaves(path, found);
            path.truncate(length);
        }
    }

    /// As `fieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.own && !self.children.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            map.insert(element.to_string(), child.to_json());
        }
        Value::Object(map)
    }

    /// From `fieldsV1`; what is not of that form is left away.
    pub fn from_json(fields: &Value) -> Self {
        let mut set = Self::below(fields);
        set.own = fields.get(".").is_some();
        set
    }

    fn below(fields: &Value) -> Self {
        let mut set = Set::default();
        let Value::Object(map) = fields else {
            return set;
        };
        set.own = map.is_empty() || map.contains_key(".");
        for (element, child) in map {
            if element != "." {
                set.put(element.as_str(), Self::below(child));
            }
        }
        set
    }
}

/// An element the way conflict messages print it.
pub(super) fn shown(element: &str) -> String {
    let Some((kind, text)) = element.split_once(':') else {
        return element.to_owned();
    };
    match kind {
        "f" => format!(".{text}"),
        "k" => {
            let keys: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
            let keys: Vec<String> = keys
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            format!("[{}]", keys.join(","))
        }
        "v" => format!("[={text}]"),
        _ => format!("[{text}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields() -> Value {
        json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}},
               "f:spec": {"f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:image": {}, "f:ports": {
                   "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}}}}},
                          "f:finalizers": {"v:\"y\"": {}}}})
    }

    #[test]
    fn the_wire_form_survives_a_round_trip() {
        let mut fields = fields();
        let set = Set::from_json(&fields);
        // The one place where the wire form has two spellings: a leaf is written without its dot.
        fields["f:spec"]["f:containers"]["k:{\"name\":\"x\"}"]["f:ports"]["k:{\"containerPort\":80,\"protocol\":\"TCP\"}"] =
            json!({});
        assert_eq!(set.to_json(), fields);
        assert_eq!(Set::from_json(&set.to_json()), set);
    }

    #[test]
    fn leaves_are_printed_as_paths() {
        assert_eq!(
            Set::from_json(&fields()).leaves(),
            [
                ".metadata.labels.a",
                ".spec.containers[name=\"x\"].image",
                ".spec.containers[name=\"x\"].ports[containerPort=80,protocol=\"TCP\"]",
                ".spec.finalizers[=\"y\"]",
            ]
        );
    }

    #[test]
    fn sets_add_subtract_and_intersect() {
        let a = Set::from_json(&json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}}));
        let b = Set::from_json(&json!({"f:b": {"f:c": {}}, "f:d": {}}));
        let mut sum = a.clone();
        sum.add(&b);
        assert_eq!(
            sum.to_json(),
            json!({"f:a": {}, "f:b": {".": {}, "f:c": {}}, "f:d": {}})
        );
        let mut rest = a.clone();
        rest.subtract(&b);
        assert_eq!(rest.to_json(), json!({"f:a": {}, "f:b": {}}));
        assert_eq!(a.common(&b).to_json(), json!({"f:b": {"f:c": {}}}));
    }

    #[test]
    fn parents_of_members_become_members_but_not_list_items() {
        let set = Set::from_json(&json!({"f:a": {"k:{\"name\":\"x\"}": {"f:b": {}}}}));
        assert_eq!(
            set.with_parents().to_json(),
            json!({"f:a": {".": {}, "k:{\"name\":\"x\"}": {"f:b": {}}}})
        );
    }
}
