//! The workflow loop on a real Temporal server, with scripted activities: what the drivers want is
//! what Temporal does, a moved goal cancels at once, and every history replays.

#![allow(
    dead_code,
    reason = "the macro's constants for calling an activity; the worker calls them by name"
)]

use model::{
    document::Retry,
    ids::{ContextId, Fence, RowId},
    plan::{Bundle, Outline},
    state::Goal,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use temporal::{
    Client, Host, HostOptions, Runtime, SignalWithStart, WorkerOptions, embedded::DevServer,
    run_worker,
};
use temporalio_common::ActivityError;
use temporalio_macros::activities;
use temporalio_sdk::activities::ActivityContext;
use workflows::contract::{definitions as d, *};

/// What the fake store knows of one context.
#[derive(Debug, Default)]
pub struct World {
    pub fence: i64,
    pub run: String,
    /// Runs that began.
    pub runs: u32,
    pub deleting: bool,
    pub pretermination: u32,
    pub settled: bool,
    pub rows: BTreeMap<RowId, Row>,
    /// Proofs that still find something.
    pub found: u32,
    pub log: Vec<String>,
}

#[derive(Debug, Default, Clone)]
pub struct Row {
    pub applied: bool,
    pub sends: u32,
    /// How often it is not sent yet, and to be repeated in a moment.
    pub again: u32,
    /// Answers before the good one.
    pub trouble: u32,
    /// Never answers well.
    pub stuck: bool,
}

pub struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn step(&self, step: &Step, goal: Goal, attempt: u32) -> Result<StepOutcome, ActivityError> {
        let mut w = self.0.lock().unwrap();
        let mut o = StepOutcome::default();
        if step.fence.0 != w.fence {
            o.superseded = true;
            return Ok(o);
        }
        for id in &step.rows {
            let row = w.rows.get_mut(id).unwrap();
            if row.again > 0 {
                row.again -= 1;
                o.again.push(*id);
                o.again_ms = 1;
                continue;
            }
            let first = step.promoted && attempt == 1;
            if !first {
                row.sends += 1;
            }
            if goal == Goal::Apply && (first || row.stuck || row.sends <= row.trouble) {
                if !step.promoted {
                    o.retry.push(*id);
                    continue;
                }
                let failure = temporalio_common::error::ApplicationFailure::builder(
                    anyhow::anyhow!("not yet"),
                )
                .type_name("serverError".to_owned())
                .next_retry_delay(Duration::from_millis(50))
                .build();
                return Err(ActivityError::application(failure));
            }
            row.applied = goal == Goal::Apply;
        }
        Ok(o)
    }
}

