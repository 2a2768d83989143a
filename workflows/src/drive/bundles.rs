//! Drives the rows of a few bundles: wave after wave, local first, transient rows promoted.

use super::{
    Act, Action, Done, Driver, Flight,
    gates::{GateAction, Gates},
};
use crate::{
    contract::{AppWork, NoteTarget, Reachable, Ready, StepOutcome},
    limits,
};
use model::{
    ids::{ClusterId, RowId},
    plan::Outline,
    state::Goal,
};
use std::collections::{BTreeMap, VecDeque};

/// Rows in flight in local activities: enough to fill the clusters' limits, few enough that one
/// task's markers stay small.
const ROWS_IN_FLIGHT: usize = 4 * limits::CHUNK_ROWS;

#[derive(Debug)]
struct Bundle {
    app: usize,
    cluster: ClusterId,
    /// Waves in driving order.
    stages: VecDeque<Vec<RowId>>,
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
            gates: Gates::new(goal, &apps, &units),
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
        if self.bundles[i].ended || self.stopping || !self.may_start(i) {
            return false;
        }
        let goal = self.goal;
        let b = &mut self.bundles[i];
        if b.parked && !b.asked {
            b.asked = true;
            b.busy += 1;
            let app = self.gates_name(i);
            let cluster = self.bundles[i].cluster.clone();
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

    /// Apply: the app's gate is open. Delete: on this cluster nothing that depends on the app is
    /// left, so that a dead cluster holds up only itself.
    fn may_start(&self, i: usize) -> bool {
        let b = &self.bundles[i];
        match self.goal {
            Goal::Apply => self.gates.is_open(b.app),
            Goal::Delete => {
                let needs: Vec<usize> = self.gates.needs(b.app).collect();
                self.bundles
                    .iter()
                    .all(|o| o.ended || o.cluster != b.cluster || !needs.contains(&o.app))
            }
        }
    }

    /// Readiness that nobody waits for any more: the app that did will not start.
    fn is_moot(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::Ready { app, .. } if self.stopping || self.gates.is_held(*app))
    }

    fn gates_name(&self, bundle: usize) -> String {
        self.gates.name(self.bundles[bundle].app).to_owned()
    }

    fn start(&mut self, kind: Kind, action: Action) -> Option<(Flight, Action)> {
        self.next_flight += 1;
        self.flights.insert(self.next_flight, kind);
        Some((self.next_flight, action))
    }

    /// The first transient row that gets a retry slot. A cluster with no row in a slot gets one in
    /// any case, so that a sick cluster cannot keep the others' rows from being retried.
    fn next_promoted(&mut self) -> Option<(Flight, Action)> {
        let free = self.promoted < limits::RETRY_SLOTS;
        let slots = |this: &Self, cluster: &ClusterId| {
            let of = |k: &&Kind| matches!(k, Kind::Promoted { bundle, .. } if this.bundles[*bundle].cluster == *cluster);
            this.flights.values().filter(of).count()
        };
        let at = self
            .troubled
            .iter()
            .position(|(bundle, ..)| free || slots(self, &self.bundles[*bundle].cluster) == 0)?;
        let (bundle, act, row) = self.troubled.remove(at)?;
        self.unnoted.retain(|r| *r != row);
        self.promoted += 1;
        let cluster = self.bundles[bundle].cluster.clone();
        let rows = vec![row];
        self.start(
            Kind::Promoted {
                bundle,
                act,
                rows: rows.clone(),
            },
            Action::Promoted { act, cluster, rows },
        )
    }

    fn next_step(&mut self) -> Option<(Flight, Action)> {
        if self.window >= limits::WINDOW || self.rows_in_flight >= ROWS_IN_FLIGHT {
            return None;
        }
        // Round robin over the bundles, so that none takes the whole window.
        let n = self.bundles.len();
        for k in 0..n {
            let i = (self.cursor + k) % n;
            if self.bundles[i].parked {
                continue;
            }
            let Some((act, rows)) = self.bundles[i].todo.pop_front() else {
                continue;
            };
            self.cursor = i + 1;
            self.bundles[i].busy += 1;
            self.window += 1;
            self.rows_in_flight += weight(act, &rows);
            let cluster = self.bundles[i].cluster.clone();
            return self.start(
                Kind::Step {
                    bundle: i,
                    act,
                    rows: rows.clone(),
                },
                Action::Step { act, cluster, rows },
            );
        }
        None
    }

