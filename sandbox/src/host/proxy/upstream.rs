//! Reads a kubeconfig: where the real API server is and how to be let in.

mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;

use super::{Identity, basic, secret};

/// What the current context of a kubeconfig says.
pub(super) struct Upstream {
    pub server: Uri,
    /// The name in the server's certificate, if it is not the address.
    pub server_name: Option<ServerName<'static>>,
    pub identity: Identity,
    /// `Impersonate-…` headers.
    pub impersonation: HeaderMap,
    /// The kubeconfig's `proxy-url`.
    pub through: Option<Through>,
    pub tls: ClientConfig,
}

/// An HTTP proxy.
pub(super) struct Through {
    pub address: Uri,
    pub authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: Option<UserEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    #[serde(default)]
    user: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
    as_uid: Option<String>,
    #[serde(default)]
    as_groups: Vec<String>,
    #[serde(default)]
    as_user_extra: BTreeMap<String, Vec<String>>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

impl Upstream {
    /// Reads the file; reasons never contain its contents.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let config: Kubeconfig =
            serde_yaml_ng::from_str(&text).map_err(|error| match error.location() {
                Some(at) => format!("not a kubeconfig, see line {}", at.line()),
                None => "not a kubeconfig".to_owned(),
            })?;
        let current = &config.current_context;
        let context = config.contexts.iter().find(|entry| entry.name == *current);
        let context = &context
            .ok_or_else(|| {
                format!("it has no context {current:?}, which should be the current one")
            })?
            .context;
        let cluster = config
            .clusters
            .into_iter()
            .find(|entry| entry.name == context.cluster)
            .ok_or_else(|| format!("it has no cluster {:?}", context.cluster))?
            .cluster;
        let user = config
            .users
            .into_iter()
            .find(|entry| entry.name == context.user)
            .and_then(|entry| entry.user)
            .unwrap_or_default();
        Self::of(&cluster, &user, folder)
    }

    fn of(cluster: &ClusterEntry, user: &UserEntry, folder: &Path) -> Result<Self, String> {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err("credentials from plugins cannot be used behind the fault switch; register the cluster with a Cluster document instead (`muster apply -f`, and --allow-exec)".to_owned());
        }
        let server: Uri = cluster
            .server
            .parse()
            .map_err(|error| format!("its server is no address: {error}"))?;
        if server.scheme().is_none() {
            return Err("its server has no https:// in front".to_owned());
        }
        let server_name = match &cluster.tls_server_name {
            Some(name) => Some(
                ServerName::try_from(name.clone())
                    .map_err(|error| format!("its tls-server-name is no name: {error}"))?,
            ),
            None => None,
        };
        Ok(Self {
            server,
            server_name,
            identity: identity(user, folder)?,
            impersonation: impersonation(user)?,
            through: through(cluster)?,
            tls: tls::tls(cluster, user, folder)?,
        })
    }
}

fn identity(user: &UserEntry, folder: &Path) -> Result<Identity, String> {
    // As in client-go, the file wins over the token beside it.
    if let Some(file) = &user.token_file {
        return Ok(Identity::TokenFile(folder.join(file)));
    }
    if let Some(token) = &user.token {
        return Ok(Identity::Header(secret(&format!("Bearer {token}"))?));
    }
    match (&user.username, &user.password) {
        (Some(name), Some(password)) => Ok(Identity::Header(basic(name, password)?)),
        _ => Ok(Identity::Connection),
    }
}

fn impersonation(user: &UserEntry) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| -> Result<(), String> {
        let name = HeaderName::try_from(name)
            .map_err(|_| format!("its {name:?} cannot be a header's name"))?;
        let value = HeaderValue::try_from(value)
            .map_err(|_| "whom it impersonates cannot be a header's value".to_owned())?;
        headers.append(name, value);
        Ok(())
    };
    for (name, values) in [
        ("impersonate-user", user.impersonate.as_slice()),
        ("impersonate-uid", user.as_uid.as_slice()),
        ("impersonate-group", user.as_groups.as_slice()),
    ] {
        values.iter().try_for_each(|value| add(name, value))?;
    }
    for (key, values) in &user.as_user_extra {
        let name = format!("impersonate-extra-{key}");
        values.iter().try_for_each(|value| add(&name, value))?;
    }
    Ok(headers)
}

