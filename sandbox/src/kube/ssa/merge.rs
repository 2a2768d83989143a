//! Walks over objects: the fields of one, the difference of two, a merge, and a removal.

use serde_json::{Map, Value};

use super::set::{Set, shown};
use super::shape::{ListRule, Shape, key_element, value_element};

/// Where and why a value does not fit its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Misshapen {
    /// The field, for example `.spec.template.spec.containers`.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
}

impl Misshapen {
    fn new(why: String) -> Self {
        Self {
            path: String::new(),
            why,
        }
    }

    fn under(self, element: &str) -> Self {
        Self {
            path: format!("{}{}", shown(element), self.path),
            ..self
        }
    }
}

/// The first value that is not a text although Kubernetes takes only texts there, with its path.
pub fn misfit<'v>(value: &'v Value, shape: Shape<'_>) -> Option<(String, &'v Value)> {
    match value {
        Value::String(_) | Value::Null => None,
        value if shape.is_text() => Some((String::new(), value)),
        Value::Object(map) => map.iter().find_map(|(name, value)| {
            let (path, value) = misfit(value, shape.field(name))?;
            Some((format!(".{name}{path}"), value))
        }),
        Value::Array(list) => list.iter().enumerate().find_map(|(at, item)| {
            let (path, value) = misfit(item, shape.item())?;
            Some((format!("[{at}]{path}"), value))
        }),
        _ => None,
    }
}

/// The fields that an object sets, as an apply owns them.
pub fn set_of(value: &Value, shape: Shape<'_>) -> Result<Set, Misshapen> {
    let mut set = Set::default();
    match value {
        Value::Object(map) if !shape.is_atomic_map() => {
            for (name, value) in map {
                let mut child = set_of(value, shape.field(name))
                    .map_err(|not| not.under(&format!("f:{name}")))?;
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if empty || shape.field(name).is_unknown() {
                    child.own = true;
                }
                set.put(format!("f:{name}"), child);
            }
        }
        Value::Array(list) => match shape.list() {
            ListRule::Atomic => set.own = true,
            ListRule::Set => {
                for value in list {
                    set.put(value_element(value), Set::leaf());
                }
            }
            ListRule::Keyed(keys) => {
                for (at, item) in list.iter().enumerate() {
                    let element = key_element(item, &keys).ok_or_else(|| {
                        let key = keys.first().copied().unwrap_or_default();
                        Misshapen::new(format!(
                            "element {at}: associative list with keys has an element that omits key field \"{key}\" \
                             (and doesn't have default value)"
                        ))
                    })?;
                    let mut child =
                        set_of(item, shape.item()).map_err(|not| not.under(&element))?;
                    child.own = true;
                    if set.children.contains_key(element.as_str()) {
                        let why = format!("duplicate entries for key {}", shown(&element));
                        return Err(Misshapen::new(why));
                    }
                    set.put(element, child);
                }
            }
        },
        _ => set.own = true,
    }
    Ok(set)
}

/// What differs between two objects.
#[derive(Debug, Default, PartialEq)]
pub struct Comparison {
    /// Fields only the new one has.
    pub added: Set,
    /// Fields whose values differ.
    pub modified: Set,
    /// Fields only the old one has.
    pub removed: Set,
}

impl Comparison {
    fn put(&mut self, element: &str, child: Comparison) {
        self.added.put(element, child.added);
        self.modified.put(element, child.modified);
        self.removed.put(element, child.removed);
    }
}

