//! The collector (protocol §7): what arrived after its life had ended, and what the orphan ledger
//! was asked to collect. Nothing else is touched.

use crate::{
    attempts::Job,
    clusters::{
        answer::{Answer, NetError},
        discovery::NoApi,
        hello::{Cluster, NotReady},
        link::Link,
    },
    delete::{Remains, remains},
    gone, judge,
    listing::{Listing, list},
    object::{Meta, Sight},
    reachable,
    release::{self, Content},
    request::{self, Api},
    shared::Shared,
};
use futures::{StreamExt, stream};
use model::{
    document::Policy,
    failure::Failure,
    ids::{ClusterId, ContextId, Fence, ResourceKey},
    manifest::{APP_LABEL, CONTEXT_LABEL, INSTALLATION_LABEL},
    plan::Class,
    row::Row,
    state::{Goal, ResourceState},
};
use std::{sync::Arc, time::Duration};
use store::{Gvk, LateObject, Life, Orphan, ProbeLease, StoreError, Tried};
use tokio::time::Instant;
use workflows::{
    contract::{CollectInput, Collected, Step},
    limits::{COLLECT_LOOKS, COLLECT_ORPHANS},
};

/// Requests of one visit at once.
const AT_ONCE: usize = 4;

/// Visits a cluster once. `within` = the limit of one request.
pub async fn collect(
    shared: &Arc<Shared>,
    input: &CollectInput,
    within: Duration,
) -> Result<Collected, StoreError> {
    let store = &shared.store;
    let id = &input.cluster;
    let scope = store.collect_scope(id, COLLECT_ORPHANS).await?;
    let mut collected = Collected::default();
    if scope.wanted.is_empty() && scope.kinds.is_empty() {
        return Ok(collected);
    }
    let cluster = shared.clusters.of(id);
    let ready = match cluster.ready().await {
        // What somebody waits for is worth a probe, when one is due and nobody else probes.
        Err(NotReady::Parked(_)) if !scope.wanted.is_empty() => probed(shared, &cluster).await,
        ready => ready,
    };
    let link = match ready {
        Ok(link) => link,
        Err(NotReady::Parked(failure)) => {
            collected.unreachable = true;
            for orphan in &scope.wanted {
                store.orphan_tried(orphan, &waits(id, &failure)).await?;
            }
            return Ok(collected);
        }
        Err(NotReady::Store(error)) => return Err(error),
    };
    let visit = Visit {
        shared: shared.clone(),
        cluster,
        link,
        within,
    };
    collected.more = scope.wanted.len() as u64 >= COLLECT_ORPHANS;
    // What holds others comes last.
    let (shared_ones, own): (Vec<_>, Vec<_>) = scope
        .wanted
        .into_iter()
        .partition(|orphan| orphan.class == Class::Shared);
    let tries = stream::iter(own).map(|orphan| visit.settle(orphan));
    let mut tries = tries.buffer_unordered(AT_ONCE);
    while let Some(over) = tries.next().await {
        collected.over += usize::from(over?);
    }
    for orphan in shared_ones {
        collected.over += usize::from(visit.settle(orphan).await?);
    }
    match visit.cluster.ready().await {
        Ok(_) => visit.late(scope.kinds, &mut collected).await?,
        Err(NotReady::Parked(_)) => collected.unreachable = true,
        Err(NotReady::Store(error)) => return Err(error),
    }
    Ok(collected)
}

/// Probes a parked cluster under the lease that all workers share (protocol §8).
async fn probed(shared: &Shared, cluster: &Cluster) -> Result<Arc<Link>, NotReady> {
    let lease = shared
        .store
        .probe_lease(
            &cluster.id,
            &shared.config.holder,
            crate::step::millis(reachable::LEASE),
        )
        .await?;
    if matches!(lease, ProbeLease::Yours) {
        cluster.probe().await?;
    }
    cluster.ready().await
}

struct Visit {
    shared: Arc<Shared>,
    cluster: Arc<Cluster>,
    link: Arc<Link>,
    within: Duration,
}

/// What a request that had no good answer means to an entry.
fn still(answer: &Answer) -> Tried {
    Tried::Still(judge::read(answer, Goal::Delete).failure().message.clone())
}

