//! 200 planted markers, and everything Muster writes while their objects live, are refused by a
//! server that quotes them, and end: not one is found but where it is sealed.
//!
//! Secret are: what a Secret holds, its annotations too; kubeconfigs; tokens. Values of other
//! objects (a Deployment's environment, a ConfigMap's data) are stored readable, compressed, with
//! the object; they are in no history, log, metric, event, error, status or output all the same.

use crate::postgres;
use base64::{Engine, engine::general_purpose::STANDARD};
use proto::v1::{ContextState, ResourceState as R};
use sandbox::host::{Fault, FaultKind, HostConfig, Verb};
use std::fmt::Write as _;
use store::{SealKey, Store, StoreConfig};
use tests::{
    Stack,
    api_only::ApiOnly,
    clusters::client,
    documents::{App, Upload, config_map},
    dump,
    marks::{forms, holds},
    muster::muster,
};

/// Markers begin alike, so that one search finds any of them.
const SEALED: &str = "zq7-sealed-marker-";
const PLAIN: &str = "zq7-plain-marker-";
const ALL: usize = 200;

/// Hands out markers and counts them.
#[derive(Default)]
struct Planter(usize);

impl Planter {
    fn mark(&mut self, prefix: &str) -> String {
        self.0 += 1;
        format!("{prefix}{:03}", self.0)
    }
}

/// A Secret with four markers: as text, in base64, in an annotation, and in what kubectl notes.
fn secret(planter: &mut Planter, name: &str) -> String {
    let mut mark = || planter.mark(SEALED);
    let (text, key, note, last) = (mark(), mark(), mark(), mark());
    let key = STANDARD.encode(key);
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  annotations:\n    note: {note}\n    kubectl.kubernetes.io/last-applied-configuration: '{{\"data\":{{\"a\":\"{last}\"}}}}'\nstringData: {{password: {text}}}\ndata: {{key: {key}}}\n"
    )
}

fn deployment(planter: &mut Planter, name: &str) -> String {
    let value = planter.mark(PLAIN);
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: c, image: i, env: [{{name: PASSWORD, value: {value}}}]}}]}}\n"
    )
}

fn config(planter: &mut Planter, name: &str) -> String {
    let value = planter.mark(PLAIN);
    config_map(name).replace(&format!("value-of-{name}"), &value)
}

/// A kubeconfig of every kind of credential; its current user runs a program that is not allowed.
fn kubeconfig(planter: &mut Planter) -> String {
    let mut users = String::new();
    let (argument, variable) = (planter.mark(SEALED), planter.mark(SEALED));
    writeln!(
        users,
        "- name: u\n  user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: /bin/false, args: [{argument}], env: [{{name: TOKEN, value: {variable}}}], interactiveMode: Never}}}}"
    )
    .unwrap();
    for number in 0..7 {
        let (token, password) = (planter.mark(SEALED), planter.mark(SEALED));
        let key = STANDARD.encode(format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            planter.mark(SEALED)
        ));
        let provider = planter.mark(SEALED);
        writeln!(
            users,
            "- {{name: u{number}, user: {{token: {token}, username: a, password: {password}, client-key-data: {key}, auth-provider: {{name: gcp, config: {{access-token: {provider}}}}}}}}}"
        )
        .unwrap();
    }
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- name: a\n  context: {{cluster: c, user: u}}\nclusters:\n- name: c\n  cluster: {{server: 'https://127.0.0.1:1'}}\nusers:\n{users}"
    )
}

/// What was written, by place.
struct Written(Vec<(String, Vec<u8>)>);

impl Written {
    fn add(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), bytes.into()));
    }

    fn with(&self, prefix: &str) -> Vec<&str> {
        let forms = forms(prefix);
        let found = |bytes: &[u8]| forms.iter().any(|form| holds(bytes, form));
        let hits = self.0.iter().filter(|(_, bytes)| found(bytes));
        hits.map(|(place, _)| place.as_str()).collect()
    }

    /// The place was looked at, with the word in it that belongs there.
    fn saw(&self, place: &str, word: &str) {
        let seen = self
            .0
            .iter()
            .any(|(at, bytes)| at.starts_with(place) && holds(bytes, word.as_bytes()));
        assert!(seen, "{place} was not seen: {word} is not in it");
    }
}

/// Commands that show the group, in every form they have.
async fn commands(written: &mut Written, url: &str, tokens: &[String]) {
    for (number, command) in [
        "status p/canary",
        "status p/canary --summary",
        "describe dig p/canary",
        "describe cluster acme+vault",
        "describe app p/canary",
        "events p/canary",
        "get dig p/canary",
        "get app p/canary",
        "get cluster acme+vault",
        "get cluster",
        "instantiate p/canary",
        "status p/none",
    ]
    .into_iter()
    .enumerate()
    {
        for format in ["table", "wide", "json", "yaml", "name"] {
            let token = &tokens[number % tokens.len()];
            let line = format!("{command} -o {format} --server {url} --token {token}");
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let ran = muster(&words, vec![]).await;
            written.add(&format!("muster {command} -o {format}"), ran.out + &ran.err);
        }
    }
}

