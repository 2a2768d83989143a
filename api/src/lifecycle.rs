//! The lifecycle service: verbs, status, events.

use crate::{
    auth, convert, errors, render,
    shared::Core,
    status::{self, Filter},
    upload::hex,
    wake,
    watch::Watch,
};
use model::{
    ids::DigRef,
    state::{self, DigEvent},
};
use proto::v1::{self, lifecycle_service_server::LifecycleService};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use store::{Accepted, DigRow, RequestMeta, Store, StoreError};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Longest request id.
const REQUEST_ID: usize = 128;

pub struct Lifecycle {
    core: Arc<Core>,
}

impl Lifecycle {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

type Stream<T> = ReceiverStream<Result<T, Status>>;
type Answer<T> = Result<Response<T>, Status>;

/// The verb of a request, and the request; those of the five verbs have the same fields.
macro_rules! verb {
    ($event:expr, $request:ident) => {{
        let actor = auth::actor(&$request);
        let mut request = $request.into_inner();
        let id = std::mem::take(&mut request.request_id);
        let call = Verb::read($event, &request.project, &request.name, id, actor)?;
        (call, request)
    }};
}

#[tonic::async_trait]
impl LifecycleService for Lifecycle {
    async fn approve(&self, request: Request<v1::ApproveRequest>) -> Answer<v1::LifecycleResponse> {
        let (call, request) = verb!(DigEvent::Approve, request);
        let store = self.core.store()?;
        if request.validate_only {
            return would(store, &call).await;
        }
        let accepted = store
            .approve(&call.id, &call.meta)
            .await
            .map_err(errors::store)?;
        Ok(Response::new(convert::status::accepted(&accepted)))
    }

    async fn instantiate(
        &self,
        request: Request<v1::InstantiateRequest>,
    ) -> Answer<v1::LifecycleResponse> {
        let (call, request) = verb!(DigEvent::Instantiate, request);
        let store = self.core.store()?;
        if request.validate_only {
            let answer = would(store, &call).await?;
            let (plan, _) = render::plan(store, &call.id).await?;
            store
                .check_claims(&plan.rows)
                .await
                .map_err(errors::store)?;
            return Ok(answer);
        }
        let accepted = render::instantiate(store, &call.id, &call.meta).await?;
        self.wake(store, &accepted, false);
        Ok(Response::new(convert::status::accepted(&accepted)))
    }

    async fn terminate(
        &self,
        request: Request<v1::TerminateRequest>,
    ) -> Answer<v1::LifecycleResponse> {
        let (mut call, request) = verb!(DigEvent::Terminate, request);
        let mut abandon = request
            .abandon
            .iter()
            .map(|id| convert::cluster_id(id))
            .collect::<Result<Vec<_>, _>>()?;
        abandon.sort();
        abandon.dedup();
        if !abandon.is_empty() {
            // Another body than that of a plain terminate.
            let given_up = format!("{} abandon {abandon:?}", call.meta.body_hash);
            call.meta.body_hash = hex(&Sha256::digest(given_up));
        }
        let store = self.core.store()?;
        if request.validate_only {
            return would(store, &call).await;
        }
        let accepted = store.accept_abandon(&call.id, &abandon, &call.meta).await;
        self.answer(store, accepted, true)
    }

    async fn stop(&self, request: Request<v1::StopRequest>) -> Answer<v1::LifecycleResponse> {
        let (call, request) = verb!(DigEvent::Stop, request);
        let store = self.core.store()?;
        if request.validate_only {
            return would(store, &call).await;
        }
        let accepted = store.accept_stop(&call.id, &call.meta).await;
        self.answer(store, accepted, false)
    }

    async fn retry(&self, request: Request<v1::RetryRequest>) -> Answer<v1::LifecycleResponse> {
        let (call, request) = verb!(DigEvent::Retry, request);
        let store = self.core.store()?;
        if request.validate_only {
            return would(store, &call).await;
        }
        let accepted = store.accept_retry(&call.id, &call.meta).await;
        self.answer(store, accepted, false)
    }

    type GetStatusStream = Stream<v1::GetStatusResponse>;

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Answer<Self::GetStatusStream> {
        let request = request.into_inner();
        let full = request.view() != v1::StatusView::Summary;
        let id = convert::dig_ref(&request.project, &request.name)?;
        let filter = Filter::read(request.filter)?;
        let store = self.core.store()?.clone();
        // Errors that concern the request come before the stream begins.
        let (head, context) = status::head(&self.core, &store, &id, &filter).await?;
        Ok(Response::new(status::streamed(|sender| async move {
            status::send_status(&store, head, context, &filter, full, sender).await
        })))
    }

    type WatchStatusStream = Stream<v1::WatchStatusResponse>;

    async fn watch_status(
        &self,
        request: Request<v1::WatchStatusRequest>,
    ) -> Answer<Self::WatchStatusStream> {
        let request = request.into_inner();
        let full = request.view() != v1::StatusView::Summary;
        let id = convert::dig_ref(&request.project, &request.name)?;
        let filter = Filter::read(request.filter)?;
        let store = self.core.store()?.clone();
        store.dig(&id).await.map_err(errors::store)?;
        let watch = Watch {
            core: Arc::clone(&self.core),
            store,
            id,
            filter,
            full,
        };
        Ok(Response::new(status::streamed(|sender| {
            watch.run(request.resume_token, sender)
        })))
    }

