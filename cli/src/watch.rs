//! `muster status --watch`: the status repainted on a terminal, changes line by line elsewhere.

use crate::{
    fault::Fault,
    feed::{Feed, News},
    frame::{self, Place},
    json, kinds,
    names::{DigName, Kind},
    output::Format,
    screen::Screen,
    sentence,
    session::Session,
    style::{Colour, Style},
    time,
    tree::{self, Tree},
    words::plain,
};
use jiff::Timestamp;
use proto::v1::{
    Resource, StatusFilter, StatusHead, StatusView, WatchStatusRequest, WatchStatusResponse,
};
use serde::Serialize;
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

pub async fn run(
    session: &mut Session,
    dig: &DigName,
    filter: StatusFilter,
    view: StatusView,
) -> Result<(), Fault> {
    let mut form = match session.output.format {
        Format::Json => Form::Json,
        Format::Table | Format::Wide if session.output.terminals.stdout => {
            Form::Live(Screen::new(console::Term::stdout()))
        }
        Format::Table | Format::Wide => Form::Lines(Lines::default()),
        Format::Yaml | Format::Name => {
            return Err(Fault::usage(
                "--watch prints a table or JSON: leave -o away, or use -o json",
            ));
        }
    };
    let client = session.lifecycles().await?;
    let request = WatchStatusRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        filter: Some(filter),
        view: view.into(),
        ..WatchStatusRequest::default()
    };
    let mut feed = Feed::start(client, request);
    let mut picture = Picture::default();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        tokio::select! {
            news = feed.next() => match news {
                News::Message(message) => {
                    picture.lost = None;
                    match &mut form {
                        Form::Live(_) => picture.take(*message),
                        Form::Lines(lines) => {
                            for line in lines.news(*message, Timestamp::now()) {
                                session.output.line(&line)?;
                            }
                        }
                        Form::Json => json_lines(session, *message)?,
                    }
                    session.output.flush()?;
                }
                News::Lost(status) => {
                    if picture.lost.is_none() && !matches!(form, Form::Live(_)) {
                        session.output.note(&lost_line(&status));
                    }
                    picture.lost = Some(lost_line(&status));
                }
                News::Over(status) => {
                    let fault = session.fault(status);
                    return Err(kinds::look_around(fault, session, Kind::Dig));
                }
            },
            _ = tick.tick() => if let Form::Live(screen) = &mut form {
                let (columns, rows) = screen.size();
                let place = Place { columns, rows: rows - 1, style: session.output.style, now: Timestamp::now() };
                screen.paint(&picture.lines(place));
            },
            // The last picture stays on the terminal.
            _ = &mut interrupt => return Ok(()),
        }
    }
}

fn lost_line(status: &tonic::Status) -> String {
    format!(
        "the connection to the server is lost, trying again: {}",
        plain(status.message())
    )
}

enum Form {
    Live(Screen),
    Lines(Lines),
    Json,
}

/// All that is known, for painting.
#[derive(Default)]
struct Picture {
    head: Option<StatusHead>,
    resources: BTreeMap<i32, Resource>,
    lost: Option<String>,
}

impl Picture {
    fn take(&mut self, message: WatchStatusResponse) {
        if message.reset {
            self.resources.clear();
        }
        if let Some(head) = message.head {
            self.head = Some(head);
        }
        self.resources.extend(
            message
                .resources
                .into_iter()
                .map(|resource| (resource.row, resource)),
        );
        for row in message.removed {
            self.resources.remove(&row);
        }
    }

    /// The whole status where it fits; else bars per cluster and what is in trouble.
    fn lines(&self, place: Place) -> Vec<String> {
        let Place {
            rows, style, now, ..
        } = place;
        let Some(head) = &self.head else {
            return self.lost.clone().into_iter().collect();
        };
        let mut lines = tree::opening(head, now, style);
        lines.extend(tree::problems(head, now, style));
        let wanted = rows.saturating_sub(lines.len() + usize::from(self.lost.is_some()));
        // Two lines at most for an app and one for a cluster come on top of the resources.
        let mut whole = Vec::new();
        if self.resources.len() <= wanted {
            let mut ordered: Vec<&Resource> = self.resources.values().collect();
            let order: Vec<&str> = head.apps.iter().map(|app| app.name.as_str()).collect();
            let app = |r: &Resource| order.iter().position(|name| *name == r.app);
            ordered.sort_by(|a, b| (app(a), &a.cluster, a.row).cmp(&(app(b), &b.cluster, b.row)));
            let mut tree = Tree::new(head, false, now, style);
            whole.extend(
                ordered
                    .into_iter()
                    .flat_map(|resource| tree.lines(resource)),
            );
        }
        if self.resources.len() <= wanted && whole.len() <= wanted {
            lines.extend(whole);
        } else {
            let started = head
                .context
                .as_ref()
                .and_then(|context| time::timestamp(context.started_at.as_ref()));
            let elapsed = started
                .and_then(|then| Duration::try_from(now.duration_since(then)).ok())
                .unwrap_or_default();
            lines = frame::lines(
                head,
                elapsed,
                Place {
                    rows: rows.saturating_sub(1),
                    ..place
                },
            );
            let trouble = self
                .resources
                .values()
                .filter(|r| crate::words::resource_state(r.deployed_status) == "Failed");
            for resource in trouble.take(rows.saturating_sub(lines.len() + 1)) {
                lines.push(format!(
                    "  {}: {}",
                    resource.cluster,
                    tree::line(resource, false, now, style)
                ));
            }
        }
        if let Some(lost) = &self.lost {
            lines.truncate(rows.saturating_sub(1));
            lines.push(style.paint(Colour::Yellow, lost));
        }
        lines
    }
}

