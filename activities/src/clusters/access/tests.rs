//! Reading kubeconfigs.
#![allow(clippy::unwrap_used)] // a failed test may panic

use super::*;

fn kubeconfig(server: &str, cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- name: a\n  context: {{cluster: c, user: u}}\n\
         clusters:\n- name: c\n  cluster: {{server: {server:?}{cluster}}}\nusers:\n- name: u\n  user: {user}\n"
    )
}

async fn completed(text: &str) -> http::Request<Full<Bytes>> {
    let (_, access) = read(text, None, &[]).await.unwrap();
    access
        .complete(
            Request::get("/api/v1/pods?limit=1")
                .body(Vec::new())
                .unwrap(),
        )
        .await
        .unwrap()
}

#[tokio::test]
async fn requests_carry_host_prefix_and_credentials() {
    let request = completed(&kubeconfig(
        "http://127.0.0.1:8001/k8s/c-1/",
        "",
        "{token: secret}",
    ))
    .await;
    assert_eq!(request.uri(), "/k8s/c-1/api/v1/pods?limit=1");
    assert_eq!(request.headers()["host"], "127.0.0.1:8001");
    assert_eq!(request.headers()["authorization"], "Bearer secret");
    let request = completed(&kubeconfig(
        "http://127.0.0.1:8001",
        "",
        "{username: a, password: b}",
    ))
    .await;
    assert_eq!(request.headers()["authorization"], "Basic YTpi");
    let request = completed(&kubeconfig(
        "http://127.0.0.1:8001",
        "",
        "{as: jane, as-groups: [x, y], as-user-extra: {scopes: [view]}}",
    ))
    .await;
    assert!(!request.headers().contains_key("authorization"));
    assert_eq!(request.headers()["impersonate-user"], "jane");
    assert_eq!(request.headers()["impersonate-extra-scopes"], "view");
    assert_eq!(
        request
            .headers()
            .get_all("impersonate-group")
            .iter()
            .count(),
        2
    );
}

#[tokio::test]
async fn programs_run_only_if_the_operator_allowed_them() {
    let user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/false, interactiveMode: Never}}";
    let Err(error) = read(&kubeconfig("http://127.0.0.1:1", "", user), None, &[]).await else {
        panic!("refused")
    };
    assert!(
        error
            .to_string()
            .contains("exec plugin \"/bin/false\" is not on the worker's allow list"),
        "{error}"
    );
    let allowed = ["/bin/false".to_owned()];
    let Err(error) = read(&kubeconfig("http://127.0.0.1:1", "", user), None, &allowed).await else {
        panic!("it fails")
    };
    assert!(!error.to_string().contains("allow list"), "{error}");
    // The name on the list must keep meaning the same program.
    let elsewhere = user.replace("command:", "env: [{name: PATH, value: /tmp}], command:");
    let text = kubeconfig("http://127.0.0.1:1", "", &elsewhere);
    let Err(error) = read(&text, None, &allowed).await else {
        panic!("refused")
    };
    assert!(error.to_string().contains("may not set PATH"), "{error}");
}

#[tokio::test]
async fn what_a_credential_plugin_prints_is_never_shown() {
    let user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, \
                args: [-c, 'echo secret; exit 3'], interactiveMode: Never}}";
    let allowed = ["/bin/sh".to_owned()];
    let text = kubeconfig("http://127.0.0.1:1", "", user);
    let Err(error) = read(&text, None, &allowed).await else {
        panic!("it fails")
    };
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(
        error.to_string().contains("ended with exit status: 3"),
        "{error}"
    );
    let Err(error) = read("users: [token: secret", None, &[]).await else {
        panic!("it is no YAML")
    };
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_read_says_why() {
    let cases = [
        ("{", None, "kubeconfig"),
        ("apiVersion: v1\nkind: Config\n", None, "current context"),
        (
            &kubeconfig("http://127.0.0.1:1", "", "{}"),
            Some("b"),
            "context: b",
        ),
        (
            &kubeconfig(
                "https://127.0.0.1:1",
                ", certificate-authority: /nonexistent",
                "{}",
            ),
            None,
            "names a file with certificate-authority",
        ),
        (
            &kubeconfig("https://127.0.0.1:1", "", "{tokenFile: /etc/passwd}"),
            None,
            "names a file with tokenFile",
        ),
    ];
    for (text, context, expected) in cases {
        let Err(error) = read(text, context, &[]).await else {
            panic!("{text} is no good")
        };
        assert_eq!(error.stage, Stage::Credentials);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn only_a_proxy_of_the_kubeconfig_stands_before_a_local_cluster() {
    let (target, _) = read(
        &kubeconfig(
            "http://127.0.0.1:1",
            ", proxy-url: 'http://127.0.0.1:2'",
            "{}",
        ),
        None,
        &[],
    )
    .await
    .unwrap();
    assert_eq!(target.proxy.unwrap().port_u16(), Some(2));
    let (target, _) = read(&kubeconfig("http://127.0.0.1:1", "", "{}"), None, &[])
        .await
        .unwrap();
    assert_eq!(target.proxy, None);
}
