//! The real `muster-worker` (and `muster-api`) as processes of their own: stopped, paused, killed,
//! on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod by_hand;
mod environment;
mod hardship;
#[path = "../../../store/tests/store/postgres.rs"]
mod postgres;
mod stops;

use proto::v1::ResourceState as R;
use sandbox::host::{Host, HostConfig, LogEntry, Verb};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
};
use temporal::embedded::{DevServer, Running, free_port};
use tests::{
    Dig,
    documents::{self, App, Upload, config_maps as maps, on},
    stack::temporal_cli,
    until,
};
use tonic::transport::Channel;

const WORKER: &str = env!("CARGO_BIN_EXE_muster-worker");
/// Seconds that a stopped worker gets.
const GRACE: &str = "5";

/// A process whose log is kept; killed when the test ends without it.
struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("TEMPORAL_") || text.starts_with("MUSTER_") {
                command.env_remove(&name);
            }
        }
        Self::plain(command)
    }

    /// With the environment as it is given.
    fn plain(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self { child, log }
    }

    fn worker(store: &str, temporal: &str, key: &Path) -> Self {
        Self::worker_as(unlimited(Path::new(WORKER)), store, temporal, key)
    }

    fn worker_as(mut command: Command, store: &str, temporal: &str, key: &Path) -> Self {
        command
            .args(["run", "--store", store, "--temporal", temporal])
            .args(["--graceful-timeout", GRACE, "--key-file"])
            .arg(key);
        Self::start(command)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Changes a limit of the running process: `fsize`, `nofile`. The hard limit stays.
    fn limit(&self, what: &str, soft: &str) {
        self.limit_as(Command::new("prlimit"), what, soft);
    }

    fn limit_as(&self, mut prlimit: Command, what: &str, soft: &str) {
        let status = prlimit
            .args(["--pid", &self.child.id().to_string()])
            .arg(format!("--{what}={soft}:"))
            .status();
        assert!(status.unwrap().success(), "{what} {soft}");
    }

    fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    async fn ended(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child);
        until("the process ends", || async {
            child.lock().unwrap().try_wait().unwrap()
        })
        .await
    }
}

/// A program for which a file that may not grow is an error of the write, as on a full disk, and
/// not a signal that ends it.
fn unlimited(program: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(program);
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn names(number: usize) -> Vec<String> {
    (0..number).map(|i| format!("m{i}")).collect()
}

/// Applies of ConfigMaps that reached a cluster.
fn applies(log: Vec<LogEntry>) -> Vec<String> {
    log.into_iter()
        .filter(|e| e.verb == Verb::Apply && e.kind.as_deref() == Some("ConfigMap"))
        .filter_map(|e| e.name)
        .collect()
}

/// `muster-api` beside our own binary; `None`, said, where it was not built.
fn api_binary() -> Option<PathBuf> {
    let api = Path::new(WORKER).with_file_name("muster-api");
    if api.exists() {
        return Some(api);
    }
    let required = ["CI", "MUSTER_REQUIRE_ALL"]
        .iter()
        .any(|name| std::env::var(name).is_ok_and(|v| !v.is_empty() && v != "0"));
    assert!(!required, "{} is required here", api.display());
    #[allow(clippy::print_stderr, reason = "says that a test was skipped")]
    {
        eprintln!("skipped: muster-api is not built (cargo build -p muster-api)");
    }
    None
}

/// Temporal, clusters, and api and worker as processes of their own, as in production.
struct ByHand {
    store: String,
    temporal: Running,
    host: Host,
    dir: tempfile::TempDir,
    api: PathBuf,
    grpc: String,
    channel: Channel,
}

impl ByHand {
    async fn new(api: PathBuf, store: Option<String>, clusters: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("muster.key");
        std::fs::write(&key, "07".repeat(32)).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&key, private).unwrap();
        let server = DevServer {
            binary: temporal_cli(),
            file: None,
            port: 0,
            ui_port: None,
            log: None,
        };
        let grpc = format!("127.0.0.1:{}", free_port().unwrap());
        let channel = Channel::from_shared(format!("http://{grpc}")).unwrap();
        Self {
            store: store
                .unwrap_or_else(|| format!("sqlite:{}", dir.path().join("muster.db").display())),
            temporal: server.start().await.unwrap(),
            host: Host::start(HostConfig::simulated(clusters)).await.unwrap(),
            dir,
            api,
            grpc,
            channel: channel.connect_lazy(),
        }
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("muster.key")
    }

    fn api(&self) -> Process {
        self.api_as(unlimited(&self.api))
    }

    fn api_as(&self, mut command: Command) -> Process {
        command
            .args(["--store", &self.store, "--temporal", &self.temporal.address])
            .args(["--grpc", &self.grpc, "--http", "127.0.0.1:0", "--key-file"])
            .arg(self.key());
        Process::start(command)
    }

    fn worker(&self) -> Process {
        Process::worker(&self.store, &self.temporal.address, &self.key())
    }

    fn worker_as(&self, command: Command) -> Process {
        Process::worker_as(command, &self.store, &self.temporal.address, &self.key())
    }

    /// Registers the clusters; waits for the api.
    async fn register(&self) {
        until("the clusters are registered", || async {
            let mut upload = Upload::default();
            for cluster in self.host.clusters() {
                let labels = "sandbox: \"true\"";
                upload.cluster("sandbox", &cluster.name, labels, &cluster.kubeconfig);
            }
            documents::apply(self.channel.clone(), upload).await.ok()
        })
        .await;
    }

    /// A DIG of so many objects, approved.
    async fn approved(&self, name: &str, objects: usize, clusters: &[&str]) -> Dig {
        let names: Vec<String> = (0..objects).map(|i| format!("{name}{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut upload = Upload::default();
        upload.app(name, "v1", &[App::new("a", maps(&names))]);
        upload.dig(name, &on(clusters));
        documents::apply(self.channel.clone(), upload)
            .await
            .unwrap();
        let dig = Dig::new(self.channel.clone(), name);
        dig.approve().await.unwrap();
        dig
    }
}
