//! What became of what was started, booked on its bundle.

use super::{Bundle, Bundles, Kind, chunks, weight};
use crate::{
    contract::{Reachable, Ready, StepOutcome},
    drive::{Act, Action, Done},
};
use model::ids::RowId;

impl Bundles {
    pub(super) fn ended(&mut self, kind: Kind, done: Done) {
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
                    Done::Reachable(Reachable::Yes) => {
                        let cluster = b.cluster.clone();
                        let on = |o: &&mut Bundle| o.cluster == cluster;
                        self.bundles
                            .iter_mut()
                            .filter(on)
                            .for_each(|o| o.parked = false);
                    }
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