    fn book(&mut self, i: usize, act: Act, rows: Vec<RowId>, o: StepOutcome) {
        self.stopping |= o.superseded;
        if o.drained && !self.draining {
            self.draining = true;
            self.ready
                .push_front((Kind::Drain, Action::Pause { ms: 100 }));
        }
        let b = &mut self.bundles[i];
        b.failed |= !o.failed.is_empty();
        b.waiting.extend(&o.waiting);
        if o.unreachable {
            b.parked = true;
        }
        if act == Act::Look && !o.superseded {
            let held =
                |r: &RowId| o.failed.contains(r) || o.retry.contains(r) || o.again.contains(r);
            let seen: Vec<RowId> = rows.into_iter().filter(|r| !held(r)).collect();
            b.todo.extend(chunks(seen));
        }
        if !o.again.is_empty() {
            if o.again_ms > 0 && !o.unreachable {
                b.busy += 1;
                self.ready.push_back((
                    Kind::Later {
                        bundle: i,
                        act,
                        rows: o.again,
                    },
                    Action::Pause { ms: o.again_ms },
                ));
            } else {
                b.todo.push_back((act, o.again));
            }
        }
        for row in o.retry {
            self.bundles[i].busy += 1;
            self.troubled.push_back((i, act, row));
            self.unnoted.push(row);
        }
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
        let lost = |rows: &[RowId]| StepOutcome {
            again: rows.to_vec(),
            again_ms: 1_000,
            ..Default::default()
        };
        let outcome = |done: Done, rows: &[RowId]| match done {
            Done::Step(o) => o,
            _ => lost(rows),
        };
        match kind {
            Kind::Step { bundle, act, rows } => {
                self.window -= 1;
                self.rows_in_flight -= weight(act, &rows);
                self.bundles[bundle].busy -= 1;
                let o = outcome(done, &rows);
                self.book(bundle, act, rows, o);
            }
            Kind::Promoted { bundle, act, rows } => {
                self.promoted -= 1;
                self.bundles[bundle].busy -= 1;
                let o = outcome(done, &rows);
                self.book(bundle, act, rows, o);
            }
            Kind::Gone { bundle, rows } => {
                self.bundles[bundle].gone_in_flight = false;
                self.bundles[bundle].busy -= 1;
                let o = outcome(done, &rows);
                self.book(bundle, Act::Send, rows, o);
            }
            Kind::Reachable { bundle } => {
                let b = &mut self.bundles[bundle];
                b.busy -= 1;
                b.asked = false;
                match done {
                    Done::Reachable(Reachable::Superseded) => self.stopping = true,
                    Done::Reachable(Reachable::Expired) => {
                        b.parked = false;
                        b.failed = true;
                        b.todo.clear();
                        b.waiting.clear();
                    }
                    Done::Reachable(Reachable::Yes) => b.parked = false,
                    _ => {}
                }
            }
            Kind::Later { bundle, act, rows } => {
                self.bundles[bundle].busy -= 1;
                self.bundles[bundle].todo.push_back((act, rows));
            }
            Kind::Gate { app, need } => self.gates.waited(app, need),
            Kind::Ready { app, need } => match done {
                Done::Ready(Ready::Superseded) => self.stopping = true,
                Done::Ready(Ready::Yes) => self.gates.ready(app, need),
                // Asked again: only a readiness that was seen opens a gate.
                _ => self.ready.push_back((
                    Kind::Ready { app, need },
                    Action::Ready {
                        app: Some(self.gates.needed(app, need).to_owned()),
                    },
                )),
            },
            Kind::Drain => self.draining = false,
            Kind::Note => {}
        }
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
