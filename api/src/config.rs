//! What the api is told: flags, then `MUSTER_*` variables, then a TOML file, then defaults.

use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// A setting is missing or makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read the configuration file {path}: {source}; correct it, or leave --config out")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    #[error(
        "the configuration file {path} is not understood: {cause}; `muster-api --help` lists what it may say"
    )]
    Malformed { path: String, cause: String },
    #[error("{what} is missing; pass {flag}")]
    Missing {
        what: &'static str,
        flag: &'static str,
    },
    #[error("{what} {text:?} is not an address; write IP:PORT, for example 127.0.0.1:7443")]
    Address { what: &'static str, text: String },
    #[error(
        "{address} is not a loopback address, and {lacking}; give --tls-cert, --tls-key and --tokens, or say --insecure"
    )]
    Exposed {
        address: SocketAddr,
        lacking: &'static str,
    },
    #[error(
        "the HTTP address {0} is not a loopback address, and HTTP has neither TLS nor tokens; choose a loopback address, or say --insecure"
    )]
    ExposedHttp(SocketAddr),
    #[error("--tls-cert and --tls-key belong together; give both or neither")]
    HalfTls,
}

/// Flags and environment of `muster-api`; the same names with the same meaning may stand in the
/// TOML file.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Settings {
    /// The database: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME. Its schema is brought up to
    /// date; a server that is not there yet is waited for.
    #[arg(long, env = "MUSTER_STORE", hide_env_values = true)]
    pub store: Option<String>,
    /// Temporal's frontend, HOST:PORT. Temporal's own TEMPORAL_* variables and temporal.toml fill
    /// what is not given.
    #[arg(long, env = "MUSTER_TEMPORAL")]
    pub temporal: Option<String>,
    /// Temporal's namespace.
    #[arg(long, env = "MUSTER_TEMPORAL_NAMESPACE")]
    pub temporal_namespace: Option<String>,
    /// Where to listen for gRPC [default: 127.0.0.1:7443]. Port 0 takes a free one.
    #[arg(long, env = "MUSTER_GRPC")]
    pub grpc: Option<String>,
    /// Where to serve /healthz, /readyz and /metrics over HTTP [default: 127.0.0.1:7080].
    #[arg(long, env = "MUSTER_HTTP")]
    pub http: Option<String>,
    /// File with the key that seals Secrets and kubeconfigs: 32 bytes in hex or base64 [default:
    /// muster.key beside the SQLite file; must be named for PostgreSQL]. All api and worker
    /// processes of one installation share it.
    #[arg(long, env = "MUSTER_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Listen beyond loopback without TLS and tokens: everybody who reaches the port may do
    /// everything.
    #[arg(long, env = "MUSTER_INSECURE", num_args = 0..=1, default_missing_value = "true")]
    pub insecure: Option<bool>,
    /// Certificate chain (PEM) for gRPC over TLS.
    #[arg(long, env = "MUSTER_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate.
    #[arg(long, env = "MUSTER_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// File of callers, one `NAME TOKEN` per line, `#` for comments. Calls then need
    /// `authorization: Bearer TOKEN`, and NAME is the actor in the operation log.
    #[arg(long, env = "MUSTER_TOKENS")]
    pub tokens: Option<PathBuf>,
    /// Largest upload of one `apply`, in MiB [default: 256].
    #[arg(long, env = "MUSTER_MAX_UPLOAD_MIB")]
    pub max_upload_mib: Option<u64>,
    /// How to write the log to stderr: `text` or `json` [default: text].
    #[arg(long, env = "MUSTER_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to log, as `tracing` filters: `info`, `api=debug,store=debug` … [default: info].
    #[arg(long, env = "MUSTER_LOG")]
    pub log: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl Settings {
    /// Fills what is absent from a TOML file.
    pub fn or_from_file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        let file: Self = toml::from_str(&text).map_err(|error| ConfigError::Malformed {
            path: path.display().to_string(),
            cause: unquoted(&text, &error),
        })?;
        Ok(self.or(file))
    }

    fn or(self, other: Self) -> Self {
        Self {
            store: self.store.or(other.store),
            temporal: self.temporal.or(other.temporal),
            temporal_namespace: self.temporal_namespace.or(other.temporal_namespace),
            grpc: self.grpc.or(other.grpc),
            http: self.http.or(other.http),
            key_file: self.key_file.or(other.key_file),
            insecure: self.insecure.or(other.insecure),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            tokens: self.tokens.or(other.tokens),
            max_upload_mib: self.max_upload_mib.or(other.max_upload_mib),
            log_format: self.log_format.or(other.log_format),
            log: self.log.or(other.log),
        }
    }
}

/// Where and what, without the line itself, which the error would quote: it may hold a password.
fn unquoted(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.unwrap_or_default().matches('\n').count() + 1;
    format!("line {line}: {}", error.message())
}

/// Everything the api needs to know, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `sqlite:PATH` or `postgres://…`.
    pub store: String,
    pub temporal: temporal::Server,
    pub grpc: SocketAddr,
    /// `None` = no HTTP.
    pub http: Option<SocketAddr>,
    pub key_file: PathBuf,
    pub insecure: bool,
    /// Certificate chain and private key, both PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub tokens: Option<PathBuf>,
    /// Bytes of one upload.
    pub max_upload: u64,
    /// The protocol's times, and how often the collector's sweep looks; tests shorten them.
    pub times: store::StoreConfig,
    pub collect_sweep: std::time::Duration,
}

