//! Instantiate: from documents to a staged plan to an accepted verb.

use crate::{convert, errors, lifecycle::allowed, shared::now_ms};
use model::{
    ids::{ClusterId, ContextId, DigRef},
    placement::{self, Clusters},
    plan::{self, Plan},
    state::DigEvent,
};
use rand::Rng;
use std::collections::BTreeSet;
use store::{Accepted, Generations, RequestMeta, Store, StoreError};
use tonic::Status;

/// How often a plan is made anew because documents changed meanwhile.
const ROUNDS: usize = 5;

/// Accepts Instantiate: the plan is made outside the transaction that accepts it, and made again
/// if a document changed in between.
///
/// # Guarantees
/// One request id gets one context, however often and at once it is sent.
pub async fn instantiate(
    store: &Store,
    id: &DigRef,
    meta: &RequestMeta,
) -> Result<Accepted, Status> {
    let mut stale = None;
    for _ in 0..ROUNDS {
        if let Some(answer) = store.answered(meta).await.map_err(errors::store)? {
            return Ok(answer);
        }
        let (plan, from) = match plan(store, id).await {
            Ok(made) => made,
            // The same request, sent twice at once, may have been accepted in between.
            Err(refusal) => {
                return store
                    .answered(meta)
                    .await
                    .map_err(errors::store)?
                    .ok_or(refusal);
            }
        };
        let context = ContextId::new(
            u64::try_from(now_ms()).unwrap_or_default(),
            rand::rng().random(),
        );
        store
            .stage_plan(id, &context, &plan)
            .await
            .map_err(errors::store)?;
        match store.accept_instantiate(id, &context, &from, meta).await {
            Err(error @ StoreError::Stale(_)) => stale = Some(error),
            answer => return answer.map_err(errors::store),
        }
    }
    Err(errors::store(
        stale.unwrap_or_else(|| StoreError::Stale(id.to_string())),
    ))
}

/// The plan that Instantiate would accept now, and the documents it was made from.
pub async fn plan(store: &Store, id: &DigRef) -> Result<(Plan, Generations), Status> {
    let dig = store.dig(id).await.map_err(errors::store)?;
    allowed(&dig, DigEvent::Instantiate)?;
    let app = store
        .composite_app(&dig.doc.app)
        .await
        .map_err(errors::store)?;
    let rows = store.clusters().await.map_err(errors::store)?;
    let clusters: Clusters = rows
        .iter()
        .map(|row| (row.doc.id.clone(), row.doc.labels.clone()))
        .collect();
    let placed = placement::resolve(
        &dig.doc,
        app.doc.apps.iter().map(|app| app.name.as_str()),
        &clusters,
    )
    .map_err(|error| refused(id, "PLACEMENT", &error))?;
    let used: BTreeSet<&ClusterId> = placed.values().flatten().collect();
    let clusters = rows
        .iter()
        .filter(|row| used.contains(&row.doc.id))
        .map(|row| (row.doc.id.clone(), row.generation))
        .collect();
    let from = Generations {
        dig: dig.generation,
        app: app.generation,
        clusters,
    };
    let name = id.clone();
    // Large plans take a while; other calls go on meanwhile.
    let plan = tokio::task::spawn_blocking(move || plan::render(&dig.doc, &app.doc, &placed))
        .await
        .map_err(|error| {
            Status::internal(format!(
                "the plan of {name} was not made: {error}; see the log of muster-api"
            ))
        })?
        .map_err(|error| refused(id, "PLAN", &error))?;
    Ok((plan, from))
}

fn refused(id: &DigRef, reason: &str, error: &dyn std::error::Error) -> Status {
    let name = convert::name(id);
    errors::refused(
        &name,
        reason,
        format!("{name} cannot be instantiated: {error}"),
        &[("object", &name)],
    )
}
