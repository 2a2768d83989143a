//! What a client sent: whether it can be meant for its address, and what of it counts.

use std::borrow::Cow;

use serde_json::Value;

use super::object;
use super::schema::{self, Place};
use super::ssa::misfit;
use super::status::Status;
use super::write::{Validation, Write};

impl Write<'_> {
    /// Refuses what cannot be decoded, drops what no schema knows, and answers what that was.
    pub(super) fn understand(&self, object: &mut Value) -> Result<Vec<String>, Status> {
        let refuse = |why: &str| {
            let kind = &self.kind.kind;
            Status::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: {why}",
                self.version
            ))
        };
        let place = self.place();
        if let Place::Known(form) = place
            && let Some(fault) = schema::fault(object, form)
        {
            return Err(refuse(&fault.sent));
        }
        if self.kind.custom {
            self.check_texts(object)?;
        }
        let unknown = schema::prune(object, place);
        match self.validation {
            Validation::Strict if !unknown.is_empty() => {
                let fields: Vec<String> = unknown
                    .iter()
                    .map(|field| format!("unknown field \"{field}\""))
                    .collect();
                Err(refuse(&format!(
                    "strict decoding error: {}",
                    fields.join(", ")
                )))
            }
            Validation::Warn => Ok(unknown),
            _ => Ok(Vec::new()),
        }
    }

    /// Refuses an applied configuration with fields or values that its schema does not declare.
    pub(super) fn check_declared(&self, config: &mut Value) -> Result<(), Status> {
        let place = self.place();
        let (namespace, name) = (
            object::namespace(config).to_owned(),
            object::name(config).to_owned(),
        );
        let what = format!(
            "({namespace}/{name}; {}/{}, Kind={})",
            self.kind.group, self.version, self.kind.kind
        );
        let misfits = schema::misfits(config, place, self.shape());
        let why = match misfits.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            all => Some(format!("errors:\n  {}", all.join("\n  "))),
        };
        if let Some(why) = why {
            let message = format!("failed to create typed patch object {what}: {why}");
            return Err(Status::unknown(message));
        }
        if let Place::Known(form) = place
            && let Some(fault) = schema::fault(config, form)
        {
            let kind = format!(
                "{}/{}, Kind={}",
                self.kind.group, self.version, self.kind.kind
            );
            return Err(Status::unknown(format!(
                "failed to convert new object {what} to proper version: unable to convert unstructured object to \
                 {kind}: {}",
                fault.applied
            )));
        }
        schema::complete_keys(config, place, self.shape());
        Ok(())
    }

    /// Refuses values that no object of the kind could be decoded from.
    pub(super) fn check_texts(&self, object: &Value) -> Result<(), Status> {
        let Some((path, value)) = misfit(object, self.shape()) else {
            return Ok(());
        };
        let found = match value {
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::Array(_) => "array",
            _ => "object",
        };
        // As Go counts: the last of the maps around it names the field.
        let field = path
            .rsplit_once('.')
            .map_or(path.as_str(), |(field, _)| field);
        let kind = &self.kind.kind;
        Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {kind}: json: cannot unmarshal {found} into Go struct \
             field {kind}{field} of type string",
            self.version
        )))
    }

    /// Refuses a configuration that cannot be applied at this address.
    pub(super) fn check_applied(&self, config: &Value) -> Result<(), Status> {
        let (said, kind) = (
            object::text(config, "/apiVersion"),
            object::text(config, "/kind"),
        );
        if said != self.kind.api_version(self.version) || kind != self.kind.kind {
            let (group, version) = said.split_once('/').unwrap_or(("", said));
            let why = format!("invalid object type: {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(why));
        }
        if config
            .pointer("/metadata/managedFields")
            .is_some_and(|listed| !listed.is_null())
        {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        Ok(())
    }

    /// Leaves away what an apply at this address does not set.
    pub(super) fn trim(&self, config: &mut Value) {
        object::drop_nulls(config);
        let meta = object::meta_mut(config);
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "selfLink",
        ] {
            meta.remove(field);
        }
        let root = object::fields(config);
        if self.subresource == "status" {
            root.retain(|field, _| {
                matches!(
                    field.as_str(),
                    "apiVersion" | "kind" | "metadata" | "status"
                )
            });
            object::meta_mut(config)
                .retain(|field, _| matches!(field.as_str(), "name" | "namespace"));
        } else if self.has_status() {
            root.remove("status");
        }
    }

    /// What a create owns: everything but what the server resets or allots. `given` is the `spec` that was sent.
    pub(super) fn said<'v>(&self, new: &'v Value, given: &Value) -> Cow<'v, Value> {
        let reset: &[&str] = match &*self.kind.id {
            "namespaces" => &["spec", "status"],
            _ if self.has_status() => &["status"],
            _ => &[],
        };
        let allotted: &[&str] = match &*self.kind.id {
            "services" => &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"],
            "pods" => &["preemptionPolicy", "priority", "tolerations"],
            _ => &[],
        };
        if allotted.is_empty() && !reset.iter().any(|field| new.get(field).is_some()) {
            return Cow::Borrowed(new);
        }
        let mut said = new.clone();
        let fields = object::fields(&mut said);
        fields.retain(|field, _| !reset.contains(&field.as_str()));
        if let Some(Value::Object(spec)) = fields.get_mut("spec") {
            spec.retain(|field, _| {
                !allotted.contains(&field.as_str()) || given.get(field).is_some()
            });
        }
        Cow::Owned(said)
    }
}
