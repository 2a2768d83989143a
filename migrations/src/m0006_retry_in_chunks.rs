//! What the accept of a large context's retry leaves for later.

use sea_orm_migration::prelude::*;

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0006_retry_in_chunks"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Rows from this number on are still to begin anew; NULL = none is.
        let add = "ALTER TABLE context ADD COLUMN anew BIGINT";
        manager.get_connection().execute_unprepared(add).await?;
        Ok(())
    }
}
