//! Deleting documents: only what nothing lives on.

use crate::{
    RequestMeta, Result, Store, StoreError, clusters,
    documents::{app_name, digs_of, unknown_app, user_of_cluster},
    heads::{self, Lock},
    orphans, requests,
    sql::{self, args, transact},
};
use model::{
    document::AppRef,
    ids::{ClusterId, DigRef},
    state::{ContextState, DigEvent, dig},
};

impl Store {
    /// Refused while a context that is not Terminated has rows on the cluster.
    pub async fn delete_cluster(&self, id: &ClusterId, meta: &RequestMeta) -> Result<()> {
        transact!(self, tx, {
            if requests::reserve::<(), _>(&tx, meta).await?.is_some() {
                return Ok(());
            }
            sql::lock_documents(&tx, true).await?;
            if let Some(user) = user_of_cluster(&tx, id).await? {
                return Err(in_use(format!("cluster {id}"), &user));
            }
            let orphans = orphans::on_cluster(&tx, id).await?;
            if orphans > 0 {
                return Err(StoreError::Refused {
                    object: format!("cluster {id}"),
                    cause: format!(
                        "has {orphans} in the orphan ledger that only it leads to; \
                         `muster orphans collect --cluster {id}`, or `muster orphans forget`, first"
                    ),
                    reason: "HAS_ORPHANS",
                });
            }
            let sql = "DELETE FROM cluster WHERE id = $1";
            if sql::run(&tx, sql, args![id.to_string()]).await? == 0 {
                return Err(clusters::unknown(id));
            }
            requests::keep(&tx, meta, &()).await
        })
    }

    /// Refused while a DIG with a context that is not Terminated names it.
    pub async fn delete_composite_app(&self, id: &AppRef, meta: &RequestMeta) -> Result<()> {
        transact!(self, tx, {
            if requests::reserve::<(), _>(&tx, meta).await?.is_some() {
                return Ok(());
            }
            sql::lock_documents(&tx, true).await?;
            for user in digs_of(&tx, id).await? {
                let dig = heads::known_dig(&tx, &user, Lock::Update).await?;
                if dig
                    .context_state()
                    .is_some_and(|s| s != ContextState::Terminated)
                {
                    return Err(in_use(format!("composite app {}", app_name(id)), &user));
                }
            }
            let gone = sql::run(
                &tx,
                "DELETE FROM composite_app WHERE project = $1 AND name = $2 AND version = $3",
                args![id.project.clone(), id.name.clone(), id.version.clone()],
            )
            .await?;
            if gone == 0 {
                return Err(unknown_app(id));
            }
            requests::keep(&tx, meta, &()).await
        })
    }

    /// Needs no context or a Terminated one. Contexts and their rows stay, without their DIG.
    pub async fn delete_dig(&self, id: &DigRef, meta: &RequestMeta) -> Result<()> {
        transact!(self, tx, {
            if requests::reserve::<(), _>(&tx, meta).await?.is_some() {
                return Ok(());
            }
            sql::lock_documents(&tx, true).await?;
            let dig = heads::known_dig(&tx, id, Lock::Update).await?;
            match dig::next(Some(dig.state), dig.context_state(), DigEvent::Delete) {
                Ok(None) => {}
                _ => return Err(dig.refused(DigEvent::Delete.verb())),
            }
            let sql = "DELETE FROM dig WHERE id = $1";
            sql::run(&tx, sql, args![dig.id]).await?;
            requests::keep(&tx, meta, &()).await
        })
    }
}

fn in_use(object: String, user: &DigRef) -> StoreError {
    StoreError::Refused {
        object,
        cause: format!(
            "is used by deployment intent group {user}, which is not terminated; \
             terminate it first"
        ),
        reason: "IN_USE",
    }
}