impl Config {
    /// For the embedded stack: loopback, no tokens.
    pub fn embedded(
        store: &str,
        temporal: temporal::Server,
        grpc: SocketAddr,
        http: Option<SocketAddr>,
        key_file: PathBuf,
    ) -> Self {
        Self {
            store: store.to_owned(),
            temporal,
            grpc,
            http,
            key_file,
            insecure: false,
            tls: None,
            tokens: None,
            max_upload: DEFAULT_UPLOAD_MIB << 20,
            times: store::StoreConfig::default(),
            collect_sweep: workflows::limits::COLLECT_SWEEP,
        }
    }

    /// Refuses to be reachable by strangers unless that was asked for.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.insecure {
            return Ok(());
        }
        if !self.grpc.ip().is_loopback() {
            let lacking = match (&self.tls, &self.tokens) {
                (Some(_), Some(_)) => None,
                (None, Some(_)) => Some("there is no TLS"),
                (Some(_), None) => Some("there are no tokens"),
                (None, None) => Some("there are neither TLS nor tokens"),
            };
            if let Some(lacking) = lacking {
                return Err(ConfigError::Exposed {
                    address: self.grpc,
                    lacking,
                });
            }
        }
        match self.http {
            Some(http) if !http.ip().is_loopback() => Err(ConfigError::ExposedHttp(http)),
            _ => Ok(()),
        }
    }
}

const DEFAULT_UPLOAD_MIB: u64 = 256;

impl TryFrom<Settings> for Config {
    type Error = ConfigError;

    fn try_from(settings: Settings) -> Result<Self, ConfigError> {
        let store = settings.store.ok_or(ConfigError::Missing {
            what: "the store",
            flag: "--store sqlite:PATH or --store postgres://…",
        })?;
        let key_file = settings.key_file.or_else(|| store::usual_key_file(&store));
        let key_file = key_file.ok_or(ConfigError::Missing {
            what: "the key file",
            flag: "--key-file FILE or set MUSTER_KEY_FILE",
        })?;
        let tls = match (settings.tls_cert, settings.tls_key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(ConfigError::HalfTls),
        };
        let config = Self {
            store,
            temporal: temporal::Server {
                address: settings.temporal,
                namespace: settings.temporal_namespace,
            },
            grpc: address(
                "the gRPC address",
                settings.grpc.as_deref().unwrap_or("127.0.0.1:7443"),
            )?,
            http: Some(address(
                "the HTTP address",
                settings.http.as_deref().unwrap_or("127.0.0.1:7080"),
            )?),
            key_file,
            insecure: settings.insecure.unwrap_or(false),
            tls,
            tokens: settings.tokens,
            max_upload: settings.max_upload_mib.unwrap_or(DEFAULT_UPLOAD_MIB) << 20,
            times: store::StoreConfig::default(),
            collect_sweep: workflows::limits::COLLECT_SWEEP,
        };
        config.check()?;
        Ok(config)
    }
}

fn address(what: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    let text = text.replacen("localhost:", "127.0.0.1:", 1);
    text.parse()
        .map_err(|_| ConfigError::Address { what, text })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn settings(store: &str) -> Settings {
        Settings {
            store: Some(store.to_owned()),
            ..Settings::default()
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("api.toml");
        std::fs::write(
            &path,
            "store = 'sqlite:file.db'\ngrpc = '127.0.0.1:1'\nhttp = '127.0.0.1:2'\n",
        )
        .unwrap();
        let flags = Settings {
            grpc: Some("127.0.0.1:9".into()),
            ..Settings::default()
        };
        let config = Config::try_from(flags.or_from_file(&path).unwrap()).unwrap();
        assert_eq!(config.grpc.port(), 9);
        assert_eq!(config.http.unwrap().port(), 2);
        assert_eq!(config.max_upload, 256 << 20);
        std::fs::write(&path, "stroe = 'x'").unwrap();
        assert!(
            Settings::default()
                .or_from_file(&path)
                .unwrap_err()
                .to_string()
                .contains("stroe")
        );
    }

    #[test]
    fn the_key_lies_beside_the_sqlite_file_and_must_be_named_for_postgresql() {
        for (store, key) in [
            ("sqlite:/d/m.db", Some("/d/muster.key")),
            ("sqlite:///d/m.db?mode=rwc", Some("/d/muster.key")),
            ("postgres://u@h/m", None),
        ] {
            let config = Config::try_from(settings(store));
            assert_eq!(
                config.ok().map(|c| c.key_file),
                key.map(PathBuf::from),
                "{store}"
            );
        }
    }

    #[test]
    fn beyond_loopback_needs_tls_and_tokens_or_a_word() {
        let pem = || Some(PathBuf::from("x.pem"));
        let open = Settings {
            grpc: Some("0.0.0.0:1".into()),
            ..settings("sqlite:m.db")
        };
        let refused = |s: Settings| Config::try_from(s).err().map(|e| e.to_string());
        assert!(
            refused(open.clone())
                .unwrap()
                .contains("neither TLS nor tokens")
        );
        let tls = Settings {
            tls_cert: pem(),
            tls_key: pem(),
            ..open.clone()
        };
        assert!(refused(tls.clone()).unwrap().contains("no tokens"));
        assert_eq!(
            refused(Settings {
                tokens: pem(),
                ..tls.clone()
            }),
            None
        );
        assert_eq!(
            refused(Settings {
                insecure: Some(true),
                ..open.clone()
            }),
            None
        );
        assert!(
            refused(Settings {
                tls_cert: pem(),
                ..settings("sqlite:m.db")
            })
            .unwrap()
            .contains("belong together")
        );
        assert!(
            refused(Settings {
                http: Some("0.0.0.0:1".into()),
                ..settings("sqlite:m.db")
            })
            .unwrap()
            .contains("HTTP")
        );
    }
}