fn waits(id: &ClusterId, failure: &Failure) -> Tried {
    Tried::Waits(format!("waits for cluster {id}: {failure}"))
}

fn over(says: impl Into<String>) -> Tried {
    Tried::Over(says.into())
}

impl Visit {
    /// Tries to collect an entry and notes what came of it; true if the entry is over.
    async fn settle(&self, orphan: Orphan) -> Result<bool, StoreError> {
        // A cluster that fell silent meanwhile costs one time-out, not one for each entry.
        let tried = match self.cluster.ready().await {
            Ok(_) => self.orphan(&orphan).await?,
            Err(NotReady::Parked(failure)) => waits(&self.cluster.id, &failure),
            Err(NotReady::Store(error)) => return Err(error),
        };
        self.shared.store.orphan_tried(&orphan, &tried).await?;
        tracing::info!(cluster = %orphan.key.cluster, key = %orphan.key, ?tried, "orphan");
        Ok(matches!(tried, Tried::Over(_)))
    }

    async fn orphan(&self, orphan: &Orphan) -> Result<Tried, StoreError> {
        let key = &orphan.key;
        let store = &self.shared.store;
        if orphan.class == Class::Shared
            && let Some(by) = store.holder_of(key).await?
        {
            return Ok(over(format!("in use again by {by}, so it is left to it")));
        }
        let discovery = &self.link.discovery;
        let api = discovery
            .resolve_any(
                &self.link,
                &key.group,
                &orphan.version,
                &key.kind,
                self.within,
            )
            .await;
        let api = match api {
            Ok(api) => api,
            Err(NoApi::NoMatch) => {
                return Ok(over("gone: the cluster does not serve its kind any more"));
            }
            Err(NoApi::Answer(answer)) => return Ok(still(&answer)),
            Err(NoApi::Net(error)) => return Ok(self.lost(&error).await),
        };
        let meta = match self.sight(&api, key).await {
            Ok(Some(meta)) => meta,
            Ok(None) => return Ok(over("gone already")),
            Err(tried) => return Ok(tried),
        };
        if !self.ours(orphan, &meta).await? {
            let by = meta.managed_by();
            return Ok(over(format!(
                "left alone: the object of this name is not ours, managed by {by}"
            )));
        }
        if !meta.deleting {
            if orphan.class == Class::Shared {
                match self.content(orphan).await {
                    Ok(None) => {}
                    Ok(Some(why)) => return Ok(self.keep(&api, orphan, why).await),
                    Err(tried) => return Ok(tried),
                }
            }
            let namespace = namespace(&api, key);
            let request = match request::delete(&api, namespace, &key.name, &meta.uid, None) {
                Ok(request) => request,
                Err(error) => return Ok(Tried::Still(error.to_string())),
            };
            match self.link.ask(request, self.within).await {
                Err(error) => return Ok(self.lost(&error).await),
                Ok(answer) if answer.absent() => return Ok(over("gone already")),
                Ok(answer) if answer.ok() => {
                    if matches!(remains(&answer), Remains::Nothing) {
                        return Ok(over("deleted"));
                    }
                }
                // Replaced between GET and DELETE: the next try looks again.
                Ok(answer) => return Ok(still(&answer)),
            }
        }
        Ok(self.until_gone(&api, key, &meta.uid).await)
    }

