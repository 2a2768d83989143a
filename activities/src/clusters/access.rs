//! From a kubeconfig's text to what requests need: address, trust, credentials.

use super::{
    answer::{NetError, Stage},
    dial::Target,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::Full;
use kube::{
    Config,
    client::{AuthError, ConfigExt},
    config::{KubeConfigOptions, Kubeconfig},
};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tower::{BoxError, Layer, ServiceExt, util::BoxCloneSyncService};

/// kube's authorization layer over a service that echoes the headers it is given.
type Authorize = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// How requests to a cluster are addressed and authorized.
pub struct Access {
    /// Path prefix of the server's URL, without a trailing slash.
    prefix: String,
    headers: HeaderMap,
    authorize: Option<Authorize>,
    /// The server's certificate is not looked at, since the kubeconfig says so.
    pub unverified: bool,
}

fn refused(cause: impl std::fmt::Display) -> NetError {
    NetError::new(Stage::Credentials, format!("kubeconfig: {cause}"))
}

/// Reads a kubeconfig. A document that users upload must not reach into the worker's machine: exec
/// plugins run only if their command is on the allow list, and files are not read.
pub async fn read(
    text: &str,
    context: Option<&str>,
    allowed_exec: &[String],
) -> Result<(Target, Access), NetError> {
    // The parser's own words may quote a line, and lines hold credentials.
    let kubeconfig = Kubeconfig::from_yaml(text)
        .map_err(|_| refused("it cannot be read as YAML of a Config"))?;
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        cluster: None,
        user: None,
    };
    check_files(&kubeconfig, context)?;
    let explicit_proxy = kubeconfig.clusters.iter().any(|c| {
        c.cluster
            .as_ref()
            .is_some_and(|c| c.proxy_url.as_ref().is_some_and(|p| !p.is_empty()))
    });
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(refused)?;
    check_exec(&config, allowed_exec)?;
    if let Some(exec) = &mut config.auth_info.exec {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        exec.drop_env = Some(names.filter(|name| is_ours(name)).collect());
    }
    // An exec plugin blocks while it runs.
    tokio::task::spawn_blocking(move || build(&config, explicit_proxy))
        .await
        .map_err(refused)?
}

/// What went wrong with credentials, without what a plugin printed: that may be a token.
fn unauthorized(error: &AuthError) -> NetError {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            refused(format!("the exec plugin ended with {}", out.status))
        }
        AuthError::AuthExecParse(_) => refused("the exec plugin's output cannot be read"),
        error => refused(error),
    }
}

