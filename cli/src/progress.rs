//! How a wait looks while it lasts: a live display on a terminal, a line per change elsewhere.

use crate::{
    frame::{self, Place},
    output::{Format, Output},
    screen::Screen,
    sentence,
    style::Style,
};
use jiff::Timestamp;
use proto::v1::StatusHead;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Counts change all the time; a log wants them once in a while.
const PACE: Duration = Duration::from_secs(1);

pub struct Progress {
    latest: Option<StatusHead>,
    /// Why there is no connection at the moment.
    lost: Option<String>,
    form: Form,
}

enum Form {
    Live { screen: Screen, style: Style },
    Lines(Lines),
    Quiet,
}

impl Progress {
    pub fn new(output: &Output) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let form = if output.terminals.stderr && !dumb {
            Form::Live {
                screen: Screen::new(console::Term::stderr()),
                style: Style::of(true),
            }
        } else if output.structured() || output.format == Format::Name {
            Form::Quiet
        } else {
            Form::Lines(Lines::default())
        };
        Self {
            latest: None,
            lost: None,
            form,
        }
    }

    pub fn update(&mut self, head: &StatusHead) {
        self.latest = Some(head.clone());
        self.lost = None;
    }

    pub fn lost(&mut self, why: &str) {
        self.lost = Some(why.to_owned());
    }

    /// Shows what there is to show; called several times a second.
    pub fn show(&mut self, output: &mut Output, elapsed: Duration) {
        match &mut self.form {
            Form::Live { screen, style } => {
                let (columns, rows) = screen.size();
                let place = Place {
                    columns,
                    rows: rows - 1,
                    style: *style,
                    now: Timestamp::now(),
                };
                let mut lines = match &self.latest {
                    Some(head) => frame::lines(head, elapsed, place),
                    None => Vec::new(),
                };
                if let Some(why) = &self.lost {
                    lines.truncate(rows.saturating_sub(2));
                    lines.push(style.paint(crate::style::Colour::Yellow, &lost_line(why)));
                }
                screen.paint(&lines);
            }
            Form::Lines(lines) => {
                for line in lines.news(self.latest.as_ref(), self.lost.as_deref(), Instant::now()) {
                    output.note(&line);
                }
            }
            Form::Quiet => {}
        }
    }

    /// Takes the display away; lines say what they have not said yet.
    pub fn finish(&mut self, output: &mut Output, elapsed: Duration) {
        match &mut self.form {
            Form::Live { screen, .. } => screen.clear(),
            Form::Lines(lines) => {
                lines.counted = None;
                self.show(output, elapsed);
            }
            Form::Quiet => {}
        }
    }
}

fn lost_line(why: &str) -> String {
    format!("the connection to the server is lost, trying again: {why}")
}

/// What has been said already.
#[derive(Default)]
struct Lines {
    state: String,
    counts: String,
    counted: Option<Instant>,
    problems: BTreeSet<(String, String, String, String, String)>,
    lost: bool,
}

impl Lines {
    /// What is new since the last call: states and problems at once, counts at a pace.
    fn news(&mut self, head: Option<&StatusHead>, lost: Option<&str>, now: Instant) -> Vec<String> {
        let mut news = Vec::new();
        if let Some(why) = lost.filter(|_| !self.lost) {
            news.push(lost_line(why));
        }
        self.lost = lost.is_some();
        let Some(head) = head else { return news };
        let state = sentence::state(head);
        let counts = sentence::counts(head);
        let due = self
            .counted
            .is_none_or(|then| now.duration_since(then) >= PACE);
        if state != self.state || (counts != self.counts && due) {
            news.push(format!("{}: {state}, {counts}", head.name));
            self.state = state.to_owned();
            self.counts = counts;
            self.counted = Some(now);
        }
        let mut present = BTreeSet::new();
        for problem in &head.problems {
            let identity = sentence::problem_identity(problem);
            if !self.problems.contains(&identity) {
                news.push(format!(
                    "  {}",
                    sentence::problem(problem, Timestamp::now(), Style::PLAIN)
                ));
            }
            present.insert(identity);
        }
        self.problems = present;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{ContextState, ContextStatus, DeployedCounts, Problem};

    fn head(state: ContextState, applied: i64, problem: Option<&str>) -> StatusHead {
        StatusHead {
            name: "web".to_owned(),
            context: Some(ContextStatus {
                state: state.into(),
                ..ContextStatus::default()
            }),
            deployed_counts: Some(DeployedCounts {
                applied,
                pending: 9 - applied,
                ..DeployedCounts::default()
            }),
            problems: problem
                .map(|reason| Problem {
                    cluster: "c1".to_owned(),
                    reason: reason.to_owned(),
                    count: 2,
                    ..Problem::default()
                })
                .into_iter()
                .collect(),
            ..StatusHead::default()
        }
    }

    #[test]
    fn lines_appear_only_when_something_changed() {
        use ContextState::{Instantiated, Instantiating};
        let start = Instant::now();
        let mut lines = Lines::default();
        for (milliseconds, head, expected) in [
            (
                0,
                head(Instantiating, 0, None),
                vec!["web: Instantiating, 0 of 9 applied, 9 pending"],
            ),
            (100, head(Instantiating, 0, None), vec![]),
            (200, head(Instantiating, 4, None), vec![]),
            (
                1_100,
                head(Instantiating, 5, None),
                vec!["web: Instantiating, 5 of 9 applied, 4 pending"],
            ),
            (
                1_200,
                head(Instantiating, 5, Some("timed out")),
                vec!["  c1: 2 resources: timed out"],
            ),
            (1_300, head(Instantiating, 5, Some("timed out")), vec![]),
            (
                1_400,
                head(Instantiated, 9, None),
                vec!["web: Instantiated, 9 of 9 applied"],
            ),
        ] {
            let news = lines.news(
                Some(&head),
                None,
                start + Duration::from_millis(milliseconds),
            );
            assert_eq!(news, expected, "at {milliseconds} ms");
        }
    }

    #[test]
    fn a_lost_connection_is_said_once() {
        let mut lines = Lines::default();
        assert_eq!(lines.news(None, Some("reset"), Instant::now()).len(), 1);
        assert_eq!(lines.news(None, Some("reset"), Instant::now()).len(), 0);
    }
}
