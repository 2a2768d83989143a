//! The crate against a real development server.

#![allow(clippy::unwrap_used)] // A panic is a test's way to say no.

use serde_json::{Value, json};
use std::time::Duration;
use temporal::{
    Client, HostOptions, Runtime, SignalWithStart, Verdict, WorkerOptions, WorkflowReplayerOptions,
    embedded::{DevServer, Running, resolve},
    history::{Contents, from_json},
    replay, run_worker,
};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::{
    ActivityOptions, LocalActivityOptions, SyncWorkflowContext, WorkflowContext, WorkflowResult,
    activities::{ActivityContext, ActivityError},
};

const LIMIT: Duration = Duration::from_secs(60);

/// Adds what it is signalled, by a local and a regular activity, until it was told "end".
#[workflow]
#[derive(Default)]
pub struct Adder {
    waiting: Vec<Value>,
}

#[workflow_methods]
impl Adder {
    #[run(name = "Adder")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, start: Value) -> WorkflowResult<i64> {
        let mut sum = start["add"].as_i64().unwrap_or_default();
        loop {
            ctx.wait_condition(|s: &Self| !s.waiting.is_empty()).await?;
            let next = ctx.state_mut(|s| s.waiting.remove(0));
            if next["end"] == true {
                return Ok(sum);
            }
            let add = next["add"].as_i64().unwrap_or_default();
            let soon = Duration::from_secs(5);
            sum = ctx
                .execute_local_activity(
                    Arithmetic::plus,
                    (sum, add),
                    LocalActivityOptions::builder()
                        .start_to_close_timeout(soon)
                        .build(),
                )
                .await?;
            sum = ctx
                .execute_activity(
                    Arithmetic::plus,
                    (sum, 0),
                    ActivityOptions::with_start_to_close_timeout(soon).build(),
                )
                .await?;
        }
    }

    #[signal(name = "more")]
    pub fn more(&mut self, _ctx: &mut SyncWorkflowContext<Self>, value: Value) {
        self.waiting.push(value);
    }
}

/// The same name, another way: what a change of code looks like to a replay.
#[workflow]
#[derive(Default)]
pub struct Changed;

#[workflow_methods]
impl Changed {
    #[run(name = "Adder")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, _start: Value) -> WorkflowResult<i64> {
        ctx.timer(Duration::from_secs(1)).await;
        Ok(0)
    }

    #[signal(name = "more")]
    pub fn more(&mut self, _ctx: &mut SyncWorkflowContext<Self>, _value: Value) {}
}

pub struct Arithmetic;

#[activities]
impl Arithmetic {
    #[activity(name = "plus")]
    pub async fn plus(_ctx: ActivityContext, of: (i64, i64)) -> Result<i64, ActivityError> {
        Ok(of.0 + of.1)
    }
}

async fn server() -> (Running, Client) {
    let cli = tokio::task::spawn_blocking(|| resolve(&|_| {}))
        .await
        .unwrap()
        .unwrap();
    let server = DevServer {
        binary: cli.binary,
        file: None,
        port: 0,
        ui_port: None,
        log: None,
    };
    let running = server.start().await.unwrap();
    let client = running.client().await.unwrap();
    (running, client)
}

fn wake(id: &str, value: Value) -> SignalWithStart {
    SignalWithStart {
        workflow_type: "Adder".into(),
        workflow_id: id.into(),
        queue: "tests".into(),
        input: json!({"add": 1}),
        signal: "more".into(),
        signal_input: value,
        task_timeout: Duration::from_secs(3),
    }
}

async fn closed(client: &Client, id: &str) {
    tokio::time::timeout(LIMIT, async {
        while client.is_running(id).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the workflow ends");
}

fn register(options: &mut WorkerOptions) -> Result<(), String> {
    options
        .register_workflow::<Adder>()
        .map_err(|error| error.to_string())?;
    options.register_activities(Arithmetic);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_woken_workflow_runs_is_seen_and_its_history_replays() {
    let (_server, client) = server().await;
    let runtime = Runtime::new(true).unwrap();
    let id = "wake/one";
    assert!(!client.is_running(id).await.unwrap());
    assert!(!client.history_json(id).await.unwrap_err().transient);

    // Before there is a worker: signals wait, the second one finds the first one's run.
    client
        .signal_with_start(wake(id, json!({"add": 2})))
        .await
        .unwrap();
    client
        .signal_with_start(wake(id, json!({"add": 3})))
        .await
        .unwrap();
    assert!(client.is_running(id).await.unwrap());

    let options = HostOptions::new("tests");
    let host = run_worker(runtime.clone(), client.clone(), options, Box::new(register))
        .await
        .unwrap();
    client
        .signal_with_start(wake(id, json!({"end": true})))
        .await
        .unwrap();
    closed(&client, id).await;
    let json = client.history_json(id).await.unwrap();
    let contents = Contents::of(&from_json(&json).unwrap());
    assert_eq!(contents.workflow_type, "Adder");
    assert_eq!(contents.last, "WORKFLOW_EXECUTION_COMPLETED");
    assert_eq!(contents.activities.get("plus"), Some(&4), "{contents:?}");
    assert!(
        String::from_utf8(json.clone())
            .unwrap()
            .contains("\"Ng==\""),
        "1 + 2 + 3"
    );

    // A closed one is started anew under the same id.
    client
        .signal_with_start(wake(id, json!({"add": 1})))
        .await
        .unwrap();
    assert!(client.is_running(id).await.unwrap());
    client
        .signal_with_start(wake(id, json!({"end": true})))
        .await
        .unwrap();
    closed(&client, id).await;

    let metrics = runtime.metrics_text().await.unwrap();
    assert!(metrics.contains("temporal_workflow_completed"), "{metrics}");
    host.shutdown();
    tokio::time::timeout(LIMIT, host.ended())
        .await
        .unwrap()
        .unwrap();

    let same: temporal::RegisterReplay = Box::new(|options: &mut WorkflowReplayerOptions| {
        options
            .register_workflow::<Adder>()
            .map(|_| ())
            .map_err(|error| error.to_string())
    });
    let verdict = replay(from_json(&json).unwrap(), same).await.unwrap();
    assert_eq!(verdict, Verdict::Same);
    let other: temporal::RegisterReplay = Box::new(|options: &mut WorkflowReplayerOptions| {
        options
            .register_workflow::<Changed>()
            .map(|_| ())
            .map_err(|error| error.to_string())
    });
    let verdict = replay(from_json(&json).unwrap(), other).await.unwrap();
    assert!(matches!(verdict, Verdict::Diverges(_)), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_a_namespace_that_is_not_there_ends_with_an_error() {
    let (server, _client) = server().await;
    let elsewhere = temporal::Server {
        address: Some(server.address.clone()),
        namespace: Some("nowhere".into()),
    };
    let client = Client::connect(elsewhere).await.unwrap();
    let runtime = Runtime::new(false).unwrap();
    let error = client
        .signal_with_start(wake("a", json!({})))
        .await
        .unwrap_err();
    assert!(
        error.transient && error.to_string().contains("nowhere"),
        "{error}"
    );
    let host = run_worker(
        runtime,
        client,
        HostOptions::new("tests"),
        Box::new(register),
    )
    .await
    .unwrap();
    let ended = tokio::time::timeout(LIMIT, host.ended()).await.unwrap();
    assert!(ended.unwrap_err().transient);
}
