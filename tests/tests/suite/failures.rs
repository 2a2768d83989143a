//! Everything of `docs/failures.md` that can be caused: one stack, one DIG for each failure, all at
//! once; then `muster status` has to name cluster, object, cause, code, attempts and next step.

use ::kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{Method, Request, Response};
use model::failure::{GUIDES, Guide};
use proto::v1::{Problem, StatusHead};
use sandbox::{
    host::{Backend, BackendSpec, ClusterSpec, Fault, FaultKind, Gone, Host, HostConfig, Verb},
    kube::{Cluster, ClusterConfig},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tests::{
    Stack,
    clusters::client,
    documents::{App, Upload, config_map},
    until,
};

/// A cluster that answers applies of some names with what a real API server says.
struct Refusing {
    cluster: Cluster,
    /// Code, reason, message by the object's name.
    answers: BTreeMap<&'static str, (u16, &'static str, &'static str)>,
}

impl Backend for Refusing {
    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Gone>> {
        let name = request.uri().path().rsplit('/').next().unwrap_or_default();
        let answer = self.answers.get(name).copied();
        Box::pin(async move {
            match answer.filter(|_| request.method() == Method::PATCH) {
                Some((code, reason, message)) => {
                    let status = json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "code": code, "reason": reason, "message": message,
                    });
                    Response::builder()
                        .status(code)
                        .header("content-type", "application/json")
                        .body(Body::from(status.to_string()))
                        .map_err(|error| Gone(error.to_string()))
                }
                None => Ok(self.cluster.handle(request).await),
            }
        })
    }
}

/// What a real API server (v1.36.3) says in cases the sandbox does not know.
const ANSWERS: [(&str, u16, &str, &str); 9] = [
    (
        "forbidden",
        403,
        "Forbidden",
        "configmaps \"forbidden\" is forbidden: User \"edge\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"f-forbidden\"",
    ),
    (
        "quota",
        403,
        "Forbidden",
        "configmaps \"quota\" is forbidden: exceeded quota: few, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1",
    ),
    (
        "denied",
        403,
        "Forbidden",
        "admission webhook \"policy.example.com\" denied the request: no such label",
    ),
    (
        "toolarge",
        413,
        "RequestEntityTooLarge",
        "Request entity too large: limit is 3145728",
    ),
    (
        "toomanyrequests",
        429,
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
    ),
    (
        "servererror",
        500,
        "InternalError",
        "Internal error occurred: etcdserver: leader changed",
    ),
    (
        "webhook",
        500,
        "InternalError",
        "Internal error occurred: failed calling webhook \"checks.example.com\": failed to call webhook: Post \"https://checks.shop.svc:443/x?timeout=10s\": dial tcp 10.0.0.1:443: connect: connection refused",
    ),
    (
        "retrytimeexceeded",
        503,
        "ServiceUnavailable",
        "the server is currently unable to handle the request",
    ),
    (
        "needed",
        403,
        "Forbidden",
        "configmaps \"needed\" is forbidden: User \"edge\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"f-heldback\"",
    ),
];

/// One failure and how it is caused.
struct Case {
    /// Of the DIG and its namespace `f-NAME`.
    name: &'static str,
    code: &'static str,
    cluster: &'static str,
    /// `Kind/namespace/name`, or empty where more than one is hit.
    object: String,
    apps: Vec<App>,
    policy: &'static str,
    /// Something was sent, or probed.
    tried: bool,
    terminate: bool,
}

impl Case {
    /// A ConfigMap of the case's name on a cluster.
    fn new(name: &'static str, code: &'static str, cluster: &'static str) -> Self {
        Self {
            name,
            code,
            cluster,
            object: format!("ConfigMap/f-{name}/{name}"),
            apps: vec![App::new("app", config_map(name))],
            policy: "{}",
            tried: true,
            terminate: false,
        }
    }

    fn of(mut self, object: &str, manifest: &str) -> Self {
        self.object = object.to_owned();
        self.apps = vec![App::new("app", manifest)];
        self
    }

    fn about(mut self, object: &str) -> Self {
        self.object = object.to_owned();
        self
    }

    fn apps(mut self, apps: Vec<App>) -> Self {
        self.apps = apps;
        self
    }

    fn policy(mut self, policy: &'static str) -> Self {
        self.policy = policy;
        self
    }

    /// It is found out before anything is sent.
    fn untried(mut self) -> Self {
        self.tried = false;
        self
    }

