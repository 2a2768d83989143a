//! Attempts (protocol §5): opened before a request may leave ([`crate::opens`]), closed with its
//! outcome.
//!
//! One call of [`perform`] is one transaction for many contexts: contexts locked shared in id
//! order, rows read under lock, events fired in memory, everything written back in sets.

use crate::{
    Close, Closed, Opened, Result, StoreConfig, claims, halt,
    heads::{self, Head, Lock},
    resources,
    sheet::{Sheet, With},
    sql::{self, Part, args},
    writer::{Closing, Open},
};
use model::{
    failure::{Certainty, Failure},
    ids::{ContextId, RowId},
    plan::Class,
    state::{Goal, ResourceEvent},
};
use sea_orm::ConnectionTrait;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Pause before an absence is looked for again once no late apply is possible any more.
const AGAIN_MS: i64 = 100;

/// Closes, then opens; the answers of the opens in their order. All reads go to the database at
/// once, and all writes.
pub(crate) async fn perform<C: ConnectionTrait>(
    db: &C,
    config: &StoreConfig,
    opens: &[Open],
    closes: &[Closing],
) -> Result<Vec<Vec<Opened>>> {
    let contexts: BTreeSet<&ContextId> = opens
        .iter()
        .map(|open| &open.context)
        .chain(closes.iter().map(|close| &close.context))
        .collect();
    // A final failure may halt its context.
    let refused: BTreeSet<(&ContextId, RowId)> = closes
        .iter()
        .flat_map(|close| close.closes.iter().map(|c| (&close.context, c)))
        .filter(|(_, close)| matches!(close.result, Closed::Refused(_)))
        .map(|(context, close)| (context, close.row))
        .collect();
    let lock = match refused.is_empty() {
        true => Lock::Share,
        false => Lock::Update,
    };
    let opened: BTreeSet<(&ContextId, RowId)> = opens
        .iter()
        .flat_map(|open| open.rows.iter().map(|row| (&open.context, *row)))
        .collect();
    let mut wanted = opened.clone();
    let mut watched = opened;
    for closing in closes {
        for close in &closing.closes {
            wanted.insert((&closing.context, close.row));
            if matches!(close.result, Closed::Gone) {
                watched.insert((&closing.context, close.row));
            }
        }
    }
    let mut parts = vec![
        heads::lean_part(contexts, lock),
        resources::part(wanted, true),
        ("SELECT CAST(now_ms() AS TEXT) AS part".to_owned(), vec![]),
    ];
    if !closes.is_empty() {
        parts.push(attempts_part(closes));
    }
    if !watched.is_empty() {
        parts.push(unexpired_part(watched));
    }
    let mut parts = sql::read_parts(db, parts).await?.into_iter();
    let mut part = || parts.next().unwrap_or_else(|| "[]".to_owned());
    let mut heads = heads::lean(&part())?;
    let rows = resources::rows(&part())?;
    let now = part().parse().map_err(|_| sql::corrupt("the time"))?;
    let mut sheet = Sheet::of(rows, now);
    let known = match closes.is_empty() {
        true => HashMap::new(),
        false => attempts(&part())?,
    };
    let unexpired = unexpired(&part())?;
    let ended = close_all(db, &heads, &mut sheet, closes, known, &unexpired).await?;
    for (context, row) in refused {
        fail_fast(db, &mut heads, &mut sheet, context, row).await?;
    }
    let (answers, inserts) =
        crate::opens::open_all(config, &heads, &mut sheet, opens, &unexpired, &ended);
    let mut writes = ended.parts();
    writes.extend(inserts);
    sheet.finish_with(db, writes).await?;
    Ok(answers)
}

/// Halts the context if its policy says so; what is opened after sees the new fence.
async fn fail_fast<C: ConnectionTrait>(
    db: &C,
    heads: &mut BTreeMap<ContextId, Head>,
    sheet: &mut Sheet,
    context: &ContextId,
    row: RowId,
) -> Result<()> {
    if heads.get(context).is_none_or(|head| head.halted.is_some()) {
        return Ok(());
    }
    let head = heads::known_context(db, context, Lock::None).await?;
    let Some(row) = sheet.row(context, row) else {
        return Ok(());
    };
    if let Some((fence, line)) = halt::fail_fast(db, &head, row).await? {
        sheet.say(line);
        if let Some(lean) = heads.get_mut(context) {
            lean.fence = fence;
            lean.halted = Some(String::new());
        }
    }
    Ok(())
}

/// An attempt as it was opened.
struct Attempt {
    context: String,
    resource: i64,
    kind: Goal,
    digest: String,
    late: bool,
    closed: bool,
}

