//! Connecting to a Temporal server.

use crate::{Boxed, Server, TemporalError, chain};
use std::{error::Error, time::Duration};
use temporalio_client::{
    ClientOptions, Connection, ConnectionOptions, GrpcCompression, Url,
    envconfig::{ClientConfigProfile, ConfigError, LoadClientConfigProfileOptions},
    errors::ClientConnectError,
};
use temporalio_common::envconfig::load_client_config_profile;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_NAMESPACE: &str = "default";

/// A connected client; cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: temporalio_client::Client,
}

impl Client {
    /// Connects and asks the server for its capabilities, so that a wrong address shows here.
    ///
    /// # Errors
    /// Transient when the server does not answer (yet); final when the settings are wrong.
    pub fn connect(server: Server) -> Boxed<'static, Result<Client, TemporalError>> {
        Box::pin(async move {
            let profile =
                load_client_config_profile(LoadClientConfigProfileOptions::default(), None)
                    .map_err(wrong_settings)?;
            Self::with_profile(with_flags(profile, server)).await
        })
    }

    /// Connects to a server of our own making: the environment and `temporal.toml`, which speak
    /// of another one, are left alone.
    pub fn connect_only(server: Server) -> Boxed<'static, Result<Client, TemporalError>> {
        Self::with_profile(with_flags(ClientConfigProfile::default(), server))
    }

    fn with_profile(profile: ClientConfigProfile) -> Boxed<'static, Result<Client, TemporalError>> {
        Box::pin(async move {
            let (connection, client) = options(profile)?;
            let target = connection.target.to_string();
            let connected = tokio::time::timeout(
                CONNECT_TIMEOUT.saturating_mul(2),
                Connection::connect(connection),
            );
            let connection = match connected.await {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => return Err(refused(&target, &error)),
                Err(_) => {
                    return Err(TemporalError::passing(
                        "connect",
                        format!("{target} does not answer"),
                    ));
                }
            };
            let inner = temporalio_client::Client::new(connection, client)
                .map_err(|error| TemporalError::permanent("connect", chain(&error)))?;
            Ok(Client { inner })
        })
    }

    /// The namespace this client is bound to.
    pub fn namespace(&self) -> &str {
        &self.inner.options().namespace
    }
}

fn wrong_settings(error: ConfigError) -> TemporalError {
    TemporalError::permanent(
        "read TEMPORAL_* and temporal.toml",
        unquoted(&chain(&error)),
    )
}

/// Without the lines that a TOML error quotes (`2 | api_key = …`): they may hold a key.
fn unquoted(said: &str) -> String {
    let quote = |line: &&str| {
        line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit())
            .starts_with('|')
    };
    let lines = said.lines().filter(|line| !quote(line) && !line.is_empty());
    lines.collect::<Vec<_>>().join(": ")
}

fn options(
    profile: ClientConfigProfile,
) -> Result<(ConnectionOptions, ClientOptions), TemporalError> {
    let namespace = profile
        .namespace
        .clone()
        .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let mut connection = ConnectionOptions::try_from(profile).map_err(wrong_settings)?;
    connection.connect_timeout = Some(CONNECT_TIMEOUT);
    if loopback(&connection.target) {
        // Compressing for a server on the same machine costs its cores and saves nothing.
        connection.grpc_compression = GrpcCompression::None;
    }
    Ok((connection, ClientOptions::new(namespace).build()))
}

fn with_flags(mut profile: ClientConfigProfile, server: Server) -> ClientConfigProfile {
    if server.address.is_some() {
        profile.address = server.address;
    }
    if server.namespace.is_some() {
        profile.namespace = server.namespace;
    }
    profile
}

fn loopback(target: &Url) -> bool {
    target
        .host_str()
        .is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}

fn refused(target: &str, error: &ClientConnectError) -> TemporalError {
    let (cause, transient) = match error {
        // Its own words show the error's inside.
        ClientConnectError::TonicTransportError(error) => (innermost(error), true),
        ClientConnectError::DnsResolutionError { .. } => (chain(error), true),
        ClientConnectError::SystemInfoCallError(status) => {
            let transient = TemporalError::rpc("connect", status).transient;
            (status.message().to_owned(), transient)
        }
        error => (chain(error), false),
    };
    TemporalError {
        operation: "connect",
        cause: format!("{target}: {cause}"),
        transient,
    }
}

/// What it comes down to: "Connection refused".
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_quotes_is_left_out() {
        let said = "loading: TOML parse error at line 12, column 3\n   |\n12 | api_key = \"a\n   |   ^\n\
                    invalid basic string\n";
        assert_eq!(
            unquoted(said),
            "loading: TOML parse error at line 12, column 3: invalid basic string"
        );
    }

    #[test]
    fn flags_win_over_the_profile_and_absent_ones_leave_it() {
        let profile = || {
            let mut profile = ClientConfigProfile::default();
            profile.address = Some("file:1".into());
            profile.namespace = Some("from-file".into());
            profile
        };
        let check = |server: Server, address: &str, namespace: &str| {
            let merged = with_flags(profile(), server);
            assert_eq!(merged.address.as_deref(), Some(address));
            assert_eq!(merged.namespace.as_deref(), Some(namespace));
        };
        check(Server::default(), "file:1", "from-file");
        let flag = Server {
            address: Some("flag:2".into()),
            namespace: None,
        };
        check(flag, "flag:2", "from-file");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_a_transient_error_that_names_the_address() {
        let server = Server {
            address: Some("127.0.0.1:1".into()),
            namespace: None,
        };
        let error = Client::connect(server).await.err().expect("nobody listens");
        assert!(error.transient, "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("temporal: connect: http://127.0.0.1:1/: Connection refused"),
            "{text}"
        );
    }
}
