//! The machines as tables and pictures, enumerated from their `next` functions.

mod svg;

use crate::state::{
    ContextEvent, ContextState, DigEvent, DigState, Refused, ResourceEvent, ResourceState, context,
    dig, resource, state_text,
};
use std::{collections::BTreeMap, fmt::Display};

/// One machine, spread out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Also the file's name: `dig`, `context`, `resource`.
    pub name: &'static str,
    pub title: &'static str,
    pub transitions: Vec<Transition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// `[*]` for none.
    pub from: String,
    pub event: String,
    /// States of the context that it needs; empty = any.
    pub guard: Vec<String>,
    pub to: String,
}

impl Transition {
    /// `Retry [InstantiateFailed]`
    pub fn label(&self) -> String {
        match self.guard.is_empty() {
            true => self.event.clone(),
            false => format!("{} [{}]", self.event, self.guard.join(", ")),
        }
    }
}

/// The three machines.
pub fn machines() -> [Machine; 3] {
    [dig_machine(), context_machine(), resource_machine()]
}

fn with_none<S: Copy>(all: &[S]) -> impl Iterator<Item = Option<S>> {
    std::iter::once(None).chain(all.iter().copied().map(Some))
}

fn dig_machine() -> Machine {
    let contexts = ContextState::ALL.len() + 1;
    let mut transitions = Vec::new();
    for state in with_none(DigState::ALL) {
        for event in DigEvent::ALL {
            let mut by_target: BTreeMap<Option<DigState>, Vec<String>> = BTreeMap::new();
            for context in with_none(ContextState::ALL) {
                if let Ok(to) = dig::next(state, context, *event) {
                    let context = context.map_or_else(|| "none".to_owned(), |c| c.to_string());
                    by_target.entry(to).or_default().push(context);
                }
            }
            for (to, guard) in by_target {
                transitions.push(Transition {
                    from: state_text(state),
                    event: event.to_string(),
                    guard: if guard.len() == contexts {
                        Vec::new()
                    } else {
                        guard
                    },
                    to: state_text(to),
                });
            }
        }
    }
    Machine {
        name: "dig",
        title: "Deployment Intent Group",
        transitions,
    }
}

fn context_machine() -> Machine {
    machine(
        "context",
        "AppContext",
        ContextState::ALL,
        ContextEvent::ALL,
        context::next,
    )
}

fn resource_machine() -> Machine {
    machine(
        "resource",
        "Resource",
        ResourceState::ALL,
        ResourceEvent::ALL,
        resource::next,
    )
}

/// A machine that asks for nothing but its own state.
fn machine<S: Copy + Display + 'static, E: Copy + Display>(
    name: &'static str,
    title: &'static str,
    states: &'static [S],
    events: &[E],
    next: fn(Option<S>, E) -> Result<Option<S>, Refused>,
) -> Machine {
    let transitions = with_none(states)
        .flat_map(|state| events.iter().map(move |event| (state, event)))
        .filter_map(|(state, event)| {
            let to = next(state, *event).ok()?;
            Some(Transition {
                from: state_text(state),
                event: event.to_string(),
                guard: Vec::new(),
                to: state_text(to),
            })
        })
        .collect();
    Machine {
        name,
        title,
        transitions,
    }
}

impl Machine {
    /// States in the order in which they are first named, `[*]` first.
    pub fn states(&self) -> Vec<&str> {
        let mut out = vec!["[*]"];
        for transition in &self.transitions {
            for state in [transition.from.as_str(), transition.to.as_str()] {
                if !out.contains(&state) {
                    out.push(state);
                }
            }
        }
        out
    }

    /// A Markdown table.
    pub fn markdown(&self) -> String {
        let mut out = format!(
            "## {}\n\n| from | event | to |\n|---|---|---|\n",
            self.title
        );
        for transition in &self.transitions {
            out.push_str(&format!(
                "| {} | {} | {} |\n",
                transition.from,
                transition.label(),
                transition.to
            ));
        }
        out
    }

    /// PlantUML; `current` is painted.
    pub fn plantuml(&self, current: Option<&str>) -> String {
        let mut out = format!("@startuml\ntitle {}\n", self.title);
        let id = |state: &str| state.replace(['(', ')'], "_");
        for state in self.states().into_iter().filter(|state| *state != "[*]") {
            let paint = if current == Some(state) {
                " #lightblue"
            } else {
                ""
            };
            out.push_str(&format!("state \"{state}\" as {}{paint}\n", id(state)));
        }
        for transition in &self.transitions {
            let (from, to) = (id(&transition.from), id(&transition.to));
            out.push_str(&format!("{from} --> {to} : {}\n", transition.label()));
        }
        out.push_str("@enduml\n");
        out
    }

    /// A self-contained SVG; `current` is painted.
    pub fn svg(&self, current: Option<&str>) -> String {
        svg::draw(self, current)
    }
}

/// `docs/states.md`.
pub fn states_page() -> String {
    let mut out = String::from(
        "# State machines\n\n\
         Written by `MUSTER_UPDATE=1 cargo test -p muster-model` from the functions in \
         `model/src/state/`. `[*]` = does not exist. Whatever is not listed is refused and changes \
         nothing.\n",
    );
    for machine in machines() {
        out.push_str(&format!("\n{}\n", machine.markdown()));
        out.push_str(&format!("![{}]({}.svg)\n\n", machine.title, machine.name));
        out.push_str("<details><summary>PlantUML</summary>\n\n```plantuml\n");
        out.push_str(&machine.plantuml(None));
        out.push_str("```\n\n</details>\n");
    }
    out
}

#[cfg(test)]
#[path = "diagram/tests.rs"]
mod tests;
