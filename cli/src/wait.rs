//! `--wait`: follows a lifecycle to its final state.

use crate::{
    fault::{Exit, Fault},
    feed::{Feed, News},
    json,
    names::DigName,
    output::Format,
    progress::Progress,
    sentence,
    session::Session,
    time,
    words::{self, plain},
};
use jiff::Timestamp;
use proto::v1::{ContextState, DigState, StatusHead, StatusView, WatchStatusRequest};
use std::{future, time::Duration};
use tokio::time::Instant;
use tonic::Code;

/// What a wait waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    Instantiated,
    Terminated,
}

impl Aim {
    fn state(self) -> &'static str {
        match self {
            Self::Instantiated => "Instantiated",
            Self::Terminated => "Terminated",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Instantiated => "instantiate",
            Self::Terminated => "terminate",
        }
    }
}

/// What a status means to a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Going,
    Reached,
    Failed,
    /// Somebody wants something else now.
    Superseded(&'static str),
}

/// Judges a status of the DIG by the context that the verb concerned.
pub fn verdict(aim: Aim, context_id: &str, head: &StatusHead) -> Verdict {
    let Some(context) = &head.context else {
        return Verdict::Going;
    };
    if !context_id.is_empty() && context.id != context_id {
        // Only a Terminated context makes room for another one.
        return match aim {
            Aim::Terminated => Verdict::Reached,
            Aim::Instantiated => {
                Verdict::Superseded("it was terminated and instantiated anew meanwhile")
            }
        };
    }
    let stopped = matches!(
        head.state(),
        DigState::InstantiateStopped | DigState::TerminateStopped
    );
    match (aim, context.state()) {
        (Aim::Instantiated, ContextState::Instantiated)
        | (Aim::Terminated, ContextState::Terminated) => Verdict::Reached,
        (Aim::Instantiated, ContextState::InstantiateFailed)
        | (Aim::Terminated, ContextState::TerminateFailed) => {
            if stopped {
                Verdict::Superseded("it was stopped meanwhile")
            } else {
                Verdict::Failed
            }
        }
        (
            Aim::Instantiated,
            ContextState::PreTerminate
            | ContextState::Terminating
            | ContextState::Terminated
            | ContextState::TerminateFailed,
        ) => Verdict::Superseded("it was terminated meanwhile"),
        _ => Verdict::Going,
    }
}

/// Follows the context to its final state, showing progress, and says how it ended.
pub async fn follow(
    session: &mut Session,
    dig: &DigName,
    aim: Aim,
    context_id: &str,
) -> Result<(), Fault> {
    let client = session.lifecycles().await?;
    let request = WatchStatusRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        view: StatusView::Summary.into(),
        ..WatchStatusRequest::default()
    };
    let mut feed = Feed::start(client, request);
    let mut progress = Progress::new(&session.output);
    let mut latest: Option<StatusHead> = None;
    let deadline = session.deadline();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let end = loop {
        tokio::select! {
            news = feed.next() => match news {
                News::Message(message) => {
                    if let Some(head) = message.head {
                        let verdict = verdict(aim, context_id, &head);
                        progress.update(&head);
                        latest = Some(head);
                        if verdict != Verdict::Going {
                            break Ok(verdict);
                        }
                    }
                }
                News::Lost(status) => progress.lost(&plain(status.message())),
                News::Over(status) if status.code() == Code::NotFound => break Ok(match aim {
                    // Only what is Terminated can be deleted.
                    Aim::Terminated => Verdict::Reached,
                    Aim::Instantiated => Verdict::Superseded("it was terminated and deleted meanwhile"),
                }),
                News::Over(status) => break Err(session.fault(status).next(goes_on(session, dig, aim))),
            },
            _ = tick.tick() => progress.show(&mut session.output, session.started.elapsed()),
            _ = &mut interrupt => {
                let message = format!("no longer waiting for {dig}");
                break Err(Fault::new(Exit::Interrupted, "INTERRUPTED", message).next(goes_on(session, dig, aim)));
            }
            () = until(deadline) => break Err(timed_out(session, dig, aim, latest.as_ref())),
        }
    };
    progress.finish(&mut session.output, session.started.elapsed());
    conclude(session, dig, aim, end?, latest)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => future::pending().await,
    }
}

/// Waiting less does not change the lifecycle.
fn goes_on(session: &Session, dig: &DigName, aim: Aim) -> String {
    let command = session.hint(&format!("status {dig} --watch"));
    format!(
        "{} goes on without you, follow it with {command}",
        aim.verb()
    )
}

fn timed_out(session: &Session, dig: &DigName, aim: Aim, head: Option<&StatusHead>) -> Fault {
    let limit = time::duration(session.started.elapsed());
    let message = match head {
        Some(head) => {
            let worst = worst(head)
                .map(|worst| format!(": {worst}"))
                .unwrap_or_default();
            format!(
                "{dig} is not {} after {limit}: {}{worst}",
                aim.state(),
                sentence::outcome(head)
            )
        }
        None => format!(
            "{dig} is not {} after {limit}: its status never came",
            aim.state()
        ),
    };
    Fault::timed_out(message).next(goes_on(session, dig, aim))
}