    type ListEventsStream = Stream<v1::ListEventsResponse>;

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Answer<Self::ListEventsStream> {
        let request = request.into_inner();
        let id = convert::dig_ref(&request.project, &request.name)?;
        let count = |field: &str, number: i32| {
            usize::try_from(number).map_err(|_| {
                errors::invalid_field("the request", field, "is negative; leave it out for all")
            })
        };
        let (limit, tail) = (count("limit", request.limit)?, count("tail", request.tail)?);
        if limit > 0 && tail > 0 {
            return Err(errors::invalid_field(
                "the request",
                "tail",
                "does not go together with limit; give one of them",
            ));
        }
        let store = self.core.store()?.clone();
        store.dig(&id).await.map_err(errors::store)?;
        Ok(Response::new(status::streamed(|sender| async move {
            status::send_events(&store, &id, request.after_seq, limit, tail, sender).await
        })))
    }
}

impl Lifecycle {
    /// An accepted verb: its workflow is woken, its caller answered.
    fn answer(
        &self,
        store: &Store,
        accepted: Result<Accepted, StoreError>,
        terminate: bool,
    ) -> Answer<v1::LifecycleResponse> {
        let accepted = accepted.map_err(errors::store)?;
        self.wake(store, &accepted, terminate);
        Ok(Response::new(convert::status::accepted(&accepted)))
    }

    fn wake(&self, store: &Store, accepted: &Accepted, terminate: bool) {
        wake::accepted(
            &self.core,
            store,
            &accepted.dig,
            accepted.context.as_ref(),
            accepted.fence,
            terminate,
        );
    }
}

/// A verb's request, checked.
struct Verb {
    id: DigRef,
    event: DigEvent,
    meta: RequestMeta,
}

impl Verb {
    fn read(
        event: DigEvent,
        project: &str,
        name: &str,
        request_id: String,
        actor: String,
    ) -> Result<Self, Status> {
        let id = convert::dig_ref(project, name)?;
        let body_hash = hex(&Sha256::digest(format!(
            "{}\0{}\0{}",
            event.verb(),
            id.project,
            id.name
        )));
        Ok(Self {
            meta: meta(request_id, body_hash, actor)?,
            id,
            event,
        })
    }
}

/// Who asks; an empty request id is none.
pub fn meta(request_id: String, body_hash: String, actor: String) -> Result<RequestMeta, Status> {
    if request_id.len() > REQUEST_ID || request_id.chars().any(|c| c.is_control()) {
        return Err(errors::invalid_field(
            "the request",
            "request_id",
            format!("must be at most {REQUEST_ID} printable characters; a UUID serves well"),
        ));
    }
    Ok(RequestMeta {
        request_id: (!request_id.is_empty()).then_some(request_id),
        body_hash,
        actor,
    })
}

/// What the verb would answer, by the machine alone; nothing changes.
async fn would(store: &Store, call: &Verb) -> Answer<v1::LifecycleResponse> {
    let dig = store.dig(&call.id).await.map_err(errors::store)?;
    let next = allowed(&dig, call.event)?;
    let at = dig.context.as_ref().map(|context| context.state);
    let repeat = match call.event {
        DigEvent::Approve => next == dig.state,
        DigEvent::Terminate => state::dig::terminate_is_repeat(dig.state, at),
        _ => false,
    };
    let context = dig
        .context
        .as_ref()
        .filter(|_| call.event.context_event().is_some())
        .map(|context| context.id.clone());
    let accepted = Accepted {
        dig: call.id.clone(),
        state: next,
        context,
        fence: None,
        changed: !repeat,
    };
    Ok(Response::new(convert::status::accepted(&accepted)))
}

/// Whether the machine lets the DIG be deleted.
pub fn deletable(dig: &DigRow) -> Result<(), Status> {
    let context = dig.context.as_ref().map(|context| context.state);
    match state::dig::next(Some(dig.state), context, DigEvent::Delete) {
        Ok(_) => Ok(()),
        Err(_) => Err(refused(dig, DigEvent::Delete)),
    }
}

/// The state that the verb leads to, or why it is refused.
pub fn allowed(dig: &DigRow, event: DigEvent) -> Result<state::DigState, Status> {
    let context = dig.context.as_ref().map(|context| context.state);
    match state::dig::next(Some(dig.state), context, event) {
        Ok(Some(next)) => Ok(next),
        Ok(None) | Err(_) => Err(refused(dig, event)),
    }
}

fn refused(dig: &DigRow, event: DigEvent) -> Status {
    let shown = match &dig.context {
        Some(context) => format!("{} ({})", dig.state, context.state),
        None => dig.state.to_string(),
    };
    errors::wrong_state(
        &convert::name(&dig.doc.id),
        &shown,
        event.verb(),
        &convert::status::verbs(dig).join(", "),
    )
}
