//! What a large context's accept leaves for later, and how far its proof of absence came.

use sea_orm_migration::prelude::*;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_proofs_and_chunks"
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
    // The fence under which absence was proven, and on how many of the context's clusters.
    "ALTER TABLE context ADD COLUMN proven_fence BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE context ADD COLUMN proven BIGINT NOT NULL DEFAULT 0",
    // Rows from this number on have no first line in the log yet; NULL = all have.
    "ALTER TABLE context ADD COLUMN unborn BIGINT",
    // Covers what an accept asks of a context's claims.
    "DROP INDEX holder_context",
    "CREATE INDEX holder_context ON holder (context, key)",
    "CREATE INDEX claim_deleting ON claim (key) WHERE deleting = 1",
];
