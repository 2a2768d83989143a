//! `muster delete`: documents that nothing uses any more.

use crate::{
    args::Delete,
    fault::{Exit, Fault},
    kinds,
    names::{self, AppName, Kind},
    output::Format,
    session::Session,
};
use proto::v1;
use serde_json::json;

pub async fn run(session: &mut Session, arguments: &Delete) -> Result<(), Fault> {
    let (kind, names) = names::targets(&arguments.target)?;
    if names.is_empty() {
        return Err(Fault::usage(format!(
            "name the {} to delete: `muster delete {0} NAME`",
            kind.word()
        )));
    }
    let mut results = Vec::new();
    let mut failed = None;
    for (index, name) in names.iter().enumerate() {
        let (shown, outcome) = delete(session, kind, name, arguments.dry_run, index).await?;
        let word = match outcome {
            Ok(()) if arguments.dry_run => "would be deleted",
            Ok(()) => "deleted",
            Err(fault) if fault.exit() == Exit::NotFound && arguments.ignore_not_found => {
                "not found"
            }
            Err(fault) => {
                failed = Some(kinds::look_around(fault, session, kind));
                break;
            }
        };
        match session.output.format {
            Format::Json | Format::Yaml => results.push(json!({ "name": shown, "result": word })),
            Format::Name => session.output.line(&shown)?,
            _ => session.output.line(&format!("{shown} {word}"))?,
        }
    }
    if session.output.structured() {
        session.output.value(&json!({ "deleted": results }))?;
    }
    failed.map_or(Ok(()), Err)
}

/// The name as shown, and what became of it.
async fn delete(
    session: &mut Session,
    kind: Kind,
    name: &str,
    validate_only: bool,
    index: usize,
) -> Result<(String, Result<(), Fault>), Fault> {
    let client = session.documents().await?;
    let request_id = session.request_id(index);
    Ok(match kind {
        Kind::Cluster => {
            let request = v1::DeleteClusterRequest {
                id: name.to_owned(),
                request_id,
                validate_only,
            };
            let answer = session
                .call(&client, request, async |mut client, request| {
                    client.delete_cluster(request).await
                })
                .await;
            (format!("cluster/{name}"), answer.map(drop))
        }
        Kind::App => {
            let app = AppName::parse(name, &session.global.project)?;
            let shown = format!("app/{app}");
            let AppName {
                project,
                name,
                version,
            } = app;
            let request = v1::DeleteCompositeAppRequest {
                project,
                name,
                version,
                request_id,
                validate_only,
            };
            let answer = session
                .call(&client, request, async |mut client, request| {
                    client.delete_composite_app(request).await
                })
                .await;
            (shown, answer.map(drop))
        }
        Kind::Dig => {
            let dig = session.dig(name)?;
            let shown = format!("dig/{dig}");
            let request = v1::DeleteDeploymentIntentGroupRequest {
                project: dig.project,
                name: dig.name,
                request_id,
                validate_only,
            };
            let answer = session
                .call(&client, request, async |mut client, request| {
                    client.delete_deployment_intent_group(request).await
                })
                .await;
            (shown, answer.map(drop))
        }
    })
}
