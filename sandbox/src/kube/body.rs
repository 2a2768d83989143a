//! Bodies: decoding, and the checks of what an object says about itself against its address.

use serde_json::Value;

use super::kinds::Kind;
use super::object;
use super::protobuf;
use super::request::Call;
use super::status::{Cause, Status};

/// Media types that an object can be sent in.
const OBJECTS: &[&str] = &["application/json", "application/yaml", PROTOBUF];

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The body as an object: JSON, YAML, or protobuf of the kinds that are understood.
pub fn object(call: &Call) -> Result<Value, Status> {
    let value = match call.media_type.as_str() {
        "" | "application/json" | "*/*" => json(&call.body)?,
        "application/yaml" => yaml(&call.body)?,
        PROTOBUF => protobuf::decode(&call.body)
            .ok_or_else(|| Status::unsupported_media_type(&OBJECTS[..2]))?,
        _ => return Err(Status::unsupported_media_type(OBJECTS)),
    };
    Ok(value)
}

/// A JSON body.
pub fn json(body: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })
}

/// A YAML (or JSON) body.
pub fn yaml(body: &[u8]) -> Result<Value, Status> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
        && let Ok(value) = serde_json::from_slice(body)
    {
        return Ok(value);
    }
    serde_yaml_ng::from_slice(body)
        .map_err(|error| Status::bad_request(format!("error decoding YAML: {error}")))
}

/// An optional body of options, such as `DeleteOptions`.
pub fn options(call: &Call) -> Result<Value, Status> {
    if call.body.is_empty() {
        Ok(Value::Null)
    } else {
        object(call)
    }
}

/// Checks `apiVersion` and `kind` against the address.
pub fn check_kind(object: &Value, kind: &Kind, version: &str) -> Result<(), Status> {
    if !object.is_object() {
        return Err(Status::bad_request(
            "couldn't get version/kind; json parse error: not an object",
        ));
    }
    let (said_version, said_kind) = (
        object::text(object, "/apiVersion"),
        object::text(object, "/kind"),
    );
    let expected = kind.api_version(version);
    if kind.custom {
        if said_kind.is_empty() {
            return Err(Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object 'Kind' is missing in '{object}'",
                kind.kind
            )));
        }
        let wrong = [
            ("apiVersion", said_version, expected.as_str()),
            ("kind", said_kind, kind.kind.as_str()),
        ];
        let wrong = wrong.iter().filter(|(_, said, must)| said != must);
        let causes: Vec<Cause> = wrong
            .map(|(field, said, must)| {
                Cause::invalid(*field, &(*said).into(), &format!("must be {must}"))
            })
            .collect();
        if !causes.is_empty() {
            return Err(Status::invalid_as(
                &kind.group,
                said_kind,
                object::name(object),
                &causes,
            ));
        }
        return Ok(());
    }
    // Built-in kinds are decoded with the address as the default.
    let is = (said_version.is_empty() || said_version == expected)
        && (said_kind.is_empty() || said_kind == kind.kind);
    if is {
        return Ok(());
    }
    let said = if said_version.is_empty() {
        version
    } else {
        said_version
    };
    let said = said.rsplit('/').next().unwrap_or(version);
    let group = kind
        .group
        .split('.')
        .next()
        .filter(|group| !group.is_empty())
        .unwrap_or("core");
    Err(Status::bad_request(format!(
        "{said_kind} in version \"{said}\" cannot be handled as a {}: converting ({said}.{said_kind}) to \
         ({group}.{}): unknown conversion",
        kind.kind, kind.kind
    )))
}

/// Checks the namespace against the address and fills it in.
pub fn settle_namespace(object: &mut Value, kind: &Kind, namespace: &str) -> Result<(), Status> {
    let said = object::namespace(object);
    if said == namespace
        && !(said.is_empty()
            && object::meta(object).is_some_and(|meta| meta.contains_key("namespace")))
    {
        return Ok(());
    }
    if said.is_empty() || !kind.namespaced && namespace.is_empty() && said.is_empty() {
        let meta = object::meta_mut(object);
        if namespace.is_empty() {
            meta.remove("namespace");
        } else {
            meta.insert("namespace".into(), namespace.into());
        }
        return Ok(());
    }
    Err(Status::bad_request(
        "the namespace of the provided object does not match the namespace sent on the request",
    ))
}

/// Checks the name against the address and fills it in.
pub fn settle_name(object: &mut Value, name: &str) -> Result<(), Status> {
    let said = object::name(object);
    if said == name {
        return Ok(());
    }
    if said.is_empty() {
        object::meta_mut(object).insert("name".into(), name.into());
        return Ok(());
    }
    Err(Status::bad_request(format!(
        "the name of the object ({said}) does not match the name on the URL ({name})"
    )))
}
