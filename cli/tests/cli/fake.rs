//! A Muster server that answers what a test tells it to, and remembers what it was asked.

use futures_util::{StreamExt, stream};
use proto::v1::{
    document_service_server::{DocumentService, DocumentServiceServer},
    lifecycle_service_server::{LifecycleService, LifecycleServiceServer},
    orphan_service_server::{OrphanService, OrphanServiceServer},
    *,
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

type Answers<T> = Pin<Box<dyn futures_util::Stream<Item = Result<T, Status>> + Send>>;

/// What the server says next, and what it heard.
#[derive(Default)]
pub struct Script {
    /// Answers of approve, instantiate and terminate, in order.
    pub verbs: VecDeque<Result<LifecycleResponse, Status>>,
    /// Time before each message of a watch.
    pub pace: std::time::Duration,
    /// One list per watch; a watch whose list ends stays open.
    pub watches: VecDeque<Vec<Result<WatchStatusResponse, Status>>>,
    pub status: Vec<GetStatusResponse>,
    pub events: Vec<Event>,
    pub digs: Vec<DeploymentIntentGroup>,
    /// The ledger, with what a collect makes of each entry.
    pub orphans: Vec<CollectedOrphan>,
    pub applied: Vec<AppliedDocument>,
    pub checks: Vec<CheckClusterResponse>,
    /// `verb project/name request_id`, `watch token`, and the parts of uploads.
    pub heard: Vec<String>,
}

#[derive(Clone)]
pub struct Fake(Arc<Mutex<Script>>);

/// Serves the script on a free port of this machine.
pub async fn serve(script: Script) -> (SocketAddr, Fake) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("an address");
    let fake = Fake(Arc::new(Mutex::new(script)));
    let server = tonic::transport::Server::builder()
        .add_service(DocumentServiceServer::new(fake.clone()))
        .add_service(LifecycleServiceServer::new(fake.clone()))
        .add_service(OrphanServiceServer::new(fake.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    (address, fake)
}

impl Fake {
    pub fn heard(&self) -> Vec<String> {
        self.script(|script| script.heard.clone())
    }

    fn script<T>(&self, use_it: impl FnOnce(&mut Script) -> T) -> T {
        use_it(
            &mut self
                .0
                .lock()
                .expect("no test panics while it holds the lock"),
        )
    }

    fn verb(
        &self,
        verb: &str,
        project: &str,
        name: &str,
        request_id: &str,
    ) -> Result<Response<LifecycleResponse>, Status> {
        self.script(|script| {
            script
                .heard
                .push(format!("{verb} {project}/{name} {request_id}"));
            script
                .verbs
                .pop_front()
                .unwrap_or_else(|| Err(Status::internal("no answer left")))
                .map(Response::new)
        })
    }
}

#[tonic::async_trait]
impl LifecycleService for Fake {
    async fn approve(
        &self,
        request: Request<ApproveRequest>,
    ) -> Result<Response<LifecycleResponse>, Status> {
        let r = request.into_inner();
        self.verb("approve", &r.project, &r.name, &r.request_id)
    }

    async fn instantiate(
        &self,
        request: Request<InstantiateRequest>,
    ) -> Result<Response<LifecycleResponse>, Status> {
        let r = request.into_inner();
        self.verb("instantiate", &r.project, &r.name, &r.request_id)
    }

    async fn terminate(
        &self,
        request: Request<TerminateRequest>,
    ) -> Result<Response<LifecycleResponse>, Status> {
        let r = request.into_inner();
        let verb = std::iter::once("terminate".to_owned()).chain(r.abandon);
        let verb = verb.collect::<Vec<_>>().join(" without ");
        self.verb(&verb, &r.project, &r.name, &r.request_id)
    }

    async fn stop(
        &self,
        request: Request<StopRequest>,
    ) -> Result<Response<LifecycleResponse>, Status> {
        let r = request.into_inner();
        self.verb("stop", &r.project, &r.name, &r.request_id)
    }

    async fn retry(
        &self,
        request: Request<RetryRequest>,
    ) -> Result<Response<LifecycleResponse>, Status> {
        let r = request.into_inner();
        self.verb("retry", &r.project, &r.name, &r.request_id)
    }

    type GetStatusStream = Answers<GetStatusResponse>;

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<Self::GetStatusStream>, Status> {
        let summary = request.into_inner().view() == StatusView::Summary;
        let parts = self.script(|script| script.status.clone());
        if parts.is_empty() {
            return Err(Status::not_found("DIG default/web does not exist"));
        }
        let count = if summary { 1 } else { parts.len() };
        Ok(Response::new(
            stream::iter(parts.into_iter().take(count).map(Ok)).boxed(),
        ))
    }

    type WatchStatusStream = Answers<WatchStatusResponse>;

    async fn watch_status(
        &self,
        request: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let token = request.into_inner().resume_token;
        let (messages, pace) = self.script(|script| {
            script.heard.push(format!("watch {token}"));
            (script.watches.pop_front().unwrap_or_default(), script.pace)
        });
        let messages = stream::iter(messages).then(move |message| async move {
            tokio::time::sleep(pace).await;
            message
        });
        Ok(Response::new(messages.chain(stream::pending()).boxed()))
    }

    type ListEventsStream = Answers<ListEventsResponse>;

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<Self::ListEventsStream>, Status> {
        let events = self.script(|script| script.events.clone());
        Ok(Response::new(
            stream::iter([Ok(ListEventsResponse { events })]).boxed(),
        ))
    }
}

#[tonic::async_trait]
impl OrphanService for Fake {
    async fn list_orphans(
        &self,
        _: Request<ListOrphansRequest>,
    ) -> Result<Response<ListOrphansResponse>, Status> {
        let orphans = self.script(|script| script.orphans.clone());
        Ok(Response::new(ListOrphansResponse {
            orphans: orphans.into_iter().filter_map(|one| one.orphan).collect(),
            next_page_token: String::new(),
        }))
    }

    async fn collect_orphans(
        &self,
        request: Request<CollectOrphansRequest>,
    ) -> Result<Response<CollectOrphansResponse>, Status> {
        let r = request.into_inner();
        let orphans = self.script(|script| {
            let heard = format!("collect {} {:?}", r.cluster, r.ids);
            script.heard.push(heard);
            script.orphans.clone()
        });
        Ok(Response::new(CollectOrphansResponse { orphans }))
    }

    async fn forget_orphans(
        &self,
        request: Request<ForgetOrphansRequest>,
    ) -> Result<Response<ForgetOrphansResponse>, Status> {
        let r = request.into_inner();
        let orphans = self.script(|script| {
            let heard = format!("forget {:?} {}", r.ids, r.reason);
            script.heard.push(heard);
            script.orphans.clone()
        });
        Ok(Response::new(ForgetOrphansResponse {
            orphans: orphans.into_iter().filter_map(|one| one.orphan).collect(),
        }))
    }
}

#[tonic::async_trait]
impl DocumentService for Fake {
    async fn apply(
        &self,
        request: Request<Streaming<ApplyRequest>>,
    ) -> Result<Response<ApplyResponse>, Status> {
        let mut stream = request.into_inner();
        while let Some(message) = stream.message().await? {
            let line = match message.part {
                Some(apply_request::Part::Header(h)) => format!(
                    "header {} {} {}",
                    h.request_id, h.default_project, h.validate_only
                ),
                Some(apply_request::Part::Source(s)) => {
                    format!("source {} {}", s.data.len(), s.last)
                }
                Some(apply_request::Part::Entry(e)) => {
                    format!("entry {} {} {:?} {}", e.document, e.field, e.data, e.last)
                }
                None => "nothing".to_owned(),
            };
            self.script(|script| script.heard.push(line));
        }
        Ok(Response::new(ApplyResponse {
            documents: self.script(|script| script.applied.clone()),
        }))
    }

    async fn list_deployment_intent_groups(
        &self,
        request: Request<ListDeploymentIntentGroupsRequest>,
    ) -> Result<Response<ListDeploymentIntentGroupsResponse>, Status> {
        // One per page, so that pages are followed.
        let token = request.into_inner().page_token;
        let index: usize = token.parse().unwrap_or(0);
        let digs = self.script(|script| script.digs.clone());
        let next_page_token = if index + 1 < digs.len() {
            (index + 1).to_string()
        } else {
            String::new()
        };
        Ok(Response::new(ListDeploymentIntentGroupsResponse {
            deployment_intent_groups: digs.into_iter().skip(index).take(1).collect(),
            next_page_token,
            unreachable: vec!["acme+b".to_owned()],
        }))
    }

    async fn get_deployment_intent_group(
        &self,
        request: Request<GetDeploymentIntentGroupRequest>,
    ) -> Result<Response<DeploymentIntentGroup>, Status> {
        let name = request.into_inner().name;
        let found = self.script(|script| script.digs.iter().find(|dig| dig.name == name).cloned());
        found
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("DIG default/{name} does not exist")))
    }

    async fn delete_cluster(
        &self,
        request: Request<DeleteClusterRequest>,
    ) -> Result<Response<()>, Status> {
        let r = request.into_inner();
        self.script(|script| {
            script
                .heard
                .push(format!("delete cluster {} {}", r.id, r.request_id))
        });
        Ok(Response::new(()))
    }

    async fn create_cluster(
        &self,
        _: Request<CreateClusterRequest>,
    ) -> Result<Response<Cluster>, Status> {
        Err(unused())
    }
    async fn update_cluster(
        &self,
        _: Request<UpdateClusterRequest>,
    ) -> Result<Response<Cluster>, Status> {
        Err(unused())
    }
    async fn get_cluster(
        &self,
        _: Request<GetClusterRequest>,
    ) -> Result<Response<Cluster>, Status> {
        Err(unused())
    }
    async fn list_clusters(
        &self,
        _: Request<ListClustersRequest>,
    ) -> Result<Response<ListClustersResponse>, Status> {
        let checks = self.script(|script| script.checks.clone());
        let clusters = checks.into_iter().map(|look| Cluster {
            id: look.id,
            ..Default::default()
        });
        Ok(Response::new(ListClustersResponse {
            clusters: clusters.collect(),
            ..Default::default()
        }))
    }
    async fn check_cluster(
        &self,
        request: Request<CheckClusterRequest>,
    ) -> Result<Response<CheckClusterResponse>, Status> {
        let id = request.into_inner().id;
        let found = self.script(|script| script.checks.iter().find(|look| look.id == id).cloned());
        found
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("Cluster {id} does not exist")))
    }
    async fn create_composite_app(
        &self,
        _: Request<CreateCompositeAppRequest>,
    ) -> Result<Response<CompositeApp>, Status> {
        Err(unused())
    }
    async fn update_composite_app(
        &self,
        _: Request<UpdateCompositeAppRequest>,
    ) -> Result<Response<CompositeApp>, Status> {
        Err(unused())
    }
    async fn get_composite_app(
        &self,
        _: Request<GetCompositeAppRequest>,
    ) -> Result<Response<CompositeApp>, Status> {
        Err(unused())
    }
    async fn list_composite_apps(
        &self,
        _: Request<ListCompositeAppsRequest>,
    ) -> Result<Response<ListCompositeAppsResponse>, Status> {
        Err(unused())
    }
    async fn delete_composite_app(
        &self,
        _: Request<DeleteCompositeAppRequest>,
    ) -> Result<Response<()>, Status> {
        Err(unused())
    }
    async fn create_deployment_intent_group(
        &self,
        _: Request<CreateDeploymentIntentGroupRequest>,
    ) -> Result<Response<DeploymentIntentGroup>, Status> {
        Err(unused())
    }
    async fn update_deployment_intent_group(
        &self,
        _: Request<UpdateDeploymentIntentGroupRequest>,
    ) -> Result<Response<DeploymentIntentGroup>, Status> {
        Err(unused())
    }
    async fn delete_deployment_intent_group(
        &self,
        _: Request<DeleteDeploymentIntentGroupRequest>,
    ) -> Result<Response<()>, Status> {
        Err(unused())
    }
}

fn unused() -> Status {
    Status::unimplemented("no test asks for this")
}
