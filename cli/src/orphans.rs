//! The orphan ledger: `get orphans`, `orphans collect`, `orphans forget`.

use crate::{
    args::{CollectOrphans, ForgetOrphans, OrphansVerb},
    fault::{Exit, Fault},
    output::Format,
    session::{Connection, Session},
    table::Table,
    time::{age, rfc3339},
    words::{count, plain, some},
};
use jiff::Timestamp;
use proto::v1::{
    self, collected_orphan::Result as Came, orphan_service_client::OrphanServiceClient,
};
use serde_json::{Value, json};

pub async fn run(session: &mut Session, verb: &OrphansVerb) -> Result<(), Fault> {
    match verb {
        OrphansVerb::Collect(arguments) => collect(session, arguments).await,
        OrphansVerb::Forget(arguments) => forget(session, arguments).await,
    }
}

/// `muster get orphans [ID…]`.
pub async fn get(session: &mut Session, ids: &[String]) -> Result<(), Fault> {
    let orphans = list(session, "", ids).await?;
    if let Some(missing) = ids.iter().find(|id| orphans.iter().all(|o| o.id != **id)) {
        let message = format!("orphan {missing} is not in the ledger");
        return Err(
            Fault::new(Exit::NotFound, "NOT_FOUND", message).next(format!(
                "{} lists what there is",
                session.hint("get orphans")
            )),
        );
    }
    match session.output.format {
        Format::Name => {
            for orphan in &orphans {
                session.output.line(&format!("orphan/{}", orphan.id))?;
            }
            Ok(())
        }
        Format::Json | Format::Yaml => {
            let items: Vec<Value> = orphans.iter().map(value).collect();
            match (items.as_slice(), ids.len()) {
                ([only], 1) => session.output.value(only),
                _ => session
                    .output
                    .value(&json!({ "kind": "List", "items": items })),
            }
        }
        Format::Table | Format::Wide if orphans.is_empty() => {
            session.output.note("no orphans");
            Ok(())
        }
        Format::Table | Format::Wide => table(session, &orphans),
    }
}

async fn client(session: &mut Session) -> Result<OrphanServiceClient<Connection>, Fault> {
    session.orphans().await
}

