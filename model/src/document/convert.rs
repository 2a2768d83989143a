//! From YAML values to documents, refusing what is not understood.

use super::{
    App, AppRef, Cluster, CompositeApp, Dependency, Dig, DocumentError, Existing, OnFailure,
    OpStatus, Placement, Policy, Retry, Selector, WaitFor,
    fields::{Fields, Place, Result},
    names::{check_label, is_label_text, is_name},
};
use crate::{
    ids::{ClusterId, DigRef},
    manifest::{Dialect, parse_yaml},
    plan::topological,
    text::{nearest, quoted},
};
use serde_json::Value;
use std::collections::HashSet;

/// The one version of documents.
const API_VERSION: &str = "muster.dev/v1";

/// A document before its meaning is known.
#[derive(Debug, Clone, PartialEq)]
pub struct RawDocument {
    pub file: String,
    /// Its number in the file, from 1.
    pub document: usize,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// `kubeconfig` is the path; reading it is the caller's.
    Cluster(Cluster),
    /// Without objects: the caller reads the manifests and [fills](super::fill) them in.
    CompositeApp(CompositeApp),
    Dig(Dig),
}

/// The documents of a YAML or JSON text; `List`s are unfolded, documents of comments only skipped.
///
/// # Errors
/// A text that cannot be read, a key that stands twice.
pub fn parse_documents(file: &str, text: &str) -> Result<Vec<RawDocument>> {
    let parsed = parse_yaml(text, Dialect::Muster)
        .map_err(|error| DocumentError::unreadable(file, &error))?;
    let mut out = Vec::new();
    for document in parsed {
        unfold(file, document.number, document.value, &mut out);
    }
    Ok(out)
}

fn unfold(file: &str, document: usize, mut value: Value, out: &mut Vec<RawDocument>) {
    if value["kind"] == "List"
        && let Value::Array(items) = value["items"].take()
    {
        for item in items {
            unfold(file, document, item, out);
        }
        return;
    }
    out.push(RawDocument {
        file: file.to_owned(),
        document,
        value,
    });
}

/// The document's meaning. `default_project` stands where `metadata.project` is absent.
///
/// # Errors
/// Unknown or misplaced fields, wrong types, names that are not allowed, rings of dependencies,
/// meanings that are not built; each names the field and the next step.
pub fn convert(raw: &RawDocument, default_project: &str) -> Result<Document> {
    let place = Place {
        file: &raw.file,
        document: raw.document,
    };
    let mut fields = Fields::new(place, String::new(), raw.value.clone())?;
    let api_version = fields.required("apiVersion")?;
    if api_version != API_VERSION {
        let next = format!(
            "write apiVersion: {API_VERSION}; Kubernetes objects belong into the manifests of a CompositeApp"
        );
        return Err(fields.refuse(
            "apiVersion",
            format!("{} is not known", quoted(&api_version)),
            next,
        ));
    }
    let kind = fields.required("kind")?;
    let document = match kind.as_str() {
        "Cluster" => Document::Cluster(cluster(&mut fields)?),
        "CompositeApp" => Document::CompositeApp(composite_app(&mut fields, default_project)?),
        "DeploymentIntentGroup" => Document::Dig(dig(&mut fields, default_project)?),
        "CompositionInstance" => {
            let next = "leave compositions out";
            return Err(fields.refuse("kind", "CompositionInstance is not built yet", next));
        }
        _ => {
            let next = "write Cluster, CompositeApp or DeploymentIntentGroup";
            return Err(fields.refuse("kind", format!("{} is not known", quoted(&kind)), next));
        }
    };
    fields.finish()?;
    Ok(document)
}