/// A file's path would be one of this machine.
fn check_files(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<(), NetError> {
    let chosen = context.or(kubeconfig.current_context.as_deref());
    let Some(chosen) = kubeconfig
        .contexts
        .iter()
        .find(|entry| Some(entry.name.as_str()) == chosen)
        .and_then(|entry| entry.context.as_ref())
    else {
        return Ok(());
    };
    let mut named = Vec::new();
    let clusters = kubeconfig.clusters.iter();
    for cluster in clusters.filter(|entry| entry.name == chosen.cluster) {
        let cluster = cluster.cluster.as_ref();
        let file = cluster.and_then(|cluster| cluster.certificate_authority.as_ref());
        named.push(("certificate-authority", file.is_some()));
    }
    let users = kubeconfig.auth_infos.iter();
    for user in users.filter(|entry| Some(&entry.name) == chosen.user.as_ref()) {
        let Some(user) = &user.auth_info else {
            continue;
        };
        named.extend([
            ("tokenFile", user.token_file.is_some()),
            ("client-certificate", user.client_certificate.is_some()),
            ("client-key", user.client_key.is_some()),
        ]);
    }
    match named.iter().find(|(_, is)| *is) {
        Some((setting, _)) => Err(refused(format!(
            "it names a file with {setting}, which a worker does not read; apply the Cluster document with `muster apply -f`, which sends the file's content"
        ))),
        None => Ok(()),
    }
}

/// Variables that choose what a program's name means, or what is loaded into it.
fn chooses_code(variable: &str) -> bool {
    variable == "PATH" || variable.starts_with("LD_") || variable.starts_with("DYLD_")
}

/// Variables that a worker is set up with: passwords of the store and of Temporal are among them. A
/// plugin gets all others, as those of its cloud.
fn is_ours(variable: &str) -> bool {
    variable.starts_with("MUSTER_") || variable.starts_with("TEMPORAL_")
}

fn check_exec(config: &Config, allowed: &[String]) -> Result<(), NetError> {
    if let Some(exec) = &config.auth_info.exec {
        let command = exec.command.as_deref().unwrap_or_default();
        if !allowed.iter().any(|a| a == command) {
            return Err(refused(format!(
                "exec plugin {command:?} is not on the worker's allow list; start muster-worker with --allow-exec {command} (MUSTER_ALLOW_EXEC)"
            )));
        }
        let variables = exec.env.iter().flatten();
        if let Some(variable) = variables
            .filter_map(|pair| pair.get("name"))
            .find(|name| chooses_code(name))
        {
            return Err(refused(format!(
                "exec plugin {command:?} may not set {variable}: it would choose another program"
            )));
        }
    }
    if let Some(provider) = &config.auth_info.auth_provider {
        return Err(refused(format!(
            "auth provider {:?} is not supported",
            provider.name
        )));
    }
    Ok(())
}

fn build(config: &Config, explicit_proxy: bool) -> Result<(Target, Access), NetError> {
    let url = &config.cluster_url;
    let host = url.host().unwrap_or_default();
    let authority = url
        .authority()
        .ok_or_else(|| refused("the server has no address"))?;
    let secure = url.scheme_str() != Some("http");
    let tls = if secure {
        let mut client = config.rustls_client_config().map_err(refused)?;
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = config.tls_server_name.clone().unwrap_or_else(|| {
            host.trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned()
        });
        Some((
            Arc::new(client),
            ServerName::try_from(name).map_err(refused)?,
        ))
    } else {
        None
    };
    let uri: Uri = format!("{}://{authority}", if secure { "https" } else { "http" })
        .parse()
        .map_err(refused)?;
    // Proxies of the environment are not meant for clusters on this machine.
    let local = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    let proxy = config
        .proxy_url
        .clone()
        .filter(|_| explicit_proxy || !local);
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, authority.as_str().parse().map_err(refused)?);
    headers.insert(
        header::USER_AGENT,
        http::HeaderValue::from_static(concat!("muster/", env!("CARGO_PKG_VERSION"))),
    );
    impersonation(config, &mut headers)?;
    let echo = tower::service_fn(|request: Request<Full<Bytes>>| async move {
        let (parts, _) = request.into_parts();
        let mut response = Response::new(Full::default());
        *response.headers_mut() = parts.headers;
        Ok::<_, BoxError>(response)
    });
    let authorize = config
        .auth_layer()
        .map_err(|error| match &error {
            kube::Error::Auth(error) => unauthorized(error),
            error => refused(error),
        })?
        .map(|layer| BoxCloneSyncService::new(layer.layer(echo)));
    let prefix = url.path().trim_end_matches('/').to_owned();
    Ok((
        Target { uri, proxy, tls },
        Access {
            prefix,
            headers,
            authorize,
            unverified: secure && config.accept_invalid_certs,
        },
    ))
}

fn impersonation(config: &Config, headers: &mut HeaderMap) -> Result<(), NetError> {
    let who = &config.auth_info;
    if let Some(user) = &who.impersonate {
        headers.insert("impersonate-user", user.parse().map_err(refused)?);
    }
    if let Some(uid) = &who.impersonate_uid {
        headers.insert("impersonate-uid", uid.parse().map_err(refused)?);
    }
    for group in who.impersonate_groups.iter().flatten() {
        headers.append("impersonate-group", group.parse().map_err(refused)?);
    }
    for (key, values) in who.impersonate_user_extra.iter().flatten() {
        let name = http::HeaderName::try_from(format!("impersonate-extra-{key}"));
        let name = name.map_err(|_| refused(format!("as-user-extra {key:?} is no header")))?;
        for value in values {
            headers.append(name.clone(), value.parse().map_err(refused)?);
        }
    }
    Ok(())
}

impl Access {
    /// Completes a request: full path, host, credentials.
    pub async fn complete(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, NetError> {
        let (mut parts, body) = request.into_parts();
        if !self.prefix.is_empty() {
            let path = parts
                .uri
                .path_and_query()
                .map_or("/", http::uri::PathAndQuery::as_str);
            parts.uri = format!("{}{path}", self.prefix).parse().map_err(refused)?;
        }
        for (name, value) in &self.headers {
            parts.headers.append(name.clone(), value.clone());
        }
        if let Some(authorize) = &self.authorize {
            let answer = authorize
                .clone()
                .oneshot(Request::new(Full::default()))
                .await
                .map_err(|error| match error.downcast_ref::<AuthError>() {
                    Some(error) => unauthorized(error),
                    None => refused("the credentials cannot be renewed"),
                })?;
            if let Some(value) = answer.headers().get(header::AUTHORIZATION) {
                parts.headers.insert(header::AUTHORIZATION, value.clone());
            }
        }
        Ok(Request::from_parts(parts, Full::new(Bytes::from(body))))
    }
}

#[cfg(test)]
mod tests;
