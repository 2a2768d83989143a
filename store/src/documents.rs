//! Documents: all or nothing, equal ones change nothing, changed ones are "Modify intents".

use crate::{
    Change, DigRow, DocumentResult, DocumentSet, RequestMeta, Result, Store, StoreError, Versioned,
    clusters,
    heads::{self, DigHead, Lock},
    log, requests,
    seal::{compress, decompress},
    sql::{self, Columns, args, transact},
    verbs,
};
use model::{
    document::{AppRef, Cluster, CompositeApp, Dig},
    ids::{ClusterId, DigRef},
    state::{DigEvent, dig},
};
use sea_orm::{ConnectionTrait, QueryResult};
use std::collections::BTreeSet;

const CLUSTER: &str = "Cluster";
const APP: &str = "CompositeApp";
const DIG: &str = "DeploymentIntentGroup";

impl Store {
    /// Stores all or nothing. An equal document is Unchanged; a changed CompositeApp fires Modify
    /// on its DIGs; DIG state rules of spec §1.1 hold. The results stand in the order clusters,
    /// apps, DIGs.
    pub async fn apply_documents(
        &self,
        set: DocumentSet,
        validate_only: bool,
        meta: &RequestMeta,
    ) -> Result<Vec<DocumentResult>> {
        if validate_only {
            let tx = sql::begin(&self.shared.write).await?;
            let results = self.put(&tx, &set, meta).await;
            return sql::undo(&self.shared.write, tx, results).await;
        }
        transact!(self, tx, {
            let stored: Option<Vec<(String, String, String)>> =
                requests::reserve(&tx, meta).await?;
            if let Some(stored) = stored {
                return Ok(stored.into_iter().filter_map(restored).collect());
            }
            let results = self.put(&tx, &set, meta).await?;
            let stored: Vec<_> = results
                .iter()
                .map(|r| (r.kind, r.name.clone(), change_text(r.change)))
                .collect();
            requests::keep(&tx, meta, &stored).await?;
            Ok(results)
        })
    }

    async fn put<C: ConnectionTrait>(
        &self,
        db: &C,
        set: &DocumentSet,
        meta: &RequestMeta,
    ) -> Result<Vec<DocumentResult>> {
        sql::lock_documents(db, true).await?;
        let mut results = Vec::new();
        for (cluster, kubeconfig) in &set.clusters {
            let change = self.put_cluster(db, cluster, kubeconfig).await?;
            results.push(result(CLUSTER, &cluster.id, change));
        }
        let mut changed_apps = Vec::new();
        for app in &set.apps {
            let change = self.put_app(db, app).await?;
            if change == Change::Configured {
                changed_apps.push(&app.id);
            }
            results.push(result(APP, app_name(&app.id), change));
        }
        let mut modified = BTreeSet::new();
        let mut lines = Vec::new();
        for doc in &set.digs {
            let change = put_dig(db, doc, meta, &mut lines).await?;
            if change != Change::Unchanged {
                modified.insert(doc.id.clone());
            }
            results.push(result(DIG, &doc.id, change));
        }
        for app in changed_apps {
            for id in digs_of(db, app).await? {
                if modified.insert(id.clone()) {
                    let dig = heads::known_dig(db, &id, Lock::Update).await?;
                    modify(db, &dig, None, meta, &mut lines).await?;
                }
            }
        }
        log::append(db, &lines).await?;
        Ok(results)
    }

    async fn put_cluster<C: ConnectionTrait>(
        &self,
        db: &C,
        doc: &Cluster,
        kubeconfig: &str,
    ) -> Result<Change> {
        let key = &self.shared.key;
        let id = doc.id.to_string();
        let old = sql::one(
            db,
            "SELECT doc, kubeconfig FROM cluster WHERE id = $1 LOCK UPDATE",
            args![id.clone()],
        )
        .await?;
        let Some(old) = old else {
            sql::run(
                db,
                "INSERT INTO cluster (id, generation, created_ms, doc, kubeconfig, connectivity, \
                 attempts, since_ms) VALUES ($1, 1, now_ms(), $2, $3, 'Unknown', 0, now_ms())",
                args![
                    id,
                    sql::to_json(doc)?,
                    clusters::seal_kubeconfig(key, &doc.id, kubeconfig)?
                ],
            )
            .await?;
            return Ok(Change::Created);
        };
        let same_config =
            clusters::open_kubeconfig(key, &doc.id, &old.bytes("kubeconfig")?)? == kubeconfig;
        let known: Cluster = old.json("doc")?;
        if same_config && known == *doc {
            return Ok(Change::Unchanged);
        }
        // Where nothing lives a name may be given to another cluster; elsewhere the next probe
        // compares the uid.
        let other = !same_config || known.context != doc.context;
        let forget = other && user_of_cluster(db, &doc.id).await?.is_none();
        sql::run(
            db,
            "UPDATE cluster SET generation = generation + 1, doc = $2, kubeconfig = $3, \
             uid = CASE WHEN $4 = 1 THEN NULL ELSE uid END, \
             next_probe_ms = CASE WHEN next_probe_ms IS NULL THEN NULL ELSE now_ms() END \
             WHERE id = $1",
            args![
                id,
                sql::to_json(doc)?,
                clusters::seal_kubeconfig(key, &doc.id, kubeconfig)?,
                i64::from(forget)
            ],
        )
        .await?;
        Ok(Change::Configured)
    }

