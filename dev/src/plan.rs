//! What is started how: ports, clusters, command lines, decided before anything is started.

use crate::{
    args::{Part, Up},
    child::Spec,
    endpoints::{Cluster, Endpoints, Pids},
    folder::{Folder, Kept},
    ports::{Loopback, Machine, Port, Ports},
};
use anyhow::Context;
use std::{
    env,
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use temporal::embedded::DevServer;

const DEFAULT_CLUSTERS: usize = 3;
/// The worker's own grace period and a little more.
pub const WORKER_GRACE: Duration = Duration::from_secs(13);
pub const GRACE: Duration = Duration::from_secs(6);

/// What is started how.
pub struct Plan {
    binary: PathBuf,
    grpc: Option<SocketAddr>,
    http: Option<SocketAddr>,
    /// Our own server's port; `None` when it is not ours to start.
    pub temporal: Option<u16>,
    pub temporal_ui: Option<u16>,
    clusters: usize,
    real: Vec<(String, PathBuf)>,
    allow_exec: Vec<String>,
    pub endpoints: Endpoints,
    pub ports: Loopback,
}

impl Plan {
    pub fn make(up: &Up, folder: &Folder) -> anyhow::Result<Self> {
        let mut kept = folder.kept()?;
        let machine = Loopback::default();
        let key_file = folder.key_file(up.key_file.clone())?;
        let real = real_clusters(up, &kept)?;
        let clusters = up.clusters.or(kept.clusters).unwrap_or(DEFAULT_CLUSTERS);
        let (mut grpc, mut http) = (None, None);
        if up.starts(Part::Api) {
            grpc = Some(address(up.grpc, Port::Grpc, &mut kept.ports, &machine)?);
            http = Some(address(up.http, Port::Http, &mut kept.ports, &machine)?);
        }
        let (mut temporal, mut temporal_ui, mut reached) = (None, None, None);
        if up.temporal != "auto" {
            reached = Some(up.temporal.clone());
        } else if up.starts(Part::Temporal) {
            let port = kept.ports.choose(Port::Temporal, &machine)?;
            temporal = Some(port);
            temporal_ui = Some(kept.ports.choose(Port::TemporalUi, &machine)?);
            reached = Some(format!("127.0.0.1:{port}"));
        }
        kept.clusters = Some(clusters);
        kept.real.clone_from(&real);
        folder.keep(&kept)?;
        let names = (1..=clusters)
            .map(|number| ("sandbox", format!("c{number}")))
            .chain(real.iter().map(|(name, _)| ("real", name.clone())));
        let cluster = |(provider, name): (&str, String)| Cluster {
            id: format!("{provider}+{name}"),
            kubeconfig: folder
                .root()
                .join("kubeconfig")
                .join(format!("{name}.yaml")),
            name,
        };
        let endpoints = Endpoints {
            grpc: grpc.map(|address| format!("http://{address}")),
            http: http.map(|address| format!("http://{address}")),
            temporal: reached,
            temporal_ui: temporal_ui.map(|port| format!("http://127.0.0.1:{port}")),
            store: folder.store(),
            key_file,
            data_dir: folder.root().to_owned(),
            clusters: if up.starts(Part::Clusters) {
                names.map(cluster).collect()
            } else {
                Vec::new()
            },
            pids: Pids::default(),
        };
        Ok(Self {
            binary: env::current_exe().context("find this program")?,
            grpc,
            http,
            temporal,
            temporal_ui,
            clusters,
            real,
            allow_exec: up.allow_exec.clone(),
            endpoints,
            ports: machine,
        })
    }

    /// A process of this binary.
    pub fn child(
        &self,
        folder: &Folder,
        name: &'static str,
        arguments: Vec<OsString>,
        grace: Duration,
    ) -> Spec {
        let mut arguments = arguments;
        arguments.insert(0, name.into());
        // The environment may speak of another Temporal than the one we start.
        let (mut environment, mut without) = (Vec::new(), Vec::new());
        if self.temporal.is_some() {
            without = env::vars_os()
                .map(|(name, _)| name)
                .filter(|name| name.to_string_lossy().starts_with("TEMPORAL_"))
                .collect();
            environment.push(("TEMPORAL_CONFIG_FILE".into(), "/dev/null".into()));
        }
        Spec {
            name,
            program: self.binary.clone(),
            arguments,
            environment,
            without,
            log: folder.log_file(name),
            pid_file: folder.pid_file(name),
            grace,
        }
    }

    /// A program of somebody else, which does not know to die with us.
    pub fn tethered(&self, folder: &Folder, name: &'static str, server: &DevServer) -> Spec {
        let mut arguments: Vec<OsString> = vec![
            "--parent".into(),
            std::process::id().to_string().into(),
            "--".into(),
            server.binary.clone().into(),
        ];
        arguments.extend(server.arguments());
        let mut spec = self.child(folder, name, arguments, GRACE);
        spec.arguments[0] = "tether".into();
        spec.environment.extend(
            server
                .environment()
                .map(|(name, value)| (name.into(), value.into())),
        );
        spec
    }

    pub fn api_arguments(&self) -> Vec<OsString> {
        let mut arguments = self.common_arguments();
        for (flag, address) in [("--grpc", self.grpc), ("--http", self.http)] {
            if let Some(address) = address {
                arguments.extend([flag.into(), address.to_string().into()]);
            }
        }
        arguments
    }

    pub fn worker_arguments(&self) -> Vec<OsString> {
        let mut arguments = self.common_arguments();
        for command in &self.allow_exec {
            arguments.extend(["--allow-exec".into(), command.into()]);
        }
        arguments
    }

    fn common_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "--store".into(),
            self.endpoints.store.clone().into(),
            "--key-file".into(),
            self.endpoints.key_file.clone().into(),
        ];
        if let Some(address) = &self.endpoints.temporal {
            arguments.extend(["--temporal".into(), address.into()]);
        }
        arguments
    }

    pub fn clusters_arguments(&self, folder: &Folder) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "--data-dir".into(),
            folder.root().into(),
            "--clusters".into(),
            self.clusters.to_string().into(),
        ];
        for (name, kubeconfig) in &self.real {
            let mut value = OsString::from(format!("{name}="));
            value.push(kubeconfig);
            arguments.extend(["--cluster".into(), value]);
        }
        arguments
    }
}

