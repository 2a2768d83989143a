//! Temporal's dev server, clusters, store, api and worker, in one process on free ports.

use crate::{
    client::Dig,
    control_plane::{self, ControlPlane, Lease},
    documents, logs, until,
};
use sandbox::host::{ClusterSpec, Fault, FaultKind, Host, HostConfig, LogEntry, Verb};
use std::{path::PathBuf, sync::OnceLock, time::Duration};
use store::StoreConfig;
use tempfile::TempDir;
use temporal::{Server, embedded};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// A process's part that can be stopped and started again.
pub struct Part {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Part {
    /// Asks it to end and waits for it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Which API servers a test runs on, always behind the fault switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Sandbox clusters of this process.
    Sandbox,
    /// Control planes of real binaries; a test is skipped where there are none.
    RealServers,
}

const LOG_LINES_SHOWN: usize = 60;

/// A log whose last lines are printed when the test that dropped it has failed.
struct ShownOnFailure(PathBuf);

impl Drop for ShownOnFailure {
    #[expect(clippy::print_stderr, reason = "for whoever reads the failed test")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = std::fs::read_to_string(&self.0).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
            eprintln!("the end of what Temporal logged:\n{last}");
        }
    }
}

pub struct Stack {
    pub host: Host,
    pub channel: Channel,
    /// Where the api listens.
    pub grpc: std::net::SocketAddr,
    /// The api's addresses, for `--server` and for metrics.
    pub bound: api::Bound,
    pub temporal: embedded::Running,
    /// Before the folder that it lies in.
    _temporals_log: ShownOnFailure,
    pub dir: TempDir,
    /// The store's address.
    pub store: String,
    worker: Option<Part>,
    api: Option<Part>,
    /// The real control planes behind the switch, if that is where it runs.
    lease: Option<Lease>,
    times: StoreConfig,
}

/// The Temporal CLI, found or fetched once per process.
pub fn temporal_cli() -> PathBuf {
    static CLI: OnceLock<PathBuf> = OnceLock::new();
    CLI.get_or_init(|| embedded::resolve(&|line| eprintln(line)).unwrap().binary)
        .clone()
}

#[allow(clippy::print_stderr, reason = "a download is announced")]
fn eprintln(line: &str) {
    eprintln!("{line}");
}

impl Stack {
    /// A stack with `clusters` sandbox clusters `c1` …, registered as `sandbox+c1` ….
    pub async fn start(clusters: usize) -> Self {
        Self::start_with(HostConfig::simulated(clusters)).await
    }

    /// … whose clusters are `distance` away: added to every request.
    pub async fn start_far(clusters: usize, distance: Duration) -> Self {
        let clusters = (1..=clusters)
            .map(|i| ClusterSpec {
                distance,
                ..ClusterSpec::simulated(format!("c{i}"))
            })
            .collect();
        Self::start_with(HostConfig {
            clusters,
            ..HostConfig::default()
        })
        .await
    }

    /// A stack with up to two clusters `c1` and `c2`, sandbox or real, registered alike; `None`
    /// when there are no real ones, which is said.
    pub async fn at(at: At, clusters: usize) -> Option<Self> {
        Self::at_with(at, clusters, Duration::ZERO, StoreConfig::default()).await
    }

    /// … whose clusters are `distance` away: added to every request.
    pub async fn at_far(at: At, clusters: usize, distance: Duration) -> Option<Self> {
        Self::at_with(at, clusters, distance, StoreConfig::default()).await
    }

    /// … with other times than the protocol's.
    pub async fn at_timed(at: At, clusters: usize, times: StoreConfig) -> Option<Self> {
        Self::at_with(at, clusters, Duration::ZERO, times).await
    }

    async fn at_with(
        at: At,
        clusters: usize,
        distance: Duration,
        times: StoreConfig,
    ) -> Option<Self> {
        let lease = match at {
            At::Sandbox => None,
            At::RealServers => Some(control_plane::lease().await?),
        };
        let mut config = match &lease {
            None => HostConfig::simulated(clusters),
            Some(lease) => in_front_of(&lease.planes()[..clusters]),
        };
        for cluster in &mut config.clusters {
            cluster.distance = distance;
        }
        let mut stack = Self::start_timed(config, times).await;
        stack.lease = lease;
        Some(stack)
    }

    /// A stack whose clusters are these control planes, `c1` …, behind the fault switch.
    pub async fn in_front_of(planes: &[ControlPlane]) -> Self {
        Self::start_with(in_front_of(planes)).await
    }

    pub async fn start_with(config: HostConfig) -> Self {
        Self::start_timed(config, StoreConfig::default()).await
    }

    /// … with other times than the protocol's.
    pub async fn start_timed(config: HostConfig, times: StoreConfig) -> Self {
        Self::start_stored(config, times, None).await
    }

