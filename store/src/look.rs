//! What a look found, written into the rows (protocol §5.1).

use crate::{
    Found, Result, Store, claims, halt,
    heads::{self, Head, Lock},
    sheet::{Sheet, With},
    sql::transact,
};
use model::{
    document::Existing,
    failure::Failure,
    ids::{ContextId, Fence},
    plan::Class,
    state::{Goal, ResourceEvent},
};
use sea_orm::ConnectionTrait;

impl Store {
    /// Records what a look found; foreign objects become Failed "exists" unless adopted. Under
    /// another fence, or when the goal moved, nothing happens.
    pub async fn record_look(
        &self,
        context: &ContextId,
        fence: Fence,
        found: Vec<Found>,
    ) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        transact!(self, tx, {
            // A foreign object may halt the context.
            let lock = match found.iter().all(|found| found.ours) {
                true => Lock::Share,
                false => Lock::Update,
            };
            let head = heads::known_context(&tx, context, lock).await?;
            if !head.is(fence) || head.goal != Goal::Apply {
                return Ok(());
            }
            let mut sheet = Sheet::load(&tx, found.iter().map(|f| (context, f.row))).await?;
            for one in &found {
                record(&tx, &head, &mut sheet, one).await?;
            }
            for one in &found {
                let Some(row) = sheet.row(context, one.row) else {
                    continue;
                };
                if let Some((_, line)) = halt::fail_fast(&tx, &head, row).await? {
                    sheet.say(line);
                    break;
                }
            }
            sheet.finish(&tx).await
        })
    }
}

async fn record<C: ConnectionTrait>(
    db: &C,
    head: &Head,
    sheet: &mut Sheet,
    found: &Found,
) -> Result<()> {
    let Some(row) = sheet.row(&head.id, found.row) else {
        return Ok(());
    };
    let (shared, key) = (row.class == Class::Shared, row.key.to_string());
    let ours = found.ours || row.uid.as_deref() == Some(&found.uid);
    let known = row.preexisting_uid.is_some();
    if ours {
        sheet.count(&head.id, found.row, |row| {
            row.uid = Some(found.uid.clone());
        });
        if shared {
            // Our installation's label stands on it: Muster made it, in this life or another's.
            claims::created(db, &key, &found.uid).await?;
        }
        return Ok(());
    }
    if !known {
        sheet.count(&head.id, found.row, |row| {
            row.preexisting_uid = Some(found.uid.clone());
        });
    }
    if !shared && head.policy.existing == Existing::Refuse {
        let by = match found.managers.as_str() {
            "" => "somebody else",
            managers => managers,
        };
        let failure = Failure {
            code: "foreign".into(),
            message: format!("exists, managed by {by}"),
        };
        let with = With {
            failure: Some(&failure),
            ..With::default()
        };
        sheet.fire(head, found.row, ResourceEvent::Refused, with);
    }
    Ok(())
}
