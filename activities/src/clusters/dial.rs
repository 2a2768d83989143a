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
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
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
}

/// Dials within a time. Nothing of a request has left when this fails.
pub async fn dial(target: &Target, within: Duration) -> Result<Connection, NetError> {
    match timeout(within, connect(target)).await {
        Ok(result) => result,
        Err(_) => Err(NetError::new(
            Stage::Connect,
            format!("connect to {}:{} timed out", target.host(), target.port()),
        )),
    }
}

async fn connect(target: &Target) -> Result<Connection, NetError> {
    let tcp = tcp(target).await?;
    let _ = tcp.set_nodelay(true);
    let gate = Gate::new();
    let gated = Gated::new(tcp, gate.clone());
    let stream: Box<dyn Stream> = match &target.tls {
        None => Box::new(gated),
        Some((config, name)) => {
            let tls = tokio_rustls::TlsConnector::from(config.clone());
            Box::new(tls.connect(name.clone(), gated).await.map_err(|e| {
                NetError::new(
                    Stage::Tls,
                    format!("tls with {}: {}", target.host(), root_cause(&e)),
                )
            })?)
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

async fn tcp(target: &Target) -> Result<TcpStream, NetError> {
    let refused = |cause: String| {
        NetError::new(
            Stage::Connect,
            format!("connect to {}:{}: {cause}", target.host(), target.port()),
        )
    };
    let Some(proxy) = &target.proxy else {
        return TcpStream::connect((target.host(), target.port()))
            .await
            .map_err(|e| refused(e.to_string()));
    };
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let through = |cause: String| {
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
                .map_err(|e| through(root_cause(&e)))
        }
        Some("socks5") => SocksV5::new(proxy.clone(), connector)
            .call(target.uri.clone())
            .await
            .map(TokioIo::into_inner)
            .map_err(|e| through(root_cause(&e))),
        other => Err(through(format!(
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
