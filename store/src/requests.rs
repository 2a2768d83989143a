//! Idempotency keys: a request id with the same body gets the stored answer.

use crate::{
    Accepted, RequestMeta, Result, Store, StoreError,
    sql::{self, Columns, args},
};
use sea_orm::ConnectionTrait;
use serde::{Serialize, de::DeserializeOwned};

/// The answer that was given to this request before.
///
/// # Errors
/// [`StoreError::RequestIdReused`] if the body differs.
pub(crate) async fn answer<T: DeserializeOwned, C: ConnectionTrait>(
    db: &C,
    meta: &RequestMeta,
) -> Result<Option<T>> {
    let Some(id) = &meta.request_id else {
        return Ok(None);
    };
    let sql = "SELECT body_hash, answer FROM request WHERE id = $1";
    match sql::one(db, sql, args![id.clone()]).await? {
        None => Ok(None),
        Some(row) if row.text("body_hash")? != meta.body_hash => {
            Err(StoreError::RequestIdReused(id.clone()))
        }
        Some(row) => row.json("answer").map(Some),
    }
}

/// Reserves the request id before anything else is locked, so that of two equal requests at once
/// the second waits and then finds the answer of the first.
pub(crate) async fn reserve<T: DeserializeOwned, C: ConnectionTrait>(
    db: &C,
    meta: &RequestMeta,
) -> Result<Option<T>> {
    let Some(id) = &meta.request_id else {
        return Ok(None);
    };
    let written = sql::run(
        db,
        "INSERT INTO request (id, body_hash, answer, time_ms) VALUES ($1, $2, '', now_ms()) \
         ON CONFLICT (id) DO NOTHING",
        args![id.clone(), meta.body_hash.clone()],
    )
    .await?;
    if written == 1 {
        return Ok(None);
    }
    answer(db, meta).await
}

/// Stores the answer under the reserved id.
pub(crate) async fn keep<T: Serialize, C: ConnectionTrait>(
    db: &C,
    meta: &RequestMeta,
    answer: &T,
) -> Result<()> {
    if let Some(id) = &meta.request_id {
        let sql = "UPDATE request SET answer = $2 WHERE id = $1";
        sql::run(db, sql, args![id.clone(), sql::to_json(answer)?]).await?;
    }
    Ok(())
}

impl Store {
    /// The stored answer of a request id, if it was accepted before; other body ⇒ refused.
    pub async fn answered(&self, meta: &RequestMeta) -> Result<Option<Accepted>> {
        answer(&self.shared.read, meta).await
    }

    /// Whether this very request was accepted before, whatever it was; other body ⇒ refused.
    pub async fn seen(&self, meta: &RequestMeta) -> Result<bool> {
        let Some(id) = &meta.request_id else {
            return Ok(false);
        };
        let sql = "SELECT body_hash FROM request WHERE id = $1";
        match sql::one(&self.shared.read, sql, args![id.clone()]).await? {
            None => Ok(false),
            Some(row) if row.text("body_hash")? == meta.body_hash => Ok(true),
            Some(_) => Err(StoreError::RequestIdReused(id.clone())),
        }
    }
}
