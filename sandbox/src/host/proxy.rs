//! A real API server as a backend: requests go on with the credentials of its kubeconfig.

use std::path::{Path, PathBuf};

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::backend::{Backend, Gone};
use super::error::Error;
use upstream::Upstream;

mod upstream;

/// A real API server.
pub(crate) struct Proxy {
    /// Scheme and authority, and a path prefix if the server has one.
    server: Uri,
    identity: Identity,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// How the proxy says who it is; client certificates are in the client.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    /// By certificate, or not at all.
    Connection,
    /// By this header.
    Header(HeaderValue),
    /// By a token that is replaced from time to time.
    TokenFile(PathBuf),
}

impl Proxy {
    /// Reads the kubeconfig; the server is not contacted yet.
    pub fn open(kubeconfig: &Path) -> Result<Self, Error> {
        let upstream = Upstream::read(kubeconfig).map_err(|reason| Error::Kubeconfig {
            path: kubeconfig.to_owned(),
            reason,
        })?;
        let mut connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(upstream.tls)
            .https_or_http();
        if let Some(name) = upstream.server_name {
            connector = connector
                .with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
        }
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = connector.enable_http1().wrap_connector(tcp);
        Ok(Self {
            server: upstream.server,
            identity: upstream.identity,
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    fn target(&self, asked: &Uri) -> Result<Uri, Gone> {
        let prefix = self.server.path().trim_end_matches('/');
        let rest = asked.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut parts = self.server.clone().into_parts();
        parts.path_and_query = Some(
            format!("{prefix}{rest}")
                .parse()
                .map_err(|error| Gone(format!("no such path: {error}")))?,
        );
        Uri::from_parts(parts).map_err(|error| Gone(format!("no such address: {error}")))
    }

    async fn identify(&self, headers: &mut HeaderMap) -> Result<(), Gone> {
        match &self.identity {
            Identity::Connection => {}
            Identity::Header(value) => {
                headers.insert(AUTHORIZATION, value.clone());
            }
            Identity::TokenFile(path) => {
                let token = tokio::fs::read_to_string(path).await;
                let token = token.map_err(|error| Gone(format!("read the token: {error}")))?;
                let value = secret(&format!("Bearer {}", token.trim())).map_err(Gone)?;
                headers.insert(AUTHORIZATION, value);
            }
        }
        Ok(())
    }

    async fn forward(&self, mut request: Request<Bytes>) -> Result<Response<Body>, Gone> {
        *request.uri_mut() = self.target(request.uri())?;
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        strip(headers);
        headers.remove(HOST);
        headers.remove(AUTHORIZATION);
        self.identify(headers).await?;
        let answer = self.client.request(request.map(Full::new)).await;
        let mut answer = answer.map_err(|error| Gone(chain(&error)))?;
        strip(answer.headers_mut());
        *answer.version_mut() = Version::HTTP_11;
        Ok(answer.map(Body::new))
    }
}

impl Backend for Proxy {
    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Gone>> {
        Box::pin(self.forward(request))
    }
}

/// Headers that are about one connection, not about the request.
fn strip(headers: &mut HeaderMap) {
    for name in [
        CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        headers.remove(name);
    }
}

/// A header value that debug output hides.
fn secret(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| "the credentials contain characters no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, String> {
    secret(&format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
