//! One api on free ports, its clients, and documents to play with.

use api::{Bound, Config, Server, WakeError, Waker};
use futures_util::{
    FutureExt,
    future::{self, BoxFuture},
};
use model::ids::ClusterId;
use proto::v1::{
    ApplyHeader, ApplyRequest, ApplyResponse, EntryChunk, SourceChunk, applied_document::Change,
    apply_request::Part, document_service_client::DocumentServiceClient,
    lifecycle_service_client::LifecycleServiceClient,
};
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use store::WakeRow;
use tempfile::TempDir;
use temporal::Queue;
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Status, transport::Channel};
use workflows::contract::Checked;

/// Notes who was woken; refuses while `down`.
#[derive(Default)]
pub struct Notes {
    pub woken: Mutex<Vec<WakeRow>>,
    /// Clusters the collector was sent to.
    pub collected: Mutex<Vec<String>>,
    pub down: AtomicBool,
    /// No worker asks for work.
    pub alone: AtomicBool,
}

impl Waker for Notes {
    fn wake<'a>(&'a self, row: &'a WakeRow) -> BoxFuture<'a, Result<(), WakeError>> {
        async move {
            if self.down.load(Ordering::SeqCst) {
                return Err(WakeError("connect: refused".to_owned()));
            }
            self.woken.lock().unwrap().push(row.clone());
            Ok(())
        }
        .boxed()
    }

    fn collect<'a>(&'a self, cluster: &'a ClusterId) -> BoxFuture<'a, Result<(), WakeError>> {
        async move {
            self.collected.lock().unwrap().push(cluster.to_string());
            Ok(())
        }
        .boxed()
    }

