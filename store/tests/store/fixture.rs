//! Documents and plans of the tests, and a driver that does what an honest workflow would.

use model::{
    document::{AppRef, Cluster, CompositeApp, Dig, Policy},
    failure::{Certainty, Failure},
    ids::{ClusterId, ContextId, DigRef, Fence, ResourceKey, RowId},
    plan::{Class, Plan, PlanApp, PlanManifest, PlanRow},
    row::Row,
    state::{ContextState, Goal},
};
use store::{
    Accepted, Close, Closed, DocumentSet, Generations, Opened, PermitRow, RequestMeta, SettleRow,
    Store,
};

pub fn cluster(name: &str) -> ClusterId {
    name.parse().unwrap()
}

pub fn dig_ref(name: &str) -> DigRef {
    DigRef {
        project: "shop".into(),
        name: name.into(),
    }
}

pub fn app_ref() -> AppRef {
    AppRef {
        project: "shop".into(),
        name: "boutique".into(),
        version: "v1".into(),
    }
}

pub fn dig(name: &str) -> Dig {
    Dig {
        id: dig_ref(name),
        app: app_ref(),
        namespace: "shop".into(),
        placement: vec![],
        policy: Policy::default(),
    }
}

pub fn cluster_doc(name: &str) -> (Cluster, String) {
    let doc = Cluster {
        id: cluster(name),
        labels: Default::default(),
        context: None,
        kubeconfig: format!("./{name}.yaml"),
    };
    (doc, format!("kubeconfig of {name}"))
}

pub fn documents(digs: &[&str]) -> DocumentSet {
    DocumentSet {
        clusters: vec![cluster_doc("c1"), cluster_doc("c2")],
        apps: vec![CompositeApp {
            id: app_ref(),
            apps: vec![],
        }],
        digs: digs.iter().map(|name| dig(name)).collect(),
    }
}

pub fn meta() -> RequestMeta {
    RequestMeta {
        actor: "tester".into(),
        ..RequestMeta::default()
    }
}

pub fn request(id: &str, body: &str) -> RequestMeta {
    RequestMeta {
        request_id: Some(id.into()),
        body_hash: body.into(),
        actor: "tester".into(),
    }
}

pub fn rendered() -> Generations {
    Generations {
        dig: 1,
        app: 1,
        clusters: [(cluster("c1"), 1), (cluster("c2"), 1)].into(),
    }
}

pub fn failure(code: &str) -> Failure {
    Failure {
        code: code.into(),
        message: format!("it was {code}"),
    }
}

/// `app/cluster/name`; a name in capitals is a shared Namespace.
pub fn plan(rows: &[&str]) -> Plan {
    let mut plan = Plan::default();
    for (i, text) in rows.iter().enumerate() {
        let parts: Vec<&str> = text.split('/').collect();
        let [app, at, name] = parts[..] else {
            panic!("{text}")
        };
        let at = cluster(at);
        let shared = name.chars().all(|c| c.is_ascii_uppercase());
        if !plan.apps.iter().any(|a| a.name == app) {
            plan.apps.push(PlanApp {
                name: app.into(),
                depends_on: vec![],
                clusters: vec![],
            });
        }
        let listed = plan.apps.iter_mut().find(|a| a.name == app).unwrap();
        if !listed.clusters.contains(&at) {
            listed.clusters.push(at.clone());
        }
        plan.rows.push(PlanRow {
            id: i as RowId,
            app: app.into(),
            key: ResourceKey {
                cluster: at,
                group: String::new(),
                kind: if shared { "Namespace" } else { "ConfigMap" }.into(),
                namespace: if shared { "" } else { "shop" }.into(),
                name: name.to_lowercase(),
            },
            version: "v1".into(),
            wave: i32::from(!shared),
            class: if shared { Class::Shared } else { Class::Own },
            digest: format!("digest-{name}"),
            implicit: false,
            keep: false,
        });
        plan.manifests.push(PlanManifest {
            digest: format!("digest-{name}"),
            secret: false,
            json: format!("{{\"name\":\"{name}\"}}"),
        });
    }
    plan
}

/// A new context id.
pub fn fresh() -> ContextId {
    ContextId::new(0, rand_u128())
}

fn rand_u128() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(1));
    (half() << 64) | half()
}

/// Documents, approval, plan, accept.
pub async fn instantiate(store: &Store, name: &str, rows: &[&str]) -> (ContextId, Accepted) {
    store
        .apply_documents(documents(&[name]), false, &meta())
        .await
        .unwrap();
    store.approve(&dig_ref(name), &meta()).await.unwrap();
    instantiate_again(store, name, rows).await
}

pub async fn instantiate_again(store: &Store, name: &str, rows: &[&str]) -> (ContextId, Accepted) {
    let context = fresh();
    store
        .stage_plan(&dig_ref(name), &context, &plan(rows))
        .await
        .unwrap();
    let accepted = store
        .accept_instantiate(&dig_ref(name), &context, &rendered(), &meta())
        .await
        .unwrap();
    (context, accepted)
}

