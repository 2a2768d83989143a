//! The two databases as one: dialect words, transactions with bounded retries, typed columns.
//!
//! All SQL of this crate is written once, with `$n` parameters, and these words:
//! `now_ms()` (database time, ms since the epoch), `LOCK SHARE` / `LOCK UPDATE [OF t]` (row locks;
//! SQLite has one writer and needs none), `json_rows($n; a int, b text)` (a table made of one
//! parameter, a JSON array of arrays: one prepared statement whatever the number of rows),
//! `json_pack(a, b)` (the way back: all rows as one JSON array of arrays, read at once).

use crate::{Result, StoreError, dialect::translate};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use std::{
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Parameters of a statement.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$(::sea_orm::Value::from($value)),*] };
}
pub(crate) use args;

/// Runs the body in a write transaction `$tx`, commits if it is Ok; once more, a bounded number
/// of times, when the database says that nothing of it happened (lock, deadlock, serialization).
/// The body may run several times and must move nothing out of its surroundings.
macro_rules! transact {
    ($store:expr, $tx:ident, $body:expr) => {{
        let mut tries = $crate::sql::Tries::default();
        loop {
            let outcome = match $crate::sql::begin(&$store.shared.write).await {
                Ok($tx) => {
                    let result: $crate::Result<_> = async { $body }.await;
                    $crate::sql::finish(&$store.shared.write, $tx, result).await
                }
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if tries.again(&error).await => {}
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use transact;

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Db(Box::new(error))
    }
}

/// How often a transaction was tried, and since when.
pub(crate) struct Tries(u32, Instant);

impl Default for Tries {
    fn default() -> Self {
        Self(0, Instant::now())
    }
}

impl Tries {
    const MOST: u32 = 10;
    /// Whoever waits has to be told at last: a database may be locked for good.
    const LONGEST: Duration = Duration::from_secs(10);

    /// True after a pause if `error` says that the transaction did not happen and may be repeated.
    pub(crate) async fn again(&mut self, error: &StoreError) -> bool {
        if !did_not_happen(error) || self.0 >= Self::MOST || self.1.elapsed() > Self::LONGEST {
            return false;
        }
        self.0 += 1;
        let most = 5_u64 << self.0.min(6);
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..=most))).await;
        true
    }
}

/// SQLite decides once, when it opens a file, whether it may be written. A transaction begins even
/// so, and its first write is refused; only if the log alone may not be written, the beginning is.
fn is_read_only(error: &StoreError) -> bool {
    matches!(error, StoreError::Db(error) if error.to_string().contains("readonly database"))
}

