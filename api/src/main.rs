//! `muster-api`: gRPC for clients, health and metrics over HTTP.

#![allow(
    clippy::print_stdout,
    reason = "the addresses are what this program says"
)]

use anyhow::Context;
use api::{Bound, Config, LogFormat, Settings};
use clap::Parser;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Muster's api: validates documents and verbs, commits them to the store, wakes Temporal.
///
/// Settings come from flags, then MUSTER_* variables, then the TOML file of --config (the flags'
/// names without dashes in front), then defaults.
#[derive(Parser)]
#[command(name = "muster-api", version)]
struct Arguments {
    /// TOML file with settings.
    #[arg(long, env = "MUSTER_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Half the work is short-lived text: the system's allocator takes a sixth of all time for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let settings = match arguments.config {
        Some(path) => arguments.settings.or_from_file(&path)?,
        None => arguments.settings,
    };
    log(
        settings.log_format.unwrap_or_default(),
        settings.log.as_deref(),
    )?;
    api::serve(Config::try_from(settings)?, stopped(), say).await?;
    Ok(())
}

/// The database layer warns of what it cannot do on SQLite, which is known and harmless.
const DEFAULT_LOG: &str = "info,sea_orm_migration=warn";

fn say(bound: Bound) {
    println!("grpc  {}", bound.grpc);
    if let Some(http) = bound.http {
        println!("http  http://{http}");
    }
}

fn log(format: LogFormat, filter: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(DEFAULT_LOG)).context("--log")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Until SIGINT or SIGTERM.
async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        let _ = interrupt.await;
        return;
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}
