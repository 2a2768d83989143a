//! YAML to JSON values with kubectl's meaning, in bounded memory: events of the parser are put
//! together here, because no serde front end resolves scalars as kubectl does.

use super::scalar;
use crate::text::quoted;
use base64::Engine;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Collections inside collections.
pub const MAX_DEPTH: usize = 100;
/// What anchors and aliases may copy, in bytes of text plus [`NODE_WEIGHT`] per node.
const MAX_COPIED: usize = 2 << 20;
const NODE_WEIGHT: usize = 32;

/// A text that is no YAML, or that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct YamlError {
    /// The document's number in the text, from 1.
    pub document: usize,
    pub line: usize,
    pub cause: String,
}

/// One document that says something.
#[derive(Debug, Clone, PartialEq)]
pub struct YamlDocument {
    /// Its number in the text, from 1; documents of comments only are counted but not listed.
    pub number: usize,
    pub value: Value,
}

/// How YAML is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Kubernetes objects, as kubectl reads them: `yes` is true, `0644` is 420, of a key that stands
    /// twice the last one wins.
    Kubectl,
    /// Our own documents: only `true` and `false` are booleans (an app may be called `y`), and a
    /// key that stands twice is refused.
    Muster,
}

/// Reads YAML or JSON, several documents.
///
/// # Errors
/// Syntax errors; NUL; nesting over [`MAX_DEPTH`]; aliases that blow up; keys that are no
/// scalars; numbers that JSON does not know.
pub fn parse(text: &str, dialect: Dialect) -> Result<Vec<YamlDocument>, YamlError> {
    if let Some(at) = text.find('\0') {
        let line = text[..at].matches('\n').count() + 1;
        return Err(YamlError {
            document: 1,
            line,
            cause: "a NUL character".to_owned(),
        });
    }
    if dialect == Dialect::Kubectl
        && text.trim_start().starts_with('{')
        && let Some(documents) = parse_json(text)
    {
        return Ok(documents);
    }
    let mut composer = Composer::new(dialect);
    composer.read(text)?;
    Ok(composer.done)
}

/// JSON has its own reader: it is faster and knows no limit on the length of keys. What it does
/// not understand is left to the YAML reader.
fn parse_json(text: &str) -> Option<Vec<YamlDocument>> {
    let mut documents = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.ok()?;
        if depth(&value) > MAX_DEPTH || has_nul(&value) {
            return None;
        }
        if !value.is_null() {
            documents.push(YamlDocument {
                number: documents.len() + 1,
                value,
            });
        }
    }
    Some(documents)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn weight(value: &Value) -> usize {
    NODE_WEIGHT
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| key.len() + weight(value))
                .sum(),
            _ => 0,
        }
}

enum Frame {
    Sequence {
        items: Vec<Value>,
        anchor: usize,
    },
    /// `own` = the keys it says itself, kept only where repeats are refused.
    Mapping {
        map: Map<String, Value>,
        key: Option<Key>,
        own: HashSet<String>,
        anchor: usize,
    },
}

enum Key {
    Text(String),
    /// `<<`
    Merge,
}

struct Composer {
    dialect: Dialect,
    number: usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Value>,
    copied: usize,
    done: Vec<YamlDocument>,
}

