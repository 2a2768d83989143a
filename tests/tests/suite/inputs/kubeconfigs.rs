//! Kubeconfigs that could not work from another machine, or not safely. What a cluster says of
//! credentials that look right stands in `muster status`.

use super::{KUBECONFIG, Row};

/// `muster apply` of a cluster with the kubeconfig `k.yaml`.
fn apply(what: &'static str, kubeconfig: impl Into<Vec<u8>>, says: &[&'static str]) -> Row {
    Row::new(what, "apply -f DIR/d.yaml", 1, says)
        .file(
            "d.yaml",
            "apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c9}\nspec: {kubeconfig: k.yaml}\n",
        )
        .file("k.yaml", kubeconfig)
        .details("d.yaml#1:spec.kubeconfig")
}

/// With other settings of the cluster.
fn cluster(settings: &str) -> String {
    KUBECONFIG.replace("server: 'https://127.0.0.1:1'", settings)
}

/// With other settings of the user.
fn user(settings: &str) -> String {
    KUBECONFIG.replace("token: zq7-planted-marker", settings)
}

pub fn rows() -> Vec<Row> {
    vec![
        apply("a kubeconfig that is no YAML", "token: zq7-planted-marker\nusers: [", &["d.yaml#1:spec.kubeconfig", "k.yaml: is no YAML (line 2:", "; name a kubeconfig"]),
        apply("an alias bomb as a kubeconfig", super::documents::bomb(), &["k.yaml: is no YAML", "aliases blow the document up beyond measure"]),
        apply("a kubeconfig of 2 MB", "x".repeat(2_000_000), &["k.yaml: is larger than 1 MiB; name a kubeconfig"]),
        apply("another kind of object", super::CONFIG_MAP, &["k.yaml: kind is \"ConfigMap\", not Config; name a kubeconfig"]),
        apply("an empty kubeconfig", "", &["k.yaml: holds no single document; name a kubeconfig"]),
        apply("a kubeconfig without clusters", "kind: Config\ncontexts: [{name: a}]\n", &["k.yaml: has no clusters or no contexts; name a kubeconfig"]),
        apply("a kubeconfig without a current context", KUBECONFIG.replace("current-context: a, ", ""), &["k.yaml: has no current-context; set spec.context"]),
        apply("a context that is not there", KUBECONFIG, &["k.yaml: has no context \"b\"; set spec.context to one of a"])
            .file("d.yaml", "apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {name: c9}\nspec: {kubeconfig: k.yaml, context: b}\n"),
        apply("a cluster that is not there", KUBECONFIG.replace("cluster: c,", "cluster: z,"), &["contexts[0].context.cluster names cluster \"z\", which is not among the clusters; correct the name"]),
        apply("a user that is not there", KUBECONFIG.replace("user: u}", "user: z}"), &["contexts[0].context.user names user \"z\", which is not among the users; correct the name"]),
        apply("no server", cluster(""), &["clusters[0].cluster.server is missing; write it as https://HOST:PORT"]),
        apply("a server without a scheme", cluster("server: '127.0.0.1:6443'"), &["clusters[0].cluster.server is no https:// address; write it as"]),
        apply("a server that is no address", cluster("server: 'https://a b:6443'"), &["clusters[0].cluster.server is no address; write it as https://HOST:PORT"]),
        apply("a password in the address", cluster("server: 'https://me:zq7-planted-marker@a'"), &["holds a user or password; put them under users"]),
        apply("http beyond this machine", cluster("server: 'http://10.0.0.1:8080'"), &["is http:// beyond this machine", "; write https://"]),
        apply("a server that nobody verifies", cluster("server: 'https://10.0.0.1', insecure-skip-tls-verify: true"), &["would send credentials to whoever answers; replace it by certificate-authority-data"]),
        apply("a CA that is no base64", cluster("server: 'https://a', certificate-authority-data: zq7-planted-marker"), &["clusters[0].cluster.certificate-authority-data is no base64; copy it whole"]),
        apply("a CA that is no certificate", cluster("server: 'https://a', certificate-authority-data: aGVsbG8="), &["certificate-authority-data holds no PEM block of a certificate; copy it whole"]),
        apply("a CA in a file that is not there", cluster("server: 'https://a', certificate-authority: none.crt"), &["d.yaml, document 1, spec.kubeconfig: k.yaml: certificate-authority: cannot read none.crt: no such file or folder; correct the path"])
            .details(""),
        apply("a token in a file that is not there", user("tokenFile: none"), &["spec.kubeconfig: k.yaml: tokenFile: cannot read none: no such file or folder; correct the path"])
            .details(""),
        apply("a client certificate without its key", user("client-certificate-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="), &["users[0].user.client-certificate-data needs client-key-data beside it; add client-key-data"]),
        apply("a token of two lines", user("token: \"zq7-planted-marker\\nb: c\""), &["users[0].user.token is no line of text; put it into one line"]),
        apply("an auth provider", user("auth-provider: {name: gcp, config: {access-token: zq7-planted-marker}}"), &["users[0].user.auth-provider is no longer part of Kubernetes; use a token"]),
        apply("an exec plugin without a command", user("exec: {args: [zq7-planted-marker]}"), &["users[0].user.exec.command is missing; name the plugin's command"]),
        apply("a kubeconfig that is no UTF-8", b"token: \xff\n".to_vec(), &["d.yaml, document 1, spec.kubeconfig: k.yaml is not UTF-8 text"]).details(""),
    ]
}
