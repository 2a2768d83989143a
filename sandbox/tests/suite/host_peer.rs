//! A client that holds exactly one connection, so that tests see what happens to it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sandbox::host::ClusterAddress;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What the client offers in ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Http1,
    Http2,
}

pub const BOTH: [Speaks; 2] = [Speaks::Http1, Speaks::Http2];

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

/// One connection to a cluster.
pub struct Peer {
    sender: Sender,
    server: String,
    token: String,
    /// Ends when the connection does; aborted when the peer leaves.
    line: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.line.abort();
    }
}

pub type Answer = (StatusCode, Value);

/// Dials and shakes hands.
pub async fn handshake(
    address: &ClusterAddress,
    speaks: Speaks,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(address.ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![match speaks {
        Speaks::Http1 => b"http/1.1".to_vec(),
        Speaks::Http2 => b"h2".to_vec(),
    }];
    let authority = address.server.strip_prefix("https://").unwrap();
    let socket = TcpStream::connect(authority).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("127.0.0.1").unwrap(), socket)
        .await
}

impl Peer {
    pub async fn connect(address: &ClusterAddress, speaks: Speaks) -> Self {
        let stream = handshake(address, speaks).await.unwrap();
        let offered = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert!(offered.is_some(), "no protocol was agreed on");
        let io = TokioIo::new(stream);
        let (sender, line) = match speaks {
            Speaks::Http1 => {
                let (sender, line) = hyper::client::conn::http1::handshake(io).await.unwrap();
                let line = tokio::spawn(async move { line.await.unwrap_or(()) });
                (Sender::Http1(sender), line)
            }
            Speaks::Http2 => {
                let executor = TokioExecutor::new();
                let (sender, line) = hyper::client::conn::http2::handshake(executor, io)
                    .await
                    .unwrap();
                let line = tokio::spawn(async move { line.await.unwrap_or(()) });
                (Sender::Http2(sender), line)
            }
        };
        Self {
            sender,
            server: address.server.clone(),
            token: address.token.clone(),
            line,
        }
    }

    pub fn with_token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        content: &str,
        body: String,
    ) -> Result<Answer, hyper::Error> {
        let uri = match self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("{}{path}", self.server),
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", self.server.strip_prefix("https://").unwrap())
            .header("authorization", format!("Bearer {}", self.token))
            .header("accept", "application/json")
            .header("content-type", content)
            .body(Full::from(body))
            .unwrap();
        let answer = match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await?,
            Sender::Http2(sender) => sender.send_request(request).await?,
        };
        let code = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((code, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    pub async fn get(&mut self, path: &str) -> Result<Answer, hyper::Error> {
        self.send(Method::GET, path, "application/json", String::new())
            .await
    }

    pub async fn delete(&mut self, path: &str) -> Result<Answer, hyper::Error> {
        let options = json!({"propagationPolicy": "Background"}).to_string();
        self.send(Method::DELETE, path, "application/json", options)
            .await
    }

    /// Applies a ConfigMap of this name, as field manager `tester`.
    pub async fn apply(&mut self, name: &str) -> Result<Answer, hyper::Error> {
        let path = format!("{}?fieldManager=tester&force=true", config_map(name));
        let content = "application/apply-patch+yaml";
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "default"},
            "data": {"a": "b"},
        });
        self.send(Method::PATCH, &path, content, body.to_string())
            .await
    }

    /// Waits until the connection has ended.
    pub async fn ended(mut self) {
        let _ = (&mut self.line).await;
    }
}

/// The path of a ConfigMap in `default`.
pub fn config_map(name: &str) -> String {
    format!("/api/v1/namespaces/default/configmaps/{name}")
}
