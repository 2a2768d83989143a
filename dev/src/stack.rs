//! The stack: its children in order, up and down.

use crate::{
    args::{Part, Up},
    child::Child,
    endpoints::{Endpoints, Note, Pids},
    folder::{Folder, usual_root},
    plan::{GRACE, Plan, WORKER_GRACE},
    ports::Loopback,
    register,
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use temporal::{
    Client, Server,
    embedded::{DevServer, keep_histories, resolve},
};

/// Days that Temporal keeps closed histories.
const RETENTION: u32 = 30;
const READY_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a real cluster has to say which version it is.
const GREETING: Duration = Duration::from_secs(3);

/// Hears what the stack has to tell, line by line.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// A running stack.
pub struct Stack {
    folder: Folder,
    /// In starting order.
    children: Vec<Child>,
    endpoints: Endpoints,
    ready_file: Option<PathBuf>,
    _note: Option<Note>,
    _ports: Loopback,
}

impl Stack {
    /// Starts what is wanted and returns when all of it is ready.
    ///
    /// # Errors
    /// A part did not get ready; what was started is stopped again.
    pub async fn up(up: Up, say: Say) -> anyhow::Result<Self> {
        let mut stack = Self::start(&up, Arc::clone(&say)).await?;
        let ready = tokio::time::timeout(READY_WITHIN, stack.ready(&up));
        let result = match ready.await {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!(
                "not everything was ready within {} s; see {}",
                READY_WITHIN.as_secs(),
                stack.folder.root().join("log").display()
            )),
        };
        match result {
            Ok(()) => {
                stack.greet_real_clusters(&up, &say).await;
                Ok(stack)
            }
            Err(error) => {
                stack.down(&say, std::future::pending()).await;
                Err(error)
            }
        }
    }

    async fn start(up: &Up, say: Say) -> anyhow::Result<Self> {
        let root = up.data_dir.clone().unwrap_or_else(usual_root);
        let folder = {
            let (root, say) = (root.clone(), Arc::clone(&say));
            tokio::task::spawn_blocking(move || Folder::take(&root, &|text| say(text))).await??
        };
        if let Some(file) = &up.ready_file {
            // One of an earlier start would say that all is ready.
            let _ = std::fs::remove_file(file);
        }
        let plan = Plan::make(up, &folder)?;
        let mut children = Vec::new();
        if let Some(port) = plan.temporal {
            let told = Arc::clone(&say);
            let cli = tokio::task::spawn_blocking(move || resolve(&|text| told(text))).await??;
            let server = DevServer {
                binary: cli.binary,
                file: Some(folder.temporal_file()),
                port,
                ui_port: plan.temporal_ui,
                log: None,
            };
            children.push(plan.tethered(&folder, "temporal", &server));
        }
        if up.starts(Part::Clusters) {
            children.push(plan.child(&folder, "clusters", plan.clusters_arguments(&folder), GRACE));
        }
        if up.starts(Part::Api) {
            children.push(plan.child(&folder, "api", plan.api_arguments(), GRACE));
        }
        if up.starts(Part::Worker) {
            children.push(plan.child(&folder, "worker", plan.worker_arguments(), WORKER_GRACE));
        }
        let children = children
            .into_iter()
            .map(|spec| {
                let say = Arc::clone(&say);
                Child::start(spec, move |text| say(&text))
            })
            .collect();
        let note = Note::leave(folder.root());
        Ok(Self {
            endpoints: plan.endpoints,
            ready_file: up.ready_file.clone(),
            folder,
            children,
            _note: note,
            _ports: plan.ports,
        })
    }

    /// Waits for each part, registers the clusters, then says where everything is.
    async fn ready(&mut self, up: &Up) -> anyhow::Result<()> {
        for name in ["clusters", "api"] {
            self.of(name).await?;
        }
        if self.child("temporal").is_some() {
            let address = self.endpoints.temporal.clone().unwrap_or_default();
            tokio::select! {
                result = temporal_answers(&address) => result?,
                error = self.dies("temporal") => return Err(error),
            }
        }
        if up.starts(Part::Clusters) {
            let clusters = &self.endpoints.clusters;
            match &self.endpoints.grpc {
                Some(grpc) => tokio::select! {
                    result = register::register(grpc, clusters) => result?,
                    error = self.dies("api") => return Err(error),
                },
                None => {
                    let (store, key) = (&self.endpoints.store, &self.endpoints.key_file);
                    register::register_in_store(store, key, clusters).await?;
                }
            }
        }
        self.of("worker").await?;
        self.write()
    }

    /// Says which version the real clusters have, or why one does not answer: behind the fault
    /// switch Muster itself only sees lost connections.
    async fn greet_real_clusters(&self, up: &Up, say: &Say) {
        if !up.starts(Part::Clusters) {
            return;
        }
        let real = self.folder.kept().map(|kept| kept.real).unwrap_or_default();
        for (name, kubeconfig) in real {
            let version = sandbox::host::version(&kubeconfig);
            let answer = tokio::time::timeout(GREETING, version).await;
            match answer.unwrap_or_else(|_| Err("no answer".to_owned())) {
                Ok(version) => say(&format!("real+{name} answers: Kubernetes {version}")),
                Err(cause) => say(&format!(
                    "real+{name} does not answer yet: {cause}; it is used as soon as it does"
                )),
            }
        }
    }

    async fn of(&self, name: &str) -> anyhow::Result<()> {
        match self.child(name) {
            Some(child) => child.ready().await.map_err(anyhow::Error::msg),
            None => Ok(()),
        }
    }

    /// Ends when a child died several times before it was of use.
    async fn dies(&self, name: &str) -> anyhow::Error {
        const HOPELESS: u32 = 3;
        let Some(child) = self.child(name) else {
            return std::future::pending().await;
        };
        let mut doing = child.doing();
        let _ = doing.wait_for(|doing| doing.deaths >= HOPELESS).await;
        anyhow::Error::msg(child.obituary())
    }

    fn child(&self, name: &str) -> Option<&Child> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Where everything is.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Writes the endpoints with the pids of now.
    fn write(&mut self) -> anyhow::Result<()> {
        let pid = |name: &str| self.child(name).and_then(Child::pid);
        self.endpoints.pids = Pids {
            dev: std::process::id(),
            temporal: pid("temporal"),
            api: pid("api"),
            worker: pid("worker"),
            clusters: pid("clusters"),
        };
        self.endpoints.write(&self.folder.endpoints_file())?;
        if let Some(file) = &self.ready_file {
            self.endpoints.write(file)?;
        }
        Ok(())
    }

    /// Stays up until `stop`, keeping the pids in the ready file true.
    pub async fn stay(&mut self, say: &Say, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        // Kept over all rounds: a fresh one has seen nothing, so that everything is news to it.
        let mut doings: Vec<_> = self.children.iter().map(Child::doing).collect();
        loop {
            let changes = doings.iter_mut().map(|doing| Box::pin(doing.changed()));
            let changed = async {
                if changes.len() == 0 {
                    std::future::pending::<()>().await;
                }
                let _ = futures_util::future::select_all(changes).await;
            };
            tokio::select! {
                () = &mut stop => return,
                () = changed => {}
            }
            if let Err(error) = self.write() {
                say(&format!("{error:#}"));
            }
        }
    }

    /// Stops everything: workers drain first, Temporal goes last. `hurry` ends the waiting.
    pub async fn down(mut self, say: &Say, hurry: impl Future<Output = ()>) {
        self.folder.leave();
        let mut children = std::mem::take(&mut self.children);
        // The last started first; temporal, the first one, when all others have gone.
        children.reverse();
        let began = Instant::now();
        let stopping = async {
            while !children.is_empty() {
                let last = children.len() == 1;
                for child in &children {
                    if last || child.name != "temporal" {
                        child.end();
                    }
                }
                if let Some(mut child) = take_ending(&mut children) {
                    child.ended().await;
                }
            }
        };
        let hurried = tokio::select! {
            () = stopping => false,
            () = hurry => true,
        };
        if hurried {
            say("not waiting any longer");
        }
        tracing::debug!(seconds = began.elapsed().as_secs_f32(), "down");
    }
}

/// The next child to wait for: temporal only when it is alone.
fn take_ending(children: &mut Vec<Child>) -> Option<Child> {
    let at = children
        .iter()
        .position(|child| child.name != "temporal")
        .unwrap_or(0);
    (at < children.len()).then(|| children.remove(at))
}

async fn temporal_answers(address: &str) -> anyhow::Result<()> {
    loop {
        let server = Server {
            address: Some(address.to_owned()),
            namespace: Some("default".to_owned()),
        };
        let tried = match Client::connect_only(server).await {
            Ok(client) => keep_histories(&client, RETENTION).await,
            Err(error) => Err(error),
        };
        match tried {
            Ok(()) => return Ok(()),
            Err(error) if error.transient => tokio::time::sleep(LOOK_AGAIN).await,
            Err(error) => return Err(error.into()),
        }
    }
}
