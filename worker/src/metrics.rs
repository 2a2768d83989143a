//! One address for all metrics of the process: ours and the Temporal SDK's.

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::{net::SocketAddr, sync::OnceLock};
use temporal::Runtime;
use tokio::net::TcpListener;

/// Listens and serves `/metrics` and `/healthz` until the process ends. Answers the address.
pub(crate) async fn serve(address: SocketAddr, runtime: Runtime) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let ours = recorder();
    let all = get(move || {
        let runtime = runtime.clone();
        async move {
            let mut text = ours.map(PrometheusHandle::render).unwrap_or_default();
            match runtime.metrics_text().await {
                Ok(theirs) => {
                    text.push_str(&theirs);
                    text.into_response()
                }
                Err(error) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
                }
            }
        }
    });
    let router = Router::new()
        .route("/metrics", all)
        .route("/healthz", get(|| async { "ok\n" }));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
    Ok(bound)
}

/// Installed once per process; `None` if somebody else's recorder is there.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| PrometheusBuilder::new().install_recorder().ok())
        .as_ref()
}
