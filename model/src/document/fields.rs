//! Reads the fields of a document one by one, so that what is left over can be refused by name.

use super::{DocumentError, parse_duration};
use crate::text::{clipped, nearest, quoted};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where an error is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub file: &'a str,
    pub document: usize,
}

/// One mapping of a document.
pub(super) struct Fields<'a> {
    place: Place<'a>,
    path: String,
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

pub(super) type Result<T> = std::result::Result<T, DocumentError>;

/// Names of fields that nobody knows are shown up to this many bytes.
const LONGEST_NAME: usize = 80;

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

impl<'a> Fields<'a> {
    pub fn new(place: Place<'a>, path: String, value: Value) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self {
                place,
                path,
                map,
                known: Vec::new(),
            }),
            other => Err(DocumentError {
                file: place.file.to_owned(),
                document: place.document,
                field: path,
                cause: format!("must be a mapping, found {}", type_name(&other)),
                next_step: "correct the indentation".to_owned(),
            }),
        }
    }

    fn path(&self, name: &str) -> String {
        let name = clipped(name, LONGEST_NAME);
        if self.path.is_empty() {
            name
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub fn refuse(
        &self,
        name: &str,
        cause: impl Into<String>,
        next: impl Into<String>,
    ) -> DocumentError {
        DocumentError {
            file: self.place.file.to_owned(),
            document: self.place.document,
            field: if name.is_empty() {
                self.path.clone()
            } else {
                self.path(name)
            },
            cause: cause.into(),
            next_step: next.into(),
        }
    }

    fn wrong(&self, name: &str, want: &str, found: &Value) -> DocumentError {
        let next = match (want, found) {
            ("text", Value::Bool(_) | Value::Number(_)) => "put it in quotes".to_owned(),
            _ => format!("write {want}"),
        };
        self.refuse(
            name,
            format!("must be {want}, found {}", type_name(found)),
            next,
        )
    }

    pub fn missing(&self, name: &str) -> DocumentError {
        // What stands there instead is most likely what was meant.
        let written = self.map.keys().map(String::as_str);
        let next = match nearest(name, written.filter(|key| !self.known.contains(key))) {
            Some(written) => format!("write it in place of {}", quoted(written)),
            None => format!("add {name}"),
        };
        self.refuse(name, "is missing", next)
    }

    /// The value and the name that it is known by from here on; null counts as absent.
    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.map.remove(name).filter(|value| !value.is_null())
    }

    pub fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "text", &other)),
        }
    }

    pub fn required(&mut self, name: &'static str) -> Result<String> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.missing(name))
    }

    pub fn boolean(&mut self, name: &'static str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.wrong(name, "true or false", &other)),
        }
    }

    pub fn number(&mut self, name: &'static str) -> Result<Option<f64>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_f64()),
            Some(other) => Err(self.wrong(name, "a number", &other)),
        }
    }

    pub fn duration(&mut self, name: &'static str) -> Result<Option<u64>> {
        let text = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Number(zero)) if zero.as_u64() == Some(0) => return Ok(Some(0)),
            Some(other) => {
                let next = "write it with a unit, as in 500ms, 5s, 10m";
                let cause = format!("must be a duration, found {}", type_name(&other));
                return Err(self.refuse(name, cause, next));
            }
        };
        match parse_duration(&text) {
            Some(ms) => Ok(Some(ms)),
            None => Err(self.refuse(
                name,
                format!("{} is no duration", quoted(&text)),
                "write it as in 500ms, 5s, 10m, 1h30m",
            )),
        }
    }

    /// One of some words, case ignored; the first is the default.
    pub fn word(&mut self, name: &'static str, words: &[&'static str]) -> Result<&'static str> {
        let Some(text) = self.text(name)? else {
            return Ok(words[0]);
        };
        words
            .iter()
            .copied()
            .find(|word| word.eq_ignore_ascii_case(&text))
            .ok_or_else(|| {
                let next = format!("write {}", words.join(" or "));
                self.refuse(name, format!("{} is not known", quoted(&text)), next)
            })
    }

    /// A mapping below; absent = empty.
    pub fn mapping(&mut self, name: &'static str) -> Result<Fields<'a>> {
        let value = self.take(name).unwrap_or_else(|| Value::Object(Map::new()));
        Fields::new(self.place, self.path(name), value)
    }

    /// The mappings of a list; absent = none.
    pub fn list(&mut self, name: &'static str) -> Result<Vec<Fields<'a>>> {
        self.items(name)?
            .into_iter()
            .enumerate()
            .map(|(i, item)| Fields::new(self.place, format!("{}[{i}]", self.path(name)), item))
            .collect()
    }

    /// A list of texts; absent = none.
    pub fn texts(&mut self, name: &'static str) -> Result<Vec<String>> {
        let mut out = Vec::new();
        for (i, item) in self.items(name)?.into_iter().enumerate() {
            match item {
                Value::String(text) if !text.is_empty() => out.push(text),
                other => return Err(self.wrong(&format!("{name}[{i}]"), "text", &other)),
            }
        }
        Ok(out)
    }

    fn items(&mut self, name: &'static str) -> Result<Vec<Value>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(self.wrong(name, "a list", &other)),
        }
    }

    /// A mapping of texts; absent = empty.
    pub fn text_map(&mut self, name: &'static str) -> Result<BTreeMap<String, String>> {
        let map = match self.take(name) {
            None => return Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map,
            Some(other) => return Err(self.wrong(name, "a mapping", &other)),
        };
        let mut out = BTreeMap::new();
        for (key, value) in map {
            match value {
                Value::String(text) => {
                    out.insert(key, text);
                }
                other => return Err(self.wrong(&format!("{name}.{key}"), "text", &other)),
            }
        }
        Ok(out)
    }

    /// Refuses what nobody asked for, by name.
    pub fn finish(self) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => {
                let next = match nearest(name, self.known.iter().copied()) {
                    Some(meant) => format!("write {meant}, or remove it"),
                    None => "remove it".to_owned(),
                };
                let next = format!("{next}; known here: {}", self.known.join(", "));
                Err(self.refuse(name, "is not known", next))
            }
        }
    }
}
