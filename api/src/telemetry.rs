//! One log line, one counter and one duration per call, whatever way it ends.

use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use std::{
    task::{Context, Poll},
    time::Instant,
};
use tonic::{Code, body::Body};
use tower::{Layer, Service};
use tracing::Instrument;

/// Wraps the gRPC services.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observe;

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner }
    }
}

#[derive(Debug, Clone)]
pub struct Observed<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let rpc = rpc(request.uri().path());
        let span = tracing::info_span!("rpc", rpc);
        let mut call = Call {
            rpc,
            started: Instant::now(),
            code: None,
        };
        let answer = self.inner.call(request).instrument(span);
        async move {
            let response = answer.await?;
            // An error without a message comes in the headers, everything else in the trailers.
            call.note(response.headers());
            let (parts, body) = response.into_parts();
            let body = body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    call.note(trailers);
                }
                frame
            });
            Ok(Response::from_parts(parts, Body::new(body)))
        }
        .boxed()
    }
}

/// `Service/Method` for our own and the standard services; a name that a stranger made up is not
/// used as a metric's label.
fn rpc(path: &str) -> String {
    match path.trim_start_matches('/').rsplit_once('.') {
        Some((package, rpc)) if package == "muster.v1" || package.starts_with("grpc.") => {
            rpc.to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// A call in flight; reported when its body has ended or was dropped.
struct Call {
    rpc: String,
    started: Instant,
    code: Option<Code>,
}

impl Call {
    fn note(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.code = Some(Code::from_bytes(code.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // The caller left before the end.
        let code = self.code.unwrap_or(Code::Cancelled);
        let seconds = self.started.elapsed().as_secs_f64();
        let rpc = std::mem::take(&mut self.rpc);
        metrics::counter!("muster_rpc_total", "rpc" => rpc.clone(), "code" => format!("{code:?}"))
            .increment(1);
        metrics::histogram!("muster_rpc_seconds", "rpc" => rpc.clone()).record(seconds);
        tracing::debug!(rpc, ?code, seconds, "answered");
    }
}

#[cfg(test)]
mod tests {
    use super::rpc;

    #[test]
    fn only_known_services_become_labels() {
        for (path, label) in [
            (
                "/muster.v1.LifecycleService/Approve",
                "LifecycleService/Approve",
            ),
            ("/grpc.health.v1.Health/Check", "Health/Check"),
            ("/evil.Thing/X", "unknown"),
            ("/", "unknown"),
        ] {
            assert_eq!(rpc(path), label);
        }
    }
}
