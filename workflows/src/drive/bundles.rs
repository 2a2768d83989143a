//! Drives the rows of a few bundles: wave after wave, local first, transient rows promoted.

mod book;
mod start;

use super::{
    Act, Action, Done, Driver, Flight,
    gates::{GateAction, Gates},
};
use crate::{
    contract::{AppWork, NoteTarget},
    limits,
};
use model::{
    ids::{ClusterId, RowId},
    plan::{Outline, predecessors},
    state::Goal,
};
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug)]
struct Bundle {
    app: usize,
    cluster: ClusterId,
    /// Waves in driving order.
    stages: VecDeque<Vec<RowId>>,
    /// Its rows are noted as waiting for other apps on the cluster (while deleting).
    noted: Option<Vec<RowId>>,
    todo: VecDeque<(Act, Vec<RowId>)>,
    /// Actions in flight or queued for a retry slot.
    busy: usize,
    /// Accepted deletes whose objects are not gone.
    waiting: Vec<RowId>,
    gone_in_flight: bool,
    parked: bool,
    asked: bool,
    failed: bool,
    ended: bool,
}

#[derive(Debug)]
enum Kind {
    Step {
        bundle: usize,
        act: Act,
        rows: Vec<RowId>,
    },
    Promoted {
        bundle: usize,
        act: Act,
        rows: Vec<RowId>,
    },
    Gone {
        bundle: usize,
        rows: Vec<RowId>,
    },
    Reachable {
        bundle: usize,
    },
    /// Rows that are repeated after a pause.
    Later {
        bundle: usize,
        act: Act,
        rows: Vec<RowId>,
    },
    Gate {
        app: usize,
        need: usize,
    },
    /// Readiness of what an app depends on.
    Ready {
        app: usize,
        need: usize,
    },
    /// The worker is stopping: end the task before anything else is started.
    Drain,
    Note,
}

/// The driver of everything that is inline.
#[derive(Debug)]
pub struct Bundles {
    goal: Goal,
    gates: Gates,
    /// For a delete: the apps (by index) whose bundles on the same cluster come first.
    before: Vec<Vec<usize>>,
    bundles: Vec<Bundle>,
    flights: BTreeMap<Flight, Kind>,
    next_flight: Flight,
    /// Actions that are ready whatever the window says.
    ready: VecDeque<(Kind, Action)>,
    /// Transient rows that wait for a retry slot.
    troubled: VecDeque<(usize, Act, RowId)>,
    unnoted: Vec<RowId>,
    promoted: usize,
    window: usize,
    rows_in_flight: usize,
    cursor: usize,
    stopping: bool,
    draining: bool,
}

impl Bundles {
    /// `apps` in plan order; apps of bundles that are not in it have no gate.
    pub fn new(goal: Goal, apps: &[AppWork], outline: Outline) -> Self {
        let mut apps = apps.to_vec();
        for b in &outline.bundles {
            if !apps.iter().any(|a| a.name == b.app) {
                apps.push(AppWork {
                    name: b.app.clone(),
                    depends_on: vec![],
                    lanes: vec![],
                    failed: false,
                });
            }
        }
        let before = deleted_before(goal, &apps);
        if goal == Goal::Delete {
            apps.iter_mut().for_each(|app| app.depends_on.clear());
        }
        let mut units = vec![0; apps.len()];
        let mut bundles = Vec::new();
        for b in outline.bundles {
            let app = apps
                .iter()
                .position(|a| a.name == b.app)
                .unwrap_or_default();
            units[app] += 1;
            let stages = match goal {
                Goal::Apply => b.shared.into_iter().chain(b.waves).collect(),
                Goal::Delete => b.waves.into_iter().chain(b.shared).collect(),
            };
            bundles.push(Bundle {
                app,
                cluster: b.cluster,
                stages,
                noted: None,
                todo: VecDeque::new(),
                busy: 0,
                waiting: vec![],
                gone_in_flight: false,
                parked: false,
                asked: false,
                failed: b.failed,
                ended: false,
            });
        }
        let mut this = Self {
            goal,
            gates: Gates::new(&apps, &units),
            before,
            bundles,
            flights: BTreeMap::new(),
            next_flight: 0,
            ready: VecDeque::new(),
            troubled: VecDeque::new(),
            unnoted: vec![],
            promoted: 0,
            window: 0,
            rows_in_flight: 0,
            cursor: 0,
            stopping: false,
            draining: false,
        };
        this.turn();
        this
    }

    /// Opens gates, moves bundles on, ends those that have nothing left.
    fn turn(&mut self) {
        loop {
            for action in self.gates.turn() {
                self.ready.push_back(match action {
                    GateAction::Perform(a) => (Kind::Note, a),
                    GateAction::Wait { app, need, ms } => {
                        (Kind::Gate { app, need }, Action::Pause { ms })
                    }
                    GateAction::Ready { app, need, on } => {
                        (Kind::Ready { app, need }, Action::Ready { app: Some(on) })
                    }
                });
            }
            let mut moved = false;
            for i in 0..self.bundles.len() {
                moved |= self.advance(i);
            }
            if !moved {
                return;
            }
        }
    }

