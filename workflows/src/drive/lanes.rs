//! Drives a large context: slices as child workflows, lane by lane; applies in the order of the
//! apps. Deletes are cut so that a slice holds whole clusters, and keeps their order itself.

use super::{
    Action, Done, Driver, Flight,
    gates::{GateAction, Gates},
};
use crate::contract::{AppWork, Ready};
use model::{plan::Slice, state::Goal};
use std::collections::{BTreeMap, VecDeque};

/// Children open at a time: far below the server's limit, and so many that slices which wait for a
/// dead cluster do not keep the others from starting.
pub const SLICES: usize = 500;

#[derive(Debug)]
struct LaneRun {
    app: usize,
    stages: VecDeque<Vec<Slice>>,
    todo: Vec<Slice>,
    busy: usize,
    failed: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Slice {
        lane: usize,
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
    Note,
}

#[derive(Debug)]
pub struct Lanes {
    goal: Goal,
    gates: Gates,
    lanes: Vec<LaneRun>,
    ready: VecDeque<(Kind, Action)>,
    flights: BTreeMap<Flight, Kind>,
    next_flight: Flight,
    open: usize,
    stopping: bool,
}

impl Lanes {
    pub fn new(goal: Goal, apps: &[AppWork]) -> Self {
        let apps: Vec<AppWork> = match goal {
            Goal::Apply => apps.to_vec(),
            Goal::Delete => apps.iter().map(AppWork::untied).collect(),
        };
        let units: Vec<usize> = apps.iter().map(|a| a.lanes.len()).collect();
        let lanes = apps
            .iter()
            .enumerate()
            .flat_map(|(app, a)| {
                a.lanes.iter().map(move |lane| LaneRun {
                    app,
                    stages: lane.iter().cloned().collect(),
                    todo: vec![],
                    busy: 0,
                    failed: false,
                    ended: false,
                })
            })
            .collect();
        let mut this = Self {
            goal,
            gates: Gates::new(&apps, &units),
            lanes,
            ready: VecDeque::new(),
            flights: BTreeMap::new(),
            next_flight: 0,
            open: 0,
            stopping: false,
        };
        this.turn();
        this
    }

    fn turn(&mut self) {
        let mut again = true;
        while std::mem::take(&mut again) {
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
            for lane in &mut self.lanes {
                if lane.ended
                    || lane.busy > 0
                    || !lane.todo.is_empty()
                    || !self.gates.is_open(lane.app)
                {
                    continue;
                }
                if lane.failed && self.goal == Goal::Apply {
                    lane.stages.clear();
                }
                match lane.stages.pop_front() {
                    Some(stage) => lane.todo = stage.into_iter().rev().collect(),
                    None => {
                        lane.ended = true;
                        self.gates.unit_ended(lane.app, lane.failed);
                    }
                }
                again = true;
            }
        }
    }

    /// Readiness that nobody waits for any more: the app that did will not start.
    fn is_moot(&self, kind: &Kind) -> bool {
        matches!(kind, Kind::Ready { app, .. } if self.stopping || self.gates.is_held(*app))
    }

    fn start(&mut self, kind: Kind, action: Action) -> Option<(Flight, Action)> {
        self.next_flight += 1;
        self.flights.insert(self.next_flight, kind);
        Some((self.next_flight, action))
    }
}

impl Driver for Lanes {
    fn next(&mut self) -> Option<(Flight, Action)> {
        if self.stopping {
            return None;
        }
        // A parent runs no local activity while children are open, or their answers would wait for
        // it: notes go out as soon as they are due, before any child starts.
        if let Some((kind, action)) = self.ready.pop_front() {
            return self.start(kind, action);
        }
        if self.open >= SLICES {
            return None;
        }
        let lane = self.lanes.iter().position(|l| !l.todo.is_empty())?;
        let slice = self.lanes[lane].todo.pop()?;
        self.lanes[lane].busy += 1;
        self.open += 1;
        self.start(Kind::Slice { lane }, Action::Slice(slice))
    }

    fn done(&mut self, flight: Flight, done: Done) {
        let Some(kind) = self.flights.remove(&flight) else {
            return;
        };
        match kind {
            Kind::Slice { lane } => {
                self.open -= 1;
                self.lanes[lane].busy -= 1;
                match done {
                    Done::Slice(o) => {
                        self.stopping |= o.superseded;
                        self.lanes[lane].failed |= o.failed;
                    }
                    // The slice ended without an outcome: what it left undone is found by the next
                    // drive, and nothing is concluded from this one.
                    _ => self.stopping = true,
                }
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
            Kind::Note => {}
        }
        if !self.stopping {
            self.turn();
        }
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
                        .lanes
                        .iter()
                        .all(|l| l.ended || self.gates.is_held(l.app))))
    }

    fn failed(&self) -> bool {
        self.lanes.iter().any(|l| l.failed)
    }
}