    /// A composite app holds the objects of its manifests, Secrets among them: sealed as a whole.
    async fn put_app<C: ConnectionTrait>(&self, db: &C, doc: &CompositeApp) -> Result<Change> {
        let AppRef {
            project,
            name,
            version,
        } = doc.id.clone();
        let old = sql::one(
            db,
            "SELECT generation, created_ms, doc FROM composite_app \
             WHERE project = $1 AND name = $2 AND version = $3 LOCK UPDATE",
            args![project.clone(), name.clone(), version.clone()],
        )
        .await?;
        let change = match &old {
            Some(old) if self.open_app(old, &doc.id)?.doc == *doc => return Ok(Change::Unchanged),
            Some(_) => Change::Configured,
            None => Change::Created,
        };
        let sealed = self
            .shared
            .key
            .seal(&app_name(&doc.id), &compress(&sql::to_json(doc)?)?)?;
        sql::run(
            db,
            "INSERT INTO composite_app (project, name, version, generation, created_ms, doc) \
             VALUES ($1, $2, $3, 1, now_ms(), $4) ON CONFLICT (project, name, version) \
             DO UPDATE SET generation = composite_app.generation + 1, doc = excluded.doc",
            args![project, name, version, sealed],
        )
        .await?;
        Ok(change)
    }

    fn open_app(&self, row: &QueryResult, id: &AppRef) -> Result<Versioned<CompositeApp>> {
        let open = self.shared.key.unseal(&app_name(id), &row.bytes("doc")?)?;
        Ok(Versioned {
            generation: row.int("generation")?,
            created_ms: row.int("created_ms")?,
            doc: sql::from_json(&decompress(&open)?)?,
        })
    }

    pub async fn composite_apps(&self, project: &str) -> Result<Vec<Versioned<CompositeApp>>> {
        let rows = sql::all(
            &self.shared.read,
            "SELECT project, name, version, generation, created_ms, doc FROM composite_app \
             WHERE project = $1 ORDER BY name, version",
            args![project],
        )
        .await?;
        let mut apps = Vec::with_capacity(rows.len());
        for row in &rows {
            let id = AppRef {
                project: row.text("project")?,
                name: row.text("name")?,
                version: row.text("version")?,
            };
            apps.push(self.open_app(row, &id)?);
        }
        Ok(apps)
    }

    pub async fn composite_app(&self, id: &AppRef) -> Result<Versioned<CompositeApp>> {
        let row = sql::one(
            &self.shared.read,
            "SELECT generation, created_ms, doc FROM composite_app \
             WHERE project = $1 AND name = $2 AND version = $3",
            args![id.project.clone(), id.name.clone(), id.version.clone()],
        )
        .await?;
        self.open_app(&row.ok_or_else(|| unknown_app(id))?, id)
    }

    pub async fn digs(&self, project: Option<&str>) -> Result<Vec<DigRow>> {
        let digs = heads::digs(&self.shared.read, project).await?;
        Ok(digs.into_iter().map(DigHead::row).collect())
    }

    pub async fn dig(&self, id: &DigRef) -> Result<DigRow> {
        heads::known_dig(&self.shared.read, id, Lock::None)
            .await
            .map(DigHead::row)
    }
}

