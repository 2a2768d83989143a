//! Api and worker get their secrets by the environment and by files: none of them is told to anybody,
//! not in a log at the lowest level, a metric, an answer, a help text or an error.

use super::{ByHand, Process, WORKER, api_binary, postgres};
use std::{
    path::Path,
    process::{Command, Stdio},
};
use temporal::embedded::free_port;
use tests::{
    logs,
    marks::{forms, holds},
    muster::muster,
    until,
};

const MARK: &str = "zq7-environment-marker";
/// 32 bytes.
const KEY: &[u8; 32] = b"zq7-environment-marker-as-a-key!";

const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: PLUGIN, interactiveMode: Never,
  env: [{name: GIVEN, value: zq7-environment-marker-of-a-cluster}]}}}]
";

/// Keeps what it is told.
const PLUGIN: &str = r#"#!/bin/sh
env > "$0.env"
echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "zq7-environment-marker-of-a-plugin"}}'
"#;

const DOCUMENTS: &str = "apiVersion: muster.dev/v1
kind: Cluster
metadata: {name: none, provider: acme}
spec: {kubeconfig: k.yaml}
---
apiVersion: muster.dev/v1
kind: CompositeApp
metadata: {name: x, project: p, version: v1}
spec:
  apps: [{name: a, manifests: [m.yaml]}]
---
apiVersion: muster.dev/v1
kind: DeploymentIntentGroup
metadata: {name: x, project: p}
spec:
  compositeApp: {name: x, version: v1}
  placement: [{app: a, allOf: [{cluster: sandbox+c1}, {cluster: acme+none}]}]
";

const MANIFEST: &str = "apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {password: zq7-environment-marker-of-a-secret}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: m}
";

/// A program that gets everything by its environment.
fn by_environment(program: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    let known = std::env::vars_os().map(|(name, _)| name);
    for name in known.filter(|name| name.to_string_lossy().starts_with("MUSTER_")) {
        command.env_remove(name);
    }
    command.envs(settings.iter().copied());
    command
}