    fn terminated(mut self) -> Self {
        self.terminate = true;
        self
    }
}

/// Longer than any failure takes to show, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

const C1: &str = "sandbox+c1";

fn cases() -> Vec<Case> {
    let widget = "apiVersion: nowhere.example.com/v1\nkind: Widget\nmetadata: {name: w}\n";
    let mismatched = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: invalid}\nspec:\n  selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: b}}\n    spec: {containers: [{name: c, image: i}]}\n";
    let elsewhere =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lost, namespace: not-there}\n";
    let finalized =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, finalizers: [example.com/keep]}\n";
    let second = crd("twos");
    vec![
        Case::new("blackhole", "unreachable", "sandbox+hole"),
        Case::new("closed", "unreachable", "bad+closed"),
        Case::new("reset", "reset", "sandbox+reset"),
        Case::new("dns", "dns", "bad+dns"),
        Case::new("tls", "tls", "bad+tls"),
        Case::new("tlsname", "tls", "bad+tlsname"),
        Case::new("exec", "kubeconfig", "bad+exec"),
        Case::new("twice", "duplicateCluster", "bad+twice"),
        Case::new("unauthorized", "unauthorized", "bad+stranger")
            .about("Namespace/f-unauthorized")
            .untried(),
        Case::new("timeout", "timeout", C1),
        Case::new("forbidden", "forbidden", C1),
        Case::new("quota", "quota", C1),
        Case::new("denied", "denied", C1),
        Case::new("toolarge", "tooLarge", C1),
        Case::new("toomanyrequests", "tooManyRequests", C1),
        Case::new("servererror", "serverError", C1),
        Case::new("webhook", "webhook", C1),
        Case::new("retrytimeexceeded", "retryTimeExceeded", C1)
            .policy("{retry: {initialInterval: 100ms, backoff: 1, maxElapsed: 500ms}}"),
        Case::new("invalid", "invalid", C1).of("Deployment/f-invalid/invalid", mismatched),
        Case::new("namespace", "namespaceNotFound", C1).of("ConfigMap/not-there/lost", elsewhere),
        Case::new("nokind", "noSuchKind", C1)
            .of("Widget/f-nokind/w", widget)
            .untried(),
        Case::new("crd", "crdNotEstablished", C1)
            .of("CustomResourceDefinition/twos.clash.example.com", &second),
        Case::new("foreign", "foreign", C1).untried(),
        Case::new("conflict", "conflict", C1).policy("{existing: Adopt}"),
        Case::new("finalizers", "finalizers", C1)
            .of("ConfigMap/f-finalizers/kept", finalized)
            .terminated(),
        Case::new("heldback", "heldBack", C1)
            .apps(vec![
                App::new("app", config_map("needed")),
                App::new("front", config_map("heldback")).after("{app: app, opStatus: Deployed}"),
            ])
            .untried(),
        Case::new("blocked", "blocked", C1)
            .apps(vec![
                App::new("app", config_map("servererror")),
                App::new("front", config_map("blocked")).after("{app: app, opStatus: Deployed}"),
            ])
            .untried(),
    ]
}

/// Two of these want the same kind: the second is never established.
fn crd(plural: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.clash.example.com}}\n\
         spec:\n  group: clash.example.com\n  scope: Namespaced\n  names: {{plural: {plural}, kind: Same, listKind: SameList, singular: same}}\n  \
         versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]\n"
    )
}

/// Clusters that the switch cannot spoil as wanted are spoilt by their kubeconfig.
fn spoilt(good: &str, stranger: &str) -> Vec<(&'static str, String)> {
    let change = |what: &dyn Fn(&mut Value)| {
        let mut config: Value = serde_yaml_ng::from_str(good).unwrap();
        what(&mut config);
        serde_yaml_ng::to_string(&config).unwrap()
    };
    let server = |address: &'static str| {
        change(&|config| config["clusters"][0]["cluster"]["server"] = address.into())
    };
    let other: Value = serde_yaml_ng::from_str(stranger).unwrap();
    vec![
        ("closed", server("https://127.0.0.1:1")),
        ("dns", server("https://no-such-cluster.invalid:6443")),
        (
            "tls",
            change(&|config| {
                config["clusters"][0]["cluster"]["certificate-authority-data"] =
                    other["clusters"][0]["cluster"]["certificate-authority-data"].clone();
            }),
        ),
        (
            "tlsname",
            change(&|config| {
                config["clusters"][0]["cluster"]["tls-server-name"] =
                    "elsewhere.example.com".into();
            }),
        ),
        (
            "exec",
            change(&|config| {
                config["users"][0]["user"] = json!({"exec": {
                    "apiVersion": "client.authentication.k8s.io/v1", "command": "aws", "interactiveMode": "Never",
                }});
            }),
        ),
        (
            "stranger",
            change(&|config| config["users"][0]["user"]["token"] = "nobodys".into()),
        ),
        ("twice", good.to_owned()),
    ]
}