fn attempts_part(closes: &[Closing]) -> Part {
    let ids = closes.iter().flat_map(|c| &c.closes).map(|c| c.attempt);
    let sql = "SELECT json_pack(t.id, t.context, t.resource, t.kind, t.digest, t.late, t.closed) \
         AS part FROM attempt t WHERE t.id IN (SELECT v.id FROM json_rows($1; id int) AS v)";
    (sql.to_owned(), args![sql::json_list(ids)])
}

fn attempts(part: &str) -> Result<HashMap<i64, Attempt>> {
    type Packed<'a> = (i64, String, i64, &'a str, String, i64, i64);
    let rows: Vec<Packed> = sql::from_json(part)?;
    rows.into_iter()
        .map(|(id, context, resource, kind, digest, late, closed)| {
            let attempt = Attempt {
                context,
                resource,
                kind: kind
                    .parse()
                    .map_err(|_| sql::corrupt("the kind of an attempt"))?,
                digest,
                late: late != 0,
                closed: closed != 0,
            };
            Ok((id, attempt))
        })
        .collect()
}

/// Attempts that a transaction ends.
#[derive(Default)]
pub(crate) struct Ends {
    /// Nothing can come of them any more.
    gone: BTreeSet<i64>,
    /// Closed, but what was sent may still arrive.
    kept: BTreeSet<i64>,
}

impl Ends {
    fn parts(&self) -> Vec<Part> {
        let of = |sql: &str, ids: &BTreeSet<i64>| {
            (!ids.is_empty()).then(|| (sql.to_owned(), args![sql::json_list(ids)]))
        };
        let gone = of(
            "DELETE FROM attempt WHERE id IN (SELECT v.id FROM json_rows($1; id int) AS v)",
            &self.gone,
        );
        let kept = of(
            "UPDATE attempt SET closed = 1 \
             WHERE id IN (SELECT v.id FROM json_rows($1; id int) AS v)",
            &self.kept,
        );
        gone.into_iter().chain(kept).collect()
    }

    /// Whether an attempt counts after the closes of this transaction, and whether it is closed.
    pub(crate) fn left(&self, attempt: &Unexpired) -> Option<bool> {
        (!self.gone.contains(&attempt.id))
            .then(|| attempt.closed || self.kept.contains(&attempt.id))
    }
}

async fn close_all<C: ConnectionTrait>(
    db: &C,
    heads: &BTreeMap<ContextId, Head>,
    sheet: &mut Sheet,
    closes: &[Closing],
    mut known: HashMap<i64, Attempt>,
    unexpired: &[Unexpired],
) -> Result<Ends> {
    let mut ends = Ends::default();
    for closing in closes {
        let Some(head) = heads.get(&closing.context) else {
            continue;
        };
        for close in &closing.closes {
            record_uid(sheet, head, close);
            let Some(attempt) = known.remove(&close.attempt) else {
                continue;
            };
            let same = attempt.context == head.id.0 && attempt.resource == i64::from(close.row);
            if !same || attempt.closed {
                continue;
            }
            if close.certainty == Certainty::Ambiguous {
                ends.kept.insert(close.attempt);
            } else {
                ends.gone.insert(close.attempt);
            }
            if close.certainty == Certainty::NotSent {
                let apply = attempt.kind == Goal::Apply;
                // What is shown as Retrying was an attempt, though nothing left: the next one
                // comes later than this one did.
                let counts = matches!(close.result, Closed::Transient { .. });
                sheet.count(&head.id, close.row, |row| {
                    row.attempts = (row.attempts - i32::from(!counts)).max(0);
                    row.sent = (row.sent - i32::from(apply)).max(0);
                });
            }
            settle_row(db, sheet, head, close, &attempt, unexpired).await?;
        }
    }
    Ok(ends)
}

/// A uid seen in an answer is a fact, whatever else; of an object that is used it is somebody
/// else's. What is kept keeps its uid: the proof leaves out what it owns.
fn record_uid(sheet: &mut Sheet, head: &Head, close: &Close) {
    if matches!(close.result, Closed::Used) {
        return;
    }
    if let Some(uid) = &close.uid
        && sheet
            .row(&head.id, close.row)
            .is_some_and(|row| row.uid.as_ref() != Some(uid))
    {
        sheet.count(&head.id, close.row, |row| row.uid = Some(uid.clone()));
    }
}

