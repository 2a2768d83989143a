//! A status that follows: a snapshot, then what changed.
//!
//! The store's operation log says *that* something changed; rows are compared with what was sent,
//! so that a cluster that stops answering (which changes how its rows read, without an event) is
//! followed too.

use crate::{
    convert::status as shape,
    errors,
    shared::Core,
    status::{self, CHUNK, Filter},
};
use model::ids::{ContextId, DigRef, ResourceKey, RowId};
use proto::v1;
use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};
use store::{StatusRow, Store};
use tokio::sync::mpsc;
use tonic::Status;

/// A new state is followed at once, other changes after so long; longer for large contexts.
const FOLLOW: Duration = Duration::from_millis(250);
/// The head and the clusters are read again after so long even if the log is quiet.
const REFRESH: Duration = Duration::from_secs(2);
/// A resumed watch that missed more events gets a snapshot.
const REPLAYED: u64 = 2_000;

type Sender = mpsc::Sender<Result<v1::WatchStatusResponse, Status>>;

/// Where a watch stands: `CONTEXT:SEQ` as text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    /// `None` while there is no context.
    context: Option<ContextId>,
    seq: i64,
}

impl Token {
    /// `None` if the text is no token: then a snapshot is sent.
    fn read(text: &str) -> Option<Self> {
        let (context, seq) = text.rsplit_once(':')?;
        Some(Self {
            context: (!context.is_empty()).then(|| ContextId(context.to_owned())),
            seq: seq.parse().ok()?,
        })
    }

    fn text(&self) -> String {
        format!(
            "{}:{}",
            self.context
                .as_ref()
                .map(|id| id.0.as_str())
                .unwrap_or_default(),
            self.seq
        )
    }
}

/// What the caller has.
#[derive(Default)]
struct Sent {
    head: Option<v1::StatusHead>,
    /// Hash of each row's contents.
    rows: HashMap<RowId, u64>,
}

pub struct Watch {
    pub core: Arc<Core>,
    pub store: Store,
    pub id: DigRef,
    pub filter: Filter,
    pub full: bool,
}

impl Watch {
    /// Sends until the caller leaves, the DIG is deleted, or the server stops.
    pub async fn run(self, resume: String, sender: Sender) -> Result<(), Status> {
        let mut sent = Sent::default();
        let pulse = self.core.pulses.follow(&self.store, &self.id).await;
        let mut pulse = pulse.map_err(errors::store)?;
        let mut before = pulse.borrow_and_update().clone();
        let mut at = self.start(&resume, before.seq, &mut sent, &sender).await?;
        let mut followed = Instant::now();
        let mut pause = FOLLOW;
        loop {
            let now = pulse.borrow_and_update().clone();
            let moved = (&now.dig, now.context) != (&before.dig, before.context);
            let due = match (moved, now.seq != at.seq) {
                (true, _) => Duration::ZERO,
                (false, true) => pause.min(REFRESH),
                (false, false) => REFRESH,
            };
            if let Some(left) = due.checked_sub(followed.elapsed()) {
                tokio::select! {
                    () = sender.closed() => return Ok(()),
                    () = self.core.stop.cancelled() => {
                        return Err(errors::unavailable("STOPPING", "the server stops; watch again with the resume token".to_owned()));
                    }
                    _ = pulse.changed() => continue,
                    () = tokio::time::sleep(left) => {}
                }
            }
            followed = Instant::now();
            at = self.follow(&at, now.seq, &mut sent, &sender).await?;
            before = now;
            // Reading 50,000 rows takes a while: spend at most a quarter of the time on it.
            pause = FOLLOW.max(followed.elapsed() * 3);
        }
    }

    /// The first messages: what was missed since the token, or a snapshot.
    async fn start(
        &self,
        resume: &str,
        seq: i64,
        sent: &mut Sent,
        sender: &Sender,
    ) -> Result<Token, Status> {
        let (head, context) = status::head(&self.core, &self.store, &self.id, &self.filter).await?;
        let now = Token { context, seq };
        let missed = match Token::read(resume) {
            // With a filter by state, rows may have left it meanwhile: only a snapshot is right.
            Some(token)
                if token.context == now.context && token.seq <= seq && !self.filter.by_state() =>
            {
                self.missed(token.seq).await?
            }
            _ => None,
        };
        let first = v1::WatchStatusResponse {
            resume_token: String::new(),
            reset: missed.is_none(),
            head: Some(head.clone()),
            ..Default::default()
        };
        self.send(sender, first).await;
        self.scan(&now, sent, missed.as_ref(), sender).await?;
        sent.head = Some(head);
        Ok(now)
    }

