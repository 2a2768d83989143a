//! Attempts (protocol §5): opened before a request may leave ([`crate::opens`]), closed with its
//! outcome.
//!
//! One call of [`perform`] is one transaction for many contexts: contexts locked shared in id
//! order, rows read under lock, events fired in memory, everything written back in sets.

use crate::{
    Close, Closed, Opened, Result, StoreConfig, claims, halt,
    heads::{self, Head, Lock},
    sheet::{Sheet, With},
    sql::{self, Columns, args},
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

/// Closes, then opens; the answers of the opens in their order.
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
    let mut heads = heads::lean(db, contexts, lock).await?;
    let of_opens = opens
        .iter()
        .flat_map(|open| open.rows.iter().map(|row| (&open.context, *row)));
    let of_closes = closes
        .iter()
        .flat_map(|close| close.closes.iter().map(|c| (&close.context, c.row)));
    let wanted: BTreeSet<(&ContextId, RowId)> = of_opens.chain(of_closes).collect();
    let mut sheet = Sheet::load(db, wanted).await?;
    close_all(db, &heads, &mut sheet, closes).await?;
    for (context, row) in refused {
        fail_fast(db, &mut heads, &mut sheet, context, row).await?;
    }
    let answers = crate::opens::open_all(db, config, &heads, &mut sheet, opens).await?;
    sheet.finish(db).await?;
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

async fn attempts<C: ConnectionTrait>(db: &C, closes: &[Closing]) -> Result<HashMap<i64, Attempt>> {
    let ids = closes.iter().flat_map(|c| &c.closes).map(|c| c.attempt);
    let rows = sql::all(
        db,
        "SELECT id, context, resource, kind, digest, late, closed FROM attempt \
         WHERE id IN (SELECT v.id FROM json_rows($1; id int) AS v)",
        args![sql::json_list(ids)],
    )
    .await?;
    rows.iter()
        .map(|row| {
            let attempt = Attempt {
                context: row.text("context")?,
                resource: row.int("resource")?,
                kind: row.parsed("kind")?,
                digest: row.text("digest")?,
                late: row.int("late")? != 0,
                closed: row.int("closed")? != 0,
            };
            Ok((row.int("id")?, attempt))
        })
        .collect()
}

async fn close_all<C: ConnectionTrait>(
    db: &C,
    heads: &BTreeMap<ContextId, Head>,
    sheet: &mut Sheet,
    closes: &[Closing],
) -> Result<()> {
    if closes.is_empty() {
        return Ok(());
    }
    let mut known = attempts(db, closes).await?;
    let gone = closes
        .iter()
        .flat_map(|closing| closing.closes.iter().map(|c| (&closing.context, c)))
        .filter(|(_, close)| matches!(close.result, Closed::Gone))
        .filter_map(|(context, close)| sheet.row(context, close.row))
        .map(|row| row.key.to_string())
        .collect::<BTreeSet<_>>();
    let unexpired = unexpired(db, &gone).await?;
    let (mut ended, mut kept) = (Vec::new(), Vec::new());
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
                kept.push(close.attempt);
            } else {
                ended.push(close.attempt);
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
            settle_row(db, sheet, head, close, &attempt, &unexpired).await?;
        }
    }
    for (sql, ids) in [
        (
            "DELETE FROM attempt WHERE id IN (SELECT v.id FROM json_rows($1; id int) AS v)",
            ended,
        ),
        (
            "UPDATE attempt SET closed = 1 \
             WHERE id IN (SELECT v.id FROM json_rows($1; id int) AS v)",
            kept,
        ),
    ] {
        if !ids.is_empty() {
            sql::run(db, sql, args![sql::json_list(ids)]).await?;
        }
    }
    Ok(())
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
            let late = unexpired
                .iter()
                .filter(|other| other.kind == Goal::Apply && other.key == key)
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

/// An attempt that may still take effect.
pub(crate) struct Unexpired {
    pub(crate) key: String,
    pub(crate) context: String,
    pub(crate) fence: i64,
    pub(crate) kind: Goal,
    pub(crate) effect_until: i64,
    pub(crate) closed: bool,
}

pub(crate) async fn unexpired<C: ConnectionTrait>(
    db: &C,
    keys: &BTreeSet<String>,
) -> Result<Vec<Unexpired>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sql::all(
        db,
        "SELECT key, context, fence, kind, effect_until, closed FROM attempt \
         WHERE key IN (SELECT v.key FROM json_rows($1; key text) AS v) \
         AND effect_until >= now_ms()",
        args![sql::json_list(keys)],
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Unexpired {
                key: row.text("key")?,
                context: row.text("context")?,
                fence: row.int("fence")?,
                kind: row.parsed("kind")?,
                effect_until: row.int("effect_until")?,
                closed: row.int("closed")? != 0,
            })
        })
        .collect()
}
