//! Reading request logs and the operation log.

use jiff::Timestamp;
use proto::v1::Event;
use sandbox::host::{LogEntry, Verb};

/// An apply of ours that the cluster accepted.
pub fn accepted(entry: &LogEntry, manager: &str) -> bool {
    entry.verb == Verb::Apply
        && entry.subresource.is_none()
        && entry.field_manager.as_deref() == Some(manager)
        && entry.code.is_some_and(|code| (200..300).contains(&code))
}

pub fn object(entry: &LogEntry) -> (String, String, String) {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    (text(&entry.kind), text(&entry.namespace), text(&entry.name))
}

/// One line of the operation log: time, transition, event.
pub fn transition(event: &Event) -> String {
    let time = event
        .time
        .and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
        .map(|time| format!("{}", time.strftime("%H:%M:%S%.3f")))
        .unwrap_or_default();
    let from = if event.from.is_empty() {
        "[*]"
    } else {
        &event.from
    };
    format!("{time}  {from} → {}  ({})", event.to, event.event)
}
