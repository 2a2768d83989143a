//! The schemas of the built-in kinds, and what they and those of custom resources say about a sent object.
//!
//! `schema/v1.36.3.txt` was written from a real server's OpenAPI documents by `schema/compact.py`, which also
//! says how it reads.

mod custom;
mod decode;
mod place;
mod values;

pub use custom::{defaults, faults};
pub use decode::{amount, fault};
pub use place::{Place, complete_keys, misfits, prune};
pub use values::check as check_values;

use std::collections::HashMap;
use std::sync::LazyLock;

const TABLE: &str = include_str!("../../../schema/v1.36.3.txt");

/// What can stand at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A text.
    Text,
    /// True or false.
    Flag,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// Any number.
    Number,
    /// Bytes, as base64.
    Bytes,
    /// A time.
    Time,
    /// A quantity such as `100Mi`.
    Quantity,
    /// A number or a text.
    NumberOrText,
    /// Anything.
    Anything,
    /// An object of the type of that name.
    Object(&'static str),
    /// A list.
    List(Box<Form>),
    /// A map with free names.
    Map(Box<Form>),
}

/// A field of a type.
#[derive(Debug)]
pub struct Field {
    /// What can stand there.
    pub form: Form,
    /// Whether it must be there.
    pub required: bool,
    /// The only values, when there are such.
    pub allowed: Vec<&'static str>,
}

/// The fields of a type, by name.
pub type Fields = HashMap<&'static str, Field>;

struct Schemas {
    types: HashMap<&'static str, Fields>,
    kinds: HashMap<&'static str, Form>,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(read);

/// The form of `group/version/kind`.
pub fn of(kind: &str) -> Option<&'static Form> {
    SCHEMAS.kinds.get(kind)
}

/// The form of `metadata`.
pub fn metadata() -> &'static Form {
    const METADATA: &Form = &Form::Object("meta.v1.ObjectMeta");
    METADATA
}

/// The fields of a type.
pub fn fields(name: &str) -> Option<&'static Fields> {
    SCHEMAS.types.get(name)
}

fn read() -> Schemas {
    let mut schemas = Schemas {
        types: HashMap::new(),
        kinds: HashMap::new(),
    };
    let mut current = "";
    for line in TABLE.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next() else { continue };
        if !line.starts_with(' ') {
            current = first.trim_end_matches('!');
            schemas.types.insert(current, Fields::new());
            if let Some(kind) = words.next() {
                schemas.kinds.insert(kind, Form::Object(current));
            }
            continue;
        }
        let form = form(words.next().unwrap_or("*"));
        let marks: Vec<&str> = words.collect();
        let allowed = marks.iter().find_map(|mark| mark.strip_prefix('|'));
        let field = Field {
            form,
            required: marks.contains(&"+"),
            allowed: allowed.map_or_else(Vec::new, |all| all.split('|').collect()),
        };
        if let Some(fields) = schemas.types.get_mut(current) {
            fields.insert(first, field);
        }
    }
    schemas
}

fn form(text: &'static str) -> Form {
    match text.split_at(1) {
        ("@", name) => Form::Object(name),
        ("[", item) => Form::List(Box::new(form(item))),
        ("{", value) => Form::Map(Box::new(form(value))),
        ("s", _) => Form::Text,
        ("b", _) => Form::Flag,
        ("i", _) => Form::Int,
        ("l", _) => Form::Long,
        ("d", _) => Form::Number,
        ("y", _) => Form::Bytes,
        ("t", _) => Form::Time,
        ("q", _) => Form::Quantity,
        ("x", _) => Form::NumberOrText,
        _ => Form::Anything,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed lookup is a failed test")]
    use super::*;
    use crate::kube::kinds::{BUILT_IN, Verbs};

    #[test]
    fn every_kind_that_is_kept_has_a_schema_and_every_type_that_is_named_is_there() {
        for kind in BUILT_IN.iter().filter(|kind| kind.verbs == Verbs::All) {
            for version in &kind.versions {
                let name = format!("{}/{}/{}", kind.group, version.name, kind.kind);
                assert!(of(&name).is_some(), "{name}");
            }
        }
        fn named(form: &Form) {
            match form {
                Form::Object(name) => assert!(fields(name).is_some(), "{name}"),
                Form::List(item) | Form::Map(item) => named(item),
                _ => {}
            }
        }
        SCHEMAS
            .types
            .values()
            .flat_map(Fields::values)
            .for_each(|field| named(&field.form));
        let service = &fields("core.v1.ServiceSpec").unwrap()["type"];
        assert_eq!(service.allowed[0], "ClusterIP");
    }
}
