//! Starting a host: directory, keys, ports, kubeconfigs, in an order that keeps promises.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::Rng;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{BackendSpec, ClusterSpec, HostConfig};
use super::exchange::Endpoint;
use super::files::{self, DataDir, Promise, Promises};
use super::finalizer::Hung;
use super::kinds::Kinds;
use super::listener::{self, PortWish};
use super::log::RequestLog;
use super::proxy::Proxy;
use super::served::Cluster;
use super::switch::Switch;
use super::tls::Tls;
use super::{Backend, ClusterAddress, ControlAddress, Error, Host, Served, kubeconfig};

impl Host {
    /// Starts serving, and returns when every cluster accepts connections.
    ///
    /// # Errors
    /// A name that cannot be used, a data directory in use, a promised port that is taken, an unusable kubeconfig.
    pub async fn start(config: HostConfig) -> Result<Self, Error> {
        check_names(&config.clusters)?;
        raise_file_limit();
        let dir = match &config.dir {
            Some(path) => Some(DataDir::hold(path, config.handover).await?),
            None => None,
        };
        let tls = Tls::prepare(dir.as_ref())?;
        let mut promises = match &dir {
            Some(dir) => dir.promises()?,
            None => Promises::default(),
        };
        let kept_in = dir.as_ref().map(DataDir::promises_file);
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();

        let mut clusters = Vec::new();
        let mut listeners = Vec::new();
        for spec in config.clusters {
            let wish = PortWish {
                promised: promises
                    .clusters
                    .get(&spec.name)
                    .map(|promise| promise.port),
                wanted: spec.port,
                kept_in: kept_in.clone(),
                handover: config.handover,
            };
            let listener = listener::listen(&spec.name, &wish).await?;
            let promise = promise(&listener, promises.clusters.get(&spec.name), &spec.name)?;
            promises.clusters.insert(spec.name.clone(), promise.clone());
            let address = address(&spec.name, &promise, &tls.ca_pem, dir.as_ref());
            let hung = dir.as_ref().map(|dir| dir.hung(&spec.name));
            let endpoint = Arc::new(Endpoint {
                backend: backend(&spec, dir.as_ref())?,
                bearer: format!("Bearer {}", promise.token),
                distance: spec.distance,
                switch: Switch::new(),
                log: RequestLog::new(config.log_capacity),
                kinds: Kinds::default(),
                hung: Hung::open(hung)?,
                tasks: tasks.clone(),
                stop: stop.child_token(),
                name: spec.name,
            });
            listeners.push((Arc::clone(&endpoint), listener));
            clusters.push(Cluster { endpoint, address });
        }

        let control = if config.control {
            let owner = "the control API";
            let wish = PortWish {
                promised: None,
                // Found through its file only, hence free to move.
                wanted: promises.control.as_ref().map(|promise| promise.port),
                kept_in,
                handover: config.handover,
            };
            let listener = listener::listen(owner, &wish).await?;
            let promise = promise(&listener, promises.control.as_ref(), owner)?;
            promises.control = Some(promise.clone());
            Some((listener, promise))
        } else {
            None
        };

        // Promised before anything is served: a client never learns of a port that a restart forgets.
        if let Some(dir) = &dir {
            dir.promise(&promises)?;
            for cluster in &clusters {
                let address = &cluster.address;
                files::write(&dir.kubeconfig(&address.name), &address.kubeconfig)?;
            }
        }
        let served = Arc::new(Served::new(clusters));
        for (endpoint, listener) in listeners {
            if !endpoint.hung.is_empty() {
                tasks.spawn(release_leftovers(Arc::clone(&endpoint)));
            }
            tasks.spawn(listener::serve(endpoint, listener, Arc::clone(&tls.server)));
        }
        let control = match control {
            Some((listener, promise)) => {
                let address = ControlAddress {
                    url: format!("http://127.0.0.1:{}", promise.port),
                    token: promise.token,
                };
                tasks.spawn(crate::control::serve(
                    Arc::clone(&served),
                    listener,
                    address.token.clone(),
                    stop.child_token(),
                ));
                if let Some(dir) = &dir {
                    let text = serde_json::to_string(&address).unwrap_or_default();
                    files::write(&dir.control_file(), &text)?;
                }
                Some(address)
            }
            None => None,
        };
        Ok(Self {
            served,
            control,
            tasks,
            stop: stop.drop_guard(),
            dir,
        })
    }
}

fn check_names(specs: &[ClusterSpec]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for spec in specs {
        let name = spec.name.as_str();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let fits = !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
        if !fits || !seen.insert(name) {
            return Err(Error::Name(name.to_owned()));
        }
    }
    Ok(())
}

fn backend(spec: &ClusterSpec, dir: Option<&DataDir>) -> Result<Arc<dyn Backend>, Error> {
    Ok(match &spec.backend {
        BackendSpec::Simulated(config) => {
            let folder = dir.map(|dir| dir.cluster(&spec.name));
            let opened = crate::kube::Cluster::open(&spec.name, folder.as_deref(), config.clone());
            Arc::new(opened.map_err(|source| Error::Cluster {
                name: spec.name.clone(),
                source,
            })?)
        }
        BackendSpec::Proxy { kubeconfig } => Arc::new(Proxy::open(kubeconfig)?),
        BackendSpec::Other(backend) => Arc::clone(backend),
    })
}

fn promise(
    listener: &TcpListener,
    before: Option<&Promise>,
    owner: &str,
) -> Result<Promise, Error> {
    let address = listener.local_addr().map_err(|source| Error::Listen {
        owner: owner.to_owned(),
        source,
    })?;
    let token = match before {
        Some(promise) => promise.token.clone(),
        // Never mistaken for a number by a YAML parser.
        None => format!("sandbox-{:032x}", rand::rng().random::<u128>()),
    };
    Ok(Promise {
        port: address.port(),
        token,
    })
}

fn address(name: &str, promise: &Promise, ca: &str, dir: Option<&DataDir>) -> ClusterAddress {
    let server = format!("https://127.0.0.1:{}", promise.port);
    ClusterAddress {
        name: name.to_owned(),
        kubeconfig: kubeconfig::render(name, &server, ca, &promise.token),
        kubeconfig_file: dir.map(|dir| dir.kubeconfig(name)),
        server,
        token: promise.token.clone(),
        ca: ca.to_owned(),
    }
}

/// Hundreds of clusters with some connections each do not fit into the usual 1,024 open files.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// A restart is a heal: the faults of the last process are gone, so its finalizers go too.
async fn release_leftovers(endpoint: Arc<Endpoint>) {
    let release = endpoint.hung.release(&endpoint.name, &*endpoint.backend);
    tokio::select! {
        released = release => if let Err(error) = released {
            tracing::warn!(%error, "finalizers of an earlier run are left");
        },
        () = endpoint.stop.cancelled() => {}
    }
}
