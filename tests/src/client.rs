//! One DIG through gRPC.

use crate::{PATIENCE, until, until_or_say};
use proto::v1::{
    ApproveRequest, ContextState, DeleteDeploymentIntentGroupRequest, DigState, Event,
    GetStatusRequest, InstantiateRequest, LifecycleResponse, ListEventsRequest, Resource,
    ResourceState, RetryRequest, StatusHead, StatusView, StopRequest, TerminateRequest,
    WatchStatusRequest, document_service_client::DocumentServiceClient, get_status_response::Part,
    lifecycle_service_client::LifecycleServiceClient,
};
use std::sync::{Mutex, PoisonError};
use tonic::{Status, transport::Channel};

#[derive(Clone)]
pub struct Dig {
    client: LifecycleServiceClient<Channel>,
    documents: DocumentServiceClient<Channel>,
    name: String,
}

/// A status with its resources.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub head: StatusHead,
    pub resources: Vec<Resource>,
}

impl Snapshot {
    pub fn dig(&self) -> DigState {
        self.head.state()
    }

    pub fn context(&self) -> Option<ContextState> {
        self.head.context.as_ref().map(|c| c.state())
    }

    pub fn resource(&self, cluster: &str, name: &str) -> &Resource {
        let found = self
            .resources
            .iter()
            .find(|r| r.cluster == format!("sandbox+{cluster}") && r.name == name);
        found.unwrap_or_else(|| panic!("no {name} on {cluster}: {:?}", self.resources))
    }

    pub fn state(&self, cluster: &str, name: &str) -> ResourceState {
        self.resource(cluster, name).deployed_status()
    }

    /// Number of resources in a state, as shown row by row.
    pub fn count(&self, state: ResourceState) -> usize {
        self.resources
            .iter()
            .filter(|r| r.deployed_status() == state)
            .count()
    }
}

impl Dig {
    pub fn new(channel: Channel, name: &str) -> Self {
        Self {
            client: LifecycleServiceClient::new(channel.clone()),
            documents: DocumentServiceClient::new(channel),
            name: name.into(),
        }
    }

    pub async fn approve(&self) -> Result<LifecycleResponse, Status> {
        let request = ApproveRequest {
            project: "p".into(),
            name: self.name.clone(),
            ..Default::default()
        };
        Ok(self.client.clone().approve(request).await?.into_inner())
    }

    pub async fn instantiate(&self) -> Result<LifecycleResponse, Status> {
        self.instantiate_as("").await
    }

    /// With a request id.
    pub async fn instantiate_as(&self, request_id: &str) -> Result<LifecycleResponse, Status> {
        let request = InstantiateRequest {
            project: "p".into(),
            name: self.name.clone(),
            request_id: request_id.into(),
            ..Default::default()
        };
        Ok(self.client.clone().instantiate(request).await?.into_inner())
    }

    pub async fn terminate(&self) -> Result<LifecycleResponse, Status> {
        let request = TerminateRequest {
            project: "p".into(),
            name: self.name.clone(),
            ..Default::default()
        };
        Ok(self.client.clone().terminate(request).await?.into_inner())
    }

    /// Terminates, giving clusters up.
    pub async fn abandon(&self, clusters: &[&str]) -> Result<LifecycleResponse, Status> {
        let request = TerminateRequest {
            project: "p".into(),
            name: self.name.clone(),
            abandon: clusters.iter().map(|c| (*c).to_owned()).collect(),
            ..Default::default()
        };
        Ok(self.client.clone().terminate(request).await?.into_inner())
    }

    pub async fn stop(&self) -> Result<LifecycleResponse, Status> {
        let request = StopRequest {
            project: "p".into(),
            name: self.name.clone(),
            ..Default::default()
        };
        Ok(self.client.clone().stop(request).await?.into_inner())
    }

    pub async fn retry(&self) -> Result<LifecycleResponse, Status> {
        let request = RetryRequest {
            project: "p".into(),
            name: self.name.clone(),
            ..Default::default()
        };
        Ok(self.client.clone().retry(request).await?.into_inner())
    }

    pub async fn delete(&self) -> Result<(), Status> {
        let request = DeleteDeploymentIntentGroupRequest {
            project: "p".into(),
            name: self.name.clone(),
            ..Default::default()
        };
        self.documents
            .clone()
            .delete_deployment_intent_group(request)
            .await?;
        Ok(())
    }

    pub async fn status(&self) -> Snapshot {
        self.try_status().await.unwrap()
    }

    /// The api answers a question about the DIG.
    pub async fn status_answers(&self) -> bool {
        self.try_status().await.is_ok()
    }

    async fn try_status(&self) -> Result<Snapshot, Status> {
        let request = GetStatusRequest {
            project: "p".into(),
            name: self.name.clone(),
            ..Default::default()
        };
        let mut stream = self.client.clone().get_status(request).await?.into_inner();
        let mut head = None;
        let mut resources = vec![];
        while let Some(message) = stream.message().await? {
            match message.part {
                Some(Part::Head(h)) => head = Some(h),
                Some(Part::Resources(chunk)) => resources.extend(chunk.resources),
                None => {}
            }
        }
        Ok(Snapshot {
            head: head.ok_or_else(|| Status::data_loss("no head"))?,
            resources,
        })
    }

