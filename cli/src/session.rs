//! One run of the program: the connection to the server, the deadline, who asks, where to write.

use crate::{
    args::{DEFAULT_SERVER, Global},
    fault::{Exit, Fault},
    names::DigName,
    output::Output,
    time,
};
use proto::v1::{
    document_service_client::DocumentServiceClient,
    lifecycle_service_client::LifecycleServiceClient, orphan_service_client::OrphanServiceClient,
};
use std::{error::Error, io::Read, time::Duration};
use tokio::time::Instant;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt;

/// A connection that says who asks.
pub type Connection = InterceptedService<Channel, Identity>;

/// A server that answers nothing for so long is not there.
const ANSWER: Duration = Duration::from_secs(60);
/// How a certificate begins.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// Headers of a request are limited to twice that.
const LONGEST_TOKEN: usize = 8 << 10;
/// A composite app comes with its objects.
const LARGEST_MESSAGE: usize = 256 << 20;

/// Says in every request who asks: by a token, or, where the server needs none, by the user's name.
#[derive(Clone)]
pub struct Identity {
    header: &'static str,
    value: Option<MetadataValue<Ascii>>,
}

impl Identity {
    fn of(global: &Global) -> Result<Self, Fault> {
        let Some(token) = global
            .token
            .as_deref()
            .map(str::trim)
            .filter(|token| !token.is_empty())
        else {
            let user = ["USER", "LOGNAME", "USERNAME"]
                .iter()
                .find_map(|name| std::env::var(name).ok());
            let value = user
                .filter(|user| !user.is_empty())
                .and_then(|user| MetadataValue::try_from(user).ok());
            return Ok(Self {
                header: "muster-actor",
                value,
            });
        };
        let wrong = |cause: &str| {
            Fault::usage(format!("the token {cause}"))
                .next("copy it again to --token or MUSTER_TOKEN")
        };
        if token.len() > LONGEST_TOKEN {
            return Err(wrong("is longer than 8 KiB"));
        }
        let mut value = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| wrong("holds characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Self {
            header: "authorization",
            value: Some(value),
        })
    }
}

impl Interceptor for Identity {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.value {
            request.metadata_mut().insert(self.header, value.clone());
        }
        Ok(request)
    }
}

pub struct Session {
    pub global: Global,
    pub output: Output,
    /// Standard input.
    pub input: Box<dyn Read + Send>,
    pub started: Instant,
    connection: Option<Connection>,
    request_id: String,
}

impl Session {
    pub fn new(global: Global, output: Output, input: Box<dyn Read + Send>) -> Self {
        let request_id = global
            .request_id
            .clone()
            .unwrap_or_else(|| ulid::Ulid::new().to_string());
        Self {
            global,
            output,
            input,
            started: Instant::now(),
            connection: None,
            request_id,
        }
    }

    /// When to give up, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.global
            .timeout
            .filter(|limit| !limit.is_zero())
            .map(|limit| self.started + limit)
    }

    pub fn dig(&self, name: &str) -> Result<DigName, Fault> {
        DigName::parse(name, &self.global.project)
    }

    /// The id of this run's request. Of several requests of one run each gets its own, made from it.
    pub fn request_id(&self, index: usize) -> String {
        if index == 0 {
            self.request_id.clone()
        } else {
            format!("{}-{index}", self.request_id)
        }
    }

    /// A command line that reaches the same server.
    pub fn hint(&self, command: &str) -> String {
        let from_environment =
            std::env::var("MUSTER_SERVER").is_ok_and(|server| server == self.global.server);
        if self.global.server == DEFAULT_SERVER || from_environment {
            format!("`muster {command}`")
        } else {
            format!("`muster {command} --server {}`", self.global.server)
        }
    }

    pub async fn documents(&mut self) -> Result<DocumentServiceClient<Connection>, Fault> {
        Ok(DocumentServiceClient::new(self.connection().await?)
            .max_decoding_message_size(LARGEST_MESSAGE))
    }

    pub async fn lifecycles(&mut self) -> Result<LifecycleServiceClient<Connection>, Fault> {
        Ok(LifecycleServiceClient::new(self.connection().await?)
            .max_decoding_message_size(LARGEST_MESSAGE))
    }

    pub async fn orphans(&mut self) -> Result<OrphanServiceClient<Connection>, Fault> {
        Ok(OrphanServiceClient::new(self.connection().await?)
            .max_decoding_message_size(LARGEST_MESSAGE))
    }

    /// Asks on the terminal; anything but yes is an end that says what was not done.
    pub fn confirm(&mut self, question: &str, declined: &str) -> Result<(), Fault> {
        self.output.raw_note(&format!("{question} [y/N] "));
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map_err(|error| {
            Fault::new(
                Exit::Failed,
                "INPUT",
                format!("cannot read the answer: {error}"),
            )
        })?;
        // The time it took to answer is not the server's.
        self.started = Instant::now();
        if matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        let message = format!("{declined}: you said no");
        Err(Fault::new(Exit::Failed, "DECLINED", message))
    }

    async fn connection(&mut self) -> Result<Connection, Fault> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let identity = Identity::of(&self.global)?;
        let endpoint = endpoint(&self.global)?;
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| unreachable(&self.global.server, &error))?;
        let connection = InterceptedService::new(channel, identity);
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Sends one request; again, with the same request id, when the connection breaks before the answer.
    pub async fn call<C: Clone, Q: Clone, A>(
        &self,
        client: &C,
        request: Q,
        send: impl AsyncFn(C, Q) -> Result<tonic::Response<A>, Status>,
    ) -> Result<A, Fault> {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = send(client.clone(), request.clone());
            let answer = tokio::time::timeout(ANSWER, answer).await.map_err(|_| {
                Fault::new(
                    Exit::TimedOut,
                    "DEADLINE_EXCEEDED",
                    format!(
                        "{} did not answer within {}",
                        self.global.server,
                        time::duration(ANSWER)
                    ),
                )
            })?;
            match answer {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if tries < 4 && broken(&status) && !waited(&status) => {
                    tokio::time::sleep(Duration::from_millis(100 << tries)).await;
                }
                Err(status) => return Err(self.fault(status)),
            }
        }
    }

    /// A failure of the server, or the way to it, in the user's words.
    pub fn fault(&self, status: Status) -> Fault {
        // A server that explains itself was reached.
        let explained = status.get_details_error_info().is_some();
        if broken(&status) && !explained {
            unreachable(&self.global.server, &status)
        } else {
            Fault::from(status)
        }
    }
}

