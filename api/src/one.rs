//! A unary create or update: one document of a known kind, on the same path as an upload.

use crate::{check, convert, errors, lifecycle::meta, upload::Upload};
use model::{
    document::{AppRef, Document},
    ids::{ClusterId, DigRef},
};
use proto::v1;
use std::fmt;
use store::{DocumentSet, Store, StoreError};
use tonic::Status;

pub struct One {
    kind: &'static str,
    upload: Upload,
    project: String,
    request_id: String,
    validate_only: bool,
    actor: String,
}

/// Whether the object must be there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exists {
    Yes,
    No,
}

/// What became of it.
pub enum Written {
    Stored(Named),
    /// With `validate_only`.
    Checked(Document),
}

/// The object that a document describes.
pub enum Named {
    Cluster(ClusterId),
    App(AppRef),
    Dig(DigRef),
}

impl One {
    pub fn new(
        kind: &'static str,
        document: Option<v1::DocumentText>,
        project: &str,
        request_id: String,
        validate_only: bool,
        actor: String,
    ) -> Result<Self, Status> {
        let document = document.ok_or_else(|| {
            errors::invalid_field(
                "the request",
                "document",
                "is missing; send the document's text",
            )
        })?;
        Ok(Self {
            kind,
            upload: Upload::of(document),
            project: convert::project(project)?.to_owned(),
            request_id,
            validate_only,
            actor,
        })
    }

    /// Checks the document and stores it.
    pub async fn store(self, store: &Store, exists: Exists) -> Result<Written, Status> {
        let create = if exists == Exists::No {
            "create"
        } else {
            "update"
        };
        let meta = meta(
            self.request_id,
            format!("{create} {}", self.upload.hash(&self.project)),
            self.actor,
        )?;
        let set = check::upload(store, self.upload, &self.project).await?;
        let Some(named) = Named::only(&set) else {
            return Err(errors::invalid_field(
                "the request",
                "document",
                "must be exactly one document; use Apply for several",
            ));
        };
        if named.kind() != self.kind {
            return Err(errors::invalid_field(
                "the request",
                "document",
                format!("is a {}; send a {}", named.kind(), self.kind),
            ));
        }
        // A repeat of an accepted create finds its own object.
        let repeat = store.seen(&meta).await.map_err(errors::store)?;
        match (named.exists(store).await?, exists) {
            (true, Exists::No) if !repeat => {
                return Err(errors::already_exists(named.kind(), &named.to_string()));
            }
            (false, Exists::Yes) => {
                return Err(errors::not_found(named.kind(), &named.to_string()));
            }
            _ => {}
        }
        if !self.validate_only {
            store
                .apply_documents(set, false, &meta)
                .await
                .map_err(errors::store)?;
            return Ok(Written::Stored(named));
        }
        let document = document(&set).ok_or_else(mixed_up)?;
        store
            .apply_documents(set, true, &meta)
            .await
            .map_err(errors::store)?;
        Ok(Written::Checked(document))
    }
}

/// A copy of the first document.
fn document(set: &DocumentSet) -> Option<Document> {
    None.or_else(|| {
        set.clusters
            .first()
            .map(|(cluster, _)| Document::Cluster(cluster.clone()))
    })
    .or_else(|| set.apps.first().cloned().map(Document::CompositeApp))
    .or_else(|| set.digs.first().cloned().map(Document::Dig))
}

/// The checks before make this impossible.
pub fn mixed_up() -> Status {
    Status::internal("the document changed its kind while it was stored; see the log of muster-api")
}

impl Named {
    /// The one document of a set.
    fn only(set: &DocumentSet) -> Option<Self> {
        match (
            set.clusters.as_slice(),
            set.apps.as_slice(),
            set.digs.as_slice(),
        ) {
            ([cluster], [], []) => Some(Self::Cluster(cluster.0.id.clone())),
            ([], [app], []) => Some(Self::App(app.id.clone())),
            ([], [], [dig]) => Some(Self::Dig(dig.id.clone())),
            _ => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "Cluster",
            Self::App(_) => "CompositeApp",
            Self::Dig(_) => "DeploymentIntentGroup",
        }
    }

    async fn exists(&self, store: &Store) -> Result<bool, Status> {
        let found = match self {
            Self::Cluster(id) => store.cluster(id).await.map(|_| ()),
            Self::App(id) => store.composite_app(id).await.map(|_| ()),
            Self::Dig(id) => store.dig(id).await.map(|_| ()),
        };
        match found {
            Ok(()) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(errors::store(error)),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(id) => write!(f, "{id}"),
            Self::App(id) => f.write_str(&app_name(id)),
            Self::Dig(id) => write!(f, "{id}"),
        }
    }
}

pub fn app_name(id: &AppRef) -> String {
    format!("{}/{}/{}", id.project, id.name, id.version)
}