    pub async fn events(&self) -> Vec<Event> {
        let request = ListEventsRequest {
            project: "p".into(),
            name: self.name.clone(),
            ..Default::default()
        };
        let mut stream = self
            .client
            .clone()
            .list_events(request)
            .await
            .unwrap()
            .into_inner();
        let mut events = vec![];
        while let Some(message) = stream.message().await.unwrap() {
            events.extend(message.events);
        }
        events
    }

    /// States the context went through, oldest first, of the given life (or all).
    pub async fn context_states(&self, context: &str) -> Vec<String> {
        let events = self.events().await;
        let of_context =
            |e: &&Event| e.object.is_empty() && e.context_id == context && e.from != e.to;
        let mut states: Vec<String> = events
            .iter()
            .filter(of_context)
            .map(|e| e.to.clone())
            .collect();
        states.dedup();
        states
    }

    /// Waits until the status is as wanted; an api that does not answer meanwhile is waited for.
    pub async fn until(&self, what: &str, is: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let last = Mutex::new(None);
        let seen = || match last.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(last) => told(&last),
            None => "the api does not answer".to_owned(),
        };
        until_or_say(&format!("{}: {what}", self.name), seen, || async {
            let status = self.try_status().await.ok()?;
            if is(&status) {
                return Some(status);
            }
            *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            None
        })
        .await
    }

    pub async fn until_context(&self, state: ContextState) -> Snapshot {
        self.until(&format!("context {state:?}"), |s| {
            s.context() == Some(state)
        })
        .await
    }

    /// The status without resources, which stays cheap when large.
    pub async fn summary(&self) -> Option<StatusHead> {
        let request = GetStatusRequest {
            project: "p".into(),
            name: self.name.clone(),
            view: StatusView::Summary.into(),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let mut stream = client.get_status(request).await.ok()?.into_inner();
        match stream.message().await.ok()??.part {
            Some(Part::Head(head)) => Some(head),
            _ => None,
        }
    }

    /// Waits until the summary is as wanted.
    pub async fn until_summary(&self, what: &str, is: impl Fn(&StatusHead) -> bool) {
        until(&format!("{}: {what}", self.name), || async {
            self.summary().await.filter(&is).map(|_| ())
        })
        .await;
    }

    /// Waits for Instantiated or Terminated as `--wait` does: by a watch of the summary.
    pub async fn until_settled(&self) {
        let request = WatchStatusRequest {
            project: "p".into(),
            name: self.name.clone(),
            view: StatusView::Summary.into(),
            ..Default::default()
        };
        let mut client = self.client.clone();
        let mut news = client.watch_status(request).await.unwrap().into_inner();
        let settled = [ContextState::Instantiated, ContextState::Terminated];
        let arrived = async {
            loop {
                let message = news.message().await.unwrap().expect("a watch goes on");
                let context = message.head.and_then(|head| head.context);
                if context.is_some_and(|context| settled.contains(&context.state())) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    }

    pub async fn until_instantiated(&self) -> Snapshot {
        self.until_context(ContextState::Instantiated).await
    }

    pub async fn until_terminated(&self) -> Snapshot {
        self.until_context(ContextState::Terminated).await
    }
}

/// When an event was written, in milliseconds since 1970.
pub fn millis(event: &Event) -> i64 {
    let time = event.time.unwrap();
    time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000
}

/// When the context (`object` is empty) or an object, by the end of its key, first became `to` on a
/// cluster.
///
/// # Panics
/// It never did.
pub fn became(events: &[Event], cluster: &str, object: &str, to: &str) -> i64 {
    let is = |e: &&Event| {
        let same = if object.is_empty() {
            e.object.is_empty() && !e.context_id.is_empty()
        } else {
            e.object.ends_with(&format!("/{object}")) && e.cluster.ends_with(cluster)
        };
        same && e.to == to && e.from != e.to
    };
    let found = events.iter().find(is);
    let found = found.unwrap_or_else(|| panic!("{object} on {cluster} never {to}: {events:?}"));
    millis(found)
}

/// A status for whoever has to find out why it is not another one.
fn told(status: &Snapshot) -> String {
    let head = &status.head;
    let mut text = format!(
        "{:?}, context {:?}, {:?}, {:?}",
        head.state(),
        head.context,
        head.deployed_counts,
        head.ready_counts
    );
    for problem in &head.problems {
        text += &format!("\n{problem:?}");
    }
    for row in &status.resources {
        let error = row.last_error.as_ref().map(|error| &error.message);
        text += &format!(
            "\n{} {}/{}: {:?}, {}, {} attempts, {:?}, {:?}",
            row.cluster,
            row.kind,
            row.name,
            row.deployed_status(),
            row.ready_status,
            row.attempts,
            row.blocked_by,
            error,
        );
    }
    text
}
