//! Clusters as they answer or not: parking, probing, identity (protocol §8).

use crate::{
    ClusterRow, Kubeconfig, ProbeLease, Result, Store, StoreError, resources,
    sql::{self, Columns, args, transact},
};
use model::{failure::Failure, ids::ClusterId, row::Connectivity};
use sea_orm::{ConnectionTrait, QueryResult};

const CLUSTER: &str = "SELECT id, generation, doc, uid, connectivity, attempts, since_ms, \
    next_probe_ms, error_code, error_message, lease_holder, lease_until_ms FROM cluster";

fn cluster(row: &QueryResult) -> Result<ClusterRow> {
    Ok(ClusterRow {
        generation: row.int("generation")?,
        doc: row.json("doc")?,
        connectivity: connectivity(&row.text("connectivity")?),
        uid: row.text_opt("uid")?,
        attempts: row.int("attempts")? as i32,
        since_ms: row.int("since_ms")?,
        next_probe_ms: row.int_opt("next_probe_ms")?,
        error: resources::failure(row)?,
    })
}

pub(crate) fn connectivity(text: &str) -> Connectivity {
    match text {
        "Available" => Connectivity::Available,
        "Retrying" => Connectivity::Retrying,
        _ => Connectivity::Unknown,
    }
}

pub(crate) fn unknown(id: &ClusterId) -> StoreError {
    StoreError::NotFound {
        kind: "cluster",
        name: id.to_string(),
    }
}

async fn locked<C: ConnectionTrait>(db: &C, id: &ClusterId) -> Result<QueryResult> {
    let sql = format!("{CLUSTER} WHERE id = $1 LOCK UPDATE");
    let row = sql::one(db, &sql, args![id.to_string()]).await?;
    row.ok_or_else(|| unknown(id))
}

impl Store {
    pub async fn clusters(&self) -> Result<Vec<ClusterRow>> {
        let sql = format!("{CLUSTER} ORDER BY id");
        let rows = sql::all(&self.shared.read, &sql, vec![]).await?;
        rows.iter().map(cluster).collect()
    }

    pub async fn cluster(&self, id: &ClusterId) -> Result<ClusterRow> {
        let sql = format!("{CLUSTER} WHERE id = $1");
        let row = sql::one(&self.shared.read, &sql, args![id.to_string()]).await?;
        cluster(&row.ok_or_else(|| unknown(id))?)
    }

    /// Group, version, kind and namespace of everything that contexts which are not Terminated have
    /// on the cluster.
    pub async fn kinds_on(&self, id: &ClusterId) -> Result<Vec<[String; 4]>> {
        let rows = sql::all(
            &self.shared.read,
            "SELECT DISTINCT r.grp, r.version, r.kind, r.namespace FROM resource AS r \
             JOIN context AS c ON c.id = r.context \
             WHERE r.cluster = $1 AND c.state <> 'Terminated' ORDER BY 1, 2, 3, 4",
            args![id.to_string()],
        )
        .await?;
        rows.iter()
            .map(|row| {
                Ok([
                    row.text("grp")?,
                    row.text("version")?,
                    row.text("kind")?,
                    row.text("namespace")?,
                ])
            })
            .collect()
    }

    pub async fn kubeconfig(&self, id: &ClusterId) -> Result<Kubeconfig> {
        let row = sql::one(
            &self.shared.read,
            "SELECT generation, doc, kubeconfig FROM cluster WHERE id = $1",
            args![id.to_string()],
        )
        .await?;
        let row = row.ok_or_else(|| unknown(id))?;
        let doc: model::document::Cluster = row.json("doc")?;
        Ok(Kubeconfig {
            text: open_kubeconfig(&self.shared.key, id, &row.bytes("kubeconfig")?)?,
            context: doc.context,
            generation: row.int("generation")?,
        })
    }

    /// Parks a cluster: connectivity Retrying, error, next probe. Idempotent while parked.
    pub async fn park(&self, id: &ClusterId, failure: &Failure) -> Result<()> {
        let first = self.shared.config.probe_initial_ms;
        transact!(self, tx, {
            sql::run(
                &tx,
                "UPDATE cluster SET connectivity = 'Retrying', attempts = 1, since_ms = now_ms(), \
                 next_probe_ms = now_ms() + $2, error_code = $3, error_message = $4, \
                 lease_holder = NULL, lease_until_ms = NULL \
                 WHERE id = $1 AND connectivity <> 'Retrying'",
                args![
                    id.to_string(),
                    first,
                    failure.code.clone(),
                    failure.message.clone()
                ],
            )
            .await
        })?;
        Ok(())
    }

