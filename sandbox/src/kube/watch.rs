//! WATCH: the changes after a version, as they happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Inner;
use super::answer::{self, Answer};
use super::kinds::Kind;
use super::request::{Call, Form};
use super::selector::{Fields, Labels};
use super::state::State;
use super::status::{Cause, Status};
use super::store::{Change, Happened, Stored};
use super::table;

const BOOKMARK_EVERY: Duration = Duration::from_secs(30);

/// One watch.
struct Watch {
    cluster: Arc<Inner>,
    changed: tokio::sync::watch::Receiver<u64>,
    call: Call,
    kind: Arc<Kind>,
    version: String,
    namespace: Option<String>,
    name: Option<String>,
    labels: Labels,
    fields: Fields,
    seen: u64,
    bookmarks: bool,
    next_bookmark: Instant,
    until: Instant,
    waiting: VecDeque<Bytes>,
    over: bool,
    columns_sent: bool,
}

/// Begins a watch.
pub fn watch(
    cluster: &Arc<Inner>,
    state: &State,
    call: Call,
    kind: Arc<Kind>,
    version: &str,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<Answer, Status> {
    let (labels, fields) = call.selectors(&kind)?;
    let since = call.since()?;
    let timeout = call
        .number("timeoutSeconds")?
        .filter(|seconds| *seconds > 0)
        .unwrap_or(1_800);
    let initial_events = call
        .parameter("sendInitialEvents")
        .map(|_| call.flag("sendInitialEvents"));
    if initial_events.is_some() && call.parameter("resourceVersionMatch") != Some("NotOlderThan") {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        let cause = Cause::forbidden("resourceVersionMatch", why);
        return Err(Status::invalid_as(
            "meta.k8s.io",
            "ListOptions",
            "",
            &[cause],
        ));
    }
    let now = Instant::now();
    let mut watch = Watch {
        cluster: cluster.clone(),
        changed: cluster.changed.subscribe(),
        kind,
        version: version.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        labels,
        fields,
        seen: since.unwrap_or(state.store.version()),
        bookmarks: call.flag("allowWatchBookmarks"),
        next_bookmark: now + BOOKMARK_EVERY,
        until: now + Duration::from_secs(timeout),
        waiting: VecDeque::new(),
        over: false,
        columns_sent: false,
        call,
    };
    let from_the_start = since.is_none() && initial_events != Some(false);
    if from_the_start || initial_events == Some(true) {
        watch.seen = state.store.version();
        for stored in state.store.list(&watch.kind.id, namespace, None) {
            if watch.is_wanted(stored, &stored.labels) {
                watch.send("ADDED", stored);
            }
        }
        if initial_events == Some(true) {
            watch.bookmark(true);
        }
    }
    let body = stream::unfold(watch, |mut watch| async move {
        let bytes = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), watch))
    });
    Ok(Answer::Stream(Body::from_stream(body)))
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(first) = self.waiting.pop_front() {
                // What waits goes out as one piece: fewer writes, same lines.
                if self.waiting.is_empty() {
                    return Some(first);
                }
                let mut all = BytesMut::from(first);
                self.waiting
                    .drain(..)
                    .for_each(|line| all.extend_from_slice(&line));
                return Some(all.freeze());
            }
            if self.over {
                return None;
            }
            self.changed.borrow_and_update();
            self.collect();
            if !self.waiting.is_empty() || self.over {
                continue;
            }
            let wake_at = if self.bookmarks {
                self.until.min(self.next_bookmark)
            } else {
                self.until
            };
            tokio::select! {
                changed = self.changed.changed() => self.over |= changed.is_err(),
                () = tokio::time::sleep_until(wake_at) => {
                    self.over = Instant::now() >= self.until;
                    if self.bookmarks {
                        self.bookmark(false);
                    }
                }
            }
        }
    }

    /// Takes the changes that happened since.
    fn collect(&mut self) {
        let cluster = self.cluster.clone();
        let (changes, oldest, newest) = {
            let state = cluster.lock();
            (
                state.store.changes(&self.kind.id, self.seen),
                state.store.oldest(),
                state.store.version(),
            )
        };
        let Some(changes) = changes else {
            let status = Status::expired(format!(
                "too old resource version: {} ({oldest})",
                self.seen
            ));
            self.waiting.push_back(answer::event(
                "ERROR",
                status.to_json().to_string().as_bytes(),
            ));
            self.over = true;
            return;
        };
        for change in changes {
            self.tell(&change);
        }
        self.seen = self.seen.max(newest);
    }

    /// Tells one change the way the selectors see it.
    fn tell(&mut self, change: &Change) {
        let stored = &change.object;
        let is = self.is_wanted(stored, &stored.labels);
        let was = match (&change.labels_before, change.happened) {
            (_, Happened::Added) => false,
            (Some(before), _) => self.is_wanted(stored, before),
            (None, _) => is,
        };
        match (was, is && change.happened != Happened::Deleted) {
            (false, true) => self.send("ADDED", stored),
            (true, true) => self.send("MODIFIED", stored),
            (true, false) => self.send("DELETED", stored),
            (false, false) => {}
        }
    }

    fn is_wanted(&self, stored: &Stored, labels: &[(String, String)]) -> bool {
        let key = &stored.key;
        self.namespace
            .as_deref()
            .is_none_or(|namespace| namespace == key.namespace)
            && self.name.as_deref().is_none_or(|name| name == key.name)
            && self.labels.matches(labels)
            && self
                .fields
                .matches(&key.namespace, &key.name, || stored.object())
    }

    fn send(&mut self, name: &str, stored: &Stored) {
        let object = if self.call.form == Form::Table {
            let include = self.call.parameter("includeObject").unwrap_or("Metadata");
            let rows = vec![table::row(
                &self.call,
                &self.kind,
                &stored.object(),
                include,
            )];
            let meta = json!({"resourceVersion": stored.version.to_string()});
            let named = !std::mem::replace(&mut self.columns_sent, true);
            Bytes::from(table::table(&self.call, &self.kind, meta, rows, named).to_string())
        } else {
            answer::one(&self.call, &self.kind, &self.version, stored)
        };
        self.waiting.push_back(answer::event(name, &object));
    }

    fn bookmark(&mut self, end_of_initial_events: bool) {
        let mut meta = json!({"resourceVersion": self.seen.to_string(), "creationTimestamp": null});
        if end_of_initial_events {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object: Value = match self.call.form {
            Form::Table => {
                let row = json!({"cells": [], "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}});
                let meta = json!({"resourceVersion": self.seen.to_string()});
                table::table(&self.call, &self.kind, meta, vec![row], false)
            }
            Form::Metadata => answer::metadata(&self.call, meta),
            Form::Whole => {
                json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(&self.version), "metadata": meta})
            }
        };
        self.waiting
            .push_back(answer::event("BOOKMARK", object.to_string().as_bytes()));
        self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
    }
}