/// Those of the flags, else those of the last start; with absolute paths.
fn real_clusters(up: &Up, kept: &Kept) -> anyhow::Result<Vec<(String, PathBuf)>> {
    if up.real.is_empty() {
        return Ok(kept.real.clone());
    }
    let mut real: Vec<(String, PathBuf)> = Vec::new();
    for (name, file) in &up.real {
        anyhow::ensure!(
            real.iter().all(|(known, _)| known != name),
            "--cluster {name} is given twice"
        );
        let path = std::path::absolute(file)?;
        anyhow::ensure!(
            readable(&path),
            "--cluster {name}: no file {}",
            path.display()
        );
        real.push((name.clone(), path));
    }
    Ok(real)
}

fn readable(path: &Path) -> bool {
    std::fs::File::open(path).is_ok_and(|file| file.metadata().is_ok_and(|meta| meta.is_file()))
}

/// The flag's address (port 0 takes a free one), else a port that is kept.
fn address(
    flag: Option<SocketAddr>,
    port: Port,
    kept: &mut Ports,
    machine: &Loopback,
) -> anyhow::Result<SocketAddr> {
    match flag {
        Some(mut address) => {
            if address.port() == 0 {
                address.set_port(machine.any()?);
            }
            Ok(address)
        }
        None => {
            let port = kept.choose(port, machine)?;
            Ok(SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port)))
        }
    }
}