/// Somebody else holds SQLite's only write lock, and held it for as long as was waited.
pub(crate) fn is_locked(error: &(dyn std::error::Error + 'static)) -> bool {
    let text = error.to_string();
    text.contains("database is locked") || text.contains("database table is locked")
}

/// The database itself undid the transaction, for a reason that passes.
pub(crate) fn did_not_happen(error: &StoreError) -> bool {
    let StoreError::Db(error) = error else {
        return false;
    };
    let text = error.to_string();
    [
        "database is locked",
        "database table is locked",
        "deadlock detected",
        "could not serialize access",
        "cluster_uid",
    ]
    .iter()
    .any(|passing| text.contains(passing))
}

/// How often SQLite's write lock is asked for while another process has it. SQLite's own waiting
/// asks less and less often: beside a process that writes all the time it would last.
const ASK: Duration = Duration::from_millis(1);
const ASK_MOST: Duration = Duration::from_millis(20);
/// Who writes for many at once lets others go first: what waits meanwhile is written together.
const ASK_FOR_MANY: Duration = Duration::from_millis(5);

/// Where transactions begin that write.
#[derive(Clone)]
pub(crate) struct WriteDb {
    db: DatabaseConnection,
    /// How long it is waited for another process's transaction.
    patience: Duration,
    ask: Duration,
    /// One at a time asks for SQLite's write lock, in the order they came; when it was had last.
    turn: Arc<Mutex<Instant>>,
}

impl WriteDb {
    pub(crate) fn new(db: DatabaseConnection, patience: Duration) -> Self {
        Self {
            db,
            patience,
            ask: ASK,
            turn: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// For who writes for many at once.
    pub(crate) fn for_many(mut self) -> Self {
        self.ask = ASK_FOR_MANY;
        self
    }
}

impl Deref for WriteDb {
    type Target = DatabaseConnection;

    fn deref(&self) -> &DatabaseConnection {
        &self.db
    }
}

/// Begins a transaction that may write; on SQLite with its write lock.
///
/// # Errors
/// The lock could not be had within the patience of `db`, and nobody of this process had it either.
pub(crate) async fn begin(db: &WriteDb) -> Result<DatabaseTransaction> {
    let sqlite = db.get_database_backend() == DbBackend::Sqlite;
    let since = Instant::now();
    let mut turn = match sqlite {
        true => Some(db.turn.lock().await),
        false => None,
    };
    let begun = loop {
        let options = TransactionOptions {
            isolation_level: None,
            access_mode: None,
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        };
        let begun = db.begin_with_options(options).await;
        let waited = since.elapsed();
        // Who only waited for the others of this process is not told that somebody else has it.
        let had = turn.as_ref().map_or(waited, |had| had.elapsed());
        match begun {
            Err(error) if is_locked(&error) && waited.min(had) < db.patience => {
                tokio::time::sleep((waited / 20).clamp(db.ask, ASK_MOST)).await;
            }
            begun => break begun.map_err(StoreError::from),
        }
    };
    if let (Some(had), Ok(_)) = (turn.as_mut(), &begun) {
        **had = Instant::now();
    }
    if sqlite && begun.as_ref().is_err_and(is_read_only) {
        close(db).await;
    }
    begun
}

/// Commits, or rolls back and tells the first error.
pub(crate) async fn finish<T>(
    db: &DatabaseConnection,
    tx: DatabaseTransaction,
    result: Result<T>,
) -> Result<T> {
    let ended = match &result {
        Ok(_) => tx.commit().await,
        Err(_) => tx.rollback().await,
    };
    end(db, ended, result).await
}

/// Rolls back, whatever came of it.
pub(crate) async fn undo<T>(
    db: &DatabaseConnection,
    tx: DatabaseTransaction,
    result: Result<T>,
) -> Result<T> {
    let ended = tx.rollback().await;
    end(db, ended, result).await
}

/// A connection that can neither commit nor roll back (a full disk ends a transaction of SQLite's by
/// itself, or keeps it open) is closed, and its locks with it; so is one that found its file
/// read-only, since only a new one asks again
/// (what it shares with the others of its process was opened by [`Store::open`](crate::Store::open),
/// which is content with nothing less than a database that may be written).
async fn end<T>(
    db: &DatabaseConnection,
    ended: std::result::Result<(), DbErr>,
    result: Result<T>,
) -> Result<T> {
    let sqlite = db.get_database_backend() == DbBackend::Sqlite;
    if let Err(error) = ended {
        tracing::warn!(%error, "a transaction did not end as it should");
        if sqlite {
            close(db).await;
        }
        result?;
        return Err(error.into());
    }
    if sqlite && result.as_ref().is_err_and(is_read_only) {
        close(db).await;
    }
    result
}

/// Closes a connection of the pool (of writers there is one): the next one is new.
async fn close(db: &DatabaseConnection) {
    match db.get_sqlite_connection_pool().acquire().await {
        Ok(connection) => {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "close a connection");
            }
        }
        Err(error) => tracing::warn!(%error, "close a connection"),
    }
}

pub(crate) async fn all<C: ConnectionTrait>(
    db: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<Vec<QueryResult>> {
    Ok(db.query_all_raw(statement(db, sql, values)).await?)
}

pub(crate) async fn one<C: ConnectionTrait>(
    db: &C,
    sql: &str,
    values: Vec<Value>,
) -> Result<Option<QueryResult>> {
    Ok(db.query_one_raw(statement(db, sql, values)).await?)
}

/// One statement of several.
pub(crate) type Part = (String, Vec<Value>);

/// Statements that answer one column of one row each; on SQLite in one go, since every statement
/// is a hand-over to the thread that owns the connection.
pub(crate) async fn read_parts<C: ConnectionTrait>(
    db: &C,
    parts: Vec<Part>,
) -> Result<Vec<String>> {
    let count = parts.len();
    let mut answers = Vec::with_capacity(count);
    if db.get_database_backend() == DbBackend::Postgres {
        for (sql, values) in parts {
            let row = one(db, &sql, values).await?;
            let row = row.ok_or_else(|| corrupt("a part has no answer"))?;
            answers.push(row.try_get_by_index::<String>(0)?);
        }
        return Ok(answers);
    }
    let (sql, values) = script(parts);
    for row in all(db, &sql, values).await? {
        answers.push(row.try_get_by_index::<String>(0)?);
    }
    if answers.len() == count {
        Ok(answers)
    } else {
        Err(corrupt("a part has no answer, or several"))
    }
}

/// Statements that write, likewise.
pub(crate) async fn run_parts<C: ConnectionTrait>(db: &C, parts: Vec<Part>) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    if db.get_database_backend() == DbBackend::Postgres {
        for (sql, values) in parts {
            run(db, &sql, values).await?;
        }
        return Ok(());
    }
    let (sql, values) = script(parts);
    run(db, &sql, values).await.map(|_| ())
}

/// Several statements as one text, their parameters numbered on.
fn script(parts: Vec<Part>) -> Part {
    let mut text = String::with_capacity(parts.iter().map(|(sql, _)| sql.len() + 2).sum());
    let mut all = Vec::new();
    for (sql, values) in parts {
        let mut rest = sql.as_str();
        while let Some((head, tail)) = rest.split_once('$') {
            let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = tail.split_at(digits);
            text.push_str(head);
            text.push('$');
            match number.parse::<usize>() {
                Ok(number) => text.push_str(&(number + all.len()).to_string()),
                Err(_) => text.push_str(number),
            }
            rest = tail;
        }
        text.push_str(rest);
        text.push(';');
        all.extend(values);
    }
    (text, all)
}

/// Number of rows that were written.
pub(crate) async fn run<C: ConnectionTrait>(db: &C, sql: &str, values: Vec<Value>) -> Result<u64> {
    Ok(db
        .execute_raw(statement(db, sql, values))
        .await?
        .rows_affected())
}

/// Database time.
pub(crate) async fn now_ms<C: ConnectionTrait>(db: &C) -> Result<i64> {
    let row = one(db, "SELECT now_ms() AS now", vec![]).await?;
    row.ok_or_else(|| corrupt("the time is missing"))?
        .int("now")
}

/// The next fence of this store: greater than every one before.
pub(crate) async fn next_fence<C: ConnectionTrait>(db: &C) -> Result<i64> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => "SELECT nextval('fence_seq') AS value",
        _ => "UPDATE fence_seq SET value = value + 1 RETURNING value",
    };
    let row = one(db, sql, vec![]).await?;
    row.ok_or_else(|| corrupt("the fence sequence is missing"))?
        .int("value")
}