    fn is_running<'a>(&'a self, _: &'a WakeRow) -> BoxFuture<'a, Result<bool, WakeError>> {
        async { Ok(true) }.boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Result<Queue, WakeError>> {
        async {
            if self.down.load(Ordering::SeqCst) {
                return Err(WakeError("connect: refused".to_owned()));
            }
            Ok(Queue {
                asked: (!self.alone.load(Ordering::SeqCst)).then_some(Duration::ZERO),
                oldest: None,
            })
        }
        .boxed()
    }

    fn check<'a>(&'a self, _: &'a ClusterId) -> BoxFuture<'a, Result<Option<Checked>, WakeError>> {
        if self.alone.load(Ordering::SeqCst) {
            return future::pending().boxed();
        }
        async { Ok(Some(Checked::default())) }.boxed()
    }
}

pub struct Stack {
    _directory: TempDir,
    pub notes: Arc<Notes>,
    pub bound: Bound,
    pub documents: DocumentServiceClient<Channel>,
    pub lifecycle: LifecycleServiceClient<Channel>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<(), api::ServeError>>>,
}

impl Stack {
    pub async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    /// `adjust` gets the folder and the configuration before the start.
    pub async fn start_with(adjust: impl FnOnce(&Path, &mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("muster.key");
        std::fs::write(&key, "11".repeat(32)).unwrap();
        let store = format!("sqlite:{}", directory.path().join("muster.db").display());
        let any = || "127.0.0.1:0".parse().unwrap();
        let mut config =
            Config::embedded(&store, temporal::Server::default(), any(), Some(any()), key);
        adjust(directory.path(), &mut config);
        let notes = Arc::new(Notes::default());
        let server = Server::bind_with(config, notes.clone()).await.unwrap();
        let bound = server.bound().unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let channel = Channel::from_shared(format!("http://{}", bound.grpc))
            .unwrap()
            .connect()
            .await
            .unwrap();
        let stack = Self {
            _directory: directory,
            notes,
            bound,
            documents: DocumentServiceClient::new(channel.clone()),
            lifecycle: LifecycleServiceClient::new(channel.clone()),
            stop: Some(stop),
            running: Some(running),
        };
        let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
        until("the store is open", async || {
            let answer = health
                .check(tonic_health::pb::HealthCheckRequest::default())
                .await
                .unwrap();
            answer.into_inner().status()
                == tonic_health::pb::health_check_response::ServingStatus::Serving
        })
        .await;
        stack
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.running.take().unwrap().await.unwrap().unwrap();
    }

    pub async fn apply(&self, files: &[File<'_>]) -> Result<Vec<(String, Change)>, Status> {
        self.upload(files, ApplyHeader::default())
            .await
            .map(|answer| {
                answer
                    .documents
                    .into_iter()
                    .map(|document| (document.name.clone(), document.change()))
                    .collect()
            })
    }

    pub async fn upload(
        &self,
        files: &[File<'_>],
        header: ApplyHeader,
    ) -> Result<ApplyResponse, Status> {
        let messages = requests(files, header);
        Ok(self
            .documents
            .clone()
            .apply(tokio_stream::iter(messages))
            .await?
            .into_inner())
    }

    /// A cluster, an app with a ConfigMap, an approved DIG `default/web`.
    pub async fn approved(&self) {
        self.apply(&[cluster("c1"), app(&config_map("m")), DIG])
            .await
            .unwrap();
        self.lifecycle
            .clone()
            .approve(proto::v1::ApproveRequest {
                name: "web".into(),
                ..Default::default()
            })
            .await
            .unwrap();
    }
}

/// A file of one document with the files it refers to, as (field, file, content).
#[derive(Clone)]
pub struct File<'a> {
    pub name: &'a str,
    pub text: std::borrow::Cow<'a, str>,
    pub entries: Vec<(&'a str, &'a str, Vec<u8>)>,
}

pub fn requests(files: &[File<'_>], header: ApplyHeader) -> Vec<ApplyRequest> {
    let mut parts = vec![Part::Header(header)];
    let pieces = |data: &[u8]| -> Vec<(bytes::Bytes, bool)> {
        let count = data.len().div_ceil(1 << 20).max(1);
        let mut pieces: Vec<_> = data
            .chunks(1 << 20)
            .map(bytes::Bytes::copy_from_slice)
            .collect();
        pieces.resize(count, bytes::Bytes::new());
        pieces
            .into_iter()
            .enumerate()
            .map(|(i, piece)| (piece, i + 1 == count))
            .collect()
    };
    for file in files {
        for (data, last) in pieces(file.text.as_bytes()) {
            parts.push(Part::Source(SourceChunk {
                source: file.name.into(),
                data,
                last,
            }));
        }
        for (field, name, content) in &file.entries {
            for (data, last) in pieces(content) {
                parts.push(Part::Entry(EntryChunk {
                    source: file.name.into(),
                    document: 1,
                    field: (*field).into(),
                    file: (*name).into(),
                    data,
                    last,
                }));
            }
        }
    }
    parts
        .into_iter()
        .map(|part| ApplyRequest { part: Some(part) })
        .collect()
}

pub const KUBECONFIG: &str = "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {token: s3cret}}]}";

pub fn cluster(name: &str) -> File<'static> {
    let text = format!(
        "apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {{name: {name}, labels: {{zone: z1}}}}\nspec: {{kubeconfig: ./k.yaml}}\n"
    );
    let file: &'static str = Box::leak(format!("{name}.yaml").into_boxed_str());
    File {
        name: file,
        text: text.into(),
        entries: vec![("spec.kubeconfig", "./k.yaml", KUBECONFIG.into())],
    }
}

pub fn app(manifest: &str) -> File<'static> {
    let text = "apiVersion: muster.dev/v1\nkind: CompositeApp\nmetadata: {name: shop, version: v1}\nspec:\n  apps:\n  - name: backend\n    manifests: [./backend/]\n";
    File {
        name: "app.yaml",
        text: text.into(),
        entries: vec![(
            "spec.apps[0].manifests[0]",
            "./backend/m.yaml",
            manifest.into(),
        )],
    }
}

pub const DIG: File<'static> = File {
    name: "dig.yaml",
    text: std::borrow::Cow::Borrowed(
        "apiVersion: muster.dev/v1\nkind: DeploymentIntentGroup\nmetadata: {name: web}\nspec:\n  compositeApp: {name: shop, version: v1}\n  placement:\n  - app: \"*\"\n    anyOf: [{label: zone=z1}]\n",
    ),
    entries: Vec::new(),
};

pub fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{k: v}}\n")
}

/// Waits for a condition; how long a test may take is the runner's to say, within a minute.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let reached = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
