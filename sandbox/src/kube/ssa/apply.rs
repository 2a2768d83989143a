//! What applies and updates change: the object, and who owns its fields.

use serde_json::{Value, json};

use super::managed::{Manager, Managers};
use super::merge::{Misshapen, compare, merge, misfit, remove, set_of};
use super::set::Set;
use super::shape::Shape;
use crate::kube::status::Cause;

/// Who writes, what it has the shape of, and when.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who.
    pub writer: &'a Manager,
    /// The shape of the object.
    pub shape: Shape<'a>,
    /// When.
    pub now: &'a str,
}

/// Why an apply was not done.
#[derive(Debug, Clone, PartialEq)]
pub enum Refused {
    /// Others own fields that it would change.
    Conflict { message: String, causes: Vec<Cause> },
    /// The applied object has not the form that its kind asks for.
    Misshapen(String),
}

impl From<Misshapen> for Refused {
    fn from(Misshapen { path, why }: Misshapen) -> Self {
        Refused::Misshapen(format!("{path}: {why}"))
    }
}

/// Fields that nobody owns.
const NOBODYS: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
];

fn stripped(mut set: Set) -> Set {
    for path in NOBODYS {
        set.forget(path);
    }
    set
}

impl Managers {
    /// Takes what changed from everybody but `writer`.
    fn disown(
        &mut self,
        changed: &Set,
        removed: &Set,
        writer: &Manager,
        force: bool,
    ) -> Result<(), Refused> {
        let mut conflicts: Vec<(String, String)> = Vec::new();
        for owned in self.0.iter_mut().filter(|owned| !owned.manager.is(writer)) {
            let common = owned.set.common(changed);
            if !common.is_empty() {
                if force {
                    owned.set.subtract(&common);
                } else {
                    let shown = owned.manager.shown();
                    conflicts.extend(
                        common
                            .leaves()
                            .into_iter()
                            .map(|path| (shown.clone(), path)),
                    );
                }
            }
            owned.set.subtract(removed);
        }
        if conflicts.is_empty() {
            self.0.retain(|owned| !owned.set.is_empty());
            return Ok(());
        }
        Err(conflict(conflicts))
    }

    /// Notes that an update turned `old` into `new`.
    pub fn update(&mut self, old: Option<&Value>, new: &Value, by: &By<'_>) {
        let By { writer, shape, now } = *by;
        let empty = json!({});
        let found = compare(Some(old.unwrap_or(&empty)), Some(new), shape);
        let mut changed = stripped(found.added);
        changed.add(&stripped(found.modified));
        let removed = stripped(found.removed);
        // A forced change meets no conflict.
        let _ = self.disown(&changed, &removed, writer, true);
        let mut own = self.set(writer).cloned().unwrap_or_default();
        own.subtract(&removed);
        own.add(&changed);
        self.put(writer, own, now);
    }

    /// Applies `config` to `live` and answers the new object. `finish` sets defaults before it is compared.
    pub fn apply(
        &mut self,
        live: &Value,
        config: &Value,
        by: &By<'_>,
        force: bool,
        finish: impl FnOnce(&mut Value),
    ) -> Result<Value, Refused> {
        let By { writer, shape, now } = *by;
        if let Some((path, value)) = misfit(config, shape) {
            let why =
                format!("{path}: expected string, got &value.valueUnstructured{{Value:{value}}}");
            return Err(Refused::Misshapen(why));
        }
        let set = stripped(set_of(config, shape)?);
        let last = self.set(writer).cloned();
        let mut new = merge(live.clone(), config, shape);
        self.put(writer, set, now);
        if let Some(last) = last {
            let mut managed = Set::default();
            self.0.iter().for_each(|owned| managed.add(&owned.set));
            let mut gone = last.with_parents();
            gone.subtract(&managed.with_parents());
            remove(&mut new, &gone, shape);
        }
        finish(&mut new);
        let found = compare(Some(live), Some(&new), shape);
        let mut changed = stripped(found.added);
        changed.add(&stripped(found.modified));
        self.disown(&changed, &stripped(found.removed), writer, force)?;
        Ok(new)
    }
}

