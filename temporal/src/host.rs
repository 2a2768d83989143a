//! Hosting workflows and activities: one Temporal worker per call of [`run_worker`].

use crate::{Boxed, Client, TemporalError, chain};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use temporalio_common::telemetry::{
    PrometheusExporterOptions, TelemetryOptions, start_prometheus_metric_exporter,
};
use temporalio_sdk::{
    Worker, WorkerOptions,
    runtime::{
        PollerBehavior, RuntimeOptions,
        worker_tuner::{FixedSizeSlotSupplier, TunerHolder},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{oneshot, watch},
};

/// Puts workflows and activities into a worker's options.
pub type Register = Box<dyn FnOnce(&mut WorkerOptions) -> Result<(), String> + Send>;

/// The SDK's runtime, shared by the workers of a process; cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<temporalio_sdk::Runtime>,
    metrics: Option<SocketAddr>,
}

impl Runtime {
    /// On the current tokio runtime. With `metrics`, the SDK's counters are kept and readable by
    /// [`metrics_text`](Self::metrics_text).
    pub fn new(metrics: bool) -> Result<Self, TemporalError> {
        let failed = |cause: String| TemporalError::permanent("start the SDK's runtime", cause);
        let mut address = None;
        let telemetry = if metrics {
            // Its exporter insists on a listener of its own: any port of the loopback, read back
            // by `metrics_text`, so that a process shows one address with everything.
            let options = PrometheusExporterOptions::builder()
                .socket_addr(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                .counters_total_suffix(true)
                .unit_suffix(true)
                .use_seconds_for_durations(true)
                .build();
            let started = start_prometheus_metric_exporter(options)
                .map_err(|error| failed(format!("{error:#}")))?;
            address = Some(started.bound_addr);
            TelemetryOptions::builder()
                .metrics(started.meter as Arc<dyn temporalio_common::telemetry::metrics::CoreMeter>)
                .build()
        } else {
            TelemetryOptions::builder().build()
        };
        // The heartbeat interval keeps its default: worker heartbeats are what the server pushes
        // cancellations by (with none, a cancel waits for an activity's own heartbeat).
        let options = RuntimeOptions::builder()
            .telemetry_options(telemetry)
            .disable_environment_info(true)
            .build()
            .map_err(failed)?;
        let inner = temporalio_sdk::Runtime::from_current_tokio(options)
            .map_err(|error| failed(chain(&error)))?;
        Ok(Self {
            inner: Arc::new(inner),
            metrics: address,
        })
    }

    /// The SDK's metrics in Prometheus' text format; empty if the runtime was made without.
    pub fn metrics_text(&self) -> Boxed<'_, Result<String, TemporalError>> {
        Box::pin(async move {
            let Some(address) = self.metrics else {
                return Ok(String::new());
            };
            let failed = |error: std::io::Error| {
                TemporalError::passing("read the SDK's metrics", error.to_string())
            };
            let mut stream = TcpStream::connect(address).await.map_err(failed)?;
            stream
                .write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
                .await
                .map_err(failed)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map_err(failed)?;
            Ok(answer
                .split_once("\r\n\r\n")
                .map(|(_, body)| body.to_owned())
                .unwrap_or_default())
        })
    }
}

/// Sizes of one worker; the defaults are those of protocol §9.
#[derive(Debug, Clone)]
pub struct HostOptions {
    pub queue: String,
    pub workflow_slots: usize,
    pub cached_workflows: usize,
    pub workflow_pollers: usize,
    pub local_slots: usize,
    pub activity_slots: usize,
    pub activity_pollers: usize,
    /// Activities started in the answer to a workflow task, per task.
    pub eager: usize,
    /// How long a task waits for the worker that has the workflow cached: the pause after a crash.
    pub sticky: Duration,
    /// From shutdown until activities still running are cancelled.
    pub graceful: Duration,
}

impl HostOptions {
    pub fn new(queue: impl Into<String>) -> Self {
        Self {
            queue: queue.into(),
            workflow_slots: 500,
            cached_workflows: 2_000,
            workflow_pollers: 8,
            local_slots: 2_000,
            activity_slots: 200,
            activity_pollers: 5,
            eager: 20,
            sticky: Duration::from_secs(1),
            graceful: Duration::from_secs(10),
        }
    }

