//! What one cluster knows, behind one lock: objects, served kinds, and the work its controllers have to do.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ClusterConfig;
use super::kinds::{self, BUILT_IN, Kind};
use super::status::Status;
use super::store::{Key, Store, Stored};

/// Work that is due at some time, one entry per object.
#[derive(Debug, Default)]
pub struct Agenda {
    due: BTreeMap<Key, Instant>,
    order: BTreeSet<(Instant, Key)>,
}

impl Agenda {
    /// Notes that the object wants to be looked at by then, or earlier if that was noted before.
    pub fn add(&mut self, key: Key, at: Instant) {
        match self.due.get(&key) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => {
                self.order.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.order.insert((at, key.clone()));
        self.due.insert(key, at);
    }

    /// The next object that is due, if one is.
    pub fn take(&mut self, now: Instant) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.due.remove(&key);
        Some(key)
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }
}

/// What one cluster knows.
pub struct State {
    /// How it behaves.
    pub config: ClusterConfig,
    /// Its objects.
    pub store: Store,
    /// What its controllers have to look at.
    pub agenda: Agenda,
    /// Whether a task works on the agenda.
    pub working: bool,
    /// When something that takes a while began.
    pub since: HashMap<Key, Instant>,
    /// The uids of removed objects that still have dependents.
    pub gone: HashSet<String>,
    custom: BTreeMap<Arc<str>, Arc<Kind>>,
    next_address: u32,
}

impl State {
    /// A cluster without objects.
    pub fn new(config: ClusterConfig) -> Self {
        Self {
            store: Store::new(config.watch_window),
            config,
            agenda: Agenda::default(),
            working: false,
            since: HashMap::new(),
            gone: HashSet::new(),
            custom: BTreeMap::new(),
            next_address: 10,
        }
    }

    /// The kind with this id, if the cluster serves it.
    pub fn kind(&self, id: &str) -> Option<Arc<Kind>> {
        kinds::built_in(id).or_else(|| self.custom.get(id)).cloned()
    }

    /// The kind of that name in a group.
    pub fn kind_named(&self, group: &str, kind: &str) -> Option<Arc<Kind>> {
        self.served()
            .find(|served| served.group == group && served.kind == kind)
            .cloned()
    }

    /// All kinds the cluster serves, the built-in ones first.
    pub fn served(&self) -> impl Iterator<Item = &Arc<Kind>> {
        BUILT_IN.iter().chain(self.custom.values())
    }

    /// Serves what an established CustomResourceDefinition describes, and no longer what a deleted one did.
    pub fn define(&mut self, name: &str) {
        let stored = self
            .store
            .get("customresourcedefinitions.apiextensions.k8s.io", "", name);
        let definition = stored.map(|stored| stored.object());
        match definition
            .as_ref()
            .filter(|definition| is_established(definition))
            .and_then(kinds::defined_by)
        {
            Some(kind) => {
                self.custom.insert(kind.id.clone(), Arc::new(kind));
            }
            None => {
                self.custom.remove(name);
            }
        }
    }

    /// Groups and versions that are promised by an APIService whose backend is not there.
    pub fn absent_backends(&self) -> Vec<(String, String)> {
        let services = self
            .store
            .list("apiservices.apiregistration.k8s.io", None, None)
            .map(|stored| stored.object());
        let remote = services.filter(|service| {
            service
                .pointer("/spec/service")
                .is_some_and(Value::is_object)
        });
        let text = |object: &Value, pointer: &str| super::object::text(object, pointer).to_owned();
        remote
            .map(|service| {
                (
                    text(&service, "/spec/group"),
                    text(&service, "/spec/version"),
                )
            })
            .collect()
    }

    /// A cluster IP that was not given out before.
    pub fn next_address(&mut self) -> String {
        self.next_address += 1;
        format!(
            "10.96.{}.{}",
            self.next_address / 256 % 256,
            self.next_address % 256
        )
    }

    /// Asks the controllers to look at an object after `delay`.
    pub fn look_at(&mut self, key: Key, delay: Duration) {
        self.agenda.add(key, Instant::now() + delay);
    }

    /// Whether `pause` has passed since this was first asked for the object; if not, the controllers come back.
    pub fn waited(&mut self, key: &Key, pause: Duration) -> bool {
        let now = Instant::now();
        let began = *self.since.entry(key.clone()).or_insert(now);
        if now >= began + pause {
            self.since.remove(key);
            return true;
        }
        self.agenda.add(key.clone(), began + pause);
        false
    }

    /// Writes an object and wakes the controllers that care.
    pub fn put(&mut self, kind: &Kind, object: Value) -> Result<Arc<Stored>, Status> {
        let stored = self.store.put(kind, object)?;
        self.touched(&stored, false);
        Ok(stored)
    }

    /// Removes an object and wakes the controllers that care.
    pub fn remove(&mut self, key: &Key) -> Result<Option<Arc<Stored>>, Status> {
        let removed = self.store.remove(key)?;
        if let Some(stored) = &removed {
            self.since.remove(key);
            self.touched(stored, true);
        }
        Ok(removed)
    }

