//! One kubectl session, two servers: what a real kubectl prints, and how it ends, is the same on a
//! real API server and on a sandbox cluster.

use sandbox::{Host, host::HostConfig};
use serde_json::Value;
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tests::{
    control_plane::{Assets, lease},
    until,
};
use tokio::process::Command;

const APP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {color: blue}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'nginx:1', ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: things, kind: Thing, shortNames: [th]}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {a: {type: integer}}}}}}}]
";

const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\ndata: {color: red}\n";
const THING: &str =
    "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t, namespace: shop}\nspec: {a: 1}\n";

/// Files of the session.
fn files() -> Vec<(&'static str, String)> {
    vec![
        ("app.yaml", APP.to_owned()),
        ("red.yaml", SETTINGS.to_owned()),
        (
            "typo.yaml",
            SETTINGS.replace("data:", "dada:"),
        ),
        (
            "nowhere.yaml",
            SETTINGS.replace("shop", "nowhere"),
        ),
        (
            "mismatch.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bad, namespace: shop}\nspec:\n  selector: {matchLabels: {app: one}}\n  template:\n    metadata: {labels: {app: other}}\n    spec: {containers: [{name: c, image: i}]}\n".to_owned(),
        ),
        ("definition.yaml", DEFINITION.to_owned()),
        ("thing.yaml", THING.to_owned()),
        ("text.yaml", THING.replace("a: 1", "a: one")),
    ]
}

