//! One picture of a lifecycle in flight: totals, a bar per cluster, the worst problems.

use crate::{
    sentence,
    style::{Colour, Style},
    time,
    words::{count, plain},
};
use jiff::Timestamp;
use proto::v1::{Connectivity, DeployedCounts, StatusHead};
use std::{collections::BTreeMap, time::Duration};

/// Where the picture is painted.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub columns: usize,
    /// At most so many lines.
    pub rows: usize,
    pub style: Style,
    pub now: Timestamp,
}

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const PROBLEMS: usize = 5;

/// One cluster over all apps.
struct ClusterLine<'a> {
    name: &'a str,
    silent: bool,
    counts: DeployedCounts,
}

/// The picture, each line to be cut to the terminal's width.
pub fn lines(head: &StatusHead, elapsed: Duration, place: Place) -> Vec<String> {
    let Place { style, now, .. } = place;
    let deleting = sentence::deleting(head);
    let spinner = SPINNER[(elapsed.as_millis() / 100) as usize % SPINNER.len()];
    let state = sentence::state(head);
    let mut lines = vec![format!(
        "{} {}  {}  {}",
        style.paint(Colour::Blue, spinner),
        style.bold(&format!("{}/{}", head.project, head.name)),
        style.state(state),
        style.paint(Colour::Grey, &time::duration(elapsed)),
    )];
    let counts = head.deployed_counts.unwrap_or_default();
    let width = (place.columns / 4).clamp(10, 40);
    lines.push(format!(
        "  {}  {}",
        bar(&counts, deleting, width, style),
        sentence::counts(head)
    ));
    if let Some(context) = head
        .context
        .as_ref()
        .filter(|context| !context.blocked_by.is_empty())
    {
        lines.push(format!("  waits: {}", plain(&context.blocked_by)));
    }

    let problems = head.problems.len().min(PROBLEMS);
    let problem_rows = problems + usize::from(head.problems.len() > problems);
    let rows = place.rows.saturating_sub(lines.len() + problem_rows).max(1);
    lines.extend(cluster_lines(head, deleting, rows, width, style));

    for problem in head.problems.iter().take(problems) {
        let mark = style.paint(Colour::Yellow, "!");
        lines.push(format!(
            "  {mark} {}",
            sentence::problem(problem, now, style)
        ));
    }
    if head.problems.len() > problems {
        let more = count((head.problems.len() - problems) as i64, "more problem");
        lines.push(style.paint(Colour::Grey, &format!("    and {more}")));
    }
    lines.truncate(place.rows);
    lines
}

/// As many clusters as there are rows for: those in trouble first, then those at work, then the rest.
fn cluster_lines(
    head: &StatusHead,
    deleting: bool,
    rows: usize,
    width: usize,
    style: Style,
) -> Vec<String> {
    let mut clusters: BTreeMap<&str, ClusterLine> = BTreeMap::new();
    for app in &head.apps {
        for part in &app.clusters {
            let line = clusters.entry(&part.cluster).or_insert(ClusterLine {
                name: &part.cluster,
                silent: false,
                counts: DeployedCounts::default(),
            });
            line.silent |= part.connectivity() == Connectivity::Retrying;
            add(&mut line.counts, &part.deployed_counts.unwrap_or_default());
        }
    }
    let mut clusters: Vec<ClusterLine> = clusters.into_values().collect();
    let done = |line: &ClusterLine| sentence::total(&line.counts) == done(&line.counts, deleting);
    // Sorting is stable, so the order by name stays within each rank.
    clusters.sort_by_key(|line| {
        if line.silent || line.counts.failed > 0 || line.counts.retrying > 0 {
            0
        } else if !done(line) {
            1
        } else {
            2
        }
    });
    let shown = if clusters.len() <= rows {
        clusters.len()
    } else {
        rows - 1
    };
    let longest = clusters
        .iter()
        .take(shown)
        .map(|line| line.name.len())
        .max()
        .unwrap_or(0);
    let mut lines: Vec<String> = clusters
        .iter()
        .take(shown)
        .map(|line| cluster_line(line, deleting, longest, width / 2, style))
        .collect();
    let rest = &clusters[shown..];
    if !rest.is_empty() {
        let finished = rest.iter().filter(|line| done(line)).count();
        let more = count(rest.len() as i64, "more cluster");
        lines.push(style.paint(
            Colour::Grey,
            &format!("  and {more}, {finished} of them done"),
        ));
    }
    lines
}

fn cluster_line(
    line: &ClusterLine,
    deleting: bool,
    longest: usize,
    width: usize,
    style: Style,
) -> String {
    let total = sentence::total(&line.counts);
    let mut text = format!(
        "  {:longest$}  {}  {}/{total}",
        line.name,
        bar(&line.counts, deleting, width.max(8), style),
        done(&line.counts, deleting),
    );
    if line.silent {
        text.push_str(&style.paint(Colour::Yellow, "  does not answer"));
    }
    for (number, word, colour) in [
        (line.counts.retrying, "retrying", Colour::Yellow),
        (line.counts.failed, "failed", Colour::Red),
    ] {
        if number > 0 {
            text.push_str(&style.paint(colour, &format!("  {number} {word}")));
        }
    }
    text
}