fn cluster(fields: &mut Fields<'_>) -> Result<Cluster> {
    let mut metadata = fields.mapping("metadata")?;
    let name = name(&mut metadata, "name", None)?;
    let provider = self::name(&mut metadata, "provider", Some("default"))?;
    let labels = metadata.text_map("labels")?;
    for (key, value) in &labels {
        check_label(key, value).map_err(|cause| {
            metadata.refuse(
                &format!("labels.{key}"),
                cause,
                "write it as Kubernetes takes labels",
            )
        })?;
    }
    metadata.finish()?;
    let mut spec = fields.mapping("spec")?;
    let kubeconfig = spec.required("kubeconfig")?;
    let context = spec.text("context")?.filter(|context| !context.is_empty());
    spec.finish()?;
    Ok(Cluster {
        id: ClusterId { provider, name },
        labels,
        context,
        kubeconfig,
    })
}

fn composite_app(fields: &mut Fields<'_>, default_project: &str) -> Result<CompositeApp> {
    let mut metadata = fields.mapping("metadata")?;
    let project = name(&mut metadata, "project", Some(default_project))?;
    let id = AppRef {
        project,
        name: name(&mut metadata, "name", None)?,
        version: version(&mut metadata)?,
    };
    metadata.finish()?;
    let mut spec = fields.mapping("spec")?;
    let mut apps: Vec<App> = Vec::new();
    let listed = spec.list("apps")?;
    if listed.is_empty() {
        return Err(spec.refuse(
            "apps",
            "a composite app needs at least one app",
            "add an app",
        ));
    }
    let mut places = Vec::new();
    for mut fields in listed {
        let app = app(&mut fields)?;
        if apps.iter().any(|other| other.name == app.name) {
            let cause = format!("app {} stands twice", app.name);
            return Err(fields.refuse("name", cause, "rename one of them"));
        }
        apps.push(app);
        places.push(fields);
    }
    check_dependencies(&apps, &spec, &places)?;
    for fields in places {
        fields.finish()?;
    }
    spec.finish()?;
    Ok(CompositeApp { id, apps })
}

fn app(fields: &mut Fields<'_>) -> Result<App> {
    let name = fields.required("name")?;
    // It becomes a label's value.
    if !is_name(&name) {
        let next = "use lower-case letters, digits, '-' and '.', at most 63";
        return Err(fields.refuse("name", format!("{} is no valid name", quoted(&name)), next));
    }
    let manifests = fields.texts("manifests")?;
    if manifests.is_empty() {
        return Err(fields.refuse(
            "manifests",
            "is missing",
            "name at least one file or folder",
        ));
    }
    let mut depends_on = Vec::new();
    for mut item in fields.list("dependsOn")? {
        let app = item.required("app")?;
        let op_status = match item.word("opStatus", &["Deployed", "Ready"])? {
            "Ready" => OpStatus::Ready,
            _ => OpStatus::Deployed,
        };
        let wait_ms = item.duration("wait")?.unwrap_or(0);
        item.finish()?;
        depends_on.push(Dependency {
            app,
            op_status,
            wait_ms,
        });
    }
    Ok(App {
        name,
        depends_on,
        manifests,
        objects: Vec::new(),
    })
}

fn check_dependencies(apps: &[App], spec: &Fields<'_>, places: &[Fields<'_>]) -> Result<()> {
    for (app, place) in apps.iter().zip(places) {
        let mut seen = HashSet::new();
        for (i, dependency) in app.depends_on.iter().enumerate() {
            let field = format!("dependsOn[{i}].app");
            let refuse = |cause: String, next: &str| Err(place.refuse(&field, cause, next));
            if dependency.app == app.name {
                return refuse(format!("app {} depends on itself", app.name), "remove it");
            }
            if !apps.iter().any(|other| other.name == dependency.app) {
                let names: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
                let next = match nearest(&dependency.app, names.iter().copied()) {
                    Some(meant) => format!("write {meant}"),
                    None => "name an app of this composite app".to_owned(),
                };
                let cause = format!("there is no app {}", quoted(&dependency.app));
                return refuse(cause, &next);
            }
            if !seen.insert(&dependency.app) {
                return refuse(
                    format!("app {} is named twice", dependency.app),
                    "remove one",
                );
            }
        }
    }
    let graph: Vec<_> = apps
        .iter()
        .map(|app| (app.name.as_str(), app.depends_on.as_slice()))
        .collect();
    topological(&graph)
        .map(drop)
        .map_err(|cycle| spec.refuse("apps", cycle.to_string(), "remove one of the dependencies"))
}