/// The server has waited for what is missing long enough already.
fn waited(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| {
        ["STORE_LOCKED", "NO_WORKER", "TEMPORAL_UNREACHABLE"].contains(&info.reason.as_str())
    })
}

/// The connection broke or the server cannot answer now: the same request may be sent again.
pub fn broken(status: &Status) -> bool {
    let transport = status.source().is_some_and(|source| {
        source.is::<tonic::transport::Error>() || source.to_string().contains("transport error")
    });
    match status.code() {
        Code::Unavailable => true,
        Code::Unknown | Code::Internal | Code::Cancelled => {
            transport
                || status.message().contains("h2 protocol error")
                || status.message() == "transport error"
        }
        _ => false,
    }
}

fn endpoint(global: &Global) -> Result<Endpoint, Fault> {
    let server = global.server.trim().trim_end_matches('/');
    let url = match (server.contains("://"), &global.ca_cert) {
        (true, _) => server.to_owned(),
        (false, Some(_)) => format!("https://{server}"),
        (false, None) => format!("http://{server}"),
    };
    let wrong = || {
        Fault::usage(format!(
            "`{server}` is no address of a server; write it like {DEFAULT_SERVER}"
        ))
    };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(wrong());
    }
    if url.contains('@') {
        return Err(
            Fault::usage("the server's address holds a user or password")
                .next("leave them out; --token says who you are"),
        );
    }
    let mut endpoint = Endpoint::from_shared(url.clone())
        .map_err(|_| wrong())?
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    if url.starts_with("https://") {
        let mut tls = ClientTlsConfig::new();
        tls = match &global.ca_cert {
            Some(file) => {
                let pem = std::fs::read(file).map_err(|error| {
                    Fault::usage(format!(
                        "cannot read the CA certificate {}: {}",
                        file.display(),
                        innermost(&error)
                    ))
                    .next("correct --ca-cert or MUSTER_CA_CERT")
                })?;
                if !pem.windows(PEM.len()).any(|window| window == PEM) {
                    let file = file.display();
                    return Err(Fault::usage(format!("{file} holds no CA certificate"))
                        .next("name a PEM file with --ca-cert or MUSTER_CA_CERT"));
                }
                tls.ca_certificate(Certificate::from_pem(pem))
            }
            None => tls.with_native_roots(),
        };
        endpoint = endpoint.tls_config(tls).map_err(|error| {
            Fault::usage(format!(
                "the CA certificate cannot be used: {}",
                innermost(&error)
            ))
            .next("name a PEM file with --ca-cert or MUSTER_CA_CERT")
        })?;
    }
    Ok(endpoint)
}

fn unreachable(server: &str, error: &(dyn Error + 'static)) -> Fault {
    let cause = match error.downcast_ref::<Status>() {
        Some(status) if status.source().is_none() => crate::words::plain(status.message()),
        _ => innermost(error),
    };
    let next = if server == DEFAULT_SERVER {
        "start one with `muster-dev up`, or name another with --server or MUSTER_SERVER"
    } else {
        "check that it runs and that --server or MUSTER_SERVER names it"
    };
    Fault::new(
        Exit::Unreachable,
        "UNAVAILABLE",
        format!("cannot reach the server at {server}: {cause}"),
    )
    .next(next)
}

/// The deepest cause: what says most.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    // The operating system's number says nothing to people.
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
