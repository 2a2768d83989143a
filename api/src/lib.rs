//! Muster's api: thin gRPC over the store. Validate, commit, wake; read what the store knows.
//!
//! It knows nothing of Kubernetes and runs no workflow; of Temporal it knows one verb, to wake.

mod auth;
mod check;
mod config;
mod convert;
mod documents;
mod errors;
mod inline;
mod lifecycle;
mod one;
mod orphans;
mod page;
mod pulse;
mod render;
mod server;
mod shared;
mod status;
mod telemetry;
mod upload;
mod wake;
mod watch;
mod web;

pub use config::{Config, ConfigError, LogFormat, Settings};
pub use errors::{ALLOWED_VERBS, DOMAIN};
pub use server::{Bound, ServeError, Server, serve};
pub use wake::{TemporalWaker, WakeError, Waker};