/// Number of the last event of a DIG.
pub async fn last_event(store: &Store, name: &str) -> i64 {
    let pulses = store
        .pulses(&[dig_ref(name), dig_ref("none")])
        .await
        .unwrap();
    assert_eq!(pulses.len(), 1, "what is not there is left out");
    pulses[&dig_ref(name)].seq
}

pub async fn begin(store: &Store, context: &ContextId) -> Fence {
    store.begin(context, "run").await.unwrap().unwrap().fence
}

/// A life of a DIG, under the fence of whoever drives it now.
pub struct Life<'a> {
    store: &'a Store,
    id: DigRef,
    pub context: ContextId,
    pub accepted: Accepted,
    pub fence: Fence,
}

impl<'a> Life<'a> {
    /// Accepted, and not begun yet.
    pub async fn new(store: &'a Store, name: &str, rows: &[&str]) -> Self {
        let (context, accepted) = instantiate(store, name, rows).await;
        Self {
            store,
            id: dig_ref(name),
            context,
            fence: accepted.fence.unwrap(),
            accepted,
        }
    }

    pub async fn begun(store: &'a Store, name: &str, rows: &[&str]) -> Self {
        let mut life = Self::new(store, name, rows).await;
        life.begin().await;
        life
    }

    pub async fn begin(&mut self) {
        self.begin_as("run").await;
    }

    pub async fn begin_as(&mut self, run: &str) {
        let begun = self.store.begin(&self.context, run).await.unwrap();
        self.fence = begun.unwrap().fence;
    }

    pub async fn terminate(&self) -> Accepted {
        let accepted = self.store.accept_terminate(&self.id, &meta()).await;
        accepted.unwrap()
    }

    pub async fn open(&self, goal: Goal, row: RowId) -> Vec<Opened> {
        self.store
            .open_attempts(&self.context, self.fence, goal, &[row], 1_000)
            .await
            .unwrap()
    }

    pub async fn go(&self, goal: Goal, row: RowId) -> i64 {
        go(self.store, &self.context, self.fence, goal, row).await
    }

    pub async fn close(&self, closes: Vec<Close>) {
        self.store
            .close_attempts(&self.context, self.fence, closes)
            .await
            .unwrap();
    }

    pub async fn send(&self, goal: Goal, row: RowId, certainty: Certainty, result: Closed) {
        let (context, fence) = (&self.context, self.fence);
        send(self.store, context, fence, goal, row, certainty, result).await;
    }

    pub async fn applied(&self, row: RowId) {
        self.send(Goal::Apply, row, Certainty::Definite, Closed::Applied)
            .await;
    }

    pub async fn gone(&self, row: RowId) {
        self.send(Goal::Delete, row, Certainty::Definite, Closed::Gone)
            .await;
    }

    pub async fn permit(&self) -> PermitRow {
        self.store.permit(&self.context, self.fence).await.unwrap()
    }

    pub async fn prove(&self) {
        prove(self.store, &self.context, self.fence).await;
    }

    pub async fn settle(&self) -> SettleRow {
        self.store.settle(&self.context, self.fence).await.unwrap()
    }

    pub async fn drive(&self) -> ContextState {
        drive(self.store, &self.context).await
    }

    pub async fn state(&self) -> ContextState {
        self.store.context(&self.context).await.unwrap().state
    }

    pub async fn states(&self, rows: usize) -> Vec<String> {
        states(self.store, &self.context, rows).await
    }

    pub async fn row(&self, row: RowId) -> Row {
        let mut rows = self.store.rows(&self.context, &[row]).await.unwrap();
        rows.remove(0)
    }
}

/// Opens one row and expects to be told to send.
pub async fn go(store: &Store, context: &ContextId, fence: Fence, goal: Goal, row: RowId) -> i64 {
    let opened = store
        .open_attempts(context, fence, goal, &[row], 1_000)
        .await
        .unwrap();
    match &opened[..] {
        [Opened::Go { attempt, .. }] => *attempt,
        other => panic!("{other:?}"),
    }
}

pub fn close(attempt: i64, row: RowId, certainty: Certainty, result: Closed) -> Vec<Close> {
    vec![Close {
        attempt,
        row,
        certainty,
        result,
        uid: None,
    }]
}

/// Opens and closes one row with an outcome.
pub async fn send(
    store: &Store,
    context: &ContextId,
    fence: Fence,
    goal: Goal,
    row: RowId,
    certainty: Certainty,
    result: Closed,
) {
    let attempt = go(store, context, fence, goal, row).await;
    let closes = close(attempt, row, certainty, result);
    store.close_attempts(context, fence, closes).await.unwrap();
}

