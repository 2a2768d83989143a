//! One port per cluster: accepts connections, speaks TLS, and ends connections when the switch says so.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rand::Rng;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::Error;
use super::exchange::{Endpoint, exchange};
use super::files::HANDOVER_STEP;
use super::wire::{Line, Wire};

/// What is known about the port to listen on.
#[derive(Debug, Clone, Default)]
pub(crate) struct PortWish {
    /// Named by kubeconfigs out there: this one or none.
    pub promised: Option<u16>,
    /// Preferred.
    pub wanted: Option<u16>,
    /// Where the choice will be kept, so that a good one is worth a search.
    pub kept_in: Option<PathBuf>,
    /// How long a promised port may still be somebody's who is about to end.
    pub handover: Duration,
}

/// Binds a port of the loopback interface.
pub(crate) async fn listen(owner: &str, wish: &PortWish) -> Result<TcpListener, Error> {
    if let Some(port) = wish.promised {
        return listen_as_promised(owner, port, wish).await;
    }
    if let Some(port) = wish.wanted
        && let Ok(listener) = bind(port).await
    {
        return Ok(listener);
    }
    if wish.kept_in.is_some() {
        // Below the range the kernel takes the ports of outgoing connections from: such a port may be
        // somebody's when this cluster is down.
        let start = rand::rng().random_range(15_000..30_000);
        for port in start..start + 2_000 {
            if let Ok(listener) = bind(port).await {
                return Ok(listener);
            }
        }
    }
    bind(0).await.map_err(|source| Error::Listen {
        owner: owner.to_owned(),
        source,
    })
}

async fn listen_as_promised(owner: &str, port: u16, wish: &PortWish) -> Result<TcpListener, Error> {
    let until = Instant::now() + wish.handover;
    loop {
        match bind(port).await {
            Ok(listener) => return Ok(listener),
            Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {
                if Instant::now() >= until {
                    return Err(Error::PortTaken {
                        owner: owner.to_owned(),
                        port,
                        file: wish.kept_in.clone().unwrap_or_default(),
                    });
                }
                tokio::time::sleep(HANDOVER_STEP).await;
            }
            Err(source) => {
                return Err(Error::Listen {
                    owner: owner.to_owned(),
                    source,
                });
            }
        }
    }
}

async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// Accepts connections until the cluster stops.
pub(crate) async fn serve(endpoint: Arc<Endpoint>, listener: TcpListener, tls: Arc<ServerConfig>) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let accepted = tokio::select! {
            () = endpoint.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = connection(Arc::clone(&endpoint), socket, acceptor.clone());
                endpoint.tasks.spawn(connection);
            }
            Err(error) => {
                // Out of file descriptors, most likely: leave the processor to those who can close some.
                tracing::warn!(cluster = endpoint.name, %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(endpoint: Arc<Endpoint>, socket: TcpStream, acceptor: TlsAcceptor) {
    let line = Arc::new(Line::default());
    let mut turns = endpoint.switch.turns();
    let mut seen = *turns.borrow_and_update();
    // Without it small answers wait for the client's delayed acknowledgement.
    let _ = socket.set_nodelay(true);
    let wire = Wire::new(socket, endpoint.switch.hole(), Arc::clone(&line));
    let talk = talk(Arc::clone(&endpoint), wire, Arc::clone(&line), acceptor);
    tokio::pin!(talk);
    loop {
        tokio::select! {
            biased;
            () = endpoint.stop.cancelled() => return,
            () = line.until_cut() => return,
            changed = turns.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = *turns.borrow_and_update();
                if now.resets != seen.resets {
                    line.end_in_reset();
                    return;
                }
                if now.heals != seen.heals && line.is_stuck() {
                    return;
                }
                seen = now;
            }
            () = &mut talk => return,
        }
    }
}

async fn talk(endpoint: Arc<Endpoint>, wire: Wire, line: Arc<Line>, acceptor: TlsAcceptor) {
    let Ok(stream) = acceptor.accept(wire).await else {
        return;
    };
    let streams = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let executor = Tracked(endpoint.tasks.clone(), endpoint.stop.clone());
    let name = endpoint.name.clone();
    let service =
        service_fn(move |request| exchange(Arc::clone(&endpoint), Arc::clone(&line), request));
    let io = TokioIo::new(stream);
    let ended = if streams {
        hyper::server::conn::http2::Builder::new(executor)
            .max_concurrent_streams(250)
            .serve_connection(io, service)
            .await
    } else {
        hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .await
    };
    if let Err(error) = ended {
        tracing::trace!(cluster = name, %error, "connection ended");
    }
}

/// Runs HTTP/2 streams where a shutdown finds and ends them.
#[derive(Clone)]
struct Tracked(TaskTracker, CancellationToken);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        let stop = self.1.clone();
        self.0.spawn(async move {
            tokio::select! {
                _ = future => {}
                () = stop.cancelled() => {}
            }
        });
    }
}
