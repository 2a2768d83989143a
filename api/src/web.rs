//! Health, readiness and metrics over HTTP.

use crate::shared::Core;
use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

/// `/healthz` (the process lives), `/readyz` (verbs are accepted), `/metrics` (Prometheus).
pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|| async { recorder().map(PrometheusHandle::render).unwrap_or_default() }),
        )
        .with_state(core)
}

/// Ready as soon as the store is there: without Temporal verbs are accepted and wait.
async fn ready(State(core): State<Arc<Core>>) -> (StatusCode, Json<Value>) {
    let code = if core.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let store = if core.ready() {
        "ok".to_owned()
    } else {
        core.waiting()
    };
    let temporal = core
        .temporal_trouble()
        .map_or_else(|| "ok".to_owned(), |trouble| trouble.cause);
    (code, Json(json!({"store": store, "temporal": temporal})))
}

/// The process-wide recorder, made once; `None` if another one was installed before.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let seconds = [
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ];
            PrometheusBuilder::new()
                .set_buckets(&seconds)
                .ok()?
                .install_recorder()
                .ok()
        })
        .as_ref()
}