/// Everything in the outline is sent and succeeds, each step twice; then it settles.
pub async fn drive(store: &Store, context: &ContextId) -> ContextState {
    loop {
        let begin = store.begin(context, "run").await.unwrap().unwrap();
        let again = store.begin(context, "run").await.unwrap().unwrap();
        assert_eq!(begin.fence, again.fence, "one run, one fence");
        let fence = begin.fence;
        if begin.state == ContextState::PreTerminate {
            assert_eq!(
                store.permit(context, fence).await.unwrap(),
                PermitRow::Granted
            );
            assert_eq!(
                store.permit(context, fence).await.unwrap(),
                PermitRow::Granted
            );
            continue;
        }
        let goal = match begin.state {
            ContextState::Terminating => Goal::Delete,
            _ => Goal::Apply,
        };
        let outline = store.outline(context, fence, goal, None).await.unwrap();
        for bundle in outline.unwrap().bundles {
            let (shared, waves) = (bundle.shared, bundle.waves);
            let stages: Vec<_> = match goal {
                Goal::Apply => shared.into_iter().chain(waves).collect(),
                Goal::Delete => waves.into_iter().chain(shared).collect(),
            };
            for row in stages.into_iter().flatten() {
                drive_row(store, context, fence, goal, row).await;
            }
        }
        if goal == Goal::Delete {
            prove(store, context, fence).await;
        }
        match store.settle(context, fence).await.unwrap() {
            SettleRow::Settled(state) => {
                let again = store.settle(context, fence).await.unwrap();
                assert_eq!(again, SettleRow::Moved);
                return state;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Nothing of the context was found on any cluster.
pub async fn prove(store: &Store, context: &ContextId, fence: Fence) {
    store.record_proof(context, fence, 0, 100).await.unwrap();
}

async fn drive_row(store: &Store, context: &ContextId, fence: Fence, goal: Goal, row: RowId) {
    let rows = store.rows(context, &[row]).await.unwrap();
    let result = match (goal, rows[0].class) {
        (Goal::Apply, _) => Closed::Applied,
        (Goal::Delete, Class::Own) => Closed::Gone,
        (Goal::Delete, Class::Shared) => {
            use store::Release;
            let first = store.release_shared(context, fence, row).await.unwrap();
            let second = store.release_shared(context, fence, row).await.unwrap();
            assert_eq!(first, second);
            match first {
                Release::Delete => Closed::Gone,
                Release::StillUsed { by } => Closed::Kept(format!("used by {by}")),
                Release::NotOurs => Closed::Kept("was there before".into()),
                Release::Superseded => panic!("superseded"),
            }
        }
    };
    // Both openings of a step that runs twice may be sent; both outcomes arrive.
    let opened = store
        .open_attempts(context, fence, goal, &[row, row], 1_000)
        .await
        .unwrap();
    for opened in opened {
        match opened {
            Opened::Go { attempt, .. } => {
                let mut closes = close(attempt, row, Certainty::Definite, result.clone());
                closes[0].uid = Some(format!("uid-{row}"));
                store
                    .close_attempts(context, fence, closes.clone())
                    .await
                    .unwrap();
                store.close_attempts(context, fence, closes).await.unwrap();
            }
            Opened::Done(state) => assert!(state.is_target(goal)),
            other => panic!("{other:?}"),
        }
    }
}

/// The states of a context's rows, in order.
pub async fn states(store: &Store, context: &ContextId, rows: usize) -> Vec<String> {
    let ids: Vec<RowId> = (0..rows as RowId).collect();
    let rows = store.rows(context, &ids).await.unwrap();
    rows.iter().map(|row| row.state.to_string()).collect()
}

/// Every line of the log is a step of its machine, and each begins where the last one ended.
pub async fn log_is_legal(store: &Store, id: &DigRef) {
    use model::state::{
        ContextEvent, DigEvent, DigState, ResourceEvent, ResourceState, context, resource,
    };
    use std::collections::HashMap;
    let mut at: HashMap<String, String> = HashMap::new();
    for line in store.events(id, 0, 1_000_000).await.unwrap() {
        if ["Waits", "Goes", "Abandon"].contains(&line.event.as_str()) {
            continue;
        }
        let place = format!("{:?} {:?}", line.context, line.object);
        let from = at.insert(place.clone(), line.to.clone());
        assert_eq!(from, line.from, "{place}: {line:?}");
        match (&line.context, &line.object) {
            (None, _) => {
                line.to.parse::<DigState>().unwrap();
                line.event.parse::<DigEvent>().unwrap();
            }
            (Some(_), None) => {
                let from = from.map(|text| text.parse::<model::state::ContextState>().unwrap());
                let event: ContextEvent = line.event.parse().unwrap();
                let to = context::next(from, event).unwrap();
                assert_eq!(to.map(|s| s.to_string()), Some(line.to));
            }
            (Some(_), Some(_)) => {
                let from = from.map(|text| text.parse::<ResourceState>().unwrap());
                let event: ResourceEvent = line.event.parse().unwrap();
                let to = resource::next(from, event).unwrap();
                assert_eq!(to.map(|s| s.to_string()), Some(line.to));
            }
        }
    }
}
