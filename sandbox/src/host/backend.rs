//! Who answers behind the switch: a simulated cluster, a real API server, or a test's own.

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};

use crate::kube::Cluster;

/// Something that answers Kubernetes API requests.
pub trait Backend: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// # Errors
    /// [`Gone`] when there is nobody to answer; the client then sees its connection closed.
    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Gone>>;
}

/// The backend did not answer; says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer from the cluster: {0}")]
pub struct Gone(pub String);

impl Backend for Cluster {
    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Gone>> {
        Box::pin(async move { Ok(self.handle(request).await) })
    }
}
