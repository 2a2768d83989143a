//! Bodies: decoding, and the checks of what an object says about itself against its address.

use serde_json::Value;

use super::kinds::Kind;
use super::object;
use super::protobuf;
use super::request::Call;
use super::status::Status;

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
    if said_kind.is_empty() && said_version.is_empty() && !kind.custom {
        // Built-in kinds are decoded with the address as the default.
        return Ok(());
    }
    if said_kind.is_empty() {
        return Err(Status::bad_request(format!(
            "Object 'Kind' is missing in '{object}'"
        )));
    }
    if said_version != expected {
        return Err(Status::bad_request(format!(
            "the API version in the data ({said_version}) does not match the expected API version ({expected})"
        )));
    }
    if said_kind != kind.kind {
        return Err(Status::bad_request(format!(
            "{said_kind} in version \"{version}\" cannot be handled as a {}: converting ({version}.{said_kind}) to \
             ({version}.{}): unknown conversion",
            kind.kind, kind.kind
        )));
    }
    Ok(())
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