/// What a program says that ends by itself.
async fn said(mut command: Command) -> String {
    let run = move || command.stdin(Stdio::null()).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

async fn metrics(address: &str) -> String {
    let answer = tests::metrics(address.parse().unwrap()).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_environment_says_is_told_to_nobody() {
    let (Some(api), Some(url)) = (api_binary(), postgres::database().await) else {
        return;
    };
    let stack = ByHand::new(api, None, 1).await;
    let file = |name: &str, text: &str| {
        let path = stack.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = file("muster.key", &hex);
    let token = format!("{MARK}-as-a-token");
    let tokens = file("tokens", &format!("ann {token}\n"));
    let store = url.replace("muster@", &format!("muster:{MARK}@"));
    let (http, seen) = (free_port().unwrap(), free_port().unwrap());
    let (http, seen) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{seen}"));
    let both = [
        ("MUSTER_STORE", store.as_str()),
        ("MUSTER_TEMPORAL", &stack.temporal.address),
        ("MUSTER_KEY_FILE", &key),
        ("MUSTER_LOG", logs::OURS),
        ("TEMPORAL_API_KEY", &token),
        ("TEMPORAL_TLS", "false"),
        ("AWS_SECRET_ACCESS_KEY", MARK),
    ];
    let of_api = [
        ("MUSTER_GRPC", stack.grpc.as_str()),
        ("MUSTER_HTTP", &http),
        ("MUSTER_TOKENS", &tokens),
    ];
    let of_api = [&both[..], &of_api].concat();
    let plugin = file("plugin", PLUGIN);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&plugin, executable).unwrap();
    let alone = [
        ("MUSTER_METRICS", seen.as_str()),
        ("MUSTER_ALLOW_EXEC", &plugin),
    ];
    let of_worker = [&both[..], &alone].concat();
    let mut written: Vec<(String, String)> = vec![];
    let processes = [
        ("api", Process::plain(by_environment(&stack.api, &of_api))),
        (
            "worker",
            Process::plain(by_environment(Path::new(WORKER), &of_worker)),
        ),
    ];

    file("k.yaml", &KUBECONFIG.replace("PLUGIN", &plugin));
    file("m.yaml", MANIFEST);
    let documents = file("d.yaml", DOCUMENTS);
    let cluster = &stack.host.cluster("c1").unwrap().kubeconfig;
    file("c1.yaml", cluster);
    let first = file(
        "c1-document.yaml",
        &DOCUMENTS
            .split("---")
            .next()
            .unwrap()
            .replace("name: none, provider: acme", "name: c1, provider: sandbox")
            .replace("k.yaml", "c1.yaml"),
    );
    let server = format!("http://{}", stack.grpc);
    let call = async |line: &str, token: &str| {
        let line = format!("{line} --server {server} --token {token}");
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let ran = muster(&words, vec![]).await;
        (ran.code, ran.out + &ran.err)
    };
    until("the api answers", || async {
        (call(&format!("apply -f {first}"), &token).await.0 == 0).then_some(())
    })
    .await;
    let mut ask = async |line: &str, token: &str, expected: &str| {
        let (_, text) = call(line, token).await;
        assert!(text.contains(expected), "{line}: {text}");
        written.push((format!("muster {line}"), text));
    };
    ask("get dig", &format!("{MARK}-that-is-wrong"), "token").await;
    ask(&format!("apply -f {documents}"), &token, "created").await;
    ask("approve p/x", &token, "p/x").await;
    ask("instantiate p/x", &token, "p/x").await;
    until("c1 is done and the other one said to be dead", || async {
        let text = call("status p/x -o wide", &token).await.1;
        (text.matches("Applied").count() >= 2 && text.contains("refused")).then_some(())
    })
    .await;
    let told = std::fs::read_to_string(format!("{plugin}.env")).unwrap();
    assert!(told.contains("GIVEN=zq7") && told.contains("AWS_SECRET"));
    let ours = |line: &&str| line.starts_with("MUSTER_") || line.starts_with("TEMPORAL_");
    assert_eq!(told.lines().find(ours), None, "told to the plugin");
    for line in [
        "status p/x -o json",
        "describe cluster acme+none",
        "events p/x",
    ] {
        ask(line, &token, "none").await;
    }
    written.push(("api's metrics".to_owned(), metrics(&http).await));
    written.push(("worker's metrics".to_owned(), metrics(&seen).await));
    for (name, text) in &written[written.len() - 2..] {
        assert!(text.contains("# TYPE"), "{name}: {text}");
    }
    for (name, process) in &processes {
        assert!(process.log().contains("DEBUG"), "{name}");
        written.push((format!("{name}'s log"), process.log()));
    }

    // What does not start, and why.
    let toml = file(
        "wrong.toml",
        &format!("key-file = \"k\"\nstore = \"postgres://u:{MARK}@h/d\n"),
    );
    let toml_key = file(
        "temporal.toml",
        &format!("[profile.default]\napi_key = \"{MARK}\n"),
    );
    let short = file("short.key", &format!("{MARK}\n"));
    let other = file("other.key", &"09".repeat(32));
    let broken = file("broken.tokens", &format!("{MARK}\n"));
    let foreign = format!("mysql://u:{MARK}@h/d");
    let bad_port = format!("postgres://u:{MARK}@h:port/d");
    for (program, settings) in [
        (stack.api.as_path(), &of_api),
        (Path::new(WORKER), &of_worker),
    ] {
        let mut cases = vec![
            ("MUSTER_CONFIG", toml.as_str(), "line 2"),
            ("TEMPORAL_CONFIG_FILE", &toml_key, "temporal.toml"),
            ("MUSTER_KEY_FILE", &short, "key"),
            ("MUSTER_KEY_FILE", &other, "key"),
            ("MUSTER_STORE", &foreign, "postgres://"),
            ("MUSTER_STORE", &bad_port, "cannot be read"),
        ];
        if program == stack.api {
            cases.push(("MUSTER_TOKENS", &broken, "tokens"));
        }
        for (name, value, expected) in cases {
            let any = [
                ("MUSTER_GRPC", "127.0.0.1:0"),
                ("MUSTER_HTTP", "127.0.0.1:0"),
            ];
            let settings = [&settings[..], &any, &[(name, value)]].concat();
            let mut command = Command::new("timeout");
            let plain = by_environment(program, &settings);
            command.args(["3"]).arg(program).env_clear();
            command.envs(
                plain
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
            command.env_remove("MUSTER_METRICS");
            let text = said(command).await;
            let what = format!("{} with {name}={value}", program.display());
            assert!(text.contains(expected), "{what}: {text}");
            written.push((what, text));
        }
        for help in ["--help", "-h", "--nonsense"] {
            let mut command = by_environment(program, settings);
            command.arg(help);
            written.push((format!("{} {help}", program.display()), said(command).await));
        }
    }
    let forms = forms(MARK);
    for (place, text) in &written {
        for form in &forms {
            assert!(!holds(text.as_bytes(), form), "readable in {place}: {text}");
        }
    }
}
