//! A real kubectl against a served cluster.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sandbox::Host;
use sandbox::host::{ClusterSpec, HostConfig};
use tempfile::TempDir;
use tokio::process::Command;

struct Kubectl {
    kubeconfig: String,
    home: TempDir,
    _host: Host,
}

impl Kubectl {
    /// Nothing, said aloud, where there is no kubectl; a failure where everything is required.
    async fn start() -> Option<Self> {
        let found = Command::new("kubectl")
            .args(["version", "--client"])
            .stdout(Stdio::null())
            .status()
            .await;
        if !found.is_ok_and(|status| status.success()) {
            let required = ["CI", "MUSTER_REQUIRE_ALL"]
                .iter()
                .any(|name| std::env::var_os(name).is_some());
            assert!(!required, "no kubectl on the path");
            skipped("no kubectl on the path");
            return None;
        }
        let home = TempDir::new().unwrap();
        let config = HostConfig {
            dir: Some(home.path().join("data")),
            clusters: vec![ClusterSpec::simulated("c1")],
            ..HostConfig::default()
        };
        let host = Host::start(config).await.unwrap();
        let kubeconfig = host.cluster("c1").unwrap().kubeconfig_file.clone().unwrap();
        let kubeconfig = kubeconfig.to_string_lossy().into_owned();
        Some(Self {
            kubeconfig,
            home,
            _host: host,
        })
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(["--kubeconfig", &self.kubeconfig])
            .args(line.split(' '))
            .env("HOME", self.home.path());
        command.kill_on_drop(true);
        command
    }

