//! The fault switch of one cluster: the faults that are on, and what they do to the next request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::fault::{Fault, FaultKind};
use super::lock;
use super::request::Asked;

/// What the connections of a cluster have to know of its switch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    /// How often the cluster was healed.
    pub heals: u64,
    /// How often all its connections were reset.
    pub resets: u64,
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Deliver,
    /// Never answered; dropped by the next heal.
    Swallow,
    Reset,
    Refuse(u16),
}

/// The sum of all faults that hit a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub latency: Duration,
    pub late: Duration,
    pub fate: Fate,
    pub drop_reply: bool,
    /// The fault to be charged if the object gets a finalizer.
    pub hang: Option<u64>,
    /// Whether the fate is the whole line's, not this request's alone.
    pub total: bool,
    /// How often the cluster had been healed when this was decided.
    pub heals: u64,
}

#[derive(Debug)]
struct Armed {
    id: u64,
    fault: Fault,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    armed: Vec<Armed>,
}

/// The faults of one cluster.
#[derive(Debug)]
pub(crate) struct Switch {
    state: Mutex<State>,
    /// Saves the lock on the way of a healthy request.
    any: AtomicBool,
    hole: Arc<AtomicBool>,
    turns: watch::Sender<Turns>,
}

impl Switch {
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            any: AtomicBool::new(false),
            hole: Arc::default(),
            turns: watch::Sender::new(Turns::default()),
        }
    }

    /// Set while nothing may leave the cluster on any connection.
    pub fn hole(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.hole)
    }

    pub fn turns(&self) -> watch::Receiver<Turns> {
        self.turns.subscribe()
    }

    /// Whether the whole cluster is a black hole right now.
    pub fn is_hole(&self) -> bool {
        self.hole.load(Ordering::Acquire)
    }

    /// How often the cluster was healed.
    pub fn heals(&self) -> u64 {
        self.turns.borrow().heals
    }

    /// Waits for the next heal after `heals` of them.
    pub async fn healed_since(&self, heals: u64) {
        // The sender lives in `self`, so that there is always somebody to wait for.
        let _ = self.turns().wait_for(|turns| turns.heals > heals).await;
    }

    /// Switches one more fault on.
    pub fn arm(&self, fault: Fault) {
        let mut state = lock(&self.state);
        let resets = fault.is_total() && fault.kind == FaultKind::Reset;
        let id = state.next;
        state.next += 1;
        state.armed.push(Armed { id, fault });
        self.settle(&state);
        if resets {
            self.turns.send_modify(|turns| turns.resets += 1);
        }
    }

    /// Switches all faults off and says how many there were.
    pub fn heal(&self) -> usize {
        let mut state = lock(&self.state);
        let healed = std::mem::take(&mut state.armed).len();
        self.settle(&state);
        self.turns.send_modify(|turns| turns.heals += 1);
        healed
    }

    /// The faults that are on, with what is left of their `times`.
    pub fn faults(&self) -> Vec<Fault> {
        let state = lock(&self.state);
        state
            .armed
            .iter()
            .map(|armed| armed.fault.clone())
            .collect()
    }

    /// Decides on one request and charges the faults that hit it.
    ///
    /// Of several fates the worst wins (black hole, reset, status) and only that one is charged.
    pub fn judge(&self, asked: &Asked) -> Verdict {
        let mut verdict = Verdict::default();
        if !self.any.load(Ordering::Acquire) {
            return verdict;
        }
        let mut state = lock(&self.state);
        verdict.heals = self.turns.borrow().heals;
        let hit: Vec<(u64, Fault)> = state
            .armed
            .iter()
            .filter(|armed| armed.fault.hits(asked))
            .map(|armed| (armed.id, armed.fault.clone()))
            .collect();
        let fate = hit
            .iter()
            .filter_map(|(id, fault)| {
                let (rank, fate) = match fault.kind {
                    FaultKind::BlackHole => (0, Fate::Swallow),
                    FaultKind::Reset => (1, Fate::Reset),
                    FaultKind::Status { code } => (2, Fate::Refuse(code)),
                    _ => return None,
                };
                // Standing faults before counted ones, so that a count is not spent in their shadow.
                Some(((rank, fault.times.is_some()), *id, fate, fault.is_total()))
            })
            .min_by_key(|(rank, ..)| *rank);
        let mut spent = Vec::new();
        if let Some((_, id, fate, total)) = fate {
            verdict.fate = fate;
            verdict.total = total;
            spent.push(id);
        }
        if verdict.fate != Fate::Swallow {
            for (id, fault) in &hit {
                if let Some(latency) = fault.kind.latency() {
                    verdict.latency += latency;
                    spent.push(*id);
                }
            }
        }
        if verdict.fate == Fate::Deliver {
            for (id, fault) in &hit {
                if let Some(late) = fault.kind.late() {
                    verdict.late += late;
                    spent.push(*id);
                } else if fault.kind == FaultKind::DropReply {
                    verdict.drop_reply = true;
                    spent.push(*id);
                } else if fault.kind == FaultKind::HangFinalizer {
                    verdict.hang = verdict.hang.or(Some(*id));
                }
            }
        }
        for id in spent {
            charge(&mut state, id);
        }
        self.settle(&state);
        verdict
    }

    /// Charges a fault that is paid for by its effect; false when it is gone or used up.
    pub fn charge(&self, id: u64) -> bool {
        let mut state = lock(&self.state);
        let charged = charge(&mut state, id);
        self.settle(&state);
        charged
    }

    fn settle(&self, state: &State) {
        let hole = state
            .armed
            .iter()
            .any(|armed| armed.fault.is_total() && armed.fault.kind == FaultKind::BlackHole);
        self.hole.store(hole, Ordering::Release);
        self.any.store(!state.armed.is_empty(), Ordering::Release);
    }
}

