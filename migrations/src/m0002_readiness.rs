//! Readiness: what watchers saw of objects, which clusters are to be watched, who watches them.

use sea_orm_migration::prelude::*;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_readiness"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    // Of rows whose kind has a status, from the staging on; of others only while something is
    // wrong with them.
    "CREATE TABLE readiness (
        context TEXT NOT NULL,
        id BIGINT NOT NULL,
        cluster TEXT NOT NULL,
        status TEXT NOT NULL,
        code TEXT,
        message TEXT,
        stuck BIGINT NOT NULL,
        since_ms BIGINT NOT NULL,
        PRIMARY KEY (context, id))",
    "CREATE INDEX readiness_status ON readiness (context, status)",
    // The clusters of every context that is not Terminated; `live` = kinds with a status are
    // among its objects there.
    "CREATE TABLE watched (
        cluster TEXT NOT NULL,
        context TEXT NOT NULL,
        live BIGINT NOT NULL,
        PRIMARY KEY (cluster, context))",
    "CREATE INDEX watched_context ON watched (context)",
    // `epoch` tells the one watcher of a cluster from those before it.
    "CREATE TABLE watcher (
        cluster TEXT PRIMARY KEY,
        epoch BIGINT NOT NULL,
        alive_ms BIGINT NOT NULL,
        synced_ms BIGINT)",
    "INSERT INTO watched (cluster, context, live)
        SELECT DISTINCT r.cluster, r.context, 1 FROM resource r
        JOIN context c ON c.id = r.context WHERE c.state <> 'Terminated'",
];