async fn list(
    session: &mut Session,
    cluster: &str,
    ids: &[String],
) -> Result<Vec<v1::Orphan>, Fault> {
    let client = client(session).await?;
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListOrphansRequest {
            cluster: cluster.to_owned(),
            ids: ids.to_vec(),
            page_size: 0,
            page_token,
        };
        let page = session
            .call(&client, request, async |mut client, request| {
                client.list_orphans(request).await
            })
            .await?;
        found.extend(page.orphans);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

/// `ConfigMap/shop/web`.
fn object(orphan: &v1::Orphan) -> String {
    match orphan.namespace.as_str() {
        "" => format!("{}/{}", orphan.kind, orphan.object),
        namespace => format!("{}/{namespace}/{}", orphan.kind, orphan.object),
    }
}

fn value(orphan: &v1::Orphan) -> Value {
    json!({
        "id": orphan.id,
        "cluster": orphan.cluster,
        "group": orphan.group,
        "version": orphan.version,
        "kind": orphan.kind,
        "namespace": some(&orphan.namespace),
        "name": orphan.object,
        "uid": some(&orphan.uid),
        "dig": some(&orphan.name).map(|name| format!("{}/{name}", orphan.project)),
        "contextId": orphan.context_id,
        "app": some(&orphan.app),
        "reason": orphan.reason,
        "actor": some(&orphan.actor),
        "since": rfc3339(orphan.since.as_ref()),
        "wanted": orphan.wanted,
        "triedAt": rfc3339(orphan.tried_at.as_ref()),
        "outcome": some(&orphan.outcome),
    })
}

fn table(session: &mut Session, orphans: &[v1::Orphan]) -> Result<(), Fault> {
    let now = Timestamp::now();
    let wide = session.output.format == Format::Wide;
    let mut heads = vec!["ID", "CLUSTER", "OBJECT", "DIG", "AGE", "REASON"];
    if wide {
        heads.extend(["CONTEXT ID", "UID", "BY"]);
    }
    heads.push("LAST TRY");
    let mut table = Table::new(&heads);
    for orphan in orphans {
        let dig = match orphan.name.as_str() {
            "" => "-".to_owned(),
            name => format!("{}/{name}", orphan.project),
        };
        let mut cells = vec![
            orphan.id.clone(),
            orphan.cluster.clone(),
            plain(&object(orphan)),
            dig,
            age(orphan.since.as_ref(), now),
            plain(&orphan.reason),
        ];
        if wide {
            cells.extend([
                plain(&orphan.context_id),
                orphan.uid.clone(),
                plain(&orphan.actor),
            ]);
        }
        cells.push(plain(&orphan.outcome));
        table.row(cells);
    }
    let width = session.output.width().filter(|_| !wide);
    session.output.lines(&table.lines(width))
}

async fn collect(session: &mut Session, arguments: &CollectOrphans) -> Result<(), Fault> {
    let cluster = arguments.cluster.clone().unwrap_or_default();
    if session.output.asks() && !arguments.yes {
        let orphans = list(session, &cluster, &arguments.ids).await?;
        let clusters: std::collections::BTreeSet<_> =
            orphans.iter().map(|orphan| &orphan.cluster).collect();
        let objects = count(orphans.len() as i64, "object");
        let clusters = count(clusters.len() as i64, "cluster");
        session.confirm(
            &format!("Collect orphans? This deletes up to {objects} on {clusters}."),
            "nothing was collected",
        )?;
    }
    let client = client(session).await?;
    let request = v1::CollectOrphansRequest {
        cluster,
        ids: arguments.ids.clone(),
        request_id: session.request_id(0),
        wait_seconds: 0,
    };
    let answer = session
        .call(&client, request, async |mut client, request| {
            client.collect_orphans(request).await
        })
        .await?;
    report(session, &answer.orphans)
}

/// What became of each; entries that failed make the command fail.
fn report(session: &mut Session, came: &[v1::CollectedOrphan]) -> Result<(), Fault> {
    let word = |one: &v1::CollectedOrphan| match one.result() {
        Came::Over => "over",
        Came::Waits => "waits",
        Came::Failed | Came::Unspecified => "failed",
    };
    let of = |one: &v1::CollectedOrphan| one.orphan.clone().unwrap_or_default();
    match session.output.format {
        Format::Json | Format::Yaml => {
            let items: Vec<Value> = came
                .iter()
                .map(|one| {
                    let mut item = value(&of(one));
                    item["result"] = word(one).into();
                    item
                })
                .collect();
            session.output.value(&json!({ "items": items }))?;
        }
        Format::Name => {
            for one in came {
                session.output.line(&format!("orphan/{}", of(one).id))?;
            }
        }
        Format::Table | Format::Wide if came.is_empty() => session.output.note("no orphans"),
        Format::Table | Format::Wide => {
            for one in came {
                let orphan = of(one);
                let says = match orphan.outcome.as_str() {
                    "" => "not tried yet; it will be by itself",
                    says => says,
                };
                session.output.line(&format!(
                    "orphan/{} {} on {}: {}",
                    orphan.id,
                    plain(&object(&orphan)),
                    orphan.cluster,
                    plain(says)
                ))?;
            }
        }
    }
    let failed = came.iter().filter(|one| word(one) == "failed").count();
    let waits = came.iter().filter(|one| word(one) == "waits").count();
    if failed > 0 {
        let message = format!("{} could not be collected", count(failed as i64, "orphan"));
        return Err(Fault::new(Exit::Failed, "NOT_COLLECTED", message)
            .next("mend the cause that stands beside it, then collect again"));
    }
    if waits > 0 {
        let waits = count(waits as i64, "orphan");
        session.output.note(&format!(
            "note: {waits} will be collected when that is over"
        ));
    }
    Ok(())
}

async fn forget(session: &mut Session, arguments: &ForgetOrphans) -> Result<(), Fault> {
    if session.output.asks() && !arguments.yes {
        let orphans = count(arguments.ids.len() as i64, "orphan");
        session.confirm(
            &format!(
                "Forget {orphans}? What is on the clusters stays there, and nobody will delete it."
            ),
            "nothing was forgotten",
        )?;
    }
    let client = client(session).await?;
    let request = v1::ForgetOrphansRequest {
        ids: arguments.ids.clone(),
        reason: arguments.reason.clone(),
        request_id: session.request_id(0),
    };
    let answer = session
        .call(&client, request, async |mut client, request| {
            client.forget_orphans(request).await
        })
        .await?;
    match session.output.format {
        Format::Json | Format::Yaml => {
            let items: Vec<Value> = answer.orphans.iter().map(value).collect();
            session.output.value(&json!({ "items": items }))
        }
        Format::Name => {
            for orphan in &answer.orphans {
                session.output.line(&format!("orphan/{}", orphan.id))?;
            }
            Ok(())
        }
        Format::Table | Format::Wide => {
            for orphan in &answer.orphans {
                session.output.line(&format!(
                    "orphan/{} {} on {} forgotten",
                    orphan.id,
                    plain(&object(orphan)),
                    orphan.cluster
                ))?;
            }
            Ok(())
        }
    }
}

/// `orphan`, `orphans`, as `get` takes it.
pub fn is_kind(word: &str) -> bool {
    matches!(word.to_lowercase().as_str(), "orphan" | "orphans" | "or")
}
