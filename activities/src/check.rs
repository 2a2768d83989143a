//! Whether a cluster can be used, step by step as a request would go: kubeconfig, name, TCP, TLS,
//! credentials, version, identity, permissions. Changes nothing.

use crate::{
    clusters::{
        answer::Answer,
        link::{Link, Pulse},
    },
    judge,
    object::Sight,
    shared::Shared,
};
use futures::{StreamExt, stream};
use model::{
    failure::{Failure, may_not},
    ids::ClusterId,
    state::Goal,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use store::{ClusterRow, StoreError};
use tokio::time::{Instant, timeout};
use workflows::{
    contract::Checked,
    limits::{CHECK_REQUEST_TIMEOUT, CHECK_TIMEOUT},
};

/// Server-side apply is stable since then.
const OLDEST: (u32, u32) = (1, 22);
/// What is asked of every kind.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];
/// Questions under way at once.
const AT_ONCE: usize = 8;
/// Kinds that are asked about; more of them are noted.
const KINDS: usize = 60;

/// A kind of object somewhere: an empty namespace stands for all of them, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    group: String,
    plural: String,
    namespace: String,
}

/// Looks, within [`CHECK_TIMEOUT`].
///
/// # Errors
/// The store does not answer, or knows no such cluster.
pub async fn check(shared: &Shared, id: &ClusterId) -> Result<Checked, StoreError> {
    let store = &shared.store;
    let row = store.cluster(id).await?;
    let kubeconfig = store.kubeconfig(id).await?;
    let kinds = store.kinds_on(id).await?;
    let others = store.clusters().await?;
    let mut checked = Checked::default();
    let look = async {
        let pulse = Arc::new(Pulse::new(Arc::default()));
        let link = Link::new(&kubeconfig, &shared.config.allowed_exec, pulse)
            .await
            .map_err(|error| error.failure())?;
        look(&link, &row, &others, &kinds, &mut checked).await
    };
    let within = CHECK_TIMEOUT.saturating_sub(Duration::from_secs(2));
    let looked = timeout(within, look).await;
    checked.failure = match looked {
        Ok(result) => result.err(),
        Err(_) => Some(Failure::new(
            "timeout",
            format!("it answers too slowly to be looked at within {within:?}"),
        )),
    };
    Ok(checked)
}

async fn look(
    link: &Link,
    row: &ClusterRow,
    others: &[ClusterRow],
    kinds: &[[String; 4]],
    checked: &mut Checked,
) -> Result<(), Failure> {
    if link.unverified() {
        checked
            .notes
            .push("the server's certificate is not verified (insecure-skip-tls-verify)".to_owned());
    }
    version(link, checked).await?;
    identity(link, row, others, checked).await?;
    if let Some(review) = ask(
        link,
        "authentication.k8s.io/v1",
        "SelfSubjectReview",
        Value::Null,
    )
    .await?
    {
        checked.user = review["status"]["userInfo"]["username"]
            .as_str()
            .map(str::to_owned);
    }
    permissions(link, kinds, checked).await
}

async fn version(link: &Link, checked: &mut Checked) -> Result<(), Failure> {
    let answer = read(link, "/version").await?;
    match answer.code {
        403 => checked
            .notes
            .push("it does not tell its version".to_owned()),
        _ if answer.ok() => {
            let version = answer.json();
            let Some(text) = version["gitVersion"].as_str() else {
                return Err(Failure::new(
                    "unexpectedAnswer",
                    "what answers is no Kubernetes API server",
                ));
            };
            checked.version = Some(text.to_owned());
            if numbers(text).is_some_and(|numbers| numbers < OLDEST) {
                return Err(Failure::new(
                    "versionTooOld",
                    format!(
                        "Kubernetes {text} is too old, {}.{} is the oldest with server-side apply",
                        OLDEST.0, OLDEST.1
                    ),
                ));
            }
        }
        _ => return Err(judge::read(&answer, Goal::Apply).failure().clone()),
    }
    Ok(())
}

/// `v1.36.3-gke.100` → (1, 36).
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    let major = parts.next()?.parse().ok()?;
    let minor: String = parts
        .next()?
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    Some((major, minor.parse().ok()?))
}

async fn identity(
    link: &Link,
    row: &ClusterRow,
    others: &[ClusterRow],
    checked: &mut Checked,
) -> Result<(), Failure> {
    let began = Instant::now();
    let answer = read(link, "/api/v1/namespaces/kube-system").await?;
    checked.latency_ms = u64::try_from(began.elapsed().as_millis()).ok();
    let id = &row.doc.id;
    match (answer.code, Sight::of(&answer)) {
        (403, _) => checked.notes.push(
            "which cluster it is cannot be told, since the credentials may not get namespaces"
                .to_owned(),
        ),
        (_, Sight::There(meta)) => {
            if row.uid.as_ref().is_some_and(|known| *known != meta.uid) {
                return Err(Failure::new(
                    "identityChanged",
                    format!(
                        "another cluster answers under the kubeconfig of {id}: the uid of its kube-system namespace changed"
                    ),
                ));
            }
            let same =
                |other: &&ClusterRow| other.doc.id != *id && other.uid.as_ref() == Some(&meta.uid);
            if let Some(other) = others.iter().find(same) {
                return Err(Failure::new(
                    "duplicateCluster",
                    format!(
                        "{id} is the same cluster as {}: register it once",
                        other.doc.id
                    ),
                ));
            }
            checked.uid = Some(meta.uid);
        }
        (401, _) => return Err(judge::read(&answer, Goal::Apply).failure().clone()),
        (code, _) => {
            return Err(Failure::new(
                "identity",
                format!("reading the kube-system namespace was answered with {code}"),
            ));
        }
    }
    Ok(())
}