    /// The cluster's row; takes the probe lease if a probe is due and nobody has it. A holder
    /// that asks again keeps its lease.
    pub async fn probe_lease(
        &self,
        id: &ClusterId,
        holder: &str,
        lease_ms: u64,
    ) -> Result<ProbeLease> {
        transact!(self, tx, {
            let row = locked(&tx, id).await?;
            let now = sql::now_ms(&tx).await?;
            let at = cluster(&row)?;
            if at.connectivity != Connectivity::Retrying {
                return Ok(ProbeLease::Available);
            }
            let wait = |until: i64| ProbeLease::Wait {
                ms: (until - now).max(1) as u64,
                since_ms: at.since_ms,
            };
            let leased = row.int_opt("lease_until_ms")?.unwrap_or(0);
            if leased > now && row.text_opt("lease_holder")?.as_deref() != Some(holder) {
                return Ok(wait(leased));
            }
            let due = at.next_probe_ms.unwrap_or(0);
            if due > now {
                return Ok(wait(due));
            }
            sql::run(
                &tx,
                "UPDATE cluster SET lease_holder = $2, lease_until_ms = $3 WHERE id = $1",
                args![
                    id.to_string(),
                    holder,
                    now.saturating_add_unsigned(lease_ms)
                ],
            )
            .await?;
            Ok(ProbeLease::Yours)
        })
    }

    /// Result of a probe: `Ok(uid of kube-system)` ⇒ Available, identity checked: a uid that
    /// differs from the one seen before, or that another cluster has, parks the cluster.
    pub async fn probed(
        &self,
        id: &ClusterId,
        result: std::result::Result<Option<String>, Failure>,
    ) -> Result<Connectivity> {
        transact!(self, tx, {
            let at = cluster(&locked(&tx, id).await?)?;
            let failure = match &result {
                Err(failure) => Some(failure.clone()),
                Ok(Some(uid)) => mistaken(&tx, &at, uid).await?,
                Ok(None) => None,
            };
            match failure {
                Some(failure) => {
                    self.still_parked(&tx, &at, &failure).await?;
                    Ok(Connectivity::Retrying)
                }
                None => {
                    let uid = result.clone().ok().flatten();
                    available(&tx, id, uid).await?;
                    Ok(Connectivity::Available)
                }
            }
        })
    }

    async fn still_parked<C: ConnectionTrait>(
        &self,
        db: &C,
        at: &ClusterRow,
        failure: &Failure,
    ) -> Result<()> {
        let config = &self.shared.config;
        let parked = at.connectivity == Connectivity::Retrying;
        let attempts = if parked { at.attempts } else { 0 };
        let delay = config
            .probe_initial_ms
            .saturating_mul(1 << attempts.clamp(0, 20))
            .min(config.probe_max_ms);
        sql::run(
            db,
            "UPDATE cluster SET connectivity = 'Retrying', attempts = $2, \
             since_ms = CASE WHEN $3 = 1 THEN since_ms ELSE now_ms() END, \
             next_probe_ms = now_ms() + $4, error_code = $5, error_message = $6, \
             lease_holder = NULL, lease_until_ms = NULL WHERE id = $1",
            args![
                at.doc.id.to_string(),
                i64::from(attempts) + 1,
                i64::from(parked),
                delay,
                failure.code.clone(),
                failure.message.clone()
            ],
        )
        .await?;
        Ok(())
    }
}

async fn available<C: ConnectionTrait>(db: &C, id: &ClusterId, uid: Option<String>) -> Result<()> {
    sql::run(
        db,
        "UPDATE cluster SET uid = COALESCE($2, uid), attempts = 0, \
         since_ms = CASE WHEN connectivity = 'Available' THEN since_ms ELSE now_ms() END, \
         connectivity = 'Available', next_probe_ms = NULL, error_code = NULL, \
         error_message = NULL, lease_holder = NULL, lease_until_ms = NULL WHERE id = $1",
        args![id.to_string(), uid],
    )
    .await?;
    Ok(())
}

/// The cluster that answered is not the one it is taken for.
async fn mistaken<C: ConnectionTrait>(
    db: &C,
    at: &ClusterRow,
    uid: &str,
) -> Result<Option<Failure>> {
    let id = at.doc.id.to_string();
    let failure = |code: &str, message: String| {
        Some(Failure {
            code: code.to_owned(),
            message,
        })
    };
    if at.uid.as_deref().is_some_and(|known| known != uid) {
        return Ok(failure(
            "identityChanged",
            format!(
                "another cluster answers under the kubeconfig of {id}: the uid of its \
                 kube-system namespace changed"
            ),
        ));
    }
    let other = sql::one(
        db,
        "SELECT id FROM cluster WHERE uid = $1 AND id <> $2",
        args![uid, id.clone()],
    )
    .await?;
    Ok(match other {
        Some(row) => failure(
            "duplicateCluster",
            format!(
                "{id} is the same cluster as {}: register it once",
                row.text("id")?
            ),
        ),
        None => None,
    })
}

pub(crate) fn open_kubeconfig(
    key: &crate::SealKey,
    id: &ClusterId,
    sealed: &[u8],
) -> Result<String> {
    let open = key.unseal(&format!("kubeconfig of {id}"), sealed)?;
    String::from_utf8(open).map_err(|error| StoreError::Db(Box::new(error)))
}

pub(crate) fn seal_kubeconfig(key: &crate::SealKey, id: &ClusterId, text: &str) -> Result<Vec<u8>> {
    key.seal(&format!("kubeconfig of {id}"), text.as_bytes())
}