/// Waits until every earlier writer of the operation log has committed, so that numbers become
/// visible in their order and a reader that resumes after a number misses nothing. Taken last in
/// a transaction: nothing is locked after it.
pub(crate) async fn lock_log<C: ConnectionTrait>(db: &C) -> Result<()> {
    advisory(db, "pg_advisory_xact_lock", 7_237_112).await
}

/// Documents are written by one transaction at a time; an accept reads them meanwhile unchanged.
pub(crate) async fn lock_documents<C: ConnectionTrait>(db: &C, write: bool) -> Result<()> {
    let function = if write {
        "pg_advisory_xact_lock"
    } else {
        "pg_advisory_xact_lock_shared"
    };
    advisory(db, function, 7_237_113).await
}

async fn advisory<C: ConnectionTrait>(db: &C, function: &str, number: i64) -> Result<()> {
    if db.get_database_backend() == DbBackend::Postgres {
        db.execute_unprepared(&format!("SELECT {function}({number})"))
            .await?;
    }
    Ok(())
}

/// What the database holds is not what this crate wrote.
pub(crate) fn corrupt(what: &str) -> StoreError {
    StoreError::Db(what.to_owned().into())
}

fn statement<C: ConnectionTrait>(db: &C, sql: &str, values: Vec<Value>) -> Statement {
    let backend = db.get_database_backend();
    let sql = translate(sql, backend == DbBackend::Postgres);
    Statement::from_sql_and_values(backend, sql, values)
}

