//! The orphan service: the ledger, read, collected, forgotten. The deleting itself is the
//! collector's, which a worker runs.

use crate::{auth, convert, errors, lifecycle, shared::Core, upload::hex};
use proto::v1::{self, orphan_service_server::OrphanService};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use store::{Orphan, OrphanChoice, RequestMeta, Store};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// Entries of one page.
const PAGE: i32 = 1_000;
/// How long a collect waits for its outcome unless told otherwise, and at most.
const WAIT: Duration = Duration::from_secs(20);
const LONGEST_WAIT: i32 = 300;
/// How often it looks.
const LOOK: Duration = Duration::from_millis(200);
/// Longest reason.
const REASON: usize = 500;

pub struct Orphans {
    core: Arc<Core>,
}

impl Orphans {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OrphanService for Orphans {
    async fn list_orphans(
        &self,
        request: Request<v1::ListOrphansRequest>,
    ) -> Answer<v1::ListOrphansResponse> {
        let request = request.into_inner();
        let chosen = choice(&request.cluster, &request.ids)?;
        let size = match request.page_size {
            0 => PAGE,
            size if size > 0 => size.min(PAGE),
            _ => {
                return Err(errors::invalid_field(
                    "the request",
                    "page_size",
                    "is negative; leave it out for the default",
                ));
            }
        };
        let after = match request.page_token.as_str() {
            "" => 0,
            token => number(token, "page_token")?,
        };
        let store = self.core.store()?;
        let orphans = store
            .orphans(&chosen, after, size as u64)
            .await
            .map_err(errors::store)?;
        let full = orphans.len() >= size as usize;
        let next = orphans
            .last()
            .filter(|_| full)
            .map(|last| last.id.to_string());
        Ok(Response::new(v1::ListOrphansResponse {
            next_page_token: next.unwrap_or_default(),
            orphans: orphans.iter().map(convert::orphan::orphan).collect(),
        }))
    }

    async fn collect_orphans(
        &self,
        request: Request<v1::CollectOrphansRequest>,
    ) -> Answer<v1::CollectOrphansResponse> {
        let actor = auth::actor(&request);
        let request = request.into_inner();
        let chosen = choice(&request.cluster, &request.ids)?;
        let wait = match request.wait_seconds {
            0 => WAIT,
            seconds => Duration::from_secs(seconds.clamp(0, LONGEST_WAIT) as u64),
        };
        let meta = meta("collect", &chosen, "", request.request_id, actor)?;
        let store = self.core.store()?;
        let wanted = store
            .want_orphans(&chosen, &meta)
            .await
            .map_err(errors::store)?;
        self.core.collect.notify_one();
        let ids: Vec<i64> = wanted.iter().map(|orphan| orphan.id).collect();
        let orphans = outcome(store, &ids, Instant::now() + wait).await?;
        Ok(Response::new(v1::CollectOrphansResponse {
            orphans: orphans.iter().map(convert::orphan::collected).collect(),
        }))
    }

    async fn forget_orphans(
        &self,
        request: Request<v1::ForgetOrphansRequest>,
    ) -> Answer<v1::ForgetOrphansResponse> {
        let actor = auth::actor(&request);
        let request = request.into_inner();
        if request.ids.is_empty() {
            return Err(errors::invalid_field(
                "the request",
                "ids",
                "is empty; name the orphans to forget (`muster get orphans` lists them)",
            ));
        }
        let reason = request.reason.trim();
        if reason.is_empty() || reason.len() > REASON || reason.chars().any(char::is_control) {
            return Err(errors::invalid_field(
                "the request",
                "reason",
                format!("say why in at most {REASON} printable characters; it is kept in the log"),
            ));
        }
        let chosen = choice("", &request.ids)?;
        let meta = meta("forget", &chosen, reason, request.request_id, actor)?;
        let store = self.core.store()?;
        let forgotten = store
            .forget_orphans(&chosen, reason, &meta)
            .await
            .map_err(errors::store)?;
        tracing::warn!(ids = ?chosen.ids, reason, actor = meta.actor, "orphans forgotten");
        Ok(Response::new(v1::ForgetOrphansResponse {
            orphans: forgotten.iter().map(convert::orphan::orphan).collect(),
        }))
    }
}

/// Waits until every entry was tried since it was asked for, or until `deadline`.
async fn outcome(store: &Store, ids: &[i64], deadline: Instant) -> Result<Vec<Orphan>, Status> {
    loop {
        let orphans = store.orphans_by_id(ids).await.map_err(errors::store)?;
        let untried = |orphan: &Orphan| orphan.ended_ms.is_none() && orphan.tried_ms.is_none();
        if !orphans.iter().any(untried) || Instant::now() >= deadline {
            return Ok(orphans);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn choice(cluster: &str, ids: &[String]) -> Result<OrphanChoice, Status> {
    let mut numbers = Vec::with_capacity(ids.len());
    for id in ids {
        numbers.push(number(id, "ids")?);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(OrphanChoice {
        cluster: match cluster {
            "" => None,
            cluster => Some(convert::cluster_id(cluster)?),
        },
        ids: numbers,
    })
}

fn number(text: &str, field: &str) -> Result<i64, Status> {
    text.parse().map_err(|_| {
        errors::invalid_field(
            "the request",
            field,
            format!("{text:?} is no number of an orphan; `muster get orphans` lists them"),
        )
    })
}

fn meta(
    verb: &str,
    chosen: &OrphanChoice,
    reason: &str,
    request_id: String,
    actor: String,
) -> Result<RequestMeta, Status> {
    let cluster = chosen.cluster.as_ref().map(ToString::to_string);
    let body = format!("{verb} orphans\0{cluster:?}\0{:?}\0{reason}", chosen.ids);
    lifecycle::meta(request_id, hex(&Sha256::digest(body)), actor)
}
