//! A kubeconfig as it is sent: the files it names become part of it, as `kubectl config view
//! --flatten` does, because the server's machine does not have them.

use crate::fault::Fault;
use base64::Engine;
use bytes::Bytes;
use serde_yaml_ng::Value;
use std::path::Path;

/// Settings that name a file: list, inner name, setting, and the setting that holds its content.
const FILES: [(&str, &str, &str, &str); 4] = [
    (
        "clusters",
        "cluster",
        "certificate-authority",
        "certificate-authority-data",
    ),
    (
        "users",
        "user",
        "client-certificate",
        "client-certificate-data",
    ),
    ("users", "user", "client-key", "client-key-data"),
    ("users", "user", "tokenFile", "token"),
];
/// Certificates, keys and tokens are smaller.
const LIMIT: usize = 1 << 20;

/// The kubeconfig with the files of one context (else of its current one) inside. What cannot be
/// understood is sent as it is: the server says best what is wrong with it. Files are relative to
/// the kubeconfig; `read` reads one.
pub fn with_its_files(
    text: Bytes,
    path: &Path,
    context: Option<&str>,
    mut read: impl FnMut(&Path) -> Result<Bytes, Fault>,
) -> Result<Bytes, Fault> {
    let Ok(mut config) = serde_yaml_ng::from_slice::<Value>(&text) else {
        return Ok(text);
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let wanted = context.or(config["current-context"].as_str());
    let Some(chosen) = wanted.and_then(|name| named(&config, "contexts", name)) else {
        return Ok(text);
    };
    let chosen = &config["contexts"][chosen]["context"];
    let names = [
        ("clusters", chosen["cluster"].as_str().map(str::to_owned)),
        ("users", chosen["user"].as_str().map(str::to_owned)),
    ];
    let mut changed = false;
    for (list, inner, setting, data) in FILES {
        let name = names.iter().find(|(of, _)| *of == list);
        let Some(at) = name
            .and_then(|(_, name)| name.as_deref())
            .and_then(|name| named(&config, list, name))
        else {
            continue;
        };
        let Some(entry) = config[list][at][inner].as_mapping_mut() else {
            continue;
        };
        let Some(file) = entry.get(setting).and_then(Value::as_str) else {
            continue;
        };
        let file = folder.join(file);
        // Data wins over the file beside it, but a token's file over the token: it is renewed.
        if data == "token" || !entry.contains_key(data) {
            let content = read(&file)
                .map_err(|fault| about(fault, &format!("{}: {setting}", path.display())))?;
            if content.len() > LIMIT {
                return Err(Fault::document(format!(
                    "{}: {setting}: {} is larger than 1 MiB, no credential is",
                    path.display(),
                    file.display()
                )));
            }
            let content = if data == "token" {
                String::from_utf8_lossy(&content).trim().to_owned()
            } else {
                base64::engine::general_purpose::STANDARD.encode(&content)
            };
            entry.insert(data.into(), content.into());
        }
        entry.remove(setting);
        changed = true;
    }
    if !changed {
        return Ok(text);
    }
    serde_yaml_ng::to_string(&config)
        .map(Bytes::from)
        .map_err(|_| Fault::document(format!("{} cannot be written anew", path.display())))
}

/// Where in a list the entry of a name stands.
fn named(config: &Value, list: &str, name: &str) -> Option<usize> {
    config[list]
        .as_sequence()?
        .iter()
        .position(|entry| entry["name"].as_str() == Some(name))
}

fn about(fault: Fault, place: &str) -> Fault {
    match fault {
        Fault::Said(mut complaint) => {
            complaint.message = format!("{place}: {}", complaint.message);
            Fault::Said(complaint)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at once")]
    use super::*;

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "current-context: a\ncontexts: [{{name: a, context: {{cluster: c, user: u}}}}, {{name: b, context: {{cluster: d}}}}]\n\
             clusters: [{{name: d, cluster: {{server: 'https://d', certificate-authority: /gone}}}}, {{name: c, cluster: {{{cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n"
        )
    }

    /// The chosen cluster and user after sending, on one line.
    fn sent(text: &str, context: Option<&str>) -> Result<String, String> {
        let read = |path: &Path| match path.to_str() {
            Some("home/ca.pem") => Ok(Bytes::from("CA")),
            Some("/etc/key.pem") => Ok(Bytes::from("KEY")),
            Some("home/token") => Ok(Bytes::from("fresh\n")),
            _ => Err(Fault::document(format!("cannot read {}", path.display()))),
        };
        let text = Bytes::from(text.to_owned());
        let sent = with_its_files(text, Path::new("home/config"), context, read);
        let sent = sent.map_err(|fault| fault.to_string())?;
        let config: serde_json::Value = serde_yaml_ng::from_slice(&sent).unwrap();
        Ok(format!(
            "{} {}",
            config["clusters"][1]["cluster"], config["users"][0]["user"]
        ))
    }

    #[test]
    fn files_of_the_chosen_context_become_part_of_the_kubeconfig() {
        for (cluster, user, expected) in [
            (
                "certificate-authority: ca.pem",
                "client-key: /etc/key.pem",
                r#"{"certificate-authority-data":"Q0E="} {"client-key-data":"S0VZ"}"#,
            ),
            (
                "certificate-authority: gone, certificate-authority-data: eA==",
                "tokenFile: token, token: stale",
                r#"{"certificate-authority-data":"eA=="} {"token":"fresh"}"#,
            ),
            (
                "server: 'https://c'",
                "token: '0123'",
                r#"{"server":"https://c"} {"token":"0123"}"#,
            ),
        ] {
            let text = kubeconfig(cluster, user);
            assert_eq!(sent(&text, None).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named_with_its_setting() {
        let error = sent(&kubeconfig("certificate-authority: no.pem", ""), None).unwrap_err();
        assert_eq!(
            error,
            "home/config: certificate-authority: cannot read home/no.pem"
        );
        assert!(
            sent(&kubeconfig("", ""), Some("b"))
                .unwrap_err()
                .contains("/gone")
        );
    }

    #[test]
    fn what_is_no_kubeconfig_is_sent_as_it_is() {
        for text in ["", "a: [", "kind: Pod", "current-context: x", "contexts: 3"] {
            let same = with_its_files(text.into(), Path::new("k"), None, |_| {
                Err(Fault::document("nothing is to be read"))
            });
            assert_eq!(same.unwrap(), text);
        }
    }
}
