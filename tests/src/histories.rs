//! What Temporal keeps of the workflows of a stack, every run of them.

use crate::{Stack, until};
use futures_util::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, Url, WorkflowExecutionInfo,
    WorkflowExecutionStatus,
};
use temporalio_protos::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};

/// More than that is in no event, however large what is deployed.
const LARGEST: usize = 64 << 10;
/// What does not end with a lifecycle: it watches readiness, or collects what was abandoned.
const LIFECYCLE: [&str; 3] = ["Instantiate", "Terminate", "Slice"];

/// One run, as Temporal lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    kind: String,
    id: String,
    run: String,
    is_open: bool,
}

/// Reads every history there is, and asserts that none of their events is large. Answers how many
/// runs of each workflow type there were.
///
/// An event is measured as the JSON that `muster history` writes, which is larger than what
/// Temporal stores and sends.
pub async fn of_small_events(stack: &Stack) -> BTreeMap<String, usize> {
    let address = format!("http://{}", stack.temporal.address);
    let options = ConnectionOptions::new(Url::parse(&address).unwrap()).build();
    let connection = Connection::connect(options).await.unwrap();
    let client = Client::new(connection, ClientOptions::new("default").build()).unwrap();
    let mut kinds = BTreeMap::new();
    for run in all(&client).await {
        let kind = run.kind.clone();
        let json = temporal::history::to_json(events(&client, &run).await).unwrap();
        has_small_events(&json, &format!("{run:?}"));
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// Every run, once those of the lifecycles are over and no history names one that is not listed
/// yet: the list comes a moment later than what it is about.
async fn all(client: &Client) -> Vec<Run> {
    until("all workflows are listed and over", || async {
        let runs = listed(client).await;
        let over = |run: &Run| !run.is_open || !LIFECYCLE.contains(&run.kind.as_str());
        if runs.is_empty() || !runs.iter().all(over) {
            return None;
        }
        let known: BTreeSet<&str> = runs.iter().map(|run| run.run.as_str()).collect();
        for run in &runs {
            let events = events(client, run).await;
            let named = events.iter().filter_map(next_run);
            if !named.into_iter().all(|next| known.contains(next)) {
                return None;
            }
        }
        Some(runs)
    })
    .await
}

/// The run that an event speaks of: a child, or what goes on with its work.
fn next_run(event: &HistoryEvent) -> Option<&str> {
    match event.attributes.as_ref()? {
        Attributes::ChildWorkflowExecutionStartedEventAttributes(started) => {
            Some(&started.workflow_execution.as_ref()?.run_id)
        }
        Attributes::WorkflowExecutionContinuedAsNewEventAttributes(goes_on) => {
            Some(&goes_on.new_execution_run_id)
        }
        _ => None,
    }
}

async fn listed(client: &Client) -> Vec<Run> {
    let list = client.list_workflows("", Default::default());
    let runs = list.map_ok(|found| Run {
        kind: found.workflow_type().to_owned(),
        id: found.id().to_owned(),
        run: found.run_id().to_owned(),
        is_open: found.status() == WorkflowExecutionStatus::Running,
    });
    runs.try_collect().await.unwrap()
}

async fn events(client: &Client, run: &Run) -> Vec<HistoryEvent> {
    let handle = WorkflowExecutionInfo::builder()
        .namespace("default")
        .workflow_id(run.id.as_str())
        .run_id(run.run.as_str())
        .build()
        .bind_untyped(client.clone());
    let history = handle.fetch_history(Default::default());
    history.into_events().await.unwrap()
}

/// Asserts that no event of a history, in the JSON that `muster history` writes, is large.
pub fn has_small_events(history: &[u8], of: &str) {
    let history: serde_json::Value = serde_json::from_slice(history).unwrap();
    for event in history["events"].as_array().unwrap() {
        let size = event.to_string().len();
        let (id, kind) = (&event["eventId"], &event["eventType"]);
        assert!(size < LARGEST, "event {id} {kind} of {of} has {size} bytes");
    }
}
