//! Running: wait for the store and for Temporal, host both queues, drain on the stop.

use crate::{config::Config, metrics, register};
use activities::{Activities, ActivitiesConfig};
use std::{future::Future, net::SocketAddr, pin::Pin, time::Duration};
use store::{KeyError, SealKey, Store, StoreConfig, StoreError, without_password};
use temporal::{Client, Host, HostOptions, Runtime, TemporalError, run_worker};
use workflows::limits::{QUEUE, WATCH_QUEUE};

/// Between two attempts to reach what is not there yet.
const AGAIN: Duration = Duration::from_secs(1);
/// Beyond the graceful period: what the SDK needs to report what it cancelled.
const WIND_DOWN: Duration = Duration::from_secs(2);
/// Activities that wait hold a slot only while they look, watchers for as long as they watch; there
/// may be one of each per cluster at once.
const WATCH_SLOTS: usize = 10_000;

/// The worker cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("open the store: {0}")]
    Store(#[source] StoreError),
    #[error(transparent)]
    Temporal(#[from] TemporalError),
    #[error("listen on {address} for metrics: {source}; choose another address with --metrics")]
    Metrics {
        address: SocketAddr,
        source: std::io::Error,
    },
}

/// Hosts workflows and activities until `shutdown`, then drains: polling stops, activities in
/// flight end or are cut off after the grace period.
///
/// # Errors
/// Final ones only: what may pass (a database or a Temporal that is not there yet, or went away)
/// is waited for, and said.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), WorkerError> {
    run_reporting(config, shutdown, || ()).await
}

/// [`run`], calling `at_work` whenever both queues began to be polled.
pub async fn run_reporting(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
    at_work: impl Fn() + Send,
) -> Result<(), WorkerError> {
    let key = SealKey::read(&config.key_file)?;
    let runtime = Runtime::new(config.metrics.is_some())?;
    if let Some(address) = config.metrics {
        let bound = metrics::serve(address, runtime.clone())
            .await
            .map_err(|source| WorkerError::Metrics { address, source })?;
        tracing::info!("metrics at http://{bound}/metrics");
    }
    let mut shutdown: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(shutdown);

    let store = tokio::select! {
        store = open(&config.store, key, config.times.clone()) => store?,
        () = &mut shutdown => return Ok(()),
    };
    loop {
        let client = tokio::select! {
            client = connect(&config.temporal) => client?,
            () = &mut shutdown => return Ok(()),
        };
        let hosts = Hosts::start(&config, &runtime, &client, &store).await?;
        tracing::info!(namespace = client.namespace(), "at work");
        at_work();
        tokio::select! {
            error = hosts.failed() => {
                tracing::warn!(%error, "stopped working; starting again");
                hosts.stop(Duration::ZERO).await;
            }
            () = &mut shutdown => {
                tracing::info!("stopping: work in flight has {} s to end", config.grace.as_secs());
                hosts.stop(config.grace).await;
                return Ok(());
            }
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = &mut shutdown => return Ok(()),
        }
    }
}

/// The two Temporal workers of a process, and the activities they share.
struct Hosts {
    activities: Activities,
    work: Host,
    watch: Host,
}

impl Hosts {
    async fn start(
        config: &Config,
        runtime: &Runtime,
        client: &Client,
        store: &Store,
    ) -> Result<Self, WorkerError> {
        let activities = Activities::new(
            store.clone(),
            ActivitiesConfig {
                allowed_exec: config.allow_exec.clone(),
                ..ActivitiesConfig::default()
            },
        );
        let mut options = HostOptions::new(QUEUE);
        options.graceful = config.grace;
        let mine = activities.clone();
        let work = run_worker(
            runtime.clone(),
            client.clone(),
            options.clone(),
            Box::new(move |options| {
                register::hosted(options)?;
                mine.register(options);
                Ok(())
            }),
        )
        .await?;
        options.queue = WATCH_QUEUE.to_owned();
        options.activity_slots = WATCH_SLOTS;
        let mine = activities.clone();
        let watch = run_worker(
            runtime.clone(),
            client.clone(),
            options,
            Box::new(move |options| {
                mine.register(options);
                Ok(())
            }),
        )
        .await?;
        Ok(Self {
            activities,
            work,
            watch,
        })
    }

    /// The first end that was not asked for.
    async fn failed(&self) -> TemporalError {
        let ended = tokio::select! {
            ended = self.work.ended() => ended,
            ended = self.watch.ended() => ended,
        };
        ended.err().unwrap_or_else(|| TemporalError {
            operation: "run worker",
            cause: "it ended by itself".to_owned(),
            transient: true,
        })
    }

    /// Stops polling, lets activities end, gives up after the grace period.
    async fn stop(self, grace: Duration) {
        self.activities.stop().cancel();
        self.work.shutdown();
        self.watch.shutdown();
        let both = async { tokio::join!(self.work.ended(), self.watch.ended()) };
        match tokio::time::timeout(grace + WIND_DOWN, both).await {
            Ok(_) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("work in flight is cut off"),
        }
    }
}

/// Opens the store and brings its schema up to date, however long that takes.
async fn open(url: &str, key: SealKey, times: StoreConfig) -> Result<Store, WorkerError> {
    loop {
        match Store::open_with(url, key.clone(), times.clone()).await {
            Ok(store) => return Ok(store),
            Err(StoreError::Db(cause)) => {
                tracing::warn!(store = without_password(url), %cause, "waiting for the store");
            }
            // Another schema or another key will not go away by waiting.
            Err(error) => return Err(WorkerError::Store(error)),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Connects to Temporal, however long that takes.
async fn connect(server: &temporal::Server) -> Result<Client, TemporalError> {
    loop {
        match Client::connect(server.clone()).await {
            Ok(client) => return Ok(client),
            Err(error) if error.transient => tracing::warn!(%error, "waiting for Temporal"),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    fn config(folder: &std::path::Path) -> Config {
        let nobody = temporal::Server {
            address: Some("127.0.0.1:1".into()),
            namespace: None,
        };
        let store = format!("sqlite:{}", folder.join("muster.db").display());
        Config::embedded(&store, nobody, folder.join("muster.key"))
    }

    #[tokio::test]
    async fn without_its_key_it_does_not_start_and_says_how_to_name_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(config(folder.path()), std::future::pending())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("--key-file"), "{error}");
    }

    #[tokio::test]
    async fn a_worker_that_waits_for_temporal_stops_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        std::fs::write(&config.key_file, "11".repeat(32)).unwrap();
        let database = folder.path().join("muster.db");
        // Told once it got as far as the store.
        let told = async move {
            while !database.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let at_work = || panic!("there is no Temporal");
        let stopped = run_reporting(config, told, at_work);
        tokio::time::timeout(Duration::from_secs(60), stopped)
            .await
            .unwrap()
            .unwrap();
    }
}