fn through(cluster: &ClusterEntry) -> Result<Option<Through>, String> {
    let Some(text) = cluster.proxy_url.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let address: Uri = text
        .parse()
        .map_err(|_| "its proxy-url is no address".to_owned())?;
    if address.scheme_str() != Some("http") {
        return Err("its proxy-url is not http://, which is all that is supported here".to_owned());
    }
    let user = address
        .authority()
        .and_then(|authority| authority.as_str().rsplit_once('@'))
        .map(|(user, _)| user.split_once(':').unwrap_or((user, "")));
    let authorization = user
        .map(|(name, password)| basic(name, password))
        .transpose()?;
    Ok(Some(Through {
        address,
        authorization,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

    /// Reads a kubeconfig with this cluster and user, beside the files `ca.pem`, `tls.pem`, `key.pem`.
    fn read(cluster: &str, user: &str) -> Result<Upstream, String> {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        for (name, text) in [
            ("ca.pem", &certificate),
            ("tls.pem", &certificate),
            ("key.pem", &key),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let inline = |text: &str| {
            text.replace("CERTIFICATE", &STANDARD.encode(&certificate))
                .replace("KEY", &STANDARD.encode(&key))
        };
        let text = format!(
            "current-context: b\n\
             clusters: [{{name: other, cluster: {{server: 'https://wrong'}}}}, {{name: c, cluster: {{{}}}}}]\n\
             contexts: [{{name: b, context: {{cluster: c, user: u}}}}]\n\
             users: [{{name: u, user: {{{}}}}}]\n",
            inline(cluster),
            inline(user)
        );
        let path = folder.path().join("config");
        fs::write(&path, text).unwrap();
        Upstream::read(&path)
    }

    #[test]
    fn every_way_to_be_let_in_is_read() {
        let server = "server: 'https://127.0.0.1:6443/prefix'";
        for (cluster, user, by, certificate) in [
            ("", "", "nobody", false),
            (
                "certificate-authority: ca.pem",
                "token: t",
                "Bearer t",
                false,
            ),
            (
                "certificate-authority-data: CERTIFICATE",
                "client-certificate-data: CERTIFICATE, client-key-data: KEY",
                "nobody",
                true,
            ),
            (
                "insecure-skip-tls-verify: true, tls-server-name: a.b",
                "client-certificate: tls.pem, client-key: key.pem",
                "nobody",
                true,
            ),
            ("", "username: a, password: b", "Basic YTpi", false),
            ("", "tokenFile: token, token: t", "token", false),
        ] {
            let upstream = read(&format!("{server}, {cluster}"), user).unwrap();
            assert_eq!(upstream.server.path(), "/prefix");
            let shown = match &upstream.identity {
                Identity::Connection => "nobody".to_owned(),
                Identity::Header(value) => value.to_str().unwrap().to_owned(),
                Identity::TokenFile(path) => path.file_name().unwrap().to_str().unwrap().to_owned(),
            };
            assert_eq!(shown, by, "{user}");
            let has = upstream.tls.client_auth_cert_resolver.has_certs();
            assert_eq!(has, certificate, "{user}");
            let name = upstream.server_name.is_some();
            assert_eq!(name, cluster.contains("tls-server-name"), "{cluster}");
        }
    }

    #[test]
    fn the_way_to_the_server_and_whom_to_be_taken_for_are_read() {
        let upstream = read(
            "server: 'https://x', proxy-url: 'http://me:secret@127.0.0.1:3128'",
            "token: t, as: jane, as-groups: [a, b], as-user-extra: {scopes: [view]}",
        )
        .unwrap();
        let through = upstream.through.unwrap();
        assert_eq!(through.address.port_u16(), Some(3128));
        assert!(through.authorization.unwrap().is_sensitive());
        let shown: Vec<String> = upstream
            .impersonation
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            shown,
            [
                "impersonate-user=jane",
                "impersonate-group=a",
                "impersonate-group=b",
                "impersonate-extra-scopes=view"
            ]
        );
        assert!(read("server: 'https://x'", "").unwrap().through.is_none());
    }

    #[test]
    fn a_kubeconfig_that_cannot_be_used_says_why_without_its_secrets() {
        let server = "server: 'https://127.0.0.1:6443'";
        for (cluster, user, reason) in [
            (server, "exec: {command: secret}", "plugins"),
            ("server: '127.0.0.1:6443'", "", "https://"),
            (
                "server: 'https://x', certificate-authority-data: '*secret'",
                "",
                "base64",
            ),
            (
                "server: 'https://x', certificate-authority: gone.pem",
                "",
                "gone.pem",
            ),
            (
                server,
                "client-certificate: tls.pem, client-key-data: c2VjcmV0",
                "client-key",
            ),
            (server, "token: [secret]", "not a kubeconfig"),
            (
                "server: 'https://x', proxy-url: 'socks5://secret@x'",
                "",
                "proxy-url",
            ),
        ] {
            let error = read(cluster, user).err().unwrap();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
