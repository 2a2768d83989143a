//! `muster cluster check`: whether clusters can be used, in one sentence each.

use crate::{
    args::{Check, Cluster, ClusterVerb},
    fault::{Exit, Fault},
    kinds,
    names::Kind,
    output::Format,
    session::Session,
    style::Colour,
    thing::Thing,
    words::{count, plain, some},
};
use futures_util::{StreamExt, stream};
use proto::v1::{CheckClusterRequest, CheckClusterResponse};
use serde::Serialize;

/// Looks under way at once.
const AT_ONCE: usize = 16;

pub async fn run(session: &mut Session, arguments: &Cluster) -> Result<(), Fault> {
    match &arguments.verb {
        ClusterVerb::Check(arguments) => check(session, arguments).await,
    }
}

async fn check(session: &mut Session, arguments: &Check) -> Result<(), Fault> {
    let all = arguments.names.is_empty();
    let names = if all {
        let list = kinds::list(session, Kind::Cluster, false, false).await?;
        let clusters = list.things.into_iter().filter_map(|thing| match thing {
            Thing::Cluster(cluster) => Some(cluster.id),
            _ => None,
        });
        clusters.collect()
    } else {
        arguments.names.clone()
    };
    if names.is_empty() {
        session.output.note("no clusters");
        return Ok(());
    }
    let client = session.documents().await?;
    let mut found: Vec<CheckClusterResponse> = Vec::new();
    {
        let (session, client) = (&*session, &client);
        let mut looks = stream::iter(names.iter().map(|name| {
            let request = CheckClusterRequest { id: name.clone() };
            session.call(client, request, async |mut client, request| {
                client.check_cluster(request).await
            })
        }))
        .buffered(AT_ONCE);
        while let Some(look) = looks.next().await {
            found.push(look.map_err(|fault| kinds::look_around(fault, session, Kind::Cluster))?);
        }
    }
    show(session, &found, !all && names.len() == 1)?;
    let bad: Vec<&CheckClusterResponse> =
        found.iter().filter(|look| look.failure.is_some()).collect();
    match bad.as_slice() {
        [] => Ok(()),
        bad => {
            let total = count(i64::try_from(found.len()).unwrap_or(i64::MAX), "cluster");
            let ids: Vec<&str> = bad.iter().map(|look| look.id.as_str()).collect();
            let fault = Fault::new(
                Exit::Failed,
                "CLUSTER_UNUSABLE",
                format!(
                    "{} of {total} cannot be used: {}",
                    bad.len(),
                    ids.join(", ")
                ),
            );
            Err(match bad {
                [one] if !one.next_step.is_empty() => fault.next(plain(&one.next_step)),
                _ => fault,
            })
        }
    }
}

fn show(session: &mut Session, found: &[CheckClusterResponse], single: bool) -> Result<(), Fault> {
    if session.output.structured() {
        let looks: Vec<Look> = found.iter().map(Look::from).collect();
        return match looks.as_slice() {
            [one] if single => session.output.value(one),
            all => session.output.value(&all),
        };
    }
    let style = session.output.style;
    for look in found {
        if session.output.format == Format::Name {
            session.output.line(&look.id)?;
            continue;
        }
        let message = plain(&look.message);
        match &look.failure {
            None => session.output.line(&message)?,
            Some(_) => {
                session.output.line(&style.paint(Colour::Red, &message))?;
                if let Some(step) = some(&look.next_step) {
                    session.output.line(&format!("  next: {}", plain(step)))?;
                }
            }
        }
    }
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Look {
    id: String,
    usable: bool,
    /// Of the failure, as in problems of a status.
    code: Option<String>,
    message: String,
    next_step: Option<String>,
    version: Option<String>,
    uid: Option<String>,
    user: Option<String>,
    latency_ms: Option<i64>,
    missing_permissions: Vec<String>,
    notes: Vec<String>,
}

impl From<&CheckClusterResponse> for Look {
    fn from(look: &CheckClusterResponse) -> Self {
        let text = |text: &str| some(text).map(str::to_owned);
        Self {
            id: look.id.clone(),
            usable: look.failure.is_none(),
            code: look.failure.as_ref().map(|failure| failure.code.clone()),
            message: look.message.clone(),
            next_step: text(&look.next_step),
            version: text(&look.version),
            uid: text(&look.uid),
            user: text(&look.user),
            latency_ms: look.latency_ms,
            missing_permissions: look.missing_permissions.clone(),
            notes: look.notes.clone(),
        }
    }
}
