//! Random interleavings: whatever order things happen in, the invariants of protocol §11 hold.

use crate::{
    bed::{Bed, windowless},
    fixture::{
        close, cluster, dig_ref, documents, failure, instantiate_again, log_is_legal, meta, prove,
    },
};
use model::{
    document::OnFailure,
    failure::Certainty,
    ids::{ClusterId, ContextId, Fence, RowId},
    state::{ContextState, Goal, ResourceState},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use std::collections::{BTreeMap, BTreeSet};
use store::{Closed, Opened, OrphanChoice, PermitRow, SettleRow, Store};

const ROWS: &[&str] = &["/c1/NS", "a/c1/x", "a/c2/x"];

on_both!(no_interleaving_leaves_an_object_behind);

/// One step of the world; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Instantiate,
    Terminate,
    Stop,
    Retry,
    /// A terminate that gives a cluster up.
    Abandon(u8),
    /// A run takes the context up (0..3: which run).
    Begin(u8),
    Permit,
    /// Opens a row with the newest fence, or with one of before.
    Open {
        row: u8,
        old_fence: bool,
    },
    /// A request in flight reaches its cluster.
    Arrive(u8),
    /// Its outcome is recorded.
    Close {
        flight: u8,
        how: u8,
    },
    /// Its process dies; the request itself may still arrive.
    Die(u8),
    Settle {
        old_fence: bool,
    },
    /// Longer than every deadline: what has not arrived never will.
    TimePasses,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Instantiate),
        2 => Just(Step::Terminate),
        1 => Just(Step::Stop),
        2 => Just(Step::Retry),
        1 => (0..2_u8).prop_map(Step::Abandon),
        3 => (0..3_u8).prop_map(Step::Begin),
        4 => Just(Step::Permit),
        9 => (0..3_u8, prop::bool::weighted(0.2))
            .prop_map(|(row, old_fence)| Step::Open { row, old_fence }),
        7 => any::<u8>().prop_map(Step::Arrive),
        8 => (any::<u8>(), 0..6_u8).prop_map(|(flight, how)| Step::Close { flight, how }),
        2 => any::<u8>().prop_map(Step::Die),
        4 => prop::bool::weighted(0.2).prop_map(|old_fence| Step::Settle { old_fence }),
        1 => Just(Step::TimePasses),
    ]
}

struct Flight {
    context: ContextId,
    attempt: i64,
    row: RowId,
    goal: Goal,
    /// What a delete saw; an apply was accepted.
    arrived: bool,
    closed: bool,
}

struct World<'a> {
    bed: &'a Bed,
    store: &'a Store,
    name: String,
    context: ContextId,
    fences: Vec<Fence>,
    flights: Vec<Flight>,
    /// Objects on the clusters: (life, row).
    objects: BTreeSet<(ContextId, RowId)>,
    goals: BTreeMap<Fence, Goal>,
    /// Clusters that a life gave up.
    abandoned: BTreeSet<(ContextId, ClusterId)>,
}

async fn no_interleaving_leaves_an_object_behind(bed: &Bed) {
    let cases = if bed.dir.is_some() { 60 } else { 20 };
    // Send windows are over at once, so that permits come early and applies arrive late; what may
    // still arrive does so until time passes.
    let store = bed.with(windowless()).await;
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for case in 0..cases {
        let steps = prop::collection::vec(step(), 20..70);
        let steps = steps.new_tree(&mut runner).unwrap().current();
        let name = format!("d{case}");
        run(bed, &store, name, steps).await;
    }
}

async fn run(bed: &Bed, store: &Store, name: String, steps: Vec<Step>) {
    let mut documents = documents(&[&name]);
    // Half of them fail fast.
    if steps.len().is_multiple_of(2) {
        documents.digs[0].policy.on_failure = OnFailure::FailFast;
    }
    store
        .apply_documents(documents, false, &meta())
        .await
        .unwrap();
    store.approve(&dig_ref(&name), &meta()).await.unwrap();
    let (context, accepted) = instantiate_again(store, &name, ROWS).await;
    let mut world = World {
        bed,
        store,
        name,
        context,
        fences: vec![accepted.fence.unwrap()],
        flights: vec![],
        objects: BTreeSet::new(),
        goals: BTreeMap::new(),
        abandoned: BTreeSet::new(),
    };
    for (i, step) in steps.iter().enumerate() {
        world.step(step).await;
        world.check(&format!("step {i} of {steps:?}")).await;
    }
    world.end(&steps).await;
}

