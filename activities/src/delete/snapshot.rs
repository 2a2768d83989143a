//! What is there of a context's objects on a cluster, listed once for all steps of a large wave.
//!
//! Each sight is handed out once, and what was seen is deleted only if it did not change since: a
//! list that is no longer true costs a GET, never an object.

use crate::{object::Meta, request::Api};
use lru::LruCache;
use model::ids::{ClusterId, ContextId, Fence};
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::OnceCell, time::Instant};

/// Snapshots kept at once.
const KEPT: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
/// A step that begins later lists anew: what changed since would cost two requests each.
const FRESH: Duration = Duration::from_secs(20);

/// The objects of one kind and namespace that one drive of a context deletes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub context: ContextId,
    pub fence: Fence,
    pub cluster: ClusterId,
    pub api: Api,
    pub namespace: String,
}

/// The lists of a process.
pub struct Snapshots(Mutex<LruCache<Place, Arc<Snapshot>>>);

struct Snapshot {
    since: Instant,
    objects: OnceCell<Mutex<HashMap<String, Meta>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Snapshots {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT)))
    }
}

impl Snapshots {
    /// Takes what was seen under some names. Steps that come at the same time share one list;
    /// without a list nothing was seen.
    pub async fn take<'a>(
        &self,
        place: Place,
        names: impl Iterator<Item = &'a str>,
        now: Instant,
        list: impl AsyncFnOnce() -> Option<Vec<Meta>>,
    ) -> HashMap<String, Meta> {
        let snapshot = {
            let mut all = lock(&self.0);
            match all.get(&place) {
                Some(known) if now < known.since + FRESH => known.clone(),
                _ => {
                    let new = Arc::new(Snapshot {
                        since: now,
                        objects: OnceCell::new(),
                    });
                    all.put(place, new.clone());
                    new
                }
            }
        };
        let listed = snapshot.objects.get_or_try_init(async || {
            let objects = list().await.ok_or(())?;
            let by_name = objects.into_iter().map(|meta| (meta.name.clone(), meta));
            Ok::<_, ()>(Mutex::new(by_name.collect()))
        });
        match listed.await {
            Ok(objects) => {
                let mut objects = lock(objects);
                names
                    .filter_map(|name| objects.remove_entry(name))
                    .collect()
            }
            Err(()) => HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed test may panic
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    fn place(fence: i64) -> Place {
        Place {
            context: ContextId("c".into()),
            fence: Fence(fence),
            cluster: "sandbox+c1".parse().unwrap(),
            api: Api {
                group: String::new(),
                version: "v1".into(),
                kind: "ConfigMap".into(),
                plural: "configmaps".into(),
                namespaced: true,
            },
            namespace: "shop".into(),
        }
    }

    fn metas(names: &[&str]) -> Vec<Meta> {
        let meta = |name: &&str| Meta {
            name: (*name).to_owned(),
            ..Meta::default()
        };
        names.iter().map(meta).collect()
    }

    #[tokio::test]
    async fn steps_share_a_list_and_each_sight_is_handed_out_once() {
        let snapshots = Snapshots::default();
        let lists = AtomicUsize::new(0);
        let now = Instant::now();
        let take = async |fence: i64, names: &[&'static str], now: Instant| {
            let list = async || {
                lists.fetch_add(1, SeqCst);
                Some(metas(&["a", "b", "c"]))
            };
            let taken = snapshots.take(place(fence), names.iter().copied(), now, list);
            let mut taken: Vec<_> = taken.await.into_keys().collect();
            taken.sort();
            taken
        };
        let (one, two) = tokio::join!(take(1, &["a"], now), take(1, &["b", "x"], now));
        assert_eq!((one, two), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert!(
            take(1, &["a"], now).await.is_empty(),
            "a repeat asks by itself"
        );
        assert_eq!(lists.load(SeqCst), 1);
        assert_eq!(
            take(2, &["a"], now).await,
            ["a"],
            "another drive lists anew"
        );
        let later = now + FRESH;
        assert_eq!(
            take(1, &["a"], later).await,
            ["a"],
            "an old list is not used"
        );
        assert_eq!(lists.load(SeqCst), 3);
    }

    #[tokio::test]
    async fn a_refused_list_shows_nothing_and_the_next_step_asks_again() {
        let snapshots = Snapshots::default();
        let now = Instant::now();
        let refused = snapshots.take(place(1), ["a"].into_iter(), now, async || None);
        assert!(refused.await.is_empty());
        let list = async || Some(metas(&["a"]));
        let listed = snapshots.take(place(1), ["a"].into_iter(), now, list);
        assert_eq!(listed.await.len(), 1);
    }
}
