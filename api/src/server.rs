//! The listening server: binds, waits for the store while it already answers, serves until told to
//! stop.

use crate::{
    auth::{Gate, Tokens, TokensError},
    config::{Config, ConfigError},
    documents::Documents,
    lifecycle::Lifecycle,
    orphans::Orphans,
    shared::Core,
    telemetry::Observe,
    wake::{self, TemporalWaker, Waker},
    web,
};
use proto::v1::{
    self, document_service_server::DocumentServiceServer,
    lifecycle_service_server::LifecycleServiceServer, orphan_service_server::OrphanServiceServer,
};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use store::{KeyError, SealKey, Store, StoreError, without_password};
use tokio::net::TcpListener;
use tonic::{
    codec::CompressionEncoding,
    service::interceptor::InterceptedService,
    transport::{Identity, ServerTlsConfig, server::TcpIncoming},
};

/// Largest message of a unary call; uploads come in chunks.
pub const MAX_MESSAGE: usize = 16 << 20;
/// How long calls in flight may take to end after the stop.
const GRACE: Duration = Duration::from_secs(5);
/// Between two attempts to open the store.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The api cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Tokens(#[from] TokensError),
    #[error("listen on {address}: {source}; choose another address with {flag}")]
    Listen {
        address: SocketAddr,
        flag: &'static str,
        source: std::io::Error,
    },
    #[error("read {path}: {source}; name a PEM file with --tls-cert and --tls-key")]
    Tls {
        path: String,
        source: std::io::Error,
    },
    #[error("gRPC: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("gRPC reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("HTTP: {0}")]
    Http(std::io::Error),
    #[error("open the store: {0}")]
    Store(#[from] StoreError),
}

/// A server whose ports are bound but that does not answer yet.
pub struct Server {
    config: Config,
    key: SealKey,
    tokens: Option<Tokens>,
    tls: Option<Identity>,
    grpc: TcpListener,
    http: Option<TcpListener>,
    waker: Arc<dyn Waker>,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    pub grpc: SocketAddr,
    pub http: Option<SocketAddr>,
}

impl Server {
    /// Checks the configuration, reads key, tokens and certificate, takes the ports.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let waker = Arc::new(TemporalWaker::new(config.temporal.clone()));
        Self::bind_with(config, waker).await
    }

    /// With another way to wake workflows.
    pub async fn bind_with(config: Config, waker: Arc<dyn Waker>) -> Result<Self, ServeError> {
        config.check()?;
        let key = SealKey::read(&config.key_file)?;
        let tokens = config.tokens.as_deref().map(Tokens::read).transpose()?;
        let tls = match &config.tls {
            Some((cert, key)) => Some(Identity::from_pem(pem(cert)?, pem(key)?)),
            None => None,
        };
        let grpc = listen(config.grpc, "--grpc").await?;
        let http = match config.http {
            Some(address) => Some(listen(address, "--http").await?),
            None => None,
        };
        Ok(Self {
            config,
            key,
            tokens,
            tls,
            grpc,
            http,
            waker,
        })
    }

    /// The addresses, with the ports that were chosen for port 0.
    pub fn bound(&self) -> std::io::Result<Bound> {
        Ok(Bound {
            grpc: self.grpc.local_addr()?,
            http: self
                .http
                .as_ref()
                .map(TcpListener::local_addr)
                .transpose()?,
        })
    }

    /// Answers until `shutdown`; calls in flight get some seconds to end.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        let core = Arc::new(Core::new(self.config.max_upload, Arc::clone(&self.waker)));
        let (health, health_service) = tonic_health::server::health_reporter();
        health
            .set_service_status("", tonic_health::ServingStatus::NotServing)
            .await;

        let gate = Gate {
            tokens: self.tokens,
        };
        let documents = DocumentServiceServer::new(Documents::new(Arc::clone(&core)))
            .max_decoding_message_size(MAX_MESSAGE)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let lifecycle = LifecycleServiceServer::new(Lifecycle::new(Arc::clone(&core)))
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let orphans = OrphanServiceServer::new(Orphans::new(Arc::clone(&core)))
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let mut builder = tonic::transport::Server::builder();
        if let Some(identity) = self.tls {
            builder = builder.tls_config(ServerTlsConfig::new().identity(identity))?;
        }
        let router = builder
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20)
            .layer(Observe)
            .add_service(health_service)
            .add_service(InterceptedService::new(documents, gate.clone()))
            .add_service(InterceptedService::new(lifecycle, gate.clone()))
            .add_service(InterceptedService::new(orphans, gate.clone()))
            .add_service(InterceptedService::new(
                described().build_v1()?,
                gate.clone(),
            ))
            .add_service(InterceptedService::new(described().build_v1alpha()?, gate));

        let stop = core.stop.clone();
        let incoming = TcpIncoming::from(self.grpc).with_nodelay(Some(true));
        let grpc = router.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        let web = serve_http(self.http, Arc::clone(&core));
        let open = open(self.config, self.key, Arc::clone(&core), self.waker, health);
        let leave = async {
            tokio::select! {
                () = shutdown => {}
                () = stop.cancelled() => {}
            }
            stop.cancel();
            tokio::time::sleep(GRACE).await;
            tracing::info!("calls in flight are cut off");
        };
        let serve = async {
            // Whoever fails first ends the others.
            let ended = |result: &Result<(), ServeError>| {
                if result.is_err() {
                    stop.cancel()
                }
            };
            let (grpc, web, open) = tokio::join!(
                async {
                    let result = grpc.await.map_err(ServeError::from);
                    ended(&result);
                    result
                },
                async {
                    let result = web.await;
                    ended(&result);
                    result
                },
                async {
                    let result = open.await;
                    ended(&result);
                    result
                },
            );
            grpc.and(web).and(open)
        };
        tokio::select! {
            result = serve => result,
            () = leave => Ok(()),
        }
    }
}

