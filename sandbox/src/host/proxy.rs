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
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::TokioExecutor;

use super::backend::{Backend, Gone};
use super::error::Error;
use upstream::Upstream;

mod upstream;

/// The version of the real cluster that the kubeconfig's current context names.
///
/// # Errors
/// Why it cannot be asked or does not answer; never with a credential.
pub async fn version(kubeconfig: &Path) -> Result<String, String> {
    let proxy = Proxy::open(kubeconfig).map_err(|error| error.to_string())?;
    proxy.version().await.map_err(|gone| gone.0)
}

/// A real API server.
pub(crate) struct Proxy {
    /// Scheme and authority, and a path prefix if the server has one.
    server: Uri,
    identity: Identity,
    /// Whom the server is to take us for.
    impersonation: HeaderMap,
    route: Route,
}

/// The way to the server.
enum Route {
    Direct(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    /// Through the kubeconfig's `proxy-url`.
    Tunnel(Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>),
}

impl Route {
    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        match self {
            Self::Direct(client) => client.request(request),
            Self::Tunnel(client) => client.request(request),
        }
    }
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
        let connector = connector.enable_http1();
        let client = Client::builder(TokioExecutor::new());
        let route = match upstream.through {
            None => Route::Direct(client.build(connector.wrap_connector(tcp))),
            Some(through) => {
                let mut tunnel = Tunnel::new(through.address, tcp);
                if let Some(authorization) = through.authorization {
                    tunnel = tunnel.with_auth(authorization);
                }
                Route::Tunnel(client.build(connector.wrap_connector(tunnel)))
            }
        };
        Ok(Self {
            server: upstream.server,
            identity: upstream.identity,
            impersonation: upstream.impersonation,
            route,
        })
    }

    /// The server's version, asked for now.
    pub async fn version(&self) -> Result<String, Gone> {
        let request = Request::get("/version").body(Bytes::new());
        let request = request.map_err(|error| Gone(error.to_string()))?;
        let answer = self.forward(request).await?;
        let code = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await;
        let body = body.map_err(|error| Gone(chain(&error)))?;
        let version: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        match version["gitVersion"].as_str() {
            Some(version) if code.is_success() => Ok(version.to_owned()),
            _ => Err(Gone(format!("GET /version was answered with {code}"))),
        }
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
        for (name, value) in &self.impersonation {
            headers.append(name.clone(), value.clone());
        }
        let answer = self.route.request(request.map(Full::new)).await;
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
