//! A status as people read it: head, problems, then apps, clusters and resources as they come.

use crate::{
    sentence,
    style::{Colour, Style},
    time,
    words::{self, plain},
};
use jiff::Timestamp;
use proto::v1::{Resource, StatusHead};
use std::collections::HashMap;

/// The lines before the resources.
pub fn opening(head: &StatusHead, now: Timestamp, style: Style) -> Vec<String> {
    let mut lines = vec![format!(
        "{}  {}",
        style.bold(&format!("{}/{}", head.project, head.name)),
        style.state(words::dig_state(head.state))
    )];
    if let Some(context) = &head.context {
        let state = style.state(words::context_state(context.state));
        let blocked = match context.blocked_by.as_str() {
            "" => String::new(),
            what => format!(", waits: {}", plain(what)),
        };
        lines.push(format!(
            "  context    {state}{blocked} (revision {}, started {} ago, {})",
            context.revision,
            time::age(context.started_at.as_ref(), now),
            context.id
        ));
        let clusters = words::count(sentence::cluster_count(head) as i64, "cluster");
        lines.push(format!(
            "  resources  {} on {clusters}",
            sentence::counts(head)
        ));
    }
    if head.pending_changes {
        lines.push(
            "  changes    pending: the documents differ from what is instantiated".to_owned(),
        );
    }
    if !head.allowed_verbs.is_empty() {
        lines.push(format!("  allowed    {}", head.allowed_verbs.join(", ")));
    }
    lines
}

/// The problems, worst first, each with what the reader can do.
pub fn problems(head: &StatusHead, now: Timestamp, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = head.problems.iter().peekable();
    while let Some(problem) = rest.next() {
        let mark = if style.symbols {
            style.paint(Colour::Red, "!")
        } else {
            "-".to_owned()
        };
        lines.push(format!(
            "  {mark} {}",
            sentence::problem(problem, now, style)
        ));
        // Place and reason stand above; the sentence may say more.
        if !problem.reason.is_empty()
            && !problem.message.is_empty()
            && !problem.message.ends_with(&problem.reason)
            && problem.count > 0
        {
            lines.push(format!("      {}", plain(&problem.message)));
        }
        // Once for those in a row that need the same.
        let repeated = rest
            .peek()
            .is_some_and(|next| next.next_step == problem.next_step);
        if !problem.next_step.is_empty() && !repeated {
            lines.push(format!("      next: {}", plain(&problem.next_step)));
        }
    }
    lines
}

/// The resources one after the other, with a line where an app or a cluster begins.
pub struct Tree {
    style: Style,
    wide: bool,
    now: Timestamp,
    /// Clusters that do not answer.
    silent: HashMap<String, bool>,
    app: Option<String>,
    cluster: Option<String>,
}

impl Tree {
    pub fn new(head: &StatusHead, wide: bool, now: Timestamp, style: Style) -> Self {
        let silent = head
            .apps
            .iter()
            .flat_map(|app| &app.clusters)
            .map(|cluster| {
                (
                    cluster.cluster.clone(),
                    words::connectivity(cluster.connectivity) == "Retrying",
                )
            })
            .collect();
        Self {
            style,
            wide,
            now,
            silent,
            app: None,
            cluster: None,
        }
    }

    /// The lines of the next resource.
    pub fn lines(&mut self, resource: &Resource) -> Vec<String> {
        let mut lines = Vec::new();
        if self.app.as_ref() != Some(&resource.app) {
            // What belongs to no app is there because the DIG names it.
            let name = if resource.app.is_empty() {
                "(namespace of the DIG)"
            } else {
                &resource.app
            };
            lines.push(String::new());
            lines.push(self.style.bold(name));
            self.app = Some(resource.app.clone());
            self.cluster = None;
        }
        if self.cluster.as_ref() != Some(&resource.cluster) {
            let note = if self.silent.get(&resource.cluster).copied().unwrap_or(false) {
                self.style.paint(Colour::Yellow, "  does not answer")
            } else {
                String::new()
            };
            lines.push(format!("  {}{note}", resource.cluster));
            self.cluster = Some(resource.cluster.clone());
        }
        lines.push(format!(
            "    {}",
            line(resource, self.wide, self.now, self.style)
        ));
        lines
    }
}

/// `Retrying  Deployment shop/redis  3 attempts, next in 4 s: connect timed out`
pub fn line(resource: &Resource, wide: bool, now: Timestamp, style: Style) -> String {
    let state = words::resource_state(resource.deployed_status);
    let padding = " ".repeat(8_usize.saturating_sub(state.len()));
    let mut text = format!(
        "{}{}{padding}  {}",
        style.symbol(state),
        style.state(state),
        object(resource, wide)
    );
    let mut details = Vec::new();
    let going = matches!(state, "Pending" | "Retrying" | "Failed");
    if going && words::goal(resource.goal) == Some("Delete") {
        details.push("to be deleted".to_owned());
    }
    if let Some(ready) = words::some(&resource.ready_status).filter(|_| state == "Applied") {
        let why = (resource.ready_reason.as_ref())
            .map_or_else(String::new, |why| format!(": {}", plain(&why.message)));
        details.push(format!("{}{why}", style.state(&plain(ready))));
    }
    if resource.attempts > 1 || (going && resource.attempts > 0) || wide {
        details.push(words::count(resource.attempts.into(), "attempt"));
    }
    if wide || (going && state != "Pending") {
        details.push(format!("for {}", time::age(resource.since.as_ref(), now)));
    }
    if let Some(next) = time::timestamp(resource.next_attempt_at.as_ref()).filter(|_| going) {
        details.push(format!("next {}", time::until(next, now)));
    }
    if !resource.blocked_by.is_empty() {
        details.push(format!("waits: {}", plain(&resource.blocked_by)));
    }
    if !resource.kept.is_empty() {
        details.push(format!("kept: {}", plain(&resource.kept)));
    }
    if !details.is_empty() {
        text.push_str(&format!("  {}", details.join(", ")));
    }
    if let Some(error) = resource.last_error.as_ref().filter(|_| going) {
        text.push_str(&format!(": {}", plain(&error.message)));
    }
    text
}

