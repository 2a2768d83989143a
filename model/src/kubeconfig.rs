//! A kubeconfig as users upload it: whether it can work on another machine, safely. Its values
//! never appear in an error, names of contexts excepted.

use crate::{
    manifest::{Dialect, parse_yaml},
    text::quoted,
};
use base64::Engine;
use serde_json::Value;
use std::fmt;

/// Larger ones are something else.
const LIMIT: usize = 1 << 20;
/// Contexts that an error lists.
const LISTED: usize = 10;

/// Settings that name a file on the machine of whoever wrote the kubeconfig.
const FILES: [(Part, &str); 4] = [
    (Part::Cluster, "certificate-authority"),
    (Part::User, "client-certificate"),
    (Part::User, "client-key"),
    (Part::User, "tokenFile"),
];

/// Settings of text in base64, and how it must begin.
const PEM: [(Part, &str, &str); 3] = [
    (Part::Cluster, "certificate-authority-data", "CERTIFICATE"),
    (Part::User, "client-certificate-data", "CERTIFICATE"),
    (Part::User, "client-key-data", "PRIVATE KEY"),
];

/// Why a text cannot serve as a kubeconfig, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeconfigError {
    /// The path of the setting in the kubeconfig; empty for the whole.
    pub field: String,
    pub cause: String,
    pub next_step: String,
}

impl fmt::Display for KubeconfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{} ", self.field)?;
        }
        write!(f, "{}; {}", self.cause, self.next_step)
    }
}

impl std::error::Error for KubeconfigError {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Cluster,
    User,
}

impl Part {
    fn list(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::User => "users",
        }
    }

    fn inner(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::User => "user",
        }
    }
}

/// The entries that the chosen context asks for, with the paths they have.
struct Chosen<'a> {
    cluster: (String, &'a Value),
    user: Option<(String, &'a Value)>,
}

impl Chosen<'_> {
    fn setting(&self, part: Part, name: &str) -> Option<(String, &Value)> {
        let (path, entry) = match part {
            Part::Cluster => Some(&self.cluster),
            Part::User => self.user.as_ref(),
        }?;
        let value = entry.get(part.inner())?.get(name)?;
        let said = !value.is_null() && value.as_str() != Some("");
        said.then(|| (format!("{path}.{}.{name}", part.inner()), value))
    }

    fn is(&self, part: Part, name: &str) -> bool {
        self.setting(part, name).is_some()
    }
}

/// Whether the text can serve as a kubeconfig with this context (`None` = its current one).
///
/// # Errors
/// The first thing that is wrong.
pub fn check(text: &str, context: Option<&str>) -> Result<(), KubeconfigError> {
    let config = parse(text)?;
    let chosen = choose(&config, context)?;
    let server = check_server(&chosen)?;
    check_files(&chosen)?;
    check_pem(&chosen)?;
    check_trust(&chosen, &server)?;
    check_user(&chosen)
}

fn refuse(field: &str, cause: impl Into<String>, next: impl Into<String>) -> KubeconfigError {
    KubeconfigError {
        field: field.to_owned(),
        cause: cause.into(),
        next_step: next.into(),
    }
}

fn parse(text: &str) -> Result<Value, KubeconfigError> {
    const NEXT: &str = "name a kubeconfig";
    if text.len() > LIMIT {
        return Err(refuse("", "is larger than 1 MiB", NEXT));
    }
    let mut documents = parse_yaml(text, Dialect::Kubectl)
        .map_err(|error| refuse("", format!("is no YAML ({error})"), NEXT))?;
    let (Some(document), None) = (documents.pop(), documents.pop()) else {
        return Err(refuse("", "holds no single document", NEXT));
    };
    let config = document.value;
    if !config.is_object() {
        return Err(refuse("", "is no mapping", NEXT));
    }
    match config["kind"].as_str() {
        None | Some("" | "Config") => {}
        Some(kind) => {
            return Err(refuse(
                "kind",
                format!("is {}, not Config", quoted(kind)),
                NEXT,
            ));
        }
    }
    for list in ["clusters", "users", "contexts"] {
        if !(config[list].is_null() || config[list].is_array()) {
            return Err(refuse(list, "is no list", NEXT));
        }
    }
    for list in ["clusters", "contexts"] {
        if entries(&config, list).next().is_none() {
            return Err(refuse("", "has no clusters or no contexts", NEXT));
        }
    }
    Ok(config)
}

