//! From rows to what a driver has to do.

use super::{Bundle, Class, Outline, PlanRow, Wave};
use crate::{
    ids::{ClusterId, RowId},
    row::Row,
    state::{Goal, ResourceState},
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A row that is not in the target: still to be driven, or Failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRow<'a> {
    pub id: RowId,
    pub app: &'a str,
    pub cluster: &'a ClusterId,
    pub wave: i32,
    pub class: Class,
    pub failed: bool,
}

impl<'a> OpenRow<'a> {
    /// The row if it is not in the target of `goal`.
    pub fn of(row: &'a Row, goal: Goal) -> Option<Self> {
        (!row.state.is_target(goal)).then_some(Self {
            id: row.id,
            app: &row.app,
            cluster: &row.key.cluster,
            wave: row.wave,
            class: row.class,
            failed: matches!(row.state, ResourceState::Failed(_)),
        })
    }

    /// A row of a fresh plan, to be driven.
    pub fn planned(row: &'a PlanRow) -> Self {
        Self {
            id: row.id,
            app: &row.app,
            cluster: &row.key.cluster,
            wave: row.wave,
            class: row.class,
            failed: false,
        }
    }
}

/// Rows by wave, and the first wave with a Failed one.
#[derive(Default)]
struct Waves {
    rows: BTreeMap<i32, Wave>,
    failed: Option<i32>,
    first: Option<RowId>,
}

impl Waves {
    fn add(&mut self, row: &OpenRow<'_>) {
        self.first = Some(self.first.map_or(row.id, |first| first.min(row.id)));
        if row.failed {
            self.failed = Some(self.failed.map_or(row.wave, |wave| wave.min(row.wave)));
        } else {
            self.rows.entry(row.wave).or_default().push(row.id);
        }
    }

    /// The waves in driving order. A Failed row holds back what comes behind it when applying;
    /// deletes go on, so that one refusal leaves as little as possible behind.
    fn in_order(&self, goal: Goal) -> Vec<Wave> {
        let sorted = |wave: &Wave| {
            let mut wave = wave.clone();
            wave.sort_unstable();
            wave
        };
        match goal {
            Goal::Apply => self
                .rows
                .iter()
                .filter(|(wave, _)| self.failed.is_none_or(|failed| **wave <= failed))
                .map(|(_, rows)| sorted(rows))
                .collect(),
            Goal::Delete => self.rows.values().rev().map(sorted).collect(),
        }
    }
}

/// Groups rows into bundles in plan order, waves in driving order for `goal`; the shared rows of a
/// cluster stand in every bundle of it. A cluster whose only open rows are shared gets a bundle
/// without waves, under the app of its first shared row (empty for an implicit Namespace).
pub fn outline<'a>(rows: impl IntoIterator<Item = OpenRow<'a>>, goal: Goal) -> Outline {
    let mut own: HashMap<(&str, &ClusterId), Waves> = HashMap::new();
    let mut shared: HashMap<&ClusterId, (&str, Waves)> = HashMap::new();
    for row in rows {
        match row.class {
            Class::Own => own.entry((row.app, row.cluster)).or_default().add(&row),
            Class::Shared => {
                let entry = shared
                    .entry(row.cluster)
                    .or_insert_with(|| (row.app, Waves::default()));
                if entry.1.first.is_some_and(|first| row.id < first) {
                    entry.0 = row.app;
                }
                entry.1.add(&row);
            }
        }
    }
    let mut bundles: Vec<(Option<RowId>, Bundle)> = Vec::with_capacity(own.len());
    for ((app, cluster), waves) in &own {
        let common = shared.get(cluster).map(|(_, waves)| waves);
        let shared_failed = common.is_some_and(|waves| waves.failed.is_some());
        // What a missing Namespace or CRD would make fail is not even tried.
        let held_back = goal == Goal::Apply && shared_failed;
        bundles.push((
            waves.first,
            Bundle {
                app: (*app).to_owned(),
                cluster: (*cluster).clone(),
                waves: if held_back {
                    Vec::new()
                } else {
                    waves.in_order(goal)
                },
                shared: common.map(|waves| waves.in_order(goal)).unwrap_or_default(),
                failed: waves.failed.is_some() || held_back,
            },
        ));
    }
    let driven: HashSet<&ClusterId> = own.keys().map(|(_, cluster)| *cluster).collect();
    for (cluster, (app, waves)) in shared
        .iter()
        .filter(|(cluster, _)| !driven.contains(*cluster))
    {
        bundles.push((
            waves.first,
            Bundle {
                app: (*app).to_owned(),
                cluster: (*cluster).clone(),
                waves: Vec::new(),
                shared: waves.in_order(goal),
                failed: waves.failed.is_some(),
            },
        ));
    }
    bundles.sort_by_key(|(first, _)| *first);
    Outline {
        bundles: bundles.into_iter().map(|(_, bundle)| bundle).collect(),
    }
}