/// Inputs that are refused because of what stands beside a marker.
async fn refusals(written: &mut Written, stack: &Stack, hidden: &[String]) {
    let [a, b, c, d] = hidden else {
        panic!("four markers")
    };
    let app = |name: &str, text: String| {
        let mut upload = Upload::default();
        upload.app(name, "v1", &[App::new("a", text)]);
        upload
    };
    let mut broken = Upload::default();
    broken.cluster(
        "acme",
        "x",
        "",
        &format!("users: [{{user: {{token: {d}}}}}]\ncontexts: ["),
    );
    for upload in [
        app(
            "x1",
            format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: a/b}}\nstringData: {{a: {a}}}\n"
            ),
        ),
        app(
            "x2",
            format!("kind: Secret\nstringData: {{a: {b}}}\nb: [\n"),
        ),
        app(
            "x3",
            format!("kind: Secret\nstringData: {{a: !!int {c}}}\n"),
        ),
        broken,
    ] {
        let status = stack.apply(upload).await.unwrap_err();
        written.add("a refusal", format!("{status:?} {}", status.message()));
    }
}

/// A server that asks for tokens: right ones, wrong ones, and a file that cannot be read.
async fn tokens(written: &mut Written, tokens: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokens");
    std::fs::write(&file, format!("ann {}\nbob {}\n", tokens[0], tokens[1])).unwrap();
    let api = ApiOnly::start_with(|config| config.tokens = Some(file)).await;
    for token in tokens {
        for format in ["table", "json"] {
            let line = format!("get dig -o {format} --server {} --token {token}", api.url);
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let ran = muster(&words, vec![]).await;
            written.add("muster --token", ran.out + &ran.err);
        }
    }
    api.end().await;
    written.saw("muster --token", "the token is not known");
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_markers_are_nowhere_but_sealed() {
    planted_markers(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_planted_markers_are_nowhere_but_sealed() {
    if let Some(url) = postgres::database().await {
        planted_markers(Some(url)).await;
    }
}

async fn planted_markers(postgres: Option<String>) {
    let clusters = HostConfig::simulated(2);
    let stack = Stack::start_stored(clusters, StoreConfig::default(), postgres.clone()).await;
    let mut planter = Planter::default();
    let good: String = (0..12)
        .map(|i| secret(&mut planter, &format!("good{i}")))
        .collect();
    let names: Vec<String> = (0..14).map(|i| format!("bad{i}")).collect();
    let bad: String = names
        .iter()
        .map(|name| secret(&mut planter, name))
        .collect();
    // Each in an app of its own: what is refused holds the later waves of its app back.
    let env: String = (0..15)
        .map(|i| deployment(&mut planter, &format!("plain{i}")))
        .collect();
    let data: String = (0..15)
        .map(|i| config(&mut planter, &format!("plain{i}")))
        .collect();
    let many: String = (0..1_500).map(|i| config_map(&format!("m{i}"))).collect();
    let vault = kubeconfig(&mut planter);
    let hidden: Vec<String> = (0..4).map(|_| planter.mark(SEALED)).collect();
    let sent: Vec<String> = (0..32).map(|_| planter.mark(SEALED)).collect();
    assert_eq!(planter.0, ALL);

    // c2 refuses with every kind of answer, quoting what it was sent.
    let codes = [400, 401, 403, 404, 405, 409, 413, 422, 429, 500, 502, 503];
    for (number, name) in names.iter().enumerate() {
        let kind = FaultKind::Status {
            code: codes[number % codes.len()],
        };
        stack.fault_where(
            "c2",
            Fault::from(kind).verb(Verb::Apply).named(name.clone()),
        );
    }
    for number in 0..15 {
        let kind = FaultKind::Status {
            code: codes[number % codes.len()],
        };
        let name = format!("plain{number}");
        stack.fault_where("c2", Fault::from(kind).verb(Verb::Apply).named(name));
    }
    let mut written = Written(vec![]);
    let kube = client(&stack.host.cluster("c2").unwrap().kubeconfig).await;
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::default_namespaced(kube);
    let object: serde_json::Value =
        serde_yaml_ng::from_str(bad.split("---\n").nth(1).unwrap()).unwrap();
    let apply = kube::api::PatchParams::apply("plain");
    let said = secrets
        .patch("bad0", &apply, &kube::api::Patch::Apply(&object))
        .await
        .unwrap_err();
    assert!(
        said.to_string().contains(SEALED),
        "the server does not quote: {said}"
    );

    let mut upload = Upload::default();
    upload.cluster("acme", "vault", "", &vault);
    upload.app(
        "canary",
        "v1",
        &[
            App::new("good", good),
            App::new("bad", bad),
            App::new("env", env),
            App::new("data", data),
            App::new("far", config_map("far")),
            App::new("many", many),
        ],
    );
    upload.dig(
        "canary",
        "  namespace: shop\n  placement:\n  - {app: good, allOf: [{cluster: sandbox+c1}]}\n  - {app: bad, allOf: [{cluster: sandbox+c2}]}\n  - {app: env, allOf: [{cluster: sandbox+c1}, {cluster: sandbox+c2}]}\n  - {app: data, allOf: [{cluster: sandbox+c1}, {cluster: sandbox+c2}]}\n  - {app: far, allOf: [{cluster: acme+vault}]}\n  - {app: many, allOf: [{cluster: sandbox+c1}]}",
    );
    stack.apply(upload).await.unwrap();
    let dig = stack.dig("canary");
    dig.approve().await.unwrap();
    let context = dig.instantiate().await.unwrap().context_id;
    let told =
        |r: &proto::v1::Resource| r.last_error.is_some() || r.deployed_status() == R::Applied;
    let status = dig
        .until("every resource is applied or says why not", |s| {
            !s.resources.is_empty() && s.resources.iter().all(told)
        })
        .await;
    assert_eq!(status.state("c1", "good0"), R::Applied);
    assert!(status.resource("c2", "bad7").last_error.is_some());
    let url = format!("http://{}", stack.bound.grpc);
    written.add("status", format!("{status:?}"));
    commands(&mut written, &url, &sent).await;
    refusals(&mut written, &stack, &hidden).await;
    tokens(&mut written, &sent).await;
    stack.heal("c2").await;
    dig.terminate().await.unwrap();
    let ended = dig.until_context(ContextState::Terminated).await;
    written.add("status", format!("{ended:?}"));
    written.add("events", format!("{:?}", dig.events().await));
    commands(&mut written, &url, &sent).await;
    written.add("metrics", tests::metrics(stack.bound.http.unwrap()).await);
    let temporal = stack.temporal.client().await.unwrap();
    let history = temporal
        .history_json(&format!("dig/p/canary/{context}"))
        .await
        .unwrap();
    // A command above has begun another life, so not all of them are over.
    tests::histories::has_small_events(&history, &context);
    written.add("history", history);
    written.add("log", tests::logs::so_far());
    for file in std::fs::read_dir(stack.dir.path()).unwrap() {
        let file = file.unwrap();
        let name = format!("file {}", file.file_name().to_string_lossy());
        if file.file_type().unwrap().is_file() && !name.ends_with("muster.key") {
            written.add(&name, std::fs::read(file.path()).unwrap());
        }
    }
    if let Some((_, folder)) = postgres.as_ref().and_then(|url| url.split_once("host=")) {
        let log = std::fs::read(std::path::Path::new(folder).join("log"));
        written.add("postgres log", log.unwrap());
        written.saw("postgres log", "ready to accept connections");
    } else {
        written.saw("file muster.db", &context);
    }
    for (column, bytes) in dump::columns(&stack.store).await {
        written.add(&format!("table {column}"), bytes);
    }

    for (place, word) in [
        ("status", "vault"),
        ("events", "bad7"),
        ("metrics", "# TYPE"),
        ("history", &context),
        ("log", "the store is open"),
        ("file temporal.db", &context),
        ("table event.", "the object is invalid"),
        ("table dig.", "canary"),
        ("muster status", "vault"),
        ("muster describe", "canary"),
        ("muster events", "bad7"),
        ("muster get app p/canary -o yaml", "bad7"),
        ("a refusal", "must not contain"),
    ] {
        written.saw(place, word);
    }
    let sealed = written.with(SEALED);
    assert!(sealed.is_empty(), "readable in {sealed:?}");
    let tokens: Vec<String> = stack.host.clusters().into_iter().map(|c| c.token).collect();
    for (place, bytes) in &written.0 {
        let found = tokens.iter().any(|token| holds(bytes, token.as_bytes()));
        assert!(!found, "a cluster's token is in {place}");
    }
    // Values of other objects: stored with them, and shown to who asks for the document.
    let mut plain = written.with(PLAIN);
    let documents = [
        "muster get app",
        "muster describe app",
        "table manifest.body",
    ];
    plain.retain(|place| !documents.iter().any(|document| place.starts_with(document)));
    assert!(plain.is_empty(), "readable in {plain:?}");
    assert!(
        written.with(PLAIN).contains(&"table manifest.body"),
        "compression hides the search"
    );

    // Sealed they are there.
    let store = Store::open(&stack.store, SealKey([7; 32])).await.unwrap();
    let kept = store
        .kubeconfig(&"acme+vault".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(kept.text, vault);
    stack.end().await;
}