async fn put_dig<C: ConnectionTrait>(
    db: &C,
    doc: &Dig,
    meta: &RequestMeta,
    lines: &mut Vec<log::Line>,
) -> Result<Change> {
    if let Some(dig) = heads::dig(db, &doc.id, Lock::Update).await? {
        if dig.doc == *doc {
            return Ok(Change::Unchanged);
        }
        modify(db, &dig, Some(doc), meta, lines).await?;
        return Ok(Change::Configured);
    }
    let Ok(Some(state)) = dig::next(None, None, DigEvent::Create) else {
        return Err(sql::corrupt("the DIG machine has no beginning"));
    };
    let dig = DigHead {
        id: i64::from_be_bytes(rand::random()) & i64::MAX,
        generation: 1,
        doc: doc.clone(),
        state,
        pending: false,
        context: None,
    };
    sql::run(
        db,
        "INSERT INTO dig (id, project, name, generation, created_ms, doc, app_name, app_version, \
         state, pending) VALUES ($1, $2, $3, $4, now_ms(), $5, $6, $7, $8, 0)",
        args![
            dig.id,
            doc.id.project.clone(),
            doc.id.name.clone(),
            dig.generation,
            sql::to_json(doc)?,
            doc.app.name.clone(),
            doc.app.version.clone(),
            state.as_str()
        ],
    )
    .await?;
    log::act(db, dig.id, state, DigEvent::Create, None, meta).await?;
    lines.push(log::of_dig(&dig, None, state, DigEvent::Create, meta));
    Ok(Change::Created)
}

/// Fires Modify and stores the new document, if it is the DIG's own that changed.
async fn modify<C: ConnectionTrait>(
    db: &C,
    dig: &DigHead,
    doc: Option<&Dig>,
    meta: &RequestMeta,
    lines: &mut Vec<log::Line>,
) -> Result<()> {
    let event = DigEvent::Modify;
    let Ok(Some(state)) = dig::next(Some(dig.state), dig.context_state(), event) else {
        return Err(dig.refused(event.verb()));
    };
    if let Some(doc) = doc {
        sql::run(
            db,
            "UPDATE dig SET generation = generation + 1, doc = $2, app_name = $3, \
             app_version = $4 WHERE id = $1",
            args![
                dig.id,
                sql::to_json(doc)?,
                doc.app.name.clone(),
                doc.app.version.clone()
            ],
        )
        .await?;
    }
    verbs::write(db, dig, state, true, None).await?;
    if state != dig.state {
        let revision = dig.context.as_ref().map(|c| (&c.id, c.revision));
        log::act(db, dig.id, state, event, revision, meta).await?;
    }
    lines.push(log::of_dig(dig, Some(dig.state), state, event, meta));
    Ok(())
}

pub(crate) async fn digs_of<C: ConnectionTrait>(db: &C, app: &AppRef) -> Result<Vec<DigRef>> {
    let rows = sql::all(
        db,
        "SELECT project, name FROM dig WHERE project = $1 AND app_name = $2 \
         AND app_version = $3 ORDER BY project, name",
        args![app.project.clone(), app.name.clone(), app.version.clone()],
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok(DigRef {
                project: row.text("project")?,
                name: row.text("name")?,
            })
        })
        .collect()
}

/// A DIG whose context is not Terminated and has rows on the cluster.
pub(crate) async fn user_of_cluster<C: ConnectionTrait>(
    db: &C,
    id: &ClusterId,
) -> Result<Option<DigRef>> {
    let row = sql::one(
        db,
        "SELECT c.project, c.name FROM context c WHERE c.state <> 'Terminated' \
         AND EXISTS (SELECT 1 FROM resource r WHERE r.context = c.id AND r.cluster = $1 \
         AND r.state IN ('Pending', 'Retrying', 'Failed', 'Applied', 'Deleted')) \
         ORDER BY c.project, c.name LIMIT 1",
        args![id.to_string()],
    )
    .await?;
    row.map(|row| {
        Ok(DigRef {
            project: row.text("project")?,
            name: row.text("name")?,
        })
    })
    .transpose()
}

pub(crate) fn unknown_app(id: &AppRef) -> StoreError {
    StoreError::NotFound {
        kind: "composite app",
        name: app_name(id),
    }
}

pub(crate) fn app_name(id: &AppRef) -> String {
    format!("{}/{}/{}", id.project, id.name, id.version)
}

fn result(kind: &'static str, name: impl ToString, change: Change) -> DocumentResult {
    DocumentResult {
        kind,
        name: name.to_string(),
        change,
    }
}

fn change_text(change: Change) -> String {
    format!("{change:?}")
}

fn restored((kind, name, change): (String, String, String)) -> Option<DocumentResult> {
    let kind = [CLUSTER, APP, DIG].into_iter().find(|k| *k == kind)?;
    let change = [Change::Created, Change::Configured, Change::Unchanged]
        .into_iter()
        .find(|c| change_text(*c) == change)?;
    Some(DocumentResult { kind, name, change })
}