fn choose<'a>(config: &'a Value, context: Option<&str>) -> Result<Chosen<'a>, KubeconfigError> {
    let current = scalar(&config["current-context"]);
    let wanted = context.map(str::to_owned).or(current).unwrap_or_default();
    if wanted.is_empty() {
        return Err(refuse("", "has no current-context", "set spec.context"));
    }
    let Some((path, chosen)) = named(config, "contexts", &wanted) else {
        let mut names: Vec<String> = entries(config, "contexts")
            .filter_map(|(_, entry)| scalar(&entry["name"]))
            .map(|name| crate::text::clipped(&name, 80))
            .collect();
        if names.len() > LISTED {
            names.truncate(LISTED);
            names.push("…".to_owned());
        }
        return Err(refuse(
            "",
            format!("has no context {}", quoted(&wanted)),
            format!("set spec.context to one of {}", names.join(", ")),
        ));
    };
    let of = |part: Part| {
        let reference = part.inner();
        let name = scalar(&chosen["context"][reference]).unwrap_or_default();
        if name.is_empty() && part == Part::User {
            // A context may do without a user.
            return Ok(None);
        }
        match named(config, part.list(), &name) {
            Some(found) => Ok(Some(found)),
            None => {
                let cause = format!(
                    "names {reference} {}, which is not among the {}",
                    quoted(&name),
                    part.list()
                );
                let field = format!("{path}.context.{reference}");
                Err(refuse(&field, cause, "correct the name, or add the entry"))
            }
        }
    };
    let user = of(Part::User)?;
    let cluster = of(Part::Cluster)?;
    // A cluster without a name is refused above.
    let cluster = cluster.ok_or_else(|| refuse(&path, "names no cluster", "add it"))?;
    Ok(Chosen { cluster, user })
}

/// Where the API server is.
struct Address {
    field: String,
    secure: bool,
    local: bool,
}

fn check_server(chosen: &Chosen<'_>) -> Result<Address, KubeconfigError> {
    const NEXT: &str = "write it as https://HOST:PORT";
    let (path, _) = &chosen.cluster;
    let missing = format!("{path}.cluster.server");
    let Some((field, server)) = chosen.setting(Part::Cluster, "server") else {
        return Err(refuse(&missing, "is missing", NEXT));
    };
    let server = server.as_str().unwrap_or_default();
    let (secure, rest) = match (
        server.strip_prefix("https://"),
        server.strip_prefix("http://"),
    ) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(refuse(&field, "is no https:// address", NEXT)),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(refuse(
            &field,
            "holds a user or password",
            "put them under users",
        ));
    }
    let (host, port) = match authority
        .strip_prefix('[')
        .and_then(|v6| v6.split_once(']'))
    {
        Some((host, port)) => (host, port),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_fits = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let shaped = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let path_fits = rest.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || !host.chars().all(shaped) || !port_fits || !path_fits {
        return Err(refuse(&field, "is no address", NEXT));
    }
    let local = host == "localhost" || host.starts_with("127.") || host == "::1";
    Ok(Address {
        field,
        secure,
        local,
    })
}

fn check_files(chosen: &Chosen<'_>) -> Result<(), KubeconfigError> {
    for (part, name) in FILES {
        if let Some((field, _)) = chosen.setting(part, name) {
            return Err(refuse(
                &field,
                "names a file, which the server does not have",
                "write `kubectl config view --flatten --minify` to a file and name that",
            ));
        }
    }
    Ok(())
}