/// Binds, reports the addresses, and answers until `shutdown`.
pub async fn serve(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
    report: impl FnOnce(Bound),
) -> Result<(), ServeError> {
    let address = config.grpc;
    let server = Server::bind(config).await?;
    report(server.bound().map_err(|source| ServeError::Listen {
        address,
        flag: "--grpc",
        source,
    })?);
    server.run(shutdown).await
}

fn pem(path: &Path) -> Result<Vec<u8>, ServeError> {
    std::fs::read(path).map_err(|source| ServeError::Tls {
        path: path.display().to_string(),
        source,
    })
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen {
            address,
            flag,
            source,
        })
}

async fn serve_http(listener: Option<TcpListener>, core: Arc<Core>) -> Result<(), ServeError> {
    // Before the first request, so that nothing counted is lost.
    web::recorder();
    let Some(listener) = listener else {
        return Ok(());
    };
    let stop = core.stop.clone();
    axum::serve(listener, web::router(core))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
        .map_err(ServeError::Http)
}

/// Opens the store, however long that takes, then wakes what waits until the stop.
async fn open(
    config: Config,
    key: SealKey,
    core: Arc<Core>,
    waker: Arc<dyn Waker>,
    health: tonic_health::server::HealthReporter,
) -> Result<(), ServeError> {
    let url = &config.store;
    let shown = without_password(url);
    let store = loop {
        let opened = tokio::select! {
            () = core.stop.cancelled() => return Ok(()),
            opened = Store::open_with(url, key.clone(), config.times.clone()) => opened,
        };
        match opened {
            Ok(store) => break store,
            Err(StoreError::Db(cause)) => {
                tracing::warn!(store = shown, %cause, "waiting for the store");
                let trouble = StoreError::Db(cause).trouble();
                let cause = trouble.map_or_else(
                    || format!("{shown} does not answer"),
                    |guide| guide.sees.to_owned(),
                );
                core.waits_for_store(trouble, cause);
            }
            // Another schema or another key will not go away by waiting.
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = core.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    };
    core.opened(store.clone());
    tracing::info!(store = shown, "the store is open");
    health
        .set_service_status("", tonic_health::ServingStatus::Serving)
        .await;
    health
        .set_serving::<DocumentServiceServer<Documents>>()
        .await;
    health
        .set_serving::<LifecycleServiceServer<Lifecycle>>()
        .await;
    health.set_serving::<OrphanServiceServer<Orphans>>().await;
    tokio::join!(
        wake::dispatch(Arc::clone(&core), store.clone(), Arc::clone(&waker)),
        wake::sweep(Arc::clone(&core), store.clone(), Arc::clone(&waker)),
        wake::watchers(Arc::clone(&core), store.clone(), Arc::clone(&waker)),
        wake::collect(core, store, waker, config.collect_sweep),
    );
    Ok(())
}
