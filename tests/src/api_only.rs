//! An api with a store and nothing behind it: verbs are accepted, no workflow ever runs.

use crate::{stack::store_url, until};
use api::{Config, Server, WakeError, Waker};
use futures_util::{FutureExt, future::BoxFuture};
use proto::v1::{
    self, document_service_client::DocumentServiceClient,
    lifecycle_service_client::LifecycleServiceClient,
};
use std::sync::Arc;
use store::WakeRow;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

/// Says that it woke whoever was to be woken.
struct Nobody;

impl Waker for Nobody {
    fn queue(&self) -> BoxFuture<'_, Result<temporal::Queue, WakeError>> {
        async { Ok(temporal::Queue::default()) }.boxed()
    }

    fn check<'a>(
        &'a self,
        _: &'a model::ids::ClusterId,
    ) -> BoxFuture<'a, Result<Option<workflows::contract::Checked>, WakeError>> {
        async { Ok(None) }.boxed()
    }

    fn wake<'a>(&'a self, _: &'a WakeRow) -> BoxFuture<'a, Result<(), WakeError>> {
        async { Ok(()) }.boxed()
    }

    fn is_running<'a>(&'a self, _: &'a WakeRow) -> BoxFuture<'a, Result<bool, WakeError>> {
        async { Ok(true) }.boxed()
    }
}

pub struct ApiOnly {
    pub dir: TempDir,
    /// For `--server`.
    pub url: String,
    pub channel: Channel,
    pub documents: DocumentServiceClient<Channel>,
    pub lifecycles: LifecycleServiceClient<Channel>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ApiOnly {
    pub async fn start() -> Self {
        let api = Self::start_with(|_| ()).await;
        until("the store is open", || async {
            let mut documents = api.documents.clone();
            let list = documents.list_clusters(v1::ListClustersRequest::default());
            list.await.ok()
        })
        .await;
        api
    }

    /// With other settings, and without waiting for its store.
    pub async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("muster.key");
        std::fs::write(&key, "07".repeat(32)).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let mut config = Config::embedded(
            &store_url(&dir),
            temporal::Server::default(),
            any,
            None,
            key,
        );
        adjust(&mut config);
        let server = Server::bind_with(config, Arc::new(Nobody)).await.unwrap();
        let url = format!("http://{}", server.bound().unwrap().grpc);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move { server.run(stopped).await.unwrap() });
        let channel = Channel::from_shared(url.clone()).unwrap().connect_lazy();
        Self {
            dir,
            url,
            documents: DocumentServiceClient::new(channel.clone()),
            lifecycles: LifecycleServiceClient::new(channel.clone()),
            channel,
            stop,
            task,
        }
    }

    /// Every document with its generation and state, and every context: what a refused input must
    /// not change.
    pub async fn everything(&self) -> Vec<String> {
        let mut documents = self.documents.clone();
        let clusters = documents
            .list_clusters(v1::ListClustersRequest::default())
            .await
            .unwrap();
        let mut all: Vec<String> = clusters
            .into_inner()
            .clusters
            .iter()
            .map(|cluster| format!("{cluster:?}"))
            .collect();
        let digs = documents
            .list_deployment_intent_groups(v1::ListDeploymentIntentGroupsRequest {
                project: "-".into(),
                ..Default::default()
            })
            .await
            .unwrap();
        // Without the problem, which comes and goes with time.
        all.extend(
            digs.into_inner()
                .deployment_intent_groups
                .into_iter()
                .map(|dig| {
                    let problem = String::new();
                    format!("{:?}", v1::DeploymentIntentGroup { problem, ..dig })
                }),
        );
        for project in ["p", "default"] {
            let apps = documents
                .list_composite_apps(v1::ListCompositeAppsRequest {
                    project: project.into(),
                    with_documents: true,
                    ..Default::default()
                })
                .await
                .unwrap();
            all.extend(
                apps.into_inner()
                    .composite_apps
                    .iter()
                    .map(|a| format!("{a:?}")),
            );
        }
        all
    }

    pub async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}