/// `Deployment shop/redis`, with group and version when wide.
pub fn object(resource: &Resource, wide: bool) -> String {
    let namespace = if resource.namespace.is_empty() {
        String::new()
    } else {
        format!("{}/", resource.namespace)
    };
    let kind = match (wide, resource.group.as_str()) {
        (false, _) => resource.kind.clone(),
        (true, "") => format!("{} ({})", resource.kind, resource.version),
        (true, group) => format!("{} ({group}/{})", resource.kind, resource.version),
    };
    format!("{kind} {namespace}{}", resource.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{
        AppClusterStatus, AppStatus, Connectivity, ContextState, ContextStatus, DeployedCounts,
        DigState, Failure, Goal, Problem, ResourceState,
    };

    fn second(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn resource(app: &str, cluster: &str, state: ResourceState, name: &str) -> Resource {
        Resource {
            app: app.to_owned(),
            cluster: cluster.to_owned(),
            version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            goal: Goal::Apply.into(),
            deployed_status: state.into(),
            attempts: 1,
            since: second(88),
            ..Resource::default()
        }
    }

    fn head() -> StatusHead {
        let cluster = |name: &str, connectivity: Connectivity| AppClusterStatus {
            cluster: name.to_owned(),
            connectivity: connectivity.into(),
            ready_counts: None,
            deployed_counts: None,
        };
        StatusHead {
            project: "shop".to_owned(),
            name: "web".to_owned(),
            state: DigState::Instantiated.into(),
            allowed_verbs: vec!["terminate".to_owned()],
            context: Some(ContextStatus {
                id: "01CONTEXT".to_owned(),
                revision: 1,
                state: ContextState::Instantiating.into(),
                started_at: second(60),
                blocked_by: String::new(),
            }),
            deployed_counts: Some(DeployedCounts {
                applied: 1,
                pending: 1,
                retrying: 1,
                ..DeployedCounts::default()
            }),
            problems: vec![Problem {
                cluster: "acme+b".to_owned(),
                app: "back".to_owned(),
                resource: "ConfigMap/shop/two".to_owned(),
                count: 1,
                goal: Goal::Apply.into(),
                code: "unreachable".to_owned(),
                reason: "connect timed out".to_owned(),
                attempts: 3,
                since: second(88),
                next_attempt_at: second(104),
                next_step: "check the network\u{1b}[2J".to_owned(),
                ..Problem::default()
            }],
            apps: vec![AppStatus {
                name: "back".to_owned(),
                clusters: vec![
                    cluster("acme+a", Connectivity::Available),
                    cluster("acme+b", Connectivity::Retrying),
                ],
            }],
            ..StatusHead::default()
        }
    }

    fn render(style: Style) -> String {
        let now = Timestamp::from_second(100).unwrap_or_default();
        let head = head();
        let mut lines = opening(&head, now, style);
        lines.extend(problems(&head, now, style));
        let mut tree = Tree::new(&head, false, now, style);
        let retrying = Resource {
            attempts: 3,
            next_attempt_at: second(104),
            last_error: Some(Failure {
                code: "unreachable".to_owned(),
                message: "connect timed out".to_owned(),
            }),
            ..resource("back", "acme+b", ResourceState::Retrying, "two")
        };
        let waiting = Resource {
            attempts: 0,
            blocked_by: "app back".to_owned(),
            ..resource("front", "acme+a", ResourceState::Pending, "three")
        };
        let kept = Resource {
            kept: "foreign".to_owned(),
            ..resource("front", "acme+a", ResourceState::Deleted, "four")
        };
        for resource in [
            resource("back", "acme+a", ResourceState::Applied, "one"),
            retrying,
            waiting,
            kept,
        ] {
            lines.extend(tree.lines(&resource));
        }
        lines.join("\n")
    }

    #[test]
    fn problems_stand_before_the_tree() {
        assert_eq!(
            render(Style::PLAIN),
            "shop/web  Instantiated
  context    Instantiating (revision 1, started 40 s ago, 01CONTEXT)
  resources  1 of 3 applied, 1 pending, 1 retrying on 2 clusters
  allowed    terminate
  - acme+b, back: apply ConfigMap/shop/two: connect timed out [unreachable] (3 attempts, for 12 s, next in 4 s)
      next: check the network [2J

back
  acme+a
    Applied   ConfigMap shop/one
  acme+b  does not answer
    Retrying  ConfigMap shop/two  3 attempts, for 12 s, next in 4 s: connect timed out

front
  acme+a
    Pending   ConfigMap shop/three  waits: app back
    Deleted   ConfigMap shop/four  kept: foreign"
        );
    }

    #[test]
    fn a_terminal_gets_symbols_and_only_with_leave_colours() {
        let symbols = render(Style {
            colour: false,
            symbols: true,
        });
        for line in [
            "    ✓ Applied   ConfigMap shop/one",
            "    ↻ Retrying  ",
            "    · Pending   ",
            "    − Deleted   ",
        ] {
            assert!(symbols.contains(line), "{symbols}");
        }
        assert!(!symbols.contains('\u{1b}'));
        assert!(
            render(Style {
                colour: true,
                symbols: true
            })
            .contains("\u{1b}[32m✓\u{1b}[0m")
        );
    }
}
