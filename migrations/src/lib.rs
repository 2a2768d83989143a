//! Schema history: append-only, and it knows no type of ours.
//!
//! A migration that was released is never edited; the next change is the next file.

mod m0001_foundation;
mod m0002_readiness;
mod m0003_orphans;
mod m0005_proofs_and_chunks;
mod m0006_retry_in_chunks;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DatabaseTransaction, DbBackend, Statement};

/// The history.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_foundation::Migration),
            Box::new(m0002_readiness::Migration),
            Box::new(m0003_orphans::Migration),
            Box::new(m0005_proofs_and_chunks::Migration),
            Box::new(m0006_retry_in_chunks::Migration),
        ]
    }
}

/// Why a database could not be brought to this version.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A migration stands in the database that this binary does not know.
    #[error("migration {0} is of a later version")]
    Newer(String),
    #[error("migrate the schema")]
    Db(#[from] DbErr),
}

/// Brings the schema up to date inside the caller's transaction.
///
/// Guarantees: of several processes that start at once one migrates and the others wait for it:
/// PostgreSQL by an advisory lock that the transaction holds, SQLite because the transaction is
/// the only writer (the caller begins it with `BEGIN IMMEDIATE`).
///
/// # Errors
/// [`MigrateError::Newer`] when a later binary has migrated this database.
pub async fn up(tx: &DatabaseTransaction) -> Result<(), MigrateError> {
    let backend = tx.get_database_backend();
    let postgres = backend == DbBackend::Postgres;
    if postgres {
        tx.execute_unprepared("SELECT pg_advisory_xact_lock(7237111)")
            .await?;
    }
    let known: Vec<String> = Migrator::migrations()
        .iter()
        .map(|m| m.name().to_owned())
        .collect();
    let exists = if postgres {
        "SELECT tablename AS name FROM pg_tables WHERE tablename = 'seaql_migrations' \
         AND schemaname = current_schema()"
    } else {
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'"
    };
    if tx
        .query_one_raw(Statement::from_string(backend, exists))
        .await?
        .is_some()
    {
        let applied = Statement::from_string(backend, "SELECT version FROM seaql_migrations");
        for row in tx.query_all_raw(applied).await? {
            let version: String = row.try_get("", "version")?;
            if !known.contains(&version) {
                return Err(MigrateError::Newer(version));
            }
        }
    }
    Migrator::up(tx, None).await?;
    Ok(())
}