    /// Runs a command that must succeed and answers what it printed.
    async fn run(&self, line: &str) -> String {
        let output = tokio::time::timeout(Duration::from_secs(60), self.command(line).output())
            .await
            .unwrap()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "kubectl {line}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// Runs a command that must fail and answers what it complained about.
    async fn fails(&self, line: &str) -> String {
        let output = self.command(line).output().await.unwrap();
        assert!(!output.status.success(), "kubectl {line} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }
}

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

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
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
";

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_gets_waits_and_deletes() {
    let Some(kubectl) = Kubectl::start().await else {
        return;
    };
    let app = kubectl.file("app.yaml", APP);
    let said = kubectl.run(&format!("apply --server-side -f {app}")).await;
    assert!(
        said.contains("deployment.apps/web serverside-applied"),
        "{said}"
    );
    kubectl
        .run("-n shop rollout status deployment/web --timeout=30s")
        .await;
    kubectl
        .run("-n shop wait --for=condition=Available deployment/web --timeout=30s")
        .await;
    let table = kubectl.run("-n shop get deploy,po,svc,cm").await;
    assert!(
        table.contains("deployment.apps/web") && table.contains("2/2"),
        "{table}"
    );
    assert_eq!(
        kubectl
            .run("-n shop get cm settings -o jsonpath={.data.color}")
            .await,
        "blue"
    );
    assert!(
        kubectl
            .run("api-resources")
            .await
            .contains("horizontalpodautoscalers")
    );
    assert!(
        kubectl
            .run("explain deployment")
            .await
            .contains("Deployment")
    );
    assert_eq!(kubectl.run("auth can-i delete pods").await.trim(), "yes");
    let again = kubectl.run(&format!("apply --server-side -f {app}")).await;
    assert!(again.contains("serverside-applied"), "{again}");
    let absent = kubectl.fails("-n shop get cm absent").await;
    assert!(
        absent.contains("Error from server (NotFound): configmaps \"absent\" not found"),
        "{absent}"
    );
    let other = kubectl.file("other.yaml", &APP.replace("blue", "red"));
    let conflict = kubectl
        .fails(&format!(
            "apply --server-side --field-manager=other -f {other}"
        ))
        .await;
    assert!(
        conflict.contains("conflict with \"kubectl\"") && conflict.contains(".data.color"),
        "{conflict}"
    );
    kubectl
        .run(&format!(
            "apply --server-side --force-conflicts --field-manager=other -f {other}"
        ))
        .await;
    assert_eq!(
        kubectl
            .run("-n shop get cm settings -o jsonpath={.data.color}")
            .await,
        "red"
    );
    kubectl
        .run(&format!("delete -f {app} --ignore-not-found --timeout=30s"))
        .await;
    assert!(kubectl.fails("get ns shop").await.contains("NotFound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_speaks_its_older_dialects_too() {
    let Some(kubectl) = Kubectl::start().await else {
        return;
    };
    let app = kubectl.file("app.yaml", APP);
    kubectl.run(&format!("apply -f {app}")).await;
    let changed = kubectl.file("changed.yaml", &APP.replace("nginx:1", "nginx:2"));
    assert!(
        kubectl
            .run(&format!("apply -f {changed}"))
            .await
            .contains("deployment.apps/web configured")
    );
    assert!(
        kubectl
            .run(&format!("apply -f {changed}"))
            .await
            .contains("deployment.apps/web unchanged")
    );
    assert!(
        kubectl
            .run(&format!("apply --validate=false -f {changed}"))
            .await
            .contains("unchanged")
    );
    assert!(kubectl.run(&format!("diff -f {changed}")).await.is_empty());
    kubectl.run("-n shop label cm settings a=b").await;
    kubectl.run("-n shop annotate cm settings a=b").await;
    kubectl
        .run("-n shop scale deployment web --replicas=3")
        .await;
    kubectl
        .run("-n shop set image deployment/web web=nginx:3")
        .await;
    kubectl
        .run("-n shop rollout status deployment/web --timeout=30s")
        .await;
    kubectl.run("create namespace other").await;
    kubectl
        .run("-n other create configmap made --from-literal=k=v")
        .await;
    kubectl
        .run("-n other create secret generic made --from-literal=k=v")
        .await;
    kubectl
        .run("-n other patch cm made -p {\"data\":{\"l\":\"w\"}}")
        .await;
    assert_eq!(
        kubectl
            .run("-n other get cm made -o jsonpath={.data}")
            .await,
        "{\"k\":\"v\",\"l\":\"w\"}"
    );
    assert!(
        kubectl
            .run("-n shop get pods -l app=web -o name")
            .await
            .contains("pod/web-")
    );
    assert!(
        kubectl
            .run("-n shop describe deployment web")
            .await
            .contains("nginx:3")
    );
    kubectl.run("delete ns other shop --timeout=30s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_custom_resources_and_watches() {
    let Some(kubectl) = Kubectl::start().await else {
        return;
    };
    let definition = kubectl.file("definition.yaml", DEFINITION);
    kubectl
        .run(&format!("apply --server-side -f {definition}"))
        .await;
    kubectl
        .run("wait --for=condition=Established crd/things.example.com --timeout=30s")
        .await;
    let mut watch = kubectl.command("get things -w --output-watch-events");
    let thing = kubectl.file(
        "thing.yaml",
        "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\nspec: {a: 1}\n",
    );
    kubectl
        .run(&format!("apply --server-side -f {thing}"))
        .await;
    let log = kubectl.home.path().join("watch.log");
    let mut watching = watch
        .stdout(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    told(&log, "ADDED").await;
    kubectl.run("label th t a=b").await;
    told(&log, "MODIFIED").await;
    kubectl.run("delete thing t --timeout=30s").await;
    told(&log, "DELETED").await;
    watching.kill().await.unwrap();
    kubectl
        .run(&format!("delete -f {definition} --timeout=30s"))
        .await;
    kubectl.fails("get things").await;
}

/// Waits until a file contains a text.
async fn told(log: &Path, text: &str) {
    let read = || std::fs::read_to_string(log).unwrap_or_default();
    let waiting = async {
        while !read().contains(text) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(done.is_ok(), "the watch never said {text}: {}", read());
}