    /// The object of a key; `Err` when the cluster does not say.
    async fn sight(&self, api: &Api, key: &ResourceKey) -> Result<Option<Meta>, Tried> {
        let request = request::get_metadata(api, namespace(api, key), &key.name)
            .map_err(|error| Tried::Still(error.to_string()))?;
        let answer = match self.link.ask(request, self.within).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.lost(&error).await),
        };
        match Sight::of(&answer) {
            Sight::There(meta) => Ok(Some(meta)),
            Sight::Absent => Ok(None),
            Sight::Nothing => {
                self.link.discovery.doubt(&api.group, &answer);
                Err(still(&answer))
            }
        }
    }

    async fn ours(&self, orphan: &Orphan, meta: &Meta) -> Result<bool, StoreError> {
        Ok(match orphan.class {
            Class::Own => meta.of_context(&orphan.context),
            Class::Shared => meta.of_installation(self.shared.installation().await?),
        })
    }

    /// An accepted delete is watched for a moment; what takes longer is noted by the next visit.
    async fn until_gone(&self, api: &Api, key: &ResourceKey, uid: &str) -> Tried {
        let mut waits = String::new();
        for look in 1..=COLLECT_LOOKS {
            match self.sight(api, key).await {
                Ok(Some(meta)) if meta.uid == uid => waits = meta.waits_for(),
                Ok(_) => return over("deleted"),
                Err(tried) => return tried,
            }
            tokio::time::sleep(gone::delay(look)).await;
        }
        Tried::Waits(format!("deleted, {waits}"))
    }

    /// What a shared object holds that is not ours.
    async fn content(&self, orphan: &Orphan) -> Result<Option<String>, Tried> {
        let job = self.job(orphan);
        match release::foreign_content(&job, &row(orphan)).await {
            Content::None => Ok(None),
            Content::Foreign(why) => Ok(Some(why)),
            Content::Unknown(verdict) => Err(Tried::Still(verdict.failure().message.clone())),
            Content::Lost(error, _) => Err(self.lost(&error).await),
        }
    }

    /// A shared object that stays loses our label.
    async fn keep(&self, api: &Api, orphan: &Orphan, why: String) -> Tried {
        let key = &orphan.key;
        let labels = &[INSTALLATION_LABEL];
        let request = match request::remove_labels(api, namespace(api, key), &key.name, labels) {
            Ok(request) => request,
            Err(error) => return Tried::Still(error.to_string()),
        };
        match self.link.ask(request, self.within).await {
            Ok(answer) if answer.ok() || answer.absent() => over(format!("kept: {why}")),
            Ok(answer) => still(&answer),
            Err(error) => self.lost(&error).await,
        }
    }

    /// A request got no answer: does the cluster still answer at all?
    async fn lost(&self, error: &NetError) -> Tried {
        match self.cluster.still_answers(Instant::now()).await {
            Err(NotReady::Parked(failure)) => waits(&self.cluster.id, &failure),
            Ok(_) | Err(NotReady::Store(_)) => Tried::Still(error.failure().message),
        }
    }

    fn job(&self, orphan: &Orphan) -> Job {
        Job {
            shared: self.shared.clone(),
            step: Step {
                context: orphan.context.clone(),
                fence: Fence(0),
                cluster: orphan.key.cluster.clone(),
                rows: Vec::new(),
                promoted: true,
            },
            cluster: self.cluster.clone(),
            link: self.link.clone(),
            policy: Policy::default(),
            timeout: self.within,
        }
    }

    /// Deletes objects whose life has ended, and enters those of an unknown life into the ledger.
    async fn late(&self, kinds: Vec<Gvk>, collected: &mut Collected) -> Result<(), StoreError> {
        let store = &self.shared.store;
        let found = self.labelled(kinds).await?;
        if found.is_empty() {
            return Ok(());
        }
        let mut contexts: Vec<ContextId> = found.iter().map(|f| f.object.context.clone()).collect();
        contexts.sort();
        contexts.dedup();
        // Asked after the lists: a new life is known before its first object is there.
        let lives = store.lives(&contexts).await?;
        let of = |life: Life| {
            let found = found.iter();
            let found = found.filter(move |f| lives.get(&f.object.context) == Some(&life));
            found.cloned().collect::<Vec<_>>()
        };
        let (ended, unknown) = (of.clone()(Life::Terminated), of(Life::Unknown));
        let objects = |found: &[Found]| -> Vec<LateObject> {
            found.iter().map(|f| f.object.clone()).collect()
        };
        let unknown = objects(&unknown);
        let known = store.in_ledger(&objects(&ended)).await?;
        let late: Vec<Found> = ended
            .into_iter()
            .filter(|f| !known.contains(&(f.object.context.clone(), f.object.key.to_string())))
            .collect();
        for object in &unknown {
            tracing::warn!(key = %object.key, context = %object.context, "carries our label and a life that is not known; left alone");
        }
        collected.reported += store.report_unknown(&unknown).await? as usize;
        store.late_objects(&objects(&late)).await?;
        let deletes = stream::iter(late).map(|found| self.delete_late(found));
        let mut deletes = deletes.buffer_unordered(AT_ONCE);
        while let Some(deleted) = deletes.next().await {
            collected.late += usize::from(deleted);
        }
        Ok(())
    }

    /// Deletes an object exactly as it was seen: a new life that takes it over meanwhile keeps it.
    async fn delete_late(&self, found: Found) -> bool {
        let Found { api, meta, object } = found;
        tracing::warn!(key = %object.key, context = %object.context, uid = %meta.uid, "late object: deleting it");
        metrics::counter!("muster_late_objects_total").increment(1);
        let namespace = namespace(&api, &object.key);
        let request = request::delete_as_seen(&api, namespace, &meta);
        let Ok(request) = request else { return false };
        match self.link.ask(request, self.within).await {
            Ok(answer) => answer.ok() || answer.absent(),
            Err(error) => {
                tracing::warn!(key = %object.key, %error, "a late object was not deleted; the next visit tries again");
                false
            }
        }
    }

    /// Objects of these kinds with the label of this installation and of a life, not on their way
    /// out. A kind that may not be listed is left out, said in the log.
    async fn labelled(&self, kinds: Vec<Gvk>) -> Result<Vec<Found>, StoreError> {
        let installation = self.shared.installation().await?;
        let labels = format!("{INSTALLATION_LABEL}={installation},{CONTEXT_LABEL}");
        let labels = labels.as_str();
        let lists = stream::iter(kinds).map(|(group, version, kind)| async move {
            let discovery = &self.link.discovery;
            let api = discovery
                .resolve_any(&self.link, &group, &version, &kind, self.within)
                .await
                .ok()?;
            let listing = list(&self.link, &api, "", Some(labels), self.within).await;
            Some((api, listing))
        });
        let mut lists = lists.buffer_unordered(AT_ONCE);
        let mut found = Vec::new();
        while let Some(listed) = lists.next().await {
            let Some((api, listing)) = listed else {
                continue;
            };
            match listing {
                Listing::Objects(objects) => {
                    let there = objects.into_iter().filter(|meta| !meta.deleting);
                    found.extend(there.filter_map(|meta| Found::new(&self.cluster.id, &api, meta)));
                }
                Listing::Answered(answer) => {
                    tracing::warn!(cluster = %self.cluster.id, kind = %api.kind, code = answer.code, "the collector may not list this kind");
                }
                Listing::Lost(error) => {
                    tracing::warn!(cluster = %self.cluster.id, kind = %api.kind, %error, "the collector got no list of this kind");
                }
            }
        }
        Ok(found)
    }
}

