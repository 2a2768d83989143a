//! A store, sandbox clusters, and a DIG to be driven over them.

use activities::{
    Activities, ActivitiesConfig,
    clusters::link::{Link, Pulse},
    run_begin,
};
use model::{
    document::{App, AppRef, Cluster, CompositeApp, Dig, Placement, Policy, Selector},
    ids::{ClusterId, ContextId, DigRef, Fence, RowId},
    manifest, placement, plan,
    row::Row,
    state::ResourceState,
};
use sandbox::{
    Host,
    host::{Fault, FaultKind, Filter, HostConfig, LogEntry, Verb},
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use store::{
    DocumentSet, Generations, Kubeconfig, RequestMeta, RowFilter, SealKey, Store, StoreConfig,
};
use workflows::contract::{Begin, BeginInput, Step};

pub struct Bed {
    pub host: Host,
    pub store: Store,
    pub activities: Activities,
    pub context: ContextId,
    dig: DigRef,
    _dir: tempfile::TempDir,
}

pub fn cluster(name: &str) -> ClusterId {
    ClusterId {
        provider: "sandbox".to_owned(),
        name: name.to_owned(),
    }
}

fn meta() -> RequestMeta {
    RequestMeta {
        actor: "tester".to_owned(),
        ..RequestMeta::default()
    }
}

/// A ConfigMap in namespace `shop`.
pub fn config_map(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n---\n")
}

/// Waits for a condition; a minute is far more than an honest test needs.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let reached = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), reached)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

impl Bed {
    /// An approved DIG of these apps on every one of `clusters` sandbox clusters.
    pub async fn new(clusters: usize, apps: &[(&str, &str)], policy: Policy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::start(HostConfig::simulated(clusters)).await.unwrap();
        // A short slack, so that a lost request is given up within a test's patience.
        let config = StoreConfig {
            slack_ms: 2_500,
            ..StoreConfig::default()
        };
        let url = format!("sqlite:{}", dir.path().join("store.db").display());
        let store = Store::open_with(&url, SealKey([7; 32]), config)
            .await
            .unwrap();
        let app_ref = AppRef {
            project: "shop".to_owned(),
            name: "boutique".to_owned(),
            version: "v1".to_owned(),
        };
        let dig = DigRef {
            project: "shop".to_owned(),
            name: "prod".to_owned(),
        };
        let documents = DocumentSet {
            clusters: host
                .clusters()
                .into_iter()
                .map(|c| {
                    (
                        Cluster {
                            id: cluster(&c.name),
                            labels: BTreeMap::new(),
                            kubeconfig: Default::default(),
                            context: None,
                        },
                        c.kubeconfig,
                    )
                })
                .collect(),
            apps: vec![CompositeApp {
                id: app_ref.clone(),
                apps: apps
                    .iter()
                    .map(|(name, yaml)| App {
                        name: (*name).to_owned(),
                        depends_on: Vec::new(),
                        manifests: Vec::new(),
                        objects: manifest::read("test.yaml", yaml)
                            .unwrap()
                            .into_iter()
                            .map(|o| o.object)
                            .collect(),
                    })
                    .collect(),
            }],
            digs: vec![Dig {
                id: dig.clone(),
                app: app_ref,
                namespace: "shop".to_owned(),
                placement: vec![Placement {
                    app: "*".to_owned(),
                    all_of: host
                        .clusters()
                        .iter()
                        .map(|c| Selector::Cluster(cluster(&c.name)))
                        .collect(),
                    any_of: Vec::new(),
                }],
                policy,
            }],
        };
        store
            .apply_documents(documents, false, &meta())
            .await
            .unwrap();
        store.approve(&dig, &meta()).await.unwrap();
        let activities = Activities::new(store.clone(), ActivitiesConfig::default());
        let context = ContextId::new(1_700_000_000_000, 7);
        Self {
            host,
            store,
            activities,
            context,
            dig,
            _dir: dir,
        }
    }

    pub async fn instantiate(&self) {
        let dig = self.store.dig(&self.dig).await.unwrap();
        let app = self.store.composite_app(&dig.doc.app).await.unwrap();
        let clusters = self.store.clusters().await.unwrap();
        let labels = clusters
            .iter()
            .map(|c| (c.doc.id.clone(), c.doc.labels.clone()))
            .collect();
        let names = app.doc.apps.iter().map(|app| app.name.as_str());
        let placed = placement::resolve(&dig.doc, names, &labels).unwrap();
        let plan = plan::render(&dig.doc, &app.doc, &placed).unwrap();
        self.store
            .stage_plan(&self.dig, &self.context, &plan)
            .await
            .unwrap();
        let rendered = Generations {
            dig: dig.generation,
            app: app.generation,
            clusters: clusters
                .iter()
                .map(|c| (c.doc.id.clone(), c.generation))
                .collect(),
        };
        self.store
            .accept_instantiate(&self.dig, &self.context, &rendered, &meta())
            .await
            .unwrap();
    }

    pub async fn terminate(&self) {
        self.store
            .accept_terminate(&self.dig, &meta())
            .await
            .unwrap();
    }

    /// Terminates, giving clusters up.
    pub async fn abandon(&self, clusters: &[&str]) -> Result<store::Accepted, store::StoreError> {
        let clusters: Vec<_> = clusters.iter().map(|name| cluster(name)).collect();
        self.store
            .accept_abandon(&self.dig, &clusters, &meta())
            .await
    }

    pub fn dig(&self) -> &DigRef {
        &self.dig
    }

    pub fn meta() -> RequestMeta {
        meta()
    }

    pub async fn begin(&self, run: &str) -> Begin {
        let input = BeginInput {
            context: self.context.clone(),
            run_id: run.to_owned(),
        };
        run_begin(&self.activities, &input).await.unwrap()
    }

    pub async fn fence(&self) -> Fence {
        self.store.context(&self.context).await.unwrap().fence
    }

    pub async fn state(&self) -> String {
        format!(
            "{:?}",
            self.store.context(&self.context).await.unwrap().state
        )
    }

    pub async fn rows(&self) -> Vec<Row> {
        self.store
            .status_rows(&self.context, &RowFilter::default(), None, 100_000)
            .await
            .unwrap()
    }

    pub async fn row(&self, name: &str) -> Row {
        self.rows()
            .await
            .into_iter()
            .find(|row| row.key.name == name)
            .unwrap()
    }

    pub async fn all(&self, state: ResourceState) -> bool {
        self.rows().await.iter().all(|row| row.state == state)
    }

    /// One step as the workflow would send it.
    pub async fn step(&self, cluster_name: &str, rows: &[RowId]) -> Step {
        Step {
            context: self.context.clone(),
            fence: self.fence().await,
            cluster: cluster(cluster_name),
            rows: rows.to_vec(),
            promoted: false,
        }
    }

    /// A client of a cluster that is not Muster.
    pub async fn client(&self, name: &str) -> Link {
        let text = self.host.cluster(name).unwrap().kubeconfig.clone();
        let kubeconfig = Kubeconfig {
            text,
            context: None,
            generation: 0,
        };
        Link::new(&kubeconfig, &[], Arc::new(Pulse::new(Arc::default())))
            .await
            .unwrap()
    }

    /// An object as it is on the cluster; `None` if it is not there.
    pub async fn object(&self, name: &str, path: &str) -> Option<Value> {
        let answer = self
            .client(name)
            .await
            .read(path, Duration::from_secs(10))
            .await
            .unwrap();
        (answer.code == 200).then(|| answer.json())
    }

    /// Somebody creates an object.
    pub async fn create(&self, name: &str, collection: &str, object: Value) {
        let request = http::Request::post(format!("{collection}?fieldManager=kubectl"))
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&object).unwrap())
            .unwrap();
        let answer = self
            .client(name)
            .await
            .ask(request, Duration::from_secs(10))
            .await
            .unwrap();
        assert!(answer.ok(), "{} {:?}", answer.code, answer.body);
    }

    /// Somebody changes an object.
    pub async fn patch(&self, name: &str, path: &str, patch: Value) {
        let request = http::Request::patch(path)
            .header("content-type", "application/merge-patch+json")
            .body(serde_json::to_vec(&patch).unwrap())
            .unwrap();
        let answer = self
            .client(name)
            .await
            .ask(request, Duration::from_secs(10))
            .await
            .unwrap();
        assert!(answer.ok(), "{} {:?}", answer.code, answer.body);
    }

    pub fn fault(
        &self,
        name: &str,
        kind: FaultKind,
        verb: Option<Verb>,
        object: Option<&str>,
        times: Option<u64>,
    ) {
        let filter = Filter {
            verb,
            kind: None,
            name: object.map(str::to_owned),
        };
        self.host
            .fault(
                name,
                Fault {
                    kind,
                    filter,
                    times,
                },
            )
            .unwrap();
    }

    /// What the cluster was asked by Muster about an object, oldest first.
    pub fn log(&self, name: &str, verb: Verb, object: &str) -> Vec<LogEntry> {
        let log = self.host.log(name).unwrap();
        log.into_iter()
            .filter(|e| e.verb == verb && e.name.as_deref() == Some(object))
            .collect()
    }
}
