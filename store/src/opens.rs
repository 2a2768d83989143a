//! Opening attempts: who may send, who waits for a late request, who is done already.

use crate::{
    Opened, StoreConfig,
    attempts::{Ends, Unexpired},
    heads::Head,
    sheet::Sheet,
    sql::{self, Part, args},
    writer::Open,
};
use model::{
    ids::{ContextId, RowId},
    plan::Class,
    state::{Goal, ResourceState},
};
use std::collections::{BTreeMap, HashMap};

/// How soon an attempt that is still in flight is asked about again.
const IN_FLIGHT_MS: i64 = 500;

/// Opens what may be sent; the answers in the order of the calls and their rows, and what writes
/// the attempts.
pub(crate) fn open_all(
    config: &StoreConfig,
    heads: &BTreeMap<ContextId, Head>,
    sheet: &mut Sheet,
    opens: &[Open],
    unexpired: &[Unexpired],
    ended: &Ends,
) -> (Vec<Vec<Opened>>, Option<Part>) {
    let mut others: HashMap<(&ContextId, RowId), Vec<Other>> = HashMap::new();
    for one in unexpired {
        if let Some(closed) = ended.left(one) {
            let other = Other {
                attempt: one,
                closed,
            };
            others.entry((&one.of, one.row)).or_default().push(other);
        }
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
            let others = others.get(&(&head.id, *id)).map(Vec::as_slice);
            let others = others.unwrap_or_default();
            let verdict = match sheet.row(&head.id, *id) {
                None => Some(Opened::Superseded),
                Some(row) => {
                    let shared = row.class == Class::Shared;
                    verdict(row.state, open.kind)
                        .or_else(|| busy(head, open.kind, shared, others, sheet.now))
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
            let late_ms = match open.kind {
                Goal::Delete => late_ms(others, sheet.now),
                Goal::Apply => 0,
            };
            let send_until = sheet.now + config.send_window_ms;
            inserts.push((
                attempt,
                &head.id.0,
                *id,
                head.fence,
                open.kind.as_str(),
                send_until,
                send_until + open.request_timeout_ms + config.slack_ms,
                i64::from(late_ms > 0),
            ));
            answer.push(Opened::Go {
                attempt,
                row: Box::new(row.clone()),
                late_ms: late_ms as u64,
            });
        }
        answers.push(answer);
    }
    let insert = (!inserts.is_empty()).then(|| {
        let sql = "INSERT INTO attempt (id, context, resource, key, fence, kind, digest, \
             send_until, effect_until, late, closed) \
             SELECT v.id, v.context, v.resource, r.key, v.fence, v.kind, r.digest, \
             v.send_until, v.effect_until, v.late, 0 FROM json_rows($1; id int, context text, \
             resource int, fence int, kind text, send_until int, effect_until int, late int) AS v \
             JOIN resource r ON r.context = v.context AND r.id = v.resource";
        (sql.to_owned(), args![sql::json_param(&inserts)])
    });
    (answers, insert)
}

/// An attempt on the key of a row, as it stands after the closes of this transaction.
struct Other<'a> {
    attempt: &'a Unexpired,
    closed: bool,
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
fn late_ms(others: &[Other], now: i64) -> i64 {
    let attempts = others.iter().map(|other| other.attempt);
    attempts
        .filter(|attempt| attempt.kind == Goal::Apply)
        .map(|attempt| (attempt.effect_until - now + 1).max(1))
        .max()
        .unwrap_or(0)
}

/// An apply waits for what another fence may still do to the object. Namespaces and CRDs are
/// applied alike by everybody, so that only this context's own past counts.
fn busy(head: &Head, kind: Goal, shared: bool, others: &[Other], now: i64) -> Option<Opened> {
    if kind != Goal::Apply {
        return None;
    }
    let counts = |other: &&Other| {
        let attempt = other.attempt;
        attempt.fence != head.fence
            && !(shared && attempt.kind == Goal::Apply && attempt.context != head.id.0)
    };
    others
        .iter()
        .filter(counts)
        .map(|other| {
            let left = (other.attempt.effect_until - now + 1).max(1);
            if other.closed {
                left
            } else {
                left.min(IN_FLIGHT_MS)
            }
        })
        .max()
        .map(|ms| Opened::Busy { ms: ms as u64 })
}
