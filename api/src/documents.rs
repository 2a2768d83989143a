//! The document service: upload, create, read, delete.

mod objects;

use crate::{
    auth,
    convert::{self, resource as shape},
    errors, inline,
    lifecycle::{deletable, meta},
    one::{Exists, One, app_name},
    page::page,
    shared::Core,
    status,
    upload::{self, hex},
};
use model::{ids::DigRef, row::Connectivity};
use proto::v1::{self, document_service_server::DocumentService};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use store::{ClusterRow, Versioned};
use tonic::{Request, Response, Status, Streaming};

pub struct Documents {
    core: Arc<Core>,
}

/// A worker that starts has asked for work by then.
const FIRST_ASKS: Duration = Duration::from_secs(3);

type Answer<T> = Result<Response<T>, Status>;

impl Documents {
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Returns once no worker takes work, as soon as that can be known.
    async fn nobody_takes_work(&self) -> status::Untaken {
        loop {
            tokio::time::sleep(FIRST_ASKS).await;
            if let Some(untaken) = self.core.queue().await.as_ref().and_then(status::untaken) {
                return untaken;
            }
        }
    }
}

/// The hash of a delete, for its request id.
fn delete_hash(kind: &str, name: &str) -> String {
    hex(&Sha256::digest(format!("delete\0{kind}\0{name}")))
}

/// What a create or an update brings; the six requests have the same fields.
macro_rules! one {
    ($kind:literal, $request:ident, $project:expr) => {{
        let actor = auth::actor(&$request);
        let $request = $request.into_inner();
        One::new(
            $kind,
            $request.document,
            $project,
            $request.request_id,
            $request.validate_only,
            actor,
        )?
    }};
}

#[tonic::async_trait]
impl DocumentService for Documents {
    async fn apply(
        &self,
        request: Request<Streaming<v1::ApplyRequest>>,
    ) -> Answer<v1::ApplyResponse> {
        let actor = auth::actor(&request);
        // Before anything is uploaded in vain.
        self.core.store()?;
        let (header, upload) = upload::receive(request.into_inner(), self.core.max_upload).await?;
        let project = convert::project(&header.default_project)?;
        let meta = meta(header.request_id, upload.hash(project), actor)?;
        let results = self
            .store(upload, project, header.validate_only, &meta)
            .await?;
        Ok(Response::new(v1::ApplyResponse {
            documents: results.iter().map(shape::applied).collect(),
        }))
    }

    async fn create_cluster(
        &self,
        request: Request<v1::CreateClusterRequest>,
    ) -> Answer<v1::Cluster> {
        let one = one!("Cluster", request, "");
        let written = one.store(self.core.store()?, Exists::No).await?;
        Ok(Response::new(self.cluster_of(written).await?))
    }

    async fn update_cluster(
        &self,
        request: Request<v1::UpdateClusterRequest>,
    ) -> Answer<v1::Cluster> {
        let one = one!("Cluster", request, "");
        let written = one.store(self.core.store()?, Exists::Yes).await?;
        Ok(Response::new(self.cluster_of(written).await?))
    }

    async fn get_cluster(&self, request: Request<v1::GetClusterRequest>) -> Answer<v1::Cluster> {
        let id = convert::cluster_id(&request.into_inner().id)?;
        Ok(Response::new(self.cluster(&id).await?))
    }

    async fn list_clusters(
        &self,
        request: Request<v1::ListClustersRequest>,
    ) -> Answer<v1::ListClustersResponse> {
        let request = request.into_inner();
        let rows = self.core.store()?.clusters().await.map_err(errors::store)?;
        let unreachable = unreachable(&rows);
        let (rows, next_page_token) = page(
            rows,
            |row| row.doc.id.to_string(),
            request.page_size,
            &request.page_token,
        )?;
        let clusters = rows
            .iter()
            .map(|row| shape::cluster(row, inline::cluster_json(&row.doc)))
            .collect();
        Ok(Response::new(v1::ListClustersResponse {
            clusters,
            next_page_token,
            unreachable,
        }))
    }

