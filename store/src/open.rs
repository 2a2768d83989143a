//! Opening a database: connections, schema, key check, sweep of what an accept never took.

use crate::{
    Result, SealKey, Shared, Store, StoreConfig, StoreError,
    sql::{self, Columns, WriteDb, args},
    staging, writer,
};
use migrations::MigrateError;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection,
    sqlx::{
        postgres::PgConnectOptions,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use std::{sync::Arc, time::Duration};

/// How long it is waited for another process's transaction.
const BUSY: Duration = Duration::from_secs(15);
/// Our own transactions are far shorter.
const PROBE: Duration = Duration::from_secs(2);
const READERS: u32 = 6;
const POOL: u32 = 16;
const ACQUIRE: Duration = Duration::from_secs(60);
/// What a key check opens to.
const PROOF: &str = "muster";

impl Store {
    /// Opens `sqlite:PATH` or `postgres://…`, runs the migrations. Several processes may open one
    /// database at once.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] if the database was made with another key, [`StoreError::Newer`]
    /// if a later version migrated it.
    pub async fn open(url: &str, key: SealKey) -> Result<Self> {
        Self::open_with(url, key, StoreConfig::default()).await
    }

    /// [`open`](Self::open) with other times than the protocol's, as tests need them.
    pub async fn open_with(url: &str, key: SealKey, config: StoreConfig) -> Result<Self> {
        let (write, read, probe) = connect(url).await?;
        let installation = match prepare(&write, &key).await {
            Ok(installation) => installation,
            Err(error) => {
                // All of them, before anybody tries again: SQLite's connections of one process share
                // a file's descriptors, and a new one would write no more than those can.
                for pool in [Some(&*write), Some(&read), probe.as_deref()]
                    .into_iter()
                    .flatten()
                {
                    let _ = pool.close_by_ref().await;
                }
                return Err(error);
            }
        };
        let (sender, receiver) = writer::channel();
        let store = Self {
            shared: Arc::new(Shared {
                write: write.clone(),
                read,
                probe,
                key,
                config: config.clone(),
                installation,
                writer: sender,
            }),
        };
        writer::spawn(write.for_many(), config, receiver);
        staging::sweep(&store).await?;
        Ok(store)
    }

    /// The installation's id (made once).
    pub async fn installation(&self) -> Result<String> {
        Ok(self.shared.installation.clone())
    }

    /// Whether nobody else holds SQLite's write lock for longer than [`PROBE`]. Changes nothing;
    /// PostgreSQL has no such lock.
    pub async fn is_writable(&self) -> bool {
        let Some(probe) = &self.shared.probe else {
            return true;
        };
        match sql::begin(probe).await {
            Ok(tx) => {
                let _ = tx.rollback().await;
                true
            }
            Err(error) => !error.is_locked(),
        }
    }

    /// Cheap liveness check.
    pub async fn ping(&self) -> Result<()> {
        sql::now_ms(&self.shared.read).await.map(|_| ())
    }
}

/// For writing, for reading, and (SQLite) for asking whether writing is possible.
type Connections = (WriteDb, DatabaseConnection, Option<WriteDb>);

/// Until it works: the first to open a new SQLite file turns its log on, and whoever comes at that
/// moment finds the file locked, whatever the busy time-out.
async fn connect(url: &str) -> Result<Connections> {
    let mut tries = sql::Tries::default();
    loop {
        match connect_once(url).await {
            Err(error) if tries.again(&error).await => {}
            outcome => break outcome,
        }
    }
}

async fn connect_once(url: &str) -> Result<Connections> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        // Asked for here: who reads it next quotes all of it in its error, the password too.
        url.parse::<PgConnectOptions>().map_err(|error| {
            let error = error.to_string();
            let why = error.trim_start_matches("error with configuration: ");
            invalid(format!(
                "the address cannot be read: {why}; write special characters of a password as %XX"
            ))
        })?;
        let mut options = quiet(url);
        options.max_connections(POOL).min_connections(2);
        // A lost "sent" is an orphan: whatever the server's default, our commits are durable. A
        // process that is paused in a transaction keeps nobody waiting for long.
        options.map_sqlx_postgres_opts(|o| {
            o.options([
                ("synchronous_commit", "on"),
                ("idle_in_transaction_session_timeout", "10s"),
            ])
        });
        let pool = Database::connect(options).await?;
        return Ok((WriteDb::new(pool.clone(), BUSY), pool, None));
    }
    let Some(path) = url.strip_prefix("sqlite:") else {
        let cause = "the address is neither sqlite:PATH nor postgres://…";
        return Err(invalid(cause.to_owned()));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split('?').next().unwrap_or(path).to_owned();
    let open = |connections: u32, busy: Duration| {
        let mut options = quiet("sqlite::memory:");
        // A file does not go away: no question to it before every use.
        options
            .max_connections(connections)
            .min_connections(1)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None);
        let path = path.clone();
        options.map_sqlx_sqlite_opts(move |o| {
            o.in_memory(false)
                .shared_cache(false)
                .filename(&path)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY)
                .foreign_keys(true)
                .pragma("cache_size", "-65536")
                .pragma("temp_store", "memory")
                .pragma("busy_timeout", busy.as_millis().to_string())
        });
        Database::connect(options)
    };
    // For the write lock it is waited by `sql::begin`.
    let write = WriteDb::new(open(1, Duration::ZERO).await?, BUSY);
    let read = open(READERS, BUSY).await?;
    let probe = WriteDb::new(open(1, Duration::ZERO).await?, PROBE);
    Ok((write, read, Some(probe)))
}

