//! The processes of a control plane and what each is told.

use super::{assets::Assets, process::Spec};
use std::{fs, io, path::Path};

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Etcd,
    ApiServer,
    /// Collects what has no owner, ends namespaces, rolls workloads out.
    ControllerManager,
    Scheduler,
    /// Plays the kubelet of one node: nothing really runs.
    Kwok,
}

impl Part {
    pub const ALL: [Self; 5] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kwok,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok",
        }
    }
}

/// The controllers without a cloud, real kubelets or service accounts.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,deployment-controller,\
replicaset-controller,statefulset-controller,daemonset-controller,job-controller,cronjob-controller,\
endpointslice-controller,disruption-controller,resourcequota-controller,clusterrole-aggregation-controller,\
persistentvolume-binder-controller,persistentvolume-protection-controller,persistentvolumeclaim-protection-controller";

/// Ports of one control plane, kept over restarts.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub api: u16,
    pub etcd: u16,
    pub peer: u16,
}

/// Writes the files the processes read, beside those of the identity.
pub fn prepare(folder: &Path, kubeconfig: &str) -> io::Result<()> {
    // Webhooks and aggregated APIs are called by the name of a service, which the resolver of this
    // machine might answer with a stranger's address: they go nowhere.
    let nowhere = folder.join("nowhere.sock");
    let egress = format!(
        "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n- name: cluster\n  connection: {{proxyProtocol: HTTPConnect, transport: {{uds: {{udsName: {}}}}}}}\n",
        nowhere.display()
    );
    fs::write(folder.join("egress.yaml"), egress)?;
    fs::write(folder.join("admin.kubeconfig"), kubeconfig)
}

pub fn spec(part: Part, assets: &Assets, folder: &Path, ports: Ports) -> Spec {
    let file = |name: &str| folder.join(name).display().to_string();
    let flag = |name: &str, value: &str| format!("--{name}={value}");
    let on = |port: u16| format!("http://127.0.0.1:{port}");
    let kubeconfig = file("admin.kubeconfig");
    let arguments = match part {
        Part::Etcd => vec![
            flag("name", "default"),
            flag("data-dir", &file("etcd")),
            // The machine's power supply is not what is tested; a killed process loses nothing.
            "--unsafe-no-fsync".into(),
            flag("log-level", "warn"),
            flag("listen-client-urls", &on(ports.etcd)),
            flag("advertise-client-urls", &on(ports.etcd)),
            flag("listen-peer-urls", &on(ports.peer)),
            flag("initial-advertise-peer-urls", &on(ports.peer)),
            flag("initial-cluster", &format!("default={}", on(ports.peer))),
        ],
        Part::ApiServer => vec![
            flag("etcd-servers", &on(ports.etcd)),
            flag("bind-address", "127.0.0.1"),
            flag("advertise-address", "127.0.0.1"),
            flag("secure-port", &ports.api.to_string()),
            flag("cert-dir", &file("certs")),
            flag("tls-cert-file", &file("server.crt")),
            flag("tls-private-key-file", &file("server.key")),
            flag("client-ca-file", &file("ca.crt")),
            flag("token-auth-file", &file("tokens.csv")),
            flag("authorization-mode", "RBAC"),
            flag("allow-privileged", "true"),
            flag("service-cluster-ip-range", "10.0.0.0/16"),
            flag("service-account-issuer", "https://kubernetes.default.svc"),
            flag("service-account-key-file", &file("accounts.pub")),
            flag("service-account-signing-key-file", &file("accounts.key")),
            // Would write the address of this machine into the cluster, and wants one.
            flag("endpoint-reconciler-type", "none"),
            flag("disable-admission-plugins", "ServiceAccount"),
            flag("egress-selector-config-file", &file("egress.yaml")),
        ],
        Part::ControllerManager => vec![
            flag("kubeconfig", &kubeconfig),
            flag("secure-port", "0"),
            flag("leader-elect", "false"),
            "--authentication-skip-lookup".into(),
            flag("controllers", CONTROLLERS),
            // A namespace that could not end, for want of an aggregated API, is looked at again.
            flag("namespace-sync-period", "1s"),
            flag("service-account-private-key-file", &file("accounts.key")),
            flag("kube-api-qps", "500"),
            flag("kube-api-burst", "1000"),
        ],
        Part::Scheduler => vec![
            flag("kubeconfig", &kubeconfig),
            flag("secure-port", "0"),
            flag("leader-elect", "false"),
            "--authentication-skip-lookup".into(),
            flag("kube-api-qps", "500"),
            flag("kube-api-burst", "1000"),
        ],
        Part::Kwok => vec![
            flag("kubeconfig", &kubeconfig),
            flag("manage-all-nodes", "true"),
            flag("config", &assets.stages().display().to_string()),
        ],
    };
    Spec {
        program: assets.binary(part.name()),
        arguments,
        log: folder.join(part.name()).with_extension("log"),
    }
}
