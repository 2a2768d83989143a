//! Real Kubernetes control planes: etcd, kube-apiserver, kube-controller-manager, kube-scheduler
//! and kwok as child processes on the loopback, each with its own authority and administrator.
//! None of them dials out, and all of them end with this process.

mod assets;
mod identity;
mod node;
mod parts;
mod process;
mod shared;

pub use assets::{Assets, version};
pub use identity::By;
pub use parts::Part;
pub use shared::{Lease, lease};

use crate::clusters::client;
use parts::Ports;
use process::{Folder, Process};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// From start to ready, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Below the ports that connections take by themselves, so that the port of a server that is down
/// is still free when it comes back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Another process may take a port between the look and the start.
const TRIES: u32 = 3;

/// Which processes are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// etcd and the API server: objects stay as they are written. Two seconds.
    Server,
    /// All of it: workloads roll out, namespaces end, what has no owner is collected.
    Whole,
}

impl Profile {
    fn parts(self) -> &'static [Part] {
        match self {
            Self::Server => &Part::ALL[..2],
            Self::Whole => &Part::ALL,
        }
    }
}

/// One control plane. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct ControlPlane {
    pub name: String,
    assets: Assets,
    profile: Profile,
    ports: Ports,
    identity: identity::Identity,
    running: Mutex<BTreeMap<Part, Process>>,
    // Last: the processes end first.
    folder: Folder,
}

impl ControlPlane {
    /// Starts one and waits until it is ready; `None` when the binaries are absent, which is said.
    ///
    /// # Panics
    /// It does not get ready, with the end of the log of the process that is to blame.
    pub async fn start(name: &str, profile: Profile) -> Option<Self> {
        Some(Self::start_of(Assets::find()?, name, profile).await)
    }

    /// Two at once, named `c1` and `c2`.
    pub async fn start_pair(profile: Profile) -> Option<[Self; 2]> {
        let assets = Assets::find()?;
        let start = |name| Self::start_of(assets.clone(), name, profile);
        Some(tokio::join!(start("c1"), start("c2")).into())
    }

    async fn start_of(assets: Assets, name: &str, profile: Profile) -> Self {
        let mut tries = 0;
        loop {
            tries += 1;
            let plane = Self::prepare(name, profile, assets.clone()).unwrap();
            match plane.bring_up().await {
                Ok(()) => return plane,
                Err(why) => assert!(tries < TRIES, "control plane {name}: {why}"),
            }
        }
    }

    fn prepare(name: &str, profile: Profile, assets: Assets) -> std::io::Result<Self> {
        let folder = Folder::create()?;
        let ports = free_ports();
        let identity = identity::Identity::create(name, folder.path())?;
        parts::prepare(folder.path(), &identity.kubeconfig(ports.api, By::Token))?;
        Ok(Self {
            name: name.to_owned(),
            assets,
            profile,
            ports,
            identity,
            running: Mutex::default(),
            folder,
        })
    }

    async fn bring_up(&self) -> Result<(), String> {
        let (servers, others) = self.profile.parts().split_at(2);
        for part in servers {
            self.begin(*part);
        }
        self.ready_within(PATIENCE).await?;
        if others.is_empty() {
            return Ok(());
        }
        for part in others {
            self.begin(*part);
        }
        let client = client(&self.kubeconfig()).await;
        let node = tokio::time::timeout(PATIENCE, node::join(&client)).await;
        match node {
            Ok(joined) => joined,
            Err(_) => Err(self.last_words(Part::Kwok, "its node is not ready")),
        }
    }

    /// The administrator's kubeconfig, by token.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_by(By::Token)
    }

    pub fn kubeconfig_by(&self, by: By) -> String {
        self.identity.kubeconfig(self.ports.api, by)
    }

    /// The administrator's kubeconfig as a file that lives as long as this value.
    pub fn kubeconfig_file(&self) -> PathBuf {
        self.folder.path().join("admin.kubeconfig")
    }

    /// The administrator's client.
    pub async fn client(&self) -> kube::Client {
        client(&self.kubeconfig()).await
    }

    /// The pid of a process, while it was not stopped.
    pub fn pid(&self, part: Part) -> Option<u32> {
        self.running().get(&part).map(Process::pid)
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&self, part: Part) {
        // Dropped outside the lock.
        let process = self.running().remove(&part);
        drop(process);
    }

    /// SIGTERM, and waits for its end, which for an API server takes some seconds.
    pub async fn stop(&self, part: Part) {
        let process = self.running().remove(&part);
        let Some(mut process) = process else { return };
        process.terminate();
        while !process.ended() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Starts it on the folder and ports it had; nothing if it runs.
    pub fn begin(&self, part: Part) {
        let spec = parts::spec(part, &self.assets, self.folder.path(), self.ports);
        let mut running = self.running();
        running
            .entry(part)
            .or_insert_with(|| Process::start(&spec).unwrap());
    }

    /// Cuts off the history up to now, as happens by itself every five minutes: what asks for an
    /// older version is told that it is gone.
    pub async fn forget(&self) {
        let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
            kube::Api::all(self.client().await);
        let list = namespaces.list(&Default::default()).await.unwrap();
        let revision = list.metadata.resource_version.unwrap();
        let address = (Ipv4Addr::LOCALHOST, self.ports.etcd).into();
        let body = format!("{{\"revision\":\"{revision}\",\"physical\":true}}");
        let answer = crate::ask(address, "POST", "/v3/kv/compaction", &body).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Until the API server says that it is ready.
    ///
    /// # Panics
    /// It does not, with the end of its log.
    pub async fn ready(&self) {
        let ready = self.ready_within(PATIENCE).await;
        ready.unwrap_or_else(|why| panic!("control plane {}: {why}", self.name));
    }

    async fn ready_within(&self, patience: Duration) -> Result<(), String> {
        let client = client(&self.kubeconfig()).await;
        let ends = Instant::now() + patience;
        loop {
            let asked = http::Request::get("/readyz").body(vec![]);
            let asked = asked.map_err(|error| error.to_string())?;
            let ready = client.request_text(asked).await;
            // Served by it from the first moment on, and written by it a moment later.
            if ready.is_ok() && node::has_default_namespace(&client).await {
                return Ok(());
            }
            for part in [Part::Etcd, Part::ApiServer] {
                let ended = self.running().get_mut(&part).is_none_or(Process::ended);
                if ended {
                    return Err(self.last_words(part, "it ended"));
                }
            }
            if Instant::now() > ends {
                return Err(self.last_words(Part::ApiServer, "it is not ready"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn last_words(&self, part: Part, what: &str) -> String {
        let log = parts::spec(part, &self.assets, self.folder.path(), self.ports).log;
        format!("{}: {what}: {}", part.name(), process::last_words(&log))
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Part, Process>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn free_ports() -> Ports {
    // Somewhere else for each process and each call: many may look at once.
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let spread = start.map_or(0, |since| since.subsec_nanos()) ^ std::process::id();
    let length = u32::from(PORTS.end - PORTS.start);
    let offset = u16::try_from(spread % length).unwrap_or(0);
    let mut candidates = (PORTS.start + offset..PORTS.end)
        .chain(PORTS)
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let mut next = || candidates.next().unwrap();
    Ports {
        api: next(),
        etcd: next(),
        peer: next(),
    }
}
