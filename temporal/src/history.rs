//! Histories in Temporal's canonical JSON: what its CLI and UI write and read.
//!
//! The SDK has a private JSON layout of its own that the CLI does not understand, hence the
//! round trip through the protos' descriptors.

use crate::{Boxed, Client, TemporalError, chain, wake::interaction};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};
use temporalio_client::UntypedWorkflow;
use temporalio_protos::temporal::api::history::v1::{History, HistoryEvent, history_event};

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
const HISTORY: &str = "temporal.api.history.v1.History";

impl Client {
    /// The latest run's history in Temporal's canonical JSON.
    ///
    /// # Errors
    /// Final when there is no such workflow (any more).
    pub fn history_json<'a>(
        &'a self,
        workflow_id: &'a str,
    ) -> Boxed<'a, Result<Vec<u8>, TemporalError>> {
        Box::pin(async move {
            let handle = self
                .inner
                .get_workflow_handle::<UntypedWorkflow>(workflow_id);
            let events = handle
                .fetch_history(Default::default())
                .into_events()
                .await
                .map_err(|error| interaction("fetch history", workflow_id, &error))?;
            to_json(events)
        })
    }
}

/// Canonical JSON of a history.
pub fn to_json(events: Vec<HistoryEvent>) -> Result<Vec<u8>, TemporalError> {
    let wrong = |cause: String| TemporalError::permanent("write history", cause);
    let bytes = History { events }.encode_to_vec();
    let message = DynamicMessage::decode(descriptor()?, bytes.as_slice())
        .map_err(|error| wrong(chain(&error)))?;
    let mut out = Vec::new();
    message
        .serialize_with_options(
            &mut serde_json::Serializer::pretty(&mut out),
            &SerializeOptions::new(),
        )
        .map_err(|error| wrong(chain(&error)))?;
    Ok(out)
}

/// A history from canonical JSON: of [`to_json`], Temporal's CLI or its UI.
pub fn from_json(json: &[u8]) -> Result<History, TemporalError> {
    let wrong = |cause: String| TemporalError::permanent("read history", cause);
    // Newer servers may add fields this build does not know.
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let mut source = serde_json::Deserializer::from_slice(json);
    let message = DynamicMessage::deserialize_with_options(descriptor()?, &mut source, &options)
        .map_err(|error| wrong(chain(&error)))?;
    source.end().map_err(|error| wrong(chain(&error)))?;
    let history = History::decode(message.encode_to_vec().as_slice())
        .map_err(|error| wrong(chain(&error)))?;
    if history.events.is_empty() {
        return Err(wrong("it holds no events".into()));
    }
    Ok(history)
}

/// What a history is about, for people: its workflow, and how often each activity was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    pub workflow_id: String,
    pub workflow_type: String,
    pub events: usize,
    /// Activity type → recorded (regular ones by their schedule, local ones by their marker).
    pub activities: std::collections::BTreeMap<String, usize>,
    /// The last event's type, e.g. `WorkflowExecutionCompleted`.
    pub last: String,
}

impl Contents {
    pub fn of(history: &History) -> Self {
        use history_event::Attributes as A;
        let mut contents = Contents {
            events: history.events.len(),
            ..Default::default()
        };
        for event in &history.events {
            let activity = match &event.attributes {
                Some(A::WorkflowExecutionStartedEventAttributes(started)) => {
                    contents.workflow_id.clone_from(&started.workflow_id);
                    if let Some(kind) = &started.workflow_type {
                        contents.workflow_type.clone_from(&kind.name);
                    }
                    None
                }
                Some(A::ActivityTaskScheduledEventAttributes(scheduled)) => {
                    scheduled.activity_type.as_ref().map(|a| a.name.clone())
                }
                Some(A::MarkerRecordedEventAttributes(marker)) => local_activity(marker),
                _ => None,
            };
            if let Some(name) = activity {
                *contents.activities.entry(name).or_default() += 1;
            }
        }
        if let Some(last) = history.events.last() {
            contents.last = last
                .event_type()
                .as_str_name()
                .trim_start_matches("EVENT_TYPE_")
                .to_owned();
        }
        contents
    }
}

/// The activity type in the marker that core writes for a local activity.
fn local_activity(
    marker: &temporalio_protos::temporal::api::history::v1::MarkerRecordedEventAttributes,
) -> Option<String> {
    if marker.marker_name != "core_local_activity" {
        return None;
    }
    let data = marker.details.get("data")?.payloads.first()?;
    let data: serde_json::Value = serde_json::from_slice(&data.data).ok()?;
    Some(data.get("activity_type")?.as_str()?.to_owned())
}

fn descriptor() -> Result<MessageDescriptor, TemporalError> {
    static POOL: std::sync::OnceLock<Result<DescriptorPool, String>> = std::sync::OnceLock::new();
    let pool = POOL
        .get_or_init(|| DescriptorPool::decode(DESCRIPTORS).map_err(|error| chain(&error)))
        .as_ref()
        .map_err(|cause| TemporalError::permanent("read descriptors", cause))?;
    pool.get_message_by_name(HISTORY)
        .ok_or_else(|| TemporalError::permanent("read descriptors", format!("no {HISTORY}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    /// As `temporal workflow show -o json` prints it.
    const CLI: &str = r#"{"events":[
        {"eventId":"1","eventTime":"2026-01-02T03:04:05.678Z","eventType":"EVENT_TYPE_WORKFLOW_EXECUTION_STARTED",
         "workflowExecutionStartedEventAttributes":{"workflowType":{"name":"Instantiate"},"workflowId":"dig/a/b/c",
           "taskQueue":{"name":"muster","kind":"TASK_QUEUE_KIND_NORMAL"}},"aFieldOfTomorrow":true},
        {"eventId":"2","eventType":"EVENT_TYPE_WORKFLOW_TASK_SCHEDULED"},
        {"eventId":"5","eventType":"EVENT_TYPE_ACTIVITY_TASK_SCHEDULED",
         "activityTaskScheduledEventAttributes":{"activityId":"1","activityType":{"name":"apply"}}}]}"#;

    #[test]
    fn histories_of_the_cli_are_read_and_written_again_alike() {
        let history = from_json(CLI.as_bytes()).unwrap();
        assert_eq!(history.events[0].event_id, 1);
        let again = from_json(&to_json(history.events.clone()).unwrap()).unwrap();
        assert_eq!(history, again);
        let contents = Contents::of(&history);
        assert_eq!(contents.workflow_id, "dig/a/b/c");
        assert_eq!(contents.workflow_type, "Instantiate");
        assert_eq!(contents.activities.get("apply"), Some(&1));
        assert_eq!(contents.last, "ACTIVITY_TASK_SCHEDULED");
    }

    #[test]
    fn what_is_no_history_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "EOF"),
            ("{}", "no events"),
            (r#"{"events":[{"eventId":"x"}]}"#, "invalid digit"),
            (r#"{"events":[{"eventId":"1"}]} trailing"#, "trailing"),
        ] {
            let error = from_json(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
