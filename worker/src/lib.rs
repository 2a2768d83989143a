//! The Temporal worker: hosts the workflows and the activities on two task queues, and replays
//! histories. Holds no state: any number may run, and each may be killed at any time.

mod config;
mod host;
mod metrics;
mod register;
mod replay;

pub use config::{Config, ConfigError, LogFormat, Settings};
pub use host::{WorkerError, run, run_reporting};
pub use replay::{Replayed, replay};

/// What is logged when nobody says: sea-orm warns on every SQLite transaction that it has a mode.
pub const USUAL_LOG: &str = "info,sea_orm::driver=error";