fn check_pem(chosen: &Chosen<'_>) -> Result<(), KubeconfigError> {
    const NEXT: &str = "copy it whole from a kubeconfig that works";
    for (part, name, begins) in PEM {
        let Some((field, value)) = chosen.setting(part, name) else {
            continue;
        };
        let packed: String = value
            .as_str()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .collect();
        let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(packed) else {
            return Err(refuse(&field, "is no base64", NEXT));
        };
        let text = String::from_utf8_lossy(&bytes);
        let framed = text
            .lines()
            .any(|line| line.starts_with("-----BEGIN ") && line.contains(begins));
        if !framed {
            let cause = format!("holds no PEM block of a {}", begins.to_lowercase());
            return Err(refuse(&field, cause, NEXT));
        }
    }
    let (certificate, key) = ("client-certificate-data", "client-key-data");
    for (one, other) in [(certificate, key), (key, certificate)] {
        if let Some((field, _)) = chosen.setting(Part::User, one)
            && !chosen.is(Part::User, other)
        {
            let cause = format!("needs {other} beside it");
            return Err(refuse(&field, cause, format!("add {other}")));
        }
    }
    Ok(())
}

/// Credentials and Secrets go to nobody who does not prove who it is.
fn check_trust(chosen: &Chosen<'_>, server: &Address) -> Result<(), KubeconfigError> {
    const AUTHORITY: &str = "certificate-authority-data";
    if !server.secure && !server.local {
        return Err(refuse(
            &server.field,
            "is http:// beyond this machine, where everybody reads the Secrets sent to it",
            "write https://",
        ));
    }
    let insecure = chosen
        .setting(Part::Cluster, "insecure-skip-tls-verify")
        .filter(|(_, value)| value.as_bool() == Some(true));
    let Some((field, _)) = insecure else {
        return Ok(());
    };
    if chosen.is(Part::Cluster, AUTHORITY) {
        let cause = format!("contradicts {AUTHORITY}");
        return Err(refuse(&field, cause, "remove it"));
    }
    if server.local {
        return Ok(());
    }
    Err(refuse(
        &field,
        "would send credentials to whoever answers",
        format!("replace it by {AUTHORITY}, and by tls-server-name where only the name differs"),
    ))
}

fn check_user(chosen: &Chosen<'_>) -> Result<(), KubeconfigError> {
    if let Some((field, _)) = chosen.setting(Part::User, "auth-provider") {
        return Err(refuse(
            &field,
            "is no longer part of Kubernetes",
            "use a token, a client certificate or an exec plugin",
        ));
    }
    if let Some((field, exec)) = chosen.setting(Part::User, "exec")
        && exec["command"].as_str().is_none_or(str::is_empty)
    {
        let field = format!("{field}.command");
        return Err(refuse(&field, "is missing", "name the plugin's command"));
    }
    // They become headers.
    for name in ["token", "username", "password"] {
        if let Some((field, value)) = chosen.setting(Part::User, name)
            && scalar(value).is_none_or(|text| text.trim().chars().any(char::is_control))
        {
            let cause = "is no line of text";
            return Err(refuse(&field, cause, "put it into one line, in quotes"));
        }
    }
    Ok(())
}

fn entries<'a>(config: &'a Value, list: &str) -> impl Iterator<Item = (String, &'a Value)> {
    let list_name = list.to_owned();
    config[list]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(move |(number, entry)| (format!("{list_name}[{number}]"), entry))
}

fn named<'a>(config: &'a Value, list: &str, name: &str) -> Option<(String, &'a Value)> {
    entries(config, list).find(|(_, entry)| scalar(&entry["name"]).as_deref() == Some(name))
}

/// Text, also of a name that looks like a number.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "kubeconfig/tests.rs"]
mod tests;
