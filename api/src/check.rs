//! Checks an upload against itself and the store, and makes of it what the store takes.

mod read;

use crate::{
    errors::{self, Violation},
    inline,
    upload::Upload,
};
use model::{
    document::{AppRef, CompositeApp, Dig, check_placement},
    ids::ClusterId,
    placement::Placed,
    plan::{self, RenderError},
};
use read::{Kubeconfig, Place, read, said, violation};
use std::collections::BTreeMap;
use store::{DocumentSet, Store, StoreError};
use tonic::Status;

/// Reads and checks every document and manifest.
///
/// # Errors
/// INVALID_ARGUMENT with everything that was found, each naming file, document, field, next step.
pub async fn upload(
    store: &Store,
    upload: Upload,
    default_project: &str,
) -> Result<DocumentSet, Status> {
    let project = default_project.to_owned();
    let mut checked = tokio::task::spawn_blocking(move || read(upload, &project))
        .await
        .map_err(|error| {
            Status::internal(format!(
                "the upload was not read: {error}; see the log of muster-api"
            ))
        })?;
    // Documents that could not be read would make others look wrong.
    if !checked.violations.is_empty() {
        return Err(errors::invalid_documents(checked.violations));
    }
    let mut violations = restore_secrets(store, &mut checked.apps).await?;
    violations.extend(check_digs(store, &checked.apps, &checked.digs).await?);
    let mut clusters = Vec::new();
    for (place, cluster, text) in checked.clusters {
        match text {
            Kubeconfig::Uploaded(text) => clusters.push((cluster, text)),
            Kubeconfig::Stored => match store.kubeconfig(&cluster.id).await {
                Ok(stored) => clusters.push((cluster, stored.text)),
                Err(StoreError::NotFound { .. }) => violations.push(violation(
                    &place,
                    "spec.kubeconfig",
                    "is not stored; name the kubeconfig's file",
                )),
                Err(error) => return Err(errors::store(error)),
            },
        }
    }
    if !violations.is_empty() {
        return Err(errors::invalid_documents(violations));
    }
    let apps = checked.apps.into_iter().map(|(_, app)| app).collect();
    Ok(DocumentSet {
        clusters,
        apps,
        digs: checked.digs.into_iter().map(|(_, dig)| dig).collect(),
    })
}

/// Shown documents name their Secrets only: what they hold is stored.
async fn restore_secrets(
    store: &Store,
    apps: &mut [(Place, CompositeApp)],
) -> Result<Vec<Violation>, Status> {
    let mut violations = Vec::new();
    for (place, app) in apps {
        let mut objects = app.apps.iter().flat_map(|app| &app.objects);
        if !objects.any(inline::is_stored) {
            continue;
        }
        let stored = match store.composite_app(&app.id).await {
            Ok(stored) => Some(stored.doc),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(errors::store(error)),
        };
        if let Err((number, object)) = inline::restore(app, stored.as_ref()) {
            violations.push(violation(
                place,
                &format!("spec.apps[{number}].manifests[0]"),
                &format!("{object} is not stored; name the manifest's file"),
            ));
        }
    }
    Ok(violations)
}

/// Every DIG fits its composite app, be it uploaded or stored.
async fn check_digs(
    store: &Store,
    apps: &[(Place, CompositeApp)],
    digs: &[(Place, Dig)],
) -> Result<Vec<Violation>, Status> {
    let mut violations = Vec::new();
    let mut stored: BTreeMap<AppRef, Option<CompositeApp>> = BTreeMap::new();
    for (place, dig) in digs {
        let uploaded = apps
            .iter()
            .find(|(_, app)| app.id == dig.app)
            .map(|(_, app)| app);
        if uploaded.is_none() && !stored.contains_key(&dig.app) {
            let found = match store.composite_app(&dig.app).await {
                Ok(app) => Some(app.doc),
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(errors::store(error)),
            };
            stored.insert(dig.app.clone(), found);
        }
        match uploaded.or_else(|| stored.get(&dig.app).and_then(Option::as_ref)) {
            Some(app) => violations.extend(fits(place, dig, app)),
            None => violations.push(violation(
                place,
                "spec.compositeApp",
                &format!(
                    "there is no composite app {} of version {} in project {}; apply it too",
                    dig.app.name, dig.app.version, dig.app.project
                ),
            )),
        }
    }
    // A changed composite app must still fit the DIGs that are stored.
    for (place, app) in apps {
        let users = store
            .digs(Some(&app.id.project))
            .await
            .map_err(errors::store)?;
        for user in users.iter().filter(|row| {
            row.doc.app == app.id && !digs.iter().any(|(_, dig)| dig.id == row.doc.id)
        }) {
            if let Some(Violation { description, .. }) = fits(place, &user.doc, app) {
                violations.push(violation(
                    place,
                    "spec.apps",
                    &format!("does not fit DIG {}: {description}", user.doc.id),
                ));
            }
        }
    }
    Ok(violations)
}

/// Apps that the placement names exist, and no object stands twice where it certainly would land
/// twice: in apps that share a placement entry.
fn fits(place: &Place, dig: &Dig, app: &CompositeApp) -> Option<Violation> {
    if let Err(error) = check_placement(&place.file, place.document, dig, app) {
        return Some(said(&error));
    }
    let entry = |name: &str| dig.placement.iter().position(|entry| entry.app == name);
    let placed: Placed = app
        .apps
        .iter()
        .map(|app| {
            // An app without an entry shares with none.
            let shared = entry(&app.name)
                .or_else(|| entry("*"))
                .map_or_else(|| app.name.clone(), |number| number.to_string());
            (
                app.name.clone(),
                vec![ClusterId {
                    provider: "placement".to_owned(),
                    name: shared,
                }],
            )
        })
        .collect();
    match plan::render(dig, app, &placed) {
        Ok(_) => None,
        Err(RenderError::Duplicate {
            object,
            first,
            second,
            ..
        }) if first == second => Some(violation(
            place,
            "spec.compositeApp",
            &format!("{object} stands twice in app {first}; remove one of them"),
        )),
        Err(RenderError::Duplicate {
            object,
            first,
            second,
            ..
        }) => Some(violation(
            place,
            "spec.compositeApp",
            &format!(
                "{object} stands in app {first} and again in app {second}; remove one of them"
            ),
        )),
        Err(error) => Some(violation(place, "spec.compositeApp", &error.to_string())),
    }
}
