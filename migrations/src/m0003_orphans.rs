//! Halted contexts, the orphan ledger, tombstones of terminated lives (protocol §6, §7).

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_orphans"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        let db = manager.get_connection();
        for statement in STATEMENTS {
            let serial = if postgres {
                "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
            } else {
                "INTEGER PRIMARY KEY AUTOINCREMENT"
            };
            db.execute_unprepared(&statement.replace("<serial>", serial))
                .await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    // Why nothing more is sent under the present goal (Stop, FailFast); NULL = it is driven.
    "ALTER TABLE context ADD COLUMN halted TEXT",
    // Clusters that a terminate gave up: no proof is asked of them.
    "CREATE TABLE abandoned (
        context TEXT NOT NULL,
        cluster TEXT NOT NULL,
        since_ms BIGINT NOT NULL,
        actor TEXT NOT NULL,
        PRIMARY KEY (context, cluster))",
    // Objects that may be there and that nobody drives. They outlive context and DIG, so everything
    // needed to find them stands here. `wanted_ms` = somebody asked for the collection; `ended_ms` =
    // the entry is history.
    "CREATE TABLE orphan (
        id <serial>,
        context TEXT NOT NULL,
        dig BIGINT,
        project TEXT NOT NULL,
        dig_name TEXT NOT NULL,
        app TEXT NOT NULL,
        resource BIGINT,
        key TEXT NOT NULL,
        cluster TEXT NOT NULL,
        grp TEXT NOT NULL,
        version TEXT NOT NULL,
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        wave BIGINT NOT NULL,
        shared BIGINT NOT NULL,
        uid TEXT,
        reason TEXT NOT NULL,
        actor TEXT NOT NULL,
        since_ms BIGINT NOT NULL,
        wanted_ms BIGINT,
        tried_ms BIGINT,
        outcome TEXT,
        forgotten BIGINT NOT NULL,
        ended_ms BIGINT)",
    "CREATE UNIQUE INDEX orphan_key ON orphan (context, key) WHERE ended_ms IS NULL",
    "CREATE INDEX orphan_cluster ON orphan (cluster) WHERE ended_ms IS NULL",
    // Kinds that a terminated life had on a cluster: what a late request may still make is of these.
    "CREATE TABLE tombstone (
        cluster TEXT NOT NULL,
        context TEXT NOT NULL,
        grp TEXT NOT NULL,
        version TEXT NOT NULL,
        kind TEXT NOT NULL,
        dead_ms BIGINT NOT NULL,
        PRIMARY KEY (cluster, context, grp, version, kind))",
    "CREATE INDEX tombstone_dead ON tombstone (dead_ms)",
    // When the collector last was at a cluster.
    "CREATE TABLE collector (
        cluster TEXT PRIMARY KEY,
        visited_ms BIGINT NOT NULL)",
];
