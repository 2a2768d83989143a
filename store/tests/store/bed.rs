//! A fresh database for each test, and the macro that runs a test on both kinds.

use crate::postgres;
use store::{SealKey, Store, StoreConfig};

/// Runs every named `async fn(&Bed)` of the module on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&$crate::bed::Bed::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(bed) = $crate::bed::Bed::postgres().await {
                    super::$name(&bed).await;
                }
            })*
        }
    };
}

pub struct Bed {
    pub url: String,
    pub store: Store,
    pub dir: Option<tempfile::TempDir>,
}

pub const KEY: [u8; 32] = [42; 32];

/// Nothing expires while a test runs.
pub fn patient() -> StoreConfig {
    StoreConfig {
        send_window_ms: 3_600_000,
        ..StoreConfig::default()
    }
}

/// The window has closed, the effect may still come.
pub fn windowless() -> StoreConfig {
    StoreConfig {
        send_window_ms: -1_000,
        slack_ms: 3_600_000,
        ..StoreConfig::default()
    }
}

impl Bed {
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("muster.db").display());
        Self::on(url, Some(dir)).await
    }

    pub async fn postgres() -> Option<Self> {
        let url = postgres::database().await?;
        Some(Self::on(url, None).await)
    }

    async fn on(url: String, dir: Option<tempfile::TempDir>) -> Self {
        let store = Store::open_with(&url, SealKey(KEY), patient())
            .await
            .unwrap();
        Self { url, store, dir }
    }

    /// Another process on the same database, with other times.
    pub async fn with(&self, config: StoreConfig) -> Store {
        Store::open_with(&self.url, SealKey(KEY), config)
            .await
            .unwrap()
    }

    /// SQL behind the store's back.
    pub async fn sql(&self, sql: &str) -> Vec<sea_orm::QueryResult> {
        use sea_orm::{ConnectionTrait, Database, Statement};
        let db = Database::connect(&self.url).await.unwrap();
        let statement = Statement::from_string(db.get_database_backend(), sql);
        let rows = db.query_all_raw(statement).await.unwrap();
        db.close().await.unwrap();
        rows
    }
}
