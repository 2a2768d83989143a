//! Dialling a cluster: TCP, perhaps through a proxy, then TLS, then HTTP/1.1.

use super::{
    answer::{NetError, Stage, root_cause},
    gate::{Gate, Gated},
};
use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        proxy::{SocksV5, Tunnel},
    },
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tower::Service;

/// Where a cluster is, and how it is to be trusted.
pub struct Target {
    /// `scheme://host:port`, without a path.
    pub uri: Uri,
    pub proxy: Option<Uri>,
    /// `None` for plain HTTP.
    pub tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
}

/// One HTTP/1.1 connection that is up; one request at a time.
pub struct Connection {
    pub sender: SendRequest<Full<Bytes>>,
    pub gate: Arc<Gate>,
    pub idle_since: Instant,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Target {
    fn host(&self) -> &str {
        self.uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    fn port(&self) -> u16 {
        self.uri
            .port_u16()
            .unwrap_or(if self.tls.is_some() { 443 } else { 80 })
    }

    /// No connection came up; `how` says why.
    fn failed(&self, how: &str) -> NetError {
        let space = if how.starts_with(':') { "" } else { " " };
        NetError::new(
            Stage::Connect,
            format!("connect to {}:{}{space}{how}", self.host(), self.port()),
        )
    }
}

/// Dials within a time. Nothing of a request has left when this fails.
pub async fn dial(target: &Target, within: Duration) -> Result<Connection, NetError> {
    let until = Instant::now() + within;
    let tcp = tcp(target, until).await?;
    let _ = tcp.set_nodelay(true);
    let gate = Gate::new();
    let gated = Gated::new(tcp, gate.clone());
    let stream: Box<dyn Stream> = match &target.tls {
        None => Box::new(gated),
        Some((config, name)) => {
            let tls = tokio_rustls::TlsConnector::from(config.clone());
            match timeout_at(until, tls.connect(name.clone(), gated)).await {
                Ok(connected) => Box::new(connected.map_err(|error| untrusted(target, &error))?),
                Err(_) => return Err(target.failed("timed out during the TLS handshake")),
            }
        }
    };
    let (sender, connection) = Builder::new()
        .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(|e| NetError::new(Stage::Connect, root_cause(&e)))?;
    // The task ends with the connection; its error reaches the request through `sender`.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Connection {
        sender,
        gate,
        idle_since: Instant::now(),
    })
}

/// What is wrong with the server's certificate, or the handshake.
fn untrusted(target: &Target, error: &io::Error) -> NetError {
    use rustls::CertificateError as Bad;
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let certificate = match inner {
        Some(rustls::Error::InvalidCertificate(bad)) => match bad {
            Bad::UnknownIssuer | Bad::BadSignature => {
                "is signed by an authority the kubeconfig does not trust"
            }
            Bad::Expired | Bad::ExpiredContext { .. } => "has expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "is not valid yet",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "is for another name; tls-server-name of the kubeconfig can name it"
            }
            _ => "is not acceptable",
        },
        // Something else answers there, or the connection was lost.
        _ => {
            let cause = format!("TLS with {}: {}", target.host(), root_cause(error));
            let stage = match inner {
                Some(_) => Stage::Tls,
                None => Stage::Connect,
            };
            return NetError::new(stage, cause);
        }
    };
    NetError::new(
        Stage::Tls,
        format!("TLS: the certificate of {} {certificate}", target.host()),
    )
}

async fn tcp(target: &Target, until: Instant) -> Result<TcpStream, NetError> {
    match &target.proxy {
        None => direct(target, until).await,
        Some(proxy) => match timeout_at(until, through(target, proxy)).await {
            Ok(result) => result,
            Err(_) => Err(target.failed("through its proxy timed out")),
        },
    }
}

async fn direct(target: &Target, until: Instant) -> Result<TcpStream, NetError> {
    let unresolved = |cause: &str| {
        NetError::new(
            Stage::Dns,
            format!("the name {} cannot be resolved{cause}", target.host()),
        )
    };
    let lookup = tokio::net::lookup_host((target.host(), target.port()));
    let addresses: Vec<_> = match timeout_at(until, lookup).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) => return Err(unresolved("")),
        Err(_) => return Err(unresolved(" in time")),
    };
    match timeout_at(until, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(tcp)) => Ok(tcp),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(target.failed(": connection refused"))
        }
        Ok(Err(error)) => Err(target.failed(&format!(": {error}"))),
        Err(_) => Err(target.failed("timed out")),
    }
}

async fn through(target: &Target, proxy: &Uri) -> Result<TcpStream, NetError> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let failed = |cause: String| {
        NetError::new(
            Stage::Connect,
            format!("proxy {}: {cause}", proxy.host().unwrap_or_default()),
        )
    };
    match proxy.scheme_str() {
        Some("http") => {
            let mut tunnel = Tunnel::new(proxy.clone(), connector);
            if let Some(authorization) = basic_authorization(proxy) {
                tunnel = tunnel.with_auth(authorization);
            }
            tunnel
                .call(target.uri.clone())
                .await
                .map(TokioIo::into_inner)
                .map_err(|e| failed(root_cause(&e)))
        }
        Some("socks5") => SocksV5::new(proxy.clone(), connector)
            .call(target.uri.clone())
            .await
            .map(TokioIo::into_inner)
            .map_err(|e| failed(root_cause(&e))),
        other => Err(failed(format!(
            "scheme {:?} is not supported",
            other.unwrap_or_default()
        ))),
    }
}

fn basic_authorization(proxy: &Uri) -> Option<http::HeaderValue> {
    use base64::Engine;
    let (user, _) = proxy.authority()?.as_str().rsplit_once('@')?;
    let text = base64::engine::general_purpose::STANDARD.encode(user);
    http::HeaderValue::from_str(&format!("Basic {text}")).ok()
}
