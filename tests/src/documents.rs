//! Documents as tests write them, and their upload.

use proto::v1::{
    ApplyHeader, ApplyRequest, ApplyResponse, EntryChunk, SourceChunk, apply_request::Part,
    document_service_client::DocumentServiceClient,
};
use std::fmt::Write as _;
use tonic::{Status, transport::Channel};

/// One app of a composite app.
#[derive(Debug, Clone, Default)]
pub struct App {
    pub name: String,
    /// YAML flow items, for example `{app: a2, opStatus: Deployed, wait: 1s}`.
    pub depends_on: Vec<String>,
    /// Manifest text, several documents.
    pub objects: String,
}

impl App {
    pub fn new(name: &str, objects: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            depends_on: vec![],
            objects: objects.into(),
        }
    }

    pub fn after(mut self, dependency: &str) -> Self {
        self.depends_on.push(dependency.into());
        self
    }
}

/// Files of one upload.
#[derive(Debug, Default)]
pub struct Upload {
    /// Several documents in one source.
    text: String,
    documents: u32,
    entries: Vec<(u32, String, String)>,
    pub request_id: String,
    pub validate_only: bool,
}

impl Upload {
    fn document(&mut self, text: &str) -> u32 {
        if self.documents > 0 {
            self.text.push_str("---\n");
        }
        self.text.push_str(text);
        self.documents += 1;
        self.documents
    }

    pub fn cluster(&mut self, provider: &str, name: &str, labels: &str, kubeconfig: &str) {
        let n = self.document(&format!(
            "apiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {{name: {name}, provider: {provider}, labels: {{{labels}}}}}\nspec: {{kubeconfig: ./{name}.yaml}}\n"
        ));
        self.entries
            .push((n, "spec.kubeconfig".into(), kubeconfig.into()));
    }

    pub fn app(&mut self, name: &str, version: &str, apps: &[App]) {
        let mut text = format!(
            "apiVersion: muster.dev/v1\nkind: CompositeApp\nmetadata: {{project: p, name: {name}, version: {version}}}\nspec:\n  apps:\n"
        );
        for app in apps {
            let deps = app.depends_on.join(", ");
            writeln!(
                text,
                "  - {{name: {}, manifests: [./{}.yaml], dependsOn: [{deps}]}}",
                app.name, app.name
            )
            .unwrap();
        }
        let n = self.document(&text);
        for (i, app) in apps.iter().enumerate() {
            self.entries.push((
                n,
                format!("spec.apps[{i}].manifests[0]"),
                app.objects.clone(),
            ));
        }
    }

    /// `spec` = YAML of the DIG's spec but the composite app, indented by two.
    pub fn dig(&mut self, name: &str, spec: &str) {
        self.document(&format!(
            "apiVersion: muster.dev/v1\nkind: DeploymentIntentGroup\nmetadata: {{project: p, name: {name}}}\nspec:\n  compositeApp: {{name: {name}, version: v1}}\n{spec}\n"
        ));
    }
}

/// `placement` of all apps on the named sandbox clusters.
pub fn on(clusters: &[&str]) -> String {
    let list: Vec<_> = clusters
        .iter()
        .map(|c| format!("{{cluster: sandbox+{c}}}"))
        .collect();
    format!(
        "  namespace: shop\n  placement:\n  - {{app: \"*\", allOf: [{}]}}",
        list.join(", ")
    )
}

pub fn config_map(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: value-of-{name}}}\n"
    )
}

pub fn config_maps(names: &[&str]) -> String {
    names.iter().map(|n| config_map(n)).collect()
}

/// Fixture F of spec §8: a1 on c1 {r1,r2}; a2 on c1 and c2 {r3,r4}.
pub fn fixture_f() -> (Vec<App>, String) {
    let apps = vec![
        App::new("a1", config_maps(&["r1", "r2"])),
        App::new("a2", config_maps(&["r3", "r4"])),
    ];
    let spec = "  namespace: shop\n  placement:\n  - {app: a1, allOf: [{cluster: sandbox+c1}]}\n  - {app: a2, allOf: [{cluster: sandbox+c1}, {cluster: sandbox+c2}]}";
    (apps, spec.into())
}

/// Uploads in chunks.
pub async fn apply(channel: Channel, upload: Upload) -> Result<ApplyResponse, Status> {
    const CHUNK: usize = 512 << 10;
    let source = "test.yaml".to_owned();
    let mut parts = vec![Part::Header(ApplyHeader {
        request_id: upload.request_id,
        validate_only: upload.validate_only,
        default_project: "p".into(),
    })];
    let chunks = |text: String| -> Vec<(Vec<u8>, bool)> {
        let bytes = text.into_bytes();
        let n = bytes.len().div_ceil(CHUNK).max(1);
        (0..n)
            .map(|i| {
                (
                    bytes[i * CHUNK..bytes.len().min((i + 1) * CHUNK)].to_vec(),
                    i + 1 == n,
                )
            })
            .collect()
    };
    for (data, last) in chunks(upload.text) {
        parts.push(Part::Source(SourceChunk {
            source: source.clone(),
            data: data.into(),
            last,
        }));
    }
    for (document, field, text) in upload.entries {
        for (data, last) in chunks(text) {
            parts.push(Part::Entry(EntryChunk {
                source: source.clone(),
                document,
                field: field.clone(),
                file: format!("{document}-{field}.yaml"),
                data: data.into(),
                last,
            }));
        }
    }
    let requests = parts
        .into_iter()
        .map(|part| ApplyRequest { part: Some(part) });
    let mut client = DocumentServiceClient::new(channel);
    Ok(client
        .apply(futures_util::stream::iter(requests))
        .await?
        .into_inner())
}