fn dig(fields: &mut Fields<'_>, default_project: &str) -> Result<Dig> {
    let mut metadata = fields.mapping("metadata")?;
    let project = name(&mut metadata, "project", Some(default_project))?;
    let id = DigRef {
        project: project.clone(),
        name: name(&mut metadata, "name", None)?,
    };
    metadata.finish()?;
    let mut spec = fields.mapping("spec")?;
    let mut app = spec.mapping("compositeApp")?;
    let app_ref = AppRef {
        project,
        name: name(&mut app, "name", None)?,
        version: version(&mut app)?,
    };
    app.finish()?;
    let namespace = spec
        .text("namespace")?
        .filter(|n| !n.is_empty())
        .unwrap_or_else(|| "default".to_owned());
    if namespace.contains('.') || !is_name(&namespace) {
        let next = "use lower-case letters, digits and '-', at most 63";
        let cause = format!("{} is no valid namespace", quoted(&namespace));
        return Err(spec.refuse("namespace", cause, next));
    }
    let mut placement: Vec<Placement> = Vec::new();
    for mut item in spec.list("placement")? {
        let app = item.required("app")?;
        if placement.iter().any(|other| other.app == app) {
            let next = "put both into one entry";
            return Err(item.refuse("app", format!("{} is placed twice", quoted(&app)), next));
        }
        let all_of = selectors(&mut item, "allOf")?;
        let any_of = selectors(&mut item, "anyOf")?;
        item.finish()?;
        placement.push(Placement {
            app,
            all_of,
            any_of,
        });
    }
    let mut policy = spec.mapping("policy")?;
    let parsed = self::policy(&mut policy)?;
    policy.finish()?;
    spec.finish()?;
    Ok(Dig {
        id,
        app: app_ref,
        namespace,
        placement,
        policy: parsed,
    })
}

fn selectors(item: &mut Fields<'_>, list: &'static str) -> Result<Vec<Selector>> {
    let mut out = Vec::new();
    for mut entry in item.list(list)? {
        let selector = match (entry.text("cluster")?, entry.text("label")?) {
            (Some(id), None) => match id.parse::<ClusterId>() {
                Ok(cluster) if is_name(&cluster.provider) && is_name(&cluster.name) => {
                    Selector::Cluster(cluster)
                }
                _ => {
                    let cause = format!("{} names no cluster", quoted(&id));
                    return Err(entry.refuse("cluster", cause, "write it as provider+name"));
                }
            },
            // An empty label is refused when it is to be resolved, as one without a match.
            (None, Some(label)) if label.trim().is_empty() => Selector::Label {
                key: String::new(),
                value: String::new(),
            },
            (None, Some(label)) => match label.split_once('=') {
                Some((key, value)) if check_label(key.trim(), value.trim()).is_ok() => {
                    Selector::Label {
                        key: key.trim().to_owned(),
                        value: value.trim().to_owned(),
                    }
                }
                _ => {
                    let cause = format!("{} is no label", quoted(&label));
                    return Err(entry.refuse("label", cause, "write it as key=value"));
                }
            },
            _ => {
                let next = "write one of them in each entry";
                return Err(entry.refuse("", "needs either cluster or label", next));
            }
        };
        entry.finish()?;
        out.push(selector);
    }
    Ok(out)
}

