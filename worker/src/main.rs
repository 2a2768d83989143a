//! `muster-worker`: hosts workflows and activities, replays histories.

#![allow(clippy::print_stdout, reason = "verdicts are what `replay` is for")]

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};
use tracing_subscriber::EnvFilter;
use worker::{Config, LogFormat, Settings};

/// Muster's worker: runs lifecycles, and the requests to clusters they consist of.
///
/// Settings come from flags, then MUSTER_* variables, then the TOML file of --config (the flags'
/// names without dashes in front), then defaults.
#[derive(Parser)]
#[command(
    name = "muster-worker",
    version,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Command {
    /// Work until SIGINT or SIGTERM (the default).
    Run(Box<Run>),
    /// Say whether this binary would do what histories say was done; offline. Exit code 1 when it
    /// would not, or when one cannot be read.
    Replay {
        /// Histories as `muster history`, Temporal's UI or its CLI write them.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

#[derive(clap::Args)]
struct Run {
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
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Replay { files }) => Ok(replay(files).await),
        Some(Command::Run(run)) => work(*run).await,
        None => work(arguments.run).await,
    }
}

async fn work(run: Run) -> anyhow::Result<ExitCode> {
    let settings = match run.config {
        Some(path) => run.settings.or_from_file(&path)?,
        None => run.settings,
    };
    log(
        settings.log_format.unwrap_or_default(),
        settings.log.as_deref(),
    )?;
    worker::run(Config::try_from(settings)?, stopped()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn replay(files: Vec<PathBuf>) -> ExitCode {
    let mut all_same = true;
    for file in files {
        let replayed = worker::replay(&file).await;
        println!("{replayed}");
        all_same &= replayed.same();
    }
    if all_same {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn log(format: LogFormat, filter: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or(worker::USUAL_LOG)).context("--log")?;
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
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = interrupt.await;
        return;
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}
