//! `muster-dev sandbox`: faults and request logs of the running stack's clusters.

use crate::{
    args::{Fault as FaultArguments, Form, Sandbox, Target},
    endpoints::{Endpoints, NotFound, find},
};
use anyhow::Context;
use sandbox::{
    control::Client,
    host::{Fault, FaultKind, LogEntry, Verb},
};
use std::fmt::Write;

/// Does it and answers what to print.
pub async fn run(command: Sandbox) -> anyhow::Result<String> {
    match command {
        Sandbox::Fault(arguments) => {
            let fault = fault(&arguments)?;
            let (client, name) = reach(&arguments.target)?;
            let on = client.fault(&name, &fault).await?;
            let on: Vec<String> = on.iter().map(ToString::to_string).collect();
            Ok(format!("{name}: {}", on.join(", ")))
        }
        Sandbox::Heal(target) => {
            let (client, name) = reach(&target)?;
            let healed = client.heal(&name).await?;
            let mut text = format!("{name}: healed, {} faults were on", healed.faults);
            if healed.finalizers > 0 {
                let _ = write!(text, ", {} finalizers taken off", healed.finalizers);
            }
            Ok(text)
        }
        Sandbox::Log { target, output } => {
            let (client, name) = reach(&target)?;
            let log = client.log(&name).await?;
            match output {
                Form::Json => Ok(serde_json::to_string_pretty(&log)?),
                Form::Table => Ok(table(&log)),
            }
        }
    }
}

/// The fault as typed.
pub fn fault(arguments: &FaultArguments) -> anyhow::Result<Fault> {
    let words: Vec<&str> = arguments.arguments.iter().map(String::as_str).collect();
    let mut fault = Fault::from(FaultKind::from_words(&arguments.kind, &words)?);
    if let Some(verb) = &arguments.verb {
        let verb: Verb = verb.parse().with_context(|| format!("--verb {verb}"))?;
        fault = fault.verb(verb);
    }
    if let Some(kind) = &arguments.object_kind {
        fault = fault.of_kind(kind);
    }
    if let Some(name) = &arguments.name {
        fault = fault.named(name);
    }
    if let Some(times) = arguments.times {
        fault = fault.times(times);
    }
    fault.check()?;
    Ok(fault)
}

fn reach(target: &Target) -> anyhow::Result<(Client, String)> {
    let endpoints = find(target.data_dir.as_deref())?;
    let name = cluster(&endpoints, &target.cluster)?;
    Ok((Client::from_dir(&endpoints.data_dir)?, name))
}

fn cluster(endpoints: &Endpoints, text: &str) -> Result<String, NotFound> {
    match endpoints.cluster(text) {
        Some(cluster) => Ok(cluster.name.clone()),
        None => {
            let there: Vec<_> = endpoints.clusters.iter().map(|c| c.id.as_str()).collect();
            Err(NotFound::Cluster {
                cluster: text.to_owned(),
                there: there.join(", "),
            })
        }
    }
}

fn table(log: &[LogEntry]) -> String {
    let mut text = String::from("TIME                      VERB     CODE  OBJECT");
    for entry in log {
        let code = entry
            .code
            .map_or_else(|| "-".to_owned(), |code| code.to_string());
        let mut object: Vec<&str> = Vec::new();
        for part in [&entry.kind, &entry.namespace, &entry.name, &entry.path] {
            object.extend(part.as_deref());
        }
        let _ = write!(
            text,
            "\n{:<25} {:<8} {code:<5} {}",
            format!("{:.3}", entry.time),
            entry.verb.to_string(),
            object.join("/")
        );
        if let Some(manager) = &entry.field_manager {
            let _ = write!(text, "  by {manager}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    fn typed(kind: &str, words: &[&str], verb: Option<&str>, times: Option<u64>) -> FaultArguments {
        FaultArguments {
            target: Target {
                cluster: "c1".into(),
                data_dir: None,
            },
            kind: kind.into(),
            arguments: words.iter().map(|word| (*word).to_owned()).collect(),
            verb: verb.map(str::to_owned),
            object_kind: Some("Secret".into()),
            name: None,
            times,
        }
    }

    #[test]
    fn faults_are_read_as_typed() {
        let text = |arguments| fault(&arguments).unwrap().to_string();
        assert_eq!(
            text(typed("black-hole", &[], None, None)),
            "black-hole --kind Secret"
        );
        assert_eq!(
            text(typed("status", &["503"], Some("apply"), Some(2))),
            "status 503 --verb apply --kind Secret --times 2"
        );
        for wrong in [
            typed("explode", &[], None, None),
            typed("latency", &[], None, None),
            typed("status", &["200"], None, None),
            typed("reset", &[], Some("frobnicate"), None),
            typed("reset", &[], None, Some(0)),
        ] {
            assert!(fault(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_unknown_cluster_is_answered_with_those_there_are() {
        let endpoints = Endpoints {
            clusters: vec![crate::endpoints::Cluster {
                id: "sandbox+c1".into(),
                name: "c1".into(),
                kubeconfig: "/k".into(),
            }],
            ..Endpoints::default()
        };
        assert_eq!(cluster(&endpoints, "sandbox+c1").unwrap(), "c1");
        let error = cluster(&endpoints, "c9").unwrap_err().to_string();
        assert!(
            error.contains("c9") && error.contains("sandbox+c1"),
            "{error}"
        );
    }
}