/// Compares an old with a new value.
pub fn compare(old: Option<&Value>, new: Option<&Value>, shape: Shape<'_>) -> Comparison {
    let mut found = Comparison::default();
    match (old, new) {
        (None, None) => {}
        (Some(old), Some(new)) if old == new => {}
        (None, Some(new)) => found.added = everything(new, shape),
        (Some(old), None) => found.removed = everything(old, shape),
        (Some(Value::Object(old)), Some(Value::Object(new))) if !shape.is_atomic_map() => {
            let gone = old.keys().filter(|name| !new.contains_key(*name));
            for name in new.keys().chain(gone) {
                let child = compare(old.get(name), new.get(name), shape.field(name));
                found.put(&format!("f:{name}"), child);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if shape.list() != ListRule::Atomic => {
            let rule = shape.list();
            let (old, new) = (elements(old, &rule), elements(new, &rule));
            let find = |list: &[(String, &Value)], element: &str| -> Option<usize> {
                list.iter().position(|(name, _)| name == element)
            };
            for (element, item) in &new {
                let before = find(&old, element).map(|at| old[at].1);
                let mut child = compare(before, Some(item), shape.item());
                child.added.own |= before.is_none();
                found.put(element, child);
            }
            for (element, item) in &old {
                if find(&new, element).is_none() {
                    let mut child = compare(Some(item), None, shape.item());
                    child.removed.own = true;
                    found.put(element, child);
                }
            }
        }
        (Some(_), Some(_)) => found.modified = Set::leaf(),
    }
    found
}

/// All fields of a value that appears or disappears as a whole, with the maps and list items themselves.
fn everything(value: &Value, shape: Shape<'_>) -> Set {
    let mut set = Set::default();
    match value {
        Value::Object(map) if !shape.is_atomic_map() => {
            set.own = map.is_empty() || shape.is_made();
            for (name, value) in map {
                set.put(format!("f:{name}"), everything(value, shape.field(name)));
            }
        }
        Value::Array(list) => match shape.list() {
            ListRule::Atomic => set.own = true,
            rule => {
                set.own = shape.is_made();
                for (element, item) in elements(list, &rule) {
                    let mut child = everything(item, shape.item());
                    child.own = true;
                    set.put(element, child);
                }
            }
        },
        _ => set.own = true,
    }
    set
}

/// How a refusal names an item of a list.
pub fn element(item: &Value, at: usize, rule: &ListRule<'_>) -> String {
    match rule {
        ListRule::Atomic => format!("[{at}]"),
        ListRule::Set => shown(&value_element(item)),
        ListRule::Keyed(keys) => match key_element(item, keys) {
            Some(element) => shown(&element),
            None => format!("[{at}]"),
        },
    }
}

fn elements<'a>(list: &'a [Value], rule: &ListRule<'_>) -> Vec<(String, &'a Value)> {
    let name = |item: &Value| match rule {
        ListRule::Keyed(keys) => key_element(item, keys).unwrap_or_else(|| value_element(item)),
        _ => value_element(item),
    };
    list.iter().map(|item| (name(item), item)).collect()
}

/// `live` with everything that `config` sets.
pub fn merge(live: Value, config: &Value, shape: Shape<'_>) -> Value {
    match (live, config) {
        (Value::Object(mut live), Value::Object(config)) if !shape.is_atomic_map() => {
            for (name, value) in config {
                let merged = match live.remove(name) {
                    Some(old) => merge(old, value, shape.field(name)),
                    None => value.clone(),
                };
                live.insert(name.clone(), merged);
            }
            Value::Object(live)
        }
        (Value::Array(live), Value::Array(config)) if shape.list() != ListRule::Atomic => {
            Value::Array(merge_lists(live, config, shape))
        }
        (_, config) => config.clone(),
    }
}

/// The items of both: those of `live` that are not in `config` stay where they are, the others follow the order
/// of `config`.
fn merge_lists(live: Vec<Value>, config: &[Value], shape: Shape<'_>) -> Vec<Value> {
    let rule = shape.list();
    let named = |list: &[Value]| -> Vec<String> {
        elements(list, &rule)
            .into_iter()
            .map(|(element, _)| element)
            .collect()
    };
    let (live_names, names) = (named(&live), named(config));
    let mut live: Vec<Option<Value>> = live.into_iter().map(Some).collect();
    let mut merged = Vec::with_capacity(live.len() + config.len());
    let (mut l, mut r) = (0, 0);
    while l < live.len() || r < config.len() {
        let next_of_both = names.iter().skip(r).find(|name| live_names.contains(name));
        let mine = live_names.get(l);
        if mine.is_some_and(|mine| !names.contains(mine)) {
            merged.extend(live[l].take());
            l += 1;
        } else if mine.is_some() && mine != next_of_both {
            // It comes, or came, where `config` has it.
            l += 1;
        } else {
            let before = live_names
                .iter()
                .position(|name| *name == names[r])
                .and_then(|at| live[at].take());
            merged.push(match before {
                Some(before) if rule == ListRule::Set => before,
                Some(before) => merge(before, &config[r], shape.item()),
                None => config[r].clone(),
            });
            r += 1;
        }
    }
    merged
}

/// Removes the members of `gone` from `value`; a map or list that becomes empty by it goes too.
/// Answers whether `value` itself should go.
pub fn remove(value: &mut Value, gone: &Set, shape: Shape<'_>) -> bool {
    if gone.children.is_empty() {
        return false;
    }
    match value {
        Value::Object(map) => {
            let before = map.len();
            for (element, child) in &gone.children {
                let Some(name) = element.strip_prefix("f:") else {
                    continue;
                };
                if child.own {
                    map.remove(name);
                } else if let Some(value) = map.get_mut(name)
                    && remove(value, child, shape.field(name))
                {
                    map.remove(name);
                }
            }
            before > 0 && map.is_empty()
        }
        Value::Array(list) => {
            let before = list.len();
            let rule = shape.list();
            let names: Vec<String> = elements(list, &rule)
                .into_iter()
                .map(|(element, _)| element)
                .collect();
            let mut names = names.iter();
            list.retain_mut(|item| {
                let child = names
                    .next()
                    .and_then(|name| gone.children.get(name.as_str()));
                match child {
                    None => true,
                    Some(child) if child.own => false,
                    Some(child) => !remove(item, child, shape.item()),
                }
            });
            before > 0 && list.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "an object that does not fit is a failed test"
    )]
    use super::*;
    use serde_json::json;

    fn deployment(containers: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn an_apply_owns_leaves_and_list_items() {
        let object = json!({"metadata": {"labels": {"a": "b"}, "finalizers": ["x"]},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [
                {"name": "c", "args": ["1"], "env": [{"name": "E", "value": "v"}], "resources": {}}]}}}});
        let set = set_of(&object, Shape::built_in("Deployment")).unwrap();
        assert_eq!(
            set.to_json(),
            json!({"f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x\"": {}}},
                "f:spec": {"f:selector": {}, "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                    ".": {}, "f:name": {}, "f:args": {}, "f:resources": {},
                    "f:env": {"k:{\"name\":\"E\"}": {".": {}, "f:name": {}, "f:value": {}}}}}}}}})
        );
    }

    #[test]
    fn a_key_that_comes_twice_is_refused() {
        let object = deployment(json!([{"name": "a"}, {"name": "a"}]));
        assert!(set_of(&object, Shape::built_in("Deployment")).is_err());
    }

    #[test]
    fn lists_merge_by_key_in_the_applied_order() {
        let live = deployment(
            json!([{"name": "side", "image": "1"}, {"name": "a", "image": "1", "tty": true}]),
        );
        let config = deployment(json!([{"name": "b", "image": "2"}, {"name": "a", "image": "2"}]));
        assert_eq!(
            merge(live, &config, Shape::built_in("Deployment")),
            deployment(json!([
                {"name": "side", "image": "1"},
                {"name": "b", "image": "2"},
                {"name": "a", "image": "2", "tty": true}
            ]))
        );
    }

    #[test]
    fn a_comparison_names_what_was_added_changed_and_removed() {
        let old = json!({"data": {"a": "1", "b": "1", "c": "1"}});
        let new = json!({"data": {"a": "1", "b": "2", "d": "1"}});
        let found = compare(Some(&old), Some(&new), Shape::built_in("ConfigMap"));
        assert_eq!(found.added.leaves(), [".data.d"]);
        assert_eq!(found.modified.leaves(), [".data.b"]);
        assert_eq!(found.removed.leaves(), [".data.c"]);
    }

    #[test]
    fn a_removal_takes_what_becomes_empty_with_it() {
        let mut object =
            json!({"metadata": {"name": "x", "labels": {"a": "1"}}, "data": {"k": "v", "l": "w"}});
        let gone = Set::from_json(
            &json!({"f:metadata": {"f:labels": {"f:a": {}}}, "f:data": {"f:k": {}}}),
        );
        assert!(!remove(&mut object, &gone, Shape::built_in("ConfigMap")));
        assert_eq!(
            object,
            json!({"metadata": {"name": "x"}, "data": {"l": "w"}})
        );
    }
}