impl Composer {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            number: 0,
            stack: Vec::new(),
            anchors: HashMap::new(),
            copied: 0,
            done: Vec::new(),
        }
    }

    fn read(&mut self, text: &str) -> Result<(), YamlError> {
        let mut options = granit_parser::Options::default();
        options.set_emit_comments(false);
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, line) = match next {
                Ok((event, span)) => (event, span.start.line()),
                Err(error) => {
                    let document = self.number.max(1);
                    let line = error.marker().line();
                    let cause = match error.kind() {
                        ErrorKind::RecursionLimitExceeded => too_deep(),
                        _ => error.info(),
                    };
                    return Err(YamlError {
                        document,
                        line,
                        cause,
                    });
                }
            };
            self.take(event).map_err(|cause| YamlError {
                document: self.number.max(1),
                line,
                cause,
            })?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => {
                self.number += 1;
                self.anchors.clear();
            }
            Event::Scalar(text, style, anchor, tag) => {
                if text.contains('\0') {
                    return Err("a NUL character".to_owned());
                }
                let plain = style == ScalarStyle::Plain;
                if plain
                    && text == "<<"
                    && tag.is_none()
                    && let Some(Frame::Mapping {
                        key: key @ None, ..
                    }) = self.stack.last_mut()
                {
                    *key = Some(Key::Merge);
                    return Ok(());
                }
                let value = scalar_value(&text, plain, tag.as_deref(), self.dialect)?;
                self.anchored(anchor, &value)?;
                self.put(value)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.deeper(1)?;
                self.stack.push(Frame::Sequence {
                    items: Vec::new(),
                    anchor,
                });
            }
            Event::MappingStart(_, anchor, _) => {
                self.deeper(1)?;
                self.stack.push(Frame::Mapping {
                    map: Map::new(),
                    key: None,
                    own: HashSet::new(),
                    anchor,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (value, anchor) = match self.stack.pop() {
                    Some(Frame::Sequence { items, anchor }) => (Value::Array(items), anchor),
                    Some(Frame::Mapping { map, anchor, .. }) => (Value::Object(map), anchor),
                    None => return Ok(()),
                };
                self.anchored(anchor, &value)?;
                self.put(value)?;
            }
            Event::Alias(id) => {
                let Some(value) = self.anchors.get(&id) else {
                    return Err("an alias inside of what it stands for".to_owned());
                };
                let (weight, depth) = (weight(value), depth(value));
                self.deeper(depth)?;
                self.copy(weight)?;
                let value = self.anchors[&id].clone();
                self.put(value)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn deeper(&self, by: usize) -> Result<(), String> {
        if self.stack.len() + by > MAX_DEPTH {
            return Err(too_deep());
        }
        Ok(())
    }

    fn copy(&mut self, weight: usize) -> Result<(), String> {
        self.copied += weight;
        if self.copied > MAX_COPIED {
            return Err("aliases blow the document up beyond measure".to_owned());
        }
        Ok(())
    }

    fn anchored(&mut self, anchor: usize, value: &Value) -> Result<(), String> {
        if anchor > 0 {
            self.copy(weight(value))?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, value: Value) -> Result<(), String> {
        match self.stack.last_mut() {
            None if value.is_null() => {}
            None => self.done.push(YamlDocument {
                number: self.number,
                value,
            }),
            Some(Frame::Sequence { items, .. }) => items.push(value),
            Some(Frame::Mapping { map, key, own, .. }) => match key.take() {
                None => *key = Some(Key::Text(key_text(value)?)),
                Some(Key::Merge) => merge(map, value)?,
                Some(Key::Text(name)) => {
                    if self.dialect == Dialect::Muster && !own.insert(name.clone()) {
                        return Err(format!("the field {} stands twice", quoted(&name)));
                    }
                    map.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

fn too_deep() -> String {
    format!("nested deeper than {MAX_DEPTH}")
}

fn key_text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null => Err("a field without a name".to_owned()),
        Value::Array(_) | Value::Object(_) => Err("a collection as a field's name".to_owned()),
    }
}

/// `<<` as kubectl does it: what stands behind it in the mapping wins over it, it wins over what
/// stands before, and of a list the first mapping wins.
fn merge(map: &mut Map<String, Value>, value: Value) -> Result<(), String> {
    let sources = match value {
        Value::Array(items) => items,
        other => vec![other],
    };
    for source in sources.into_iter().rev() {
        let Value::Object(source) = source else {
            return Err("'<<' merges mappings only".to_owned());
        };
        map.extend(source);
    }
    Ok(())
}

fn scalar_value(
    text: &str,
    plain: bool,
    tag: Option<&Tag>,
    dialect: Dialect,
) -> Result<Value, String> {
    let Some(tag) = tag else {
        if plain && scalar::is_not_finite(text) {
            return Err("a number that JSON does not know".to_owned());
        }
        let word = dialect == Dialect::Muster && scalar::is_boolean_word(text);
        return Ok(if plain && !word {
            scalar::resolve(text)
        } else {
            text.into()
        });
    };
    let name = tag.suffix_in_namespace("tag:yaml.org,2002:");
    let wrong = || format!("the value is no {}", tag.original());
    let value = scalar::resolve(text);
    match name.as_deref() {
        Some("int") if value.is_i64() || value.is_u64() => Ok(value),
        Some("float") if value.is_number() => Ok(value),
        Some("bool") if value.is_boolean() => Ok(value),
        Some("null") if value.is_null() => Ok(value),
        Some("int" | "float" | "bool" | "null") => Err(wrong()),
        Some("binary") => {
            let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(packed)
                .map_err(|_| "!!binary is no base64".to_owned())?;
            let text = String::from_utf8(bytes).map_err(|_| "!!binary is no text".to_owned())?;
            if text.contains('\0') {
                return Err("a NUL character".to_owned());
            }
            Ok(text.into())
        }
        _ => Ok(text.into()),
    }
}

#[cfg(test)]
#[path = "yaml/tests.rs"]
mod tests;