/// The parameter of `json_rows`. NUL has no place in PostgreSQL's text.
pub(crate) fn json_param<T: serde::Serialize>(rows: &[T]) -> String {
    let text = serde_json::to_string(rows).unwrap_or_else(|_| "[]".to_owned());
    match text.contains("\\u0000") {
        true => without_nul(&text),
        false => text,
    }
}

/// A backslash of the text itself is written as two; only an odd one begins an escape.
fn without_nul(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((head, tail)) = rest.split_once('\\') {
        out.push_str(head);
        if let Some(tail) = tail.strip_prefix("u0000") {
            out.push('\u{fffd}');
            rest = tail;
        } else {
            let (escaped, tail) = tail.split_at(tail.len().min(1));
            out.push('\\');
            out.push_str(escaped);
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}

/// A list of single values as `json_rows` wants it.
pub(crate) fn json_list<T: serde::Serialize>(values: impl IntoIterator<Item = T>) -> String {
    let rows: Vec<_> = values.into_iter().map(|value| [value]).collect();
    json_param(&rows)
}

/// Columns by name.
pub(crate) trait Columns {
    fn int(&self, column: &str) -> Result<i64>;
    fn int_opt(&self, column: &str) -> Result<Option<i64>>;
    fn text(&self, column: &str) -> Result<String>;
    fn text_opt(&self, column: &str) -> Result<Option<String>>;
    fn bytes(&self, column: &str) -> Result<Vec<u8>>;
    /// Text that one of our types reads.
    fn parsed<T: std::str::FromStr>(&self, column: &str) -> Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static;
    /// JSON that one of our types reads.
    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T>;
}

impl Columns for QueryResult {
    fn int(&self, column: &str) -> Result<i64> {
        Ok(self.try_get("", column)?)
    }
    fn int_opt(&self, column: &str) -> Result<Option<i64>> {
        Ok(self.try_get("", column)?)
    }
    fn text(&self, column: &str) -> Result<String> {
        Ok(self.try_get("", column)?)
    }
    fn text_opt(&self, column: &str) -> Result<Option<String>> {
        Ok(self.try_get("", column)?)
    }
    fn bytes(&self, column: &str) -> Result<Vec<u8>> {
        Ok(self.try_get("", column)?)
    }
    fn parsed<T: std::str::FromStr>(&self, column: &str) -> Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.text(column)?
            .parse()
            .map_err(|error: T::Err| StoreError::Db(Box::new(error)))
    }
    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T> {
        from_json(&self.text(column)?)
    }
}

pub(crate) fn from_json<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Db(Box::new(error)))
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Db(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::{json_param, script};

    #[test]
    fn a_script_numbers_parameters_on() {
        let parts = vec![
            ("SELECT $1, $2".to_owned(), args![1, 2]),
            ("SELECT json_extract($1, '$[0]')".to_owned(), args![3]),
        ];
        let (sql, values) = script(parts);
        assert_eq!(sql, "SELECT $1, $2;SELECT json_extract($3, '$[0]');");
        assert_eq!(values, args![1, 2, 3]);
    }

    #[test]
    fn nul_is_replaced_and_text_about_it_is_not() {
        let cases = [
            ("a\0b", "a\u{fffd}b"),
            (r"a\u0000b", r"a\u0000b"),
            ("\\\0", "\\\u{fffd}"),
            ("\"\0\"", "\"\u{fffd}\""),
        ];
        for (text, expected) in cases {
            let param = json_param(&[[text]]);
            let back: Vec<Vec<String>> = serde_json::from_str(&param).unwrap_or_default();
            assert_eq!(back, [[expected]], "{text:?}");
        }
    }
}
