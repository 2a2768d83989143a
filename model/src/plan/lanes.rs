//! Cuts a large context into slices that child workflows drive (protocol §4).

use super::{Class, Lane, Slice, tied};
use crate::{
    document::Dependency,
    ids::{ClusterId, RowId},
    state::Goal,
};
use std::collections::{BTreeMap, HashSet};

/// Open rows of one (app, cluster, wave), with their first and last number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub app: String,
    pub cluster: ClusterId,
    pub wave: i32,
    pub class: Class,
    pub first: RowId,
    pub last: RowId,
    pub open: i64,
}

/// The groups of one app on one cluster, in wave order.
struct Cut<'a> {
    waves: Vec<&'a Group>,
}

impl Cut<'_> {
    fn open(&self) -> usize {
        self.waves.iter().map(|group| open(group)).sum()
    }

    fn slice(&self) -> Slice {
        covering(&self.waves)
    }
}

fn open(group: &Group) -> usize {
    usize::try_from(group.open).unwrap_or(0)
}

fn covering(groups: &[&Group]) -> Slice {
    Slice::range(
        groups.iter().map(|group| group.first).min().unwrap_or(0),
        groups.iter().map(|group| group.last).max().unwrap_or(-1),
    )
}

/// How much one slice may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub rows: usize,
    pub bundles: usize,
}

