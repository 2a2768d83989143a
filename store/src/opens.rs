//! Opening attempts: who may send, who waits for a late request, who is done already.

use crate::{
    Opened, Result, StoreConfig,
    attempts::{Unexpired, unexpired},
    heads::Head,
    sheet::Sheet,
    sql::{self, args},
    writer::Open,
};
use model::{
    ids::ContextId,
    plan::Class,
    state::{Goal, ResourceState},
};
use sea_orm::ConnectionTrait;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How soon an attempt that is still in flight is asked about again.
const IN_FLIGHT_MS: i64 = 500;

/// Opens what may be sent; the answers in the order of the calls and their rows.
pub(crate) async fn open_all<C: ConnectionTrait>(
    db: &C,
    config: &StoreConfig,
    heads: &BTreeMap<ContextId, Head>,
    sheet: &mut Sheet,
    opens: &[Open],
) -> Result<Vec<Vec<Opened>>> {
    let keys: BTreeSet<String> = opens
        .iter()
        .flat_map(|open| open.rows.iter().map(|row| (&open.context, *row)))
        .filter_map(|(context, row)| sheet.row(context, row))
        .map(|row| row.key.to_string())
        .collect();
    let unexpired = unexpired(db, &keys).await?;
    let mut others: HashMap<&str, Vec<&Unexpired>> = HashMap::new();
    for one in &unexpired {
        others.entry(&one.key).or_default().push(one);
    }
    let mut inserts = Vec::new();
    let mut answers = Vec::with_capacity(opens.len());
    for open in opens {
        let Some(head) = heads.get(&open.context).filter(|head| may_send(head, open)) else {
            answers.push(vec![Opened::Superseded; open.rows.len()]);
            continue;
        };
        let mut answer = Vec::with_capacity(open.rows.len());
        for id in &open.rows {
            let mut key = String::new();
            let verdict = match sheet.row(&head.id, *id) {
                None => Some(Opened::Superseded),
                Some(row) => {
                    key = row.key.to_string();
                    let shared = row.class == Class::Shared;
                    verdict(row.state, open.kind).or_else(|| {
                        busy(head, open.kind, shared, others.get(key.as_str()), sheet.now)
                    })
                }
            };
            if let Some(verdict) = verdict {
                answer.push(verdict);
                continue;
            }
            let attempt = i64::from_be_bytes(rand::random()) & i64::MAX;
            sheet.count(&head.id, *id, |row| {
                row.attempts += 1;
                row.sent += i32::from(open.kind == Goal::Apply);
            });
            let Some(row) = sheet.row(&head.id, *id) else {
                continue;
            };
            let late_ms = others
                .get(key.as_str())
                .filter(|_| open.kind == Goal::Delete)
                .map_or(0, |others| late_ms(others, sheet.now));
            let send_until = sheet.now + config.send_window_ms;
            inserts.push(json!([
                attempt,
                head.id.0,
                id,
                key,
                head.fence,
                open.kind.as_str(),
                row.digest,
                send_until,
                send_until + open.request_timeout_ms + config.slack_ms,
                i64::from(late_ms > 0)
            ]));
            answer.push(Opened::Go {
                attempt,
                row: Box::new(row.clone()),
                late_ms: late_ms as u64,
            });
        }
        answers.push(answer);
    }
    insert(db, &inserts).await?;
    Ok(answers)
}

/// The fence is the caller's and its goal is being driven.
fn may_send(head: &Head, open: &Open) -> bool {
    let deleting = model::state::ContextState::PreTerminate != head.state;
    let driven = !head.state.is_settled() && head.halted.is_none();
    head.is(open.fence) && head.goal == open.kind && driven && deleting
}

/// What the row's own state says against an attempt.
fn verdict(state: ResourceState, kind: Goal) -> Option<Opened> {
    match state {
        _ if state.is_target(kind) => Some(Opened::Done(state)),
        ResourceState::Failed(goal) if goal == kind => Some(Opened::Done(state)),
        _ if state.goal() != kind => Some(Opened::Superseded),
        _ => None,
    }
}

/// For how long an apply may still take effect.
fn late_ms(others: &[&Unexpired], now: i64) -> i64 {
    let applies = others.iter().filter(|other| other.kind == Goal::Apply);
    applies
        .map(|other| (other.effect_until - now + 1).max(1))
        .max()
        .unwrap_or(0)
}

/// An apply waits for what another fence may still do to the object. Namespaces and CRDs are
/// applied alike by everybody, so that only this context's own past counts.
fn busy(
    head: &Head,
    kind: Goal,
    shared: bool,
    others: Option<&Vec<&Unexpired>>,
    now: i64,
) -> Option<Opened> {
    if kind != Goal::Apply {
        return None;
    }
    others?
        .iter()
        .filter(|other| other.fence != head.fence)
        .filter(|other| !(shared && other.kind == Goal::Apply && other.context != head.id.0))
        .map(|other| {
            let left = (other.effect_until - now + 1).max(1);
            if other.closed {
                left
            } else {
                left.min(IN_FLIGHT_MS)
            }
        })
        .max()
        .map(|ms| Opened::Busy { ms: ms as u64 })
}

async fn insert<C: ConnectionTrait>(db: &C, attempts: &[serde_json::Value]) -> Result<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    sql::run(
        db,
        "INSERT INTO attempt (id, context, resource, key, fence, kind, digest, send_until, \
         effect_until, late, closed) \
         SELECT v.id, v.context, v.resource, v.key, v.fence, v.kind, v.digest, v.send_until, \
         v.effect_until, v.late, 0 FROM json_rows($1; id int, context text, resource int, \
         key text, fence int, kind text, digest text, send_until int, effect_until int, \
         late int) AS v",
        args![sql::json_param(attempts)],
    )
    .await?;
    Ok(())
}
