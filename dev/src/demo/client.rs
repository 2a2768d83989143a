//! The demo as a client of the api: verbs, status, the operation log.

use super::application::Application;
use anyhow::Context;
use proto::v1::{
    ApproveRequest, ContextState, Event, GetStatusRequest, InstantiateRequest, LifecycleResponse,
    ListEventsRequest, StatusHead, StatusView, TerminateRequest, get_status_response::Part,
    lifecycle_service_client::LifecycleServiceClient,
};
use std::collections::BTreeMap;
use tonic::{Status, transport::Channel};

/// Verbs of one deployment intent group.
#[derive(Clone)]
pub struct Client {
    lifecycle: LifecycleServiceClient<Channel>,
    project: String,
    name: String,
}

impl Client {
    pub async fn connect(grpc: &str, application: &Application) -> anyhow::Result<Self> {
        let lifecycle = LifecycleServiceClient::connect(grpc.to_owned())
            .await
            .with_context(|| format!("connect to {grpc}"))?;
        Ok(Self {
            lifecycle,
            project: application.project.to_owned(),
            name: application.name.to_owned(),
        })
    }

    pub async fn approve(&mut self) -> anyhow::Result<LifecycleResponse> {
        let request = ApproveRequest {
            project: self.project.clone(),
            name: self.name.clone(),
            ..Default::default()
        };
        answer("approve", self.lifecycle.approve(request).await)
    }

    pub async fn instantiate(&mut self) -> anyhow::Result<LifecycleResponse> {
        let request = InstantiateRequest {
            project: self.project.clone(),
            name: self.name.clone(),
            ..Default::default()
        };
        answer("instantiate", self.lifecycle.instantiate(request).await)
    }

    pub async fn terminate(&mut self) -> anyhow::Result<LifecycleResponse> {
        let request = TerminateRequest {
            project: self.project.clone(),
            name: self.name.clone(),
            ..Default::default()
        };
        answer("terminate", self.lifecycle.terminate(request).await)
    }

    /// How the group is doing, without the resources.
    pub async fn status(&mut self) -> anyhow::Result<StatusHead> {
        let request = GetStatusRequest {
            project: self.project.clone(),
            name: self.name.clone(),
            view: StatusView::Summary.into(),
            ..Default::default()
        };
        let mut parts = answer("status", self.lifecycle.get_status(request).await)?;
        while let Some(part) = answer("status", parts.message().await.map(tonic::Response::new))? {
            if let Some(Part::Head(head)) = part.part {
                return Ok(head);
            }
        }
        anyhow::bail!("status: the api sent no head")
    }

    /// The operation log, oldest first.
    pub async fn events(&mut self) -> anyhow::Result<Vec<Event>> {
        let request = ListEventsRequest {
            project: self.project.clone(),
            name: self.name.clone(),
            ..Default::default()
        };
        let mut parts = answer("events", self.lifecycle.list_events(request).await)?;
        let mut events = Vec::new();
        while let Some(part) = answer("events", parts.message().await.map(tonic::Response::new))? {
            events.extend(part.events);
        }
        Ok(events)
    }
}

fn answer<T>(verb: &str, result: Result<tonic::Response<T>, Status>) -> anyhow::Result<T> {
    result
        .map(tonic::Response::into_inner)
        .map_err(|status| anyhow::anyhow!("{verb}: {}", status.message()))
}

/// Resources of one cluster by state, or of all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub pending: i64,
    pub applied: i64,
    pub retrying: i64,
    pub failed: i64,
    pub deleted: i64,
}

impl Counts {
    pub fn total(&self) -> i64 {
        self.pending + self.applied + self.retrying + self.failed + self.deleted
    }

    /// Everything is there.
    pub fn all_applied(&self) -> bool {
        self.total() > 0 && self.applied == self.total()
    }

    fn add(&mut self, counts: &proto::v1::DeployedCounts) {
        self.pending += counts.pending;
        self.applied += counts.applied;
        self.retrying += counts.retrying;
        self.failed += counts.failed;
        self.deleted += counts.deleted;
    }
}

/// A status as the demo looks at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    pub context: String,
    pub state: ContextState,
    /// By cluster id.
    pub clusters: BTreeMap<String, Counts>,
    pub all: Counts,
    /// The worst problem: message, attempts.
    pub problem: Option<(String, i32)>,
}

impl View {
    pub fn of(head: &StatusHead) -> Self {
        let mut view = Self::default();
        if let Some(context) = &head.context {
            view.context.clone_from(&context.id);
            view.state = context.state();
        }
        for on in head.apps.iter().flat_map(|app| &app.clusters) {
            if let Some(counts) = &on.deployed_counts {
                view.clusters
                    .entry(on.cluster.clone())
                    .or_default()
                    .add(counts);
            }
        }
        if let Some(counts) = &head.deployed_counts {
            view.all.add(counts);
        }
        view.problem = head.problems.first().map(|problem| {
            let words = if problem.message.is_empty() {
                &problem.reason
            } else {
                &problem.message
            };
            (words.clone(), problem.attempts)
        });
        view
    }

    pub fn on(&self, cluster: &str) -> Counts {
        self.clusters.get(cluster).copied().unwrap_or_default()
    }
}

/// A context's state in the words of the documentation.
pub fn words(state: ContextState) -> &'static str {
    match state {
        ContextState::Unspecified => "not there",
        ContextState::Instantiating => "Instantiating",
        ContextState::Instantiated => "Instantiated",
        ContextState::InstantiateFailed => "InstantiateFailed",
        ContextState::PreTerminate => "PreTerminate",
        ContextState::Terminating => "Terminating",
        ContextState::Terminated => "Terminated",
        ContextState::TerminateFailed => "TerminateFailed",
        ContextState::Updating => "Updating",
        ContextState::UpdateFailed => "UpdateFailed",
    }
}
