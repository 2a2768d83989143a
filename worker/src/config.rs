//! What the worker is told: flags, then `MUSTER_*` variables, then a TOML file, then defaults.

use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

const DEFAULT_GRACE: u64 = 10;

/// A setting is missing or makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read the configuration file {path}: {source}; correct it, or leave --config out")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    #[error(
        "the configuration file {path} is not understood: {cause}; `muster-worker run --help` lists what it may say"
    )]
    Malformed { path: String, cause: String },
    #[error("{what} is missing; pass {flag}")]
    Missing {
        what: &'static str,
        flag: &'static str,
    },
}

/// Flags and environment of `muster-worker run`; the same names with the same meaning may stand
/// in the TOML file.
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
    /// File with the key that seals Secrets and kubeconfigs: 32 bytes in hex or base64 [default:
    /// muster.key beside the SQLite file; must be named for PostgreSQL]. All api and worker
    /// processes of one installation share it.
    #[arg(long, env = "MUSTER_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Serve Prometheus metrics (ours and the Temporal SDK's) at http://IP:PORT/metrics.
    #[arg(long, env = "MUSTER_METRICS", value_name = "IP:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Seconds that work in flight gets to end after SIGTERM [default: 10].
    #[arg(long, env = "MUSTER_GRACEFUL_TIMEOUT", value_name = "SECONDS")]
    pub graceful_timeout: Option<u64>,
    /// Command that a kubeconfig may run to get credentials, by the name it uses; may be given
    /// several times. None may by default.
    #[arg(
        long = "allow-exec",
        env = "MUSTER_ALLOW_EXEC",
        value_name = "COMMAND",
        value_delimiter = ','
    )]
    pub allow_exec: Vec<String>,
    /// How to write the log to stderr: `text` or `json` [default: text].
    #[arg(long, env = "MUSTER_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to log, as `tracing` filters: `info`, `worker=debug,store=warn` … [default: info].
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
        let named = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: named(),
            source,
        })?;
        let file: Self = toml::from_str(&text).map_err(|error| ConfigError::Malformed {
            path: named(),
            cause: unquoted(&text, &error),
        })?;
        Ok(self.or(file))
    }

    fn or(self, other: Self) -> Self {
        Self {
            store: self.store.or(other.store),
            temporal: self.temporal.or(other.temporal),
            temporal_namespace: self.temporal_namespace.or(other.temporal_namespace),
            key_file: self.key_file.or(other.key_file),
            metrics: self.metrics.or(other.metrics),
            graceful_timeout: self.graceful_timeout.or(other.graceful_timeout),
            allow_exec: if self.allow_exec.is_empty() {
                other.allow_exec
            } else {
                self.allow_exec
            },
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

/// Everything the worker needs to know, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `sqlite:PATH` or `postgres://…`.
    pub store: String,
    pub temporal: temporal::Server,
    pub key_file: PathBuf,
    pub metrics: Option<SocketAddr>,
    /// From the stop until activities still running are cut off.
    pub grace: Duration,
    /// Commands kubeconfigs may run.
    pub allow_exec: Vec<String>,
    /// The protocol's times; tests shorten them.
    pub times: store::StoreConfig,
}

impl Config {
    /// For the embedded stack.
    pub fn embedded(store: &str, temporal: temporal::Server, key_file: PathBuf) -> Self {
        Self {
            store: store.to_owned(),
            temporal,
            key_file,
            metrics: None,
            grace: Duration::from_secs(DEFAULT_GRACE),
            allow_exec: Vec::new(),
            times: store::StoreConfig::default(),
        }
    }
}

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
        Ok(Self {
            store,
            temporal: temporal::Server {
                address: settings.temporal,
                namespace: settings.temporal_namespace,
            },
            key_file,
            metrics: settings.metrics,
            grace: Duration::from_secs(settings.graceful_timeout.unwrap_or(DEFAULT_GRACE)),
            allow_exec: settings.allow_exec,
            times: store::StoreConfig::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    fn settings(toml: &str) -> Settings {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let flags = Settings {
            store: Some("sqlite:/flag/m.db".into()),
            ..Settings::default()
        };
        let file =
            settings("store = \"sqlite:/file/m.db\"\ngraceful-timeout = 3\nallow-exec = [\"aws\"]");
        let config = Config::try_from(flags.or(file)).unwrap();
        assert_eq!(config.store, "sqlite:/flag/m.db");
        assert_eq!(config.key_file, Path::new("/flag/muster.key"));
        assert_eq!(config.grace, Duration::from_secs(3));
        assert_eq!(config.allow_exec, ["aws"]);
    }

    #[test]
    fn what_is_missing_is_named_with_the_flag_that_gives_it() {
        let error = |toml: &str| Config::try_from(settings(toml)).unwrap_err().to_string();
        assert!(error("").contains("--store"));
        assert!(error("store = \"postgres://h/d\"").contains("--key-file"));
        assert!(toml::from_str::<Settings>("stroe = \"x\"").is_err());
    }
}