/// Asks for every verb that Muster uses on the kinds it has there, or, while there are none, on
/// usual ones everywhere.
async fn permissions(
    link: &Link,
    kinds: &[[String; 4]],
    checked: &mut Checked,
) -> Result<(), Failure> {
    let all = Place {
        group: "*".to_owned(),
        plural: "*".to_owned(),
        namespace: String::new(),
    };
    match may(link, &all, "*").await? {
        Some(true) => return Ok(()),
        Some(false) => {}
        None => {
            checked
                .notes
                .push("what the credentials may do could not be asked".to_owned());
            return Ok(());
        }
    }
    let places = places(link, kinds).await;
    if places.len() > KINDS {
        checked.notes.push(format!(
            "permissions were looked at for {KINDS} of {} kinds in their namespaces",
            places.len()
        ));
    }
    let asked = stream::iter(places.into_iter().take(KINDS).map(|place| async move {
        let missing = missing(link, &place).await;
        (place, missing)
    }))
    .buffered(AT_ONCE)
    .collect::<Vec<_>>()
    .await;
    for (place, missing) in asked {
        for verb in missing? {
            checked.missing.push(named(&place, verb));
        }
    }
    let Some(first) = checked.missing.first() else {
        return Ok(());
    };
    let more = match checked.missing.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let unused = match kinds.is_empty() {
        true => "; nothing of Muster is there yet, so usual kinds in all namespaces were asked for",
        false => "",
    };
    Err(Failure::new(
        "forbidden",
        format!("the credentials may not {first}{more}{unused}"),
    ))
}

/// `create deployments.apps in namespace shop`.
fn named(place: &Place, verb: &str) -> String {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (group, namespace) = (some(&place.group), some(&place.namespace));
    let text = may_not(verb, &place.plural, group.as_deref(), namespace.as_deref());
    text.trim_start_matches("the credentials may not ")
        .to_owned()
}

async fn places(link: &Link, kinds: &[[String; 4]]) -> Vec<Place> {
    let place = |group: &str, plural: &str, namespace: &str| Place {
        group: group.to_owned(),
        plural: plural.to_owned(),
        namespace: namespace.to_owned(),
    };
    let mut places = vec![place("", "namespaces", "")];
    if kinds.is_empty() {
        places.extend(["configmaps", "secrets", "services"].map(|plural| place("", plural, "")));
        places.push(place("apps", "deployments", ""));
        return places;
    }
    for [group, version, kind, namespace] in kinds {
        let found = link
            .discovery
            .resolve_any(link, group, version, kind, CHECK_REQUEST_TIMEOUT)
            .await;
        // A kind that is not served (yet) cannot be asked about.
        if let Ok(api) = found {
            let place = place(group, &api.plural, namespace);
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

async fn missing(link: &Link, place: &Place) -> Result<Vec<&'static str>, Failure> {
    if may(link, place, "*").await? != Some(false) {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    for verb in VERBS {
        if may(link, place, verb).await? == Some(false) {
            missing.push(verb);
        }
    }
    Ok(missing)
}

/// `None` when the question is not answered.
async fn may(link: &Link, place: &Place, verb: &str) -> Result<Option<bool>, Failure> {
    let spec = json!({"resourceAttributes": {
        "verb": verb, "group": place.group, "resource": place.plural, "namespace": place.namespace,
    }});
    let review = ask(
        link,
        "authorization.k8s.io/v1",
        "SelfSubjectAccessReview",
        spec,
    )
    .await?;
    Ok(review.and_then(|review| review["status"]["allowed"].as_bool()))
}

/// Puts a question by POST; `None` if the server does not know it, or does not let us ask.
async fn ask(
    link: &Link,
    version: &str,
    kind: &str,
    spec: Value,
) -> Result<Option<Value>, Failure> {
    let mut body = json!({"apiVersion": version, "kind": kind});
    if !spec.is_null() {
        body["spec"] = spec;
    }
    let path = format!("/apis/{version}/{}s", kind.to_lowercase());
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::ACCEPT, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(|error| judge::invalid(error.to_string()))?;
    let answer = link
        .ask(request, CHECK_REQUEST_TIMEOUT)
        .await
        .map_err(|error| error.failure())?;
    match answer.code {
        401 => Err(judge::read(&answer, Goal::Apply).failure().clone()),
        _ if answer.ok() => Ok(Some(answer.json())),
        _ => Ok(None),
    }
}

async fn read(link: &Link, path: &str) -> Result<Answer, Failure> {
    link.read(path, CHECK_REQUEST_TIMEOUT)
        .await
        .map_err(|error| error.failure())
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, Place, named, numbers};

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, read, old) in [
            ("v1.36.3", Some((1, 36)), false),
            ("v1.27.8-gke.1067004", Some((1, 27)), false),
            ("v1.21+", Some((1, 21)), true),
            ("v1.9.0", Some((1, 9)), true),
            ("here", None, false),
        ] {
            assert_eq!(numbers(version), read, "{version}");
            assert_eq!(numbers(version).is_some_and(|n| n < OLDEST), old);
        }
    }

    #[test]
    fn a_missing_permission_names_verb_resource_and_namespace() {
        let place = |group: &str, plural: &str, namespace: &str| Place {
            group: group.into(),
            plural: plural.into(),
            namespace: namespace.into(),
        };
        for (place, expected) in [
            (place("", "namespaces", ""), "create namespaces"),
            (
                place("apps", "deployments", "shop"),
                "create deployments.apps in namespace shop",
            ),
        ] {
            assert_eq!(named(&place, "create"), expected);
        }
    }
}
