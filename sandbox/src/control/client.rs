//! The asking side of the control API.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ClusterInfo, Refusal};
use crate::host::{ControlAddress, Fault, Healed, LogEntry, files};

/// Talks to the host that serves a data directory.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    bearer: HeaderValue,
    http: legacy::Client<HttpConnector, Full<Bytes>>,
}

/// Why the host did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing in the directory says where the control API is.
    #[error("no sandbox is served from {dir}: {reason}")]
    NotServed {
        /// The data directory.
        dir: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The host does not answer.
    #[error("the sandbox at {url} does not answer: {reason}")]
    Unreachable {
        /// The control API.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The host refused, in its own words.
    #[error("{message}")]
    Refused {
        /// HTTP status; 404 for an unknown cluster.
        code: u16,
        /// Why.
        message: String,
    },
}

impl Client {
    /// A client for the host that serves `dir`.
    ///
    /// # Errors
    /// No host has ever served it with a control API.
    pub fn from_dir(dir: &Path) -> Result<Self, ClientError> {
        let not_served = |reason: String| ClientError::NotServed {
            dir: dir.to_owned(),
            reason,
        };
        let path = files::control_file(dir);
        let text = files::read(&path).map_err(|error| not_served(error.to_string()))?;
        let text = text.ok_or_else(|| not_served("there is no control.json in it".to_owned()))?;
        let address: ControlAddress = serde_json::from_str(&text)
            .map_err(|_| not_served("its control.json is damaged".to_owned()))?;
        Self::new(&address)
    }

    /// A client for the control API at this address.
    ///
    /// # Errors
    /// A token that cannot be sent.
    pub fn new(address: &ControlAddress) -> Result<Self, ClientError> {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", address.token));
        let mut bearer = bearer.map_err(|_| ClientError::Unreachable {
            url: address.url.clone(),
            reason: "its token has characters no header can carry".to_owned(),
        })?;
        bearer.set_sensitive(true);
        Ok(Self {
            url: address.url.clone(),
            bearer,
            http: legacy::Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// All clusters with their faults.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn clusters(&self) -> Result<Vec<ClusterInfo>, ClientError> {
        self.ask(Method::GET, "/clusters", None::<&()>).await
    }

    /// Switches one more fault on; returns all that are on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn fault(&self, cluster: &str, fault: &Fault) -> Result<Vec<Fault>, ClientError> {
        let path = format!("/clusters/{cluster}/faults");
        self.ask(Method::POST, &path, Some(fault)).await
    }

    /// Switches all faults off and takes hanging finalizers off.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn heal(&self, cluster: &str) -> Result<Healed, ClientError> {
        let path = format!("/clusters/{cluster}/faults");
        self.ask(Method::DELETE, &path, None::<&()>).await
    }

    /// The requests the cluster received, oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log(&self, cluster: &str) -> Result<Vec<LogEntry>, ClientError> {
        let path = format!("/clusters/{cluster}/log");
        self.ask(Method::GET, &path, None::<&()>).await
    }

    /// Forgets the requests so far.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn clear_log(&self, cluster: &str) -> Result<(), ClientError> {
        let path = format!("/clusters/{cluster}/log");
        self.ask(Method::DELETE, &path, None::<&()>).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let lost = |reason: String| ClientError::Unreachable {
            url: self.url.clone(),
            reason,
        };
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| lost(error.to_string()))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(AUTHORIZATION, self.bearer.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| lost(error.to_string()))?;
        let answer = self.http.request(request).await;
        let answer = answer.map_err(|error| lost(error.to_string()))?;
        let code = answer.status();
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| lost(error.to_string()))?.to_bytes();
        if !code.is_success() {
            let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
            let message = refusal.map(|refusal| refusal.message);
            return Err(ClientError::Refused {
                code: code.as_u16(),
                message: message.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned()),
            });
        }
        // An answer without a body reads as null.
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(body).map_err(|error| lost(error.to_string()))
    }
}