fn done(counts: &DeployedCounts, deleting: bool) -> i64 {
    if deleting {
        counts.deleted
    } else {
        counts.applied
    }
}

fn add(sum: &mut DeployedCounts, more: &DeployedCounts) {
    sum.pending += more.pending;
    sum.applied += more.applied;
    sum.retrying += more.retrying;
    sum.failed += more.failed;
    sum.deleted += more.deleted;
}

/// Done, retrying, failed, then what is left; trouble gets at least one cell.
fn bar(counts: &DeployedCounts, deleting: bool, width: usize, style: Style) -> String {
    let total = sentence::total(counts).max(1) as usize;
    // Rounded down, so that a bar is full only when all is done.
    let share = |number: i64| number.max(0) as usize * width / total;
    let at_least_one = |number: i64| share(number).max(usize::from(number > 0));
    let failed = at_least_one(counts.failed).min(width);
    let retrying = at_least_one(counts.retrying).min(width - failed);
    let done = share(done(counts, deleting)).min(width - failed - retrying);
    let rest = width - failed - retrying - done;
    [
        (done, "█", Colour::Green),
        (retrying, "▒", Colour::Yellow),
        (failed, "▓", Colour::Red),
        (rest, "░", Colour::Grey),
    ]
    .into_iter()
    .filter(|(cells, ..)| *cells > 0)
    .map(|(cells, sign, colour)| style.paint(colour, &sign.repeat(cells)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{AppClusterStatus, AppStatus, ContextState, ContextStatus, Problem};

    fn counts(applied: i64, pending: i64, retrying: i64, failed: i64) -> DeployedCounts {
        DeployedCounts {
            applied,
            pending,
            retrying,
            failed,
            deleted: 0,
        }
    }

    fn head(clusters: &[(&str, DeployedCounts)], problems: usize) -> StatusHead {
        let mut sum = DeployedCounts::default();
        clusters
            .iter()
            .for_each(|(_, counts)| add(&mut sum, counts));
        StatusHead {
            project: "shop".to_owned(),
            name: "web".to_owned(),
            context: Some(ContextStatus {
                state: ContextState::Instantiating.into(),
                ..ContextStatus::default()
            }),
            deployed_counts: Some(sum),
            apps: vec![AppStatus {
                name: "a".to_owned(),
                clusters: clusters
                    .iter()
                    .map(|(name, counts)| AppClusterStatus {
                        cluster: (*name).to_owned(),
                        connectivity: if counts.retrying > 0 {
                            Connectivity::Retrying
                        } else {
                            Connectivity::Available
                        }
                        .into(),
                        ready_counts: None,
                        deployed_counts: Some(*counts),
                    })
                    .collect(),
            }],
            problems: (0..problems)
                .map(|n| Problem {
                    cluster: format!("p{n}"),
                    code: "unreachable".to_owned(),
                    reason: "connect timed out".to_owned(),
                    count: 2,
                    attempts: 3,
                    ..Problem::default()
                })
                .collect(),
            ..StatusHead::default()
        }
    }

    fn check(head: &StatusHead, rows: usize, expected: &str) {
        let place = Place {
            columns: 80,
            rows,
            style: Style::PLAIN,
            now: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(
            lines(head, Duration::from_millis(4_230), place).join("\n"),
            expected
        );
    }

    #[test]
    fn clusters_in_trouble_come_first_and_bars_show_their_share() {
        check(
            &head(
                &[
                    ("acme+a", counts(10, 0, 0, 0)),
                    ("acme+b", counts(4, 8, 0, 0)),
                    ("x+c", counts(1, 0, 2, 1)),
                ],
                1,
            ),
            20,
            "⠹ shop/web  Instantiating  4.2 s
  ███████████▒▓░░░░░░░  15 of 26 applied, 8 pending, 2 retrying, 1 failed
  x+c     ██▒▒▒▒▒▓▓░  1/4  does not answer  2 retrying  1 failed
  acme+b  ███░░░░░░░  4/12
  acme+a  ██████████  10/10
  ! p0: 2 resources: connect timed out [unreachable] (3 attempts)",
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let many: Vec<(String, DeployedCounts)> = (0..30)
            .map(|n| {
                (
                    format!("c{n:02}"),
                    counts(i64::from(n % 2), i64::from(1 - n % 2), 0, 0),
                )
            })
            .collect();
        let many: Vec<(&str, DeployedCounts)> = many
            .iter()
            .map(|(name, counts)| (name.as_str(), *counts))
            .collect();
        check(
            &head(&many, 7),
            12,
            "⠹ shop/web  Instantiating  4.2 s
  ██████████░░░░░░░░░░  15 of 30 applied, 15 pending
  c00  ░░░░░░░░░░  0/1
  c02  ░░░░░░░░░░  0/1
  c04  ░░░░░░░░░░  0/1
  and 27 more clusters, 15 of them done
  ! p0: 2 resources: connect timed out [unreachable] (3 attempts)
  ! p1: 2 resources: connect timed out [unreachable] (3 attempts)
  ! p2: 2 resources: connect timed out [unreachable] (3 attempts)
  ! p3: 2 resources: connect timed out [unreachable] (3 attempts)
  ! p4: 2 resources: connect timed out [unreachable] (3 attempts)
    and 2 more problems",
        );
    }
}
