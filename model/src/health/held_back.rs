//! Which waiting rows can no longer be driven, because of what failed (spec §2.5).

use crate::{
    ids::ClusterId,
    plan::{Class, PlanApp},
    row::Row,
    state::{Goal, ResourceState},
};
use std::collections::{BTreeMap, BTreeSet};

/// One Failed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub app: String,
    pub cluster: ClusterId,
    pub wave: i32,
    pub class: Class,
}

impl Trouble {
    /// The row's trouble, if it is Failed.
    pub fn of(row: &Row) -> Option<Self> {
        matches!(row.state, ResourceState::Failed(_)).then(|| Self {
            app: row.app.clone(),
            cluster: row.key.cluster.clone(),
            wave: row.wave,
            class: row.class,
        })
    }
}

/// What the Failed rows of a context hold back.
#[derive(Debug, Clone)]
pub struct HeldBack {
    goal: Goal,
    /// First failed wave by (app, cluster).
    bundles: BTreeMap<(String, ClusterId), i32>,
    /// First failed wave of the shared rows by cluster.
    shared: BTreeMap<ClusterId, i32>,
    /// Apply: apps that are not started, because one they depend on failed somewhere.
    stopped: BTreeSet<String>,
    /// Clusters whose shared rows nobody comes to: for Apply those with stopped apps only, for
    /// Delete those with a Failed row, since the shared ones go last.
    idle: BTreeSet<ClusterId>,
}

impl HeldBack {
    pub fn new(troubles: impl IntoIterator<Item = Trouble>, apps: &[PlanApp], goal: Goal) -> Self {
        let mut bundles = BTreeMap::new();
        let mut shared = BTreeMap::new();
        let mut failed: BTreeSet<&str> = BTreeSet::new();
        let mut idle = BTreeSet::new();
        for trouble in troubles {
            let Trouble {
                app,
                cluster,
                wave,
                class,
            } = trouble;
            let earliest = |at: &mut i32| *at = (*at).min(wave);
            match class {
                Class::Shared => {
                    let on_it = apps.iter().filter(|app| app.clusters.contains(&cluster));
                    failed.extend(on_it.map(|app| app.name.as_str()));
                    shared.entry(cluster).and_modify(earliest).or_insert(wave);
                }
                Class::Own => {
                    failed.extend(
                        apps.iter()
                            .map(|a| a.name.as_str())
                            .filter(|name| *name == app),
                    );
                    if goal == Goal::Delete {
                        idle.insert(cluster.clone());
                    }
                    bundles
                        .entry((app, cluster))
                        .and_modify(earliest)
                        .or_insert(wave);
                }
            }
        }
        let mut stopped = BTreeSet::new();
        if goal == Goal::Apply {
            stopped = dependents(&failed, apps);
            let mut busy: BTreeMap<&ClusterId, bool> = BTreeMap::new();
            for app in apps {
                for cluster in &app.clusters {
                    *busy.entry(cluster).or_default() |= !stopped.contains(&app.name);
                }
            }
            idle = busy
                .into_iter()
                .filter(|(_, busy)| !busy)
                .map(|(c, _)| c.clone())
                .collect();
        }
        Self {
            goal,
            bundles,
            shared,
            stopped,
            idle,
        }
    }

    /// Dependents of a failed app are never started.
    pub fn app_is_stopped(&self, app: &str) -> bool {
        self.stopped.contains(app)
    }

    /// The waiting row cannot be driven any more.
    pub fn holds(&self, row: &Row) -> bool {
        self.holds_at(&row.app, &row.key.cluster, row.wave, row.class)
    }

    /// As [`holds`](Self::holds), from the parts; all rows of one (app, cluster, wave, class) share
    /// the answer.
    pub fn holds_at(&self, app: &str, cluster: &ClusterId, wave: i32, class: Class) -> bool {
        let behind = |failed: Option<&i32>| failed.is_some_and(|failed| wave > *failed);
        match (self.goal, class) {
            (Goal::Apply, Class::Own) => {
                self.shared.contains_key(cluster)
                    || self.stopped.contains(app)
                    || behind(self.bundles.get(&(app.to_owned(), cluster.clone())))
            }
            (Goal::Apply, Class::Shared) => {
                behind(self.shared.get(cluster)) || self.idle.contains(cluster)
            }
            (Goal::Delete, Class::Shared) => self.idle.contains(cluster),
            (Goal::Delete, Class::Own) => false,
        }
    }
}

/// Apps that depend on one of `failed`, directly or through others.
fn dependents(failed: &BTreeSet<&str>, apps: &[PlanApp]) -> BTreeSet<String> {
    let mut stopped: BTreeSet<String> = BTreeSet::new();
    loop {
        let before = stopped.len();
        for app in apps {
            let waits = |on: &str| failed.contains(on) || stopped.contains(on);
            if app
                .depends_on
                .iter()
                .any(|dependency| waits(&dependency.app))
            {
                stopped.insert(app.name.clone());
            }
        }
        if stopped.len() == before {
            return stopped;
        }
    }
}