/// Whether a text is as the table says: its words in capitals stand for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let is_literal = |word: &str| ["TLS", "CRD"].contains(&word);
    let mut rest = text;
    let mut literal = String::new();
    let mut pieces = Vec::new();
    for word in pattern.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let stands_for =
            bare.len() > 1 && bare.chars().all(|c| c.is_ascii_uppercase()) && !is_literal(bare);
        if stands_for {
            pieces.push(std::mem::take(&mut literal));
            literal = word[bare.len()..].to_owned();
        } else {
            literal.push_str(word);
        }
    }
    pieces.push(literal);
    pieces.iter().all(|piece| match rest.find(piece.trim()) {
        Some(at) => {
            rest = &rest[at + piece.trim().len()..];
            true
        }
        None => false,
    })
}

fn guide(code: &str) -> &'static Guide {
    let found = GUIDES.iter().find(|guide| guide.code == code);
    found.unwrap_or_else(|| panic!("{code} is not in the table"))
}

/// What `muster WORDS` prints, and its exit code.
async fn muster(stack: &Stack, words: &str) -> (u8, String) {
    let line = format!("{words} --server http://{}", stack.grpc);
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let ran = tests::muster::muster(&words, Vec::new()).await;
    (ran.code, ran.out + &ran.err)
}

/// Compares a problem, and what `muster status` says of it, with the table; what is wrong.
async fn compare(
    stack: &Stack,
    dig: &str,
    cluster: &str,
    object: &str,
    problem: &Problem,
) -> Vec<String> {
    let guide = guide(&problem.code);
    let mut wrong = Vec::new();
    if !fits(guide.sees, &problem.reason) && !fits(guide.sees, &problem.message) {
        wrong.push(format!("it is not {:?}", guide.sees));
    }
    if problem.next_step != guide.next {
        wrong.push(format!("the next step is not {:?}", guide.next));
    }
    if problem.cluster != cluster || problem.resource != object {
        wrong.push(format!("it is not about {cluster} {object}"));
    }
    if !wrong.is_empty() {
        wrong.push(format!("{problem:?}"));
    }
    let (code, text) = muster(stack, &format!("status p/{dig} --summary")).await;
    // Attempts and causes change between two looks; what was found is there all the same.
    for part in [cluster, object, &format!("next: {}", guide.next)] {
        if code != 0 || !text.contains(part) {
            wrong.push(format!("{part:?} is not in\n{text}"));
        }
    }
    wrong
        .into_iter()
        .map(|wrong| format!("{dig} ({}): {wrong}", problem.code))
        .collect()
}

fn find<'a>(head: &'a StatusHead, case: &Case) -> Option<&'a Problem> {
    head.problems.iter().find(|problem| {
        problem.code == case.code
            && problem.resource == case.object
            && problem.cluster == case.cluster
    })
}

async fn start() -> (Stack, Host) {
    let config = ClusterConfig::default();
    let answers = ANSWERS.map(|(name, code, reason, message)| (name, (code, reason, message)));
    let refusing = Refusing {
        cluster: Cluster::open("c1", None, config).unwrap(),
        answers: answers.into(),
    };
    let stack = Stack::start_with(HostConfig {
        clusters: vec![
            ClusterSpec::new("c1", BackendSpec::Other(Arc::new(refusing))),
            ClusterSpec::simulated("hole"),
            ClusterSpec::simulated("reset"),
        ],
        ..HostConfig::default()
    })
    .await;
    // Its authority is another one.
    let other = Host::start(HostConfig::simulated(1)).await.unwrap();
    let good = stack.host.cluster("c1").unwrap().kubeconfig.clone();
    let mut upload = Upload::default();
    for (name, kubeconfig) in spoilt(&good, &other.cluster("c1").unwrap().kubeconfig) {
        upload.cluster("bad", name, "spoilt: \"true\"", &kubeconfig);
    }
    stack.apply(upload).await.unwrap();
    stack.fault("hole", FaultKind::BlackHole);
    stack.fault("reset", FaultKind::Reset);
    let late = FaultKind::Latency { ms: 60_000 };
    stack.fault_where("c1", Fault::from(late).verb(Verb::Apply).named("timeout"));
    prepare(&good).await;
    (stack, other)
}