/// A line per change, for files and pipes.
#[derive(Default)]
struct Lines {
    counts: String,
    problems: std::collections::BTreeSet<(String, String, String, String, String)>,
    /// State and attempts as last printed, so that a repeated snapshot is silent.
    printed: BTreeMap<i32, (i32, i32, i32)>,
    context: String,
}

impl Lines {
    fn news(&mut self, message: WatchStatusResponse, now: Timestamp) -> Vec<String> {
        let time = now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
        let mut lines = Vec::new();
        if let Some(head) = message.head {
            let id = head
                .context
                .as_ref()
                .map(|context| context.id.clone())
                .unwrap_or_default();
            if self.context != id {
                self.printed.clear();
                self.context = id;
            }
            let counts = format!("{}, {}", sentence::state(&head), sentence::counts(&head));
            if counts != self.counts {
                lines.push(format!("{time} {}/{}: {counts}", head.project, head.name));
                self.counts = counts;
            }
            let mut present = std::collections::BTreeSet::new();
            for problem in &head.problems {
                let identity = sentence::problem_identity(problem);
                if !self.problems.contains(&identity) {
                    lines.push(format!(
                        "{time} problem: {}",
                        sentence::problem(problem, now, Style::PLAIN)
                    ));
                }
                present.insert(identity);
            }
            self.problems = present;
        }
        for resource in message.resources {
            let known = (resource.deployed_status, resource.goal, resource.attempts);
            if self.printed.insert(resource.row, known) != Some(known) {
                let place = if resource.app.is_empty() {
                    resource.cluster.clone()
                } else {
                    format!("{} {}", resource.app, resource.cluster)
                };
                lines.push(format!(
                    "{time} {place} {}",
                    tree::line(&resource, false, now, Style::PLAIN)
                ));
            }
        }
        for row in message.removed {
            self.printed.remove(&row);
        }
        lines
    }
}

/// One JSON value per line: the head, each resource, what was removed, and when the picture is complete.
fn json_lines(session: &mut Session, message: WatchStatusResponse) -> Result<(), Fault> {
    #[derive(Serialize)]
    struct Row {
        row: i32,
        app: String,
        cluster: String,
        #[serde(flatten)]
        resource: json::Resource,
    }
    #[derive(Serialize)]
    struct Line {
        resource: Row,
    }
    if message.reset {
        session.output.json_line(&json!({ "reset": true }))?;
    }
    if let Some(head) = message.head {
        #[derive(Serialize)]
        struct Head {
            status: json::Status,
        }
        session.output.json_line(&Head {
            status: head.into(),
        })?;
    }
    for resource in message.resources {
        let (row, app, cluster) = (resource.row, resource.app.clone(), resource.cluster.clone());
        session.output.json_line(&Line {
            resource: Row {
                row,
                app,
                cluster,
                resource: resource.into(),
            },
        })?;
    }
    for row in message.removed {
        session
            .output
            .json_line(&json!({ "removed": { "row": row } }))?;
    }
    if message.synced {
        session.output.json_line(&json!({ "synced": true }))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{AppStatus, ContextState, ContextStatus, DeployedCounts, ResourceState};

    fn message(
        applied: i64,
        rows: std::ops::Range<i32>,
        state: ResourceState,
    ) -> WatchStatusResponse {
        WatchStatusResponse {
            head: Some(StatusHead {
                project: "shop".to_owned(),
                name: "web".to_owned(),
                context: Some(ContextStatus {
                    state: ContextState::Instantiating.into(),
                    ..ContextStatus::default()
                }),
                deployed_counts: Some(DeployedCounts {
                    applied,
                    pending: 9 - applied,
                    ..DeployedCounts::default()
                }),
                apps: vec![AppStatus {
                    name: "back".to_owned(),
                    clusters: Vec::new(),
                }],
                ..StatusHead::default()
            }),
            resources: rows
                .map(|row| Resource {
                    row,
                    app: "back".to_owned(),
                    cluster: "c1".to_owned(),
                    kind: "ConfigMap".to_owned(),
                    name: format!("m{row}"),
                    deployed_status: state.into(),
                    ..Resource::default()
                })
                .collect(),
            ..WatchStatusResponse::default()
        }
    }

    #[test]
    fn a_repeated_snapshot_prints_nothing() {
        let mut lines = Lines::default();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(
            lines.news(message(0, 0..2, ResourceState::Pending), now),
            [
                "1970-01-01T00:00:00.000Z shop/web: Instantiating, 0 of 9 applied, 9 pending",
                "1970-01-01T00:00:00.000Z back c1 Pending   ConfigMap m0",
                "1970-01-01T00:00:00.000Z back c1 Pending   ConfigMap m1",
            ]
        );
        assert_eq!(
            lines.news(message(0, 0..2, ResourceState::Pending), now),
            [""; 0]
        );
        assert_eq!(
            lines
                .news(message(1, 1..2, ResourceState::Applied), now)
                .len(),
            2
        );
    }

    #[test]
    fn a_picture_that_does_not_fit_shows_bars_instead() {
        let mut picture = Picture::default();
        picture.take(message(3, 0..9, ResourceState::Applied));
        let place = Place {
            columns: 80,
            rows: 20,
            style: Style::PLAIN,
            now: Timestamp::UNIX_EPOCH,
        };
        assert!(
            picture
                .lines(place)
                .iter()
                .any(|line| line.contains("ConfigMap m8"))
        );
        let small = picture.lines(Place { rows: 8, ..place });
        assert!(
            small.len() <= 8 && !small.iter().any(|line| line.contains("ConfigMap")),
            "{small:?}"
        );
    }
}
