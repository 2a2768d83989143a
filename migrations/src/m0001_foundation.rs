//! Documents, contexts, resource rows, attempts, claims, logs (protocol §1).
//!
//! Plain SQL, the same for both databases but for the few words of [`words`]: integers are BIGINT
//! (times are ms since the epoch, flags 0 or 1), everything else TEXT or bytes.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_foundation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        let db = manager.get_connection();
        for statement in words(postgres).iter().chain(TABLES).chain(INDEXES) {
            let (bytes, serial) = if postgres {
                ("BYTEA", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
            } else {
                ("BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT")
            };
            let statement = statement
                .replace("<bytes>", bytes)
                .replace("<serial>", serial);
            db.execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}

/// Where fences come from: a sequence, or a counter where there is only one writer anyway.
fn words(postgres: bool) -> &'static [&'static str] {
    if postgres {
        &["CREATE SEQUENCE fence_seq"]
    } else {
        &[
            "CREATE TABLE fence_seq (id BIGINT PRIMARY KEY, value BIGINT NOT NULL)",
            "INSERT INTO fence_seq (id, value) VALUES (1, 0)",
        ]
    }
}

const TABLES: &[&str] = &[
    // `proof` is a known text sealed with the key: tells a wrong key from a damaged database.
    "CREATE TABLE installation (
        id BIGINT PRIMARY KEY,
        name TEXT NOT NULL,
        incarnation TEXT NOT NULL,
        proof <bytes> NOT NULL,
        created_ms BIGINT NOT NULL)",
    "CREATE TABLE cluster (
        id TEXT PRIMARY KEY,
        generation BIGINT NOT NULL,
        created_ms BIGINT NOT NULL,
        doc TEXT NOT NULL,
        kubeconfig <bytes> NOT NULL,
        uid TEXT,
        connectivity TEXT NOT NULL,
        attempts BIGINT NOT NULL,
        since_ms BIGINT NOT NULL,
        next_probe_ms BIGINT,
        error_code TEXT,
        error_message TEXT,
        lease_holder TEXT,
        lease_until_ms BIGINT)",
    "CREATE TABLE composite_app (
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        generation BIGINT NOT NULL,
        created_ms BIGINT NOT NULL,
        doc <bytes> NOT NULL,
        PRIMARY KEY (project, name, version))",
    // `id` tells a DIG from a later one of the same name, so that logs never mix.
    "CREATE TABLE dig (
        id BIGINT PRIMARY KEY,
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        generation BIGINT NOT NULL,
        created_ms BIGINT NOT NULL,
        doc TEXT NOT NULL,
        app_name TEXT NOT NULL,
        app_version TEXT NOT NULL,
        state TEXT NOT NULL,
        pending BIGINT NOT NULL,
        context TEXT,
        UNIQUE (project, name))",
    "CREATE TABLE action (
        seq <serial>,
        dig BIGINT NOT NULL,
        state TEXT NOT NULL,
        verb TEXT NOT NULL,
        context TEXT,
        revision BIGINT NOT NULL,
        time_ms BIGINT NOT NULL,
        actor TEXT NOT NULL,
        request_id TEXT)",
    // A plan's rows stand in `resource` before they are accepted; without a row in `context`
    // nobody sees them.
    "CREATE TABLE staged (
        context TEXT PRIMARY KEY,
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        apps TEXT NOT NULL,
        complete BIGINT NOT NULL,
        at_ms BIGINT NOT NULL)",
    "CREATE TABLE context (
        id TEXT PRIMARY KEY,
        dig BIGINT NOT NULL,
        project TEXT NOT NULL,
        name TEXT NOT NULL,
        revision BIGINT NOT NULL,
        state TEXT NOT NULL,
        goal TEXT NOT NULL,
        fence BIGINT NOT NULL,
        wanted BIGINT NOT NULL,
        acked BIGINT NOT NULL,
        run_id TEXT,
        started_ms BIGINT NOT NULL,
        changed_ms BIGINT NOT NULL,
        policy TEXT NOT NULL,
        apps TEXT NOT NULL,
        blocked_by TEXT)",
    "CREATE TABLE resource (
        context TEXT NOT NULL,
        id BIGINT NOT NULL,
        app TEXT NOT NULL,
        key TEXT NOT NULL,
        cluster TEXT NOT NULL,
        grp TEXT NOT NULL,
        version TEXT NOT NULL,
        kind TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        wave BIGINT NOT NULL,
        shared BIGINT NOT NULL,
        implicit BIGINT NOT NULL,
        keep BIGINT NOT NULL,
        digest TEXT NOT NULL,
        goal TEXT NOT NULL,
        state TEXT NOT NULL,
        sent BIGINT NOT NULL,
        attempts BIGINT NOT NULL,
        since_ms BIGINT NOT NULL,
        failing_since_ms BIGINT,
        next_attempt_ms BIGINT,
        error_code TEXT,
        error_message TEXT,
        blocked_by TEXT,
        kept TEXT,
        preexisting_uid TEXT,
        uid TEXT,
        PRIMARY KEY (context, id))",
    // `late` = an apply on the key could still take effect when this delete was opened.
    "CREATE TABLE attempt (
        id BIGINT PRIMARY KEY,
        context TEXT NOT NULL,
        resource BIGINT NOT NULL,
        key TEXT NOT NULL,
        fence BIGINT NOT NULL,
        kind TEXT NOT NULL,
        digest TEXT NOT NULL,
        send_until BIGINT NOT NULL,
        effect_until BIGINT NOT NULL,
        late BIGINT NOT NULL,
        closed BIGINT NOT NULL)",
    "CREATE TABLE claim (
        key TEXT PRIMARY KEY,
        shared BIGINT NOT NULL,
        creator_uid TEXT,
        deleting BIGINT NOT NULL)",
    "CREATE TABLE holder (
        key TEXT NOT NULL,
        context TEXT NOT NULL,
        PRIMARY KEY (key, context))",
    "CREATE TABLE manifest (
        digest TEXT PRIMARY KEY,
        secret BIGINT NOT NULL,
        body <bytes> NOT NULL)",
    "CREATE TABLE event (
        seq <serial>,
        dig BIGINT NOT NULL,
        time_ms BIGINT NOT NULL,
        context TEXT,
        revision BIGINT,
        resource BIGINT,
        app TEXT,
        from_state TEXT,
        to_state TEXT NOT NULL,
        event TEXT NOT NULL,
        attempt BIGINT,
        code TEXT,
        message TEXT,
        actor TEXT,
        request_id TEXT)",
    "CREATE TABLE request (
        id TEXT PRIMARY KEY,
        body_hash TEXT NOT NULL,
        answer TEXT NOT NULL,
        time_ms BIGINT NOT NULL)",
];

const INDEXES: &[&str] = &[
    "CREATE UNIQUE INDEX cluster_uid ON cluster (uid)",
    "CREATE INDEX dig_app ON dig (project, app_name, app_version)",
    "CREATE INDEX action_dig ON action (dig, seq)",
    "CREATE INDEX context_state ON context (state)",
    "CREATE INDEX context_dig ON context (dig)",
    "CREATE INDEX context_unacked ON context (wanted) WHERE acked < wanted",
    // Covers the counts of a status, the fold of settle and `others_deleted`.
    "CREATE INDEX resource_state ON resource (context, state, cluster, app, wave, shared, implicit, goal)",
    "CREATE INDEX resource_blocked ON resource (context) WHERE blocked_by IS NOT NULL",
    "CREATE INDEX attempt_context ON attempt (context)",
    "CREATE INDEX attempt_key ON attempt (key)",
    "CREATE INDEX holder_context ON holder (context)",
    "CREATE INDEX event_dig ON event (dig, seq)",
];
