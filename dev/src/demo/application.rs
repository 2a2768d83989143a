//! What the demo deploys: the sample shop, or the user's own manifests in generated documents.

use anyhow::Context;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The sample, carried in the binary so that the demo runs from anywhere.
const SHOP: [(&str, &str); 5] = [
    ("shop.yaml", include_str!("../../../samples/shop/shop.yaml")),
    (
        "backend/settings.yaml",
        include_str!("../../../samples/shop/backend/settings.yaml"),
    ),
    (
        "backend/catalogue.yaml",
        include_str!("../../../samples/shop/backend/catalogue.yaml"),
    ),
    (
        "backend/basket.yaml",
        include_str!("../../../samples/shop/backend/basket.yaml"),
    ),
    (
        "frontend/storefront.yaml",
        include_str!("../../../samples/shop/frontend/storefront.yaml"),
    ),
];

/// Documents to apply, and the name of their deployment intent group.
#[derive(Debug)]
pub struct Application {
    pub documents: PathBuf,
    pub project: &'static str,
    pub name: &'static str,
    pub about: String,
}

impl Application {
    /// Writes the documents below `folder`.
    pub fn prepare(manifests: Option<&Path>, folder: &Path) -> anyhow::Result<Self> {
        match manifests {
            Some(manifests) => Self::own(manifests, folder),
            None => Self::shop(folder),
        }
    }

    fn shop(folder: &Path) -> anyhow::Result<Self> {
        let root = folder.join("shop");
        for (name, text) in SHOP {
            write(&root.join(name), text)?;
        }
        Ok(Self {
            documents: root.join("shop.yaml"),
            project: "shop",
            name: "boutique",
            about: "the sample shop (samples/shop): two apps, the frontend waits for the backend"
                .to_owned(),
        })
    }

    fn own(manifests: &Path, folder: &Path) -> anyhow::Result<Self> {
        let path = fs::canonicalize(manifests)
            .with_context(|| format!("--manifests {}", manifests.display()))?;
        let app = json!({
            "apiVersion": "muster.dev/v1",
            "kind": "CompositeApp",
            "metadata": {"project": "demo", "name": "own", "version": "v1"},
            "spec": {"apps": [{"name": "app", "manifests": [path]}]},
        });
        let dig = json!({
            "apiVersion": "muster.dev/v1",
            "kind": "DeploymentIntentGroup",
            "metadata": {"project": "demo", "name": "own"},
            "spec": {
                "compositeApp": {"name": "own", "version": "v1"},
                "namespace": "demo",
                "placement": [{"app": "*", "allOf": [{"label": "sandbox=true"}]}],
                "policy": {"retry": {"initialInterval": "500ms", "backoff": 2, "maxInterval": "5s"}},
            },
        });
        let documents = folder.join("own.yaml");
        let text = [app, dig]
            .iter()
            .map(serde_yaml_ng::to_string)
            .collect::<Result<Vec<_>, _>>()?
            .join("---\n");
        write(&documents, &text)?;
        Ok(Self {
            documents,
            project: "demo",
            name: "own",
            about: format!("{} as one app", manifests.display()),
        })
    }

    /// `project/name`, what the client's verbs take.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.project, self.name)
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;
    use model::document::parse_documents;

    #[test]
    fn the_sample_and_generated_documents_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let manifests = folder.path().join("my app.yaml");
        fs::write(&manifests, "{}").unwrap();
        for manifests in [None, Some(manifests.as_path())] {
            let application = Application::prepare(manifests, folder.path()).unwrap();
            let text = fs::read_to_string(&application.documents).unwrap();
            let documents = parse_documents("x.yaml", &text).unwrap();
            assert_eq!(documents.len(), 2);
        }
        assert!(Application::prepare(Some(Path::new("/no/such")), folder.path()).is_err());
    }
}