    /// … with a store elsewhere than in a SQLite file of its own.
    pub async fn start_stored(
        config: HostConfig,
        times: StoreConfig,
        store: Option<String>,
    ) -> Self {
        logs::capture();
        let dir = tempfile::tempdir().unwrap();
        let store = store.unwrap_or_else(|| store_url(&dir));
        std::fs::write(dir.path().join("muster.key"), "07".repeat(32)).unwrap();
        set_private(&dir.path().join("muster.key"));
        let server = embedded::DevServer {
            binary: temporal_cli(),
            file: Some(dir.path().join("temporal.db")),
            port: 0,
            ui_port: None,
            log: Some(dir.path().join("temporal.log")),
        };
        let temporals_log = ShownOnFailure(dir.path().join("temporal.log"));
        let temporal = server.start().await.unwrap();
        let host = Host::start(config).await.unwrap();
        let stop = CancellationToken::new();
        let mut config = api::Config::embedded(
            &store,
            Server {
                address: Some(temporal.address.clone()),
                namespace: None,
            },
            "127.0.0.1:0".parse().unwrap(),
            Some("127.0.0.1:0".parse().unwrap()),
            dir.path().join("muster.key"),
        );
        config.times = times.clone();
        config.collect_sweep = Duration::from_secs(1);
        let server = api::Server::bind(config).await.unwrap();
        let bound = server.bound().unwrap();
        let grpc = bound.grpc;
        let until = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move { server.run(until).await.unwrap() });
        let api = Some(Part { stop, task });
        let channel = Channel::from_shared(format!("http://{grpc}"))
            .unwrap()
            .connect_lazy();
        let mut stack = Self {
            host,
            channel,
            grpc,
            bound,
            temporal,
            _temporals_log: temporals_log,
            dir,
            store,
            worker: None,
            api,
            lease: None,
            times,
        };
        stack.start_worker();
        stack.register_clusters().await;
        stack
    }

    pub fn start_worker(&mut self) {
        let server = Server {
            address: Some(self.temporal.address.clone()),
            namespace: None,
        };
        let mut config =
            worker::Config::embedded(&self.store, server, self.dir.path().join("muster.key"));
        config.grace = Duration::from_secs(5);
        config.times = self.times.clone();
        let stop = CancellationToken::new();
        let until = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move { worker::run(config, until).await.unwrap() });
        self.worker = Some(Part { stop, task });
    }

    /// Graceful stop, as by SIGTERM.
    pub async fn stop_worker(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
    }

    pub async fn stop_api(&mut self) {
        if let Some(api) = self.api.take() {
            api.stop().await;
        }
    }

    async fn register_clusters(&self) {
        // The api answers before its store is open.
        until("clusters are registered", || async {
            let mut upload = documents::Upload::default();
            for (i, cluster) in self.host.clusters().into_iter().enumerate() {
                let labels = format!("sandbox: \"true\", zone: z{}", i % 3 + 1);
                upload.cluster("sandbox", &cluster.name, &labels, &cluster.kubeconfig);
            }
            match self.apply(upload).await {
                Ok(_) => Some(()),
                Err(status) if status.code() == tonic::Code::Unavailable => None,
                Err(status) => panic!("{status:?}"),
            }
        })
        .await;
    }

    /// Applies documents.
    pub async fn apply(
        &self,
        upload: documents::Upload,
    ) -> Result<proto::v1::ApplyResponse, tonic::Status> {
        documents::apply(self.channel.clone(), upload).await
    }

    /// Applies a composite app and a DIG of the same name in project `p`, approved.
    pub async fn approved(&self, name: &str, apps: &[documents::App], spec: &str) -> Dig {
        let dig = self.created(name, apps, spec).await;
        dig.approve().await.unwrap();
        dig
    }

    pub async fn created(&self, name: &str, apps: &[documents::App], spec: &str) -> Dig {
        let mut upload = documents::Upload::default();
        upload.app(name, "v1", apps);
        upload.dig(name, spec);
        self.apply(upload).await.unwrap();
        self.dig(name)
    }

    pub fn dig(&self, name: &str) -> Dig {
        Dig::new(self.channel.clone(), name)
    }

    pub fn fault(&self, cluster: &str, kind: FaultKind) {
        self.host.fault(cluster, kind).unwrap();
    }

    pub fn fault_where(&self, cluster: &str, fault: Fault) {
        self.host.fault(cluster, fault).unwrap();
    }

    pub async fn heal(&self, cluster: &str) {
        self.host.heal(cluster).await.unwrap();
    }

    /// The requests a cluster got, oldest first.
    pub fn log(&self, cluster: &str) -> Vec<LogEntry> {
        self.host.log(cluster).unwrap()
    }

    /// Names of objects that were asked for with `verb`, in order.
    pub fn asked(&self, cluster: &str, verb: Verb) -> Vec<String> {
        let log = self.log(cluster);
        log.iter()
            .filter(|e| e.verb == verb)
            .filter_map(|e| e.name.clone())
            .collect()
    }

    /// Ends everything in order.
    pub async fn end(mut self) {
        self.stop_worker().await;
        self.stop_api().await;
        self.host.shutdown().await;
        if let Some(lease) = self.lease.take() {
            lease.give_back().await;
        }
    }
}

fn in_front_of(planes: &[ControlPlane]) -> HostConfig {
    let cluster = |(i, plane): (usize, &ControlPlane)| {
        ClusterSpec::proxy(format!("c{}", i + 1), plane.kubeconfig_file())
    };
    HostConfig {
        clusters: planes.iter().enumerate().map(cluster).collect(),
        ..HostConfig::default()
    }
}

pub fn store_url(dir: &TempDir) -> String {
    format!("sqlite:{}", dir.path().join("muster.db").display())
}

fn set_private(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Where fail points are switched on: one folder for the process.
pub fn failpoints() -> PathBuf {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
        activities::failpoint::look_in(dir.clone());
        dir
    })
    .clone()
}