    /// One step of a bundle; true if another gate may have opened by it.
    fn advance(&mut self, i: usize) -> bool {
        if self.bundles[i].ended || self.stopping || !self.gates.is_open(self.bundles[i].app) {
            return false;
        }
        if !self.in_turn(i) {
            return false;
        }
        let goal = self.goal;
        let b = &mut self.bundles[i];
        if b.parked && !b.asked {
            // One wait for all bundles of a cluster.
            let cluster = b.cluster.clone();
            if self.bundles.iter().any(|o| o.asked && o.cluster == cluster) {
                return false;
            }
            let b = &mut self.bundles[i];
            b.asked = true;
            b.busy += 1;
            let app = self.gates_name(i);
            self.ready.push_back((
                Kind::Reachable { bundle: i },
                Action::Reachable { cluster, app },
            ));
            return false;
        }
        if b.todo.is_empty() && b.busy == 0 && !b.waiting.is_empty() && !b.gone_in_flight {
            let rows = std::mem::take(&mut b.waiting);
            b.gone_in_flight = true;
            b.busy += 1;
            let cluster = b.cluster.clone();
            self.ready.push_back((
                Kind::Gone {
                    bundle: i,
                    rows: rows.clone(),
                },
                Action::Gone { cluster, rows },
            ));
            return false;
        }
        if b.busy > 0 || !b.todo.is_empty() {
            return false;
        }
        if goal == Goal::Apply && b.failed {
            let held: Vec<RowId> = b.stages.drain(..).flatten().collect();
            if !held.is_empty() {
                let text = "a resource of an earlier wave of this app on this cluster failed";
                self.ready.push_back((
                    Kind::Note,
                    Action::Note {
                        target: NoteTarget::Rows(held),
                        blocked_by: Some(text.into()),
                    },
                ));
            }
        }
        match self.bundles[i].stages.pop_front() {
            Some(rows) if rows.is_empty() => self.advance(i),
            Some(rows) => {
                self.bundles[i].todo = match goal {
                    Goal::Apply => VecDeque::from([(Act::Look, rows)]),
                    Goal::Delete => chunks(rows).collect(),
                };
                false
            }
            None => {
                self.bundles[i].ended = true;
                self.gates
                    .unit_ended(self.bundles[i].app, self.bundles[i].failed);
                true
            }
        }
    }

    /// For a delete: on this cluster nothing that depends on the app is left. So a dead cluster
    /// holds up only itself.
    fn in_turn(&mut self, i: usize) -> bool {
        let b = &self.bundles[i];
        let earlier: Vec<&str> = self.before[b.app]
            .iter()
            .filter(|app| {
                let on = |o: &Bundle| !o.ended && o.cluster == b.cluster && o.app == **app;
                self.bundles.iter().any(on)
            })
            .map(|app| self.gates.name(*app))
            .collect();
        let free = earlier.is_empty();
        let blocked_by = (!free).then(|| format!("app {}: not deleted yet", earlier.join(", ")));
        let rows = match (&b.noted, free) {
            (None, false) => b.stages.iter().flatten().copied().collect(),
            (Some(rows), true) => rows.clone(),
            _ => return free,
        };
        self.bundles[i].noted = (!free).then(|| rows.clone());
        if !rows.is_empty() {
            let target = NoteTarget::Rows(rows);
            let note = Action::Note { target, blocked_by };
            self.ready.push_back((Kind::Note, note));
        }
        free
    }

    /// Readiness that nobody waits for any more: the app that did will not start.
    fn is_moot(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::Ready { app, .. } if self.stopping || self.gates.is_held(*app))
    }

    fn gates_name(&self, bundle: usize) -> String {
        self.gates.name(self.bundles[bundle].app).to_owned()
    }
}

impl Driver for Bundles {
    fn next(&mut self) -> Option<(Flight, Action)> {
        if self.stopping {
            return None;
        }
        if let Some((kind, action)) = self.ready.pop_front() {
            return self.start(kind, action);
        }
        if self.draining {
            return None;
        }
        if let Some(started) = self.next_promoted() {
            return Some(started);
        }
        if !self.unnoted.is_empty() {
            let rows = std::mem::take(&mut self.unnoted);
            let target = NoteTarget::Rows(rows);
            return self.start(
                Kind::Note,
                Action::Note {
                    target,
                    blocked_by: Some("retry slots".into()),
                },
            );
        }
        self.next_step()
    }

    fn done(&mut self, flight: Flight, done: Done) {
        let Some(kind) = self.flights.remove(&flight) else {
            return;
        };
        self.ended(kind, done);
        self.turn();
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn stopping(&self) -> bool {
        self.stopping
    }

    fn finished(&self) -> bool {
        (self.flights.values()).all(|kind| self.is_moot(kind))
            && (self.stopping
                || (self.ready.iter().all(|(kind, _)| self.is_moot(kind))
                    && self
                        .bundles
                        .iter()
                        .all(|b| b.ended || self.gates.is_held(b.app))))
    }

    fn failed(&self) -> bool {
        self.bundles.iter().any(|b| b.failed)
    }
}

fn deleted_before(goal: Goal, apps: &[AppWork]) -> Vec<Vec<usize>> {
    if goal == Goal::Apply {
        return vec![Vec::new(); apps.len()];
    }
    let graph: Vec<_> = apps
        .iter()
        .map(|app| (app.name.as_str(), app.depends_on.as_slice()))
        .collect();
    let before = predecessors(&graph, goal).into_iter();
    before
        .map(|apps| apps.into_iter().map(|(app, _)| app).collect())
        .collect()
}

/// One row per activity in ordinary waves, several in large ones.
fn chunks(rows: Vec<RowId>) -> impl Iterator<Item = (Act, Vec<RowId>)> {
    let size = if rows.len() > limits::CHUNK_ABOVE {
        limits::CHUNK_ROWS
    } else {
        1
    };
    let chunks: Vec<_> = rows.chunks(size).map(|c| (Act::Send, c.to_vec())).collect();
    chunks.into_iter()
}

/// A look is one or two requests whatever it looks for.
fn weight(act: Act, rows: &[RowId]) -> usize {
    match act {
        Act::Look => 1,
        Act::Send => rows.len(),
    }
}
