//! A kubeconfig as it is uploaded: whether it can work on another machine. Its values never appear
//! in an error.

use model::manifest::{Dialect, parse_yaml};
use serde_json::Value;

/// Larger ones are something else.
const LIMIT: usize = 1 << 20;

/// Settings that name a file on the machine of whoever wrote the kubeconfig.
const FILES: [(&str, &str, &str); 4] = [
    ("clusters", "cluster", "certificate-authority"),
    ("users", "user", "client-certificate"),
    ("users", "user", "client-key"),
    ("users", "user", "tokenFile"),
];

/// Why the text cannot serve as a kubeconfig with this context, and what to do.
pub fn check(text: &str, context: Option<&str>) -> Result<(), String> {
    if text.len() > LIMIT {
        return Err("is larger than 1 MiB; name a kubeconfig".to_owned());
    }
    let documents = parse_yaml(text, Dialect::Kubectl)
        .map_err(|error| format!("is no YAML ({error}); name a kubeconfig"))?;
    let [document] = documents.as_slice() else {
        return Err("holds no single document; name a kubeconfig".to_owned());
    };
    let config = &document.value;
    let named = |list: &str| -> Vec<&str> {
        entries(config, list)
            .filter_map(|entry| entry["name"].as_str())
            .collect()
    };
    if named("clusters").is_empty() || named("contexts").is_empty() {
        return Err("has no clusters or no contexts; name a kubeconfig".to_owned());
    }
    let context = context
        .or(config["current-context"].as_str())
        .unwrap_or_default();
    if context.is_empty() {
        return Err("has no current-context; set spec.context".to_owned());
    }
    let Some(chosen) = entries(config, "contexts").find(|entry| entry["name"] == context) else {
        return Err(format!(
            "has no context {context:?}; set spec.context to one of {}",
            named("contexts").join(", ")
        ));
    };
    for (list, reference) in [("clusters", "cluster"), ("users", "user")] {
        let wanted = chosen["context"][reference].as_str().unwrap_or_default();
        // A context may do without a user.
        if (list == "clusters" || !wanted.is_empty()) && !named(list).contains(&wanted) {
            return Err(format!(
                "has no {reference} of the name that its context {context:?} asks for; correct it"
            ));
        }
    }
    // Entries of other contexts are never used.
    for (list, inner, setting) in FILES {
        let reference = list.trim_end_matches('s');
        let wanted = &chosen["context"][reference];
        if entries(config, list)
            .any(|entry| entry["name"] == *wanted && !entry[inner][setting].is_null())
        {
            return Err(format!(
                "names a file with {setting}, which the server does not have; write `kubectl config view --flatten --minify` to a file and name that"
            ));
        }
    }
    Ok(())
}

fn entries<'a>(config: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    config[list].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::check;

    const GOOD: &str = "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}, {name: b, context: {cluster: c}}], clusters: [{name: c, cluster: {server: 'https://x'}}], users: [{name: u, user: {token: s3cret}}]}";

    #[test]
    fn a_kubeconfig_that_cannot_work_elsewhere_is_refused_without_its_values() {
        for (text, context, says) in [
            (GOOD.to_owned(), None, None),
            (GOOD.to_owned(), Some("b"), None),
            (GOOD.to_owned(), Some("z"), Some("one of a, b")),
            (
                GOOD.replace("current-context: a, ", ""),
                None,
                Some("set spec.context"),
            ),
            (
                GOOD.replace("token: s3cret", "client-key: /k"),
                None,
                Some("--flatten"),
            ),
            (
                GOOD.replace("users: [", "users: [{name: other, user: {tokenFile: /k}}, "),
                None,
                None,
            ),
            (
                GOOD.replace("cluster: c, user: u", "cluster: x, user: u"),
                None,
                Some("has no cluster of the name"),
            ),
            ("{}".to_owned(), None, Some("no clusters")),
            ("a: [".to_owned(), None, Some("no YAML")),
            (String::new(), None, Some("no single document")),
        ] {
            let said = check(&text, context).err();
            assert_eq!(said.is_some(), says.is_some(), "{text}: {said:?}");
            let said = said.unwrap_or_default();
            assert!(
                said.contains(says.unwrap_or_default()) && !said.contains("s3cret"),
                "{said}"
            );
        }
    }
}
