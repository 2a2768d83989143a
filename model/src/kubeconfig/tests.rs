//! Kubeconfigs that are refused, and why; never with their values.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

const GOOD: &str = "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}, {name: b, context: {cluster: c}}], clusters: [{name: c, cluster: {server: 'https://x:6443'}}, {name: d, cluster: {}}], users: [{name: u, user: {token: s3cret}}, {name: v, user: {tokenFile: /t}}]}";

fn server(url: &str) -> String {
    GOOD.replace("https://x:6443", url)
}

fn user(text: &str) -> String {
    GOOD.replace("token: s3cret", text)
}

#[test]
fn a_kubeconfig_that_cannot_work_elsewhere_is_refused_without_its_values() {
    let pem = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let certificate = pem("-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----\n");
    let key = pem("-----BEGIN EC PRIVATE KEY-----\ns3cret\n-----END EC PRIVATE KEY-----\n");
    let with_ca = |more: &str| {
        server("https://x").replace(
            "'https://x'",
            &format!("'https://x', certificate-authority-data: {more}"),
        )
    };
    let cases = [
        (GOOD.to_owned(), None, None),
        (GOOD.to_owned(), Some("b"), None),
        (
            GOOD.to_owned(),
            Some("z"),
            Some("has no context \"z\"; set spec.context to one of a, b"),
        ),
        (
            GOOD.replace("current-context: a, ", ""),
            None,
            Some("has no current-context; set spec.context"),
        ),
        (
            GOOD.replace(
                "name: a, context: {cluster: c",
                "name: a, context: {cluster: x",
            ),
            None,
            Some(
                "contexts[0].context.cluster names cluster \"x\", which is not among the clusters; correct the name, or add the entry",
            ),
        ),
        (
            GOOD.replace("user: u}", "user: w}"),
            None,
            Some(
                "contexts[0].context.user names user \"w\", which is not among the users; correct the name, or add the entry",
            ),
        ),
        (
            GOOD.replace("cluster: c, user", "cluster: d, user"),
            None,
            Some("clusters[1].cluster.server is missing; write it as https://HOST:PORT"),
        ),
        (
            user("client-key: /k"),
            None,
            Some(
                "users[0].user.client-key names a file, which the server does not have; write `kubectl config view --flatten --minify` to a file and name that",
            ),
        ),
        (
            server("x:6443"),
            None,
            Some(
                "clusters[0].cluster.server is no https:// address; write it as https://HOST:PORT",
            ),
        ),
        (
            server("https://x:99999"),
            None,
            Some("clusters[0].cluster.server is no address; write it as https://HOST:PORT"),
        ),
        (
            server("https://x y"),
            None,
            Some("clusters[0].cluster.server is no address; write it as https://HOST:PORT"),
        ),
        (
            server("https://me:s3cret@x"),
            None,
            Some("clusters[0].cluster.server holds a user or password; put them under users"),
        ),
        (server("https://[::1]:6443/a/b"), None, None),
        (server("http://127.0.0.1:8001"), None, None),
        (
            server("http://x"),
            None,
            Some(
                "clusters[0].cluster.server is http:// beyond this machine, where everybody reads the Secrets sent to it; write https://",
            ),
        ),
        (with_ca(&certificate), None, None),
        (
            with_ca("s3cret-"),
            None,
            Some(
                "clusters[0].cluster.certificate-authority-data is no base64; copy it whole from a kubeconfig that works",
            ),
        ),
        (
            with_ca(&pem("s3cret")),
            None,
            Some(
                "clusters[0].cluster.certificate-authority-data holds no PEM block of a certificate; copy it whole from a kubeconfig that works",
            ),
        ),
        (
            with_ca(&format!("{certificate}, insecure-skip-tls-verify: true")),
            None,
            Some(
                "clusters[0].cluster.insecure-skip-tls-verify contradicts certificate-authority-data; remove it",
            ),
        ),
        (
            server("https://127.0.0.1:1', insecure-skip-tls-verify: true, x: '"),
            None,
            None,
        ),
        (
            server("https://x', insecure-skip-tls-verify: true, x: '"),
            None,
            Some(
                "clusters[0].cluster.insecure-skip-tls-verify would send credentials to whoever answers; replace it by certificate-authority-data, and by tls-server-name where only the name differs",
            ),
        ),
        (
            user(&format!("client-certificate-data: {certificate}")),
            None,
            Some(
                "users[0].user.client-certificate-data needs client-key-data beside it; add client-key-data",
            ),
        ),
        (
            user(&format!(
                "client-certificate-data: {certificate}, client-key-data: {key}"
            )),
            None,
            None,
        ),
        (
            user(&format!("client-key-data: {certificate}")),
            None,
            Some(
                "users[0].user.client-key-data holds no PEM block of a private key; copy it whole from a kubeconfig that works",
            ),
        ),
        (
            user("auth-provider: {name: gcp, config: {access-token: s3cret}}"),
            None,
            Some(
                "users[0].user.auth-provider is no longer part of Kubernetes; use a token, a client certificate or an exec plugin",
            ),
        ),
        (
            user("exec: {args: [s3cret]}"),
            None,
            Some("users[0].user.exec.command is missing; name the plugin's command"),
        ),
        (user("exec: {command: aws}"), None, None),
        (user("token: 12345"), None, None),
        (
            user("token: \"s3cret\\r\\nx: y\""),
            None,
            Some("users[0].user.token is no line of text; put it into one line, in quotes"),
        ),
        (
            "kind: Secret\ndata: {a: s3cret}".to_owned(),
            None,
            Some("kind is \"Secret\", not Config; name a kubeconfig"),
        ),
        (
            "{}".to_owned(),
            None,
            Some("has no clusters or no contexts; name a kubeconfig"),
        ),
        (
            "clusters: s3cret".to_owned(),
            None,
            Some("clusters is no list; name a kubeconfig"),
        ),
        (
            "s3cret".to_owned(),
            None,
            Some("is no mapping; name a kubeconfig"),
        ),
        (
            "a: s3cret\nb: [".to_owned(),
            None,
            Some("is no YAML (line 2: "),
        ),
        (
            String::new(),
            None,
            Some("holds no single document; name a kubeconfig"),
        ),
        (
            format!("{GOOD}\n---\n{GOOD}"),
            None,
            Some("holds no single document; name a kubeconfig"),
        ),
        (
            "a".repeat(LIMIT + 1),
            None,
            Some("is larger than 1 MiB; name a kubeconfig"),
        ),
    ];
    for (text, context, says) in cases {
        let said = check(&text, context).err().map(|error| error.to_string());
        match (&said, says) {
            (Some(said), Some(says)) => assert!(said.starts_with(says), "{said}\n{says}"),
            _ => assert_eq!(said.as_deref(), says, "{text}"),
        }
        assert!(!said.unwrap_or_default().contains("s3cret"), "{text}");
    }
}