    /// The objects of the events since `seq`; `None` if they are too many.
    async fn missed(&self, seq: i64) -> Result<Option<HashSet<ResourceKey>>, Status> {
        let events = self
            .store
            .events(&self.id, seq, REPLAYED)
            .await
            .map_err(errors::store)?;
        Ok(((events.len() as u64) < REPLAYED).then(|| {
            events
                .into_iter()
                .filter_map(|event| event.object)
                .collect()
        }))
    }

    async fn follow(
        &self,
        at: &Token,
        seq: i64,
        sent: &mut Sent,
        sender: &Sender,
    ) -> Result<Token, Status> {
        let (head, context) = status::head(&self.core, &self.store, &self.id, &self.filter).await?;
        let now = Token { context, seq };
        let reset = now.context != at.context;
        if reset {
            sent.rows.clear();
        }
        let changed = sent.head.as_ref() != Some(&head);
        if changed || reset {
            let message = v1::WatchStatusResponse {
                reset,
                head: Some(head.clone()),
                ..Default::default()
            };
            self.send(sender, message).await;
            sent.head = Some(head);
        }
        if changed || reset || seq != at.seq {
            self.scan(&now, sent, None, sender).await?;
        }
        Ok(now)
    }

    /// Sends the rows that differ from what was sent, and a last message that says that the picture
    /// is complete. On a resumed watch (`missed`) rows that the caller has are not sent again.
    async fn scan(
        &self,
        now: &Token,
        sent: &mut Sent,
        missed: Option<&HashSet<ResourceKey>>,
        sender: &Sender,
    ) -> Result<(), Status> {
        let mut seen = HashSet::new();
        let mut after = None;
        while let Some(context) = now.context.as_ref().filter(|_| self.full) {
            let rows = status::rows(&self.store, context, &self.filter, after).await?;
            after = rows.last().map(|shown| shown.row.id);
            let changed: Vec<_> = rows
                .iter()
                .filter(|shown| {
                    let row = &shown.row;
                    seen.insert(row.id);
                    let content = content(shown);
                    let known = sent.rows.insert(row.id, content) == Some(content);
                    // Readiness leaves no events: what may have changed is sent.
                    let quiet = row.error.is_none() && shown.readiness_since_ms.is_none();
                    let had = missed.is_some_and(|missed| !missed.contains(&row.key) && quiet);
                    !known && !had
                })
                .map(shape::resource)
                .collect();
            if !changed.is_empty() {
                self.send(
                    sender,
                    v1::WatchStatusResponse {
                        resources: changed,
                        ..Default::default()
                    },
                )
                .await;
            }
            if (rows.len() as u64) < CHUNK || sender.is_closed() {
                break;
            }
        }
        let removed: Vec<_> = sent
            .rows
            .keys()
            .copied()
            .filter(|row| !seen.contains(row))
            .collect();
        for row in &removed {
            sent.rows.remove(row);
        }
        let last = v1::WatchStatusResponse {
            resume_token: now.text(),
            synced: true,
            removed,
            ..Default::default()
        };
        self.send(sender, last).await;
        Ok(())
    }

    /// A caller that left is noticed by the loop.
    async fn send(&self, sender: &Sender, message: v1::WatchStatusResponse) {
        let _ = sender.send(Ok(message)).await;
    }
}

/// Of everything that a row shows.
fn content(shown: &StatusRow) -> u64 {
    let row = &shown.row;
    let mut hasher = DefaultHasher::new();
    (
        shown.readiness,
        row.state,
        row.goal,
        row.attempts,
        row.since_ms,
        row.next_attempt_ms,
        &row.blocked_by,
        &row.kept,
    )
        .hash(&mut hasher);
    row.error
        .as_ref()
        .map(|error| (&error.code, &error.message))
        .hash(&mut hasher);
    (shown.reason.as_ref())
        .map(|reason| (&reason.code, &reason.message))
        .hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_way_and_anything_else_means_a_snapshot() {
        for token in [
            Token {
                context: Some(ContextId("01abc".into())),
                seq: 7,
            },
            Token {
                context: None,
                seq: 0,
            },
        ] {
            assert_eq!(Token::read(&token.text()), Some(token));
        }
        for text in ["", "x", "x:y"] {
            assert_eq!(Token::read(text), None, "{text}");
        }
    }
}
