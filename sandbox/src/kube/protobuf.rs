//! Kubernetes' protobuf bodies, for the few kinds that kubectl sends in no other form.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What a field holds, and its name in JSON.
enum Field {
    Text(&'static str),
    Texts(&'static str),
    Number(&'static str),
    Flag(&'static str),
    Message(&'static str, Fields),
    Messages(&'static str, Fields),
    TextMap(&'static str),
    BytesMap(&'static str),
    /// What the server makes itself, and drops when it is sent.
    Ignored,
}

type Fields = &'static [(u64, Field)];

use Field::{BytesMap, Flag, Ignored, Message, Messages, Number, Text, TextMap, Texts};

const OWNER: Fields = &[
    (1, Text("kind")),
    (3, Text("name")),
    (4, Text("uid")),
    (5, Text("apiVersion")),
    (6, Flag("controller")),
    (7, Flag("blockOwnerDeletion")),
];

const META: Fields = &[
    (1, Text("name")),
    (2, Text("generateName")),
    (3, Text("namespace")),
    (5, Text("uid")),
    (6, Text("resourceVersion")),
    (7, Ignored),
    (8, Ignored),
    (11, TextMap("labels")),
    (12, TextMap("annotations")),
    (13, Messages("ownerReferences", OWNER)),
    (14, Texts("finalizers")),
];

const DELETE_OPTIONS: Fields = &[
    (1, Number("gracePeriodSeconds")),
    (
        2,
        Message(
            "preconditions",
            &[(1, Text("uid")), (2, Text("resourceVersion"))],
        ),
    ),
    (3, Flag("orphanDependents")),
    (4, Text("propagationPolicy")),
    (5, Texts("dryRun")),
];

const RESOURCE_ATTRIBUTES: Fields = &[
    (1, Text("namespace")),
    (2, Text("verb")),
    (3, Text("group")),
    (4, Text("version")),
    (5, Text("resource")),
    (6, Text("subresource")),
    (7, Text("name")),
];

const ACCESS: Fields = &[
    (1, Message("resourceAttributes", RESOURCE_ATTRIBUTES)),
    (
        2,
        Message(
            "nonResourceAttributes",
            &[(1, Text("path")), (2, Text("verb"))],
        ),
    ),
];

const CONTAINER: Fields = &[
    (1, Text("name")),
    (2, Text("image")),
    (3, Texts("command")),
    (4, Texts("args")),
    (
        6,
        Messages(
            "ports",
            &[
                (1, Text("name")),
                (3, Number("containerPort")),
                (4, Text("protocol")),
            ],
        ),
    ),
    (7, Messages("env", &[(1, Text("name")), (2, Text("value"))])),
    (14, Text("imagePullPolicy")),
];

const TEMPLATE: Fields = &[
    (1, Message("metadata", META)),
    (
        2,
        Message(
            "spec",
            &[
                (2, Messages("containers", CONTAINER)),
                (3, Text("restartPolicy")),
            ],
        ),
    ),
];

const DEPLOYMENT: Fields = &[
    (1, Number("replicas")),
    (2, Message("selector", &[(1, TextMap("matchLabels"))])),
    (3, Message("template", TEMPLATE)),
    (4, Message("strategy", &[(1, Text("type"))])),
];

/// The kinds that are understood.
const KINDS: &[(&str, Fields)] = &[
    ("Namespace", &[(1, Message("metadata", META)), (3, Ignored)]),
    ("ServiceAccount", &[(1, Message("metadata", META))]),
    (
        "ConfigMap",
        &[
            (1, Message("metadata", META)),
            (2, TextMap("data")),
            (3, BytesMap("binaryData")),
            (4, Flag("immutable")),
        ],
    ),
    (
        "Secret",
        &[
            (1, Message("metadata", META)),
            (2, BytesMap("data")),
            (3, Text("type")),
            (4, TextMap("stringData")),
        ],
    ),
    (
        "Deployment",
        &[
            (1, Message("metadata", META)),
            (2, Message("spec", DEPLOYMENT)),
            (3, Ignored),
        ],
    ),
    ("DeleteOptions", DELETE_OPTIONS),
    (
        "Eviction",
        &[
            (1, Message("metadata", META)),
            (2, Message("deleteOptions", DELETE_OPTIONS)),
        ],
    ),
    (
        "SelfSubjectReview",
        &[(1, Message("metadata", META)), (2, Ignored)],
    ),
    (
        "SelfSubjectAccessReview",
        &[
            (1, Message("metadata", META)),
            (2, Message("spec", ACCESS)),
            (3, Ignored),
        ],
    ),
    (
        "SelfSubjectRulesReview",
        &[
            (1, Message("metadata", META)),
            (2, Message("spec", &[(1, Text("namespace"))])),
            (3, Ignored),
        ],
    ),
    (
        "TokenRequest",
        &[
            (1, Message("metadata", META)),
            (
                2,
                Message(
                    "spec",
                    &[(1, Texts("audiences")), (4, Number("expirationSeconds"))],
                ),
            ),
            (3, Ignored),
        ],
    ),
];

/// The object in a body, or nothing when its kind is not understood or the body is broken.
pub fn decode(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix(b"k8s\0")?;
    let envelope: Fields = &[
        (
            1,
            Message("type", &[(1, Text("apiVersion")), (2, Text("kind"))]),
        ),
        (2, Ignored),
    ];
    let envelope = message(body, envelope)?;
    let (kind, version) = (
        envelope.pointer("/type/kind")?.as_str()?,
        envelope.pointer("/type/apiVersion")?,
    );
    let (_, fields) = KINDS.iter().find(|(name, _)| *name == kind)?;
    let mut raw: &[u8] = &[];
    let mut rest = body;
    while !rest.is_empty() {
        let (number, wire) = element(&mut rest)?;
        if let (2, Wire::Bytes(bytes)) = (number, wire) {
            raw = bytes;
        }
    }
    let mut object = message(raw, fields)?;
    object["kind"] = kind.into();
    object["apiVersion"] = version.clone();
    Some(object)
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn element<'a>(rest: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(rest)?;
    let mut take = |length: usize| {
        let (bytes, tail) = rest.split_at_checked(length)?;
        *rest = tail;
        Some(bytes)
    };
    let wire = match tag & 7 {
        0 => Wire::Number(varint(rest)?),
        1 => take(8).map(|_| Wire::Other)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (bytes, tail) = rest.split_at_checked(length)?;
            *rest = tail;
            Wire::Bytes(bytes)
        }
        5 => take(4).map(|_| Wire::Other)?,
        _ => return None,
    };
    Some((tag >> 3, wire))
}

fn message(mut rest: &[u8], fields: Fields) -> Option<Value> {
    let mut map = Map::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    while !rest.is_empty() {
        let (number, wire) = element(&mut rest)?;
        let Some((_, field)) = fields.iter().find(|(one, _)| *one == number) else {
            // What is not understood must not be lost, unless there is nothing to lose.
            match wire {
                Wire::Bytes([]) | Wire::Number(0) => continue,
                _ => return None,
            }
        };
        match (field, wire) {
            // Texts that are not set are sent as empty ones.
            (Text(_), Wire::Bytes([])) => {}
            (Text(name), Wire::Bytes(bytes)) => {
                drop(map.insert((*name).into(), text(bytes)?.into()))
            }
            (Texts(name), Wire::Bytes(bytes)) => push(&mut map, name, text(bytes)?.into()),
            (Number(name), Wire::Number(value)) => {
                drop(map.insert((*name).into(), value.cast_signed().into()))
            }
            (Flag(name), Wire::Number(value)) => {
                drop(map.insert((*name).into(), (value != 0).into()))
            }
            (Message(name, fields), Wire::Bytes(bytes)) => {
                let inner = message(bytes, fields)?;
                // Structs that are not set are sent as empty ones.
                if inner.as_object().is_some_and(|inner| !inner.is_empty()) {
                    map.insert((*name).into(), inner);
                }
            }
            (Messages(name, fields), Wire::Bytes(bytes)) => {
                push(&mut map, name, message(bytes, fields)?)
            }
            (TextMap(name), Wire::Bytes(bytes)) => {
                let (key, value) = entry(bytes)?;
                insert(&mut map, name, text(key)?, text(value)?.into());
            }
            (BytesMap(name), Wire::Bytes(bytes)) => {
                let (key, value) = entry(bytes)?;
                insert(&mut map, name, text(key)?, STANDARD.encode(value).into());
            }
            (Ignored, _) => {}
            _ => return None,
        }
    }
    Some(Value::Object(map))
}

fn push(map: &mut Map<String, Value>, name: &str, value: Value) {
    if let Value::Array(list) = map.entry(name).or_insert_with(|| json!([])) {
        list.push(value);
    }
}

fn insert(map: &mut Map<String, Value>, name: &str, key: String, value: Value) {
    if let Value::Object(inner) = map.entry(name).or_insert_with(|| json!({})) {
        inner.insert(key, value);
    }
}

/// Key and value of a map's entry.
fn entry(mut rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    while !rest.is_empty() {
        match element(&mut rest)? {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap_or(0)];
        out.extend_from_slice(bytes);
        out
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &type_meta), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_understood() {
        let data = field(2, &[field(1, b"k"), field(2, b"v")].concat());
        let raw = [field(1, &[field(1, b"a"), field(2, b"")].concat()), data].concat();
        assert_eq!(
            decode(&body("ConfigMap", &raw)),
            Some(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}})
            )
        );
    }

    #[test]
    fn what_is_not_understood_is_nothing() {
        assert_eq!(decode(&body("Widget", b"")), None);
        let unknown = field(1, &field(9, b"x"));
        assert_eq!(decode(&body("ConfigMap", &unknown)), None);
        assert_eq!(decode(b"k8s\0\xff"), None);
        assert_eq!(decode(b"{}"), None);
    }
}