fn conflict(conflicts: Vec<(String, String)>) -> Refused {
    let causes = conflicts
        .iter()
        .map(|(manager, path)| Cause {
            reason: "FieldManagerConflict",
            message: format!("conflict with {manager}"),
            field: path.clone(),
        })
        .collect();
    let message = if let [(manager, path)] = conflicts.as_slice() {
        format!("Apply failed with 1 conflict: conflict with {manager}: {path}")
    } else {
        let mut managers: Vec<&String> = conflicts.iter().map(|(manager, _)| manager).collect();
        managers.sort();
        managers.dedup();
        let mut lines = Vec::new();
        for manager in managers {
            lines.push(format!("conflicts with {manager}:"));
            let paths = conflicts.iter().filter(|(other, _)| other == manager);
            lines.extend(paths.map(|(_, path)| format!("- {path}")));
        }
        format!(
            "Apply failed with {} conflicts: {}",
            conflicts.len(),
            lines.join("\n")
        )
    };
    Refused::Conflict { message, causes }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a refused apply is a failed test")]
    use super::*;
    use crate::kube::ssa::Operation;

    fn applier(name: &str) -> Manager {
        let (name, api_version) = (name.to_owned(), "v1".to_owned());
        Manager {
            name,
            operation: Operation::Apply,
            api_version,
            subresource: String::new(),
        }
    }

    fn by(writer: &Manager) -> By<'_> {
        By {
            writer,
            shape: Shape::built_in("ConfigMap"),
            now: "now",
        }
    }

    fn apply(
        managers: &mut Managers,
        live: &Value,
        config: Value,
        who: &str,
        force: bool,
    ) -> Result<Value, Refused> {
        let writer = applier(who);
        managers.apply(live, &config, &by(&writer), force, |_| {})
    }

    #[test]
    fn a_field_that_is_no_longer_applied_goes() {
        let mut managers = Managers::default();
        let live = apply(
            &mut managers,
            &json!({}),
            json!({"data": {"a": "1", "b": "1"}}),
            "x",
            false,
        )
        .unwrap();
        let live = apply(
            &mut managers,
            &live,
            json!({"data": {"a": "1"}}),
            "x",
            false,
        )
        .unwrap();
        assert_eq!(live, json!({"data": {"a": "1"}}));
        let live = apply(
            &mut managers,
            &live,
            json!({"metadata": {"labels": {"l": "1"}}}),
            "x",
            false,
        )
        .unwrap();
        assert_eq!(
            live,
            json!({"metadata": {"labels": {"l": "1"}}}),
            "the empty map went with its last field"
        );
    }

    #[test]
    fn a_field_that_another_owns_too_stays() {
        let mut managers = Managers::default();
        let live = apply(
            &mut managers,
            &json!({}),
            json!({"data": {"a": "1", "b": "1"}}),
            "x",
            false,
        )
        .unwrap();
        let live = apply(
            &mut managers,
            &live,
            json!({"data": {"b": "1"}}),
            "y",
            false,
        )
        .unwrap();
        let live = apply(
            &mut managers,
            &live,
            json!({"data": {"a": "1"}}),
            "x",
            false,
        )
        .unwrap();
        assert_eq!(live, json!({"data": {"a": "1", "b": "1"}}));
    }

    #[test]
    fn another_value_of_anothers_field_is_a_conflict_until_forced() {
        let mut managers = Managers::default();
        let live = apply(
            &mut managers,
            &json!({}),
            json!({"data": {"a": "1"}}),
            "x",
            false,
        )
        .unwrap();
        let refused = apply(
            &mut managers.clone(),
            &live,
            json!({"data": {"a": "2"}}),
            "y",
            false,
        )
        .unwrap_err();
        let Refused::Conflict { message, causes } = refused else {
            panic!("not a conflict: {refused:?}")
        };
        assert_eq!(
            message,
            "Apply failed with 1 conflict: conflict with \"x\": .data.a"
        );
        assert_eq!(
            (causes[0].field.as_str(), causes[0].message.as_str()),
            (".data.a", "conflict with \"x\"")
        );
        let live = apply(&mut managers, &live, json!({"data": {"a": "2"}}), "y", true).unwrap();
        assert_eq!(live, json!({"data": {"a": "2"}}));
        assert_eq!(managers.0.len(), 1, "x owns nothing any more");
    }

    #[test]
    fn an_update_takes_fields_and_a_later_apply_conflicts_with_it() {
        let mut managers = Managers::default();
        let live = apply(
            &mut managers,
            &json!({}),
            json!({"data": {"a": "1"}}),
            "x",
            false,
        )
        .unwrap();
        let new = json!({"data": {"a": "2"}});
        let editor = Manager {
            operation: Operation::Update,
            ..applier("kubectl-edit")
        };
        managers.update(Some(&live), &new, &by(&editor));
        let refused =
            apply(&mut managers, &new, json!({"data": {"a": "1"}}), "x", false).unwrap_err();
        let Refused::Conflict { message, .. } = refused else {
            panic!("not a conflict: {refused:?}")
        };
        assert_eq!(
            message,
            "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using v1: .data.a"
        );
    }

    #[test]
    fn the_same_apply_changes_no_owner() {
        let mut managers = Managers::default();
        let live = apply(
            &mut managers,
            &json!({}),
            json!({"data": {"a": "1"}}),
            "x",
            false,
        )
        .unwrap();
        let before = managers.clone();
        let again = apply(
            &mut managers,
            &live,
            json!({"data": {"a": "1"}}),
            "x",
            false,
        )
        .unwrap();
        assert_eq!((again, managers), (live, before));
    }
}
