//! What is known of the objects of a cluster, and which rows they are. Pure: told what was seen, it
//! answers what is to be written.

use model::manifest::{CONTEXT_LABEL, INSTALLATION_LABEL};
use model::{
    ids::{ContextId, RowId},
    readiness::{self, Sight, by_presence},
};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use store::WatchRow;

/// Group and kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    pub group: String,
    pub kind: String,
}

impl Kind {
    /// Its metadata is all that is looked at.
    pub fn by_presence(&self) -> bool {
        by_presence(&self.group, &self.kind)
    }
}

/// Namespace and name.
pub type Name = (String, String);

/// What is kept of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    pub name: Name,
    pub context: Option<ContextId>,
    pub installation: Option<String>,
    pub sight: Sight,
}

impl Object {
    /// `None` if it is no object.
    pub fn read(kind: &Kind, mut json: Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let metadata = &json["metadata"];
        let name = text(&metadata["name"])?;
        let namespace = text(&metadata["namespace"]).unwrap_or_default();
        let context = text(&metadata["labels"][CONTEXT_LABEL]).map(ContextId);
        let installation = text(&metadata["labels"][INSTALLATION_LABEL]);
        // The items of a list do not say what they are.
        let of = &mut json;
        if !kind.by_presence() {
            let version = match kind.group.as_str() {
                "" => "v1".to_owned(),
                group => format!("{group}/v1"),
            };
            of["apiVersion"] = version.into();
            of["kind"] = kind.kind.clone().into();
        }
        Some(Self {
            name: (namespace, name),
            context,
            installation,
            sight: readiness::of(&json),
        })
    }
}

/// A fact to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub context: ContextId,
    pub row: RowId,
    pub by_presence: bool,
    pub sight: Sight,
}

struct Row {
    context: ContextId,
    id: RowId,
    shared: bool,
    /// What was written of it last.
    written: Option<Sight>,
}

#[derive(Default)]
struct OfKind {
    version: String,
    /// A whole list was seen: what is not in it is not there.
    listed: bool,
    objects: HashMap<Name, Object>,
    rows: HashMap<Name, Vec<Row>>,
}

/// The board of one cluster.
pub struct Board {
    installation: String,
    kinds: BTreeMap<Kind, OfKind>,
}

impl Board {
    pub fn new(installation: String) -> Self {
        Self {
            installation,
            kinds: BTreeMap::new(),
        }
    }

    /// The kinds that rows have, with a version each. What was seen of others is forgotten here and
    /// nowhere else: their streams end with it.
    pub fn kinds(&mut self) -> BTreeMap<Kind, String> {
        self.kinds.retain(|_, of| !of.rows.is_empty());
        self.kinds
            .iter()
            .map(|(kind, of)| (kind.clone(), of.version.clone()))
            .collect()
    }

    /// The rows of a context; `all` = those that are ready by their presence, too.
    pub fn admit(&mut self, context: &ContextId, rows: Vec<WatchRow>, all: bool) -> Vec<Change> {
        self.forget(context);
        let mut touched = Vec::new();
        for row in rows {
            let kind = Kind {
                group: row.group,
                kind: row.kind,
            };
            if row.foreign || (kind.by_presence() && !all) {
                continue;
            }
            let of = self.kinds.entry(kind.clone()).or_default();
            if of.version.is_empty() {
                of.version = row.version;
            }
            let name = (row.namespace, row.name);
            of.rows.entry(name.clone()).or_default().push(Row {
                context: context.clone(),
                id: row.id,
                shared: row.shared,
                written: None,
            });
            touched.push((kind, name));
        }
        let changes = touched
            .into_iter()
            .flat_map(|(kind, name)| self.look(&kind, &name));
        changes.collect()
    }

    /// Nobody wants to know of a context any more.
    pub fn forget(&mut self, context: &ContextId) {
        for of in self.kinds.values_mut() {
            of.rows.retain(|_, rows| {
                rows.retain(|row| row.context != *context);
                !rows.is_empty()
            });
        }
    }

