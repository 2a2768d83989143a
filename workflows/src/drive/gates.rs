//! Which apps may be applied: those whose dependencies are through. (Deletes keep their order
//! cluster by cluster, see [`super::bundles`].)

use super::Action;
use crate::contract::{AppWork, NoteTarget};
use model::document::OpStatus;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Unmet,
    /// Its apply is done, its readiness is waited for.
    Unready,
    /// Done and ready as wanted.
    Done,
    /// Met, but its `wait` has not passed.
    Waiting,
    Met,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Closed,
    Open,
    /// A dependency failed: the app is never started.
    Held,
}

#[derive(Debug)]
struct App {
    name: String,
    needs: Vec<(usize, u64, Need)>,
    /// Which of them must be ready, not only deployed.
    ready: Vec<bool>,
    /// Bundles or lanes that have not ended.
    open: usize,
    failed: bool,
    gate: Gate,
    noted: bool,
}

impl App {
    fn ended(&self) -> bool {
        self.open == 0 || self.gate == Gate::Held
    }
}

/// The gates of all apps of a drive.
#[derive(Debug)]
pub struct Gates {
    apps: Vec<App>,
}

/// Something a gate wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum GateAction {
    Perform(Action),
    /// A timer; report it with [`Gates::waited`].
    Wait {
        app: usize,
        need: usize,
        ms: u64,
    },
    /// Ask whether an app is ready; report it with [`Gates::ready`].
    Ready {
        app: usize,
        need: usize,
        on: String,
    },
}

impl Gates {
    /// `units` = number of bundles or lanes of each app.
    pub fn new(apps: &[AppWork], units: &[usize]) -> Self {
        let index = |name: &str| apps.iter().position(|a| a.name == name);
        let needs_of = |i: usize| -> Vec<(usize, u64, Need)> {
            apps[i]
                .depends_on
                .iter()
                .filter_map(|d| index(&d.app).map(|j| (j, d.wait_ms, Need::Unmet)))
                .collect()
        };
        let ready_of = |i: usize| -> Vec<bool> {
            apps[i]
                .depends_on
                .iter()
                .filter(|d| index(&d.app).is_some())
                .map(|d| d.op_status == OpStatus::Ready)
                .collect()
        };
        let apps = (0..apps.len())
            .map(|i| App {
                ready: ready_of(i),
                name: apps[i].name.clone(),
                needs: needs_of(i),
                open: units[i],
                failed: apps[i].failed,
                gate: Gate::Closed,
                noted: false,
            })
            .collect();
        Self { apps }
    }

    pub fn name(&self, app: usize) -> &str {
        &self.apps[app].name
    }

    pub fn is_open(&self, app: usize) -> bool {
        self.apps[app].gate == Gate::Open
    }

    /// No unit of the app will start any more.
    pub fn is_held(&self, app: usize) -> bool {
        self.apps[app].gate == Gate::Held
    }

    /// Indices of the apps that `app` waits for.
    fn needs(&self, app: usize) -> impl Iterator<Item = usize> + '_ {
        self.apps[app].needs.iter().map(|n| n.0)
    }

    /// The name of the app behind a need.
    pub fn needed(&self, app: usize, need: usize) -> &str {
        &self.apps[self.apps[app].needs[need].0].name
    }

    pub fn unit_ended(&mut self, app: usize, failed: bool) {
        self.apps[app].open -= 1;
        self.apps[app].failed |= failed;
    }

    pub fn ready(&mut self, app: usize, need: usize) {
        self.apps[app].needs[need].2 = Need::Done;
    }

    pub fn waited(&mut self, app: usize, need: usize) {
        self.apps[app].needs[need].2 = Need::Met;
    }

    /// Opens what can be opened; answers what has to be done for it.
    pub fn turn(&mut self) -> Vec<GateAction> {
        let mut out = Vec::new();
        let mut again = true;
        while std::mem::take(&mut again) {
            for i in 0..self.apps.len() {
                if self.apps[i].gate != Gate::Closed {
                    continue;
                }
                if let Some(cause) = self.failed_need(i).map(str::to_owned) {
                    self.apps[i].gate = Gate::Held;
                    if self.apps[i].open > 0 {
                        out.push(self.note(i, Some(format!("app {cause}: failed"))));
                    }
                    again = true;
                    continue;
                }
                for n in 0..self.apps[i].needs.len() {
                    let (on, ms, state) = self.apps[i].needs[n];
                    // An app with nothing left to do waits for nobody.
                    let idle = self.apps[i].open == 0;
                    let ended = state == Need::Unmet && self.apps[on].ended();
                    if ended && self.apps[i].ready[n] && !idle {
                        self.apps[i].needs[n].2 = Need::Unready;
                        out.push(GateAction::Ready {
                            app: i,
                            need: n,
                            on: self.apps[on].name.clone(),
                        });
                    } else if ended || state == Need::Done {
                        self.apps[i].needs[n].2 = if ms == 0 || idle {
                            Need::Met
                        } else {
                            Need::Waiting
                        };
                        if ms > 0 && !idle {
                            out.push(GateAction::Wait {
                                app: i,
                                need: n,
                                ms,
                            });
                        }
                    }
                }
                if self.apps[i].needs.iter().all(|n| n.2 == Need::Met) {
                    self.apps[i].gate = Gate::Open;
                    if self.apps[i].noted {
                        out.push(self.note(i, None));
                    }
                    again = true;
                } else if !self.apps[i].noted && self.apps[i].open > 0 {
                    self.apps[i].noted = true;
                    let names: Vec<_> = self.needs(i).map(|n| self.apps[n].name.as_str()).collect();
                    let until = if self.apps[i].ready.contains(&true) {
                        "ready"
                    } else {
                        "deployed"
                    };
                    let text = format!("app {}: not {until} yet", names.join(", "));
                    out.push(self.note(i, Some(text)));
                }
            }
        }
        out
    }

    /// A dependency that failed.
    fn failed_need(&self, app: usize) -> Option<&str> {
        self.needs(app)
            .map(|n| &self.apps[n])
            .find(|n| n.gate == Gate::Held || (n.open == 0 && n.failed))
            .map(|n| n.name.as_str())
    }

    fn note(&self, app: usize, blocked_by: Option<String>) -> GateAction {
        GateAction::Perform(Action::Note {
            target: NoteTarget::App(self.apps[app].name.clone()),
            blocked_by,
        })
    }
}