impl World<'_> {
    fn fence(&self, old: bool) -> Fence {
        let last = self.fences.len() - 1;
        self.fences[if old { last / 2 } else { last }]
    }

    async fn step(&mut self, step: &Step) {
        let (store, context) = (self.store, self.context.clone());
        let id = dig_ref(&self.name);
        match step {
            Step::Instantiate => {
                let state = store.context(&context).await.unwrap().state;
                if state == ContextState::Terminated {
                    let (context, accepted) = instantiate_again(store, &self.name, ROWS).await;
                    self.context = context;
                    self.fences.push(accepted.fence.unwrap());
                }
            }
            Step::Terminate => {
                if let Ok(accepted) = store.accept_terminate(&id, &meta()).await {
                    self.fences.push(accepted.fence.unwrap());
                }
            }
            Step::Stop => {
                if let Ok(accepted) = store.accept_stop(&id, &meta()).await {
                    self.fences.push(accepted.fence.unwrap());
                }
            }
            Step::Retry => {
                if let Ok(accepted) = store.accept_retry(&id, &meta()).await {
                    self.fences.push(accepted.fence.unwrap());
                }
            }
            Step::Abandon(n) => {
                let given_up = cluster(["c1", "c2"][usize::from(*n)]);
                let clusters = [given_up.clone()];
                if let Ok(accepted) = store.accept_abandon(&id, &clusters, &meta()).await {
                    self.fences.push(accepted.fence.unwrap());
                    self.abandoned.insert((context, given_up));
                }
            }
            Step::Begin(run) => {
                if let Some(begun) = store.begin(&context, &format!("run {run}")).await.unwrap() {
                    self.fences.push(begun.fence);
                }
            }
            Step::Permit => {
                let fence = store.context(&context).await.unwrap().fence;
                store.permit(&context, fence).await.unwrap();
            }
            Step::Open { row, old_fence } => self.open(*row, self.fence(*old_fence)).await,
            Step::Arrive(n) => self.arrive(*n),
            Step::Close { flight, how } => self.close(*flight, *how).await,
            Step::Die(n) => {
                if let Some(i) = self.pick(*n, |f| !f.closed) {
                    self.flights[i].closed = true;
                }
            }
            Step::Settle { old_fence } => {
                prove(store, &context, self.fence(*old_fence)).await;
                store
                    .settle(&context, self.fence(*old_fence))
                    .await
                    .unwrap();
            }
            Step::TimePasses => self.time_passes().await,
        }
    }

    fn pick(&self, n: u8, wanted: impl Fn(&Flight) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.flights.len())
            .filter(|i| wanted(&self.flights[*i]))
            .collect();
        (!fitting.is_empty()).then(|| fitting[n as usize % fitting.len()])
    }

    async fn open(&mut self, row: u8, fence: Fence) {
        let row = RowId::from(row);
        let head = self.store.context(&self.context).await.unwrap();
        let goal = match head.state {
            ContextState::Instantiating => Goal::Apply,
            _ => Goal::Delete,
        };
        let opened = self
            .store
            .open_attempts(&self.context, fence, goal, &[row], 1_000)
            .await
            .unwrap();
        let [Opened::Go { attempt, .. }] = opened[..] else {
            return;
        };
        assert_eq!(fence, head.fence, "opened under another fence");
        assert!(!head.state.is_settled() && head.state != ContextState::PreTerminate);
        assert_eq!(
            head.halted, None,
            "opened though nothing more is to be sent"
        );
        self.flights.push(Flight {
            context: self.context.clone(),
            attempt,
            row,
            goal,
            arrived: false,
            closed: false,
        });
    }

    fn arrive(&mut self, n: u8) {
        let Some(i) = self.pick(n, |f| !f.arrived) else {
            return;
        };
        let flight = &mut self.flights[i];
        flight.arrived = true;
        let object = (flight.context.clone(), flight.row);
        match flight.goal {
            Goal::Apply => self.objects.insert(object),
            Goal::Delete => self.objects.remove(&object),
        };
    }

    async fn close(&mut self, n: u8, how: u8) {
        let Some(i) = self.pick(n, |f| !f.closed) else {
            return;
        };
        let flight = &mut self.flights[i];
        flight.closed = true;
        let transient = Closed::Transient {
            failure: failure("timeout"),
            delay_ms: 10,
        };
        let (certainty, result) = match (flight.arrived, flight.goal, how) {
            (true, Goal::Apply, 0..4) => (Certainty::Definite, Closed::Applied),
            (true, Goal::Delete, 0..4) => (Certainty::Definite, Closed::Gone),
            // It never left: it cannot arrive either.
            (false, _, 0..3) => {
                flight.arrived = true;
                (Certainty::NotSent, Closed::NotSent)
            }
            (false, _, 3) => {
                flight.arrived = true;
                (Certainty::Definite, Closed::Refused(failure("invalid")))
            }
            _ => (Certainty::Ambiguous, transient),
        };
        let closes = close(flight.attempt, flight.row, certainty, result);
        let (context, fence) = (flight.context.clone(), self.fence(false));
        for _ in 0..2 {
            self.store
                .close_attempts(&context, fence, closes.clone())
                .await
                .unwrap();
        }
    }

    async fn time_passes(&mut self) {
        for flight in &mut self.flights {
            flight.arrived = true;
        }
        self.flights.retain(|flight| !flight.closed);
        self.bed
            .sql("UPDATE attempt SET send_until = 0, effect_until = 0")
            .await;
    }

    async fn check(&mut self, when: &str) {
        let head = self.store.context(&self.context).await.unwrap();
        let goal = match head.state {
            ContextState::Instantiating
            | ContextState::Instantiated
            | ContextState::InstantiateFailed => Goal::Apply,
            _ => Goal::Delete,
        };
        let known = *self.goals.entry(head.fence).or_insert(goal);
        assert_eq!(known, goal, "one fence, one goal: {when}");
        let rows = self.store.rows(&self.context, &[0, 1, 2]).await.unwrap();
        for row in rows {
            let object = (self.context.clone(), row.id);
            let may_arrive = self.flights.iter().any(|f| {
                f.context == self.context && f.row == row.id && f.goal == Goal::Apply && !f.arrived
            });
            let there = self.objects.contains(&object) || may_arrive;
            assert!(!there || row.sent > 0, "there and never sent: {when}");
            let place = (self.context.clone(), row.key.cluster.clone());
            assert!(
                !there || row.state != ResourceState::Deleted || self.abandoned.contains(&place),
                "Deleted and there, or still to come: {when}"
            );
        }
        let ledger = match self.abandoned.is_empty() {
            true => vec![],
            false => {
                let all = OrphanChoice::default();
                self.store.orphans(&all, 0, 10_000).await.unwrap()
            }
        };
        for (life, row) in &self.objects {
            let on = cluster(["c1", "c1", "c2"][*row as usize]);
            if self.abandoned.contains(&(life.clone(), on)) {
                let owned = ledger
                    .iter()
                    .any(|entry| entry.context == *life && entry.row == Some(*row));
                assert!(owned, "abandoned and not in the ledger: {when}");
                continue;
            }
            assert_eq!(*life, self.context, "an object of an ended life: {when}");
            let ended = head.state == ContextState::Terminated;
            assert!(!ended, "Terminated with objects: {when}");
        }
    }

    /// Every state that is not final has a way on: time passes, an honest run finishes.
    async fn end(&mut self, steps: &[Step]) {
        let store = self.store;
        self.time_passes().await;
        let id = dig_ref(&self.name);
        for _ in 0..100 {
            let state = store.context(&self.context).await.unwrap().state;
            if state == ContextState::Terminated {
                break;
            }
            if state.is_settled() || state == ContextState::Instantiating {
                store.accept_terminate(&id, &meta()).await.unwrap();
            }
            let begun = store.begin(&self.context, "last").await.unwrap().unwrap();
            self.fences.push(begun.fence);
            if begun.state == ContextState::PreTerminate {
                let permit = store.permit(&self.context, begun.fence).await.unwrap();
                assert_eq!(permit, PermitRow::Granted, "{steps:?}");
            }
            for row in 0..ROWS.len() as u8 {
                self.flights.clear();
                self.open(row, begun.fence).await;
                self.arrive(0);
                self.close(0, 0).await;
            }
            prove(store, &self.context, begun.fence).await;
            let settled = store.settle(&self.context, begun.fence).await.unwrap();
            assert_ne!(settled, SettleRow::Moved, "{steps:?}");
            self.check("the end").await;
        }
        let state = store.context(&self.context).await.unwrap().state;
        assert_eq!(state, ContextState::Terminated, "{steps:?}");
        log_is_legal(store, &id).await;
    }
}
