//! Clusters that fail in every way there is.

use super::cases::crd;
use ::kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use sandbox::{
    host::{Backend, BackendSpec, ClusterSpec, Fault, FaultKind, Gone, Host, HostConfig, Verb},
    kube::{Cluster, ClusterConfig},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tests::{Stack, clusters::client, documents::Upload};

pub async fn start() -> (Stack, Host) {
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
            ClusterSpec::new("old", BackendSpec::Other(Arc::new(Old::new()))),
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

/// A cluster that answers applies of some names with what a real API server says.
struct Refusing {
    cluster: Cluster,
    /// Code, reason, message by the object's name.
    answers: BTreeMap<&'static str, (u16, &'static str, &'static str)>,
}

impl Backend for Refusing {
    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Gone>> {
        let name = request.uri().path().rsplit('/').next().unwrap_or_default();
        let refused = request.method() == Method::PATCH || name == LOGIN;
        let answer = self.answers.get(name).copied().filter(|_| refused);
        Box::pin(async move {
            match answer {
                Some((code, reason, message)) => refusal(code, reason, message),
                None => Ok(self.cluster.handle(request).await),
            }
        })
    }
}

/// A cluster of the last version without server-side apply.
struct Old(Cluster);

impl Old {
    const VERSION: &str = "v1.15.12";

    fn new() -> Self {
        Self(Cluster::open("old", None, ClusterConfig::default()).unwrap())
    }
}

impl Backend for Old {
    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Gone>> {
        Box::pin(async move {
            let apply = request.headers().get("content-type");
            let apply =
                apply.is_some_and(|is| is.as_bytes().starts_with(b"application/apply-patch"));
            if request.uri().path() == "/version" {
                let version = json!({"major": "1", "minor": "15", "gitVersion": Self::VERSION});
                return answer(200, &version);
            }
            match apply {
                true => refusal(
                    415,
                    "UnsupportedMediaType",
                    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json",
                ),
                false => Ok(self.0.handle(request).await),
            }
        })
    }
}

fn refusal(code: u16, reason: &str, message: &str) -> Result<Response<Body>, Gone> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    answer(code, &status)
}

fn answer(code: u16, body: &Value) -> Result<Response<Body>, Gone> {
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .map_err(|error| Gone(error.to_string()))
}

/// The name under which nobody gets through to the cluster.
const LOGIN: &str = "unexpectedanswer";

/// What a real API server (v1.36.3) says in cases the sandbox does not know.
const ANSWERS: [(&str, u16, &str, &str); 13] = [
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
        "badrequest",
        400,
        "BadRequest",
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
    ),
    (
        "methodnotallowed",
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    ),
    (
        "writerace",
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"writerace\": the object has been modified; please apply your changes to the latest version and try again",
    ),
    // Somebody else: a proxy that wants to know who is there.
    (LOGIN, 200, "", "sign in first"),
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
    let (namespaces, config_maps) = (
        core("Namespace", "namespaces"),
        core("ConfigMap", "configmaps"),
    );
    for (name, finalizers) in [
        ("foreign", ""),
        ("conflict", ""),
        ("terminating", "example.com/keep"),
        ("terminatingnamespace", "example.com/keep"),
    ] {
        let namespace = format!("f-{name}");
        let manifest =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
        apply(&manifest, namespaces.clone(), None).await;
        let there = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}, finalizers: [{finalizers}]}}\ndata: {{key: another}}\n"
        );
        apply(&there, config_maps.clone(), Some(&namespace)).await;
    }
    let delete = DeleteParams::default();
    let in_namespace =
        Api::<DynamicObject>::namespaced_with(client.clone(), "f-terminating", &config_maps);
    in_namespace.delete("terminating", &delete).await.unwrap();
    let all = Api::<DynamicObject>::all_with(client.clone(), &namespaces);
    all.delete("f-terminatingnamespace", &delete).await.unwrap();
    let crds = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    );
    apply(&crd("ones"), crds, None).await;
}