fn charge(state: &mut State, id: u64) -> bool {
    let Some(place) = state.armed.iter().position(|armed| armed.id == id) else {
        return false;
    };
    if let Some(times) = &mut state.armed[place].fault.times {
        *times -= 1;
        if *times == 0 {
            state.armed.remove(place);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::request::Verb;
    use super::*;

    fn asked(method: &str, uri: &str, kind: Option<&str>) -> Asked {
        let request = http::Request::builder().method(method).uri(uri);
        let mut asked = Asked::read(&request.body(()).unwrap().into_parts().0);
        asked.kind = kind.map(str::to_owned);
        asked
    }

    fn get(name: &str) -> Asked {
        asked(
            "GET",
            &format!("/api/v1/namespaces/a/configmaps/{name}"),
            Some("ConfigMap"),
        )
    }

    #[test]
    fn a_counted_fault_is_used_up_and_version_never_counts() {
        let switch = Switch::new();
        switch.arm(Fault::from(FaultKind::Status { code: 503 }).times(2));
        let version = asked("GET", "/version", None);
        let fates: Vec<Fate> = [&version, &get("x"), &version, &get("x"), &get("x")]
            .iter()
            .map(|asked| switch.judge(asked).fate)
            .collect();
        let refused = Fate::Refuse(503);
        let through = Fate::Deliver;
        assert_eq!(fates, [through, refused, through, refused, through]);
        assert!(switch.faults().is_empty());
    }

    #[test]
    fn only_a_whole_line_covers_version() {
        let version = asked("GET", "/version", None);
        for (fault, covers) in [
            (Fault::from(FaultKind::BlackHole), true),
            (Fault::from(FaultKind::Reset), true),
            (Fault::from(FaultKind::Reset).verb(Verb::Get), false),
            (Fault::from(FaultKind::BlackHole).times(1), false),
            (Fault::from(FaultKind::Status { code: 500 }), false),
        ] {
            let switch = Switch::new();
            switch.arm(fault.clone());
            let through = switch.judge(&version).fate == Fate::Deliver;
            assert_eq!(through, !covers, "{fault}");
        }
    }

    #[test]
    fn filters_pick_by_verb_kind_and_name() {
        for (fault, hits) in [
            (Fault::from(FaultKind::Reset).verb(Verb::Get), true),
            (Fault::from(FaultKind::Reset).verb(Verb::List), false),
            (Fault::from(FaultKind::Reset).of_kind("configmap"), true),
            (Fault::from(FaultKind::Reset).of_kind("configmaps"), true),
            (Fault::from(FaultKind::Reset).of_kind("Secret"), false),
            (Fault::from(FaultKind::Reset).named("x"), true),
            (Fault::from(FaultKind::Reset).named("y"), false),
            (
                Fault::from(FaultKind::Reset).named("x").of_kind("Pod"),
                false,
            ),
        ] {
            let switch = Switch::new();
            switch.arm(fault.clone());
            let hit = switch.judge(&get("x")).fate == Fate::Reset;
            assert_eq!(hit, hits, "{fault}");
        }
    }

    #[test]
    fn the_worst_fate_wins_and_only_it_is_charged() {
        let switch = Switch::new();
        switch.arm(Fault::from(FaultKind::Status { code: 500 }).times(1));
        switch.arm(Fault::from(FaultKind::Latency { ms: 5 }));
        switch.arm(Fault::from(FaultKind::DropReply).times(1));
        switch.arm(Fault::from(FaultKind::Reset).times(1));
        let seen: Vec<_> = (0..4)
            .map(|_| {
                let verdict = switch.judge(&get("x"));
                (verdict.fate, verdict.drop_reply)
            })
            .collect();
        assert_eq!(
            seen,
            [
                (Fate::Reset, false),
                (Fate::Refuse(500), false),
                (Fate::Deliver, true),
                (Fate::Deliver, false)
            ]
        );
        assert_eq!(switch.heal(), 1);
    }
}
