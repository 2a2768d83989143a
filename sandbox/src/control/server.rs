//! The serving side of the control API.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{ClusterInfo, Refusal};
use crate::host::{Error, Fault, Healed, LogEntry, Served};

/// Serves until told to stop.
pub(crate) async fn serve(
    served: Arc<Served>,
    listener: TcpListener,
    token: String,
    stop: CancellationToken,
) {
    let expected: Arc<str> = format!("Bearer {token}").into();
    let router = Router::new()
        .route("/clusters", get(clusters))
        .route(
            "/clusters/{name}/faults",
            get(faults).post(fault).delete(heal),
        )
        .route("/clusters/{name}/log", get(log).delete(clear_log))
        .layer(middleware::from_fn_with_state(expected, guard))
        .with_state(served);
    // Not the graceful kind: an idle connection of a client must not hold the shutdown up.
    tokio::select! {
        ended = axum::serve(listener, router) => if let Err(error) = ended {
            tracing::error!(%error, "the control API ended");
        },
        () = stop.cancelled() => {}
    }
}

async fn guard(State(expected): State<Arc<str>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(AUTHORIZATION);
    if sent.is_some_and(|sent| sent.as_bytes() == expected.as_bytes()) {
        next.run(request).await
    } else {
        refuse(StatusCode::UNAUTHORIZED, "the control token is missing")
    }
}

async fn clusters(State(served): State<Arc<Served>>) -> Json<Vec<ClusterInfo>> {
    let clusters = served.addresses().map(|address| ClusterInfo {
        name: address.name.clone(),
        server: address.server.clone(),
        kubeconfig: address.kubeconfig_file.clone(),
        faults: served.faults(&address.name).unwrap_or_default(),
    });
    Json(clusters.collect())
}

async fn faults(
    State(served): State<Arc<Served>>,
    Path(name): Path<String>,
) -> Result<Json<Vec<Fault>>, Error> {
    Ok(Json(served.faults(&name)?))
}

async fn fault(
    State(served): State<Arc<Served>>,
    Path(name): Path<String>,
    Json(fault): Json<Fault>,
) -> Result<Json<Vec<Fault>>, Error> {
    served.fault(&name, fault)?;
    Ok(Json(served.faults(&name)?))
}

async fn heal(
    State(served): State<Arc<Served>>,
    Path(name): Path<String>,
) -> Result<Json<Healed>, Error> {
    // Detached: a client that leaves does not stop finalizers from coming off.
    let healing = tokio::spawn(async move { served.heal(&name).await });
    match healing.await {
        Ok(healed) => Ok(Json(healed?)),
        Err(lost) => std::panic::resume_unwind(lost.into_panic()),
    }
}

async fn log(
    State(served): State<Arc<Served>>,
    Path(name): Path<String>,
) -> Result<Json<Vec<LogEntry>>, Error> {
    Ok(Json(served.log(&name)?))
}

async fn clear_log(
    State(served): State<Arc<Served>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    served.clear_log(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let code = match &self {
            Self::UnknownCluster { .. } => StatusCode::NOT_FOUND,
            Self::Fault(_) => StatusCode::BAD_REQUEST,
            Self::StillHung { .. } => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        refuse(code, &self.to_string())
    }
}

fn refuse(code: StatusCode, message: &str) -> Response {
    let message = message.to_owned();
    (code, Json(Refusal { message })).into_response()
}