    async fn delete_cluster(&self, request: Request<v1::DeleteClusterRequest>) -> Answer<()> {
        let actor = auth::actor(&request);
        let request = request.into_inner();
        let id = convert::cluster_id(&request.id)?;
        let meta = meta(
            request.request_id,
            delete_hash("Cluster", &id.to_string()),
            actor,
        )?;
        let store = self.core.store()?;
        if request.validate_only {
            store.cluster(&id).await.map_err(errors::store)?;
        } else {
            store
                .delete_cluster(&id, &meta)
                .await
                .map_err(errors::store)?;
        }
        Ok(Response::new(()))
    }

    async fn check_cluster(
        &self,
        request: Request<v1::CheckClusterRequest>,
    ) -> Answer<v1::CheckClusterResponse> {
        let id = convert::cluster_id(&request.into_inner().id)?;
        let store = self.core.store()?;
        store.cluster(&id).await.map_err(errors::store)?;
        let checked = tokio::select! {
            checked = self.core.waker.check(&id) => checked,
            untaken = self.nobody_takes_work() => {
                return Err(errors::no_worker(&id.to_string(), &untaken.cause));
            }
        };
        match checked {
            Ok(Some(checked)) => Ok(Response::new(convert::cluster::checked(&id, checked))),
            Ok(None) => Err(errors::no_worker(&id.to_string(), "none answered in time")),
            Err(error) => Err(errors::unavailable(
                "TEMPORAL_UNREACHABLE",
                format!(
                    "{id} cannot be checked, since Temporal is unreachable: {error}; start Temporal, or correct --temporal of muster-api"
                ),
            )),
        }
    }

    async fn create_composite_app(
        &self,
        request: Request<v1::CreateCompositeAppRequest>,
    ) -> Answer<v1::CompositeApp> {
        let one = one!("CompositeApp", request, &request.project);
        let written = one.store(self.core.store()?, Exists::No).await?;
        Ok(Response::new(self.app_of(written).await?))
    }

    async fn update_composite_app(
        &self,
        request: Request<v1::UpdateCompositeAppRequest>,
    ) -> Answer<v1::CompositeApp> {
        let one = one!("CompositeApp", request, &request.project);
        let written = one.store(self.core.store()?, Exists::Yes).await?;
        Ok(Response::new(self.app_of(written).await?))
    }

    async fn get_composite_app(
        &self,
        request: Request<v1::GetCompositeAppRequest>,
    ) -> Answer<v1::CompositeApp> {
        let request = request.into_inner();
        let id = self
            .app_ref(&request.project, &request.name, &request.version)
            .await?;
        Ok(Response::new(self.app(&id).await?))
    }

    async fn list_composite_apps(
        &self,
        request: Request<v1::ListCompositeAppsRequest>,
    ) -> Answer<v1::ListCompositeAppsResponse> {
        let request = request.into_inner();
        let apps = self
            .apps(convert::project(&request.project)?, &request.name)
            .await?;
        let (apps, next_page_token) = page(
            apps,
            |app| app_name(&app.doc.id),
            request.page_size,
            &request.page_token,
        )?;
        let document = |app: &Versioned<_>| {
            if request.with_documents {
                inline::app_json(&app.doc)
            } else {
                String::new()
            }
        };
        let composite_apps = apps
            .iter()
            .map(|app| shape::composite_app(app, document(app)))
            .collect();
        Ok(Response::new(v1::ListCompositeAppsResponse {
            composite_apps,
            next_page_token,
        }))
    }

