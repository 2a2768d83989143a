//! The lifecycle verbs: approve, instantiate, terminate, stop, retry.

use crate::{
    args::{DigVerb, Terminate},
    fault::Fault,
    kinds,
    names::{DigName, Kind},
    output::Format,
    sentence,
    session::{Connection, Session},
    status,
    wait::{self, Aim},
    words::{self, count},
};
use proto::v1::{
    ApproveRequest, ContextState, DigState, InstantiateRequest, LifecycleResponse, RetryRequest,
    StatusView, StopRequest, TerminateRequest, lifecycle_service_client::LifecycleServiceClient,
};
use serde_json::json;
use tonic::{Response, Status};

pub async fn approve(session: &mut Session, arguments: &DigVerb) -> Result<(), Fault> {
    let dig = session.dig(&arguments.dig)?;
    let request = ApproveRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        request_id: session.request_id(0),
        validate_only: arguments.dry_run,
    };
    let answer = send(session, request, async |mut client, request| {
        client.approve(request).await
    })
    .await?;
    let word = if answer.changed {
        "approved"
    } else {
        "approved already"
    };
    answered(session, &dig, &answer, word, arguments.dry_run)
}

pub async fn instantiate(session: &mut Session, arguments: &DigVerb) -> Result<(), Fault> {
    let dig = session.dig(&arguments.dig)?;
    let request = InstantiateRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        request_id: session.request_id(0),
        validate_only: arguments.dry_run,
    };
    let answer = send(session, request, async |mut client, request| {
        client.instantiate(request).await
    })
    .await?;
    if session.global.wait && !arguments.dry_run {
        return wait::follow(session, &dig, Aim::Instantiated, &answer.context_id).await;
    }
    let word = if answer.changed {
        "instantiate accepted"
    } else {
        "instantiate accepted before"
    };
    answered(session, &dig, &answer, word, arguments.dry_run)
}

pub async fn terminate(session: &mut Session, arguments: &Terminate) -> Result<(), Fault> {
    let dig = session.dig(&arguments.verb.dig)?;
    if session.output.asks() && !arguments.yes && !arguments.verb.dry_run {
        confirm(session, &dig, &arguments.abandon).await?;
    }
    let request = TerminateRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        request_id: session.request_id(0),
        validate_only: arguments.verb.dry_run,
        abandon: arguments.abandon.clone(),
    };
    let answer = send(session, request, async |mut client, request| {
        client.terminate(request).await
    })
    .await?;
    if session.global.wait && !arguments.verb.dry_run {
        return wait::follow(session, &dig, Aim::Terminated, &answer.context_id).await;
    }
    let word = if answer.changed {
        "terminate accepted"
    } else {
        "terminate under way already"
    };
    answered(session, &dig, &answer, word, arguments.verb.dry_run)
}

pub async fn stop(session: &mut Session, arguments: &DigVerb) -> Result<(), Fault> {
    let dig = session.dig(&arguments.dig)?;
    let request = StopRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        request_id: session.request_id(0),
        validate_only: arguments.dry_run,
    };
    let answer = send(session, request, async |mut client, request| {
        client.stop(request).await
    })
    .await?;
    answered(session, &dig, &answer, "stopped", arguments.dry_run)
}

pub async fn retry(session: &mut Session, arguments: &DigVerb) -> Result<(), Fault> {
    let dig = session.dig(&arguments.dig)?;
    let request = RetryRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        request_id: session.request_id(0),
        validate_only: arguments.dry_run,
    };
    let answer = send(session, request, async |mut client, request| {
        client.retry(request).await
    })
    .await?;
    if session.global.wait && !arguments.dry_run {
        let aim = match answer.state() {
            DigState::Terminated => Aim::Terminated,
            _ => Aim::Instantiated,
        };
        return wait::follow(session, &dig, aim, &answer.context_id).await;
    }
    answered(session, &dig, &answer, "retry accepted", arguments.dry_run)
}

async fn send<Q: Clone>(
    session: &mut Session,
    request: Q,
    verb: impl AsyncFn(
        LifecycleServiceClient<Connection>,
        Q,
    ) -> Result<Response<LifecycleResponse>, Status>,
) -> Result<LifecycleResponse, Fault> {
    let client = session.lifecycles().await?;
    session
        .call(&client, request, verb)
        .await
        .map_err(|fault| kinds::look_around(fault, session, Kind::Dig))
}

/// Says what would be deleted, and asks.
async fn confirm(session: &mut Session, dig: &DigName, abandon: &[String]) -> Result<(), Fault> {
    let head = status::head(session, dig, StatusView::Summary).await?;
    // Where there is nothing to delete there is nothing to ask; the server says so.
    if head
        .context
        .as_ref()
        .is_none_or(|context| context.state() == ContextState::Terminated)
    {
        return Ok(());
    }
    let counts = head.deployed_counts.unwrap_or_default();
    let objects = count(sentence::total(&counts) - counts.deleted, "object");
    let clusters = count(sentence::cluster_count(&head) as i64, "cluster");
    let question = match abandon {
        [] => format!("Terminate {dig}? This deletes up to {objects} on {clusters}."),
        given_up => format!(
            "Terminate {dig}, up to {objects} on {clusters}, and abandon {}? What is there stays \
             there, in the orphan ledger, until it is collected.",
            given_up.join(", ")
        ),
    };
    session.confirm(&question, &format!("{dig} was not terminated"))
}

/// The server's answer to a verb that nobody waits for.
fn answered(
    session: &mut Session,
    dig: &DigName,
    answer: &LifecycleResponse,
    word: &str,
    dry_run: bool,
) -> Result<(), Fault> {
    match session.output.format {
        Format::Json | Format::Yaml => session.output.value(&json!({
            "project": dig.project,
            "name": dig.name,
            "state": words::dig_state(answer.state),
            "contextId": words::some(&answer.context_id),
            "changed": answer.changed,
            "dryRun": dry_run,
        })),
        Format::Name => session.output.line(&format!("dig/{dig}")),
        Format::Table | Format::Wide if dry_run => {
            session.output.line(&format!("dig/{dig} {word} (dry run)"))
        }
        Format::Table | Format::Wide => {
            session.output.line(&format!("dig/{dig} {word}"))?;
            if !answer.context_id.is_empty() && session.output.terminals.stderr {
                let hint = session.hint(&format!("status {dig} --watch"));
                session.output.note(&format!("follow it with {hint}"));
            }
            Ok(())
        }
    }
}