#[activities]
impl Fake {
    #[activity(definition = d::Begin)]
    pub async fn begin(
        self: Arc<Self>,
        _: ActivityContext,
        i: BeginInput,
    ) -> Result<Begin, ActivityError> {
        let mut w = self.0.lock().unwrap();
        if w.settled {
            return Ok(Begin::Settled);
        }
        if w.run != i.run_id {
            w.run = i.run_id;
            w.runs += 1;
            w.fence += 1;
        }
        let fence = Fence(w.fence);
        let line = format!("begin deleting={} pre={}", w.deleting, w.pretermination);
        w.log.push(line);
        if w.pretermination > 0 {
            return Ok(Begin::PreTerminate { fence });
        }
        let goal = if w.deleting {
            Goal::Delete
        } else {
            Goal::Apply
        };
        let mut bundles: BTreeMap<i32, Bundle> = BTreeMap::new();
        for (id, row) in &w.rows {
            let b = bundles.entry(id / 100).or_insert_with(|| Bundle {
                app: "a".into(),
                cluster: format!("c{}", id / 100).parse().unwrap(),
                waves: vec![vec![]],
                shared: vec![],
                failed: false,
            });
            if row.applied == w.deleting {
                b.waves[0].push(*id);
            }
        }
        Ok(Begin::Drive(Work {
            fence,
            goal,
            retry: Retry {
                initial_interval_ms: 50,
                max_interval_ms: 100,
                ..Retry::default()
            },
            apps: vec![AppWork {
                name: "a".into(),
                depends_on: vec![],
                lanes: vec![],
                failed: false,
            }],
            inline: Some(Outline {
                bundles: bundles.into_values().collect(),
            }),
            wait_ready: false,
            clusters: 3,
        }))
    }
    #[activity(definition = d::Permit)]
    pub async fn permit(
        self: Arc<Self>,
        _: ActivityContext,
        i: Fenced,
    ) -> Result<Permit, ActivityError> {
        let mut w = self.0.lock().unwrap();
        assert_eq!(w.fence, i.fence.0);
        w.pretermination -= 1;
        Ok(if w.pretermination == 0 {
            Permit::Granted
        } else {
            Permit::Wait { ms: 20 }
        })
    }
    #[activity(definition = d::Outline)]
    pub async fn outline(
        self: Arc<Self>,
        _: ActivityContext,
        _: OutlineInput,
    ) -> Result<Outline, ActivityError> {
        Ok(Outline::default())
    }
    #[activity(definition = d::Look)]
    pub async fn look(
        self: Arc<Self>,
        _: ActivityContext,
        i: Step,
    ) -> Result<StepOutcome, ActivityError> {
        let w = self.0.lock().unwrap();
        Ok(StepOutcome {
            superseded: w.fence != i.fence.0,
            ..Default::default()
        })
    }
    #[activity(definition = d::Apply)]
    pub async fn apply(
        self: Arc<Self>,
        ctx: ActivityContext,
        i: Step,
    ) -> Result<StepOutcome, ActivityError> {
        self.step(&i, Goal::Apply, ctx.info().attempt)
    }
    #[activity(definition = d::Delete)]
    pub async fn delete(
        self: Arc<Self>,
        ctx: ActivityContext,
        i: Step,
    ) -> Result<StepOutcome, ActivityError> {
        self.step(&i, Goal::Delete, ctx.info().attempt)
    }
    #[activity(definition = d::Gone)]
    pub async fn gone(
        self: Arc<Self>,
        _: ActivityContext,
        _: Step,
    ) -> Result<StepOutcome, ActivityError> {
        Ok(StepOutcome::default())
    }
    #[activity(definition = d::Reachable)]
    pub async fn reachable(
        self: Arc<Self>,
        _: ActivityContext,
        _: ReachableInput,
    ) -> Result<Reachable, ActivityError> {
        Ok(Reachable::Yes)
    }
    #[activity(definition = d::Note)]
    pub async fn note(
        self: Arc<Self>,
        _: ActivityContext,
        _: NoteInput,
    ) -> Result<(), ActivityError> {
        Ok(())
    }
    #[activity(definition = d::Prove)]
    pub async fn prove(
        self: Arc<Self>,
        _: ActivityContext,
        i: ProveInput,
    ) -> Result<Proof, ActivityError> {
        let mut w = self.0.lock().unwrap();
        w.log.push(format!("prove from {}", i.offset));
        let found = usize::from(w.found > 0);
        w.found = w.found.saturating_sub(1);
        Ok(Proof {
            found,
            ..Proof::default()
        })
    }
    #[activity(definition = d::Settle)]
    pub async fn settle(
        self: Arc<Self>,
        _: ActivityContext,
        i: Fenced,
    ) -> Result<Settle, ActivityError> {
        let mut w = self.0.lock().unwrap();
        if w.fence != i.fence.0 {
            return Ok(Settle::Moved);
        }
        w.settled = true;
        w.log.push("settled".into());
        Ok(Settle::Settled)
    }
}

pub async fn signal(client: &Client, queue: &str, kind: &str, id: &str, fence: i64) {
    let wake = serde_json::to_value(Wake {
        context: ContextId(id.into()),
        fence: Fence(fence),
    })
    .unwrap();
    let request = SignalWithStart {
        workflow_type: kind.into(),
        workflow_id: id.into(),
        queue: queue.into(),
        input: wake.clone(),
        signal: GOAL_SIGNAL.into(),
        signal_input: wake,
        task_timeout: workflows::limits::WORKFLOW_TASK_TIMEOUT,
    };
    client.signal_with_start(request).await.unwrap();
}

pub async fn until(what: &str, world: &Arc<Mutex<World>>, is: impl Fn(&World) -> bool) {
    tests::until(what, || async { is(&world.lock().unwrap()).then_some(()) }).await;
}

