//! What a look at a cluster found, in one sentence.

use model::{failure::next_step, ids::ClusterId};
use proto::v1;
use workflows::contract::Checked;

pub fn checked(id: &ClusterId, checked: Checked) -> v1::CheckClusterResponse {
    v1::CheckClusterResponse {
        id: id.to_string(),
        message: sentence(id, &checked),
        next_step: checked
            .failure
            .as_ref()
            .map(|failure| next(&failure.code).to_owned())
            .unwrap_or_default(),
        failure: checked.failure.as_ref().map(super::failure),
        version: checked.version.unwrap_or_default(),
        uid: checked.uid.unwrap_or_default(),
        user: checked.user.unwrap_or_default(),
        latency_ms: checked
            .latency_ms
            .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
        missing_permissions: checked.missing,
        notes: checked.notes,
    }
}

/// Nothing was sent on anybody's behalf, so there is nothing to instantiate again.
fn next(code: &str) -> &'static str {
    match code {
        "unauthorized" => {
            "replace the credentials in the kubeconfig and apply the Cluster document again"
        }
        "forbidden" => "grant the kubeconfig's user what is missing (`-o json` lists all of it)",
        code => next_step(code, true),
    }
}

fn sentence(id: &ClusterId, checked: &Checked) -> String {
    let version = match &checked.version {
        Some(version) => format!("Kubernetes {version}"),
        None => "Kubernetes".to_owned(),
    };
    if let Some(failure) = &checked.failure {
        // What has got so far as to tell its version is there.
        let there = match &checked.version {
            Some(_) if failure.code != "versionTooOld" => format!("{version} answers, but "),
            _ => String::new(),
        };
        return format!("{id}: {there}{}", failure.message);
    }
    let mut parts = vec![version];
    parts.extend(checked.latency_ms.map(|ms| format!("answers in {ms} ms")));
    parts.extend(
        checked
            .user
            .as_ref()
            .map(|user| format!("knows us as {user}")),
    );
    parts.push("permits all that Muster needs".to_owned());
    let notes: String = checked
        .notes
        .iter()
        .map(|note| format!("; {note}"))
        .collect();
    format!("{id}: {}{notes}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::failure::Failure;

    #[test]
    fn a_look_ends_in_one_sentence() {
        let id = ClusterId {
            provider: "acme".into(),
            name: "e1".into(),
        };
        let fine = Checked {
            version: Some("v1.36.3".into()),
            user: Some("admin".into()),
            latency_ms: Some(4),
            ..Checked::default()
        };
        let failing = |version: Option<&str>, code: &str, message: &str| Checked {
            failure: Some(Failure::new(code, message)),
            version: version.map(str::to_owned),
            ..Checked::default()
        };
        for (found, expected) in [
            (
                fine.clone(),
                "acme+e1: Kubernetes v1.36.3, answers in 4 ms, knows us as admin, permits all that Muster needs",
            ),
            (
                Checked {
                    notes: vec!["it is odd".into()],
                    ..fine
                },
                "acme+e1: Kubernetes v1.36.3, answers in 4 ms, knows us as admin, permits all that Muster needs; it is odd",
            ),
            (
                failing(None, "dns", "the name x.invalid cannot be resolved"),
                "acme+e1: the name x.invalid cannot be resolved",
            ),
            (
                failing(
                    Some("v1.36.3"),
                    "forbidden",
                    "the credentials may not get pods",
                ),
                "acme+e1: Kubernetes v1.36.3 answers, but the credentials may not get pods",
            ),
        ] {
            let failed = found.failure.is_some();
            let shown = checked(&id, found);
            assert_eq!(shown.message, expected);
            assert_eq!(shown.next_step.is_empty(), !failed);
        }
    }
}
