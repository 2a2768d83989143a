//! The requests a cluster received: a bounded ring per cluster, written at arrival.

use std::collections::VecDeque;
use std::sync::Mutex;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::lock;
use super::request::{Asked, Verb};

/// One request as it arrived, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// When the request arrived, not when it was answered.
    #[serde(serialize_with = "to_millis", deserialize_with = "from_text")]
    pub time: Timestamp,
    /// What it asked for.
    pub verb: Verb,
    /// The kind asked about; absent for `/version` and discovery, and for kinds the cluster does not know.
    pub kind: Option<String>,
    /// The object's namespace.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// The HTTP status that was sent; absent while there is none and when the answer was dropped.
    pub code: Option<u16>,
    /// The `fieldManager` of a write.
    pub field_manager: Option<String>,
    /// `status`, `scale`, … when the request was about a part of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subresource: Option<String>,
    /// The path of a request that has no kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl LogEntry {
    fn arrived(time: Timestamp, asked: &Asked) -> Self {
        // No finer than it is written, so that an entry equals what a reader of the log gets.
        let millis = Timestamp::from_millisecond(time.as_millisecond());
        Self {
            time: millis.unwrap_or(time),
            verb: asked.verb,
            kind: asked.kind.clone(),
            namespace: asked.namespace.clone(),
            name: asked.name.clone(),
            code: None,
            field_manager: asked.field_manager.clone(),
            subresource: asked.subresource.clone(),
            path: asked.kind.is_none().then(|| asked.path.clone()),
        }
    }
}

fn to_millis<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// The newest requests of one cluster.
#[derive(Debug)]
pub(crate) struct RequestLog {
    capacity: usize,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Number of the entry at the front.
    first: u64,
    entries: VecDeque<LogEntry>,
}

/// The place of an entry, for the answer's code later on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line(u64);

impl RequestLog {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            ring: Mutex::default(),
        }
    }

    /// Notes a request; the oldest one gives way when the ring is full.
    pub fn open(&self, time: Timestamp, asked: &Asked) -> Line {
        let entry = LogEntry::arrived(time, asked);
        let mut ring = lock(&self.ring);
        if ring.entries.len() == self.capacity {
            ring.entries.pop_front();
            ring.first += 1;
        }
        ring.entries.push_back(entry);
        Line(ring.first + ring.entries.len() as u64 - 1)
    }

    /// Notes what was answered, unless the entry has given way in the meantime.
    pub fn answered(&self, line: Line, code: Option<u16>) {
        let mut ring = lock(&self.ring);
        let place = line.0.checked_sub(ring.first);
        let place = place.and_then(|place| usize::try_from(place).ok());
        if let Some(entry) = place.and_then(|place| ring.entries.get_mut(place)) {
            entry.code = code;
        }
    }

    /// All entries, in order of arrival.
    pub fn entries(&self) -> Vec<LogEntry> {
        lock(&self.ring).entries.iter().cloned().collect()
    }

    /// Forgets the entries, so that a test can look at what comes after.
    pub fn clear(&self) {
        let mut ring = lock(&self.ring);
        ring.first += ring.entries.len() as u64;
        ring.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn asked(name: &str) -> Asked {
        let uri = format!("/api/v1/namespaces/a/configmaps/{name}?fieldManager=m");
        let request = http::Request::patch(uri)
            .header("content-type", "application/apply-patch+yaml")
            .body(())
            .unwrap();
        let mut asked = Asked::read(&request.into_parts().0);
        asked.kind = Some("ConfigMap".to_owned());
        asked
    }

    #[test]
    fn an_entry_is_written_with_milliseconds_and_reads_back() {
        let log = RequestLog::new(10);
        let time = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        let line = log.open(time, &asked("x"));
        log.answered(line, Some(201));
        let text = serde_json::to_string(&log.entries()).unwrap();
        assert_eq!(
            text,
            r#"[{"time":"2023-11-14T22:13:20.000Z","verb":"apply","kind":"ConfigMap","namespace":"a","name":"x","code":201,"fieldManager":"m"}]"#
        );
        let back: Vec<LogEntry> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, log.entries());
    }

    #[test]
    fn the_oldest_entries_give_way_and_late_answers_find_their_own() {
        let log = RequestLog::new(2);
        let lines: Vec<Line> = ["a", "b", "c"]
            .iter()
            .map(|name| log.open(Timestamp::UNIX_EPOCH, &asked(name)))
            .collect();
        for (line, code) in lines.iter().zip([200, 201, 202]) {
            log.answered(*line, Some(code));
        }
        let seen: Vec<_> = log.entries().iter().map(|entry| entry.code).collect();
        assert_eq!(seen, [Some(201), Some(202)]);
        log.clear();
        log.answered(lines[2], None);
        assert!(log.entries().is_empty());
    }
}
