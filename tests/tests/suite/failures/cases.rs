//! The failures, and the DIGs that meet them.

use tests::documents::{App, config_map};

/// One failure and how it is caused.
pub struct Case {
    /// Of the DIG and its namespace `f-NAME`.
    pub name: &'static str,
    pub code: &'static str,
    pub cluster: &'static str,
    /// `Kind/namespace/name`, or empty where more than one is hit.
    pub object: String,
    pub apps: Vec<App>,
    pub policy: &'static str,
    /// Something was sent, or probed.
    pub tried: bool,
    pub terminate: bool,
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

const C1: &str = "sandbox+c1";

pub fn cases() -> Vec<Case> {
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
        // Its namespace is the first thing that is applied.
        Case::new("old", "refused", "sandbox+old").about("Namespace/f-old"),
        Case::new("timeout", "timeout", C1),
        Case::new("forbidden", "forbidden", C1),
        Case::new("quota", "quota", C1),
        Case::new("denied", "denied", C1),
        Case::new("badrequest", "badRequest", C1),
        Case::new("methodnotallowed", "methodNotAllowed", C1),
        Case::new("writerace", "writeRace", C1),
        Case::new("unexpectedanswer", "unexpectedAnswer", C1),
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
        Case::new("terminating", "terminating", C1),
        Case::new("terminatingnamespace", "terminatingNamespace", C1)
            .about("Namespace/f-terminatingnamespace"),
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
        Case::new("unready", "blocked", C1)
            .apps(vec![
                App::new("app", NEVER_READY),
                App::new("front", config_map("unready")).after("{app: app, opStatus: Ready}"),
            ])
            .untried(),
    ]
}

/// Nothing runs pods here, so that it is applied and never ready.
const NEVER_READY: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: slow}\nspec:\n  selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: a}}\n    spec: {containers: [{name: c, image: i}]}\n";

/// Two of these want the same kind: the second is never established.
pub fn crd(plural: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.clash.example.com}}\n\
         spec:\n  group: clash.example.com\n  scope: Namespaced\n  names: {{plural: {plural}, kind: Same, listKind: SameList, singular: same}}\n  \
         versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object}}}}}}]\n"
    )
}