/// What is on the cluster before Muster comes.
async fn prepare(kubeconfig: &str) {
    let client = client(kubeconfig).await;
    let apply = async |manifest: &str, api: ApiResource, namespace: Option<&str>| {
        let object: DynamicObject = serde_yaml_ng::from_str(manifest).unwrap();
        let name = object.metadata.name.clone().unwrap();
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &api),
            None => Api::all_with(client.clone(), &api),
        };
        let params = PatchParams::apply("somebody");
        api.patch(&name, &params, &Patch::Apply(&object))
            .await
            .unwrap();
    };
    let core = |kind: &str, plural: &str| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", kind), plural)
    };
    for name in ["foreign", "conflict"] {
        let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: f-{name}}}\n");
        apply(&namespace, core("Namespace", "namespaces"), None).await;
        let there = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: f-{name}}}\ndata: {{key: another}}\n"
        );
        let namespace = format!("f-{name}");
        apply(&there, core("ConfigMap", "configmaps"), Some(&namespace)).await;
    }
    let crds = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    );
    apply(&crd("ones"), crds, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_names_cluster_object_cause_and_next_step_of_every_failure() {
    let (mut stack, other) = start().await;
    let cases = cases();
    for case in &cases {
        let spec = format!(
            "  namespace: f-{}\n  placement:\n  - {{app: \"*\", allOf: [{{cluster: {}}}]}}\n  policy: {}",
            case.name, case.cluster, case.policy
        );
        let dig = stack.approved(case.name, &case.apps, &spec).await;
        // The names of one cluster are told apart once it was seen.
        if case.code == "duplicateCluster" {
            stack.dig("blackhole").instantiate().await.unwrap();
            let first = stack
                .approved(
                    "known",
                    &[App::new("app", config_map("x"))],
                    &tests::documents::on(&["c1"]),
                )
                .await;
            first.instantiate().await.unwrap();
            first.until_instantiated().await;
        } else if case.name == "blackhole" {
            continue;
        }
        dig.instantiate().await.unwrap();
        if case.terminate {
            dig.until_instantiated().await;
            dig.terminate().await.unwrap();
        }
    }
    let shown = &stack;
    let found = join_all(cases.iter().map(|case| async move {
        let looks = async {
            loop {
                let status = shown.dig(case.name).status().await;
                let found = find(&status.head, case);
                if let Some(problem) = found.filter(|found| !case.tried || found.attempts > 0) {
                    return problem.clone();
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looks).await {
            Ok(problem) => compare(shown, case.name, case.cluster, &case.object, &problem).await,
            Err(_) => {
                let head = shown.dig(case.name).status().await.head;
                vec![format!(
                    "{} ({}): not seen: {:?}",
                    case.name, case.code, head.problems
                )]
            }
        }
    }))
    .await;
    let wrong: Vec<String> = found.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    checks(&stack).await;
    engine(&mut stack).await;

    // What the table has and nobody caused here, each with where it is caused instead.
    let mut left: BTreeSet<&str> = GUIDES.iter().map(|guide| guide.code).collect();
    for case in &cases {
        left.remove(case.code);
    }
    for elsewhere in ELSEWHERE {
        assert!(
            left.remove(elsewhere),
            "{elsewhere} is caused here, or unknown"
        );
    }
    assert_eq!(left, BTreeSet::new(), "nobody causes these");
    other.shutdown().await;
    stack.end().await;
}

/// Caused in [`engine`], in `objects.rs` or in `readiness.rs`, or by the tests of `model` (what an
/// answer means), `activities` (what a look, an attempt and a delete see) and `store` (probes).
const ELSEWHERE: [&str; 24] = [
    "temporalUnreachable",
    "noWorker",
    "storeLocked",
    "identity",
    "identityChanged",
    "versionTooOld",
    "badRequest",
    "methodNotAllowed",
    "refused",
    "manifestMissing",
    "unexpectedAnswer",
    "groupSilent",
    "writeRace",
    "uidChanged",
    "terminating",
    "terminatingNamespace",
    "deleting",
    "lateRequest",
    "waiting",
    "failFast",
    "gone",
    "store",
    "notReady",
    "notPresent",
];

/// `muster cluster check` says the same of the clusters.
async fn checks(stack: &Stack) {
    let mut wrong: Vec<String> = Vec::new();
    for (cluster, code) in [
        ("sandbox+hole", "unreachable"),
        ("sandbox+reset", "reset"),
        ("bad+closed", "unreachable"),
        ("bad+dns", "dns"),
        ("bad+tls", "tls"),
        ("bad+exec", "kubeconfig"),
        ("bad+stranger", "unauthorized"),
        ("bad+twice", "duplicateCluster"),
    ] {
        let (exit, text) = muster(stack, &format!("cluster check {cluster}")).await;
        let names = text.starts_with(&format!("{cluster}: "));
        if exit != 1 || !names || !fits(guide(code).sees, &text) {
            wrong.push(format!("{exit}, {:?}: {text}", guide(code).sees));
        }
    }
    let (exit, text) = muster(stack, "cluster check sandbox+c1").await;
    assert_eq!(exit, 0, "{text}");
    assert!(text.contains("Kubernetes v1."), "{text}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What keeps everything from moving: the database, the worker, Temporal.
async fn engine(stack: &mut Stack) {
    let healthy = |name: &'static str| {
        let apps = [App::new("app", config_map(name))];
        (
            name,
            apps,
            format!(
                "  namespace: f-{name}\n  placement:\n  - {{app: \"*\", allOf: [{{cluster: sandbox+c1}}]}}"
            ),
        )
    };
    let shows = async |stack: &Stack, name: &'static str, code: &'static str| {
        let dig = stack.dig(name);
        let status = dig.until(code, |s| s.head.problems.iter().any(|p| p.code == code));
        let status = status.await;
        let problem = status.head.problems.first().unwrap();
        assert_eq!(problem.code, code, "it is the worst: {problem:?}");
        let wrong = compare(stack, name, "", "", problem).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    };

    // A DIG that waits is shown to wait for the database, and goes on when it is free.
    stack.fault_where(
        "c1",
        Fault::from(FaultKind::Status { code: 503 })
            .verb(Verb::Apply)
            .named("locked"),
    );
    let (name, apps, spec) = healthy("locked");
    let dig = stack.approved(name, &apps, &spec).await;
    dig.instantiate().await.unwrap();
    dig.until("it waits", |s| !s.head.problems.is_empty()).await;
    let lock = lock(stack).await;
    shows(stack, name, "storeLocked").await;
    drop(lock);
    stack.heal("c1").await;
    dig.until_instantiated().await;

    stack.stop_worker().await;
    let (name, apps, spec) = healthy("alone");
    let dig = stack.approved(name, &apps, &spec).await;
    dig.instantiate().await.unwrap();
    shows(stack, name, "noWorker").await;
    let (exit, text) = muster(stack, "cluster check sandbox+c1").await;
    assert_eq!(exit, 6, "{text}");
    assert!(text.contains("no worker takes work"), "{text}");
    stack.start_worker();
    dig.until_instantiated().await;
    assert_eq!(dig.status().await.head.problems, []);

    let (name, apps, spec) = healthy("apart");
    let dig = stack.approved(name, &apps, &spec).await;
    stack.temporal.kill();
    dig.instantiate().await.unwrap();
    shows(stack, name, "temporalUnreachable").await;
}

/// Holds SQLite's only write lock.
async fn lock(stack: &Stack) -> sea_orm::DatabaseConnection {
    use sea_orm::ConnectionTrait;
    let mut options = sea_orm::ConnectOptions::new(tests::stack::store_url(&stack.dir));
    options.max_connections(1).min_connections(1);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    until("the lock is taken", || async {
        connection.execute_unprepared("BEGIN IMMEDIATE").await.ok()
    })
    .await;
    connection
}

#[test]
fn words_in_capitals_stand_for_anything() {
    for (pattern, text, expected) in [
        (
            "connect to HOST:PORT CAUSE",
            "connect to 127.0.0.1:1: connection refused",
            true,
        ),
        (
            "TLS: the certificate of HOST CAUSE",
            "TLS: the certificate of h has expired",
            true,
        ),
        (
            "TLS: the certificate of HOST CAUSE",
            "TLS with h: eof",
            false,
        ),
        ("no answer within SECONDS s", "no answer within 1 s", true),
        ("the object is too large", "the object is too small", false),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}