/// A worker of the real workflows and the fake's activities.
pub async fn hosted(client: &Client, queue: &str, world: &Arc<Mutex<World>>) -> Host {
    let fake = world.clone();
    let register = Box::new(move |o: &mut WorkerOptions| {
        use workflows::lifecycle::{Instantiate, Slice, Terminate};
        let failed = |e: temporalio_sdk::WorkflowRegistrationError| e.to_string();
        o.register_workflow::<Instantiate>()
            .map_err(failed)?
            .register_workflow::<Terminate>()
            .map_err(failed)?;
        o.register_workflow::<Slice>().map_err(failed)?;
        o.register_activities(Fake(fake));
        Ok(())
    });
    let runtime = Runtime::new(false).unwrap();
    let options = HostOptions::new(queue);
    run_worker(runtime, client.clone(), options, register)
        .await
        .unwrap()
}

/// Histories of lifecycles that went through; MUSTER_UPDATE=1 rewrites them, which is right only
/// when no lifecycle of the old code can be in flight any more.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/histories");

/// A kept history does not name the machine that made it.
fn forget_where(history: &mut serde_json::Value) {
    match history {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                if name == "identity" {
                    *value = "worker".into();
                } else {
                    forget_where(value);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(forget_where),
        _ => {}
    }
}

#[tokio::test]
async fn kept_histories_replay_with_the_code_of_today() {
    let mut seen = 0;
    for entry in std::fs::read_dir(KEPT).unwrap() {
        let file = entry.unwrap().path();
        let replayed = worker::replay(&file).await;
        assert!(replayed.same(), "{}: {replayed:?}", file.display());
        seen += 1;
    }
    assert!(seen > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_applies_retries_is_called_off_and_deletes_and_its_history_replays() {
    let server = DevServer {
        binary: tests::stack::temporal_cli(),
        file: None,
        port: 0,
        ui_port: None,
        log: None,
    };
    let server = server.start().await.unwrap();
    let client = server.client().await.unwrap();
    let world = Arc::new(Mutex::new(World::default()));
    {
        let mut w = world.lock().unwrap();
        w.fence = 1;
        for i in 0..150 {
            w.rows.insert(
                i,
                Row {
                    trouble: if i % 40 == 3 { 3 } else { 0 },
                    ..Default::default()
                },
            );
        }
        for i in 200..250 {
            w.rows.insert(
                i,
                Row {
                    stuck: i >= 220,
                    ..Default::default()
                },
            );
        }
    }
    let host = hosted(&client, "engine", &world).await;
    signal(&client, "engine", INSTANTIATE, "engine-1", 1).await;
    until("all but the stuck rows applied", &world, |w| {
        w.rows
            .iter()
            .all(|(i, r)| r.applied || (220..250).contains(i))
    })
    .await;
    {
        let mut w = world.lock().unwrap();
        w.fence += 1;
        w.deleting = true;
        w.pretermination = 3;
    }
    let fence = world.lock().unwrap().fence;
    signal(&client, "engine", TERMINATE, "engine-1", fence).await;
    until("settled", &world, |w| w.settled).await;
    assert!(world.lock().unwrap().rows.values().all(|r| !r.applied));
    let closed = || async { (!client.is_running("engine-1").await.unwrap()).then_some(()) };
    tests::until("the workflow is closed", closed).await;

    let log = world.lock().unwrap().log.clone();
    assert_eq!(
        log[..2],
        ["begin deleting=false pre=0", "begin deleting=true pre=3"]
    );
    assert_eq!(log[log.len() - 2..], ["prove from 0", "settled"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.json");
    std::fs::write(&file, client.history_json("engine-1").await.unwrap()).unwrap();
    let replayed = worker::replay(&file).await;
    assert!(replayed.same(), "{replayed:?}");
    if std::env::var_os("MUSTER_UPDATE").is_some() {
        let mut history = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        forget_where(&mut history);
        let text = serde_json::to_string_pretty(&history).unwrap();
        std::fs::write(format!("{KEPT}/called-off.json"), text).unwrap();
    }
    host.shutdown();
    host.ended().await.unwrap();
}