    /// Everything of a kind that carries our label.
    pub fn listed(&mut self, kind: &Kind, objects: Vec<Object>) -> Vec<Change> {
        let Some(of) = self.kinds.get_mut(kind) else {
            return Vec::new();
        };
        of.listed = true;
        of.objects = objects
            .into_iter()
            .map(|object| (object.name.clone(), object))
            .collect();
        let names: Vec<Name> = of.rows.keys().cloned().collect();
        names
            .iter()
            .flat_map(|name| self.look(kind, name))
            .collect()
    }

    /// An object came or changed.
    pub fn seen(&mut self, kind: &Kind, object: Object) -> Vec<Change> {
        let Some(of) = self.kinds.get_mut(kind) else {
            return Vec::new();
        };
        let name = object.name.clone();
        of.objects.insert(name.clone(), object);
        self.look(kind, &name)
    }

    /// An object went, or lost our label.
    pub fn gone(&mut self, kind: &Kind, name: &Name) -> Vec<Change> {
        if let Some(of) = self.kinds.get_mut(kind) {
            of.objects.remove(name);
        }
        self.look(kind, name)
    }

    /// What is new about the rows of a name.
    fn look(&mut self, kind: &Kind, name: &Name) -> Vec<Change> {
        let Some(of) = self.kinds.get_mut(kind).filter(|of| of.listed) else {
            return Vec::new();
        };
        let object = of.objects.get(name);
        let mut changes = Vec::new();
        for row in of.rows.get_mut(name).into_iter().flatten() {
            let ours = object.filter(|object| match row.shared {
                true => object.installation.as_deref() == Some(&self.installation),
                false => object.context.as_ref() == Some(&row.context),
            });
            let sight = ours.map_or_else(Sight::absent, |object| object.sight.clone());
            if row.written.as_ref() == Some(&sight) {
                continue;
            }
            row.written = Some(sight.clone());
            changes.push(Change {
                context: row.context.clone(),
                row: row.id,
                by_presence: kind.by_presence(),
                sight,
            });
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed test may panic
    use super::*;
    use model::readiness::Readiness as R;
    use serde_json::json;

    fn kind(group: &str, kind: &str) -> Kind {
        Kind {
            group: group.into(),
            kind: kind.into(),
        }
    }

    fn row(id: RowId, of: &Kind, name: &str) -> WatchRow {
        WatchRow {
            id,
            group: of.group.clone(),
            version: "v1".into(),
            kind: of.kind.clone(),
            namespace: "shop".into(),
            name: name.into(),
            shared: false,
            foreign: false,
        }
    }

    fn object(of: &Kind, name: &str, context: &str, ready: i64) -> Object {
        let json = json!({
            "metadata": {"name": name, "namespace": "shop", "generation": 1,
                "labels": {CONTEXT_LABEL: context, INSTALLATION_LABEL: "i"}},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready,
                "availableReplicas": ready, "conditions": [{"type": "Available", "status": "True"}]},
        });
        Object::read(of, json).unwrap()
    }

    fn said(changes: Vec<Change>) -> Vec<(RowId, R)> {
        let mut said: Vec<_> = changes
            .into_iter()
            .map(|change| (change.row, change.sight.readiness))
            .collect();
        said.sort();
        said
    }

    fn context() -> ContextId {
        ContextId("x".into())
    }

    #[test]
    fn a_row_says_what_its_object_says_once_and_its_absence_when_it_goes() {
        let deployments = kind("apps", "Deployment");
        let mut board = Board::new("i".into());
        let rows = vec![row(1, &deployments, "a"), row(2, &deployments, "b")];
        // Nothing is said before a list was seen.
        assert_eq!(said(board.admit(&context(), rows, false)), []);
        let a = object(&deployments, "a", "x", 0);
        let listed = board.listed(&deployments, vec![a.clone()]);
        assert_eq!(said(listed), [(1, R::NotReady), (2, R::NotPresent)]);
        assert_eq!(said(board.seen(&deployments, a)), []);
        let ready = |name| object(&deployments, name, "x", 1);
        assert_eq!(said(board.seen(&deployments, ready("a"))), [(1, R::Ready)]);
        assert_eq!(said(board.seen(&deployments, ready("b"))), [(2, R::Ready)]);
        let name = ("shop".to_owned(), "a".to_owned());
        assert_eq!(said(board.gone(&deployments, &name)), [(1, R::NotPresent)]);
        // Listed again after a gap: what went meanwhile is noticed.
        assert_eq!(
            said(board.listed(&deployments, vec![])),
            [(2, R::NotPresent)]
        );
        assert_eq!(said(board.seen(&deployments, ready("other"))), []);
    }

    #[test]
    fn an_object_of_another_life_or_of_nobody_is_not_the_rows() {
        let deployments = kind("apps", "Deployment");
        let mut board = Board::new("i".into());
        board.admit(&context(), vec![row(1, &deployments, "a")], false);
        let listed = board.listed(&deployments, vec![object(&deployments, "a", "y", 1)]);
        assert_eq!(said(listed), [(1, R::NotPresent)]);
    }

    #[test]
    fn a_context_that_comes_later_finds_what_was_seen_before_it() {
        let deployments = kind("apps", "Deployment");
        let other = ContextId("y".into());
        let mut board = Board::new("i".into());
        board.admit(&other, vec![row(7, &deployments, "z")], false);
        board.listed(&deployments, vec![]);
        board.seen(&deployments, object(&deployments, "a", "x", 1));
        let came = board.admit(&context(), vec![row(1, &deployments, "a")], false);
        assert_eq!(said(came), [(1, R::Ready)]);
        // Read again, everything is said again: a write may have been void.
        let again = board.admit(&context(), vec![row(1, &deployments, "a")], true);
        assert_eq!(said(again), [(1, R::Ready)]);
        // … and what was seen of its kind is still known, though no other row has it.
        board.forget(&other);
        let last = board.admit(&context(), vec![row(1, &deployments, "a")], true);
        assert_eq!(said(last), [(1, R::Ready)]);
        let name = ("shop".to_owned(), "a".to_owned());
        assert_eq!(said(board.gone(&deployments, &name)), [(1, R::NotPresent)]);
        board.forget(&context());
        assert!(board.kinds().is_empty());
    }

    #[test]
    fn kinds_without_a_status_are_watched_only_when_the_whole_context_is() {
        let (maps, spaces) = (kind("", "ConfigMap"), kind("", "Namespace"));
        let shared = |foreign| WatchRow {
            shared: true,
            foreign,
            namespace: String::new(),
            ..row(2, &spaces, "shop")
        };
        let mut board = Board::new("i".into());
        board.admit(&context(), vec![row(1, &maps, "a"), shared(false)], false);
        assert!(board.kinds().is_empty());
        board.admit(&context(), vec![row(1, &maps, "a"), shared(false)], true);
        assert_eq!(board.kinds().len(), 2);
        let map = Object::read(
            &maps,
            json!({"metadata": {"name": "a", "namespace": "shop",
            "labels": {CONTEXT_LABEL: "x", INSTALLATION_LABEL: "i"}}}),
        )
        .unwrap();
        let listed = board.listed(&maps, vec![map]);
        assert!(listed[0].by_presence && said(listed) == [(1, R::Ready)]);
        let label = |value: &str| json!({"metadata": {"name": "shop", "labels": {INSTALLATION_LABEL: value}}});
        let space = |value| Object::read(&spaces, label(value)).unwrap();
        assert_eq!(
            said(board.listed(&spaces, vec![space("i")])),
            [(2, R::Ready)]
        );
        assert_eq!(said(board.seen(&spaces, space("j"))), [(2, R::NotPresent)]);
        // One that was there before Muster carries no label, and is not looked for by it.
        board.admit(&context(), vec![shared(true)], true);
        assert!(board.kinds().is_empty());
    }
}