fn invalid(cause: String) -> StoreError {
    StoreError::Refused {
        object: "store".into(),
        cause,
        reason: "INVALID_STORE",
    }
}

fn quiet(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    // Statements carry values of objects: never into a log.
    options.sqlx_logging(false).acquire_timeout(ACQUIRE);
    options
}

/// Schema and installation, in one transaction; answers the installation's id.
async fn prepare(db: &WriteDb, key: &SealKey) -> Result<String> {
    let mut tries = sql::Tries::default();
    loop {
        let outcome = match sql::begin(db).await {
            Ok(tx) => {
                let result = match migrations::up(&tx).await {
                    Ok(()) => installation(&tx, key).await,
                    Err(MigrateError::Newer(name)) => Err(StoreError::Newer(name)),
                    Err(MigrateError::Db(error)) => Err(error.into()),
                };
                sql::finish(db, tx, result).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) if tries.again(&error).await => {}
            outcome => break outcome,
        }
    }
}

async fn installation<C: ConnectionTrait>(tx: &C, key: &SealKey) -> Result<String> {
    let known = sql::one(
        tx,
        "SELECT name, proof FROM installation WHERE id = 1",
        vec![],
    )
    .await?;
    if let Some(row) = known {
        let open = key
            .unseal("the store", &row.bytes("proof")?)
            .map_err(|_| StoreError::WrongKey("the store".into()))?;
        if open != PROOF.as_bytes() {
            return Err(StoreError::WrongKey("the store".into()));
        }
        // Nothing may be left to write by now, and SQLite begins a transaction for writing on a
        // read-only file too: this changes no row, but is refused there.
        let nothing = "UPDATE installation SET name = name WHERE id = 0";
        sql::run(tx, nothing, vec![]).await?;
        return row.text("name");
    }
    let name = format!("{:016x}", rand::random::<u64>());
    let incarnation = format!("{:016x}", rand::random::<u64>());
    sql::run(
        tx,
        "INSERT INTO installation (id, name, incarnation, proof, created_ms) \
         VALUES (1, $1, $2, $3, now_ms())",
        args![
            name.clone(),
            incarnation,
            key.seal("the store", PROOF.as_bytes())?
        ],
    )
    .await?;
    Ok(name)
}