fn policy(fields: &mut Fields<'_>) -> Result<Policy> {
    let on_failure = match fields.word("onFailure", &["Continue", "FailFast"])? {
        "FailFast" => OnFailure::FailFast,
        _ => OnFailure::Continue,
    };
    let wait_for = match fields.word("waitFor", &["Applied", "Ready"])? {
        "Ready" => WaitFor::Ready,
        _ => WaitFor::Applied,
    };
    let existing = match fields.word("existing", &["Refuse", "Adopt"])? {
        "Adopt" => Existing::Adopt,
        _ => Existing::Refuse,
    };
    let force_conflicts = fields.boolean("forceConflicts")?.unwrap_or(false);
    let mut nested = fields.mapping("retry")?;
    let retry = retry(&mut nested)?;
    nested.finish()?;
    let mut timeout = |field: &'static str, default: u64| match fields.duration(field)? {
        Some(0) => Err(fields.refuse(field, "must not be 0", "write it as in 10m")),
        given => Ok(given.unwrap_or(default)),
    };
    let delete_timeout_ms = timeout("deleteTimeout", Policy::default().delete_timeout_ms)?;
    let ready_timeout_ms = timeout("readyTimeout", Policy::default().ready_timeout_ms)?;
    Ok(Policy {
        on_failure,
        existing,
        force_conflicts,
        retry,
        delete_timeout_ms,
        wait_for,
        ready_timeout_ms,
    })
}

fn retry(fields: &mut Fields<'_>) -> Result<Retry> {
    let default = Retry::default();
    let initial = fields.duration("initialInterval")?;
    let longest = fields.duration("maxInterval")?;
    let retry = Retry {
        initial_interval_ms: initial.unwrap_or(default.initial_interval_ms),
        backoff: fields.number("backoff")?.unwrap_or(default.backoff),
        // A long first interval alone must not be cut by the default.
        max_interval_ms: longest.unwrap_or(default.max_interval_ms.max(initial.unwrap_or(0))),
        max_elapsed_ms: fields.duration("maxElapsed")?,
    };
    if retry.initial_interval_ms == 0 {
        return Err(fields.refuse("initialInterval", "must not be 0", "write it as in 1s"));
    }
    if !(1.0..=100.0).contains(&retry.backoff) {
        return Err(fields.refuse("backoff", "must be from 1 to 100", "write it as in 2"));
    }
    if retry.max_interval_ms < retry.initial_interval_ms {
        let cause = "must not be less than initialInterval";
        return Err(fields.refuse("maxInterval", cause, "make it longer"));
    }
    Ok(retry)
}

/// A placement that names an app which the composite app does not have.
///
/// # Errors
/// The first such entry.
pub fn check_placement(
    file: &str,
    document: usize,
    dig: &Dig,
    app: &CompositeApp,
) -> std::result::Result<(), DocumentError> {
    for (i, entry) in dig.placement.iter().enumerate() {
        if entry.app != "*" && !app.apps.iter().any(|app| app.name == entry.app) {
            let names: Vec<&str> = app.apps.iter().map(|app| app.name.as_str()).collect();
            return Err(DocumentError {
                file: file.to_owned(),
                document,
                field: format!("spec.placement[{i}].app"),
                cause: format!(
                    "{} {} has no app {}",
                    app.id.name,
                    app.id.version,
                    quoted(&entry.app)
                ),
                next_step: format!("name \"*\" or one of {}", names.join(", ")),
            });
        }
    }
    Ok(())
}

fn name(fields: &mut Fields<'_>, field: &'static str, default: Option<&str>) -> Result<String> {
    let text = match (fields.text(field)?.filter(|text| !text.is_empty()), default) {
        (Some(text), _) => text,
        (None, Some(default)) => default.to_owned(),
        (None, None) => return Err(fields.missing(field)),
    };
    if !is_name(&text) {
        let next = "use lower-case letters, digits, '-' and '.', at most 63";
        return Err(fields.refuse(field, format!("{} is no valid name", quoted(&text)), next));
    }
    Ok(text)
}

fn version(fields: &mut Fields<'_>) -> Result<String> {
    let text = fields.required("version")?;
    if !is_label_text(&text) {
        let next = "use letters, digits, '-', '_' and '.', at most 63";
        return Err(fields.refuse(
            "version",
            format!("{} is no valid version", quoted(&text)),
            next,
        ));
    }
    Ok(text)
}