/// Fires what the outcome means, if the row still wants what the attempt tried.
async fn settle_row<C: ConnectionTrait>(
    db: &C,
    sheet: &mut Sheet,
    head: &Head,
    close: &Close,
    attempt: &Attempt,
    unexpired: &[Unexpired],
) -> Result<()> {
    let Some(row) = sheet.row(&head.id, close.row) else {
        return Ok(());
    };
    if head.goal != attempt.kind || row.goal != attempt.kind || row.digest != attempt.digest {
        return Ok(());
    }
    let key = row.key.to_string();
    let shared = row.class == Class::Shared;
    let made_here = shared && row.preexisting_uid.is_none();
    match &close.result {
        Closed::NotSent => {}
        Closed::Applied => {
            sheet.fire(head, close.row, ResourceEvent::Applied, With::default());
            if let Some(uid) = close.uid.as_ref().filter(|_| made_here) {
                claims::created(db, &key, uid).await?;
            }
        }
        Closed::Used => {
            sheet.fire(head, close.row, ResourceEvent::Used, With::default());
        }
        Closed::Transient { failure, delay_ms } => {
            transient(sheet, head, close.row, failure, *delay_ms);
        }
        Closed::Refused(failure) => {
            let with = With {
                failure: Some(failure),
                ..With::default()
            };
            sheet.fire(head, close.row, ResourceEvent::Refused, with);
        }
        Closed::Deleting { blocked_by } => {
            if row.goal == Goal::Delete && row.blocked_by.as_ref() != Some(blocked_by) {
                sheet.annotate(&head.id, close.row, |row| {
                    row.blocked_by = Some(blocked_by.clone());
                    row.error = None;
                    row.next_attempt_ms = None;
                });
            }
        }
        Closed::Gone => {
            let same = |other: &&Unexpired| {
                other.kind == Goal::Apply && other.of == head.id && other.row == close.row
            };
            let late = unexpired
                .iter()
                .filter(same)
                .map(|other| other.effect_until)
                .max();
            if attempt.late || late.is_some() {
                let failure = Failure {
                    code: "lateRequest".into(),
                    message: "a lost request may still arrive".into(),
                };
                let delay = late.map_or(AGAIN_MS, |until| (until - sheet.now + 1).max(AGAIN_MS));
                transient(sheet, head, close.row, &failure, delay as u64);
            } else if sheet.fire(head, close.row, ResourceEvent::Gone, With::default()) && shared {
                claims::release(db, &head.id, &key).await?;
            }
        }
        Closed::Kept(why) => {
            let with = With {
                kept: Some(why),
                ..With::default()
            };
            if sheet.fire(head, close.row, ResourceEvent::Kept, with) && shared {
                claims::release(db, &head.id, &key).await?;
            }
        }
    }
    Ok(())
}

fn transient(sheet: &mut Sheet, head: &Head, row: RowId, failure: &Failure, delay_ms: u64) {
    let with = With {
        failure: Some(failure),
        delay_ms: Some(delay_ms),
        ..With::default()
    };
    sheet.fire(head, row, ResourceEvent::Transient, with);
}

/// An attempt that may still take effect, on the key of a row that is asked about.
pub(crate) struct Unexpired {
    /// The row whose key it is.
    pub(crate) of: ContextId,
    pub(crate) row: RowId,
    pub(crate) id: i64,
    pub(crate) context: String,
    pub(crate) fence: i64,
    pub(crate) kind: Goal,
    pub(crate) effect_until: i64,
    closed: bool,
}

/// Attempts on the keys of rows, as they were before this transaction.
fn unexpired_part<'a>(rows: impl IntoIterator<Item = (&'a ContextId, RowId)>) -> Part {
    let rows: Vec<_> = rows.into_iter().map(|(id, row)| (&id.0, row)).collect();
    let sql = "SELECT json_pack(t.of_context, t.of_row, t.id, t.context, t.fence, t.kind, \
         t.effect_until, t.closed) AS part FROM \
         (SELECT v.context AS of_context, v.id AS of_row, a.id, a.context, a.fence, a.kind, \
         a.effect_until, a.closed FROM json_rows($1; context text, id int) AS v \
         JOIN resource r ON r.context = v.context AND r.id = v.id \
         JOIN attempt a ON a.key = r.key WHERE a.effect_until >= now_ms()) AS t";
    (sql.to_owned(), args![sql::json_param(&rows)])
}

fn unexpired(part: &str) -> Result<Vec<Unexpired>> {
    type Packed<'a> = (String, RowId, i64, String, i64, &'a str, i64, i64);
    let rows: Vec<Packed> = sql::from_json(part)?;
    rows.into_iter()
        .map(
            |(of, row, id, context, fence, kind, effect_until, closed)| {
                Ok(Unexpired {
                    of: ContextId(of),
                    row,
                    id,
                    context,
                    fence,
                    kind: kind
                        .parse()
                        .map_err(|_| sql::corrupt("the kind of an attempt"))?,
                    effect_until,
                    closed: closed != 0,
                })
            },
        )
        .collect()
}