/// The worst problem in one line, and how many there are besides.
fn worst(head: &StatusHead) -> Option<String> {
    let first = head.problems.first()?;
    let line = sentence::problem(first, Timestamp::now(), crate::style::Style::PLAIN);
    Some(match head.problems.len() {
        1 => line,
        number => format!(
            "{line}; {} more",
            words::count(number as i64 - 1, "problem")
        ),
    })
}

/// The last words.
fn conclude(
    session: &mut Session,
    dig: &DigName,
    aim: Aim,
    verdict: Verdict,
    head: Option<StatusHead>,
) -> Result<(), Fault> {
    let took = time::duration(session.started.elapsed());
    let fault = match (&verdict, &head) {
        (Verdict::Failed, Some(head)) => {
            let cause = worst(head)
                .map(|worst| format!(": {worst}"))
                .unwrap_or_default();
            let next = head
                .problems
                .first()
                .map(|problem| problem.next_step.clone())
                .filter(|step| !step.is_empty())
                .unwrap_or_else(|| {
                    format!(
                        "{} shows every resource",
                        session.hint(&format!("status {dig}"))
                    )
                });
            let message = format!("{}: {} in {took}{cause}", dig.name, sentence::outcome(head));
            let code = match aim {
                Aim::Instantiated => "INSTANTIATE_FAILED",
                Aim::Terminated => "TERMINATE_FAILED",
            };
            Some(Fault::new(Exit::Failed, code, message).next(next))
        }
        (Verdict::Superseded(why), head) => {
            let now = head
                .as_ref()
                .map(|head| format!(" and is {} now", sentence::state(head)))
                .unwrap_or_default();
            let message = format!("{} will not become {}: {why}{now}", dig.name, aim.state());
            let step = session.hint(&format!("events {dig}"));
            Some(
                Fault::new(Exit::Failed, "SUPERSEDED", message)
                    .next(format!("{step} says who did it")),
            )
        }
        _ => None,
    };
    match (session.output.format, head) {
        (Format::Json | Format::Yaml, Some(head)) => {
            session.output.value(&json::Status::from(head))?
        }
        (Format::Json | Format::Yaml, None) => {
            let project = &dig.project;
            let name = &dig.name;
            session
                .output
                .value(&serde_json::json!({ "project": project, "name": name, "state": null }))?;
        }
        (Format::Name, _) => session.output.line(&format!("dig/{dig}"))?,
        (_, head) if fault.is_none() => {
            // Another context's counts would say nothing about this one.
            let what = match head.filter(|head| sentence::state(head) == aim.state()) {
                Some(head) => sentence::outcome(&head),
                None => format!("{} (and no longer there)", aim.state()),
            };
            session
                .output
                .line(&format!("{}: {what} in {took}", dig.name))?;
        }
        _ => {}
    }
    fault.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::ContextStatus;

    #[test]
    fn a_wait_ends_when_its_context_is_final_or_somebody_wants_something_else() {
        use {Aim::*, ContextState as C, DigState as D};
        let gone = Verdict::Superseded("it was terminated meanwhile");
        let anew = Verdict::Superseded("it was terminated and instantiated anew meanwhile");
        let stopped = Verdict::Superseded("it was stopped meanwhile");
        for (aim, dig, id, state, expected) in [
            (
                Instantiated,
                D::Instantiated,
                "c1",
                C::Instantiating,
                Verdict::Going,
            ),
            (
                Instantiated,
                D::Instantiated,
                "c1",
                C::Instantiated,
                Verdict::Reached,
            ),
            (
                Instantiated,
                D::Instantiated,
                "c1",
                C::InstantiateFailed,
                Verdict::Failed,
            ),
            (
                Instantiated,
                D::InstantiateStopped,
                "c1",
                C::InstantiateFailed,
                stopped.clone(),
            ),
            (
                Instantiated,
                D::Terminated,
                "c1",
                C::PreTerminate,
                gone.clone(),
            ),
            (
                Instantiated,
                D::Terminated,
                "c1",
                C::Terminating,
                gone.clone(),
            ),
            (
                Instantiated,
                D::Terminated,
                "c1",
                C::Terminated,
                gone.clone(),
            ),
            (Instantiated, D::Terminated, "c1", C::TerminateFailed, gone),
            (Instantiated, D::Instantiated, "c2", C::Instantiated, anew),
            (
                Terminated,
                D::Terminated,
                "c1",
                C::PreTerminate,
                Verdict::Going,
            ),
            (
                Terminated,
                D::Terminated,
                "c1",
                C::Terminating,
                Verdict::Going,
            ),
            (
                Terminated,
                D::Terminated,
                "c1",
                C::Terminated,
                Verdict::Reached,
            ),
            (
                Terminated,
                D::Terminated,
                "c1",
                C::TerminateFailed,
                Verdict::Failed,
            ),
            (
                Terminated,
                D::TerminateStopped,
                "c1",
                C::TerminateFailed,
                stopped,
            ),
            (
                Terminated,
                D::Instantiated,
                "c2",
                C::Instantiating,
                Verdict::Reached,
            ),
        ] {
            let head = StatusHead {
                state: dig.into(),
                context: Some(ContextStatus {
                    id: id.to_owned(),
                    state: state.into(),
                    ..ContextStatus::default()
                }),
                ..StatusHead::default()
            };
            assert_eq!(
                verdict(aim, "c1", &head),
                expected,
                "{aim:?} {dig:?} {id} {state:?}"
            );
        }
    }
}