/// For each app with open rows, in plan order, its lanes: bundles are packed, as long as a slice
/// holds no more than the limits; a bundle beyond them becomes a lane of its own, sliced wave by
/// wave. Shared rows are not listed, because every bundle brings those of its cluster along; only
/// clusters that have nothing else open get lanes for them, under the app name "". Stages stand in
/// driving order for `goal`.
///
/// Apps that depend on each other are deleted cluster by cluster, so that a dead cluster holds up
/// only itself: their lanes are cut by cluster and stand under the first of them.
pub fn lanes(
    groups: &[Group],
    apps: &[(&str, &[Dependency])],
    limits: Limits,
    goal: Goal,
) -> Vec<(String, Vec<Lane>)> {
    let limits = Limits {
        rows: limits.rows.max(1),
        bundles: limits.bundles.max(1),
    };
    let own: HashSet<&ClusterId> = groups
        .iter()
        .filter(|g| g.class == Class::Own)
        .map(|g| &g.cluster)
        .collect();
    let mut listed: Vec<&Group> = groups
        .iter()
        .filter(|g| g.open > 0 && (g.class == Class::Own || !own.contains(&g.cluster)))
        .collect();
    listed.sort_by_key(|group| group.first);
    let name = |group: &Group| match group.class {
        Class::Own => group.app.clone(),
        Class::Shared => String::new(),
    };
    let mut cuts: Vec<(String, Vec<Cut<'_>>)> = Vec::new();
    for group in listed {
        let app = name(group);
        if cuts.last().is_none_or(|(last, _)| *last != app) {
            cuts.push((app, Vec::new()));
        }
        let Some((_, cuts)) = cuts.last_mut() else {
            continue;
        };
        match cuts.last_mut() {
            Some(cut) if cut.waves.last().is_some_and(|g| g.cluster == group.cluster) => {
                cut.waves.push(group);
            }
            _ => cuts.push(Cut { waves: vec![group] }),
        }
    }
    let ties = match goal {
        Goal::Delete => tied(apps),
        Goal::Apply => Vec::new(),
    };
    let mut out = Vec::new();
    for tie in ties {
        // Those that others depend on go last.
        let order: Vec<&str> = tie.iter().rev().map(|&app| apps[app].0).collect();
        let (tied, rest) = cuts
            .into_iter()
            .partition(|(app, _)| order.contains(&app.as_str()));
        cuts = rest;
        if let Some((first, lanes)) = by_cluster(tied, &order, limits) {
            out.push((first, lanes));
        }
    }
    out.extend(
        cuts.into_iter()
            .map(|(app, cuts)| (app, pack(&cuts, limits, goal))),
    );
    out
}

/// The lanes of apps that are deleted in an order on each cluster: clusters are packed with all
/// their apps, whose order the driver of the slice keeps; a cluster beyond the limits becomes a lane
/// of its own, app by app.
fn by_cluster(
    tied: Vec<(String, Vec<Cut<'_>>)>,
    order: &[&str],
    limits: Limits,
) -> Option<(String, Vec<Lane>)> {
    let first = tied.first()?.0.clone();
    let mut clusters: BTreeMap<&ClusterId, Vec<(usize, Cut<'_>)>> = BTreeMap::new();
    for (app, cuts) in tied {
        let at = order.iter().position(|name| *name == app).unwrap_or(0);
        for cut in cuts {
            if let Some(group) = cut.waves.first() {
                clusters.entry(&group.cluster).or_default().push((at, cut));
            }
        }
    }
    let mut lanes: Vec<Lane> = Vec::new();
    let mut pending: Vec<Slice> = Vec::new();
    let mut rows = 0;
    let close = |pending: &mut Vec<Slice>, lanes: &mut Vec<Lane>| {
        if let Some(slice) = joined(std::mem::take(pending)) {
            lanes.push(vec![vec![slice]]);
        }
    };
    for mut cuts in clusters.into_values() {
        cuts.sort_by_key(|(at, _)| *at);
        let open: usize = cuts.iter().map(|(_, cut)| cut.open()).sum();
        if open > limits.rows || cuts.len() > limits.bundles {
            let stages = cuts
                .iter()
                .flat_map(|(_, cut)| match cut.open() > limits.rows {
                    true => wave_by_wave(cut, limits.rows, Goal::Delete),
                    false => vec![vec![cut.slice()]],
                });
            lanes.push(stages.collect());
            continue;
        }
        if rows + open > limits.rows || pending.len() + cuts.len() > limits.bundles {
            close(&mut pending, &mut lanes);
            rows = 0;
        }
        rows += open;
        pending.extend(cuts.iter().map(|(_, cut)| cut.slice()));
    }
    close(&mut pending, &mut lanes);
    Some((first, lanes))
}

fn joined(slices: Vec<Slice>) -> Option<Slice> {
    let mut slices = slices.into_iter();
    let mut first = slices.next()?;
    first
        .more
        .extend(slices.map(|slice| (slice.from, slice.to)));
    Some(first)
}

fn pack(cuts: &[Cut<'_>], limits: Limits, goal: Goal) -> Vec<Lane> {
    let (max_rows, max_bundles) = (limits.rows, limits.bundles);
    let mut lanes = Vec::new();
    let mut pending: Option<(Slice, usize, usize)> = None;
    for cut in cuts {
        if cut.open() > max_rows {
            lanes.extend(pending.take().map(|(slice, ..)| vec![vec![slice]]));
            lanes.push(wave_by_wave(cut, max_rows, goal));
            continue;
        }
        let slice = cut.slice();
        pending = match pending {
            Some((old, rows, bundles))
                if rows + cut.open() <= max_rows && bundles < max_bundles =>
            {
                let both = Slice::range(old.from, slice.to);
                Some((both, rows + cut.open(), bundles + 1))
            }
            old => {
                lanes.extend(old.map(|(slice, ..)| vec![vec![slice]]));
                Some((slice, cut.open(), 1))
            }
        };
    }
    lanes.extend(pending.map(|(slice, ..)| vec![vec![slice]]));
    lanes
}

/// Stages of one large bundle: small neighbouring waves share a slice (which keeps their order),
/// a large one is cut into slices that go in parallel.
fn wave_by_wave(cut: &Cut<'_>, max_rows: usize, goal: Goal) -> Lane {
    let mut stages: Lane = Vec::new();
    let mut small: Vec<&Group> = Vec::new();
    let close = |small: &mut Vec<&Group>, stages: &mut Lane| {
        if !small.is_empty() {
            stages.push(vec![covering(small)]);
            small.clear();
        }
    };
    for group in &cut.waves {
        if open(group) > max_rows {
            close(&mut small, &mut stages);
            let step = RowId::try_from(max_rows).unwrap_or(RowId::MAX);
            let mut stage = Vec::new();
            let mut from = group.first;
            while from <= group.last {
                let to = group.last.min(from.saturating_add(step - 1));
                stage.push(Slice::range(from, to));
                from = to + 1;
            }
            stages.push(stage);
            continue;
        }
        if small.iter().map(|g| open(g)).sum::<usize>() + open(group) > max_rows {
            close(&mut small, &mut stages);
        }
        small.push(group);
    }
    close(&mut small, &mut stages);
    if goal == Goal::Delete {
        stages.reverse();
    }
    stages
}
