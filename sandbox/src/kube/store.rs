//! The objects of one cluster, their versions, and the recent changes that watches follow.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::journal::{Journal, Line};
use super::kinds::{self, Kind};
use super::object;
use super::status::Status;
pub use super::stored::{Key, Stored};

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It was created.
    Added,
    /// It was changed.
    Modified,
    /// It was removed.
    Deleted,
}

/// A change that watches may still start from.
#[derive(Debug, Clone)]
pub struct Change {
    /// The cluster's version after it.
    pub version: u64,
    /// What happened.
    pub happened: Happened,
    /// The object after it; for a removal, its last form.
    pub object: Arc<Stored>,
    /// The labels before it, when they were others.
    pub labels_before: Option<Vec<(String, String)>>,
}

/// How many bytes of objects the changes that watches can start from may hold.
const WINDOW_BYTES: usize = 16 << 20;

type Names = BTreeMap<(Box<str>, Box<str>), Arc<Stored>>;

/// The objects of one cluster.
pub struct Store {
    objects: BTreeMap<Arc<str>, Names>,
    dependents: HashMap<String, BTreeSet<Key>>,
    version: u64,
    changes: VecDeque<Change>,
    oldest: u64,
    window: usize,
    held: usize,
    journal: Option<Journal>,
}

impl Store {
    /// A store that keeps `window` changes for watches and, with a journal, its objects on disk.
    pub fn new(window: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            dependents: HashMap::new(),
            version: 1,
            changes: VecDeque::new(),
            oldest: 1,
            window,
            held: 0,
            journal: None,
        }
    }

    /// Reads what `dir` holds and writes every further change there. Answers whether `dir` was new.
    pub fn load(&mut self, dir: &std::path::Path) -> Result<bool, super::Error> {
        let mut texts: BTreeMap<Key, (u64, String)> = BTreeMap::new();
        let mut newest = self.version;
        let journal = Journal::open(dir, |line| match line {
            Line::Put {
                version,
                kind,
                json,
            } => {
                newest = newest.max(version);
                if let Ok(object) = serde_json::from_str::<Value>(json) {
                    let key = Key::new(kind, object::namespace(&object), object::name(&object));
                    texts.insert(key, (version, json.to_owned()));
                }
            }
            Line::Remove {
                version,
                kind,
                namespace,
                name,
            } => {
                newest = newest.max(version);
                texts.remove(&Key::new(kind, namespace, name));
            }
        })?;
        for (key, (version, json)) in texts {
            if let Ok(object) = serde_json::from_str::<Value>(&json) {
                self.index(Arc::new(Stored::new(key, version, &object)));
            }
        }
        self.version = newest;
        self.oldest = newest;
        let is_new = journal.is_new();
        self.journal = Some(journal);
        Ok(is_new)
    }

    /// The version of the newest change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The object, if it exists.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<&Arc<Stored>> {
        self.objects
            .get(kind)?
            .get(&(namespace.into(), name.into()))
    }

    /// The object with that key, if it exists.
    pub fn at(&self, key: &Key) -> Option<&Arc<Stored>> {
        self.get(&key.kind, &key.namespace, &key.name)
    }

    /// The objects of a kind, of one namespace or of all, in order, from behind `after` on.
    pub fn list<'a>(
        &'a self,
        kind: &str,
        namespace: Option<&'a str>,
        after: Option<(&str, &str)>,
    ) -> impl Iterator<Item = &'a Arc<Stored>> + use<'a> {
        let from: Bound<(Box<str>, Box<str>)> = match (after, namespace) {
            (Some((namespace, name)), _) => Bound::Excluded((namespace.into(), name.into())),
            (None, Some(namespace)) => Bound::Included((namespace.into(), "".into())),
            (None, None) => Bound::Unbounded,
        };
        let names = self.objects.get(kind).into_iter();
        let objects = names.flat_map(move |names| names.range((from.clone(), Bound::Unbounded)));
        let objects = objects
            .take_while(move |((of, _), _)| namespace.is_none_or(|namespace| &**of == namespace));
        objects.map(|(_, stored)| stored)
    }

    /// The ids of the kinds that have objects.
    pub fn kinds(&self) -> Vec<Arc<str>> {
        self.objects
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(kind, _)| kind.clone())
            .collect()
    }

    /// The objects that name `uid` as an owner.
    pub fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents
            .get(uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.values().map(BTreeMap::len).sum()
    }

    /// Writes an object and answers it with its new version.
    pub fn put(&mut self, kind: &Kind, mut object: Value) -> Result<Arc<Stored>, Status> {
        let version = self.version + 1;
        object::meta_mut(&mut object).insert("resourceVersion".into(), version.to_string().into());
        let key = Key::new(
            kind.id.clone(),
            object::namespace(&object),
            object::name(&object),
        );
        let stored = Arc::new(Stored::new(key, version, &object));
        self.record(
            &stored,
            Line::Put {
                version,
                kind: &kind.id,
                json: text(&stored.json)?,
            },
        )?;
        self.version = version;
        let before = self.index(stored.clone());
        let happened = if before.is_some() {
            Happened::Modified
        } else {
            Happened::Added
        };
        let labels_before = before
            .filter(|before| before.labels != stored.labels)
            .map(|before| before.labels.clone());
        self.note(Change {
            version,
            happened,
            object: stored.clone(),
            labels_before,
        });
        Ok(stored)
    }

    /// Removes an object and answers its last form.
    pub fn remove(&mut self, key: &Key) -> Result<Option<Arc<Stored>>, Status> {
        let Some(before) = self.at(key).cloned() else {
            return Ok(None);
        };
        let version = self.version + 1;
        let mut object = before.object();
        object::meta_mut(&mut object).insert("resourceVersion".into(), version.to_string().into());
        let last = Arc::new(Stored::new(key.clone(), version, &object));
        self.record(
            &last,
            Line::Remove {
                version,
                kind: &key.kind,
                namespace: &key.namespace,
                name: &key.name,
            },
        )?;
        self.version = version;
        if let Some(names) = self.objects.get_mut(&key.kind) {
            names.remove(&(key.namespace.as_str().into(), key.name.as_str().into()));
        }
        self.unlink(&before);
        self.note(Change {
            version,
            happened: Happened::Deleted,
            object: last.clone(),
            labels_before: None,
        });
        Ok(Some(last))
    }

    /// The changes of a kind after `version`, or nothing when they are gone.
    pub fn changes(&self, kind: &str, version: u64) -> Option<Vec<Change>> {
        if version < self.oldest {
            return None;
        }
        let from = self
            .changes
            .partition_point(|change| change.version <= version);
        let later = self
            .changes
            .range(from..)
            .filter(|change| &*change.object.key.kind == kind);
        Some(later.cloned().collect())
    }

    /// The oldest version that a watch can start from.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Closes the journal's file until the next write.
    pub fn rest(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.rest();
        }
    }

    fn record(&mut self, stored: &Stored, line: Line<'_>) -> Result<(), Status> {
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let failed = |error: std::io::Error| {
            Status::internal(format!("journal {}: {error}", stored.key.name))
        };
        if journal.wants_rewrite() {
            let objects = self.objects.values().flat_map(BTreeMap::values);
            let lines = objects.filter_map(|stored| {
                let json = std::str::from_utf8(&stored.json).ok()?;
                Some(Line::Put {
                    version: stored.version,
                    kind: &stored.key.kind,
                    json,
                })
            });
            journal.rewrite(lines).map_err(failed)?;
        }
        journal.append(&[line]).map_err(failed)
    }

    fn index(&mut self, stored: Arc<Stored>) -> Option<Arc<Stored>> {
        let key = &stored.key;
        let name = (key.namespace.as_str().into(), key.name.as_str().into());
        let kind = match kinds::built_in(&key.kind) {
            Some(kind) => kind.id.clone(),
            None => key.kind.clone(),
        };
        let before = self
            .objects
            .entry(kind)
            .or_default()
            .insert(name, stored.clone());
        if let Some(before) = before
            .as_deref()
            .filter(|before| before.owners != stored.owners)
        {
            self.unlink(before);
        }
        if before
            .as_ref()
            .is_none_or(|before| before.owners != stored.owners)
        {
            for owner in &stored.owners {
                self.dependents
                    .entry(owner.uid.clone())
                    .or_default()
                    .insert(stored.key.clone());
            }
        }
        before
    }

    fn unlink(&mut self, stored: &Stored) {
        for owner in &stored.owners {
            if let Some(keys) = self.dependents.get_mut(&owner.uid) {
                keys.remove(&stored.key);
                if keys.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }

    fn note(&mut self, change: Change) {
        self.held += change.object.json.len();
        self.changes.push_back(change);
        while self.changes.len() > self.window || self.held > WINDOW_BYTES {
            let Some(gone) = self.changes.pop_front() else {
                break;
            };
            self.held -= gone.object.json.len();
            self.oldest = gone.version;
        }
    }
}

fn text(json: &Bytes) -> Result<&str, Status> {
    std::str::from_utf8(json).map_err(Status::internal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed write is a failed test")]
    use super::*;
    use serde_json::json;

    fn put(store: &mut Store, name: &str) -> u64 {
        let kind = kinds::built_in("configmaps").unwrap();
        store
            .put(
                kind,
                json!({"metadata": {"namespace": "n", "name": name, "uid": name}}),
            )
            .unwrap()
            .version
    }

    #[test]
    fn objects_and_versions_survive_in_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::new(10);
        assert!(store.load(dir.path()).unwrap());
        let version = put(&mut store, "a");
        put(&mut store, "b");
        store.remove(&Key::new("configmaps", "n", "b")).unwrap();
        let mut again = Store::new(10);
        assert!(!again.load(dir.path()).unwrap());
        assert_eq!(again.version(), store.version());
        assert_eq!(again.get("configmaps", "n", "a").unwrap().version, version);
        assert_eq!(again.len(), 1);
    }

    #[test]
    fn changes_that_left_the_window_are_gone() {
        let mut store = Store::new(2);
        let first = put(&mut store, "a");
        assert_eq!(store.changes("configmaps", first - 1).unwrap().len(), 1);
        let second = put(&mut store, "b");
        put(&mut store, "c");
        assert!(store.changes("configmaps", first - 1).is_none());
        assert_eq!(store.changes("configmaps", second).unwrap().len(), 1);
    }

    #[test]
    fn a_list_can_begin_behind_a_name_and_stay_in_a_namespace() {
        let mut store = Store::new(2);
        for name in ["a", "b", "c"] {
            put(&mut store, name);
        }
        let names = |namespace, after| -> Vec<String> {
            store
                .list("configmaps", namespace, after)
                .map(|stored| stored.key.name.clone())
                .collect()
        };
        assert_eq!(names(Some("n"), Some(("n", "a"))), ["b", "c"]);
        assert!(names(Some("m"), None).is_empty());
        assert_eq!(names(None, None).len(), 3);
    }
}