    fn worker_options(&self) -> WorkerOptions {
        let slots = FixedSizeSlotSupplier::new;
        let tuner = TunerHolder::builder()
            .workflow_task_slot_supplier(slots(self.workflow_slots))
            .activity_task_slot_supplier(slots(self.activity_slots))
            .local_activity_task_slot_supplier(slots(self.local_slots))
            .nexus_task_slot_supplier(slots(1))
            .build();
        WorkerOptions::new(self.queue.clone())
            .tuner(tuner)
            .max_cached_workflows(self.cached_workflows)
            .workflow_task_poller_behavior(PollerBehavior::SimpleMaximum(self.workflow_pollers))
            .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(self.activity_pollers))
            .max_eager_activity_reservations_per_workflow_task(self.eager)
            .sticky_queue_schedule_to_start_timeout(self.sticky)
            .graceful_shutdown_period(self.graceful)
            .build()
    }
}

/// A running worker.
pub struct Host {
    shutdown: Box<dyn Fn() + Send + Sync>,
    ended: watch::Receiver<Option<Result<(), TemporalError>>>,
}

impl Host {
    /// Stops polling; activities in flight go on until the graceful period is over. Returns at
    /// once; [`ended`](Self::ended) says when it is done.
    pub fn shutdown(&self) {
        (self.shutdown)();
    }

    /// Ends with the worker: `Ok` after a shutdown, an error when it could not go on.
    pub fn ended(&self) -> Boxed<'static, Result<(), TemporalError>> {
        let mut ended = self.ended.clone();
        Box::pin(async move {
            let result = match ended.wait_for(Option::is_some).await {
                Ok(result) => result.clone(),
                Err(_) => None,
            };
            result
                .unwrap_or_else(|| Err(TemporalError::passing("run worker", "its thread panicked")))
        })
    }
}

/// Starts a worker on a thread of its own (the SDK's future is not `Send`; all workflows of a
/// worker run on that thread, activities on the caller's tokio runtime).
///
/// # Errors
/// When the options or the registration are wrong. Whether the server has the namespace shows in
/// [`Host::ended`].
pub fn run_worker(
    runtime: Runtime,
    client: Client,
    options: HostOptions,
    register: Register,
) -> Boxed<'static, Result<Host, TemporalError>> {
    Box::pin(async move {
        let handle = tokio::runtime::Handle::current();
        let (started, starts) = oneshot::channel();
        let (end, ended) = watch::channel(None);
        std::thread::Builder::new()
            .name(format!("temporal-{}", options.queue))
            .spawn(move || {
                let run = async move {
                    let mut worker = match worker(&runtime, client, &options, register) {
                        Ok(worker) => worker,
                        Err(error) => {
                            let _ = started.send(Err(error));
                            return;
                        }
                    };
                    let shutdown: Box<dyn Fn() + Send + Sync> = Box::new(worker.shutdown_handle());
                    if started.send(Ok(shutdown)).is_err() {
                        return; // Nobody waits for it any more.
                    }
                    let result = worker
                        .run()
                        .await
                        .map_err(|error| TemporalError::passing("run worker", chain(&error)));
                    let _ = end.send(Some(result));
                };
                handle.block_on(run);
            })
            .map_err(|error| TemporalError::permanent("start worker thread", error))?;
        let shutdown = starts
            .await
            .map_err(|_| TemporalError::permanent("start worker", "its thread panicked"))??;
        Ok(Host { shutdown, ended })
    })
}

fn worker(
    runtime: &Runtime,
    client: Client,
    options: &HostOptions,
    register: Register,
) -> Result<Worker, TemporalError> {
    let mut sdk = options.worker_options();
    register(&mut sdk).map_err(|cause| TemporalError::permanent("register", cause))?;
    Worker::new(&runtime.inner, client.inner, sdk)
        .map_err(|error| TemporalError::permanent("start worker", chain(&error)))
}