/// A labelled object.
#[derive(Clone)]
struct Found {
    api: Api,
    meta: Meta,
    object: LateObject,
}

impl Found {
    fn new(cluster: &ClusterId, api: &Api, meta: Meta) -> Option<Self> {
        let label = |name: &str| meta.labels.get(name).cloned();
        Some(Self {
            object: LateObject {
                context: ContextId(label(CONTEXT_LABEL)?),
                app: label(APP_LABEL).unwrap_or_default(),
                key: ResourceKey {
                    cluster: cluster.clone(),
                    group: api.group.clone(),
                    kind: api.kind.clone(),
                    namespace: meta.namespace.clone(),
                    name: meta.name.clone(),
                },
                version: api.version.clone(),
                uid: meta.uid.clone(),
            },
            api: api.clone(),
            meta,
        })
    }
}

fn namespace<'a>(api: &Api, key: &'a ResourceKey) -> &'a str {
    if api.namespaced { &key.namespace } else { "" }
}

/// An entry as the row it was.
fn row(orphan: &Orphan) -> Row {
    Row {
        context: orphan.context.clone(),
        id: orphan.row.unwrap_or_default(),
        app: orphan.app.clone(),
        key: orphan.key.clone(),
        version: orphan.version.clone(),
        wave: orphan.wave,
        class: orphan.class,
        implicit: false,
        keep: false,
        goal: Goal::Delete,
        digest: String::new(),
        state: ResourceState::Deleted,
        sent: 1,
        attempts: 0,
        since_ms: orphan.since_ms,
        failing_since_ms: None,
        next_attempt_ms: None,
        error: None,
        blocked_by: None,
        kept: None,
        preexisting_uid: None,
        uid: orphan.uid.clone(),
    }
}