    async fn delete_composite_app(
        &self,
        request: Request<v1::DeleteCompositeAppRequest>,
    ) -> Answer<()> {
        let actor = auth::actor(&request);
        let request = request.into_inner();
        let id = self
            .app_ref(&request.project, &request.name, &request.version)
            .await?;
        let meta = meta(
            request.request_id,
            delete_hash("CompositeApp", &app_name(&id)),
            actor,
        )?;
        let store = self.core.store()?;
        if request.validate_only {
            store.composite_app(&id).await.map_err(errors::store)?;
        } else {
            store
                .delete_composite_app(&id, &meta)
                .await
                .map_err(errors::store)?;
        }
        Ok(Response::new(()))
    }

    async fn create_deployment_intent_group(
        &self,
        request: Request<v1::CreateDeploymentIntentGroupRequest>,
    ) -> Answer<v1::DeploymentIntentGroup> {
        let one = one!("DeploymentIntentGroup", request, &request.project);
        let written = one.store(self.core.store()?, Exists::No).await?;
        Ok(Response::new(self.dig_of(written).await?))
    }

    async fn update_deployment_intent_group(
        &self,
        request: Request<v1::UpdateDeploymentIntentGroupRequest>,
    ) -> Answer<v1::DeploymentIntentGroup> {
        let one = one!("DeploymentIntentGroup", request, &request.project);
        let written = one.store(self.core.store()?, Exists::Yes).await?;
        Ok(Response::new(self.dig_of(written).await?))
    }

    async fn get_deployment_intent_group(
        &self,
        request: Request<v1::GetDeploymentIntentGroupRequest>,
    ) -> Answer<v1::DeploymentIntentGroup> {
        let request = request.into_inner();
        let id = convert::dig_ref(&request.project, &request.name)?;
        Ok(Response::new(self.dig(&id).await?))
    }

    async fn list_deployment_intent_groups(
        &self,
        request: Request<v1::ListDeploymentIntentGroupsRequest>,
    ) -> Answer<v1::ListDeploymentIntentGroupsResponse> {
        let request = request.into_inner();
        let store = self.core.store()?;
        let project = match request.project.as_str() {
            "-" => None,
            project => Some(convert::project(project)?),
        };
        let digs = store.digs(project).await.map_err(errors::store)?;
        let ids = digs.into_iter().map(|row| row.doc.id).collect();
        let (ids, next_page_token) = page(
            ids,
            DigRef::to_string,
            request.page_size,
            &request.page_token,
        )?;
        let mut deployment_intent_groups = Vec::with_capacity(ids.len());
        for id in ids {
            match self.dig(&id).await {
                Ok(dig) => deployment_intent_groups.push(dig),
                // Deleted while the list was made.
                Err(status) if status.code() == tonic::Code::NotFound => {}
                Err(status) => return Err(status),
            }
        }
        let unreachable = unreachable(&store.clusters().await.map_err(errors::store)?);
        Ok(Response::new(v1::ListDeploymentIntentGroupsResponse {
            deployment_intent_groups,
            next_page_token,
            unreachable,
        }))
    }

    async fn delete_deployment_intent_group(
        &self,
        request: Request<v1::DeleteDeploymentIntentGroupRequest>,
    ) -> Answer<()> {
        let actor = auth::actor(&request);
        let request = request.into_inner();
        let id = convert::dig_ref(&request.project, &request.name)?;
        let meta = meta(
            request.request_id,
            delete_hash("DeploymentIntentGroup", &id.to_string()),
            actor,
        )?;
        let store = self.core.store()?;
        if request.validate_only {
            deletable(&store.dig(&id).await.map_err(errors::store)?)?;
        } else {
            store.delete_dig(&id, &meta).await.map_err(errors::store)?;
        }
        Ok(Response::new(()))
    }
}

fn unreachable(rows: &[ClusterRow]) -> Vec<String> {
    let mut silent: Vec<_> = rows
        .iter()
        .filter(|row| row.connectivity == Connectivity::Retrying)
        .map(|row| row.doc.id.to_string())
        .collect();
    silent.sort();
    silent
}
