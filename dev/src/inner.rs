//! The processes of a stack: this binary, started again by `up` with a hidden subcommand.
//!
//! Each says `ready` on standard output, works until SIGTERM, and ends at once when its standard
//! input ends: then the stack is gone.

use crate::{
    args::{ApiChild, ClustersChild, Tether, WorkerChild},
    child::READY,
    process::die_with_parent,
};
use anyhow::Context;
use sandbox::host::{ClusterSpec, Host, HostConfig};
use std::{
    convert::Infallible,
    ffi::OsString,
    io::{self, Read, Write},
    process::{Command, ExitCode},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

pub async fn api(child: ApiChild) -> anyhow::Result<()> {
    begin();
    let config = api::Config::embedded(
        &child.store,
        server(child.temporal),
        child.grpc,
        child.http,
        child.key_file,
    );
    api::serve(config, stopped(), |_| ready()).await?;
    Ok(())
}

pub async fn worker(child: WorkerChild) -> anyhow::Result<()> {
    begin();
    let mut config = worker::Config::embedded(&child.store, server(child.temporal), child.key_file);
    config.allow_exec = child.allow_exec;
    worker::run_reporting(config, stopped(), ready).await?;
    Ok(())
}

pub async fn clusters(child: ClustersChild) -> anyhow::Result<()> {
    begin();
    let mut config = HostConfig::simulated(child.clusters);
    config.dir = Some(child.data_dir);
    config.control = true;
    for (name, kubeconfig) in child.real {
        config.clusters.push(ClusterSpec::proxy(name, kubeconfig));
    }
    let host = Host::start(config).await.context("start the clusters")?;
    ready();
    stopped().await;
    host.shutdown().await;
    Ok(())
}

/// The client, so that the demo shows what a person would type.
pub async fn muster(arguments: Vec<OsString>) -> ExitCode {
    let program = std::iter::once(OsString::from("muster"));
    let code = match cli::parse(program.chain(arguments)) {
        Ok(arguments) => {
            let output = cli::output::Output::standard(arguments.global.output);
            cli::run(arguments, output).await
        }
        Err(not_run) => {
            // Help that nobody reads is no failure.
            let _ = if not_run.wanted {
                write!(std::io::stdout(), "{}", not_run.text)
            } else {
                writeln!(std::io::stderr(), "{}", not_run.text.trim_end())
            };
            not_run.code
        }
    };
    ExitCode::from(code)
}

/// Becomes another program that dies with the parent.
pub fn tether(child: Tether) -> anyhow::Result<Infallible> {
    use std::os::unix::process::CommandExt;
    anyhow::ensure!(die_with_parent(child.parent), "the parent is gone");
    let (program, arguments) = child.program.split_first().context("no program")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| program.to_string_lossy().into_owned())
}

fn server(address: Option<String>) -> temporal::Server {
    temporal::Server {
        namespace: address.is_some().then(|| "default".to_owned()),
        address,
    }
}

/// Logs to standard error, and watches standard input.
fn begin() {
    let filter =
        EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new(worker::USUAL_LOG));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    // A second subscriber is no reason not to start.
    let _ = log.try_init();
    // A plain thread: a tokio runtime would wait for this read when it ends.
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        let mut byte = [0];
        while input.read(&mut byte).is_ok_and(|read| read > 0) {}
        tracing::error!("the stack is gone");
        std::process::exit(1);
    });
}

fn ready() {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{READY}").and_then(|()| out.flush());
}

/// Until SIGINT or SIGTERM.
pub async fn stopped() {
    match Stops::listen() {
        Ok(mut stops) => stops.next().await,
        // Without handlers of ours a signal ends the process by itself.
        Err(_) => std::future::pending().await,
    }
}

/// SIGINT and SIGTERM, heard from `listen` on: one that comes while nobody waits is kept.
pub struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    /// # Errors
    /// The system gives no handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Until the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    #[tokio::test]
    async fn a_stop_that_comes_while_nobody_waits_is_heard() {
        let mut stops = Stops::listen().unwrap();
        crate::process::terminate(std::process::id());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        stops.next().await;
    }
}
