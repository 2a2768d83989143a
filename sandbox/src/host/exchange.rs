//! One request on its way through the switch to the backend and back.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::{Backend, Gone};
use super::finalizer::Hung;
use super::kinds::Kinds;
use super::log::{self, RequestLog};
use super::request::{Asked, Verb};
use super::status::status;
use super::switch::{Fate, Switch, Verdict};
use super::wire::Line;

/// More than any API server takes.
const BODY_LIMIT: usize = 8 << 20;

/// One cluster: who answers, what is wrong with it, what it was asked.
pub(crate) struct Endpoint {
    pub name: String,
    /// What a client must send as `authorization`.
    pub bearer: String,
    pub backend: Arc<dyn Backend>,
    pub distance: Duration,
    pub switch: Switch,
    pub log: RequestLog,
    pub kinds: Kinds,
    pub hung: Hung,
    /// Everything that runs for this cluster, so that nothing runs on after a shutdown.
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

/// The answer is withheld and the request's stream ends here.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut")]
pub(crate) struct Severed;

/// Takes one request through the switch.
pub(crate) async fn exchange(
    endpoint: Arc<Endpoint>,
    line: Arc<Line>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Severed> {
    let arrived = Timestamp::now();
    let (head, body) = request.into_parts();
    let mut asked = Asked::read(&head);
    let welcome = head
        .headers
        .get(AUTHORIZATION)
        .is_some_and(|sent| sent.as_bytes() == endpoint.bearer.as_bytes());
    if !welcome {
        let entry = endpoint.log.open(arrived, &asked);
        endpoint.log.answered(entry, Some(401));
        return Ok(status(401, "Unauthorized", &asked));
    }
    let streams = head.version == Version::HTTP_2;
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(lost) if lost.is::<LengthLimitError>() => {
            return Ok(status(413, "the request body is too large", &asked));
        }
        Err(_) => return Err(Severed),
    };
    if asked.verb == Verb::Create && asked.name.is_none() {
        asked.name = name_in(&body);
    }
    asked.kind = endpoint.kinds.of(&asked, &*endpoint.backend).await;
    let entry = endpoint.log.open(arrived, &asked);
    let verdict = endpoint.switch.judge(&asked);
    let cut = Cut {
        line,
        streams,
        total: verdict.total,
    };

    if verdict.fate == Fate::Swallow {
        endpoint.switch.healed_since(verdict.heals).await;
        return Err(cut.sever(false).await);
    }
    let wait = endpoint.distance + verdict.latency;
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    match verdict.fate {
        Fate::Reset => return Err(cut.sever(true).await),
        Fate::Refuse(code) => {
            endpoint.log.answered(entry, Some(code));
            // API servers and webhooks quote what they refuse, Secrets too.
            let quoted = String::from_utf8_lossy(&body);
            let message = format!("refused by the fault switch: {quoted:?}");
            return Ok(status(code, &message, &asked));
        }
        Fate::Deliver | Fate::Swallow => {}
    }

    let detached = asked.verb.writes() || !verdict.late.is_zero();
    let request = Request::from_parts(head, body);
    let delivery = deliver(Arc::clone(&endpoint), asked, request, verdict, entry);
    let answer = if detached {
        // What has arrived is executed, whether or not somebody still waits for the answer.
        let task = endpoint.tasks.spawn(delivery);
        task.await
            .unwrap_or_else(|lost| Err(Gone(lost.to_string())))
    } else {
        delivery.await
    };
    let Ok(answer) = answer else {
        return Err(cut.sever(false).await);
    };
    if verdict.drop_reply {
        return Err(cut.sever(false).await);
    }
    let heals = endpoint.switch.heals();
    if endpoint.switch.is_hole() {
        endpoint.log.answered(entry, None);
        endpoint.switch.healed_since(heals).await;
        return Err(cut.whole().sever(false).await);
    }
    Ok(answer)
}

/// Gives the request to the backend, late if it must be, and hangs the object if that is asked for.
async fn deliver(
    endpoint: Arc<Endpoint>,
    asked: Asked,
    request: Request<Bytes>,
    verdict: Verdict,
    entry: log::Line,
) -> Result<Response<Body>, Gone> {
    let stopped = || Gone("the sandbox is shutting down".to_owned());
    let run = async {
        if !verdict.late.is_zero() {
            tokio::time::sleep(verdict.late).await;
        }
        // An object that was there before the fault hangs all the same when it is to be deleted.
        if asked.verb == Verb::Delete {
            hang(&endpoint, &asked, verdict).await;
        }
        let answer = endpoint.backend.call(request).await?;
        if asked.verb != Verb::Delete && answer.status().is_success() {
            hang(&endpoint, &asked, verdict).await;
        }
        Ok(answer)
    };
    let answer = tokio::select! {
        answer = run => answer,
        () = endpoint.stop.cancelled() => Err(stopped()),
    };
    match &answer {
        Ok(answer) if !verdict.drop_reply => {
            let code = answer.status().as_u16();
            endpoint.log.answered(entry, Some(code));
        }
        Ok(_) => {}
        Err(gone) => tracing::debug!(cluster = endpoint.name, %gone, "request lost"),
    }
    answer
}

async fn hang(endpoint: &Endpoint, asked: &Asked, verdict: Verdict) {
    let (Some(fault), Some(path)) = (verdict.hang, asked.object_path()) else {
        return;
    };
    let known = endpoint.hung.holds(&path);
    let hangs = endpoint.hung.hang(&*endpoint.backend, &path).await;
    if hangs && !known {
        endpoint.switch.charge(fault);
    }
    // A heal in between may have looked for hanging objects before this one was.
    if hangs && endpoint.switch.heals() != verdict.heals {
        let released = endpoint.hung.release(&endpoint.name, &*endpoint.backend);
        if let Err(error) = released.await {
            tracing::warn!(%error, "a finalizer outlives its fault");
        }
    }
}

/// How a request ends without an answer.
struct Cut {
    line: Arc<Line>,
    /// HTTP/2: a single request can end without its neighbours.
    streams: bool,
    total: bool,
}

impl Cut {
    fn whole(self) -> Self {
        Self {
            total: true,
            ..self
        }
    }

    async fn sever(self, reset: bool) -> Severed {
        if self.streams && !self.total {
            return Severed;
        }
        self.line.cut(reset);
        // The connection's task drops this future together with the connection.
        pending().await
    }
}

/// The name in the object that is to be created.
fn name_in(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    let object: Object = serde_json::from_slice(body).ok()?;
    Some(object.metadata.name)
}