    /// Wakes the controllers that care about a change of this object.
    pub fn touched(&mut self, stored: &Stored, removed: bool) {
        let pause = self.config.collect_after;
        let key = &stored.key;
        match &*key.kind {
            "customresourcedefinitions.apiextensions.k8s.io" => self.define(&key.name),
            "pods"
            | "persistentvolumeclaims"
            | "services"
            | "namespaces"
            | "apiservices.apiregistration.k8s.io"
            | "poddisruptionbudgets.policy" => {}
            kind if is_workload(kind) => {}
            _ if stored.deleting || removed || !stored.owners.is_empty() => {}
            _ => return,
        }
        if &*key.kind == "apiservices.apiregistration.k8s.io" {
            // A namespace that goes waits for every group to tell what it holds.
            let namespaces = self.store.list("namespaces", None, None);
            let going: Vec<Key> = namespaces
                .filter(|namespace| namespace.deleting)
                .map(|namespace| namespace.key.clone())
                .collect();
            for namespace in going {
                self.look_at(namespace, Duration::ZERO);
            }
        }
        if removed && &*key.kind == "customresourcedefinitions.apiextensions.k8s.io" {
            // Its names are free for one that waits for them.
            let definitions = self.store.list(&key.kind, None, None);
            let unserved = definitions.filter(|other| !self.custom.contains_key(&*other.key.name));
            let waiting: Vec<Key> = unserved.map(|other| other.key.clone()).collect();
            for definition in waiting {
                self.look_at(definition, Duration::ZERO);
            }
        }
        if removed {
            let dependents = self.store.dependents(&stored.uid);
            if !dependents.is_empty() {
                self.gone.insert(stored.uid.clone());
            }
            for dependent in dependents {
                self.look_at(dependent, pause);
            }
            for owner in &stored.owners {
                if self.store.dependents(&owner.uid).is_empty() {
                    self.gone.remove(&owner.uid);
                }
            }
            if let Some(kind) = self.custom.get(&key.kind).filter(|kind| kind.terminating) {
                let definition = Key::new(
                    "customresourcedefinitions.apiextensions.k8s.io",
                    "",
                    &kind.id,
                );
                self.look_at(definition, Duration::ZERO);
            }
        } else {
            let pause = if stored.deleting {
                pause
            } else {
                Duration::ZERO
            };
            self.look_at(key.clone(), pause);
        }
        if !key.namespace.is_empty()
            && (removed || stored.deleting)
            && self
                .store
                .get("namespaces", "", &key.namespace)
                .is_some_and(|namespace| namespace.deleting)
        {
            self.look_at(Key::new("namespaces", "", &key.namespace), pause);
        }
        for owner in stored.owners.clone() {
            let id = self
                .kind_named(&owner.group, &owner.kind)
                .map(|kind| kind.id.clone());
            let Some(id) = id else { continue };
            let owner_key = self.owner_key(&id, &stored.key.namespace, &owner.name);
            if self
                .store
                .at(&owner_key)
                .is_some_and(|at| at.deleting || (owner.controls && is_workload(&id)))
            {
                self.look_at(owner_key, Duration::ZERO);
            }
        }
    }

    /// The key of an owner, which lives in the namespace of what it owns or in none.
    pub fn owner_key(&self, id: &Arc<str>, namespace: &str, name: &str) -> Key {
        let namespaced = self.kind(id).is_some_and(|kind| kind.namespaced);
        Key::new(id.clone(), if namespaced { namespace } else { "" }, name)
    }

    /// Asks the controllers to look at everything that may have been left half done.
    pub fn look_at_everything(&mut self) {
        let mut keys = Vec::new();
        for kind in self.store.kinds() {
            for stored in self.store.list(&kind, None, None) {
                let busy = stored.deleting || !stored.owners.is_empty() || is_workload(&kind);
                let always = matches!(
                    &*kind,
                    "customresourcedefinitions.apiextensions.k8s.io"
                        | "pods"
                        | "persistentvolumeclaims"
                );
                if busy || always {
                    keys.push(stored.key.clone());
                }
            }
        }
        let services = self.store.list("services", None, None);
        let addresses = services.filter_map(|stored| {
            let service = stored.object();
            let address = super::object::text(&service, "/spec/clusterIP");
            let (high, low) = address.strip_prefix("10.96.")?.split_once('.')?;
            Some(high.parse::<u32>().ok()? * 256 + low.parse::<u32>().ok()?)
        });
        self.next_address = addresses.max().unwrap_or(0).max(10);
        for key in keys {
            if &*key.kind == "customresourcedefinitions.apiextensions.k8s.io" {
                self.define(&key.name);
            }
            self.look_at(key, Duration::ZERO);
        }
    }
}

/// Whether a controller makes Pods (or what makes Pods) from objects of this kind.
pub fn is_workload(id: &str) -> bool {
    matches!(
        id,
        "deployments.apps"
            | "replicasets.apps"
            | "statefulsets.apps"
            | "daemonsets.apps"
            | "jobs.batch"
    )
}

fn is_established(definition: &Value) -> bool {
    let conditions = definition
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Established" && one["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agenda_keeps_the_earliest_time_of_each_object() {
        let mut agenda = Agenda::default();
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(60));
        let key = |name: &str| Key::new("pods", "n", name);
        agenda.add(key("a"), later);
        agenda.add(key("b"), later);
        agenda.add(key("a"), now);
        agenda.add(key("a"), later);
        assert_eq!(agenda.take(now), Some(key("a")));
        assert_eq!(agenda.take(now), None);
        assert_eq!(agenda.next(), Some(later));
    }
}
