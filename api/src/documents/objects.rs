//! The objects behind the document service: read from the store, or stored from an upload.

use super::Documents;
use crate::{
    check,
    convert::{self, resource as shape},
    errors, inline,
    one::{self, Named, Written},
    status,
    upload::Upload,
};
use model::{
    document::{AppRef, CompositeApp, Document, show_dig},
    ids::{ClusterId, DigRef},
};
use proto::v1;
use store::{DocumentResult, RequestMeta, Versioned};
use tonic::Status;

impl Documents {
    /// Checks and stores an upload.
    pub(super) async fn store(
        &self,
        upload: Upload,
        project: &str,
        validate_only: bool,
        meta: &RequestMeta,
    ) -> Result<Vec<DocumentResult>, Status> {
        let store = self.core.store()?;
        let set = check::upload(store, upload, project).await?;
        store
            .apply_documents(set, validate_only, meta)
            .await
            .map_err(errors::store)
    }

    pub(super) async fn cluster(&self, id: &ClusterId) -> Result<v1::Cluster, Status> {
        let row = self
            .core
            .store()?
            .cluster(id)
            .await
            .map_err(errors::store)?;
        Ok(shape::cluster(&row, inline::cluster_json(&row.doc)))
    }

    /// What a create or update answers: the object as it is now, or would be.
    pub(super) async fn cluster_of(&self, written: Written) -> Result<v1::Cluster, Status> {
        match written {
            Written::Stored(Named::Cluster(id)) => self.cluster(&id).await,
            Written::Checked(Document::Cluster(doc)) => {
                let json = inline::cluster_json(&doc);
                Ok(shape::planned_cluster(doc, json))
            }
            _ => Err(one::mixed_up()),
        }
    }

    pub(super) async fn app_of(&self, written: Written) -> Result<v1::CompositeApp, Status> {
        match written {
            Written::Stored(Named::App(id)) => self.app(&id).await,
            Written::Checked(Document::CompositeApp(doc)) => {
                let json = inline::app_json(&doc);
                Ok(shape::planned_app(doc, json))
            }
            _ => Err(one::mixed_up()),
        }
    }

    pub(super) async fn dig_of(
        &self,
        written: Written,
    ) -> Result<v1::DeploymentIntentGroup, Status> {
        match written {
            Written::Stored(Named::Dig(id)) => self.dig(&id).await,
            Written::Checked(Document::Dig(doc)) => {
                let json = show_dig(&doc).to_string();
                Ok(shape::planned_dig(doc, json))
            }
            _ => Err(one::mixed_up()),
        }
    }

    /// The app's reference with its version found when there is only one.
    pub(super) async fn app_ref(
        &self,
        project: &str,
        name: &str,
        version: &str,
    ) -> Result<AppRef, Status> {
        let project = convert::project(project)?;
        let named = |version: &str| AppRef {
            project: project.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
        };
        if !version.is_empty() {
            return Ok(named(version));
        }
        let versions: Vec<_> = self
            .apps(project, name)
            .await?
            .into_iter()
            .map(|app| app.doc.id.version)
            .collect();
        match versions.as_slice() {
            [] => Err(errors::not_found(
                "CompositeApp",
                &format!("{project}/{name}"),
            )),
            [only] => Ok(named(only)),
            several => Err(errors::invalid_field(
                "the request",
                "version",
                format!(
                    "is missing, and {project}/{name} has the versions {}; name one",
                    several.join(", ")
                ),
            )),
        }
    }

    pub(super) async fn apps(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Vec<Versioned<CompositeApp>>, Status> {
        let mut apps = self
            .core
            .store()?
            .composite_apps(project)
            .await
            .map_err(errors::store)?;
        apps.retain(|app| name.is_empty() || app.doc.id.name == name);
        Ok(apps)
    }

    pub(super) async fn app(&self, id: &AppRef) -> Result<v1::CompositeApp, Status> {
        let app = self
            .core
            .store()?
            .composite_app(id)
            .await
            .map_err(errors::store)?;
        Ok(shape::composite_app(&app, inline::app_json(&app.doc)))
    }

    pub(super) async fn dig(&self, id: &DigRef) -> Result<v1::DeploymentIntentGroup, Status> {
        let store = self.core.store()?;
        let summary = store.summary(id).await.map_err(errors::store)?;
        let problem = status::worst(&self.core, store, &summary).await?;
        Ok(shape::dig(
            &summary,
            problem,
            show_dig(&summary.dig.doc).to_string(),
        ))
    }
}