/// What is compared of a command, beside how it ends.
#[derive(Clone, Copy)]
enum Step {
    /// All it prints.
    All(&'static str),
    /// … and it does not succeed.
    Fails(&'static str),
    /// Its last line: the others say how far it was when it looked.
    Last(&'static str),
    /// What a watch prints meanwhile: until a text, then the command.
    Watched(&'static str, &'static str),
}
use Step::{All, Fails, Last, Watched};

impl Step {
    fn line(self) -> &'static str {
        let (All(line) | Fails(line) | Last(line) | Watched(_, line)) = self;
        line
    }
}

/// What is watched from the first `Watched` to the last.
const WATCH: &str = "-n shop get cm -l watched=yes -w --output-watch-events";

const SESSION: &[Step] = &[
    All("apply --server-side -f app.yaml"),
    Last("-n shop rollout status deployment/web --timeout=60s"),
    All("-n shop wait --for=condition=Available deployment/web --timeout=60s"),
    All("-n shop get deployment/web service/web configmap/settings"),
    All("-n shop get deployment web -o json"),
    All("-n shop get service web -o json"),
    All("-n shop get configmap settings -o json --show-managed-fields"),
    All("-n shop get configmap settings -o yaml"),
    All("-n shop get pods -l app=web --no-headers"),
    All("get namespace shop -o json"),
    // Again, and what would change.
    All("apply --server-side -f app.yaml"),
    All("diff --server-side -f app.yaml"),
    Fails("diff --server-side --field-manager=kubectl -f red.yaml"),
    All("apply --server-side --dry-run=server -f red.yaml"),
    All("-n shop get configmap settings -o jsonpath={.data.color}"),
    // Somebody else's field.
    Fails("apply --server-side --field-manager=other -f red.yaml"),
    All("apply --server-side --field-manager=other --force-conflicts -f red.yaml"),
    All("-n shop get configmap settings -o json --show-managed-fields"),
    Fails("apply --server-side -f app.yaml"),
    All("apply --server-side --force-conflicts -f app.yaml"),
    // What is refused.
    Fails("-n shop get configmap absent"),
    Fails("get nothings"),
    Fails("apply --server-side -f typo.yaml"),
    Fails("apply --server-side -f nowhere.yaml"),
    Fails("apply --server-side -f mismatch.yaml"),
    Fails("-n shop delete configmap absent"),
    All("-n shop delete configmap absent --ignore-not-found"),
    // Changes without apply.
    All("-n shop scale deployment web --replicas=3"),
    Last("-n shop rollout status deployment/web --timeout=60s"),
    All("-n shop set image deployment/web web=nginx:2"),
    Last("-n shop rollout status deployment/web --timeout=60s"),
    All("-n shop get deployment web"),
    All("-n shop label configmap settings a=b"),
    All("-n shop annotate configmap settings a=b"),
    All("-n shop get configmap settings --show-labels --no-headers"),
    // Watched.
    All("-n shop create configmap seen --from-literal=k=v"),
    Watched("", "-n shop label configmap seen watched=yes"),
    Watched("ADDED", "-n shop annotate configmap seen a=b"),
    Watched("MODIFIED", "-n shop delete configmap seen"),
    Watched("DELETED", "version --client"),
    // Definitions and what they define.
    All("apply --server-side -f definition.yaml"),
    All("wait --for=condition=Established crd/things.example.com --timeout=60s"),
    All("apply --server-side -f thing.yaml"),
    Fails("apply --server-side -f text.yaml"),
    All("-n shop get th"),
    All("-n shop get things t -o json --show-managed-fields"),
    All("api-resources --api-group=example.com"),
    All("api-resources --api-group=apps"),
    All("auth can-i delete pods"),
    // And away.
    All("-n shop delete thing t --timeout=60s"),
    All("delete -f definition.yaml --timeout=60s"),
    All("-n shop delete deployment/web service/web configmap/settings --timeout=60s"),
    All("-n shop get deployments,services"),
    All("delete namespace shop --timeout=60s"),
    Fails("get namespace shop"),
];

/// A kubectl that speaks to one server.
struct Terminal {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    files: PathBuf,
}

impl Terminal {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(line.split(' '))
            .current_dir(&self.files)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// What every step came to.
    async fn session(&self) -> Vec<String> {
        let log = self.home.join("watch.log");
        let mut watching = None;
        let mut came = vec![];
        for step in SESSION {
            let line = step.line();
            if let Watched(sees, _) = *step {
                if watching.is_none() {
                    let log = std::fs::File::create(&log).unwrap();
                    let watch = self.command(WATCH).stdout(log).spawn().unwrap();
                    watching = Some(watch);
                }
                until(&format!("the watch says {sees}"), || async {
                    let text = std::fs::read_to_string(&log).unwrap_or_default();
                    text.contains(sees).then_some(())
                })
                .await;
            }
            let ran = self.command(line).output();
            let ran = tokio::time::timeout(Duration::from_secs(90), ran).await;
            let ran = ran.unwrap_or_else(|_| panic!("kubectl {line} does not end"));
            let ran = ran.unwrap();
            let out = String::from_utf8_lossy(&ran.stdout);
            let out = match *step {
                Last(_) => out.lines().last().unwrap_or_default(),
                _ => &out,
            };
            let err = String::from_utf8_lossy(&ran.stderr);
            let fails = matches!(step, Fails(_));
            assert_eq!(ran.status.success(), !fails, "kubectl {line}: {out}{err}");
            let (out, err) = (normal(out), normal(&err));
            came.push(format!("{}\n{out}{err}", ran.status));
        }
        drop(watching);
        came.push(normal(&std::fs::read_to_string(&log).unwrap()));
        came
    }
}

/// Without what differs from run to run: names that are drawn, times, versions, addresses, blanks.
fn normal(text: &str) -> String {
    if let Ok(mut json) = serde_json::from_str::<Value>(text)
        && json.is_object()
    {
        plain(&mut json);
        return format!("{json:#}\n");
    }
    let line = |line: &str| {
        let mut words: Vec<String> = line.split_whitespace().map(word).collect();
        if words.first().is_some_and(|w| w == "resourceVersion:") {
            words[1] = "<version>".into();
        }
        // The files that are compared carry the time they were written.
        if words.first().is_some_and(|w| w == "---" || w == "+++") {
            words.truncate(2);
        }
        words.join(" ") + "\n"
    };
    text.lines().map(line).collect()
}

/// What sandbox clusters leave out of a Deployment (`docs/sandbox.md`).
const LEFT_OUT: [&str; 2] = ["deployment.kubernetes.io/revision", "terminatingReplicas"];

fn plain(json: &mut Value) {
    const DRAWN: [&str; 5] = [
        "resourceVersion",
        "clusterIP",
        "clusterIPs",
        "pod-template-hash",
        "uid",
    ];
    match json {
        Value::Object(fields) => {
            fields.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
            for (name, value) in &mut *fields {
                match DRAWN.contains(&name.as_str()) {
                    true => *value = format!("<{name}>").into(),
                    false => plain(value),
                }
            }
            if fields.get("annotations") == Some(&Value::Object(Default::default())) {
                fields.remove("annotations");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::String(text) => {
            let words: Vec<String> = text.split(' ').map(word).collect();
            *text = words.join(" ");
        }
        _ => {}
    }
}

fn word(word: &str) -> String {
    let bare = word.trim_matches(|c| "\"'(),;".contains(c));
    let digits = bare.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let said = if bare.is_empty() {
        return word.to_owned();
    } else if digits.len() < bare.len()
        && !digits.is_empty()
        && digits.chars().all(|c| c.is_ascii_digit())
    {
        "<age>".to_owned()
    } else if is_time(bare) {
        "<time>".to_owned()
    } else if bare.parse::<Ipv4Addr>().is_ok() {
        "<address>".to_owned()
    } else if bare.len() == 36 && bare.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
        "<uid>".to_owned()
    } else if let Some(name) = bare.strip_prefix("web-") {
        // A ReplicaSet or one of its pods.
        match name.split_once('-') {
            Some(_) => "web-<set>-<pod>".to_owned(),
            None => "web-<set>".to_owned(),
        }
    } else if let Some((_, path)) = ["/LIVE-", "/MERGED-"]
        .iter()
        .find_map(|side| bare.split_once(side))
    {
        path.trim_start_matches(|c: char| c.is_ascii_digit())
            .to_owned()
    } else {
        bare.to_owned()
    };
    word.replace(bare, &said)
}

/// `2026-01-31T23:59:59Z`.
fn is_time(word: &str) -> bool {
    let shape = word
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c });
    shape.eq("0000-00-00T00:00:00Z".chars())
}

/// What of a session differs, step by step.
fn differences(real: &[String], sandbox: &[String]) -> Vec<String> {
    let lines = SESSION.iter().map(|step| step.line());
    let lines = lines.chain([WATCH]);
    lines
        .zip(real.iter().zip(sandbox))
        .filter(|(_, (real, sandbox))| real != sandbox)
        .map(|(line, (real, sandbox))| {
            let only = |these: &str, those: &str, mark: &str| -> String {
                let lines = these
                    .lines()
                    .filter(|line| !those.lines().any(|l| l == *line));
                lines.map(|line| format!("{mark} {line}\n")).collect()
            };
            let (one, other) = (
                only(real, sandbox, "real:   "),
                only(sandbox, real, "sandbox:"),
            );
            format!("kubectl {line}\n{one}{other}")
        })
        .collect()
}

fn terminal(folder: &Path, name: &str, kubectl: PathBuf, kubeconfig: &str) -> Terminal {
    let home = folder.join(name);
    std::fs::create_dir(&home).unwrap();
    let file = home.join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    Terminal {
        kubectl,
        kubeconfig: file,
        home,
        files: folder.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_says_the_same_of_a_real_server_and_of_a_sandbox_cluster() {
    let Some(assets) = Assets::find() else { return };
    let Some(lease) = lease().await else { return };
    let kubectl = assets.binary("kubectl");
    let host = Host::start(HostConfig::simulated(1)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files() {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let [plane, _] = lease.planes();
    let real = terminal(folder.path(), "real", kubectl.clone(), &plane.kubeconfig());
    let kubeconfig = &host.cluster("c1").unwrap().kubeconfig;
    let sandbox = terminal(folder.path(), "sandbox", kubectl, kubeconfig);
    let (real, sandbox) = tokio::join!(real.session(), sandbox.session());
    let differences = differences(&real, &sandbox);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    host.shutdown().await;
    lease.give_back().await;
}
